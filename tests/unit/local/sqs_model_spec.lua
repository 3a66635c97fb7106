-- Random calls to queues, compared with a model of them: a list of messages and what the documentation says of each call.
-- The clock is frozen and moved by the calls. PERIGEE_DIFF_SEED: which calls; PERIGEE_DIFF_CALLS: how many a sequence.
local helper = require "unit.local.sqs_helper"

local SEED = math.tointeger(tonumber(os.getenv "PERIGEE_DIFF_SEED" or "1"))
local CALLS = math.tointeger(tonumber(os.getenv "PERIGEE_DIFF_CALLS" or "200"))
local DEDUP_MS, START = 300000, 1700000000000

-- ==== the model =======================================================================================================

local Model = {}
Model.__index = Model

local function new_model(fifo)
  return setmetatable({ fifo = fifo, now = START, queues = {}, sent = 0 }, Model)
end

--- settings: visibility, delay, retention (seconds), scope_group, max_receives, dlq
function Model:queue(name, settings)
  self.queues[name] = { settings = settings, messages = {}, records = {}, attempts = {}, name = name }
end

--- Whether a message of that deduplication id is on record; else it is sent.
function Model:send(name, body, group, dedup)
  local q = self.queues[name]
  if self.fifo then
    local key = (q.settings.scope_group and group or "") .. "\0" .. dedup
    local record = q.records[key]
    if record and record.till > self.now then return record.body end
    q.records[key] = { till = self.now + DEDUP_MS, body = body }
  end
  self.sent = self.sent + 1
  table.insert(q.messages, { body = body, group = group, order = self.sent, sent = self.now, receives = 0, visible = self.now + q.settings.delay * 1000 })
  return body
end

local function in_flight(q, group, now)
  for _, m in ipairs(q.messages) do
    if m.group == group and m.receives > 0 and m.visible > now then return true end
  end
  return false
end

local function drop(q, m)
  for i, other in ipairs(q.messages) do
    if other == m then return table.remove(q.messages, i) end
  end
end

function Model:is_old(q, m) return m.sent + q.settings.retention * 1000 <= self.now end
local function is_dead(q, m) return q.settings.dlq and m.receives >= q.settings.max_receives end

--- What was received too often goes to the dead-letter queue when it is its turn.
function Model:bury(q, m)
  drop(q, m)
  self.sent = self.sent + 1
  m.order, m.visible, m.sent, m.source = self.sent, self.now, self.fifo and self.now or m.sent, q.name
  table.insert(self.queues[q.settings.dlq].messages, m)
end

--- What may be received now: lists of messages, each in the order it must be given; a message of a standard queue is one.
function Model:ready(q)
  local lists, by_group = {}, {}
  for _, m in ipairs(q.messages) do
    if m.visible <= self.now and not (self.fifo and in_flight(q, m.group, self.now)) then
      local key = self.fifo and m.group or m
      local list = by_group[key] or {}
      if #list == 0 then lists[#lists + 1] = list end
      list[#list + 1], by_group[key] = m, list
    end
  end
  return lists
end

function Model:take(q, m, visibility)
  m.receives, m.first = m.receives + 1, m.first or self.now
  m.visible = self.now + (visibility or q.settings.visibility) * 1000
end

local function find(q, body)
  for _, m in ipairs(q.messages) do
    if m.body == body then return m end
  end
end

--- Visible, in flight, delayed.
function Model:counts(q)
  local n = { 0, 0, 0 }
  for _, m in ipairs(q.messages) do
    local i = m.visible <= self.now and 1 or m.receives > 0 and 2 or 3
    n[i] = n[i] + 1
  end
  return n
end

-- ==== the comparison ==================================================================================================

local Run = {}
Run.__index = Run

local function pick(list) return list[math.random(#list)] end

local function new_run(fifo, seed)
  math.randomseed(seed)
  local suffix = fifo and ".fifo" or ""
  local self = setmetatable({ s = helper.open(), fifo = fifo, model = new_model(fifo), handles = {}, sent = {}, ids = {}, log = {} }, Run)
  local work = { visibility = pick { 0, 5, 10 }, delay = pick { 0, 0, 3 }, retention = pick { 60, 345600 }, max_receives = pick { 1, 2, 3 },
    dlq = "dead" .. suffix, scope_group = fifo and math.random(2) == 1 }
  self.model:queue("dead" .. suffix, { visibility = 10, delay = 0, retention = 345600 })
  self.model:queue("q" .. suffix, work)
  self.names = { "q" .. suffix, "dead" .. suffix }
  local make = fifo and self.s.fifo or self.s.queue
  make(self.names[2], { VisibilityTimeout = "10" })
  make(self.names[1], { VisibilityTimeout = tostring(work.visibility), DelaySeconds = tostring(work.delay),
    MessageRetentionPeriod = tostring(work.retention), DeduplicationScope = work.scope_group and "messageGroup" or nil,
    RedrivePolicy = helper.json.encode { deadLetterTargetArn = helper.ARN .. self.names[2], maxReceiveCount = work.max_receives } })
  self:note("queue", helper.json.encode(work))
  return self
end

function Run:note(...) self.log[#self.log + 1] = table.concat({ ... }, " ") end

--- body -> where it is and how, as the store has it.
function Run:stored()
  local out = {}
  for _, r in ipairs(self.s.e:sql("SELECT m.body, q.name, m.visible_at, m.receives, m.sent_at, coalesce(m.grp,''), CASE WHEN m.receives>0 THEN m.first_at " ..
    "ELSE '' END FROM messages m JOIN queues q ON q.id=m.queue", 7)) do
    out[r[1]] = { queue = r[2], state = table.concat(r, " ", 2) }
  end
  return out
end

-- What outlived its retention may be gone any time.
function Run:forget_old(stored)
  for _, q in pairs(self.model.queues) do
    for i = #q.messages, 1, -1 do
      if not stored[q.messages[i].body] and self.model:is_old(q, q.messages[i]) then table.remove(q.messages, i) end
    end
  end
end

function Run:same(stored)
  local expected, actual = {}, {}
  for name, q in pairs(self.model.queues) do
    for _, m in ipairs(q.messages) do
      expected[m.body] = table.concat({ name, m.visible, m.receives, m.sent, m.group or "", m.first or "" }, " ")
    end
  end
  for body, row in pairs(stored) do actual[body] = row.state end
  assert.same(expected, actual)
end

-- ==== calls ===========================================================================================================

local calls = {}

function calls.send(self)
  local q = self.model.queues[self.names[1]]
  local body, group, dedup = "m" .. #self.sent + 1, self.fifo and "g" .. math.random(3) or nil, "d" .. math.random(12)
  self.sent[#self.sent + 1] = body
  self:note("send", body, group or "", dedup)
  local answer = self.s.send(self.names[1], body, self.fifo and { MessageGroupId = group, MessageDeduplicationId = dedup } or nil)
  local original = self.model:send(q.name, body, group, dedup)
  self.ids[original] = self.ids[original] or answer.MessageId
  assert.equal(self.ids[original], answer.MessageId)
end

-- The engine may choose among groups, and among the messages of a standard queue. The model follows; it says what may not
-- be: out of order, of a group in flight, less than there is.
function Run:follow(q, got, max, visibility, stored)
  local place, given = {}, {}
  local once = (visibility or q.settings.visibility) == 0 -- what is visible again at once is not looked at twice
  for i, m in ipairs(got) do place[m.Body] = i end
  for _, list in ipairs(self.model:ready(q)) do
    local over, last, mine = false, 0, 0
    for _, m in ipairs(list) do
      local at, where = place[m.body], stored[m.body]
      if at then
        assert.is_false(over, m.body .. " was given, but not what comes before it")
        assert.is_true(at > last, m.body .. " was given in another order")
        assert.is_falsy(is_dead(q, m), m.body .. " was given once too often")
        assert.is_false(self.model:is_old(q, m), m.body .. " was given though it is old")
        last, mine, given[m.body] = at, mine + 1, m
      elseif where and where.queue ~= q.name then
        assert.is_true(is_dead(q, m) and not over, m.body .. " went away, but not by its turn")
        self.model:bury(q, m)
      else
        over = where ~= nil
        assert.is_true(not over or #got == max or once and #got > 0 or mine > 0 and self.fifo, m.body .. " was not given, though there was room")
      end
    end
    for _, m in ipairs(list) do
      if given[m.body] then self.model:take(q, m, visibility) end
    end
  end
  return given
end

function Run:keep(q, m, message)
  local a = message.Attributes
  assert.same({ self.ids[m.body], tostring(m.receives), tostring(m.first), tostring(m.sent), m.source and helper.ARN .. m.source, m.group },
    { message.MessageId, a.ApproximateReceiveCount, a.ApproximateFirstReceiveTimestamp, a.SentTimestamp, a.DeadLetterQueueSourceArn, a.MessageGroupId })
  self.handles[#self.handles + 1] = { queue = q, body = m.body, receives = m.receives, text = message.ReceiptHandle }
end

-- A repeated attempt, as long as all it got is in flight by it: the same once more.
function Run:repeated(q, attempt)
  local made = q.attempts[attempt]
  if not made or made.till <= self.model.now then return nil end
  for _, was in ipairs(made) do
    local m = find(q, was.body)
    if not m or m.receives ~= was.receives or m.visible ~= was.visible or m.visible <= self.model.now then return nil end
  end
  return made
end

function calls.receive(self)
  local q, max, visibility = self.model.queues[pick(self.names)], math.random(10), pick { false, false, 0, 4, 20 }
  local attempt = self.fifo and pick { false, "a", "b" }
  self:note("receive", q.name, max, tostring(visibility), tostring(attempt))
  local got = self.s.receive(q.name, { MaxNumberOfMessages = max, VisibilityTimeout = visibility or nil, ReceiveRequestAttemptId = attempt or nil })
  local stored, made, given = self:stored(), attempt and self:repeated(q, attempt), {}
  if made then
    assert.equal(#made, #got)
    for i, was in ipairs(made) do
      given[was.body] = find(q, was.body)
      assert.same({ was.body, was.handle }, { got[i].Body, got[i].ReceiptHandle })
      given[was.body].visible = self.model.now + (visibility or q.settings.visibility) * 1000
    end
  else
    given = self:follow(q, got, max, visibility, stored)
  end
  local record = { till = self.model.now + DEDUP_MS }
  for i, message in ipairs(got) do
    local m = assert(given[message.Body], message.Body .. " could not be received")
    self:keep(q, m, message)
    record[i] = { body = m.body, receives = m.receives, visible = m.visible, handle = message.ReceiptHandle }
  end
  if attempt and #got > 0 then q.attempts[attempt] = record end
end

function Run:a_handle()
  local h = #self.handles > 0 and pick(self.handles)
  if not h then return nil end
  local m = find(h.queue, h.body)
  return h, m and m.receives == h.receives and m or nil
end

function calls.delete(self)
  local h, m = self:a_handle()
  if not h then return end
  self:note("delete", h.queue.name, h.body, h.receives)
  local p = { QueueUrl = h.queue.name, ReceiptHandle = h.text }
  if self.fifo and m and m.visible <= self.model.now then
    assert.matches("expired", self.s.fails("InvalidParameterValue", "DeleteMessage", p))
  else
    assert(self.s.call("DeleteMessage", p))
    if m then drop(h.queue, m) end
  end
end

function calls.change(self)
  local h, m = self:a_handle()
  if not h then return end
  local seconds = pick { 0, 3, 30 }
  self:note("change", h.queue.name, h.body, h.receives, seconds)
  local p = { QueueUrl = h.queue.name, ReceiptHandle = h.text, VisibilityTimeout = seconds }
  if not m then
    self.s.fails("InvalidParameterValue", "ChangeMessageVisibility", p)
  elseif m.visible <= self.model.now then
    self.s.fails("MessageNotInflight", "ChangeMessageVisibility", p)
  else
    assert(self.s.call("ChangeMessageVisibility", p))
    m.visible = self.model.now + seconds * 1000
  end
end

function calls.wait(self)
  local ms = pick { 1, 999, 1000, 3000, 5000, 10000, 60000, 150000 }
  self:note("wait", ms)
  self.model.now = self.model.now + ms
  self.s.e:advance(ms)
end

function calls.count(self)
  local q = self.model.queues[pick(self.names)]
  if self.model.queues[self.names[1]].settings.retention < 1000 then return end -- old ones may go in between
  local a = self.s.attributes(q.name)
  assert.same(self.model:counts(q), { tonumber(a.ApproximateNumberOfMessages), tonumber(a.ApproximateNumberOfMessagesNotVisible),
    tonumber(a.ApproximateNumberOfMessagesDelayed) })
end

local KINDS = { "send", "send", "send", "receive", "receive", "receive", "delete", "delete", "change", "wait", "count" }

local function compare(fifo, seed)
  local run = new_run(fifo, seed)
  local ok, err = xpcall(function()
    for _ = 1, CALLS do
      calls[pick(KINDS)](run)
      local stored = run:stored()
      run:forget_old(stored)
      run:same(stored)
    end
  end, function(e) return type(e) == "table" and (e.message and tostring(e.message) or tostring(e)) or debug.traceback(e) end)
  run.s.e:close()
  assert(ok, ("seed %d: %s\n%s"):format(seed, tostring(err), table.concat(run.log, "\n", math.max(1, #run.log - 25))))
end

describe("random calls, as the model has them,", function()
  for _, fifo in ipairs { false, true } do
    it(fifo and "to FIFO queues" or "to standard queues", function()
      for i = 1, 3 do compare(fifo, SEED * 1000 + i) end
    end)
  end
end)
