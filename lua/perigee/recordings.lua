--- Recordings that `perigee serve --development` and `perigee invoke --record` made: finding and reading them. Of commands.
---
--- <data>/recordings/<milliseconds>-<n>.jsonl has one JSON object a line, oldest first, appended while the server runs; a
--- line without its end is one that is being written, or that a crash cut off. versions/<version>.json has the sources.
local crypto = require "perigee.crypto"
local host = require "perigee.host"
local json = require "perigee.json"

local recordings = {}

---@class perigee.Recording
---@field id string
---@field at string
---@field at_ms integer
---@field kind "request"|"message"|"event"
---@field function string
---@field version string
---@field outcome "ok"|"failed"|"cancelled"
---@field status integer? of requests
---@field ms number
---@field calls table[]

recordings.DATA = ".perigee"
recordings.UNKNOWN = "redacted-0" -- a value that nobody knows

---@param data string?
---@return string
function recordings.directory(data) return (data or recordings.DATA) .. "/recordings" end

local function read(path)
  local file, err = io.open(path, "rb")
  if not file then return nil, err end
  local text = file:read "a"
  file:close()
  return text
end

---The whole lines of a segment, newest first. What follows the last line's end is not there yet.
---@param text string
---@return string[]
function recordings.lines(text)
  local all, from = {}, 1
  for at in text:gmatch "()\n" do
    all[#all + 1] = text:sub(from, at - 1)
    from = at + 1
  end
  for i = 1, #all // 2 do all[i], all[#all + 1 - i] = all[#all + 1 - i], all[i] end
  return all
end

---Every recording's line, newest first.
---@param dir string
---@return fun(): string?
function recordings.each_line(dir)
  local segments = assert(host.segments(dir))
  local at, lines, n = #segments + 1, {}, 0
  return function()
    while n >= #lines do
      at = at - 1
      if at < 1 then return nil end
      lines, n = recordings.lines(read(segments[at]) or ""), 0 -- the server may have removed it meanwhile
    end
    n = n + 1
    return lines[n]
  end
end

local SHAPE = { id = "string", at = "string", at_ms = "number", kind = "string", ["function"] = "string", version = "string",
  outcome = "string", ms = "number", request_id = "string", trace_id = "string", host = "table", calls = "table" }

local function has_shape(value, shape)
  for name, kind in pairs(shape) do
    if type(value) ~= "table" or type(value[name]) ~= kind then return false end
  end
  return true
end

local CALL = { n = "number", service = "string", action = "string", params = "table" }
local INPUTS = {
  request = { method = "string", target = "string" }, message = { eventSourceARN = "string", messageId = "string" },
}

---A recording of a line; of one that is damaged nil.
---@param line string
---@return perigee.Recording?
function recordings.decode(line)
  local record = json.decode(line, { max_depth = 200 })
  if not has_shape(record, SHAPE) or record.status and math.type(record.status) ~= "integer" then return nil end
  for kind, shape in pairs(INPUTS) do
    if (record.kind == kind or record[kind] ~= nil) and not has_shape(record[kind], shape) then return nil end
  end
  for _, call in ipairs(record.calls) do
    if not has_shape(call, CALL) then return nil end
  end
  return record
end
local decode = recordings.decode

---Every recording that `keep` says yes to, newest first, at most `limit`.
---@param dir string
---@param limit integer?
---@param keep fun(record: perigee.Recording, line: string): boolean
---@return perigee.Recording[]
---@return string[] lines as they are in the file
function recordings.select(dir, limit, keep)
  local found, lines = {}, {}
  for line in recordings.each_line(dir) do
    if limit and #found >= limit then break end
    local record = decode(line)
    if record and keep(record, line) then
      found[#found + 1] = record
      lines[#found] = line
    end
  end
  return found, lines
end

---The recording whose id begins so; the newest of all for "last".
---@param dir string
---@param prefix string
---@return perigee.Recording?
---@return string? why or the line as it is in the file
function recordings.find(dir, prefix)
  local found, whole
  local start = '{"id":"' .. prefix
  for line in recordings.each_line(dir) do
    if prefix == "last" or line:sub(1, #start) == start then
      local record = decode(line)
      if record and prefix == "last" then return record, line end
      if record and found and found.id ~= record.id then
        return nil, ("several recordings begin with %s: %s and %s, at least"):format(prefix, found.id, record.id)
      end
      if record then found, whole = record, line end
    end
  end
  if found then return found, whole end
  return nil, prefix == "last" and "nothing is recorded in " .. dir or ("there is no recording %s in %s"):format(prefix, dir)
end

---The sources of a version: path -> text.
---@param dir string
---@param version string
---@return table<string, string>?
function recordings.sources(dir, version)
  local text = read(("%s/versions/%s.json"):format(dir, version))
  local document = text and json.decode(text)
  return document and document.files
end

-- ==== what a recording is of ============================================================================================

---The bytes that were recorded as `name`, `name_base64` or not at all.
---@param of table
---@param name string
---@return string? bytes
---@return integer? omitted how many bytes it was; 0: of what was redacted nobody knows
function recordings.bytes(of, name)
  local text = of[name .. "_base64"]
  if not text then return of[name], of[name .. "_omitted"] end
  local bytes = crypto.unbase64(text) -- a placeholder is no base64
  return bytes, not bytes and 0 or nil
end

---@param record perigee.Recording
---@return string
function recordings.what(record)
  if record.request then return record.request.method .. " " .. record.request.target end
  local message = record.message
  if message then return ("%s message %s"):format(message.eventSourceARN:match "[^:]*$", message.messageId:sub(1, 8)) end
  local event = record.event
  if type(event) ~= "table" then return "event" end
  local source = type(event.resources) == "table" and event.resources[1]
  if event["detail-type"] == "Scheduled Event" and source then return "schedule " .. source:match "[^/]*$" end
  return event["detail-type"] and "event " .. tostring(event["detail-type"]) or "event"
end

---"200", "500 HandlerError", "ok", "failed HandlerError"
---@param record perigee.Recording
---@return string
function recordings.outcome(record)
  local code = record.error and (record.error.type or record.error.code)
  local word = record.outcome == "cancelled" and "cancelled" or record.status and ("%d"):format(record.status) or record.outcome
  return code and record.outcome ~= "cancelled" and word .. " " .. code or word
end

---Members of a list of header pairs, by name in lower case.
---@param pairs_of string[][]?
---@return table<string, string>
function recordings.headers(pairs_of)
  local out = {}
  for _, pair in ipairs(pairs_of or {}) do
    local name = pair[1]:lower()
    out[name] = out[name] and out[name] .. ", " .. pair[2] or pair[2]
  end
  return out
end

---Text in lines without what would move a terminal's cursor.
---@param text any
---@return string
function recordings.safe(text)
  return (tostring(text):gsub("[%c\127]", function(c) return (c == "\n" or c == "\t") and c or " " end)
    :gsub("\xc2[\x80-\x9f]", " "))
end

---@param value any
---@return boolean
function recordings.is_placeholder(value) return type(value) == "string" and value:find("redacted-", 1, true) ~= nil end

return recordings
