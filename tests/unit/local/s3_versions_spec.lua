local t = require "t.local"
local json = require "cjson"

local e
local function call(action, params, body)
  local ok, more = e:call("s3", action, json.encode(params), body)
  if ok then return json.decode(ok), more end
  return nil, json.decode(more)
end
local function fails(name, action, params, body)
  local ok, err = call(action, params, body)
  assert.is_nil(ok, action .. " succeeded")
  assert.equal(name, err.__type)
  return err
end
local function files()
  local p <close> = io.popen("find " .. e:dir() .. "/s3 -type f | wc -l")
  return tonumber(p:read "a")
end
local function put(key, bytes) return call("PutObject", { Bucket = "bkt", Key = key }, bytes).VersionId end
local function get(key, version) return select(2, call("GetObject", { Bucket = "bkt", Key = key, VersionId = version })) end
local function versioning(status)
  assert(call("PutBucketVersioning", { Bucket = "bkt", VersioningConfiguration = { Status = status } }))
end
local function history(params)
  params = params or {}
  params.Bucket = "bkt"
  local r = call("ListObjectVersions", params)
  local out = {}
  for _, v in ipairs(r.Versions or {}) do out[#out + 1] = v.Key .. ":" .. v.VersionId .. (v.IsLatest and "*" or "") end
  for _, v in ipairs(r.DeleteMarkers or {}) do out[#out + 1] = "-" .. v.Key .. ":" .. v.VersionId .. (v.IsLatest and "*" or "") end
  for _, p in ipairs(r.CommonPrefixes or {}) do out[#out + 1] = p.Prefix end
  return table.concat(out, " "), r
end

describe("versions of S3 objects", function()
  before_each(function()
    e = assert(t.open { memory = true, now = 1700000000000 })
    assert(call("CreateBucket", { Bucket = "bkt" }))
  end)
  after_each(function() e:close() end)

  it("are \"null\" when they were never asked for", function()
    assert.is_nil(put("k", "1"))
    put("k", "2")
    assert.equal("k:null*", history())
    assert.equal("2", get("k", "null"))
    assert(call("DeleteObject", { Bucket = "bkt", Key = "k", VersionId = "null" }))
    assert.same({ "", 0 }, { history(), files() })
  end)

  it("have ids that begin with a letter: a command line takes '-...' for an option", function()
    versioning "Enabled"
    for _ = 1, 400 do assert.matches("^%a[%w_-]+$", put("k", "")) end
  end)

  it("stay behind what is put, and behind a delete marker", function()
    put("k", "0")
    versioning "Enabled"
    local one, two = put("k", "1"), put("k", "2")
    assert.equal(("k:%s* k:%s k:null"):format(two, one), (history()))
    local deleted = call("DeleteObject", { Bucket = "bkt", Key = "k" })
    assert.is_true(deleted.DeleteMarker)
    assert.equal(("k:%s k:%s k:null -k:%s*"):format(two, one, deleted.VersionId), (history()))
    fails("NoSuchKey", "GetObject", { Bucket = "bkt", Key = "k" })
    assert.equal("0", get("k", "null"))
    assert.equal(3, files())
    assert(call("DeleteObject", { Bucket = "bkt", Key = "k", VersionId = deleted.VersionId }))
    assert.equal("2", get "k")
    assert(call("DeleteObject", { Bucket = "bkt", Key = "k", VersionId = one }))
    assert(call("DeleteObject", { Bucket = "bkt", Key = "k", VersionId = two }))
    assert.equal("0", get "k")
    assert.same({ "k:null*", 1 }, { history(), files() })
  end)

  it("are one \"null\" version after suspending", function()
    versioning "Enabled"
    local one = put("k", "1")
    versioning "Suspended"
    assert.equal("null", put("k", "2"))
    assert.equal("null", put("k", "3"))
    assert.equal("k:null* k:" .. one, (history()))
    assert.equal(2, files())
    local deleted = call("DeleteObject", { Bucket = "bkt", Key = "k" })
    assert.same({ "null", true }, { deleted.VersionId, deleted.DeleteMarker })
    assert.equal("k:" .. one .. " -k:null*", (history()))
    assert.equal(1, files())
    assert.equal("null", put("k", "4"))
    assert.equal("k:null* k:" .. one, (history()))
    versioning "Enabled"
    local five = put("k", "5")
    assert.equal(("k:%s* k:null k:%s"):format(five, one), (history()))
  end)

  it("of many keys are listed page by page, prefixes once", function()
    versioning "Enabled"
    local all = {}
    for _, k in ipairs { "a", "b/1", "b/2", "c" } do
      for _ = 1, 3 do all[#all + 1] = k .. ":" .. put(k, k) end
    end
    for size = 1, 13 do
      local seen, n, key, version = {}, 0, nil, nil
      repeat
        local text, r = history { MaxKeys = size, KeyMarker = key, VersionIdMarker = version }
        for one in text:gmatch "%S+" do seen[one:gsub("%*", "")] = true n = n + 1 end
        key, version = r.NextKeyMarker, r.NextVersionIdMarker
      until not r.IsTruncated
      assert.equal(#all, n)
      for _, one in ipairs(all) do assert.is_true(seen[one]) end
    end
    local text, r = history { Delimiter = "/", MaxKeys = 4 }
    assert.matches("b/$", text)
    assert.is_true(r.IsTruncated)
    text = history { Delimiter = "/", KeyMarker = r.NextKeyMarker, VersionIdMarker = r.NextVersionIdMarker }
    assert.matches("^c:%S+ c:%S+ c:%S+$", text)
    fails("InvalidArgument", "ListObjectVersions", { Bucket = "bkt", VersionIdMarker = "x" })
  end)

  it("are what copies, tags and deletions by list can mean", function()
    versioning "Enabled"
    local one, two = put("k", "1"), put("k", "2")
    assert(call("CopyObject", { Bucket = "bkt", Key = "copy", CopySource = "bkt/k?versionId=" .. one }))
    assert.equal("1", get "copy")
    assert(call("PutObjectTagging", { Bucket = "bkt", Key = "k", VersionId = one, Tagging = { TagSet = { { Key = "a", Value = "1" } } } }))
    assert.equal("a", call("GetObjectTagging", { Bucket = "bkt", Key = "k", VersionId = one }).TagSet[1].Key)
    assert.equal(0, #call("GetObjectTagging", { Bucket = "bkt", Key = "k" }).TagSet)
    local r = call("DeleteObjects", { Bucket = "bkt", Delete = { Objects = { { Key = "k", VersionId = two }, { Key = "k" } } } })
    assert.same({ two, true }, { r.Deleted[1].VersionId, r.Deleted[2].DeleteMarker })
    assert.equal(("copy:%s* k:%s -k:%s*"):format(call("HeadObject", { Bucket = "bkt", Key = "copy" }).VersionId, one,
      r.Deleted[2].DeleteMarkerVersionId), (history()))
  end)

  it("are whole, whatever fails underneath", function()
    versioning "Enabled"
    put("k", "old")
    local before = history()
    for _, kind in ipairs { "file", "step", "commit" } do
      for n = 1, 60 do
        e:fault(kind, n)
        local ok = call("PutObject", { Bucket = "bkt", Key = "k" }, "new")
        e:fault(kind, 0)
        if ok then
          assert.is_true(n > 1)
          assert(call("DeleteObject", { Bucket = "bkt", Key = "k", VersionId = ok.VersionId }))
        end
        assert.equal(before, (history()))
        assert.equal(1, files())
        if ok then break end
      end
    end
  end)
end)

describe("lifecycle rules", function()
  local day = 86400000
  before_each(function()
    e = assert(t.open { memory = true, now = 1700000000000 }) -- 2023-11-14T22:13:20Z
    assert(call("CreateBucket", { Bucket = "bkt" }))
  end)
  after_each(function() e:close() end)
  local function rule(r)
    r.Status = r.Status or "Enabled"
    r.Filter = r.Filter or { Prefix = "tmp/" }
    assert(call("PutBucketLifecycleConfiguration", { Bucket = "bkt", LifecycleConfiguration = { Rules = { r } } }))
  end
  local function keys()
    local out = {}
    for _, o in ipairs(call("ListObjectsV2", { Bucket = "bkt" }).Contents or {}) do out[#out + 1] = o.Key end
    return table.concat(out, " ")
  end
  -- The writer sweeps by itself once the clock moved: some calls later it has.
  local function eventually(want, get_it)
    local got
    for _ = 1, 4000 do
      got = get_it()
      if got == want then break end
      e:advance(1000)
    end
    assert.equal(want, got)
  end

  it("let objects go at the midnight after their days", function()
    put("tmp/a", "1")
    put("keep", "2")
    rule { ID = "r", Expiration = { Days = 1 } }
    e:clock_set(1700000000000 + day) -- 22:13 of the next day: not yet
    put("tmp/b", "3")
    assert.equal("keep tmp/a tmp/b", keys())
    e:clock_set(1700092800000) -- 2023-11-16T00:00Z
    eventually("keep tmp/b", keys)
    assert.equal(2, files())
    e:clock_set(1700179200000) -- the next midnight
    eventually("keep", keys)
  end)

  it("do nothing when disabled, and leave a marker where versions are kept", function()
    versioning "Enabled"
    local one = put("tmp/a", "1")
    rule { ID = "r", Status = "Disabled", Expiration = { Days = 1 } }
    e:clock_set(1700000000000 + 5 * day)
    for _ = 1, 20 do put("other", "x") end
    assert.equal("other tmp/a", keys())
    rule { ID = "r", Expiration = { Date = "2023-11-15T00:00:00.000Z" } }
    eventually("other", keys)
    assert.equal("1", get("tmp/a", one))
  end)

  it("are refused when they are no rules", function()
    local function refused(name, wrong)
      fails(name, "PutBucketLifecycleConfiguration", { Bucket = "bkt", LifecycleConfiguration = { Rules = { wrong } } })
    end
    refused("MalformedXML", { Status = "Enabled", Filter = { { ["a b"] = 1 } }, Expiration = { Days = 1 } })
    refused("MalformedXML", { Status = "Enabled", Expiration = { Days = 1 } })
    refused("MalformedXML", { Status = "Enabled", Filter = { Prefix = "" }, Expiration = { { Days = 1 } } })
    refused("NotImplemented", { Status = "Enabled", Filter = { Tag = { Key = "a", Value = "b" } }, Expiration = { Days = 1 } })
    refused("NotImplemented", { Status = "Enabled", Filter = { Prefix = "" }, NoncurrentVersionExpiration = { NoncurrentDays = 1 } })
    refused("InvalidArgument", { Status = "Enabled", Filter = { Prefix = "" }, Expiration = { Date = "2023-11-15T01:00:00Z" } })
    fails("MalformedXML", "PutBucketLifecycleConfiguration", { Bucket = "bkt", LifecycleConfiguration = { Rules = {} } })
    fails("MalformedXML", "PutBucketLifecycleConfiguration", { Bucket = "bkt" })
  end)

  it("let unfinished uploads go", function()
    local up = call("CreateMultipartUpload", { Bucket = "bkt", Key = "tmp/a" })
    assert(call("UploadPart", { Bucket = "bkt", Key = "tmp/a", UploadId = up.UploadId, PartNumber = 1 }, "part"))
    rule { ID = "r", AbortIncompleteMultipartUpload = { DaysAfterInitiation = 2 } }
    e:clock_set(1700000000000 + 4 * day)
    eventually(0, files)
    fails("NoSuchUpload", "ListParts", { Bucket = "bkt", Key = "tmp/a", UploadId = up.UploadId })
  end)
end)
