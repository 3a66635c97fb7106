-- The AWS SDK for JavaScript against `perigee cloud`: see wire_js.mjs.
local json = require "perigee.json"
local support = require "e2e.support"

local SDK = "build/peers/node/node_modules/@aws-sdk/lib-storage/package.json"

-- nil, or what to tell in pending()
local function missing()
  local _, node = support.sh "command -v node >/dev/null"
  if node ~= 0 then return "node is not installed" end
  local _, sdk = support.sh("test -f %s", SDK)
  if sdk ~= 0 then return "the SDK for JavaScript is not installed; see tests/peers/README.md" end
end

local function names()
  local list = {}
  for name in support.read("tests/peers/wire_js.mjs"):gmatch '\ncheck%("([^"]+)"' do list[#list + 1] = name end
  return list
end

describe("the SDK for JavaScript", function()
  local results, server

  setup(function()
    if missing() then return end
    server = support.cloud()
    local out = support.sh("NODE_NO_WARNINGS=1 timeout 300 node tests/peers/wire_js.mjs %s 2>&1", support.quote(server.cloud))
    results = json.decode(out:match "([^\n]*)\n?$") or error("wire_js.mjs ended without results:\n" .. out)
  end)
  teardown(function()
    if server then server:stop() end
  end)

  for _, name in ipairs(names()) do
    it(name, function()
      local why = missing()
      if why then return pending(why) end
      assert.equal(true, results[name])
    end)
  end
end)
