require "unit.lua.plain"
local json = require "perigee.json"
local testing = require "perigee.testing"
local notes = require "unit.lua.testing_app"

describe("perigee.testing", function()
  local template = notes(_ENV)
  local app

  local function open(options)
    options = options or {}
    options.template = template
    return testing.app(options)
  end

  before_each(function() app = open() end)
  after_each(function() app:close() end)

  local function take(note)
    local answer = app:post("/notes", note)
    assert.equal(200, answer.status, answer.body)
    return answer
  end

  local function raises(text, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok, "nothing was raised")
    assert.matches(text, tostring(err), 1, true)
  end

  describe("an app", function()
    it("is fresh each time, and always the same", function()
      local first = take { id = "a" }.headers["x-request-id"]
      app:close()
      app = open()
      assert.equal(first, take({ id = "b" }).headers["x-request-id"])
      assert.equal(1, app.dynamodb:count "Notes")
      local other <close> = open { seed = 2 }
      assert.not_equal(first, other:post("/notes", { id = "a" }).headers["x-request-id"])
    end)

    it("takes parameters of the template", function()
      local other <close> = open { parameters = { Greeting = "Moin" } }
      assert.equal("Moin", other:post("/notes", { id = "a" }).json.greeting)
    end)

    it("refuses options by name", function()
      raises("testing.app knows no option 'colour'", open, { colour = "red" })
      raises("testing.app: parameters must be a table, not a string", open, { parameters = "A=b" })
      raises("'yesterday' is no point in time", open, { clock = "yesterday" })
      raises("app:request knows no option 'boddy'", app.request, app, "GET", "/", { boddy = "" })
      raises("app:drain knows no option 'until'", app.drain, app, { ["until"] = 1 })
      raises("app:fail knows no option 'when'", app.fail, app, "sqs:SendMessage", { when = 1 })
    end)

    it("takes changed handlers in use, and keeps those it has when they do not load", function()
      local path = template:gsub("template.yaml$", "notes.lua")
      local f = assert(io.open(path))
      local text = f:read "a"
      f:close()
      local function write(changed)
        local out <close> = assert(io.open(path, "w"))
        out:write(changed)
      end
      write((text:gsub('os.getenv "GREETING"', '"changed"')))
      assert.equal("Hello", take({ id = "a" }).json.greeting)
      app:reload()
      assert.equal("changed", take({ id = "b" }).json.greeting)
      write "return {"
      raises("notes.lua", app.reload, app)
      assert.equal("changed", take({ id = "c" }).json.greeting)
      write(text)
    end)

    it("says so when it is closed", function()
      app:close()
      raises("this app is closed", app.get, app, "/")
      app:close()
    end)

    it("lives in real time, with threads, where clock = false", function()
      local real <close> = open { clock = false }
      assert.is_true(math.abs(real.clock:now() // 1000 - os.time()) < 60)
      assert.equal(200, real:post("/notes", { id = "a" }).status)
      assert.same({ "Work: 1 visible, 0 in flight, 0 delayed" }, real:left())
      raises("simulated", real.snapshot, real)
      real:drain()
      assert.equal("DONE", real.dynamodb:get("Notes", "a").status)
    end)

    it("keeps its data over a restart where it has a directory, and refuses one where not", function()
      local dir = os.tmpname()
      os.remove(dir)
      local durable <close> = open { data = dir }
      durable:post("/notes", { id = "a" })
      durable:advance "1h"
      durable:restart()
      assert.equal("TAKEN", durable.dynamodb:get("Notes", "a").status)
      assert.equal("2026-01-01T01:00:00.000Z", durable.clock:iso())
      assert.equal(1, durable:post("/notes", { id = "b" }).json.heard)
      os.execute("rm -rf " .. dir)
      raises("memory forgets", app.restart, app)
    end)
  end)

  describe("a request", function()
    it("carries body, headers, query and address", function()
      local answer = app:request("PATCH", "/notes/a", { query = { b = "x y&", a = 1 }, remote_ip = "192.0.2.7" })
      assert.equal(404, answer.status)
      assert.same({ method = "PATCH", query = { a = "1", b = "x y&" }, ip = "192.0.2.7" }, answer.json)
      assert.equal("PUT", app:put("/notes/a", "x").json.method)
      assert.equal("DELETE", app:delete("/notes/a").json.method)
    end)

    it("can be one of several at once, whose answers come in their order", function()
      local answers = app:requests { { "POST", "/notes", { body = { id = "a" } } }, { "GET", "/notes/b" }, { "POST", "/notes", { body = { id = "c" } } } }
      assert.same({ 200, 404, 200 }, { answers[1].status, answers[2].status, answers[3].status })
      assert.equal("c", answers[3].json.id)
      assert.calls(2, nil, answers[1])
      raises("in app:cost()", function() return answers[1].cost end)
      app:fail("sqs:SendMessage", { at = "before", nth = 2 })
      local err
      answers, err = app:requests { { "POST", "/notes", { body = { id = "d" } } }, { "POST", "/notes", { body = { id = "e" } } } }
      assert.equal("ProcessDied", err.code)
      assert.is_nil(answers[2])
      app:crash()
    end)

    it("tells what it called and cost, also after its answer", function()
      local answer = take { id = "a", later = true }
      local names = {}
      for i, call in ipairs(answer.calls) do names[i] = call.service .. ":" .. call.action end
      assert.same({ "dynamodb:PutItem", "sqs:SendMessage", "dynamodb:PutItem" }, names)
      assert.equal("Take", answer.calls[1].function_name)
      assert.equal("Notes", answer.calls[1].resource)
      assert.equal("a-later", answer.calls[3].params.Item.id.S)
      assert.equal(1, answer.cost.sqs)
      assert.equal(0, answer.cost.rcu)
      assert.is_true(answer.cost.wcu >= 2)
      assert.equal(1, answer.cost.runs)
      assert.equal(answer.cost.billed_ms * 0.5, answer.cost.gb_ms)
      app:drain()
      assert.equal(3, #answer.calls, "what others do is not its")
      assert.equal(#app:calls(), app:cost().calls)
      app:fail("sqs:SendMessage", { at = "hangs" })
      assert.is_true(app:post("/notes", { id = "b" }).cost.billed_ms >= 10000, "a wait is billed")
    end)
  end)

  describe("the clock", function()
    it("stands still, moves as told, and is the handlers' too", function()
      assert.equal("2026-01-01T00:00:00.000Z", app.clock:iso())
      app.clock:advance "1h30m"
      app.clock:advance(250)
      assert.equal("2026-01-01T01:30:00.250Z", app.clock:iso())
      take { id = "a" }
      assert.equal(app.clock:now() // 1000, app.dynamodb:get("Notes", "a").at)
      raises("time passes forwards", app.clock.advance, app.clock, -1)
      raises("'5 apples' is no length of time", app.clock.advance, app.clock, "5 apples")
    end)

    it("begins when told, and can be put to any time", function()
      local other <close> = open { clock = "2030-05-06T07:08:09Z" }
      assert.equal("2030-05-06T07:08:09.000Z", other.clock:iso())
      other.clock:set "2029-01-01T00:00:00Z"
      assert.equal("2029-01-01T00:00:00.000Z", other.clock:iso())
      assert.equal(200, other:post("/notes", { id = "a" }).status)
      other:drain()
      assert.equal("DONE", other.dynamodb:get("Notes", "a").status)
    end)

    it("frozen, is the same whatever had to wait", function()
      app.clock:freeze "2026-03-01T00:00:00Z"
      app:send("Work", { id = "a" }, nil, { delay = 600 })
      app:drain()
      assert.equal("DONE", app.dynamodb:get("Notes", "a").status)
      assert.equal("2026-03-01T00:00:00.000Z", app.clock:iso())
      app.clock:advance "1s"
      local frozen = app.clock:iso()
      app:send("Work", { id = "b", bad = true })
      app:drain() -- the dead letter came minutes later
      assert.equal("b", app.queues.Dead:peek()[1].json.id)
      assert.equal(frozen, app.clock:iso())
      assert.equal(1, #app.queues.Dead:receive())
      assert.equal(0, app.queues.Dead:count())
      assert.equal(frozen, app.clock:iso())
      app.clock:freeze(false)
      app:send("Work", { id = "a" }, nil, { delay = 600 })
      app:drain()
      assert.equal("2026-03-01T00:10:01.000Z", app.clock:iso())
    end)
  end)

  describe("draining", function()
    it("runs queues with their delays and retries, to the dead letters", function()
      app:send("Work", { id = "a" }, { color = "red" }, { delay = 30 })
      app:send("Work", { bad = true })
      app:drain()
      assert.equal("DONE", app.dynamodb:get("Notes", "a").status)
      assert.equal(0, app.queues:count "Work")
      assert.equal(1, app.queues.Dead:count())
    end)

    it("runs schedules until they change nothing", function()
      app.dynamodb:put("Notes", { id = "late" })
      app:drain()
      assert.equal("SWEPT", app.dynamodb:get("Notes", "late").status)
    end)

    it("leaves schedules out when asked to", function()
      app.dynamodb:put("Notes", { id = "late" })
      local sweeps = app:spy { function_name = "Sweep" }
      app:drain { schedules = false }
      app:drain { without = { "SweepClock" } }
      app:drain { schedules = {} }
      assert.equal(0, sweeps:count())
      app:drain { schedules = { "SweepClock" } }
      assert.equal("SWEPT", app.dynamodb:get("Notes", "late").status)
      raises("there is no schedule Sweeep (but SweepClock)", app.drain, app, { schedules = { "Sweeep" } })
    end)

    it("refuses schedules that there are not", function()
      raises("schedules is a list of schedules, not a string", app.drain, app, { schedules = "SweepClock" })
      raises("schedules is a list of schedules, not a boolean", app.drain, app, { schedules = true })
      raises("there is no schedule Swep (but SweepClock)", app.drain, app, { without = { "Swep" } })
      raises("no schedule or scheduled function named 'Swep'", app.schedule, app, "Swep")
      assert.is_true(app:schedule "Sweep")
    end)

    it("lets time pass before schedules when asked to", function()
      app:drain { wait = "5m" }
      assert.equal("2026-01-01T00:05:00.000Z", app.clock:iso())
    end)

    it("that does not end says which schedule goes on", function()
      app.dynamodb:put("Notes", { id = "noisy", n = 1 })
      raises("schedules change something each time they run", app.drain, app)
      app.dynamodb:delete("Notes", "noisy")
      app.dynamodb:put("Notes", { id = "broken" })
      raises("the broom is broken", app.drain, app)
    end)

    it("that does not end says which queue holds what, and the last errors", function()
      app:send("Work", { id = "a" })
      app:fail("s3:PutObject", { times = -1, code = "SlowDown" })
      app:send("Work", { id = "later" }, nil, { delay = 900 })
      local ok, err = pcall(app.drain, app, "30s")
      assert.is_false(ok)
      assert.matches('Dead: 1 visible, 0 in flight, 0 delayed\n    received 3 times: {"id":"a"}', err, 1, true)
      assert.matches("Work: 0 visible, 0 in flight, 1 delayed", err, 1, true)
      assert.matches("s3:PutObject on files by Worker -> SlowDown (refused)", err, 1, true)
    end)

    it("tells what is left, dead letters and events of an outbox too", function()
      assert.same({}, app:left())
      app:send("Work", { id = "a" })
      assert.same({ "Work: 1 visible, 0 in flight, 0 delayed", '  received 0 times: {"id":"a"}' }, app:left())
      assert.equal(0, app.queues:peek("Work")[1].receive_count)
    end)

    it("in another order, by a seed, comes to the same end", function()
      for seed = 1, 5 do
        app:shuffle(seed)
        for i = 1, 6 do app:send("Work", { id = "n" .. i }) end
        app:drain()
        assert.equal(6, app.dynamodb:count("Notes", { status = "DONE" }))
      end
    end)
  end)

  describe("the views", function()
    it("know tables by logical and physical names, with and without sort keys and indexes", function()
      app.dynamodb:put("Parts", { id = "a", n = 2 })
      app.dynamodb:put("note-parts", { id = "a", n = 10, text = "x" })
      app.dynamodb:put("Parts", { id = "b", n = 1 })
      assert.equal("x", app.dynamodb:get("Parts", { id = "a", n = 10 }).text)
      assert.is_nil(app.dynamodb:get("Parts", { id = "a", n = 3 }))
      assert.same({ { id = "a", n = 2 }, { id = "a", n = 10, text = "x" } }, app.dynamodb:query("Parts", "a"))
      assert.equal(10, app.dynamodb:query("Parts", "a", { backwards = true })[1].n)
      assert.equal(3, app.dynamodb:count "Parts")
      app.dynamodb:put("Notes", { id = "a", owner = "o" })
      assert.equal("a", app.dynamodb:query("Notes", "o", { index = "by_owner" })[1].id)
      app.dynamodb:delete("Notes", "a")
      assert.is_nil(app.dynamodb:get("Notes", "a"))
      raises("table note-parts has no index x", app.dynamodb.query, app.dynamodb, "note-parts", "a", { index = "x" })
      raises("(the template declares tables Notes, Parts)", app.dynamodb.scan, app.dynamodb, "Nots")
    end)

    it("know objects", function()
      app.s3:put("Files", "a.txt", "text", { ContentType = "text/plain", Metadata = { by = "me" } })
      local bytes, object = app.s3:get("files", "a.txt")
      assert.equal("text", bytes)
      assert.equal("me", object.Metadata.by)
      app.s3:put("Files", "b/c.txt", "")
      assert.same({ "a.txt", "b/c.txt" }, app.s3:keys "Files")
      assert.same({ "b/c.txt" }, app.s3:keys("Files", "b/"))
      assert.equal("", (app.s3:get("Files", "b/c.txt")))
      app.s3:delete("Files", "a.txt")
      assert.is_nil((app.s3:get("Files", "a.txt")))
      raises("(the template declares buckets Files)", app.s3.keys, app.s3, "filez")
    end)

    it("know queues, also by their names", function()
      local id = app.queues.Work:send({ id = "a" }, { color = "red", size = 3 })
      app:send("Work", "not json", nil, { delay = 10 })
      assert.same({ visible = 1, in_flight = 0, delayed = 1 }, app.queues:counts "Work")
      local seen = app.queues.Work:peek()
      assert.same({ id, "red", "3", "a", 0 }, { seen[1].id, seen[1].attributes.color, seen[1].attributes.size, seen[1].json.id,
        seen[1].receive_count })
      app.clock:advance "10s"
      local taken = app.queues:receive "Work"
      assert.equal(2, #taken)
      assert.equal(0, app.queues.Work:count())
      assert.is_nil(taken[2].json or taken[1].json and nil)
      raises("the template declares no queue Wrok (but", function() return app.queues.Wrok end)
      raises("queues:send knows no option color", app.send, app, "Work", "", nil, { color = 1 })
    end)

    it("see and empty the whole of a queue: FIFO groups, what is delayed, what is in flight", function()
      for i = 1, 15 do app:send("Rows", { i = i }, nil, { group = "g", deduplication = "d" .. i }) end
      local peeked = app.queues.Rows:peek()
      assert.same({ 15, 1, 15, 0 }, { #peeked, peeked[1].json.i, peeked[15].json.i, peeked[15].receive_count })
      assert.equal(15, app.queues.Rows:count())
      app.queues.Rows:purge()
      app:send("Rows", { i = 16 }, nil, { group = "g", deduplication = "d16" })
      app.queues.Rows:purge() -- once more in the same minute
      assert.equal(0, app.queues.Rows:count())
      app:send("Dead", "later", nil, { delay = 60 })
      app.queues.Dead:purge()
      assert.equal(0, app.queues.Dead:count())
    end)

    it("refuse what they do not know, and compare documents by what is in them", function()
      raises("knows no option 'indx'", app.dynamodb.query, app.dynamodb, "Notes", "x", { indx = "by_owner" })
      raises("what items have is a table", app.dynamodb.count, app.dynamodb, "Notes", "x")
      app.dynamodb:put("Notes", { id = "a", at = { x = 1, y = { 2, 3 } } })
      assert.equal(1, app.dynamodb:count("Notes", { at = { x = 1, y = { 2, 3 } } }))
      assert.equal(0, app.dynamodb:count("Notes", { at = { x = 1, y = { 2 } } }))
      assert.equal(0, app.dynamodb:count("Notes", { at = { x = 1 } }))
    end)

    it("read mail as people do", function()
      app:send("Work", { id = "a", mail = "Ada@example.org" })
      app:drain()
      local mail = app.mailbox:last()
      assert.equal(1, app.mailbox:count())
      assert.equal("Note a é", mail.Subject)
      assert.equal("notes@example.org", mail.Source)
      assert.matches("It is done.", mail.text, 1, true)
      assert.equal(1, #app.mailbox:to "ada@EXAMPLE.org")
      assert.equal(0, #app.mailbox:to "bob@example.org")
    end)
  end)

  describe("spies", function()
    it("see what is called from then on, by any filter", function()
      take { id = "before" }
      local all, puts, sent = app:spy(), app:spy "dynamodb:Put*", app:spy "sqs:SendMessage"
      local notes_of = app:spy(function(call) return call.resource == "Notes" end)
      take { id = "a" }
      assert.same({ 2, 1, 1, 1 }, { all:count(), puts:count(), sent:count(), notes_of:count() })
      assert.equal("a", json.decode(sent:last().params.MessageBody).id)
      sent:reset()
      assert.equal(0, sent:count())
      assert.is_nil(sent:last())
      assert.equal(2, #app:calls "sqs")
      assert.equal(2, #app:calls { function_name = "Take", match = "sqs:*", write = true, failed = false })
      raises("a filter of calls knows no member 'fn'", app.calls, app, { fn = "x" })
    end)

    it("refuse filters that no call can meet: what finds nothing by mistake passes for nothing", function()
      for _, text in ipairs { "dynamo", "dynamodb:PutItm", "sqs:Snd*", "x*:PutItem", "" } do
        raises(("no AWS call is '%s'"):format(text), app.calls, app, text)
        raises("no AWS call is", app.spy, app, { match = text })
      end
      for _, text in ipairs { "*", "kms", "kms:Encrypt", "s*:*", "s3:ListObjectsV2", "dynamodb:*Item" } do assert.same({}, app:calls(text)) end
      raises("the template has no function 'Tak' (but ", app.calls, app, { function_name = "Tak" })
      raises("there is no table, queue or bucket 'Note'", app.calls, app, { resource = "Note" })
      raises("a filter of calls is text, a table or a function, not a number", app.spy, app, 5)
      raises("a filter's match is text", app.spy, app, { match = 5 })
    end)

    it("know resources by logical and physical names, also of calls of several", function()
      app:post("/parts", { id = "a" })
      assert.equal(1, #app:calls { resource = "Parts" })
      assert.equal(1, #app:calls { resource = "note-parts" })
      assert.equal(1, #app:calls { resource = "Notes" })
    end)

    it("go on over a restart", function()
      local data = os.tmpname()
      os.remove(data)
      finally(function() os.execute("rm -r " .. data) end)
      app:close()
      app = open { data = data }
      take { id = "a" }
      local spy, fault = app:spy "sqs:SendMessage", app:fail("sqs:SendMessage", {})
      assert.equal(500, app:post("/notes", { id = "b" }).status)
      app:restart()
      take { id = "c" }
      assert.equal(1, spy:count())
      assert.equal(1, fault:struck())
    end)

    it("do not see what tests do", function()
      app.dynamodb:put("Notes", { id = "a" })
      app:send("Work", { id = "a" })
      assert.equal(0, #app:calls())
    end)
  end)

  describe("faults", function()
    it("refuse a call: it does not happen", function()
      local fault = app:fail("sqs:SendMessage", { code = "AccessDenied", message = "no", nth = 2 })
      take { id = "a" }
      assert.equal(500, app:post("/notes", { id = "b" }).status)
      take { id = "c" }
      assert.equal(1, fault:struck())
      assert.equal(2, app.queues.Work:count())
    end)

    it("lose its answer: it did happen", function()
      app:fail("sqs:SendMessage", { at = "lost" })
      assert.equal(500, app:post("/notes", { id = "a" }).status)
      assert.equal(1, app.queues.Work:count())
      assert.equal("RequestTimeout", app:calls("sqs")[1].error.code)
      assert.is_true(app:calls("sqs")[1].effect)
    end)

    it("let it hang until the function's time is up", function()
      app:fail("sqs:SendMessage", { at = "stalls" })
      local before = app.clock:now()
      assert.is_true(app:post("/notes", { id = "a" }).status >= 500)
      assert.equal(10000, app.clock:now() - before)
      assert.equal(1, app.queues.Work:count())
    end)

    it("of a whole service, of one function, of one table, as long as wanted", function()
      local all = app:fail("dynamodb", { times = -1 })
      assert.equal(500, app:post("/notes", { id = "a" }).status)
      assert.equal(500, app:get("/notes/a").status)
      all:forgive()
      app:fail("dynamodb:*", { times = -1, function_name = "Show" })
      app:fail("dynamodb:*", { times = -1, resource = "Parts" })
      take { id = "a" }
      assert.equal(500, app:get("/notes/a").status)
      app:forgive()
      assert.equal(200, app:get("/notes/a").status)
      raises("there is no fault \"sometimes\"", app.fail, app, "sqs:SendMessage", { at = "sometimes" })
      raises("SendMail", app.fail, app, "sqs:SendMail")
      raises("has no function 'Shw'", app.fail, app, "dynamodb", { function_name = "Shw" })
      raises("there is no table, queue or bucket 'Note'", app.fail, app, "dynamodb", { resource = "Note" })
      raises("app:fail takes text", app.fail, app, 5)
    end)

    it("tell how often they struck also when they are over", function()
      local one, other = app:fail "sqs:SendMessage", app:fail("dynamodb:GetItem")
      app:post("/notes", { id = "a" })
      app:get "/notes/a"
      one:forgive()
      app:forgive()
      assert.same({ 1, 1 }, { one:struck(), other:struck() })
    end)

    it("that kill in queues are told by whatever runs them", function()
      app:fail("s3:PutObject", { at = "before" })
      take { id = "a" }
      local ok, err = app:run_queues "1s"
      assert.is_nil(ok)
      assert.equal("ProcessDied", err.code)
      app:crash()
      assert.is_true(app:run_queues "2m")
      assert.equal("DONE", app.dynamodb:get("Notes", "a").status)
    end)

    it("kill the process, before a call or after it", function()
      app:fail("sqs:SendMessage", { at = "before" })
      local answer, err = app:post("/notes", { id = "a" })
      assert.is_nil(answer)
      assert.equal("ProcessDied", err.code)
      answer, err = app:get("/notes/a")
      assert.is_nil(answer)
      assert.equal("ProcessDied", err.code)
      app:crash()
      assert.equal(200, app:get("/notes/a").status)
      assert.equal(0, app.queues.Work:count())
      assert.equal(1, take({ id = "b" }).json.heard)
      app:fail("s3:PutObject", { at = "after" })
      local ok
      ok, err = app:drain()
      assert.is_nil(ok)
      assert.equal("ProcessDied", err.code)
      app:crash()
      app:drain()
      assert.equal("DONE", app.dynamodb:get("Notes", "b").status)
    end)
  end)

  describe("snapshots", function()
    it("bring back everything but what the process remembered, as often as wanted", function()
      take { id = "a", mail = "ada@example.org" }
      local snapshot <close> = app:snapshot()
      for _ = 1, 3 do
        app.clock:advance "1h"
        app:drain()
        assert.equal("DONE", app.dynamodb:get("Notes", "a").status)
        assert.equal(1, app.mailbox:count())
        app:restore(snapshot)
        assert.equal("TAKEN", app.dynamodb:get("Notes", "a").status)
        assert.equal("2026-01-01T00:00:00.000Z", app.clock:iso())
        assert.same({ 1, 0, 0 }, { app.queues.Work:count(), app.mailbox:count(), #app.s3:keys "Files" })
        assert.equal(1, take({ id = "b" }).json.heard)
      end
    end)

    it("are of one app only", function()
      local other <close> = open()
      local theirs = other:snapshot()
      local ours = app:snapshot()
      raises("of the same app", app.restore, app, theirs)
      app:restore(ours)
    end)

    it("can leave the process as it is", function()
      take { id = "a" }
      local snapshot = app:snapshot()
      take { id = "b" }
      app:restore(snapshot, true)
      assert.equal(3, take({ id = "c" }).json.heard)
      snapshot:drop()
      snapshot:drop()
      raises("app:restore takes what app:snapshot gave", app.restore, app, snapshot)
    end)
  end)

  describe("a target", function()
    it("is this process, which can all", function()
      assert.equal("process", testing.target())
      assert.is_true(testing.needs("clock", "faults", "snapshots"))
      raises("no target has 'magic'", testing.needs, "magic")
    end)

    it("that lacks something says so where it is asked for", function()
      local host = app.host
      app.host = { close = function() host:close() end, request = function() return { status = 200, headers = {}, body = "" } end }
      assert.equal(200, app:get("/").status)
      raises("the target process cannot do 'crash'", app.crash, app)
      raises("the target process cannot do 'pass'", app.advance, app, "1s")
    end)
  end)
end)
