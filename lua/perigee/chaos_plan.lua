--- What `perigee chaos` reads and enumerates: the declaration (config/invariants.lua), the points of a run at which something
--- can go wrong, and which of them need no run of their own. Pure: no host is needed.
local chaos_plan = {}

-- ==== the declaration =================================================================================================

---@class perigee.chaos.Step
---@field name string
---@field fn fun(app: table, client: table, run: perigee.chaos.Run)

---@class perigee.chaos.Flow
---@field name string
---@field steps perigee.chaos.Step[]
---@field interleavings integer how many orders of what happens at once are tried
---@field order integer? the seed of this order; 0 or nil: as it comes
---@field patient boolean? clients ask again only when everything else has been worked off

---@class perigee.chaos.Declaration
---@field flows perigee.chaos.Flow[] by name
---@field invariants { name: string, check: fun(app: table, run: perigee.chaos.Run): any }[]
---@field tolerated { name: string, reason: string, effect: string, marker: string?, resource: string? }[]
---@field afterwards fun(app: table, client: table, run: perigee.chaos.Run)?
---@field parameters table<string, string>?
---@field clock integer?
---@field allowance fun(name: string, calls: table[]): integer

local KNOWN = { flows = "table", invariants = "table", tolerated = "table", parameters = "table", clock = "number",
  afterwards = "function" }

local function fail(where, fmt, ...) error({ usage = where .. ": " .. fmt:format(...) }, 0) end

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  return names
end

local function steps_of(where, name, declared)
  if type(declared) == "function" then return { { name = name, fn = declared } } end
  if type(declared) ~= "table" then fail(where, "flows.%s: neither a function nor a list of steps", name) end
  local steps = {}
  for i, step in ipairs(declared) do
    if type(step) == "function" then step = { "step " .. i, step } end
    if type(step) ~= "table" or type(step[1]) ~= "string" or type(step[2]) ~= "function" then
      fail(where, "flows.%s: step %d is not { \"name\", function(app, client, run) ... end }", name, i)
    end
    steps[i] = { name = step[1], fn = step[2] }
  end
  if #steps == 0 then fail(where, "flows.%s has no steps", name) end
  return steps
end

local function flows_of(where, declared)
  local flows = {}
  for _, name in ipairs(sorted(declared)) do
    if type(name) ~= "string" or not name:find "^[%w_%-]+$" then fail(where, "flows: '%s' is not a name", tostring(name)) end
    local n = type(declared[name]) == "table" and declared[name].interleavings or 1
    if math.type(n) ~= "integer" or n < 1 or n > 1000 then
      fail(where, "flows.%s.interleavings must be an integer from 1 to 1000", name)
    end
    local patient = type(declared[name]) == "table" and declared[name].patient or nil
    if patient ~= nil and type(patient) ~= "boolean" then fail(where, "flows.%s.patient must be true or false", name) end
    flows[#flows + 1] = { name = name, steps = steps_of(where, name, declared[name]), interleavings = n, patient = patient }
  end
  if #flows == 0 then fail(where, "there are no flows") end
  return flows
end

local function check_list(where, what, list, members)
  local seen = {}
  for i, entry in ipairs(list) do
    for member, kind in pairs(members) do
      if type(entry) ~= "table" or type(entry[member]) ~= kind then
        fail(where, "%s[%d].%s must be a %s", what, i, member, kind)
      end
    end
    if seen[entry.name] then fail(where, "%s: '%s' is there twice", what, entry.name) end
    seen[entry.name] = true
  end
  return list
end

local function split(action) return action:match "^(%w+):(%w+)$" end

local function check_tolerated(where, list)
  check_list(where, "tolerated", list, { name = "string", reason = "string", effect = "string" })
  for i, t in ipairs(list) do
    for _, member in ipairs { "effect", "marker" } do
      if t[member] and not split(t[member]) then fail(where, "tolerated[%d].%s must be service:Operation", i, member) end
    end
  end
  return list
end

---Checks what the file returned. Raises { usage = text } when it is not sound.
---@param where string the file's name
---@param declared any
---@return perigee.chaos.Declaration
function chaos_plan.declaration(where, declared)
  if type(declared) ~= "table" then fail(where, "must return a table") end
  for _, name in ipairs(sorted(declared)) do
    local want = KNOWN[name]
    if not want then fail(where, "'%s' is not known; there are %s", tostring(name), table.concat(sorted(KNOWN), ", ")) end
    if type(declared[name]) ~= want then fail(where, "%s must be a %s", name, want) end
  end
  if not declared.flows then fail(where, "flows is missing") end
  if not declared.invariants or #declared.invariants == 0 then fail(where, "there are no invariants") end
  local out = {
    flows = flows_of(where, declared.flows),
    invariants = check_list(where, "invariants", declared.invariants, { name = "string", check = "function" }),
    tolerated = check_tolerated(where, declared.tolerated or {}),
    afterwards = declared.afterwards, parameters = declared.parameters, clock = declared.clock,
  }
  function out.allowance(name, calls)
    for _, t in ipairs(out.tolerated) do
      if t.name == name then return chaos_plan.allowance(t, calls) end
    end
    error(("%s declares no tolerance '%s'"):format(where, name), 0)
  end
  return out
end

-- ==== tolerances ======================================================================================================

local DEATH = { before = true, after = true }

local function is(call, action, resource)
  local service, name = split(action)
  return call.service == service and call.action == name and (not resource or call.resource == resource)
end

-- How many requests had carried out the effect, and not written the marker, when the fault of call `cut` struck; what was out
-- then and took place counts. Of one request only, when it is given.
local function open_effects(t, calls, cut, request_id)
  local open, last = {}, cut.fault == "after" and cut.begun or cut.n
  for _, c in ipairs(calls) do
    local happened = c.effect and c.n <= last
    if happened and c.request_id and (not request_id or c.request_id == request_id) then
      if is(c, t.effect) then open[c.request_id] = true end
      if t.marker and is(c, t.marker, t.resource) then open[c.request_id] = nil end
    end
  end
  local n = 0
  for _ in pairs(open) do n = n + 1 end
  return n
end

---How many repetitions of an effect the faults explain. The hole of an effect that cannot be asked for idempotently lies between
---its being carried out and its marker being written; so these, and no other faults, are counted:
--- - the process died in between: one for each request that was there;
--- - its answer was lost or never came: one;
--- - the marker's call, after the effect, was left without an answer until the Timeout and not carried out: one.
---@param t { effect: string, marker: string?, resource: string? }
---@param calls table[] by n
---@return integer
function chaos_plan.allowance(t, calls)
  local n = 0
  for _, c in ipairs(calls) do
    if DEATH[c.fault] then
      n = n + open_effects(t, calls, c)
    elseif (c.fault == "lost" or c.fault == "stalls") and is(c, t.effect) and c.effect then
      n = n + 1
    elseif c.fault == "hangs" and t.marker and is(c, t.marker, t.resource) then
      n = n + open_effects(t, calls, c, c.request_id)
    end
  end
  return n
end

-- ==== points ==========================================================================================================

--- Simplest first: of two schedules that break the same, the story tells the one with the simpler faults.
chaos_plan.KINDS = { "before", "after", "refused", "lost", "hangs", "stalls", "late", "commit", "twice" }
local SIMPLICITY = {}
for i, kind in ipairs(chaos_plan.KINDS) do SIMPLICITY[kind] = i end

---@param kind string
---@return integer
function chaos_plan.simplicity(kind) return SIMPLICITY[kind] end

local ENGINE = { dynamodb = true, sqs = true, ses = true, s3 = true }

-- What can happen to a call. Nothing to a poll that finds nothing: it is no step of anything.
local function kinds_of(call)
  local receive = call.service == "sqs" and call.action == "ReceiveMessage"
  if receive and (call.empty or not call.effect) then return {} end
  local kinds = { "before", "after", "refused", "lost", "late" }
  if call.function_name then
    kinds[#kinds + 1] = "hangs"
    if call.write then kinds[#kinds + 1] = "stalls" end
  end
  if call.write and ENGINE[call.service] then kinds[#kinds + 1] = "commit" end
  if receive then kinds[#kinds + 1] = "twice" end
  return kinds
end

---@class perigee.chaos.Point
---@field n integer the call
---@field kind string
---@field call table
---@field death integer? the class of deaths it belongs to
---@field like perigee.chaos.Point? an earlier point with the same outcome: no run is needed

-- Deaths that leave the same behind. A death takes with it everything but what the cloud holds, what clients were told, and the
-- time; two of them with these three alike have the same future, but for the random ids. So it is enough to see that none of
-- the three changes between two points:
--
-- - From "before k" to "after k", when k changes nothing (it only reads, or it failed), nothing else was called while it was out,
--   and no time passed. The one request under way cannot be answered there, since its job waits for k; of several at the
--   same time another one could, so these are kept apart.
-- - From "after k" to "before k+1", when k+1 begins at the same ms, and no client was told anything in between. When exactly
--   within its span (from its being asked to the end of what runs after it) a request was answered is not known here, so two
--   calls of one span are kept apart.
-- - In both cases nothing with an effect may be out at the same time: when it takes place is not known.
--
-- call.begun: how many calls had begun when it ended. event.at: how many when the client was told.
local function spans_of(events)
  local spans, open = {}, {}
  for _, event in ipairs(events) do
    if event.kind == "ask" then
      open[#open + 1] = event.at
    elseif event.kind == "answer" or event.kind == "silence" then
      local from = table.remove(open, 1) or event.at
      for n = from + 1, event.at do spans[n] = (spans[n] or 0) + 1 end
    end
  end
  return spans
end

local function told_at(events)
  local told = {}
  for _, event in ipairs(events) do
    if event.kind == "ask" or event.kind == "answer" or event.kind == "silence" then told[event.at] = true end
  end
  return told
end

local function has_effect(c) return c.write and c.effect and not c.empty end

-- class[i] = { before, after } of calls[i]
local function deaths(calls, events)
  local told, spans, class, alone = told_at(events), spans_of(events), {}, {}
  local next_class, busy_until = 0, 0
  local function fresh()
    next_class = next_class + 1
    return next_class
  end
  for i, c in ipairs(calls) do
    local last = calls[i - 1]
    alone[i] = c.begun == c.n and busy_until < c.n
    local follows = last and last.n + 1 == c.n and alone[i - 1] and last.ended_ms == c.began_ms
      and not told[last.n] and not (spans[last.n] and spans[c.n])
    local before = follows and class[i - 1].after or fresh()
    local unchanged = alone[i] and not has_effect(c) and c.began_ms == c.ended_ms and (spans[c.n] or 0) <= 1
    class[i] = { before = before, after = unchanged and before or fresh() }
    if has_effect(c) then busy_until = math.max(busy_until, c.begun or math.huge) end
  end
  return class
end

---Every point of a run after call `from`, in order; those of `functions` only, when it is given.
---@param calls table[] by n, with `begun`
---@param events perigee.chaos.Event[]
---@param from integer 0: all
---@param functions table<string, true>?
---@return perigee.chaos.Point[]
function chaos_plan.points(calls, events, from, functions)
  local points, first = {}, {}
  local class = deaths(calls, events)
  for i, call in ipairs(calls) do
    local mine = call.n > from and (not functions or functions[call.function_name or ""])
    for _, kind in ipairs(mine and kinds_of(call) or {}) do
      local point = { n = call.n, kind = kind, call = call }
      if DEATH[kind] then
        point.death = class[i][kind]
        point.like = first[point.death]
        first[point.death] = first[point.death] or point
      end
      points[#points + 1] = point
    end
  end
  return points
end

---@param call table
---@return string "dynamodb:PutItem"
function chaos_plan.action(call) return call.service .. ":" .. call.action end

---A fault as the n-th of its like, which holds when the calls before it change. (A call of several tables is not told by them.)
---@param calls table[]
---@param point perigee.chaos.Point
---@return table what host:fail takes
function chaos_plan.fault(calls, point)
  local nth, at = 0, point.call
  local resource = at.resource and not at.resource:find(",", 1, true) and at.resource or nil
  for _, c in ipairs(calls) do
    if c.n <= point.n and c.service == at.service and c.action == at.action and c.function_name == at.function_name
      and (not resource or c.resource == resource) and not (point.kind == "twice" and c.empty) then nth = nth + 1 end
  end
  return { at = point.kind, match = chaos_plan.action(at), function_name = at.function_name, resource = resource, nth = nth }
end

-- ==== samples =========================================================================================================

---A sequence of numbers from a seed: next(n) gives 1..n.
---@param seed integer
---@return fun(n: integer): integer
function chaos_plan.random(seed)
  local state = seed * 0x9E3779B97F4A7C15 | 1
  return function(n)
    state = state ~ (state << 13)
    state = state ~ (state >> 7)
    state = state ~ (state << 17)
    return (state >> 1) % n + 1
  end
end

---n of a list, in the list's order; all when there are no more.
---@generic T
---@param list T[]
---@param n integer
---@param seed integer
---@return T[]
function chaos_plan.sample(list, n, seed)
  if n >= #list then return list end
  local random, order, chosen, out = chaos_plan.random(seed), {}, {}, {}
  for i = 1, #list do order[i] = i end
  for i = 1, n do
    local k = i + random(#list - i + 1) - 1
    order[i], order[k] = order[k], order[i]
    chosen[order[i]] = true
  end
  for i, item in ipairs(list) do
    if chosen[i] then out[#out + 1] = item end
  end
  return out
end

return chaos_plan
