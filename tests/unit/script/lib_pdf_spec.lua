local lib = assert(package.loadlib("", "luaopen_t_lib"))()

local head = [[
local report, pdf = require "t.report", require "perigee.pdf"
local DIR = "/usr/share/fonts/truetype/dejavu/"
local FONTS = { regular = DIR .. "DejaVuSans.ttf", bold = DIR .. "DejaVuSans-Bold.ttf", fallback = DIR .. "DejaVuSerif.ttf" }
local function document(o)
  o = o or {}
  o.fonts = o.fonts or FONTS
  return assert(pdf.document(o))
end
local function fails(f, ...) local ok, m = pcall(f, ...) assert(not ok, "it did not fail") return m end
]]
local function run(chunk)
  local reports, _, err = lib.run(head .. chunk)
  assert(not err, err)
  return reports
end

describe("perigee.pdf", function()
  it("renders the same bytes for the same document", function()
    assert.same({ "%PDF-", "true", "0", "2" }, run [[
      local function make()
        local d = document { title = "Receipt", created_ms = 1795323346123 }
        d:page()
        d:rect(10, 10, 100, 40, { color = "#3366cc", radius = 4 })
        d:text(20, 30, "José Ñandú", { font = "bold", size = 14, color = 0xffffff })
        d:line(10, 60, 110, 60, { width = 0.5 })
        d:qr(10, 70, 60, "order-1")
        d:page()
        d:text(20, 30, ("long text "):rep(100), { width = 200, align = "right" })
        return d
      end
      local a, missing = assert(make():render())
      report(a:sub(1, 5)) report(a == make():render()) report(missing) report(make():page_count())]])
  end)

  it("begins a page by itself and renders an empty document as one", function()
    assert.same({ "1", "%PDF-" }, run [[
      local d = document() d:text(1, 20, "x") report(d:page_count())
      report(document():render():sub(1, 5))]])
  end)

  it("counts the characters that no font has", function()
    assert.same({ "2" }, run [[
      local d = document() d:text(1, 20, "a\u{E000}\u{E001}b") report((select(2, d:render())))]])
  end)

  it("measures and wraps", function()
    assert.same({ "true", "true", "true", "one two", "three", "0" }, run [[
      local d = document()
      report(d:width("WW", { size = 20 }) > d:width("WW"))
      report(d:width("W", { font = "bold" }) > d:width("W"))
      report(math.abs(d:width("ab") - d:width("a") - d:width("b")) < 0.01)
      local lines = d:wrap("one two three", d:width("one two") + 1)
      report(lines[1]) report(lines[2]) report(#d:wrap("", 100))]])
  end)

  it("answers a font file that is not there with nil and an error naming it", function()
    local r = run [[
      local d, err = pdf.document { fonts = { regular = "/nowhere/a.ttf:/nowhere/b.ttf" } }
      report(d) report(err.code) report(err.message)]]
    assert.equal("nil", r[1])
    assert.matches("regular", r[3])
    assert.matches("/nowhere/", r[3])
  end)

  it("raises on misuse, naming the option", function()
    local r = run [[
      local d = document()
      report(fails(pdf.document, { fonts = FONTS, colour = 1 })) report(fails(pdf.document, {}))
      report(fails(pdf.document, { fonts = { bold = FONTS.bold } })) report(fails(pdf.document, { fonts = FONTS, page = "A3" }))
      report(fails(d.text, d, 1, 1, "x", { font = "italic" })) report(fails(d.text, d, 1, 1, "x", { color = "red" }))
      report(fails(d.text, d, 1, 1, "x", { align = "top" })) report(fails(d.text, d, 0/0, 1, "x"))
      report(fails(d.text, d, 1, 1, "\255")) report(fails(d.qr, d, 1, 1, 10, "")) report(fails(d.rect, d, 1, 1, 1, 1, { width = -1 }))]]
    for i, want in ipairs { "unknown option 'colour'", "'fonts' is missing", "no font 'regular'", "'page'", "no font 'italic'",
      "'color'", "'align'", "points", "UTF%-8", "QR", "'width'" } do
      assert.matches(want, r[i])
    end
  end)
end)

describe("perigee.file", function()
  it("answers nil and an error for what is not among the loaded files", function()
    assert.same({ "nil", "true" }, run [[
      local text, err = require("perigee.file").read "../../etc/passwd" report(text) report(err ~= nil)]])
  end)
end)
