-- Answers in parts: what route does to them between the script and the transport.
local t = require "t.route"
local json = require "dkjson"

local handlers = [[
local http, time = require "perigee.http", require "perigee.time"
local M = {}
local function stream(context, status)
  return http.stream(context, { status = status or 200, headers = { ["Content-Type"] = "text/csv" } })
end
function M.parts(_, context) stream(context, 201):write("one"):write("two") end
function M.slow(_, context) stream(context):write("one") time.sleep(60000) end
function M.early(_, context) stream(context) error "early" end
function M.fail(_, context) stream(context):write("one") error { code = "not_found", message = "midway" } end
function M.mine(_, context)
  http.stream(context, { headers = { ["X-Request-Id"] = "mine", ["Access-Control-Allow-Origin"] = "https://mine" } }):write("x")
end
function M.much(_, context)
  local response = stream(context)
  for _ = 1, 3 do response:write(("x"):rep(262144)) end
end
function M.whole() return 202, { whole = true } end
function M.latin() return 200, "x", { ["X-Name"] = "caf\233" } end
function M.event() return { whole = true } end
return M
]]

describe("a streamed answer", function()
  local dir = require "unit.directory"(_ENV, { ["h.lua"] = handlers })
  local rig
  after_each(function() rig:close() end)

  local function open(options)
    local spec = { root = dir, functions = {}, routes = {} }
    for k, v in pairs(options or {}) do spec[k] = v end
    for i, name in ipairs { "parts", "slow", "early", "fail", "mine", "much", "whole", "event", "latin" } do
      spec.functions[i] = { name = name, dir = dir, module = "h", field = name, timeout_ms = name == "slow" and 30 or 3000 }
      spec.routes[i] = { "GET /" .. name, name }
    end
    rig = assert(t.open(spec))
  end
  -- Starts it and turns the loop until it has ended; the client takes everything at once.
  local function finish(start)
    local answer
    start(function(a) answer = a end)
    local give_up = os.time() + 10
    while not answer do
      assert(os.time() < give_up, "nothing happened")
      rig:turn()
    end
    return answer
  end
  local function ask(line, options)
    options = options or {}
    options.stream = true
    return finish(function(done) rig:request(line, options, done) end)
  end
  local function logged(pattern)
    for _, line in ipairs(rig:lines()) do if line:find(pattern) then return line end end
  end

  describe("to HTTP", function()
    it("leaves part by part under the head that all answers have", function()
      open { cors = { origin = "*" } }
      local answer = ask("GET /parts", { headers = { Origin = "https://there" } })
      local parts = rig:parts()
      assert.same({ "201", "one", "two" }, { parts[1], parts[3], parts[4] })
      assert.matches("Content%-Type: text/csv\n", parts[2])
      assert.matches("X%-Request%-Id: request%-1\n", parts[2])
      assert.matches("X%-Perigee%-Version: %x+\n", parts[2])
      assert.matches("Access%-Control%-Allow%-Origin: %*\n", parts[2])
      assert.same({ false, "" }, { answer.cut, answer.body })
      assert.matches('"msg":"request done".*"status":201', logged "request done")
    end)

    it("keeps headers of its own", function()
      open { cors = { origin = "*" } }
      ask("GET /mine", { headers = { Origin = "https://there" } })
      local _, ids = rig:parts()[2]:gsub("X%-Request%-Id", "")
      assert.equal(1, ids)
      assert.matches("Access%-Control%-Allow%-Origin: https://mine\n", rig:parts()[2])
      assert.not_matches("%*\n", rig:parts()[2])
    end)

    it("has no parts for HEAD", function()
      open()
      ask "HEAD /parts"
      assert.equal(2, #rig:parts())
    end)

    it("is cut when its handler fails, with the traceback in the log", function()
      open()
      local answer = ask "GET /fail"
      assert.same({ true, 200 }, { answer.cut, answer.status })
      assert.equal("one", rig:parts()[3])
      assert.matches("h.lua", logged "handler failed")
      assert.is_truthy(logged "request cut")
    end)

    it("is cut when its handler runs out of time", function()
      open()
      assert.is_true(ask("GET /slow").cut)
      assert.matches("RequestTimeout", logged "handler failed")
    end)

    it("that has not begun becomes the ordinary error", function()
      open()
      local answer = ask "GET /early"
      assert.same({ false, 500, 0 }, { answer.cut, answer.status, #rig:parts() })
      assert.matches("handler_error", answer.body)
    end)

    it("goes on when the client has taken what waited", function()
      open()
      local answer
      local pending = rig:request("GET /much", { stream = true }, function(a) answer = a end)
      assert.is_truthy(pending)
      local give_up = os.time() + 10
      while not answer do
        assert(os.time() < give_up, "nothing happened")
        rig:drain()
        rig:turn()
      end
      assert.equal(3 * 262144, #table.concat(rig:parts(), "", 3))
    end)

    it("is no more when the client is gone", function()
      open()
      rig:cancel(rig:request("GET /slow", { stream = true }, function() error "answered" end))
      assert.is_truthy(logged "request cancelled")
    end)
  end)

  describe("of an invocation", function()
    local function document(host, name, method)
      return json.encode { version = "2.0", rawPath = "/" .. name, rawQueryString = "", headers = { host = host },
        requestContext = { domainName = host, http = { method = method or "GET", path = "/" .. name, sourceIp = "1.2.3.4" } } }
    end
    local URL, API = "abc.lambda-url.eu-west-1.on.aws", "abc.execute-api.eu-west-1.amazonaws.com"
    local function invoke(name, host, method, options)
      open(options)
      local payload = host and document(host, name, method) or "{}"
      return finish(function(done) rig:invoke(name, payload, { stream = true }, done) end)
    end

    it("leaves part by part when it came through a function URL", function()
      local o = invoke("parts", URL, "GET", { cors = { origin = "*" } })
      assert.same({ true, nil, "" }, { o.streamed, o.err, o.body })
      assert.same({ "201", "one", "two" }, { rig:parts()[1], rig:parts()[3], rig:parts()[4] })
      assert.matches("X%-Request%-Id: ", rig:parts()[2])
      assert.matches("X%-Perigee%-Version: ", rig:parts()[2])
      assert.not_matches("Access%-Control", rig:parts()[2])
    end)

    it("is a whole document for all other callers", function()
      local o = invoke("parts", API)
      assert.is_false(o.streamed)
      assert.same({ 201, "onetwo" }, { json.decode(o.body).statusCode, json.decode(o.body).body })
    end)

    it("is also one that its handler has given whole", function()
      local o = invoke("whole", URL)
      assert.is_true(o.streamed)
      assert.same({ "202", '{"whole":true}' }, { rig:parts()[1], rig:parts()[3] })
    end)

    it("is an error when its headers cannot be told", function()
      assert.is_true(invoke("latin", URL).streamed)
      assert.equal("500", rig:parts()[1])
      assert.matches("the answer's headers are not UTF%-8", logged "answer not sent")
    end)

    it("is also the error of a handler that failed before", function()
      local o = invoke("early", URL)
      assert.same({ true, nil, "500" }, { o.streamed, o.err, rig:parts()[1] })
    end)

    it("has no parts for HEAD", function()
      invoke("parts", URL, "HEAD")
      assert.equal(2, #rig:parts())
      rig:close()
      invoke("whole", URL, "HEAD")
      assert.equal(2, #rig:parts())
    end)

    it("ends in the error of a handler that failed midway", function()
      local o = invoke("fail", URL)
      assert.same({ true, "Function.NotFound" }, { o.streamed, o.error_type })
      assert.matches("midway", o.err)
    end)

    it("is not for events", function()
      local o = invoke "event"
      assert.same({ false, '{"whole":true}' }, { o.streamed, o.body })
    end)
  end)
end)
