local d = require "t.dynamo"

local nines38 = ("9"):rep(38)

describe("DynamoDB numbers", function()
  it("are kept in one canonical plain form", function()
    local vectors = {
      { "0", "0" }, { "-0", "0" }, { "0.000", "0" }, { "0e999999", "0" }, { "+1", "1" }, { "1.50", "1.5" },
      { "1e3", "1000" }, { "1E+3", "1000" }, { "001", "1" }, { ".5", "0.5" }, { "5.", "5" }, { "-.5e-1", "-0.05" },
      { "100", "100" }, { "0.001", "0.001" }, { "12345678901234567890", "12345678901234567890" },
      { nines38, nines38 }, { "1" .. ("0"):rep(60), "1" .. ("0"):rep(60) },
      { "1" .. ("0"):rep(37) .. ".000", "1" .. ("0"):rep(37) },
      { "9.9999999999999999999999999999999999999e125", nines38 .. ("0"):rep(88) },
      { "1e-130", "0." .. ("0"):rep(129) .. "1" }, { "-1e-130", "-0." .. ("0"):rep(129) .. "1" },
      { "1e125", "1" .. ("0"):rep(125) },
    }
    for _, v in ipairs(vectors) do assert.are.equal(v[2], (d.number(v[1])), v[1]) end
  end)

  it("refuse a 39th significant digit, but not zeros", function()
    local _, msg = d.number("1" .. nines38)
    assert.are.equal("Attempting to store more than 38 significant digits in a Number", msg)
    _, msg = d.number("1." .. ("0"):rep(37) .. "1")
    assert.are.equal("Attempting to store more than 38 significant digits in a Number", msg)
    assert.are.equal(nines38 .. "0", (d.number(nines38 .. "0")))
    assert.are.equal("0.0000" .. nines38, (d.number("0.0000" .. nines38)))
  end)

  it("refuse magnitudes out of range", function()
    local over = "Number overflow. Attempting to store a number with magnitude larger than supported range"
    local under = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
    for _, s in ipairs { "1e126", "-1e126", "1e999999999999999999999" } do
      assert.are.equal(over, select(2, d.number(s)), s)
    end
    for _, s in ipairs { "1e-131", "9.9e-131", "-1e-999999999999999999999" } do
      assert.are.equal(under, select(2, d.number(s)), s)
    end
  end)

  it("refuse what is no decimal number", function()
    for _, s in ipairs { "", " 1", "1 ", "abc", "0x10", "1e", "1e+", "--1", "1.2.3", ".", "-", "NaN", "Infinity", "1_0", "1\0" } do
      local v, msg = d.number(s)
      assert.is_nil(v, s)
      assert.truthy(msg:find("The parameter cannot be converted to a numeric value", 1, true), s)
    end
  end)

  it("are added and subtracted exactly", function()
    local vectors = {
      { "0.3", "0.1", true, "0.2" }, { "0.1", "0.2", false, "0.3" }, { "1", "-1", false, "0" }, { "-1", "1", true, "-2" },
      { "999", "1", false, "1000" }, { "1000", "1", true, "999" }, { "1", "1000", true, "-999" },
      { "9223372036854775807", "1", false, "9223372036854775808" },
      { "1e20", "1e-17", false, "100000000000000000000.00000000000000001" },
      { nines38, "1", false, "1" .. ("0"):rep(38) }, { "0", "-5", false, "-5" }, { "5", "0", true, "5" },
      { "-0.5", "-0.5", true, "0" },
    }
    for _, v in ipairs(vectors) do
      assert.are.equal(v[4], (d.add(v[1], v[2], v[3])), v[1] .. (v[3] and " - " or " + ") .. v[2])
    end
  end)

  it("refuse a sum that needs more than 38 digits or is out of range", function()
    assert.truthy(select(2, d.add("1e38", "0.1")):find("more than 38 significant digits", 1, true))
    assert.truthy(select(2, d.add("1e125", "1e-130")):find("more than 38 significant digits", 1, true))
    assert.truthy(select(2, d.add("9e125", "1e125")):find("Number overflow", 1, true))
    assert.truthy(select(2, d.add("-9e125", "1e125", true)):find("Number overflow", 1, true))
    assert.truthy(select(2, d.add("1.5e-130", "1e-130", true)):find("Number underflow", 1, true))
  end)

  it("have key bytes in the order of the numbers", function()
    local ordered = { "-9.9e125", "-1e125", "-1000", "-999.5", "-999", "-11", "-10.01", "-10", "-1.5", "-1", "-0.1", "-0.09",
      "-1e-130", "0", "1e-130", "0.09", "0.1", "0.99", "1", "1.01", "1.1", "1.5", "9", "10", "10.01", "11", "99", "100", "101",
      nines38, "1e38", "9.9e125" }
    for i = 1, #ordered - 1 do
      local a, b = d.key(ordered[i]), d.key(ordered[i + 1])
      assert.is_true(a < b, ordered[i] .. " < " .. ordered[i + 1])
      assert.are.equal(-1, d.compare(ordered[i], ordered[i + 1]))
      assert.are.equal(1, d.compare(ordered[i + 1], ordered[i]))
    end
    assert.are.equal(d.key("1"), d.key("1.0"))
    assert.are.equal(d.key("0"), d.key("-0.0"))
  end)

  it("agree with an independent decimal implementation", function()
    local python = io.popen("command -v python3")
    local found = python:read("a") ~= ""
    python:close()
    if not found then return pending("no python3") end
    math.randomseed(7)
    local function random_number()
      local digits = {}
      for i = 1, math.random(1, 38) do digits[i] = math.random(0, 9) end
      return (math.random(2) == 1 and "-" or "") .. table.concat(digits) .. "e" .. math.random(-60, 40)
    end
    local pairs_of, script = {}, { [[
import decimal
c = decimal.Context(prec=400, Emin=-9999, Emax=9999)
def plain(x):
    x = x.normalize(c)
    if x == 0: return '0'
    return format(x, 'f')
def show(x):
    d = x.normalize(c)
    if d == 0: return '0'
    if len(d.as_tuple().digits) > 38: return 'digits'
    return plain(d)
for l in '''
]] }
    for i = 1, 400 do
      local a, b = random_number(), random_number()
      pairs_of[i] = { a, b }
      script[#script + 1] = a .. " " .. b .. "\n"
    end
    script[#script + 1] = [[
'''.split('\n'):
    if not l: continue
    a, b = [decimal.Decimal(t) for t in l.split()]
    print(plain(a), plain(b), show(c.add(a, b)), show(c.subtract(a, b)), (a > b) - (a < b))
]]
    local name = os.tmpname()
    local f = assert(io.open(name, "w"))
    f:write(table.concat(script))
    f:close()
    local out = io.popen("python3 " .. name)
    local function check(expected, got, msg)
      if expected == "digits" then return assert.truthy(msg and msg:find("38 significant", 1, true)) end
      assert.are.equal(expected, got)
    end
    for _, p in ipairs(pairs_of) do
      local a, b, sum, difference, order = out:read("l"):match("^(%S+) (%S+) (%S+) (%S+) (%S+)$")
      check(a, d.number(p[1]))
      check(b, d.number(p[2]))
      check(sum, d.add(p[1], p[2]))
      check(difference, d.add(p[1], p[2], true))
      assert.are.equal(tonumber(order), d.compare(p[1], p[2]))
      local ka, kb = d.key(p[1]), d.key(p[2])
      assert.are.equal(tonumber(order), ka < kb and -1 or ka > kb and 1 or 0)
    end
    out:close()
    os.remove(name)
  end)
end)

describe("Items", function()
  local json = require "dkjson"

  it("keep every type through the stored form", function()
    local item = [[{"s":{"S":"é€"},"e":{"S":""},"n":{"N":"-1.5"},"b":{"B":"AAECgP8="},"eb":{"B":""},"t":{"BOOL":true},]]
      .. [["f":{"BOOL":false},"z":{"NULL":true},"m":{"M":{"x":{"L":[{"N":"1"},{"M":{}},{"L":[]}]}}},]]
      .. [["ss":{"SS":["a","b"]},"ns":{"NS":["1","2.5"]},"bs":{"BS":["AA==","AQ=="]}}]]
    local blob = assert(d.blob(item))
    assert.are.same(json.decode(item), json.decode(assert(d.item(blob))))
    assert.are.equal(1, blob:byte(1))
  end)

  it("with a damaged stored form are refused, whatever the damage", function()
    local blob = assert(d.blob [[{"s":{"S":"abc"},"l":{"L":[{"N":"1"},{"M":{"x":{"SS":["a"]}}}]},"b":{"BOOL":true}}]])
    for i = 0, #blob - 1 do assert.is_nil((d.item(blob:sub(1, i)))) end
    math.randomseed(3)
    for i = 1, #blob do
      for _ = 1, 20 do d.item(blob:sub(1, i - 1) .. string.char(math.random(0, 255)) .. blob:sub(i + 1)) end
    end
    assert.truthy(select(2, d.item("\2" .. blob:sub(2))):find("unknown format 2", 1, true))
    assert.is_nil((d.item(blob .. "x")))
  end)

  it("are measured as AWS does", function()
    local sizes = {
      ['{"id":{"S":"abc"}}'] = 5, ['{"é":{"S":"é"}}'] = 4, ['{"n":{"N":"0"}}'] = 2, ['{"n":{"N":"1"}}'] = 3,
      ['{"n":{"N":"123"}}'] = 4, ['{"n":{"N":"12300"}}'] = 4, ['{"n":{"N":"0.0012"}}'] = 3, ['{"n":{"N":"1001"}}'] = 4,
      ['{"b":{"B":"AAEC"}}'] = 4, ['{"t":{"BOOL":false}}'] = 2, ['{"z":{"NULL":true}}'] = 2,
      ['{"l":{"L":[]}}'] = 4, ['{"m":{"M":{}}}'] = 4, ['{"l":{"L":[{"S":"ab"},{"N":"1"}]}}'] = 1 + 3 + 3 + 3,
      ['{"m":{"M":{"k":{"S":"ab"}}}}'] = 1 + 3 + 1 + 1 + 2, ['{"s":{"SS":["a","bc"]}}'] = 4, ['{"s":{"NS":["1","22"]}}'] = 5,
    }
    for item, n in pairs(sizes) do assert.are.equal(n, (d.size(item)), item) end
  end)

  it("can have empty strings as members of sets", function()
    assert.are.equal(1, d.size '{"a":{"SS":[""]}}')
    assert.are.equal(2, d.size '{"a":{"BS":["","AA=="]}}')
  end)

  it("refuse values that are not one of AWS's types", function()
    local bad = {
      ['{"a":{}}'] = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
      ['{"a":{"S":"x","N":"1"}}'] = "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
      ['{"a":{"X":"x"}}'] = "unknown datatype 'X'",
      ['{"a":{"N":1}}'] = "JSON number where a string",
      ['{"a":{"S":1}}'] = "JSON number where a string",
      ['{"a":"x"}'] = "JSON string where a map",
      ['{"a":{"B":"?"}}'] = "Invalid last non-pad Base64 character dectected",
      ['{"a":{"NULL":false}}'] = "Null attribute value types must have the value of true",
      ['{"a":{"SS":[]}}'] = "An string set  may not be empty",
      ['{"a":{"NS":[]}}'] = "An number set  may not be empty",
      ['{"a":{"SS":["x","y","x"]}}'] = "Input collection [x, y, x] contains duplicates.",
      ['{"a":{"NS":["1","1.0"]}}'] = "Input collection contains duplicates",
      ['{"a":{"BS":["AA==","AA=="]}}'] = "contains duplicates",
      ['{"a":{"L":{}}}'] = "where a list is expected",
      ['{"a":{"M":[]}}'] = "where a map is expected",
      ['{"a":{"BOOL":"true"}}'] = "where a boolean is expected",
      ['{"":{"S":"x"}}'] = "Attribute name must not be empty",
    }
    for item, part in pairs(bad) do
      local v, msg = d.size(item)
      assert.is_nil(v, item)
      assert.truthy(msg:find(part, 1, true), item .. ": " .. msg)
    end
  end)

  it("nest 32 levels deep, not 33", function()
    local function nested(n, open, close) return '{"a":' .. open:rep(n) .. '{"S":"x"}' .. close:rep(n) .. "}" end
    assert.truthy(d.size(nested(32, '{"L":[', "]}")))
    assert.truthy(d.item(d.blob(nested(32, '{"M":{"k":', "}}"))))
    assert.truthy(select(2, d.size(nested(33, '{"L":[', "]}"))):find("Nesting Levels have exceeded supported limits", 1, true))
    assert.truthy(select(2, d.size(nested(33, '{"M":{"k":', "}}"))):find("Nesting Levels", 1, true))
  end)
end)
