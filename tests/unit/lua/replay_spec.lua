-- The parts of `perigee replay`: what counts as the same, what two lists have in common, what documents stand for.
local json = require "perigee.json"
local log_command = require "perigee.log_command"
local recordings = require "perigee.recordings"
local replay_diff = require "perigee.replay_diff"
local replay_document = require "perigee.replay_document"
local replay_lines = require "perigee.replay_lines"
local replay_same = require "perigee.replay_same"
local replay_state = require "perigee.replay_state"

local A = "01a2047e-6582-7281-800f-b3ae5cccd94b"
local B = "01a2047e-6582-7281-800f-b3af1736312d"
local C = "ffffffff-6582-7281-800f-b3af1736312d"

describe("two values are the same", function()
  local function differ(a, b, given, exact)
    local out = {}
    replay_same.new(given, exact):compare(a, b, "", out)
    local paths = {}
    for i, d in ipairs(out) do paths[i] = d.path end
    return paths
  end

  it("whatever ids they have, as long as the same one is the same everywhere", function()
    assert.same({}, differ({ id = A, path = "/x/" .. A }, { id = B, path = "/x/" .. B }))
    assert.same({ "path" }, differ({ id = A, path = "/x/" .. A }, { id = B, path = "/x/" .. C }))
    assert.same({ "path" }, differ({ id = A, path = "/x/" .. B }, { id = C, path = "/x/" .. C }))
  end)

  it("but not when they have other ids that were given", function()
    assert.same({ "id" }, differ({ id = A }, { id = B }, replay_same.ids("order " .. A)))
    assert.same({}, differ({ id = A }, { id = A }, replay_same.ids(A)))
  end)

  it("with digests and tokens as with ids", function()
    assert.same({}, differ("etag 9e107d9d372bb6826bd81d3542a419d6", "etag e4d909c290d0fb1ca068ffaddf22cbd0"))
    assert.same({ "" }, differ("etag abc", "etag abd"))
  end)

  it("at times within a minute of each other", function()
    assert.same({}, differ("2026-01-31T12:00:00.123Z", "2026-01-31T12:00:59Z"))
    assert.same({ "" }, differ("2026-01-31T12:00:00Z", "2026-01-31T13:00:00Z"))
    assert.same({}, differ({ { N = "1795371722114" }, 1795371722 }, { { N = "1795371752114" }, 1795371752 }))
    assert.same({ "[1].N", "[2]" }, differ({ { N = "1795371722114" }, 1795371722 }, { { N = "1795375322114" }, 1795375322 }))
    assert.same({ "" }, differ(12, 13))
  end)

  it("in JSON that is text, whatever the order of its members", function()
    assert.same({}, differ('{"a":1,"b":"' .. A .. '"}', '{"b":"' .. B .. '","a":1}'))
    assert.same({ "body.a" }, differ({ body = '{"a":1}' }, { body = '{"a":2}' }))
  end)

  it("where the recording does not know the value", function()
    assert.same({}, differ("redacted-0123456789", "jana@example.org"))
    assert.same({ "" }, differ("redacted-0123456789", "redacted-9876543210"))
    assert.same({ "name" }, differ({ name = "redacted-0123456789" }, {}))
  end)

  it("exactly, when nothing is to be taken for random", function()
    assert.same({ "id" }, differ({ id = A }, { id = B }, nil, true))
    assert.same({ "at" }, differ({ at = 1795371722 }, { at = 1795371723 }, nil, true))
  end)

  it("member by member: what is missing or more is named", function()
    assert.same({ "a.b[2]", "c" }, differ({ a = { b = { 1, 2 } } }, { a = { b = { 1 } }, c = true }))
  end)
end)

describe("two lists", function()
  local function marks(a, b)
    local out = {}
    for i, p in ipairs(replay_lines.align(a, b, function(x, y) return x == y end)) do
      out[i] = p.a and p.b and a[p.a] or p.a and "-" .. a[p.a] or "+" .. b[p.b]
    end
    return table.concat(out, " ")
  end

  it("keep what they have in common, in order", function()
    assert.equal("a b c", marks({ "a", "b", "c" }, { "a", "b", "c" }))
    assert.equal("a -b +x c", marks({ "a", "b", "c" }, { "a", "x", "c" }))
    assert.equal("+a +b", marks({}, { "a", "b" }))
    assert.equal("-a", marks({ "a" }, {}))
    assert.equal("+x a b -c d", marks({ "a", "b", "c", "d" }, { "x", "a", "b", "d" }))
    assert.equal("", marks({}, {}))
  end)

  it("of lines are shown with their numbers and what is around", function()
    local was = "1\n2\n3\n4\n5\n6\n7\n8\n9\n"
    local is = "1\n2\n3\n4\nfive\n6\n7\n8\n9\nten\n"
    assert.same({ "     3 3", "     4 4", "-    5 5", "+    5 five", "     6 6", "     7 7", "     8 8", "     9 9", "+   10 ten" },
      replay_lines.diff(was, is))
    assert.same({}, replay_lines.diff(was, was))
    assert.same({ "+    1 new" }, replay_lines.diff("", "new\n"))
  end)
end)

describe("the lines of a segment", function()
  it("are read newest first, without one that has no end", function()
    assert.same({ "b", "a" }, recordings.lines "a\nb\nc")
    assert.same({ "c", "b", "a" }, recordings.lines "a\nb\nc\n")
    assert.same({}, recordings.lines "")
    assert.same({ "a" }, recordings.lines("a\n" .. ("x"):rep(8 << 20))) -- the disk was full
  end)

  it("are recordings when nothing that is printed of them is missing", function()
    local function line(more)
      local record = { id = "a", at = "2026-01-31T12:00:00.000Z", at_ms = 1, kind = "event", ["function"] = "F", version = "v", outcome = "ok",
        request_id = "r", trace_id = "t", ms = 1.5, event = json.object {}, host = json.object {}, calls = json.array {} }
      for k, v in pairs(more) do record[k] = v end
      return json.encode(record)
    end
    assert.equal("a", recordings.decode(line {}).id)
    for _, bad in ipairs { { at = 5 }, { at_ms = "x" }, { ["function"] = json.null }, { calls = 5 }, { calls = { 5 } }, { calls = { { n = 1, service = "s3" } } }, { host = "x" }, { status = 1.5 },
      { request = 5 }, { kind = "request" }, { message = json.object {} }, { kind = "message" } } do
      assert.is_nil(recordings.decode(line(bad)), json.encode(bad))
    end
    assert.is_nil(recordings.decode '{"id":"a","kind":"event"}')
    assert.is_nil(recordings.decode "[]")
    assert.is_nil(recordings.decode "{")
  end)
end)

describe("the bytes of a recording", function()
  it("are text, decoded, left out or unknown", function()
    assert.equal("x", (recordings.bytes({ body = "x" }, "body")))
    assert.equal("\xff", (recordings.bytes({ body_base64 = "/w==" }, "body")))
    assert.same({ nil, 7, n = 2 }, table.pack(recordings.bytes({ body_omitted = 7 }, "body")))
    assert.same({ nil, 0, n = 2 }, table.pack(recordings.bytes({ body_base64 = "redacted-0123456789" }, "body")))
  end)
end)

describe("what is printed", function()
  it("moves no terminal's cursor", function()
    assert.equal("a\n\tb [31m c", recordings.safe "a\n\tb\27[31m\127c")
  end)
end)

describe("the state that a run saw", function()
  local schemas = {
    keys = function() return { "id" } end,
    whole = function(_, index) return index ~= "narrow" end,
  }
  local function item(id, more) return { id = { S = id }, v = more and { S = more } } end
  local function of(calls)
    for i, call in ipairs(calls) do
      call.n, call.service, call.result = i, call.service or "dynamodb", call.result or {}
      call.params = call.params or { TableName = "T" }
    end
    return replay_state.of_calls(calls, schemas)
  end
  local function known(state, id)
    local one = state.items.T["id=" .. id]
    return one.item and one.item.v.S or "absent"
  end

  it("is the first that is known of each item: later reads see the run's own writes", function()
    local state = of {
      { action = "GetItem", params = { TableName = "T", Key = { id = { S = "1" } } }, result = { Item = item("1", "first") } },
      { action = "UpdateItem", effect = true, before = { { TableName = "T", Key = { id = { S = "2" } }, Item = json.null } } },
      { action = "Query", result = { Items = { item("1", "second"), item("2", "mine"), item("3", "third") } } },
    }
    assert.equal("first", known(state, "1"))
    assert.equal("absent", known(state, "2"))
    assert.equal("third", known(state, "3"))
  end)

  it("is completed by what later reads tell of an item of which only a part was known", function()
    local state = of {
      { action = "Query", params = { TableName = "T", IndexName = "narrow" }, result = { Items = { item("1", "part") } } },
      { action = "GetItem", params = { TableName = "T", Key = { id = { S = "1" } } }, result = { Item = item("1", "whole") } },
    }
    assert.equal("whole", known(state, "1"))
  end)

  it("has objects as they were before they were written", function()
    local state = of {
      { service = "s3", action = "GetObject", params = { Bucket = "b", Key = "k" }, result_body = "old", result = { ContentLength = 3 } },
      { service = "s3", action = "PutObject", effect = true, params = { Bucket = "b", Key = "k" }, objects = { { Bucket = "b", Key = "k", exists = true } } },
      { service = "s3", action = "GetObject", params = { Bucket = "b", Key = "k" }, result_body = "new", result = { ContentLength = 3 } },
      { service = "s3", action = "HeadObject", params = { Bucket = "b", Key = "none" }, error = { code = "NoSuchKey", status = 404 } },
    }
    assert.equal("old", state.objects["b/k"].bytes)
    assert.is_false(state.objects["b/none"].there)
  end)
end)

describe("a difference of two runs", function()
  local function put(more)
    local call = { n = 1, service = "dynamodb", action = "PutItem", effect = true, params = { TableName = "T", Item = { shard = { S = "1" } } } }
    for k, v in pairs(more or {}) do call[k] = v end
    return call
  end
  local function item(shard) return { TableName = "T", Item = { shard = { S = shard } } } end
  local function run(calls, more)
    local r = { outcome = "ok", status = 200, calls = calls, answer = { headers = { { "Content-Type", "text/plain" } }, body = "fine" } }
    for k, v in pairs(more or {}) do r[k] = v end
    return r
  end
  local function row(name, value) return { what = "T", name = name, value = value } end
  local lines, diff
  before_each(function()
    lines = {}
    diff = replay_diff.new({}, function(text) lines[#lines + 1] = text end)
  end)
  local function written() return table.concat(lines) end

  it("is none when nothing differs", function()
    diff:answer(run {}, run {})
    diff:calls(run { put() }, run { put() })
    diff:state({ row("a", 1) }, { row("a", 1) })
    diff:sources({ f = "x" }, { f = "x" }, "v1", "v1")
    assert.equal(0, diff.changed)
    assert.equal("\nanswer\n  200, as it was\n\ncalls\n  1. dynamodb:PutItem T\n\nstate afterwards\n  as it was\n" ..
      "\nsources  version v1 -> v1\n  as they were\n", written())
  end)

  it("of answers names status, headers and members of the body", function()
    diff:answer(run({}, { status = 500, outcome = "failed", error = { code = "HandlerError", message = "no" }, answer = nil }), run {})
    assert.matches("- 500 HandlerError\n+ 200\n- HandlerError: no\n", written(), 1, true)
    lines = {}
    diff:answer(run({}, { answer = { headers = {}, body = '{"a":1,"b":2}' } }), run({}, { answer = { headers = {}, body = '{"a":1,"b":3}' } }))
    assert.equal("\nanswer\n- body b: 2\n+ body b: 3\n", written())
  end)

  it("of answers in parts is not told", function()
    diff:answer(run({}, { streamed = true, status = json.null }), run {})
    assert.equal(0, diff.changed)
  end)

  it("of calls says which are gone, new, changed, or told something else", function()
    local get = put { n = 1, action = "GetItem" }
    diff:calls(run { get, put { n = 2 } }, run { put { params = item "2", error = { code = "Throttled" } }, put { n = 2, action = "DeleteItem" } })
    local text = written()
    assert.matches("- 1. dynamodb:GetItem T -> ok", text, 1, true)
    assert.matches("~ 1. dynamodb:PutItem T\n-       Item.shard.S: 1\n+       Item.shard.S: 2\n-       -> ok\n+       -> Throttled\n", text, 1, true)
    assert.matches("+ 2. dynamodb:DeleteItem T -> ok", text, 1, true)
  end)

  it("leaves out what is random: where other replays differ, also in the names of items", function()
    local was, is, other = run { put { params = item "1" } }, run { put { params = item "2" } }, run { put { params = item "3" } }
    local state_was, state_is = { row("shard=1", { shard = "1", v = "x" }) }, { row("shard=2", { shard = "2", v = "y" }) }
    diff:leave_out({ is = is, state = state_is }, { is = other, state = { row("shard=3", { shard = "3", v = "y" }) } })
    diff:calls(was, is)
    assert.equal(0, diff.changed)
    lines = {}
    diff:state(state_was, state_is)
    assert.equal("\nstate afterwards\n- T{shard=2} v: x\n+ T{shard=2} v: y\n", written())
  end)

  it("of the state says what is more and what is missing", function()
    diff:state({ row("a", { v = 1 }), row("b", { v = 1 }) }, { row("b", { v = 2 }), row("c", { v = 1 }) })
    assert.equal('\nstate afterwards\n- T{a} {"v":1}\n- T{b} v: 1\n+ T{b} v: 2\n+ T{c} {"v":1}\n', written())
  end)

  it("of sources names files that are new, gone or edited", function()
    diff:sources({ a = "1\n", b = "1\n" }, { b = "2\n", c = "1\n" }, "v1", "v2")
    assert.matches("  a (gone)\n  -    1 1\n  b\n  -    1 1\n  +    1 2\n  c (new)\n  +    1 1\n", written(), 1, true)
    lines = {}
    diff:sources(nil, {}, "v1", "v2")
    assert.matches("are not kept any more", written(), 1, true)
  end)
end)

describe("a recording that is shown", function()
  it("moves no terminal's cursor either", function()
    local text = {}
    log_command.show(function(part) text[#text + 1] = part end, { id = "a", at = "2026", ["function"] = "F", outcome = "failed", ms = 1, version = "v",
      request_id = "r", trace_id = "t", kind = "event", event = {}, error = { code = "HandlerError", type = "\27[2J", message = "" },
      calls = { { n = 1, service = "s3", action = "PutObject", params = {}, objects = { { Bucket = "b", Key = "k\27[2J", exists = true } } } } })
    assert.is_nil(table.concat(text):find("\27", 1, true))
  end)

  it("was made since a time that can be told", function()
    local code
    local stderr = io.stderr
    io.stderr = { write = function() end } -- luacheck: ignore
    code = log_command.main({ since = "99999999999999999999d" }, { "ls" })
    io.stderr = stderr -- luacheck: ignore
    assert.equal(2, code)
  end)
end)

describe("a document", function()
  local template = {
    template = { functions = { { name = "Orders" }, { name = "Work" }, { name = "WorkLater" } },
      schedules = { { name = "Nightly", ["function"] = "Work" } }, feeds = { { queue = "Events", ["function"] = "Work" } } },
    function_of = function(queue) return queue == "Events" and "Work" or nil end,
    route_of = function(method, path) return method == "GET" and path == "/orders" and "Orders" or nil end,
  }
  local function runs(document, wanted) return replay_document.runs(template, document, wanted) end
  local message = { MessageId = "m", Body = "{}", Attributes = { ApproximateReceiveCount = "3" },
    MessageAttributes = { kind = { DataType = "String", StringValue = "x" } } }
  local function with(more)
    local out = {}
    for k, v in pairs(message) do out[k] = v end
    for k, v in pairs(more) do out[k] = v end
    return out
  end

  it("that is a message becomes the event that Lambda makes of it", function()
    local got = assert(runs(with { QueueUrl = "https://sqs.eu-west-1.amazonaws.com/1/Events" }))
    assert.equal("Work", got[1].function_name)
    local r = got[1].document.Records[1]
    assert.equal("m", r.messageId)
    assert.equal("3", r.attributes.ApproximateReceiveCount)
    assert.same({ kind = { dataType = "String", stringValue = "x" } }, r.messageAttributes)
    assert.equal("Events", r.eventSourceARN:match "[^:]*$")
  end)

  it("that is a dead letter is of the queue that it came from", function()
    local letter = with { queue = "Events-dead", Attributes = { DeadLetterQueueSourceArn = "arn:aws:sqs:x:1:Events" } }
    for _, document in ipairs { letter, { Messages = { letter } }, { messages = { letter } }, json.array { letter } } do
      assert.equal("Work", assert(runs(document))[1].function_name)
    end
  end)

  it("of `perigee dlq show --json` is a dead letter too", function()
    local shown = json.array { { id = "m", body = { order = 1 }, source = "Events", receive_count = 4, attributes = { kind = "x" },
      sent_at = "2026-01-31T12:00:00.000Z" } }
    local r = assert(runs(shown))[1].document.Records[1]
    assert.same({ "m", '{"order":1}', "4", "1769860800000", "x" }, { r.messageId, r.body, r.attributes.ApproximateReceiveCount,
      r.attributes.SentTimestamp, r.messageAttributes.kind.stringValue })
  end)

  it("that only looks like one is refused with the reason", function()
    local function why(document) return select(2, runs(document)) end
    assert.matches("message 1: it is no message", why { Messages = { 5 } })
    assert.matches("message 1: .*Body", why { Messages = { with { Body = json.object {}, QueueUrl = "/Events" } } })
    assert.matches("message 1: .*Attributes", why { Messages = { with { Attributes = 5, QueueUrl = "/Events" } } })
    assert.matches("message 1: .*MessageAttributes", why { Messages = { with { MessageAttributes = { kind = 5 }, QueueUrl = "/Events" } } })
    assert.matches("message 1: .*Attributes", why { messages = { { id = "m", body = "{}", source = "Events", attributes = 5 } } })
    assert.matches("method", why { requestContext = {}, httpMethod = 5, path = {} })
    assert.matches("method", why { requestContext = { http = { path = "/" } } })
  end)

  it("goes to the function that is asked for, of its own queue", function()
    local got = assert(runs(with {}, "Work"))
    assert.equal("Events", got[1].document.Records[1].eventSourceARN:match "[^:]*$")
  end)

  it("finds its function by route, schedule and what Lambda calls it", function()
    assert.equal("Orders", runs({ requestContext = { http = { method = "GET", path = "/orders" } }, rawPath = "/orders" })[1].function_name)
    assert.equal("Orders", runs({ requestContext = {}, httpMethod = "GET", path = "/orders" })[1].function_name)
    assert.equal("Work", runs({ ["detail-type"] = "Scheduled Event", resources = { "arn:aws:events:x:1:rule/shop-Nightly-1X" } })[1].function_name)
    local failed = { requestContext = { functionArn = "arn:aws:lambda:x:1:function:shop-WorkLater-1AB2:$LATEST" }, requestPayload = { any = 1 } }
    local got = assert(runs(failed))
    assert.equal("WorkLater", got[1].function_name)
    assert.same({ any = 1 }, got[1].document)
  end)

  it("that names no function is refused with the reason", function()
    for why, document in pairs {
      ["names its function"] = { hello = 1 }, ["does not say which queue"] = message, ["the queue Other"] = with { queue = "Other" },
      ["no route of the template answers GET /no"] = { requestContext = { http = { method = "GET" } }, rawPath = "/no" },
      ["no MessageId"] = { Messages = { { Body = "x" } } }, ["holds no message"] = { Messages = json.array {} },
      ["it is no JSON object"] = "text",
    } do
      local got, reason = runs(document)
      assert.is_nil(got)
      assert.matches(why, reason, 1, true)
    end
    assert.matches("has no function Nobody %(it has Orders, Work, WorkLater%)", select(2, runs({}, "Nobody")))
  end)
end)
