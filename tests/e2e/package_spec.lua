--- What `perigee package` writes runs where there is nothing else: an unpacked package in a chroot of its own, before
--- the embedded engine as AWS.
local json = require "perigee.json"
local support = require "e2e.support"

local quote, sh = support.quote, support.sh
local runtime = support.release:match "^(.*)/" .. "/lambda-runtime"

local chroot = sh "id -u":match "%d+" == "0" and "/usr/sbin/chroot" or "unshare -r /usr/sbin/chroot"

local function missing()
  if select(2, sh("%s / true 2>/dev/null", chroot)) ~= 0 then return "a chroot needs root, or user namespaces" end
  if select(2, sh("test -x %s/bootstrap", quote(runtime))) ~= 0 then
    return "there is no " .. runtime .. ": build the target package-lambda"
  end
end

local function package(args)
  return sh("%s package %s 2>&1", support.release, args)
end

describe("a package for Lambda", function()
  local why = missing()
  if why then return pending("runs anywhere: " .. why) end
  local dir, root, server

  setup(function()
    dir = support.tmpdir()
    root = dir .. "/root"
    sh("mkdir -p %s/var/task %s/tmp %s/proc %s/dev", root, root, root, root)
    local out, status = package(("--out %s/lambda.zip --dir %s/var/task"):format(dir, root))
    assert.equal(0, status, out)
    server = support.start { bin = support.release, args = "--no-feeds" }
  end)
  teardown(function()
    if server then server:stop() end
    support.rmdir(dir)
  end)

  local function function_variables(more)
    local variables = { AWS_ENDPOINT_URL = server.cloud, AWS_ACCESS_KEY_ID = "perigee", AWS_SECRET_ACCESS_KEY = "perigee",
      ORDERS_TABLE = "Orders", OUTBOX_TABLE = "Outbox", IDEMPOTENCY_TABLE = "Idempotency", RECEIPTS_BUCKET = "receipts",
      ORDER_EVENTS_QUEUE = server.cloud .. "/000000000000/OrderEvents", CURRENCY = "EUR", IDEMPOTENCY_SECONDS = "60",
      EFFECT_SECONDS = "60", RECEIPT_LINK_SECONDS = "300", BRAND = "Perigee" }
    for name, value in pairs(more or {}) do variables[name] = value end
    return variables
  end

  --- One event through the bootstrap in the chroot: the answer document; else nil and what was said.
  local function invoke(handler, event, more)
    support.write(dir .. "/event.json", json.encode(event))
    support.write(dir .. "/env.json", json.encode(function_variables(more)))
    support.write(dir .. "/enter", ("#!/bin/sh\nLAMBDA_TASK_ROOT=/var/task exec %s %s /var/task/bootstrap\n"):format(chroot, root))
    sh("chmod +x %s/enter", dir)
    local out, status = sh("%s runtime-api --exec %s/enter --handler %s --env %s/env.json --event %s/event.json --timeout 20 2>%s/log",
      support.release, dir, handler, dir, dir, dir)
    if status ~= 0 then return nil, out .. support.read(dir .. "/log") end
    return json.decode(out)
  end

  local function request(method, path, parameters, body)
    return { version = "2.0", routeKey = method .. " " .. path, rawPath = path, rawQueryString = "",
      headers = { ["content-type"] = "application/json" }, pathParameters = parameters, body = body and json.encode(body),
      isBase64Encoded = false, requestContext = { stage = "$default", requestId = "r-1", timeEpoch = 0,
        http = { method = method, path = path, protocol = "HTTP/1.1", sourceIp = "127.0.0.1", userAgent = "test" } } }
  end

  local function created(id)
    local body = { id = "01912345-0000-7000-8000-000000000001", type = "order.created", version = 1,
      occurred_at = "2026-01-01T00:00:00Z", data = { order_id = id } }
    return { Records = { { messageId = "m-" .. id, receiptHandle = "h", body = json.encode(body), attributes = {
      ApproximateReceiveCount = "1", SentTimestamp = "0" }, messageAttributes = {}, eventSource = "aws:sqs",
      eventSourceARN = "arn:aws:sqs:us-east-1:000000000000:OrderEvents", awsRegion = "us-east-1" } } }
  end

  it("takes an order, draws its receipt and signs a link to it", function()
    local order = { order_id = "tea-1", user_id = "u1", customer_name = "José 李雷", item = "Tea", quantity = 2, total_price = 1250 }
    local answer = assert(invoke("orders.create", request("POST", "/orders", nil, order)))
    assert.equal(200, answer.statusCode, answer.body)
    assert.equal("tea-1", json.decode(answer.body).order_id)
    assert.equal("tea-1", server:get("/orders/tea-1").json.order_id)
    answer = assert(invoke("process.order", created "tea-1"))
    assert.same({}, answer.batchItemFailures, support.read(dir .. "/log"))
    answer = assert(invoke("receipts.link", request("GET", "/receipt/tea-1", { orderId = "tea-1" })))
    assert.equal(200, answer.statusCode, answer.body)
    local text = support.pdf_text(json.decode(answer.body).signedReceiptUrl)
    assert.truthy(text:find("José 李雷", 1, true), text)
  end)

  it("is not led astray by the system's libraries", function()
    sh("mkdir -p %s/lib64 %s/etc && for f in libc.so.6 libm.so.6 libcurl.so.4 libcrypto.so.3; do echo bad > %s/lib64/$f; done", root, root, root)
    local answer = assert(invoke("orders.get", request("GET", "/orders/none", { id = "none" }), { LD_LIBRARY_PATH = "/lib64:/var/task/lib" }))
    assert.equal(404, answer.statusCode)
  end)

  describe("of other handlers", function()
    local other

    setup(function()
      other = dir .. "/other"
      sh("mkdir -p %s/config %s/handlers %s/add/lib/lua %s/add/certs-test", other, other, other, other)
      support.write(other .. "/config/template.yaml", [[
Transform: AWS::Serverless-2016-10-31
Globals: { Function: { Runtime: provided.al2023, CodeUri: ../handlers, Timeout: 20 } }
Resources:
  Fetch: { Type: AWS::Serverless::Function, Properties: { Handler: probe.fetch } }
  Modules: { Type: AWS::Serverless::Function, Properties: { Handler: probe.modules } }
]])
      support.write(other .. "/handlers/probe.lua", [[
local http = require "perigee.http"
return {
  fetch = function()
    local res, err = http.fetch(os.getenv "TARGET")
    return { status = res and res.status, error = err and tostring(err) }
  end,
  modules = function() return { cjson = require("cjson").encode { 1, 2 } } end,
}
]])
      support.write(other .. "/handlers/.secret", "not to be deployed")
      sh([[cd %s && openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out add/certs-test/own.pem -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null && openssl rehash add/certs-test]], other)
      sh("rm -rf %s/var/task", root)
      local out, status = package(("--template %s/config/template.yaml --add %s/add --dir %s/var/task"):format(other, other, root))
      assert.equal(0, status, out)
    end)

    --- A TLS server of its own; fn gets its port.
    local function with_tls(fn)
      local pid = sh("cd %s && openssl s_server -accept 127.0.0.1:0 -www -key key.pem -cert add/certs-test/own.pem >tls 2>&1 & echo $!", other)
      local port = support.eventually(10, "TLS server", function() return support.read(other .. "/tls"):match "ACCEPT 127%.0%.0%.1:(%d+)" end)
      local ok, err = pcall(fn, port)
      sh("kill %d", tonumber(pid))
      if not ok then error(err, 0) end
    end

    it("fetches over TLS from whom AWS_CA_BUNDLE vouches for", function()
      with_tls(function(port)
        for _, bundle in ipairs { "/var/task/certs-test/own.pem", "/var/task/certs-test" } do
          local answer = assert(invoke("probe.fetch", {}, { TARGET = "https://localhost:" .. port, AWS_CA_BUNDLE = bundle }))
          assert.equal(200, answer.status, answer.error)
        end
      end)
    end)

    it("trusts the public authorities that it brings along, and nobody else", function()
      with_tls(function(port)
        local answer = assert(invoke("probe.fetch", {}, { TARGET = "https://localhost:" .. port }))
        assert.truthy(answer.error:find("not trusted", 1, true), answer.error)
      end)
      local amazon = sh("for f in %s/var/task/certs/*.0; do openssl x509 -noout -subject -in $f; done | grep -c 'Amazon Root CA'", root)
      assert.equal("4", amazon:match "%d+")
    end)

    it("finds C modules in lib/lua", function()
      assert.equal("[1,2]", assert(invoke("probe.modules", {})).cjson)
    end)

    it("leaves hidden files out", function()
      assert.equal("", (sh("find %s/var/task -name '.*'", root)))
    end)
  end)

  it("is the same bytes for the same files", function()
    assert.equal(0, select(2, package(("--out %s/again.zip"):format(dir))))
    assert.equal(0, select(2, sh("cmp %s/lambda.zip %s/again.zip", dir, dir)))
  end)

  it("has the project's schemas, wherever the template and the present directory are", function()
    local project = dir .. "/schemas"
    sh("mkdir -p %s/infra %s/handlers %s/config/schemas", project, project, project)
    support.write(project .. "/infra/template.yaml", [[
Transform: AWS::Serverless-2016-10-31
Resources:
  F: { Type: AWS::Serverless::Function, Properties: { Handler: f.f, Runtime: provided.al2023, CodeUri: ../handlers } }
]])
    support.write(project .. "/handlers/f.lua", "require('perigee.validate').schema 'a' return { f = function() end }")
    support.write(project .. "/config/schemas/a.json", [[{"type":"object"}]])
    local out, status = package(("--template %s/infra/template.yaml --out %s/schemas.zip"):format(project, dir))
    assert.equal(0, status, out)
    assert.equal("config/schemas/a.json\n", (sh("unzip -Z1 %s/schemas.zip | grep schemas", dir)))
    support.write(project .. "/config/schemas/bad.json", [[{"type":"thing"}]])
    out, status = sh("%s check --template %s/infra/template.yaml 2>&1", support.release, project)
    assert.equal(1, status, out)
    assert.truthy(out:find("bad.json", 1, true), out)
  end)

  it("does not contain itself, where it is written among the handlers", function()
    local project = dir .. "/project"
    sh("mkdir %s", project)
    support.write(project .. "/template.yaml", [[
Transform: AWS::Serverless-2016-10-31
Resources:
  F: { Type: AWS::Serverless::Function, Properties: { Handler: f.f, Runtime: provided.al2023, CodeUri: . } }
]])
    support.write(project .. "/f.lua", "return { f = function() end }")
    for _ = 1, 2 do
      local out, status = package(("--template %s/template.yaml --out %s/lambda.zip"):format(project, project))
      assert.equal(0, status, out)
      assert.equal("", (sh("unzip -Z1 %s/lambda.zip | grep lambda.zip", project)))
    end
  end)

  it("is no larger than 8 MB, its executable than 1 MB", function()
    assert.is_true(#support.read(dir .. "/lambda.zip") <= 8000000)
    assert.is_true(#support.read(runtime .. "/bootstrap") <= 1000000)
  end)

  describe("is refused", function()
    local broken
    before_each(function()
      broken = dir .. "/broken"
      sh("rm -rf %s && cp -r %s %s", broken, runtime, broken)
    end)

    local function refused(args, ...)
      local out, status = package(args)
      assert.equal(1, status, out)
      for _, text in ipairs { ... } do assert.truthy(out:find(text, 1, true), out) end
      assert.not_equal(0, select(2, sh("test -e %s/no.zip", dir)))
    end
    local function without(file, ...)
      sh("rm %s/%s", broken, file)
      refused(("--out %s/no.zip --runtime %s"):format(dir, broken), ...)
    end

    it("without a library that another one needs, by name", function() without("lib/libz.so.1", "lib/lib", "libz.so.1") end)
    it("without its loader", function() without("lib/ld-linux-*", "ld-linux-") end)
    it("without a bootstrap", function() without("bootstrap", "no executable file 'bootstrap'") end)
    it("without a runtime, saying where it was looked for", function()
      refused(("--out %s/no.zip --runtime /nowhere"):format(dir), "/nowhere")
    end)
    it("with a C module that needs what is not there", function()
      sh("mkdir -p %s/more/lib/lua && cp %s/lib/libcurl.so.4 %s/more/lib/lua/mine.so && rm %s/lib/libnghttp2.so.14 %s/lib/libcurl.so.4",
        dir, broken, dir, broken, broken)
      refused(("--out %s/no.zip --runtime %s --add %s/more"):format(dir, broken, dir), "lib/lua/mine.so", "libnghttp2.so.14")
    end)
    it("with two files of one name", function()
      sh("mkdir -p %s/same && echo no > %s/same/perigee.json", dir, dir)
      refused(("--out %s/no.zip --add %s/same"):format(dir, dir), "perigee.json", "would be both")
    end)
    it("with a file whose name is not UTF-8", function()
      sh("mkdir -p %s/odd && echo no > \"$(printf '%s/odd/a\\377b')\"", dir, dir)
      refused(("--out %s/no.zip --add %s/odd"):format(dir, dir), "is not UTF-8")
    end)
    it("over what is in a directory", function()
      refused(("--out %s/no.zip --dir %s"):format(dir, broken), broken, "not empty")
    end)
    it("of handlers that do not load", function()
      sh("rm -rf %s/bad && mkdir %s/bad && cp -r config handlers %s/bad/ && echo 'return {' > %s/bad/handlers/relay.lua", dir, dir, dir, dir)
      refused(("--out %s/no.zip --template %s/bad/config/template.yaml"):format(dir, dir), "handlers/relay.lua:")
    end)
  end)
end)
