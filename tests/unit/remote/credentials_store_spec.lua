-- Credentials of containers and instances, and the store: its cache with a clock that the tests move.
local t = require "t.credentials"
local shared = require "unit.remote.home"(_ENV)
local SECRET, TOKEN, HOUR, FAR, write = shared.SECRET, shared.TOKEN, shared.HOUR, shared.FAR, shared.write
local open, server, failure, json_set = shared.open, shared.server, shared.failure, shared.json_set
local in_ms = shared.in_ms

describe("credentials", function()
  describe("of a container", function()
    local function body(b, id) return json_set { AccessKeyId = id or "ASIACONT", SecretAccessKey = SECRET, Token = TOKEN, Expiration = in_ms(b, 6 * HOUR) } end
    local clock = { now = function() return os.time() * 1000 end }

    it("are fetched with the token of a file that is read anew", function()
      local s, url = server()
      s:reply("GET /creds?a=b ", { body = body(clock) })
      write(shared.home .. "/token", "bearer-secret")
      local b = open { AWS_CONTAINER_CREDENTIALS_FULL_URI = url .. "/creds?a=b", AWS_CONTAINER_AUTHORIZATION_TOKEN = "not this",
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE = shared.home .. "/token" }
      local c = b:wait()
      assert.same({ "ASIACONT", SECRET, TOKEN, "container" }, { c.access_key, c.secret_key, c.session_token, c.source })
      assert.is_truthy(s:requests()[1]:find("\r\nAuthorization: bearer-secret\r\n", 1, true))
      assert.is_truthy(s:requests()[1]:find("\r\nAccept: application/json\r\n", 1, true))
      write(shared.home .. "/token", "rotated")
      assert.is_true(b:refused())
      b:wait()
      assert.is_truthy(s:requests()[2]:find("\r\nAuthorization: rotated\r\n", 1, true))
    end)

    it("are asked for three times", function()
      local s, url = server()
      s:reply("GET", { status = "503", times = 2 })
      s:reply("GET", { body = body(clock) })
      assert.equal("ASIACONT", open({ AWS_CONTAINER_CREDENTIALS_FULL_URI = url }):wait().access_key)
      s, url = server()
      s:reply("GET", { status = "500", body = SECRET })
      assert.matches("container: " .. url .. "/creds: status 500$", failure(open { AWS_CONTAINER_CREDENTIALS_FULL_URI = url .. "/creds?x=1" }))
      assert.equal(3, #s:requests())
    end)

    it("come over plain HTTP only from hosts on the list", function()
      for _, host in ipairs { "10.0.0.1", "169.254.170.3", "192.0.2.1:80", "[fd00:ec2::24]", "[::2]", "128.0.0.1" } do
        assert.matches("container: AWS_CONTAINER_CREDENTIALS_FULL_URI: host '.*' is not allowed without TLS: only loopback, 169.254.170.2,",
          failure(open { AWS_CONTAINER_CREDENTIALS_FULL_URI = "http://" .. host .. "/x" }))
      end
      local s = server()
      s:reply("GET", { body = body(clock) })
      assert.equal("ASIACONT", open({ AWS_CONTAINER_CREDENTIALS_FULL_URI = ("http://localhost:%d/"):format(s:port()) }):wait().access_key)
    end)

    it("refuse a token that would break the header", function()
      write(shared.home .. "/token", "a\r\nX-Evil: bearer-secret")
      local env = { AWS_CONTAINER_CREDENTIALS_FULL_URI = "http://127.0.0.1:1/", AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE = shared.home .. "/token" }
      assert.matches("container: AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: .*/token: the token holds a byte", failure(open(env)))
      env.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE = nil
      env.AWS_CONTAINER_AUTHORIZATION_TOKEN = "a\nbearer-secret"
      assert.matches("AWS_CONTAINER_AUTHORIZATION_TOKEN holds a control character$", failure(open(env)))
    end)

    it("refuse a relative address that is none", function()
      assert.matches("RELATIVE_URI does not begin with '/'$", failure(open { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI = "@evil.example/" }))
      assert.matches("RELATIVE_URI: URL holds a character that must be percent%-encoded$",
        failure(open { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI = "/a b" }))
    end)

    it("are an error when the answer is not what is agreed", function()
      for _, case in ipairs { { "", "is not a JSON object" }, { "[]", "is not a JSON object" }, { "{}", "AccessKeyId is missing" },
        { '{"AccessKeyId":"a","SecretAccessKey":"' .. SECRET, "is not a JSON object" } } do
        local s, url = server()
        s:reply("GET", { body = case[1] })
        assert.matches("container: " .. url .. ": " .. case[2] .. "$", failure(open { AWS_CONTAINER_CREDENTIALS_FULL_URI = url }))
      end
    end)
  end)

  local function imds(s, fields)
    s:reply("PUT /latest/api/token ", { body = "imds-token" })
    s:reply("GET /latest/meta-data/iam/security-credentials/ ", { body = "app-role\n" })
    s:reply("GET /latest/meta-data/iam/security-credentials/app-role ", fields)
  end
  local function imds_body(expires, id)
    return json_set { Code = "Success", LastUpdated = "x", Type = "AWS-HMAC", AccessKeyId = id or "ASIAIMDS", SecretAccessKey = SECRET,
      Token = TOKEN, Expiration = expires }
  end

  describe("of instance metadata", function()
    it("are got in a session, past any proxy", function()
      local s, url = server()
      imds(s, { body = imds_body(FAR) })
      local env = { AWS_EC2_METADATA_SERVICE_ENDPOINT = url }
      for _, name in ipairs { "http_proxy", "HTTP_PROXY", "all_proxy" } do env[name] = "http://127.0.0.1:1" end
      local c = open(env):wait()
      assert.same({ access_key = "ASIAIMDS", secret_key = SECRET, session_token = TOKEN, source = "IMDSv2 role app-role",
        expires_ms = 7226582400000 }, c)
      local r = s:requests()
      assert.equal(3, #r)
      assert.is_truthy(r[1]:find("\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n", 1, true))
      assert.is_truthy(r[2]:find("\r\nx-aws-ec2-metadata-token: imds-token\r\n", 1, true))
      assert.is_truthy(r[3]:find("\r\nx-aws-ec2-metadata-token: imds-token\r\n", 1, true))
    end)

    it("begin a new session once when the old one is not known", function()
      local s, url = server()
      s:reply("GET /latest/meta-data/iam/security-credentials/ ", { status = "401", times = 1 })
      imds(s, { body = imds_body(FAR) })
      assert.equal("ASIAIMDS", open({ AWS_EC2_METADATA_SERVICE_ENDPOINT = url }):wait().access_key)
      s, url = server()
      s:reply("GET", { status = "401" })
      imds(s, {})
      assert.matches("the name of the role: status 401$", failure(open { AWS_EC2_METADATA_SERVICE_ENDPOINT = url }))
      assert.equal(4, #s:requests())
    end)

    it("that hang cost their time-out and are named", function()
      local s, url = server()
      s:reply("PUT", { hold = true })
      local b, before = open { AWS_EC2_METADATA_SERVICE_ENDPOINT = url }, t.mono_ms()
      local why = failure(b)
      assert.matches("^no credentials were found\n", why)
      assert.matches("instance metadata: PUT " .. url .. "/latest/api/token: ", why)
      assert.is_true(t.mono_ms() - before >= 1000)
      assert.equal(1, #s:requests())
    end)

    it("are an error that says what is wrong", function()
      for _, case in ipairs {
        { { "PUT", { status = "403" } }, "no session token: status 403" },
        { { "PUT", { body = "two\nlines" } }, "no session token: status 200" },
        { { "GET /latest/meta-data/iam/security-credentials/ ", { status = "404" } }, "the instance has no role" },
        { { "GET /latest/meta-data/iam/security-credentials/ ", { body = "" } }, "the instance has no role" },
        { { "GET /latest/meta-data/iam/security-credentials/ ", { body = "a b" } }, "the name of the role: status 200" },
        { { "GET /latest/meta-data/iam/security-credentials/app", { status = "404" } }, "credentials of role app%-role: status 404" },
        { { "GET /latest/meta-data/iam/security-credentials/app", { body = '{"Code":"AssumeRoleUnauthorizedAccess","Message":"EC2 cannot assume"}' } },
          "credentials of role app%-role: AssumeRoleUnauthorizedAccess: EC2 cannot assume" },
        { { "GET /latest/meta-data/iam/security-credentials/app", { body = "<html>" } }, "is not a JSON object" },
      } do
        local s, url = server()
        s:reply(case[1][1], case[1][2])
        imds(s, {})
        assert.matches("instance metadata: .*" .. case[2] .. "$", failure(open { AWS_EC2_METADATA_SERVICE_ENDPOINT = url }))
      end
    end)

    it("that have expired stay in use, with a warning", function()
      local s, url = server()
      imds(s, { body = imds_body "2020-01-01T00:00:00Z" })
      local b = open { AWS_EC2_METADATA_SERVICE_ENDPOINT = url }
      local c = b:wait()
      assert.equal("ASIAIMDS", c.access_key)
      assert.is_true(c.expires_ms >= b:now() + 9 * 60000 and c.expires_ms <= b:now() + 15 * 60000)
      assert.matches('"level":"warn","msg":"expired credentials of the instance stay in use', b:logged())
    end)

    it("that cannot be refreshed stay in use after they expired", function()
      local s, url = server()
      s:reply("PUT", { body = "t", times = 1 })
      s:reply("PUT", { status = "503" })
      imds(s, { body = imds_body(t.iso(os.time() * 1000 + HOUR)) })
      local b = open { AWS_EC2_METADATA_SERVICE_ENDPOINT = url }
      assert.equal("ASIAIMDS", b:wait().access_key)
      b:advance(2 * HOUR)
      local c = b:wait()
      assert.equal("ASIAIMDS", c.access_key)
      assert.is_true(c.expires_ms > b:now())
      assert.equal(1, b:stats().failures)
    end)

    it("know the region", function()
      local s, url = server()
      s:reply("PUT", { body = "t" })
      s:reply("GET /latest/meta-data/placement/region ", { body = "eu-south-1", times = 1 })
      s:reply("GET /latest/meta-data/placement/region ", { body = "evil.com/", times = 1 })
      s:reply("GET", { status = "404" })
      local b = open { AWS_EC2_METADATA_SERVICE_ENDPOINT = url }
      assert.equal("eu-south-1", b:imds_region())
      assert.is_nil((b:imds_region()))
      local r, why = b:imds_region()
      assert.is_nil(r)
      assert.matches("instance metadata: " .. url .. ": the region: status 404$", why)
      r, why = open({}):imds_region()
      assert.is_nil(r)
      assert.equal("instance metadata: disabled by AWS_EC2_METADATA_DISABLED", why)
    end)
  end)

  -- ==== the store ====

  describe("in the store", function()
    local function container(s, url, ...)
      for _, r in ipairs { ... } do s:reply("GET", r) end
      return open { AWS_CONTAINER_CREDENTIALS_FULL_URI = url .. "/" }
    end
    local function set(n, life_ms)
      return { body = json_set { AccessKeyId = "AK" .. n, SecretAccessKey = "SK" .. n, Token = "TK" .. n,
        Expiration = t.iso(os.time() * 1000 + life_ms) } }
    end
    local function with(r, extra)
      for k, v in pairs(extra) do r[k] = v end
      return r
    end
    local function fetched(b, n) -- waits until n fetches have ended, by asking
      while b:stats().fetches < n do b:turn() end
    end

    it("are fetched at first need, once for all, and the loop of who asked is told", function()
      local s, url = server()
      local b = container(s, url, set(1, HOUR))
      assert.equal("wait", b:get())
      assert.equal("wait", b:get())
      assert.equal(1, b:called(1))
      assert.equal("AK1", b:get().access_key)
      assert.equal(1, #s:requests())
      assert.equal(1, b:turn())
    end)

    it("are given while they are refreshed from five minutes before they expire", function()
      local s, url = server()
      local b = container(s, url, with(set(1, HOUR), { times = 1 }), with(set(2, 3 * HOUR), { hold = true }))
      assert.equal("AK1", b:wait().access_key)
      b:advance(HOUR - 6 * 60000)
      assert.equal("AK1", b:get().access_key)
      assert.equal(1, b:stats().fetches)
      b:advance(60000 + 40000)
      assert.equal("AK1", b:get().access_key)
      fetched(b, 2)
      for _ = 1, 50 do assert.equal("AK1", b:get().access_key) end
      s:release()
      local c
      repeat c = b:get() until c.access_key ~= "AK1"
      assert.same({ "AK2", "SK2", "TK2" }, { c.access_key, c.secret_key, c.session_token })
      assert.equal(2, #s:requests())
    end)

    it("that live shorter than ten minutes are refreshed at half their life", function()
      local s, url = server()
      local b = container(s, url, with(set(1, 8 * 60000), { times = 1 }), set(2, HOUR))
      assert.equal("AK1", b:wait().access_key)
      b:advance(3 * 60000 + 50000)
      b:get()
      assert.equal(1, b:stats().fetches)
      b:advance(12000)
      assert.equal("AK1", b:get().access_key)
      repeat until b:get().access_key == "AK2"
    end)

    it("stay while refreshing fails, until they expire; the failure is told then", function()
      local s, url = server()
      local b = container(s, url, with(set(1, HOUR), { times = 1 }), { status = "404" })
      b:wait()
      b:advance(HOUR - 120000)
      assert.equal("AK1", b:get().access_key)
      while b:stats().failures < 1 do assert.equal("AK1", b:get().access_key) end
      assert.matches('"level":"warn","msg":"credentials could not be refreshed.*"reason":".*status 404', b:logged())
      assert.equal("AK1", b:get().access_key)
      assert.equal(2, b:stats().fetches)
      b:advance(31000)
      assert.equal("AK1", b:get().access_key)
      while b:stats().failures < 2 do b:get() end
      b:advance(120000)
      assert.matches("container: " .. url .. "/: status 404$", failure(b))
      assert.matches("status 404$", b:stats().last_failure)
    end)

    it("that could not be fetched are not asked for again within a second", function()
      local s, url = server()
      local b = container(s, url, { status = "404" })
      assert.equal("wait", b:get())
      b:called(1)
      local c, why = b:get()
      assert.is_nil(c)
      assert.matches("status 404$", why)
      assert.is_nil((b:get()))
      assert.is_nil((b:wait()))
      assert.equal(1, b:stats().fetches)
      while b:get() ~= "wait" do os.execute "sleep 0.05" end
      b:called(2)
      assert.equal(2, b:stats().fetches)
    end)

    it("that the service refuses are replaced, but not again and again", function()
      local s, url = server()
      local b = container(s, url, with(set(1, HOUR), { times = 1 }), with(set(2, HOUR), { hold = true }))
      b:wait()
      assert.is_true(b:refused())
      assert.equal("wait", b:get())
      s:release()
      b:called(1)
      assert.equal("AK2", b:get().access_key)
      assert.is_false(b:refused())
      assert.equal("AK2", b:get().access_key)
      assert.equal(2, b:stats().fetches)
    end)

    it("forget a waiter; one that was posted already is still called", function()
      local s, url = server()
      local b = container(s, url, with(set(1, HOUR), { hold = true }))
      assert.is_true(b:forget())
      assert.equal("wait", b:get())
      assert.is_true(b:forget())
      assert.equal("wait", b:get())
      s:release()
      assert.equal("AK1", b:wait().access_key)
      assert.is_false(b:forget())
      assert.equal(1, b:called(1))
      assert.is_true(b:forget())
    end)

    it("close at any moment, also while a source hangs", function()
      local s, url = server()
      local b = container(s, url, { hold = true })
      assert.equal("wait", b:get())
      while #s:requests() < 1 do b:turn() end
      assert.is_true(b:forget())
      local before = t.mono_ms()
      b:close()
      shared.closed_here()
      assert.is_true(t.mono_ms() - before < 5000)
    end)

    it("are whole sets for many threads that ask and refuse at once", function()
      local s, url = server()
      for i = 1, 40 do s:reply("GET", with(set(i, HOUR), { times = 1 })) end
      s:reply("GET", set(41, HOUR))
      local b = open { AWS_CONTAINER_CREDENTIALS_FULL_URI = url .. "/" }
      local mixed, failures = b:storm(4, 500)
      assert.same({ 0, 0 }, { mixed, failures })
      assert.is_true(b:stats().fetches >= 2)
    end)
  end)
end)
