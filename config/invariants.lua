--- What `perigee chaos` runs, and what must hold whatever went wrong on the way. docs/chaos.md tells the format.
local crypto = require "perigee.crypto"
local webhook = require "perigee.webhook"

local EMAIL, SECRET = "ada@example.org", "chaos"

-- ==== flows: what clients do ==========================================================================================

-- The states in which an order may rest in the end, by order_id.
local function expect(run, id, ...)
  run.expected = run.expected or {}
  run.expected[id] = { ... }
end

local function ordered(id)
  return { "an order comes in", function(_, client, run)
    expect(run, id, "PENDING_PAYMENT")
    client:post("/orders", { order_id = id, user_id = "u-1", item = "a book", quantity = 2, total_price = 1999, email = EMAIL })
  end }
end

local function payment(id, word, payment_id)
  return { method = "POST", target = "/payments",
    body = { order_id = id, status = word, payment_id = payment_id, amount = 1999, currency = "EUR" },
    headers = function(body, now_ms) return { ["Perigee-Signature"] = webhook.sign(SECRET, body, now_ms) } end }
end

local function said(id, word, payment_id, ...)
  local states = { ... }
  return { "the provider says " .. word, function(_, client, run)
    if #states > 0 then expect(run, id, table.unpack(states)) end
    local asked = payment(id, word, payment_id)
    client:post(asked.target, asked.body, asked.headers)
  end }
end

local rest = { "everything is worked off", function(app) app:drain() end }

local function linked(id)
  return { "the customer asks for the receipt", function(_, client)
    local answer = client:get("/receipt/" .. id)
    if answer.status ~= 200 then error(("the link of a receipt that is there was answered with %s"):format(answer.status), 0) end
  end }
end

local flows = {
  order = {
    { "an order comes in under a key", function(_, client)
      client:post("/orders", { user_id = "u-1", item = "a book", quantity = 2, total_price = 1999, email = EMAIL },
        { ["Idempotency-Key"] = "k-1" })
    end },
    rest,
  },
  order_own_id = {
    { "an order comes in", function(_, client, run)
      expect(run, "o-1", "PENDING_PAYMENT")
      client:post("/orders", { orderId = "o-1", customerName = "José" })
    end },
    rest,
    { "the customer looks at it", function(_, client)
      local answer = client:get "/orders/o-1"
      if answer.status ~= 200 then error(("an order that was taken was answered with %s"):format(answer.status), 0) end
    end },
  },
  payment = { ordered "o-1", said("o-1", "paid", "p-1", "READY_FOR_SHIPPING") },
  payment_patient_clients = { patient = true, ordered "o-1", said("o-1", "paid", "p-1", "READY_FOR_SHIPPING") },
  second_attempt = { ordered "o-1", said("o-1", "failed", "p-1", "PAYMENT_FAILED"), rest,
    said("o-1", "paid", "p-2", "READY_FOR_SHIPPING") },
  refund = { ordered "o-1", said("o-1", "paid", "p-1", "READY_FOR_SHIPPING"), rest, said("o-1", "refunded", "p-2", "REFUNDED") },
  payment_id_again = { ordered "o-1", said("o-1", "failed", "p-1", "PAYMENT_FAILED"), said("o-1", "paid", "p-1") },
  cancel = { ordered "o-1", said("o-1", "cancelled", "p-1", "CANCELLED") },
  receipt = {
    ordered "o-1", rest, linked "o-1",
    { "somebody deletes the receipt", function(app) app.s3:delete("Receipts", "receipts/o-1.pdf") end },
    { "the customer asks again", function(_, client) client:get "/receipt/o-1" end },
    rest, linked "o-1",
  },
  payments_at_once = {
    interleavings = 4,
    ordered "o-1", rest,
    { "paid and cancelled at the same time", function(_, client, run)
      expect(run, "o-1", "READY_FOR_SHIPPING", "CANCELLED")
      client:together { payment("o-1", "paid", "p-1"), payment("o-1", "cancelled", "p-2") }
    end },
  },
  order_twice_at_once = {
    interleavings = 4,
    { "an impatient client", function(_, client)
      local asked = { method = "POST", target = "/orders", headers = { ["Idempotency-Key"] = "k-1" },
        body = { user_id = "u-1", item = "a book", quantity = 2, total_price = 1999, email = EMAIL } }
      client:together { asked, asked }
    end },
  },
}

-- ==== what was asked for ==============================================================================================

local function is_order(answer) return answer.method == "POST" and answer.target == "/orders" end
local function is_payment(answer) return answer.method == "POST" and answer.target == "/payments" end

-- order_id -> the request it was asked for with, of all orders that were promised. What two requests with the same key or id were
-- told must be one order.
local function promised(run)
  local of_intention, orders = {}, {}
  for _, answer in ipairs(run.answers) do
    if is_order(answer) and answer.status == 200 then
      local intention = answer.body.order_id or answer.body.orderId or answer.headers["Idempotency-Key"]
      local id = answer.json.order_id
      if of_intention[intention] and of_intention[intention] ~= id then
        return nil, ("%s was asked for once and promised as %s and as %s"):format(intention, of_intention[intention], id)
      end
      of_intention[intention], orders[id] = id, answer
    end
  end
  return orders
end

local function one_order_per_intention(app, run)
  local wanted, why = promised(run)
  if not wanted then return why end
  local found = {}
  for _, order in ipairs(app.dynamodb:scan "Orders") do
    if not wanted[order.order_id] then return ("there is an order %s that nobody was promised"):format(order.order_id) end
    found[order.order_id] = true
  end
  for id in pairs(wanted) do
    if not found[id] then return ("the order %s was promised and is not there"):format(id) end
  end
end

-- ==== states ==========================================================================================================

-- Written down here a second time: what the code says is not what it is measured by.
local ALLOWED = {
  PENDING_PAYMENT = { PAID = "pay", PAYMENT_FAILED = "fail", CANCELLED = "cancel" },
  PAYMENT_FAILED = { PAID = "pay", CANCELLED = "cancel" },
  PAID = { READY_FOR_SHIPPING = "ship", REFUNDED = "refund" },
  READY_FOR_SHIPPING = { REFUNDED = "refund" },
}

local function path_of(order)
  local path = {}
  for i, entry in ipairs(order.history) do path[i] = entry.to end
  return table.concat(path, " -> ")
end

local function one_path(order)
  local state
  for i, entry in ipairs(order.history) do
    local allowed = i == 1 and entry.to == "PENDING_PAYMENT" and not entry.from
      or i > 1 and entry.from == state and (ALLOWED[state] or {})[entry.to] == entry.action
    if not allowed then return ("the history of %s is %s"):format(order.order_id, path_of(order)) end
    state = entry.to
  end
  if state ~= order.status then return ("%s is %s, its history %s"):format(order.order_id, order.status, path_of(order)) end
  if order.version ~= #order.history then
    return ("%s has version %d after %d changes"):format(order.order_id, order.version, #order.history)
  end
end

local function state_paths(app)
  for _, order in ipairs(app.dynamodb:scan "Orders") do
    local why = one_path(order)
    if why then return why end
  end
end

local function ends_as_expected(app, run)
  for _, order in ipairs(app.dynamodb:scan "Orders") do
    local expected = (run.expected or {})[order.order_id] or { "PENDING_PAYMENT" }
    local fits = false
    for _, state in ipairs(expected) do fits = fits or order.status == state end
    if not fits then return ("%s is %s, not %s"):format(order.order_id, order.status, table.concat(expected, " or ")) end
  end
end

-- ==== payments ========================================================================================================

local ACTIONS = { paid = "pay", failed = "fail", refunded = "refund", cancelled = "cancel" }

-- The first answer with 200 under a payment_id; what comes under it later is refused.
local function payments_told(run)
  local told = {}
  for _, answer in ipairs(run.answers) do
    local id = is_payment(answer) and answer.body.order_id .. "/" .. answer.body.payment_id
    if id and (not told[id] or told[id].status ~= 200) then told[id] = answer end
  end
  return told
end

-- Changes of an order's state by payments: action -> how often.
local function changes(order)
  local n = {}
  for _, entry in ipairs(order.history) do
    if entry.action ~= "create" and entry.action ~= "ship" then n[entry.action] = (n[entry.action] or 0) + 1 end
  end
  return n
end

local function payments_agree(app, run)
  local told, left = payments_told(run), {}
  for _, order in ipairs(app.dynamodb:scan "Orders") do left[order.order_id] = changes(order) end
  for _, stored in ipairs(app.dynamodb:scan "Payments") do
    local id = stored.order_id .. "/" .. stored.payment_id
    local answer, counts = told[id], left[stored.order_id]
    if not counts then return ("the payment %s is of an order that is not there"):format(id) end
    if not answer then return ("nobody sent the payment %s"):format(id) end
    if answer.status ~= 200 then return ("the payment %s is stored and was answered with %s"):format(id, answer.status) end
    if stored.action ~= ACTIONS[answer.body.status] or stored.outcome ~= answer.json.status then
      return ("the payment %s said %s and was told %s; stored is %s, %s"):format(id, answer.body.status, answer.json.status,
        stored.action, stored.outcome)
    end
    counts[stored.action] = (counts[stored.action] or 0) - 1
    told[id] = nil
  end
  for id, answer in pairs(told) do
    if answer.status == 200 then return ("the payment %s was accepted and is not stored"):format(id) end
  end
  for id, counts in pairs(left) do
    for action, n in pairs(counts) do
      if n ~= 0 then return ("the order %s has %+d '%s' beside its payments"):format(id, n, action) end
    end
  end
end

-- ==== receipts ========================================================================================================

local function receipt_of(app, order)
  local key = "receipts/" .. order.order_id .. ".pdf"
  local bytes, head = app.s3:get("Receipts", key)
  if not bytes then return ("the order %s has no receipt"):format(order.order_id) end
  if head.Metadata["order-version"] ~= tostring(order.version) then
    return ("the receipt shows version %s of the order %s, which is at %d (%s)"):format(head.Metadata["order-version"],
      order.order_id, order.version, order.status)
  end
  if not order.receipt or order.receipt.version ~= order.version or order.receipt.sha256 ~= crypto.sha256(bytes) then
    return ("the order %s does not know its receipt"):format(order.order_id)
  end
end

local function one_receipt(app)
  local orders = app.dynamodb:scan "Orders"
  for _, order in ipairs(orders) do
    local why = receipt_of(app, order)
    if why then return why end
  end
  local n = #app.s3:keys "Receipts"
  if n ~= #orders then return ("there are %d receipts of %d orders"):format(n, #orders) end
end

-- ==== mails ===========================================================================================================

local SUBJECTS = { create = "Your order %s", pay = "Your order %s is paid", fail = "The payment of your order %s failed",
  refund = "Your order %s is refunded", cancel = "Your order %s is cancelled" }

-- subject -> how many mails there must be
local function mails_due(app)
  local due = {}
  for _, order in ipairs(app.dynamodb:scan "Orders") do
    for _, entry in ipairs(order.email and order.history or {}) do
      local subject = (SUBJECTS[entry.action] or ""):format(order.order_id)
      if subject ~= "" then due[subject] = (due[subject] or 0) + 1 end
    end
  end
  return due
end

local DOUBLED = "a mail may come twice"

local function one_mail_per_event(app, run)
  local due, copies, of_subject = mails_due(app), {}, {}
  for _, mail in ipairs(app.mailbox:all()) do
    local event = mail.Raw:match "X%-Perigee%-Event: ([^\r\n]+)" or "?"
    if not copies[event] then of_subject[mail.Subject] = (of_subject[mail.Subject] or 0) + 1 end
    copies[event] = (copies[event] or 0) + 1
  end
  for subject, n in pairs(of_subject) do
    if n ~= (due[subject] or 0) then return ("'%s' was sent for %d events, not %d"):format(subject, n, due[subject] or 0) end
  end
  for subject, n in pairs(due) do
    if not of_subject[subject] then return ("'%s' was not sent (%d due)"):format(subject, n) end
  end
  for event, n in pairs(copies) do
    if n > 1 and not run:tolerate(DOUBLED, n - 1) then return ("the mail of event %s was sent %d times"):format(event, n) end
  end
end

-- ==== what is left ====================================================================================================

local function empty_outbox(app)
  local n = #app.dynamodb:scan "Outbox"
  if n > 0 then return ("%d events are still in the outbox"):format(n) end
end

local function empty_queues(app)
  for _, queue in ipairs(app.host:queues()) do
    local n = app.queues:count(queue.queue)
    if n > 0 then return ("%d messages are still in %s"):format(n, queue.queue) end
  end
end

local function no_dead_letters(app)
  for _, queue in ipairs(app.host:queues()) do
    local n = queue.dead_letters and app.queues:count(queue.dead_letters) or 0
    if n > 0 then return ("%d messages ended in %s"):format(n, queue.dead_letters) end
  end
end

local function no_open_marker(app)
  for _, record in ipairs(app.dynamodb:scan "Idempotency") do
    if record.phase and record.phase ~= "done" then return ("%s is marked as %s"):format(record.key, record.phase) end
  end
end

local function same_answers(_, run)
  for _, again in ipairs(run.repetitions) do
    if again.status ~= 200 or again.raw ~= again.of.raw then
      return ("%s %s was answered with %s, and when it came again with %d %s"):format(again.method, again.target, again.of.raw,
        again.status or 0, again.raw or "")
    end
  end
end

return {
  parameters = { SenderAddress = "shop@example.org", PaymentsSecret = SECRET },
  flows = flows,
  -- What was answered with 200 comes once more when everything is over: it must change nothing.
  afterwards = function(_, client) client:repeat_all() end,
  invariants = {
    { name = "one order per intention", check = one_order_per_intention },
    { name = "one state path", check = state_paths },
    { name = "the order ends in its state", check = ends_as_expected },
    { name = "payments and order agree", check = payments_agree },
    { name = "one receipt that shows the order", check = one_receipt },
    { name = "one mail per event", check = one_mail_per_event },
    { name = "the outbox is empty", check = empty_outbox },
    { name = "the queues are empty", check = empty_queues },
    { name = "nothing in the dead-letter queues", check = no_dead_letters },
    { name = "no effect is left half done", check = no_open_marker },
    { name = "the same answer at each repetition", check = same_answers },
  },
  tolerated = {
    { name = DOUBLED, effect = "ses:SendEmail", marker = "dynamodb:UpdateItem", resource = "Idempotency",
      reason = "SES has no idempotent send: between a mail that it accepted and the marker that says so nobody can tell "
        .. "whether it was sent, and a receipt that comes twice is better than none (lua/perigee/idempotency.lua)" },
  },
}
