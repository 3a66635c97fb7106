--- Pages of items over KEYS_ONLY indexes, newest first, merged from several partitions of an index when one is not enough.
---
---   local items, cursor, err = pages.newest {
---     table = "Orders", key = "order_id", sort = "created_at", limit = 20, cursor = request.query.cursor,
---     sources = { { index = "by_status", attribute = "status", value = "PAID" }, ... },
---     keep = function(item) return item.user_id == "u-1" end,
---   }
---
--- A cursor holds the last key taken of each source, so that nothing is skipped or shown twice even among items of the same
--- instant. It fits only the query that it came from. Items that change partition between two pages move with them.
local aws = require "perigee.aws"
local crypto = require "perigee.crypto"
local json = require "perigee.json"
local parallel = require "perigee.parallel"

local pages = {}

---@class perigee.PageSource
---@field index string
---@field attribute string the index's partition key
---@field value string

---@class perigee.PageQuery
---@field table string
---@field key string the table's partition key
---@field sort string the indexes' sort key
---@field limit integer
---@field cursor string?
---@field sources perigee.PageSource[]
---@field keep (fun(item: table): boolean)? leaves others out

local ROUNDS = 10 -- of a query that keeps little: the page then is short, the cursor goes on

-- ==== cursors =========================================================================================================

local function fingerprint(q)
  local words = { q.table, q.sort }
  for _, s in ipairs(q.sources) do words[#words + 1] = s.index .. "=" .. s.value end
  return crypto.sha256(table.concat(words, "\0")):sub(1, 16)
end

-- Positions: "" the start, "end" nothing left, else { sort, key } of the item taken last.
local function read_cursor(q)
  local positions = {}
  if not q.cursor or q.cursor == "" then
    for i in ipairs(q.sources) do positions[i] = "" end
    return positions
  end
  local text = #q.cursor <= 8192 and crypto.unbase64url(q.cursor)
  local value = text and json.decode(text)
  local list = type(value) == "table" and value.query == fingerprint(q) and value.at
  if type(list) ~= "table" or #list ~= #q.sources then return nil end
  for i, p in ipairs(list) do
    local pair = type(p) == "table" and #p == 2 and type(p[1]) == "string" and type(p[2]) == "string"
    if not pair and p ~= "" and p ~= "end" then return nil end
    positions[i] = p
  end
  return positions
end

local function write_cursor(q, positions)
  for _, p in ipairs(positions) do
    if p ~= "end" then
      return crypto.base64url(json.encode { query = fingerprint(q), at = json.array(positions) })
    end
  end
end

-- ==== merging =========================================================================================================

---@class perigee.PageStream
---@field keys table[] read and not yet taken
---@field position string|string[] in the cursor's terms
---@field from table? ExclusiveStartKey of the next read
---@field more boolean

local function start_key(q, source, position)
  if type(position) ~= "table" then return nil end
  return { [source.attribute] = source.value, [q.sort] = position[1], [q.key] = position[2] }
end

local function fill(q, source, stream)
  while #stream.keys == 0 and stream.more do
    local page, err = aws.dynamodb:query {
      TableName = q.table,
      IndexName = source.index,
      KeyConditionExpression = "#partition = :value",
      ExpressionAttributeNames = { ["#partition"] = source.attribute },
      ExpressionAttributeValues = { [":value"] = source.value },
      ScanIndexForward = false,
      ExclusiveStartKey = stream.from,
      Limit = q.limit,
    }
    if not page then return nil, err end
    stream.keys, stream.from = page.Items, page.LastEvaluatedKey
    stream.more = stream.from ~= nil
  end
  return true
end

local function fill_all(q, streams)
  local tasks = {}
  for i, source in ipairs(q.sources) do
    if #streams[i].keys == 0 and streams[i].more then
      tasks[#tasks + 1] = function() return fill(q, source, streams[i]) end
    end
  end
  for _, result in ipairs(parallel(tasks)) do
    local ok, done, err = table.unpack(result, 1, 3)
    if not ok then return nil, done end
    if not done then return nil, err end
  end
  return true
end

local function newest_stream(q, streams)
  local best
  for _, stream in ipairs(streams) do
    local head = stream.keys[1]
    if head and (not best or head[q.sort] > best.keys[1][q.sort]) then best = stream end
  end
  return best
end

local function take(q, streams, n)
  local keys = {}
  while #keys < n do
    local ok, err = fill_all(q, streams)
    if not ok then return nil, err end
    local stream = newest_stream(q, streams)
    if not stream then break end
    local key = table.remove(stream.keys, 1)
    stream.position = { key[q.sort], key[q.key] }
    keys[#keys + 1] = { [q.key] = key[q.key] }
  end
  return keys
end

local function get_items(q, keys)
  local found, wanted = {}, { [q.table] = { Keys = json.array(keys), ConsistentRead = true } }
  while wanted and next(wanted) do
    local got, err = aws.dynamodb:batch_get_item { RequestItems = wanted }
    if not got then return nil, err end
    for _, item in ipairs(got.Responses[q.table] or {}) do found[item[q.key]] = item end
    wanted = got.UnprocessedKeys
  end
  return found
end

---One page. nil, nil, err when AWS failed; err.code is "BadCursor" for a cursor that is not one of this query.
---@param q perigee.PageQuery
---@return table[]? items
---@return string? cursor of the next page; nil: this was the last
---@return perigee.Error? err
function pages.newest(q)
  local positions = read_cursor(q)
  if not positions then return nil, nil, { code = "BadCursor", message = "the cursor does not belong to this query" } end
  local streams, items = {}, {}
  for i, source in ipairs(q.sources) do
    local p = positions[i]
    streams[i] = { keys = {}, position = p, from = start_key(q, source, p), more = p ~= "end" }
  end
  for _ = 1, ROUNDS do
    local keys, err = take(q, streams, q.limit - #items)
    if not keys then return nil, nil, err end
    if #keys == 0 then break end
    local found, failure = get_items(q, keys)
    if not found then return nil, nil, failure end
    for _, key in ipairs(keys) do
      local item = found[key[q.key]]
      if item and (not q.keep or q.keep(item)) then items[#items + 1] = item end
    end
    if #items == q.limit then break end
  end
  for i, stream in ipairs(streams) do
    positions[i] = (#stream.keys == 0 and not stream.more) and "end" or stream.position
  end
  return items, write_cursor(q, positions)
end

return pages
