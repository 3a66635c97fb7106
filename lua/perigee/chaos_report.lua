--- The command `perigee chaos`: its options, what it prints while it runs and in the end, the specs that it writes.
local chaos = require "perigee.chaos"
local jobs = require "perigee.chaos_jobs"
local json = require "perigee.json"
local minimise = require "perigee.chaos_minimise"
local plan = require "perigee.chaos_plan"
local search = require "perigee.chaos_search"
local story = require "perigee.chaos_story"
local time = require "perigee.time"

local chaos_report = {}

local function usage(fmt, ...) error({ usage = fmt:format(...) }, 0) end

-- ==== what is asked for ===============================================================================================

local function parameters_of(text)
  local out = {}
  for part in (text or ""):gmatch "[^,]+" do
    local name, value = part:match "^([^=]+)=(.*)$"
    if not name then usage("--parameters: '%s' is not Name=Value", part) end
    out[name] = value
  end
  return out
end

local function share_of(text)
  local index, of = (text or "1/1"):match "^(%d+)/(%d+)$"
  return { index = math.tointeger(tonumber(index)), of = math.tointeger(tonumber(of)) }
end

---@class perigee.chaos.Asked
---@field setting perigee.chaos.Setting
---@field functions table<string, true>?
---@field flows table<string, true>?

local function setting_of(options)
  return { template = options.template or "config/template.yaml", invariants = options.invariants,
    parameters = parameters_of(options.parameters), lua_dir = options["lua-dir"], seed = options.seed or 1 }
end

-- Operands are names of flows and of functions.
local function select_names(declared, runner, operands)
  local flows, functions, known, list = {}, {}, {}, {}
  for _, flow in ipairs(declared.flows) do known[flow.name] = "flow" end
  for _, f in ipairs(runner.host:functions()) do known[f.name] = known[f.name] or "function" end
  for _, name in ipairs(operands) do
    if known[name] == "flow" then flows[name] = true
    elseif known[name] == "function" then functions[name] = true
    else usage("there is no flow and no function '%s'; `perigee chaos --list` tells which there are", name) end
  end
  for _, flow in ipairs(declared.flows) do
    if not next(flows) or flows[flow.name] then list[#list + 1] = flow end
  end
  return list, next(functions) and functions or nil
end

-- ==== while it runs ===================================================================================================

local Progress = {}
Progress.__index = Progress

local function is_terminal()
  return os.execute "test -t 2" == true and (os.getenv "TERM" or "dumb") ~= "dumb"
end

local function progress(quiet)
  return setmetatable({ quiet = quiet, terminal = not quiet and is_terminal(), began = time.monotonic(), last = 0 }, Progress)
end

local function thousands(n)
  local text = tostring(n)
  repeat
    local more
    text, more = text:gsub("^(%d+)(%d%d%d)", "%1,%2")
  until more == 0
  return text
end

function Progress:seconds() return (time.monotonic() - self.began) / 1000 end

local function line_of(sums, seconds)
  local left = sums.done > 0 and seconds / sums.done * (sums.of - sums.done) or 0
  return ("%s points, %s runs, %d violations, %.0f runs/s, %.0f s left"):format(thousands(sums.points), thousands(sums.runs),
    sums.violations, sums.runs / math.max(seconds, 0.001), left)
end

function Progress:show(sums)
  local now = self:seconds()
  if self.quiet or now - self.last < (self.terminal and 0.1 or 10) then return end
  self.last = now
  if not self.terminal then
    io.stderr:write(("perigee chaos: %d of %d: %s\n"):format(sums.done, sums.of, line_of(sums, now)))
    return
  end
  local filled = sums.of > 0 and sums.done * 30 // sums.of or 0
  io.stderr:write(("\r[%s%s] %s\27[K"):format(("#"):rep(filled), ("-"):rep(30 - filled), line_of(sums, now)))
end

function Progress:clear()
  if self.terminal then io.stderr:write "\r\27[K" end
end

-- ==== violations ======================================================================================================

local function breaks_same(result, violation)
  for _, problem in ipairs(result.problems) do
    if problem.name == violation.invariant then return problem.why end
  end
end

-- Faults by the number of the call, where "the n-th of its like" is not the same call.
local function numbered(violation)
  local faults = {}
  for i, fault in ipairs(violation.faults) do
    faults[i] = { at = fault.at, match = fault.match, function_name = fault.function_name, n = violation.n[i] }
  end
  return faults
end

local function names_of(steps)
  local names = {}
  for i, step in ipairs(steps) do names[i] = step.name end
  return names
end


---The smallest schedule that breaks the same, its run and its story: sets why, faults, steps, story of `violation`.
---@param runner table
---@param declared perigee.chaos.Declaration
---@param violation perigee.chaos.Violation
function chaos_report.explain(runner, declared, violation)
  local flow
  for _, f in ipairs(declared.flows) do flow = f.name == violation.flow and f or flow end
  local function runs(steps, faults, keep)
    return runner:run(flow, faults, { steps = steps, order = violation.order, keep = keep })
  end
  local function breaks(s)
    local result = runs(s.steps, s.faults)
    return not result.missed and breaks_same(result, violation)
      and (#s.faults == 0 or not breaks_same(runs(s.steps, {}), violation))
  end
  local smallest = { steps = flow.steps, faults = violation.faults }
  if breaks(smallest) then
    smallest = minimise.smallest(smallest, breaks)
  else
    smallest.faults = numbered(violation)
  end
  local result = runs(smallest.steps, smallest.faults, true)
  violation.why = breaks_same(result, violation)
    or error(("%s: '%s' is not broken again by the same faults"):format(violation.flow, violation.invariant), 0)
  violation.faults, violation.steps = smallest.faults, names_of(smallest.steps)
  violation.story = story.tell(violation, result, require("perigee.chaos_state").lines(runner.app), function(name)
    return { runner.app.dynamodb:keys(name) }
  end)
end

local function slug(text) return (text:lower():gsub("[^%w]+", "_"):gsub("^_+", ""):gsub("_+$", "")) end

local function write_spec(violation, setting, dir)
  if not os.execute(("mkdir -p '%s'"):format(dir:gsub("'", "'\\''"))) then usage("--spec: cannot make %s", dir) end
  local path = ("%s/%s_%s_spec.lua"):format(dir, slug(violation.flow), slug(violation.invariant))
  local file, why = io.open(path, "w")
  if not file then usage("--spec: %s", why) end
  file:write(story.spec(violation, violation.story, { template = setting.template, invariants = chaos.invariants_of(setting),
    parameters = setting.parameters, seed = setting.seed, lua_dir = setting.lua_dir }))
  file:close()
  violation.spec = path
end

local STORIES = 3 -- told in full; of the others a line each

local function schedule_of(v)
  local parts = { v.flow }
  for _, fault in ipairs(v.faults) do parts[#parts + 1] = story.fault(fault) end
  return table.concat(parts, "\0")
end

-- A schedule that breaks several invariants is told once.
local function tell_violations(list)
  local told, n = {}, 0
  for _, v in ipairs(list) do
    local schedule = schedule_of(v)
    print ""
    if told[schedule] or n == STORIES then
      print(("%s: %s is broken%s: %s"):format(v.flow, v.invariant, told[schedule] and ", by the same" or "", v.why))
    else
      told[schedule], n = true, n + 1
      for _, line in ipairs(v.story) do print(line) end
    end
    print(("  broken at %d points; replayed by %s"):format(v.count, v.spec))
  end
end

local function tell_tolerated(declared, gathered)
  for _, t in ipairs(declared.tolerated) do
    local n = gathered.tolerated[t.name] or 0
    print(("tolerated %d times: %s (%s)"):format(n, t.name, t.reason))
  end
end

local function summary(flows, sums, options, seconds)
  return ("%d flows, %s points (%s runs), depth %d, seed %d, %.1f s"):format(#flows, thousands(sums.points), thousands(sums.runs),
    options.depth or 1, options.seed or 1, seconds)
end

local function as_json(declared, flows, gathered, list, options, seconds)
  local sums, violations, tolerated = gathered:sums(), json.array {}, json.array {}
  for i, v in ipairs(list) do
    violations[i] = { flow = v.flow, invariant = v.invariant, why = v.why, points = v.count, faults = json.array(v.faults),
      steps = json.array(v.steps), story = json.array(v.story), spec = v.spec }
  end
  for i, t in ipairs(declared.tolerated) do
    tolerated[i] = { name = t.name, reason = t.reason, times = gathered.tolerated[t.name] or 0 }
  end
  print(json.encode { flows = json.array(names_of(flows)), points = sums.points, runs = sums.runs, depth = options.depth or 1,
    seed = options.seed or 1, seconds = seconds, violations = violations, tolerated = tolerated,
    repeated = gathered.repeated })
end

-- ==== --list ==========================================================================================================

local function runs_needed(points)
  local n = 0
  for _, point in ipairs(points) do n = n + (point.like and 0 or 1) end
  return n
end

local function list_flows(runner, declared, flows, functions)
  for _, flow in ipairs(flows) do
    local base = runner:run(flow, {})
    local points = plan.points(base.calls, base.events, 0, functions)
    print(("%-24s %3d calls, %4d points, %4d runs%s"):format(flow.name, #base.calls, #points, runs_needed(points),
      flow.interleavings > 1 and (", in %d orders"):format(flow.interleavings) or ""))
    for _, step in ipairs(#flow.steps > 1 and flow.steps or {}) do print("    " .. step.name) end
  end
  print "\ninvariants:"
  for _, invariant in ipairs(declared.invariants) do print("    " .. invariant.name) end
  if #declared.tolerated > 0 then print "\ntolerated:" end
  for _, t in ipairs(declared.tolerated) do print(("    %s: %s"):format(t.name, t.reason)) end
  print "\nfunctions:"
  for _, f in ipairs(runner.host:functions()) do print("    " .. f.name) end
  return 0
end

-- ==== the command =====================================================================================================

local function run_all(runner, flows, functions, options, operands)
  local share = share_of(options.share)
  local asked = { flows = flows, functions = functions, depth = options.depth or 1, limit = options.limit,
    seed = options.seed or 1, share = share }
  if options.share then
    search.run(runner, asked, function(message) io.stdout:write(json.encode(message), "\n"):flush() end)
    return nil
  end
  local n = options.jobs or jobs.cores()
  local gathered, shown = search.gather(n), progress(options.json)
  local function tell(i, message)
    gathered:hear(i, message)
    if message.progress then shown:show(gathered:sums()) end
  end
  local failure
  if n == 1 then
    search.run(runner, asked, function(message) tell(1, message) end)
  else
    failure = jobs.run(options, operands, n, tell)
  end
  shown:clear()
  if failure then error(failure, 0) end
  return gathered, shown:seconds()
end

local function report(runner, declared, flows, gathered, setting, options, seconds)
  local list = gathered:list()
  for _, violation in ipairs(list) do
    chaos_report.explain(runner, declared, violation)
    write_spec(violation, setting, options.spec or "build/chaos")
  end
  if options.json then
    as_json(declared, flows, gathered, list, options, seconds)
  else
    tell_violations(list)
    if #list > 0 then print "" end
    print(summary(flows, gathered:sums(), options, seconds))
    tell_tolerated(declared, gathered)
    if gathered.repeated > 0 then
      print(("%d runs did not reach their fault and were repeated: not everything was the same again"):format(gathered.repeated))
    end
    print(#list == 0 and "no violation" or ("%d violations"):format(gathered:sums().violations))
  end
  return #list == 0 and 0 or 1
end

local function carry_out(options, operands)
  local setting = setting_of(options)
  local runner, declared = chaos.open(setting)
  local flows, functions = select_names(declared, runner, operands)
  if options.list then return list_flows(runner, declared, flows, functions) end
  local gathered, seconds = run_all(runner, flows, functions, options, operands)
  if not gathered then return 0 end
  return report(runner, declared, flows, gathered, setting, options, seconds)
end

---@param options table
---@param operands string[]
---@return integer
function chaos_report.command(options, operands)
  local ok, result = xpcall(carry_out, function(e)
    return type(e) == "table" and e or { message = tostring(e) }
  end, options, operands)
  if ok then return result end
  io.stderr:write("perigee chaos: ", result.usage or result.message or tostring(result), "\n")
  return result.usage and 2 or 1
end

return chaos_report
