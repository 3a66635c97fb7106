--- perigee.replay: `perigee replay ID [--diff]` and `perigee replay --json FILE`: a request, message or event again, with the
--- handlers as they are now, in an engine in memory that holds what the recorded run saw. Nothing else is touched.
local host = require "perigee.host"
local json = require "perigee.json"
local log_command = require "perigee.log_command"
local operator = require "perigee.operator"
local recordings = require "perigee.recordings"
local replay_diff = require "perigee.replay_diff"
local replay_document = require "perigee.replay_document"
local replay_same = require "perigee.replay_same"
local replay_state = require "perigee.replay_state"
local time = require "perigee.time"

local replay = {}

local function out(text) io.write(text) end

-- Warnings, each once.
local function warner()
  local said = {}
  return function(text)
    if not said[text] then io.stderr:write("warning: " .. operator.plain(text) .. "\n") end
    said[text] = true
  end
end

-- ==== the host ==========================================================================================================

-- "A=1,B=2"
local function parse_parameters(text, into)
  for name, value in (text or ""):gmatch "([^=,]+)=([^,]*)" do into[name] = value end
  return into
end

local function variable(parameter)
  return "PERIGEE_" .. parameter:gsub("(%l)(%u)", "%1_%2"):gsub("(%d)(%u)", "%1_%2"):upper()
end

local function parameters(options, recorded, warn)
  local given = {}
  for name, value in pairs(recorded.parameters or {}) do given[name] = value end
  parse_parameters(options.parameters, given)
  for _, name in ipairs(recorded.secrets or {}) do
    if not given[name] and not os.getenv(variable(name)) then
      warn(("the parameter %s (NoEcho) had a value that is not recorded: --parameters %s=... gives it one"):format(name, name))
    end
  end
  return given
end

-- Parameters that the template does not have any more are left out.
local function open(settings, warn)
  for _ = 1, 50 do
    local h, err = host.open(settings)
    local gone = not h and err.message:match "there is no parameter (%w+)"
    if not gone or settings.parameters[gone] == nil then return h, err end
    warn(("the template has no parameter %s any more"):format(gone))
    settings.parameters[gone] = nil
  end
end

local function settings_of(options, recorded, at_ms, seed, warn)
  return {
    template = options.template or recorded.template or os.getenv "PERIGEE_TEMPLATE",
    parameters = parameters(options, recorded, warn), lua_dir = options["lua-dir"] or recorded.lua_dir,
    memory = true, offline = true, clock = at_ms, seed = replay_state.seed(seed), development = true, log_level = "off",
  }
end

local function inspect(settings)
  return host.inspect { template = settings.template, lua_dir = settings.lua_dir }
end

-- ==== running ===========================================================================================================

-- "Name: value" of --header, over those that were recorded; what is redacted and not given is told.
local function headers_of(record, options, warn)
  local headers = recordings.headers(record.request.headers)
  for _, line in ipairs(options.header or {}) do
    local name, value = line:match "^([^:]+):%s*(.*)$"
    if not name then return nil, ("--header: '%s' is not NAME:VALUE"):format(line) end
    headers[name:lower()] = value
  end
  for name, value in pairs(headers) do
    if recordings.is_placeholder(value) then
      warn(("the header %s was not recorded: the handler sees a placeholder; --header '%s: ...' gives it"):format(name, name))
    end
  end
  headers["x-request-id"] = record.request_id
  return headers
end

-- A message of a queue that a function reports single failures of does not fail its invocation: the recording says it.
local function run_request(h, record, options, warn)
  local headers, why = headers_of(record, options, warn)
  if not headers then return nil, why end
  local body, omitted = recordings.bytes(record.request, "body")
  if omitted then return nil, ("the body of %d bytes was too large to be recorded"):format(omitted) end
  local answer, err = h:request {
    method = record.request.method, target = record.request.target, headers = headers, body = body,
    remote_ip = record.request.remote_ip,
  }
  if not answer then return nil, err.message end
  return answer
end

local function run_record(h, record, options, warn)
  if record.request and not record.document then return run_request(h, record, options, warn) end
  local document = record.document or record.event
  if record.message then document = { Records = { record.message } } end
  local answer, err = h:invoke(record["function"], json.encode(document), record.request_id)
  if not answer then return nil, err.message end
  return { body = answer }
end

-- The recording of the run that has just been made.
local function recorded_run(h, kind)
  local first
  for _, text in ipairs(h:recorded()) do
    local record = json.decode(text, { max_depth = 200 })
    if record and record.kind == kind then first = first or record end
  end
  return first
end

-- ==== what the new code looked at and the recording does not know =======================================================

-- An id that the run has made itself is nowhere in what it was given.
local function is_made(key, given)
  for id in pairs(replay_same.ids(replay_state.key_text(key))) do
    if not given[id] then return true end
  end
  return false
end

local function warn_items(state, call, given, warn)
  local looked = {}
  for _, one in ipairs(call.before or {}) do looked[#looked + 1] = { one.TableName, one.Key } end
  if call.action == "GetItem" then looked[#looked + 1] = { call.params.TableName, call.params.Key } end
  for _, one in ipairs(looked) do
    local name, key = one[1]:match "[^/]*$", one[2]
    if not state:knows(name, key) and not is_made(key, given) then
      warn(("the recording does not know %s{%s}: treated as absent"):format(name, replay_state.key_text(key)))
    end
  end
end

local function warn_query(state, call, warn)
  local same = replay_same.new()
  local function text(p)
    return json.encode { p.TableName, p.IndexName or "", p.ExpressionAttributeValues or {}, p.FilterExpression or "" }
  end
  for _, known in ipairs(state.queries) do
    if same:texts(text(known), text(call.params)) then return end
  end
  warn(("the recording has no such %s of %s: it finds only the items that the recorded run saw"):format(call.action,
    replay_diff.resource(call)))
end

local function warn_object(state, call, given, warn)
  local p = call.params
  if call.action ~= "GetObject" and call.action ~= "HeadObject" then return end
  local known = state:object(p.Bucket, p.Key)
  if not known and not is_made({ key = { S = p.Key } }, given) then
    warn(("the recording does not know s3://%s/%s: treated as absent"):format(p.Bucket, p.Key))
  elseif known and known.there and not known.bytes and not known.written and call.action == "GetObject" then
    warn(("the bytes of s3://%s/%s were not recorded: it is %d zero bytes"):format(p.Bucket, p.Key, known.size or 0))
  end
end

local function warn_unknown(state, is, given, warn)
  for _, call in ipairs(is.calls) do
    warn_items(state, call, given, warn)
    if call.service == "dynamodb" and (call.action == "Query" or call.action == "Scan") then warn_query(state, call, warn) end
    if call.service == "s3" then warn_object(state, call, given, warn) end
  end
end

-- ==== a recording again =================================================================================================

-- All that both runs were given: what came in, and what was there.
local function given_texts(record, state)
  local input = record.request or record.message or record.event or {}
  local texts = { json.encode { input }, record.request_id, record.correlation_id or "" }
  for name, of in pairs(state.items) do
    for text, known in pairs(of) do
      if known.item then texts[#texts + 1] = name .. " " .. text .. " " .. json.encode(known.item) end
    end
  end
  for name, o in pairs(state.objects) do
    if o.there then texts[#texts + 1] = name end
  end
  return texts
end

local function show_answer(is)
  out(("\n%s\n"):format(recordings.outcome(is)))
  for _, pair in ipairs(is.answer and is.answer.headers or {}) do out(("%s: %s\n"):format(pair[1], operator.plain(pair[2]))) end
  local body = recordings.bytes(is.answer or {}, "body")
  if body then out("\n" .. (utf8.len(body) and recordings.safe(body) or ("(%d bytes)"):format(#body)) .. "\n") end
  if is.value ~= nil then out(json.encode(is.value) .. "\n") end
  local e = is.error
  if e then out(recordings.safe(("\n%s: %s\n%s\n"):format(e.type or e.code, e.message, e.traceback))) end
end

-- A run of the recording on a host of its own: {h, state, given, is, items, objects}. It is the caller's to close h, also
-- after an error: nil, why, h.
local function run_once(settings, was, options, warn)
  local h, err = open(settings, warn)
  if not h then return nil, err.message end
  local state = replay_state.of_calls(was.calls, replay_state.schemas(h))
  local job = { h = h, seen = state }
  job.items, job.objects = state:fill(h, warn)
  job.given = given_texts(was, state)
  assert(h:snapshot "before")
  h:record()
  local answer, why = run_record(h, was, options, warn)
  if not answer then return nil, why, h end
  job.answer, job.is = answer, recorded_run(h, was.kind)
  return job
end

local OTHERS = 5 -- a random choice between eight is found to be one but once in 32,768 times

-- The same with other random numbers, several times: what differs then is random.
local function run_otherwise(settings, was, options, template)
  local results, other = {}, {}
  for k, v in pairs(settings) do other[k] = v end
  for n = 1, OTHERS do
    other.seed = settings.seed + n
    local job, _, h = run_once(other, was, options, function() end)
    if job and job.is then results[#results + 1] = { is = job.is, state = replay_state.read(job.h, template) } end
    h = h or job and job.h
    if h then h:close() end
  end
  return results
end

-- The state after the replay; then, on the same state as before, what the recorded calls made of it.
local function read_states(job, was, template)
  job.state = replay_state.read(job.h, template)
  local ok, err = job.h:restore("before")
  if not ok then error(err, 0) end
  local unknown, why = replay_state.apply(job.h, was.calls)
  job.state_was, job.state_why = unknown and replay_state.read(job.h, template, unknown) or nil, why
end

local function write_diff(diff, job, was, files)
  diff:answer(was, job.is)
  diff:calls(was, job.is)
  if job.state_was then
    diff:state(job.state_was, job.state)
  else
    diff.write(("\nstate afterwards\n  not known of the recorded run: %s\n"):format(job.state_why))
  end
  diff:sources(files, (job.h:sources()), was.version, job.is.version)
end

-- others: makes further runs; only when something differs.
local function show_diff(job, was, others, files)
  local lines = {}
  local diff = replay_diff.new(job.given, function(text) lines[#lines + 1] = text end)
  write_diff(diff, job, was, files)
  if diff.changed > 0 then
    lines = {}
    diff = replay_diff.new(job.given, diff.write)
    for _, other in ipairs(others()) do diff:leave_out(job, other) end
    write_diff(diff, job, was, files)
  end
  out(table.concat(lines))
  out(diff.changed == 0 and "\nnothing changes\n" or ("\n%d lines differ\n"):format(diff.changed))
end

-- What other hosts answered is not recorded.
local function warn_offline(is, warn)
  if is.error and is.error.message:find("there is no HTTP client here", 1, true) then
    warn "the handler asks another host over HTTP, which a replay does not do"
  end
end

local function report(job, was, settings, options, warn, dir)
  out(("%s  %s  %s, recorded at %s\nstate: %d items and %d objects, as the recorded run saw them\n"):format(was.id,
    operator.plain(recordings.what(was)), was["function"], was.at, job.items, job.objects))
  if not job.is then
    out(recordings.safe(("\nno function ran; the answer was %s\n%s\n"):format(job.answer.status or "", job.answer.body or "")))
    return 1
  end
  warn_unknown(job.seen, job.is, replay_same.ids(table.unpack(job.given)), warn)
  warn_offline(job.is, warn)
  if options.diff then
    local template = inspect(settings)
    read_states(job, was, template)
    show_diff(job, was, function() return run_otherwise(settings, was, options, template) end,
      recordings.sources(dir, was.version))
  else
    show_answer(job.is)
  end
  return job.is.outcome == "ok" and 0 or 1
end

local function close_after(h, fn, ...)
  local ok, code = pcall(fn, ...)
  h:close()
  if ok then return code end
  return operator.fail("replay", type(code) == "table" and code.message or tostring(code))
end

local function replay_recording(options, id)
  local dir = recordings.directory(options.data)
  local was, why = recordings.find(dir, id)
  if not was then return operator.fail("replay", why) end
  local warn = warner()
  local settings = settings_of(options, was.host, was.at_ms, was.id, warn)
  local job, reason, h = run_once(settings, was, options, warn)
  if job then return close_after(job.h, report, job, was, settings, options, warn, dir) end
  if h then h:close() end
  return operator.fail("replay", reason)
end

-- ==== a document from elsewhere =========================================================================================

local function read_document(path)
  local file, err = io.stdin, nil
  if path ~= "-" then file, err = io.open(path, "rb") end
  if not file then return nil, err end
  local text = file:read "a"
  if path ~= "-" then file:close() end
  local document, bad = json.decode(text, { max_depth = 200, duplicate_keys = true })
  if document == nil then return nil, ("%s: %s"):format(path, bad.message) end
  return document
end

-- Tables and objects of a directory, or of the server that holds it.
local function copy_state(job, options, warn)
  if not options.data then return "state: empty (--data DIR copies the tables and objects of a data directory)\n" end
  local store, why = operator.open { data = options.data }
  if not store then error(why, 0) end
  local state = replay_state.of_store(store, job.template, replay_state.schemas(job.h))
  local items, objects = state:fill(job.h, warn)
  store:close()
  return ("state: a copy of %s: %d items and %d objects\n"):format(store.where, items, objects)
end

local function run_document(h, run, is_last, warn)
  local answer, err = h:invoke(run.function_name, json.encode(run.document))
  if not answer then error(err, 0) end
  local failed = false
  out(("\n%s -> %s\n"):format(operator.plain(run.what), run.function_name))
  for _, text in ipairs(h:recorded()) do
    local record = json.decode(text, { max_depth = 200 })
    record.id = record.request_id
    failed = failed or record.outcome ~= "ok"
    warn_offline(record, warn)
    log_command.show(out, record)
    if not is_last then out "\n" end
  end
  out(("\nanswer document\n    %s\n"):format(recordings.safe(answer)))
  return failed
end

local function replay_document_file(options)
  local document, why = read_document(options.json)
  if document == nil then return operator.fail("replay", why) end
  local at = time.now()
  if options.at then
    at = time.parse(options.at)
    if not at then return operator.fail("replay", "--at: '" .. options.at .. "' is no time as 2026-01-31T12:00:00Z", 2) end
  end
  local warn = warner()
  local settings = settings_of(options, {}, at, json.encode(document), warn)
  local h, err = open(settings, warn)
  if not h then return operator.fail("replay", err.message) end
  return close_after(h, function()
    local job = { h = h, template = inspect(settings) }
    local runs, reason = replay_document.runs({
      template = job.template,
      function_of = function(queue) return h:function_of(queue) end,
      route_of = function(method, target) return (select(2, h:event { method = method, target = target })) end,
    }, document, options["function"])
    if not runs then return operator.fail("replay", ("%s: %s"):format(options.json, reason)) end
    out(copy_state(job, options, warn))
    h:record()
    local failed = false
    for i, run in ipairs(runs) do failed = run_document(h, run, i == #runs, warn) or failed end
    return failed and 1 or 0
  end)
end

---@param options table<string, any>
---@param operands string[]
---@return integer
function replay.main(options, operands)
  if options.json and #operands == 0 then return replay_document_file(options) end
  if not options.json and #operands == 1 then return replay_recording(options, operands[1]) end
  return operator.fail("replay", "needs the id of a recording (perigee log ls), or 'last', or --json FILE", 2)
end

return replay
