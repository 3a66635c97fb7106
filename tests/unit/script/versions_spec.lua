package.path = "tests/unit/script/?.lua;" .. package.path
local helper = require "helper"
local t = require "t.script"

local function body_of(app, request) return app:finish(app:start(request or {})).body end

describe("a version", function()
  after_each(helper.close)

  it("takes effect when it is committed, for new requests", function()
    local app, root = helper.app { files = { ["handlers/a.lua"] =
      "return { f = function(r) if r.path == 'wait' then require 't.host'.block 'a' end return 200, require 'm' end }",
      ["handlers/m.lua"] = "return 'one'" } }
    local first = app:commit(true)
    local job = app:start { path = "wait" }
    t.write(root .. "/handlers/m.lua", "return 'two'")
    assert(app:load())
    assert.equal("one", body_of(app))
    local second = app:commit(true)
    assert.not_equal(first, second)
    assert.equal("two", body_of(app))
    app:release "a"
    local r = app:finish(job)
    assert.same({ "one", first }, { r.body, r.version })
  end)

  it("is dropped when it is not committed", function()
    local app, root = helper.app { files = { ["handlers/a.lua"] = "return { f = function() return 200, 'one' end }" } }
    local first = app:commit(true)
    t.write(root .. "/handlers/a.lua", "return { f = function() return 200, 'two' end }")
    assert(app:load())
    assert.equal(first, app:commit(false))
    assert.equal("one", body_of(app))
  end)

  for name, row in pairs {
    ["a syntax error"] = { "return {\n f = function( end }", "^handlers/a.lua:2: " },
    ["an error while it loads"] = { "local x = nil\nreturn { f = x.y }", "^handlers/a.lua:2: attempt to index" },
    ["a missing function"] = { "return { g = print, h = 1, b = print, z = print }", "a%.f: the module returns a table without a function 'f' %(it has: b, g, z%)" },
    ["no table"] = { "x = 1", "the module must return a table of functions, but it returned a boolean" },
    ["a missing module"] = { "require 'gone'", "^handlers/a.lua:1: module 'gone' not found: no such file below '.*handlers', nor on package.path or package.cpath$" },
    ["a wait in its body"] = { "require 't.host'.block 'x' return {}", "block is not possible while a module is being loaded" },
    ["an error table"] = { "error { message = 'told' }", "a table was raised as an error|told" },
    ["a missing file"] = { false, "module 'a' not found" },
  } do
    it("with " .. name .. " is refused; the present one stays", function()
      local app, root = helper.app { files = { ["handlers/a.lua"] = "return { f = function() return 200, 'works' end }" } }
      local version = app:commit(true)
      if row[1] then t.write(root .. "/handlers/a.lua", row[1]) else os.remove(root .. "/handlers/a.lua") end
      local ok, message, trace = app:load()
      assert.is_nil(ok)
      local matched = false
      for alternative in row[2]:gmatch "[^|]+" do matched = matched or message:match(alternative) ~= nil end
      assert.is_true(matched, message)
      if name:match "while it loads" then assert.matches("stack traceback:\n\thandlers/a.lua:2: in the module's body\n\t\treturn { f = x.y }", trace) end
      assert.equal("works", body_of(app))
      assert.equal(version, app:commit(true))
      t.write(root .. "/handlers/a.lua", "return { f = function() return 200, 'again' end }")
      assert(app:load())
      app:commit(true)
      assert.equal("again", body_of(app))
    end)
  end

  it("depends on names and contents alone, schemas too, and names its directories", function()
    local app, root = helper.app { files = { ["handlers/a.lua"] = "return { f = print }", ["handlers/sub/b.lua"] = "",
      ["config/schemas/o.json"] = "{}", ["config/other.json"] = "{}" } }
    local dirs, one = app:dirs()
    table.sort(dirs)
    assert.same({ root .. "/config/schemas", root .. "/handlers", root .. "/handlers/sub" }, dirs)
    assert.matches("^%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x$", one)
    t.write(root .. "/handlers/a.lua", "return { f = print }")
    t.write(root .. "/config/other.json", "[]")
    assert.equal(one, (select(2, app:dirs())))
    t.write(root .. "/config/schemas/o.json", "[]")
    assert.not_equal(one, (select(2, app:dirs())))
  end)

  it("answers with the files of its own snapshot", function()
    local app, root = helper.app { files = { ["handlers/a.lua"] =
      "local text = require 't.host'.source 'config/schemas/o.json' return { f = function() return 200, { text, require 't.host'.source 'config/schemas/o.json', (select(2, pcall(require 't.host'.source, '/etc/passwd'))) } end }",
      ["config/schemas/o.json"] = "one" } }
    t.write(root .. "/config/schemas/o.json", "two")
    assert.matches('^%["one","one","[^"]*no file \'/etc/passwd\'', body_of(app))
  end)

  it("that loops while it loads is refused after a while", function()
    local app, root = helper.unloaded { watch = true, load_ms = 200, files = { ["handlers/a.lua"] = "while true do pcall(function() while true do end end) end" } }
    assert.is_string(root)
    local ok, message = app:load()
    assert.is_nil(ok)
    assert.matches("took longer than 200 ms to load", message)
  end)

  it("is needed to run anything", function()
    local app = helper.unloaded { files = {} }
    local r = app:finish(app:start {})
    assert.same({ "ServiceUnavailable", 1 }, { r.code, r.replies })
  end)
end)

describe("a script", function()
  after_each(helper.close)
  local function script(text)
    local app = helper.unloaded { trusted = true, files = {} , functions = {} }
    return app, app:run(text)
  end

  it("has the whole library, its arguments, and an exit code", function()
    local _, code, err = script "assert(io and debug and os.exit and arg[0] == 'chunk.lua' and arg[2] == 'two' and ... == 'one') return 7"
    assert.same({ 7, "" }, { code, err })
    assert.same({ 0, "" }, { select(2, script "#!/usr/bin/lua\nlocal x = 1") })
    assert.equal(1, (select(2, script "return false")))
  end)

  it("answers with message and traceback", function()
    local _, code, err = script "\nlocal function f() error 'bad' end\nf()"
    assert.equal(1, code)
    assert.matches("^chunk.lua:2: bad\nstack traceback:", err)
    assert.matches("^chunk.lua:1: ", (select(3, script "x x")))
  end)

  it("waits by turning the loop, anywhere", function()
    local _, code, err = script [[
      local time = require "perigee.time"
      local n = 0
      time.sleep(1)
      table.sort({ 2, 1 }, function(a, b) time.sleep(1) n = n + 1 return a < b end)
      coroutine.wrap(function() time.sleep(1) n = n + 1 end)()
      assert(n >= 2)]]
    assert.same({ 0, "" }, { code, err })
  end)

  it("runs perigee.parallel at once", function()
    local _, code, err = script [[
      local time, parallel = require "perigee.time", require "perigee.parallel"
      local order = {}
      local function job(ms, name) return function() time.sleep(ms) order[#order + 1] = name time.sleep(1) return name end end
      local r = parallel { job(60, "slow"), job(1, "quick"), function() return parallel { job(30, "middle") }[1][2] end }
      assert(table.concat(order, " ") == "quick middle slow", table.concat(order, " "))
      assert(r[1][2] == "slow" and r[2][2] == "quick" and r[3][2] == "middle")
      time.sleep(1)
      coroutine.wrap(function() time.sleep(1) end)()]]
    assert.same({ 0, "" }, { code, err })
  end)
end)
