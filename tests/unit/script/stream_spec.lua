-- http.stream: answers that leave in parts. The client is the spec: it takes bytes when it says app:drain(job).
local helper = require "unit.script.helper"

local HIGH = 256 * 1024

describe("http.stream", function()
  after_each(helper.close)

  local function start(body, options, request)
    local app = helper.handler('local http = require "perigee.http" ' .. body, options)
    request = request or {}
    if request.stream == nil then request.stream = true end
    return app, app:start(request)
  end

  it("sends status, headers and the first part while the handler still runs", function()
    local app, job = start [[
      local response = http.stream(context, { status = 201, headers = { ["Content-Type"] = "text/csv", ["X-List"] = { "a", 1 } } })
      response:write("first")
      host.block("gate")
      response:write("second")]]
    local status, sent = app:stream(job)
    assert.same({ 201, "first" }, { status, sent })
    assert.is_nil(app:result(job))
    app:release "gate"
    local out = app:finish(job)
    assert.equal("firstsecond", (select(2, app:stream(job))))
    assert.is_true(out.streamed)
    assert.is_nil(out.message)
    assert.matches("Content%-Type: text/csv\n", out.head)
    assert.matches("X%-List: a\nX%-List: 1\n", out.head)
  end)

  it("is 200 and text when nothing else is said", function()
    local app, job = start 'http.stream(context):write("x")'
    assert.equal(200, (app:stream(job)))
    assert.equal("Content-Type: text/plain; charset=utf-8\n", app:finish(job).head)
  end)

  it("sends the head alone with an empty part", function()
    local app, job = start 'http.stream(context):write(""); host.block("gate")'
    assert.same({ 200, "", 0 }, { app:stream(job) })
    app:release "gate"
    assert.is_true(app:finish(job).streamed)
  end)

  it("is an ordinary answer without a body when nothing is written", function()
    local app, job = start 'http.stream(context, { status = 202 })'
    local out = app:finish(job)
    assert.same({ false, 202, "" }, { out.streamed, out.status, out.body })
    assert.is_nil((app:stream(job)))
  end)

  it("allows the stream itself to be returned, and writes to be chained", function()
    local app, job = start 'return http.stream(context):write("a"):write("b")'
    assert.is_nil(app:finish(job).message)
    assert.equal("ab", (select(2, app:stream(job))))
  end)

  it("waits while the client is slow, and never holds more than its limit and a piece", function()
    local app, job = start [[
      local response, sent = http.stream(context), 0
      for _ = 1, 100 do response:write(("x"):rep(40000)) end]]
    local most, drains = 0, 0
    while not app:result(job) do
      local _, _, waiting = app:stream(job)
      if waiting > most then most = waiting end
      app:drain(job)
      app:turn(0)
      drains = drains + 1
      assert(drains < 1000)
    end
    assert.equal(4000000, #select(2, app:stream(job)))
    assert.is_true(most >= HIGH and most < HIGH + 65536, most)
    assert.is_true(drains >= 4000000 // (HIGH + 65536))
  end)

  it("takes one part that is larger than the limit piece by piece", function()
    local app, job = start [[http.stream(context):write(("0123456789"):rep(100000))]]
    local _, sent, waiting = app:stream(job)
    assert.is_true(waiting >= HIGH and waiting < HIGH + 65536 and #sent == waiting)
    while not app:result(job) do
      app:drain(job)
      app:turn(0)
    end
    assert.equal(("0123456789"):rep(100000), (select(2, app:stream(job))))
  end)

  it("keeps the bytes of one write together when several coroutines write", function()
    local app, job = start [[
      local response = http.stream(context)
      local function writer(c) return function() for _ = 1, 3 do response:write(c:rep(300000) .. ";") end end end
      parallel { writer("a"), writer("b"), writer("c") }]]
    local turns = 0
    while not app:result(job) do
      app:drain(job)
      app:turn(0)
      turns = turns + 1
      assert(turns < 1000)
    end
    local counts = {}
    for part in select(2, app:stream(job)):gmatch "([^;]*);" do
      assert.equal(300000, #part)
      assert.equal(part:sub(1, 1):rep(300000), part)
      counts[part:sub(1, 1)] = (counts[part:sub(1, 1)] or 0) + 1
    end
    assert.same({ a = 3, b = 3, c = 3 }, counts)
  end)

  describe("a handler that fails", function()
    it("before its first part answers with an ordinary error", function()
      local app, job = start 'http.stream(context, { status = 201 }) error("early")'
      local out = app:finish(job)
      assert.same({ false, "HandlerError" }, { out.streamed, out.code })
      assert.is_nil((app:stream(job)))
    end)

    it("after it leaves a stream that is reported as cut, with the traceback", function()
      local app, job = start 'http.stream(context):write("some") host.block("gate") error("midway")'
      app:release "gate"
      local out = app:finish(job)
      assert.is_true(out.streamed)
      assert.matches("midway", out.message)
      assert.matches("handlers/a.lua", out.trace)
    end)

    it("by returning nil, err cuts as well", function()
      local app, job = start 'http.stream(context):write("some") return nil, "no more"'
      local out = app:finish(job)
      assert.same({ true, "no more" }, { out.streamed, out.message })
    end)

    it("by its Timeout cuts as well", function()
      local app, job = start('http.stream(context):write("some") host.block("never")', { timeout = 20 })
      local out = app:finish(job)
      assert.same({ true, "RequestTimeout" }, { out.streamed, out.code })
    end)

    it("by its Timeout while the client is slow", function()
      local app, job = start('http.stream(context):write(("x"):rep(1000000))', { timeout = 20 })
      local out = app:finish(job)
      assert.same({ true, "RequestTimeout" }, { out.streamed, out.code })
      app:drain(job)
    end)

    it("by returning a value beside the stream is told so", function()
      local app, job = start 'http.stream(context) return 200, "x"'
      assert.matches("a%.f: the handler returned a value, but http%.stream is its answer", app:finish(job).message)
    end)
  end)

  it("ends with its request when the client goes", function()
    local app, job = start 'http.stream(context):write(("x"):rep(1000000))'
    assert.equal(1, (app:stats()))
    app:cancel(job)
    assert.equal(0, (app:stats()))
    assert.is_nil(app:result(job))
  end)

  it("runs what context:after registered once the stream has ended", function()
    local app, job = start [[
      local response = http.stream(context)
      context:after(function()
        host.block("after")
        local ok, err = pcall(response.write, response, "late")
        require("perigee.log").info(tostring(err))
      end)
      response:write("x")]]
    local out = app:finish(job)
    assert.is_true(out.streamed)
    app:turn(0)
    app:release "after"
    while app:stats() > 0 do app:turn(10) end
    assert.equal("x", (select(2, app:stream(job))))
    assert.matches("this answer is over", app:log())
  end)

  it("refuses what it cannot send, in words", function()
    local function message(body) return (helper.run('local http = require "perigee.http" ' .. body).message) end
    assert.matches("handlers/a.lua:%d+: unknown option 'state'", message "http.stream(context, { state = 1 })")
    assert.matches("status must be an integer from 200 to 599", message "http.stream(context, { status = 99 })")
    assert.matches("Content%-Length is the server's to set", message 'http.stream(context, { headers = { ["Content-Length"] = 5 } })')
    assert.matches("is no header name", message 'http.stream(context, { headers = { ["a b"] = "x" } })')
    assert.matches("holds a line break", message 'http.stream(context, { headers = { a = "x\\r\\ny: z" } })')
    assert.matches("must be UTF%-8", message 'http.stream(context, { headers = { a = "\\255" } })')
    assert.matches("headers must be a table", message "http.stream(context, { headers = 5 })")
    assert.matches("larger than", message 'http.stream(context, { headers = { a = ("x"):rep(100000) } })')
    assert.matches("context expected", message "http.stream(nil)")
    assert.matches("is being answered by an http.stream already", message "http.stream(context) http.stream(context)")
    assert.matches("status 204 has no body", message 'http.stream(context, { status = 204 }):write("x")')
    assert.matches("was closed", message 'local r = http.stream(context) r:close() r:write("x")')
    assert.matches("string expected", message "http.stream(context):write({})")
    assert.matches("not possible inside table.sort", message [[
      local r = http.stream(context)
      table.sort({ 1, 2 }, function() r:write("x") end)]])
  end)

  it("forgets an attempt that was refused", function()
    local out = helper.run [[
      local http = require "perigee.http"
      pcall(http.stream, context, { headers = { good = "1", ["b ad"] = "x" } })
      return http.response(200, "fine")]]
    assert.same({ 200, "fine" }, { out.status, out.body })
    assert.not_matches("good", out.head)
  end)

  it("belongs to one request", function()
    local app = helper.app { functions = { { name = "F", module = "a", field = "f" } }, files = { ["handlers/a.lua"] = [[
      local http = require "perigee.http"
      local kept = {}
      return { f = function(_, context)
        if not kept[1] then kept[1] = http.stream(context) return end
        kept[1]:write("x")
      end }]] } }
    app:finish(app:start { stream = true })
    assert.matches("this answer is over", app:finish(app:start { stream = true }).message)
  end)

  it("is for HTTP only", function()
    local out = helper.run([[require("perigee.http").stream(context)]], nil, { event = "{}" })
    assert.matches("only possible in handlers of HTTP requests", out.message)
  end)

  describe("where nothing can stream", function()
    it("becomes the body of an ordinary answer", function()
      local app, job = start([[
        local response <close> = http.stream(context, { status = 203, headers = { ["content-type"] = "text/x" } })
        for i = 1, 3 do response:write(i .. "\0") end]], nil, { stream = false })
      local out = app:finish(job)
      assert.same({ false, 203, "1\0002\0003\000", "content-type: text/x\n" }, { out.streamed, out.status, out.body, out.head })
    end)

    it("has a limit", function()
      local out = helper.run([[
        local response = require("perigee.http").stream(context)
        local part = ("x"):rep(1 << 20)
        for _ = 1, 65 do response:write(part) end]])
      assert.matches("the answer is larger than 67108864 bytes, and it cannot be streamed here", out.message)
      assert.equal(0, out.status)
    end)
  end)

  it("survives any failing allocation", function()
    local app = helper.handler [[
      local response = require("perigee.http").stream(context)
      response:write("a")
      response:write(("b"):rep(400000))]]
    for n = 1, 60 do
      app:fail_after(n)
      local job = app:start { stream = true }
      while not app:result(job) do
        app:drain(job)
        app:turn(0)
      end
      app:fail_after(0)
    end
    assert.equal(0, (app:stats()))
  end)
end)
