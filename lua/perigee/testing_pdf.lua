--- The text of PDF files that perigee.pdf has made, without any tool: for assert.pdf_has and for looking at a receipt in a test.
---
---   local pdf = require "perigee.testing_pdf"
---   print(pdf.text(bytes))                 -- line by line, in the order in which it was drawn
---   assert.equal(2, #pdf.pages(bytes))
---
--- It reads what ISO 32000-1 allows and perigee.pdf writes: a table of references, streams that are deflated or plain, fonts
--- with a ToUnicode map. Files of other programs may lack these; then it raises and says what it does not find.
local testing_pdf = {}

-- ==== inflate (RFC 1950, RFC 1951) ==========================================================================================

---@class perigee.testing.Bits
---@field bytes string
---@field at integer
---@field held integer
---@field n integer bits in held
local Bits = {}
Bits.__index = Bits

function Bits:need(count)
  while self.n < count do
    local byte = self.bytes:byte(self.at) or error("a compressed stream ends too early", 0)
    self.held, self.n, self.at = self.held | byte << self.n, self.n + 8, self.at + 1
  end
end

function Bits:read(count)
  self:need(count)
  local value = self.held & (1 << count) - 1
  self.held, self.n = self.held >> count, self.n - count
  return value
end

-- A canonical code from the lengths of symbols 0, 1, ...: how many codes each length has, and the symbols in their order.
local function code_of(lengths)
  local counts, first, sorted = {}, {}, {}
  for bits = 0, 15 do counts[bits] = 0 end
  for _, bits in ipairs(lengths) do counts[bits] = counts[bits] + 1 end
  first[1] = 0
  for bits = 1, 14 do first[bits + 1] = first[bits] + counts[bits] end
  for symbol, bits in ipairs(lengths) do
    if bits > 0 then sorted[first[bits]], first[bits] = symbol - 1, first[bits] + 1 end
  end
  return { counts = counts, symbols = sorted }
end

function Bits:symbol(code)
  local value, first, index = 0, 0, 0
  for bits = 1, 15 do
    value = value | self:read(1)
    local count = code.counts[bits]
    if value - count < first then return code.symbols[index + value - first] end
    index, first = index + count, first + count << 1
    value = value << 1
  end
  error("a compressed stream has a code that is none", 0)
end

-- Bases and extra bits of lengths (symbols from 257) and distances.
local function ladder(start, plain, step, count)
  local bases, extra, base = {}, {}, start
  for i = 0, count - 1 do
    extra[i] = i < plain and 0 or (i - plain) // step + 1
    bases[i], base = base, base + (1 << extra[i])
  end
  return bases, extra
end
local LENGTHS, LENGTH_BITS = ladder(3, 8, 4, 29)
local DISTANCES, DISTANCE_BITS = ladder(1, 4, 2, 30)
LENGTHS[28], LENGTH_BITS[28] = 258, 0

local function fixed_codes()
  local lengths, distances = {}, {}
  for i = 0, 287 do lengths[i + 1] = i < 144 and 8 or i < 256 and 9 or i < 280 and 7 or 8 end
  for i = 1, 30 do distances[i] = 5 end
  return code_of(lengths), code_of(distances)
end

local ORDER = { 17, 18, 19, 1, 9, 8, 10, 7, 11, 6, 12, 5, 13, 4, 14, 3, 15, 2, 16 }

local function dynamic_codes(bits)
  local literals, distances, n = bits:read(5) + 257, bits:read(5) + 1, bits:read(4) + 4
  local lengths = {}
  for i = 1, 19 do lengths[ORDER[i]] = i <= n and bits:read(3) or 0 end
  local code, all = code_of(lengths), {}
  while #all < literals + distances do
    local symbol, value, times = bits:symbol(code), 0, 1
    if symbol < 16 then value = symbol
    elseif symbol == 16 then value, times = all[#all], 3 + bits:read(2)
    elseif symbol == 17 then times = 3 + bits:read(3)
    else times = 11 + bits:read(7) end
    for _ = 1, times do all[#all + 1] = value end
  end
  return code_of(table.move(all, 1, literals, 1, {})), code_of(table.move(all, literals + 1, literals + distances, 1, {}))
end

local function stored(bits, out)
  bits.held, bits.n = 0, 0
  local length = ("<I2"):unpack(bits.bytes, bits.at)
  for i = bits.at + 4, bits.at + 3 + length do out[#out + 1] = bits.bytes:byte(i) end
  bits.at = bits.at + 4 + length
end

local function compressed(bits, out, literals, distances)
  while true do
    local symbol = bits:symbol(literals)
    if symbol == 256 then return end
    if symbol < 256 then
      out[#out + 1] = symbol
    else
      local length = LENGTHS[symbol - 257] + bits:read(LENGTH_BITS[symbol - 257])
      local away = bits:symbol(distances)
      away = DISTANCES[away] + bits:read(DISTANCE_BITS[away])
      for _ = 1, length do out[#out + 1] = out[#out + 1 - away] or error("a compressed stream refers to before its start", 0) end
    end
  end
end

---What deflate made, in zlib's wrapping. Raises when it is damaged; the checksum at the end is not looked at.
---@param bytes string
---@return string
function testing_pdf.inflate(bytes)
  local bits, out, last = setmetatable({ bytes = bytes, at = 3, held = 0, n = 0 }, Bits), {}, false
  while not last do
    last = bits:read(1) == 1
    local kind = bits:read(2)
    if kind == 0 then stored(bits, out)
    elseif kind == 1 then compressed(bits, out, fixed_codes())
    elseif kind == 2 then compressed(bits, out, dynamic_codes(bits))
    else error("a compressed stream has a block of no known kind", 0) end
  end
  local parts = {}
  for i = 1, #out, 4096 do parts[#parts + 1] = string.char(table.unpack(out, i, math.min(i + 4095, #out))) end
  return table.concat(parts)
end

-- ==== objects ===============================================================================================================

---@class perigee.testing.Pdf
---@field bytes string
---@field at table<integer, integer> where each object begins
local Pdf = {}
Pdf.__index = Pdf

local function open(bytes)
  if type(bytes) ~= "string" or bytes:sub(1, 5) ~= "%PDF-" then error("these bytes are no PDF", 0) end
  local from = math.tointeger(tonumber(bytes:match("startxref%s+(%d+)%s+%%%%EOF%s*$")))
  local n, next_at = bytes:match("^xref%s+0%s+(%d+)%s*()", (from or #bytes) + 1)
  if not n then error("this PDF has no table of references at its end: it is cut off, or of another program", 0) end
  local pdf = setmetatable({ bytes = bytes, at = {} }, Pdf)
  for i = 0, math.tointeger(tonumber(n)) - 1 do
    local offset, kind, after = bytes:match("^(%d+) %d+ (%l)%s+()", next_at)
    if kind == "n" then pdf.at[i] = math.tointeger(tonumber(offset)) + 1 end
    next_at = after or error("the table of references of this PDF is damaged", 0)
  end
  return pdf
end

-- The text of an object, without its stream; and where that begins.
function Pdf:object(number)
  local at = self.at[math.tointeger(tonumber(number))] or error("this PDF lacks its object " .. tostring(number), 0)
  local start = self.bytes:match("^%d+ %d+ obj%s*()", at) or error("this PDF has no object at " .. at, 0)
  local stop = self.bytes:find("endobj", start, true)
  local stream, begins = self.bytes:match("()stream\r?\n()", start)
  if stream and stream < stop then return self.bytes:sub(start, stream - 1), begins end
  return self.bytes:sub(start, stop - 1)
end

function Pdf:stream(number)
  local dictionary, begins = self:object(number)
  if not begins then error("object " .. number .. " of this PDF is no stream", 0) end
  local length, reference = dictionary:match "/Length%s+(%d+)%s*(%d*)"
  if reference ~= "" then length = self:object(length) end
  local data = self.bytes:sub(begins, begins + math.tointeger(tonumber(length)) - 1)
  local filter = dictionary:match "/Filter%s*%[?%s*/(%w+)"
  if filter and filter ~= "FlateDecode" then error("a stream of this PDF is encoded with " .. filter, 0) end
  return filter and testing_pdf.inflate(data) or data
end

-- What a dictionary has under a name: the text of it, or of the object it refers to.
function Pdf:member(dictionary, name)
  local number = dictionary:match("/" .. name .. "%s+(%d+)%s+%d+%s+R")
  if number then return (self:object(number)) end
  return dictionary:match("/" .. name .. "%s*(%b<>)") or ""
end

-- ==== text ==================================================================================================================

-- UTF-16BE in hex -> UTF-8.
local function utf16(hex)
  local out, high = {}, nil
  for unit in hex:gmatch "%x%x%x%x" do
    local code = tonumber(unit, 16)
    if code & 0xfc00 == 0xd800 then
      high = code
    else
      if high and code & 0xfc00 == 0xdc00 then code = 0x10000 + (high - 0xd800 << 10) + (code - 0xdc00) end
      out[#out + 1], high = utf8.char(code), nil
    end
  end
  return table.concat(out)
end

-- Code of four hex digits -> character.
local function characters(map)
  local known = {}
  for block in map:gmatch "beginbfchar(.-)endbfchar" do
    for code, to in block:gmatch "<(%x+)>%s*<(%x+)>" do known[code:lower()] = utf16(to) end
  end
  return known
end

function Pdf:fonts(page)
  local fonts, names = {}, self:member(self:member(page, "Resources"), "Font")
  for name, number in names:gmatch "/([%w]+)%s+(%d+)%s+%d+%s+R" do
    local map = self:object(number):match "/ToUnicode%s+(%d+)"
    if not map then error("the font " .. name .. " of this PDF does not tell its characters (ToUnicode)", 0) end
    fonts[name] = characters(self:stream(map))
  end
  return fonts
end

-- One line for each place at which text was drawn.
local function lines_of(content, fonts)
  local lines, font, line = {}, nil, nil
  for operation in content:gmatch "[^\n]+" do
    local hex = operation:match "^<(%x*)>%s*Tj"
    if operation:find "T[dDm*]$" or operation:find "^BT" then
      line = nil
    elseif operation:find "Tf$" then
      font = fonts[operation:match "/(%w+) [%d.]+ Tf$"]
    elseif hex and font then
      line = line or #lines + 1
      lines[line] = (lines[line] or "") .. hex:gsub("%x%x%x%x", function(code) return font[code:lower()] or "\u{FFFD}" end)
    end
  end
  return lines
end

---The lines of each page.
---@param bytes string
---@return string[][]
function testing_pdf.pages(bytes)
  local pdf, pages = open(bytes), {}
  local root = bytes:match("/Root%s+(%d+)%s+%d+%s+R", bytes:find "trailer[^%z]*$") or error("this PDF has no root", 0)
  local kids = pdf:member(pdf:object(root), "Pages"):match "/Kids%s*(%b[])" or ""
  for number in kids:gmatch "(%d+)%s+%d+%s+R" do
    local page = pdf:object(number)
    pages[#pages + 1] = lines_of(pdf:stream(page:match "/Contents%s+(%d+)"), pdf:fonts(page))
  end
  return pages
end

---All lines of all pages.
---@param bytes string
---@return string
function testing_pdf.text(bytes)
  local out = {}
  for i, lines in ipairs(testing_pdf.pages(bytes)) do out[i] = table.concat(lines, "\n") end
  return table.concat(out, "\n")
end

local function spaced(text) return " " .. text:gsub("%s+", " ") .. " " end

---Whether the text is there, as it is but for line breaks and the number of spaces.
---@param bytes string
---@param wanted string
---@return boolean
function testing_pdf.has(bytes, wanted)
  local text = spaced(wanted):sub(2, -2)
  return spaced(testing_pdf.text(bytes)):find(text, 1, true) ~= nil
end

return testing_pdf
