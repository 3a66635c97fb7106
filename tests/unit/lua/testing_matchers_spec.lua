require "unit.lua.plain"
local mime = require "perigee.testing_mail"
local notes = require "unit.lua.testing_app"
local pdf = require "perigee.testing_pdf"
local receipt = require "perigee.receipt"
local testing = require "perigee.testing"
local time = require "perigee.testing_time"

-- What a matcher that fails says.
local function message(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok, "it holds")
  return tostring(err)
end

local function says(expected, fn, ...)
  local err = message(fn, ...)
  assert.is_truthy(err:find(expected, 1, true), ("%q is not in:\n%s"):format(expected, err))
end

local function rendered(more)
  local order = { order_id = "ORD-1", status = "PAID", customer_name = "José Ñandú 李雷 𝔸", total_price = 123456, currency = "EUR" }
  for k, v in pairs(more or {}) do order[k] = v end
  return (assert(receipt.render(order)))
end

describe("assert.pdf_has", function()
  it("finds text of any script, whatever faces draw it and wherever lines break", function()
    local long = ("word "):rep(60) .. "end"
    local bytes = rendered { lines = { { description = long, quantity = 1, unit_price = 123456 } } }
    assert.pdf_has(bytes, "José Ñandú 李雷")
    assert.pdf_has(bytes, "EUR 1,234.56")
    assert.pdf_has(bytes, "word word word word end")
    assert.is_not.pdf_has(bytes, "JosÃ©")
  end)

  it("reads every page", function()
    local lines = {}
    for i = 1, 100 do lines[i] = { description = "Thing " .. i, quantity = 1, unit_price = 1 } end
    local bytes = rendered { lines = lines }
    assert.is_true(#pdf.pages(bytes) > 2)
    assert.pdf_has(bytes, "Thing 1")
    assert.pdf_has(bytes, "Thing 100")
    assert.pdf_has(bytes, ("Page 2 of %d"):format(#pdf.pages(bytes)))
  end)

  it("shows the text that there is", function()
    says('Expected the text "Bob" in the PDF.\nIts text:\n', assert.pdf_has, rendered(), "Bob")
    says("\n  José Ñandú", assert.pdf_has, rendered(), "Bob")
    says('Did not expect the text "PAID" in the PDF.', assert.is_not.pdf_has, rendered(), "PAID")
  end)

  it("says what is wrong with bytes that are no PDF, or not the whole of one", function()
    says("these bytes are no PDF", assert.pdf_has, "hello", "x")
    says("cut off", assert.pdf_has, rendered():sub(1, 4000), "x")
    says("assert.pdf_has takes at least 2 arguments", assert.pdf_has, "x")
  end)
end)

describe("inflate", function()
  local function bytes(hex) return (hex:gsub("%s", ""):gsub("%x%x", function(c) return string.char(tonumber(c, 16)) end)) end

  it("undoes blocks of all three kinds", function()
    assert.equal("hello", pdf.inflate(bytes "7801 01 0500 faff 68656c6c6f 062c0215")) -- stored
    assert.equal("hello", pdf.inflate(bytes "789c cb48cdc9c907 00 062c0215")) -- fixed codes
    assert.equal(("abc"):rep(20), pdf.inflate(bytes "789c 4b4c4a4e24170100 bcbe16f9")) -- a distance
  end)

  it("refuses what is damaged", function()
    says("ends too early", pdf.inflate, bytes "789c cb48")
    says("no known kind", pdf.inflate, bytes "789c 07")
  end)
end)

describe("lengths of time", function()
  it("are read as people write them", function()
    for text, ms in pairs { ["15m"] = 900000, ["1h30m"] = 5400000, ["2 d"] = 172800000, ["250ms"] = 250, ["1.5s"] = 1500, ["1w"] = 604800000,
      ["-1s"] = -1000 } do assert.equal(ms, time.duration(text), text) end
    assert.equal(42, time.duration(42))
    for _, bad in ipairs { "", "m", "5", "5x", "m5", 1.5, {}, true } do says("is no length of time", time.duration, bad) end
    says("is no point in time", time.moment, "soon")
  end)
end)

describe("mail, read", function()
  it("has its parts decoded, however they are nested and encoded", function()
    local raw = table.concat({ "Subject: =?UTF-8?Q?Caf=C3=A9_=3D?= =?utf-8?B?w6k=?=", 'Content-Type: multipart/mixed; boundary="A"', "", "--A",
      "Content-Type: multipart/alternative;", "  boundary=B", "", "--B", "Content-Type: text/plain", "Content-Transfer-Encoding: quoted-printable",
      "", "caf=C3=A9 is=", " open", "--B", "Content-Type: text/html", "", "<p>hi</p>", "--B--", "", "--A",
      'Content-Type: application/pdf; name="a.pdf"', "Content-Transfer-Encoding: base64", "", "JVBE", "Rg==", "--A--", "" }, "\r\n")
    local mail = mime.read(raw)
    assert.equal("Café =é", mail.headers.subject)
    assert.equal("café is open", mail.text)
    assert.equal("<p>hi</p>", mail.html)
    assert.same({ { name = "a.pdf", type = "application/pdf", bytes = "%PDF" } }, mail.attachments)
  end)

  it("may be plain", function()
    assert.equal("just text\r\n", mime.read("To: a@example.org\r\n\r\njust text\r\n").text)
  end)
end)

describe("matchers of an app", function()
  local template = notes(_ENV)
  local app
  before_each(function() app = testing.app { template = template } end)
  after_each(function() app:close() end)

  it("state: of an item, an answer, or an id", function()
    app:post("/notes", { id = "a" })
    assert.state("a", "TAKEN")
    assert.state("a", "TAKEN", app)
    assert.state(app.dynamodb:get("Notes", "a"), "TAKEN")
    assert.is_not.state("a", "DONE")
    assert.state({ status = 200, headers = {}, json = { status = "PAID" } }, "PAID")
    says("Expected a in Notes in the state DONE.\nIt is in the state TAKEN.", assert.state, "a", "DONE")
    says("Expected b (not found in Notes) in the state DONE.\nIt is in the state (none).", assert.state, "b", "DONE")
    says("Did not expect a in Notes in the state TAKEN.", assert.is_not.state, "a", "TAKEN")
    says("a state is text, not a nil", assert.state, "a", nil)
    says("takes an item, an answer or an id, not a nil", assert.is_not.state, nil, "TAKEN")
    local item = { order_id = "o", status = "PAID", history = { { at = "2026", action = "pay", to = "PAID" } } }
    says("Expected o in the state OPEN.\nIt is in the state PAID.\nIts history:\n  2026  pay -> PAID", assert.state, item, "OPEN")
  end)

  it("state: of another attribute of another table, where the app says so", function()
    local other <close> = testing.app { template = template, states = { table = "Notes", attribute = "phase" } }
    other.dynamodb:put("Notes", { id = "a", phase = "NEW" })
    assert.state("a", "NEW")
    assert.state(other.dynamodb:get("Notes", "a"), "NEW", other)
    assert.state(other.dynamodb:get("Notes", "a"), "NEW")
    says("knows no 'tabel'", testing.app, { template = template, states = { tabel = "Notes" } })
    says("states names no table", testing.app, { template = template, states = { attribute = "phase" } })
  end)

  it("calls: of an app or an answer, by any filter", function()
    local answer = app:post("/notes", { id = "a" })
    app:get "/notes/a"
    assert.calls(2, nil, answer)
    assert.calls(3)
    assert.calls(2, "dynamodb")
    assert.calls(1, "dynamodb:PutItem", app)
    assert.calls(1, { function_name = "Show" }, app)
    assert.is_not.calls(2, "sqs")
    says("Expected 2 calls of dynamodb:PutItem in the app.\nThere are 1. All calls:\n    1 dynamodb:PutItem on Notes by Take\n", assert.calls, 2,
      "dynamodb:PutItem", app)
    says("Expected 0 AWS calls in the request.", assert.calls, 0, nil, answer)
    says("Did not expect 1 calls with function_name = Show in the app.", assert.is_not.calls, 1, { function_name = "Show" }, app)
    says("n must be an integer", assert.calls, "dynamodb", 1)
    says("there is no such operation", assert.calls, 0, "dynamodb:PutItm")
    says("there is no such service", assert.calls, 0, "dynamo", answer)
    says("no function 'Shw'", assert.calls, 0, { function_name = "Shw" }, answer)
  end)

  it("drained: nothing is in a queue", function()
    assert.drained(app)
    app:send("Work", { id = "a" })
    says('Expected nothing left to do.\nWhat is left:\n  Work: 1 visible, 0 in flight, 0 delayed\n    received 0 times: {"id":"a"}', assert.drained, app)
    assert.is_not.drained()
    app:drain()
    assert.drained()
    app:send("Dead", "x")
    says("Dead: 1 visible", assert.drained, app)
  end)

  it("costs_below: each of those that are named", function()
    local answer = app:post("/notes", { id = "a" })
    assert.costs_below(answer, { wcu = 1, sqs = 1, rcu = 0, s3_puts = 0, runs = 1, calls = 2 })
    assert.costs_below(app, { sqs = 1 })
    assert.is_not.costs_below(answer, { sqs = 0 })
    says("Expected costs of at most rcu 1, sqs 0.\nIt costs wcu 1, sqs 1, calls 2, runs 1, ms ", assert.costs_below, answer, { sqs = 0, rcu = 1 })
    says("\nToo much: sqs. Its calls:\n    1 dynamodb:PutItem on Notes by Take\n", assert.costs_below, answer, { sqs = 0, rcu = 1 })
    says("knows no 'money'", assert.costs_below, answer, { money = 1 })
    says("no cost is named", assert.costs_below, answer, {})
  end)

  it("mail: to, from, subject, contains", function()
    says('Expected a mail with to "ada@example.org".\nThe mailbox:\n  none', assert.mail, app, { to = "ada@example.org" })
    says("knows no 'too'", assert.is_not.mail, app, { too = "ada@example.org" })
    says("to is text, not a number", assert.is_not.mail, app, { to = 5 })
    app:send("Work", { id = "a", mail = "ada@example.org" })
    app:drain()
    assert.mail(app, { to = "ADA@example.org", from = "notes@", subject = "é", contains = "done" })
    assert.is_not.mail(app, { to = "bob@example.org" })
    says('contains "undone", to "ada@example.org".\nThe mailbox:\n  to ada@example.org: Note a é\n    It is done.', assert.mail, app,
      { to = "ada@example.org", contains = "undone" })
    says("knows no 'cc'", assert.mail, app, { cc = "x" })
  end)

  it("look at the newest app that is open", function()
    assert.equal(app, testing.current())
    app:close()
    assert.is_nil(testing.current())
    says("there is no app", assert.drained)
  end)
end)
