--- Opens the client on a scripted server: what the specs of whole calls share. Takes the spec's environment.
local remote = require "t.remote"

return function(_ENV)
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

    return {serve = serve, ok = ok, object = object, refuse = refuse, get_item = get_item, verified = verified, metric = metric, temporary = temporary, read = read, EMPTY_ITEM = EMPTY_ITEM}
end
