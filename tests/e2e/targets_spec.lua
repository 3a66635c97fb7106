--- The same specs in process, over HTTP and under the bootstrap: `perigee test --target`. Every test passes everywhere, or is pending
--- there for one of the reasons below, which are counted.
local host = require "perigee.host"
local peers = require "peers.peers"
local support = require "e2e.support"

local DEPLOYED = "tests/e2e/fixtures/targets/deployed_spec.lua"

-- Runs specs on a target: outcomes by the test's name, and how often each reason for being pending was given.
local function run(target, specs, env)
  local out, status = support.sh("%s %s test %s -o e2e.fixtures.targets.report %s 2>&1", env or "", support.release, target, specs)
  local result = { status = status, out = out, of = {}, passed = 0, reasons = {} }
  for outcome, name, said in out:gmatch "(%l+)\t([^\n]*)\t([^\n]*)\n" do
    result.of[name] = outcome
    if outcome == "passed" then result.passed = result.passed + 1 end
    local why = said:gsub("^[%w._/]+:%d+: ", "")
    if outcome == "pending" then result.reasons[why] = (result.reasons[why] or 0) + 1 end
  end
  return result
end

local function unless_passed(out) return (out:gsub("passed\t[^\n]*\n", "")) end

-- What no target but the process can do: matched in the reason.
local WITHIN = {
  "cannot do 'fault'", "cannot do 'calls'", "cannot do 'count'", "cannot do 'cost'", "needs a look at AWS calls",
  "needs processes that tests kill", "a look at the process from within", "needs failures inside the engine", "needs prices of AWS calls",
  "needs faults", "cannot do 'fail'",
}

local function is_explained(why, reasons)
  for _, list in ipairs { WITHIN, reasons } do
    for _, reason in ipairs(list) do
      if why:find(reason, 1, true) then return true end
    end
  end
  return false
end

describe("the specs of the order system", function()
  local process
  setup(function() process = run("", "tests/handlers") end)

  it("pass in process, all of them", function()
    assert.equal(0, process.status, unless_passed(process.out))
    assert.same({}, process.reasons)
    assert.is_true(process.passed > 100, process.passed .. " tests")
  end)

  -- Each passes there too; at most `most` are pending, for reasons that are known.
  local function same_on(target, reasons, most)
    local there, pending = run("--target " .. target, "tests/handlers"), 0
    assert.equal(0, there.status, unless_passed(there.out))
    for name in pairs(process.of) do
      local outcome = there.of[name] or "pending" -- a whole group that is pending has one line
      assert.is_true(outcome == "passed" or outcome == "pending", name)
    end
    for why, n in pairs(there.reasons) do
      assert.is_true(is_explained(why, reasons), target .. ": " .. why)
      pending = pending + n
    end
    assert.is_true(pending <= most, pending .. " are pending")
    assert.is_true(there.passed >= 89, there.passed .. " passed")
  end

  it("pass over HTTP", function()
    same_on("serve", { "requests of other addresses" }, 30)
  end)

  it("pass under the bootstrap", function()
    same_on("lambda", { "needs permissions that are enforced" }, 30)
  end)
end)

describe("a running server", function()
  local server
  local function start(args)
    server = support.start { args = "--control --log-level off " .. (args or ""), bin = support.release }
    return ("--target %s --target-cloud %s"):format(server.http, server.cloud)
  end
  after_each(function() if server then server:stop() end end)

  it("is drained by waiting, when it works off its queues itself", function()
    local there = run(start(), DEPLOYED)
    assert.equal(0, there.status, there.out)
    assert.equal(7, there.passed)
    assert.same({ "needs queues that nobody works off unless the test says so, which the target http has not" }, { (next(there.reasons)) })
  end)

  it("is drained by calling its functions, when it does not", function()
    local there = run(start "--no-feeds", DEPLOYED)
    assert.equal(0, there.status, there.out)
    assert.same({ 9, nil }, { there.passed, (next(there.reasons)) })
  end)

  it("cannot be given other parameters: those tests are pending", function()
    local there = run(start "--no-feeds", "tests/handlers/process_spec.lua")
    assert.equal(0, there.status, there.out)
    for why in pairs(there.reasons) do assert.matches("has parameters of its own", why, 1, true) end
    assert.equal(0, there.passed)
  end)

  it("that may not be controlled is said to be so", function()
    server = support.start { args = "--log-level off", bin = support.release }
    local there = run(("--target %s --target-cloud %s"):format(server.http, server.cloud), DEPLOYED)
    assert.not_equal(0, there.status)
    assert.matches("start `perigee serve` with --control or --development", there.out, 1, true)
  end)
end)

describe("what is deployed", function()
  it("is tested by its API and by AWS calls", function()
    local cloud = support.cloud { bin = support.release, args = "--log-level off" }
    local env = ("AWS_ACCESS_KEY_ID=perigee AWS_SECRET_ACCESS_KEY=perigee AWS_REGION=us-east-1 AWS_ENDPOINT_URL=%s"):format(cloud.cloud)
    local api = support.start { aws = true, env = env, bin = support.release, args = "--log-level off" }
    local as_it_is = run("--target aws --target-url " .. api.http, DEPLOYED, env)
    local again = run("--target aws --target-url " .. api.http, DEPLOYED, env)
    local wiped = run("--target aws --wipe --target-url " .. api.http, DEPLOYED, env)
    api:stop()
    cloud:stop()
    assert.same({ 0, 0, 0 }, { as_it_is.status, again.status, wiped.status }, as_it_is.out .. again.out .. wiped.out)
    assert.same({ 4, 4, 5 }, { as_it_is.passed, again.passed, wiped.passed })
  end)

  local why = peers.missing { "moto" }
  if why then return pending("is found by its stack: " .. why) end

  -- The stack names what moto made of it, and the API that is going to be there.
  local STACK = [[
    local json = require "perigee.json"
    local R = { Receipts = { Type = "AWS::S3::Bucket" } }
    for _, name in ipairs { "OrderEvents", "PaymentEvents", "OrderEventsDLQ", "PaymentEventsDLQ" } do
      R[name] = { Type = "AWS::SQS::Queue", Properties = { VisibilityTimeout = 60 } }
    end
    assert(require "perigee.aws".call("cloudformation", "CreateStack", { StackName = "shop",
      TemplateBody = json.encode { Resources = R, Outputs = { Other = { Value = "x" }, ApiUrl = { Value = arg[1] } } } }))]]

  local function free_port()
    for port = 20000 + os.time() % 10000, 60000 do
      if host.try_port("127.0.0.1", port) then return port end
    end
  end

  it("is found by its stack: names of resources and the address of the API", function()
    local set, port, dir = peers.start { "moto" }, free_port(), support.tmpdir()
    local env = peers.environment { all = set.url.moto }
    support.write(dir .. "/stack.lua", STACK)
    local out, status = support.sh("%s %s run --aws %s/stack.lua http://127.0.0.1:%d 2>&1", env, support.release, dir, port)
    assert.equal(0, status, out)
    local api = support.start { aws = true, env = env, bin = support.release, args = ("--stack shop --log-level off --port %d"):format(port), wait = 60 }
    local there = run("--target aws --stack shop", DEPLOYED, env)
    local nowhere = run("--target aws --stack nope", DEPLOYED, env)
    api:stop()
    set:stop()
    support.rmdir(dir)
    assert.equal(0, there.status, there.out)
    assert.equal(4, there.passed)
    assert.not_equal(0, nowhere.status)
    assert.matches("--stack nope", nowhere.out, 1, true)
  end)
end)

describe("perigee test", function()
  local function said(args)
    local out, status = support.sh("%s test %s 2>&1", support.release, args)
    return status, out
  end

  it("tells its own options, and where busted's are", function()
    local status, out = said "--help"
    assert.equal(0, status)
    for _, option in ipairs { "--target WHERE", "--target-cloud URL", "--bootstrap FILE", "--stack NAME", "--target-url URL", "--wipe", "--busted-help" } do
      assert.matches(option, out, 1, true)
    end
    assert.matches("--filter", select(2, said "--busted-help"), 1, true)
  end)

  it("refuses options that do not go together, by name", function()
    local cases = {
      ["--target moon"] = "--target: 'moon' is none (there are process, http://HOST:PORT, serve, lambda, aws)",
      ["--target"] = "--target needs a value",
      ["--bootstrap x"] = "--bootstrap goes with --target lambda",
      ["--target serve --stack shop"] = "--stack goes with --target aws",
      ["--target aws --wipe=yes"] = "--wipe takes no value",
    }
    for args, why in pairs(cases) do
      local status, out = said(args)
      assert.equal(2, status, args)
      assert.equal("perigee test: " .. why .. "\n", out)
    end
  end)

  it("says what is missing when a target cannot be had", function()
    assert.matches("--bootstrap /nowhere: there is no such file", select(2, said("--target lambda --bootstrap /nowhere " .. DEPLOYED)), 1, true)
    assert.matches("Connection refused", select(2, said("--target http://127.0.0.1:1 " .. DEPLOYED)), 1, true)
    assert.matches("--stack NAME or --target-url URL says where the API is",
      select(2, said("--target aws " .. DEPLOYED)), 1, true)
  end)
end)
