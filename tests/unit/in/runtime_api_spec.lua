-- in/runtime_api: the state machine of a local Runtime API, over raw sockets; and the life of programs.
local api = require "t.runtime_api"

local BASE = "/2018-06-01/runtime/"
local r

-- A string member of a flat document.
local function member(document, name)
  return document:match('"' .. name .. '":"(.-)"')
end

local function open(options)
  r = api.open(options or {})
  return r
end

local function request(method, target, body, headers)
  local lines = { ("%s %s HTTP/1.1"):format(method, target), "Host: x" }
  for name, value in pairs(headers or {}) do lines[#lines + 1] = name .. ": " .. value end
  if body then lines[#lines + 1] = "Content-Length: " .. #body end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

local function ask(c, method, target, body, headers)
  c:send(request(method, target, body, headers))
  return c:answer()
end

local function next_event(c)
  return ask(c, "GET", BASE .. "invocation/next")
end

local function id_of(answer) return answer.headers["lambda-runtime-aws-request-id"] end

local function respond(c, id, body, headers)
  return ask(c, "POST", BASE .. "invocation/" .. id .. "/response", body, headers)
end

local function poll(c) c:send(request("GET", BASE .. "invocation/next")) end

local function is_refused(status, type, answer)
  assert.equal(status, answer.status, answer.body)
  assert.equal("application/json", answer.headers["content-type"])
  assert.equal(type, member(answer.body, "errorType"))
end

local function chunk(bytes) return ("%x\r\n%s\r\n"):format(#bytes, bytes) end

-- Begins a streamed answer.
local function stream_head(id, more)
  return request("POST", BASE .. "invocation/" .. id .. "/response", nil, {
    ["Lambda-Runtime-Function-Response-Mode"] = "streaming", ["Transfer-Encoding"] = "chunked", ["Content-Type"] = more or "text/plain",
  })
end

describe("the local Runtime API", function()
  after_each(function()
    if r then r:close() end
    r = nil
  end)

  it("gives an event with Lambda's headers and takes its answer", function()
    open()
    local c = r:connect()
    local id = r:invoke('{"a":1}', { trace = "Root=1-2-3", context = '{"x":\n1}' })
    local e = next_event(c)
    assert.equal(200, e.status)
    assert.equal('{"a":1}', e.body)
    assert.equal(id, id_of(e))
    assert.equal("application/json", e.headers["content-type"])
    assert.equal("Root=1-2-3", e.headers["lambda-runtime-trace-id"])
    assert.equal('{"x": 1}', e.headers["lambda-runtime-client-context"])
    assert.equal("arn:aws:lambda:us-east-1:123456789012:function:fn", e.headers["lambda-runtime-invoked-function-arn"])
    local left = tonumber(e.headers["lambda-runtime-deadline-ms"]) - os.time() * 1000
    assert.is_true(left > 0 and left < 6000, "3 s by default")
    assert.matches("^%x+%-%x+%-4%x+%-%x+%-%x+$", e.headers["lambda-runtime-invocation-id"])
    assert.is_nil(e.headers["lambda-runtime-cognito-identity"])
    local answer = respond(c, id, "fine", { ["Content-Type"] = "text/x" })
    assert.equal(202, answer.status)
    assert.equal('{"status":"OK"}\n', answer.body)
    local result = r:until_done(id)
    assert.same({ "fine", "text/x" }, { result.body, result.type })
    assert.is_nil(result.error)
    assert.is_nil(result.ended, "it ends when the next event is asked for")
    poll(c)
    assert.is_true(r:until_ended(id).ended)
    assert.matches("START RequestId: " .. id .. " Version: $LATEST\nEND RequestId: " .. id .. "\nREPORT RequestId: " .. id
      .. "\tDuration: ", r:output(), 1, true)
  end)

  it("sends events above 2048 bytes in chunks, and others with their length", function()
    open()
    local c = r:connect()
    for n, chunked in pairs { [2048] = false, [2049] = true, [100000] = true } do
      local id = r:invoke(("x"):rep(n))
      local e = next_event(c)
      assert.equal(n, #e.body)
      assert.equal(chunked, e.chunked)
      assert.equal(not chunked and tostring(n) or nil, e.headers["content-length"])
      respond(c, id, "")
    end
  end)

  it("keeps a poll until there is an event, and gives each event once", function()
    open()
    local c = r:connect()
    poll(c)
    assert.is_true(c:is_silent())
    local first, second = r:invoke "1", r:invoke "2"
    assert.equal(first, id_of(c:answer()))
    respond(c, first, "a")
    assert.equal(second, id_of(next_event(c)))
    respond(c, second, "b")
    assert.same({ "a", "b" }, { r:result(first).body, r:result(second).body })
  end)

  it("gives the event again to whoever asks while it runs", function()
    open()
    local c, other = r:connect(), r:connect()
    local id = r:invoke "1"
    local once, again = next_event(c), next_event(other)
    assert.equal(id, id_of(again))
    assert.equal(once.headers["lambda-runtime-invocation-id"], again.headers["lambda-runtime-invocation-id"])
    respond(other, id, "x")
    assert.equal("x", r:result(id).body)
  end)

  it("gives the event to the next poll when the polling connection was lost", function()
    open()
    local lost, c = r:connect(), r:connect()
    poll(lost)
    r:settle()
    lost:close()
    r:settle()
    local id = r:invoke "1"
    assert.equal(id, id_of(next_event(c)))
  end)

  it("refuses answers in the wrong state, to other ids and of earlier deliveries", function()
    open()
    local c = r:connect()
    is_refused(400, "InvalidRequestID", respond(c, "4711", "x"))
    local id = r:invoke "1"
    local e = next_event(c)
    is_refused(400, "InvalidRequestID", respond(c, "4711", "x"))
    is_refused(410, "InvokeTimeout", respond(c, id, "x", { ["Lambda-Runtime-Invocation-Id"] = "stale" }))
    is_refused(400, "InvalidRequestID", ask(c, "POST", BASE .. "invocation/4711/error", "{}"))
    is_refused(403, "InvalidStateTransition", ask(c, "POST", BASE .. "init/error", "{}"))
    local nonce = e.headers["lambda-runtime-invocation-id"]
    assert.equal(202, respond(c, id, "x", { ["Lambda-Runtime-Invocation-Id"] = nonce }).status)
    is_refused(403, "InvalidStateTransition", respond(c, id, "y"))
    is_refused(403, "InvalidStateTransition", ask(c, "POST", BASE .. "invocation/" .. id .. "/error", "{}"))
    assert.equal("x", r:result(id).body)
    poll(c)
    r:until_ended(id)
    local late = r:connect()
    is_refused(400, "InvalidRequestID", respond(late, id, "y"))
  end)

  it("names the states of a refused transition as AWS does", function()
    open()
    local c = r:connect()
    local id = r:invoke "1"
    next_event(c)
    respond(c, id, "x")
    local answer = respond(c, id, "y")
    assert.equal("State transition from ResponseSent to InvocationResponse failed for runtime. Error: State transition is not allowed",
      member(answer.body, "errorMessage"))
  end)

  it("takes the type of an error only as Runtime.Name or Function.Name", function()
    open()
    local c = r:connect()
    for given, reported in pairs {
      ["Function.Broken"] = "Function.Broken", ["Runtime.NoSuchHandler"] = "Runtime.NoSuchHandler", ["Function.a b"] = "Function.Unknown",
      ["Whatever"] = "Runtime.Unknown", ["Function.9"] = "Function.Unknown",
    } do
      local id = r:invoke "1"
      next_event(c)
      local answer = ask(c, "POST", BASE .. "invocation/" .. id .. "/error", '{"errorMessage":"m"}',
        { ["Lambda-Runtime-Function-Error-Type"] = given })
      assert.equal(202, answer.status)
      assert.same({ "Unhandled", '{"errorMessage":"m"}' }, { r:result(id).error, r:result(id).body })
      poll(c)
      assert.matches("\tStatus: error\tError Type: " .. reported .. "\n$", r:until_ended(id).tail)
      c:close()
      c = r:connect()
    end
  end)

  it("answers 413 to more than 6 MiB and 100 bytes, and takes as much", function()
    open()
    local c = r:connect()
    local most = ("x"):rep(6 * 1024 * 1024 + 100)
    local id = r:invoke "1"
    next_event(c)
    assert.equal(202, respond(c, id, most).status)
    assert.equal(#most, #r:result(id).body)
    id = r:invoke "2"
    next_event(c)
    local answer = respond(c, id, most .. "x")
    is_refused(413, "RequestEntityTooLarge", answer)
    assert.equal("Exceeded maximum allowed payload size (6291556 bytes).", member(answer.body, "errorMessage"))
    assert.equal("Function.ResponseSizeTooLarge", member(r:result(id).body, "errorType"))
    assert.equal(200, (r:invoke "3" and next_event(c)).status)
  end)

  it("lets an answer that was cut off be sent again", function()
    open()
    local c, other = r:connect(), r:connect()
    local id = r:invoke "1"
    next_event(c)
    c:send("POST " .. BASE .. "invocation/" .. id .. "/response HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    r:settle()
    is_refused(403, "InvalidStateTransition", respond(other, id, "two at once"))
    is_refused(403, "InvalidStateTransition", next_event(other))
    c:close()
    r:settle()
    assert.is_nil(r:result(id).done)
    assert.equal(202, respond(other, id, "whole").status)
    assert.equal("whole", r:result(id).body)
  end)

  it("passes the parts of a streamed answer on as they come", function()
    open()
    local c = r:connect()
    local id = r:invoke("1", { stream = true })
    next_event(c)
    c:send(stream_head(id, "text/event-stream"))
    r:settle()
    assert.same({ "" }, r:result(id).parts)
    assert.equal("text/event-stream", r:result(id).type)
    c:send(chunk "one")
    r:settle()
    assert.same({ "", "one" }, r:result(id).parts)
    assert.is_nil(r:result(id).done)
    c:send(chunk "two" .. "0\r\n\r\n")
    assert.equal(202, c:answer().status)
    assert.same({ "", "one", "two" }, r:result(id).parts)
    assert.same({ "", true }, { r:result(id).body, r:result(id).done })
    assert.is_nil(r:result(id).error)
  end)

  it("takes the error of a streamed answer from its trailers", function()
    open()
    local c = r:connect()
    for body, expected in pairs {
      ["eyJlcnJvck1lc3NhZ2UiOiJtIn0="] = '{"errorMessage":"m"}', -- base64
      ["{}"] = '{"errorMessage":"the answer was broken off by the runtime","errorType":"Function.Broken"}',
    } do
      local id = r:invoke("1", { stream = true })
      next_event(c)
      c:send(stream_head(id) .. chunk "part" .. "0\r\nLambda-Runtime-Function-Error-Type: Function.Broken\r\n"
        .. "Lambda-Runtime-Function-Error-Body: " .. body .. "\r\n\r\n")
      assert.equal(202, c:answer().status)
      assert.same({ "Unhandled", expected }, { r:result(id).error, r:result(id).body })
      assert.same({ "", "part" }, r:result(id).parts)
    end
  end)

  it("ends a streamed answer that was cut off with an error", function()
    open()
    local c = r:connect()
    local id = r:invoke("1", { stream = true })
    next_event(c)
    c:send(stream_head(id) .. chunk "part")
    r:settle()
    c:close()
    assert.equal("Runtime.TruncatedResponse", member(r:until_done(id).body, "errorType"))
  end)

  it("refuses other response modes, and the caller is told", function()
    open()
    local c = r:connect()
    local id = r:invoke "1"
    next_event(c)
    is_refused(400, "InvalidFunctionResponseMode",
      respond(c, id, "x", { ["Lambda-Runtime-Function-Response-Mode"] = "Streaming" }))
    assert.equal("Runtime.InvalidResponseModeHeader", member(r:result(id).body, "errorType"))
  end)

  it("does not read a streamed answer further than its reader can take", function()
    open()
    local c = r:connect()
    local id = r:invoke("1", { stream = true, waiting = 300000 })
    next_event(c)
    c:send(stream_head(id))
    r:settle()
    c:send(chunk "one")
    r:settle()
    assert.same({ "" }, r:result(id).parts)
    r:resume(id)
    r:settle()
    assert.same({ "", "one" }, r:result(id).parts)
    c:send(chunk "two")
    r:settle()
    assert.same({ "", "one" }, r:result(id).parts)
  end)

  it("times an invocation out, whoever runs it", function()
    open { timeout_ms = 100 }
    local c = r:connect()
    local id = r:invoke "1"
    next_event(c)
    local result = r:until_ended(id)
    assert.equal("Unhandled", result.error)
    assert.equal("Sandbox.Timedout", member(result.body, "errorType"))
    assert.matches("^%d+%-%d+%-%d+T%d+:%d+:%d+%.%d+Z " .. id:gsub("%-", "%%-") .. " Task timed out after 0.10 seconds$",
      member(result.body, "errorMessage"))
    assert.matches("Task timed out after 0.10 seconds\n\nEND RequestId: .*\tStatus: timeout\n$", r:output())
  end)

  it("runs as many at once as it was told to, and no more", function()
    open { concurrency = 2 }
    local a, b = r:connect(), r:connect()
    poll(a)
    poll(b)
    r:settle()
    local third = r:connect()
    is_refused(500, "Runtime.TooManyIdleRuntimes", next_event(third))
    local ids = { r:invoke "1", r:invoke "2", r:invoke "3" }
    local got = { id_of(a:answer()), id_of(b:answer()) }
    assert.same({ ids[1], ids[2] }, got)
    poll(third)
    assert.is_true(third:is_silent())
    respond(a, ids[2], "two") -- any connection may answer
    assert.is_true(r:result(ids[2]).ended)
    assert.equal(ids[3], id_of(third:answer()))
    respond(b, ids[1], "one")
    respond(third, ids[3], "three")
    assert.same({ "one", "two", "three" }, { r:result(ids[1]).body, r:result(ids[2]).body, r:result(ids[3]).body })
  end)

  it("tells a late answer that it is late when others run beside it", function()
    open { concurrency = 2, timeout_ms = 100 }
    local c = r:connect()
    local id, slow = r:invoke "1", r:invoke "2"
    next_event(c)
    r:until_ended(id)
    is_refused(410, "InvokeTimeout", respond(c, id, "late"))
    assert.equal(slow, id_of(next_event(c)))
    c:send("POST " .. BASE .. "invocation/" .. slow .. "/response HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nla")
    r:until_ended(slow)
    c:send "te"
    is_refused(410, "InvokeTimeout", c:answer())
    assert.equal("Sandbox.Timedout", member(r:result(slow).body, "errorType"))
  end)

  it("answers what cannot be read or is no call of it", function()
    open()
    local c = r:connect()
    assert.equal("pong", ask(c, "GET", "/2018-06-01/ping").body)
    is_refused(404, "NotFound", ask(c, "GET", "/2018-06-01/runtime"))
    is_refused(404, "NotFound", ask(c, "GET", "/2018-06-01/runtime/invocation//next/x"))
    is_refused(405, "NotFound", ask(c, "DELETE", BASE .. "invocation/next"))
    is_refused(202, "Telemetry.NotSupported", ask(c, "PUT", "/2022-07-01/telemetry", "{}"))
    c:send "nonsense\r\n\r\n"
    local answer = c:answer()
    is_refused(400, "InvalidRequest", answer)
    assert.equal("close", answer.headers.connection)
    assert.is_nil(c:answer())
  end)

  it("reads requests that come in pieces or ahead of their turn, and answers Expect", function()
    open()
    local c = r:connect()
    local id, second = r:invoke "1", r:invoke "2"
    local text = request("GET", BASE .. "invocation/next")
    for i = 1, #text do c:send(text:sub(i, i)) end
    assert.equal(id, id_of(c:answer()))
    c:send("POST " .. BASE .. "invocation/" .. id .. "/response HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    r:settle()
    c:send("ok" .. text)
    assert.equal(202, c:answer().status) -- behind the 100
    assert.equal(second, id_of(c:answer()))
  end)

  it("tells each invocation its answer and its end once, whatever is sent", function()
    for seed = 1, 30 do
      math.randomseed(seed)
      open { concurrency = seed % 3 + 1, timeout_ms = seed % 5 == 0 and 20 or nil }
      local conns, ids = {}, { "none" }
      local function any(list) return list[math.random(#list)] end
      local function answer(what, headers, body)
        return "POST " .. BASE .. "invocation/" .. any(ids) .. "/" .. what .. " HTTP/1.1\r\nHost: x\r\n" .. headers .. "\r\n" .. body
      end
      local streamed = "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
      local texts = {
        function() return request("GET", BASE .. "invocation/next") end,
        function() return answer("response", "Content-Length: 2\r\n", "ok") end,
        function() return answer("error", "Content-Length: 2\r\n", "{}") end,
        function() return answer("response", streamed, chunk "part" .. "0\r\n\r\n") end,
        function() return answer("response", "Content-Length: 20\r\n", "half") end,
        function() return answer("response", streamed, chunk "part") end,
        function() return answer("response", "Content-Length: 2\r\nLambda-Runtime-Function-Response-Mode: other\r\n", "ok") end,
        function() return request("POST", BASE .. "init/error", "{}") end,
        function() return request("POST", "/2020-01-01/extension/register", '{"events":["INVOKE"]}', { ["Lambda-Extension-Name"] = "x" }) end,
        function() return "nonsense\r\n" end,
      }
      for _ = 1, 60 do
        local n = math.random(4)
        if math.random(3) == 1 then ids[#ids + 1] = r:invoke("1", { stream = math.random(2) == 1 or nil, waiting = math.random(2) == 1 and 300000 or 0 }) end
        if conns[n] and math.random(6) == 1 then
          conns[n]:close()
          conns[n] = nil
        end
        conns[n] = conns[n] or r:connect()
        -- polls more often than the rest; the server may have closed it meanwhile
        if not pcall(conns[n].send, conns[n], any(texts)()) or not pcall(conns[n].send, conns[n], math.random(2) == 1 and texts[1]() or "") then
          conns[n]:close()
          conns[n] = nil
        end
      end
      r:stop()
      for i = 2, #ids do
        local result = r:result(ids[i])
        assert.same({ true, true }, { result.done, result.ended }, "seed " .. seed)
      end
      r:close()
    end
  end)

  describe("extensions", function()
    local function register(c, name, body)
      return ask(c, "POST", "/2020-01-01/extension/register", body or '{"events":[]}', { ["Lambda-Extension-Name"] = name })
    end
    local function extension_next(c, id)
      c:send(request("GET", "/2020-01-01/extension/event/next", nil, { ["Lambda-Extension-Identifier"] = id }))
    end

    it("register before the first event, each name once, and not for SHUTDOWN", function()
      open()
      local c = r:connect()
      is_refused(403, "Extension.InvalidExtensionName", register(c, ""))
      is_refused(403, "Extension.InvalidEventType", register(c, "x", '{"events":["SHUTDOWN"]}'))
      is_refused(403, "InvalidRequestFormat", register(c, "x", "nonsense"))
      local answer = register(c, "x")
      assert.equal(200, answer.status)
      assert.equal('{"functionName":"fn","functionVersion":"$LATEST","handler":"orders.create"}\n', answer.body)
      assert.matches("^%x+%-", answer.headers["lambda-extension-identifier"])
      is_refused(403, "Extension.InvalidExtensionState", register(c, "x"))
      for i = 2, 10 do assert.equal(200, register(c, "x" .. i).status) end
      is_refused(403, "Extension.TooManyExtensions", register(c, "y"))
      is_refused(403, "Extension.MissingExtensionIdentifier", ask(c, "GET", "/2020-01-01/extension/event/next"))
      extension_next(c, "unknown")
      is_refused(403, "Extension.UnknownExtensionIdentifier", c:answer())
      r:invoke "1"
      next_event(r:connect())
      is_refused(403, "Extension.RegistrationClosed", register(c, "z"))
    end)

    it("are told of invocations when they asked, and hold the next one back until they are ready", function()
      open()
      local c, x = r:connect(), r:connect()
      local quiet = register(x, "quiet").headers["lambda-extension-identifier"]
      local keen = register(x, "keen", '{"events":["INVOKE"]}').headers["lambda-extension-identifier"]
      local waits = r:connect()
      extension_next(waits, quiet)
      local id = r:invoke "1"
      poll(c)
      assert.is_true(c:is_silent())
      extension_next(x, keen)
      assert.equal(id, id_of(c:answer()))
      local told = x:answer().body
      assert.same({ "INVOKE", id }, { member(told, "eventType"), member(told, "requestId") })
      assert.is_true(waits:is_silent())
      respond(c, id, "x")
    end)

    it("may say that they failed, and are gone then", function()
      open()
      local c = r:connect()
      local id = register(c, "x").headers["lambda-extension-identifier"]
      local answer = ask(c, "POST", "/2020-01-01/extension/exit/error", "{}",
        { ["Lambda-Extension-Identifier"] = id, ["Lambda-Extension-Function-Error-Type"] = "Extension.Broken" })
      assert.equal(202, answer.status)
      assert.matches("EXTENSION Name: x\tState: Failed\tError Type: Extension.Broken", r:output(), 1, true)
      extension_next(c, id)
      is_refused(403, "Extension.UnknownExtensionIdentifier", c:answer())
    end)
  end)

  describe("programs", function()
    local function program(script, options)
      options = options or {}
      options.argv = { "/bin/sh", "-c", script }
      options.env = options.env or { "PATH=/usr/bin:/bin" }
      return open(options)
    end
    local function doc(result)
      return { errorType = member(result.body, "errorType"), errorMessage = member(result.body, "errorMessage") }
    end

    it("that end before their first event fail the invocation with how", function()
      for script, reason in pairs {
        ["exit 0"] = "Runtime exited without providing a reason", ["exit 3"] = "Runtime exited with error: exit status 3",
        ["kill -9 $$"] = "Runtime exited with error: signal: killed",
      } do
        program(script)
        local id = r:invoke "1"
        local result = r:until_ended(id)
        assert.same({ "Unhandled", "Runtime.ExitError", "RequestId: " .. id .. " Error: " .. reason },
          { result.error, doc(result).errorType, doc(result).errorMessage })
        assert.matches("INIT_REPORT Init Duration: %d+%.%d%d ms\tPhase: init\tStatus: error\tError Type: Runtime.ExitError\n", r:output())
        r:close()
      end
    end)

    it("that cannot be started are Runtime.InvalidEntrypoint", function()
      open { argv = { "/no/such/program" } }
      local result = r:until_ended(r:invoke "1")
      assert.equal("Runtime.InvalidEntrypoint", doc(result).errorType)
      assert.matches("/no/such/program: No such file or directory", doc(result).errorMessage, 1, true)
    end)

    it("that take too long to begin are started once more, on the invocation's time", function()
      program("echo started; exec sleep 100", { init_ms = 50, timeout_ms = 100 })
      local result = r:until_ended(r:invoke "1")
      assert.equal("Sandbox.Timedout", doc(result).errorType)
      assert.matches("Phase: init\tStatus: timeout\n.*started\n.*Task timed out", r:output())
      local _, starts = r:output():gsub("started\n", "")
      assert.equal(2, starts)
    end)

    it("that never begin are killed at the time-out of the invocation, also when they asked for several", function()
      program("echo started; exec sleep 100", { init_ms = 20, timeout_ms = 50, concurrency = 2 })
      local first, second = r:invoke "1", r:invoke "2"
      assert.equal("Sandbox.Timedout", doc(r:until_ended(first)).errorType)
      assert.equal("Sandbox.Timedout", doc(r:until_ended(second)).errorType)
      local _, starts = r:output():gsub("started\n", "")
      assert.equal(4, starts)
    end)

    it("that left their process group are killed nevertheless", function()
      local mover = [[
import os, time
parent = os.getpid()
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    while os.getppid() == parent: time.sleep(0.01)
    os._exit(0)
while os.getpgid(child) != child: time.sleep(0.001)
os.setpgid(0, child)
time.sleep(100)]]
      open { argv = { "/usr/bin/python3", "-c", mover }, init_ms = 600, timeout_ms = 100 }
      assert.equal("Sandbox.Timedout", doc(r:until_ended(r:invoke "1")).errorType)
      r:stop()
    end)

    it("end with the server, with all that they started", function()
      program "sleep 100 & echo $!; wait"
      r:invoke "1"
      for _ = 1, 1000 do
        if r:output():find "\n" then break end
        r:settle()
      end
      local child = r:output():match "^(%d+)\n"
      assert.is_string(child)
      r:stop()
      local state
      for _ = 1, 1000 do -- it was killed; when it is gone is the kernel's affair
        local stat = io.open("/proc/" .. child .. "/stat")
        state = stat and stat:read("a"):match "%) (%a)" or "Z"
        if stat then stat:close() end
        if state == "Z" then break end
        r:settle()
      end
      assert.equal("Z", state)
    end)

    it("fail what waits when the server stops", function()
      program "exec sleep 100"
      local id = r:invoke "1"
      r:settle()
      r:stop()
      assert.equal("Sandbox.Stopped", doc(r:result(id)).errorType)
      assert.is_true(r:result(id).ended)
    end)
  end)
end)
