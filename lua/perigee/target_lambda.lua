--- perigee test --target lambda: each function is the real bootstrap under `perigee runtime-api`, one process a function,
--- started when it is first asked; tables, queues, buckets and mail are those of a `perigee cloud`. Requests become the documents
--- of API Gateway's HTTP API; the answer documents become answers again. Messages are received and handed over here, as Lambda
--- does it. What no function has a route for is answered by the router of `perigee serve` in API Gateway's place.
local json = require "perigee.json"
local process = require "perigee.target_process"
local target = require "perigee.target"
local target_serve = require "perigee.target_serve"

local target_lambda = {
  name = "lambda",
  can = { clock = true, faults = true, snapshots = true, mailbox = true, schedules = true, administrator = true, templates = true,
    restart = true, stillness = true, freshness = true },
}

local KEYS = { AWS_ACCESS_KEY_ID = "perigee", AWS_SECRET_ACCESS_KEY = "perigee" }
local CLOCK_BYTES = 4096

-- ==== the bootstraps ========================================================================================================

local World = {}
World.__index = World

-- --bootstrap; else the one beside this program, else this program, which is one under that name.
local function bootstrap()
  local given = target.option "BOOTSTRAP"
  local path = given or process.executable():gsub("[^/]*$", "bootstrap")
  local file = io.open(path, "rb")
  if file then file:close() end
  if not file and given then error(("--bootstrap %s: there is no such file"):format(given), 0) end
  return file and path or process.executable()
end

local function write(path, text, mode)
  local file = assert(io.open(path, mode or "wb"))
  assert(file:write(text))
  file:close()
end

local function shell(format, ...)
  local words = {}
  for i, word in ipairs { ... } do words[i] = process.quote(word) end
  assert(os.execute(format:format(table.unpack(words))))
end

-- What a package of the project holds, by links: one directory for each directory of code.
function World:task_root(code)
  if self.roots[code] then return self.roots[code] end
  local dir = self.dir .. "/task-" .. self.n_roots
  self.n_roots = self.n_roots + 1
  self.roots[code] = dir
  local project = self.options.template:match "^(.*)/[^/]+/[^/]+$" or "."
  shell("mkdir %s && ln -s \"$(realpath %s)\" %s", dir, code, dir .. "/handlers")
  shell("! test -d %s || ln -s \"$(realpath %s)\" %s", project .. "/config", project .. "/config", dir .. "/config")
  if self.options.lua_dir then shell("ln -s \"$(realpath %s)\" %s", self.options.lua_dir, dir .. "/lua") end
  shell("ln -s \"$(realpath %s)\" %s", bootstrap(), dir .. "/bootstrap")
  write(dir .. "/perigee.json", assert(require("perigee.host").manifest {
    template = self.options.template, parameters = target.parameters(self.options.parameters) }))
  return dir
end

function World:environment(fn)
  local env = assert(self.inside:environment(fn.name))
  env.AWS_ENDPOINT_URL, env.PERIGEE_CLOCK_FILE = self.engine.url, self.dir .. "/clock"
  for name, value in pairs(KEYS) do env[name] = value end
  return env
end

---Where a function is invoked; it runs from then on.
---@param name string
---@return string url
function World:runtime(name)
  local running = self.runtimes[name]
  if running then return running.url end
  local fn = self.functions[name]
  local env = ("%s/%s.env"):format(self.dir, name)
  write(env, json.encode(self:environment(fn)))
  local root = self:task_root(fn.code_dir)
  local server, why = process.start({ process.executable(), "runtime-api", "--port", 0, "--exec", root .. "/bootstrap",
    "--task-root", root, "--handler", fn.handler, "--function-name", name, "--env", env, "--memory", fn.memory_mb,
    "--timeout", (fn.timeout_ms + 999) // 1000 }, "^runtime%-api: ready")
  if not server then error(why, 0) end
  self.runtimes[name] = { process = server, url = server.ready:match "ready (http%S+)" }
  return self.runtimes[name].url
end

-- The clock of the bootstraps: offset and, when it stands still, where.
function World:moved(frozen, offset)
  write(self.dir .. "/clock", string.pack("<i8i8", frozen and 0 or offset, frozen or 0), "r+b")
end

function World:close()
  for _, running in pairs(self.runtimes) do running.process:stop() end
  self.inside:close()
  self.process:stop()
end

local function start(options)
  local words = target_serve.words({ process.executable(), "cloud", "--port", 0, "--control" }, options)
  local cloud, why = process.start(words, "^perigee: ready")
  if not cloud then error(why, 0) end
  local url = cloud.ready:match "cloud=(%S+)"
  local inside, err = target.inside(url, options, true)
  if not inside then error(tostring(err), 0) end
  local world = setmetatable({ engine = target.engine(url), inside = inside, process = cloud, dir = cloud.dir,
    roots = {}, n_roots = 1, options = options, runtimes = {}, functions = {} }, World)
  write(world.dir .. "/clock", ("\0"):rep(CLOCK_BYTES))
  for _, fn in ipairs(inside:functions()) do world.functions[fn.name] = fn end
  return world
end

-- ==== requests ==============================================================================================================

---@class perigee.target.Lambda: perigee.target.Host
local Lambda = setmetatable({}, { __index = target.Host })
Lambda.__index = Lambda

function Lambda:invoke(fn, document) return target.invoke(self.world:runtime(fn), fn, document) end

function Lambda:request(request)
  local inside = self.world.inside
  local document, fn = inside:event(request)
  if not document then return nil, fn end
  if not fn then return inside:request(request) end -- the gateway's: 404, 405, preflights. No handler has it
  local answer, err = self:invoke(fn, document)
  if not answer then -- as API Gateway answers for a function that failed
    return { status = 500, headers = { ["content-type"] = "application/json" }, body = '{"message":"Internal Server Error"}',
      error = err }
  end
  return inside:answer(document, answer)
end

-- Each bootstrap takes one event at a time; those that are still to be started are, one after the other.
function Lambda:requests(list)
  for _, request in ipairs(list) do
    local document, fn = self.world.inside:event(request)
    if document and fn then self.world:runtime(fn) end
  end
  return target.Host.requests(self, list)
end

-- ==== opening ===============================================================================================================

local worlds = target.worlds()

local Kept = setmetatable({}, { __index = Lambda }) -- ends with the app, for its data are somebody's
Kept.__index = Kept

function Kept:close() self.world:close() end

---@param options perigee.TestOptions
function target_lambda.open(options)
  if not options.data then return target.open_host(Lambda, worlds:get(options, start), options.clock) end
  return target.open_host(Kept, start(options), options.clock, true)
end

return target_lambda
