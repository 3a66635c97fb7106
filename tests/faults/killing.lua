--- Drivers that are killed while they work: they print "pid N" first, then a line for each thing that was acknowledged.
local t = require "t.local"
local M = {}

function M.output(command)
  local p <close> = io.popen(command)
  return p:read "a"
end

local self = M.output("readlink /proc/" .. t.pid() .. "/exe"):match "%S+"

function M.tmpdir() return M.output("mktemp -d"):match "%S+" end

--- Runs tests/faults/<driver>.lua on `dir` until it has said so many lines, ends it with kill -9, and returns them.
function M.run(driver, dir, tag, lines)
  local p = io.popen(("STORE_DIR=%s STORE_TAG=%s exec %s tests/faults/%s.lua 2>&1"):format(dir, tag, self, driver))
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

--- Fails unless each object file of the engine's directory has a row, and each row its file.
function M.check_files(e, dir)
  local ids = {}
  for _, row in ipairs(e:sql("SELECT object_id FROM objects UNION ALL SELECT object_id FROM object_versions WHERE marker=0 UNION ALL " ..
    "SELECT object_id FROM parts")) do ids[row[1]] = true end
  for path in M.output("find " .. dir .. "/s3 -type f"):gmatch "[^\n]+" do
    local id = path:match "[^/]+$"
    assert(ids[id], "stray: " .. path)
    ids[id] = nil
  end
  assert(not next(ids), "a row without its file: " .. tostring(next(ids)))
end

return M
