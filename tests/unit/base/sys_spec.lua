local t = require "t.base"

describe("err", function()
    it("is set, wrapped, and may quote itself", function()
        local wrapped, sys, again, none = t.err()
        assert.equal("serve: bad port", wrapped)
        assert.equal("cannot open f: No such file or directory", sys)
        assert.equal("again: cannot open f: No such file or directory", again)
        assert.equal(-6, none)
    end)

    it("is text, whatever bytes it quotes and wherever it is cut", function()
        assert.equal("a?b??\u{e9}??", t.err_quote("a\xffb\xf0\x9f\u{e9}\xe2\x82"))
        assert.equal("\u{65e5}\u{672c}", t.err_quote("\u{65e5}\u{672c}"))
        for pad = 1018, 1024 do assert.truthy(utf8.len(t.err_quote(("x"):rep(pad) .. "\u{1f600}"))) end
    end)

    it("gives every code a name and a possible HTTP status", function()
        local codes = t.err_codes()
        assert.is_true(#codes > 40)
        for _, c in ipairs(codes) do
            assert.matches("^%w+$", c[1])
            assert.is_true(c[2] >= 300 and c[2] < 600, c[1])
        end
    end)

    it("aborts with a sentence when it is fatal", function()
        local signal, out = t.fatal()
        assert.equal(6, signal)
        assert.equal("perigee: fatal: broken 7\n", out)
    end)
end)

describe("arena", function()
    it("runs clean-ups once, last registered first", function()
        assert.equal("321", t.arena_defers())
    end)
    it("hands out aligned pieces of any size that do not overlap", function()
        assert.is_true(t.arena_blocks())
    end)
end)

describe("list", function()
    it("keeps order and survives a second removal", function()
        assert.is_true(t.list())
    end)
end)

describe("map", function()
    it("does what a Lua table does, in insertion order", function()
        math.randomseed(20261122)
        local m, oracle, order = t.map(), {}, {}
        local function forget(key)
            for i, k in ipairs(order) do if k == key then return table.remove(order, i) end end
        end
        for i = 1, 20000 do
            local key, roll = "k" .. math.random(1, i % 3000 + 1), math.random()
            if roll < 0.55 then
                assert.equal(oracle[key], m:put(key, i))
                if not oracle[key] then order[#order + 1] = key end
                oracle[key] = i
            elseif roll < 0.85 then
                assert.equal(oracle[key], m:del(key))
                if oracle[key] then forget(key) end
                oracle[key] = nil
            else
                assert.equal(oracle[key], m:get(key))
            end
        end
        local keys, live = m:keys()
        assert.same(order, keys)
        assert.equal(#order, live)
        for _, k in ipairs(order) do assert.equal(oracle[k], m:get(k)) end
    end)

    it("takes the empty key and keys with NUL", function()
        local m = t.map()
        assert.is_nil(m:get "")
        assert.is_nil(m:del "")
        m:put("", 1)
        m:put("a\0b", 2)
        m:put("a\0c", 3)
        assert.same({ 1, 2, 3 }, { m:get "", m:get "a\0b", m:get "a\0c" })
    end)
end)

describe("now", function()
    it("writes the three formats", function()
        assert.same({ "2026-11-22T04:55:46.123Z", "20261122T045546Z", "Sun, 22 Nov 2026 04:55:46 GMT" },
            { t.now_format(1795323346123) })
        assert.same({ "1969-12-31T23:59:59.999Z", "19691231T235959Z", "Wed, 31 Dec 1969 23:59:59 GMT" }, { t.now_format(-1) })
        assert.equal("9999-12-31T23:59:59", t.now_format(math.maxinteger):sub(1, 19))
        assert.equal("0000-01-01T00:00:00", t.now_format(math.mininteger):sub(1, 19))
        for ms, iso in pairs { [-62162121600001] = "0000-02-28T23:59:59.999Z", [-62162121600000] = "0000-02-29T00:00:00.000Z",
                               [-62162035200000] = "0000-03-01T00:00:00.000Z", [951782400000] = "2000-02-29T00:00:00.000Z",
                               [4107542399999] = "2100-02-28T23:59:59.999Z", [4107542400000] = "2100-03-01T00:00:00.000Z" } do
            assert.equal(iso, (t.now_format(ms)))
        end
        for day = -719528, 2932896, 97 do -- against timegm, over all years
            assert.equal(day * 86400000, t.now_parse("amz", (select(2, t.now_format(day * 86400000)))))
        end
    end)

    it("reads back what it writes, leap days too", function()
        for _, ms in ipairs { 0, 951782400000, 1709164799000, 1795323346000, 4102444800000 } do
            local iso, amz, http = t.now_format(ms)
            assert.same({ ms, ms, ms }, { t.now_parse("iso", iso), t.now_parse("amz", amz), t.now_parse("http", http) })
        end
    end)

    it("reads RFC 3339 with offsets and fractions", function()
        assert.equal(1795323346123, t.now_parse("iso", "2026-11-22T06:55:46.1239+02:00"))
        assert.equal(1795323346500, t.now_parse("iso", "2026-11-21t23:25:46.5-05:30"))
        assert.equal(1795323346000, t.now_parse("iso", "2026-11-22 04:55:46z"))
    end)

    it("refuses dates that do not exist and anything else", function()
        for _, s in ipairs {
            "", "2026-11-22", "2026-11-22T04:55:46", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
            "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0200", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00Zx", "2026-1-1T00:00:00Z",
        } do
            assert.is_nil(t.now_parse("iso", s), s)
        end
        for _, s in ipairs { "", "20261122T045546", "20261122T045546Zx", "20260230T000000Z", "20261122 045546Z" } do
            assert.is_nil(t.now_parse("amz", s), s)
        end
        for _, s in ipairs { "Xxx, 22 Nov 2026 04:55:46 GMT", "Sun, 22 Nov 2026 04:55:46", "Sun, 31 Nov 2026 04:55:46 GMT" } do
            assert.is_nil(t.now_parse("http", s), s)
        end
    end)

    it("can be moved and frozen", function()
        assert.same({ true, 1000005, true }, { t.clock() })
    end)
end)

describe("log", function()
    local cjson = require "cjson.safe"

    it("writes each event as one JSON line", function()
        local level, line = t.log('say "hi"\n', "tab\tand é", "debug"):match "^(%d) (.*)$"
        assert.equal("1", level)
        assert.is_nil(line:find "\n")
        local v = assert(cjson.decode(line))
        assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", v.time)
        assert.same({ "info", 'say "hi"\n', "tab\tand é", "tab\tand é", 0.5, "nan", "inf", true },
            { v.level, v.msg, v.text, v.view, v.f, v.nan and "nan", v.inf, v.b })
        assert.is_nil(v["left out"])
        assert.matches('"d1":1.05,"d2":12.003,"d3":0,"d4":1e+15,"d5":-2.5,"d6":0.0001}', line, 1, true)
        assert.matches('"i":-9223372036854775808,"u":18446744073709551615', line, 1, true)
    end)

    it("stays JSON whatever the bytes", function()
        local bytes = {}
        for i = 1, 255 do bytes[i] = string.char(i) end
        local line = t.log("m\xff", table.concat(bytes), "info"):sub(3)
        assert.equal(-1, t.bad_utf8(line))
        local v = assert(cjson.decode(line))
        assert.equal("m\u{fffd}", v.msg)
        assert.equal(table.concat(bytes, "", 1, 127) .. ("\u{fffd}"):rep(128), v.text)
    end)

    it("cuts long values visibly", function()
        local v = assert(cjson.decode((t.log("m", ("é"):rep(100000), "info"):sub(3))))
        assert.is_true(#v.text < 40000)
        assert.equal("...", v.text:sub(-3))
    end)

    it("keeps to its level", function()
        assert.not_equal("", t.log("m", "x", "INFO"))
        assert.equal("", t.log("m", "x", "warn"))
        assert.equal("", t.log("m", "x", "off"))
        assert.has_error(function() t.log("m", "x", "loud") end)
    end)

    it("writes lines as Lambda wants them in JSON", function()
        local own, plain, lines = t.log_lambda("JSON", "INFO", "two\nlines")
        local v = assert(cjson.decode((lines:sub(3))))
        assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", v.timestamp)
        assert.same({ "WARN", "two\nlines", "r-1", "HandlerError", "it broke", "o", 7 },
            { v.level, v.message, v.requestId, v.errorType, v.errorMessage, v.other, v.n })
        assert.same({ "it broke", "stack traceback:", "\th.lua:1:" }, v.stackTrace)
        assert.same({ true, false }, { own, plain })
    end)

    it("writes lines as Lambda wants them in text", function()
        local _, _, lines = t.log_lambda("Text", "DEBUG", "two\nlines")
        local warning, debug_line = lines:match "^2 (.*)0 (.*)$"
        local time, id, level, rest = warning:match "^(%S+)\t(.-)\t(%u+)\t(.*)$"
        assert.matches("^%d%d%d%d%-%d%d%-%d%dT", time)
        assert.same({ "r-1", "WARN" }, { id, level })
        assert.equal('two\rlines {"errorType":"HandlerError","errorMessage":"it broke","stackTrace":["it broke",' ..
            '"stack traceback:","\\th.lua:1:"],"other":"o","n":7}', rest)
        assert.matches("^%S+\t\tDEBUG\tdeep$", debug_line)
    end)

    it("keeps to Lambda's levels, and stays as it is when Lambda says nothing", function()
        for level, n in pairs { TRACE = 2, DEBUG = 2, INFO = 1, WARN = 1, ERROR = 0, FATAL = 0, nonsense = 1 } do
            local _, _, lines = t.log_lambda("JSON", level, "m")
            assert.equal(n, select(2, lines:gsub('"timestamp"', "")), level)
        end
        local own, plain, lines = t.log_lambda(nil, nil, "m")
        assert.same({ false, true }, { own, plain })
        assert.matches('"level":"warn","msg":"m","request_id":"r-1"', lines, 1, true)
    end)

    it("writes whole lines to its descriptor", function()
        local first, second, rest = t.log_fd():match "^([^\n]*)\n([^\n]*)\n(.*)$"
        assert.same({ "first", "second", 2, "" },
            { cjson.decode(first).msg, cjson.decode(second).msg, cjson.decode(second).n, rest })
    end)

    it("lets a caller write members itself, and says when they were too long", function()
        assert.same({ 1, 2 }, cjson.decode((t.log_own("m", 1000):sub(3))).own)
        local v = cjson.decode((t.log_own("m", 65):sub(3)))
        assert.same({ "a log line was too long and was dropped", 65 }, { v.msg, v.limit })
    end)
end)

describe("http", function()
    it("takes headers that are well-formed", function()
        assert.equal("X-First: 1\nX-A: b c\n", t.http_set("X-A", "b c"))
        assert.equal("X-First: 1\nX!#$%&'*+-.^_`|~9: é\n", t.http_set("X!#$%&'*+-.^_`|~9", "é"))
        assert.equal("X-First: 1\nX-Empty: \n", t.http_set("X-Empty", ""))
    end)

    it("refuses values that could split the message and leaves the head as it was", function()
        for _, v in ipairs { "a\r\nSet-Cookie: x", "a\n", "\r", "a\0b" } do
            local head, message = t.http_set("X-A", v)
            assert.equal("X-First: 1\n", head)
            assert.matches("header X-A holds", message, 1, true)
        end
    end)

    it("refuses names that are no token", function()
        for _, n in ipairs { "", "a b", "a:", "a\r\n", "a\0", "é", "(x)" } do
            assert.matches("is no header name", select(2, t.http_set(n, "v")), 1, true)
        end
    end)

    it("refuses a head without end, leaving it whole", function()
        local head, message = t.http_set("X-A", ("x"):rep(70000))
        assert.equal("X-First: 1\n", head)
        assert.matches("larger than 65536 bytes", message, 1, true)
    end)

    it("says errors in JSON", function()
        assert.same({ 404, '{"error":{"code":"not_found","message":"no \\"x\\"\\n"}}', "Content-Type: application/json; charset=utf-8\n", "Not Found" },
            { t.http_error(404, "not_found", 'no "x"\n') })
    end)

    it("finds the first header whatever its case", function()
        assert.equal("1", t.http_header "X-TWO")
        assert.is_nil(t.http_header "X-Three")
    end)
end)

describe("policy", function()
    it("matches as IAM does", function()
        for _, c in ipairs {
            { "*", "" }, { "*", "anything" }, { "a*", "a" }, { "a*c", "abc" }, { "a*c", "ac" }, { "a?c", "abc" }, { "a*b*c", "aXbYbZc" },
            { "*a*a*", "xaya" }, { "", "" }, { "a/*", "a/b/c" },
        } do
            assert.is_true(t.policy_match(c[1], c[2]), c[1] .. " " .. c[2])
        end
        for _, c in ipairs { { "", "a" }, { "?", "" }, { "a", "A" }, { "a*c", "abcd" }, { "a?c", "ac" }, { "*a", "ab" }, { "a.c", "abc" } } do
            assert.is_false(t.policy_match(c[1], c[2]), c[1] .. " " .. c[2])
        end
        assert.is_true(t.policy_match("S3:get*", "s3:GetObject", true))
    end)

    it("does not take exponential time", function()
        assert.is_false(t.policy_match(("a*"):rep(50) .. "b", ("a"):rep(2000)))
    end)

    it("allows what a statement allows, and a deny wins", function()
        local orders, index = "arn:aws:dynamodb:us-east-1:000000000000:table/Orders", "arn:aws:dynamodb:us-east-1:0:table/Orders/index/by_user"
        assert.is_true(t.policy("dynamodb:PutItem", orders))
        assert.is_true(t.policy("DynamoDB:getitem", index))
        assert.is_false(t.policy("dynamodb:DeleteItem", orders))
        assert.is_false(t.policy("dynamodb:PutItem", orders .. "2"))
        assert.is_false(t.policy("sqs:SendMessage", orders))
        assert.is_true(t.policy("s3:DeleteObject", "arn:aws:s3:::b/secret/x"))
        assert.is_false(t.policy("s3:DeleteObject", "arn:aws:s3:::b/secret/x", true))
        assert.is_true(t.policy("s3:GetObject", "arn:aws:s3:::b/secret/x", true))
        assert.is_true(t.policy("sqs:SendMessage", "x", true, true))
    end)

    it("takes what a statement leaves out", function()
        local plain, secret = "arn:aws:s3:::b/x", "arn:aws:s3:::b/secret/x"
        local cases = { { "s3:GetObject", plain, true }, { "s3:DeleteObject", plain, false }, { "s3:GetObject", secret, false } }
        for _, c in ipairs(cases) do
            assert.equal(c[3], t.policy_not(c[1], c[2], false), c[1] .. " " .. c[2])
            assert.equal(not c[3], t.policy_not(c[1], c[2], true), "denied: " .. c[1] .. " " .. c[2])
        end
    end)
end)

describe("metric", function()
    it("adds the tables up in Prometheus text", function()
        local text = t.metrics()
        assert.matches("\nperigee_http_requests_total 7\n", text, 1, true)
        assert.matches("# TYPE perigee_jobs_total counter\nperigee_jobs_total 0\n", text, 1, true)
        assert.matches('bucket{le="0.00025"} 1\n', text, 1, true)
        assert.matches('bucket{le="0.0005"} 2\n', text, 1, true)
        assert.matches('bucket{le="4.096"} 2\n', text, 1, true)
        assert.matches('bucket{le="+Inf"} 3\n', text, 1, true)
        assert.matches("seconds_count 3\n", text, 1, true)
        assert.matches("seconds_sum 3600.000500001\n", text, 1, true)
        for line in text:gmatch "[^\n]+" do
            assert.is_true(line:find "^# [HT][EY][LP][PE] " ~= nil or line:find "^[%w_]+[^ ]* [%d.]+$" ~= nil, line)
        end
    end)
end)

describe("fs", function()
    local dir
    before_each(function()
        dir = os.tmpname()
        os.remove(dir)
        assert(t.fs_mkdirs(dir .. "/a/b/"))
    end)
    after_each(function() assert(t.fs_remove_tree(dir)) end)

    it("writes whole files and leaves nothing else behind", function()
        local data = ("x\0y"):rep(50000)
        assert(t.fs_write(dir .. "/a/f", "old"))
        assert(t.fs_write(dir .. "/a/f", data))
        assert.equal(data, t.fs_read(dir .. "/a/f"))
        assert.same({ "a/f" }, t.fs_list(dir, ""))
    end)

    it("leaves the old file when the new one cannot be written", function()
        local ok, message = t.fs_write(dir .. "/missing/f", "x")
        assert.is_nil(ok)
        assert.matches("cannot create " .. dir .. "/missing/f", message, 1, true)
        ok, message = t.fs_write(dir .. "/a", "x")
        assert.is_nil(ok)
        assert.matches("cannot rename", message, 1, true)
        assert.same({}, t.fs_list(dir, ""))
    end)

    it("reads no more than the cap", function()
        assert(t.fs_write(dir .. "/f", "12345"))
        assert.equal("12345", t.fs_read(dir .. "/f", 5))
        assert.same({ nil, dir .. "/f is larger than 4 bytes", "RequestEntityTooLarge" }, { t.fs_read(dir .. "/f", 4) })
        assert.matches("cannot open .*No such file", select(2, t.fs_read(dir .. "/none")))
        assert.matches("cannot read .*Is a directory", select(2, t.fs_read(dir)))
    end)

    it("lists directories, also empty ones", function()
        assert(os.execute(("mkdir -p %s/b %s/a/b %s/a/empty"):format(dir, dir, dir)))
        assert(t.fs_write(dir .. "/a/file", ""))
        assert.same({ "a", "a/b", "a/empty", "b" }, t.fs_list_dirs(dir))
        assert.same({}, t.fs_list_dirs(dir .. "/none"))
    end)

    it("lists by suffix, sorted, below directories", function()
        for _, f in ipairs { "b.lua", "a.lua", "a/z.lua", "a/b/c.lua", "a/x.txt" } do assert(t.fs_write(dir .. "/" .. f, "")) end
        assert.same({ "a.lua", "a/b/c.lua", "a/z.lua", "b.lua" }, t.fs_list(dir, ".lua"))
        assert.same({}, t.fs_list(dir .. "/none", ".lua"))
        assert.matches("cannot list", select(2, t.fs_list(dir .. "/a.lua", "")), 1, true)
    end)

    it("removes trees without following links", function()
        assert(t.fs_write(dir .. "/a/keep", "kept"))
        assert(os.execute(("mkdir %s/t && ln -s ../a %s/t/link"):format(dir, dir)))
        assert(t.fs_remove_tree(dir .. "/t"))
        assert.equal("kept", t.fs_read(dir .. "/a/keep"))
        assert(t.fs_remove_tree(dir .. "/t"))
    end)

    it("says what stands in the way of a directory", function()
        assert(t.fs_write(dir .. "/f", ""))
        assert.matches("cannot create directory " .. dir .. "/f", select(2, t.fs_mkdirs(dir .. "/f/g")), 1, true)
        assert.is_true(t.fs_mkdirs(dir .. "/a/b"))
        assert.same({ true, false }, { t.fs_kind(dir .. "/a") })
        assert.same({ false, true }, { t.fs_kind(dir .. "/f") })
        assert.same({ false, false }, { t.fs_kind(dir .. "/none") })
    end)

    it("joins and splits paths", function()
        assert.same({ "a/b", "a/b", "/b", "b", "a" },
            { t.fs_join("a", "b"), t.fs_join("a/", "b"), t.fs_join("a", "/b"), t.fs_join("", "b"), t.fs_join("a", "") })
        for path, parent in pairs { ["a/b"] = "a", ["a"] = ".", ["/a"] = "/", ["/"] = "/", ["a//b/"] = "a", [""] = ".", ["/a/b/"] = "/a" } do
            assert.equal(parent, t.fs_dirname(path), path)
        end
    end)
end)

describe("conf", function()
    local function unset()
        for _, name in ipairs { "HOST", "CLOUD_PORT", "RELOAD", "MEMORY" } do t.setenv("PERIGEE_" .. name, nil) end
    end
    before_each(unset)
    after_each(unset)

    it("keeps defaults", function()
        assert.same({ host = "127.0.0.1", cloud_port = 4566, reload = true, memory = false }, (t.conf {}))
    end)

    it("takes flags in each spelling", function()
        assert.same({ host = "", cloud_port = 0, reload = false, memory = true },
            (t.conf { "--cloud-port", "0", "--host=", "--no-reload", "--memory" }))
        assert.same({ host = "-x", cloud_port = 7, reload = true, memory = false },
            (t.conf { "--cloud-port=7", "--host", "-x", "--reload=yes", "--memory=false" }))
    end)

    it("takes variables, and flags win", function()
        t.setenv("PERIGEE_CLOUD_PORT", "5000")
        t.setenv("PERIGEE_HOST", "::1")
        t.setenv("PERIGEE_MEMORY", "1")
        t.setenv("PERIGEE_RELOAD", "Off")
        assert.same({ host = "::1", cloud_port = 5000, reload = false, memory = true }, (t.conf {}))
        assert.equal(6000, t.conf({ "--cloud-port", "6000" }).cloud_port)
        t.setenv("PERIGEE_CLOUD_PORT", "")
        assert.equal(4566, t.conf({}).cloud_port)
    end)

    it("leaves the first positional argument and all behind it alone", function()
        local set, _, first, second, third = t.conf { "--no-reload", "script.lua", "--memory", "--help" }
        assert.same({ "script.lua", "--memory", "--help" }, { first, second, third })
        assert.is_false(set.reload)
        assert.is_nil(set.memory or nil)
        assert.same({ "-", "--" }, { select(3, t.conf { "-", "--" }) })
        assert.same({ "--memory" }, { select(3, t.conf { "--", "--memory" }) })
    end)

    it("takes options behind operands where they may be mixed", function()
        local set, help, first, second = t.conf({ "Function", "--no-reload", "-", "--cloud-port", "7" }, true)
        assert.same({ false, 7, false }, { set.reload, set.cloud_port, help })
        assert.same({ "Function", "-" }, { first, second })
        assert.same({ "a", "--memory" }, { select(3, t.conf({ "a", "--", "--memory" }, true)) })
        assert.is_true(select(2, t.conf({ "a", "--help" }, true)))
        assert.same({ nil, "unknown option --prot", "ConfigurationError" }, { t.conf({ "a", "--prot" }, true) })
    end)

    it("gathers a list, up to its end", function()
        assert.same({ "a: 1", "b: 2" }, { table.unpack((t.conf { "--header", "a: 1", "--header=b: 2" })) })
        local args = {}
        for i = 1, 65 do args[i] = "--header=x" end
        assert.same({ nil, "--header is given more than 64 times", "ConfigurationError" }, { t.conf(args) })
    end)

    it("reads no variable of what is a flag only", function()
        t.setenv("PERIGEE_EVENT", "x")
        t.setenv("PERIGEE_HEADER", "x")
        assert.same({ nil, 0 }, { t.conf({}).event, #t.conf {} })
        assert.equal("e", t.conf({ "--event", "e" }).event)
        t.setenv("PERIGEE_EVENT", nil)
        t.setenv("PERIGEE_HEADER", nil)
        assert.matches("\n  %-%-event FILE +the event\n", t.conf_help())
    end)

    it("names the flag or the variable that is wrong", function()
        for message, args in pairs {
            ["unknown option --prot"] = { "--prot", "1" },
            ["unknown option -p"] = { "-p" },
            ["unknown option --no-host"] = { "--no-host" },
            ["--no-reload takes no value"] = { "--no-reload=1" },
            ["--cloud-port needs a value (PORT)"] = { "--cloud-port" },
            ["--cloud-port: 'x' is not a whole number"] = { "--cloud-port", "x" },
            ["--cloud-port: 65536 is not between 0 and 65535"] = { "--cloud-port=65536" },
            ["--reload: 'maybe' is neither true nor false"] = { "--reload=maybe" },
        } do
            assert.same({ nil, message, "ConfigurationError" }, { t.conf(args) })
        end
        t.setenv("PERIGEE_CLOUD_PORT", "-1")
        assert.same({ nil, "PERIGEE_CLOUD_PORT: -1 is not between 0 and 65535", "ConfigurationError" }, { t.conf {} })
    end)

    it("gives help before it complains", function()
        assert.is_true(select(2, t.conf { "--prot", "--help" }))
        assert.is_true(select(2, t.conf { "-h" }))
        assert.is_false(select(2, t.conf { "--", "-h" }))
        local help = t.conf_help()
        assert.matches("%-%-cloud%-port PORT +port of the engine %(PERIGEE_CLOUD_PORT, default 4566%)\n", help)
        assert.matches("%-%-no%-reload +watch the handlers %(PERIGEE_RELOAD%)\n", help)
        assert.matches("%-%-memory +keep nothing on disk", help)
    end)
end)
