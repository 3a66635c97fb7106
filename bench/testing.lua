-- One round of `bench/testing.sh`: an application for each test, an order in it, a restore. Prints a JSON line of ms each.
local json = require "perigee.json"
local testing = require "perigee.testing"
local time = require "perigee.time"

local N = math.tointeger(tonumber(os.getenv "APPS" or "200"))

local function ms_each(n, fn)
  local from = time.monotonic()
  for _ = 1, n do fn() end
  return (time.monotonic() - from) / n
end

local ORDER = { body = { user_id = "u-1", item = "a book", quantity = 2, total_price = 1999 } }

local function order(app)
  assert(app:request("POST", "/orders", ORDER).status == 200)
  app:drain()
end

testing.app():close() -- the first reads template and handlers
local out = { app = ms_each(N, function() testing.app():close() end) }
out.app_with_order = ms_each(N, function()
  local app <close> = testing.app()
  order(app)
end)

local app <close> = testing.app()
order(app)
out.order = ms_each(N, function() order(app) end)
local before = app:snapshot()
out.restore = ms_each(N, function() app:restore(before) end)
print(json.encode(out))
