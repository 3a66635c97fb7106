local plain = require "unit.lua.plain"
if not plain.host then return end -- C behind it

local crypto = require "perigee.crypto"
local sigv4 = require "perigee.sigv4"

local DOC = { access_key_id = "AKIAIOSFODNN7EXAMPLE", secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" }
local MAY_2013 = "20130524T000000Z"
local EMPTY = crypto.sha256("")

local function with(base, more)
  local t = {}
  for k, v in pairs(base) do t[k] = v end
  for k, v in pairs(more or {}) do t[k] = v end
  return t
end

local function s3(more)
  return with({ url = "https://examplebucket.s3.amazonaws.com/test.txt", service = "s3", region = "us-east-1", credentials = DOC,
                date = MAY_2013 }, more)
end

local function sqs(more)
  return with({ method = "POST", url = "https://sqs.us-east-1.amazonaws.com/", service = "sqs", region = "us-east-1",
                body = "{}", credentials = DOC, date = 1795325400000,
                headers = { ["Content-Type"] = "application/x-amz-json-1.0" } }, more)
end

describe("sigv4.sign", function()
  it("gives S3's documented signature, each stage, and the headers to send", function()
    local signed = sigv4.sign(s3 { headers = { Range = "bytes=0-9", ["User-Agent"] = "any" } })
    assert.equal("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41", signed.signature)
    assert.equal("host;range;x-amz-content-sha256;x-amz-date", signed.signed_headers)
    assert.equal("GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\nx-amz-content-sha256:" .. EMPTY ..
      "\nx-amz-date:20130524T000000Z\n\nhost;range;x-amz-content-sha256;x-amz-date\n" .. EMPTY, signed.canonical_request)
    assert.equal("AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n" ..
      "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972", signed.string_to_sign)
    assert.equal("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, " ..
      "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature=" .. signed.signature, signed.authorization)
    assert.same({ Range = "bytes=0-9", ["User-Agent"] = "any", ["X-Amz-Date"] = MAY_2013, ["X-Amz-Content-Sha256"] = EMPTY,
                  Authorization = signed.authorization }, signed.headers)
  end)

  it("takes the date in three forms, and the clock's when there is none", function()
    local signature = sigv4.sign(s3 {}).signature
    for _, date in ipairs { 1369353600000, 1369353600999, "2013-05-24T00:00:00Z", "2013-05-24T02:00:00+02:00" } do
      assert.equal(signature, sigv4.sign(s3 { date = date }).signature)
    end
    local now = s3()
    now.date = nil
    assert.matches("^20[2-9]%d%d%d%d%dT%d%d%d%d%d%dZ$", sigv4.sign(now).headers["X-Amz-Date"])
  end)

  it("signs a session token, and anew what was signed before", function()
    local credentials = with(DOC, { session_token = "tok/en==" })
    local first = sigv4.sign(sqs { credentials = credentials })
    assert.equal("content-type;host;x-amz-date;x-amz-security-token", first.signed_headers)
    assert.equal("tok/en==", first.headers["X-Amz-Security-Token"])
    local again = sigv4.sign(sqs { headers = first.headers, date = 1795325401000 })
    assert.equal("content-type;host;x-amz-date", again.signed_headers)
    assert.is_nil(again.headers["X-Amz-Security-Token"])
    assert.equal("20261122T053001Z", again.headers["X-Amz-Date"])
    assert.not_equal(first.authorization, again.headers.Authorization)
  end)

  it("takes the hash instead of the body, from an argument or a header", function()
    local hash = crypto.sha256("{}")
    local by_body = sigv4.sign(sqs()).signature
    local plain_request = sqs()
    plain_request.body = nil
    assert.equal(by_body, sigv4.sign(with(plain_request, { body_sha256 = hash })).signature)
    assert.equal(by_body, sigv4.sign(with(plain_request, { body_sha256 = hash:upper() })).signature)
    local by_header = sigv4.sign(with(plain_request, { headers = { ["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD" } }))
    assert.matches("\nUNSIGNED%-PAYLOAD$", by_header.canonical_request)
    assert.equal("UNSIGNED-PAYLOAD", by_header.headers["X-Amz-Content-Sha256"])
    assert.equal(hash, sigv4.sign(s3 { body = "{}" }).headers["X-Amz-Content-Sha256"])
  end)

  it("normalises paths of all services but S3, unless told otherwise", function()
    local function path(more) return sigv4.sign(more).canonical_request:match("^%u+\n([^\n]*)") end
    local url = "https://h.example/a//b/../c%20d/"
    assert.equal("/a/c%2520d/", path(sqs { url = url }))
    assert.equal("/a//b/../c%2520d/", path(sqs { url = url, normalize = false }))
    assert.equal("/a//b/../c%20d/", path(s3 { url = url }))
    assert.equal("/a/c%20d/", path(s3 { url = url, normalize = true }))
    for service, expected in pairs { ["s3-outposts"] = "/a%20b", s3express = "/a%20b", s3x = "/a%2520b", ses = "/a%2520b" } do
      assert.equal(expected, path(sqs { url = "https://h/a%20b", service = service }))
    end
  end)

  it("signs the host that clients send, or the one that is given", function()
    local function host(more) return sigv4.sign(sqs(more)).canonical_request:match("\nhost:([^\n]*)") end
    assert.equal("h.example", host { url = "HTTPS://H.Example:443" })
    assert.equal("h.example:80", host { url = "https://h.example:80?x=1#y" })
    assert.equal("[::1]:4566", host { url = "http://[::1]:4566/" })
    assert.equal("Elsewhere", host { headers = { Host = "Elsewhere" } })
  end)

  it("signs lists of values in their order", function()
    local signed = sigv4.sign(sqs { headers = { ["X-A"] = { "2", " 1  1 " }, n = 5 } })
    assert.truthy(signed.canonical_request:find("\nn:5\nx-a:2,1 1\nx-amz-date:", 1, true))
    assert.same({ "2", " 1  1 " }, signed.headers["X-A"])
  end)
end)

describe("sigv4.presign", function()
  it("gives S3's documented link", function()
    local link = sigv4.presign(s3 { expires = 86400 })
    assert.equal("https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256" ..
      "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" ..
      "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host" ..
      "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404", link.url)
    assert.equal("aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404", link.signature)
    assert.equal("AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n" ..
      "3bfa292879f6447bbcda7001decf97f4a54dc650c8942174ae0a9121cf58ad04", link.string_to_sign)
    assert.equal(crypto.sha256(link.canonical_request), link.string_to_sign:match("%x+$"))
    assert.equal(1369353600000 + 86400000, link.expires_at)
  end)

  it("signs parameters and headers of the caller", function()
    local link = sigv4.presign(s3 { method = "put", url = "https://h.example/b/k?versionId=1&a=", expires = 60,
      headers = { ["Content-Type"] = "text/plain", ["User-Agent"] = "x" }, credentials = with(DOC, { session_token = "a+b" }) })
    assert.equal("content-type;host", link.signed_headers)
    assert.truthy(link.url:find("&X-Amz-Security-Token=a%2Bb&X-Amz-SignedHeaders=content-type%3Bhost&a=&versionId=1&X-Amz-Signature=",
      1, true))
    assert.matches("^PUT\n/b/k\n", link.canonical_request)
  end)

  it("lasts 15 minutes when nothing else is asked", function()
    assert.truthy(sigv4.presign(s3()).url:find("X-Amz-Expires=900&", 1, true))
  end)
end)

describe("sigv4.verify", function()
  local function verify(t) return sigv4.verify(with({ date = 1795325400000, credentials = DOC }, t)) end

  it("tells who signed a header", function()
    local signed = sigv4.sign(sqs())
    local request = { method = "POST", url = "https://sqs.us-east-1.amazonaws.com/", headers = signed.headers, body = "{}" }
    assert.same({ access_key_id = DOC.access_key_id, region = "us-east-1", service = "sqs", presigned = false,
                  payload_hash = crypto.sha256("{}") }, (verify(request)))
    for field, value in pairs { method = "GET", body = "[]", url = "https://sqs.eu-west-1.amazonaws.com/" } do
      local who, err = verify(with(request, { [field] = value }))
      assert.is_nil(who)
      assert.equal("SignatureDoesNotMatch", err.code)
      assert.equal(403, err.status)
    end
  end)

  it("tells who signed a link, from the path as a server has it", function()
    local url = sigv4.presign(s3 { date = 1795325400000, expires = 60 }).url
    local host, target = url:match("^https://([^/]*)(/.*)$")
    local who = assert(verify { url = target, headers = { host = host } })
    assert.same({ access_key_id = DOC.access_key_id, region = "us-east-1", service = "s3", presigned = true,
                  payload_hash = "UNSIGNED-PAYLOAD" }, who)
    assert.truthy(verify { url = url, headers = {} })
    local _, err = verify { url = url, headers = {}, date = 1795325460000 }
    assert.equal("AccessDenied", err.code)
    assert.matches("expired", err.message)
    _, err = verify { url = url .. "0", headers = {} }
    assert.equal("SignatureDoesNotMatch", err.code)
  end)

  it("asks a function for the secret of a key", function()
    local url, asked = sigv4.presign(s3 { date = 1795325400000 }).url, nil
    local function secret(id)
      asked = id
      return id == DOC.access_key_id and DOC.secret_access_key or nil
    end
    assert.truthy(sigv4.verify { url = url, headers = {}, date = 1795325400000, secret = secret })
    assert.equal(DOC.access_key_id, asked)
    local other = sigv4.presign(s3 { date = 1795325400000, credentials = with(DOC, { access_key_id = "OTHER" }) }).url
    local who, err = sigv4.verify { url = other, headers = {}, date = 1795325400000, secret = secret }
    assert.is_nil(who)
    assert.equal("InvalidAccessKeyId", err.code)
    assert.equal("InvalidAccessKeyId", select(2, verify { url = other, headers = {} }).code)
  end)

  it("lets the function wait", function()
    local url = sigv4.presign(s3 { date = 1795325400000 }).url
    local co = coroutine.wrap(function()
      return sigv4.verify { url = url, headers = {}, date = 1795325400000, secret = function(id) return coroutine.yield(id) end }
    end)
    assert.equal(DOC.access_key_id, co())
    assert.truthy(co(DOC.secret_access_key))
  end)

  it("does not believe a hash that the body does not have, nor a body in pieces", function()
    local signed = sigv4.sign(s3 { method = "PUT", body = "right", date = 1795325400000 })
    local request = { method = "PUT", url = "https://examplebucket.s3.amazonaws.com/test.txt", headers = signed.headers }
    assert.truthy(verify(with(request, { body = "right" })))
    assert.equal("XAmzContentSHA256Mismatch", select(2, verify(with(request, { body = "wrong" }))).code)
    signed = sigv4.sign(s3 { method = "PUT", date = 1795325400000, body_sha256 = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" })
    local who, err = verify(with(request, { headers = signed.headers }))
    assert.is_nil(who)
    assert.equal("NotImplemented", err.code)
  end)

  it("names what is not signed, and not in time", function()
    assert.equal("AccessDenied", select(2, verify { url = "/", headers = { host = "h" } }).code)
    local signed = sigv4.sign(sqs())
    assert.equal("RequestTimeTooSkewed", select(2, verify { method = "POST", url = "/", body = "{}", date = 1795326300001,
      headers = with(signed.headers, { host = "sqs.us-east-1.amazonaws.com" }) }).code)
  end)
end)

describe("misuse of sigv4", function()
  local function raised(f, t)
    local ok, message = pcall(f, t)
    assert.is_false(ok)
    return message
  end

  for name, case in pairs {
    ["no table"] = { 1, "sign: the argument must be a table" },
    ["no url"] = { { url = false }, "sign: url must be a string" },
    ["a relative url"] = { { url = "/x" }, "sign: url must begin with http" },
    ["another scheme"] = { { url = "ftp://h/" }, "sign: url must begin with http" },
    ["a space in the url"] = { { url = "http://h/a b" }, "sign: url has byte 0x20 at 11" },
    ["a line break in the url"] = { { url = "http://h/\r\nX: y" }, "sign: url has byte 0x0d" },
    ["no host"] = { { url = "http:///x" }, "sign: url must have a host" },
    ["user information"] = { { url = "http://a:b@h/" }, "sign: url must not hold user information" },
    ["a service that is no name"] = { { service = "s 3" }, "sign: service must be a name" },
    ["a region that is no name"] = { { region = "a/b" }, "sign: region must be a name" },
    ["credentials that are none"] = { { credentials = "x" }, "sign: credentials must be a table" },
    ["a missing secret"] = { { credentials = { access_key_id = "a" } }, "sign: credentials.secret_access_key must be a string" },
    ["an empty key"] = { { credentials = with(DOC, { access_key_id = "" }) }, "sign: credentials.access_key_id must be a string" },
    ["a key with a comma"] = { { credentials = with(DOC, { access_key_id = "a,b" }) }, "sign: credentials.access_key_id has a char" },
    ["a token with a line break"] = { { credentials = with(DOC, { session_token = "a\nb" }) }, "credentials.session_token has a char" },
    ["a body that is no string"] = { { body = {} }, "sign: body must be a string, not table" },
    ["body and hash"] = { { body = "x", body_sha256 = EMPTY }, "sign: body_sha256 is given beside body" },
    ["a hash that is none"] = { { body_sha256 = "abc" }, "sign: body_sha256 must be 64 hex digits" },
    ["two hashes"] = { { body_sha256 = EMPTY, headers = { ["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD" } }, "sign: body_sha256 differs" },
    ["a header name that is none"] = { { headers = { ["a b"] = "c" } }, "sign: headers has a name that is none" },
    ["a header of another kind"] = { { headers = { a = true } }, "sign: headers.a must be a string" },
    ["a line break in a header"] = { { headers = { a = "b\r\nc" } }, "sign: headers.a must not hold line breaks" },
    ["headers that are none"] = { { headers = "a: b" }, "sign: headers must be a table" },
    ["seconds"] = { { date = 1795325400 }, "sign: date must be Unix milliseconds; this looks like seconds" },
    ["a date that is none"] = { { date = "yesterday" }, "sign: date must look like" },
    ["a date of another kind"] = { { date = {} }, "sign: date must be Unix milliseconds or text" },
    ["a method that is none"] = { { method = "GET /" }, "sign: method must be an HTTP method" },
    ["an unknown field"] = { { region_name = "x" }, "sign: region_name is no field" },
    ["normalize of another kind"] = { { normalize = "yes" }, "sign: normalize must be true or false" },
  } do
    it("is named: " .. name, function()
      local t = type(case[1]) == "table" and s3(case[1]) or case[1]
      local message = raised(sigv4.sign, t)
      assert.truthy(message:find(case[2], 1, true), message)
    end)
  end

  it("is raised where the function was called", function()
    assert.matches("sigv4_spec.lua:%d+: sigv4.sign: ", raised(function() sigv4.sign {} end))
    assert.matches("sigv4_spec.lua:%d+: sigv4.presign: ", raised(function() sigv4.presign {} end))
    assert.matches("sigv4_spec.lua:%d+: sigv4.verify: ", raised(function() sigv4.verify {} end))
  end)

  it("never shows the secret", function()
    for _, bad in ipairs { { date = 1 }, { url = "x" }, { headers = 1 } } do
      assert.is_nil(raised(sigv4.sign, s3(bad)):find(DOC.secret_access_key, 1, true))
    end
  end)

  for name, case in pairs {
    ["expires 0"] = { { expires = 0 }, "presign: expires must be 1 to 604800" },
    ["more than a week"] = { { expires = 604801 }, "presign: expires must be 1 to 604800" },
    ["a part of a second"] = { { expires = 1.5 }, "presign: expires must be 1 to 604800" },
    ["a signature in the url"] = { { url = "https://h/?X-Amz-Date=1" }, "presign: url cannot be signed" },
    ["another host"] = { { headers = { Host = "other" } }, "presign: headers.host differs" },
  } do
    it("is named by presign: " .. name, function()
      local message = raised(sigv4.presign, s3(case[1]))
      assert.truthy(message:find(case[2], 1, true), message)
    end)
  end

  for name, case in pairs {
    ["nobody to accept"] = { {}, "verify: credentials or secret must be given" },
    ["both"] = { { credentials = DOC, secret = print }, "verify: credentials or secret must be given, and not both" },
    ["a secret that is no function"] = { { secret = "s" }, "verify: secret must be a function" },
    ["a bad url"] = { { secret = print, url = "/a b" }, "verify: url has byte 0x20" },
    ["a field of sign"] = { { secret = print, region = "r" }, "verify: region is no field" },
    ["an empty secret"] = { { secret = function() return "" end, url = sigv4.presign(s3()).url, date = MAY_2013 },
      "verify: secret must return a string" },
  } do
    it("is named by verify: " .. name, function()
      local message = raised(sigv4.verify, with({ url = "/", headers = {} }, case[1]))
      assert.truthy(message:find(case[2], 1, true), message)
    end)
  end
end)
