-- Uploads in parts, copies and versions survive kill -9 at any moment: what was acknowledged is there and whole, and each
-- row has its file and each file its row.
local t = require "t.local"
local json = require "cjson"
local killing = require "faults.killing"

describe("killing the process while objects are made of parts", function()
  it("loses nothing that was acknowledged and leaves no stray file", function()
    local dir = killing.tmpdir()
    local acked = {}
    for round = 1, 4 do
      for _, line in ipairs(killing.run("s3_driver", dir, "r" .. round, 5 + math.random(25))) do acked[#acked + 1] = line end
      local e = assert(t.open { dir = dir })
      for _, line in ipairs(acked) do
        local name = assert(line:match "^object (%S+)$", line)
        local _, bytes = e:call("s3", "GetObject", json.encode { Bucket = "bkt", Key = "k/" .. name })
        assert.equal(name:rep(500), bytes)
      end
      killing.check_files(e, dir)
      e:close()
    end
    os.execute("rm -rf " .. dir)
  end)
end)
