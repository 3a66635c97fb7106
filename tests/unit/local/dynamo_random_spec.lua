local H = require "unit.local.dynamo_helper"
local S, N = H.S, H.N

describe("The DynamoDB engine under random calls", function()
  it("agrees with a plain model, indexes and pages included", function()
    local db = H.open()
    db:table { "Model", hash = "id:S", range = "k:N", gsi = { { "by_g", "g:S", "n:N" } }, lsi = { { "by_n", "id:S", "n:N" } } }
    math.randomseed(42)
    local model = {}
    local function pick() return "p" .. math.random(3), math.random(0, 5) end
    local function slot(id, k) return id .. "/" .. k end
    for _ = 1, 500 do
      local id, k = pick()
      local key = { id = S(id), k = N(k) }
      local old = model[slot(id, k)]
      local what = math.random(5)
      if what <= 2 then
        local item = { id = S(id), k = N(k), g = math.random(3) > 1 and S("g" .. math.random(2)) or nil, n = math.random(3) > 1 and N(math.random(-9, 9)) or nil }
        db:ok("PutItem", { TableName = "Model", Item = item })
        model[slot(id, k)] = item
      elseif what == 3 then
        db:ok("DeleteItem", { TableName = "Model", Key = key })
        model[slot(id, k)] = nil
      elseif what == 4 then
        local doc, failed = db:call("UpdateItem", { TableName = "Model", Key = key, UpdateExpression = "SET n = n + :d, g = :g", ConditionExpression = "attribute_exists(n)",
          ExpressionAttributeValues = { [":d"] = N(5), [":g"] = S "g1" } })
        assert.are.equal(not (old and old.n), failed, H.json.encode(doc))
        if not failed then model[slot(id, k)] = { id = old.id, k = old.k, g = S "g1", n = N(tonumber(old.n.N) + 5) } end
      else
        local other = { id = key.id, k = N(6) }
        local doc, failed = db:call("TransactWriteItems", { TransactItems = {
          { Update = { TableName = "Model", Key = key, UpdateExpression = "REMOVE g", ConditionExpression = "attribute_exists(g)" } },
          { Put = { TableName = "Model", Item = { id = other.id, k = other.k, n = N(math.random(9)) }, ConditionExpression = "attribute_not_exists(g)" } } } })
        assert.are.equal(not (old and old.g), failed, H.json.encode(doc))
        if not failed then
          model[slot(id, k)] = { id = old.id, k = old.k, n = old.n }
          model[slot(id, 6)] = db:ok("GetItem", { TableName = "Model", Key = other }).Item
        end
      end
    end

    local function all(action, p)
      local out = {}
      p.TableName = "Model"
      repeat
        p.Limit = math.random(1, 9)
        local r = db:ok(action, p)
        for _, item in ipairs(r.Items) do out[#out + 1] = item end
        p.ExclusiveStartKey = r.LastEvaluatedKey
      until not r.LastEvaluatedKey
      return out
    end
    local function expected(keep, less)
      local out = {}
      for _, item in pairs(model) do
        if keep(item) then out[#out + 1] = item end
      end
      table.sort(out, less)
      return out
    end
    local function by_key(a, b)
      if a.id.S ~= b.id.S then return a.id.S < b.id.S end
      return tonumber(a.k.N) < tonumber(b.k.N)
    end
    local function by_n(a, b)
      if a.n.N ~= b.n.N then return tonumber(a.n.N) < tonumber(b.n.N) end
      return by_key(a, b)
    end
    assert.are.same(expected(function() return true end, by_key), all("Scan", {}))
    for g = 1, 2 do
      local keep = function(i) return i.g and i.g.S == "g" .. g and i.n end
      assert.are.same(expected(keep, by_n), all("Query", { IndexName = "by_g", KeyConditionExpression = "g = :g", ExpressionAttributeValues = { [":g"] = S("g" .. g) } }))
      assert.are.same(expected(function(i) return keep(i) and tonumber(i.n.N) >= 0 end, by_n), all("Query",
        { IndexName = "by_g", KeyConditionExpression = "g = :g AND n >= :z", ExpressionAttributeValues = { [":g"] = S("g" .. g), [":z"] = N(0) } }))
    end
    for p = 1, 3 do
      assert.are.same(expected(function(i) return i.id.S == "p" .. p and i.n end, by_n), all("Query",
        { IndexName = "by_n", KeyConditionExpression = "id = :p", ExpressionAttributeValues = { [":p"] = S("p" .. p) } }))
    end
    db:close()
  end)

  it("answers damaged requests with an error of AWS's, and goes on", function()
    local db = H.open()
    db:table { "Fuzz", hash = "id:S", range = "k:N", gsi = { { "by_g", "g:S" } } }
    local values = { [":a"] = N(1), [":b"] = S "x" }
    local requests = {
      { "PutItem", { TableName = "Fuzz", Item = { id = S "a", k = N(1), g = S "g", l = { L = { N(1), { M = { x = S "y" } } } }, ss = { SS = { "a", "b" } }, b = { B = "AAEC" } }, ConditionExpression = "attribute_not_exists(id) OR k = :a", ExpressionAttributeValues = { [":a"] = N(1) }, ReturnValues = "ALL_OLD" } },
      { "UpdateItem", { TableName = "Fuzz", Key = { id = S "a", k = N(1) }, UpdateExpression = "SET n = if_not_exists(n, :a) + :a, l[0] = :b REMOVE x.y", ExpressionAttributeValues = values, ReturnValues = "UPDATED_NEW" } },
      { "DeleteItem", { TableName = "Fuzz", Key = { id = S "a", k = N(1) }, ConditionExpression = "size(id) > :a", ExpressionAttributeValues = { [":a"] = N(1) } } },
      { "GetItem", { TableName = "Fuzz", Key = { id = S "a", k = N(1) }, ProjectionExpression = "l[1].x, #n", ExpressionAttributeNames = { ["#n"] = "ss" } } },
      { "Query", { TableName = "Fuzz", KeyConditionExpression = "id = :b AND k BETWEEN :a AND :a", FilterExpression = "contains(g, :b)", ExpressionAttributeValues = values, Limit = 3, ExclusiveStartKey = { id = S "x", k = N(1) } } },
      { "Scan", { TableName = "Fuzz", IndexName = "by_g", Segment = 0, TotalSegments = 2, Select = "COUNT" } },
      { "BatchGetItem", { RequestItems = { Fuzz = { Keys = { { id = S "a", k = N(1) } } } } } },
      { "BatchWriteItem", { RequestItems = { Fuzz = { { PutRequest = { Item = { id = S "a", k = N(2) } } }, { DeleteRequest = { Key = { id = S "b", k = N(2) } } } } } } },
      { "TransactWriteItems", { TransactItems = { { Put = { TableName = "Fuzz", Item = { id = S "t", k = N(2) } } }, { ConditionCheck = { TableName = "Fuzz", Key = { id = S "q", k = N(1) }, ConditionExpression = "attribute_not_exists(id)" } } }, ClientRequestToken = "x" } },
      { "TransactGetItems", { TransactItems = { { Get = { TableName = "Fuzz", Key = { id = S "a", k = N(1) } } } } } },
      { "CreateTable", { TableName = "New", BillingMode = "PAY_PER_REQUEST", AttributeDefinitions = { { AttributeName = "id", AttributeType = "S" } }, KeySchema = { { AttributeName = "id", KeyType = "HASH" } } } },
      { "UpdateTimeToLive", { TableName = "Fuzz", TimeToLiveSpecification = { Enabled = true, AttributeName = "ttl" } } },
      { "ListTables", { Limit = 5, ExclusiveStartTableName = "F" } }, { "DescribeTable", { TableName = "Fuzz" } }, { "DescribeTimeToLive", { TableName = "Fuzz" } },
    }
    local junk = { "", "x", "#", ":", 0, -1, 1e300, 0.5, true, false, {}, { {} }, { S = "" }, { N = "1e999" }, { N = "-0" }, { SS = {} }, { M = {} }, { id = { S = "a" } },
      ("("):rep(400), "a.b.c[0][1]", "SET a = b", "id = :b", ("y"):rep(3000), "\u{10FFFF}", H.object(), H.json.null }
    local function mutate(v)
      if math.random(8) == 1 or type(v) ~= "table" then
        return math.random(4) == 1 and v or junk[math.random(#junk)]
      end
      local keys, out = {}, {}
      for k in pairs(v) do keys[#keys + 1] = k end
      if #keys == 0 then return junk[math.random(#junk)] end
      local hit = keys[math.random(#keys)]
      for k, x in pairs(v) do
        if k == hit then out[k] = mutate(x) else out[k] = x end
      end
      if math.random(12) == 1 and type(hit) == "string" then out["new" .. math.random(3)] = junk[math.random(#junk)] end
      return out
    end
    math.randomseed(99)
    local known = { ValidationException = true, SerializationException = true, ResourceNotFoundException = true, ResourceInUseException = true,
      ConditionalCheckFailedException = true, TransactionCanceledException = true, IdempotentParameterMismatchException = true }
    local failures = 0
    for _ = 1, 4000 do
      local r = requests[math.random(#requests)]
      local params = mutate(r[2])
      if type(params) == "table" then
        if math.random(3) == 1 then params = mutate(params) end
        local doc, failed = db:call(r[1], type(params) == "table" and params or {})
        if failed then
          failures = failures + 1
          local name = doc.__type:gsub("^.*#", "")
          assert.is_true(known[name] or false, r[1] .. ": " .. H.json.encode(doc))
        end
      end
    end
    assert.is_true(failures > 1000)
    assert.are.equal("Fuzz", db:ok("DescribeTable", { TableName = "Fuzz" }).Table.TableName)
    db:close()
  end)
end)
