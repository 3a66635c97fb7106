-- A store without threads, in simulated time: what holds of any store, and what only it can do.
local t = require "t.local"
local json = require "cjson"

local START = 1767225600000
local open = t.open

describe("without threads and in simulated time,", function()
  setup(function()
    t.simulated = true
    t.open = function(o) return open { dir = o.dir, strict_ses = o.strict_ses, keys = o.keys, no_verify = o.no_verify, control = o.control,
      simulated = o.simulated or o.now or os.time() * 1000 } end
  end)
  teardown(function() t.open, t.simulated = open, nil end)

  for _, name in ipairs { "dynamo_item", "dynamo_transact", "sqs_queue", "sqs_fifo", "s3", "face_snapshot" } do
    assert(loadfile("tests/unit/local/" .. name .. "_spec.lua", "t", _ENV))()
  end

  describe("a store", function()
    local e, url
    before_each(function()
      e = assert(t.open { simulated = START })
      url = json.decode((assert(e:call("sqs", "CreateQueue", '{"QueueName":"q"}')))).QueueUrl
    end)
    after_each(function() e:close() end)
    local function start(service, action, params) return e:start(service, action, json.encode(params)) end
    local function call(...) return json.decode((assert(start(...):wait()))) end
    local function receive(more)
      local params = { QueueUrl = url, WaitTimeSeconds = 20 }
      for k, v in pairs(more or {}) do params[k] = v end
      return start("sqs", "ReceiveMessage", params)
    end
    local function bodies(pending)
      local out = {}
      for i, m in ipairs(json.decode((assert(pending:wait()))).Messages or {}) do out[i] = m.Body end
      return table.concat(out, " ")
    end

    it("ends a poll that finds nothing after its wait, in no time", function()
      assert.equal("", bodies(receive()))
      assert.equal(START + 20000, e:now())
    end)
    it("wakes a poll that waits by what is sent, at once", function()
      local waiting = receive()
      e:turn(0)
      call("sqs", "SendMessage", { QueueUrl = url, MessageBody = "m" })
      assert.equal("m", bodies(waiting))
      assert.equal(START, e:now())
    end)
    it("wakes it when a delay is over", function()
      call("sqs", "SendMessage", { QueueUrl = url, MessageBody = "late", DelaySeconds = 7 })
      assert.equal("late", bodies(receive()))
      assert.equal(START + 7000, e:now())
    end)
    it("wakes it when a visibility timeout is over", function()
      call("sqs", "SendMessage", { QueueUrl = url, MessageBody = "again" })
      assert.equal("again", bodies(receive { VisibilityTimeout = 12 }))
      assert.equal("again", bodies(receive()))
      assert.equal(START + 12000, e:now())
    end)
    it("serves polls in the order in which they came", function()
      local first, second = receive(), receive()
      e:turn(0)
      for _, body in ipairs { "a", "b" } do call("sqs", "SendMessage", { QueueUrl = url, MessageBody = body }) end
      assert.equal("a", bodies(first))
      assert.equal("b", bodies(second))
    end)
    it("gives up a poll whose caller is gone, and keeps its message for others", function()
      local gone = receive()
      e:turn(0)
      gone:cancel()
      e:turn(0)
      call("sqs", "SendMessage", { QueueUrl = url, MessageBody = "m" })
      assert.equal("m", bodies(receive()))
    end)
    it("fails at a commit, and goes on", function()
      e:fault("commit", 1)
      local none, err = start("sqs", "SendMessage", { QueueUrl = url, MessageBody = "lost" }):wait()
      assert.is_nil(none)
      assert.matches("injected fault at a commit", err)
      call("sqs", "SendMessage", { QueueUrl = url, MessageBody = "kept" })
      assert.equal("kept", bodies(receive()))
    end)
    it("fails at a step of one of several operations, and does the others", function()
      e:fault("step", 2)
      local sent = {}
      for i = 1, 4 do sent[i] = start("sqs", "SendMessage", { QueueUrl = url, MessageBody = tostring(i) }) end
      local failed = 0
      for i = 1, 4 do if not sent[i]:wait() then failed = failed + 1 end end
      local found = bodies(receive { MaxNumberOfMessages = 10 })
      assert.equal(4 - failed, #found:gsub(" ", ""))
    end)
    it("has forgotten what expired as soon as the time has passed", function()
      call("dynamodb", "CreateTable", { TableName = "Tab", BillingMode = "PAY_PER_REQUEST",
        AttributeDefinitions = { { AttributeName = "id", AttributeType = "S" } }, KeySchema = { { AttributeName = "id", KeyType = "HASH" } } })
      call("dynamodb", "UpdateTimeToLive", { TableName = "Tab", TimeToLiveSpecification = { AttributeName = "ttl", Enabled = true } })
      for i = 1, 500 do
        call("dynamodb", "PutItem", { TableName = "Tab", Item = { id = { S = tostring(i) }, ttl = { N = tostring(START // 1000 + 60) } } })
      end
      e:advance(7200000)
      assert.equal(0, call("dynamodb", "Scan", { TableName = "Tab", Select = "COUNT" }).Count)
    end)
  end)
end)
