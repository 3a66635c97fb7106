--- Lambda's Invoke on the cloud port of `perigee serve`, and the clock of bootstraps that tests move.
local host = require "perigee.host"
local json = require "perigee.json"
local support = require "e2e.support"

local FUNCTIONS = "/2015-03-31/functions/"

describe("the functions of a server", function()
  local server
  local function start(args) server = support.start { args = args .. " --no-reload" } end
  after_each(function() if server then server:stop() end end)

  local function invoke(name, event, headers)
    return server:request("POST", "", { url = server.cloud .. FUNCTIONS .. name .. "/invocations", body = event, headers = headers })
  end

  it("are invoked on its cloud port, in its own store", function()
    start "--control --no-feeds"
    local event = support.sh("%s event apigw-http --function CreateOrder --body %s", support.bin, support.quote '{"orderId":"o","customerName":"Ada"}')
    local answer = invoke("CreateOrder", event)
    assert.equal(200, answer.status)
    assert.equal("$LATEST", answer.headers["x-amz-executed-version"])
    assert.is_nil(answer.headers["x-amz-function-error"])
    assert.equal(200, answer.json.statusCode)
    assert.equal("Ada", server:get("/orders/o").json.customer_name)
    assert.equal("null", invoke("Relay", "").body:match "%S+")
  end)

  it("that fail say so in a header, with the error document", function()
    start "--control --no-feeds"
    local answer = invoke("ProcessOrders", '{"Records":"none"}')
    assert.equal(200, answer.status)
    assert.equal("Unhandled", answer.headers["x-amz-function-error"])
    assert.is_string(answer.json.errorMessage)
    assert.equal("Runtime.UnmarshalError", invoke("Relay", "{").json.errorType)
  end)

  it("are found by their names only, and by POST", function()
    start "--control"
    local answer = invoke("Nobody", "{}")
    assert.equal(404, answer.status)
    assert.equal("ResourceNotFoundException", answer.headers["x-amzn-errortype"])
    assert.equal(405, server:request("GET", "", { url = server.cloud .. FUNCTIONS .. "Relay/invocations" }).status)
    assert.equal(404, invoke("%00", "{}").status)
  end)

  it("are for those who may control the engine", function()
    start ""
    local answer = invoke("Relay", "{}")
    assert.equal(403, answer.status)
    assert.matches("start with --control", answer.body, 1, true)
    server:stop()
    start "--development"
    assert.equal(200, invoke("Relay", "{}").status)
    assert.equal(403, invoke("Relay", "{}", { Host = "shop.example.org" }).status)
    assert.equal(403, invoke("Relay", "{}", { Origin = "https://shop.example.org" }).status)
  end)

  it("are listed with the queues that feed them, and whether this server does it", function()
    for args, state in pairs { ["--control"] = "Enabled", ["--control --no-feeds"] = "Disabled" } do
      start(args)
      local list = server:request("GET", "", { url = server.cloud .. "/2015-03-31/event-source-mappings" }).json.EventSourceMappings
      server:stop()
      assert.equal(2, #list)
      assert.matches("function:ProcessOrders$", list[1].FunctionArn)
      assert.matches("sqs:us%-east%-1:000000000000:OrderEvents$", list[1].EventSourceArn)
      assert.equal(state, list[1].State)
    end
    server = nil
  end)
end)

describe("the numbers of runs", function()
  it("meet when nothing runs any more", function()
    local server = support.start { args = "--no-feeds" }
    for i = 1, 20 do server:post("/orders", { orderId = "o-" .. i, customerName = "Ada" }) end
    server:get "/orders/o-1"
    local function of(name) return tonumber(server:get("/metrics").body:match("\n" .. name .. " (%d+)")) end
    support.eventually(10, "all runs are over", function() return of "perigee_jobs_ended_total" == of "perigee_jobs_total" end)
    assert.equal(21, of "perigee_jobs_ended_total")
    server:stop()
  end)
end)

describe("the clock of a bootstrap", function()
  local dir
  before_each(function()
    dir = support.tmpdir()
    support.sh("mkdir -p %s/handlers && ln -s $(realpath %s) %s/bootstrap", dir, support.bin, dir)
    support.write(dir .. "/handlers/clock.lua", "local time = require 'perigee.time'\nreturn { now = function() return { now = time.now() } end }\n")
  end)
  after_each(function() support.rmdir(dir) end)

  local function runtime(env)
    support.write(dir .. "/env.json", json.encode(env))
    return support.runtime_api { exec = dir .. "/bootstrap", args = ("--task-root %s --handler clock.now --env %s/env.json"):format(dir, dir) }
  end

  local function ask(server) return (support.sh("curl -s -d '{}' %s/2015-03-31/functions/function/invocations", server.invoke)) end

  local function set(offset, frozen)
    local file = assert(io.open(dir .. "/clock", "r+b"))
    file:write(string.pack("<i8i8", offset, frozen))
    file:close()
  end

  it("is a file that tests write: it stands still, moves, and goes on", function()
    support.write(dir .. "/clock", ("\0"):rep(4096))
    local server = runtime { PERIGEE_CLOCK_FILE = dir .. "/clock" }
    set(0, 1767225600000)
    assert.same({ now = 1767225600000 }, json.decode(ask(server)))
    set(5, 1767225600000)
    assert.same({ now = 1767225600005 }, json.decode(ask(server)))
    set(-3600000, 0)
    local now = json.decode(ask(server)).now
    server:stop()
    assert.is_true(math.abs(now - (os.time() * 1000 - 3600000)) < 60000)
  end)

  it("that cannot be read ends the start, and is named", function()
    for path, why in pairs { ["/nowhere"] = "PERIGEE_CLOCK_FILE: /nowhere", [dir .. "/short"] = "has less than" } do
      support.write(dir .. "/short", "x")
      local server = runtime { PERIGEE_CLOCK_FILE = path }
      assert.matches(why, ask(server), 1, true)
      server:stop()
    end
  end)
end)

describe("perigee.host", function()
  local h
  setup(function() h = assert(host.open { clock = 1767225600000 }) end)
  teardown(function() h:close() end)

  it("makes the document of a request, and tells who answers it", function()
    local text, fn = h:event { method = "POST", target = "/orders?a=1&a=2", body = "\0\255", remote_ip = "192.0.2.7",
      headers = { Host = "shop.example.org", ["Content-Type"] = "application/octet-stream" } }
    local document = json.decode(text)
    assert.equal("CreateOrder", fn)
    assert.same({ "2.0", "POST /orders", "a=1&a=2", "192.0.2.7", "AP8=", true },
      { document.version, document.routeKey, document.rawQueryString, document.requestContext.http.sourceIp, document.body, document.isBase64Encoded })
    assert.same({ "GetOrder", "a b" }, { select(2, h:event { target = "/orders/a%20b" }), json.decode((h:event { target = "/orders/a%20b" })).pathParameters.id })
    assert.is_nil((select(2, h:event { target = "/nowhere" })))
    assert.is_nil((select(2, h:event { target = "/orders/%C3" })))
  end)

  it("reads an answer document as the API in front does", function()
    local asked = h:event { target = "/orders/x", headers = { Origin = "https://shop.example.org" } }
    local answer = h:answer(asked, '{"statusCode":201,"headers":{"X-A":"b"},"body":"aGk=","isBase64Encoded":true}')
    assert.same({ 201, "b", "hi", "*" }, { answer.status, answer.headers["x-a"], answer.body, answer.headers["access-control-allow-origin"] })
    assert.is_nil((h:answer(asked, "{")))
  end)

  it("makes what a schedule gives, by its name or its function's", function()
    local text, fn = h:schedule "Relay"
    local document = json.decode(text)
    assert.same({ "Relay", "Scheduled Event", "2026-01-01T00:00:00Z" }, { fn, document["detail-type"], document.time })
    local none, err = h:schedule "Never"
    assert.is_nil(none)
    assert.matches("no schedule or scheduled function named 'Never'", tostring(err))
  end)

  it("tells the variables of a function", function()
    assert.equal("Orders", h:environment("CreateOrder").ORDERS_TABLE)
    assert.equal("Orders", h:environment("orders.create").ORDERS_TABLE)
    assert.is_nil((h:environment "Nobody"))
  end)
end)
