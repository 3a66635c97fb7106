-- What the specs of `perigee chaos` share.
local e2e = require "e2e.support"
local handlers = require "handlers.support"
local json = require "perigee.json"

local support = { read = e2e.read, write = e2e.write, directory = handlers.directory, clean = handlers.clean }

---The program that runs thousands of runs.
support.bin = os.getenv "PERIGEE_RELEASE_BIN" or e2e.bin

---A copy of the project in which, when given, one text stands for another, once; its directory.
---@param file string?
---@param from string?
---@param to string?
---@return string
function support.project(file, from, to)
  local dir = support.directory()
  assert(os.execute(("cp -r config handlers lua '%s'"):format(dir)))
  if not file then return dir end
  local path = dir .. "/" .. file
  local text = support.read(path)
  local at, last = text:find(from, 1, true)
  assert(at, ("%s does not hold: %s"):format(file, from))
  support.write(path, text:sub(1, at - 1) .. to .. text:sub(last + 1))
  return dir
end

---`perigee chaos` as a process of its own: exit code, standard output, standard error.
function support.chaos(arguments)
  local err = os.tmpname()
  local out, code = e2e.sh("%s chaos %s 2>%s", support.bin, arguments, err)
  local stderr = support.read(err)
  os.remove(err)
  return code, out, stderr
end

---The report as JSON, and the exit code.
function support.report(arguments)
  local code, out, err = support.chaos(arguments .. " --json")
  assert(code < 2 and err == "", err)
  return assert(json.decode(out)), code
end

return support
