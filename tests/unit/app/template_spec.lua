local t = require "t.app"
local cjson = require "cjson"

local files = {}

-- Writes a template below /tmp; "HEAD" is put in front unless the text brings its own Transform.
local function write(text)
    local path = os.tmpname()
    files[#files + 1] = path
    local f = assert(io.open(path, "wb"))
    f:write(text:find("Transform", 1, true) and text or ("Transform: AWS::Serverless-2016-10-31\n" .. text))
    f:close()
    return path
end

local function load(text, parameters, options)
    local app, problems = t.load(write(text), parameters, options)
    return assert(app, not app and table.concat(problems, "\n"))
end

-- The problems, without the file's name: "12: where: sentence".
local function problems(text, parameters, options)
    local path = write(text)
    local app, list, first = t.load(path, parameters, options)
    assert.is_nil(app)
    assert.equal(list[1], first)
    for i, s in ipairs(list) do
        assert.equal(path .. ":", s:sub(1, #path + 1))
        list[i] = s:sub(#path + 2)
    end
    return list
end

local function has_problem(expected, text, parameters, options)
    local list = problems(text, parameters, options)
    for _, s in ipairs(list) do if s:find(expected, 1, true) then return end end
    error(("no problem like %q in:\n%s"):format(expected, table.concat(list, "\n")), 2)
end

local FUNCTION = "    Type: AWS::Serverless::Function\n    Properties:\n      Runtime: provided.al2023\n      Handler: m.f\n"
local function fn(more) return "Resources:\n  F:\n" .. FUNCTION .. (more or "") end

after_each(function()
    for _, path in ipairs(files) do os.remove(path) end
    files = {}
end)

describe("the application's own template", function()
    it("is read whole", function()
        local app, list = t.load "config/template.yaml"
        assert(app, list and table.concat(list, "\n"))
        assert.is_true(#app.functions >= 8)
        local f = app.functions.CreateOrder
        assert.same({ "handlers", "orders", "create", true }, { f.code_dir, f.module, f.field, f.found })
        assert.equal("Orders", f.env.ORDERS_TABLE)
        assert.same({ "PaymentsSecret" }, app.unset_secrets)
        assert.same({}, app.identities)
        for i, g in ipairs(app.functions) do assert.equal(i - 1, g.index) end
    end)

    it("takes parameters", function()
        local app = assert(t.load("config/template.yaml", { PaymentsSecret = "s", SenderAddress = "a@b.example", Currency = "USD" }))
        assert.same({}, app.unset_secrets)
        assert.same({ "a@b.example" }, app.identities)
        assert.equal("USD", app.functions.CreateOrder.env.CURRENCY)
    end)
end)

describe("functions", function()
    it("have Lambda's defaults", function()
        local f = load(fn()).functions.F
        assert.same({ "m", "f", 3000, 128 << 20 }, { f.module, f.field, f.timeout_ms, f.memory_bytes })
        assert.same({}, f.env)
        assert.same({}, f.policy)
        assert.equal(7, f.line)
    end)

    it("inherit Globals: maps are merged, scalars overridden", function()
        local f = load([[
Globals:
  Function:
    Runtime: provided.al2023
    Timeout: 9
    MemorySize: 256
    Environment: { Variables: { A: global, B: global } }
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      Handler: a/b.c
      MemorySize: 512
      Environment: { Variables: { B: own, C: 5 } }
]]).functions.F
        assert.same({ 9000, 512 << 20, "a/b", "c" }, { f.timeout_ms, f.memory_bytes, f.module, f.field })
        assert.same({ A = "global", B = "own", C = "5" }, f.env)
    end)

    it("say what is wrong with their limits, handler, code and environment", function()
        has_problem("8: Resources.F.Properties.Timeout: must be a whole number from 1 to 900, not '901'", fn "      Timeout: 901\n")
        has_problem("8: Resources.F.Properties.MemorySize: must be a whole number from 128 to 10240", fn "      MemorySize: 64\n")
        has_problem("8: Resources.F.Properties.Timeout: must be a whole number", fn "      Timeout: [1]\n")
        has_problem("8: Resources.F.Properties.CodeUri: there is no directory /tmp/no/such", fn "      CodeUri: no/such\n")
        has_problem("CodeUri: must be a directory or a .zip, not s3://b/k", fn "      CodeUri: s3://b/k\n")
        has_problem("Environment.Variables: 1X is no name for a variable", fn "      Environment: { Variables: { 1X: a } }\n")
        has_problem("AWS_REGION is set by Lambda itself", fn "      Environment: { Variables: { AWS_REGION: a } }\n")
        has_problem("Environment.Variables.A: must be a string", fn "      Environment: { Variables: { A: [b] } }\n")
        has_problem("is larger than 4096 bytes", fn("      Environment: { Variables: { A: " .. ("x"):rep(4096) .. " } }\n"))
        has_problem("8: Resources.F.Properties.Layerz: is not supported", fn "      Layerz: []\n")
        for _, handler in ipairs { "noDot", "a.", ".f", "../a.f", "/a.f", "a b.f", "a.f-g" } do
            has_problem(("Handler: '%s' is not module.function"):format(handler), (fn():gsub("m%.f", handler)))
        end
        has_problem("Runtime nodejs20.x is not supported", (fn():gsub("provided.al2023", "nodejs20.x", 1)))
        has_problem("needs a Handler", (fn():gsub("      Handler: m.f\n", "")))
        has_problem("needs a Runtime", (fn():gsub("      Runtime: provided.al2023\n", "")))
    end)
end)

describe("packages", function()
    local packed = fn "      CodeUri: no/such.zip\n"

    it("are run from the directory that they are made of, and need not be there", function()
        local app = load("Metadata: { Perigee: { Handlers: . } }\n" .. packed)
        assert.equal("/tmp/.", app.functions.F.code_dir)
    end)

    it("leave functions with a directory of their own alone", function()
        local app = load("Metadata: { Perigee: { Handlers: /usr } }\n" .. packed ..
            "  G: { Type: AWS::Serverless::Function, Properties: { Runtime: provided.al2023, Handler: m.f, CodeUri: . } }\n")
        assert.same({ "/usr", "/tmp/." }, { app.functions.F.code_dir, app.functions.G.code_dir })
    end)

    it("need to be told of that directory", function()
        has_problem("Resources.F.Properties.CodeUri: no/such.zip is a package: Metadata.Perigee.Handlers must name the directory", packed)
        local list = problems("Metadata: { Perigee: { Handlers: no/such } }\n" .. packed)
        assert.equal(1, #list, table.concat(list, "\n"))
        assert.matches("2: Metadata.Perigee.Handlers: there is no directory /tmp/no/such", list[1], 1, true)
        has_problem("Metadata.Perigee.Handlers: must be a string", "Metadata: { Perigee: { Handlers: [a] } }\n" .. packed)
    end)
end)

describe("what only matters in the cloud", function()
    local function topic(more) return fn() .. "  T: { Type: AWS::SNS::Topic }\n" .. more end

    it("is accepted: topics of alarms, retries of asynchronous invocations, deletion policies, limits and logs of APIs", function()
        local app = load([[
Globals:
  HttpApi: { DefaultRouteSettings: { ThrottlingRateLimit: 5 }, AccessLogSettings: { DestinationArn: !GetAtt Log.Arn, Format: x } }
]] .. fn [[
      EventInvokeConfig: { MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 60 }
      Environment: { Variables: { A: !Ref T, B: !GetAtt T.TopicName, C: !GetAtt T.TopicArn } }
  Log: { Type: AWS::Logs::LogGroup, DeletionPolicy: Retain, UpdateReplacePolicy: Retain }
  T: { Type: AWS::SNS::Topic }
  P: { Type: AWS::SNS::TopicPolicy, Properties: { Topics: [!Ref T], PolicyDocument: {} } }
  S: { Type: AWS::SNS::Subscription, Properties: { TopicArn: !Ref T, Protocol: email, Endpoint: a@b.example } }
  A: { Type: AWS::CloudWatch::Alarm, Properties: { AlarmActions: [!Ref T] } }
]])
        local arn = "arn:aws:sns:us-east-1:000000000000:T"
        assert.same({ A = arn, B = "T", C = arn }, app.functions.F.env)
    end)

    it("is not what starts something or keeps failures", function()
        has_problem("S.Properties: Protocol lambda is not supported: no topic starts anything locally",
            topic "  S: { Type: AWS::SNS::Subscription, Properties: { TopicArn: !Ref T, Protocol: lambda, Endpoint: !GetAtt F.Arn } }\n")
        has_problem("Resources.U.Properties.Subscription: is not supported",
            topic "  U: { Type: AWS::SNS::Topic, Properties: { Subscription: [] } }\n")
        has_problem("S.Properties.FilterPolicy: is not supported",
            topic "  S: { Type: AWS::SNS::Subscription, Properties: { TopicArn: !Ref T, Protocol: sms, FilterPolicy: {} } }\n")
        has_problem("T has no attribute 'Arn' that is supported", topic "  A: { Type: AWS::CloudWatch::Alarm, Properties: { AlarmActions: [!GetAtt T.Arn] } }\n")
        has_problem("Resources.F.Properties.EventInvokeConfig.DestinationConfig: is not supported",
            fn "      EventInvokeConfig: { DestinationConfig: {} }\n")
    end)

    it("is held to its references", function()
        has_problem("Globals.HttpApi.AccessLogSettings.DestinationArn: refers to Nowhere",
            "Globals: { HttpApi: { AccessLogSettings: { DestinationArn: !GetAtt Nowhere.Arn } } }\n" .. fn())
    end)
end)

describe("routes", function()
    local function api(path, method, more)
        return fn(("      Events:\n        E:\n          Type: HttpApi\n          Properties:\n            Path: %s\n            Method: %s\n%s"):format(path, method, more or ""))
    end

    it("come from Api and HttpApi events", function()
        local app = load(fn [[
      Events:
        A: { Type: HttpApi, Properties: { Path: "/a/{id}/b", Method: get } }
        B: { Type: Api, Properties: { Path: /, Method: any } }
        C: { Type: HttpApi, Properties: { Path: "/files/{path+}", Method: "*", PayloadFormatVersion: "1.0" } }
        D: { Type: HttpApi, Properties: { Path: "/a/{other}", Method: GET, ApiId: !Ref ServerlessHttpApi } }
]])
        local got = {}
        for i, r in ipairs(app.routes) do
            got[i] = r.method .. " " .. r.path .. " " .. r["function"] .. " " .. r.payload .. " " .. r.line
        end
        assert.same({ "GET /a/{id}/b F 2 9", "ANY / F 0 10", "ANY /files/{path+} F 1 11", "GET /a/{other} F 2 12" }, got)
    end)

    it("are refused when malformed", function()
        has_problem("Path orders must start with '/'", api("orders", "GET"))
        has_problem("has a segment that is only partly a {parameter}", api("/a{id}", "GET"))
        has_problem("has a malformed {parameter}", api('"/{}"', "GET"))
        has_problem("has a malformed {parameter}", api('"/{a b}"', "GET"))
        has_problem("has a greedy {parameter+} that is not its last segment", api('"/{p+}/x"', "GET"))
        has_problem("has an empty segment", api("/a//b", "GET"))
        has_problem("has the same {parameter} twice", api('"/{a}/x/{a}"', "GET"))
        has_problem("Method FETCH is not supported", api("/a", "fetch"))
        has_problem("Properties.Auth: is not supported", api("/a", "GET", "            Auth: { Authorizer: X }\n"))
        has_problem("PayloadFormatVersion 3.0 is not supported", api("/a", "GET", '            PayloadFormatVersion: "3.0"\n'))
        has_problem("PayloadFormatVersion: is not supported",
            (api("/a", "GET", '            PayloadFormatVersion: "2.0"\n'):gsub("Type: HttpApi", "Type: Api")))
        has_problem("needs Path and Method", fn "      Events: { E: { Type: HttpApi } }\n")
        has_problem("event Type 'SNS' is not supported", fn "      Events: { E: { Type: SNS } }\n")
    end)

    it("may not be declared twice, whatever the parameters are called", function()
        has_problem("10: Resources.F.Properties.Events.B.Properties: GET /a/{y} is taken by line 9 already (F)", fn [[
      Events:
        A: { Type: HttpApi, Properties: { Path: "/a/{x}", Method: GET } }
        B: { Type: HttpApi, Properties: { Path: "/a/{y}", Method: get } }
]])
    end)
end)

describe("queues and feeds", function()
    local function queues(properties, event)
        return fn(event and ("      Timeout: 20\n      Events:\n        E: { Type: SQS, Properties: { %s } }\n"):format(event) or "") ..
            ("  Q: { Type: AWS::SQS::Queue, Properties: { %s } }\n  D: { Type: AWS::SQS::Queue }\n"):format(properties)
    end

    it("give CreateQueue's parameters, dead-letter queues first", function()
        local app = load(queues 'QueueName: main-q, VisibilityTimeout: 40, DelaySeconds: "5", RedrivePolicy: { deadLetterTargetArn: !GetAtt D.Arn, maxReceiveCount: 3 }, SqsManagedSseEnabled: true')
        assert.same({ "D", "main-q", "D" }, { app.queues[1].name, app.queues[2].name, app.queues[2].dead_letter })
        local create = cjson.decode(app.queues[2].create)
        assert.equal("main-q", create.QueueName)
        assert.same({ "40", "5" }, { create.Attributes.VisibilityTimeout, create.Attributes.DelaySeconds })
        local redrive = cjson.decode(create.Attributes.RedrivePolicy)
        assert.equal("arn:aws:sqs:us-east-1:000000000000:D", redrive.deadLetterTargetArn)
        assert.equal(3, redrive.maxReceiveCount)
        assert.equal('{"QueueName":"D","Attributes":{}}', app.queues[1].create)
    end)

    it("may be FIFO queues, whose names end so", function()
        local app = load(queues("FifoQueue: true, ContentBasedDeduplication: true, DeduplicationScope: messageGroup, FifoThroughputLimit: perMessageGroupId", "Queue: !GetAtt Q.Arn"))
        assert.equal("Q.fifo", app.feeds[1].queue)
        local q = app.queues[1].name == "Q.fifo" and app.queues[1] or app.queues[2]
        assert.same({ QueueName = "Q.fifo", Attributes = { FifoQueue = "true", ContentBasedDeduplication = "true", DeduplicationScope = "messageGroup",
            FifoThroughputLimit = "perMessageGroupId" } }, cjson.decode(q.create))
    end)

    it("give feeds with their settings and the permission to poll", function()
        local app = load(queues("VisibilityTimeout: 20", "Queue: !GetAtt Q.Arn, BatchSize: 100, MaximumBatchingWindowInSeconds: 2, Enabled: false, ScalingConfig: { MaximumConcurrency: 5 }, FunctionResponseTypes: [ReportBatchItemFailures]"))
        assert.same({ queue = "Q", ["function"] = "F", batch_size = 100, window_ms = 2000, max_concurrency = 5, report_failures = true, enabled = false }, app.feeds[1])
        assert.same({ "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes" }, app.functions.F.policy[1].actions)
        app = load(queues("", "Queue: !GetAtt Q.Arn"))
        assert.same({ queue = "Q", ["function"] = "F", batch_size = 10, window_ms = 0, max_concurrency = 0, report_failures = false, enabled = true }, app.feeds[1])
    end)

    it("say what is wrong with them", function()
        has_problem("queue Q (line 11) has a VisibilityTimeout of 19 s, shorter than the function's Timeout of 20 s", queues("VisibilityTimeout: 19", "Queue: !GetAtt Q.Arn"))
        has_problem("Queue must be the ARN of a queue of this template", queues("", "Queue: !Ref Q"))
        has_problem("Queue must be the ARN", queues("", "BatchSize: 1"))
        has_problem("refers to Nowhere, which is no parameter or resource of this template", queues("", "Queue: !GetAtt Nowhere.Arn"))
        has_problem("a BatchSize above 10 needs MaximumBatchingWindowInSeconds", queues("", "Queue: !GetAtt Q.Arn, BatchSize: 11"))
        has_problem("MaximumConcurrency: must be a whole number from 2 to 1000", queues("", "Queue: !GetAtt Q.Arn, ScalingConfig: { MaximumConcurrency: 1 }"))
        has_problem("FilterCriteria: is not supported", queues("", "Queue: !GetAtt Q.Arn, FilterCriteria: {}"))
        has_problem("VisibilityTimeout: must be a whole number from 0 to 43200", queues "VisibilityTimeout: 43201")
        has_problem("the name 'a' of a FIFO queue does not end in .fifo", queues "QueueName: a, FifoQueue: true")
        has_problem("a queue whose name ends in .fifo needs FifoQueue: true", queues "QueueName: a.fifo")
        has_problem("queue name 'a b.fifo' is not 1 to 80 letters", queues "QueueName: a b.fifo, FifoQueue: true")
        has_problem("ContentBasedDeduplication is for queues with FifoQueue: true", queues "ContentBasedDeduplication: true")
        has_problem("DeduplicationScope: is neither queue nor messageGroup", queues "FifoQueue: true, DeduplicationScope: all")
        has_problem("a FIFO queue has a BatchSize of at most 10 and no batching window",
            queues("FifoQueue: true", "Queue: !GetAtt Q.Arn, BatchSize: 100, MaximumBatchingWindowInSeconds: 2"))
        has_problem("deadLetterTargetArn arn:aws:sqs:eu-west-1:1:X is no queue of this template", queues 'RedrivePolicy: { deadLetterTargetArn: "arn:aws:sqs:eu-west-1:1:X", maxReceiveCount: 1 }')
        has_problem("dead-letter queue Gone is no queue of this template", queues 'RedrivePolicy: { deadLetterTargetArn: "arn:aws:sqs:us-east-1:000000000000:Gone", maxReceiveCount: 1 }')
        has_problem("its dead-letter queue Q leads back to it", queues "RedrivePolicy: { deadLetterTargetArn: !GetAtt Q.Arn, maxReceiveCount: 1 }")
        has_problem("queue D is declared by Q too", queues "QueueName: D")
    end)
end)

describe("schedules", function()
    it("have a name, an expression and an input", function()
        local app = load(fn [[
      Events:
        A: { Type: Schedule, Properties: { Schedule: rate(5 minutes) } }
        B: { Type: Schedule, Properties: { Schedule: "cron(0 12 * * ? *)", Name: noon, Input: '{"a":1}', Enabled: false } }
]])
        assert.same({ { name = "FA", expression = "rate(5 minutes)", input = "", ["function"] = "F", enabled = true },
            { name = "noon", expression = "cron(0 12 * * ? *)", input = '{"a":1}', ["function"] = "F", enabled = false } }, app.schedules)
    end)

    it("are checked", function()
        has_problem("9: Resources.F.Properties.Events.A.Properties: Schedule: rate(5 minute): rate unit 'minute' must be", fn "      Events:\n        A: { Type: Schedule, Properties: { Schedule: rate(5 minute) } }\n")
        has_problem("Input is not JSON", fn "      Events:\n        A: { Type: Schedule, Properties: { Schedule: rate(1 day), Input: '{' } }\n")
        has_problem("RetryPolicy: is not supported", fn "      Events:\n        A: { Type: Schedule, Properties: { Schedule: rate(1 day), RetryPolicy: {} } }\n")
    end)
end)

describe("tables", function()
    local KEYS = "AttributeDefinitions: [{ AttributeName: a, AttributeType: S }, { AttributeName: b, AttributeType: N }], KeySchema: [{ AttributeName: a, KeyType: HASH }, { AttributeName: b, KeyType: RANGE }]"
    local function tbl(more, keys) return "Resources:\n  Things: { Type: AWS::DynamoDB::Table, Properties: { " .. (keys or KEYS) .. (more or "") .. " } }\n" end
    local PAY = ", BillingMode: PAY_PER_REQUEST"

    it("give CreateTable's parameters", function()
        local app = load(tbl(PAY .. ', TableName: !Sub "${AWS::StackName}-things", TimeToLiveSpecification: { AttributeName: ttl, Enabled: true }, GlobalSecondaryIndexes: [{ IndexName: by_b, KeySchema: [{ AttributeName: b, KeyType: HASH }], Projection: { ProjectionType: INCLUDE, NonKeyAttributes: [x, y] } }], PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true }'))
        local table_ = app.tables[1]
        assert.same({ "perigee-things", "Things", "ttl" }, { table_.name, table_.logical_id, table_.ttl_attribute })
        assert.same({
            TableName = "perigee-things", BillingMode = "PAY_PER_REQUEST",
            AttributeDefinitions = { { AttributeName = "a", AttributeType = "S" }, { AttributeName = "b", AttributeType = "N" } },
            KeySchema = { { AttributeName = "a", KeyType = "HASH" }, { AttributeName = "b", KeyType = "RANGE" } },
            GlobalSecondaryIndexes = { { IndexName = "by_b", KeySchema = { { AttributeName = "b", KeyType = "HASH" } },
                Projection = { ProjectionType = "INCLUDE", NonKeyAttributes = { "x", "y" } } } },
        }, cjson.decode(table_.create))
    end)

    it("carry provisioned throughput when they are billed so", function()
        local create = cjson.decode(load(tbl ", ProvisionedThroughput: { ReadCapacityUnits: 5, WriteCapacityUnits: 1 }").tables[1].create)
        assert.same({ "PROVISIONED", 5, 1 }, { create.BillingMode, create.ProvisionedThroughput.ReadCapacityUnits, create.ProvisionedThroughput.WriteCapacityUnits })
        has_problem("ProvisionedThroughput goes with BillingMode PROVISIONED", tbl())
    end)

    it("do not expire items when TTL is off", function()
        assert.equal("", load(tbl(PAY .. ", TimeToLiveSpecification: { AttributeName: ttl, Enabled: false }")).tables[1].ttl_attribute)
    end)

    it("may be simple", function()
        local app = load "Resources:\n  Tab: { Type: AWS::Serverless::SimpleTable, Properties: { TableName: numbers, PrimaryKey: { Name: n, Type: Number } } }\n  Other: { Type: AWS::Serverless::SimpleTable }\n"
        assert.same({ TableName = "numbers", BillingMode = "PAY_PER_REQUEST", AttributeDefinitions = { { AttributeName = "n", AttributeType = "N" } },
            KeySchema = { { AttributeName = "n", KeyType = "HASH" } } }, cjson.decode(app.tables[1].create))
        assert.same({ { AttributeName = "id", KeyType = "HASH" } }, cjson.decode(app.tables[2].create).KeySchema)
    end)

    it("say what is wrong with them", function()
        has_problem("'c' is not in AttributeDefinitions", tbl(PAY, (KEYS:gsub("AttributeName: b, KeyType", "AttributeName: c, KeyType"))))
        has_problem("AttributeDefinitions: no key uses 'b'", tbl(PAY, (KEYS:gsub(", { AttributeName: b, KeyType: RANGE }", ""))))
        has_problem("key 2 needs KeyType RANGE", tbl(PAY, (KEYS:gsub("RANGE", "HASH"))))
        has_problem("needs AttributeName and AttributeType S, N or B", tbl(PAY, (KEYS:gsub("AttributeType: N", "AttributeType: BOOL"))))
        has_problem("needs a KeySchema of one or two keys", tbl(PAY, (KEYS:gsub(", KeySchema.*", ""))))
        has_problem("needs a Projection", tbl(PAY .. ", LocalSecondaryIndexes: [{ IndexName: abc, KeySchema: [{ AttributeName: a, KeyType: HASH }, { AttributeName: b, KeyType: RANGE }] }]"))
        has_problem("StreamSpecification: is not supported", tbl(PAY .. ", StreamSpecification: { StreamViewType: NEW_IMAGE }"))
        has_problem("BillingMode must be", tbl ", BillingMode: FREE")
        has_problem("table name 'a b' is not 3 to 255", tbl(PAY .. ", TableName: a b"))
    end)
end)

describe("buckets and identities", function()
    it("have names", function()
        local app = load "Resources:\n  MyFiles: { Type: AWS::S3::Bucket }\n  B2: { Type: AWS::S3::Bucket, Properties: { BucketName: !Join ['-', [a, !Ref AWS::AccountId]] } }\n  I: { Type: AWS::SES::EmailIdentity, Properties: { EmailIdentity: example.com } }\n"
        assert.same({ "myfiles", '{"Bucket":"a-000000000000"}' }, { app.buckets[1].name, app.buckets[2].create })
        assert.same({ "example.com" }, app.identities)
        has_problem("bucket name 'Upper' is not 3 to 63", "Resources:\n  B: { Type: AWS::S3::Bucket, Properties: { BucketName: Upper } }\n")
        has_problem("bucket name 'x' is not 3 to 63", "Resources:\n  X: { Type: AWS::S3::Bucket }\n")
        has_problem("NotificationConfiguration: is not supported", "Resources:\n  Bbb: { Type: AWS::S3::Bucket, Properties: { NotificationConfiguration: {} } }\n")
    end)
end)

describe("intrinsics", function()
    local HEAD = [==[
Parameters:
  Stage: { Type: String, Default: dev }
  Names: { Type: CommaDelimitedList, Default: "a,b,c" }
  Count: { Type: Number, Default: 3 }
Mappings:
  Sizes:
    dev: { memory: 256 }
    prod: { memory: 512 }
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
  NotProd: !Not [!Condition IsProd]
  Both: !And [!Condition IsProd, Fn::Equals: [1, 1]]
  Either: !Or [Condition: IsProd, !Equals [a, a]]
]==]
    local function value(expression, parameters)
        return load(HEAD .. fn("      Environment: { Variables: { V: " .. expression .. " } }\n") ..
            "  Tab: { Type: AWS::Serverless::SimpleTable }\n  Queue: { Type: AWS::SQS::Queue }\n  Buck: { Type: AWS::S3::Bucket }\n", parameters).functions.F.env.V
    end

    it("give values in short and long form", function()
        for expression, expected in pairs {
            ["!Ref Stage"] = "dev", ["{ Ref: Count }"] = "3", ["!Ref Tab"] = "Tab", ["!Ref Buck"] = "buck", ["!Ref F"] = "F",
            ["!Ref Queue"] = "https://sqs.us-east-1.amazonaws.com/000000000000/Queue",
            ["!GetAtt Tab.Arn"] = "arn:aws:dynamodb:us-east-1:000000000000:table/Tab", ["{ Fn::GetAtt: [Queue, QueueName] }"] = "Queue",
            ["!GetAtt Buck.Arn"] = "arn:aws:s3:::buck", ["!GetAtt F.Arn"] = "arn:aws:lambda:us-east-1:000000000000:function:F",
            ["!GetAtt FRole.Arn"] = "arn:aws:iam::000000000000:role/FRole",
            ['!Sub "${Stage}-${Tab.Arn}-${!Literal}-${AWS::Region}"'] = "dev-arn:aws:dynamodb:us-east-1:000000000000:table/Tab-${Literal}-us-east-1",
            ['{ "Fn::Sub": ["${x}/${Stage}", { x: !Ref Count }] }'] = "3/dev",
            ['!Join ["+", !Ref Names]'] = "a+b+c", ['{ "Fn::Join": ["", [a, !Ref Stage]] }'] = "adev",
            ["!Select [1, !Ref Names]"] = "b", ['!Select [2, !Split ["/", "x/y/z"]]'] = "z", ['!Join ["", !Split ["ab", "1ab2ab"]]'] = "12",
            ["!FindInMap [Sizes, !Ref Stage, memory]"] = "256", ["!If [IsProd, big, small]"] = "small", ["!If [NotProd, yes, no]"] = "yes",
            ["!If [Both, 1, 2]"] = "2", ["!If [Either, 1, 2]"] = "1", ['"quoted ${Stage}"'] = "quoted ${Stage}",
            ["!If [IsProd, !GetAtt Nowhere.Arn, !Ref AWS::StackName]"] = "perigee",
        } do
            assert.equal(expected, value(expression), expression)
        end
        assert.equal("512big1", value('!Sub ["${m}${s}${b}", { m: !FindInMap [Sizes, !Ref Stage, memory], s: !If [IsProd, big, small], b: !If [Both, 1, 2] }]', { Stage = "prod" }))
    end)

    it("leave out what is AWS::NoValue", function()
        local app = load(HEAD .. fn "      Timeout: !If [IsProd, 100, !Ref AWS::NoValue]\n      Environment: { Variables: { A: !Ref AWS::NoValue, B: b } }\n")
        assert.same({ 3000, { B = "b" } }, { app.functions.F.timeout_ms, app.functions.F.env })
    end)

    it("leave out resources whose condition does not hold", function()
        local text = HEAD .. "Resources:\n  Tab: { Type: AWS::Serverless::SimpleTable, Condition: IsProd }\n  Bucket: { Type: AWS::S3::Bucket, Condition: NotProd }\n"
        local app = load(text)
        assert.same({ 0, 1 }, { #app.tables, #app.buckets })
        app = load(text, { Stage = "prod" })
        assert.same({ 1, 0 }, { #app.tables, #app.buckets })
        has_problem("refers to Tab, which its Condition leaves out", text .. "  F:\n" .. FUNCTION .. "      Environment: { Variables: { V: !Ref Tab } }\n")
    end)

    it("say where they fail", function()
        local function fails(why, expression) has_problem(why, HEAD .. fn("      Environment:\n        Variables:\n          V: " .. expression .. "\n")) end
        local at = "23: Resources.F.Properties.Environment.Variables.V: "
        fails(at .. "refers to Gone, which is no parameter or resource of this template", "!Ref Gone")
        fails(at .. "refers to Gone, which", "!GetAtt Gone.Arn")
        fails(at .. "F has no attribute 'Color' that is supported", "!GetAtt F.Color")
        fails(at .. "refers to Gone, which", '!Sub "${Gone}"')
        fails(at .. "'${' without '}'", '!Sub "${Stage"')
        fails(at .. "Fn::Base64 is not supported here", "!Base64 x")
        fails(at .. "Fn::ImportValue is not supported here", "{ Fn::ImportValue: x }")
        fails(at .. "needs [delimiter, list] for Fn::Join", "!Join [a]")
        fails(at .. "there is no condition Nope", "!If [Nope, a, b]")
        fails(at .. "Fn::If needs [condition, then, else]", "!If [IsProd, a]")
        fails(at .. "Fn::FindInMap: there is no 'test' in Mappings", "!FindInMap [Sizes, test, memory]")
        fails(at .. "Fn::Select: the index is not within the list", "!Select [3, !Ref Names]")
        fails(at .. "must be a string", "!Ref Names")
    end)

    it("do not follow circles", function()
        has_problem("refers to itself in a circle", "Resources:\n  A: { Type: AWS::S3::Bucket, Properties: { BucketName: !Ref B } }\n  B: { Type: AWS::S3::Bucket, Properties: { BucketName: !Ref A } }\n")
        has_problem("condition A refers to itself in a circle", "Conditions:\n  A: !Not [!Condition B]\n  B: !Not [!Condition A]\n" .. fn())
    end)
end)

describe("parameters", function()
    local function with(spec, given) return "Parameters:\n  P: { " .. spec .. " }\n" .. fn(), given and { P = given } end

    it("are checked against their constraints", function()
        load(with("Type: String, AllowedPattern: '[A-Z]{3}'", "EUR"))
        load(with("Type: Number, MinValue: 1, MaxValue: 5, Default: 5"))
        has_problem("Parameters.P: value does not match AllowedPattern [A-Z]{3}", with("Type: String, AllowedPattern: '[A-Z]{3}'", "EURO"))
        has_problem("Parameters.P: value is none of AllowedValues", with("Type: String, AllowedValues: [a, b]", "c"))
        has_problem("Parameters.P: value is not within MinValue and MaxValue", with("Type: Number, MinValue: 1, MaxValue: 5", "6"))
        has_problem("Parameters.P: value is not a whole number", with("Type: Number", "x"))
        has_problem("Parameters.P: value is not within MinLength and MaxLength", with("Type: String, MinLength: 8", "short"))
        has_problem("Parameters.P: has no Default and no value was given", with "Type: String")
        has_problem("Parameters.P: Type AWS::SSM::Parameter::Value<String> is not supported", with "Type: 'AWS::SSM::Parameter::Value<String>', Default: x")
        has_problem("Parameters.P.Defautl: is not supported", with "Type: String, Defautl: x")
    end)

    it("never show their values, which may be secret", function()
        for _, s in ipairs(problems(with("Type: String, AllowedValues: [a]", "hunter2"))) do assert.is_nil(s:find("hunter2", 1, true)) end
    end)

    it("must exist to be given", function()
        has_problem("1: Parameters: there is no parameter Brnd", fn(), { Brnd = "x" })
    end)
end)

describe("permissions", function()
    local RESOURCES = [[
  Tab: { Type: AWS::Serverless::SimpleTable }
  Queue: { Type: AWS::SQS::Queue }
  Files: { Type: AWS::S3::Bucket }
]]
    local function policy(policies) return load(fn("      Policies:\n" .. policies) .. RESOURCES).functions.F.policy end

    it("come from policy templates of all services that can be called", function()
        local p = policy [[
        - DynamoDBStreamReadPolicy: { TableName: t, StreamName: s }
        - AWSSecretsManagerGetSecretValuePolicy: { SecretArn: "arn:aws:secretsmanager:us-east-1:1:secret:a" }
        - SNSPublishMessagePolicy: { TopicName: topic }
        - LambdaInvokePolicy: { FunctionName: f }
        - CloudWatchPutMetricPolicy: {}
]]
        local got = {}
        for i, s in ipairs(p) do got[i] = table.concat(s.actions, " ") .. " @ " .. table.concat(s.resources, " ") end
        assert.same({
            "dynamodb:DescribeStream dynamodb:GetRecords dynamodb:GetShardIterator @ arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/s",
            "dynamodb:ListStreams @ arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/*",
            "secretsmanager:GetSecretValue @ arn:aws:secretsmanager:us-east-1:1:secret:a",
            "sns:Publish @ arn:aws:sns:us-east-1:000000000000:topic",
            "lambda:InvokeFunction @ arn:aws:lambda:us-east-1:000000000000:function:f*",
            "cloudwatch:PutMetricData @ *",
        }, got)
    end)

    it("may say what is left out", function()
        local p = policy '        - Statement: { Effect: Allow, NotAction: ["dynamodb:Delete*"], NotResource: "arn:aws:s3:::x" }\n'
        assert.same({ true, true, "dynamodb:Delete*", "arn:aws:s3:::x" }, { p[1].not_actions, p[1].not_resources, p[1].actions[1], p[1].resources[1] })
    end)

    it("name actions that there are", function()
        local function statement(action) return "        - Statement: { Effect: Allow, Action: '" .. action .. "', Resource: '*' }\n" end
        for _, action in ipairs { "dynamodb:PutItem", "DYNAMODB:putitem", "s3:Get*", "s3:ListAllMyBuckets", "ses:SendRawEmail", "sqs:*", "*", "ec2:Whatever" } do
            policy(statement(action))
        end
        for action, why in pairs {
            ["dynamodb:PutItems"] = "dynamodb:PutItems is no action: dynamodb:PutItem is",
            ["sqs:SendMesage"] = "sqs:SendMesage is no action: sqs:SendMessage is",
            ["s3:PutObjects"] = "s3:PutObjects is no action: s3:PutObject is",
            ["ses:SendMail"] = "ses:SendMail is no action: ses:SendEmail is",
            ["sqs:Fetch"] = "sqs:Fetch is no action of sqs",
            ["dynamodb:Put?"] = "dynamodb:Put? is no action of dynamodb",
            ["dynamodb:TransactWriteItems"] = "dynamodb:TransactWriteItems is an operation but no action: it needs dynamodb:PutItem, UpdateItem, DeleteItem or ConditionCheckItem",
            ["sqs:SendMessageBatch"] = "sqs:SendMessageBatch is an operation but no action: it needs sqs:SendMessage",
            ["s3:HeadObject"] = "s3:HeadObject is an operation but no action: it needs s3:GetObject",
            ["s3:"] = "'s3:' is no action (service:Name)",
        } do
            has_problem(why, fn("      Policies:\n" .. statement(action)))
        end
    end)

    it("come from policy templates", function()
        local p = policy [[
        - DynamoDBReadPolicy: { TableName: !Ref Tab }
        - SQSSendMessagePolicy: { QueueName: !GetAtt Queue.QueueName }
        - S3FullAccessPolicy: { BucketName: !Ref Files }
        - SESCrudPolicy: { IdentityName: example.com }
]]
        assert.same({ "arn:aws:dynamodb:us-east-1:000000000000:table/Tab", "arn:aws:dynamodb:us-east-1:000000000000:table/Tab/index/*" }, p[1].resources)
        assert.same({ "dynamodb:GetItem", "dynamodb:Scan", "dynamodb:Query", "dynamodb:BatchGetItem", "dynamodb:DescribeTable" }, p[1].actions)
        assert.same({ { "sqs:SendMessage*" }, { "arn:aws:sqs:us-east-1:000000000000:Queue" } }, { p[2].actions, p[2].resources })
        assert.same({ { "arn:aws:s3:::files/*" }, { "arn:aws:s3:::files" } }, { p[3].resources, p[4].resources })
        assert.same({ "arn:aws:ses:us-east-1:000000000000:identity/example.com" }, p[5].resources)
    end)

    it("come from documents, denials too", function()
        local p = policy [[
        - Version: "2012-10-17"
          Statement:
            - { Sid: A, Effect: Allow, Action: "dynamodb:*", Resource: [!GetAtt Tab.Arn, "*"] }
            - { Effect: Deny, Action: [dynamodb:Scan], Resource: "*" }
        - Statement: { Effect: Allow, Action: s3:GetObject, Resource: !Sub "${Files.Arn}/*" }
]]
        assert.same({ { deny = false, actions = { "dynamodb:*" }, resources = { "arn:aws:dynamodb:us-east-1:000000000000:table/Tab", "*" } },
            { deny = true, actions = { "dynamodb:Scan" }, resources = { "*" } },
            { deny = false, actions = { "s3:GetObject" }, resources = { "arn:aws:s3:::files/*" } } }, p)
    end)

    it("come from known managed policies", function()
        local p = policy "        - AWSLambdaBasicExecutionRole\n        - arn:aws:iam::aws:policy/AmazonSQSFullAccess\n"
        assert.same({ { deny = false, actions = { "sqs:*" }, resources = { "*" } } }, p)
    end)

    it("come from a role of the template and what is attached to it", function()
        local app = load(fn "      Role: !GetAtt R.Arn\n" .. [[
  R:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {}
      ManagedPolicyArns: [!Ref M, "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"]
      Policies: [{ PolicyName: inline, PolicyDocument: { Statement: { Effect: Allow, Action: "s3:Get*", Resource: "*" } } }]
  M: { Type: AWS::IAM::ManagedPolicy, Properties: { PolicyDocument: { Statement: { Effect: Allow, Action: "sqs:*", Resource: "*" } } } }
  P: { Type: AWS::IAM::Policy, Properties: { PolicyName: p, Roles: [!Ref R], PolicyDocument: { Statement: { Effect: Deny, Action: "ses:*", Resource: "*" } } } }
  N: { Type: AWS::IAM::Policy, Properties: { PolicyName: n, Roles: [other], PolicyDocument: { Statement: { Effect: Allow, Action: "*", Resource: "*" } } } }
]])
        local got = {}
        for i, s in ipairs(app.functions.F.policy) do got[i] = (s.deny and "-" or "+") .. s.actions[1] end
        assert.same({ "+sqs:*", "+s3:Get*", "-ses:*" }, got)
    end)

    it("that cannot be enforced are refused", function()
        local function fails(why, policies) has_problem(why, fn("      Policies:\n" .. policies) .. RESOURCES) end
        fails("policy template EC2DescribePolicy is not supported", "        - EC2DescribePolicy: {}\n")
        fails("policy template DynamoDBReedPolicy is not supported (DynamoDBReadPolicy is)", "        - DynamoDBReedPolicy: {}\n")
        fails("DynamoDBStreamReadPolicy: needs StreamName", "        - DynamoDBStreamReadPolicy: { TableName: x }\n")
        fails("managed policy AmazonDynamoDBFulAccess is not known (AmazonDynamoDBFullAccess is)", "        - AmazonDynamoDBFulAccess\n")
        fails("Policies.S3ReadPolicy: needs BucketName", "        - S3ReadPolicy: {}\n")
        fails("Policies.S3ReadPolicy.Bucket: is not supported", "        - S3ReadPolicy: { Bucket: b }\n")
        fails("managed policy PowerUserAccess is not known", "        - PowerUserAccess\n")
        fails("Statement.Condition: is not supported", "        - Statement: [{ Effect: Allow, Action: a:b, Resource: '*', Condition: {} }]\n")
        fails("Statement: Action and NotAction exclude each other", "        - Statement: [{ Effect: Allow, Action: a:b, NotAction: a:c, Resource: '*' }]\n")
        fails("Statement.Principal: is not supported", "        - Statement: [{ Effect: Allow, Action: a:b, Principal: '*', Resource: '*' }]\n")
        fails("Effect must be Allow or Deny", "        - Statement: [{ Effect: Perhaps, Action: a:b, Resource: '*' }]\n")
        fails("'GetItem' is no action", "        - Statement: [{ Effect: Allow, Action: GetItem, Resource: '*' }]\n")
        fails("needs Resource or NotResource", "        - Statement: [{ Effect: Allow, Action: a:b }]\n")
        has_problem("Role arn:aws:iam::1:role/x is no role of this template", fn "      Role: arn:aws:iam::1:role/x\n")
        has_problem("Policies has no effect beside Role", fn "      Role: arn:aws:iam::1:role/x\n      Policies: []\n")
    end)
end)

describe("CORS", function()
    it("is read from Globals, HttpApi and Api", function()
        local app = load("Globals: { HttpApi: { CorsConfiguration: { AllowOrigins: ['https://a', 'https://b'], AllowMethods: [GET, POST], MaxAge: 600, AllowCredentials: true } } }\n" .. fn())
        assert.same({ origins = { "https://a", "https://b" }, methods = "GET, POST", headers = "", expose = "", max_age = 600, credentials = true, rest = false }, app.cors)
        app = load(fn() .. [[
  Api: { Type: AWS::Serverless::Api, Properties: { StageName: v1, Cors: { AllowOrigin: "'*'", AllowMethods: "'GET,POST'", AllowHeaders: "'X-A, X-B'", MaxAge: "'5'" } } }
]])
        assert.same({ origins = { "*" }, methods = "GET, POST", headers = "X-A, X-B", expose = "", max_age = 5, credentials = false, rest = true }, app.cors)
        app = load(fn() .. "  Api: { Type: AWS::Serverless::HttpApi, Properties: { CorsConfiguration: true } }\n")
        assert.same({ "*" }, app.cors.origins)
        assert.same({ { }, -1 }, { load(fn()).cors.origins, load(fn()).cors.max_age })
    end)

    it("is checked", function()
        has_problem("AllowCredentials cannot go with the origin '*'", "Globals: { HttpApi: { CorsConfiguration: { AllowOrigins: ['*'], AllowCredentials: true } } }\n" .. fn())
        has_problem("Globals.HttpApi.CorsConfiguration.AllowOrigin: is not supported", "Globals: { HttpApi: { CorsConfiguration: { AllowOrigin: '*' } } }\n" .. fn())
        has_problem("MaxAge must be a number of seconds", "Globals: { HttpApi: { CorsConfiguration: { AllowOrigins: ['*'], MaxAge: soon } } }\n" .. fn())
    end)
end)

describe("the document", function()
    it("is refused when it cannot be read", function()
        local app, list = t.load "/tmp/no/such/template.yaml"
        assert.is_nil(app)
        assert.same({ "cannot open /tmp/no/such/template.yaml: No such file or directory" }, list)
        assert.matches("^4: ", problems("a: 1\nb: [")[1])
        has_problem("1: the template must be a map", "[Transform]")
        has_problem("3: duplicate key 'Resources' (first in line 2)", "Resources: {}\nResources: {}\n")
    end)

    it("name a resource of an unknown type once, not those that refer to it", function()
        local list = problems("Resources:\n  X: { Type: AWS::S3::Buckt }\n  F:\n" .. FUNCTION ..
            "      Environment: { Variables: { A: !Ref X, B: !GetAtt X.Arn, C: !Sub '${X.Arn}/*' } }\n")
        assert.equal(1, #list, table.concat(list, "\n"))
        assert.matches("3: Resources.X: Type AWS::S3::Buckt is not supported", list[1], 1, true)
    end)

    it("names every problem at once, in the order of lines", function()
        local list = problems [[
Transform: AWS::Serverless-2016-10-31
Rules: {}
Resources:
  A: { Type: AWS::Lambda::Function }
  B: { Typ: x }
  C: { Type: AWS::S3::Bucket, DependsOn: Z, Properties: { Colour: red } }
  D: { Type: AWS::SQS::Queue, Condition: Nope, UpdatePolicy: {} }
Outputs:
  O: { Value: !Ref Missing, Extra: 1 }
  P: { Description: nothing }
]]
        local lines = {}
        for i, s in ipairs(list) do lines[i] = tonumber(s:match "^%d+") end
        local sorted = { table.unpack(lines) }
        table.sort(sorted)
        assert.same(sorted, lines)
        local all = table.concat(list, "\n")
        for _, s in ipairs {
            "2: Rules: is not supported", "4: Resources.A: Type AWS::Lambda::Function is not supported", "5: Resources.B.Typ: is not supported",
            "5: Resources.B: needs a Type", "6: Resources.C: DependsOn: there is no resource Z", "6: Resources.C.Properties.Colour: is not supported",
            "7: Resources.D: there is no condition Nope", "7: Resources.D.UpdatePolicy: is not supported",
            "9: Outputs.O.Value: refers to Missing", "9: Outputs.O.Extra: is not supported", "10: Outputs.P: needs a Value",
        } do
            assert.matches(s, all, 1, true)
        end
    end)

    it("needs the SAM transform and resources", function()
        has_problem("Transform: AWS::LanguageExtensions is not supported", "Transform: AWS::LanguageExtensions\n" .. fn())
        has_problem("Resources: is missing", "Description: x\n")
    end)

    it("names secrets that must be set off loopback", function()
        local text = "Metadata: { Perigee: { RequireOffLoopback: [P, Q] } }\nParameters: { P: { Type: String, Default: '' }, Q: { Type: String, Default: '' } }\n" .. fn()
        assert.same({ "P", "Q" }, load(text).unset_secrets)
        assert.same({ "Q" }, load(text, { P = "x" }).unset_secrets)
        has_problem("Metadata.Perigee.RequireOffLoopback: there is no parameter R", (text:gsub("%[P, Q%]", "[R]")))
        has_problem("Metadata.Perigee.Other: is not supported", (text:gsub("RequireOffLoopback", "Other")))
    end)

    it("survives any cut", function()
        local f <close> = assert(io.open("config/template.yaml", "rb"))
        local whole = f:read "a"
        for n = 1, #whole, 97 do
            local path = write(whole:sub(1, n))
            local app, list = t.load(path)
            assert.is_true(app ~= nil or #list > 0)
            os.remove(path)
        end
    end)

    it("names the table in which replicas agree on schedules", function()
        local text = [[
Metadata: { Perigee: { LeaseTable: Tab } }
Resources:
  Tab: { Type: AWS::Serverless::SimpleTable }
  Num: { Type: AWS::Serverless::SimpleTable, Properties: { PrimaryKey: { Name: id, Type: Number } } }
]]
        assert.equal("Tab", load(text).lease_table)
        assert.equal("Tab", load((text:gsub("LeaseTable: Tab", "LeaseTable: !Ref Tab"))).lease_table)
        assert.equal("", load((text:gsub("^.-\n", ""))).lease_table)
        has_problem("2: Metadata.Perigee.LeaseTable: must be the logical id of a table", (text:gsub("LeaseTable: Tab", "LeaseTable: Q")))
        has_problem("Metadata.Perigee.LeaseTable: table Num (line 5) must have one key, a HASH key of type S",
            (text:gsub("LeaseTable: Tab", "LeaseTable: Num")))
    end)
end)

describe("names of a deployment", function()
    local stores = [[
Resources:
  Orders: { Type: AWS::Serverless::SimpleTable }
  Named: { Type: AWS::Serverless::SimpleTable, Properties: { TableName: own-name } }
  Events: { Type: AWS::SQS::Queue, Properties: { RedrivePolicy: { deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3 } } }
  Dead: { Type: AWS::SQS::Queue }
  Files: { Type: AWS::S3::Bucket }
  F:
]] .. FUNCTION .. [[
      Environment: { Variables: { T: !Ref Orders, U: !Ref Events, S: !Ref "AWS::StackName", X: !Ref "AWS::URLSuffix", D: !GetAtt Files.RegionalDomainName } }
      Policies:
        - SQSSendMessagePolicy: { QueueName: !GetAtt Events.QueueName }
        - Statement: { Effect: Allow, Action: "dynamodb:GetItem", Resource: !GetAtt Orders.Arn }
]]
    local deployed = {
        region = "cn-north-1", account = "123456789012", partition = "aws-cn", stack = "shop",
        queue_base = "https://sqs.cn-north-1.amazonaws.com.cn/123456789012",
        names = { { "Orders", "shop-Orders-1A" }, { "Named", "shop-Named-2B" }, { "Events", "shop-Events-3C" }, { "Dead", "shop-Dead-4D" },
            { "Files", "shop-files-5e" }, { "FRole", "shop-FRole-6F" } },
    }

    it("stand wherever the template refers to a resource", function()
        local app = load(stores, {}, deployed)
        assert.equal("shop-Orders-1A", app.tables[1].name)
        assert.equal("Orders", app.tables[1].logical_id)
        assert.matches('"TableName":"shop-Orders-1A"', app.tables[1].create, 1, true)
        assert.same({ "shop-Dead-4D", "shop-Events-3C", "shop-Dead-4D" }, { app.queues[1].name, app.queues[2].name, app.queues[2].dead_letter })
        assert.equal("shop-files-5e", app.buckets[1].name)
        local env = app.functions.F.env
        assert.equal("shop-Orders-1A", env.T)
        assert.equal("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/shop-Events-3C", env.U)
        assert.same({ "shop", "amazonaws.com.cn", "shop-files-5e.s3.cn-north-1.amazonaws.com.cn" }, { env.S, env.X, env.D })
        local policy = app.functions.F.policy
        assert.same({ "arn:aws-cn:sqs:cn-north-1:123456789012:shop-Events-3C" }, policy[1].resources)
        assert.same({ "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/shop-Orders-1A" }, policy[2].resources)
    end)

    it("give way to the template's own", function()
        assert.equal("own-name", load(stores, {}, deployed).tables[2].name)
        assert.equal("own-name", load(stores, {}, { asked = { { "Named", "own-name" } } }).tables[2].name)
        has_problem("--resources: Named has the TableName 'own-name' in the template", stores, {}, { asked = { { "Named", "other" } } })
    end)

    it("that are asked for must be of tables, queues or buckets", function()
        has_problem("--resources: Order is no table, queue or bucket of this template", stores, {}, { asked = { { "Order", "x" } } })
        has_problem("--resources: F is no table, queue or bucket of this template", stores, {}, { asked = { { "F", "x" } } })
        assert.equal("mine", load(stores, {}, { asked = { { "Orders", "mine" } }, names = { { "Orders", "stack" } } }).tables[1].name)
    end)

    it("default to those of the embedded engine", function()
        local env = load(stores).functions.F.env
        assert.same({ "Orders", "https://sqs.us-east-1.amazonaws.com/000000000000/Events", "perigee", "amazonaws.com" }, { env.T, env.U, env.S, env.X })
    end)
end)

describe("function URLs", function()
    local function url(more) return fn("      FunctionUrlConfig:\n" .. more) end

    it("are known, and whether they stream", function()
        local f = load(fn()).functions.F
        assert.same({ false, false }, { f.url, f.stream })
        f = load(url "        AuthType: NONE\n        Cors: true\n").functions.F
        assert.same({ true, false }, { f.url, f.stream })
        f = load(url "        AuthType: AWS_IAM\n        InvokeMode: RESPONSE_STREAM\n").functions.F
        assert.same({ true, true }, { f.url, f.stream })
    end)

    it("are refused when they are wrong", function()
        has_problem("9: Resources.F.Properties.FunctionUrlConfig: needs an AuthType", url "        InvokeMode: BUFFERED\n")
        has_problem("AuthType JWT is not AWS_IAM or NONE", url "        AuthType: JWT\n")
        has_problem("InvokeMode STREAM is not BUFFERED or RESPONSE_STREAM", url "        AuthType: NONE\n        InvokeMode: STREAM\n")
        has_problem("FunctionUrlConfig", fn "      FunctionUrlConfig: 5\n")
        has_problem("Invoke", url "        AuthType: NONE\n        Invoke: x\n")
    end)
end)
