-- The grammar of the shared files, as the SDKs agree on it (their common parser cases, in our words).
local t = require "t.credentials"

local function refused(pattern, config, credentials)
  local sections, why = t.parse(config, credentials)
  assert.is_nil(sections)
  assert.matches(pattern, why)
end

describe("profiles", function()
  describe("sections", function()
    it("are profile x and default in the config file, bare names in the credentials file", function()
      local p = t.parse("[default]\na=1\n[profile dev]\nb=2", "[dev]\nc=3\n[ops]\nd=4")
      assert.same({ a = "1" }, p["profile default"])
      assert.same({ b = "2", c = "3" }, p["profile dev"])
      assert.same({ d = "4" }, p["profile ops"])
    end)

    it("of SSO sessions and services have their own names", function()
      local p = t.parse("[sso-session x]\nsso_region = eu-west-1\n[services x]\ns3 =\n  endpoint_url = http://a\n[profile x]")
      assert.same({ sso_region = "eu-west-1" }, p["sso-session x"])
      assert.equal("http://a", p["services x"]["s3.endpoint_url"])
      assert.same({}, p["profile x"])
    end)

    it("may be quoted, padded, and followed by a comment", function()
      local p = t.parse [==[
[profile "my dev"]
a = 1
[profile 'single'] ; comment ]
[ profile	 tab ] # comment
b = 2
[profile close]; adjacent
c = 3
[profile "with ] bracket"]
d = 4
]==]
      assert.same({ a = "1" }, p["profile my dev"])
      assert.same({}, p["profile single"])
      assert.same({ b = "2" }, p["profile tab"])
      assert.same({ c = "3" }, p["profile close"])
      assert.same({ d = "4" }, p["profile with ] bracket"])
    end)

    it("take names of letters, digits and - / . % @ _ : +", function()
      local name = "some-thing:long/the_one%only.foo@bar+9"
      local p = t.parse("[profile " .. name .. "]\na=1\n[profile foo!bar]\nb=2")
      assert.same({ a = "1" }, p["profile " .. name])
      assert.is_nil(p["profile foo!bar"])
    end)

    it("of another form are left out with what they hold, and remembered by their header", function()
      local p = t.parse("[dev]\na=1\n[profilefoo]\nb=2\n[profile in valid]\nc=3\n[plugins]\nd=4\n[profile ok]\ne=5")
      assert.same({
        ["ignored dev"] = {}, ["ignored profilefoo"] = {}, ["ignored profile in valid"] = {},
        ["ignored plugins"] = {}, ["profile ok"] = { e = "5" },
      }, p)
      p = t.parse(nil, "[profile foo]\na=1\n[sso-session x]\nb=2\n[in valid]\nc=3\n[sso-sessionfoo]\nd=4")
      assert.same({ d = "4" }, p["profile sso-sessionfoo"])
      assert.is_nil(p["profile foo"])
      assert.is_nil(p["sso-session x"])
    end)

    it("of the same name are merged, later properties win, those of the credentials file win over all", function()
      local p = t.parse("[profile x]\na=1\nb=1\n[profile y]\n[profile x]\nB=2\nc=1", "[x]\nc=9")
      assert.same({ a = "1", b = "2", c = "9" }, p["profile x"])
    end)

    it("[profile default] replaces [default], whichever comes first", function()
      assert.same({ a = "1" }, t.parse("[profile default]\na=1\n[default]\nb=2")["profile default"])
      assert.same({ a = "1" }, t.parse("[default]\nb=2\ns3 =\n  x=1\n[profile default]\na=1")["profile default"])
      assert.same({ a = "1", c = "3", d = "4" },
        t.parse("[profile default]\na=1\n[default]\nb=2\n[profile default]\nc=3", "[default]\nd=4")["profile default"])
    end)
  end)

  describe("properties", function()
    it("have lower-case keys and trimmed values, which may be empty or hold '=' and UTF-8", function()
      local p = t.parse("[default]\n  \nRegion\t = \teu-west-1 \t\nempty =\nurl = a=b=c\nname = Grüße")
      assert.same({ region = "eu-west-1", empty = "", url = "a=b=c", name = "Grüße" }, p["profile default"])
    end)

    it("end at a comment that follows white space, not at one that does not", function()
      local p = t.parse("# x\n; y\n[default]\n  # indented\na = 1 # two\nb = 1;two\nc = 1#two\nd = 1\t; two # three\ne = # none")
      assert.same({ a = "1", b = "1;two", c = "1#two", d = "1", e = "" }, p["profile default"])
    end)

    it("go on in indented lines, comments included", function()
      local p = t.parse("[default]\na = one\n  two # not a comment\n\tthree\nb = 4")
      assert.same({ a = "one\ntwo # not a comment\nthree", b = "4" }, p["profile default"])
    end)

    it("have nested ones when their value is empty", function()
      local p = t.parse("[default]\nS3 =\n  Addressing_Style = path # why\n\n  max = 1\n  in valid = 2\nregion = x")
      assert.same({ s3 = "", ["s3.addressing_style"] = "path", ["s3.max"] = "1", region = "x" }, p["profile default"])
    end)

    it("with a key that is no name are left out", function()
      assert.same({ ok = "1" }, t.parse("[default]\nin valid = 3\n  more\nok = 1")["profile default"])
    end)

    it("know their file and line", function()
      assert.same({ "config", 4 }, { t.where("\n[default]\n\na = 1\n  2\n", "default", "a") })
    end)
  end)

  it("are read with a byte order mark, CR LF and no final line end", function()
    local p = t.parse("\xef\xbb\xbf[default]\r\na = 1\r\n\r\n  2\r\nb=2")
    assert.same({ a = "1\n2", b = "2" }, p["profile default"])
  end)

  it("may be empty", function()
    assert.same({}, t.parse("", ""))
    assert.same({}, t.parse("\n\n# nothing\n"))
  end)

  describe("that are malformed name file, line and what is wrong:", function()
    local cases = {
      { "[profile foo", "^config:1: a section must end with '%]'$" },
      { "[profile 'foo]", "^config:1: a quote is not closed$" },
      { "\n[]", "^config:2: a section without a name$" },
      { "[default] x", "^config:1: only a comment may follow the '%]'$" },
      { "a = 1", "^config:1: a property outside of any section" },
      { "  a = 1", "^config:1: a property outside of any section" },
      { "[default]\n= 1", "^config:2: a property without a name$" },
      { "[default]\na : 1", "^config:2: a '=' is missing: a property is written name = value$" },
      { "[default]\n  a = 1", "^config:2: an indented line continues a property, but there is none before it$" },
      { "[default]\na=1\n[default]\n  b", "^config:4: an indented line continues" },
      { "[default]\ns3 =\n  nothing", "^config:3: a '=' is missing: a nested property" },
      { "[default]\ns3 =\n  = x", "^config:3: a nested property without a name$" },
      { "[default]\na = 1\0", "^config:2: holds a control character$" },
      { "[default]\na = 1\rb = 2", "^config:2: holds a control character$" },
      { "[default]\na = " .. ("x"):rep(70000), "^config:2: a value is larger than 65536 bytes$" },
      { "[default]\na = x\n" .. (" " .. ("x"):rep(999) .. "\n"):rep(70), "^config:2: a value is larger" },
    }
    for i, case in ipairs(cases) do
      it(("case %d"):format(i), function() refused(case[2], case[1]) end)
    end
    it("also in the credentials file", function() refused("^credentials:2: ", nil, "[x]\nnothing here") end)
    it("without quoting the line, which may be a secret", function()
      local _, why = t.parse(nil, "[x]\naws_secret_access_key : wJalrXUtnFEMI")
      assert.is_nil(why:find "wJalr")
    end)
    it("when there are too many sections or properties", function()
      local lines = {}
      for i = 1, 10001 do lines[i] = "[profile p" .. i .. "]" end
      refused("^config:10001: more than 10000 sections$", table.concat(lines, "\n"))
      for i = 1, 1001 do lines[i] = "k" .. i .. " = 1" end
      refused("^config:1002: a section has more than 1000 properties$", "[default]\n" .. table.concat(lines, "\n", 1, 1001) .. "\n")
    end)
  end)
end)
