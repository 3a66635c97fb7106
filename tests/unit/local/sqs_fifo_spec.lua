local helper = require "unit.local.sqs_helper"

describe("a FIFO queue", function()
  local s
  before_each(function() s = helper.open() end)
  after_each(function() s.e:close() end)

  local function send(body, group, dedup, more)
    local p = more or {}
    p.MessageGroupId, p.MessageDeduplicationId = group or "g", dedup or body
    return s.send("q.fifo", body, p)
  end

  describe("by its settings", function()
    it("is told from a standard one by name and FifoQueue alike", function()
      s.fifo("q.fifo")
      local a = s.attributes("q.fifo")
      assert.same({ "true", "false", "queue", "perQueue" },
        { a.FifoQueue, a.ContentBasedDeduplication, a.DeduplicationScope, a.FifoThroughputLimit })
      s.queue("std")
      local b = s.attributes("std")
      assert.same({}, { b.FifoQueue, b.ContentBasedDeduplication, b.DeduplicationScope })
      s.fails("InvalidAttributeName", "SetQueueAttributes", { QueueUrl = "std", Attributes = { ContentBasedDeduplication = "true" } })
      s.fails("InvalidAttributeName", "SetQueueAttributes", { QueueUrl = "std", Attributes = { FifoQueue = "true" } })
      s.fails("InvalidAttributeValue", "SetQueueAttributes", { QueueUrl = "q.fifo", Attributes = { FifoQueue = "false" } })
      s.fails("InvalidAttributeValue", "SetQueueAttributes", { QueueUrl = "q.fifo", Attributes = { DeduplicationScope = "all" } })
    end)

    it("takes a throughput limit per group only with deduplication per group", function()
      s.fails("InvalidParameterValue", "CreateQueue",
        { QueueName = "q.fifo", Attributes = { FifoQueue = "true", FifoThroughputLimit = "perMessageGroupId" } })
      s.fifo("q.fifo", { FifoThroughputLimit = "perMessageGroupId", DeduplicationScope = "messageGroup" })
      assert.equal("perMessageGroupId", s.attributes("q.fifo", "FifoThroughputLimit").FifoThroughputLimit)
    end)

    it("is made again only with the same ones", function()
      s.fifo("q.fifo", { ContentBasedDeduplication = "true" })
      s.fifo("q.fifo", { ContentBasedDeduplication = "true" })
      s.fails("QueueNameExists", "CreateQueue", { QueueName = "q.fifo", Attributes = { FifoQueue = "true", ContentBasedDeduplication = "false" } })
    end)

    it("has a dead-letter queue of its own kind", function()
      s.queue("std")
      s.fails("InvalidParameterValue", "CreateQueue", { QueueName = "q.fifo", Attributes = { FifoQueue = "true",
        RedrivePolicy = helper.json.encode { deadLetterTargetArn = helper.ARN .. "std", maxReceiveCount = 1 } } })
    end)
  end)

  describe("by what it takes", function()
    before_each(function() s.fifo("q.fifo") end)

    it("wants a group, and an id or ContentBasedDeduplication", function()
      s.fails("MissingParameter", "SendMessage", { QueueUrl = "q.fifo", MessageBody = "x", MessageDeduplicationId = "1" })
      assert.matches("ContentBasedDeduplication",
        s.fails("InvalidParameterValue", "SendMessage", { QueueUrl = "q.fifo", MessageBody = "x", MessageGroupId = "g" }))
      for _, bad in ipairs { "", "a b", "é", ("x"):rep(129) } do
        s.fails("InvalidParameterValue", "SendMessage", { QueueUrl = "q.fifo", MessageBody = "x", MessageGroupId = bad, MessageDeduplicationId = "1" })
        s.fails("InvalidParameterValue", "SendMessage", { QueueUrl = "q.fifo", MessageBody = "x", MessageGroupId = "g", MessageDeduplicationId = bad })
      end
      send("x", ("!"):rep(128), ("~"):rep(128))
    end)

    it("refuses a delay of one message but has its own", function()
      s.fails("InvalidParameterValue", "SendMessage",
        { QueueUrl = "q.fifo", MessageBody = "x", MessageGroupId = "g", MessageDeduplicationId = "1", DelaySeconds = 5 })
      send("now", "g", "1", { DelaySeconds = 0 })
      assert(s.call("SetQueueAttributes", { QueueUrl = "q.fifo", Attributes = { DelaySeconds = "5" } }))
      send("later", "h")
      assert.equal("now", s.bodies "q.fifo")
      s.e:advance(5000)
      assert.equal("later", s.bodies "q.fifo")
    end)

    it("numbers what it takes, ascending, and tells group, id and number", function()
      local a, b = send "a", send "b"
      assert.equal(20, #a.SequenceNumber)
      assert.is_true(a.SequenceNumber < b.SequenceNumber)
      local got = s.receive "q.fifo"
      assert.same({ "g", "a", a.SequenceNumber },
        { got[1].Attributes.MessageGroupId, got[1].Attributes.MessageDeduplicationId, got[1].Attributes.SequenceNumber })
      assert.is_nil(s.receive("q.fifo", { MessageSystemAttributeNames = {} })[1])
    end)
  end)

  describe("deduplicates", function()
    it("for five minutes, even after the message was deleted, with the first one's id and number", function()
      s.fifo("q.fifo")
      local first = send("x", "g", "d")
      s.delete("q.fifo", s.receive("q.fifo")[1])
      s.e:advance(299999)
      local again = send("other", "h", "d")
      assert.same({ first.MessageId, first.SequenceNumber, helper.t.md5("other") },
        { again.MessageId, again.SequenceNumber, again.MD5OfMessageBody })
      assert.equal("", s.bodies "q.fifo")
      s.e:advance(1)
      assert.not_equal(first.MessageId, send("x", "g", "d").MessageId)
      assert.equal("x", s.bodies "q.fifo")
    end)

    it("counts the five minutes from the first sending", function()
      s.fifo("q.fifo")
      send("x", "g", "d")
      s.e:advance(200000)
      send("x", "g", "d")
      s.e:advance(100000)
      send("y", "h", "d")
      assert.equal("x y", s.bodies "q.fifo")
    end)

    it("within a group only when its scope says so", function()
      s.fifo("q.fifo", { DeduplicationScope = "messageGroup" })
      send("1", "a", "d")
      send("2", "b", "d")
      send("3", "a", "d")
      assert.equal("1 2", s.bodies "q.fifo")
    end)

    it("by content, attributes left out, when no id is given", function()
      s.fifo("q.fifo", { ContentBasedDeduplication = "true" })
      local a = s.send("q.fifo", "x", { MessageGroupId = "g" })
      local b = s.send("q.fifo", "x", { MessageGroupId = "g", MessageAttributes = { n = { DataType = "String", StringValue = "1" } } })
      assert.equal(a.MessageId, b.MessageId)
      s.send("q.fifo", "x", { MessageGroupId = "g", MessageDeduplicationId = "own" })
      local got = s.receive "q.fifo"
      assert.equal(2, #got)
      assert.equal("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", got[1].Attributes.MessageDeduplicationId)
    end)

    it("inside one batch, entry by entry", function()
      s.fifo("q.fifo")
      local r = s.call("SendMessageBatch", { QueueUrl = "q.fifo", Entries = {
        { Id = "1", MessageBody = "x", MessageGroupId = "g", MessageDeduplicationId = "d" },
        { Id = "2", MessageBody = "x", MessageGroupId = "g", MessageDeduplicationId = "d" },
        { Id = "3", MessageBody = "x", MessageDeduplicationId = "e" } } })
      assert.equal(r.Successful[1].MessageId, r.Successful[2].MessageId)
      assert.same({ "3", "MissingParameter" }, { r.Failed[1].Id, r.Failed[1].Code })
      assert.equal("x", s.bodies "q.fifo")
    end)

    it("forgets in its own time", function()
      s.fifo("q.fifo")
      send("x", "g", "d")
      local function records() return #s.e:sql("SELECT dedup FROM sqs_dedup") end
      assert.equal(1, records())
      s.housekeep(301000, function() return records() == 0 end)
    end)
  end)

  describe("keeps order", function()
    before_each(function() s.fifo("q.fifo", { VisibilityTimeout = "10" }) end)

    it("within one receive, which takes as much as it can of one group", function()
      for i = 1, 8 do send(tostring(i), i % 2 == 0 and "even" or "odd") end
      local got = s.bodies("q.fifo", { MaxNumberOfMessages = 5 })
      assert.is_true(got == "1 3 5 7 2" or got == "2 4 6 8 1", got)
    end)

    it("by blocking a group while anything of it is in flight", function()
      for i = 1, 3 do send("a" .. i, "a") end
      send("b1", "b")
      local first = s.receive("q.fifo", { MaxNumberOfMessages = 1 })[1]
      assert.equal("a1", first.Body)
      assert.equal("b1", s.bodies "q.fifo")
      send("a4", "a")
      assert.equal("", s.bodies "q.fifo")
      s.delete("q.fifo", first)
      assert.equal("a2 a3 a4", s.bodies "q.fifo")
    end)

    it("when a message comes back, which goes first again", function()
      for i = 1, 2 do send("a" .. i, "a") end
      assert.equal("a1", s.bodies("q.fifo", { MaxNumberOfMessages = 1 }))
      s.e:advance(9999)
      assert.equal("", s.bodies "q.fifo")
      s.e:advance(1)
      assert.equal("a1 a2", s.bodies "q.fifo")
    end)

    it("while one message of a received pair stays in flight", function()
      for i = 1, 3 do send("a" .. i, "a") end
      local got = s.receive("q.fifo", { MaxNumberOfMessages = 2 })
      assert(s.call("ChangeMessageVisibility", { QueueUrl = "q.fifo", ReceiptHandle = got[2].ReceiptHandle, VisibilityTimeout = 100 }))
      s.e:advance(10000)
      assert.equal("", s.bodies "q.fifo")
      assert(s.call("ChangeMessageVisibility", { QueueUrl = "q.fifo", ReceiptHandle = got[2].ReceiptHandle, VisibilityTimeout = 0 }))
      assert.equal("a1 a2 a3", s.bodies "q.fifo")
    end)

    it("but a message that is only delayed blocks nothing", function()
      assert(s.call("SetQueueAttributes", { QueueUrl = "q.fifo", Attributes = { DelaySeconds = "60" } }))
      send("delayed", "a")
      assert(s.call("SetQueueAttributes", { QueueUrl = "q.fifo", Attributes = { DelaySeconds = "0" } }))
      send("now", "a")
      assert.equal("now", s.bodies "q.fifo")
    end)

    it("when failures go to the dead-letter queue: the group goes on behind them", function()
      s.fifo("dead.fifo")
      assert(s.call("SetQueueAttributes", { QueueUrl = "q.fifo", Attributes = {
        RedrivePolicy = helper.json.encode { deadLetterTargetArn = helper.ARN .. "dead.fifo", maxReceiveCount = 1 } } }))
      local sent = {}
      for i = 1, 3 do sent[i] = send("a" .. i, "a") end
      assert.equal("a1 a2", s.bodies("q.fifo", { MaxNumberOfMessages = 2 }))
      s.e:advance(10000)
      assert.equal("a3", s.bodies "q.fifo")
      local dead = s.receive "dead.fifo"
      assert.same({ "a1", "a2" }, { dead[1].Body, dead[2].Body })
      assert.same({ sent[1].MessageId, "a", helper.ARN .. "q.fifo", "1700000010000" },
        { dead[1].MessageId, dead[1].Attributes.MessageGroupId, dead[1].Attributes.DeadLetterQueueSourceArn, dead[1].Attributes.SentTimestamp })
      assert.is_true(dead[1].Attributes.SequenceNumber < dead[2].Attributes.SequenceNumber)
    end)

    it("over random sends, receives, deletes and expiries: no group is overtaken", function()
      math.randomseed(7)
      local next_of, expected, held, sent = {}, {}, {}, 0
      for _ = 1, 400 do
        local dice = math.random(4)
        local g = "g" .. math.random(4)
        if dice <= 2 then
          next_of[g] = (next_of[g] or 0) + 1
          sent = sent + 1
          send(g .. " " .. next_of[g], g, tostring(sent))
        elseif dice == 3 then
          local seen = {}
          for _, m in ipairs(s.receive("q.fifo", { MaxNumberOfMessages = math.random(5) })) do
            local group, n = m.Body:match("(%S+) (%d+)")
            assert.is_nil(held[group], "something of the group is in flight")
            local want = seen[group] and seen[group] + 1 or (expected[group] or 0) + 1
            assert.equal(want, tonumber(n))
            seen[group] = want
            if math.random(3) > 1 and want == (expected[group] or 0) + 1 then
              s.delete("q.fifo", m)
              expected[group] = want
            else
              seen["kept" .. group] = true
            end
          end
          for name in pairs(seen) do
            local group = name:match("^kept(.+)")
            if group then held[group] = true end
          end
        else
          s.e:advance(10000)
          held = {}
        end
      end
    end)
  end)

  it("refuses to delete by a handle whose message is visible again", function()
    s.fifo("q.fifo", { VisibilityTimeout = "10" })
    send "x"
    local m = s.receive("q.fifo")[1]
    s.e:advance(10000)
    assert.matches("expired", s.fails("InvalidParameterValue", "DeleteMessage", { QueueUrl = "q.fifo", ReceiptHandle = m.ReceiptHandle }))
    s.delete("q.fifo", s.receive("q.fifo")[1])
  end)

  describe("asked again with the same ReceiveRequestAttemptId", function()
    local function attempt(id, more)
      local p = more or {}
      p.ReceiveRequestAttemptId, p.MaxNumberOfMessages = id, p.MaxNumberOfMessages or 2
      return s.receive("q.fifo", p)
    end
    before_each(function()
      s.fifo("q.fifo", { VisibilityTimeout = "10" })
      for i = 1, 3 do send("a" .. i, "a") end
    end)

    it("gives the same messages and handles, hidden for as long again", function()
      local first = attempt "x"
      s.e:advance(9000)
      assert.same(first, attempt "x")
      assert.same({}, attempt "y")
      s.e:advance(9000)
      assert.same({}, s.receive "q.fifo")
      for _, m in ipairs(first) do s.delete("q.fifo", m) end
      assert.equal("a3", s.bodies "q.fifo")
    end)

    it("receives anew once any of them was touched or came back", function()
      local first = attempt "x"
      s.delete("q.fifo", first[1])
      assert.same({}, attempt "x")
      s.e:advance(10000)
      local again = attempt "x"
      assert.same({ "a2", "2" }, { again[1].Body, again[1].Attributes.ApproximateReceiveCount })
      s.e:advance(10000)
      assert.equal("3", attempt("x")[1].Attributes.ApproximateReceiveCount)
    end)

    it("forgets after five minutes", function()
      attempt("x", { VisibilityTimeout = 1000 })
      s.e:advance(300000)
      assert.same({}, attempt "x")
      s.housekeep(1000, function() return #s.e:sql "SELECT attempt FROM sqs_attempts" == 0 end)
    end)
  end)

  it("answers a long poll when a group becomes free", function()
    s.fifo("q.fifo")
    send("a1", "a")
    send("a2", "a")
    local m = s.receive("q.fifo", { MaxNumberOfMessages = 1 })[1]
    local h = s.e:start("sqs", "ReceiveMessage", '{"QueueUrl":"q.fifo","WaitTimeSeconds":20}')
    for _ = 1, 3 do s.e:probe() end
    assert.is_false(h:done())
    s.delete("q.fifo", m)
    assert.equal("a2", helper.json.decode(h:wait()).Messages[1].Body)
  end)
end)
