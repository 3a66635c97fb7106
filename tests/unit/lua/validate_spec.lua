require "unit.lua.plain"
local json = require "perigee.json"
local validate = require "perigee.validate"

local function compile(text) return validate.compile(text, "test.json") end

-- "path: message" of everything wrong with the JSON `text`; {} when nothing is.
local function complaints(schema, text)
  if type(schema) == "string" then schema = compile(schema) end
  local ok, fields = schema:check(assert(json.decode(text)))
  local out = {}
  for i, f in ipairs(fields or {}) do out[i] = f.path .. ": " .. f.message end
  assert.equal(#out == 0, ok == true)
  return out
end

local function accepts(schema, text) assert.same({}, complaints(schema, text)) end
local function refuses(schema, text, ...) assert.same({ ... }, complaints(schema, text)) end

describe("validate: keywords", function()
  it("type tells integers from decimals, and exactly", function()
    accepts('{"type":"integer"}', "9223372036854775807")
    accepts('{"type":"integer"}', "-9223372036854775808")
    refuses('{"type":"integer"}', "1.0", ": must be an integer")
    refuses('{"type":"integer"}', '"1"', ": must be an integer")
    refuses('{"type":"integer"}', "true", ": must be an integer")
    accepts('{"type":"number"}', "1")
    accepts('{"type":"number"}', "1.5")
  end)

  it("type tells empty arrays from empty objects, and null from everything", function()
    accepts('{"type":"array"}', "[]")
    refuses('{"type":"array"}', "{}", ": must be an array")
    accepts('{"type":"object"}', "{}")
    refuses('{"type":"object"}', "[]", ": must be an object")
    accepts('{"type":"null"}', "null")
    refuses('{"type":"string"}', "null", ": must be a string")
    accepts('{"type":["string","null"]}', "null")
    refuses('{"type":["string","null"]}', "1", ": must be a string or null")
  end)

  it("a wrong type is the only complaint about a value", function()
    refuses('{"type":"string","minLength":3,"format":"uuid"}', "7", ": must be a string")
  end)

  it("enum and const compare whole values", function()
    accepts('{"enum":["a",1,[1,2]]}', "[1,2]")
    refuses('{"enum":["a",1]}', '"b"', ": must be one of a, 1")
    refuses('{"enum":[[1]]}', "[1,2]", ": must be one of [1]")
    accepts('{"const":{"a":[]}}', '{"a":[]}')
    refuses('{"const":1}', "2", ": must be 1")
  end)

  it("bounds hold at the ends of int64", function()
    accepts('{"maximum":9223372036854775807}', "9223372036854775807")
    refuses('{"maximum":9223372036854775806}', "9223372036854775807", ": must be at most 9223372036854775806")
    accepts('{"minimum":0}', "0")
    refuses('{"minimum":0}', "-1", ": must be at least 0")
    refuses('{"exclusiveMinimum":0}', "0", ": must be greater than 0")
    refuses('{"exclusiveMaximum":10}', "10", ": must be less than 10")
    accepts('{"minimum":5}', '"not a number"')
  end)

  it("lengths count characters, not bytes", function()
    accepts('{"maxLength":4}', '"José"')
    refuses('{"maxLength":3}', '"José"', ": must have at most 3 characters")
    accepts('{"minLength":2}', '"李雷"')
    refuses('{"minLength":3}', '"李雷"', ": must have at least 3 characters")
  end)

  it("items are checked one by one, and counted", function()
    refuses('{"items":{"type":"string"}}', '["a",1,"b",2]', "[1]: must be a string", "[3]: must be a string")
    refuses('{"minItems":1}', "[]", ": must have at least 1 elements")
    refuses('{"maxItems":1}', "[1,2]", ": must have at most 1 elements")
    accepts('{"minItems":1}', "{}")
  end)

  it("finds every bad field at every depth, with its path", function()
    local schema = [[{"type":"object","required":["id","lines"],"properties":{"lines":{"type":"array","items":{
      "type":"object","required":["unit_price","description"],"properties":{"unit_price":{"type":"integer"}}}}}}]]
    refuses(schema, '{"lines":[{"unit_price":1,"description":"x"},{"unit_price":"1"}]}',
      "id: is required", "lines[1].description: is required", "lines[1].unit_price: must be an integer")
  end)

  it("null is a value: it does not satisfy a type, but is there", function()
    accepts('{"required":["a"]}', '{"a":null}')
    refuses('{"properties":{"a":{"type":"string"}}}', '{"a":null}', "a: must be a string")
  end)

  it("additionalProperties refuses or checks the rest", function()
    refuses('{"properties":{"a":true},"additionalProperties":false}', '{"a":1,"b":2,"c":3}',
      "b: is not a known field", "c: is not a known field")
    refuses('{"properties":{"a":true},"additionalProperties":{"type":"string"}}', '{"a":1,"b":2}', "b: must be a string")
    accepts('{"additionalProperties":false}', "[]")
  end)

  it("allOf joins complaints, anyOf and oneOf choose", function()
    refuses('{"allOf":[{"required":["a"]},{"required":["b"]}]}', "{}", "a: is required", "b: is required")
    accepts('{"anyOf":[{"type":"string"},{"type":"integer"}]}', "1")
    accepts('{"oneOf":[{"type":"string"},{"type":"integer"}]}', "1")
    refuses('{"oneOf":[{"minimum":1},{"minimum":2}]}', "3", ": matches more than one of the alternatives")
    accepts('{"oneOf":[{"minimum":1},{"minimum":2}]}', "1")
  end)

  it("of alternatives that all fail, the nearest one speaks", function()
    local schema = '{"anyOf":[{"title":"A","required":["a","b","c"]},{"title":"B","required":["x","y"]}]}'
    refuses(schema, '{"a":1,"b":2}', ": must be A (a, b, c) or B (x, y)", "c: is required")
    refuses(schema, '{"x":1}', ": must be A (a, b, c) or B (x, y)", "y: is required")
  end)

  it("true allows everything and false nothing", function()
    accepts('{"properties":{"a":true}}', '{"a":{}}')
    refuses('{"properties":{"a":false}}', '{"a":1}', "a: is not allowed")
  end)

  it("follows $ref, also to itself, and beside other keywords", function()
    local tree = '{"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"next":{"$ref":"#/$defs/node"},"n":{"type":"integer"}}}}}'
    accepts(tree, '{"n":1,"next":{"n":2,"next":{}}}')
    refuses(tree, '{"n":1,"next":{"next":{"n":"3"}}}', "next.next.n: must be an integer")
    refuses('{"$ref":"#/$defs/s","maxLength":1,"$defs":{"s":{"type":"string","minLength":1}}}', '"ab"',
      ": must have at most 1 characters")
    accepts('{"properties":{"child":{"$ref":"#"}},"additionalProperties":false}', '{"child":{"child":{}}}')
    refuses('{"properties":{"child":{"$ref":"#"}},"additionalProperties":false}', '{"child":{"kid":{}}}',
      "child.kid: is not a known field")
  end)
end)

describe("validate: formats", function()
  local function format(name) return compile(('{"format":"%s"}'):format(name)) end

  it("id is safe in URLs, keys and file names", function()
    for _, good in ipairs { "a", "o-1", "A.b_c~d:e@f+g=h", "0192f3a0-0000-7000-8000-000000000000" } do
      accepts(format "id", json.encode(good))
    end
    for _, bad in ipairs { "", "a/b", "../x", ".hidden", "a b", "a\0b", "é", "a#b", "a?b", "a%b", "a\nb", "-x" } do
      assert.equal(1, #complaints(format "id", json.encode(bad)), bad)
    end
  end)

  it("text is one readable line of any script", function()
    for _, good in ipairs { "José Ñandú 李雷", "a", "🙂", "O'Neil & \"Söhne\"" } do accepts(format "text", json.encode(good)) end
    for _, bad in ipairs { "", "   ", "a\nb", "a\0", "a\127", "a\u{85}b", "a\u{202e}b", "a\u{2028}", "\u{feff}a", "\u{ffff}" } do
      assert.equal(1, #complaints(format "text", json.encode(bad)), bad)
    end
  end)

  it("email is one bare address that no header can be broken with", function()
    for _, good in ipairs { "a@b.de", "jose.n+tag@mail.example.org", "x_1@a-b.co" } do accepts(format "email", json.encode(good)) end
    for _, bad in ipairs { "a", "a@b", "@b.de", "a@.de", "a@b..de", "a..b@c.de", "a b@c.de", "a@b.de\r\nBcc: x@y.de", "a@b.de,c@d.ef",
      "<a@b.de>", ("a"):rep(65) .. "@b.de", "a@-b.de", "é@b.de" } do
      assert.equal(1, #complaints(format "email", json.encode(bad)), bad)
    end
  end)

  it("uuid, date-time and currency", function()
    accepts(format "uuid", '"0192f3a0-1234-7abc-8def-0123456789aB"')
    refuses(format "uuid", '"0192f3a0-1234-7abc-8def-0123456789"', ": must be a UUID")
    accepts(format "date-time", '"2026-11-22T04:55:46.123Z"')
    refuses(format "date-time", '"2026-13-22T04:55:46Z"', ": must be a time such as 2026-11-22T04:55:46Z")
    refuses(format "date-time", '"2026-11-22"', ": must be a time such as 2026-11-22T04:55:46Z")
    accepts(format "currency", '"JPY"')
    refuses(format "currency", '"eur"', ": must be an ISO 4217 currency code such as EUR")
    refuses(format "currency", '"EUX"', ": must be an ISO 4217 currency code such as EUR")
  end)
end)

describe("validate: schemas that promise what nobody checks", function()
  local function fails(text, message)
    local ok, err = pcall(compile, text)
    assert.is_false(ok)
    assert.equal(message, err)
  end

  it("name the file and the place", function()
    fails('{"properties":{"a":{"pattern":"x"}}}', "test.json: #/properties/a: the keyword 'pattern' is not supported (see perigee.validate)")
    fails('{"items":{"x-note":1}}', "test.json: #/items: the keyword 'x-note' is not supported (see perigee.validate)")
    fails('{"anyOf":[{},{"minimun":1}]}', "test.json: #/anyOf/1: the keyword 'minimun' is not supported (see perigee.validate)")
    fails('{"type":"int"}', "test.json: #/type: 'int' is no type")
    fails('{"format":"phone"}',
      "test.json: #/format: 'phone' is not among the formats currency, date-time, email, id, text, uuid")
    fails('{"minLength":-1}', "test.json: #/minLength: must be an integer that is not negative")
    fails('{"enum":[]}', "test.json: #/enum: must be an array with elements")
    fails('{"required":"a"}', "test.json: #/required: must be an array")
    fails('{"$schema":"http://json-schema.org/draft-07/schema#"}',
      "test.json: #: $schema must be https://json-schema.org/draft/2020-12/schema")
  end)

  it("are refused when a reference goes nowhere, outside, or round in circles", function()
    fails('{"$ref":"#/$defs/no"}', "test.json: #/$ref: #/$defs/no is not there")
    fails('{"$ref":"other.json"}', 'test.json: #/$ref: only references into this file ("#/$defs/name") are supported')
    fails('{"$ref":"#"}', "test.json: #: $ref leads back to itself")
    assert.is_false(pcall(compile, '{"$defs":{"a":{"allOf":[{"$ref":"#/$defs/b"}]},"b":{"$ref":"#/$defs/a"}}}'))
  end)

  it("are checked in parts that nothing refers to, too", function()
    fails('{"$defs":{"a":{"oneof":[]}}}', "test.json: #/$defs/a: the keyword 'oneof' is not supported (see perigee.validate)")
  end)

  it("must be JSON, and an object", function()
    assert.is_false(pcall(compile, "{"))
    fails("[]", "test.json: a schema file must hold an object")
  end)
end)

describe("validate: the schemas of the order system", function()
  it("order: either shape, their union, both spellings", function()
    local schema = validate.schema "order"
    accepts(schema, '{"user_id":"u","item":"i","quantity":1,"total_price":0}')
    accepts(schema, '{"orderId":"o-1","customerName":"José"}')
    accepts(schema, '{"order_id":"o-1","customer_name":"José"}')
    accepts(schema, '{"user_id":"u","item":"i","quantity":1,"total_price":9223372036854775807,"orderId":"o","customerName":"x","email":"a@b.de","currency":"JPY"}')
    refuses(schema, '{"user_id":"u","item":"i","quantity":0}',
      ": must be an order of goods (user_id, item, quantity, total_price) or a receipt order (orderId, customerName)",
      "quantity: must be at least 1", "total_price: is required")
    refuses(schema, '{"orderId":"o","customerName":"x","status":"PAID"}', "status: is not a known field")
  end)

  it("payment and event load", function()
    accepts(validate.schema "payment", '{"order_id":"o","status":"paid","provider":"extra fields are fine"}')
    refuses(validate.schema "payment", '{"status":"paid"}', "order_id: is required")
    accepts(validate.schema "event", '{"id":"0192f3a0-1234-7abc-8def-0123456789ab","type":"t","version":1,"occurred_at":"2026-01-01T00:00:00.000Z","data":{"order_id":"o"}}')
  end)

  it("one that is missing says which file", function()
    local ok, err = pcall(validate.schema, "nothing")
    assert.is_false(ok)
    assert.matches("config/schemas/nothing%.json", err)
  end)
end)
