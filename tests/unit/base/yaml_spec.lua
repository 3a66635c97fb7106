local t = require "t.base"

local function refused(s)
    local v, message = t.yaml(s)
    assert.is_nil(v)
    return message
end

describe("yaml", function()
    it("keeps tags, lines and quoting", function()
        local v = t.yaml [[
# comment
Name: plain
Ref: !Ref Orders
Att: !GetAtt Orders.Arn
Join: !Join
  - ","
  - [a, 'b']
Block: |
  line
]]
        assert.equal(2, v.line)
        assert.same({ line = 2, tag = "", quoted = false, text = "plain" }, v.map.Name)
        assert.same({ line = 3, tag = "!Ref", quoted = false, text = "Orders" }, v.map.Ref)
        assert.equal("!GetAtt", v.map.Att.tag)
        assert.equal("!Join", v.map.Join.tag)
        assert.same({ line = 6, tag = "", quoted = true, text = "," }, v.map.Join[1])
        assert.equal("b", v.map.Join[2][2].text)
        assert.same({ 7, true }, { v.map.Join[2].line, v.map.Join[2][2].quoted })
        assert.same({ line = 8, tag = "", quoted = true, text = "line\n" }, v.map.Block)
    end)

    it("shortens core tags and drops the non-specific one", function()
        local v = t.yaml "a: !!str 5\nb: ! 6\nc: !<!Sub> x"
        assert.same({ "!!str", "", "!Sub" }, { v.map.a.tag, v.map.b.tag, v.map.c.tag })
    end)

    it("reads JSON", function()
        local v = t.yaml '{"a": [1, true, null, "x"], "b": {"c": "\\u00e9"}}'
        assert.equal("1", v.map.a[1].text)
        assert.is_false(v.map.a[1].quoted)
        assert.is_true(v.map.a[4].quoted)
        assert.equal("é", v.map.b.map.c.text)
    end)

    it("follows aliases and merge keys; written keys win", function()
        local v = t.yaml [[
base: &base {a: 1, b: 2}
other: &other {b: 20, c: 30}
one: {<<: *base, b: 3}
two:
  a: 9
  <<: [*base, *other]
same: *base
]]
        assert.same({ "1", "3" }, { v.map.one.map.a.text, v.map.one.map.b.text })
        assert.same({ "9", "2", "30" }, { v.map.two.map.a.text, v.map.two.map.b.text, v.map.two.map.c.text })
        assert.equal("2", v.map.same.map.b.text)
        assert.matches("t.yaml:1: '<<' needs a mapping", refused "<<: 5", 1, true)
    end)

    it("names duplicate keys with both lines", function()
        assert.matches("t.yaml:3: duplicate key 'a' (first in line 1)", refused "a: 1\nb: 2\na: 3\n", 1, true)
        assert.matches("t.yaml:2: duplicate key 'x'", refused "m:\n  {x: 1, x: 2}", 1, true)
        local lines = {}
        for i = 1, 300 do lines[i] = "k" .. i .. ": 1" end
        assert.matches("t.yaml:301: duplicate key 'k250' (first in line 250)", refused(table.concat(lines, "\n") .. "\nk250: 2"), 1, true)
    end)

    it("names the line of malformed text", function()
        assert.equal("t.yaml:3: control characters are not allowed", refused "a: 1\nb: 2\nc: \1\n")
        assert.matches("^t.yaml:2: invalid", refused "a: 1\nb: \255\n")
        assert.matches("^t.yaml:3: while parsing a flow sequence", refused "a: 1\nb: [1, 2\n")
        assert.matches("^t.yaml:2: ", refused "a:\n\tb: 1")
        assert.matches("^t.yaml:%d: ", refused "a: 'x")
        assert.matches("^t.yaml:1: invalid", refused "a: \xff")
        assert.matches("^t.yaml:1: ", refused "a: \0")
        assert.matches("t.yaml:1: unknown alias '*x'", refused "a: *x", 1, true)
        assert.matches("t.yaml:1: unknown alias '*x'", refused "&x [*x]", 1, true)
        assert.matches("t.yaml:1: a key must be a scalar", refused "? [a]\n: 1", 1, true)
        assert.matches("document is empty", refused "", 1, true)
        assert.matches("document is empty", refused "# nothing\n", 1, true)
        assert.matches("more than one document", refused "a: 1\n---\nb: 2", 1, true)
    end)

    it("limits nesting and the size that aliases unfold to", function()
        assert.matches("nested deeper than 64 levels", refused(("["):rep(100) .. ("]"):rep(100)), 1, true)
        local lines = { "a0: &a0 [x,x,x,x,x,x,x,x,x,x]" }
        for i = 1, 12 do
            local ref = "*a" .. (i - 1)
            lines[#lines + 1] = ("a%d: &a%d [%s]"):format(i, i, ref .. (", " .. ref):rep(9))
        end
        assert.matches("more than 200000 values", refused(table.concat(lines, "\n")), 1, true)
    end)
end)
