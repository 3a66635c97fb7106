--- The receipt of an order: rendered, stored in the bucket, and recorded on the order.
local aws = require "perigee.aws"
local crypto = require "perigee.crypto"
local orders = require "model.order"
local pdf = require "perigee.receipt"

local receipt = {}

local ATTEMPTS = 5 -- when the order changes while its receipt is made

function receipt.key(order_id)
  return "receipts/" .. order_id .. ".pdf"
end

---Does the bucket's object show the order as it is now, as far as the order knows?
function receipt.is_current(order)
  return order.receipt ~= nil and order.receipt.version == order.version
end

local function put(order, bytes)
  local hash = crypto.sha256(bytes)
  assert(aws.s3:put_object {
    Bucket = os.getenv "RECEIPTS_BUCKET", Key = receipt.key(order.order_id), Body = bytes, ContentType = "application/pdf",
    Metadata = { sha256 = hash, ["order-version"] = tostring(order.version) },
  })
  return hash
end

-- The record holds only while the order is still what was rendered. nil: it has changed meanwhile.
local function record(order, hash, size)
  local done, err = aws.dynamodb:update_item {
    TableName = os.getenv "ORDERS_TABLE",
    Key = { order_id = order.order_id },
    UpdateExpression = "SET receipt = :receipt",
    ConditionExpression = "#version = :version",
    ExpressionAttributeNames = { ["#version"] = "version" },
    ExpressionAttributeValues = {
      [":receipt"] = { version = order.version, sha256 = hash, bytes = size }, [":version"] = order.version,
    },
  }
  if done then return true end
  if err.code ~= "ConditionalCheckFailedException" then error(err) end
end

---Renders the order as it is now and stores the receipt; returns the order and the bytes. Whoever stores looks again whether the
---order is still the same, and renders once more if not: so the last object stored shows the last state, in whatever order
---events are handled and wherever they are cut off. Doing it twice gives the same object.
function receipt.store(order_id)
  for _ = 1, ATTEMPTS do
    local order = orders.load(order_id) or error("there is no order " .. order_id)
    local bytes = assert(pdf.render(order, { brand = os.getenv "BRAND", fonts = os.getenv "FONT_PATHS" }))
    if record(order, put(order, bytes), #bytes) then return order, bytes end
  end
  error("order " .. order_id .. " keeps changing")
end

return receipt
