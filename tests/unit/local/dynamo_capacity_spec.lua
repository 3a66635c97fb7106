local H = require "unit.local.dynamo_helper"
local S, N = H.S, H.N

describe("Consumed capacity", function()
  local db
  local function put(item, more)
    local p = { TableName = "Cap", Item = item, ReturnConsumedCapacity = "INDEXES" }
    for k, v in pairs(more or {}) do p[k] = v end
    return db:ok("PutItem", p)
  end
  before_each(function()
    db = H.open()
    db:table { "Cap", hash = "id:S", range = "n:N", gsi = { { "by_g", "g:S", nil, { ProjectionType = "KEYS_ONLY" } } }, lsi = { { "by_l", "id:S", "l:S" } } }
    db:table { "Flat", hash = "id:S" }
  end)
  after_each(function() db:close() end)
  local key = { id = S "a", n = N(1) }
  local function units(doc)
    local c = doc.ConsumedCapacity
    local g, l = c.GlobalSecondaryIndexes, c.LocalSecondaryIndexes
    return { c.CapacityUnits, c.Table.CapacityUnits, g and g.by_g.CapacityUnits, l and l.by_l.CapacityUnits }
  end

  it("of writes is the larger item in KiB, and each index that changes", function()
    local item = { id = S "a", n = N(1), g = S "g", l = S "l" }
    assert.are.same({ 3, 1, 1, 1 }, units(put(item)))
    assert.are.same({ 1, 1 }, units(put(item)))
    item.g = S "other"
    assert.are.same({ 4, 1, 2, 1 }, units(put(item)))
    item.big = S(("x"):rep(2500))
    assert.are.same({ 6, 3, nil, 3 }, units(put(item)))
    item.big = nil
    assert.are.same({ 6, 3, nil, 3 }, units(put(item)))
    local d = db:ok("DeleteItem", { TableName = "Cap", Key = key, ReturnConsumedCapacity = "TOTAL" })
    assert.are.same({ TableName = "Cap", CapacityUnits = 3 }, d.ConsumedCapacity)
    assert.are.equal(1, db:ok("DeleteItem", { TableName = "Cap", Key = key, ReturnConsumedCapacity = "TOTAL" }).ConsumedCapacity.CapacityUnits)
    assert.is_nil(db:ok("DeleteItem", { TableName = "Cap", Key = key }).ConsumedCapacity)
  end)

  it("of reads is 4 KiB a unit, half when eventually consistent", function()
    put { id = S "a", n = N(1), g = S "g", l = S "l", big = S(("x"):rep(5000)) }
    put { id = S "a", n = N(2), l = S "m" }
    local function read(action, more)
      local p = { TableName = "Cap", ReturnConsumedCapacity = "INDEXES" }
      for k, v in pairs(more) do p[k] = v end
      return units(db:ok(action, p))
    end
    assert.are.same({ 1, 1 }, read("GetItem", { Key = key }))
    assert.are.same({ 2, 2 }, read("GetItem", { Key = key, ConsistentRead = true }))
    assert.are.same({ 0.5, 0.5 }, read("GetItem", { Key = { id = S "none", n = N(1) } }))
    assert.are.same({ 1, 1 }, read("Scan", {}))
    local values = { [":v"] = S "a" }
    assert.are.same({ 2, 2 }, read("Query", { KeyConditionExpression = "id = :v", ExpressionAttributeValues = values, ConsistentRead = true }))
    assert.are.same({ 1, 0, nil, 1 }, read("Query", { IndexName = "by_l", KeyConditionExpression = "id = :v", ExpressionAttributeValues = values }))
    assert.are.same({ 0.5, 0, 0.5 }, read("Query", { IndexName = "by_g", KeyConditionExpression = "g = :v", ExpressionAttributeValues = { [":v"] = S "g" } }))
  end)

  it("of batches and transactions is told a table", function()
    local b = db:ok("BatchWriteItem", { ReturnConsumedCapacity = "TOTAL", RequestItems = {
      Flat = { { PutRequest = { Item = { id = S "a" } } }, { PutRequest = { Item = { id = S "b", x = S(("x"):rep(1024)) } } } } } })
    assert.are.same({ { TableName = "Flat", CapacityUnits = 3 } }, b.ConsumedCapacity)
    b = db:ok("BatchGetItem", { ReturnConsumedCapacity = "TOTAL", RequestItems = { Flat = { ConsistentRead = true, Keys = { { id = S "a" }, { id = S "none" } } } } })
    assert.are.same({ { TableName = "Flat", CapacityUnits = 2 } }, b.ConsumedCapacity)
    local t = db:ok("TransactWriteItems", { ReturnConsumedCapacity = "TOTAL", TransactItems = { { Put = { TableName = "Flat", Item = { id = S "c" } } } } })
    assert.are.same({ { TableName = "Flat", CapacityUnits = 2, WriteCapacityUnits = 2 } }, t.ConsumedCapacity)
    t = db:ok("TransactGetItems", { ReturnConsumedCapacity = "TOTAL", TransactItems = { { Get = { TableName = "Flat", Key = { id = S "c" } } } } })
    assert.are.same({ { TableName = "Flat", CapacityUnits = 2, ReadCapacityUnits = 2 } }, t.ConsumedCapacity)
  end)

  it("has a size of item collections beside it, on tables with local indexes", function()
    local want = { ItemCollectionKey = { id = S "a" }, SizeEstimateRangeGB = { 0, 1 } }
    assert.are.same(want, put({ id = S "a", n = N(1) }, { ReturnItemCollectionMetrics = "SIZE" }).ItemCollectionMetrics)
    assert.is_nil(db:ok("PutItem", { TableName = "Flat", Item = { id = S "a" }, ReturnItemCollectionMetrics = "SIZE" }).ItemCollectionMetrics)
    local b = db:ok("BatchWriteItem", { ReturnItemCollectionMetrics = "SIZE", RequestItems = {
      Flat = { { PutRequest = { Item = { id = S "a" } } } }, Cap = { { PutRequest = { Item = { id = S "a", n = N(1) } } }, { DeleteRequest = { Key = { id = S "a", n = N(2) } } } } } })
    assert.are.same({ Cap = { want } }, b.ItemCollectionMetrics)
  end)
end)
