-- Hosts for the specs of src/script: handlers are written to a directory of their own.
local t = require "t.script"
local helper = {}

local opened = {}
helper.coverage = nil -- where all that is opened counts its lines

-- app { limits..., files = { ["handlers/a.lua"] = text }, functions = {...} } -> app, loaded and committed
function helper.unloaded(options)
  local root = t.mkdtemp()
  for name, text in pairs(options.files or {}) do t.write(root .. "/" .. name, text) end
  options.root = root
  options.coverage = options.coverage or helper.coverage
  options.functions = options.functions or { { name = "F", module = "a", field = "f" } }
  local app, err = t.open(options)
  opened[#opened + 1] = { app = app, root = root }
  return app, err or root
end

function helper.app(options)
  local app, root = helper.unloaded(options)
  assert(app, root)
  local ok, err, trace = app:load()
  assert(ok, err and (err .. "\n" .. trace))
  app:commit(true)
  return app, root
end

-- An app with one function F whose body is given, with `request, context` and the modules json, host, time.
function helper.handler(body, options)
  options = options or {}
  options.files = { ["handlers/a.lua"] = [[
    local json, host, time, parallel = require "perigee.json", require "t.host", require "perigee.time", require "perigee.parallel"
    return { f = function(request, context) ]] .. body .. "\nend }" }
  options.functions = { { name = "F", module = "a", field = "f", timeout = options.timeout, memory = options.memory, env = options.env } }
  return helper.app(options)
end

-- The outcome of one request to `body`.
function helper.run(body, options, request)
  local app = helper.handler(body, options)
  return app:finish(app:start(request or {})), app
end

function helper.close()
  for _, o in ipairs(opened) do
    if o.app then o.app:close() end
    t.remove(o.root)
  end
  opened = {}
end

return helper
