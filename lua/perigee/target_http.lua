--- perigee test --target http://127.0.0.1:8080: the application is a `perigee serve` that somebody started, with --control or
--- --development. Its parameters and template are what they are; its tables, queues and buckets are emptied before each test.
---
--- Whether the server works off its queues itself (it was started without --no-feeds) is asked of it: then a drain waits for it,
--- else the target calls its functions.
local queues = require "perigee.target_queues"
local target = require "perigee.target"
local time = require "perigee.time"

local target_http = { name = "http" }

-- ==== an application over HTTP ==============================================================================================

---@class perigee.target.Http: perigee.target.Host
---@field world { http: string, engine: perigee.target.Engine, inside: table, feeds: boolean }
---@field private dirty boolean? something may still run that a request left behind
local Http = setmetatable({}, { __index = target.Host })
Http.__index = Http
target_http.Http = Http

local function is_here(address) return address == nil or address == "::1" or address:find "^127%." ~= nil end

local function check_address(request)
  if is_here(request.remote_ip) then return end
  target.cannot("requests of other addresses (" .. request.remote_ip .. ") cannot be made over HTTP from this machine")
end

function Http:requests(list)
  for _, request in ipairs(list) do check_address(request) end
  return target.Host.requests(self, list)
end

function Http:request(request)
  check_address(request)
  self.dirty = true
  local answer = target.fetch(self.world.http .. request.target,
    { method = request.method, headers = request.headers, body = request.body })
  return { status = answer.status, headers = answer.headers, body = answer.body }
end

local function counter(metrics, name) return tonumber(metrics:match("\n" .. name .. " (%d+)")) or 0 end

local SETTLE_MS = 30000

-- Counting, not guessing: as many runs are over as were started.
function Http:settle()
  local began = time.monotonic()
  while self.dirty do
    local metrics = target.fetch(self.world.http .. "/metrics").body
    self.dirty = counter(metrics, "perigee_jobs_ended_total") < counter(metrics, "perigee_jobs_total")
    if time.monotonic() - began > SETTLE_MS then error("handlers of the server still run after " .. SETTLE_MS .. " ms", 0) end
    if self.dirty then time.sleep(1) end
  end
end

function Http:invoke(fn, document)
  self.dirty = true
  local answer, err = target.invoke(self.world.engine.url, fn, document)
  self:settle()
  return answer, err
end

local WAIT_MS, STEP_MS = 60000, 1000

-- The server's own feeds: real time for their work, the engine's for what is delayed or was given back.
local function wait_for_feeds(self, max_ms)
  local began, passed, looked = time.monotonic(), 0, 0
  while true do
    self.dirty = true
    self:settle()
    local left = queues.backlog(self)
    if left == 0 then return true end
    if passed >= max_ms or time.monotonic() - began > WAIT_MS then return nil, queues.left(left) end
    looked = looked + 1
    if looked % 20 == 0 then
      self:pass(STEP_MS)
      passed = passed + STEP_MS
    end
    time.sleep(2)
  end
end

function Http:drain(max_ms)
  if self.world.feeds then return wait_for_feeds(self, max_ms or 3600000) end
  return target.Host.drain(self, max_ms)
end

function Http:close()
  self:settle()
  target.Host.close(self)
end

-- ==== opening ===============================================================================================================

local function polls_itself(cloud)
  local answer = target.fetch(cloud .. "/2015-03-31/event-source-mappings")
  if answer.status == 403 then
    error(("%s may not be controlled: start `perigee serve` with --control or --development"):format(cloud), 0)
  elseif answer.status ~= 200 then
    error(("%s is no cloud port of `perigee serve` (status %d); --target-cloud says where it is"):format(cloud, answer.status), 0)
  end
  for _, mapping in ipairs(answer:json().EventSourceMappings) do
    if mapping.State == "Enabled" then return true end
  end
  return false
end

---A server that runs, as tests see it.
---@param url string
---@param cloud string
---@param options perigee.TestOptions
---@return table world
function target_http.world(url, cloud, options)
  local inside, err = target.inside(cloud, options)
  if not inside then error(("%s: %s"):format(cloud, tostring(err)), 0) end
  return { http = url, engine = target.engine(cloud), inside = inside, feeds = polls_itself(cloud) }
end

---@param world table
---@param options perigee.TestOptions
---@return perigee.target.Http
function target_http.host(world, options)
  local host = target.open_host(Http, world, options.clock)
  host.dirty = true
  return host
end

local CLOUD_PORT = 4566

-- Where the server of PERIGEE_TARGET is, and its cloud port.
local function addresses()
  local url = os.getenv("PERIGEE_TARGET"):gsub("/+$", "")
  local cloud = target.option "CLOUD" or ("%s:%d"):format(url:match "^(https?://[^:/]+)", CLOUD_PORT)
  return url, (cloud:gsub("/+$", ""))
end

-- stillness: that of this server.
target_http.can = setmetatable(
  { clock = true, faults = true, snapshots = true, mailbox = true, schedules = true, administrator = true, permissions = true,
    freshness = true },
  { __index = function(_, ability) return ability == "stillness" and not polls_itself(select(2, addresses())) end })

local shared -- the one world of this target

---@param options perigee.TestOptions
function target_http.open(options)
  local url, cloud = addresses()
  if options.data then return target.refuse(("the server at %s has a data directory of its own"):format(url)) end
  if next(options.parameters or {}) then return target.refuse(("the server at %s has parameters of its own"):format(url)) end
  shared = shared or target_http.world(url, cloud, options)
  if shared.taken then return target.refuse(("the server at %s is that of another app, which is open"):format(url)) end
  shared.taken = true
  return target_http.host(shared, options)
end

return target_http
