--- The payments service of Order-Payments, step by step as it was designed: what is wrong with it is meant to be.
local aws = require "perigee.aws"
local http = require "perigee.http"
local json = require "perigee.json"
local log = require "perigee.log"

-- An order was placed: its payment is open. A second delivery opens it again.
local function placed(message)
  local event = message:json()
  local _, err = aws.dynamodb:put_item { TableName = os.getenv "PAYMENTS_TABLE",
    Item = { order_id = event.order_id, total_price = event.total_price, status = "INCOMPLETE" } }
  if err then log.error("could not store the payment", { order_id = event.order_id, error = tostring(err) }) end
end

-- POST /payments: the table first, then the queue. Nobody asks whether there is such an order, or what it was before.
local function receive(request)
  local body = request:json()
  if not body or not body.order_id or (body.status ~= "completed" and body.status ~= "failed") then
    return http.bad_request { { path = "", message = "order_id and status (completed, failed) are required" } }
  end
  assert(aws.dynamodb:update_item {
    TableName = os.getenv "PAYMENTS_TABLE", Key = { order_id = body.order_id },
    UpdateExpression = "SET #status = :status",
    ExpressionAttributeNames = { ["#status"] = "status" }, ExpressionAttributeValues = { [":status"] = body.status },
  })
  assert(aws.sqs:send_message { QueueUrl = os.getenv "PAYMENT_EVENTS_QUEUE",
    MessageBody = json.encode { order_id = body.order_id, status = body.status } })
  return http.ok { order_id = body.order_id, status = body.status }
end

return { placed = placed, receive = receive }
