package.path = "tests/unit/script/?.lua;" .. package.path
local helper = require "helper"

describe("a job that waits", function()
  after_each(helper.close)

  it("replies inside script_start when it does not wait", function()
    local r = helper.run "return 200, 'now'"
    assert.same({ 200, "now", true, 1 }, { r.status, r.body, r.inside, r.replies })
  end)

  it("replies once, after it was woken", function()
    local app = helper.handler "local x = host.block('a') return 200, x .. host.block('b')"
    local j = app:start {}
    app:turn()
    assert.is_nil(app:result(j))
    assert.equal(1, app:release "a")
    app:turn()
    assert.is_nil(app:result(j))
    app:release "b"
    local r = app:finish(j)
    assert.same({ "ab", false, 1 }, { r.body, r.inside, r.replies })
    assert.equal(0, (app:stats()))
  end)

  it("keeps jobs apart that wait at the same time", function()
    local app = helper.handler "local me = request.path local x = host.block(me) return 200, me .. x .. request.query.q"
    local jobs = {}
    for i = 1, 50 do jobs[i] = app:start { path = "p" .. i, query = "q=" .. i } end
    assert.equal(50, (app:stats()))
    for i = 50, 1, -1 do app:release("p" .. i) end
    for i = 1, 50 do assert.equal("p" .. i .. "p" .. i .. i, app:finish(jobs[i]).body) end
  end)

  for name, body in pairs {
    ["pcall"] = "local ok, x = pcall(host.block, 'a') return 200, x",
    ["xpcall"] = "local ok, x = xpcall(host.block, error, 'a') return 200, x",
    ["a coroutine"] = "return 200, coroutine.wrap(function() return host.block('a') end)()",
    ["coroutine.resume"] = "local ok, x = coroutine.resume(coroutine.create(function() return host.block('a') end)) return 200, x",
    ["three coroutines in each other"] = [[
      local w = coroutine.wrap
      return 200, w(function() return w(function() return w(function() return host.block('a') end)() end)() end)()]],
    ["a generator"] = [[
      local out = ""
      for x in coroutine.wrap(function() coroutine.yield(host.block('a')) end) do out = out .. x end
      return 200, out]],
    ["a metamethod"] = "return 200, setmetatable({}, { __index = function(_, k) return host.block(k) end }).a",
    ["an iterator"] = "for x in function(_, last) if not last then return host.block('a') end end do return 200, x end",
    ["a close variable"] = [[
      local out
      do local x <close> = setmetatable({}, { __close = function() out = host.block('a') end }) end
      return 200, out]],
    ["a close variable after an error"] = [[
      local out
      pcall(function() local x <close> = setmetatable({}, { __close = function() out = host.block('a') end }) error "x" end)
      return 200, out]],
  } do
    it("waits inside " .. name, function()
      local app = helper.handler(body)
      local j = app:start {}
      app:turn()
      assert.is_nil(app:result(j))
      app:release "a"
      local r = app:finish(j)
      assert.same({ 200, "a" }, { r.status, r.body }, r.message)
    end)
  end

  for name, body in pairs {
    ["table.sort"] = "table.sort({ 2, 1, 3 }, function() host.block('a') end)",
    ["string.gsub"] = "('x'):gsub('x', function() return host.block('a') end)",
    ["__tostring"] = "tostring(setmetatable({}, { __tostring = function() return host.block('a') end }))",
    ["a coroutine in table.sort"] = "table.sort({ 2, 1, 3 }, coroutine.wrap(function() host.block('a') end))",
  } do
    it("says that it cannot wait inside " .. name, function()
      local r = helper.run(body)
      assert.equal("HandlerError", r.code)
      assert.matches("block is not possible inside table.sort, string.gsub", r.message)
    end)
  end

  it("forwards values and errors of nested coroutines as Lua does", function()
    local r = helper.run [[
      local co = coroutine.create(function(a, b) local c = coroutine.yield(a + b) local d, e = coroutine.yield(c * 2) error({ d + e }) end)
      local out = { select(2, coroutine.resume(co, 1, 2)), select(2, coroutine.resume(co, 10)) }
      local ok, err = coroutine.resume(co, 3, 4)
      out[#out + 1] = err[1]
      out[#out + 1] = coroutine.status(co)
      out[#out + 1] = select(2, coroutine.resume(co))
      out[#out + 1] = select(2, pcall(coroutine.wrap(function() error "deep" end)))
      out[#out + 1] = tostring(select(2, coroutine.running()))
      out[#out + 1] = tostring(coroutine.isyieldable())
      out[#out + 1] = tostring(coroutine.close(coroutine.create(print)))
      return 200, out]]
    assert.matches('^%[3,20,7,"dead","cannot resume dead coroutine","handlers/a.lua:%d+: deep","true","false","true"%]$', r.body)
  end)

  it("does not let code resume or close what waits for the host", function()
    local app = helper.handler [[
      if request.path == "first" then
        shared.co = coroutine.create(function() return host.block "a" end)
        shared.main = coroutine.running()
        return 200, select(2, coroutine.resume(shared.co))
      end
      return 200, { coroutine.status(shared.co), select(2, coroutine.resume(shared.co)), select(2, pcall(coroutine.close, shared.co)),
        select(2, coroutine.resume(shared.main)), select(2, pcall(coroutine.close, shared.main)) }]]
    local t = require "t.script"
    app:close()
    app = helper.app { files = { ["handlers/a.lua"] = [[
      local host = require "t.host"
      local shared = {}
      return { f = function(request)
        if request.path == "first" then
          shared.co = coroutine.create(function() return host.block "a" end)
          shared.main = coroutine.running()
          return 200, select(2, coroutine.resume(shared.co))
        end
        return 200, { coroutine.status(shared.co), select(2, coroutine.resume(shared.co)), (select(2, pcall(coroutine.close, shared.co))),
          select(2, coroutine.resume(shared.main)), (select(2, pcall(coroutine.close, shared.main))) }
      end }]] } }
    local j = app:start { path = "first" }
    assert.equal('["normal","cannot resume non-suspended coroutine","cannot close a normal coroutine",' ..
      '"cannot resume the coroutine of a handler","cannot close the coroutine of a handler"]', app:finish(app:start { path = "second" }).body)
    app:release "a"
    assert.equal("a", app:finish(j).body)
    assert.is_not_nil(t)
  end)

  it("refuses coroutine.yield outside of a coroutine", function()
    assert.matches("a.lua:%d: attempt to yield from outside a coroutine", helper.run("\ncoroutine.yield(1)").message)
  end)
end)

describe("a job that is ended", function()
  after_each(helper.close)

  it("by its Timeout: waits are cancelled, close variables run, one reply", function()
    local app = helper.handler([[
      local x <close> = setmetatable({}, { __close = function() request.closed = true end })
      pcall(function() host.block('a') end)]], { timeout = 30 })
    local r = app:finish(app:start {})
    assert.same({ "RequestTimeout", 1 }, { r.code, r.replies })
    assert.matches("F did not end within its Timeout of 30 ms", r.message)
    assert.same({ 0, 1 }, { (app:stats()), (select(3, app:stats())) })
    assert.equal(0, app:release "a")
  end)

  it("by its caller: no reply", function()
    local app = helper.handler "host.block('a')"
    local j = app:start {}
    app:cancel(j)
    assert.same({ 0, 1 }, { (app:stats()), (select(3, app:stats())) })
    app:turn()
    assert.is_nil(app:result(j))
  end)

  it("by closing the host: one reply each", function()
    local app = helper.handler "host.block('a') pcall(host.block, 'b')"
    for _ = 1, 5 do app:start {} end
    assert.equal(5, app:close())
  end)

  it("runs no further instruction of it, whatever it catches", function()
    local app = helper.app { files = { ["handlers/a.lua"] = [[
      local host = require "t.host"
      local log = {}
      return { f = function(request)
        if request.path == "log" then return 200, #log end
        local x <close> = setmetatable({}, { __close = function() log[#log + 1] = "closed" end })
        coroutine.wrap(function() pcall(host.block, "a") log[#log + 1] = "caught" end)()
        log[#log + 1] = "after"
      end }]] } }
    app:cancel(app:start {})
    assert.equal("0", app:finish(app:start { path = "log" }).body)
  end)

  it("frees its slot and coroutine for the next, which is not harmed", function()
    local app = helper.handler("if request.path == 'wait' then host.block('a') end return 200, request.path")
    for i = 1, 20 do
      app:cancel(app:start { path = "wait" })
      assert.equal("p" .. i, app:finish(app:start { path = "p" .. i }).body)
    end
  end)

  it("refuses more jobs than the limit", function()
    local app = helper.handler("host.block('a') return 200", { jobs = 3 })
    for _ = 1, 3 do app:start {} end
    local r = app:result(app:start {})
    assert.same({ "ServiceUnavailable", true }, { r.code, r.inside })
  end)
end)

describe("perigee.parallel", function()
  after_each(helper.close)

  it("runs its functions at once and returns results in their order", function()
    local app = helper.handler [[
      local r = parallel { function() return host.block "a", 1 end, function() error("boom", 0) end, function() return host.block "b" end,
        function() return "now" end }
      return 200, { r[1][1], r[1][2], r[1][3], r[2][1], r[2][2], r[3][2], r[4][2], #r }]]
    local j = app:start {}
    assert.equal(1, app:release "b")
    app:turn()
    assert.is_nil(app:result(j))
    assert.equal(1, app:release "a")
    assert.equal('[true,"a",1,false,"boom","b","now",4]', app:finish(j).body)
  end)

  it("nests, in coroutines too, and one function may wait many times", function()
    local app = helper.handler [[
      local function two() return (host.block "x") .. (host.block "y") end
      local r = coroutine.wrap(function()
        return parallel { two, function() return parallel { two, two }[2][2] end, coroutine.wrap(two) } end)()
      return 200, r[1][2] .. r[2][2] .. r[3][2] ]]
    local j = app:start {}
    assert.equal(4, app:release "x")
    app:turn()
    assert.equal(4, app:release "y")
    assert.equal("xyxyxy", app:finish(j).body)
  end)

  it("cancels all that wait when the job ends", function()
    local app = helper.handler "parallel { function() host.block 'a' end, function() host.block 'b' end }"
    app:cancel(app:start {})
    assert.equal(2, (select(3, app:stats())))
  end)

  it("is preempted and ended while functions compute", function()
    local r = helper.run("parallel { function() while true do end end, function() host.block 'a' end, function() while true do pcall(error) end end }",
      { watch = true, timeout = 100 })
    assert.equal("RequestTimeout", r.code)
  end)

  it("names what is no function", function()
    assert.matches("item 2 of the list is no function", helper.run("parallel { print, 5 }").message)
  end)
end)

describe("context:after", function()
  after_each(helper.close)

  it("runs after the reply, in order, with the request still readable", function()
    local app = helper.handler [[
      context:after(function() print("1 " .. request.body .. request.headers.x .. request.query.q .. host.block "a") end)
      context:after(function() error "fails" end)
      context:after(function() print("3 " .. request:json()[1]) end)
      return 200, "replied"]]
    local j = app:start { body = "[7]", headers = { { "X", "head" } }, query = "q=v" }
    assert.equal("replied", app:result(j).body)
    assert.equal(1, (app:stats()))
    app:turn()
    app:release "a"
    while (app:stats()) > 0 do app:turn(100) end
    local log = app:log()
    assert.matches("1 %[7%]headva", log)
    assert.matches("context:after failed", log)
    assert.matches("a.lua:%d+: fails", log)
    assert.matches("3 7", log)
    assert.equal(1, app:result(j).replies)
  end)

  it("stays within the job's Timeout", function()
    local app = helper.handler("context:after(function() host.block 'a' end) return 200", { timeout = 30 })
    local j = app:start {}
    assert.equal(200, app:result(j).status)
    while (app:stats()) > 0 do app:turn(100) end
    assert.matches("what ran after the reply was stopped", app:log())
    assert.equal(1, app:result(j).replies)
  end)

  it("is not run for a handler that failed", function()
    local app = helper.handler "context:after(function() print 'ran' end) error 'x'"
    app:finish(app:start {})
    for _ = 1, 3 do app:turn() end
    assert.same({ 0, nil }, { (app:stats()), app:log():match "ran" })
  end)
end)
