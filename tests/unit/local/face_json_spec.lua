-- The JSON protocols of the cloud port as bytes: names, numbers, headers, the order of checks.
local t = require "t.local"
local json = require "cjson"

local CREATE = json.encode { TableName = "Orders", BillingMode = "PAY_PER_REQUEST",
  AttributeDefinitions = { { AttributeName = "id", AttributeType = "S" } }, KeySchema = { { AttributeName = "id", KeyType = "HASH" } } }

describe("JSON on the cloud port", function()
  local e
  before_each(function() e = assert(t.open { memory = true }) end)
  after_each(function() e:close() end)

  local function post(target, body, more)
    local p = more or {}
    p.method, p.target, p.body, p.plain = p.method or "POST", p.path or "/", body, p.plain ~= false
    p.headers = p.headers or {}
    p.headers.Host = p.headers.Host or "localhost:4566"
    p.headers["Content-Type"] = p.type or p.type == nil and "application/x-amz-json-1.0" or nil
    p.headers["X-Amz-Target"] = target
    if p.sign == nil then p.sign = target and target:find "SQS" and "sqs" or "dynamodb" end
    p.sign = p.sign or nil
    return e:face(p)
  end
  local function dynamodb(action, body, more) return post("DynamoDB_20120810." .. action, body, more) end
  local function sqs(action, params, more) return post("AmazonSQS." .. action, json.encode(params), more) end
  local function refused(status, kind, message, got, headers, body)
    local error = json.decode(body)
    assert.same({ status, kind }, { got, error.__type })
    if message then assert.matches(message, error.message or error.Message) end
    return headers
  end

  it("carries out a call and sums the answer", function()
    assert.equal(200, (dynamodb("CreateTable", CREATE)))
    local status, h, body = dynamodb("PutItem", '{"TableName":"Orders","Item":{"id":{"S":"1"},"n":{"N":"1.50"}}}')
    assert.same({ 200, "{}" }, { status, body })
    assert.same({ "application/x-amz-json-1.0", "2745614147", "req-1" },
      { h["content-type"], h["x-amz-crc32"], h["x-amzn-requestid"] })
    body = select(3, dynamodb("GetItem", '{"TableName":"Orders","Key":{"id":{"S":"1"}}}'))
    assert.equal('{"Item":{"id":{"S":"1"},"n":{"N":"1.5"}}}', body)
  end)

  it("types errors as DynamoDB does", function()
    dynamodb("CreateTable", CREATE)
    local once = '{"TableName":"Orders","Item":{"id":{"S":"1"}},"ConditionExpression":"attribute_not_exists(id)",' ..
      '"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}'
    assert.equal(200, (dynamodb("PutItem", once)))
    local status, h, body = dynamodb("PutItem", once)
    local error = json.decode(body)
    assert.same({ 400, "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "The conditional request failed",
      { id = { S = "1" } } }, { status, error.__type, error.message, error.Item })
    assert.is_string(h["x-amz-crc32"])
    refused(400, "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", nil,
      dynamodb("GetItem", '{"TableName":"None","Key":{"id":{"S":"1"}}}'))
    refused(400, "com.amazon.coral.validate#ValidationException", nil, dynamodb("GetItem", '{"TableName":"Orders","Key":{}}'))
  end)

  it("names unknown operations, also those of services it has not, and a missing target", function()
    local unknown = "com.amazon.coral.service#UnknownOperationException"
    refused(400, unknown, "Frobnicate", dynamodb("Frobnicate", "{}"))
    refused(400, unknown, "X%-Amz%-Target", post(nil, "{}"))
    refused(400, unknown, "Logs_20140328.PutLogEvents", post("Logs_20140328.PutLogEvents", "{}"))
    refused(400, unknown, "GET", sqs("ListQueues", {}, { method = "GET" }))
    refused(400, unknown, "Frobnicate", sqs("Frobnicate", {}))
    refused(400, unknown, nil, post("DynamoDB_20120810", "{}"))
    refused(400, unknown, nil, post("", "{}"))
  end)

  it("answers what is not of DynamoDB's protocol as its front door does, whoever signed it", function()
    local function foreign(more)
      local status, h, body = dynamodb("ListTables", more.body or "{}", more)
      assert.same({ 404, "<UnknownOperationException/>\n", "3552371480", "req-1" }, { status, body, h["x-amz-crc32"], h["x-amzn-requestid"] })
    end
    for _, method in ipairs { "GET", "PUT", "DELETE", "HEAD", "PATCH" } do foreign { method = method } end
    foreign { method = "GET", body = "", sign = false }
    for _, type in ipairs { false, "", "text/plain", "application/x-amz-json-1.1", "application/x-www-form-urlencoded", "application/jsonx" } do
      foreign { type = type }
      foreign { type = type, sign = false }
    end
    for _, type in ipairs { "application/json", "application/json; charset=utf-8", "Application/X-Amz-Json-1.0" } do
      assert.equal(200, (dynamodb("ListTables", "{}", { type = type })))
    end
    refused(400, "com.amazon.coral.service#SerializationException", nil, dynamodb("ListTables", "", { type = false }))
  end)

  it("refuses what is no JSON object before it looks at the signature", function()
    for _, body in ipairs { "", "hi", "{", "[]", '"x"', '{"a":1}}', '{"a":"\xff"}', ("["):rep(100000), '{"a":\0}' } do
      refused(400, "com.amazon.coral.service#SerializationException", nil, dynamodb("ListTables", body, { sign = false }))
    end
    refused(413, "com.amazon.coral.service#RequestEntityTooLarge", nil, dynamodb("ListTables", (" "):rep((16 << 20) + 1)))
  end)

  it("keeps the last of two members with one name, as AWS does", function()
    dynamodb("CreateTable", CREATE)
    local _, _, body = dynamodb("DescribeTable", '{"TableName":"None","TableName":"Orders"}')
    assert.equal("Orders", json.decode(body).Table.TableName)
  end)

  it("refuses the unsigned, unknown keys, wrong secrets and wrong times in each service's words", function()
    local function each(kind, message, code, status, more)
      local function copy() local c = {} for k, v in pairs(more) do c[k] = v end return c end
      refused(400, "com.amazon.coral.service#" .. kind, message, dynamodb("ListTables", "{}", copy()))
      local p = copy()
      p.headers = { ["x-amzn-query-mode"] = "true" }
      local h = refused(status, "com.amazon.coral.service#" .. kind, message, sqs("ListQueues", {}, p))
      assert.equal(code .. ";Sender", h["x-amzn-query-error"])
    end
    each("MissingAuthenticationTokenException", "^Request is missing Authentication Token$", "MissingAuthenticationToken", 403, { sign = false })
    each("UnrecognizedClientException", "^The security token included in the request is invalid%.$", "InvalidClientTokenId", 403,
      { access_key = "other" })
    each("InvalidSignatureException", "Secret Access Key", "SignatureDoesNotMatch", 403, { secret_key = "other" })
    local now = e:now()
    each("InvalidSignatureException", "^Signature expired: .* is now earlier than .* %(.* %- 15 min%.%)$", "SignatureDoesNotMatch", 403,
      { at = now - 16 * 60000 })
    each("InvalidSignatureException", "^Signature not yet current: .* is now later than", "SignatureDoesNotMatch", 403, { at = now + 16 * 60000 })
    assert.equal(200, (dynamodb("ListTables", "{}", { at = now - 14 * 60000 })))
    refused(400, "com.amazon.coral.service#IncompleteSignatureException", "^Authorization header requires 'Signature' parameter%. " ..
      "Authorization header requires 'SignedHeaders' parameter%. Authorization header requires existence of either a 'X%-Amz%-Date' or a " ..
      "'Date' header%. Authorization=AWS4%-HMAC%-SHA256$",
      dynamodb("ListTables", "{}", { sign = false, headers = { Authorization = "AWS4-HMAC-SHA256 Credential=x" } }))
    for _, other in ipairs { "", "Basic eDp5", "AWS perigee:x" } do
      refused(400, "com.amazon.coral.service#MissingAuthenticationTokenException", nil,
        dynamodb("ListTables", "{}", { sign = false, headers = { Authorization = other } }))
    end
    refused(400, "com.amazon.coral.service#InvalidSignatureException", "correct service: 'dynamodb'",
      dynamodb("ListTables", "{}", { sign = "sqs" }))
  end)

  it("judges a signature's time by when the request began, not by when its body was there", function()
    local now = os.time() * 1000
    assert.equal(200, (dynamodb("ListTables", "{}", { at = now - 16 * 60000, age = 2 * 60000 })))
    assert.equal(400, (dynamodb("ListTables", "{}", { at = now - 16 * 60000, age = 0 })))
    assert.equal(400, (dynamodb("ListTables", "{}", { at = now, age = 16 * 60000 })))
  end)

  it("refuses a body that is not the signed one", function()
    refused(400, "com.amazon.coral.service#InvalidSignatureException", nil,
      dynamodb("ListTables", "{}", { plain = false, payload_hash = ("0"):rep(64) }))
    assert.equal(200, (dynamodb("ListTables", "{}", { plain = false })))
  end)

  it("takes signatures of the system's time, however far a test moved the engine's clock", function()
    e:clock_set(1700000000000)
    assert.equal(200, (dynamodb("ListTables", "{}")))
    e:advance(40 * 86400000)
    assert.equal(200, (dynamodb("ListTables", "{}")))
  end)

  it("answers in JSON, whatever bytes operations and hosts have", function()
    sqs("CreateQueue", { QueueName = "jobs" })
    local status, _, body = sqs("ListQueues", {}, { headers = { Host = "h\xff" } })
    assert.equal(200, status)
    assert.truthy(utf8.len(body), body)
    assert.matches("^http://127.0.0.1:%d+/000000000000/jobs$", json.decode(body).QueueUrls[1])
    status, _, body = sqs("List\x9bQueues", {})
    assert.equal(400, status)
    assert.truthy(utf8.len(body), body)
    assert.matches("List%?Queues", json.decode(body).message)
  end)

  it("begins queue URLs as the client's Host does, and takes any", function()
    local _, _, body = sqs("CreateQueue", { QueueName = "jobs" }, { headers = { Host = "queues.test:99" } })
    assert.equal("http://queues.test:99/000000000000/jobs", json.decode(body).QueueUrl)
    _, _, body = sqs("ListQueues", {})
    assert.same({ "http://localhost:4566/000000000000/jobs" }, json.decode(body).QueueUrls)
    for _, url in ipairs { "http://elsewhere/000000000000/jobs", "http://localhost:4566/000000000000/jobs/", "jobs" } do
      local status, h, text = sqs("SendMessage", { QueueUrl = url, MessageBody = "hé" })
      assert.same({ 200, "33fcd01258e6ba07ef405dc9e721f3a7" }, { status, json.decode(text).MD5OfMessageBody })
      assert.is_nil(h["x-amz-crc32"])
    end
  end)

  it("gives the old code of an SQS error to who asks for it", function()
    local function ask(mode)
      return refused(400, "com.amazonaws.sqs#QueueDoesNotExist", "does not exist",
        sqs("GetQueueUrl", { QueueName = "none" }, { headers = { ["x-amzn-query-mode"] = mode } }))["x-amzn-query-error"]
    end
    assert.equal("AWS.SimpleQueueService.NonExistentQueue;Sender", ask "true")
    assert.is_nil(ask(nil))
  end)

  it("lets a receive go when its client does, and the message stays", function()
    sqs("CreateQueue", { QueueName = "jobs" })
    local receive = { QueueUrl = "jobs", WaitTimeSeconds = 20 }
    sqs("ReceiveMessage", receive, { give_up = true })
    e:turn(20)
    sqs("SendMessage", { QueueUrl = "jobs", MessageBody = "kept" })
    local _, _, body = sqs("ReceiveMessage", { QueueUrl = "jobs", AttributeNames = { "All" } })
    local m = json.decode(body).Messages[1]
    assert.same({ "kept", "1" }, { m.Body, m.Attributes.ApproximateReceiveCount })
  end)

  it("takes further keys from a file and names a line it cannot read", function()
    local path = os.tmpname()
    local function write(text) local f = assert(io.open(path, "w")) f:write(text) f:close() end
    write "# team\nAKID+/1  secret one\n"
    local engine, name, message = t.open { memory = true, keys = path }
    assert.is_nil(engine)
    assert.matches(":2: not an access key id and a secret", (name or "") .. (message or ""))
    write "a b\na c\n"
    assert.matches(":2: this access key id is there twice", (select(3, t.open { memory = true, keys = path })))
    write "# team\n\n  AKID+/1\tsecret/+=1  \r\nother two"
    e:close()
    e = assert(t.open { memory = true, keys = path })
    assert.equal(200, (dynamodb("ListTables", "{}", { access_key = "AKID+/1", secret_key = "secret/+=1" })))
    assert.equal(200, (dynamodb("ListTables", "{}", { access_key = "other", secret_key = "two" })))
    assert.equal(200, (dynamodb("ListTables", "{}")))
    assert.equal(400, (dynamodb("ListTables", "{}", { access_key = "other", secret_key = "secret/+=1" })))
    os.remove(path)
  end)

  it("takes any signature and none where nothing is verified", function()
    e:close()
    e = assert(t.open { memory = true, no_verify = true })
    assert.equal(200, (dynamodb("CreateTable", CREATE, { sign = false })))
    assert.equal(200, (dynamodb("ListTables", "{}", { access_key = "any", secret_key = "thing" })))
    assert.equal(200, (dynamodb("ListTables", "{}", { at = 0 })))
  end)

  it("is healthy at /", function()
    local status, h, body = e:face { method = "GET", target = "/", headers = { Host = "localhost" } }
    assert.same({ 200, "application/json", "ok" }, { status, h["content-type"], json.decode(body).status })
    assert.equal(200, (e:face { method = "HEAD", target = "/", headers = { Host = "localhost" } }))
  end)

  it("survives whatever a request is made of", function()
    math.randomseed(7)
    local words = { "DynamoDB_20120810.PutItem", "AmazonSQS.SendMessage", "AWS4-HMAC-SHA256 ", "Credential=", "a/b/c/d/aws4_request", ",", "=",
      "Signature=", "SignedHeaders=host", "/", "..", "%2F", "%", "?", "&", "Action=", "X-Amz-Signature=", "X-Amz-Credential=", "AWSAccessKeyId=",
      "\0", "\xff", "localhost", ".s3.localhost", ":", "[::1]", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "0\r\n", "ffffffff;" }
    local function any(n)
      local out = {}
      for i = 1, math.random(0, n) do out[i] = words[math.random(#words)] end
      return table.concat(out)
    end
    local names = { "X-Amz-Target", "Authorization", "Host", "Content-Type", "x-amz-content-sha256", "x-amz-date", "x-amz-trailer",
      "x-amz-decoded-content-length", "Content-Encoding" }
    for _ = 1, 3000 do
      local headers = {}
      for _ = 1, math.random(0, 5) do headers[names[math.random(#names)]] = any(4) end
      local methods = { "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH" }
      local status = e:face { method = methods[math.random(#methods)], target = "/" .. any(3), headers = headers, body = any(6) }
      assert.is_true(status >= 200 and status < 600)
    end
  end)
end)
