--- Members of JSON values by path.
local json = require "perigee.json"

local members = {}

---The member at a path: "order.id", "lines.1.price". nil when there is none, or null.
---@param value any
---@param path string
---@return any
function members.get(value, path)
  for name in path:gmatch "[^.]+" do
    if type(value) ~= "table" then return nil end
    local index = math.tointeger(tonumber(name))
    if value[name] == nil and index then name = index end
    value = value[name]
  end
  if value == json.null then return nil end
  return value
end

return members
