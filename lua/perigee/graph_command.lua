--- perigee.graph_command: `perigee graph`: draws the state machines that the handlers of a template declare.
local graph = require "perigee.graph"
local json = require "perigee.json"

local command = {}

local FORMATS = { text = true, svg = true, dot = true }

local function complain(code, fmt, ...)
  io.stderr:write("perigee graph: ", fmt:format(...), "\n")
  return code
end

-- A machine is declared again by each function that loads its module; two that differ cannot have one name.
local function distinct(machines)
  local list, known = {}, {}
  for _, machine in ipairs(machines) do
    machine.name = machine.name or "unnamed, from " .. machine.initial
    local text = json.encode(machine)
    if not known[machine.name] then
      known[machine.name] = text
      list[#list + 1] = machine
    elseif known[machine.name] ~= text then
      return nil, ("two machines that differ are called '%s'"):format(machine.name)
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

local function declared(options)
  local text, err = require("perigee.host").machines {
    template = options.template, parameters = options.parameters, lua_dir = options["lua-dir"],
  }
  if not text then return nil, err.message or tostring(err) end
  local machines, why = distinct(json.decode(text).machines)
  if machines and #machines == 0 then return nil, ("the handlers of %s declare no state machine"):format(options.template) end
  return machines, why
end

local function choose(machines, name)
  if not name then return machines end
  local names = {}
  for i, machine in ipairs(machines) do
    if machine.name == name then return { machine } end
    names[i] = machine.name
  end
  return nil, ("there is no machine '%s' (there are: %s)"):format(name, table.concat(names, ", "))
end

local function draw(machines, format, ascii)
  if format == "svg" then return require("perigee.graph_svg").draw(machines) end
  local parts = {}
  for i, machine in ipairs(machines) do parts[i] = format == "dot" and graph.dot(machine) or graph.text(machine, ascii) end
  return table.concat(parts, "\n")
end

local function write(path, text)
  if not path then
    io.stdout:write(text)
    return true
  end
  local file, why = io.open(path, "wb")
  if not file then return nil, why end
  local ok
  ok, why = file:write(text)
  local closed, late = file:close()
  return ok and closed, why or late
end

---@param options table<string, any>
---@return integer exit code
function command.main(options)
  local by_name = (options.out or ""):match "%.(%a+)$"
  local format = options.format or (by_name ~= "text" and FORMATS[by_name] and by_name) or "text"
  if not FORMATS[format] then return complain(2, "--format: '%s' is not text, svg or dot", format) end
  if options.ascii and format ~= "text" then return complain(2, "--ascii goes with text, not with %s", format) end
  local machines, why = declared(options)
  if machines then machines, why = choose(machines, options.machine) end
  if not machines then return complain(1, "%s", why) end
  local ok
  ok, why = write(options.out, draw(machines, format, options.ascii))
  return ok and 0 or complain(1, "--out: %s", why)
end

return command
