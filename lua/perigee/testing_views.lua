--- What tests see of an app's cloud: app.dynamodb, app.s3, app.queues, app.mailbox. Tables, queues and buckets go by their
--- logical id in the template or by their physical name. These calls are nobody's but the test's: spies do not count them, faults
--- do not strike them, permissions do not stop them.
local dynamodb = require "perigee.dynamodb"
local json = require "perigee.json"
local mime = require "perigee.testing_mail"

local testing_views = {}

-- ==== names =================================================================================================================

---@class perigee.testing.Names what the template declares
---@field private app perigee.TestApp
local Names = {}
Names.__index = Names

-- By template, as it is now, and parameters: tests open the same one again and again.
local inspected = {}

local function source_of(path)
  local f <close> = assert(io.open(path))
  return f:read "a"
end

local function parameters_of(options)
  local given = {}
  for name, value in pairs(options.parameters or {}) do given[#given + 1] = name .. "=" .. tostring(value) end
  table.sort(given)
  return table.concat(given, ",")
end

local function inspect(app)
  if app:able "inspect" then return app:ask "inspect" end
  local template, parameters = app.options.template, parameters_of(app.options)
  local key = table.concat({ template, parameters, source_of(template) }, "\0")
  if not inspected[key] then
    inspected = { [key] = require "perigee.host".inspect { template = template, parameters = parameters } }
  end
  return inspected[key]
end

---@param kind "tables"|"queues"|"buckets"
---@return table[] each with name, logical_id, create
function Names:list(kind)
  self.all = self.all or inspect(self.app)
  return self.all[kind] or {}
end

---@param kind "tables"|"queues"|"buckets"
---@param given string
---@return table? declared
function Names:find(kind, given)
  local list = self:list(kind)
  for _, field in ipairs { "logical_id", "name" } do
    for _, one in ipairs(list) do
      if one[field] == given then return one end
    end
  end
end

function Names:known(kind)
  local names = {}
  for i, one in ipairs(self:list(kind)) do names[i] = one.logical_id end
  return table.concat(names, ", ")
end

---The physical name; what the template does not declare is taken as one.
function Names:of(kind, given)
  local declared = self:find(kind, given)
  return declared and declared.name or given
end

local NOT_THERE = { ResourceNotFoundException = "tables", QueueDoesNotExist = "queues", NoSuchBucket = "buckets",
  InvalidBucketName = "buckets", ["AWS.SimpleQueueService.NonExistentQueue"] = "queues" }

-- One call, as an administrator; nil for what `absent` names. Whoever errs in a name is told which there are.
local function call(view, service, action, params, body, absent)
  local out, err = view.app:ask("aws", service, action, params, body)
  if out then return out end
  if absent and (err.code == absent or err.status == 404 and not NOT_THERE[err.code]) then return nil end
  local kind = NOT_THERE[err.code]
  error(("%s:%s: %s%s"):format(service, action, tostring(err),
    kind and (" (the template declares %s %s)"):format(kind, view.names:known(kind)) or ""), 0)
end

-- ==== DynamoDB ==============================================================================================================

---@class perigee.testing.DynamoDB
---@field private app perigee.TestApp
---@field private names perigee.testing.Names
local DynamoDB = {}
DynamoDB.__index = DynamoDB

-- The names of a table's key, HASH first; of an index when given.
function DynamoDB:keys(name, index)
  local declared = self.names:find("tables", name)
  local schema = declared and declared.create
  for _, list in ipairs(index and schema and { "GlobalSecondaryIndexes", "LocalSecondaryIndexes" } or {}) do
    for _, one in ipairs(schema[list] or {}) do
      if one.IndexName == index then return one.KeySchema[1].AttributeName, (one.KeySchema[2] or {}).AttributeName end
    end
  end
  schema = not index and (schema or call(self, "dynamodb", "DescribeTable", { TableName = name }).Table)
  if not schema then error(("table %s has no index %s"):format(name, index), 0) end
  return schema.KeySchema[1].AttributeName, (schema.KeySchema[2] or {}).AttributeName
end

local function key_table(self, name, key)
  return type(key) == "table" and key or { [self:keys(name)] = key }
end

---The item of a key, or nil. key: { name = value, ... }; its value alone where the key is one attribute.
---@param name string table
---@param key table|string|integer
---@return table? item
function DynamoDB:get(name, key)
  local found = call(self, "dynamodb", "GetItem", { TableName = self.names:of("tables", name), ConsistentRead = true,
    Key = dynamodb.marshal_item(key_table(self, name, key)) })
  return found.Item and dynamodb.unmarshal_item(found.Item)
end

local function pages(self, action, params)
  local items = {}
  repeat
    local page = call(self, "dynamodb", action, params)
    for _, item in ipairs(page.Items) do items[#items + 1] = dynamodb.unmarshal_item(item) end
    params.ExclusiveStartKey = page.LastEvaluatedKey
  until not page.LastEvaluatedKey
  return items
end

local function is_same(a, b)
  if a == b or type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for name, value in pairs(a) do
    if not is_same(value, b[name]) then return false end
  end
  for name in pairs(b) do
    if a[name] == nil then return false end
  end
  return true
end

local function fits(item, where)
  for name, value in pairs(where or {}) do
    if not is_same(item[name], value) then return false end
  end
  return true
end

---Every item, or those with these values.
---@param name string table
---@param where table<string, any>? { status = "PAID" }
---@return table[] items
function DynamoDB:scan(name, where)
  if where ~= nil and type(where) ~= "table" then error("what items have is a table: { status = \"PAID\" }", 2) end
  local items = {}
  for _, item in ipairs(pages(self, "Scan", { TableName = self.names:of("tables", name), ConsistentRead = true })) do
    if fits(item, where) then items[#items + 1] = item end
  end
  return items
end

---The items of one partition, in the order of the sort key.
---@param name string table
---@param value any of the partition key
---@param options { index: string?, backwards: boolean? }?
---@return table[] items
function DynamoDB:query(name, value, options)
  options = options or {}
  for option in pairs(options) do
    if option ~= "index" and option ~= "backwards" then
      error(("app.dynamodb:query knows no option '%s'"):format(tostring(option)), 2)
    end
  end
  return pages(self, "Query", {
    TableName = self.names:of("tables", name), IndexName = options.index, ScanIndexForward = not options.backwards,
    KeyConditionExpression = "#key = :value", ExpressionAttributeNames = { ["#key"] = (self:keys(name, options.index)) },
    ExpressionAttributeValues = dynamodb.marshal_item { [":value"] = value },
  })
end

---@param name string table
---@param item table
function DynamoDB:put(name, item)
  call(self, "dynamodb", "PutItem", { TableName = self.names:of("tables", name), Item = dynamodb.marshal_item(item) })
end

---@param name string table
---@param key table|string|integer
function DynamoDB:delete(name, key)
  call(self, "dynamodb", "DeleteItem", { TableName = self.names:of("tables", name),
    Key = dynamodb.marshal_item(key_table(self, name, key)) })
end

---@param name string table
---@param where table<string, any>?
---@return integer
function DynamoDB:count(name, where) return #self:scan(name, where) end

-- ==== S3 ====================================================================================================================

---@class perigee.testing.S3
---@field private app perigee.TestApp
---@field private names perigee.testing.Names
local S3 = {}
S3.__index = S3

---The object's bytes and what GetObject says of it (ContentType, Metadata, ETag, ...); nil when there is none.
---@param bucket string
---@param key string
---@return string? bytes
---@return table? object
function S3:get(bucket, key)
  local got = call(self, "s3", "GetObject", { Bucket = self.names:of("buckets", bucket), Key = key }, nil, "NoSuchKey")
  if got then return got.Body or "", got end
end

---In their order.
---@param bucket string
---@param prefix string?
---@return string[]
function S3:keys(bucket, prefix)
  local keys, from = {}, nil
  repeat
    local page = call(self, "s3", "ListObjectsV2",
      { Bucket = self.names:of("buckets", bucket), Prefix = prefix, ContinuationToken = from })
    for _, object in ipairs(page.Contents or {}) do keys[#keys + 1] = object.Key end
    from = page.NextContinuationToken
  until not from
  return keys
end

---@param bucket string
---@param key string
---@param bytes string
---@param more table? further members of PutObject: ContentType, Metadata
function S3:put(bucket, key, bytes, more)
  local params = { Bucket = self.names:of("buckets", bucket), Key = key }
  for name, value in pairs(more or {}) do params[name] = value end
  call(self, "s3", "PutObject", params, bytes)
end

---@param bucket string
---@param key string
function S3:delete(bucket, key)
  call(self, "s3", "DeleteObject", { Bucket = self.names:of("buckets", bucket), Key = key })
end

-- ==== SQS ===================================================================================================================

---app.queues: its methods, and each queue by its name: app.queues.OrderEvents:count().
---@class perigee.testing.Queues
---@field [string] perigee.testing.Queue
---@field private app perigee.TestApp
---@field private names perigee.testing.Names
local Queues = {}

---One queue, with the methods of app.queues without their first argument.
---@class perigee.testing.Queue
---@field count fun(self): integer
---@field counts fun(self): { visible: integer, in_flight: integer, delayed: integer }
---@field peek fun(self): perigee.testing.Message[]
---@field receive fun(self): perigee.testing.Message[]
---@field send fun(self, body: table|string, attributes: table?, options: table?): string
---@field purge fun(self)
local Queue = {}

Queue.__index = function(queue, method)
  return Queues[method] and function(_, ...) return Queues[method](queue.of, queue.name, ...) end
end

Queues.__index = function(queues, key)
  if Queues[key] then return Queues[key] end
  local names = rawget(queues, "names")
  if names:find("queues", key) then return setmetatable({ of = queues, name = key }, Queue) end
  error(("the template declares no queue %s (but %s)"):format(tostring(key), names:known "queues"), 2)
end

local function url(queues, name)
  local urls = rawget(queues, "urls")
  if not urls[name] then
    urls[name] = call(queues, "sqs", "GetQueueUrl", { QueueName = queues.names:of("queues", name) }).QueueUrl
  end
  return urls[name]
end

local ALL = json.array { "All" }

---Messages that can be received, that somebody works on, and that are delayed.
---@param name string queue
---@return { visible: integer, in_flight: integer, delayed: integer }
function Queues:counts(name)
  local got = call(self, "sqs", "GetQueueAttributes", { QueueUrl = url(self, name), AttributeNames = ALL }).Attributes
  local function of(which) return math.tointeger(tonumber(got["ApproximateNumberOfMessages" .. which] or 0)) end
  return { visible = of "", in_flight = of "NotVisible", delayed = of "Delayed" }
end

---All of them together.
---@param name string queue
---@return integer
function Queues:count(name)
  local n = self:counts(name)
  return n.visible + n.in_flight + n.delayed
end

---@class perigee.testing.Message
---@field id string
---@field body string
---@field json any the decoded body, when it is JSON
---@field receive_count integer
---@field attributes table<string, string> of the message, by name
---@field raw table as ReceiveMessage gives it

local function message_of(raw)
  local attributes = {}
  for name, value in pairs(raw.MessageAttributes or {}) do attributes[name] = value.StringValue or value.BinaryValue end
  return { id = raw.MessageId, body = raw.Body, json = (json.decode(raw.Body)), attributes = attributes, raw = raw,
    receive_count = math.tointeger(tonumber((raw.Attributes or {}).ApproximateReceiveCount)) or 0 }
end

-- All visible messages, which are deleted: else those behind the first ones of a FIFO group stayed out of sight.
local function take(queues, name)
  local messages = {}
  repeat
    local got = call(queues, "sqs", "ReceiveMessage", { QueueUrl = url(queues, name), MaxNumberOfMessages = 10,
      WaitTimeSeconds = 0, AttributeNames = ALL, MessageAttributeNames = ALL, VisibilityTimeout = 43200 }).Messages or {}
    for _, raw in ipairs(got) do
      messages[#messages + 1] = message_of(raw)
      call(queues, "sqs", "DeleteMessage", { QueueUrl = url(queues, name), ReceiptHandle = raw.ReceiptHandle })
    end
  until #got == 0
  return messages
end

---The visible messages as they are: nothing of them changes, also not how often they were received.
---@param name string queue
---@return perigee.testing.Message[]
function Queues:peek(name)
  local before <close> = self.app:snapshot()
  local messages = self.app.clock:as_reached(function() return take(self, name) end)
  for _, message in ipairs(messages) do message.receive_count = message.receive_count - 1 end
  self.app:restore(before, true)
  return messages
end

---Takes the visible messages out of a queue.
---@param name string queue
---@return perigee.testing.Message[]
function Queues:receive(name)
  return self.app.clock:as_reached(function() return take(self, name) end)
end

---Empties a queue: also of messages that somebody works on or that are delayed.
---@param name string queue
function Queues:purge(name)
  local ok, err = self.app:ask("aws", "sqs", "PurgeQueue", { QueueUrl = url(self, name) })
  if ok then return end
  local again = type(err) == "table" and tostring(err.code):find "PurgeQueueInProgress" -- AWS does it once a minute
  if again then self:receive(name) end
  if not again or self:count(name) > 0 then error(("sqs:PurgeQueue: %s"):format(tostring(err)), 0) end
end

local function attribute(value)
  if type(value) == "table" then return value end
  return { DataType = type(value) == "number" and "Number" or "String", StringValue = tostring(value) }
end

local SENDING = { delay = "DelaySeconds", group = "MessageGroupId", deduplication = "MessageDeduplicationId" }

---@param name string queue
---@param body table|string a table is sent as JSON
---@param attributes table<string, string|number|table>?
---@param options { delay: integer?, group: string?, deduplication: string? }? delay in seconds
---@return string id of the message
function Queues:send(name, body, attributes, options)
  if type(body) == "table" then body = json.encode(body) end
  local params = { QueueUrl = url(self, name), MessageBody = body }
  for key, value in pairs(attributes or {}) do
    params.MessageAttributes = params.MessageAttributes or {}
    params.MessageAttributes[key] = attribute(value)
  end
  for key, value in pairs(options or {}) do
    params[SENDING[key] or error("queues:send knows no option " .. tostring(key), 2)] = value
  end
  return call(self, "sqs", "SendMessage", params).MessageId
end

-- ==== mail ==================================================================================================================

---Mail that SES accepted, oldest first.
---@class perigee.testing.Mailbox
---@field private app perigee.TestApp
local Mailbox = {}
Mailbox.__index = Mailbox

---@class perigee.testing.Mail
---@field MessageId string
---@field Timestamp string|integer
---@field Source string
---@field Destination string[]
---@field Subject string
---@field Raw string the MIME text
---@field headers table<string, string> names in lower case
---@field text string?
---@field html string?
---@field attachments perigee.testing.Attachment[]

local READ = { headers = true, text = true, html = true, attachments = true }
local Mail = {}
function Mail.__index(mail, name)
  if not READ[name] then return nil end
  for key, value in pairs(mime.read(mail.Raw)) do rawset(mail, key, value) end
  return rawget(mail, name)
end

---@return perigee.testing.Mail[]
function Mailbox:all()
  local mails = assert(self.app:ask "mailbox")
  for _, mail in ipairs(mails) do
    mail.Subject = mime.words(mail.Subject or "")
    setmetatable(mail, Mail)
  end
  return mails
end

---Those to an address, in any case of its letters.
---@param address string
---@return perigee.testing.Mail[]
function Mailbox:to(address)
  local found = {}
  for _, mail in ipairs(self:all()) do
    for _, to in ipairs(mail.Destination) do
      if to:lower() == address:lower() then
        found[#found + 1] = mail
        break
      end
    end
  end
  return found
end

---The newest one, or nil.
---@return perigee.testing.Mail?
function Mailbox:last()
  local all = self:all()
  return all[#all]
end

---@return integer
function Mailbox:count() return #self:all() end

---Gives an app its views.
---@param app perigee.TestApp
function testing_views.attach(app)
  local names = setmetatable({ app = app }, Names)
  app.names = names
  app.dynamodb = setmetatable({ app = app, names = names }, DynamoDB)
  app.s3 = setmetatable({ app = app, names = names }, S3)
  app.queues = setmetatable({ app = app, names = names, urls = {} }, Queues)
  app.mailbox = setmetatable({ app = app }, Mailbox)
end

return testing_views
