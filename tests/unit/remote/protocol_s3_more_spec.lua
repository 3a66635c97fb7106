-- Operations of S3 whose requests or answers are documents, copies, and uploads in parts; what all have in common is in
-- protocol_s3_spec.lua.
local t = require "t.protocol"
local json = require "dkjson"

local function call(action, params, more)
    local c = { service = "s3", action = action, params = next(params) and json.encode(params) or "{}" }
    for k, v in pairs(more or {}) do c[k] = c[k] or v end
    return c
end
local function encoded(action, params, more)
    local r, err = t.encode(call(action, params, more))
    assert(r, err and err.message)
    return r
end
local function refused(action, params)
    local r, err = t.encode(call(action, params))
    assert.is_nil(r)
    return err.message
end
local function result(action, answer, params)
    answer = type(answer) == "table" and answer or { body = answer }
    local r = t.decode(call(action, params or {}, { status = 200, answer = answer.body, headers = answer.headers }))
    assert.is_nil(r.err, r.err and r.err.message)
    return json.decode(r.result)
end
local XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
local NS = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

describe("a further S3 request", function()
    it("has the operation's method, path and sub-resource", function()
        local key, up = { Bucket = "b", Key = "k/1" }, { Bucket = "b", Key = "k/1", UploadId = "u +" }
        local part = { Bucket = "b", Key = "k/1", UploadId = "u +", PartNumber = 2, CopySource = "c/d" }
        local body_part = { Bucket = "b", Key = "k/1", UploadId = "u +", PartNumber = 2 }
        local id = "uploadId=u%20%2B"
        for action, want in pairs {
            DeleteBucket = { "DELETE", "/", "" }, GetBucketLocation = { "GET", "/", "location=" }, GetBucketVersioning = { "GET", "/", "versioning=" },
            GetBucketLifecycleConfiguration = { "GET", "/", "lifecycle=" }, DeleteBucketLifecycle = { "DELETE", "/", "lifecycle=" },
            ListObjects = { "GET", "/", "encoding-type=url" }, ListObjectVersions = { "GET", "/", "encoding-type=url&versions=" },
            ListMultipartUploads = { "GET", "/", "encoding-type=url&uploads=" }, GetObjectTagging = { "GET", "/k/1", "tagging=", key },
            DeleteObjectTagging = { "DELETE", "/k/1", "tagging=", key }, CreateMultipartUpload = { "POST", "/k/1", "uploads=", key },
            UploadPart = { "PUT", "/k/1", "partNumber=2&" .. id, body_part }, UploadPartCopy = { "PUT", "/k/1", "partNumber=2&" .. id, part },
            AbortMultipartUpload = { "DELETE", "/k/1", id, up }, ListParts = { "GET", "/k/1", id, up },
        } do
            local r = encoded(action, want[4] or { Bucket = "b" })
            assert.same({ want[1], want[2], want[3], "b" }, { r.method, r.path, r.query, r.bucket }, action)
        end
    end)

    it("carries documents with their checksum", function()
        local r = encoded("DeleteObjects", { Bucket = "b", Delete = { Objects = { { Key = "a<&>" }, { Key = "b", VersionId = "1" } }, Quiet = true } })
        assert.equal("delete=", r.query)
        assert.matches("^<%?xml .-%?>\n<Delete xmlns=\"http://s3.amazonaws.com/doc/2006%-03%-01/\">", r.body)
        assert.matches("<Object><Key>a&lt;&amp;&gt;</Key></Object>", r.body)
        assert.matches("<Quiet>true</Quiet>", r.body)
        assert.equal("CRC32", r.headers["x-amz-sdk-checksum-algorithm"])
        assert.is_string(r.headers["x-amz-checksum-crc32"])
        r = encoded("PutObjectTagging", { Bucket = "b", Key = "k", Tagging = { TagSet = { { Key = "a", Value = "1" } } } })
        assert.matches("<TagSet><Tag>.*</Tag></TagSet></Tagging>$", r.body)
        r = encoded("PutBucketVersioning", { Bucket = "b", VersioningConfiguration = { Status = "Enabled" } })
        assert.matches("<Status>Enabled</Status></VersioningConfiguration>$", r.body)
        r = encoded("CompleteMultipartUpload", { Bucket = "b", Key = "k", UploadId = "u", MultipartUpload = { Parts = { { PartNumber = 1, ETag = '"e"' } } } })
        assert.matches("<Part>.-<PartNumber>1</PartNumber>.-</Part>", r.body)
        assert.is_nil(r.headers["x-amz-checksum-crc32"])
        r = encoded("PutBucketLifecycleConfiguration", { Bucket = "b", LifecycleConfiguration = { Rules = { { ID = "r", Status = "Enabled", Expiration = { Days = 3 } } } } })
        assert.matches("<Rule>.-<Expiration><Days>3</Days></Expiration>.-</Rule></LifecycleConfiguration>$", r.body)
    end)

    it("says where copies come from, in header fields", function()
        local r = encoded("CopyObject", { Bucket = "b", Key = "k", CopySource = "c/d%20e?versionId=1", MetadataDirective = "REPLACE", Metadata = { A = "1" },
            ContentType = "x/y", CopySourceIfMatch = '"e"' })
        assert.same({ "PUT", "c/d%20e?versionId=1", "REPLACE", "1", "x/y", '"e"' }, { r.method, r.headers["x-amz-copy-source"],
            r.headers["x-amz-metadata-directive"], r.headers["x-amz-meta-a"], r.headers["content-type"], r.headers["x-amz-copy-source-if-match"] })
    end)

    it("is refused when something is missing or unknown", function()
        assert.equal("the parameter UploadId is missing", refused("UploadPart", { Bucket = "b", Key = "k", PartNumber = 1 }))
        assert.equal("the parameter PartNumber is missing", refused("UploadPart", { Bucket = "b", Key = "k", UploadId = "u" }))
        assert.equal("the parameter CopySource is missing", refused("CopyObject", { Bucket = "b", Key = "k" }))
        assert.equal("parameter Delete is missing", refused("DeleteObjects", { Bucket = "b" }))
        assert.equal("parameter Tagging is string, not an object", refused("PutObjectTagging", { Bucket = "b", Key = "k", Tagging = "a=1" }))
        assert.matches("ListParts: Prefix is unknown", refused("ListParts", { Bucket = "b", Key = "k", UploadId = "u", Prefix = "p" }))
        assert.matches("DeleteBucket: Key is unknown", refused("DeleteBucket", { Bucket = "b", Key = "k" }))
    end)
end)

describe("a further S3 answer", function()
    it("is read as the engine would give it", function()
        assert.same({ Deleted = { { Key = "a", DeleteMarker = true, DeleteMarkerVersionId = "1" } }, Errors = { { Key = "b", Code = "AccessDenied" } } },
            result("DeleteObjects", XML .. "<DeleteResult" .. NS .. "><Deleted><Key>a</Key><DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>1" ..
                "</DeleteMarkerVersionId></Deleted><Error><Key>b</Key><Code>AccessDenied</Code></Error></DeleteResult>"))
        assert.same({ CopyObjectResult = { ETag = '"e"', LastModified = "2026-01-01T00:00:00.000Z" } },
            result("CopyObject", XML .. "<CopyObjectResult><ETag>\"e\"</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></CopyObjectResult>"))
        assert.same({ TagSet = { { Key = "a", Value = "1" } } },
            result("GetObjectTagging", "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"))
        assert.same({ Status = "Enabled" }, result("GetBucketVersioning", "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"))
        assert.same({ LocationConstraint = "eu-west-1" }, result("GetBucketLocation", "<LocationConstraint>eu-west-1</LocationConstraint>"))
        assert.same({}, result("GetBucketLocation", "<LocationConstraint/>"))
        assert.same({ Bucket = "b", Key = "k", UploadId = "u" },
            result("CreateMultipartUpload", "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>u</UploadId></InitiateMultipartUploadResult>"))
        local parts = result("ListParts", "<ListPartsResult><Part><PartNumber>1</PartNumber><Size>5</Size></Part><IsTruncated>false</IsTruncated></ListPartsResult>")
        assert.same({ Parts = { { PartNumber = 1, Size = 5 } }, IsTruncated = false }, parts)
    end)

    it("has its keys decoded unless the caller asked for them encoded", function()
        local xml = "<ListVersionsResult><EncodingType>url</EncodingType><KeyMarker>a%2Bb</KeyMarker><Version><Key>%C3%BC+%01</Key><IsLatest>true</IsLatest>" ..
            "</Version><DeleteMarker><Key>x</Key></DeleteMarker><CommonPrefixes><Prefix>p%2F</Prefix></CommonPrefixes></ListVersionsResult>"
        local r = result("ListObjectVersions", xml)
        assert.same({ "a+b", "ü \1", true, "x", "p/" }, { r.KeyMarker, r.Versions[1].Key, r.Versions[1].IsLatest, r.DeleteMarkers[1].Key, r.CommonPrefixes[1].Prefix })
        assert.is_nil(r.EncodingType)
        r = result("ListObjectVersions", xml, { EncodingType = "url" })
        assert.equal("%C3%BC+%01", r.Versions[1].Key)
        assert.equal("url", r.EncodingType)
    end)

    it("that is another document, or none, is an invalid one; an error in it is the error", function()
        for _, body in ipairs { "<Other/>", "nonsense", "" } do
            local r = t.decode(call("ListParts", {}, { status = 200, answer = body }))
            assert.equal("InvalidServiceResponse", r.err.name)
        end
        local r = t.decode(call("CompleteMultipartUpload", {}, { status = 200, answer = "<Error><Code>InternalError</Code><Message>m</Message></Error>" }))
        assert.equal("InternalError", r.err.name)
    end)
end)
