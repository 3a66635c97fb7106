--- Reads MIME messages (RFC 5322, 2045, 2047): what perigee.testing shows of the mail that an application sent.
local crypto = require "perigee.crypto"

local testing_mail = {}

local function quoted_printable(text)
  return (text:gsub("=\r?\n", ""):gsub("=(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- Header lines, names in lower case; those that go on in the next line are one; and where the body begins.
local function headers_of(text)
  local head, body = text:match "^(.-)\r?\n\r?\n(.*)$"
  local headers = {}
  head = (head or text):gsub("\r?\n[ \t]+", " ")
  for line in head:gmatch "[^\r\n]+" do
    local name, value = line:match "^([^:]+):%s*(.*)$"
    if name then headers[name:lower()] = value end
  end
  return headers, body or ""
end

-- "=?UTF-8?B?...?=" -> text (RFC 2047).
---@param text string
---@return string
function testing_mail.words(text)
  text = text:gsub("%?=%s+=%?", "?==?")
  return (text:gsub("=%?[^?]+%?([BbQq])%?([^?]*)%?=", function(kind, coded)
    if kind:upper() == "B" then return crypto.unbase64(coded) end
    return quoted_printable((coded:gsub("_", " ")))
  end))
end

local function decoded(headers, body)
  local how = (headers["content-transfer-encoding"] or ""):lower()
  if how == "base64" then return crypto.unbase64((body:gsub("%s", ""))) or body end
  if how == "quoted-printable" then return quoted_printable(body) end
  return body
end

local function add_parts(found, text)
  local headers, body = headers_of(text)
  local kind = headers["content-type"] or "text/plain"
  local boundary = kind:lower():find "^multipart/" and (kind:match 'boundary="([^"]+)"' or kind:match "boundary=([^;%s]+)")
  if not boundary then
    local name = (headers["content-disposition"] or ""):match 'filename="([^"]*)"' or kind:match 'name="([^"]*)"'
    found[#found + 1] = { type = kind:match "^[^;%s]+":lower(), name = name, bytes = decoded(headers, body) }
    return headers
  end
  local at = 1
  local line = "--" .. boundary
  while true do
    local _, start = body:find(line, at, true)
    local stop = start and body:find(line, start, true)
    if not stop then return headers end
    add_parts(found, (body:sub(start + 1, stop - 1):gsub("^[^\n]*\n", ""):gsub("\r?\n$", "")))
    at = stop
  end
end

---@class perigee.testing.Attachment
---@field name string?
---@field type string "application/pdf"
---@field bytes string

---A message as people see it: headers (names in lower case), text, html, attachments.
---@param raw string
---@return { headers: table<string, string>, text: string?, html: string?, attachments: perigee.testing.Attachment[] }
function testing_mail.read(raw)
  local parts, mail = {}, { attachments = {} }
  mail.headers = add_parts(parts, raw)
  for name, value in pairs(mail.headers) do mail.headers[name] = testing_mail.words(value) end
  for _, part in ipairs(parts) do
    local place = not part.name and (part.type == "text/plain" and "text" or part.type == "text/html" and "html")
    if place and not mail[place] then
      mail[place] = part.bytes
    else
      table.insert(mail.attachments, part)
    end
  end
  return mail
end

return testing_mail
