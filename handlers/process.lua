--- Order and payment events from the queues. A message may come more than once and be cut off anywhere; so every step
--- either gives the same result again (state, receipt) or is marked as done (mail). Raising means: again later, in the end the
--- dead-letter queue.
local aws = require "perigee.aws"
local notice = require "model.notice"
local orders = require "model.order"
local receipts = require "model.receipt"
local validate = require "perigee.validate"

local schema = validate.schema "event"

-- The event of a message, if it is one of these types. What is malformed ends in the dead-letter queue, visible.
local function read(message, types)
  local event = assert(message:json())
  local ok, fields = schema:check(event)
  if not ok then error(("event %s: %s %s"):format(message.id, fields[1].path, fields[1].message)) end
  if not types[event.type] then error(("event %s: nothing is known of type %s"):format(event.id, event.type)) end
  return event
end

-- "receipt.missing" comes from GET /receipt, when the object of an order was found gone.
local ORDER_EVENTS = { ["order.created"] = true, ["receipt.missing"] = true }

local function order(message, context)
  local event = read(message, ORDER_EVENTS)
  local current, receipt = receipts.store(event.data.order_id)
  notice.send(event, current, receipt, context)
end

-- What is paid goes to shipping. Whoever else changed the order meanwhile had the newer word.
local function ship(id, context)
  local paid = orders.load(id) or error("there is no order " .. id)
  local update = orders.machine:transition(paid, "ship", { by = context.function_name, request_id = context.request_id })
  if not update then return end
  update.TableName, update.Key = os.getenv "ORDERS_TABLE", { order_id = id }
  local done, err = aws.dynamodb:update_item(update)
  if not done and err.code ~= "ConditionalCheckFailedException" then error(err) end
end

local PAYMENT_EVENTS = { ["payment.paid"] = true, ["payment.failed"] = true, ["payment.refunded"] = true,
  ["payment.cancelled"] = true }

local function payment(message, context)
  local event = read(message, PAYMENT_EVENTS)
  if event.type == "payment.paid" then ship(event.data.order_id, context) end
  local current, receipt = receipts.store(event.data.order_id)
  notice.send(event, current, receipt, context)
end

return { order = order, payment = payment }
