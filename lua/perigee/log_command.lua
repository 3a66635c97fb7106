--- perigee.log_command: `perigee log ls|show`: what `perigee serve --development` has recorded.
local json = require "perigee.json"
local operator = require "perigee.operator"
local recordings = require "perigee.recordings"
local time = require "perigee.time"

local log_command = {}

local SHORT = 8 -- of an id, in lists
local LIMIT = 20

-- ==== ls ================================================================================================================

local UNITS = { s = 1000, m = 60000, h = 3600000, d = 86400000 }

-- "10m" -> the time that was so long ago; an RFC 3339 time is one.
local function since(text)
  local n, unit = text:match "^(%d+)([smhd])$"
  if n then return #n < 10 and time.now() - tonumber(n) * UNITS[unit] or nil end
  return time.parse(text)
end

local function has_status(record, wanted)
  if wanted == "ok" or wanted == "failed" or wanted == "cancelled" then return record.outcome == wanted end
  local status = record.status and ("%d"):format(record.status) or ""
  return #status == 3 and (status == wanted or status:sub(1, 1) .. "xx" == wanted)
end

local function is_status(text)
  return text == "ok" or text == "failed" or text == "cancelled" or text:find "^%d%d%d$" ~= nil or text:find "^%dxx$" ~= nil
end

-- The options as a function that keeps a recording; nil and what is wrong with them.
local function filter(options)
  local from
  if options.since then
    from = since(options.since)
    if not from then
      return nil, ("--since: '%s' is neither 30s, 10m, 2h, 1d nor a time as 2026-01-31T12:00:00Z"):format(options.since)
    end
  end
  if options.status and not is_status(options.status) then
    return nil, "--status: '" .. options.status .. "' is not ok, failed, cancelled, 404 or 5xx"
  end
  local texts = { options.order, options.correlation }
  return function(record, line)
    if options["function"] and record["function"] ~= options["function"] then return false end
    if options.status and not has_status(record, options.status) then return false end
    if from and record.at_ms < from then return false end
    for _, text in pairs(texts) do
      if not line:find(text, 1, true) then return false end
    end
    return true
  end
end

local function ls(options, dir)
  local keep, why = filter(options)
  if not keep then return operator.fail("log", why, 2) end
  local found, lines = recordings.select(dir, options.limit or LIMIT, keep)
  if options.json then
    for i = #lines, 1, -1 do io.write(lines[i], "\n") end
    return 0
  end
  local rows = { { "ID", "TIME", "KIND", "FUNCTION", "WHAT", "OUTCOME", "MS", "CALLS" } }
  for i = #found, 1, -1 do
    local r = found[i]
    rows[#rows + 1] = { r.id:sub(1, SHORT), r.at:sub(1, 10) .. " " .. r.at:sub(12, 23), r.kind, r["function"],
      operator.plain(recordings.what(r)):sub(1, 60), operator.plain(recordings.outcome(r)), ("%.1f"):format(r.ms),
      tostring(#r.calls) }
  end
  if #found > 0 then
    io.write(operator.columns(rows))
  else
    io.write(("nothing is recorded in %s%s\n"):format(dir, next(options) and " that these options ask for" or ""))
  end
  return 0
end

-- ==== show ==============================================================================================================

local function indent(text, by)
  return (" "):rep(by) .. recordings.safe(text):gsub("\n+$", ""):gsub("\n", "\n" .. (" "):rep(by)) .. "\n"
end

-- Text of JSON in lines, as far as it is not short.
local function pretty(value, by)
  local text = json.encode(value)
  if #text <= 100 or type(value) ~= "table" then return text end
  local inner, lines = (" "):rep(by + 2), {}
  local list = json.is_array(value)
  local keys = {}
  for k in pairs(value) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, k in ipairs(keys) do
    lines[#lines + 1] = inner .. (list and "" or json.encode(k) .. ": ") .. pretty(value[k], by + 2)
  end
  local open, close = list and "[" or "{", list and "]" or "}"
  return open .. "\n" .. table.concat(lines, ",\n") .. "\n" .. (" "):rep(by) .. close
end

-- The bytes of a body, as JSON where they are.
local function body_text(of, name)
  local bytes, omitted = recordings.bytes(of, name)
  if omitted then return ("(%d bytes, not kept)"):format(omitted) end
  if not bytes or bytes == "" then return nil end
  local value = json.decode(bytes)
  if type(value) == "table" then return pretty(value, 0) end
  return utf8.len(bytes) and recordings.safe(bytes) or ("(%d bytes)"):format(#bytes)
end

local function show_message(write, title, headers, of)
  write(title .. "\n")
  for _, pair in ipairs(headers or {}) do write(operator.plain(("    %s: %s"):format(pair[1], pair[2])) .. "\n") end
  local body = body_text(of, "body")
  if body then write(indent(body, 4)) end
end

local function show_call(write, call)
  local told = call.unanswered and "no answer" or "ok"
  if call.error then told = operator.plain(call.error.code .. ": " .. call.error.message) end
  local took = call.ended_ms and (" %d ms"):format(call.ended_ms - call.began_ms) or ""
  write(("  %d. %s:%s%s\n"):format(call.n, call.service, call.action, took))
  write(indent(pretty(call.params, 0), 5))
  for _, item in ipairs(call.before or {}) do
    local before = item.Item ~= json.null and pretty(item.Item, 5) or "absent"
    write(("     before, %s %s: %s\n"):format(operator.plain(item.TableName), json.encode(item.Key), before))
  end
  for _, object in ipairs(call.objects or {}) do
    local name = operator.plain(object.Bucket .. "/" .. object.Key)
    write(("     before, s3://%s: %s\n"):format(name, object.exists and "there" or "absent"))
  end
  local result = not call.error and next(call.result or {}) and " " .. pretty(call.result, 5) or ""
  write(("     -> %s%s%s\n"):format(told, result, call.fault and " (fault: " .. call.fault .. ")" or ""))
end

local function show_error(write, err)
  write(("\nerror  %s: %s\n"):format(operator.plain(err.type or err.code), recordings.safe(err.message)))
  if err.traceback and err.traceback ~= "" then write(indent(err.traceback, 4)) end
end

-- Who asked, and what came back.
local function show_exchange(write, r)
  if r.request then
    local asked = ("%s %s from %s"):format(r.request.method, r.request.target, r.request.remote_ip)
    show_message(write, "\nrequest  " .. operator.plain(asked),
      r.request.headers, r.request)
  elseif r.message then
    write(("\nmessage  %s, received %s times\n"):format(r.message.eventSourceARN, r.message.attributes.ApproximateReceiveCount))
    write(indent(body_text(r.message, "body") or "", 4))
  else
    write("\nevent\n" .. indent(pretty(r.event, 0), 4))
  end
  if r.answer then show_message(write, ("\nanswer  %d"):format(r.status), r.answer.headers, r.answer) end
  if r.streamed then write "\nanswer  in parts, which are not kept\n" end
  if r.value ~= nil and r.value ~= json.null then write("\nanswer\n" .. indent(pretty(r.value, 0), 4)) end
end

---Everything that is known of a recording, for people.
---@param write fun(text: string)
---@param r perigee.Recording
function log_command.show(write, r)
  write(("%s  %s\n"):format(r.id, operator.plain(recordings.what(r))))
  write(("%s, %s, %.1f ms, version %s\n"):format(r["function"], operator.plain(recordings.outcome(r)), r.ms, r.version))
  write(("at %s, request %s%s, trace %s\n"):format(r.at, operator.plain(r.request_id),
    r.correlation_id and ", correlation " .. operator.plain(r.correlation_id) or "", r.trace_id))
  show_exchange(write, r)
  if r.error then show_error(write, r.error) end
  write(("\ncalls  %d\n"):format(#r.calls))
  for _, call in ipairs(r.calls) do show_call(write, call) end
end

local function show(options, dir, id)
  if not id then return operator.fail("log", "show needs the id of a recording, or 'last'", 2) end
  local record, line = recordings.find(dir, id)
  if not record then return operator.fail("log", line) end
  if options.json then
    io.write(line, "\n")
  else
    log_command.show(function(text) io.write(text) end, record)
  end
  return 0
end

-- ==== the command =======================================================================================================

---@param options table<string, any>
---@param operands string[]
---@return integer
function log_command.main(options, operands)
  local dir = recordings.directory(options.data)
  options.data = nil
  local action = table.remove(operands, 1) or "ls"
  if action == "ls" and #operands == 0 then return ls(options, dir) end
  if action == "show" and #operands <= 1 then return show(options, dir, operands[1]) end
  return operator.fail("log", ("'%s' is neither ls nor show ID"):format(table.concat({ action, table.unpack(operands) }, " ")), 2)
end

return log_command
