--- The smallest schedule that still breaks the same: without faults and steps that are not needed, each fault as simple and as
--- early as it can be. Pure: it is told what breaks.
local plan = require "perigee.chaos_plan"

local chaos_minimise = {}

---@class perigee.chaos.Schedule
---@field steps perigee.chaos.Step[]
---@field faults table[] what host:fail takes, by match and nth

local function without(list, i)
  local out = {}
  for k, item in ipairs(list) do
    if k ~= i then out[#out + 1] = item end
  end
  return out
end

local function with(list, i, item)
  local out = table.move(list, 1, #list, 1, {})
  out[i] = item
  return out
end

local function copy(fault, change)
  local out = {}
  for k, v in pairs(fault) do out[k] = v end
  for k, v in pairs(change) do out[k] = v end
  return out
end

local function fewer_faults(s, breaks)
  for i = #s.faults, 1, -1 do
    local smaller = { steps = s.steps, faults = without(s.faults, i) }
    if #s.faults > 1 and breaks(smaller) then s = smaller end
  end
  return s
end

local function fewer_steps(s, breaks)
  for i = #s.steps, 1, -1 do
    local shorter = { steps = without(s.steps, i), faults = s.faults }
    if #s.steps > 1 and breaks(shorter) then s = shorter end
  end
  return s
end

local function simpler_kinds(s, breaks)
  for i, fault in ipairs(s.faults) do
    for k = 1, plan.simplicity(fault.at) - 1 do
      local simpler = { steps = s.steps, faults = with(s.faults, i, copy(fault, { at = plan.KINDS[k] })) }
      if breaks(simpler) then
        s = simpler
        break
      end
    end
  end
  return s
end

local function earlier(s, breaks)
  for i, fault in ipairs(s.faults) do
    for nth = 1, (fault.nth or 1) - 1 do
      local sooner = { steps = s.steps, faults = with(s.faults, i, copy(fault, { nth = nth })) }
      if breaks(sooner) then
        s = sooner
        break
      end
    end
  end
  return s
end

---@param schedule perigee.chaos.Schedule
---@param breaks fun(s: perigee.chaos.Schedule): boolean does it break the same, and only with its faults?
---@return perigee.chaos.Schedule
function chaos_minimise.smallest(schedule, breaks)
  local s = schedule
  for _, shrink in ipairs { fewer_faults, fewer_steps, simpler_kinds, earlier } do s = shrink(s, breaks) end
  return s
end

return chaos_minimise
