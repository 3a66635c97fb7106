local H = require "unit.local.dynamo_helper"
local S, N = H.S, H.N

describe("DynamoDB tables", function()
  local db
  before_each(function() db = H.open() end)
  after_each(function() db:close() end)

  local function describe_table(name) return db:ok("DescribeTable", { TableName = name }).Table end
  local units = { ReadCapacityUnits = 5, WriteCapacityUnits = 6 }
  local function put_many(name, n)
    for i = 1, n do
      db:ok("PutItem", { TableName = name, Item = { id = S("k" .. i), g = i % 3 > 0 and S("g" .. i % 3) or nil, n = N(i), text = i % 7 == 0 and N(1) or S "x" } })
    end
  end
  local function wait_for_index(name)
    for _ = 1, 400 do
      if describe_table(name).TableStatus == "ACTIVE" then return end
      db.e:turn(25)
    end
    error "the index was never filled"
  end
  local function count_of(name, index, expression, values)
    return db:ok("Query", { TableName = name, IndexName = index, Select = "COUNT", KeyConditionExpression = expression, ExpressionAttributeValues = values }).Count
  end
  local function create_index(name, hash, type)
    return {
      TableName = name, AttributeDefinitions = { { AttributeName = hash, AttributeType = type or "S" } },
      GlobalSecondaryIndexUpdates = { { Create = { IndexName = "by_" .. hash, KeySchema = { { AttributeName = hash, KeyType = "HASH" } }, Projection = { ProjectionType = "ALL" } } } },
    }
  end

  describe("that are deleted", function()
    it("are gone at once, and their name can be used again for an empty one", function()
      db:table { "Gone", hash = "id:S", gsi = { { "by_g", "g:S" } } }
      put_many("Gone", 20)
      assert.are.equal("DELETING", db:ok("DeleteTable", { TableName = "Gone" }).TableDescription.TableStatus)
      for action, p in pairs { DescribeTable = {}, DeleteTable = {}, Scan = {}, PutItem = { Item = { id = S "a" } } } do
        p.TableName = "Gone"
        assert.are.equal("ResourceNotFoundException", db:fail(action, p).name, action)
      end
      assert.are.same({}, db:ok("ListTables", {}).TableNames)
      db:table { "Gone", hash = "id:S", gsi = { { "by_g", "g:S" } } }
      assert.are.equal(0, db:ok("Scan", { TableName = "Gone" }).Count)
      assert.are.equal(0, count_of("Gone", "by_g", "g = :g", { [":g"] = S "g1" }))
    end)

    it("can be protected from that", function()
      local p = { TableName = "Safe", BillingMode = "PAY_PER_REQUEST", DeletionProtectionEnabled = true,
        AttributeDefinitions = { { AttributeName = "id", AttributeType = "S" } }, KeySchema = { { AttributeName = "id", KeyType = "HASH" } } }
      assert.is_true(db:ok("CreateTable", p).TableDescription.DeletionProtectionEnabled)
      assert.are.equal("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.",
        db:message("DeleteTable", { TableName = "Safe" }))
      db:ok("UpdateTable", { TableName = "Safe", DeletionProtectionEnabled = false })
      assert.is_false(describe_table "Safe".DeletionProtectionEnabled)
      db:ok("DeleteTable", { TableName = "Safe" })
    end)
  end)

  describe("get an index later", function()
    before_each(function() db:table { "Grow", hash = "id:S", lsi = nil } end)

    it("that is filled with the items that were there, and not with those that cannot be in it", function()
      put_many("Grow", 700) -- more than one step
      local d = db:ok("UpdateTable", create_index("Grow", "text")).TableDescription
      assert.are.equal("UPDATING", d.TableStatus)
      assert.are.equal("CREATING", d.GlobalSecondaryIndexes[1].IndexStatus)
      assert.is_true(d.GlobalSecondaryIndexes[1].Backfilling)
      assert.are.equal(700, db:ok("Scan", { TableName = "Grow", Select = "COUNT" }).Count)
      wait_for_index "Grow"
      assert.are.equal("ACTIVE", describe_table "Grow".GlobalSecondaryIndexes[1].IndexStatus)
      assert.are.equal(600, db:ok("Scan", { TableName = "Grow", IndexName = "by_text" }).Count)
    end)

    it("that cannot be read before it is complete, but follows all writes meanwhile", function()
      put_many("Grow", 30)
      db:ok("UpdateTable", create_index("Grow", "g"))
      local doc, failed = db:call("Query", { TableName = "Grow", IndexName = "by_g", KeyConditionExpression = "g = :g", ExpressionAttributeValues = { [":g"] = S "g1" } })
      if failed then assert.are.equal("Cannot read from backfilling global secondary index: by_g", doc.message) end
      db:ok("PutItem", { TableName = "Grow", Item = { id = S "k1", g = S "g2" } })
      db:ok("DeleteItem", { TableName = "Grow", Key = { id = S "k2" } })
      db:ok("PutItem", { TableName = "Grow", Item = { id = S "new", g = S "g1" } })
      wait_for_index "Grow"
      assert.are.equal(10, count_of("Grow", "by_g", "g = :g", { [":g"] = S "g1" }))
      assert.are.equal(10, count_of("Grow", "by_g", "g = :g", { [":g"] = S "g2" }))
    end)

    it("over items whose attribute has the wrong type, which can still be replaced and deleted", function()
      db:ok("PutItem", { TableName = "Grow", Item = { id = S "a", g = N(1) } })
      db:ok("UpdateTable", create_index("Grow", "g"))
      wait_for_index "Grow"
      assert.truthy(db:message("UpdateItem", { TableName = "Grow", Key = { id = S "a" }, UpdateExpression = "SET x = :x", ExpressionAttributeValues = { [":x"] = N(1) } })
        :find("Type mismatch for Index Key g Expected: S Actual: N IndexName: by_g", 1, true))
      db:ok("PutItem", { TableName = "Grow", Item = { id = S "a", g = S "g1" } })
      assert.are.equal(1, count_of("Grow", "by_g", "g = :g", { [":g"] = S "g1" }))
      db:ok("DeleteItem", { TableName = "Grow", Key = { id = S "a" } })
      assert.are.equal(0, count_of("Grow", "by_g", "g = :g", { [":g"] = S "g1" }))
    end)

    it("and lose it again, with the attribute definitions that only it needed", function()
      put_many("Grow", 9)
      db:ok("UpdateTable", create_index("Grow", "g"))
      wait_for_index "Grow"
      db:ok("UpdateTable", create_index("Grow", "n", "N"))
      wait_for_index "Grow"
      local d = db:ok("UpdateTable", { TableName = "Grow", GlobalSecondaryIndexUpdates = { { Delete = { IndexName = "by_g" } } } }).TableDescription
      assert.are.equal("DELETING", d.GlobalSecondaryIndexes[2].IndexStatus)
      d = describe_table "Grow"
      assert.are.same({ "by_n" }, { d.GlobalSecondaryIndexes[1].IndexName, d.GlobalSecondaryIndexes[2] })
      assert.are.same({ "id", "n" }, { d.AttributeDefinitions[1].AttributeName, d.AttributeDefinitions[2].AttributeName, d.AttributeDefinitions[3] })
      assert.are.equal(1, count_of("Grow", "by_n", "n = :n", { [":n"] = N(4) }))
      db:ok("UpdateTable", create_index("Grow", "g"))
      wait_for_index "Grow"
      assert.are.equal(3, count_of("Grow", "by_g", "g = :g", { [":g"] = S "g1" }))
    end)

    it("which AWS's rules allow one at a time", function()
      local one, two = create_index("Grow", "g"), create_index("Grow", "n", "N")
      one.AttributeDefinitions[2] = two.AttributeDefinitions[1]
      one.GlobalSecondaryIndexUpdates[2] = two.GlobalSecondaryIndexUpdates[1]
      assert.are.equal("LimitExceededException", db:fail("UpdateTable", one).name)
      assert.are.equal("ResourceNotFoundException", db:fail("UpdateTable", { TableName = "Grow", GlobalSecondaryIndexUpdates = { { Delete = { IndexName = "none" } } } }).name)
      local undefined = create_index("Grow", "g")
      undefined.AttributeDefinitions = nil
      assert.truthy(db:message("UpdateTable", undefined):find("not defined in AttributeDefinitions", 1, true))
      db:ok("UpdateTable", create_index("Grow", "g"))
      wait_for_index "Grow"
      assert.truthy(db:message("UpdateTable", create_index("Grow", "g")):find("already exists", 1, true))
    end)
  end)

  it("keep a half-filled index over a restart", function()
    local dir = os.tmpname()
    os.remove(dir)
    local t_local = require "t.local"
    local e = assert(t_local.open { dir = dir })
    db:close()
    db.e = e
    db:table { "Grow", hash = "id:S" }
    put_many("Grow", 1200)
    db:ok("UpdateTable", create_index("Grow", "g"))
    e:close()
    db.e = assert(t_local.open { dir = dir })
    wait_for_index "Grow"
    assert.are.equal(400, count_of("Grow", "by_g", "g = :g", { [":g"] = S "g1" }))
    db:close()
    os.execute("rm -rf '" .. dir .. "'")
    db = H.open()
  end)

  it("tell the size of a larger index by some of its items", function()
    db:table { "Some", hash = "id:S", gsi = { { "by_g", "g:S" } } }
    put_many("Some", 1200)
    local t = describe_table "Some"
    local g = t.GlobalSecondaryIndexes[1]
    assert.are.equal(800, g.ItemCount)
    assert.truthy(g.IndexSizeBytes > t.TableSizeBytes * 800 / 1200 and g.IndexSizeBytes < t.TableSizeBytes)
  end)

  it("are counted little by little when they are large", function()
    db:table { "Many", hash = "id:S", gsi = { { "by_g", "g:S" } } }
    for i = 0, 439 do
      local requests = {}
      for k = 1, 25 do requests[k] = { PutRequest = { Item = { id = S(("%05d"):format(i * 25 + k)) } } } end
      db:ok("BatchWriteItem", { RequestItems = { Many = requests } })
      if i == 300 then assert.are.equal(7525, describe_table "Many".ItemCount) end
    end
    assert.truthy(describe_table "Many".ItemCount >= 10000)
    for _ = 1, 200 do
      if describe_table "Many".ItemCount == 11000 then break end
      db.e:advance(3600 * 1000 + 1) -- a first count may have been made while the table was filled
      db.e:turn(10)
    end
    assert.are.equal(11000, describe_table "Many".ItemCount)
    assert.are.equal(0, describe_table "Many".GlobalSecondaryIndexes[1].ItemCount)
    db:ok("DeleteTable", { TableName = "Many" })
    db.e:advance(2000)
    db:table { "Many", hash = "id:S" }
    assert.are.equal(0, describe_table "Many".ItemCount)
  end)

  it("change how they are paid for", function()
    db:table { "Bill", hash = "id:S", gsi = { { "by_g", "g:S" } } }
    assert.truthy(db:message("UpdateTable", { TableName = "Bill" }):find("^At least one of ProvisionedThroughput, BillingMode"))
    assert.truthy(db:message("UpdateTable", { TableName = "Bill", BillingMode = "PROVISIONED", ProvisionedThroughput = units }):find("must be specified for index: by_g", 1, true))
    db:ok("UpdateTable", { TableName = "Bill", BillingMode = "PROVISIONED", ProvisionedThroughput = units,
      GlobalSecondaryIndexUpdates = { { Update = { IndexName = "by_g", ProvisionedThroughput = units } } } })
    local d = describe_table "Bill"
    assert.are.equal(6, d.ProvisionedThroughput.WriteCapacityUnits)
    assert.are.equal(5, d.GlobalSecondaryIndexes[1].ProvisionedThroughput.ReadCapacityUnits)
    assert.truthy(db:message("UpdateTable", { TableName = "Bill", ProvisionedThroughput = units })
      :find("The provisioned throughput for the table will not change. The requested value equals the current value. Current ReadCapacityUnits provisioned for the table: 5.", 1, true))
    db:ok("UpdateTable", { TableName = "Bill", BillingMode = "PAY_PER_REQUEST" })
    d = describe_table "Bill"
    assert.are.equal("PAY_PER_REQUEST", d.BillingModeSummary.BillingMode)
    assert.are.equal(0, d.ProvisionedThroughput.WriteCapacityUnits + d.GlobalSecondaryIndexes[1].ProvisionedThroughput.ReadCapacityUnits)
  end)

  it("have a class, encryption and tags, and refuse streams by name", function()
    local p = { TableName = "Full", BillingMode = "PAY_PER_REQUEST", TableClass = "STANDARD_INFREQUENT_ACCESS", SSESpecification = { Enabled = true, SSEType = "KMS" },
      StreamSpecification = { StreamEnabled = false }, Tags = { { Key = "team", Value = "shop" }, { Key = "a", Value = "" } },
      AttributeDefinitions = { { AttributeName = "id", AttributeType = "S" } }, KeySchema = { { AttributeName = "id", KeyType = "HASH" } } }
    local d = db:ok("CreateTable", p).TableDescription
    assert.are.equal("STANDARD_INFREQUENT_ACCESS", d.TableClassSummary.TableClass)
    assert.are.equal("ENABLED", d.SSEDescription.Status)
    local arn = d.TableArn
    local function tags()
      local out = {}
      for _, t in ipairs(db:ok("ListTagsOfResource", { ResourceArn = arn }).Tags) do out[#out + 1] = t.Key .. "=" .. t.Value end
      return table.concat(out, " ")
    end
    assert.are.equal("a= team=shop", tags())
    db:ok("TagResource", { ResourceArn = arn, Tags = { { Key = "team", Value = "desk" }, { Key = "z", Value = "1" } } })
    db:ok("UntagResource", { ResourceArn = arn, TagKeys = { "a", "never" } })
    assert.are.equal("team=desk z=1", tags())
    assert.truthy(db:message("TagResource", { ResourceArn = arn, Tags = { { Key = "aws:x", Value = "1" } } }):find("reserved", 1, true))
    local e = db:fail("ListTagsOfResource", { ResourceArn = arn .. "x" })
    assert.are.same({ "ResourceNotFoundException", "Requested resource not found: ResourcArn: " .. arn .. "x not found" }, { e.name, e.message })
    e = db:fail("ListTagsOfResource", { ResourceArn = "Full" })
    assert.are.same({ "AccessDeniedException", "User: arn:aws:iam::000000000000:root is not authorized to perform: dynamodb:ListTagsOfResource on resource: Full" }, { e.name, e.message })
    assert.are.equal("Invalid TableArn: Invalid ResourceArn provided as input a:b:c:d:e:f/g", db:message("TagResource", { ResourceArn = "a:b:c:d:e:f/g", Tags = { { Key = "a", Value = "b" } } }))
    assert.are.equal("Atleast one Tag Key needs to be provided as Input.", db:message("UntagResource", '{"ResourceArn":"' .. arn .. '","TagKeys":[]}'))
    assert.truthy(db:message("UpdateTable", { TableName = "Full", StreamSpecification = { StreamEnabled = true } }):find("streams are not supported", 1, true))
  end)

  it("tell of limits, the endpoint and backups that there are not", function()
    db:table { "Full", hash = "id:S" }
    assert.are.equal(40000, db:ok("DescribeLimits", {}).TableMaxReadCapacityUnits)
    assert.are.equal(1440, db:ok("DescribeEndpoints", {}).Endpoints[1].CachePeriodInMinutes)
    local b = db:ok("DescribeContinuousBackups", { TableName = "Full" }).ContinuousBackupsDescription
    assert.are.same({ "DISABLED", "DISABLED" }, { b.ContinuousBackupsStatus, b.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus })
    assert.are.equal("TableNotFoundException", db:fail("DescribeContinuousBackups", { TableName = "None" }).name)
  end)
end)
