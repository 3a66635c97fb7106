local t = require "t.route"
local json = require "dkjson"

local handlers = [[
local json, time, http = require "perigee.json", require "perigee.time", require "perigee.http"
local M = {}
ran, running, most = json.array{}, 0, 0
function M.echo(request, context)
  return 200, {
    method = request.method, path = request.path, body = request.body, source_ip = request.source_ip, host = request.host,
    params = json.object(request.path_params), query = json.object(request.query_all), request_id = request.request_id,
    header = request.headers["X-Thing"], cookie = request.headers.cookie, trace_id = request.trace_id,
  }
end
function M.bytes() return 201, "\255\0\1", { ["Content-Type"] = "image/png", ["Set-Cookie"] = { "a=1", "b=2" } } end
function M.lambda() return { statusCode = 202, body = "plain", headers = { ["X-A"] = { "1", "2" } } } end
function M.fail() error "boom" end
function M.refuse() error { code = "not_found", message = "there is no such thing" } end
function M.slow() time.sleep(60000) return 200, {} end
function M.big() return 200, ("x"):rep(5000) end
function M.nothing() end
function M.odd() return { a = 1 } end
function M.event(event)
  if event.fail then error(event.fail) end
  return event.give
end
function M.error(event) return nil, { code = "ThrottlingException", message = "slow down" } end
function M.unjson() return { f = print } end
function M.message(message)
  if message.tell then return { ran = ran, most = most } end
  running = running + 1
  most = math.max(most, running)
  ran[#ran + 1] = message.body
  if message.body:find "wait" then time.sleep(60000) end
  time.sleep(1)
  running = running - 1
  if message.body:find "bad" then error { code = "bad_message", message = "bad message" } end
end
function M.quick(message) if message.body == "bad" then error "bad" end end
function M.context(request, context)
  local after = {}
  context:after(function()
    local ok, why = pcall(function() after.event = request.event.rawPath or request.event.path end)
    context.log.info("after", { path = after.event or why, tenant = context.tenant_id })
  end)
  return 200, {
    aws_request_id = context.aws_request_id, request_id = context.request_id, arn = context.invoked_function_arn,
    version = context.function_version, memory = context.memory_limit_in_mb, group = context.log_group_name,
    stream = context.log_stream_name, tenant = context.tenant_id, xray = context.xray_trace_id, name = context.function_name,
    custom = context.client_context and context.client_context.custom.a, id = context.identity and context.identity.cognito_identity_id,
    pool = context.identity and context.identity.cognito_identity_pool_id, late = context.deadline_ms - time.now(),
    event = request.event,
  }
end
function M.attributes(message, context)
  return 0, assert(message.attributes.a.StringValue == "1" and message.queue == "orders" and message.receive_count == 2
    and message.sent_at == 1545082649183 and context.correlation_id == "c-1")
end
return M
]]

describe("an invocation", function()
  local dir = require "unit.directory"(_ENV, { ["h.lua"] = handlers })
  local rig
  after_each(function()
    if rig then rig:close() end
    rig = nil
  end)

  local all = { "echo", "bytes", "lambda", "fail", "refuse", "slow", "big", "nothing", "odd", "event", "error", "unjson",
    "message", "attributes", "context", "quick" }
  local function open(routes, options)
    local spec = { root = dir, functions = {}, routes = routes }
    for i, name in ipairs(all) do spec.functions[i] = { name = name, dir = dir, module = "h", field = name } end
    for k, v in pairs(options or {}) do spec[k] = v end
    rig = assert(t.open(spec))
  end
  local function start(name, event, options)
    local answer
    local run = rig:invoke(name, type(event) == "string" and event or json.encode(event), options or {},
      function(o) answer = o end)
    return run, function() return answer end
  end
  local function invoke(name, event, options)
    if not rig then open {} end
    local give_up = os.time() + 10
    local _, answer = start(name, event, options)
    while not answer() do
      assert(os.time() < give_up, "nothing happened")
      rig:turn()
    end
    return answer()
  end
  local function answer_of(...)
    local o = invoke(...)
    assert.is_nil(o.err)
    local doc = assert(json.decode(o.body))
    return doc, json.decode(doc.body or "")
  end
  local function http(more)
    local d = { version = "2.0", routeKey = "GET /a/{id}", rawPath = "/a/7", rawQueryString = "", headers = { host = "api.example" },
      pathParameters = { id = "7" }, requestContext = { stage = "$default", http = { method = "GET", sourceIp = "1.2.3.4" } } }
    for k, v in pairs(more or {}) do d[k] = v end
    return d
  end
  local function alb(path, more)
    local d = { requestContext = { elb = { targetGroupArn = "arn" } }, httpMethod = "GET", path = path,
      headers = { ["x-forwarded-for"] = "9.9.9.9, 5.6.7.8" }, body = "", isBase64Encoded = false }
    for k, v in pairs(more or {}) do d[k] = v end
    return d
  end

  describe("with an HTTP document", function()
    it("is the request that the handler sees, and its answer a document", function()
      local doc, body = answer_of("echo", http { rawQueryString = "a=1&a=%20&b", cookies = { "c=d", "e=f" },
        headers = { ["x-thing"] = "t", host = "api.example" }, body = "aGk=", isBase64Encoded = true })
      assert.same({ 200, false, "application/json; charset=utf-8" },
        { doc.statusCode, doc.isBase64Encoded, doc.headers["Content-Type"] })
      assert.same({ method = "GET", path = "/a/7", body = "hi", source_ip = "1.2.3.4", host = "api.example",
        params = { id = "7" }, query = { a = { "1", " " }, b = { "" } }, header = "t", cookie = "c=d; e=f",
        request_id = "8f507cfc-xmpl-4697-b07a-ac58fc914c95", trace_id = "5759e988bd862e3fe1be46a994272793" }, body)
      assert.equal("8f507cfc-xmpl-4697-b07a-ac58fc914c95", doc.headers["X-Request-Id"])
      assert.is_string(doc.headers["X-Perigee-Version"])
    end)
    it("takes the ids that the client sent", function()
      local doc, body = answer_of("echo", http { headers = { ["x-request-id"] = "mine",
        traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" } })
      assert.same({ "mine", "mine", "4bf92f3577b34da6a3ce929d0e0e4736" },
        { body.request_id, doc.headers["X-Request-Id"], body.trace_id })
    end)
    it("sends bytes as base64, and cookies where they belong", function()
      local doc = answer_of("bytes", http())
      assert.same({ 201, "/wAB", true, { "a=1", "b=2" } }, { doc.statusCode, doc.body, doc.isBase64Encoded, doc.cookies })
      assert.is_nil(doc.headers["Set-Cookie"])
    end)
    it("takes a Lambda-shaped table", function()
      local doc = answer_of("lambda", http())
      assert.same({ 202, "plain", "1, 2" }, { doc.statusCode, doc.body, doc.headers["X-A"] })
    end)
    it("answers 500 for a handler that raises, and logs it", function()
      local doc, body = answer_of("fail", http())
      assert.equal(500, doc.statusCode)
      assert.same({ code = "handler_error", message = "the request could not be handled",
        request_id = "8f507cfc-xmpl-4697-b07a-ac58fc914c95" }, body.error)
      assert.matches("boom", table.concat(rig:lines(), "\n"))
    end)
    it("answers 504 before its time is up", function()
      local doc, body = answer_of("slow", http(), { timeout_ms = 30 })
      assert.same({ 504, "timeout" }, { doc.statusCode, body.error.code })
    end)
    it("answers 500 for what is no response", function()
      for _, name in ipairs { "nothing", "odd" } do assert.equal(500, (answer_of(name, http())).statusCode) end
    end)
    it("answers 500 for an answer over the limit, and logs it", function()
      local doc, body = answer_of("big", http(), { answer_max = 1000 })
      assert.same({ 500, "answer_too_large" }, { doc.statusCode, body.error.code })
      assert.matches("larger than 1000 bytes", table.concat(rig:lines(), "\n"))
    end)
    it("fails when not even that fits", function()
      local o = invoke("big", http(), { answer_max = 100 })
      assert.same({ "Function.ResponseSizeTooLarge", "" }, { o.error_type, o.body })
    end)
    it("fails the invocation instead, when told so", function()
      open({}, { fail_http = true })
      local o = invoke("refuse", http())
      assert.same({ "Function.NotFound", "" }, { o.error_type, o.body })
      assert.matches("there is no such thing", o.err)
    end)
    it("fails for a document that lacks what it must have", function()
      local d = http()
      d.requestContext.http.method = nil
      local o = invoke("echo", d)
      assert.same({ "Runtime.MalformedEvent", "the event: requestContext.http.method: missing" }, { o.error_type, o.err })
    end)
  end)

  describe("tells its handler", function()
    it("what Lambda says of it, and the document", function()
      local sent = http { headers = { ["x-request-id"] = "mine" } }
      local _, body = answer_of("context", sent)
      assert.near(1795000000000 - os.time() * 1000, body.late, 10000)
      assert.same(sent, body.event)
      body.late, body.event = nil, nil
      assert.same({ aws_request_id = "8f507cfc-xmpl-4697-b07a-ac58fc914c95", request_id = "mine", version = "7", memory = 128,
        arn = "arn:aws:lambda:eu-central-1:123456789012:function:f", group = "/aws/lambda/f", stream = "2026/11/22/[7]abc",
        tenant = "blue", xray = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1", name = "context", custom = "1", id = "i",
        pool = "p" }, body)
    end)
    it("the same after the reply", function()
      answer_of("context", http())
      for _ = 1, 20 do rig:turn() end
      assert.matches('"after".*"path":"/a/7","tenant":"blue"', table.concat(rig:lines(), "\n"))
    end)
    it("in its log lines which invocation it was", function()
      answer_of("fail", http { headers = { ["x-request-id"] = "mine" } })
      answer_of("context", http { headers = { ["x-request-id"] = "mine" } })
      for _ = 1, 20 do rig:turn() end
      for _, line in ipairs(rig:lines()) do assert.matches('request_id":"8f507cfc', line) end
    end)
  end)

  describe("without path parameters in its document", function()
    it("finds them in the function's own routes", function()
      open { { "GET /a/{id}", "echo" }, { "GET /b", "fail" } }
      local _, body = answer_of("echo", alb "/a/x%20y")
      assert.same({ { id = "x y" }, "/a/x y", "5.6.7.8" }, { body.params, body.path, body.source_ip })
    end)
    it("answers 404 and 405 as `perigee serve` does", function()
      open { { "GET /a/{id}", "echo" }, { "GET /b", "fail" } }
      assert.same({ 404, 405, 404, 204 }, { answer_of("echo", alb "/c").statusCode,
        answer_of("echo", alb("/a/1", { httpMethod = "PUT" })).statusCode, answer_of("echo", alb "/b").statusCode,
        answer_of("echo", alb("/a/1", { httpMethod = "OPTIONS" })).statusCode })
    end)
    it("answers health checks, but tells no metrics", function()
      open { { "GET /a", "echo" } }
      assert.same({ '{"status":"ok"}', '{"status":"ready"}', 404 }, { answer_of("echo", alb "/healthz").body,
        answer_of("echo", alb "/readyz").body, answer_of("echo", alb "/metrics").statusCode })
    end)
    it("runs whatever the path, when it has no routes", function()
      local doc, body = answer_of("echo", alb "/what/ever")
      assert.same({ 200, "/what/ever", "200 OK" }, { doc.statusCode, body.path, doc.statusDescription })
    end)
    it("answers 400 for a path that cannot be decoded", function()
      assert.equal(400, answer_of("echo", alb "/a%zz").statusCode)
      open { { "GET /a/{id}", "echo" } }
      assert.equal(400, answer_of("echo", alb "/a/%ff").statusCode)
    end)
  end)

  describe("with any other JSON", function()
    it("gives it to the handler and its result back", function()
      assert.equal('{"a":[1,{}]}', invoke("event", '{"give":{"a":[1,{}]}}').body)
      assert.equal("null", invoke("event", "{}").body)
      assert.equal('"x"', invoke("event", '{"give":"x"}').body)
    end)
    it("fails when the handler raises", function()
      local o = invoke("event", { fail = "no luck" })
      assert.equal("Function.HandlerError", o.error_type)
      assert.matches("no luck", o.err)
      assert.matches("traceback", o.traceback)
    end)
    it("names the code of an error table, raised or returned", function()
      assert.equal("Function.ThrottlingException", invoke("error", {}).error_type)
      assert.equal("Function.NotFound", invoke("refuse", {}).error_type)
    end)
    it("fails when the time is up", function()
      assert.equal("Function.TimedOut", invoke("slow", {}, { timeout_ms = 20 }).error_type)
    end)
    it("fails for a result that is no JSON", function()
      assert.matches("functions cannot be encoded", invoke("unjson", {}).err)
    end)
    it("fails for a result over the limit", function()
      assert.equal("Function.ResponseSizeTooLarge", invoke("event", { give = ("x"):rep(200) }, { answer_max = 100 }).error_type)
    end)
    it("fails for an event that is no JSON, or holds numbers that are none", function()
      local o = invoke("event", '{"a":')
      assert.equal("Runtime.UnmarshalError", o.error_type)
      assert.matches("the event is not JSON", o.err)
      assert.matches("%$.a: the number is out of range", invoke("event", '{"a":1e999}').err)
      assert.equal("Runtime.UnmarshalError", invoke("event", "").error_type)
    end)
    it("can be cancelled, as a request and as an event", function()
      open {}
      for _, sent in ipairs { "{}", http() } do
        local run, answer = start("slow", sent)
        run:cancel()
        rig:turn()
        assert.is_nil(answer())
      end
    end)
    it("ends when the host stops", function()
      open {}
      local _, of_event = start("slow", "{}")
      local _, of_request = start("slow", http())
      local _, of_batch = start("message", { Records = { { messageId = "m", body = "wait", eventSource = "aws:sqs",
        eventSourceARN = "arn:aws:sqs:r:1:q" } } }, { report = true })
      rig:close()
      rig = nil
      assert.equal("Function.Cancelled", of_event().error_type)
      assert.matches('"statusCode":503', of_request().body)
      assert.equal('{"batchItemFailures":[{"itemIdentifier":"m"}]}', of_batch().body)
    end)
  end)

  describe("with a batch of messages", function()
    local function batch(queue, bodies, groups)
      local records = {}
      for i, body in ipairs(bodies) do
        records[i] = { messageId = "m" .. i, body = body, eventSource = "aws:sqs",
          attributes = { SentTimestamp = "1", MessageGroupId = groups and groups[i] },
          eventSourceARN = "arn:aws:sqs:eu-central-1:123456789012:" .. queue }
      end
      return { Records = records }
    end
    local function failures(o)
      assert.is_nil(o.err)
      local ids = {}
      for _, f in ipairs(json.decode(o.body).batchItemFailures) do ids[#ids + 1] = f.itemIdentifier end
      return ids
    end
    local function ran() return json.decode(invoke("message", { tell = true }).body) end

    it("runs those of a standard queue at once", function()
      local o = invoke("message", batch("orders", { "1", "2", "3" }), { report = true })
      assert.equal('{"batchItemFailures":[]}', o.body)
      assert.same({ { "1", "2", "3" }, 3 }, { ran().ran, ran().most })
    end)
    it("reports those that failed", function()
      assert.same({ "m2", "m4" }, failures(invoke("message", batch("orders", { "1", "bad", "3", "bad" }), { report = true })))
    end)
    it("reports those that were not done in time", function()
      assert.same({ "m2" }, failures(invoke("message", batch("orders", { "1", "wait" }), { report = true, timeout_ms = 60 })))
    end)
    it("fails as a whole without reports", function()
      local o = invoke("message", batch("orders", { "1", "bad" }))
      assert.equal("Function.BadMessage", o.error_type)
      assert.matches("message m2: .*bad message", o.err)
      assert.equal("null", invoke("message", batch("orders", { "1" })).body)
    end)
    it("runs a FIFO queue's groups side by side, each in order up to its first failure", function()
      local o = invoke("message", batch("o.fifo", { "a1", "b1", "a2 bad", "b2", "a3", "b3" }, { "a", "b", "a", "b", "a", "b" }),
        { report = true })
      assert.same({ "m3", "m5" }, failures(o))
      local seen = ran()
      assert.equal(2, seen.most)
      assert.same({ "a1", "a2 bad", "b1", "b2", "b3" }, (function() table.sort(seen.ran) return seen.ran end)())
    end)
    it("runs a FIFO queue's group of any length", function()
      local bodies, groups = {}, {}
      for i = 1, 5000 do bodies[i], groups[i] = i == 4999 and "bad" or "x", "g" end
      assert.same({ "m4999", "m5000" }, failures(invoke("quick", batch("o.fifo", bodies, groups), { report = true })))
    end)
    it("runs none of a FIFO queue when no time is left", function()
      assert.same({ "m1", "m2" }, failures(invoke("message", batch("o.fifo", { "wait", "b" }, { "a", "a" }),
        { report = true, timeout_ms = 30 })))
      assert.same({ "wait" }, ran().ran)
    end)
    it("gives attributes, counts and the correlation id", function()
      local d = batch("orders", { '{"correlation_id":"c-1"}' })
      d.Records[1].messageAttributes = { a = { stringValue = "1", dataType = "String", binaryListValues = {} } }
      d.Records[1].attributes = { ApproximateReceiveCount = "2", SentTimestamp = "1545082649183" }
      assert.equal('{"batchItemFailures":[]}', invoke("attributes", d, { report = true }).body)
    end)
    it("names what is wrong with a record", function()
      local d = batch("orders", { "1", "2" })
      d.Records[2].messageId = nil
      assert.equal("the event: Records[1].messageId: missing", invoke("message", d).err)
    end)
    it("can be cancelled", function()
      open {}
      local run, answer = start("message", batch("orders", { "wait", "wait" }))
      run:cancel()
      rig:turn()
      assert.is_nil(answer())
    end)
  end)
end)
