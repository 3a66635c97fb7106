-- Links and forms that the client signs, checked as a server would.
local remote = require "t.remote"
local json = require "cjson"

local NOW = 1795325400000 -- 2026-11-22T05:30:00Z
local NO_FILES = {AWS_CONFIG_FILE = "/nonexistent/c", AWS_SHARED_CREDENTIALS_FILE = "/nonexistent/d",
    AWS_EC2_METADATA_DISABLED = "true"}

local function open(options)
    local o = {region = "eu-west-1", access_key = "AKIDEXAMPLE0001", secret_key = "SECRET", now = NOW, env = {},
        handler = function() return {status = 500} end}
    for k, v in pairs(options or {}) do o[k] = v end
    local rig = assert(remote.open(o))
    finally(function() rig:close() end)
    return rig
end

-- A client whose S3 is AWS's own, or at `url`.
local function at(url, options)
    options = options or {}
    options.env = options.env or {}
    options.env.AWS_ENDPOINT_URL = url or ""
    return open(options)
end

local function link(rig, more)
    local p = {method = "GET", bucket = "bucket", key = "receipts/a b.pdf", expires = 300}
    for k, v in pairs(more or {}) do p[k] = v end
    return rig:presign(p)
end

local function split(url)
    return url:match "^(https?)://([^/]+)(/.*)$"
end

local function check(rig, url, method, headers, now)
    local _, host, target = split(url)
    local h = {host = host}
    for k, v in pairs(headers or {}) do h[k] = v end
    return rig:verify(method or "GET", target, h, now or NOW + 1000)
end

describe("a presigned link", function()
    it("to AWS names bucket, region and life, and is valid until it says", function()
        local rig = at()
        local url, expires = link(rig)
        local scheme, host, target = split(url)
        assert.equal("https bucket.s3.eu-west-1.amazonaws.com", scheme .. " " .. host)
        assert.matches("^/receipts/a%%20b%.pdf%?X%-Amz%-Algorithm=AWS4%-HMAC%-SHA256&", target)
        assert.matches("&X%-Amz%-Expires=300&", target)
        assert.matches("&X%-Amz%-Signature=%x+$", target)
        assert.equal(NOW + 300000, expires)
        assert.equal("UNSIGNED-PAYLOAD", check(rig, url))
        assert.equal("UNSIGNED-PAYLOAD", check(rig, url, "GET", nil, expires - 1000))
        assert.is_nil(check(rig, url, "GET", nil, expires + 1000))
        assert.is_nil(check(rig, url, "PUT"))
        assert.is_nil(check(rig, (url:gsub("a%%20b", "a%%20c"))))
        assert.is_nil(check(rig, (url:gsub("Expires=300", "Expires=900"))))
    end)

    it("signs the query and the headers that were asked for", function()
        local rig = at()
        local url = link(rig, {method = "PUT", query = {{"response-content-type", "text/plain; charset=utf-8"},
            {"versionId", "3/4"}}, headers = {{"Content-Type", "application/pdf"}, {"x-amz-meta-order", "7"}}})
        assert.matches("response%-content%-type=text%%2Fplain%%3B%%20charset%%3Dutf%-8", url)
        assert.matches("SignedHeaders=content%-type%%3Bhost%%3Bx%-amz%-meta%-order", url)
        local sent = {["content-type"] = "application/pdf", ["x-amz-meta-order"] = "7"}
        assert.equal("UNSIGNED-PAYLOAD", check(rig, url, "PUT", sent))
        sent["content-type"] = "text/html"
        assert.is_nil(check(rig, url, "PUT", sent))
        assert.is_nil(check(rig, url, "PUT"))
    end)

    it("carries the session token", function()
        local rig = at(nil, {session_token = "T/+="})
        local url = link(rig)
        assert.matches("X%-Amz%-Security%-Token=T%%2F%%2B%%3D&", url)
        assert.equal("UNSIGNED-PAYLOAD", check(rig, url))
    end)

    it("does not outlive the credentials it is signed with", function()
        local script = os.tmpname()
        local f = assert(io.open(script, "w"))
        f:write([[#!/bin/sh
echo '{"Version":1,"AccessKeyId":"AKIDEXAMPLE0001","SecretAccessKey":"SECRET","SessionToken":"T",]] ..
            [["Expiration":"2026-11-22T05:40:00Z"}']] .. "\n")
        f:close()
        local config = os.tmpname()
        f = assert(io.open(config, "w"))
        f:write("[default]\ncredential_process = " .. script .. "\n")
        f:close()
        os.execute("chmod +x " .. script)
        finally(function() os.remove(script); os.remove(config) end)
        local env = {AWS_CONFIG_FILE = config, AWS_SHARED_CREDENTIALS_FILE = "/nonexistent",
            AWS_EC2_METADATA_DISABLED = "true"}
        local rig = at(nil, {access_key = false, secret_key = false, env = env})
        local url, code, message, retryable = link(rig)
        assert.same({nil, "CredentialsUnavailable", true}, {url, code, retryable})
        assert.matches("being fetched", message)
        assert.is_true(rig:prepare())
        local _, expires = link(rig, {expires = 3600})
        assert.equal(NOW + 600000, expires)
        _, expires = link(rig, {expires = 60})
        assert.equal(NOW + 60000, expires)
        local _, until_ms = rig:presign_post('{"Bucket":"bucket","Key":"k","ExpiresIn":3600}')
        assert.equal(NOW + 600000, until_ms)
    end)

    it("needs credentials, a bucket, a key and a sensible life", function()
        local rig = at(nil, {access_key = false, secret_key = false, env = NO_FILES})
        rig:prepare()
        local url, code = link(rig)
        assert.same({nil, "CredentialsUnavailable"}, {url, code})
        rig = at()
        for _, wrong in ipairs{{bucket = ""}, {key = ""}, {expires = 0}, {expires = 604801}, {bucket = "no/bucket"},
                               {query = {{"X-Amz-Expires", "1"}}}} do
            local none, _, message = link(rig, wrong)
            assert.is_nil(none)
            assert.is_true(#message > 10)
        end
    end)

    it("keeps every byte of the key: dots, slashes, UTF-8, percent signs", function()
        local rig = at()
        for _, key in ipairs{"a//b/../c", "ü/ñ", "100%", "a+b=c&d?e#f", " ", "..", "a\1b"} do
            local url = link(rig, {key = key})
            local _, _, target = split(url)
            local path = target:match "^/([^?]*)"
            assert.equal(key, (path:gsub("%%(%x%x)", function(h) return string.char(tonumber(h, 16)) end)))
            assert.equal("UNSIGNED-PAYLOAD", check(rig, url), key)
        end
    end)
end)

it("a link is signed by the service's clock, and its end told by ours", function()
    local skew = 3600000
    local rig = open{handler = function(r)
        return {status = r.refused and 403 or 200, headers = {ETag = '"e"'}} -- HEAD: no body tells why
    end, now = false}
    rig:server_clock(skew)
    local c = rig:start("s3", "HeadObject", '{"Bucket":"bucket","Key":"k"}'):wait()
    assert.is_true(c.ok, c.message)
    assert.equal(2, c.attempts)
    local url, expires = link(rig)
    local now = os.time() * 1000
    assert.is_true(math.abs(expires - (now + 300000)) < 5000)
    assert.equal("UNSIGNED-PAYLOAD", check(rig, url, "GET", nil, now + skew))
    assert.is_nil(check(rig, url, "GET", nil, now + skew + 310000))
end)

describe("the host of a link", function()
    local function host_for(url, hint)
        local rig = at(url)
        local signed = link(rig, {host = hint})
        assert.equal("UNSIGNED-PAYLOAD", check(rig, signed))
        local scheme, host, target = split(signed)
        return scheme .. "://" .. host, target
    end

    it("is the endpoint's, in path style where it is another's than AWS's", function()
        local base, target = host_for("https://minio.example.com:9000/store", "shop.example.com")
        assert.equal("https://minio.example.com:9000", base)
        assert.matches("^/store/bucket/receipts/", target)
    end)

    it("of an endpoint on this machine is the name by which the caller came, at the endpoint's port", function()
        for _, endpoint in ipairs{"http://127.0.0.1:9000", "http://localhost:9000", "http://0.0.0.0:9000",
                                  "http://[::1]:9000"} do
            assert.equal("http://shop.example.com:9000", host_for(endpoint, "shop.example.com:8080"))
            assert.equal("http://192.168.1.7:9000", host_for(endpoint, "192.168.1.7"))
            assert.equal("http://[fe80::1]:9000", host_for(endpoint, "[fe80::1]:8080"))
        end
    end)

    it("stays the endpoint's for callers on this machine, without a hint, and for hints that are no host", function()
        for _, hint in ipairs{"", "localhost:8080", "127.0.0.1", "evil.com/x", "a b", "user@evil.com", "a\r\nb", "[::1",
                              "x?y", "<script>"} do
            assert.equal("http://127.0.0.1:9000", host_for("http://127.0.0.1:9000", hint), hint)
        end
    end)

    it("is AWS's whatever the caller calls us", function()
        assert.equal("https://bucket.s3.eu-west-1.amazonaws.com", (host_for(nil, "shop.example.com")))
    end)
end)

describe("a form for uploads", function()
    it("goes to the bucket and carries its policy signed", function()
        local rig = at()
        local text, expires = rig:presign_post(json.encode{Bucket = "bucket", Key = "in/${filename}", ExpiresIn = 600,
            Fields = {["Content-Type"] = "image/png"}, Conditions = {{"content-length-range", 1, 1000}}})
        local form = json.decode(text)
        assert.equal("https://bucket.s3.eu-west-1.amazonaws.com/", form.url)
        assert.equal("in/${filename}", form.fields.key)
        assert.equal("image/png", form.fields["Content-Type"])
        assert.equal("AKIDEXAMPLE0001/20261122/eu-west-1/s3/aws4_request", form.fields["x-amz-credential"])
        assert.matches("^%x+$", form.fields["x-amz-signature"])
        assert.is_true(#form.fields.policy > 100)
        assert.equal(NOW + 600000, expires)
    end)

    it("carries the session token, bound by the policy", function()
        local form = json.decode((at(nil, {session_token = "T/+="}):presign_post('{"Bucket":"bucket","Key":"k"}')))
        assert.equal("T/+=", form.fields["x-amz-security-token"])
        local policy = assert(io.popen("printf %s " .. form.fields.policy .. " | base64 -d")):read "a"
        local bound
        for _, condition in ipairs(json.decode(policy).conditions) do
            bound = bound or condition["x-amz-security-token"] or (condition[2] == "$x-amz-security-token" and condition[3])
        end
        assert.equal("T/+=", bound)
    end)

    it("is reachable as links are", function()
        local rig = at("http://127.0.0.1:9000")
        local form = json.decode((rig:presign_post('{"Bucket":"bucket","Key":"k"}', "shop.example.com")))
        assert.equal("http://shop.example.com:9000/bucket/", form.url)
    end)

    it("needs a bucket", function()
        local none, code, message = at():presign_post('{"Key":"k"}')
        assert.same({nil, "ValidationException"}, {none, code})
        assert.matches("Bucket is missing", message)
    end)
end)
