-- A small application for the specs of perigee.testing: notes that are taken, worked on by a queue, and swept by a schedule.
local directory = require "unit.directory"

local TEMPLATE = [[
Transform: AWS::Serverless-2016-10-31
Parameters:
  Greeting: { Type: String, Default: Hello }
Globals:
  Function:
    CodeUri: .
    Runtime: provided.al2023
    Timeout: 10
    MemorySize: 512
    Environment:
      Variables: { NOTES: !Ref Notes, WORK: !Ref Work, FILES: !Ref Files, GREETING: !Ref Greeting }
    Policies:
      - DynamoDBCrudPolicy: { TableName: !Ref Notes }
      - SQSSendMessagePolicy: { QueueName: !GetAtt Work.QueueName }
      - S3CrudPolicy: { BucketName: !Ref Files }
      - Statement: [{ Effect: Allow, Action: "ses:SendEmail", Resource: "*" }]
Resources:
  Take:
    Type: AWS::Serverless::Function
    Properties:
      Handler: notes.take
      Events: { Post: { Type: HttpApi, Properties: { Method: POST, Path: /notes } } }
  TakeBoth:
    Type: AWS::Serverless::Function
    Properties:
      Handler: notes.take_both
      Policies: [DynamoDBCrudPolicy: { TableName: !Ref Notes }, DynamoDBCrudPolicy: { TableName: !Ref Parts }]
      Environment: { Variables: { PARTS: !Ref Parts } }
      Events: { Post: { Type: HttpApi, Properties: { Method: POST, Path: /parts } } }
  Show:
    Type: AWS::Serverless::Function
    Properties:
      Handler: notes.show
      Events: { Get: { Type: HttpApi, Properties: { Method: ANY, Path: "/notes/{id}" } } }
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Handler: notes.work
      Events: { Queue: { Type: SQS, Properties: { Queue: !GetAtt Work.Arn, FunctionResponseTypes: [ReportBatchItemFailures] } } }
  Sweep:
    Type: AWS::Serverless::Function
    Properties:
      Handler: notes.sweep
      Events: { Clock: { Type: Schedule, Properties: { Schedule: rate(1 hour) } } }
  Notes:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: id, AttributeType: S }, { AttributeName: owner, AttributeType: S }]
      KeySchema: [{ AttributeName: id, KeyType: HASH }]
      GlobalSecondaryIndexes:
        - IndexName: by_owner
          KeySchema: [{ AttributeName: owner, KeyType: HASH }]
          Projection: { ProjectionType: ALL }
  Parts:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: note-parts
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: id, AttributeType: S }, { AttributeName: n, AttributeType: N }]
      KeySchema: [{ AttributeName: id, KeyType: HASH }, { AttributeName: n, KeyType: RANGE }]
  Work:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 60
      RedrivePolicy: { deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3 }
  Dead:
    Type: AWS::SQS::Queue
  Rows:
    Type: AWS::SQS::Queue
    Properties: { FifoQueue: true, QueueName: rows.fifo }
  Files:
    Type: AWS::S3::Bucket
]]

local HANDLERS = [[
local aws = require "perigee.aws"
local http = require "perigee.http"
local json = require "perigee.json"

local heard = 0 -- in this process

local function put(note) assert(aws.dynamodb:put_item { TableName = os.getenv "NOTES", Item = note }) end

local function take(request, context)
  local note = request:json()
  heard = heard + 1
  note.status, note.heard, note.at = "TAKEN", heard, os.time()
  put(note)
  assert(aws.sqs:send_message { QueueUrl = os.getenv "WORK", MessageBody = json.encode { id = note.id, mail = note.mail } })
  if note.later then context:after(function() put { id = note.id .. "-later", status = "LATER" } end) end
  return http.json(200, { id = note.id, heard = heard, greeting = os.getenv "GREETING" })
end

local function take_both(request)
  local id = request:json().id
  assert(aws.dynamodb:transact_write_items { TransactItems = json.array {
    { Put = { TableName = os.getenv "NOTES", Item = { id = id } } }, { Put = { TableName = os.getenv "PARTS", Item = { id = id, n = 1 } } } } })
  return http.ok { id = id }
end

local function show(request)
  local found = assert(aws.dynamodb:get_item { TableName = os.getenv "NOTES", Key = { id = request.path_params.id } })
  return http.json(found.Item and 200 or 404, { note = found.Item, method = request.method, query = request.query, ip = request.source_ip })
end

local function work(message)
  local order = assert(message:json())
  if order.bad then error("this note is bad") end
  assert(aws.s3:put_object { Bucket = os.getenv "FILES", Key = order.id .. ".txt", Body = "note " .. order.id, ContentType = "text/plain" })
  put { id = order.id, status = "DONE", color = message.attributes.color }
  if order.mail then
    assert(aws.ses:send_email { FromEmailAddress = "notes@example.org", Destination = { ToAddresses = json.array { order.mail } },
      Content = { Simple = { Subject = { Data = "Note " .. order.id .. " é" }, Body = { Text = { Data = "It is done." } } } } })
  end
end

local function get(id)
  return assert(aws.dynamodb:get_item { TableName = os.getenv "NOTES", Key = { id = id }, ConsistentRead = true }).Item
end

-- What "late" asks for is done at the second run; "noisy" is never done; "broken" breaks.
local function sweep()
  local late, noisy = get "late", get "noisy"
  if get "broken" then error("the broom is broken") end
  if late and late.status ~= "SWEPT" then
    put { id = "late", status = late.status == "SEEN" and "SWEPT" or "SEEN" }
  end
  if noisy then put { id = "noisy", n = noisy.n + 1 } end
end

return { take = take, take_both = take_both, show = show, work = work, sweep = sweep }
]]

---Writes the application for as long as the describe block that calls this; the template's path.
return function(env)
  return directory(env, { ["template.yaml"] = TEMPLATE, ["notes.lua"] = HANDLERS }) .. "/template.yaml"
end
