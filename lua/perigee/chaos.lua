--- `perigee chaos`: every point at which a flow can be cut off or disturbed, one run each, and the invariants after each.
--- docs/chaos.md is the manual. In specs:
---
---   local problems = require("perigee.chaos").replay { invariants = ..., flow = ..., faults = { ... } }
---
--- The parts: chaos_plan (the declaration, points, which of them need a run), chaos_run (one run), chaos_search (many runs, over
--- processes), chaos_minimise, chaos_story, chaos_report.
local plan = require "perigee.chaos_plan"
local run = require "perigee.chaos_run"

local chaos = {}

chaos.CLOCK = 1767225600000 -- 2026-01-01T00:00:00Z

-- ==== opening =========================================================================================================

---Reads a declaration. Raises { usage = text } for a file that is not there or not sound.
---@param path string
---@return perigee.chaos.Declaration
function chaos.read(path)
  local chunk, why = loadfile(path, "t")
  if not chunk then error({ usage = why }, 0) end
  local dir = path:match "^(.*)/[^/]*$" or "."
  local former = package.path
  package.path = ("%s/?.lua;%s"):format(dir, former)
  local ok, declared = pcall(chunk)
  package.path = former
  if not ok then error({ usage = tostring(declared) }, 0) end
  return plan.declaration(path, declared)
end

local function merged(...)
  local out = {}
  for _, t in ipairs { ... } do
    for name, value in pairs(t) do out[name] = value end
  end
  return out
end

---@class perigee.chaos.Setting
---@field template string? config/template.yaml
---@field invariants string? invariants.lua beside the template
---@field parameters table<string, string>? go before those of the declaration
---@field lua_dir string?
---@field seed integer? 1

---@param setting perigee.chaos.Setting
---@return string
function chaos.invariants_of(setting)
  if setting.invariants then return setting.invariants end
  local dir = (setting.template or "config/template.yaml"):match "^(.*)/[^/]*$" or "."
  return dir .. "/invariants.lua"
end

---Opens the application, simulated, and gives what runs its flows.
---@param setting perigee.chaos.Setting
---@return table runner
---@return perigee.chaos.Declaration
function chaos.open(setting)
  local declared = chaos.read(chaos.invariants_of(setting))
  local app = require("perigee.testing").app {
    template = setting.template or "config/template.yaml",
    parameters = merged(declared.parameters or {}, setting.parameters or {}),
    lua_dir = setting.lua_dir,
    clock = declared.clock or chaos.CLOCK,
    seed = setting.seed or 1,
  }
  return run.runner(app, declared), declared
end

-- ==== replaying =======================================================================================================

local function flow_named(declared, name)
  for _, flow in ipairs(declared.flows) do
    if flow.name == name then return flow end
  end
  error(("there is no flow '%s'"):format(tostring(name)), 0)
end

---The steps of a flow by their names; all without names. The n-th of a name is the n-th step of that name.
---@param flow perigee.chaos.Flow
---@param names string[]?
---@return perigee.chaos.Step[]
function chaos.steps_named(flow, names)
  if not names then return flow.steps end
  local steps, from = {}, 1
  for _, name in ipairs(names) do
    local found
    for i = from, #flow.steps do
      if flow.steps[i].name == name then
        found, from = flow.steps[i], i + 1
        break
      end
    end
    steps[#steps + 1] = found or error(("the flow %s has no step '%s' there"):format(flow.name, name), 0)
  end
  return steps
end

---Runs a flow once under faults; what is wrong then, a line each.
---@param how perigee.chaos.Setting | { flow: string, steps: string[]?, faults: table[], order: integer? }
---@return string[] problems empty: every invariant holds
function chaos.replay(how)
  local runner, declared = chaos.open(how)
  local flow = flow_named(declared, how.flow)
  local result = runner:run(flow, how.faults or {}, { steps = chaos.steps_named(flow, how.steps), order = how.order })
  local lines = {}
  for i, problem in ipairs(result.problems) do lines[i] = problem.name .. ": " .. problem.why end
  if result.missed then
    lines[#lines + 1] = "this fault did not take place: " .. require("perigee.chaos_story").fault(result.missed)
  end
  runner.app:close()
  return lines
end

-- ==== the command =====================================================================================================

---@param options table
---@param operands string[]
---@return integer exit code: 0 every invariant holds, 1 violations, 2 usage
function chaos.main(options, operands)
  return require("perigee.chaos_report").command(options, operands)
end

return chaos
