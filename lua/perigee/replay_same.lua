--- perigee.replay_same: are two values of two runs the same, but for what is random or the time?
---
--- Texts are cut into what is fixed and what is not: UUIDs, digests and other long words of letters and digits (ids), RFC 3339
--- times, and numbers of 10 or 13 digits (Unix seconds and milliseconds). The fixed parts must be equal. Times may differ by a
--- minute. An id that the run was given must be equal; any other one stands for one of the other run, the same each time. JSON
--- within texts is compared as JSON. A value that the recording does not hold (redacted) is equal to any.
local json = require "perigee.json"
local time = require "perigee.time"

local replay_same = {}

local MINUTE = 60000
local X4 = ("%x"):rep(4)
local UUID = ("%s%s%%-%s%%-%s%%-%s%%-%s%s%s"):format(X4, X4, X4, X4, X4, X4, X4, X4)
local ISO = "%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d[%.%d]*Z"
local ID_MIN, HEX_MIN = 20, 16

---@class perigee.Same
---@field given table<string, true> ids that the run was given
---@field there table<string, string> id of the recording -> the replay's
---@field back table<string, string>
---@field exact boolean? nothing is taken for random
local Same = {}
Same.__index = Same

local function is_id(word)
  if #word >= HEX_MIN and word:find "^%x+$" and word:find "%a" then return true end
  return #word >= ID_MIN and word:find "%d" and word:find "%a" and not word:find "^redacted%-"
end

---The text with its variable parts taken out, and these by kind, in order.
---@param text string
---@return string fixed
---@return { ids: string[], times: string[], numbers: string[] }
local function cut(text)
  local found = { ids = {}, times = {}, numbers = {} }
  local function take(kind, mark)
    return function(word)
      found[kind][#found[kind] + 1] = word
      return mark
    end
  end
  text = text:gsub(UUID, take("ids", "\1")):gsub(ISO, take("times", "\2"))
  text = text:gsub("[%w_%-]+", function(word)
    if word:find "^%d+$" and (#word == 10 or #word == 13) then return take("numbers", "\3")(word) end
    if is_id(word) then return take("ids", "\1")(word) end
  end)
  return text, found
end

---Every id in these texts.
---@param ... string
---@return table<string, true>
function replay_same.ids(...)
  local out = {}
  for i = 1, select("#", ...) do
    for _, id in ipairs(select(2, cut((select(i, ...)))).ids) do out[id] = true end
  end
  return out
end

---What a text is like: its fixed parts, and no number.
---@param text string
---@return string
function replay_same.shape(text) return (cut(text):gsub("%d+", "0")) end

---@param given table<string, true>? ids that both runs were given
---@param exact boolean? ids and times must be equal too
---@return perigee.Same
function replay_same.new(given, exact)
  return setmetatable({ given = given or {}, there = {}, back = {}, exact = exact }, Same)
end

function Same:id(a, b)
  if self.there[a] or self.back[b] then return self.there[a] == b and self.back[b] == a end
  if a ~= b and (self.given[a] or self.given[b]) then return false end
  self.there[a], self.back[b] = b, a
  return true
end

local function near_times(a, b)
  local x, y = time.parse(a), time.parse(b)
  return x and y and math.abs(x - y) <= MINUTE
end

local function near_numbers(a, b)
  if a == b then return true end
  local x, y = math.tointeger(tonumber(a)), math.tointeger(tonumber(b))
  local minute = #a == 13 and MINUTE or #a == 10 and MINUTE // 1000
  return x ~= nil and y ~= nil and minute and #a == #b and math.abs(x - y) <= minute
end

local function near_values(a, b)
  return math.type(a) == "integer" and math.type(b) == "integer" and near_numbers(tostring(a), tostring(b))
end

local function all(list, other, fn)
  if #list ~= #other then return false end
  for i, v in ipairs(list) do
    if not fn(v, other[i]) then return false end
  end
  return true
end

local function placeholder(text) return text:match "redacted%-%x+" end

function Same:texts(a, b)
  if a == b or self.exact then return a == b end
  if placeholder(a) and not placeholder(b) then return true end
  local fixed_a, parts_a = cut(a)
  local fixed_b, parts_b = cut(b)
  return fixed_a == fixed_b and all(parts_a.times, parts_b.times, near_times) and
    all(parts_a.numbers, parts_b.numbers, near_numbers) and
    all(parts_a.ids, parts_b.ids, function(x, y) return self:id(x, y) end)
end

-- The value of a text that is JSON.
local function decoded(text)
  if not text:find "^%s*[%[{]" then return nil end
  local value = json.decode(text, { duplicate_keys = true })
  return type(value) == "table" and value or nil
end

local function sorted_keys(a, b)
  local keys, seen = {}, {}
  for _, t in ipairs { a, b } do
    for k in pairs(t) do
      if not seen[k] then keys[#keys + 1] = k end
      seen[k] = true
    end
  end
  table.sort(keys, function(x, y)
    if type(x) == "number" and type(y) == "number" then return x < y end
    return tostring(x) < tostring(y)
  end)
  return keys
end

local function step(path, key)
  if type(key) == "number" then return ("%s[%d]"):format(path, key) end
  return path == "" and key or path .. "." .. key
end

---Adds { path, recorded, replayed } for each place where they are not the same; nil: there is no such member.
---@param a any of the recording
---@param b any of the replay
---@param path string
---@param out table[]
function Same:compare(a, b, path, out)
  if type(a) == "string" and type(b) == "string" then
    local x, y = decoded(a), decoded(b)
    if x and y then return self:compare(x, y, path, out) end
    if self:texts(a, b) then return end
  elseif type(a) == "table" and type(b) == "table" then
    for _, key in ipairs(sorted_keys(a, b)) do self:compare(a[key], b[key], step(path, key), out) end
    return
  elseif a == b or not self.exact and near_values(a, b) then
    return
  elseif not self.exact and type(a) == "string" and placeholder(a) and b ~= nil then
    return
  end
  out[#out + 1] = { path = path, recorded = a, replayed = b }
end

---@param a any
---@param b any
---@return boolean
function Same:is(a, b)
  local out = {}
  self:compare(a, b, "", out)
  return #out == 0
end

return replay_same
