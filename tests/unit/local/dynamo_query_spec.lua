local H = require "unit.local.dynamo_helper"
local S, N = H.S, H.N

describe("Query", function()
  local db
  before_each(function() db = H.open() end)
  after_each(function() db:close() end)

  local function put(t, item) db:ok("PutItem", { TableName = t, Item = item }) end
  local function query(t, expression, values, more)
    local p = { TableName = t, KeyConditionExpression = expression, ExpressionAttributeValues = values }
    for k, v in pairs(more or {}) do p[k] = v end
    return p
  end
  local function column(items, name)
    local out = {}
    for i, item in ipairs(items) do out[i] = item[name] and select(2, next(item[name])) or false end
    return out
  end

  it("finds a partition in the order of its sort key, forwards and backwards, whole and in pages", function()
    math.randomseed(5)
    for _, type in ipairs { "N", "S" } do
      local t = "Sorted" .. type
      db:table { t, hash = "id:S", range = "k:" .. type }
      local keys, seen = {}, {}
      while #keys < 60 do
        local k = type == "N" and ("%s%d.%de%d"):format(math.random(2) == 1 and "-" or "", math.random(0, 99), math.random(1, 9), math.random(-4, 4))
          or ("%s%s"):format(("é"):rep(math.random(0, 2)), string.char(math.random(33, 126)):rep(math.random(1, 3)))
        if not seen[k] then
          seen[k] = true
          keys[#keys + 1] = k
          put(t, { id = S "p", k = { [type] = k } })
          put(t, { id = S "other", k = { [type] = k } })
        end
      end
      local unique, expected = {}, {}
      for _, k in ipairs(keys) do
        local v = type == "N" and tonumber(k) or k
        if not unique[v] then expected[#expected + 1] = v end
        unique[v] = true
      end
      table.sort(expected)
      local function check(got, backward)
        local n = #expected
        assert.are.equal(n, #got)
        for i = 1, n do
          local v = type == "N" and tonumber(got[i]) or got[i]
          assert.are.equal(expected[backward and n + 1 - i or i], v)
        end
      end
      for _, backward in ipairs { false, true } do
        local p = query(t, "id = :p", { [":p"] = S "p" }, { ScanIndexForward = not backward })
        check(column(db:ok("Query", p).Items, "k"), backward)
        local all = {}
        p.Limit = 7
        repeat
          local r = db:ok("Query", p)
          for _, k in ipairs(column(r.Items, "k")) do all[#all + 1] = k end
          p.ExclusiveStartKey = r.LastEvaluatedKey
        until not r.LastEvaluatedKey
        check(all, backward)
      end
    end
  end)

  it("takes conditions on the sort key", function()
    db:table { "Names", hash = "id:S", range = "k:S" }
    for _, k in ipairs { "a", "ab", "abc", "b", "b\u{10FFFF}", "c" } do put("Names", { id = S "p", k = S(k) }) end
    local function found(expression, values)
      values[":p"] = S "p"
      return column(db:ok("Query", query("Names", expression, values)).Items, "k")
    end
    assert.are.same({ "ab" }, found("id = :p AND k = :v", { [":v"] = S "ab" }))
    assert.are.same({ "a", "ab" }, found("id = :p AND k < :v", { [":v"] = S "abc" }))
    assert.are.same({ "a", "ab", "abc" }, found("k <= :v AND id = :p", { [":v"] = S "abc" }))
    assert.are.same({ "b\u{10FFFF}", "c" }, found("(id = :p) AND (k > :v)", { [":v"] = S "b" }))
    assert.are.same({ "b", "b\u{10FFFF}", "c" }, found(":p = id AND :v <= k", { [":v"] = S "b" }))
    assert.are.same({ "ab", "abc", "b" }, found("id = :p AND k BETWEEN :v AND :w", { [":v"] = S "ab", [":w"] = S "b" }))
    assert.are.same({ "ab", "abc" }, found("id = :p AND begins_with(k, :v)", { [":v"] = S "ab" }))
    assert.are.same({ "b", "b\u{10FFFF}" }, found("id = :p AND begins_with(k, :v)", { [":v"] = S "b" }))
    assert.are.same({}, found("id = :p AND k > :v", { [":v"] = S "z" }))
  end)

  it("compares binary keys as unsigned bytes, up to the last", function()
    db:table { "Bin", hash = "id:B", range = "k:B" }
    local b64 = require("t.local").base64
    for _, k in ipairs { "\0", "\1", "\127", "\128", "\255", "\255\255", "\255\1" } do
      put("Bin", { id = { B = b64 "\0h" }, k = { B = b64(k) } })
    end
    local r = db:ok("Query", query("Bin", "id = :p", { [":p"] = { B = b64 "\0h" } }))
    local expected = {}
    for i, k in ipairs { "\0", "\1", "\127", "\128", "\255", "\255\1", "\255\255" } do expected[i] = b64(k) end
    assert.are.same(expected, column(r.Items, "k"))
    r = db:ok("Query", query("Bin", "id = :p AND begins_with(k, :f)", { [":p"] = { B = b64 "\0h" }, [":f"] = { B = b64 "\255" } }))
    assert.are.equal(3, r.Count)
  end)

  it("counts before the filter", function()
    db:table { "Orders", hash = "id:S", range = "k:N" }
    for i = 1, 10 do put("Orders", { id = S "p", k = N(i), even = { BOOL = i % 2 == 0 } }) end
    local values = { [":p"] = S "p", [":t"] = { BOOL = true } }
    local r = db:ok("Query", query("Orders", "id = :p", values, { FilterExpression = "even = :t", Limit = 5 }))
    assert.are.same({ 2, 5, { "2", "4" } }, { r.Count, r.ScannedCount, column(r.Items, "k") })
    assert.are.same({ id = S "p", k = N(5) }, r.LastEvaluatedKey)
    r = db:ok("Query", query("Orders", "id = :p", values, { FilterExpression = "even = :t", Select = "COUNT" }))
    assert.are.same({ 5, 10 }, { r.Count, r.ScannedCount })
    assert.is_nil(r.Items)
    r = db:ok("Query", query("Orders", "id = :p", { [":p"] = S "p" }, { Limit = 10 }))
    assert.are.same({ id = S "p", k = N(10) }, r.LastEvaluatedKey)
    r = db:ok("Query", query("Orders", "id = :p", { [":p"] = S "p" }, { Limit = 10, ExclusiveStartKey = r.LastEvaluatedKey }))
    assert.are.same({ 0, {} }, { r.Count, r.Items })
    assert.is_nil(r.LastEvaluatedKey)
    r = db:ok("Query", query("Orders", "id = :p", { [":p"] = S "p" }, { Limit = 11 }))
    assert.is_nil(r.LastEvaluatedKey)
    r = db:ok("Query", query("Orders", "id = :p", { [":p"] = S "p" }, { Limit = 1, ProjectionExpression = "even" }))
    assert.are.same({ { even = { BOOL = false } } }, r.Items)
  end)

  it("ends a page at 1 MB", function()
    db:table { "Large", hash = "id:S", range = "k:N" }
    for i = 1, 5 do put("Large", { id = S "p", k = N(i), x = S(("x"):rep(300 * 1024)) }) end
    local r = db:ok("Query", query("Large", "id = :p", { [":p"] = S "p" }))
    assert.are.equal(3, r.Count)
    assert.are.same({ id = S "p", k = N(3) }, r.LastEvaluatedKey)
    r = db:ok("Scan", { TableName = "Large", ExclusiveStartKey = r.LastEvaluatedKey, Select = "COUNT" })
    assert.are.equal(2, r.Count)
    assert.is_nil(r.LastEvaluatedKey)
  end)

  describe("on an index", function()
    before_each(function()
      db:table {
        "Orders", hash = "id:S", range = "k:N",
        gsi = {
          { "by_status", "status:S", "at:N" }, { "by_user", "user:S", nil, { ProjectionType = "KEYS_ONLY" } },
          { "by_inc", "user:S", "at:N", { ProjectionType = "INCLUDE", NonKeyAttributes = { "note" } } },
        },
        lsi = { { "by_at", "id:S", "at:N", { ProjectionType = "KEYS_ONLY" } } },
      }
      for i = 1, 6 do
        put("Orders", { id = S("o" .. (i % 3)), k = N(i), status = S(i % 2 == 0 and "PAID" or "NEW"), at = N(100 - i), user = S "u", note = S("n" .. i), x = N(i) })
      end
      put("Orders", { id = S "o0", k = N(99), x = N(99) })
    end)

    local function ks(index, expression, values, more)
      more = more or {}
      more.IndexName = index
      local out = {}
      repeat
        local r = db:ok("Query", query("Orders", expression, values, more))
        for _, k in ipairs(column(r.Items, "k")) do out[#out + 1] = k end
        more.ExclusiveStartKey = r.LastEvaluatedKey
      until not r.LastEvaluatedKey
      return out
    end
    local names = { ["#s"] = "status", ["#u"] = "user" }
    local function by_status(status, more)
      more = more or {}
      more.ExpressionAttributeNames = { ["#s"] = names["#s"] }
      return ks("by_status", "#s = :s", { [":s"] = S(status) }, more)
    end

    it("orders by the index and pages through ties", function()
      assert.are.same({ "5", "3", "1" }, by_status "NEW")
      assert.are.same({ "1", "3", "5" }, by_status("NEW", { ScanIndexForward = false, Limit = 1 }))
      for _, k in ipairs { 11, 12, 13 } do put("Orders", { id = S "tie", k = N(k), status = S "TIE", at = N(1) }) end
      assert.are.same({ "11", "12", "13" }, by_status("TIE", { Limit = 1 }))
      assert.are.same({ "13", "12", "11" }, by_status("TIE", { Limit = 2, ScanIndexForward = false }))
      assert.are.same({ "6" }, ks("by_at", "id = :i AND #at < :a", { [":i"] = S "o0", [":a"] = N(97) }, { Limit = 1, ExpressionAttributeNames = { ["#at"] = "at" } }))
      assert.are.same({ "6", "3" }, ks("by_at", "id = :i", { [":i"] = S "o0" }, { Limit = 1 }))
    end)

    it("gives the index's and the table's keys as LastEvaluatedKey", function()
      local r = db:ok("Query", query("Orders", "#s = :s", { [":s"] = S "NEW" }, { IndexName = "by_status", Limit = 1, ExpressionAttributeNames = { ["#s"] = "status" } }))
      assert.are.same({ id = S "o2", k = N(5), status = S "NEW", at = N(95) }, r.LastEvaluatedKey)
    end)

    it("follows every change of an item", function()
      local key = { id = S "o1", k = N(1) }
      db:ok("UpdateItem", { TableName = "Orders", Key = key, UpdateExpression = "SET #s = :s", ExpressionAttributeNames = { ["#s"] = "status" }, ExpressionAttributeValues = { [":s"] = S "PAID" } })
      assert.are.same({ "5", "3" }, by_status "NEW")
      assert.are.same({ "6", "4", "2", "1" }, by_status "PAID")
      db:ok("UpdateItem", { TableName = "Orders", Key = key, UpdateExpression = "REMOVE #s", ExpressionAttributeNames = { ["#s"] = "status" } })
      assert.are.same({ "6", "4", "2" }, by_status "PAID")
      put("Orders", { id = S "o2", k = N(2), status = S "NEW", at = N(1) })
      assert.are.same({ "2", "5", "3" }, by_status "NEW")
      db:ok("DeleteItem", { TableName = "Orders", Key = { id = S "o2", k = N(5) } })
      assert.are.same({ "2", "3" }, by_status "NEW")
      assert.are.equal(4, db:ok("Scan", { TableName = "Orders", IndexName = "by_status" }).Count)
    end)

    it("shows what it projects", function()
      local function first(index, more)
        more = more or {}
        more.IndexName, more.Limit = index, 1
        more.ExpressionAttributeNames = { ["#u"] = "user" }
        return db:ok("Query", query("Orders", "#u = :u", { [":u"] = S "u" }, more)).Items[1]
      end
      assert.are.same({ id = S "o0", k = N(3), user = S "u" }, first "by_user")
      assert.are.same({ id = S "o0", k = N(6), at = N(94), user = S "u", note = S "n6" }, first "by_inc")
      assert.are.same({ note = S "n6" }, first("by_inc", { ProjectionExpression = "note" }))
      local l = query("Orders", "id = :i", { [":i"] = S "o0" }, { IndexName = "by_at", Limit = 1 })
      assert.are.same({ id = S "o0", k = N(6), at = N(94) }, db:ok("Query", l).Items[1])
      l.Select = "ALL_ATTRIBUTES"
      assert.are.equal("n6", db:ok("Query", l).Items[1].note.S)
      l.Select, l.ProjectionExpression = nil, "x"
      assert.are.same({ x = N(6) }, db:ok("Query", l).Items[1])
      local g = query("Orders", "#u = :u", { [":u"] = S "u" }, { IndexName = "by_user", ExpressionAttributeNames = { ["#u"] = "user" } })
      g.ProjectionExpression = "x"
      assert.are.equal("One or more parameter values were invalid: Global secondary index by_user does not project [x]", db:message("Query", g))
      g.ProjectionExpression, g.Select = nil, "ALL_ATTRIBUTES"
      assert.truthy(db:message("Query", g):find("Select type ALL_ATTRIBUTES is not supported for global secondary index by_user because its projection type is not ALL", 1, true))
      g.Select, g.ConsistentRead = nil, true
      assert.are.equal("Consistent reads are not supported on global secondary indexes", db:message("Query", g))
      g.IndexName = "nope"
      assert.are.equal("The table does not have the specified index: nope", db:message("Query", g))
    end)
  end)

  it("says what is wrong", function()
    db:table { "Orders", hash = "id:S", range = "k:N" }
    put("Orders", { id = S "p", k = N(1) })
    local v = { [":p"] = S "p", [":k"] = N(1) }
    local function message(p)
      p.TableName = p.TableName or "Orders"
      return db:message("Query", p)
    end
    local function only(...)
      local out = {}
      for _, k in ipairs { ... } do out[k] = v[k] end
      return out
    end
    assert.truthy(message {}:find("Either the KeyConditions or KeyConditionExpression parameter must be specified", 1, true))
    local cases = {
      { "k = :k", only ":k", "Query condition missed key schema element: id" },
      { "id = :p AND x = :k", v, "Query condition missed key schema element: k" },
      { "id > :p", only ":p", "Query key condition not supported" },
      { "id = :p OR k = :k", v, "Invalid operator used in KeyConditionExpression: OR" },
      { "NOT id = :p", only ":p", "Invalid operator used in KeyConditionExpression: NOT" },
      { "id = :p AND k <> :k", v, "Invalid operator used in KeyConditionExpression: <>" },
      { "id = :p AND k IN (:k)", v, "Invalid operator used in KeyConditionExpression: IN" },
      { "id = :p AND contains(k, :k)", v, "Invalid operator used in KeyConditionExpression: contains" },
      { "id = :p AND id = :p", only ":p", "KeyConditionExpressions must only contain one condition per key" },
      { "id = :p AND size(k) = :k", v, "KeyConditionExpressions cannot contain nested operations" },
      { "id = :p AND k.x = :k", v, "KeyConditionExpressions cannot have conditions on nested attributes" },
      { "id = k", nil, "Multiple attribute names used in one condition" },
      { ":p = :k", v, "No key attribute specified" },
      { "id = :k", only ":k", "Condition parameter type does not match schema type" },
      { "id = :p AND k = :p", only ":p", "Condition parameter type does not match schema type" },
      { "id = :e", { [":e"] = S "" }, "cannot contain an empty string value. Key: id" },
      { "id = ", only ":p", "Invalid KeyConditionExpression: Syntax error" },
    }
    for _, c in ipairs(cases) do
      local msg = message { KeyConditionExpression = c[1], ExpressionAttributeValues = c[2] }
      assert.truthy(msg:find(c[3], 1, true), c[1] .. ": " .. msg)
    end
    local function with(more)
      local p = query("Orders", "id = :p", { [":p"] = S "p", [":k"] = more.FilterExpression and N(1) or nil })
      for name, x in pairs(more) do p[name] = x end
      return message(p)
    end
    for _, c in ipairs {
      { { FilterExpression = "k = :k" }, "Filter Expression can only contain non-primary key attributes: Primary key attribute: k" },
      { { Limit = 0 }, "Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1" },
      { { Select = "SPECIFIC_ATTRIBUTES" }, "Must specify the AttributesToGet or ProjectionExpression" },
      { { Select = "COUNT", ProjectionExpression = "x" }, "when choosing to get only the Count" },
      { { Select = "ALL_PROJECTED_ATTRIBUTES" }, "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName" },
      { { Select = "SOME" }, "enum value set: [SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]" },
      { { ExclusiveStartKey = { id = S "p" } }, "The provided starting key is invalid" },
      { { ExclusiveStartKey = { id = S "p", k = N(1), x = N(1) } }, "The provided starting key is invalid" },
      { { ExclusiveStartKey = { id = S "p", k = S "1" } }, "The provided starting key is invalid: The provided key element does not match the schema" },
      { { ExclusiveStartKey = { id = S "q", k = N(1) } }, "The provided starting key is outside query boundaries based on provided conditions" },
    } do
      local msg = with(c[1])
      assert.truthy(msg:find(c[2], 1, true), msg)
    end
  end)
end)

describe("Scan", function()
  local db
  before_each(function()
    db = H.open()
    db:table { "Items", hash = "id:S", gsi = { { "by_g", "g:S", "n:N" } } }
    for i = 1, 40 do
      db:ok("PutItem", { TableName = "Items", Item = { id = S(("i%02d"):format(i)), n = N(i), g = i % 4 == 0 and S("g" .. i % 8) or nil } })
    end
  end)
  after_each(function() db:close() end)

  local function all(p)
    local seen, n = {}, 0
    p.TableName = "Items"
    repeat
      local r = db:ok("Scan", p)
      for _, i in ipairs(r.Items) do
        assert.is_nil(seen[i.id.S])
        seen[i.id.S] = true
        n = n + 1
      end
      p.ExclusiveStartKey = r.LastEvaluatedKey
    until not r.LastEvaluatedKey
    return n, seen
  end

  it("visits every item once, in pages of any size, and filters", function()
    assert.are.equal(40, (all {}))
    assert.are.equal(40, (all { Limit = 7 }))
    assert.are.equal(40, (all { Limit = 40 }))
    local r = db:ok("Scan", { TableName = "Items", FilterExpression = "n <= :n AND id > :i", ExpressionAttributeValues = { [":n"] = N(10), [":i"] = S "i05" } })
    assert.are.same({ 5, 40 }, { r.Count, r.ScannedCount })
  end)

  it("visits an index's items", function()
    assert.are.equal(10, (all { IndexName = "by_g" }))
    assert.are.equal(10, (all { IndexName = "by_g", Limit = 3 }))
  end)

  it("in parallel visits every item in one segment", function()
    local total, nonempty = 0, 0
    local everything = {}
    for segment = 0, 3 do
      local n, seen = all { Segment = segment, TotalSegments = 4, Limit = 3 }
      total = total + n
      nonempty = nonempty + (n > 0 and 1 or 0)
      for id in pairs(seen) do
        assert.is_nil(everything[id])
        everything[id] = true
      end
    end
    assert.are.equal(40, total)
    assert.is_true(nonempty > 1)
    for _, c in ipairs {
      { { Segment = 0 }, "The TotalSegments parameter is required but was not present" },
      { { TotalSegments = 2 }, "The Segment parameter is required but was not present" },
      { { Segment = 2, TotalSegments = 2 }, "Segment: 2 is not less than TotalSegments: 2" },
      { { Segment = 0, TotalSegments = 0 }, "Member must have value greater than or equal to 1" },
    } do
      c[1].TableName = "Items"
      assert.truthy(db:message("Scan", c[1]):find(c[2], 1, true))
    end
  end)
end)
