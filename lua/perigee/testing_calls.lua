--- AWS calls as tests look at them: filters, spies, faults, what they cost. For perigee.testing.
local core = require "perigee.aws.core"

local testing_calls = {}

-- ==== filters ===============================================================================================================

---What of the calls is meant: "dynamodb", "dynamodb:PutItem", "sqs:Send*", a table of the members below, or a function.
---@alias perigee.testing.Filter string|perigee.testing.CallFilter|fun(call: perigee.testing.Call): any

---@class perigee.testing.CallFilter
---@field match string? "dynamodb:PutItem"
---@field function_name string?
---@field resource string? table, queue or bucket
---@field request_id string?
---@field correlation_id string?
---@field write boolean? may change something
---@field effect boolean? was carried out, whatever the caller was told
---@field failed boolean? the caller was told of an error
---@field fault string? what a fault did to it: "lost"

---One call of a handler, a queue or a schedule.
---@class perigee.testing.Call
---@field n integer in the order of starting
---@field service string "dynamodb"
---@field action string "PutItem"
---@field function_name string? logical id of who called
---@field request_id string?
---@field correlation_id string?
---@field resource string? table, queue or bucket
---@field params table? as the operation takes them
---@field result table? nil: there was none
---@field error { code: string, message: string }?
---@field effect boolean it was carried out, whatever the caller was told
---@field empty boolean a poll that found nothing
---@field write boolean it may change something
---@field fault string? what a fault did to it
---@field began_ms integer
---@field ended_ms integer
---@field cost perigee.testing.Cost

local function pattern_of(glob)
  return "^" .. glob:lower():gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*") .. "$"
end

local services -- { dynamodb = { put_item = ..., }, ..., kms = {} }: the last ones have whatever operations AWS has

-- Raises for what no call can be: a filter with a slip of the pen would find nothing, and tests that want nothing would pass.
local function check_known(text, service, action)
  services = services or core.services()
  local of_service = false
  for name, operations in pairs(services) do
    if name:find(service) then
      of_service = true
      if not action or not next(operations) then return end
      for operation in pairs(operations) do
        if operation:gsub("_", ""):find(action) then return end
      end
    end
  end
  error(("no AWS call is '%s': there is no such %s"):format(text, of_service and "operation" or "service"), 0)
end

local function matcher(text)
  if type(text) ~= "string" then error(("a filter's match is text as \"dynamodb:PutItem\", not a %s"):format(type(text)), 0) end
  local service, action = text:match "^([^:]+):(.+)$"
  service, action = pattern_of(service or text), action and pattern_of(action)
  check_known(text, service, action)
  return function(call)
    return call.service:lower():find(service) and (not action or call.action:lower():find(action))
  end
end

local FIELDS = { match = true, function_name = true, resource = true, request_id = true, correlation_id = true, write = true,
  effect = true, failed = true, fault = true }

local function check_function(app, wanted)
  if not app:able "functions" then return end
  local names = {}
  for i, one in ipairs(app:ask "functions") do
    if one.name == wanted then return end
    names[i] = one.name
  end
  error(("the template has no function '%s' (but %s)"):format(tostring(wanted), table.concat(names, ", ")), 0)
end

-- The physical name of a table, queue or bucket; raises for what neither the template declares nor the engine has.
local function resource_of(app, given)
  for _, kind in ipairs { "tables", "queues", "buckets" } do
    if app.names:find(kind, given) then return app.names:of(kind, given) end
  end
  if app:ask("aws", "dynamodb", "DescribeTable", { TableName = given }) or app:ask("aws", "s3", "HeadBucket", { Bucket = given })
    or app:ask("aws", "sqs", "GetQueueUrl", { QueueName = given }) then
    return given
  end
  error(("there is no table, queue or bucket '%s' (the template declares tables %s; queues %s; buckets %s)"):format(given,
    app.names:known "tables", app.names:known "queues", app.names:known "buckets"), 0)
end

-- Calls of several tables name them all: "Orders,Outbox".
local function names_resource(call, wanted)
  return (("," .. (call.resource or "") .. ","):find("," .. wanted .. ",", 1, true)) ~= nil
end

local function table_matcher(filter, app)
  for name in pairs(filter) do
    if not FIELDS[name] then error(("a filter of calls knows no member '%s'"):format(tostring(name)), 0) end
  end
  local match = filter.match and matcher(filter.match)
  if filter.function_name then check_function(app, filter.function_name) end
  local resource = filter.resource and resource_of(app, filter.resource)
  return function(call)
    if match and not match(call) then return false end
    if resource and not names_resource(call, resource) then return false end
    if filter.failed ~= nil and filter.failed ~= (call.error ~= nil) then return false end
    for name, wanted in pairs(filter) do
      if name ~= "match" and name ~= "resource" and name ~= "failed" and call[name] ~= wanted then return false end
    end
    return true
  end
end

---@param app perigee.TestApp
---@param filter perigee.testing.Filter?
---@return fun(call: perigee.testing.Call): any
function testing_calls.filter(app, filter)
  if filter == nil then return function() return true end end
  if type(filter) == "string" then return matcher(filter) end
  if type(filter) == "table" then return table_matcher(filter, app) end
  if type(filter) == "function" then return filter end
  error(("a filter of calls is text, a table or a function, not a %s"):format(type(filter)), 0)
end

---@param app perigee.TestApp
---@param calls perigee.testing.Call[]
---@param filter perigee.testing.Filter?
---@return perigee.testing.Call[]
function testing_calls.select(app, calls, filter)
  local fits, found = testing_calls.filter(app, filter), {}
  for _, call in ipairs(calls) do
    if fits(call) then found[#found + 1] = call end
  end
  return found
end

---A line that says which call it was.
---@param call perigee.testing.Call
---@return string
function testing_calls.line(call)
  local parts = { ("%3d %s:%s"):format(call.n, call.service, call.action) }
  if call.resource and call.resource ~= "" then parts[#parts + 1] = "on " .. call.resource end
  if call.function_name and call.function_name ~= "" then parts[#parts + 1] = "by " .. call.function_name end
  if call.error then parts[#parts + 1] = "-> " .. call.error.code end
  if call.fault then parts[#parts + 1] = "(" .. call.fault .. ")" end
  return table.concat(parts, " ")
end

---@param calls perigee.testing.Call[]
---@return string
function testing_calls.lines(calls)
  local out = {}
  for i, call in ipairs(calls) do out[i] = "  " .. testing_calls.line(call) end
  return #out > 0 and table.concat(out, "\n") or "  none"
end

-- ==== spies =================================================================================================================

---What was called since the spy was set.
---@class perigee.testing.Spy
---@field calls perigee.testing.Call[]
---@field private app perigee.TestApp
---@field private host table whose calls `from` counts
---@field private from integer
---@field private filter perigee.testing.Filter?
local Spy = {}

function Spy.__index(spy, name)
  if name ~= "calls" then return Spy[name] end
  local from = spy.host == spy.app.host and spy.from or 1 -- app:restart counts anew
  return testing_calls.select(spy.app, spy.app:ask("calls", from), spy.filter)
end

---@return integer
function Spy:count() return #self.calls end

---@return perigee.testing.Call?
function Spy:last()
  local calls = self.calls
  return calls[#calls]
end

---Forgets what was until now.
function Spy:reset() self.from, self.host = self.app:ask "count" + 1, self.app.host end

---@param app perigee.TestApp
---@param filter perigee.testing.Filter?
---@return perigee.testing.Spy
function testing_calls.spy(app, filter)
  testing_calls.filter(app, filter)
  local spy = setmetatable({ app = app, filter = filter }, Spy)
  spy:reset()
  return spy
end

-- ==== faults ================================================================================================================

---@class perigee.testing.FaultOptions
---@field at "refused"|"lost"|"hangs"|"stalls"|"before"|"after"|"commit"|"twice"|"late"|nil "refused"
---@field nth integer? of the calls that match, from now on: the first that is struck; 1
---@field times integer? so many from there on; 1, -1: all
---@field code string? "ThrottlingException"; of "lost" "RequestTimeout"
---@field message string?
---@field status integer? the error's HTTP status
---@field function_name string? only calls of this function
---@field resource string? only calls on this table, queue or bucket
---@field n integer? instead of a match: the call of this number

---@class perigee.testing.Fault
---@field private app perigee.TestApp
---@field private id integer
---@field private count integer? how often it had struck when it was forgiven
local Fault = {}
Fault.__index = Fault

---How often it struck.
---@return integer
function Fault:struck() return self.count or self.app:ask("struck", self.id) end

---It strikes no more.
function Fault:forgive()
  if self.app:able "struck" then self.count = self:struck() end
  self.app:ask("forgive", self.id)
end

local OPTIONS = { at = true, nth = true, times = true, code = true, message = true, status = true, function_name = true,
  resource = true, n = true }

---@param app perigee.TestApp
---@param match string?
---@param options perigee.testing.FaultOptions?
---@return perigee.testing.Fault
function testing_calls.fail(app, match, options)
  if match ~= nil and type(match) ~= "string" then error("app:fail takes text as \"sqs:SendMessage\" and options", 3) end
  if match and match ~= "*" and not match:find ":" then match = match .. ":*" end
  local fault = { match = match, at = "refused" }
  for name, value in pairs(options or {}) do
    if not OPTIONS[name] then error(("app:fail knows no option '%s'"):format(tostring(name)), 3) end
    fault[name] = value
  end
  if fault.function_name then check_function(app, fault.function_name) end
  if type(fault.resource) == "string" then fault.resource = resource_of(app, fault.resource) end
  local id, err = app:ask("fail", fault)
  if not id then error(tostring(err), 3) end
  local set = setmetatable({ app = app, id = id }, Fault)
  app.faults[set] = true
  return set
end

-- ==== costs =================================================================================================================

---What calls and runs cost, in the units that AWS bills.
---@class perigee.testing.Cost
---@field calls integer
---@field rcu number read capacity units
---@field wcu number write capacity units
---@field sqs integer requests
---@field s3_puts integer PUT, COPY, POST and LIST requests
---@field s3_gets integer
---@field ses integer mails
---@field other integer requests of other services
---@field runs integer of functions
---@field ms number how long they took: as it really was, and what they waited in simulated time
---@field billed_ms integer each in whole milliseconds
---@field gb_ms number these times the memory of the function

testing_calls.COSTS = { "rcu", "wcu", "sqs", "s3_puts", "s3_gets", "ses", "other", "calls", "runs", "ms", "billed_ms", "gb_ms" }

---What came to `before` until `now`.
---@param before perigee.testing.Cost
---@param now perigee.testing.Cost
---@return perigee.testing.Cost
function testing_calls.difference(before, now)
  local cost = {}
  for _, name in ipairs(testing_calls.COSTS) do cost[name] = (now[name] or 0) - (before[name] or 0) end
  return cost
end

---@param cost perigee.testing.Cost
---@return string
function testing_calls.bill(cost)
  local out = {}
  for _, name in ipairs(testing_calls.COSTS) do
    if cost[name] and cost[name] ~= 0 then out[#out + 1] = ("%s %g"):format(name, cost[name]) end
  end
  return #out > 0 and table.concat(out, ", ") or "nothing"
end

return testing_calls
