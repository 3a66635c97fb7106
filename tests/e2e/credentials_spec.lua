--- Where credentials come from, with the real binary: each source once, and refreshing under load. The endpoints are a
--- second `perigee serve` (fixtures/endpoints), which tells who signed.
local support = require "e2e.support"
local json = require "perigee.json"

local WHO = [[
local r, e = require "perigee.aws".call("sts", "GetCallerIdentity", {})
print(r and r.Arn or tostring(e))
]]

-- Calls in 8 lanes until the time is over; prints what went wrong and which keys signed.
local LOAD = [[
local aws, time, parallel = require "perigee.aws", require "perigee.time", require "perigee.parallel"
local stop, calls, keys, failures = time.now() + tonumber(arg[1]), 0, {}, {}
local lanes = {}
for i = 1, 8 do
  lanes[i] = function()
    while time.now() < stop do
      local r, e = aws.call("sts", "GetCallerIdentity", {})
      calls = calls + 1
      if r then keys[r.Arn] = true else failures[#failures + 1] = tostring(e) end
    end
  end
end
parallel(lanes)
local n = 0
for _ in pairs(keys) do n = n + 1 end
print(calls > 0, #failures, n, failures[1])
]]

describe("credentials", function()
  local endpoints, home

  setup(function()
    endpoints = support.start { args = "--template tests/e2e/fixtures/endpoints/config/template.yaml --workers 1" }
  end)
  teardown(function() endpoints:stop() end)
  before_each(function()
    home = support.tmpdir()
    support.sh("mkdir -p %s/.aws/sso/cache", home)
    assert.equal(200, endpoints:post("/control", { life_ms = 3600000 }).status)
  end)
  after_each(function() support.rmdir(home) end)

  local function config(text) support.write(home .. "/.aws/config", text) end

  --- Runs a script on --aws with nothing but this environment; what it prints, and what it logs.
  local function run(env, script, options, arguments)
    local all = { HOME = home, PATH = os.getenv "PATH", AWS_REGION = "eu-west-1", AWS_ENDPOINT_URL = endpoints.http,
      AWS_EC2_METADATA_DISABLED = not env.AWS_EC2_METADATA_SERVICE_ENDPOINT and "true" or nil }
    for name, value in pairs(env) do all[name] = value or nil end
    local words = {}
    for name, value in pairs(all) do words[#words + 1] = support.quote(name .. "=" .. value) end
    support.write(home .. "/script.lua", script)
    local out = support.sh("env -i %s %s run --aws %s %s/script.lua %s 2>%s/log", table.concat(words, " "), support.bin,
      options or "", home, arguments or "", home)
    local log = support.read(home .. "/log")
    assert.is_nil((out .. log):find("secret%-of"), out .. log)
    return (out:gsub("\n$", "")), log
  end
  local function who(env, options) return run(env, WHO, options) end

  it("are the explicit ones", function()
    assert.equal("AKEXPLICIT", who({ AWS_ACCESS_KEY_ID = "AKENV", AWS_SECRET_ACCESS_KEY = "x" },
      "--access-key-id AKEXPLICIT --secret-access-key s"))
  end)

  it("come from the environment", function()
    assert.equal("AKENV", who { AWS_ACCESS_KEY_ID = "AKENV", AWS_SECRET_ACCESS_KEY = "x" })
  end)

  it("come from a profile's keys, with --profile over the environment", function()
    support.write(home .. "/.aws/credentials", "[dev]\naws_access_key_id = AKFILE\naws_secret_access_key = x\n")
    assert.equal("AKFILE", who { AWS_PROFILE = "dev" })
    assert.equal("AKFILE", who({ AWS_ACCESS_KEY_ID = "AKENV", AWS_SECRET_ACCESS_KEY = "x" }, "--profile dev"))
  end)

  it("come from a role that a profile assumes with another's keys", function()
    config "[default]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n[profile base]\naws_access_key_id = AKBASE\naws_secret_access_key = x\n"
    assert.matches("^ROLE%-BY%-AKBASE%-%d+$", (who {}))
  end)

  it("come from a role of a web identity", function()
    support.write(home .. "/jwt", "the-jwt\n")
    assert.matches("^WEB%d+$", (who { AWS_WEB_IDENTITY_TOKEN_FILE = home .. "/jwt", AWS_ROLE_ARN = "arn:aws:iam::1:role/r" }))
  end)

  it("come from IAM Identity Center with the token of a login", function()
    config "[default]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://x\n"
    assert.matches("run: aws sso login %-%-sso%-session corp", (who {}))
    local name = support.sh "printf corp | sha1sum":match "%x+"
    support.write(home .. "/.aws/sso/cache/" .. name .. ".json", json.encode { accessToken = "the-bearer", expiresAt = "2199-01-01T00:00:00Z" })
    assert.matches("^SSO%d+$", (who {}))
  end)

  it("come from a program", function()
    support.write(home .. "/tool", '#!/bin/sh\necho \'{"Version":1,"AccessKeyId":"AK\'$1\'","SecretAccessKey":"s"}\'\n')
    support.sh("chmod 755 %s/tool", home)
    config("[default]\ncredential_process = " .. home .. "/tool PROCESS\n")
    assert.equal("AKPROCESS", (who {}))
  end)

  it("come from a container's endpoint", function()
    local env = { AWS_CONTAINER_CREDENTIALS_FULL_URI = endpoints.http .. "/container", AWS_CONTAINER_AUTHORIZATION_TOKEN = "the-container-token" }
    assert.matches("^CONTAINER%d+$", (who(env)))
    env.AWS_CONTAINER_CREDENTIALS_FULL_URI = "http://192.0.2.1/container"
    assert.matches("host '192.0.2.1' is not allowed without TLS", (who(env)))
  end)

  it("come from instance metadata, the region too, past any proxy", function()
    assert.matches("^IMDS%d+$", (who { AWS_EC2_METADATA_SERVICE_ENDPOINT = endpoints.http, AWS_REGION = false,
      http_proxy = "http://127.0.0.1:1", NO_PROXY = "127.0.0.1" }))
  end)

  it("that nobody has are an error that says who was asked", function()
    local out = who {}
    for _, source in ipairs { "environment", "profile default", "web identity", "container", "instance metadata" } do
      assert.is_truthy(out:find("\n  " .. source .. ": ", 1, true), out)
    end
  end)

  it("of instance metadata that hang delay the start by the time-out, and are named", function()
    endpoints:post("/control", { hang_ms = 20000 })
    local began = os.time()
    local out = who { AWS_EC2_METADATA_SERVICE_ENDPOINT = endpoints.http }
    assert.is_true(os.time() - began < 10)
    assert.is_truthy(out:find("instance metadata: PUT " .. endpoints.http .. "/latest/api/token: ", 1, true), out)
  end)

  it("that expire all the time cost no call, on any source", function()
    endpoints:post("/control", { life_ms = 3000 })
    for _, env in ipairs {
      { AWS_CONTAINER_CREDENTIALS_FULL_URI = endpoints.http .. "/container", AWS_CONTAINER_AUTHORIZATION_TOKEN = "the-container-token" },
      { AWS_EC2_METADATA_SERVICE_ENDPOINT = endpoints.http },
    } do
      local out, log = run(env, LOAD, nil, "7000")
      local calls, failures, keys = out:match "^(%a+)%s+(%d+)%s+(%d+)"
      assert.same({ "true", "0" }, { calls, failures }, out .. log)
      assert.is_true(tonumber(keys) >= 3, out)
    end
  end)
end)
