--- An order: its states, how it is read from a request, stored, and shown.
local aws = require "perigee.aws"
local crypto = require "perigee.crypto"
local formats = require "perigee.formats"
local http = require "perigee.http"
local idempotency = require "perigee.idempotency"
local json = require "perigee.json"
local money = require "perigee.money"
local states = require "perigee.states"
local validate = require "perigee.validate"

local order = {}

order.machine = states.machine {
  name = "order",
  initial = "PENDING_PAYMENT",
  terminal = { "CANCELLED", "REFUNDED" },
  transitions = {
    pay = { from = { "PENDING_PAYMENT", "PAYMENT_FAILED" }, to = "PAID" },
    fail = { from = { "PENDING_PAYMENT" }, to = "PAYMENT_FAILED" },
    cancel = { from = { "PENDING_PAYMENT", "PAYMENT_FAILED" }, to = "CANCELLED" },
    ship = { from = { "PAID" }, to = "READY_FOR_SHIPPING" },
    refund = { from = { "PAID", "READY_FOR_SHIPPING" }, to = "REFUNDED" },
  },
}

-- The documents of the two systems spell some fields differently; both spellings are accepted.
local SPELLINGS = { orderId = "order_id", customerName = "customer_name" }
local SHOWN = { "order_id", "user_id", "customer_name", "item", "quantity", "total_price", "currency", "email", "lines", "status",
  "version", "history", "created_at", "updated_at" }

local schema = validate.schema "order"

-- One spelling for all: snake_case. nil and the fields that are given twice with different values.
local function normalise(body)
  local out, fields = {}, {}
  for name, value in pairs(body) do
    local plain = SPELLINGS[name]
    if plain and body[plain] ~= nil and body[plain] ~= value then
      fields[#fields + 1] = { path = name, message = "contradicts " .. plain }
    end
    out[plain or name] = value
  end
  if #fields > 0 then return nil, fields end
  return out
end

-- total_price, completed from the lines. nil and the fields that do not add up.
local function price(content)
  if not content.lines then return content.total_price end
  local total = money.total(content.lines)
  if not total then return nil, { { path = "lines", message = "the sum does not fit a 64-bit integer" } } end
  if total < 0 then return nil, { { path = "lines", message = "the sum must not be negative" } } end
  if content.total_price and content.total_price ~= total then
    return nil, { { path = "total_price", message = ("is %d, but the lines add up to %d"):format(content.total_price, total) } }
  end
  return total
end

---The order that a request asks for, complete but for its state; nil and the answer that refuses it.
function order.read(request)
  local body, refused = http.read(request, schema)
  if not body then return nil, refused end
  local content, fields = normalise(body)
  if not content then return nil, http.bad_request(fields) end
  local hash = idempotency.hash(content)
  content.total_price, fields = price(content)
  if fields then return nil, http.bad_request(fields) end
  content.order_id = content.order_id or crypto.uuid()
  content.currency = content.currency or os.getenv "CURRENCY"
  content.request_hash = hash
  return content
end

---The stored order, or nil. A failure of the store is an error.
function order.load(id)
  if #id > 128 or formats.id(id) then return nil end -- nothing can be stored under it
  local found = assert(aws.dynamodb:get_item {
    TableName = os.getenv "ORDERS_TABLE", Key = { order_id = id }, ConsistentRead = true,
  })
  return found.Item
end

---What callers may see of an order.
function order.view(item)
  local out = { receipt_url = "/receipt/" .. item.order_id }
  for _, name in ipairs(SHOWN) do out[name] = item[name] end
  return out
end

---The body that answers POST /orders, now and at every repetition.
function order.answer(id)
  return json.encode { order_id = id, status = order.machine.initial, receipt_url = "/receipt/" .. id }
end

return order
