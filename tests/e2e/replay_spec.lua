-- What a server in development has recorded, read by `perigee log` and run again by `perigee replay`.
local json = require "perigee.json"
local support = require "e2e.support"
local quote = support.quote

local BUG = [[
  if order.quantity > 5 then
    local rebate = order.rebate.percent
    order.total_price = order.total_price * (100 - rebate) // 100
  end
]]
local FIX = [[
  if order.quantity > 5 then order.note = "bulk" end
]]
local PLACE = "  orders.machine:start(order,"

describe("recording and replay", function()
  local dir, data, handler, healthy, server

  local function perigee(fmt, ...)
    local out, code = support.sh("%s " .. fmt .. " 2>&1", support.bin, ...)
    return out, code
  end
  local function log(fmt, ...) return perigee("log " .. fmt .. " --data " .. quote(data), ...) end
  local function replay(fmt, ...) return perigee("replay " .. fmt .. " --data " .. quote(data), ...) end

  -- The recordings that these options of ls give, oldest first, once there are so many.
  local function recorded(n, options)
    return support.eventually(20, n .. " recordings of " .. options, function()
      local found = {}
      for line in log("ls --json --limit 1000 " .. options):gmatch "[^\n]+" do found[#found + 1] = json.decode(line, { max_depth = 200 }) end
      return #found >= n and found
    end)
  end

  local function edit(text)
    support.write(handler, (healthy:gsub(PLACE:gsub("%p", "%%%0"), function() return text .. PLACE end)))
  end
  local function running_version() return server:get("/orders/none").headers["x-perigee-version"] end
  local function edit_and_wait(text)
    local before = running_version()
    edit(text)
    support.eventually(20, "the edit is in use", function() return running_version() ~= before end)
  end

  setup(function()
    dir = support.tmpdir()
    data = dir .. "/data"
    support.sh("cp -r config handlers %s/", quote(dir))
    local template = dir .. "/config/template.yaml"
    support.write(template, (support.read(template):gsub("\n  Perigee:\n", "%0    Redact: [gift.to]\n", 1)))
    handler = dir .. "/handlers/orders.lua"
    healthy = support.read(handler)
    server = support.start { data = data, args = ("--development --redact note_to_seller,email --template %s/config/template.yaml"):format(dir) }
  end)
  teardown(function()
    server:stop()
    support.rmdir(dir)
  end)

  describe("of an order that failed", function()
    local failed, bulk
    setup(function()
      edit_and_wait(BUG)
      bulk = { user_id = "u-bulk", item = "a lamp", quantity = 9, total_price = 900 }
      assert.equal(200, server:post("/orders", { user_id = "u-one", item = "a lamp", quantity = 1, total_price = 100 }).status)
      assert.equal(500, server:post("/orders", bulk, { ["X-Request-Id"] = "the-failed-one" }).status)
      failed = recorded(1, "--status 5xx")[1]
    end)

    it("is found by its status, its function, its id and when it was", function()
      assert.equal("the-failed-one", failed.request_id)
      assert.equal(1, #recorded(1, "--status failed --function CreateOrder --since 10m"))
      assert.equal(1, #recorded(1, "--order the-failed-one"))
      assert.matches("nothing is recorded", (log "ls --function CreateOrder --since 2100-01-01T00:00:00Z"))
      local table_of = log "ls --status failed"
      assert.matches("ID +TIME +KIND +FUNCTION +WHAT +OUTCOME +MS +CALLS", table_of)
      assert.matches(failed.id:sub(1, 8) .. ".*request +CreateOrder +POST /orders +500 HandlerError", table_of)
    end)

    it("shows the request, the traceback and the calls", function()
      local shown, code = log("show %s", failed.id:sub(1, 6))
      assert.equal(0, code)
      assert.matches("request  POST /orders from 127.0.0.1", shown, 1, true)
      assert.matches("orders.lua:%d+: attempt to index a nil value %(field 'rebate'%)", shown)
      assert.matches("local rebate = order.rebate.percent", shown, 1, true)
      assert.matches("calls  0", shown, 1, true)
    end)

    it("fails in the replay as it failed, as long as nothing is repaired", function()
      local out, code = replay("%s --diff", failed.id)
      assert.equal(1, code, out)
      assert.matches("500 HandlerError, as it was", out, 1, true)
      assert.matches("nothing changes", out, 1, true)
    end)

    it("shows the fix: the answer, the calls that now happen, the state and the lines that were edited", function()
      edit_and_wait(FIX)
      local out, code = replay("%s --diff", failed.id)
      assert.equal(0, code, out)
      assert.matches("- 500 HandlerError\n+ 200\n", out, 1, true)
      assert.matches("%- HandlerError: .-field 'rebate'", out)
      assert.matches("+ 1. dynamodb:TransactWriteItems Orders, Outbox -> ok", out, 1, true)
      assert.matches("%+ 2%. sqs:SendMessageBatch OrderEvents %-> ok", out)
      assert.matches("%+ Orders{order_id=[%x-]+} .*\"bulk\"", out)
      assert.matches("%+ queue OrderEvents{message 1}", out)
      assert.matches("handlers/orders.lua\n", out, 1, true)
      assert.matches("%- +%d+ +local rebate = order.rebate.percent", out)
      assert.matches('%+ +%d+ +if order.quantity > 5 then order.note = "bulk" end', out)
    end)

    it("runs without a server, and changes nothing in the store", function()
      local before = #recorded(1, "--function CreateOrder")
      local out = replay("%s", failed.id)
      assert.matches('"status":"PENDING_PAYMENT"', out, 1, true)
      assert.equal(before, #recorded(1, "--function CreateOrder"))
    end)
  end)

  describe("of what changes later", function()
    local id
    setup(function()
      edit_and_wait "\n"
      id = server:post("/orders", { user_id = "u-later", item = "a book", quantity = 1, total_price = 1999 }).json.order_id
      server:receipt_link(id)
      assert.equal(200, server:get("/orders/" .. id).status)
      assert.equal(200, server:post("/payments", { order_id = id, status = "paid" }).status)
      support.eventually(20, "shipped", function() return server:get("/orders/" .. id).json.status ~= "PENDING_PAYMENT" end)
    end)

    it("sees the state of then", function()
      local first = recorded(1, "--function GetOrder --order " .. id)[1]
      local out, code = replay("%s", first.id)
      assert.equal(0, code, out)
      assert.matches('"status":"PENDING_PAYMENT"', out, 1, true)
    end)

    it("changes nothing when nothing was edited, whatever was random: requests, payments, messages", function()
      for _, name in ipairs { "CreateOrder", "ReceivePayment", "ProcessOrders", "GetOrder" } do
        local one = recorded(1, ("--function %s --order %s"):format(name, id))[1]
        local out, code = replay("%s --diff", one.id)
        assert.equal(0, code, out)
        assert.matches("nothing changes", out, 1, true, name)
      end
    end)

    it("names what the new code looks at and the recording never saw", function()
      edit(("  orders.load %q\n"):format "an-order-of-another-day")
      local one = recorded(1, "--function CreateOrder --order " .. id)[1]
      local out, code = replay("%s --diff", one.id)
      edit "\n"
      assert.equal(0, code, out)
      assert.matches("the recording does not know Orders{order_id=an-order-of-another-day}: treated as absent", out, 1, true)
      assert.matches("+ 1. dynamodb:GetItem Orders -> ok", out, 1, true)
    end)

    it("finds a message by its correlation id", function()
      local event = recorded(1, "--function ProcessOrders --order " .. id)[1]
      assert.equal("message", event.kind)
      assert.truthy(#event.correlation_id > 0)
      assert.is_true(#recorded(1, "--correlation " .. event.correlation_id) >= 2)
    end)
  end)

  it("keeps neither credentials nor what is to be redacted, in bodies, calls or longer texts", function()
    local secret = "jana@example.org"
    server:post("/orders", { user_id = secret, item = "for " .. secret, email = secret, quantity = 1, total_price = 5,
      gift = { to = "Aunt Rosa", by = "me" } },
      { Authorization = "Bearer top-secret-token", ["X-Request-Id"] = "the-private-one" })
    recorded(1, "--order the-private-one")
    local all = support.sh("cat %s/recordings/*.jsonl", quote(data))
    assert.is_nil(all:find(secret, 1, true))
    assert.is_nil(all:find("top-secret-token", 1, true))
    assert.is_nil(all:find("Aunt Rosa", 1, true))
    assert.matches([[\"by\":\"me\"]], all, 1, true)
    assert.matches("for redacted%-%x+@redacted%.invalid", all)
  end)

  it("reads what was recorded before a crash, and goes on after it", function()
    server:kill()
    local segments = support.sh("ls %s/recordings/*.jsonl", quote(data))
    local last = segments:match "([^\n]+)\n$"
    support.write(last, support.read(last) .. '{"id":"ffffffffffff","kind":"requ')
    local before = #recorded(1, "")
    server = support.start { data = data, args = ("--development --template %s/config/template.yaml"):format(dir) }
    server:get "/orders/after-the-crash"
    assert.equal(1, #recorded(1, "--order after-the-crash"))
    assert.is_true(#recorded(before + 1, "") > before)
  end)

  describe("a document of production", function()
    local function document(value)
      local path = os.tmpname()
      support.write(path, type(value) == "string" and value or json.encode(value))
      finally(function() os.remove(path) end)
      return path
    end
    local function event(id)
      return json.encode { id = "0190a0a0-0000-7000-8000-000000000001", type = "order.created", version = 1,
        occurred_at = "2026-01-31T12:00:00.000Z", correlation_id = "c-1", data = { order_id = id } }
    end
    local template
    setup(function() template = "--template " .. quote(dir .. "/config/template.yaml") end)

    it("as an event finds its function by the route", function()
      local path = document(support.sh("%s event apigw-http --function GetOrder --path /orders/nobody %s", support.bin, template))
      local out, code = perigee("replay --json %s %s", path, template)
      assert.equal(0, code, out)
      assert.matches("state: empty", out, 1, true)
      assert.matches("GET /orders/nobody -> GetOrder", out, 1, true)
      assert.matches("there is no such order", out, 1, true)
    end)

    it("as a dead letter finds it by the queue that it came from, and fails with its traceback", function()
      local path = document { Messages = { { MessageId = "m-1", Body = event "gone", ReceiptHandle = "r",
        Attributes = { ApproximateReceiveCount = "5", SentTimestamp = "1767225600000",
          DeadLetterQueueSourceArn = "arn:aws:sqs:eu-central-1:123456789012:OrderEvents" } } } }
      local out, code = perigee("replay --json %s %s", path, template)
      assert.equal(1, code, out)
      assert.matches("message m-1 -> ProcessOrders", out, 1, true)
      assert.matches("dynamodb:GetItem", out, 1, true)
      assert.matches("stack traceback", out, 1, true)
    end)

    it("runs on a copy of a store, which another process may hold", function()
      local id = server:post("/orders", { user_id = "u", item = "a cup", quantity = 1, total_price = 5 }).json.order_id
      server:receipt_link(id)
      server:stop()
      local path = document { MessageId = "m-2", Body = event(id), queue = "OrderEvents" }
      local before = support.sh("cksum < %s/store.db", quote(data))
      local out, code = replay("--json %s %s", path, template)
      assert.equal(0, code, out)
      assert.matches("state: a copy of the data directory .-: %d+ items and %d+ objects", out)
      assert.equal(before, (support.sh("cksum < %s/store.db", quote(data))))
      server = support.start { data = data, args = ("--development --template %s/config/template.yaml"):format(dir) }
    end)

    it("as the record of a failed invocation runs what it was sent for", function()
      local path = document { version = "1.0", requestContext = { functionArn =
        "arn:aws:lambda:eu-central-1:123456789012:function:shop-ProcessOrders-1A2B3C:$LATEST", condition = "RetriesExhausted" },
        requestPayload = { Records = { { messageId = "m-3", body = event "gone", attributes = {}, messageAttributes = {},
          eventSource = "aws:sqs", eventSourceARN = "arn:aws:sqs:eu-central-1:123456789012:shop-OrderEvents-XYZ" } } } }
      local out, code = perigee("replay --json %s %s", path, template)
      assert.equal(1, code, out)
      assert.matches("-> ProcessOrders", out, 1, true)
    end)

    it("that names no function is refused, with what there is to do", function()
      local out, code = perigee("replay --json %s %s", document { hello = "world" }, template)
      assert.equal(1, code)
      assert.matches("names its function: --function NAME", out, 1, true)
      out, code = perigee("replay --json %s --function Nobody %s", document { hello = "world" }, template)
      assert.equal(1, code)
      assert.matches("the template has no function Nobody (it has CreateOrder", out, 1, true)
    end)
  end)

  it("says what it is not used with", function()
    for line, why in pairs {
      ["log whatever"] = "neither ls nor show", ["log show"] = "needs the id", ["log ls --status maybe"] = "'maybe' is not ok",
      ["log ls --since yesterday"] = "'yesterday' is neither", ["replay"] = "needs the id of a recording",
      ["serve --record --no-record --port 0 --cloud-port 0 --memory"] = "contradict each other",
    } do
      local out, code = perigee("%s", line)
      assert.is_true(code == 2 or line:find "^serve" and code == 1, line)
      assert.matches(why, out, 1, true)
    end
    local out, code = replay "000000zz"
    assert.equal(1, code)
    assert.matches("there is no recording 000000zz", out, 1, true)
  end)

  it("records an invocation when it is asked to", function()
    local path = os.tmpname()
    support.sh("%s event apigw-http --function GetOrder --path /orders/invoked > %s", support.bin, path)
    local own = dir .. "/own"
    perigee("invoke GetOrder --record --memory --data %s --event %s --log-level off", quote(own), path)
    os.remove(path)
    local out = perigee("log ls --data %s", quote(own))
    assert.matches("request +GetOrder +GET /orders/invoked +404", out)
    out = perigee("replay last --diff --data %s", quote(own))
    assert.matches("404, as it was", out, 1, true)
  end)
end)
