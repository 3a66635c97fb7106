-- Whatever protects the order system is taken away, one thing at a time: chaos has to find it, and its story to name the call.
local chaos = require "perigee.chaos"
local report = require "perigee.chaos_report"
local search = require "perigee.chaos_search"
local support = require "chaos.support"

local function flows_of(declared, names)
  local list = {}
  for _, flow in ipairs(declared.flows) do
    if names[flow.name] then list[#list + 1] = flow end
  end
  return list
end

-- The first violation that is found, explained; nil when there is none.
local function found(dir, names)
  local setting = { template = dir .. "/config/template.yaml", lua_dir = dir .. "/lua", seed = 1 }
  local runner, declared = chaos.open(setting)
  local gathered = search.gather(1)
  search.run(runner, { flows = flows_of(declared, names), depth = 1, seed = 1, stop = true }, function(message)
    gathered:hear(1, message)
  end)
  local violation = gathered:list()[1]
  if violation then report.explain(runner, declared, violation) end
  runner.app:close()
  return violation
end

local OUTBOX = "lua/perigee/outbox.lua"
local SEND = [[
local function send_all(events)
  for _, event in ipairs(events or {}) do
    assert(aws.sqs:send_message { QueueUrl = variable(event.queue), MessageBody = row_of({ request_id = "r" }, event).body })
  end
end
]]
local COMMIT = [[
function outbox.commit(context, work)
  local items, rows, n = json.array {}, {}, #work
]]

-- what is taken away; where; what stands there instead; the flow that shows it; what the story must name
local PROTECTIONS = {
  { "the condition on a new order", "handlers/orders.lua", [[Item = order, ConditionExpression = "attribute_not_exists(order_id)" }]],
    "Item = order }", { payment = true }, "CreateOrder +dynamodb:TransactWriteItems Put Orders o%-1" },
  { "the outbox: events are sent after the write", OUTBOX, COMMIT, SEND .. COMMIT .. [[
  do
    local plain = json.array {}
    for i = 1, #work do plain[i] = work[i] end
    local done, failure = transact(plain, n)
    if done then send_all(work.events) end
    return done, failure
  end
]], { order = true }, "CreateOrder +dynamodb:TransactWriteItems" },
  { "the outbox: events are sent before the write", OUTBOX, COMMIT, SEND .. COMMIT .. [[
  do
    local plain = json.array {}
    for i = 1, #work do plain[i] = work[i] end
    send_all(work.events)
    return transact(plain, n)
  end
]], { order = true }, "CreateOrder +sqs:SendMessage" },
  { "the record under the Idempotency-Key", "handlers/orders.lua",
    "if key then table.insert(work, idempotency.record(key, order.request_hash, answer)) end", "", { order = true },
    "CreateOrder +dynamodb:TransactWriteItems" },
  { "the condition on a new payment", "handlers/model/payment.lua", [[ConditionExpression = "attribute_not_exists(payment_id)",]], "",
    { payment_id_again = true }, "ReceivePayment +dynamodb:TransactWriteItems Update Orders o%-1, Put Payments o%-1/p%-1" },
  { "the condition on a marker", "lua/perigee/idempotency_records.lua", [[local FREE = "attribute_not_exists(#key) OR ]],
    [[local FREE = "attribute_not_exists(#key) OR attribute_exists(#key) OR ]], { order = true }, "ses:SendEmail" },
  { "the completion of a marker", "lua/perigee/idempotency_records.lua", "done, err = complete(claim, fields)", "done = true",
    { order = true }, "dynamodb:PutItem Idempotency" },
  { "the rows of the outbox deleted once they are sent", OUTBOX, "if #requests > 0 then", "if false then", { order = true },
    "Relay +sqs:SendMessageBatch" },
  { "the marker of a mail", "handlers/model/notice.lua", [[local _, err = idempotency.once("mail/" .. event.id, context:remaining() + 1000, function()
    return send(event, order, receipt)
  end)]], "local _, err = send(event, order, receipt)", { order = true }, "ses:SendEmail" },
  { "the lease of a marker", "lua/perigee/idempotency_records.lua", "lease_until = time.now() + options.lease_ms",
    "lease_until = time.now() + 1000000000", { order = true }, "dynamodb:PutItem Idempotency" },
  { "failing messages fail", "handlers/process.lua", "return { order = order, payment = payment }",
    "return { order = function(m, c) pcall(order, m, c) end, payment = function(m, c) pcall(payment, m, c) end }", { order = true },
    "ProcessOrders +" },
  { "state and version checked by a transition", "lua/perigee/states.lua", [[ConditionExpression = "#status = :from AND #version = :version",]],
    [[ConditionExpression = "attribute_exists(#status) AND :from = :from AND :version = :version",]], { payments_at_once = true },
    "ReceivePayment +dynamodb:TransactWriteItems" },
  { "the version checked by a receipt's record", "handlers/model/receipt.lua", [[ConditionExpression = "#version = :version",]],
    [[ConditionExpression = "attribute_exists(#version) AND :version = :version",]], { payment = true }, "ProcessOrders +s3:PutObject receipts receipts/o%-1.pdf\n +%^^ this call leaves 2 seconds later" },
  { "the relay", "handlers/relay.lua", "local sent = assert(outbox.relay(context))", "local sent = 0", { order = true },
    "CreateOrder +[%w:]+" },
  { "errors of a shipping that fails", "handlers/process.lua", [[if not done and err.code ~= "ConditionalCheckFailedException" then error(err) end]],
    "if not done then context.log.warn(tostring(err)) end", { payment = true }, "ProcessPayments +dynamodb:UpdateItem Orders o%-1" },
}

describe("without", function()
  after_each(support.clean)

  for _, p in ipairs(PROTECTIONS) do
    local name, file, from, to, flows, named = table.unpack(p)
    it(name .. ", chaos finds it and tells where", function()
      local violation = found(support.project(file, from, to), flows)
      assert.is_truthy(violation, "nothing was found")
      assert.matches(named, table.concat(violation.story, "\n"))
    end)
  end

  it("anything taken away, the same flows hold", function()
    assert.is_nil(found(support.project(), { order = true }))
  end)
end)
