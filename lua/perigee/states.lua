--- State machines over DynamoDB items: transitions declared once as a table, each carried out as one conditional write on
--- `status` and `version` that also appends to `history`.
---
---   local machine = states.machine {
---     initial = "OPEN",
---     transitions = { close = { from = { "OPEN" }, to = "CLOSED" } },
---   }
---   local order = machine:start(order, change)               -- a new item in its initial state
---   local update, next_item = machine:transition(order, "close", change) -- members of an UpdateItem; nil, why when illegal
---
--- change: { by=, request_id=, at= } goes into the history: who, when, from, to, request id.
local json = require "perigee.json"
local time = require "perigee.time"

local states = {}

---@class perigee.Change
---@field by string who: a function, an operator
---@field request_id string
---@field at string? ISO 8601; now

---@class perigee.Machine
---@field initial string
---@field transitions table<string, { from: string[], to: string }>
---@field states string[] every state, sorted
local Machine = {}
Machine.__index = Machine

local function collect(declared)
  local known, names = { [declared.initial] = true }, {}
  for action, t in pairs(declared.transitions) do
    if type(t.to) ~= "string" or type(t.from) ~= "table" or #t.from == 0 then
      error(("states.machine: transition '%s' needs from = { ... } and to"):format(tostring(action)), 3)
    end
    known[t.to] = true
  end
  for action, t in pairs(declared.transitions) do
    for _, from in ipairs(t.from) do
      if not known[from] then
        error(("states.machine: '%s' starts from '%s', which nothing leads to"):format(action, tostring(from)), 3)
      end
    end
  end
  for name in pairs(known) do names[#names + 1] = name end
  table.sort(names)
  return names
end

---Checks a declaration. Raises when it is not sound: a state that cannot be reached, a transition without from or to.
---@param declared { initial: string, transitions: table<string, { from: string[], to: string }> }
---@return perigee.Machine
function states.machine(declared)
  if type(declared.initial) ~= "string" then error("states.machine: initial must name a state", 2) end
  return setmetatable({ initial = declared.initial, transitions = declared.transitions, states = collect(declared) }, Machine)
end

---@param name string
---@return boolean
function Machine:has(name)
  for _, known in ipairs(self.states) do
    if known == name then return true end
  end
  return false
end

---The state that an action leads to from `status`; nil when it is not allowed there. Raises for an action nobody declared.
---@param status string
---@param action string
---@return string?
function Machine:next(status, action)
  local t = self.transitions[action] or error(("no transition is called '%s'"):format(tostring(action)), 2)
  for _, from in ipairs(t.from) do
    if from == status then return t.to end
  end
end

local function entry(change, action, from, to)
  return { at = change.at or time.iso(), by = change.by, action = action, from = from, to = to, request_id = change.request_id }
end

---Puts a new item into its initial state: status, version 1, history, created_at, updated_at. Changes and returns `item`.
---@param item table
---@param change perigee.Change
---@return table
function Machine:start(item, change)
  local first = entry(change, "create", nil, self.initial)
  item.status, item.version, item.history = self.initial, 1, json.array { first }
  item.created_at, item.updated_at = first.at, first.at
  return item
end

---The write that carries an action out: members of an Update (UpdateItem, TransactWriteItems), to which the caller adds
---TableName and Key; and the item as it is afterwards. nil and a sentence when the action is not allowed in the item's state.
---@param item table as read: status, version, history
---@param action string
---@param change perigee.Change
---@return table? update
---@return table|string after the item after the change, or why not
function Machine:transition(item, action, change)
  local from = item.status
  local to = self:next(from, action)
  if not to then return nil, ("'%s' is not possible in state %s"):format(action, tostring(from)) end
  local done = entry(change, action, from, to)
  local after = {}
  for k, v in pairs(item) do after[k] = v end
  after.status, after.version, after.updated_at = to, item.version + 1, done.at
  after.history = json.array(table.move(item.history or {}, 1, #(item.history or {}), 1, {}))
  table.insert(after.history, done)
  return {
    UpdateExpression = "SET #status = :to, #version = :next, updated_at = :at, history = list_append(history, :entry)",
    ConditionExpression = "#status = :from AND #version = :version",
    ExpressionAttributeNames = { ["#status"] = "status", ["#version"] = "version" },
    ExpressionAttributeValues = {
      [":to"] = to, [":next"] = after.version, [":at"] = done.at, [":entry"] = json.array { done },
      [":from"] = from, [":version"] = item.version,
    },
  }, after
end

return states
