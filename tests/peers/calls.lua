--- perigee run --aws tests/peers/calls.lua CALLS.json: makes the calls [[service, method, parameters], ...] one after the other and
--- prints one line of JSON: [{"value":..., "more":...} or {"code":..., "message":...}], and the peak of this process's memory.
local aws = require "perigee.aws"
local json = require "perigee.json"

local file = assert(io.open((...), "rb"))
local results = json.array {}
for _, call in ipairs(json.decode(file:read "a")) do
  local service = aws[call[1]]
  local value, more = service[call[2]](service, call[3])
  if value == nil then
    results[#results + 1] = { code = more.code, message = tostring(more), status = more.status }
  else
    results[#results + 1] = { value = value, more = more }
  end
end
file:close()

local status = assert(io.open("/proc/self/status"))
local peak = math.tointeger(tonumber(status:read("a"):match "VmHWM:%s+(%d+)"))
status:close()
print(json.encode { results = results, peak_kib = peak })
