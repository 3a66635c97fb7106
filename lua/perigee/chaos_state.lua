--- What there is in an application, in few lines: for stories of perigee.chaos.
local json = require "perigee.json"

local chaos_state = {}

local LONG, ITEMS = 48, 8

local function scalar(value)
  if type(value) == "table" then return nil end
  local text = tostring(value)
  return #text <= LONG and text or nil
end

local function item_line(item)
  local names, parts = {}, {}
  for name in pairs(item) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local text = scalar(item[name])
    if text then parts[#parts + 1] = name .. "=" .. text end
  end
  return table.concat(parts, " ")
end

local function add(lines, name, list, of)
  if #list == 0 then return end
  for i = 1, math.min(#list, ITEMS) do lines[#lines + 1] = ("%-14s %s"):format(name, of(list[i])) end
  if #list > ITEMS then lines[#lines + 1] = ("%-14s and %d more"):format(name, #list - ITEMS) end
end

-- An object and the metadata that it was stored with.
local function object_line(app, bucket, key)
  local bytes, head = app.s3:get(bucket, key)
  local parts = {}
  for name, value in pairs(head and head.Metadata or {}) do
    if scalar(value) then parts[#parts + 1] = name .. "=" .. value end
  end
  table.sort(parts)
  return ("%s (%d bytes) %s"):format(key, bytes and #bytes or 0, table.concat(parts, " "))
end

---@param app table of perigee.testing
---@return string[]
function chaos_state.lines(app)
  local lines = {}
  for _, t in ipairs(app.names:list "tables") do add(lines, t.logical_id, app.dynamodb:scan(t.logical_id), item_line) end
  for _, queue in ipairs(app.names:list "queues") do
    local n = app.queues:count(queue.logical_id)
    if n > 0 then lines[#lines + 1] = ("%-14s %d messages"):format(queue.logical_id, n) end
  end
  for _, bucket in ipairs(app.names:list "buckets") do
    add(lines, bucket.logical_id, app.s3:keys(bucket.logical_id), function(key)
      return object_line(app, bucket.logical_id, key)
    end)
  end
  add(lines, "mail", app.mailbox:all(), function(mail)
    return ("%s to %s"):format(json.encode(mail.Subject), table.concat(mail.Destination, ", "))
  end)
  if #lines == 0 then lines[1] = "nothing" end
  return lines
end

return chaos_state
