--- One request, three ways to the handler: over HTTP (perigee serve), as each source's event through `perigee invoke`, and as the
--- same event through the bootstrap under `perigee runtime-api`. Status, headers and body must be the same.
---
--- What must differ is left out: Date, Connection, Keep-Alive and Content-Length are the HTTP server's (an event has none of them);
--- X-Perigee-Version tells the sources apart, on Lambda the function's versions;
--- times of creation, and what a signed link says of its time and key, differ from run to run; Access-Control-* is what the HTTP API
--- of the template adds by itself, not its functions. A load balancer's event names the client by X-Forwarded-For only, and a loopback
--- address there is not believed.
local crypto = require "perigee.crypto"
local host = require "perigee.host"
local json = require "perigee.json"
local support = require "e2e.support"
local webhook = require "perigee.webhook"

local LEFT_OUT = { date = true, connection = true, ["keep-alive"] = true, ["content-length"] = true, ["x-perigee-version"] = true }
local SOURCES = { "apigw-http", "apigw-rest", "url", "alb --multi-value" }
local VARIANTS = { "apigw-http-1", "alb", "apigw-http --base64", "alb --base64" } -- for these a part of the cases

-- == answers as a client sees them

local function add_header(headers, name, value)
  name = name:lower()
  if LEFT_OUT[name] or name:find "^access%-control%-" then return end
  local joined = headers[name] and name ~= "set-cookie" and headers[name] .. ", " .. value
  if name ~= "set-cookie" then
    headers[name] = joined or value
  else
    headers[name] = headers[name] or {}
    table.insert(headers[name], value)
    table.sort(headers[name])
  end
end

local function masked(body)
  return (body:gsub('"source_ip":"[^"]*"', '"source_ip":"<ip>"'):gsub("%d%d%d%d%-%d%d%-%d%dT[%d:.]+Z", "<time>"):gsub('(https?://[^"]-)%?[^"]*', function(url)
    return url:gsub("//[^/]+", "//<host>") .. "?<signature>"
  end))
end

local function over_http(url, case)
  local body = os.tmpname()
  support.write(body, case.body or "")
  local words = { "curl -s -i --path-as-is --max-time 30 -H 'expect:' -H 'user-agent:' -H 'accept:'" }
  words[#words + 1] = case.method == "HEAD" and "-I" or "-X " .. case.method
  if case.body then words[#words + 1] = "--data-binary @" .. body end
  if not case.headers["Content-Type"] then words[#words + 1] = "-H 'content-type:'" end
  for name, value in pairs(case.headers) do words[#words + 1] = "-H " .. support.quote(name .. ": " .. value) end
  words[#words + 1] = support.quote(url .. case.path .. (case.query and "?" .. case.query or ""))
  local raw = support.sh(table.concat(words, " "))
  os.remove(body)
  local head, rest = raw:match "^(.-\r\n)\r\n(.*)$"
  assert(head, "no answer over HTTP: " .. raw)
  local headers = {}
  for name, value in head:gmatch "\r\n([^:\r\n]+):[ \t]*([^\r\n]*)" do add_header(headers, name, value) end
  return { status = tonumber(head:match "^HTTP/%S+ (%d+)"), headers = headers, body = masked(rest) }
end

-- What the service in front of the function makes of an answer document.
local function of_document(source, case, document)
  local headers = {}
  local many = source:find "multi" or source:find "rest" or source:find "http%-1"
  for name, value in pairs(document.headers or {}) do
    if not (many and (document.multiValueHeaders or {})[name]) then add_header(headers, name, value) end
  end
  for name, values in pairs(document.multiValueHeaders or {}) do
    assert(many, source .. " does not know multiValueHeaders")
    for _, value in ipairs(values) do add_header(headers, name, value) end
  end
  for _, cookie in ipairs(document.cookies or {}) do
    assert(source:find "apigw%-http" or source == "url", source .. " does not know cookies")
    add_header(headers, "set-cookie", cookie)
  end
  local body = document.body or ""
  if document.isBase64Encoded then body = assert(crypto.unbase64(body)) end
  if source:find "^alb" then assert.matches("^" .. document.statusCode .. " %a", document.statusDescription) end
  return { status = document.statusCode, headers = headers, body = case.method == "HEAD" and "" or masked(body) }
end

-- == events

local function event_of(source, case, template)
  local body = os.tmpname()
  local words = { support.bin, "event", source, "--template", template, "--method", case.method, "--path", support.quote(case.path) }
  if case.routed ~= false then words[#words + 1] = "--function " .. case.fn end
  if case.query then words[#words + 1] = "--query " .. support.quote(case.query) end
  for name, value in pairs(case.headers) do words[#words + 1] = "--header " .. support.quote(name .. ": " .. value) end
  if case.body then
    support.write(body, case.body)
    words[#words + 1] = "--body-file " .. body
  end
  local text, status = support.sh(table.concat(words, " "))
  os.remove(body)
  assert(status == 0, source .. ": no event")
  return text
end

-- == the bootstrap

-- The executable of packages where it was built; else `perigee`, which is a bootstrap under that name.
local PROGRAM = support.bin:gsub("[^/]*$", "bootstrap")
if select(2, support.sh("test -x %s -a ! %s -ot %s", PROGRAM, PROGRAM, support.bin)) ~= 0 then PROGRAM = support.bin end

-- What a package of the project holds, in `dir`.
local function unpacked(dir, project)
  support.sh("mkdir -p %s/config && cp -r %s/handlers %s/ && cp -r %s/config/schemas %s/config/ 2>/dev/null; ln -s $(realpath %s) %s/bootstrap", dir,
    project, dir, project, dir, PROGRAM, dir)
  support.write(dir .. "/perigee.json", assert(host.manifest { template = project .. "/config/template.yaml" }))
end

-- A bootstrap for one function of what is in `dir`, with Lambda's environment and `env`.
local function runtime(dir, fn, handler, env)
  support.write(dir .. "/env.json", json.encode(env))
  return support.runtime_api { exec = dir .. "/bootstrap",
    args = ("--task-root %s --handler %s --function-name %s --env %s/env.json --memory 256 --timeout 10"):format(dir, handler, fn, dir) }
end

local function invoke_runtime(server, fn, event)
  local file = os.tmpname()
  support.write(file, event)
  local out = support.sh("curl -s --max-time 30 -i --data-binary @%s %s/2015-03-31/functions/%s/invocations", file, server.invoke, fn)
  os.remove(file)
  local head, body = out:match "^(.-)\r\n\r\n(.*)$"
  assert(head and not head:lower():find "x%-amz%-function%-error", fn .. ": " .. out .. server:log())
  return json.decode(body)
end

-- == the three ways

--- @param o { project: string, parameters: string?, handlers: table<string, string>, env: fun(server): table }
local function stage(o)
  local self = { dir = support.tmpdir(), runtimes = {} }
  local template = o.project .. "/config/template.yaml"
  local options = "--template " .. template .. (o.parameters and " --parameters " .. o.parameters or "")
  self.serve = support.start { args = "--no-feeds " .. options }
  self.engine = support.start { args = "--no-feeds " .. options } -- the bootstraps' store
  unpacked(self.dir .. "/task", o.project)
  for fn, handler in pairs(o.handlers) do
    self.runtimes[fn] = runtime(self.dir .. "/task", fn, handler, o.env(self.engine))
  end

  local function invoke(fn, event)
    support.write(self.dir .. "/event.json", event)
    local out, status = support.sh("%s invoke %s %s --data %s/data --event %s/event.json 2>%s/invoke.log", support.bin,
      fn, options, self.dir, self.dir, self.dir)
    assert(status == 0, fn .. ": " .. out .. support.read(self.dir .. "/invoke.log"))
    return json.decode(out)
  end

  --- An event without a request: `perigee invoke` and the bootstrap give the same document.
  function self.compare_documents(fn, event)
    local answer = invoke(fn, event)
    assert.same(answer, invoke_runtime(self.runtimes[fn], fn, event))
    return answer
  end

  function self.compare(source, case)
    local what = ("%s %s as %s: "):format(case.method, case.path, source)
    local expected = over_http(self.serve.http, case)
    local event = case.event or event_of(source, case, template)
    assert.same(expected, of_document(source, case, invoke(case.fn, event)), what .. "invoke")
    assert.same(expected, of_document(source, case, invoke_runtime(self.runtimes[case.fn], case.fn, event)), what .. "bootstrap")
    if case.status then assert.equal(case.status, expected.status, what .. expected.body) end
    return expected
  end

  function self.close()
    for _, r in pairs(self.runtimes) do r:stop() end
    self.serve:stop()
    self.engine:stop()
    support.rmdir(self.dir)
  end
  return self
end

local serial = 0
local function request(fn, method, path, more)
  serial = serial + 1
  local case = { fn = fn, method = method, path = path, headers = { ["X-Request-Id"] = "case-" .. serial } }
  for k, v in pairs(more or {}) do if k ~= "headers" then case[k] = v end end
  for k, v in pairs(more and more.headers or {}) do case.headers[k] = v end
  return case
end

local BINARY = {}
for i = 0, 255 do BINARY[i + 1] = string.char(i) end
BINARY = table.concat(BINARY)

describe("a handler that shows all it sees, and answers in all ways,", function()
  local three
  setup(function()
    three = stage {
      project = "tests/e2e/fixtures/answers",
      handlers = { Echo = "answers.echo", Answers = "answers.answer", Batch = "answers.message", InOrder = "answers.message", Clock = "answers.event" },
      env = function() return { GREETING = "hello", ONLY_HERE = "1" } end,
    }
  end)
  teardown(function() if three then three.close() end end)

  local CASES = {
    { "Echo", "GET", "/echo" },
    { "Echo", "GET", "/echo", { query = "a=1&b=%C3%A9%20x&a=2&c=&plus=a+b" } },
    { "Echo", "GET", "/echo/caf%C3%A9" },
    { "Echo", "GET", "/echo/a%20b%2Bc" },
    { "Echo", "GET", "/files/a/b%20c/d" },
    { "Echo", "POST", "/echo", { body = '{"é":1}', headers = { ["Content-Type"] = "application/json" } } },
    { "Echo", "PUT", "/echo/1", { body = BINARY, headers = { ["Content-Type"] = "application/octet-stream" } } },
    { "Echo", "PATCH", "/echo/1", { body = BINARY, headers = { ["Content-Type"] = "text/plain" } } },
    { "Echo", "DELETE", "/echo/1" },
    { "Echo", "HEAD", "/echo/1" },
    { "Echo", "GET", "/echo", { headers = { Cookie = "a=1; b=two", ["X-Test"] = "x, y", ["Accept-Language"] = "de" } } },
  }
  for _, kind in ipairs {
    "text", "empty", "binary", "typed", "bytes", "cookies", "lists", "lambda", "created", "missing", "conflict", "table", "raise", "refused", "strange", "nothing",
  } do
    CASES[#CASES + 1] = { "Answers", "GET", "/answers/" .. kind }
  end
  CASES[#CASES + 1] = { "Answers", "HEAD", "/answers/text" }

  for _, source in ipairs(SOURCES) do
    it("is asked by " .. source, function()
      for _, c in ipairs(CASES) do three.compare(source, request(c[1], c[2], c[3], c[4])) end
    end)
  end

  for _, source in ipairs(VARIANTS) do
    it("is asked by " .. source .. ", where that is different", function()
      for _, c in ipairs(CASES) do
        local more = c[4] or {}
        local telling = more.body or more.headers or c[3]:find "%%" or c[3]:find "cookies" or c[3]:find "lists" or c[3]:find "binary"
        if source:find "base64" then telling = more.body end
        if telling then three.compare(source, request(c[1], c[2], c[3], more)) end
      end
    end)
  end

  it("is asked for what it has not, where nothing in front of it knows its routes", function()
    for _, source in ipairs { "url", "alb", "alb --multi-value" } do
      three.compare(source, request("Answers", "GET", "/nowhere", { routed = false, status = 404 }))
      three.compare(source, request("Answers", "DELETE", "/answers/text", { routed = false, status = 405 }))
      three.compare(source, request("Answers", "OPTIONS", "/answers/text", { routed = false, status = 204 }))
      three.compare(source, request("Echo", "GET", "/echo/%C3", { routed = false, status = 400 }))
    end
  end)

  it("is given messages and events", function()
    local function sample(words) return (support.sh("%s event %s --template tests/e2e/fixtures/answers/config/template.yaml", support.bin, words)) end
    local batch = "sqs --message ok --message bad --message 'später' --message bad --function "
    assert.equal(2, #three.compare_documents("Batch", sample(batch .. "Batch")).batchItemFailures)
    assert.equal(3, #three.compare_documents("InOrder", sample(batch .. "InOrder")).batchItemFailures)
    local told = three.compare_documents("Clock", sample "schedule --function Clock")
    assert.same({ "Clock", "Scheduled Event" }, { told.name, told.event["detail-type"] })
    three.compare_documents("Clock", '{"a":[],"b":{},"c":null,"d":9007199254740993,"e":1e3,"f":"\\u00e9"}')
    three.compare_documents("Clock", "7")
  end)
end)

local function order_stage(parameters)
  local secrets = {}
  for name, value in (parameters or ""):gmatch "(%w+)=(%w+)" do secrets[name] = value end
  return stage {
    project = ".",
    parameters = parameters,
    handlers = {
      CreateOrder = "orders.create", GetOrder = "orders.get", ListOrders = "orders.list", ReceivePayment = "payments.receive", Receipt = "receipts.link",
      ProcessOrders = "process.order", ProcessPayments = "process.payment", Relay = "relay.run",
    },
    env = function(engine)
      local queue = engine.cloud .. "/000000000000/"
      return {
        AWS_ENDPOINT_URL = engine.cloud, AWS_ACCESS_KEY_ID = "perigee", AWS_SECRET_ACCESS_KEY = "perigee",
        ORDERS_TABLE = "Orders", PAYMENTS_TABLE = "Payments", OUTBOX_TABLE = "Outbox", IDEMPOTENCY_TABLE = "Idempotency", RECEIPTS_BUCKET = "receipts",
        ORDER_EVENTS_QUEUE = queue .. "OrderEvents", PAYMENT_EVENTS_QUEUE = queue .. "PaymentEvents", CURRENCY = "EUR", IDEMPOTENCY_SECONDS = "86400",
        RECEIPT_LINK_SECONDS = "300", EFFECT_SECONDS = "1728000", BRAND = "Perigee", FONT_PATHS = "", PUBLIC_URL = "", SENDER_ADDRESS = "",
        PERIGEE_PAYMENTS_SECRET = secrets.PaymentsSecret or "", PERIGEE_OPERATOR_TOKEN = secrets.OperatorToken or "",
      }
    end,
  }
end

describe("the order system", function()
  local three
  setup(function() three = order_stage "PaymentsSecret=s3cret,OperatorToken=t0ken" end) -- without them some is for loopback clients only
  teardown(function() if three then three.close() end end)

  local function post(fn, path, body, key)
    if type(body) == "table" then body = json.encode(body) end
    return request(fn, "POST", path, { body = body, headers = { ["Content-Type"] = "application/json", ["Idempotency-Key"] = key } })
  end

  local function payment(of)
    local case = post("ReceivePayment", "/payments", of)
    case.headers["Perigee-Signature"] = webhook.sign("s3cret", case.body)
    return case
  end

  for i, source in ipairs(SOURCES) do
    it("answers alike to " .. source, function()
      local id = "o-" .. i
      local order = { order_id = id, user_id = "u-" .. i, item = "Grüner Tee 李", quantity = 2, total_price = 1250 }
      local function step(status, case)
        case.status = status
        return three.compare(source, case)
      end
      step(200, post("CreateOrder", "/orders", order, "key-" .. i))
      local replay = step(200, post("CreateOrder", "/orders", order, "key-" .. i))
      assert.equal("true", replay.headers["idempotent-replayed"])
      step(200, post("CreateOrder", "/orders", order))
      order.quantity = 3
      step(422, post("CreateOrder", "/orders", order, "key-" .. i))
      step(409, post("CreateOrder", "/orders", order))
      step(400, post("CreateOrder", "/orders", { order_id = "x", quantity = -1 }))
      step(400, post("CreateOrder", "/orders", "{"))
      step(200, request("GetOrder", "GET", "/orders/" .. id))
      step(200, request("GetOrder", "HEAD", "/orders/" .. id))
      step(404, request("GetOrder", "GET", "/orders/gr%C3%BCn"))
      step(200, request("ListOrders", "GET", "/orders", { query = "user_id=u-" .. i, headers = { Authorization = "Bearer t0ken" } }))
      step(401, request("ListOrders", "GET", "/orders"))
      step(401, post("ReceivePayment", "/payments", "{}"))
      step(202, request("Receipt", "GET", "/receipt/" .. id))
      step(404, request("Receipt", "GET", "/receipt/none"))
      step(200, payment { order_id = id, payment_id = "p-" .. i, status = "paid" })
      step(200, payment { order_id = id, payment_id = "p-" .. i, status = "paid" })
      step(404, payment { order_id = "none", payment_id = "p", status = "paid" })
      step(200, request("GetOrder", "GET", "/orders/" .. id))
    end)
  end
end)

describe("config/events", function()
  local three
  setup(function() three = order_stage() end)
  teardown(function() if three then three.close() end end)

  local function encoded(text) return (text:gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end)) end

  local function given(v)
    if v ~= json.null then return v end
  end

  local WAY = { accept = true, host = true, ["user-agent"] = true } -- how it came; and X-Forwarded-*

  -- The HTTP request that a document stands for.
  local function request_of(document)
    local http = document.requestContext.http
    local case = { method = http and http.method or document.httpMethod, path = document.rawPath or document.path, headers = {} }
    local pairs_of_query = {}
    for name, values in pairs(given(document.multiValueQueryStringParameters) or {}) do
      for _, value in ipairs(values) do table.insert(pairs_of_query, encoded(name) .. "=" .. encoded(value)) end
    end
    for name, value in pairs(document.requestContext.elb and given(document.queryStringParameters) or {}) do
      table.insert(pairs_of_query, name .. "=" .. value) -- as they were sent
    end
    case.query = document.rawQueryString or table.concat(pairs_of_query, "&")
    for name, value in pairs(document.headers) do
      if not WAY[name:lower()] and not name:lower():find "^x%-forwarded%-" then case.headers[name == "content-type" and "Content-Type" or name] = value end
    end
    case.body = given(document.body)
    return case
  end

  local function compare(fn, name, source, status)
    serial = serial + 1
    local document = json.decode(support.read(("config/events/%s.%s.json"):format(name, source)))
    document.headers["x-request-id"] = "case-" .. serial
    if given(document.multiValueHeaders) then document.multiValueHeaders["x-request-id"] = { "case-" .. serial } end
    local case = request_of(document)
    case.fn, case.status, case.event = fn, status, json.encode(document)
    three.compare(source, case)
  end

  it("get the same answers", function()
    local function each(fn, name, sources, status)
      for source in sources:gmatch "%S+" do compare(fn, name, source, status) end
    end
    each("CreateOrder", "create-order", "apigw-http apigw-rest url alb", 200)
    each("GetOrder", "get-order", "apigw-http apigw-rest url alb", 200)
    each("Receipt", "receipt", "apigw-http apigw-rest url alb", 202)
    each("ListOrders", "list-orders", "apigw-http apigw-rest url", 200)
    each("ReceivePayment", "receive-payment", "apigw-http apigw-rest url", 200)
    local function document(name) return support.read("config/events/" .. name .. ".json") end
    assert.same({ batchItemFailures = {} }, three.compare_documents("ProcessOrders", document "process-orders.sqs"))
    assert.same({ batchItemFailures = {} }, three.compare_documents("ProcessPayments", document "process-payments.sqs"))
    three.compare_documents("Relay", document "relay.schedule")
  end)

  it("are what perigee event writes", function()
    local dir = support.tmpdir()
    local out, status = support.sh("PERIGEE_BIN=%s sh config/events/generate.sh %s 2>&1 && diff -r -x generate.sh %s config/events", support.bin, dir, dir)
    support.rmdir(dir)
    assert.equal(0, status, out)
  end)
end)
