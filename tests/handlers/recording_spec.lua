-- What a recording of a handler's run holds, on an engine in memory.
local directory = require "unit.directory"
local json = require "perigee.json"
local testing = require "perigee.testing"

describe("a recorded run", function()
  if not testing.needs "calls" then return end
  local app
  local function recorded()
    local out = {}
    for i, text in ipairs(app.host:recorded()) do out[i] = json.decode(text, { max_depth = 200 }) end
    return out
  end
  local function order(id) return { order_id = id, user_id = "u-1", item = "a book", quantity = 1, total_price = 1999 } end

  before_each(function()
    app = testing.app { parameters = { PaymentsSecret = "a-secret-of-ours", SenderAddress = "shop@example.org" } }
    app.host:record()
  end)
  after_each(function() app:close() end)

  it("has what came, what was answered and every call, in order", function()
    app:post("/orders", order "o-1", { ["X-Request-Id"] = "r-1" })
    local r = recorded()[1]
    assert.same({ "request", "CreateOrder", "ok", 200, "r-1" }, { r.kind, r["function"], r.outcome, r.status, r.request_id })
    assert.equal("POST", r.request.method)
    assert.equal("o-1", json.decode(r.request.body).order_id)
    assert.equal("o-1", json.decode(r.answer.body).order_id)
    local names = {}
    for i, call in ipairs(r.calls) do
      names[i] = call.action
      assert.equal(i, call.n)
      assert.is_true(call.effect)
    end
    assert.equal("TransactWriteItems", names[1])
    assert.equal(app.host:now(), r.at_ms)
  end)

  it("has the items as they were before they were written, and says which were not there", function()
    app:post("/orders", order "o-2")
    app:post("/orders", order "o-2") -- the same again
    local first, second = table.unpack(recorded())
    local before = first.calls[1].before
    assert.equal("Orders", before[1].TableName)
    assert.same({ order_id = { S = "o-2" } }, before[1].Key)
    assert.equal(json.null, before[1].Item)
    assert.equal("PENDING_PAYMENT", second.calls[1].before[1].Item.status.S)
    assert.equal("TransactionCanceledException", second.calls[1].error.code)
    assert.is_false(second.calls[1].effect)
  end)

  it("has messages as Lambda documents, the objects that were stored, and what ran after the reply", function()
    app:post("/orders", order "o-3")
    app:drain()
    local by_function = {}
    for _, r in ipairs(recorded()) do by_function[r["function"]] = r end
    local r = by_function.ProcessOrders
    assert.equal("message", r.kind)
    assert.equal("aws:sqs", r.message.eventSource)
    assert.equal("order.created", json.decode(r.message.body).type)
    assert.equal(r.correlation_id, json.decode(r.message.body).correlation_id)
    local put
    for _, call in ipairs(r.calls) do put = call.action == "PutObject" and call or put end
    assert.truthy(put.body_base64)
    assert.is_false(put.objects[1].exists)
    local create = by_function.CreateOrder
    assert.equal("SendMessageBatch", create.calls[2].action) -- of the outbox, after the answer
  end)

  it("has schedules as events, with what they returned", function()
    app:schedule "Relay"
    local r = recorded()[1]
    assert.equal("event", r.kind)
    assert.equal("Scheduled Event", r.event["detail-type"])
    assert.equal("ok", r.outcome)
  end)

  it("has no value of a parameter that is not to be echoed, but its name", function()
    app:post("/orders", { item = "a-secret-of-ours" }, { Authorization = "Bearer a-secret-of-ours" })
    local text = app.host:recorded()[1]
    assert.is_nil(text:find("a-secret-of-ours", 1, true))
    assert.same({ "PaymentsSecret" }, json.decode(text).host.secrets)
    assert.same({ SenderAddress = "shop@example.org" }, json.decode(text).host.parameters)
  end)

  it("has bytes of a request that are no text as base64, and of its headers as replacement characters", function()
    app:request("POST", "/orders", { body = "\xff\xfe", headers = { ["X-Odd"] = "a\xffb", ["Content-Type"] = "application/json" } })
    local r = recorded()[1]
    assert.equal("//4=", r.request.body_base64)
    assert.equal(400, r.status)
    local odd
    for _, pair in ipairs(r.request.headers) do odd = pair[1] == "X-Odd" and pair[2] or odd end
    assert.equal("a\u{FFFD}b", odd)
  end)

  it("is left out, and nothing else happens, when it comes to too much", function()
    local answer = app:post("/orders", order "o-5", { ["X-Large"] = ("x"):rep(9 << 20) })
    assert.equal(200, answer.status)
    app:post("/orders", order "o-6")
    local all = recorded()
    assert.equal(1, #all)
    assert.equal("o-6", json.decode(all[1].request.body).order_id)
  end)

  it("says of a call that failed what was told, also when a fault kept it from the engine", function()
    app:fail("dynamodb:TransactWriteItems", { code = "ThrottlingException", times = -1 })
    app:post("/orders", order "o-4")
    local r = recorded()[1]
    assert.equal("failed", r.outcome)
    assert.truthy(r.error.traceback:find("orders.lua", 1, true))
    local refused = r.calls[1]
    assert.same({ "TransactWriteItems", "ThrottlingException", "refused", false },
      { refused.action, refused.error.code, refused.fault, refused.effect })
  end)

  it("is the same for the same document, and its answer is the document's", function()
    local text = app.host:invoke("GetOrder", json.encode {
      version = "2.0", routeKey = "GET /orders/{id}", rawPath = "/orders/none", rawQueryString = "", headers = {},
      pathParameters = { id = "none" }, isBase64Encoded = false,
      requestContext = { http = { method = "GET", path = "/orders/none", sourceIp = "127.0.0.1", protocol = "HTTP/1.1", userAgent = "t" } },
    })
    assert.equal(404, json.decode(text).statusCode)
    local r = recorded()[1]
    assert.equal("2.0", r.document.version)
    assert.equal(404, r.status)
  end)
end)

describe("a recorded run that copies and deletes objects", function()
  local dir = directory(_ENV, {
    ["template.yaml"] = [[
Transform: AWS::Serverless-2016-10-31
Resources:
  Files: { Type: AWS::S3::Bucket, Properties: { BucketName: files } }
  Copy:
    Type: AWS::Serverless::Function
    Properties:
      Handler: copy.run
      Runtime: provided.al2023
      CodeUri: .
      Policies: [{ Statement: [{ Effect: Allow, Action: "s3:*", Resource: "*" }] }]
      Events: { Get: { Type: HttpApi, Properties: { Path: /copy, Method: get } } }
]],
    ["copy.lua"] = [[
local s3 = require "perigee.aws".s3
return { run = function()
  assert(s3:copy_object { Bucket = "files", Key = "b", CopySource = "/files/a%20one" })
  assert(s3:delete_objects { Bucket = "files", Delete = { Objects = { { Key = "b" }, { Key = "none" } } } })
  return 204
end }
]] })

  it("has what they were before", function()
    testing.needs "calls"
    local own <close> = testing.app { template = dir .. "/template.yaml" }
    own:aws("s3", "PutObject", { Bucket = "files", Key = "a one" }, "hello")
    own.host:record()
    assert.equal(204, own:get("/copy").status)
    local calls = json.decode(own.host:recorded()[1]).calls
    local function seen(call)
      local out = {}
      for i, o in ipairs(call.objects) do out[i] = ("%s %s"):format(o.Key, o.exists and o.head.ContentLength or "absent") end
      return out
    end
    assert.same({ "b absent", "a one 5" }, seen(calls[1]))
    assert.same({ "b 5", "none absent" }, seen(calls[2]))
  end)
end)
