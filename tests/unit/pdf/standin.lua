-- perigee.pdf over t.pdf: what script/lib/pdf.c offers, without the host. For specs of the layout.
local t = require "t.pdf"

local standin = { calls = {} } -- calls: every drawing operation of the last document
local loaded = {}

local function load_font(paths)
    if not loaded[paths] then loaded[paths] = assert(t.font(assert(t.font_load(paths)))) end
    return loaded[paths]
end

local Doc = {}
Doc.__index = Doc
local ALLOWED = {
    text = {font = true, size = true, color = true, align = true, width = true, leading = true},
    rect = {color = true, stroke = true, radius = true, width = true},
    line = {color = true, width = true}, qr = {color = true}, measure = {font = true, size = true},
}

local function check(kind, options)
    for name in pairs(options or {}) do assert(ALLOWED[kind][name], "unknown option " .. name) end
    return options or {}
end

function Doc:add(kind, op)
    op.kind = kind
    table.insert(self.ops, op)
    standin.calls = self.ops
end

function Doc:page() self:add("page", {}) end

function Doc:text(x, y, text, options)
    local o = check("text", options)
    assert(utf8.len(text), "the text is not UTF-8")
    self:add("text", {x = x, y = y, text = text, font = self.index[o.font or "regular"], size = o.size, color = o.color,
                      align = o.align or "left", w = o.width, leading = o.leading})
end

function Doc:rect(x, y, w, h, options)
    local o = check("rect", options)
    self:add("rect", {x = x, y = y, w = w, h = h, color = o.color, stroke = o.stroke, radius = o.radius, width = o.width})
end

function Doc:line(x1, y1, x2, y2, options)
    local o = check("line", options)
    self:add("line", {x = x1, y = y1, w = x2, h = y2, color = o.color, width = o.width})
end

function Doc:qr(x, y, size, text, options)
    self:add("qr", {x = x, y = y, w = size, text = text, color = check("qr", options).color})
end

function Doc:width(text, options)
    local o = check("measure", options)
    return self.faces[o.font or "regular"]:width(text, o.size or 10, self.faces.fallback)
end

function Doc:wrap(text, width, options)
    local o = check("measure", options)
    return self.faces[o.font or "regular"]:lines(text, width, o.size or 10, self.faces.fallback)
end

function Doc:page_count()
    local n = 0
    for _, op in ipairs(self.ops) do n = n + (op.kind == "page" and 1 or 0) end
    return n
end

function Doc:render(times)
    return t.render({page_w = 595.276, page_h = 841.890, title = self.title, author = self.author, subject = self.subject,
                     created_ms = self.created_ms, fonts = self.fonts, ops = self.ops}, times or standin.times)
end

function standin.document(o)
    local doc = setmetatable({ops = {}, faces = {}, fonts = {}, index = {}, title = o.title, author = o.author,
                              subject = o.subject, created_ms = o.created_ms}, Doc)
    local names = {}
    for name in pairs(o.fonts) do names[#names + 1] = name end
    table.sort(names)
    for i, name in ipairs(names) do
        doc.faces[name] = load_font(o.fonts[name])
        doc.fonts[i] = {name, doc.faces[name], name ~= "fallback" and o.fonts.fallback and "fallback" or nil}
        doc.index[name] = i - 1
    end
    return doc
end

return standin
