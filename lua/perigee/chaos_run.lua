--- One run of a flow under faults, on a simulated host: what `perigee chaos` does thousands of times and the specs that it
--- writes do once.
---
---   local runner = run.runner(app, declared, { seed = 1 })
---   local outcome = runner:run(flow, faults)    -- faults: what host:fail takes
---
--- Every run starts from the same snapshot, with a fresh Lua state and numbering from 1. The clients of the flow behave as
--- clients do: what is not answered, or with 429 or 5xx, they ask again after a while. A process that dies is started again.
--- When the flow is over everything is worked off, faults end, `afterwards` runs, everything is worked off again, and the
--- invariants are checked.
local json = require "perigee.json"

local chaos_run = {}

local MINUTE = 60000
local PAUSES = { 1000, 2000, 4000, 8000, 16000, 32000, 60000 } -- between a client's attempts
local ROUNDS = 20                                             -- of queues and schedules until everything has come to rest
local DRAIN_MS = 3 * 3600 * 1000                              -- of simulated time: what takes longer does not come to rest

---@class perigee.chaos.Event what clients see and the process does, beside the calls
---@field at integer calls that had begun before
---@field kind "ask"|"answer"|"silence"|"start"|"step"|"rest"|"schedule"
---@field text string

---@class perigee.chaos.Run what a flow remembers, and what invariants look at; flows may keep more in it
---@field flow string
---@field answers perigee.chaos.Answer[] of all requests, in order
---@field repetitions perigee.chaos.Answer[] of client:repeat_all
---@field deaths integer
---@field events perigee.chaos.Event[]
---@field problems { name: string, why: string }[]
local Run = {}
Run.__index = Run

---@class perigee.chaos.Answer
---@field method string
---@field target string
---@field body any as the flow gave it
---@field headers table<string, string>|fun(body: string, now_ms: integer): table<string, string>
---@field status integer? nil: the client gave up
---@field json any
---@field attempts integer

local function note(run, kind, text, ...)
  local events = run.events
  events[#events + 1] = { at = run.host:count(), kind = kind, text = select("#", ...) > 0 and text:format(...) or text }
end

function Run:problem(name, why) self.problems[#self.problems + 1] = { name = name, why = why } end

local function died(err) return type(err) == "table" and err.code == "ProcessDied" end

-- A process that died, may be after its last answer, is started again.
local function revive(run)
  if not run.host:is_dead() then return end
  run.deaths = run.deaths + 1
  note(run, "start", "the process is started again")
  assert(run.host:crash())
end

-- ==== clients =========================================================================================================

local Client = {}
Client.__index = Client

-- What is sent: made anew for each attempt, so that signatures have its time.
local function wire(client, asked)
  local headers, body = { Host = "127.0.0.1:8080" }, asked.body
  if type(body) == "table" then body = json.encode(body) end
  local given = asked.headers or {}
  if type(given) == "function" then given = given(body, client.run.host:now()) end
  for name, value in pairs(given) do headers[name] = value end
  if body and not headers["Content-Type"] then headers["Content-Type"] = "application/json" end
  return { method = asked.method, target = asked.target, headers = headers, body = body }
end

local function finish(answer)
  if (answer.headers["content-type"] or ""):find("^application/json") then answer.json = json.decode(answer.body) end
  return answer
end

local function is_final(answer) return answer and answer.status < 500 and answer.status ~= 429 end

local function title(asked)
  local body = asked.body
  if type(body) == "table" then body = json.encode(body) end
  return ("%s %s%s"):format(asked.method, asked.target, body and " " .. body or "")
end

local function hear(run, asked, answer, err)
  if not answer then
    note(run, "silence", "%s %s: %s", asked.method, asked.target, died(err) and "no answer" or tostring(err))
  else
    note(run, "answer", "%s %s: %d%s", asked.method, asked.target, answer.status,
      #answer.body > 0 and #answer.body < 200 and " " .. answer.body or "")
  end
end

local function once(client, asked)
  local run = client.run
  note(run, "ask", title(asked))
  local answer, err = run.host:request(wire(client, asked))
  if not answer and not died(err) then error(err, 0) end
  hear(run, asked, answer, err)
  revive(run)
  return answer and finish(answer)
end

local function record(run, asked, answer, attempts)
  local kept = { method = asked.method, target = asked.target, body = asked.body, headers = asked.headers or {},
    attempts = attempts, step = run.step, at_ms = run.host:now() }
  if answer then
    kept.status, kept.json, kept.raw, kept.answer_headers = answer.status, answer.json, answer.body, answer.headers
  end
  return kept
end

-- Patient clients come back when everything else has been worked off.
local function wait(client, attempts)
  if client.run.patient and attempts == 1 then client.app:drain() end
  client.run.host:pass(PAUSES[attempts])
end

local function insist(client, asked, first, attempts)
  local answer = first
  while not is_final(answer) and attempts <= #PAUSES do
    wait(client, attempts)
    answer, attempts = once(client, asked), attempts + 1
  end
  local kept = record(client.run, asked, is_final(answer) and answer or nil, attempts)
  if not kept.status then
    local last = answer and (" (the last one: %d %s)"):format(answer.status, answer.body) or ""
    client.run:problem("clients are answered",
      ("%s %s: no answer in %d attempts%s"):format(asked.method, asked.target, attempts, last))
  end
  return kept
end

---Asks until there is an answer other than 429 and 5xx, as real clients do; gives up after eight attempts (status nil).
---headers: a function is called for each attempt.
---@param method string
---@param target string
---@param body table|string|nil
---@param headers table<string, string>|(fun(body: string, now_ms: integer): table<string, string>)|nil
---@return perigee.chaos.Answer
function Client:request(method, target, body, headers)
  local asked = { method = method, target = target, body = body, headers = headers }
  local kept = insist(self, asked, once(self, asked), 1)
  table.insert(self.run.answers, kept)
  return kept
end

function Client:get(target, headers) return self:request("GET", target, nil, headers) end
function Client:post(target, body, headers) return self:request("POST", target, body, headers) end

---Several requests under way at the same time; each that gets no answer is asked again by itself.
---@param list { method: string, target: string, body: any, headers: any }[]
---@return perigee.chaos.Answer[]
function Client:together(list)
  local run, wires, out = self.run, {}, {}
  for i, asked in ipairs(list) do
    note(run, "ask", "%s%s", title(asked), i > 1 and " (at the same time)" or "")
    wires[i] = wire(self, asked)
  end
  local answers, err = run.host:requests(wires)
  if err and not died(err) then error(err, 0) end
  for i, asked in ipairs(list) do
    if answers[i] then finish(answers[i]) end
    hear(run, asked, answers[i] or nil, err)
  end
  revive(run)
  for i, asked in ipairs(list) do
    out[i] = insist(self, asked, answers[i] or nil, 1)
    table.insert(run.answers, out[i])
  end
  return out
end

---Sends every POST that was answered with 200 once more; the answers are in run.repetitions, each with `of`, the first one.
function Client:repeat_all()
  local run = self.run
  for _, first in ipairs(run.answers) do
    if first.method == "POST" and first.status == 200 then
      local again = insist(self, first, once(self, first), 1)
      again.of = first
      table.insert(run.repetitions, again)
    end
  end
end

-- ==== the application in a run ========================================================================================

-- Methods of the app that a flow sees; all others are those of perigee.testing.
local App = {}

local function drain_queues(run)
  for _ = 1, ROUNDS do
    local ok, err = run.host:drain(DRAIN_MS)
    if ok and not run.host:is_dead() then return true end
    if not ok and not died(err) then return run:problem("everything comes to rest", tostring(err)) end
    revive(run)
  end
  run:problem("everything comes to rest", "the process died again and again")
end

-- Has a schedule failed? It will be its turn again.
local function run_schedules(run)
  local again = false
  for _, name in ipairs(run.runner.schedules) do
    local ok, err = run.host:run_schedule(name)
    if not ok then
      again = true
      note(run, "schedule", "%s: %s", name, died(err) and "the process died" or tostring(err))
    end
    revive(run)
  end
  return again
end

---Everything that waits is worked off: queues until they are empty, then, a minute later, every schedule; again, until
---schedules find nothing to do.
function App:drain()
  local run = self.run
  note(run, "rest", "time passes; queues and schedules run until nothing is left to do")
  for _ = 1, ROUNDS do
    if not drain_queues(run) then return end
    run.host:pass(MINUTE)
    local before, deaths = run.host:writes(), run.deaths
    if not run_schedules(run) and run.host:writes() == before and run.deaths == deaths then return end
  end
  run:problem("everything comes to rest", ("schedules still found something to do after %d rounds"):format(ROUNDS))
end

---@param ms integer
function App:advance(ms) self.run.host:pass(ms) end

local function view(app, run)
  local own = { run = run }
  return setmetatable(own, { __index = function(_, name)
    if App[name] ~= nil then return App[name] end
    return app[name]
  end })
end

-- ==== tolerances ======================================================================================================

---How many effects of a declared tolerance the faults of this run explain: see perigee.chaos_plan.
---@param name string
---@return integer
function Run:allowed(name)
  if not self.calls then self.calls = self.host:calls() end
  return self.runner.declared.allowance(name, self.calls)
end

---Takes `n` effects of a tolerance, all in all no more than the faults explain. false: there are more, and that is wrong.
---@param name string
---@param n integer
---@return boolean
function Run:tolerate(name, n)
  local taken = (self.tolerated[name] or 0) + n
  if taken > self:allowed(name) then return false end
  self.tolerated[name] = taken
  return true
end

-- ==== runs ============================================================================================================

local Runner = {}
Runner.__index = Runner

local START = "chaos-start"

---@param app table of perigee.testing, simulated
---@param declared perigee.chaos.Declaration
---@param options { seed: integer? }?
function chaos_run.runner(app, declared, options)
  local host = app.host
  assert(host:snapshot(START))
  return setmetatable({ app = app, host = host, declared = declared, seed = (options or {}).seed or 1,
    schedules = host:schedules(), runs = 0 }, Runner)
end

local function guarded(run, name, fn, ...)
  local ok, why = xpcall(fn, function(e)
    return type(e) == "string" and e or tostring(e)
  end, ...)
  if not ok then run:problem(name, tostring(why)) end
  return ok
end

local function play(run, steps, app, client)
  for _, step in ipairs(steps) do
    run.step = step.name
    if #steps > 1 then note(run, "step", step.name) end
    if not guarded(run, "the flow goes through", step.fn, app, client, run) then break end
  end
  run.step = nil
  app:drain()
end

local function check(run, app)
  for _, invariant in ipairs(run.runner.declared.invariants) do
    guarded(run, invariant.name, function()
      local why = invariant.check(app, run)
      if why then run:problem(invariant.name, tostring(why)) end
    end)
  end
end

local function inject(runner, faults)
  local ids = {}
  for i, fault in ipairs(faults) do ids[i] = runner.host:fail(fault) end
  return ids
end

-- The first fault whose call was not reached. "twice" takes place at the end of its call: a death or a failing commit may come
-- before that.
local function missed(run, faults, ids)
  for i, id in ipairs(ids) do
    local cut_off = faults[i].at == "twice" and run.host:count() >= (faults[i].n or math.huge)
    if run.host:struck(id) == 0 and not cut_off then return faults[i] end
  end
end

---@class perigee.chaos.Outcome
---@field problems { name: string, why: string }[] empty: all invariants hold
---@field calls table[] as host:calls() tells them, until the faults ended
---@field all_calls table[] until the end
---@field events perigee.chaos.Event[]
---@field tolerated table<string, integer>
---@field missed table? a fault that never took place
---@field run perigee.chaos.Run

---@param flow perigee.chaos.Flow
---@param faults table[] what host:fail takes
---@param options { steps: table[]?, keep: boolean?, order: integer? }? steps: instead of the flow's; keep: params and results
---@return perigee.chaos.Outcome
function Runner:run(flow, faults, options)
  options = options or {}
  local host = self.host
  local run = setmetatable({ flow = flow.name, host = host, runner = self, answers = {}, repetitions = {}, events = {},
    problems = {}, tolerated = {}, deaths = 0 }, Run)
  run.patient = flow.patient
  local app = view(self.app, run)
  local client = setmetatable({ app = app, run = run }, Client)
  self.runs = self.runs + 1
  assert(host:restore(START))
  host:keep_calls(options.keep and true or "names")
  host:price(false)
  host:mark()
  host:shuffle(options.order or flow.order or 0)
  local ids = inject(self, faults)
  play(run, options.steps or flow.steps, app, client)
  run.missed, run.calls = missed(run, faults, ids), host:calls()
  host:forgive()
  if self.declared.afterwards then
    guarded(run, "the flow goes through", self.declared.afterwards, app, client, run)
    app:drain()
  end
  check(run, app)
  return { problems = run.problems, calls = run.calls, all_calls = options.keep and host:calls() or run.calls,
    events = run.events, tolerated = run.tolerated, missed = run.missed, run = run }
end

return chaos_run
