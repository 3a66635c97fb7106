--- The order system's contract over HTTP, whatever carries out its AWS calls.
---
---   require "e2e.order_system"(_ENV, { start = support.start })     -- inside a describe
---
--- start() gives a running server (see e2e/support.lua). links_unchecked: why whoever serves the links lets changed ones pass.
local support = require "e2e.support"

return function(_ENV, opts) -- of the describe block
  local server
  setup(function() server = opts.start() end)
  teardown(function() if server then server:stop() end end)

  local function order_a(over)
    local order = { user_id = "u-1", item = "Green tea", quantity = 2, total_price = 1250, customer_name = "José Ñandú 李雷" }
    for k, v in pairs(over or {}) do order[k] = v end
    return order
  end

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
    if opts.links_unchecked then return pending(opts.links_unchecked) end
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
end
