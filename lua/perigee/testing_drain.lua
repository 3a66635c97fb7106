--- app:drain: queues and schedules until nothing is left to do; and what is left when it does not end. For perigee.testing.
local calls = require "perigee.testing_calls"
local time = require "perigee.testing_time"

local testing_drain = {}

---@class perigee.testing.DrainOptions
---@field max string|integer|nil simulated time that may pass; "1h" (with clock = false: real time, "10s")
---@field schedules string[]|false|nil only these run; false: none; nil: all
---@field without string[]? these do not
---@field wait string|integer|nil so much time passes before the schedules run: what only takes older things sees these too
local OPTIONS = { max = true, schedules = true, without = true, wait = true }

local ROUNDS = 100

local function read(app, given)
  local options = {}
  if type(given) ~= "table" then given = { max = given } end
  for name, value in pairs(given) do
    if not OPTIONS[name] then error(("app:drain knows no option '%s'"):format(tostring(name)), 4) end
    options[name] = value
  end
  options.max = time.duration(options.max or (app.options.clock and "1h" or "10s"))
  options.wait = options.wait and time.duration(options.wait)
  return options
end

local function contains(list, wanted)
  for _, one in ipairs(list or {}) do
    if one == wanted then return true end
  end
  return false
end

-- Fisher and Yates, by a generator of its own (Numerical Recipes' constants).
local function shuffle(list, seed)
  for i = #list, 2, -1 do
    seed = seed * 1664525 + 1013904223 & 0xffffffff
    local k = (seed >> 16) % i + 1
    list[i], list[k] = list[k], list[i]
  end
end

local function check_schedules(known, list, option)
  if type(list) ~= "table" then error(("app:drain: %s is a list of schedules, not a %s"):format(option, type(list)), 0) end
  for _, name in pairs(list) do
    if not contains(known, name) then
      error(("app:drain: there is no schedule %s (but %s)"):format(tostring(name), table.concat(known, ", ")), 0)
    end
  end
end

local function schedules_of(app, options, round)
  if options.schedules == false or not app:able "schedules" then return {} end
  local names, known = {}, app:ask "schedules"
  if options.schedules ~= nil then check_schedules(known, options.schedules, "schedules") end
  if options.without ~= nil then check_schedules(known, options.without, "without") end
  for _, name in ipairs(known) do
    local wanted = not options.schedules or contains(options.schedules, name)
    if wanted and not contains(options.without, name) then names[#names + 1] = name end
  end
  table.sort(names)
  if app.options.shuffle then shuffle(names, app.options.shuffle + round) end
  return names
end

-- ==== what is left ==========================================================================================================

local function shown(text)
  text = text:gsub("%s+", " ")
  return #text > 100 and text:sub(1, 97) .. "..." or text
end

local function queue_lines(app, lines, name)
  local n = app.queues:counts(name)
  if n.visible + n.in_flight + n.delayed == 0 then return end
  lines[#lines + 1] = ("%s: %d visible, %d in flight, %d delayed"):format(name, n.visible, n.in_flight, n.delayed)
  local looked, seen = pcall(app.queues.peek, app.queues, name) -- needs snapshots
  if not looked then return end
  for i = 1, math.min(#seen, 3) do
    lines[#lines + 1] = ("  received %d times: %s"):format(seen[i].receive_count, shown(seen[i].body))
  end
end

-- Events in an outbox of perigee.outbox, by table.
local function unsent(app)
  local found = {}
  for _, declared in ipairs(app.names:list "tables") do
    local keys = declared.create and declared.create.KeySchema or {}
    local is_outbox = #keys == 2 and keys[1].AttributeName == "shard" and keys[2].AttributeName == "event_id"
    local rows = is_outbox and app.dynamodb:scan(declared.logical_id) or {}
    if #rows > 0 then found[#found + 1] = { name = declared.logical_id, rows = rows } end
  end
  return found
end

---A line each; see App:left.
---@param app perigee.TestApp
---@return string[]
function testing_drain.left(app)
  local lines = {}
  for _, queue in ipairs(app.names:list "queues") do queue_lines(app, lines, queue.logical_id) end
  for _, outbox in ipairs(unsent(app)) do
    local body = type(outbox.rows[1].body) == "string" and outbox.rows[1].body or ""
    lines[#lines + 1] = ("%s: %d events that were not sent, the first %s"):format(outbox.name, #outbox.rows, shown(body))
  end
  return lines
end

local function failed_calls(app)
  local function failed_itself(call) return call.error and call.error.code ~= "RequestAborted" end -- polls end with their queue
  local failed = app:able "calls" and app:calls(failed_itself) or {}
  return table.move(failed, math.max(1, #failed - 4), #failed, 1, {})
end

local function give_up(app, why)
  local out = { "app:drain does not come to an end: " .. why }
  local ok, lines = pcall(testing_drain.left, app)
  for _, line in ipairs(ok and lines or {}) do out[#out + 1] = "  " .. line end
  local failed = failed_calls(app)
  if #failed > 0 then out[#out + 1] = "the last calls that failed:\n" .. calls.lines(failed) end
  out[#out + 1] = 'testing.app { log_level = "info" } shows what handlers raise'
  error(table.concat(out, "\n"), 0)
end

-- ==== running ===============================================================================================================

local function died(err) return type(err) == "table" and err.code == "ProcessDied" end

-- "idle", "changed", or nil and the error that killed; failures: the errors of schedules that failed, by name.
local function run_schedules(app, options, round)
  local before, failures = app:able "writes" and app.host:writes() or 0, {}
  for _, name in ipairs(schedules_of(app, options, round)) do
    local ok, err = app:ask("run_schedule", name)
    if not ok and died(err) then return nil, err end
    if not ok then failures[#failures + 1] = ("schedule %s: %s"):format(name, tostring(err)) end
  end
  local changed = app:able "writes" and app.host:writes() > before
  return changed and "changed" or "idle", failures
end

local RELAY_MS = 3000 -- a relay leaves events alone for two seconds

-- Whether schedules have work that only waits for its time.
local function waits(app, options)
  local possible = app.options.clock and app:able "pass" and app:able "schedules"
  return possible and options.schedules ~= false and not options.wait and #unsent(app) > 0
end

---@param app perigee.TestApp
---@param given perigee.testing.DrainOptions|string|integer|nil
---@return true? ok
---@return perigee.Error? err
function testing_drain.run(app, given)
  local options, idle, waited = read(app, given), 0, false
  local ends = app.clock:now() + options.max
  for round = 1, ROUNDS do
    local ok, err = app:ask("drain", math.max(1, ends - app.clock:now()))
    if not ok and died(err) then return nil, err end
    if not ok then give_up(app, tostring(err)) end
    if options.wait then app.clock:advance(options.wait) end
    local state, failures = run_schedules(app, options, round)
    if not state then return nil, failures end
    idle = state == "idle" and idle + 1 or 0
    if state == "idle" and #failures == 0 then
      if waited or not waits(app, options) then return true end
      app.clock:advance(RELAY_MS)
    end
    waited = state == "idle"
    if idle > 3 then give_up(app, table.concat(failures, "; ")) end
    if app.clock:now() > ends then break end
  end
  give_up(app, "schedules change something each time they run (leave them out: without = { name })")
end

return testing_drain
