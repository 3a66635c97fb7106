--- The orders service of Order-Payments, step by step as it was designed: what is wrong with it is meant to be.
local aws = require "perigee.aws"
local crypto = require "perigee.crypto"
local http = require "perigee.http"
local json = require "perigee.json"
local log = require "perigee.log"

-- POST /orders: the table first, then the queue; every request is a new order.
local function create(request)
  local body = request:json()
  if not body or not body.user_id or not body.item or not body.quantity or not body.total_price then
    return http.bad_request { { path = "", message = "user_id, item, quantity and total_price are required" } }
  end
  local order = { order_id = crypto.uuid(), user_id = body.user_id, item = body.item, quantity = body.quantity,
    total_price = body.total_price, status = "INCOMPLETE" }
  assert(aws.dynamodb:put_item { TableName = os.getenv "ORDERS_TABLE", Item = order })
  assert(aws.sqs:send_message { QueueUrl = os.getenv "ORDER_EVENTS_QUEUE",
    MessageBody = json.encode { order_id = order.order_id, total_price = order.total_price } })
  return http.ok { order_id = order.order_id, status = order.status }
end

-- A payment event: whatever the order was, it is this now. What goes wrong is logged, and the message is gone.
local function paid(message)
  local event = message:json()
  local status = event.status == "completed" and "READY_FOR_SHIPPING" or "PAYMENT_FAILED"
  local _, err = aws.dynamodb:update_item {
    TableName = os.getenv "ORDERS_TABLE", Key = { order_id = event.order_id },
    UpdateExpression = "SET #status = :status",
    ExpressionAttributeNames = { ["#status"] = "status" }, ExpressionAttributeValues = { [":status"] = status },
  }
  if err then log.error("could not update the order", { order_id = event.order_id, error = tostring(err) }) end
end

return { create = create, paid = paid }
