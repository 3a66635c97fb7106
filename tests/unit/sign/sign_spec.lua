-- SigV4 against AWS's published examples and against vectors made once with botocore 1.43.11.
local sign = require "t.sign"

local MAY_2013 = 1369353600000 -- 2013-05-24T00:00:00Z, the S3 documentation's examples
local NOV_2026 = 1795325400000 -- 2026-11-22T05:30:00Z, the botocore vectors
local DOC = {access_key = "AKIAIOSFODNN7EXAMPLE", secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ms = MAY_2013}
local DOC_HOST = "examplebucket.s3.amazonaws.com"
local PERIGEE = {access_key = "perigee", secret_key = "perigee/secret+key=", ms = NOV_2026}
local EMPTY = sign.sha256("")

local function with(base, more)
    local t = {}
    for k, v in pairs(base) do t[k] = v end
    for k, v in pairs(more or {}) do t[k] = v end
    return t
end

local function signature_in(text) return text:match("Signature=(%x+)$") end

local function hex(s) return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

describe("S3's documented header examples", function()
    local function header_signature(request)
        return signature_in(sign.authorization(DOC, request))
    end
    local date = {"x-amz-date", "20130524T000000Z"}

    it("GET object with Range", function()
        local auth = sign.authorization(DOC, {path = "/test.txt", payload = EMPTY, headers = {
            {"Host", DOC_HOST}, {"Range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY}, date}})
        assert.equal("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, " ..
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, " ..
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41", auth)
    end)

    it("PUT object whose key has a '$'", function()
        local hash = sign.sha256("Welcome to Amazon S3.")
        assert.equal("98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd", header_signature{
            method = "PUT", path = "/test%24file.text", payload = hash, headers = {
                {"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"Host", DOC_HOST}, date,
                {"x-amz-storage-class", "REDUCED_REDUNDANCY"}, {"x-amz-content-sha256", hash}}})
    end)

    it("GET bucket lifecycle: a parameter without '='", function()
        assert.equal("fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543", header_signature{
            query = "lifecycle", payload = EMPTY, headers = {{"Host", DOC_HOST}, date, {"x-amz-content-sha256", EMPTY}}})
    end)

    it("GET bucket (list objects): sorted parameters", function()
        assert.equal("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7", header_signature{
            query = "prefix=J&max-keys=2", payload = EMPTY,
            headers = {{"Host", DOC_HOST}, date, {"x-amz-content-sha256", EMPTY}}})
    end)

    it("presigned GET of test.txt for a day", function()
        local url = sign.presign(with(DOC, {base = "https://" .. DOC_HOST, path = "/test.txt", expires = 86400}))
        assert.equal("https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256" ..
            "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" ..
            "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host" ..
            "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404", url)
    end)
end)

describe("S3's documented streams and forms", function()
    local host, date = {"Host", "s3.amazonaws.com"}, {"x-amz-date", "20130524T000000Z"}
    local length, class = {"x-amz-decoded-content-length", "66560"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}
    local pieces = {("a"):rep(65536), ("a"):rep(1024), ""}

    local function seed(payload, ...)
        return signature_in(sign.authorization(DOC, {method = "PUT", path = "/examplebucket/chunkObject.txt", payload = payload,
            headers = {host, date, length, class, {"Content-Encoding", "aws-chunked"}, {"x-amz-content-sha256", payload}, ...}}))
    end

    it("upload in chunks", function()
        local first = seed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", {"Content-Length", "66824"})
        assert.equal("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9", first)
        assert.same({"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                     "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                     "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"}, (sign.stream(DOC, first, pieces)))
    end)

    it("upload in chunks with a trailer", function()
        local first = seed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", {"x-amz-trailer", "x-amz-checksum-crc32c"})
        assert.equal("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e", first)
        local chunks, trailer = sign.stream(DOC, first, pieces, "x-amz-checksum-crc32c:sOO8/Q==\n")
        assert.same({"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
                     "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
                     "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"}, chunks)
        assert.equal("d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435", trailer)
    end)

    it("the policy of a browser's upload", function()
        local policy = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJz" ..
            "aWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMt" ..
            "cmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1" ..
            "Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1t" ..
            "ZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJz" ..
            "dGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUv" ..
            "MjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAg" ..
            "ICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9"
        local signature, credential = sign.policy(with(DOC, {ms = 1451347200000}), policy)
        assert.equal("8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e", signature)
        assert.equal("AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request", credential)
    end)
end)

describe("AWS's SigV4 test suite", function()
    local SUITE = {access_key = "AKIDEXAMPLE", secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                   service = "service", ms = 1440938160000}
    local date = {"X-Amz-Date", "20150830T123600Z"}
    local host = {"Host", "example.amazonaws.com"}

    it("get-vanilla, stage by stage", function()
        local canonical, names = sign.canonical{headers = {host, date}, double_encode = true}
        assert.equal("GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n" .. EMPTY,
                     canonical)
        assert.equal("host;x-amz-date", names)
        local text = sign.string_to_sign(SUITE, canonical)
        assert.equal("AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/service/aws4_request\n" ..
                     "bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63", text)
        assert.equal("5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
                     sign.signature(sign.key(SUITE, SUITE.secret_key), text))
    end)

    it("the documented signing key (iam, 20150830)", function()
        local key = sign.key({service = "iam", ms = SUITE.ms}, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
        assert.equal("c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9",
                     (key:gsub(".", function(c) return ("%02x"):format(c:byte()) end)))
    end)

    local function canonical(request)
        return (sign.canonical(with({double_encode = true, headers = {host, date}}, request)))
    end

    it("header values: trimmed, inner spaces collapsed, duplicates joined in order", function()
        local text = canonical{headers = {{"My-Header1", "value4"}, {"My-Header2", ' "a   b   c" '}, host,
                                          {"my-header1", "value1"}, date}}
        assert.truthy(text:find('\nmy-header1:value4,value1\nmy-header2:"a b c"\nx-amz-date:', 1, true))
    end)

    it("get-vanilla-query-order: by name, then by value, encoded", function()
        local query = canonical{query = "Param2=value2&Param1=value2&Param1=Value1&a-b=1&a=2&%E1%88%B4=bar"}:match("^[^\n]*\n[^\n]*\n([^\n]*)")
        assert.equal("%E1%88%B4=bar&Param1=Value1&Param1=value2&Param2=value2&a=2&a-b=1", query)
    end)

    for given, expected in pairs{
        ["/"] = "/", [""] = "/", ["/./"] = "/", ["/.."] = "/", ["/foo/.."] = "/", ["//"] = "/", ["/./foo"] = "/foo",
        ["//foo//"] = "/foo/", ["/foo/bar/../.."] = "/", ["/foo/./bar/.."] = "/foo", ["/foo/."] = "/foo", ["/foo/../"] = "/", ["/example space/"] = "/example%20space/",
        ["/a%20b"] = "/a%2520b", ["/\xe1\x88\xb4"] = "/%E1%88%B4", ["/../../x"] = "/x", ["/-._~"] = "/-._~",
    } do
        it("normalises and encodes the path " .. (given == "" and "(empty)" or given) .. " of every service but S3", function()
            assert.equal(expected, canonical{path = given}:match("^GET\n([^\n]*)"))
        end)
    end

    for _, path in ipairs{"/a//b/../c/./d", "/a%20b%2Bc", "//", "/..", "/a%252Fb", "/x/"} do
        it("takes the S3 path " .. path .. " as it stands", function()
            assert.equal(path, canonical{path = path, double_encode = false}:match("^GET\n([^\n]*)"))
        end)
    end

    local function path_of(path, double_encode, dots)
        return canonical{path = path, double_encode = double_encode, dots = dots}:match("^GET\n([^\n]*)")
    end

    it("normalises or not as it is told, whatever the encoding", function()
        local path = "/a//b/../c/./d%20e/"
        assert.equal("/a/c/d%2520e/", path_of(path, true, nil))
        assert.equal("/a/c/d%2520e/", path_of(path, true, "normalised"))
        assert.equal("/a//b/../c/./d%2520e/", path_of(path, true, "kept"))
        assert.equal("/a//b/../c/./d%20e/", path_of(path, false, nil))
        assert.equal("/a//b/../c/./d%20e/", path_of(path, false, "kept"))
        assert.equal("/a/c/d%20e/", path_of(path, false, "normalised"))
        assert.equal("/", path_of("", true, "kept"))
    end)

    it("encodes '+' of a query as a space, keeps escapes, signs what is empty, and escapes what is not ASCII", function()
        local function query_of(query) return canonical{query = query}:match("^[^\n]*\n[^\n]*\n([^\n]*)") end
        assert.equal("a%20b=c%20d", query_of "a+b=c+d")
        assert.equal("a=%2B&a=%2b", query_of "a=%2b&a=%2B")
        assert.equal("a=&a=1&b=", query_of "b&a=1&a=")
        assert.equal("a=b%3Dc", query_of "a=b=c")
        assert.equal("%C3%A9=1&z=%E6%9D%8E", query_of "z=\xe6\x9d\x8e&\xc3\xa9=1")
        assert.equal("A=1&a=0&a-=2&a.=3&a0=4&aa=5", query_of "aa=5&a0=4&a.=3&a-=2&a=0&A=1")
        assert.equal("", query_of "")
        local many, sorted = {}, {}
        for i = 1, 100 do many[i], sorted[i] = ("k%03d=x"):format((i * 37) % 101), ("k%03d=x"):format(i) end
        assert.equal(table.concat(sorted, "&"), query_of(table.concat(many, "&")))
    end)

    it("sorts any number of headers by their lower-case names, and joins those of one name in their order", function()
        local given, names = {}, {}
        for i = 1, 60 do
            given[i] = {("X-Long-Header-Name-%02d"):format((i * 23) % 61), "v"}
            names[i] = ("x-long-header-name-%02d"):format(i)
        end
        given[61], given[62], given[63] = {"HOST", "h"}, {"x-long-header-name-07", " second  one\t "}, {"X-LONG-header-name", ""}
        local text = canonical{headers = given}
        local list = text:match("\n([^\n]*)\n[^\n]*$")
        assert.equal("host;x-long-header-name;" .. table.concat(names, ";"), list)
        assert.truthy(text:find("\nx-long-header-name:\nx-long-header-name-01:v\n", 1, true))
        assert.truthy(text:find("\nx-long-header-name-07:v,second one\n", 1, true))
    end)

    it("lowers letters only", function()
        local odd = "@AZ[`az{-_~\x80\xc1^!AZ"
        local _, list = sign.canonical{headers = {{odd, "v"}}}
        assert.equal("@az[`az{-_~\x80\xc1^!az", list)
    end)

    it("an empty query piece is signed too", function()
        assert.truthy(canonical{query = "a=1&"}:find("\n=&a=1\n", 1, true))
    end)
end)

describe("botocore's signatures are ours", function()
    local token = "tok/en+with=="
    for _, v in ipairs{
        {"/receipts/a%20b%2Bc%3Dd.pdf", "86b22b20756bf4360cd9e4a721cecf80089a2e71928a179535166118414aac6e",
         "f62961c629b653e77a02af798ab5eccad8a4cdd4fd01f976c0efdd691b07bec3"},
        {"/dir//../x/./y", "7365a72c14488e3ad1a01562d7521af2f5bd1b1b4c9ab81c5c890ad347698544",
         "4e4dff6ebfecf779d17ac5dff63f81e158c10462dd02f24b3306b94fb9d40496"},
        {"/Jos%C3%A9%20%C3%91and%C3%BA%20%E6%9D%8E%E9%9B%B7.pdf",
         "9402a3da326bfcb70d60e741cc7482c7080ae0c5f38f79a1a85819f4f1e23ec9",
         "c42b001b83400e0234512c5df8b5e98848156af7a72ff250264245186f8b7e71"},
        {"/a%252Fb~%2A%28%21%29%27%22%26%3F%23", "9e7d9097f07721be9d6ea9f7211d73fc331350920368d14d97a46780033ca17d",
         "b7e77c2ba766f6794057e34d5f4e4dcf931d17ce7821782a54fb7ebf6a8f8c1a"},
        {"/%2B", "33ee10cf478eafff0ddef742cc40f89acd2961af908976e2ad3584486f223ec3",
         "75c4bd87258416b02dac11a578fb768da7dead31a4bb6e832db99defbd517aa0"},
        {"/-._~", "e1091f6c8608178bbd1ad33adc1c2412f8aaf0846d450393c6835e77188bfcb7",
         "9b8f3c8326716a2b5e6df767d57ae1aad44437086e40be2680b0173aee4dc167"},
    } do
        it("presigned GET of " .. v[1] .. ", without and with a session token", function()
            local o = with(PERIGEE, {path = "/Receipts" .. v[1], expires = 300})
            assert.equal(v[2], signature_in(sign.presign(o)))
            local url = sign.presign(with(o, {token = token}))
            assert.equal(v[3], signature_in(url))
            assert.truthy(url:find("&X-Amz-Security-Token=tok%2Fen%2Bwith%3D%3D&", 1, true))
        end)
    end

    it("presigned PUT with parameters of its own", function()
        assert.equal("fc9b5de57248ed3866598356959d99a625aaa2927b189f467689f06e1516465f", signature_in(sign.presign(with(PERIGEE, {
            method = "PUT", path = "/Receipts/x", region = "eu-west-1", expires = 604800,
            query = "response-content-type=application%2Fpdf&response-content-disposition=inline%3B%20filename%3D%22a%20b.pdf%22" ..
                    "&acl=&Zed=1&zed=2&a=2&a-b=3"}))))
    end)

    local date = {"X-Amz-Date", "20261122T053000Z"}
    it("DynamoDB POST with a session token", function()
        assert.equal("1adbbf74a20f4d47a4f19670a9db917f043011d1050378ea0cea0a4334c372d8", signature_in(
            sign.authorization(with(PERIGEE, {service = "dynamodb"}), {
                method = "POST", payload = sign.sha256('{"TableName":"Orders"}'), double_encode = true, headers = {
                    {"Content-Type", "application/x-amz-json-1.0"}, {"X-Amz-Target", "DynamoDB_20120810.GetItem"}, date,
                    {"X-Amz-Security-Token", token}, {"Host", "dynamodb.us-east-1.amazonaws.com"}}})))
    end)

    it("SES GET whose path needs normalising and a second encoding", function()
        assert.equal("7bf13cd05456daa34f9a519adf9bdc157482f021918669a0083d3cab699b3054", signature_in(
            sign.authorization(with(PERIGEE, {service = "ses"}), {
                path = "/v2//email/./x/../templates/a%20b%2Fc/", query = "x=1", double_encode = true,
                headers = {{"A", " b   c "}, date, {"Host", "email.us-east-1.amazonaws.com"}}})))
    end)

    it("S3 PUT with metadata", function()
        local hash = sign.sha256("%PDF-1.3")
        assert.equal("1166b172c80dadeb1898287d0c7c37401b06a6373a6cd2912e1e39e4a3d25c49", signature_in(
            sign.authorization(PERIGEE, {method = "PUT", path = "/Receipts/r%20%2B.pdf", payload = hash, headers = {
                {"Content-Type", "application/pdf"}, {"x-amz-meta-sha", "x"}, date, {"X-Amz-Content-SHA256", hash},
                {"Host", "127.0.0.1:4566"}}})))
    end)
end)

describe("headers that change on the way", function()
    local never = {"User-Agent", "x-amzn-trace-id", "Authorization", "connection", "Expect", "TRANSFER-ENCODING", "te", "trailer",
                   "upgrade", "keep-alive", "proxy-authenticate", "Proxy-Authorization", "traceparent", "tracestate", "baggage"}

    it("are not signed, in a header or a link", function()
        local more = {{"Host", "h"}}
        for i, name in ipairs(never) do
            assert.is_true(sign.never_signed(name), name)
            more[i + 1] = {name, "x"}
        end
        local plain = sign.authorization(PERIGEE, {headers = {{"Host", "h"}}})
        assert.equal(plain, sign.authorization(PERIGEE, {headers = more}))
        table.remove(more, 1)
        local link = with(PERIGEE, {path = "/b/k", expires = 60})
        assert.equal(sign.presign(link), sign.presign(with(link, {headers = more})))
    end)

    it("are few", function()
        for _, name in ipairs{"host", "content-type", "x-amz-date", "x-amz-target", "range", "tf", "", "x-amzn-trace-ie",
                              "content-md5", "expected", "user-agents"} do
            assert.is_false(sign.never_signed(name), name)
        end
    end)

    it("are part of what a client signed who signed them", function()
        local headers = {{"host", "h"}, {"user-agent", "ua"}, {"x-amz-date", "20261122T053000Z"}}
        local text, names = sign.canonical{headers = headers, double_encode = true}
        assert.equal("host;user-agent;x-amz-date", names)
        local scope = with(PERIGEE, {service = "sqs"})
        local signature = sign.signature(sign.key(scope, PERIGEE.secret_key), sign.string_to_sign(scope, text))
        headers[4] = {"Authorization", "AWS4-HMAC-SHA256 Credential=perigee/20261122/us-east-1/sqs/aws4_request, SignedHeaders=" ..
                      names .. ", Signature=" .. signature}
        assert.truthy(sign.verify({headers = headers}, NOV_2026, {perigee = PERIGEE.secret_key}))
        headers[2] = {"user-agent", "other"}
        assert.is_nil((sign.verify({headers = headers}, NOV_2026, {perigee = PERIGEE.secret_key})))
    end)
end)

describe("texts longer than any room on the stack", function()
    it("are signed alike", function()
        local long = ("x"):rep(100000)
        local r = {path = "/" .. long, query = "q=" .. long, headers = {{"host", "h"}, {"x-long", long}}}
        local scope = with(PERIGEE, {access_key = long, region = long, service = long, secret_key = long})
        local text = sign.string_to_sign(scope, (sign.canonical(r)))
        assert.equal(sign.signature(sign.key(scope, long), text), signature_in(sign.authorization(scope, r)))
        local link = with(scope, {path = r.path, query = r.query, expires = 60, token = long, headers = {{"x-long", long}}})
        local url = assert(sign.presign(link))
        assert.equal(scope.access_key .. "%2F20261122%2F" .. long .. "%2F" .. long .. "%2Faws4_request",
                     url:match("X%-Amz%-Credential=([^&]*)"))
        local url2, code = sign.presign(with(link, {max = 1000}))
        assert.is_nil(url2)
        assert.truthy(code)
    end)
end)

describe("the key cache", function()
    it("is empty after wiping, and usable", function()
        for _, secret in ipairs{"a secret of some length", ("s"):rep(150)} do
            assert.same({true, false, true}, {sign.wiped(secret, {ms = NOV_2026})})
        end
        assert.same({false, false, true}, {sign.wiped(("s"):rep(200), {ms = NOV_2026})}) -- too long to be kept
    end)

    it("tells secrets apart that share a beginning, and scopes that a secret could continue", function()
        local asked = {{{ms = NOV_2026}, ""}, {{ms = NOV_2026}, "a"}, {{ms = NOV_2026}, "ab"}, {{ms = NOV_2026, service = "s"}, "3"},
                       {{ms = NOV_2026, service = "s3"}, "x"}, {{ms = NOV_2026}, "ac"}, {{ms = NOV_2026}, "a"}}
        local keys = sign.cached(asked)
        for i, a in ipairs(asked) do assert.equal(sign.signature(sign.key(a[1], a[2]), "text"), hex(keys[i]), "key " .. i) end
    end)

    it("keeps the date only while it is the day", function()
        local before, at = with(PERIGEE, {ms = 1795391999999}), with(PERIGEE, {ms = 1795392000000})
        for _, ms in ipairs{1795391999999, 1795392000000, 0, -1, 86399999, 253402300799999} do
            local text = sign.string_to_sign({ms = ms}, "")
            local auth = sign.authorization(with(PERIGEE, {ms = ms}), {headers = {{"host", "h"}}})
            assert.equal(text:match("\n(%d+)T"), auth:match("Credential=perigee/(%d+)/"), tostring(ms))
        end
        assert.truthy(sign.authorization(before, {}):find("/20261122/", 1, true))
        assert.truthy(sign.authorization(at, {}):find("/20261123/", 1, true))
    end)

    it("gives the same keys as deriving each, across a change of day, region, service and secret", function()
        local day = 86400000
        local asked = {
            {{ms = NOV_2026}, "s"}, {{ms = NOV_2026 + 1000}, "s"}, {{ms = NOV_2026 + day}, "s"}, {{ms = NOV_2026}, "s"},
            {{ms = NOV_2026, region = "eu-west-1"}, "s"}, {{ms = NOV_2026, service = "sqs"}, "s"}, {{ms = NOV_2026}, "t"},
            {{ms = NOV_2026, region = "a", service = "bc"}, "s"}, {{ms = NOV_2026, region = "ab", service = "c"}, "s"},
        }
        local keys = sign.cached(asked)
        for i, a in ipairs(asked) do assert.equal(sign.signature(sign.key(a[1], a[2]), "text"), hex(keys[i]), "key " .. i) end
        assert.equal(keys[1], keys[2])
        assert.not_equal(keys[8], keys[9])
    end)
end)

describe("presign", function()
    local o = with(PERIGEE, {path = "/Receipts/x.pdf", expires = 300})

    it("signs the host that clients send: lower case, no default port", function()
        local a = sign.presign(with(o, {base = "http://LocalHost:80"}))
        assert.equal("http://localhost/Receipts/x.pdf?", a:sub(1, 32))
        assert.equal(a, sign.presign(with(o, {base = "http://localhost"})))
        assert.truthy(sign.presign(with(o, {base = "https://[::1]:4566"})):find("https://[::1]:4566/Receipts", 1, true))
    end)

    it("signs headers that the user of the link must send, and a payload hash", function()
        -- botocore: S3SigV4QueryAuth of a PUT with these headers
        local url = sign.presign(with(o, {method = "PUT", headers = {{"Content-Type", "application/pdf"}, {"x-amz-meta-a", " b  c "}}}))
        assert.truthy(url:find("&X-Amz-SignedHeaders=content-type%3Bhost%3Bx-amz-meta-a&X-Amz-Signature=", 1, true))
        assert.equal("5ef2fe0217642bb12711db72d33794ac4659a4916e74250e5cf3ef822e35d018", signature_in(url))
        local other = sign.presign(with(o, {method = "PUT", payload = EMPTY}))
        assert.not_equal(signature_in(sign.presign(with(o, {method = "PUT"}))), signature_in(other))
    end)

    it("refuses a host among the headers", function()
        local url, code = sign.presign(with(o, {headers = {{"HOST", "elsewhere"}}}))
        assert.is_nil(url)
        assert.equal("InvalidArgument", code)
    end)

    for name, bad in pairs{
        ["0 seconds"] = {expires = 0}, ["negative seconds"] = {expires = -1}, ["more than a week"] = {expires = 604801},
        ["a path without '/'"] = {path = "x"}, ["a space in the path"] = {path = "/a b"}, ["a '?' in the path"] = {path = "/a?b"},
        ["UTF-8 in the path"] = {path = "/José"}, ["NUL in the path"] = {path = "/a\0b"}, ["a '#' in the query"] = {query = "a=#"},
        ["a base with a path"] = {base = "http://h/x"}, ["a base with user info"] = {base = "http://u@h"},
        ["a base without scheme"] = {base = "h:1"}, ["another scheme"] = {base = "ftp://h"}, ["no host"] = {base = "http://"},
        ["CR LF in the host"] = {base = "http://h\r\nX: y"}, ["a signing parameter"] = {query = "a=1&x-amz-EXPIRES=3"},
    } do
        it("refuses " .. name, function()
            local url, code, message = sign.presign(with(o, bad))
            assert.is_nil(url)
            assert.truthy(code == "InvalidArgument" or code == "AuthorizationQueryParametersError", code)
            assert.truthy(#message > 20)
        end)
    end
end)

describe("verify", function()
    local SECRETS = {perigee = PERIGEE.secret_key, ["with/slash"] = "s", other = "other"}

    -- The request a client makes of a URL.
    local function request_of(url, more)
        local host, target = url:match("^http://([^/]*)(/.*)$")
        if not host then host, target = url:match("^http://([^?]*)(.*)$") end
        local path, query = (target or ""):match("^([^?]*)%??(.*)$")
        return with({path = path, query = query, headers = {{"Host", host or ""}}}, more)
    end

    local function presigned(more)
        return assert(sign.presign(with(PERIGEE, with({path = "/Receipts/r%20%2B.pdf", expires = 300}, more))))
    end

    local function code_of(request, now)
        local ok, code, message = sign.verify(request, now or NOV_2026, SECRETS)
        return ok and "OK" or code, message
    end

    describe("of a presigned URL", function()
        it("accepts its own and tells who, where and what", function()
            local v = assert(sign.verify(request_of(presigned{}), NOV_2026, SECRETS))
            assert.same({access_key = "perigee", region = "us-east-1", service = "s3", presigned = true,
                         payload_hash = "UNSIGNED-PAYLOAD"}, v)
        end)

        for _, key in ipairs{"/a%2Bb", "/a%3Db", "/a%252Fb", "/a%20b", "/%E6%9D%8E", "//x//../y/.", "/a+b", "/a=b&c", "/-._~"} do
            it("accepts the key " .. key, function()
                assert.equal("OK", code_of(request_of(presigned{path = "/b" .. key})))
            end)
        end

        it("accepts parameters of the caller, a session token, and an access key with '/'", function()
            local url = presigned{query = "response-content-type=a%2Fb&versionId", token = "t+/=", access_key = "with/slash",
                                  secret_key = "s"}
            assert.equal("with/slash", assert(sign.verify(request_of(url), NOV_2026, SECRETS)).access_key)
        end)

        it("refuses any single byte changed to any of several others", function()
            local url = presigned{}
            for i = #"http://" + 1, #url do
                local byte = url:byte(i)
                for _, other in ipairs{byte ~ 1, byte ~ 0x20, byte ~ 4, 0x25, 0x26, 0x2b, 0x30, 0x61} do
                    if other ~= byte and other > 0x20 and other < 0x7f then
                        local changed = url:sub(1, i - 1) .. string.char(other) .. url:sub(i + 1)
                        assert.not_equal("OK", (code_of(request_of(changed))), changed)
                    end
                end
            end
        end)

        it("refuses any byte missing, doubled, or appended", function()
            local url = presigned{}
            for i = #"http://" + 1, #url do
                assert.not_equal("OK", (code_of(request_of(url:sub(1, i - 1) .. url:sub(i + 1)))), "without byte " .. i)
                assert.not_equal("OK", (code_of(request_of(url:sub(1, i) .. url:sub(i)))), "byte " .. i .. " twice")
            end
            for _, tail in ipairs{"&", "&x", "&x=1", "0", "%20", "/"} do
                assert.not_equal("OK", (code_of(request_of(url .. tail))), tail)
            end
        end)

        it("refuses another method", function()
            assert.equal("SignatureDoesNotMatch", (code_of(request_of(presigned{}, {method = "DELETE"}))))
            assert.equal("OK", (code_of(request_of(presigned{method = "PUT"}, {method = "PUT"}))))
        end)

        it("holds until the last millisecond before the expiry and no longer", function()
            local r = request_of(presigned{})
            assert.equal("OK", (code_of(r, NOV_2026 + 299999)))
            local code, message = code_of(r, NOV_2026 + 300000)
            assert.equal("AccessDenied", code)
            assert.truthy(message:find("Request has expired", 1, true))
            assert.truthy(message:find("2026-11-22T05:35:00", 1, true))
        end)

        it("may begin 15 minutes ahead of the clock, not more", function()
            local r = request_of(presigned{})
            assert.equal("OK", (code_of(r, NOV_2026 - 900000)))
            local code, message = code_of(r, NOV_2026 - 900001)
            assert.equal("AccessDenied", code)
            assert.truthy(message:find("not valid yet", 1, true))
        end)

        it("knows nothing of skew in the past: a week-long link works on its last day", function()
            local r = request_of(presigned{expires = 604800})
            assert.equal("OK", (code_of(r, NOV_2026 + 604799000)))
            assert.equal("AccessDenied", (code_of(r, NOV_2026 + 604800000)))
        end)

        for name, change in pairs{
            ["a missing parameter"] = {"&X%-Amz%-Date=[^&]*", ""}, ["an empty one"] = {"X%-Amz%-Date=[^&]*", "X-Amz-Date="},
            ["a date that is none"] = {"20261122T053000Z", "2026-11-22"}, ["another algorithm"] = {"HMAC%-SHA256", "HMAC-SHA1"},
            ["Expires 0"] = {"Expires=300", "Expires=0"}, ["Expires over a week"] = {"Expires=300", "Expires=604801"},
            ["Expires with a sign"] = {"Expires=300", "Expires=-300"}, ["Expires that is no number"] = {"Expires=300", "Expires=3e2"},
            ["Expires past int64"] = {"Expires=300", "Expires=99999999999999999999"},
            ["a short credential"] = {"perigee%%2F20261122%%2F", "perigee%%2F"}, ["a bad escape"] = {"perigee%%2F", "perigee%%2G"},
            ["a NUL in the credential"] = {"perigee%%2F", "perigee%%00%%2F"},
            ["a day that differs from the date"] = {"%%2F20261122%%2F", "%%2F20261121%%2F"},
            ["a parameter twice"] = {"&X%-Amz%-Expires=300", "&X-Amz-Expires=300&X-Amz-Expires=300"},
            ["two signatures"] = {"&X%-Amz%-Signature=", "&X-Amz-Signature=00&X-Amz-Signature="},
        } do
            it("names " .. name .. " as AuthorizationQueryParametersError", function()
                local url, n = presigned{}:gsub(change[1], change[2])
                assert.truthy(n >= 1)
                local code, message = code_of(request_of(url))
                assert.equal("AuthorizationQueryParametersError", code, message)
            end)
        end

        it("names an unknown access key", function()
            local code, message = code_of(request_of(presigned{access_key = "nobody"}))
            assert.equal("InvalidAccessKeyId", code)
            assert.truthy(message:find("nobody", 1, true))
        end)

        it("refuses an unsigned x-amz-* header, but lets a content hash pass", function()
            local r = request_of(presigned{})
            r.headers[2] = {"X-Amz-Acl", "public-read"}
            local code, message = code_of(r)
            assert.equal("AccessDenied", code)
            assert.truthy(message:find("X-Amz-Acl", 1, true))
            r.headers[2] = {"x-amz-content-sha256", EMPTY}
            assert.equal("OK", (code_of(r)))
        end)

        it("refuses a request that is signed in two ways", function()
            local r = request_of(presigned{})
            r.headers[2] = {"Authorization", "AWS4-HMAC-SHA256 x"}
            assert.equal("InvalidArgument", (code_of(r)))
        end)
    end)

    it("takes a path with dot segments as it is told", function()
        local o = {path = "/a/../b", expires = 300, service = "execute-api", payload = EMPTY}
        local normalised, kept = request_of(presigned(o)), request_of(presigned(with(o, {dots = "kept"})))
        assert.equal("OK", (code_of(normalised)))
        assert.equal("SignatureDoesNotMatch", (code_of(kept)))
        assert.equal("OK", (code_of(with(kept, {dots = "kept"}))))
        assert.equal("SignatureDoesNotMatch", (code_of(with(normalised, {dots = "kept"}))))
    end)

    describe("of an Authorization header", function()
        local function signed(more, scope)
            scope = with(PERIGEE, scope)
            local r = with({method = "PUT", path = "/Receipts/a%20b", query = "x=1", body = "%PDF", headers = {
                {"Host", "127.0.0.1:4566"}, {"X-Amz-Date", "20261122T053000Z"},
                {"X-Amz-Content-Sha256", sign.sha256("%PDF")}, {"Content-Type", "application/pdf"}}}, more)
            r.payload = r.payload or sign.sha256(r.body)
            r.double_encode = scope.service ~= nil and scope.service ~= "s3"
            local headers = {}
            for i, h in ipairs(r.headers) do headers[i] = h end
            headers[#headers + 1] = {"User-Agent", "not signed"}
            headers[#headers + 1] = {"authorization", sign.authorization(scope, r)}
            return with(r, {headers = headers})
        end

        it("accepts and tells the payload hash", function()
            local v = assert(sign.verify(signed(), NOV_2026, SECRETS))
            assert.same({access_key = "perigee", region = "us-east-1", service = "s3", presigned = false,
                         payload_hash = sign.sha256("%PDF")}, v)
        end)

        it("accepts a JSON service, whose body is hashed here", function()
            local r = signed({path = "/", query = "", headers = {{"host", "h"}, {"x-amz-date", "20261122T053000Z"}}},
                             {service = "dynamodb"})
            assert.equal("OK", (code_of(r)))
            assert.equal("SignatureDoesNotMatch", (code_of(with(r, {body = "%PDG"}))))
        end)

        it("takes the Date header when there is no x-amz-date", function()
            local r = signed({headers = {{"host", "h"}, {"Date", "Sun, 22 Nov 2026 05:30:00 GMT"},
                                         {"x-amz-content-sha256", sign.sha256("%PDF")}}})
            assert.equal("OK", (code_of(r)))
        end)

        it("accepts queries whose canonical form is three times as long, of any length", function()
            for _, n in ipairs{100, 400, 500, 600, 700, 1000, 1360, 2000, 5000} do
                local r = signed{query = ("?"):rep(n)}
                local canonical = sign.canonical(r)
                assert.truthy(canonical:find("\n" .. ("%3F"):rep(n) .. "=\n", 1, true))
                assert.equal("OK", (code_of(r)))
            end
        end)

        it("allows 15 minutes of skew either way, not a millisecond more", function()
            local r = signed()
            assert.equal("OK", (code_of(r, NOV_2026 + 900000)))
            assert.equal("OK", (code_of(r, NOV_2026 - 900000)))
            assert.equal("RequestTimeTooSkewed", (code_of(r, NOV_2026 + 900001)))
            local code, message = code_of(r, NOV_2026 - 900001)
            assert.equal("RequestTimeTooSkewed", code)
            assert.truthy(message:find("2026-11-22T05:30:00", 1, true))
        end)

        it("refuses every part changed", function()
            local r = signed()
            for name, change in pairs{path = "/Receipts/a%20c", query = "x=2", method = "GET"} do
                assert.equal("SignatureDoesNotMatch", (code_of(with(r, {[name] = change}))), name)
            end
            for i, h in ipairs(r.headers) do
                if h[1] ~= "User-Agent" then
                    local headers = {table.unpack(r.headers)}
                    headers[i] = {h[1], h[2]:sub(1, -2) .. (h[2]:sub(-1) == "0" and "1" or "0")}
                    assert.not_equal("OK", (code_of(with(r, {headers = headers}))), h[1])
                end
            end
        end)

        it("refuses a signed header left out and one added", function()
            local r = signed()
            local fewer = {table.unpack(r.headers)}
            table.remove(fewer, 4)
            assert.equal("SignatureDoesNotMatch", (code_of(with(r, {headers = fewer}))))
            local more = {{"x-amz-meta-a", "b"}, table.unpack(r.headers)}
            assert.equal("AccessDenied", (code_of(with(r, {headers = more}))))
            local twice = {{"content-type", "text/html"}, table.unpack(r.headers)}
            assert.equal("SignatureDoesNotMatch", (code_of(with(r, {headers = twice}))))
        end)

        local function with_header(value)
            local r = signed()
            r.headers[#r.headers] = {"Authorization", value}
            return code_of(r)
        end
        local three = "the authorization header requires three components: Credential, SignedHeaders, and Signature."
        for name, case in pairs{
            ["the algorithm alone"] = {"AWS4-HMAC-SHA256", three},
            ["no signature"] = {"AWS4-HMAC-SHA256 Credential=a/20261122/r/s3/aws4_request, SignedHeaders=host", three},
            ["a part twice"] = {"AWS4-HMAC-SHA256 Credential=a, Credential=b, SignedHeaders=host, Signature=00", three},
            ["an unknown part"] = {"AWS4-HMAC-SHA256 Foo=a", three},
            ["a bad credential"] = {"a/b", 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'},
            ["no key"] = {"/20261122/r/s3/aws4_request", "a non-empty Access Key (AKID) must be provided in the credential."},
            ["a bad day"] = {"a/2026112/r/s3/aws4_request",
                'incorrect date format "2026112". This date in the credential must be in the format "yyyyMMdd".'},
            ["another terminal"] = {"a/20261122/r/s3/aws3_request", 'incorrect terminal "aws3_request". This endpoint uses "aws4_request".'},
            ["another day"] = {"a/20261121/r/s3/aws4_request",
                'Invalid credential date "20261121". This date is not the same as X-Amz-Date: "20261122T053000Z".'},
        } do
            it("names an Authorization with " .. name .. " as malformed, in S3's words", function()
                local value = case[1]
                if not value:find "^AWS4" then value = "AWS4-HMAC-SHA256 Credential=" .. value .. ", SignedHeaders=host, Signature=00" end
                local code, message = with_header(value)
                assert.equal("AuthorizationHeaderMalformed", code, message)
                assert.equal("The authorization header is malformed; " .. case[2], message)
            end)
        end

        it("knows no other scheme, and an empty one as none", function()
            local code, message = with_header "Basic eDp5"
            assert.equal("InvalidArgument", code)
            assert.equal("Unsupported Authorization Type", message)
            assert.equal("AccessDenied", (with_header ""))
        end)

        it("requires S3's content hash, and a sensible one", function()
            local function hashed(value)
                return signed{payload = value, headers = {{"host", "h"}, {"x-amz-date", "20261122T053000Z"},
                                                          value and {"x-amz-content-sha256", value}}}
            end
            assert.equal("InvalidArgument", (code_of(hashed(nil))))
            assert.equal("InvalidArgument", (code_of(hashed("abc"))))
            assert.equal("OK", (code_of(hashed("UNSIGNED-PAYLOAD"))))
            assert.equal("OK", (code_of(hashed("STREAMING-UNSIGNED-PAYLOAD-TRAILER"))))
        end)
    end)

    it("denies the unsigned and SigV2", function()
        assert.equal("AccessDenied", (code_of{headers = {{"Host", "h"}}}))
        assert.equal("InvalidArgument", (code_of{query = "AWSAccessKeyId=a&Signature=b&Expires=1", headers = {{"Host", "h"}}}))
    end)
end)
