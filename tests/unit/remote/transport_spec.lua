-- HTTP exchanges against a server that follows a script: what goes over the wire, what comes back, what goes wrong.
local server = require "t.server"
local t = require "t.transport"
local net = require "unit.remote.net"(_ENV)
local serve, open, fetch, same_port = net.serve, net.open, net.fetch, net.same_port
local header, reader, OK = net.header, net.reader, net.OK

describe("a request", function()
  it("goes out exactly as given, with nothing of curl's own", function()
    local url = serve { { "read" }, { "send", OK } }
    local a = fetch {
      method = "POST", url = url "/a//b/../c/./d%2fe?x=%41&y", body = "{}",
      headers = { { "Host", "dynamodb.eu-west-1.amazonaws.com" }, { "X-Amz-Date", "20261122T045546Z" }, { "X-Empty", "" } },
    }
    assert.equal("OK", a.failure)
    assert.same({ { 1, "POST /a//b/../c/./d%2fe?x=%41&y HTTP/1.1\r\nHost: dynamodb.eu-west-1.amazonaws.com\r\n" ..
      "X-Amz-Date: 20261122T045546Z\r\nX-Empty:\r\nContent-Length: 2\r\n\r\n{}" } }, net.peer:received())
    assert.is_true(a.sent)
  end)

  it("names its host itself when not told", function()
    local url = serve { { "read" }, { "send", OK } }
    fetch { url = url "/x" }
    assert.equal(("GET /x HTTP/1.1\r\nHost: %s\r\n\r\n"):format(same_port()), net.peer:received()[1][2])
  end)

  for _, method in ipairs { "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS" } do
    local always = method == "POST" or method == "PUT" or method == "PATCH"
    it("is sent without a body: " .. method, function()
      local url = serve { { "read" }, { "send", OK } }
      assert.equal("hi", fetch({ method = method, url = url() }).body)
      assert.equal(("%s / HTTP/1.1\r\nHost: %s\r\n%s\r\n"):format(method, same_port(), always and "Content-Length: 0\r\n" or ""),
        net.peer:received()[1][2])
    end)

    it("is sent with a body: " .. method, function()
      local url = serve { { "read" }, { "send", OK } }
      fetch { method = method, url = url(), body = "abc", headers = { { "Content-Type", "text/plain" }, { "Accept", "*/*" } } }
      assert.equal(("%s / HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain\r\nAccept: */*\r\nContent-Length: 3\r\n\r\nabc")
        :format(method, same_port()), net.peer:received()[1][2])
    end)

    it("is sent with a streamed body: " .. method, function()
      local url = serve { { "read" }, { "send", OK } }
      fetch { method = method, url = url(), read = reader("abcdef", 4), body_len = 6 }
      assert.equal(("%s / HTTP/1.1\r\nHost: %s\r\nContent-Length: 6\r\n\r\nabcdef"):format(method, same_port()), net.peer:received()[1][2])
    end)
  end

  it("asks for heads alone", function()
    local url = serve { { "read" }, { "send", "HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" }, { "read" }, { "send", OK } }
    local head, get = fetch({ method = "HEAD", url = url(), max_body = 10 }, { url = url() })
    assert.same({ "OK", 200, "" }, { head.failure, head.status, head.body })
    assert.equal("9000000", header(head, "content-length"))
    assert.equal("hi", get.body)
    assert.equal(("HEAD / HTTP/1.1\r\nHost: %s\r\n\r\n"):format(same_port()), net.peer:received()[1][2])
  end)

  it("of any shape may follow any other over one connection", function()
    local shapes, script = {}, {}
    for round = 1, 2 do
      for _, s in ipairs { "GET", "HEAD", "POST body", "DELETE", "PUT read", "GET", "PUT", "HEAD", "PUT read", "POST", "HEAD",
        "PATCH body", "POST read", "OPTIONS", "POST body", "GET body", "GET" } do
        shapes[#shapes + 1] = round == 1 and s or shapes[#shapes * 7 % 17 + 1]
      end
    end
    for i, s in ipairs(shapes) do
      script[2 * i - 1] = { "read" }
      script[2 * i] = { "send", s == "HEAD" and "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" or OK }
    end
    local url = serve(script)
    for i, s in ipairs(shapes) do
      local method, with = s:match "(%w+) ?(%w*)"
      local a = fetch { method = method, url = url("/" .. i), body = with == "body" and "body" or nil,
        read = with == "read" and reader "streamed" or nil, body_len = 8 }
      assert.equal("OK", a.failure, a.why)
      local got = net.peer:received()[i][2]
      assert.equal(method .. " /" .. i .. " HTTP/1.1", got:match "^[^\r]*")
      assert.equal(with == "body" and "body" or with == "read" and "streamed" or "", got:match "\r\n\r\n(.*)$")
    end
    assert.equal(1, net.peer:accepted())
  end)

  it("is chunked when its length is unknown", function()
    local url = serve { { "read" }, { "send", OK } }
    fetch { method = "PUT", url = url(), read = reader("hello", 5) }
    assert.equal(("PUT / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"):format(same_port()),
      net.peer:received()[1][2])
  end)

  it("has a large body without asking first", function()
    local url = serve { { "read" }, { "send", OK } }
    local body = ("0123456789abcdef"):rep(3 * 65536)
    local a = fetch { method = "PUT", url = url(), body = body }
    assert.equal("OK", a.failure, a.why)
    local got = net.peer:received()[1][2]
    assert.is_nil(got:find("Expect", 1, true))
    assert.is_true(got:sub(-#body) == body)
  end)

  describe("is refused before it is sent", function()
    for what, request in pairs {
      ["the method 'BREW' is not supported"] = { method = "BREW" },
      ["the method 'GET X' is not supported"] = { method = "GET X" },
      ["a HEAD request has no body"] = { method = "HEAD", body = "x" },
      ["is not http or https"] = { url = "ftp://127.0.0.1/" },
      ["no scheme"] = { url = "127.0.0.1/" },
      ["percent-encoded"] = { url = "http://127.0.0.1/a b" },
      ["user information"] = { url = "http://a:b@127.0.0.1/" },
      ["no host"] = { url = "http:///" },
      ["malformed port"] = { url = "http://127.0.0.1:99999/" },
      ["the header 'A B' is no header name"] = { headers = { { "A B", "x" } } },
      ["the header '' is no header name"] = { headers = { { "", "x" } } },
      ["the header 'A' holds a line break"] = { headers = { { "A", "x\r\nB: y" } } },
      ["the header 'Aa' holds a line break or a NUL"] = { headers = { { "Aa", "x\0y" } } },
      ["the header 'Content-Length' contradicts"] = { headers = { { "Content-Length", "3" } } },
      ["the header 'Transfer-Encoding' is made by"] = { headers = { { "Transfer-Encoding", "chunked" } } },
      ["the header 'Expect' is not supported"] = { headers = { { "Expect", "100-continue" } } },
      ["the URL is longer than 65536 bytes"] = { url = "http://127.0.0.1/" .. ("x"):rep(65536) },
    } do
      it(what, function()
        local url = serve { { "read" }, { "send", OK } }
        request.url = request.url or url()
        local a = fetch(request)
        assert.same({ "BAD_URL", false }, { a.failure, a.sent })
        assert.is_truthy(a.why:find(what, 1, true), a.why)
        assert.equal(0, net.peer:accepted())
      end)
    end

    it("too many headers", function()
      local headers = {}
      for i = 1, 257 do headers[i] = { "X" .. i, "1" } end
      local a = fetch { url = "http://127.0.0.1:1/", headers = headers }
      assert.equal("BAD_URL", a.failure)
      assert.is_truthy(a.why:find("more than 256 headers", 1, true))
    end)
  end)

  it("may name the length it has", function()
    local url = serve { { "read" }, { "send", OK } }
    fetch { method = "POST", url = url(), body = "abc", headers = { { "Content-Length", "3" } } }
    local _, n = net.peer:received()[1][2]:gsub("Content%-Length: 3\r\n", "")
    assert.equal(1, n)
  end)
end)

describe("an answer", function()
  local function answer(bytes, request, how)
    local url = serve { { "read" }, { how or "send", bytes }, { "close" } }
    request = request or {}
    request.url = url()
    return fetch(request)
  end

  it("has status, headers as received, body, and the times", function()
    local a = answer "HTTP/1.1 404 Not Found\r\nDate: Sun, 22 Nov 2026 04:55:46 GMT\r\nX-A:  one \r\nx-a: two\r\nEmpty:\r\nContent-Length: 4\r\n\r\nnone"
    assert.same({ "OK", 404, "none" }, { a.failure, a.status, a.body })
    assert.same({ { "Date", "Sun, 22 Nov 2026 04:55:46 GMT" }, { "X-A", "one" }, { "x-a", "two" }, { "Empty", "" },
      { "Content-Length", "4" } }, a.headers)
    assert.equal(1795323346000, a.date_ms)
    assert.is_true(math.abs(a.received_ms // 1000 - os.time()) < 60)
  end)

  it("has no date when there is none, or a bad one", function()
    assert.equal(-1, answer(OK).date_ms)
    net.client:close() net.client = nil
    assert.equal(-1, answer("HTTP/1.1 200 OK\r\nDate: yesterday\r\nContent-Length: 0\r\n\r\n").date_ms)
  end)

  it("may come byte by byte", function()
    local a = answer("HTTP/1.1 200 OK\r\nX-Long: " .. ("y"):rep(300) .. "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", {}, "bytes")
    assert.same({ "OK", "hello" }, { a.failure, a.body })
    assert.equal(("y"):rep(300), header(a, "x-long"))
  end)

  it("follows any number of interim ones", function()
    local a = answer "HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    assert.same({ "OK", 200, "hi", { { "Content-Length", "2" } } }, { a.failure, a.status, a.body, a.headers })
  end)

  it("may end with its connection", function()
    assert.equal("all of it", answer("HTTP/1.0 200 OK\r\n\r\nall of it").body)
  end)

  it("is not decoded", function()
    local a = answer "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
    assert.equal("\x1f\x8b\x08\x00", a.body)
  end)

  it("is not followed elsewhere", function()
    local a = answer "HTTP/1.1 301 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    assert.same({ "OK", 301, "/elsewhere" }, { a.failure, a.status, header(a, "location") })
    assert.equal(1, #net.peer:received())
  end)

  it("has continued header lines joined", function()
    assert.equal("a b", header(answer "HTTP/1.1 200 OK\r\nX-F: a\r\n  b\r\nContent-Length: 0\r\n\r\n", "x-f"))
  end)

  it("does not get headers from its trailers", function()
    local a = answer "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Late: 1\r\nHTTP/1.1 500 No: 1\r\n\r\n"
    assert.same({ 200, "hi" }, { a.status, a.body })
    assert.is_nil(header(a, "x-late"))
  end)

  it("without a body is empty", function()
    local a = answer "HTTP/1.1 204 No Content\r\n\r\n"
    assert.same({ "OK", 204, "" }, { a.failure, a.status, a.body })
  end)

  it("may have a body of exactly the limit, not more", function()
    assert.equal("hi", answer(OK, { max_body = 2 }).body)
    net.client:close() net.client = nil
    local a = answer(OK, { max_body = 1 })
    assert.equal("TOO_LARGE", a.failure)
    assert.equal(same_port() .. " answered with more than 1 bytes", a.why)
  end)

  it("may have 256 headers, not more", function()
    local function with(n)
      local lines = {}
      for i = 1, n do lines[i] = "X" .. i .. ": v\r\n" end
      return "HTTP/1.1 200 OK\r\n" .. table.concat(lines) .. "\r\n"
    end
    assert.equal(256, #answer(with(256)).headers)
    net.client:close() net.client = nil
    local a = answer(with(257))
    assert.equal("TOO_LARGE", a.failure)
    assert.is_truthy(a.why:find("more than 256 headers", 1, true))
  end)

  for _, size in ipairs { 65536, 200000, 3000000 } do
    it("may not have a header of " .. size .. " bytes", function()
      local a = answer("HTTP/1.1 200 OK\r\nX: " .. ("v"):rep(size) .. "\r\nContent-Length: 0\r\n\r\n")
      assert.equal("TOO_LARGE", a.failure, a.why)
    end)
  end

  it("may not have endless interim heads", function()
    local a = answer(("HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"):rep(3000) .. OK)
    assert.equal("TOO_LARGE", a.failure, a.why)
  end)

  it("may not have endless trailers", function()
    local a = answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n" .. ("X-Late: 1\r\n"):rep(10000) .. "\r\n")
    assert.equal("TOO_LARGE", a.failure, a.why)
  end)

  describe("that is broken is a reset:", function()
    for what, bytes in pairs {
      ["nothing at all"] = "",
      ["half a status line"] = "HTTP/1.",
      ["half a head"] = "HTTP/1.1 200 OK\r\nContent-Le",
      ["a truncated body"] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
      ["a cut chunk"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
      ["a missing last chunk"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
      ["a bad chunk length"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
      ["garbage"] = "SSH-2.0-OpenSSH_9.2\r\n" .. ("\0\1\2garbage\n"):rep(20),
      ["HTTP/0.9"] = "<html>hello</html>",
      ["only an interim head"] = "HTTP/1.1 100 Continue\r\n\r\n",
      ["a header without colon"] = "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 0\r\n\r\n",
      ["a NUL in a header"] = "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
      ["two lengths that differ"] = "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nhi",
    } do
      it(what, function()
        local a = answer(bytes)
        assert.equal("RESET", a.failure, a.why)
        assert.is_truthy(a.why:find(same_port(), 1, true), a.why)
        assert.is_true(a.sent)
      end)
    end

    it("a connection reset in the body", function()
      local url = serve { { "read" }, { "send", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf" }, { "gate" }, { "reset" } }
      open()
      local a
      net.client:start { url = url(), write = function() net.peer:go() return true end, done = function(x) a = x end }
      net.client:run()
      assert.equal("RESET", a.failure, a.why)
    end)
  end)
end)

describe("streams", function()
  local big = 24 << 20

  it("take an answer as it comes", function()
    local url = serve { { "read" }, { "send", ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(big) }, { "big", tostring(big) } }
    local n, largest = 0, 0
    local a = fetch { url = url(), max_body = 10, write = function(s)
      n, largest = n + #s, math.max(largest, #s)
      return true
    end }
    assert.same({ "OK", "", big }, { a.failure, a.body, n })
    assert.is_true(largest <= 1 << 20)
  end)

  it("collect the body of an error instead", function()
    local url = serve { { "read" }, { "send", "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno" } }
    local a = fetch { url = url(), write = function() error "not for errors" end }
    assert.same({ "OK", 403, "no" }, { a.failure, a.status, a.body })
  end)

  it("give a body as it is asked for", function()
    local url, left, block = serve { { "drain" }, { "send", OK } }, big, ("x"):rep(1 << 20)
    local a = fetch { method = "PUT", url = url(), body_len = big, read = function(room)
      local n = math.min(room, left)
      left = left - n
      return n > 0 and block:sub(1, n) or nil
    end }
    assert.equal("OK", a.failure, a.why)
    assert.is_truthy(net.peer:received()[1][2]:find(big .. " bytes, sum", 1, true))
  end)

  it("that cannot be read fail the exchange", function()
    local url = serve { { "read" }, { "send", OK } }
    local a = fetch { method = "PUT", url = url(), body_len = 10, read = function() return false end }
    assert.same({ "SOURCE", "the body for " .. same_port() .. " could not be read" }, { a.failure, a.why })
  end)

  it("that end early fail the exchange", function()
    local url = serve { { "read" }, { "send", OK } }
    local a = fetch { method = "PUT", url = url(), body_len = 10, read = reader("abc") }
    assert.same({ "SOURCE", "the body for " .. same_port() .. " ended before its 10 bytes" }, { a.failure, a.why })
  end)

  it("that cannot be written fail the exchange", function()
    local url = serve { { "read" }, { "send", OK } }
    local a = fetch { url = url(), write = function() return false end }
    assert.same({ "SINK", "the answer of " .. same_port() .. " could not be written" }, { a.failure, a.why })
  end)

  for _, length in ipairs { 0, -1 } do
    it("may be empty: announced as " .. length, function()
      local url = serve { { "read" }, { "send", OK } }
      local a = fetch { method = "PUT", url = url(), body_len = length, read = function() return nil end }
      assert.equal("OK", a.failure, a.why)
      assert.is_truthy(net.peer:received()[1][2]:find(length == 0 and "Content%-Length: 0\r\n\r\n$" or "chunked\r\n\r\n0\r\n\r\n$"))
    end)
  end

  it("are left alone once the answer is an error", function()
    local url = serve { { "send", "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno" }, { "stall" } }
    local a = fetch { method = "PUT", url = url(), body_len = 1 << 40, read = function(room) return ("x"):rep(room) end }
    assert.same({ "OK", 403, "no" }, { a.failure, a.status, a.body }, a.why)
  end)

  it("are never asked for more than was announced", function()
    local url = serve { { "read" }, { "send", OK } }
    fetch { method = "PUT", url = url(), body_len = 3, read = reader("abcdef") }
    assert.equal("abc", net.peer:received()[1][2]:match "\r\n\r\n(.*)$")
  end)
end)

describe("connecting fails with the reason", function()
  it("refused", function()
    local port = server.closed_port()
    local a = fetch { url = ("http://127.0.0.1:%d/"):format(port) }
    assert.same({ "CONNECT", ("cannot connect to 127.0.0.1:%d: Connection refused"):format(port), false },
      { a.failure, a.why, a.sent })
  end)

  it("no such name", function()
    local a = fetch { url = "http://nowhere.invalid/" }
    assert.same({ "DNS", "cannot resolve the name of nowhere.invalid:80", false }, { a.failure, a.why, a.sent })
  end)

  it("no such proxy", function()
    open { proxy = "http://nowhere.invalid:3128" }
    local a = fetch { url = "http://127.0.0.1:1/" }
    assert.equal("DNS", a.failure)
    assert.is_truthy(a.why:find("proxy to 127.0.0.1:1", 1, true), a.why)
  end)

  it("no answer in time: TLS that hangs", function()
    local url = serve { { "stall" } }
    open { connect_ms = 50 }
    local a = fetch { url = url():gsub("^http", "https") }
    assert.same({ "CONNECT", "cannot connect to " .. same_port() .. ": timed out after 50 ms", false }, { a.failure, a.why, a.sent })
  end)

  it("no TLS there", function()
    local url = serve { { "send", "this is not TLS at all, really not\r\n" }, { "close" } }
    local a = fetch { url = url():gsub("^http", "https") }
    assert.equal("TLS", a.failure, a.why)
    assert.is_truthy(a.why:find("no TLS connection to " .. same_port(), 1, true), a.why)
  end)
end)

describe("time limits:", function()
  it("the whole exchange", function()
    local url = serve { { "read" }, { "send", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf" }, { "stall" } }
    local a = fetch { url = url(), total_ms = 60 }
    assert.same({ "TIMEOUT", "no whole answer from " .. same_port() .. " within 60 ms", true }, { a.failure, a.why, a.sent })
  end)

  it("nothing moves", function()
    local url = serve { { "read" }, { "send", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf" }, { "stall" } }
    local a = fetch { url = url(), idle_ms = 60 }
    assert.same({ "TIMEOUT", "nothing came from " .. same_port() .. " for 60 ms" }, { a.failure, a.why })
  end)

  it("nothing moves, also when that ends before connecting had to", function()
    local url = serve { { "read" }, { "stall" } }
    local a = fetch { url = url(), idle_ms = 60, total_ms = 2500 }
    assert.same({ "TIMEOUT", "nothing came from " .. same_port() .. " for 60 ms" }, { a.failure, a.why })
  end)

  it("nobody reads what is sent", function()
    local url = serve { { "gate" } }
    local a = fetch { method = "PUT", url = url(), body = ("x"):rep(16 << 20), idle_ms = 60 }
    assert.same({ "TIMEOUT", "nothing came from " .. same_port() .. " for 60 ms" }, { a.failure, a.why })
  end)

  it("waiting for a place", function()
    local url = serve { { "read" }, { "stall" } }
    open { per_host = 1 }
    local first, second
    local x = net.client:start { url = url(), done = function(a) first = a end }
    net.client:start { url = url(), total_ms = 60, done = function(a) second = a net.client:cancel(x) end }
    net.client:run()
    assert.same({ "TIMEOUT", "no connection to " .. same_port() .. " was free within 60 ms", false },
      { second.failure, second.why, second.sent })
    assert.is_nil(first)
  end)
end)

describe("a blocking exchange", function()
  it("gives the answer", function()
    local url = serve { { "read" }, { "send", OK } }
    local a = t.blocking { method = "PUT", url = url "/latest", headers = { { "X-Ttl", "60" } } }
    assert.same({ "OK", 200, "hi", true }, { a.failure, a.status, a.body, a.sent })
    assert.equal(("PUT /latest HTTP/1.1\r\nHost: %s\r\nX-Ttl: 60\r\nContent-Length: 0\r\n\r\n"):format(same_port()), net.peer:received()[1][2])
  end)

  it("fails with the reason", function()
    local port = server.closed_port()
    local a = t.blocking { url = ("http://127.0.0.1:%d/"):format(port) }
    assert.same({ "CONNECT", ("cannot connect to 127.0.0.1:%d: Connection refused"):format(port) }, { a.failure, a.why })
    assert.equal("BAD_URL", t.blocking({ url = "gopher://x/" }).failure)
    a = t.blocking({ url = "https://127.0.0.1/" }, { ca_bundle = "/nowhere/ca.pem" })
    assert.equal("TLS", a.failure)
  end)

  it("ends in time", function()
    local url = serve { { "read" }, { "stall" } }
    assert.equal("TIMEOUT", t.blocking({ url = url(), total_ms = 60 }).failure)
    assert.equal("TIMEOUT", t.blocking({ url = url(), idle_ms = 60 }).failure)
    local a = t.blocking({ url = url():gsub("^http", "https") }, { connect_ms = 60 })
    assert.same({ "CONNECT", "cannot connect to " .. same_port() .. ": timed out after 60 ms" }, { a.failure, a.why })
  end)

  it("stops when told to", function()
    local url = serve { { "read" }, { "stall" } }
    local a = t.blocking({ url = url() }, { stop_when = function() return #net.peer:received() > 0 end })
    assert.same({ "TIMEOUT", "the exchange with " .. same_port() .. " was stopped", true }, { a.failure, a.why, a.sent })
  end)
end)
