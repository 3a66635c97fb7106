--- perigee test --target aws: the application is what is deployed. Requests go to the stack's API, or to --target-url; what tests
--- look at is read by AWS calls with the credentials of the chain (AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL and the rest, as for
--- `perigee serve --aws`). Lambda works off the queues by itself: a drain waits until they are empty.
local http = require "perigee.http"
local queues = require "perigee.target_queues"
local target = require "perigee.target"
local time = require "perigee.time"

local target_aws = { name = "aws", can = { administrator = true, permissions = true, freshness = target.option "WIPE" ~= nil } }

local WAIT_MS, LOOK_MS = 180000, 250

---@class perigee.target.Aws
---@field world { url: string, inside: table, names: table }
local Aws = {}
Aws.__index = Aws

-- ==== requests and looks ====================================================================================================

function Aws:request(request)
  if request.remote_ip and request.remote_ip ~= "127.0.0.1" then
    target.cannot("requests of other addresses (" .. request.remote_ip .. ") cannot be made from here")
  end
  local headers = {}
  for name, value in pairs(request.headers or {}) do
    if name:lower() ~= "host" then headers[name] = value end -- the API's own
  end
  local answer = target.fetch(self.world.url .. request.target,
    { method = request.method, headers = headers, body = request.body })
  return { status = answer.status, headers = answer.headers, body = answer.body }
end

---A link leads where it says.
function Aws.cloud(_, request)
  local answer, err = http.fetch(request.url, { method = request.method, timeout_ms = 60000, max_body = 64 << 20 })
  if not answer then return nil, err end
  return { status = answer.status, headers = answer.headers, body = answer.body }
end

function Aws:aws(service, action, params, body) return self.world.inside:aws(service, action, params, body) end

---Tables, queues and buckets by the names they have where they are deployed.
function Aws:inspect() return self.world.names end

function Aws:functions() return self.world.inside:functions() end
function Aws:queues() return self.world.inside:queues() end
function Aws.now() return time.now() end

---Waits until the functions' queues are empty, twice in a row: their numbers are approximate.
---@param max_ms integer?
function Aws:drain(max_ms)
  local ends, empty = time.monotonic() + math.min(max_ms or WAIT_MS, WAIT_MS), 0
  repeat
    local left = queues.backlog(self)
    empty = left == 0 and empty + 1 or 0
    if empty == 2 then return true end
    if time.monotonic() > ends then return nil, queues.left(left) end
    time.sleep(LOOK_MS)
  until false
end

-- ==== an empty stack, for those who ask for it ==============================================================================

local function call(self, service, action, params)
  local out, err = self.world.inside:aws(service, action, params)
  if not out then error(("--wipe: %s:%s: %s"):format(service, action, tostring(err)), 0) end
  return out
end

local function wipe_table(self, declared)
  local names, words = {}, {}
  for i, key in ipairs(declared.create.KeySchema) do names["#" .. i], words[i] = key.AttributeName, "#" .. i end
  local from
  repeat
    local page = call(self, "dynamodb", "Scan", { TableName = declared.name, ConsistentRead = true, ExclusiveStartKey = from,
      ProjectionExpression = table.concat(words, ","), ExpressionAttributeNames = names })
    for _, key in ipairs(page.Items) do call(self, "dynamodb", "DeleteItem", { TableName = declared.name, Key = key }) end
    from = page.LastEvaluatedKey
  until not from
end

-- PurgeQueue is allowed once a minute, and takes one.
local function wipe_queue(self, declared)
  local url = call(self, "sqs", "GetQueueUrl", { QueueName = declared.name }).QueueUrl
  repeat
    local got = call(self, "sqs", "ReceiveMessage", { QueueUrl = url, MaxNumberOfMessages = 10 }).Messages or {}
    for _, message in ipairs(got) do
      call(self, "sqs", "DeleteMessage", { QueueUrl = url, ReceiptHandle = message.ReceiptHandle })
    end
  until #got == 0
end

local function wipe_bucket(self, declared)
  repeat
    local page = call(self, "s3", "ListObjectsV2", { Bucket = declared.name })
    for _, object in ipairs(page.Contents or {}) do
      call(self, "s3", "DeleteObject", { Bucket = declared.name, Key = object.Key })
    end
  until not page.IsTruncated
end

local function wipe(self)
  self:drain()
  local names = self.world.names
  for _, declared in ipairs(names.queues) do wipe_queue(self, declared) end
  for _, declared in ipairs(names.tables) do wipe_table(self, declared) end
  for _, declared in ipairs(names.buckets) do wipe_bucket(self, declared) end
end

function Aws.close(_) end

-- ==== opening ===============================================================================================================

local function member(v) return type(v) == "table" and v.member or v or {} end

-- The stack's output ApiUrl.
local function api_url(inside, stack)
  local out, err = inside:aws("cloudformation", "DescribeStacks", { StackName = stack })
  if not out then error(("--stack %s: %s"):format(stack, tostring(err)), 0) end
  for _, output in ipairs(member((member(out.Stacks)[1] or {}).Outputs)) do
    if output.OutputKey == "ApiUrl" then return output.OutputValue end
  end
  error(("--stack %s: it has no output ApiUrl; --target-url says where the API is"):format(stack), 0)
end

local function start(options)
  local stack, host = target.option "STACK", require "perigee.host"
  if not stack and not target.option "URL" then
    error("--target aws: --stack NAME or --target-url URL says where the API is", 0)
  end
  local where = { template = options.template, aws = true, stack = stack, clock = false }
  local inside, err = host.open(where)
  if not inside then error(tostring(err), 0) end
  local names = host.inspect(where)
  if names.deployment_error then error(names.deployment_error, 0) end
  local url = target.option "URL" or api_url(inside, stack)
  return { url = url:gsub("/+$", ""), inside = inside, names = names }
end

local shared -- the deployment

---@param options perigee.TestOptions
function target_aws.open(options)
  if options.data then return target.refuse "a data directory of the test's own is not to be had on AWS" end
  if next(options.parameters or {}) then return target.refuse "the stack was deployed with parameters of its own" end
  shared = shared or start(options)
  local self = setmetatable({ world = shared }, Aws)
  if target.option "WIPE" then wipe(self) end
  return self
end

return target_aws
