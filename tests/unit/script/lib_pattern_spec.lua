local lib = assert(package.loadlib("", "luaopen_t_lib"))()

local head = [==[
local report, stock, ours = require "t.report", require "t.stock", require "t.pattern"
local function show(...)
  local t = table.pack(...)
  for i = 1, t.n do t[i] = type(t[i]) == "string" and ("%q"):format(t[i]) or tostring(t[i]) end
  return table.concat(t, ", ")
end
-- Which of its names a function is given in an argument error depends on the order of a table.
local function unnamed(text) return (text:gsub("to '[%w.]-(%w+)'", "to '%1'")) end
-- Equal results, or errors with equal messages.
local function same(name, ...)
  local want, got = show(pcall(stock[name], ...)), show(pcall(ours[name], ...))
  want, got = unnamed(want), unnamed(got)
  if want ~= got then error(("%s(%s)\n stock: %s\n  ours: %s"):format(name, show(...), want, got), 0) end
end
local function all(f, s, p)
  local out = {}
  for a, b, c in f(s, p) do out[#out + 1] = show(a, b, c) end
  return table.concat(out, ";")
end
local function same_gmatch(s, p)
  local want, got = show(pcall(all, stock.gmatch, s, p)), show(pcall(all, ours.gmatch, s, p))
  if want ~= got then error(("gmatch(%q, %q)\n stock: %s\n  ours: %s"):format(s, p, want, got), 0) end
end
]==]
local function run(chunk)
  local reports, _, err = lib.run(head .. chunk)
  assert(not err, err)
  return reports
end

describe("string patterns", function()
  it("give what the stock library gives for known cases", function()
    run [==[
      same("find", ("a"):rep(300), ("a?"):rep(250) .. "b") -- too complex
      local cases = {
        { "hello world", "o w" }, { "hello", "l+" }, { "hello", "(l)(l)" }, { "key = value", "^(%w+)%s*=%s*(%w+)$" },
        { "THE (quick) fox", "%((%a+)%)" }, { "f(a(b)c)d", "%b()" }, { "THE (quick) fox", "%f[%a]%a+" }, { "abc", "()b()" },
        { "a,b,,c", "([^,]*)" }, { "x", "" }, { "", "" }, { "", "^$" }, { "abc", "[a-]" }, { "]", "[]]" }, { "^", "[%^]" },
        { "a-b", "[a%-]+" }, { "\0a\0", "%z" }, { "\0a\0", "[\0]" }, { "aaa", "a-" }, { "aaab", "a-b" }, { "aXb", "%u" },
        { "abcabc", "(abc)%1" }, { "a.b", "%." }, { "ab", "a?b?c?" }, { "x^", "x^" }, { "a$b", "$b" }, { "%", "%%" },
        -- malformed
        { "a", "%" }, { "a", "[" }, { "a", "[^" }, { "a", "[]" }, { "a", "[%" }, { "a", "(" }, { "a", ")" }, { "a", "%b" },
        { "a", "%bx" }, { "a", "%f" }, { "a", "%fa" }, { "a", "%1" }, { "a", "(a)%2" }, { "a", "(%1)" }, { "a", "%0" }, { "b", "a[" },
        { "a", ("()"):rep(33) }, { "a", ("(a?)"):rep(33) },
      }
      for _, c in ipairs(cases) do
        local s, p = c[1], c[2]
        same("find", s, p) same("match", s, p) same_gmatch(s, p)
        same("gsub", s, p, "<%0>") same("gsub", s, p, "%1%1") same("gsub", s, p, { a = "A", [1] = true })
        same("gsub", s, p, function(...) return select("#", ...) > 1 and (...) or nil end)
        for i = -4, 6 do same("find", s, p, i) same("match", s, p, i) same("find", s, p, i, true) end
        for n = -1, 3 do same("gsub", s, p, "x", n) end
      end]==]
  end)

  it("check arguments and replacements as the stock library does", function()
    run [==[
      same("gsub", "a", "a", nil) same("gsub", "a", "a", true) same("gsub", "a", "a", 12) same("gsub", "a", "a")
      same("gsub", "abc", "b", "%") same("gsub", "abc", "b", "%x") same("gsub", "abc", "b", "%2") same("gsub", "abc", "(b)", "%2")
      same("gsub", "abc", "b", function() return {} end) same("gsub", "abc", "b", { b = print }) same("gsub", "abc", "()b", "%1")
      same("gsub", "abc", "b", function() error("mine", 0) end) same("gsub", "abc", "%w", "%%%0%%")
      same("gsub", "abc", "b", setmetatable({}, { __index = function(_, k) return k .. k end }))
      same("gsub", "hello", "", "-") same("gsub", "abc", "^a", "x") same("gsub", "aaa", "^a", "x")
      same("find", 123, 2) same("find", {}, "a") same("match", "a") same("find", "a", "a", "x") same("find", "a", "a", 1.5)
      same("rep", "ab", 3, ",") same("rep", "", 5) same("rep", "x", -1) same("rep", "x", 0, "y") same("rep", "", 3, "-")
      same("rep", "abc", 1, ",") same("rep", "x", "z") same("rep", "x", 1.5) same("rep", "xyz", 1000)
      for i = -2, 8 do
        local a, b = {}, {}
        for w in ours.gmatch("abcdef", "()", i) do a[#a + 1] = w end
        for w in stock.gmatch("abcdef", "()", i) do b[#b + 1] = w end
        assert(table.concat(a, ",") == table.concat(b, ","))
      end]==]
  end)

  it("give what the stock library gives for thousands of random pairs", function()
    run [==[
      math.randomseed(20261122)
      local random = math.random
      local parts = { "a", "b", "c", ".", "%a", "%d", "%w", "%s", "%p", "%A", "%.", "%%", "[ab]", "[^a]", "[a-c]", "[%d_]", "[]a]",
        "[^]]", "(", ")", "()", "^", "$", "%b()", "%bab", "%f[%w]", "%f[^a]", "%1", "%2", " ", "1", "-", "_", "[", "]", "%", "%z", "\0", "\255" }
      local suffix = { "", "", "", "*", "+", "-", "?" }
      local letters = { "a", "b", "c", "ab", "abc", " ", "1", "2", "(", ")", "_", "-", "%", "\0", "\255", "]", "^", "$", "." }
      local function subject()
        local t = {}
        for i = 1, random(0, 14) do t[i] = letters[random(#letters)] end
        return table.concat(t)
      end
      local function pattern()
        local t = {}
        if random(6) == 1 then t[1] = "^" end
        for _ = 1, random(0, 6) do
          if random(5) == 1 then
            t[#t + 1] = "(" .. parts[random(17)] .. suffix[random(#suffix)] .. ")"
          else
            t[#t + 1] = parts[random(#parts)] .. suffix[random(#suffix)]
          end
        end
        if random(6) == 1 then t[#t + 1] = "$" end
        return table.concat(t)
      end
      for _ = 1, 6000 do
        local s, p = subject(), pattern()
        same("find", s, p, random(-3, 5)) same("match", s, p) same_gmatch(s, p) same("gsub", s, p, "<%1>") same("gsub", s, p, "%0%0", random(0, 3))
      end]==]
  end)

  it("do not let rep make more than its cap", function()
    local r = run [==[
      report(select(2, pcall(ours.rep, "x", 1e10))) report(select(2, pcall(ours.rep, "x", math.maxinteger, "yy")))
      report(#ours.rep("xy", 1e6, "-"))]==]
    assert.matches("too large", r[1])
    assert.matches("too large", r[2])
    assert.equal("2999999", r[3])
  end)
end)
