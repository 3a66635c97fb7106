local t = require "t.route"

local handlers = [[
local json, time, http = require "perigee.json", require "perigee.time", require "perigee.http"
local M = {}
function M.echo(request)
  return 200, { fn = "echo", method = request.method, path = request.path, params = json.object and json.object(request.path_params) or request.path_params }
end
function M.event_of(request)
  local once = request.event
  assert(rawequal(once, request.event))
  return 200, once
end
function M.event_after(request, context)
  context:after(function()
    local c = request.event.requestContext
    context.log.info("after", { raw = request.event.rawPath, id = c.requestId, ip = c.http.sourceIp })
  end)
  return 204
end
function M.one() return 200, { fn = "one" } end
function M.two() return 200, { fn = "two" } end
function M.headers() return 201, { ok = true }, { ["Access-Control-Allow-Origin"] = "https://mine", ["X-Request-Id"] = "mine" } end
function M.fail() error "boom" end
function M.slow() time.sleep(60000) return 200, {} end
function M.nap() time.sleep(1) return 200, { fn = "nap" } end
function M.message(message) if message.body == "bad" then error "bad message" end end
function M.event(event) if event.source ~= "me" then error "wrong source" end end
return M
]]

describe("route", function()
  local dir = require "unit.directory"(_ENV, { ["h.lua"] = handlers })
  local rig
  after_each(function()
    if rig then rig:close() end
    rig = nil
  end)

  local function functions(names)
    local list = {}
    for i, name in ipairs(names) do
      list[i] = { name = name, dir = dir, module = "h", field = name, timeout_ms = name == "slow" and 30 or 3000 }
    end
    return list
  end
  local all = { "echo", "event_of", "event_after", "one", "two", "headers", "fail", "slow", "nap", "message", "event" }
  local function open(routes, options)
    local spec = { root = dir, functions = functions(all), routes = routes }
    for k, v in pairs(options or {}) do spec[k] = v end
    rig = assert(t.open(spec))
  end
  local function spin(ready)
    local give_up = os.time() + 10
    while not ready() do
      assert(os.time() < give_up, "nothing happened")
      rig:turn()
    end
  end
  local function ask(line, options)
    local answer
    rig:request(line, options or {}, function(a) answer = a end)
    spin(function() return answer end)
    return answer
  end
  local function fn_of(line) return ask(line).body:match('"fn":"(%w+)"') end

  describe("chooses the function", function()
    it("by literal path and method", function()
      open { { "GET /a", "one" }, { "POST /a", "two" }, { "GET /", "two" }, { "GET /a/b", "two" } }
      assert.same({ "one", "two", "two", "two" }, { fn_of "GET /a", fn_of "POST /a", fn_of "GET /", fn_of "GET /a/b" })
    end)
    it("without regard to one slash at the end, or to the query", function()
      open { { "GET /a", "one" }, { "GET /b/{id}", "two" } }
      assert.same({ "one", "one", "two" }, { fn_of "GET /a/", fn_of "GET /a?b=/c/d", fn_of "GET /b/1/" })
      assert.equal(404, ask("GET /a//").status)
    end)
    it("literal before parameter before greedy, whatever their order", function()
      open { { "GET /{proxy+}", "one" }, { "GET /a/{id}", "two" }, { "GET /a/b", "echo" }, { "GET /{x}/b/c", "nap" } }
      assert.same({ "echo", "two", "one", "one", "nap" },
        { fn_of "GET /a/b", fn_of "GET /a/c", fn_of "GET /a/c/d", fn_of "GET /z", fn_of "GET /z/b/c" })
    end)
    it("of the next pattern that has the method", function()
      open { { "GET /a/{id}", "one" }, { "POST /a/b", "two" }, { "ANY /{proxy+}", "nap" } }
      assert.same({ "one", "two", "nap" }, { fn_of "GET /a/b", fn_of "POST /a/b", fn_of "DELETE /a/b" })
    end)
    it("an explicit method before ANY", function()
      open { { "ANY /a", "one" }, { "GET /a", "two" } }
      assert.same({ "two", "one" }, { fn_of "GET /a", fn_of "PUT /a" })
    end)
    it("of GET for HEAD", function()
      open { { "GET /a", "one" } }
      assert.equal(200, ask("HEAD /a").status)
    end)
    it("with literal segments written in escapes", function()
      open { { "GET /a b", "one" }, { "GET /c/{id}/d", "two" } }
      assert.same({ "one", "two" }, { fn_of "GET /a%20b", fn_of "GET /c/1/%64" })
    end)
  end)

  describe("parameters", function()
    local function params(line) return ask(line).body:match('"params":(%b{})') end
    before_each(function() open { { "GET /o/{id}", "echo" }, { "GET /p/{a}/{b}", "echo" }, { "GET /f/{proxy+}", "echo" } } end)

    it("are decoded, each within its segment", function()
      assert.equal('{"id":"a/b é+c"}', params "GET /o/a%2Fb%20%C3%A9+c")
    end)
    it("may be several", function()
      local p = params "GET /p/1/2"
      assert.matches('"a":"1"', p)
      assert.matches('"b":"2"', p)
    end)
    it("that are greedy take the rest, but not nothing", function()
      assert.equal('{"proxy":"a/b/c d"}', params "GET /f/a/b/c%20d")
      assert.equal(404, ask("GET /f/").status)
      assert.equal(404, ask("GET /f").status)
    end)
    it("are never empty", function()
      assert.equal(404, ask("GET /p//2").status)
    end)
    it("an escaped slash does not make a literal path", function()
      assert.equal(404, ask("GET /o%2F1").status)
    end)
    it("with a bad escape, a NUL or bad UTF-8 are 400", function()
      for _, bad in ipairs { "%", "%zz", "%00", "%ff" } do
        local answer = ask("GET /o/" .. bad)
        assert.equal(400, answer.status)
        assert.matches('"code":"bad_request"', answer.body)
      end
    end)
  end)

  describe("without a function", function()
    before_each(function() open { { "GET /a/{id}", "one" }, { "DELETE /a/b", "two" } } end)

    it("an unknown path is 404 with ids", function()
      local answer = ask("GET /nothing")
      assert.equal(404, answer.status)
      assert.equal("request-1", answer.headers["X-Request-Id"])
      assert.equal('{"error":{"code":"not_found","message":"there is nothing at this path","request_id":"request-1"}}', answer.body)
      assert.matches("^application/json", answer.headers["Content-Type"])
    end)
    it("a wrong method is 405 with Allow from all patterns that fit", function()
      local answer = ask("PUT /a/b")
      assert.equal(405, answer.status)
      assert.equal("DELETE, GET, HEAD", answer.headers.Allow)
    end)
    it("OPTIONS names the methods", function()
      local answer = ask("OPTIONS /a/x")
      assert.equal(204, answer.status)
      assert.equal("GET, HEAD, OPTIONS", answer.headers.Allow)
      assert.equal(204, ask("OPTIONS *").status)
      assert.equal(404, ask("OPTIONS /nothing").status)
    end)
  end)

  describe("CORS", function()
    local asked = { Origin = "https://shop.example", ["Access-Control-Request-Method"] = "POST" }
    local function cors(settings)
      open({ { "POST /a", "one" }, { "GET /h", "headers" } }, { cors = settings })
    end
    local full = { origin = "https://shop.example", methods = "GET, POST", headers = "content-type", expose = "x-a", max_age = 600, credentials = true }

    it("preflight is answered as the template says", function()
      cors(full)
      local answer = ask("OPTIONS /a", { headers = asked })
      assert.equal(204, answer.status)
      local h = answer.headers
      assert.same({ "https://shop.example", "GET, POST", "content-type", "600", "true", "Origin" },
        { h["Access-Control-Allow-Origin"], h["Access-Control-Allow-Methods"], h["Access-Control-Allow-Headers"],
          h["Access-Control-Max-Age"], h["Access-Control-Allow-Credentials"], h.Vary })
    end)
    it("other origins get nothing", function()
      cors(full)
      for _, line in ipairs { "OPTIONS /a", "POST /a" } do
        local h = ask(line, { headers = { Origin = "https://evil.example", ["Access-Control-Request-Method"] = "POST" } }).headers
        assert.is_nil(h["Access-Control-Allow-Origin"])
        assert.is_nil(h["Access-Control-Allow-Credentials"])
        assert.equal("Origin", h.Vary)
      end
    end)
    it("answers and errors carry the origin and the exposed headers", function()
      cors(full)
      for _, line in ipairs { "POST /a", "GET /nothing" } do
        local h = ask(line, { headers = { Origin = "https://shop.example" } }).headers
        assert.same({ "https://shop.example", "x-a" }, { h["Access-Control-Allow-Origin"], h["Access-Control-Expose-Headers"] })
      end
    end)
    it("'*' allows everyone", function()
      cors { origin = "*" }
      assert.equal("*", ask("POST /a", { headers = { Origin = "https://x" } }).headers["Access-Control-Allow-Origin"])
    end)
    it("what the handler set stays", function()
      cors { origin = "*" }
      assert.equal("https://mine", ask("GET /h").headers["Access-Control-Allow-Origin"])
    end)
    it("without settings there are no headers", function()
      cors(nil)
      local h = ask("POST /a", { headers = { Origin = "https://x" } }).headers
      assert.is_nil(h["Access-Control-Allow-Origin"])
    end)
  end)

  describe("answers", function()
    it("carry request id and version", function()
      open { { "GET /a", "one" } }
      local h = ask("GET /a").headers
      assert.equal("request-1", h["X-Request-Id"])
      assert.matches("^%x+$", h["X-Perigee-Version"])
    end)
    it("keep the handler's own request id", function()
      open { { "GET /h", "headers" } }
      local answer = ask("GET /h")
      assert.same({ 201, "mine" }, { answer.status, answer.headers["X-Request-Id"] })
    end)
    it("are logged in one line", function()
      open { { "GET /a", "one" } }
      ask("GET /a?x=1")
      local line = rig:lines()[1]
      for _, part in ipairs { '"msg":"request done"', '"method":"GET"', '"path":"/a"', '"status":200', '"duration_ms":',
        '"request_id":"request-1"', '"function":"one"', '"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"', '"level":"info"' } do
        assert.matches(part, line, 1, true)
      end
      assert.equal(1, #rig:lines())
    end)
    it("may come after waiting", function()
      open { { "GET /n", "nap" } }
      assert.equal("nap", fn_of "GET /n")
    end)
  end)

  describe("a handler that raises", function()
    it("is 500 with traceback for loopback in development, and logged with it", function()
      open { { "GET /f", "fail" } }
      local answer = ask("GET /f")
      assert.equal(500, answer.status)
      assert.matches('"code":"handler_error"', answer.body)
      assert.matches("boom", answer.body)
      assert.matches('"traceback":"[^"]*h.lua:%d+', answer.body)
      assert.matches('"request_id":"request%-1"', answer.body)
      assert.matches("^%x+$", answer.headers["X-Perigee-Version"])
      local line = rig:lines()[1]
      assert.matches('"level":"error"', line)
      assert.matches('"traceback":"[^"]*h.lua', line)
    end)
    for name, options in pairs { ["from elsewhere"] = { {}, { remote = true } }, ["in production"] = { { production = true }, {} } } do
      it("shows nothing of itself " .. name, function()
        open({ { "GET /f", "fail" } }, options[1])
        local answer = ask("GET /f", options[2])
        assert.equal(500, answer.status)
        assert.is_nil(answer.body:find("boom"))
        assert.is_nil(answer.body:find("traceback"))
        assert.matches('"request_id":"request%-1"', answer.body)
      end)
    end
  end)

  it("a handler that takes too long is 504", function()
    open { { "GET /s", "slow" } }
    local answer = ask("GET /s")
    assert.equal(504, answer.status)
    assert.matches('"code":"timeout"', answer.body)
  end)

  it("a cancelled request is not answered", function()
    open { { "GET /n", "nap" }, { "GET /a", "one" } }
    local answered = false
    local handle = rig:request("GET /n", {}, function() answered = true end)
    rig:cancel(handle)
    assert.equal("nap", fn_of "GET /n")
    assert.is_false(answered)
  end)

  describe("built-in paths", function()
    before_each(function() open { { "GET /a", "one" } } end)
    it("tell health", function()
      local answer = ask("GET /healthz")
      assert.same({ 200, '{"status":"ok"}' }, { answer.status, answer.body })
      assert.equal(405, ask("POST /healthz").status)
      assert.equal(200, ask("HEAD /healthz").status)
    end)
    it("tell readiness, now or later", function()
      assert.equal(200, ask("GET /readyz").status)
      rig:readiness "never"
      local answer = ask("GET /readyz")
      assert.equal(503, answer.status)
      assert.matches("the store is not writable", answer.body)
      rig:readiness "later"
      local late
      rig:request("GET /readyz", {}, function(a) late = a end)
      assert.is_nil(late)
      rig:get_ready()
      assert.equal(200, late.status)
    end)
    it("a cancelled probe of readiness is not answered", function()
      rig:readiness "later"
      local handle = rig:request("GET /readyz", {}, function() error "answered" end)
      rig:cancel(handle)
      rig:get_ready()
    end)
    it("a cancelled probe may even report after the router is closed", function()
      rig:readiness "later"
      rig:cancel(rig:request("GET /readyz", {}, function() error "answered" end))
      rig:close()
      rig:get_ready()
    end)
    it("tell metrics", function()
      local answer = ask("GET /metrics")
      assert.matches("perigee_jobs_total", answer.body)
      assert.matches("^text/plain; version=0.0.4", answer.headers["Content-Type"])
    end)
    it("give way to the template's own", function()
      rig:close()
      open { { "GET /healthz", "one" }, { "ANY /{proxy+}", "two" } }
      assert.equal("one", fn_of "GET /healthz")
      assert.equal(200, ask("GET /readyz").status)
      assert.is_nil(fn_of "GET /readyz")
    end)
  end)

  describe("messages and events", function()
    before_each(function() open {} end)
    local function run(kind, ...)
      local outcome, text
      local args = { ... }
      args[#args + 1] = function(o, m) outcome, text = o, m end
      rig[kind](rig, table.unpack(args))
      spin(function() return outcome end)
      return outcome, text
    end
    it("a message that returns is done", function()
      assert.equal("done", run("message", "message", "good"))
      assert.same({ 1, 0 }, { rig:messages() })
    end)
    it("a message that raises failed, with the reason", function()
      local outcome, text = run("message", "message", "bad")
      assert.equal("HandlerError", outcome)
      assert.matches("bad message", text)
      assert.same({ 1, 1 }, { rig:messages() })
    end)
    it("a message may wait", function()
      assert.equal("done", run("message", "nap", "x"))
    end)
    it("an event reaches its function", function()
      assert.equal("done", run("event", "event", '{"source":"me"}'))
      assert.equal("HandlerError", run("event", "event", '{"source":"you"}'))
    end)
  end)

  describe("refuses to open with", function()
    local function refused(...)
      local routes = {}
      for i, r in ipairs { ... } do routes[i] = { r, "one" } end
      return select(2, t.open { root = dir, functions = functions(all), routes = routes })
    end
    it("the same route twice, also under other parameter names", function()
      assert.equal("template.yaml: line 11: GET /a/{y} is the same route as /a/{x} in line 10", refused("GET /a/{x}", "GET /a/{y}"))
      assert.matches("is the same route", refused("GET /a", "GET /a/"))
    end)
    it("a greedy parameter before the end", function()
      assert.matches("line 10: /{p%+}/a: {p%+} must be the last segment", refused("GET /{p+}/a"))
    end)
    it("a path without a slash, or with a half parameter", function()
      assert.matches("does not start with a slash", refused("GET a"))
      assert.matches("neither a literal nor a {parameter}", refused("GET /a/x{id}"))
    end)
  end)

  describe("request.event", function()
    local json = require "dkjson"
    local function event_of(line, payload, options)
      open({ { "POST /a/{id}", "event_of" } }, { payload = payload })
      local answer = ask(line, options)
      return assert(json.decode(answer.body))
    end
    local options = { body = "hi", headers = { Host = "api.example", ["X-A"] = "1" } }
    it("is the document of an HTTP API", function()
      local d = event_of("POST /a/x%20y?q=1&q=%41", 2, options)
      assert.same({ "2.0", "POST /a/{id}", "/a/x y", "q=1&q=%41", { q = "1,A" }, { id = "x y" }, "hi", "1" },
        { d.version, d.routeKey, d.rawPath, d.rawQueryString, d.queryStringParameters, d.pathParameters, d.body,
          d.headers["x-a"] })
      assert.same({ "POST", "127.0.0.1", "api.example", "request-1" }, { d.requestContext.http.method,
        d.requestContext.http.sourceIp, d.requestContext.domainName, d.requestContext.requestId })
    end)
    it("is there after the reply, too", function()
      open { { "POST /a/{id}", "event_after" } }
      ask("POST /a/x?q=1", options)
      for _ = 1, 20 do rig:turn() end
      assert.matches('"msg":"after".*"id":"request%-1","ip":"127.0.0.1","raw":"/a/x"', table.concat(rig:lines(), "\n"))
    end)
    it("is in format 1.0 when the route says so", function()
      local d = event_of("POST /a/x", 1, options)
      assert.same({ "1.0", "/a/{id}", "/a/x", "POST", "1" },
        { d.version, d.resource, d.path, d.httpMethod, d.multiValueHeaders["x-a"][1] })
    end)
    it("is the document of a REST API", function()
      local d = event_of("POST /a/x%20y?q=1", 0, options)
      assert.is_nil(d.version)
      assert.same({ "/a/{id}", "/a/x%20y", { id = "x%20y" }, { q = { "1" } }, "1", "/Prod/a/x%20y" },
        { d.resource, d.path, d.pathParameters, d.multiValueQueryStringParameters, d.headers["X-A"], d.requestContext.path })
    end)
  end)

  describe("a function's URL", function()
    local function ask_url(line, host)
      return (ask(line, { headers = { Host = host, Origin = "https://there" } }))
    end
    before_each(function()
      rig = assert(t.open { root = dir, cors = { origin = "*" }, routes = { { "GET /one", "one" } }, functions = {
        { name = "one", dir = dir, module = "h", field = "one" },
        { name = "Echo", dir = dir, module = "h", field = "echo", url = 1 } } })
    end)

    it("is a host of its own, whatever the path, method and template's routes", function()
      for _, host in ipairs { "echo.lambda-url.localhost:8080", "Echo.lambda-url.eu-west-1.on.aws" } do
        local answer = ask_url("DELETE /one/a%20b", host)
        assert.equal(200, answer.status)
        assert.matches('"path":"/one/a b"', answer.body)
        assert.is_nil(answer.headers["Access-Control-Allow-Origin"])
      end
      assert.equal(400, ask_url("GET /%zz", "echo.lambda-url.localhost").status)
    end)

    it("has the parameters of the function's own routes, which are then all there is", function()
      rig:close()
      rig = assert(t.open { root = dir, routes = { { "GET /a/{id}", "Echo" } }, functions = {
        { name = "Echo", dir = dir, module = "h", field = "echo", url = 1 } } })
      assert.matches('"params":{"id":"7"}', ask_url("GET /a/7", "echo.lambda-url.localhost").body)
      assert.same({ 404, 405, 200, 404 }, { ask_url("GET /b", "echo.lambda-url.localhost").status,
        ask_url("PUT /a/7", "echo.lambda-url.localhost").status, ask_url("GET /healthz", "echo.lambda-url.localhost").status,
        ask_url("GET /metrics", "echo.lambda-url.localhost").status })
    end)

    it("is none for functions without", function()
      assert.matches('"fn":"one"', ask_url("GET /one", "one.lambda-url.localhost").body)
      assert.equal(404, ask_url("GET /two", "nobody.lambda-url.localhost").status)
      assert.equal(404, ask_url("GET /two", "echo.localhost").status)
    end)
  end)
end)
