--- perigee.dlq: `perigee dlq ls | show | redrive`: dead-letter queues, wherever the store is (perigee.operator).
---
--- Which queues are dead-letter queues is in the template: those that a RedrivePolicy names; --queue-url names others.
---
--- SQS has no look at messages that leaves them as they are: looking receives them, for seconds, and makes them visible again at
--- once; each look counts as a receive. So queues with a RedrivePolicy of their own, where receives count, are not looked into.
---
--- redrive moves message by message: sent to where it came from, then deleted here. What stops it in between leaves a message in
--- both queues, never in none.
local json = require "perigee.json"
local members = require "perigee.members"
local operator = require "perigee.operator"
local recordings = require "perigee.recordings"
local time = require "perigee.time"

local dlq = {}

local LOOK_SECONDS = 30  -- nobody else sees what is looked at
local HOLD_SECONDS = 300 -- what is left where it is, while the rest moves
local BATCH = 10
local PROGRESS_MS = 5000

---@class perigee.DeadLetterQueue
---@field name string
---@field logical_id string?
---@field url string
---@field sources { name: string, logical_id: string? }[]

local function call(store, action, params)
  local out, err = store:call("sqs", action, params)
  if not out then error(("sqs:%s: %s"):format(action, err.message or tostring(err)), 0) end
  return out
end

local function last_of(arn) return arn:match "([^:/]+)$" end

-- ==== queues ============================================================================================================

local function target_of(queue)
  local policy = (queue.create.Attributes or {}).RedrivePolicy
  local value = type(policy) == "string" and json.decode(policy) or policy
  return type(value) == "table" and value.deadLetterTargetArn and last_of(value.deadLetterTargetArn) or nil
end

-- The template's, in its order: those that other queues name.
local function declared(store)
  local template, why = store:template()
  if not template then error("the template does not say which queues there are: " .. why, 0) end
  local list, by_name = {}, {}
  for _, queue in ipairs(template.queues) do
    local name = target_of(queue)
    if name then
      if not by_name[name] then
        by_name[name] = { name = name, sources = {} }
        list[#list + 1] = by_name[name]
      end
      table.insert(by_name[name].sources, { name = queue.name, logical_id = queue.logical_id })
    end
  end
  for _, queue in ipairs(template.queues) do
    if by_name[queue.name] then by_name[queue.name].logical_id = queue.logical_id end
  end
  return list
end

local function url_of(store, name) return call(store, "GetQueueUrl", { QueueName = name }).QueueUrl end

local function called(queue, name) return queue.name == name or queue.logical_id == name end

local function given_by_url(store, url)
  local queue = { name = last_of(url), url = url, sources = {} }
  for i, source in ipairs(call(store, "ListDeadLetterSourceQueues", { QueueUrl = url }).queueUrls or {}) do
    queue.sources[i] = { name = last_of(source) }
  end
  return queue
end

-- By its own name or that of a queue whose dead letters it has.
local function find(store, options, name)
  if options["queue-url"] then return given_by_url(store, options["queue-url"]) end
  local list, known = declared(store), {}
  for i, queue in ipairs(list) do
    local found = called(queue, name)
    for _, source in ipairs(queue.sources) do found = found or called(source, name) end
    if found then
      queue.url = url_of(store, queue.name)
      return queue
    end
    known[i] = queue.name
  end
  error(("there is no dead-letter queue %s; the template has %s"):format(name,
    #known > 0 and table.concat(known, ", ") or "none"), 0)
end

local function attributes_of(store, queue)
  return call(store, "GetQueueAttributes", { QueueUrl = queue.url, AttributeNames = json.array { "All" } }).Attributes
end

local function number(attributes, name) return math.tointeger(tonumber(attributes[name] or 0)) or 0 end

local function check_looking(queue, attributes, options)
  if attributes.RedrivePolicy and not options.force then
    error(("%s has a RedrivePolicy of its own: looking counts as a receive and may move its messages on; --force looks"):format(
      queue.name), 0)
  end
end

-- ==== looking ===========================================================================================================

local function receive(store, queue, n, seconds)
  return call(store, "ReceiveMessage", { QueueUrl = queue.url, MaxNumberOfMessages = n, VisibilityTimeout = seconds,
    WaitTimeSeconds = store.options.aws and 1 or 0, AttributeNames = json.array { "All" },
    MessageAttributeNames = json.array { "All" } }).Messages or {}
end

-- Makes messages visible again. What cannot be given back comes back by itself.
local function give_back(store, queue, messages)
  for first = 1, #messages, BATCH do
    local entries = json.array {}
    for i = first, math.min(first + BATCH - 1, #messages) do
      entries[#entries + 1] = { Id = tostring(i), ReceiptHandle = messages[i].ReceiptHandle, VisibilityTimeout = 0 }
    end
    store:call("sqs", "ChangeMessageVisibilityBatch", { QueueUrl = queue.url, Entries = entries })
  end
end

-- fn(messages) while they are received; afterwards they are visible again, whatever happens.
local function with_held(store, queue, fn)
  local held = {}
  local ok, result = pcall(fn, held)
  give_back(store, queue, held)
  if not ok then error(result, 0) end
  return result
end

local function look(store, queue, limit)
  return with_held(store, queue, function(held)
    local seen, list = {}, {}
    while #list < limit and not store:interrupted() do
      local fresh = 0
      for _, message in ipairs(receive(store, queue, math.min(BATCH, limit - #list), LOOK_SECONDS)) do
        held[#held + 1] = message
        if not seen[message.MessageId] then
          seen[message.MessageId], fresh = true, fresh + 1
          list[#list + 1] = message
        end
      end
      if fresh == 0 then break end
    end
    return list
  end)
end

local function sent_ms(message) return number(message.Attributes or {}, "SentTimestamp") end

local function attribute_text(attribute)
  return attribute.StringValue or ("%s, base64 %s"):format(attribute.DataType, attribute.BinaryValue or "")
end

-- What recordings of `perigee serve --development` say of messages: by id, the last failure.
local function failures_of(store, messages)
  local wanted, found = {}, {}
  for _, message in ipairs(messages) do wanted[message.MessageId] = true end
  local function keep(record)
    local id = record.kind == "message" and record.outcome == "failed" and record.message.messageId
    if not id or not wanted[id] or found[id] then return false end
    found[id] = record
    return true
  end
  if not store.options.aws and next(wanted) then
    pcall(recordings.select, recordings.directory(store.options.data), #messages, keep) -- no recordings: nothing to say
  end
  return found
end

local function error_text(record)
  local err = record and record.error
  return err and ("%s: %s"):format(err.type or err.code, err.message) or nil
end

-- What scripts get of a message; `failed`: the recording of its last failure.
local function described(message, now, failed)
  local attributes, system = {}, message.Attributes or {}
  for name, attribute in pairs(message.MessageAttributes or {}) do attributes[name] = attribute_text(attribute) end
  local body = json.decode(message.Body)
  local correlation = type(body) == "table" and members.get(body, "correlation_id") or attributes.correlation_id
  return {
    id = message.MessageId, age_ms = math.max(now - sent_ms(message), 0), sent_at = time.iso(sent_ms(message)),
    receive_count = number(system, "ApproximateReceiveCount"), attributes = json.object(attributes),
    source = system.DeadLetterQueueSourceArn and last_of(system.DeadLetterQueueSourceArn), group = system.MessageGroupId,
    correlation_id = correlation, body = body == nil and message.Body or body,
    last_error = error_text(failed), recording = failed and failed.id,
  }
end

local function body_text(body) return operator.plain(type(body) == "string" and body or json.encode(body)) end

local function print_message(m)
  local attributes = {}
  for name, value in pairs(m.attributes) do attributes[#attributes + 1] = name .. "=" .. value end
  table.sort(attributes)
  local rows = { { m.id, "" } }
  local function add(name, value)
    if value and value ~= "" then rows[#rows + 1] = { "  " .. name, operator.plain(value) } end
  end
  add("age", ("%s, sent %s"):format(operator.age(m.age_ms), m.sent_at))
  add("receives", m.receive_count)
  add("source", m.source)
  add("group", m.group)
  add("correlation id", m.correlation_id)
  add("attributes", table.concat(attributes, ", "))
  add("body", body_text(m.body))
  add("last error", m.last_error)
  local recording = m.recording and m.recording:sub(1, 8)
  add("recording", recording and ("perigee log show %s, perigee replay %s"):format(recording, recording))
  io.stdout:write(rows[1][1], "\n", operator.columns(table.move(rows, 2, #rows, 1, {})), "\n")
end

local function put_json(value) operator.say(json.encode(value)) end

-- ==== ls, show ==========================================================================================================

local function survey(store, queue)
  local row = { queue = queue.name, sources = json.array {} }
  for i, source in ipairs(queue.sources) do row.sources[i] = source.name end
  local found, err = store:call("sqs", "GetQueueUrl", { QueueName = queue.name })
  if not found and not queue.url then
    row.error = err.message
    return row
  end
  queue.url = queue.url or found.QueueUrl
  local attributes = attributes_of(store, queue)
  row.messages, row.in_flight = number(attributes, "ApproximateNumberOfMessages"), number(attributes,
    "ApproximateNumberOfMessagesNotVisible")
  if row.messages == 0 or attributes.RedrivePolicy then return row end
  local oldest, newest, messages = nil, nil, look(store, queue, BATCH)
  for _, message in ipairs(messages) do oldest = math.min(oldest or math.maxinteger, sent_ms(message)) end
  row.oldest_ms = oldest and math.max(time.now() - oldest, 0)
  for _, record in pairs(failures_of(store, messages)) do
    if not newest or record.at_ms > newest.at_ms then newest = record end
  end
  row.last_error = error_text(newest)
  return row
end

local function ls(store, options)
  local list, rows, looked, failed = {}, { { "QUEUE", "MESSAGES", "IN FLIGHT", "OLDEST", "DEAD LETTERS OF", "" } }, false, 0
  local queues = options["queue-url"] and { given_by_url(store, options["queue-url"]) } or declared(store)
  for i, queue in ipairs(queues) do
    local row = survey(store, queue)
    list[i], looked, failed = row, looked or row.oldest_ms ~= nil, failed + (row.error and 1 or 0)
    rows[i + 1] = { row.queue, tostring(row.messages or "?"), tostring(row.in_flight or "?"),
      row.oldest_ms and operator.age(row.oldest_ms) or "-", row.error or table.concat(row.sources, ", "),
      row.last_error and operator.plain(row.last_error) or "" }
    if row.last_error then rows[1][6] = "LAST ERROR" end
  end
  if options.json then
    put_json(json.array(list))
  elseif #list == 0 then
    operator.say "the template has no dead-letter queue"
  else
    io.stdout:write(operator.columns(rows))
    if looked then operator.say "\nOLDEST is that of up to 10 messages that were looked at, which counts as a receive." end
  end
  if failed == 0 then return 0 end
  return operator.fail("dlq", ("%d of %d queues could not be looked at"):format(failed, #list))
end

local function show(store, options, name)
  local queue = find(store, options, name)
  local attributes = attributes_of(store, queue)
  check_looking(queue, attributes, options)
  store:catch_interrupts()
  local now, list, messages = time.now(), json.array {}, look(store, queue, options.limit or 10)
  local failures = failures_of(store, messages)
  for i, message in ipairs(messages) do list[i] = described(message, now, failures[message.MessageId]) end
  if options.json then
    put_json(list)
    return 0
  end
  for _, message in ipairs(list) do print_message(message) end
  local there = math.max(number(attributes, "ApproximateNumberOfMessages"), #list)
  operator.say(("%s: %d of %d messages, on %s. They are visible again; looking counts as a receive."):format(
    queue.name, #list, there, store.where))
  return 0
end

-- ==== filters ===========================================================================================================

---@alias perigee.dlq.Filter fun(message: table, body: any): boolean

---"a.b=c", "a~pattern", "@attribute=c", "id=...". nil and why not.
---@param text string
---@return perigee.dlq.Filter?
---@return string? why
function dlq.filter(text)
  local path, operation, wanted = text:match "^([^=~]+)([=~])(.*)$"
  if not path then return nil, ("--filter '%s' is not MEMBER=VALUE or MEMBER~PATTERN"):format(text) end
  -- what is wrong is noticed where matching gets to: most of it in the pattern's own text
  if operation == "~" and not pcall(string.find, (wanted:gsub("^[%^(]+", "")), wanted) then
    return nil, ("--filter '%s': this is no Lua pattern"):format(text)
  end
  local function value_of(message, body)
    if path == "id" then return message.MessageId end
    local attribute = path:match "^@(.+)"
    if not attribute then return members.get(body, path) end
    local found = (message.MessageAttributes or {})[attribute]
    return found and (found.StringValue or found.BinaryValue)
  end
  return function(message, body)
    local value = value_of(message, body)
    if value == nil or type(value) == "table" then return false end
    value = tostring(value)
    if operation == "=" then return value == wanted end
    local ok, found = pcall(string.find, value, wanted)
    if not ok then error(("--filter '%s': this is no Lua pattern (%s)"):format(text, found), 0) end
    return found ~= nil
  end
end

local function filters_of(options)
  local list = {}
  for i, text in ipairs(options.filter or {}) do
    local filter, why = dlq.filter(text)
    if not filter then return nil, why end
    list[i] = filter
  end
  return function(message)
    local body = #list > 0 and json.decode(message.Body) or nil
    for _, filter in ipairs(list) do
      if not filter(message, body) then return false end
    end
    return true
  end
end

-- ==== redrive ===========================================================================================================

---@class perigee.dlq.Redrive
---@field store perigee.Store
---@field queue perigee.DeadLetterQueue
---@field options table<string, any>
---@field matches fun(message: table): boolean
---@field fifo boolean
---@field urls table<string, string> by queue
---@field began integer ms, monotonic
---@field moved integer
---@field others integer that do not match
---@field behind integer that match, and are behind one of their FIFO group that stays
---@field stays table<string, boolean> FIFO groups of which a message stays
---@field sent table<string, boolean> ids that moved messages have now
local Redrive = {}
Redrive.__index = Redrive

function Redrive:url(name)
  if not self.urls[name] then self.urls[name] = name:find "://" and name or url_of(self.store, name) end
  return self.urls[name]
end

-- Where --to says: a URL, a name, or a logical id of the template.
local function to_name(store, to)
  if to:find "://" then return to end
  local template = store:template()
  for _, queue in ipairs(template and template.queues or {}) do
    if queue.logical_id == to then return queue.name end
  end
  return to
end

-- The queue that a message goes to.
function Redrive:destination(message)
  if self.to then return self.to end
  local arn = (message.Attributes or {}).DeadLetterQueueSourceArn
  if arn then return last_of(arn) end
  if #self.queue.sources == 1 then return self.queue.sources[1].name end
  error(("message %s does not say where it came from; --to QUEUE says where it goes"):format(message.MessageId), 0)
end

-- FIFO: an id of its own. Under the one it had, a queue that saw it less than 5 minutes ago would accept and drop it; under this
-- one a second attempt to move it is dropped instead.
function Redrive:parameters(message)
  local system = message.Attributes or {}
  local trace = system.AWSTraceHeader
  return {
    QueueUrl = self:url(self:destination(message)), MessageBody = message.Body, MessageAttributes = message.MessageAttributes,
    MessageSystemAttributes = trace and { AWSTraceHeader = { DataType = "String", StringValue = trace } } or nil,
    MessageGroupId = system.MessageGroupId,
    MessageDeduplicationId = self.fifo and "redrive-" .. message.MessageId or nil,
  }
end

function Redrive:move(message)
  local made = call(self.store, "SendMessage", self:parameters(message))
  self.sent[made.MessageId] = true
  self.moved = self.moved + 1
  local _, err = self.store:call("sqs", "DeleteMessage", { QueueUrl = self.queue.url, ReceiptHandle = message.ReceiptHandle })
  if err then
    error(("message %s was sent to %s but not deleted here, so it is in both: %s"):format(message.MessageId,
      self:destination(message), err.message or tostring(err)), 0)
  end
end

function Redrive:pause()
  local rate = self.options.rate
  while rate and not self.store:interrupted() do
    local left = self.began + self.moved * 1000 // rate - time.monotonic()
    if left <= 0 then return end
    time.sleep(math.min(left, 200))
  end
end

function Redrive:progress()
  if time.monotonic() - self.told < PROGRESS_MS then return end
  self.told = time.monotonic()
  io.stderr:write(("%d moved, %d left where they are\n"):format(self.moved, self.others))
end

function Redrive:is_over()
  return self.store:interrupted() or #self.would + self.moved >= (self.options.limit or math.maxinteger)
end

-- One message: moved, noted (--dry-run), or left; true when it stays received.
function Redrive:handle(message)
  if self:is_over() then return true end
  local group = self.fifo and message.Attributes.MessageGroupId
  if not self.matches(message) then
    self.others = self.others + 1
    if group then self.stays[group] = true end
    return true
  end
  if group and self.stays[group] then
    self.behind = self.behind + 1
    return true
  end
  if self.options["dry-run"] then
    self.would[#self.would + 1] = message
    return true
  end
  self:move(message)
  self:pause()
  return false
end

-- Until nothing comes, or as many as there are came again: what failed meanwhile, or is no longer hidden, is not moved a second
-- time.
function Redrive:run(held)
  local seen, distinct, again = {}, 0, 0
  repeat
    local handled = 0
    local messages = receive(self.store, self.queue, BATCH, HOLD_SECONDS)
    local ok, err = pcall(function()
      for i, message in ipairs(messages) do
        local known = seen[message.MessageId] or self.sent[message.MessageId]
        if not seen[message.MessageId] then distinct = distinct + 1 end
        seen[message.MessageId] = true
        again = known and again + 1 or 0
        if known or self:handle(message) then held[#held + 1] = message end
        handled = i
      end
    end)
    if not ok then
      table.move(messages, handled + 1, #messages, #held + 1, held)
      error(err, 0)
    end
    self:progress()
  until #messages == 0 or again > distinct or self:is_over()
end

local function plural(n) return n == 1 and "1 message" or n .. " messages" end

function Redrive:list_what_would_move()
  local now, rows = time.now(), { { "ID", "AGE", "TO", "BODY" } }
  for i, message in ipairs(self.would) do
    local body = operator.plain(message.Body)
    rows[i + 1] = { message.MessageId, operator.age(now - sent_ms(message)), last_of(self:destination(message)),
      #body > 60 and body:sub(1, (utf8.offset(body, 0, 58) or 58) - 1) .. "..." or body }
  end
  if #self.would > 0 then io.stdout:write(operator.columns(rows), "\n") end
end

function Redrive:report(failed)
  local dry, others = self.options["dry-run"], ""
  if self.others > 0 then
    others = ("; %s %s not match and stayed"):format(plural(self.others), self.others == 1 and "does" or "do")
  end
  if self.behind > 0 then others = ("%s; %s behind one that stayed"):format(others, plural(self.behind)) end
  if self.options.json then
    local list = json.array {}
    for i, message in ipairs(self.would) do list[i] = { id = message.MessageId, to = last_of(self:destination(message)) } end
    put_json { queue = self.queue.name, moved = self.moved, unmatched = self.others,
      behind = self.behind > 0 and self.behind or nil, would_move = dry and list or nil,
      interrupted = self.store:interrupted() or nil, error = failed }
  elseif dry then
    self:list_what_would_move()
    operator.say(("%s of %s would move%s. They are visible again; looking counts as a receive."):format(plural(#self.would),
      self.queue.name, others))
  else
    operator.say(("%s of %s moved%s%s"):format(plural(self.moved), self.queue.name, others,
      self.store:interrupted() and "; interrupted: the rest is where it was" or ""))
  end
end

-- Account and name: servers have several addresses.
local function path_of(url) return url:match "://[^/]*(.*)$" end

local function redrive(store, options, name)
  local matches, why = filters_of(options)
  if not matches then return operator.fail("dlq", why, 2) end
  local queue = find(store, options, name)
  local attributes = attributes_of(store, queue)
  check_looking(queue, attributes, options)
  local self = setmetatable({ store = store, queue = queue, options = options, matches = matches,
    urls = {}, moved = 0, others = 0, behind = 0, stays = {}, sent = {}, would = {}, fifo = attributes.FifoQueue == "true",
    began = time.monotonic(), told = time.monotonic(), to = options.to and to_name(store, options.to) }, Redrive)
  if self.to and path_of(self:url(self.to)) == path_of(queue.url) then
    error(("--to %s: that is where they are"):format(options.to), 0)
  end
  store:catch_interrupts()
  local ok, failed = pcall(with_held, store, queue, function(held) self:run(held) end)
  self:report(not ok and tostring(failed) or nil)
  if not ok then error(failed, 0) end
  return store:interrupted() and 130 or 0
end

-- ==== the command =======================================================================================================

local ACTIONS = { ls = ls, show = show, redrive = redrive }
local OWN = { to = "redrive", filter = "redrive", rate = "redrive", ["dry-run"] = "redrive", limit = "show and redrive",
  force = "show and redrive" }

local function misuse(options, operands)
  local action, name = operands[1], operands[2]
  if not ACTIONS[action] then
    return action and ("'%s' is not ls, show or redrive"):format(action) or "ls, show QUEUE or redrive QUEUE"
  end
  local why = operator.misplaced(options, OWN, action)
  if why then return why end
  if action == "ls" then return name and ("unexpected argument '%s'"):format(name) end
  if options["queue-url"] then return name and "--queue-url takes the place of QUEUE" end
  if not name then return action .. ": which queue? (perigee dlq ls lists them; or --queue-url URL)" end
  return operands[3] and ("unexpected argument '%s'"):format(operands[3])
end

---One action on a store.
---@param store perigee.Store
---@param options table<string, any>
---@param operands string[]
---@return integer code
function dlq.act(store, options, operands) return ACTIONS[operands[1]](store, options, operands[2]) end

---@param options table<string, any>
---@param operands string[]
---@return integer code
function dlq.main(options, operands)
  local why = misuse(options, operands)
  if why then return operator.fail("dlq", why, 2) end
  return operator.run("dlq", options, function(store) return dlq.act(store, options, operands) end)
end

return dlq
