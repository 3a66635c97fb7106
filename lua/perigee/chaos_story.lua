--- What went wrong, told so that people can read it: the calls and what clients saw in order, where it was cut, what is left.
--- Pure: no host is needed.
local json = require "perigee.json"

local chaos_story = {}

local CUT = {
  before = "the process is killed here (kill -9), before this call leaves",
  after = "the process is killed here (kill -9): the call has happened, its answer never arrives",
  refused = "this call is refused with an error; nothing has happened",
  lost = "this call has happened, but its caller is told of an error: the answer was lost",
  hangs = "this call never gets an answer, and has not happened",
  stalls = "this call has happened, but its answer never comes",
  late = "this call leaves 2 seconds later than it was made: what others do comes before it",
  commit = "the store fails when it commits this call; nothing has happened",
  twice = "these messages are handed out a second time while they are being handled",
}
local SHORT = {
  before = "the process dies before %s", after = "the process dies after %s", refused = "%s is refused",
  lost = "the answer of %s is lost", hangs = "%s hangs", stalls = "%s happens without an answer",
  late = "%s is late", commit = "the commit of %s fails", twice = "%s hands messages out twice",
}

local ORDINALS = { "st", "nd", "rd" }
local function ordinal(n)
  local teens = n % 100 >= 11 and n % 100 <= 13
  return n .. (not teens and ORDINALS[n % 10] or "th")
end

---One fault in a few words: "the process dies after the 2nd dynamodb:UpdateItem of ProcessPayments (Idempotency)".
---@param fault table what host:fail takes
---@return string
function chaos_story.fault(fault)
  local call = fault.n and ("call %d, %s"):format(fault.n, fault.match)
    or ("the %s %s"):format(ordinal(fault.nth or 1), fault.match)
  if fault.function_name then call = call .. " of " .. fault.function_name end
  if fault.resource then call = call .. (" (%s)"):format(fault.resource) end
  return SHORT[fault.at]:format(call)
end

-- ==== calls ===========================================================================================================

local function shorten(text, max)
  text = text:gsub("%s+", " ")
  return #text > max and text:sub(1, max - 3) .. "..." or text
end

-- A DynamoDB value as a word; those that are no scalars as JSON.
local function word(value)
  if type(value) ~= "table" then return tostring(value) end
  local scalar = value.S or value.N
  return scalar and tostring(scalar) or json.encode(value)
end

local function key_of(params, keys)
  local from, parts = params.Key or params.Item or {}, {}
  for _, name in ipairs(keys(params.TableName)) do
    if from[name] ~= nil then parts[#parts + 1] = word(from[name]) end
  end
  return table.concat(parts, "/")
end

local function transaction(params, keys)
  local parts = {}
  for i, item in ipairs(params.TransactItems or {}) do
    for verb, entry in pairs(item) do parts[i] = ("%s %s %s"):format(verb, entry.TableName, key_of(entry, keys)) end
  end
  return table.concat(parts, ", ")
end

-- An event by type, id and data, anything else as it is.
local function message_of(body)
  local event = json.decode(body)
  if type(event) ~= "table" or not event.type then return shorten(body, 120) end
  return shorten(("%s %s %s"):format(event.type, event.id or "", event.data and json.encode(event.data) or ""), 120)
end

local DETAILS = {
  dynamodb = function(call, params, keys)
    if params.TransactItems then return transaction(params, keys) end
    if params.Key or params.Item then return ("%s %s"):format(params.TableName, key_of(params, keys)) end
    return call.resource
  end,
  s3 = function(call, params)
    return ("%s %s"):format(call.resource or params.Bucket or "", params.Key or params.Prefix or "")
  end,
  ses = function(_, params) return "to " .. table.concat((params.Destination or {}).ToAddresses or {}, ", ") end,
  sqs = function(call, params)
    local bodies = { params.MessageBody }
    for _, entry in ipairs(params.Entries or {}) do bodies[#bodies + 1] = entry.MessageBody end
    for _, message in ipairs((call.result or {}).Messages or {}) do bodies[#bodies + 1] = message.Body end
    for i, body in ipairs(bodies) do bodies[i] = message_of(body) end
    return ("%s %s"):format(call.resource or "", table.concat(bodies, ", "))
  end,
}

-- What a call is about: resource and id.
local function details(call, keys)
  local params = call.params
  if type(params) ~= "table" then return call.resource or "" end
  local ok, text = pcall(DETAILS[call.service] or function() return call.resource end, call, params, keys)
  return ok and text or call.resource or ""
end

-- Whom a death cut off was told nothing.
local function outcome(call)
  if call.error and call.error.code ~= "RequestAborted" then return " -> " .. tostring(call.error.code) end
  return ""
end

-- A poll that found nothing.
local function is_noise(call)
  return call.action == "ReceiveMessage" and (call.empty or not call.effect) and not call.fault
end

local function call_line(call, keys)
  local who = call.function_name or "queue"
  return ("%-16s %s %s%s"):format(who, call.service .. ":" .. call.action, details(call, keys), outcome(call))
end

-- ==== the whole =======================================================================================================

-- Entries { text = } in the order in which they happened; repeated lines are counted.
local function timeline(outcome_, keys)
  local lines, calls, events = {}, outcome_.all_calls, outcome_.events
  local function add(text, mark)
    local last = lines[#lines]
    if last and last.text == text and not mark and not last.mark then
      last.times = last.times + 1
    else
      lines[#lines + 1] = { text = text, mark = mark, times = 1 }
    end
  end
  local function tell(event)
    local who = ({ ask = "client", answer = "client", silence = "client", start = "process", step = "--", rest = "--",
      schedule = "schedule" })[event.kind]
    local arrow = event.kind == "answer" and "<- " or event.kind == "silence" and "<- " or ""
    add(("%-16s %s%s"):format(who, arrow, shorten(event.text, 140)))
  end
  local e = 1
  for _, call in ipairs(calls) do
    while events[e] and events[e].at < call.n do
      tell(events[e])
      e = e + 1
    end
    if not is_noise(call) then add(call_line(call, keys)) end
    if call.fault then add(CUT[call.fault], true) end
  end
  for i = e, #events do tell(events[i]) end
  return lines
end

local function numbered(lines)
  local out, n = {}, 0
  for _, line in ipairs(lines) do
    if line.mark then
      out[#out + 1] = "      ^^ " .. line.text
    else
      n = n + 1
      out[#out + 1] = ("%4d  %s%s"):format(n, line.text, line.times > 1 and (" (%d times)"):format(line.times) or "")
    end
  end
  return out
end

---@class perigee.chaos.Violation
---@field flow string
---@field invariant string
---@field why string
---@field faults table[]
---@field steps string[]
---@field order integer
---@field count integer points at which this invariant of this flow is broken

---The story of a violation, line by line.
---@param violation perigee.chaos.Violation
---@param result perigee.chaos.Outcome of the run that shows it, with params kept
---@param state string[] what is there in the end, a line each
---@param keys fun(table_name: string): string[] the key attributes of a table
---@return string[]
function chaos_story.tell(violation, result, state, keys)
  local lines = { ("%s: %s is broken"):format(violation.flow, violation.invariant) }
  for i, fault in ipairs(violation.faults) do
    lines[#lines + 1] = ("  %s %s"):format(i == 1 and "when" or "and then", chaos_story.fault(fault))
  end
  if #violation.faults == 0 then lines[#lines + 1] = "  though nothing goes wrong" end
  lines[#lines + 1] = ""
  for _, line in ipairs(numbered(timeline(result, keys))) do lines[#lines + 1] = line end
  lines[#lines + 1] = ""
  lines[#lines + 1] = "  what is left:"
  for _, line in ipairs(state) do lines[#lines + 1] = "    " .. line end
  lines[#lines + 1] = ""
  lines[#lines + 1] = ("  %s: %s"):format(violation.invariant, violation.why)
  return lines
end

-- ==== a spec that replays it ==========================================================================================

local function quoted(text) return ("%q"):format(text):gsub("\\\n", "\\n") end

local function literal(t)
  local names, parts = {}, {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    local value = t[name]
    parts[i] = ("%s = %s"):format(name:find "^[%a_][%w_]*$" and name or ("[%s]"):format(quoted(name)),
      type(value) == "string" and quoted(value) or tostring(value))
  end
  return #parts > 0 and "{ " .. table.concat(parts, ", ") .. " }" or "{}"
end

local SPEC = [[
--- Written by `perigee chaos`. It fails as long as this breaks the system, and may stay as a test when it does not any more.
---
%s
local chaos = require "perigee.chaos"

describe(%s, function()
  it(%s, function()
    local problems = chaos.replay {
      template = %s, invariants = %s,%s
      parameters = %s,
      seed = %d, flow = %s, order = %d,
      steps = {
%s
      },
      faults = {
%s
      },
    }
    assert.same({}, problems)
  end)
end)
]]

local function listed(list, of)
  local lines = {}
  for i, entry in ipairs(list) do lines[i] = "        " .. of(entry) .. "," end
  return table.concat(lines, "\n")
end

---A busted spec that replays a violation by perigee.testing.
---@param violation perigee.chaos.Violation
---@param story string[]
---@param how { template: string, invariants: string, parameters: table, seed: integer, lua_dir: string? }
---@return string
function chaos_story.spec(violation, story, how)
  local comment = {}
  for i, line in ipairs(story) do comment[i] = line == "" and "---" or "--- " .. line end
  local though = {}
  for i, fault in ipairs(violation.faults) do though[i] = chaos_story.fault(fault) end
  local title = violation.invariant .. (#though > 0 and ", though " .. table.concat(though, " and then ") or "")
  local lua_dir = how.lua_dir and (" lua_dir = %s,"):format(quoted(how.lua_dir)) or ""
  return SPEC:format(table.concat(comment, "\n"), quoted("the flow " .. violation.flow), quoted(title), quoted(how.template),
    quoted(how.invariants), lua_dir, literal(how.parameters), how.seed, quoted(violation.flow), violation.order,
    listed(violation.steps, quoted), listed(violation.faults, literal))
end

return chaos_story
