local d = require "t.dynamo"
local json = require "dkjson"

local item = json.encode {
  a = { N = "5" }, b = { N = "7" }, s = { S = "hello" }, e = { S = "" }, bin = { B = "AAEC" }, t = { BOOL = true }, z = { NULL = true },
  m = { M = { x = { N = "1" }, y = { M = { z = { S = "deep" } } }, ["odd.name"] = { S = "dot" } } },
  l = { L = { { N = "10" }, { S = "two" }, { L = { { N = "30" } } } } },
  ss = { SS = { "x", "y" } }, ns = { NS = { "1", "2.5" } }, bs = { BS = { "AA==" } },
  ["size"] = { N = "3" },
}
local values = {
  [":5"] = { N = "5" }, [":50"] = { N = "5.0" }, [":6"] = { N = "6" }, [":7"] = { N = "7" }, [":1"] = { N = "1" }, [":10"] = { N = "10" },
  [":hello"] = { S = "hello" }, [":he"] = { S = "he" }, [":x"] = { S = "x" }, [":25"] = { N = "2.50" }, [":two"] = { S = "two" },
  [":deep"] = { S = "deep" }, [":dot"] = { S = "dot" }, [":b1"] = { B = "AAE=" }, [":b0"] = { B = "AA==" }, [":true"] = { BOOL = true },
  [":null"] = { NULL = true }, [":yx"] = { SS = { "y", "x" } }, [":S"] = { S = "S" }, [":N"] = { S = "N" }, [":M"] = { S = "M" },
  [":L"] = { S = "L" }, [":SS"] = { S = "SS" }, [":BOOL"] = { S = "BOOL" }, [":NULL"] = { S = "NULL" }, [":l30"] = { L = { { N = "30" } } },
  [":3"] = { N = "3" }, [":0"] = { N = "0" }, [":bad"] = { S = "Q" }, [":empty"] = { S = "" }, [":l1"] = { L = { { N = "1" } } },
  [":ss"] = { SS = { "y", "new" } }, [":ns"] = { NS = { "2.50", "3" } }, [":bs"] = { BS = { "AA==", "AQ==" } }, [":m"] = { M = { k = { S = "v" } } },
}
local names = { ["#s"] = "size", ["#odd"] = "odd.name", ["#a"] = "a", ["#m"] = "m" }

-- The params with just those names and values that the expression mentions.
local function params(expression)
  local p = { Expression = expression }
  for k, v in pairs(values) do
    if (expression .. " "):find(k .. "[^%w_]") then
      p.ExpressionAttributeValues = p.ExpressionAttributeValues or {}
      p.ExpressionAttributeValues[k] = v
    end
  end
  for k, v in pairs(names) do
    if (expression .. " "):find(k .. "[^%w_]") then
      p.ExpressionAttributeNames = p.ExpressionAttributeNames or {}
      p.ExpressionAttributeNames[k] = v
    end
  end
  return json.encode(p)
end

local function holds(expression, of)
  local r, msg = d.condition(params(expression), of or item)
  if r == nil then error(expression .. ": " .. msg, 2) end
  return r
end

local function refused(expression)
  local r, msg = d.condition(params(expression), item)
  assert.is_nil(r, expression)
  return msg
end

describe("Conditions", function()
  it("compare values of one type by value", function()
    for _, x in ipairs {
      "a = :5", "a = :50", "a <> :6", "a < :6", "a <= :5", "a > :1", "a >= :5", "a < b", "s = :hello", "s > :he", "bin > :b1", "bin > :b0",
      "t = :true", "z = :null", "ss = :yx", "l[2] = :l30", ":5 = a", "m.y.z = :deep", "m.#odd = :dot", "l[0] = :10", "l[2][0] > :10",
      "#s = :3", "a BETWEEN :1 AND :5", "a between :5 and b", "a IN (:1, :5)", "a in (:1,b,:50)", "s IN (:x, :hello)",
    } do
      assert.is_true(holds(x), x)
    end
    for _, x in ipairs {
      "a = :6", "a = :hello", "a < :hello", "a > :hello", "s < :he", "nosuch = :5", "nosuch < :5", "nosuch > :5", "t = :hello",
      "a BETWEEN :6 AND :7", "a IN (:1, :6)", "m.x.y = :1", "l[9] = :1", "a[0] = :1", "m.nope = :5", "nosuch IN (:1)", "ss = :x",
    } do
      assert.is_false(holds(x), x)
    end
  end)

  it("find a missing or differently typed operand unequal", function()
    assert.is_true(holds "nosuch <> :5")
    assert.is_true(holds "a <> :hello")
    assert.is_false(holds "a <> :50")
  end)

  it("have functions", function()
    for _, x in ipairs {
      "attribute_exists(a)", "attribute_exists(m.y.z)", "attribute_not_exists(m.y.w)", "attribute_not_exists(l[3])", "attribute_exists(l[2][0])",
      "attribute_type(a, :N)", "attribute_type(m, :M)", "attribute_type(z, :NULL)", "attribute_type(t, :BOOL)", "attribute_type(ss, :SS)",
      "begins_with(s, :he)", "begins_with(s, :empty)", "begins_with(bin, :b0)", "contains(s, :he)", "contains(ss, :x)", "contains(ns, :25)",
      "contains(bs, :b0)", "contains(l, :two)", "contains(l, :l30)", "contains(bin, :b1)", "size(s) = :5", "size(e) = :0", "size(bin) = :3",
      "size(l) = :3", "size(m) = :3", "size(ss) > :1", "size(s) = size(:hello)", "size(l) BETWEEN :1 AND :5", "size(m) IN (:3)",
      "attribute_not_exists(nosuch)", "NOT attribute_exists(nosuch)",
    } do
      assert.is_true(holds(x), x)
    end
    for _, x in ipairs {
      "attribute_exists(nosuch)", "attribute_type(a, :S)", "attribute_type(nosuch, :S)", "begins_with(a, :he)", "begins_with(s, :x)",
      "contains(a, :5)", "contains(s, :5)", "contains(ss, :1)", "contains(nosuch, :x)", "size(a) = :1", "size(nosuch) = :0",
    } do
      assert.is_false(holds(x), x)
    end
  end)

  it("bind NOT before AND before OR, for every combination", function()
    local function bit(b) return b and "a = :5" or "a = :6" end
    for n = 0, 7 do
      local p, q, r = n & 1 > 0, n & 2 > 0, n & 4 > 0
      local P, Q, R = bit(p), bit(q), bit(r)
      assert.are.equal(p or (q and r), holds(P .. " OR " .. Q .. " AND " .. R))
      assert.are.equal((p and q) or r, holds(P .. " AND " .. Q .. " OR " .. R))
      assert.are.equal((not p) and q, holds("NOT " .. P .. " AND " .. Q))
      assert.are.equal((not p) or (q and not r), holds("NOT " .. P .. " OR " .. Q .. " AND NOT " .. R))
      assert.are.equal((p or q) and r, holds("(" .. P .. " OR " .. Q .. ") AND " .. R))
      assert.are.equal(not (p or q), holds("NOT (" .. P .. " OR " .. Q .. ")"))
      assert.are.equal(not not (p and q and r), holds(P .. " AND " .. Q .. " AND " .. R))
      assert.are.equal(p, holds("NOT NOT " .. P))
      assert.are.equal((p and q) or r, holds(("((%s) AND (%s)) OR (%s)"):format(P, Q, R)))
    end
  end)

  it("take keywords in any case and operands in parentheses", function()
    assert.is_true(holds "(a) = (:5)")
    assert.is_true(holds "not a = :6 And (s = :hello oR a = :6)")
    assert.is_true(holds "size((s)) = :5")
  end)

  it("treat a missing item as one without attributes", function()
    assert.is_true(d.condition(params "attribute_not_exists(a)"))
    assert.is_false(d.condition(params "a = :5"))
  end)

  it("name the token of a syntax error", function()
    local cases = {
      ["a = "] = 'Syntax error; token: "<EOF>", near: "="', ["a == :5"] = 'Syntax error; token: "=", near: "== :5"',
      ["a = :5 AND"] = 'Syntax error; token: "<EOF>", near: "AND"', ["a"] = 'Syntax error; token: "<EOF>", near: "a"',
      ["a = :5 b"] = 'Syntax error; token: "b", near: ":5 b"', ["(a = :5"] = 'Syntax error; token: "<EOF>"',
      ["a = :5)"] = 'Syntax error; token: ")"', ["a ! :5"] = 'Syntax error; token: "!"', ["a.[0] = :5"] = "Syntax error",
      ["a = 5"] = 'Syntax error; token: "5"', ["a IN ()"] = "Syntax error", ["AND"] = "Syntax error", ["a[x] = :5"] = "Syntax error",
      ["NOT"] = "Syntax error", ["é = :5"] = 'Syntax error; token: "é"', ["# = :5"] = 'Syntax error; token: "#"', ["(a) AND a = :5"] = "Syntax error",
      ["a = :5 AND (a)"] = "Syntax error", ["attribute_exists()"] = "Syntax error", ["1a = :5"] = 'Syntax error; token: "1", near: "1a"', ["_a = :5"] = 'Syntax error; token: "_", near: "_a"',
      ["a BETWEEN :1 OR :5"] = 'Syntax error; token: "OR"', ["a = :5 = :6"] = "Syntax error", ["a + b = :5"] = 'Syntax error; token: "+"',
    }
    for x, part in pairs(cases) do
      local msg = refused(x)
      assert.truthy(msg:find("Invalid ConditionExpression: ", 1, true) == 1, x .. ": " .. msg)
      assert.truthy(msg:find(part, 1, true), x .. ": " .. msg)
    end
    assert.are.equal("Invalid ConditionExpression: The expression can not be empty;", refused " ")
  end)

  it("name what is wrong besides syntax", function()
    local cases = {
      ["a = :nope"] = "An expression attribute value used in expression is not defined; attribute value: :nope",
      ["#nope = :5"] = "An expression attribute name used in the document path is not defined; attribute name: #nope",
      ["size = :5"] = "Attribute name is a reserved keyword; reserved keyword: size",
      ["m.Status = :5"] = "Attribute name is a reserved keyword; reserved keyword: Status",
      ["foo(a)"] = "Invalid function name; function: foo",
      ["if_not_exists(a, :5)"] = "The function is not allowed in a condition expression; function: if_not_exists",
      ["begins_with(s)"] = "Incorrect number of operands for operator or function; operator or function: begins_with, number of operands: 1",
      ["attribute_exists(a, b)"] = "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 2",
      ["begins_with(s, :5)"] = "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
      ["a < :true"] = "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL",
      ["a BETWEEN :yx AND :5"] = "Incorrect operand type for operator or function; operator or function: BETWEEN, operand type: SS",
      ["size(:5) = :5"] = "Incorrect operand type for operator or function; operator or function: size, operand type: N",
      ["attribute_exists(:5)"] = "Operator or function requires a document path; operator or function: attribute_exists",
      ["attribute_type(a, :bad)"] = "Invalid attribute type name found; type: Q, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
      ["attribute_type(a, :5)"] = "operator or function: attribute_type, operand type: N",
      ["a = a"] = "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]",
      ["m.l[1] IN (:5, m.l[1])"] = "operator: IN, first operand: [m, l, [1]]",
      ["size(a)"] = "The function is not allowed to be used this way in an expression; function: size",
      ["contains(s, :x) = :true"] = "The function is not allowed to be used this way in an expression; function: contains",
      ["attribute_exists(attribute_exists(a))"] = "The function is not allowed to be used this way in an expression; function: attribute_exists",
      ["((a = :5))"] = "The expression has redundant parentheses;",
      ["((a)) = :5"] = "The expression has redundant parentheses;",
      ["a BETWEEN :6 AND :5"] = "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:6}, upper bound operand: AttributeValue: {N:5}",
      ["a BETWEEN :x AND :5"] = "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: {S:x}, upper bound operand: AttributeValue: {N:5}",
      ["l[9999999999] = :5"] = "List index is not within the allowable range; index: [9999999999]",
    }
    for x, text in pairs(cases) do
      local msg = refused(x)
      assert.truthy(msg:find("Invalid ConditionExpression: ", 1, true) == 1, x .. ": " .. msg)
      assert.truthy(msg:find(text, 1, true), x .. ": " .. msg)
    end
  end)

  it("refuse unused, misnamed and empty names and values", function()
    local function message(p) return select(2, d.condition(json.encode(p), item)) end
    local v, n = { [":a"] = { N = "1" }, [":b"] = { N = "2" } }, { ["#a"] = "a", ["#b"] = "b" }
    assert.are.equal("Value provided in ExpressionAttributeValues unused in expressions: keys: {:b}",
      message { Expression = "a = :a", ExpressionAttributeValues = v })
    assert.are.equal("Value provided in ExpressionAttributeNames unused in expressions: keys: {#b}",
      message { Expression = "#a = :a", ExpressionAttributeNames = n, ExpressionAttributeValues = { [":a"] = { N = "1" } } })
    assert.are.equal('ExpressionAttributeNames contains invalid key: Syntax error; key: "a"',
      message { Expression = "a = :a", ExpressionAttributeNames = { a = "a" } })
    assert.are.equal('ExpressionAttributeValues contains invalid key: Syntax error; key: ":"',
      message { Expression = "a = :a", ExpressionAttributeValues = { [":"] = { N = "1" } } })
    assert.are.equal("ExpressionAttributeValues contains invalid value: Supplied AttributeValue is empty, must contain exactly one of the supported datatypes for key :a",
      select(2, d.condition('{"Expression":"a = :a","ExpressionAttributeValues":{":a":{}}}', item)))
    assert.are.equal("ExpressionAttributeValues must not be empty",
      select(2, d.condition('{"Expression":"a = :a","ExpressionAttributeValues":{}}', item)))
  end)

  it("bound size, depth and number of operators, with an error and not a hang", function()
    assert.truthy(refused("a = :5 OR " .. ("a"):rep(5000) .. " = :5"):find("Expression size has exceeded the maximum allowed size", 1, true))
    assert.truthy(refused(("NOT "):rep(500) .. "a = :5"):find("nested more than 300 levels", 1, true))
    assert.truthy(refused(("("):rep(2000) .. "a" .. (")"):rep(2000) .. " = :5"):find("nested more than 300 levels", 1, true))
    assert.truthy(refused(("a = :5 OR "):rep(301) .. "a = :5"):find("more than 300 operators", 1, true))
    assert.truthy(refused("a" .. (".b"):rep(40) .. " = :5"):find("too many nesting elements", 1, true))
    local many = {}
    for i = 1, 101 do many[i] = ":5" end
    assert.truthy(refused("a IN (" .. table.concat(many, ",") .. ")"):find("Incorrect number of operands", 1, true))
    many[101] = nil
    assert.is_true(holds("a IN (" .. table.concat(many, ",") .. ")"))
  end)

  it("survive any bytes", function()
    math.randomseed(11)
    local parts = { "a", "#a", ":5", "(", ")", "[", "]", "0", ".", ",", "=", "<", ">", "<>", "AND", "OR", "NOT", "BETWEEN", "IN", "size",
      "contains", "attribute_exists", "+", "-", "SET", "REMOVE", "ADD", "list_append", "\255", "\0", " " }
    for _ = 1, 3000 do
      local x = {}
      for i = 1, math.random(1, 14) do x[i] = parts[math.random(#parts)] end
      local p = { Expression = "@", ExpressionAttributeValues = { [":5"] = values[":5"] }, ExpressionAttributeNames = { ["#a"] = "a" } }
      local text = json.encode(p):gsub("@", (table.concat(x, math.random(2) == 1 and " " or ""):gsub('[%z\255]', "?")))
      d.condition(text, item)
      d.update(text, item)
    end
  end)

  it("know the reserved words", function()
    for _, w in ipairs { "abort", "ZONE", "Status", "name", "DATE", "size", "Null", "user", "timestamp", "year", "count", "ttl" } do
      assert.is_true(d.reserved(w), w)
    end
    for _, w in ipairs { "", "order_id", "email", "amount", "zzz", "abor", "aborts" } do assert.is_false(d.reserved(w), w) end
  end)
end)

local function updated(expression, of)
  local next_item, new, old = d.update(params(expression), of and json.encode(of) or item)
  if not next_item then error(expression .. ": " .. new, 2) end
  return json.decode(next_item), json.decode(new), json.decode(old)
end

local function not_updated(expression, of)
  local next_item, msg = d.update(params(expression), of and json.encode(of) or item)
  assert.is_nil(next_item, expression)
  return msg
end

describe("Updates", function()
  it("set attributes, members and elements", function()
    local r = updated "SET a = :6, m.x = :7, m.w = :x, l[0] = :two, fresh = :null"
    assert.are.same({ N = "6" }, r.a)
    assert.are.same({ N = "7" }, r.m.M.x)
    assert.are.same({ S = "x" }, r.m.M.w)
    assert.are.same({ S = "two" }, r.l.L[1])
    assert.are.same({ NULL = true }, r.fresh)
    assert.are.same({ N = "7" }, r.b)
  end)

  it("calculate exactly, from the values before the update", function()
    local r = updated "SET a = b, b = a, c = a + b, dd = :10 - a, ff = (a - :1), g = if_not_exists(nosuch, :1) + if_not_exists(a, :10)"
    assert.are.same({ { N = "7" }, { N = "5" }, { N = "12" }, { N = "5" }, { N = "4" }, { N = "6" } }, { r.a, r.b, r.c, r.dd, r.ff, r.g })
    assert.are.same({ N = "0.2" }, updated("SET x = x - :1", { x = { N = "1.2" } }).x)
  end)

  it("append lists", function()
    local r = updated("SET l = list_append(l, :l1), n = list_append(:l1, l), q = list_append(if_not_exists(q, :l1), :l1)", { l = { L = { { S = "a" } } } })
    assert.are.same({ { S = "a" }, { N = "1" } }, r.l.L)
    assert.are.same({ { N = "1" }, { S = "a" } }, r.n.L)
    assert.are.same({ { N = "1" }, { N = "1" } }, r.q.L)
  end)

  it("append elements past the end in the order of their indexes", function()
    local l = { L = { { S = "0" }, { S = "1" } } }
    local r, new = updated("SET l[9] = :x, l[5] = :two, l[0] = :hello", { l = l })
    assert.are.same({ { S = "hello" }, { S = "1" }, { S = "two" }, { S = "x" } }, r.l.L)
    assert.are.same({ l = { L = { { S = "hello" }, { S = "two" }, { S = "x" } } } }, new)
  end)

  it("remove attributes, members and elements by their old index", function()
    local l = { L = { { S = "0" }, { S = "1" }, { S = "2" }, { L = { { S = "30" }, { S = "31" } } } } }
    local r = updated("REMOVE l[0], l[2], l[3][0], a, m.k, gone SET l[1] = :x", { l = l, a = { S = "a" }, m = { M = { k = { S = "1" }, j = { S = "2" } } } })
    assert.are.same({ l = { L = { { S = "x" }, { L = { { S = "31" } } } } }, m = { M = { j = { S = "2" } } } }, r)
    assert.are.same({ L = { { S = "0" } } }, updated("REMOVE l[7]", { l = { L = { { S = "0" } } } }).l)
  end)

  it("add numbers and set members, delete set members", function()
    local of = { n = { N = "1.5" }, ss = { SS = { "x", "y" } }, ns = { NS = { "1", "2.5" } }, m = { M = { c = { N = "1" } } } }
    local r = updated("ADD n :10, ss :ss, fresh :5, fresh_set :yx, m.c :1 DELETE ns :ns", of)
    assert.are.same({ N = "11.5" }, r.n)
    assert.are.same({ SS = { "x", "y", "new" } }, r.ss)
    assert.are.same({ { N = "5" }, { SS = { "y", "x" } }, { N = "2" } }, { r.fresh, r.fresh_set, r.m.M.c })
    assert.are.same({ NS = { "1" } }, r.ns)
    r = updated("DELETE ss :yx, nosuch :yx", of)
    assert.is_nil(r.ss)
    assert.is_nil(r.nosuch)
  end)

  it("report the touched paths only", function()
    local _, new, old = updated "SET m.y.z = :x, l[1] = :7, fresh = :5 REMOVE a ADD b :1"
    assert.are.same({ m = { M = { y = { M = { z = { S = "x" } } } } }, l = { L = { { N = "7" } } }, fresh = { N = "5" }, b = { N = "8" } }, new)
    assert.are.same({ m = { M = { y = { M = { z = { S = "deep" } } } } }, l = { L = { { S = "two" } } }, a = { N = "5" }, b = { N = "7" } }, old)
  end)

  it("refuse operands that are missing or of the wrong type, and places that are not there", function()
    local missing = "The provided expression refers to an attribute that does not exist in the item"
    local operand = "An operand in the update expression has an incorrect data type"
    local place = "The document path provided in the update expression is invalid for update"
    for x, msg in pairs {
      ["SET c = nosuch"] = missing, ["SET c = nosuch + :1"] = missing, ["SET c = if_not_exists(nosuch, gone)"] = missing,
      ["SET c = s + :1"] = operand, ["SET c = list_append(s, l)"] = operand, ["ADD s :5"] = operand, ["ADD ss :5"] = operand, ["ADD l :yx"] = operand,
      ["DELETE s :yx"] = operand, ["DELETE ns :yx"] = operand, ["SET nosuch.x = :5"] = place, ["SET s.x = :5"] = place, ["SET m[0] = :5"] = place,
      ["SET l.x = :5"] = place, ["REMOVE nosuch.x"] = place, ["REMOVE a[0]"] = place, ["ADD nosuch.x :5"] = place,
      ["SET c = a + :big"] = "not defined",
    } do
      assert.truthy(not_updated(x):find(msg, 1, true), x .. ": " .. not_updated(x))
    end
    assert.truthy(not_updated("SET c = x + :1", { x = { N = "1e38" } }):find("more than 38 significant digits", 1, true))
    assert.truthy(not_updated("SET x = x + x", { x = { N = "9e125" } }):find("Number overflow", 1, true))
  end)

  it("name what is wrong with the expression", function()
    local cases = {
      ["SET a"] = 'Syntax error; token: "<EOF>"', ["a = :5"] = 'Syntax error; token: "a"', ["SET a = :5 b = :6"] = 'Syntax error; token: "b"',
      ["SET a = :5,"] = "Syntax error", ["REMOVE"] = "Syntax error", ["ADD a b"] = 'Syntax error; token: "b"', ["SET a = :5 + :6 + :7"] = 'Syntax error; token: "+"',
      ["SET a += :5"] = 'Syntax error; token: "+"', ["SET a = b = c"] = "Syntax error", ["SET SET = :5"] = "Syntax error",
      ["SET a = :5 SET b = :6"] = 'The "SET" section can only be used once in an update expression;',
      ["SET a = :5, a = :6"] = "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
      ["SET m.x = :5 REMOVE m"] = "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m, x], path two: [m]",
      ["SET l[0] = :5, l.x = :6"] = "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [l, [0]], path two: [l, x]",
      ["SET status = :5"] = "Attribute name is a reserved keyword; reserved keyword: status",
      ["SET c = size(a)"] = "The function is not allowed in an update expression; function: size",
      ["SET c = nope(a)"] = "Invalid function name; function: nope",
      ["SET c = if_not_exists(a)"] = "Incorrect number of operands for operator or function; operator or function: if_not_exists, number of operands: 1",
      ["SET c = if_not_exists(:5, :6)"] = "Operator or function requires a document path; operator or function: if_not_exists",
      ["SET c = list_append(l, :5)"] = "Incorrect operand type for operator or function; operator or function: list_append, operand type: N",
      ["SET c = :x + :5"] = "Incorrect operand type for operator or function; operator or function: +, operand type: S",
      ["ADD a :x"] = "Incorrect operand type for operator or function; operator: ADD, operand type: STRING",
      ["DELETE a :5"] = "Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER",
      ["ADD a :l1"] = "operator: ADD, operand type: LIST", ["SET #nope = :5"] = "attribute name: #nope", ["SET c = :nope"] = "attribute value: :nope",
      [""] = "The expression can not be empty;",
    }
    for x, text in pairs(cases) do
      local msg = not_updated(x)
      assert.truthy(msg:find("Invalid UpdateExpression: ", 1, true) == 1, x .. ": " .. msg)
      assert.truthy(msg:find(text, 1, true), x .. ": " .. msg)
    end
  end)
end)
