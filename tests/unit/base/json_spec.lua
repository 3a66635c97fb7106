local t = require "t.base"

local function text(s, ...)
    local _, out = t.json(s, ...)
    return out
end

local function refused(s, ...)
    local v, message, name = t.json(s, ...)
    assert.is_nil(v)
    assert.equal("SyntaxError", name)
    return message
end

describe("reading JSON", function()
    it("keeps every number as it was written", function()
        for _, n in ipairs {
            "0", "-0", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1e999", "-1E-999", "0.10",
            "1.50e+07", "12345678901234567890123456789012345678", "0.1234567890123456789012345678901234567",
        } do
            local v = t.json(n)
            assert.same({ type = "number", text = n }, v)
            assert.equal(n, text(n))
        end
    end)

    it("gives int64 only for integer literals in range", function()
        assert.equal(math.maxinteger, t.json_i64 "9223372036854775807")
        assert.equal(math.mininteger, t.json_i64 "-9223372036854775808")
        assert.equal(0, t.json_i64 "-0")
        for _, n in ipairs { "9223372036854775808", "-9223372036854775809", "1.0", "1e2", '"1"', "null" } do
            assert.is_nil(t.json_i64(n))
        end
    end)

    it("refuses numbers that RFC 8259 does not know", function()
        for _, n in ipairs { "01", "-", "+1", ".5", "1.", "1e", "1e+", "-01", "0x10", "NaN", "Infinity", "-Infinity", "1_000" } do
            refused(n)
        end
    end)

    it("decodes escapes and keeps what is not escaped", function()
        local v = t.json [["a\"\\\/\b\f\n\r\tz\u00e9\u674E\uD83D\ude00\u0000é"]]
        assert.equal('a"\\/\b\f\n\r\tzé李😀\0é', v.text)
    end)

    it("refuses lone and swapped surrogates", function()
        for _, s in ipairs { [["\ud800"]], [["\udc00"]], [["\ud800x"]], [["\ud800\u0041"]], [["\ud800\ud800"]], [["\ude00\ud83d"]] } do
            assert.matches("surrogate in \\u escape at line 1 column 2", refused(s), 1, true)
        end
    end)

    it("refuses unknown and cut escapes", function()
        assert.matches("unknown escape in string at line 1 column 2", refused [["\x41"]], 1, true)
        assert.matches("four hexadecimal digits", refused [["\u12G4"]], 1, true)
        for _, s in ipairs { [["\]], [["\u]], [["\u00]], [["\ud83d\]], [["\ud83d\u]], [["a\"]] } do refused(s) end
    end)

    it("refuses raw control characters and NUL bytes", function()
        assert.matches("unescaped control character in string at line 1 column 3", refused '"a\nb"', 1, true)
        assert.matches("NUL byte in string at line 1 column 3", refused '"a\0b"', 1, true)
        assert.matches("NUL byte in string", refused '"\\n\0"', 1, true)
        assert.matches("NUL byte in JSON", refused '[1,\0]', 1, true)
        assert.matches("NUL byte in JSON", refused '1\0', 1, true)
    end)

    it("refuses invalid UTF-8 wherever it stands in a string", function()
        for _, bytes in ipairs { "\x80", "\xc3", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\xf8\x88\x80\x80\x80" } do
            for _, frame in ipairs { '"%s"', '"plain text before it %s"', '"%s after"', '"\\n%s"', '{"%s":1}' } do
                local s = frame:gsub("%%s", function() return bytes end)
                assert.matches("invalid UTF-8 in string", refused(s), 1, true)
            end
        end
        refused "\xff"
        refused "\xef\xbb\xbf{}"
    end)

    it("keeps valid UTF-8 at its limits", function()
        local s = "\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}"
        assert.equal(s, t.json('"' .. s .. '"').text)
    end)

    it("refuses every truncation of a document", function()
        local whole = [[{"a":[1,-2.5e3,"x\u00e9\"y",true,false,null,{"b":{}}],"é":[]}]]
        assert.equal("object", t.json(whole).type)
        for n = 0, #whole - 1 do assert.is_nil((t.json(whole:sub(1, n))), n) end
    end)

    it("refuses anything behind the value, and misplaced commas", function()
        for _, s in ipairs { "", " ", "{} {}", "1 2", "[1,]", "[,1]", '{"a":1,}', "{,}", "[1 2]", '{"a" 1}', "{a:1}", "{1:2}", "]", "nul", "truely", "'a'" } do
            refused(s)
        end
    end)

    it("names line and column, counting characters", function()
        assert.matches("expected ',' or '}', found 'x' at line 3 column 10", refused '{\n  "a": 1,\n  "é": 2 x\n}', 1, true)
        assert.matches("at line 1 column 2", refused "[", 1, true)
        assert.matches("JSON ends inside the string that starts at line 1 column 2", refused '["abc', 1, true)
    end)

    it("names the depth limit and keeps to it exactly", function()
        local function nest(n) return ("["):rep(n) .. ("]"):rep(n) end
        assert.equal("array", t.json(nest(64)).type)
        assert.matches("nested deeper than 64 levels at line 1 column 65", refused(nest(65)), 1, true)
        assert.equal("array", t.json(nest(3), 3).type)
        assert.matches("deeper than 3 levels", refused(('{"a":'):rep(4) .. "1" .. ("}"):rep(4), 3), 1, true)
        refused(("["):rep(1000000))
        refused(('{"a":'):rep(1000000))
    end)

    it("does not add the depth of neighbours", function()
        local list = {}
        for i = 1, 500 do list[i] = "[[{}]]" end
        assert.equal("array", t.json("[" .. table.concat(list, ",") .. "]", 4).type)
    end)

    it("names duplicate keys, escaped or not", function()
        assert.matches('duplicate key "a" at line 1 column 8', refused '{"a":1,"a":2}', 1, true)
        assert.matches('duplicate key "a"', refused [[{"a":1,"\u0061":2}]], 1, true)
        assert.matches('duplicate key ""', refused '{"":1,"":2}', 1, true)
        assert.equal('{"a":{"a":1},"b":{"a":1}}', text '{"a":{"a":1},"b":{"a":1}}')
    end)

    it("shows only the head of a long duplicate key, cut between characters", function()
        local key = ("é"):rep(63) .. "a" .. ("é"):rep(500)
        local message = refused(('{"%s":1,"%s":2}'):format(key, key))
        assert.equal(-1, t.bad_utf8(message))
        assert.matches(("é"):rep(63) .. 'a"...', message, 1, true)
    end)

    it("finds duplicates in large objects too", function()
        local members = {}
        for i = 1, 5000 do members[i] = ('"k%d":%d'):format(i, i) end
        local s = "{" .. table.concat(members, ",")
        assert.equal(5000, #t.json(s .. "}"))
        for _, dup in ipairs { "k1", "k16", "k17", "k5000" } do
            assert.matches(('duplicate key "%s"'):format(dup), refused(s .. ',"' .. dup .. '":0}'), 1, true)
        end
        local v = t.json(s .. ',"k17":{"k17":[7]}}', 0, true)
        assert.equal(5000, #v)
        assert.same({ key = "k17", type = "object", { key = "k17", type = "array", { type = "number", text = "7" } } }, v[17])
    end)

    it("lets the last duplicate win when asked to", function()
        assert.equal('{"a":[3],"b":2}', text('{"a":1,"b":2,"a":[3]}', 0, true))
    end)

    it("keeps members in document order and elements in place", function()
        assert.equal('{"z":1,"a":[[],{},"",null],"m":true}', text ' { "z" : 1 , "a":[ [ ] , { }\t,"",null ],\r\n"m":true } ')
    end)

    it("reads containers of any size", function()
        local list = {}
        for i = 1, 1000 do list[i] = ('{"i":%d,"l":[%d,%d]}'):format(i, i, -i) end
        local s = "[" .. table.concat(list, ",") .. "]"
        assert.equal(s, text(s))
    end)

    it("does not copy strings without escapes", function()
        local long = ("x"):rep(100000)
        assert.is_true(t.json_fuel('{"a":"' .. long .. '"}') < 1000)
        assert.is_true(t.json_fuel('["' .. long .. '\\n"]') > 100000)
    end)

    it("survives any single changed byte", function()
        local whole = [[{"a":[1,-2.5e3,"x\u00e9\"yé",true,null,{"b":{}}]}]]
        for i = 1, #whole do
            for _, c in ipairs { "\0", '"', "\\", "{", "]", ",", "\xc3", "0", " " } do
                local changed = whole:sub(1, i - 1) .. c .. whole:sub(i + 1)
                local v, out = t.json(changed)
                if v then assert.equal(out, text(out)) else assert.matches("at line 1 column %d+$", out) end
            end
        end
    end)
end)

describe("a JSON document", function()
    it("answers nothing for absent values and wrong types", function()
        assert.is_true(t.json_absent '{"s":"text","n":5}')
    end)

    it("compares objects as sets, arrays in order, numbers by text", function()
        local same = { { '{"a":1,"b":[2]}', '{"b":[2],"a":1}' }, { [["\u0041"]], '"A"' }, { "[]", "[]" }, { "null", "null" } }
        local other = { { "[1,2]", "[2,1]" }, { "1", "1.0" }, { '{"a":1}', '{"a":2}' }, { '{"a":1}', '{"b":1}' },
            { '{"a":1}', '{"a":1,"b":2}' }, { "true", "false" }, { '"1"', "1" }, { "{}", "[]" }, { "[1]", "[1,1]" } }
        for _, p in ipairs(same) do assert.is_true(t.json_equal(p[1], p[2]), p[1]) end
        for _, p in ipairs(other) do assert.is_false(t.json_equal(p[1], p[2]), p[1]) end
        local up, down = {}, {}
        for i = 1, 100 do
            up[i] = ('"k%d":%d'):format(i, i)
            down[101 - i] = up[i]
        end
        local a, b = "{" .. table.concat(up, ",") .. "}", "{" .. table.concat(down, ",") .. "}"
        assert.is_true(t.json_equal(a, b))
        assert.is_false(t.json_equal(a, (b:gsub(":50,", ":51,"))))
    end)

    it("is copied whole", function()
        local s = [=[{"a":[1e999,"x",{"":[[]]}],"b":null,"c":true,"d":"é"}]=]
        assert.equal(s, t.json_copy(s))
    end)

    it("is built by constructors, growing as needed", function()
        local list = {}
        for i = 0, 99 do list[#list + 1] = i end
        assert.equal('{"min":-9223372036854775808,"list":[' .. table.concat(list, ",") ..
            '],"empty":[],"t":true,"f":false,"none":null,"num":1e999,"in":["place"]}', t.json_build(100))
    end)

    it("writes control characters escaped and everything else as it is", function()
        assert.equal([["\u0000\u0001\b\t\n\u000b\f\r\u001f\"\\/]] .. "\x7fé" .. '"', t.json_write_str "\0\1\b\t\n\v\f\r\x1f\"\\/\x7fé")
        assert.equal('""', t.json_write_str "")
        for _, plain in ipairs { "a", "\x7f", "é" } do
            for n = 0, 20 do -- wherever it stands among others
                assert.equal('"' .. plain:rep(n) .. "\\n" .. plain:rep(20 - n) .. '"',
                    t.json_write_str(plain:rep(n) .. "\n" .. plain:rep(20 - n)))
            end
        end
        for c = 0, 127 do
            local s = ("x"):rep(c % 11) .. string.char(c)
            assert.equal(s, t.json(t.json_write_str(s)).text)
        end
    end)
end)
