--- perigee.replay_document: what production gives out - events, messages, dead letters, records of failed invocations - as runs
--- of functions.
local json = require "perigee.json"
local time = require "perigee.time"

local replay_document = {}

---@class perigee.replay.Run
---@field function_name string
---@field document table an event document
---@field what string for people

---@class perigee.replay.Template
---@field template table what host.inspect says
---@field function_of fun(queue: string): string? of a queue's name
---@field route_of fun(method: string, target: string): string?

local function functions_text(t)
  local names = {}
  for i, f in ipairs(t.template.functions or {}) do names[i] = f.name end
  return table.concat(names, ", ")
end

---@param t perigee.replay.Template
---@param name string
---@return string? declared the function's name in the template, of a deployed one too
local function declared(t, name)
  local best
  for _, f in ipairs(t.template.functions or {}) do
    if f.name == name then return name end
    -- CloudFormation: <stack>-<logical id>-<random>
    if name:find("-" .. f.name .. "-", 1, true) and (not best or #f.name > #best) then best = f.name end
  end
  return best
end

local function queue_name(text) return text:match "[^:/]*$" end

-- ==== messages ==========================================================================================================

-- nil: a message; else what it lacks.
local function why_no_message(m)
  if type(m) ~= "table" then return "it is no message" end
  if type(m.MessageId) ~= "string" then return "the message has no MessageId" end
  if type(m.Body) ~= "string" then return "the message's Body is no text" end
  if type(m.Attributes or {}) ~= "table" then return "the message's Attributes are no object" end
  if type(m.MessageAttributes or {}) ~= "table" then return "the message's MessageAttributes are no object" end
  for name, a in pairs(m.MessageAttributes or {}) do
    if type(a) ~= "table" then return ("of the message's MessageAttributes %s is no object"):format(name) end
  end
end

local function lambda_attributes(attributes)
  local out = json.object {}
  for name, a in pairs(attributes or {}) do
    out[name] = { dataType = a.DataType, stringValue = a.StringValue, binaryValue = a.BinaryValue }
  end
  return out
end

-- What `perigee dlq show --json` says of a message, as SQS gives it out; other messages as they are.
local function as_message(m)
  if type(m) ~= "table" or type(m.id) ~= "string" or m.body == nil then return m end
  local attributes = {}
  if type(m.attributes or {}) ~= "table" then return { MessageId = m.id, Body = "", Attributes = m.attributes } end
  for name, text in pairs(m.attributes or {}) do attributes[name] = { DataType = "String", StringValue = tostring(text) } end
  return {
    MessageId = m.id, Body = type(m.body) == "string" and m.body or json.encode(m.body), source = m.source,
    MessageAttributes = attributes,
    Attributes = { ApproximateReceiveCount = tostring(m.receive_count or 1), MessageGroupId = m.group,
      SentTimestamp = tostring(time.parse(m.sent_at or "") or 0) },
  }
end

-- A message as SQS gives it out, as the record that Lambda makes of it.
local function as_record(message, queue)
  local attributes = message.Attributes or {}
  return {
    messageId = message.MessageId, receiptHandle = message.ReceiptHandle or "replay", body = message.Body,
    attributes = {
      ApproximateReceiveCount = attributes.ApproximateReceiveCount or "1",
      SentTimestamp = attributes.SentTimestamp or "0", MessageGroupId = attributes.MessageGroupId,
    },
    messageAttributes = lambda_attributes(message.MessageAttributes),
    eventSource = "aws:sqs", eventSourceARN = "arn:aws:sqs:us-east-1:000000000000:" .. queue,
  }
end

-- Where a message was before it was a dead letter, or where it is.
local function queue_of(message, outer)
  local source = message.Attributes and message.Attributes.DeadLetterQueueSourceArn or message.source_queue or message.source
    or message.queue or message.QueueUrl or outer.source_queue or outer.source or outer.queue or outer.QueueUrl
  return type(source) == "string" and queue_name(source) or nil
end

local function fed_queue(t, function_name)
  for _, f in ipairs(t.template.feeds or {}) do
    if f["function"] == function_name then return f.queue end
  end
end

local function message_run(t, message, outer, wanted)
  local why = why_no_message(message)
  if why then return nil, why end
  local queue = queue_of(message, outer)
  local name = wanted or queue and t.function_of(queue)
  if not name then
    return nil, queue and ("no function of the template takes messages of the queue %s: --function NAME"):format(queue)
      or "the message does not say which queue it is of: --function NAME"
  end
  local record = as_record(message, queue or fed_queue(t, name) or "unknown")
  return { function_name = name, document = { Records = { record } }, what = "message " .. message.MessageId }
end

local function messages(t, list, outer, wanted)
  local runs = {}
  for i, message in ipairs(list) do
    local run, why = message_run(t, as_message(message), outer, wanted)
    if not run then return nil, ("message %d: %s"):format(i, why) end
    runs[i] = run
  end
  if #runs == 0 then return nil, "it holds no message" end
  return runs
end

-- ==== events ============================================================================================================

local function sqs_event(t, document, wanted)
  local arn = document.Records[1].eventSourceARN
  local queue = type(arn) == "string" and queue_name(arn) or "?"
  local name = wanted or t.function_of(queue)
  if not name then return nil, ("no function of the template takes messages of the queue %s: --function NAME"):format(queue) end
  return { { function_name = name, document = document, what = ("%d messages of %s"):format(#document.Records, queue) } }
end

-- Method and target of a request's document, of whichever gateway.
local function http_of(document)
  local context = document.requestContext
  if type(context) ~= "table" then return nil end
  if type(context.http) == "table" then return context.http.method, document.rawPath or context.http.path end
  if document.httpMethod then return document.httpMethod, document.path end
end

local function http_event(t, document, wanted, method, path)
  if type(method) ~= "string" or type(path) ~= "string" then return nil, "its method or path is no text" end
  local name = wanted or t.route_of(method, path)
  if not name then return nil, ("no route of the template answers %s %s: --function NAME"):format(method, path) end
  return { { function_name = name, document = document, what = method .. " " .. path } }
end

local function bridge_event(t, document, wanted)
  local rule = type(document.resources) == "table" and document.resources[1]
  rule = type(rule) == "string" and rule:match "[^/]*$" or nil
  local name = wanted
  for _, s in ipairs(t.template.schedules or {}) do
    local means = rule and (s.name == rule or rule:find("-" .. s.name .. "-", 1, true))
    if means and not name then name = s["function"] end
  end
  if not name then return nil, "the event does not say which function it is for: --function NAME" end
  return { { function_name = name, document = document, what = document["detail-type"] or "event" } }
end

-- What Lambda sends to an on-failure destination.
local function destination(t, document, wanted)
  local arn = document.requestContext.functionArn
  local name = wanted or type(arn) == "string" and declared(t, arn:match "function:([^:]+)" or "")
  local runs, why = replay_document.runs(t, document.requestPayload, name or nil)
  if not runs and not name and arn then why = ("%s (it was sent for %s)"):format(why, arn) end
  return runs, why
end

---The runs that a document stands for: an event of any kind, an SQS message or what ReceiveMessage answered, a dead letter, a
---record of a failed invocation. nil and why: nothing of that, or nobody knows which function.
---@param t perigee.replay.Template
---@param document any
---@param wanted string? the function
---@return perigee.replay.Run[]?
---@return string? why
function replay_document.runs(t, document, wanted)
  if wanted and not declared(t, wanted) then
    return nil, ("the template has no function %s (it has %s)"):format(wanted, functions_text(t))
  end
  if type(document) ~= "table" then return nil, "it is no JSON object" end
  if document.requestPayload and type(document.requestContext) == "table" then return destination(t, document, wanted) end
  local record = type(document.Records) == "table" and document.Records[1]
  if type(record) == "table" and record.eventSource == "aws:sqs" then return sqs_event(t, document, wanted) end
  if document.Body and document.MessageId then return messages(t, { document }, document, wanted) end
  if type(document.Messages or document.messages) == "table" then
    return messages(t, document.Messages or document.messages, document, wanted)
  end
  local first = as_message(document[1])
  if type(first) == "table" and first.Body then return messages(t, document, {}, wanted) end
  local method, path = http_of(document)
  if method or path then return http_event(t, document, wanted, method, path or "/") end
  if document["detail-type"] then return bridge_event(t, document, wanted) end
  if not wanted then return nil, "it is neither an event nor a message that names its function: --function NAME" end
  return { { function_name = wanted, document = document, what = "event" } }
end

return replay_document
