local helper = require "unit.local.s3_helper"
local t = helper.t

describe("S3 on the cloud port", function()
  local s, e
  before_each(function()
    s = helper.open()
    e = s.e
  end)
  after_each(function() s.close() end)
  local function ask(...) return s.ask(...) end
  local function ok(...) return s.ok(...) end
  local function refused(...) return s.refused(...) end
  local all, ns = helper.all, helper.ns

  describe("buckets", function()
    it("are made, found, listed and deleted, with and without a slash at the end", function()
      local _, h = ok(200, "PUT", "/one/")
      assert.equal("/one", h.location)
      ok(200, "PUT", "/two", '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' ..
        "<LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>")
      _, h = ok(200, "HEAD", "/one")
      assert.equal("us-east-1", h["x-amz-bucket-region"])
      local body = ok(200, "GET", "/?x-id=ListBuckets")
      assert.matches("<ListAllMyBucketsResult " .. ns .. ">", body)
      assert.equal("bkt one two", all(body, "Name"))
      assert.matches("<Owner><ID>%x+</ID></Owner>", body)
      assert.equal("one", all(ok(200, "GET", "/?prefix=o"), "Name"))
      local first = ok(200, "GET", "/?max-buckets=2")
      assert.equal("two", all(ok(200, "GET", "/?continuation-token=" .. all(first, "ContinuationToken")), "Name"))
      assert.matches("<LocationConstraint " .. ns .. "></LocationConstraint>", (ok(200, "GET", "/one?location")))
      ok(204, "DELETE", "/one/")
      refused(404, "NoSuchBucket", "DELETE", "/one")
      assert.equal("", select(3, ask("HEAD", "/one")))
      assert.equal(404, (ask("HEAD", "/one")))
    end)

    it("that hold something stay", function()
      ok(200, "PUT", "/bkt/k", "1")
      refused(409, "BucketNotEmpty", "DELETE", "/bkt")
      ok(204, "DELETE", "/bkt/k")
      ok(204, "DELETE", "/bkt")
    end)

    it("of bad names, other regions and bad documents are refused", function()
      refused(400, "InvalidBucketName", "PUT", "/Bad")
      refused(400, "IllegalLocationConstraintException", "PUT", "/good", "<CreateBucketConfiguration>" ..
        "<LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>")
      refused(400, "MalformedXML", "PUT", "/good", "<CreateBucketConfiguration>")
      refused(400, "MalformedXML", "PUT", "/good", "<Other/>")
      refused(501, "NotImplemented", "PUT", "/good", "", { ["x-amz-acl"] = "public-read" })
      refused(405, "MethodNotAllowed", "POST", "/bkt")
    end)

    it("of names that are no text are refused in text", function()
      local body = refused(400, "InvalidBucketName", "PUT", "/bk%D0:\xf0\1")
      assert.truthy(utf8.len(body), body)
      assert.matches("bk%?:%?\u{fffd}", body)
    end)

    it("are reached by their host too", function()
      ok(200, "PUT", "/a/k", "by host", { Host = "bkt.s3.localhost:4566" })
      assert.equal("by host", (ok(200, "GET", "/a/k", "", { Host = "bkt.localhost:4566" })))
      assert.equal("by host", (ok(200, "GET", "/bkt/a/k")))
      assert.equal("a/k", all(ok(200, "GET", "/?list-type=2", "", { Host = "bkt.localhost" }), "Key"))
      ok(200, "PUT", "/", "", { Host = "made.s3.localhost:4566" })
      ok(200, "HEAD", "/made")
    end)

    it("say honestly what there is not", function()
      for _, what in ipairs { "acl", "policy", "cors", "website", "logging", "notification", "replication", "encryption",
        "publicAccessBlock", "ownershipControls", "object-lock", "accelerate", "requestPayment", "tagging" } do
        assert.matches("%?" .. what:gsub("%-", "%%-"), (refused(501, "NotImplemented", "GET", "/bkt?" .. what)))
      end
      refused(501, "NotImplemented", "GET", "/bkt/k?acl")
      refused(501, "NotImplemented", "PUT", "/bkt/k?retention")
    end)
  end)

  describe("objects", function()
    it("keep bytes, content headers and metadata", function()
      local _, h = ok(200, "PUT", "/bkt/a%20b/%C3%BC%2Bc?x-id=PutObject", "bytes", { ["Content-Type"] = "text/x", ["Cache-Control"] = "no-store",
        ["x-amz-meta-Who"] = "me", ["x-amz-tagging"] = "a=1&b=2", ["x-amz-storage-class"] = "STANDARD", ["x-amz-acl"] = "private" })
      assert.equal('"' .. t.md5("bytes") .. '"', h.etag)
      local body
      body, h = ok(200, "GET", "/bkt/a%20b/%C3%BC%2Bc")
      assert.same({ "bytes", "text/x", "no-store", "me", "2" },
        { body, h["content-type"], h["cache-control"], h["x-amz-meta-who"], h["x-amz-tagging-count"] })
      ok(200, "HEAD", "/bkt/a%20b/%C3%BC%2Bc")
      ok(204, "DELETE", "/bkt/a%20b/%C3%BC%2Bc")
      ok(204, "DELETE", "/bkt/a%20b/%C3%BC%2Bc")
      refused(404, "NoSuchKey", "GET", "/bkt/a%20b/%C3%BC%2Bc")
    end)

    it("have the very key that was asked for", function()
      for _, key in ipairs { "/x", "a//b", "..", "a/../b", "../x", "a+b", "a=b", "a%2Bb" } do
        ok(200, "PUT", "/bkt/" .. key, key)
      end
      assert.equal("a%2Bb", (ok(200, "GET", "/bkt/a+b"))) -- the same key, a plus
      for _, key in ipairs { "/x", "a//b", "..", "a/../b", "a=b" } do assert.equal(key, (ok(200, "GET", "/bkt/" .. key))) end
      assert.equal("../x", (ok(200, "GET", "/bkt/../x")))
      assert.equal(7, select(2, ok(200, "GET", "/bkt?list-type=2"):gsub("<Key>", "")))
    end)

    it("keep conditions and ranges", function()
      local _, h = ok(200, "PUT", "/bkt/k", "0123456789", { ["If-None-Match"] = "*" })
      refused(412, "PreconditionFailed", "PUT", "/bkt/k", "x", { ["If-None-Match"] = "*" })
      refused(412, "PreconditionFailed", "PUT", "/bkt/k?if-none-match=%2A", "x")
      refused(412, "PreconditionFailed", "PUT", "/bkt/k", "x", { ["If-Match"] = '"0"' })
      refused(404, "NoSuchKey", "PUT", "/bkt/none", "x", { ["If-Match"] = h.etag })
      refused(412, "PreconditionFailed", "GET", "/bkt/k", "", { ["If-Match"] = '"0"' })
      assert.equal("", (ok(304, "GET", "/bkt/k", "", { ["If-None-Match"] = h.etag })))
      ok(304, "GET", "/bkt/k", "", { ["If-Modified-Since"] = "Fri, 01 Jan 2100 00:00:00 GMT" })
      local body
      body, h = ok(206, "GET", "/bkt/k", "", { Range = "bytes=2-4" })
      assert.same({ "234", "bytes 2-4/10" }, { body, h["content-range"] })
      refused(416, "InvalidRange", "GET", "/bkt/k", "", { Range = "bytes=10-" })
      refused(412, "PreconditionFailed", "DELETE", "/bkt/k", "", { ["If-Match"] = '"0"' })
    end)

    it("keep what is said of their bytes, or are not stored", function()
      local sums = { crc32 = "y/Q5Jg==", crc32c = "4waSgw==", crc64nvme = "rosUhgp5mIg=", sha1 = "98O8HYCOBHMq32eZZczDTKeuNEE=",
        sha256 = "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=" } -- of "123456789"
      for name, sum in pairs(sums) do
        local header = "x-amz-checksum-" .. name
        local _, h = ok(200, "PUT", "/bkt/" .. name, "123456789", { [header] = sum })
        assert.same({ sum, "FULL_OBJECT" }, { h[header], h["x-amz-checksum-type"] })
        _, h = ok(200, "GET", "/bkt/" .. name, "", { ["x-amz-checksum-mode"] = "ENABLED" })
        assert.equal(sum, h[header])
        _, h = ok(206, "GET", "/bkt/" .. name, "", { ["x-amz-checksum-mode"] = "ENABLED", Range = "bytes=0-1" })
        assert.is_nil(h[header])
        _, h = ok(200, "GET", "/bkt/" .. name)
        assert.is_nil(h[header])
        refused(400, "BadDigest", "PUT", "/bkt/bad", "123456788", { [header] = sum })
        refused(400, "InvalidRequest", "PUT", "/bkt/bad", "123456789", { [header] = "x" })
      end
      refused(400, "InvalidRequest", "PUT", "/bkt/bad", "123456789", { ["x-amz-checksum-crc32"] = sums.crc32, ["x-amz-checksum-sha1"] = sums.sha1 })
      refused(400, "BadDigest", "PUT", "/bkt/bad", "x", { ["Content-MD5"] = "AAAAAAAAAAAAAAAAAAAAAA==" })
      refused(400, "InvalidDigest", "PUT", "/bkt/bad", "x", { ["Content-MD5"] = "nonsense" })
      refused(400, "XAmzContentSHA256Mismatch", "PUT", "/bkt/bad", "x", {}, { payload_hash = ("0"):rep(64) })
      refused(404, "NoSuchKey", "GET", "/bkt/bad")
    end)

    it("made of chunks with a trailer are stored decoded, and their checksum counts", function()
      local function put(key, sum, more)
        local h = { ["x-amz-trailer"] = "x-amz-checksum-crc32", ["Content-Encoding"] = "aws-chunked", ["x-amz-decoded-content-length"] = "9" }
        for k, v in pairs(more or {}) do h[k] = v end
        return "PUT", "/bkt/" .. key, "9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:" .. sum .. "\r\n\r\n", h,
          { payload_hash = "STREAMING-UNSIGNED-PAYLOAD-TRAILER" }
      end
      ok(200, put("k", "y/Q5Jg=="))
      local body, h = ok(200, "GET", "/bkt/k", "", { ["x-amz-checksum-mode"] = "ENABLED" })
      assert.same({ "123456789", "y/Q5Jg==" }, { body, h["x-amz-checksum-crc32"] })
      assert.is_nil(h["content-encoding"])
      ok(200, put("gz", "y/Q5Jg==", { ["Content-Encoding"] = "gzip,aws-chunked" }))
      assert.equal("gzip", select(2, ok(200, "GET", "/bkt/gz"))["content-encoding"])
      refused(400, "BadDigest", put("bad", "AAAAAA=="))
      refused(404, "NoSuchKey", "GET", "/bkt/bad")
    end)

    it("are copied, with or without their description", function()
      ok(200, "PUT", "/bkt/from%20here", "bytes", { ["Content-Type"] = "text/x", ["x-amz-meta-a"] = "1", ["x-amz-tagging"] = "t=1" })
      local body = ok(200, "PUT", "/bkt/to", "", { ["x-amz-copy-source"] = "/bkt/from%20here" })
      assert.matches("<CopyObjectResult " .. ns .. "><ETag>&quot;" .. t.md5("bytes") .. "&quot;</ETag><LastModified>20", body)
      local _, h = ok(200, "GET", "/bkt/to")
      assert.same({ "text/x", "1", "1" }, { h["content-type"], h["x-amz-meta-a"], h["x-amz-tagging-count"] })
      ok(200, "PUT", "/bkt/to", "", { ["x-amz-copy-source"] = "bkt/from%20here", ["x-amz-metadata-directive"] = "REPLACE",
        ["x-amz-tagging-directive"] = "REPLACE", ["x-amz-meta-b"] = "2" })
      _, h = ok(200, "GET", "/bkt/to")
      assert.same({ "binary/octet-stream", "2" }, { h["content-type"], h["x-amz-meta-b"] })
      assert.is_nil(h["x-amz-meta-a"])
      assert.is_nil(h["x-amz-tagging-count"])
      refused(400, "InvalidRequest", "PUT", "/bkt/to", "", { ["x-amz-copy-source"] = "bkt/to" })
      refused(404, "NoSuchKey", "PUT", "/bkt/to", "", { ["x-amz-copy-source"] = "bkt/none" })
      refused(404, "NoSuchBucket", "PUT", "/bkt/to", "", { ["x-amz-copy-source"] = "none/to" })
      refused(400, "InvalidArgument", "PUT", "/bkt/to", "", { ["x-amz-copy-source"] = "nonsense" })
      local c = { ["x-amz-copy-source"] = "bkt/to", ["x-amz-copy-source-if-match"] = '"0"' }
      refused(412, "PreconditionFailed", "PUT", "/bkt/c", "", c)
      refused(412, "PreconditionFailed", "PUT", "/bkt/c", "", { ["x-amz-copy-source"] = "bkt/to", ["x-amz-copy-source-if-none-match"] = h.etag })
    end)

    it("are deleted by the list", function()
      for _, k in ipairs { "a", "b", "c" } do ok(200, "PUT", "/bkt/" .. k, k) end
      local function delete(xml, want)
        local md5 = t.base64((t.md5(xml):gsub("%x%x", function(x) return string.char(tonumber(x, 16)) end)))
        return ask("POST", "/bkt/?delete=", xml, { ["Content-MD5"] = want or md5 })
      end
      local status, _, body = delete "<Delete><Object><Key>a</Key></Object><Object><Key>none &amp; gone</Key></Object></Delete>"
      assert.same({ 200, "a none &amp; gone" }, { status, all(body, "Key") })
      assert.matches("<DeleteResult " .. ns .. "><Deleted><Key>a</Key></Deleted>", body)
      status, _, body = delete "<Delete><Quiet>true</Quiet><Object><Key>b</Key></Object></Delete>"
      assert.same({ 200, "" }, { status, all(body, "Key") })
      status, _, body = delete("<Delete><Object><Key>c</Key></Object></Delete>", "AAAAAAAAAAAAAAAAAAAAAA==")
      assert.equal(400, status)
      assert.matches("BadDigest", body)
      refused(400, "InvalidRequest", "POST", "/bkt?delete", "<Delete><Object><Key>c</Key></Object></Delete>")
      status, _, body = delete "<Delete></Delete>"
      assert.equal(400, status)
      assert.matches("MalformedXML", body)
      assert.equal("c", all(ok(200, "GET", "/bkt?list-type=2"), "Key"))
    end)

    it("have tags", function()
      ok(200, "PUT", "/bkt/k", "1")
      assert.matches("<TagSet></TagSet>", (ok(200, "GET", "/bkt/k?tagging")))
      ok(200, "PUT", "/bkt/k?tagging", "<Tagging><TagSet><Tag><Key>a</Key><Value>1 =</Value></Tag></TagSet></Tagging>")
      assert.matches("<Tagging " .. ns .. "><TagSet><Tag><Key>a</Key><Value>1 =</Value></Tag></TagSet></Tagging>", (ok(200, "GET", "/bkt/k?tagging")))
      ok(204, "DELETE", "/bkt/k?tagging")
      assert.matches("<TagSet></TagSet>", (ok(200, "GET", "/bkt/k?tagging")))
      refused(400, "InvalidTag", "PUT", "/bkt/k?tagging", "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>")
      refused(400, "MalformedXML", "PUT", "/bkt/k?tagging", "<Tagging></Tagging>")
      refused(404, "NoSuchKey", "GET", "/bkt/none?tagging")
    end)
  end)

  describe("listings", function()
    before_each(function()
      for _, k in ipairs { "b", "a/1", "a/2", "a", "B", "%C3%A9", "c/x/1" } do ok(200, "PUT", "/bkt/" .. k, k) end
      ok(200, "PUT", "/bkt/empty", "")
    end)

    it("of the second version go page by page, prefixes counted", function()
      local body = ok(200, "GET", "/bkt?list-type=2&delimiter=%2F&max-keys=3")
      assert.matches("^<%?xml version=\"1.0\" encoding=\"UTF%-8\"%?>\n<ListBucketResult " .. ns .. ">", body)
      assert.same({ "B a", "3", "3", "true", "/" }, { all(body, "Key"), all(body, "KeyCount"), all(body, "MaxKeys"), all(body, "IsTruncated"), all(body, "Delimiter") })
      assert.matches("<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>", body)
      body = ok(200, "GET", "/bkt?list-type=2&delimiter=%2F&fetch-owner=true&continuation-token=" .. all(body, "NextContinuationToken"))
      assert.same({ "b empty é", "false" }, { all(body, "Key"), all(body, "IsTruncated") })
      assert.matches("<Size>0</Size>", body)
      assert.matches("<Owner><ID>%x+</ID>", body)
      assert.equal("%C3%A9", all(ok(200, "GET", "/bkt?list-type=2&encoding-type=url&start-after=empty"), "Key"))
      refused(400, "InvalidArgument", "GET", "/bkt?list-type=2&max-keys=-1")
      refused(400, "InvalidArgument", "GET", "/bkt?list-type=2&max-keys=abc")
      refused(400, "InvalidArgument", "GET", "/bkt?list-type=2&continuation-token=x")
      refused(501, "NotImplemented", "GET", "/bkt?list-type=2&unknown=1")
      assert.equal("0", all(ok(200, "GET", "/bkt?list-type=2&max-keys=0"), "KeyCount"))
    end)

    it("of the first version go by markers", function()
      local seen, marker = {}, ""
      repeat
        local body = ok(200, "GET", "/bkt?delimiter=%2F&max-keys=1&marker=" .. marker)
        seen[#seen + 1] = all(body, "Key") .. all(body, "Prefix")
        marker = all(body, "NextMarker"):gsub("/", "%%2F"):gsub("é", "%%C3%%A9")
      until all(body, "IsTruncated") == "false"
      assert.equal("B a a/ b c/ empty é", (table.concat(seen, " "):gsub("%s+", " ")))
      assert.equal("b c/x/1", all(ok(200, "GET", "/bkt?marker=a%2F2&max-keys=2"), "Key"))
    end)
  end)

  describe("versions", function()
    it("are kept when the bucket says so", function()
      assert.matches("<VersioningConfiguration " .. ns .. "></VersioningConfiguration>", (ok(200, "GET", "/bkt?versioning")))
      ok(200, "PUT", "/bkt?versioning", "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
      assert.matches("<Status>Enabled</Status>", (ok(200, "GET", "/bkt?versioning")))
      refused(400, "IllegalVersioningConfigurationException", "PUT", "/bkt?versioning", "<VersioningConfiguration><Status>x</Status></VersioningConfiguration>")
      local _, one = ok(200, "PUT", "/bkt/k", "1")
      local _, two = ok(200, "PUT", "/bkt/k", "2")
      local one_id, two_id = one["x-amz-version-id"], two["x-amz-version-id"]
      assert.equal(32, #one_id)
      assert.equal("1", (ok(200, "GET", "/bkt/k?versionId=" .. one_id)))
      local link = e:presign { method = "GET", bucket = "bkt", key = "k", host = "shop.test:4566", query = { versionId = one_id } }
      assert.equal("1", (select(3, e:face { method = "GET", target = link:gsub("^http://[^/]+", ""), headers = { Host = "shop.test:4566" } })))
      local body, h = ok(200, "GET", "/bkt/k")
      assert.same({ "2", two_id }, { body, h["x-amz-version-id"] })
      _, h = ok(204, "DELETE", "/bkt/k")
      assert.equal("true", h["x-amz-delete-marker"])
      local marker = h["x-amz-version-id"]
      _, h = refused(404, "NoSuchKey", "GET", "/bkt/k")
      assert.same({ "true", marker }, { h["x-amz-delete-marker"], h["x-amz-version-id"] })
      refused(405, "MethodNotAllowed", "GET", "/bkt/k?versionId=" .. marker)
      refused(404, "NoSuchVersion", "GET", "/bkt/k?versionId=" .. ("x"):rep(32))
      for _, method in ipairs { "GET", "DELETE" } do refused(400, "InvalidArgument", method, "/bkt/k?versionId=none") end
      body = ok(200, "GET", "/bkt?versions")
      assert.matches("<ListVersionsResult " .. ns .. ">", body)
      assert.equal(table.concat({ two_id, one_id, marker }, " "), all(body, "VersionId"))
      assert.equal("false false true", all(body, "IsLatest"))
      assert.equal("", all(ok(200, "GET", "/bkt?list-type=2"), "Key"))
      refused(409, "BucketNotEmpty", "DELETE", "/bkt")
      ok(204, "DELETE", "/bkt/k?versionId=" .. marker)
      assert.equal("2", (ok(200, "GET", "/bkt/k")))
      ok(204, "DELETE", "/bkt/k?versionId=" .. two_id)
      assert.equal("1", (ok(200, "GET", "/bkt/k")))
      ok(200, "PUT", "/bkt/copy", "", { ["x-amz-copy-source"] = "bkt/k?versionId=" .. one_id })
      ok(204, "DELETE", "/bkt/k?versionId=" .. one_id)
      refused(404, "NoSuchKey", "GET", "/bkt/k")
    end)
  end)

  describe("lifecycle rules", function()
    it("are kept, and those that are not carried out refused", function()
      refused(404, "NoSuchLifecycleConfiguration", "GET", "/bkt?lifecycle")
      local function rule(inner) return "<LifecycleConfiguration><Rule><ID>r</ID>" .. inner .. "</Rule></LifecycleConfiguration>" end
      ok(200, "PUT", "/bkt?lifecycle", rule "<Filter><Prefix>a/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>1</Days></Expiration>")
      local body = ok(200, "GET", "/bkt?lifecycle")
      assert.matches("<Rule><ID>r</ID><Filter><Prefix>a/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>", body)
      for code, inner in pairs {
        NotImplemented = "<Filter></Filter><Status>Enabled</Status><Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>",
        MalformedXML = "<Filter></Filter><Status>Enabled</Status>",
        InvalidArgument = "<Filter></Filter><Status>Enabled</Status><Expiration><Days>0</Days></Expiration>",
      } do refused(code == "NotImplemented" and 501 or 400, code, "PUT", "/bkt?lifecycle", rule(inner)) end
      ok(204, "DELETE", "/bkt?lifecycle")
      refused(404, "NoSuchLifecycleConfiguration", "GET", "/bkt?lifecycle")
    end)
  end)

  describe("uploads in parts", function()
    local MIB = 1 << 20
    it("become one object", function()
      local body = ok(200, "POST", "/bkt/big?uploads", "", { ["Content-Type"] = "text/x", ["x-amz-meta-a"] = "1" })
      assert.matches("<InitiateMultipartUploadResult " .. ns .. "><Bucket>bkt</Bucket><Key>big</Key><UploadId>", body)
      local id = all(body, "UploadId")
      local parts = { ("a"):rep(5 * MIB), ("b"):rep(5 * MIB), "end" }
      local etags, raw = {}, ""
      for i, part in ipairs(parts) do
        local _, h = ok(200, "PUT", ("/bkt/big?partNumber=%d&uploadId=%s&x-id=UploadPart"):format(i, id), part)
        etags[i] = h.etag
        raw = raw .. t.md5(part):gsub("%x%x", function(x) return string.char(tonumber(x, 16)) end)
      end
      assert.equal("1 2", all(ok(200, "GET", "/bkt/big?max-parts=2&uploadId=" .. id), "PartNumber"))
      assert.equal("3", all(ok(200, "GET", "/bkt/big?part-number-marker=2&uploadId=" .. id), "PartNumber"))
      assert.equal("false", all(ok(200, "GET", "/bkt/big?max-parts=0&uploadId=" .. id), "IsTruncated"))
      assert.equal(id, all(ok(200, "GET", "/bkt?uploads"), "UploadId"))
      refused(404, "NoSuchKey", "GET", "/bkt/big")
      local xml = { "<CompleteMultipartUpload>" }
      for i, etag in ipairs(etags) do
        xml[#xml + 1] = ("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>"):format(i, etag:gsub('"', i == 2 and "" or "&quot;"))
      end
      local doc = table.concat(xml) .. "</CompleteMultipartUpload>"
      local etag = '"' .. t.md5(raw) .. '-3"'
      for _ = 1, 2 do -- again is the same
        body = ok(200, "POST", "/bkt/big?uploadId=" .. id, doc)
        assert.equal(etag, (all(body, "ETag"):gsub("&quot;", '"')))
        assert.matches("<CompleteMultipartUploadResult " .. ns .. "><Location>http://shop.test:4566/bkt/big</Location>", body)
      end
      local h
      body, h = ok(200, "GET", "/bkt/big")
      assert.is_true(body == table.concat(parts))
      assert.same({ etag, "text/x", "1" }, { h.etag, h["content-type"], h["x-amz-meta-a"] })
      body, h = ok(206, "GET", "/bkt/big?partNumber=3")
      assert.same({ "end", "3", "bytes 10485760-10485762/10485763" }, { body, h["x-amz-mp-parts-count"], h["content-range"] })
      refused(416, "InvalidPartNumber", "GET", "/bkt/big?partNumber=4")
      refused(404, "NoSuchUpload", "GET", "/bkt/big?uploadId=" .. id)
      assert.equal("", all(ok(200, "GET", "/bkt?uploads"), "UploadId"))
      refused(404, "NoSuchUpload", "PUT", "/bkt/big?partNumber=1&uploadId=" .. id, "x")
    end)

    it("with mistakes are refused and can go on", function()
      local id = all(ok(200, "POST", "/bkt/k?uploads"), "UploadId")
      local _, h = ok(200, "PUT", "/bkt/k?partNumber=1&uploadId=" .. id, "small")
      local _, h2 = ok(200, "PUT", "/bkt/k?partNumber=2&uploadId=" .. id, "end")
      local function complete(...)
        local xml = "<CompleteMultipartUpload>"
        for _, p in ipairs { ... } do xml = xml .. ("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>"):format(p[1], p[2]) end
        return "POST", "/bkt/k?uploadId=" .. id, xml .. "</CompleteMultipartUpload>"
      end
      refused(400, "EntityTooSmall", complete({ 1, h.etag }, { 2, h2.etag }))
      refused(400, "InvalidPartOrder", complete({ 2, h2.etag }, { 1, h.etag }))
      refused(400, "InvalidPart", complete({ 1, h2.etag }))
      refused(400, "InvalidPart", complete { 3, h.etag })
      refused(400, "MalformedXML", complete())
      refused(400, "MalformedXML", "POST", "/bkt/k?uploadId=" .. id, "nonsense")
      refused(400, "InvalidArgument", "PUT", "/bkt/k?partNumber=0&uploadId=" .. id, "x")
      refused(400, "InvalidArgument", "PUT", "/bkt/k?partNumber=10001&uploadId=" .. id, "x")
      refused(400, "BadDigest", "PUT", "/bkt/k?partNumber=2&uploadId=" .. id, "x", { ["x-amz-checksum-crc32"] = "AAAAAA==" })
      refused(404, "NoSuchUpload", "PUT", "/bkt/other?partNumber=1&uploadId=" .. id, "x")
      ok(200, complete { 1, h.etag })
      assert.equal("small", (ok(200, "GET", "/bkt/k")))
    end)

    it("take parts of other objects, and go when aborted", function()
      ok(200, "PUT", "/bkt/from", "0123456789")
      local id = all(ok(200, "POST", "/bkt/k?uploads"), "UploadId")
      local body = ok(200, "PUT", "/bkt/k?partNumber=1&uploadId=" .. id, "", { ["x-amz-copy-source"] = "bkt/from", ["x-amz-copy-source-range"] = "bytes=2-4" })
      assert.matches("<CopyPartResult " .. ns .. "><ETag>&quot;" .. t.md5("234"), body)
      refused(400, "InvalidArgument", "PUT", "/bkt/k?partNumber=1&uploadId=" .. id, "", { ["x-amz-copy-source"] = "bkt/from", ["x-amz-copy-source-range"] = "bytes=2-10" })
      ok(204, "DELETE", "/bkt/k?uploadId=" .. id)
      refused(404, "NoSuchUpload", "DELETE", "/bkt/k?uploadId=" .. id)
      refused(404, "NoSuchUpload", "GET", "/bkt/k?uploadId=" .. id)
    end)
  end)

  describe("documents", function()
    local function rule(inner) return "<LifecycleConfiguration><Rule>" .. inner .. "</Rule></LifecycleConfiguration>" end
    local function tags(inner) return "<Tagging><TagSet>" .. inner .. "</TagSet></Tagging>" end
    local DAYS = "<Filter/><Status>Enabled</Status><Expiration><Days>%s</Days></Expiration>"
    local function delete(xml)
      local md5 = t.base64((t.md5(xml):gsub("%x%x", function(x) return string.char(tonumber(x, 16)) end)))
      return "POST", "/bkt?delete", xml, { ["Content-MD5"] = md5 }
    end

    it("that are not as the API has them are refused, told where", function()
      ok(200, "PUT", "/bkt/k", "1")
      local id = all(ok(200, "POST", "/bkt/k?uploads"), "UploadId")
      local function complete(inner) return { "POST", "/bkt/k?uploadId=" .. id, "<CompleteMultipartUpload>" .. inner .. "</CompleteMultipartUpload>" } end
      local function tagged(inner) return { "PUT", "/bkt/k?tagging", tags(inner) } end
      local function kept(inner) return { "PUT", "/bkt?lifecycle", rule(inner) } end
      local function versions(inner) return { "PUT", "/bkt?versioning", "<VersioningConfiguration>" .. inner .. "</VersioningConfiguration>" } end
      for why, request in pairs {
        ["Object has no Key"] = { delete "<Delete><Object><VersionId>null</VersionId></Object></Delete>" },
        ["Delete has no Object"] = { delete "<Delete><Quiet>true</Quiet></Delete>" },
        ["Quiet is not what it should be"] = { delete "<Delete><Object><Key>k</Key></Object><Quiet>perhaps</Quiet></Delete>" },
        ["Key is there twice"] = { delete "<Delete><Object><Key>k</Key><Key>l</Key></Object></Delete>" },
        ["Keys is unknown"] = { delete "<Delete><Object><Key>k</Key><Keys>l</Keys></Object></Delete>" },
        ["Key is not what it should be"] = { delete "<Delete><Object><Key><b>k</b></Key></Object></Delete>" },
        ["Size is not what it should be"] = { delete "<Delete><Object><Key>k</Key><Size>1.5</Size></Object></Delete>" },
        ["Part has no ETag"] = complete "<Part><PartNumber>1</PartNumber></Part>",
        ["Part has no PartNumber"] = complete "<Part><ETag>e</ETag></Part>",
        ["PartNumber is not what it should be"] = complete "<Part><PartNumber>one</PartNumber><ETag>e</ETag></Part>",
        ["CompleteMultipartUpload has no Part"] = complete "",
        ["Object is unknown"] = complete "<Object/>",
        ["Tag has no Value"] = tagged "<Tag><Key>a</Key></Tag>",
        ["Tags is unknown"] = tagged "<Tags/>",
        ["Rule has no Status"] = kept "<Filter/><Expiration><Days>1</Days></Expiration>",
        ["Days is not what it should be"] = kept(DAYS:format "soon"),
        ["Date is not what it should be"] = kept "<Filter/><Status>Enabled</Status><Expiration><Date>soon</Date></Expiration>",
        ["Prefixes is unknown"] = kept "<Filter><Prefixes/></Filter><Status>Enabled</Status>",
        ["LifecycleConfiguration has no Rule"] = { "PUT", "/bkt?lifecycle", "<LifecycleConfiguration/>" },
        ["Status is there twice"] = versions "<Status>Enabled</Status><Status>Suspended</Status>",
        ["Tagging has no TagSet"] = { "PUT", "/bkt/k?tagging", "<Tagging/>" },
      } do
        assert.matches("published schema: " .. why .. "</Message>", (refused(400, "MalformedXML", table.unpack(request))))
      end
      assert.equal("1", (ok(200, "GET", "/bkt/k")))
      assert.matches("functionality that is not implemented: Tags", (refused(501, "NotImplemented", "PUT", "/good",
        "<CreateBucketConfiguration><Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>")))
    end)

    it("may have their elements in any order, name spaces and white space", function()
      for _, k in ipairs { "a", "b" } do ok(200, "PUT", "/bkt/" .. k, k) end
      local body = ok(200, delete('<x:Delete xmlns:x="http://s3.amazonaws.com/doc/2006-03-01/">\n  <x:Quiet> 0 </x:Quiet>\n <x:Object>\n<x:VersionId>null</x:VersionId>' ..
        "<x:Key>a</x:Key></x:Object>\n<x:Object><x:Key>b</x:Key><x:ETag>" .. t.md5 "b" .. "</x:ETag></x:Object></x:Delete>"))
      assert.equal("a b", all(body, "Key"))
      assert.equal("", (ok(200, delete "<Delete><Quiet>1</Quiet><Object><Key> a </Key></Object></Delete>")):match "<Deleted>" or "")
      ok(200, "PUT", "/bkt?lifecycle", rule(DAYS:format " 7 "))
      assert.matches("<Rule><ID>[%x-]+</ID><Filter></Filter><Status>Enabled</Status><Expiration><Days>7</Days></Expiration></Rule>", (ok(200, "GET", "/bkt?lifecycle")))
      ok(200, "PUT", "/bkt?lifecycle", rule "<Expiration><Date>2030-01-01T01:00:00+01:00</Date></Expiration><Status>Disabled</Status><Prefix/><ID>r</ID>")
      assert.matches("<Rule><ID>r</ID><Prefix></Prefix><Status>Disabled</Status><Expiration><Date>2030%-01%-01T00:00:00.000Z</Date></Expiration></Rule>", (ok(200, "GET", "/bkt?lifecycle")))
    end)

    -- Names of the elements inside the root, one after the other.
    local function elements(body)
      local out, depth = {}, 0
      for slash, name in body:gsub("^<%?.-%?>", ""):gmatch "<(/?)(%w+)" do
        if slash == "" then
          if depth == 1 then out[#out + 1] = name end
          depth = depth + 1
        else
          depth = depth - 1
        end
      end
      return table.concat(out, " ")
    end

    it("of answers have their elements in one order, without what goes into headers", function()
      for _, k in ipairs { "a", "b/c", "d" } do ok(200, "PUT", "/bkt/" .. k, k) end
      local body = ok(200, "GET", "/bkt?list-type=2&max-keys=2&delimiter=%2F&start-after=0&encoding-type=url&fetch-owner=true")
      assert.equal("Name Prefix StartAfter NextContinuationToken KeyCount MaxKeys Delimiter EncodingType IsTruncated Contents CommonPrefixes", elements(body))
      assert.matches("<Contents><Key>a</Key><LastModified>[%d-]+T[%d:.]+Z</LastModified><ETag>&quot;%x+&quot;</ETag>.*<Size>1</Size><Owner><ID>%x+</ID>.*" ..
        "</Owner><StorageClass>STANDARD</StorageClass></Contents>", body)
      assert.equal("Name Prefix Marker NextMarker MaxKeys Delimiter IsTruncated Contents", elements((ok(200, "GET", "/bkt?max-keys=1&delimiter=%2F"))))
      assert.equal("Name Prefix KeyMarker VersionIdMarker NextKeyMarker NextVersionIdMarker MaxKeys IsTruncated Version", elements((ok(200, "GET", "/bkt?versions&max-keys=1"))))
      assert.equal("Owner Buckets", elements((ok(200, "GET", "/"))))
      local h
      body, h = ok(200, "POST", "/bkt/up?uploads", "", { ["x-amz-checksum-algorithm"] = "CRC32" })
      assert.same({ "Bucket Key UploadId", "CRC32", "COMPOSITE" }, { elements(body), h["x-amz-checksum-algorithm"], h["x-amz-checksum-type"] })
      assert.equal("Bucket Key UploadId Initiator Owner StorageClass PartNumberMarker MaxParts IsTruncated ChecksumAlgorithm ChecksumType",
        elements((ok(200, "GET", "/bkt/up?uploadId=" .. all(body, "UploadId")))))
      assert.matches("<CopyObjectResult " .. ns .. "><ETag>.-</ETag><LastModified>.-</LastModified>",
        (ok(200, "PUT", "/bkt/copy", "", { ["x-amz-copy-source"] = "bkt/a" })))
    end)
  end)

  it("tells HEAD errors without a body", function()
    local status, _, body = ask("HEAD", "/bkt/none")
    assert.same({ 404, "" }, { status, body })
    status, _, body = ask("HEAD", "/none/none")
    assert.same({ 404, "" }, { status, body })
  end)

  it("checks whose bucket it is when asked", function()
    ok(200, "HEAD", "/bkt", "", { ["x-amz-expected-bucket-owner"] = "000000000000" })
    refused(403, "AccessDenied", "GET", "/bkt?list-type=2", "", { ["x-amz-expected-bucket-owner"] = "111122223333" })
  end)
end)
