--- Queues of targets whose functions somebody must call: messages are received, made events as Lambda makes them, and deleted
--- unless the function says otherwise. For perigee.target.
local json = require "perigee.json"

local queues = {}

-- Of a message and of a batch: what Lambda's event calls them.
local function attribute_of(value)
  return { stringValue = value.StringValue, binaryValue = value.BinaryValue, dataType = value.DataType,
    stringListValues = json.array {}, binaryListValues = json.array {} }
end

local function record(message, arn, region)
  local attributes = {}
  for name, value in pairs(message.MessageAttributes or {}) do attributes[name] = attribute_of(value) end
  return {
    messageId = message.MessageId, receiptHandle = message.ReceiptHandle, body = message.Body, md5OfBody = message.MD5OfBody,
    attributes = message.Attributes, messageAttributes = attributes,
    eventSource = "aws:sqs", eventSourceARN = arn, awsRegion = region,
  }
end

-- The ids that the function gives back: all when it failed as a whole.
local function given_back(answer, records)
  local failed = {}
  local report = answer and json.decode(answer)
  for _, one in ipairs(not answer and records or {}) do failed[one.messageId] = true end
  for _, one in ipairs(type(report) == "table" and report.batchItemFailures or {}) do failed[one.itemIdentifier] = true end
  return failed
end

local function call(host, action, params)
  local out, err = host.world.inside:aws("sqs", action, params)
  return out or error(("sqs:%s: %s"):format(action, tostring(err)), 0)
end

local function url_of(host, queue) return call(host, "GetQueueUrl", { QueueName = queue.queue }).QueueUrl end

local ALL = json.array { "All" }

-- What there is of a queue, once: true when there was something.
local function hand_over(host, queue)
  local url = url_of(host, queue)
  local messages = call(host, "ReceiveMessage", { QueueUrl = url, MaxNumberOfMessages = 10, WaitTimeSeconds = 0,
    AttributeNames = ALL, MessageAttributeNames = ALL }).Messages or {}
  if #messages == 0 then return false end
  local records = {}
  for i, message in ipairs(messages) do
    records[i] = record(message, "arn:aws:sqs:us-east-1:000000000000:" .. queue.queue, "us-east-1")
  end
  local failed = given_back(host:invoke(queue.function_name, json.encode { Records = json.array(records) }), records)
  for _, one in ipairs(records) do
    if not failed[one.messageId] then call(host, "DeleteMessage", { QueueUrl = url, ReceiptHandle = one.receiptHandle }) end
  end
  return true
end

---Messages of the functions' queues: visible, in flight or delayed.
---@param host table
---@return integer
function queues.backlog(host)
  local sum = 0
  for _, queue in ipairs(host:queues()) do
    local got = call(host, "GetQueueAttributes", { QueueUrl = url_of(host, queue), AttributeNames = ALL }).Attributes
    for _, which in ipairs { "", "NotVisible", "Delayed" } do
      sum = sum + math.tointeger(tonumber(got["ApproximateNumberOfMessages" .. which] or 0))
    end
  end
  return sum
end

---@param n integer
---@return string
function queues.left(n) return ("%d messages are still queued"):format(n) end

-- Time goes in small steps at first: what is due soon does not come late.
local function step(passed)
  if passed < 60000 then return 1000 end
  return passed < 600000 and 5000 or 30000
end

---Runs the queues until they are empty; what is delayed, or was given back, is waited for by the clock, at most so long.
---@param host perigee.target.Host
---@param max_ms integer
---@return true? ok
---@return string? why
function queues.drain(host, max_ms)
  local passed, list = 0, host:queues()
  while true do
    local busy = false
    for _, queue in ipairs(list) do busy = hand_over(host, queue) or busy end
    local left = busy and 1 or queues.backlog(host)
    if left == 0 then return true end
    if not busy then
      local ms = math.min(step(passed), max_ms - passed)
      if ms <= 0 then return nil, queues.left(left) end
      host:pass(ms)
      passed = passed + ms
    end
  end
end

return queues
