--- Tests of handlers, in `perigee test` only: the whole application on an engine in memory, in simulated time. docs/testing.md is
--- the manual.
---
---   local testing = require "perigee.testing"
---   local app <close> = testing.app()
---   local answer = app:post("/orders", { user_id = "u-1", item = "a book", quantity = 1, total_price = 1999 })
---   assert.equal(200, answer.status)
---   app:drain()                                             -- queues and schedules run until nothing is left to do
---   assert.mail(app, { to = "ada@example.org", contains = "19.99" })
local calls = require "perigee.testing_calls"
local crypto = require "perigee.crypto"
local drain = require "perigee.testing_drain"
local json = require "perigee.json"
local pending = require "perigee.testing_pending"
local time = require "perigee.testing_time"
local views = require "perigee.testing_views"

local testing = {}

testing.CLOCK = 1767225600000 -- 2026-01-01T00:00:00Z

-- ==== targets ===============================================================================================================

-- A target opens what has the methods of perigee.host; what it cannot do its object has no method for. `can`: see ABILITIES.
---@class perigee.testing.Target
---@field name string
---@field can table<string, boolean>|true
---@field open fun(options: perigee.TestOptions): table?, perigee.Error?

local ABILITIES = {
  clock = "a clock that tests move", faults = "faults", crash = "processes that tests kill", calls = "a look at AWS calls",
  costs = "prices of AWS calls", snapshots = "snapshots", mailbox = "a look at the mail", engine = "failures inside the engine",
  templates = "templates and parameters of the test's own", restart = "restarts", schedules = "schedules that tests run",
  administrator = "AWS calls of an administrator", permissions = "permissions that are enforced",
  stillness = "queues that nobody works off unless the test says so", freshness = "tables and queues that are empty at first",
}

local process = { name = "process", can = true }

function process.open(options)
  return require("perigee.host").open {
    template = options.template,
    parameters = options.parameters,
    memory = options.data == nil,
    data = options.data,
    clock = options.clock,
    seed = options.clock and options.seed or nil,
    development = options.development,
    log_level = options.log_level,
    lua_dir = options.lua_dir,
  }
end

---What the specs run against: "process", or as PERIGEE_TARGET says: "serve", "lambda", "http", "aws".
---@return string
function testing.target()
  local given = os.getenv "PERIGEE_TARGET" or ""
  if given == "" then return "process" end
  return given:match "^(https?)://" and "http" or given
end

---@return perigee.testing.Target
local function target()
  local name = testing.target()
  if name == "process" then return process end
  local found, module = pcall(require, "perigee.target_" .. name)
  if not found then error(("PERIGEE_TARGET: there is no target %s: %s"):format(name, tostring(module)), 0) end
  return module
end

---@alias perigee.testing.Ability "clock"|"faults"|"crash"|"calls"|"costs"|"snapshots"|"mailbox"|"engine"|"templates"|"restart"
---| "schedules"|"administrator"|"permissions"|"stillness"|"freshness"

---The present test (or, called in describe, what is there) needs these of its target; elsewhere it is pending.
---@param ... perigee.testing.Ability
---@return boolean given false in describe, where it ends nothing
function testing.needs(...)
  local can = target().can
  for _, ability in ipairs { ... } do
    local what = ABILITIES[ability] or error(("testing.needs: no target has '%s'"):format(tostring(ability)), 2)
    if can ~= true and not can[ability] then
      pending(("needs %s, which the target %s has not"):format(what, testing.target()))
      return false
    end
  end
  return true
end

-- ==== the application =======================================================================================================

---@class perigee.TestOptions
---@field template string? config/template.yaml
---@field parameters table<string, string|integer>? of the template
---@field clock string|integer|false|nil its begin: "2026-01-01T00:00:00Z" (the default) or Unix ms; false: real time, threads
---@field seed integer? of ids and random numbers: the same seed, the same run; 1
---@field shuffle integer|true|nil mixes the order of what may happen in any order, by this seed (true: that of the app)
---@field data string? a directory that outlives the app (app:restart); in memory without it
---@field development boolean? error answers show tracebacks
---@field log_level string? "off"
---@field lua_dir string? modules that override the built-in ones
---@field states { table: string, attribute: string? }? where assert.state looks an id up; the tables that have it

---@class perigee.TestApp
---@field clock perigee.testing.Clock
---@field dynamodb perigee.testing.DynamoDB
---@field s3 perigee.testing.S3
---@field queues perigee.testing.Queues
---@field mailbox perigee.testing.Mailbox
---@field host table? the perigee.host behind it, or what another target has in its place
---@field options perigee.TestOptions
---@field package names perigee.testing.Names
---@field package snapshots integer
---@field package faults table<perigee.testing.Fault, true> those that were set, as long as a test holds them
local App = {}
App.__index = App
App.__close = function(app) app:close() end
App.__gc = App.__close

local OPTIONS = { template = "string", parameters = "table", seed = "number", data = "string", development = "boolean",
  log_level = "string", lua_dir = "string", states = "table" }

local function checked(given)
  local options = { template = "config/template.yaml", seed = 1, clock = testing.CLOCK }
  for name, value in pairs(given or {}) do
    if OPTIONS[name] and type(value) ~= OPTIONS[name] then
      error(("testing.app: %s must be a %s, not a %s"):format(name, OPTIONS[name], type(value)), 3)
    elseif not OPTIONS[name] and name ~= "clock" and name ~= "shuffle" then
      error(("testing.app knows no option '%s'"):format(tostring(name)), 3)
    end
    options[name] = value
  end
  for name, value in pairs(options.states or {}) do
    if (name ~= "table" and name ~= "attribute") or type(value) ~= "string" then
      error(("testing.app: states is { table =, attribute = }, texts, and knows no '%s'"):format(tostring(name)), 3)
    end
  end
  if options.states and not options.states.table then error("testing.app: states names no table", 3) end
  if options.clock then options.clock = time.moment(options.clock) end
  if options.shuffle == true then options.shuffle = options.seed end
  return options
end

-- What the target cannot give makes the tests pending that ask for something of it: also when it is opened before each.
function App:open()
  local host, err = target().open(self.options)
  if not host and err.code == "TargetCannot" then
    self.host = setmetatable({ close = function() end }, { __index = function() return function() pending(err.message) end end })
    return
  end
  self.host = assert(host, err)
  if self:able "keep_calls" then self.host:keep_calls(true) end
  if self:able "price" then self.host:price(true) end
  if self.options.shuffle then self:shuffle(self.options.shuffle) end
end

local newest = setmetatable({}, { __mode = "v" })

---Opens the application: fresh, unless `data` says otherwise.
---@param options perigee.TestOptions?
---@return perigee.TestApp
function testing.app(options)
  local app = setmetatable({ options = checked(options), snapshots = 0, faults = setmetatable({}, { __mode = "k" }) }, App)
  app:open()
  app.clock = time.clock(app)
  views.attach(app)
  newest.app = app
  return app
end

---The app that was opened last and is still open: what matchers look at when none is named.
---@return perigee.TestApp?
function testing.current()
  local app = newest.app
  return app and app.host and app
end

---Whether the target has this method of perigee.host.
---@param method string
---@return boolean
function App:able(method) return self.host ~= nil and self.host[method] ~= nil end

---A method of perigee.host. Raises when the target has none of that name.
---@param method string
---@return any ...
function App:ask(method, ...)
  if not self.host then error("this app is closed", 0) end
  local fn = self.host[method]
  if not fn then pending(("the target %s cannot do '%s'"):format(testing.target(), method)) end
  return fn(self.host, ...)
end

function App:close()
  if self.host then self.host:close() end
  self.host = nil
end

---Stops gracefully and starts again, at the same time of the clock and without faults. Needs options.data: memory forgets.
function App:restart()
  if not self.options.data then error("app:restart needs testing.app { data = directory }: memory forgets", 2) end
  local now = self.options.clock and self.clock:now()
  if self:able "forgive" then self:forgive() end
  self:close()
  self.options.clock = now
  self:open()
end

---As kill -9 of the process and a new start: what ran is gone, nothing is given back; the store stays, the clock goes on. Also
---what follows a fault that killed ("before", "after").
function App:crash()
  local ok, err = self:ask "crash"
  if not ok then error(tostring(err), 2) end
end

---Takes changed handlers in use. Raises when they do not load; the version in use stays.
---@return string version
function App:reload()
  local version, err = self:ask "reload"
  return version or error(tostring(err), 2)
end

-- ==== requests ==============================================================================================================

---@class perigee.TestAnswer
---@field status integer
---@field headers table<string, string> names in lower case
---@field body string
---@field json any the decoded body, when it is JSON
---@field calls perigee.testing.Call[] what the request called, until now: also what ran after the answer
---@field cost perigee.testing.Cost of the request
local Answer = {}

-- Whose an answer is, and the number of the first call after its request began: not in the answer, which tests print and compare.
---@type table<perigee.TestAnswer, { app: perigee.TestApp, from: integer, cost: perigee.testing.Cost?, together: boolean? }>
local origins = setmetatable({}, { __mode = "k" })

local LAZY = {}
function LAZY.json(answer)
  if (answer.headers["content-type"] or ""):find "^application/[%w.+-]*json" then return (json.decode(answer.body)) end
end
function LAZY.calls(answer)
  local origin = origins[answer]
  return calls.select(origin.app, origin.app:ask("calls", origin.from), { request_id = answer.headers["x-request-id"] })
end
function LAZY.app(answer) return origins[answer].app end
function LAZY.cost(answer)
  local origin = origins[answer]
  if origin.together then error("what requests cost that ran at once is in app:cost()", 0) end
  return origin.cost or origin.app:ask "cost"
end

function Answer.__index(answer, name) return LAZY[name] and LAZY[name](answer) end

local function died(err) return type(err) == "table" and err.code == "ProcessDied" end

-- nil, err when a fault killed the process; whatever else went wrong is raised.
function App:finish(answer, err, origin)
  self.clock:hold()
  if not answer and died(err) then return nil, err end
  if not answer then error(err, 0) end
  origins[answer] = origin
  return setmetatable(answer, Answer)
end

---@class perigee.TestRequest
---@field body table|string|nil a table is sent as JSON
---@field headers table<string, string>?
---@field query table<string, string|integer>?
---@field remote_ip string? 127.0.0.1

local REQUEST = { body = true, headers = true, query = true, remote_ip = true }

local function target_of(path, query)
  local names, parts = {}, {}
  for name in pairs(query or {}) do names[#names + 1] = name end
  table.sort(names)
  local function escaped(s) return (tostring(s):gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end)) end
  for i, name in ipairs(names) do parts[i] = escaped(name) .. "=" .. escaped(query[name]) end
  if #parts == 0 then return path end
  return path .. (path:find("?", 1, true) and "&" or "?") .. table.concat(parts, "&")
end

local function prepared(method, path, options)
  options = options or {}
  if type(method) ~= "string" or type(path) ~= "string" or path:sub(1, 1) ~= "/" then
    error("a request is a method, a path that begins with '/', and a table of options", 3)
  end
  if type(options) ~= "table" then error(("the options of a request are a table, not a %s"):format(type(options)), 3) end
  for name in pairs(options) do
    if not REQUEST[name] then error(("app:request knows no option '%s'"):format(tostring(name)), 3) end
  end
  local body, headers, typed = options.body, {}, false
  for name, value in pairs(options.headers or {}) do
    headers[name] = value
    typed = typed or name:lower() == "content-type"
  end
  if type(body) == "table" then body = json.encode(body) end
  if body and not typed then headers["Content-Type"] = "application/json" end
  headers.Host = headers.Host or "127.0.0.1:8080"
  return { method = method, target = target_of(path, options.query), headers = headers, body = body,
    remote_ip = options.remote_ip }
end

function App:next_call() return self:able "count" and self.host:count() + 1 or 1 end

---One request, as over HTTP.
---@param method string
---@param path string and query
---@param options perigee.TestRequest?
---@return perigee.TestAnswer? answer nil when a fault killed the process
---@return perigee.Error? err
function App:request(method, path, options)
  local request = prepared(method, path, options)
  local from, cost = self:next_call(), self:able "cost" and self.host:cost()
  local answer, err = self:ask("request", request)
  return self:finish(answer, err, { app = self, from = from, cost = cost and calls.difference(cost, self.host:cost()) })
end

---Several requests at once: each { method, path, options }. Their answers, in the same order; of those that a fault killed with
---the process there is none, and its error is the second result.
---@param list { [1]: string, [2]: string, [3]: perigee.TestRequest? }[]
---@return table<integer, perigee.TestAnswer> answers
---@return perigee.Error? err
function App:requests(list)
  local requests, from = {}, self:next_call()
  for i, one in ipairs(list) do requests[i] = prepared(one[1], one[2], one[3]) end
  local answers, err = self:ask("requests", requests)
  if not answers or err and not died(err) then error(err, 0) end
  for _, answer in pairs(answers) do self:finish(answer, nil, { app = self, from = from, together = true }) end
  return answers, err
end

---@param path string
---@param headers table<string, string>?
---@return perigee.TestAnswer
function App:get(path, headers) return self:request("GET", path, { headers = headers }) end

---@param path string
---@param body table|string|nil
---@param headers table<string, string>?
---@return perigee.TestAnswer
function App:post(path, body, headers) return self:request("POST", path, { body = body, headers = headers }) end

---@param path string
---@param body table|string|nil
---@param headers table<string, string>?
---@return perigee.TestAnswer
function App:put(path, body, headers) return self:request("PUT", path, { body = body, headers = headers }) end

---@param path string
---@param headers table<string, string>?
---@return perigee.TestAnswer
function App:delete(path, headers) return self:request("DELETE", path, { headers = headers }) end

---Follows a presigned link, as its receiver would.
---@param url string
---@param method string? GET
---@return perigee.TestAnswer
function App:download(url, method)
  local host, path = tostring(url):match("^https?://([^/]+)(/.*)$")
  if not host then error("not a link: " .. tostring(url), 2) end
  local answer, err = self:ask("cloud", { method = method or "GET", target = path, url = url, headers = { Host = host } })
  return self:finish(answer, err, { app = self, from = 1 })
end

-- ==== time and work =========================================================================================================

---@return integer unix_ms
function App:now() return self.clock:now() end

---As app.clock:advance.
---@param length string|integer
function App:advance(length) self.clock:advance(length) end

---Puts a message into a queue.
---@param queue string
---@param body table|string
---@param attributes table<string, string|number|table>?
---@param options { delay: integer?, group: string?, deduplication: string? }?
---@return string id
function App:send(queue, body, attributes, options) return self.queues:send(queue, body, attributes, options) end

---Runs the queues until they are empty, then each schedule once; again, while the schedules changed something. Time passes
---where a message waits for it, or an event in an outbox. Raises, and says what is left, when this does not end; nil and the
---error when a fault killed the process.
---@param options perigee.testing.DrainOptions|string|integer|nil or `max` alone
---@return true? ok
---@return perigee.Error? err
function App:drain(options)
  local ok, err = drain.run(self, options)
  self.clock:hold()
  return ok, err
end

---Runs the queues for at most so long, whatever then remains.
---@param length string|integer "1s"
---@return true? ok nil when a fault killed the process
---@return perigee.Error? err
function App:run_queues(length)
  local ok, err = self:ask("drain", time.duration(length))
  self.clock:hold()
  if not ok and died(err) then return nil, err end
  return true
end

---Runs a scheduled function now.
---@param name string
---@return true? ok
---@return perigee.Error? err
function App:schedule(name)
  local ok, err = self:ask("run_schedule", name)
  self.clock:hold()
  if not ok and type(err) == "table" and err.code == "ConfigurationError" then error(tostring(err), 2) end
  return ok, err
end

---Mixes the order of calls, messages and schedules by this seed; 0: the order in which they come.
---@param seed integer
function App:shuffle(seed)
  self.options.shuffle = seed ~= 0 and seed or nil
  self:ask("shuffle", seed)
end

-- ==== snapshots =============================================================================================================

---@class perigee.testing.Snapshot
---@field private app perigee.TestApp
---@field name string
---@field package reached integer? see perigee.testing.Clock
local Snapshot = {}
Snapshot.__index = Snapshot
Snapshot.__close = function(snapshot) snapshot:drop() end

---Forgets it.
function Snapshot:drop()
  if not self.gone and self.app.host then self.app:ask("drop_snapshot", self.name) end
  self.gone = true
end

---What there is now: tables, queues, objects, mail and the time. It can be restored as often as wanted.
---@return perigee.testing.Snapshot
function App:snapshot()
  self.snapshots = self.snapshots + 1
  local name = "testing-" .. self.snapshots
  local ok, err = self:ask("snapshot", name)
  if not ok then error(tostring(err), 2) end
  return setmetatable({ app = self, name = name, reached = self.clock.reached }, Snapshot)
end

---Back to a snapshot: the process starts anew, what its Lua variables held is gone.
---@param snapshot perigee.testing.Snapshot
---@param keep boolean? the process goes on instead, with its variables
function App:restore(snapshot, keep)
  if getmetatable(snapshot) ~= Snapshot or snapshot.gone or snapshot.app ~= self then
    error("app:restore takes what app:snapshot gave, of the same app", 2)
  end
  local ok, err = self:ask("restore", snapshot.name, keep)
  if not ok then error(tostring(err), 2) end
  self.clock.reached = snapshot.reached
end

-- ==== calls, faults, costs ==================================================================================================

---The AWS calls of handlers, queues and schedules so far.
---@param filter perigee.testing.Filter?
---@return perigee.testing.Call[]
function App:calls(filter) return calls.select(self, self:ask("calls", 1), filter) end

---Watches calls from now on.
---@param filter perigee.testing.Filter?
---@return perigee.testing.Spy
function App:spy(filter) return calls.spy(self, filter) end

---Makes an AWS call fail: the next one that matches, unless options say otherwise. `at`: "refused", it does not happen; "lost",
---it happens, and its caller gets an error; "hangs" and "stalls", the same without any answer; "before" and "after", the process
---dies; "commit", the engine fails; "twice", what is received is at once visible to others too.
---@param match string "sqs:SendMessage", "dynamodb:*"
---@param options perigee.testing.FaultOptions?
---@return perigee.testing.Fault
function App:fail(match, options) return calls.fail(self, match, options) end

---No fault strikes any more.
function App:forgive()
  for fault in pairs(self.faults) do fault:forgive() end
  self.faults = setmetatable({}, { __mode = "k" })
  self:ask "forgive"
end

---Makes the n-th "step", "commit" or "file" of the store fail from now on; 0: none.
---@param name "step"|"commit"|"file"
---@param n integer
function App:fault(name, n) self:ask("fault", name, n) end

---What all so far cost.
---@return perigee.testing.Cost
function App:cost() return self:ask "cost" end

-- ==== the cloud =============================================================================================================

---One AWS call in raw shapes, as an administrator. Raises on failure.
---@param service string
---@param action string
---@param params table
---@param body string?
---@return table
function App:aws(service, action, params, body)
  local out, err = self:ask("aws", service, action, params, body)
  if not out then error(err, 2) end
  return out
end

---What is still to be done: of each queue that is not empty what it holds, dead letters too, and events in an outbox (of
---perigee.outbox). A line each; none when all is done.
---@return string[]
function App:left() return drain.left(self) end

---A UUID as the application makes them.
---@return string
function testing.uuid() return crypto.uuid() end

if package.loaded.luassert or package.loaded.busted then require "perigee.testing_matchers".register() end

return testing
