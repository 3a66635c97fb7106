--- What a test cannot do where it runs now is pending, with its reason. For perigee.testing and the targets.

local debug = require "debug"

-- busted's core, which is nowhere to be had but from its own functions: whatever a spec calls was called by one of them.
local function core()
  local level = 2
  while true do
    local info = debug.getinfo(level, "f")
    if not info then return nil end
    local i, name, value = 1, debug.getupvalue(info.func, 1)
    while name do
      if name == "busted" and type(value) == "table" and rawget(value, "context") then return value end
      i = i + 1
      name, value = debug.getupvalue(info.func, i)
    end
    level = level + 1
  end
end

local GROUPS = { describe = true, insulate = true, expose = true, file = true }

---Ends the present test; in describe it declares one that is pending, and returns. Elsewhere, where nothing can be, it raises.
---@param why string
return function(why)
  local busted = core()
  local descriptor = busted and busted.context.get().descriptor
  if descriptor == "it" then busted.pending(why) end
  if GROUPS[descriptor] then return require "busted".pending(why) end
  error(why, 0)
end
