-- Whole calls against a scripted server: what is sent, what is tried again, when it ends.
local shared = require "unit.remote.rig"(_ENV)
local json = require "cjson"
local serve, ok, object, refuse = shared.serve, shared.ok, shared.object, shared.refuse
local get_item, verified, metric, temporary = shared.get_item, shared.verified, shared.metric, shared.temporary
local EMPTY_ITEM = shared.EMPTY_ITEM

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

    it("gives half of itself to an attempt in which nothing moves, but all to a mail, which would go out twice", function()
        local rig = serve{ok('{"MessageId":"m"}')}
        local function idle(...)
            local c = rig:start(...)
            local _, ms = c:limit_ms()
            c:wait()
            return ms
        end
        local soon = {deadline_ms = "10000"}
        assert.is_true(idle("dynamodb", "GetItem", EMPTY_ITEM, soon) <= 5000)
        assert.equal(60000, idle("ses", "SendEmail", '{"FromEmailAddress":"a@b.c","Destination":{"ToAddresses":["d@e.f"]},' ..
            '"Content":{"Simple":{"Subject":{"Data":"s"},"Body":{"Text":{"Data":"t"}}}}}', soon))
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
