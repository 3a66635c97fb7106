local t = require "t.local"
local json = require "cjson"

describe("the cloud port", function()
  local e
  before_each(function()
    e = assert(t.open { memory = true, now = 1700000000000 })
    assert(e:call("s3", "CreateBucket", '{"Bucket":"bkt"}'))
    assert(e:call("s3", "PutObject", json.encode { Bucket = "bkt", Key = "r/José 1.pdf", ContentType = "application/pdf",
      Metadata = { hash = "h" } }, "0123456789"))
  end)
  after_each(function() e:close() end)

  local function target(url) return (url:gsub("^http://[^/]+", "")) end
  local function link(method, more)
    local p = more or {}
    p.method, p.bucket, p.key, p.expires, p.host = method, "bkt", p.key or "r/José 1.pdf", p.expires or 300, p.host or "shop.test:8080"
    return (assert(e:presign(p)))
  end
  local function ask(method, url, more)
    local p = more or {}
    p.method, p.target = method, target(url)
    p.headers = p.headers or {}
    p.headers.Host = p.headers.Host or "shop.test:4566"
    return e:face(p)
  end

  local function code(...) return (select(3, ask(...)):match "<Code>(.-)</Code>") end
  local function open_with_keys(lines, now)
    e:close()
    local keys = os.tmpname()
    local f <close> = assert(io.open(keys, "w"))
    f:write(lines)
    f:flush()
    e = assert(t.open { memory = true, now = now, keys = keys })
    os.remove(keys)
  end

  it("signs for the caller's host with its own port, else for loopback", function()
    assert.matches("^http://shop.test:4566/bkt/r/Jos%%C3%%A9%%201.pdf%?", link("GET"))
    assert.matches("^http://127.0.0.1:4566/", (e:presign { method = "GET", bucket = "b", key = "k", host = "" }))
    assert.matches("^http://%[::1%]:4566/", (e:presign { method = "GET", bucket = "b", key = "k", host = "[::1]:80" }))
    assert.matches("^http://127.0.0.1:4566/", (e:presign { method = "GET", bucket = "b", key = "k", host = "evil/@x" }))
    e:endpoint(4566, "https://cloud.example/")
    assert.matches("^https://cloud.example/b/k%?", (e:presign { method = "GET", bucket = "b", key = "k", host = "x" }))
    assert.equal(1700000300000, select(2, e:presign { method = "GET", bucket = "b", key = "k", expires = 300 }))
    assert.is_nil((e:presign { method = "GET", bucket = "b", key = "k", expires = 604801 }))
  end)

  it("serves a presigned link with type, length range and metadata", function()
    local status, h, body = ask("GET", link("GET"))
    assert.same({ 200, "0123456789" }, { status, body })
    assert.same({ "application/pdf", '"' .. t.md5("0123456789") .. '"', "h", "bytes", "Tue, 14 Nov 2023 22:13:20 GMT" },
      { h["content-type"], h.etag, h["x-amz-meta-hash"], h["accept-ranges"], h["last-modified"] })
    status, h, body = ask("GET", link("GET"), { headers = { Range = "bytes=2-3" } })
    assert.same({ 206, "23", "bytes 2-3/10" }, { status, body, h["content-range"] })
    assert.equal(416, (ask("GET", link("GET"), { headers = { Range = "bytes=50-" } })))
    assert.equal(304, (ask("GET", link("GET"), { headers = { ["If-None-Match"] = h.etag } })))
    assert.equal(200, (ask("HEAD", link("HEAD"))))
  end)

  it("refuses a link after its time", function()
    local url = link("GET")
    e:advance(299000)
    assert.equal(200, (ask("GET", url)))
    e:advance(1001)
    local status, _, body = ask("GET", url)
    assert.equal(403, status)
    assert.matches("<Code>AccessDenied</Code><Message>Request has expired", body)
  end)

  it("refuses a link of which any byte was changed", function()
    local path = target(link("GET"))
    for i = 2, #path do
      local c = path:sub(i, i)
      if c ~= "%" then
        local other = path:sub(1, i - 1) .. (c == "0" and "1" or "0") .. path:sub(i + 1)
        local status = ask("GET", "http://h" .. other)
        assert.is_true(status >= 400, "accepted: " .. other)
      end
    end
  end)

  it("answers with the header fields that a signed link asks for", function()
    local query = { ["response-content-type"] = "text/plain; x=1", ["response-content-disposition"] = 'attachment; filename="Rëçu 1.pdf"',
      ["response-cache-control"] = "no-store", ["response-expires"] = "Thu, 01 Dec 1994 16:00:00 GMT",
      ["response-content-language"] = "de", ["response-content-encoding"] = "identity" }
    local url = link("GET", { query = query })
    local status, h = ask("GET", url)
    assert.equal(200, status)
    for name, value in pairs(query) do assert.equal(value, h[name:sub(10)]) end
    for name in pairs(query) do -- what was not signed does not count
      local plain = ask("GET", link("GET") .. "&" .. name .. "=x")
      assert.equal(403, plain)
    end
    assert.equal(403, (ask("GET", (url:gsub("no%-store", "public")))))
    assert.equal(400, (ask("GET", link("GET", { query = { ["response-content-type"] = "a\r\nX-Evil: 1" } }))))
    local url_or_nil, why = e:presign { method = "PUT", bucket = "bkt", key = "k", query = { ["response-expires"] = "x" } }
    assert.is_nil(url_or_nil)
    assert.matches("response%-expires", why)
    assert.matches("response%-foo", (select(2, e:presign { method = "GET", bucket = "b", key = "k", query = { ["response-foo"] = "x" } })))
    assert.matches("versionId", (select(2, e:presign { method = "PUT", bucket = "b", key = "k", query = { versionId = "1" } })))
    status = ask("GET", "http://h/bkt/r/Jos%C3%A9%201.pdf?response-foo=1", { sign = "s3" })
    assert.equal(501, status)
  end)

  it("demands the header fields that were signed into a link, as they were", function()
    local url = link("PUT", { key = "typed", headers = { ["content-type"] = "image/png", ["x-amz-meta-owner"] = "u 1" } })
    local function put(headers) return (ask("PUT", url, { body = "png", headers = headers })) end
    assert.equal(403, put {})
    assert.equal(403, put { ["Content-Type"] = "text/html", ["x-amz-meta-owner"] = "u 1" })
    assert.equal(403, put { ["Content-Type"] = "image/png" })
    assert.equal(200, put { ["Content-Type"] = "image/png", ["x-amz-meta-owner"] = "u 1" })
    local got = json.decode((e:call("s3", "GetObject", '{"Bucket":"bkt","Key":"typed"}')))
    assert.same({ "image/png", "u 1" }, { got.ContentType, got.Metadata.owner })
  end)

  it("refuses another method, another host, extra parameters and no signature", function()
    assert.equal(403, (ask("PUT", link("GET"))))
    assert.equal(403, (ask("GET", link("GET"), { headers = { Host = "other:4566" } })))
    assert.equal(403, (ask("GET", link("GET") .. "&response-content-type=text/html")))
    local status, _, body = ask("GET", "http://h/bkt/k")
    assert.equal(403, status)
    assert.matches("<Code>AccessDenied</Code>", body)
  end)

  it("stores what is put through a presigned link", function()
    local url = link("PUT", { key = "up/new.txt" })
    local status, h = ask("PUT", url, { body = "new bytes", headers = { ["Content-Type"] = "text/plain" } })
    assert.same({ 200, '"' .. t.md5("new bytes") .. '"' }, { status, h.etag })
    local got, bytes = e:call("s3", "GetObject", '{"Bucket":"bkt","Key":"up/new.txt"}')
    assert.equal("new bytes", bytes)
    assert.equal("text/plain", json.decode(got).ContentType)
    assert.equal(412, (ask("PUT", url, { body = "x", headers = { ["If-None-Match"] = "*" } })))
    assert.equal(400, (ask("PUT", url, { body = "x", headers = { ["Content-MD5"] = "AAAAAAAAAAAAAAAAAAAAAA==" } })))
    assert.equal(403, (ask("PUT", url, { body = "x", headers = { ["x-amz-acl"] = "public-read" } })))
  end)

  it("accepts requests signed in their header, with metadata, and verifies the payload's hash", function()
    local function put(more)
      more.sign = more.sign or "s3"
      more.body = more.body or "signed"
      return ask("PUT", "http://h/bkt/signed%20key", more)
    end
    assert.equal(200, (put { headers = { ["x-amz-meta-Order"] = "7" } }))
    local got = assert(e:call("s3", "GetObject", '{"Bucket":"bkt","Key":"signed key"}'))
    assert.same({ order = "7" }, json.decode(got).Metadata)
    local status, h, body = ask("GET", "http://h/bkt/signed%20key?response-content-type=text%2Fhtml&x-id=GetObject", { sign = "s3" })
    assert.same({ 200, "signed", "text/html", "7" }, { status, body, h["content-type"], h["x-amz-meta-order"] })
    local _
    status, _, body = put { payload_hash = ("0"):rep(64) }
    assert.equal(400, status)
    assert.matches("XAmzContentSHA256Mismatch", body)
    for name, more in pairs { ["x%-amz%-acl"] = { headers = { ["x-amz-acl"] = "public-read" } },
      ["STREAMING%-AWS4%-ECDSA"] = { payload_hash = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD" } } do
      status, _, body = put(more)
      assert.equal(501, status)
      assert.matches(name, body)
    end
    for _, what in ipairs { "acl", "policy", "cors", "website", "replication" } do
      status, _, body = ask("GET", "http://h/bkt?" .. what, { sign = "s3" })
      assert.equal(501, status)
      assert.matches("<Code>NotImplemented</Code>.*%?" .. what, body)
    end
    assert.equal(405, (ask("POST", "http://h/bkt/signed%20key", { sign = "s3" })))
  end)

  it("tells errors in S3's XML, escaped", function()
    local status, h, body = ask("GET", link("GET", { key = "no <&> such" }))
    assert.same({ 404, "application/xml" }, { status, h["content-type"] })
    assert.matches("<Code>NoSuchKey</Code><Message>The specified key does not exist: no &lt;&amp;&gt; such</Message>", body)
    assert.equal("", select(3, ask("HEAD", link("HEAD", { key = "none" }))))
  end)

  it("says of a malformed Authorization header what AWS says", function()
    local function refused(name, message, authorization, more)
      local p = more or {}
      p.headers = authorization and { Authorization = authorization, ["X-Amz-Date"] = "20231114T221320Z" } or {}
      local status, _, body = ask("GET", "http://h/bkt/k", p)
      assert.equal(name == "AccessDenied" and 403 or 400, status)
      assert.equal(name, body:match "<Code>(.-)</Code>")
      assert.equal(message, (body:match("<Message>(.-)</Message>"):gsub("&quot;", '"'):gsub("&lt;", "<"):gsub("&gt;", ">")))
    end
    local malformed, prefix = "AuthorizationHeaderMalformed", "The authorization header is malformed; "
    refused(malformed, prefix .. "the authorization header requires three components: Credential, SignedHeaders, and Signature.",
      "AWS4-HMAC-SHA256 Credential=a/20231114/us-east-1/s3/aws4_request")
    refused(malformed, prefix .. 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
      "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=0")
    refused(malformed, prefix .. 'incorrect terminal "x". This endpoint uses "aws4_request".',
      "AWS4-HMAC-SHA256 Credential=a/20231114/us-east-1/s3/x, SignedHeaders=host, Signature=0")
    refused(malformed, prefix .. 'incorrect service "ec2". This endpoint belongs to "s3".', nil, { sign = "ec2" })
    refused("InvalidArgument", "Unsupported Authorization Type", "Digest x")
    refused("AccessDenied", "Access Denied", "")
    local status, _, body = ask("GET", (link("GET"):gsub("aws4_request", "aws4")))
    assert.equal(400, status)
    assert.matches('<Code>AuthorizationQueryParametersError</Code><Message>Error parsing the X%-Amz%-Credential parameter; incorrect terminal', body)
  end)

  it("takes links of Signature Version 2, the documented one too, and refuses it in headers", function()
    open_with_keys("AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n", 1175139600000)
    assert(e:call("s3", "CreateBucket", '{"Bucket":"johnsmith"}'))
    assert(e:call("s3", "PutObject", '{"Bucket":"johnsmith","Key":"photos/puppy.jpg"}', "puppy"))
    local query = "/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires=1175139620&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D"
    assert.equal("puppy", (select(3, ask("GET", "http://h/johnsmith" .. query))))
    assert.equal("puppy", (select(3, ask("GET", "http://h" .. query, { headers = { Host = "johnsmith.s3.localhost:4566" } }))))
    assert.equal("SignatureDoesNotMatch", code("PUT", "http://h/johnsmith" .. query))
    assert.equal("SignatureDoesNotMatch", code("GET", "http://h/johnsmith" .. query:gsub("puppy", "kitty")))
    assert.equal("SignatureDoesNotMatch", code("GET", "http://h/johnsmith" .. query:gsub("139620", "139621")))
    assert.equal("SignatureDoesNotMatch", code("GET", "http://h/johnsmith" .. query .. "&response-content-type=text/html"))
    assert.equal("InvalidAccessKeyId", code("GET", "http://h/johnsmith" .. query:gsub("7EXAMPLE", "8EXAMPLE")))
    e:advance(20000)
    assert.equal("AccessDenied", code("GET", "http://h/johnsmith" .. query))
    assert.equal("InvalidRequest", code("GET", "http://h/johnsmith/k", { headers = { Authorization = "AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=",
      Date = "Tue, 27 Mar 2007 19:36:42 +0000" } }))
  end)

  it("judges a header by the time its request began, a link by its own, and both by host and port", function()
    local now, object = os.time() * 1000, "http://h/bkt/r/Jos%C3%A9%201.pdf"
    assert.equal("RequestTimeTooSkewed", code("GET", object, { sign = "s3", at = now - 16 * 60000 }))
    assert.equal("RequestTimeTooSkewed", code("GET", object, { sign = "s3", at = now + 16 * 60000 }))
    assert.equal(403, (ask("GET", object, { sign = "s3", at = now - 16 * 60000 })))
    assert.equal(200, (ask("GET", object, { sign = "s3", at = now - 16 * 60000, age = 2 * 60000 })))
    local url = link("GET", { expires = 3600 })
    e:advance(50 * 60000)
    assert.equal(200, (ask("GET", url)))
    e:advance(-64 * 60000)
    assert.equal(200, (ask("GET", url)))
    e:advance(-2 * 60000)
    assert.equal("AccessDenied", code("GET", url))
    e:advance(16 * 60000)
    assert.equal("SignatureDoesNotMatch", code("GET", url, { headers = { Host = "shop.test:4567" } }))
    assert.equal("SignatureDoesNotMatch", code("GET", url, { headers = { Host = "shop.test" } }))
  end)

  it("knows keys whose names hold '+' and '/'", function()
    open_with_keys("AK+ID/x=1 se/cr+et=\n")
    assert.equal(200, (ask("PUT", "http://h/bkt", { sign = "s3", access_key = "AK+ID/x=1", secret_key = "se/cr+et=" })))
    assert.equal(403, (ask("PUT", "http://h/bkt", { sign = "s3", access_key = "AK+ID/x=1", secret_key = "se/cr+et" })))
    assert.equal(403, (ask("PUT", "http://h/bkt", { sign = "s3", access_key = "AK+ID/x", secret_key = "se/cr+et=" })))
  end)
end)
