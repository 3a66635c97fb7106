require "unit.lua.plain"
local mail = require "perigee.mail"

local function message(more)
  local m = { from = "shop@example.org", to = "jose@example.org", subject = "Hello", text = "Hi\r\n" }
  for k, v in pairs(more or {}) do m[k] = v end
  return mail.message(m)
end

describe("mail", function()
  it("has headers, a text part and its end, in CRLF lines of at most 998 characters", function()
    local raw = message { text = ("x"):rep(5000) }
    assert.matches("^From: shop@example.org\r\nTo: jose@example.org\r\nSubject: Hello\r\nMIME%-Version: 1.0\r\n", raw)
    assert.is_nil(raw:gsub("\r\n", ""):find("[\r\n]"))
    for line in raw:gmatch("[^\r\n]*") do assert.is_true(#line <= 998) end
    local boundary = raw:match('boundary="([^"]+)"')
    assert.is_true(raw:sub(-#boundary - 6) == "--" .. boundary .. "--\r\n")
  end)

  it("writes other scripts as encoded words that no character is split by", function()
    local raw = message { subject = ("李雷"):rep(20), from_name = "Señor \"X\"" }
    for word in raw:match("Subject: (.-)\r\nMIME"):gmatch("%S+") do
      assert.matches("^=%?UTF%-8%?B%?[%w+/=]+%?=$", word)
      assert.is_true(#word <= 75)
    end
    assert.matches("From: =%?UTF%-8%?B%?[%w+/=]+%?= <shop@example.org>", raw)
    assert.matches('From: "A \\"B\\"" <shop@example.org>', message { from_name = 'A "B"' })
  end)

  it("attaches bytes under their name", function()
    local raw = message { attachments = { { name = "r.pdf", type = "application/pdf", bytes = "%PDF\0\255" } } }
    assert.matches('Content%-Type: application/pdf; name="r.pdf"\r\nContent%-Disposition: attachment; filename="r.pdf"', raw)
    assert.matches("JVBERgD/", raw, 1, true)
  end)

  it("lets nobody add headers through line breaks", function()
    for _, bad in ipairs { { to = "a@b.de\r\nBcc: x@y.de" }, { subject = "a\nb" }, { from_name = "a\rb" }, { headers = { X = "a\r\nb" } } } do
      assert.has_error(function() message(bad) end)
    end
  end)
end)
