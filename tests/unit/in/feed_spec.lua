local t = require "t.feed"

local handlers = [[
local time, log = require "perigee.time", require "perigee.log"
local M = {}
function M.see(message)
  log.info("seen", { body = message.body, receives = message.receive_count, queue = message.queue, id = message.id })
end
function M.picky(message)
  log.info("seen", { body = message.body, receives = message.receive_count })
  if message.body:find "bad" then error "refused" end
end
function M.slow(message)
  log.info("begun", { body = message.body })
  time.sleep(50)
  log.info("ended", { body = message.body })
end
function M.mixed(message)
  if message.body == "quick" then return M.see(message) end
  log.info("begun", { body = message.body })
  time.sleep(4000)
end
function M.tick(event) log.info("tick", { event = event }) end
function M.long(event) log.info("tick", { event = event }) time.sleep(1500) log.info("tock") end
return M
]]

describe("feeds", function()
  local dir = require "unit.directory"(_ENV, { ["h.lua"] = handlers })
  local rig
  before_each(function() rig = t.open(dir, { "see", "picky", "slow", "tick", "long", "mixed" }) end)

  local function spin(ready)
    local give_up = os.time() + 15
    while not ready() do
      assert(os.time() < give_up, "nothing happened")
      rig:turn()
    end
  end
  -- Log lines of that message whose text holds `part`.
  local function said(msg, part)
    local found = {}
    for _, line in ipairs(rig:lines()) do
      if line:find('"msg":"' .. msg .. '"', 1, true) and (not part or line:find(part, 1, true)) then found[#found + 1] = line end
    end
    return found
  end
  local function stop()
    rig:stop()
    spin(function() return rig:done() end)
  end

  describe("of a queue", function()
    local url
    local function queue(attributes)
      rig:sqs("CreateQueue", '{"QueueName":"Q","Attributes":{' .. (attributes or "") .. "}}")
      url = assert(rig:sqs("GetQueueUrl", '{"QueueName":"Q"}')):match('"QueueUrl":"([^"]+)"')
    end
    local function send(body)
      assert(rig:sqs("SendMessage", ('{"QueueUrl":"%s","MessageBody":"%s"}'):format(url, body)))
    end
    local function count(name, of)
      local answer = assert(rig:sqs("GetQueueAttributes", ('{"QueueUrl":"%s","AttributeNames":["All"]}'):format(of or url)))
      return tonumber(answer:match('"' .. name .. '":"(%d+)"'))
    end
    local visible, hidden = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
    local function empty() return count(visible) == 0 and count(hidden) == 0 end
    after_each(function()
      stop()
      rig:close()
    end)

    it("runs each message and deletes it", function()
      queue()
      for i = 1, 25 do send("m" .. i) end
      rig:feed("Q", "see", {})
      spin(function() return #said "seen" == 25 and empty() end)
      local line = said("seen", '"body":"m7"')[1]
      assert.matches('"receives":1', line)
      assert.matches('"queue":"Q"', line)
      assert.is_true(rig:polling())
    end)

    it("runs messages that come later", function()
      queue()
      rig:feed("Q", "see", {})
      for _ = 1, 3 do rig:turn() end
      send "late"
      spin(function() return #said("seen", '"body":"late"') == 1 and empty() end)
    end)

    it("keeps only the failed ones of a batch, for later", function()
      queue()
      for _, body in ipairs { "good1", "bad1", "good2" } do send(body) end
      rig:feed("Q", "picky", {})
      spin(function() return #said "seen" == 3 and count(hidden) == 1 and count(visible) == 0 end)
      rig:advance(60000)
      spin(function() return #said("seen", '"receives":2') == 1 end)
      assert.equal(1, #said("seen", "good1"))
      assert.matches("bad1", said("seen", '"receives":2')[1])
    end)

    it("keeps the whole batch when single failures are not reported", function()
      queue()
      for _, body in ipairs { "good1", "bad1" } do send(body) end
      rig:feed("Q", "picky", { report = false })
      spin(function() return #said "seen" == 2 and count(visible) == 0 end)
      rig:advance(60000)
      spin(function() return #said("seen", '"receives":2') == 2 end)
    end)

    it("ends in the dead-letter queue after its receives", function()
      assert(rig:sqs("CreateQueue", '{"QueueName":"DLQ"}'))
      queue('"RedrivePolicy":"{\\"deadLetterTargetArn\\":\\"arn:aws:sqs:us-east-1:000000000000:DLQ\\",\\"maxReceiveCount\\":2}"')
      local dlq = assert(rig:sqs("GetQueueUrl", '{"QueueName":"DLQ"}')):match('"QueueUrl":"([^"]+)"')
      send "bad"
      rig:feed("Q", "picky", {})
      spin(function()
        rig:advance(5000)
        return count(visible, dlq) == 1
      end)
      assert.equal(2, #said "seen")
      assert.is_true(empty())
    end)

    describe("whose order counts", function()
      before_each(function()
        assert(rig:sqs("CreateQueue", '{"QueueName":"Q.fifo","Attributes":{"FifoQueue":"true"}}'))
        url = assert(rig:sqs("GetQueueUrl", '{"QueueName":"Q.fifo"}')):match('"QueueUrl":"([^"]+)"')
      end)
      local function send_to(group, body)
        assert(rig:sqs("SendMessage", ('{"QueueUrl":"%s","MessageBody":"%s","MessageGroupId":"%s","MessageDeduplicationId":"%s"}')
          :format(url, body, group, body)))
      end
      local function bodies(msg)
        local out = {}
        for i, line in ipairs(said(msg)) do out[i] = line:match '"body":"([^"]+)"' end
        return table.concat(out, " ")
      end

      it("runs a group's messages one after the other, groups side by side", function()
        for i = 1, 3 do send_to("a", "a" .. i) end
        send_to("b", "b1")
        rig:feed("Q.fifo", "slow", {})
        spin(function() return #said "ended" == 4 and empty() end)
        local events, open = {}, {}
        for _, line in ipairs(rig:lines()) do
          local what, group, n = line:match '"msg":"(%l+)".*"body":"(%l)(%d)"'
          if group then
            events[#events + 1] = what .. group
            if what == "begun" then
              assert.is_nil(open[group])
              open[group] = n
            else
              assert.equal(open[group], n)
              open[group] = nil
            end
          end
        end
        assert.same({ "beguna", "begunb" }, { events[1], events[2] })
      end)

      it("ends a group at its first failure: what follows runs after that has run again", function()
        send_to("a", "a1")
        send_to("a", "bad2")
        send_to("a", "a3")
        send_to("b", "b1")
        rig:feed("Q.fifo", "picky", {})
        spin(function() return #said "seen" >= 3 and count(hidden) == 2 end)
        assert.is_nil(bodies "seen":find "a3")
        rig:advance(60000)
        spin(function() return #said("seen", '"body":"bad2"') == 2 end)
        assert.is_nil(bodies "seen":find "a3")
        assert.equal(1, #said("seen", '"body":"a1"'))
        assert.equal(1, #said("seen", '"body":"b1"'))
      end)

      it("gives back what did not begin when it is closed", function()
        send_to("a", "a1")
        send_to("a", "a2")
        rig:feed("Q.fifo", "mixed", {})
        spin(function() return #said "begun" == 1 end)
        rig:close_feed()
        spin(function() return count(visible) == 2 end)
      end)
    end)

    it("gathers a batch over its window", function()
      queue()
      send "a"
      rig:feed("Q", "slow", { window_ms = 1000, concurrency = 1 })
      for _ = 1, 3 do rig:turn() end
      send "b"
      spin(function() return #said "begun" > 0 end)
      assert.equal(2, #said "begun")
      spin(empty)
    end)

    it("takes no more batches than its concurrency", function()
      queue()
      for i = 1, 4 do send("m" .. i) end
      rig:feed("Q", "slow", { batch_size = 1, concurrency = 2 })
      local most = 0
      spin(function()
        most = math.max(most, #said "begun" - #said "ended")
        return #said "ended" == 4
      end)
      assert.equal(2, most)
      spin(empty)
    end)

    it("waits for running messages when it stops, and takes no new ones", function()
      queue()
      send "first"
      rig:feed("Q", "slow", { concurrency = 1 })
      spin(function() return #said "begun" == 1 end)
      send "second"
      stop()
      assert.equal(1, #said "ended")
      assert.equal(1, #said "begun")
      assert.same({ 1, 0 }, { count(visible), count(hidden) })
    end)

    it("gives gathered messages back at once when it stops", function()
      queue()
      send "a"
      rig:feed("Q", "see", { window_ms = 300000 })
      spin(function() return count(hidden) == 1 end)
      stop()
      assert.same({ 1, 0, 0 }, { count(visible), count(hidden), #said "seen" })
    end)

    it("does not poll for a queue that is not there, says so once, and finds it later", function()
      rig:feed("Q", "see", {})
      spin(function() return #said "cannot receive messages" > 0 end)
      assert.is_false(rig:polling())
      queue()
      send "x"
      spin(function() return rig:polling() and #said "seen" == 1 end)
      assert.equal(1, #said "cannot receive messages")
      spin(empty)
    end)

    it("that is closed in the middle of a batch settles what ended and gives the rest back at once", function()
      queue()
      for _, body in ipairs { "quick", "slow1", "slow2" } do send(body) end
      rig:feed("Q", "mixed", {})
      spin(function() return #said "begun" == 2 and #said "seen" == 1 end)
      rig:close_feed()
      spin(function() return count(hidden) == 0 end)
      assert.equal(2, count(visible))
    end)

    it("that is closed while it gathers gives all back at once", function()
      queue()
      send "a"
      rig:feed("Q", "see", { window_ms = 300000 })
      spin(function() return count(hidden) == 1 end)
      rig:close_feed()
      spin(function() return count(hidden) == 0 end)
      assert.equal(1, count(visible))
    end)

    it("is polling as soon as the queue is found, not only when a long poll has ended", function()
      queue()
      rig:feed("Q", "see", {})
      assert.is_false(rig:polling())
      local give_up = os.time() + 10
      while not rig:polling() and os.time() < give_up do rig:turn() end
      assert.is_true(rig:polling())
    end)

    it("does nothing when it is disabled", function()
      queue()
      send "x"
      rig:feed("Q", "see", { enabled = false })
      for _ = 1, 5 do rig:turn() end
      assert.same({ 1, 0 }, { count(visible), count(hidden) })
    end)

    it("deletes again when a delete failed", function()
      queue()
      send "x"
      rig:feed("Q", "slow", { concurrency = 1 })
      spin(function() return #said "begun" == 1 end)
      spin(function()
        rig:fail_commit(1)
        return #said "messages not settled" > 0
      end)
      rig:fail_commit(0)
      spin(empty)
      assert.equal(1, #said "begun")
    end)
  end)

  describe("of the clock", function()
    local noon = 1790000000000 - 1790000000000 % 86400000 + 43200000 -- a day in 2026 at 12:00:00Z
    before_each(function() rig:freeze(noon - 90000) end)
    after_each(function()
      stop()
      rig:close()
    end)

    it("runs a cron schedule when its time has come, with EventBridge's event", function()
      rig:schedule("cron(0 12 * * ? *)", "tick", {})
      for _ = 1, 3 do rig:turn() end
      assert.equal(0, #said "tick")
      rig:advance(90000)
      spin(function() return #said "tick" == 1 end)
      local line = said("tick")[1]
      for _, part in ipairs { '"source":"aws.events"', '"detail-type":"Scheduled Event"', '"region":"us-east-1"', '"detail":{}',
        '"resources":["arn:aws:events:us-east-1:000000000000:rule/Nightly"]' } do
        assert.matches(part, line, 1, true)
      end
      assert.matches('"time":"2026%-%d%d%-%d%dT12:00:00Z"', line)
    end)

    it("runs again each time, once for what was missed", function()
      rig:schedule("rate(1 minute)", "tick", { input = '{"n":1}' })
      rig:advance(60000)
      spin(function() return #said "tick" == 1 end)
      rig:advance(600000)
      spin(function() return #said "tick" == 2 end)
      rig:advance(60000)
      spin(function() return #said "tick" == 3 end)
      assert.matches('"event":{"n":1}', said("tick")[1])
    end)

    it("skips a tick while the run before still goes", function()
      rig:schedule("rate(1 minute)", "long", {})
      rig:advance(60000)
      spin(function() return #said "tick" == 1 end)
      rig:advance(60000)
      spin(function() return #said "scheduled run skipped: the one before it still runs" == 1 end)
      assert.same({ 1, 0 }, { #said "tick", #said "tock" })
      spin(function() return #said "tock" == 1 end)
      rig:advance(60000)
      spin(function() return #said "tick" == 2 end)
    end)

    it("waits for what runs when it stops", function()
      rig:schedule("rate(1 minute)", "long", {})
      rig:advance(60000)
      spin(function() return #said "tick" == 1 end)
      stop()
      assert.equal(1, #said "tock")
    end)

    it("may be closed while something runs", function()
      rig:schedule("rate(1 minute)", "long", {})
      rig:advance(60000)
      spin(function() return #said "tick" == 1 end)
      rig:close_feed()
    end)

    it("leaves disabled schedules alone", function()
      rig:schedule("rate(1 minute)", "tick", { enabled = false })
      rig:advance(600000)
      for _ = 1, 3 do rig:turn() end
      assert.equal(0, #said "tick")
    end)
  end)

  describe("of the clock on several hosts", function()
    local minute, begin = 60000, 1700000000000 // 60000 * 60000
    local key = '{"id":{"S":"perigee#schedule#shop#Nightly"}}'
    local with = { lease = "Leases" }
    local function ticks() return #said "tick" end
    local function passed_over() return #said "scheduled run is another replica's" end
    local function item() return assert(rig:dynamodb("GetItem", '{"TableName":"Leases","ConsistentRead":true,"Key":' .. key .. "}")) end
    local function both(name, options)
      for k, v in pairs(with) do options[k] = v end
      assert.is_nil(rig:schedule("rate(1 minute)", name, options))
      assert.is_nil(rig:replica("rate(1 minute)", name, options))
    end
    before_each(function()
      assert(rig:dynamodb("CreateTable", [[{"TableName":"Leases","BillingMode":"PAY_PER_REQUEST",
        "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}]]))
      rig:freeze(begin + 20000)
      rig:debug()
    end)
    after_each(function() rig:close() end)

    it("runs each occurrence on one of them, at times that all agree on", function()
      both("tick", {})
      for n = 1, 4 do
        rig:advance(n == 1 and 40000 or minute)
        spin(function() return ticks() == n and passed_over() == n end)
      end
      assert.matches('"time":"2023-11-14T22:14:00Z"', said("tick")[1], 1, true)
      spin(function() return item():find('"running_until":{"N":"0"}', 1, true) end)
      assert.equal(4, ticks())
      assert.matches('"due":{"N":"' .. begin + 4 * minute .. '"}', item(), 1, true)
      assert.matches('"ttl":{"N":"%d+"}', item())
    end)

    it("does not repeat the run of a host that died, nor runs the next while it may still go on", function()
      assert.is_nil(rig:schedule("rate(1 minute)", "long", { lease = "Leases", timeout_ms = 90000 }))
      rig:advance(40000)
      spin(function() return ticks() == 1 end)
      rig:die()
      assert.is_nil(rig:replica("rate(1 minute)", "long", with)) -- comes when the occurrence is over already
      rig:advance(minute) -- within the dead host's Timeout
      spin(function() return passed_over() == 1 end)
      assert.equal(1, ticks())
      assert.matches('"owner":{"S":"host a"}', item(), 1, true)
      rig:advance(minute)
      spin(function() return ticks() == 2 end)
      assert.matches('"owner":{"S":"host b"}', item(), 1, true)
    end)

    it("asks again for a lease that could not be asked for", function()
      assert.is_nil(rig:schedule("rate(1 minute)", "tick", with))
      rig:fail_commit(1)
      rig:advance(40000)
      spin(function() return #said "scheduled run waits: its lease cannot be had" == 1 end)
      assert.equal(0, ticks())
      rig:fail_commit(0)
      spin(function() return ticks() == 1 end)
      assert.equal(1, #said "scheduled run waits: its lease cannot be had")
    end)

    it("gives up what could not be leased until the next is due, and never runs without", function()
      assert.is_nil(rig:schedule("rate(1 minute)", "tick", { lease = "NoSuchTable" }))
      rig:advance(40000)
      spin(function() return #said "scheduled run waits: its lease cannot be had" == 1 end)
      rig:advance(minute)
      spin(function() return #said "scheduled run given up: its lease could not be had until the next was due" == 1 end)
      assert.equal(0, ticks())
    end)

    it("takes a lease as its own whose answer was lost", function()
      assert.is_nil(rig:schedule("rate(1 minute)", "tick", with))
      assert(rig:dynamodb("PutItem", '{"TableName":"Leases","Item":{"id":{"S":"perigee#schedule#shop#Nightly"},"owner":{"S":"host a"},"due":{"N":"'
        .. begin + minute .. '"},"running_until":{"N":"' .. begin + 10 * minute .. '"}}}'))
      rig:advance(40000)
      spin(function() return ticks() == 1 end)
    end)

    it("runs what it has a lease for when it stops, and writes the end", function()
      assert.is_nil(rig:schedule("rate(1 minute)", "long", with))
      rig:advance(40000)
      spin(function() return ticks() == 1 end)
      stop()
      assert.equal(1, #said "tock")
      assert.matches('"running_until":{"N":"0"}', item(), 1, true)
    end)

    it("leaves nothing behind when it is closed in the middle", function()
      both("long", {})
      rig:advance(40000)
      spin(function() return ticks() == 1 end)
      rig:close()
    end)
  end)

  it("of the clock refuse a bad expression by the schedule's name", function()
    assert.matches("schedule Nightly: ", rig:schedule("every now and then", "tick", {}))
    rig:close()
  end)
end)
