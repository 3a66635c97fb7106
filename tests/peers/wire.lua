--- AWS's own clients against `perigee cloud`: runs a Python script of checks and gives what each found.
---
---   local why = wire.missing()                              -- nil, or what to tell in pending()
---   local results = wire.run("wire_dynamodb.py", url)       -- { ["put and get"] = true | "what went wrong" }
---   wire.describe(_ENV, "boto3 on DynamoDB", "wire_dynamodb.py", { "put and get", ... })
---
--- A script gets the address as its argument and prints, as its last line, a JSON object of its checks' names: true, or the
--- traceback.
local json = require "perigee.json"
local support = require "e2e.support"

local wire = {}

local function has_boto3(python)
  local _, status = support.sh("%s -c 'import boto3' 2>/dev/null", support.quote(python))
  return status == 0
end

local chosen
--- A Python that has boto3: PERIGEE_PEERS_PYTHON, build/peers/venv, python3; or nil.
function wire.python()
  if chosen ~= nil then return chosen or nil end
  chosen = false
  for _, python in ipairs { os.getenv "PERIGEE_PEERS_PYTHON" or "", "build/peers/venv/bin/python", "python3" } do
    if python ~= "" and has_boto3(python) then
      chosen = python
      break
    end
  end
  return chosen or nil
end

function wire.missing()
  if not wire.python() then return "boto3 is not installed; see tests/peers/README.md" end
end

function wire.run(script, url, args)
  local out, status = support.sh("timeout 300 %s tests/peers/%s %s %s 2>&1", support.quote(wire.python()), script, support.quote(url), args or "")
  local last = out:match "([^\n]*)\n?$"
  local ok, results = pcall(json.decode, last)
  if not ok or type(results) ~= "table" then error(("%s ended with status %s:\n%s"):format(script, status, out), 2) end
  return results
end

--- One test a check of the script, against a server of its own (what `start` gives, else the engine's); and that these are all its
--- checks.
function wire.describe(_ENV, what, script, checks, start) -- of the spec
  describe(what, function()
    local results, server

    setup(function()
      if wire.missing() then return end
      server = (start or support.cloud)()
      results = wire.run(script, server.cloud or server.invoke)
    end)
    teardown(function()
      if server then server:stop() end
    end)

    for _, name in ipairs(checks) do
      it(name, function()
        if wire.missing() then return pending(wire.missing()) end
        assert.equal(true, results[name])
        results[name] = nil
      end)
    end

    it("is all that was checked", function()
      if wire.missing() then return pending(wire.missing()) end
      assert.same({}, results)
    end)
  end)
end

return wire
