--- Many runs: every flow, every point, at depth 2 every point after every first fault; its share of them, when several processes
--- do it together.
---
--- What is found is told as messages (plain tables), which processes send each other as JSON lines:
---   { progress = true, done =, of =, points =, runs = }
---   { violation = { flow, invariant, why, order, faults, n = { 3, 7 } } }
---   { tolerated = { [name] = effects }, runs_tolerated =, repeated = }   at the end
local plan = require "perigee.chaos_plan"

local chaos_search = {}

---@class perigee.chaos.Search
---@field flows perigee.chaos.Flow[]
---@field functions table<string, true>? only calls of these
---@field depth 1|2
---@field limit integer? so many points, chosen by the seed
---@field stop boolean? at the first violation
---@field seed integer
---@field share { index: integer, of: integer }? 1-based; all

local function nth_order(i, seed) return i == 1 and 0 or seed * 1000 + i end

-- The flow in each of its orders.
local function variants(flows, seed)
  local list = {}
  for _, flow in ipairs(flows) do
    for i = 1, flow.interleavings do
      list[#list + 1] = { name = flow.name, steps = flow.steps, order = nth_order(i, seed), patient = flow.patient }
    end
  end
  return list
end

local function by_number(point) return { at = point.kind, n = point.n } end

-- Points that need a run, each with how many it stands for.
local function representatives(points)
  local list, of = {}, {}
  for _, point in ipairs(points) do
    if point.like then
      of[point.like].stands_for = of[point.like].stands_for + 1
    else
      local item = { point = point, stands_for = 1 }
      of[point] = item
      list[#list + 1] = item
    end
  end
  return list
end

local Search = {}
Search.__index = Search

function Search:violations(variant, result, faults, numbers)
  self.over = self.over or self.stop and #result.problems > 0
  for _, problem in ipairs(result.problems) do
    self.tell { violation = { flow = variant.name, invariant = problem.name, why = problem.why, order = variant.order,
      faults = faults, n = numbers } }
  end
  if result.missed then
    local wanted = {}
    for i, n in ipairs(numbers) do wanted[i] = ("%s %d"):format(faults[i].at, n) end
    error(("the run of %s under %s is not the same run again: call %s was not reached"):format(variant.name,
      table.concat(wanted, " and "), tostring(result.missed.n)), 0)
  end
end

-- A run whose fault is not reached is not the same run again: it is repeated once, and told of in the report.
function Search:attempt(variant, faults)
  local result = self.runner:run(variant, faults)
  if not result.missed then return result end
  self.repeated = self.repeated + 1
  return self.runner:run(variant, faults)
end

function Search:count(item, result)
  self.points, self.runs = self.points + item.stands_for, self.runs + 1
  local any = false
  for name, n in pairs(result.tolerated) do
    self.tolerated[name] = (self.tolerated[name] or 0) + n
    any = true
  end
  if any then self.runs_tolerated = self.runs_tolerated + 1 end
end

function Search:progress()
  self.tell { progress = true, done = self.done, of = self.of, points = self.points, runs = self.runs }
end

-- The points after a first fault, each together with it.
function Search:second(variant, item, first)
  local points = plan.points(first.calls, first.events, item.point.n, self.functions)
  local list = representatives(points)
  if self.inner then list = plan.sample(list, self.inner, self.seed + item.point.n) end
  local fault = plan.fault(variant.calls, item.point)
  for i, other in ipairs(list) do
    local result = self:attempt(variant, { by_number(item.point), by_number(other.point) })
    self:count({ stands_for = item.stands_for * other.stands_for }, result)
    self:violations(variant, result, { fault, plan.fault(first.calls, other.point) }, { item.point.n, other.point.n })
    if i % 50 == 0 then self:progress() end
    if self.over then break end
  end
end

function Search:first(variant, item)
  local result = self:attempt(variant, { by_number(item.point) })
  self:count(item, result)
  self:violations(variant, result, { plan.fault(variant.calls, item.point) }, { item.point.n })
  if self.depth == 2 and #result.problems == 0 then self:second(variant, item, result) end
end

-- All points of all flows: { variant, item }. A flow that breaks by itself has none.
function Search:enumerate()
  local list = {}
  for _, variant in ipairs(variants(self.flows, self.seed)) do
    local base = self.runner:run(variant, {})
    variant.calls = base.calls
    if self.share.index == 1 then self:violations(variant, base, {}, {}) end
    local points = #base.problems == 0 and plan.points(base.calls, base.events, 0, self.functions) or {}
    for _, item in ipairs(representatives(points)) do list[#list + 1] = { variant, item } end
    if self.over then return {} end
  end
  return list
end

-- With a limit: about as many first faults as second ones for each.
function Search:sampled(list)
  if not self.limit then return list end
  if self.depth == 1 then return plan.sample(list, self.limit, self.seed) end
  local outer = math.ceil(math.sqrt(self.limit))
  self.inner = math.ceil(self.limit / math.min(outer, math.max(1, #list)))
  return plan.sample(list, outer, self.seed)
end

---Runs this process's share; `tell` hears of everything.
---@param runner table of perigee.chaos_run
---@param search perigee.chaos.Search
---@param tell fun(message: table)
function chaos_search.run(runner, search, tell)
  local self = setmetatable({ runner = runner, flows = search.flows, functions = search.functions, depth = search.depth,
    limit = search.limit, stop = search.stop, seed = search.seed, share = search.share or { index = 1, of = 1 }, tell = tell,
    points = 0, runs = 0, repeated = 0, tolerated = {}, runs_tolerated = 0, done = 0, of = 0 }, Search)
  local list, mine = self:sampled(self:enumerate()), {}
  for i, entry in ipairs(list) do
    if (i - 1) % self.share.of == self.share.index - 1 then mine[#mine + 1] = entry end
  end
  self.of = #mine
  self:progress()
  for i, entry in ipairs(mine) do
    self:first(entry[1], entry[2])
    self.done = i
    if i % 10 == 0 or i == #mine or self.depth == 2 then self:progress() end
    if self.over then break end
  end
  tell { tolerated = self.tolerated, runs_tolerated = self.runs_tolerated, repeated = self.repeated }
end

-- ==== gathering =======================================================================================================

local Gathered = {}
Gathered.__index = Gathered

---What messages of all shares come to.
---@param shares integer
function chaos_search.gather(shares)
  return setmetatable({ shares = shares, parts = {}, violations = {}, of = {}, tolerated = {}, runs_tolerated = 0,
    repeated = 0 }, Gathered)
end

-- Of two schedules the one that is smaller, or comes earlier.
local function precedes(a, b)
  if #a.n ~= #b.n then return #a.n < #b.n end
  if a.order ~= b.order then return a.order < b.order end
  for i = 1, #a.n do
    if a.n[i] ~= b.n[i] then return a.n[i] < b.n[i] end
    local ka, kb = plan.simplicity(a.faults[i].at), plan.simplicity(b.faults[i].at)
    if ka ~= kb then return ka < kb end
  end
  return false
end

function Gathered:violation(v)
  local key = v.flow .. "\0" .. v.invariant
  local known = self.of[key]
  if not known then
    v.count = 1
    self.of[key] = v
  else
    v.count = known.count + 1
    known.count = v.count
    if precedes(v, known) then self.of[key] = v end
  end
end

---@param share integer
---@param message table
function Gathered:hear(share, message)
  if message.progress then self.parts[share] = message end
  if message.violation then self:violation(message.violation) end
  for name, n in pairs(message.tolerated or {}) do self.tolerated[name] = (self.tolerated[name] or 0) + n end
  self.runs_tolerated = self.runs_tolerated + (message.runs_tolerated or 0)
  self.repeated = self.repeated + (message.repeated or 0)
end

---@return { done: integer, of: integer, points: integer, runs: integer, violations: integer }
function Gathered:sums()
  local sums = { done = 0, of = 0, points = 0, runs = 0, violations = 0 }
  for _, part in pairs(self.parts) do
    for _, name in ipairs { "done", "of", "points", "runs" } do sums[name] = sums[name] + part[name] end
  end
  for _, v in pairs(self.of) do sums.violations = sums.violations + v.count end
  return sums
end

---One of each flow and invariant, the smallest; by flow, then as they came.
---@return perigee.chaos.Violation[]
function Gathered:list()
  local list = {}
  for _, v in pairs(self.of) do list[#list + 1] = v end
  table.sort(list, function(a, b)
    if a.flow ~= b.flow then return a.flow < b.flow end
    if precedes(a, b) ~= precedes(b, a) then return precedes(a, b) end
    return a.invariant < b.invariant
  end)
  return list
end

return chaos_search
