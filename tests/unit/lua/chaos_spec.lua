-- What perigee chaos thinks, without any host: declarations, points, deaths that are alike, tolerances, the smallest schedule.
local minimise = require "perigee.chaos_minimise"
local plan = require "perigee.chaos_plan"
local search = require "perigee.chaos_search"
local story = require "perigee.chaos_story"

local function nothing() end

-- Calls as host:calls() tells them: each alone and at once, unless told otherwise.
local function calls_of(list)
  local calls = {}
  for i, c in ipairs(list) do
    calls[i] = { n = i, begun = i, service = "dynamodb", action = "GetItem", function_name = "F", request_id = "r", effect = true,
      empty = false, write = false, began_ms = 0, ended_ms = 0 }
    for name, value in pairs(c) do calls[i][name] = value end
  end
  return calls
end

local READ, WRITE = {}, { action = "PutItem", write = true }
local function with(base, more)
  local out = {}
  for k, v in pairs(base) do out[k] = v end
  for k, v in pairs(more) do out[k] = v end
  return out
end

local function kinds_at(points, n)
  local kinds = {}
  for _, point in ipairs(points) do
    if point.n == n then kinds[#kinds + 1] = point.kind end
  end
  return table.concat(kinds, " ")
end

-- "1b=1a": the death before call 2 needs no run, since that after call 1 is the same.
local function alike(calls, events)
  local list = {}
  for _, point in ipairs(plan.points(calls, events or {}, 0)) do
    if point.like then list[#list + 1] = ("%s %d = %s %d"):format(point.kind, point.n, point.like.kind, point.like.n) end
  end
  return list
end

describe("a declaration", function()
  local function declared(t) return plan.declaration("x.lua", t) end
  local INVARIANTS = { { name = "i", check = nothing } }

  it("has its flows by name, each as a list of steps", function()
    local d = declared { flows = { b = nothing, a = { { "one", nothing }, nothing, interleavings = 3 } }, invariants = INVARIANTS }
    assert.same({ "a", "b" }, { d.flows[1].name, d.flows[2].name })
    assert.same({ "one", "step 2", 3 }, { d.flows[1].steps[1].name, d.flows[1].steps[2].name, d.flows[1].interleavings })
    assert.same({ "b", 1 }, { d.flows[2].steps[1].name, d.flows[2].interleavings })
  end)

  for _, case in ipairs {
    { "must return a table", nil }, { "'flow' is not known", { flow = {} } }, { "flows is missing", { invariants = INVARIANTS } },
    { "there are no invariants", { flows = { a = nothing }, invariants = {} } },
    { "there are no flows", { flows = {}, invariants = INVARIANTS } },
    { "flows.a: neither a function nor a list", { flows = { a = 1 }, invariants = INVARIANTS } },
    { "flows.a: step 1 is not", { flows = { a = { {} } }, invariants = INVARIANTS } },
    { "flows.a has no steps", { flows = { a = {} }, invariants = INVARIANTS } },
    { "flows.a.interleavings must be", { flows = { a = { nothing, interleavings = 0 } }, invariants = INVARIANTS } },
    { "flows.a.patient must be", { flows = { a = { nothing, patient = "very" } }, invariants = INVARIANTS } },
    { "invariants%[1%].check must be a function", { flows = { a = nothing }, invariants = { { name = "x" } } } },
    { "invariants: 'i' is there twice", { flows = { a = nothing }, invariants = { INVARIANTS[1], INVARIANTS[1] } } },
    { "tolerated%[1%].reason must be a string", { flows = { a = nothing }, invariants = INVARIANTS, tolerated = { { name = "t", effect = "s:A" } } } },
    { "tolerated%[1%].effect must be service:Operation",
      { flows = { a = nothing }, invariants = INVARIANTS, tolerated = { { name = "t", effect = "A", reason = "r" } } } },
    { "clock must be a number", { clock = "now", flows = { a = nothing }, invariants = INVARIANTS } },
  } do
    it("is refused: " .. case[1], function()
      local ok, err = pcall(declared, case[2])
      assert.is_false(ok)
      assert.matches("^x.lua: ", err.usage)
      assert.matches(case[1], err.usage)
    end)
  end
end)

describe("the points of a run", function()
  it("are what can happen to each call", function()
    local points = plan.points(calls_of { READ, WRITE, { service = "sqs", action = "ReceiveMessage", write = true } }, {}, 0)
    assert.equal("before after refused lost late hangs", kinds_at(points, 1))
    assert.equal("before after refused lost late hangs stalls commit", kinds_at(points, 2))
    assert.equal("before after refused lost late hangs stalls commit twice", kinds_at(points, 3))
  end)

  it("leave polls alone that found nothing", function()
    local poll = { service = "sqs", action = "ReceiveMessage", write = true }
    assert.same({}, plan.points(calls_of { with(poll, { empty = true }), with(poll, { effect = false }) }, {}, 0))
  end)

  it("are those after a call, and those of a function, when asked", function()
    local calls = calls_of { READ, { function_name = "G" }, READ }
    assert.equal("", kinds_at(plan.points(calls, {}, 2), 2))
    assert.not_equal("", kinds_at(plan.points(calls, {}, 2), 3))
    assert.equal("", kinds_at(plan.points(calls, {}, 0, { F = true }), 2))
  end)

  it("name a fault as the n-th of its like", function()
    local calls = calls_of { with(WRITE, { resource = "T" }), with(WRITE, { resource = "U" }), with(WRITE, { resource = "T" }) }
    local point = plan.points(calls, {}, 2)[2]
    assert.same({ at = "after", match = "dynamodb:PutItem", function_name = "F", resource = "T", nth = 2 }, plan.fault(calls, point))
    calls[3].resource = "T,U"
    assert.same({ at = "after", match = "dynamodb:PutItem", function_name = "F", nth = 3 }, plan.fault(calls, point))
  end)
end)

describe("deaths are alike", function()
  it("when only reads lie between", function()
    assert.same({ "after 1 = before 1", "before 2 = before 1", "after 2 = before 1" }, alike(calls_of { READ, READ }))
  end)

  it("before the next call and after a write, but not before and after a write", function()
    assert.same({ "before 2 = after 1" }, alike(calls_of { WRITE, WRITE }))
  end)

  it("before and after a write that failed", function()
    assert.same({ "after 1 = before 1" }, alike(calls_of { with(WRITE, { effect = false }) }))
  end)

  it("unless time passes", function()
    assert.same({}, alike(calls_of { with(WRITE, { ended_ms = 1 }), with(WRITE, { began_ms = 2, ended_ms = 2 }) }))
    assert.same({}, alike(calls_of { { ended_ms = 1 } }))
  end)

  it("unless another call was begun meanwhile", function()
    assert.same({}, alike(calls_of { with(WRITE, { begun = 2 }), with(WRITE, { begun = 2 }) }))
    assert.same({}, alike(calls_of { { begun = 2 } }))
  end)

  it("unless a write is out, whenever it takes place", function()
    assert.same({}, alike(calls_of { with(WRITE, { begun = 3 }), READ, READ }))
  end)

  it("unless a client was told something", function()
    local told = { { at = 0, kind = "ask" }, { at = 1, kind = "answer" }, { at = 1, kind = "ask" }, { at = 2, kind = "answer" } }
    assert.same({}, alike(calls_of { WRITE, WRITE }, told))
  end)

  it("unless a client may have been told something, in the middle of a request", function()
    assert.same({}, alike(calls_of { WRITE, WRITE }, { { at = 0, kind = "ask" }, { at = 2, kind = "answer" } }))
    assert.same({ "after 1 = before 1" }, alike(calls_of { READ }, { { at = 0, kind = "ask" }, { at = 1, kind = "answer" } }))
    local two = { { at = 0, kind = "ask" }, { at = 0, kind = "ask" }, { at = 1, kind = "answer" }, { at = 1, kind = "answer" } }
    assert.same({}, alike(calls_of { READ }, two))
  end)
end)

describe("a tolerance", function()
  local MAIL = { effect = "ses:SendEmail", marker = "dynamodb:UpdateItem", resource = "Marks" }
  local SEND = { service = "ses", action = "SendEmail", write = true }
  local MARK = { action = "UpdateItem", resource = "Marks", write = true }
  local function allowed(list) return plan.allowance(MAIL, calls_of(list)) end

  it("is nothing without a fault, whatever is missing", function() assert.equal(0, allowed { SEND, READ }) end)

  it("is one for a death between effect and marker", function()
    assert.equal(1, allowed { with(SEND, { fault = "after" }) })
    assert.equal(1, allowed { SEND, with(MARK, { fault = "before", effect = false }) })
    assert.equal(1, allowed { SEND, with(READ, { fault = "after", request_id = "other" }) })
    assert.equal(2, allowed { SEND, with(SEND, { request_id = "other" }), with(READ, { fault = "before", request_id = "third" }) })
    assert.equal(1, allowed { with(READ, { fault = "after", begun = 2 }), with(SEND, { request_id = "other" }) })
  end)

  it("is nothing for a death before the effect, or after the marker", function()
    assert.equal(0, allowed { with(SEND, { fault = "before", effect = false }) })
    assert.equal(0, allowed { SEND, with(MARK, { fault = "after" }) })
    assert.equal(0, allowed { SEND, MARK, with(READ, { fault = "before" }) })
    assert.equal(0, allowed { with(READ, { fault = "before" }), SEND })
  end)

  it("is one for an effect whose answer is lost or never comes, and nothing for one that is refused", function()
    assert.equal(1, allowed { with(SEND, { fault = "lost" }) })
    assert.equal(1, allowed { with(SEND, { fault = "stalls" }) })
    assert.equal(0, allowed { with(SEND, { fault = "refused", effect = false }) })
    assert.equal(0, allowed { with(SEND, { fault = "late" }), MARK })
  end)

  it("is one for a marker that hangs after the effect of its request", function()
    assert.equal(1, allowed { SEND, with(MARK, { fault = "hangs", effect = false }) })
    assert.equal(0, allowed { SEND, with(MARK, { fault = "hangs", effect = false, request_id = "other" }) })
    assert.equal(0, allowed { SEND, with(MARK, { fault = "hangs", effect = false, resource = "Other" }) })
    assert.equal(0, allowed { SEND, with(MARK, { fault = "stalls" }) })
  end)
end)

describe("a sample", function()
  local list = {}
  for i = 1, 100 do list[i] = i end

  it("is the seed's, in order, without repetition, of the size that was asked for", function()
    local some = plan.sample(list, 20, 7)
    assert.same(some, plan.sample(list, 20, 7))
    assert.not_same(some, plan.sample(list, 20, 8))
    assert.equal(20, #some)
    for i = 2, #some do assert.is_true(some[i] > some[i - 1]) end
  end)

  it("is everything when there is no more", function() assert.equal(list, plan.sample(list, 100, 1)) end)
end)

describe("the smallest schedule", function()
  local function steps(...)
    local out = {}
    for i, name in ipairs { ... } do out[i] = { name = name, fn = nothing } end
    return out
  end
  local function fault(at, nth, match) return { at = at, nth = nth, match = match or "sqs:SendMessage" } end

  it("has no fault and no step that is not needed", function()
    local small = minimise.smallest({ steps = steps("a", "b", "c"), faults = { fault("lost", 1), fault("before", 1, "s3:PutObject") } },
      function(s)
        local b, put = false, false
        for _, step in ipairs(s.steps) do b = b or step.name == "b" end
        for _, f in ipairs(s.faults) do put = put or f.match == "s3:PutObject" end
        return b and put
      end)
    assert.same({ "b", 1, "s3:PutObject" }, { small.steps[1].name, #small.steps, small.faults[1].match })
    assert.equal(1, #small.faults)
  end)

  it("has the simplest kind at the earliest call", function()
    local small = minimise.smallest({ steps = steps "a", faults = { fault("stalls", 5) } }, function(s)
      return s.faults[1].at ~= "before" and s.faults[1].nth >= 3
    end)
    assert.same({ "after", 3 }, { small.faults[1].at, small.faults[1].nth })
  end)

  it("keeps the last fault and the last step", function()
    local small = minimise.smallest({ steps = steps("a", "b"), faults = { fault("before", 1) } }, function() return true end)
    assert.same({ 1, 1 }, { #small.steps, #small.faults })
  end)
end)

describe("what shares tell", function()
  local function violation(more)
    return { violation = with({ flow = "f", invariant = "i", why = "w", order = 0, n = { 5 }, faults = { { at = "lost" } } }, more) }
  end

  it("comes to one violation for each flow and invariant: the one with fewest faults, at the earliest call, of the simplest kind", function()
    local g = search.gather(2)
    g:hear(1, violation { n = { 1, 2 }, faults = { { at = "before" }, { at = "before" } } })
    g:hear(2, violation {})
    g:hear(1, violation { n = { 4 } })
    g:hear(2, violation { n = { 4 }, faults = { { at = "after" } }, why = "smallest" })
    g:hear(2, violation { invariant = "other" })
    local list = g:list()
    assert.equal(2, #list)
    assert.same({ "smallest", 4 }, { list[1].why, list[1].count })
    assert.equal(5, g:sums().violations)
  end)

  it("is added up", function()
    local g = search.gather(2)
    g:hear(1, { progress = true, done = 1, of = 4, points = 10, runs = 7 })
    g:hear(2, { progress = true, done = 1, of = 3, points = 1, runs = 1 })
    g:hear(1, { progress = true, done = 2, of = 4, points = 20, runs = 14 })
    g:hear(1, { tolerated = { t = 2 }, runs_tolerated = 2 })
    g:hear(2, { tolerated = { t = 1 }, runs_tolerated = 1 })
    assert.same({ done = 3, of = 7, points = 21, runs = 15, violations = 0 }, g:sums())
    assert.same({ { t = 3 }, 3 }, { g.tolerated, g.runs_tolerated })
  end)
end)

describe("a story", function()
  local VIOLATION = { flow = "f", invariant = "one \"order\"", why = "there are 2", order = 0, steps = { "a\nb" }, count = 1,
    faults = { { at = "after", match = "dynamodb:PutItem", function_name = "F", nth = 2, resource = "T" } } }
  local function keys() return { "id" } end

  it("tells calls and clients in order, the cut, the rest and the reason", function()
    local calls = calls_of { with(WRITE, { resource = "T", params = { TableName = "T", Item = { id = { S = "o-1" } } }, fault = "after",
        error = { code = "RequestAborted" } }),
      with(READ, { resource = "T", params = { TableName = "T", Key = { id = "o-1" } }, error = { code = "Oops" } }) }
    local events = { { at = 0, kind = "ask", text = "POST /x" }, { at = 1, kind = "silence", text = "POST /x: no answer" },
      { at = 1, kind = "start", text = "again" } }
    local text = table.concat(story.tell(VIOLATION, { all_calls = calls, events = events }, { "T id=o-1" }, keys), "\n")
    assert.matches("1  client +POST /x\n +2  F +dynamodb:PutItem T o%-1\n +%^^ the process is killed here.-"
      .. "3  client +<%- POST /x: no answer\n +4  process +again\n +5  F +dynamodb:GetItem T o%-1 %-> Oops", text)
    assert.matches("when the process dies after the 2nd dynamodb:PutItem of F %(T%)", text)
    assert.matches("what is left:\n +T id=o%-1\n", text)
    assert.matches("there are 2$", text)
  end)

  it("counts lines that are repeated, and leaves out polls that found nothing", function()
    local poll = { service = "sqs", action = "ReceiveMessage", write = true, empty = true }
    local lines = story.tell(VIOLATION, { all_calls = calls_of { READ, READ, poll, READ }, events = {} }, {}, keys)
    assert.matches("dynamodb:GetItem +%(3 times%)", table.concat(lines, "\n"))
    assert.not_matches("ReceiveMessage", table.concat(lines, "\n"))
  end)

  it("counts as people do", function()
    local names = {}
    for i, n in ipairs { 1, 2, 3, 4, 11, 12, 13, 21, 112, 123 } do
      names[i] = story.fault({ at = "late", match = "s3:PutObject", nth = n }):match "the (%w+)"
    end
    assert.same({ "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th", "123rd" }, names)
  end)

  it("becomes a spec that is Lua, whatever its texts hold", function()
    local text = story.spec(VIOLATION, { "line", "", "]] --[[ end" }, { template = "a \"b\".yaml", invariants = "i.lua",
      parameters = { ["Na-me"] = "v\n" }, seed = 3, lua_dir = "l" })
    local given
    local function run(_, fn) fn() end
    local chunk = assert(load(text, "spec", "t", { describe = run, it = run, assert = { same = nothing },
      require = function() return { replay = function(how) given = how return {} end } end }))
    chunk()
    assert.same({ template = "a \"b\".yaml", invariants = "i.lua", lua_dir = "l", parameters = { ["Na-me"] = "v\n" }, seed = 3, flow = "f",
      order = 0, steps = { "a\nb" }, faults = VIOLATION.faults }, given)
  end)
end)
