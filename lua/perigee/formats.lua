--- The values of the schema keyword `format`: each a function of a string that answers nil, or what is wrong with it.
local money = require "perigee.money"
local time = require "perigee.time"

local UUID = "^" .. ("%x"):rep(8) .. ("%-" .. ("%x"):rep(4)):rep(3) .. "%-" .. ("%x"):rep(12) .. "$"
local DATE_TIME = "^%d%d%d%d%-%d%d%-%d%d[Tt]%d%d:%d%d:%d%d%.?%d*[Zz+-]"

-- Code points that have no business in one line of text: C0, DEL, C1, line and paragraph separators, bidirectional
-- overrides and isolates, byte order mark, noncharacters.
local function is_control(c)
  if c < 0x7f then return c < 0x20 end
  return c <= 0x9f or (c >= 0x2028 and c <= 0x202e) or (c >= 0x2066 and c <= 0x2069) or c == 0xfeff
    or (c >= 0xfdd0 and c <= 0xfdef) or c & 0xfffe == 0xfffe
end

---@type table<string, fun(s: string): string?>
local formats = {}

---One line of readable text: valid UTF-8, not blank, no control characters.
function formats.text(s)
  if s:find("^ *[!-~][ -~]*$") then return nil end -- printable ASCII: no need to decode
  if not s:find("[^ ]") then return "must not be blank" end
  if not utf8.len(s) then return "must be valid UTF-8" end
  for _, c in utf8.codes(s) do
    if is_control(c) then return ("must not contain control characters (U+%04X)"):format(c) end
  end
end

---An identifier that is safe in URLs, keys and file names.
function formats.id(s)
  if not s:find("^[%w][%w._~:@+=-]*$") then
    return "must be letters, digits and . _ ~ : @ + = - only, the first a letter or digit"
  end
end

function formats.uuid(s)
  if not s:find(UUID) then return "must be a UUID" end
end

---One bare address: what SMTP and a header can carry without quoting.
function formats.email(s)
  local name, domain = s:match("^([%w!#$%%&'*+/=?^_`{|}~.-]+)@([%w.-]+)$")
  local ok = name and #s <= 254 and #name <= 64 and not name:find("^%.") and not name:find("%.$")
    and not name:find("..", 1, true) and domain:find(".", 1, true)
  if ok then
    for label in (domain .. "."):gmatch("([^.]*)%.") do
      if #label == 0 or #label > 63 or label:find("^%-") or label:find("%-$") then ok = false end
    end
  end
  if not ok then return "must be an e-mail address" end
end

formats["date-time"] = function(s)
  if not s:find(DATE_TIME) or not time.parse(s) then return "must be a time such as 2026-11-22T04:55:46Z" end
end

function formats.currency(s)
  if not money.exponent(s) then return "must be an ISO 4217 currency code such as EUR" end
end

return formats
