-- in/lambda: the Runtime API client, against a Runtime API played here.
local lambda = require "t.lambda"
local json = require "dkjson"
local runtime = require "unit.in.runtime"

local handlers = ([[
local log, time, http = require "perigee.log", require "perigee.time", require "perigee.http"
local M, runs = {}, 0
function M.echo(event) return event end
function M.count() runs = runs + 1 return { runs = runs } end
function M.say(event, context) log.info("said", { n = event.n }) return event.n end
function M.fail(event) error { code = event.code, message = "it is broken" } end
function M.crash() local t = nil return t.x end
function M.big(event) return ("x"):rep(event.n) end
function M.spin() while true do end end
function M.wait() time.sleep(60000) end
function M.nap() time.sleep(50) return 1 end
function M.longer() time.sleep(300) return 1 end
function M.trace() return os.getenv "_X_AMZN_TRACE_ID" end
local weak = setmetatable({}, { __mode = "v" })
function M.weak(event)
  local kept = weak[1] ~= nil
  weak[1] = {}
  return { kept = kept, n = #("x"):rep(event.waste) }
end
function M.stream(request, context)
  local ask = request:json()
  local response = http.stream(context, { status = 201, headers = { ["X-A"] = "b", ["Set-Cookie"] = "c=d" } })
  for i = 1, ask.parts do
    if i > 1 then time.sleep(10) end
    response:write(("%d"):format(i % 10):rep(ask.size))
  end
  if ask.fail then error { code = "half_way", message = "not to the end" } end
  if ask.deep then M.a_function_whose_name_takes_room_in_traces(ask.deep, ask.message) end
end
function M.a_function_whose_name_takes_room_in_traces(n, message)
  if n == 0 then error(message) end
  local of_its_own = M.a_function_whose_name_takes_room_in_traces(n - 1, message)
  return of_its_own
end
function M.foreign() local t return t.x end -- caf\xe9
function M.later(_, context)
  context:after(function() time.sleep(5) log.info "afterwards" end)
  return 1
end
return M
]]):gsub("\\xe9", "\xe9")

describe("the Runtime API client", function()
  local dir = require "unit.directory"(_ENV, { ["h.lua"] = handlers })

  local function run(field, api, more)
    local options = { dir = dir, field = field, serve = api.serve, part = api.part }
    for k, v in pairs(more or {}) do options[k] = v end
    return lambda.run(options)
  end
  local function answer_of(api, n)
    local request = api.answers[runtime.id(n)]
    return request and request.body
  end

  describe("on its way", function()
    it("asks, answers and asks again on one connection", function()
      local api = runtime.api { '{"a":1}', '{"a":2}', '{"a":3}' }
      local how = run("echo", api)
      assert.is_true(how.ok, how.error)
      assert.are.equal("next response next response next response next", api.calls())
      assert.are.equal('{"a":2}', answer_of(api, 2))
      for _, request in ipairs(api.seen) do
        assert.are.equal(1, request.connection)
        assert.matches("^perigee/%d", request.headers["user-agent"])
        assert.matches("^127.0.0.1:%d+$", request.headers.host)
      end
      assert.are.equal("application/json", api.seen[2].headers["content-type"])
      assert.are.equal("7", api.seen[2].headers["content-length"])
    end)

    it("takes events of any size in chunks, and answers as large", function()
      local body = json.encode(("x"):rep(3000000))
      local api = runtime.api { body, "{}" }
      assert.is_true(run("echo", api).ok)
      assert.are.equal(body, answer_of(api, 1))
      assert.are.equal("{}", answer_of(api, 2))
    end)

    it("takes what comes byte by byte, after information and late", function()
      local function slowly(_, go_on)
        return { "HTTP/1.1 100 Continue\r\n\r\n" .. go_on(), dribble = true, wait = 5 }
      end
      local api = runtime.api({ ('{"long":"%s"}'):format(("x"):rep(3000)), "{}" },
        { next = { slowly, slowly }, response = { slowly, slowly } })
      assert.is_true(run("echo", api).ok)
      assert.are.equal("next response next response next", api.calls())
    end)

    it("echoes the invocation's nonce where there is one", function()
      local api = runtime.api { { body = "1", headers = { ["Lambda-Runtime-Invocation-Id"] = "nonce-1" } }, "2" }
      assert.is_true(run("echo", api).ok)
      assert.are.equal("nonce-1", api.seen[2].headers["lambda-runtime-invocation-id"])
      assert.is_nil(api.seen[4].headers["lambda-runtime-invocation-id"])
    end)

    it("sets the trace variable for each event, to nothing when there is no trace", function()
      local api = runtime.api { "{}", { headers = { ["Lambda-Runtime-Trace-Id"] = false } },
                                { headers = { ["Lambda-Runtime-Trace-Id"] = ("x"):rep(5000) } } }
      assert.is_true(run("trace", api, { trace_variable = true }).ok)
      assert.are.equal('"Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"', answer_of(api, 1))
      assert.are.equal('""', answer_of(api, 2))
      assert.are.equal('""', answer_of(api, 3))
      assert.is_nil(os.getenv "_X_AMZN_TRACE_ID")
    end)

    it("logs with the invocation's id and tenant, as Lambda wants it", function()
      local more = { ["Lambda-Runtime-Aws-Tenant-Id"] = "blue" }
      local how = run("say", runtime.api { { body = '{"n":7}', headers = more } }, { log_format = "JSON" })
      local line = json.decode(how.lines:match '[^\n]*"said"[^\n]*')
      assert.are.same({ runtime.id(1), "blue", "INFO", 7 }, { line.requestId, line.tenantId, line.level, line.n })
      how = run("say", runtime.api { { body = '{"n":7}', headers = more } }, { log_format = "Text" })
      assert.matches("Z\t" .. runtime.id(1):gsub("%-", "%%-") .. "\tINFO\tsaid {", how.lines)
    end)

    it("asks for the next event after what runs behind the answer", function()
      local api = runtime.api({ "{}" }, { next = { [2] = function(_, go_on) return go_on() end } })
      local how = run("later", api)
      assert.is_true(how.ok)
      assert.matches("afterwards", how.lines)
    end)

    it("collects garbage between two events when there is enough", function()
      local api = runtime.api { '{"waste":1}', '{"waste":1}', '{"waste":2000000}', '{"waste":1}' }
      assert.is_true(run("weak", api).ok)
      local function kept(n) return json.decode(answer_of(api, n)).kept end
      assert.are.same({ false, true, false }, { kept(2), kept(3), kept(4) })
    end)

    it("runs as many at once as there are slots", function()
      local waiting, running, most, done, held = 0, 0, 0, 0, {}
      local function serve(connection, request)
        local call = runtime.call_of(request)
        if call ~= "next" then
          running, done = running - 1, done + 1
          return runtime.accepted
        end
        if done >= 16 then return "stop" end
        if most > 0 then return nil end -- ended early: nothing more for it
        waiting = waiting + 1
        held[waiting] = connection
        if waiting < 16 then return nil end
        for n, c in ipairs(held) do
          running = running + 1
          most = running
          if c ~= connection then lambda.send(c, runtime.event(n, "{}")) end
        end
        return runtime.event(16, "{}")
      end
      assert.is_true(run("nap", { serve = serve }, { concurrency = 16 }).ok)
      assert.are.equal(16, most)
    end)
  end)

  describe("with a function URL that streams", function()
    local function ask(fields)
      return json.encode { version = "2.0", routeKey = "$default", rawPath = "/", rawQueryString = "",
                           headers = { host = "x.lambda-url.eu-central-1.on.aws" },
                           requestContext = { domainName = "x.lambda-url.eu-central-1.on.aws", routeKey = "$default",
                                              stage = "$default",
                                              http = { method = "POST", path = "/", sourceIp = "1.2.3.4",
                                                       protocol = "HTTP/1.1" } },
                           body = json.encode(fields), isBase64Encoded = false }
    end
    local function prelude_of(body)
      local head, rest = body:match "^(.-)\0\0\0\0\0\0\0\0(.*)$"
      return json.decode(head), rest
    end
    -- Notes how many parts of the body came on their own.
    local function watch(api)
      api.parts = 0
      function api.part(_, bytes)
        if #bytes > 0 then api.parts = api.parts + 1 end
      end
      return api
    end

    it("sends head and parts as they come", function()
      local api = watch(runtime.api { ask { parts = 3, size = 5 }, ask { parts = 1, size = 1 } })
      local how = run("stream", api, { stream = true })
      assert.is_true(how.ok, how.error)
      assert.are.equal("next response next response next", api.calls())
      local request = api.answers[runtime.id(1)]
      assert.are.same({ "streaming", "chunked", "application/vnd.awslambda.http-integration-response", 1 },
        { request.headers["lambda-runtime-function-response-mode"], request.headers["transfer-encoding"],
          request.headers["content-type"], request.connection })
      assert.matches("Error%-Type.*Error%-Body", request.headers.trailer)
      local prelude, rest = prelude_of(request.body)
      assert.are.same({ 201, "b", "c=d", "111112222233333" },
        { prelude.statusCode, prelude.headers["X-A"], prelude.cookies[1], rest })
      assert.is_true(api.parts >= 4, "came at once")
    end)

    it("waits for a reader of much", function()
      local api = runtime.api { ask { parts = 9, size = 1000000 } }
      assert.is_true(run("stream", api, { stream = true }).ok)
      local _, rest = prelude_of(answer_of(api, 1))
      assert.are.equal(9000000, #rest)
      assert.are.equal(("9"):rep(1000000), rest:sub(-1000000))
    end)

    local function document_in(headers)
      local f = assert(io.popen("printf %s '" .. headers["lambda-runtime-function-error-body"] .. "' | base64 -d"))
      local document = json.decode(f:read "a")
      f:close()
      return document
    end

    it("tells a failure behind the beginning in trailers", function()
      local api = runtime.api { ask { parts = 2, size = 5, fail = true }, ask { parts = 1, size = 1 } }
      assert.is_true(run("stream", api, { stream = true }).ok)
      local headers = api.answers[runtime.id(1)].headers
      assert.matches("^Function%.%u%a+$", headers["lambda-runtime-function-error-type"])
      local document = document_in(headers)
      assert.matches("not to the end", document.errorMessage)
      assert.are.equal(headers["lambda-runtime-function-error-type"], document.errorType)
      local _, rest = prelude_of(answer_of(api, 1))
      assert.are.equal("1111122222", rest)
      assert.are.equal("next response next response next", api.calls())
    end)

    it("tells it in trailers that a server in Go reads, which are smaller than 4096 bytes", function()
      for _, of in ipairs { { deep = 50, message = "no" }, { deep = 1, message = ("\1é"):rep(300) } } do
        local api = runtime.api { ask { parts = 1, size = 5, deep = of.deep, message = of.message } }
        assert.is_true(run("stream", api, { stream = true }).ok)
        local headers, n = api.answers[runtime.id(1)].headers, 2
        for name, value in pairs(headers) do
          if name:find "function%-error" then n = n + #name + #value + 4 end
        end
        assert.is_true(n > 3000 and n < 4096, n)
        local document = document_in(headers)
        assert.matches(of.message:sub(1, 30), document.errorMessage, 1, true)
        assert.are.equal(runtime.id(1), document.requestId)
        assert.are.equal(of.deep == 50, #document.stackTrace > 10)
      end
    end)

    it("reports one that broke, once and on another connection", function()
      for _, how_it_ends in ipairs { "close", "reset" } do
        local api = runtime.api { ask { parts = 5, size = 5 }, ask { parts = 1, size = 1 } }
        local first = true
        function api.part()
          if not first then return nil end
          first = false
          return { "", [how_it_ends] = true }
        end
        local how = run("stream", api, { stream = true })
        assert.is_true(how.ok, how.error)
        assert.are.equal("next error next response next", api.calls())
        local request = api.errors[runtime.id(1)]
        assert.are.equal("Function.StreamBroken", request.headers["lambda-runtime-function-error-type"])
        assert.are_not.equal(1, request.connection)
      end
    end)

    it("that broke ends its handler, also one that waits for its reader", function()
      for _, broken in ipairs { { "", close = true }, { "", reset = true }, { runtime.refused(413), close = true },
                                { runtime.refused(500), close = true } } do
        local api = runtime.api { ask { parts = 2, size = 30000000 }, ask { parts = 1, size = 1 } }
        local first = true
        function api.part()
          if not first then return nil end
          first, api.open = false, api.open and broken[1] == ""
          return broken
        end
        local how = run("stream", api, { stream = true })
        assert.is_true(how.ok, how.error)
        assert.matches("next response next$", api.calls())
        assert.matches("ended by Lambda before its handler", how.lines)
        assert.not_matches("RequestTimeout", how.lines)
      end
    end)

    it("goes on when Lambda ends it early", function()
      for _, status in ipairs { 413, 410, 202 } do
        local api = runtime.api { ask { parts = 5, size = 5 }, ask { parts = 1, size = 1 } }
        local first = true
        function api.part()
          if not first then return nil end
          first, api.open = false, false
          return { runtime.refused(status), close = true }
        end
        local how = run("stream", api, { stream = true })
        assert.is_true(how.ok, how.error)
        assert.are.equal("next next response next", api.calls())
        assert.matches("ended by Lambda before its handler", how.lines)
      end
    end)
  end)

  describe("with an extension for SIGTERM", function()
    local function register(faults)
      local api = runtime.api({ "{}" }, faults)
      local serve, kept = api.serve, nil
      function api.serve(connection, request)
        if request.target == "/2020-01-01/extension/register" then
          api.registered = request
          return (faults and faults.register) or runtime.answer(200, { ["Lambda-Extension-Identifier"] = "ext-1" }, "{}")
        end
        if request.target == "/2020-01-01/extension/event/next" then
          kept = request.headers["lambda-extension-identifier"]
          api.extension = connection
          return nil
        end
        api.kept = kept
        return serve(connection, request)
      end
      return api
    end

    it("registers before it asks for an event, on a connection of its own", function()
      local api = register()
      local how = run("echo", api, { sigterm = true })
      assert.is_true(how.ok, how.error)
      assert.are.equal('{"events":[]}', api.registered.body)
      assert.are.equal("perigee-sigterm", api.registered.headers["lambda-extension-name"])
      assert.are.equal("ext-1", api.kept)
      assert.are_not.equal(api.extension, api.seen[1].connection)
    end)

    it("goes on without it when Lambda does not want it", function()
      for _, fault in ipairs { runtime.refused(403), runtime.answer(200, {}, "{}"), { "", close = true } } do
        local how = run("echo", register { register = fault }, { sigterm = true })
        assert.is_true(how.ok, how.error)
        assert.matches("SIGTERM needs is not there", how.lines)
      end
    end)

    it("ends after what runs when SIGTERM comes, and at once when nothing does", function()
      local api = register { next = { function(_, go_on)
        os.execute("sleep 0.05 && kill -TERM " .. lambda.self() .. " &")
        return go_on()
      end } }
      local how = run("longer", api, { sigterm = true })
      assert.is_true(how.ok)
      assert.is_false(how.stopped)
      assert.are.equal("next response", api.calls())
      api = register { next = { function()
        os.execute("sleep 0.05 && kill -TERM " .. lambda.self() .. " &")
        return nil
      end } }
      how = run("echo", api, { sigterm = true })
      assert.is_true(how.ok)
      assert.is_false(how.stopped)
      assert.are.equal("next", api.calls())
    end)
  end)

  describe("when a handler fails", function()
    it("says what and where", function()
      local api = runtime.api { "{}" }
      assert.is_true(run("crash", api).ok)
      local request = api.errors[runtime.id(1)]
      local document = json.decode(request.body)
      assert.matches("attempt to index a nil value", document.errorMessage)
      assert.matches("^Function%.%u%a+$", document.errorType)
      assert.matches("^Function%.%u%a+$", request.headers["lambda-runtime-function-error-type"])
      assert.matches("h.lua:%d+:", document.stackTrace[1])
      local cause = json.decode(request.headers["lambda-runtime-function-xray-error-cause"])
      assert.are.equal(1, #cause.exceptions)
      assert.matches("h.lua$", cause.exceptions[1].stack[1].path)
      assert.is_true(cause.exceptions[1].stack[1].line > 0)
    end)

    it("names the code that it raised", function()
      local api = runtime.api { '{"code":"order_not_found"}' }
      assert.is_true(run("fail", api).ok)
      assert.are.equal("Function.OrderNotFound",
        api.errors[runtime.id(1)].headers["lambda-runtime-function-error-type"])
    end)

    it("in UTF-8, whatever the sources are written in", function()
      local api = runtime.api { "1" }
      assert.is_true(run("foreign", api).ok)
      local body = api.errors[runtime.id(1)].body
      assert.matches("caf?", body, 1, true)
      assert.is_truthy(utf8.len(body))
    end)

    it("says so for an event that is no JSON, and goes on", function()
      local api = runtime.api { "{broken", "", "1" }
      assert.is_true(run("echo", api).ok)
      assert.are.equal("next error next error next response next", api.calls())
      assert.matches("JSON", json.decode(api.errors[runtime.id(1)].body).errorMessage)
    end)

    it("ends one that waits or runs for ever shortly before the deadline", function()
      for _, field in ipairs { "wait", "spin" } do
        local deadline = tostring((os.time() + 2) * 1000)
        local api = runtime.api { { headers = { ["Lambda-Runtime-Deadline-Ms"] = deadline } }, "{}" }
        api.inner = api.serve
        local from = os.time()
        function api.serve(...) return #api.seen == 2 and "stop" or api.inner(...) end
        assert.is_true(run(field, api).ok)
        assert.are.equal("next error", api.calls())
        local message = json.decode(api.errors[runtime.id(1)].body).errorMessage
        assert.is_true(tonumber(message:match "did not end within its Timeout of (%d+) ms") < 2000, message)
        assert.is_true(os.time() - from <= 2)
      end
    end)

    it("refuses an answer that Lambda would not take, with both sizes", function()
      local most = 6 * 1024 * 1024 + 100
      local api = runtime.api { ('{"n":%d}'):format(most - 2), ('{"n":%d}'):format(most - 1), '{"n":1}' }
      assert.is_true(run("big", api).ok)
      assert.are.equal("next response next error next response next", api.calls())
      local request = api.errors[runtime.id(2)]
      assert.are.equal("Function.ResponseSizeTooLarge", request.headers["lambda-runtime-function-error-type"])
      assert.matches(tostring(most), json.decode(request.body).errorMessage)
    end)
  end)

  describe("when an event comes again", function()
    it("sends the answer that was not taken again instead of running the handler", function()
      local api = runtime.api({ "{}", "{}" }, { response = { function() return runtime.refused(400) end } })
      local how = run("count", api)
      assert.is_true(how.ok)
      assert.are.equal("next response next response next response next", api.calls())
      assert.are.same({ '{"runs":1}', '{"runs":2}' }, { answer_of(api, 1), answer_of(api, 2) })
      assert.matches("comes again", how.lines)
    end)

    it("runs it when it is another attempt: another deadline, or another nonce", function()
      for _, more in ipairs { { ["Lambda-Runtime-Deadline-Ms"] = "99999999999999" },
                              { ["Lambda-Runtime-Invocation-Id"] = "other" } } do
        local api = runtime.api({ "{}" }, {
          response = { function() return runtime.refused(410) end },
          next = { [2] = function() return runtime.event(1, "{}", more) end },
        })
        assert.is_true(run("count", api).ok)
        assert.are.equal('{"runs":2}', answer_of(api, 1))
      end
    end)

    it("runs it when its answer was taken", function()
      local api = runtime.api({ "{}" }, { next = { [2] = function() return runtime.event(1, "{}") end } })
      run("count", api)
      assert.are.equal('{"runs":2}', api.seen[4].body)
    end)

    it("again and again, gives up", function()
      local refuse = function() return runtime.refused(400) end
      local api = runtime.api({ "{}" }, { response = { refuse, refuse, refuse, refuse, refuse } })
      local how = run("count", api)
      assert.is_false(how.ok)
      assert.matches("again and again", how.error)
      for _, request in ipairs(api.seen) do
        if request.call == "response" then assert.are.equal('{"runs":1}', request.body) end
      end
    end)
  end)

  it("gives up with a reason when nobody listens", function()
    local how = run("echo", { serve = function() end }, { api = "127.0.0.1:1" })
    assert.is_false(how.ok)
    assert.matches("no event can be had after 7 attempts: the Runtime API at 127.0.0.1:1: cannot connect", how.error)
  end)

  describe("addresses", function()
    it("are host:port", function()
      for _, good in ipairs { "127.0.0.1:9001", "[::1]:9001", "localhost:1", "127.0.0.1:65535" } do
        assert.is_nil(lambda.address(good))
      end
      for _, bad in ipairs { "", ":1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:1x",
                             "127.0.0.1:-1" } do
        assert.matches("is not host:port", lambda.address(bad))
      end
      assert.matches("no address for", lambda.address "no.such.host.invalid:80")
    end)
  end)

  describe("failures in Lambda's words", function()
    it("have a type that Lambda takes", function()
      for given, type in pairs { ["Function.Xy"] = "Function.Xy", ["Runtime.XyZ"] = "Runtime.XyZ",
                                 ["Function.x"] = "Function.HandlerError", ["Function.X"] = "Function.HandlerError",
                                 ["Function.X1"] = "Function.HandlerError", ["Other.Xy"] = "Function.HandlerError",
                                 Xy = "Function.HandlerError", [""] = "Function.HandlerError",
                                 ["Function.X" .. ("y"):rep(1000)] = "Function.HandlerError" } do
        local taken, document, cause = lambda.failure(given, "x", "")
        assert.are.equal(type, taken)
        assert.are.equal(type, json.decode(document).errorType)
        assert.are.equal(type, json.decode(cause).exceptions[1].type)
      end
    end)

    it("have stacks", function()
      local _, document, cause = lambda.failure("x", 'said "no"\nand é 😀', 'no\nstack traceback:\n' ..
        "\thandlers/orders.lua:12: in function 'create'\n\t\tlocal x = 1\n\t[C]: in function 'error'\n\t... (3 levels)")
      assert.are.same({ "handlers/orders.lua:12: in function 'create'", "local x = 1", "[C]: in function 'error'",
                        "... (3 levels)" }, json.decode(document).stackTrace)
      assert.is_nil(cause:find "[\128-\255%c]")
      local exception = json.decode(cause).exceptions[1]
      assert.are.same({ path = "handlers/orders.lua", line = 12, label = "function 'create'" }, exception.stack[1])
      assert.are.same({ path = "[C]", line = 0, label = "function 'error'" }, exception.stack[2])
      assert.are.equal('said "no"\nand é 😀', exception.message)
    end)

    it("stay within the limits of a header", function()
      local long = "\tx.lua:1: in function '" .. ("y"):rep(3000) .. "'\n"
      local _, _, cause = lambda.failure(("x"):rep(4000), ("é"):rep(500), "x\nstack traceback:\n" .. long:rep(100))
      assert.is_true(#cause <= 8192, #cause)
      assert.is_not_nil(json.decode(cause))
    end)
  end)

  describe("a trace id", function()
    it("is X-Ray's root, else the request's id, else made of it", function()
      local id = runtime.id(1)
      local hex = id:gsub("-", "")
      assert.are.equal("5759e988bd862e3fe1be46a994272793",
        lambda.trace_id("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1", id))
      assert.are.equal("5759e988bd862e3fe1be46a994272793",
        lambda.trace_id("Sampled=0;Root=1-5759e988-bd862e3fe1be46a994272793", id))
      for _, bad in ipairs { "", "Root=1-5759e988", "Root=2-5759e988-bd862e3fe1be46a994272793", "Root=1-" .. ("0"):rep(32),
                             "Root=1-5759e988-bd862e3fe1be46a9942727930", "Root=1-g759e988-bd862e3fe1be46a994272793" } do
        assert.are.equal(hex, lambda.trace_id(bad, id))
      end
      assert.matches("^%x+$", lambda.trace_id(nil, "some-id"))
      assert.are.equal(32, #lambda.trace_id(nil, "some-id"))
      assert.are_not.equal(lambda.trace_id(nil, "some-id"), lambda.trace_id(nil, "some-ie"))
    end)
  end)

  describe("the time that a handler has", function()
    it("ends so much before the deadline that its error arrives", function()
      assert.are.equal(950, lambda.timeout(1001000, 1000000))
      assert.are.equal(2850, lambda.timeout(1003000, 1000000))
      assert.are.equal(899750, lambda.timeout(1900000, 1000000))
      assert.are.equal(70, lambda.timeout(1000100, 1000000))
      assert.are.equal(20, lambda.timeout(1000040, 1000000))
      assert.are.equal(1, lambda.timeout(1000000, 1000000))
      assert.are.equal(1, lambda.timeout(0, 1000000))
    end)
  end)
end)
