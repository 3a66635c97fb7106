--- Many orders and many requests on the release build: nothing is left over, and memory stays flat.
local support = require "e2e.support"
local host = require "perigee.host"

local ORDERS = math.tointeger(tonumber(os.getenv "PERIGEE_VOLUME_ORDERS" or 1000))
local REQUESTS = math.tointeger(tonumber(os.getenv "PERIGEE_VOLUME_REQUESTS" or 20000))
local load_bin = (support.release:match "^(.*)/" or ".") .. "/bench/perigee_load"

local function depth(h, queue)
  local a = assert(h:aws("sqs", "GetQueueAttributes", { QueueUrl = "http://127.0.0.1/000000000000/" .. queue, AttributeNames = { "All" } })).Attributes
  return a.ApproximateNumberOfMessages + a.ApproximateNumberOfMessagesNotVisible + a.ApproximateNumberOfMessagesDelayed
end

describe("a long run", function()
  it("processes every order: queues empty, no dead letters, one receipt each", function()
    local data = support.tmpdir()
    local server = support.start { data = data, bin = support.release }
    local out = support.sh("%s --port %s --connections 16 --requests %d --deadline 300", load_bin, server.http:match ":(%d+)$", ORDERS)
    assert.truthy(out:find('"ok":' .. ORDERS, 1, true), out)
    support.eventually(600, "the last receipts", function()
      local metrics = server:get("/metrics").body
      local done = tonumber(metrics:match "perigee_messages_total (%d+)")
      return done >= ORDERS
    end)
    server:signal "TERM"
    server:await_end()
    support.rmdir(server.dir)
    local h <close> = assert(host.open { data = data })
    assert(h:drain(60000))
    for _, queue in ipairs { "OrderEvents", "OrderEventsDLQ", "PaymentEvents", "PaymentEventsDLQ" } do
      assert.equal(0, depth(h, queue), queue)
    end
    h:close()
    support.rmdir(data)
  end)

  it("keeps its memory flat over many requests", function()
    local server = support.start { bin = support.release }
    assert.equal(200, server:post("/orders", { orderId = "flat", customerName = "Ada" }).status)
    server:receipt_link "flat"
    local ids = server.dir .. "/ids"
    support.write(ids, ("flat\n"):rep(REQUESTS // 4))
    local function burst()
      local out = support.sh("%s --port %s --path /orders/%%s --ids-from %s --connections 16 --deadline 300", load_bin,
        server.http:match ":(%d+)$", ids)
      assert.truthy(out:find('"ok":' .. REQUESTS // 4, 1, true), out)
      return server:rss()
    end
    local first = burst()
    burst()
    burst()
    local last = burst()
    assert.is_true(last < first * 1.15 + 2048, ("RSS grew from %d to %d KiB"):format(first, last))
    server:stop()
  end)
end)
