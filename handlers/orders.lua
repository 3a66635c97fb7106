--- POST /orders, GET /orders/{id}, GET /orders.
local http = require "perigee.http"
local idempotency = require "perigee.idempotency"
local listing = require "model.listing"
local orders = require "model.order"
local outbox = require "perigee.outbox"

-- The transaction found the order's id or the Idempotency-Key taken: the same request again, or another one.
local function repeated(order, key)
  local answer, err = nil, nil
  if key then answer, err = idempotency.replay(key, order.request_hash) end
  if answer then return answer end
  if err then error(err) end
  local stored = orders.load(order.order_id)
  if not stored then return http.unavailable "the earlier request is still being handled; a retry is safe" end
  return idempotency.answer(stored.request_hash, order.request_hash, orders.answer(order.order_id), "this order_id")
end

-- Order, event and stored answer are one transaction; nothing is read unless its condition fails. Of a request without
-- Idempotency-Key the order itself is the record: its id and request_hash.
local function create(request, context)
  local order, refused = orders.read(request)
  if not order then return refused end
  local key, unfit = idempotency.key("orders", request)
  if unfit then return unfit end

  orders.machine:start(order, { by = context.function_name, request_id = context.request_id })
  local answer = orders.answer(order.order_id)
  local work = {
    { Put = { TableName = os.getenv "ORDERS_TABLE", Item = order, ConditionExpression = "attribute_not_exists(order_id)" } },
    events = { { queue = "ORDER_EVENTS_QUEUE", type = "order.created", data = { order_id = order.order_id } } },
  }
  if key then table.insert(work, idempotency.record(key, order.request_hash, answer)) end
  local ok, err = outbox.commit(context, work)
  if ok then return http.json(200, answer) end
  if err.failed then return repeated(order, key) end
  error(err) -- nothing was promised: a retry is safe
end

local function get(request)
  local order = orders.load(request.path_params.id)
  return order and http.ok(orders.view(order)) or http.not_found "there is no such order"
end

local function list(request)
  if not http.is_operator(request, os.getenv "PERIGEE_OPERATOR_TOKEN") then
    return http.unauthorized "this needs the operator's token"
  end
  return listing.answer(request.query)
end

return { create = create, get = get, list = list }
