local t = require "t.server"

describe("server", function()
  local rig, rigs, fds, seen

  local function open(handler, limits, other)
    seen = {}
    rig = t.open(function(request, id)
      seen[#seen + 1] = request
      request.id = id
      return handler and handler(request, id)
    end, limits, other)
    rigs[#rigs + 1] = rig
    return rig
  end
  local function connect(bytes)
    local fd = t.connect(rig.port)
    fds[fd] = true
    if bytes then assert(t.send(fd, bytes)) end
    return fd
  end
  local function shut(fd)
    fds[fd] = nil
    t.shut(fd)
  end
  -- Turns the loop until `ready` is true; the bound only ends a failing test.
  local function spin(ready)
    local give_up = os.time() + 10
    while not ready() do
      assert(os.time() < give_up, "nothing happened")
      for _, r in ipairs(rigs) do r:turn(1) end
    end
  end
  -- Reads until the pattern matches or the connection ends; returns all bytes and how it ended (nil: still open).
  local function read(fd, pattern)
    local got, ended = "", nil
    spin(function()
      local piece, why = t.recv(fd)
      if piece then got = got .. piece else ended = why end
      return ended or (pattern and got:find(pattern))
    end)
    return got, ended
  end
  local function ask(bytes) return read(connect(bytes)) end
  local function get(path) return "GET " .. path .. " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" end
  local function ok(request) return { body = "ok:" .. request.body } end

  before_each(function() fds, rigs = {}, {} end)
  after_each(function()
    for fd in pairs(fds) do t.shut(fd) end
    for i = #rigs, 1, -1 do rigs[i]:close() end
  end)

  describe("requests", function()
    it("arrive whole, with method, path, query, headers and body as sent", function()
      open(ok)
      local answer = ask("POST /a%20b/c?x=1&y=%20 HTTP/1.1\r\nHost: x\r\nX-Thing: some value\r\nContent-Length: 5\r\n" ..
        "Connection: close\r\n\r\nhe\0lo")
      assert.matches("^HTTP/1.1 200 OK\r\n", answer)
      assert.equal("ok:he\0lo", answer:match("\r\n\r\n(.*)$"))
      local r = seen[1]
      assert.same({ "POST", "/a%20b/c?x=1&y=%20", "/a%20b/c", "x=1&y=%20", "HTTP/1.1", "he\0lo", "127.0.0.1", true, "some value" },
        { r.method, r.target, r.path, r.query, r.version, r.body, r.remote_ip, r.loopback, r.headers["X-Thing"] })
    end)

    it("in absolute form lose scheme and authority", function()
      open(ok)
      ask("GET http://shop.example:80/a?b HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
      assert.same({ "/a", "b" }, { seen[1].path, seen[1].query })
      ask("GET http://shop.example HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
      assert.same({ "/", "" }, { seen[2].path, seen[2].query })
    end)

    it("may send the body in pieces", function()
      open(ok)
      local fd = connect("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nab")
      for _, piece in ipairs { "cd", "ef" } do
        rig:turn()
        t.send(fd, piece)
      end
      assert.matches("ok:abcdef$", (read(fd, "ok:abcdef")))
    end)

    it("may be chunked, with extensions and trailers", function()
      open(ok)
      local answer = ask("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" ..
        "3;name=value\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n")
      assert.matches("ok:abcde$", answer)
    end)

    it("of a megabyte arrive unchanged", function()
      open(ok, { body_bytes = 2 * 1024 * 1024 })
      local body = ("0123456789abcdef"):rep(65536)
      local fd = connect("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " .. #body .. "\r\n\r\n")
      local sent, got, ended = 0, "", nil
      spin(function()
        if sent < #body then sent = sent + assert(t.send(fd, body:sub(sent + 1))) end
        local piece, why = t.recv(fd)
        if piece then got = got .. piece else ended = why end
        return ended
      end)
      assert.is_true(got:sub(-#body) == body)
    end)

    it("come one after the other on one connection, also pipelined", function()
      open(function(r) return { body = r.path } end)
      local fd = connect("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n")
      assert.matches("/1$", (read(fd, "/1$")))
      t.send(fd, "GET /2 HTTP/1.1\r\nHost: x\r\n\r\nPOST /3 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nxGET /4 HTTP/1.1\r\nHost: x\r\n\r\n")
      local answers = read(fd, "/4$")
      assert.matches("/2HTTP/1.1 200.*/3HTTP/1.1 200.*/4$", answers)
    end)

    it("of HTTP/1.0 close the connection", function()
      open(ok)
      local answer, ended = ask("GET / HTTP/1.0\r\n\r\n")
      assert.matches("^HTTP/1.[01] 200", answer)
      assert.equal("closed", ended)
    end)

    it("may have eleven kilobytes of head by default, and forty headers, with room for an answer's head", function()
      open(function() return { head = ("X-Answer: " .. ("y"):rep(100) .. "\n"):rep(15), body = "fits" } end)
      local headers = {}
      for i = 1, 40 do headers[i] = ("X-Header-%d: %s\r\n"):format(i, ("x"):rep(260)) end
      local head = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" .. table.concat(headers) .. "\r\n"
      assert.is_true(#head > 11000)
      assert.matches("^HTTP/1.1 200 .*fits$", (ask(head)))
      local answer = ask((head:gsub("\r\n\r\n$", "\r\nX-More: " .. ("x"):rep(1500) .. "\r\n\r\n")))
      assert.matches("^HTTP/1.1 431 .*head_too_large", answer)
    end)

    it("that expect 100-continue are told to continue", function()
      open(ok)
      local fd = connect("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
      assert.matches("^HTTP/1.1 100 Continue\r\n\r\n$", (read(fd, "\r\n\r\n")))
      t.send(fd, "hi")
      assert.matches("ok:hi$", (read(fd, "ok:hi")))
    end)

    it("that expect 100-continue without a body are answered, and are the last", function()
      open(ok)
      for _, length in ipairs { "", "Content-Length: 0\r\n" } do
        for _, method in ipairs { "POST", "PUT", "GET" } do
          local answer, ended = ask(method .. " / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" .. length ..
            "\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n")
          assert.matches("^HTTP/1.1 200 .*Connection: close\r\n.*ok:$", answer)
          assert.equal("closed", ended)
        end
      end
      for _, request in ipairs(seen) do assert.equal("/", request.path) end
    end)

    it("that expect 100-continue for too much are refused instead", function()
      open(ok, { body_bytes = 10 })
      local answer, ended = ask("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n")
      assert.matches("^HTTP/1.1 413 ", answer)
      assert.equal("closed", ended)
    end)
  end)

  describe("ids", function()
    it("are taken from the caller when they are well-formed", function()
      open(ok)
      ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: my_id.1:2-3\r\n" ..
        "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n")
      assert.same({ "my_id.1:2-3", "4bf92f3577b34da6a3ce929d0e0e4736" }, { seen[1].request_id, seen[1].trace_id })
    end)

    for name, headers in pairs {
      ["are made when none were sent"] = "",
      ["are made when those sent are malformed"] = "X-Request-Id: a b\r\nTraceparent: 00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01\r\n",
      ["are made when those sent are empty or zero"] = "X-Request-Id:\r\nTraceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01\r\n",
      ["are made when those sent are too long"] = "X-Request-Id: " .. ("x"):rep(129) .. "\r\nTraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x\r\n",
    } do
      it(name, function()
        open(ok)
        ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" .. headers .. "\r\n")
        assert.matches("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-7%x%x%x%-%x%x%x%x%-%x+$", seen[1].request_id)
        assert.matches("^" .. ("[0-9a-f]"):rep(32) .. "$", seen[1].trace_id)
        assert.not_equal("4bf92f3577b34da6a3ce929d0e0e4736", seen[1].trace_id)
      end)
    end
  end)

  describe("answers", function()
    it("carry the handler's status, headers and body, and a date", function()
      open(function() return { status = 404, head = "X-One: 1\nContent-Type: text/plain\n", body = "nope" } end)
      local answer = ask(get "/")
      assert.matches("^HTTP/1.1 404 Not Found\r\n", answer)
      assert.matches("\r\nX%-One: 1\r\n", answer)
      assert.matches("\r\nContent%-Length: 4\r\n", answer)
      assert.matches("\r\nDate: %a+, %d+ %a+ %d+ ", answer)
    end)

    it("to HEAD have the length but no body", function()
      open(function() return { body = "12345" } end)
      local answer = ask("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
      assert.matches("\r\nContent%-Length: 5\r\n", answer)
      assert.equal("", answer:match("\r\n\r\n(.*)$"))
    end)

    it("of 204 have no body", function()
      open(function() return { status = 204 } end)
      assert.matches("^HTTP/1.1 204 No Content\r\n.*\r\n\r\n$", (ask(get "/")))
    end)

    it("may be a part of a file", function()
      local path = os.tmpname()
      local f = assert(io.open(path, "wb"))
      f:write("0123456789")
      f:close()
      open(function(r)
        return r.path == "/part" and { status = 206, file = path, offset = 3, length = 4 } or { file = path, offset = 10, length = 0 }
      end)
      assert.equal("3456", (ask(get "/part")):match("\r\n\r\n(.*)$"))
      assert.matches("Content%-Length: 0\r\n", (ask(get "/empty")))
      os.remove(path)
    end)

    it("close the connection when the handler wants it", function()
      open(function() return { close = true, body = "x" } end)
      local answer, ended = ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      assert.matches("\r\nConnection: close\r\n", answer)
      assert.equal("closed", ended)
    end)

    it("may come later, in any order over connections", function()
      open()
      local a, b = connect("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"), connect("GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
      spin(function() return #seen == 2 end)
      for _, r in ipairs(seen) do rig:answer(r.id, { body = "late " .. r.path }) end
      assert.matches("late /b$", (read(b, "late")))
      assert.matches("late /a$", (read(a, "late")))
      t.send(a, "GET /c HTTP/1.1\r\nHost: x\r\n\r\n")
      spin(function() return #seen == 3 end)
      rig:answer(seen[3].id, { body = "late /c" })
      assert.matches("late /c$", (read(a, "late")))
    end)

    it("of impossible status become 500", function()
      open(function() return { status = 99 } end)
      assert.matches("^HTTP/1.1 500 .*status of the answer", (ask(get "/")))
    end)

    it("with a head too large become 500", function()
      open(function() return { head = ("X-Long: " .. ("x"):rep(1000) .. "\n"):rep(30) } end)
      assert.matches("^HTTP/1.1 500 .*head of the answer is too large", (ask(get "/")))
    end)

    it("of many megabytes reach a slow reader whole", function()
      local body = ("x"):rep(8 * 1024 * 1024)
      open(function() return { body = body } end)
      local answer = ask(get "/")
      assert.equal(#body, #answer:match("\r\n\r\n(.*)$"))
    end)
  end)

  describe("refuses, closes, and never asks the handler:", function()
    local long = ("X-Filler: " .. ("x"):rep(200) .. "\r\n"):rep(8)
    local cases = {
      { "a repeated Content-Length", 400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx" },
      { "different Content-Lengths", 400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx" },
      { "Content-Length with chunked", 400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
      { "chunked with Content-Length", 400, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n" },
      { "repeated Transfer-Encoding", 400, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
      { "a coding that is not known", 501, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" },
      { "chunked in HTTP/1.0", 400, "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
      { "a space before the colon", 400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 1\r\n\r\nx" },
      { "a header name that is no token", 400, "GET / HTTP/1.1\r\nHost: x\r\nX(y): 1\r\n\r\n" },
      { "a control character in a value", 400, "GET / HTTP/1.1\r\nHost: x\r\nX-Y: a\1b\r\n\r\n" },
      { "no Host", 400, "GET / HTTP/1.1\r\nX: y\r\n\r\n" },
      { "two Hosts", 400, "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n" },
      { "a target that is no path", 400, "GET foo HTTP/1.1\r\nHost: x\r\n\r\n" },
      { "a body announced too large", 413, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n" },
      { "an absurd Content-Length", 413, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775808\r\n\r\n" },
      { "a chunked body that grows too large", 413, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" .. ("x"):rep(101) .. "\r\n0\r\n\r\n" },
      { "a head too large", 431, "GET / HTTP/1.1\r\nHost: x\r\n" .. long .. "\r\n" },
    }
    for _, case in ipairs(cases) do
      it(case[1], function()
        open(ok, { body_bytes = 100, head_bytes = 1024 })
        local answer, ended = ask(case[3])
        assert.matches("^HTTP/1.1 " .. case[2] .. " ", answer)
        assert.equal("closed", ended)
        assert.same({}, seen)
        assert.matches("\r\nX%-Request%-Id: [%w-]+\r\n", answer)
        assert.matches('{"error":{"code":"[%w_]+","message":"[^"]+"}}$', answer)
        assert.equal(1, select(2, answer:gsub("HTTP/1.1 ", "")))
        assert.equal(case[2] < 500 and 1 or 0, rig.errors_4xx)
      end)
    end

    -- libmicrohttpd's parser answers these itself.
    for name, case in pairs {
      ["a head beyond all memory"] = { 431, "GET / HTTP/1.1\r\nHost: x\r\n" .. ("X-Filler: " .. ("x"):rep(200) .. "\r\n"):rep(40) .. "\r\n" },
      ["a line that is no header"] = { 400, "GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n" },
      ["a Content-Length that is no number"] = { 400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n" },
      ["a Content-Length list"] = { 400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\nx" },
      ["a bad chunk"] = { 400, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n" },
    } do
      it(name, function()
        open(ok, { body_bytes = 100, head_bytes = 1024 })
        local answer, ended = ask(case[2])
        assert.matches("^HTTP/1.1 " .. case[1] .. " ", answer)
        assert.is_truthy(ended)
        assert.same({}, seen)
      end)
    end

    it("the answer survives a client that goes on sending", function()
      open(ok, { body_bytes = 100 })
      local fd = connect("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n")
      local sent, got, ended = 0, "", nil
      spin(function()
        if sent < 300000 then sent = sent + assert(t.send(fd, ("x"):rep(300000 - sent))) end
        local piece, why = t.recv(fd)
        if piece then got = got .. piece else ended = why end
        return ended
      end)
      assert.matches("^HTTP/1.1 413 ", got)
      assert.equal("closed", ended)
    end)
  end)

  describe("deadlines", function()
    local short = { head_ms = 40, body_ms = 40, idle_ms = 80 }

    it("end a head that trickles in, with 408", function()
      open(ok, short)
      local fd = connect("GET / HTTP/1.1\r\nX: ")
      local got, ended, sent = "", nil, 0
      spin(function()
        sent = sent + 1
        if sent < 200 then t.send(fd, "x") end
        local piece, why = t.recv(fd)
        if piece then got = got .. piece else ended = why end
        return ended
      end)
      assert.matches("^HTTP/1.1 408 ", got)
      assert.matches('"code":"timeout"', got)
      assert.same({}, seen)
    end)

    it("end a head that stalls behind an earlier request", function()
      open(ok, short)
      local fd = connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      read(fd, "ok:")
      t.send(fd, "GET / HT")
      local got, ended = read(fd)
      assert.matches("^HTTP/1.1 408 ", got)
      assert.equal("closed", ended)
    end)

    it("end a body that stalls, with 408", function()
      open(ok, short)
      local got, ended = ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-Request-Id: mine\r\n\r\nab")
      assert.matches("^HTTP/1.1 408 ", got)
      assert.matches("\r\nX%-Request%-Id: mine\r\n", got)
      assert.equal("closed", ended)
      assert.same({}, seen)
    end)

    it("close silent connections without a word, fresh or kept alive", function()
      open(ok, short)
      local fresh, kept = connect(), connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      read(kept, "ok:")
      assert.same({ "", "closed" }, { read(fresh) })
      assert.same({ "", "closed" }, { read(kept) })
    end)

    it("do not touch a request that is being handled", function()
      open(nil, { head_ms = 10, body_ms = 10, idle_ms = 10 })
      local fd = connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      spin(function() return #seen == 1 end)
      local silent = connect()
      assert.same({ "", "closed" }, { read(silent) })
      rig:answer(seen[1].id, { body = "late" })
      assert.matches("late$", (read(fd, "late")))
    end)

    it("end an answer that nobody takes", function()
      open(function() return { body = ("x"):rep(32 * 1024 * 1024) } end, short)
      local fd = connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      spin(function() return #seen == 1 end)
      rig:stop()
      spin(function() return rig.done end)
      shut(fd)
    end)
  end)

  describe("answers in parts", function()
    local function chunk(s) return ("%x\r\n%s\r\n"):format(#s, s) end
    local function body(answer) return answer:match("\r\n\r\n(.*)$") end
    -- The n-th request, which waits for its answer.
    local function asked(n)
      spin(function() return #seen == n end)
      return seen[n].id
    end
    -- Opens a server and asks it for an answer that begins.
    local function begun(request, limits, head)
      open(nil, limits)
      local fd = connect(request or "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      local id = asked(1)
      rig:begin(id, head or {})
      return fd, id
    end

    it("reach the client before the handler ends", function()
      local fd, id = begun(nil, nil, { status = 201, name = "X-Thing", value = "some" })
      rig:write(id, "first")
      local answer = read(fd, "first\r\n")
      assert.matches("^HTTP/1.1 201 Created\r\n", answer)
      assert.matches("\r\nX%-Thing: some\r\n", answer)
      assert.matches("\r\nTransfer%-Encoding: chunked\r\n", answer)
      rig:write(id, "second")
      assert.equal(chunk "second", (read(fd, "second\r\n")))
      rig:finish(id)
      assert.equal("0\r\n\r\n", (read(fd, "0\r\n\r\n")))
    end)

    it("send the head alone when nothing else is there", function()
      local fd = begun()
      assert.matches("\r\n\r\n$", (read(fd, "\r\n\r\n")))
    end)

    it("may begin, be written and end while the request is being given to the handler", function()
      open(function(_, id)
        rig:begin(id, {})
        rig:write(id, "all")
        rig:write(id, " of it")
        rig:finish(id)
      end)
      local fd = connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      assert.equal(chunk "all of it" .. "0\r\n\r\n", body(read(fd, "\r\n0\r\n\r\n")))
      t.send(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      read(fd, "\r\n0\r\n\r\n")
      assert.equal(2, rig.requests)
    end)

    it("may begin inside and go on later", function()
      open(function(_, id)
        rig:begin(id, {})
        rig:write(id, "now")
      end)
      local fd = connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      read(fd, "now\r\n")
      rig:write(seen[1].id, "then")
      read(fd, "then\r\n")
      rig:finish(seen[1].id)
      read(fd, "0\r\n\r\n")
    end)

    it("leave the connection to the next request", function()
      local fd, id = begun()
      rig:write(id, "x")
      rig:finish(id)
      read(fd, "0\r\n\r\n")
      t.send(fd, "GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
      rig:answer(asked(2), { body = "whole" })
      assert.matches("Content%-Length: 5\r\n.*whole$", (read(fd, "whole")))
    end)

    it("are followed by the answer to a request that was sent meanwhile", function()
      local fd, id = begun()
      read(fd, "\r\n\r\n")
      t.send(fd, "GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
      rig:write(id, "x")
      rig:turn()
      assert.equal(1, #seen)
      rig:finish(id)
      rig:answer(asked(2), { body = "whole" })
      read(fd, "whole")
    end)

    it("end with the connection for HTTP/1.0, and for a client that closes they are chunked all the same", function()
      local fd, id = begun("GET / HTTP/1.0\r\nHost: x\r\n\r\n")
      rig:write(id, "old")
      rig:finish(id)
      local answer, ended = read(fd)
      assert.same({ "old", "closed" }, { body(answer), ended })
      assert.not_matches("Transfer%-Encoding", answer)
      fd, id = begun("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
      rig:write(id, "new")
      rig:finish(id)
      answer, ended = read(fd)
      assert.same({ chunk "new" .. "0\r\n\r\n", "closed" }, { body(answer), ended })
    end)

    it("to HEAD are a head", function()
      local fd, id = begun("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", nil, { status = 203 })
      assert.equal(0, rig:write(id, "dropped"))
      rig:finish(id)
      local answer = read(fd, "\r\n\r\n")
      assert.matches("^HTTP/1.1 203 ", answer)
      assert.not_matches("Content%-Length", answer)
      t.send(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      rig:answer(asked(2), { body = "whole" })
      assert.matches("^HTTP/1.1 200 .*whole$", (read(fd, "whole")))
    end)

    it("that are cut lack their last chunk, and the connection closes", function()
      local fd, id = begun()
      rig:write(id, "some")
      rig:finish(id, true)
      local answer, ended = read(fd)
      assert.same({ chunk "some", "closed" }, { body(answer), ended })
    end)

    it("that are cut without chunks end in a reset", function()
      local fd, id = begun("GET / HTTP/1.0\r\nHost: x\r\n\r\n")
      rig:write(id, "some")
      read(fd, "some")
      rig:finish(id, true)
      assert.same({ "", "Connection reset by peer" }, { read(fd) })
    end)

    it("whose head cannot be sent become an error that says so", function()
      local fd, id = begun(nil, nil, { name = "X-Large", value = ("x"):rep(30000) })
      assert.equal(0, rig:write(id, "dropped"))
      rig:finish(id)
      local answer = read(fd, "}}")
      assert.matches("^HTTP/1.1 500 ", answer)
      assert.matches("the head of the answer is too large", answer)
    end)

    it("hold who writes while the client reads nothing", function()
      local fd, id = begun()
      local part, total, waits = ("x"):rep(65536), 0, 0
      spin(function()
        waits = rig:write(id, part)
        total = total + #part
        return waits >= 262144
      end)
      assert.is_true(waits < 262144 + 65536)
      local drained = rig:drained(id)
      for _ = 1, 20 do rig:turn(1) end
      assert.equal(drained, rig:drained(id))
      local got = 0
      spin(function()
        got = got + #(t.recv(fd) or "")
        return rig:drained(id) > drained
      end)
      rig:finish(id)
      local rest = ""
      spin(function()
        local piece = t.recv(fd)
        got = got + #piece
        rest = (rest .. piece):sub(-5)
        return rest == "0\r\n\r\n"
      end)
      assert.is_true(got > total)
    end)

    it("arrive unchanged, however large", function()
      local fd, id = begun()
      local parts, sent, got, drains = {}, 0, {}, nil
      for i = 1, 64 do parts[i] = string.char(32 + i):rep(i * 1000 + 1) end
      spin(function()
        while sent < #parts and drains ~= rig:drained(id) do
          sent = sent + 1
          drains = rig:write(id, parts[sent]) >= 262144 and rig:drained(id) or nil
        end
        got[#got + 1] = t.recv(fd)
        return sent == #parts
      end)
      rig:finish(id)
      got[#got + 1] = read(fd, "\r\n0\r\n\r\n$")
      local text, at, plain = body(table.concat(got)), 1, {}
      while true do
        local size, from = text:match("^(%x+)\r\n()", at)
        size = tonumber(size, 16)
        if size == 0 then break end
        plain[#plain + 1] = text:sub(from, from + size - 1)
        at = from + size + 2
      end
      assert.is_true(table.concat(parts) == table.concat(plain))
    end)

    it("end when the client goes while the handler waits", function()
      local fd = begun()
      read(fd, "\r\n\r\n")
      shut(fd)
      spin(function() return rig.cancelled == 1 end)
      rig:stop()
      spin(function() return rig.done end)
    end)

    it("end when the client goes while much waits for it", function()
      local fd, id = begun()
      spin(function() return rig:write(id, ("x"):rep(65536)) >= 262144 end)
      shut(fd)
      spin(function() return rig.cancelled == 1 end)
      rig:stop()
      spin(function() return rig.done end)
    end)

    it("end when the client takes nothing for too long", function()
      local fd, id = begun(nil, { body_ms = 40 })
      rig:write(id, ("x"):rep(16 * 1024 * 1024))
      spin(function() return rig.cancelled == 1 end)
      shut(fd)
    end)

    it("may be silent for longer than that", function()
      local fd, id = begun(nil, { body_ms = 20, head_ms = 20, idle_ms = 20 })
      read(fd, "\r\n\r\n")
      local looks = 0
      spin(function()
        looks = looks + 1
        return looks > 60
      end)
      rig:write(id, "late")
      rig:finish(id)
      assert.matches("late", (read(fd, "0\r\n\r\n")))
      assert.equal(0, rig.cancelled)
    end)

    it("are ended by a stop that waits for them", function()
      local fd, id = begun()
      rig:write(id, "some")
      read(fd, "some\r\n")
      rig:stop()
      rig:turn()
      assert.is_false(rig.done)
      rig:write(id, "more")
      rig:finish(id)
      local answer, ended = read(fd)
      assert.same({ chunk "more" .. "0\r\n\r\n", "closed" }, { answer, ended })
      spin(function() return rig.done end)
    end)

    it("are cut by close: their handlers are cancelled", function()
      local fd, id = begun()
      rig:write(id, "some")
      read(fd, "some\r\n")
      local full = connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      rig:begin(asked(2), {})
      spin(function() return rig:write(seen[2].id, ("x"):rep(65536)) >= 262144 end)
      local held = connect("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
      rig:begin(asked(3), {})
      local fresh = connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      rig:begin(asked(4), {})
      rig:close()
      assert.equal(4, rig.cancelled)
      assert.same({ nil, "closed" }, { t.recv(fd) })
      for _, other in ipairs { full, held, fresh } do
        local last = ""
        repeat
          local piece = t.recv(other)
          last = (last .. (piece or "")):sub(-5)
        until not piece
        assert.not_equal("0\r\n\r\n", last)
      end
    end)

    it("are not offered by a server whose handler cannot cancel", function()
      open(nil, { no_cancel = true })
      local fd = connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      assert.is_false(rig:streams(asked(1)))
      rig:answer(seen[1].id, {})
      read(fd, "\r\n\r\n")
    end)
  end)

  describe("clients that go away", function()
    it("cancel what runs for them", function()
      open()
      local fd = connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      spin(function() return #seen == 1 end)
      shut(fd)
      spin(function() return rig.cancelled == 1 end)
      rig:stop()
      spin(function() return rig.done end)
    end)

    it("are answered into the void when the handler cannot cancel", function()
      open(nil, { no_cancel = true })
      local fd = connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      spin(function() return #seen == 1 end)
      shut(fd)
      rig:stop()
      rig:answer(seen[1].id, { body = "x" })
      spin(function() return rig.done end)
    end)

    it("in the middle of a body leave nothing behind", function()
      open(ok)
      local fd = connect("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
      rig:turn()
      shut(fd)
      rig:stop()
      spin(function() return rig.done end)
      assert.same({}, seen)
    end)
  end)

  describe("stop", function()
    it("closes idle connections, lets running requests end with close, then is done", function()
      open()
      local idle = connect("GET /idle HTTP/1.1\r\nHost: x\r\n\r\n")
      spin(function() return #seen == 1 end)
      rig:answer(seen[1].id, { body = "first" })
      read(idle, "first")
      local busy = connect("GET /busy HTTP/1.1\r\nHost: x\r\n\r\n")
      spin(function() return #seen == 2 end)
      rig:stop()
      assert.same({ "", "closed" }, { read(idle) })
      assert.is_false(rig.done)
      rig:answer(seen[2].id, { body = "last" })
      local answer, ended = read(busy)
      assert.matches("\r\nConnection: close\r\n.*last$", answer)
      assert.equal("closed", ended)
      spin(function() return rig.done end)
    end)

    it("still reads a request that has begun", function()
      open(ok)
      local fd = connect("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
      spin(function() rig:turn() return true end)
      rig:turn()
      rig:stop()
      t.send(fd, "cd")
      assert.matches("ok:abcd$", (read(fd)))
      spin(function() return rig.done end)
    end)

    it("without connections is done at once", function()
      open(ok)
      rig:stop()
      spin(function() return rig.done end)
    end)
  end)

  it("close cancels what runs, and says so to its clients", function()
    open()
    local fd = connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    spin(function() return #seen == 1 end)
    rig:close()
    assert.equal(1, rig.cancelled)
    local answer = t.recv(fd)
    assert.matches("^HTTP/1.1 503 .*Retry%-After: 1\r\n.*the server is stopping", answer)
    assert.same({ nil, "closed" }, { t.recv(fd) })
  end)

  it("close waits for what runs when the handler cannot cancel", function()
    open(nil, { no_cancel = true })
    connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    spin(function() return #seen == 1 end)
    rig:answer_soon()
    rig:close()
  end)

  it("takes no more connections than its limit, and the next when one leaves", function()
    open(ok, { connections = 2 })
    local a = connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    local b = connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    read(a, "ok:")
    read(b, "ok:")
    local c = connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ = 1, 5 do rig:turn(1) end
    assert.equal(2, #seen)
    shut(a)
    assert.matches("ok:$", (read(c, "ok:")))
  end)

  it("shares a port with another server, each taking some of the work", function()
    local first, served = open(ok), seen
    open(ok, nil, first)
    for _ = 1, 20 do assert.matches("^HTTP/1.1 200", (ask(get "/"))) end
    assert.equal(20, #served + #seen)
    first:stop()
    spin(function() return first.done end)
    assert.matches("^HTTP/1.1 200", (ask(get "/")))
    assert.equal(21, #served + #seen)
  end)

  it("leaves the others on its port their part of a burst of connections", function()
    local first, clients = open(ok), {}
    open(ok, nil, first)
    for i = 1, 14 do clients[i] = connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n") end
    spin(function() return first.requests + rig.requests == 14 end)
    assert.is_true(first.requests >= 5 and rig.requests >= 5, first.requests .. " and " .. rig.requests)
    for _, fd in ipairs(clients) do shut(fd) end
  end)

  it("counts what it answers", function()
    open(ok)
    ask(get "/")
    ask("GET foo HTTP/1.1\r\nHost: x\r\n\r\n")
    assert.same({ 2, 1 }, { rig.requests, rig.errors_4xx })
  end)

  describe("listening", function()
    before_each(function() open(ok) end)
    it("on a port in use names port and host", function()
      local _, err = t.listen("127.0.0.1", rig.port)
      assert.equal("port " .. rig.port .. " is in use on 127.0.0.1", err)
    end)
    it("on an unknown host names it", function()
      local _, err = t.listen("no.such.host.invalid", 0)
      assert.matches("no.such.host.invalid", err, 1, true)
    end)
    it("outside the range of ports is refused", function()
      local _, err = t.listen("127.0.0.1", 70000)
      assert.matches("70000 is not between", err)
    end)
  end)
end)
