-- Whole calls to S3: regions, checksums, objects from and to files.
local shared = require "unit.remote.rig"(_ENV)
local json = require "cjson"
local serve, ok, object, verified = shared.serve, shared.ok, shared.object, shared.verified
local temporary, read = shared.temporary, shared.read

describe("S3", function()
    local function s3_error(status, code, region, more)
        return {status = status, headers = {["x-amz-bucket-region"] = region, ["x-amz-request-id"] = "S3R"},
            body = ("<?xml version='1.0'?><Error><Code>%s</Code><Message>m</Message>%s</Error>"):format(code, more or "")}
    end

    it("signs the payload's hash, and sends what it signs", function()
        local rig, seen = serve{ok("", {ETag = '"x"'})}
        local c = rig:start("s3", "PutObject", '{"Bucket":"bucket","Key":"a b/c.txt"}', {body = "hello"}):wait()
        assert.is_true(c.ok, c.message)
        verified(seen)
        assert.equal("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", seen[1].verified)
        assert.equal("hello", seen[1].body)
        assert.equal("/bucket/a%20b/c.txt", seen[1].path)
    end)

    for _, case in ipairs{{301, "PermanentRedirect"}, {307, "TemporaryRedirect"}, {400, "AuthorizationHeaderMalformed"}} do
        it(("goes to the region that a %d %s names, and remembers it"):format(case[1], case[2]), function()
            local rig, seen = serve{function(r)
                if r.headers.authorization:find("/us-east-2/s3/", 1, true) then return object("body") end
                return s3_error(case[1], case[2], "us-east-2", "<Region>us-east-2</Region>")
            end}
            local c = rig:start("s3", "GetObject", '{"Bucket":"bucket","Key":"k"}'):wait()
            assert.is_true(c.ok, c.message)
            assert.equal("body", c.body)
            assert.same({2, 0}, {c.attempts, c.waited_ms})
            assert.equal(1, rig:start("s3", "GetObject", '{"Bucket":"bucket","Key":"k2"}'):wait().attempts)
            verified(seen)
            assert.equal(500, json.decode(rig:describe()).services.s3.retry_quota)
        end)
    end

    it("that sends us from region to region is believed once", function()
        local rig, seen = serve{function(_, n) return s3_error(301, "PermanentRedirect", "us-east-" .. n) end}
        local c = rig:start("s3", "GetObject", '{"Bucket":"bucket","Key":"k"}'):wait()
        assert.equal("PermanentRedirect", c.code)
        assert.equal(2, #seen)
    end)

    it("cannot name a region that would be another host", function()
        local rig, seen = serve{s3_error(301, "PermanentRedirect", "evil.example.com/")}
        assert.equal("PermanentRedirect", rig:start("s3", "GetObject", '{"Bucket":"bucket","Key":"k"}'):wait().code)
        assert.equal(1, #seen)
    end)

    it("is asked again after SlowDown", function()
        local rig, seen = serve{s3_error(503, "SlowDown"), object("x")}
        local c = rig:start("s3", "GetObject", '{"Bucket":"bucket","Key":"k"}'):wait()
        assert.is_true(c.ok)
        assert.equal(2, #seen)
    end)
end)

describe("streams", function()
    local CHUNK = 128 * 1024

    -- Takes a signed aws-chunked body apart: data, number of chunks, trailers.
    local function dechunk(body)
        local data, at, chunks = {}, 1, 0
        while true do
            local size, signature, from = body:match("^(%x+);chunk%-signature=(%x+)\r\n()", at)
            assert(size and #signature == 64, "chunk header at " .. at)
            local n = tonumber(size, 16)
            if n == 0 then return table.concat(data), chunks, body:sub(from) end
            data[#data + 1] = body:sub(from, from + n - 1)
            assert.equal("\r\n", body:sub(from + n, from + n + 1))
            at, chunks = from + n + 2, chunks + 1
        end
    end

    for _, size in ipairs{0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17} do
        it(("a file of %d bytes goes up in signed chunks with its checksum behind"):format(size), function()
            local content = ("0123456789abcdef"):rep(size // 16 + 1):sub(1, size)
            local rig, seen = serve{ok("", {ETag = '"x"'})}
            local c = rig:start("s3", "PutObject", '{"Bucket":"bucket","Key":"k"}', {body_file = temporary(content)}):wait()
            assert.is_true(c.ok, c.message)
            verified(seen)
            local h = seen[1].headers
            assert.equal("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", seen[1].verified)
            assert.equal(tostring(size), h["x-amz-decoded-content-length"])
            assert.equal("aws-chunked", h["content-encoding"])
            assert.equal("x-amz-checksum-crc32", h["x-amz-trailer"])
            assert.equal(tostring(#seen[1].body), h["content-length"])
            local data, chunks, trailer = dechunk(seen[1].body)
            assert.is_true(data == content)
            assert.equal((size + CHUNK - 1) // CHUNK, chunks)
            assert.matches("^x%-amz%-checksum%-crc32:[%w+/]+=*\r\nx%-amz%-trailer%-signature:%x+\r\n\r\n$", trailer)
        end)
    end

    it("no checksum of ours goes behind one of the caller's, or where none is wanted", function()
        local function put(params, env)
            local rig, seen = serve({ok("", {ETag = '"x"'})}, {env = env})
            local c = rig:start("s3", "PutObject", params, {body_file = temporary("hello")}):wait()
            assert.is_true(c.ok, c.message)
            verified(seen)
            assert.equal("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", seen[1].verified)
            assert.is_nil(seen[1].headers["x-amz-trailer"])
            assert.equal(tostring(#seen[1].body), seen[1].headers["content-length"])
            local data, chunks, rest = dechunk(seen[1].body)
            assert.same({"hello", 1, "\r\n"}, {data, chunks, rest})
        end
        put('{"Bucket":"bucket","Key":"k","ChecksumSHA256":"LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="}')
        put('{"Bucket":"bucket","Key":"k"}', {AWS_REQUEST_CHECKSUM_CALCULATION = "when_required"})
    end)

    it("a content encoding of the caller's stands behind aws-chunked", function()
        local rig, seen = serve{ok("", {ETag = '"x"'})}
        local c = rig:start("s3", "PutObject", '{"Bucket":"bucket","Key":"k","ContentEncoding":"gzip"}',
            {body_file = temporary("hello")}):wait()
        assert.is_true(c.ok, c.message)
        assert.equal("aws-chunked,gzip", seen[1].headers["content-encoding"])
    end)

    it("a file that is shorter than it was said to be is an error that tells how far it went", function()
        local path = temporary(("x"):rep(400000))
        local rig = serve{ok("", {ETag = '"x"'})}
        local call = rig:start("s3", "PutObject", '{"Bucket":"bucket","Key":"k"}', {body_file = path})
        os.execute("truncate -s 200000 " .. path)
        local c = call:wait()
        assert.equal("InputOutputError", c.code)
        assert.matches("ended after 200000 of 400000 bytes: it was shortened", c.message)
        assert.equal(1, c.attempts)
    end)

    it("a file goes up again from its beginning", function()
        local content = ("x"):rep(300000)
        local rig, seen = serve{{status = 503}, {act = "reset"}, ok("", {ETag = '"x"'})}
        local c = rig:start("s3", "PutObject", '{"Bucket":"bucket","Key":"k"}', {body_file = temporary(content)}):wait()
        assert.is_true(c.ok, c.message)
        assert.equal(3, c.attempts)
        for _, r in ipairs(seen) do assert.is_true(dechunk(r.body) == content) end
        verified(seen)
        assert.not_equal(seen[1].headers["amz-sdk-request"], seen[2].headers["amz-sdk-request"])
    end)

    it("a file that changes between two tries is not sent mixed", function()
        local path = temporary(("x"):rep(1000))
        local rig, seen = serve{function()
            os.execute("touch -d 2001-01-01 " .. path)
            return {status = 503}
        end}
        local c = rig:start("s3", "PutObject", '{"Bucket":"bucket","Key":"k"}', {body_file = path}):wait()
        assert.equal("InputOutputError", c.code)
        assert.matches("the file to upload was changed meanwhile", c.message)
        assert.equal(1, #seen)
    end)

    it("an object goes into its file, whatever was there", function()
        local path, content = temporary(("old"):rep(1000000)), ("new!"):rep(200000)
        local rig = serve{object(content)}
        local c = rig:start("s3", "GetObject", '{"Bucket":"bucket","Key":"k"}', {result_file = path}):wait()
        assert.is_true(c.ok, c.message)
        assert.is_nil(c.body)
        assert.is_true(read(path) == content)
    end)

    it("an object that breaks off is fetched again from its beginning", function()
        local path, content = temporary(), ("new!"):rep(200000)
        local rig, seen = serve{{act = "truncate", body = ("junk"):rep(1000), headers = {ETag = "e"}}, {status = 500, body = "no"}, object(content)}
        local c = rig:start("s3", "GetObject", '{"Bucket":"bucket","Key":"k"}', {result_file = path}):wait()
        assert.is_true(c.ok, c.message)
        assert.equal(3, #seen)
        assert.is_true(read(path) == content)
    end)

    it("an object with a wrong checksum is refused, and its file left empty", function()
        local path = temporary()
        local rig, seen = serve{object("hello", {["x-amz-checksum-crc32"] = "AAAAAA=="})}
        local c = rig:start("s3", "GetObject", '{"Bucket":"bucket","Key":"k"}', {result_file = path}):wait()
        assert.equal("InvalidServiceResponse", c.code)
        assert.equal(3, #seen)
        assert.equal("", read(path))
    end)

    it("an object with its checksum is taken", function()
        local path = temporary()
        local rig = serve{object("hello", {["x-amz-checksum-crc32"] = "NhCmhg=="})}
        local c = rig:start("s3", "GetObject", '{"Bucket":"bucket","Key":"k"}', {result_file = path}):wait()
        assert.is_true(c.ok, c.message)
        assert.equal("hello", read(path))
    end)

    it("an error instead of the object does not get into the file", function()
        local path = temporary()
        local rig = serve{{status = 404, body = "<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>"}}
        local c = rig:start("s3", "GetObject", '{"Bucket":"bucket","Key":"k"}', {result_file = path}):wait()
        assert.equal("NoSuchKey", c.code)
        assert.equal("", read(path))
    end)
end)
