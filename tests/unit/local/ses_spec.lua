local t = require "t.local"
local json = require "cjson"

describe("SES", function()
  local e
  before_each(function() e = assert(t.open { memory = true, now = 1700000000000 }) end)
  after_each(function() e:close() end)

  local function send(params) return e:call("ses", "SendEmail", json.encode(params)) end
  local function mails() return json.decode(e:mailbox()).Messages end
  local function simple(more)
    local p = { FromEmailAddress = "shop@example.com", Destination = { ToAddresses = { "a@example.com" } },
      Content = { Simple = { Subject = { Data = "Hello" }, Body = { Text = { Data = "text" } } } } }
    for k, v in pairs(more or {}) do p[k] = v end
    return p
  end
  local function refused(params)
    local ok, err = send(params)
    assert.is_nil(ok)
    assert.equal("BadRequestException", json.decode(err).__type)
    return json.decode(err).message
  end

  it("stores a simple mail as a MIME message", function()
    local id = json.decode((assert(send(simple())))).MessageId
    local m = mails()[1]
    assert.same({ id, "shop@example.com", { "a@example.com" }, "Hello", "2023-11-14T22:13:20.000Z" },
      { m.MessageId, m.Source, m.Destination, m.Subject, m.Timestamp })
    assert.matches("From: shop@example.com\r\nTo: a@example.com\r\nSubject: Hello\r\nDate: Tue, 14 Nov 2023 22:13:20 %+0000\r\n", m.Raw)
    assert.matches("Content%-Type: text/plain; charset=UTF%-8\r\nContent%-Transfer%-Encoding: 7bit\r\n\r\ntext\r\n$", m.Raw)
  end)

  it("encodes names and subjects beyond ASCII in words of at most 75 characters", function()
    local subject = ("Ñandú 李雷 "):rep(12)
    assert(send(simple { FromEmailAddress = "José <shop@example.com>",
      Content = { Simple = { Subject = { Data = subject }, Body = { Text = { Data = "é" } } } } }))
    local m = mails()[1]
    assert.equal(subject, m.Subject)
    assert.matches("From: =%?UTF%-8%?B%?Sm9zw6k=%?= <shop@example.com>\r\n", m.Raw)
    for line in m.Raw:match("Subject: (.-)\r\nDate"):gmatch("[^\r\n]+") do assert.is_true(#line <= 76) end
    for word in m.Raw:match("Subject: (.-)\r\nDate"):gmatch("=%?.-%?=") do assert.is_true(#word <= 75) end
  end)

  it("sends text and HTML as alternatives, long lines in base64", function()
    assert(send(simple { Content = { Simple = { Subject = { Data = "s" },
      Body = { Text = { Data = "plain" }, Html = { Data = ("x"):rep(2000) } } } } }))
    local raw = mails()[1].Raw
    local boundary = raw:match('multipart/alternative; boundary="([^"]+)"')
    assert.equal(3, select(2, raw:gsub("%-%-" .. boundary:gsub("%p", "%%%0"), "")))
    assert.matches("text/html; charset=UTF%-8\r\nContent%-Transfer%-Encoding: base64", raw)
    for line in raw:gmatch("[^\r\n]+") do assert.is_true(#line <= 998) end
  end)

  it("takes raw messages, with recipients from their headers and the subject decoded", function()
    local raw = "From: =?UTF-8?Q?Jos=C3=A9?= <shop@example.com>\r\nTo: \"A, B\" <a@example.com>,\r\n b@example.com\r\n" ..
      "Subject: =?UTF-8?B?w5E=?=\r\n =?utf-8?q?and=C3=BA_1?= plain\r\n\r\nbody \1"
    assert(send { Content = { Raw = { Data = t.base64(raw) } } })
    local m = mails()[1]
    assert.same({ "Ñandú 1 plain", { "a@example.com", "b@example.com" } }, { m.Subject, m.Destination })
    assert.equal(raw, m.Raw)
  end)

  it("keeps blind copies out of the message", function()
    assert(send(simple { Destination = { ToAddresses = { "a@example.com" }, BccAddresses = { "secret@example.com" } } }))
    assert.same({ "a@example.com", "secret@example.com" }, mails()[1].Destination)
    assert.is_nil(mails()[1].Raw:find("secret", 1, true))
  end)

  it("refuses bad addresses, injected headers and empty or unsupported content", function()
    for _, bad in ipairs { "x", "a@b", "a b@example.com", "a@example.com\r\nBcc: x@y.zz", "é@example.com", "a@-x.com", "@x.com", "a..b@x.com" } do
      assert.matches("mail address", refused(simple { Destination = { ToAddresses = { bad } } }))
      assert.matches("mail address", refused(simple { FromEmailAddress = bad }))
    end
    local none = simple()
    none.Destination = nil
    assert.matches("recipient", refused(none))
    assert.matches("Template", refused(simple { Content = { Template = { TemplateName = "x" } } }))
    assert.matches("Text nor Html", refused(simple { Content = { Simple = { Subject = { Data = "s" } } } }))
    assert.matches("base64", refused { Content = { Raw = { Data = "%%%" } } })
    assert.matches("ConfigurationSetName", refused(simple { ConfigurationSetName = "x" }))
    assert.same({}, mails())
  end)
end)
