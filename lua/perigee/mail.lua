--- MIME messages (RFC 5322, 2045, 2047): text in UTF-8 with attachments, as the raw content of SES SendEmail.
local crypto = require "perigee.crypto"

local mail = {}

---@class perigee.Mail
---@field from string bare address
---@field from_name string?
---@field to string bare address
---@field subject string
---@field text string
---@field headers table<string, string>? further headers, ASCII
---@field attachments { name: string, type: string, bytes: string }[]?

local function one_line(s, what)
  if s:find("[\r\n%z]") then error(("a mail's %s must be one line"):format(what), 3) end
  return s
end

-- Encoded words of at most 75 characters, never splitting a character (RFC 2047, 2 and 5).
local function words(s)
  if not s:find("[^ -~]") and not s:find("=?", 1, true) then return s end
  local out, part = {}, ""
  for _, c in utf8.codes(s) do
    local char = utf8.char(c)
    if #part + #char > 45 then
      out[#out + 1], part = "=?UTF-8?B?" .. crypto.base64(part) .. "?=", ""
    end
    part = part .. char
  end
  out[#out + 1] = "=?UTF-8?B?" .. crypto.base64(part) .. "?="
  return table.concat(out, "\r\n ")
end

local function base64_lines(bytes)
  local text, lines = crypto.base64(bytes), {}
  for i = 1, #text, 76 do lines[#lines + 1] = text:sub(i, i + 75) end
  return table.concat(lines, "\r\n")
end

local function name_and_address(name, address)
  if not name or name == "" then return address end
  local text = words(one_line(name, "sender name"))
  if text == name then text = '"' .. name:gsub('[\\"]', "\\%0") .. '"' end
  return text .. " <" .. address .. ">"
end

local function part(out, headers, bytes)
  for _, line in ipairs(headers) do out[#out + 1] = line end
  out[#out + 1] = "Content-Transfer-Encoding: base64"
  out[#out + 1] = ""
  out[#out + 1] = base64_lines(bytes)
end

---The message as bytes, CRLF line ends. Raises for line breaks in headers.
---@param m perigee.Mail
---@return string
function mail.message(m)
  local boundary = "=_" .. crypto.sha256(table.concat({ m.to, m.subject, m.text }, "\0")):sub(1, 32)
  local out = {
    "From: " .. name_and_address(m.from_name, one_line(m.from, "from")),
    "To: " .. one_line(m.to, "to"),
    "Subject: " .. words(one_line(m.subject, "subject")),
    "MIME-Version: 1.0",
  }
  local names = {}
  for name in pairs(m.headers or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    out[#out + 1] = one_line(name, "header") .. ": " .. one_line(m.headers[name], "header")
  end
  out[#out + 1] = ('Content-Type: multipart/mixed; boundary="%s"'):format(boundary)
  out[#out + 1] = ""
  out[#out + 1] = "--" .. boundary
  part(out, { "Content-Type: text/plain; charset=utf-8" }, m.text)
  for _, a in ipairs(m.attachments or {}) do
    local name = one_line(a.name, "attachment name"):gsub('[\\"]', "_")
    out[#out + 1] = "--" .. boundary
    part(out, { ('Content-Type: %s; name="%s"'):format(one_line(a.type, "attachment type"), name),
      ('Content-Disposition: attachment; filename="%s"'):format(name) }, a.bytes)
  end
  out[#out + 1] = "--" .. boundary .. "--"
  out[#out + 1] = ""
  return table.concat(out, "\r\n")
end

return mail
