--- What `assert` can do when perigee.testing is there. Each is negated by assert.is_not.<name>; messages show what there is.
---
---   assert.pdf_has(bytes, "José")                            the text of a PDF that perigee.pdf made
---   assert.state(order_or_id, "PAID")                        an item, an answer, or an id that is looked up
---   assert.calls(2, "dynamodb:PutItem", app_or_answer)       so many AWS calls; without the last one: of the app
---   assert.drained(app)                                      no message, dead letter or unsent event is left
---   assert.costs_below(app_or_answer, { rcu = 1, sqs = 2 })  at most so much of each
---   assert.mail(app, { to = "ada@example.org", contains = "paid" })
local calls = require "perigee.testing_calls"
local pdf = require "perigee.testing_pdf"

local testing_matchers = {}

-- Editors (LuaLS) add these to those of luassert.
---@class luassert.internal
---@field pdf_has fun(bytes: string, text: string)
---@field state fun(order_or_id: table|string, state: string, app: perigee.TestApp?)
---@field calls fun(n: integer, filter: perigee.testing.Filter?, app_or_answer: perigee.TestApp|perigee.TestAnswer?)
---@field drained fun(app: perigee.TestApp?)
---@field costs_below fun(app_or_answer: perigee.TestApp|perigee.TestAnswer, most: table<string, number>)
---@field mail fun(app: perigee.TestApp, wanted: { to: string?, subject: string?, contains: string?, from: string? })

local function current(given)
  local app = given or require("perigee.testing").current()
  return app or error("there is no app: testing.app() opens one", 0)
end

local function indented(lines)
  if #lines == 0 then return "  none" end
  return "  " .. table.concat(lines, "\n  ")
end

-- ==== what each of them finds: whether it holds, and two sentences: what was expected and what there is =======================

local checks = {}

function checks.pdf_has(bytes, text)
  local has = pdf.has(bytes, text)
  local lines = {}
  for line in pdf.text(bytes):gmatch "[^\n]+" do lines[#lines + 1] = line end
  return has, ("the text %q in the PDF"):format(text), "Its text:\n" .. indented(lines)
end

-- The tables in which ids are looked up: those that options.states names, else those whose key is one string.
local function places(app)
  local states = app.options.states
  if states then return { states.table }, states.attribute or "status" end
  local names = {}
  for _, declared in ipairs(app.names:list "tables") do
    local schema = declared.create
    if #schema.KeySchema == 1 and schema.AttributeDefinitions then
      for _, attribute in ipairs(schema.AttributeDefinitions) do
        local is_key = attribute.AttributeName == schema.KeySchema[1].AttributeName
        if is_key and attribute.AttributeType == "S" then names[#names + 1] = declared.logical_id end
      end
    end
  end
  return names, "status"
end

local function look_up(app, id)
  local names, attribute = places(app)
  for _, name in ipairs(names) do
    local item = app.dynamodb:get(name, id)
    if item and item[attribute] then return item, attribute, ("%s in %s"):format(id, name) end
  end
  return nil, attribute, ("%s (not found in %s)"):format(id, #names > 0 and table.concat(names, ", ") or "any table"), true
end

local function history(item)
  local lines = {}
  for i, entry in ipairs(type(item) == "table" and item.history or {}) do
    lines[i] = ("%s  %s -> %s"):format(entry.at or "", entry.action or "", entry.to or "")
  end
  return #lines > 0 and "\nIts history:\n" .. indented(lines) or ""
end

function checks.state(given, state, app)
  if type(state) ~= "string" then error(("assert.state: a state is text, not a %s"):format(type(state)), 0) end
  local item, attribute, name = given, "status", "the item"
  if type(given) == "table" and rawget(given, "headers") then item = given.json end
  if type(item) == "table" then
    app = app or require("perigee.testing").current()
    if app then attribute = (app.options.states or {}).attribute or attribute end
    name = item.order_id or item.id or name
  else
    if type(given) ~= "string" then error(("assert.state takes an item, an answer or an id, not a %s"):format(type(given)), 0) end
    item, attribute, name = look_up(current(app), given)
  end
  local is = type(item) == "table" and item[attribute] or nil
  return is == state, ("%s in the state %s"):format(name, state),
    ("It is in the state %s.%s"):format(tostring(is or "(none)"), history(item))
end

local function named(filter)
  if filter == nil then return "AWS calls" end
  if type(filter) == "string" then return "calls of " .. filter end
  if type(filter) == "function" then return "calls that the function takes" end
  local parts = {}
  for name, value in pairs(filter) do parts[#parts + 1] = ("%s = %s"):format(name, tostring(value)) end
  table.sort(parts)
  return "calls with " .. table.concat(parts, ", ")
end

-- The calls of an answer or an app, whose they are, and the app.
local function calls_of(of)
  of = current(of)
  if rawget(of, "headers") then return of.calls, "the request", of.app end
  return of:calls(), "the app", of
end

function checks.calls(n, filter, of)
  if math.type(n) ~= "integer" then error("assert.calls(n, filter): n must be an integer", 0) end
  local all, whose, app = calls_of(of)
  local found = calls.select(app, all, filter)
  return #found == n, ("%d %s in %s"):format(n, named(filter), whose),
    ("There are %d. All calls:\n%s"):format(#found, calls.lines(all))
end

function checks.drained(app)
  local left = current(app):left()
  return #left == 0, "nothing left to do", "What is left:\n" .. indented(left)
end

local function cost_of(of)
  if rawget(of, "headers") then return of.cost end
  return of:cost()
end

local function known_cost(name)
  for _, known in ipairs(calls.COSTS) do
    if known == name then return true end
  end
  error(("assert.costs_below knows no '%s' (but %s)"):format(tostring(name), table.concat(calls.COSTS, ", ")), 0)
end

function checks.costs_below(of, most)
  local cost, names, over = cost_of(current(of)), {}, {}
  for name in pairs(most) do names[#names + 1] = known_cost(name) and name end
  if #names == 0 then error("assert.costs_below: no cost is named", 0) end
  table.sort(names)
  for i, name in ipairs(names) do
    if cost[name] > most[name] then over[#over + 1] = name end
    names[i] = ("%s %g"):format(name, most[name])
  end
  return #over == 0, "costs of at most " .. table.concat(names, ", "),
    ("It costs %s.\nToo much: %s. Its calls:\n%s"):format(calls.bill(cost), #over > 0 and table.concat(over, ", ") or "nothing",
      calls.lines((calls_of(of))))
end

local function to_any(mail, address)
  for _, to in ipairs(mail.Destination) do
    if to:lower() == address:lower() then return true end
  end
  return false
end

local function has(text, part) return text ~= nil and text:find(part, 1, true) ~= nil end

local FITS = {
  to = to_any,
  from = function(mail, address) return has(mail.Source:lower(), address:lower()) end,
  subject = function(mail, text) return has(mail.Subject, text) end,
  contains = function(mail, text) return has(mail.text, text) or has(mail.html, text) or has(mail.Subject, text) end,
}

local function check_wanted(wanted)
  if type(wanted) ~= "table" then error("assert.mail(app, { to =, from =, subject =, contains = })", 0) end
  for name, value in pairs(wanted) do
    if not FITS[name] then error(("assert.mail knows no '%s' (but to, from, subject, contains)"):format(tostring(name)), 0) end
    if type(value) ~= "string" then error(("assert.mail: %s is text, not a %s"):format(name, type(value)), 0) end
  end
end

local function fits(mail, wanted)
  for name, value in pairs(wanted) do
    if not FITS[name](mail, value) then return false end
  end
  return true
end

function checks.mail(app, wanted)
  check_wanted(wanted)
  local found, lines, asked = false, {}, {}
  for i, mail in ipairs(current(app).mailbox:all()) do
    found = fits(mail, wanted) or found
    lines[i] = ("to %s: %s\n    %s"):format(table.concat(mail.Destination, ", "), mail.Subject,
      (mail.text or mail.html or ""):gsub("\r?\n%s*$", ""):gsub("\r?\n", "\n    "))
  end
  for name, value in pairs(wanted) do asked[#asked + 1] = ("%s %q"):format(name, value) end
  table.sort(asked)
  return found, "a mail with " .. table.concat(asked, ", "), "The mailbox:\n" .. indented(lines)
end

-- ==== luassert ==============================================================================================================

local REQUIRED = { pdf_has = 2, state = 2, calls = 1, costs_below = 2, mail = 2 }

local function assertion(name)
  local check, needed = checks[name], REQUIRED[name] or 0
  return function(state, arguments)
    if arguments.n < needed then error(("assert.%s takes at least %d arguments"):format(name, needed), 0) end
    local holds, expected, found = check(table.unpack(arguments, 1, arguments.n))
    local verb = state.mod and "Expected " or "Did not expect "
    arguments[1], arguments[2], arguments.n = verb .. expected .. ".", found, 2
    arguments.nofmt = { true, true }
    return holds
  end
end

---Adds them to luassert's. assert.state alone would be luassert's own function of that name, which takes no arguments.
function testing_matchers.register()
  local luassert, say = require "luassert", require "say"
  say:set("perigee.matcher", "%s\n%s")
  for name in pairs(checks) do
    luassert:register("assertion", name, assertion(name), "perigee.matcher", "perigee.matcher")
  end
  local state = rawget(luassert, "own_state") or luassert.state
  rawset(luassert, "own_state", state) -- each file of specs registers anew
  luassert.state = function(...)
    if select("#", ...) == 0 then return state() end
    return state().state(...)
  end
end

return testing_matchers
