-- What perigee.host offers of the probe: calls, faults, costs, order.
require "unit.lua.plain"
local host = require "perigee.host"
local json = require "perigee.json"
local notes = require "unit.lua.testing_app"

describe("a simulated host", function()
  local template = notes(_ENV)
  local h

  local function open() return assert(host.open { template = template, clock = 1700000000000, seed = 1 }) end
  before_each(function()
    h = open()
    h:mark()
  end)
  after_each(function() h:close() end)

  local function take(id)
    return h:request { method = "POST", target = "/notes", headers = { ["content-type"] = "application/json" },
      body = json.encode { id = id } }
  end

  local function names(calls)
    local list = {}
    for i, call in ipairs(calls) do list[i] = call.action end
    return table.concat(list, " ")
  end

  describe("keeps of calls", function()
    it("what identifies them", function()
      assert.equal(200, take("a").status)
      local put, sent = table.unpack(h:calls())
      assert.equal("PutItem SendMessage", names(h:calls()))
      assert.same({ 1, "dynamodb", "PutItem", "Take", "Notes", true, true, false, 1700000000000 },
        { put.n, put.service, put.action, put.function_name, put.resource, put.effect, put.write, put.empty, put.began_ms })
      assert.same({ 2, "sqs", "Work", 1 }, { sent.n, sent.service, sent.resource, sent.cost.sqs })
      assert.is_string(put.request_id)
      assert.is_nil(put.params)
      assert.is_nil(put.error)
      assert.is_nil(put.fault)
    end)

    it("all that was said, when it is to", function()
      h:keep_calls(true)
      take "a"
      assert(h:drain())
      local found = {}
      for _, call in ipairs(h:calls()) do found[call.action] = found[call.action] or call end
      assert.equal("a", found.PutItem.params.Item.id.S)
      assert.is_string(found.SendMessage.result.MessageId)
      assert.equal("note a", found.PutObject.params.Body)
      assert.equal("a.txt", found.PutObject.params.Key)
    end)

    it("nothing, when it is to; they are counted all the same", function()
      h:keep_calls(false)
      take "a"
      assert.same({ {}, 2, 2 }, { h:calls(), h:count(), h:writes() })
    end)

    it("those from a number on, and those since the last mark", function()
      take "a" take "b"
      assert.equal("SendMessage PutItem SendMessage", names(h:calls(2)))
      h:mark()
      assert.same({ {}, 0, 0 }, { h:calls(), h:count(), h:writes() })
      take "c"
      assert.equal(1, h:calls()[1].n)
    end)

    it("the error that their caller was told, and the fault", function()
      h:fail { at = "lost", match = "sqs:SendMessage", code = "OverLimit", message = "enough" }
      assert.equal(500, take("a").status)
      local sent = h:calls()[2]
      assert.same({ { code = "OverLimit", message = "enough", status = 403 }, "lost", true },
        { sent.error, sent.fault, sent.effect })
    end)

    it("that tests made themselves nothing", function()
      assert(h:aws("dynamodb", "PutItem", { TableName = "Notes", Item = { id = { S = "x" } } }))
      assert.same({ {}, 0 }, { h:calls(), h:count() })
    end)
  end)

  it("counts writes without those that settle messages, and those that happened though they were lost", function()
    take "a"
    assert(h:drain())
    local settled, writes = 0, 0
    for _, call in ipairs(h:calls()) do
      local is = call.action == "ReceiveMessage" or call.action == "DeleteMessageBatch"
      settled = settled + (is and 1 or 0)
      writes = writes + (call.write and call.effect and not is and 1 or 0)
    end
    assert.is_true(settled > 1)
    assert.equal(4, writes) -- put, sent, object, put
    assert.equal(4, h:writes())
    h:mark()
    h:fail { at = "lost", n = 1 }
    h:fail { at = "refused", n = 2 }
    take "b" take "c"
    assert.equal(1, h:writes())
  end)

  describe("that dies", function()
    for kind, happened in pairs { before = false, after = true } do
      it(kind .. " a call has " .. (happened and "" or "not ") .. "made it, and works again after the crash", function()
        local id = h:fail { at = kind, match = "dynamodb:PutItem" }
        local answer, err = take "a"
        assert.same({ nil, "ProcessDied" }, { answer, err.code })
        assert.is_true(h:is_dead())
        assert.equal(1, h:struck(id))
        local item = assert(h:aws("dynamodb", "GetItem", { TableName = "Notes", Key = { id = { S = "a" } } })).Item
        assert.equal(happened, item ~= nil)
        assert(h:crash())
        assert.is_false(h:is_dead())
        assert.equal(200, take("a").status)
        assert.equal("PutItem PutItem SendMessage", names(h:calls()))
      end)
    end

    it("while it drains leaves the message to the next process", function()
      take "a"
      h:fail { at = "before", match = "s3:PutObject" }
      local ok, err = h:drain()
      assert.same({ nil, "ProcessDied" }, { ok, err.code })
      assert(h:crash())
      assert(h:drain())
      local item = assert(h:aws("dynamodb", "GetItem", { TableName = "Notes", Key = { id = { S = "a" } } })).Item
      assert.equal("DONE", item.status.S)
      assert.is_true(h:now() - 1700000000000 >= 60000) -- its visibility timeout
    end)
  end)

  it("whose call gets no answer ends the request when its Timeout does", function()
    h:fail { at = "stalls", match = "sqs:SendMessage" }
    assert.equal(504, take("a").status)
    assert.equal(1700000010000, h:now())
    assert(h:drain())
    assert.equal("stalls", h:calls()[2].fault)
    local item = assert(h:aws("dynamodb", "GetItem", { TableName = "Notes", Key = { id = { S = "a" } } })).Item
    assert.equal("DONE", item.status.S)
  end)

  it("goes on when a call of a feed gets no answer", function()
    take "a"
    h:fail { at = "hangs", match = "sqs:DeleteMessageBatch" }
    assert(h:drain())
    assert.is_true(h:now() >= 1700000060000)
  end)

  it("hands a message out twice", function()
    take "a"
    local id = h:fail { at = "twice", resource = "Work" }
    assert(h:drain())
    assert.equal(1, h:struck(id))
    local objects = 0
    for _, call in ipairs(h:calls()) do objects = objects + (call.action == "PutObject" and 1 or 0) end
    assert.equal(2, objects)
  end)

  it("forgives one fault, or all", function()
    local first = h:fail { at = "refused", match = "dynamodb:PutItem", times = -1 }
    h:fail { at = "refused", match = "sqs:*", times = -1 }
    h:forgive(first)
    assert.equal(500, take("a").status)
    assert.equal("SendMessage", h:calls()[2].action)
    h:forgive()
    assert.equal(200, take("b").status)
  end)

  it("tells what calls and runs cost", function()
    h:price(true)
    take "a"
    assert(h:drain())
    local cost = h:cost()
    assert.same({ 2, 1, 0, 2 }, { cost.wcu, cost.s3_puts, cost.ses, cost.runs })
    assert.is_true(cost.sqs >= 3)
    assert.is_true(cost.ms > 0 and cost.billed_ms >= 2)
    assert.near(cost.billed_ms / 2, cost.gb_ms, 0.0001) -- 512 MB
    local sum = 0
    for _, call in ipairs(h:calls()) do sum = sum + call.cost.wcu end
    assert.equal(2, sum)
    h:mark()
    assert.same({ 0, 0, 0 }, { h:cost().wcu, h:cost().runs, h:cost().calls })
  end)

  it("bills the time that a run waited", function()
    h:fail { at = "hangs", match = "sqs:SendMessage" }
    take "a"
    assert.is_true(h:cost().billed_ms >= 10000)
  end)

  it("makes calls in the order of a seed, the same each time", function()
    local function order(seed)
      local one <close> = open()
      one:mark()
      one:shuffle(seed)
      for i = 1, 4 do
        assert(one:aws("sqs", "SendMessage", { QueueUrl = "http://sqs/000000000000/Work",
          MessageBody = json.encode { id = tostring(i) } }))
      end
      assert(one:drain())
      local list = {}
      for i, call in ipairs(one:calls()) do list[i] = call.action .. " " .. (call.request_id or "") end
      return table.concat(list, "\n")
    end
    local seen, n = {}, 0
    for seed = 1, 5 do
      local one = order(seed)
      assert.equal(one, order(seed))
      n = n + (seen[one] and 0 or 1)
      seen[one] = true
    end
    assert.is_true(n > 1)
  end)

  describe("refuses", function()
    local function refused(text, ...)
      local ok, err = pcall(...)
      assert.is_false(ok, text)
      assert.matches(text, err, 1, true)
    end

    it("faults that are none, naming the option", function()
      local function fail(options) return function() h:fail(options) end end
      refused('fail: there is no option "ntn"; there are at, n,', fail { at = "lost", ntn = 1 })
      refused("fail: at is missing", fail { match = "sqs:*" })
      refused('fail: at: there is no fault "vanish"; there are refused', fail { at = "vanish" })
      refused("fail: nth must be an integer", fail { at = "lost", nth = "1" })
      refused("fail: n must be at least 1", fail { at = "lost", n = 0 })
      refused("fail: times must be at least -1", fail { at = "lost", times = -2 })
      refused("fail: retryable must be true or false", fail { at = "lost", retryable = 1 })
      refused("fail: match must be a string", fail { at = "lost", match = 1 })
      refused('fail: sqs has no operation "SendMesage" here', fail { at = "lost", match = "sqs:SendMesage" })
      refused("fail: its options are named", fail { "lost" })
      refused("table expected", fail(nil))
    end)

    it("to keep what there is not", function()
      refused('true, false or "names" expected', function() h:keep_calls "all" end)
      refused("boolean expected", function() h:price "yes" end)
    end)
  end)
end)
