--- kill -9 of `perigee cloud` under a mixed load from several processes, over and over on one data directory: what was
--- acknowledged is there, what was not is there whole or not at all. PERIGEE_CRASHES says how often, PERIGEE_SEED repeats.
local json = require "perigee.json"
local support = require "e2e.support"

local CRASHES = math.tointeger(tonumber(os.getenv "PERIGEE_CRASHES" or 6))
local SEED = math.tointeger(tonumber(os.getenv "PERIGEE_SEED" or os.time()))
local CLIENTS = { "dynamodb-1", "dynamodb-2", "sqs-1", "sqs-2", "s3-1", "s3-2" }
local driver = debug.getinfo(1, "S").source:sub(2):gsub("[^/]*$", "cloud_driver.lua")

-- Python's sqlite3, another build of the library than the server's: sound pages, and rows and files of objects one to one.
local CHECK = [[
import os, sqlite3, sys
data = sys.argv[1]
db = sqlite3.connect("file:%s/store.db?mode=ro" % data, uri=True)
bad = [r[0] for r in db.execute("PRAGMA integrity_check") if r[0] != "ok"]
rows = {}
for table, in db.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall():
    if "object_id" in [c[1] for c in db.execute("PRAGMA table_info(%s)" % table)]:
        rows.update(db.execute("SELECT object_id, size FROM %s WHERE object_id<>''" % table).fetchall())
for where, _, names in os.walk(data + "/s3"):
    for name in names:
        path = os.path.join(where, name)
        size = rows.pop(name, None)
        if size is None or "/s3/tmp/" in path: bad.append("no row names " + path)
        elif size != os.path.getsize(path): bad.append("%d bytes, not %d: %s" % (os.path.getsize(path), size, path))
bad += ["no file of " + name for name in rows]
print("\n".join(bad) or "sound")
]]

local function check_store(data)
  assert.equal("sound\n", (support.sh("python3 -c %s %s 2>&1", support.quote(CHECK), support.quote(data))))
end

describe("perigee cloud, killed at random moments of a mixed load", function()
  local data, dir, server
  local sums = { acknowledged = 0, refused = 0, doubt = 0, applied = 0, messages = 0, aborted = 0, early = 0, swept = 0 }

  setup(function() data, dir = support.tmpdir(), support.tmpdir() end)
  teardown(function()
    if server then server:signal "KILL" end -- of a test that failed
    support.rmdir(data)
    support.rmdir(dir)
  end)

  -- A client by AWS's protocols, which tries nothing twice.
  local function command(args)
    return ("AWS_ACCESS_KEY_ID=perigee AWS_SECRET_ACCESS_KEY=perigee AWS_REGION=us-east-1 AWS_ENDPOINT_URL=%s AWS_MAX_ATTEMPTS=1 "
      .. "AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true "
      .. "timeout 60 %s run --aws %s %s 2>&1"):format(server.cloud, support.release, support.quote(driver), args)
  end

  local function start()
    server = support.cloud { data = data, bin = support.release, args = "--workers 2" }
    check_store(data)
  end

  local function verify(more)
    local out, status = support.sh("%s", command(("verify %s %d %s"):format(dir, math.random(1 << 30), more or "")))
    assert.equal(0, status, out)
    for what, n in pairs(assert(json.decode(out:match "verified (%b{})"))) do sums[what] = sums[what] + n end
  end

  --- Ends a server before it is up: while it looks through what the last one left.
  local function crash_early()
    support.sh("{ %s cloud --port 0 --data %s & sleep %.4f; kill -9 $!; wait $!; } >/dev/null 2>&1", support.release, support.quote(data),
      math.random() * 0.02)
    sums.early = sums.early + 1
  end

  local function crash()
    for _, name in ipairs(CLIENTS) do
      local args = ("work %s %s %d"):format(dir, name, math.random(1 << 30))
      support.sh("(%s; echo \"status $?\") >%s/%s.out &", command(args), dir, name)
    end
    local function all(pattern)
      for _, name in ipairs(CLIENTS) do
        if not support.read(dir .. "/" .. name .. ".out"):find(pattern) then return false end
      end
      return true
    end
    support.eventually(20, "all clients at work", function() return all "working\n" end)
    support.sh("sleep %.4f", 0.1 + math.random() * 0.6)
    server:kill()
    support.eventually(70, "end of all clients", function() return all "status %d+\n" end)
    for _, name in ipairs(CLIENTS) do
      assert.matches("^working\ngone: .*\nstatus 0\n$", support.read(dir .. "/" .. name .. ".out"), name)
    end
    assert.is_nil(server:log():match '[^\n]*"level":"error"[^\n]*')
    local removed = server:log():match "removed unfinished object files.-files\"?[=:](%d+)"
    sums.swept = sums.swept + (tonumber(removed) or 0)
    support.rmdir(server.dir)
    server = nil
  end

  it("loses nothing that it acknowledged and shows nothing half-written", function()
    print(("PERIGEE_SEED=%d"):format(SEED))
    math.randomseed(SEED)
    start()
    local out, status = support.sh("%s", command("setup " .. dir .. " " .. table.concat(CLIENTS, " ")))
    assert.equal(0, status, out)
    for _ = 1, CRASHES do
      crash()
      if math.random(3) == 1 then crash_early() end
      start()
      verify()
    end
    verify "drain"
    assert.matches("stopped", server:stop())
    server = nil
    check_store(data)
    print(("%d kills, %d more of a server not yet up: %d effects acknowledged, %d refused, %d in doubt (%d of them done), %d messages, %d uploads aborted, %d files swept")
      :format(CRASHES, sums.early, sums.acknowledged, sums.refused, sums.doubt, sums.applied, sums.messages, sums.aborted, sums.swept))
    assert.is_true(sums.acknowledged > 5 * CRASHES, "too little was acknowledged to show anything")
  end)
end)
