--- Signature Version 4 as pure functions: for services that aws.* does not know, API Gateway with IAM, links of one's own
--- making, and callers of one's own API who sign. Nothing here waits: it may be called anywhere.
local core = require "perigee.sigv4.core"
local crypto = require "perigee.crypto"
local time = require "perigee.time"

---@class perigee.sigv4.Credentials
---@field access_key_id string
---@field secret_access_key string
---@field session_token string?

---@class perigee.sigv4.Request
---@field url string absolute, percent-encoded as it will be sent
---@field service string signing name: "dynamodb", "execute-api", "s3", ...
---@field region string
---@field credentials perigee.sigv4.Credentials
---@field method string? GET
---@field headers table<string, string|number|string[]>? those to be sent; `host` is taken from the url unless it is here
---@field body string? bytes
---@field body_sha256 string? instead of body: its SHA-256 in hex, or "UNSIGNED-PAYLOAD"
---@field date integer|string? Unix milliseconds, "20261122T053000Z" or RFC 3339; now
---@field normalize boolean? remove dot and empty segments of the path; true but for S3, whose keys may have them

---@class perigee.sigv4.Link: perigee.sigv4.Request
---@field expires integer? seconds, 1 to 604800; 900

---@class perigee.sigv4.Signed
---@field headers table<string, string|string[]> the request's headers with Authorization, X-Amz-Date, ...
---@field authorization string
---@field signature string
---@field signed_headers string
---@field canonical_request string
---@field string_to_sign string

---@class perigee.sigv4.Presigned
---@field url string
---@field expires_at integer Unix milliseconds
---@field signature string
---@field signed_headers string
---@field canonical_request string
---@field string_to_sign string

---@class perigee.sigv4.Verification
---@field url string? absolute, or only path and query (the host is in the headers)
---@field headers table<string, string|number|string[]> as received
---@field method string? GET
---@field body string?
---@field credentials perigee.sigv4.Credentials? the only ones accepted
---@field secret (fun(access_key_id: string): string?)? instead: the secret key of an access key; nil: unknown. It may wait
---@field date integer|string? the time it is; now
---@field normalize boolean?

---@class perigee.sigv4.Verified
---@field access_key_id string
---@field region string
---@field service string
---@field presigned boolean
---@field payload_hash string hex SHA-256 of the body, which fits, or "UNSIGNED-PAYLOAD": the body may be anything

local sigv4 = {}

local UNSIGNED = "UNSIGNED-PAYLOAD"
local DEFAULT_PORTS = { http = "80", https = "443" }
local FROM_1973 = 100000000000 -- smaller numbers are Unix seconds, given by mistake

-- ==== arguments: each problem raised at the caller of sign, presign or verify, naming the field =======================

local function refuse(where, field, text)
  error(("sigv4.%s: %s %s"):format(where, field, text), 0)
end

local function optional_string(where, t, name)
  local v = t[name]
  if v ~= nil and type(v) ~= "string" then refuse(where, name, "must be a string, not " .. type(v)) end
  return v
end

local function check_fields(where, t, known)
  if type(t) ~= "table" then refuse(where, "the argument", "must be a table, not " .. type(t)) end
  for name in pairs(t) do
    if not known[name] then refuse(where, tostring(name), "is no field of it") end
  end
end

local function word(where, t, name)
  local v = t[name]
  if v == nil then refuse(where, name, "is missing") end
  if type(v) ~= "string" or not v:find("^[%w._-]+$") then refuse(where, name, "must be a name such as us-east-1 or s3") end
  return v
end

local function method_of(where, t)
  local v = optional_string(where, t, "method") or "GET"
  if not v:find("^%a+$") then refuse(where, "method", "must be an HTTP method such as GET") end
  return v:upper()
end

local function date_of(where, t)
  local v = t.date
  if v == nil then return time.now() end
  if type(v) == "string" then
    return core.parse_date(v) or refuse(where, "date", "must look like 20261122T053000Z or 2026-11-22T05:30:00Z")
  end
  local ms = math.type(v) and math.tointeger(v // 1)
  if not ms then refuse(where, "date", "must be Unix milliseconds or text, not " .. type(v)) end
  if ms < FROM_1973 then refuse(where, "date", "must be Unix milliseconds; this looks like seconds") end
  return ms
end

local function credentials_of(where, t)
  local c = t.credentials
  if c == nil then refuse(where, "credentials", "is missing") end
  if type(c) ~= "table" then refuse(where, "credentials", "must be a table, not " .. type(c)) end
  for _, name in ipairs { "access_key_id", "secret_access_key" } do
    if type(c[name]) ~= "string" or c[name] == "" then
      refuse(where, "credentials." .. name, "must be a string with something in it")
    end
  end
  local token = c.session_token
  if token ~= nil and type(token) ~= "string" then refuse(where, "credentials.session_token", "must be a string") end
  for _, name in ipairs { "access_key_id", "session_token" } do
    if (c[name] or ""):find("[%c\x80-\xff ,]") then refuse(where, "credentials." .. name, "has a character that no key has") end
  end
  return c.access_key_id, c.secret_access_key, token ~= "" and token or nil
end

local function check_text(where, s)
  local at = s:find("[^\x21-\x7e]")
  if at then refuse(where, "url", ("has byte 0x%02x at %d, which must be percent-encoded"):format(s:byte(at), at)) end
end

-- "https://Host:443/a?b=c#d" -> "https://host", "host", "/a", "b=c". The host is what clients send: lower case, without the
-- scheme's own port.
local function split_url(where, url)
  if type(url) ~= "string" then refuse(where, "url", url == nil and "is missing" or "must be a string, not " .. type(url)) end
  check_text(where, url)
  local scheme, authority, path, query = url:match("^(%a+)://([^/?#]*)([^?#]*)%??([^#]*)")
  scheme = scheme and scheme:lower()
  if not DEFAULT_PORTS[scheme] then refuse(where, "url", "must begin with http:// or https://") end
  if authority:find("@", 1, true) then refuse(where, "url", "must not hold user information") end
  local host, port = authority:match("^(%[[%x:.]+%]):?(%d*)$")
  if not host then host, port = authority:match("^([%w._-]+):?(%d*)$") end
  if not host then refuse(where, "url", "must have a host, and perhaps a port") end
  host = host:lower() .. (port ~= "" and port ~= DEFAULT_PORTS[scheme] and ":" .. port or "")
  return scheme .. "://" .. host, host, path == "" and "/" or path, query
end

local function header_value(where, name, v)
  if type(v) == "number" then v = tostring(v) end
  if type(v) ~= "string" then refuse(where, "headers." .. name, "must be a string, a number or a list of strings") end
  if v:find("[\r\n\0]") then refuse(where, "headers." .. name, "must not hold line breaks or NUL") end
  return v
end

-- The list {name, value, ...} in the order of the names, and the values by lower-case name (the last one).
local function headers_of(where, t)
  local list, by_name, names, headers = {}, {}, {}, t.headers
  if headers == nil then return list, by_name, names end
  if type(headers) ~= "table" then refuse(where, "headers", "must be a table, not " .. type(headers)) end
  for name in pairs(headers) do
    if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+.^_`|~-]+$") then
      refuse(where, "headers", ("has a name that is none: %q"):format(tostring(name)))
    end
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local v = headers[name]
    for _, one in ipairs(type(v) == "table" and v or { v }) do
      list[#list + 1] = name
      list[#list + 1] = header_value(where, name, one)
      by_name[name:lower()] = list[#list]
    end
  end
  return list, by_name, names
end

-- body, body_sha256 or a header X-Amz-Content-Sha256; `otherwise` when none is there.
local function payload_hash(where, t, given, otherwise)
  local body, hash = optional_string(where, t, "body"), optional_string(where, t, "body_sha256")
  if body and hash then refuse(where, "body_sha256", "is given beside body") end
  if hash and given and hash ~= given then refuse(where, "body_sha256", "differs from the header X-Amz-Content-Sha256") end
  hash = hash or given
  if not hash then return body and crypto.sha256(body) or otherwise or crypto.sha256("") end
  if #hash == 64 and hash:find("^%x+$") then return hash:lower() end
  if hash ~= UNSIGNED and not hash:find("^STREAMING%-[A-Z0-9-]+$") then
    refuse(where, "body_sha256", "must be 64 hex digits or " .. UNSIGNED)
  end
  return hash
end

-- What sign and presign have in common: the table for the core, the header list's table by name.
local function prepare(where, t, dropped)
  local base, host, path, query = split_url(where, t.url)
  local list, by_name, names = headers_of(where, t)
  local kept = {}
  for i = 1, #list, 2 do
    if not dropped[list[i]:lower()] then
      kept[#kept + 1] = list[i]
      kept[#kept + 1] = list[i + 1]
    end
  end
  local normalize = t.normalize
  if normalize ~= nil and type(normalize) ~= "boolean" then refuse(where, "normalize", "must be true or false") end
  local access_key, secret_key, token = credentials_of(where, t)
  local service = word(where, t, "service")
  return {
    method = method_of(where, t), base = base, path = path, query = query, headers = kept, normalize = normalize,
    double_encode = not core.is_s3(service), region = word(where, t, "region"), service = service, ms = date_of(where, t),
    access_key = access_key, secret_key = secret_key, token = token,
  }, host, by_name, names
end

local function set(where)
  local known = {}
  for name in where:gmatch("[%w_]+") do known[name] = true end
  return known
end

local SIGN_FIELDS = set "method url headers body body_sha256 service region credentials date normalize"
local PRESIGN_FIELDS = set "method url headers body body_sha256 service region credentials date normalize expires"
local VERIFY_FIELDS = set "method url headers body credentials secret date normalize"
local MADE_BY_SIGN = {
  authorization = true, ["x-amz-date"] = true, ["x-amz-security-token"] = true, ["x-amz-content-sha256"] = true,
}
local MADE_BY_PRESIGN = { authorization = true, ["x-amz-date"] = true, ["x-amz-security-token"] = true, host = true }

-- Raises at the caller of the public function, whatever the depth.
local function at_caller(f, ...)
  local results = table.pack(pcall(f, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  error(results[2], type(results[2]) == "string" and 3 or 0)
end

-- ==== sign =============================================================================================================

local function sign(t)
  check_fields("sign", t, SIGN_FIELDS)
  local request, host, by_name, names = prepare("sign", t, MADE_BY_SIGN)
  local list, given = request.headers, by_name["x-amz-content-sha256"]
  local headers, added = {}, { { "X-Amz-Date", core.amz_date(request.ms) } }
  request.payload_hash = payload_hash("sign", t, given)
  if request.token then added[2] = { "X-Amz-Security-Token", request.token } end
  if given or not request.double_encode then added[#added + 1] = { "X-Amz-Content-Sha256", request.payload_hash } end
  for _, name in ipairs(names) do
    if not MADE_BY_SIGN[name:lower()] then headers[name] = t.headers[name] end
  end
  for _, header in ipairs(added) do
    list[#list + 1], list[#list + 2] = header[1], header[2]
    headers[header[1]] = header[2]
  end
  if not by_name.host then list[#list + 1], list[#list + 2] = "host", host end
  local signed = core.sign(request)
  headers.Authorization = signed.authorization
  signed.headers = headers
  return signed
end

---The headers to be sent with the request, and each stage of their signature.
---@param request perigee.sigv4.Request
---@return perigee.sigv4.Signed
function sigv4.sign(request)
  return (at_caller(sign, request)) -- no tail call: the level of the error counts frames
end

-- ==== presign ==========================================================================================================

local function presign(t)
  check_fields("presign", t, PRESIGN_FIELDS)
  local request, host, by_name = prepare("presign", t, MADE_BY_PRESIGN)
  if by_name.host and by_name.host:lower() ~= host then refuse("presign", "headers.host", "differs from the host of url") end
  local expires = t.expires == nil and 900 or t.expires
  request.expires = math.type(expires) and math.tointeger(expires)
  if not request.expires or request.expires < 1 or request.expires > 604800 then
    refuse("presign", "expires", "must be 1 to 604800 seconds")
  end
  local otherwise = not request.double_encode and UNSIGNED or nil
  request.payload_hash = payload_hash("presign", t, by_name["x-amz-content-sha256"], otherwise)
  local signed, why = core.presign(request)
  if not signed then refuse("presign", "url", "cannot be signed: " .. why) end
  signed.expires_at = (request.ms // 1000 + request.expires) * 1000
  return signed
end

---A link that carries its signature: whoever has it may make this one request until it expires. Headers given here must be
---sent with it. It dies before `expires` when temporary credentials do.
---@param request perigee.sigv4.Link
---@return perigee.sigv4.Presigned
function sigv4.presign(request)
  return (at_caller(presign, request))
end

-- ==== verify ===========================================================================================================

local function received(t)
  check_fields("verify", t, VERIFY_FIELDS)
  local list, by_name = headers_of("verify", t)
  local path, query, host
  if type(t.url) == "string" and t.url:sub(1, 1) == "/" then
    check_text("verify", t.url)
    path, query = t.url:match("^([^?#]*)%??([^#]*)")
  else
    local _
    _, host, path, query = split_url("verify", t.url)
  end
  if not by_name.host and host then list[#list + 1], list[#list + 2] = "host", host end
  if t.normalize ~= nil and type(t.normalize) ~= "boolean" then refuse("verify", "normalize", "must be true or false") end
  local body = optional_string("verify", t, "body") or ""
  local request = { method = method_of("verify", t), path = path, query = query, headers = list, body = body,
    ms = date_of("verify", t), normalize = t.normalize }
  if t.secret ~= nil and type(t.secret) ~= "function" then refuse("verify", "secret", "must be a function") end
  if (t.secret == nil) == (t.credentials == nil) then refuse("verify", "credentials or secret", "must be given, and not both") end
  return request
end

local function only(t)
  local access_key, secret_key = credentials_of("verify", t)
  return function(id) return crypto.equal(id, access_key) and secret_key or nil end
end

local function is_secret(v)
  if v == nil or type(v) == "string" and v ~= "" then return end
  refuse("verify", "secret", "must return a string with something in it, or nil")
end

---Who signed this request, in its header or its query; nil and why when the signature, its time or the body does not fit:
---err.code is AccessDenied, InvalidAccessKeyId, SignatureDoesNotMatch, RequestTimeTooSkewed, ... as S3 says it.
---@param request perigee.sigv4.Verification
---@return perigee.sigv4.Verified? who
---@return perigee.Error? err
function sigv4.verify(request)
  local raw = at_caller(received, request)
  local secret_of = request.secret or at_caller(only, request)
  local access_key, err = core.verify(raw)
  if not access_key then return nil, err end
  local secret = secret_of(access_key)
  at_caller(is_secret, secret)
  raw.access_key, raw.secret_key = access_key, secret or ""
  if not secret then raw.access_key = "" end -- nobody's: named as unknown
  return core.verify(raw)
end

return sigv4
