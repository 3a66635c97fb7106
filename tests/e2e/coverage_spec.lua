--- `perigee test --coverage`: which lines of handlers ran, with the limits at work.
local support = require "e2e.support"

local TEMPLATE = [[
Transform: AWS::Serverless-2016-10-31
Resources:
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      Handler: echo.echo
      Runtime: provided.al2023
      CodeUri: ../handlers
      Timeout: 1
      Events: { Get: { Type: Api, Properties: { Path: /echo, Method: get } } }
  Spin:
    Type: AWS::Serverless::Function
    Properties:
      Handler: echo.spin
      Runtime: provided.al2023
      CodeUri: ../handlers
      Timeout: 1
      Events: { Get: { Type: Api, Properties: { Path: /spin, Method: get } } }
]]

local HANDLER = [[
local words = require "model.words"

local function echo(request)
  if request.query.loud then
    return 200, words.loud(request.query.word)
  end
  return 200, words.plain(request.query.word)
end

local function spin()
  while true do
    pcall(error)
  end
end

return { echo = echo, spin = spin }
]]

local WORDS = [[
local words = {}
function words.plain(word)
  return word
end
function words.loud(word)
  local text = word:upper()
  return text .. "!"
end
return words
]]

local SPEC = [[
local testing = require "perigee.testing"
it("is plain", function()
  local app <close> = testing.app()
  assert.equal(EXPECTED, app:get("/echo?word=a").body)
end)
it("is plain again, in another host", function()
  local app <close> = testing.app()
  assert.equal("b", app:get("/echo?word=b").body)
end)
it("spins", function()
  local app <close> = testing.app { CLOCK }
  assert.is_true(app:get("/spin").status >= 500)
end)
]]

describe("perigee test --coverage", function()
  local dir
  before_each(function()
    dir = support.tmpdir()
    support.sh("mkdir -p %s/config %s/handlers/model %s/tests/app/handlers", dir, dir, dir)
    support.write(dir .. "/config/template.yaml", TEMPLATE)
    support.write(dir .. "/handlers/echo.lua", HANDLER)
    support.write(dir .. "/handlers/model/words.lua", WORDS)
    support.write(dir .. "/handlers/unused.lua", "return 1\n")
  end)
  after_each(function() support.rmdir(dir) end)

  local bin = support.sh("realpath %s", support.bin):gsub("%s+$", "")

  local function run(args, values)
    values = values or {}
    support.write(dir .. "/tests/echo_spec.lua",
      (SPEC:gsub("EXPECTED", values.expected or '"a"'):gsub("CLOCK", values.clock or "")))
    local out, status = support.sh("cd %s && %s test %s tests 2>&1", dir, bin, args)
    return status, out
  end

  local TABLE = [[
file                        lines    covered  not run
handlers/echo.lua               6     83.3 %  5
handlers/model/words.lua        7     71.4 %  6-7
handlers/unused.lua             1      0.0 %  1
all                            14     71.4 %
build/coverage/lcov.info
]]

  it("adds up over hosts and ends handlers at their limits, in simulated and in real time", function()
    for _, clock in ipairs { "", "clock = false" } do
      local status, out = run("--coverage", { clock = clock })
      assert.equal(0, status, out)
      assert.matches(TABLE, out, 1, true)
    end
    local lcov = support.read(dir .. "/build/coverage/lcov.info")
    assert.matches("TN:\nSF:handlers/model/words.lua\nDA:1,6\nDA:2,6\nDA:3,2\nDA:5,6\nDA:6,0\nDA:7,0\nDA:9,6\nLF:7\nLH:5\nend_of_record\n",
      lcov, 1, true)
    assert.matches("\nSF:handlers/unused.lua\nDA:1,0\nLF:1\nLH:0\nend_of_record\n$", lcov)
  end)

  it("fails below the least that is asked for, and only then", function()
    local status, out = run("--coverage --coverage-min 74 --coverage-out out/here")
    assert.equal(1, status)
    assert.matches("perigee test: 71.4 % of the lines ran, which is less than 74 %", out, 1, true)
    assert.matches("SF:handlers/echo.lua", support.read(dir .. "/out/here/lcov.info"), 1, true)
    assert.equal(0, (run "--coverage --coverage-min=71.4"))
    assert.equal(0, (run "--coverage --coverage-min=76 --coverage-exclude handlers/unused.lua"))
  end)

  it("says which files it cannot count", function()
    support.write(dir .. "/handlers/cut_off.lua", "local function f(\n")
    local status, out = run "--coverage"
    assert.equal(0, status, out)
    assert.matches("perigee test: --coverage: not counted: handlers/cut_off.lua:2: ", out, 1, true)
    assert.matches(TABLE, out, 1, true)
  end)

  it("does not make failing tests succeed", function()
    local status, out = run("--coverage", { expected = '"z"' })
    assert.equal(1, status)
    assert.matches("\nbuild/coverage/lcov.info\n", out)
  end)

  it("leaves out the tests' own applications, and files outside of the present directory", function()
    local status, out = run "--coverage --coverage-exclude ./handlers/"
    assert.equal(1, status)
    assert.matches("no handlers below the present directory were loaded", out, 1, true)
  end)

  it("refuses what makes no sense", function()
    local wrong = {
      ["--coverage --coverage-min many"] = "--coverage-min: 'many' is no percentage",
      ["--coverage --coverage-min 101"] = "--coverage-min: '101' is no percentage",
      ["--coverage=yes"] = "--coverage takes no value",
      ["--coverage --target serve"] = "--coverage goes with --target process",
      ["--coverage-out x"] = "--coverage-out goes with --coverage",
    }
    for args, why in pairs(wrong) do
      local status, out = run(args)
      assert.equal(2, status, args .. ": " .. out)
      assert.matches("perigee test: " .. why, out, 1, true)
    end
  end)

  it("says so when the tracefile cannot be written", function()
    local status, out = run "--coverage --coverage-out handlers/echo.lua"
    assert.equal(2, status)
    assert.matches("perigee test: --coverage-out: ", out, 1, true)
  end)

  it("measures the order system's handlers", function()
    local _, status = support.sh("%s test --coverage --coverage-out %s/out tests/handlers/receipts_spec.lua >%s/log 2>&1", bin, dir, dir)
    assert.equal(0, status, support.read(dir .. "/log"))
    local lcov, files = support.read(dir .. "/out/lcov.info"), {}
    for path, body in lcov:gmatch "TN:\nSF:([^\n]+)\n(.-)end_of_record\n" do
      local found, hit = 0, 0
      for _, times in body:gmatch "DA:(%d+),(%d+)\n" do
        found = found + 1
        if times ~= "0" then hit = hit + 1 end
      end
      assert.matches(("LF:%d\nLH:%d\n$"):format(found, hit), body)
      files[path] = hit / found
    end
    assert.is_true(files["handlers/receipts.lua"] > 0.9)
    assert.is_true(files["handlers/orders.lua"] > 0.2 and files["handlers/orders.lua"] < 0.9)
    assert.is_nil(files["lua/perigee/http.lua"])
  end)
end)
