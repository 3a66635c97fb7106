local helper = require "unit.local.sqs_helper"
local json, ARN = helper.json, helper.ARN

describe("queues", function()
  local s
  before_each(function() s = helper.open() end)
  after_each(function() s.e:close() end)

  local function policy(name, max)
    return json.encode { deadLetterTargetArn = ARN .. name, maxReceiveCount = max or 1 }
  end

  describe("that are deleted", function()
    it("are gone at once, with their messages, and may be made anew", function()
      s.queue("q")
      s.send("q", "old")
      assert(s.call("DeleteQueue", { QueueUrl = "q" }))
      s.fails("QueueDoesNotExist", "SendMessage", { QueueUrl = "q", MessageBody = "x" })
      s.fails("QueueDoesNotExist", "DeleteQueue", { QueueUrl = "q" })
      assert.is_nil(s.call("ListQueues", {}).QueueUrls)
      s.queue("q")
      assert.equal("", s.bodies "q")
      s.send("q", "new")
      assert.equal("new", s.bodies "q")
    end)

    it("leave nothing behind after housekeeping", function()
      s.queue("q")
      for i = 1, 30 do s.send("q", tostring(i)) end
      assert(s.call("DeleteQueue", { QueueUrl = "q" }))
      s.queue("other")
      s.housekeep(1000, function()
        return #s.e:sql("SELECT id FROM messages") == 0 and #s.e:sql("SELECT id FROM queues") == 1
      end)
    end)

    it("end the polls that wait for them", function()
      s.queue("q")
      local h = s.e:start("sqs", "ReceiveMessage", '{"QueueUrl":"q","WaitTimeSeconds":20}')
      for _ = 1, 3 do s.e:probe() end
      assert.is_false(h:done())
      assert(s.call("DeleteQueue", { QueueUrl = "q" }))
      local ok, err = h:wait()
      assert.is_nil(ok)
      assert.matches("QueueDoesNotExist", err)
    end)

    it("are no dead-letter queues any more: what would go there goes on being received", function()
      s.queue("dead")
      s.queue("q", { RedrivePolicy = policy "dead", VisibilityTimeout = "0" })
      assert(s.call("DeleteQueue", { QueueUrl = "dead" }))
      s.send("q", "x")
      for _ = 1, 3 do assert.equal("x", s.bodies "q") end
      s.queue("dead")
      assert.equal("", s.bodies "q")
      assert.equal("x", s.bodies "dead")
    end)
  end)

  describe("with tags", function()
    it("have, list, change and lose them", function()
      s.queue("q", nil, { env = "test", team = "a" })
      assert(s.call("TagQueue", { QueueUrl = "q", Tags = { team = "b", empty = "" } }))
      assert.same({ env = "test", team = "b", empty = "" }, s.call("ListQueueTags", { QueueUrl = "q" }).Tags)
      assert(s.call("UntagQueue", { QueueUrl = "q", TagKeys = { "env", "empty", "none" } }))
      assert.same({ team = "b" }, s.call("ListQueueTags", { QueueUrl = "q" }).Tags)
      s.queue("bare")
      assert.is_nil(s.call("ListQueueTags", { QueueUrl = "bare" }).Tags)
    end)

    it("refuse what is no tag, and too many", function()
      s.queue("q")
      local many = {}
      for i = 1, 51 do many["k" .. i] = "v" end
      for _, bad in ipairs { { [""] = "x" }, { ["aws:x"] = "x" }, { [("k"):rep(129)] = "x" }, { k = ("v"):rep(257) }, many } do
        s.fails("InvalidParameterValue", "TagQueue", { QueueUrl = "q", Tags = bad })
        s.fails("InvalidParameterValue", "CreateQueue", { QueueName = "q2", tags = bad })
      end
      s.fails("MissingParameter", "TagQueue", { QueueUrl = "q" })
      s.fails("MissingParameter", "UntagQueue", { QueueUrl = "q" })
      s.fails("QueueDoesNotExist", "GetQueueUrl", { QueueName = "q2" })
    end)
  end)

  describe("with attributes that are kept", function()
    it("give them back, check them, and lose them by an empty value", function()
      s.queue("q", { Policy = '{"Version":"2012-10-17"}', KmsMasterKeyId = "alias/x", KmsDataKeyReusePeriodSeconds = "60", SqsManagedSseEnabled = "true" })
      local a = s.attributes "q"
      assert.same({ '{"Version":"2012-10-17"}', "alias/x", "60", "true" },
        { a.Policy, a.KmsMasterKeyId, a.KmsDataKeyReusePeriodSeconds, a.SqsManagedSseEnabled })
      assert(s.call("SetQueueAttributes", { QueueUrl = "q", Attributes = { Policy = "" } }))
      assert.is_nil(s.attributes("q", "Policy").Policy)
      for name, bad in pairs { Policy = "x", KmsDataKeyReusePeriodSeconds = "59", SqsManagedSseEnabled = "yes", RedriveAllowPolicy = "{}" } do
        assert.matches(name, s.fails("InvalidAttributeValue", "SetQueueAttributes", { QueueUrl = "q", Attributes = { [name] = bad } }))
      end
      s.fails("MissingParameter", "SetQueueAttributes", { QueueUrl = "q" })
    end)
  end)

  describe("that permit others", function()
    local function permit(label, actions, accounts)
      return { QueueUrl = "q", Label = label, AWSAccountIds = accounts or { "111122223333" }, Actions = actions or { "SendMessage" } }
    end
    local function policy_of()
      local text = s.attributes("q", "Policy").Policy
      return text and json.decode(text)
    end
    before_each(function() s.queue "q" end)

    it("say so in their policy, by label", function()
      assert(s.call("AddPermission", permit "one"))
      assert(s.call("AddPermission", permit("two", { "ReceiveMessage", "*" }, { "111122223333", "444455556666" })))
      local one = { Sid = "one", Effect = "Allow", Principal = { AWS = "arn:aws:iam::111122223333:root" }, Action = "SQS:SendMessage", Resource = ARN .. "q" }
      local two = { Sid = "two", Effect = "Allow", Principal = { AWS = { "arn:aws:iam::111122223333:root", "arn:aws:iam::444455556666:root" } },
        Action = { "SQS:ReceiveMessage", "SQS:*" }, Resource = ARN .. "q" }
      assert.same({ Version = "2008-10-17", Id = ARN .. "q/SQSDefaultPolicy", Statement = { one, two } }, policy_of())
      assert(s.call("RemovePermission", { QueueUrl = "q", Label = "one" }))
      assert.same({ two }, policy_of().Statement)
      assert(s.call("RemovePermission", { QueueUrl = "q", Label = "two" }))
      assert.is_nil(policy_of())
    end)

    it("keep what a policy said before", function()
      assert(s.call("SetQueueAttributes", { QueueUrl = "q", Attributes = { Policy = '{"Version":"2012-10-17","Id":"mine","Statement":{"Sid":"a","Effect":"Deny"}}' } }))
      assert(s.call("AddPermission", permit "b"))
      local got = policy_of()
      assert.same({ "2012-10-17", "mine", "a", "b" }, { got.Version, got.Id, got.Statement[1].Sid, got.Statement[2].Sid })
    end)

    it("refuse what is no permission", function()
      assert(s.call("AddPermission", permit "one"))
      local bad = permit("x", { "CreateQueue" })
      assert.matches("ActionName", s.fails("InvalidParameterValue", "AddPermission", bad))
      assert.matches("Already exists", s.fails("InvalidParameterValue", "AddPermission", permit "one"))
      assert.matches("Unable to verify", s.fails("InvalidParameterValue", "AddPermission", permit("x", nil, { "12" })))
      s.fails("InvalidParameterValue", "AddPermission", permit "a b")
      s.fails("InvalidParameterValue", "AddPermission", permit(("x"):rep(81)))
      for _, name in ipairs { "Label", "AWSAccountIds", "Actions" } do
        local p = permit "x"
        p[name] = nil
        assert.matches(name, s.fails("MissingParameter", "AddPermission", p))
      end
      local ok, why = s.e:call("sqs", "AddPermission", '{"QueueUrl":"q","Label":"x","AWSAccountIds":[],"Actions":["*"]}')
      assert.is_nil(ok)
      assert.matches("Unable to verify", why)
      s.fails("OverLimit", "AddPermission", permit("x", { "*", "*", "*", "*", "*", "*", "*", "*" }))
      assert.matches("can't find label", s.fails("InvalidParameterValue", "RemovePermission", { QueueUrl = "q", Label = "none" }))
      s.fails("MissingParameter", "RemovePermission", { QueueUrl = "q" })
      s.fails("QueueDoesNotExist", "AddPermission", { QueueUrl = "none", Label = "x", AWSAccountIds = { "111122223333" }, Actions = { "*" } })
      for i = 2, 20 do assert(s.call("AddPermission", permit("l" .. i))) end
      s.fails("OverLimit", "AddPermission", permit "l21")
      assert.equal(20, #policy_of().Statement)
    end)
  end)

  describe("that are dead-letter queues", function()
    it("list their sources, in pages", function()
      s.queue("dead")
      for _, n in ipairs { "a", "b", "c" } do s.queue(n, { RedrivePolicy = policy "dead" }) end
      local page = s.call("ListDeadLetterSourceQueues", { QueueUrl = "dead", MaxResults = 2 })
      assert.same({ "http://127.0.0.1:4566/000000000000/a", "http://127.0.0.1:4566/000000000000/b" }, page.queueUrls)
      page = s.call("ListDeadLetterSourceQueues", { QueueUrl = "dead", MaxResults = 2, NextToken = page.NextToken })
      assert.same({ { "http://127.0.0.1:4566/000000000000/c" } }, { page.queueUrls, page.NextToken })
      assert.same({}, s.call("ListDeadLetterSourceQueues", { QueueUrl = "a" }).queueUrls)
    end)

    it("do not get in the same call what was given in it", function()
      s.queue("dead")
      s.queue("q", { RedrivePolicy = policy("dead", 2), VisibilityTimeout = "0" })
      s.send("q", "older")
      for _ = 1, 2 do s.receive "q" end
      s.send("q", "newer")
      s.receive("q", { MaxNumberOfMessages = 1 })
      assert.equal("newer", s.bodies "q")
      assert.equal("older", s.bodies "dead")
    end)

    it("are others than those whose dead letters they take", function()
      s.queue("q")
      assert.matches("its own", s.fails("InvalidParameterValue", "SetQueueAttributes", { QueueUrl = "q", Attributes = { RedrivePolicy = policy "q" } }))
    end)

    it("say who may use them", function()
      s.queue("none", { RedriveAllowPolicy = '{"redrivePermission":"denyAll"}' })
      s.queue("some", { RedriveAllowPolicy = json.encode { redrivePermission = "byQueue", sourceQueueArns = { ARN .. "friend" } } })
      s.fails("InvalidParameterValue", "CreateQueue", { QueueName = "q", Attributes = { RedrivePolicy = policy "none" } })
      s.fails("InvalidParameterValue", "CreateQueue", { QueueName = "q", Attributes = { RedrivePolicy = policy "some" } })
      s.queue("friend", { RedrivePolicy = policy "some" })
    end)
  end)

  describe("whose dead letters are moved back", function()
    local function bury(n, from)
      for i = 1, n do s.send(from or "q", "m" .. i) end
      for _ = 1, 2 do
        s.receive(from or "q", { VisibilityTimeout = 0 })
      end
      assert.equal("", s.bodies(from or "q"))
    end
    local function status()
      return s.call("ListMessageMoveTasks", { SourceArn = ARN .. "dead", MaxResults = 10 }).Results
    end
    local function ended() return status()[1].Status ~= "RUNNING" end

    before_each(function()
      s.queue("dead")
      s.queue("q", { RedrivePolicy = policy "dead" })
    end)

    it("get them as new messages, back where they came from", function()
      bury(3)
      local old = s.receive("dead", { VisibilityTimeout = 0 })
      local handle = assert(s.call("StartMessageMoveTask", { SourceArn = ARN .. "dead" })).TaskHandle
      assert.same({ handle, "RUNNING", 0, 3 }, { status()[1].TaskHandle, status()[1].Status,
        status()[1].ApproximateNumberOfMessagesMoved, status()[1].ApproximateNumberOfMessagesToMove })
      s.housekeep(1000, ended)
      local task = status()[1]
      assert.same({ "COMPLETED", 3, ARN .. "dead", 1700000000000 },
        { task.Status, task.ApproximateNumberOfMessagesMoved, task.SourceArn, task.StartedTimestamp })
      assert.is_nil(task.TaskHandle)
      local got = s.receive "q"
      assert.equal(3, #got)
      assert.same({ "1", "1700000001000" }, { got[1].Attributes.ApproximateReceiveCount, got[1].Attributes.SentTimestamp })
      assert.not_equal(old[1].MessageId, got[1].MessageId)
      assert.is_nil(got[1].Attributes.DeadLetterQueueSourceArn)
      assert.equal("", s.bodies "dead")
    end)

    it("or another queue does, and pollers of that one are answered", function()
      s.queue("other")
      bury(1)
      local h = s.e:start("sqs", "ReceiveMessage", '{"QueueUrl":"other","WaitTimeSeconds":20}')
      assert(s.call("StartMessageMoveTask", { SourceArn = ARN .. "dead", DestinationArn = ARN .. "other" }))
      s.e:advance(1000)
      assert.equal("m1", json.decode(h:wait()).Messages[1].Body)
      assert.equal(ARN .. "other", status()[1].DestinationArn)
    end)

    it("at the asked rate, until cancelled", function()
      bury(5)
      local handle = s.call("StartMessageMoveTask", { SourceArn = ARN .. "dead", MaxNumberOfMessagesPerSecond = 2 }).TaskHandle
      s.housekeep(1000, function() return status()[1].ApproximateNumberOfMessagesMoved == 2 end)
      s.e:probe()
      assert.same({ 2, "RUNNING", 2 }, { status()[1].ApproximateNumberOfMessagesMoved, status()[1].Status, status()[1].MaxNumberOfMessagesPerSecond })
      assert.equal(2, s.call("CancelMessageMoveTask", { TaskHandle = handle }).ApproximateNumberOfMessagesMoved)
      assert.equal("CANCELLED", status()[1].Status)
      s.fails("ResourceNotFoundException", "CancelMessageMoveTask", { TaskHandle = handle })
      s.e:advance(5000)
      for _ = 1, 3 do s.e:probe() end
      assert.equal("3", s.attributes("dead", "ApproximateNumberOfMessages").ApproximateNumberOfMessages)
    end)

    it("not at all when nobody knows where they came from, or that queue is gone", function()
      s.send("dead", "stray")
      s.call("StartMessageMoveTask", { SourceArn = ARN .. "dead" })
      s.housekeep(1000, ended)
      assert.same({ "FAILED", "CouldNotDetermineMessageSource" }, { status()[1].Status, status()[1].FailureReason })
      s.delete("dead", s.receive("dead")[1])
      bury(1)
      s.queue("keeps", { RedrivePolicy = policy "dead" })
      s.call("DeleteQueue", { QueueUrl = "q" })
      s.call("StartMessageMoveTask", { SourceArn = ARN .. "dead" })
      s.housekeep(1000, ended)
      assert.same({ "FAILED", "AWS.SimpleQueueService.NonExistentQueue" }, { status()[1].Status, status()[1].FailureReason })
      assert.equal(2, #status())
    end)

    it("once at a time, out of dead-letter queues only", function()
      s.fails("MissingParameter", "StartMessageMoveTask", {})
      s.fails("ResourceNotFoundException", "StartMessageMoveTask", { SourceArn = ARN .. "none" })
      s.fails("InvalidParameterValue", "StartMessageMoveTask", { SourceArn = ARN .. "q" })
      s.fails("ResourceNotFoundException", "StartMessageMoveTask", { SourceArn = ARN .. "dead", DestinationArn = ARN .. "none" })
      s.fails("InvalidParameterValue", "StartMessageMoveTask", { SourceArn = ARN .. "dead", DestinationArn = ARN .. "dead" })
      s.fails("InvalidParameterValue", "StartMessageMoveTask", { SourceArn = ARN .. "dead", MaxNumberOfMessagesPerSecond = 501 })
      assert(s.call("StartMessageMoveTask", { SourceArn = ARN .. "dead" }))
      s.fails("UnsupportedOperation", "StartMessageMoveTask", { SourceArn = ARN .. "dead" })
      s.fails("InvalidParameterValue", "CancelMessageMoveTask", { TaskHandle = "x" })
    end)

    it("keep their order in FIFO queues", function()
      s.fifo("dead.fifo")
      s.fifo("q.fifo", { RedrivePolicy = policy "dead.fifo" })
      for i = 1, 4 do s.send("q.fifo", "m" .. i, { MessageGroupId = "g", MessageDeduplicationId = tostring(i) }) end
      s.receive("q.fifo", { VisibilityTimeout = 0 })
      assert.equal("", s.bodies "q.fifo")
      assert(s.call("StartMessageMoveTask", { SourceArn = ARN .. "dead.fifo" }))
      s.housekeep(1000, function()
        return s.call("ListMessageMoveTasks", { SourceArn = ARN .. "dead.fifo" }).Results[1].Status == "COMPLETED"
      end)
      assert.equal("m1 m2 m3 m4", s.bodies "q.fifo")
    end)
  end)

  it("take a message group as fair queues do, and give it back", function()
    s.queue("q")
    local sent = s.send("q", "x", { MessageGroupId = "tenant" })
    assert.is_nil(sent.SequenceNumber)
    local m = s.receive("q")[1]
    assert.same({ "tenant" }, { m.Attributes.MessageGroupId, m.Attributes.SequenceNumber })
  end)

  it("know the names of their attributes, also beside All", function()
    s.queue "q"
    assert.is_string(s.attributes("q", "DelaySeconds", "All").QueueArn)
    s.fails("InvalidAttributeName", "GetQueueAttributes", { QueueUrl = "q", AttributeNames = { "All", "Nope" } })
  end)

  it("tell a handle that is missing from one that is none", function()
    s.queue "q"
    s.fails("MissingParameter", "DeleteMessage", { QueueUrl = "q" })
    s.fails("ReceiptHandleIsInvalid", "DeleteMessage", { QueueUrl = "q", ReceiptHandle = "" })
  end)

  it("follow a change of their settings at once", function()
    s.queue("q", { VisibilityTimeout = "5" })
    s.queue("dead")
    for i = 1, 2 do s.send("q", "m" .. i) end
    s.receive("q", { MaxNumberOfMessages = 1 })
    assert(s.call("SetQueueAttributes", { QueueUrl = "q", Attributes = { VisibilityTimeout = "100", DelaySeconds = "7", RedrivePolicy = policy "dead" } }))
    s.e:advance(5000)
    assert.equal("m2", s.bodies("q", { MaxNumberOfMessages = 1 }))
    s.send("q", "later")
    s.e:advance(6999)
    assert.equal("", s.bodies "q")
    assert.equal("m1", s.bodies "dead")
    s.e:advance(1)
    assert.equal("later", s.bodies "q")
  end)

  it("carry the trace header with its MD5", function()
    s.queue("q")
    local sent = s.send("q", "x", { MessageSystemAttributes = { AWSTraceHeader = { DataType = "String", StringValue = "Root=1" } } })
    assert.equal(32, #sent.MD5OfMessageSystemAttributes)
    assert.equal("Root=1", s.receive("q", { MessageSystemAttributeNames = { "AWSTraceHeader" } })[1].Attributes.AWSTraceHeader)
  end)
end)
