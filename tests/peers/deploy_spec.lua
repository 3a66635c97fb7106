-- What is deployed: config/template.yaml as SAM makes CloudFormation of it, and config/cdk, which must be the same.
local json = require "perigee.json"
local support = require "e2e.support"

local VENV, CDK, GO = "build/peers/venv/", "build/peers/cdk/node_modules/.bin/cdk", "build/peers/go"

-- nil, or what to tell in pending()
local function without(...)
  for _, what in ipairs { ... } do
    local _, status = support.sh("test -e %s", what)
    if status ~= 0 then return what .. " is not installed; see tests/peers/README.md" end
  end
end
local no_lint, no_cdk = without(VENV .. "bin/cfn-lint"), without(VENV .. "bin/cfn-lint", CDK, GO .. "/.made-from")

local dir, sam, cdk
local zip = "PK\5\6" .. ("\0"):rep(18) -- the empty archive: what is deployed does not matter here

local function drift(command, a, b) return support.sh("%sbin/python tests/peers/drift.py %s %s %s 2>&1", VENV, command, a, b) end

local function lint(path, options)
  local out, status = support.sh("%sbin/cfn-lint %s -- %s 2>&1", VENV, options or "", path)
  assert(status == 0, out)
end

-- CDK's own tool on the Go application, with caches outside of the tree.
local function tool(arguments)
  return support.sh([[root=$PWD; cd config/cdk && env HOME=$root/%s/home GOMODCACHE=$root/%s/mod GOCACHE=$root/%s/cache GOFLAGS=-modcacherw ]] ..
    [[GOTOOLCHAIN=local CDK_DISABLE_CLI_TELEMETRY=true AWS_EC2_METADATA_DISABLED=true timeout 300 $root/%s %s --no-notices 2>&1]],
    GO, GO, GO, CDK, arguments)
end

setup(function()
  if no_lint then return end
  dir = support.tmpdir()
  sam, cdk = dir .. "/sam.json", dir .. "/cdk"
  assert.equal("", (drift("transform", "config/template.yaml", sam)))
  if no_cdk then return end
  support.write(dir .. "/lambda.zip", zip)
  local out, status = tool(("synth -q -c package=%s/lambda.zip -o %s"):format(dir, cdk))
  assert(status == 0, out)
  cdk = cdk .. "/orders.template.json"
end)
teardown(function()
  if dir then support.rmdir(dir) end
end)

describe("config/template.yaml", function()
  it("is clean under cfn-lint", function()
    if no_lint then return pending(no_lint) end
    lint "config/template.yaml"
  end)

  it("becomes CloudFormation that is clean too, for either architecture", function()
    if no_lint then return pending(no_lint) end
    lint(sam)
    local template = json.decode(support.read(sam))
    assert.same({ "arm64", "x86_64" }, template.Parameters.Architecture.AllowedValues)
    assert.same({ { Ref = "Architecture" } }, template.Resources.CreateOrder.Properties.Architectures)
  end)

  it("grants no function all actions or all resources", function()
    if no_lint then return pending(no_lint) end
    local seen = 0
    for name, r in pairs(json.decode(support.read(sam)).Resources) do
      for _, policy in ipairs(r.Type == "AWS::IAM::Role" and r.Properties.Policies or {}) do
        local text = json.encode(policy.PolicyDocument)
        assert.is_nil(text:match '"%*"' or text:match '[%w]:%*"', name .. ": " .. text)
        seen = seen + 1
      end
    end
    assert.is_true(seen >= 8)
  end)
end)

describe("config/cdk", function()
  it("becomes CloudFormation that is clean under cfn-lint", function()
    if no_cdk then return pending(no_cdk) end
    lint(cdk, "-i W3005") -- CDK writes DependsOn also where a reference says it already
  end)

  it("declares what the SAM template declares, and a change of any value of either is noticed", function()
    if no_cdk then return pending(no_cdk) end
    local out = drift("compare", sam, cdk)
    local ok, last = pcall(json.decode, out:match "([^\n]*)\n?$" or "")
    assert(ok and type(last) == "table" and last.differences, out)
    assert.equal(0, #last.differences, out)
    assert.same({}, { table.unpack(last.unnoticed) })
    assert.is_true(last.changes > 1500, out)
  end)

  it("differs when a resource is added, left out or of a type that nothing compares", function()
    if no_cdk then return pending(no_cdk) end
    local text, copy = support.read(sam), dir .. "/changed.json"
    local function differs(change, expected)
      local template = json.decode(text)
      change(template.Resources)
      support.write(copy, json.encode(template))
      local out = drift("compare", copy, cdk)
      assert.matches(expected, out, 1, true)
    end
    differs(function(r) r.RelayStopped = nil end, '{"differences": ["RelayStopped", "RelayStopped"]')
    differs(function(r) r.Third = { Type = "AWS::SQS::Queue" } end, '{"differences": ["Third", "Third"]')
    differs(function(r) r.Receipts.DeletionPolicy = nil end, '{"differences": ["DeletionPolicy of Receipts", "DeletionPolicy of Receipts"]')
    differs(function(r) r.Key = { Type = "AWS::KMS::Key" } end, "Key: nothing compares AWS::KMS::Key")
  end)

  it("finds nothing to change in a stack that is as it says", function()
    if no_cdk then return pending(no_cdk) end
    local out, status = tool(("diff -a %s/cdk --template %s"):format(dir, cdk))
    assert.equal(0, status, out)
    assert.matches("There were no differences", out, 1, true)
  end)

  it("says what to do where there is no package", function()
    if no_cdk then return pending(no_cdk) end
    local out, status = tool(("synth -q -c package=%s/none.zip -o %s/none"):format(dir, dir))
    assert.not_equal(0, status)
    assert.matches("no package: stat .*/none.zip: no such file or directory %(make it by `./dev package`", out)
  end)
end)
