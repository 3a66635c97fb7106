local json = require "perigee.json"
local support = require "handlers.support"
local testing = require "perigee.testing"

describe("POST /orders", function()
  local app
  before_each(function() app = testing.app() end)
  after_each(function() app:close() end)

  it("takes an order of goods, and answers when order and event are durable", function()
    testing.needs "stillness"
    local answer = app:post("/orders", { user_id = "u-1", item = "a book", quantity = 2, total_price = 1999 })
    assert.equal(200, answer.status)
    local id = answer.json.order_id
    assert.matches("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-7", id)
    assert.same({ order_id = id, status = "PENDING_PAYMENT", receipt_url = "/receipt/" .. id }, answer.json)
    assert.equal("application/json; charset=utf-8", answer.headers["content-type"])
    assert.is_string(answer.headers["x-request-id"])
    assert.equal("PENDING_PAYMENT", support.order(app, id).status)
    assert.equal(1, app.dynamodb:count "Outbox" + app.queues:count "OrderEvents")
  end)

  it("takes a receipt order, in both spellings", function()
    local answer = app:post("/orders", { orderId = "ORD-1", customerName = "José Ñandú 李雷" })
    assert.equal(200, answer.status)
    assert.equal("ORD-1", answer.json.order_id)
    assert.equal("José Ñandú 李雷", support.order(app, "ORD-1").customer_name)
    assert.equal(200, app:post("/orders", { order_id = "ORD-2", customer_name = "x" }).status)
    assert.equal(200, app:post("/orders", { order_id = "ORD-3", customerName = "x" }).status)
  end)

  it("takes the union of both, with lines, mail and currency", function()
    local answer = app:post("/orders", support.goods {
      orderId = "U-1", customerName = "Ada", currency = "JPY", email = "ada@example.org",
      lines = { { description = "a", quantity = 3, unit_price = 700 }, { description = "discount", quantity = 1, unit_price = -101 } },
    })
    assert.equal(200, answer.status, answer.body)
    local stored = support.order(app, "U-1")
    assert.equal("JPY", stored.currency)
    assert.equal(-101, stored.lines[2].unit_price)
  end)

  it("takes the total from the lines when none is given, and the currency from the template", function()
    local answer = app:post("/orders", { orderId = "L", customerName = "x", lines = { { description = "a", quantity = 2, unit_price = 5 } } })
    assert.equal(200, answer.status)
    assert.equal(10, support.order(app, "L").total_price)
    assert.equal("EUR", support.order(app, "L").currency)
  end)

  it("keeps prices exact at the end of int64", function()
    local id = support.created(app, { total_price = support.MAX })
    assert.equal(support.MAX, support.order(app, id).total_price)
    assert.matches('"total_price":9223372036854775807', app:get("/orders/" .. id).body, 1, true)
  end)

  it("refuses a user_id that no index can hold", function()
    local answer = app:get("/orders?user_id=" .. ("u"):rep(2049))
    assert.equal(400, answer.status)
    assert.is_string(support.fields(answer).user_id)
    assert.equal(200, app:get("/orders?user_id=" .. ("u"):rep(2048)).status)
  end)

  it("names every bad field at once", function()
    local answer = app:post("/orders", { user_id = "", item = 5, quantity = 0, total_price = 1.5, email = "x", currency = "eur",
      lines = { { description = "a", quantity = 1, unit_price = "5" } }, extra = 1 })
    assert.equal(400, answer.status)
    local fields = support.fields(answer)
    for _, path in ipairs { "user_id", "item", "quantity", "total_price", "email", "currency", "lines[0].unit_price", "extra" } do
      assert.is_string(fields[path], path .. " in " .. answer.body)
    end
    assert.equal(0, app.dynamodb:count "Orders")
  end)

  it("refuses what belongs to neither shape", function()
    for _, body in ipairs { "{}", '{"user_id":"u"}', "[]", "null", "5", '"x"' } do
      assert.equal(400, app:post("/orders", body).status, body)
    end
  end)

  it("refuses prices that are no int64", function()
    for _, price in ipairs { "9223372036854775808", "-1", "1.0", "1e3", "1e999", '"5"', "null", "true" } do
      local answer = app:post("/orders", ('{"user_id":"u","item":"i","quantity":1,"total_price":%s}'):format(price))
      assert.equal(400, answer.status, price)
    end
    assert.equal(200, app:post("/orders", '{"user_id":"u","item":"i","quantity":1,"total_price":0}').status)
  end)

  it("refuses lines that do not add up, or past int64", function()
    local answer = app:post("/orders", support.goods { lines = { { description = "a", quantity = 2, unit_price = 1000 } } })
    assert.equal(400, answer.status)
    assert.equal("is 1999, but the lines add up to 2000", support.fields(answer).total_price)
    answer = app:post("/orders", support.goods { lines = { { description = "a", quantity = 2, unit_price = support.MAX } } })
    assert.equal("the sum does not fit a 64-bit integer", support.fields(answer).lines)
  end)

  it("refuses control characters, broken UTF-8 and ids that could be paths", function()
    for _, body in ipairs { '{"orderId":"a\\u0000b","customerName":"x"}', '{"orderId":"o","customerName":"a\\nb"}',
      '{"orderId":"../x","customerName":"x"}', '{"orderId":"a/b","customerName":"x"}', '{"orderId":"o","customerName":"\255"}',
      '{"orderId":"o","customerName":"\\ud800"}', ('{"orderId":"%s","customerName":"x"}'):format(("a"):rep(129)) } do
      assert.equal(400, app:post("/orders", body).status, body)
    end
  end)

  it("refuses two spellings of a field that contradict each other", function()
    local answer = app:post("/orders", { order_id = "a", orderId = "b", customerName = "x" })
    assert.equal(400, answer.status)
    assert.equal("contradicts order_id", support.fields(answer).orderId)
    assert.equal(200, app:post("/orders", { order_id = "a", orderId = "a", customerName = "x" }).status)
  end)

  it("refuses what is not JSON, twice the same key, and too deep nesting, and says where", function()
    for _, body in ipairs { '{"user_id":', "", '{"a":1,"a":2}', ("["):rep(200) .. ("]"):rep(200), "{'a':1}" } do
      local answer = app:post("/orders", body)
      assert.equal(400, answer.status, body)
      assert.equal("not_json", answer.json.error.code)
    end
  end)

  it("answers 415 to other types, 405 to other methods, 404 to other paths", function()
    assert.equal(415, app:post("/orders", "a=b", { ["Content-Type"] = "application/x-www-form-urlencoded" }).status)
    local answer = app:request("DELETE", "/orders")
    assert.equal(405, answer.status)
    assert.matches("GET", answer.headers.allow)
    assert.matches("POST", answer.headers.allow)
    assert.equal(404, app:get("/nowhere").status)
  end)
end)

describe("POST /orders, again", function()
  local app
  before_each(function() app = testing.app() end)
  after_each(function() app:close() end)

  local function replays(first, second)
    assert.equal(200, first.status, first.body)
    assert.equal(200, second.status, second.body)
    assert.equal(first.body, second.body)
    assert.is_nil(first.headers["idempotent-replayed"])
    assert.equal("true", second.headers["idempotent-replayed"])
    assert.equal(1, app.dynamodb:count "Orders")
    assert.equal(1, app.queues:count "OrderEvents" + app.dynamodb:count "Outbox")
  end

  it("with the same id gives the same answer", function()
    testing.needs "stillness"
    local body = { orderId = "O-1", customerName = "Ada" }
    replays(app:post("/orders", body), app:post("/orders", body))
  end)

  it("is the same whatever the order and spelling of its members", function()
    testing.needs "stillness"
    replays(app:post("/orders", '{"orderId":"O-1","customerName":"Ada"}'), app:post("/orders", '{ "customer_name":"Ada", "order_id":"O-1" }'))
  end)

  it("with the same Idempotency-Key gives the same answer, though it names no id", function()
    testing.needs "stillness"
    local headers = { ["Idempotency-Key"] = "k-1" }
    replays(app:post("/orders", support.goods(), headers), app:post("/orders", support.goods(), headers))
  end)

  it("gives the same answer even when the order has moved on", function()
    local body = { orderId = "O-1", customerName = "Ada" }
    local first = app:post("/orders", body)
    support.pay(app, "O-1", "paid")
    app:drain()
    local second = app:post("/orders", body)
    assert.equal(first.body, second.body)
    assert.equal("READY_FOR_SHIPPING", support.order(app, "O-1").status)
  end)

  it("with the same id and other content is a conflict, with the same key it is refused: nothing changes", function()
    app:post("/orders", { orderId = "O-1", customerName = "Ada" })
    local answer = app:post("/orders", { orderId = "O-1", customerName = "Bob" })
    assert.equal(409, answer.status)
    assert.equal("conflict", answer.json.error.code)
    assert.equal("Ada", support.order(app, "O-1").customer_name)
    local headers = { ["Idempotency-Key"] = "k" }
    assert.equal(200, app:post("/orders", support.goods(), headers).status)
    answer = app:post("/orders", support.goods { quantity = 3 }, headers)
    assert.equal(422, answer.status)
    assert.equal("key_reused", answer.json.error.code)
    assert.equal(2, app.dynamodb:count "Orders")
  end)

  it("with another key but the same id and content is the same order", function()
    local body = { orderId = "O-1", customerName = "Ada" }
    app:post("/orders", body, { ["Idempotency-Key"] = "a" })
    local answer = app:post("/orders", body, { ["Idempotency-Key"] = "b" })
    assert.equal(200, answer.status)
    assert.equal("true", answer.headers["idempotent-replayed"])
    assert.equal(1, app.dynamodb:count "Orders")
  end)

  it("without id or key is another order", function()
    app:post("/orders", support.goods())
    app:post("/orders", support.goods())
    assert.equal(2, app.dynamodb:count "Orders")
  end)

  it("forgets a key after its time, which the template says", function()
    local headers = { ["Idempotency-Key"] = "k" }
    local first = app:post("/orders", support.goods(), headers)
    app:advance(86400 * 1000 + 1000)
    local second = app:post("/orders", support.goods(), headers)
    assert.equal(200, second.status)
    assert.not_equal(first.json.order_id, second.json.order_id)
  end)

  it("takes a key in quotes, as RFC 8941 writes strings, for the key in them", function()
    testing.needs "stillness"
    local plain, quoted = { ["Idempotency-Key"] = "k-1" }, { ["Idempotency-Key"] = '"k-1"' }
    replays(app:post("/orders", support.goods(), plain), app:post("/orders", support.goods(), quoted))
  end)

  it("refuses keys that are not fit to be one", function()
    for _, key in ipairs { "", "a b", "é", ("k"):rep(256), '""', '"' .. ("k"):rep(256) .. '"' } do
      assert.equal(400, app:post("/orders", support.goods(), { ["Idempotency-Key"] = key }).status, key)
    end
  end)
end)

describe("POST /orders, on the way", function()
  it("costs one write, the sending and the clearing of its event: nothing is read", function()
    local app <close> = testing.app()
    local answer = app:post("/orders", support.goods(), { ["Idempotency-Key"] = "k" })
    assert.calls(3, nil, answer)
    assert.costs_below(answer, { rcu = 0, wcu = 11, sqs = 1, runs = 1 })
    assert.equal(0, app.dynamodb:count "Outbox")
    assert.equal(1, app.queues:count "OrderEvents")
  end)

  it("tells of the order in an event that carries its request's correlation", function()
    testing.needs "stillness"
    local app <close> = testing.app()
    local answer = app:post("/orders", support.goods(), { ["X-Request-Id"] = "req-77" })
    local events = app.queues:receive "OrderEvents"
    assert.equal(1, #events)
    assert.equal("order.created", events[1].json.type)
    assert.equal(1, events[1].json.version)
    assert.equal("req-77", events[1].json.correlation_id)
    assert.same({ order_id = answer.json.order_id }, events[1].json.data)
    assert.matches("^2026%-01%-01T00:00:00", events[1].json.occurred_at)
  end)
end)

describe("GET /orders/{id}", function()
  local app
  setup(function() app = testing.app() end)
  teardown(function() app:close() end)

  it("shows the order with its history, and nothing internal", function()
    local id = support.created(app, { customer_name = "Ada", email = "ada@example.org" })
    support.pay(app, id, "paid", { payment_id = "p" })
    local answer = app:get("/orders/" .. id)
    assert.equal(200, answer.status)
    local order = answer.json
    assert.equal("PAID", order.status)
    assert.equal("/receipt/" .. id, order.receipt_url)
    assert.is_nil(order.request_hash)
    assert.equal(2, #order.history)
    assert.same({ "create", "pay" }, { order.history[1].action, order.history[2].action })
    local paid = order.history[2]
    assert.same({ "PENDING_PAYMENT", "PAID", "ReceivePayment" }, { paid.from, paid.to, paid.by })
    assert.is_string(paid.at)
    assert.is_string(paid.request_id)
  end)

  it("answers 404 to what is not there, whatever it looks like", function()
    for _, id in ipairs { "nothing", "a%2Fb", ("x"):rep(3000), "%C3%A9", "%20" } do
      assert.equal(404, app:get("/orders/" .. id).status, id)
    end
  end)
end)

describe("GET /orders", function()
  local app
  before_each(function() app = testing.app { parameters = { OperatorToken = "t0ken" } } end)
  after_each(function() app:close() end)

  local OPERATOR = { Authorization = "Bearer t0ken" }

  local function pages(query, limit)
    local ids, n, cursor = {}, 0, nil
    repeat
      local target = ("/orders?limit=%d&%s%s"):format(limit, query, cursor and "&cursor=" .. cursor or "")
      local answer = app:get(target, OPERATOR)
      assert.equal(200, answer.status, answer.body)
      assert.is_true(#answer.json.orders <= limit)
      for _, order in ipairs(answer.json.orders) do ids[#ids + 1] = order.order_id end
      cursor, n = answer.json.cursor, n + 1
      assert.is_true(n < 50, "the pages do not end")
    until cursor == json.null
    return ids
  end

  it("is for operators only", function()
    assert.equal(401, app:get("/orders").status)
    assert.equal(401, app:get("/orders", { Authorization = "Bearer wrong" }).status)
    assert.equal(200, app:get("/orders", OPERATOR).status)
  end)

  it("pages through all orders, newest first, each once, whatever their states", function()
    local made = {}
    for i = 1, 13 do
      local id = support.created(app, { order_id = "o-" .. i })
      table.insert(made, 1, id)
      if i % 3 == 0 then support.pay(app, id, "paid") end
      if i % 5 == 0 then support.pay(app, id, "failed") end
      app:advance(1000)
    end
    for _, limit in ipairs { 1, 4, 13, 100 } do assert.same(made, pages("", limit)) end
  end)

  it("skips and repeats nothing among orders of the same instant", function()
    local made = {}
    for i = 1, 12 do
      made[i] = support.created(app, { order_id = ("o-%02d"):format(i) })
      if i % 2 == 0 then support.pay(app, made[i], "paid") end
    end
    local ids = pages("", 5)
    table.sort(ids)
    assert.same(made, ids)
  end)

  it("filters by state, by user, and by both", function()
    for i = 1, 6 do
      local id = support.created(app, { order_id = "o-" .. i, user_id = i % 2 == 0 and "even" or "odd" })
      if i > 3 then support.pay(app, id, "paid") end
      app:advance(1000)
    end
    assert.same({ "o-6", "o-5", "o-4" }, pages("status=PAID", 2))
    assert.same({ "o-5", "o-3", "o-1" }, pages("user_id=odd", 2))
    assert.same({ "o-6", "o-4" }, pages("user_id=even&status=paid", 1))
    assert.same({}, pages("status=REFUNDED", 5))
    assert.same({}, pages("user_id=nobody", 5))
  end)

  it("refuses bad queries, naming each part", function()
    local answer = app:get("/orders?status=LOST&limit=0", OPERATOR)
    assert.equal(400, answer.status)
    local fields = support.fields(answer)
    assert.matches("PENDING_PAYMENT", fields.status)
    assert.is_string(fields.limit)
    for _, limit in ipairs { "101", "x", "1.5", "-1", "0x10", "1e1", "%201" } do assert.equal(400, app:get("/orders?limit=" .. limit, OPERATOR).status, limit) end
  end)

  it("refuses cursors that were changed or come from another query", function()
    for i = 1, 3 do support.created(app, { order_id = "o-" .. i }) end
    local cursor = app:get("/orders?limit=1&status=PENDING_PAYMENT", OPERATOR).json.cursor
    assert.equal(200, app:get("/orders?limit=1&status=PENDING_PAYMENT&cursor=" .. cursor, OPERATOR).status)
    assert.equal(400, app:get("/orders?limit=1&status=PAID&cursor=" .. cursor, OPERATOR).status)
    for _, bad in ipairs { "x", "!!!", "e30", cursor:sub(2) } do
      assert.equal(400, app:get("/orders?status=PENDING_PAYMENT&cursor=" .. bad, OPERATOR).status, bad)
    end
  end)

  it("without a token is for this machine only", function()
    local open <close> = testing.app()
    assert.equal(200, open:get("/orders").status)
    assert.equal(401, open:request("GET", "/orders", { remote_ip = "192.0.2.7" }).status)
  end)
end)

describe("the API", function()
  local app
  setup(function() app = testing.app() end)
  teardown(function() app:close() end)

  it("answers preflights as the template says", function()
    local answer = app:request("OPTIONS", "/orders", { headers = { Origin = "https://shop.example.org",
      ["Access-Control-Request-Method"] = "POST", ["Access-Control-Request-Headers"] = "content-type,idempotency-key" } })
    assert.is_true(answer.status == 204 or answer.status == 200)
    assert.equal("*", answer.headers["access-control-allow-origin"])
    assert.matches("POST", answer.headers["access-control-allow-methods"])
    assert.matches("idempotency%-key", answer.headers["access-control-allow-headers"]:lower())
  end)

  it("lets pages of other origins read the answers and their headers", function()
    local answer = app:post("/orders", support.goods(), { Origin = "https://shop.example.org" })
    assert.equal("*", answer.headers["access-control-allow-origin"])
    assert.matches("idempotent%-replayed", answer.headers["access-control-expose-headers"]:lower())
  end)

  it("shows no internals in errors, and gives every answer a request id", function()
    for _, answer in ipairs { app:get "/orders/x", app:get "/nowhere", app:post("/orders", "{"), app:request("PUT", "/orders") } do
      assert.is_string(answer.headers["x-request-id"])
      assert.is_string(answer.json.error.code)
      assert.is_string(answer.json.error.message)
      assert.is_nil(answer.body:find("%.lua"))
    end
  end)

  it("keeps the caller's request id in answer and history", function()
    local answer = app:post("/orders", support.goods { order_id = "with-id" }, { ["X-Request-Id"] = "req-1" })
    assert.equal("req-1", answer.headers["x-request-id"])
    assert.equal("req-1", app:get("/orders/with-id").json.history[1].request_id)
  end)
end)
