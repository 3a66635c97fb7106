local t = require "t.local"
local json = require "cjson"

describe("multipart forms", function()
  local type_ = 'multipart/form-data; boundary="x y"'
  local function parse(parts, content_type)
    return t.form(content_type or type_, "preamble\r\n" .. table.concat(parts, "\r\n") .. "\r\n--x y--\r\nepilogue")
  end
  local function part(head, value) return "--x y\r\n" .. head .. "\r\n\r\n" .. value end

  it("are read field by field, bytes as they are", function()
    local bytes = "\0\r\n--x\r\n--x yz\r\n\255"
    assert.same({ { "key", "a/${filename}", false }, { "Empty", "", false }, { "file", bytes, 'a "b";.pdf' } }, parse {
      part('Content-Disposition: form-data; name="key"', "a/${filename}"),
      part("content-disposition:form-data;name=Empty", ""),
      part('Content-Disposition: form-data; name="file"; filename="a \\"b\\";.pdf"\r\nContent-Type: x/y', bytes) })
    assert.same({ { "k", "v", false } }, t.form("multipart/form-data;boundary=B",
      '--B\r\nContent-Disposition: form-data; name="k"\r\n\r\nv\r\n--B--'))
  end)

  it("that are cut off or no forms at all are refused, saying why", function()
    local good = part('Content-Disposition: form-data; name="k"', "v")
    for why, answer in pairs {
      ["boundary does not occur"] = { t.form(type_, "") },
      ["no end"] = { t.form(type_, good) },
      ["no valid boundary"] = { t.form("multipart/form-data", good) },
      ["another"] = { t.form("text/plain; boundary=x", good) },
      ["no name"] = { parse { part("Content-Disposition: form-data", "v") } },
      ["no form%-data"] = { parse { part("X: y", "v") } },
      ["without a colon"] = { parse { part("hello", "v") } },
      ["no end of them"] = { parse { "--x y\r\nContent-Disposition: form-data" } },
      ["transfer encoding"] = { parse { part('Content-Disposition: form-data; name="k"\r\nContent-Transfer-Encoding: base64', "v") } },
      ["larger than 8 KiB"] = { parse { part('Content-Disposition: form-data; name="' .. ("n"):rep(9000) .. '"', "v") } },
      ["more than 2 fields"] = { t.form(type_, good .. "\r\n" .. good .. "\r\n" .. good .. "\r\n--x y--", 2) },
    } do
      assert.is_nil(answer[1])
      assert.equal("MalformedPOSTRequest", answer[2])
      assert.matches(why, answer[3])
    end
  end)

  it("cut at any byte never crash the reader", function()
    local body = part('Content-Disposition: form-data; name="k"; filename="f"', "v") .. "\r\n--x y--"
    for i = 0, #body - 1 do assert.is_nil((t.form(type_, body:sub(1, i)))) end
  end)
end)

describe("uploads by form", function()
  local e
  before_each(function()
    e = assert(t.open { memory = true, now = 1700000000000 })
    assert(e:call("s3", "CreateBucket", '{"Bucket":"bkt"}'))
  end)
  after_each(function() e:close() end)

  local function form(params)
    params.Bucket, params.Key = params.Bucket or "bkt", params.Key or "up/${filename}"
    local text, until_ms = assert(e:post_form(json.encode(params), "shop.test:8080"))
    local f = json.decode(text)
    f.until_ms = until_ms
    return f
  end

  -- Sends the fields of a form (in any order, the file last) like a browser.
  local function post(f, more)
    more = more or {}
    local parts = {}
    for name, value in pairs(f.fields) do
      parts[#parts + 1] = ('--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s'):format(name, value)
    end
    parts[#parts + 1] = ('--B\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\nContent-Type: x/y\r\n\r\n%s'):format(
      more.filename or "C:\\dir\\photo 1.png", more.body or "bytes")
    parts[#parts + 1] = '--B\r\nContent-Disposition: form-data; name="submit"\r\n\r\nSend' -- behind the file: ignored
    return e:face { method = "POST", target = more.target or (f.url:gsub("^http://[^/]+", "")),
      headers = { Host = "shop.test:4566", ["Content-Type"] = more.type or "multipart/form-data; boundary=B" },
      body = table.concat(parts, "\r\n") .. "\r\n--B--\r\n" }
  end
  local function refused(status, code, why, f, more)
    local got, _, body = post(f, more)
    assert.matches(why, body)
    assert.matches("<Code>" .. code .. "</Code>", body)
    assert.equal(status, got)
  end

  it("store what the policy allows", function()
    local f = form { ExpiresIn = 60, Fields = { ["Content-Type"] = "image/png", ["x-amz-meta-Owner"] = "u1", acl = "private" },
      Conditions = { { "content-length-range", 1, 10 } } }
    assert.equal("http://shop.test:4566/bkt", f.url)
    assert.equal(1700000060000, f.until_ms)
    local status, h, body = post(f)
    assert.same({ 204, "", '"' .. t.md5("bytes") .. '"' }, { status, body, h.etag })
    assert.equal("http://shop.test:4566/bkt/up/photo%201.png", h.location)
    local got, bytes = e:call("s3", "GetObject", '{"Bucket":"bkt","Key":"up/photo 1.png"}')
    assert.equal("bytes", bytes)
    got = json.decode(got)
    assert.same({ "image/png", "u1" }, { got.ContentType, got.Metadata.owner })
  end)

  it("name the file behind any bytes", function()
    assert.equal(204, (post(form { Fields = { ["Content-Type"] = "a\0${filename}" } })))
    refused(400, "InvalidArgument", "without NUL", form { Key = "up\0/${filename}" })
  end)

  it("are answered as the form wishes", function()
    local status, _, body = post(form { Key = "a&b", Fields = { success_action_status = "201" } })
    assert.equal(201, status)
    assert.matches("<Location>http://shop.test:4566/bkt/a%%26b</Location><Bucket>bkt</Bucket><Key>a&amp;b</Key>", body)
    assert.equal(200, (post(form { Fields = { success_action_status = "200" } })))
    assert.equal(204, (post(form { Fields = { success_action_status = "500" } })))
    local h
    status, h = post(form { Key = "k 1", Fields = { success_action_redirect = "https://shop.test/done?x=1" } })
    assert.equal(303, status)
    assert.equal("https://shop.test/done?x=1&bucket=bkt&key=k%201&etag=%22" .. t.md5("bytes") .. "%22", h.location)
    assert.equal(204, (post(form { Fields = { success_action_redirect = "javascript:alert(1)" } })))
  end)

  it("end with the policy's time", function()
    local f = form { ExpiresIn = 60 }
    e:advance(59999)
    assert.equal(204, (post(f)))
    e:advance(1)
    refused(403, "AccessDenied", "Policy expired", f)
  end)

  it("are refused when anything that was signed is changed, left out or added", function()
    local f = form { Fields = { ["Content-Type"] = "image/png" } }
    for name in pairs(f.fields) do
      local kept = f.fields[name]
      f.fields[name] = kept:gsub("%w", { a = "b", i = "j", [kept:match "%w"] = kept:match "%w" == "0" and "1" or "0" }, 1)
      assert.not_equal(kept, f.fields[name])
      local status = post(f)
      assert.is_true(status == 403 or status == 400, name .. ": " .. status)
      f.fields[name] = nil
      status = post(f)
      assert.is_true(status == 403 or status == 400, name .. " missing: " .. status)
      f.fields[name] = kept
    end
    f.fields["x-amz-meta-more"] = "1"
    refused(403, "AccessDenied", "Extra input fields: x%-amz%-meta%-more", f)
    f.fields["x-amz-meta-more"] = nil
    f.fields["x-ignore-me"] = "1"
    assert.equal(204, (post(f)))
    assert.equal(0, tonumber((e:sql("SELECT count(*) FROM objects WHERE key='up/photo 1.png'")[1][1])) - 1)
  end)

  it("must keep the caller's conditions", function()
    local f = form { Key = "user/7/${filename}", Conditions = { { "starts-with", "$Content-Type", "image/" },
      { "eq", "$x-amz-meta-a", "1" }, { ["x-amz-meta-b"] = "2" } } }
    f.fields["Content-Type"], f.fields["x-amz-meta-a"], f.fields["X-Amz-Meta-B"] = "image/a,image/b", "1", "2"
    assert.equal(204, (post(f)))
    f.fields["Content-Type"] = "image/a, text/html"
    refused(403, "AccessDenied", "starts%-with.*Content%-Type", f)
    f.fields["Content-Type"], f.fields["x-amz-meta-a"] = "image/a", "11"
    refused(403, "AccessDenied", "eq.*x%-amz%-meta%-a", f)
    f.fields["x-amz-meta-a"], f.fields.key = "1", "user/8/x"
    refused(403, "AccessDenied", "user/7/", f)
    local ranged = form { Conditions = { { "content-length-range", 3, 5 } } }
    assert.equal(204, (post(ranged)))
    refused(400, "EntityTooLarge", "exceeds the maximum allowed size of 5", ranged, { body = "123456" })
    refused(400, "EntityTooSmall", "minimum allowed size of 3", ranged, { body = "12" })
    refused(403, "AccessDenied", "bucket", form { Conditions = { { bucket = "other" } } })
  end)

  it("cannot leave the prefix by the name of the file", function()
    local f = form { Key = "p/${filename}" }
    assert.equal(204, (post(f, { filename = "../../q/${filename}" })))
    assert(e:call("s3", "HeadObject", '{"Bucket":"bkt","Key":"p/${filename}"}'))
  end)

  it("of other shapes get S3's errors", function()
    local f = form {}
    refused(412, "PreconditionFailed", "enclosure%-type", f, { type = "application/x-www-form-urlencoded" })
    refused(400, "MalformedPOSTRequest", "boundary does not occur", f, { type = "multipart/form-data; boundary=other" })
    refused(404, "NoSuchBucket", "none", form { Bucket = "none" })
    refused(405, "MethodNotAllowed", "this resource", f, { target = "/bkt/key" })
    refused(501, "NotImplemented", "uploads", f, { target = "/bkt?uploads" })
    refused(501, "NotImplemented", "x%-amz%-storage%-class", form { Fields = { ["x-amz-storage-class"] = "GLACIER" } })
    refused(400, "MaxPostPreDataLengthExceeded", "too large", form { Fields = { ["x-amz-meta-a"] = ("a"):rep(20000) } })
    local policy = f.fields.policy
    f.fields.policy = nil
    refused(403, "AccessDenied", "no policy", f)
    f.fields.policy = policy
    f.fields["x-amz-credential"] = "perigee/20231113/us-east-1/s3/aws4_request"
    refused(400, "InvalidArgument", "Credential", f)
    f.fields["x-amz-credential"] = "other/20231114/us-east-1/s3/aws4_request"
    refused(403, "InvalidAccessKeyId", "Key Id", f)
  end)

  it("are not made of parameters that say nothing", function()
    for why, params in pairs {
      ["Key is missing"] = '{"Bucket":"b"}', ["Bucket is missing"] = '{"Key":"k"}', ["ExpiresIn"] = '{"Bucket":"b","Key":"k","ExpiresIn":0}',
      ["Fields.policy"] = '{"Bucket":"b","Key":"k","Fields":{"policy":"x"}}', ["Fields.a is number"] = '{"Bucket":"b","Key":"k","Fields":{"a":1}}',
      ["Conditions%[2%]"] = '{"Bucket":"b","Key":"k","Conditions":[{"a":"b"},["gt","$a","b"]]}', ["Expires %("] = '{"Bucket":"b","Key":"k","Expires":1}',
    } do
      local f, message = e:post_form(params, "")
      assert.is_nil(f)
      assert.matches(why, message)
    end
  end)
end)
