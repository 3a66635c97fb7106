--- POST /payments: what the payment provider says of an order.
local http = require "perigee.http"
local idempotency = require "perigee.idempotency"
local orders = require "model.order"
local outbox = require "perigee.outbox"
local payments = require "model.payment"
local webhook = require "perigee.webhook"

local ATTEMPTS = 3 -- when another payment of the same order comes in between

-- Signed when there is a secret; without one only this machine itself may tell us that somebody paid.
local function authentic(request)
  local secret = os.getenv "PERIGEE_PAYMENTS_SECRET" or ""
  if secret ~= "" then return webhook.verify(secret, request.body, request.headers[webhook.HEADER]) end
  if http.from_loopback(request) then return true end
  return nil, "payments are taken from this machine only until a signing secret is set"
end

-- The order does not allow this (any more): the same payment again, or one that comes too late.
local function repeated(order, payment, why)
  local stored = payments.load(payment)
  if stored and payments.is_repetition(stored, payment, order) then
    return idempotency.answer(stored.request_hash, payment.request_hash, stored.answer, "this payment_id")
  end
  return http.conflict(why)
end

local function receive(request, context)
  local ok, why = authentic(request)
  if not ok then return http.unauthorized(why) end
  local payment, refused = payments.read(request)
  if not payment then return refused end

  for _ = 1, ATTEMPTS do
    local order = orders.load(payment.order_id)
    if not order then return http.not_found "there is no such order" end
    local mismatch = payments.mismatch(payment, order)
    if mismatch then return http.conflict(mismatch) end
    local update, after = orders.machine:transition(order, payment.action,
      { by = context.function_name, request_id = context.request_id })
    if not update then return repeated(order, payment, after) end

    update.TableName, update.Key = os.getenv "ORDERS_TABLE", { order_id = order.order_id }
    local put, answer = payments.record(payment, after)
    local done, err = outbox.commit(context, {
      { Update = update }, put,
      events = { { queue = "PAYMENT_EVENTS_QUEUE", type = payment.event, data = { order_id = order.order_id } } },
    })
    if done then return http.json(200, answer) end
    if not err.failed then error(err) end
    if err.failed[2] then return repeated(order, payment, "this payment_id was used before") end
  end
  return http.unavailable "the order is being changed by others; a retry is safe"
end

return { receive = receive }
