package.path = "tests/unit/script/?.lua;" .. package.path
local helper = require "helper"

-- Runs a hostile body beside a small neighbour in the same state, which must keep answering.
local function hostile(body, options)
  options = options or {}
  options.watch = true
  options.files = {
    ["handlers/bad.lua"] = "local time = require 'perigee.time' return { f = function(request, context) " .. body .. "\nend }",
    ["handlers/good.lua"] = "return { f = function() return 200, 'fine' end }",
  }
  options.functions = {
    { name = "Bad", module = "bad", field = "f", timeout = options.timeout or 250, memory = options.memory or 32 },
    { name = "Good", module = "good", field = "f" },
  }
  local app = helper.app(options)
  local job = app:start {}
  local r = app:finish(job)
  assert.equal(1, r.replies)
  assert.equal("fine", app:finish(app:start { fn = 2 }).body)
  assert.equal(0, (app:stats()))
  return r, app
end

describe("limits end that job only:", function()
  after_each(helper.close)

  local endless = {
    ["an endless loop"] = "while true do end",
    ["a loop that catches everything"] = "while true do pcall(function() while true do end end) end",
    ["a goto loop in a message handler"] = "xpcall(function() while true do end end, function() ::a:: goto a end)",
    ["a message handler that loops after an error"] = "xpcall(error, function() ::a:: goto a end)",
    ["a loop in a nested coroutine"] = "coroutine.wrap(function() while true do end end)()",
    ["a loop in a coroutine in a coroutine, all catching"] = [[
      local function nest(n) while true do pcall(coroutine.wrap(function() if n > 0 then nest(n - 1) end while true do end end)) end end
      nest(5)]],
    ["a loop in a sort comparator"] = "table.sort({ 3, 2, 1, 4 }, function() while true do end end)",
    ["a catching loop in a sort comparator"] =
      "table.sort({ 3, 2, 1, 4 }, function() while true do pcall(function() while true do end end) end end)",
    ["a message handler that loops in a sort comparator"] = [[table.sort({ 3, 2, 1 }, function()
      xpcall(function() while true do end end, function() while true do end end) end)]],
    ["a coroutine that loops in a sort comparator"] =
      "table.sort({ 3, 2, 1 }, function() coroutine.wrap(function() while true do end end)() end)",
    ["a close variable that loops when it is ended"] =
      "local x <close> = setmetatable({}, { __close = function() while true do end end }) while true do end",
    ["a close variable that loops in a closed coroutine"] = [[
      local co = coroutine.create(function()
        local x <close> = setmetatable({}, { __close = function() while true do end end }) coroutine.yield() end)
      coroutine.resume(co) coroutine.close(co)]],
    ["an error object whose __tostring loops"] =
      "error(setmetatable({}, { __tostring = function() while true do end end }))",
    ["nested quantifiers"] = "('a'):rep(1e6):find(('.-'):rep(30) .. 'b')",
    ["a table.move without end"] = "table.move({}, 1, math.maxinteger - 1, 2)",
    ["a wait without end"] = "time.sleep(100000)",
    ["waits in a loop that catches"] = "while true do pcall(time.sleep, 10) end",
    ["a repeat until in load"] = "load('repeat until false')()",
    ["a reader that never ends"] = "load(function() while true do end end)",
  }
  for name, body in pairs(endless) do
    it(name, function()
      local r = hostile(body)
      assert.is_true(r.code == "RequestTimeout" or r.code == "LimitExceeded", tostring(r.code) .. tostring(r.message))
      assert.matches("250 ms", r.message)
    end)
  end

  local greedy = {
    ["a table of 2 GB"] = "local t = {} for i = 1, 2^31 do t[i] = i end",
    ["a growing string"] = "local s = 'x' while true do s = s .. s end",
    ["a coroutine bomb"] = "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
    ["a bomb of running coroutines"] = [[
      local function f() local t = {} while true do local co = coroutine.wrap(function() coroutine.yield() end) co() t[#t + 1] = co end end f()]],
  }
  for name, body in pairs(greedy) do
    it(name .. " passes MemorySize", function()
      local r = hostile(body, { timeout = 60000, memory = 8 })
      assert.equal("LimitExceeded", r.code)
      assert.matches("MemorySize of 8 MB", r.message)
    end)
  end

  it("deep recursion is an error", function()
    local r = hostile("local function f() return 1 + f() end f()", { timeout = 60000, memory = 128 })
    assert.equal("HandlerError", r.code)
    assert.matches("stack overflow", r.message)
  end)

  it("a string.rep of 10 GB is an error", function()
    local r = hostile("return 200, #string.rep('x', 1e10)", { timeout = 60000 })
    assert.is_true(r.code == "HandlerError" or r.code == "LimitExceeded")
    assert.matches("string", r.message)
  end)

  it("coroutines nested without end are an error", function()
    local r = hostile("local function f() coroutine.wrap(f)() end f()", { timeout = 60000 })
    assert.is_true(r.code == "HandlerError" or r.code == "LimitExceeded")
  end)

  for name, close in pairs { ["coroutine.close"] = "coroutine.close(make())", ["coroutine.wrap"] = "wrap()" } do
    it("close variables that close coroutines without end, by " .. name .. ", do not overflow the C stack", function()
      local r = hostile(([[
        local make, wrap
        local function closing() return setmetatable({}, { __close = function() CLOSE end }) end
        function make()
          local co = coroutine.create(function() local x <close> = closing() coroutine.yield() end)
          coroutine.resume(co)
          return co
        end
        function wrap() coroutine.wrap(function() local x <close> = closing() error "x" end)() end
        pcall(function() CLOSE end)
        return 200, "alive"]]):gsub("CLOSE", close), { timeout = 60000 })
      assert.equal("alive", r.body)
    end)
  end

  it("CPU time, of its own", function()
    local r = hostile("while true do end", { cpu_ms = 60, timeout = 60000 })
    assert.equal("LimitExceeded", r.code)
    assert.matches("60 ms of CPU time", r.message)
  end)

  it("instructions, when they are counted", function()
    local r = hostile("while true do end", { instructions = 1000000, timeout = 60000 })
    assert.equal("LimitExceeded", r.code)
    assert.matches("1000000 instructions", r.message)
  end)

  it("AWS calls", function()
    local r = hostile("while true do pcall(require 't.host'.aws) end", { aws_calls = 7, timeout = 60000 })
    assert.equal("LimitExceeded", r.code)
    assert.matches("7 AWS calls", r.message)
  end)

  it("the traceback of a job that was ended says where it was", function()
    local r = hostile("\nlocal n = 0\nwhile true do\n n = n + 1\nend")
    assert.is_truthy((r.trace .. "\n"):match "\n\thandlers/bad%.lua:%d:[^\n]*\n\t\t%a[^\n]*\n", r.trace)
  end)
end)

describe("preemption", function()
  after_each(helper.close)

  it("lets others run while a job computes, and the job ends well", function()
    local app = helper.app {
      watch = true, slice_ms = 5,
      files = {
        ["handlers/a.lua"] = [[
          local host = require "t.host"
          stop = false
          return { busy = function() local n = 0 repeat n = n + 1 until stop return 200, tostring(n > 0) end,
                   nested = function()
                     local co = coroutine.wrap(function() local n = 0 repeat n = n + 1 until stop coroutine.yield(n) return "end" end)
                     local n = co() return 200, tostring(n > 0) .. co() end }]],
        ["handlers/b.lua"] = "return { f = function() return 200, 'b' end }" },
      functions = { { name = "Busy", module = "a", field = "busy" }, { name = "Nested", module = "a", field = "nested" },
        { name = "B", module = "b", field = "f" } },
    }
    -- Both wait for a flag that nobody can set: they are alive as long as they are preempted, and are cancelled.
    local busy, nested = app:start { fn = 1 }, app:start { fn = 2 }
    assert.is_nil(app:result(busy))
    for _ = 1, 20 do
      assert.equal("b", app:finish(app:start { fn = 3 }).body)
      app:turn()
    end
    assert.is_nil(app:result(busy))
    assert.is_nil(app:result(nested))
    assert.equal(2, (app:stats()))
    app:cancel(busy)
    app:cancel(nested)
    assert.equal(0, (app:stats()))
  end)

  it("leaves no job behind when the host is closed", function()
    local app = helper.handler("while true do end", { watch = true, slice_ms = 5 })
    for _ = 1, 3 do app:start {} end
    assert.equal(3, app:close())
  end)

  it("does not change what the code computes", function()
    local r = helper.run([[
      local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
      local a, b = 0, 0
      for x in coroutine.wrap(function() for i = 1, 12 do coroutine.yield(fib(i) + fib(18)) end end) do a = a + x end
      local t = {} for i = 1, 2000 do t[i] = (i * 7919) % 2003 end
      table.sort(t, function(x, y) return x < y end)
      for i = 2, #t do assert(t[i - 1] <= t[i]) end
      local ok, e = pcall(function() fib(20) error("x") end)
      return 200, a .. tostring(e)]], { watch = true, slice_ms = 1 })
    local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
    local a = 0
    for i = 1, 12 do a = a + fib(i) + fib(18) end
    assert.matches("^" .. a .. "handlers/a.lua:%d+: x$", r.body)
  end)
end)
