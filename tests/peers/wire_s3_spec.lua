-- boto3 on S3 of the cloud port: see wire_s3.py.
local support = require "e2e.support"
local wire = require "peers.wire"

local CHECKS = {
  "buckets: made, found, listed in pages, deleted", "objects: bytes, description, ranges, conditions",
  "checksums: each that this boto3 can make, and wrong ones", "lists: byte order, delimiters, pages of all three",
  "copies and deletions by list", "uploads in parts by the transfer manager, there, back and copied",
  "uploads in parts by hand: checksums, lists, mistakes, abortion", "tags", "versions: kept, marked, restored, removed",
  "lifecycle rules", "what there is not is refused by name",
}

describe("boto3 on S3", function()
  local results, server

  setup(function()
    if wire.missing() then return end
    server = support.cloud()
    results = wire.run("wire_s3.py", server.cloud)
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
