local aws = require "perigee.aws"
local dynamodb = require "perigee.dynamodb"
local json = require "perigee.json"

local function there_and_back(v) return dynamodb.unmarshal(dynamodb.marshal(v)) end

-- A generator of its own: the same values on every run.
local seed = 20261122
local function random(n)
  seed = (seed * 1103515245 + 12345) % (1 << 31)
  return (seed >> 8) % n + 1
end

-- The decimal of a text as sign, digits without zeros at either end, and exponent.
local function decimal(text)
  local sign, int, fraction, exponent = tostring(text):match "^(-?)(%d+)%.?(%d*)[eE]?([+-]?%d*)$"
  assert(sign, "not a number: " .. tostring(text))
  local digits = (int .. fraction):gsub("^0+", "")
  exponent = (tonumber(exponent) or 0) - #fraction
  digits = digits:gsub("0+$", function(zeros) exponent = exponent + #zeros return "" end)
  if digits == "" then return "0" end
  return ("%s%se%d"):format(sign, digits, exponent)
end

describe("attribute values", function()
  it("keep integers of 64 bits, as integers", function()
    for _, v in ipairs { 0, 1, -1, math.maxinteger, math.mininteger, 1 << 53, (1 << 53) + 1, -(1 << 53) - 1 } do
      local back = there_and_back(v)
      assert.equal("integer", math.type(back))
      assert.equal(v, back)
      assert.same({ N = ("%d"):format(v) }, dynamodb.marshal(v))
    end
  end)

  it("keep numbers of up to 38 digits, whatever they come back as", function()
    for _ = 1, 3000 do
      local digits = {}
      for i = 1, random(38) do digits[i] = random(10) - 1 end
      local text = table.concat(digits):gsub("^0+(%d)", "%1")
      if random(2) == 1 and #text > 1 then
        local at = random(#text - 1)
        text = text:sub(1, at) .. "." .. text:sub(at + 1)
      end
      if random(3) == 1 then text = text .. "e" .. random(200) - 100 end
      if random(2) == 1 then text = "-" .. text end
      local back = dynamodb.unmarshal { N = text }
      assert.equal(decimal(text), decimal(dynamodb.marshal(back).N))
    end
  end)

  it("keep every float, bit by bit", function()
    for _ = 1, 3000 do
      local v = string.unpack("<d", string.pack("<I4I4", random(1 << 31) - 1, random(1 << 31) - 1 | (random(2) - 1) << 31))
      if v == v and math.abs(v) ~= math.huge then
        local back = there_and_back(v)
        if type(back) == "userdata" then back = back:float() end
        assert.is_true(back == v, ("%a"):format(v))
      end
    end
  end)

  it("keep all bytes of binary values, and texts in UTF-8", function()
    local all = {}
    for i = 0, 255 do all[#all + 1] = string.char(i) end
    for n = 0, 256 do
      local bytes = table.concat(all, "", 1, n)
      assert.equal(bytes, there_and_back(dynamodb.binary(bytes)):bytes())
    end
    for _, text in ipairs { "", "\0", "José 日本 🎉", ("x"):rep(100000) } do assert.equal(text, there_and_back(text)) end
    assert.has_error(function() dynamodb.marshal "\xff" end)
  end)

  it("keep sets of each type, and refuse empty and mixed ones", function()
    local strings = there_and_back(dynamodb.set { "b", "a", "" })
    assert.is_true(strings == dynamodb.set { "", "a", "b" })
    local numbers = there_and_back(dynamodb.set { 1, math.mininteger, dynamodb.number "1e100" })
    assert.is_true(numbers:contains(math.mininteger) and numbers:contains(dynamodb.number "1e100") and not numbers:contains(2))
    local bytes = there_and_back(dynamodb.set { dynamodb.binary "\0", dynamodb.binary "\255" })
    assert.is_true(bytes:contains(dynamodb.binary "\255"))
    assert.has_error(function() dynamodb.set {} end)
    assert.has_error(function() dynamodb.marshal(dynamodb.set { 1, "1" }) end)
    for _, bad in ipairs { { SS = {} }, { SS = "a" }, { NS = { 1 } }, { SX = { "a" } } } do
      assert.has_error(function() dynamodb.unmarshal(bad) end)
    end
  end)

  it("tell empty lists, maps and strings, null and false apart", function()
    for _, text in ipairs { '{"L":[]}', '{"M":{}}', '{"S":""}', '{"B":""}', '{"NULL":true}', '{"BOOL":false}', '{"L":[{"NULL":true},{"L":[]},{"M":{}}]}' } do
      assert.equal(text, json.encode(dynamodb.marshal(dynamodb.unmarshal(json.decode(text)))))
    end
    assert.equal(json.null, dynamodb.unmarshal { NULL = true })
    assert.same({}, dynamodb.unmarshal { L = {} })
  end)

  it("keep random nested values", function()
    local function value(depth)
      local kind = random(depth > 0 and 9 or 7)
      if kind == 1 then return random(1 << 30) - (1 << 29) end
      if kind == 2 then return ("é"):rep(random(5) - 1) end
      if kind == 3 then return random(2) == 1 end
      if kind == 4 then return json.null end
      if kind == 5 then return random(1000) / 8 + 0.5 end
      if kind == 6 then return dynamodb.binary(("\0\255"):rep(random(3) - 1)) end
      if kind == 7 then return dynamodb.set { "a", "b" .. random(9) } end
      local t = kind == 8 and json.array {} or {}
      for i = 1, random(4) - 1 do t[kind == 8 and i or "k" .. i] = value(depth - 1) end
      return t
    end
    for _ = 1, 500 do
      local wire = dynamodb.marshal(value(6))
      assert.same(wire, dynamodb.marshal(dynamodb.unmarshal(wire)))
    end
  end)

  it("that are none are refused, naming what is wrong", function()
    for why, bad in pairs { ["no single type"] = {}, ["no attribute type 'X'"] = { X = 1 }, ["number attribute is number"] = { N = 1 },
      ["string attribute is array"] = { S = { 1 } }, ["is array, not object"] = { M = { { S = "" } } }, ["is object, not array"] = { L = { a = { S = "" } } },
      ["not base64"] = { B = "!" }, ["no number"] = { N = "0x10" }, ["single type"] = { S = "a", N = "1" }, ["type 'BOOL'"] = { BOOL = "true" } } do
      local ok, message = pcall(dynamodb.unmarshal, bad)
      assert.is_false(ok)
      assert.matches(why, message)
    end
  end)
end)

describe("items", function()
  it("are marshalled member by member, also when they are empty or look like lists", function()
    local item = { id = "1", n = 7, tags = json.array { "a" }, none = json.null }
    local wire = dynamodb.marshal_item(item)
    assert.equal('{"L":[{"S":"a"}]}', json.encode(wire.tags))
    assert.same({ N = "7" }, wire.n)
    assert.same(item, dynamodb.unmarshal_item(wire))
    assert.equal("{}", json.encode(dynamodb.marshal_item {}))
    assert.same({}, dynamodb.unmarshal_item {})
    local ok, message = pcall(dynamodb.marshal_item, { a = { b = print } })
    assert.is_false(ok)
    assert.matches("item.a.b: a function", message)
    assert.is_false((pcall(dynamodb.marshal_item, { "x" })))
    assert.is_false((pcall(dynamodb.unmarshal_item, { id = "plain" })))
  end)
end)

describe("on the engine", function()
  setup(function()
    assert(aws.dynamodb:create_table { TableName = "Values", AttributeDefinitions = { { AttributeName = "id", AttributeType = "S" } },
      KeySchema = { { AttributeName = "id", KeyType = "HASH" } }, BillingMode = "PAY_PER_REQUEST" })
    assert(aws.dynamodb:wait_until_table_exists { TableName = "Values" })
  end)
  local function nested(levels, list)
    local v = "x"
    for _ = 1, levels do v = list and { v } or { k = v } end
    return v
  end
  local key = { id = "1" }

  for kind, list in pairs { lists = true, maps = false } do
    it("32 levels of " .. kind .. " are kept, 33 are refused in DynamoDB's words", function()
      local function put(levels) return aws.dynamodb:put_item { TableName = "Values", Item = { id = "1", v = nested(levels, list) } } end
      assert(put(32))
      assert.same(nested(32, list), assert(aws.dynamodb:get_item { TableName = "Values", Key = key }).Item.v)
      local raw = assert(aws.call("dynamodb", "GetItem", { TableName = "Values", Key = dynamodb.marshal_item(key) }))
      assert.same(nested(32, list), dynamodb.unmarshal_item(raw.Item).v)
      local item = dynamodb.marshal_item { id = "1", v = nested(33, list) }
      for _, answer in ipairs { { put(33) }, { aws.call("dynamodb", "PutItem", { TableName = "Values", Item = item }) },
        { aws.dynamodb:transact_write_items { TransactItems = { { Put = { TableName = "Values", Item = { id = "2", v = nested(33, list) } } } } } },
        { aws.dynamodb:update_item { TableName = "Values", Key = key, UpdateExpression = "SET w = :w", ExpressionAttributeValues = { [":w"] = nested(33, list) } } } } do
        assert.is_nil(answer[1])
        assert.equal("ValidationException", answer[2].code)
        assert.matches("Nesting Levels have exceeded supported limits", answer[2].message)
      end
    end)
  end

  it("items come back as they were, in a batch and page by page", function()
    local requests = {}
    for i = 1, 20 do requests[i] = { PutRequest = { Item = { id = "p" .. i, n = i, big = dynamodb.number "12345678901234567890123456789012345678" } } } end
    assert(aws.dynamodb:batch_write_all { RequestItems = { Values = requests } })
    local seen, pages = 0, 0
    for page in aws.dynamodb:scan_pages { TableName = "Values", Limit = 7, FilterExpression = "attribute_exists(n)" } do
      pages = pages + 1
      for _, item in ipairs(page.Items) do
        seen = seen + item.n
        assert.equal("12345678901234567890123456789012345678", tostring(item.big))
      end
    end
    assert.equal(210, seen)
    assert.is_true(pages >= 3)
    local keys = {}
    for i = 1, 20 do keys[i] = { id = "p" .. i } end
    assert.equal(20, #assert(aws.dynamodb:batch_get_all { RequestItems = { Values = { Keys = keys } } }).Responses.Values)
  end)

  it("operations and services that it does not have are errors that name both", function()
    for _, pair in ipairs { { "dynamodb", "DescribeBackup" }, { "kms", "Encrypt" } } do
      local out, err = aws.call(pair[1], pair[2], {})
      assert.is_nil(out)
      assert.same({ "NotImplemented", "the embedded engine has no " .. pair[1] .. ":" .. pair[2], pair[1], pair[2] },
        { err.code, err.message, err.service, err.action })
    end
  end)

  it("objects go to and from files, and links carry what they were asked to", function()
    local dir = os.tmpname()
    os.remove(dir)
    assert(os.execute("mkdir " .. dir .. " && truncate -s 33M " .. dir .. "/in"))
    finally(function() os.execute("rm -r " .. dir) end)
    assert(aws.s3:create_bucket { Bucket = "files" })
    assert(aws.s3:wait_until_bucket_exists { Bucket = "files" })
    local put = assert(aws.s3:put_object { Bucket = "files", Key = "k", BodyFile = dir .. "/in" })
    local got = assert(aws.s3:get_object { Bucket = "files", Key = "k", ToFile = dir .. "/out" })
    assert.same({ put.ETag, 33 << 20 }, { got.ETag, got.ContentLength })
    assert.is_nil(got.Body)
    assert(os.execute(("cmp %s/in %s/out && test $(ls -A %s | wc -l) = 2"):format(dir, dir, dir)))
    local _, err = aws.s3:get_object { Bucket = "files", Key = "none", ToFile = dir .. "/none" }
    assert.equal("NoSuchKey", err.code)
    assert(os.execute(("test $(ls -A %s | wc -l) = 2"):format(dir)))
    assert.matches("response%-expires=x.*&X%-Amz%-Signature=%x+$", (aws.s3:presigned_url { Bucket = "files", Key = "k", ResponseExpires = "x" }))
    local form = assert(aws.s3:presigned_post { Bucket = "files", Key = "up/${filename}", Fields = { ["Content-Type"] = "a/b" } })
    assert.equal("up/${filename}", form.fields.key)
    assert.matches("^%x+$", form.fields["x-amz-signature"])
  end)
end)
