--- GET /receipt/{orderId}: a link that works for a few minutes; 202 while there is nothing to link to.
local aws = require "perigee.aws"
local http = require "perigee.http"
local orders = require "model.order"
local outbox = require "perigee.outbox"
local receipts = require "model.receipt"
local time = require "perigee.time"

local function being_made(order)
  return http.accepted({ order_id = order.order_id, status = order.status, message = "the receipt is being made" },
    { ["Retry-After"] = 1, ["Cache-Control"] = "no-store" })
end

-- The order says that there is a receipt, but the bucket has none: forget it and ask for a new one, once, in one transaction.
local function make_again(order, context)
  local ok, err = outbox.commit(context, {
    { Update = {
      TableName = os.getenv "ORDERS_TABLE", Key = { order_id = order.order_id },
      UpdateExpression = "REMOVE receipt",
      ConditionExpression = "receipt.version = :version",
      ExpressionAttributeValues = { [":version"] = order.receipt.version },
    } },
    events = { { queue = "ORDER_EVENTS_QUEUE", type = "receipt.missing", data = { order_id = order.order_id } } },
  })
  if not ok and not err.failed then error(err) end
  return being_made(order)
end

local function link(request, context)
  local order = orders.load(request.path_params.orderId)
  if not order then return http.not_found "there is no such order" end
  if not receipts.is_current(order) then return being_made(order) end

  local object = { Bucket = os.getenv "RECEIPTS_BUCKET", Key = receipts.key(order.order_id) }
  local found, err = aws.s3:head_object(object)
  if not found and err.status == 404 then return make_again(order, context) end
  if not found then error(err) end
  object.ExpiresIn = math.tointeger(tonumber(os.getenv "RECEIPT_LINK_SECONDS"))
  local url, expires = aws.s3:presigned_url(object)
  if not url then error(expires) end
  return http.ok({ signedReceiptUrl = url, expiresAt = time.iso(expires) }, { ["Cache-Control"] = "no-store" })
end

return { link = link }
