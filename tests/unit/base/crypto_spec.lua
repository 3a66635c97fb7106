local t = require "t.base"

describe("digests", function()
    it("give the published vectors, at once and in pieces", function()
        local million = ("a"):rep(1000000)
        for _, v in ipairs {
            { "md5", "", "d41d8cd98f00b204e9800998ecf8427e" },
            { "md5", "abc", "900150983cd24fb0d6963f7d28e17f72" },
            { "sha1", "", "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
            { "sha1", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
            { "sha1", million, "34aa973cd4c4daa4f61eeb2bdbad27316534016f" },
            { "sha256", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
            { "sha256", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
            { "sha256", million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" },
        } do
            assert.same({ v[3], v[3] }, { t.digest(v[1], v[2]) })
        end
    end)

    it("give the HMAC vectors of RFC 4231 and RFC 2202", function()
        assert.same({ "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7", "b617318655057264e28bc0b6fb378c8ef146be00" },
            { t.hmac(("\x0b"):rep(20), "Hi There") })
        assert.same({ "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79" },
            { t.hmac("Jefe", "what do ya want for nothing?") })
        assert.equal("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            (t.hmac(("\xaa"):rep(131), "Test Using Larger Than Block-Size Key - Hash Key First")))
        assert.equal("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad", (t.hmac("", "")))
    end)

    it("give the CRC-32 check value", function()
        assert.equal(0xcbf43926, t.crc32 "123456789")
        assert.equal(0, t.crc32 "")
        local long = ("a"):rep(1000000) -- Python's zlib.crc32
        assert.same({ 0xdc25bfbc, 0xdc25bfbc, 0xdc25bfbc }, { t.crc32(long), t.crc32(long, 1), t.crc32(long, 4097) })
    end)
end)

describe("text codings", function()
    it("give the vectors of RFC 4648", function()
        for plain, coded in pairs { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=", foobar = "Zm9vYmFy" } do
            assert.equal(coded, t.base64(plain))
            assert.equal(plain, t.unbase64(coded))
            assert.equal((coded:gsub("=", "")), t.base64url(plain))
            assert.equal(plain, t.unbase64url((coded:gsub("=", ""))))
        end
        assert.equal("+/8=", t.base64 "\xfb\xff")
        assert.equal("-_8", t.base64url "\xfb\xff")
        assert.equal("00ff10", t.hex "\x00\xff\x10")
        assert.equal("\x00\xff\xab", t.unhex "00fFAb")
    end)

    it("bring back every byte", function()
        local all = {}
        for i = 0, 255 do all[i + 1] = string.char(i) end
        for n = 0, 256 do
            local s = table.concat(all, "", 257 - n)
            assert.equal(s, t.unbase64(t.base64(s)))
            assert.equal(s, t.unbase64url(t.base64url(s)))
            assert.equal(s, t.unhex(t.hex(s)))
        end
    end)

    it("are strict, and a refused text adds nothing", function()
        for _, s in ipairs { "Zg", "Zg=", "Zg===", "Zg==\n", " Zg==", "Z===", "====", "=", "Zh==", "Zm9=", "Zm-v", "Zm9vZ", "Zg==Zg==", "Z=g=", "Zm8\0", "Zm8é" } do
            assert.same({ nil, 0 }, { t.unbase64(s) }, s)
        end
        for _, s in ipairs { "Z", "Zg==", "Zh", "Zm9", "a+b/", "Zm 9" } do assert.same({ nil, 0 }, { t.unbase64url(s) }, s) end
        for _, s in ipairs { "0", "0g", "abc", "0x10", " 00" } do assert.same({ nil, 0 }, { t.unhex(s) }, s) end
    end)

    it("compare in full", function()
        assert.is_true(t.equal("abc", "abc"))
        assert.is_true(t.equal("", ""))
        assert.is_false(t.equal("abc", "abd"))
        assert.is_false(t.equal("abc", "ab"))
    end)
end)

describe("uuid", function()
    it("version 7 carries the time and ascends, also within one millisecond", function()
        local now, last = 1795323346123, ""
        for i = 1, 20000 do
            local id = t.uuid7(now + i // 5000)
            assert.matches("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-7%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$", id)
            assert.is_true(id > last)
            last = id
        end
        assert.equal(("%012x"):format(now + 4), (last:gsub("-", ""):sub(1, 12)))
    end)

    it("version 7 does not go back when the clock does", function()
        local a = t.uuid7(1795323400000)
        local b = t.uuid7(5)
        assert.is_true(b > a)
    end)

    it("version 4 is random", function()
        local seen = {}
        for _ = 1, 1000 do
            local id = t.uuid4()
            assert.matches("^%x+%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x+$", id)
            assert.is_nil(seen[id])
            seen[id] = true
        end
    end)
end)

describe("random numbers of a seed", function()
    it("are the same each time, and others of another seed", function()
        local ids, bytes = t.of_seed(42, 20)
        assert.same({ ids, bytes }, { t.of_seed(42, 20) })
        local others, other_bytes = t.of_seed(43, 20)
        assert.not_equal(bytes, other_bytes)
        for i, id in ipairs(others) do assert.not_equal(ids[i], id) end
    end)

    it("make ids that ascend from the time that they are asked for, whatever the process made before", function()
        t.uuid7(1795323400000)
        local ids = t.of_seed(1, 9)
        for i = 3, 9, 2 do
            assert.is_true(ids[i] > ids[i - 2])
            assert.equal("000000000000", (ids[i]:gsub("-", ""):sub(1, 12)))
        end
    end)

    it("are not those of anybody afterwards", function()
        t.of_seed(1, 4)
        local a = t.uuid4()
        t.of_seed(1, 4)
        assert.not_equal(a, t.uuid4())
    end)
end)

describe("a simulated clock", function()
    it("stands still until time passes, and then for wall and monotonic time alike", function()
        local wall, mono, wall_after, mono_after = t.simulated_clock(1767225600000, 900000)
        assert.equal(1767225600000, wall)
        assert.is_true(mono > 0)
        assert.same({ wall + 900000, mono + 900000 }, { wall_after, mono_after })
    end)
end)
