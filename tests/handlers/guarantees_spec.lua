local support = require "handlers.support"
local testing = require "perigee.testing"

local key = support.key

local function order(id) return support.goods { order_id = id, email = "ada@example.org" } end

-- One order, one state, one receipt that shows it, one mail per event, nothing left over. twice: one mail may be there twice.
local function assert_once(app, id, status, version, mails, twice)
  local orders = app.dynamodb:scan "Orders"
  assert.equal(1, #orders)
  assert.state(orders[1], status)
  assert.equal(version, orders[1].version)
  assert.equal(version, #orders[1].history)
  assert.same({ key(id) }, app.s3:keys "Receipts")
  local _, head = app.s3:get("Receipts", key(id))
  assert.equal(tostring(version), head.Metadata["order-version"])
  assert.equal(version, orders[1].receipt.version)
  local subjects, sent = {}, 0
  for _, mail in ipairs(app.mailbox:all()) do
    if not subjects[mail.Subject] then sent = sent + 1 end
    subjects[mail.Subject] = true
  end
  assert.equal(mails, sent)
  assert.is_true(app.mailbox:count() <= mails + (twice and 1 or 0), "too many mails")
  assert.drained(app)
end

describe("guarantee 1: an acknowledged order is never lost", function()
  after_each(support.clean)

  it("though the process dies right after the answer: the relay sends its event", function()
    local app <close> = testing.app { data = support.directory(), parameters = support.SENDER }
    assert.equal(200, app:post("/orders", order "o").status)
    app:restart()
    assert.equal("PENDING_PAYMENT", support.order(app, "o").status)
    support.outlast(app)
    assert_once(app, "o", "PENDING_PAYMENT", 1, 1)
  end)

  it("though the queue cannot be reached while the order comes in", function()
    testing.needs("templates", "permissions")
    -- the function that takes orders may not send: what a template that grants "consume" instead of "send" would do
    local template = support.project(function(text)
      return (text:gsub("        %- SQSSendMessagePolicy:\n            QueueName: !GetAtt OrderEvents.QueueName\n      Events:\n        Post:",
        "        - SQSPollerPolicy:\n            QueueName: !GetAtt OrderEvents.QueueName\n      Events:\n        Post:", 1))
    end)
    local app <close> = testing.app { template = template }
    assert.equal(200, app:post("/orders", order "o").status)
    assert.equal(0, app.queues:count "OrderEvents", "the permission is enforced here as in the cloud")
    assert.equal(1, app.dynamodb:count "Outbox")
    app:advance(5000)
    assert.is_true(app:schedule "Relay")
    assert.equal(0, app.dynamodb:count "Outbox")
    app:drain()
    assert.same({ key "o" }, app.s3:keys "Receipts")
  end)

  it("and what cannot be written is not acknowledged, and leaves nothing", function()
    testing.needs("templates", "permissions")
    local template = support.project(function(text)
      return (text:gsub("Action: %[dynamodb:PutItem, dynamodb:BatchWriteItem%]", "Action: dynamodb:BatchWriteItem", 1))
    end)
    local app <close> = testing.app { template = template }
    local answer = app:post("/orders", order "o")
    assert.is_true(answer.status >= 500)
    assert.is_nil(answer.json.error.traceback)
    assert.equal(0, app.dynamodb:count "Orders")
    assert.equal(0, app.dynamodb:count "Outbox")
  end)
end)

describe("guarantee 2: effects happen once", function()
  local app, start
  local function ordered() assert.equal(200, app:post("/orders", order "o").status) end
  local function received()
    ordered()
    app:drain()
  end
  local function pay() return support.pay(app, "o", "paid", { payment_id = "p" }) end

  -- fn(1), fn(1 + step), ... until it returns false or n is `last`, each on what `prepare` left.
  local function each(prepare, last, step, fn)
    prepare()
    start = app:snapshot()
    for n = 1, last, step do
      if fn(n) == false then return n end
      app:fault("commit", 0)
      app:forgive()
      app:restore(start)
    end
  end

  before_each(function() app = testing.app { parameters = support.SENDER } end)
  after_each(function() app:close() end)

  it("whichever commit of taking an order fails", function()
    each(function() end, 4, 1, function(n)
      app:fault("commit", n)
      local first = app:post("/orders", order "o")
      app:fault("commit", 0)
      local second = app:post("/orders", order "o")
      assert.equal(200, second.status, "commit " .. n)
      assert.equal(first.status == 200 and "true" or nil, second.headers["idempotent-replayed"])
      support.outlast(app)
      assert_once(app, "o", "PENDING_PAYMENT", 1, 1)
    end)
  end)

  it("whichever commit of handling its event fails", function()
    each(ordered, 10, 1, function(n)
      app:fault("commit", n)
      support.outlast(app)
      app:fault("commit", 0)
      assert_once(app, "o", "PENDING_PAYMENT", 1, 1)
    end)
  end)

  it("whichever commit of a payment and its event fails", function()
    each(received, 14, 1, function(n)
      app:fault("commit", n)
      local first = pay()
      assert.equal(200, first.status == 200 and 200 or pay().status)
      support.outlast(app)
      app:fault("commit", 0)
      assert_once(app, "o", "READY_FOR_SHIPPING", 3, 2)
    end)
  end)

  it("whichever step of the store fails while an event is handled", function()
    each(ordered, 60, 5, function(n)
      app:fault("step", n)
      support.outlast(app)
      app:fault("step", 0)
      support.outlast(app)
      assert_once(app, "o", "PENDING_PAYMENT", 1, 1)
    end)
  end)

  -- Nobody can know whether SES took a mail when the process died before it was written down: then it is sent again.
  local function between_mail_and_mark(call)
    return call and (call.service == "ses" or call.action == "UpdateItem" and call.resource == "Idempotency")
  end

  -- With each n-th AWS call the last one of the process: what `ask` is answered, and how it ends. Returns how many were tried.
  local function survives(prepare, at, ask, status, version, mails)
    testing.needs("faults", "crash", "snapshots")
    return each(prepare, 200, 5, function(n)
      local fault, struck = app:fail("*", { at = at, nth = n }), app:spy(function(call) return call.fault end)
      assert.equal(200, support.answered(app, ask).status)
      support.outlast(app)
      assert_once(app, "o", status, version, mails, between_mail_and_mark(struck:last()))
      return fault:struck() > 0
    end)
  end

  for _, at in ipairs { "before", "after" } do
    it(("wherever the process is killed %s a call of AWS for an order (perigee chaos tries more)"):format(at), function()
      local last = survives(function() end, at, function() return app:post("/orders", order "o") end, "PENDING_PAYMENT", 1, 1)
      assert.is_true(last > 12, "only " .. last .. " calls")
    end)

    it(("wherever the process is killed %s a call of AWS for a payment"):format(at), function()
      local last = survives(received, at, pay, "READY_FOR_SHIPPING", 3, 2)
      assert.is_true(last > 12, "only " .. last .. " calls")
    end)
  end

  it("though the file of a receipt cannot be written at first", function()
    ordered()
    app:fault("file", 1)
    support.outlast(app)
    assert_once(app, "o", "PENDING_PAYMENT", 1, 1)
  end)
end)

describe("the relay", function()
  it("leaves what is on its way alone, and sends what is older, once", function()
    testing.needs "stillness"
    local app <close> = testing.app()
    local row = { shard = "3", event_id = testing.uuid(), queue = "ORDER_EVENTS_QUEUE", body = '{"hello":1}',
      committed_at = app:now() }
    app.dynamodb:put("Outbox", row)
    assert.is_true(app:schedule "Relay")
    assert.equal(0, app.queues:count "OrderEvents")
    app:advance(3000)
    assert.is_true(app:schedule "Relay")
    assert.is_true(app:schedule "Relay")
    assert.equal(1, app.queues:count "OrderEvents")
    assert.same({ hello = 1 }, app.queues:receive("OrderEvents")[1].json)
  end)

  it("sends what was committed before the clock was set back", function()
    testing.needs "stillness"
    local app <close> = testing.app()
    app.dynamodb:put("Outbox", { shard = "0", event_id = testing.uuid(), queue = "ORDER_EVENTS_QUEUE", body = "{}", committed_at = app:now() + 3600000 })
    assert.is_true(app:schedule "Relay")
    assert.equal(1, app.queues:count "OrderEvents")
  end)

  it("empties an outbox of many events in every shard, to both queues", function()
    testing.needs "stillness"
    local app <close> = testing.app()
    for i = 1, 230 do
      app.dynamodb:put("Outbox", { shard = tostring(i % 8), event_id = testing.uuid(), body = "{}", committed_at = app:now(),
        queue = i % 2 == 0 and "ORDER_EVENTS_QUEUE" or "PAYMENT_EVENTS_QUEUE" })
    end
    app:advance(3000)
    assert.is_true(app:schedule "Relay")
    assert.equal(115, app.queues:count "OrderEvents")
    assert.equal(115, app.queues:count "PaymentEvents")
    assert.equal(0, app.dynamodb:count "Outbox")
  end)

  it("fails loudly when an event names a queue that the relay does not know, and keeps the event", function()
    local app <close> = testing.app()
    app.dynamodb:put("Outbox", { shard = "0", event_id = testing.uuid(), queue = "NO_SUCH_QUEUE", body = "{}", committed_at = app:now() })
    app:advance(3000)
    assert.is_nil((app:schedule "Relay"))
    assert.equal(1, app.dynamodb:count "Outbox")
  end)
end)

describe("what is stored", function()
  after_each(support.clean)

  it("is there after a restart: order, payment, receipt, answers under a key", function()
    local app <close> = testing.app { data = support.directory() }
    local first = app:post("/orders", order "o", { ["Idempotency-Key"] = "k" })
    support.pay(app, "o", "paid", { payment_id = "p" })
    app:drain()
    local bytes = app.s3:get("Receipts", key "o")
    app:restart()
    assert.equal(first.body, app:post("/orders", order "o", { ["Idempotency-Key"] = "k" }).body)
    assert.equal("true", support.pay(app, "o", "paid", { payment_id = "p" }).headers["idempotent-replayed"])
    assert.equal("READY_FOR_SHIPPING", support.order(app, "o").status)
    assert.equal(bytes, app.s3:get("Receipts", key "o"))
  end)

  it("loses idempotency records after their time, and nothing else", function()
    local app <close> = testing.app()
    app:post("/orders", order "o", { ["Idempotency-Key"] = "k" })
    app:drain()
    assert.equal(1, app.dynamodb:count "Idempotency")
    app:advance "2d"
    app:drain()
    assert.equal(0, app.dynamodb:count "Idempotency")
    assert.state("o", "PENDING_PAYMENT")
    assert.equal(200, app:post("/orders", order "o", { ["Idempotency-Key"] = "k" }).status, "the order itself remembers")
    assert.equal(1, app.dynamodb:count "Orders")
  end)
end)
