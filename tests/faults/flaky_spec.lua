--- Orders through `perigee serve --aws` while three of ten calls to every AWS service fail, in every way that calls fail (see
--- tests/peers/flaky.py): all complete, none twice, and the client's retries stay within its token bucket.
---
--- PERIGEE_FLAKY_ORDERS (150), PERIGEE_FLAKY_SHARE (0.3), PERIGEE_FLAKY_SEED (1), PERIGEE_FLAKY_SECONDS (600).
local json = require "perigee.json"
local peers = require "peers.peers"
local support = require "e2e.support"

local function number(name, default) return tonumber(os.getenv("PERIGEE_FLAKY_" .. name)) or default end
local ORDERS, SHARE = math.tointeger(number("ORDERS", 150)), number("SHARE", 0.3)
local SEED, SECONDS = math.tointeger(number("SEED", 1)), math.tointeger(number("SECONDS", 600))
-- The proxy sees tokens given back before the client does, and taken after it: what is on its way may be missing from its count.
local ON_ITS_WAY = 150

-- What a lost answer to ReceiveMessage hides for 60 s comes back sooner: a few orders need not take minutes.
local function template(dir)
  support.sh("cp -rL config handlers %s/", support.quote(dir))
  if ORDERS <= 500 then support.sh("sed -i 's/VisibilityTimeout: 60/VisibilityTimeout: 12/' %s/config/template.yaml", support.quote(dir)) end
  return dir .. "/config/template.yaml"
end

describe(("%d orders while %.0f %% of all calls to AWS fail"):format(ORDERS, SHARE * 100), function()
  local why = peers.missing { "moto", "dynamodb", "elasticmq" }
  if why then return pending("complete, none twice: " .. why) end

  local set, proxy, server, dir
  setup(function()
    dir = support.tmpdir()
    local names = { "moto", "dynamodb", "elasticmq" }
    local fast = not peers.missing { "minio" }
    if fast then names[#names + 1] = "minio" end
    set = peers.start(names)
    set:verify_sender "shop@example.com"
    proxy = peers.flaky({ dynamodb = set.url.dynamodb, sqs = set.url.elasticmq, s3 = fast and set.url.minio or set.url.moto,
      sesv2 = set.url.moto, sts = set.url.moto }, ("--seed %d --stall 1 --once sesv2"):format(SEED))
    server = support.start { aws = true, bin = support.release, env = peers.environment(proxy.url), wait = 60,
      args = "--parameters SenderAddress=shop@example.com --template " .. template(dir) }
  end)
  teardown(function()
    if server then server:stop() end
    if proxy then proxy:stop() end
    if set then set:stop() end
    support.rmdir(dir)
  end)

  local customers, audit, counts, metrics
  local n_events, doubled = 0, 0
  local function behind()
    return peers.environment { dynamodb = set.url.dynamodb, sqs = set.url.elasticmq, s3 = set.url.minio or set.url.moto }
  end

  it("are all accepted by a service that asks again", function()
    proxy:share(SHARE)
    customers = json.decode((support.sh("python3 tests/peers/customers.py %s %d 32 %d", server.http, ORDERS, SECONDS)))
    assert.same({}, customers.unexpected)
    assert.equal(ORDERS, customers.paid)
  end)

  it("complete", function()
    audit = json.decode((support.sh("%s %s tests/peers/audit.py %d %d", behind(), peers.python, ORDERS, SECONDS)))
    counts, metrics = proxy:counts(), server:get("/metrics").body
    proxy:share(0)
    assert.same({}, audit.unfinished)
    assert.equal(ORDERS, audit.shipped)
    assert.equal(0, audit.outbox)
    for queue, n in pairs(audit.waiting) do assert.equal(0, n, queue) end
  end)

  it("happen once: one order, one payment, one history, one receipt, one mail an event", function()
    assert.equal(ORDERS, audit.orders)
    assert.equal(ORDERS, audit.payments)
    assert.equal(ORDERS, audit.objects)
    local stories = 0
    for _, n in pairs(audit.histories) do
      stories = stories + 1
      assert.equal(ORDERS, n, json.encode(audit.histories))
    end
    assert.equal(1, stories)
    local mails, events, subjects = json.decode((support.sh("curl -s %s/peer/mails", set.url.moto))), {}, {}
    for _, mail in ipairs(mails) do
      if not events[mail.event] then
        assert.is_nil(subjects[mail.subject], "two events of one kind: " .. mail.subject)
        n_events = n_events + 1
      end
      events[mail.event], subjects[mail.subject] = true, true
    end
    assert.equal(2 * ORDERS, n_events)
    -- A run that its Timeout stopped between a mail and its mark cannot know that the mail went out.
    local stopped = tonumber(metrics:match "perigee_job_timeouts_total (%d+)")
    doubled = #mails - n_events
    assert.is_true(doubled <= stopped, ("%d mails twice, %d runs stopped"):format(doubled, stopped))
  end)

  it("are tried again no more often than the retry quota allows", function()
    local failed, calls, retries, resent, lowest = 0, 0, 0, 0, math.huge
    for name, c in pairs(counts) do
      calls, failed, lowest = calls + c.calls, failed + c.calls - c.passed, math.min(lowest, c.tokens_lowest)
      retries, resent = retries + c.retries, resent + c.resent
      assert.is_true(c.tokens_lowest >= -ON_ITS_WAY, ("%s: %d tokens in the bucket"):format(name, c.tokens_lowest))
    end
    assert.is_true(failed > calls * SHARE * 0.8, "the proxy failed too few calls to show anything")
    assert.is_true(retries > 0)
    assert.truthy(metrics:match "perigee_aws_retries_total [1-9]")
    print(("%d orders: %d requests of customers (%d again, %d replays); %d calls to AWS, %d failed, %d tried again (lowest bucket: %d tokens), " ..
      "%d sent again by the transport; %d messages redriven; %d mails twice"):format(ORDERS, customers.requests, customers.again, customers.replayed,
      calls, failed, retries, lowest, resent, audit.redriven, doubled))
  end)
end)

describe("a service that fails every call", function()
  local proxy
  setup(function() proxy = peers.flaky({ dynamodb = "http://127.0.0.1:9" }, "--stall 0.01 --once dynamodb") end) -- nothing is behind it
  teardown(function() if proxy then proxy:stop() end end)

  it("is asked again until the retry quota is empty, then once a call", function()
    proxy:share(1)
    local calls = {}
    for i = 1, 100 do calls[i] = { "dynamodb", "get_item", { TableName = "Orders", Key = { order_id = "o" } } } end
    local results = peers.ours(peers.environment(proxy.url), calls)
    local c = proxy:counts().dynamodb
    assert.is_true(c.retries > 0 and c.retries <= 500 // 5, c.retries .. " retries")
    assert.is_true(c.tokens_lowest >= 0 and c.tokens_lowest < 14, c.tokens_lowest .. " tokens")
    for i, result in ipairs(results) do
      assert.is_nil(result.value)
      if i > 80 then assert.truthy(result.message:find "quota", result.message) end
    end
  end)
end)
