local json = require "perigee.json"
local support = require "handlers.support"
local testing = require "perigee.testing"

describe("POST /payments", function()
  local app
  before_each(function() app = testing.app() end)
  after_each(function() app:close() end)

  local function status(id) return support.order(app, id).status end

  it("pays an order: state, payment and event in one", function()
    testing.needs "stillness"
    local id = support.created(app)
    local answer = support.pay(app, id, "paid", { payment_id = "p-1", amount = 1999, currency = "EUR" })
    assert.equal(200, answer.status, answer.body)
    assert.same({ order_id = id, status = "PAID" }, answer.json)
    assert.equal("PAID", status(id))
    local stored = app.dynamodb:get("Payments", { order_id = id, payment_id = "p-1" })
    assert.equal(1999, stored.amount)
    assert.equal(1, app.queues:count "PaymentEvents" + app.dynamodb:count "Outbox")
  end)

  it("understands every documented word, in any case", function()
    for word, state in pairs { paid = "PAID", COMPLETED = "PAID", Succeeded = "PAID", success = "PAID", failed = "PAYMENT_FAILED",
      Declined = "PAYMENT_FAILED", cancelled = "CANCELLED", canceled = "CANCELLED" } do
      local answer = support.pay(app, support.created(app), word)
      assert.equal(200, answer.status, word)
      assert.equal(state, answer.json.status)
    end
    local id = support.created(app)
    support.pay(app, id, "paid")
    assert.equal("REFUNDED", support.pay(app, id, "Refunded").json.status)
  end)

  it("names the accepted words when it hears another", function()
    local answer = support.pay(app, support.created(app), "maybe")
    assert.equal(400, answer.status)
    for _, word in ipairs { "paid", "completed", "declined", "refunded", "canceled" } do
      assert.matches(word, support.fields(answer).status)
    end
  end)

  it("names every bad field", function()
    local answer = app:post("/payments", { order_id = "a/b", status = 5, amount = "1", currency = "x" })
    assert.equal(400, answer.status)
    for _, path in ipairs { "order_id", "status", "amount", "currency" } do assert.is_string(support.fields(answer)[path], path) end
    assert.equal(400, app:post("/payments", "{}").status)
  end)

  it("never makes an order that does not exist", function()
    local answer = support.pay(app, "nobody", "paid")
    assert.equal(404, answer.status)
    assert.equal(0, app.dynamodb:count "Orders")
    assert.equal(0, app.dynamodb:count "Payments")
  end)

  it("follows the declared states and no others", function()
    testing.needs "stillness"
    local words = { "paid", "failed", "cancelled", "refunded" }
    local allowed = {
      PENDING_PAYMENT = { paid = "PAID", failed = "PAYMENT_FAILED", cancelled = "CANCELLED" },
      PAYMENT_FAILED = { paid = "PAID", cancelled = "CANCELLED" },
      PAID = { refunded = "REFUNDED" },
      CANCELLED = {},
      REFUNDED = {},
    }
    local ways = { PENDING_PAYMENT = {}, PAYMENT_FAILED = { "failed" }, PAID = { "paid" }, CANCELLED = { "cancelled" },
      REFUNDED = { "paid", "refunded" } }
    for from, way in pairs(ways) do
      for _, word in ipairs(words) do
        local id = support.created(app)
        for i, step in ipairs(way) do assert.equal(200, support.pay(app, id, step, { payment_id = "way-" .. i }).status) end
        local answer = support.pay(app, id, word, { payment_id = "last" })
        local to = allowed[from][word]
        assert.equal(to and 200 or 409, answer.status, from .. " " .. word)
        assert.equal(to or from, status(id))
        assert.equal(1 + #way + (to and 1 or 0), support.order(app, id).version)
      end
    end
  end)

  it("never lets a late failure overwrite what is paid", function()
    testing.needs "stillness"
    local id = support.created(app)
    support.pay(app, id, "paid")
    assert.equal(409, support.pay(app, id, "failed").status)
    assert.equal("PAID", status(id))
    app:drain()
    assert.equal(409, support.pay(app, id, "failed").status)
    assert.equal("READY_FOR_SHIPPING", status(id))
  end)

  it("lets a second attempt succeed", function()
    testing.needs "stillness"
    local id = support.created(app)
    support.pay(app, id, "failed", { payment_id = "p-1" })
    assert.equal(200, support.pay(app, id, "paid", { payment_id = "p-2" }).status)
    assert.equal("PAID", status(id))
  end)

  it("refuses a wrong amount or currency, exactly at int64", function()
    local id = support.created(app, { total_price = support.MAX })
    for _, wrong in ipairs { { amount = support.MAX - 1 }, { amount = 0 }, { amount = support.MAX, currency = "USD" } } do
      assert.equal(409, support.pay(app, id, "paid", wrong).status)
    end
    assert.equal("PENDING_PAYMENT", status(id))
    assert.equal(0, app.dynamodb:count "Payments")
    assert.equal(200, support.pay(app, id, "paid", { amount = support.MAX, currency = "EUR" }).status)
  end)

  it("answers the same payment_id again with the same answer, once with effect", function()
    local id = support.created(app)
    local first = support.pay(app, id, "paid", { payment_id = "p-1" })
    local second = support.pay(app, id, "paid", { payment_id = "p-1" })
    assert.equal(first.body, second.body)
    assert.equal("true", second.headers["idempotent-replayed"])
    app:drain()
    local third = support.pay(app, id, "paid", { payment_id = "p-1" })
    assert.equal(first.body, third.body)
    assert.equal(1, app.dynamodb:count "Payments")
    assert.equal(3, support.order(app, id).version)
  end)

  it("refuses the same payment_id with other content, in any state of the order", function()
    local id = support.created(app)
    support.pay(app, id, "failed", { payment_id = "p-1" })
    assert.equal(409, support.pay(app, id, "paid", { payment_id = "p-1" }).status)
    assert.equal("PAYMENT_FAILED", status(id))
    support.pay(app, id, "paid", { payment_id = "p-2" })
    assert.equal(409, support.pay(app, id, "paid", { payment_id = "p-2", amount = 1999 }).status)
  end)

  it("takes the same notice without an id for a repetition while its outcome stands", function()
    local id = support.created(app)
    support.pay(app, id, "failed")
    assert.equal("true", support.pay(app, id, "failed").headers["idempotent-replayed"])
    support.pay(app, id, "paid")
    assert.equal("true", support.pay(app, id, "paid").headers["idempotent-replayed"])
    assert.equal(409, support.pay(app, id, "failed").status)
    app:drain()
    assert.equal("true", support.pay(app, id, "paid").headers["idempotent-replayed"])
    support.pay(app, id, "refunded")
    assert.equal(409, support.pay(app, id, "paid").status)
    assert.equal("REFUNDED", status(id))
  end)

  it("knows a payment again whose writing was not confirmed", function()
    testing.needs "faults"
    local id = support.created(app)
    local fault = app:fail("dynamodb:TransactWriteItems", { at = "lost", function_name = "ReceivePayment" })
    assert.equal(500, support.pay(app, id, "paid", { payment_id = "p-1" }).status)
    assert.equal(1, fault:struck())
    assert.equal("true", support.pay(app, id, "paid", { payment_id = "p-1" }).headers["idempotent-replayed"])
    app:drain()
    assert.state(id, "READY_FOR_SHIPPING")
    assert.equal(3, support.order(app, id).version)
  end)

  it("of two at once takes one, whichever comes first", function()
    testing.needs "stillness"
    for seed = 1, 4 do
      app:shuffle(seed)
      local id = support.created(app)
      local function payment(n) return { "POST", "/payments", { body = { order_id = id, status = "paid", payment_id = "p-" .. n } } } end
      local answers = app:requests { payment(1), payment(2) }
      assert.equal(200 + 409, answers[1].status + answers[2].status)
      assert.equal(1, #app.dynamodb:query("Payments", id))
      assert.state(id, "PAID")
    end
  end)

  it("without a secret is for this machine only", function()
    local id = support.created(app)
    local body = json.encode { order_id = id, status = "paid" }
    assert.equal(401, app:request("POST", "/payments", { body = body, remote_ip = "192.0.2.7" }).status)
    assert.equal("PENDING_PAYMENT", status(id))
  end)
end)

describe("POST /payments, signed", function()
  if not testing.needs "templates" then return end
  local app, id, body
  before_each(function()
    app = testing.app { parameters = { PaymentsSecret = "whsec" } }
    id = support.created(app)
    body = json.encode { order_id = id, status = "paid" }
  end)
  after_each(function() app:close() end)

  local function refused(headers, text)
    local answer = app:post("/payments", text or body, headers)
    assert.equal(401, answer.status)
    assert.equal("unauthorized", answer.json.error.code)
    assert.equal("PENDING_PAYMENT", support.order(app, id).status)
  end

  it("takes what carries the signature, from anywhere", function()
    assert.equal(200, app:request("POST", "/payments", { body = body, headers = support.signature(app, body), remote_ip = "192.0.2.7" }).status)
  end)

  it("refuses what carries none, another key's, or that of another body", function()
    refused {}
    refused(support.signature(app, body, "other"))
    refused(support.signature(app, body), body:gsub("paid", "failed"), nil)
    refused { ["Perigee-Signature"] = "nonsense" }
  end)

  it("refuses a recording that is played back later", function()
    local headers = support.signature(app, body)
    app:advance(301000)
    refused(headers)
  end)

  it("checks the signature before anything else", function()
    assert.equal(401, app:post("/payments", "not json").status)
    assert.equal(400, app:post("/payments", "not json", support.signature(app, "not json")).status)
  end)
end)
