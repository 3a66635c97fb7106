local H = require "unit.local.dynamo_helper"
local S, N = H.S, H.N

describe("DynamoDB parameters older than expressions", function()
  local db
  local key = { id = S "a", n = N(1) }
  before_each(function()
    db = H.open()
    db:table { "Old", hash = "id:S", range = "n:N" }
    db:ok("PutItem", { TableName = "Old", Item = { id = S "a", n = N(1), s = { SS = { "x", "y" } }, l = { L = { N(1) } }, t = S "text", c = N(5) } })
  end)
  after_each(function() db:close() end)

  local function with(p)
    p.TableName = "Old"
    return p
  end
  local function is(op, ...)
    return { ComparisonOperator = op, AttributeValueList = setmetatable({ ... }, { __jsontype = "array" }) }
  end

  it("Expected: conditions on one attribute each, together or any of them", function()
    local function try(expected, operator)
      local doc, failed = db:call("PutItem", with { Item = { id = S "a", n = N(1), s = { SS = { "x", "y" } }, l = { L = { N(1) } }, t = S "text", c = N(5) }, Expected = expected, ConditionalOperator = operator })
      if not failed then return true end
      if doc.message == "The conditional request failed" then return false end
      return doc.message
    end
    for i, case in ipairs {
      { { id = { Exists = false } }, false }, { { zz = { Exists = false } }, true }, { { t = { Value = S "text" } }, true }, { { t = { Value = S "other" } }, false },
      { { t = { Exists = true, Value = S "text" } }, true }, { { t = { ComparisonOperator = "EQ", Value = S "text" } }, true },
      { { c = is("NE", N(5)) }, false }, { { c = is("LT", N(6)) }, true }, { { c = is("LE", N(5)) }, true }, { { c = is("GT", N(5)) }, false }, { { c = is("GE", N(5)) }, true },
      { { c = is("BETWEEN", N(4), N(6)) }, true }, { { c = is("IN", N(4), N(5)) }, true }, { { t = is("BEGINS_WITH", S "te") }, true }, { { t = is("CONTAINS", S "ex") }, true },
      { { t = is("NOT_CONTAINS", S "ex") }, false }, { { s = is("CONTAINS", S "x") }, true }, { { l = is("CONTAINS", N(1)) }, true }, { { l = is("NOT_CONTAINS", N(2)) }, true },
      { { t = is "NOT_NULL" }, true }, { { t = is "NULL" }, false }, { { zz = is "NULL" }, true },
      { { t = is("EQ", S "no"), c = is("EQ", N(5)) }, false }, { { t = is("EQ", S "no"), c = is("EQ", N(5)) }, true, "OR" },
    } do
      assert.are.equal(case[2], try(case[1], case[3]), "case " .. i .. " " .. H.json.encode(case[1]))
    end
    local bad = "One or more parameter values were invalid: "
    for i, case in ipairs {
      { { t = { Exists = true } }, bad .. "Value must be provided when Exists is true for Attribute: t" },
      { { t = H.object() }, bad .. "Value must be provided when Exists is null for Attribute: t" },
      { { t = { Exists = false, Value = S "x" } }, bad .. "Value cannot be used when Exists is false for Attribute: t" },
      { { t = { Exists = true, ComparisonOperator = "EQ", AttributeValueList = { S "x" } } }, bad .. "Exists and ComparisonOperator cannot be used together for Attribute: t" },
      { { t = { Value = S "x", AttributeValueList = { S "x" } } }, bad .. "Value and AttributeValueList cannot be used together for Attribute: t" },
      { { t = { AttributeValueList = { S "x" } } }, bad .. "AttributeValueList can only be used with a ComparisonOperator for Attribute: t" },
      { { t = { ComparisonOperator = "EQ" } }, bad .. "Value or AttributeValueList must be used with ComparisonOperator: EQ for Attribute: t" },
      { { t = is("EQ", S "x", S "y") }, bad .. "Invalid number of argument(s) for the EQ ComparisonOperator" },
      { { t = is("NULL", S "x") }, bad .. "Invalid number of argument(s) for the NULL ComparisonOperator" },
      { { t = is("IN", S "x", N(1)) }, bad .. "AttributeValues inside AttributeValueList must be of same type" },
      { { t = is("LT", { SS = { "a" } }) }, bad .. "ComparisonOperator LT is not valid for SS AttributeValue type" },
      { { t = is("BEGINS_WITH", N(1)) }, bad .. "ComparisonOperator BEGINS_WITH is not valid for N AttributeValue type" },
      { { t = is("BETWEEN", S "z", S "a") }, "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound" },
    } do
      assert.are.equal(case[2], try(case[1]), "bad case " .. i)
    end
    assert.truthy(try({ t = is("XX", S "x") }):find("Value 'XX' at 'expected.t.member.comparisonOperator' failed to satisfy constraint", 1, true))
    assert.are.equal("ConditionalOperator can only be used when Filter or Expected has two or more elements", try({ t = is("EQ", S "text") }, "OR"))
    assert.are.equal("ConditionalOperator cannot be used without Filter or Expected", try(nil, "OR"))
  end)

  it("AttributeUpdates: put, add and delete", function()
    local function update(u)
      local doc, failed = db:call("UpdateItem", with { Key = key, AttributeUpdates = u, ReturnValues = "UPDATED_NEW" })
      return failed and doc.message or doc.Attributes
    end
    assert.are.same({ v = N(1) }, update { v = { Value = N(1) } })
    assert.are.same({ v = N(3) }, update { v = { Action = "ADD", Value = N(2) } })
    assert.are.same({ fresh = N(2) }, update { fresh = { Action = "ADD", Value = N(2) } })
    assert.are.same({ l = { L = { N(1), N(2) } } }, update { l = { Action = "ADD", Value = { L = { N(2) } } } })
    assert.are.same({ s = { SS = { "x", "y", "z" } } }, update { s = { Action = "ADD", Value = { SS = { "y", "z" } } } })
    assert.are.same({ s = { SS = { "z" } } }, update { s = { Action = "DELETE", Value = { SS = { "x", "y" } } } })
    assert.is_nil(update { v = { Action = "DELETE" } })
    local bad = "One or more parameter values were invalid: "
    assert.are.equal(bad .. "Only DELETE action is allowed when no attribute value is specified", update { v = { Action = "PUT" } })
    assert.are.equal(bad .. "ADD action is not supported for the type STRING", update { v = { Action = "ADD", Value = S "x" } })
    assert.are.equal(bad .. "DELETE action with value is not supported for the type NUMBER", update { v = { Action = "DELETE", Value = N(1) } })
    assert.are.equal("Type mismatch for attribute to update", update { s = { Action = "DELETE", Value = { NS = { "1" } } } })
    assert.are.equal(bad .. "Cannot update attribute id. This attribute is part of the key", update { id = { Value = S "z" } })
    assert.is_nil(db:ok("GetItem", with { Key = key }).Item.v)
  end)

  it("AttributesToGet: top-level attributes", function()
    assert.are.same({ t = S "text", c = N(5) }, db:ok("GetItem", with { Key = key, AttributesToGet = { "t", "c", "none" } }).Item)
    local r = db:ok("BatchGetItem", { RequestItems = { Old = { Keys = { key }, AttributesToGet = { "t" } } } }).Responses.Old
    assert.are.same({ { t = S "text" } }, r)
    assert.truthy(db:message("GetItem", with { Key = key, AttributesToGet = { "t", "t" } }):find("Duplicate value in attribute name: t", 1, true))
    assert.are.equal("Cannot specify the AttributesToGet when choosing to get only the Count", db:message("Scan", with { AttributesToGet = { "t" }, Select = "COUNT" }))
  end)

  it("KeyConditions, QueryFilter, ScanFilter: reading", function()
    for i = 2, 4 do db:ok("PutItem", with { Item = { id = S "a", n = N(i), t = i % 2 == 0 and S "even" or nil } }) end
    local function query(p) return db:ok("Query", with(p)) end
    assert.are.equal(4, query { KeyConditions = { id = is("EQ", S "a") } }.Count)
    assert.are.equal(2, query { KeyConditions = { id = is("EQ", S "a"), n = is("BETWEEN", N(2), N(3)) } }.Count)
    local q = query { KeyConditions = { id = is("EQ", S "a"), n = is("GT", N(1)) }, QueryFilter = { t = is "NOT_NULL" }, AttributesToGet = { "n" } }
    assert.are.same({ { { n = N(2) }, { n = N(4) } }, 3 }, { q.Items, q.ScannedCount })
    assert.are.equal(3, db:ok("Scan", with { ScanFilter = { t = is("EQ", S "even"), c = is("EQ", N(5)) }, ConditionalOperator = "OR" }).Count)
    for i, case in ipairs {
      { { KeyConditions = H.object() }, "Conditions can be of length 1 or 2 only" },
      { { KeyConditions = { id = is("LT", S "a") } }, "Query key condition not supported" },
      { { KeyConditions = { id = is("EQ", S "a"), n = is("IN", N(1)) } }, "Attempted conditional constraint is not an indexable operation" },
      { { KeyConditions = { n = is("EQ", N(1)) } }, "Query condition missed key schema element: id" },
      { { KeyConditions = { id = is("EQ", S "a") }, QueryFilter = { n = is("EQ", N(1)) } }, "QueryFilter can only contain non-primary key attributes: Primary key attribute: n" },
      { {}, "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request." },
    } do
      assert.are.equal(case[2], db:message("Query", with(case[1])), "case " .. i)
    end
  end)

  it("do not mix with expressions", function()
    local mixed = "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {%s} Expression parameters: {%s}"
    assert.are.equal(mixed:format("Expected", "ConditionExpression"), db:message("PutItem", with { Item = key, Expected = { id = { Exists = false } }, ConditionExpression = "attribute_exists(id)" }))
    assert.are.equal(mixed:format("AttributeUpdates", "UpdateExpression"), db:message("UpdateItem", with { Key = key, AttributeUpdates = { v = { Value = N(1) } }, UpdateExpression = "REMOVE v" }))
    assert.are.equal(mixed:format("AttributesToGet, QueryFilter", "KeyConditionExpression"), db:message("Query", with { AttributesToGet = { "t" }, QueryFilter = { t = is "NULL" }, KeyConditionExpression = "id = :i" }))
    assert.are.equal(mixed:format("AttributesToGet", "ProjectionExpression"), db:message("GetItem", with { Key = key, AttributesToGet = { "t" }, ProjectionExpression = "t" }))
    assert.are.equal("ExpressionAttributeNames can only be specified when using expressions", db:message("GetItem", with { Key = key, AttributesToGet = { "t" }, ExpressionAttributeNames = { ["#t"] = "t" } }))
  end)
end)
