local t = require "t.local"
local json = require "cjson"

local e
local function call(action, params, body, file)
  local ok, more = e:call("s3", action, json.encode(params), body, file)
  if ok then return json.decode(ok), more end
  return nil, json.decode(more)
end
local function fails(name, action, params, body, file)
  local ok, err = call(action, params, body, file)
  assert.is_nil(ok, action .. " succeeded")
  assert.equal(name, err.__type)
  return err.message
end
local function files()
  local p = io.popen("find " .. e:dir() .. "/s3 -type f | wc -l")
  local n = tonumber(p:read("a"))
  p:close()
  return n
end

describe("S3", function()
  before_each(function()
    e = assert(t.open { memory = true, now = 1700000000000 })
    assert(call("CreateBucket", { Bucket = "bkt" }))
  end)
  after_each(function() e:close() end)

  it("makes buckets again and again, with proper names only", function()
    assert(call("CreateBucket", { Bucket = "bkt" }))
    assert.equal("us-east-1", call("HeadBucket", { Bucket = "bkt" }).BucketRegion)
    assert.equal("bkt", call("ListBuckets", {}).Buckets[1].Name)
    for _, bad in ipairs { "ab", "Upper", "a..b", "-ab", "192.168.0.1", ("a"):rep(64), "a_b" } do
      fails("InvalidBucketName", "CreateBucket", { Bucket = bad })
    end
    fails("NoSuchBucket", "HeadBucket", { Bucket = "none" })
    fails("InvalidArgument", "CreateBucket", { Bucket = "bkt2", ACL = "private" })
  end)

  it("gives back the bytes, the headers and the metadata", function()
    local body = "\0\1\255" .. ("José"):rep(1000)
    local put = call("PutObject", { Bucket = "bkt", Key = "a/ü b", ContentType = "text/x", CacheControl = "no-store",
      ContentDisposition = "inline", Metadata = { Hash = "é" } }, body)
    assert.equal('"' .. t.md5(body) .. '"', put.ETag)
    local got, bytes = call("GetObject", { Bucket = "bkt", Key = "a/ü b" })
    assert.equal(body, bytes)
    assert.same({ put.ETag, "text/x", "no-store", "inline", #body, "é", "2023-11-14T22:13:20.000Z" },
      { got.ETag, got.ContentType, got.CacheControl, got.ContentDisposition, got.ContentLength, got.Metadata.hash, got.LastModified })
    assert.same(got, call("HeadObject", { Bucket = "bkt", Key = "a/ü b" }))
  end)

  it("keeps large and empty objects", function()
    local big = ("0123456789abcdef"):rep(40000)
    assert(call("PutObject", { Bucket = "bkt", Key = "big" }, big))
    assert.equal(big, select(2, call("GetObject", { Bucket = "bkt", Key = "big" })))
    assert.equal("def0", select(2, call("GetObject", { Bucket = "bkt", Key = "big", Range = "bytes=100013-100016" })))
    assert(call("PutObject", { Bucket = "bkt", Key = "empty" }, ""))
    assert.equal("", select(2, call("GetObject", { Bucket = "bkt", Key = "empty" })))
  end)

  it("answers ranges as RFC 9110 says", function()
    call("PutObject", { Bucket = "bkt", Key = "k" }, "0123456789")
    local function range(r) return select(2, call("GetObject", { Bucket = "bkt", Key = "k", Range = r })) end
    assert.same({ "234", "789", "9", "0123456789", "0123456789", "0123456789" },
      { range "bytes=2-4", range "bytes=7-", range "bytes=-1", range "bytes=-99", range "bytes=5-2", range "bytes=0-1,3-4" })
    assert.equal("bytes 2-4/10", call("GetObject", { Bucket = "bkt", Key = "k", Range = "bytes=2-4" }).ContentRange)
    fails("InvalidRange", "GetObject", { Bucket = "bkt", Key = "k", Range = "bytes=10-" })
    fails("InvalidRange", "GetObject", { Bucket = "bkt", Key = "k", Range = "bytes=-0" })
  end)

  it("keeps conditions on reading and writing", function()
    local etag = call("PutObject", { Bucket = "bkt", Key = "k", IfNoneMatch = "*" }, "1").ETag
    fails("PreconditionFailed", "PutObject", { Bucket = "bkt", Key = "k", IfNoneMatch = "*" }, "2")
    fails("PreconditionFailed", "PutObject", { Bucket = "bkt", Key = "k", IfMatch = '"x"' }, "2")
    fails("NoSuchKey", "PutObject", { Bucket = "bkt", Key = "none", IfMatch = etag }, "2")
    fails("NotModified", "GetObject", { Bucket = "bkt", Key = "k", IfNoneMatch = etag })
    fails("PreconditionFailed", "GetObject", { Bucket = "bkt", Key = "k", IfMatch = '"x"' })
    fails("NotModified", "GetObject", { Bucket = "bkt", Key = "k", IfModifiedSince = "Tue, 14 Nov 2023 22:13:20 GMT" })
    fails("PreconditionFailed", "GetObject", { Bucket = "bkt", Key = "k", IfUnmodifiedSince = "Tue, 14 Nov 2023 22:13:19 GMT" })
    assert.equal("1", select(2, call("GetObject", { Bucket = "bkt", Key = "k", IfMatch = etag })))
    assert(call("PutObject", { Bucket = "bkt", Key = "k", IfMatch = etag }, "2"))
    assert.equal(1, files())
  end)

  it("lets one of many concurrent conditional writers win", function()
    local calls, won = {}, 0
    for i = 1, 20 do
      calls[i] = e:start("s3", "PutObject", '{"Bucket":"bkt","Key":"k","IfNoneMatch":"*"}', tostring(i))
    end
    for i = 1, 20 do won = won + (calls[i]:wait() and 1 or 0) end
    assert.equal(1, won)
    assert.equal(1, files())
  end)

  it("verifies what the sender says of the bytes, and stores nothing that is wrong", function()
    local good = t.base64((t.md5("hello"):gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end)))
    assert(call("PutObject", { Bucket = "bkt", Key = "k", ContentMD5 = good, ChecksumCRC32 = "NhCmhg==" }, "hello"))
    assert.equal("NhCmhg==", call("GetObject", { Bucket = "bkt", Key = "k", ChecksumMode = "ENABLED" }).ChecksumCRC32)
    assert.is_nil(call("GetObject", { Bucket = "bkt", Key = "k" }).ChecksumCRC32)
    fails("BadDigest", "PutObject", { Bucket = "bkt", Key = "x", ContentMD5 = good }, "other")
    fails("InvalidDigest", "PutObject", { Bucket = "bkt", Key = "x", ContentMD5 = "short" }, "other")
    fails("InvalidRequest", "PutObject", { Bucket = "bkt", Key = "x", ChecksumSHA256 = "AAAA" }, "other")
    fails("BadDigest", "PutObject", { Bucket = "bkt", Key = "x", ChecksumSHA1 = ("A"):rep(27) .. "=" }, "other")
    fails("InvalidRequest", "PutObject", { Bucket = "bkt", Key = "x", ChecksumCRC32 = "NhCmhg==", ChecksumCRC32C = "NhCmhg==" }, "hello")
    fails("InvalidRequest", "PutObject", { Bucket = "bkt", Key = "x", ChecksumAlgorithm = "MD4" }, "other")
    assert.equal("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
      call("PutObject", { Bucket = "bkt", Key = "k2", ChecksumAlgorithm = "SHA256" }, "hello").ChecksumSHA256)
    fails("NoSuchKey", "HeadObject", { Bucket = "bkt", Key = "x" })
    assert.equal(2, files())
  end)

  it("removes the bytes of what is replaced or deleted", function()
    call("PutObject", { Bucket = "bkt", Key = "k" }, "1")
    call("PutObject", { Bucket = "bkt", Key = "k" }, "2")
    assert.equal(1, files())
    assert(call("DeleteObject", { Bucket = "bkt", Key = "k" }))
    assert(call("DeleteObject", { Bucket = "bkt", Key = "k" }))
    assert.equal(0, files())
    fails("NoSuchKey", "GetObject", { Bucket = "bkt", Key = "k" })
  end)

  it("keeps the old object, and no stray file, when storing the new one fails anywhere", function()
    call("PutObject", { Bucket = "bkt", Key = "k" }, "old")
    for _, kind in ipairs { "file", "step", "commit" } do
      for n = 1, 50 do
        e:fault(kind, n)
        local ok, err = call("PutObject", { Bucket = "bkt", Key = "k" }, "new" .. n)
        e:fault(kind, 0)
        local _, bytes = call("GetObject", { Bucket = "bkt", Key = "k" })
        assert.equal(1, files())
        if ok then
          assert.equal("new" .. n, bytes)
          assert.is_true(n > 1)
          break
        end
        assert.equal("InputOutputError", err.__type)
        assert.equal("old", bytes)
      end
      call("PutObject", { Bucket = "bkt", Key = "k" }, "old")
    end
  end)

  describe("with files", function()
    local dir, source, target
    local function write(path, text)
      local f <close> = assert(io.open(path, "wb"))
      assert(f:write(text))
    end
    local function read(path)
      local f <close> = assert(io.open(path, "rb"))
      return f:read "a"
    end
    before_each(function()
      local p <close> = io.popen "mktemp -d"
      dir = p:read "l"
      source, target = dir .. "/source", dir .. "/target"
    end)
    after_each(function() os.execute("rm -rf " .. dir) end)

    it("stores a file of several pieces and writes it back, whole or a range", function()
      local bytes = ("0123456789abcde\n"):rep(1 << 16):rep(40) .. "end" -- 40 MiB
      write(source, bytes)
      local put = call("PutObject", { Bucket = "bkt", Key = "big", ChecksumAlgorithm = "SHA256" }, nil, source)
      assert.equal('"' .. t.md5(bytes) .. '"', put.ETag)
      local got, body = call("GetObject", { Bucket = "bkt", Key = "big" }, nil, target)
      assert.is_nil(body)
      assert.same({ #bytes, put.ETag }, { got.ContentLength, got.ETag })
      assert.is_true(bytes == read(target))
      got = call("GetObject", { Bucket = "bkt", Key = "big", Range = "bytes=17-20000018" }, nil, target)
      assert.equal("bytes 17-20000018/" .. #bytes, got.ContentRange)
      assert.is_true(bytes:sub(18, 20000019) == read(target))
    end)

    it("stores empty files, and verifies what is said of the bytes", function()
      write(source, "")
      assert(call("PutObject", { Bucket = "bkt", Key = "empty" }, nil, source))
      assert.equal(0, call("GetObject", { Bucket = "bkt", Key = "empty" }, nil, target).ContentLength)
      assert.equal("", read(target))
      write(source, "hello")
      assert(call("PutObject", { Bucket = "bkt", Key = "k", ChecksumCRC32 = "NhCmhg==" }, nil, source))
      fails("BadDigest", "PutObject", { Bucket = "bkt", Key = "x", ChecksumCRC32 = "AAAAAA==" }, nil, source)
      fails("NoSuchKey", "GetObject", { Bucket = "bkt", Key = "x" }, nil, target)
      fails("PreconditionFailed", "GetObject", { Bucket = "bkt", Key = "k", IfMatch = "no" }, nil, target)
      assert.equal(2, files())
    end)

    it("refuses more than 5 GiB before reading any of it", function()
      os.execute("truncate -s 5368709121 " .. source)
      assert.matches("5368709121", fails("EntityTooLarge", "PutObject", { Bucket = "bkt", Key = "k" }, nil, source))
      assert.equal(0, files())
    end)

    it("leaves nothing when a file becomes shorter, or storing fails", function()
      os.execute("truncate -s 40M " .. source)
      local h = e:start("s3", "PutObject", '{"Bucket":"bkt","Key":"k"}', nil, source)
      os.execute("truncate -s 100 " .. source)
      local ok, err = h:wait()
      assert.is_nil(ok)
      assert.matches("became shorter", err)
      write(source, "short")
      for n = 1, 3 do
        e:fault("file", n)
        fails("InputOutputError", "PutObject", { Bucket = "bkt", Key = "k" }, nil, source)
      end
      assert.equal(0, files())
    end)

    it("ends copies that nobody waits for", function()
      os.execute("truncate -s 100M " .. source)
      assert(call("PutObject", { Bucket = "bkt", Key = "k" }, nil, source))
      local h = e:start("s3", "GetObject", '{"Bucket":"bkt","Key":"k"}', nil, target)
      h:cancel()
      e:close() -- waits for what is in flight
      local p <close> = io.popen("stat -c %s " .. target)
      assert.is_true(tonumber(p:read "a") <= 16 << 20)
      e = assert(t.open { memory = true })
    end)
  end)

  it("says that an object is gone when its file is", function()
    call("PutObject", { Bucket = "bkt", Key = "k" }, "1")
    os.execute("rm -r " .. e:dir() .. "/s3/bkt")
    assert.matches("missing", fails("NoSuchKey", "GetObject", { Bucket = "bkt", Key = "k" }))
    fails("NoSuchKey", "HeadObject", { Bucket = "bkt", Key = "k" })
    assert(call("PutObject", { Bucket = "bkt", Key = "k" }, "2"))
    assert.equal("2", select(2, call("GetObject", { Bucket = "bkt", Key = "k" })))
  end)

  it("refuses bad keys and metadata", function()
    fails("KeyTooLongError", "PutObject", { Bucket = "bkt", Key = ("k"):rep(1025) }, "")
    fails("InvalidArgument", "PutObject", { Bucket = "bkt", Key = "a\0b" }, "")
    fails("InvalidArgument", "PutObject", { Bucket = "bkt" }, "")
    fails("MetadataTooLarge", "PutObject", { Bucket = "bkt", Key = "k", Metadata = { a = ("x"):rep(2048) } }, "")
    fails("InvalidArgument", "PutObject", { Bucket = "bkt", Key = "k", Metadata = { a = "x\ny" } }, "")
    fails("NoSuchBucket", "PutObject", { Bucket = "none", Key = "k" }, "")
    fails("InvalidArgument", "PutObject", { Bucket = "bkt", Key = "k", StorageClass = "GLACIER" }, "")
    assert.equal(0, files())
  end)

  it("never leaves its directory whatever the key", function()
    for _, key in ipairs { "../../../etc/passwd", "/abs", "a//b", "..", "." } do
      assert(call("PutObject", { Bucket = "bkt", Key = key }, key))
      assert.equal(key, select(2, call("GetObject", { Bucket = "bkt", Key = key })))
    end
    assert.equal(5, files())
  end)

  describe("listing", function()
    local function keys(r)
      local out = {}
      for _, o in ipairs(r.Contents or {}) do out[#out + 1] = o.Key end
      for _, p in ipairs(r.CommonPrefixes or {}) do out[#out + 1] = p.Prefix end
      return table.concat(out, " ")
    end
    before_each(function()
      for _, k in ipairs { "b", "a/1", "a/2", "a", "B", "é", "c/x/1", "c/y" } do call("PutObject", { Bucket = "bkt", Key = k }, k) end
    end)

    it("is in byte order", function()
      assert.equal("B a a/1 a/2 b c/x/1 c/y é", keys(call("ListObjectsV2", { Bucket = "bkt" })))
      assert.equal("a a/1 a/2", keys(call("ListObjectsV2", { Bucket = "bkt", Prefix = "a" })))
      assert.equal("b c/x/1 c/y é", keys(call("ListObjectsV2", { Bucket = "bkt", StartAfter = "a/2" })))
    end)

    it("rolls up at the delimiter", function()
      local r = call("ListObjectsV2", { Bucket = "bkt", Delimiter = "/" })
      assert.equal("B a b é a/ c/", keys(r))
      assert.equal(6, r.KeyCount)
      assert.equal("c/y c/x/", keys(call("ListObjectsV2", { Bucket = "bkt", Delimiter = "/", Prefix = "c/" })))
    end)

    it("goes on where a page ended, prefixes counted once", function()
      for size = 1, 7 do
        local seen, token = {}, nil
        repeat
          local r = call("ListObjectsV2", { Bucket = "bkt", Delimiter = "/", MaxKeys = size, ContinuationToken = token })
          assert.is_true(r.KeyCount <= size)
          assert.equal(r.IsTruncated, r.NextContinuationToken ~= nil)
          for k in keys(r):gmatch("%S+") do seen[#seen + 1] = k end
          token = r.NextContinuationToken
        until not token
        table.sort(seen)
        assert.equal("B a a/ b c/ é", table.concat(seen, " "))
      end
    end)

    it("refuses a bad token and a negative page, and encodes when asked", function()
      fails("InvalidArgument", "ListObjectsV2", { Bucket = "bkt", ContinuationToken = "nonsense" })
      fails("InvalidArgument", "ListObjectsV2", { Bucket = "bkt", MaxKeys = -1 })
      assert.equal(0, call("ListObjectsV2", { Bucket = "bkt", MaxKeys = 0 }).KeyCount)
      assert.equal("%C3%A9", keys(call("ListObjectsV2", { Bucket = "bkt", Prefix = "é", EncodingType = "url" })))
    end)
  end)
end)

describe("files that a crash left", function()
  it("are gone after the next opening, the others stay", function()
    local p = io.popen("mktemp -d")
    local dir = p:read("l")
    p:close()
    e = assert(t.open { dir = dir })
    call("CreateBucket", { Bucket = "bkt" })
    call("PutObject", { Bucket = "bkt", Key = "k" }, "bytes")
    call("CreateBucket", { Bucket = "tmp" })
    call("PutObject", { Bucket = "tmp", Key = "k" }, "lasting")
    e:close()
    os.execute("mkdir -p " .. dir .. "/s3/bkt/zz && echo x > " .. dir .. "/s3/bkt/zz/stray && echo x > " .. dir .. "/s3/tmp/half")
    e = assert(t.open { dir = dir })
    assert.equal(2, files())
    assert.equal("bytes", select(2, call("GetObject", { Bucket = "bkt", Key = "k" })))
    assert.equal("lasting", select(2, call("GetObject", { Bucket = "tmp", Key = "k" })))
    e:close()
    os.execute("rm -rf " .. dir)
  end)
end)
