-- HTTP exchanges against a server that follows a script: what goes over the wire, what comes back, what goes wrong.
local server = require "t.server"
local t = require "t.transport"

local OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

local client, peer

-- Serves the scripts; url(path) is an address there.
local function serve(...)
  peer = server.start { ... }
  return function(path) return ("http://127.0.0.1:%d%s"):format(peer:port(), path or "/") end
end

local function open(options)
  client = t.open(options or {})
  return client
end

-- One exchange, or several in order: their answers.
local function fetch(...)
  local answers = {}
  if not client then open() end
  for i, request in ipairs { ... } do
    request.done = function(a) answers[i] = a end
    client:start(request)
    client:run()
  end
  return table.unpack(answers)
end

local function same_port() return "127.0.0.1:" .. peer:port() end

local function header(answer, name)
  for _, h in ipairs(answer.headers) do
    if h[1]:lower() == name then return h[2] end
  end
end

-- A function that gives the pieces of s, at most n bytes each.
local function reader(s, n)
  local at = 1
  return function(room)
    if at > #s then return nil end
    local piece = s:sub(at, at + math.min(room, n or room) - 1)
    at = at + #piece
    return piece
  end
end

after_each(function()
  if client then client:close() end
  if peer then peer:stop() end
  client, peer = nil, nil
end)

describe("a request", function()
  it("goes out exactly as given, with nothing of curl's own", function()
    local url = serve { { "read" }, { "send", OK } }
    local a = fetch {
      method = "POST", url = url "/a//b/../c/./d%2fe?x=%41&y", body = "{}",
      headers = { { "Host", "dynamodb.eu-west-1.amazonaws.com" }, { "X-Amz-Date", "20261122T045546Z" }, { "X-Empty", "" } },
    }
    assert.equal("OK", a.failure)
    assert.same({ { 1, "POST /a//b/../c/./d%2fe?x=%41&y HTTP/1.1\r\nHost: dynamodb.eu-west-1.amazonaws.com\r\n" ..
      "X-Amz-Date: 20261122T045546Z\r\nX-Empty:\r\nContent-Length: 2\r\n\r\n{}" } }, peer:received())
    assert.is_true(a.sent)
  end)

  it("names its host itself when not told", function()
    local url = serve { { "read" }, { "send", OK } }
    fetch { url = url "/x" }
    assert.equal(("GET /x HTTP/1.1\r\nHost: %s\r\n\r\n"):format(same_port()), peer:received()[1][2])
  end)

  for _, method in ipairs { "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS" } do
    local always = method == "POST" or method == "PUT" or method == "PATCH"
    it("is sent without a body: " .. method, function()
      local url = serve { { "read" }, { "send", OK } }
      assert.equal("hi", fetch({ method = method, url = url() }).body)
      assert.equal(("%s / HTTP/1.1\r\nHost: %s\r\n%s\r\n"):format(method, same_port(), always and "Content-Length: 0\r\n" or ""),
        peer:received()[1][2])
    end)

    it("is sent with a body: " .. method, function()
      local url = serve { { "read" }, { "send", OK } }
      fetch { method = method, url = url(), body = "abc", headers = { { "Content-Type", "text/plain" }, { "Accept", "*/*" } } }
      assert.equal(("%s / HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain\r\nAccept: */*\r\nContent-Length: 3\r\n\r\nabc")
        :format(method, same_port()), peer:received()[1][2])
    end)

    it("is sent with a streamed body: " .. method, function()
      local url = serve { { "read" }, { "send", OK } }
      fetch { method = method, url = url(), read = reader("abcdef", 4), body_len = 6 }
      assert.equal(("%s / HTTP/1.1\r\nHost: %s\r\nContent-Length: 6\r\n\r\nabcdef"):format(method, same_port()), peer:received()[1][2])
    end)
  end

  it("asks for heads alone", function()
    local url = serve { { "read" }, { "send", "HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" }, { "read" }, { "send", OK } }
    local head, get = fetch({ method = "HEAD", url = url(), max_body = 10 }, { url = url() })
    assert.same({ "OK", 200, "" }, { head.failure, head.status, head.body })
    assert.equal("9000000", header(head, "content-length"))
    assert.equal("hi", get.body)
    assert.equal(("HEAD / HTTP/1.1\r\nHost: %s\r\n\r\n"):format(same_port()), peer:received()[1][2])
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
      local got = peer:received()[i][2]
      assert.equal(method .. " /" .. i .. " HTTP/1.1", got:match "^[^\r]*")
      assert.equal(with == "body" and "body" or with == "read" and "streamed" or "", got:match "\r\n\r\n(.*)$")
    end
    assert.equal(1, peer:accepted())
  end)

  it("is chunked when its length is unknown", function()
    local url = serve { { "read" }, { "send", OK } }
    fetch { method = "PUT", url = url(), read = reader("hello", 5) }
    assert.equal(("PUT / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"):format(same_port()),
      peer:received()[1][2])
  end)

  it("has a large body without asking first", function()
    local url = serve { { "read" }, { "send", OK } }
    local body = ("0123456789abcdef"):rep(3 * 65536)
    local a = fetch { method = "PUT", url = url(), body = body }
    assert.equal("OK", a.failure, a.why)
    local got = peer:received()[1][2]
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
        assert.equal(0, peer:accepted())
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
    local _, n = peer:received()[1][2]:gsub("Content%-Length: 3\r\n", "")
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
    client:close() client = nil
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
    assert.equal(1, #peer:received())
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
    client:close() client = nil
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
    client:close() client = nil
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
      client:start { url = url(), write = function() peer:go() return true end, done = function(x) a = x end }
      client:run()
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
    assert.is_truthy(peer:received()[1][2]:find(big .. " bytes, sum", 1, true))
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
      assert.is_truthy(peer:received()[1][2]:find(length == 0 and "Content%-Length: 0\r\n\r\n$" or "chunked\r\n\r\n0\r\n\r\n$"))
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
    assert.equal("abc", peer:received()[1][2]:match "\r\n\r\n(.*)$")
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
    local x = client:start { url = url(), done = function(a) first = a end }
    client:start { url = url(), total_ms = 60, done = function(a) second = a client:cancel(x) end }
    client:run()
    assert.same({ "TIMEOUT", "no connection to " .. same_port() .. " was free within 60 ms", false },
      { second.failure, second.why, second.sent })
    assert.is_nil(first)
  end)
end)

describe("connections", function()
  local NEXT = { { "read" }, { "send", OK } }

  it("are used again, thousands of times", function()
    local url = serve { { "serve", OK } }
    open()
    assert.equal(2000, client:repeat_small(url(), 2000))
    assert.equal(1, peer:accepted())
  end)

  it("are used again by many at once", function()
    local url = serve { { "serve", OK } }
    open { per_host = 16 }
    assert.equal(2000, client:repeat_small(url(), 2000, "{}", 64))
    assert.is_true(peer:accepted() <= 16)
  end)

  for name, body in pairs { GET = false, POST = "body", ["a large PUT"] = ("x"):rep(300000) } do
    it("that die in use are replaced once, unseen: " .. name, function()
      local url = serve({ { "read" }, { "send", OK }, { "read" }, { "close" } }, NEXT)
      local request = { method = name:match "%u+$", url = url "/second", body = body or nil }
      local first, second = fetch({ url = url "/first" }, request)
      assert.same({ "OK", "OK" }, { first.failure, second.failure }, second.why)
      assert.equal(3, #peer:received())
      assert.equal(peer:received()[2][2], peer:received()[3][2])
    end)

    it("that are reset in use are replaced once: " .. name, function()
      local url = serve({ { "read" }, { "send", OK }, { "read" }, { "reset" } }, NEXT)
      local _, second = fetch({ url = url "/first" }, { method = name:match "%u+$", url = url "/second", body = body or nil })
      assert.equal("OK", second.failure, second.why)
      assert.equal(peer:received()[2][2], peer:received()[3][2])
    end)
  end

  it("that die are replaced once only", function()
    local url = serve({ { "read" }, { "send", OK }, { "read" }, { "close" } }, { { "read" }, { "close" } })
    local _, second = fetch({ url = url() }, { method = "POST", url = url(), body = "x" })
    assert.same({ "RESET", same_port() .. " closed the connection without an answer", true }, { second.failure, second.why, second.sent })
    assert.same({ 3, 2 }, { #peer:received(), peer:accepted() })
  end)

  it("of which several are dead cost one try over a fresh one", function()
    local dying = { { "read" }, { "gate" }, { "send", OK }, { "read" }, { "close" } }
    local url = serve(dying, dying, dying, NEXT)
    open()
    local n = 0
    for _ = 1, 3 do client:start { url = url "/warm", done = function(a) n = n + (a.status == 200 and 1 or 0) end } end
    while #peer:received() < 3 do client:once(1) end
    for _ = 1, 3 do peer:go() end
    client:run()
    assert.equal(3, n)
    local a = fetch { method = "POST", url = url "/then", body = "x" }
    assert.equal("OK", a.failure, a.why)
    local sent = 0
    for _, r in ipairs(peer:received()) do sent = sent + (r[2]:find("POST /then", 1, true) and 1 or 0) end
    assert.equal(2, sent)
  end)

  it("that die new are not replaced", function()
    local url = serve({ { "read" }, { "close" } }, NEXT)
    assert.equal("RESET", fetch({ url = url() }).failure)
    assert.equal(1, peer:accepted())
  end)

  for _, bytes in ipairs { "H", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nX: y\r\n\r\n" } do
    it(("that die after %d bytes of the answer are not replaced"):format(#bytes), function()
      local url = serve({ { "read" }, { "send", OK }, { "read" }, { "send", bytes }, { "close" } }, NEXT)
      local _, second = fetch({ url = url() }, { method = "POST", url = url(), body = "x" })
      assert.equal(#bytes > 20 and "OK" or "RESET", second.failure, second.why)
      assert.equal(2, #peer:received())
    end)
  end

  it("that die under a stream that was begun are not replaced", function()
    local url = serve({ { "read" }, { "send", OK }, { "read" }, { "close" } }, NEXT)
    local _, second = fetch({ url = url() }, { method = "PUT", url = url(), body_len = 3, read = reader "abc" })
    assert.equal("RESET", second.failure)
    assert.is_truthy(second.why:find("cannot be read twice", 1, true), second.why)
    assert.equal(2, #peer:received())
  end)

  it("that the server has closed meanwhile are not used", function()
    local url = serve({ { "read" }, { "send", OK }, { "close" } }, NEXT)
    local first = fetch { url = url() }
    while peer:closed() < 1 do client:once(1) end
    local second = fetch { method = "PUT", url = url(), body_len = 3, read = reader "abc" }
    assert.same({ "OK", "OK" }, { first.failure, second.failure })
  end)

  it("are at most as many as asked for; all exchanges get their turn", function()
    local url = serve { { "serve", OK } }
    open { per_host = 4 }
    local order, good = {}, 0
    for i = 1, 200 do
      client:start { url = url "/", done = function(a)
        order[#order + 1] = i
        if a.status == 200 then good = good + 1 end
      end }
    end
    assert.equal(200, client:running())
    client:run()
    assert.equal(200, good)
    assert.is_true(peer:accepted() <= 4)
    table.sort(order)
    for i, n in ipairs(order) do assert.equal(i, n) end
  end)

  it("are given to who waits, first come, first served", function()
    local url = serve { { "serve", OK } }
    open { per_host = 1 }
    local order = {}
    for i = 1, 20 do client:start { url = url(), done = function() order[i] = #order + 1 == i end } end
    client:run()
    for i = 1, 20 do assert.is_true(order[i]) end
    assert.equal(1, peer:accepted())
  end)

  it("of one host do not wait for those of another", function()
    local url = serve { { "serve", OK } }
    local slow = server.start { { { "read" }, { "stall" } } }
    open { per_host = 1 }
    local there = ("http://127.0.0.1:%d/"):format(slow:port())
    local stuck = { client:start { url = there }, client:start { url = there } }
    local a
    client:start { url = url(), done = function(x) a = x end }
    client:start { url = url(), done = function(x) a = x for _, s in ipairs(stuck) do client:cancel(s) end end }
    client:run()
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
    local x = client:start { url = url(), done = function() error "cancelled" end }
    client:cancel(x)
    client:cancel(x)
    assert.equal(0, client:running())
    assert.equal("OK", fetch({ url = url() }).failure)
  end)

  it("on its way", function()
    local url = serve { { "read" }, { "stall" } }
    open()
    local x = client:start { url = url(), done = function() error "cancelled" end }
    while #peer:received() == 0 do client:once(1) end
    client:cancel(x)
    assert.equal(0, client:running())
    client:once(0)
  end)

  it("while waiting for a place, and what comes after moves up", function()
    local url = serve { { "serve", OK } }
    open { per_host = 1 }
    local log = {}
    local function start(name) return client:start { url = url(), done = function() log[#log + 1] = name end } end
    start "a"
    local b = start "b"
    start "c"
    client:cancel(b)
    client:run()
    assert.same({ "a", "c" }, log)
  end)

  it("from within another's done", function()
    local url = serve { { "serve", OK } }
    open()
    local xs, log = {}, {}
    for i = 1, 8 do
      xs[i] = client:start { url = url(), done = function()
        log[#log + 1] = i
        for k = 1, 8 do if k ~= i then client:cancel(xs[k]) end end
      end }
    end
    client:run()
    assert.equal(1, #log)
  end)

  it("from within its own and another's stream", function()
    local url = serve { { "read" }, { "send", OK } }
    open()
    local x, y
    local calls = 0
    y = client:start { url = url "/y", done = function() error "cancelled" end }
    x = client:start { url = url "/x", done = function() error "cancelled" end, write = function()
      calls = calls + 1
      client:cancel(y)
      client:cancel(x)
      return true
    end }
    -- y may have been done first: then there is nothing left to cancel, which is not what is tested
    client:cancel(y)
    y = client:start { url = url "/y2", method = "PUT", body_len = 10, read = function() return ("z"):rep(2) end, done = function() end }
    client:run()
    assert.equal(1, calls)
  end)

  it("from within a read", function()
    local url = serve { { "read" }, { "stall" } }
    open()
    local x
    x = client:start { url = url(), method = "PUT", body_len = 10, done = function() error "cancelled" end, read = function()
      client:cancel(x)
      return "abc"
    end }
    client:run()
    assert.equal(0, client:running())
    client:once(0)
  end)
end)

it("an exchange can be started again from its done", function()
  local url = serve { { "serve", OK } }
  open()
  local n, x = 0, nil
  x = client:start { url = url(), done = function(a)
    assert.equal("hi", a.body)
    n = n + 1
    if n < 5 then client:again(x) end
  end }
  client:run()
  assert.equal(5, n)
end)

it("a bundle of certificates that cannot be read is refused at once", function()
  local c, why = t.open { ca_bundle = "/nowhere/ca.pem" }
  assert.is_nil(c)
  assert.equal("cannot read the bundle of certificates /nowhere/ca.pem: No such file or directory", why)
end)

describe("TLS", function()
  local dir, tls, pid, port
  local missing = not os.execute "command -v openssl >/dev/null 2>&1"

  local function listen(options)
    tls = assert(io.popen(("echo $$; exec openssl s_server -accept 127.0.0.1:0 -cert %s/cert.pem -key %s/key.pem -www %s 2>&1")
      :format(dir, dir, options or "")))
    pid = tls:read "l"
    for line in tls:lines() do
      port = line:match "^ACCEPT .*:(%d+)$"
      if port then return end
    end
    error "openssl s_server does not listen"
  end

  setup(function()
    if missing then return end
    dir = os.tmpname()
    os.remove(dir)
    assert(os.execute("mkdir " .. dir))
    assert(os.execute(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost " ..
      "-addext subjectAltName=DNS:localhost -keyout %s/key.pem -out %s/cert.pem 2>/dev/null"):format(dir, dir)))
  end)

  after_each(function()
    if tls then
      os.execute("kill " .. pid)
      tls:close()
    end
    tls = nil
  end)

  teardown(function()
    if dir then os.execute(("rm -r %s"):format(dir)) end
  end)

  local function case(name, fn)
    it(name, function()
      if missing then return pending "the program openssl is not installed" end
      fn()
    end)
  end

  case("is spoken with who shows a trusted certificate", function()
    listen()
    open { ca_bundle = dir .. "/cert.pem" }
    for _ = 1, 3 do
      local a = fetch { url = ("https://localhost:%s/"):format(port) }
      assert.same({ "OK", 200 }, { a.failure, a.status }, a.why)
      assert.is_truthy(a.body:find("TLSv1.3", 1, true))
    end
  end)

  case("is spoken by blocking exchanges too", function()
    listen()
    local a = t.blocking({ url = ("https://localhost:%s/"):format(port) }, { ca_bundle = dir .. "/cert.pem" })
    assert.same({ "OK", 200 }, { a.failure, a.status }, a.why)
  end)

  case("is not spoken with a stranger", function()
    listen()
    local a = fetch { url = ("https://localhost:%s/"):format(port), method = "POST", body = "secret" }
    assert.same({ "TLS", ("the certificate of localhost:%s is not trusted: self-signed certificate"):format(port), false },
      { a.failure, a.why, a.sent })
  end)

  case("is not spoken with who has another's certificate", function()
    listen()
    open { ca_bundle = dir .. "/cert.pem" }
    local a = fetch { url = ("https://127.0.0.1:%s/"):format(port) }
    assert.equal("TLS", a.failure)
    assert.is_truthy(a.why:find(("the certificate of 127.0.0.1:%s is not trusted: "):format(port), 1, true), a.why)
  end)

  case("is not spoken in old versions", function()
    listen "-tls1_1 -cipher DEFAULT@SECLEVEL=0"
    open { ca_bundle = dir .. "/cert.pem" }
    local a = fetch { url = ("https://localhost:%s/"):format(port) }
    assert.equal("TLS", a.failure, a.why)
    assert.is_truthy(a.why:find("no TLS connection to localhost:" .. port, 1, true), a.why)
  end)

  case("needs certificates that can be loaded", function()
    listen()
    open { ca_bundle = dir .. "/key.pem" }
    local a = fetch { url = ("https://localhost:%s/"):format(port) }
    assert.same({ "TLS", ("the trusted certificates for localhost:%s cannot be loaded from %s/key.pem"):format(port, dir) },
      { a.failure, a.why })
  end)
end)

describe("HTTP/2", function()
  local missing = not os.execute "command -v openssl >/dev/null 2>&1 && command -v node >/dev/null 2>&1"
  local dir, node, pid, port

  local SERVER = [[
    const fs = require("fs"), [dir] = process.argv.slice(1);
    const server = require("http2").createSecureServer({ key: fs.readFileSync(dir + "/key.pem"), cert: fs.readFileSync(dir + "/cert.pem"),
      allowHTTP1: true });
    let connections = 0;
    server.on("secureConnection", () => connections++);
    server.on("request", (req, res) => {
      const chunks = [];
      req.on("data", (c) => chunks.push(c));
      req.on("end", () => {
        const body = Buffer.concat(chunks).toString();
        if (req.url === "/break") return req.stream ? req.stream.close(2) : req.socket.destroy();
        res.writeHead(200, { "X-Version": req.httpVersion, "X-Host": req.authority || req.headers.host });
        res.addTrailers({ "X-Late": "1" });
        res.end([req.method, req.url, body.length, connections].join(" "));
      });
    });
    server.listen(0, "127.0.0.1", () => console.log(server.address().port));
  ]]

  setup(function()
    if missing then return end
    dir = os.tmpname()
    os.remove(dir)
    assert(os.execute("mkdir " .. dir))
    assert(os.execute(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost " ..
      "-addext subjectAltName=DNS:localhost -keyout %s/key.pem -out %s/cert.pem 2>/dev/null"):format(dir, dir)))
    local f <close> = assert(io.open(dir .. "/server.js", "w"))
    f:write((SERVER:gsub("slice%(1%)", "slice(2)")))
  end)

  teardown(function()
    if dir then os.execute(("rm -r %s"):format(dir)) end
  end)

  after_each(function()
    if node then
      os.execute("kill " .. pid)
      node:close()
    end
    node = nil
  end)

  local function case(name, fn)
    it(name, function()
      if missing then return pending "the programs node and openssl are needed" end
      node = assert(io.popen(("echo $$; exec node %s/server.js %s"):format(dir, dir)))
      pid, port = node:read "l", node:read "l"
      open { ca_bundle = dir .. "/cert.pem" }
      fn(("https://localhost:%s"):format(port))
    end)
  end

  case("is spoken where it is offered", function(url)
    local a, b, c, d = fetch({ url = url .. "/a?b", headers = { { "Host", "other.example" } } },
      { method = "POST", url = url .. "/c", body = "body" },
      { method = "PUT", url = url .. "/d", read = reader(("x"):rep(300000)), body_len = 300000 },
      { method = "PUT", url = url .. "/e", read = reader(("x"):rep(300000)) })
    assert.same({ "OK", 200, "GET /a?b 0 1" }, { a.failure, a.status, a.body }, a.why)
    assert.same({ "2.0", "other.example" }, { header(a, "x-version"), header(a, "x-host") })
    assert.is_nil(header(a, "x-late"))
    assert.same({ "POST /c 4 1", "PUT /d 300000 1", "PUT /e 300000 1" }, { b.body, c.body, d.body })
  end)

  case("carries many exchanges over few connections", function(url)
    fetch { url = url }
    local good = 0
    for _ = 1, 50 do client:start { url = url, done = function(a) good = good + (a.body == "GET / 0 1" and 1 or 0) end } end
    client:run()
    assert.equal(50, good)
  end)

  case("has streams that break", function(url)
    local a, b = fetch({ url = url .. "/break", method = "POST", body = "x" }, { url = url .. "/after" })
    assert.same({ "RESET", true }, { a.failure, a.sent }, a.why)
    assert.equal("OK", b.failure)
  end)

  case("is cancelled stream by stream", function(url)
    fetch { url = url }
    local x = client:start { url = url, done = function() error "cancelled" end }
    local other
    client:start { url = url, done = function(a) other = a end }
    client:once(0)
    client:cancel(x)
    client:run()
    assert.equal("OK", other.failure)
  end)
end)

describe("proxies", function()
  it("get the whole URL of plain exchanges", function()
    local there = serve { { "read" }, { "send", OK } }
    open { proxy = there "" }
    local a = fetch { url = "http://service.example/x?y" }
    assert.equal("hi", a.body)
    assert.equal("GET http://service.example/x?y HTTP/1.1", peer:received()[1][2]:match "^[^\r]*")
  end)

  it("are asked for a tunnel by secure ones, and say no", function()
    local there = serve { { "read" }, { "send", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n" } }
    open { proxy = there "" }
    local a = fetch { url = "https://service.example/x", headers = { { "X-Secret", "s3cret" } } }
    assert.equal("CONNECT", a.failure, a.why)
    assert.is_truthy(a.why:find("403", 1, true), a.why)
    assert.is_falsy(a.sent)
    local asked = peer:received()[1][2]
    assert.is_truthy(asked:find("CONNECT service.example:443", 1, true))
    assert.is_nil(asked:find("s3cret", 1, true))
  end)

  for _, proxy in ipairs { "http://user:s3cret@bad host:1", "gopher://user:s3cret@127.0.0.1:1", "http://user:s3cret@127.0.0.1:99999" } do
    it("that cannot be used are not quoted with their password: " .. proxy, function()
      open { proxy = proxy }
      for _, url in ipairs { "http://service.example/", "https://service.example/" } do
        local a = fetch { url = url }
        assert.is_true(a.failure == "CONNECT" or a.failure == "DNS" or a.failure == "BAD_URL", a.failure)
        assert.is_nil(a.why:find("s3cret", 1, true), a.why)
      end
    end)
  end

  it("get their password, nobody else does", function()
    local there = serve { { "read" }, { "send", OK } }
    open { proxy = (there "":gsub("//", "//user:s3cret@")) }
    assert.equal("OK", fetch({ url = "http://service.example/" }).failure)
    assert.is_truthy(peer:received()[1][2]:find("Proxy-Authorization: Basic dXNlcjpzM2NyZXQ=", 1, true))
  end)

  it("are not used for the exceptions", function()
    local url = serve { { "read" }, { "send", OK } }
    open { proxy = "http://127.0.0.1:" .. server.closed_port(), no_proxy = "example.com,127.0.0.1" }
    assert.equal("hi", fetch({ url = url() }).body)
  end)

  it("of the environment are used unless one is set", function()
    local url = serve { { "serve", OK } }
    t.setenv("HTTP_PROXY", "http://127.0.0.1:" .. server.closed_port())
    t.setenv("NO_PROXY", "example.com")
    local without = t.open { proxy = "" }
    local with = t.open {}
    t.setenv("HTTP_PROXY", nil)
    t.setenv("NO_PROXY", nil)
    local a
    client = without
    a = fetch { url = url() }
    without:close()
    assert.equal("OK", a.failure)
    client = with
    assert.equal("CONNECT", fetch({ url = url() }).failure)
  end)

  it("for all schemes serve those that have none of their own", function()
    local url = serve { { "serve", OK } }
    t.setenv("ALL_PROXY", "http://127.0.0.1:" .. server.closed_port())
    local all = t.open {}
    t.setenv("http_proxy", url())
    local own = t.open {}
    t.setenv("ALL_PROXY", nil)
    t.setenv("http_proxy", nil)
    client = all
    assert.equal("CONNECT", fetch({ url = url() }).failure)
    all:close()
    client = own
    assert.equal("hi", fetch({ url = "http://service.example/" }).body)
  end)
end)

describe("a blocking exchange", function()
  it("gives the answer", function()
    local url = serve { { "read" }, { "send", OK } }
    local a = t.blocking { method = "PUT", url = url "/latest", headers = { { "X-Ttl", "60" } } }
    assert.same({ "OK", 200, "hi", true }, { a.failure, a.status, a.body, a.sent })
    assert.equal(("PUT /latest HTTP/1.1\r\nHost: %s\r\nX-Ttl: 60\r\nContent-Length: 0\r\n\r\n"):format(same_port()), peer:received()[1][2])
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
    local a = t.blocking({ url = url() }, { stop_when = function() return #peer:received() > 0 end })
    assert.same({ "TIMEOUT", "the exchange with " .. same_port() .. " was stopped", true }, { a.failure, a.why, a.sent })
  end)
end)
