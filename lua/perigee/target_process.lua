--- Programs that a target of `perigee test` starts: `perigee serve`, `cloud`, `runtime-api`. They end with the handle, and with
--- this process however it ends: a shell between them waits for the end of its standard input.
local time = require "perigee.time"

local process = {}

---@class perigee.target.Process
---@field ready string the line it wrote when it was ready
---@field dir string a directory that is removed when it has ended
---@field private pipe file*
local Process = {}
Process.__index = Process

local READY_MS = 30000

---@param word string|integer
---@return string
function process.quote(word) return "'" .. tostring(word):gsub("'", "'\\''") .. "'" end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read "a"
  file:close()
  return text
end

---Output of a shell command, without its last newline.
---@param command string
---@return string
function process.output(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read "a"
  pipe:close()
  return (text:gsub("\n$", ""))
end

-- A new private directory.
local function directory() return process.output "mktemp -d \"${TMPDIR:-/tmp}/perigee-target.XXXXXX\"" end

local executable

---This program.
---@return string path
function process.executable()
  executable = executable or process.output "readlink /proc/$PPID/exe"
  return executable
end

-- %s: the program, its output, its log, and the directory that goes with it.
local SHELL = "{ %s & } >%s 2>%s </dev/null 3<&-; pid=$!; trap '' INT; read -r _; kill $pid 2>/dev/null; wait $pid; rm -rf %s"

---@param words (string|integer)[] the program and its arguments
---@param pattern string what its first line has when it is ready
---@return perigee.target.Process? started
---@return string? why
function process.start(words, pattern)
  local dir, quoted = directory(), {}
  for i, word in ipairs(words) do quoted[i] = process.quote(word) end
  local out, log = dir .. "/out", dir .. "/log"
  local command = SHELL:format(table.concat(quoted, " "), process.quote(out), process.quote(log), process.quote(dir))
  local self = setmetatable({ dir = dir, pipe = assert(io.popen(command, "w")) }, Process)
  for _ = 1, READY_MS // 5 do
    local line = read(out):match "^([^\n]*)\n"
    if line and line:find(pattern) then
      self.ready = line
      return self
    end
    if line == nil and read(log):find "^perigee[ :]" then break end -- its last words
    time.sleep(5)
  end
  local why = self:log()
  self:stop()
  return nil, ("%s %s is not ready: %s"):format(words[1], words[2], why)
end

---What it logged until now.
---@return string
function Process:log() return read(self.dir .. "/log") end

---Ends it, and waits until it has.
function Process:stop()
  if self.pipe then self.pipe:close() end
  self.pipe = nil
end

return process
