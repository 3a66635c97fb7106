local H = require "unit.local.dynamo_helper"
local S, N = H.S, H.N

describe("DynamoDB items", function()
  local db
  before_each(function()
    db = H.open()
    db:table { "Orders", hash = "id:S" }
    db:table { "Events", hash = "id:S", range = "at:N", gsi = { { "by_kind", "kind:S", "at:N" } }, lsi = { { "by_name", "id:S", "name:S" } } }
  end)
  after_each(function() db:close() end)

  local function put(item, more)
    local p = { TableName = "Orders", Item = item }
    for k, v in pairs(more or {}) do p[k] = v end
    return p
  end
  local function update(id, expression, values, more)
    local p = { TableName = "Orders", Key = { id = S(id) }, UpdateExpression = expression, ExpressionAttributeValues = values }
    for k, v in pairs(more or {}) do p[k] = v end
    return p
  end
  local function get(id) return db:ok("GetItem", { TableName = "Orders", Key = { id = S(id) } }).Item end

  it("are put, read, replaced and deleted", function()
    assert.is_nil(get "a")
    assert.are.same({}, db:ok("PutItem", put { id = S "a", x = N "1.50", y = { L = { { BOOL = true } } } }))
    assert.are.same({ id = S "a", x = N "1.5", y = { L = { { BOOL = true } } } }, get "a")
    db:ok("PutItem", put { id = S "a", z = S "" })
    assert.are.same({ id = S "a", z = S "" }, get "a")
    assert.are.same({}, db:ok("DeleteItem", { TableName = "Orders", Key = { id = S "a" } }))
    assert.are.same({}, db:ok("DeleteItem", { TableName = "Orders", Key = { id = S "a" } }))
    assert.is_nil(get "a")
  end)

  it("have one key for equal numbers, and exact large ones", function()
    db:table { "Numbers", hash = "id:N" }
    db:ok("PutItem", { TableName = "Numbers", Item = { id = N "1.0", v = N "9223372036854775807" } })
    db:ok("PutItem", { TableName = "Numbers", Item = { id = N "1", v = N "12345678901234567890123456789012345678" } })
    assert.are.same({ id = N "1", v = N "12345678901234567890123456789012345678" }, db:ok("GetItem", { TableName = "Numbers", Key = { id = N "1e0" } }).Item)
    assert.are.equal(1, db:ok("Scan", { TableName = "Numbers" }).Count)
  end)

  it("are projected", function()
    db:ok("PutItem", put { id = S "a", x = N(1), m = { M = { p = N(1), q = N(2), r = { M = { s = N(3), u = N(4) } } } }, l = { L = { N(0), N(1), N(2) } } })
    local function read(expression, names)
      return db:ok("GetItem", { TableName = "Orders", Key = { id = S "a" }, ProjectionExpression = expression, ExpressionAttributeNames = names }).Item
    end
    assert.are.same({ id = S "a", x = N(1) }, read "id, x, gone")
    assert.are.same({ m = { M = { p = N(1), r = { M = { s = N(3) } } } } }, read "m.p, m.r.s, m.gone.far")
    assert.are.same({ l = { L = { N(0), N(2) } } }, read "l[2], l[0], l[9]")
    assert.are.same({ m = { M = { q = N(2) } } }, read("#m.#q", { ["#m"] = "m", ["#q"] = "q" }))
    assert.are.same({}, read "gone")
    local function refused(p)
      p.TableName, p.Key = "Orders", { id = S "a" }
      return db:message("GetItem", p)
    end
    assert.truthy(refused { ProjectionExpression = "m, m.p" }:find("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m], path two: [m, p]", 1, true))
    assert.truthy(refused { ProjectionExpression = "id," }:find("Invalid ProjectionExpression: Syntax error", 1, true))
    assert.are.equal("ExpressionAttributeNames can only be specified when using expressions", refused { ExpressionAttributeNames = { ["#a"] = "a" } })
    assert.truthy(refused { ReturnConsumedCapacity = "SOME" }:find("Member must satisfy enum value set: [INDEXES, TOTAL, NONE]", 1, true))
    assert.truthy(refused { Keys = {} }:find("GetItem has no parameter named 'Keys'", 1, true))
  end)

  it("need exactly their key", function()
    local mismatch = "The provided key element does not match the schema"
    for _, key in ipairs { { id = N(1) }, { x = S "a" }, { id = S "a", x = S "b" } } do
      assert.are.equal(mismatch, db:message("GetItem", { TableName = "Orders", Key = key }))
      assert.are.equal(mismatch, db:message("DeleteItem", { TableName = "Orders", Key = key }))
      assert.are.equal(mismatch, db:message("UpdateItem", { TableName = "Orders", Key = key }))
    end
    assert.are.equal(mismatch, db:message("GetItem", { TableName = "Events", Key = { id = S "a" } }))
    assert.are.equal("One or more parameter values were invalid: Missing the key id in the item", db:message("PutItem", put { x = S "a" }))
    assert.are.equal("One or more parameter values were invalid: Type mismatch for key id expected: S actual: N", db:message("PutItem", put { id = N(1) }))
    local empty = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: id"
    assert.are.equal(empty, db:message("PutItem", put { id = S "" }))
    assert.are.equal(empty, db:message("GetItem", { TableName = "Orders", Key = { id = S "" } }))
    assert.truthy(db:message("PutItem", put { id = S(("x"):rep(2049)) }):find("Size of hashkey has exceeded the maximum size limit of2048 bytes", 1, true))
    db:ok("PutItem", put { id = S(("x"):rep(2048)) })
  end)

  it("may not miss their index keys' types", function()
    local function event(more)
      local i = { id = S "a", at = N(1) }
      for k, v in pairs(more) do i[k] = v end
      return { TableName = "Events", Item = i }
    end
    assert.are.equal("One or more parameter values were invalid: Type mismatch for Index Key kind Expected: S Actual: N IndexName: by_kind", db:message("PutItem", event { kind = N(1) }))
    assert.truthy(db:message("PutItem", event { name = N(1) }):find("IndexName: by_name", 1, true))
    assert.truthy(db:message("PutItem", event { kind = S "" }):find("cannot contain an empty string value. IndexName: by_kind, IndexKey: kind", 1, true))
    db:ok("PutItem", event { kind = S "k" })
    assert.truthy(db:message("UpdateItem", { TableName = "Events", Key = { id = S "a", at = N(1) }, UpdateExpression = "SET kind = :n", ExpressionAttributeValues = { [":n"] = N(1) } }):find("Type mismatch for Index Key kind", 1, true))
  end)

  it("are at most 409600 bytes", function()
    local room = 409600 - #"id" - #"a" - #"x"
    db:ok("PutItem", put { id = S "a", x = S(("y"):rep(room)) })
    assert.are.equal(room, #get("a").x.S)
    assert.are.equal("Item size has exceeded the maximum allowed size", db:message("PutItem", put { id = S "a", x = S(("y"):rep(room + 1)) }))
    assert.are.equal("Item size to update has exceeded the maximum allowed size", db:message("UpdateItem", update("a", "SET z = :z", { [":z"] = S "" })))
    assert.are.equal(room, #get("a").x.S)
  end)

  it("nest at most 32 levels also after an update", function()
    local deep = N(1)
    for _ = 1, 32 do deep = { L = { deep } } end
    db:ok("PutItem", put { id = S "a", deep = deep })
    assert.truthy(db:message("UpdateItem", update("a", "SET x = list_append(:l, :l), deep[0] = :d", { [":l"] = { L = {} }, [":d"] = deep })):find("Nesting Levels", 1, true))
  end)

  it("are written under conditions", function()
    local once = { ConditionExpression = "attribute_not_exists(id)" }
    db:ok("PutItem", put({ id = S "a", v = N(1) }, once))
    local e = db:fail("PutItem", put({ id = S "a", v = N(2) }, once))
    assert.are.equal("com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", e.__type)
    assert.are.equal("The conditional request failed", e.message)
    assert.is_nil(e.Item)
    local v = { ConditionExpression = "v = :v", ReturnValuesOnConditionCheckFailure = "ALL_OLD" }
    v.ExpressionAttributeValues = { [":v"] = N(7) }
    assert.are.same({ id = S "a", v = N(1) }, db:fail("PutItem", put({ id = S "a" }, v)).Item)
    v.TableName, v.Key = "Orders", { id = S "a" }
    assert.are.same({ id = S "a", v = N(1) }, db:fail("DeleteItem", v).Item)
    v.UpdateExpression = "SET v = :v"
    assert.are.same({ id = S "a", v = N(1) }, db:fail("UpdateItem", v).Item)
    v.Key = { id = S "nobody" }
    assert.is_nil(db:fail("UpdateItem", v).Item)
    assert.is_nil(get "nobody")
    assert.are.same({ id = S "a", v = N(1) }, get "a")
    v.Key, v.UpdateExpression, v.ExpressionAttributeValues = { id = S "a" }, nil, { [":v"] = N(1) }
    db:ok("DeleteItem", v)
    assert.is_nil(get "a")
  end)

  it("answer with ReturnValues", function()
    local function old(p) return db:ok("PutItem", p).Attributes end
    assert.is_nil(old(put({ id = S "a", v = N(1), m = { M = { x = N(1), y = N(2) } } }, { ReturnValues = "ALL_OLD" })))
    assert.are.same({ id = S "a", v = N(1), m = { M = { x = N(1), y = N(2) } } }, old(put({ id = S "a", v = N(2), m = { M = { x = N(1), y = N(2) } } }, { ReturnValues = "ALL_OLD" })))
    local expected = {
      NONE = false,
      ALL_OLD = { id = S "a", v = N(2), m = { M = { x = N(1), y = N(2) } } },
      UPDATED_OLD = { v = N(2), m = { M = { x = N(1) } } },
      ALL_NEW = { id = S "a", v = N(3), m = { M = { x = N(9), y = N(2) } }, w = N(1) },
      UPDATED_NEW = { v = N(3), m = { M = { x = N(9) } }, w = N(1) },
    }
    for rv, attributes in pairs(expected) do
      db:ok("PutItem", put { id = S "a", v = N(2), m = { M = { x = N(1), y = N(2) } } })
      local r = db:ok("UpdateItem", update("a", "SET m.x = :n ADD v :one, w :one", { [":n"] = N(9), [":one"] = N(1) }, { ReturnValues = rv }))
      assert.are.same(attributes or nil, r.Attributes, rv)
    end
    assert.are.same(expected.ALL_NEW, db:ok("DeleteItem", { TableName = "Orders", Key = { id = S "a" }, ReturnValues = "ALL_OLD" }).Attributes)
    assert.are.equal("ReturnValues can only be ALL_OLD or NONE", db:message("PutItem", put({ id = S "a" }, { ReturnValues = "ALL_NEW" })))
    assert.truthy(db:message("PutItem", put({ id = S "a" }, { ReturnValues = "SOME" })):find("Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]", 1, true))
  end)

  it("are made by updates, except by ones that only remove", function()
    db:ok("UpdateItem", { TableName = "Orders", Key = { id = S "bare" } })
    assert.are.same({ id = S "bare" }, get "bare")
    db:ok("UpdateItem", update("counter", "ADD n :one", { [":one"] = N(1) }))
    assert.are.same({ id = S "counter", n = N(1) }, get "counter")
    db:ok("UpdateItem", update("ghost", "REMOVE n"))
    assert.is_nil(get "ghost")
  end)

  it("refuse updates of their key, and keep what they had", function()
    db:ok("PutItem", put { id = S "a", v = N(1) })
    assert.are.equal("One or more parameter values were invalid: Cannot update attribute id. This attribute is part of the key", db:message("UpdateItem", update("a", "SET id = :v", { [":v"] = S "b" })))
    assert.truthy(db:message("UpdateItem", update("a", "SET v = v + nosuch")):find("does not exist in the item", 1, true))
    assert.truthy(db:message("UpdateItem", update("a", "SET w = :v", { [":v"] = N(1), [":unused"] = N(1) })):find("unused in expressions: keys: {:unused}", 1, true))
    assert.are.equal("ExpressionAttributeValues can only be specified when using expressions: UpdateExpression and ConditionExpression are null",
      db:message("UpdateItem", update("a", nil, { [":v"] = N(1) })))
    assert.are.equal("ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null",
      db:message("PutItem", put({ id = S "a" }, { ExpressionAttributeValues = { [":v"] = N(1) } })))
    assert.are.same({ id = S "a", v = N(1) }, get "a")
  end)

  it("refuse unknown parameters by name", function()
    assert.are.equal("PutItem has no parameter named 'Itme'", db:message("PutItem", { TableName = "Orders", Itme = {} }))
    local e = db:fail("PutItem", { TableName = 1, Item = { id = S "a" } })
    assert.are.equal("SerializationException", e.name)
    assert.are.equal("PutItem: tableName: NUMBER_VALUE cannot be converted to String", e.message)
    e = db:fail("PutItem", { TableName = "Orders", Item = { id = "a" } })
    assert.are.equal("SerializationException", e.name)
  end)
end)
