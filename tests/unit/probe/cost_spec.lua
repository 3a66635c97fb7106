-- What calls cost, on the engine: capacity units of items whose sizes are known, requests by their classes.
local t = require "t.probe"

describe("the cost of", function()
  local rig
  before_each(function()
    rig = t.open { engine = true }
    rig:call("dynamodb:CreateTable", [[{"TableName":"Items","BillingMode":"PAY_PER_REQUEST",
      "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
      "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}]])
    rig:call("sqs:CreateQueue", '{"QueueName":"q"}')
    rig:call("s3:CreateBucket", '{"Bucket":"bucket"}')
    rig:turn()
    rig:listen()
    rig:price(true)
    rig:mark()
  end)
  after_each(function() rig:close() end)

  local Q = '{"QueueUrl":"http://sqs/000000000000/q",'

  -- An item of so many bytes: "id" and its "1", "x" and what fills up.
  local function item(bytes) return ('{"id":{"S":"1"},"x":{"S":"%s"}}'):format(("x"):rep(bytes - 4)) end

  local function done(operation, params, options)
    local id = rig:call(operation, params, options)
    rig:turn()
    return rig:outcome(id)
  end

  local function put(bytes) return done("dynamodb:PutItem", ('{"TableName":"Items","Item":%s}'):format(item(bytes))) end

  local function cost(operation, params, options)
    done(operation, params, options)
    local seen = rig:seen()[#rig:seen()]
    return seen.cost, seen
  end

  describe("DynamoDB", function()
    for _, case in ipairs { { 1024, 1 }, { 1025, 2 }, { 10240, 10 } } do
      it(("a write of %d bytes is %d WCU"):format(case[1], case[2]), function()
        assert.equal("", (put(case[1])))
        assert.equal(case[2], rig:total().wcu)
        assert.equal(0, rig:total().rcu)
      end)
    end

    for _, case in ipairs { { 4096, 1 }, { 4097, 2 } } do
      it(("a strong read of %d bytes is %d RCU, an eventual one half of that"):format(case[1], case[2]), function()
        put(case[1])
        rig:mark()
        assert.equal(case[2], cost("dynamodb:GetItem",
          '{"TableName":"Items","Key":{"id":{"S":"1"}},"ConsistentRead":true}').rcu)
        assert.equal(case[2] / 2, cost("dynamodb:GetItem", '{"TableName":"Items","Key":{"id":{"S":"1"}}}').rcu)
        assert.equal(case[2] * 1.5, rig:total().rcu)
        assert.equal(0, rig:total().wcu)
      end)
    end

    it("a transaction is twice its writes, and twice its strong reads", function()
      assert.equal(4, cost("dynamodb:TransactWriteItems",
        ('{"TransactItems":[{"Put":{"TableName":"Items","Item":%s}}]}'):format(item(2000))).wcu)
      assert.equal(2, cost("dynamodb:TransactGetItems",
        '{"TransactItems":[{"Get":{"TableName":"Items","Key":{"id":{"S":"1"}}}}]}').rcu)
    end)

    it("a batch is the sum of its items", function()
      assert.equal(3, cost("dynamodb:BatchWriteItem",
        ('{"RequestItems":{"Items":[{"PutRequest":{"Item":%s}},{"DeleteRequest":{"Key":{"id":{"S":"2"}}}}]}}')
        :format(item(2000))).wcu)
    end)

    it("a condition that does not hold is a unit at least, and two an item in a transaction", function()
      put(10)
      local condition = '"ConditionExpression":"attribute_not_exists(id)"'
      local write = ('{"TableName":"Items","Item":%s,%s}'):format(item(10), condition)
      local paid, seen = cost("dynamodb:PutItem", write)
      assert.same({ 1, "ConditionalCheckFailedException", false }, { paid.wcu, seen.told, seen.effect })
      paid, seen = cost("dynamodb:TransactWriteItems", ('{"TransactItems":[{"Put":%s},%s]}'):format(write,
        '{"Delete":{"TableName":"Items","Key":{"id":{"S":"2"}}}}'))
      assert.same({ 4, "TransactionCanceledException" }, { paid.wcu, seen.told })
    end)

    it("is not known unless it is asked for", function()
      rig:price(false)
      put(5000)
      assert.equal(0, rig:total().wcu)
      assert.equal(1, rig:total().calls)
    end)

    it("is asked for without its caller's notice", function()
      put(10)
      local params = '{"TableName":"Items","Key":{"id":{"S":"1"}}%s}'
      for _, case in ipairs { { "", false }, { ',"ReturnConsumedCapacity":"NONE"', false },
        { ',"ReturnConsumedCapacity":"TOTAL"', true } } do
        local asked = params:format(case[1])
        local _, result = done("dynamodb:GetItem", asked)
        assert.equal(case[2], result:find("ConsumedCapacity", 1, true) ~= nil, asked)
        local seen = rig:seen()[#rig:seen()]
        assert.equal(asked, seen.params)
        assert.equal(0.5, seen.cost.rcu)
      end
    end)

    it("is none for a table that is made", function()
      assert.same(0, cost("dynamodb:DescribeTable", '{"TableName":"Items"}').rcu)
    end)
  end)

  describe("SQS", function()
    local function body(bytes) return ("b"):rep(bytes) end

    it("is a request for each started 64 KiB of what is sent", function()
      assert.equal(1, cost("sqs:SendMessage", Q .. '"MessageBody":"x"}').sqs)
      assert.equal(1, cost("sqs:SendMessage", Q .. '"MessageBody":"' .. body(65536) .. '"}').sqs)
      assert.equal(2, cost("sqs:SendMessage", Q .. '"MessageBody":"' .. body(65537) .. '"}').sqs)
    end)

    it("counts attributes of messages", function()
      local attribute = ',"MessageAttributes":{"a":{"DataType":"String","StringValue":"b"}}}'
      assert.equal(1, cost("sqs:SendMessage", Q .. '"MessageBody":"' .. body(65528) .. '"' .. attribute).sqs)
      assert.equal(2, cost("sqs:SendMessage", Q .. '"MessageBody":"' .. body(65529) .. '"' .. attribute).sqs)
    end)

    it("of a batch is that of all its payload", function()
      local entry = '{"Id":"%s","MessageBody":"' .. body(40000) .. '"}'
      assert.equal(2, cost("sqs:SendMessageBatch",
        Q .. '"Entries":[' .. entry:format "a" .. "," .. entry:format "b" .. "]}").sqs)
    end)

    it("of a receive is by what it brings, one when that is nothing", function()
      local receive = Q .. '"MaxNumberOfMessages":10}'
      assert.equal(1, cost("sqs:ReceiveMessage", receive).sqs)
      done("sqs:SendMessage", Q .. '"MessageBody":"' .. body(70000) .. '"}')
      assert.equal(2, cost("sqs:ReceiveMessage", receive).sqs)
    end)
  end)

  describe("S3", function()
    local O = '{"Bucket":"bucket","Key":"k"}'
    it("is by the class of the request", function()
      assert.same({ 1, 0 }, { cost("s3:PutObject", O, { body = "x" }).s3_puts, rig:total().s3_gets })
      assert.equal(1, cost("s3:ListObjectsV2", '{"Bucket":"bucket"}').s3_puts)
      assert.equal(1, cost("s3:CreateMultipartUpload", O).s3_puts)
      assert.equal(1, cost("s3:GetObject", O).s3_gets)
      assert.equal(1, cost("s3:HeadObject", O).s3_gets)
      local free = cost("s3:DeleteObject", O)
      assert.same({ 0, 0 }, { free.s3_puts, free.s3_gets })
      assert.same({ 3, 2 }, { rig:total().s3_puts, rig:total().s3_gets })
    end)
  end)

  it("SES is a message for each recipient, and none when it was refused", function()
    local mail = '{"FromEmailAddress":"a@x.example","Destination":%s,"Content":{"Simple":{"Subject":{"Data":"s"},' ..
      '"Body":{"Text":{"Data":"t"}}}}}'
    assert.equal(3, cost("ses:SendEmail",
      mail:format '{"ToAddresses":["b@x.example","c@x.example"],"BccAddresses":["d@x.example"]}').ses)
    assert.equal(0, cost("ses:SendEmail", '{"FromEmailAddress":"a@x.example"}').ses)
  end)

  it("another service is a request", function()
    assert.equal(1, cost("sts:GetCallerIdentity", "{}").other)
  end)

  it("a lost call is paid, one that was refused is not", function()
    rig:fail { at = "lost", n = 1 }
    rig:fail { at = "refused", n = 2 }
    put(10) put(10)
    assert.same({ 1, 1 }, { rig:total().wcu, rig:total().calls })
  end)
end)

describe("a commit that is to fail", function()
  it("undoes the write, and the next one succeeds", function()
    local rig = t.open { engine = true }
    rig:listen()
    rig:fail { at = "commit", match = "sqs:CreateQueue" }
    local first = rig:call("sqs:CreateQueue", '{"QueueName":"q"}')
    rig:turn()
    assert.equal("InputOutputError", (rig:outcome(first)))
    assert.is_false(rig:seen()[1].effect)
    local look = rig:call("sqs:GetQueueUrl", '{"QueueName":"q"}')
    assert.equal("QueueDoesNotExist", (rig:outcome(look)))
    local second = rig:call("sqs:CreateQueue", '{"QueueName":"q"}')
    rig:turn()
    assert.equal("", (rig:outcome(second)))
    rig:close()
  end)
end)

describe("a receive that is handed out twice", function()
  it("leaves its messages visible", function()
    local rig = t.open { engine = true }
    local Q = '{"QueueUrl":"http://sqs/000000000000/q"'
    rig:call("sqs:CreateQueue", '{"QueueName":"q"}')
    rig:call("sqs:SendMessage", Q .. ',"MessageBody":"x"}')
    rig:turn()
    rig:fail { at = "twice" }
    local ids = {}
    for i = 1, 3 do
      ids[i] = rig:call("sqs:ReceiveMessage", Q .. "}")
      rig:turn()
    end
    local function body(id) return (select(2, rig:outcome(id))):match '"Body":"(.-)"' end
    assert.same({ "x", "x" }, { body(ids[1]), body(ids[2]) })
    assert.is_nil(body(ids[3]))
    rig:close()
  end)
end)
