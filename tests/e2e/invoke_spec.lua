local json = require "perigee.json"
local support = require "e2e.support"

local ANSWERS = "tests/e2e/fixtures/answers/config/template.yaml"

describe("perigee invoke", function()
  local dir
  before_each(function() dir = support.tmpdir() end)
  after_each(function() support.rmdir(dir) end)

  -- The answer document, the exit code, and what was logged.
  local function invoke(args, event)
    support.write(dir .. "/event", event or "{}")
    local out, status = support.sh("%s invoke %s <%s/event 2>%s/log", support.bin, args, dir, dir)
    return out ~= "" and json.decode(out) or nil, status, support.read(dir .. "/log")
  end

  local function on_answers(args, event) return invoke(args .. " --memory --template " .. ANSWERS, event) end

  it("runs one event and prints the answer; logs go elsewhere", function()
    local answer, status, log = on_answers("Clock --event -", '{"a":[1,2]}')
    assert.equal(0, status, log)
    assert.same({ event = { a = { 1, 2 } }, greeting = "hello", only_here = "1", name = "Clock" }, answer)
    assert.matches('"msg":"event done"', log, 1, true)
  end)

  it("takes {} for the event when none is given, and the event from a file", function()
    assert.same({}, (on_answers "Clock").event)
    support.write(dir .. "/e.json", '{"b":1}')
    assert.same({ b = 1 }, (on_answers("Clock --event " .. dir .. "/e.json")).event)
  end)

  it("finds the function by its handler too, unless several have it", function()
    assert.equal("Clock", (on_answers "answers.event").name)
    local _, status, log = on_answers "answers.message"
    assert.equal(2, status)
    assert.matches("several functions have the handler answers.message: Batch, InOrder\n", log, 1, true)
  end)

  it("says what there is instead of a function that is not there", function()
    local answer, status, log = on_answers "Clokc"
    assert.same({ nil, 2 }, { answer, status })
    assert.matches("the template has no function or handler 'Clokc' (it has Echo, Answers, ", log, 1, true)
  end)

  it("ends with 1 and the error document when the function fails", function()
    local answer, status = on_answers "Spin"
    assert.equal(1, status)
    assert.matches("^Spin did not end within its Timeout of %d+ ms$", answer.errorMessage)
    assert.equal("Function.TimedOut", answer.errorType)
    local _, _, log = on_answers "Answers"
    assert.matches("the event was {}; --event gives another", log, 1, true)
    answer, status = on_answers("Clock --event -", "{")
    assert.same({ 1, "Runtime.UnmarshalError" }, { status, answer.errorType })
  end)

  it("gives a function what its policies grant, and nothing else", function()
    local answer, status = on_answers "Sender"
    assert.same({ 1, "Function.AccessDeniedException" }, { status, answer.errorType })
    assert.equal("AccessDeniedException: function Sender is not authorized to perform: sqs:SendMessage on resource: " ..
      "arn:aws:sqs:us-east-1:000000000000:Letters", answer.errorMessage)
  end)

  it("changes declared variables as --env says", function()
    local function env(text)
      support.write(dir .. "/env.json", text)
      return on_answers("Clock --env " .. dir .. "/env.json")
    end
    local answer = env '{"Parameters":{"GREETING":"all"},"Clock":{"ONLY_HERE":2},"Echo":{"GREETING":"x"}}'
    assert.same({ "all", "2" }, { answer.greeting, answer.only_here })
    assert.equal("one", env('{"Clock":{"GREETING":"one"},"Parameters":{"GREETING":"all"}}').greeting)
    for text, why in pairs {
      ['{"Clock":{"GREETNG":"x"}}'] = "Clock.GREETNG: the template declares no such variable for Clock",
      ['{"Echo":{"ONLY_HERE":"x"}}'] = "Echo.ONLY_HERE: the template declares no such variable for Echo",
      ['{"Parameters":{"NOPE":"x"}}'] = "Parameters.NOPE: the template declares no such variable",
      ['{"Clok":{}}'] = "Clok: the template has no such function",
      ['{"Clock":{"GREETING":[]}}'] = "Clock.GREETING: must be a string, not array",
      ['{"Clock":1}'] = "Clock: must be an object, not number",
      ["[]"] = "must be an object of functions",
      ["{"] = "env.json: ",
    } do
      local out, status, log = env(text)
      assert.same({ nil, 2 }, { out, status })
      assert.matches(why, log, 1, true)
    end
  end)

  it("reports the messages of a batch that failed; in a FIFO queue also those behind", function()
    local function batch(name)
      local event = support.sh("%s event sqs --template %s --function %s --message ok --message bad --message late", support.bin, ANSWERS, name)
      local answer, status = on_answers(name .. " --event -", event)
      local ids = {}
      for i, record in ipairs(json.decode(event).Records) do ids[record.messageId] = i end
      local failed = {}
      for i, item in ipairs(answer.batchItemFailures or {}) do failed[i] = ids[item.itemIdentifier] end
      return { status, failed }, answer
    end
    assert.same({ 0, { 2 } }, (batch "Batch"))
    assert.same({ 0, { 2, 3 } }, (batch "InOrder"))
    local whole, answer = batch "Whole"
    assert.equal(1, whole[1])
    assert.matches("a bad message", answer.errorMessage, 1, true)
  end)

  it("keeps its data where perigee serve has it, and says so when that runs", function()
    local data = dir .. "/data"
    local body = '{"order_id":"o-1","user_id":"u-1","item":"a book","quantity":1,"total_price":1999}'
    local function run(args, event) return invoke(args .. " --log-level off --data " .. data .. " --event -", event) end
    local created = run("CreateOrder", support.sh("%s event apigw-http --function CreateOrder --body %s", support.bin, support.quote(body)))
    assert.equal(200, created.statusCode, created.body)
    local get = support.sh("%s event apigw-http --function GetOrder --path /orders/o-1", support.bin)
    assert.equal("a book", json.decode(run("GetOrder", get).body).item)
    local server = support.start { data = data }
    assert.equal("a book", server:get("/orders/o-1").json.item)
    local answer, status, log = run("GetOrder", get)
    server:stop()
    assert.same({ nil, 2 }, { answer, status })
    assert.matches("is in use by process %d+; stop it or choose another %-%-data directory", log)
  end)

  it("runs the queues behind the event with --drain", function()
    local data = dir .. "/data"
    local body = '{"order_id":"o-1","user_id":"u-1","item":"a book","quantity":1,"total_price":1999}'
    local event = support.sh("%s event apigw-http --function CreateOrder --body %s", support.bin, support.quote(body))
    local _, status, log = invoke("CreateOrder --drain --event - --data " .. data, event)
    assert.equal(0, status, log)
    assert.matches('"msg":"message done","function":"ProcessOrders"', log, 1, true)
    local link = support.sh("%s event apigw-http --function Receipt --path /receipt/o-1", support.bin)
    assert.equal(200, invoke("Receipt --event - --data " .. data, link).statusCode)
  end)

  it("explains how it is called", function()
    local _, status, log = invoke ""
    assert.same({ 2, "usage: perigee invoke function [options]\n" }, { status, log })
    _, status, log = invoke "Clock --evnt x"
    assert.same({ 2, "perigee invoke: unknown option --evnt\n" }, { status, log })
    _, status, log = invoke "Clock --event /no/such/file"
    assert.equal(2, status)
    assert.matches("cannot open /no/such/file", log, 1, true)
  end)

  it("tells on stderr what the event and the queues behind it used with --cost", function()
    local body = json.encode { user_id = "u", item = "Book", quantity = 1, total_price = 1050 }
    local event = support.sh("%s event apigw-http --function CreateOrder --body '%s'", support.bin, body)
    local answer, status, text = invoke("CreateOrder --memory --drain --cost --log-level off --event -", event)
    assert.same({ 200, 0 }, { answer.statusCode, status }, text)
    assert.matches("\n *%d+  CreateOrder +sqs:SendMessageBatch +OrderEvents +1 SQS\n", "\n" .. text)
    assert.matches("\n *%d+  ProcessOrders +s3:PutObject +receipts +1 S3 PUT\n", text)
    assert.matches("\nfunction +runs +ms +billed ms +GB%-ms +RCU +WCU +SQS +S3 PUT +S3 GET +SES\n", text)
    -- runs, ms, billed ms, GB-ms, RCU, WCU, SQS, S3 PUT, S3 GET, SES
    local function row(name)
      local cells = {}
      for cell in text:match("\n" .. name .. " +([^\n]+)\n"):gmatch "%S+" do cells[#cells + 1] = tonumber(cell) end
      assert.equal(10, #cells)
      return cells
    end
    local create, process, total = row "CreateOrder", row "ProcessOrders", row "total"
    assert.same({ 1, 1, 2 }, { create[1], process[1], total[1] })
    assert.same({ 0, 1, 1 }, { create[8], process[8], total[8] })
    assert.is_true(create[6] > 0 and total[6] > create[6])
    assert.equal(math.ceil(create[2]), create[3])
    assert.near(create[3] * 256 / 1024, create[4], 0.001)
    for i = 1, 10 do assert.is_true(total[i] >= create[i] + process[i] - 0.02, i) end
    assert.not_matches("WCU", select(3, invoke("CreateOrder --memory --event -", event)), 1, true)
  end)
end)

describe("perigee event", function()
  local function sample(args)
    local out, status = support.sh("%s event %s 2>&1", support.bin, args)
    return status == 0 and json.decode(out) or out, status, out
  end

  it("writes the same bytes for the same words, and never the same with --now", function()
    for _, source in ipairs { "apigw-rest", "apigw-http", "apigw-http-1", "url", "alb", "sqs", "schedule", "eventbridge" } do
      local _, status, text = sample(source)
      assert.equal(0, status, text)
      assert.equal(text, select(3, sample(source)))
      if source ~= "alb" then assert.not_equal(text, select(3, sample(source .. " --now")), source) end
    end
  end)

  it("takes routes, parameters and names from the template", function()
    local http = sample "apigw-http --function GetOrder --path /orders/caf%C3%A9"
    assert.same({ "GET /orders/{id}", { id = "café" } }, { http.routeKey, http.pathParameters })
    local rest = sample "apigw-rest --function orders.get --path /orders/42"
    assert.same({ "/orders/{id}", "/orders/42", { id = "42" } }, { rest.resource, rest.path, rest.pathParameters })
    assert.equal("arn:aws:sqs:eu-west-1:123456789012:OrderEvents",
      sample("sqs --function ProcessOrders --region eu-west-1 --account 123456789012").Records[1].eventSourceARN)
    assert.same({ "arn:aws:events:us-east-1:000000000000:rule/RelayClock" }, sample("schedule --function Relay").resources)
  end)

  it("lets function URLs and load balancers send anything to a function without routes", function()
    local url = sample "url --function Relay --path /any/thing --query a=1"
    assert.same({ "/any/thing", "a=1", "$default" }, { url.rawPath, url.rawQueryString, url.routeKey })
    assert.equal("/", sample("alb --function Relay").path)
  end)

  it("writes messages, also of a FIFO queue", function()
    local records = sample([[sqs --queue q.fifo --group g --message '{"a":1}' --message two]]).Records
    assert.equal(2, #records)
    assert.same({ '{"a":1}', "g", "aws:sqs" }, { records[1].body, records[1].attributes.MessageGroupId, records[1].eventSource })
    assert.not_equal(records[1].messageId, records[2].messageId)
    assert.equal("b8a9f715dbb64fd5c56e7783c6820a61", records[2].md5OfBody)
  end)

  it("writes events of its own detail", function()
    local e = sample [[eventbridge --source shop --detail-type Paid --detail '{"order":1}']]
    assert.same({ "shop", "Paid", { order = 1 } }, { e.source, e["detail-type"], e.detail })
  end)

  it("refuses what does not go together, and names it", function()
    for args, why in pairs {
      ["sqss"] = "'sqss' is no source of events (apigw-rest, apigw-http,",
      ["sqs --path /"] = "--path does not go with sqs",
      ["apigw-http --multi-value"] = "--multi-value does not go with apigw-http",
      ["schedule --message x"] = "--message does not go with schedule",
      ["url --path orders"] = "--path: 'orders' must start with '/'",
      ["url --path '/a?b'"] = "and hold no query (--query)",
      ["url --header x"] = "--header: 'x' is not Name: value",
      ["url --header 'a b: c'"] = "--header: ",
      ["url --body x --body-file y"] = "--body and --body-file exclude each other",
      ["url --body-file /no/such"] = "--body-file: cannot open /no/such",
      ["url --function GetOrder"] = "GetOrder needs --path, for its path has parameters (it answers GET /orders/{id})",
      ["url --function GetOrder --path /x"] = "GetOrder does not answer this request (it answers GET /orders/{id})",
      ["apigw-http --function Relay"] = "Relay has no such route",
      ["url --function Nope"] = "the template has no function or handler 'Nope'",
      ["sqs --function CreateOrder"] = "CreateOrder is not fed by a queue",
      ["sqs --function ProcessOrders --queue Other"] = "ProcessOrders is not fed by queue Other",
      ["sqs --queue q --group g"] = "queue q is no FIFO queue",
      ["schedule --function GetOrder"] = "GetOrder has no schedule",
      ["eventbridge --detail '[]'"] = "--detail: must be an object, not array",
      ["eventbridge --detail '{'"] = "--detail: ",
      ["sqs --account 12"] = "--account: '12' is not 12 digits",
      [""] = "usage: perigee event source [options]",
    } do
      local out, status = sample(args)
      assert.equal(2, status, args)
      assert.matches(why, out, 1, true)
    end
  end)
end)
