--- Several processes search together: each runs `perigee chaos --share i/n` with the same options and tells what it finds as JSON
--- lines on its standard output. For perigee.chaos_report.
local json = require "perigee.json"

local chaos_jobs = {}

local function quoted(text) return "'" .. tostring(text):gsub("'", "'\\''") .. "'" end

---How many processors there are.
---@return integer
function chaos_jobs.cores()
  local pipe = io.popen "getconf _NPROCESSORS_ONLN 2>/dev/null"
  local n = pipe and math.tointeger(tonumber(pipe:read "a"))
  if pipe then pipe:close() end
  return n and n > 0 and n or 1
end

local function arguments(options, operands)
  local list = {}
  for _, operand in ipairs(operands) do list[#list + 1] = quoted(operand) end
  for name, value in pairs(options) do
    if value == true then
      list[#list + 1] = "--" .. name
    elseif name ~= "jobs" then
      list[#list + 1] = ("--%s=%s"):format(name, quoted(value))
    end
  end
  table.sort(list)
  return table.concat(list, " ")
end

-- The shell that popen starts is our child: its parent's program is this one.
local function start(options, operands, i, n)
  local command = ("exec /proc/$PPID/exe chaos %s --jobs=1 --share=%d/%d"):format(arguments(options, operands), i, n)
  return assert(io.popen(command, "r"))
end

-- Lines of all, in turn; each process waits while its pipe is full, so none is far ahead.
local function listen(pipes, tell)
  local left, failed = #pipes, nil
  while left > 0 do
    for i = 1, #pipes do
      local line = pipes[i] and pipes[i]:read "l"
      if line then
        local message = json.decode(line)
        if type(message) == "table" then tell(i, message) else failed = failed or line end
      elseif pipes[i] then
        local ok, how, code = pipes[i]:close()
        if not ok then failed = failed or ("share %d/%d ended by %s %s"):format(i, #pipes, how, tostring(code)) end
        pipes[i], left = false, left - 1
      end
    end
  end
  return failed
end

---@param options table as given to the command
---@param operands string[]
---@param n integer processes
---@param tell fun(share: integer, message: table)
---@return string? failure
function chaos_jobs.run(options, operands, n, tell)
  local pipes = {}
  for i = 1, n do pipes[i] = start(options, operands, i, n) end
  return listen(pipes, tell)
end

return chaos_jobs
