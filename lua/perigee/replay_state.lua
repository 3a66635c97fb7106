--- perigee.replay_state: the state that a recorded run saw: read from its calls, put into an engine in memory, and what an
--- engine holds afterwards.
local crypto = require "perigee.crypto"
local json = require "perigee.json"
local recordings = require "perigee.recordings"

local replay_state = {}

---@class perigee.State
---@field items table<string, table<string, { key: table, item: table?, part: boolean }>> by table and text of the key
---@field objects table<string, { bucket: string, key: string, there: boolean, bytes: string?, size: integer?, head: table? }>
---@field queries table[] the parameters of Query and Scan
---@field partly string[] items of which only some attributes are known
local State = {}
State.__index = State

---@return perigee.State
function replay_state.new() return setmetatable({ items = {}, objects = {}, queries = {}, partly = {} }, State) end

---The text of a key, whatever the order of its members.
---@param key table
---@return string
function replay_state.key_text(key)
  local parts = {}
  for name, value in pairs(key) do
    local _, v = next(value)
    parts[#parts + 1] = name .. "=" .. tostring(v)
  end
  table.sort(parts)
  return table.concat(parts, ", ")
end

local function table_name(text) return text:match "[^/]*$" end

function State:learn(name, key, item, part)
  name = table_name(name)
  local of = self.items[name] or {}
  self.items[name] = of
  local text = replay_state.key_text(key)
  local known = of[text]
  if known and not (known.part and not part and not known.written) then return end
  of[text] = { key = key, item = item, part = part or false }
end

function State:knows(name, key)
  local of = self.items[table_name(name)]
  return of ~= nil and of[replay_state.key_text(key)] ~= nil
end

function State:learn_object(bucket, key, found)
  local name = bucket .. "/" .. key
  local known = self.objects[name]
  if known and not (known.there and not known.bytes and found.bytes and not known.written) then return end
  found.bucket, found.key = bucket, key
  self.objects[name] = found
end

---@return table? known
function State:object(bucket, key) return self.objects[bucket .. "/" .. key] end

-- ==== from calls ========================================================================================================

---@class perigee.Schemas what tables look like
---@field keys fun(name: string): string[]
---@field whole fun(name: string, index: string?): boolean the index has every attribute

local function key_of(schemas, name, item)
  local key = {}
  for _, attribute in ipairs(schemas.keys(name)) do
    if not item[attribute] then return nil end
    key[attribute] = item[attribute]
  end
  return next(key) and key
end

local function partial(params, schemas)
  if params.ProjectionExpression or params.AttributesToGet then return true end
  return not schemas.whole(params.TableName, params.IndexName)
end

local from = {}

from["dynamodb:GetItem"] = function(state, call)
  if call.before then return end
  state:learn(call.params.TableName, call.params.Key, call.result.Item, call.params.ProjectionExpression ~= nil)
end

local function found(state, call, schemas)
  local p = call.params
  state.queries[#state.queries + 1] = p
  local part = partial(p, schemas)
  for _, item in ipairs(call.result.Items or {}) do
    local key = key_of(schemas, p.TableName, item)
    if key then state:learn(p.TableName, key, item, part) end
  end
end
from["dynamodb:Query"], from["dynamodb:Scan"] = found, found

from["dynamodb:BatchGetItem"] = function(state, call, schemas)
  for name, items in pairs(call.result.Responses or {}) do
    for _, item in ipairs(items) do
      local key = key_of(schemas, name, item)
      if key then state:learn(name, key, item) end
    end
  end
end

from["s3:GetObject"] = function(state, call)
  local bytes, omitted = recordings.bytes(call, "result_body")
  if call.params.Range then bytes, omitted = nil, nil end
  state:learn_object(call.params.Bucket, call.params.Key,
    { there = true, bytes = bytes, size = omitted ~= 0 and omitted or call.result.ContentLength, head = call.result })
end

from["s3:HeadObject"] = function(state, call)
  state:learn_object(call.params.Bucket, call.params.Key, { there = true, size = call.result.ContentLength, head = call.result })
end

local function listed(state, call)
  for _, object in ipairs(call.result.Contents or {}) do
    state:learn_object(call.params.Bucket, object.Key, { there = true, size = object.Size })
  end
end
from["s3:ListObjectsV2"], from["s3:ListObjects"] = listed, listed

-- What the call found before it did anything.
local function learn_before(state, call)
  for _, one in ipairs(call.before or {}) do
    state:learn(one.TableName, one.Key, one.Item ~= json.null and one.Item or nil)
  end
  for _, one in ipairs(call.objects or {}) do
    state:learn_object(one.Bucket, one.Key, { there = one.exists, size = one.head and one.head.ContentLength, head = one.head })
  end
end

local function learn_failure(state, call)
  local missing = call.error.status == 404
  if call.service ~= "s3" or not missing or not call.params.Key then return end
  state:learn_object(call.params.Bucket, call.params.Key, { there = false })
end

local function note_written(state, call)
  for _, one in ipairs(call.before or {}) do
    local known = (state.items[table_name(one.TableName)] or {})[replay_state.key_text(one.Key)]
    if known then known.written = true end
  end
  for _, one in ipairs(call.objects or {}) do
    local known = state.objects[one.Bucket .. "/" .. one.Key]
    if known then known.written = true end
  end
end

---What the run saw: of each item and object the first that is known.
---@param calls table[]
---@param schemas perigee.Schemas
---@return perigee.State
function replay_state.of_calls(calls, schemas)
  local state = replay_state.new()
  for _, call in ipairs(calls) do
    learn_before(state, call)
    local read = from[call.service .. ":" .. call.action]
    if call.error then
      learn_failure(state, call)
    elseif read and call.result then
      read(state, call, schemas)
    end
    if call.effect then note_written(state, call) end
  end
  return state
end

-- ==== into an engine ====================================================================================================

---@param h table a host
---@return perigee.Schemas
function replay_state.schemas(h)
  local tables = {}
  local function describe(name)
    name = table_name(name)
    if tables[name] == nil then
      local out = h:aws("dynamodb", "DescribeTable", { TableName = name })
      tables[name] = out and out.Table or false
    end
    return tables[name]
  end
  local schemas = {}
  function schemas.keys(name)
    local keys, described = {}, describe(name)
    for i, key in ipairs(described and described.KeySchema or {}) do keys[i] = key.AttributeName end
    return keys
  end
  function schemas.whole(name, index)
    if not index then return true end
    local described = describe(name)
    for _, list in ipairs { "GlobalSecondaryIndexes", "LocalSecondaryIndexes" } do
      for _, one in ipairs(described and described[list] or {}) do
        if one.IndexName == index then return one.Projection.ProjectionType == "ALL" end
      end
    end
    return false
  end
  return schemas
end

---Objects whose bytes are not known are so many zero bytes.
---@param size integer?
---@return string
local function stand_in(size) return ("\0"):rep(math.min(size or 0, 16 << 20)) end

local function put_object(h, o)
  local head = o.head or {}
  return h:aws("s3", "PutObject", { Bucket = o.bucket, Key = o.key, ContentType = head.ContentType, Metadata = head.Metadata },
    o.bytes or stand_in(o.size))
end

---Puts it into the engine of h.
---@param h table
---@param warn fun(text: string)
---@return integer items
---@return integer objects
function State:fill(h, warn)
  local items, objects, refused = 0, 0, {}
  for name, of in pairs(self.items) do
    for text, known in pairs(of) do
      local ok, err = true, nil
      if known.item then ok, err = h:aws("dynamodb", "PutItem", { TableName = name, Item = known.item }) end
      if not ok then refused[name] = err end
      if ok and known.item then items = items + 1 end
      if known.item and known.part then
        warn(("of %s{%s} only some attributes were recorded: the others are missing"):format(name, text))
      end
    end
  end
  for _, o in pairs(self.objects) do
    if o.there then
      local ok, err = put_object(h, o)
      if not ok then refused[o.bucket] = err end
      if ok then objects = objects + 1 end
    end
  end
  for name, err in pairs(refused) do warn(("what was recorded of %s is left out: %s"):format(name, err.message)) end
  return items, objects
end

-- ==== afterwards ========================================================================================================

local WRITES = {
  ["dynamodb:PutItem"] = true, ["dynamodb:UpdateItem"] = true, ["dynamodb:DeleteItem"] = true, ["dynamodb:BatchWriteItem"] = true,
  ["dynamodb:TransactWriteItems"] = true, ["sqs:SendMessage"] = true, ["sqs:SendMessageBatch"] = true, ["s3:PutObject"] = true,
  ["s3:DeleteObject"] = true, ["s3:DeleteObjects"] = true, ["s3:CopyObject"] = true,
}

-- The bytes that a call stored; those that are not known are noted.
local function body_of(call, unknown)
  if call.action ~= "PutObject" then return nil end
  local bytes, omitted = recordings.bytes(call, "body")
  if not bytes then unknown[call.params.Bucket .. "/" .. call.params.Key] = true end
  return bytes or stand_in(omitted)
end

---Does again what the calls of a recording changed. nil, why: it cannot be done.
---@param h table
---@param calls table[]
---@return table<string, true>? unknown objects whose bytes are not known
---@return string? why
function replay_state.apply(h, calls)
  local unknown = {}
  for _, call in ipairs(calls) do
    if call.effect and WRITES[call.service .. ":" .. call.action] then
      local ok, err = h:aws(call.service, call.action, call.params, body_of(call, unknown))
      if not ok then return nil, ("call %d, %s:%s: %s"):format(call.n, call.service, call.action, err.message) end
    end
  end
  return unknown
end

local function each_page(h, service, action, params, from_member, to_member, fn)
  repeat
    local page = h:aws(service, action, params)
    if not page then return end
    fn(page)
    params[to_member] = page[from_member]
  until not params[to_member]
end

local function each_item(h, template, schemas, fn)
  for _, t in ipairs(template.tables or {}) do
    local params = { TableName = t.name, ConsistentRead = true }
    each_page(h, "dynamodb", "Scan", params, "LastEvaluatedKey", "ExclusiveStartKey", function(page)
      for _, item in ipairs(page.Items) do
        local key = key_of(schemas, t.name, item)
        if key then fn(t.name, key, item) end
      end
    end)
  end
end

local function each_object(h, template, fn)
  for _, b in ipairs(template.buckets or {}) do
    each_page(h, "s3", "ListObjectsV2", { Bucket = b.name }, "NextContinuationToken", "ContinuationToken", function(page)
      for _, object in ipairs(page.Contents or {}) do fn(b.name, object) end
    end)
  end
end

local function messages_of(h, template, out)
  for _, q in ipairs(template.queues or {}) do
    local url = "http://127.0.0.1/000000000000/" .. q.name
    for n = 1, 100 do
      local got = h:aws("sqs", "ReceiveMessage", { QueueUrl = url, MaxNumberOfMessages = 10, WaitTimeSeconds = 0 })
      for i, message in ipairs(got and got.Messages or {}) do
        out[#out + 1] = { what = "queue " .. q.name, name = ("message %d"):format((n - 1) * 10 + i), value = message.Body }
      end
      if not got or #(got.Messages or {}) == 0 then break end
    end
  end
end

---All that the engine holds of what the template declares: { what, name, value } in order.
---@param h table
---@param template table what host.inspect says
---@param unknown table<string, true>? of replay_state.apply
---@return { what: string, name: string, value: any }[]
function replay_state.read(h, template, unknown)
  local out = {}
  each_item(h, template, replay_state.schemas(h), function(name, key, item)
    out[#out + 1] = { what = name, name = replay_state.key_text(key), value = item }
  end)
  each_object(h, template, function(bucket, object)
    local bytes = not (unknown or {})[bucket .. "/" .. object.Key] and object.Size or recordings.UNKNOWN
    out[#out + 1] = { what = "s3://" .. bucket, name = object.Key, value = { bytes = bytes } }
  end)
  messages_of(h, template, out)
  table.sort(out, function(a, b) return a.what .. "\0" .. a.name < b.what .. "\0" .. b.name end)
  return out
end

-- ==== of a store =======================================================================================================

local COPIED_BYTES = 1 << 20 -- of one object; of a larger one the size

local function copy_object(store, state, bucket, object)
  local got = object.Size <= COPIED_BYTES and store:call("s3", "GetObject", { Bucket = bucket, Key = object.Key }) or nil
  state:learn_object(bucket, object.Key, { there = true, bytes = got and got.Body, size = object.Size, head = got })
end

---What a store has of the template's tables and buckets. Messages stay where they are: nobody can look at them and not take
---them.
---@param store perigee.Store
---@param template table
---@param schemas perigee.Schemas
---@return perigee.State
function replay_state.of_store(store, template, schemas)
  local state = replay_state.new()
  local as_host = { aws = function(_, ...) return store:call(...) end }
  each_item(as_host, template, schemas, function(name, key, item) state:learn(name, key, item) end)
  each_object(as_host, template, function(bucket, object) copy_object(store, state, bucket, object) end)
  return state
end

---A number for the seed of a run: of the same recording always the same.
---@param text string
---@return integer
function replay_state.seed(text) return tonumber(crypto.sha256(text):sub(1, 12), 16) + 1 end

return replay_state
