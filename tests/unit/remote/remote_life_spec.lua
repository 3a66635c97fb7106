-- What calls share and how they end: credentials, pacing, cancelling, opening, the description.
local shared = require "unit.remote.rig"(_ENV)
local remote = require "t.remote"
local json = require "cjson"
local serve, ok, refuse, get_item = shared.serve, shared.ok, shared.refuse, shared.get_item
local verified, metric, temporary, read = shared.verified, shared.metric, shared.temporary, shared.read
local EMPTY_ITEM = shared.EMPTY_ITEM

describe("credentials", function()
    -- Numbered credentials of a process; the server refuses those in `bad` with the error named there.
    local function open_process(bad)
        local counter = temporary("0")
        local script = temporary(([[#!/bin/sh
n=$(cat %s); n=$((n + 1)); echo $n > %s
echo "{\"Version\":1,\"AccessKeyId\":\"AKID${n}0000000000\",\"SecretAccessKey\":\"SECRET\",\"SessionToken\":\"T$n\",\"Expiration\":\"2099-01-01T00:00:00Z\"}"
]]):format(counter, counter))
        os.execute("chmod +x " .. script)
        local config = temporary("[default]\ncredential_process = " .. script .. "\n")
        local rig, seen = serve({function(r)
            local key = r.headers.authorization:match "Credential=(%w+)/"
            if bad[key] then return refuse(400, bad[key]) end
            return ok()
        end}, {access_key = false, secret_key = false, env = {AWS_CONFIG_FILE = config,
            AWS_SHARED_CREDENTIALS_FILE = "/nonexistent", AWS_EC2_METADATA_DISABLED = "true"}})
        return rig, seen, function() return tonumber(read(counter)) end
    end

    it("that are being fetched are waited for, once for all calls", function()
        local rig, seen, fetched = open_process{}
        local calls = {}
        for i = 1, 20 do calls[i] = rig:start("dynamodb", "GetItem", EMPTY_ITEM) end
        for _, c in ipairs(calls) do assert.is_true(c:wait().ok) end
        assert.equal(1, fetched())
        verified(seen)
    end)

    for _, name in ipairs{"ExpiredTokenException", "UnrecognizedClientException"} do
        it(("refused with %s are fetched anew, once"):format(name), function()
            local rig, seen, fetched = open_process{AKID10000000000 = name}
            local c = get_item(rig)
            assert.is_true(c.ok, c.message)
            assert.same({2, 0}, {c.attempts, c.waited_ms})
            assert.equal(2, fetched())
            assert.equal("T1", seen[1].headers["x-amz-security-token"])
            assert.equal("T2", seen[2].headers["x-amz-security-token"])
            verified(seen)
            assert.equal(1, get_item(rig).attempts)
            assert.equal(1, metric(rig, "perigee_aws_credentials_refused_total"))
        end)
    end

    it("refused again are the service's error", function()
        local rig, seen, fetched = open_process{AKID10000000000 = "ExpiredToken", AKID20000000000 = "ExpiredToken"}
        local c = get_item(rig)
        assert.equal("ExpiredToken", c.code)
        assert.equal(2, #seen)
        assert.equal(2, fetched())
    end)

    it("that are fixed cannot be renewed: one try", function()
        local rig, seen = serve{refuse(400, "ExpiredTokenException")}
        assert.equal("ExpiredTokenException", get_item(rig).code)
        assert.equal(1, #seen)
    end)

    it("that nobody has are an error that lists the sources, and nothing is sent", function()
        local rig, seen = serve({ok()}, {access_key = false, secret_key = false, env = {
            AWS_CONFIG_FILE = "/nonexistent/config", AWS_SHARED_CREDENTIALS_FILE = "/nonexistent/credentials",
            AWS_EC2_METADATA_DISABLED = "true"}})
        local c = get_item(rig)
        assert.equal("CredentialsUnavailable", c.code)
        assert.equal(0, c.attempts)
        assert.equal(0, #seen)
    end)

    it("that come too late miss the deadline", function()
        local script = temporary("#!/bin/sh\nexec sleep 1\n")
        os.execute("chmod +x " .. script)
        local config = temporary("[default]\ncredential_process = " .. script .. "\n")
        local rig, seen = serve({ok()}, {access_key = false, secret_key = false, env = {AWS_CONFIG_FILE = config,
            AWS_SHARED_CREDENTIALS_FILE = "/nonexistent", AWS_EC2_METADATA_DISABLED = "true"}})
        local c = get_item(rig, {deadline_ms = "40"})
        assert.equal("RequestTimeout", c.code)
        assert.equal(0, #seen)
    end)
end)

describe("adaptive mode", function()
    it("paces calls after throttling, in their order", function()
        local order = {}
        local rig, seen = serve({function(r, n)
            order[#order + 1] = tonumber(r.body:match '"S":"(%d+)"')
            return n == 1 and refuse(400, "ThrottlingException", {["x-amz-retry-after"] = "0"}) or ok()
        end}, {env = {AWS_RETRY_MODE = "adaptive"}})
        local c = rig:start("dynamodb", "GetItem", '{"TableName":"T","Key":{"id":{"S":"0"}}}'):wait()
        assert.is_true(c.ok, c.message)
        assert.matches("retry%-mode#adaptive", seen[1].headers["user-agent"])
        local calls = {}
        for i = 1, 3 do
            calls[i] = rig:start("dynamodb", "GetItem", '{"TableName":"T","Key":{"id":{"S":"' .. i .. '"}}}')
        end
        local late = rig:start("dynamodb", "GetItem", EMPTY_ITEM, {deadline_ms = "30"}):wait()
        assert.equal("RequestTimeout", late.code)
        for _, each in ipairs(calls) do assert.is_true(each:wait().ok) end
        assert.same({0, 0, 1, 2, 3}, order)
        assert.is_true(json.decode(rig:describe()).services.dynamodb.sends_per_second > 0)
    end)
end)

describe("cancelling", function()
    local cases = {
        {"a read", "dynamodb", "GetItem", EMPTY_ITEM},
        {"a write", "dynamodb", "PutItem", '{"TableName":"T","Item":{"id":{"S":"1"}}}'},
        {"a long poll", "sqs", "ReceiveMessage", '{"QueueUrl":"http://x/1/q","WaitTimeSeconds":20}'},
    }
    local scripts = {
        {"answered at once", {ok()}}, {"stalled", {{act = "stall"}, ok()}}, {"failing", {{status = 500}}},
        {"reset", {{act = "reset"}}},
    }
    for _, case in ipairs(cases) do
        for _, script in ipairs(scripts) do
            if not (case[1] == "a write" and script[1] == "stalled") then
                it(("%s, %s, after any number of events leaves nothing behind"):format(case[1], script[1]), function()
                    for n = 0, 24 do
                        local rig = serve(script[2])
                        local c = rig:start(case[2], case[3], case[4])
                        for _ = 1, n do
                            if not c:done() then rig:turn(n % 2) end
                        end
                        c:cancel()
                        rig:close()
                    end
                end)
            end
        end
    end

    it("a write that was sent still happens, and its answer is waited for", function()
        local answered = 0
        local rig, seen = serve{function()
            answered = answered + 1
            return ok()
        end}
        rig:start("dynamodb", "PutItem", '{"TableName":"T","Item":{"id":{"S":"1"}}}'):cancel()
        rig:detach()
        assert.equal(1, #seen)
        assert.equal(1, answered)
    end)

    it("while credentials are fetched", function()
        local script = temporary("#!/bin/sh\nsleep 0.05\necho '{}'\n")
        os.execute("chmod +x " .. script)
        local config = temporary("[default]\ncredential_process = " .. script .. "\n")
        for n = 0, 8 do
            local rig = serve({ok()}, {access_key = false, secret_key = false, env = {AWS_CONFIG_FILE = config,
                AWS_SHARED_CREDENTIALS_FILE = "/nonexistent", AWS_EC2_METADATA_DISABLED = "true"}})
            local c = rig:start("dynamodb", "GetItem", EMPTY_ITEM)
            for _ = 1, n do if not c:done() then rig:turn(10) end end
            c:cancel()
            rig:close()
        end
    end)

    it("an upload breaks off", function()
        local rig = serve{{act = "stall"}}
        local c = rig:start("s3", "PutObject", '{"Bucket":"bucket","Key":"k"}', {body_file = temporary(("x"):rep(500000))})
        for _ = 1, 5 do rig:turn(1) end
        c:cancel()
        rig:detach()
    end)
end)

describe("opening", function()
    it("refuses a malformed profile with file and line", function()
        local config = temporary("[default]\nregion = eu-west-1\n[profile x\n")
        local rig, code, message = remote.open{env = {AWS_CONFIG_FILE = config}, handler = function() end}
        assert.is_nil(rig)
        assert.equal("ConfigurationError", code)
        assert.matches(config:gsub("%W", "%%%0") .. ":3", message)
    end)

    it("without a region anywhere, calls and preparation say where one could be set", function()
        local rig, seen = serve({ok()}, {region = false, env = {AWS_EC2_METADATA_DISABLED = "true",
            AWS_CONFIG_FILE = "/nonexistent/c", AWS_SHARED_CREDENTIALS_FILE = "/nonexistent/d"}})
        local c = get_item(rig)
        assert.equal("ConfigurationError", c.code)
        assert.matches("AWS_REGION", c.message)
        local done, code, message = rig:prepare()
        assert.same({nil, "ConfigurationError"}, {done, code})
        assert.matches("AWS_REGION, AWS_DEFAULT_REGION or `region` in profile default", message)
        assert.equal("", rig:queue_base())
        assert.equal(0, #seen)
    end)
end)

describe("the description", function()
    it("names settings and their sources, counts, the last error, and no secret", function()
        local rig = serve({refuse(400, "ValidationException")}, {secret_key = "TOPSECRET", session_token = "TOPTOKEN"})
        get_item(rig)
        local text = rig:describe()
        local d = json.decode(text)
        assert.equal("remote", d.backend)
        assert.equal("eu-west-1", d.region)
        assert.equal("aws", d.partition)
        assert.equal("AKID…0001", d.credentials.access_key_id)
        assert.equal("standard", d.retry_mode)
        assert.equal("http://127.0.0.1:" .. rig:port(), d.services.dynamodb.endpoint)
        assert.equal("AWS_ENDPOINT_URL", d.services.dynamodb.source)
        assert.same({4, 3}, {d.services.dynamodb.max_attempts, d.services.s3.max_attempts})
        assert.equal(1, d.counters.attempts)
        assert.equal("dynamodb GetItem", d.last_error.call)
        assert.equal("ValidationException", d.last_error.code)
        assert.equal("REQ-ValidationException", d.last_error.request_id)
        assert.matches("^%d%d%d%d%-%d%d%-%d%dT", d.last_error.at)
        for _, secret in ipairs{"TOPSECRET", "TOPTOKEN", "AKIDEXAMPLE0001"} do
            assert.is_nil(text:find(secret, 1, true))
        end
    end)

    it("tells identity and the base of queue URLs", function()
        local rig = serve{ok()}
        assert.same({"eu-west-1", "000000000000", "aws"}, {rig:identity()})
        rig:set_account("123456789012")
        assert.equal("http://127.0.0.1:" .. rig:port() .. "/123456789012", rig:queue_base())
        assert.is_true(rig:prepare())
        assert.equal("123456789012", (select(2, rig:identity())))
    end)

    it("says why there are no credentials", function()
        local rig = serve({ok()}, {access_key = false, secret_key = false, env = {AWS_CONFIG_FILE = "/nonexistent/c",
            AWS_SHARED_CREDENTIALS_FILE = "/nonexistent/d", AWS_EC2_METADATA_DISABLED = "true"}})
        local done, code, message = rig:prepare()
        assert.is_nil(done)
        assert.equal("CredentialsUnavailable", code)
        assert.matches("environment", message)
    end)
end)
