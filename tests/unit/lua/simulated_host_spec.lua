local directory = require "tests.unit.directory"
local host = require "perigee.host"
local json = require "perigee.json"
local time = require "perigee.time"

local TEMPLATE = [=[
Transform: AWS::Serverless-2016-10-31
Globals: { Function: { Runtime: provided.al2023, CodeUri: . } }
Resources:
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Things
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: id, AttributeType: S }]
      KeySchema: [{ AttributeName: id, KeyType: HASH }]
      TimeToLiveSpecification: { AttributeName: expires_at, Enabled: true }
  Work:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: Work
      VisibilityTimeout: 120
      RedrivePolicy: { deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3 }
  Dead:
    Type: AWS::SQS::Queue
    Properties: { QueueName: Dead }
  Files:
    Type: AWS::S3::Bucket
    Properties: { BucketName: files }
  Answer:
    Type: AWS::Serverless::Function
    Properties:
      Handler: answer.answer
      Timeout: 900
      Policies: [Statement: [{ Effect: Allow, Action: "*", Resource: "*" }]]
      Events:
        Any: { Type: HttpApi, Properties: { Path: "/{what}", Method: GET } }
  Tick:
    Type: AWS::Serverless::Function
    Properties:
      Handler: answer.tick
      Policies: [Statement: [{ Effect: Allow, Action: "*", Resource: "*" }]]
      Events:
        Tick: { Type: Schedule, Properties: { Name: tick, Schedule: rate(1 minute) } }
  Spin:
    Type: AWS::Serverless::Function
    Properties:
      Handler: answer.spins
      Timeout: 1
      Events:
        Any: { Type: HttpApi, Properties: { Path: /for/ever, Method: GET } }
  Short:
    Type: AWS::Serverless::Function
    Properties:
      Handler: answer.sleeps
      Timeout: 5
      Events:
        Any: { Type: HttpApi, Properties: { Path: /too/long, Method: GET } }
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Handler: answer.work
      Timeout: 60
      Policies: [Statement: [{ Effect: Allow, Action: "*", Resource: "*" }]]
      Events:
        Queue: { Type: SQS, Properties: { Queue: !GetAtt Work.Arn, FunctionResponseTypes: [ReportBatchItemFailures] } }
]=]

local HANDLERS = [[
local aws = require "perigee.aws"
local crypto = require "perigee.crypto"
local time = require "perigee.time"
local actions, seen = {}, 0

local function put(item) assert(aws.dynamodb:put_item { TableName = "Things", Item = item }) end

function actions.seen() seen = seen + 1 return { seen = seen } end
function actions.sleep(context)
  local wall, mono, left = os.time(), time.monotonic(), context:remaining()
  time.sleep(899000)
  return { wall = os.time() - wall, mono = time.monotonic() - mono, left = left - context:remaining(), date = os.date("!%H:%M") }
end
function actions.random()
  return { math = math.random(1 << 40), id = crypto.uuid(), bytes = crypto.hex(crypto.random(8)) }
end
function actions.order()
  local names = {}
  for name in pairs { alpha = 1, beta = 2, gamma = 3, delta = 4, epsilon = 5, zeta = 6, eta = 7, theta = 8, iota = 9 } do names[#names + 1] = name end
  return names
end
function actions.calls()
  local url = assert(aws.sqs:get_queue_url { QueueName = "Work" }).QueueUrl
  for name, n in pairs { a = 1, b = 2, c = 3, d = 4, e = 5 } do
    put { id = name, n = n }
    assert(aws.sqs:send_message { QueueUrl = url, MessageBody = name })
  end
  assert(aws.s3:put_object { Bucket = "files", Key = "k", Body = "text" })
  return { done = true }
end

return {
  answer = function(request, context) return 200, actions[request.path_params.what](context) end,
  tick = function(event) put { id = "tick", at = event.time } end,
  sleeps = function() time.sleep(600000) end,
  spins = function() while true do end end,
  work = function(message)
    if message.body == "bad" then error("as asked") end
    if message.body == "twice" and message.receive_count < 2 then error("not yet") end
    put { id = "done-" .. message.body, at = time.now() }
  end,
}
]]

local START = 1767225600000

describe("a simulated host", function()
  local dir = directory(_ENV, { ["template.yaml"] = TEMPLATE, ["answer.lua"] = HANDLERS })
  local h

  local function open(options)
    local o = { template = dir .. "/template.yaml", clock = START, seed = 7 }
    for k, v in pairs(options or {}) do o[k] = v end
    return assert(host.open(o))
  end
  before_each(function() h = open() end)
  after_each(function() if h then h:close() end end)

  local function get(what, of)
    local answer = assert((of or h):request { target = "/" .. what })
    return answer.status, json.decode(answer.body)
  end
  local function send(body, more)
    local params = { QueueUrl = h:aws("sqs", "GetQueueUrl", { QueueName = "Work" }).QueueUrl, MessageBody = body }
    for k, v in pairs(more or {}) do params[k] = v end
    return assert(h:aws("sqs", "SendMessage", params))
  end
  local function thing(id) return h:aws("dynamodb", "GetItem", { TableName = "Things", Key = { id = { S = id } } }).Item end
  local function messages(queue)
    local url = h:aws("sqs", "GetQueueUrl", { QueueName = queue }).QueueUrl
    local a = h:aws("sqs", "GetQueueAttributes", { QueueUrl = url, AttributeNames = { "All" } }).Attributes
    return a.ApproximateNumberOfMessages + a.ApproximateNumberOfMessagesNotVisible + a.ApproximateNumberOfMessagesDelayed
  end

  describe("has a clock that", function()
    it("stands still while requests and queues run", function()
      assert.equal(200, (get "seen"))
      send "now"
      assert(h:drain())
      assert.equal(START, h:now())
      assert.equal(tostring(START), thing("done-now").at.N)
    end)
    it("lets fifteen minutes of a handler's sleep pass in no time, for all of its clocks alike", function()
      local real = time.monotonic()
      local status, body = get "sleep"
      assert.equal(200, status)
      assert.same({ wall = 899, mono = 899000, left = 899000, date = "00:14" }, body)
      assert.equal(START + 899000, h:now())
      assert.is_true(time.monotonic() - real < 10000)
    end)
    it("ends a handler that waits too long at its Timeout", function()
      assert.equal(504, (get "too/long"))
      assert.equal(START + 5000, h:now())
    end)
    it("can be moved back, for the wall alone", function()
      h:set_clock(START - 86400000)
      assert.equal(START - 86400000, h:now())
      assert.equal(899000, select(2, get "sleep").mono)
      assert.equal(START - 86400000 + 899000, h:now())
    end)
    it("is moved by the cloud port too, but does not go on by itself", function()
      local control <close> = open { development = true }
      local function clock(doc)
        return assert(control:cloud { method = "POST", target = "/_perigee/cloud/clock", headers = { host = "localhost" }, body = json.encode(doc) })
      end
      assert.equal(200, clock({ advance_ms = 5000 }).status)
      assert.equal(START + 5000, control:now())
      assert.matches("does not go on by itself", clock({ reset = true }).body)
      assert.matches("does not go on by itself", clock({ freeze = false }).body)
      assert.equal(START + 5000, control:now())
    end)
    it("cannot pass backwards", function()
      assert.error_matches(function() h:pass(-1) end, "time does not go back")
    end)
    it("is that of schedules", function()
      h:pass(3600000)
      assert(h:run_schedule "tick")
      assert.equal("2026-01-01T01:00:00Z", thing("tick").at.S)
    end)
    it("lets items expire", function()
      assert(h:aws("dynamodb", "PutItem", { TableName = "Things", Item = { id = { S = "x" }, expires_at = { N = tostring(START // 1000 + 60) } } }))
      h:pass(59000)
      assert.truthy(thing "x")
      h:pass(7200000)
      assert.is_nil(thing "x")
    end)
    it("never trips the signatures of the cloud port", function()
      local sigv4 = require "perigee.sigv4"
      for _, move in ipairs { function() end, function() h:pass(86400000) end, function() h:set_clock(START - 86400000) end } do
        move()
        local body = "Action=GetCallerIdentity&Version=2011-06-15"
        local headers = sigv4.sign {
          method = "POST", url = "http://127.0.0.1:4566/", body = body,
          headers = { ["content-type"] = "application/x-www-form-urlencoded" },
          region = "us-east-1", service = "sts", credentials = { access_key_id = "perigee", secret_access_key = "perigee" },
        }.headers
        headers.host = "127.0.0.1:4566"
        local answer = assert(h:cloud { method = "POST", target = "/", body = body, headers = headers })
        assert.equal(200, answer.status, answer.body)
      end
    end)
  end)

  describe("drains its queues", function()
    it("waiting for what is delayed", function()
      send("late", { DelaySeconds = 600 })
      assert(h:drain())
      assert.equal(START + 600000, h:now())
      assert.equal(tostring(START + 600000), thing("done-late").at.N)
    end)
    it("trying again what failed, after a while", function()
      send "twice"
      assert(h:drain())
      assert.truthy(thing "done-twice")
      assert.is_true(h:now() >= START + 2000 and h:now() < START + 60000, h:now() - START)
    end)
    it("until what cannot be done is with the dead letters", function()
      send "bad"
      send "good"
      assert(h:drain())
      assert.equal(0, messages "Work")
      assert.equal(1, messages "Dead")
      assert.truthy(thing "done-good")
    end)
    it("waiting for what somebody else has received and forgotten", function()
      send "held"
      local url = h:aws("sqs", "GetQueueUrl", { QueueName = "Work" }).QueueUrl
      assert.equal(1, #h:aws("sqs", "ReceiveMessage", { QueueUrl = url }).Messages)
      assert(h:drain())
      assert.equal(START + 120000, h:now())
      assert.truthy(thing "done-held")
    end)
    it("no longer than it may", function()
      send("late", { DelaySeconds = 600 })
      local ok, err = h:drain(1000)
      assert.is_nil(ok)
      assert.matches("1 messages are still queued", err.message)
      assert.equal(START + 1000, h:now())
      assert.equal(1, messages "Work")
    end)
  end)

  describe("of a seed", function()
    local function trace(of)
      of:keep_calls(true)
      of:mark()
      local list = { select(2, get("random", of)), select(2, get("order", of)), select(2, get("calls", of)) }
      assert(of:drain())
      for _, c in ipairs(of:calls()) do
        list[#list + 1] = { c.n, c.service, c.action, c.function_name, c.request_id, json.encode(c.params), json.encode(c.result) }
      end
      return list
    end
    it("does the same each time", function()
      local first <close> = open()
      local second <close> = open()
      local list = trace(first)
      assert.is_true(#list > 20)
      assert.same(list, trace(second))
    end)
    it("does something else than of another", function()
      local other <close> = open { seed = 8 }
      assert.not_same(select(2, get "random"), select(2, get("random", other)))
    end)
    it("has other random numbers after a crash, and the same ones after a restore", function()
      assert(h:snapshot "s")
      local before = select(2, get "random")
      assert(h:crash())
      assert.not_equal(before.math, select(2, get "random").math)
      assert(h:restore "s")
      local again = select(2, get "random")
      assert(h:restore "s")
      assert.same(again, select(2, get "random"))
    end)
  end)

  describe("of the same files as another", function()
    it("has a store of its own", function()
      local other <close> = open()
      assert(h:aws("dynamodb", "PutItem", { TableName = "Things", Item = { id = { S = "mine" } } }))
      assert.is_nil(other:aws("dynamodb", "GetItem", { TableName = "Things", Key = { id = { S = "mine" } } }).Item)
      local third <close> = open()
      assert.is_nil(third:aws("dynamodb", "GetItem", { TableName = "Things", Key = { id = { S = "mine" } } }).Item)
    end)
    it("reads them anew: what was edited counts", function()
      local function edit(name, text)
        local f <close> = assert(io.open(dir .. "/" .. name, "w"))
        f:write(text)
      end
      local _ <close> = setmetatable({}, { __close = function()
        edit("answer.lua", HANDLERS)
        edit("template.yaml", TEMPLATE)
      end })
      edit("answer.lua", (HANDLERS:gsub("seen = seen %+ 1", "seen = seen + 10")))
      do
        local edited <close> = open()
        assert.equal(10, select(2, get("seen", edited)).seen)
      end
      edit("answer.lua", HANDLERS .. "\nthis is no Lua")
      local refused, err = host.open { template = dir .. "/template.yaml", clock = START, seed = 7 }
      assert.is_nil(refused)
      assert.matches("answer.lua", err.message)
      edit("answer.lua", HANDLERS)
      edit("template.yaml", (TEMPLATE:gsub("Name: tick", "Name: tock")))
      local edited <close> = open()
      assert.same({ "tock" }, edited:schedules())
    end)
  end)

  describe("that crashes", function()
    it("forgets what its handlers remember, and keeps what is stored", function()
      get "seen"
      assert.equal(2, select(2, get "seen").seen)
      send "kept"
      assert(h:crash())
      assert.equal(1, select(2, get "seen").seen)
      assert(h:drain())
      assert.truthy(thing "done-kept")
    end)
    it("ends the request, the drain or the schedule that it was at", function()
      for _, try in ipairs {
        function() return h:request { target = "/calls" } end,
        function() send "x" return h:drain() end,
        function() return h:run_schedule "tick" end,
      } do
        h:mark()
        h:fail { at = "before", match = "dynamodb:PutItem" }
        local ok, err = try()
        assert.is_nil(ok)
        assert.equal("ProcessDied", err.code)
        assert.is_true(h:is_dead())
        ok, err = h:request { target = "/seen" }
        assert.is_nil(ok)
        assert.equal("ProcessDied", err.code)
        assert(h:crash())
        h:forgive()
        assert.equal(1, select(2, get "seen").seen)
      end
    end)
    it("settles nothing: its messages come back when they would", function()
      send "once"
      h:fail { at = "before", match = "dynamodb:PutItem" }
      assert.equal("ProcessDied", select(2, h:drain()).code)
      assert(h:crash())
      h:forgive()
      assert.is_nil(thing "done-once")
      assert(h:drain())
      assert.equal(START + 120000, h:now())
      assert.truthy(thing "done-once")
    end)
    it("is noticed while the queues are left, when what is done is still to be settled", function()
      send "once"
      h:fail { at = "lost", match = "sqs:DeleteMessageBatch" }
      h:fail { at = "before", match = "sqs:DeleteMessageBatch", nth = 2 }
      assert.equal("ProcessDied", select(2, h:drain()).code)
      assert(h:crash())
      assert(h:drain())
      assert.truthy(thing "done-once")
    end)
    it("while a handler sleeps does not wait for it", function()
      h:fail { at = "after", match = "sqs:SendMessage" }
      assert.equal("ProcessDied", select(2, h:request { target = "/calls" }).code)
      assert(h:crash())
      assert.equal(START, h:now())
    end)
  end)

  describe("has snapshots that", function()
    it("bring back the store and the time, in a process that remembers nothing", function()
      send "one"
      h:pass(60000)
      get "seen"
      assert(h:snapshot "here")
      h:pass(3600000)
      assert(h:drain())
      assert.truthy(thing "done-one")
      assert(h:restore "here")
      assert.equal(START + 60000, h:now())
      assert.is_nil(thing "done-one")
      assert.equal(1, messages "Work")
      assert.equal(1, select(2, get "seen").seen)
    end)
    it("can leave the process as it is", function()
      assert(h:snapshot "here")
      get "seen"
      assert(h:restore("here", true))
      assert.equal(2, select(2, get "seen").seen)
    end)
    it("bring back objects", function()
      assert(h:aws("s3", "PutObject", { Bucket = "files", Key = "a" }, "first"))
      assert(h:snapshot "here")
      assert(h:aws("s3", "PutObject", { Bucket = "files", Key = "a" }, "second"))
      assert(h:restore "here")
      assert.equal("first", h:aws("s3", "GetObject", { Bucket = "files", Key = "a" }).Body)
    end)
    it("are gone when dropped, and refused when unknown or taken", function()
      assert(h:snapshot "a")
      assert.equal("ConflictException", select(2, h:snapshot "a").code)
      assert(h:drop_snapshot "a")
      assert.equal("NotFoundException", select(2, h:restore "a").code)
      assert.equal(200, (get "seen"))
    end)
    it("revive a process that died", function()
      assert(h:snapshot "a")
      h:fail { at = "before", match = "dynamodb:PutItem" }
      assert.equal("ProcessDied", select(2, h:request { target = "/calls" }).code)
      h:forgive()
      assert(h:restore "a")
      assert.equal(200, (get "calls"))
    end)
  end)

  it("ends a handler that never ends by its processor time, at the same simulated moment", function()
    assert.equal(500, (get "for/ever"))
    assert.equal(START, h:now())
  end)

  it("tells what it consists of", function()
    assert.same({ "tick" }, h:schedules())
    assert.same({ { queue = "Work", function_name = "Worker", dead_letters = "Dead" } }, h:queues())
    local short = h:functions()[4]
    assert.equal("Short", short.name)
    assert.equal("answer.sleeps", short.handler)
    assert.equal(5000, short.timeout_ms)
    assert.same({ "GET /too/long" }, short.routes)
  end)

  it("needs a clock for a seed, and an engine of its own", function()
    local refused, err = host.open { template = dir .. "/template.yaml", seed = 1 }
    assert.is_nil(refused)
    assert.matches("a seed is for simulated hosts", err.message)
    refused, err = host.open { template = dir .. "/template.yaml", clock = START, aws = true, access_key = "a", secret_key = "b" }
    assert.is_nil(refused)
    assert.matches("embedded engine", err.message)
  end)

  it("in real time has no crashes and snapshots", function()
    local real <close> = open { clock = false, seed = false }
    assert.matches("simulated", select(2, real:crash()).message)
    assert.matches("simulated", select(2, real:snapshot "x").message)
  end)
end)
