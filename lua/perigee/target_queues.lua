--- Queues of targets whose functions somebody must call: messages are received, made events as Lambda makes them, and deleted unless
--- the function says otherwise. For perigee.target.
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

-- What there is of a queue, once: true when there was something.
local function hand_over(host, url, queue)
  local messages = call(host, "ReceiveMessage", { QueueUrl = url, MaxNumberOfMessages = 10, WaitTimeSeconds = 0,
    AttributeNames = json.array { "All" }, MessageAttributeNames = json.array { "All" } }).Messages or {}
  if #messages == 0 then return false end
  local records = {}
  for i, message in ipairs(messages) do records[i] = record(message, "arn:aws:sqs:us-east-1:000000000000:" .. queue.queue, "us-east-1") end
  local failed = given_back(host:invoke(queue.function_name, json.encode { Records = json.array(records) }), records)
  for _, message in ipairs(messages) do
    if not failed[message.MessageId] then call(host, "DeleteMessage", { QueueUrl = url, ReceiptHandle = message.ReceiptHandle }) end
  end
  return true
end

local function counts(host, url)
  local got = call(host, "GetQueueAttributes", { QueueUrl = url, AttributeNames = json.array { "All" } }).Attributes
  local function of(which) return math.tointeger(tonumber(got["ApproximateNumberOfMessages" .. which] or 0)) end
  return of "" + of "NotVisible" + of "Delayed"
end

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
  local passed, urls = 0, {}
  local list = host:queues()
  for i, queue in ipairs(list) do urls[i] = call(host, "GetQueueUrl", { QueueName = queue.queue }).QueueUrl end
  while true do
    local busy, left = false, 0
    for i, queue in ipairs(list) do busy = hand_over(host, urls[i], queue) or busy end
    for i = 1, busy and 0 or #list do left = left + counts(host, urls[i]) end
    if not busy and left == 0 then return true end
    if not busy then
      local ms = math.min(step(passed), max_ms - passed)
      if ms <= 0 then return nil, left .. " messages are still queued" end
      host:pass(ms)
      passed = passed + ms
    end
  end
end

return queues
