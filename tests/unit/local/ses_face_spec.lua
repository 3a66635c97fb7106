local t = require "t.local"
local json = require "cjson"

describe("SES version 2 on the wire", function()
  local e
  after_each(function() e:close() end)

  local function open(strict) e = assert(t.open { memory = true, now = 1700000000000, strict_ses = strict }) end
  local function ask(method, path, body)
    local status, h, text = e:face { method = method, target = path, sign = "ses", headers = { Host = "h" }, body = body and json.encode(body) }
    return status, text ~= "" and json.decode(text) or nil, h
  end
  local function mail(from)
    return { FromEmailAddress = from, Destination = { ToAddresses = { "a@example.com" } },
      Content = { Simple = { Subject = { Data = "s" }, Body = { Text = { Data = "t" } } } } }
  end

  it("sends, and keeps identities", function()
    open()
    local status, r, h = ask("POST", "/v2/email/outbound-emails", mail "shop@example.com")
    assert.same({ 200, "application/json", "req-1" }, { status, h["content-type"], h["x-amzn-requestid"] })
    assert.equal(json.decode(e:mailbox()).Messages[1].MessageId, r.MessageId)
    status, r = ask("POST", "/v2/email/identities", { EmailIdentity = "a+b@Example.COM", Tags = { { Key = "k", Value = "v" } } })
    assert.same({ 200, "EMAIL_ADDRESS", true }, { status, r.IdentityType, r.VerifiedForSendingStatus })
    status, r = ask("GET", "/v2/email/identities/a%2Bb%40example.com")
    assert.same({ 200, { { Key = "k", Value = "v" } } }, { status, r.Tags })
    ask("POST", "/v2/email/identities", { EmailIdentity = "example.org" })
    status, r = ask("POST", "/v2/email/list-identities", { PageSize = 1 })
    assert.same({ 200, 1, "string" }, { status, #r.EmailIdentities, type(r.NextToken) })
    status, r = ask("GET", "/v2/email/identities?PageSize=1")
    assert.same({ 200, 1, "a+b@example.com" }, { status, #r.EmailIdentities, r.EmailIdentities[1].IdentityName })
    status, r = ask("GET", "/v2/email/identities?NextToken=" .. r.NextToken:gsub("%+", "%%2B"):gsub("@", "%%40"))
    assert.same({ 200, "DOMAIN" }, { status, r.EmailIdentities[1].IdentityType })
    assert.equal(200, (ask("DELETE", "/v2/email/identities/example.org")))
    status, r, h = ask("GET", "/v2/email/identities/example.org")
    assert.same({ 404, "NotFoundException" }, { status, h["x-amzn-errortype"] })
    assert.matches("does not exist", r.message)
    status, r = ask("GET", "/v2/email/account")
    assert.same({ 200, 1, true }, { status, r.SendQuota.SentLast24Hours, r.SendingEnabled })
  end)

  it("tells errors by name in a header", function()
    open()
    local function fails(code, name, method, path, body)
      local status, r, h = ask(method, path, body)
      assert.same({ code, name, "string" }, { status, h["x-amzn-errortype"], type(r.message) })
    end
    fails(404, "UnknownOperationException", "GET", "/v2/email/templates")
    fails(404, "UnknownOperationException", "DELETE", "/v2/email/account")
    fails(404, "UnknownOperationException", "GET", "/v2/email/identities/a/policies")
    fails(400, "BadRequestException", "POST", "/v2/email/identities", { EmailIdentity = "a b" })
    fails(400, "BadRequestException", "GET", "/v2/email/identities/%FF")
    fails(400, "BadRequestException", "GET", "/v2/email/identities?x=1")
    ask("POST", "/v2/email/identities", { EmailIdentity = "a@example.com" })
    fails(400, "AlreadyExistsException", "POST", "/v2/email/identities", { EmailIdentity = "a@example.com" })
    fails(400, "SerializationException", "POST", "/v2/email/identities")
    local status, h = e:face { method = "POST", target = "/v2/email/outbound-emails", sign = "ses", headers = { Host = "h" }, body = "{" }
    assert.same({ 400, "SerializationException" }, { status, h["x-amzn-errortype"] })
  end)

  it("lets only verified senders send, when it is strict: addresses, domains and what is below them", function()
    open(true)
    local status, r, h = ask("POST", "/v2/email/outbound-emails", mail "shop@mail.example.com")
    assert.same({ 400, "MessageRejected" }, { status, h["x-amzn-errortype"] })
    assert.equal("Email address is not verified. The following identities failed the check in region US-EAST-1: shop@mail.example.com", r.message)
    ask("POST", "/v2/email/identities", { EmailIdentity = "Shop@mail.example.com" })
    assert.equal(400, (ask("POST", "/v2/email/outbound-emails", mail "shop@mail.example.com")))
    ask("POST", "/v2/email/identities", { EmailIdentity = "shop@mail.example.com" })
    assert.equal(200, (ask("POST", "/v2/email/outbound-emails", mail "The Shop <shop@MAIL.example.com>")))
    assert.equal(400, (ask("POST", "/v2/email/outbound-emails", mail "other@mail.example.com")))
    ask("POST", "/v2/email/identities", { EmailIdentity = "Example.com" })
    assert.equal(200, (ask("POST", "/v2/email/outbound-emails", mail "other@mail.example.com")))
    assert.equal(400, (ask("POST", "/v2/email/outbound-emails", mail "other@badexample.com")))
    local raw = "From: x@evil.test\r\nTo: a@example.com\r\n\r\nbody"
    status, r, h = ask("POST", "/v2/email/outbound-emails", { Content = { Raw = { Data = t.base64(raw) } } })
    assert.same({ 400, "MessageRejected" }, { status, h["x-amzn-errortype"] })
    assert.matches("x@evil.test", r.message)
    assert.equal(2, #json.decode(e:mailbox()).Messages)
  end)
end)
