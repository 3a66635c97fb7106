-- Where S3's rules are finer than clients need: names, tags, checksums nobody sent, markers, what is not there.
local helper = require "unit.local.s3_helper"
local all = helper.all

describe("S3's rules", function()
  local s
  before_each(function() s = helper.open() end)
  after_each(function() s.close() end)
  local function ok(...) return s.ok(...) end
  local function refused(...) return s.refused(...) end

  describe("on buckets", function()
    it("keep reserved names and dots beside hyphens out", function()
      for _, name in ipairs { "xn--abc", "sthree-abc", "amzn-s3-demo-abc", "abc-s3alias", "abc--ol-s3", "abc.mrap", "abc--x-s3", "abc--table-s3",
        "a.-b", "a-.b", "a..b", "192.168.5.4", "ab", ("a"):rep(64), "-abc", "abc-", "a_b" } do
        refused(400, "InvalidBucketName", "PUT", "/" .. name)
      end
      for _, name in ipairs { "a.b", "1.2.3", "192.168.5.4a", "a--b", ("a"):rep(63) } do ok(200, "PUT", "/" .. name) end
    end)

    it("are one account's, whichever of its keys asks", function()
      local path = os.tmpname()
      local f <close> = assert(io.open(path, "w"))
      f:write "OTHERKEY other-secret\n"
      f:flush()
      s.close()
      s = helper.open { memory = true, keys = path }
      os.remove(path)
      local other = { access_key = "OTHERKEY", secret_key = "other-secret" }
      ok(200, "PUT", "/theirs", "", {}, other)
      for _, keys in ipairs { {}, { access_key = "OTHERKEY", secret_key = "other-secret" } } do
        assert.equal("bkt theirs", all(ok(200, "GET", "/", "", {}, keys), "Name"))
      end
    end)

    it("tell pages of their list", function()
      for _, name in ipairs { "page-a", "page-b", "page-c" } do ok(200, "PUT", "/" .. name) end
      local seen, token, pages = {}, "", 0
      repeat
        local body = ok(200, "GET", "/?prefix=page-&max-buckets=2" .. (token ~= "" and "&continuation-token=" .. token or ""))
        seen[#seen + 1], token, pages = all(body, "Name"), all(body, "ContinuationToken"), pages + 1
        assert.equal("page-", all(body, "Prefix"))
      until token == ""
      assert.same({ 2, "page-a page-b page-c" }, { pages, table.concat(seen, " ") })
      for _, max in ipairs { "0", "10001", "x", "-1" } do refused(400, "InvalidArgument", "GET", "/?max-buckets=" .. max) end
      refused(400, "InvalidArgument", "GET", "/?continuation-token=%21")
      assert.equal("", all(ok(200, "GET", "/?bucket-region=eu-west-1"), "Name"))
    end)
  end)

  describe("on tags", function()
    local function put(key, value)
      return "PUT", "/bkt/k?tagging", ("<Tagging><TagSet><Tag><Key>%s</Key><Value>%s</Value></Tag></TagSet></Tagging>"):format(key, value)
    end
    before_each(function() ok(200, "PUT", "/bkt/k", "x") end)

    it("let letters, digits, spaces and + - = . _ : / @ in", function()
      ok(200, put("aZ09 +-=._:/@ü", "aZ09 +-=._:/@Ω"))
      for _, c in ipairs { "1&amp;", "&lt;", "a*", "a,b", "a;b", "(", "\t", "a#", "?", "\\", "&#34;" } do
        refused(400, "InvalidTag", put(c, "v"))
        refused(400, "InvalidTag", put("k", c))
      end
      refused(400, "InvalidTag", "PUT", "/bkt/h", "x", { ["x-amz-tagging"] = "a=1%26" })
      assert.equal("aZ09 +-=._:/@Ω", all(ok(200, "GET", "/bkt/k?tagging"), "Value"))
    end)

    it("want both halves, and ten at most", function()
      refused(400, "InvalidTag", put("", "v"))
      ok(200, put("k", ""))
      refused(400, "MalformedXML", "PUT", "/bkt/k?tagging", "<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>")
      local many = {}
      for i = 1, 11 do many[i] = "k" .. i .. "=v" end
      refused(400, "BadRequest", "PUT", "/bkt/h", "x", { ["x-amz-tagging"] = table.concat(many, "&") })
      ok(200, "PUT", "/bkt/h", "x", { ["x-amz-tagging"] = table.concat(many, "&", 1, 10) })
    end)
  end)

  describe("on checksums", function()
    local SUM = "rosUhgp5mIg=" -- CRC64NVME of "123456789"
    local function enabled(range) return { ["x-amz-checksum-mode"] = "ENABLED", Range = range } end

    it("add CRC64NVME where nobody sent one", function()
      local _, h = ok(200, "PUT", "/bkt/k", "123456789")
      assert.same({ SUM, "FULL_OBJECT" }, { h["x-amz-checksum-crc64nvme"], h["x-amz-checksum-type"] })
      for _, method in ipairs { "GET", "HEAD" } do
        _, h = ok(200, method, "/bkt/k", "", enabled())
        assert.same({ SUM, "FULL_OBJECT" }, { h["x-amz-checksum-crc64nvme"], h["x-amz-checksum-type"] })
        assert.is_nil((select(2, ok(200, method, "/bkt/k")))["x-amz-checksum-crc64nvme"])
      end
      local body = ok(200, "PUT", "/bkt/copy", "", { ["x-amz-copy-source"] = "bkt/k" })
      assert.same({ SUM, "FULL_OBJECT" }, { all(body, "ChecksumCRC64NVME"), all(body, "ChecksumType") })
      for _, list in ipairs { "list-type=2", "versions", "" } do
        body = ok(200, "GET", "/bkt?" .. list)
        assert.same({ "CRC64NVME CRC64NVME", "FULL_OBJECT FULL_OBJECT" }, { all(body, "ChecksumAlgorithm"), all(body, "ChecksumType") })
      end
    end)

    it("leave it to another that was sent", function()
      local _, h = ok(200, "PUT", "/bkt/k", "123456789", { ["x-amz-checksum-crc32"] = "y/Q5Jg==" })
      assert.same({ "y/Q5Jg==" }, { h["x-amz-checksum-crc32"], h["x-amz-checksum-crc64nvme"] })
      assert.equal("CRC32", all(ok(200, "GET", "/bkt?list-type=2"), "ChecksumAlgorithm"))
    end)

    it("give it with a range of everything, not of less", function()
      ok(200, "PUT", "/bkt/k", "123456789")
      assert.equal(SUM, (select(2, ok(206, "GET", "/bkt/k", "", enabled "bytes=0-8")))["x-amz-checksum-crc64nvme"])
      assert.is_nil((select(2, ok(206, "GET", "/bkt/k", "", enabled "bytes=0-7")))["x-amz-checksum-crc64nvme"])
    end)

    it("add it to what is made of parts too", function()
      local _, h = ok(200, "POST", "/bkt/k?uploads")
      assert.is_nil(h["x-amz-checksum-algorithm"])
      local id = all(ok(200, "POST", "/bkt/k?uploads"), "UploadId")
      local _, part = ok(200, "PUT", "/bkt/k?partNumber=1&uploadId=" .. id, "123456789")
      local body
      body, h = ok(200, "POST", "/bkt/k?uploadId=" .. id, ("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag></Part>" ..
        "</CompleteMultipartUpload>"):format(part.etag))
      assert.same({ SUM, "FULL_OBJECT" }, { all(body, "ChecksumCRC64NVME"), all(body, "ChecksumType") })
      assert.is_nil(h["x-amz-checksum-type"])
    end)

    it("tell an upload's in header fields", function()
      local body, h = ok(200, "POST", "/bkt/k?uploads", "", { ["x-amz-checksum-algorithm"] = "CRC32" })
      assert.same({ "CRC32", "COMPOSITE" }, { h["x-amz-checksum-algorithm"], h["x-amz-checksum-type"] })
      assert.is_nil(body:find "Checksum")
      refused(400, "InvalidRequest", "PUT", "/bkt/k?partNumber=1&uploadId=" .. all(body, "UploadId"), "x")
    end)
  end)

  describe("on conditions", function()
    it("of writing know one at a time", function()
      local _, h = ok(200, "PUT", "/bkt/k", "1")
      for _, headers in ipairs { { ["If-None-Match"] = h.etag }, { ["If-Match"] = "*" }, { ["If-Match"] = h.etag, ["If-None-Match"] = "*" } } do
        refused(501, "NotImplemented", "PUT", "/bkt/k", "2", headers)
      end
      ok(200, "PUT", "/bkt/k", "2", { ["If-Match"] = h.etag })
      refused(412, "PreconditionFailed", "PUT", "/bkt/k", "3", { ["If-Match"] = h.etag })
      refused(404, "NoSuchKey", "PUT", "/bkt/none", "3", { ["If-Match"] = h.etag })
    end)

    it("refuse a copy of an object onto itself that changes nothing", function()
      ok(200, "PUT", "/bkt?versioning", "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
      local _, h = ok(200, "PUT", "/bkt/k", "1")
      refused(400, "InvalidRequest", "PUT", "/bkt/k", "", { ["x-amz-copy-source"] = "bkt/k" })
      ok(200, "PUT", "/bkt/k", "", { ["x-amz-copy-source"] = "bkt/k?versionId=" .. h["x-amz-version-id"] })
      ok(200, "PUT", "/bkt/k", "", { ["x-amz-copy-source"] = "bkt/k", ["x-amz-metadata-directive"] = "REPLACE" })
    end)
  end)

  describe("on lists", function()
    before_each(function()
      for _, key in ipairs { "a", "dir/a", "dir/b", "dir/sub/c", "zz" } do ok(200, "PUT", "/bkt/" .. key) end
    end)

    it("go past the common prefix that a marker is in, but not past one that StartAfter is in", function()
      for _, marker in ipairs { "dir/", "dir/a", "dir/zz" } do
        assert.equal("zz", all(ok(200, "GET", "/bkt?delimiter=/&marker=" .. marker), "Key"))
        assert.equal("", all(ok(200, "GET", "/bkt?delimiter=/&marker=" .. marker), "CommonPrefixes"))
        local versions = ok(200, "GET", "/bkt?versions&delimiter=/&key-marker=" .. marker)
        assert.same({ "zz", "" }, { all(versions, "Key"), all(versions, "CommonPrefixes") })
      end
      assert.matches("<Prefix>dir/</Prefix>", all(ok(200, "GET", "/bkt?list-type=2&delimiter=/&start-after=dir/a"), "CommonPrefixes"))
    end)

    it("count at most 1000 and know two types", function()
      assert.equal("1000", all(ok(200, "GET", "/bkt?list-type=2&max-keys=5000"), "MaxKeys"))
      assert.equal("0", all(ok(200, "GET", "/bkt?list-type=2&max-keys=0"), "KeyCount"))
      for _, query in ipairs { "list-type=3", "list-type=", "list-type=2&max-keys=-1", "max-keys=x", "list-type=2&continuation-token=",
        "list-type=2&continuation-token=x", "encoding-type=xml" } do refused(400, "InvalidArgument", "GET", "/bkt?" .. query) end
    end)
  end)

  it("on metadata keep a value that is empty, and no space around one", function()
    ok(200, "PUT", "/bkt/spaced", "x", { ["x-amz-meta-a"] = " v  w " })
    assert.equal("v  w", (select(2, ok(200, "HEAD", "/bkt/spaced")))["x-amz-meta-a"])
    ok(200, "PUT", "/bkt/k", "x", { ["x-amz-meta-empty"] = "", ["x-amz-meta-a"] = "1" })
    local _, h = ok(200, "GET", "/bkt/k")
    assert.same({ "", "1" }, { h["x-amz-meta-empty"], h["x-amz-meta-a"] })
  end)

  it("on what is not modified tell what caches keep of it", function()
    local _, put = ok(200, "PUT", "/bkt/k", "x", { ["Cache-Control"] = "max-age=60", Expires = "Fri, 01 Jun 2035 12:00:00 GMT", ["Content-Type"] = "a/b" })
    local status, h, body = s.ask("GET", "/bkt/k", "", { ["If-None-Match"] = put.etag })
    assert.same({ 304, "", put.etag, "max-age=60", "Fri, 01 Jun 2035 12:00:00 GMT" }, { status, body, h.etag, h["cache-control"], h.expires })
    assert.matches("GMT$", h["last-modified"])
    _, h = refused(412, "PreconditionFailed", "GET", "/bkt/k", "", { ["If-Match"] = '"0"' })
    assert.is_nil(h.etag)
  end)

  it("on deletion tell of each object", function()
    local body = "<Delete><Object><Key>none</Key></Object><Object><Key>k</Key><VersionId>no version</VersionId></Object></Delete>"
    local answer = ok(200, "POST", "/bkt?delete", body, { ["Content-MD5"] = helper.md5(body) })
    assert.same({ "none k", "NoSuchVersion" }, { all(answer, "Key"), all(answer, "Code") })
    for _, bad in ipairs { "<Delete><Object></Object></Delete>", "<Delete><Object><Key></Key></Object></Delete>" } do
      refused(400, "MalformedXML", "POST", "/bkt?delete", bad, { ["Content-MD5"] = helper.md5(bad) })
    end
  end)

  it("let nobody in without a signature, and store nothing of theirs", function()
    ok(200, "PUT", "/bkt/k", "x")
    for _, request in ipairs { { "GET", "/bkt/k" }, { "HEAD", "/bkt/k" }, { "PUT", "/bkt/new" }, { "DELETE", "/bkt/k" }, { "GET", "/bkt" }, { "GET", "/k", "bkt.s3.localhost:4566" } } do
      local status, _, body = s.e:face { method = request[1], target = request[2], headers = { Host = request[3] or "shop.test:4566" } }
      assert.equal(403, status)
      assert.equal(request[1] == "HEAD" and "" or "AccessDenied", all(body, "Code"))
    end
    assert.equal("k", all(ok(200, "GET", "/bkt?list-type=2"), "Key"))
  end)

  it("say by its name what there is not", function()
    ok(200, "PUT", "/bkt/k", "x")
    for request, name in pairs {
      ["GET /bkt?acl"] = "GetBucketAcl", ["PUT /bkt?acl"] = "PutBucketAcl", ["GET /bkt/k?acl"] = "GetObjectAcl",
      ["GET /bkt?policy"] = "GetBucketPolicy", ["DELETE /bkt?policy"] = "DeleteBucketPolicy", ["GET /bkt?policyStatus"] = "GetBucketPolicyStatus",
      ["GET /bkt?website"] = "GetBucketWebsite", ["PUT /bkt?cors"] = "PutBucketCors", ["GET /bkt?encryption"] = "GetBucketEncryption",
      ["GET /bkt?tagging"] = "GetBucketTagging", ["PUT /bkt?publicAccessBlock"] = "PutPublicAccessBlock",
      ["GET /bkt?notification"] = "GetBucketNotificationConfiguration", ["GET /bkt?object-lock"] = "GetObjectLockConfiguration",
      ["GET /bkt?intelligent-tiering&id=x"] = "GetBucketIntelligentTieringConfiguration", ["PUT /bkt/k?retention"] = "PutObjectRetention",
      ["GET /bkt/k?torrent"] = "GetObjectTorrent", ["POST /bkt/k?restore"] = "RestoreObject", ["POST /bkt/k?select&select-type=2"] = "SelectObjectContent",
      ["PUT /bkt/k?renameObject"] = "RenameObject", ["GET /bkt?session"] = "CreateSession", ["GET /bkt?ownershipControls"] = "GetBucketOwnershipControls",
      ["GET /bkt?replication"] = "GetBucketReplication", ["GET /bkt?logging"] = "GetBucketLogging", ["PUT /bkt?requestPayment"] = "PutBucketRequestPayment",
    } do
      local method, target = request:match "(%u+) (.+)"
      assert.matches("not implemented: " .. method .. " %S+: " .. name .. " ", (refused(501, "NotImplemented", method, target, "<x/>")))
    end
  end)
end)
