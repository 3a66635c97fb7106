--- A payment as received: what its words mean, how it is stored, and when two of them are the same.
local aws = require "perigee.aws"
local http = require "perigee.http"
local idempotency = require "perigee.idempotency"
local json = require "perigee.json"
local time = require "perigee.time"
local validate = require "perigee.validate"

local payment = {}

local schema = validate.schema "payment"

-- The provider's words -> transition of the order's machine.
local ACTIONS = {
  paid = "pay", completed = "pay", succeeded = "pay", success = "pay",
  failed = "fail", declined = "fail",
  refunded = "refund",
  cancelled = "cancel", canceled = "cancel",
}
local EVENTS = { pay = "payment.paid", fail = "payment.failed", refund = "payment.refunded", cancel = "payment.cancelled" }
local WORDS = "must be one of paid, completed, succeeded, success, failed, declined, refunded, cancelled, canceled"

---The payment of a request; nil and the answer that refuses it. Without a payment_id the content is the id.
function payment.read(request)
  local body, refused = http.read(request, schema)
  if not body then return nil, refused end
  local action, fields = ACTIONS[body.status:lower()], {}
  if not action then fields[1] = { path = "status", message = WORDS } end
  for camel, plain in pairs { orderId = "order_id", paymentId = "payment_id" } do
    if body[camel] and body[plain] and body[camel] ~= body[plain] then
      fields[#fields + 1] = { path = camel, message = "contradicts " .. plain }
    end
  end
  if #fields > 0 then return nil, http.bad_request(fields) end
  local p = { order_id = body.order_id or body.orderId, payment_id = body.payment_id or body.paymentId,
    amount = body.amount, currency = body.currency, action = action, event = EVENTS[action] }
  p.request_hash = idempotency.hash(p)
  p.anonymous = p.payment_id == nil
  p.payment_id = p.payment_id or "content-" .. p.request_hash:sub(1, 40)
  return p
end

---Why the money does not fit the order; nil when it does. An order without a price takes any amount.
function payment.mismatch(p, order)
  if p.amount and order.total_price and p.amount ~= order.total_price then
    return ("the amount is %d, the order's price is %d"):format(p.amount, order.total_price)
  end
  if p.currency and order.total_price and p.currency ~= order.currency then
    return ("the currency is %s, the order's is %s"):format(p.currency, order.currency)
  end
end

---The transaction's entry that stores the payment with its answer, and the answer.
function payment.record(p, order)
  local answer = json.encode { order_id = order.order_id, status = order.status }
  return { Put = {
    TableName = os.getenv "PAYMENTS_TABLE",
    Item = { order_id = p.order_id, payment_id = p.payment_id, action = p.action, amount = p.amount, currency = p.currency,
      received_at = time.iso(), outcome = order.status, request_hash = p.request_hash, answer = answer },
    ConditionExpression = "attribute_not_exists(payment_id)",
  } }, answer
end

---The stored payment of this id, or nil. A failure of the store is an error.
function payment.load(p)
  return assert(aws.dynamodb:get_item {
    TableName = os.getenv "PAYMENTS_TABLE", Key = { order_id = p.order_id, payment_id = p.payment_id }, ConsistentRead = true,
  }).Item
end

---Is this stored payment the one that comes again? One without an id is only while its outcome still stands: "failed" after
---"paid" is news, though "failed" was said before.
function payment.is_repetition(stored, p, order)
  if not p.anonymous then return true end
  return stored.outcome == order.status or (stored.outcome == "PAID" and order.status == "READY_FOR_SHIPPING")
end

return payment
