-- Renders RENDERS receipts one after the other; prints {"per_s":..,"bytes":..}.
local receipt = require "perigee.receipt"
local time = require "perigee.time"

local n = tonumber(os.getenv "RENDERS" or "200")
local function order(i)
  return {
    order_id = ("0193a5b2-0000-7000-8000-%012d"):format(i),
    status = "PAID",
    created_at = "2026-11-22T04:55:46.123Z",
    customer_name = "José Ñandú 李雷",
    currency = "EUR",
    total_price = 38970 + i,
    lines = {
      { description = "Espresso machine, chrome", quantity = 3, unit_price = 12990 },
      { description = "Rounding", quantity = 1, unit_price = i },
    },
  }
end

assert(receipt.render(order(0), { brand = "Perigee" })) -- fonts are read once
local bytes, from = 0, time.monotonic()
for i = 1, n do bytes = bytes + #assert(receipt.render(order(i), { brand = "Perigee" })) end
local ms = math.max(1, time.monotonic() - from)
print(('{"per_s":%.1f,"bytes":%.0f}'):format(n * 1000 / ms, bytes / n))
