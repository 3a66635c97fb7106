-- The way of a call through the probe: what each fault does to it, and that it is freed once wherever it is given up.
local t = require "t.probe"

describe("a call through the probe", function()
  local rig
  before_each(function() rig = t.open() end)
  after_each(function() rig:close() end)

  local SEND = "sqs:SendMessage"
  local PARAMS = '{"QueueUrl":"http://sqs/000000000000/Orders","MessageBody":"x"}'

  local function send(options) return rig:call(SEND, PARAMS, options) end
  local function code(id) return (rig:outcome(id)) end
  local function last_seen() local all = rig:seen() return all[#all] end

  it("goes straight on when nothing is asked of the probe", function()
    rig:answer(SEND, "done", '{"MessageId":"1"}')
    local id = send()
    assert.same({ "start sqs:SendMessage", "told sqs:SendMessage" }, rig:said())
    assert.equal("", code(id))
    assert.equal(0, rig:count())
  end)

  it("is not counted when it was under way before anybody asked, and can be given up afterwards", function()
    rig:answer(SEND, "held")
    local id = send()
    rig:listen()
    rig:cancel(id)
    rig:turn()
    assert.same({ "start sqs:SendMessage", "cancel sqs:SendMessage" }, rig:said())
    assert.same({}, rig:seen())
  end)

  for _, how in ipairs { "done", "later" } do
    describe("that is answered " .. how, function()
      before_each(function()
        rig:answer(SEND, how, '{"MessageId":"1"}')
        rig:listen()
      end)

      it("is told of with its number, its resource and its effect", function()
        local id = send { function_name = "CreateOrder" }
        rig:turn()
        assert.equal('{"MessageId":"1"}', select(2, rig:outcome(id)))
        local seen = last_seen()
        assert.same({ 1, "SendMessage", "Orders", "", "", true },
          { seen.n, seen.action, seen.resource, seen.told, seen.fault, seen.effect })
        assert.same({ "SendMessage" }, rig:befores())
      end)

      it("has no effect when the backend refuses it", function()
        rig:answer(SEND, how, "QueueDoesNotExist")
        local id = send()
        rig:turn()
        assert.equal("QueueDoesNotExist", code(id))
        assert.is_false(last_seen().effect)
        assert.equal("QueueDoesNotExist", last_seen().told)
      end)

      it("leaves two seconds later when it is late, and others go first", function()
        rig:fail { at = "late", n = 1 }
        local late, other = send(), send()
        rig:turn()
        rig:pass(1999)
        assert.same({ 2, "" }, { #rig:seen() == 1 and last_seen().n, code(other) })
        rig:pass(1)
        rig:turn()
        assert.equal('{"MessageId":"1"}', select(2, rig:outcome(late)))
        assert.same({ 1, "late", true, 2000 }, { last_seen().n, last_seen().fault, last_seen().effect, last_seen().ms })
      end)

      it("does not happen when it is given up while it is late", function()
        rig:fail { at = "late" }
        rig:cancel(send())
        rig:pass(2000)
        rig:turn()
        assert.same({}, rig:said())
        assert.same({ "late", false }, { last_seen().fault, last_seen().effect })
      end)

      it("does not happen when the process dies while it is late", function()
        rig:fail { at = "late", n = 1 }
        rig:fail { at = "before", n = 2 }
        local late = send()
        send()
        rig:pass(2000)
        rig:turn()
        assert.same({}, rig:said())
        rig:cancel(late)
      end)

      it("does not happen when it is refused", function()
        local fault = rig:fail { at = "refused", match = SEND }
        local id = send()
        rig:turn()
        local told, result, status, _, retryable = rig:outcome(id)
        assert.same({ "ThrottlingException", "{}", 400, true }, { told, result, status, retryable })
        assert.same({ "told sqs:SendMessage" }, rig:said())
        assert.same({}, rig:befores())
        assert.same({ "refused", false, 1 }, { last_seen().fault, last_seen().effect, rig:struck(fault) })
        assert.same(0, last_seen().cost.sqs)
      end)

      it("happens when it is lost, and its caller hears of a time-out", function()
        rig:fail { at = "lost", match = "sqs:*" }
        local id = send()
        rig:turn()
        local told, result, status, _, retryable = rig:outcome(id)
        assert.same({ "RequestTimeout", "{}", 504, true }, { told, result, status, retryable })
        assert.same({ "start sqs:SendMessage", "told sqs:SendMessage" }, rig:said())
        assert.same({ "lost", true, "RequestTimeout" }, { last_seen().fault, last_seen().effect, last_seen().told })
      end)

      it("happens when it stalls, and nobody hears of it", function()
        rig:fail { at = "stalls", match = SEND }
        local id = send { deadline = "yes" }
        rig:turn()
        assert.is_nil(code(id))
        assert.same({ "start sqs:SendMessage" }, rig:said())
        rig:cancel(id)
        assert.same({ "stalls", true, "RequestAborted" }, { last_seen().fault, last_seen().effect, last_seen().told })
        assert.same({ "start sqs:SendMessage" }, rig:said())
      end)

      it("does not leave when the process dies before it", function()
        rig:fail { at = "before", match = SEND }
        local id = send()
        rig:turn()
        assert.same({}, rig:said())
        assert.same({ 1, true }, { rig:deaths() })
        assert.same({ "before", false, "RequestAborted" }, { last_seen().fault, last_seen().effect, last_seen().told })
        rig:cancel(id)
        assert.equal(1, #rig:seen())
      end)

      it("has happened when the process dies after it, and nobody hears of it", function()
        rig:fail { at = "after", match = SEND }
        local id = send()
        rig:turn()
        assert.same({ "start sqs:SendMessage" }, rig:said())
        assert.same({ 1, true }, { rig:deaths() })
        assert.same({ "after", true }, { last_seen().fault, last_seen().effect })
        rig:cancel(id)
        assert.equal(1, #rig:seen())
      end)

      it("does nothing after the death of its process, until the next begins", function()
        rig:fail { at = "before", match = SEND }
        rig:cancel(send())
        local late = send()
        rig:turn()
        assert.is_nil(code(late))
        rig:cancel(late)
        assert.same({ 1, 1 }, { rig:count(), #rig:seen() })
        rig:revive()
        assert.same({ 1, false }, { rig:deaths() })
        local id = send()
        rig:turn()
        assert.equal("", code(id))
        assert.equal(2, rig:count())
      end)

      it("tells the engine to fail when its commit is to fail", function()
        rig:fail { at = "commit", match = SEND }
        send() send()
        rig:turn()
        assert.same({ 1, how == "later" }, { rig:commits() }) -- what is answered at once came to no commit
        assert.equal("commit", rig:seen()[1].fault)
        assert.equal("", rig:seen()[2].fault)
      end)
    end)
  end

  it("that hangs is given up by its caller, and never left", function()
    rig:listen()
    rig:fail { at = "hangs" }
    local id = send { deadline = "yes" }
    rig:pass(3600000)
    assert.is_nil(code(id))
    rig:cancel(id)
    assert.same({}, rig:said())
    assert.same({ "hangs", false, 3600000 }, { last_seen().fault, last_seen().effect, last_seen().ms })
  end)

  for _, kind in ipairs { "hangs", "stalls" } do
    it("that " .. kind .. " ends after a minute when it has no deadline", function()
      rig:listen()
      rig:fail { at = kind }
      local id = send()
      rig:pass(59999)
      assert.is_nil(code(id))
      rig:pass(1)
      assert.equal("RequestTimeout", code(id))
      assert.same({ kind, kind == "stalls", "RequestTimeout" },
        { last_seen().fault, last_seen().effect, last_seen().told })
    end)
  end

  it("whose answer comes after the death of the process is not told", function()
    rig:listen()
    rig:answer(SEND, "held", '{"MessageId":"1"}')
    rig:fail { at = "before", n = 2 }
    local first, second = send(), send()
    rig:release()
    rig:turn()
    assert.is_nil(code(first))
    rig:cancel(first) rig:cancel(second)
    assert.same({ { 2, false }, { 1, true } },
      { { rig:seen()[1].n, rig:seen()[1].effect }, { rig:seen()[2].n, rig:seen()[2].effect } })
  end)

  describe("given up", function()
    before_each(function() rig:listen() end)

    it("inside the backend is freed when that is through with it", function()
      rig:answer(SEND, "held")
      rig:cancel(send())
      assert.same({}, rig:seen())
      rig:turn()
      assert.same({ "start sqs:SendMessage", "cancel sqs:SendMessage" }, rig:said())
      assert.same({ "RequestAborted", false }, { last_seen().told, last_seen().effect })
    end)

    it("while its answer is on the way has had its effect", function()
      rig:answer(SEND, "later")
      rig:cancel(send())
      rig:turn()
      assert.same({ "RequestAborted", true }, { last_seen().told, last_seen().effect })
    end)

    it("while it waits for its turn never leaves", function()
      rig:shuffle(1)
      rig:cancel(send())
      rig:turn()
      assert.same({}, rig:said())
      assert.equal(0, rig:count())
    end)

    it("while its messages are made visible leaves that to go on", function()
      rig:answer("sqs:ReceiveMessage", "done", '{"Messages":[{"ReceiptHandle":"r1"}]}')
      rig:answer("sqs:ChangeMessageVisibilityBatch", "held")
      rig:fail { at = "twice" }
      rig:cancel(rig:call("sqs:ReceiveMessage", PARAMS))
      rig:turn()
      assert.same({ "start sqs:ReceiveMessage", "start sqs:ChangeMessageVisibilityBatch",
        "cancel sqs:ChangeMessageVisibilityBatch" }, rig:said())
    end)

    it("twice over is given up once", function()
      rig:answer(SEND, "held")
      local id = send()
      rig:cancel(id) rig:cancel(id)
      rig:turn()
      assert.equal(1, #rig:seen())
    end)
  end)

  describe("that receives", function()
    local RECEIVE = "sqs:ReceiveMessage"
    local TWO = '{"Messages":[{"ReceiptHandle":"r1","Body":"a"},{"ReceiptHandle":"r2","Body":"b"}]}'
    local function receive() return rig:call(RECEIVE, '{"QueueUrl":"http://sqs/0/Orders"}') end
    before_each(function() rig:listen() end)

    it("is empty when no message came", function()
      rig:answer(RECEIVE, "done", "{}")
      receive()
      assert.is_true(last_seen().empty)
      rig:answer(RECEIVE, "done", TWO)
      receive()
      assert.is_false(last_seen().empty)
    end)

    for _, how in ipairs { "done", "later" } do
      it("twice makes what came visible again, before it is told: " .. how, function()
        rig:answer(RECEIVE, how, TWO)
        rig:answer("sqs:ChangeMessageVisibilityBatch", how, "{}")
        rig:fail { at = "twice", match = RECEIVE }
        local id = receive()
        rig:turn()
        assert.equal(TWO, select(2, rig:outcome(id)))
        assert.same({ "start sqs:ReceiveMessage", "start sqs:ChangeMessageVisibilityBatch", "told sqs:ReceiveMessage" },
          rig:said())
        assert.same({ "twice", 1 }, { last_seen().fault, rig:count() })
      end)
    end

    it("twice waits for a receive that brings something", function()
      local fault = rig:fail { at = "twice" }
      rig:answer(RECEIVE, "done", "{}")
      receive()
      assert.equal(0, rig:struck(fault))
      rig:answer(RECEIVE, "done", TWO)
      receive() receive()
      assert.equal(1, rig:struck(fault))
      assert.equal("twice", rig:seen()[2].fault)
    end)
  end)

  describe("is struck", function()
    before_each(function() rig:listen() end)
    local function faults()
      local list = {}
      for i, seen in ipairs(rig:seen()) do list[i] = seen.fault end
      return table.concat(list, ",")
    end

    it("by its number since the mark", function()
      send()
      rig:mark()
      rig:fail { at = "refused", n = 2 }
      send() send() send()
      assert.equal(",,refused,", faults())
      assert.equal(3, rig:count())
    end)

    it("from the nth that matches on, so many times", function()
      rig:fail { at = "refused", match = SEND, nth = 2, times = 2 }
      send() rig:call "sqs:ListQueues" send() send() send()
      assert.equal(",,refused,refused,", faults())
    end)

    it("for ever with times = -1, until it is forgiven", function()
      local fault = rig:fail { at = "refused", match = "sqs:*", times = -1 }
      send() send()
      rig:forgive(fault)
      send()
      assert.equal("refused,refused,", faults())
      assert.equal(0, rig:struck(fault))
    end)

    it("of one function alone", function()
      rig:fail { at = "refused", function_name = "B" }
      send { function_name = "A" } send { function_name = "B" }
      assert.equal(",refused", faults())
    end)

    it("by any of the resources that it names", function()
      rig:fail { at = "refused", resource = "Outbox", times = -1 }
      rig:call("dynamodb:PutItem", '{"TableName":"Orders"}')
      rig:call("dynamodb:PutItem", '{"TableName":"arn:aws:dynamodb:us-east-1:000000000000:table/Outbox"}')
      rig:call("dynamodb:BatchWriteItem", '{"RequestItems":{"Orders":[],"Outbox":[]}}')
      rig:call("dynamodb:TransactWriteItems",
        '{"TransactItems":[{"Put":{"TableName":"Orders"}},{"Delete":{"TableName":"Outbox"}}]}')
      rig:call("sqs:SendMessage", '{"QueueUrl":"http://sqs/000000000000/Outbox"}')
      rig:call("s3:PutObject", '{"Bucket":"Outbox","Key":"k"}')
      rig:call("s3:PutObject", '{"Bucket":"other","Key":"Outbox"}')
      assert.equal(",refused,refused,refused,refused,refused,", faults())
      assert.equal("Orders,Outbox", rig:seen()[4].resource)
    end)

    it("by the first of two faults, and the second does not wait for another", function()
      rig:fail { at = "refused", match = SEND }
      rig:fail { at = "lost", match = SEND }
      send() send()
      assert.equal("refused,", faults())
    end)

    it("with the error that was asked for", function()
      rig:fail { at = "refused", match = SEND, code = "OverLimit", message = "enough" }
      rig:fail { at = "lost", match = "sqs:ListQueues", code = "OddException", status = 418 }
      local one, two = send(), rig:call "sqs:ListQueues"
      assert.same({ "OverLimit", "{}", 403, "enough", true }, { rig:outcome(one) })
      local told, _, status, _, retryable = rig:outcome(two)
      assert.same({ "OddException", 418, false }, { told, status, retryable })
    end)

    it("by an operation of a service without an engine", function()
      rig:fail { at = "refused", match = "kms:Encrypt" }
      rig:call "kms:Decrypt" rig:call "kms:Encrypt"
      assert.equal(",refused", faults())
    end)
  end)

  describe("a fault is refused", function()
    local function refusal(fault) return (select(2, rig:fail(fault))) end

    it("when its operation does not exist", function()
      assert.matches('dynamodb has no operation "PutItme" here; it has .*PutItem',
        refusal { at = "lost", match = "dynamodb:PutItme" })
      assert.matches('no service "dynamo"', refusal { at = "lost", match = "dynamo:PutItem" })
      assert.matches('"SendMessage" is not service:Operation', refusal { at = "lost", match = "SendMessage" })
    end)

    it("when its kind does not go with the operation", function()
      assert.matches("GetItem commits nothing", refusal { at = "commit", match = "dynamodb:GetItem" })
      assert.matches('"twice" is of sqs:ReceiveMessage', refusal { at = "twice", match = SEND })
    end)

    it("when it says an error that nobody is told", function()
      assert.matches('"hangs" tells no error', refusal { at = "hangs", code = "Odd" })
      assert.matches("300 to 599", refusal { at = "lost", status = 200 })
    end)

    it("of a kind that there is not", function()
      assert.error_matches(function() rig:fail { at = "explodes" } end, 'no fault "explodes"; there are refused, lost')
    end)
  end)

  describe("order", function()
    local names = { "sqs:ListQueues", "s3:ListBuckets", "dynamodb:ListTables", "ses:GetAccount", "sts:GetCallerIdentity" }
    local function order(seed)
      local one = t.open()
      one:listen()
      one:shuffle(seed)
      for _, name in ipairs(names) do one:call(name) end
      one:turn()
      local said = {}
      for _, line in ipairs(one:said()) do said[#said + 1] = line:match "^start .*:(.*)" end
      assert.equal(#names, #said)
      assert.equal(#names, one:count())
      for i, seen in ipairs(one:seen()) do assert.same({ i, said[i] }, { seen.n, seen.action }) end
      one:close()
      return table.concat(said, " ")
    end

    it("is that of the calls without a seed", function()
      assert.equal("ListQueues ListBuckets ListTables GetAccount GetCallerIdentity", order(0))
    end)

    it("is the seed's, the same each time, and another with another", function()
      local different = {}
      for seed = 1, 20 do
        local one = order(seed)
        assert.equal(one, order(seed))
        different[one] = true
      end
      local n = 0
      for _ in pairs(different) do n = n + 1 end
      assert.is_true(n > 10)
    end)

    it("stops where the process dies", function()
      rig:listen()
      rig:shuffle(3)
      rig:fail { at = "before", n = 2 }
      local ids = {}
      for i, name in ipairs(names) do ids[i] = rig:call(name) end
      rig:turn()
      assert.equal(2, #rig:said()) -- one was started and told
      for _, id in ipairs(ids) do rig:cancel(id) end
      rig:revive()
      rig:turn()
      assert.equal(2, #rig:said())
    end)

    it("is kept by those that wait when the seed is taken back", function()
      rig:shuffle(1)
      rig:call "sqs:ListQueues" rig:call "s3:ListBuckets"
      rig:shuffle(0)
      rig:call "ses:GetAccount"
      rig:turn()
      assert.same({ "start sqs:ListQueues", "start s3:ListBuckets", "start ses:GetAccount" },
        { rig:said()[1], rig:said()[3], rig:said()[5] })
    end)
  end)

  it("begun before a mark has no number, and costs nothing since", function()
    rig:listen()
    rig:answer(SEND, "held", "{}")
    send()
    rig:mark()
    rig:release()
    assert.same({ 0, 0, 0 }, { last_seen().n, rig:count(), rig:total().sqs })
  end)

  it("is told to four listeners at most, and to none that has left", function()
    for _ = 1, 4 do rig:listen() end
    assert.error_matches(function() rig:listen() end, "at most 4 listeners")
    for _ = 1, 3 do rig:listen(false) end
    send()
    assert.equal(1, #rig:seen())
    rig:listen(false)
    send()
    assert.equal(1, #rig:seen())
  end)
end)
