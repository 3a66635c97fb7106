--- The receipt of an order as a PDF: what is on the page and where. `perigee.pdf` draws it.
---
---   local bytes, err = receipt.render(order, { brand = "Perigee" })
---
--- order: order_id, status, created_at, customer_name or user_id, email, currency, total_price (integer, minor units),
--- lines { description, quantity, unit_price } or item and quantity, history. Only order_id must be there. The same order and
--- options give the same bytes: nothing else is read, no clock either.
local money = require "perigee.money"
local pdf = require "perigee.pdf"

local receipt = {}

-- ==== measures and looks ====================================================================================================

local PAGE = { width = 595.276, height = 841.890 } -- A4
local MARGIN = 54
local LEFT, RIGHT = MARGIN, PAGE.width - MARGIN
local WIDTH = RIGHT - LEFT
local BOTTOM = PAGE.height - 84 -- of the last row; the footer is below
local CAP = 0.36 -- half the height of capitals, of the size: centres a line in its box
local GAP = 14 -- between columns

local INK, MUTED, HAIR, BAND, WHITE = 0x111827, 0x6b7280, 0xe3e6ea, 0xf3f4f6, 0xffffff
local ACCENT = 0x4f46e5

local TRUETYPE = "/usr/share/fonts/truetype/"
local FONTS = {
  regular = { "liberation2/LiberationSans-Regular.ttf", "liberation/LiberationSans-Regular.ttf", "dejavu/DejaVuSans.ttf" },
  bold = { "liberation2/LiberationSans-Bold.ttf", "liberation/LiberationSans-Bold.ttf", "dejavu/DejaVuSans-Bold.ttf" },
  fallback = { "droid/DroidSansFallbackFull.ttf", "../../fonts-droid-fallback/truetype/DroidSansFallback.ttf",
    "wqy/wqy-microhei.ttc", "dejavu/DejaVuSans.ttf", "liberation2/LiberationSans-Regular.ttf" },
}

-- What each state says. paid: the money was received (and is a receipt then, not a summary).
local STATES = {
  PENDING_PAYMENT = { mark = "PAYMENT PENDING", color = 0xb45309, tint = 0xfef3c7, verb = "due" },
  PAYMENT_FAILED = { mark = "PAYMENT FAILED", color = 0xb91c1c, tint = 0xfee2e2, verb = "due" },
  PAID = { mark = "PAID", color = 0x15803d, tint = 0xdcfce7, verb = "paid", paid = true },
  READY_FOR_SHIPPING = { mark = "PAID", color = 0x15803d, tint = 0xdcfce7, verb = "paid", paid = true },
  REFUNDED = { mark = "REFUNDED", color = 0x6d28d9, tint = 0xede9fe, verb = "refunded", paid = true },
  CANCELLED = { mark = "CANCELLED", color = 0x4b5563, tint = 0xe5e7eb, verb = "cancelled" },
}

-- ==== values ================================================================================================================

-- An exact integer as digits: Lua integers, integral floats, decimal strings. nil for what is none of these.
local function digits_of(value)
  if type(value) == "string" then return value:match "^%-?%d+$" end
  local integer = math.tointeger(value)
  return integer and ("%d"):format(integer)
end

local function grouped(digits)
  local head = #digits % 3
  local out = digits:sub(head + 1):gsub("(%d%d%d)", ",%1")
  return head > 0 and digits:sub(1, head) .. out or out:sub(2)
end

---"1,234.56", exact for every int64. currency: ISO 4217, for its number of decimals (2 when unknown).
---@param amount integer|string in minor units
---@param currency string?
---@return string
function receipt.figure(amount, currency)
  local digits = digits_of(amount) or error("amount: '" .. tostring(amount) .. "' is not an integer", 2)
  local exponent, sign = currency and money.exponent(currency) or 2, ""
  if digits:sub(1, 1) == "-" then sign, digits = "-", digits:sub(2) end
  digits = digits:gsub("^0+", "")
  digits = ("0"):rep(exponent + 1 - #digits) .. digits
  local whole, part = digits:sub(1, #digits - exponent), digits:sub(#digits - exponent + 1)
  return sign .. grouped(whole) .. (exponent > 0 and "." .. part or "")
end

---"EUR 1,234.56"
---@param amount integer|string in minor units
---@param currency string?
---@return string
function receipt.amount(amount, currency)
  local figure = receipt.figure(amount, currency)
  return currency and currency .. " " .. figure or figure
end

local MONTHS = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
  "December" }

-- Days since 1970-01-01 of a civil date (proleptic Gregorian).
local function days(y, m, d)
  if m <= 2 then y = y - 1 end
  local era = y // 400
  local yoe = y - era * 400
  local doy = (153 * (m + (m > 2 and -3 or 9)) + 2) // 5 + d - 1
  return era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468
end

-- "22 November 2026" and Unix ms of an ISO 8601 time in UTC, as this system writes them. nil for other texts.
local function moment(iso)
  local y, m, d, h, min, s = tostring(iso or ""):match "^(%d%d%d%d)%-(%d%d)%-(%d%d)T?(%d*):?(%d*):?(%d*)"
  if not y then return nil, 0 end
  y, m, d = math.tointeger(y), math.tointeger(m), math.tointeger(d)
  if not MONTHS[m] then return nil, 0 end
  local seconds = (math.tointeger(h) or 0) * 3600 + (math.tointeger(min) or 0) * 60 + (math.tointeger(s) or 0)
  return ("%d %s %d"):format(d, MONTHS[m], y), math.max(0, (days(y, m, d) * 86400 + seconds) * 1000)
end

-- One line of valid UTF-8: what is none becomes U+FFFD, breaks and controls a space.
local function clean(value)
  local text, from = tostring(value or ""), 1
  local out = {}
  while true do
    local _, bad = utf8.len(text, from)
    out[#out + 1] = text:sub(from, (bad or #text + 1) - 1)
    if not bad then break end
    out[#out + 1], from = "\u{FFFD}", bad + 1
  end
  return (table.concat(out):gsub("[%c%s]+", " "):gsub("^ ", ""):gsub(" $", ""))
end

local function present(value)
  local text = clean(value)
  return text ~= "" and text or nil
end

-- When the order last came into one of these states; nil when its history does not tell.
local function since(order, states)
  local at
  for _, entry in ipairs(order.history or {}) do
    if states[entry.to] then at = entry.at end
  end
  return at
end

-- The rows of the table: { text, quantity, unit, amount }, as shown.
local function rows_of(order)
  local currency, rows = order.currency, {}
  for i, line in ipairs(order.lines or {}) do
    local quantity, price = math.tointeger(line.quantity), math.tointeger(line.unit_price)
    local sum = quantity and price and money.multiply(quantity, price)
    if not sum then error(("lines[%d]: quantity and unit_price are no integers whose product fits 64 bits"):format(i), 0) end
    rows[i] = { text = clean(line.description), quantity = grouped(digits_of(quantity)),
      unit = receipt.figure(price, currency), amount = receipt.figure(sum, currency) }
  end
  if #rows > 0 then return rows end
  local total, quantity = math.tointeger(order.total_price), math.tointeger(order.quantity)
  local unit = total and quantity and quantity > 0 and total % quantity == 0 and total // quantity
  return { { text = present(order.item) or "Order", quantity = quantity and grouped(digits_of(quantity)) or "1",
    unit = unit and receipt.figure(unit, currency) or "", amount = total and receipt.figure(total, currency) or "" } }
end

-- ==== drawing ===============================================================================================================

local Sheet = {}
Sheet.__index = Sheet

function Sheet:text(x, y, text, options)
  if text ~= "" then self.doc:text(x, y, text, options) end
end

-- The largest size from `size` down to `least` in which the text fits.
function Sheet:fitting(text, width, font, size, least)
  local needed = self.doc:width(text, { font = font, size = size })
  if needed <= width then return size end
  return math.max(least, math.floor(size * width / needed * 10) / 10)
end

-- As much as fits, an ellipsis for the rest.
function Sheet:clip(text, width, options)
  if self.doc:width(text, options) <= width then return text end
  while text ~= "" and self.doc:width(text .. "…", options) > width do text = text:sub(1, utf8.offset(text, -1) - 1) end
  return text .. "…"
end

-- At most `most` lines; an ellipsis ends what is cut.
function Sheet:lines(text, width, options, most)
  local lines = self.doc:wrap(text, width, options)
  if #lines > most then
    lines[most] = self:clip(table.concat(lines, " ", most, most + 1), width, options)
    for i = #lines, most + 1, -1 do lines[i] = nil end
  end
  return lines
end

-- A muted label over its value; returns the y below.
function Sheet:field(x, y, width, label, value, most)
  local size = self:fitting(value, width, "regular", 10, 8.5)
  if self.doc:width(value, { size = size }) > width then size = 10 end -- it takes several lines anyway
  self:text(x, y, label, { font = "bold", size = 7.5, color = MUTED })
  y = y + 14
  for _, line in ipairs(self:lines(value, width, { size = size }, most)) do
    self:text(x, y, line, { size = size, color = INK })
    y = y + 13.5
  end
  return y + 8
end

function Sheet:pill(right, y, height, state)
  local options = { font = "bold", size = 9.5, color = state.color }
  local width = self.doc:width(state.mark, { font = "bold", size = 9.5 }) + 22
  self.doc:rect(right - width, y, width, height, { color = state.tint, radius = height / 2 })
  self:text(right - width + 11, y + height / 2 + CAP * 9.5, state.mark, options)
  return width
end

function Sheet:brand(y, side)
  local initial = self.brand_name:match(utf8.charpattern):upper()
  self.doc:rect(LEFT, y, side, side, { color = self.accent, radius = side * 0.24 })
  self:text(LEFT + side / 2, y + side / 2 + CAP * side * 0.56, initial,
    { font = "bold", size = side * 0.56, color = WHITE, align = "center" })
  local size = self:fitting(self.brand_name, WIDTH * 0.55, "bold", side * 0.5, 9)
  local name = self:clip(self.brand_name, WIDTH * 0.55, { font = "bold", size = size })
  self:text(LEFT + side + 10, y + side / 2 + CAP * size, name, { font = "bold", size = size, color = INK })
end

-- The first page down to where the table begins.
function Sheet:head()
  local order, state, doc = self.order, self.state, self.doc
  doc:page()
  self:brand(50, 32)
  self:text(RIGHT, 50 + 16 + CAP * 20, self.title, { font = "bold", size = 20, color = INK, align = "right" })

  local taken = self:pill(RIGHT, 117, 24, state) + GAP
  local headline = self.total and receipt.amount(self.total, order.currency) .. " " .. state.verb or "Thank you"
  local size = self:fitting(headline, WIDTH - taken, "bold", 24, 9)
  self:text(LEFT, 137, headline, { font = "bold", size = size, color = INK })
  self:text(LEFT, 156, self.occasion, { size = 10, color = MUTED })
  doc:line(LEFT, 176, RIGHT, 176, { color = HAIR, width = 0.75 })

  local wide = (WIDTH - 88 - 2 * GAP) * 0.55
  local narrow, second = (WIDTH - 88 - 2 * GAP) - wide, LEFT + wide + GAP
  local left = self:field(LEFT, 200, wide, "ORDER ID", self.id, 4)
  left = self:field(LEFT, left, wide, "ORDER DATE", self.date, 1)
  local right = self:field(second, 200, narrow, "BILLED TO", self.customer, 4)
  if self.email then right = self:field(second, right, narrow, "EMAIL", self.email, 3) end
  doc:qr(RIGHT - 80, 193, 80, self.id, { color = INK })
  return math.max(left, right, 290) + 6
end

-- The head of a page that goes on.
function Sheet:continued()
  self.doc:page()
  self:brand(50, 22)
  self:text(RIGHT, 50 + 11 + CAP * 10, self.title .. " (continued)", { size = 10, color = MUTED, align = "right" })
  return 96
end

-- ---- the table ----

-- Places of the columns: figures as wide as they are, the description has what is left. When that is too little, all figures
-- get smaller together.
function Sheet:columns(rows)
  local heads, least = { quantity = "Qty", unit = "Unit price", amount = "Amount" }, { quantity = 30, unit = 66, amount = 66 }
  local function widths(size)
    local out = {}
    for name, head in pairs(heads) do
      out[name] = math.max(least[name], self.doc:width(head, { font = "bold", size = 8 }))
      for _, row in ipairs(rows) do out[name] = math.max(out[name], self.doc:width(row[name], { size = size })) end
    end
    return out
  end
  local size = 10
  local w = widths(size)
  while size > 5 and WIDTH - 20 - w.quantity - w.unit - w.amount - 3 * GAP < 150 do
    size = size - 0.5
    w = widths(size)
  end
  local c = { size = size, amount = RIGHT - 10 }
  c.unit = c.amount - w.amount - GAP
  c.quantity = c.unit - w.unit - GAP
  c.text = c.quantity - w.quantity - GAP - (LEFT + 10)
  return c
end

function Sheet:table_head(y)
  local c = self.cols
  local function head(x, text, align)
    self:text(x, y + 11 + CAP * 8, text, { font = "bold", size = 8, color = MUTED, align = align })
  end
  self.doc:rect(LEFT, y, WIDTH, 22, { color = BAND, radius = 4 })
  head(LEFT + 10, "Description")
  head(c.quantity, "Qty", "right")
  head(c.unit, "Unit price", "right")
  head(c.amount, "Amount", "right")
  return y + 22
end

local ROW_LINES = 12 -- of one block: a longer description may go on on the next page

-- Rows as blocks { height, draw }, none higher than a page.
function Sheet:row_blocks(rows)
  local blocks = {}
  for _, row in ipairs(rows) do
    local lines = self.doc:wrap(row.text, self.cols.text, { size = 10 })
    for from = 1, math.max(#lines, 1), ROW_LINES do
      local part = table.move(lines, from, math.min(#lines, from + ROW_LINES - 1), 1, {})
      local first, last = from == 1, from + ROW_LINES > #lines
      blocks[#blocks + 1] = { height = 13 * math.max(#part, 1) + (first and 6 or 0) + (last and 6 or 0), lines = part,
        row = first and row or nil, ends = last }
    end
  end
  return blocks
end

function Sheet:draw_row(block, y)
  local c, row, base = self.cols, block.row, y + (block.row and 16 or 10)
  for i, line in ipairs(block.lines) do self:text(LEFT + 10, base + 13 * (i - 1), line, { size = 10, color = INK }) end
  if row then
    self:text(c.quantity, base, row.quantity, { size = c.size, color = INK, align = "right" })
    self:text(c.unit, base, row.unit, { size = c.size, color = INK, align = "right" })
    self:text(c.amount, base, row.amount, { size = c.size, color = INK, align = "right" })
  end
  if block.ends then
    self.doc:line(LEFT, y + block.height, RIGHT, y + block.height, { color = HAIR, width = 0.75 })
  end
  return y + block.height
end

-- ---- the end ----

-- Label and amount, the amount ending at the edge of the column of amounts.
function Sheet:sum(y, label, text, font, size)
  size = self:fitting(label .. text, WIDTH - 20 - GAP, font, size, 6)
  local width = self.doc:width(text, { font = font, size = size })
  local x = math.min(self.cols.amount - width - GAP, LEFT + WIDTH * 0.72)
  self:text(x, y, label, { font = font, size = size, color = font == "bold" and INK or MUTED, align = "right" })
  self:text(self.cols.amount, y, text, { font = font, size = size, color = INK, align = "right" })
end

function Sheet:draw_sums(y)
  for i, sum in ipairs(self.sums) do
    y = y + (i == 1 and 26 or 20)
    self:sum(y, sum[1], sum[2], sum.bold and "bold" or "regular", sum.bold and 12 or 10)
  end
  return y + 14
end

function Sheet:draw_thanks(y)
  self:text(LEFT, y + 34, self.thanks, { font = "bold", size = 12, color = self.accent })
  y = y + 52
  for _, line in ipairs(self.note_lines) do
    self:text(LEFT, y, line, { size = 9.5, color = MUTED })
    y = y + 13.5
  end
end

function Sheet:footer(n, total)
  local y = PAGE.height - 54
  self.doc:line(LEFT, y, RIGHT, y, { color = HAIR, width = 0.75 })
  local number = ("Page %d of %d"):format(n, total)
  local options = { size = 8, color = MUTED }
  local room = WIDTH - self.doc:width(number, { size = 8 }) - GAP
  self:text(LEFT, y + 17, self:clip(self.title .. " " .. self.id, room, { size = 8 }), options)
  self:text(RIGHT, y + 17, number, { size = 8, color = MUTED, align = "right" })
end

-- ==== pages =================================================================================================================

-- Which blocks go on which page; the end (sums, thanks) stays together, with at least one row above it.
local function paginate(blocks, first_top, next_top, end_height)
  local pages, y = { {} }, first_top + 22
  for _, block in ipairs(blocks) do
    if y + block.height > BOTTOM and #pages[#pages] > 0 then
      pages[#pages + 1], y = {}, next_top + 22
    end
    table.insert(pages[#pages], block)
    y = y + block.height
  end
  if y + end_height > BOTTOM then
    local last = pages[#pages]
    pages[#pages + 1] = {}
    if #last > 1 then table.insert(pages[#pages], table.remove(last)) end
  end
  return pages
end

function Sheet:draw_pages(rows)
  self.cols = self:columns(rows)
  local top = self:head()
  local end_height = 20 * #self.sums + 20 + 52 + 13.5 * #self.note_lines
  local pages = paginate(self:row_blocks(rows), top, 96, end_height)
  for n, blocks in ipairs(pages) do
    local y = n == 1 and top or self:continued()
    if #blocks > 0 then y = self:table_head(y) end
    for _, block in ipairs(blocks) do y = self:draw_row(block, y) end
    if n == #pages then self:draw_thanks(self:draw_sums(y)) end
    self:footer(n, #pages)
  end
end

-- ==== the receipt ===========================================================================================================

-- A Lambda package brings its fonts along, side by side.
local function defaults(names)
  local out, task = {}, os.getenv "LAMBDA_TASK_ROOT"
  for _, name in ipairs(task and names or {}) do out[#out + 1] = task .. "/fonts/" .. name:match "[^/]+$" end
  for _, name in ipairs(names) do out[#out + 1] = TRUETYPE .. name end
  return table.concat(out, ":")
end

-- Font paths for perigee.pdf: a table { regular=, bold=, fallback= }, or one text of paths, in which names with "bold" are
-- the bold face and all serve as fallback. What Debian's packages install comes last.
local function font_paths(given)
  local out, chosen = {}, {}
  if type(given) == "table" then
    chosen = given
  elseif given and given ~= "" then
    local regular, bold = {}, {}
    for path in given:gmatch "[^:]+" do
      local names = path:lower():find "bold[^/]*$" and bold or regular
      names[#names + 1] = path
    end
    chosen = { regular = table.concat(regular, ":"), bold = table.concat(bold, ":"), fallback = table.concat(regular, ":", 2) }
    if #regular == 0 then chosen.regular = chosen.bold end
    if #bold == 0 then chosen.bold = chosen.regular end
  end
  for name, names in pairs(FONTS) do
    local paths = chosen[name]
    out[name] = (paths and paths ~= "") and paths .. ":" .. defaults(names) or defaults(names)
  end
  return out
end

-- "Paid on 22 November 2026"; of an order whose history does not tell, "Ordered on ...".
local function occasion(order, state)
  local paid = moment(since(order, state.verb == "paid" and { PAID = true } or { [order.status or ""] = true }))
  if paid and state.verb ~= "due" and state.verb ~= "in total" then
    return state.verb:gsub("^%l", string.upper) .. " on " .. paid
  end
  local date = moment(order.created_at)
  return date and "Ordered on " .. date or state.mark
end

local function sums_of(order, state)
  local sums, total = {}, order.total_price
  if not total then return sums end
  local function add(label, amount, bold) sums[#sums + 1] = { label, receipt.amount(amount, order.currency), bold = bold } end
  add("Total", total, true)
  if state.paid then add("Amount paid", total) end
  if state.verb == "refunded" then
    local digits = digits_of(total)
    add("Refunded", digits:gsub("^%-", "") == "0" and digits or (digits:sub(1, 1) == "-" and digits:sub(2) or "-" .. digits))
  elseif state.verb == "due" then
    add("Amount due", total)
  end
  return sums
end

local function state_of(status)
  if STATES[status] then return STATES[status] end
  local mark = (present(status) or "UNKNOWN"):upper():gsub("_", " ")
  return { mark = mark, color = 0x4b5563, tint = 0xe5e7eb, verb = "in total" }
end

local function sheet_of(order, options)
  local state = state_of(order.status)
  local customer = present(order.customer_name) or present(order.user_id)
  return setmetatable({
    order = order, state = state, total = order.total_price,
    id = present(order.order_id) or error("order_id is missing", 0),
    title = state.paid and "Receipt" or "Order summary",
    brand_name = present(options.brand) or "Perigee",
    accent = options.brand_color or ACCENT,
    customer = customer or "—",
    email = present(order.email),
    date = moment(order.created_at) or "—",
    occasion = occasion(order, state),
    sums = sums_of(order, state),
    thanks = "Thank you for your order.",
    note = present(options.note)
      or "Questions about this order? Tell us the order id, or show us the code above: it holds the id.",
  }, Sheet)
end

local function document(sheet, options)
  local _, created_ms = moment(since(sheet.order, STATES) or sheet.order.created_at)
  return pdf.document {
    title = sheet.title .. " " .. sheet.id, author = sheet.brand_name, subject = sheet.occasion,
    created_ms = created_ms, page = "A4", fonts = font_paths(options.fonts),
  }
end

---@class perigee.ReceiptOptions
---@field brand string? the name at the head
---@field brand_color integer? 0xRRGGBB
---@field fonts string|table? paths of TrueType files: { regular=, bold=, fallback= }, each (or one text) separated by ':'
---@field note string? the last sentences

---The PDF of an order. Raises for an order that makes no sense (amounts that are no integers); nil and the error when it
---cannot be drawn (no font).
---@param order table
---@param options perigee.ReceiptOptions?
---@return string? bytes
---@return integer|table missing how many characters no font had; the error when bytes is nil
function receipt.render(order, options)
  options = options or {}
  local sheet = sheet_of(order, options)
  local doc, err = document(sheet, options)
  if not doc then return nil, err end
  sheet.doc = doc
  sheet.note_lines = sheet:lines(sheet.note, WIDTH * 0.9, { size = 9.5 }, 12)
  sheet:draw_pages(rows_of(order))
  return doc:render()
end

return receipt
