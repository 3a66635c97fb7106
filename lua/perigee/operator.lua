--- Where commands that look after a system find its store: AWS, the cloud port of a running `perigee serve` or
--- `perigee cloud`, or a data directory that nobody serves.
---
---   local store, why = operator.open(options)      -- of the command: data, endpoint-url, aws, profile, ...
---   local out, err = store:call("sqs", "GetQueueUrl", { QueueName = name })
---   local template, why = store:template()          -- what host.inspect says of --template
---   store:close()
local connection = require "perigee.connection"
local host = require "perigee.host"

local operator = {}

local DATA = ".perigee"

---@class perigee.Store
---@field where string for people: "AWS, eu-west-1", "http://127.0.0.1:4566", "the data directory .perigee"
---@field options table<string, any>
local Store = {}
Store.__index = Store

local function store(options, where, settings)
  local opened, err = connection.open(settings)
  if not opened then return nil, err end
  return setmetatable({ where = where, options = options, connection = opened }, Store)
end

local function on_aws(options)
  local place = options["endpoint-url"] or options.region or "its usual region"
  return store(options, "AWS, " .. place, {
    aws = true, profile = options.profile, region = options.region, endpoint_url = options["endpoint-url"],
    account = options.account, access_key = options["access-key-id"], secret_key = options["secret-access-key"],
    session_token = options["session-token"],
  })
end

local function on_server(options, url)
  local made, err = store(options, url, {
    aws = true, endpoint_url = url, region = options.region or "us-east-1",
    access_key = options["access-key-id"] or "perigee", secret_key = options["secret-access-key"] or "perigee",
  })
  if not made then return nil, err end
  local _, failure = made:call("sqs", "ListQueues", { MaxResults = 1 })
  if not failure then return made end
  made:close()
  return nil, failure
end

-- Whether there is a store in it: looking for one makes none.
local function is_directory(path)
  local file = io.open(path .. "/store.db")
  if file then file:close() end
  return file ~= nil
end

-- The cloud port of the process that holds the directory, from its lock file; an address that means all is reached by loopback.
local function server_of(dir)
  local file <close> = io.open(dir .. "/lock")
  local url = file and file:read "l" and file:read "l"
  if not url or not url:find "^http://" then return nil end
  return (url:gsub("//0%.0%.0%.0:", "//127.0.0.1:"):gsub("//%[::%]:", "//[::1]:"))
end

local function in_directory(options)
  local dir = options.data or DATA
  if not is_directory(dir) then
    local message = "there is no data directory %s; --data DIR, --endpoint-url URL or --aws say where the store is"
    return nil, { message = message:format(dir) }
  end
  local made, err = store(options, "the data directory " .. dir, { data = dir })
  if made or err.code ~= "DataDirectoryInUse" then return made, err end
  local url = server_of(dir)
  if not url then return nil, { message = err.message .. "; it has no cloud port that could be asked" } end
  local served, why = on_server(options, url)
  if served then return served end
  return nil, { message = ("%s; it was asked at %s: %s"):format(err.message, url, why.message) }
end

---Opens the store that the options name: --aws; --endpoint-url, a server's cloud port; else the data directory, or, when a
---server holds that, the cloud port that this server has.
---@param options table<string, any>
---@return perigee.Store?
---@return string? why
function operator.open(options)
  local made, err
  if options.aws then
    made, err = on_aws(options)
  elseif options["endpoint-url"] then
    made, err = on_server(options, options["endpoint-url"])
    if err then err = { message = ("%s: %s"):format(options["endpoint-url"], err.message) } end
  else
    made, err = in_directory(options)
  end
  if not made then return nil, err.message or tostring(err) end
  return made
end

---One AWS call in AWS's own shapes.
---@param service string
---@param action string
---@param params table
---@return table? result
---@return perigee.Error? err
function Store:call(service, action, params) return self.connection:call(service, action, params) end

---From now on Ctrl-C does not end the process: look at interrupted() between steps.
function Store:catch_interrupts() self.connection:catch() end

---@return boolean
function Store:interrupted() return self.connection:interrupted() end

function Store:close() self.connection:close() end

---The template with the names that its resources have in this store.
---@return table?
---@return string? why
function Store:template()
  if self.inspected then return self.inspected end
  local o = self.options
  local given = { template = o.template, parameters = o.parameters, lua_dir = o["lua-dir"] }
  if o.aws then
    for option, field in pairs { ["endpoint-url"] = "endpoint_url", ["access-key-id"] = "access_key",
      ["secret-access-key"] = "secret_key", ["session-token"] = "session_token", ["lease-table"] = "lease_table" } do
      given[field] = o[option]
    end
    for _, name in ipairs { "aws", "profile", "region", "account", "stack", "resources" } do given[name] = o[name] end
  end
  local found = host.inspect(given)
  if found.problems then return nil, (tostring(found.problems):gsub("\n+$", ""):gsub("\n", "; ")) end
  if found.deployment_error then return nil, found.deployment_error end
  self.inspected = found
  return found
end

-- ==== what people see =================================================================================================

---"1d 2h", "3m 5s", "0s".
---@param ms integer
---@return string
function operator.age(ms)
  local s = math.max(ms, 0) // 1000
  local parts = {}
  for _, unit in ipairs { { 86400, "d" }, { 3600, "h" }, { 60, "m" }, { 1, "s" } } do
    if s >= unit[1] and #parts < 2 then
      parts[#parts + 1] = (s // unit[1]) .. unit[2]
      s = s % unit[1]
    elseif #parts == 1 then
      break
    end
  end
  return #parts > 0 and table.concat(parts, " ") or "0s"
end

---Text without what would move a terminal's cursor.
---@param text any
---@return string
function operator.plain(text) return (tostring(text):gsub("[%c\127]", " "):gsub("\xc2[\x80-\x9f]", " ")) end

---Rows as aligned columns, the first row being the heads; the last column is as wide as it is.
---@param rows string[][]
---@return string
function operator.columns(rows)
  local widths, lines = {}, {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, utf8.len(cell) or #cell) end
  end
  for n, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do
      cells[i] = i == #row and cell or cell .. (" "):rep(widths[i] - (utf8.len(cell) or #cell))
    end
    lines[n] = table.concat(cells, "  "):gsub("%s+$", "") .. "\n"
  end
  return table.concat(lines)
end

---A line on stdout.
---@param line string
function operator.say(line) io.stdout:write(line, "\n") end

---Ends a command: the line on stderr, and the exit code (2: it was used wrongly).
---@param command string
---@param why string
---@param code integer?
---@return integer
function operator.fail(command, why, code)
  io.stderr:write(("perigee %s: %s\n"):format(command, why))
  return code or 1
end

---Says which option was given that the action does not have.
---@param options table<string, any>
---@param own table<string, string> the actions that have an option: "show and redrive"
---@param action string
---@return string?
function operator.misplaced(options, own, action)
  for option, of in pairs(own) do
    if options[option] and not of:find(action, 1, true) then return ("--%s goes with %s"):format(option, of) end
  end
end

---Runs one action of a command on the store that its options name.
---@param command string
---@param options table<string, any>
---@param fn fun(store: perigee.Store): integer
---@return integer code
function operator.run(command, options, fn)
  local opened, why = operator.open(options)
  if not opened then return operator.fail(command, why) end
  local ok, code = pcall(fn, opened)
  opened:close()
  if ok then return code end
  if type(code) == "table" and code.message then code = code.message end
  return operator.fail(command, tostring(code))
end

return operator
