--- A client of `perigee cloud` whose server is killed at any moment, over the wire: what tests/faults/cloud_crash_spec.lua runs.
--
--     perigee run --aws cloud_driver.lua setup DIR NAME...
--     perigee run --aws cloud_driver.lua work DIR NAME SEED          until the server is gone
--     perigee run --aws cloud_driver.lua verify DIR SEED [drain]
--
-- NAME begins with its service: dynamodb-1, sqs-2, s3-1. A worker writes each effect into DIR/NAME.journal before it asks
-- for it and the outcome after the answer; what has no outcome is in doubt: its last effect, at most. DIR/known.json is what
-- the last verification found: from there on nothing of it is in doubt.
local aws = require "perigee.aws"
local crypto = require "perigee.crypto"
local http = require "perigee.http"
local json = require "perigee.json"
local sigv4 = require "perigee.sigv4"

local command, dir = arg[1], arg[2]
local TABLE, BUCKET, STANDARD, FIFO = "Crash", "crash-objects", "crash", "crash.fifo"
local VISIBILITY = 2 -- seconds that a worker keeps a message; what it does later may concern somebody else's
local LOST = { EndpointUnavailable = true, InvalidServiceResponse = true, RequestTimeout = true }

local function fail(fmt, ...)
  io.stdout:write("FAILED: ", fmt:format(...), "\n")
  os.exit(1)
end

--- The result of a call that must succeed.
local function must(what, out, err)
  if not out then fail("%s: %s %s", what, tostring(err), err.code or "") end
  return out
end

-- ---- contents that follow from their names ----

local function hash(text)
  local h = 2166136261
  for i = 1, #text do h = ((h ~ text:byte(i)) * 16777619) & 0xffffffff end
  return h ~ (h >> 15)
end

--- `size` bytes that belong to `name` alone.
local function filler(name, size)
  local unit = name .. "|" .. hash(name) .. "\n"
  return unit:rep(size // #unit + 1):sub(1, size)
end

local function item_of(name, id, version)
  local h = hash(id .. version)
  return { id = id, v = version, client = name, bytes_of = filler(id .. "#" .. version, h % 20 == 0 and 60000 or h % 3000) }
end

--- Of "KEY#VERSION". Keys with an "m" are uploaded in two parts, the first as small as may be.
local PART = 5 << 20
local function object_of(name)
  local h = hash(name)
  if name:find "/m%d+#" then return filler(name, PART + h % 100000) end
  local size = h % 15 == 0 and 1000000 + h % 2000000 or h % 5 == 0 and h % 60000 or h % 7 == 0 and 0 or h % 4000
  return filler(name, size)
end

local function body_of(ident)
  return ident .. ":" .. filler(ident, hash(ident) % 2500)
end

-- ---- files ----

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "a"
  if file then file:close() end
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

local function load_known()
  return assert(json.decode(assert(read(dir .. "/known.json"))))
end

--- Effects of a journal in their order: { effect =, outcome = "ok" | "no ..." | nil }.
local function read_journal(name)
  local list = {}
  for line in (read(dir .. "/" .. name .. ".journal") or ""):gmatch "[^\n]+" do
    if line:sub(1, 1) == "{" then
      list[#list + 1] = { effect = assert(json.decode(line)) }
    else
      list[#list].outcome = line
    end
  end
  return list
end

local journal

local function note(text)
  assert(journal:write(text, "\n"))
  assert(journal:flush())
end

--- Asks for one effect, which must be refused if it is `impossible`. Ends the process when the server is gone.
--- @param refusal? string the code of an error that may come instead, and then nothing was done
--- @param late? fun(): boolean whether the answer came too late to mean anything
--- @return table? result, nil when it was refused
local function ask(effect, refusal, call, late)
  note(json.encode(effect))
  local out, err = call()
  if out then
    if effect.impossible then fail("%s succeeded", json.encode(effect)) end
    note(late and late() and "late" or "ok")
    return out
  end
  if LOST[err.code] then
    print("gone: " .. tostring(err))
    os.exit(0)
  end
  if late and late() then return note "late" end
  if err.code ~= refusal then fail("%s: %s", json.encode(effect), tostring(err)) end
  note("no " .. err.code)
end

--- A read that has no effect.
local function look(what, out, err)
  if not out and LOST[err.code] then
    print("gone: " .. tostring(err))
    os.exit(0)
  end
  return must(what, out, err)
end

-- ---- what a client owns: names with versions, and counts ----

local function apply(state, effect)
  for id, version in pairs(effect.writes or {}) do
    state.items[id] = version or nil
    state.version = math.max(state.version, version or 0)
  end
  for name, n in pairs(effect.adds or {}) do state.adds[name] = (state.adds[name] or 0) + n end
end

local function copy(state)
  local new = { items = {}, adds = {}, version = state.version }
  for id, version in pairs(state.items) do new.items[id] = version end
  for name, n in pairs(state.adds) do new.adds[name] = n end
  return new
end

local function count(sums, name, entry)
  if sums.doubtful == name then fail("%s went on although an effect was in doubt", name) end
  local what = entry.outcome == "ok" and "acknowledged" or entry.outcome and "refused" or "doubt"
  sums[what] = sums[what] + 1
  if not entry.outcome then sums.doubtful = name end
end

--- Applies what was acknowledged to `state`.
--- @return table? doubt the effect in doubt
local function settle(state, name, sums)
  local doubt
  for _, entry in ipairs(read_journal(name)) do
    count(sums, name, entry)
    -- A version is used once, whatever became of it.
    for _, version in pairs(entry.effect.writes or {}) do state.version = math.max(state.version, version or 0) end
    state.version = math.max(state.version, entry.effect.hot or 0)
    if entry.outcome == "ok" then
      apply(state, entry.effect)
    elseif not entry.outcome and not entry.effect.impossible then
      doubt = entry.effect
    end
  end
  return doubt
end

local function difference(found, wanted)
  for id, version in pairs(wanted.items) do
    if found.items[id] ~= version then return ("%s is %s, not %s"):format(id, found.items[id], version) end
  end
  for id, version in pairs(found.items) do
    if wanted.items[id] == nil then return ("%s is there, as %s"):format(id, version) end
  end
  for name, n in pairs(wanted.adds) do
    if (found.adds[name] or 0) ~= n then return ("%s is %s, not %s"):format(name, found.adds[name], n) end
  end
  for name, n in pairs(found.adds) do
    if (wanted.adds[name] or 0) ~= n then return ("%s is %s, not %s"):format(name, n, wanted.adds[name]) end
  end
end

--- What was found is what was acknowledged, or that and the effect in doubt: whole.
--- @return table state, boolean applied
local function accept(name, found, state, doubt)
  local why = difference(found, state)
  if not why then return state, false end
  if not doubt then fail("%s: %s, and nothing is in doubt", name, why) end
  local later = copy(state)
  apply(later, doubt)
  if doubt.each then -- a batch is many effects: each of them there or not
    for id in pairs(doubt.writes) do
      if found.items[id] ~= state.items[id] and found.items[id] ~= later.items[id] then break end
      later.items[id] = found.items[id]
    end
  end
  local why_not = difference(found, later)
  if why_not then fail("%s: %s; with %s in doubt: %s", name, why, json.encode(doubt), why_not) end
  return later, true
end

-- ---- DynamoDB ----

local dynamodb = {}

function dynamodb.setup()
  must("CreateTable", aws.dynamodb:create_table { TableName = TABLE, BillingMode = "PAY_PER_REQUEST",
    AttributeDefinitions = { { AttributeName = "id", AttributeType = "S" }, { AttributeName = "client", AttributeType = "S" },
      { AttributeName = "v", AttributeType = "N" } },
    KeySchema = { { AttributeName = "id", KeyType = "HASH" } },
    GlobalSecondaryIndexes = { { IndexName = "by-client", Projection = { ProjectionType = "KEYS_ONLY" },
      KeySchema = { { AttributeName = "client", KeyType = "HASH" }, { AttributeName = "v", KeyType = "RANGE" } } } } })
  must("PutItem", aws.dynamodb:put_item { TableName = TABLE, Item = { id = "shared", total = 0, taken = 0 } })
end

--- The update of the item that all clients share: their own counts beside the common ones.
local function shared_update(name, what)
  return { TableName = TABLE, Key = { id = "shared" }, UpdateExpression = "ADD #what :one, #own :one",
    ExpressionAttributeNames = { ["#what"] = what, ["#own"] = what .. "-" .. name }, ExpressionAttributeValues = { [":one"] = 1 } }
end

local function transaction(name, effect)
  local update = shared_update(name, "total")
  local items = { { Update = update } }
  for id, version in pairs(effect.writes) do
    items[#items + 1] = { Put = { TableName = TABLE, Item = item_of(name, id, version) } }
  end
  table.sort(items, function(a, b) return (a.Put and a.Put.Item.id or "") < (b.Put and b.Put.Item.id or "") end)
  if effect.impossible then
    items[#items + 1] = { ConditionCheck = { TableName = TABLE, Key = { id = name .. "-never" }, ConditionExpression = "attribute_exists(id)" } }
  end
  return aws.dynamodb:transact_write_items { TransactItems = items, ClientRequestToken = effect.token }
end

function dynamodb.step(name, state)
  local function own() return name .. "-" .. math.random(12) end
  local version = state.version + 1
  local roll, id = math.random(100), own()
  local effect, refusal, call
  if roll <= 35 then
    effect = { writes = { [id] = version } }
    call = function() return aws.dynamodb:put_item { TableName = TABLE, Item = item_of(name, id, version) } end
  elseif roll <= 43 then
    effect = { writes = { [id] = false } }
    call = function() return aws.dynamodb:delete_item { TableName = TABLE, Key = { id = id } } end
  elseif roll <= 51 then
    effect = { writes = { [id] = version }, impossible = state.items[id] ~= nil }
    refusal = effect.impossible and "ConditionalCheckFailedException"
    call = function()
      return aws.dynamodb:put_item { TableName = TABLE, Item = item_of(name, id, version), ConditionExpression = "attribute_not_exists(id)" }
    end
  elseif roll <= 63 then
    local item, old = item_of(name, id, version), state.items[id]
    effect = { writes = { [id] = version }, impossible = not old }
    refusal = effect.impossible and "ConditionalCheckFailedException"
    call = function()
      return aws.dynamodb:update_item { TableName = TABLE, Key = { id = id }, UpdateExpression = "SET v = :v, bytes_of = :bytes, client = :client",
        ConditionExpression = "v = :old", ExpressionAttributeValues = { [":v"] = version, [":bytes"] = item.bytes_of, [":client"] = name, [":old"] = old or 0 } }
    end
  elseif roll <= 70 then
    effect = { adds = { total = 1 } }
    call = function() return aws.dynamodb:update_item(shared_update(name, "total")) end
  elseif roll <= 78 then -- of those who read the same count one wins
    local item = look("GetItem", aws.dynamodb:get_item { TableName = TABLE, Key = { id = "shared" }, ConsistentRead = true }).Item
    local update = shared_update(name, "taken")
    update.ConditionExpression, update.ExpressionAttributeValues[":old"] = "taken = :old", item.taken
    effect, refusal = { adds = { taken = 1 } }, "ConditionalCheckFailedException"
    call = function() return aws.dynamodb:update_item(update) end
  elseif roll <= 93 then
    effect = { writes = { [id] = version, [own()] = version + 1, [own()] = version + 2 }, adds = { total = 1 },
      token = name .. "-" .. version .. "-" .. math.random(1 << 30), impossible = math.random(4) == 1 }
    refusal = effect.impossible and "TransactionCanceledException"
    call = function() return transaction(name, effect) end
  else
    effect = { writes = {}, each = true }
    local requests = {}
    for i = 1, 5 do effect.writes[own()] = version + i end
    for key, v in pairs(effect.writes) do requests[#requests + 1] = { PutRequest = { Item = item_of(name, key, v) } } end
    call = function() return aws.dynamodb:batch_write_item { RequestItems = { [TABLE] = requests } } end
  end
  state.version = version + 5
  if ask(effect, refusal, call) then apply(state, effect) end
end

local function find_items(names)
  local found, shared = {}, nil
  for _, name in ipairs(names) do found[name] = { items = {}, adds = {} } end
  for page in aws.dynamodb:scan_pages { TableName = TABLE, ConsistentRead = true } do
    for _, item in ipairs(page.Items) do
      if item.id == "shared" then
        shared = item
      else
        local own = found[item.client] or fail("%s belongs to nobody: %s", item.id, tostring(item.client))
        local wanted = item_of(item.client, item.id, item.v)
        for key, value in pairs(item) do
          if wanted[key] ~= value then fail("%s: %s is not what version %s has", item.id, key, item.v) end
        end
        for key in pairs(wanted) do
          if item[key] == nil then fail("%s has no %s", item.id, key) end
        end
        own.items[item.id] = item.v
      end
    end
  end
  local sums = { total = 0, taken = 0 }
  for key, value in pairs(shared or fail "the shared item is gone") do
    local what, name = key:match "^(%l+)%-(.+)$"
    if what then
      found[name].adds[what] = value
      sums[what] = sums[what] + value
    end
  end
  for what, sum in pairs(sums) do
    if shared[what] ~= sum then fail("%s is %s; by client: %d", what, shared[what], sum) end
  end
  return found
end

local function check_index(name, state)
  local n = 0
  for page in aws.dynamodb:query_pages { TableName = TABLE, IndexName = "by-client", KeyConditionExpression = "client = :c",
    ExpressionAttributeValues = { [":c"] = name } } do
    for _, item in ipairs(page.Items) do
      n = n + 1
      if state.items[item.id] ~= item.v then fail("the index has %s as %s, the table as %s", item.id, item.v, state.items[item.id]) end
    end
  end
  local items = 0
  for _ in pairs(state.items) do items = items + 1 end
  if n ~= items then fail("the index has %d entries of %s, the table %d", n, name, items) end
end

function dynamodb.verify(known, names, sums)
  local found, again = find_items(names), false
  for _, name in ipairs(names) do
    local state = known[name]
    local doubt = settle(state, name, sums)
    local applied
    known[name], applied = accept(name, found[name], state, doubt)
    if applied then sums.applied = sums.applied + 1 end
    if doubt and doubt.token then -- once more by the same token: done once in all
      must("TransactWriteItems again", transaction(name, doubt))
      if not applied then apply(known[name], doubt) end
      again = true
    end
  end
  if again then
    found = find_items(names)
    for _, name in ipairs(names) do accept(name, found[name], known[name], nil) end
  end
  for _, name in ipairs(names) do check_index(name, known[name]) end
end

-- ---- S3 ----

local s3 = {}

--- A signed request by hand: the client of --aws does not have these operations.
local function rest(method, key, query, headers, body)
  local request = { method = method, url = ("%s/%s%s%s"):format(os.getenv "AWS_ENDPOINT_URL", BUCKET, key and "/" .. key or "", query or ""),
    headers = headers, body = body, service = "s3", region = "us-east-1",
    credentials = { access_key_id = os.getenv "AWS_ACCESS_KEY_ID", secret_access_key = os.getenv "AWS_SECRET_ACCESS_KEY" } }
  local answer, err = http.fetch(request.url, { method = method, headers = assert(sigv4.sign(request)).headers, body = body })
  if not answer then return nil, err end
  -- Errors of what takes long come with status 200.
  local code = answer.status >= 300 and answer.status or answer.body:find("<Error>", 1, true)
  if code then return nil, { code = answer.body:match "<Code>(.-)</Code>" or tostring(answer.status) } end
  return answer
end

local function metadata_headers(metadata)
  local headers = {}
  for name, value in pairs(metadata) do headers["x-amz-meta-" .. name] = value end
  return headers
end

function s3.setup()
  must("CreateBucket", aws.s3:create_bucket { Bucket = BUCKET })
end

local function complete(upload)
  local parts = {}
  for i, etag in ipairs(upload.etags) do parts[i] = ("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>"):format(i, etag) end
  return rest("POST", upload.key, "?uploadId=" .. upload.id, {},
    "<CompleteMultipartUpload>" .. table.concat(parts) .. "</CompleteMultipartUpload>")
end

--- What comes before the effect: an upload that only waits to be completed.
local function upload_parts(key, metadata)
  local made = look("CreateMultipartUpload", rest("POST", key, "?uploads=", metadata_headers(metadata), ""))
  local body, upload = object_of(metadata.of), { key = key, id = made.body:match "<UploadId>(.-)</UploadId>", etags = json.array {} }
  for i, piece in ipairs { body:sub(1, PART), body:sub(PART + 1) } do
    local part = look("UploadPart", rest("PUT", key, ("?partNumber=%d&uploadId=%s"):format(i, upload.id), {}, piece))
    upload.etags[i] = part.headers.etag
  end
  return upload
end

local function any_key(state)
  local keys = {}
  for key in pairs(state.items) do
    if key:find "/k" then keys[#keys + 1] = key end
  end
  return keys[math.random(math.max(#keys, 1))]
end

function s3.step(name, state)
  local roll = math.random(100)
  local key = name .. "/k" .. math.random(10)
  local version = state.version + 1
  local put = { Bucket = BUCKET, Key = key, Metadata = { v = tostring(version), of = key .. "#" .. version } }
  local effect, refusal = { writes = { [key] = version } }, nil
  local call = function() return aws.s3:put_object(put) end
  if roll <= 10 then
    effect.writes[key] = false
    call = function() return aws.s3:delete_object { Bucket = BUCKET, Key = key } end
  elseif roll <= 15 then
    effect = { writes = { [key] = false, [name .. "/c1"] = false, [name .. "/m1"] = false }, each = true }
    local objects = {}
    for each in pairs(effect.writes) do objects[#objects + 1] = "<Object><Key>" .. each .. "</Key></Object>" end
    local body = "<Delete>" .. table.concat(objects) .. "</Delete>"
    call = function() return rest("POST", nil, "?delete=", { ["content-md5"] = crypto.md5(body, "base64") }, body) end
  elseif roll <= 25 then
    put.IfNoneMatch, effect.impossible = "*", state.items[key] ~= nil
    refusal = effect.impossible and "PreconditionFailed"
  elseif roll <= 40 then -- one object that all clients write
    effect = { hot = version }
    put.Key, put.Metadata.by, put.Metadata.of = "hot", name, "hot/" .. name .. "#" .. version
  elseif roll <= 50 then -- what was acknowledged is what is read, whoever else is writing
    if not state.items[key] then return end
    local object = look("GetObject " .. key, aws.s3:get_object { Bucket = BUCKET, Key = key })
    if object.Body ~= object_of(key .. "#" .. state.items[key]) then fail("%s is not what was acknowledged", key) end
    return
  elseif roll <= 60 then
    put.BodyFile = dir .. "/" .. name .. ".body"
    write(put.BodyFile, object_of(put.Metadata.of))
  elseif roll <= 75 then
    local from, to = any_key(state), name .. "/c" .. math.random(3)
    if not from then return end
    put.Metadata.of = from .. "#" .. state.items[from]
    effect.writes = { [to] = version }
    local headers = metadata_headers(put.Metadata)
    headers["x-amz-copy-source"], headers["x-amz-metadata-directive"] = BUCKET .. "/" .. from, "REPLACE"
    call = function() return rest("PUT", to, nil, headers, "") end
  elseif roll <= 80 then
    local to = name .. "/m" .. math.random(2)
    put.Metadata.of = to .. "#" .. version
    effect = { writes = { [to] = version }, upload = upload_parts(to, put.Metadata) }
    call = function() return complete(effect.upload) end
  end
  if not put.BodyFile then put.Body = object_of(put.Metadata.of) end
  state.version = version
  if ask(effect, refusal, call) then apply(state, effect) end
end

local function find_objects(names)
  local found, hot = {}, nil
  for _, name in ipairs(names) do found[name] = { items = {}, adds = {} } end
  for page in aws.s3:list_objects_v2_pages { Bucket = BUCKET, MaxKeys = 7 } do
    for _, entry in ipairs(page.Contents or {}) do
      local object = must("GetObject " .. entry.Key, aws.s3:get_object { Bucket = BUCKET, Key = entry.Key })
      local of = object.Metadata
      if object.Body ~= object_of(of.of) then fail("%s is not %s: %d bytes", entry.Key, of.of, #object.Body) end
      if entry.Size ~= #object.Body then fail("%s is listed with %s bytes, not %d", entry.Key, entry.Size, #object.Body) end
      local name = entry.Key:match "^(.+)/%l%d+$"
      if name then
        found[name].items[entry.Key] = math.tointeger(tonumber(of.v))
      elseif entry.Key == "hot" then
        hot = of.by .. "#" .. of.v
      else
        fail("%s belongs to nobody", entry.Key)
      end
    end
  end
  return found, hot
end

--- Uploads that nobody completed are still there, and go when they are aborted.
local function abort_uploads(sums)
  for _ = 1, 2 do
    local list, n = must("ListMultipartUploads", rest("GET", nil, "?uploads=", {})).body, 0
    for upload in list:gmatch "<Upload>(.-)</Upload>" do
      local key, query = upload:match "<Key>(.-)</Key>", "?uploadId=" .. upload:match "<UploadId>(.-)</UploadId>"
      must("ListParts", rest("GET", key, query, {}))
      must("AbortMultipartUpload", rest("DELETE", key, query, {}))
      n = n + 1
    end
    if n == 0 then return end
    sums.aborted = sums.aborted + n
  end
  fail "aborted uploads are still listed"
end

--- Who wrote the common object last is not known; it was one whose writing was not refused since the last verification.
local function check_hot(known, names, hot)
  local allowed, acknowledged = { [known.hot or ""] = true }, false
  for _, name in ipairs(names) do
    for _, entry in ipairs(read_journal(name)) do
      if entry.effect.hot and (not entry.outcome or entry.outcome == "ok") then
        allowed[name .. "#" .. entry.effect.hot] = true
        acknowledged = acknowledged or entry.outcome == "ok"
      end
    end
  end
  if acknowledged then allowed[known.hot or ""] = nil end
  if not allowed[hot or ""] then fail("the common object is %s", tostring(hot)) end
  known.hot = hot
end

function s3.verify(known, names, sums)
  local found, hot = find_objects(names)
  local again = false
  check_hot(known, names, hot)
  for _, name in ipairs(names) do
    local doubt = settle(known[name], name, sums)
    local applied
    known[name], applied = accept(name, found[name], known[name], doubt)
    if applied then sums.applied = sums.applied + 1 end
    if doubt and doubt.upload then -- may be completed once more, or now
      must("CompleteMultipartUpload again", complete(doubt.upload))
      if not applied then apply(known[name], doubt) end
      again = true
    end
  end
  if again then
    found = find_objects(names)
    for _, name in ipairs(names) do accept(name, found[name], known[name], nil) end
  end
  abort_uploads(sums)
end

-- ---- SQS ----

local sqs = {}
local urls = {}

local function url(queue)
  if not urls[queue] then urls[queue] = look("GetQueueUrl", aws.sqs:get_queue_url { QueueName = queue }).QueueUrl end
  return urls[queue]
end

function sqs.setup()
  must("CreateQueue", aws.sqs:create_queue { QueueName = STANDARD })
  must("CreateQueue", aws.sqs:create_queue { QueueName = FIFO, Attributes = { FifoQueue = "true" } })
end

--- "sqs-1/a-17": the 17th message of client sqs-1, here in its group "sqs-1/a".
local function group_of(ident) return ident:match "^(.*)%-%d+$" end
local function number_of(ident) return math.tointeger(tonumber(ident:match "%-(%d+)$")) end

local function ident_of(message)
  local ident = message.Body:match "^([^:]*):"
  if not ident or message.Body ~= body_of(ident) then fail("a message that nobody sent: %s", message.Body:sub(1, 80)) end
  return ident
end

local function send(queue, idents)
  if #idents == 1 then
    return aws.sqs:send_message { QueueUrl = url(queue), MessageBody = body_of(idents[1]),
      MessageGroupId = queue == FIFO and group_of(idents[1]) or nil, MessageDeduplicationId = queue == FIFO and idents[1] or nil }
  end
  local entries = {}
  for i, ident in ipairs(idents) do
    entries[i] = { Id = "e" .. i, MessageBody = body_of(ident), MessageGroupId = queue == FIFO and group_of(ident) or nil,
      MessageDeduplicationId = queue == FIFO and ident or nil }
  end
  local out, err = aws.sqs:send_message_batch { QueueUrl = url(queue), Entries = entries }
  if out and #(out.Failed or {}) > 0 then fail("SendMessageBatch: %s", json.encode(out.Failed)) end
  return out, err
end

local function delete(queue, messages)
  if #messages == 1 then
    return aws.sqs:delete_message { QueueUrl = url(queue), ReceiptHandle = messages[1].ReceiptHandle }
  end
  local entries = {}
  for i, message in ipairs(messages) do entries[i] = { Id = "e" .. i, ReceiptHandle = message.ReceiptHandle } end
  local out, err = aws.sqs:delete_message_batch { QueueUrl = url(queue), Entries = entries }
  if out and #(out.Failed or {}) > 0 then return nil, { code = "Failed" } end
  return out, err
end

local function release(queue, handles)
  for first = 1, #handles, 10 do
    local entries = {}
    for i = first, math.min(first + 9, #handles) do
      entries[#entries + 1] = { Id = "e" .. i, ReceiptHandle = handles[i], VisibilityTimeout = 0 }
    end
    local out = must("ChangeMessageVisibilityBatch", aws.sqs:change_message_visibility_batch { QueueUrl = url(queue), Entries = entries })
    if #(out.Failed or {}) > 0 then fail("ChangeMessageVisibilityBatch: %s", json.encode(out.Failed)) end
  end
end

--- Messages of a group come in the order in which they were sent.
local function check_order(messages, last)
  last = last or {}
  for _, message in ipairs(messages) do
    local ident = ident_of(message)
    local group, n = group_of(ident), number_of(ident)
    if n <= (last[group] or 0) then fail("%s came after %s-%d", ident, group, last[group]) end
    last[group] = n
  end
end

local function receive_and_delete(queue)
  local began = os.time()
  local messages = look("ReceiveMessage", aws.sqs:receive_message { QueueUrl = url(queue), MaxNumberOfMessages = math.random(5),
    VisibilityTimeout = VISIBILITY }).Messages or {}
  if queue == FIFO then check_order(messages) end
  local done, kept = {}, {}
  for _, message in ipairs(messages) do
    -- In a queue with groups what is kept is the end of the batch, and given back at once.
    local keep = math.random(4) == 1 or (queue == FIFO and #kept > 0)
    table.insert(keep and kept or done, message)
  end
  -- Sound although it counts whole seconds: true a second early at most.
  local function late() return os.time() - began >= VISIBILITY end
  if #done > 0 then
    local idents = {}
    for i, message in ipairs(done) do idents[i] = ident_of(message) end
    ask({ deletes = idents, queue = queue }, nil, function() return delete(queue, done) end, late)
  end
  for i = #kept, 1, -1 do
    local out, err = aws.sqs:change_message_visibility { QueueUrl = url(queue), ReceiptHandle = kept[i].ReceiptHandle, VisibilityTimeout = 0 }
    if not late() then look("ChangeMessageVisibility", out, err) end
  end
end

function sqs.step(name, state)
  local roll = math.random(100)
  if roll > 70 then return receive_and_delete(roll > 85 and FIFO or STANDARD) end
  local queue = roll > 40 and FIFO or STANDARD
  local stem = queue == FIFO and name .. "/" .. (math.random(2) == 1 and "a" or "b") or name
  local idents = {}
  for i = 1, math.random(4) == 1 and math.random(2, 5) or 1 do
    state.version = state.version + 1
    idents[i] = stem .. "-" .. state.version
  end
  ask({ sends = idents, queue = queue }, nil, function() return send(queue, idents) end)
end

local function counts(queue)
  local all = must("GetQueueAttributes", aws.sqs:get_queue_attributes { QueueUrl = url(queue), AttributeNames = { "All" } }).Attributes
  return tonumber(all.ApproximateNumberOfMessages), tonumber(all.ApproximateNumberOfMessagesNotVisible)
end

--- Waits until nobody holds a message any more: who was killed between receiving and deleting did.
local function await_visible(queue)
  local deadline = os.time() + VISIBILITY + 3
  while true do
    local visible, held = counts(queue)
    if held == 0 then return visible end
    if os.time() > deadline then fail("%s: %d messages never became visible again", queue, held) end
    os.execute "sleep 0.1"
  end
end

--- All messages of a queue, each once; they stay held.
local function take_all(queue, each)
  local found, n = {}, await_visible(queue)
  while true do
    local messages = must("ReceiveMessage", aws.sqs:receive_message { QueueUrl = url(queue), MaxNumberOfMessages = 10, VisibilityTimeout = 60 }).Messages
    if not messages or #messages == 0 then break end
    for _, message in ipairs(messages) do
      local ident = ident_of(message)
      if found[ident] then fail("%s: %s came twice", queue, ident) end
      found[ident] = message
      n = n - 1
    end
    if each then each(messages) end
  end
  if n ~= 0 then fail("%s: said to hold %d messages more than came", queue, n) end
  return found
end

--- Of one queue, since the last verification: the idents that were sent, maybe sent, deleted, maybe deleted; and those
--- that each client sent last.
local function read_messages(queue, names)
  local sets = { sent = {}, maybe_sent = {}, deleted = {}, maybe_deleted = {}, last = {} }
  for _, name in ipairs(names) do
    for _, entry in ipairs(read_journal(name)) do
      local effect = entry.effect
      if effect.queue == queue then
        for _, ident in ipairs(effect.sends or {}) do sets[entry.outcome and "sent" or "maybe_sent"][ident] = true end
        for _, ident in ipairs(effect.deletes or {}) do sets[entry.outcome == "ok" and "deleted" or "maybe_deleted"][ident] = true end
        if effect.sends then sets.last[name] = effect.sends end
      end
    end
  end
  return sets
end

--- Sends once more by the same deduplication ids what each client sent last: it is there once in all, and in its place.
local function send_again(sets)
  for _, idents in pairs(sets.last) do
    must("SendMessage again", send(FIFO, idents))
    for _, ident in ipairs(idents) do sets.sent[ident], sets.maybe_sent[ident] = true, nil end
  end
end

--- What a queue may hold: true where it must, false where that is in doubt.
local function expected(before, sets)
  local all = {}
  for ident, sure in pairs(before) do all[ident] = sure end
  for ident in pairs(sets.maybe_sent) do all[ident] = false end
  for ident in pairs(sets.sent) do all[ident] = true end
  for ident in pairs(sets.maybe_deleted) do all[ident] = false end
  for ident in pairs(sets.deleted) do all[ident] = nil end
  return all
end

local function check_messages(queue, found, wanted)
  for ident, sure in pairs(wanted) do
    if sure and not found[ident] then fail("%s: lost: %s", queue, ident) end
  end
  for ident in pairs(found) do
    if wanted[ident] == nil then fail("%s: %s is there: deleted, or never sent", queue, ident) end
  end
end

local function delete_all(queue, messages)
  for i = 1, #messages, 10 do
    must("DeleteMessageBatch", delete(queue, table.move(messages, i, math.min(i + 9, #messages), 1, {})))
  end
end

--- All come, once; some of them stay for the next time.
local function verify_standard(known, sets, sums, drain)
  local found = take_all(STANDARD)
  check_messages(STANDARD, found, expected(known.standard, sets))
  local handles, done = {}, {}
  known.standard = {}
  for ident, message in pairs(found) do
    if drain or math.random(3) == 1 then
      done[#done + 1] = message
    else
      known.standard[ident], handles[#handles + 1] = true, message.ReceiptHandle
    end
    sums.messages = sums.messages + 1
  end
  delete_all(STANDARD, done)
  release(STANDARD, handles)
end

--- Every second time only counted, so that messages outlive several servers: the order of a group shows but once.
local function verify_fifo(known, sets, sums, drain)
  send_again(sets)
  local wanted = expected(known.fifo, sets)
  if not drain and math.random(2) == 1 then
    local n, least, most = await_visible(FIFO), 0, 0
    for _, sure in pairs(wanted) do least, most = least + (sure and 1 or 0), most + 1 end
    if n < least or n > most then fail("%s: %d messages, not %d to %d", FIFO, n, least, most) end
    known.fifo = wanted
    return
  end
  local last = {}
  local found = take_all(FIFO, function(messages)
    check_order(messages, last)
    delete_all(FIFO, messages)
    sums.messages = sums.messages + #messages
  end)
  check_messages(FIFO, found, wanted)
  known.fifo = {}
end

function sqs.verify(known, names, sums, drain)
  for _, name in ipairs(names) do
    for _, entry in ipairs(read_journal(name)) do
      count(sums, name, entry)
      for _, ident in ipairs(entry.effect.sends or {}) do known[name].version = math.max(known[name].version, number_of(ident)) end
    end
  end
  verify_standard(known, read_messages(STANDARD, names), sums, drain)
  verify_fifo(known, read_messages(FIFO, names), sums, drain)
end

-- ---- commands ----

local services = { dynamodb = dynamodb, sqs = sqs, s3 = s3 }
local ORDER = { "dynamodb", "sqs", "s3" }

local commands = {}

function commands.setup()
  local known = {}
  for _, service in ipairs(ORDER) do
    services[service].setup()
    known[service] = { names = {}, standard = {}, fifo = {} }
  end
  for i = 3, #arg do
    local of = known[arg[i]:match "^(%w+)%-"]
    table.insert(of.names, arg[i])
    of[arg[i]] = { items = {}, adds = {}, version = 0 }
  end
  write(dir .. "/known.json", json.encode(known))
end

function commands.work()
  local name = arg[3]
  math.randomseed(math.tointeger(tonumber(arg[4])))
  local service = name:match "^(%w+)%-"
  local state = load_known()[service][name]
  journal = assert(io.open(dir .. "/" .. name .. ".journal", "wb"))
  print "working"
  io.stdout:flush()
  while true do services[service].step(name, state) end
end

function commands.verify()
  math.randomseed(math.tointeger(tonumber(arg[3])))
  local known = load_known()
  local sums = { acknowledged = 0, refused = 0, doubt = 0, applied = 0, messages = 0, aborted = 0 }
  for _, service in ipairs(ORDER) do services[service].verify(known[service], known[service].names, sums, arg[4] == "drain") end
  write(dir .. "/known.json", json.encode(known))
  for _, service in ipairs(ORDER) do
    for _, name in ipairs(known[service].names) do os.remove(dir .. "/" .. name .. ".journal") end
  end
  sums.doubtful = nil
  print("verified " .. json.encode(sums))
end

commands[command]()
