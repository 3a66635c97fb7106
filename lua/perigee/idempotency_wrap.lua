--- idempotency.wrap: whole handlers that run once per key. Use it by perigee.idempotency.
---
--- The claim is written before the handler runs, and completed with its answer before that leaves. What happens to a request
--- whose key is there already:
---   done, same payload     -> the answer of the first time, with the header Idempotent-Replayed: true
---   done or running, another payload -> 422
---   running                -> 409 with Retry-After, or it waits
---   running, lease over    -> it runs ("expire"), or 409 until somebody evicts the record ("hold")
--- A handler that raises, answers nil, err, or a status that is not kept gives its key back.
---
--- Messages of queues: a message that came before is done without running; one that is running elsewhere, is held, or has the
--- key of another message raises, and so comes again, in the end in the dead-letter queue. Other events: their result is kept.
local aws = require "perigee.aws"
local crypto = require "perigee.crypto"
local http = require "perigee.http"
local idempotency = require "perigee.idempotency"
local json = require "perigee.json"
local log = require "perigee.log"
local members = require "perigee.members"
local records = require "perigee.idempotency_records"
local time = require "perigee.time"

local wrap = {}

---@class perigee.WrapOptions
---@field key perigee.KeyOf idempotency.header "Idempotency-Key", .body "order_id", .path "id", .query, .all(...), or a function
---@field scope string|(fun(request: table, context: perigee.Context): string)|nil keys of other scopes are other keys; the
--- function's name. A function can make scopes of callers, so that nobody gets the answer of another.
---@field required boolean? without a key: 400 (false: the handler runs as if it were not wrapped)
---@field hash string[]|(fun(request: table, context: perigee.Context): any)|false|nil what makes two requests the same:
--- "method", "path", "query", "body", "body.<member>", "header.<name>"; all of method, path, query and body unless given
---@field in_progress "conflict"|"wait"|nil conflict: 409 with Retry-After; wait: for the answer, then 409
---@field wait_ms integer? at most; as long as the function may run
---@field on_timeout "expire"|"hold"|nil after the lease of a process that died: run again; or hold until somebody evicts it
---@field lease_ms integer? how long a run holds its key; as long as the function may run, and a second
---@field ttl integer? seconds that the answer is kept; IDEMPOTENCY_SECONDS
---@field mismatch integer? status for a key that came with another payload; 422
---@field cache integer[]|(fun(status: integer): boolean)|nil statuses that are kept, never 5xx; all below 500 but 408, 425, 429
---@field headers string[]? of the answer that are kept, beside Content-Type; all but Set-Cookie
---@field max_bytes integer? of an answer that is kept; 358400, which is also the most. Of a larger one only that it was given.
---@field replay_header string|false|nil "Idempotent-Replayed"
---@field on_replay (fun(answer: perigee.Response, record: perigee.IdempotencyRecord, request: table): perigee.Response?)|nil
---@field table string? IDEMPOTENCY_TABLE

local MAX_BYTES = 350 * 1024 -- DynamoDB's items have 400 KiB with all that is around it
local KEY_BYTES = 1024
local GRACE_MS = 1000        -- clocks of hosts differ
local COMPLETE_MS = 3000     -- a client waits no longer for the store
local PAYLOAD = { "method", "path", "query", "body" }
local AGAIN_LATER = { [408] = true, [425] = true, [429] = true }

local CHECKS = {
  key = { "function" }, scope = { "string", "function" }, required = { "boolean" }, hash = { "table", "function", "boolean" },
  in_progress = { "string" }, wait_ms = { "number" }, on_timeout = { "string" }, lease_ms = { "number" }, ttl = { "number" },
  mismatch = { "number" }, cache = { "table", "function" }, headers = { "table" }, max_bytes = { "number" },
  replay_header = { "string", "boolean" }, on_replay = { "function" }, table = { "string" },
}

local function check_value(name, value)
  local types = CHECKS[name]
  if not types then error(("idempotency.wrap: there is no option '%s'"):format(tostring(name)), 4) end
  for _, kind in ipairs(types) do
    if type(value) == kind and not (kind == "number" and (math.type(value) ~= "integer" or value < 1)) then return end
  end
  local what = types[1] == "number" and "positive integer" or table.concat(types, " or ")
  error(("idempotency.wrap: option '%s' must be a %s"):format(name, what), 4)
end

local function check_parts(parts)
  for _, part in ipairs(parts) do
    if type(part) ~= "string" or not (part == "method" or part == "path" or part == "query" or part == "body"
        or part:find "^body%.." or part:find "^header%..") then
      error(("idempotency.wrap: hash: '%s' is no part of a request"):format(tostring(part)), 4)
    end
  end
end

local function check(options)
  if type(options) ~= "table" then error("idempotency.wrap takes a table of options and a handler", 3) end
  for name, value in pairs(options) do check_value(name, value) end
  if not options.key then error("idempotency.wrap: option 'key' is missing", 3) end
  if options.hash == true or options.replay_header == true then
    error("idempotency.wrap: hash and replay_header are never true", 3)
  end
  if type(options.hash) == "table" then check_parts(options.hash) end
  if (options.max_bytes or 1) > MAX_BYTES then
    error(("idempotency.wrap: option 'max_bytes' must be at most %d"):format(MAX_BYTES), 3)
  end
  local waits = options.in_progress
  if waits and waits ~= "wait" and waits ~= "conflict" then
    error('idempotency.wrap: in_progress is "wait" or "conflict"', 3)
  end
  records.on_timeout(options.on_timeout)
end

-- ==== keys ============================================================================================================

local function kind_of(subject)
  if type(subject) ~= "table" then return "event" end
  if subject.method and subject.path and subject.headers then return "request" end
  if subject.queue and subject.receive_count then return "message" end
  return "event"
end

-- The JSON that came: nil when the body is none.
local function document(subject)
  if kind_of(subject) == "event" then return subject end
  return (subject:json())
end

function wrap.header(name)
  return function(request)
    local given = request.headers[name:lower()]
    if given then return idempotency.check_key(given, name) end
  end
end

function wrap.body(path)
  return function(subject) return members.get(document(subject), path) end
end

function wrap.path(name)
  return function(request) return request.path_params[name] end
end

function wrap.query(name)
  return function(request) return request.query[name] end
end

function wrap.message_id()
  return function(message) return message.id end
end

-- What a part of a key is as text; false when it cannot be one.
local function part_text(value)
  local text = (type(value) == "string" or math.type(value) == "integer") and tostring(value)
  return text and utf8.len(text) and text or false
end

function wrap.all(...)
  local parts = { ... }
  if #parts == 0 then error("idempotency.all takes functions that give keys", 3) end
  return function(subject, context)
    local keys = json.array {}
    for i, part in ipairs(parts) do
      local key, refused = part(subject, context)
      if key == nil then return nil, refused end
      keys[i] = part_text(key)
      if not keys[i] then return false end
    end
    return json.encode(keys) -- "a", "bc" is not "ab", "c"
  end
end

local ESCAPED = { ["%"] = "%25", ["/"] = "%2F" }

-- "scope/key"; nil without a key; nil and why not.
local function key_of(options, subject, context)
  local key, refused = options.key(subject, context)
  if key == nil then return nil, refused end
  if math.type(key) == "integer" then key = tostring(key) end
  if type(key) ~= "string" or #key < 1 or #key > KEY_BYTES or not utf8.len(key) then
    return nil, http.bad_request(("the key of this request must be text of 1 to %d bytes"):format(KEY_BYTES))
  end
  local scope = options.scope
  if type(scope) == "function" then
    scope = scope(subject, context)
    scope = scope and tostring(scope):gsub("[%%/]", ESCAPED) -- "a" with the key "b/c" is not "a/b" with "c"
  end
  return (scope or context.function_name) .. "/" .. key
end

-- ==== payloads ========================================================================================================

-- Bytes that are not UTF-8 have no JSON: their hash stands for them.
local function plain(text)
  return text and (utf8.len(text) and text or "sha256:" .. crypto.sha256(text))
end

local PARTS = {
  method = function(request) return request.method end,
  path = function(request) return plain(request.path) end,
  query = function(request)
    local out = json.array {}
    for name, values in pairs(request.query_all) do
      for i, value in ipairs(values) do out[#out + 1] = json.array { plain(name), i, plain(value) } end
    end
    table.sort(out, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[2] < b[2] end)
    return out
  end,
  body = function(request)
    local value, err = request:json()
    if err then return plain(request.body) end
    return value
  end,
}

local function part_of(request, name)
  if PARTS[name] then return PARTS[name](request) end
  local header = name:match "^header%.(.+)"
  if header then return plain(request.headers[header:lower()]) end
  return members.get(document(request), name:match "^body%.(.+)")
end

local function payload(options, subject, context)
  if options.hash == false then return nil end
  if type(options.hash) == "function" then return options.hash(subject, context) end
  local kind = kind_of(subject)
  if kind == "event" and not options.hash then return subject end
  local found = {}
  for _, name in ipairs(options.hash or kind == "message" and { "body" } or PAYLOAD) do found[name] = part_of(subject, name) end
  return json.object(found)
end

local function hash_of(options, subject, context)
  local value = payload(options, subject, context)
  return value ~= nil and records.hash(value) or nil
end

-- ==== answers that are kept ===========================================================================================

local function merged(answer)
  local headers = {}
  for name, value in pairs(answer.headers or {}) do headers[name] = value end
  for name, value in pairs(answer.multiValueHeaders or {}) do headers[name] = value end
  if answer.cookies then headers["Set-Cookie"] = answer.cookies end
  return headers
end

-- As the host takes them: 200.0 is a status, and each JSON value a body.
local function response(status, body, headers)
  if type(status) == "number" then status = math.tointeger(status) or status end
  if body == nil or type(body) == "string" then return http.response(status, body, headers) end
  return http.json(status, json.encode(body), headers)
end

-- What a handler has returned as one answer; raises for what is none.
local function answer_of(first, body, headers)
  if type(first) == "number" then return response(first, body, headers) end
  if http.is_response(first) then return response(first.status, first.body, first.headers) end
  local status = type(first) == "table" and first.statusCode
  if not status then error "this is no response" end
  if not first.isBase64Encoded then return response(status, first.body, merged(first)) end
  local answer = response(status, crypto.unbase64(first.body or ""), merged(first))
  for name in pairs(answer.headers) do
    if name:lower() == "content-type" then return answer end
  end
  answer.headers["Content-Type"] = "application/octet-stream" -- as the host has it
  return answer
end

local function is_kept(options, status)
  if status >= 500 then return false end
  local cache = options.cache
  if not cache then return not AGAIN_LATER[status] end
  if type(cache) == "function" then return cache(status) and true or false end
  for _, known in ipairs(cache) do
    if known == status then return true end
  end
  return false
end

-- Text, or bytes that are not UTF-8.
local function stored(text) return utf8.len(text) and text or aws.binary(text) end

local function text_of(value)
  if value == nil or type(value) == "string" then return value end
  return value:bytes()
end

-- fn of the value of a header, or of each of several.
local function each(value, fn)
  if type(value) ~= "table" then return fn(value) end
  local out = json.array {}
  for i, one in ipairs(value) do out[i] = fn(one) end
  return out
end

local function kept_headers(options, headers)
  local chosen, out, size = nil, {}, 0
  if options.headers then
    chosen = { ["content-type"] = true } -- what the body is
    for _, name in ipairs(options.headers) do chosen[name:lower()] = true end
  end
  for name, value in pairs(headers) do
    local lower = name:lower()
    if chosen and chosen[lower] or not chosen and lower ~= "set-cookie" then
      out[name] = each(value, function(text)
        size = size + #name + #tostring(text)
        return stored(tostring(text))
      end)
    end
  end
  return out, size
end

-- The members of the record that give this answer again.
local function fields_of(options, answer)
  local body = answer.body or ""
  local headers, size = kept_headers(options, answer.headers)
  if #body + size > (options.max_bytes or MAX_BYTES) then
    log.warn("an answer is too large to be kept: who asks again gets 409", { bytes = #body + size })
    return { answer_status = answer.status, answer_bytes = #body,
      omitted = ("its answer has %d bytes, which is too large to be kept"):format(#body) }
  end
  return { answer_status = answer.status, answer_headers = next(headers) and headers or nil,
    answer = answer.body and stored(answer.body), answer_bytes = #body }
end

-- ==== kinds of handlers ===============================================================================================

local function failure(code, message)
  return setmetatable({ code = code, message = message, retryable = code == "InProgress" },
    { __tostring = function(e) return e.code .. ": " .. e.message end })
end

-- keep(options, context, returned...): fields of the record, or nil: the key is given back.
-- again(options, record, subject): what a repetition returns. busy, held, mismatch, missing, refused: likewise, or they raise.
local REQUEST = {
  keep = function(options, context, first, second, third)
    if http.is_streaming(context) then return { omitted = "its answer was sent in parts, which are not kept" } end
    local ok, answer = pcall(answer_of, first, second, third)
    return ok and is_kept(options, answer.status) and fields_of(options, answer) or nil
  end,
  again = function(options, record, request)
    if record.omitted then
      return http.error(409, "answer_not_kept", "this request was carried out before; " .. record.omitted)
    end
    local headers = {}
    for name, value in pairs(record.answer_headers or {}) do headers[name] = each(value, text_of) end
    local answer = http.response(record.answer_status or 200, text_of(record.answer), headers)
    if not record.phase then answer = http.json(200, record.answer) end -- of idempotency.record
    local header = options.replay_header
    if header ~= false then answer.headers[header or "Idempotent-Replayed"] = "true" end
    return options.on_replay and options.on_replay(answer, record, request) or answer
  end,
  busy = function(record)
    local left = ((record.lease_until or 0) - time.now() + 999) // 1000
    return http.error(409, "in_progress", "an earlier request of this key is still being handled", nil,
      { ["Retry-After"] = math.max(1, math.min(left, 5)) })
  end,
  held = function(record) return http.error(409, "held", records.HELD:format(record.key)) end,
  mismatch = function(options) return idempotency.mismatch(options.mismatch or 422) end,
  missing = function() return http.bad_request "this request needs an idempotency key" end,
  refused = function(answer) return answer end,
}

local MESSAGE = {
  keep = function() return {} end,
  again = function() end,
  busy = function(record) error(failure("InProgress", record.key .. " is being done elsewhere")) end,
  held = function(record) error(failure("Held", records.HELD:format(record.key))) end,
  mismatch = function() error(failure("KeyReused", "the key of this message came before with other content")) end,
  missing = function() error(failure("KeyMissing", "this message has no idempotency key")) end,
  refused = function(answer) error(failure("KeyRefused", answer.body)) end,
}

local EVENT = setmetatable({
  keep = function(options, _, result)
    local text = json.encode(result == nil and json.null or result)
    return fields_of(options, { status = 200, headers = {}, body = text })
  end,
  again = function(_, record)
    if record.omitted then error(failure("AnswerNotKept", "this event was handled before; " .. record.omitted)) end
    local result = json.decode(text_of(record.answer))
    if result ~= json.null then return result end
  end,
}, { __index = MESSAGE })

local KINDS = { request = REQUEST, message = MESSAGE, event = EVENT }

-- ==== the wrapper =====================================================================================================

-- A handler that raises, or is refused, gives its key back; one that is cut off does not, since nobody knows what it did.
local function run(kind, options, claim, handler, subject, context)
  local out = table.pack(pcall(handler, subject, context))
  if not out[1] or not out[2] and out[3] ~= nil then
    records.release(claim)
    if not out[1] then error(out[2], 0) end
    return table.unpack(out, 2, out.n)
  end
  local is_answer, fields = pcall(kind.keep, options, context, table.unpack(out, 2, out.n))
  if not is_answer then
    records.release(claim)
    error(fields, 0)
  end
  if not fields then
    records.release(claim)
  else
    local err = records.complete(claim, fields, time.now() + math.min(COMPLETE_MS, context:remaining() - 500))
    if err then -- what was done stays done: its answer is given, though a repetition may run again
      log.error("an answer could not be kept", { key = claim.key, error = tostring(err) })
    end
  end
  return table.unpack(out, 2, out.n)
end

-- What a record says: a function that answers; nil: it may be claimed.
local function verdict(kind, options, record, hash)
  if hash and record.request_hash and record.request_hash ~= hash then
    return function() return kind.mismatch(options) end
  end
  if record.phase ~= "running" then
    return function(subject) return kind.again(options, record, subject) end
  end
  if not records.is_locked(record) then return nil end
  if records.is_held(record) then
    return function() return kind.held(record) end
  end
  return function() return kind.busy(record) end, true
end

local function wait_until(options, context)
  if options.in_progress ~= "wait" then return 0 end
  return time.now() + math.min(options.wait_ms or math.maxinteger, context:remaining() - 1000)
end

-- Asks until the record is neither running nor waited for. A function that answers, or nil: it may be claimed.
local function await(kind, options, record, hash, table_name, last)
  local answer, running = verdict(kind, options, record, hash)
  local pause = 20
  while running and time.now() + pause <= last do
    time.sleep(pause)
    pause = math.min(2 * pause, 500)
    local now, err = records.read(table_name, record.key)
    if err then error(err) end
    if not now then return nil end
    answer, running = verdict(kind, options, now, hash)
  end
  return answer
end

local CLAIMS = 5 -- others may be quicker each time

local function handle(kind, options, key, handler, subject, context)
  local hash = hash_of(options, subject, context)
  local table_name, last = options.table or records.table_name(), wait_until(options, context)
  local record
  for _ = 1, CLAIMS do
    local claim, err
    claim, record, err = records.claim(table_name, key, {
      lease_ms = options.lease_ms or context:remaining() + GRACE_MS, hash = hash,
      ttl = options.ttl or records.seconds "IDEMPOTENCY_SECONDS", hold = records.on_timeout(options.on_timeout),
    })
    if err then error(err) end -- nothing was done
    if claim then return run(kind, options, claim, handler, subject, context) end
    local answer = await(kind, options, record, hash, table_name, last)
    if answer then return answer(subject) end
  end
  return kind.busy(record)
end

function wrap.wrap(options, handler)
  check(options)
  if type(handler) ~= "function" then error("idempotency.wrap takes a table of options and a handler", 2) end
  return function(subject, context)
    local kind = KINDS[kind_of(subject)]
    local key, refused = key_of(options, subject, context)
    if refused then return kind.refused(refused) end
    if key then return handle(kind, options, key, handler, subject, context) end
    if options.required then return kind.missing() end
    return handler(subject, context)
  end
end

return wrap
