-- perigee.http's fetch over the real client, against a server that follows a script.
local lib = assert(package.loadlib("", "luaopen_t_lib"))()
local server = assert(package.loadlib("", "luaopen_t_server"))()

local OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
local peer

-- Serves the scripts; the address there.
local function serve(...)
  peer = server.start { ... }
  return ("http://127.0.0.1:%d"):format(peer:port())
end

after_each(function()
  if peer then peer:stop() end
  peer = nil
end)

-- What a trusted chunk reports, with `http`, `report`, and URL set.
local function run(body, url, no_client)
  local reports, _, err = lib.run(([[
    local http, json, report, URL = require "perigee.http", require "perigee.json", require "t.report", %q
    ]]):format(url or "") .. body, nil, no_client)
  assert.is_nil(err)
  return reports
end

describe("http.fetch", function()
  it("gives status, headers and body", function()
    local url = serve { { "read" }, { "send", "HTTP/1.1 404 Not Found\r\nX-One: 1\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n" ..
      "SET-COOKIE: c=3\r\nContent-Length: 8\r\n\r\n{\"n\": 7}" } }
    assert.same({ "404", "1", "a=1, b=2, c=3", '{"n": 7}', "7", "nil" }, run([[
      local res, err = http.fetch(URL .. "/x")
      report(res.status) report(res.headers["x-one"]) report(res.headers["set-cookie"]) report(res.body)
      report(res:json().n) report(err)]], url))
    assert.equal(("GET /x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n"):format(peer:port()), peer:received()[1][2])
  end)

  it("sends method, headers and body", function()
    local url = serve { { "read" }, { "send", OK } }
    run([[http.fetch(URL, { method = "PUT", headers = { ["X-Count"] = 3 }, body = "a\0b" })]], url)
    assert.equal(("PUT / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Count: 3\r\nContent-Length: 3\r\n\r\na\0b"):format(peer:port()),
      peer:received()[1][2])
  end)

  it("sends a table as JSON", function()
    local url = serve { { "read" }, { "send", OK }, { "read" }, { "send", OK } }
    run([[local options = { method = "POST", body = { a = 1 } }
      http.fetch(URL, options)
      assert(type(options.body) == "table" and not options.headers)
      http.fetch(URL, { method = "POST", body = { a = 1 }, headers = { ["content-TYPE"] = "text/x" } })]], url)
    assert.is_truthy(peer:received()[1][2]:find("Content-Type: application/json; charset=utf-8\r\n", 1, true))
    assert.equal('{"a":1}', peer:received()[1][2]:match "\r\n\r\n(.*)")
    assert.is_truthy(peer:received()[2][2]:find("content-TYPE: text/x\r\n", 1, true))
  end)

  it("does not follow redirects", function()
    local url = serve { { "read" }, { "send", "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n" } }
    assert.same({ "302", "http://169.254.169.254/" }, run([[
      local res = http.fetch(URL)
      report(res.status) report(res.headers.location)]], url))
  end)

  it("keeps what it sends, whatever happens to the tables meanwhile", function()
    local url = serve { { "read" }, { "send", OK } }
    run([[local options = { method = "POST", body = "the body", headers = { ["X-A"] = "b" } }
      local parallel = require "perigee.parallel"
      parallel { function() http.fetch(URL, options) end,
        function() options.body, options.headers, options.method = nil, nil, nil collectgarbage() end }]], url)
    assert.is_truthy(peer:received()[1][2]:find("^POST / .*X%-A: b.*the body$"))
  end)

  it("runs several at once", function()
    local url = serve { { "read" }, { "gate" }, { "send", OK } }
    for _ = 1, 5 do peer:go() end
    assert.same({ "hihihihihi" }, run([[
      local parallel, jobs, out = require "perigee.parallel", {}, {}
      for i = 1, 5 do jobs[i] = function() out[i] = http.fetch(URL).body end end
      parallel(jobs)
      report(table.concat(out))]], url))
  end)

  describe("gives an error", function()
    local function failure(call, url)
      return run(([[local res, err = %s
        assert(res == nil)
        report(err.code) report(err.status) report(err.retryable) report(err.message) report(tostring(err))]]):format(call), url)
    end

    for call, message in pairs {
      ['http.fetch "ftp://x/"'] = "URL scheme 'ftp' is not http or https",
      ['http.fetch "http://x/a b"'] = "URL holds a character that must be percent-encoded",
      ['http.fetch "http://x/\\0"'] = "URL holds a character that must be percent-encoded",
      ['http.fetch "http://user:secret@x/"'] = "URL holds user information, which is not supported",
      ['http.fetch "/orders"'] = "URL has no scheme (http:// or https://)",
      ['http.fetch("http://x/", { method = "BREW" })'] = "the method 'BREW' is not supported",
      ['http.fetch("http://x/", { headers = { ["X-A"] = "b\\r\\nX-B: c" } })'] = "the header 'X-A' holds a line break or a NUL byte",
      ['http.fetch("http://x/", { headers = { ["X-A"] = "b\\0" } })'] = "the header 'X-A' holds a line break or a NUL byte",
      ['http.fetch("http://x/", { headers = { ["X A"] = "b" } })'] = "the header 'X A' is no header name",
      ['http.fetch("http://x/", { headers = { ["X-A:"] = "b" } })'] = "the header 'X-A:' is no header name",
    } do
      it("for " .. call:gsub("%c", "."), function()
        assert.same({ "ValidationException", "400", "false", message }, { table.unpack(failure(call), 1, 4) })
      end)
    end

    it("when nobody listens", function()
      local there = ("http://127.0.0.1:%d/"):format(server.closed_port())
      assert.same({ "EndpointUnavailable", "503", "true", ("cannot connect to %s: Connection refused"):format(there:match "//(.-)/") },
        { table.unpack(failure("http.fetch(URL)", there), 1, 4) })
    end)

    it("when the answer breaks off", function()
      local url = serve { { "read" }, { "send", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf" }, { "close" } }
      assert.equal("EndpointUnavailable", failure("http.fetch(URL)", url)[1])
    end)

    it("when it takes too long", function()
      local url = serve { { "read" }, { "stall" } }
      local got = failure("http.fetch(URL, { timeout_ms = 50 })", url)
      assert.same({ "RequestTimeout", "504", "true" }, { got[1], got[2], got[3] })
    end)

    it("when the answer is too large", function()
      local url = serve { { "read" }, { "send", OK } }
      assert.equal("RequestEntityTooLarge", failure("http.fetch(URL, { max_body = 1 })", url)[1])
    end)
  end)

  for call, message in pairs {
    ["http.fetch()"] = "string expected",
    ["http.fetch(7)"] = "string expected",
    ["http.fetch('http://x', 'POST')"] = "the options of http.fetch are a table",
    ["http.fetch('http://x', { verb = 'GET' })"] = "unknown option 'verb' (there are: method, headers, body, timeout_ms, max_body)",
    ["http.fetch('http://x', { method = 1 })"] = "option 'method' must be a string",
    ["http.fetch('http://x', { body = 1 })"] = "option 'body' must be a string",
    ["http.fetch('http://x', { timeout_ms = 0 })"] = "option 'timeout_ms' must be an integer from 1 to 900000",
    ["http.fetch('http://x', { timeout_ms = 1.5 })"] = "option 'timeout_ms' must be an integer",
    ["http.fetch('http://x', { timeout_ms = '1' })"] = "option 'timeout_ms' must be an integer",
    ["http.fetch('http://x', { max_body = 1 << 40 })"] = "option 'max_body' must be an integer from 1 to 67108864",
    ["http.fetch('http://x', { headers = 'x' })"] = "option 'headers' must be a table",
    ["http.fetch('http://x', { headers = 'x', body = {} })"] = "option 'headers' must be a table",
    ["http.fetch('http://x', { headers = { 'x' } })"] = "option 'headers' must have names as its keys",
    ["http.fetch('http://x', { headers = { X = true } })"] = "header 'X' must be a string or a number",
  } do
    it("raises: " .. call, function()
      local got = run(("report(select(2, pcall(function() return %s end)))"):format(call))[1]
      assert.is_truthy(got:find(message, 1, true), got)
    end)
  end

  it("raises where there is no client", function()
    assert.is_truthy(run("report(select(2, pcall(http.fetch, 'http://x/')))", "", true)[1]:find "there is no HTTP client here")
  end)

  describe("in a handler", function()
    local function job(body, timeout, cancel_after)
      local dir = os.tmpname()
      os.remove(dir)
      os.execute("mkdir " .. dir)
      local f = assert(io.open(dir .. "/h.lua", "w"))
      f:write(([[local http, report = require "perigee.http", require "t.report"
        return { run = function() %s end }]]):format(body))
      f:close()
      local reports, code, message = lib.job(dir, "h", timeout or 10000, cancel_after or -1, true)
      os.execute("rm -r " .. dir)
      return reports, code, message
    end

    it("waits like every host call", function()
      local url = serve { { "read" }, { "send", OK } }
      local reports, code, message = job(("report(http.fetch(%q).body)"):format(url))
      assert.same({ { "hi" }, "ok" }, { reports, code }, message)
    end)

    it("never waits longer than the handler may run", function()
      local url = serve { { "read" }, { "stall" } }
      local reports, code = job(("local _, err = http.fetch(%q, { timeout_ms = 900000 }) report(err.code)"):format(url), 200)
      assert.is_true(code == "RequestTimeout" or reports[1] == "RequestTimeout")
      assert.is_true(code == "RequestTimeout" or code == "ok")
    end)

    it("ends when the handler is cancelled", function()
      local url = serve { { "read" }, { "stall" } }
      local reports, code = job(("http.fetch(%q) report 'not reached'"):format(url), 10000, 5)
      assert.same({ {}, "no reply" }, { reports, code })
    end)

    it("says where it cannot wait", function()
      local reports = job [[report(select(2, pcall(table.sort, { 2, 1 }, function() http.fetch "http://127.0.0.1/" end)))]]
      assert.is_truthy(reports[1]:find("http.fetch is not possible inside table.sort", 1, true), reports[1])
    end)
  end)
end)
