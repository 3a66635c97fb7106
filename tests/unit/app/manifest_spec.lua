local t = require "t.app"

local template = [[
Transform: AWS::Serverless-2016-10-31
Globals: { Function: { Runtime: provided.al2023, CodeUri: . } }
Resources:
  Api: { Type: AWS::Serverless::%s, Properties: { StageName: v1, %s } }
  Queue: { Type: AWS::SQS::Queue }
  Create:
    Type: AWS::Serverless::Function
    Properties:
      Handler: shop/orders.create
      Events:
        Post: { Type: HttpApi, Properties: { Path: /orders, Method: POST } }
        Put: { Type: HttpApi, Properties: { Path: "/orders/{id}", Method: PUT } }
  Again:
    Type: AWS::Serverless::Function
    Properties:
      Handler: shop/orders.create
      Events: { Any: { Type: HttpApi, Properties: { Path: "/again/{rest+}", Method: ANY } } }
  Work:
    Type: AWS::Serverless::Function
    Properties:
      Handler: work.run
      Events:
        Queue: { Type: SQS, Properties: { Queue: !GetAtt Queue.Arn, FunctionResponseTypes: [ReportBatchItemFailures] } }
  Reports:
    Type: AWS::Serverless::Function
    Properties:
      Handler: mixed.run
      Events: { Queue: { Type: SQS, Properties: { Queue: !GetAtt Queue.Arn, FunctionResponseTypes: [ReportBatchItemFailures] } } }
  Whole:
    Type: AWS::Serverless::Function
    Properties: { Handler: mixed.run, Events: { Queue: { Type: SQS, Properties: { Queue: !GetAtt Queue.Arn } } } }
  Export:
    Type: AWS::Serverless::Function
    Properties: { Handler: export.csv, FunctionUrlConfig: { AuthType: NONE, InvokeMode: RESPONSE_STREAM } }
]]

describe("the manifest", function()
  local function manifest_of(api, cors)
    local path = os.tmpname()
    local f = assert(io.open(path, "wb"))
    f:write(template:format(api, cors))
    f:close()
    local app, problems = t.load(path)
    os.remove(path)
    return assert(app, not app and table.concat(problems, "\n")).manifest
  end
  local plain = manifest_of("HttpApi", "CorsConfiguration: { AllowOrigins: ['*'] }")

  it("has the routes of every function with that handler", function()
    local m = assert(t.manifest(plain, "shop/orders.create"))
    assert.same({ "POST /orders", "PUT /orders/{id}", "ANY /again/{rest+}" }, m.routes)
    assert.same({ "/code", "shop/orders", "create", false, false }, { m.dir, m.module, m.field, m.report_failures, m.stream })
  end)
  it("says what reports failures and what streams", function()
    local m = assert(t.manifest(plain, "work.run"))
    assert.same({ true, false, {} }, { m.report_failures, m.stream, m.routes })
    m = assert(t.manifest(plain, "mixed.run"))
    assert.is_false(m.report_failures, "a report to a queue that wants none would lose its failures")
    m = assert(t.manifest(plain, "export.csv"))
    assert.same({ false, true }, { m.report_failures, m.stream })
  end)
  it("has the CORS settings of a REST API, for its functions answer them", function()
    assert.same({}, assert(t.manifest(plain, "work.run")).cors.origins)
    local rest = manifest_of("Api", "Cors: { AllowOrigin: \"'https://a,https://b'\", AllowCredentials: true }")
    local cors = assert(t.manifest(rest, "work.run")).cors
    assert.same({ { "https://a", "https://b" }, true, true }, { cors.origins, cors.credentials, cors.rest })
  end)
  it("is not needed: then a function has no routes", function()
    local m = assert(t.manifest("", "a.b"))
    assert.same({ "a", "b", {}, false }, { m.module, m.field, m.routes, m.report_failures })
  end)
  it("of another template is refused", function()
    local m, why = t.manifest(plain, "shop/orders.delete")
    assert.is_nil(m)
    assert.equal('perigee.json has no handler "shop/orders.delete": the package was made of another template', why)
  end)
  it("that is malformed says where", function()
    local function refused(text, why)
      local m, e = t.manifest(text, "a.b")
      assert.is_nil(m)
      assert.equal(why, e)
    end
    local function entry(text) return '{"version":1,"handlers":{"a.b":' .. text .. '}}' end
    refused("{", "perigee.json: JSON ends too early: expected a key in quotes at line 1 column 2")
    refused("[]", "perigee.json must be an object")
    refused('{"version":2}', "perigee.json: version must be 1")
    refused('{"version":1}', "perigee.json: handlers must be an object")
    refused(entry "[]", 'perigee.json: handlers["a.b"] must be an object')
    refused(entry '{"routes":{}}', 'perigee.json: handlers["a.b"].routes must be a list')
    refused(entry '{"routes":[["GET","x"]]}', 'perigee.json: handlers["a.b"].routes must be a list of [method, path]')
    refused(entry '{"stream":1}', 'perigee.json: handlers["a.b"].stream must be true or false')
    refused('{"version":1,"handlers":{},"cors":1}', "perigee.json: cors must be an object")
    refused('{"version":1,"handlers":{},"cors":{"origins":[]}}', "perigee.json: cors.origins must be a list of origins")
    refused('{"version":1,"handlers":{},"cors":{"origins":[1]}}', "perigee.json: cors.origins must be a list of origins")
    refused('{"version":1,"handlers":{},"cors":{"origins":["*"],"credentials":1}}',
      "perigee.json: cors.credentials must be true or false")
  end)
  it("needs a handler that is module.function", function()
    for _, handler in ipairs { "", "a", ".b", "a." } do
      local m, why = t.manifest("", handler)
      assert.is_nil(m)
      assert.equal(("the handler '%s' is not module.function"):format(handler), why)
    end
  end)
end)
