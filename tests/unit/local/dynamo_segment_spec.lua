-- Scans in segments: what belongs to which, under changes, at their limits.
local H = require "unit.local.dynamo_helper"
local S, N = H.S, H.N

describe("A parallel Scan", function()
  local db
  before_each(function()
    db = H.open()
    db:table { "Many", hash = "h:S", range = "r:N", gsi = { { "by_g", "g:N", "r:N", { ProjectionType = "KEYS_ONLY" } } }, lsi = { { "by_l", "h:S", "l:N" } } }
  end)
  after_each(function() db:close() end)

  local function item(h, r) return { h = S(h), r = N(r), g = N(r % 7), l = r % 2 == 0 and N(-r) or nil } end
  -- Collections of 1 to 60 items: of some, most rows are passed at once.
  local function fill()
    local n, puts = 0, {}
    for c = 1, 30 do
      for r = 1, c * 2 do
        puts[#puts + 1], n = { PutRequest = { Item = item("c" .. c, r) } }, n + 1
        if #puts == 25 or (c == 30 and r == 60) then
          db:ok("BatchWriteItem", { RequestItems = { Many = puts } })
          puts = {}
        end
      end
    end
    return n
  end
  local function name_of(i) return i.h.S .. "/" .. i.r.N end
  -- One page after the other of one segment; between(): what happens meanwhile.
  local function segment(seen, p, between)
    local n = 0
    repeat
      local page = db:ok("Scan", p)
      for _, i in ipairs(page.Items) do
        assert.is_nil(seen[name_of(i)], "twice: " .. name_of(i))
        seen[name_of(i)] = p.Segment
        n = n + 1
      end
      p.ExclusiveStartKey = page.LastEvaluatedKey
      if between then between() end
    until not p.ExclusiveStartKey
    return n
  end
  local function scan(total, more, between)
    local seen, n, sizes = {}, 0, {}
    for s = 0, total - 1 do
      local p = { TableName = "Many", Segment = s, TotalSegments = total }
      for k, v in pairs(more or {}) do p[k] = v end
      sizes[s] = segment(seen, p, between)
      n = n + sizes[s]
    end
    return n, seen, sizes
  end

  it("has segments that are disjoint and complete, of the table and its indexes", function()
    local n = fill()
    for _, total in ipairs { 1, 7, 40 } do
      assert.equal(n, (scan(total)))
      assert.equal(n, (scan(total, { Limit = 31 })))
      assert.equal(n, (scan(total, { IndexName = "by_g", Limit = 29 })))
      assert.equal(n // 2, (scan(total, { IndexName = "by_l", Limit = 25 })))
    end
  end)

  it("keeps the items of one hash key together, and spreads hash keys", function()
    fill()
    local _, seen, sizes = scan(4)
    for name, s in pairs(seen) do assert.equal(seen[name:match "^(.*)/" .. "/1"], s) end
    for s = 0, 3 do assert.is_true(sizes[s] > 0) end
  end)

  it("misses nothing that stays, whatever comes and goes between its pages", function()
    fill()
    local at, coming = 0, 0
    local function between()
      at, coming = at + 1, coming + 1
      db:ok("PutItem", { TableName = "Many", Item = item("new" .. coming, coming) })
      db:ok("PutItem", { TableName = "Many", Item = item("c" .. at % 30 + 1, 1000 + at) })
      db:ok("DeleteItem", { TableName = "Many", Key = { h = S("c" .. (at * 7 % 15 + 16)), r = N(at % 30 + 1) } })
    end
    local _, seen = scan(5, { Limit = 13 }, between)
    for c = 1, 15 do
      for r = 1, c * 2 do assert.is_number(seen["c" .. c .. "/" .. r]) end
    end
  end)

  it("has up to a million segments", function()
    db:ok("PutItem", { TableName = "Many", Item = item("a", 1) })
    assert.equal(0, db:ok("Scan", { TableName = "Many", Segment = 999999, TotalSegments = 1000000 }).Count)
    assert.equal("1 validation error detected: Value '1000001' at 'totalSegments' failed to satisfy constraint: Member must have value less than or equal to 1000000",
      db:message("Scan", { TableName = "Many", Segment = 0, TotalSegments = 1000001 }))
    assert.equal("2 validation errors detected: Value '0' at 'totalSegments' failed to satisfy constraint: Member must have value greater than or equal to 1; Value '-1' at 'segment' failed to satisfy constraint: Member must have value greater than or equal to 0",
      db:message("Scan", { TableName = "Many", Segment = -1, TotalSegments = 0 }))
  end)

  it("begins where its own segment was left, and nowhere else", function()
    fill()
    local _, seen = scan(3)
    for _, name in ipairs { "c1/1", "c2/3", "c30/60" } do
      local h, r = name:match "(.*)/(.*)"
      for s = 0, 2 do
        local p = { TableName = "Many", Segment = s, TotalSegments = 3, ExclusiveStartKey = { h = S(h), r = N(r) } }
        if s == seen[name] then
          db:ok("Scan", p)
        else
          assert.equal(("The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. TotalSegments: 3 Segment: %d"):format(s), db:message("Scan", p))
        end
      end
    end
  end)

  it("counts and pays for its own items only", function()
    local n, scanned, units = fill(), 0, 0
    for s = 0, 3 do
      local page = db:ok("Scan", { TableName = "Many", Segment = s, TotalSegments = 4, Select = "COUNT", ReturnConsumedCapacity = "TOTAL" })
      scanned, units = scanned + page.ScannedCount, units + page.ConsumedCapacity.CapacityUnits
    end
    local whole = db:ok("Scan", { TableName = "Many", Select = "COUNT", ReturnConsumedCapacity = "TOTAL" })
    assert.same({ n, n }, { scanned, whole.ScannedCount })
    assert.is_true(units <= whole.ConsumedCapacity.CapacityUnits + 4 * 0.5)
  end)
end)
