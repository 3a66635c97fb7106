--- idempotency.wrap in an application of its own: each function is the same handler with other options.
local directory = require "unit.directory"
local json = require "perigee.json"
local testing = require "perigee.testing"

-- The effect is a number that goes up, so that doing it twice shows. What the body asks for happens afterwards.
local SHOP = [[
local aws = require "perigee.aws"
local http = require "perigee.http"
local idempotency = require "perigee.idempotency"
local json = require "perigee.json"
local parallel = require "perigee.parallel"
local time = require "perigee.time"

local function count(name)
  return assert(aws.dynamodb:update_item { TableName = "Effects", Key = { id = name }, UpdateExpression = "ADD n :one",
    ExpressionAttributeValues = { [":one"] = 1 }, ReturnValues = "ALL_NEW" }).Attributes.n
end

local function charge(request)
  local wanted = request:json() or {}
  local n = count "charge"
  if wanted.sleep then time.sleep(wanted.sleep) end
  if wanted.raise then error "it went wrong" end
  if wanted.nothing then return end
  if wanted.nameless then return 200, "x", { "no name" } end
  if wanted.fails then return nil, { code = "Declined", message = "it is declined" } end
  if wanted.status then return wanted.status, { n = n } end
  if wanted.text then return 200, wanted.text end
  if wanted.float then return 201.0, 42 end
  if wanted.null then return { statusCode = 200.0, body = json.null } end
  if wanted.changed then
    local answer = http.ok "text"
    answer.body = { changed = true }
    return answer
  end
  if wanted.latin then return 200, "x", { ["X-Name"] = "Jos\xe9", ["X-Tag"] = { "a", "\xe9" } } end
  if wanted.bytes then return http.ok(("\0\xff"):rep(wanted.bytes // 2), { ["Content-Type"] = "image/png" }) end
  if wanted.lambda then
    return { statusCode = 201, multiValueHeaders = { ["X-Tag"] = json.array { "a", "b" } }, body = "aGk=", isBase64Encoded = true }
  end
  return http.created({ n = n }, { Location = "/charges/" .. n, ["Set-Cookie"] = "secret=1", ["X-Kind"] = "card" })
end

local HEADER = idempotency.header "Idempotency-Key"

local function wrapped(options)
  options.key = options.key or HEADER
  return idempotency.wrap(options, charge)
end

local shop = {
  plain = wrapped {},
  required = wrapped { required = true },
  body = wrapped { key = idempotency.body "order.id", hash = { "body.amount" } },
  path = wrapped { key = idempotency.path "id" },
  both = wrapped { key = idempotency.all(idempotency.query "a", idempotency.query "b") },
  members = wrapped { key = idempotency.all(idempotency.body "a", idempotency.body "b") },
  own = wrapped { key = function(request) return request.headers["x-own"] end, hash = function(request) return request.query.v end },
  unchecked = wrapped { hash = false },
  methods = wrapped { hash = { "method", "header.X-Tenant" } },
  callers = wrapped { scope = function(request) return "caller-" .. (request.headers["x-caller"] or "") end },
  waits = wrapped { in_progress = "wait" },
  waits_little = wrapped { in_progress = "wait", wait_ms = 100 },
  held = wrapped { on_timeout = "hold" },
  lease = wrapped { lease_ms = 500 },
  brief = wrapped { ttl = 5 },
  conflict = wrapped { mismatch = 409 },
  created_only = wrapped { cache = { 201 } },
  judged = wrapped { cache = function(status) return status ~= 402 end },
  quiet = wrapped { replay_header = false },
  named = wrapped { replay_header = "X-Again", headers = { "location" } },
  small = wrapped { max_bytes = 200 },
  hooked = wrapped { on_replay = function(answer, record) answer.headers["X-Since"] = record.created_at; return answer end },
}

-- Two at once: what both answered.
local function both(name)
  return function(request, context)
    local function one() return shop[name](request, context) end
    local out = {}
    for i, r in ipairs(parallel { one, function() time.sleep(10); return one() end }) do
      if not r[1] then error(r[2]) end
      out[i] = { status = r[2].status, again = r[2].headers["Idempotent-Replayed"], retry = r[2].headers["Retry-After"] }
    end
    return http.ok { first = out[1], second = out[2] }
  end
end
function shop.once()
  local ran, err = idempotency.once("effect", 1000, function() return count "once" end, { on_timeout = "hold", ttl = 60 })
  return http.ok { ran = ran, err = err and err.code }
end

shop.two_plain, shop.two_waits, shop.two_waits_little = both "plain", both "waits", both "waits_little"

function shop.parts(request, context)
  return idempotency.wrap({ key = HEADER }, function()
    count "charge"
    local stream = http.stream(context, { status = 200 })
    stream:write "in "
    stream:write "parts"
  end)(request, context)
end

shop.message = idempotency.wrap({ key = idempotency.body "id", hash = { "body" } }, function(message)
  count "message"
  if message:json().fails then error "not now" end
end)

shop.event = idempotency.wrap({ key = idempotency.body "detail-type", scope = "events", hash = { "body.source" } }, function()
  return { n = count "event", half = 0.5 }
end)

function shop.misused()
  local function why(...)
    local ok, err = pcall(idempotency.wrap, ...)
    return not ok and tostring(err):gsub("^[^ ]+ ", "") or "taken"
  end
  return http.ok {
    why({}, charge), why({ key = HEADER, tll = 1 }, charge), why({ key = HEADER, ttl = 0 }, charge),
    why({ key = HEADER, in_progress = "maybe" }, charge), why({ key = HEADER, on_timeout = "never" }, charge),
    why({ key = HEADER, hash = { "cookies" } }, charge), why({ key = HEADER }, nil), why({ key = "Idempotency-Key" }, charge),
    why({ key = HEADER, hash = true }, charge), why({ key = HEADER, max_bytes = 400 * 1024 }, charge),
    (select(2, pcall(idempotency.all))),
    select(2, pcall(idempotency.once, "effect", 1000, charge, { on_timout = "hold" })),
    select(2, pcall(idempotency.once, "effect", 1000, charge, { ttl = 0 })),
  }
end

return shop
]]

local HTTP = { "plain", "required", "body", "both", "members", "own", "unchecked", "methods", "callers", "waits", "waits_little", "held", "lease",
  "brief", "conflict", "created_only", "judged", "quiet", "named", "small", "hooked", "two_plain", "two_waits", "two_waits_little", "parts",
  "misused", "once" }

local function template()
  local out = { [[
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    CodeUri: .
    Runtime: provided.al2023
    Timeout: 10
    Environment: { Variables: { IDEMPOTENCY_TABLE: Records, IDEMPOTENCY_SECONDS: "3600" } }
    Policies:
      - Statement: [{ Effect: Allow, Action: "dynamodb:*", Resource: "*" }]
Resources:
  Records:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Records
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: key, AttributeType: S }]
      KeySchema: [{ AttributeName: key, KeyType: HASH }]
      TimeToLiveSpecification: { AttributeName: expires_at, Enabled: true }
  Effects:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Effects
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: id, AttributeType: S }]
      KeySchema: [{ AttributeName: id, KeyType: HASH }]
  Work:
    Type: AWS::SQS::Queue
    Properties: { QueueName: Work, VisibilityTimeout: 60, RedrivePolicy: { deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3 } }
  Dead:
    Type: AWS::SQS::Queue
    Properties: { QueueName: Dead }
  Message:
    Type: AWS::Serverless::Function
    Properties:
      Handler: shop.message
      Events: { Queue: { Type: SQS, Properties: { Queue: !GetAtt Work.Arn, FunctionResponseTypes: [ReportBatchItemFailures] } } }
  Event:
    Type: AWS::Serverless::Function
    Properties: { Handler: shop.event, Events: { Clock: { Type: Schedule, Properties: { Schedule: rate(1 day) } } } }
  Path:
    Type: AWS::Serverless::Function
    Properties:
      Handler: shop.path
      Events: { Any: { Type: HttpApi, Properties: { Path: "/path/{id}", Method: PUT } } }
]] }
  for _, name in ipairs(HTTP) do
    local id = name:gsub("_", ""):gsub("^%l", string.upper)
    out[#out + 1] = ([[
  %s:
    Type: AWS::Serverless::Function
    Properties:
      Handler: shop.%s
      Events: { Any: { Type: HttpApi, Properties: { Path: /%s, Method: ANY } } }
]]):format(id, name, name)
  end
  return table.concat(out)
end

describe("a handler that runs once per key", function()
  local dir = directory(_ENV, { ["shop.lua"] = SHOP, ["template.yaml"] = template() })
  local app
  before_each(function() app = testing.app { template = dir .. "/template.yaml" } end)
  after_each(function()
    if app then app:close() end
  end)

  local function effects(name)
    local item = app.dynamodb:get("Effects", name or "charge")
    return item and item.n or 0
  end

  local function post(name, body, key, headers)
    local sent = { ["Idempotency-Key"] = key }
    for k, v in pairs(headers or {}) do sent[k] = v end
    return app:request("POST", "/" .. name, { body = body or { amount = 1 }, headers = sent })
  end

  local function record(key) return app.dynamodb:get("Records", key) end

  local function refuses(status, code, answer)
    assert.equal(status, answer.status, answer.body)
    assert.equal(code, answer.json.error.code)
  end

  it("answers again as it did, with all headers but cookies, and says so", function()
    local first, second = post("plain", nil, "k"), post("plain", nil, "k")
    assert.equal(201, first.status)
    assert.is_nil(first.headers["idempotent-replayed"])
    assert.equal("secret=1", first.headers["set-cookie"])
    assert.equal(201, second.status)
    assert.equal(first.body, second.body)
    for _, name in ipairs { "location", "x-kind", "content-type" } do assert.equal(first.headers[name], second.headers[name], name) end
    assert.equal("true", second.headers["idempotent-replayed"])
    assert.is_nil(second.headers["set-cookie"])
    assert.equal(1, effects())
    assert.equal("done", record("Plain/k").phase)
    assert.equal(201, post("plain", nil, "other").status)
    assert.equal(2, effects())
  end)

  it("keeps every shape of an answer", function()
    for i, wanted in ipairs { { status = 202 }, { text = "José" }, { bytes = 64 }, { lambda = true }, { text = "" }, { float = true },
      { null = true }, { changed = true }, { latin = true } } do
      local first, second = post("plain", wanted, "k" .. i), post("plain", wanted, "k" .. i)
      assert.equal("true", second.headers["idempotent-replayed"], i)
      assert.is_true(first.status < 300, i)
      assert.same({ first.status, first.body, first.headers["content-type"], first.headers["x-tag"], first.headers["x-name"] },
        { second.status, second.body, second.headers["content-type"], second.headers["x-tag"], second.headers["x-name"] }, i)
    end
    assert.equal(9, effects())
  end)

  it("runs each time without a key, unless one is required", function()
    post("plain")
    post("plain")
    assert.equal(2, effects())
    refuses(400, "bad_request", post("required"))
    assert.equal(201, post("required", nil, "k").status)
  end)

  it("refuses keys that are not fit to be one", function()
    for _, key in ipairs { "a b", ("k"):rep(256), '""' } do refuses(400, "invalid", post("plain", nil, key)) end
    refuses(400, "bad_request", post("body", { order = { id = { 1 } } }))
    refuses(400, "bad_request", post("body", { order = { id = ("x"):rep(1025) } }))
    for _, part in ipairs { { 1 }, true, json.object {} } do refuses(400, "bad_request", post("members", { a = "a", b = part })) end
    refuses(400, "bad_request", post "both?a=%FF&b=1")
    assert.equal(0, effects())
  end)

  it("finds its key in the body, the path, several places, or as it is told", function()
    local function twice(first, second)
      assert.equal(201, first.status, first.body)
      assert.equal("true", second.headers["idempotent-replayed"])
    end
    twice(post("body", { order = { id = 7 }, amount = 1 }), post("body", { order = { id = "7" }, amount = 1, note = "again" }))
    refuses(422, "key_reused", post("body", { order = { id = 7 }, amount = 2 }))
    assert.equal(201, post("body", { order = {} }).status)
    local function put(id) return app:request("PUT", "/path/" .. id, { body = {} }) end
    twice(put "A", put "A")
    assert.is_nil(put("B").headers["idempotent-replayed"])
    local function query(a, b) return app:request("POST", "/both", { body = {}, query = { a = a, b = b } }) end
    twice(query("a", "bc"), query("a", "bc"))
    assert.is_nil(query("ab", "c").headers["idempotent-replayed"])
    assert.is_nil(query("a").headers["idempotent-replayed"])
    twice(post("own?v=1", { x = 1 }, nil, { ["X-Own"] = "k" }), post("own?v=1", { x = 2 }, nil, { ["X-Own"] = "k" }))
    refuses(422, "key_reused", post("own?v=2", nil, nil, { ["X-Own"] = "k" }))
  end)

  it("refuses another payload under the same key: method, path, query and body, in any order of members", function()
    post("plain", '{"a":1,"b":2}', "k")
    assert.equal("true", post("plain", '{ "b": 2, "a": 1 }', "k").headers["idempotent-replayed"])
    refuses(422, "key_reused", post("plain", '{"a":1,"b":3}', "k"))
    refuses(422, "key_reused", post("plain?x=1", '{"a":1,"b":2}', "k"))
    refuses(422, "key_reused", app:request("PUT", "/plain", { body = '{"a":1,"b":2}', headers = { ["Idempotency-Key"] = "k" } }))
    local function bytes(body) return post("plain?x=%FF&y=1&y=2", body, "bytes", { ["Content-Type"] = "image/png" }) end
    assert.equal(201, bytes("\xff\x00").status)
    assert.equal("true", bytes("\xff\x00").headers["idempotent-replayed"])
    refuses(422, "key_reused", bytes "\xff\x01")
    refuses(409, "conflict", post("conflict", {}, "k") and post("conflict", { other = true }, "k"))
    post("unchecked", { a = 1 }, "k")
    assert.equal("true", post("unchecked", { a = 2 }, "k").headers["idempotent-replayed"])
    post("methods", { a = 1 }, "k", { ["X-Tenant"] = "t" })
    assert.equal("true", post("methods", { a = 2 }, "k", { ["X-Tenant"] = "t" }).headers["idempotent-replayed"])
    refuses(422, "key_reused", post("methods", { a = 1 }, "k", { ["X-Tenant"] = "u" }))
  end)

  it("keeps callers apart when its scope does", function()
    post("callers", nil, "k", { ["X-Caller"] = "ada" })
    assert.is_nil(post("callers", nil, "k", { ["X-Caller"] = "bob" }).headers["idempotent-replayed"])
    assert.equal("true", post("callers", nil, "k", { ["X-Caller"] = "ada" }).headers["idempotent-replayed"])
    assert.is_table(record "caller-ada/k")
    post("callers", nil, "b/k", { ["X-Caller"] = "a" })
    assert.is_nil(post("callers", nil, "k", { ["X-Caller"] = "a/b" }).headers["idempotent-replayed"])
    assert.is_nil(post("callers", nil, "k", { ["X-Caller"] = "a%2Fb" }).headers["idempotent-replayed"])
  end)

  it("gives its key back when it raises, fails, or answers 5xx", function()
    for i, wanted in ipairs { { raise = true }, { fails = true }, { status = 503 }, { status = 500 }, { nothing = true },
      { nameless = true } } do
      assert.is_true(post("plain", wanted, "k").status >= 500)
      assert.is_true(post("plain", wanted, "k").status >= 500)
      assert.equal(2 * i, effects())
      assert.is_nil(record "Plain/k")
    end
    assert.equal(201, post("plain", nil, "k").status, "another payload is fine, since nothing came of the first")
  end)

  it("keeps refusals, but those that say later", function()
    for _, case in ipairs { { "plain", 402, true }, { "plain", 404, true }, { "plain", 429, false }, { "plain", 408, false },
      { "created_only", 200, false }, { "created_only", 201, true }, { "judged", 402, false }, { "judged", 500, false } } do
      local name, status, kept = table.unpack(case)
      local key = "k" .. status
      post(name, { status = status }, key)
      assert.equal(kept and "true" or nil, post(name, { status = status }, key).headers["idempotent-replayed"], name .. status)
    end
  end)

  it("forgets after its time, though the record is still there", function()
    post("brief", nil, "k")
    local item = record "Brief/k"
    assert.equal("true", post("brief", nil, "k").headers["idempotent-replayed"])
    app.clock:advance "7s"
    app.dynamodb:put("Records", item)
    assert.is_nil(post("brief", { another = "payload" }, "k").headers["idempotent-replayed"])
    assert.equal(2, effects())
    post("plain", nil, "k")
    app.clock:advance "59m"
    assert.equal("true", post("plain", nil, "k").headers["idempotent-replayed"])
    app.clock:advance "2m"
    assert.is_nil(post("plain", nil, "k").headers["idempotent-replayed"])
  end)

  it("says that an answer was too large or sent in parts, and does not run again", function()
    local first = post("small", { text = ("x"):rep(300) }, "k")
    assert.equal(300, #first.body)
    local second = post("small", { text = ("x"):rep(300) }, "k")
    refuses(409, "answer_not_kept", second)
    assert.matches("300 bytes", second.json.error.message)
    assert.equal("in parts", post("parts", nil, "k").body)
    refuses(409, "answer_not_kept", post("parts", nil, "k"))
    assert.equal(2, effects())
    local large = ("y"):rep(300 * 1024)
    assert.equal(large, post("plain", { text = large }, "k").body)
    assert.equal(large, post("plain", { text = large }, "k").body)
  end)

  it("replays without a header, with one of another name, with chosen headers, or as a hook wants it", function()
    post("quiet", nil, "k")
    assert.is_nil(post("quiet", nil, "k").headers["idempotent-replayed"])
    post("named", nil, "k")
    local named = post("named", nil, "k")
    assert.equal("true", named.headers["x-again"])
    assert.equal("/charges/2", named.headers.location)
    assert.is_nil(named.headers["x-kind"])
    assert.matches("json", named.headers["content-type"])
    post("hooked", nil, "k")
    assert.matches("^2026%-", post("hooked", nil, "k").headers["x-since"])
    assert.equal(3, effects())
  end)

  it("refuses options that are none, by name", function()
    local why = app:get("/misused").json
    for i, pattern in ipairs { "'key' is missing", "no option 'tll'", "'ttl' must be a positive integer", '"wait" or "conflict"',
      '"expire" or "hold"', "'cookies' is no part", "and a handler", "'key' must be a function", "never true", "'max_bytes' must be at most", "idempotency.all takes functions",
      "no option 'on_timout'", "'ttl' must be a positive integer" } do
      assert.matches(pattern, why[i])
    end
  end)

  describe("and two at once", function()
    it("answers the second with 409 and Retry-After", function()
      local out = post("two_plain", { sleep = 300 }, "k").json
      assert.equal(201, out.first.status)
      assert.same({ status = 409, retry = "5" }, out.second)
      assert.equal(1, effects())
    end)

    it("lets the second wait for the answer of the first", function()
      local out = post("two_waits", { sleep = 3000 }, "k").json
      assert.equal(201, out.first.status)
      assert.same({ status = 201, again = "true" }, out.second)
      assert.equal(1, effects())
    end)

    it("lets it wait no longer than it may", function()
      assert.equal(409, post("two_waits_little", { sleep = 3000 }, "k").json.second.status)
      assert.equal(1, effects())
    end)

    it("lets the second run when the first fails", function()
      local answer = post("two_waits", { sleep = 200, raise = true }, "k")
      assert.equal(500, answer.status)
      assert.equal(2, effects())
    end)
  end)

  describe("of a process that died", function()
    -- The effect has happened, its completion has not.
    local function die(name)
      app:fail("dynamodb:UpdateItem", { at = "after", resource = "Effects" })
      local answer, err = post(name, nil, "k")
      assert.is_nil(answer)
      assert.equal("ProcessDied", err.code)
      app:crash()
      refuses(409, "in_progress", post(name, nil, "k"))
    end

    it("runs again after its lease, with the same payload", function()
      die "plain"
      app.clock:advance "12s"
      refuses(422, "key_reused", post("plain", { amount = 2 }, "k"))
      assert.equal(201, post("plain", nil, "k").status)
      assert.equal(2, effects())
    end)

    it("runs again after a lease of its own", function()
      die "lease"
      app.clock:advance "1s"
      assert.equal(201, post("lease", nil, "k").status)
    end)

    it("is held until somebody evicts the record", function()
      die "held"
      app.clock:advance "400d"
      local answer = post("held", nil, "k")
      refuses(409, "held", answer)
      assert.matches("perigee idempotency evict Held/k", answer.json.error.message)
      assert.is_nil(answer.headers["retry-after"])
      assert.equal(1, effects())
      app.dynamodb:delete("Records", "Held/k")
      assert.equal(201, post("held", nil, "k").status)
    end)

    it("is not held when it failed in the open", function()
      assert.equal(500, post("held", { raise = true }, "k").status)
      assert.equal(201, post("held", nil, "k").status)
      assert.equal("true", post("held", nil, "k").headers["idempotent-replayed"])
      assert.is_nil(record("Held/k").held)
    end)

    it("is held as a single effect, too", function()
      app:fail("dynamodb:UpdateItem", { at = "after", resource = "Effects" })
      assert.is_nil(app:post "/once")
      app:crash()
      app.clock:advance "400d"
      assert.same({ err = "Held" }, app:post("/once").json)
      app.dynamodb:delete("Records", "effect")
      assert.same({ true, false }, { app:post("/once").json.ran, app:post("/once").json.ran })
      app.clock:advance "62s"
      assert.is_true(app:post("/once").json.ran)
      assert.equal(3, effects "once")
    end)

    it("keeps its key when its time was up", function()
      app:fail("dynamodb:UpdateItem", { at = "stalls", resource = "Effects" })
      assert.equal(504, post("plain", nil, "k").status)
      assert.equal("running", record("Plain/k").phase)
      app.clock:advance "12s"
      assert.equal(201, post("plain", nil, "k").status)
    end)
  end)

  describe("on a store that fails", function()
    -- Tries until it is answered with success, as clients do; how often.
    local function insist(name)
      for i = 1, 20 do
        local answer = post(name, nil, "k")
        if not answer then app:crash() end
        if answer and answer.status == 201 then return i end
        app.clock:advance "3s"
      end
      error "no success after 20 attempts"
    end

    it("does its effect once, whichever call is lost or refused", function()
      for n = 1, 2 do
        for _, at in ipairs { "lost", "refused", "commit" } do
          app:close()
          app = testing.app { template = dir .. "/template.yaml" }
          app:fail("dynamodb:*", { at = at, resource = "Records", nth = n })
          insist "plain"
          assert.equal(1, effects(), at .. " " .. n)
          assert.equal("true", post("plain", nil, "k").headers["idempotent-replayed"])
        end
      end
    end)

    it("does its effect once when the process dies at any call of the records, but the last", function()
      for n = 1, 2 do
        for _, at in ipairs { "before", "after" } do
          app:close()
          app = testing.app { template = dir .. "/template.yaml" }
          app:fail("dynamodb:*", { at = at, resource = "Records", nth = n })
          insist "plain"
          -- dying between the effect and its completion is the one point where nobody knows
          assert.equal(n == 2 and at == "before" and 2 or 1, effects(), at .. " " .. n)
        end
      end
    end)

    it("runs what failed again after its lease, when its key could not be given back", function()
      app:fail("dynamodb:DeleteItem", { at = "refused" })
      assert.equal(500, post("plain", { raise = true }, "k").status)
      refuses(409, "in_progress", post("plain", { raise = true }, "k"))
      app.clock:advance "12s"
      assert.equal(500, post("plain", { raise = true }, "k").status)
      assert.equal(2, effects())
    end)

    it("answers, though the answer cannot be kept", function()
      app:fail("dynamodb:UpdateItem", { at = "refused", resource = "Records", times = -1 })
      assert.equal(201, post("plain", nil, "k").status)
      assert.equal("running", record("Plain/k").phase)
    end)
  end)

  describe("of a queue", function()
    it("does a message that comes again without running", function()
      app:send("Work", { id = "m-1" })
      app:send("Work", { id = "m-1" })
      app:drain()
      assert.equal(1, effects "message")
      assert.equal(0, app.queues:count "Dead")
    end)

    it("raises for the key of another message, which ends in the dead-letter queue", function()
      app:send("Work", { id = "m-1" })
      app:drain()
      app:send("Work", { id = "m-1", other = true })
      app:drain()
      assert.equal(1, effects "message")
      assert.equal(1, app.queues:count "Dead")
    end)

    it("gives its key back when it raises", function()
      app:send("Work", { id = "m-1", fails = true })
      app:drain()
      assert.equal(3, effects "message")
      assert.equal(1, app.queues:count "Dead")
    end)
  end)

  it("keeps the result of an event, which then does not run again", function()
    app:schedule "EventClock"
    app:schedule "EventClock"
    assert.same({ n = 1, half = 0.5 }, (json.decode(record("events/Scheduled Event").answer)))
    assert.equal(1, effects "event")
  end)
end)
