-- The doctor over an AWS that answers as the test says.
local json = require "perigee.json"

local real = package.loaded["perigee.aws"] or require "perigee.aws"
local answers, asked, about
local fake = {
  describe = function() return about end,
  call = function(service, action, params)
    local name = service .. ":" .. action
    asked[#asked + 1] = { name = name, params = params }
    local answer = answers[name]
    if type(answer) == "function" then answer = answer(params) end
    if answer == nil then answer = { code = "NotImplemented", status = 501, message = name .. " is not there" } end
    if answer.code then return nil, answer end
    return answer
  end,
}

local doctor
setup(function()
  package.loaded["perigee.aws"], package.loaded["perigee.doctor"] = fake, nil
  doctor = require "perigee.doctor"
end)
teardown(function() package.loaded["perigee.aws"], package.loaded["perigee.doctor"] = real, nil end)

local ORDERS = "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders"
local EVENTS = "arn:aws:sqs:eu-west-1:123456789012:Events"

local function template()
  return {
    template = "t.yaml", queue_base = "https://sqs.eu-west-1.amazonaws.com/123456789012", unset_secrets = {}, identities = {},
    functions = { { name = "Create", line = 9, statements = {
      { deny = false, actions = { "dynamodb:PutItem", "dynamodb:BatchWriteItem" }, resources = { ORDERS } },
      { deny = false, actions = { "sqs:SendMessage*" }, resources = { EVENTS } },
      { deny = true, actions = { "dynamodb:DeleteItem" }, resources = { ORDERS } },
      { deny = false, all_but = true, actions = { "dynamodb:DeleteTable" }, resources = { ORDERS } },
    } } },
    tables = { { name = "Orders", logical_id = "Orders", line = 20, create = {
      AttributeDefinitions = { { AttributeName = "id", AttributeType = "S" } }, KeySchema = { { AttributeName = "id", KeyType = "HASH" } },
    } } },
    queues = { { name = "Events", logical_id = "Events", line = 30, create = {} } },
    buckets = {},
    feeds = { { queue = "Events", ["function"] = "Create", enabled = true } },
    schedules = {},
  }
end

local host
local function run(options)
  local lines = {}
  local all = { template = "t.yaml", aws = true, host = "127.0.0.1" }
  for k, v in pairs(options or {}) do all[k] = v end
  local code = doctor.run(all, host, function(line) lines[#lines + 1] = line end)
  return code, table.concat(lines)
end
local function asked_for(name)
  local n = 0
  for _, call in ipairs(asked) do n = n + (call.name == name and 1 or 0) end
  return n
end

before_each(function()
  asked = {}
  host = {
    inspect = template,
    check = function() return true end,
    try_port = function() return true end,
    try_data = function() return true end,
  }
  local service = { endpoint = "https://x.eu-west-1.amazonaws.com", source = "default", clock_correction_ms = 0 }
  about = {
    region = "eu-west-1", region_source = "AWS_REGION", account = "123456789012", partition = "aws", profile = "default",
    credentials = { source = "environment", access_key_id = "AKIA…MPLE", expires = json.null },
    services = { sts = service, dynamodb = service, sqs = service, s3 = service },
  }
  answers = {
    ["sts:GetCallerIdentity"] = { Arn = "arn:aws:sts::123456789012:assumed-role/Shop/i-1", Account = "123456789012" },
    ["dynamodb:ListTables"] = { TableNames = {} },
    ["sqs:ListQueues"] = {},
    ["dynamodb:DescribeTable"] = { Table = { TableStatus = "ACTIVE" } },
    ["sqs:GetQueueUrl"] = { QueueUrl = "https://sqs.eu-west-1.amazonaws.com/123456789012/Events" },
    ["dynamodb:PutItem"] = { code = "ConditionalCheckFailedException", status = 400, message = "The conditional request failed" },
    ["sqs:DeleteMessage"] = { code = "ReceiptHandleIsInvalid", status = 400, message = "no" },
    ["sqs:ChangeMessageVisibility"] = { code = "ReceiptHandleIsInvalid", status = 400, message = "no" },
  }
end)

describe("the doctor on AWS", function()
  it("says who, where and what is there", function()
    local code, said = run()
    assert.equal(0, code)
    assert.matches("ok    region: eu-west-1, from AWS_REGION", said, 1, true)
    assert.matches("ok    credentials: AKIA…MPLE, from environment, without expiry", said, 1, true)
    assert.matches("ok    identity: arn:aws:sts::123456789012:assumed-role/Shop/i-1, account 123456789012", said, 1, true)
    assert.matches("ok    dynamodb: https://x%.eu%-west%-1%.amazonaws%.com %(default%) answers in %d+ ms over TLS", said)
    assert.matches("ok    table Orders is there", said, 1, true)
    assert.matches("perigee serve would work\n$", said)
  end)

  it("tells the permissions that IAM's simulator denies, and for whom", function()
    answers["iam:SimulatePrincipalPolicy"] = function(params)
      assert.equal("arn:aws:iam::123456789012:role/Shop", params.PolicySourceArn)
      local rows = {}
      for _, action in ipairs(params.ActionNames) do
        rows[#rows + 1] = { EvalActionName = action, EvalResourceName = params.ResourceArns[1],
          EvalDecision = action == "dynamodb:BatchWriteItem" and "implicitDeny" or "allowed" }
      end
      return { EvaluationResults = rows, IsTruncated = false }
    end
    local code, said = run()
    assert.equal(1, code)
    assert.matches("FAIL  permission: dynamodb:BatchWriteItem on " .. ORDERS .. " is missing, for Create\n", said, 1, true)
    assert.matches("ok    permissions: %d+ are there, says IAM's simulator", said)
    assert.equal(0, asked_for "dynamodb:PutItem")
    assert.is_nil(said:find("DeleteItem", 1, true)) -- what a function denies itself is not needed
    assert.is_nil(said:find("DeleteTable", 1, true)) -- nor is what NotAction leaves out
  end)

  it("tries with harmless calls where the simulator may not be asked", function()
    local code, said = run()
    assert.equal(0, code)
    assert.equal(1, asked_for "iam:SimulatePrincipalPolicy")
    assert.matches("as harmless calls show", said, 1, true)
    assert.matches("warn  permission: cannot tell about dynamodb:BatchWriteItem on table/Orders", said, 1, true)
    assert.matches("warn  permission: cannot tell about sqs:SendMessage on Events", said, 1, true)
    for _, call in ipairs(asked) do
      if call.name == "dynamodb:PutItem" then assert.equal("attribute_exists(#k)", call.params.ConditionExpression) end
      assert.is_nil(call.name:match "SendMessage" or call.name:match "BatchWrite" or call.name:match "ReceiveMessage")
    end
    answers["dynamodb:PutItem"] = { code = "AccessDeniedException", status = 400, message = "User is not authorized" }
    code, said = run()
    assert.equal(1, code)
    assert.matches("FAIL  permission: dynamodb:PutItem on " .. ORDERS .. " is missing, for Create\n", said, 1, true)
  end)

  it("tells what is missing, and what to do", function()
    answers["dynamodb:DescribeTable"] = { code = "ResourceNotFoundException", status = 400, message = "none" }
    answers["sqs:GetQueueUrl"] = { code = "AccessDenied", status = 403, message = "no" }
    local code, said = run()
    assert.equal(1, code)
    assert.matches("FAIL  t.yaml:20: table Orders is missing: sam deploy, or name it (--stack NAME, --resources Orders=name), or serve --create",
      said, 1, true)
    assert.matches("warn  t.yaml:30: no leave to look for queue Events (AccessDenied)", said, 1, true)
    said = select(2, run { create = true })
    assert.matches("warn  t.yaml:20: table Orders is missing; serve --create makes it", said, 1, true)
  end)

  it("stops where nothing further can be told", function()
    about.credentials = { source = json.null, error = "none\n  environment: nothing" }
    local code, said = run()
    assert.equal(1, code)
    assert.matches("FAIL  credentials: none; environment: nothing\n", said, 1, true)
    assert.equal(0, asked_for "dynamodb:DescribeTable")
  end)

  it("tells refused credentials from unreachable services", function()
    answers["sts:GetCallerIdentity"] = { code = "ExpiredToken", status = 403, message = "The security token is expired" }
    local code, said = run()
    assert.equal(1, code)
    assert.matches("FAIL  identity: STS refuses these credentials (ExpiredToken): The security token is expired", said, 1, true)
    answers["sts:GetCallerIdentity"] = { code = "EndpointUnavailable", status = 503, message = "cannot connect" }
    code, said = run()
    assert.equal(0, code) -- engines that are not AWS have none
    assert.matches("warn  identity: STS did not say who we are (cannot connect)", said, 1, true)
    answers["dynamodb:ListTables"] = { code = "EndpointUnavailable", status = 503, message = "certificate has expired" }
    code, said = run()
    assert.equal(1, code)
    assert.matches("FAIL  dynamodb: https://x.eu-west-1.amazonaws.com (default): certificate has expired", said, 1, true)
    assert.equal(1, select(2, said:gsub("FAIL", "")))
  end)

  it("tells a wrong clock and a deployment that is not found", function()
    about.services.sqs = { endpoint = "http://x", source = "AWS_ENDPOINT_URL", clock_correction_ms = -600000 }
    local inspect = host.inspect
    host.inspect = function()
      local t = inspect()
      t.deployment_error = "--stack shop: no such stack"
      return t
    end
    local code, said = run()
    assert.equal(1, code)
    assert.matches("warn  clock: sqs's is 600.0 s behind; calls are signed with its time", said, 1, true)
    assert.matches("FAIL  deployment: --stack shop: no such stack", said, 1, true)
  end)

  it("warns of schedules that every replica would run", function()
    local inspect = host.inspect
    host.inspect = function()
      local t = inspect()
      t.schedules = { { name = "Nightly", ["function"] = "Create", enabled = true } }
      return t
    end
    local _, said = run()
    assert.matches("warn  schedules: every replica runs them", said, 1, true)
    _, said = run { ["lease-table"] = "Orders" }
    assert.matches("ok    schedules: once across replicas, agreed on in table Orders", said, 1, true)
  end)
end)

describe("the doctor on the embedded engine", function()
  it("looks at the template, fonts, ports and data, and calls nothing", function()
    local code, said = run { aws = false, port = "8080", ["cloud-port"] = "4566", data = "d" }
    assert.equal(0, code)
    assert.equal(0, #asked)
    for _, part in ipairs { "ok    template: t.yaml", "ok    --port: 8080 is free", "ok    --cloud-port: 4566 is free", "ok    data: d can be used" } do
      assert.matches(part, said, 1, true)
    end
  end)

  it("tells each thing that keeps serve from starting", function()
    host.try_port = function(_, port) return nil, { code = "IOError", message = "port " .. port .. " is in use" } end
    host.try_data = function() return nil, { code = "CorruptStore", message = "d is corrupt" } end
    host.check = function() return nil, "t.yaml:9: Create: syntax error" end
    local code, said = run { aws = false, port = "8080", data = "d" }
    assert.equal(1, code)
    assert.matches("FAIL  --port: port 8080 is in use; choose another\n", said, 1, true)
    assert.matches("FAIL  data: d is corrupt\n", said, 1, true)
    assert.matches("FAIL  handlers: t.yaml:9: Create: syntax error\n", said, 1, true)
    assert.matches("3 things to repair\n$", said)
  end)

  it("tells every problem of a template that cannot be read", function()
    host.inspect = function() return { template = "t.yaml", problems = "t.yaml:1: a\nt.yaml:2: b\n" } end
    local code, said = run { aws = false }
    assert.equal(1, code)
    assert.matches("FAIL  template: t.yaml:1: a\nFAIL  template: t.yaml:2: b\n", said, 1, true)
  end)
end)
