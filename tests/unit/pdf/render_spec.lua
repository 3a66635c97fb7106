-- Documents: what other programs read out of the bytes, the same bytes every time, and input that must be refused.
local t = require "t.pdf"

local DIR = "/usr/share/fonts/truetype/"
local function open(path) return assert(t.font(assert(t.font_load(path)))) end
local FONTS = {
    {"regular", open(DIR .. "dejavu/DejaVuSansMono.ttf"), "fallback"},
    {"bold", open(DIR .. "dejavu/DejaVuSans-Bold.ttf"), "fallback"},
    {"fallback", open(DIR .. "droid/DroidSansFallbackFull.ttf"), "last"},
    {"last", open(DIR .. "dejavu/DejaVuSans.ttf")},
}

local function text(string, more)
    local op = {kind = "text", x = 54, y = 80, text = string}
    for k, v in pairs(more or {}) do op[k] = v end
    return op
end

local function render(ops, more)
    local doc = {fonts = FONTS, ops = {{kind = "page"}, table.unpack(ops)}}
    for k, v in pairs(more or {}) do doc[k] = v end
    return t.render(doc)
end

-- Output of a command on the bytes as a file.
local function run(bytes, command)
    local name = os.tmpname()
    local f = assert(io.open(name, "wb"))
    f:write(bytes)
    f:close()
    local pipe = assert(io.popen(command:gsub("%%s", name) .. " 2>&1"))
    local out = pipe:read("a")
    local ok = pipe:close()
    os.remove(name)
    return out, ok
end

local function text_of(bytes) return (run(bytes, "pdftotext -layout %s -"):gsub("%s+$", "")) end

local function assert_sound(bytes)
    local out, ok = run(bytes, "qpdf --check --no-warn %s")
    assert.truthy(ok, out)
    assert.falsy(out:find("WARNING", 1, true), out)
    assert.equal("", (run(bytes, "pdftoppm -r 20 %s >/dev/null")))
    assert.equal("", (run(bytes, "pdftotext %s /dev/null")))
end

describe("a document", function()
    it("gives its text back exactly, from Latin, Cyrillic, Greek, Chinese and mathematics in one line", function()
        local line = "José Ñandú 李雷 Київ Ωμέγα ½ € “q” 𝔸"
        local bytes, missing = render{text(line, {size = 14})}
        assert.equal(0, missing)
        assert.equal(line, text_of(bytes))
        assert_sound(bytes)
    end)

    it("tells characters apart that share a glyph", function()
        local line = "AΑА - ‐ ΩΩ"
        assert.equal(line, text_of((render{text(line)})))
    end)

    it("embeds every font, and nothing that it does not use", function()
        local bytes = render{text("Hello 李雷"), text("bold", {font = 1, y = 100})}
        local out = run(bytes, "pdffonts %s")
        local rows = {}
        for row in out:gmatch("[^\n]+") do rows[#rows + 1] = row end
        assert.equal(2 + 3, #rows, out)
        for i = 3, #rows do assert.truthy(rows[i]:find("yes yes yes", 1, true), rows[i]) end
        assert.falsy(out:find("DejaVuSans ", 1, true))
        assert.truthy(#bytes < 9000, #bytes)
    end)

    it("has the same bytes every time, also in another process", function()
        local function make()
            return (render({text("Same 李雷"), {kind = "qr", x = 10, y = 100, w = 50, text = "x"}, {kind = "page"}},
                           {title = "T", created_ms = 1795325400000, fonts = {FONTS[1], {"fallback", FONTS[3][2]}}}))
        end
        local bytes = make()
        assert.equal(bytes, make())
        local script = os.tmpname() .. "_spec.lua"
        local f = assert(io.open(script, "w"))
        f:write(([[
            local t = require "t.pdf"
            local function open(path) return assert(t.font(assert(t.font_load("%s" .. path)))) end
            it("prints", function()
                print("sha=" .. t.sha256((t.render{title = "T", created_ms = 1795325400000, fonts = {
                    {"regular", open "dejavu/DejaVuSansMono.ttf", "fallback"},
                    {"fallback", open "droid/DroidSansFallbackFull.ttf"}},
                  ops = {{kind = "page"}, {kind = "text", x = 54, y = 80, text = "Same 李雷"},
                    {kind = "qr", x = 10, y = 100, w = 50, text = "x"}, {kind = "page"}}})))
            end)]]):format(DIR))
        f:close()
        local pipe = assert(io.popen("/proc/" .. io.open("/proc/self/stat"):read("n") .. "/exe " .. script .. " 2>&1"))
        local out = pipe:read("a")
        pipe:close()
        os.remove(script)
        assert.equal(t.sha256(bytes), out:match("sha=(%x+)"), out)
    end)

    it("carries title, author, subject and date, in Unicode", function()
        local bytes = render({}, {title = "Receipt José 李雷 𝔸", author = "Perigee", subject = "ΩΩ", created_ms = 1795325400000})
        local out = run(bytes, "TZ=UTC pdfinfo %s")
        assert.truthy(out:find("Title: +Receipt José 李雷 𝔸\n"), out)
        assert.truthy(out:find("Author: +Perigee\n"), out)
        assert.truthy(out:find("Subject: +ΩΩ\n"), out)
        assert.truthy(out:find("CreationDate: +Sun Nov 22 05:30:00 2026"), out)
        assert.falsy(run((render{}), "pdfinfo %s"):find("CreationDate", 1, true))
    end)

    it("has as many pages as were begun, of the size given", function()
        local bytes = render({text("one"), {kind = "page"}, {kind = "page"}, text("three")}, {page_w = 300, page_h = 200.5})
        local out = run(bytes, "pdfinfo %s")
        assert.truthy(out:find("Pages: +3\n"), out)
        assert.truthy(out:find("Page size: +300 x 200.5 pts"), out)
        assert.equal("three", (run(bytes, "pdftotext -f 3 -l 3 %s -"):gsub("%s", "")))
    end)

    it("counts what no font has, and shows it", function()
        local bytes, missing = render{text("aa\u{1FAE0}b\u{10FFFD}c")}
        assert.equal(2, missing)
        assert.equal("aa\u{FFFD}b\u{FFFD}c", text_of(bytes))
        bytes, missing = t.render{fonts = {{"only", FONTS[3][2]}}, ops = {{kind = "page"}, text("李\u{1F600}雷")}}
        assert.equal(1, missing) -- a font without '?' shows its glyph for what is missing
        assert_sound(bytes)
    end)

    it("replaces and counts controls, NUL and bad UTF-8, and leaves out what is invisible by definition", function()
        local bytes, missing = render{text("a\0b\27c\xffd\xc3(e\u{200b}f\u{202e}g\u{feff}")}
        assert.equal(4, missing)
        assert.equal("a\u{FFFD}b\u{FFFD}c\u{FFFD}d\u{FFFD}(efg", text_of(bytes))
        assert_sound(bytes)
    end)

    it("composes letters and marks, several too, wherever a line is broken", function()
        local bytes, missing = render{text("Jose\u{301} n\u{303} Vie\u{323}\u{302}t \u{438}\u{306} q\u{301}"),
                                      text(("e\u{301}"):rep(60), {y = 200, w = 100})}
        assert.equal(0, missing)
        local plain = text_of(bytes)
        assert.equal("José ñ Việt й q\u{301}", plain:match("^[^\n]+"))
        assert.equal(60, select(2, plain:gsub("é", "")) - 1)
        assert.falsy(plain:find("e\u{301}", 1, true))
    end)

    it("needs no escaping: parentheses, backslashes, percent signs", function()
        assert.equal([[a(b)) \ %d <</x]], text_of((render{text([[a(b)) \ %d <</x]])})))
    end)

    it("wraps and aligns", function()
        local bytes = render{text(("word "):rep(40), {w = 100}), text("right", {x = 540, y = 500, align = "right"}),
                             text("mid", {x = 300, y = 500, align = "center"})}
        local plain = text_of(bytes)
        assert.truthy(select(2, plain:gsub("\n", "")) > 8)
        local box = run(bytes, "pdftotext -bbox %s -")
        assert.near(540, tonumber(box:match('xMax="([%d.]+)"[^>]*>right')), 0.1)
        local from, to = box:match('xMin="([%d.]+)"[^>]*xMax="([%d.]+)"[^>]*>mid')
        assert.near(300, (from + to) / 2, 0.1)
    end)

    it("draws a QR code whose modules are the library's", function()
        local bytes = render{{kind = "qr", x = 54, y = 54, w = 100, text = "0192f0c4-7d1e-7a3b-9b1c-5e2f8a1d4c77"}}
        local image = run(bytes, "pdftoppm -r 72 -gray %s")
        local width, height, start = image:match("^P5%s(%d+)%s(%d+)%s255%s()")
        assert.truthy(tonumber(width) >= 595 and tonumber(height) >= 841)
        local function dark(x, y) return image:byte(start + y * width + x) < 128 end
        assert.is_true(dark(56, 56)) -- the finder patterns of three corners
        assert.is_true(dark(151, 56))
        assert.is_true(dark(56, 151))
        assert.is_false(dark(52, 56))
        assert.is_false(dark(156, 100))
        assert.is_false(dark(100, 156))
    end)

    it("holds 100,000 characters of text", function()
        local bytes = render{text(("Lorem ipsum "):rep(8400), {w = 480, leading = 1, size = 1})}
        assert_sound(bytes)
    end)

    it("uses more characters of one font than a byte could count", function()
        local all = {}
        for c = 0x4e00, 0x4e00 + 599 do all[#all + 1] = utf8.char(c) end
        local line = table.concat(all)
        local bytes, missing = render{text(line, {size = 6, w = 480})}
        assert.equal(0, missing)
        assert.equal(line, (text_of(bytes):gsub("%s", "")))
    end)

    it("may be empty of everything but a page", function()
        local bytes = t.render{ops = {{kind = "page"}, text("", {font = 0})}, fonts = FONTS}
        assert_sound(bytes)
        assert_sound((t.render{ops = {{kind = "page"}}}))
    end)
end)

describe("refused with the operation and its field:", function()
    local nan, inf = 0 / 0, 1 / 0
    for name, op in pairs{
        ["x NaN"] = {kind = "text", x = nan, text = "a"}, ["y infinite"] = {kind = "text", y = -inf, text = "a"},
        ["x huge"] = {kind = "rect", x = 1e30}, ["h negative"] = {kind = "rect", w = 1, h = -1},
        ["w NaN"] = {kind = "rect", w = nan}, ["size 0"] = {kind = "text", size = 0, text = "a"},
        ["size NaN"] = {kind = "text", size = nan, text = "a"}, ["size huge"] = {kind = "text", size = 1e9, text = "a"},
        ["leading negative"] = {kind = "text", leading = -1, text = "a"}, ["radius NaN"] = {kind = "rect", radius = nan},
        ["width infinite"] = {kind = "line", width = inf}, ["x2 NaN"] = {kind = "line", w = nan},
        ["color over 24 bits"] = {kind = "rect", color = 0x1000000}, ["font unknown"] = {kind = "text", font = 4, text = "a"},
        ["font negative"] = {kind = "text", font = -1, text = "a"},
    } do
        it(name, function()
            local bytes, code, message = render{op}
            assert.is_nil(bytes)
            assert.equal("PdfError", code)
            assert.truthy(message:find("operation 2", 1, true), message)
            assert.truthy(message:find(name:match("^%w+"), 1, true), message)
        end)
    end

    for name, doc in pairs{
        ["no operation"] = {ops = {}}, ["no page first"] = {ops = {{kind = "text", text = "a"}}},
        ["a page too small"] = {ops = {{kind = "page"}}, page_w = 1}, ["a page of NaN"] = {ops = {{kind = "page"}}, page_h = nan},
        ["an unknown fallback"] = {ops = {{kind = "page"}}, fonts = {{"a", FONTS[1][2], "b"}}},
        ["a date beyond all calendars"] = {ops = {{kind = "page"}}, created_ms = math.maxinteger},
        ["an empty QR code"] = {ops = {{kind = "page"}, {kind = "qr", w = 9, text = ""}}},
        ["too much for a QR code"] = {ops = {{kind = "page"}, {kind = "qr", w = 9, text = ("x"):rep(2332)}}},
        ["text over a MiB"] = {ops = {{kind = "page"}, {kind = "text", text = ("x"):rep((1 << 20) + 1)}}, fonts = FONTS},
    } do
        it(name, function()
            local bytes, code, message = t.render(doc)
            assert.is_nil(bytes)
            assert.equal("PdfError", code)
            assert.truthy(#message > 10)
        end)
    end

    it("more bytes than the caller allows", function()
        local bytes, code = render({text("a")}, {max = 1000})
        assert.is_nil(bytes)
        assert.equal("RequestEntityTooLarge", code)
    end)
end)
