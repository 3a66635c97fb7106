--- HTTP answers, reading a JSON request, and requests to other servers.
---
---   return http.ok { order_id = id }
---   return http.not_found "there is no such order"
---   local body, refused = http.read(request, schema); if not body then return refused end
---
--- Errors have one shape: {"error":{"code","message","fields":[{"path","message"}]}}.
local crypto = require "perigee.crypto"
local json = require "perigee.json"

local http = {}

---@alias perigee.Headers table<string, string|integer|(string|integer)[]> a list is sent as several headers

---@class perigee.Response
---@field status integer
---@field headers table<string, string|(string|integer)[]>
---@field body string? bytes, ready to send
local Response = { __name = "perigee.response" }
Response.__index = Response

http.JSON = "application/json; charset=utf-8"

---@param headers table
---@return boolean # whether a Content-Type is among them, in any case
local function is_typed(headers)
  for name in pairs(headers) do
    if type(name) == "string" and name:lower() == "content-type" then return true end
  end
  return false
end

---An answer. A table as body becomes JSON; a string is sent as it is.
---@param status integer 200..599
---@param body table|string|nil
---@param headers perigee.Headers?
---@return perigee.Response
function http.response(status, body, headers)
  if math.type(status) ~= "integer" or status < 200 or status > 599 then
    error(("an HTTP status is an integer from 200 to 599, not %s"):format(tostring(status)), 2)
  end
  local out = {}
  for name, value in pairs(headers or {}) do out[name] = type(value) == "table" and value or tostring(value) end
  if type(body) == "table" then
    body = json.encode(body)
    if not is_typed(out) then out["Content-Type"] = http.JSON end
  elseif body ~= nil and type(body) ~= "string" then
    error(("a body is a table, a string or nil, not a %s"):format(type(body)), 2)
  end
  return setmetatable({ status = status, headers = out, body = body }, Response)
end

---An answer whose body is JSON text already; its Content-Type is that of the headers when they have one.
---@param status integer
---@param text string
---@param headers perigee.Headers?
---@return perigee.Response
function http.json(status, text, headers)
  local answer = http.response(status, text, headers)
  if not is_typed(answer.headers) then answer.headers["Content-Type"] = http.JSON end
  return answer
end

---@param v any
---@return boolean
function http.is_response(v)
  return getmetatable(v) == Response
end

-- ==== success =========================================================================================================

---@param body table|string|nil
---@param headers perigee.Headers?
---@return perigee.Response
function http.ok(body, headers) return http.response(200, body, headers) end

---@param body table|string|nil
---@param headers perigee.Headers?
---@return perigee.Response
function http.created(body, headers) return http.response(201, body, headers) end

---@param body table|string|nil
---@param headers perigee.Headers?
---@return perigee.Response
function http.accepted(body, headers) return http.response(202, body, headers) end

---@param headers perigee.Headers?
---@return perigee.Response
function http.no_content(headers) return http.response(204, nil, headers) end

-- ==== errors ==========================================================================================================

---@param status integer
---@param code string for programs: "conflict"
---@param message string for people
---@param fields perigee.Field[]?
---@param headers perigee.Headers?
---@return perigee.Response
function http.error(status, code, message, fields, headers)
  local err = { code = code, message = message }
  if fields and #fields > 0 then err.fields = json.array(fields) end
  return http.response(status, { error = err }, headers)
end

---400. Fields ({ {path=, message=}, ... }) or one message.
---@param what perigee.Field[]|string
---@return perigee.Response
function http.bad_request(what)
  if type(what) == "string" then return http.error(400, "bad_request", what) end
  return http.error(400, "invalid", #what == 1 and "one field is wrong" or #what .. " fields are wrong", what)
end

---@param message string?
---@return perigee.Response
function http.unauthorized(message)
  return http.error(401, "unauthorized", message or "credentials are missing or wrong", nil, { ["WWW-Authenticate"] = "Bearer" })
end

---@param message string?
---@return perigee.Response
function http.forbidden(message) return http.error(403, "forbidden", message or "this is not allowed") end

---@param message string?
---@return perigee.Response
function http.not_found(message) return http.error(404, "not_found", message or "there is no such thing") end

---@param message string?
---@return perigee.Response
function http.conflict(message) return http.error(409, "conflict", message or "this contradicts what is there") end

---503: nothing was done, a retry is safe.
---@param message string?
---@param retry_after integer? seconds
---@return perigee.Response
function http.unavailable(message, retry_after)
  return http.error(503, "unavailable", message or "try again", nil, { ["Retry-After"] = retry_after or 1 })
end

-- ==== answers in parts ================================================================================================

---@class perigee.StreamOptions
---@field status integer? 200 by default
---@field headers perigee.Headers? Content-Type is text/plain unless it is here

---An answer that leaves in parts while its handler still runs.
---@class perigee.Stream
---@field write fun(self: perigee.Stream, bytes: string): perigee.Stream sends; waits while the client is slow
---@field close fun(self: perigee.Stream) nothing more will be written; returning from the handler does this as well

local stream -- loaded at the first use, as core below
local streaming = setmetatable({}, { __mode = "k" }) -- contexts whose answer is a stream

---Answers with a stream: status and headers leave with the first write, the end when the handler returns (nothing).
---@param context perigee.Context
---@param options perigee.StreamOptions?
---@return perigee.Stream
function http.stream(context, options)
  stream = stream or require "perigee.http.stream"
  if options ~= nil and type(options) ~= "table" then error("the options of http.stream are a table", 2) end
  for name in pairs(options or {}) do
    if name ~= "status" and name ~= "headers" then
      error(("unknown option '%s' (there are: status, headers)"):format(tostring(name)), 2)
    end
  end
  local opened = stream.open(context, options and options.status or 200, options and options.headers)
  streaming[context] = true
  return opened
end

---Is http.stream the answer of this run?
---@param context perigee.Context
---@return boolean
function http.is_streaming(context) return streaming[context] == true end

-- ==== outgoing requests ===============================================================================================

---@class perigee.Fetched
---@field status integer
---@field headers table<string, string> by lower-case name; repeated ones are joined with ", "
---@field body string
local Fetched = {}
Fetched.__index = Fetched

---The body as JSON: the value, or nil and the error.
---@return any value
---@return perigee.Error? err
function Fetched:json() return json.decode(self.body) end

---@class perigee.FetchOptions
---@field method string? GET (default), HEAD, POST, PUT, PATCH, DELETE, OPTIONS
---@field headers table<string, string|number>?
---@field body string|table|nil a table is sent as JSON
---@field timeout_ms integer? of the whole exchange, 10000 by default; never longer than the handler may still run
---@field max_body integer? bytes of the answer, 8 MiB by default, at most 64 MiB

local core -- loaded at the first fetch: the rest of this module needs no host

---Sends one HTTP request and waits for its answer, whatever its status. Redirects are not followed, nothing is sent twice
---(but over a kept connection that turns out to be dead), and no header is added but Host and Content-Length.
---@param url string http:// or https://
---@param options perigee.FetchOptions?
---@return perigee.Fetched? answer
---@return perigee.Error? err
function http.fetch(url, options)
  core = core or require "perigee.http.core"
  if options ~= nil and type(options) ~= "table" then error("the options of http.fetch are a table", 2) end
  if options and options.headers ~= nil and type(options.headers) ~= "table" then error("option 'headers' must be a table", 2) end
  if options and type(options.body) == "table" then
    local copy, headers = {}, {}
    for name, value in pairs(options) do copy[name] = value end
    for name, value in pairs(options.headers or {}) do headers[name] = value end
    if not is_typed(headers) then headers["Content-Type"] = http.JSON end
    copy.body, copy.headers = json.encode(options.body), headers
    options = copy
  end
  local answer, err = core.fetch(url, options)
  if not answer then return nil, err end
  return setmetatable(answer, Fetched)
end

-- ==== requests ========================================================================================================

local function is_json(content_type)
  if content_type == "application/json" then return true end
  local kind, parameters = content_type:lower():match("^%s*([^;%s]+)%s*(.*)$")
  if kind ~= "application/json" and not (kind and kind:find("^application/[%w.-]+%+json$")) then return false end
  local charset = parameters:match("charset%s*=%s*\"?([%w-]+)")
  return charset == nil or charset == "utf-8" or charset == "utf8"
end

---The body of a JSON request: the value, or nil and the answer that refuses it (415 wrong type, 400 not JSON, 400 with every bad
---field). A request that names no type is taken for JSON.
---@param request perigee.Request
---@param schema perigee.Schema?
---@return any value
---@return perigee.Response? refused
function http.read(request, schema)
  if type(request.headers) ~= "table" then
    error({ code = "not_a_request",
      message = "this event is no HTTP request: no document of an API, a function URL or a load balancer" })
  end
  local content_type = request.headers["content-type"]
  if content_type and content_type ~= "" and not is_json(content_type) then
    return nil, http.error(415, "unsupported_media_type", "the body must be application/json in UTF-8")
  end
  local coding = request.headers["content-encoding"]
  if coding and coding ~= "" and coding:lower() ~= "identity" then
    return nil, http.error(415, "unsupported_media_type", "the body must not be compressed (Content-Encoding)")
  end
  if not request.body or request.body == "" then return nil, http.error(400, "not_json", "the body is empty") end
  local value, err = request:json()
  if err then return nil, http.error(400, "not_json", err.message) end
  if schema then
    local ok, fields = schema:check(value)
    if not ok then return nil, http.bad_request(fields) end
  end
  return value
end

---The token of "Authorization: Bearer <token>".
---@param request perigee.Request
---@return string?
function http.bearer(request)
  return (request.headers["authorization"] or ""):match("^[Bb]earer +([^ ]+) *$")
end

---Does the request come from this machine itself?
---@param request perigee.Request
---@return boolean
function http.from_loopback(request)
  local ip = request.source_ip or ""
  return ip == "::1" or ip:gsub("^::ffff:", ""):find("^127%.%d+%.%d+%.%d+$") ~= nil
end

---May this request do what operators may? It carries the token, or, when none is set, comes from this machine.
---@param request perigee.Request
---@param token string?
---@return boolean
function http.is_operator(request, token)
  if not token or token == "" then return http.from_loopback(request) end
  return crypto.equal(token, http.bearer(request) or "")
end

return http
