local support = require "handlers.support"
local testing = require "perigee.testing"

-- The events that wait, handled at the first attempt.
local function work_off(app, queue)
  app:run_queues "500ms"
  assert(app.queues:count(queue) == 0, queue .. " is not worked off")
end

-- Everything that the functions do, in one run. Raises when something does not work.
local function everything(app)
  local order = support.goods { email = "ada@example.org", order_id = "o" }
  local function expect(status, answer, what) assert(answer.status == status, what .. ": " .. answer.status .. " " .. answer.body) end
  expect(200, app:post("/orders", order, { ["Idempotency-Key"] = "k" }), "order")
  expect(200, app:post("/orders", order, { ["Idempotency-Key"] = "k" }), "replay by key")
  expect(200, app:post("/orders", order), "replay by id")
  assert(app.dynamodb:count "Outbox" == 0, "the order's event is not sent, or not cleared")
  work_off(app, "OrderEvents")
  expect(200, app:get "/orders/o", "read")
  expect(200, app:get "/orders", "list")
  expect(200, app:get "/orders?user_id=u-1", "list of a user")
  expect(200, app:get "/receipt/o", "link")
  app.s3:delete("Receipts", "receipts/o.pdf")
  expect(202, app:get "/receipt/o", "link to a missing receipt")
  assert(app.dynamodb:count "Outbox" == 0, "the request for a new receipt is not sent, or not cleared")
  work_off(app, "OrderEvents")
  expect(200, app:get "/receipt/o", "link to the new receipt")
  expect(200, support.pay(app, "o", "paid", { payment_id = "p" }), "payment")
  expect(200, support.pay(app, "o", "paid", { payment_id = "p" }), "payment again")
  assert(app.dynamodb:count "Outbox" == 0, "the payment's event is not sent, or not cleared")
  work_off(app, "PaymentEvents")
  expect(200, app:get "/receipt/o", "link to the paid receipt")
  assert(support.order(app, "o").status == "READY_FOR_SHIPPING", "not shipped")
  assert(app.mailbox:count() == 2, "mails: " .. app.mailbox:count())
  for _, queue in ipairs { "ORDER_EVENTS_QUEUE", "PAYMENT_EVENTS_QUEUE" } do
    app.dynamodb:put("Outbox", { shard = "1", event_id = testing.uuid(), queue = queue, committed_at = 0, body = "{}" })
  end
  assert(app:schedule "Relay")
  assert(app.dynamodb:count "Outbox" == 0, "the relay does not clear")
end

local function run(template)
  local app <close> = testing.app { template = template, parameters = support.SENDER }
  return pcall(everything, app)
end

describe("permissions of the template", function()
  after_each(support.clean)

  it("are enough for everything that the functions do", function()
    testing.needs "templates"
    local ok, why = run "config/template.yaml"
    assert.is_true(ok, tostring(why))
  end)

  local NOT_SEEN_HERE = {
    ["dynamodb:DeleteItem"] = true, -- releases the marker of a mail that failed
    ["aws:SecureTransport"] = true, -- no action: what the policies of the queues and the bucket ask for
  }

  -- Of records of effects: they are read only when an answer was lost, and a retry would do as well.
  local function is_reserve(text, action, start)
    local line = text:sub(1, text:find("\n", start) - 1):match "[^\n]*$"
    return action == "dynamodb:GetItem" and line:find("dynamodb:DeleteItem", 1, true)
  end

  -- With the text from `start` to `stop` of the template replaced, not everything works any more.
  local function needed(start, stop, instead, what)
    local line
    local template = support.project(function(text)
      line = select(2, text:sub(1, start):gsub("\n", "\n")) + 1
      return text:sub(1, start - 1) .. instead .. text:sub(stop + 1)
    end)
    local ok = run(template)
    assert.is_false(ok, ("config/template.yaml:%d: %s is not needed"):format(line, what))
  end

  local function template_text()
    local f <close> = assert(io.open "config/template.yaml")
    return f:read "a"
  end

  it("are not more than that: without any one of them something does not work", function()
    testing.needs("templates", "permissions")
    local text = template_text()
    local from, tried = text:find("\nResources:", 1, true), 0
    while true do
      local start, stop = text:find("%f[%w][%l%d]+:%u%a+", from)
      if not start then break end
      from = stop + 1
      local action = text:sub(start, stop)
      if not NOT_SEEN_HERE[action] and not is_reserve(text, action, start) then
        tried = tried + 1
        needed(start, stop, "dynamodb:ListTables", action)
      end
    end
    assert.is_true(tried > 20, "only " .. tried .. " actions were found")
  end)

  it("are not more than that: nor without any one of the policy templates", function()
    testing.needs("templates", "permissions")
    local text = template_text()
    local tried = 0
    for start, name, stop in text:gmatch "()(%u%a+Policy):()\n +%u%a+Name:" do
      tried = tried + 1
      needed(start, stop - 1, "SQSPollerPolicy:", name)
    end
    assert.is_true(tried > 3, "only " .. tried .. " policy templates were found")
  end)

  it("that lack sqs:SendMessage are denied, by name of action and resource", function()
    testing.needs("templates", "permissions")
    local template = support.project(function(text)
      return (text:gsub("(\n  Relay:.-)SQSSendMessagePolicy:", "%1SQSPollerPolicy:", 1))
    end)
    local app <close> = testing.app { template = template, log_level = "off" }
    app.dynamodb:put("Outbox", { shard = "1", event_id = testing.uuid(), queue = "ORDER_EVENTS_QUEUE", committed_at = 0, body = "{}" })
    local ok, err = app:schedule "Relay"
    assert.is_nil(ok)
    assert.matches("function Relay is not authorized to perform: sqs:SendMessage on resource: arn:aws:sqs:us-east-1:000000000000:OrderEvents",
      tostring(err), 1, true)
  end)
end)
