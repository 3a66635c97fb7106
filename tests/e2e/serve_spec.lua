local support = require "e2e.support"

describe("perigee serve", function()
  local server
  setup(function() server = support.start() end)
  teardown(function() server:stop() end)

  local function order_a(over)
    local order = { user_id = "u-1", item = "Green tea", quantity = 2, total_price = 1250, customer_name = "José Ñandú 李雷" }
    for k, v in pairs(over or {}) do order[k] = v end
    return order
  end

  it("says it is ready in exactly one line on stdout", function()
    local out = support.read(server.dir .. "/out")
    assert.matches("^perigee: ready http=http://127%.0%.0%.1:%d+ cloud=http://127%.0%.0%.1:%d+\n$", out)
  end)

  it("takes both documented shapes of an order", function()
    local a = server:post("/orders", order_a())
    assert.equal(200, a.status, a.body)
    assert.equal("/receipt/" .. a.json.order_id, a.json.receipt_url)
    local b = server:post("/orders", { orderId = "ORD-42", customerName = "Ada" })
    assert.equal(200, b.status, b.body)
    assert.equal("ORD-42", b.json.order_id)
    assert.is_string(b.headers["x-request-id"])
  end)

  it("turns an order and a payment into a PDF behind a signed link", function()
    local id = server:post("/orders", order_a { order_id = "pdf-1" }).json.order_id
    server:receipt_link(id)
    local paid = server:post("/payments", { order_id = id, status = "paid" })
    assert.equal(200, paid.status, paid.body)
    local text = support.eventually(30, "PAID on the receipt", function()
      local t = support.pdf_text(server:receipt_link(id))
      return t:find("PAID", 1, true) and t
    end)
    assert.truthy(text:find(id, 1, true))
    assert.truthy(text:find("José Ñandú 李雷", 1, true), text)
    assert.truthy(text:find("12.50", 1, true), text)
  end)

  it("refuses a link of which any part was changed", function()
    local id = server:post("/orders", order_a { order_id = "link-1" }).json.order_id
    local link = server:receipt_link(id)
    local function status(url) return (support.sh("curl -s -o /dev/null -w '%%{http_code}' %s", support.quote(url))) end
    assert.equal("200", status(link))
    local query = link:find("?", 1, true)
    local path_start = link:find("/", 9, true)
    for at = path_start + 1, #link, 7 do
      if at ~= query then
        local c = link:sub(at, at)
        local changed = link:sub(1, at - 1) .. (c == "1" and "2" or "1") .. link:sub(at + 1)
        assert.not_equal("200", status(changed), "position " .. at .. " of " .. link)
      end
    end
  end)

  it("makes one order of the same POST twice, and says that the second is a replay", function()
    local first = server:post("/orders", order_a { order_id = "twice" })
    local second = server:post("/orders", order_a { order_id = "twice" })
    assert.equal(200, second.status)
    assert.equal(first.body, second.body)
    assert.is_nil(first.headers["idempotent-replayed"])
    assert.equal("true", second.headers["idempotent-replayed"])
    assert.equal(409, server:post("/orders", order_a { order_id = "twice", quantity = 3 }).status)
  end)

  it("makes one order of 50 parallel identical POSTs", function()
    local file = os.tmpname()
    support.write(file, require("perigee.json").encode(order_a { order_id = "crowd" }))
    local out = support.sh([[seq 50 | xargs -P 50 -I{} curl -s -o /dev/null -w '%%{http_code} %%header{idempotent-replayed}\n' ]] ..
      [[-H 'content-type: application/json' --data-binary @%s %s/orders]], file, server.http)
    os.remove(file)
    local ok, replayed = 0, 0
    for status, replay in out:gmatch "(%d+) (%a*)\n" do
      if status == "200" then ok = ok + 1 end
      if replay == "true" then replayed = replayed + 1 end
    end
    assert.equal(50, ok, out)
    assert.equal(49, replayed)
    assert.equal(1, server:get("/orders/crowd").json.version and 1)
  end)

  it("keeps the largest int64 price exact in JSON and PDF", function()
    local raw = '{"order_id":"max","user_id":"u","item":"x","quantity":1,"total_price":9223372036854775807,"currency":"EUR"}'
    local res = server:post("/orders", raw)
    assert.equal(200, res.status, res.body)
    assert.truthy(server:get("/orders/max").body:find '"total_price":9223372036854775807')
    assert.truthy(support.pdf_text(server:receipt_link "max"):find "92,233,720,368,547,758.07")
  end)

  it("answers bad input with a clear error", function()
    local function post(raw, headers) return server:post("/orders", raw, headers) end
    local cases = {
      { '{"user_id":"u"', 400 }, { "", 400 }, { "nope", 400 }, { '{"a":1,"a":2}', 400 }, { ("["):rep(5000), 400 },
      { '{"user_id":"u","item":"x","quantity":1,"total_price":1e999}', 400 },
      { '{"user_id":"u","item":"x","quantity":1,"total_price":9223372036854775808}', 400 },
      { '{"user_id":"u","item":"x","quantity":-1,"total_price":5}', 400 },
      { '{"user_id":"u","item":"\xff","quantity":1,"total_price":5}', 400 },
      { '{"user_id":"u\\u0000","item":"x","quantity":1,"total_price":5}', 400 },
      { '{"user_id":"u","item":7,"quantity":"1","total_price":1.5}', 400 },
    }
    for _, case in ipairs(cases) do
      local res = post(case[1])
      assert.equal(case[2], res.status, case[1]:sub(1, 60))
      assert.is_string(res.json.error.message)
      assert.is_string(res.headers["x-request-id"])
    end
    local fields = post('{"user_id":7,"item":"","quantity":0,"total_price":1.5}').json.error.fields
    assert.equal(4, #fields)
    assert.equal(413, post('{"user_id":"' .. ("x"):rep(2 << 20) .. '"}').status)
    assert.equal(415, post("{}", { ["content-type"] = "text/plain" }).status)
    assert.equal(404, server:get("/nowhere").status)
    local wrong = server:request("DELETE", "/orders")
    assert.equal(405, wrong.status)
    assert.truthy(wrong.headers.allow:find "POST")
    assert.equal(404, server:post("/payments", { order_id = "ghost", status = "paid" }).status)
    assert.equal(400, server:post("/payments", { order_id = "twice", status = "maybe" }).status)
  end)

  it("is alive, ready and counts", function()
    assert.equal(200, server:get("/healthz").status)
    support.eventually(10, "readiness", function() return server:get("/readyz").status == 200 end)
    assert.truthy(server:get("/metrics").body:find "perigee_http_requests_total %d+")
  end)

  it("answers HEAD without a body and OPTIONS as the template says", function()
    local head = server:request("HEAD", "/orders/twice")
    assert.equal(200, head.status)
    assert.equal("", head.body)
    assert.is_true(server:request("OPTIONS", "/orders").status < 300)
  end)
end)

describe("perigee serve refuses to start", function()
  local function fails(command)
    local out, status = support.sh("timeout 20 %s 2>&1", command)
    assert.not_equal(0, status, out)
    assert.not_equal(124, status, "hung: " .. out)
    return out
  end

  it("on a port in use, naming it", function()
    local server = support.start()
    local port = server.http:match ":(%d+)$"
    local out = fails(("%s serve --port %s --cloud-port 0 --memory"):format(support.bin, port))
    assert.truthy(out:find(port, 1, true), out)
    assert.truthy(out:find "in use", out)
    server:stop()
  end)

  it("on a data directory in use, naming it", function()
    local server = support.start()
    local out = fails(("%s serve --port 0 --cloud-port 0 --data %s"):format(support.bin, server.data))
    assert.truthy(out:find(server.data, 1, true), out)
    assert.truthy(out:find(tostring(server.pid), 1, true), out)
    server:stop()
  end)

  it("on a corrupt store, and touches nothing", function()
    local dir = support.tmpdir()
    local server = support.start { data = dir }
    assert.equal(200, server:post("/orders", { orderId = "c-1", customerName = "Ada" }).status)
    server:signal "TERM"
    server:await_end()
    local store = dir .. "/store.db"
    support.sh("dd if=/dev/urandom of=%s bs=512 seek=1 count=16 conv=notrunc 2>/dev/null", store)
    local before = support.sh("sha256sum %s", store)
    local out = fails(("%s serve --port 0 --cloud-port 0 --data %s"):format(support.bin, dir))
    assert.truthy(out:find "store.db", out)
    assert.equal(before, (support.sh("sha256sum %s", store)))
    support.rmdir(dir)
    support.rmdir(server.dir)
  end)

  it("on a directory it cannot make", function()
    local dir = support.tmpdir()
    support.write(dir .. "/file", "") -- below a file not even root makes a directory
    local out = fails(("%s serve --port 0 --cloud-port 0 --data %s/file/data"):format(support.bin, dir))
    assert.truthy(out:find(dir .. "/file", 1, true), out)
    support.rmdir(dir)
  end)

  it("on a directory of Lua modules that is not there", function()
    local out = fails(("%s serve --port 0 --cloud-port 0 --memory --lua-dir /nowhere/lua"):format(support.bin))
    assert.truthy(out:find("--lua-dir", 1, true), out)
    assert.truthy(out:find("/nowhere/lua", 1, true), out)
  end)

  it("on template mistakes, with file and line of each", function()
    local dir = support.tmpdir()
    support.write(dir .. "/template.yaml", "Transform: AWS::Serverless-2016-10-31\nResources:\n  Q:\n    Type: AWS::SQS::Queue\n" ..
      "    Properties:\n      Colour: blue\n  V:\n    Type: AWS::EC2::VPC\n")
    local out = fails(("%s check %s/template.yaml"):format(support.bin, dir))
    assert.truthy(out:find("template.yaml:6:", 1, true), out)
    assert.truthy(out:find("template.yaml:8:", 1, true), out)
    assert.equal(1, select(2, out:gsub("Colour", "")), "told once: " .. out)
    assert.truthy(out:find "AWS::EC2::VPC", out)
    support.rmdir(dir)
  end)

  it("on handlers that do not load, once for all functions of a module", function()
    local dir = support.tmpdir()
    support.sh("cp -r config handlers %s/", support.quote(dir))
    support.write(dir .. "/handlers/orders.lua", "return {\n  get = = 1 }\n")
    local out = fails(("%s check %s/config/template.yaml"):format(support.bin, dir))
    assert.equal(1, select(2, out:gsub("handlers/orders.lua:2:", "")), out)
    support.rmdir(dir)
  end)

  it("off loopback without a payments secret", function()
    local out = fails(("%s serve --host 0.0.0.0 --port 0 --cloud-port 0 --memory"):format(support.bin))
    assert.truthy(out:find "PaymentsSecret", out)
  end)
end)
