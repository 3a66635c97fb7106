-- Uploads in parts, copies and versions survive kill -9 at any moment: what was acknowledged is there and whole, and each
-- row has its file and each file its row.
local t = require "t.local"
local json = require "cjson"

local function output(command)
  local p <close> = io.popen(command)
  return p:read "a"
end
local self = output("readlink /proc/" .. t.pid() .. "/exe"):match "%S+"

local function run_and_kill(dir, tag, lines)
  local p = io.popen(("STORE_DIR=%s STORE_TAG=%s exec %s tests/faults/s3_driver.lua 2>&1"):format(dir, tag, self))
  local pid = tonumber(p:read("l"):match "pid (%d+)")
  local acked = {}
  for line in p:lines() do
    acked[#acked + 1] = line
    if #acked == lines then os.execute("kill -9 " .. pid) end
  end
  p:close()
  assert(#acked >= lines, "the driver stopped by itself: " .. tostring(acked[#acked]))
  return acked
end

describe("killing the process while objects are made of parts", function()
  it("loses nothing that was acknowledged and leaves no stray file", function()
    local dir = output("mktemp -d"):match "%S+"
    local acked = {}
    for round = 1, 4 do
      for _, line in ipairs(run_and_kill(dir, "r" .. round, 5 + math.random(25))) do acked[#acked + 1] = line end
      local e = assert(t.open { dir = dir })
      for _, line in ipairs(acked) do
        local name = assert(line:match "^object (%S+)$", line)
        local _, bytes = e:call("s3", "GetObject", json.encode { Bucket = "bkt", Key = "k/" .. name })
        assert.equal(name:rep(500), bytes)
      end
      local ids = {}
      for _, row in ipairs(e:sql("SELECT object_id FROM objects UNION ALL SELECT object_id FROM object_versions WHERE marker=0 UNION ALL " ..
        "SELECT object_id FROM parts")) do ids[row[1]] = true end
      for path in output("find " .. dir .. "/s3 -type f"):gmatch "[^\n]+" do
        local id = path:match "[^/]+$"
        assert.is_true(ids[id], "stray: " .. path)
        ids[id] = nil
      end
      assert.is_nil((next(ids)))
      e:close()
    end
    os.execute("rm -rf " .. dir)
  end)
end)
