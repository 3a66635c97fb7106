-- Random calls to our engine and to DynamoDB Local: equal answers, but for what README.md lists. See diff_dynamodb.py.
-- PERIGEE_DIFF_CALLS: how many, PERIGEE_DIFF_SEED: which.
local json = require "perigee.json"
local peers = require "peers.peers"
local support = require "e2e.support"
local wire = require "peers.wire"

local CALLS = math.tointeger(tonumber(os.getenv "PERIGEE_DIFF_CALLS" or "700"))
local SEED = math.tointeger(tonumber(os.getenv "PERIGEE_DIFF_SEED" or "1"))

describe("DynamoDB Local and the engine", function()
  local why = wire.missing() or peers.missing { "dynamodb" }
  local server, set

  setup(function()
    if why then return end
    server = support.cloud()
    set = peers.start { "dynamodb" }
  end)
  teardown(function()
    if set then set:stop() end
    if server then server:stop() end
  end)

  it("answer random calls alike", function()
    if why then return pending(why) end
    local out = support.sh("timeout 600 %s tests/peers/diff_dynamodb.py %s %s --seed %d --count %d 2>&1", support.quote(wire.python()),
      support.quote(server.cloud), support.quote(set.url.dynamodb), SEED, CALLS)
    local ok, last = pcall(json.decode, out:match "([^\n]*)\n?$" or "")
    assert(ok and type(last) == "table", out)
    assert.equal(CALLS, last.calls)
    assert(last.differences == 0, out)
    assert(last.vague <= math.max(10, CALLS // 15), out)
  end)
end)
