local t = require "t.protocol"
local json = require "dkjson"

local function call(action, params, more)
    local c = { service = "s3", action = action, params = type(params) == "table" and next(params) and json.encode(params) or params or "{}" }
    if type(c.params) == "table" then c.params = "{}" end
    for k, v in pairs(more or {}) do c[k] = c[k] or v end
    return c
end

local function encoded(action, params, more)
    local r, err = t.encode(call(action, params, more))
    assert(r, err and err.message)
    return r
end

local function refused(action, params, more)
    local r, err = t.encode(call(action, params, more))
    assert.is_nil(r)
    return err.message, err.name
end

local function answered(action, status, answer, more)
    more = more or {}
    more.status, more.answer = status, answer
    return t.decode(call(action, more.params, more))
end

local function result(...)
    local r = answered(...)
    assert.is_nil(r.err, r.err and r.err.message)
    return json.decode(r.result), r
end

local function failed(...)
    local r = answered(...)
    assert.is_truthy(r.err)
    return r.err, json.decode(r.result), r
end

local CRC_HELLO = "NhCmhg=="

describe("an S3 request", function()
    it("has the operation's method, the bucket aside, the key in the path", function()
        for action, method in pairs { CreateBucket = "PUT", HeadBucket = "HEAD", ListObjectsV2 = "GET", PutObject = "PUT", GetObject = "GET", HeadObject = "HEAD",
            DeleteObject = "DELETE" } do
            local has_key = action:find "Object$"
            local r = encoded(action, { Bucket = "bkt", Key = has_key and "a/b" or nil })
            assert.same({ method, has_key and "/a/b" or "/", "bkt" }, { r.method, r.path, r.bucket }, action)
        end
        local r = encoded "ListBuckets"
        assert.same({ "GET", "/", "", "" }, { r.method, r.path, r.bucket, r.query })
    end)

    it("encodes keys once, keeps their slashes and never normalises them", function()
        for key, path in pairs {
            ["a//b/../c"] = "/a//b/../c", ["/a/"] = "//a/", ["é €"] = "/%C3%A9%20%E2%82%AC", ["%41"] = "/%2541", ["a+b&c=d?e#f"] = "/a%2Bb%26c%3Dd%3Fe%23f",
            ["."] = "/.", ["~-_."] = "/~-_.", ["a\nb"] = "/a%0Ab", ["*'()!:@$,;[]"] = "/%2A%27%28%29%21%3A%40%24%2C%3B%5B%5D",
        } do
            assert.equal(path, encoded("GetObject", { Bucket = "bkt", Key = key }).path)
        end
    end)

    it("refuses keys that cannot be", function()
        assert.same({ "the parameter Key is missing", "InvalidArgument" }, { refused("GetObject", { Bucket = "b" }) })
        assert.equal("the parameter Bucket is missing", (refused("GetObject", { Key = "k" })))
        assert.equal("KeyTooLongError", select(2, refused("GetObject", { Bucket = "b", Key = ("k"):rep(1025) })))
        assert.matches("not UTF%-8", (refused("GetObject", '{"Bucket":"b","Key":"a\\u0000"}')))
        assert.matches("parameter Key is number, not a string", (refused("GetObject", { Bucket = "b", Key = 7 })))
    end)

    it("refuses unknown parameters and operations by name", function()
        assert.same({ "GetObject: Keys is unknown or not supported yet", "InvalidArgument" }, { refused("GetObject", { Bucket = "b", Key = "k", Keys = "x" }) })
        assert.matches("ListBuckets: Bucket is unknown", (refused("ListBuckets", { Bucket = "b" })))
        assert.matches("HeadObject: ContentType is unknown", (refused("HeadObject", { Bucket = "b", Key = "k", ContentType = "x" })))
        local message, name = refused("SelectObjectContent", { Bucket = "b" })
        assert.equal("UnknownOperationException", name)
        assert.matches("it has CreateBucket, HeadBucket", message)
    end)

    it("sorts and encodes its query", function()
        assert.equal("delimiter=%2F&encoding-type=url&list-type=2&max-keys=7&prefix=a%20b%26&start-after=%C3%A9",
            encoded("ListObjectsV2", { Bucket = "b", StartAfter = "é", Prefix = "a b&", Delimiter = "/", MaxKeys = 7 }).query)
        assert.equal("response-content-disposition=attachment%3B%20filename%3D%22x.pdf%22&response-expires=Sun%2C%2022%20Nov%202026%2004%3A55%3A46%20GMT&versionId=v",
            encoded("GetObject", { Bucket = "b", Key = "k", VersionId = "v", ResponseContentDisposition = 'attachment; filename="x.pdf"',
                ResponseExpires = "2026-11-22T04:55:46Z" }).query)
    end)

    it("sends dates as HTTP dates, numbers and booleans as text", function()
        local h = encoded("GetObject", { Bucket = "b", Key = "k", IfModifiedSince = "2026-11-22T04:55:46Z", IfUnmodifiedSince = 1795323346, Range = "bytes=0-9" }).headers
        assert.equal("Sun, 22 Nov 2026 04:55:46 GMT", h["if-modified-since"])
        assert.equal("Sun, 22 Nov 2026 04:55:46 GMT", h["if-unmodified-since"])
        assert.equal("bytes=0-9", h.range)
        assert.equal("tomorrow", encoded("GetObject", { Bucket = "b", Key = "k", IfModifiedSince = "tomorrow" }).headers["if-modified-since"])
        h = encoded("PutObject", { Bucket = "b", Key = "k", BucketKeyEnabled = true, ObjectLockRetainUntilDate = 1795323346 }).headers
        assert.equal("true", h["x-amz-server-side-encryption-bucket-key-enabled"])
        assert.equal("2026-11-22T04:55:46Z", h["x-amz-object-lock-retain-until-date"])
    end)

    it("refuses values of wrong types", function()
        for params, why in pairs {
            ['"Range":1'] = "parameter Range is number, not a string", ['"PartNumber":1.5'] = "PartNumber is number, not a whole number",
            ['"PartNumber":"x"'] = "not a whole number", ['"IfModifiedSince":true'] = "IfModifiedSince is boolean, not a date",
            ['"VersionId":{}'] = "VersionId is object, not a string", ['"IfMatch":"a\\r\\nX-Evil: 1"'] = "IfMatch is a text that cannot be sent as a header",
            ['"IfMatch":"a\\u0000"'] = "cannot be sent as a header",
        } do
            assert.matches(why, (refused("GetObject", '{"Bucket":"b","Key":"k",' .. params .. "}")))
        end
        assert.matches("BucketKeyEnabled is string, not a boolean", (refused("PutObject", { Bucket = "b", Key = "k", BucketKeyEnabled = "yes" })))
    end)

    it("leaves out what is null", function()
        assert.same({}, encoded("HeadObject", '{"Bucket":"b","Key":"k","Range":null,"VersionId":null}').headers)
    end)
end)

describe("CreateBucket", function()
    local function body(params, region) return encoded("CreateBucket", params, { region = region }).body end
    it("names the region, but us-east-1", function()
        assert.equal("", body { Bucket = "b" })
        assert.equal('<?xml version="1.0" encoding="UTF-8"?>\n<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>eu-west-1</LocationConstraint>' ..
            "</CreateBucketConfiguration>", body({ Bucket = "b" }, "eu-west-1"))
        assert.matches("<LocationConstraint>EU</", body { Bucket = "b", CreateBucketConfiguration = { LocationConstraint = "EU" } })
        assert.matches("<LocationConstraint>&lt;x&gt;</", body { Bucket = "b", CreateBucketConfiguration = { LocationConstraint = "<x>" } })
    end)

    it("refuses other configuration by name", function()
        assert.matches("CreateBucketConfiguration: Tags is unknown", (refused("CreateBucket", { Bucket = "b", CreateBucketConfiguration = { Tags = { 1 } } })))
        assert.matches("CreateBucketConfiguration is no object", (refused("CreateBucket", { Bucket = "b", CreateBucketConfiguration = "x" })))
        assert.matches("parameter LocationConstraint is number, not a string", (refused("CreateBucket", { Bucket = "b", CreateBucketConfiguration = { LocationConstraint = 1 } })))
    end)
end)

describe("PutObject", function()
    local function put(params, more)
        params.Bucket, params.Key = "b", "k"
        more = more or {}
        more.body = more.body or "hello"
        return encoded("PutObject", params, more)
    end
    it("sends the bytes with their hash and CRC-32", function()
        local r = put {}
        assert.same({ "hello", t.sha256 "hello" }, { r.body, r.sha256 })
        assert.same({ ["x-amz-checksum-crc32"] = CRC_HELLO, ["x-amz-sdk-checksum-algorithm"] = "CRC32" }, r.headers)
        assert.equal("AAAAAA==", encoded("PutObject", { Bucket = "b", Key = "k" }).headers["x-amz-checksum-crc32"])
    end)

    it("sends no sum where none is required", function()
        assert.same({}, put({}, { request_checksum = "when_required" }).headers)
    end)

    it("sends the sum that is asked for, or the caller's own", function()
        for algorithm, sum in pairs { SHA1 = "qvTGHdzF6KLavt4PO0gs2a6pQ00=", SHA256 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", CRC32 = CRC_HELLO,
            CRC32C = "mnG7TA==", CRC64NVME = "M3eFcAZSQlc=" } do
            assert.same({ ["x-amz-checksum-" .. algorithm:lower()] = sum, ["x-amz-sdk-checksum-algorithm"] = algorithm },
                put({ ChecksumAlgorithm = algorithm }, { request_checksum = "when_required" }).headers)
        end
        assert.same({ ["x-amz-checksum-sha1"] = "mine" }, put({ ChecksumSHA1 = "mine" }).headers)
        assert.equal("XrY7u+Ae7tCTyyK7j1rNww==", put({ ContentMD5 = "XrY7u+Ae7tCTyyK7j1rNww==" }).headers["content-md5"])
        assert.matches("ChecksumAlgorithm MD4 is not supported yet; CRC32, CRC32C", (refused("PutObject", { Bucket = "b", Key = "k", ChecksumAlgorithm = "MD4" })))
    end)

    it("has the published check values of its sums", function() -- of "123456789"; of SHA: FIPS 180 examples are in base
        local function hex(s) -- of base64
            local out, bits, n = {}, 0, 0
            for c in s:gmatch "[%w+/]" do
                bits, n = bits << 6 | (("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):find(c, 1, true) - 1), n + 6
                if n >= 8 then n = n - 8 out[#out + 1] = ("%02x"):format(bits >> n & 255) end
            end
            return table.concat(out)
        end
        assert.equal("cbf43926", hex(t.sum(0, "123456789")))
        assert.equal("e3069283", hex(t.sum(1, "123456789")))
        assert.equal("ae8b14860a799888", hex(t.sum(2, "123456789")))
    end)

    it("sends properties as headers and metadata in lower case", function()
        local h = put({ ContentType = "text/plain", CacheControl = "no-cache", ContentDisposition = "inline", ContentEncoding = "gzip", ContentLanguage = "de",
            Expires = "2026-11-22T04:55:46Z", IfNoneMatch = "*", IfMatch = '"x"', Tagging = "a=b", ServerSideEncryption = "aws:kms", SSEKMSKeyId = "k",
            StorageClass = "STANDARD_IA", ACL = "private", Metadata = { OrderId = "7", note = "a  b" } }, { request_checksum = "when_required" }).headers
        assert.same({
            ["content-type"] = "text/plain", ["cache-control"] = "no-cache", ["content-disposition"] = "inline", ["content-encoding"] = "gzip",
            ["content-language"] = "de", expires = "Sun, 22 Nov 2026 04:55:46 GMT", ["if-none-match"] = "*", ["if-match"] = '"x"', ["x-amz-tagging"] = "a=b",
            ["x-amz-server-side-encryption"] = "aws:kms", ["x-amz-server-side-encryption-aws-kms-key-id"] = "k", ["x-amz-storage-class"] = "STANDARD_IA",
            ["x-amz-acl"] = "private", ["x-amz-meta-orderid"] = "7", ["x-amz-meta-note"] = "a  b",
        }, h)
    end)

    it("sends many headers", function()
        local metadata = {}
        for i = 1, 100 do metadata["k" .. i] = tostring(i) end
        local h, n = put({ Metadata = metadata }).headers, 0
        for i = 1, 100 do n = n + (h["x-amz-meta-k" .. i] == tostring(i) and 1 or 0) end
        assert.equal(100, n)
    end)

    it("refuses metadata that no header can hold", function()
        for params, why in pairs { ['{"a b":"x"}'] = "Metadata.a b cannot be sent", ['{"":"x"}'] = "cannot be sent", ['{"a:":"x"}'] = "cannot be sent",
            ['{"a":"x\\ny"}'] = "Metadata.a cannot be sent", ['{"a":1}'] = "Metadata.a is not a string", ["[1]"] = "Metadata is array, not an object" } do
            assert.matches(why, (refused("PutObject", '{"Bucket":"b","Key":"k","Metadata":' .. params .. "}")))
        end
    end)

    it("checks a ContentLength that is given", function()
        assert.is_nil(put({ ContentLength = 5 }).headers["content-length"])
        assert.matches("ContentLength is not that of the body, which has 0 bytes", (refused("PutObject", { Bucket = "b", Key = "k", ContentLength = 5 })))
    end)

    it("leaves a file to whoever streams it and says whether a trailing sum is due", function()
        local path = os.tmpname()
        local function file(params, more)
            more = more or {}
            more.file, more.file_len = path, 9
            return put(params, more)
        end
        local r = file { ContentEncoding = "gzip", ContentLength = 9 }
        assert.same({ true, true, "", "" }, { r.has_body_file, r.trailing_crc32, r.body, r.sha256 })
        assert.same({ ["content-encoding"] = "gzip", ["x-amz-sdk-checksum-algorithm"] = "CRC32" }, r.headers)
        r = file({}, { request_checksum = "when_required" })
        assert.same({ true, false }, { r.has_body_file, r.trailing_crc32 })
        assert.is_false(file({ ChecksumSHA256 = "x" }).trailing_crc32)
        assert.is_true(file({ ChecksumAlgorithm = "CRC32" }, { request_checksum = "when_required" }).trailing_crc32)
        assert.matches("SHA1 is not supported yet for files", (refused("PutObject", { Bucket = "b", Key = "k", ChecksumAlgorithm = "SHA1" }, { file = path, file_len = 9 })))
        os.remove(path)
    end)

    it("gives the ETag and what else the headers say", function()
        assert.same({ ETag = '"5d41"', ChecksumCRC32 = CRC_HELLO, VersionId = "v", Size = 5 }, result("PutObject", 200, "", {
            headers = { etag = '"5d41"', ["X-Amz-Checksum-Crc32"] = CRC_HELLO, ["x-amz-version-id"] = "v", ["x-amz-object-size"] = "5" } }))
    end)

    it("of which the answer is none of S3's is a bad answer", function()
        for answer, why in pairs { [""] = "has no ETag", ["<html><body>log in</body></html>"] = "none of S3: <html>", ["Welcome"] = "none of S3: Welcome",
            ["<Hello/>"] = "has no ETag" } do
            local err = failed("PutObject", 200, answer)
            assert.same({ "InvalidServiceResponse", true }, { err.code, err.retryable })
            assert.matches(why, err.message)
        end
    end)
end)

describe("metadata beyond ASCII", function()
    it("travels as encoded words", function()
        assert.equal("=?UTF-8?B?w6k=?=", t.words_encode "é")
        assert.equal("plain =?UTF-8?", t.words_encode "plain =?UTF-8?")
        for word in t.words_encode(("€"):rep(100)):gmatch "%S+" do
            assert.is_true(#word <= 75)
            assert.is_truthy(utf8.len(t.words_decode(word))) -- no character is cut through
        end
    end)

    it("comes back as it was", function()
        for _, text in ipairs { "é", "名前 と 住所", ("😀"):rep(60), "a" .. ("é"):rep(44) .. "z", "x é  y", "", "ASCII only" } do
            assert.equal(text, t.words_decode(t.words_encode(text)))
        end
        local h = encoded("PutObject", { Bucket = "b", Key = "k", Metadata = { name = "José 李雷" } }).headers
        assert.same({ name = "José 李雷" },
            result("HeadObject", 200, "", { headers = { etag = '"x"', ["x-amz-meta-name"] = h["x-amz-meta-name"] } }).Metadata)
    end)

    it("is read in both encodings; what is no word stays", function()
        for text, want in pairs {
            ["=?UTF-8?Q?Jos=C3=A9_x?="] = "José x", ["=?utf-8?b?w6k=?= =?UTF-8?B?w6k=?="] = "éé", ["a =?UTF-8?B?w6k=?= b"] = "a é b",
            ["=?UTF-8?B?!!?="] = "=?UTF-8?B?!!?=", ["=?ISO-8859-1?Q?=E9?="] = "=?ISO-8859-1?Q?=E9?=", ["=?UTF-8?B?w6k="] = "=?UTF-8?B?w6k=",
            ["=?UTF-8?Q?=?="] = "=?UTF-8?Q?=?=", ["=?UTF-8?B?AA==?="] = "=?UTF-8?B?AA==?=", ["=?"] = "=?", ["x  y=?z"] = "x  y=?z", ["=?UTF-8?X?a?="] = "=?UTF-8?X?a?=",
            ["=?UTF-8?B?w6k=?=  x"] = "é  x", ["=?UTF-8?B?ww==?= =?UTF-8?B?qQ==?="] = "é", ["=?UTF-8?B?ww==?="] = "=?UTF-8?B?ww==?=",
        } do
            assert.equal(want, t.words_decode(text), text)
        end
    end)
end)

describe("GetObject", function()
    local function get(answer, headers, more)
        more = more or {}
        more.headers = headers or {}
        more.headers.etag = more.headers.etag or '"x"'
        return answered("GetObject", more.as or 200, answer, more)
    end
    it("asks for sums, unless they are not required", function()
        local function mode(more, params) return encoded("GetObject", params or { Bucket = "b", Key = "k" }, more).headers["x-amz-checksum-mode"] end
        assert.equal("ENABLED", mode())
        assert.is_nil(mode { response_checksum = "when_required" })
        assert.equal("ENABLED", mode({ response_checksum = "when_required" }, { Bucket = "b", Key = "k", ChecksumMode = "ENABLED" }))
        assert.is_nil(encoded("HeadObject", { Bucket = "b", Key = "k" }).headers["x-amz-checksum-mode"])
    end)

    it("gives the object's bytes and its properties as the engine does", function()
        local r = get("hel\0o", { ["Content-Length"] = "5", ["content-type"] = "text/plain", ["last-modified"] = "Sun, 22 Nov 2026 04:55:46 GMT",
            ["accept-ranges"] = "bytes", ["X-Amz-Meta-Order"] = "7", ["cache-control"] = "no-cache", ["x-amz-id-2"] = "I2", ["x-amz-request-id"] = "R" })
        assert.is_nil(r.err)
        assert.equal("hel\0o", r.body)
        assert.same({ ETag = '"x"', ContentLength = 5, ContentType = "text/plain", LastModified = "2026-11-22T04:55:46.000Z", AcceptRanges = "bytes",
            Metadata = { order = "7" }, CacheControl = "no-cache" }, json.decode(r.result))
        assert.same({ "R", "I2" }, { r.request_id, r.extended_id })
    end)

    it("gives an empty object, and Metadata always", function()
        local r = get("", { ["content-length"] = "0" })
        assert.same({ "", "{}" }, { r.body, r.result:match '"Metadata":(.-)}$' .. "" })
    end)

    it("gives a part", function()
        local r = get("lo", { ["content-length"] = "2", ["content-range"] = "bytes 3-4/5", ["x-amz-checksum-crc32"] = CRC_HELLO }, { as = 206 })
        assert.is_nil(r.err)
        assert.equal("bytes 3-4/5", json.decode(r.result).ContentRange)
    end)

    it("tells the length when the service does not", function()
        assert.equal(5, json.decode(get("hello").result).ContentLength)
    end)

    it("checks the sums", function()
        for header, sum in pairs { crc32 = CRC_HELLO, crc32c = "mnG7TA==", crc64nvme = "M3eFcAZSQlc=", sha1 = "qvTGHdzF6KLavt4PO0gs2a6pQ00=",
            sha256 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=" } do
            assert.is_nil(get("hello", { ["x-amz-checksum-" .. header] = sum }).err)
            local r = get("hallo", { ["x-amz-checksum-" .. header] = sum })
            assert.same({ "InvalidServiceResponse", true, "{}" }, { r.err.code, r.err.retryable, r.result })
            assert.is_nil(r.body)
            assert.matches("is damaged: the " .. header:upper() .. " of the object is", r.err.message)
        end
    end)

    it("checks no sums of parts' sums", function()
        assert.is_nil(get("hallo", { ["x-amz-checksum-crc32"] = CRC_HELLO .. "-3" }).err)
        assert.is_nil(get("hallo", { ["x-amz-checksum-crc32"] = CRC_HELLO, ["x-amz-checksum-type"] = "COMPOSITE" }).err)
        assert.is_truthy(get("hallo", { ["x-amz-checksum-crc32"] = CRC_HELLO, ["x-amz-checksum-type"] = "FULL_OBJECT" }).err)
    end)

    it("shows sums to who asks for them", function()
        assert.is_nil(json.decode(get("hello", { ["x-amz-checksum-crc32"] = CRC_HELLO }).result).ChecksumCRC32)
        assert.equal(CRC_HELLO, json.decode(get("hello", { ["x-amz-checksum-crc32"] = CRC_HELLO }, { params = { ChecksumMode = "ENABLED" } }).result).ChecksumCRC32)
    end)

    it("notices what is missing", function()
        assert.matches("is truncated: 3 bytes came, Content%-Length is 5", get("hel", { ["content-length"] = "5" }).err.message)
        assert.matches("truncated", get("hel", { ["content-length"] = "-3" }).err.message)
        assert.matches("truncated", get("hel", { ["content-length"] = "x" }).err.message)
        assert.matches("has no ETag", failed("GetObject", 200, "<html/>").message)
    end)

    it("into a file checks length and CRC-32", function()
        local function stream(headers, crc, len) return get("", headers, { streamed = true, streamed_crc32 = crc, streamed_len = len }) end
        local r = stream({ ["content-length"] = "5", ["x-amz-checksum-crc32"] = CRC_HELLO }, t.crc32 "hello", 5)
        assert.is_nil(r.err)
        assert.is_nil(r.body)
        assert.matches("is damaged", stream({ ["x-amz-checksum-crc32"] = CRC_HELLO }, 7, 5).err.message)
        assert.matches("is truncated", stream({ ["content-length"] = "6" }, 7, 5).err.message)
        assert.is_nil(stream({ ["x-amz-checksum-sha256"] = "unchecked" }, 7, 5).err)
    end)

    it("takes an object that looks like an error for what it is", function()
        assert.equal("<Error><Code>InternalError</Code></Error>", get("<Error><Code>InternalError</Code></Error>").body)
    end)

    it("hides the framing that some services keep with objects", function()
        local function encoding(v) return json.decode(get("", { ["content-encoding"] = v }).result).ContentEncoding end
        assert.is_nil(encoding "aws-chunked")
        assert.equal("gzip", encoding "gzip,aws-chunked")
        assert.equal("gzip", encoding "aws-chunked,gzip")
        assert.equal("gzip", encoding "aws-chunked, gzip")
        assert.equal("gzip", encoding "gzip")
    end)
end)

describe("an S3 error", function()
    local function xml(code, message, more)
        return ('<?xml version="1.0"?>\n<Error><Code>%s</Code><Message>%s</Message>%s<RequestId>R</RequestId><HostId>H</HostId></Error>'):format(code, message, more or "")
    end
    it("has the names of the engine", function()
        for code, status in pairs { NoSuchKey = 404, NoSuchBucket = 404, AccessDenied = 403, InvalidRange = 416, BadDigest = 400, BucketAlreadyOwnedByYou = 409,
            EntityTooLarge = 400, InvalidBucketName = 400 } do
            local err = failed("GetObject", status, xml(code, "m"))
            assert.same({ code, code, status, "m", false }, { err.code, err.name, err.status, err.message, err.retryable })
        end
        for code, status in pairs { SlowDown = 503, InternalError = 500, ServiceUnavailable = 503, RequestTimeout = 400, OperationAborted = 409,
            ConditionalRequestConflict = 409 } do
            local err = failed("GetObject", status, xml(code, "m"))
            assert.same({ code, status, true }, { err.name, err.status, err.retryable })
        end
    end)

    it("keeps its further members, but what was signed", function()
        local _, res, r = failed("PutObject", 403, xml("SignatureDoesNotMatch", "The request signature we calculated does not match", [[<AWSAccessKeyId>AKID</AWSAccessKeyId>
            <StringToSign>AWS4...</StringToSign><SignatureProvided>abc</SignatureProvided><CanonicalRequest>x-amz-security-token:T</CanonicalRequest><Key>k</Key>]]))
        assert.same({ Key = "k" }, res)
        assert.equal("SignatureDoesNotMatch", r.err.code)
    end)

    it("without a body is told from the status, as the engine names it", function()
        local function of(action, status, params) return failed(action, status, "", { params = params }) end
        local err = of("HeadObject", 404, { Bucket = "b", Key = "the/key" })
        assert.same({ "NoSuchKey", 404, "The specified key does not exist: the/key" }, { err.code, err.status, err.message })
        err = of("HeadBucket", 404, { Bucket = "bkt" })
        assert.same({ "NoSuchBucket", "The specified bucket does not exist: bkt" }, { err.code, err.message })
        for status, name in pairs { [403] = "AccessDenied", [304] = "NotModified", [412] = "PreconditionFailed", [416] = "InvalidRange", [400] = "BadRequest",
            [301] = "PermanentRedirect", [307] = "TemporaryRedirect", [405] = "MethodNotAllowed", [500] = "InternalServerError", [503] = "ServiceUnavailable" } do
            err = of("HeadObject", status)
            assert.same({ name, status, status >= 500 }, { err.name, err.status, err.retryable })
            assert.is_true(#err.message > 0)
        end
        assert.equal("SlowDown", failed("HeadObject", 503, "", { headers = { ["x-amz-error-code"] = "SlowDown", ["x-amz-error-message"] = "m" } }).name)
    end)

    it("of a condition has the ETag", function()
        local err, res = failed("GetObject", 304, "", { headers = { ETag = '"x"' } })
        assert.same({ "NotModified", "Not Modified", { ETag = '"x"' } }, { err.code, err.message, res })
        err, res = failed("GetObject", 412, xml("PreconditionFailed", "m", "<Condition>If-Match</Condition>"), { headers = { ETag = '"x"' } })
        assert.same({ "PreconditionFailed", { ETag = '"x"', Condition = "If-Match" } }, { err.code, res })
    end)

    it("may come with status 200", function()
        for _, action in ipairs { "PutObject", "DeleteObject", "CreateBucket", "ListObjectsV2", "ListBuckets" } do
            local err = failed(action, 200, xml("InternalError", "We encountered an internal error."), { headers = { etag = '"x"' } })
            assert.same({ "InternalError", 500, true, "We encountered an internal error." }, { err.name, err.status, err.retryable, err.message }, action)
            err = failed(action, 200, xml("SlowDown", "m"), { headers = { etag = '"x"' } })
            assert.same({ "SlowDown", 503, true }, { err.name, err.status, err.retryable })
            err = failed(action, 200, xml("AccessDenied", "m"), { headers = { etag = '"x"' } })
            assert.same({ "AccessDenied", 403, false }, { err.name, err.status, err.retryable })
        end
    end)

    it("that is none of S3's is named from its status and quoted", function()
        local err = failed("GetObject", 502, "<!DOCTYPE html><html>Bad Gateway</html>")
        assert.same({ "BadGateway", 502, true }, { err.name, err.status, err.retryable })
        assert.matches("no XML error: <!DOCTYPE html>", err.message)
        for _, body in ipairs { "<Error><Code>NoSuch", "{}", ("<a>"):rep(1000), '<!DOCTYPE a [<!ENTITY b "bb">]><a>&b;</a>', "\0\1\2", "<Other/>" } do
            err = failed("GetObject", 404, body)
            assert.same({ "InvalidServiceResponse", 404, false }, { err.name, err.status, err.retryable })
        end
    end)

    it("of 10 MB is cut, not refused", function()
        local err = failed("GetObject", 500, "<Error><Code>InternalError</Code><Message>" .. ("x"):rep(10 << 20) .. "</Message></Error>")
        assert.same({ "InternalServerError", 500, true }, { err.name, err.status, err.retryable })
        assert.is_true(#err.message < 1024)
    end)
end)

describe("a list of objects", function()
    local function list(xml, params)
        return result("ListObjectsV2", 200, '<?xml version="1.0"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' .. xml .. "</ListBucketResult>",
            { params = params })
    end
    local page = [[<Name>b</Name><Prefix>a+%C3%A9%2F</Prefix><Delimiter>%2F</Delimiter><MaxKeys>2</MaxKeys><KeyCount>2</KeyCount><EncodingType>url</EncodingType>
        <IsTruncated>true</IsTruncated><NextContinuationToken>T+/=</NextContinuationToken><Contents><Key>a+%C3%A9%2F%0Ax</Key><LastModified>2026-11-22T04:55:46.000Z</LastModified>
        <ETag>"e"</ETag><Size>5368709121</Size><StorageClass>STANDARD</StorageClass></Contents><CommonPrefixes><Prefix>a+%C3%A9%2Fd%2F</Prefix></CommonPrefixes>]]
    it("has keys decoded, numbers as numbers, lists as the engine gives them", function()
        assert.same({ Name = "b", Prefix = "a é/", Delimiter = "/", MaxKeys = 2, KeyCount = 2, IsTruncated = true, NextContinuationToken = "T+/=",
            Contents = { { Key = "a é/\nx", LastModified = "2026-11-22T04:55:46.000Z", ETag = '"e"', Size = 5368709121, StorageClass = "STANDARD" } },
            CommonPrefixes = { { Prefix = "a é/d/" } } }, (list(page)))
    end)

    it("keeps keys encoded for who asked for that", function()
        local r = list(page, { EncodingType = "url" })
        assert.same({ "url", "a+%C3%A9%2F", "a+%C3%A9%2F%0Ax" }, { r.EncodingType, r.Prefix, r.Contents[1].Key })
        assert.equal("encoding-type=url&list-type=2", encoded("ListObjectsV2", { Bucket = "b", EncodingType = "url" }).query)
    end)

    it("keeps keys as they are where the service does not encode", function()
        assert.equal("a+b%20", list("<Name>b</Name><Contents><Key>a+b%20</Key></Contents>").Contents[1].Key)
    end)

    it("that is empty has no Contents", function()
        assert.equal('{"Name":"b","Prefix":"","KeyCount":0,"MaxKeys":1000,"IsTruncated":false}', answered("ListObjectsV2", 200,
            "<ListBucketResult><Name>b</Name><Prefix/><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>").result)
    end)

    it("that is none is a bad answer", function()
        for answer, why in pairs {
            [""] = "is no XML", ["<ListBucketResult><Contents>"] = "is no XML", ["{}"] = "is no XML", ["<html></html>"] = "is <html>, not <ListBucketResult>",
            ["<ListBucketResult><Contents/></ListBucketResult>"] = "Contents has no Key", ["<ListBucketResult><CommonPrefixes/></ListBucketResult>"] = "CommonPrefixes has no Prefix",
            ["<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%zz</Key></Contents></ListBucketResult>"] = "wrongly encoded",
            ["<ListBucketResult><EncodingType>url</EncodingType><CommonPrefixes><Prefix>%0</Prefix></CommonPrefixes></ListBucketResult>"] = "wrongly encoded",
            ["<!DOCTYPE x [<!ENTITY a 'aaaa'>]><ListBucketResult>&a;</ListBucketResult>"] = "DOCTYPE",
        } do
            local err = failed("ListObjectsV2", 200, answer)
            assert.same({ "InvalidServiceResponse", true }, { err.code, err.retryable })
            assert.matches(why, err.message)
        end
    end)
end)

describe("other answers of S3", function()
    it("are lists of buckets", function()
        assert.same({ Buckets = { { Name = "one", CreationDate = "2026-11-22T04:55:46.000Z" } }, Owner = { ID = "i" } }, (result("ListBuckets", 200,
            "<ListAllMyBucketsResult><Owner><ID>i</ID></Owner><Buckets><Bucket><Name>one</Name><CreationDate>2026-11-22T04:55:46Z</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>")))
        assert.equal('{"Buckets":[]}', answered("ListBuckets", 200, "<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>").result)
    end)

    it("are headers", function()
        assert.same({ Location = "/b" }, (result("CreateBucket", 200, "", { headers = { Location = "/b" } })))
        assert.same({}, (result("CreateBucket", 200, "<CreateBucketResponse/>")))
        assert.same({ BucketRegion = "eu-west-1" }, (result("HeadBucket", 200, "", { headers = { ["x-amz-bucket-region"] = "eu-west-1" } })))
        assert.same({ DeleteMarker = true, VersionId = "v" }, (result("DeleteObject", 204, "", { headers = { ["x-amz-delete-marker"] = "true", ["x-amz-version-id"] = "v" } })))
        assert.equal("{}", answered("DeleteObject", 204, "").result)
        assert.matches("none of S3", failed("DeleteObject", 200, "<html>log in</html>").message)
    end)
end)

describe("a redirect", function()
    local function region(status, headers, answer) return t.redirect_region { status = status, headers = headers, answer = answer or "" } end
    it("names the bucket's region", function()
        assert.equal("eu-west-1", region(301, { ["X-Amz-Bucket-Region"] = "eu-west-1" }))
        assert.equal("eu-west-1", region(307, { ["x-amz-bucket-region"] = "eu-west-1" }))
        assert.equal("eu-central-1", region(400, nil, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-central-1</Region></Error>"))
        assert.equal("", region(301, nil, "<Error><Code>PermanentRedirect</Code></Error>"))
        assert.equal("", region(301, nil, "garbage"))
    end)

    it("is not seen in other answers, and cannot name another host", function()
        for _, status in ipairs { 200, 304, 403, 404, 500 } do assert.equal("", region(status, { ["x-amz-bucket-region"] = "eu-west-1" })) end
        for _, name in ipairs { "evil.com/", "a.b", "", "-x", "a@b" } do assert.equal("", region(301, { ["x-amz-bucket-region"] = name })) end
        assert.equal("", region(400, nil, "<Error><Region>evil.example</Region></Error>"))
    end)
end)
