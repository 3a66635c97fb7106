--- perigee.dlq on a store that fails at each of its calls, and filters. The command itself: tests/e2e/operator_spec.lua.
local dlq = require "perigee.dlq"
local host = require "perigee.host"
local json = require "perigee.json"
local operator = require "perigee.operator"
local recordings = require "perigee.recordings"
local testing = require "perigee.testing"

describe("a filter of dead letters", function()
  local message = { MessageId = "m-1", MessageAttributes = { kind = { DataType = "String", StringValue = "card" },
    bin = { DataType = "Binary", BinaryValue = "AAH/" } } }
  local body = { type = "order.created", data = { order_id = "o-1", n = 3, paid = true }, lines = json.array { { sku = "x" } }, none = json.null }

  it("looks at members of the body, attributes and the id", function()
    for text, matches in pairs {
      ["type=order.created"] = true, ["type=order"] = false, ["type~^order%."] = true, ["data.order_id=o-1"] = true, ["data.n=3"] = true,
      ["data.paid=true"] = true, ["lines.1.sku=x"] = true, ["@kind=card"] = true, ["@none=card"] = false, ["@bin=AAH/"] = true, ["id=m-1"] = true, ["id=m-2"] = false,
      ["data=x"] = false, ["none="] = false, ["none~."] = false, ["missing.member=x"] = false, ["type~a=b"] = false,
    } do
      assert.equal(matches, assert(dlq.filter(text))(message, body), text)
    end
    assert.is_false(dlq.filter("type=x")(message, "no table"))
  end)

  it("is refused when it is none", function()
    for _, text in ipairs { "type", "=x", "", "type~[", "type~order%", "type~^(order", "type~a[" } do assert.is_nil((dlq.filter(text)), text) end
  end)
end)

describe("what operators see", function()
  it("moves no cursor", function()
    assert.equal("a [2J b 2J é", operator.plain "a\27[2J\nb\u{9b}2J é")
    assert.equal("a [2J\nb 2J é", recordings.safe "a\27[2J\nb\u{9b}2J é")
  end)
end)

describe("redrive", function()
  local N = 3
  local app, say, template
  setup(function()
    template = host.inspect { template = "config/template.yaml" }
    say = operator.say
    operator.say = function() end
  end)
  teardown(function() operator.say = say end)
  before_each(function()
    app = testing.app()
    for i = 1, N do app:send("OrderEventsDLQ", { id = "e" .. i }) end
  end)
  after_each(function() app:close() end)

  -- A store whose n-th call is refused, happens without an answer, or kills the command before or after it.
  local function store(n, at)
    local calls, dead = 0, false
    local lost = { code = "RequestTimeout", message = "no answer" }
    return {
      options = {}, where = "a test", template = function() return template end,
      catch_interrupts = function() end, interrupted = function() return false end,
      struck = function() return calls >= n end,
      call = function(_, service, action, params)
        calls = calls + 1
        if dead or calls == n and at == "before" then
          dead = true
          error("killed", 0)
        end
        if calls == n and at == "refused" then return nil, { code = "ThrottlingException", message = "not now" } end
        local out, err = app.host:aws(service, action, params)
        if calls == n and at == "lost" then return nil, lost end
        if calls == n and at == "after" then
          dead = true
          error("killed", 0)
        end
        return out, err
      end,
    }
  end

  local function ids(queue)
    local out = {}
    for _, m in ipairs(app.queues:peek(queue)) do out[#out + 1] = m.json.id end
    table.sort(out)
    return out
  end

  -- Runs until it succeeds, waiting for what is held each time; whether the fault was met.
  local function insist(n, at)
    local failing, struck = store(n, at), false
    for _ = 1, 5 do
      local ok, code = pcall(dlq.act, failing, {}, { "redrive", "OrderEvents" })
      struck = struck or failing.struck()
      if ok and code == 0 then return struck end
      app.clock:advance "301s"
      failing = store(0)
    end
    error "it does not succeed"
  end

  it("moves everything, whatever goes wrong, and doubles at most the one message in hand", function()
    local points = 0
    for _, at in ipairs { "refused", "lost", "before", "after" } do
      for n = 1, 100 do
        local snapshot = app:snapshot()
        local struck = insist(n, at)
        assert.same({}, ids "OrderEventsDLQ")
        local there, once = ids "OrderEvents", {}
        for _, id in ipairs(there) do once[id] = true end
        for i = 1, N do assert.is_true(once["e" .. i], ("%s %d: e%d is lost"):format(at, n, i)) end
        assert.is_true(#there <= N + 1, ("%s %d: %d messages"):format(at, n, #there))
        app:restore(snapshot)
        snapshot:drop()
        if not struck then break end
        points = points + 1
      end
    end
    assert.is_true(points > 4 * 2 * N, points .. " points")
  end)

  it("leaves everything where it is at a dry run, visible", function()
    local code = dlq.act(store(0), { ["dry-run"] = true, json = true }, { "redrive", "OrderEvents" })
    assert.equal(0, code)
    assert.same({ "e1", "e2", "e3" }, ids "OrderEventsDLQ")
    assert.same({}, ids "OrderEvents")
  end)

  it("does not move again what comes back while it works", function()
    local moving, returned = store(0), 0
    local call = moving.call
    function moving.call(self, service, action, params)
      local out, err = call(self, service, action, params)
      if action == "DeleteMessage" and returned < 20 then -- the consumer fails at once, and the message dies again
        returned = returned + 1
        local url = app.host:aws("sqs", "GetQueueUrl", { QueueName = "OrderEvents" }).QueueUrl
        for _ = 1, 6 do
          for _, m in ipairs(app.host:aws("sqs", "ReceiveMessage", { QueueUrl = url }).Messages or {}) do
            app.host:aws("sqs", "ChangeMessageVisibility", { QueueUrl = url, ReceiptHandle = m.ReceiptHandle, VisibilityTimeout = 0 })
          end
        end
      end
      return out, err
    end
    assert.equal(0, dlq.act(moving, {}, { "redrive", "OrderEvents" }))
    assert.equal(N, returned)
    assert.same({ "e1", "e2", "e3" }, ids "OrderEventsDLQ")
  end)

  it("goes on when what it left comes again before the rest has come", function()
    for i = 1, 39 do app:send("OrderEventsDLQ", { id = "e" .. i, type = i < 10 and "other" or "wanted" }) end
    local moving = store(0)
    local call, first = moving.call, nil
    function moving.call(self, service, action, params)
      if action ~= "ReceiveMessage" or not first then
        local out, err = call(self, service, action, params)
        if action == "ReceiveMessage" then first = out end
        return out, err
      end
      moving.call = call
      return first -- SQS hands out any that are visible, and some twice
    end
    assert.equal(0, dlq.act(moving, { filter = { "type=wanted" } }, { "redrive", "OrderEvents" }))
    assert.equal(30, #ids "OrderEvents")
    assert.equal(9 + N, #ids "OrderEventsDLQ")
  end)

  it("keeps the order of a FIFO group: what is behind a message that stays, stays", function()
    local function sqs(action, params) return assert(app.host:aws("sqs", action, params)) end
    local attributes = { FifoQueue = "true" }
    local dead, work = sqs("CreateQueue", { QueueName = "dead.fifo", Attributes = attributes }).QueueUrl,
      sqs("CreateQueue", { QueueName = "work.fifo", Attributes = attributes }).QueueUrl
    for i, group in ipairs { "a", "b", "a", "b" } do
      sqs("SendMessage", { QueueUrl = dead, MessageBody = json.encode { id = group .. i, n = i }, MessageGroupId = group,
        MessageDeduplicationId = "d" .. i })
    end
    assert.equal(0, dlq.act(store(0), { ["queue-url"] = dead, to = work, filter = { "n~[234]" } }, { "redrive" }))
    assert.same({ "b2", "b4" }, ids "work.fifo")
    assert.same({ "a1", "a3" }, ids "dead.fifo")
    assert.equal(0, dlq.act(store(0), { ["queue-url"] = dead, to = work }, { "redrive" }))
    assert.same({ "a1", "a3", "b2", "b4" }, ids "work.fifo")
  end)
end)
