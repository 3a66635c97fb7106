--- Tests of handlers, in `perigee test` only: the whole application on an engine in memory, with a clock that the test moves.
---
---   local testing = require "perigee.testing"
---   local app <close> = testing.app { parameters = { PaymentsSecret = "s3cret" } }
---   local answer = app:post("/orders", { user_id = "u-1", item = "a book", quantity = 1, total_price = 1999 })
---   assert.equal(200, answer.status)
---   app:drain()                                        -- queues run until they are empty
---   app:pay(answer.json.order_id, "paid")              -- signed, when there is a secret
---   assert.equal(1, #app:table "Orders")
local aws = require "perigee.aws"
local crypto = require "perigee.crypto"
local json = require "perigee.json"
local webhook = require "perigee.webhook"

local testing = {}

---@class perigee.TestAnswer
---@field status integer
---@field headers table<string, string> names in lower case
---@field body string
---@field json any the decoded body, when it is JSON

---@class perigee.TestApp
---@field host table the perigee.host behind it
---@field options table
local App = {}
App.__index = App
App.__close = function(app) app:close() end
App.__gc = App.__close

testing.CLOCK = 1767225600000 -- 2026-01-01T00:00:00Z

---@class perigee.TestOptions
---@field template string? config/template.yaml
---@field parameters table<string, string|integer>? of the template
---@field clock integer|false|nil Unix ms at which time stands still until app:advance; false: the real clock
---@field data string? a directory that outlives the app (app:restart); in memory without it
---@field development boolean? error answers show tracebacks
---@field log_level string? "off"

local function open(options)
  local host = require "perigee.host"
  local clock = options.clock
  if clock == nil then clock = testing.CLOCK end
  return assert(host.open {
    template = options.template or "config/template.yaml",
    parameters = options.parameters,
    memory = options.data == nil,
    data = options.data,
    clock = clock or nil,
    development = options.development,
    log_level = options.log_level,
    lua_dir = options.lua_dir,
  })
end

---Opens the application.
---@param options perigee.TestOptions?
---@return perigee.TestApp
function testing.app(options)
  options = options or {}
  return setmetatable({ host = open(options), options = options }, App)
end

function App:close()
  if self.host then self.host:close() end
  self.host = nil
end

---Closes and opens again, at the same time of the clock. Needs options.data: memory forgets.
function App:restart()
  local now = self.host:now()
  self:close()
  local options = {}
  for k, v in pairs(self.options) do options[k] = v end
  if options.clock ~= false then options.clock = now end
  self.host = open(options)
end

-- ==== requests ========================================================================================================

local function finish(answer, err)
  if not answer then error(err, 0) end
  if (answer.headers["content-type"] or ""):find("^application/json") then answer.json = json.decode(answer.body) end
  return answer
end

---One request, as over HTTP. A table as body is sent as JSON.
---@param method string
---@param target string path and query
---@param body table|string|nil
---@param headers table<string, string>?
---@param remote_ip string? 127.0.0.1
---@return perigee.TestAnswer
function App:request(method, target, body, headers, remote_ip)
  local sent, typed = {}, false
  for name, value in pairs(headers or {}) do
    sent[name] = value
    typed = typed or name:lower() == "content-type"
  end
  if type(body) == "table" then body = json.encode(body) end
  if body and not typed then sent["Content-Type"] = "application/json" end
  sent.Host = sent.Host or "127.0.0.1:8080"
  return finish(self.host:request { method = method, target = target, headers = sent, body = body, remote_ip = remote_ip })
end

---@param target string
---@param headers table<string, string>?
---@return perigee.TestAnswer
function App:get(target, headers) return self:request("GET", target, nil, headers) end

---@param target string
---@param body table|string
---@param headers table<string, string>?
---@return perigee.TestAnswer
function App:post(target, body, headers) return self:request("POST", target, body, headers) end

---Follows a presigned link on the cloud port.
---@param url string
---@param method string? GET
---@return perigee.TestAnswer
function App:download(url, method)
  local host, target = url:match("^https?://([^/]+)(/.*)$")
  if not host then error("not a link: " .. tostring(url), 2) end
  return finish(self.host:cloud { method = method or "GET", target = target, headers = { Host = host } })
end

---POST /payments, signed with the app's PaymentsSecret.
---@param order_id string
---@param status string
---@param more table? further members of the body
---@return perigee.TestAnswer
function App:pay(order_id, status, more)
  local body = { order_id = order_id, status = status }
  for k, v in pairs(more or {}) do body[k] = v end
  local text = json.encode(body)
  return self:post("/payments", text, self:signature(text))
end

---The signature header of a payment's body; none when the app has no PaymentsSecret.
---@param body string
---@param secret string?
---@return table<string, string>
function App:signature(body, secret)
  secret = secret or (self.options.parameters or {}).PaymentsSecret
  if not secret then return {} end
  return { ["Perigee-Signature"] = webhook.sign(secret, body, self:now()) }
end

-- ==== time and work ===================================================================================================

---@return integer Unix ms
function App:now() return self.host:now() end

---@param ms integer
function App:advance(ms) self.host:advance(ms) end

---Runs the queues until they are empty and no job runs. Raises when that takes longer.
---@param max_ms integer? 10000
function App:drain(max_ms)
  local ok, err = self.host:drain(max_ms or 10000)
  if not ok then error("the queues do not become empty: " .. tostring(err), 2) end
end

---Runs the queues for so long, whatever remains.
---@param ms integer
function App:run_queues(ms) self.host:drain(ms) end

---Runs a scheduled function now.
---@param name string
---@return true? ok
---@return perigee.Error? err
function App:schedule(name) return self.host:run_schedule(name) end

---Makes the n-th "step", "commit" or "file" of the store fail from now on; 0: none.
---@param name "step"|"commit"|"file"
---@param n integer
function App:fault(name, n) self.host:fault(name, n) end

-- ==== what there is ===================================================================================================

---One AWS call in raw shapes, as an administrator. Raises on failure.
---@param service string
---@param action string
---@param params table
---@param body string?
---@return table
function App:aws(service, action, params, body)
  local out, err = self.host:aws(service, action, params, body)
  if not out then error(err, 2) end
  return out
end

local function plain(attributes)
  local out = {}
  for name, value in pairs(attributes) do out[name] = aws.unmarshal(value) end
  return out
end

---Every item of a table, as Lua values.
---@param name string
---@return table[]
function App:table(name)
  local items, from = {}, nil
  repeat
    local page = self:aws("dynamodb", "Scan", { TableName = name, ConsistentRead = true, ExclusiveStartKey = from })
    for _, item in ipairs(page.Items) do items[#items + 1] = plain(item) end
    from = page.LastEvaluatedKey
  until not from
  return items
end

local function marshal(item)
  local out = {}
  for name, value in pairs(item) do out[name] = aws.marshal(value) end
  return out
end

---One item by its key, or nil.
---@param name string
---@param key table
---@return table?
function App:item(name, key)
  local found = self:aws("dynamodb", "GetItem", { TableName = name, Key = marshal(key), ConsistentRead = true })
  return found.Item and plain(found.Item)
end

---@param name string
---@param item table
function App:put(name, item) self:aws("dynamodb", "PutItem", { TableName = name, Item = marshal(item) }) end

local function queue_url(name) return "http://127.0.0.1/000000000000/" .. name end

---Messages in a queue: visible, in flight and delayed together.
---@param name string
---@return integer
function App:queued(name)
  local got = self:aws("sqs", "GetQueueAttributes", { QueueUrl = queue_url(name), AttributeNames = json.array { "All" } })
  local sum = 0
  for _, attribute in ipairs { "", "NotVisible", "Delayed" } do
    sum = sum + math.tointeger(tonumber(got.Attributes["ApproximateNumberOfMessages" .. attribute] or 0))
  end
  return sum
end

---@param name string
---@param body table|string
function App:send(name, body)
  if type(body) == "table" then body = json.encode(body) end
  self:aws("sqs", "SendMessage", { QueueUrl = queue_url(name), MessageBody = body })
end

---Takes the visible messages out of a queue (at most ten), decoded when they are JSON.
---@param name string
---@return any[]
function App:receive(name)
  local got = self:aws("sqs", "ReceiveMessage", { QueueUrl = queue_url(name), MaxNumberOfMessages = 10, WaitTimeSeconds = 0 })
  local out = {}
  for i, message in ipairs(got.Messages or {}) do
    out[i] = json.decode(message.Body) or message.Body
    self:aws("sqs", "DeleteMessage", { QueueUrl = queue_url(name), ReceiptHandle = message.ReceiptHandle })
  end
  return out
end

---@param bucket string
---@return string[] keys
function App:objects(bucket)
  local keys = {}
  for i, object in ipairs(self:aws("s3", "ListObjectsV2", { Bucket = bucket }).Contents or {}) do keys[i] = object.Key end
  return keys
end

---@param bucket string
---@param key string
---@return string? bytes
---@return table? head
function App:object(bucket, key)
  local got = self.host:aws("s3", "GetObject", { Bucket = bucket, Key = key })
  if got then return got.Body, got end
end

---@param bucket string
---@param key string
function App:delete_object(bucket, key) self:aws("s3", "DeleteObject", { Bucket = bucket, Key = key }) end

---Every mail that was sent, oldest first.
---@return table[]
function App:mailbox() return self.host:mailbox() or {} end

---A body like those of docs: an order of goods.
---@param more table? members to change or add
---@return table
function testing.order(more)
  local body = { user_id = "u-1", item = "a book", quantity = 2, total_price = 1999 }
  for k, v in pairs(more or {}) do body[k] = v end
  return body
end

---A UUID as the application makes them.
---@return string
function testing.uuid() return crypto.uuid() end

return testing
