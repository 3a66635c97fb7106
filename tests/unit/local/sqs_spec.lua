local t = require "t.local"
local json = require "cjson"

describe("SQS", function()
  local e
  before_each(function()
    e = assert(t.open { memory = true, now = 1700000000000 })
  end)
  after_each(function() e:close() end)

  local function call(action, params)
    local ok, err = e:call("sqs", action, json.encode(params))
    if ok then return json.decode(ok) end
    return nil, json.decode(err)
  end
  local function fails(name, action, params)
    local ok, err = call(action, params)
    assert.is_nil(ok, action .. " succeeded")
    assert.equal("com.amazonaws.sqs#" .. name, err.__type)
    return err.message
  end
  local function queue(name, attributes)
    return assert(call("CreateQueue", { QueueName = name, Attributes = attributes })).QueueUrl
  end
  local function send(url, body, more)
    local p = more or {}
    p.QueueUrl, p.MessageBody = url, body
    return assert(call("SendMessage", p))
  end
  local function receive(url, more)
    local p = more or {}
    p.QueueUrl, p.MaxNumberOfMessages, p.AttributeNames = url, p.MaxNumberOfMessages or 10, { "All" }
    return assert(call("ReceiveMessage", p)).Messages or {}
  end

  describe("queues", function()
    it("are made once, and again with the same attributes", function()
      assert.equal("http://127.0.0.1:4566/000000000000/q", queue("q", { DelaySeconds = "3" }))
      queue("q")
      queue("q", { DelaySeconds = "3" })
      fails("QueueNameExists", "CreateQueue", { QueueName = "q", Attributes = { DelaySeconds = "4" } })
      assert.equal("3", call("GetQueueAttributes", { QueueUrl = "q", AttributeNames = { "DelaySeconds" } }).Attributes.DelaySeconds)
    end)

    it("refuse what is not supported, naming it", function()
      assert.matches("FifoQueue=true", fails("InvalidParameterValue", "CreateQueue", { QueueName = "q.fifo" }))
      assert.matches("%.fifo suffix", fails("InvalidParameterValue", "CreateQueue", { QueueName = "q", Attributes = { FifoQueue = "true" } }))
      assert.matches("FifoQueue", fails("InvalidAttributeName", "CreateQueue", { QueueName = "q", Attributes = { FifoQueue = "false" } }))
      assert.matches("Nonsense", fails("InvalidAttributeName", "CreateQueue", { QueueName = "q", Attributes = { Nonsense = "{}" } }))
      fails("InvalidParameterValue", "CreateQueue", { QueueName = "q", Tags = { a = "b" } })
      fails("InvalidAttributeValue", "CreateQueue", { QueueName = "q", Attributes = { VisibilityTimeout = "43201" } })
      fails("InvalidParameterValue", "CreateQueue", { QueueName = "a b" })
      fails("InvalidParameterValue", "CreateQueue", { QueueName = ("a"):rep(81) })
    end)

    it("are reached by URL of any host, trailing slash and bare name", function()
      queue("q")
      for _, url in ipairs { "q", "http://sqs:1/000000000000/q", "https://x/000000000000/q/" } do send(url, "x") end
      fails("QueueDoesNotExist", "SendMessage", { QueueUrl = "http://h/0/nope", MessageBody = "x" })
      fails("QueueDoesNotExist", "GetQueueUrl", { QueueName = "nope" })
      fails("MissingParameter", "SendMessage", { MessageBody = "x" })
    end)

    it("are listed by prefix and in pages", function()
      for _, n in ipairs { "a1", "a2", "a3", "b1" } do queue(n) end
      assert.equal(3, #call("ListQueues", { QueueNamePrefix = "a" }).QueueUrls)
      local page = call("ListQueues", { MaxResults = 3 })
      assert.equal(3, #page.QueueUrls)
      assert.same({ "http://127.0.0.1:4566/000000000000/b1" }, call("ListQueues", { MaxResults = 3, NextToken = page.NextToken }).QueueUrls)
    end)

    it("count what is visible, in flight and delayed", function()
      queue("q")
      for _ = 1, 3 do send("q", "x") end
      send("q", "later", { DelaySeconds = 60 })
      receive("q", { MaxNumberOfMessages = 1 })
      local a = call("GetQueueAttributes", { QueueUrl = "q", AttributeNames = { "All" } }).Attributes
      assert.equal("2 1 1", table.concat({ a.ApproximateNumberOfMessages, a.ApproximateNumberOfMessagesNotVisible,
        a.ApproximateNumberOfMessagesDelayed }, " "))
      fails("InvalidAttributeName", "GetQueueAttributes", { QueueUrl = "q", AttributeNames = { "Nonsense" } })
    end)

    it("are purged, once in a minute", function()
      queue("q")
      send("q", "x")
      call("PurgeQueue", { QueueUrl = "q" })
      assert.same({}, receive("q"))
      fails("PurgeQueueInProgress", "PurgeQueue", { QueueUrl = "q" })
      e:advance(60000)
      assert(call("PurgeQueue", { QueueUrl = "q" }))
    end)
  end)

  describe("messages", function()
    before_each(function() queue("q") end)

    it("come back whole with the MD5 of the body's bytes", function()
      local sent = send("q", "José 李雷")
      assert.equal(t.md5("José 李雷"), sent.MD5OfMessageBody)
      assert.is_nil(sent.MD5OfMessageAttributes)
      local m = receive("q")[1]
      assert.same({ "José 李雷", sent.MessageId, sent.MD5OfMessageBody }, { m.Body, m.MessageId, m.MD5OfBody })
      assert.is_nil(m.MessageAttributes)
      assert.equal("1700000000000", m.Attributes.SentTimestamp)
    end)

    it("carry attributes whose MD5 is AWS's", function()
      -- value computed by botocore's documented algorithm for these attributes
      local attrs = { ["timestamp"] = { StringValue = "1493147359900", DataType = "Number" } }
      assert.equal("235c5c510d26fb653d073faed50ae77c", send("q", "x", { MessageAttributes = attrs }).MD5OfMessageAttributes)
      local m = receive("q", { MessageAttributeNames = { "time.*", "All" } })[1]
      assert.same(attrs, m.MessageAttributes)
      assert.equal("235c5c510d26fb653d073faed50ae77c", m.MD5OfMessageAttributes)
    end)

    it("return only the attributes asked for", function()
      send("q", "x", { MessageAttributes = {
        ["a.b"] = { DataType = "String", StringValue = "1" }, c = { DataType = "Binary.png", BinaryValue = t.base64("\0\1") },
        d = { DataType = "Number.java.lang.Long", StringValue = "5" } } })
      local m = receive("q", { MessageAttributeNames = { "a.*", "d" }, VisibilityTimeout = 0 })[1]
      assert.equal("1", m.MessageAttributes["a.b"].StringValue)
      assert.is_nil(m.MessageAttributes.c)
      assert.is_nil(receive("q")[1].MessageAttributes)
    end)

    it("are refused when malformed", function()
      fails("MissingParameter", "SendMessage", { QueueUrl = "q", MessageBody = "" })
      fails("InvalidMessageContents", "SendMessage", { QueueUrl = "q", MessageBody = "a\1b" })
      fails("InvalidMessageContents", "SendMessage", { QueueUrl = "q", MessageBody = "\u{FFFE}" })
      fails("InvalidParameterValue", "SendMessage", { QueueUrl = "q", MessageBody = "x", DelaySeconds = 901 })
      fails("InvalidParameterValue", "SendMessage", { QueueUrl = "q", MessageBody = "x", MessageDeduplicationId = "g" })
      for _, bad in ipairs { { DataType = "Strange", StringValue = "x" }, { DataType = "String", StringValue = "" },
        { DataType = "Number", StringValue = "x" }, { DataType = "Binary", BinaryValue = "%" }, { StringValue = "x" } } do
        fails("InvalidParameterValue", "SendMessage", { QueueUrl = "q", MessageBody = "x", MessageAttributes = { n = bad } })
      end
      fails("InvalidParameterValue", "SendMessage",
        { QueueUrl = "q", MessageBody = "x", MessageAttributes = { ["AWS.x"] = { DataType = "String", StringValue = "x" } } })
    end)

    it("hold a mebibyte, attributes counted, and not a byte more", function()
      send("q", ("x"):rep(1048576))
      fails("InvalidParameterValue", "SendMessage", { QueueUrl = "q", MessageBody = ("x"):rep(1048577) })
      fails("InvalidParameterValue", "SendMessage", { QueueUrl = "q", MessageBody = ("x"):rep(1048576),
        MessageAttributes = { a = { DataType = "String", StringValue = "1" } } })
    end)

    it("are invisible until the timeout, then come with a new handle, a higher count and the first time", function()
      send("q", "x")
      local first = receive("q", { VisibilityTimeout = 10 })[1]
      assert.same({}, receive("q"))
      e:advance(9999)
      assert.same({}, receive("q"))
      e:advance(1)
      local second = receive("q")[1]
      assert.not_equal(first.ReceiptHandle, second.ReceiptHandle)
      assert.equal("2", second.Attributes.ApproximateReceiveCount)
      assert.equal(first.Attributes.ApproximateFirstReceiveTimestamp, second.Attributes.ApproximateFirstReceiveTimestamp)
      assert(call("DeleteMessage", { QueueUrl = "q", ReceiptHandle = first.ReceiptHandle }))
      e:advance(30000)
      assert.equal(1, #receive("q"), "an old handle deletes nothing")
    end)

    it("wait for their delay, the queue's or their own", function()
      queue("slow", { DelaySeconds = "5" })
      send("slow", "queue's")
      send("slow", "own", { DelaySeconds = 0 })
      assert.equal("own", receive("slow")[1].Body)
      e:advance(5000)
      assert.equal("queue's", receive("slow")[1].Body)
    end)

    it("are deleted by their handle, twice if need be, and not by garbage", function()
      send("q", "x")
      local h = receive("q")[1].ReceiptHandle
      for _ = 1, 2 do assert(call("DeleteMessage", { QueueUrl = "q", ReceiptHandle = h })) end
      e:advance(60000)
      assert.same({}, receive("q"))
      queue("other")
      fails("ReceiptHandleIsInvalid", "DeleteMessage", { QueueUrl = "q", ReceiptHandle = "garbage" })
      fails("ReceiptHandleIsInvalid", "DeleteMessage", { QueueUrl = "other", ReceiptHandle = h })
      local forged = h:sub(1, 20) .. (h:sub(21, 21) == "A" and "B" or "A") .. h:sub(22)
      fails("ReceiptHandleIsInvalid", "DeleteMessage", { QueueUrl = "q", ReceiptHandle = forged })
    end)

    it("can have their visibility changed while in flight only", function()
      send("q", "x")
      local h = receive("q", { VisibilityTimeout = 10 })[1].ReceiptHandle
      assert(call("ChangeMessageVisibility", { QueueUrl = "q", ReceiptHandle = h, VisibilityTimeout = 100 }))
      e:advance(50000)
      assert.same({}, receive("q"))
      assert(call("ChangeMessageVisibility", { QueueUrl = "q", ReceiptHandle = h, VisibilityTimeout = 0 }))
      fails("MessageNotInflight", "ChangeMessageVisibility", { QueueUrl = "q", ReceiptHandle = h, VisibilityTimeout = 5 })
      local again = receive("q")[1].ReceiptHandle
      assert(call("DeleteMessage", { QueueUrl = "q", ReceiptHandle = again }))
      fails("InvalidParameterValue", "ChangeMessageVisibility", { QueueUrl = "q", ReceiptHandle = again, VisibilityTimeout = 5 })
    end)

    it("go after their retention", function()
      queue("short", { MessageRetentionPeriod = "60" })
      send("short", "x")
      e:advance(60000)
      assert.same({}, receive("short"))
    end)

    it("move to the dead-letter queue after too many receives, with id and count", function()
      queue("dead")
      queue("work", { RedrivePolicy = json.encode { deadLetterTargetArn = "arn:aws:sqs:us-east-1:000000000000:dead", maxReceiveCount = 2 } })
      local id = send("work", "poison").MessageId
      send("work", "fine")
      for _ = 1, 2 do
        assert.equal("poison", receive("work", { MaxNumberOfMessages = 1, VisibilityTimeout = 1 })[1].Body)
        e:advance(1000)
        local fine = receive("work", { MaxNumberOfMessages = 10, VisibilityTimeout = 0 })
        assert.is_true(#fine <= 2)
        if fine[1] and fine[1].Body == "poison" then break end
      end
      e:advance(1000)
      for _, m in ipairs(receive("work")) do assert.equal("fine", m.Body) end
      local m = receive("dead")[1]
      assert.same({ id, "poison", "3" }, { m.MessageId, m.Body, m.Attributes.ApproximateReceiveCount })
      assert.equal("arn:aws:sqs:us-east-1:000000000000:work", m.Attributes.DeadLetterQueueSourceArn)
      fails("InvalidParameterValue", "CreateQueue", { QueueName = "w2",
        Attributes = { RedrivePolicy = '{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:none","maxReceiveCount":1}' } })
    end)
  end)

  describe("batches", function()
    before_each(function() queue("q") end)

    it("tell each entry's fate", function()
      local r = call("SendMessageBatch", { QueueUrl = "q", Entries = {
        { Id = "a", MessageBody = "1" }, { Id = "b", MessageBody = "" }, { Id = "c", MessageBody = "3" } } })
      assert.same({ "a", "c" }, { r.Successful[1].Id, r.Successful[2].Id })
      assert.same({ "b", "MissingParameter", true }, { r.Failed[1].Id, r.Failed[1].Code, r.Failed[1].SenderFault })
      local got = receive("q")
      assert.equal(2, #got)
      r = call("DeleteMessageBatch", { QueueUrl = "q", Entries = {
        { Id = "1", ReceiptHandle = got[1].ReceiptHandle }, { Id = "2", ReceiptHandle = "bad" } } })
      assert.same({ "1", "2", "ReceiptHandleIsInvalid" }, { r.Successful[1].Id, r.Failed[1].Id, r.Failed[1].Code })
      r = call("ChangeMessageVisibilityBatch", { QueueUrl = "q", Entries = {
        { Id = "1", ReceiptHandle = got[2].ReceiptHandle, VisibilityTimeout = 0 } } })
      assert.is_nil(r.Failed)
      assert.equal(1, #receive("q"))
    end)

    it("are refused as a whole when empty, too many, too long, or with bad ids", function()
      local many = {}
      for i = 1, 11 do many[i] = { Id = tostring(i), MessageBody = "x" } end
      fails("EmptyBatchRequest", "SendMessageBatch", { QueueUrl = "q" })
      fails("TooManyEntriesInBatchRequest", "SendMessageBatch", { QueueUrl = "q", Entries = many })
      fails("BatchEntryIdsNotDistinct", "SendMessageBatch",
        { QueueUrl = "q", Entries = { { Id = "a", MessageBody = "x" }, { Id = "a", MessageBody = "y" } } })
      fails("InvalidBatchEntryId", "SendMessageBatch", { QueueUrl = "q", Entries = { { Id = "a b", MessageBody = "x" } } })
      local half = ("x"):rep(600000)
      fails("BatchRequestTooLong", "SendMessageBatch",
        { QueueUrl = "q", Entries = { { Id = "a", MessageBody = half }, { Id = "b", MessageBody = half } } })
      assert.same({}, receive("q"))
    end)
  end)

  describe("a long poll", function()
    before_each(function() queue("q") end)
    local function poll(seconds)
      return e:start("sqs", "ReceiveMessage", json.encode { QueueUrl = "q", WaitTimeSeconds = seconds or 20 })
    end
    local function parked(h)
      for _ = 1, 3 do e:probe() end
      return not h:done()
    end

    it("waits, and is answered by a send", function()
      local h = poll()
      assert.is_true(parked(h))
      send("q", "x")
      assert.equal("x", json.decode(h:wait()).Messages[1].Body)
    end)

    it("is answered when a message becomes visible", function()
      send("q", "x", { DelaySeconds = 100 })
      local h = poll()
      assert.is_true(parked(h))
      e:advance(100000)
      assert.equal("x", json.decode(h:wait()).Messages[1].Body)
    end)

    it("gives one message to one of two pollers", function()
      local a, b = poll(), poll(1)
      assert.is_true(parked(a) and parked(b))
      send("q", "x")
      assert.equal("x", json.decode(a:wait()).Messages[1].Body)
      assert.is_nil(json.decode(b:wait()).Messages)
    end)

    it("that was cancelled takes no message", function()
      local h = poll()
      assert.is_true(parked(h))
      h:cancel()
      send("q", "x")
      e:probe()
      assert.equal("1", receive("q")[1].Attributes.ApproximateReceiveCount)
    end)

    it("that is cancelled after its message was taken gives it back uncounted", function()
      send("q", "x")
      local h = e:start("sqs", "ReceiveMessage", '{"QueueUrl":"q"}')
      h:cancel()
      e:probe()
      e:probe()
      local got = receive("q")
      while #got == 0 do
        e:turn(10)
        got = receive("q")
      end
      assert.equal("1", got[1].Attributes.ApproximateReceiveCount)
    end)

    it("ends empty after its time, with the queue's wait as default", function()
      call("SetQueueAttributes", { QueueUrl = "q", Attributes = { ReceiveMessageWaitTimeSeconds = "1" } })
      assert.is_nil(json.decode(e:call("sqs", "ReceiveMessage", '{"QueueUrl":"q"}')).Messages)
    end)
  end)
end)
