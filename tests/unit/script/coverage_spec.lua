package.path = "tests/unit/script/?.lua;" .. package.path
local helper = require "helper"
local t = require "t.script"
local coverage = require "t.coverage"

local measured

-- An app whose lines are counted.
local function open(options)
  measured = measured or coverage()
  measured:start()
  options.coverage = measured
  return helper.app(options)
end

local function file(app_root, name)
  for _, f in ipairs(measured:files()) do
    if f.path == app_root .. "/" .. name then return f end
  end
end

-- Expectations stand at the end of lines: --3 has run three times; nothing: there is no code.
local function expected(text)
  local lines, n = {}, 0
  for line in text:gmatch "([^\n]*)\n?" do
    n = n + 1
    lines[n] = math.tointeger(tonumber(line:match "%-%-(%d+)%s*$"))
  end
  return lines
end

local function check(text, options)
  options = options or {}
  options.files = { ["handlers/a.lua"] = text }
  local app, root = open(options)
  local r
  for _ = 1, options.times or 1 do r = app:finish(app:start {}) end
  assert.same(expected(text), file(root, "handlers/a.lua").lines)
  return r
end

describe("coverage", function()
  before_each(function() measured = nil end)
  after_each(helper.close)

  it("counts lines of functions, nested ones too, and finds those that never ran", function()
    check([[
-- a comment
local M = {}                                --1

local function used(a)
  local function inner(b)
    return b + 1                            --6
  end
  return inner(a) + inner(a)                --3
end

local function never(a)
  local x = a                               --0
  return function()
    return x                                --0
  end                                       --0
end

function M.f()                              --1
  used(1)                                   --3
  return 200, M.g and never(1)              --3
end

return M                                    --1
]], { times = 3 })
  end)

  it("counts branches and loops", function()
    check [[
return { f = function(request)              --1
  local n = 0                               --1
  if request.nothing then                   --1
    n = 1                                   --0
  elseif request.method == "POST" then      --1
    n = 2                                   --0
  else
    n = 3                                   --1
  end
  if n == 3 then n = 4 end                  --1
  for i = 1, 3 do                           --4
    n = n + i                               --3
  end
  for _, v in ipairs { 1, 2 } do            --3
    n = n + v                               --2
  end
  while n > 100 do                          --1
    n = n - 1                               --0
  end
  repeat
    n = n + 1                               --1
  until n > 5                               --1
  return 200                                --1
end }                                       --1
]]
  end)

  it("knows what cannot run: behind a return or goto, the end of functions and blocks", function()
    check [[
local function early()
  do return 1 end                           --1
  return 2
end
local function stops()
  error("stop")                             --1
end
local function spins(n)
  while true do
    n = n - 1                               --3
    if n == 0 then return n end             --3
  end
end
local function jumps(n)
  ::again::
  n = n + 1                                 --3
  if n < 3 then goto again end              --3
  do goto out end
  n = 7
  ::out::
  return n                                  --1
end
return { f = function()                     --1
  pcall(stops)                              --1
  return 200, early() + spins(3) + jumps(0) --1
end }                                       --1
]]
  end)

  it("sees each line of a call, a table and a condition of several lines", function()
    check [[
local function sum(...)
  local n = 0                               --1
  for i = 1, select("#", ...) do            --4
    n = n + select(i, ...)                  --3
  end
  return n                                  --1
end
return { f = function(request)              --1
  local x = sum(                            --2
    1,                                      --1
    2,                                      --1
    request.method == "GET" and             --1
      3 or                                  --0
      4
  )                                         --1
  local y = {                               --1
    a = x,                                  --1
    b = request.body or                     --1
      "none",                               --1
  }
  return 200,                               --1
    y                                       --1
end }                                       --1
]]
  end)

  it("goes on in coroutines, after waits and after errors", function()
    local r = check [[
local time = require "perigee.time"         --1
local function gen()
  for i = 1, 2 do                           --3
    coroutine.yield(i)                      --2
  end
  error("over")                             --1
end
return { f = function()                     --1
  local co = coroutine.create(gen)          --1
  coroutine.resume(co)                      --1
  coroutine.resume(co)                      --1
  local ok = coroutine.resume(co)           --1
  local next_one = coroutine.wrap(function() --2
    time.sleep(1)                           --1
    return 5                                --1
  end)
  time.sleep(1)                             --1
  if ok then                                --1
    return 500                              --0
  end
  return 200, tostring(next_one())          --1
end }                                       --1
]]
    assert.equal("5", r.body)
  end)

  it("counts a tail call of several lines once it is made", function()
    check [[
local function id(x) return x end           --3
return { f = function()                     --1
  return id(                                --2
    id(                                     --2
      200
    )                                       --1
  )
end }                                       --1
]]
  end)

  it("leaves the lines behind an error that leaves the handler at 0", function()
    local r = check [[
return { f = function()                     --1
  local nothing                             --1
  nothing.field = 1                         --1
  return 200                                --0
end }                                       --1
]]
    assert.equal("HandlerError", r.code)
  end)

  it("counts close variables, methods, metamethods and upvalues' blocks", function()
    check [[
local C = {}                                --1
C.__index = C                               --1
function C:inc()                            --1
  self.n = (self.n or 0) + 1                --3
end
C.__close = function(c)
  c:inc()                                   --2
end                                         --3
C.__add = function(a, b)
  return a.n + b                            --1
end                                         --1
return { f = function()                     --1
  local list = {}                           --1
  for i = 1, 2 do                           --2
    local c <close> = setmetatable({}, C)   --2
    list[i] = function() return c end       --2
    if i == 2 then break end                --2
    c:inc()                                 --1
    list.sum = c + 1                        --1
  end
  return 200                                --1
end }                                       --1
]]
  end)

  it("reads long files, distant lines and all kinds of constants", function()
    local rows = { "local t = {}                --1" }
    for i = 1, 400 do rows[#rows + 1] = ("t[%d] = { 'name %d', %d.5, nil, true, false } --1"):format(i, i, i) end
    rows[#rows + 1] = ("\n"):rep(300) .. "t.long = ('" .. ("x"):rep(300) .. "')                  --1"
    rows[#rows + 1] = "return { f = function(...)      --1"
    rows[#rows + 1] = ("\n"):rep(300) .. "  return 200, ...           --1"
    rows[#rows + 1] = "end }                           --1\n"
    check(table.concat(rows, "\n"))
  end)

  it("counts a program's first line as a comment, and an empty file as nothing", function()
    local app, root = open { files = { ["handlers/a.lua"] = "#!/usr/bin/env lua\nreturn { f = function() return 200 end }\n",
      ["handlers/empty.lua"] = "", ["handlers/broken.lua"] = "return +" } }
    app:finish(app:start {})
    assert.same({ [2] = 2 }, file(root, "handlers/a.lua").lines)
    assert.same({}, file(root, "handlers/empty.lua").lines)
    assert.same({}, file(root, "handlers/broken.lua").lines)
  end)

  it("has files that nothing requires, and modules once for all functions that do", function()
    local app, root = open {
      files = { ["handlers/a.lua"] = "local m = require 'model.m'\nreturn { f = m, g = m }",
        ["handlers/model/m.lua"] = "return function()\n  return 200\nend",
        ["handlers/unused.lua"] = "local x = 1\nreturn x" },
      functions = { { name = "F", module = "a", field = "f" }, { name = "G", module = "a", field = "g" } },
    }
    app:finish(app:start {})
    app:finish(app:start { fn = 2 })
    assert.same({ [1] = 2, [2] = 2 }, file(root, "handlers/a.lua").lines)
    assert.same({ [2] = 2, [3] = 2 }, file(root, "handlers/model/m.lua").lines)
    assert.same({ [1] = 0, [2] = 0 }, file(root, "handlers/unused.lua").lines)
    assert.is_true(file(root, "handlers/unused.lua").of_handlers)
  end)

  it("counts modules of lua_dir as not of handlers", function()
    local lib = t.mkdtemp()
    t.write(lib .. "/perigee/shared.lua", "local n = 0\nreturn function()\n  n = n + 1\nend\n")
    local app = open { lua_dir = lib,
      files = { ["handlers/a.lua"] = "local s = require 'perigee.shared' return { f = function() s() return 200 end }" } }
    app:finish(app:start {})
    local f = file(lib, "perigee/shared.lua")
    t.remove(lib)
    assert.same({ [1] = 1, [3] = 1, [4] = 2 }, f.lines)
    assert.is_false(f.of_handlers)
  end)

  it("adds up over hosts, and keeps contents of one path apart", function()
    local before = "return { f = function()\n  return 200\nend }\n"
    local app, root = open { files = { ["handlers/a.lua"] = before } }
    app:finish(app:start {})
    local waiting = "return { f = function()\n  require('t.host').block 'gate'\n\n  return 201\nend }\n"
    t.write(root .. "/handlers/a.lua", waiting)
    assert(app:load())
    app:commit(true)
    local old = app:start {}
    t.write(root .. "/handlers/a.lua", "return { f = function()\n\n  return 202\nend }\n")
    assert(app:load())
    app:commit(true)
    assert.equal(202, app:finish(app:start {}).status)
    app:release "gate"
    assert.equal(201, app:finish(old).status)
    local again = open { files = {}, functions = {} }
    assert.truthy(again)
    local lines = {}
    for i, f in ipairs(measured:files()) do lines[i] = f.lines end
    assert.same({ { 1, 1, 1 }, { 1, 1, [4] = 1, [5] = 1 }, { 1, [3] = 1, [4] = 1 } }, lines)
  end)

  it("costs nothing when it is off: no code has a hook for lines then", function()
    local body = [[
      local m = { host.hook() }
      local n = coroutine.wrap(function() return { host.hook() } end)()
      return 200, json.encode { m, n }]]
    local LINE = 4
    local without = helper.run(body).body -- a count, where the thread sanitizer holds signals back
    assert.is_true(without == "[[0,0],[0,0]]" or without:match "^%[%[8,%d+%],%[8,%d+%]%]$" ~= nil, without)
    measured = coverage()
    assert.equal(without, helper.run(body, { coverage = measured }).body)
    measured:start()
    local main, nested = helper.run(body, { coverage = measured }).body:match "^%[%[(%d+),%d+%],%[(%d+),%d+%]%]$"
    assert.equal(LINE, math.tointeger(tonumber(main)) & LINE)
    assert.equal(LINE, math.tointeger(tonumber(nested)) & LINE)
  end)

  it("measures nothing before it is started, and nothing in trusted states", function()
    measured = coverage()
    local text = { ["handlers/a.lua"] = "return { f = function() return 200 end }" }
    local app = helper.app { coverage = measured, files = text }
    app:finish(app:start {})
    measured:start()
    app:finish(app:start {})
    local trusted = helper.app { coverage = measured, trusted = true, files = text }
    trusted:finish(trusted:start {})
    assert.same({}, measured:files())
  end)
end)

-- One hook does both.
describe("while lines are counted,", function()
  local counted = coverage()
  counted:start()
  before_each(function() helper.coverage = counted end)
  after_each(function() helper.coverage = nil end)

  assert(loadfile("tests/unit/script/limits_spec.lua", "t", _ENV))()

  it("a module that does not end is not loaded", function()
    local app = helper.unloaded { watch = true, load_ms = 100, files = { ["handlers/a.lua"] = "while true do end" } }
    local ok, why = app:load()
    assert.is_nil(ok)
    assert.matches("took longer than 100 ms to load", why)
  end)

  it("each line is counted once, however often a job is preempted", function()
    local app = helper.handler([[
local n = 0
for i = 1, 300000 do
  n = n + i % 7
end
return 200, tostring(n)]], { watch = true, slice_ms = 1 })
    app:finish(app:start {})
    local files = counted:files()
    local lines = files[#files].lines
    assert.same({ 300001, 300000, 1 }, { lines[3], lines[4], lines[6] })
  end)
end)
