--- kill -9 during a load of orders, over and over on one data directory: what was acknowledged is there, once.
local support = require "e2e.support"
local host = require "perigee.host"

local ROUNDS = math.tointeger(tonumber(os.getenv "PERIGEE_CRASH_ROUNDS" or 20))
local ORDERS = 500
local load_bin = (support.release:match "^(.*)/" or ".") .. "/bench/perigee_load"

--- All items of a table, as raw attribute values.
local function scan(h, table_name)
  local items, start = {}, nil
  repeat
    local page = assert(h:aws("dynamodb", "Scan", { TableName = table_name, ExclusiveStartKey = start }))
    for _, item in ipairs(page.Items) do items[#items + 1] = item end
    start = page.LastEvaluatedKey
  until not start
  return items
end

local function list_receipts(h)
  local keys, token = {}, nil
  repeat
    local page = assert(h:aws("s3", "ListObjectsV2", { Bucket = "receipts", ContinuationToken = token }))
    for _, object in ipairs(page.Contents or {}) do keys[object.Key] = (keys[object.Key] or 0) + 1 end
    token = page.NextContinuationToken
  until not token
  return keys
end

local function lines(path)
  local set, n = {}, 0
  for line in io.lines(path) do
    if not set[line] then set[line], n = true, n + 1 end
  end
  return set, n
end

describe("kill -9 at random moments of a load", function()
  local data, acks, round_acks
  setup(function()
    data = support.tmpdir()
    acks, round_acks = os.tmpname(), os.tmpname()
  end)
  teardown(function()
    support.rmdir(data)
    os.remove(acks)
    os.remove(round_acks)
  end)

  it("loses no acknowledged order, and each has one receipt and one effect of its event", function()
    math.randomseed(os.time())
    for _ = 1, ROUNDS do
      local server = support.start { data = data, bin = support.release }
      support.sh("%s --port %s --connections 16 --requests %d --acks %s --deadline 20 >/dev/null 2>&1 & sleep %.3f; kill -9 %d; wait",
        load_bin, server.http:match ":(%d+)$", ORDERS, round_acks, math.random(20, 400) / 1000, server.pid)
      support.sh("cat %s >> %s", round_acks, acks)
      server:await_end()
      support.rmdir(server.dir)
    end
    local acknowledged, n = lines(acks)
    assert.is_true(n > ROUNDS, "too few orders were acknowledged to show anything: " .. n)

    local h <close> = assert(host.open { data = data })
    for _ = 1, 3 do -- what was in flight becomes visible again, what the outbox holds is due
      assert(h:advance(15 * 60 * 1000) == nil)
      assert(h:run_schedule "Relay")
      assert(h:drain(300000))
    end
    local receipts = list_receipts(h)
    local orders = {}
    for _, order in ipairs(scan(h, "Orders")) do orders[order.order_id.S] = order end
    for id in pairs(acknowledged) do
      assert.truthy(orders[id], "lost: " .. id)
    end
    for id in pairs(orders) do
      assert.equal(1, receipts["receipts/" .. id .. ".pdf"], "receipts of " .. id)
      assert.equal(1, #orders[id].history.L, "history of " .. id)
    end
    assert.equal(0, #scan(h, "Outbox"))
    print(("%d orders acknowledged over %d kills, all there"):format(n, ROUNDS))
  end)
end)
