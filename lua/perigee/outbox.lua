--- The transactional outbox: items and the events that tell of them are written in ONE TransactWriteItems; so neither can
--- exist without the other, whenever the process dies. The events are sent after the reply; the relay sends what then is left.
---
---   local ok, err = outbox.commit(context, {
---     { Put = { TableName = ..., Item = ..., ConditionExpression = ... } },   -- entries of TransactWriteItems
---     events = { { queue = "ORDER_EVENTS_QUEUE", type = "order.created", data = { order_id = id } } },
---   })
---   if not ok and err.failed then ... err.failed[1] == "ConditionalCheckFailed" ... end
---
--- `queue` names the environment variable that holds the queue's URL, for the sender and for the relay alike; OUTBOX_TABLE holds
--- the outbox (key: shard, event_id). An event on the queue is {id,type,version,occurred_at,correlation_id,data}.
---
--- Delivery is at least once: a crash between sending and deleting sends again, so consumers must be idempotent by event id.
--- Senders that commit at the same time share batches: up to ten events a SendMessageBatch, rows deleted by one BatchWriteItem.
local aws = require "perigee.aws"
local crypto = require "perigee.crypto"
local json = require "perigee.json"
local log = require "perigee.log"
local time = require "perigee.time"

local outbox = {}

---@class perigee.Event
---@field queue string environment variable with the queue's URL
---@field type string "order.created"
---@field data table
---@field version integer? of the event's shape; 1

local SHARDS = 8          -- spreads writes over partitions; a constant, since rows stay in the shard they were written to
local BATCH = 10          -- SendMessageBatch's limit
local FLUSHERS = 16       -- at once, a function and queue
local ROUNDS = 40         -- batches a job sends for others before it leaves the rest to them
local PENDING_MAX = 10000 -- rows remembered for sending, a function and queue; more are the relay's
local GRACE_MS = 2000     -- younger events are still on their first way out: the relay leaves them alone
local RELAY_MAX = 4000    -- events a run of the relay: stays far below a job's limit of AWS calls
local ATTEMPTS = 5        -- of a transaction that meets another one

local function variable(name)
  local value = os.getenv(name)
  if not value or value == "" then error(("the environment variable %s is not set"):format(name), 3) end
  return value
end

-- ==== sending =========================================================================================================

-- Sends rows (at most BATCH) of one queue, then deletes those that were accepted. Returns how many; nil, err when none was.
local function deliver(queue, rows)
  local entries = json.array {}
  for i, row in ipairs(rows) do entries[i] = { Id = tostring(i), MessageBody = row.body } end
  local sent, err = aws.sqs:send_message_batch { QueueUrl = variable(queue), Entries = entries }
  if not sent then return nil, err end
  local requests = json.array {}
  for _, done in ipairs(sent.Successful or {}) do
    local row = rows[math.tointeger(tonumber(done.Id))]
    requests[#requests + 1] = { DeleteRequest = { Key = { shard = row.shard, event_id = row.event_id } } }
  end
  for _, failed in ipairs(sent.Failed or {}) do
    log.warn("event not accepted by its queue: stays in the outbox",
      { event_id = rows[math.tointeger(tonumber(failed.Id))].event_id, queue = queue, code = failed.Code })
  end
  if #requests > 0 then
    local _, failure = aws.dynamodb:batch_write_item { RequestItems = { [variable "OUTBOX_TABLE"] = requests } }
    if failure then log.warn("events sent but not deleted: they will be sent again", { error = tostring(failure) }) end
  end
  return #requests
end

-- Events committed and not yet sent, by function and queue: whoever flushes a lane has the right to send to it.
local lanes = {}

local function lane_of(context, queue)
  local name = context.function_name .. " " .. queue
  local lane = lanes[name] or { queue = queue, rows = {}, first = 1, last = 0, flushers = 0 }
  lanes[name] = lane
  return lane
end

local function pending(lane) return lane.last - lane.first + 1 end

local function push(lane, row)
  if pending(lane) >= PENDING_MAX then return end
  lane.last = lane.last + 1
  lane.rows[lane.last] = row
end

local function take(lane, n)
  local taken = {}
  while #taken < n and lane.first <= lane.last do
    taken[#taken + 1] = lane.rows[lane.first]
    lane.rows[lane.first] = nil
    lane.first = lane.first + 1
  end
  return taken
end

local Flusher = { __close = function(flusher) flusher.lane.flushers = flusher.lane.flushers - 1 end }

-- A lane with a flusher that has room for more in its next batch needs no second one.
local function flush(lane, context)
  if lane.flushers > 0 and (pending(lane) < BATCH or lane.flushers >= FLUSHERS) then return end
  lane.flushers = lane.flushers + 1
  local _ <close> = setmetatable({ lane = lane }, Flusher)
  for _ = 1, ROUNDS do
    if pending(lane) == 0 or context:remaining() < 1000 then return end
    local sent, err = deliver(lane.queue, take(lane, BATCH))
    if not sent then
      log.warn("events not sent: the relay will", { queue = lane.queue, error = tostring(err) })
      return
    end
  end
end

-- ==== committing ======================================================================================================

local function correlation_of(context)
  local id = context.correlation_id
  return id and id ~= "" and id or context.request_id
end

local function row_of(context, event)
  local id = crypto.uuid()
  return {
    shard = tostring(crypto.crc32(id) % SHARDS),
    event_id = id,
    queue = event.queue,
    committed_at = time.now(),
    body = json.encode {
      id = id,
      type = event.type,
      version = event.version or 1,
      occurred_at = time.iso(),
      correlation_id = correlation_of(context),
      data = event.data,
    },
  }
end

local function reasons(err, n)
  local failed, met = nil, false
  for i, reason in ipairs(err.CancellationReasons or {}) do
    if reason.Code == "TransactionConflict" then met = true end
    if i <= n and reason.Code == "ConditionalCheckFailed" then
      failed = failed or {}
      failed[i] = reason.Code
    end
  end
  return failed, met
end

local function transact(items, n)
  for attempt = 1, ATTEMPTS do
    local done, err = aws.dynamodb:transact_write_items { TransactItems = items }
    if done then return true end
    local failed, met = reasons(err, n)
    if failed then
      err.failed = failed
      return nil, err
    end
    if not met or attempt == ATTEMPTS then return nil, err end
    time.sleep(math.random(5, 10 << attempt)) -- another transaction holds one of the items
  end
end

---Writes items and events in one transaction; the events go out after the reply. On failure nothing was written, and
---err.failed, when conditions failed, has "ConditionalCheckFailed" at the index of each such item.
---@param context perigee.Context
---@param work { [integer]: table, events: perigee.Event[]? } entries of TransactWriteItems, and events
---@return true? ok
---@return perigee.Error? err
function outbox.commit(context, work)
  local items, rows, n = json.array {}, {}, #work
  for i = 1, n do items[i] = work[i] end
  for i, event in ipairs(work.events or {}) do
    rows[i] = row_of(context, event)
    items[n + i] = { Put = { TableName = variable "OUTBOX_TABLE", Item = rows[i] } }
  end
  local ok, err = transact(items, n)
  if not ok then return nil, err end
  if #rows == 0 then return true end
  for _, row in ipairs(rows) do push(lane_of(context, row.queue), row) end
  context:after(function()
    for _, row in ipairs(rows) do flush(lane_of(context, row.queue), context) end
  end)
  return true
end

-- ==== the relay =======================================================================================================

-- How many of these rows were sent, and the first error.
local function deliver_page(rows)
  local queues, sent, failure = {}, 0, nil
  for _, row in ipairs(rows) do
    queues[row.queue] = queues[row.queue] or {}
    table.insert(queues[row.queue], row)
  end
  for queue, list in pairs(queues) do
    for i = 1, #list, BATCH do
      local n, err = deliver(queue, table.move(list, i, math.min(i + BATCH - 1, #list), 1, {}))
      if n then
        sent = sent + n
      else
        log.error("events not sent: they stay in the outbox", { queue = queue, error = tostring(err) })
        failure = failure or err
        break
      end
    end
  end
  return sent, failure
end

-- What seems to come from the future was committed before the clock was set back.
local OLD_ENOUGH = "committed_at <= :cutoff OR committed_at > :now"

local function relay_shard(context, shard, now, budget)
  local sent, from = 0, nil
  repeat
    local page, err = aws.dynamodb:query {
      TableName = variable "OUTBOX_TABLE",
      KeyConditionExpression = "#shard = :shard",
      FilterExpression = OLD_ENOUGH,
      ExpressionAttributeNames = { ["#shard"] = "shard" },
      ExpressionAttributeValues = { [":shard"] = tostring(shard), [":cutoff"] = now - GRACE_MS, [":now"] = now },
      ConsistentRead = true,
      ExclusiveStartKey = from,
      Limit = 100,
    }
    if not page then return nil, err end
    from = page.LastEvaluatedKey
    local n, failure = deliver_page(page.Items)
    sent = sent + n
    if failure then return sent, failure end
  until not from or sent >= budget or context:remaining() < 5000
  return sent
end

---Sends what is still in the outbox, oldest first in each shard. For a function on a schedule. A shard or queue that fails does
---not keep the others back.
---@param context perigee.Context
---@return integer? sent nil when something could not be sent
---@return perigee.Error? err the first one
function outbox.relay(context)
  local now, sent, failure = time.now(), 0, nil
  for i = 0, SHARDS - 1 do
    local n, err = relay_shard(context, (now // 60000 + i) % SHARDS, now, RELAY_MAX - sent)
    sent, failure = sent + (n or 0), failure or err
    if sent >= RELAY_MAX or context:remaining() < 5000 then
      log.warn("the outbox holds more than one run can send", { sent = sent })
      break
    end
  end
  if failure then return nil, failure end
  return sent
end

return outbox
