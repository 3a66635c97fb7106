--- A home directory, an environment and servers of each test's own: what the specs of credentials share. Takes the
--- spec's environment. After each test no secret may have got into an error, a log line or what statistics show.
local t = require "t.credentials"

local ID, SECRET, TOKEN = "AKIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG+secret", "session/token+very/secret="

return function(_ENV)
  local shared = { ID = ID, SECRET = SECRET, TOKEN = TOKEN, HOUR = 3600 * 1000, FAR = "2199-01-01T00:00:00Z" }

  function shared.write(path, text, mode)
    local f = assert(io.open(path, "wb"))
    f:write(text)
    f:close()
    if mode then assert(os.execute(("chmod %s %s"):format(mode, path))) end
  end

  function shared.read(path)
    local f = io.open(path, "rb")
    if not f then return nil end
    local text = f:read "a"
    f:close()
    return text
  end

  local boxes, servers, told

  before_each(function()
    shared.home = os.tmpname()
    os.remove(shared.home)
    assert(os.execute("mkdir -p " .. shared.home .. "/.aws/sso/cache"))
    boxes, servers, told = {}, {}, {}
  end)

  after_each(function()
    for _, b in ipairs(boxes) do
      told[#told + 1] = b:logged()
      told[#told + 1] = b:stats().last_failure or ""
      b:close()
    end
    for _, s in ipairs(servers) do s:close() end
    os.execute("rm -rf " .. shared.home)
    local all = table.concat(told, "\n")
    for _, secret in ipairs { SECRET, TOKEN, "wJalrXUtn", "very/secret", "JWT-secret", "bearer-secret" } do
      assert.is_nil(all:find(secret, 1, true), all)
    end
  end)

  function shared.open(env, explicit)
    env.HOME = env.HOME or shared.home
    env.AWS_EC2_METADATA_DISABLED = env.AWS_EC2_METADATA_DISABLED or (env.AWS_EC2_METADATA_SERVICE_ENDPOINT and "false" or "true")
    env.AWS_REGION = env.AWS_REGION or "eu-west-1"
    local b, why = t.open(env, explicit)
    assert(b, why)
    boxes[#boxes + 1] = b
    return b
  end

  -- The one that was opened last: the test itself closes it.
  function shared.closed_here() table.remove(boxes) end

  function shared.server()
    local s = t.server()
    servers[#servers + 1] = s
    return s, "http://127.0.0.1:" .. s:port()
  end

  function shared.failure(b)
    local c, why, name = b:wait()
    assert.is_nil(c)
    assert.equal("CredentialsUnavailable", name)
    told[#told + 1] = why
    return why
  end

  function shared.json_set(fields)
    local parts = {}
    for k, v in pairs(fields) do parts[#parts + 1] = ('"%s":%s'):format(k, type(v) == "number" and v or '"' .. v .. '"') end
    return "{" .. table.concat(parts, ",") .. "}"
  end

  function shared.in_ms(b, ms) return t.iso(b:now() + ms) end

  function shared.config(text) shared.write(shared.home .. "/.aws/config", text) end

  function shared.script(name, text)
    shared.write(shared.home .. "/" .. name, "#!/bin/sh\n" .. text .. "\n", "755")
    return shared.home .. "/" .. name
  end

  return shared
end
