local event = require "t.event"
local json = require "dkjson"

-- Documents as the services send them, shortened by what nobody reads.
local documents = {}
documents["apigw-rest"] = [[{
  "resource": "/orders/{id}/{rest+}", "path": "/shop/orders/a%20b/x/y%2Fz", "httpMethod": "POST",
  "headers": {"Accept": "two", "Host": "api.example.com", "Content-Type": "text/plain"},
  "multiValueHeaders": {"Accept": ["one", "two"], "Host": ["api.example.com"], "Content-Type": ["text/plain"]},
  "queryStringParameters": {"a": "2", "b c": "x&y"},
  "multiValueQueryStringParameters": {"a": ["1", "2"], "b c": ["x&y"]},
  "pathParameters": {"id": "a%20b", "rest": "x/y%2Fz"}, "stageVariables": null,
  "requestContext": {"resourceId": "2gxmpl", "resourcePath": "/orders/{id}/{rest+}", "httpMethod": "POST",
    "extendedRequestId": "JJbxmplHYosFVYQ=", "requestTime": "10/Mar/2020:00:03:59 +0000", "path": "/Prod/shop/orders",
    "accountId": "123456789012", "protocol": "HTTP/1.1", "stage": "Prod", "domainPrefix": "70ixmpl4fl",
    "requestTimeEpoch": 1583798639428, "requestId": "77375676-xmpl-4b79-853a-f982474efe18",
    "identity": {"sourceIp": "52.255.255.12", "userAgent": "curl", "accessKey": null}, "domainName": "api.example.com",
    "apiId": "70ixmpl4fl"},
  "body": "hello", "isBase64Encoded": false}]]
documents["apigw-http-1"] = [[{
  "version": "1.0", "resource": "/my/path", "path": "/my/path", "httpMethod": "GET",
  "headers": {"header1": "value1", "header2": "value2"},
  "multiValueHeaders": {"header1": ["value1"], "header2": ["value1", "value2"]},
  "queryStringParameters": {"parameter1": "value1", "parameter2": "value"},
  "multiValueQueryStringParameters": {"parameter1": ["value1", "value2"], "parameter2": ["value"]},
  "requestContext": {"accountId": "123456789012", "apiId": "id", "domainName": "id.execute-api.us-east-1.amazonaws.com",
    "httpMethod": "GET", "identity": {"sourceIp": "192.0.2.1", "userAgent": "user-agent"}, "path": "/my/path",
    "protocol": "HTTP/1.1", "requestId": "id=", "resourceId": null, "resourcePath": "/my/path", "stage": "$default"},
  "pathParameters": null, "stageVariables": null, "body": "SGVsbG8=", "isBase64Encoded": true}]]
documents["apigw-http"] = [[{
  "version": "2.0", "routeKey": "POST /orders/{id}", "rawPath": "/dev/orders/a b", "rawQueryString": "p=v%201&p=2&q",
  "cookies": ["cookie1=1", "cookie2=2"], "headers": {"header1": "value1,value2", "host": "h"},
  "queryStringParameters": {"p": "v 1,2", "q": ""},
  "requestContext": {"accountId": "123456789012", "apiId": "api-id", "domainName": "id.execute-api.us-east-1.amazonaws.com",
    "domainPrefix": "id", "http": {"method": "POST", "path": "/dev/orders/a b", "protocol": "HTTP/1.1",
    "sourceIp": "192.0.2.1", "userAgent": "agent"}, "requestId": "id", "routeKey": "POST /orders/{id}", "stage": "dev",
    "time": "12/Mar/2020:19:03:58 +0000", "timeEpoch": 1583348638390},
  "body": "Hello from Lambda", "pathParameters": {"id": "a b"}, "isBase64Encoded": false, "stageVariables": {"a": "b"}}]]
documents.url = [[{
  "version": "2.0", "routeKey": "$default", "rawPath": "/my/pa%20th", "rawQueryString": "parameter1=value1",
  "headers": {"header1": "value1"}, "queryStringParameters": {"parameter1": "value1"},
  "requestContext": {"accountId": "<urlid>", "apiId": "<urlid>", "authentication": null,
    "domainName": "<url-id>.lambda-url.us-west-2.on.aws", "domainPrefix": "<url-id>",
    "http": {"method": "PUT", "path": "/my/pa%20th", "protocol": "HTTP/1.1", "sourceIp": "123.123.123.123", "userAgent": "a"},
    "requestId": "id", "routeKey": "$default", "stage": "$default", "timeEpoch": 1583348638390},
  "body": "Hello from client!", "pathParameters": null, "isBase64Encoded": false}]]
documents.alb = [[{
  "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/l/4"}},
  "httpMethod": "GET", "path": "/lambda", "queryStringParameters": {"query": "1234%20ABCD", "x%26y": "+"},
  "headers": {"accept": "text/html", "host": "lambda.elb.amazonaws.com", "x-forwarded-for": "6.6.6.6, 72.12.164.125"},
  "body": "", "isBase64Encoded": false}]]
documents["alb-multi"] = [[{
  "requestContext": {"elb": {"targetGroupArn": "arn"}}, "httpMethod": "GET", "path": "/lambda",
  "multiValueQueryStringParameters": {"a": ["1", "2%2B"]},
  "multiValueHeaders": {"accept": ["text/html", "text/plain"], "x-forwarded-for": ["72.12.164.125"]},
  "body": "", "isBase64Encoded": false}]]
documents.sqs = [[{"Records": [{
  "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d", "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
  "body": "Test message.", "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183",
    "SenderId": "AIDAIENQZJOLO23YVJ4VO", "ApproximateFirstReceiveTimestamp": "1545082649185"},
  "messageAttributes": {"myAttribute": {"stringValue": "myValue", "stringListValues": [], "binaryListValues": [],
    "dataType": "String"}, "b": {"binaryValue": "/w==", "dataType": "Binary"}}, "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
  "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue", "awsRegion": "us-east-2"}]}]]
documents.schedule = [[{"version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa", "detail-type": "Scheduled Event",
  "source": "aws.events", "account": "123456789012", "time": "2015-10-08T16:53:06Z", "region": "us-east-1",
  "resources": ["arn:aws:events:us-east-1:123456789012:rule/my-scheduled-rule"], "detail": {}}]]

-- The document with one member (a path of keys) set, or removed when the value is nil.
local function with(name, path, value)
  local d = json.decode(documents[name], 1, json.null)
  local at, last = d, nil
  for key in path:gmatch "[^.]+" do
    if last then at = at[last] end
    last = tonumber(key) or key
  end
  at[last] = value
  return json.encode(d)
end

describe("AWS documents:", function()
  describe("the kind", function()
    it("is found by what only one service sends", function()
      for name, text in pairs(documents) do assert.equal((name:gsub("%-multi$", "")), event.kind(text)) end
    end)
    it("is any event for everything else", function()
      for _, text in ipairs { "{}", "[]", "null", '"x"', '{"Records":[]}', '{"Records":[{"eventSource":"aws:s3"}]}',
        '{"requestContext":{"connectionId":"c","routeKey":"$connect"}}', '{"requestContext":1}', '{"httpMethod":"GET"}',
        '{"version":"2.0","method":"GET","path":"/","requestContext":{"serviceNetworkArn":"arn"}}',
        '{"version":"2.0","type":"REQUEST","routeArn":"arn","requestContext":{"http":{}}}', '{"source":1,"detail-type":2}' } do
        assert.equal("event", event.kind(text))
      end
    end)
  end)

  describe("a request", function()
    local function headers(list)
      local t = {}
      for _, h in ipairs(list) do t[h[1]] = t[h[1]] and t[h[1]] .. "|" .. h[2] or h[2] end
      return t
    end
    it("of a REST API: decoded here, without the base path of its domain", function()
      local r = event.read(documents["apigw-rest"])
      assert.same({ "POST", "/orders/a b/x/y/z", "/orders/a%20b/x/y%2Fz", "a=1&a=2&b%20c=x%26y", "hello", "52.255.255.12" },
        { r.method, r.path, r.raw_path, r.raw_query, r.body, r.source_ip })
      assert.same({ id = "a b", rest = "x/y/z" }, r.params)
      assert.same({ Accept = "one|two", Host = "api.example.com", ["Content-Type"] = "text/plain" }, headers(r.headers))
      assert.is_true(r.params_known)
    end)
    it("of a REST API has the parameters that are in its path, decoded once", function()
      local d = json.decode(documents["apigw-rest"])
      d.path, d.pathParameters.id = "/orders/100%2525/x/y%2Fz", "100%25"
      assert.same({ id = "100%25", rest = "x/y/z" }, event.read(json.encode(d)).params)
      d.resource, d.pathParameters.id = "/elsewhere/{id}", "100%zz"
      assert.equal("100%zz", event.read(json.encode(d)).params.id)
    end)
    it("of an HTTP API, format 1.0: its body decoded", function()
      local r = event.read(documents["apigw-http-1"])
      assert.same({ "GET", "/my/path", "Hello", "192.0.2.1", "parameter1=value1&parameter1=value2&parameter2=value" },
        { r.method, r.path, r.body, r.source_ip, r.raw_query })
      assert.same({ header1 = "value1", header2 = "value1|value2", host = "id.execute-api.us-east-1.amazonaws.com" },
        headers(r.headers))
      assert.same({}, r.params)
      assert.is_true(r.params_known)
    end)
    it("of an HTTP API, format 2.0: without the stage, decoded by the API", function()
      local r = event.read(documents["apigw-http"])
      assert.same({ "POST", "/orders/a b", "/orders/a%20b", "p=v%201&p=2&q", "/orders/a%20b?p=v%201&p=2&q" },
        { r.method, r.path, r.raw_path, r.raw_query, r.target })
      assert.same({ header1 = "value1,value2", host = "h", cookie = "cookie1=1; cookie2=2" }, headers(r.headers))
      assert.same({ id = "a b" }, r.params)
      local percent = event.read(with("apigw-http", "pathParameters.id", "100%25"))
      assert.equal("100%25", percent.params.id)
    end)
    it("of a function URL: its path decoded here, its parameters unknown", function()
      local r = event.read(documents.url)
      assert.same({ "PUT", "/my/pa th", "/my/pa%20th", "123.123.123.123", false },
        { r.method, r.path, r.raw_path, r.source_ip, r.params_known })
    end)
    it("of a load balancer: its query as the client wrote it", function()
      local r = event.read(documents.alb)
      local pairs_of = {}
      for p in r.raw_query:gmatch "[^&]+" do pairs_of[p] = true end
      assert.same({ ["query=1234%20ABCD"] = true, ["x%26y=+"] = true }, pairs_of)
      assert.same({ "/lambda", "72.12.164.125", "", false }, { r.path, r.source_ip, r.body, r.params_known })
      r = event.read(documents["alb-multi"])
      assert.same({ "a=1&a=2%2B", "text/html|text/plain" }, { r.raw_query, headers(r.headers).accept })
    end)
    it("of a load balancer is from nobody when its client claims to be at home", function()
      for _, ip in ipairs { "127.0.0.1", "1.2.3.4, ::1", "::ffff:127.0.0.1" } do
        local r = event.read(with("alb", "headers.x-forwarded-for", ip))
        assert.same({ "", false }, { r.source_ip, r.loopback })
      end
    end)
    it("of a load balancer is from whom the last of its headers names", function()
      local r = event.read(with("alb-multi", "multiValueHeaders.x-forwarded-for", { "127.0.0.1", "6.6.6.6, 5.6.7.8" }))
      assert.equal("5.6.7.8", r.source_ip)
    end)
    it("is of the loopback when the API says so", function()
      assert.is_true(event.read(with("url", "requestContext.http.sourceIp", "127.0.0.1")).loopback)
    end)
    it("keeps its path when the stage is not in it", function()
      local r = event.read(with("apigw-http", "rawPath", "/orders/a b"))
      assert.equal("/orders/a b", r.path)
      r = event.read(with("apigw-http", "rawPath", "/dev/orders/a b/"))
      assert.equal("/orders/a b/", r.path)
    end)
    it("loses the stage in front of a catch-all route, too", function()
      local d = json.decode(documents["apigw-http"])
      d.routeKey, d.rawPath, d.pathParameters = "$default", "/dev/x", nil
      local r = event.read(json.encode(d))
      assert.same({ "/x", false }, { r.path, r.params_known })
      d.rawPath = "/dev"
      assert.equal("/", event.read(json.encode(d)).path)
      d.rawPath = "/devil"
      assert.equal("/devil", event.read(json.encode(d)).path)
      d.routeKey, d.rawPath, d.pathParameters = "GET /{proxy+}", "/dev/dev/x", { proxy = "dev/x" }
      assert.equal("/dev/x", event.read(json.encode(d)).path)
    end)
    it("with a path that cannot be decoded has none", function()
      assert.is_nil(event.read(with("url", "rawPath", "/%zz")).path)
      assert.is_nil(event.read(with("alb", "path", "/%ff")).path)
      assert.is_nil(event.read(with("alb", "path", "/%00")).path)
    end)
  end)

  describe("what is wrong is named:", function()
    local function refused(name, path, value, message)
      local r, e = event.read(with(name, path, value))
      assert.is_nil(r)
      assert.equal(message, e)
    end
    it("missing members", function()
      refused("apigw-http", "requestContext.http", nil, "requestContext.http: missing")
      refused("apigw-http", "requestContext.http.method", nil, "requestContext.http.method: missing")
      refused("url", "rawPath", nil, "rawPath: missing")
      refused("apigw-rest", "path", nil, "path: missing")
      refused("alb", "httpMethod", nil, "httpMethod: missing")
    end)
    it("wrong types", function()
      refused("apigw-http", "requestContext.http.method", 1, "requestContext.http.method: must be a string, not a number")
      refused("apigw-rest", "multiValueHeaders.Accept", "x",
        "multiValueHeaders.Accept: must be a list of strings, not string")
      refused("apigw-rest", "multiValueHeaders.Accept", { 1 },
        "multiValueHeaders.Accept: must be a list of strings, not array")
      refused("apigw-http", "headers", "x", "headers: must be an object, not a string")
      refused("apigw-http", "headers.host", true, "headers.host: must be a string, not boolean")
      refused("apigw-http", "cookies", { 1 }, "cookies: must be a list of strings")
      refused("apigw-http", "pathParameters.id", 7, "pathParameters.id: must be a string, not number")
      refused("alb", "body", { a = 1 }, "body: must be a string, not an object")
      refused("url", "isBase64Encoded", "no", "isBase64Encoded: must be a boolean, not a string")
      refused("apigw-rest", "requestContext.identity", "x", "requestContext.identity: must be an object, not a string")
    end)
    it("bad values", function()
      refused("apigw-rest", "httpMethod", "GET x", "httpMethod: 'GET x' is no HTTP method")
      refused("apigw-rest", "httpMethod", "", "httpMethod: is empty")
      refused("url", "rawPath", "x", "rawPath: must begin with a slash")
      refused("apigw-http-1", "body", "no base64!", "body: is not base64, though isBase64Encoded is true")
    end)
    it("nulls are members that are not there", function()
      assert.is_table(event.read(with("apigw-rest", "multiValueHeaders", json.null)))
      assert.is_table(event.read(with("apigw-rest", "body", json.null)))
      assert.is_table(event.read(with("apigw-rest", "headers", json.null)))
    end)
  end)

  describe("messages", function()
    it("of a batch", function()
      local list = event.sqs(documents.sqs)
      assert.equal(1, #list)
      assert.same({ b = { DataType = "Binary", BinaryValue = "/w==" }, myAttribute = { DataType = "String", StringValue = "myValue" } },
        json.decode(list[1].attributes))
      list[1].attributes = nil
      assert.same({ id = "059f36b4-87a3-44ab-83d2-661975830a7d", body = "Test message.", queue = "my-queue",
        correlation_id = "", receive_count = 1, sent_ms = 1545082649183 }, list[1])
    end)
    it("of a FIFO queue have a group", function()
      local d = json.decode(with("sqs", "Records.1.eventSourceARN", "arn:aws:sqs:us-east-2:123456789012:my-queue.fifo"))
      d.Records[1].attributes.MessageGroupId = "1"
      assert.equal("1", event.sqs(json.encode(d))[1].group)
    end)
    it("have the correlation id of their attribute, or else of their body", function()
      local d = json.decode(with("sqs", "Records.1.body", '{"correlation_id":"c-1"}'))
      assert.equal("c-1", event.sqs(json.encode(d))[1].correlation_id)
      d.Records[1].messageAttributes.correlation_id = { stringValue = "c-2", dataType = "String" }
      assert.equal("c-2", event.sqs(json.encode(d))[1].correlation_id)
    end)
    it("that are malformed are named", function()
      local function refused(path, value, message)
        local r, e = event.sqs(with("sqs", path, value))
        assert.is_nil(r)
        assert.equal(message, e)
      end
      refused("Records", nil, "Records: missing")
      refused("Records", { "x" }, "Records[0]: must be an object, not string")
      refused("Records.1.messageId", "", "Records[0].messageId: is empty")
      refused("Records.1.body", 1, "Records[0].body: must be a string, not a number")
      refused("Records.1.eventSourceARN", "arn:", "Records[0].eventSourceARN: names no queue")
      refused("Records.1.eventSource", "aws:sns", "Records[0].eventSource: must be aws:sqs as in Records[0]")
      refused("Records.1.attributes.SentTimestamp", "x", "Records[0].attributes.SentTimestamp: 'x' is no number")
      refused("Records.1.messageAttributes.b.dataType", 1,
        "Records[0].messageAttributes.b.dataType: must be a string, not a number")
    end)
  end)

  describe("an answer", function()
    local answer = { status = 201, body = "\195\164", headers = { { "Content-Type", "text/plain" }, { "X-A", "1" },
      { "Set-Cookie", "a=1" }, { "x-a", "2" }, { "set-cookie", "b=2" } } }
    local function written(kind, options) return json.decode((assert(event.write(kind, answer, options)))) end

    it("of a REST API or format 1.0 has lists of what is there twice", function()
      for _, kind in ipairs { "apigw-rest", "apigw-http-1" } do
        assert.same({ statusCode = 201, headers = { ["Content-Type"] = "text/plain" }, body = "\195\164",
          multiValueHeaders = { ["X-A"] = { "1", "2" }, ["Set-Cookie"] = { "a=1", "b=2" } }, isBase64Encoded = false },
          written(kind))
      end
    end)
    it("of format 2.0 joins them, and has cookies apart", function()
      for _, kind in ipairs { "apigw-http", "url" } do
        assert.same({ statusCode = 201, headers = { ["Content-Type"] = "text/plain", ["X-A"] = "1, 2" },
          cookies = { "a=1", "b=2" }, body = "\195\164", isBase64Encoded = false }, written(kind))
      end
    end)
    it("of a load balancer is in the mode of its request", function()
      assert.same({ statusCode = 201, statusDescription = "201 Created", body = "\195\164", isBase64Encoded = false,
        multiValueHeaders = { ["Content-Type"] = { "text/plain" }, ["X-A"] = { "1", "2" },
          ["Set-Cookie"] = { "a=1", "b=2" } } }, written("alb", { multi_value = true }))
      local single = written "alb"
      assert.same({ ["Content-Type"] = "text/plain", ["X-A"] = "1, 2", ["set-cookie"] = "a=1", ["Set-cookie"] = "b=2" },
        single.headers)
      assert.is_nil(single.multiValueHeaders)
    end)
    it("is base64 when its bytes are no text", function()
      local function sent(body, type)
        local d = json.decode(event.write("url", { body = body, headers = type and { { "Content-Type", type } } }))
        return { d.body, d.isBase64Encoded }
      end
      assert.same({ "/w==", true }, sent("\255", "text/plain"))
      assert.same({ "/w==", true }, sent("\255"))
      assert.same({ "YWI=", true }, sent("ab", "image/png"))
      assert.same({ "YWI=", true }, sent("ab", "Application/PDF; a=b"))
      assert.same({ "ab", false }, sent("ab", "image/svg+xml"))
      assert.same({ "ab\0", false }, sent("ab\0", "application/json"))
      assert.same({ "", false }, sent("", "image/png"))
    end)
    it("over the limit is refused", function()
      local ok, e = event.write("url", { body = ("x"):rep(1000) }, { max = 1000 })
      assert.is_nil(ok)
      assert.equal("the answer document is larger than 1000 bytes", e)
      ok, e = event.write("alb", { body = ("x"):rep(1024 * 1024) })
      assert.is_nil(ok)
      assert.equal("the answer document is larger than 1048576 bytes", e)
    end)
    it("whose headers are no UTF-8 is refused", function()
      local ok, e = event.write("url", { headers = { { "X-A", "\255" } } })
      assert.is_nil(ok)
      assert.matches("headers are not UTF%-8", e)
    end)
  end)

  describe("what the client gets of an answer document", function()
    local function got(kind, text) return event.answer(kind, text) end
    it("is what it says", function()
      assert.same({ status = 200, body = "hi", headers = { { "content-type", "text/plain" }, { "x", "1" }, { "x", "2" } } },
        got("apigw-rest", '{"statusCode":200,"headers":{"content-type":"text/plain","x":"0"},"multiValueHeaders":{"x":[1,"2"]},"body":"hi"}'))
      assert.same({ status = 204, body = "", headers = { { "a", "true" }, { "set-cookie", "b=c" }, { "Content-Type", "application/json" } } },
        got("url", '{"statusCode":204,"headers":{"a":true},"cookies":["b=c"]}'))
      assert.equal("\255", got("alb", '{"statusCode":200,"body":"/w==","isBase64Encoded":true}').body)
    end)
    it("is inferred by format 2.0 from anything without a status", function()
      local type = { { "Content-Type", "application/json" } }
      assert.same({ status = 200, body = '{"a":1}', headers = type }, got("apigw-http", '{"a":1}'))
      assert.same({ status = 200, body = "hello", headers = type }, got("url", '"hello"'))
      assert.same({ status = 200, body = "null", headers = type }, got("url", "null"))
    end)
    it("is an error of the gateway when the document is malformed", function()
      for _, text in ipairs { '{"statusCode":"x"}', '{"statusCode":99}', '{"statusCode":200,"body":{}}',
        '{"statusCode":200,"headers":[]}', '{"statusCode":200,"headers":{"a b":"c"}}', '{"statusCode":200,"headers":{"a":{}}}',
        '{"statusCode":200,"isBase64Encoded":true,"body":"!"}', '{"statusCode":200,"isBase64Encoded":1}' } do
        for kind, status in pairs { ["apigw-rest"] = 502, ["apigw-http"] = 500, ["apigw-http-1"] = 500, url = 502, alb = 502 } do
          assert.equal(status, got(kind, text).status)
        end
      end
      for _, text in ipairs { "{}", "null", "[]", '"x"' } do assert.equal(502, got("apigw-rest", text).status) end
      assert.equal('{"message":"Internal server error"}', got("apigw-rest", "{}").body)
    end)
  end)

  describe("made of random requests and answers", function()
    local kinds = { "apigw-rest", "apigw-http-1", "apigw-http", "url", "alb" }
    local rand = math.random
    local function pick(list) return list[rand(#list)] end
    local function text(alphabet, max)
      local t = {}
      for i = 1, rand(0, max) do t[i] = pick(alphabet) end
      return table.concat(t)
    end
    local letters = { "a", "B", "7", "-", "_", "." }
    local escapes = { "a", "z", "1", "-", "%20", "%C3%A4", "%2B", "%25", "~" }
    local values = { "a", " b", "\"", "\\", "\195\164", "\226\130\172", "=", "1" }
    local bytes = { "\0", "\255", "\200", "a", "\n", "\"" }
    local function value() return (text(values, 8):gsub("^%s+", ""):gsub("%s+$", "")) end
    local function headers()
      local list, seen = {}, {}
      for _ = 1, rand(0, 5) do
        local name = "X-" .. text(letters, 5)
        for _ = 1, seen[name:lower()] and 0 or rand(1, 3) do list[#list + 1] = { name, value() } end
        seen[name:lower()] = true
      end
      return list
    end
    -- One value a name, as handlers see it.
    local function joined(list)
      local t = {}
      for _, h in ipairs(list) do
        local name = h[1]:lower()
        t[name] = t[name] and t[name] .. "," .. h[2] or h[2]
      end
      return t
    end
    local function unescape(s) return (s:gsub("%%(%x%x)", function(x) return string.char(tonumber(x, 16)) end)) end
    local function query_of(raw)
      local t = {}
      for pair in raw:gmatch "[^&]+" do
        local name, v = pair:match "^([^=]*)=?(.*)$"
        name = unescape(name)
        t[name] = t[name] or {}
        table.insert(t[name], unescape(v))
      end
      return t
    end
    local function request()
      local id, rest = text(escapes, 6), text(escapes, 6)
      if id == "" then id = "x" end
      local query = {}
      for i = 1, rand(0, 5) do query[i] = pick { "a", "b", "%C3%A4", "c%20" } .. pick { "=" .. text(escapes, 4), "=" .. text(escapes, 4), "" } end
      return { method = pick { "GET", "POST", "PATCH" }, path = "/orders/" .. id .. "/x" .. rest, query = table.concat(query, "&"),
        headers = headers(), body = text(pick { values, bytes }, 20), source_ip = pick { "1.2.3.4", "2001:db8::1" } },
        { pattern = "/orders/{id}/{rest+}", params = { { "id", unescape(id) }, { "rest", unescape("x" .. rest) } } }
    end

    it("give the request back", function()
      math.randomseed(5)
      for _ = 1, 300 do
        local q, route = request()
        for _, kind in ipairs(kinds) do
          route.stage = rand(2) == 1 and "orders" or nil
          route.multi_value = true
          local document = assert(event.make(kind, q, route))
          assert.equal(kind, event.kind(document))
          local r = assert(event.read(document))
          local got = joined(r.headers)
          got.host, got["x-forwarded-for"] = nil, nil
          assert.same({ q.method, unescape(q.path), q.body, q.source_ip, query_of(q.query), joined(q.headers) },
            { r.method, r.path, r.body, r.source_ip, query_of(r.raw_query), got }, document)
          if r.params_known then assert.same({ route.params[1][2], route.params[2][2] }, { r.params.id, r.params.rest }) end
        end
      end
    end)
    it("give the answer back", function()
      math.randomseed(6)
      for _ = 1, 300 do
        local res = { status = rand(200, 599), body = text(pick { values, bytes }, 20), headers = headers() }
        table.insert(res.headers, { "Content-Type", pick { "text/plain", "image/png" } })
        for i = 1, rand(0, 3) do table.insert(res.headers, { "Set-Cookie", "c" .. i .. "=" .. text(letters, 4) }) end
        for _, kind in ipairs(kinds) do
          local multi = rand(2) == 1
          local back = event.answer(kind, (assert(event.write(kind, res, { multi_value = multi }))))
          local function plain(list)
            local t = joined(list)
            for k, v in pairs(t) do t[k] = v:gsub(", ", ",") end
            local cookies = {}
            for c in (t["set-cookie"] or ""):gmatch "[^,]+" do cookies[#cookies + 1] = c end
            table.sort(cookies)
            t["set-cookie"] = cookies
            return t
          end
          assert.same({ res.status, res.body, plain(res.headers) }, { back.status, back.body, plain(back.headers) })
        end
      end
    end)
  end)
end)
