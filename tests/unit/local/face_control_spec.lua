-- /_perigee/cloud/: what tests do to the engine from outside.
local t = require "t.local"
local json = require "cjson"

local OFF, LOOPBACK, ON = 0, 1, 2

describe("the control", function()
  local e
  after_each(function() e:close() end)
  local function open(control, more)
    local o = more or {}
    o.memory, o.control = true, control
    e = assert(t.open(o))
  end
  local function ask(method, name, doc, headers)
    local h = headers or {}
    h.Host = h.Host or "localhost:4566"
    local status, _, body = e:face { method = method, target = "/_perigee/cloud" .. name, headers = h,
      body = doc and (type(doc) == "table" and json.encode(doc) or doc) }
    return status, json.decode(body)
  end

  it("is off unless asked for", function()
    open(OFF)
    local status, body = ask("GET", "/clock")
    assert.equal(403, status)
    assert.matches("%-%-control", body.error.message)
  end)

  it("lets in no web page of another origin, and in development only this machine by its name", function()
    open(LOOPBACK)
    assert.equal(200, (ask("GET", "/clock")))
    for _, host in ipairs { "127.0.0.1:1", "[::1]:4566", "LOCALHOST" } do assert.equal(200, (ask("GET", "/clock", nil, { Host = host }))) end
    for _, host in ipairs { "evil.test", "localhost.evil.test", "10.0.0.1" } do assert.equal(403, (ask("GET", "/clock", nil, { Host = host }))) end
    assert.equal(403, (ask("POST", "/clock", { advance_ms = 1 }, { Origin = "http://evil.test" })))
    assert.equal(403, (ask("POST", "/clock", { advance_ms = 1 }, { Origin = "null" })))
    assert.equal(200, (ask("POST", "/clock", { advance_ms = 1 }, { Origin = "http://localhost:4566" })))
    e:close()
    open(ON)
    assert.equal(200, (ask("GET", "/clock", nil, { Host = "cloud:4566" })))
    assert.equal(403, (ask("GET", "/clock", nil, { Host = "cloud:4566", Origin = "http://evil.test" })))
  end)

  it("moves, freezes and resets the clock", function()
    open(ON, { now = 1700000000000 })
    local _, c = ask("GET", "/clock")
    assert.same({ "2023-11-14T22:13:20.000Z", 1700000000000, true }, { c.now, c.now_ms, c.frozen })
    _, c = ask("POST", "/clock", { advance_ms = 60000 })
    assert.same({ 1700000060000, 1700000060000 }, { c.now_ms, e:now() })
    _, c = ask("PUT", "/clock", { now = "2030-01-01T00:00:00Z", freeze = true, advance_ms = 1 })
    assert.same({ "2030-01-01T00:00:00.001Z", true }, { c.now, c.frozen })
    _, c = ask("PUT", "/clock", { freeze = false })
    assert.matches("^2030%-01%-01T00:00", c.now)
    assert.is_false(c.frozen)
    _, c = ask("POST", "/clock", { reset = true })
    assert.is_true(math.abs(c.now_ms - os.time() * 1000) < 5000)
    assert.equal(0, c.offset_ms)
  end)

  it("lets what became due happen", function()
    open(ON, { now = 1700000000000 })
    assert(e:call("sqs", "CreateQueue", '{"QueueName":"q","Attributes":{"VisibilityTimeout":"60"}}'))
    assert(e:call("sqs", "SendMessage", '{"QueueUrl":"q","MessageBody":"m"}'))
    assert.equal(1, #json.decode((e:call("sqs", "ReceiveMessage", '{"QueueUrl":"q"}'))).Messages)
    local waiting = e:start("sqs", "ReceiveMessage", '{"QueueUrl":"q","WaitTimeSeconds":20}')
    ask("POST", "/clock", { advance_ms = 61000 })
    assert.equal(1, #json.decode((waiting:wait())).Messages)
  end)

  it("shows the mail that was sent", function()
    open(ON)
    local _, box = ask("GET", "/mailbox")
    assert.equal(0, #box.Messages)
    local mail = json.encode { FromEmailAddress = "a@b.test", Destination = { ToAddresses = { "c@d.test" } },
      Content = { Simple = { Subject = { Data = "Hello" }, Body = { Text = { Data = "x" } } } } }
    assert(e:call("ses", "SendEmail", mail))
    _, box = ask("GET", "/mailbox")
    assert.same({ "Hello", { "c@d.test" } }, { box.Messages[1].Subject, box.Messages[1].Destination })
    assert.equal(405, (ask("POST", "/mailbox", {})))
  end)

  it("empties tables, queues, buckets and the mailbox, and leaves them there", function()
    open(ON)
    local function call(service, action, params, body) return json.decode((assert(e:call(service, action, params, body)))) end
    local put = '{"TableName":"Tab","Item":{"id":{"S":"1"},"k":{"S":"a"}}}'
    local by = '{"TableName":"Tab","IndexName":"by_k","KeyConditionExpression":"k = :k","ExpressionAttributeValues":{":k":{"S":"a"}}}'
    call("dynamodb", "CreateTable", [[{"TableName":"Tab","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id",
      "AttributeType":"S"},{"AttributeName":"k","AttributeType":"S"}],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
      "GlobalSecondaryIndexes":[{"IndexName":"by_k","KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}]}]])
    call("dynamodb", "UpdateTimeToLive", '{"TableName":"Tab","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"at"}}')
    call("sqs", "CreateQueue", '{"QueueName":"q.fifo","Attributes":{"FifoQueue":"true"}}')
    call("s3", "CreateBucket", '{"Bucket":"bkt"}')
    local send = '{"QueueUrl":"q.fifo","MessageBody":"m","MessageGroupId":"g","MessageDeduplicationId":"d"}'
    local function fill()
      call("dynamodb", "PutItem", put)
      call("sqs", "SendMessage", send)
      call("s3", "PutObject", '{"Bucket":"bkt","Key":"k"}', "bytes")
    end
    fill()
    local function files() return tonumber((require("faults.killing").output("find " .. e:dir() .. "/s3 -type f | wc -l"))) end
    local upload = call("s3", "CreateMultipartUpload", '{"Bucket":"bkt","Key":"big"}').UploadId
    call("s3", "UploadPart", json.encode { Bucket = "bkt", Key = "big", UploadId = upload, PartNumber = 1 }, "part")
    assert.equal(2, files())
    local status, body = ask("POST", "/reset")
    assert.same({ 200, { reset = true } }, { status, body })
    assert.equal(0, files())
    assert.equal(0, call("dynamodb", "Scan", '{"TableName":"Tab"}').Count)
    assert.equal(0, call("dynamodb", "Query", by).Count)
    assert.is_nil(call("sqs", "ReceiveMessage", '{"QueueUrl":"q.fifo"}').Messages)
    assert.is_nil((e:call("s3", "GetObject", '{"Bucket":"bkt","Key":"k"}')))
    fill()
    assert.equal(1, call("dynamodb", "Query", by).Count)
    assert.equal(1, #call("sqs", "ReceiveMessage", '{"QueueUrl":"q.fifo"}').Messages)
    assert.equal("bytes", select(2, e:call("s3", "GetObject", '{"Bucket":"bkt","Key":"k"}')))
    assert.equal("ENABLED", call("dynamodb", "DescribeTimeToLive", '{"TableName":"Tab"}').TimeToLiveDescription.TimeToLiveStatus)
    assert.equal(405, (ask("GET", "/reset")))
    assert.equal(400, (ask("POST", "/reset", { what = 1 })))
  end)

  it("makes calls fail, as often as asked, those of handlers too", function()
    open(ON)
    local function create() return e:call("sqs", "CreateQueue", '{"QueueName":"q"}') end
    local status, set = ask("PUT", "/faults", { faults = { { match = "sqs:CreateQueue", times = 2, error = "OverLimit" } } })
    assert.same({ 200, 2, 1 }, { status, set.faults[1].times, set.faults[1].rate })
    for _ = 1, 2 do
      local result, failure = create()
      assert.is_nil(result)
      assert.matches("OverLimit", failure)
    end
    assert(create())
    local _, left = ask("GET", "/faults")
    assert.same({ 0, 2 }, { left.faults[1].times, left.faults[1].struck })
    ask("PUT", "/faults", { faults = { { match = "s3:*", error = "SlowDown", status = 503 } } })
    assert.is_nil((e:call("s3", "ListBuckets", "{}")))
    assert(create())
    ask("PUT", "/faults", '{"faults":[]}')
    assert(e:call("s3", "ListBuckets", "{}"))
  end)

  it("strikes at the rate asked for, the same with the same seed", function()
    open(ON)
    local function run()
      ask("PUT", "/faults", { seed = 7, faults = { { match = "s3:ListBuckets", rate = 0.1, error = "SlowDown", status = 503 } } })
      local out = {}
      for i = 1, 1000 do out[i] = e:call("s3", "ListBuckets", "{}") and "." or "x" end
      return table.concat(out)
    end
    local first = run()
    assert.equal(first, run())
    local _, struck = first:gsub("x", "")
    assert.is_true(struck > 60 and struck < 140, struck)
  end)

  it("answers faults in the service's own shape on the wire", function()
    open(ON, { no_verify = true })
    ask("PUT", "/faults", { faults = { { match = "dynamodb:ListTables", error = "ProvisionedThroughputExceededException", message = "slow down" } } })
    local status, _, body = e:face { method = "POST", target = "/", body = "{}",
      headers = { Host = "localhost", ["Content-Type"] = "application/x-amz-json-1.0", ["X-Amz-Target"] = "DynamoDB_20120810.ListTables" } }
    local error = json.decode(body)
    assert.same({ 400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "slow down" },
      { status, error.__type, error.message })
  end)

  it("names what is wrong with a request", function()
    open(ON)
    local function refused(status, why, ...)
      local got, body = ask(...)
      assert.equal(status, got)
      assert.matches(why, body.error.message)
    end
    refused(400, "line 1", "POST", "/clock", "{")
    refused(400, "not a JSON object", "POST", "/clock", "[]")
    refused(400, "there are now", "POST", "/clock", {})
    refused(400, "now is not like", "POST", "/clock", { now = "tomorrow" })
    refused(400, "milliseconds", "POST", "/clock", { advance_ms = "1" })
    refused(400, "1970 to 9999", "POST", "/clock", { advance_ms = -99999999999999 })
    refused(400, "reset goes alone", "POST", "/clock", { reset = true, freeze = true })
    refused(400, "list of at most", "PUT", "/faults", {})
    refused(400, "match is missing", "PUT", "/faults", { faults = { { error = "X" } } })
    refused(400, "error is missing", "PUT", "/faults", { faults = { { match = "s3:*" } } })
    refused(400, "rate is not", "PUT", "/faults", { faults = { { match = "s3:*", error = "X", rate = 2 } } })
    refused(400, 'no "chance"', "PUT", "/faults", { faults = { { match = "s3:*", error = "X", chance = 2 } } })
    refused(400, "status is not", "PUT", "/faults", { faults = { { match = "s3:*", error = "X", status = 200 } } })
    refused(404, "no /_perigee/cloud/none", "GET", "/none")
    refused(405, "GET, POST", "DELETE", "/clock")
    assert.equal(6, #select(2, ask("GET", "")).control)
  end)
end)
