local plain = require "unit.lua.plain"
local crypto = require "perigee.crypto"
local webhook = require "perigee.webhook"

local NOW = 1767225600000
local SECRET, BODY = "whsec_1", '{"order_id":"o","status":"paid"}'

describe("webhook", function()
  it("signs t.body as HMAC-SHA256 (RFC 4231, case 2)", function()
    assert.equal("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
      crypto.hmac_sha256("Jefe", "what do ya want for nothing?"))
    assert.equal("t=1767225600,v1=" .. crypto.hmac_sha256(SECRET, "1767225600." .. BODY), webhook.sign(SECRET, BODY, NOW))
  end)

  it("accepts what it signs, within five minutes either way", function()
    local header = webhook.sign(SECRET, BODY, NOW)
    for _, shift in ipairs { 0, 300000, -300000 } do assert.is_true(webhook.verify(SECRET, BODY, header, NOW + shift)) end
    for _, shift in ipairs { 300001, -300001, 86400000 } do
      local ok, why = webhook.verify(SECRET, BODY, header, NOW + shift)
      assert.is_nil(ok)
      assert.equal("the signature is too old or from the future", why)
    end
  end)

  it("refuses any other body, time or key", function()
    local header = webhook.sign(SECRET, BODY, NOW)
    assert.is_nil(webhook.verify(SECRET, BODY .. " ", header, NOW))
    assert.is_nil(webhook.verify("whsec_2", BODY, header, NOW))
    assert.is_nil(webhook.verify(SECRET, BODY, (header:gsub("t=%d+", "t=1767225601")), NOW))
  end)

  it("refuses a signature that is changed in any one character", function()
    local header = webhook.sign(SECRET, BODY, NOW)
    local from = header:find("v1=", 1, true) + 3
    for i = from, #header do
      local c = header:sub(i, i) == "0" and "1" or "0"
      assert.is_nil(webhook.verify(SECRET, BODY, header:sub(1, i - 1) .. c .. header:sub(i + 1), NOW))
    end
  end)

  it("accepts several v1, of which one fits, and other schemes beside", function()
    local signature = webhook.sign(SECRET, BODY, NOW):match("v1=(%x+)")
    local other = ("0"):rep(64)
    assert.is_true(webhook.verify(SECRET, BODY, ("t=1767225600,v1=%s,v1=%s"):format(other, signature), NOW))
    assert.is_true(webhook.verify(SECRET, BODY, ("v1=%s, t=1767225600, v0=abc"):format(signature:upper()), NOW))
    assert.is_nil(webhook.verify(SECRET, BODY, "t=1767225600" .. (",v1=" .. other):rep(8) .. ",v1=" .. signature, NOW))
  end)

  it("refuses headers that are missing or malformed", function()
    local signature = webhook.sign(SECRET, BODY, NOW):match("v1=(%x+)")
    for _, header in ipairs { "", "t=1767225600", "v1=" .. signature, "t=x,v1=" .. signature, "t=1767225600;v1=" .. signature,
      "t=1767225600,t=1767225600,v1=" .. signature, "t=-5,v1=" .. signature, "t=9999999999999,v1=" .. signature,
      "t=1767225600,v0=" .. signature, "nonsense" } do
      assert.is_nil(webhook.verify(SECRET, BODY, header, NOW), header)
    end
    assert.is_nil(webhook.verify(SECRET, BODY, nil, NOW))
  end)

  it("never takes an empty secret for a key", function()
    assert.has_error(function() webhook.verify("", BODY, webhook.sign(SECRET, BODY, NOW), NOW) end, "webhook.verify: the secret is empty")
  end)

  if plain.host then
    it("signs bytes, NUL among them", function()
      local body = "a\0b\255"
      assert.is_true(webhook.verify(SECRET, body, webhook.sign(SECRET, body, NOW), NOW))
      assert.is_nil(webhook.verify(SECRET, "a", webhook.sign(SECRET, body, NOW), NOW))
    end)
  end
end)
