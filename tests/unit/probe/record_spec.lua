-- What recordings hold, what they do not, and how much of them there is.
local record = require "t.record"

local PLACEHOLDER = "redacted%-%x%x%x%x%x%x%x%x%x%x"

describe("redaction", function()
  local function redact(text, rules) return record.redact(text, rules) end
  local function body(inner) return ('{"request":{"body":%q}}'):format(inner) end

  it("hides headers, in any case and in both shapes that documents have", function()
    local out = redact([=[{"request":{"headers":[["AUTHORIZATION","Bearer x"],["Accept","*/*"]]},
      "document":{"headers":{"Cookie":"a=b","accept":"text/html"}}}]=], { headers = { "authorization", "cookie" } })
    assert.matches('%["AUTHORIZATION","' .. PLACEHOLDER .. '"%]', out)
    assert.matches('["Accept","*/*"]', out, 1, true)
    assert.matches('"Cookie":"' .. PLACEHOLDER .. '"', out)
    assert.matches('"accept":"text/html"', out, 1, true)
  end)

  it("hides fields at any depth, within JSON that is text, and within DynamoDB's values", function()
    local out = redact('{"request":{"body":"{\\"a\\":[{\\"email\\":\\"x@y.org\\"}]}"},"calls":[{"params":{"Item":{"email":{"S":"x@y.org"}}}}]}',
      { fields = { "email" } })
    assert.is_nil(out:find("x@y.org", 1, true))
    local address = PLACEHOLDER .. "@redacted%.invalid"
    assert.matches('"{\\"a\\":%[{\\"email\\":\\"' .. address .. '\\"}%]}"', out)
    assert.matches('"email":{"S":"' .. address .. '"}', out)
  end)

  it("hides a field of another one only there", function()
    local out = redact('{"event":{"customer":{"name":"Jana"},"item":{"name":"a cup"}},"result":{"customer":{"M":{"name":{"S":"Jana"}}}}}',
      { fields = { "customer.name" } })
    assert.is_nil(out:find("Jana", 1, true))
    assert.matches('"item":{"name":"a cup"}', out, 1, true)
  end)

  it("hides a value wherever else it stands, also before the place that names it", function()
    local out = redact('{"answer":{"body":"Thank you, Jana!"},"event":{"name":"Jana"},"error":{"message":"no Janastreet"}}', { fields = { "name" } })
    assert.matches("Thank you, " .. PLACEHOLDER .. "!", out)
    assert.matches("no Janastreet", out, 1, true) -- another word
  end)

  it("gives equal values equal placeholders, other values others, and leaves placeholders as they are", function()
    local out = redact('{"event":[{"name":"Jana"},{"name":"Jana"},{"name":"Jan"}]}', { fields = { "name" } })
    local a, b, c = out:match '"name":"([^"]+)"},{"name":"([^"]+)"},{"name":"([^"]+)"'
    assert.equal(a, b)
    assert.not_equal(a, c)
    assert.equal(out, redact(out, { fields = { "name" } }))
  end)

  it("keeps numbers numbers of as many digits", function()
    local out = redact('{"event":{"card":4111111111111111},"params":{"card":{"N":"4111111111111111"},"pin":{"N":"1234"}}}', { fields = { "card", "pin" } })
    assert.is_nil(out:find("4111111111111111", 1, true))
    local a, b = out:match '"card":(%d+)}.*"card":{"N":"(%d+)"}'
    assert.equal(16, #a)
    assert.equal(a, b)
    assert.matches('"pin":{"N":"%d%d%d%d"}', out)
  end)

  it("hides all of an object", function()
    local out = redact('{"event":{"address":{"street":"Main 1","lines":["x","y"],"geo":{"lat":1.5}}}}', { fields = { "address" } })
    assert.matches('"address":{"street":"' .. PLACEHOLDER .. '","lines":%["' .. PLACEHOLDER .. '","' .. PLACEHOLDER .. '"%],"geo":{"lat":0}}', out)
  end)

  it("hides parameters of a query", function()
    local out = redact('{"request":{"target":"/x?email=a%40b.org&page=2&email"}}', { fields = { "email" } })
    assert.matches('"target":"/x%?email=' .. PLACEHOLDER .. '@redacted%.invalid&page=2&email"', out)
  end)

  it("hides secrets anywhere, also in the middle of a word", function()
    local out = redact(body "key=s3cret!x", { secrets = { "s3cret!" } })
    assert.is_nil(out:find("s3cret", 1, true))
    assert.matches("key=" .. PLACEHOLDER .. "x", out)
  end)

  it("does not hide what a recording says itself", function()
    local text = '{"id":"1","function":"F","status":200,"calls":[{"service":"s3","params":{"status":"kept?"}}]}'
    local out = redact(text, { fields = { "status", "service", "function", "id" } })
    assert.matches('"id":"1","function":"F","status":200', out, 1, true)
    assert.matches('"service":"s3"', out, 1, true)
    assert.is_nil(out:find("kept?", 1, true))
  end)

  it("leaves what a recording says itself, whatever values are hidden", function()
    local text = '{"kind":"request","outcome":"ok","request":{"method":"GET","headers":[["Host","x"]],"body":"{\\"name\\":[\\"request\\",\\"ok\\",\\"GET\\",\\"Host\\",\\"app\\"]}"},"host":{"template":"/app/t.yaml"}}'
    local out = redact(text, { fields = { "name" } })
    assert.matches('"kind":"request","outcome":"ok","request":{"method":"GET","headers":[["Host","x"]]', out, 1, true)
    assert.matches('"template":"/app/t.yaml"', out, 1, true)
    assert.matches(PLACEHOLDER, out)
  end)

  it("hides a value also as URLs and forms have it", function()
    local out = redact('{"request":{"target":"/c/a%40b.org?x=Jana+M%C3%BCller","headers":[["Referer","http://x/Jana%20M%C3%BCller"]]},"event":{"name":["a@b.org","Jana Müller"]}}',
      { fields = { "name" } })
    assert.is_nil(out:find("a%40b", 1, true))
    assert.is_nil(out:find("Jana", 1, true))
    local secret = redact('{"request":{"target":"/?key=s3cr%2Ft"}}', { secrets = { "s3cr/t" } })
    assert.is_nil(secret:find("s3cr", 1, true))
  end)

  it("hides members of forms", function()
    local out = redact('{"request":{"body":"email=a%40b.org&page=2"},"document":{"rawQueryString":"page=2&email=a%40b.org"}}', { fields = { "email" } })
    local address = PLACEHOLDER .. "@redacted%.invalid"
    assert.matches('"body":"email=' .. address .. '&page=2"', out)
    assert.matches('"rawQueryString":"page=2&email=' .. address .. '"', out)
    local other = '{"request":{"target":"/x?","body":"{\\"a\\":\\"=&\\"}"},"answer":{"body":"a=b&&c&"}}'
    assert.equal(other, redact(other, { fields = { "email" } }))
  end)

  it("hides all of a body that names a member and cannot be read: broken JSON, JSON lines, parts of forms", function()
    local rules = { fields = { "customer.email" } }
    for _, text in ipairs { [[{\"email\":\"x@y.org\",}]], [[{\"email\":\"x@y.org\"}\n{}]], [[form-data; name=\"email\"\n\nx@y.org]] } do
      assert.matches('"body":"' .. PLACEHOLDER, redact('{"request":{"body":"' .. text .. '"}}', rules))
      assert.matches('"MessageBody":"' .. PLACEHOLDER, redact('{"params":{"MessageBody":"' .. text .. '"}}', rules))
    end
    local within = redact('{"event":"{\\"body\\":\\"\\\\\\"email\\\\\\" x@y.org\\"}"}', rules)
    assert.is_nil(within:find("x@y.org", 1, true), within)
    local plain = '{"request":{"body":"an email\\n"}}'
    assert.equal(plain, redact(plain, rules))
  end)

  it("hides the token of a header wherever it goes", function()
    local out = redact([=[{"request":{"headers":[["Authorization","Bearer tok-1234567"],["Cookie","lang=en; session=abcdef123456"]]},
      "calls":[{"params":{"Key":{"id":{"S":"abcdef123456"},"token":{"S":"session:tok-1234567"}}}}]}]=], { headers = { "authorization", "cookie" } })
    assert.is_nil(out:find("abcdef123456", 1, true))
    assert.is_nil(out:find("tok-1234567", 1, true))
  end)

  it("hides the cookies of events, and headers that --redact names", function()
    local out = redact('{"event":{"cookies":["session=abcdef"],"headers":{"X-Customer":"Jana"}},"request":{"headers":[["x-customer","Jana"]]}}',
      { headers = { "cookie" }, fields = { "X-Customer" } })
    assert.is_nil(out:find("abcdef", 1, true))
    assert.is_nil(out:find("Jana", 1, true))
  end)

  it("hides numbers wherever they stand, and numbers that are secrets", function()
    local out = redact('{"event":{"card":41111111,"pan":41111111},"result":{"Item":{"x":{"N":"41111111"}},"pin":98765}}', { fields = { "card" }, secrets = { "98765" } })
    assert.is_nil(out:find("41111111", 1, true))
    assert.is_nil(out:find("98765", 1, true))
    assert.matches('"pan":%d%d%d%d%d%d%d%d}.*"N":"%d%d%d%d%d%d%d%d"}', out)
    out = redact('{"event":{"card":"41111111"},"result":{"x":{"N":"41111111"}}}', { fields = { "card" } })
    assert.matches('"x":{"N":"%d%d%d%d%d%d%d%d"}', out)
    assert.is_nil(out:find("41111111", 1, true))
  end)

  it("leaves out bodies in base64 when something is to be hidden", function()
    local text = '{"event":{"body":"eyJuYW1lIjoiSmFuYSJ9","isBase64Encoded":true}}'
    assert.equal(text, redact(text, {}))
    assert.matches('"body":"' .. PLACEHOLDER .. '"', redact(text, { fields = { "name" } }))
  end)

  it("ends with very many values in very many texts: what it has not searched goes", function()
    local list = {}
    for i = 1, 60000 do list[i] = ('{"email":"%d@x.org","of":"x%d@x.org %d"}'):format(i, i, i) end
    local out = redact('{"event":[' .. table.concat(list, ",") .. "]}", { fields = { "email" } })
    assert.is_nil(out:find('"60000@x.org', 1, true))
    assert.matches('"of":"' .. PLACEHOLDER .. '@redacted.invalid"}%]}$', out)
  end)

  it("leaves out bytes that are no text when something is to be hidden", function()
    local text = '{"calls":[{"body_base64":"SmFuYQ=="}]}'
    assert.equal(text, redact(text, {}))
    assert.matches('"body_base64":"' .. PLACEHOLDER .. '"', redact(text, { fields = { "name" } }))
  end)
end)

describe("bytes", function()
  it("are text, base64, or their number", function()
    assert.equal('"body":"h\\u0000\\"é"', record.bytes("body", 'h\0"é', 100))
    assert.equal('"body_base64":"/w=="', record.bytes("body", "\xff", 100))
    assert.equal('"body_omitted":5', record.bytes("body", "hello", 4))
    assert.equal('"body":""', record.bytes("body", "", 4))
  end)
end)

describe("a file of recordings", function()
  local dir
  before_each(function()
    dir = os.tmpname()
    os.remove(dir)
  end)
  after_each(function() os.execute("rm -rf " .. dir) end)

  local function read(path)
    local f <close> = assert(io.open(path, "rb"))
    return f:read "a"
  end
  local function list(pattern)
    local pipe <close> = assert(io.popen(("ls %s/%s 2>/dev/null"):format(dir, pattern)))
    local out = {}
    for line in pipe:lines() do out[#out + 1] = line end
    return out
  end
  local function lines()
    local out = {}
    for _, path in ipairs(list "*.jsonl") do
      for line in read(path):gmatch "([^\n]*)\n" do out[#out + 1] = line end
    end
    return out
  end

  local function eventually(condition)
    local limit = os.time() + 20
    repeat assert(os.time() < limit, "it did not come") until condition()
  end

  it("has a line a document, each with an id of its own", function()
    local f = record.file(dir, 1 << 20)
    f:add("v1", '{"kind":"request","n":1}')
    f:add("v1", '{"kind":"request","n":2}')
    f:close()
    local got = lines()
    assert.equal(2, #got)
    local one, two = got[1]:match '^{"id":"(%x+)","kind":"request","n":1}$', got[2]:match '^{"id":"(%x+)","kind":"request","n":2}$'
    assert.equal(12, #one)
    assert.not_equal(one, two)
  end)

  it("is for its owner alone", function()
    record.file(dir, 1 << 20):close()
    local pipe <close> = assert(io.popen(("stat -c %%a %s %s/key"):format(dir, dir)))
    assert.equal("700\n600\n", pipe:read "a")
  end)

  it("is redacted, with the same placeholders after another start", function()
    for _ = 1, 2 do
      local f = record.file(dir, 1 << 20, { fields = { "email" } })
      f:add("v1", '{"event":{"email":"a@b.c"}}')
      f:close()
    end
    local got = lines()
    assert.equal(got[1]:match '"event".*', got[2]:match '"event".*')
    assert.is_nil(got[1]:find("a@b.c", 1, true))
  end)

  it("begins another segment with each start, and leaves a torn line alone", function()
    local f = record.file(dir, 1 << 20)
    f:add("v1", '{"n":1}')
    f:close()
    local path = list("*.jsonl")[1]
    local torn <close> = assert(io.open(path, "ab"))
    torn:write '{"id":"x","n":'
    torn:flush()
    f = record.file(dir, 1 << 20)
    f:add("v1", '{"n":2}')
    f:close()
    assert.equal(2, #list "*.jsonl")
    assert.equal(2, #lines())
  end)

  it("never holds more than it may: the oldest go first, and the versions that only they name", function()
    local f = record.file(dir, 1 << 20)
    f:version("old", '{"version":"old"}')
    f:add("old", '{"first":true}')
    f:version("new", '{"version":"new"}')
    local text = ('{"fill":"%s"}'):format(("x"):rep(20000))
    for _ = 1, 200 do f:add("new", text) end
    f:close()
    local pipe <close> = assert(io.popen(("cat %s/*.jsonl | wc -c"):format(dir)))
    local bytes = tonumber(pipe:read "a")
    assert.is_true(bytes <= 1 << 20 and bytes > 1 << 19, tostring(bytes))
    assert.is_nil(table.concat(lines()):find('"first"', 1, true))
    assert.same({ dir .. "/versions/new.json" }, list "versions/*.json")
    assert.equal('{"version":"new"}', read(dir .. "/versions/new.json"))
  end)

  it("has room for a document that is larger than a segment, and drops one that is larger than all", function()
    local f = record.file(dir, 1 << 20)
    for i = 1, 4 do f:add("v1", ('{"n":%d,"fill":"%s"}'):format(i, ("x"):rep(900000))) end
    f:add("v1", ('{"fill":"%s"}'):format(("x"):rep(1 << 20)))
    f:close()
    local got = lines()
    assert.equal(1, #got)
    assert.matches('"n":4', got[1], 1, true)
  end)

  it("goes on when its directory was removed, with the sources", function()
    local f = record.file(dir, 1 << 20)
    f:version("v1", '{"version":"v1"}')
    f:add("v1", '{"n":1}')
    eventually(function() return #lines() == 1 end)
    assert.is_true(f:knows "v1")
    os.execute("rm -rf " .. dir)
    f:add("v1", '{"n":2}')
    eventually(function() return #lines() == 1 end)
    eventually(function() return not f:knows "v1" end)
    f:version("v1", '{"version":"v1"}')
    f:close()
    assert.matches('"n":2', lines()[1], 1, true)
    assert.equal('{"version":"v1"}', read(dir .. "/versions/v1.json"))
    assert.equal(32, #read(dir .. "/key"))
  end)

  it("asks again for sources that could not be kept", function()
    local f = record.file(dir, 1 << 20)
    f:version("v1", ("x"):rep(17 << 20))
    f:add("v1", '{"n":1}')
    eventually(function() return #lines() == 1 end)
    eventually(function() return not f:knows "v1" end)
    f:close()
  end)

  it("drops what it cannot hold in memory, and counts it", function()
    local f = record.file(dir, 1 << 20)
    assert.equal(0, f:dropped())
    f:add("v1", ('{"fill":"%s"}'):format(("x"):rep(17 << 20)))
    assert.equal(1, f:dropped())
    f:close()
    assert.equal(0, #lines())
  end)

  it("is refused where none can be made", function()
    local f, why = record.file("/proc/nowhere/recordings", 1 << 20)
    assert.is_nil(f)
    assert.matches("/proc/nowhere", why, 1, true)
  end)
end)
