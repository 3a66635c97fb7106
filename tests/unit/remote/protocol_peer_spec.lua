-- Requests and answers held against botocore's serializers and parsers (tests/peers/protocol_diff.py).
local t = require "t.protocol"
local json = require "dkjson"

local function exists(path)
    local f = path and io.open(path)
    if f then f:close() end
    return f ~= nil
end

local python = os.getenv "PERIGEE_PEERS_PYTHON"
if not python then python = exists "build/peers/venv/bin/python" and "build/peers/venv/bin/python" or "python3" end

local function run(arguments)
    local pipe = assert(io.popen(("%s tests/peers/protocol_diff.py %s 2>&1"):format(python, arguments)))
    local lines = {}
    for line in pipe:lines() do lines[#lines + 1] = line end
    assert(pipe:close(), table.concat(lines, "\n"))
    return lines
end

local has_botocore = os.execute(python .. " -c 'import botocore' 2>/dev/null") == true
local function compare(name, fn)
    if has_botocore then it(name, fn) else pending(name .. ": needs botocore, see tests/peers/README.md") end
end

local function hex(s) return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end
local function unhex(s) return (s:gsub("..", function(h) return string.char(tonumber(h, 16)) end)) end

describe("requests", function()
    compare("are those that botocore serializes, for random parameters of every operation", function()
        local seed, n = 20261122, tonumber(os.getenv "PERIGEE_PEERS_CASES" or 800)
        local path = os.tmpname()
        local out = assert(io.open(path, "w"))
        for _, line in ipairs(run(("cases %d %d"):format(seed, n))) do
            local case = json.decode(line)
            local r, err = t.encode { service = case.service, action = case.action, params = case.params, body = unhex(case.body) }
            out:write(json.encode(r and {
                method = r.method, path = r.path, query = r.query, bucket = r.bucket, headers = setmetatable(r.headers, { __jsontype = "object" }),
                body = hex(r.body),
            } or { error = err.message }), "\n")
        end
        out:close()
        local lines = run(("requests %d %d %s"):format(seed, n, path))
        os.remove(path)
        assert.equal(("%d requests, 0 differ"):format(n), table.concat(lines, "\n"))
    end)

    compare("of S3 refuse members of its models that are not sent", function()
        local lines = run "unknown"
        assert.is_true(#lines > 10)
        for _, line in ipairs(lines) do
            local case = json.decode(line)
            local r, err = t.encode { service = "s3", action = case.action, params = json.encode { Bucket = "b", Key = "k", [case.member] = "x" } }
            assert.is_nil(r, line)
            assert.equal("InvalidArgument", err.name)
        end
    end)
end)

-- Where ours differs from botocore, and why.
local function explained(case)
    -- SQS: the names of the JSON protocol, as the engine has them; the query protocol's name is in the result.
    if case.service == "sqs" then return case.error.QueryErrorCode end
    -- In JSON 1.0 and 1.1 botocore looks at __type only; Smithy's rules also name x-amzn-errortype and code.
    if case.service == "dynamodb" and case.error.Code == "400" then return case.headers["x-amzn-ErrorType"] and "ThrottlingException" or "Name" end
    return case.error.Code
end

local function adapted(case, ours)
    local result = json.decode(ours.result)
    for _, name in ipairs { "ChecksumCRC32", "ChecksumType" } do -- shown to who asks for them
        if case.action == "GetObject" or case.action == "HeadObject" then case.result[name] = nil end
    end
    -- Ours asked for encoded keys, as the caller had not, and has decoded them.
    if case.action == "ListObjectsV2" then case.result.EncodingType = nil end
    return result
end

describe("answers", function()
    compare("are read as botocore reads them", function()
        local lines = run "answers"
        assert.is_true(#lines > 25)
        for _, line in ipairs(lines) do
            local case = json.decode(line)
            local ours = t.decode { service = case.service, action = case.action, status = case.status, headers = case.headers, answer = case.answer }
            assert.equal(case.request_id, ours.request_id, line)
            assert.equal(case.host_id, ours.extended_id, line)
            if case.error then
                assert.is_truthy(ours.err, line)
                assert.equal(explained(case), ours.err.name, line)
                assert.equal(case.error.Message, ours.err.message, line)
                assert.equal(case.status, ours.err.status, line)
            else
                assert.is_nil(ours.err, line .. (ours.err and ours.err.message or ""))
                assert.same(case.result, adapted(case, ours), line)
            end
        end
    end)
end)

describe("endpoints", function()
    compare("are where botocore goes by the services' rules", function()
        local lines = run "endpoints"
        assert.is_true(#lines > 700)
        for _, line in ipairs(lines) do
            local case = json.decode(line)
            local commercial = not case.region:find "^cn%-" and not case.region:find "iso" and not case.region:find "^eusc"
            local ours = t.endpoint { service = case.service, region = case.region, fips = case.fips, dualstack = case.dualstack,
                bucket = case.service == "s3" and "bkt" or nil }
            -- Elsewhere ours wants IAM's FIPS and dual-stack endpoints to be given: whether those names are there is nowhere said.
            local unknown = case.service == "iam" and not commercial and (case.fips or case.dualstack)
            if unknown then case.url = "" end
            assert.equal(case.url, ours and ours.base .. ours.path or "", line)
            if ours and case.service ~= "iam" then assert.equal(case.signing, ours.region, line) end
            if ours and case.service == "iam" and commercial then assert.equal(case.signing, ours.region, line) end
        end
    end)
end)
