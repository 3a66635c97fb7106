--- perigee.states_collect: what `perigee graph` loads before the handlers: remembers the machines that they declare.
local states = require "perigee.states"

local machines = states.collect()

local function transition(t)
  return { from = t.from, to = t.to, guarded = t.when ~= nil, requires = t.requires or {}, effects = t.effects or {} }
end

local function plain(machine)
  local transitions = {}
  for action, t in pairs(machine.transitions) do transitions[action] = transition(t) end
  local terminal = {}
  for _, name in ipairs(machine.states) do
    if machine:is_terminal(name) then terminal[#terminal + 1] = name end
  end
  return { name = machine.name, initial = machine.initial, states = machine.states, terminal = terminal,
    transitions = transitions }
end

local function declared()
  local list = {}
  for i, machine in ipairs(machines) do list[i] = plain(machine) end
  return { machines = list }
end

return { declared = declared }
