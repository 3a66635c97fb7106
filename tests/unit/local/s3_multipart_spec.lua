local t = require "t.local"
local json = require "cjson"

local e
local MIB = 1 << 20
local function call(action, params, body, file)
  local ok, more = e:call("s3", action, json.encode(params), body, file)
  if ok then return json.decode(ok), more end
  return nil, json.decode(more)
end
local function fails(name, action, params, body)
  local ok, err = call(action, params, body)
  assert.is_nil(ok, action .. " succeeded")
  assert.equal(name, err.__type)
  return err.message
end
local function files()
  local p <close> = io.popen("find " .. e:dir() .. "/s3 -type f | wc -l")
  return tonumber(p:read "a")
end
local function create(more)
  local p = { Bucket = "bkt", Key = "k" }
  for k, v in pairs(more or {}) do p[k] = v end
  return assert(call("CreateMultipartUpload", p)).UploadId
end
local function part(id, n, bytes, more)
  local p = { Bucket = "bkt", Key = "k", UploadId = id, PartNumber = n }
  for k, v in pairs(more or {}) do p[k] = v end
  return assert(call("UploadPart", p, bytes))
end
local function complete_params(id, parts, more)
  local p = { Bucket = "bkt", Key = "k", UploadId = id, MultipartUpload = { Parts = {} } }
  for i, one in ipairs(parts) do
    local row = { PartNumber = i }
    for k, v in pairs(one) do row[k] = v end
    p.MultipartUpload.Parts[i] = row
  end
  for k, v in pairs(more or {}) do p[k] = v end
  return p
end

describe("uploads in parts", function()
  before_each(function()
    e = assert(t.open { memory = true })
    assert(call("CreateBucket", { Bucket = "bkt" }))
  end)
  after_each(function() e:close() end)

  it("leave one file, and those of parts that were not named go", function()
    local id = create()
    part(id, 1, "old")
    local parts = { part(id, 1, ("x"):rep(5 * MIB)), part(id, 2, "y") }
    part(id, 7, "not named")
    assert.equal(3, files())
    local done = call("CompleteMultipartUpload", complete_params(id, parts))
    assert.matches('%-2"$', done.ETag)
    assert.equal(1, files())
    assert.is_true(select(2, call("GetObject", { Bucket = "bkt", Key = "k" })) == ("x"):rep(5 * MIB) .. "y")
    assert.same(done, call("CompleteMultipartUpload", complete_params(id, parts)))
    fails("NoSuchUpload", "AbortMultipartUpload", { Bucket = "bkt", Key = "k", UploadId = id })
  end)

  it("have the checksum of their checksums, or that of the whole", function()
    local a, b = ("x"):rep(5 * MIB), "123456789"
    for algorithm, type in pairs { CRC32 = "COMPOSITE", CRC32C = "FULL_OBJECT", CRC64NVME = "FULL_OBJECT", SHA1 = "COMPOSITE", SHA256 = "COMPOSITE" } do
      local member = "Checksum" .. algorithm
      local id = create { ChecksumAlgorithm = algorithm, ChecksumType = type }
      local parts = { part(id, 1, a, { ChecksumAlgorithm = algorithm }), part(id, 2, b, { ChecksumAlgorithm = algorithm }) }
      assert.is_string(parts[1][member])
      if type == "COMPOSITE" then
        local untold = { parts[1], { ETag = parts[2].ETag } }
        assert.matches("missing for part 2 ", fails("InvalidRequest", "CompleteMultipartUpload", complete_params(id, untold)))
      end
      local done = assert(call("CompleteMultipartUpload", complete_params(id, parts)))
      assert.equal(type, done.ChecksumType)
      if type == "FULL_OBJECT" then
        local whole = call("PutObject", { Bucket = "bkt", Key = "whole", ChecksumAlgorithm = algorithm }, a .. b)
        assert.equal(whole[member], done[member])
      else
        assert.matches("=%-2$", done[member])
      end
      assert.equal(done[member], call("GetObject", { Bucket = "bkt", Key = "k", ChecksumMode = "ENABLED" })[member])
    end
    fails("InvalidRequest", "CreateMultipartUpload", { Bucket = "bkt", Key = "k", ChecksumAlgorithm = "SHA256", ChecksumType = "FULL_OBJECT" })
    fails("InvalidRequest", "CreateMultipartUpload", { Bucket = "bkt", Key = "k", ChecksumType = "FULL_OBJECT" })
    local id = create { ChecksumAlgorithm = "SHA256" }
    fails("InvalidRequest", "UploadPart", { Bucket = "bkt", Key = "k", UploadId = id, PartNumber = 1, ChecksumCRC32 = "y/Q5Jg==" }, b)
    assert.matches("expected checksum Type: SHA256, actual checksum Type: null", fails("InvalidRequest", "UploadPart",
      { Bucket = "bkt", Key = "k", UploadId = id, PartNumber = 1 }, b)) -- sums of parts need the parts' sums
    id = create { ChecksumAlgorithm = "CRC32", ChecksumType = "FULL_OBJECT" }
    local parts = { part(id, 1, b) }
    fails("BadDigest", "CompleteMultipartUpload", complete_params(id, parts, { ChecksumCRC32 = "AAAAAA==" }))
    fails("InvalidRequest", "CompleteMultipartUpload", complete_params(id, parts, { ChecksumType = "COMPOSITE" }))
    fails("InvalidRequest", "CompleteMultipartUpload", complete_params(id, parts, { MpuObjectSize = 8 }))
    assert(call("CompleteMultipartUpload", complete_params(id, parts, { ChecksumCRC32 = "y/Q5Jg==", MpuObjectSize = 9 })))
  end)

  it("keep conditions when they are completed", function()
    local id = create()
    local parts = { part(id, 1, "x") }
    call("PutObject", { Bucket = "bkt", Key = "k" }, "there")
    fails("PreconditionFailed", "CompleteMultipartUpload", complete_params(id, parts, { IfNoneMatch = "*" }))
    assert.equal(2, files())
    assert(call("CompleteMultipartUpload", complete_params(id, parts)))
    assert.equal(1, files())
  end)

  it("by many at once are completed once", function()
    local id, calls = create(), {}
    local params = json.encode(complete_params(id, { part(id, 1, "x") }))
    for i = 1, 8 do calls[i] = e:start("s3", "CompleteMultipartUpload", params) end
    local etag
    for i = 1, 8 do
      local text = assert(calls[i]:wait())
      local r = json.decode(text)
      etag = etag or r.ETag
      assert.equal(etag, r.ETag)
    end
    assert.equal(1, files())
  end)

  it("are what they were when completing fails anywhere", function()
    local id = create()
    local parts = { part(id, 1, ("x"):rep(5 * MIB)), part(id, 2, "y") }
    for _, kind in ipairs { "file", "step", "commit" } do
      e:fault(kind, 1)
      fails("InputOutputError", "CompleteMultipartUpload", complete_params(id, parts))
      e:fault(kind, 0)
      assert.equal(2, files())
    end
    assert(call("CompleteMultipartUpload", complete_params(id, parts)))
    assert.equal(1, files())
  end)

  it("are listed by key and id, page by page", function()
    local all = {}
    for _, key in ipairs { "a", "b/1", "b/2", "c" } do
      for _ = 1, 2 do all[#all + 1] = create { Key = key } end
    end
    for size = 1, 9 do
      local seen, n, key, id = {}, 0, nil, nil
      repeat
        local r = call("ListMultipartUploads", { Bucket = "bkt", MaxUploads = size, KeyMarker = key, UploadIdMarker = id })
        for _, u in ipairs(r.Uploads or {}) do seen[u.UploadId] = true n = n + 1 end
        key, id = r.NextKeyMarker, r.NextUploadIdMarker
      until not r.IsTruncated
      assert.equal(#all, n)
      for _, one in ipairs(all) do assert.is_true(seen[one]) end
    end
    local seen, key, id = {}, nil, nil
    repeat
      local r = call("ListMultipartUploads", { Bucket = "bkt", MaxUploads = 1, Delimiter = "/", KeyMarker = key, UploadIdMarker = id })
      for _, p in ipairs(r.CommonPrefixes or {}) do seen[#seen + 1] = p.Prefix end
      for _, u in ipairs(r.Uploads or {}) do seen[#seen + 1] = u.Key end
      key, id = r.NextKeyMarker, r.NextUploadIdMarker
    until not r.IsTruncated
    assert.equal("a a b/ c c", table.concat(seen, " "))
  end)

  it("go with their bucket, and at the next opening when a crash left them without a row", function()
    local id = create()
    part(id, 1, "x")
    assert(call("DeleteBucket", { Bucket = "bkt" }))
    assert.equal(0, files())
    e:close()
    local p <close> = io.popen "mktemp -d"
    local dir = p:read "l"
    e = assert(t.open { dir = dir })
    assert(call("CreateBucket", { Bucket = "bkt" }))
    id = create()
    local one = part(id, 1, "kept")
    e:close()
    os.execute("mkdir -p " .. dir .. "/s3/bkt/zz && echo x > " .. dir .. "/s3/bkt/zz/stray")
    e = assert(t.open { dir = dir })
    assert.equal(1, files())
    assert(call("CompleteMultipartUpload", complete_params(id, { one })))
    assert.equal("kept", select(2, call("GetObject", { Bucket = "bkt", Key = "k" })))
    e:close()
    os.execute("rm -rf " .. dir)
    e = assert(t.open { memory = true })
  end)
end)

describe("a store made before there were versions", function()
  it("is opened and has what it had", function()
    local p <close> = io.popen "mktemp -d"
    local dir = p:read "l"
    e = assert(t.open { dir = dir })
    assert(call("CreateBucket", { Bucket = "bkt" }))
    call("PutObject", { Bucket = "bkt", Key = "k" }, "old")
    e:close()
    local sql = "ALTER TABLE objects DROP COLUMN %s;"
    local drop = sql:format "version_id" .. sql:format "tags" .. sql:format "parts" ..
      "ALTER TABLE buckets DROP COLUMN versioning; ALTER TABLE buckets DROP COLUMN lifecycle; DROP TABLE object_versions; DROP TABLE uploads; DROP TABLE parts;"
    local code = ("import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.executescript('%s'); c.close()"):format(drop)
    assert(os.execute(('python3 -c "%s" %s/store.db'):format(code, dir)))
    e = assert(t.open { dir = dir })
    assert.equal("old", select(2, call("GetObject", { Bucket = "bkt", Key = "k" })))
    assert(call("PutBucketVersioning", { Bucket = "bkt", VersioningConfiguration = { Status = "Enabled" } }))
    call("PutObject", { Bucket = "bkt", Key = "k" }, "new")
    assert.equal("old", select(2, call("GetObject", { Bucket = "bkt", Key = "k", VersionId = "null" })))
    e:close()
    os.execute("rm -rf " .. dir)
  end)
end)
