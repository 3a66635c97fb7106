-- Each limit of DynamoDB from both sides: what just fits is taken, one more is refused.
local H = require "unit.local.dynamo_helper"
local S, N = H.S, H.N

describe("DynamoDB's limit", function()
  local db
  before_each(function()
    db = H.open()
    db:table { "Items", hash = "h:S" }
    db:table { "Pairs", hash = "h:S", range = "r:S" }
  end)
  after_each(function() db:close() end)

  local function put(item, more)
    local p = { TableName = "Items", Item = item }
    for k, v in pairs(more or {}) do p[k] = v end
    return p
  end
  local function refused(what, action, p)
    local e = db:fail(action, p)
    assert.equal("ValidationException", e.name)
    assert.truthy(e.message:find(what, 1, true), e.message)
  end

  it("of an expression: 4096 bytes", function()
    local function condition(n)
      local text = "attribute_not_exists(" .. ("a"):rep(n - #"attribute_not_exists()") .. ")"
      assert.equal(n, #text)
      return put({ h = S "a" }, { ConditionExpression = text })
    end
    db:ok("PutItem", condition(4096))
    refused("Invalid ConditionExpression: Expression size has exceeded the maximum allowed size", "PutItem", condition(4097))
  end)

  it("of operators in an expression: 300", function()
    local function condition(operators)
      return put({ h = S "a" }, { ConditionExpression = ("a<:v OR "):rep((operators - 1) // 2) .. "attribute_not_exists(b)" .. (operators % 2 == 0 and " AND NOT b>:v" or ""),
        ExpressionAttributeValues = { [":v"] = N(1) } })
    end
    db:ok("PutItem", condition(299))
    refused("more than 300 operators", "PutItem", condition(303))
  end)

  it("of numbers: 38 digits, from 1e-130 to below 1e126, in sums too", function()
    local digits = ("9"):rep(38)
    for _, n in ipairs { digits, "-" .. digits, digits .. ("0"):rep(88), "0." .. digits, "1e-130", "1e125", "-9.9e125" } do db:ok("PutItem", put { h = S "a", n = N(n) }) end
    refused("more than 38 significant digits", "PutItem", put { h = S "a", n = N(digits .. "1") })
    refused("magnitude larger than supported range", "PutItem", put { h = S "a", n = N "1e126" })
    refused("magnitude smaller than supported range", "PutItem", put { h = S "a", n = N "1e-131" })
    local function add(n) return { TableName = "Items", Key = { h = S "a" }, UpdateExpression = "SET n = n + :n", ExpressionAttributeValues = { [":n"] = N(n) }, ReturnValues = "ALL_NEW" } end
    db:ok("PutItem", put { h = S "a", n = N "1e37" })
    assert.equal("10000000000000000000000000000000000001", db:ok("UpdateItem", add "1").Attributes.n.N)
    refused("more than 38 significant digits", "UpdateItem", add "0.1")
    db:ok("PutItem", put { h = S "a", n = N("9." .. ("9"):rep(37) .. "e125") })
    refused("magnitude larger than supported range", "UpdateItem", add("1e88"))
  end)

  it("of nesting: 32 levels, also of what an update makes", function()
    local function nested(levels)
      local v = S "x"
      for i = 1, levels do v = i % 2 == 0 and { L = { v } } or { M = { a = v } } end
      return v
    end
    db:ok("PutItem", put { h = S "a", v = nested(32) })
    refused("Nesting Levels have exceeded supported limits", "PutItem", put { h = S "a", v = nested(33) })
    local function wrap(levels) return { TableName = "Items", Key = { h = S "b" }, UpdateExpression = "SET m.x = :v", ExpressionAttributeValues = { [":v"] = nested(levels) } } end
    db:ok("PutItem", put { h = S "b", m = { M = H.object() } })
    db:ok("UpdateItem", wrap(31))
    refused("Nesting Levels have exceeded supported limits", "UpdateItem", wrap(32))
  end)

  it("of keys: 2048 and 1024 bytes", function()
    local function pair(h, r) return { TableName = "Pairs", Item = { h = S(("h"):rep(h)), r = S(("r"):rep(r)) } } end
    db:ok("PutItem", pair(2048, 1024))
    refused("Size of hashkey has exceeded the maximum size limit of2048 bytes", "PutItem", pair(2049, 1))
    refused("Aggregated size of all range keys has exceeded the size limit of 1024 bytes", "PutItem", pair(1, 1025))
  end)

  it("of names: tables and indexes of 3 to 255 characters", function()
    local function named(n) return { TableName = ("t"):rep(n), BillingMode = "PAY_PER_REQUEST", KeySchema = { { AttributeName = "h", KeyType = "HASH" } },
      AttributeDefinitions = { { AttributeName = "h", AttributeType = "S" } } } end
    db:ok("CreateTable", named(3))
    db:ok("CreateTable", named(255))
    refused("TableName must be at least 3 characters long and at most 255 characters long", "CreateTable", named(2))
    refused("TableName must be at least 3 characters long and at most 255 characters long", "CreateTable", named(256))
  end)

  it("of a transaction: 100 actions, 4 MB", function()
    local function actions(n, size)
      local list = {}
      for i = 1, n do list[i] = { Put = put { h = S("i" .. i), x = S(("x"):rep(size)) } } end
      return { TransactItems = list }
    end
    db:ok("TransactWriteItems", actions(100, 1))
    refused("at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to 100", "TransactWriteItems", actions(101, 1))
    db:ok("TransactWriteItems", actions(11, 380000))
    refused("4 MB", "TransactWriteItems", actions(12, 380000))
  end)
end)
