--- The Serverless Order System, step by step as it was designed: what is wrong with it is meant to be.
local aws = require "perigee.aws"
local http = require "perigee.http"
local json = require "perigee.json"
local log = require "perigee.log"
local pdf = require "perigee.receipt"

local function key(order_id) return "receipts/" .. order_id .. ".pdf" end

-- POST /orders: into the queue, and that is that.
local function create(request)
  local order = request:json()
  if not order or not order.orderId or not order.customerName then
    return http.bad_request { { path = "", message = "orderId and customerName are required" } }
  end
  assert(aws.sqs:send_message { QueueUrl = os.getenv "ORDERS_QUEUE", MessageBody = json.encode(order) })
  return http.ok { message = "order received", orderId = order.orderId }
end

-- Stores the order over whatever is there, then its receipt. What goes wrong is logged, and the message is gone.
local function process(message)
  local order = message:json()
  local _, err = aws.dynamodb:put_item { TableName = os.getenv "ORDERS_TABLE",
    Item = { orderId = order.orderId, customerName = order.customerName, status = "PROCESSED" } }
  if err then
    log.error("could not store the order", { orderId = order.orderId, error = tostring(err) })
    return
  end
  local bytes = assert(pdf.render({ order_id = order.orderId, customer_name = order.customerName, status = "PROCESSED",
    created_at = "2026-01-01T00:00:00.000Z", history = json.array {} }, {}))
  local _, failure = aws.s3:put_object { Bucket = os.getenv "RECEIPTS_BUCKET", Key = key(order.orderId), Body = bytes,
    ContentType = "application/pdf" }
  if failure then log.error("could not store the receipt", { orderId = order.orderId, error = tostring(failure) }) end
end

-- GET /receipt/{orderId}: a link, whether there is a receipt or not.
local function receipt(request)
  local url = assert(aws.s3:presigned_url { Bucket = os.getenv "RECEIPTS_BUCKET", Key = key(request.path_params.orderId),
    ExpiresIn = 300 })
  return http.ok { signedReceiptUrl = url }
end

return { create = create, process = process, receipt = receipt }
