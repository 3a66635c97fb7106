local json = require "dkjson"
local t = require "t.shapes"

local DATE = "2030-01-01T00:00:00.000Z"
-- Documents as the engine has them, by their structures.
local REQUESTS = {
  Delete = { Objects = { { Key = "a&b <ü>\n", VersionId = "v", ETag = "e", Size = 5 }, { Key = "" } }, Quiet = true },
  CompleteMultipartUpload = { Parts = { { PartNumber = 1, ETag = '"e"', ChecksumCRC32 = "NhCmhg==" }, { PartNumber = 10000, ETag = "f" } } },
  Tagging = { TagSet = { { Key = "a", Value = "" }, { Key = "b", Value = " 2 " } } },
  VersioningConfiguration = { Status = "Enabled", MFADelete = "Disabled" },
  CreateBucketConfiguration = { LocationConstraint = "eu-west-1" },
  LifecycleConfiguration = { Rules = {
    { ID = "1", Status = "Enabled", Prefix = "", Expiration = { Date = DATE }, Transitions = { { Days = 1, StorageClass = "GLACIER" }, { Date = DATE, StorageClass = "X" } } },
    { Status = "Disabled", Filter = { And = { Prefix = "p", Tags = { { Key = "k", Value = "v" } }, ObjectSizeGreaterThan = 1, ObjectSizeLessThan = 2 } },
      NoncurrentVersionExpiration = { NoncurrentDays = 3, NewerNoncurrentVersions = 4 }, AbortIncompleteMultipartUpload = { DaysAfterInitiation = 5 } },
    { Status = "Enabled", Filter = { Tag = { Key = "k", Value = "v" } }, Expiration = { ExpiredObjectDeleteMarker = false } },
  } },
}
local OWNER = { ID = "0123", DisplayName = "me" }
local ANSWERS = {
  Tagging = REQUESTS.Tagging, VersioningConfiguration = REQUESTS.VersioningConfiguration, LifecycleConfiguration = REQUESTS.LifecycleConfiguration,
  LocationConstraint = { LocationConstraint = "eu-west-1" },
  ListAllMyBucketsResult = { Owner = OWNER, Buckets = { { Name = "b", CreationDate = DATE } }, Prefix = "b", ContinuationToken = "t" },
  ListBucketResultV2 = { Name = "b", Prefix = "p", StartAfter = "s", ContinuationToken = "c", NextContinuationToken = "n", KeyCount = 2, MaxKeys = 2, Delimiter = "/",
    EncodingType = "url", IsTruncated = true, CommonPrefixes = { { Prefix = "p/" } }, Contents = { { Key = "k", LastModified = DATE, ETag = '"e"',
      ChecksumAlgorithm = { "CRC32", "SHA256" }, ChecksumType = "COMPOSITE", Size = 1 << 40, StorageClass = "STANDARD", Owner = OWNER } } },
  ListBucketResult = { Name = "b", Prefix = "", Marker = "m", NextMarker = "n", MaxKeys = 1, IsTruncated = true, Contents = { { Key = "k" } } },
  ListVersionsResult = { Name = "b", Prefix = "", KeyMarker = "", VersionIdMarker = "", NextKeyMarker = "k", NextVersionIdMarker = "v", MaxKeys = 2, IsTruncated = true,
    Versions = { { Key = "k", VersionId = "null", IsLatest = false, Size = 0 } }, DeleteMarkers = { { Key = "k", VersionId = "w", IsLatest = true, Owner = OWNER } } },
  ListPartsResult = { Bucket = "b", Key = "k", UploadId = "u", Initiator = OWNER, PartNumberMarker = 0, NextPartNumberMarker = 1, MaxParts = 1, IsTruncated = true,
    Parts = { { PartNumber = 1, LastModified = DATE, ETag = "e", Size = 5, ChecksumSHA1 = "s" } } },
  ListMultipartUploadsResult = { Bucket = "b", KeyMarker = "", UploadIdMarker = "", Prefix = "", NextKeyMarker = "k", NextUploadIdMarker = "u", MaxUploads = 1,
    IsTruncated = true, Uploads = { { Key = "k", UploadId = "u", Initiated = DATE, Owner = OWNER, ChecksumAlgorithm = "CRC32" } } },
  DeleteResult = { Deleted = { { Key = "k", DeleteMarker = true, DeleteMarkerVersionId = "v" } }, Errors = { { Key = "l", Code = "c", Message = "m" } } },
  CopyObjectResult = { ETag = "e", LastModified = DATE, ChecksumCRC64NVME = "s" }, CopyPartResult = { ETag = "e" },
  InitiateMultipartUploadResult = { Bucket = "b", Key = "k", UploadId = "u" },
  CompleteMultipartUploadResult = { Location = "http://x/b/k", Bucket = "b", Key = "k", ETag = "e", ChecksumType = "FULL_OBJECT", ChecksumCRC32 = "s" },
}

describe("S3's documents", function()
  it("come back from XML as they went in", function()
    for side, documents in pairs { request = REQUESTS, answer = ANSWERS } do
      for shape, document in pairs(documents) do
        local xml = assert(t["write_" .. side](shape, json.encode(document)))
        assert.same(document, json.decode((assert(t["read_" .. side](shape, xml)))), shape)
      end
    end
  end)

  it("of requests are read as the client writes the same for answers", function()
    for _, shape in ipairs { "Tagging", "LifecycleConfiguration", "VersioningConfiguration" } do
      local text = json.encode(REQUESTS[shape])
      assert.equal((assert(t.read_request(shape, t.write_request(shape, text)))), (assert(t.read_request(shape, t.write_answer(shape, text)))))
    end
  end)

  it("of answers say only what their structure has, of its type", function()
    for shape, document in pairs { Tagging = '{"TagSet":[{"Key":"k","Other":"v"}]}', ListPartsResult = '{"Parts":[{"PartNumber":true}]}',
      ListBucketResult = '{"Contents":{"Key":"k"}}', VersioningConfiguration = '{"Status":1}', CopyObjectResult = '"e"' } do
      assert.is_nil((t.write_answer(shape, document)), shape)
    end
  end)

  it("that are damaged anywhere are read, or refused as a client's mistake", function()
    local pieces = { "<", ">", "/", "&", "%", "\0", "\255", "<Key>", "</Key>", "<Tag/>", "<Part>", "x", "-", "<Days>9</Days>" }
    local seed, refused, read = 20261122, 0, 0
    local function random(n)
      seed = (seed * 1103515245 + 12345) % 2147483648
      return seed // 65536 % n + 1
    end
    for shape, document in pairs(REQUESTS) do
      local xml = t.write_request(shape, json.encode(document))
      for _ = 1, 400 do
        local at = random(#xml)
        local got, code, message = t.read_request(shape, xml:sub(1, at - 1) .. pieces[random(#pieces)] .. xml:sub(at + random(9) - 1))
        read, refused = read + (got and 1 or 0), refused + (got and 0 or 1)
        assert(got or code == "MalformedXML" or message:find " at line %d+ column %d+$", message) -- by the table, or no XML
      end
    end
    assert(read > 100 and refused > 1000, ("%d read, %d refused"):format(read, refused))
  end)
end)
