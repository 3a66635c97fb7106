-- `perigee chaos` on the order system as it is, and on small applications made for it.
local chaos = require "perigee.chaos"
local plan = require "perigee.chaos_plan"
local support = require "chaos.support"

local json = require "perigee.json"

after_each(support.clean)

local function assert_clean(report, code)
  assert.same({}, report.violations)
  assert.equal(0, code)
end

describe("the order system holds", function()
  it("with one fault, at every point of every flow", function()
    local report, code = support.report ""
    assert_clean(report, code)
    assert.is_true(#report.flows >= 9)
    assert.is_true(report.points > 4000, report.points)
    assert.is_true(report.runs < report.points)
  end)

  it("with pairs of faults: a sample of those of order and payment", function()
    local report, code = support.report "--depth 2 --limit 400 --seed 7 order payment"
    assert_clean(report, code)
    assert.is_true(report.points >= 400)
  end)
end)

-- What a run comes to: everything but ids and times, of which a death changes the following.
local function essence(result, app)
  local parts = {}
  for _, problem in ipairs(result.problems) do parts[#parts + 1] = problem.name end
  for _, answer in ipairs(result.run.answers) do
    parts[#parts + 1] = ("%s %s %s"):format(answer.target, tostring(answer.status), tostring(answer.attempts))
  end
  for _, order in ipairs(app.dynamodb:scan "Orders") do
    parts[#parts + 1] = ("%s %d %d"):format(order.status, order.version, order.receipt and order.receipt.version or 0)
  end
  parts[#parts + 1] = ("%d %d %d %d"):format(app.dynamodb:count "Outbox", app.dynamodb:count "Idempotency", app.dynamodb:count "Payments",
    app.mailbox:count())
  return table.concat(parts, "\n")
end

describe("deaths that need no run of their own", function()
  it("come to the same as the one that was run", function()
    local runner, declared = chaos.open {}
    local checked = 0
    for _, flow in ipairs(declared.flows) do
      local base = runner:run(flow, {})
      local skipped = {}
      for _, point in ipairs(plan.points(base.calls, base.events, 0)) do
        if point.like then skipped[#skipped + 1] = point end
      end
      for _, point in ipairs(plan.sample(skipped, 12, 5)) do
        local own = essence(runner:run(flow, { { at = point.kind, n = point.n } }), runner.app)
        local other = essence(runner:run(flow, { { at = point.like.kind, n = point.like.n } }), runner.app)
        assert.equal(other, own, ("%s: %s %d"):format(flow.name, point.kind, point.n))
        checked = checked + 1
      end
    end
    runner.app:close()
    assert.is_true(checked > 50)
  end)
end)

-- ==== small applications ==============================================================================================

local TEMPLATE = [[
Transform: AWS::Serverless-2016-10-31
Resources:
  Create:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.create
      Runtime: provided.al2023
      CodeUri: ../handlers
      Timeout: 5
      Environment: { Variables: { TABLE: !Ref Things, QUEUE: !Ref Work } }
      Policies:
        - DynamoDBCrudPolicy: { TableName: !Ref Things }
        - SQSSendMessagePolicy: { QueueName: !GetAtt Work.QueueName }
      Events: { Post: { Type: HttpApi, Properties: { Path: /things, Method: POST } } }
  Handle:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handle
      Runtime: provided.al2023
      CodeUri: ../handlers
      Timeout: 5
      Environment: { Variables: { TABLE: !Ref Things } }
      Policies:
        - DynamoDBCrudPolicy: { TableName: !Ref Things }
      Events: { Queue: { Type: SQS, Properties: { Queue: !GetAtt Work.Arn } } }
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: id, AttributeType: S }]
      KeySchema: [{ AttributeName: id, KeyType: HASH }]
  Work:
    Type: AWS::SQS::Queue
    Properties: { VisibilityTimeout: 30 }
]]

-- Stores a thing under the id that it was sent with, then puts it into the queue, where it is counted.
local HANDLER = [[
local aws = require "perigee.aws"
local http = require "perigee.http"
local function create(request)
  local id = request:json().id
  assert(aws.dynamodb:put_item { TableName = os.getenv "TABLE", Item = { id = id, handled = 0 } })
  assert(aws.sqs:send_message { QueueUrl = os.getenv "QUEUE", MessageBody = id })
  return http.ok { id = id }
end
local function handle(message)
  assert(aws.dynamodb:update_item { TableName = os.getenv "TABLE", Key = { id = message.body },
    UpdateExpression = "SET handled = handled + :one", ExpressionAttributeValues = { [":one"] = 1 } })
end
return { create = create, handle = handle }
]]

local INVARIANTS = [[
return {
  flows = {
    thing = {
      { "nothing of interest", function(_, client) client:get "/nothing" end },
      { "a thing is made", function(_, client) client:post("/things", { id = "t" }) end },
      { "all is done", function(app) app:drain() end },
    },
  },
  invariants = {
    { name = "handled once", check = function(app)
      local thing = app.dynamodb:get("Things", "t")
      if not thing then return "there is no thing" end
      if thing.handled ~= 1 then return ("it was handled %d times"):format(thing.handled) end
    end },
  },
}
]]

local function application(handler, invariants)
  local dir = support.directory()
  assert(os.execute(("mkdir '%s/config' '%s/handlers'"):format(dir, dir)))
  support.write(dir .. "/config/template.yaml", TEMPLATE)
  support.write(dir .. "/config/invariants.lua", invariants or INVARIANTS)
  support.write(dir .. "/handlers/app.lua", handler or HANDLER)
  return dir
end

local function options(dir, more) return ("--template %s/config/template.yaml --spec %s/specs %s"):format(dir, dir, more or "") end

describe("an application that does things twice", function()
  it("is found out, by the smallest schedule, with a story and a spec that fails until it is mended", function()
    local dir = application()
    local code, out = support.chaos(options(dir))
    assert.equal(1, code)
    assert.matches("thing: handled once is broken", out)
    assert.matches("it was handled %d times", out)
    assert.not_matches("nothing of interest", out)
    local spec = dir .. "/specs/thing_handled_once_spec.lua"
    assert.matches("replayed by " .. spec:gsub("%p", "%%%0"), out)
    local run = ("%s test %s >/dev/null 2>&1"):format(support.bin, spec)
    assert.is_nil((os.execute(run)), "the spec fails")
    support.write(dir .. "/handlers/app.lua", (HANDLER:gsub('SET handled = handled %+ :one"', 'SET handled = :one"')))
    assert.is_true((os.execute(run)), "the spec passes when it is mended")
  end)

  it("is told as JSON", function()
    local report, code = support.report(options(application()))
    assert.equal(1, code)
    local v = report.violations[1]
    assert.same({ "thing", "handled once", 1 }, { v.flow, v.invariant, #v.faults })
    assert.same({ "a thing is made" }, v.steps)
    assert.is_true(v.points > 1)
  end)

  it("gives the same report with the same seed, by one process and by three", function()
    local dir = application()
    local one, three = support.report(options(dir, "--jobs 1")), support.report(options(dir, "--jobs 3"))
    one.seconds, three.seconds = 0, 0
    assert.same(one, three)
  end)

  it("is left alone where another function is meant", function()
    local dir = application()
    local all, handle = support.report(options(dir)), support.report(options(dir, "Handle"))
    assert.is_true(handle.points < all.points)
    for _, fault in ipairs(handle.violations[1].faults) do assert.equal("Handle", fault.function_name) end
  end)
end)

describe("a fault at the end of a call", function()
  it("may be cut off by a death or a commit: that is no other run", function()
    local runner, declared = chaos.open {}
    local payment
    for _, flow in ipairs(declared.flows) do payment = flow.name == "payment" and flow or payment end
    local receive
    for _, call in ipairs(runner:run(payment, {}).calls) do
      if call.action == "ReceiveMessage" and not call.empty then receive = receive or call.n end
    end
    for n = receive, receive + 1 do
      assert.is_nil(runner:run(payment, { { at = "twice", n = n }, { at = "before", n = n + 1 } }).missed)
      assert.is_nil(runner:run(payment, { { at = "after", n = n - 1 }, { at = "twice", n = n } }).missed)
    end
    assert.is_nil(runner:run(payment, { { at = "twice", n = receive }, { at = "commit", n = receive + 1 } }).missed)
    runner.app:close()
  end)
end)

describe("clients", function()
  -- What the client and the queues do around a death of the process, in order.
  local function around_a_death(invariants)
    local runner, declared = chaos.open { template = application(nil, invariants) .. "/config/template.yaml" }
    local kinds = {}
    for _, event in ipairs(runner:run(declared.flows[1], { { at = "after", match = "dynamodb:PutItem" } }).events) do
      kinds[#kinds + 1] = event.kind
    end
    runner.app:close()
    return table.concat(kinds, " ")
  end

  it("ask again after a while", function()
    assert.matches("ask silence start ask answer", around_a_death())
  end)

  it("that are patient ask again when everything else has been worked off", function()
    assert.matches("ask silence start rest ask answer", around_a_death((INVARIANTS:gsub("thing = {", "thing = { patient = true,"))))
  end)
end)

describe("what always must hold", function()
  it("is that clients are answered", function()
    local report = support.report(options(application 'return { create = function() error "no" end, handle = function() end }'))
    assert.equal("clients are answered", report.violations[1].invariant)
    assert.matches("no answer in 8 attempts", report.violations[1].why)
  end)

  it("is that the flow goes through", function()
    local report = support.report(options(application(nil, (INVARIANTS:gsub("app:drain%(%)", "error 'not this'")))))
    assert.equal("the flow goes through", report.violations[1].invariant)
    assert.matches("not this", report.violations[1].why)
    assert.same({}, json.array(report.violations[1].faults))
  end)
end)

describe("the command", function()
  for _, case in ipairs {
    { "nobody", "no flow and no function 'nobody'" }, { "--depth 3", "depth" },
    { "--invariants /nowhere.lua", "/nowhere.lua" }, { "--parameters Brand", "Name=Value" },
    { "--template /nowhere.yaml", "cannot open" },
  } do
    it("refuses " .. case[1], function()
      local code, out, err = support.chaos(case[1])
      assert.is_true(code == 2 or code == 1, code)
      assert.equal("", out)
      assert.matches(case[2], err, 1, true)
    end)
  end

  it("lists flows, invariants, tolerances and functions", function()
    local code, out = support.chaos "--list"
    assert.equal(0, code)
    for _, text in ipairs { "payment +%d+ calls", "in 4 orders", "one mail per event", "a mail may come twice: SES", "ProcessOrders" } do
      assert.matches(text, out)
    end
  end)

  it("runs the example of its manual", function()
    local manual = support.read "docs/chaos.md"
    local dir = support.directory()
    support.write(dir .. "/invariants.lua", (manual:match "Ten lines will do:\n\n```lua\n(.-)```"))
    local _, code = support.report(("--invariants %s/invariants.lua"):format(dir))
    assert.equal(0, code)
  end)
end)
