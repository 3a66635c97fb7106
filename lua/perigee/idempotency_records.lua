--- The records of perigee.idempotency: who does a thing (a claim with a lease), and what came of it. Every write has a
--- condition, and each claim has a holder of its own: a write that happened though its answer was lost is recognised by it.
---
--- A record: key; phase "running" or "done" (none: written as done in a transaction); holder; lease_until (ms) while it runs;
--- held: true when nobody may take it over after the lease; request_hash; created_at; expires_at (s, the table's time to live);
--- of answers: answer_status, answer_headers, answer (text or bytes), answer_bytes, omitted (why there is no answer).
local aws = require "perigee.aws"
local crypto = require "perigee.crypto"
local json = require "perigee.json"
local log = require "perigee.log"
local time = require "perigee.time"

local records = {}

---@class perigee.IdempotencyRecord
---@field key string
---@field phase "running"|"done"|nil
---@field holder string?
---@field lease_until integer? Unix ms
---@field held boolean?
---@field request_hash string?
---@field created_at string?
---@field expires_at integer? Unix seconds
---@field answer_status integer?
---@field answer_headers table<string, string|string[]>?
---@field answer string|perigee.aws.Binary|nil
---@field answer_bytes integer?
---@field omitted string?

---@class perigee.IdempotencyClaim
---@field table string
---@field key string
---@field holder string
---@field lease_until integer Unix ms
---@field ttl integer seconds

-- ==== settings ========================================================================================================

---@return string
function records.table_name()
  return os.getenv "IDEMPOTENCY_TABLE" or error("the environment variable IDEMPOTENCY_TABLE is not set", 3)
end

---@param variable string
---@return integer
function records.seconds(variable)
  local seconds = math.tointeger(tonumber(os.getenv(variable)))
  if not seconds or seconds < 1 then error(("the environment variable %s must be a positive integer"):format(variable), 3) end
  return seconds
end

---@param value "expire"|"hold"|nil
---@return boolean hold
function records.on_timeout(value)
  if value ~= nil and value ~= "expire" and value ~= "hold" then error('on_timeout is "expire" or "hold"', 3) end
  return value == "hold"
end

---SHA-256 of a JSON value in hexadecimal.
---@param value any
---@return string
function records.hash(value) return crypto.sha256(json.encode(value)) end

-- ==== records =========================================================================================================

local function now_s() return time.now() // 1000 end

---What is over: the table's time to live deletes late.
---@param record perigee.IdempotencyRecord
---@return boolean
function records.is_expired(record) return record.expires_at ~= nil and record.expires_at < now_s() end

---Running, and nobody may take it over: its lease goes on, or it is held.
---@param record perigee.IdempotencyRecord
---@return boolean
function records.is_locked(record)
  return record.phase == "running" and (record.held == true or (record.lease_until or 0) >= time.now())
end

records.HELD = "an earlier run did not end, and nothing is done before somebody has looked (perigee idempotency evict %s)"

---Its lease is over, and nobody takes it over.
---@param record perigee.IdempotencyRecord
---@return boolean
function records.is_held(record)
  return records.is_locked(record) and (record.lease_until or 0) < time.now()
end

---@param table_name string
---@param key string
---@return perigee.IdempotencyRecord? # nil, too, when it is expired
---@return perigee.Error? err
function records.read(table_name, key)
  local found, err = aws.dynamodb:get_item { TableName = table_name, Key = { key = key }, ConsistentRead = true }
  if not found then return nil, err end
  local record = found.Item
  if record and records.is_expired(record) then return nil end
  return record
end

local FREE = "attribute_not_exists(#key) OR expires_at < :now_s OR "
  .. "(phase = :running AND lease_until < :now AND attribute_not_exists(held)%s)"
local SAME = " AND (attribute_not_exists(request_hash) OR request_hash = :hash)"

local function put(claim, hash, hold)
  return aws.dynamodb:put_item {
    TableName = claim.table,
    Item = { key = claim.key, phase = "running", holder = claim.holder, lease_until = claim.lease_until, held = hold or nil,
      request_hash = hash, created_at = time.iso(),
      -- what is held stays until somebody evicts it; the rest is not deleted while it runs
      expires_at = not hold and math.max(now_s() + claim.ttl, claim.lease_until // 1000 + 1) or nil },
    ConditionExpression = FREE:format(hash and SAME or ""),
    ExpressionAttributeNames = { ["#key"] = "key" },
    ExpressionAttributeValues = { [":running"] = "running", [":now"] = time.now(), [":now_s"] = now_s(), [":hash"] = hash },
    ReturnValuesOnConditionCheckFailure = "ALL_OLD",
  }
end

---Takes the key for lease_ms. Exactly one of the three is returned: a claim; the record of whoever has it; an error, and then
---nothing is known to be taken.
---@param table_name string
---@param key string
---@param options { lease_ms: integer, ttl: integer, hold: boolean?, hash: string? }
---@return perigee.IdempotencyClaim? claim
---@return perigee.IdempotencyRecord? record
---@return perigee.Error? err
function records.claim(table_name, key, options)
  local claim = { table = table_name, key = key, holder = crypto.uuid(), lease_until = time.now() + options.lease_ms,
    ttl = options.ttl }
  local done, err = put(claim, options.hash, options.hold)
  if done then return claim end
  local record, failure = err.Item, nil
  if not record then record, failure = records.read(table_name, key) end
  if record and record.holder == claim.holder then return claim end -- it happened: only the answer was lost
  if err.code ~= "ConditionalCheckFailedException" then return nil, nil, err end
  if record then return nil, record end
  failure = failure or { code = "InProgress", message = key .. " was released this moment", retryable = true }
  return nil, nil, failure
end

local FINISH_ATTEMPTS = 20

local function complete(claim, fields)
  local sets, names = { "phase = :done", "expires_at = :expires" }, {}
  local values = { [":done"] = "done", [":me"] = claim.holder, [":expires"] = now_s() + claim.ttl }
  for name, value in pairs(fields) do names[#names + 1], values[":" .. name] = name, value end
  table.sort(names)
  for _, name in ipairs(names) do sets[#sets + 1] = name .. " = :" .. name end
  return aws.dynamodb:update_item {
    TableName = claim.table,
    Key = { key = claim.key },
    UpdateExpression = "SET " .. table.concat(sets, ", ") .. " REMOVE lease_until, held",
    ConditionExpression = "holder = :me",
    ExpressionAttributeValues = values,
  }
end

---Writes what came of it. Insists until `until_ms`, or the end of the lease: what is not completed by then is as if its process
---had died.
---@param claim perigee.IdempotencyClaim
---@param fields table<string, any> of the record
---@param until_ms integer? Unix ms
---@return perigee.Error? err
function records.complete(claim, fields, until_ms)
  local pause, err = 50, nil
  local last = math.min(claim.lease_until, until_ms or claim.lease_until)
  for _ = 1, FINISH_ATTEMPTS do
    local done
    done, err = complete(claim, fields)
    if done then return nil end
    if not err.retryable or time.now() + pause > last then break end
    time.sleep(pause)
    pause = math.min(2 * pause, 1000)
  end
  return err
end

---Gives the key back: nothing was done.
---@param claim perigee.IdempotencyClaim
function records.release(claim)
  local _, err = aws.dynamodb:delete_item {
    TableName = claim.table,
    Key = { key = claim.key },
    ConditionExpression = "holder = :me",
    ExpressionAttributeValues = { [":me"] = claim.holder },
  }
  if err then log.warn("record not released: its lease has to end first", { key = claim.key, error = tostring(err) }) end
end

return records
