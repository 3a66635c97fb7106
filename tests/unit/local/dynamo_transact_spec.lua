local H = require "unit.local.dynamo_helper"
local S, N = H.S, H.N

describe("Batches", function()
  local db
  before_each(function()
    db = H.open()
    db:table { "Aaa", hash = "id:S" }
    db:table { "Bbb", hash = "id:S", range = "k:N" }
  end)
  after_each(function() db:close() end)

  local function put(id) return { PutRequest = { Item = { id = S(id), v = S("v" .. id) } } } end
  local function many(n, fn)
    local out = {}
    for i = 1, n do out[i] = fn("i" .. i) end
    return out
  end

  it("write and read several tables", function()
    db:ok("PutItem", { TableName = "Aaa", Item = { id = S "old" } })
    local r = db:call("BatchWriteItem", { RequestItems = { Aaa = { put "x", put "y", { DeleteRequest = { Key = { id = S "old" } } } }, Bbb = { { PutRequest = { Item = { id = S "b", k = N(1) } } } } } })
    assert.are.same({ UnprocessedItems = {} }, r)
    r = db:ok("BatchGetItem", { RequestItems = { Aaa = { Keys = { { id = S "y" }, { id = S "old" }, { id = S "x" } }, ProjectionExpression = "v" }, Bbb = { Keys = { { id = S "b", k = N "1.0" } } } } })
    assert.are.same({ { v = S "vy" }, { v = S "vx" } }, r.Responses.Aaa)
    assert.are.same({ { id = S "b", k = N(1) } }, r.Responses.Bbb)
    assert.are.same({}, r.UnprocessedKeys)
  end)

  it("are limited and free of duplicates", function()
    local function key(id) return { id = S(id) } end
    db:ok("BatchWriteItem", { RequestItems = { Aaa = many(25, put) } })
    assert.truthy(db:message("BatchWriteItem", { RequestItems = { Aaa = many(26, put) } }):find("at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 25, Member must have length greater than or equal to 1]", 1, true))
    assert.are.equal("Too many items requested for the BatchWriteItem call", db:message("BatchWriteItem", { RequestItems = { Aaa = many(20, put), Bbb = many(6, put) } }))
    assert.are.equal(25, #db:ok("BatchGetItem", { RequestItems = { Aaa = { Keys = many(100, key) } } }).Responses.Aaa)
    assert.truthy(db:message("BatchGetItem", { RequestItems = { Aaa = { Keys = many(101, key) } } }):find("at 'requestItems.Aaa.member.keys' failed to satisfy constraint: Member must have length less than or equal to 100", 1, true))
    assert.are.equal("Too many items requested for the BatchGetItem call", db:message("BatchGetItem", { RequestItems = { Aaa = { Keys = many(60, key) }, Bbb = { Keys = many(60, key) } } }))
    assert.are.equal("Provided list of item keys contains duplicates", db:message("BatchWriteItem", { RequestItems = { Aaa = { put "x", { DeleteRequest = { Key = { id = S "x" } } } } } }))
    assert.are.equal("Provided list of item keys contains duplicates", db:message("BatchGetItem", { RequestItems = { Bbb = { Keys = { { id = S "x", k = N(1) }, { id = S "x", k = N "1.0" } } } } }))
    for _, action in ipairs { "BatchGetItem", "BatchWriteItem" } do
      assert.truthy(db:message(action, '{"RequestItems":{}}'):find("at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1", 1, true))
      assert.truthy(db:message(action, "{}"):find("Value null at 'requestItems'", 1, true))
    end
    assert.truthy(db:message("BatchWriteItem", '{"RequestItems":{"Aaa":[]}}'):find("Member must have length greater than or equal to 1", 1, true))
    assert.are.equal("ResourceNotFoundException", db:fail("BatchWriteItem", { RequestItems = { Aaa = { put "new" }, Nope = { put "x" } } }).name)
    assert.truthy(db:message("BatchWriteItem", { RequestItems = { Aaa = { put "new", { PutRequest = { Item = { v = S "x" } } } } } }):find("The provided key element does not match the schema", 1, true))
    assert.is_nil(db:ok("GetItem", { TableName = "Aaa", Key = { id = S "new" } }).Item)
  end)

  it("hand back the keys beyond 16 MB", function()
    local keys = {}
    for i = 1, 45 do
      keys[i] = { id = S("l" .. i) }
      db:ok("PutItem", { TableName = "Aaa", Item = { id = keys[i].id, x = S(("x"):rep(400000)) } })
    end
    local r = db:ok("BatchGetItem", { RequestItems = { Aaa = { Keys = keys, ProjectionExpression = "id" } } })
    local rest = r.UnprocessedKeys.Aaa
    assert.are.equal(45, #r.Responses.Aaa + #rest.Keys)
    assert.are.equal(41, #r.Responses.Aaa)
    assert.are.equal("id", rest.ProjectionExpression)
    assert.are.equal(#rest.Keys, #db:ok("BatchGetItem", { RequestItems = r.UnprocessedKeys }).Responses.Aaa)
  end)
end)

describe("Transactions", function()
  local db
  before_each(function()
    db = H.open()
    db:table { "Acc", hash = "id:S", gsi = { { "by_g", "g:S" } } }
    db:ok("PutItem", { TableName = "Acc", Item = { id = S "a", n = N(10) } })
    db:ok("PutItem", { TableName = "Acc", Item = { id = S "b", n = N(0) } })
  end)
  after_each(function() db:close() end)

  local function item(id) return db:ok("GetItem", { TableName = "Acc", Key = { id = S(id) } }).Item end
  local function add(id, n, condition, more)
    local u = { TableName = "Acc", Key = { id = S(id) }, UpdateExpression = "SET n = n + :n", ConditionExpression = condition, ExpressionAttributeValues = { [":n"] = N(n) } }
    for k, v in pairs(more or {}) do u[k] = v end
    return { Update = u }
  end
  local function put(id, more)
    local p = { TableName = "Acc", Item = { id = S(id), g = S "g" } }
    for k, v in pairs(more or {}) do p[k] = v end
    return { Put = p }
  end
  local function tx(...) return { TransactItems = { ... } } end

  it("write all or nothing", function()
    assert.are.same({}, db:ok("TransactWriteItems", tx(add("a", -4, "n >= n2 OR attribute_exists(n)"), add("b", 4), put "c",
      { Delete = { TableName = "Acc", Key = { id = S "zz" } } }, { ConditionCheck = { TableName = "Acc", Key = { id = S "q" }, ConditionExpression = "attribute_not_exists(id)" } })))
    assert.are.same({ { id = S "a", n = N(6) }, { id = S "b", n = N(4) } }, { item "a", item "b" })
    local e = db:fail("TransactWriteItems", tx(add("a", 1), put("c", { ConditionExpression = "attribute_not_exists(id)" }), put "d"))
    assert.are.equal("TransactionCanceledException", e.name)
    assert.are.equal("Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed, None]", e.message)
    assert.are.same({ { Code = "None" }, { Code = "ConditionalCheckFailed", Message = "The conditional request failed" }, { Code = "None" } }, e.CancellationReasons)
    assert.are.same({ id = S "a", n = N(6) }, item "a")
    assert.is_nil(item "d")
    assert.are.equal(1, db:ok("Scan", { TableName = "Acc", IndexName = "by_g" }).Count)
  end)

  it("say of each action why it failed, with the old item when asked", function()
    local e = db:fail("TransactWriteItems", tx(
      add("a", 1, "n < :n", { ReturnValuesOnConditionCheckFailure = "ALL_OLD" }),
      { Delete = { TableName = "Acc", Key = { id = S "b" }, ConditionExpression = "attribute_not_exists(id)", ReturnValuesOnConditionCheckFailure = "ALL_OLD" } },
      { ConditionCheck = { TableName = "Acc", Key = { id = S "nobody" }, ConditionExpression = "attribute_exists(id)", ReturnValuesOnConditionCheckFailure = "ALL_OLD" } },
      add("fresh", 1), { Delete = { TableName = "Acc", Key = { wrong = S "x" } } }, put "c"))
    local r = e.CancellationReasons
    assert.are.equal("Transaction cancelled, please refer cancellation reasons for specific reasons [ConditionalCheckFailed, ConditionalCheckFailed, ConditionalCheckFailed, ValidationError, ValidationError, None]", e.message)
    assert.are.same({ id = S "a", n = N(10) }, r[1].Item)
    assert.are.same({ id = S "b", n = N(0) }, r[2].Item)
    assert.is_nil(r[3].Item)
    assert.are.equal("The provided expression refers to an attribute that does not exist in the item", r[4].Message)
    assert.are.equal("The provided key element does not match the schema", r[5].Message)
    assert.is_nil(item "c")
  end)

  it("are refused as a whole when they cannot make sense", function()
    local function message(p) return db:message("TransactWriteItems", p) end
    assert.are.equal("Transaction request cannot include multiple operations on one item", message(tx(put "x", add("x", 1))))
    local many = { TransactItems = {} }
    for i = 1, 101 do many.TransactItems[i] = put("m" .. i) end
    assert.truthy(message(many):find("at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to 100", 1, true))
    many.TransactItems[101] = nil
    db:ok("TransactWriteItems", many)
    assert.truthy(message '{"TransactItems":[]}':find("Member must have length greater than or equal to 1", 1, true))
    assert.truthy(message(tx { Put = put("x").Put, Delete = { TableName = "Acc", Key = { id = S "y" } } }):find("can only contain one of", 1, true))
    assert.truthy(message(tx { Insert = {} }):find("no parameter named 'Insert'", 1, true))
    assert.truthy(message(tx { Update = { TableName = "Acc", Key = { id = S "a" } } }):find("Value null at 'transactItems.1.member.update.updateExpression' failed", 1, true))
    assert.truthy(message(tx { ConditionCheck = { TableName = "Acc", Key = { id = S "a" } } }):find("Value null at 'transactItems.1.member.conditionCheck.conditionExpression' failed", 1, true))
    assert.truthy(message(tx(put("x", { ConditionExpression = "n = " }))):find("Invalid ConditionExpression: Syntax error", 1, true))
    assert.are.equal("ResourceNotFoundException", db:fail("TransactWriteItems", tx(put "x", { Put = { TableName = "Nope", Item = { id = S "x" } } })).name)
    local large = { TransactItems = {} }
    for i = 1, 11 do large.TransactItems[i] = put("l" .. i, { Item = { id = S("l" .. i), x = S(("x"):rep(400000)) } }) end
    assert.truthy(message(large):find("larger than 4 MB", 1, true))
    assert.is_nil(item "x")
    assert.is_nil(item "l1")
  end)

  it("with a token happen once within ten minutes", function()
    local function request(n, token) return ([[{"TransactItems":[{"Update":{"TableName":"Acc","Key":{"id":{"S":"a"}},"UpdateExpression":"SET n = n + :n","ExpressionAttributeValues":{":n":{"N":"%d"}}}}],"ClientRequestToken":"%s"}]]):format(n, token) end
    db:ok("TransactWriteItems", request(1, "t"))
    db:ok("TransactWriteItems", request(1, "t"))
    assert.are.same(N(11), item("a").n)
    -- the same request with its members in another order
    db:ok("TransactWriteItems", [[{"ClientRequestToken":"t","TransactItems":[{"Update":{"ExpressionAttributeValues":{":n":{"N":"1"}},"UpdateExpression":"SET n = n + :n","Key":{"id":{"S":"a"}},"TableName":"Acc"}}]}]])
    assert.are.same(N(11), item("a").n)
    local e = db:fail("TransactWriteItems", request(2, "t"))
    assert.are.equal("IdempotentParameterMismatchException", e.name)
    db:ok("TransactWriteItems", request(2, "u"))
    assert.are.same(N(13), item("a").n)
    db.e:advance(10 * 60 * 1000 - 1)
    db:ok("TransactWriteItems", request(1, "t"))
    assert.are.same(N(13), item("a").n)
    db.e:advance(1)
    db:ok("TransactWriteItems", request(1, "t"))
    assert.are.same(N(14), item("a").n)
    assert.truthy(db:message("TransactWriteItems", request(1, "")):find("clientRequestToken", 1, true))
    assert.truthy(db:message("TransactWriteItems", request(1, ("x"):rep(37))):find("less than or equal to 36", 1, true))
  end)

  it("that failed may be tried again with their token", function()
    local p = tx(add("a", 1, "n = :n"))
    p.ClientRequestToken = "again"
    assert.are.equal("TransactionCanceledException", db:fail("TransactWriteItems", p).name)
    db:ok("PutItem", { TableName = "Acc", Item = { id = S "a", n = N(1) } })
    db:ok("TransactWriteItems", p)
    assert.are.same(N(2), item("a").n)
  end)

  it("read several items at one moment", function()
    local function get(id, projection) return { Get = { TableName = "Acc", Key = { id = S(id) }, ProjectionExpression = projection } } end
    local r = db:ok("TransactGetItems", tx(get("b", "n"), get "nobody", get "a"))
    assert.are.same({ { Item = { n = N(0) } }, {}, { Item = { id = S "a", n = N(10) } } }, r.Responses)
    assert.are.equal("Transaction request cannot include multiple operations on one item", db:message("TransactGetItems", tx(get "a", get "a")))
    local e = db:fail("TransactGetItems", tx(get "a", { Get = { TableName = "Acc", Key = { wrong = S "x" } } }))
    assert.are.equal("TransactionCanceledException", e.name)
    assert.are.same({ Code = "ValidationError", Message = "The provided key element does not match the schema" }, e.CancellationReasons[2])
  end)

  it("leave nothing behind when the store fails in their middle", function()
    db.e:fault("step", 5)
    local doc, failed = db:call("TransactWriteItems", tx(add("a", 1), put "x", put "y", put "z"))
    db.e:fault("step", 0)
    assert.is_true(failed, H.json.encode(doc))
    assert.are.same(N(10), item("a").n)
    for _, id in ipairs { "x", "y", "z" } do assert.is_nil(item(id)) end
    assert.are.equal(0, db:ok("Scan", { TableName = "Acc", IndexName = "by_g" }).Count)
    db:ok("TransactWriteItems", tx(add("a", 1), put "x"))
    assert.are.same(N(11), item("a").n)
  end)
end)
