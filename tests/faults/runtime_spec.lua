-- A Runtime API that misbehaves, and the runtime as Lambda starts it: it goes on, or exits 1 with a reason; it never
-- exits 0, never loses an answer that could be given and never gives one twice.
-- Run by ut_in, which plays the Runtime API: PERIGEE_BIN=build/x/perigee build/x/ut_in tests/faults/runtime_spec.lua
-- PERIGEE_VOLUME: invocations of the long run (5000).
if not package.preload["t.lambda"] then return end

local lambda = require "t.lambda"
local runtime = require "unit.in.runtime"

local bin = os.getenv "PERIGEE_BIN" or "build/dev/perigee"
local EVENTS = 4

local handlers = [[
local M, runs = {}, 0
function M.ask()
  local aws = require "perigee.aws"
  return assert(aws.dynamodb:get_item { TableName = "T", Key = { id = "1" } }).Item
end
function M.who() return require("perigee.aws").identity() end
function M.run(event)
  runs = runs + 1
  if event.fail then error { code = "Broken", message = "as told" } end
  return { n = event.n, runs = runs }
end
return M
]]

describe("a Runtime API that misbehaves", function()
  local dir = require "unit.directory"(_ENV,
    { ["h.lua"] = handlers, ["broken.lua"] = "error 'no start'", ["endless.lua"] = "while true do end" })

  local function spawn(serve, handler, program, more)
    local env = { "_HANDLER=" .. (handler or "h.run"), "LAMBDA_TASK_ROOT=" .. dir, "AWS_REGION=eu-central-1",
                  "AWS_LAMBDA_FUNCTION_NAME=Fn", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256", "TZ=:UTC",
                  "ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=1:thread_local_quarantine_size_kb=64" }
    for _, v in ipairs(more or {}) do table.insert(env, 1, v) end -- of two of a name the first counts
    return lambda.spawn { argv = { program or bin }, env = env, serve = serve, patience = program and 900 }
  end

  -- Events; the third fails when `fail`. The fault strikes at the third call.
  local function api_with(call, fault, fail)
    local events = {}
    for n = 1, EVENTS do
      events[n] = ('{"n":%d%s,"pad":"%s"}'):format(n, fail and ',"fail":true' or "", ("x"):rep(3000))
    end
    return runtime.api(events, { [call] = type(fault) == "table" and fault or { [3] = fault } })
  end

  -- Every event was answered once, and each handler ran once.
  local function assert_all_answered(api, fail, but)
    for n = 1, EVENTS do
      local of = fail and api.errors or api.answers
      local request = of[runtime.id(n)]
      if n ~= but then
        assert.is_not_nil(request, "no answer to event " .. n)
        if not fail then assert.are.equal(('{"n":%d,"runs":%d}'):format(n, n), request.body) end
      end
    end
  end

  local function goes_on(call, fault, but)
    local fail = call == "error"
    local api = api_with(call, fault, fail)
    local how = spawn(api.serve)
    assert.are.equal(15, how.signal, how.output) -- the end of this test: SIGTERM
    assert_all_answered(api, fail, but)
    return api, how
  end

  local function exits(call, fault, words)
    local api = api_with(call, fault, call == "error")
    local how = spawn(api.serve)
    assert.are.equal(1, how.code, how.output)
    assert.matches("the runtime ends", how.output)
    assert.matches(words, how.output)
    return api
  end

  -- What is done with the bytes that would be right.
  local ways = {
    ["closes the connection instead"] = function() return { "", close = true } end,
    ["resets the connection instead"] = function() return { "", reset = true } end,
    ["is cut in the head"] = function(_, go_on, good) return { (good or go_on()):sub(1, 25), close = true } end,
    ["is cut in the body"] = function(_, go_on, good) return { (good or go_on()):sub(1, -4), close = true } end,
    ["is no HTTP"] = function() return { "SSH-2.0-OpenSSH_9.2\r\n\r\n" } end,
  }
  local good_ways = {
    ["is dribbled"] = function(_, go_on) return { go_on(), dribble = true } end,
    ["is slow"] = function(_, go_on) return { go_on(), wait = 300 } end,
    ["is the last on its connection"] = function(_, go_on)
      return { (go_on():gsub("\r\n", "\r\nConnection: close\r\n", 1)), close = true }
    end,
    ["closes its connection behind it, unannounced"] = function(_, go_on) return { go_on(), close = true } end,
    ["follows information"] = function(_, go_on) return "HTTP/1.1 100 Continue\r\n\r\n" .. go_on() end,
    ["ends with its connection"] = function(_, go_on)
      local head, body = go_on():match "^(.-\r\n\r\n)(.*)$"
      if head:find "chunked" then
        body = body:match "^%x+\r\n(.*)\r\n0\r\n\r\n$"
      end
      head = head:gsub("Transfer%-Encoding: chunked\r\n", ""):gsub("Content%-Length: %d+\r\n", "")
      return { head .. body, close = true }
    end,
  }

  describe("when the answer to /next", function()
    for name, way in pairs(ways) do
      it(name, function() goes_on("next", way) end)
      it(name .. ", five times", function()
        goes_on("next", { [3] = way, [4] = way, [5] = way, [6] = way, [7] = way })
      end)
    end
    for name, way in pairs(good_ways) do
      it(name, function() goes_on("next", way) end)
    end
    it("has wrong chunks", function()
      goes_on("next", function(_, go_on) return (go_on():gsub("\r\n\r\n%x+\r\n", "\r\n\r\nzz\r\n", 1)) end)
    end)
    it("has chunks that are too short", function()
      goes_on("next", function(_, go_on) return (go_on():gsub("\r\n\r\n%x+\r\n", "\r\n\r\n5\r\n", 1)) end)
    end)
    it("has no request id", function()
      goes_on("next", function(_, go_on) return (go_on():gsub("Lambda%-Runtime%-Aws%-Request%-Id", "X")) end)
    end)
    it("has a request id that would not be one in a path", function()
      goes_on("next", function(_, go_on) return (go_on():gsub("(Request%-Id: )", "%1../../x?y")) end)
    end)
    it("has an empty body", function()
      local api = api_with("next", function(_, go_on)
        return (go_on():gsub("\r\n\r\n.*$", "\r\n\r\n0\r\n\r\n"))
      end)
      local how = spawn(api.serve)
      assert.are.equal(15, how.signal, how.output)
      assert.matches("JSON", api.errors[runtime.id(3)].body)
    end)
    it("never comes whole, it exits", function()
      local faults = {}
      for n = 3, 20 do faults[n] = ways["is cut in the body"] end
      local api = exits("next", faults, "no event can be had after %d attempts")
      assert.are.equal("next response next response", api.calls():sub(1, 27))
    end)
    for _, status in ipairs { 500, 403, 404 } do
      it("is " .. status .. ", it exits", function()
        exits("next", function() return runtime.refused(status) end, "answered " .. status .. " to /next")
      end)
    end
  end)

  for _, call in ipairs { "response", "error" } do
    describe("when the answer to /" .. call, function()
      for name, way in pairs(ways) do
        it(name .. ", before it was taken", function()
          local api = goes_on(call, function(request, go_on) return way(request, go_on, runtime.accepted) end)
          assert.are.equal(EVENTS + 1, api.counts[call])
        end)
        it(name .. ", after it was taken", function()
          local api = goes_on(call, function(request, go_on) return way(request, go_on, go_on()) end)
          assert.are.equal(EVENTS + 1, api.counts[call])
        end)
        it(name .. " twice, it exits", function()
          local function both(request, go_on) return way(request, go_on, runtime.accepted) end
          exits(call, { [3] = both, [4] = both }, "could not be given")
        end)
      end
      for name, way in pairs(good_ways) do
        it(name, function() goes_on(call, way) end)
      end
      it("is wrongly chunked", function()
        goes_on(call, function() return "HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\nnothing\r\n" end)
      end)
      for _, status in ipairs { 400, 403, 410, 413, 404, 429 } do
        it("is " .. status, function()
          -- The event counts as answered for this server, which delivers the next one.
          goes_on(call, function(_, go_on) go_on() return runtime.refused(status) end)
        end)
      end
      for _, status in ipairs { 500, 503 } do
        it("is " .. status .. " once", function()
          local api = goes_on(call, function() return runtime.refused(status) end)
          assert.are.equal(EVENTS + 1, api.counts[call])
          assert.are_not.equal(api.seen[5].connection, api.seen[#api.seen].connection)
        end)
        it("is " .. status .. " twice, it exits", function()
          local function fault() return runtime.refused(status) end
          exits(call, { [3] = fault, [4] = fault }, "answered " .. status)
        end)
      end
      it("comes before the body was read, and the connection is closed", function()
        local api = api_with(call, function(_, go_on) go_on() return { runtime.refused(413), reset = true } end,
          call == "error")
        local how = spawn(api.serve)
        assert.are.equal(15, how.signal, how.output)
      end)
    end)
  end

  describe("when a handler cannot be loaded and the answer to /init/error", function()
    local function init_error(fault)
      local seen = {}
      local how = spawn(function(_, request)
        seen[#seen + 1] = request
        assert(runtime.call_of(request) == "init/error")
        return fault(request, function() return runtime.accepted end, #seen)
      end, "broken.run")
      assert.are.equal(1, how.code, how.output)
      assert.matches("no start", how.output)
      return seen
    end
    it("is right, it exits", function()
      local seen = init_error(function() return runtime.accepted end)
      assert.are.equal(1, #seen)
      assert.are.equal("Runtime.ImportModuleError", seen[1].headers["lambda-runtime-function-error-type"])
      assert.matches('"errorMessage":"[^"]*broken.lua', seen[1].body)
    end)
    for name, way in pairs(ways) do
      it(name .. ", it exits", function()
        assert.are.equal(2, #init_error(function(r, go_on) return way(r, go_on) end))
      end)
    end
    for name, way in pairs(good_ways) do
      it(name .. ", it exits", function() assert.are.equal(1, #init_error(way)) end)
    end
    for _, status in ipairs { 400, 403, 410, 413, 500 } do
      it("is " .. status .. ", it exits", function()
        assert.are.equal(1, #init_error(function() return runtime.refused(status) end))
      end)
    end
    it("never comes, it exits all the same", function()
      assert.are.equal(1, #init_error(function() return nil end))
    end)
  end)

  it("says why a module that loads for ever does not start, before Lambda's ten seconds are over", function()
    local why
    local how = spawn(function(_, request)
      assert.are.equal("init/error", runtime.call_of(request))
      why = request.body
      return runtime.accepted
    end, "endless.run")
    assert.are.equal(1, how.code)
    assert.matches("the module took longer than 8000 ms to load", why)
  end)

  it("exits with a reason when what the package says of its template was cut to nothing", function()
    local seen
    assert(os.execute(("mkdir %s/empty && : > %s/empty/perigee.json"):format(dir, dir)))
    local how = spawn(function(_, request)
      seen = request
      return runtime.call_of(request) == "init/error" and runtime.accepted or runtime.refused(500)
    end, nil, nil, { "LAMBDA_TASK_ROOT=" .. dir .. "/empty" })
    assert.are.equal("init/error", runtime.call_of(seen))
    assert.are.equal("Runtime.InvalidManifest", seen.headers["lambda-runtime-function-error-type"])
    assert.are.equal(1, how.code)
    assert.matches("perigee.json is empty", how.output)
  end)

  it("knows account and partition by the function's ARN", function()
    local arn = "arn:aws-cn:lambda:cn-north-1:210987654321:function:Fn"
    local api = runtime.api { { body = "{}", headers = { ["Lambda-Runtime-Invoked-Function-Arn"] = arn } } }
    spawn(api.serve, "h.who", nil, { "AWS_REGION=cn-north-1" })
    local who = require("dkjson").decode(api.answers[runtime.id(1)].body)
    assert.are.same({ account = "210987654321", partition = "aws-cn", region = "cn-north-1" }, who)
  end)

  it("exits with a reason when the handler is not there", function()
    local how = spawn(function() return runtime.accepted end, "h.nothing")
    assert.are.equal(1, how.code)
    assert.matches("without a function 'nothing'", how.output)
  end)

  it("exits with 0 after SIGTERM, when it has asked for that, and answers what runs", function()
    local api = runtime.api { "{}", "{}" }
    local serve = api.serve
    function api.serve(connection, request)
      local identity = { ["Lambda-Extension-Identifier"] = "x" }
      if request.target == "/2020-01-01/extension/register" then return runtime.answer(200, identity, "{}") end
      if request.target == "/2020-01-01/extension/event/next" then return nil end
      return serve(connection, request)
    end
    local how = spawn(api.serve, nil, nil, { "PERIGEE_LAMBDA_SIGTERM=1" })
    assert.are.same({ 0, 0 }, { how.code, how.signal }, how.output)
    assert.are.equal("next response next response next", api.calls())
  end)

  it("runs sixteen handlers at once that wait for AWS", function()
    local reply = runtime.answer(200, { ["Content-Type"] = "application/x-amz-json-1.0" }, '{"Item":{"id":{"S":"1"}}}')
    local waiting, events, answered = {}, 0, 0
    local how = spawn(function(connection, request)
      local call = runtime.call_of(request)
      if call == "next" then
        events = events + 1
        return answered == 16 and "stop" or events <= 16 and runtime.event(events, "{}") or nil
      elseif call ~= "/" then
        assert(call == "response" and request.body == '{"id":"1"}', request.body)
        answered = answered + 1
        return runtime.accepted
      end
      waiting[#waiting + 1] = connection
      if #waiting < 16 then return nil end -- all sixteen are answered when all sixteen have asked
      for i = 1, 15 do lambda.send(waiting[i], reply) end
      return reply
    end, "h.ask", nil,
      { "AWS_LAMBDA_MAX_CONCURRENCY=16", "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret" })
    assert.are.equal(15, how.signal, how.output)
    assert.are.equal(16, answered)
  end)

  it("runs thousands of invocations in the same memory and with the same descriptors", function()
    local n = tonumber(os.getenv "PERIGEE_VOLUME" or 5000)
    local at, marks = 0, {}
    local function measure()
      local pid = lambda.pid()
      local status = assert(io.open("/proc/" .. pid .. "/status")):read "a"
      local fds = io.popen("ls /proc/" .. pid .. "/fd | wc -l"):read "n"
      local maps = assert(io.open("/proc/" .. pid .. "/maps")):read "a"
      return { rss = tonumber(status:match "VmRSS:%s+(%d+)"), fds = fds, sanitized = maps:find "libasan" ~= nil }
    end
    local how = spawn(function(_, request)
      if runtime.call_of(request) ~= "next" then return runtime.accepted end
      at = at + 1
      if at == n // 5 or at == n then marks[#marks + 1] = measure() end
      local body = ('{"n":%d,"fail":%s,"pad":"%s"}'):format(at, at % 50 == 0, ("x"):rep(at % 4000))
      return at > n and "stop" or runtime.event(at, body)
    end, nil, os.getenv "PERIGEE_RELEASE_BIN")
    assert.are.equal(15, how.signal)
    assert.are.equal(marks[1].fds, marks[2].fds)
    -- The sanitizer keeps what was freed.
    assert.is_true(marks[2].sanitized or marks[2].rss <= marks[1].rss * 1.05 + 256,
      marks[1].rss .. " -> " .. marks[2].rss .. " kB")
  end)
end)
