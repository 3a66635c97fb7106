local t = require "t.base"

describe("str", function()
    it("finds the first byte that is not UTF-8", function()
        assert.equal(-1, t.bad_utf8 "")
        assert.equal(-1, t.bad_utf8 "José Ñandú 李雷 😀 and a long ASCII tail")
        for n = 0, 40 do -- wherever it stands among ASCII
            local before, after = ("a"):rep(n % 20), ("b"):rep(n // 2)
            assert.equal(-1, t.bad_utf8(before .. "😀" .. after))
            assert.equal(#before, t.bad_utf8(before .. "\xf0\x9f\x98" .. after))
            assert.equal(#before, t.bad_utf8(before .. "\xff" .. after))
        end
        for _, case in ipairs {
            { "abc\x80", 3 }, { "\xc0\x80", 0 }, { "\xc1\xbf", 0 }, { "é\xc3", 2 }, { "\xe0\x9f\xbf", 0 }, { "\xed\xa0\x80", 0 },
            { "\xed\xbf\xbf", 0 }, { "\xf0\x8f\xbf\xbf", 0 }, { "\xf4\x90\x80\x80", 0 }, { "\xf5\x80\x80\x80", 0 },
            { "12345678\xff", 8 }, { "1234567\xc3", 7 }, { "\xe6\x9d", 0 }, { "\xf0\x9f\x98", 0 }, { "\xe6\x28\x8e", 0 },
        } do
            assert.equal(case[2], t.bad_utf8(case[1]), (case[1]:gsub(".", function(c) return ("%02x"):format(c:byte()) end)))
        end
    end)

    it("agrees with utf8.len on every two-byte string", function()
        for a = 0, 255, 5 do
            for b = 0, 255 do
                local s = string.char(a, b)
                local ok = utf8.len(s) ~= nil
                assert.equal(ok, t.bad_utf8(s) == -1, ("%02x %02x"):format(a, b))
            end
        end
    end)

    it("reads strict decimal int64", function()
        assert.equal(math.maxinteger, t.i64 "9223372036854775807")
        assert.equal(math.mininteger, t.i64 "-9223372036854775808")
        assert.equal(7, t.i64 "0007")
        for _, s in ipairs { "", "-", "+1", " 1", "1 ", "1.0", "0x1", "9223372036854775808", "-9223372036854775809", "1\0", "99999999999999999999" } do
            assert.is_nil(t.i64(s), s)
        end
    end)

    it("cuts, trims, slices", function()
        assert.same({ "a", "b=c" }, { t.cut("a=b=c", "=") })
        assert.same({ "a", "" }, { t.cut("a=", "=") })
        assert.same({ "abc" }, { t.cut("abc", "=") })
        assert.equal("a b", t.trim " \t\r\na b\v\f ")
        assert.equal("", t.trim "  ")
        assert.equal("cd", t.slice("abcd", 2, 9))
        assert.equal("", t.slice("abcd", 9, 9))
    end)

    it("compares by unsigned bytes", function()
        assert.equal(-1, t.cmp("a", "b"))
        assert.equal(-1, t.cmp("a", "aa"))
        assert.equal(1, t.cmp("\xff", "a"))
        assert.equal(0, t.cmp("a\0b", "a\0b"))
        assert.equal(-1, t.cmp("", "a"))
        assert.is_true(t.ieq("Content-TYPE", "content-type"))
        assert.is_false(t.ieq("É", "é"))
        assert.is_false(t.ieq("[", "{"))
    end)

    it("searches", function()
        assert.equal(2, t.find("ababb", "abb"))
        assert.equal(-1, t.find("abab", "abb"))
        assert.equal(3, t.find("abc", "", 3))
        assert.equal(-1, t.find("abc", "", 4))
        assert.equal(3, t.chr("a.b.", ".", 2))
        assert.equal(-1, t.chr("a", "a", 5))
        assert.same({ true, true }, { t.starts_ends("aXa", "a") })
        assert.same({ false, false }, { t.starts_ends("a", "aa") })
    end)
end)

describe("buf", function()
    it("keeps content and a NUL behind it", function()
        assert.same({ "ab\0c", false, true }, { t.buf_fill(100, { "ab", "", "\0c" }) })
        assert.same({ "", false, true }, { t.buf_fill(0, {}) })
    end)

    it("drops what passes the cap and everything after it, and says so once", function()
        assert.same({ "abc", true, true, "the thing is larger than 5 bytes" }, { t.buf_fill(5, { "abc", "def", "x" }) })
    end)

    it("holds exactly its cap", function()
        for _, n in ipairs { 1, 63, 64, 65, 127, 128, 1000 } do assert.same({ true, true, true }, { t.buf_exact(n) }) end
    end)

    it("writes numbers at their limits", function()
        assert.equal("-9223372036854775808 9223372036854775807 18446744073709551615 0 x-00042", t.buf_numbers())
    end)

    it("hands its memory over", function()
        assert.same({ true, "kept", true }, { t.buf_release() })
    end)
end)

describe("url", function()
    it("is split into its parts", function()
        assert.same({ scheme = "https", host = "a.example", port = 443, path = "/", query = "" }, t.url_parse "https://a.example")
        assert.same({ scheme = "http", host = "127.0.0.1", port = 8080, path = "/a%20b", query = "x=1&y" },
            t.url_parse "http://127.0.0.1:8080/a%20b?x=1&y#frag")
        assert.same({ scheme = "http", host = "::1", port = 81, path = "/", query = "q" }, t.url_parse "http://[::1]:81?q")
        assert.equal(80, t.url_parse("http://h:/").port)
    end)

    it("is refused when it is none", function()
        for s, why in pairs {
            [""] = "no scheme", ["/path"] = "no scheme", ["ftp://h/"] = "'ftp' is not http", ["http://"] = "no host",
            ["http://u:p@h/"] = "user information", ["http://h:99999/"] = "malformed port", ["http://h:-1/"] = "malformed port",
            ["http://h:x/"] = "malformed port", ["http://[::1/"] = "IPv6", ["http://[]/"] = "IPv6", ["http://[::1]x/"] = "port",
            ["http://h/a b"] = "percent-encoded", ["http://h/\r\n"] = "percent-encoded", ["http://h/\0"] = "percent-encoded",
            ["http://h/é"] = "percent-encoded",
        } do
            local v, message = t.url_parse(s)
            assert.is_nil(v)
            assert.matches(why, message, 1, true)
        end
    end)

    it("is encoded as SigV4 wants it", function()
        assert.equal("AZaz09-._~", t.url_encode "AZaz09-._~")
        assert.equal("a%20b%2Bc%2F%C3%A9%00%25", t.url_encode "a b+c/é\0%")
        assert.equal("a/b%3F", t.url_encode("a/b?", true))
    end)

    it("is decoded exactly once", function()
        assert.equal("a+b /%41é", t.url_decode "a+b%20%2f%2541%C3%A9")
        assert.equal("a b", t.url_decode("a+b", true))
        for i = 1, 255 do
            local c = string.char(i)
            assert.equal(c, t.url_decode(t.url_encode(c)))
        end
        for _, s in ipairs { "%", "%4", "%G1", "%1G", "abc%", "%%41" } do
            local v, message = t.url_decode(s)
            assert.is_nil(v)
            assert.matches("bad percent escape at position %d", message)
        end
        assert.matches("NUL byte", select(2, t.url_decode "a%00"), 1, true)
        assert.matches("NUL byte", select(2, t.url_decode "a\0"), 1, true)
    end)

    it("gives query parameters in order, repeated ones too", function()
        assert.same({ { "a", "1" }, { "b", "" }, { "c", "" }, { "a", "2=3" }, { "é", "x y" } },
            t.url_query "a=1&b&c=&&a=2=3&%C3%A9=x+y&")
        assert.same({}, t.url_query "")
    end)

    it("refuses more query parameters than the limit", function()
        assert.equal(2, #t.url_query("a&b", 2))
        assert.matches("more than 2 parameters", select(2, t.url_query("a&b&c", 2)), 1, true)
        assert.matches("percent escape", select(2, t.url_query("a=%zz", 2)), 1, true)
    end)
end)
