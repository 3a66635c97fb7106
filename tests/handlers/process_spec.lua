local support = require "handlers.support"
local testing = require "perigee.testing"

local key = support.key

local function event(type, id)
  return { id = testing.uuid(), type = type, version = 1, occurred_at = "2026-01-01T00:00:00.000Z", correlation_id = "c",
    data = { order_id = id } }
end

describe("events", function()
  local app
  before_each(function() app = testing.app { parameters = { SenderAddress = "shop@example.org", PublicUrl = "https://shop.example.org/" } } end)
  after_each(function() app:close() end)

  local function mails_for(type)
    local n = 0
    for _, mail in ipairs(app.mailbox:all()) do
      if mail.Subject:find(type, 1, true) then n = n + 1 end
    end
    return n
  end

  it("of an order make a receipt and one mail with it", function()
    local id = support.created(app, { email = "ada@example.org", customer_name = "José" })
    app:drain()
    assert.same({ key(id) }, app.s3:keys "Receipts")
    local box = app.mailbox:all()
    assert.equal(1, #box)
    assert.equal("shop@example.org", box[1].Source)
    assert.same({ "ada@example.org" }, { table.unpack(box[1].Destination) })
    assert.equal("Your order " .. id, box[1].Subject)
    assert.matches("application/pdf", box[1].Raw, 1, true)
  end)

  it("with hardly any time left send no mail that could not be written down", function()
    app:close()
    app = testing.app { template = support.project(function(text) return (text:gsub("Handler: process.order\n", "%0      Timeout: 1\n")) end),
      parameters = { SenderAddress = "shop@example.org" } }
    support.created(app, { email = "ada@example.org" })
    app:drain() -- no run has more time
    assert.same({}, app.mailbox:all())
    assert.equal(1, app.queues:count "OrderEventsDLQ")
  end)

  it("of a payment ship the order, mark the receipt PAID and mail it", function()
    local id = support.created(app, { email = "ada@example.org" })
    app:drain()
    local unpaid = app.s3:get("Receipts", key(id))
    support.pay(app, id, "paid")
    app:drain()
    local order = support.order(app, id)
    assert.equal("READY_FOR_SHIPPING", order.status)
    assert.same({ "create", "pay", "ship" }, { order.history[1].action, order.history[2].action, order.history[3].action })
    assert.not_equal(unpaid, app.s3:get("Receipts", key(id)))
    assert.equal(2, app.mailbox:count())
    assert.mail(app, { to = "ada@example.org", subject = "is paid" })
    assert.pdf_has(app.s3:get("Receipts", key(id)), "Amount paid")
  end)

  it("of failures, refunds and cancellations tell the customer and change the receipt", function()
    for word, subject in pairs { failed = "failed", cancelled = "is cancelled" } do
      local id = support.created(app, { email = "ada@example.org" })
      support.pay(app, id, word)
      app:drain()
      assert.equal(1, mails_for(id .. " " .. subject))
      assert.equal(support.order(app, id).version, support.order(app, id).receipt.version)
    end
    local id = support.created(app, { email = "ada@example.org" })
    support.pay(app, id, "paid")
    support.pay(app, id, "refunded")
    app:drain()
    assert.equal("REFUNDED", support.order(app, id).status, "a refund before shipping stays a refund")
    assert.equal(1, mails_for(id .. " is refunded"))
  end)

  it("send no mail without an address or a sender", function()
    support.created(app)
    app:drain()
    assert.equal(0, app.mailbox:count())
    local silent <close> = testing.app()
    support.created(silent, { email = "ada@example.org" })
    silent:drain()
    assert.equal(0, silent.mailbox:count())
    assert.equal(0, silent.dynamodb:count "Idempotency")
  end)

  it("that come again change nothing and send no second mail", function()
    local id = support.created(app, { email = "ada@example.org" })
    local created = app.queues:receive("OrderEvents")[1].json
    for _ = 1, 4 do app:send("OrderEvents", created) end
    support.outlast(app) -- who met another one at work comes back later
    assert.equal(1, app.mailbox:count())
    local bytes = app.s3:get("Receipts", key(id))
    support.pay(app, id, "paid")
    local paid = app.queues:receive("PaymentEvents")[1].json
    for _ = 1, 4 do app:send("PaymentEvents", paid) end
    app:send("OrderEvents", created)
    support.outlast(app)
    assert.equal(2, app.mailbox:count())
    assert.equal(3, support.order(app, id).version)
    assert.not_equal(bytes, app.s3:get("Receipts", key(id)))
    assert.equal(0, app.queues:count "OrderEventsDLQ" + app.queues:count "PaymentEventsDLQ")
  end)

  it("that are handed out twice at once change nothing and send no second mail", function()
    testing.needs "faults"
    local fault = app:fail("sqs:ReceiveMessage", { at = "twice", times = 2 })
    local id = support.created(app, { email = "ada@example.org" })
    app:drain()
    assert.is_true(fault:struck() > 0)
    assert.equal(1, app.mailbox:count())
    assert.same({ key(id) }, app.s3:keys "Receipts")
    assert.drained(app)
  end)

  it("whose work hangs are given up at the Timeout, and done later", function()
    testing.needs("faults", "clock")
    local fault = app:fail("s3:PutObject", { at = "hangs" })
    local id = support.created(app, { email = "ada@example.org" })
    local began = app.clock:now()
    app:drain()
    assert.equal(1, fault:struck())
    assert.is_true(app.clock:now() - began >= 10000)
    assert.same({ key(id) }, app.s3:keys "Receipts")
    assert.equal(1, app.mailbox:count())
  end)

  it("that the queue does not take wait in the outbox, however long", function()
    testing.needs("faults", "clock")
    app:fail("sqs:SendMessageBatch", { times = -1, resource = "OrderEvents", code = "ServiceUnavailable", status = 503 })
    local id = support.created(app)
    for _ = 1, 3 do
      app:advance "1h"
      assert.is_nil((app:schedule "Relay"))
      assert.equal(1, app.dynamodb:count "Outbox")
    end
    app:forgive()
    app:drain()
    assert.same({ key(id) }, app.s3:keys "Receipts")
    assert.drained(app)
  end)

  it("wait for a mail that another run has begun, and send it when that run is surely dead", function()
    local id = support.created(app, { email = "ada@example.org" })
    local created = app.queues:receive("OrderEvents")[1].json
    app.dynamodb:put("Idempotency", { key = "mail/" .. created.id, phase = "running", holder = "dead", lease_until = app:now() + 10000,
      expires_at = app:now() // 1000 + 86400 })
    app:send("OrderEvents", created)
    app:run_queues "9s"
    assert.equal(0, app.mailbox:count())
    assert.equal(1, app.queues:count "OrderEvents")
    app:drain()
    assert.equal(1, app.mailbox:count())
    assert.same({ key(id) }, app.s3:keys "Receipts")
  end)

  it("that nobody understands end in the dead-letter queue, and harm no others", function()
    local id = support.created(app)
    app:send("OrderEvents", "not json")
    app:send("OrderEvents", { id = "x", type = "order.created" })
    app:send("OrderEvents", event("order.eaten", id))
    app:send("OrderEvents", event("order.created", "nobody"))
    local began = app.clock:now()
    app:drain()
    assert.equal(4, app.queues:count "OrderEventsDLQ")
    assert.is_true(app.clock:now() - began > 60000, "they are tried again later, not at once")
    assert.same({ key(id) }, app.s3:keys "Receipts")
  end)

  it("from the dead-letter queue do their work once the cause is gone", function()
    local lost = event("order.created", "late")
    app:send("OrderEvents", lost)
    app:drain()
    assert.equal(1, app.queues:count "OrderEventsDLQ")
    app:post("/orders", { orderId = "late", customerName = "x", email = "x@example.org" })
    for _, dead in ipairs(app.queues:receive "OrderEventsDLQ") do app:send("OrderEvents", dead.body) end
    app:drain()
    assert.same({ key "late" }, app.s3:keys "Receipts")
    assert.equal(2, app.mailbox:count(), "one of each event")
  end)

  it("put name, price and link into the mail as they are", function()
    local id = support.created(app, { email = "ada@example.org", customer_name = 'O\'Neil "é" 李雷' })
    app:drain()
    assert.mail(app, { contains = 'Hello O\'Neil "é" 李雷,' })
    assert.mail(app, { contains = "Total: 19.99 EUR" })
    assert.mail(app, { contains = "https://shop.example.org/receipt/" .. id .. "\r\n" })
  end)
end)
