-- Operations of S3 whose requests or answers are documents, copies, and uploads in parts; what all have in common is in
-- protocol_s3_spec.lua.
local t = require "t.protocol"
local json = require "dkjson"

local function call(action, params, more)
    local c = { service = "s3", action = action, params = type(params) == "string" and params or next(params) and json.encode(params) or "{}" }
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

    it("has its copy source encoded, however it was given", function()
        for given, sent in pairs {
            ["c/a b"] = "c/a%20b", ["c/a%20b"] = "c/a%20b", ["/c/é€"] = "/c/%C3%A9%E2%82%AC", ["c/a+b"] = "c/a%2Bb", ["c/a%2Bb"] = "c/a%2Bb", ["c/x//y/../z"] = "c/x//y/../z",
            ["c/50%25"] = "c/50%25", ["c/k?versionId=a.b_-"] = "c/k?versionId=a.b_-", ["c/k?x"] = "c/k%3Fx", ["arn:aws:s3:::x/k"] = "arn%3Aaws%3As3%3A%3A%3Ax/k",
        } do
            assert.equal(sent, encoded("CopyObject", { Bucket = "b", Key = "k", CopySource = given }).headers["x-amz-copy-source"])
            assert.equal(sent, encoded("UploadPartCopy", { Bucket = "b", Key = "k", UploadId = "u", PartNumber = 1, CopySource = given }).headers["x-amz-copy-source"])
        end
        assert.matches("CopySource is wrongly encoded", refused("CopyObject", { Bucket = "b", Key = "k", CopySource = "c/50%" }))
    end)

    it("sends parts with their CRC-32, or the sum that is asked for", function()
        local params = { Bucket = "b", Key = "k", UploadId = "u", PartNumber = 1 }
        local r = encoded("UploadPart", params, { body = "hello" })
        assert.same({ "hello", "NhCmhg==", "CRC32" }, { r.body, r.headers["x-amz-checksum-crc32"], r.headers["x-amz-sdk-checksum-algorithm"] })
        params.ChecksumAlgorithm = "SHA1"
        r = encoded("UploadPart", params, { body = "hello" })
        assert.same({ "qvTGHdzF6KLavt4PO0gs2a6pQ00=" }, { r.headers["x-amz-checksum-sha1"], r.headers["x-amz-checksum-crc32"] })
        params.ChecksumAlgorithm, params.ChecksumCRC32C = nil, "mnG7TA=="
        r = encoded("UploadPart", params, { body = "hello" })
        assert.same({ "mnG7TA==" }, { r.headers["x-amz-checksum-crc32c"], r.headers["x-amz-checksum-crc32"] })
        params.ContentLength = 4
        assert.matches("ContentLength is not that of the body", refused("UploadPart", params))
    end)

    it("writes its document by the types of its members", function()
        local function rule(members)
            return encoded("PutBucketLifecycleConfiguration", '{"Bucket":"b","LifecycleConfiguration":{"Rules":[' .. members .. "]}}").body:match "<Rule>(.*)</Rule>"
        end
        assert.equal("<Expiration><Date>2027-01-01T00:00:00Z</Date></Expiration>", rule '{"Expiration":{"Date":1798761600}}')
        assert.equal("<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>", rule '{"Expiration":{"ExpiredObjectDeleteMarker":true}}')
        assert.equal("<Filter></Filter><Status>Enabled</Status>", rule '{"Filter":[],"Status":"Enabled","ID":null}')
        assert.equal("<Filter><And><Tag><Key>a</Key><Value></Value></Tag></And></Filter><Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>",
            rule '{"Filter":{"And":{"Tags":[{"Key":"a","Value":""}]}},"Transitions":[{"Days":1,"StorageClass":"GLACIER"}]}')
        local r = encoded("PutObjectTagging", '{"Bucket":"b","Key":"k","Tagging":{"TagSet":{}}}')
        assert.matches("<TagSet></TagSet></Tagging>$", r.body)
        r = encoded("PutBucketVersioning", { Bucket = "b", VersioningConfiguration = { MFADelete = "Enabled" } })
        assert.matches("<MfaDelete>Enabled</MfaDelete>", r.body)
        r = encoded("DeleteObjects", { Bucket = "b", Delete = { Objects = { { Key = "k", LastModifiedTime = "2026-11-22T04:55:46Z", Size = 5 } } } })
        assert.matches("<LastModifiedTime>Sun, 22 Nov 2026 04:55:46 GMT</LastModifiedTime>", r.body)
    end)

    it("refuses what its document cannot hold, by name", function()
        local function del(object) return refused("DeleteObjects", '{"Bucket":"b","Delete":{"Objects":[' .. object .. "]}}") end
        assert.equal("Delete: Objects: Keys is unknown or not supported yet", del '{"Key":"k","Keys":"x"}')
        assert.matches("is unknown", del('{"' .. ("x"):rep(100) .. '":"v"}'))
        assert.matches("is unknown", del '{"Key><Quiet":"v"}')
        assert.matches("parameter Key is number, not a string", del '{"Key":1}')
        assert.matches("parameter Size is string, not a whole number", del '{"Key":"k","Size":"x"}')
        assert.matches("parameter Key holds characters that XML cannot hold", del '{"Key":"a\\u0001"}')
        assert.matches("parameter Key holds characters that XML cannot hold", del '{"Key":"a\\u0000"}')
        assert.matches("Objects: string, not an object", del '"k"')
        assert.matches("parameter Objects is string, not a list", refused("DeleteObjects", { Bucket = "b", Delete = { Objects = "k" } }))
        assert.matches("Delete: Object is unknown", refused("DeleteObjects", { Bucket = "b", Delete = { Object = {} } }))
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
        assert.same({ Parts = { { PartNumber = 1, Size = 5 } }, IsTruncated = false, PartNumberMarker = 0 }, parts)
    end)

    it("has what the engine always gives, and leaves out what it gives only of more pages", function()
        assert.same({ Prefix = "", Marker = "", IsTruncated = false }, result("ListObjects", "<ListBucketResult><NextMarker/></ListBucketResult>"))
        assert.same({ Prefix = "", KeyMarker = "", UploadIdMarker = "", IsTruncated = false },
            result("ListMultipartUploads", "<ListMultipartUploadsResult><NextKeyMarker/><NextUploadIdMarker/><Delimiter/></ListMultipartUploadsResult>"))
        assert.same({ Prefix = "", KeyMarker = "", VersionIdMarker = "", IsTruncated = false }, result("ListObjectVersions", "<ListVersionsResult/>"))
        assert.same({ PartNumberMarker = 0, IsTruncated = false },
            result("ListParts", "<ListPartsResult><NextPartNumberMarker>3</NextPartNumberMarker><IsTruncated>false</IsTruncated></ListPartsResult>"))
        assert.equal(3, result("ListParts", "<ListPartsResult><NextPartNumberMarker>3</NextPartNumberMarker><IsTruncated>true</IsTruncated></ListPartsResult>").NextPartNumberMarker)
        assert.same({ TagSet = {} }, result("GetObjectTagging", "<Tagging><TagSet/></Tagging>"))
        assert.same({ TagSet = { { Key = "a", Value = "" } } }, result("GetObjectTagging", "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>"))
        assert.same({}, result("GetBucketVersioning", "<VersioningConfiguration/>"))
        assert.same({}, result("DeleteObjects", "<DeleteResult/>"))
    end)

    it("has the types of its members, whatever the elements are called", function()
        local r = result("GetBucketLifecycleConfiguration", "<LifecycleConfiguration><Rule><ID>1</ID><Filter/><Expiration><Date>2027-01-01T00:00:00Z</Date></Expiration>" ..
            "<NoncurrentVersionExpiration><NoncurrentDays>2</NoncurrentDays></NoncurrentVersionExpiration><Unknown><X/></Unknown></Rule></LifecycleConfiguration>")
        assert.same({ Rules = { { ID = "1", Filter = {}, Expiration = { Date = "2027-01-01T00:00:00.000Z" }, NoncurrentVersionExpiration = { NoncurrentDays = 2 } } } }, r)
        r = result("ListObjectVersions", "<ListVersionsResult><Version><Key>k</Key><Size>12</Size><IsLatest>false</IsLatest><Owner/><LastModified>2026-11-22T04:55:46Z" ..
            "</LastModified><ChecksumAlgorithm>CRC32</ChecksumAlgorithm></Version></ListVersionsResult>")
        assert.same({ { Key = "k", Size = 12, IsLatest = false, Owner = {}, LastModified = "2026-11-22T04:55:46.000Z", ChecksumAlgorithm = { "CRC32" } } }, r.Versions)
        r = result("CopyObject", { body = "<CopyObjectResult><ETag>e</ETag></CopyObjectResult>", headers = { ["x-amz-version-id"] = "2", ["x-amz-copy-source-version-id"] = "1" } })
        assert.same({ CopyObjectResult = { ETag = "e" }, VersionId = "2", CopySourceVersionId = "1" }, r)
        r = result("PutObjectTagging", { body = "", headers = { ["x-amz-version-id"] = "3" } })
        assert.same({ VersionId = "3" }, r)
        for _, action in ipairs { "DeleteBucket", "PutBucketVersioning", "PutBucketLifecycleConfiguration", "DeleteBucketLifecycle", "DeleteObjectTagging", "AbortMultipartUpload" } do
            assert.same({}, result(action, ""))
        end
    end)

    it("may have its operation's name, as other services call it", function()
        assert.same({ Status = "Enabled" }, result("GetBucketVersioning", "<GetBucketVersioningResponse><Status>Enabled</Status></GetBucketVersioningResponse>"))
        assert.equal("b", result("ListParts", "<ListPartsResponse><Bucket>b</Bucket></ListPartsResponse>").Bucket)
        for _, root in ipairs { "GetBucketVersioning", "GetBucketVersioningResponses", "PutBucketVersioningResponse" } do
            assert.equal("InvalidServiceResponse", t.decode(call("GetBucketVersioning", {}, { status = 200, answer = "<" .. root .. "/>" })).err.name)
        end
    end)

    it("that lacks what it must have, or has a key wrongly encoded, is an invalid one", function()
        for action, body in pairs {
            ListObjects = "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>", CopyObject = "<CopyObjectResult/>",
            ListObjectVersions = "<ListVersionsResult><EncodingType>url</EncodingType><Version><Key>%zz</Key></Version></ListVersionsResult>",
            CreateMultipartUpload = "<InitiateMultipartUploadResult><Key>k</Key></InitiateMultipartUploadResult>",
            CompleteMultipartUpload = "<CompleteMultipartUploadResult/>",
        } do
            assert.equal("InvalidServiceResponse", t.decode(call(action, {}, { status = 200, answer = body })).err.name)
        end
    end)

    it("of a copy or a completed upload can be an error with status 200", function()
        for _, action in ipairs { "CopyObject", "UploadPartCopy", "CompleteMultipartUpload" } do
            local r = t.decode(call(action, {}, { status = 200, answer = "\n\n" .. "<Error><Code>SlowDown</Code><Message>m</Message></Error>" }))
            assert.same({ "SlowDown", 503 }, { r.err.name, r.err.status })
        end
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

    it("that is damaged anywhere is read or refused", function()
        local samples = {
            ListObjectVersions = "<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><NextKeyMarker>a%2B</NextKeyMarker><Version>" ..
                "<Key>%C3%BC</Key><Size>1</Size><Owner><ID>i</ID></Owner><ChecksumAlgorithm>CRC32</ChecksumAlgorithm></Version><DeleteMarker><Key>x</Key></DeleteMarker></ListVersionsResult>",
            GetObjectTagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>",
            GetBucketLifecycleConfiguration = "<LifecycleConfiguration><Rule><Filter><And><Tag><Key>k</Key></Tag></And></Filter><Expiration><Days>3</Days></Expiration></Rule></LifecycleConfiguration>",
            DeleteObjects = "<DeleteResult><Deleted><Key>a</Key><DeleteMarker>true</DeleteMarker></Deleted><Error><Code>c</Code></Error></DeleteResult>",
        }
        local seed, wrong, bytes = 20261122, 0, { "<", ">", "/", "&", "%", "\0", "\255", "<Key>", "</Key>", "<Tag/>", "Z" }
        local function random(n) seed = (seed * 1103515245 + 12345) % 2147483648 return seed // 65536 % n + 1 end
        for action, xml in pairs(samples) do
            for _ = 1, 400 do
                local at = random(#xml)
                local answer = xml:sub(1, at - 1) .. bytes[random(#bytes)] .. xml:sub(at + random(3) - 1)
                local r = t.decode(call(action, {}, { status = 200, answer = answer }))
                if r.err then wrong = wrong + 1 assert.is_string(r.err.name) else assert.is_table(json.decode(r.result)) end
            end
        end
        assert.is_true(wrong > 100 and wrong < 1600)
    end)
end)
