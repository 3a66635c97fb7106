--- `perigee graph`: the machines that handlers declare, as drawings.
local support = require "e2e.support"

local TEMPLATE = [[
Transform: AWS::Serverless-2016-10-31
Resources:
  A: { Type: AWS::Serverless::Function, Properties: { Handler: a.f, Runtime: provided.al2023, CodeUri: ../handlers } }
  B: { Type: AWS::Serverless::Function, Properties: { Handler: b.f, Runtime: provided.al2023, CodeUri: ../handlers } }
]]
local HANDLER = "local m = require 'machines' return { f = function() return m end }"
local TICKET = [[
local states = require "perigee.states"
return states.machine { name = "ticket", initial = "OPEN", terminal = { "CLOSED" }, transitions = {
  close = { from = { "OPEN" }, to = "CLOSED", when = function() error "not now" end } } }
]]

describe("perigee graph", function()
  local dir
  before_each(function()
    dir = support.tmpdir()
    support.sh("mkdir -p %s/config %s/handlers", dir, dir)
    support.write(dir .. "/config/template.yaml", TEMPLATE)
    support.write(dir .. "/handlers/a.lua", HANDLER)
    support.write(dir .. "/handlers/b.lua", HANDLER)
    support.write(dir .. "/handlers/machines.lua", TICKET)
  end)
  after_each(function() support.rmdir(dir) end)

  local function run(args)
    local out, status = support.sh("%s graph --template %s/config/template.yaml %s 2>&1", support.bin, dir, args or "")
    return status, out
  end

  it("draws a machine once, however many functions load it", function()
    local status, out = run()
    assert.equal(0, status, out)
    assert.equal("ticket\n\n    ┌──────┐\n●─▶ │ OPEN │\n    └──────┘\n      └─ close [when] ──▶ CLOSED\n\n"
      .. "    ╔════════╗\n    ║ CLOSED ║\n    ╚════════╝\n", out)
    assert.matches("*-> | OPEN |", select(2, run "--ascii --machine ticket"), 1, true)
    assert.matches('^digraph "ticket" {\n', select(2, run "--format dot"))
  end)

  it("writes a file in the format of its name", function()
    local status, out = run(("--out %s/m.svg"):format(dir))
    assert.equal(0, status, out)
    assert.equal("", out)
    assert.matches('^<svg xmlns="http://www.w3.org/2000/svg"', support.read(dir .. "/m.svg"))
    assert.equal(0, (run(("--out %s/m.dot"):format(dir))))
    assert.matches("^digraph", support.read(dir .. "/m.dot"))
    assert.equal(0, (run(("--format text --out %s/m.dot"):format(dir))))
    assert.matches("^ticket\n", support.read(dir .. "/m.dot"))
  end)

  local function refused(code, args, why)
    local status, out = run(args)
    assert.equal(code, status, out)
    assert.matches("perigee graph: " .. why, out, 1, true)
  end

  it("refuses what it does not know", function()
    refused(1, "--machine order", "there is no machine 'order' (there are: ticket)")
    refused(2, "--format png", "--format: 'png' is not text, svg or dot")
    refused(2, "--format svg --ascii", "--ascii goes with text, not with svg")
    refused(2, "ticket", "unexpected argument 'ticket'")
    refused(1, ("--out %s/no/such.svg"):format(dir), "--out: " .. dir .. "/no/such.svg: No such file or directory")
  end)

  it("says so when there is no machine, no template, or a handler does not load", function()
    support.write(dir .. "/handlers/machines.lua", "return {}")
    refused(1, "", "the handlers of " .. dir .. "/config/template.yaml declare no state machine")
    support.write(dir .. "/handlers/machines.lua", "require('perigee.states').machine { initial = 'A', transitions = {} }")
    refused(1, "", "handlers/machines.lua:1: states.machine: nothing leaves 'A'")
    support.write(dir .. "/handlers/machines.lua", "while true do end")
    refused(1, "", "Handler: a.f: the module took longer than")
    local out, status = support.sh("%s check --template %s/config/template.yaml 2>&1", support.bin, dir)
    assert.equal(1, status)
    assert.matches("A: Handler: a.f: the module took longer than", out, 1, true)
    support.sh("rm %s/config/template.yaml", dir)
    refused(1, "", "")
  end)

  it("refuses two machines of one name that differ", function()
    support.write(dir .. "/handlers/b.lua", TICKET:gsub("OPEN", "FRESH"):gsub("^.-return", "local states = require 'perigee.states' local m =")
      .. " return { f = function() return m end }")
    refused(1, "", "two machines that differ are called 'ticket'")
  end)

  it("draws the order system's machine as docs/lua.md shows it", function()
    local drawn = support.sh("%s graph", support.bin)
    assert.matches("```text\n" .. drawn .. "```\n", support.read "docs/lua.md", 1, true)
  end)
end)
