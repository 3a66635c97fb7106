--- What anybody would expect of Order-Payments. `perigee chaos` finds what of it does not hold.

local ORDER = { user_id = "u-1", item = "a book", quantity = 2, total_price = 1999 }

local ordered = { "an order comes in", function(_, client, run)
  run.order_id = client:post("/orders", ORDER).json.order_id
end }

local rest = { "everything is worked off", function(app) app:drain() end }

local function said(word)
  return { "the provider says " .. word, function(_, client, run)
    client:post("/payments", { order_id = run.order_id, status = word })
  end }
end

local function by_id(items)
  local found = {}
  for _, item in ipairs(items) do found[item.order_id] = item end
  return found
end

local function one_order(app)
  local n = #app.dynamodb:scan "Orders"
  if n > 1 then return ("one order was asked for, %d are there"):format(n) end
end

local function known_to_payments(app)
  local payments = by_id(app.dynamodb:scan "Payments")
  for _, order in ipairs(app.dynamodb:scan "Orders") do
    if not payments[order.order_id] then return "the payments service never heard of an order" end
  end
end

local function payments_have_orders(app)
  local orders = by_id(app.dynamodb:scan "Orders")
  for _, payment in ipairs(app.dynamodb:scan "Payments") do
    if not orders[payment.order_id] then return "there is a payment of an order that nobody placed" end
  end
end

local STATUS = { INCOMPLETE = "INCOMPLETE", completed = "READY_FOR_SHIPPING", failed = "PAYMENT_FAILED" }

local function they_agree(app)
  local payments = by_id(app.dynamodb:scan "Payments")
  for _, order in ipairs(app.dynamodb:scan "Orders") do
    local payment = payments[order.order_id]
    if payment and order.status ~= STATUS[payment.status] then
      return ("the payment is %s, the order is %s"):format(payment.status, order.status)
    end
  end
end

local function paid_stays_paid(app, run)
  local paid = false
  for _, answer in ipairs(run.answers) do
    paid = paid or answer.target == "/payments" and answer.body.status == "completed" and answer.status == 200
  end
  local order = paid and run.order_id and app.dynamodb:get("Orders", { order_id = run.order_id })
  if order and order.status ~= "READY_FOR_SHIPPING" then return ("the order was paid and is %s"):format(order.status) end
end

return {
  flows = {
    order = { ordered, rest },
    payment = { ordered, rest, said "completed", rest },
    late_failure = { ordered, rest, said "completed", rest, said "failed", rest },
    unknown_order = { { "a payment of an order that nobody placed", function(_, client)
      client:post("/payments", { order_id = "nobody's", status = "completed" })
    end }, rest },
  },
  invariants = {
    { name = "one order per request", check = one_order },
    { name = "the payments service knows every order", check = known_to_payments },
    { name = "no payment without an order", check = payments_have_orders },
    { name = "payment and order agree", check = they_agree },
    { name = "what is paid stays paid", check = paid_stays_paid },
  },
}
