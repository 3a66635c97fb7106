--- `perigee dlq` and `perigee idempotency` on the three kinds of store: a data directory, a server's cloud port, and AWS (another
--- `perigee cloud`, called with --aws).
local json = require "perigee.json"
local support = require "e2e.support"

-- arg: the data directory, and how many order events die. Odd ones are of type "order.created", even ones of "receipt.missing".
local SEED = [[
local host = require "perigee.host"
local json = require "perigee.json"
local dynamodb = require "perigee.dynamodb"
local time = require "perigee.time"
local h = assert(host.open { template = "config/template.yaml", data = arg[1] })
local function sqs(action, params) return assert(h:aws("sqs", action, params)) end
local function url(name) return sqs("GetQueueUrl", { QueueName = name }).QueueUrl end

local function bury(from, n)
  for _ = 1, n do
    for _, m in ipairs(sqs("ReceiveMessage", { QueueUrl = from, MaxNumberOfMessages = 10, WaitTimeSeconds = 0 }).Messages or {}) do
      sqs("ChangeMessageVisibility", { QueueUrl = from, ReceiptHandle = m.ReceiptHandle, VisibilityTimeout = 0 })
    end
  end
end
local n = tonumber(arg[2])
for i = 1, n do
  sqs("SendMessage", { QueueUrl = url "OrderEvents",
    MessageBody = json.encode { id = "e" .. i, type = i % 2 == 1 and "order.created" or "receipt.missing", correlation_id = "c" .. i,
      data = { order_id = "o" .. i } },
    MessageAttributes = { kind = { DataType = "String", StringValue = "k" .. i }, bin = { DataType = "Binary", BinaryValue = "AAH/" } } })
end
if n > 0 then bury(url "OrderEvents", 6 * ((n + 9) // 10)) end

local function arn(name) return "arn:aws:sqs:us-east-1:000000000000:" .. name end
local function policy(name, count) return json.encode { deadLetterTargetArn = arn(name), maxReceiveCount = count } end
sqs("CreateQueue", { QueueName = "dead.fifo", Attributes = { FifoQueue = "true" } })
sqs("CreateQueue", { QueueName = "work.fifo", Attributes = { FifoQueue = "true", RedrivePolicy = policy("dead.fifo", 1) } })
for i = 1, 3 do
  sqs("SendMessage", { QueueUrl = url "work.fifo", MessageBody = "f" .. i, MessageGroupId = "g", MessageDeduplicationId = "d" .. i })
end
bury(url "work.fifo", 2)
sqs("CreateQueue", { QueueName = "deeper" })
sqs("CreateQueue", { QueueName = "deep", Attributes = { RedrivePolicy = policy("deeper", 1) } })
sqs("SendMessage", { QueueUrl = url "deep", MessageBody = "x" })

local now = time.now()
local function record(item)
  item.created_at = item.created_at or time.iso(now - 90000)
  assert(h:aws("dynamodb", "PutItem", { TableName = "Idempotency", Item = dynamodb.marshal_item(item) }))
end
local s = now // 1000
record { key = "orders/a", request_hash = ("ab"):rep(32), answer = "{}", expires_at = s + 3600 }
record { key = "pay/done", phase = "done", holder = "h-1", request_hash = "ff", answer_status = 201, answer = "xyz", answer_bytes = 3, expires_at = s + 60 }
record { key = "pay/running", phase = "running", holder = "h-2", lease_until = now + 600000, expires_at = s + 3600 }
record { key = "pay/lapsed", phase = "running", holder = "h-3", lease_until = now - 1000, expires_at = s + 3600 }
record { key = "pay/held", phase = "running", holder = "h-4", lease_until = now - 1000, held = true }
record { key = "pay/expired", phase = "done", holder = "h-5", expires_at = s - 30 }
record { key = "pay/large", phase = "done", answer_status = 200, answer_bytes = 500000, omitted = "too large", expires_at = s + 60 }
for i, item in ipairs { { due = now }, { answer = 5 }, { phase = "done", expires_at = "2026-01-01" }, { phase = 1 },
  { phase = "running", lease_until = "soon" }, { phase = "done", answer = { 1 } }, { phase = "done", expires_at = 10 ^ 15 // 1 | 0 } } do
  item.key = i == 1 and "schedule/Relay" or "others/" .. i
  assert(h:aws("dynamodb", "PutItem", { TableName = "Idempotency", Item = dynamodb.marshal_item(item) }))
end
h:close()
]]

describe("an operator's command", function()
  local dir, server, made

  local function seeded(n)
    made = made + 1
    local data = ("%s/data%d"):format(dir, made)
    support.write(dir .. "/seed.lua", SEED)
    local out, status = support.sh("%s run %s/seed.lua %s %d 2>&1", support.bin, dir, data, n)
    assert.equal(0, status, out)
    return data
  end

  -- Each opens a store with n dead order events: the options that lead a command to it.
  local KINDS = {}
  function KINDS.directory(n) return "--data " .. seeded(n) end
  function KINDS.server(n)
    server = support.cloud { data = seeded(n), args = "--control" }
    return "--endpoint-url " .. server.cloud
  end
  function KINDS.aws(n)
    return ("--aws --region us-east-1 --access-key-id perigee --secret-access-key perigee %s"):format(KINDS.server(n))
  end

  before_each(function() dir, made = support.tmpdir(), 0 end)
  after_each(function()
    if server then server:stop() end
    server = nil
    support.rmdir(dir)
  end)

  -- The output, the exit code and what was said on stderr.
  local function perigee(at, fmt, ...)
    local out, status = support.sh("%s %s %s 2>%s/err </dev/null", support.bin, fmt:format(...), at, dir)
    return out, status, support.read(dir .. "/err")
  end

  local function ask(at, ...)
    local out, status, err = perigee(at .. " --json", ...)
    assert.equal("", err)
    return json.decode(out), status
  end

  local function messages(at)
    local row = ask(at, "dlq ls")[1]
    assert.equal("OrderEventsDLQ", row.queue)
    return row.messages + row.in_flight
  end

  -- Bodies of what is in a queue, sorted; they stay there.
  local function ids(at, queue, field)
    local template = queue == "OrderEventsDLQ"
    local url = (server and server.cloud or "http://127.0.0.1:4566") .. "/000000000000/" .. queue
    local list = ask(at, "dlq show %s --limit 100 --force", template and queue or "--queue-url " .. url)
    local out = {}
    for i, m in ipairs(list) do out[i] = type(m.body) == "table" and m.body[field or "id"] or m.body end
    table.sort(out)
    return out
  end

  for kind, open in pairs(KINDS) do
    describe("on the store " .. kind, function()
      it("lists dead-letter queues, shows what is in them, and leaves it there", function()
        local at = open(3)
        local list = ask(at, "dlq ls")
        assert.equal(2, #list)
        assert.same({ "OrderEventsDLQ", 3, 0, { "OrderEvents" } },
          { list[1].queue, list[1].messages, list[1].in_flight, { list[1].sources[1] } })
        assert.is_true(list[1].oldest_ms >= 0)
        assert.is_nil(list[2].oldest_ms)
        local shown = ask(at, "dlq show OrderEvents --limit 2")
        assert.equal(2, #shown)
        local all = ask(at, "dlq show OrderEventsDLQ")
        assert.equal(3, #all)
        table.sort(all, function(a, b) return a.body.id < b.body.id end)
        local m = all[1]
        assert.same({ "order.created", "c1", "OrderEvents", { kind = "k1" } }, { m.body.type, m.correlation_id, m.source, { kind = m.attributes.kind } })
        assert.is_true(m.receive_count > 5)
        assert.equal(3, ask(at, "dlq ls")[1].messages)
        local text = perigee(at, "dlq show OrderEvents")
        assert.matches("correlation id  c1", text)
        assert.matches("3 of 3 messages", text)
        assert.matches("OrderEventsDLQ +3 +0 +%d+s +OrderEvents\n", (perigee(at, "dlq ls")))
      end)

      it("moves dead letters back: those that match, so many, or all", function()
        local at = open(12)
        local would = ask(at, "dlq redrive OrderEvents --dry-run --filter type=order.created")
        assert.equal(6, #would.would_move)
        assert.equal("OrderEvents", would.would_move[1].to)
        assert.equal(12, messages(at))
        assert.same({ moved = 1, queue = "OrderEventsDLQ", unmatched = 11 }, ask(at, "dlq redrive OrderEvents --filter data.order_id=o4"))
        assert.equal(2, ask(at, "dlq redrive OrderEvents --filter 'id~^e[15]$' --filter type=nothing").unmatched - 9)
        assert.equal(1, ask(at, "dlq redrive OrderEvents --filter type~^order --limit 1").moved)
        assert.equal(1, ask(at, "dlq redrive OrderEvents --filter @kind=k2").moved)
        assert.equal(9, messages(at))
        assert.matches("9 messages of OrderEventsDLQ moved\n", (perigee(at, "dlq redrive OrderEventsDLQ")))
        assert.equal(0, messages(at))
        assert.matches("0 messages of OrderEventsDLQ moved\n", (perigee(at, "dlq redrive OrderEventsDLQ")))
      end)

      it("finds records of requests, by key and by prefix, and evicts them", function()
        local at = open(0)
        local list, states = ask(at, "idempotency find pay/"), {}
        for _, r in ipairs(list) do
          if r.key == "pay/expired" then -- unless the table has deleted it already
            assert.equal("expired", r.state)
          else
            states[#states + 1] = r.key .. " " .. r.state
          end
        end
        assert.same({ "pay/done done", "pay/held held", "pay/lapsed lapsed", "pay/large done", "pay/running running" }, states)
        local one = ask(at, "idempotency find orders/a")[1]
        assert.same({ "done", 200, 2, ("ab"):rep(32) }, { one.state, one.status, one.bytes, one.request_hash })
        local text = perigee(at, "idempotency find pay/done")
        assert.matches("pay/done  done   1m 3%ds  %d+s +h%-1 +ff +201, 3 bytes", text)
        assert.matches("held: its process died", (perigee(at, "idempotency find pay/held")))
        local _, status, err = perigee(at, "idempotency evict pay/held")
        assert.same({ 1, true }, { status, err:find "nothing was evicted" ~= nil })
        assert.same({ evicted = "pay/held", state = "held" }, ask(at, "idempotency evict pay/held --yes"))
        _, status, err = perigee(at, "idempotency find pay/held")
        assert.same({ 1, true }, { status, err:find "no record of Idempotency has the key pay/held" ~= nil })
        _, status, err = perigee(at, "idempotency evict pay/running --yes")
        assert.same({ 1, true }, { status, err:find "running, its lease ends in 9m" ~= nil })
        assert.equal("running", ask(at, "idempotency evict pay/running --yes --force").state)
        _, status, err = perigee(at, "idempotency evict schedule/Relay --yes --force")
        assert.same({ 1, true }, { status, err:find "is no record" ~= nil })
        local others = ask(at, "idempotency find others/")
        assert.equal(6, #others)
        for _, r in ipairs(others) do assert.equal("other", r.state, r.key) end
        assert.matches("others/2  other  %-    %-        %-       %-     %-\n", (perigee(at, "idempotency find others/")))
        assert.equal(1, #ask(at, "idempotency find pay/ --limit 1"))
        assert.equal(2, #ask(at, "idempotency find pay/la --table Idempotency"))
      end)
    end)
  end

  it("keeps the order of FIFO queues, and moves a second time what has just been moved", function()
    local at = KINDS.server(0)
    local dead = server.cloud .. "/000000000000/dead.fifo"
    assert.same({ "f1", "f2", "f3" }, ids(at, "dead.fifo"))
    assert.same({ queue = "dead.fifo", moved = 3, unmatched = 0 }, ask(at, "dlq redrive --queue-url %s", dead))
    assert.same({}, ids(at, "dead.fifo"))
    assert.same({ "f1", "f2", "f3" }, ids(at, "work.fifo"))
    assert.same({}, ids(at, "work.fifo"), "they are received too often again")
    assert.equal(3, ask(at, "dlq redrive --queue-url %s", dead).moved)
  end)

  it("moves to another queue when it is told so", function()
    local at = KINDS.server(2)
    assert.equal(2, ask(at, "dlq redrive OrderEvents --to PaymentEventsDLQ").moved)
    local moved = ask(at, "dlq show PaymentEventsDLQ")
    assert.equal(2, #moved)
    assert.equal("Binary, base64 AAH/", moved[1].attributes.bin)
    assert.matches("^k%d$", moved[1].attributes.kind)
    local _, status, err = perigee(at, "dlq redrive PaymentEvents --to nowhere")
    assert.equal(1, status)
    assert.matches("sqs:GetQueueUrl", err)
    assert.equal(1, select(2, perigee(at, "dlq redrive PaymentEvents --dry-run --to nowhere")))
    for _, to in ipairs { "PaymentEventsDLQ", server.cloud .. "/000000000000/PaymentEventsDLQ" } do
      _, status, err = perigee(at, "dlq redrive PaymentEvents --to %s", to)
      assert.equal(1, status)
      assert.matches("that is where they are", err)
    end
    assert.equal(2, ask(at, "dlq ls")[2].messages)
  end)

  it("does not look into queues where receives count, unless it must", function()
    local at = KINDS.server(0)
    local _, status, err = perigee(at, "dlq show --queue-url %s/000000000000/deep", server.cloud)
    assert.equal(1, status)
    assert.matches("RedrivePolicy of its own", err)
    assert.equal(1, #ask(at, "dlq show --force --queue-url %s/000000000000/deep", server.cloud))
  end)

  it("doubles, but does not lose, what cannot be deleted", function()
    local at = KINDS.server(2)
    server:request("PUT", "", { url = server.cloud .. "/_perigee/cloud/faults",
      body = { seed = 1, faults = { { match = "sqs:DeleteMessage", error = "AccessDeniedException" } } } })
    local out, status, err = perigee(at, "dlq redrive OrderEvents")
    assert.equal(1, status)
    assert.matches("1 message of OrderEventsDLQ moved", out)
    assert.matches("not deleted here, so it is in both", err)
    server:request("PUT", "", { url = server.cloud .. "/_perigee/cloud/faults", body = { faults = {} } })
    assert.same({ "e1", "e2" }, ids(at, "OrderEventsDLQ"))
    assert.equal(1, #ids(at, "OrderEvents"))
  end)

  -- What is in the two queues together, each once.
  local function all_ids(at)
    local found = {}
    for _, queue in ipairs { "OrderEventsDLQ", "OrderEvents" } do
      for _, id in ipairs(ids(at, queue)) do found[#found + 1] = id end
    end
    table.sort(found)
    return found
  end

  local function stopped(signal)
    local at = KINDS.server(4)
    support.sh("{ %s dlq redrive OrderEvents --rate 2 %s >%s/out 2>&1 & echo $! >%s/pid; wait $!; echo $? >%s/code; } >/dev/null 2>&1 &",
      support.bin, at, dir, dir, dir)
    support.eventually(20, "the first move", function() return #ids(at, "OrderEvents") > 0 end)
    support.sh("kill -%s %d", signal, tonumber((support.read(dir .. "/pid"))))
    local code = support.eventually(20, "its end", function()
      local f = io.open(dir .. "/code")
      local text = f and f:read "a"
      if f then f:close() end
      return text and text:match "%d+"
    end)
    return at, tonumber(code)
  end

  it("stops at Ctrl-C with everything in one place, visible", function()
    local at, code = stopped "INT"
    assert.equal(130, code)
    assert.matches("interrupted: the rest is where it was", support.read(dir .. "/out"))
    assert.same({ "e1", "e2", "e3", "e4" }, all_ids(at))
  end)

  it("loses nothing when it is killed", function()
    local at = stopped "KILL"
    local row = ask(at, "dlq ls")[1]
    assert.is_true(row.messages + row.in_flight + #ids(at, "OrderEvents") >= 4)
  end)

  it("goes to the server that has the directory, whatever its port", function()
    server = support.start { args = "" }
    local list = ask("--data " .. server.data, "dlq ls")
    assert.equal("OrderEventsDLQ", list[1].queue)
    assert.same(list, ask("--endpoint-url " .. server.cloud, "dlq ls"))
  end)

  it("says that the process which has the directory cannot be asked", function()
    server = support.start { args = "--access-key-id other --secret-access-key keys" }
    local _, status, err = perigee("--data " .. server.data, "dlq ls")
    assert.equal(1, status)
    assert.matches("is in use by process %d+", err)
    assert.matches("it was asked at " .. server.cloud:gsub("%p", "%%%0"), err)
  end)

  it("says why a message died, when that was recorded", function()
    server = support.start { args = "--development --control --no-verify --workers 1" }
    local function sqs(action, params)
      return server:request("POST", "", { url = server.cloud .. "/", body = params,
        headers = { ["X-Amz-Target"] = "AmazonSQS." .. action, ["Content-Type"] = "application/x-amz-json-1.0" } }).json
    end
    sqs("SendMessage", { QueueUrl = server.cloud .. "/000000000000/OrderEvents", MessageBody = '{"type":"order.created"}' })
    local at = ("--data %s --endpoint-url %s"):format(server.data, server.cloud)
    local row = support.eventually(60, "a dead letter", function()
      server:request("POST", "", { url = server.cloud .. "/_perigee/cloud/clock", body = { advance_ms = 120000 } })
      local first = ask(at, "dlq ls")[1]
      return first.messages == 1 and first
    end)
    assert.matches("data is required", row.last_error)
    local shown = ask(at, "dlq show OrderEvents")[1]
    assert.equal(row.last_error, shown.last_error)
    assert.matches("perigee log show " .. shown.recording:sub(1, 8), (perigee(at, "dlq show OrderEvents")))
  end)

  it("says what is wrong with how it is used", function()
    local store = seeded(0)
    for command, pattern in pairs {
      ["dlq"] = "ls, show QUEUE or redrive QUEUE", ["dlq purge x"] = "'purge' is not ls, show or redrive",
      ["dlq show"] = "which queue", ["dlq ls --dry-run"] = "%-%-dry%-run goes with redrive",
      ["dlq ls --limit 5"] = "%-%-limit goes with show and redrive", ["dlq ls --force"] = "%-%-force goes with show and redrive",
      ["idempotency find k --yes"] = "%-%-yes goes with evict", ["idempotency find k --force"] = "%-%-force goes with evict",
      ["idempotency evict k --limit 5"] = "%-%-limit goes with find", ["idempotency find '\xff'"] = "the key is not UTF%-8", ["dlq redrive x --filter type"] = "is not MEMBER=VALUE",
      ["dlq redrive x --filter 'type~['"] = "no Lua pattern", ["dlq ls x"] = "unexpected argument 'x'",
      ["idempotency"] = "find KEY or evict KEY", ["idempotency find"] = "which key", ["idempotency find a b"] = "unexpected argument 'b'",
    } do
      local _, status, err = perigee("--data " .. store, command)
      assert.equal(2, status, command .. ": " .. err)
      assert.matches(pattern, err)
    end
    for command, pattern in pairs { ["dlq show Orders"] = "no dead%-letter queue Orders; the template has OrderEventsDLQ, PaymentEventsDLQ",
      ["dlq ls --template nowhere.yaml"] = "nowhere.yaml", ["dlq ls --data " .. dir .. "/none"] = "there is no data directory",
      ["dlq ls --data " .. dir] = "there is no data directory", ["dlq ls --data ''"] = "there is no data directory",
      ["dlq ls --endpoint-url http://127.0.0.1:1"] = "http://127.0.0.1:1" } do
      local _, status, err = perigee(command:find "%-%-data" and "" or command:find "endpoint" and "" or "--data " .. store, command)
      assert.equal(1, status, command)
      assert.matches(pattern, err)
    end
    assert.is_nil(io.open(dir .. "/store.db"))
  end)

  it("tells what it could not look at from what is empty", function()
    local out, status, err = perigee("--aws --region us-east-1 --access-key-id a --secret-access-key b --endpoint-url http://127.0.0.1:1",
      "dlq ls --json")
    assert.equal(1, status)
    assert.matches("2 of 2 queues could not be looked at", err)
    local row = json.decode(out)[1]
    assert.is_nil(row.messages)
    assert.matches("cannot connect", row.error)
  end)
end)
