--- The mail that tells a customer of an event, with the receipt.
local aws = require "perigee.aws"
local crypto = require "perigee.crypto"
local idempotency = require "perigee.idempotency"
local json = require "perigee.json"
local mail = require "perigee.mail"
local money = require "perigee.money"

local notice = {}

local SUBJECTS = {
  ["order.created"] = "Your order %s",
  ["payment.paid"] = "Your order %s is paid",
  ["payment.failed"] = "The payment of your order %s failed",
  ["payment.refunded"] = "Your order %s is refunded",
  ["payment.cancelled"] = "Your order %s is cancelled",
}

local function text(order, subject)
  local lines = { ("Hello%s,"):format(order.customer_name and " " .. order.customer_name or ""), "", subject .. "." }
  if order.total_price then lines[#lines + 1] = "Total: " .. money.format(order.total_price, order.currency) end
  lines[#lines + 1] = "The receipt is attached."
  local url = os.getenv "PUBLIC_URL" or ""
  if url ~= "" then lines[#lines + 1] = "Its newest form: " .. url:gsub("/+$", "") .. "/receipt/" .. order.order_id end
  lines[#lines + 1] = ""
  lines[#lines + 1] = os.getenv "BRAND"
  return table.concat(lines, "\r\n") .. "\r\n"
end

local function send(event, order, receipt)
  local sender, subject = os.getenv "SENDER_ADDRESS", SUBJECTS[event.type]:format(order.order_id)
  local message = mail.message {
    from = sender, from_name = os.getenv "BRAND", to = order.email, subject = subject, text = text(order, subject),
    headers = { ["X-Perigee-Event"] = event.id },
    attachments = { { name = "receipt-" .. order.order_id .. ".pdf", type = "application/pdf", bytes = receipt } },
  }
  return aws.ses:send_email {
    FromEmailAddress = sender,
    Destination = { ToAddresses = json.array { order.email } },
    Content = { Raw = { Data = crypto.base64(message) } },
  }
end

-- What sending takes, and writing down that it was sent: who is stopped in between sends again.
local TIME_MS = 2000

---One mail per event, when there is a sender, an address and something to say. See idempotency.once for what a crash can do.
function notice.send(event, order, receipt, context)
  if (os.getenv "SENDER_ADDRESS" or "") == "" or not order.email or not SUBJECTS[event.type] then return end
  if context:remaining() < TIME_MS then error("too little time is left to send a mail: the next delivery does") end
  local _, err = idempotency.once("mail/" .. event.id, context:remaining() + 1000, function()
    return send(event, order, receipt)
  end)
  if err then error(err) end
end

return notice
