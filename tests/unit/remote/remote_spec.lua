-- Whole calls against a scripted server: what is sent, what is tried again, when it ends.
local remote = require "t.remote"
local json = require "cjson"

local EMPTY_ITEM = '{"TableName":"T","Key":{"id":{"S":"1"}}}'

-- Opens the client on a server that gives `answers` one after another (the last one again and again), and keeps what
-- it received in `seen`. An answer is a table or a function of (request, number).
local function serve(answers, options)
    local seen = {}
    local o = {region = "eu-west-1", access_key = "AKIDEXAMPLE0001", secret_key = "SECRET", env = {}}
    for k, v in pairs(options or {}) do o[k] = v end
    o.handler = function(request)
        seen[#seen + 1] = request
        local a = answers[math.min(#seen, #answers)]
        if type(a) == "function" then a = a(request, #seen) end
        return a
    end
    local rig = assert(remote.open(o))
    finally(function() rig:close() end)
    return rig, seen
end

local function ok(body, headers) return {status = 200, body = body or "{}", headers = headers} end

local function object(body, headers)
    headers = headers or {}
    headers.ETag = '"e"'
    return ok(body, headers)
end

local function refuse(status, name, headers)
    headers = headers or {}
    headers["x-amzn-RequestId"] = headers["x-amzn-RequestId"] or "REQ-" .. name
    return {status = status, body = ('{"__type":"com.amazon#%s","message":"said %s"}'):format(name, name),
            headers = headers}
end

local function get_item(rig, options) return rig:start("dynamodb", "GetItem", EMPTY_ITEM, options):wait() end

local function verified(seen)
    for i, r in ipairs(seen) do assert.is_nil(r.refused, ("request %d: %s"):format(i, tostring(r.refused))) end
end

local function metric(rig, name)
    return tonumber(rig:metrics():match("\n" .. name .. " (%d+)"))
end

local function temporary(content)
    local path = os.tmpname()
    if content then
        local f = assert(io.open(path, "wb"))
        f:write(content)
        f:close()
    end
    finally(function() os.remove(path) end)
    return path
end

local function read(path)
    local f = assert(io.open(path, "rb"))
    local s = f:read "a"
    f:close()
    return s
end

describe("a call", function()
    it("is signed, and its answer decoded", function()
        local rig, seen = serve{ok('{"Item":{"id":{"S":"1"}}}', {["x-amzn-RequestId"] = "R1"})}
        local c = get_item(rig)
        assert.is_true(c.ok)
        assert.equal('{"Item":{"id":{"S":"1"}}}', c.result)
        assert.equal("R1", c.request_id)
        assert.equal(1, c.attempts)
        assert.equal(0, c.waited_ms)
        verified(seen)
        local r, h = seen[1], seen[1].headers
        assert.equal("POST /", r.method .. " " .. r.target)
        assert.equal("127.0.0.1:" .. rig:port(), h.host)
        assert.equal("DynamoDB_20120810.GetItem", h["x-amz-target"])
        assert.matches("^AWS4%-HMAC%-SHA256 Credential=AKIDEXAMPLE0001/%d+/eu%-west%-1/dynamodb/aws4_request, ",
            h.authorization)
        assert.matches("^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$", h["amz-sdk-invocation-id"])
        assert.equal("attempt=1; max=4", h["amz-sdk-request"])
        assert.matches("^perigee/[%d.]+ ua/2%.1 os/linux#%S+ md/arch#%S+ lang/lua#5%.4 cfg/retry%-mode#standard$",
            h["user-agent"])
        assert.is_nil(h["x-amz-security-token"])
        assert.is_nil(h.expect)
    end)

    it("sends the session token signed, and names application and environment", function()
        local rig, seen = serve({ok()}, {session_token = "TOKEN/+=", env = {
            AWS_EXECUTION_ENV = "AWS_Lambda_provided.al2023", AWS_SDK_UA_APP_ID = "shop 1"}})
        assert.is_true(get_item(rig).ok)
        verified(seen)
        assert.equal("TOKEN/+=", seen[1].headers["x-amz-security-token"])
        assert.matches("SignedHeaders=[^,]*x%-amz%-security%-token", seen[1].headers.authorization)
        assert.matches("exec%-env/AWS_Lambda_provided.al2023 app/shop%-1$", seen[1].headers["user-agent"])
    end)

    it("that cannot be encoded fails at once and sends nothing", function()
        local rig, seen = serve{ok()}
        local c = rig:start("s3", "GetObject", '{"Bucket":"b"}')
        assert.is_true(c:done())
        assert.is_false(c:wait().ok)
        assert.equal(0, #seen)
    end)

    it("is not tried again after the caller's own mistake, whose words stay the service's", function()
        local rig, seen = serve{refuse(400, "ConditionalCheckFailedException")}
        local c = get_item(rig)
        assert.same({"ConditionalCheckFailedException", "said ConditionalCheckFailedException", 400, 1},
            {c.code, c.message, c.status, c.attempts})
        assert.equal("REQ-ConditionalCheckFailedException", c.request_id)
        assert.equal(1, #seen)
    end)

    it("never completes inside aws_start", function()
        local rig = serve{ok()}
        local c = rig:start("dynamodb", "GetItem", EMPTY_ITEM)
        assert.is_false(c:done())
        assert.is_true(c:wait().ok)
    end)

    it("of a hundred at once get their own answers", function()
        local rig = serve{function(r) return ok('{"n":' .. r.body:match('"S":"(%d+)"') .. "}") end}
        local calls = {}
        for i = 1, 100 do
            calls[i] = rig:start("dynamodb", "GetItem", '{"TableName":"T","Key":{"id":{"S":"' .. i .. '"}}}')
        end
        for i, c in ipairs(calls) do assert.equal('{"n":' .. i .. "}", c:wait().result) end
    end)
end)

describe("a failing service", function()
    local failures = {
        ["500"] = refuse(500, "InternalServerError"),
        ["503 without a body"] = {status = 503},
        ["a reset connection"] = {act = "reset"},
        ["a connection closed without an answer"] = {act = "close"},
        ["a truncated answer"] = {act = "truncate", body = '{"Item":{}}'},
        ["a wrong CRC"] = ok('{"Item":{}}', {["x-amz-crc32"] = "1"}),
        ["an answer that is no JSON"] = ok("<html>oops</html>"),
        ["a throttled request"] = refuse(400, "ProvisionedThroughputExceededException"),
    }
    for name, failure in pairs(failures) do
        it(("is asked again after %s"):format(name), function()
            local rig, seen = serve{failure, ok()}
            local c = get_item(rig)
            assert.is_true(c.ok, c.message)
            assert.equal(2, c.attempts)
            verified(seen)
            local first, last = seen[1], seen[#seen]
            assert.equal(first.body, last.body)
            assert.equal(first.headers["amz-sdk-invocation-id"], last.headers["amz-sdk-invocation-id"])
            assert.equal("attempt=2; max=4", last.headers["amz-sdk-request"])
        end)
    end

    it("is given up after 4 tries at DynamoDB, with every fact in the error", function()
        local rig, seen = serve{refuse(500, "InternalServerError")}
        local c = get_item(rig)
        assert.equal(4, c.attempts)
        assert.equal(4, #seen)
        assert.equal("InternalServerError", c.code)
        assert.equal(500, c.status)
        assert.equal(("said InternalServerError (4 attempts, %d ms waited between them)"):format(c.waited_ms), c.message)
        assert.equal("REQ-InternalServerError", c.request_id)
        for i, r in ipairs(seen) do assert.equal(("attempt=%d; max=4"):format(i), r.headers["amz-sdk-request"]) end
        assert.equal(4, metric(rig, "perigee_aws_attempts_total"))
        assert.equal(3, metric(rig, "perigee_aws_retries_total"))
    end)

    it("is given up after 3 tries elsewhere, or as many as are configured", function()
        local rig, seen = serve{{status = 503}}
        assert.equal(3, rig:start("sqs", "ListQueues"):wait().attempts)
        assert.equal(3, #seen)
        local one, seen_one = serve({{status = 503}}, {env = {AWS_MAX_ATTEMPTS = "1"}})
        local c = one:start("sqs", "ListQueues"):wait()
        assert.equal(1, c.attempts)
        assert.is_nil(c.message:find("attempts", 1, true))
        assert.equal(1, #seen_one)
    end)

    it("gets a new signature and timestamp with each try, and the same token of idempotency", function()
        local rig, seen = serve{{status = 500}, {status = 500}, ok()}
        local c = rig:start("dynamodb", "TransactWriteItems", '{"TransactItems":[]}'):wait()
        assert.is_true(c.ok, c.message)
        verified(seen)
        local tokens = {}
        for _, r in ipairs(seen) do tokens[json.decode(r.body).ClientRequestToken] = true end
        assert.equal(3, #seen)
        assert.is_nil(next(tokens, (next(tokens))))
    end)

    it("that asks to wait is waited for", function()
        local rig = serve{refuse(503, "ServiceUnavailable", {["x-amz-retry-after"] = "120"}), ok()}
        local c = get_item(rig)
        assert.is_true(c.ok)
        assert.equal(120, c.waited_ms)
    end)

    it("counts throttling apart", function()
        local rig = serve{refuse(400, "ThrottlingException"), ok()}
        assert.is_true(get_item(rig).ok)
        assert.equal(1, metric(rig, "perigee_aws_throttles_total"))
    end)

    it("that nobody listens at is named", function()
        local rig = serve({ok()}, {env = {AWS_ENDPOINT_URL = "http://127.0.0.1:1"}})
        local c = get_item(rig)
        assert.equal("EndpointUnavailable", c.code)
        assert.matches("^dynamodb GetItem: .*127%.0%.0%.1:1", c.message)
        assert.equal(4, c.attempts)
    end)

    it("whose answer is lost is told apart from one that was never sent, where that matters", function()
        local rig = serve({{act = "close"}}, {env = {AWS_MAX_ATTEMPTS = "1"}})
        local put = '{"TableName":"T","Item":{"id":{"S":"1"}}}'
        assert.matches("; it may have been carried out$", rig:start("dynamodb", "PutItem", put):wait().message)
        assert.not_matches("carried out", get_item(rig).message)
        rig = serve({}, {env = {AWS_MAX_ATTEMPTS = "1", AWS_ENDPOINT_URL = "http://127.0.0.1:1"}})
        local c = rig:start("dynamodb", "PutItem", put):wait()
        assert.equal("EndpointUnavailable", c.code)
        assert.not_matches("carried out", c.message)
    end)
end)

describe("an answer that comes twice", function()
    it("is not the answer of the next call", function()
        local rig, seen = serve{{act = "twice", status = 200, body = '{"n":1}'}, ok('{"n":2}'), ok('{"n":3}')}
        for n = 1, 3 do
            local c = get_item(rig)
            assert.is_true(c.ok, c.message)
            assert.equal(('{"n":%d}'):format(n), c.result)
            assert.equal(1, c.attempts)
        end
        assert.equal(3, #seen)
    end)
end)

describe("a network that fails three times in ten", function()
    it("loses no call, and answers none with another's result", function()
        math.randomseed(5)
        local faults = {{status = 500}, {status = 503}, {act = "reset"}, {act = "close"},
            {act = "truncate", body = '{"n":'},
            {act = "truncate", headers = {["Content-Type"] = "application/json"}}}
        local ids = {}
        local rig, seen = serve({function(r)
            local n, id = r.body:match '"S":"(%d+)"', r.headers["amz-sdk-invocation-id"]
            ids[n] = ids[n] or id
            assert(ids[n] == id, "another invocation id")
            if math.random() < 0.3 then return faults[math.random(#faults)] end
            return ok('{"n":' .. n .. "}")
        end}, {env = {AWS_MAX_ATTEMPTS = "10"}})
        for first = 1, 300, 20 do -- few enough for the retry quota
            local calls = {}
            for i = first, first + 19 do
                calls[i] = rig:start("sqs", "ListQueues", '{"x":{"S":"' .. i .. '"}}')
            end
            for i, call in pairs(calls) do
                local c = call:wait()
                assert.is_true(c.ok, c.message)
                assert.equal(i, json.decode(c.result).n)
            end
        end
        verified(seen)
        assert.is_true(#seen > 360 and #seen < 600)
        assert.is_true(json.decode(rig:describe()).services.sqs.retry_quota >= 0)
    end)
end)

it("workers share settings, credentials, quota and what they learn about buckets", function()
    local moved = 0
    local rig, seen = serve({function(r, n)
        if r.headers["x-amz-target"] then return n % 5 == 0 and {status = 500} or ok() end
        if r.headers.authorization:find("/us-east-2/s3/", 1, true) then return object("body") end
        moved = moved + 1
        return {status = 301, headers = {["x-amz-bucket-region"] = "us-east-2"},
            body = "<Error><Code>PermanentRedirect</Code></Error>"}
    end}, {env = {AWS_RETRY_MODE = "adaptive"}})
    local done, failed = rig:hammer(4, 30)
    assert.same({120, 0}, {done, failed})
    assert.is_true(moved >= 1 and moved <= 4)
    verified(seen)
    assert.equal(#seen, metric(rig, "perigee_aws_attempts_total"))
end)

describe("the retry quota", function()
    it("stops the tries of a service that fails for long, and comes back with successes", function()
        local failing = true
        local rig, seen = serve{function() return failing and {status = 500} or ok() end}
        local calls = 0
        repeat
            calls = calls + 1
            local c = get_item(rig)
        until c.message:find("the retry quota is empty", 1, true)
        assert.equal(12, calls) -- 11 calls of 3 retries at 14 tokens: 462; the 12th has 2 of them
        assert.equal(11 * 4 + 3, #seen)
        local spent = get_item(rig)
        assert.equal(1, spent.attempts)
        assert.matches("%(1 attempt, 0 ms waited between them; the retry quota is empty%)$", spent.message)
        assert.equal(2, metric(rig, "perigee_aws_retry_quota_exhausted_total"))
        assert.equal(10, json.decode(rig:describe()).services.dynamodb.retry_quota)
        failing = false
        for _ = 1, 4 do assert.is_true(get_item(rig).ok) end
        assert.equal(14, json.decode(rig:describe()).services.dynamodb.retry_quota)
        assert.equal(500, json.decode(rig:describe()).services.sqs.retry_quota)
        failing = true
        assert.equal(2, get_item(rig).attempts)
    end)

    it("empty, makes a long poll wait before it fails", function()
        local rig, seen = serve{function(r)
            if r.headers["x-amz-target"]:find "Receive" then return refuse(400, "ThrottlingException") end
            return {status = 500}
        end}
        repeat
            local c = rig:start("sqs", "ListQueues"):wait()
        until c.message:find("quota", 1, true)
        local before = #seen
        repeat -- what is left pays for throttled tries
            local c = rig:start("sqs", "ReceiveMessage", '{"QueueUrl":"http://x/1/q"}'):wait()
        until c.attempts == 1
        local c = rig:start("sqs", "ReceiveMessage", '{"QueueUrl":"http://x/1/q"}'):wait()
        assert.equal(1, c.attempts)
        assert.is_true(#seen > before)
        assert.matches("%(1 attempt, %d+ ms waited between them; the retry quota is empty%)$", c.message)
    end)
end)

describe("an error that quotes the request", function()
    local token = "FwoGZXIvYXdzEBYaD" .. ("k7x+/"):rep(80)

    local function quoting(status, make)
        local rig = serve({function(request)
            local parts = {}
            for name, value in pairs(request.headers) do parts[#parts + 1] = name .. ": " .. value end
            table.sort(parts)
            return {status = status, body = make(table.concat(parts, ", "))}
        end}, {session_token = token})
        local c = get_item(rig)
        assert.is_false(c.ok)
        return c, rig:describe()
    end

    local function keeps_secrets(c, described)
        for _, text in ipairs {c.message, described} do
            assert.is_nil(text:find(token:sub(1, 10), 1, true), text)
            assert.is_nil(text:find "Signature=%x%x%x%x%x%x%x%x", text)
        end
    end

    it("shows neither session token nor signature, whoever sends it", function()
        local c, described = quoting(403, function(all) return json.encode {__type = "a#OddException", message = all} end)
        assert.matches("content%-type: application/x%-amz%-json%-1.0", c.message)
        keeps_secrets(c, described)
        keeps_secrets(quoting(403, function(all) return "<html>" .. all end))
        keeps_secrets(quoting(400, function(all) return all:sub(-520) end))
    end)

    it("shows no beginning of a token that it cuts", function()
        for cut = 0, 300, 7 do
            local filler = ("x"):rep(900 - cut)
            keeps_secrets(quoting(403, function() return json.encode {__type = "a#OddException", message = filler .. token} end))
        end
    end)
end)

describe("a deadline", function()
    it("cuts an attempt that stalls, and says so", function()
        local rig, seen = serve{{act = "stall"}}
        local c = get_item(rig, {deadline_ms = "80"})
        assert.equal("RequestTimeout", c.code)
        assert.matches("^dynamodb GetItem: the deadline of the caller leaves no time for another attempt; last error: ",
            c.message)
        assert.equal(1, c.attempts)
        assert.equal(1, #seen)
    end)

    it("leaves time for another attempt when the first one stalls", function()
        local rig, seen = serve{{act = "stall"}, ok()}
        local c = get_item(rig, {deadline_ms = "2400"})
        assert.is_nil(c.code, c.message)
        assert.equal(2, c.attempts)
        assert.equal(2, #seen)
    end)

    it("that cuts the last try allowed is named as well", function()
        local rig = serve({{act = "stall"}}, {env = {AWS_MAX_ATTEMPTS = "1"}})
        local c = get_item(rig, {deadline_ms = "60"})
        assert.equal("RequestTimeout", c.code)
        assert.matches("the deadline of the caller", c.message)
    end)

    it("that has passed lets nothing out", function()
        local rig, seen = serve{ok()}
        local c = get_item(rig, {deadline_ms = "0"})
        assert.equal("RequestTimeout", c.code)
        assert.matches("leaves no time for an attempt$", c.message)
        assert.equal(0, c.attempts)
        assert.equal(0, #seen)
    end)

    it("is not slept past: the wait that the service asks for would end after it", function()
        local rig, seen = serve{refuse(503, "ServiceUnavailable", {["x-amz-retry-after"] = "4000"}), ok()}
        local c = get_item(rig, {deadline_ms = "2000"})
        assert.equal("RequestTimeout", c.code)
        assert.matches("last error: ServiceUnavailable: said ServiceUnavailable$", c.message)
        assert.equal(0, c.waited_ms)
        assert.equal(1, #seen)
    end)

    it("that nobody set is an hour for files, five minutes for all else: no answer drips for ever", function()
        local rig = serve{ok()}
        local function limit(...)
            local c = rig:start(...)
            local ms = c:limit_ms()
            c:wait()
            return ms
        end
        assert.equal(300000, limit("dynamodb", "GetItem", EMPTY_ITEM))
        assert.equal(905000, limit("sqs", "ReceiveMessage", '{"QueueUrl":"http://x/1/q","WaitTimeSeconds":900}'))
        assert.equal(3600000, limit("s3", "GetObject", '{"Bucket":"bucket","Key":"k"}', {result_file = temporary()}))
        local left = limit("dynamodb", "GetItem", EMPTY_ITEM, {deadline_ms = "700000"})
        assert.is_true(left > 300000 and left <= 700000)
    end)

    it("far away changes nothing", function()
        local rig = serve{{status = 500}, ok()}
        assert.is_true(get_item(rig, {deadline_ms = "600000"}).ok)
    end)
end)

describe("a clock that is wrong", function()
    local MINUTE = 60000
    it("is corrected by the service's Date, for this call and all later ones", function()
        for _, skew in ipairs{10 * MINUTE, -10 * MINUTE} do
            for _, name in ipairs{"InvalidSignatureException", "RequestTimeTooSkewed"} do
                local rig, seen = serve{function(r)
                    -- the server takes requests of its own time only, give or take 5 minutes
                    local y, mo, d, h, mi, s = r.headers["x-amz-date"]:match "(%d%d%d%d)(%d%d)(%d%d)T(%d%d)(%d%d)(%d%d)Z"
                    local at = os.time{year = y, month = mo, day = d, hour = h, min = mi, sec = s, isdst = false}
                    local now = os.time(os.date("!*t")) + skew // 1000
                    if math.abs(at - now) > 300 then return refuse(403, name) end
                    return ok()
                end}
                rig:server_clock(skew)
                local c = get_item(rig)
                assert.is_true(c.ok, c.message)
                assert.same({2, 0}, {c.attempts, c.waited_ms})
                verified(seen)
                assert.not_equal(seen[1].headers.authorization, seen[2].headers.authorization)
                assert.not_equal(seen[1].headers["x-amz-date"], seen[2].headers["x-amz-date"])
                assert.equal(1, get_item(rig).attempts)
                assert.equal(1, metric(rig, "perigee_aws_clock_corrections_total"))
                local correction = json.decode(rig:describe()).services.dynamodb.clock_correction_ms
                assert.is_true(math.abs(correction - skew) <= 2000)
            end
        end
    end)

    it("by two minutes only is not the reason of a refused signature", function()
        local rig, seen = serve{refuse(403, "InvalidSignatureException")}
        rig:server_clock(2 * MINUTE)
        assert.equal("InvalidSignatureException", get_item(rig).code)
        assert.equal(1, #seen)
    end)

    it("cannot be known without a Date", function()
        local a = refuse(403, "InvalidSignatureException")
        a.date = false
        local rig, seen = serve{a}
        rig:server_clock(10 * MINUTE)
        assert.equal("InvalidSignatureException", get_item(rig).code)
        assert.equal(1, #seen)
    end)

    it("is corrected once a call: a service that refuses on has the last word", function()
        local n = 0
        local rig, seen = serve{function()
            n = n + 1
            local a = refuse(403, "SignatureDoesNotMatch")
            a.date = (os.time() + n * 3600) * 1000
            return a
        end}
        local c = get_item(rig)
        assert.equal("SignatureDoesNotMatch", c.code)
        assert.equal(2, #seen)
    end)
end)

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
