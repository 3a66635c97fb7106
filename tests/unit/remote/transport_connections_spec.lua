-- Connections that are kept, shared, waited for and lost; exchanges that are cancelled.
local server = require "t.server"
local t = require "t.transport"
local net = require "unit.remote.net"(_ENV)
local serve, open, fetch, same_port = net.serve, net.open, net.fetch, net.same_port
local reader, OK = net.reader, net.OK

describe("connections", function()
  local NEXT = { { "read" }, { "send", OK } }

  it("are used again, thousands of times", function()
    local url = serve { { "serve", OK } }
    open()
    assert.equal(2000, net.client:repeat_small(url(), 2000))
    assert.equal(1, net.peer:accepted())
  end)

  it("are used again by many at once", function()
    local url = serve { { "serve", OK } }
    open { per_host = 16 }
    assert.equal(2000, net.client:repeat_small(url(), 2000, "{}", 64))
    assert.is_true(net.peer:accepted() <= 16)
  end)

  for name, body in pairs { GET = false, POST = "body", ["a large PUT"] = ("x"):rep(300000) } do
    it("that die in use are replaced once, unseen: " .. name, function()
      local url = serve({ { "read" }, { "send", OK }, { "read" }, { "close" } }, NEXT)
      local request = { method = name:match "%u+$", url = url "/second", body = body or nil }
      local first, second = fetch({ url = url "/first" }, request)
      assert.same({ "OK", "OK" }, { first.failure, second.failure }, second.why)
      assert.equal(3, #net.peer:received())
      assert.equal(net.peer:received()[2][2], net.peer:received()[3][2])
    end)

    it("that are reset in use are replaced once: " .. name, function()
      local url = serve({ { "read" }, { "send", OK }, { "read" }, { "reset" } }, NEXT)
      local _, second = fetch({ url = url "/first" }, { method = name:match "%u+$", url = url "/second", body = body or nil })
      assert.equal("OK", second.failure, second.why)
      assert.equal(net.peer:received()[2][2], net.peer:received()[3][2])
    end)
  end

  it("that die are replaced once only", function()
    local url = serve({ { "read" }, { "send", OK }, { "read" }, { "close" } }, { { "read" }, { "close" } })
    local _, second = fetch({ url = url() }, { method = "POST", url = url(), body = "x" })
    assert.same({ "RESET", same_port() .. " closed the connection without an answer", true }, { second.failure, second.why, second.sent })
    assert.same({ 3, 2 }, { #net.peer:received(), net.peer:accepted() })
  end)

  it("of which several are dead cost one try over a fresh one", function()
    local dying = { { "read" }, { "gate" }, { "send", OK }, { "read" }, { "close" } }
    local url = serve(dying, dying, dying, NEXT)
    open()
    local n = 0
    for _ = 1, 3 do net.client:start { url = url "/warm", done = function(a) n = n + (a.status == 200 and 1 or 0) end } end
    while #net.peer:received() < 3 do net.client:once(1) end
    for _ = 1, 3 do net.peer:go() end
    net.client:run()
    assert.equal(3, n)
    local a = fetch { method = "POST", url = url "/then", body = "x" }
    assert.equal("OK", a.failure, a.why)
    local sent = 0
    for _, r in ipairs(net.peer:received()) do sent = sent + (r[2]:find("POST /then", 1, true) and 1 or 0) end
    assert.equal(2, sent)
  end)

  it("that die new are not replaced", function()
    local url = serve({ { "read" }, { "close" } }, NEXT)
    assert.equal("RESET", fetch({ url = url() }).failure)
    assert.equal(1, net.peer:accepted())
  end)

  for _, bytes in ipairs { "H", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nX: y\r\n\r\n" } do
    it(("that die after %d bytes of the answer are not replaced"):format(#bytes), function()
      local url = serve({ { "read" }, { "send", OK }, { "read" }, { "send", bytes }, { "close" } }, NEXT)
      local _, second = fetch({ url = url() }, { method = "POST", url = url(), body = "x" })
      assert.equal(#bytes > 20 and "OK" or "RESET", second.failure, second.why)
      assert.equal(2, #net.peer:received())
    end)
  end

  it("that die under a stream that was begun are not replaced", function()
    local url = serve({ { "read" }, { "send", OK }, { "read" }, { "close" } }, NEXT)
    local _, second = fetch({ url = url() }, { method = "PUT", url = url(), body_len = 3, read = reader "abc" })
    assert.equal("RESET", second.failure)
    assert.is_truthy(second.why:find("cannot be read twice", 1, true), second.why)
    assert.equal(2, #net.peer:received())
  end)

  it("that the server has closed meanwhile are not used", function()
    local url = serve({ { "read" }, { "send", OK }, { "close" } }, NEXT)
    local first = fetch { url = url() }
    while net.peer:closed() < 1 do net.client:once(1) end
    local second = fetch { method = "PUT", url = url(), body_len = 3, read = reader "abc" }
    assert.same({ "OK", "OK" }, { first.failure, second.failure })
  end)

  it("are at most as many as asked for; all exchanges get their turn", function()
    local url = serve { { "serve", OK } }
    open { per_host = 4 }
    local order, good = {}, 0
    for i = 1, 200 do
      net.client:start { url = url "/", done = function(a)
        order[#order + 1] = i
        if a.status == 200 then good = good + 1 end
      end }
    end
    assert.equal(200, net.client:running())
    net.client:run()
    assert.equal(200, good)
    assert.is_true(net.peer:accepted() <= 4)
    table.sort(order)
    for i, n in ipairs(order) do assert.equal(i, n) end
  end)

  it("are given to who waits, first come, first served", function()
    local url = serve { { "serve", OK } }
    open { per_host = 1 }
    local order = {}
    for i = 1, 20 do net.client:start { url = url(), done = function() order[i] = #order + 1 == i end } end
    net.client:run()
    for i = 1, 20 do assert.is_true(order[i]) end
    assert.equal(1, net.peer:accepted())
  end)

  it("of one host do not wait for those of another", function()
    local url = serve { { "serve", OK } }
    local slow = server.start { { { "read" }, { "stall" } } }
    open { per_host = 1 }
    local there = ("http://127.0.0.1:%d/"):format(slow:port())
    local stuck = { net.client:start { url = there }, net.client:start { url = there } }
    local a
    net.client:start { url = url(), done = function(x) a = x end }
    net.client:start { url = url(), done = function(x) a = x for _, s in ipairs(stuck) do net.client:cancel(s) end end }
    net.client:run()
    assert.equal(200, a.status)
    slow:stop()
  end)

  it("to hundreds of origins are forgotten again", function()
    local url = serve { { "serve", OK } }
    open()
    local good = 0
    for i = 1, 300 do
      local a = fetch { url = url("/" .. i):gsub("127.0.0.1", "127.0." .. i // 250 .. "." .. i % 250 + 1) }
      if a.failure == "CONNECT" then good = good + 1 end
      if a.status == 200 then good = good + 1 end
    end
    assert.equal(300, good)
  end)
end)

describe("cancelling", function()
  it("before anything happened", function()
    local url = serve { { "serve", OK } }
    open()
    local x = net.client:start { url = url(), done = function() error "cancelled" end }
    net.client:cancel(x)
    net.client:cancel(x)
    assert.equal(0, net.client:running())
    assert.equal("OK", fetch({ url = url() }).failure)
  end)

  it("on its way", function()
    local url = serve { { "read" }, { "stall" } }
    open()
    local x = net.client:start { url = url(), done = function() error "cancelled" end }
    while #net.peer:received() == 0 do net.client:once(1) end
    net.client:cancel(x)
    assert.equal(0, net.client:running())
    net.client:once(0)
  end)

  it("while waiting for a place, and what comes after moves up", function()
    local url = serve { { "serve", OK } }
    open { per_host = 1 }
    local log = {}
    local function start(name) return net.client:start { url = url(), done = function() log[#log + 1] = name end } end
    start "a"
    local b = start "b"
    start "c"
    net.client:cancel(b)
    net.client:run()
    assert.same({ "a", "c" }, log)
  end)

  it("from within another's done", function()
    local url = serve { { "serve", OK } }
    open()
    local xs, log = {}, {}
    for i = 1, 8 do
      xs[i] = net.client:start { url = url(), done = function()
        log[#log + 1] = i
        for k = 1, 8 do if k ~= i then net.client:cancel(xs[k]) end end
      end }
    end
    net.client:run()
    assert.equal(1, #log)
  end)

  it("from within its own and another's stream", function()
    local url = serve { { "read" }, { "send", OK } }
    open()
    local x, y
    local calls = 0
    y = net.client:start { url = url "/y", done = function() error "cancelled" end }
    x = net.client:start { url = url "/x", done = function() error "cancelled" end, write = function()
      calls = calls + 1
      net.client:cancel(y)
      net.client:cancel(x)
      return true
    end }
    -- y may have been done first: then there is nothing left to cancel, which is not what is tested
    net.client:cancel(y)
    y = net.client:start { url = url "/y2", method = "PUT", body_len = 10, read = function() return ("z"):rep(2) end, done = function() end }
    net.client:run()
    assert.equal(1, calls)
  end)

  it("from within a read", function()
    local url = serve { { "read" }, { "stall" } }
    open()
    local x
    x = net.client:start { url = url(), method = "PUT", body_len = 10, done = function() error "cancelled" end, read = function()
      net.client:cancel(x)
      return "abc"
    end }
    net.client:run()
    assert.equal(0, net.client:running())
    net.client:once(0)
  end)
end)

it("an exchange can be started again from its done", function()
  local url = serve { { "serve", OK } }
  open()
  local n, x = 0, nil
  x = net.client:start { url = url(), done = function(a)
    assert.equal("hi", a.body)
    n = n + 1
    if n < 5 then net.client:again(x) end
  end }
  net.client:run()
  assert.equal(5, n)
end)

it("a bundle of certificates that cannot be read is refused at once", function()
  local c, why = t.open { ca_bundle = "/nowhere/ca.pem" }
  assert.is_nil(c)
  assert.equal("cannot read the bundle of certificates /nowhere/ca.pem: No such file or directory", why)
end)
