local H = require "unit.local.dynamo_helper"
local S, N = H.S, H.N

describe("DynamoDB says", function()
  local db
  local key = { h = S "a", r = N(1) }
  before_each(function()
    db = H.open()
    db:table { "Deep", hash = "h:S", range = "r:N", gsi = { { "by_g", "g:S", nil, { ProjectionType = "KEYS_ONLY" } } }, lsi = { { "by_l", "h:S", "l:N", { ProjectionType = "KEYS_ONLY" } } } }
    db:table { "Flat", hash = "h:S" }
  end)
  after_each(function() db:close() end)

  local function call(action, p)
    p.TableName = p.TableName or "Deep"
    local doc, failed = db:call(action, p)
    return failed and doc.message or doc
  end

  it("that keys have nothing inside, wherever an expression looks", function()
    local inside = "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: "
    local v = { [":v"] = N(1) }
    assert.are.equal(inside .. "Key: h", call("PutItem", { Item = key, ConditionExpression = "h.x = :v", ExpressionAttributeValues = v }))
    assert.are.equal(inside .. "IndexKey: l", call("DeleteItem", { Key = key, ConditionExpression = "size(l[0]) = :v", ExpressionAttributeValues = v }))
    assert.are.equal(inside .. "Key: r", call("UpdateItem", { Key = key, UpdateExpression = "SET x = r.y" }))
    assert.are.equal(inside .. "Key: h", call("GetItem", { Key = key, ProjectionExpression = "h.x" }))
    assert.are.equal(inside .. "Key: h", call("Scan", { FilterExpression = "h.x = :v", ExpressionAttributeValues = v }))
  end)

  it("which attributes of a filter an index lacks", function()
    assert.are.equal("One or more parameter values were invalid: Secondary index by_l does not project one or more filter attributes: [a, b]",
      call("Query", { IndexName = "by_l", KeyConditionExpression = "h = :h", FilterExpression = "b = :h OR a = :h OR b > :h", ExpressionAttributeValues = { [":h"] = S "a" } }))
    db:ok("PutItem", { TableName = "Deep", Item = { h = S "a", r = N(1), l = N(1), b = S "a" } })
    local page = call("Scan", { IndexName = "by_l", FilterExpression = "b = :h", ExpressionAttributeValues = { [":h"] = S "a" } })
    assert.are.same({ { h = S "a", r = N(1), l = N(1) } }, page.Items)
  end)

  it("that there is more only where more can be", function()
    for i = 1, 4 do db:ok("PutItem", { TableName = "Deep", Item = { h = S "a", r = N(i) } }) end
    db:ok("PutItem", { TableName = "Flat", Item = { h = S "a" } })
    local function last(table_name, condition, limit, forward)
      local values = { [":h"] = S "a", [":r"] = condition:find ":r" and N(1) or nil }
      return db:ok("Query", { TableName = table_name, KeyConditionExpression = condition, ExpressionAttributeValues = values, Limit = limit, ScanIndexForward = forward }).LastEvaluatedKey
    end
    assert.are.same({ h = S "a", r = N(4) }, last("Deep", "h = :h", 4)) -- exactly exhausted, but that is not known
    assert.is_nil(last("Deep", "h = :h", 5))
    assert.is_nil(last("Flat", "h = :h", 1))
    assert.is_nil(last("Deep", "h = :h AND r = :r", 1))
    assert.is_nil(last("Deep", "h = :h AND r >= :r", 4, false))
    assert.are.same({ h = S "a", r = N(1) }, last("Deep", "h = :h AND r >= :r", 1))
  end)

  it("that names and values are for expressions, and which", function()
    local v = { [":v"] = N(1) }
    local without = "ExpressionAttributeValues can only be specified when using expressions: "
    assert.are.equal(without .. "FilterExpression is null", call("Scan", { ProjectionExpression = "a", ExpressionAttributeValues = v }))
    assert.are.equal(without .. "FilterExpression and KeyConditionExpression are null", call("Query", {
      KeyConditions = { h = { ComparisonOperator = "EQ", AttributeValueList = { S "a" } } }, ExpressionAttributeValues = v }))
    assert.are.equal("Invalid UpdateExpression: Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND",
      call("UpdateItem", { Key = key, UpdateExpression = "ADD a :v", ExpressionAttributeValues = { [":v"] = S "x" } }))
    assert.are.equal('Invalid UpdateExpression: Syntax error; token: "AND", near: "SET AND ="', call("UpdateItem", { Key = key, UpdateExpression = "SET AND = :v", ExpressionAttributeValues = v }))
  end)

  it("of an update of nothing: the key is there, what is removed is not made", function()
    assert.are.same({ h = S "n", r = N(1), kept = S "n" }, call("UpdateItem", { Key = { h = S "n", r = N(1) }, UpdateExpression = "SET kept = h", ReturnValues = "ALL_NEW" }).Attributes)
    call("UpdateItem", { Key = { h = S "m", r = N(1) }, UpdateExpression = "REMOVE x" })
    assert.is_nil(call("GetItem", { Key = { h = S "m", r = N(1) } }).Item)
    assert.are.equal("The document path provided in the update expression is invalid for update", call("UpdateItem", { Key = { h = S "m", r = N(1) }, UpdateExpression = "REMOVE x.y" }))
    assert.are.same({ h = S "e", r = N(1) }, call("UpdateItem", { Key = { h = S "e", r = N(1) }, ReturnValues = "ALL_NEW" }).Attributes)
  end)
end)
