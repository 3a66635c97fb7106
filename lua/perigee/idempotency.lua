--- Doing things once although they are asked for more than once.
---
--- Requests: the answer is stored under a key (the Idempotency-Key header) with a hash of the request, in the SAME transaction
--- as the effect; so it exists exactly when the effect does.
---
---   local key, refused = idempotency.key("orders", request)       -- nil when the header is absent
---   local hash = idempotency.hash(content)
---   outbox.commit(context, { put_order, idempotency.record(key, hash, answer), events = ... })
---   -- its condition failed: the request came before
---   return idempotency.replay(key, hash)                         -- the same answer, or 422 for other content
---
--- Handlers whose effects are not one transaction: idempotency.wrap keeps the answer of the first request and gives it to those
--- that come again. Single effects outside of DynamoDB (a mail): idempotency.once, a marker with a lease.
---
---   create = idempotency.wrap({ key = idempotency.header "Idempotency-Key", required = true }, function(request, context)
---     ... return http.created { id = charge.id }
---   end)
---
--- Environment: IDEMPOTENCY_TABLE (key: key; TTL: expires_at), IDEMPOTENCY_SECONDS (how long answers are kept), EFFECT_SECONDS
--- (how long effects are remembered: longer than any message can come back).
local http = require "perigee.http"
local records = require "perigee.idempotency_records"
local time = require "perigee.time"

local idempotency = {}

idempotency.HEADER = "idempotency-key"
local REPLAYED = { ["Idempotent-Replayed"] = "true" }

local table_name, seconds, on_timeout = records.table_name, records.seconds, records.on_timeout

-- ==== requests ========================================================================================================

---SHA-256 of a JSON value in hexadecimal; the order of members does not matter, since perigee.json writes them sorted.
---@param value any
---@return string
function idempotency.hash(value) return records.hash(value) end

---A key as it came in a header: as it is, or a string of RFC 8941 ("..."), whose quotes are not part of it.
---@param given string
---@param name string of the header, for the answer
---@return string? key
---@return perigee.Response? refused
function idempotency.check_key(given, name)
  local quoted = given:match '^"(.*)"$'
  local key = quoted and quoted:gsub('\\(["\\])', "%1") or given
  if #key >= 1 and #key <= 255 and key:find(quoted and "^[ -~]+$" or "^[!-~]+$") then return key end
  return nil, http.bad_request { { path = name, message = "must be 1 to 255 visible ASCII characters" } }
end

---The answer to a key that came before with another request.
---@param status integer
---@return perigee.Response
function idempotency.mismatch(status)
  return http.error(status, status == 422 and "key_reused" or "conflict",
    "this Idempotency-Key was sent before with other content")
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
  local key, refused = idempotency.check_key(given, "Idempotency-Key")
  if not key then return nil, refused end
  return scope .. "/" .. key
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
      expires_at = time.now() // 1000 + seconds "IDEMPOTENCY_SECONDS" },
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

---What the key's record says to a request: the stored answer, or 422 for other content. nil when there is no record.
---@param key string
---@param hash string
---@return perigee.Response?
---@return perigee.Error?
function idempotency.replay(key, hash)
  local record, err = records.read(table_name(), key)
  if not record then return nil, err end
  if record.request_hash ~= hash then return idempotency.mismatch(422) end
  return idempotency.answer(hash, hash, record.answer)
end

-- ==== effects =========================================================================================================

local Failure = { __tostring = function(e) return e.code .. ": " .. e.message end }

local function in_progress(key)
  return setmetatable({ code = "InProgress", message = key .. " is being done elsewhere", retryable = true }, Failure)
end

local function held(key)
  return setmetatable({ code = "Held", message = records.HELD:format(key), retryable = false }, Failure)
end

-- on_timeout is looked at where it is used.
local function check_once(options)
  for name, value in pairs(options) do
    if name == "ttl" then
      if math.type(value) ~= "integer" or value < 1 then error("idempotency.once: option 'ttl' must be a positive integer", 3) end
    elseif name ~= "on_timeout" and name ~= "table" then
      error(("idempotency.once: there is no option '%s'"):format(tostring(name)), 3)
    end
  end
end

---@class perigee.OnceOptions
---@field on_timeout "expire"|"hold"|nil expire: after the lease of a process that died it runs again; hold: never again, until
--- somebody evicts the record (perigee idempotency evict)
---@field ttl integer? seconds that it is remembered; EFFECT_SECONDS
---@field table string? IDEMPOTENCY_TABLE

---Runs fn unless it ran before under this key. A marker is written before and completed after; one that fails is released, so
---that a retry runs it again. Who comes while another runs gets an error (retryable). When the process dies in between, nobody
---knows whether the effect took place: after the lease it runs AGAIN, unless it is to be held. So an effect is never left out,
---and is doubled only by a crash in the moment between the effect and the completion of its marker.
---@param key string
---@param lease_ms integer no run takes longer
---@param fn fun(): any, perigee.Error? answers nil, err when the effect did not take place
---@param options perigee.OnceOptions?
---@return boolean? ran false: it ran before
---@return perigee.Error? err
function idempotency.once(key, lease_ms, fn, options)
  options = options or {}
  check_once(options)
  local claim, record, err = records.claim(options.table or table_name(), key, {
    lease_ms = lease_ms, ttl = options.ttl or seconds "EFFECT_SECONDS", hold = on_timeout(options.on_timeout),
  })
  if err then return nil, err end
  if record then
    if record.phase == "done" then return false end
    return nil, records.is_held(record) and held(key) or in_progress(key)
  end
  local called, done, failure = pcall(fn)
  if not called or not done then
    records.release(claim)
    if not called then error(done, 0) end
    return nil, failure
  end
  local unfinished = records.complete(claim, {})
  if unfinished then return nil, unfinished end
  return true
end

-- ==== whole handlers ==================================================================================================

local wrapping -- loaded at the first use: most handlers need no wrapper

local function wrap_module()
  wrapping = wrapping or require "perigee.idempotency_wrap"
  return wrapping
end

---@alias perigee.KeyOf fun(request: table, context: perigee.Context): string|integer|nil, perigee.Response?

---The key that a header of the request carries.
---@param name string
---@return perigee.KeyOf
function idempotency.header(name) return wrap_module().header(name) end

---The key that a member of the JSON body is ("order_id", "payment.id", "lines.1.id"); of an event without body, its member.
---@param path string
---@return perigee.KeyOf
function idempotency.body(path) return wrap_module().body(path) end

---The key that a parameter of the route is: "/orders/{id}".
---@param name string
---@return perigee.KeyOf
function idempotency.path(name) return wrap_module().path(name) end

---@param name string
---@return perigee.KeyOf
function idempotency.query(name) return wrap_module().query(name) end

---Several keys that are one together; there is none while one of them is missing.
---@param ... perigee.KeyOf
---@return perigee.KeyOf
function idempotency.all(...) return wrap_module().all(...) end

---The id of a queue's message: the same for every delivery, another one when it was sent twice.
---@return perigee.KeyOf
function idempotency.message_id() return wrap_module().message_id() end

---A handler that runs once per key, and answers later requests of the key as it answered the first. See perigee.WrapOptions.
---@param options perigee.WrapOptions
---@param handler fun(request: table, context: perigee.Context): ...
---@return fun(request: table, context: perigee.Context): ...
function idempotency.wrap(options, handler) return wrap_module().wrap(options, handler) end

return idempotency
