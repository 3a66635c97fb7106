--- Random calls to our engine and to a peer by a script built on differ.py: equal answers, but for what the script explains.
--- PERIGEE_DIFF_CALLS: how many, PERIGEE_DIFF_SEED: which.
---
---   differ.describe(_ENV, "diff_s3.py", { moto = 600, minio = 600 })     -- calls of an ordinary run, by peer
local json = require "perigee.json"
local peers = require "peers.peers"
local support = require "e2e.support"
local wire = require "peers.wire"

local differ = {}

local function number(name, default) return math.tointeger(tonumber(os.getenv(name) or default)) end

function differ.run(script, ours, peer, calls)
  local out = support.sh("timeout 3000 %s tests/peers/%s %s %s --seed %d --count %d 2>&1", support.quote(wire.python()), script,
    support.quote(ours), peer, number("PERIGEE_DIFF_SEED", 1), calls)
  local ok, last = pcall(json.decode, out:match "([^\n]*)\n?$" or "")
  assert(ok and type(last) == "table" and last.differences, out)
  return last, out
end

--- arguments: what follows the peer's address on the command line, by peer.
function differ.describe(_ENV, script, counts, arguments) -- of the spec
  for name, count in pairs(counts) do
    describe(script .. " with " .. name, function()
      local why = wire.missing() or peers.missing { name }
      local server, set

      setup(function()
        if why then return end
        server = support.cloud()
        set = peers.start { name }
      end)
      teardown(function()
        if set then set:stop() end
        if server then server:stop() end
      end)

      it("finds no difference that is not explained", function()
        if why then return pending(why) end
        local calls = number("PERIGEE_DIFF_CALLS", count)
        local peer = support.quote(set.url[name]) .. " " .. (arguments and arguments[name] or "")
        local last, out = differ.run(script, server.cloud, peer, calls)
        assert(last.differences == 0, out)
        assert(last.calls >= calls, out)
      end)
    end)
  end
end

return differ
