--- perigee.aws: AWS services from handlers.
--
-- Every operation of the engine is a method in snake_case that takes one table with the parameters of AWS's API reference
-- and returns the result table, or nil and an error:
--
--     local out, err = aws.dynamodb:get_item{ TableName = "Orders", Key = { order_id = id } }
--     if not out then return nil, err end          -- err.code == "ResourceNotFoundException", err.retryable, tostring(err)
--     local order = out.Item                       -- plain Lua values, or nil
--
-- DynamoDB items, keys and expression values are plain Lua values both ways:
--     string S · integer and float N · boolean BOOL · json.null NULL · sequence or json.array L · other tables M ·
--     aws.set{...} SS/NS/BS · aws.binary(bytes) B · aws.number("38 digits") N
--   Numbers come back as integers, as floats when those are exact, else as aws.number objects (tostring, ==, <, :float()).
--   An empty table without a mark is a map; json.array{} is an empty list.
-- S3 object bytes travel as Body. A missing method raises and names what is near.
local core = require "perigee.aws.core"

---@class perigee.aws.Set
---@field contains fun(self: perigee.aws.Set, value: any): boolean
---@field values fun(self: perigee.aws.Set): any[]

---@class perigee.aws.Number
---@field float fun(self: perigee.aws.Number): number

---@class perigee.aws.Binary
---@field bytes fun(self: perigee.aws.Binary): string

---@alias perigee.aws.Operation fun(self: table, params: table?): table?, perigee.Error?

---@class perigee.aws.DynamoDB
---@field create_table perigee.aws.Operation
---@field describe_table perigee.aws.Operation
---@field list_tables perigee.aws.Operation
---@field update_time_to_live perigee.aws.Operation
---@field describe_time_to_live perigee.aws.Operation
---@field put_item perigee.aws.Operation
---@field get_item perigee.aws.Operation
---@field update_item perigee.aws.Operation
---@field delete_item perigee.aws.Operation
---@field query perigee.aws.Operation
---@field scan perigee.aws.Operation
---@field batch_get_item perigee.aws.Operation
---@field batch_write_item perigee.aws.Operation
---@field transact_write_items perigee.aws.Operation
---@field transact_get_items perigee.aws.Operation

---@class perigee.aws.SQS
---@field create_queue perigee.aws.Operation
---@field get_queue_url perigee.aws.Operation
---@field list_queues perigee.aws.Operation
---@field get_queue_attributes perigee.aws.Operation
---@field set_queue_attributes perigee.aws.Operation
---@field send_message perigee.aws.Operation
---@field send_message_batch perigee.aws.Operation
---@field receive_message perigee.aws.Operation
---@field delete_message perigee.aws.Operation
---@field delete_message_batch perigee.aws.Operation
---@field change_message_visibility perigee.aws.Operation
---@field change_message_visibility_batch perigee.aws.Operation
---@field purge_queue perigee.aws.Operation

---@class perigee.aws.S3
---@field create_bucket perigee.aws.Operation
---@field head_bucket perigee.aws.Operation
---@field list_buckets perigee.aws.Operation
---@field put_object perigee.aws.Operation
---@field get_object perigee.aws.Operation
---@field head_object perigee.aws.Operation
---@field delete_object perigee.aws.Operation
---@field list_objects_v2 perigee.aws.Operation

---@class perigee.aws.SES
---@field send_email perigee.aws.Operation

---@class perigee.aws.STS
---@field get_caller_identity perigee.aws.Operation

local services = core.services()

---@class perigee.aws
---@field dynamodb perigee.aws.DynamoDB
---@field sqs perigee.aws.SQS
---@field s3 perigee.aws.S3
---@field ses perigee.aws.SES
---@field sts perigee.aws.STS
local aws = {
  dynamodb = services.dynamodb,
  sqs = services.sqs,
  s3 = services.s3,
  ses = services.ses,
  sts = services.sts,
  --- A DynamoDB set of strings, numbers or aws.binary values.
  ---@type fun(values: any[]): perigee.aws.Set
  set = core.set,
  --- Bytes (DynamoDB type B).
  ---@type fun(bytes: string): perigee.aws.Binary
  binary = core.binary,
  --- A decimal number that keeps its digits (up to 38 are stored).
  ---@type fun(text: string|number): perigee.aws.Number
  number = core.number,
  --- value -> {S=...} and back: the shapes that aws.call speaks.
  marshal = core.marshal,
  unmarshal = core.unmarshal,
  --- call(service, Action, params[, body]): AWS's own JSON shapes, nothing marshalled.
  ---@type fun(service: string, action: string, params: table?, body: string?): table?, perigee.Error?
  call = core.call,
  --- identity() -> { region, account, partition }
  identity = core.identity,
}

-- ---- presigned links ----

local presign_options = { method = "string", Bucket = "string", Key = "string", ExpiresIn = "number" }

--- A link to one object that works for whoever holds it, for ExpiresIn seconds (300 unless given).
---@param options { method: "GET"|"HEAD"|"PUT"?, Bucket: string, Key: string, ExpiresIn: integer? }
---@return string? url, integer|perigee.Error expires_at_ms
function services.s3:presigned_url(options)
  assert(self == services.s3, "presigned_url is called with a colon: aws.s3:presigned_url{...}")
  assert(type(options) == "table", "presigned_url takes one table of parameters")
  for name, v in pairs(options) do
    local want = presign_options[name]
    if not want then error(("presigned_url: unknown parameter '%s'"):format(tostring(name)), 2) end
    if type(v) ~= want then error(("presigned_url: %s must be a %s"):format(name, want), 2) end
  end
  if not options.Bucket then error("presigned_url: Bucket is missing", 2) end
  if not options.Key then error("presigned_url: Key is missing", 2) end
  return core.presign(options.method or "GET", options.Bucket, options.Key, options.ExpiresIn or 300)
end

-- ---- pages ----

local function copy(t)
  local c = {}
  for k, v in pairs(t) do c[k] = v end
  return c
end

-- An iterator over the result pages of `method`. A failure raises the error object: a loop that just ended would hide it.
local function pages(service, method, params, next_out, next_in)
  if type(params) ~= "table" then error(method .. ": a table of parameters expected", 3) end
  local request, finished = copy(params), false
  return function()
    if finished then return nil end
    local page, err = service[method](service, request)
    if not page then error(err, 0) end
    request[next_in] = page[next_out]
    finished = page[next_out] == nil
    return page
  end
end

--- for page in aws.dynamodb:query_pages{...} do for _, item in ipairs(page.Items) do ... end end
function services.dynamodb:query_pages(params)
  return pages(self, "query", params, "LastEvaluatedKey", "ExclusiveStartKey")
end

function services.dynamodb:scan_pages(params)
  return pages(self, "scan", params, "LastEvaluatedKey", "ExclusiveStartKey")
end

function services.s3:list_objects_v2_pages(params)
  return pages(self, "list_objects_v2", params, "NextContinuationToken", "ContinuationToken")
end

-- ---- unknown names ----

-- Edit distance, for suggestions.
local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local best = math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
      diagonal, row[j] = row[j], best
    end
  end
  return row[#b]
end

local function near(names, name)
  local list = {}
  for candidate in pairs(names) do
    if type(candidate) == "string" then
      local d = distance(candidate, name)
      if d <= 4 or candidate:find(name, 1, true) then list[#list + 1] = { d, candidate } end
    end
  end
  table.sort(list, function(x, y) return x[1] < y[1] or (x[1] == y[1] and x[2] < y[2]) end)
  local found = {}
  for i = 1, math.min(3, #list) do found[i] = list[i][2] end
  return found
end

local function refuse_unknown(t, where)
  return setmetatable(t, {
    __index = function(_, name)
      local found = near(t, tostring(name))
      local hint = #found > 0 and ("; did you mean %s?"):format(table.concat(found, ", ")) or ""
      error(("%s has no '%s'%s"):format(where, tostring(name), hint), 2)
    end,
  })
end

for name, service in pairs(services) do refuse_unknown(service, "aws." .. name) end
return refuse_unknown(aws, "perigee.aws")
