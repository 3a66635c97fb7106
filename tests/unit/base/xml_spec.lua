local t = require "t.base"

-- "a{k=v}(b:text c())" of a parsed element
local function shape(x)
    local parts, attributes = {}, {}
    for name, value in pairs(x.attributes) do attributes[#attributes + 1] = name .. "=" .. value end
    table.sort(attributes)
    for i, child in ipairs(x) do parts[i] = shape(child) end
    return x.name .. (attributes[1] and "{" .. table.concat(attributes, ",") .. "}" or "") .. (x.text ~= "" and ":" .. x.text or "") ..
        (parts[1] and "(" .. table.concat(parts, " ") .. ")" or "")
end

local function parsed(text) return shape(assert(t.xml_parse(text))) end

describe("xml_parse", function()
    it("makes a tree of elements, texts and attributes", function()
        assert.equal("a", parsed "<a/>")
        assert.equal("a:x", parsed "<?xml version='1.0' encoding='UTF-8'?>\n<!-- c --><a>x</a>\n")
        assert.equal("List(Item{n=1}(Key:a Size:12) Item(Key:b))",
            parsed "<List>\n  <Item n='1'>\n <Key>a</Key><Size>12</Size></Item><Item><Key>b</Key></Item>\n</List>")
    end)

    it("decodes entities, character references and CDATA", function()
        assert.equal("a{q=\"'}:&<>€ <raw> é", parsed "<a q='&quot;&apos;'>&amp;&lt;&gt;&#x20AC; <![CDATA[<raw>]]> &#233;</a>")
    end)

    it("keeps white space of leaves and drops that between elements", function()
        assert.equal(" a\n b ", t.xml_parse "<k> a\n b </k>".text)
        assert.equal("", t.xml_parse "<k>\n <x/>\n\t</k>".text)
        assert.equal("one  two", t.xml_parse "<k> one <x/> two </k>".text)
        assert.equal("\rline", t.xml_parse "<k>&#13;line</k>".text)
    end)

    it("drops namespaces", function()
        assert.equal("Grantee{type=Canonical}(ID:x)", parsed
            "<s3:Grantee xmlns:s3='u' xmlns='v' xmlns:xsi='w' xsi:type='Canonical'><s3:ID>x</s3:ID></s3:Grantee>")
    end)

    it("reads other encodings into UTF-8", function()
        assert.equal("a:é", parsed "<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>")
        assert.equal("a:é", parsed("\xff\xfe" .. ("<a>\xe9</a>"):gsub(".", "%0\0")))
    end)

    it("says what is wrong and where", function()
        for text, where in pairs {
            [""] = "no element found at line 1 column 1",
            ["   "] = "no element found at line 1 column 4",
            ["<a>\n <b></a>"] = "mismatched tag at line 2 column 7",
            ["<a>"] = "no element found at line 1 column 4",
            ["<a/><b/>"] = "junk after document element at line 1 column 5",
            ["<a>\xff</a>"] = "not well%-formed %(invalid token%) at line 1 column 4",
            ["<a>\0</a>"] = "not well%-formed %(invalid token%) at line 1 column 4",
            ["<a>&nbsp;</a>"] = "undefined entity at line 1 column 4",
            ["{\"json\":1}"] = "not well%-formed %(invalid token%) at line 1 column 1",
            ["<a x='1' x='2'/>"] = "duplicate attribute at line 1 column 10",
            ["<?xml version='1.0' encoding='EBCDIC'?><a/>"] = "unknown encoding at line 1",
        } do
            local x, msg, code = t.xml_parse(text)
            assert.is_nil(x, text)
            assert.equal("SyntaxError", code)
            assert.matches(where, msg)
        end
    end)

    it("refuses document types and with them entities of the document's own", function()
        for _, text in ipairs {
            "<!DOCTYPE html><html/>",
            '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;&c;</a>',
            '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        } do
            local x, msg = t.xml_parse(text)
            assert.is_nil(x)
            assert.matches("a DOCTYPE, which is refused, at line 1", msg)
        end
    end)

    it("takes 64 levels, not 65", function()
        assert.truthy(t.xml_parse(("<a>"):rep(64) .. ("</a>"):rep(64)))
        local x, msg = t.xml_parse(("<a>"):rep(65) .. ("</a>"):rep(65))
        assert.is_nil(x)
        assert.matches("elements nested more than 64 deep at line 1 column 193", msg)
    end)

    it("takes 100,000 elements and attributes, not more", function()
        assert.equal(99999, #t.xml_parse("<r>" .. ("<a/>"):rep(99999) .. "</r>"))
        assert.matches("more than 100000 elements", select(2, t.xml_parse("<r>" .. ("<a/>"):rep(100000) .. "</r>")))
        assert.matches("more than 100000 elements", select(2, t.xml_parse("<r>" .. ("<a b='1'/>"):rep(50000) .. "</r>")))
    end)

    it("reads a text of a megabyte", function()
        local long = ("0123456789é&amp;"):rep(50000)
        assert.equal((long:gsub("&amp;", "&")), t.xml_parse("<a>" .. long .. "</a>").text)
    end)

    it("tells an absent child from an empty one", function()
        assert.equal("1", t.xml_text("<r><a/><b>1</b><b>2</b></r>", "b"))
        assert.equal("", t.xml_text("<r><a/></r>", "a"))
        assert.is_nil(t.xml_text("<r><a/></r>", "c"))
    end)
end)

describe("xml_escape", function()
    it("escapes markup, quotes and white space that parsers would change", function()
        assert.equal("&lt;a href=&quot;x&apos;y&quot;&gt; &amp;amp; &#9;&#10;&#13;é€😀\x7f", t.xml_escape "<a href=\"x'y\"> &amp; \t\n\ré€😀\x7f")
    end)

    it("replaces what XML cannot hold", function()
        assert.equal("a�b�c�", t.xml_escape "a\0b\x1bc\xff")
        assert.equal("��x", t.xml_escape "\u{FFFE}\u{FFFF}x")
        assert.equal("\u{FFFD}", t.xml_escape "\u{FFFD}")
    end)

    it("gives back the same text when it is parsed", function()
        local text = {}
        for c = 0x20, 0x2ff do text[#text + 1] = utf8.char(c) end
        text = "\t\r\n  " .. table.concat(text) .. "\r\n "
        assert.equal(text, t.xml_parse("<a>" .. t.xml_escape(text) .. "</a>").text)
        assert.equal(text, t.xml_parse("<a b=\"" .. t.xml_escape(text) .. "\"/>").attributes.b)
    end)
end)
