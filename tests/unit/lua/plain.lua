-- Lets these specs run under plain `busted tests/unit/lua` too: what the host's C modules are replaced by where there is no
-- host. Only what the pure modules of lua/perigee need; in the host nothing here is used.
local plain = {}

package.path = "lua/?.lua;handlers/?.lua;tests/?.lua;" .. package.path

-- ==== perigee.json: exact integers, marks, sorted members ==============================================================

local Array, Object = {}, {}
local json = { null = function() end } -- anything but a table
function json.array(t) return setmetatable(t or {}, Array) end
function json.object(t) return setmetatable(t or {}, Object) end
function json.is_array(t)
  return type(t) == "table" and getmetatable(t) ~= Object and (getmetatable(t) == Array or #t > 0)
end

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local value

local function text(s, at)
  local out = {}
  while true do
    local stop = s:find('["\\]', at)
    out[#out + 1] = s:sub(at, stop - 1)
    if s:sub(stop, stop) == '"' then return table.concat(out), stop + 1 end
    local kind = s:sub(stop + 1, stop + 1)
    if kind == "u" then
      out[#out + 1] = utf8.char(tonumber(s:sub(stop + 2, stop + 5), 16))
      at = stop + 6
    else
      out[#out + 1] = assert(ESCAPES[kind], "bad escape")
      at = stop + 2
    end
  end
end

local function list(s, at, close, add)
  at = s:find("%S", at)
  if s:sub(at, at) == close then return at + 1 end
  while true do
    at = s:find("%S", add(at))
    local c = s:sub(at, at)
    at = s:find("%S", at + 1)
    if c == close then return at or #s + 1 end
    assert(c == ",", "no comma")
  end
end

function value(s, at)
  at = assert(s:find("%S", at), "nothing there")
  local c = s:sub(at, at)
  if c == '"' then return text(s, at + 1) end
  if c == "[" then
    local out = json.array {}
    return out, list(s, at + 1, "]", function(i)
      local v, after = value(s, i)
      out[#out + 1] = v
      return after
    end)
  elseif c == "{" then
    local out = json.object {}
    return out, list(s, at + 1, "}", function(i)
      local key, after = text(s, i + 1)
      local v
      v, after = value(s, s:match("^%s*:()", after))
      out[key] = v
      return after
    end)
  end
  for word, v in pairs { ["true"] = true, ["false"] = false, null = json.null } do
    if s:sub(at, at + #word - 1) == word then return v, at + #word end
  end
  local number, after = s:match("^(-?%d+%.?%d*[eE]?[+-]?%d*)()", at)
  return assert(tonumber(number), "no value"), after
end

function json.decode(s)
  local ok, v = pcall(value, s, 1)
  if not ok then return nil, { code = "not_json", message = tostring(v) } end
  return v
end

function json.encode(v)
  if type(v) == "string" then return '"' .. v:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"' end
  if v == json.null then return "null" end
  if type(v) ~= "table" then return tostring(v) end
  local out, keys = {}, {}
  if json.is_array(v) then
    for i, element in ipairs(v) do out[i] = json.encode(element) end
    return "[" .. table.concat(out, ",") .. "]"
  end
  for k in pairs(v) do keys[#keys + 1] = k end
  table.sort(keys)
  for i, k in ipairs(keys) do out[i] = json.encode(k) .. ":" .. json.encode(v[k]) end
  return "{" .. table.concat(out, ",") .. "}"
end

-- ==== perigee.time, perigee.crypto, perigee.file ======================================================================

local time = {}
function time.now() return os.time() * 1000 end
function time.iso(ms) return os.date("!%Y-%m-%dT%H:%M:%S.000Z", (ms or time.now()) // 1000) end
function time.parse(s)
  local month, day, hour = s:match("^%d+%-(%d+)%-(%d+)[Tt](%d+)")
  return month and tonumber(month) <= 12 and tonumber(day) <= 31 and tonumber(hour) < 24 and 0 or nil
end

-- SHA-256 (FIPS 180-4), its constants from the primes as the standard defines them.
local K, H = {}, {}
do
  local function fraction(x) return math.floor((x % 1) * 2 ^ 32) end
  local n, found = 2, 0
  while found < 64 do
    local prime = true
    for d = 2, math.floor(n ^ 0.5) do prime = prime and n % d ~= 0 end
    if prime then
      found = found + 1
      K[found] = fraction(n ^ (1 / 3))
      if found <= 8 then H[found] = fraction(n ^ 0.5) end
    end
    n = n + 1
  end
end

local function rotate(x, n) return ((x >> n) | (x << (32 - n))) & 0xffffffff end

local function block(h, bytes)
  local w = { string.unpack(">" .. ("I4"):rep(16), bytes) }
  for i = 17, 64 do
    local a, b = w[i - 15], w[i - 2]
    local s0 = rotate(a, 7) ~ rotate(a, 18) ~ (a >> 3)
    local s1 = rotate(b, 17) ~ rotate(b, 19) ~ (b >> 10)
    w[i] = (w[i - 16] + s0 + w[i - 7] + s1) & 0xffffffff
  end
  local v = table.move(h, 1, 8, 1, {})
  for i = 1, 64 do
    local a, e = v[1], v[5]
    local t1 = v[8] + (rotate(e, 6) ~ rotate(e, 11) ~ rotate(e, 25)) + ((e & v[6]) ~ (~e & v[7])) + K[i] + w[i]
    local t2 = (rotate(a, 2) ~ rotate(a, 13) ~ rotate(a, 22)) + ((a & v[2]) ~ (a & v[3]) ~ (v[2] & v[3]))
    v = { (t1 + t2) & 0xffffffff, a, v[2], v[3], (v[4] + t1) & 0xffffffff, e, v[6], v[7] }
  end
  for i = 1, 8 do h[i] = (h[i] + v[i]) & 0xffffffff end
end

local function sha256(s)
  local h = table.move(H, 1, 8, 1, {})
  s = s .. "\x80" .. ("\0"):rep((55 - #s) % 64) .. string.pack(">I8", #s * 8)
  for i = 1, #s, 64 do block(h, s:sub(i, i + 63)) end
  return string.pack(">" .. ("I4"):rep(8), table.unpack(h))
end

local function hex(s) return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end
local function xor(s, byte) return (s:gsub(".", function(c) return string.char(c:byte() ~ byte) end)) end

local crypto = {}
function crypto.sha256(s) return hex(sha256(s)) end
function crypto.hmac_sha256(key, s)
  if #key > 64 then key = sha256(key) end
  key = key .. ("\0"):rep(64 - #key)
  return hex(sha256(xor(key, 0x5c) .. sha256(xor(key, 0x36) .. s)))
end
function crypto.equal(a, b) return a == b end
function crypto.base64(s)
  local alphabet, out = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", {}
  for i = 1, #s, 3 do
    local a, b, c = s:byte(i, i + 2)
    local n = (a << 16) | ((b or 0) << 8) | (c or 0)
    for k = 0, 3 do
      local at = (n >> (18 - 6 * k)) & 63
      out[#out + 1] = (k == 2 and not b or k == 3 and not c) and "=" or alphabet:sub(at + 1, at + 1)
    end
  end
  return table.concat(out)
end

local file = {}
function file.read(path)
  local f, err = io.open(path, "rb")
  if not f then return nil, { code = "InputOutputError", message = err } end
  local s = f:read "a"
  f:close()
  return s
end

---True in the host.
plain.host = pcall(require, "perigee.crypto")
if not plain.host then
  package.preload["perigee.json"] = function() return json end
  package.preload["perigee.time"] = function() return time end
  package.preload["perigee.crypto"] = function() return crypto end
  package.preload["perigee.file"] = function() return file end
end

return plain
