--- Points in time and lengths of time as tests write them, and the clock of a perigee.testing app.
local time = require "perigee.time"

local testing_time = {}

local UNITS = { ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000, w = 604800000 }

---Milliseconds of "15m", "1h30m", "250ms", "2 d", or of a number of milliseconds.
---@param length string|integer
---@return integer ms
function testing_time.duration(length)
  local whole = math.tointeger(length)
  if math.type(length) == "integer" or (math.type(length) == "float" and whole) then return whole end
  local sum, rest = 0, type(length) == "string" and length:gsub("%s+", "") or ""
  local sign = rest:match "^%-" and -1 or 1
  rest = rest:gsub("^%-", "")
  local given = rest ~= ""
  while rest ~= "" do
    local amount, unit, after = rest:match "^(%d+%.?%d*)(%l+)()"
    if not UNITS[unit] then given = false break end
    sum, rest = sum + tonumber(amount) * UNITS[unit], rest:sub(after)
  end
  if not given then
    local hint = "write \"15m\", \"1h30m\", \"250ms\" (w d h m s ms), or milliseconds"
    error(("'%s' is no length of time: %s"):format(tostring(length), hint), 0)
  end
  return sign * math.floor(sum)
end

---Unix ms of "2026-01-01T00:00:00Z", or of Unix ms.
---@param moment string|integer
---@return integer unix_ms
function testing_time.moment(moment)
  local ms = math.type(moment) == "integer" and moment or type(moment) == "string" and time.parse(moment)
  if not ms then
    error(("'%s' is no point in time: write \"2026-01-01T00:00:00Z\", or Unix milliseconds"):format(tostring(moment)), 0)
  end
  return ms
end

---Time of an app. It stands still until a test moves it, or until a drain waits for a message.
---@class perigee.testing.Clock
---@field private app perigee.TestApp
---@field private frozen integer?
---@field package reached integer? since it is frozen: the latest time that it was put back from
local Clock = {}
Clock.__index = Clock

---@return integer unix_ms
function Clock:now() return self.app:ask("now") end

---@return string iso "2026-01-01T00:00:00.000Z"
function Clock:iso() return time.iso(self:now()) end

---Time passes: "15m", "1h30m", or milliseconds. What becomes due runs with the next request or drain.
---@param length string|integer
function Clock:advance(length)
  local ms = testing_time.duration(length)
  if ms < 0 then error("time passes forwards: clock:set puts the wall clock back", 2) end
  self.app:ask("pass", ms)
  if self.frozen then self.frozen = self.frozen + ms end
end

---Puts the wall clock to a time, earlier or later, as somebody does who corrects it. Nothing passes: who sleeps goes on to; what
---the store keeps by the wall clock (messages, time to live, links) follows it.
---@param moment string|integer
function Clock:set(moment)
  local ms = testing_time.moment(moment)
  self.app:ask("set_clock", ms)
  if self.frozen then self.frozen = ms end
end

---From now on it is this time after whatever the app does (without one: the present time), also when a drain had to wait; until
---clock:freeze(false).
---@param moment string|integer|false|nil
function Clock:freeze(moment)
  self.frozen, self.reached = nil, nil
  if moment == false then return end
  if moment then self:set(moment) end
  self.frozen = self:now()
end

---For the app: puts a frozen clock back.
function Clock:hold()
  local now = self.frozen and self:now()
  if now == self.frozen then return end
  self.reached = math.max(self.reached or now, now)
  self.app:ask("set_clock", self.frozen)
end

---For the views: runs fn at the latest time that a frozen clock was put back from, for what was sent meanwhile lies ahead of it.
---@generic T
---@param fn fun(): T
---@return T
function Clock:as_reached(fn)
  if not self.frozen or not self.reached or self.reached <= self.frozen then return fn() end
  self.app:ask("set_clock", self.reached)
  local result = fn()
  self:hold()
  return result
end

---@param app perigee.TestApp
---@return perigee.testing.Clock
function testing_time.clock(app) return setmetatable({ app = app }, Clock) end

return testing_time
