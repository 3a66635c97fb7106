--- Doing things once although they are asked for more than once.
---
--- Requests: the answer is stored under a key (the Idempotency-Key header) with a hash of the request, in the SAME transaction
--- as the effect; so it exists exactly when the effect does.
---
---   local key, refused = idempotency.key("orders", request)       -- nil when the header is absent
---   local hash = idempotency.hash(content)
---   outbox.commit(context, { put_order, idempotency.record(key, hash, answer), events = ... })
---   -- its condition failed: the request came before
---   return idempotency.replay(key, hash)                         -- the same answer, or 409 for other content
---
--- Effects outside of DynamoDB (a mail): idempotency.once, a marker with a lease.
---
--- Environment: IDEMPOTENCY_TABLE (key: key; TTL: expires_at), IDEMPOTENCY_SECONDS (how long answers are kept), EFFECT_SECONDS
--- (how long effects are remembered: longer than any message can come back).
local aws = require "perigee.aws"
local crypto = require "perigee.crypto"
local http = require "perigee.http"
local json = require "perigee.json"
local log = require "perigee.log"
local time = require "perigee.time"

local idempotency = {}

idempotency.HEADER = "idempotency-key"
local REPLAYED = { ["Idempotent-Replayed"] = "true" }

local function table_name()
  return os.getenv "IDEMPOTENCY_TABLE" or error("the environment variable IDEMPOTENCY_TABLE is not set", 3)
end

local function expiry(variable)
  local seconds = math.tointeger(tonumber(os.getenv(variable)))
  if not seconds or seconds < 1 then error(("the environment variable %s must be a positive integer"):format(variable), 3) end
  return time.now() // 1000 + seconds
end

-- ==== requests ========================================================================================================

---SHA-256 of a JSON value in hexadecimal; the order of members does not matter, since perigee.json writes them sorted.
---@param value any
---@return string
function idempotency.hash(value)
  return crypto.sha256(json.encode(value))
end

---The key of a request: its Idempotency-Key header within a scope. nil without one; nil and an answer when it is not fit
---to be a key.
---@param scope string
---@param request perigee.Request
---@return string? key
---@return perigee.Response? refused
function idempotency.key(scope, request)
  local given = request.headers[idempotency.HEADER]
  if not given then return nil end
  if #given > 255 or not given:find("^[!-~]+$") then
    return nil, http.bad_request { { path = "Idempotency-Key", message = "must be 1 to 255 visible ASCII characters" } }
  end
  return scope .. "/" .. given
end

---The transaction's entry that stores an answer. Its condition fails when the key has one already.
---@param key string
---@param hash string
---@param answer string the body, as sent (status 200)
---@return table
function idempotency.record(key, hash, answer)
  return { Put = {
    TableName = table_name(),
    Item = { key = key, request_hash = hash, answer = answer, created_at = time.iso(),
      expires_at = expiry "IDEMPOTENCY_SECONDS" },
    ConditionExpression = "attribute_not_exists(#key) OR expires_at < :now", -- TTL deletes late
    ExpressionAttributeNames = { ["#key"] = "key" },
    ExpressionAttributeValues = { [":now"] = time.now() // 1000 },
  } }
end

---The same answer once more; 409 when the request was another one.
---@param stored_hash string
---@param hash string
---@param answer string
---@param what string? "this order"
---@return perigee.Response
function idempotency.answer(stored_hash, hash, answer, what)
  if stored_hash == hash then return http.json(200, answer, REPLAYED) end
  return http.conflict(("%s was sent before with other content"):format(what or "this"))
end

local function read(key)
  local found, err = aws.dynamodb:get_item { TableName = table_name(), Key = { key = key }, ConsistentRead = true }
  if not found then return nil, err end
  return found.Item
end

---What the key's record says to a request: the stored answer or a conflict. nil when there is no record.
---@param key string
---@param hash string
---@return perigee.Response?
---@return perigee.Error?
function idempotency.replay(key, hash)
  local record, err = read(key)
  if not record then return nil, err end
  return idempotency.answer(record.request_hash, hash, record.answer, "this Idempotency-Key")
end

-- ==== effects =========================================================================================================

local Failure = { __tostring = function(e) return e.code .. ": " .. e.message end }

local FINISH_ATTEMPTS = 20

local function claim(key, holder, lease_until)
  return aws.dynamodb:put_item {
    TableName = table_name(),
    Item = { key = key, phase = "running", holder = holder, lease_until = lease_until,
      expires_at = expiry "EFFECT_SECONDS" },
    ConditionExpression = "attribute_not_exists(#key) OR (phase = :running AND lease_until < :now) OR expires_at < :now_s",
    ExpressionAttributeNames = { ["#key"] = "key" },
    ExpressionAttributeValues = { [":running"] = "running", [":now"] = time.now(), [":now_s"] = time.now() // 1000 },
  }
end

-- Insists until the lease ends: what is not completed by then will be done twice.
local function finish(key, holder, lease_until)
  local pause, err = 50, nil
  for _ = 1, FINISH_ATTEMPTS do
    local done
    done, err = aws.dynamodb:update_item {
      TableName = table_name(),
      Key = { key = key },
      UpdateExpression = "SET phase = :done",
      ConditionExpression = "holder = :me",
      ExpressionAttributeValues = { [":done"] = "done", [":me"] = holder },
    }
    if done or not err.retryable or time.now() + pause > lease_until then break end
    time.sleep(pause)
    pause = math.min(2 * pause, 1000)
  end
  return err
end

local function release(key, holder)
  local _, err = aws.dynamodb:delete_item {
    TableName = table_name(),
    Key = { key = key },
    ConditionExpression = "holder = :me",
    ExpressionAttributeValues = { [":me"] = holder },
  }
  if err then log.warn("marker not released: its lease has to end first", { key = key, error = tostring(err) }) end
end

---Runs fn unless it ran before under this key. A marker is written before and completed after; one that fails is released, so
---that a retry runs it again. Who comes while another runs gets an error (retryable). When the process dies in between, nobody
---knows whether the effect took place: after the lease it runs AGAIN. So an effect is never left out, and is doubled only by a
---crash in the moment between the effect and the completion of its marker.
---@param key string
---@param lease_ms integer no run takes longer
---@param fn fun(): any, perigee.Error? answers nil, err when the effect did not take place
---@return boolean? ran false: it ran before
---@return perigee.Error? err
function idempotency.once(key, lease_ms, fn)
  local holder, lease_until = crypto.uuid(), time.now() + lease_ms
  local claimed, err = claim(key, holder, lease_until)
  if not claimed then
    if err.code ~= "ConditionalCheckFailedException" then return nil, err end
    local record, failure = read(key)
    if failure then return nil, failure end
    if record and record.phase == "done" then return false end
    if not record or record.holder ~= holder then -- ours: it was claimed, but the answer to that was lost
      return nil, setmetatable({ code = "InProgress", message = key .. " is being done elsewhere", retryable = true }, Failure)
    end
  end
  local called, done, failure = pcall(fn)
  if not called or not done then
    release(key, holder)
    if not called then error(done, 0) end
    return nil, failure
  end
  local unfinished = finish(key, holder, lease_until)
  if unfinished then return nil, unfinished end
  return true
end

return idempotency
