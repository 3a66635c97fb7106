local helper = require "unit.local.sqs_helper"

describe("a queue that holds much", function()
  local s
  before_each(function() s = helper.open() end)
  after_each(function() s.e:close() end)

  local function id(name) return math.tointeger(tonumber(s.e:sql("SELECT id FROM queues WHERE name='" .. name .. "'")[1][1])) end

  -- Steps of the store's virtual machine for one round: send, receive, delete.
  local function round(queue, more)
    local before = s.e:work()
    s.send(queue, "new", more)
    local m = s.receive(queue, { MaxNumberOfMessages = 1 })[1]
    s.delete(queue, m)
    return s.e:work() - before
  end

  local function grows(make, fill, more)
    make "few"
    make "many"
    fill("few", 10)
    fill("many", 20000)
    round("few" .. (more and ".fifo" or ""), more and more(1)) -- counts what is in flight, once
    round("many" .. (more and ".fifo" or ""), more and more(2))
    local few = round("few" .. (more and ".fifo" or ""), more and more(3))
    local many = round("many" .. (more and ".fifo" or ""), more and more(4))
    return many / few
  end

  it("gives as fast as one that holds little, whatever waits and is in flight", function()
    local ratio = grows(s.queue, function(name, n) s.e:fill(id(name), n, n) end)
    assert.is_true(ratio < 1.5, "20,000 cost " .. ratio .. " times what 10 do")
  end)

  it("of message groups, too", function()
    local function more(n) return { MessageGroupId = "new" .. n, MessageDeduplicationId = tostring(n) } end
    local ratio = grows(function(name) s.fifo(name .. ".fifo") end, function(name, n)
      s.e:fill(id(name .. ".fifo"), n, n, n)
    end, more)
    assert.is_true(ratio < 1.5, "20,000 cost " .. ratio .. " times what 10 do")
  end)

  describe("tells how many messages it holds", function()
    local function counts(queue)
      local a = s.attributes(queue)
      return tonumber(a.ApproximateNumberOfMessages), tonumber(a.ApproximateNumberOfMessagesNotVisible), tonumber(a.ApproximateNumberOfMessagesDelayed)
    end

    it("exactly below 20,000", function()
      s.queue "q"
      s.e:fill(id "q", 19999, 19990)
      for _ = 1, 9 do s.send("q", "later", { DelaySeconds = 60 }) end
      assert.same({ 19999, 19990, 9 }, { counts "q" })
    end)

    it("about, beyond", function()
      s.queue "small"
      s.queue "q"
      s.e:fill(id "q", 30000, 0)
      s.e:fill(id "small", 7, 5)
      s.e:fill(id "q", 30000, 40000)
      local visible, in_flight, delayed = counts "q"
      assert.is_true(math.abs(visible - 60000) < 1200, visible)
      assert.is_true(math.abs(in_flight - 40000) < 800, in_flight)
      assert.equal(0, delayed)
      assert.same({ 7, 5, 0 }, { counts "small" })
    end)

    it("about, of two that were filled in turns", function()
      for _, name in ipairs { "a", "b" } do s.queue(name) end
      for _ = 1, 300 do
        for _, name in ipairs { "a", "b" } do s.e:fill(id(name), 100, 0) end
      end
      for _, name in ipairs { "a", "b" } do
        local visible = counts(name)
        assert.is_true(math.abs(visible - 30000) < 3000, visible)
      end
    end)

    it("in the time that 20,000 take, however many there are", function()
      local function work(queue, waiting, in_flight) -- the start of a move task counts, on the writer's connection
        s.queue(queue)
        s.queue(queue .. "-source", { RedrivePolicy = helper.json.encode { deadLetterTargetArn = helper.ARN .. queue, maxReceiveCount = 1 } })
        s.e:fill(id(queue), waiting, in_flight)
        local before = s.e:work()
        assert(s.call("StartMessageMoveTask", { SourceArn = helper.ARN .. queue }))
        return s.e:work() - before
      end
      local some, many = work("some", 25000, 0), work("many", 100000, 100000)
      assert.is_true(many / some < 3, "200,000 cost " .. many / some .. " times what 25,000 do")
    end)
  end)

  it("lets no more than 120,000 be in flight", function()
    s.queue "q"
    s.e:fill(id "q", 20, 119995)
    assert.equal(5, #s.receive("q", { VisibilityTimeout = 60 }))
    assert.matches("in flight", s.fails("OverLimit", "ReceiveMessage", { QueueUrl = "q" }))
    local h = s.e:start("sqs", "ReceiveMessage", '{"QueueUrl":"q","WaitTimeSeconds":20}')
    for _ = 1, 3 do s.e:probe() end
    assert.is_false(h:done())
    s.e:advance(60000)
    assert.equal(1, #helper.json.decode(h:wait()).Messages)
  end)

  it("of groups gives nothing beyond the limit, without an error", function()
    s.fifo "q.fifo"
    s.e:fill(id "q.fifo", 0, 120000, 120000)
    s.send("q.fifo", "x", { MessageGroupId = "new", MessageDeduplicationId = "1" })
    assert.equal("", s.bodies "q.fifo")
  end)

  it("is purged at once as far as one transaction goes, the rest by housekeeping", function()
    s.queue "q"
    s.e:fill(id "q", 11000, 100)
    assert(s.call("PurgeQueue", { QueueUrl = "q" }))
    s.send("q", "after")
    local function left() return #s.e:sql "SELECT id FROM messages" end
    assert.equal(1101, left())
    s.housekeep(1000, function() return left() == 1 end)
    assert.equal("after", s.bodies "q")
    s.housekeep(1000, function() return #s.e:sql "SELECT id FROM queues WHERE purge_to>0" == 0 end)
  end)
end)
