package.path = "tests/unit/script/?.lua;" .. package.path
local helper = require "helper"
local run = helper.run

describe("the sandbox", function()
  after_each(helper.close)

  it("has none of the functions that reach outside", function()
    local r = run [[
      local there = {}
      for _, name in ipairs { "io", "debug", "dofile", "loadfile", "os.execute", "os.exit", "os.remove", "os.rename", "os.tmpname",
          "os.setlocale", "package.loadlib", "package.searchers", "package.cpath", "string.dump" } do
        local v = _G
        for part in name:gmatch "[^.]+" do v = v and v[part] end
        if v ~= nil then there[#there + 1] = name end
      end
      return 200, json.array(there)]]
    assert.equal("[]", r.body)
  end)

  it("has what handlers need", function()
    assert.equal("true", run([[
      return 200, tostring(math.max(1, 2) == 2 and ("x"):upper() == "X" and table.concat { 1, 2 } == "12" and utf8.char(228) == "ä"
        and type(os.clock()) == "number" and _VERSION == "Lua 5.4" and select("#", table.unpack { 1, 2 }) == 2 and next {} == nil
        and load "return 7"() == 7 and _G == _ENV and package.loaded ~= nil and rawlen { 1 } == 1)]]).body)
  end)

  it("load takes text only, with the function's own globals", function()
    local r = run [[
      local dump = "\27Lua" .. ("x"):rep(30)
      return 200, { (select(2, load(dump))), load "return _G"() == _G, load("return x", "c", "t", { x = 5 })(),
        (select(2, load("syntax error here", "=name"))), load(coroutine.wrap(function() coroutine.yield "return " coroutine.yield "9" end))(),
        (select(2, load(dump, "b", "b"))) }]]
    assert.matches('^%["attempt to load a binary chunk %(mode is \'t\'%)",true,5,"name:1: [^"]*",9,"attempt to load a binary', r.body)
  end)

  it("keeps the globals and libraries of functions apart", function()
    local app = helper.app {
      files = {
        ["handlers/a.lua"] = [[
          shared = "a"
          string.trim = function() return "a" end
          return { f = function() return 200, { shared, string.trim(), require("lib").n() } end }]],
        ["handlers/b.lua"] = "return { f = function() return 200, { tostring(shared), tostring(string.trim), require('lib').n() } end }",
        ["handlers/lib.lua"] = "local n = 0 return { n = function() n = n + 1 return n end }" },
      functions = { { name = "A", module = "a", field = "f" }, { name = "B", module = "b", field = "f" } } }
    assert.equal('["a","a",1]', app:finish(app:start { fn = 1 }).body)
    assert.equal('["a","a",2]', app:finish(app:start { fn = 1 }).body)
    assert.equal('["nil","nil",1]', app:finish(app:start { fn = 2 }).body)
  end)

  it("does not give away the metatable of strings", function()
    assert.equal('"string"', run("return 200, json.encode(getmetatable '')").body)
    assert.matches("protected metatable", run("setmetatable(_G, {})").message)
  end)

  it("refuses finalisers, which nothing could end", function()
    assert.matches("a.lua:%d: __gc is not possible", run("setmetatable({}, { __gc = function() while true do end end })").message)
  end)

  it("refuses to make globals after load, naming file and line", function()
    local r = run "\ncount = 1"
    assert.matches("^handlers/a.lua:3: assignment to the undeclared global 'count'", r.message)
  end)

  it("lets globals be made while modules load, and changed later", function()
    local app = helper.app { files = { ["handlers/a.lua"] = [[
      total = 0
      return { f = function() total = total + 1 return 200, total end }]] } }
    app:finish(app:start {})
    assert.equal("2", app:finish(app:start {}).body)
  end)

  it("does not let handlers stop the collector", function()
    assert.matches("invalid option 'stop'", run("collectgarbage 'stop'").message)
    assert.equal("true", run("return 200, tostring(collectgarbage 'count' > 0 and collectgarbage() == 0)").body)
  end)

  it("os.getenv is the template's, then the process's", function()
    local r = run("return 200, { os.getenv 'TABLE', os.getenv 'PATH' ~= nil, os.getenv 'NO_SUCH_X' == nil }", { env = { TABLE = "Orders" } })
    assert.equal('["Orders",true,true]', r.body)
  end)

  it("os.time and os.date follow the host's clock", function()
    local app = helper.handler "return 200, { os.time(), os.date '!%Y-%m-%d', os.date('!%Y', 0), os.time { year = 2001, month = 1, day = 2, hour = 12 } > 0 }"
    app:clock(1700000000123)
    assert.equal('[1700000000,"2023-11-14","1970",true]', app:finish(app:start {}).body)
  end)

  it("print writes a log line with the request's id", function()
    local _, app = run("print('hello', 1, nil)", {}, { request_id = "r-1" })
    assert.matches('"msg":"hello\\t1\\tnil"', app:log())
    assert.matches('"request_id":"r%-1"', app:log())
  end)

  it("table.move, insert and remove work as ever", function()
    assert.equal('[[1,1,2,3],[2,3],[9,8,1,2],3,[1,2],[1,"x",2]]', run([[
      local t = { 1, 2 } local removed = table.remove({ 1, 2, 3 }) local i = { 1, 2 } table.insert(i, 2, "x")
      return 200, { table.move({ 1, 2, 3 }, 1, 3, 2), table.move({ 1, 2, 3 }, 2, 3, 1, {}), table.move(t, 1, 2, 3, { 9, 8 }), removed, t, i }]]).body)
  end)
end)

describe("require", function()
  after_each(helper.close)

  it("loads lua-cjson, when it is installed, and pure modules of the system", function()
    local found = package.searchpath("cjson", package.cpath)
    if not found then pending "lua-cjson is not installed" end
    assert.equal("[1,2]", run("return 200, require 'cjson'.encode { 1, 2 }").body)
  end)

  it("prefers the handlers' own files, also init.lua and directories", function()
    local app = helper.app { files = {
      ["handlers/a.lua"] = "return { f = function() return 200, { require 'cjson'.mine, require 'x.y'.name, require 'z'.name } end }",
      ["handlers/cjson.lua"] = "return { mine = 'mine' }",
      ["handlers/x/y.lua"] = "return { name = ... }",
      ["handlers/z/init.lua"] = "return { name = (...) }" } }
    assert.equal('["mine","x.y","z"]', app:finish(app:start {}).body)
  end)

  it("refuses waits in module bodies, and waits afterwards are fine", function()
    local app = helper.app { files = {
      ["handlers/a.lua"] = [[
        local host = require "t.host"
        return { f = function()
          local ok, err = pcall(require, "waits")
          local ok2, err2 = pcall(require, "waits")
          return 200, { err, err2, host.block "a" }
        end }]],
      ["handlers/waits.lua"] = "require 't.host'.block 'x'" } }
    local j = app:start {}
    app:release "a"
    local body = app:finish(j).body
    assert.matches("waits.lua:1: block is not possible while a module is being loaded", body)
    assert.is_nil(body:find "requires itself")
  end)

  it("names a module that requires itself, and one that is missing", function()
    local app = helper.app { files = {
      ["handlers/a.lua"] = "return { f = function() return 200, { select(2, pcall(require, 'c1')), (select(2, pcall(require, 'nope.x'))), (select(2, pcall(require, 'perigee.nope'))) } end }",
      ["handlers/c1.lua"] = "require 'c2'", ["handlers/c2.lua"] = "require 'c1'" } }
    local body = app:finish(app:start {}).body
    assert.matches("c2.lua:1: the module 'c1' requires itself", body)
    assert.matches("module 'nope.x' not found", body)
    assert.matches("there is no module 'perigee.nope'", body)
  end)

  it("is preempted in a module's body, and ended", function()
    local app = helper.app { watch = true, files = {
      ["handlers/a.lua"] = "return { f = function() require 'loop' end }", ["handlers/loop.lua"] = "while true do end" },
      functions = { { name = "F", module = "a", field = "f", timeout = 100 } } }
    assert.equal("RequestTimeout", app:finish(app:start {}).code)
    assert.equal("RequestTimeout", app:finish(app:start {}).code)
  end)
end)
