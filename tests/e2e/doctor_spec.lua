--- `perigee doctor`, and what `perigee serve --aws` does with a deployment that is not as the template says.
local support = require "e2e.support"
local peers = require "peers.peers"

local function run(env, args)
  local out, status = support.sh("%s %s %s 2>&1", env, support.bin, args)
  return status, out
end

describe("perigee doctor on the embedded engine", function()
  local dir
  before_each(function() dir = support.tmpdir() end)
  after_each(function() support.rmdir(dir) end)

  it("is content where serve would start, and makes nothing", function()
    local status, out = run("", ("doctor --port 0 --cloud-port 0 --data %s/data"):format(dir))
    assert.equal(0, status, out)
    assert.matches("ok    template: config/template.yaml, schemas and handlers are fine", out, 1, true)
    assert.matches("perigee serve would work\n$", out)
    assert.equal("", (support.sh("ls -A %s", dir)))
  end)

  it("tells a port that is taken and a directory that another serve uses", function()
    local server = support.start()
    local port = server.http:match ":(%d+)$"
    local status, out = run("", ("doctor --port %s --cloud-port 0 --data %s"):format(port, server.data))
    server:stop()
    assert.equal(1, status)
    assert.matches("FAIL  %-%-port: port " .. port .. " is in use", out)
    assert.matches("warn  data: ", out, 1, true)
    assert.matches("1 thing to repair\n$", out)
  end)

  it("tells what is wrong with a template and where data cannot be", function()
    support.write(dir .. "/t.yaml", "Transform: AWS::Serverless-2016-10-31\nResources:\n  A: { Type: AWS::No::Such }\n")
    local status, out = run("", ("doctor --port 0 --cloud-port 0 --template %s/t.yaml --data %s/no/such/dir"):format(dir, dir))
    assert.equal(1, status)
    assert.matches("FAIL  template: " .. dir .. "/t.yaml:3: Resources.A: Type AWS::No::Such is not supported", out, 1, true)
    assert.matches("FAIL  data: " .. dir .. "/no/such/dir does not exist and cannot be made in " .. dir .. "/no/such", out, 1, true)
  end)
end)

describe("options of AWS", function()
  it("do not go with those of the embedded engine, and are not ignored without --aws", function()
    for args, said in pairs {
      ["serve --aws --data d"] = "--data is the embedded engine's: with --aws nothing is kept in d",
      ["serve --aws --memory"] = "--memory is the embedded engine's",
      ["serve --aws --public-cloud-url http://x"] = "--public-cloud-url is the embedded engine's",
      ["serve --aws --account 12"] = "--account: '12' is not 12 digits",
      ["serve --aws --access-key-id a"] = "--access-key-id and --secret-access-key go together",
      ["serve --stack shop"] = "--stack goes with --aws, and only with it",
      ["serve --create"] = "--create goes with --aws, and only with it",
      ["run --region eu-west-1 x.lua"] = "--region goes with --aws, and only with it",
    } do
      local status, out = run("", args)
      assert.equal(1, status, args)
      assert.matches(said, out, 1, true)
    end
  end)

  it("name the sources of credentials that were tried", function()
    local dir = support.tmpdir()
    local status, out = run(("env -i HOME=%s AWS_EC2_METADATA_DISABLED=true AWS_REGION=eu-west-1"):format(dir), "serve --aws --port 0")
    local doctor_status, report = run(("env -i HOME=%s AWS_EC2_METADATA_DISABLED=true"):format(dir), "doctor --aws --port 0")
    support.rmdir(dir)
    assert.equal(1, status)
    assert.matches("environment", out, 1, true)
    assert.equal(1, doctor_status)
    assert.matches("FAIL  region: none; set AWS_REGION", report, 1, true)
    assert.matches("FAIL  credentials: ", report, 1, true)
  end)
end)

describe("a deployment", function()
  local why = peers.missing { "moto" }
  if why then return pending("on moto: " .. why) end
  local set, env
  setup(function()
    set = peers.start { "moto" }
    env = peers.environment { all = set.url.moto }
  end)
  teardown(function() if set then set:stop() end end)
  -- Calls through `perigee run --aws`.
  local function aws(lua)
    local path = os.tmpname()
    support.write(path, 'local aws = require "perigee.aws"\n' .. lua)
    local status, out = run(env, "run --aws " .. path)
    os.remove(path)
    assert.equal(0, status, out)
    return out
  end
  local function serve(args)
    return support.start { aws = true, env = env, args = args, wait = 60 }
  end

  it("that lacks resources is refused with all of them and what to do, and repaired by --create", function()
    local status, out = run(env, "serve --aws --port 0")
    assert.equal(1, status)
    assert.matches("9 declared resources are missing in account 123456789012, region ", out, 1, true)
    for _, part in ipairs { "table Orders", "queue OrderEventsDLQ", "bucket receipts (Receipts)", "sam deploy", "--stack NAME", "--create" } do
      assert.matches(part, out, 1, true)
    end
    assert.matches("config/template.yaml:%d+: table Idempotency", out)
    status, out = run(env, "doctor --aws --port 0")
    assert.equal(1, status)
    assert.matches("table Orders is missing", out, 1, true)
    local server = serve() -- with --create
    assert.equal(200, server:get("/readyz").status)
    server:stop()
    server = serve() -- again: all is there
    server:stop()
    status, out = run(env, "doctor --aws --port 0")
    assert.equal(0, status, out)
    assert.matches("ok    identity: arn:aws:", out, 1, true)
    assert.matches("ok    table Orders is there", out, 1, true)
    assert.matches("ok    permissions: %d+ are there", out)
    assert.matches("ENABLED expires_at", aws [[
      local out = assert(aws.dynamodb:describe_time_to_live{ TableName = "Idempotency" })
      print(out.TimeToLiveDescription.TimeToLiveStatus, out.TimeToLiveDescription.AttributeName)]]:gsub("\t", " "))
  end)

  it("is used by the names that the user gives", function()
    aws [[
      assert(aws.s3:create_bucket{ Bucket = "other-receipts" })
      assert(aws.sqs:create_queue{ QueueName = "other-events", Attributes = { VisibilityTimeout = "60" } })]]
    local server = serve "--resources Receipts=other-receipts,OrderEvents=other-events"
    assert.equal(200, server:post("/orders", { orderId = "elsewhere", customerName = "Ada" }).status)
    local link = server:receipt_link "elsewhere"
    server:stop()
    assert.matches("/other-receipts/receipts/elsewhere.pdf?", link, 1, true)
  end)

  it("is used by the names that its stack knows", function()
    aws [[
      local json = require "perigee.json"
      local function with_keys(...)
        local definitions, schema = {}, {}
        for i, name in ipairs { ... } do
          definitions[i] = { AttributeName = name, AttributeType = "S" }
          schema[i] = { AttributeName = name, KeyType = i == 1 and "HASH" or "RANGE" }
        end
        return { Type = "AWS::DynamoDB::Table", Properties = { BillingMode = "PAY_PER_REQUEST", AttributeDefinitions = definitions, KeySchema = schema } }
      end
      local R = { Payments = with_keys("order_id", "payment_id"), Receipts = { Type = "AWS::S3::Bucket" } }
      for _, name in ipairs { "OrderEvents", "PaymentEvents", "OrderEventsDLQ", "PaymentEventsDLQ" } do
        R[name] = { Type = "AWS::SQS::Queue", Properties = { VisibilityTimeout = 60 } }
      end
      assert(aws.call("cloudformation", "CreateStack", { StackName = "shop", TemplateBody = json.encode { Resources = R } }))]]
    local server = serve "--stack shop"
    assert.equal(200, server:post("/orders", { orderId = "stacked", customerName = "Ada" }).status)
    local link = server:receipt_link "stacked"
    server:stop()
    assert.matches("/shop%-receipts%-[%w-]+/receipts/stacked.pdf%?", link)
    local status, out = run(env, "serve --aws --port 0 --stack nope")
    assert.equal(1, status)
    assert.matches("--stack nope: its resources cannot be listed (cloudformation:ListStackResources)", out, 1, true)
  end)

  it("whose table has other keys is refused by name", function()
    aws [[assert(aws.dynamodb:create_table{ TableName = "others", BillingMode = "PAY_PER_REQUEST",
      AttributeDefinitions = { { AttributeName = "x", AttributeType = "S" } }, KeySchema = { { AttributeName = "x", KeyType = "HASH" } } })]]
    local status, out = run(env, "serve --aws --create --port 0 --resources Orders=others")
    assert.equal(1, status)
    assert.matches("table others exists in account 123456789012, region %S+ with other ", out)
  end)

  it("that cannot be reached is told with the endpoint, and readiness says so", function()
    local status, out = run(env .. " AWS_ENDPOINT_URL=http://127.0.0.1:9", "serve --aws --port 0")
    assert.equal(1, status)
    assert.matches("cannot look for table Orders", out, 1, true)
    local own = peers.start { "moto" }
    local server = support.start { aws = true, env = peers.environment { all = own.url.moto }, wait = 60 }
    assert.equal(200, server:get("/readyz").status)
    own:stop()
    support.eventually(30, "503 of /readyz", function() return server:get("/readyz").status == 503 end)
    server:stop()
  end)

  it("runs each occurrence of a schedule on one of its replicas", function()
    local dir = support.tmpdir()
    support.sh("mkdir -p %s/config %s/handlers", dir, dir)
    support.write(dir .. "/handlers/clock.lua", [[
      local aws, os = require "perigee.aws", os
      local M = {}
      function M.run(event)
        assert(aws.dynamodb:update_item{ TableName = "Ticks", Key = { id = event.time }, UpdateExpression = "ADD n :one",
          ExpressionAttributeValues = { [":one"] = 1 } })
      end
      return M]])
    support.write(dir .. "/config/template.yaml", [[
Transform: AWS::Serverless-2016-10-31
Metadata: { Perigee: { LeaseTable: Leases } }
Resources:
  Leases: { Type: AWS::Serverless::SimpleTable }
  Ticks: { Type: AWS::Serverless::SimpleTable }
  Clock:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: provided.al2023
      Handler: clock.run
      CodeUri: ../handlers
      Policies:
        - Statement: { Effect: Allow, Action: "dynamodb:UpdateItem", Resource: !GetAtt Ticks.Arn }
      Events:
        Tick: { Type: Schedule, Properties: { Schedule: rate(1 minute) } }
]])
    local args = "--log-level debug --template " .. dir .. "/config/template.yaml"
    local a, b = serve(args), serve(args)
    local function ticks()
      return aws [[
        local out = assert(aws.dynamodb:scan{ TableName = "Ticks" })
        for _, item in ipairs(out.Items) do print(item.id, item.n) end]]
    end
    local function both() return a:log() .. b:log() end
    support.eventually(75, "an occurrence", function() return both():find("scheduled run is another replica's", 1, true) end)
    support.eventually(10, "its run", function() return ticks() ~= "" end)
    local out = ticks()
    local logs = a:stop() .. b:stop()
    support.rmdir(dir)
    assert.matches("^%S+\t1\n$", out)
    assert.is_nil(logs:find('"level":"error"', 1, true), logs)
  end)
end)
