--- Signed webhooks: "Perigee-Signature: t=<unix seconds>,v1=<hex>[,v1=<hex>...]", each v1 an HMAC-SHA256 of "<t>.<raw body>".
--- Several v1 let the sender change its key: one that fits is enough. The time must be within five minutes of now, so that
--- a recorded request cannot be played back later; comparison takes constant time.
local crypto = require "perigee.crypto"
local time = require "perigee.time"

local webhook = {}

webhook.HEADER = "perigee-signature"
webhook.WINDOW_MS = 5 * 60 * 1000
local MAX_SIGNATURES = 8

---The header's value for a body.
---@param secret string
---@param body string raw bytes
---@param at_ms integer? Unix ms; now
---@return string
function webhook.sign(secret, body, at_ms)
  local t = (at_ms or time.now()) // 1000
  return ("t=%d,v1=%s"):format(t, crypto.hmac_sha256(secret, t .. "." .. body))
end

local function parse(header)
  local t, signatures
  for part in header:gmatch("[^,]+") do
    local name, value = part:match("^%s*(%w+)=(%w+)%s*$")
    if not name then return nil end
    if name == "t" then
      if t or not value:find("^%d+$") or #value > 12 then return nil end
      t = value
    elseif name == "v1" then
      signatures = signatures or {}
      signatures[#signatures + 1] = value:lower()
    end -- other schemes may come beside v1: not ours to judge
  end
  if not t or not signatures or #signatures > MAX_SIGNATURES then return nil end
  return t, signatures
end

---Is the header a signature of this body, made within the window? true, or nil and a sentence.
---@param secret string
---@param body string raw bytes
---@param header string?
---@param now_ms integer? Unix ms; now
---@return true? ok
---@return string? why
function webhook.verify(secret, body, header, now_ms)
  if secret == "" then error("webhook.verify: the secret is empty", 2) end
  if not header or header == "" then return nil, "the header Perigee-Signature is missing" end
  local t, signatures = parse(header)
  if not t then return nil, "the header Perigee-Signature must look like t=1700000000,v1=<hex>" end
  local expected, fits = crypto.hmac_sha256(secret, t .. "." .. body), false
  for _, signature in ipairs(signatures) do
    fits = crypto.equal(expected, signature) or fits
  end
  if not fits then return nil, "the signature does not fit the body" end
  if math.abs((now_ms or time.now()) - math.tointeger(tonumber(t)) * 1000) > webhook.WINDOW_MS then
    return nil, "the signature is too old or from the future"
  end
  return true
end

return webhook
