-- DynamoDB writes under injected faults: wherever a step or the commit fails, the tables and their indexes are what they were.
local t = require "t.local"
local json = require "cjson"

describe("a table", function()
  local e
  before_each(function() e = assert(t.open { memory = true }) end)
  after_each(function() e:close() end)

  local function count(index)
    local r = assert(e:call("dynamodb", "Scan", json.encode { TableName = "Things", IndexName = index }))
    return math.tointeger(json.decode(r).Count)
  end
  local function until_done(kind, action, params, unchanged)
    for n = 1, 200 do
      e:fault(kind, n)
      local ok, err = e:call("dynamodb", action, json.encode(params))
      e:fault(kind, 0)
      if ok then
        assert.is_true(n > 1, action .. " never met the fault")
        return
      end
      assert.matches("InputOutputError", err)
      unchanged()
    end
    error(action .. " never succeeded")
  end
  local function item(id, group) return { id = { S = id }, g = { S = group } } end

  for _, kind in ipairs { "step", "commit" } do
    it("is whole after each failing " .. kind, function()
      until_done(kind, "CreateTable", {
        TableName = "Things", BillingMode = "PAY_PER_REQUEST",
        AttributeDefinitions = { { AttributeName = "id", AttributeType = "S" }, { AttributeName = "g", AttributeType = "S" } },
        KeySchema = { { AttributeName = "id", KeyType = "HASH" } },
        GlobalSecondaryIndexes = { { IndexName = "by_g", KeySchema = { { AttributeName = "g", KeyType = "HASH" } },
          Projection = { ProjectionType = "ALL" } } },
      }, function() assert.is_nil((e:call("dynamodb", "DescribeTable", '{"TableName":"Things"}'))) end)
      local function holds(n)
        return function() assert.same({ n, n }, { count(), count "by_g" }) end
      end
      until_done(kind, "PutItem", { TableName = "Things", Item = item("1", "a") }, holds(0))
      until_done(kind, "TransactWriteItems", { TransactItems = {
        { Put = { TableName = "Things", Item = item("2", "a") } },
        { Delete = { TableName = "Things", Key = { id = { S = "1" } } } },
        { Put = { TableName = "Things", Item = item("3", "b") } },
      } }, holds(1))
      until_done(kind, "BatchWriteItem", { RequestItems = { Things = {
        { PutRequest = { Item = item("4", "c") } }, { DeleteRequest = { Key = { id = { S = "2" } } } },
      } } }, holds(2))
      until_done(kind, "UpdateItem", { TableName = "Things", Key = { id = { S = "4" } }, UpdateExpression = "REMOVE g" }, holds(2))
      assert.same({ 2, 1 }, { count(), count "by_g" })
    end)
  end
end)
