--- The order system on `perigee serve --aws`: the same handlers, the same template, other people's engines.
local support = require "e2e.support"
local order_system = require "e2e.order_system"
local peers = require "peers.peers"
local json = require "perigee.json"

local MAIL = "--parameters SenderAddress=shop@example.com"

--- @param endpoints fun(url: table<string, string>): table<string, string>
local function on(names, endpoints, links_unchecked)
  local why = peers.missing(names)
  if why then return pending("its contract: " .. why) end
  local set
  setup(function()
    set = peers.start(names)
    set:verify_sender "shop@example.com"
  end)
  teardown(function() if set then set:stop() end end)

  local function start()
    return support.start { aws = true, env = peers.environment(endpoints(set.url)), args = MAIL, wait = 60 }
  end

  local server
  order_system(_ENV, { links_unchecked = links_unchecked, start = function()
    server = start()
    return server
  end })

  it("says it is ready in one line that names no cloud of its own", function()
    assert.matches("^perigee: ready http=http://127%.0%.0%.1:%d+[^\n]*\n$", support.read(server.dir .. "/out"))
    assert.is_nil(server.cloud)
  end)

  it("mails the receipt once for each event", function()
    local function mails()
      local list = {}
      for _, mail in ipairs(json.decode((support.sh("curl -s %s/peer/mails", set.url.moto)))) do
        if mail.to[1] == "ada@example.com" then list[#list + 1] = mail end
      end
      return list
    end
    assert.equal(200, server:post("/orders", { orderId = "mailed", customerName = "Ada", email = "ada@example.com" }).status)
    support.eventually(30, "a mail", function() return #mails() == 1 end)
    assert.equal(200, server:post("/payments", { order_id = "mailed", status = "paid" }).status)
    local list = support.eventually(30, "a second mail", function() return #mails() == 2 and mails() end)
    assert.equal("shop@example.com", list[1].from)
    assert.same({ "Your order mailed", "Your order mailed is paid" }, { list[1].subject, list[2].subject })
    assert.not_equal(list[1].event, list[2].event)
  end)

  it("shows a second server the orders of the first, since nothing is kept on this machine", function()
    assert.equal(200, server:post("/orders", { orderId = "shared", customerName = "Ada" }).status)
    server:receipt_link "shared"
    local second = start()
    local order, receipt = second:get "/orders/shared", second:get "/receipt/shared"
    second:stop()
    assert.equal("Ada", order.json.customer_name)
    assert.equal(200, receipt.status)
  end)

  it("stops without waiting for its polls of 20 s, and loses no message", function()
    local first = start()
    for i = 1, 10 do assert.equal(200, first:post("/orders", { orderId = "stop-" .. i, customerName = "Ada" }).status) end
    local began = os.time()
    local log = first:stop()
    assert.is_true(os.time() - began < 15, log)
    local second = start()
    for i = 1, 10 do -- what was handed out to a poll at that moment comes back after its visibility of 60 s
      support.eventually(120, "a receipt of stop-" .. i, function() return second:get("/receipt/stop-" .. i).status == 200 end)
    end
    assert.is_nil((log .. second:stop()):find(peers.SECRET, 1, true))
  end)
end

describe("perigee serve --aws on moto", function()
  on({ "moto" }, function(url) return { all = url.moto } end, "moto checks no signatures")
end)

describe("perigee serve --aws on DynamoDB Local, ElasticMQ, MinIO and moto", function()
  on({ "moto", "dynamodb", "elasticmq", "minio" }, function(url)
    return { dynamodb = url.dynamodb, sqs = url.elasticmq, s3 = url.minio, all = url.moto }
  end)
end)

describe("perigee serve --aws on DynamoDB Local, ElasticMQ and moto", function()
  if not peers.missing { "minio" } then return end -- the suite above has it all
  on({ "moto", "dynamodb", "elasticmq" }, function(url)
    return { dynamodb = url.dynamodb, sqs = url.elasticmq, all = url.moto }
  end, "moto checks no signatures")
end)
