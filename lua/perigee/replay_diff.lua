--- perigee.replay_diff: what a replayed run did otherwise than the recording says.
local json = require "perigee.json"
local recordings = require "perigee.recordings"
local replay_lines = require "perigee.replay_lines"
local replay_same = require "perigee.replay_same"

local replay_diff = {}

---@class perigee.replay.Diff
---@field changed integer how many differences were written
---@field same perigee.Same
---@field write fun(text: string)
---@field random { answer: table, calls: table<integer, table>, state: table<string, table>, names: table } sets of paths
local Diff = {}
Diff.__index = Diff

local TEXT_MAX = 300

local function text(value)
  if value == nil then return "(absent)" end
  local out = type(value) == "string" and value or json.encode(value)
  if type(value) == "string" and not utf8.len(value) then return ("(%d bytes)"):format(#value) end
  out = out:gsub("[%c\127]", " ")
  return #out > TEXT_MAX and out:sub(1, utf8.offset(out, 0, TEXT_MAX) - 1) .. " ..." or out
end

---@param given string[] texts that both runs were given
---@param write fun(text: string)
---@return perigee.replay.Diff
function replay_diff.new(given, write)
  return setmetatable({ changed = 0, write = write, same = replay_same.new(replay_same.ids(table.unpack(given))),
    random = { answer = {}, calls = {}, state = {}, names = {} } }, Diff)
end

function Diff:line(mark, indent, what)
  if mark ~= " " then self.changed = self.changed + 1 end
  self.write(recordings.safe(("%s %s%s"):format(mark, indent, what)) .. "\n")
end

-- The places where two values differ, but for those that are random.
function Diff:values(a, b, indent, random)
  local out = {}
  self.same:compare(a, b, "", out)
  for _, d in ipairs(out) do
    local chance = random and random[d.path] and d.recorded ~= nil and d.replayed ~= nil
    local name = d.path ~= "" and d.path .. ": " or ""
    if d.recorded ~= nil and not chance then self:line("-", indent, name .. text(d.recorded)) end
    if d.replayed ~= nil and not chance then self:line("+", indent, name .. text(d.replayed)) end
  end
end

-- ==== the answer ========================================================================================================

local function body_of(record)
  local bytes = recordings.bytes(record.answer or {}, "body")
  return bytes and (json.decode(bytes) or bytes)
end

-- The first line of a traceback says what happened; the rest where.
local function failure(record)
  local e = record.error
  return e and ("%s: %s"):format(e.type or e.code, e.message) or nil
end

---@param was perigee.Recording
---@param is perigee.Recording
function Diff:answer(was, is)
  local before = self.changed
  self.write "\nanswer\n"
  if was.streamed and not was.error and not is.error then
    return self.write "  sent in parts, which are not recorded: it is not compared\n"
  end
  if recordings.outcome(was) ~= recordings.outcome(is) then
    self:line("-", "", recordings.outcome(was))
    self:line("+", "", recordings.outcome(is))
  end
  if failure(was) ~= failure(is) then
    if was.error then self:line("-", "", failure(was)) end
    if is.error then self:line("+", "", failure(is)) end
  end
  self:values(recordings.headers((was.answer or {}).headers), recordings.headers((is.answer or {}).headers), "header ")
  self:values(body_of(was), body_of(is), "body ", self.random.answer)
  self:values(was.value, is.value, "value ", self.random.answer)
  if self.changed == before then self.write(("  %s, as it was\n"):format(recordings.outcome(is))) end
end

-- ==== calls =============================================================================================================

local function last(path) return path:match "[^/]*$" end

-- What the call is about, for people: the table, queue or bucket.
function replay_diff.resource(call)
  local p = call.params
  if p.TableName then return last(p.TableName) end
  if p.QueueUrl then return last(p.QueueUrl) end
  if p.Bucket then return p.Bucket end
  local names, seen = {}, {}
  local function note(name)
    if name and not seen[name] then names[#names + 1] = last(name) end
    if name then seen[name] = true end
  end
  for name in pairs(type(p.RequestItems) == "table" and p.RequestItems or {}) do note(name) end
  for _, entry in ipairs(type(p.TransactItems) == "table" and p.TransactItems or {}) do
    for _, inner in pairs(entry) do note(inner.TableName) end
  end
  table.sort(names)
  return table.concat(names, ", ")
end

local function name_of(call) return ("%s:%s %s"):format(call.service, call.action, replay_diff.resource(call)) end

local function told(call) return call.error and call.error.code or call.unanswered and "no answer" or "ok" end

local function params_of(call)
  local p = {}
  for k, v in pairs(call.params) do p[k] = v end
  if p.QueueUrl then p.QueueUrl = last(p.QueueUrl) end
  return p
end

-- Text bodies are compared; of others only whether there is one: documents hold ids and times that nobody can take out.
function Diff:bodies(a, b)
  if a.body and b.body then return self:values(a.body, b.body, "      body ") end
  local was, is = recordings.bytes(a, "body"), recordings.bytes(b, "body")
  local known = not a.body_omitted and not b.body_omitted and not a.body_base64
  if known and (was == nil) ~= (is == nil) then self:values(was, is, "      body ") end
end

function Diff:call_pair(a, b)
  local lines, write = {}, self.write
  self.write = function(line) lines[#lines + 1] = line end
  local before = self.changed
  self:values(params_of(a), params_of(b), "      ", self.random.calls[b.n])
  self:bodies(a, b)
  if told(a) ~= told(b) then
    self:line("-", "      ", "-> " .. told(a))
    self:line("+", "      ", "-> " .. told(b))
  end
  self.write = write
  self.write(("%s %d. %s\n"):format(self.changed > before and "~" or " ", b.n, name_of(b)))
  for _, line in ipairs(lines) do self.write(line) end
end

---@param was perigee.Recording
---@param is perigee.Recording
function Diff:calls(was, is)
  self.write "\ncalls\n"
  local pairs_of = replay_lines.align(was.calls, is.calls, function(x, y) return name_of(x) == name_of(y) end)
  for _, p in ipairs(pairs_of) do
    local a, b = was.calls[p.a], is.calls[p.b]
    if a and b then
      self:call_pair(a, b)
    elseif a then
      self:line("-", "", ("%d. %s -> %s  %s"):format(a.n, name_of(a), told(a), text(params_of(a))))
    else
      self:line("+", "", ("%d. %s -> %s  %s"):format(b.n, name_of(b), told(b), text(params_of(b))))
    end
  end
  if #pairs_of == 0 then self.write "  none\n" end
end

-- ==== the state =========================================================================================================

local function row_name(row) return ("%s{%s}"):format(row.what, row.name) end

-- Rows of both that are alone, and whose names differ only by what is random, are a pair.
function Diff:pair_random(rows, was, is)
  for _, r in ipairs(rows) do
    local b = not r.a and is[r.b]
    for k, other in ipairs(b and self.random.names[row_name(b)] and rows or {}) do
      local a = not other.b and was[other.a]
      if a and a.what == b.what and replay_same.shape(a.name) == replay_same.shape(b.name) then
        r.a = other.a
        table.remove(rows, k)
        break
      end
    end
  end
end

---@param was { what: string, name: string, value: any }[]
---@param is { what: string, name: string, value: any }[]
function Diff:state(was, is)
  local before = self.changed
  self.write "\nstate afterwards\n"
  local rows = replay_lines.align(was, is, function(x, y) return x.what == y.what and self.same:texts(x.name, y.name) end)
  self:pair_random(rows, was, is)
  for _, p in ipairs(rows) do
    local a, b = was[p.a], is[p.b]
    if a and b then
      self:values(a.value, b.value, row_name(b) .. " ", self.random.state[row_name(b)])
    else
      self:line(a and "-" or "+", "", ("%s %s"):format(row_name(a or b), text((a or b).value)))
    end
  end
  if self.changed == before then self.write "  as it was\n" end
end

-- ==== what is random ====================================================================================================

local function places(a, b)
  local out, set = {}, {}
  replay_same.new(nil, true):compare(a, b, "", out)
  for _, d in ipairs(out) do set[d.path] = true end
  return set
end

local function add(set, more)
  set = set or {}
  for path in pairs(more) do set[path] = true end
  return set
end

-- The row of the other replay that this one stands for: of the same name, else of a name that differs by what is random.
local function twin_of(row, other)
  for _, candidate in ipairs(other) do
    if row_name(candidate) == row_name(row) then return candidate end
  end
  for _, candidate in ipairs(other) do
    if candidate.what == row.what and replay_same.shape(candidate.name) == replay_same.shape(row.name) then return candidate end
  end
end

---Where two replays of one recording differ that had other random numbers: there the recording may differ too.
---@param one { is: perigee.Recording, state: table[] } the replay that is compared
---@param other { is: perigee.Recording, state: table[] }
function Diff:leave_out(one, other)
  local random = self.random
  add(random.answer, places(body_of(one.is) or one.is.value, body_of(other.is) or other.is.value))
  local function same_call(x, y) return name_of(x) == name_of(y) end
  for _, p in ipairs(replay_lines.align(one.is.calls, other.is.calls, same_call)) do
    local a, b = one.is.calls[p.a], other.is.calls[p.b]
    if a and b then random.calls[a.n] = add(random.calls[a.n], places(params_of(a), params_of(b))) end
  end
  for _, row in ipairs(one.state) do
    local twin, name = twin_of(row, other.state), row_name(row)
    if twin then random.state[name] = add(random.state[name], places(row.value, twin.value)) end
    if twin and row_name(twin) ~= name then random.names[name] = true end
  end
end

-- ==== the sources =======================================================================================================

---@param was table<string, string>?
---@param is table<string, string>
---@param version string of the recording
---@param now string
function Diff:sources(was, is, version, now)
  self.write(("\nsources  version %s -> %s\n"):format(version, now))
  if version == now then return self.write "  as they were\n" end
  if not was then return self.write "  the sources of the recorded version are not kept any more\n" end
  local paths, seen = {}, {}
  for _, files in ipairs { was, is } do
    for path in pairs(files) do
      if not seen[path] then paths[#paths + 1] = path end
      seen[path] = true
    end
  end
  table.sort(paths)
  for _, path in ipairs(paths) do
    if was[path] ~= is[path] then
      self.write(("  %s%s\n"):format(path, not was[path] and " (new)" or not is[path] and " (gone)" or ""))
      for _, line in ipairs(replay_lines.diff(was[path] or "", is[path] or "")) do
        self.write("  " .. recordings.safe(line) .. "\n")
      end
    end
  end
end

return replay_diff
