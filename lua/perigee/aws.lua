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
-- S3 object bytes travel as Body; as files with put_object{ BodyFile = path } and get_object{ ToFile = path }: then they
-- are never in memory as a whole. Handlers name files by paths below the host's scratch directory.
-- A missing method raises and names what is near. aws.call reaches every other operation, and other services.
local core = require "perigee.aws.core"
local json = require "perigee.json"
local time = require "perigee.time"

---@class perigee.aws.Set
---@field contains fun(self: perigee.aws.Set, value: any): boolean
---@field values fun(self: perigee.aws.Set): any[]

---@class perigee.aws.Number
---@field float fun(self: perigee.aws.Number): number

---@class perigee.aws.Binary
---@field bytes fun(self: perigee.aws.Binary): string

---@alias perigee.aws.Operation fun(self: table, params: table?): table?, perigee.Error?
--- An iterator over result pages; a page that fails raises its error.
---@alias perigee.aws.Pages fun(self: table, params: table?): fun(): table?
--- Asks again and again, with WaiterConfig = { Delay = seconds, MaxAttempts = n } in params: true, or nil and an error.
---@alias perigee.aws.Waiter fun(self: table, params: table): boolean?, perigee.Error?

---@class perigee.aws.DynamoDB
---@field create_table perigee.aws.Operation
---@field describe_table perigee.aws.Operation
---@field list_tables perigee.aws.Operation
---@field update_table perigee.aws.Operation
---@field delete_table perigee.aws.Operation
---@field tag_resource perigee.aws.Operation
---@field untag_resource perigee.aws.Operation
---@field list_tags_of_resource perigee.aws.Operation
---@field describe_limits perigee.aws.Operation
---@field describe_endpoints perigee.aws.Operation
---@field describe_continuous_backups perigee.aws.Operation
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
---@field query_pages perigee.aws.Pages
---@field scan_pages perigee.aws.Pages
---@field list_tables_pages perigee.aws.Pages
---@field batch_write_all fun(self: table, params: table): boolean?, perigee.Error?
---@field batch_get_all fun(self: table, params: table): { Responses: table<string, table[]> }?, perigee.Error?
---@field wait_until_table_exists perigee.aws.Waiter
---@field wait_until_table_not_exists perigee.aws.Waiter

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
---@field delete_queue perigee.aws.Operation
---@field list_dead_letter_source_queues perigee.aws.Operation
---@field tag_queue perigee.aws.Operation
---@field untag_queue perigee.aws.Operation
---@field list_queue_tags perigee.aws.Operation
---@field start_message_move_task perigee.aws.Operation
---@field list_message_move_tasks perigee.aws.Operation
---@field cancel_message_move_task perigee.aws.Operation
---@field list_queues_pages perigee.aws.Pages

---@class perigee.aws.S3
---@field presigned_url fun(self: table, options: perigee.aws.Link): string?, integer|perigee.Error
---@field presigned_post fun(self: table, options: perigee.aws.Form): perigee.aws.SignedForm?, integer|perigee.Error
---@field list_objects_v2_pages perigee.aws.Pages
---@field list_buckets_pages perigee.aws.Pages
---@field list_parts_pages perigee.aws.Pages
---@field wait_until_bucket_exists perigee.aws.Waiter
---@field wait_until_bucket_not_exists perigee.aws.Waiter
---@field wait_until_object_exists perigee.aws.Waiter
---@field wait_until_object_not_exists perigee.aws.Waiter
---@field create_bucket perigee.aws.Operation
---@field head_bucket perigee.aws.Operation
---@field list_buckets perigee.aws.Operation
---@field put_object perigee.aws.Operation
---@field get_object perigee.aws.Operation
---@field head_object perigee.aws.Operation
---@field delete_object perigee.aws.Operation
---@field list_objects_v2 perigee.aws.Operation
---@field delete_bucket perigee.aws.Operation
---@field get_bucket_location perigee.aws.Operation
---@field put_bucket_versioning perigee.aws.Operation
---@field get_bucket_versioning perigee.aws.Operation
---@field put_bucket_lifecycle_configuration perigee.aws.Operation
---@field get_bucket_lifecycle_configuration perigee.aws.Operation
---@field delete_bucket_lifecycle perigee.aws.Operation
---@field copy_object perigee.aws.Operation
---@field delete_objects perigee.aws.Operation
---@field list_objects perigee.aws.Operation
---@field list_object_versions perigee.aws.Operation
---@field put_object_tagging perigee.aws.Operation
---@field get_object_tagging perigee.aws.Operation
---@field delete_object_tagging perigee.aws.Operation
---@field create_multipart_upload perigee.aws.Operation
---@field upload_part perigee.aws.Operation
---@field upload_part_copy perigee.aws.Operation
---@field complete_multipart_upload perigee.aws.Operation
---@field abort_multipart_upload perigee.aws.Operation
---@field list_parts perigee.aws.Operation
---@field list_multipart_uploads perigee.aws.Operation

---@class perigee.aws.SES
---@field send_email perigee.aws.Operation
---@field create_email_identity perigee.aws.Operation
---@field get_email_identity perigee.aws.Operation
---@field list_email_identities perigee.aws.Operation
---@field delete_email_identity perigee.aws.Operation
---@field get_account perigee.aws.Operation

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
  ---@type fun(value: any): table
  marshal = core.marshal,
  ---@type fun(attribute: table): any
  unmarshal = core.unmarshal,
  --- call(service, Action, params[, body]): any operation of any service that docs/lua.md lists, in AWS's own JSON
  --- shapes, nothing marshalled. What the backend does not have is an error ("NotImplemented").
  ---@type fun(service: string, action: string, params: table?, body: string?): table?, perigee.Error?
  call = core.call,
  ---@type fun(): { region: string, account: string, partition: string }
  identity = core.identity,
  --- describe(): the backend's settings, counters and last error. In `perigee run` and `perigee test` only.
  ---@type fun(): table
  describe = core.describe,
}

-- ---- presigned links ----

---@class perigee.aws.Link
---@field method "GET"|"HEAD"|"PUT"? GET unless given
---@field Bucket string
---@field Key string
---@field ExpiresIn integer? seconds, 300 unless given, at most 604800
---@field ResponseContentType string? the answer's header fields, of GET and HEAD
---@field ResponseContentDisposition string?
---@field ResponseCacheControl string?
---@field ResponseContentEncoding string?
---@field ResponseContentLanguage string?
---@field ResponseExpires string?
---@field VersionId string?
---@field headers table<string, string>? header fields that whoever uses the link must send, exactly so

local link_options = { method = "string", Bucket = "string", Key = "string", ExpiresIn = "number", headers = "table" }
local link_query = {
  ResponseContentType = "response-content-type", ResponseContentDisposition = "response-content-disposition",
  ResponseCacheControl = "response-cache-control", ResponseContentEncoding = "response-content-encoding",
  ResponseContentLanguage = "response-content-language", ResponseExpires = "response-expires", VersionId = "versionId",
}

-- The pairs of a table in the order of their names: header fields, or what becomes some.
local function pairs_of(t, what)
  local list = {}
  for name, value in pairs(t) do
    if type(name) ~= "string" or type(value) ~= "string" then error(what .. ": names and values are strings", 3) end
    if not name:find "^[%w!#$%%&'*+%-.^_`|~]+$" or value:gsub("\t", ""):find "%c" then
      error(("%s: '%s' cannot be sent as a header field"):format(what, name), 3)
    end
    list[#list + 1] = { name, value }
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

local function check_options(method, options, types, strings)
  if type(options) ~= "table" then error(method .. " takes one table of parameters", 3) end
  for name, v in pairs(options) do
    local want = types[name] or (strings and strings[name] and "string")
    if not want then error(("%s: unknown parameter '%s'"):format(method, tostring(name)), 3) end
    if type(v) ~= want then error(("%s: %s must be a %s"):format(method, name, want), 3) end
  end
  if not options.Bucket then error(method .. ": Bucket is missing", 3) end
  if not options.Key then error(method .. ": Key is missing", 3) end
end

--- A link to one object that works for whoever holds it, for ExpiresIn seconds or as long as the credentials that
--- signed it: expires_at_ms is when it really ends.
---@param options perigee.aws.Link
---@return string? url, integer|perigee.Error expires_at_ms
function services.s3:presigned_url(options)
  assert(self == services.s3, "presigned_url is called with a colon: aws.s3:presigned_url{...}")
  check_options("presigned_url", options, link_options, link_query)
  local method = options.method or "GET"
  if method ~= "GET" and method ~= "HEAD" and method ~= "PUT" then error("presigned_url: method is GET, HEAD or PUT", 2) end
  local query = {}
  for name, parameter in pairs(link_query) do
    if options[name] and name ~= "VersionId" and method == "PUT" then
      error("presigned_url: " .. name .. " is for GET and HEAD", 2)
    end
    query[parameter] = options[name]
  end
  local headers = options.headers and pairs_of(options.headers, "presigned_url: headers")
  return core.presign(method, options.Bucket, options.Key, options.ExpiresIn or 300, pairs_of(query, "presigned_url"), headers)
end

---@class perigee.aws.Form
---@field Bucket string
---@field Key string may end in "${filename}": what the browser's file is called
---@field ExpiresIn integer? seconds, 300 unless given, at most 604800
---@field Fields table<string, string>? further fields, bound by the policy: ["Content-Type"], success_action_status, ...
---@field Conditions table[]? { name = value }, { "eq"|"starts-with", "$name", value }, { "content-length-range", least, most }

---@class perigee.aws.SignedForm
---@field url string
---@field fields table<string, string>

local form_options = { Bucket = "string", Key = "string", ExpiresIn = "number", Fields = "table", Conditions = "table" }

--- A form with which a browser can upload one file: POST `fields` and then the file as the field "file" to `url`.
---@param options perigee.aws.Form
---@return perigee.aws.SignedForm? form, integer|perigee.Error expires_at_ms
function services.s3:presigned_post(options)
  assert(self == services.s3, "presigned_post is called with a colon: aws.s3:presigned_post{...}")
  check_options("presigned_post", options, form_options)
  return core.presign_post(options)
end

-- ---- pages ----

local function copy(t)
  local c = {}
  for k, v in pairs(t) do c[k] = v end
  return c
end

-- Where a page says how to go on, and where the next request says it (the services' own pagination rules).
local tokens = {
  dynamodb = {
    Query = { "LastEvaluatedKey", "ExclusiveStartKey" }, Scan = { "LastEvaluatedKey", "ExclusiveStartKey" },
    ListTables = { "LastEvaluatedTableName", "ExclusiveStartTableName" },
  },
  sqs = { ListQueues = { "NextToken", "NextToken" } },
  s3 = {
    ListObjectsV2 = { "NextContinuationToken", "ContinuationToken" },
    ListBuckets = { "ContinuationToken", "ContinuationToken" },
    ListParts = { "NextPartNumberMarker", "PartNumberMarker" },
  },
}

-- An iterator over the result pages of call(request). A failure raises the error object: a loop that just ended would
-- hide it.
local function pages(call, params, output, input)
  local request, finished = copy(params), false
  return function()
    if finished then return nil end
    local page, err = call(request)
    if not page then error(err, 0) end
    local token = page[output]
    finished = token == nil or token == "" or token == json.null
    if not finished and type(token) == "string" and token == request[input] then
      error(("the page ends with the token that it began with: %s"):format(output), 0)
    end
    request[input] = token
    return page
  end
end

local function add_pages(service, name, action)
  local rule, method = tokens[name][action], action:gsub("(%l)(%u)", "%1_%2"):lower()
  service[method .. "_pages"] = function(self, params)
    if self ~= service then error(("%s_pages is called with a colon: aws.%s:..."):format(method, name), 2) end
    if params ~= nil and type(params) ~= "table" then error(method .. "_pages: a table of parameters expected", 2) end
    return pages(function(request) return service[method](service, request) end, params or {}, rule[1], rule[2])
  end
end

--- for page in aws.dynamodb:query_pages{...} do for _, item in ipairs(page.Items) do ... end end
for name, actions in pairs(tokens) do
  for action in pairs(actions) do add_pages(services[name], name, action) end
end

--- The pages of any operation, in AWS's own shapes as by aws.call:
---   for page in aws.pages("logs", "DescribeLogGroups", {}, { output = "nextToken", input = "nextToken" }) do ... end
--- output: the result's member that is given back as the parameter `input`. Known for the operations that have a method.
---@param service string
---@param action string
---@param params table?
---@param rule { output: string, input: string }?
---@return fun(): table?
function aws.pages(service, action, params, rule)
  local known = tokens[service] and tokens[service][action]
  local output, input = known and known[1], known and known[2]
  if rule then output, input = rule.output, rule.input end
  if type(output) ~= "string" or type(input) ~= "string" then
    error(("aws.pages: how %s goes on is not known here; give { output = ..., input = ... }"):format(tostring(action)), 2)
  end
  if params ~= nil and type(params) ~= "table" then error("aws.pages: a table of parameters expected", 2) end
  return pages(function(request) return core.call(service, action, request) end, params or {}, output, input)
end

-- ---- waiting ----

-- Sleeps; false when the job would not live to see the end of it.
local function sleep(ms)
  if core.remaining() <= ms then return false end
  time.sleep(ms)
  return true
end

---@class perigee.aws.WaiterConfig
---@field Delay number? seconds between attempts
---@field MaxAttempts integer?

local function waiter_config(name, params, delay, attempts)
  if type(params) ~= "table" then error(name .. ": a table of parameters expected", 3) end
  local request, config = copy(params), params.WaiterConfig or {}
  request.WaiterConfig = nil
  for key in pairs(config) do
    if key ~= "Delay" and key ~= "MaxAttempts" then error(("%s: WaiterConfig has no '%s'"):format(name, tostring(key)), 3) end
  end
  delay, attempts = config.Delay or delay, config.MaxAttempts or attempts
  if math.type(attempts) ~= "integer" or attempts < 1 then error(name .. ": MaxAttempts is a number of attempts", 3) end
  if type(delay) ~= "number" or not (delay >= 0 and delay <= 900) then error(name .. ": Delay is seconds, from 0 to 900", 3) end
  return request, math.floor(delay * 1000), attempts
end

-- reached(out, err): true when waiting is over, false to go on, nil when err is final. Delays and attempts are those of
-- AWS's own waiters.
local function add_waiter(service_name, name, method, action, delay, attempts, reached)
  local service = services[service_name]
  service[name] = function(self, params)
    if self ~= service then error(("%s is called with a colon: aws.%s:%s{...}"):format(name, service_name, name), 2) end
    local request, delay_ms, max = waiter_config(name, params, delay, attempts)
    for attempt = 1, max do
      local out, err = service[method](service, request)
      local over = reached(out, err)
      if over then return true end
      if over == nil then return nil, err end
      if attempt < max and not sleep(delay_ms) then
        local why = ("%s: the time that is left is shorter than the %d ms until the next attempt"):format(name, delay_ms)
        return core.failure("WaiterTimeout", 504, true, why, service_name, action)
      end
    end
    local why = ("%s: not so after %d attempts"):format(name, max)
    return core.failure("WaiterTimeout", 504, true, why, service_name, action)
  end
end

local function unless(err, code) if err.code == code then return false end end
local function not_found(err) return err.status == 404 or err.code == "404" end

add_waiter("dynamodb", "wait_until_table_exists", "describe_table", "DescribeTable", 20, 25, function(out, err)
  if out then return out.Table.TableStatus == "ACTIVE" end
  return unless(err, "ResourceNotFoundException")
end)
add_waiter("dynamodb", "wait_until_table_not_exists", "describe_table", "DescribeTable", 20, 25, function(out, err)
  if out then return false end
  if err.code == "ResourceNotFoundException" then return true end
end)
add_waiter("s3", "wait_until_bucket_exists", "head_bucket", "HeadBucket", 5, 20, function(out, err)
  if out or err.status == 301 or err.status == 403 then return true end -- there, though not for us
  if not_found(err) then return false end
end)
add_waiter("s3", "wait_until_bucket_not_exists", "head_bucket", "HeadBucket", 5, 20, function(out, err)
  if out then return false end
  if not_found(err) then return true end
end)
add_waiter("s3", "wait_until_object_exists", "head_object", "HeadObject", 5, 20, function(out, err)
  if out then return true end
  if not_found(err) then return false end
end)
add_waiter("s3", "wait_until_object_not_exists", "head_object", "HeadObject", 5, 20, function(out, err)
  if out then return false end
  if not_found(err) then return true end
end)

-- ---- batches ----

-- Repeats a batch for what was not processed, with growing pauses; merge(out) takes each answer.
local function batch_all(method, action, params, rest, merge)
  if type(params) ~= "table" then error(method .. ": a table of parameters expected", 3) end
  local request = copy(params)
  for attempt = 1, 10 do
    local out, err = services.dynamodb[method](services.dynamodb, request)
    if not out then return nil, err end
    merge(out)
    if not out[rest] or next(out[rest]) == nil then return true end
    request.RequestItems = out[rest]
    if attempt < 10 and not sleep(math.random(25, 50) << math.min(attempt, 7)) then break end
  end
  local _, err = core.failure("ProvisionedThroughputExceededException", 400, true, action .. ": some of it was not processed",
    "dynamodb", action)
  err[rest] = request.RequestItems
  return nil, err
end

--- batch_write_item until every item was written. nil, err with err.UnprocessedItems when it gives up.
---@param params table
---@return boolean? ok, perigee.Error?
function services.dynamodb:batch_write_all(params)
  assert(self == services.dynamodb, "batch_write_all is called with a colon")
  return batch_all("batch_write_item", "BatchWriteItem", params, "UnprocessedItems", function() end)
end

--- batch_get_item until every key was read: { Responses = { table = { items } } }.
---@param params table
---@return { Responses: table<string, table[]> }?, perigee.Error?
function services.dynamodb:batch_get_all(params)
  assert(self == services.dynamodb, "batch_get_all is called with a colon")
  local all = {}
  local ok, err = batch_all("batch_get_item", "BatchGetItem", params, "UnprocessedKeys", function(out)
    for name, items in pairs(out.Responses or {}) do
      all[name] = all[name] or json.array {}
      table.move(items, 1, #items, #all[name] + 1, all[name])
    end
  end)
  if not ok then return nil, err end
  return { Responses = all }
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
