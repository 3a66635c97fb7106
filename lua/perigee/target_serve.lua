--- perigee test --target serve: a `perigee serve --memory --control` of its own for each set of parameters, over HTTP. Their
--- queues and schedules run when a test says so.
local process = require "perigee.target_process"
local target = require "perigee.target"
local target_http = require "perigee.target_http"

local target_serve = {
  name = "serve",
  can = { clock = true, faults = true, snapshots = true, mailbox = true, schedules = true, administrator = true, templates = true,
    restart = true, permissions = true, stillness = true, freshness = true },
}

local World = {}
World.__index = World

function World:close()
  self.inside:close()
  self.process:stop()
end

---The words of a command that options of testing.app stand for.
---@param words (string|integer)[] it begins with these
---@param options perigee.TestOptions
---@return (string|integer)[]
function target_serve.words(words, options)
  local function add(...) for _, word in ipairs { ... } do words[#words + 1] = word end end
  if options.data then add("--data", options.data) else add "--memory" end
  if options.log_level then add("--log-level", options.log_level) else add("--log-level", "off") end
  return words
end

local function start(options)
  local words = target_serve.words({ process.executable(), "serve", "--port", 0, "--cloud-port", 0, "--control", "--no-feeds",
    "--no-reload", "--workers", 2, "--template", options.template,
    "--parameters", target.parameters(options.parameters) }, options)
  if options.development then words[#words + 1] = "--development" end
  if options.lua_dir then table.move({ "--lua-dir", options.lua_dir }, 1, 2, #words + 1, words) end
  local server, why = process.start(words, "^perigee: ready")
  if not server then error(why, 0) end
  local world = target_http.world(server.ready:match "http=(%S+)", server.ready:match "cloud=(%S+)", options)
  world.process = server
  return setmetatable(world, World)
end

-- ==== opening ===============================================================================================================

local worlds = target.worlds()

-- With a data directory: the server ends with the app, so that the next one can have it.
local Kept = setmetatable({}, { __index = target_http.Http })
Kept.__index = Kept

function Kept:close()
  self:settle()
  self.world:close()
end

---@param options perigee.TestOptions
function target_serve.open(options)
  if not options.data then return target_http.host(worlds:get(options, start), options) end
  return target.open_host(Kept, start(options), options.clock, true)
end

return target_serve
