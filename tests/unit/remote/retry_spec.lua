-- Retry rules: SDKs Reference Guide "Retry behavior" (2026), botocore 1.43.11's adaptive mode as vectors.
local retry = require "t.retry"

local THROTTLING = {
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException",
    "TooManyRequestsException", "ProvisionedThroughputExceededException", "TransactionInProgressException",
    "RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException", "RequestThrottled", "SlowDown",
    "PriorRequestNotComplete", "EC2ThrottledException",
}

local MINUTE = 60000

describe("what may be tried again", function()
    local function class(t) return retry.classify(t) end

    it("transport failures before a whole answer are transient", function()
        for _, f in ipairs{"dns", "connect", "tls", "reset", "timeout"} do
            assert.equal("transient", class{failure = f}, f)
        end
    end)

    it("a bad URL, a file that fails and an answer over the cap are final", function()
        for _, f in ipairs{"bad_url", "too_large", "source", "sink"} do assert.equal("no", class{failure = f}, f) end
    end)

    it("500, 502, 503 and 504 are transient whatever the error is called", function()
        for _, s in ipairs{500, 502, 503, 504} do assert.equal("transient", class{name = "Odd", status = s}) end
        for _, s in ipairs{200, 301, 400, 403, 404, 409, 412, 501, 505} do
            assert.equal("no", class{name = "Odd", status = s})
        end
    end)

    it("the throttling list, and 429", function()
        for _, name in ipairs(THROTTLING) do
            assert.equal("throttling", class{name = name, status = 400}, name)
            assert.equal("throttling", class{name = name, status = 503}, name)
        end
        assert.equal("throttling", class{name = "429", status = 429})
    end)

    it("timeouts that services report, and S3's errors under status 200", function()
        for _, name in ipairs{"RequestTimeout", "RequestTimeoutException", "InternalError", "IDPCommunicationError"} do
            assert.equal("transient", class{name = name, status = 400}, name)
        end
        assert.equal("transient", class{name = "InternalError", status = 200})
        assert.equal("throttling", class{name = "SlowDown", status = 200})
    end)

    it("answers that break the protocol are transient, our own refusals are final", function()
        assert.equal("transient", class{code = "bad_answer"})
        assert.equal("no", class{code = "validation"})
        assert.equal("no", class{})
    end)

    it("what the caller did wrong is final", function()
        for _, name in ipairs{"ValidationException", "ConditionalCheckFailedException", "TransactionCanceledException",
                              "ResourceNotFoundException", "AccessDeniedException", "NoSuchKey"} do
            assert.equal("no", class{name = name, status = 400}, name)
        end
    end)

    it("a refused signature is the clock's fault only beyond four minutes", function()
        for _, name in ipairs{"InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure",
                              "RequestTimeTooSkewed", "AccessDeniedException", "AccessDenied"} do
            for _, sign in ipairs{1, -1} do
                assert.equal("clock", class{name = name, status = 403, skew = sign * (4 * MINUTE + 1)}, name)
                assert.equal("no", class{name = name, status = 403, skew = sign * 4 * MINUTE}, name)
            end
            assert.equal("no", class{name = name, status = 403}, name .. " without a Date")
        end
        assert.equal("no", class{name = "RequestExpired", status = 400, skew = 60 * MINUTE})
    end)

    it("expired and unknown credentials", function()
        for _, name in ipairs{"ExpiredToken", "ExpiredTokenException", "InvalidToken", "UnrecognizedClientException"} do
            assert.equal("credentials", class{name = name, status = 400}, name)
        end
    end)
end)

describe("how long to wait", function()
    it("doubles from 50 ms, DynamoDB's from 25 ms, throttling's from 1 s, up to 20 s", function()
        local function all(service, class)
            local t = {}
            for attempt = 2, 12 do t[#t + 1] = retry.delay(service, class, attempt, -1, 1.0) end
            return t
        end
        assert.same({50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 20000, 20000}, all("sqs", "transient"))
        assert.same({25, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 20000}, all("dynamodb", "transient"))
        assert.same({1000, 2000, 4000, 8000, 16000, 20000, 20000, 20000, 20000, 20000, 20000},
            all("dynamodb", "throttling"))
        assert.equal(20000, retry.delay("s3", "throttling", 4000000000, -1, 1.0))
    end)

    it("is scaled by the random number", function()
        assert.equal(0, retry.delay("s3", "transient", 5, -1, 0))
        assert.equal(200, retry.delay("s3", "transient", 5, -1, 0.5))
        assert.equal(13, retry.delay("dynamodb", "transient", 2, -1, 0.5))
    end)

    it("follows x-amz-retry-after within [t, t + 5 s]", function()
        assert.equal(50, retry.delay("sqs", "transient", 2, 0, 1))
        assert.equal(50, retry.delay("sqs", "transient", 2, 49, 1))
        assert.equal(1500, retry.delay("sqs", "transient", 2, 1500, 1))
        assert.equal(5050, retry.delay("sqs", "transient", 2, 60000, 1))
        assert.equal(5000, retry.delay("sqs", "transient", 2, math.maxinteger, 0))
    end)

    it("is nothing after a corrected clock or fresh credentials", function()
        assert.equal(0, retry.delay("sqs", "clock", 2, -1, 1))
        assert.equal(0, retry.delay("sqs", "credentials", 2, 9000, 1))
    end)

    it("stays between its bounds (property)", function()
        math.randomseed(7)
        for _ = 1, 20000 do
            local attempt, r = math.random(2, 40), math.random()
            local after = math.random() < 0.5 and math.random(0, 60000) or -1
            local t = r * math.min(50 * 2.0 ^ (attempt - 2), 20000)
            local got = retry.delay("sqs", "transient", attempt, after, r)
            assert.is_true(got >= t - 0.5 and got <= t + 5000.5)
            if after < 0 then assert.is_true(math.abs(got - t) <= 0.5) end
            if after >= t and after <= t + 5000 then assert.equal(after, got) end
        end
    end)
end)

describe("the headers that ask to wait", function()
    it("x-amz-retry-after in ms, with any status", function()
        assert.equal(1500, retry.after("1500", nil, 500, 0))
        assert.equal(0, retry.after("0", nil, 400, 0))
    end)

    it("nonsense and negative values are ignored", function()
        for _, v in ipairs{"", "-1", "soon", "1.5", "1e3", "99999999999999999999", "5 "} do
            assert.equal(-1, retry.after(v, nil, 500, 0), v)
        end
    end)

    it("Retry-After in seconds or as a date counts with 429 and 503 only", function()
        assert.equal(7000, retry.after(nil, "7", 503, 0))
        assert.equal(7000, retry.after(nil, "7", 429, 0))
        assert.equal(-1, retry.after(nil, "7", 500, 0))
        assert.equal(-1, retry.after(nil, "-7", 503, 0))
        assert.equal(-1, retry.after(nil, tostring(math.maxinteger), 503, 0))
        local date, ms = "Sun, 22 Nov 2026 04:55:46 GMT", 1795323346000
        assert.equal(5000, retry.after(nil, date, 503, ms - 5000))
        assert.equal(-1, retry.after(nil, date, 503, ms + 5000))
        assert.equal(100, retry.after("100", "7", 503, 0))
    end)
end)

it("a call is tried 3 times, DynamoDB's 4 times, or as configured", function()
    assert.equal(3, retry.max_attempts("sqs", 0))
    assert.equal(4, retry.max_attempts("dynamodb", 0))
    assert.equal(2, retry.max_attempts("dynamodb", 2))
    assert.equal(1, retry.max_attempts("s3", 1))
end)

describe("the quota", function()
    it("holds 500 tokens: 35 retries, or 100 after throttling", function()
        local q = retry.quota("standard", 0)
        assert.equal(500, q:tokens())
        for _ = 1, 35 do assert.equal(14, q:take("transient")) end
        assert.equal(10, q:tokens())
        assert.is_nil(q:take("transient"))
        assert.equal(5, q:take("throttling"))
        assert.equal(5, q:take("throttling"))
        assert.is_nil(q:take("throttling"))
        assert.equal(0, q:tokens())
    end)

    it("gets back what the last retry took, or 1, and never holds more", function()
        local q = retry.quota("standard", 0)
        q:succeeded(0)
        assert.equal(500, q:tokens())
        q:take("transient")
        q:take("transient")
        q:succeeded(14)
        assert.equal(486, q:tokens())
        q:succeeded(0)
        assert.equal(487, q:tokens())
        q:succeeded(14)
        assert.equal(500, q:tokens())
    end)

    it("equals a plain counter under random use (property)", function()
        math.randomseed(11)
        local q, have = retry.quota("standard", 0), 500
        for _ = 1, 20000 do
            if math.random() < 0.5 then
                local class = math.random() < 0.5 and "transient" or "throttling"
                local cost = class == "transient" and 14 or 5
                assert.equal(have >= cost and cost or nil, q:take(class))
                if have >= cost then have = have - cost end
            else
                local back = math.random() < 0.5 and 0 or 14
                q:succeeded(back)
                have = math.min(500, have + (back == 0 and 1 or back))
            end
            assert.equal(have, q:tokens())
        end
    end)
end)

describe("adaptive mode", function()
    it("standard mode never waits", function()
        local q = retry.quota("standard", 0)
        for i = 1, 100 do q:sent(true, i) end
        assert.equal(0, q:wait(100))
        assert.equal(0, q:rate())
    end)

    it("does not limit before the first throttling", function()
        local q = retry.quota("adaptive", 1000000)
        for i = 1, 1000 do
            assert.equal(0, q:wait(1000000 + i))
            q:sent(false, 1000000 + i)
        end
        assert.equal(0, q:rate())
    end)

    it("follows botocore's rates", function()
        local q, now = retry.quota("adaptive", 1000000), 1000000
        local steps = { -- ms later, throttled, sends a second afterwards
            {200, false, 0}, {200, false, 0}, {200, false, 0}, {200, true, 3.36}, {100, true, 2.352},
            {400, false, 3.0052}, {300, false, 3.244573}, {300, false, 3.34121}, {500, true, 2.338847},
            {250, false, 2.796701}, {250, false, 3.088314}, {250, false, 3.251185}, {1000, false, 3.068006},
            {1000, false, 2.213601}, {2000, false, 1.24272}, {3000, false, 0.781877},
        }
        for i, s in ipairs(steps) do
            now = now + s[1]
            q:sent(s[2], now)
            assert.is_true(math.abs(q:rate() - s[3]) < 1e-6, ("step %d: %.6f, not %.6f"):format(i, q:rate(), s[3]))
        end
    end)

    it("lets through what the bucket holds and tells when the next token is there", function()
        local q = retry.quota("adaptive", 1000000)
        for _, at in ipairs{200, 400, 600} do q:sent(false, 1000000 + at) end
        q:sent(true, 1000800) -- 3.36 a second, 0.5 tokens
        assert.equal(149, q:wait(1000800)) -- ceil(0.5 / 3.36)
        assert.equal(1, q:wait(1000948))
        assert.equal(0, q:wait(1000949))
        assert.equal(298, q:wait(1000949)) -- ceil(0.99936 / 3.36)
    end)

    it("a time that goes back adds no tokens", function()
        local q = retry.quota("adaptive", 1000000)
        for _, at in ipairs{200, 400, 600} do q:sent(false, 1000000 + at) end
        q:sent(true, 1000800)
        local wait = q:wait(1000800)
        for _ = 1, 50 do
            q:wait(1000000)
            assert.equal(wait, q:wait(1000800))
        end
    end)

    it("never sinks below one send in two seconds, and never waits longer than a second unasked", function()
        local q, now = retry.quota("adaptive", 1000000), 1000000
        for _ = 1, 50 do
            now = now + 5000
            q:sent(true, now)
        end
        assert.equal(0.5, q:rate())
        assert.equal(0, q:wait(now))
        assert.equal(1000, q:wait(now))
    end)

    it("lets no more through than the rate allows (property)", function()
        math.randomseed(3)
        for _ = 1, 50 do
            local q, now, sent = retry.quota("adaptive", 0), 0, 0
            for _ = 1, 10 do
                now = now + 100
                q:sent(false, now)
            end
            q:sent(true, now)
            local rate, begin = q:rate(), now
            while now < begin + 20000 do
                local wait = q:wait(now)
                if wait == 0 then sent = sent + 1 end
                now = now + (wait == 0 and math.random(0, 20) or wait)
            end
            local most = rate * (now - begin) / 1000 + math.max(rate, 1)
            assert.is_true(sent <= most + 1e-6 and sent >= most * 0.5)
        end
    end)
end)
