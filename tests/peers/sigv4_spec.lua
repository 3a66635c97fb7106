-- Random requests signed by botocore (tests/peers/sigv4_diff.py) and by us: every stage the same. PERIGEE_PEERS_PYTHON names
-- a Python that has botocore (else build/peers/venv/bin/python, else python3), PERIGEE_SIGV4_CASES how many requests,
-- PERIGEE_SIGV4_SEED which.
local crypto = require "perigee.crypto"
local json = require "perigee.json"
local sigv4 = require "perigee.sigv4"

local CASES = math.tointeger(tonumber(os.getenv "PERIGEE_SIGV4_CASES" or "2000"))
local SEED = math.tointeger(tonumber(os.getenv "PERIGEE_SIGV4_SEED" or "1"))

local function has_botocore(python)
    return python and os.execute(("'%s' -c 'import botocore' 2>/dev/null"):format(python)) == true
end

local function find_python()
    local asked = os.getenv "PERIGEE_PEERS_PYTHON"
    if asked and asked ~= "" then return assert(has_botocore(asked) and asked, "PERIGEE_PEERS_PYTHON has no botocore") end
    for _, python in ipairs { "build/peers/venv/bin/python", "python3" } do
        if has_botocore(python) then return python end
    end
end

local function value(v) if v ~= json.null then return v end end

local function request_of(case)
    local headers, body = {}, crypto.unbase64(case.body)
    for _, h in ipairs(case.headers) do headers[h[1]] = #h[2] == 1 and h[2][1] or h[2] end
    return {
        method = case.method, url = case.url, headers = headers, body = body ~= "" and body or nil, service = case.service,
        region = case.region, date = case.date, normalize = value(case.normalize), expires = value(case.expires),
        credentials = { access_key_id = case.access_key_id, secret_access_key = case.secret_access_key,
                        session_token = value(case.session_token) },
    }
end

local function check(case, line)
    local request = request_of(case)
    local signed
    if case.mode == "header" then
        signed = sigv4.sign(request)
        if signed.authorization == case.result and signed.canonical_request == case.canonical_request then return end
    else
        signed = sigv4.presign(request)
        if signed.signature == case.result:match "X%-Amz%-Signature=(%x+)$" and
            signed.canonical_request == case.canonical_request and signed.string_to_sign == case.string_to_sign then
            return
        end
    end
    assert.equal(case.canonical_request, signed.canonical_request, line)
    assert.equal(case.string_to_sign, signed.string_to_sign, line)
    error("another signature: " .. line)
end

-- What was signed must also verify, but for what a server could not see: another path rule, links that name another payload.
local function check_verify(case)
    local request = request_of(case)
    local body, normalize = request.body, request.normalize
    local signed = case.mode == "header" and sigv4.sign(request)
    local who, err = sigv4.verify {
        method = case.method, url = signed and case.url or sigv4.presign(request).url, body = body, date = case.date,
        headers = signed and signed.headers or request.headers, credentials = request.credentials, normalize = normalize,
    }
    assert.truthy(who, tostring(err) .. "\n" .. case.url)
end

describe("sigv4 and botocore", function()
    local python = find_python()
    local title = ("sign %d random requests alike, in headers and in links"):format(CASES)
    if not python then
        pending(title .. ": no Python with botocore (python3 -m venv build/peers/venv; build/peers/venv/bin/pip install botocore)")
        return
    end
    it(title, function()
        local pipe <close> = assert(io.popen(("'%s' tests/peers/sigv4_diff.py %d %d"):format(python, CASES, SEED)))
        local n, links = 0, 0
        for line in pipe:lines() do
            local case = assert(json.decode(line))
            check(case, line)
            check_verify(case)
            n = n + 1
            links = links + (case.mode == "link" and 1 or 0)
        end
        assert.equal(CASES, n)
        assert.is_true(CASES < 100 or links > CASES // 4 and links < CASES // 2)
    end)
end)
