-- The TrueType reader and subsetter, on the fonts of fonts-dejavu-core and fonts-droid-fallback.
local t = require "t.pdf"

local DIR = "/usr/share/fonts/truetype/"
local DEJAVU, BOLD, DROID =
    DIR .. "dejavu/DejaVuSans.ttf", DIR .. "dejavu/DejaVuSans-Bold.ttf", DIR .. "droid/DroidSansFallbackFull.ttf"

local function bytes_of(path) return assert(t.font_load(path)) end
local function open(path) return assert(t.font(bytes_of(path))) end

-- Offset (1-based), length and directory record of a table.
local function table_at(font, tag)
    for i = 0, (">I2"):unpack(font, 5) - 1 do
        local record = 13 + 16 * i
        if font:sub(record, record + 3) == tag then
            local offset, length = (">I4I4"):unpack(font, record + 8)
            return offset + 1, length, record
        end
    end
end

local function patched(s, at, with) return s:sub(1, at - 1) .. with .. s:sub(at + #with) end

describe("font files", function()
    it("are found as the first of a list that exists", function()
        assert.equal(bytes_of(DEJAVU), (t.font_load("/nowhere/a.ttf::" .. DEJAVU .. ":/nowhere/b.ttf")))
        local bytes, code, message = t.font_load("/nowhere/a.ttf:/nowhere/b.ttf")
        assert.is_nil(bytes)
        assert.equal("PdfError", code)
        assert.truthy(message:find("/nowhere/a.ttf:/nowhere/b.ttf", 1, true))
    end)

    it("know their characters, in format 4 and format 12, outside the BMP too", function()
        local dejavu, droid = open(DEJAVU), open(DROID)
        for _, c in ipairs{0x41, 0xe9, 0x457, 0x1d538, 0xfffd} do assert.is_true(dejavu:has(c), ("U+%04X"):format(c)) end
        assert.is_false(dejavu:has(0x674e))
        assert.is_true(droid:has(0x674e))
        assert.is_true(droid:has(0x96f7))
        for _, c in ipairs{0, 0x1f, 0x110000, 0xffffffff, 0xd800} do assert.is_false(droid:has(c)) end
    end)

    it("give widths of the font's own table", function()
        local f = open(DEJAVU) -- units per em 2048; 'A' is 1401, 'i' 569
        assert.near(6.8408, f:width("A", 10), 0.001)
        assert.near(2.7783 * 4, f:width("iiii", 10), 0.001)
        assert.equal(0, f:width("", 10))
        assert.near(20, f:width("李雷", 10, open(DROID)), 0.01)
    end)

    it("resolve nested composites: U+0457 is i without dot and two dots, like U+00EF", function()
        local f = open(DEJAVU)
        local outline, plain = f:outline((f:glyph(0x457))), f:outline((f:glyph(0x131)))
        assert.equal(#plain.ends + 2, #outline.ends)
        assert.equal(outline.ends[#outline.ends] + 1, #outline)
        assert.same(f:outline((f:glyph(0xef))), outline)
    end)

    it("read the first face of a collection", function()
        local plain = bytes_of(BOLD)
        local shift = 16
        local moved = plain
        for i = 0, (">I2"):unpack(plain, 5) - 1 do
            local at = 13 + 16 * i + 8
            moved = patched(moved, at, (">I4"):pack((">I4"):unpack(plain, at) + shift))
        end
        local ttc = "ttcf" .. (">I4I4I4"):pack(0x10000, 1, shift) .. moved
        assert.equal(open(BOLD):width("Collection", 9), assert(t.font(ttc)):width("Collection", 9))
        assert.is_nil((t.font("ttcf" .. (">I4I4I4"):pack(0x10000, 1, 0xfffffff0) .. moved)))
        assert.is_nil((t.font("ttcf" .. (">I4I4I4"):pack(0x10000, 0, shift) .. moved)))
    end)
end)

describe("a subset", function()
    it("holds just the glyphs asked for, with their outlines and widths, and sound checksums", function()
        local f = open(DEJAVU)
        local wanted = {0}
        for _, c in utf8.codes("Їґé李A A") do wanted[#wanted + 1] = (f:glyph(c)) end
        local subset = assert(f:subset(wanted))
        assert.truthy(#subset < 4000, #subset)
        for _, tag in ipairs{"glyf", "head", "hhea", "hmtx", "loca", "maxp"} do assert.truthy(table_at(subset, tag), tag) end
        assert.equal(#wanted, (">I2"):unpack(subset, table_at(subset, "maxp") + 4))
        for i, glyph in ipairs(wanted) do
            local width = (">I2"):unpack(subset, table_at(subset, "hmtx") + 4 * (i - 1))
            assert.equal((">I2"):unpack(bytes_of(DEJAVU), table_at(bytes_of(DEJAVU), "hmtx") + 4 * glyph), width)
        end
        local sum = 0
        for at = 1, #subset, 4 do sum = (sum + (">I4"):unpack(subset, at)) & 0xffffffff end
        assert.equal(0xb1b0afba, sum)
    end)

    it("refuses a glyph that the font does not have, and no glyph at all", function()
        local f = open(BOLD)
        assert.same({nil, "PdfError"}, {(f:subset{0, 65535}), (select(2, f:subset{0, 65535}))})
        assert.is_nil((f:subset{}))
    end)
end)

describe("a damaged font file", function()
    local whole = bytes_of(BOLD)

    -- Whatever happens inside, it ends in bytes or in a PdfError.
    local function use(font)
        local f, code, message = t.font(font)
        if not f then
            assert.equal("PdfError", code)
            assert.truthy(#message > 10)
            return false
        end
        f:width("Größe 李雷 ✓ \u{1F600}", 10)
        f:lines("some words to wrap ÄÖÜ", 30, 10)
        local bytes
        bytes, code = t.render{fonts = {{"regular", f}}, ops = {{kind = "page"},
            {kind = "text", x = 50, y = 50, text = "Receipt Größe ŵ ǻ ½ ﬁ Київ 0123456789 €"}}}
        if not bytes then assert.equal("PdfError", code) end
        return bytes ~= nil
    end

    it("is refused when it is no TrueType font", function()
        for _, bytes in ipairs{"", "x", "OTTO" .. ("\0"):rep(64), ("\0"):rep(1000), "wOFF" .. whole:sub(5), "%PDF-1.4\n"} do
            local f, code = t.font(bytes)
            assert.is_nil(f)
            assert.equal("PdfError", code)
        end
        assert.truthy(select(3, t.font("OTTO" .. whole:sub(5))):find("CFF", 1, true))
    end)

    it("cut off anywhere never crashes", function()
        for n = 0, 400 do use(whole:sub(1, n)) end
        for n = 401, #whole, 9973 do use(whole:sub(1, n)) end
    end)

    it("without one of its tables is refused with the table's name", function()
        for _, tag in ipairs{"head", "hhea", "hmtx", "maxp", "loca", "glyf", "cmap"} do
            local _, _, record = table_at(whole, tag)
            local f, _, message = t.font(patched(whole, record, "none"))
            assert.is_nil(f)
            assert.truthy(message:find(tag, 1, true), message)
        end
    end)

    it("with a table outside the file is refused", function()
        for _, tag in ipairs{"head", "hhea", "hmtx", "maxp", "loca", "glyf", "cmap"} do
            local _, _, record = table_at(whole, tag)
            for _, place in ipairs{{#whole, 4}, {0xffffffff, 0xffffffff}, {12, 0xfffffff4}, {#whole - 3, 4}} do
                local f, _, message = t.font(patched(whole, record + 8, (">I4I4"):pack(place[1], place[2])))
                assert.is_nil(f)
                assert.truthy(message:find(tag, 1, true), message)
            end
        end
    end)

    it("with wild numbers in its tables never crashes", function()
        local seed, drawn, refused = 42, 0, 0
        local function random(n)
            seed = (seed * 6364136223846793005 + 1442695040888963407)
            return (seed >> 33) % n
        end
        local spans = {head = 54, hhea = 36, maxp = 32, cmap = 700, loca = 900, glyf = 6000, hmtx = 200}
        local tags = {"head", "hhea", "maxp", "cmap", "loca", "glyf", "hmtx"}
        for i = 1, 400 do
            local tag = tags[i % #tags + 1]
            local at, length = table_at(whole, tag)
            local bytes = whole
            for _ = 1, 1 + random(4) do
                local wild = ({"\xff\xff", "\0\0", "\x7f\xff", "\x80\0", string.char(random(256), random(256))})[1 + random(5)]
                bytes = patched(bytes, at + random(math.min(length, spans[tag]) - 2), wild)
            end
            if use(bytes) then drawn = drawn + 1 else refused = refused + 1 end
        end
        assert.truthy(drawn > 0 and refused > 0)
    end)

    it("whose composite contains itself is refused", function()
        local f = assert(t.font(whole))
        local glyph = (f:glyph(0xc4)) -- Ä: A and a dieresis
        local loca, glyf = table_at(whole, "loca"), table_at(whole, "glyf")
        local long = (">I2"):unpack(whole, table_at(whole, "head") + 50) ~= 0
        local place = long and (">I4"):unpack(whole, loca + 4 * glyph) or 2 * (">I2"):unpack(whole, loca + 2 * glyph)
        assert.truthy((">i2"):unpack(whole, glyf + place) < 0, "Ä is a composite here")
        local cyclic = assert(t.font(patched(whole, glyf + place + 12, (">I2"):pack(glyph))))
        local outline, code, message = cyclic:outline(glyph)
        assert.is_nil(outline)
        assert.equal("PdfError", code)
        assert.truthy(message:find("glyph " .. glyph, 1, true), message)
    end)
end)

describe("line breaks", function()
    local f, droid = open(DEJAVU), open(DROID)
    local function just(text) return f:width(text, 10, droid) + 0.01 end

    it("fall at spaces, which belong to no line", function()
        assert.same({"one two", "three", "four"}, f:lines("one two   three four ", just "one two", 10))
        assert.same({"a", "", "b", "c"}, f:lines("a\n\nb\r\nc\n", 100, 10))
        assert.same({}, f:lines("", 100, 10))
    end)

    it("fall after hyphens, not between a minus and its digits", function()
        assert.same({"well-", "being"}, f:lines("well-being", just "being", 10))
        assert.same({"from", "-5"}, f:lines("from -5", just "from -", 10))
    end)

    it("fall between ideographs, but not before closing punctuation", function()
        assert.same({"李雷和", "韩梅梅"}, f:lines("李雷和韩梅梅", just "李雷和", 10, droid))
        assert.same({"李雷", "和。"}, f:lines("李雷和。", just "李雷和", 10, droid))
    end)

    it("fall inside words that are too long, one character a line at least", function()
        local text = ("x"):rep(10000)
        local lines = f:lines(text, 100, 10)
        assert.equal(text, table.concat(lines))
        for _, line in ipairs(lines) do assert.truthy(f:width(line, 10) <= 100.001) end
        assert.same({"é", "é", "é"}, f:lines("ééé", 0.01, 10))
    end)

    it("lose no character of a long text and keep every line within its width", function()
        local words = {}
        for i = 1, 2000 do words[i] = ("w"):rep(i % 13 + 1) .. (i % 7 == 0 and "é" or "") end
        local text = table.concat(words, " ")
        local lines = f:lines(text, 123, 9)
        assert.equal(text, table.concat(lines, " "))
        for _, line in ipairs(lines) do assert.truthy(f:width(line, 9) <= 123.001, line) end
    end)

    it("end with bad UTF-8, invisible characters and NUL too", function()
        assert.equal(1, #f:lines("\u{200b}", 10, 10))
        assert.equal(2, #f:lines("\u{200b}\n\u{200b}", 10, 10))
        assert.equal("\xff\xfe\xc3", table.concat(f:lines("\xff\xfe\xc3", 6, 10)))
        assert.equal("\0\0\0", table.concat(f:lines("\0\0\0", 1, 10)))
    end)
end)
