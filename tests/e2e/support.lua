--- Boots the real binary and talks to it with curl. Every server is stopped by its pid; every directory is removed.
local support = {}

support.bin = os.getenv "PERIGEE_BIN" or "build/dev/perigee"
support.release = os.getenv "PERIGEE_RELEASE_BIN" or support.bin

support.bootstrap = "tests/e2e/fixtures/bootstrap.py"

local json = require "perigee.json"

--- Runs a shell command: its output and exit status.
function support.sh(fmt, ...)
  local command = select("#", ...) > 0 and fmt:format(...) or fmt
  local pipe = assert(io.popen(command, "r"))
  local out = pipe:read "a"
  local _, _, status = pipe:close()
  return out, status or 0
end

function support.quote(s)
  return "'" .. tostring(s):gsub("'", "'\\''") .. "'"
end

function support.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

function support.write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

function support.tmpdir()
  local dir = support.sh("mktemp -d"):gsub("%s+$", "")
  return dir
end

function support.rmdir(dir)
  support.sh("rm -rf %s", support.quote(dir))
end

--- Polls `condition` until it gives a true value; an error after `seconds`.
function support.eventually(seconds, what, condition)
  local deadline = os.time() + seconds
  while true do
    local value = condition()
    if value then return value end
    if os.time() > deadline then error("did not happen within " .. seconds .. " s: " .. what, 2) end
    support.sh "sleep 0.02"
  end
end

local Server = {}
Server.__index = Server

--- @param opts? { args?: string, env?: string, data?: string, bin?: string, wrap?: string, wait?: integer, aws?: boolean }
--- Starts `perigee serve` on free ports; with `aws` on the AWS that `env` names, without an engine of its own.
function support.start(opts)
  opts = opts or {}
  local self = setmetatable({ dir = support.tmpdir() }, Server)
  self.data = not opts.aws and (opts.data or (self.dir .. "/data")) or nil
  local backend = opts.aws and "--aws --create" or ("--cloud-port 0 --data " .. support.quote(self.data))
  return self:launch(opts, "serve --port 0 " .. backend)
end

--- @param opts? { args?: string, env?: string, data?: string, bin?: string, wrap?: string, wait?: integer }
--- Starts `perigee cloud`, the engine alone, on a free port.
function support.cloud(opts)
  opts = opts or {}
  local self = setmetatable({ dir = support.tmpdir() }, Server)
  self.data = opts.data or (self.dir .. "/data")
  return self:launch(opts, "cloud --port 0 --data " .. support.quote(self.data))
end

--- @param opts? { args?: string, env?: string, bin?: string, wrap?: string, exec?: string|false }
--- Starts `perigee runtime-api` on free ports, with `exec` or the bootstrap that does what its events say; false: none.
function support.runtime_api(opts)
  opts = opts or {}
  local self = setmetatable({ dir = support.tmpdir() }, Server)
  local exec = opts.exec ~= false and "--exec " .. support.quote(opts.exec or support.bootstrap) or ""
  return self:launch(opts, "runtime-api --port 0 " .. exec)
end

function Server:launch(opts, command)
  self.pid = math.tointeger(tonumber((support.sh("%s %s %s %s %s >%s/out 2>%s/log & echo $!", opts.env or "", opts.wrap or "",
    opts.bin or support.bin, command, opts.args or "", self.dir, self.dir))))
  self.ready = support.eventually(opts.wait or 30, "ready line; log: " .. self.dir .. "/log", function()
    local line = support.read(self.dir .. "/out")
    if line:find "ready .-http://" then return line end
    if not self:alive() then error("the server ended: " .. self:log(), 0) end
  end)
  self.http = self.ready:match "http=(%S+)"
  self.cloud = self.ready:match "cloud=(%S+)"
  self.invoke = self.ready:match "ready (http%S+)"
  return self
end

function Server:log()
  return support.read(self.dir .. "/log")
end

-- A killed process is a zombie while its last threads still hold its files.
function Server:alive()
  local state = support.sh("cat /proc/%d/stat 2>/dev/null", self.pid):match "^%d+ %b() (%a)"
  if state ~= "Z" then return state ~= nil end
  return tonumber((support.sh("ls /proc/%d/task 2>/dev/null | wc -l", self.pid))) > 1
end

function Server:signal(name)
  support.sh("kill -%s %d 2>/dev/null", name, self.pid)
end

function Server:await_end(seconds)
  support.eventually(seconds or 30, "end of the server; log:\n" .. self:log(), function() return not self:alive() end)
end

--- Graceful stop; the log is returned.
function Server:stop()
  if self:alive() then
    self:signal "TERM"
    self:await_end()
  end
  local log = self:log()
  support.rmdir(self.dir)
  return log
end

function Server:kill()
  self:signal "KILL"
  self:await_end()
end

--- Resident memory in KiB.
function Server:rss()
  return math.tointeger(tonumber(support.read(("/proc/%d/status"):format(self.pid)):match "VmRSS:%s+(%d+)"))
end

local function parse(raw)
  local res = { headers = {} }
  local at = 1
  repeat -- skips 100 Continue
    local head_end = raw:find("\r\n\r\n", at, true)
    if not head_end then return { status = 0, headers = {}, body = "" } end
    local head = raw:sub(at, head_end + 1)
    res.status = math.tointeger(tonumber(head:match "^HTTP/%S+ (%d+)"))
    for name, value in head:gmatch "\r\n([^:\r\n]+):[ \t]*([^\r\n]*)" do res.headers[name:lower()] = value end
    at = head_end + 4
  until res.status ~= 100
  res.body = raw:sub(at)
  return res
end

--- One request: { status=, headers={lower=..}, body=, json= }.
--- @param opts? { body?: string|table, headers?: table, timeout?: integer, url?: string }
function Server:request(method, path, opts)
  opts = opts or {}
  local args = { "curl -s -i --max-time", opts.timeout or 30, "-X", method }
  if method == "HEAD" then args[#args + 1] = "-I" end
  local body = opts.body
  if type(body) == "table" then body = json.encode(body) end
  local file
  if body then
    file = os.tmpname()
    support.write(file, body)
    args[#args + 1] = "-H 'content-type: application/json' -H 'expect:' --data-binary @" .. file
  end
  for name, value in pairs(opts.headers or {}) do args[#args + 1] = "-H " .. support.quote(name .. ": " .. value) end
  args[#args + 1] = support.quote(opts.url or (self.http .. path))
  local raw = support.sh(table.concat(args, " "))
  if file then os.remove(file) end
  local res = parse(raw)
  if (res.headers["content-type"] or ""):find "application/json" then res.json = json.decode(res.body) end
  return res
end

function Server:post(path, body, headers)
  return self:request("POST", path, { body = body, headers = headers })
end

function Server:get(path, headers)
  return self:request("GET", path, { headers = headers })
end

--- The signed link of an order's receipt, once it is there.
function Server:receipt_link(order_id)
  return support.eventually(30, "receipt of " .. order_id, function()
    local res = self:get("/receipt/" .. order_id)
    return res.status == 200 and res.json.signedReceiptUrl
  end)
end

--- Text of the PDF behind a link.
function support.pdf_text(url)
  return (support.sh("curl -s %s | pdftotext -layout - -", support.quote(url)))
end

return support
