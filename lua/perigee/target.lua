--- Where `perigee test --target` runs the application: what its targets share. A target is what perigee.testing opens
--- (perigee.target_http, _serve, _lambda, _aws); it gives objects that have the methods of perigee.host as far as they can be had
--- from outside: the application answers over HTTP or as a function, the engine is moved and looked into by its own doors.
local http = require "perigee.http"
local json = require "perigee.json"
local parallel = require "perigee.parallel"
local queues = require "perigee.target_queues"
local time = require "perigee.time"

local target = {}

local TIMEOUT_MS, BODY_MAX = 60000, 64 << 20

---An option of `perigee test`: --target-cloud is PERIGEE_TARGET_CLOUD.
---@param name string
---@return string?
function target.option(name)
  local value = os.getenv("PERIGEE_TARGET_" .. name)
  return value ~= "" and value or nil
end

---The present test cannot run here: it is pending, and says why.
target.cannot = require "perigee.testing_pending"

---What a target's open gives for options that it has not got: whatever asks for something of that app is pending.
---@param why string
---@return nil
---@return table err
function target.refuse(why) return nil, { code = "TargetCannot", message = why } end

---One HTTP request; raises when there is no answer at all.
---@param url string
---@param options perigee.FetchOptions?
---@return perigee.Fetched
function target.fetch(url, options)
  options = options or {}
  options.timeout_ms, options.max_body = TIMEOUT_MS, BODY_MAX
  local answer, err = http.fetch(url, options)
  if not answer then error(("%s: %s"):format(url, tostring(err)), 0) end
  return answer
end

-- ==== the engine, by its doors ==============================================================================================

---@class perigee.target.Engine
---@field url string of the cloud port
local Engine = {}
Engine.__index = Engine

---@param url string
---@return perigee.target.Engine
function target.engine(url) return setmetatable({ url = url }, Engine) end

-- The answer of /_perigee/cloud/door, or nil, err.
function Engine:ask(method, door, document)
  local answer = target.fetch(self.url .. "/_perigee/cloud/" .. door,
    { method = method, body = document and (next(document) and json.encode(document) or "{}"), headers = {} })
  local body, err = answer:json()
  if answer.status == 403 then error(("%s may not be controlled: %s"):format(self.url, body and body.error.message), 0) end
  if answer.status == 200 then return body, err end
  return nil, body and body.error or { code = "Unknown", message = answer.body }
end

function Engine:tell(method, door, document)
  local answer, err = self:ask(method, door, document)
  return answer or error(("%s: %s"):format(door, err.message), 0)
end

---Empty.
function Engine:empty()
  self:tell("POST", "reset", {})
  self:tell("PUT", "faults", { faults = json.array {} })
end

---At a time that stands still; false: at the system's.
---@param clock integer|false
function Engine:begin(clock)
  return self:tell("POST", "clock", clock and { now = time.iso(clock), freeze = true } or { reset = true })
end

---A host that calls this engine in the application's name, for a look inside; none of its handlers run.
---@param url string
---@param options perigee.TestOptions
---@param create boolean? what the template declares is made
---@return table? inside
---@return perigee.Error? err
function target.inside(url, options, create)
  return require("perigee.host").open {
    template = options.template, parameters = options.parameters, lua_dir = options.lua_dir, aws = true, endpoint_url = url,
    access_key = "perigee", secret_key = "perigee", region = "us-east-1", account = "000000000000", clock = false,
    create = create,
  }
end

-- ==== a running application =================================================================================================

---What all targets on the embedded engine have. `world`: the running parts, of all tests that need them.
---@class perigee.target.Host
---@field world { engine: perigee.target.Engine, inside: table, moved: fun(world, now: integer)? }
local Host = {}
Host.__index = Host
target.Host = Host

-- Whoever keeps a clock beside the engine's is told.
local function tell_time(self, answer)
  self.time = answer.now_ms
  if self.world.moved then self.world:moved(answer.frozen and answer.now_ms or nil, answer.offset_ms) end
end

---@param class table that of the target
---@param world table
---@param clock integer|false
---@param keep boolean? what there is stays
function target.open_host(class, world, clock, keep)
  local self = setmetatable({ world = world, clock = clock, shots = {} }, class)
  if not keep then world.engine:empty() end
  tell_time(self, world.engine:begin(clock))
  return self
end

function Host:now()
  if self.clock then return self.time end
  return self.world.engine:tell("GET", "clock").now_ms
end

function Host:pass(ms) tell_time(self, self.world.engine:tell("POST", "clock", { advance_ms = ms })) end

function Host:set_clock(ms) tell_time(self, self.world.engine:tell("POST", "clock", { now = time.iso(ms) })) end

---Several at once; `self:request` is the target's.
---@param list table[]
---@return table[]
function Host:requests(list)
  local tasks, answers = {}, {}
  for i, request in ipairs(list) do
    tasks[i] = function() return assert(self:request(request)) end
  end
  for i, result in ipairs(parallel(tasks)) do
    if not result[1] then error(result[2], 0) end
    answers[i] = result[2]
  end
  return answers
end

---Nothing to mix: what may happen in any order does so by itself.
function Host.shuffle(_, _) end

---Waits until nothing runs any more that a request left behind.
function Host.settle(_) end

function Host:aws(service, action, params, body)
  self:settle()
  return self.world.inside:aws(service, action, params, body)
end

function Host:cloud(request)
  local answer = target.fetch(self.world.engine.url .. request.target,
    { method = request.method, headers = request.headers or {}, body = request.body })
  return { status = answer.status, headers = answer.headers, body = answer.body }
end

function Host:mailbox()
  self:settle()
  return self.world.engine:tell("GET", "mailbox").Messages
end

function Host:functions() return self.world.inside:functions() end
function Host:queues() return self.world.inside:queues() end
function Host:schedules() return self.world.inside:schedules() end

---@param max_ms integer? of the engine's time
function Host:drain(max_ms)
  self:settle()
  return queues.drain(self, max_ms or 3600000)
end

-- What a function answers to an event, or nil, err; `self:invoke` is the target's.
function Host:run_schedule(name)
  self:settle()
  local document, fn = self.world.inside:schedule(name)
  if not document then return nil, fn end
  local answer, err = self:invoke(fn, document)
  if not answer then return nil, err end
  return true
end

-- ==== Invoke ================================================================================================================

---Lambda's Invoke at `url`, until the function is done with all that it does: its answer, or nil, err.
---@param url string
---@param fn string
---@param document string JSON
---@return string? answer
---@return table? err
function target.invoke(url, fn, document)
  local answer = target.fetch(("%s/2015-03-31/functions/%s/invocations"):format(url, fn),
    { method = "POST", body = document, headers = { ["X-Amz-Log-Type"] = "Tail" } })
  if answer.status == 200 and not answer.headers["x-amz-function-error"] then return answer.body end
  local said = answer:json() or {}
  local err = { code = said.errorType or said.Type or "Unknown", message = said.errorMessage or said.Message or answer.body }
  return nil, setmetatable(err, { __tostring = function(e) return e.code .. ": " .. e.message end })
end

-- ==== snapshots, faults =====================================================================================================

local serial = 0

-- Names are the test's: servers outlive it.
local function shot_name(self, name)
  if not self.shots[name] then
    serial = serial + 1
    self.shots[name] = ("test-%d-%s"):format(serial, time.now())
  end
  return self.shots[name]
end

local function truth(answer, err)
  if answer then return true end
  return nil, err
end

function Host:snapshot(name)
  self:settle()
  return truth(self.world.engine:ask("POST", "snapshots", { name = shot_name(self, name) }))
end

function Host:restore(name)
  self:settle()
  local answer, err = self.world.engine:ask("POST", "restore", { name = shot_name(self, name) })
  if answer then tell_time(self, self.world.engine:tell("GET", "clock")) end
  return truth(answer, err)
end

function Host:drop_snapshot(name)
  local answer, err = self.world.engine:ask("DELETE", "snapshots/" .. shot_name(self, name))
  self.shots[name] = nil
  return truth(answer, err)
end

-- Of perigee.host's fail{}, what the engine's own faults can do. It names the rules in their order.
local SAME = { at = true, match = true, code = true, message = true, status = true, times = true, nth = true }

function Host:fail(fault)
  if (fault.at or "refused") ~= "refused" then
    target.cannot(("the fault '%s' needs a look at the process from within"):format(fault.at))
  end
  for name in pairs(fault) do
    if not SAME[name] then target.cannot(("faults by '%s' need a look at the process from within"):format(name)) end
  end
  if (fault.nth or 1) ~= 1 then target.cannot "faults of the n-th call need a look at the process from within" end
  local engine = self.world.engine
  local now = engine:tell("GET", "faults")
  local times = fault.times or 1
  local rule = { match = fault.match, error = fault.code or "ThrottlingException", message = fault.message, status = fault.status,
    times = times >= 0 and times or nil }
  table.insert(now.faults, rule)
  engine:tell("PUT", "faults", { faults = json.array(now.faults) })
  return #now.faults
end

function Host:struck(id) return self.world.engine:tell("GET", "faults").faults[id].struck end

---@param id integer? all of them
function Host:forgive(id)
  local engine = self.world.engine
  local rules = id and engine:tell("GET", "faults").faults or {}
  if rules[id] then rules[id].rate = 0 end -- ids are places in the list
  engine:tell("PUT", "faults", { faults = json.array(rules) })
end

---What the next test is not to find goes; the world is free for it.
function Host:close()
  for name in pairs(self.shots) do self:drop_snapshot(name) end
  self.shots = {}
  self.world.taken = nil
end

-- ==== worlds ================================================================================================================

local KEPT = 6 -- running at a time

---@class perigee.target.Worlds
---@field private list table[]
local Worlds = {}
Worlds.__index = Worlds

function target.worlds() return setmetatable({ list = {} }, Worlds) end

---"A=1,B=2" of a table, sorted.
---@param parameters table<string, string|integer>?
---@return string
function target.parameters(parameters)
  local words = {}
  for name, value in pairs(parameters or {}) do words[#words + 1] = ("%s=%s"):format(name, value) end
  table.sort(words)
  return table.concat(words, ",")
end

local function key_of(options)
  return table.concat({ options.template or "", target.parameters(options.parameters), options.lua_dir or "",
    tostring(options.development), options.log_level or "", options.data or "" }, "\0")
end

-- The one that was free for longest ends. All may be taken: then there is one more.
local function make_room(list)
  for i = #list, 1, -1 do
    if #list >= KEPT and not list[i].taken then table.remove(list, i):close() end
  end
end

---A world of these options that is free, a running one or a new one of `start`; taken until its host is closed.
---@param options perigee.TestOptions
---@param start fun(options: perigee.TestOptions): table it has a method close
---@return table world
function Worlds:get(options, start)
  local key, found = key_of(options), nil
  for i, world in ipairs(self.list) do
    if world.key == key and not world.taken then
      found = table.remove(self.list, i)
      break
    end
  end
  if not found then
    make_room(self.list)
    found = start(options)
    found.key = key
  end
  found.taken = true
  table.insert(self.list, 1, found)
  return found
end

return target
