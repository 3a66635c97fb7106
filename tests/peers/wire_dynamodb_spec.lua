-- boto3 against DynamoDB on the cloud port: see wire_dynamodb.py.
local support = require "e2e.support"
local wire = require "peers.wire"

local CHECKS = {
  "tables: create, describe, list in pages, delete", "items: all types there and back", "items: update, conditions, what is returned",
  "items: query and scan in pages, with filters", "items: an index", "items: batches", "items: transactions, their reasons and tokens",
  "time to live", "errors have botocore's classes", "unknown operations are named", "unsigned, an unknown key, a wrong secret",
  "a clock that is wrong by more than 15 minutes", "CRC32 and request id of answers and errors", "what is no JSON",
  "16 MB of a batch of binaries, and no more", "many clients at once count exactly",
}

describe("boto3 on DynamoDB", function()
  local results, server

  setup(function()
    if wire.missing() then return end
    server = support.cloud()
    results = wire.run("wire_dynamodb.py", server.cloud)
  end)
  teardown(function()
    if server then server:stop() end
  end)

  for _, name in ipairs(CHECKS) do
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
