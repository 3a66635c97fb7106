-- in/http1.h: HTTP/1.1 messages on a byte stream, for the Runtime API and its server.
local http1 = require "t.http1"

local function in_pieces(text, cut)
  return { text:sub(1, cut), text:sub(cut + 1) }
end

local function byte_by_byte(text)
  local pieces = {}
  for i = 1, #text do
    pieces[i] = text:sub(i, i)
  end
  return pieces
end

local function read(kind, text, options)
  return http1.parse(kind, { text }, options)
end

-- The same is told wherever the bytes were cut.
local function assert_indifferent(kind, text, options)
  local told, why, fresh = read(kind, text, options)
  for cut = 0, #text do
    local again, again_why, again_fresh = http1.parse(kind, in_pieces(text, cut), options)
    assert.are.same(told, again, "cut at " .. cut)
    assert.are.equal(why, again_why)
    assert.are.equal(fresh, again_fresh)
  end
  local single, single_why = http1.parse(kind, byte_by_byte(text), options)
  assert.are.same(told, single)
  assert.are.equal(why, single_why)
  return told, why, fresh
end

local function events(told)
  local names = {}
  for i, t in ipairs(told) do
    names[i] = t.event
  end
  return table.concat(names, " ")
end

local function request(lines, body)
  return "POST /x HTTP/1.1\r\nHost: h\r\n" .. lines .. "\r\n" .. (body or "")
end
local function response(lines, body)
  return "HTTP/1.1 200 OK\r\n" .. lines .. "\r\n" .. (body or "")
end

describe("a message", function()
  it("with a length is told as head, body and end, wherever it was cut", function()
    local told, why, fresh = assert_indifferent("response",
      "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n")
    assert.is_nil(why)
    assert.is_true(fresh)
    assert.are.same({
      { event = "head", status = 202, length = 16,
        headers = { "Content-Type=application/json", "Content-Length=16" } },
      { event = "body", bytes = "{\"status\":\"OK\"}\n" },
      { event = "end", headers = { "Content-Type=application/json", "Content-Length=16" } },
    }, told)
  end)

  it("in chunks is told without their framing, with the trailers at its end", function()
    local told = assert_indifferent("response", response("Transfer-Encoding: Chunked\r\nTrailer: X\r\n",
      "5\r\nhello\r\n00B;name=value\r\n over there\r\n0\r\nX: late\r\n\r\n"))
    assert.are.same({ "head body end", "hello over there", true },
      { events(told), told[2].bytes, told[1].chunked })
    assert.are.same({ "Transfer-Encoding=Chunked", "Trailer=X", "X=late" }, told[3].headers)
    assert.are.equal(2, #told[1].headers)
  end)

  it("of a request has method and target", function()
    local told = assert_indifferent("request", "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost:a:1\r\n\r\n")
    assert.are.same({ { event = "head", method = "GET", target = "/2018-06-01/runtime/invocation/next",
                        headers = { "host=a:1" } }, { event = "end", headers = { "host=a:1" } } }, told)
  end)

  it("may have an empty body", function()
    assert.are.equal("head end", events((assert_indifferent("response", response("Content-Length: 0\r\n")))))
    assert.are.equal("head end",
      events((assert_indifferent("response", response("Transfer-Encoding: chunked\r\n", "0\r\n\r\n")))))
    assert.are.equal("head end", events((read("request", request("")))))
  end)

  it("has no body when its status or its request say so", function()
    for _, status in ipairs { 204, 304 } do
      local told, _, fresh = read("response", "HTTP/1.1 " .. status .. " X\r\nContent-Length: 5\r\n\r\n")
      assert.are.equal("head end", events(told))
      assert.is_true(fresh)
    end
    local told = read("response", response("Content-Length: 5\r\n"), { no_body = true })
    assert.are.equal("head end", events(told))
  end)

  it("may end with the connection when it is a response", function()
    local told, why = assert_indifferent("response", response("", "all of it"), { eof = true })
    assert.is_nil(why)
    assert.are.same({ "head body end", "all of it", true, true },
      { events(told), told[2].bytes, told[1].close, told[1].until_close })
  end)

  it("follows another on the same connection", function()
    local one = response("Content-Length: 3\r\n", "one")
    local two = response("Transfer-Encoding: chunked\r\n", "3\r\ntwo\r\n0\r\n\r\n")
    local told = assert_indifferent("response", one .. two .. one)
    assert.are.equal("head body end head body end head body end", events(told))
    assert.are.same({ "one", "two", "one" }, { told[2].bytes, told[5].bytes, told[8].bytes })
    assert.are.same({ "Content-Length=3" }, told[9].headers)
  end)

  it("may be preceded by others that are only information", function()
    local told = assert_indifferent("response",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n\r\n" .. response("Content-Length: 1\r\n", "z"))
    assert.are.equal("head body end", events(told))
    assert.are.same({ "Content-Length=1" }, told[1].headers)
  end)

  it("may be preceded by empty lines when it is a request", function()
    local told = assert_indifferent("request", "\r\n\r\n" .. request("Content-Length: 1\r\n", "z") .. "\r\n")
    assert.are.equal("head body end", events(told))
  end)

  it("keeps spaces within values and strips them around", function()
    local told = read("response", response("A: \t b  c \t\r\nB:\r\nContent-Length: 0\r\n"))
    assert.are.same({ "A=b  c", "B=", "Content-Length=0" }, told[1].headers)
  end)
end)

describe("a connection ends with a message", function()
  local function closes(kind, text)
    return (read(kind, text))[1].close or false
  end
  it("when either side says close, or speaks HTTP/1.0 without keep-alive", function()
    assert.is_false(closes("response", response("Content-Length: 0\r\n")))
    assert.is_true(closes("response", response("Content-Length: 0\r\nConnection: Close\r\n")))
    assert.is_true(closes("response", response("Content-Length: 0\r\nConnection: x, close\r\n")))
    assert.is_true(closes("response", response("Connection: close\r\nConnection: keep-alive\r\nContent-Length: 0\r\n")))
    assert.is_true(closes("response", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"))
    assert.is_false(closes("response", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"))
    assert.is_true(closes("request", "GET / HTTP/1.0\r\n\r\n"))
  end)
end)

describe("a connection that is closed", function()
  it("between messages is no error", function()
    local _, why = read("response", response("Content-Length: 1\r\n", "z"), { eof = true })
    assert.is_nil(why)
    _, why = read("response", "", { eof = true })
    assert.is_nil(why)
  end)
  it("within a message is one, wherever", function()
    local texts = { response("Content-Length: 4\r\n", "four"),
                    response("Transfer-Encoding: chunked\r\n", "4\r\nfour\r\n0\r\n\r\n") }
    for _, text in ipairs(texts) do
      for cut = 1, #text - 1 do
        local told, why, fresh = read("response", text:sub(1, cut), { eof = true })
        assert.matches("closed within the", why)
        assert.is_false(fresh)
        assert.is_nil(events(told):find("end"))
      end
    end
  end)
end)

describe("what two readers could understand in two ways is refused", function()
  local function refuses(kind, text, words)
    local told, why = assert_indifferent(kind, text)
    assert.is_nil(events(told):find("end", 1, true))
    assert.is_not_nil(why, "taken: " .. text)
    assert.matches(words, why, 1, true)
  end
  local function refuses_head(lines, words)
    refuses("request", request(lines, "0\r\n\r\n"), words)
    refuses("response", response(lines, "0\r\n\r\n"), words)
  end

  it("framing", function()
    refuses_head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "both Content-Length and Transfer-Encoding")
    refuses_head("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "both Content-Length and Transfer-Encoding")
    refuses_head("Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length is given twice")
    refuses_head("Content-Length: 5\r\ncontent-length: 6\r\n", "Content-Length is given twice")
    refuses_head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding is given twice")
    refuses_head("Transfer-Encoding: gzip, chunked\r\n", "other than chunked")
    refuses_head("Transfer-Encoding: identity\r\n", "other than chunked")
    refuses_head("Transfer-Encoding: xchunked\r\n", "other than chunked")
    refuses_head("Transfer-Encoding: \"chunked\"\r\n", "other than chunked")
    for _, length in ipairs { "", "+5", "-5", "5, 5", "0x5", "5 5", "1e3", "5.", "1234567890123456789" } do
      refuses_head("Content-Length: " .. length .. "\r\n", "Content-Length is no number")
    end
    refuses("request", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "in HTTP/1.0")
  end)

  it("lines", function()
    refuses_head("X: y\n", "without CR")
    refuses("response", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "without CR")
    refuses("response", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n", "without CR")
    refuses_head("X: y\r\n folded\r\n", "folded")
    refuses_head("X : y\r\n", "no token")
    refuses_head(": y\r\n", "no token")
    refuses_head("X\0: y\r\n", "no token")
    refuses_head("X\r\n", "no colon")
    refuses_head("X: a\rb\r\n", "control characters")
    refuses_head("X: a\0b\r\n", "control characters")
    refuses_head("X: a\127b\r\n", "control characters")
    for _, c in ipairs { "\v", "\f", "\r", "\n" } do -- white space elsewhere, not here (RFC 9110 5.6.3)
      refuses_head("Transfer-Encoding: " .. c .. "chunked\r\n", c == "\n" and "without CR" or "control characters")
      refuses_head("Content-Length: 1" .. c .. "\r\n", c == "\n" and "without CR" or "control characters")
      refuses_head("Connection: keep-alive," .. c .. "close\r\n", c == "\n" and "without CR" or "control characters")
    end
  end)

  it("first lines", function()
    refuses("request", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "target")
    refuses("request", "GET /\r\nHost: h\r\n\r\n", "version")
    refuses("request", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "version")
    refuses("request", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", "version")
    refuses("request", "GET / http/1.1\r\nHost: h\r\n\r\n", "version")
    refuses("request", "GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", "target")
    refuses("request", "G@T / HTTP/1.1\r\nHost: h\r\n\r\n", "method")
    refuses("request", " / HTTP/1.1\r\nHost: h\r\n\r\n", "method")
    refuses("request", "GET / HTTP/1.1\r\n\r\n", "Host")
    refuses("request", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "Host")
    refuses("request", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "Host")
    for _, status in ipairs { "", "20", "2000", "2x0", "099", "600", "101", "-20" } do
      refuses("response", "HTTP/1.1 " .. status .. " OK\r\nContent-Length: 0\r\n\r\n", "status")
    end
    refuses("response", "HTTP/3 200 OK\r\n\r\n", "version")
    refuses("response", "ICY 200 OK\r\n\r\n", "version")
    refuses("response", "HTTP/1.1 200 O\0K\r\n\r\n", "reason")
    refuses("response", "\r\nHTTP/1.1 200 OK\r\n\r\n", "version")
  end)

  it("chunks", function()
    local function chunks(body, words)
      refuses("response", response("Transfer-Encoding: chunked\r\n", body), words)
    end
    chunks("x\r\n", "no number")
    chunks("\r\n", "no number")
    chunks("-1\r\n", "no number")
    chunks("0x1\r\n", "no number")
    chunks(" 1\r\n", "no number")
    chunks("1 \r\n", "no number")
    chunks("1;\0\r\n", "no number")
    chunks("1\n", "without CR")
    chunks("1000000000000000\r\n", "too large")
    chunks("1\r\nab\r\n", "longer than its size")
    chunks("3\r\nab\r\n0\r\n\r\n", "without CR")
    chunks("1\r\na\n", "without CR")
    chunks("1;" .. ("x"):rep(5000) .. "\r\n", "too long")
    chunks("0\r\nContent-Length: 4\r\n\r\n", "belongs in the head")
    chunks("0\r\nTransfer-Encoding: chunked\r\n\r\n", "belongs in the head")
    chunks("0\r\nX : y\r\n\r\n", "no token")
  end)

  it("and after a refusal nothing is read any more", function()
    local told, why = http1.parse("response", { "nonsense\r\n" })
    assert.are.equal(0, #told)
    assert.matches("version", why)
  end)
end)

describe("limits", function()
  it("of a head", function()
    local long = response("X: " .. ("y"):rep(1000) .. "\r\nContent-Length: 0\r\n")
    local told = assert_indifferent("response", long, { head_max = #long })
    assert.are.equal("head end", events(told))
    local _, why = assert_indifferent("response", long, { head_max = #long - 1 })
    assert.matches("the head is too large", why)
    _, why = read("response", response(("X: y\r\n"):rep(11000)))
    assert.matches("more than 256 headers", why)
    _, why = read("response", ("x"):rep(70000))
    assert.matches("the head is too large", why)
  end)
  it("of what is only information, in all", function()
    local _, why = read("response", ("HTTP/1.1 100 Continue\r\n\r\n"):rep(4000))
    assert.matches("the head is too large", why)
  end)
  it("of trailers", function()
    local _, why = read("response", response("Transfer-Encoding: chunked\r\n", "0\r\nX: " .. ("y"):rep(70000)))
    assert.matches("the head is too large", why)
  end)
  it("count anew for each message", function()
    local one = response("X: " .. ("y"):rep(1000) .. "\r\nContent-Length: 0\r\n")
    local told, why = read("response", one:rep(50), { head_max = #one })
    assert.is_nil(why)
    assert.are.equal(100, #told)
  end)
end)
