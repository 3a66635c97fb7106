local crypto = require "perigee.crypto"
local support = require "handlers.support"
local testing = require "perigee.testing"

local key = support.key

describe("GET /receipt/{orderId}", function()
  local app
  before_each(function() app = testing.app() end)
  after_each(function() app:close() end)

  it("answers 202 until the receipt exists, then a link that gives the PDF", function()
    testing.needs "stillness"
    local id = support.created(app)
    local answer = app:get("/receipt/" .. id)
    assert.equal(202, answer.status)
    assert.equal("1", answer.headers["retry-after"])
    app:drain()
    answer = app:get("/receipt/" .. id)
    assert.equal(200, answer.status, answer.body)
    local pdf = app:download(answer.json.signedReceiptUrl)
    assert.equal(200, pdf.status)
    assert.equal("application/pdf", pdf.headers["content-type"])
    assert.equal("%PDF", pdf.body:sub(1, 4))
    assert.equal("2026-01-01T00:05:00.000Z", answer.json.expiresAt)
  end)

  it("gives links that end after five minutes and bear no change", function()
    local id = support.created(app)
    app:drain()
    local url = app:get("/receipt/" .. id).json.signedReceiptUrl
    assert.equal(403, app:download((url:gsub("receipts/", "receipts/x"))).status)
    app:advance(299000)
    assert.equal(200, app:download(url).status)
    app:advance(2000)
    assert.equal(403, app:download(url).status)
  end)

  it("signs for the host that the caller reached", function()
    local id = support.created(app)
    app:drain()
    local url = app:get("/receipt/" .. id, { Host = "shop.example.org:8080" }).json.signedReceiptUrl
    assert.matches("^http://shop%.example%.org:%d+/", url)
    assert.equal(200, app:download(url).status)
  end)

  it("answers 404 for an order that is not there", function()
    assert.equal(404, app:get("/receipt/nobody").status)
    assert.equal(404, app:get("/receipt/a%2F..%2Fb").status)
  end)

  it("waits for the receipt of the newest state", function()
    testing.needs "stillness"
    local id = support.created(app)
    app:drain()
    support.pay(app, id, "paid")
    assert.equal(202, app:get("/receipt/" .. id).status)
    app:drain()
    assert.equal(200, app:get("/receipt/" .. id).status)
  end)

  it("has a missing object rendered again, however often it is asked for", function()
    testing.needs "stillness"
    local id = support.created(app)
    app:drain()
    local before = app.s3:get("Receipts", key(id))
    app.s3:delete("Receipts", key(id))
    for _ = 1, 3 do assert.equal(202, app:get("/receipt/" .. id).status) end
    assert.equal(1, app.queues:count "OrderEvents" + app.dynamodb:count "Outbox", "asked for once")
    app:drain()
    assert.equal(200, app:get("/receipt/" .. id).status)
    assert.equal(before, app.s3:get("Receipts", key(id)))
  end)
end)

describe("receipts", function()
  it("are made of orders of either shape, long ones over several pages", function()
    local app <close> = testing.app()
    app:post("/orders", { orderId = "plain", customerName = "Ada" })
    local lines = {}
    for i = 1, 100 do lines[i] = { description = ("Thing %d "):format(i):rep(20), quantity = i, unit_price = 100 } end
    app:post("/orders", { orderId = "long", customerName = ("Ñandú "):rep(33), lines = lines })
    app:drain()
    for _, id in ipairs { "plain", "long" } do
      local answer = app:get("/receipt/" .. id)
      assert.equal(200, answer.status, id)
      local bytes = app:download(answer.json.signedReceiptUrl).body
      assert.pdf_has(bytes, id == "long" and "Thing 100 Thing 100" or "Ada")
    end
  end)

  it("carry the hash of their content, and are the same bytes whenever they are made", function()
    local app <close> = testing.app()
    local id = support.created(app, { customer_name = "José Ñandú 李雷", total_price = support.MAX })
    app:drain()
    local bytes, head = app.s3:get("Receipts", key(id))
    assert.pdf_has(bytes, "José Ñandú 李雷")
    assert.equal(crypto.sha256(bytes), head.Metadata.sha256)
    assert.equal(crypto.sha256(bytes), support.order(app, id).receipt.sha256)
    app:advance(3600000)
    app:send("OrderEvents", { id = testing.uuid(), type = "order.created", version = 1, occurred_at = "2026-01-01T00:00:00.000Z",
      data = { order_id = id } })
    app:drain()
    assert.equal(bytes, app.s3:get("Receipts", key(id)))
  end)

  it("show the newest state in the end, though old events come last or together", function()
    local app <close> = testing.app()
    for i = 1, 8 do
      local id = support.created(app, { order_id = "o-" .. i })
      support.pay(app, id, "paid")
    end
    app:drain()
    for i = 1, 8 do
      local order = support.order(app, "o-" .. i)
      local _, head = app.s3:get("Receipts", key(order.order_id))
      assert.equal("READY_FOR_SHIPPING", order.status)
      assert.equal(tostring(order.version), head.Metadata["order-version"])
      assert.equal(order.version, order.receipt.version)
    end
  end)
end)
