-- What the specs of `perigee chaos` share.
local json = require "perigee.json"

local support = {}

local made = {}

function support.directory()
  local path = os.tmpname()
  assert(os.remove(path))
  assert(os.execute(("mkdir '%s'"):format(path)))
  made[#made + 1] = path
  return path
end

function support.clean()
  for _, path in ipairs(made) do os.execute(("rm -rf '%s'"):format(path)) end
  made = {}
end

function support.read(path)
  local f = assert(io.open(path))
  local text = f:read "a"
  f:close()
  return text
end

function support.write(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

---A copy of the project in which one text stands for another, once; its directory.
function support.project(file, from, to)
  local dir = support.directory()
  assert(os.execute(("cp -r config handlers lua '%s'"):format(dir)))
  local path = dir .. "/" .. file
  local text = support.read(path)
  local at, last = text:find(from, 1, true)
  assert(at, ("%s does not hold: %s"):format(file, from))
  support.write(path, text:sub(1, at - 1) .. to .. text:sub(last + 1))
  return dir
end

---`perigee chaos` as a process of its own: exit code, standard output, standard error.
function support.chaos(arguments)
  local out, err = os.tmpname(), os.tmpname()
  local _, _, code = os.execute(("%s chaos %s >%s 2>%s"):format(os.getenv "PERIGEE_BIN" or "build/release/perigee", arguments, out, err))
  local stdout, stderr = support.read(out), support.read(err)
  os.remove(out)
  os.remove(err)
  return code, stdout, stderr
end

---The report as JSON, and the exit code.
function support.report(arguments)
  local code, out, err = support.chaos(arguments .. " --json")
  assert(code < 2 and err == "", err)
  return assert(json.decode(out)), code
end

return support
