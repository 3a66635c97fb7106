local H = require "unit.local.dynamo_helper"
local S, N = H.S, H.N

describe("DynamoDB tables", function()
  local db
  before_each(function() db = H.open() end)
  after_each(function() db:close() end)

  local function definition(change)
    local p = {
      TableName = "Orders",
      BillingMode = "PAY_PER_REQUEST",
      AttributeDefinitions = { { AttributeName = "id", AttributeType = "S" }, { AttributeName = "at", AttributeType = "N" } },
      KeySchema = { { AttributeName = "id", KeyType = "HASH" }, { AttributeName = "at", KeyType = "RANGE" } },
    }
    for k, v in pairs(change or {}) do p[k] = v ~= "none" and v or nil end
    return p
  end

  it("are created, described and listed", function()
    local d = db:ok("CreateTable", definition()).TableDescription
    assert.are.equal("Orders", d.TableName)
    assert.are.equal("ACTIVE", d.TableStatus)
    assert.are.equal("arn:aws:dynamodb:us-east-1:000000000000:table/Orders", d.TableArn)
    assert.are.equal("PAY_PER_REQUEST", d.BillingModeSummary.BillingMode)
    assert.are.equal(1700000000, d.CreationDateTime)
    assert.are.same(d, db:ok("DescribeTable", { TableName = "Orders" }).Table)
    assert.are.same(d, db:ok("DescribeTable", { TableName = d.TableArn }).Table)
    assert.are.same({ "Orders" }, db:ok("ListTables", {}).TableNames)
  end)

  it("are described with their indexes, in provisioned mode too, and their item counts", function()
    local through = { ReadCapacityUnits = 5, WriteCapacityUnits = 6 }
    db:ok("CreateTable", {
      TableName = "T-1.x_y",
      ProvisionedThroughput = through,
      AttributeDefinitions = {
        { AttributeName = "id", AttributeType = "S" }, { AttributeName = "at", AttributeType = "N" },
        { AttributeName = "g", AttributeType = "B" }, { AttributeName = "l", AttributeType = "S" },
      },
      KeySchema = { { AttributeName = "id", KeyType = "HASH" }, { AttributeName = "at", KeyType = "RANGE" } },
      GlobalSecondaryIndexes = { {
        IndexName = "by_g", KeySchema = { { AttributeName = "g", KeyType = "HASH" } },
        Projection = { ProjectionType = "INCLUDE", NonKeyAttributes = { "x" } }, ProvisionedThroughput = through,
      } },
      LocalSecondaryIndexes = { {
        IndexName = "by_l", KeySchema = { { AttributeName = "id", KeyType = "HASH" }, { AttributeName = "l", KeyType = "RANGE" } },
        Projection = { ProjectionType = "KEYS_ONLY" },
      } },
    })
    db:ok("PutItem", { TableName = "T-1.x_y", Item = { id = S "a", at = N(1), g = { B = "AA==" } } })
    db:ok("PutItem", { TableName = "T-1.x_y", Item = { id = S "b", at = N(1) } })
    local d = db:ok("DescribeTable", { TableName = "T-1.x_y" }).Table
    assert.are.equal(2, d.ItemCount)
    assert.are.equal(6, d.ProvisionedThroughput.WriteCapacityUnits)
    local g, l = d.GlobalSecondaryIndexes[1], d.LocalSecondaryIndexes[1]
    assert.are.equal("arn:aws:dynamodb:us-east-1:000000000000:table/T-1.x_y/index/by_g", g.IndexArn)
    assert.are.equal(1, g.ItemCount)
    assert.are.equal("ACTIVE", g.IndexStatus)
    assert.are.equal(5, g.ProvisionedThroughput.ReadCapacityUnits)
    assert.are.same({ ProjectionType = "INCLUDE", NonKeyAttributes = { "x" } }, g.Projection)
    assert.are.equal(0, l.ItemCount)
  end)

  it("exist once", function()
    db:ok("CreateTable", definition())
    local e = db:fail("CreateTable", definition())
    assert.are.equal("ResourceInUseException", e.name)
    assert.are.equal("Table already exists: Orders", e.message)
  end)

  it("are listed in pages", function()
    for _, name in ipairs { "ccc", "aaa", "bbb" } do db:table { name, hash = "id:S" } end
    local p = db:ok("ListTables", { Limit = 2 })
    assert.are.same({ { "aaa", "bbb" }, "bbb" }, { p.TableNames, p.LastEvaluatedTableName })
    p = db:ok("ListTables", { Limit = 2, ExclusiveStartTableName = "bbb" })
    assert.are.same({ { "ccc" } }, { p.TableNames, p.LastEvaluatedTableName })
    assert.truthy(db:message("ListTables", { Limit = 0 }):find("greater than or equal to 1", 1, true))
  end)

  it("that are not there are named", function()
    for action, p in pairs {
      DescribeTable = {}, PutItem = { Item = { id = S "a" } }, GetItem = { Key = { id = S "a" } }, Scan = {},
      Query = { KeyConditionExpression = "id = :i", ExpressionAttributeValues = { [":i"] = S "a" } }, DescribeTimeToLive = {},
    } do
      p.TableName = "Nope"
      local e = db:fail(action, p)
      assert.are.equal("ResourceNotFoundException", e.name, action)
      assert.are.equal("Requested resource not found: Table: Nope not found", e.message)
    end
  end)

  it("refuse bad definitions, saying what is wrong", function()
    local index = { IndexName = "by_at", KeySchema = { { AttributeName = "at", KeyType = "HASH" } }, Projection = { ProjectionType = "ALL" } }
    local function gsi(change)
      local x = {}
      for k, v in pairs(index) do x[k] = v end
      for k, v in pairs(change) do x[k] = v ~= "none" and v or nil end
      return { GlobalSecondaryIndexes = { x } }
    end
    local local_x = { IndexName = "by_l", KeySchema = { { AttributeName = "at", KeyType = "HASH" }, { AttributeName = "id", KeyType = "RANGE" } }, Projection = { ProjectionType = "ALL" } }
    local cases = {
      { { TableName = "ab" }, "TableName must be at least 3 characters long and at most 255 characters long" },
      { { TableName = ("x"):rep(256) }, "at most 255 characters long" },
      { { TableName = "a b c" }, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+" },
      { { TableName = "none" }, "The parameter 'TableName' is required but was not present in the request" },
      { { KeySchema = "none" }, "Value null at 'keySchema'" },
      { { KeySchema = { { AttributeName = "id", KeyType = "RANGE" } } }, "Invalid KeySchema: The first KeySchemaElement is not a HASH key type" },
      { { KeySchema = { { AttributeName = "id", KeyType = "HASH" }, { AttributeName = "at", KeyType = "HASH" } } }, "The second KeySchemaElement is not a RANGE key type" },
      { { KeySchema = { { AttributeName = "id", KeyType = "HASH" }, { AttributeName = "id", KeyType = "RANGE" } } }, "have the same name" },
      { { KeySchema = { { AttributeName = "id", KeyType = "HASH" } } }, "Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions" },
      { { KeySchema = { { AttributeName = "zz", KeyType = "HASH" } } }, "Some index key attributes are not defined in AttributeDefinitions. Keys: [zz], AttributeDefinitions: [id, at]" },
      { { AttributeDefinitions = { { AttributeName = "id", AttributeType = "SS" } } }, "Member must satisfy enum value set: [B, N, S]" },
      { { BillingMode = "FREE" }, "Member must satisfy enum value set: [PROVISIONED, PAY_PER_REQUEST]" },
      { { BillingMode = "none" }, "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED" },
      { { ProvisionedThroughput = { ReadCapacityUnits = 1, WriteCapacityUnits = 1 } }, "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified" },
      { { StreamSpecification = { StreamEnabled = true } }, "streams are not supported here" },
      { { ResourcePolicy = "{}" }, "ResourcePolicy is not supported" },
      { { Tabel = "x" }, "CreateTable has no parameter named 'Tabel'" },
      { gsi { IndexName = "x" }, "Value 'x' at 'globalSecondaryIndexes.1.member.indexName' failed to satisfy constraint: Member must have length greater than or equal to 3" },
      { gsi { Projection = "none" }, "Value null at 'globalSecondaryIndexes.1.member.projection'" },
      { gsi { Projection = { ProjectionType = "SOME" } }, "enum value set: [ALL, INCLUDE, KEYS_ONLY]" },
      { gsi { Projection = { ProjectionType = "ALL", NonKeyAttributes = { "x" } } }, "ProjectionType is ALL, but NonKeyAttributes is specified" },
      { gsi { ProvisionedThroughput = { ReadCapacityUnits = 1, WriteCapacityUnits = 1 } }, "ProvisionedThroughput should not be specified for index: by_at" },
      { { GlobalSecondaryIndexes = { index, index } }, "Duplicate index name: by_at" },
      { { LocalSecondaryIndexes = { local_x } }, "does not have the same leading hash key as table KeySchema for index: by_l" },
    }
    for i, c in ipairs(cases) do
      local e = db:fail("CreateTable", definition(c[1]))
      assert.are.equal("ValidationException", e.name)
      assert.truthy(e.message:find(c[2], 1, true), i .. ": " .. e.message)
    end
    assert.are.same(0, #db:ok("ListTables", {}).TableNames)
  end)

  it("are there again after the store was closed", function()
    local dir = os.tmpname()
    os.remove(dir)
    local t_local = require "t.local"
    local e = assert(t_local.open { dir = dir })
    assert(e:call("dynamodb", "CreateTable", H.json.encode(definition())))
    assert(e:call("dynamodb", "PutItem", [[{"TableName":"Orders","Item":{"id":{"S":"a"},"at":{"N":"1"}}}]]))
    e:close()
    e = assert(t_local.open { dir = dir })
    assert.are.equal([[{"Item":{"id":{"S":"a"},"at":{"N":"1"}}}]], (e:call("dynamodb", "GetItem", [[{"TableName":"Orders","Key":{"id":{"S":"a"},"at":{"N":"1"}}}]])))
    e:close()
    os.execute("rm -rf '" .. dir .. "'")
  end)
end)

describe("Time to live", function()
  local db
  local now = 1700000000
  before_each(function()
    db = H.open(now * 1000)
    db:table { "Keys", hash = "id:S", gsi = { { "by_g", "g:S" } } }
  end)
  after_each(function() db:close() end)

  local function ids()
    local out = {}
    for _, i in ipairs(db:ok("Scan", { TableName = "Keys" }).Items) do out[#out + 1] = i.id.S end
    return out
  end
  local function put(id, ttl) db:ok("PutItem", { TableName = "Keys", Item = { id = S(id), ttl = ttl, g = S "g" } }) end
  local function enable(on, attribute)
    return { TableName = "Keys", TimeToLiveSpecification = { Enabled = on, AttributeName = attribute or "ttl" } }
  end
  -- The sweep runs in the writer about once a second; each turn of the loop gives it time.
  local function wait_for(n)
    for _ = 1, 400 do
      if #ids() == n then return end
      db.e:turn(25)
    end
    assert.are.equal(n, #ids())
  end

  it("is off, on, and off again", function()
    local function status() return db:ok("DescribeTimeToLive", { TableName = "Keys" }).TimeToLiveDescription end
    assert.are.same({ TimeToLiveStatus = "DISABLED" }, status())
    assert.are.equal("TimeToLive is already disabled", db:message("UpdateTimeToLive", enable(false)))
    assert.are.same(enable(true).TimeToLiveSpecification, db:ok("UpdateTimeToLive", enable(true)).TimeToLiveSpecification)
    assert.are.same({ TimeToLiveStatus = "ENABLED", AttributeName = "ttl" }, status())
    assert.are.equal("TimeToLive is already enabled", db:message("UpdateTimeToLive", enable(true)))
    assert.truthy(db:message("UpdateTimeToLive", enable(false, "other")):find("different AttributeName", 1, true))
    db:ok("UpdateTimeToLive", enable(false))
    assert.are.same({ TimeToLiveStatus = "DISABLED" }, status())
  end)

  it("deletes items whose time has come, from the indexes too, and no others", function()
    put("before", N(now + 5))
    db:ok("UpdateTimeToLive", enable(true))
    put("soon", N(now + 10))
    put("later", N(now + 1000))
    put("never")
    put("text", S(tostring(now + 1)))
    put("ancient", N(now - 6 * 365 * 86400))
    put("moved", N(now + 10))
    put("moved", N(now + 1000))
    db:ok("UpdateItem", { TableName = "Keys", Key = { id = S "later" }, UpdateExpression = "ADD #t :n", ExpressionAttributeNames = { ["#t"] = "ttl" }, ExpressionAttributeValues = { [":n"] = N(1) } })
    assert.are.equal(7, #ids())
    db.e:advance(20000)
    wait_for(5)
    assert.are.same({ "ancient", "later", "moved", "never", "text" }, ids())
    local q = db:ok("Query", { TableName = "Keys", IndexName = "by_g", KeyConditionExpression = "g = :g", ExpressionAttributeValues = { [":g"] = S "g" } })
    assert.are.equal(5, q.Count)
    db.e:advance(2000000)
    wait_for(3)
  end)

  it("finds what was there before, however much, little by little", function()
    for i = 0, 59 do
      local requests = {}
      for k = 1, 20 do requests[k] = { PutRequest = { Item = { id = S(("old%d"):format(i * 20 + k)), ttl = N(now + 10) } } } end
      db:ok("BatchWriteItem", { RequestItems = { Keys = requests } })
    end
    put("later", N(now + 100000))
    db:ok("UpdateTimeToLive", enable(true))
    db:ok("UpdateTimeToLive", enable(false))
    db:ok("UpdateTimeToLive", enable(true))
    put("old1", N(now + 100000))
    db:ok("DeleteItem", { TableName = "Keys", Key = { id = S "old2" } })
    db.e:advance(20000)
    wait_for(2)
    assert.are.same({ "later", "old1" }, ids())
  end)
end)
