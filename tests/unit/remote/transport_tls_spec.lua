-- TLS, HTTP/2 and proxies.
local server = require "t.server"
local t = require "t.transport"
local net = require "unit.remote.net"(_ENV)
local serve, open, fetch, header = net.serve, net.open, net.fetch, net.header
local reader, OK = net.reader, net.OK

-- A new directory with key.pem and cert.pem of localhost.
local function certified()
  local dir = os.tmpname()
  os.remove(dir)
  assert(os.execute("mkdir " .. dir))
  assert(os.execute(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost " ..
    "-addext subjectAltName=DNS:localhost -keyout %s/key.pem -out %s/cert.pem 2>/dev/null"):format(dir, dir)))
  return dir
end

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
    dir = certified()
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
    dir = certified()
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
    for _ = 1, 50 do net.client:start { url = url, done = function(a) good = good + (a.body == "GET / 0 1" and 1 or 0) end } end
    net.client:run()
    assert.equal(50, good)
  end)

  case("has streams that break", function(url)
    local a, b = fetch({ url = url .. "/break", method = "POST", body = "x" }, { url = url .. "/after" })
    assert.same({ "RESET", true }, { a.failure, a.sent }, a.why)
    assert.equal("OK", b.failure)
  end)

  case("is cancelled stream by stream", function(url)
    fetch { url = url }
    local x = net.client:start { url = url, done = function() error "cancelled" end }
    local other
    net.client:start { url = url, done = function(a) other = a end }
    net.client:once(0)
    net.client:cancel(x)
    net.client:run()
    assert.equal("OK", other.failure)
  end)
end)

describe("proxies", function()
  it("get the whole URL of plain exchanges", function()
    local there = serve { { "read" }, { "send", OK } }
    open { proxy = there "" }
    local a = fetch { url = "http://service.example/x?y" }
    assert.equal("hi", a.body)
    assert.equal("GET http://service.example/x?y HTTP/1.1", net.peer:received()[1][2]:match "^[^\r]*")
  end)

  it("are asked for a tunnel by secure ones, and say no", function()
    local there = serve { { "read" }, { "send", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n" } }
    open { proxy = there "" }
    local a = fetch { url = "https://service.example/x", headers = { { "X-Secret", "s3cret" } } }
    assert.equal("CONNECT", a.failure, a.why)
    assert.is_truthy(a.why:find("403", 1, true), a.why)
    assert.is_falsy(a.sent)
    local asked = net.peer:received()[1][2]
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
    assert.is_truthy(net.peer:received()[1][2]:find("Proxy-Authorization: Basic dXNlcjpzM2NyZXQ=", 1, true))
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
    net.client = without
    a = fetch { url = url() }
    without:close()
    assert.equal("OK", a.failure)
    net.client = with
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
    net.client = all
    assert.equal("CONNECT", fetch({ url = url() }).failure)
    all:close()
    net.client = own
    assert.equal("hi", fetch({ url = "http://service.example/" }).body)
  end)
end)
