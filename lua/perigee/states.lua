--- State machines over DynamoDB items: transitions declared once as a table, each carried out as one conditional write on
--- `status` and `version` that also appends to `history`.
---
---   local machine = states.machine {
---     name = "ticket",                                        -- how `perigee graph` calls it
---     initial = "OPEN",
---     terminal = { "CLOSED" },                                -- states that nothing leaves
---     transitions = {
---       close = { from = { "OPEN" }, to = "CLOSED", requires = { "answer" }, effects = { "mails the customer" },
---         when = function(item) return item.paid or nil, "it is not paid" end },
---     },
---   }
---   local order = machine:start(order, change)               -- a new item in its initial state
---   local update, next_item = machine:transition(order, "close", change) -- members of an UpdateItem; nil, why when illegal
---
--- requires: members that the item must have. when: a guard, true or nil and why not. Both look at the item as it was read,
--- and hold for the write too, which is refused when the item has another version by then; so every other write to the
--- item has to raise `version`. effects: what follows elsewhere, in words, for readers and drawings.
---
--- change: { by=, request_id=, at= } goes into the history: who, when, from, to, request id.
local json = require "perigee.json"
local time = require "perigee.time"

local states = {}

---@class perigee.Change
---@field by string who: a function, an operator
---@field request_id string
---@field at string? ISO 8601; now

---@class perigee.Transition
---@field from string[]
---@field to string
---@field when (fun(item: table): boolean?, string?)? a guard: true, or nil and why not
---@field requires string[]? members that the item must have
---@field effects string[]? what follows, in words

---@class perigee.MachineDeclaration
---@field name string?
---@field initial string
---@field transitions table<string, perigee.Transition>
---@field terminal string[]? states that nothing leaves; every such state must be named here

---@class perigee.Step a transition from one state
---@field action string
---@field to string
---@field guarded boolean
---@field requires string[]
---@field effects string[]

---@class perigee.Machine
---@field name string?
---@field initial string
---@field transitions table<string, perigee.Transition>
---@field states string[] every state, sorted
local Machine = {}
Machine.__index = Machine

-- ==== declarations ====================================================================================================

local function refuse(fmt, ...) error("states.machine: " .. fmt:format(...), 0) end

local DECLARED = { name = true, initial = true, terminal = true, transitions = true }
local IN_TRANSITION = { from = true, to = true, when = true, requires = true, effects = true }

local function check_keys(given, known, where)
  for key in pairs(given) do
    if not known[key] then refuse("%s has an unknown member '%s'", where, tostring(key)) end
  end
end

local function is_name(value) return type(value) == "string" and value ~= "" and not value:find "%c" end

-- A list of names without repetition; nil: none.
local function check_names(list, where)
  if list == nil then return end
  if type(list) ~= "table" then refuse("%s must be a list of names", where) end
  local seen, n = {}, 0
  for _ in pairs(list) do n = n + 1 end
  for i = 1, n do
    if not is_name(list[i]) then refuse("%s must be a list of names", where) end
    if seen[list[i]] then refuse("%s has '%s' twice", where, list[i]) end
    seen[list[i]] = true
  end
end

local function check_transition(action, t)
  if not is_name(action) then refuse("'%s' is no name of a transition", tostring(action)) end
  local where = ("transition '%s'"):format(action)
  if type(t) ~= "table" or not is_name(t.to) or type(t.from) ~= "table" or #t.from == 0 then
    refuse("%s needs from = { ... } and to", where)
  end
  check_keys(t, IN_TRANSITION, where)
  for _, list in ipairs { "from", "requires", "effects" } do check_names(t[list], where .. ": " .. list) end
  if t.when ~= nil and type(t.when) ~= "function" then refuse("%s: when must be a function", where) end
end

local function check_shape(declared)
  if type(declared) ~= "table" then refuse("a declaration is a table") end
  check_keys(declared, DECLARED, "the declaration")
  if declared.name ~= nil and not is_name(declared.name) then refuse("name must be a name") end
  if not is_name(declared.initial) then refuse("initial must name a state") end
  check_names(declared.terminal, "terminal")
  if type(declared.transitions) ~= "table" then refuse("transitions must be a table") end
  for action, t in pairs(declared.transitions) do check_transition(action, t) end
end

local function sorted(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- The states that can be reached, by name.
local function reach(declared, sources)
  local reached, waiting = { [declared.initial] = true }, { declared.initial }
  while #waiting > 0 do
    for to in pairs(sources[table.remove(waiting)] or {}) do
      if not reached[to] then
        reached[to] = true
        waiting[#waiting + 1] = to
      end
    end
  end
  return reached
end

-- sources[from][to]: what leads where.
local function links(declared)
  local sources = {}
  for _, t in pairs(declared.transitions) do
    for _, from in ipairs(t.from) do
      sources[from] = sources[from] or {}
      sources[from][t.to] = true
    end
  end
  return sources
end

local function check_reachable(declared, reached)
  for _, action in ipairs(sorted(declared.transitions)) do
    for _, from in ipairs(declared.transitions[action].from) do
      if not reached[from] then
        refuse("'%s' starts from '%s', which nothing leads to from '%s'", action, from, declared.initial)
      end
    end
  end
end

local function check_ends(declared, reached, sources)
  local terminal = {}
  for _, name in ipairs(declared.terminal or {}) do
    if not reached[name] then refuse("terminal: nothing leads to '%s'", name) end
    if sources[name] then refuse("'%s' is declared as terminal, but transitions leave it", name) end
    terminal[name] = true
  end
  for _, name in ipairs(sorted(reached)) do
    if not sources[name] and not terminal[name] then
      refuse("nothing leaves '%s'; when that is meant: terminal = { '%s' }", name, name)
    end
  end
  return terminal
end

local function collect(declared)
  check_shape(declared)
  local sources = links(declared)
  local reached = reach(declared, sources)
  check_reachable(declared, reached)
  return sorted(reached), check_ends(declared, reached, sources)
end

local registry -- what was declared since states.collect

---Checks a declaration. Raises when it is not sound: unknown members, a state that cannot be reached, a transition without
---from or to, a state that nothing leaves and that is not declared as terminal.
---@param declared perigee.MachineDeclaration
---@return perigee.Machine
function states.machine(declared)
  local ok, names, terminal = pcall(collect, declared)
  if not ok then error(names, 2) end
  local machine = setmetatable({ name = declared.name, initial = declared.initial, transitions = declared.transitions,
    states = names, terminal = terminal }, Machine)
  if registry then registry[#registry + 1] = machine end
  return machine
end

---From now on machines are remembered as they are declared: for `perigee graph`.
---@return perigee.Machine[] the list that grows
function states.collect()
  registry = registry or {}
  return registry
end

---@param name string
---@return boolean nothing leaves this state
function Machine:is_terminal(name) return self.terminal[name] == true end

---@param name string
---@return boolean
function Machine:has(name)
  for _, known in ipairs(self.states) do
    if known == name then return true end
  end
  return false
end

local function transition_of(self, action)
  return self.transitions[action] or error(("no transition is called '%s'"):format(tostring(action)), 3)
end

local function starts_from(t, status)
  for _, from in ipairs(t.from) do
    if from == status then return true end
  end
  return false
end

---The state that an action leads to from `status`; nil when it is not allowed there. Raises for an action nobody declared.
---@param status string
---@param action string
---@return string?
function Machine:next(status, action)
  local t = transition_of(self, action)
  return starts_from(t, status) and t.to or nil
end

---What may happen in a state, by name of the action. Raises for a state nobody declared.
---@param status string
---@return perigee.Step[]
function Machine:transitions_from(status)
  if not self:has(status) then error(("no state is called '%s'"):format(tostring(status)), 2) end
  local steps = {}
  for _, action in ipairs(sorted(self.transitions)) do
    local t = self.transitions[action]
    if starts_from(t, status) then
      steps[#steps + 1] = { action = action, to = t.to, guarded = t.when ~= nil, requires = t.requires or {},
        effects = t.effects or {} }
    end
  end
  return steps
end

-- ==== histories =======================================================================================================

local function check_first(self, entry)
  if entry.action ~= "create" then return ("it begins with '%s' and not with 'create'"):format(tostring(entry.action)) end
  if entry.from ~= nil and entry.from ~= json.null then return ("'create' starts from %s"):format(tostring(entry.from)) end
  if entry.to ~= self.initial then return ("'create' leads to %s and not to %s"):format(tostring(entry.to), self.initial) end
end

local function check_step(self, entry, status)
  local t = self.transitions[entry.action]
  if not t then return ("no transition is called '%s'"):format(tostring(entry.action)) end
  if entry.from ~= status then
    return ("'%s' starts from %s, but the state was %s"):format(entry.action, tostring(entry.from), status)
  end
  if not starts_from(t, status) then return ("'%s' is not possible in state %s"):format(entry.action, status) end
  if entry.to ~= t.to then return ("'%s' leads to %s and not to %s"):format(entry.action, t.to, tostring(entry.to)) end
end

---The states that an item's history leads through. nil and why, when this machine cannot have written it: each entry
---begins where the one before ended, with an action that is declared there. The last state of a sound item is its status,
---and there are as many as its version says. Guards are not asked again: the item as it was then is not known.
---@param history perigee.Change[]
---@return string[]?
---@return string? why
function Machine:path(history)
  if type(history) ~= "table" or history[1] == nil then return nil, "the history is empty" end
  local path = {}
  for i, entry in ipairs(history) do
    if type(entry) ~= "table" then return nil, ("entry %d: it is a %s"):format(i, type(entry)) end
    local why
    if i == 1 then why = check_first(self, entry) else why = check_step(self, entry, path[i - 1]) end
    if why then return nil, ("entry %d: %s"):format(i, why) end
    path[i] = entry.to
  end
  return path
end

-- ==== changes =========================================================================================================

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

-- nil, or why the item may not be changed so.
local function objection(t, action, item)
  for _, name in ipairs(t.requires or {}) do
    if item[name] == nil or item[name] == json.null then return ("'%s' needs %s"):format(action, name) end
  end
  if not t.when then return end
  local allowed, why = t.when(item)
  if not allowed then return ("'%s' is refused%s"):format(action, why and ": " .. tostring(why) or "") end
end

---The write that carries an action out: members of an Update (UpdateItem, TransactWriteItems), to which the caller adds
---TableName and Key; and the item as it is afterwards. nil and a sentence when the action is not allowed in the item's state,
---misses something that it requires, or is refused by its guard.
---@param item table as read: status, version, history
---@param action string
---@param change perigee.Change
---@return table? update
---@return table|string after the item after the change, or why not
function Machine:transition(item, action, change)
  local from = item.status
  local to = self:next(from, action)
  if not to then return nil, ("'%s' is not possible in state %s"):format(action, tostring(from)) end
  local why = objection(self.transitions[action], action, item)
  if why then return nil, why end
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
