local lib = assert(package.loadlib("", "luaopen_t_lib"))()

-- Runs a chunk inside a script; its `report(v)` values come back.
local function run(chunk)
  local reports, log, err = lib.run("local report, json = require 't.report', require 'perigee.json'\n" .. chunk)
  assert(not err, err)
  return reports, log
end

describe("perigee.json", function()
  it("keeps integers of the whole int64 range", function()
    local r = run [[
      for _, t in ipairs { "9223372036854775807", "-9223372036854775808", "0", "-1", "9007199254740993" } do
        local v = json.decode(t)
        report(math.type(v)) report(json.encode(v) == t)
      end]]
    assert.same({ "integer", "true", "integer", "true", "integer", "true", "integer", "true", "integer", "true" }, r)
  end)

  it("keeps empty arrays and empty objects apart", function()
    assert.same({ '{"a":[]}', '{"a":{}}', "[]", "{}" }, run [[
      report(json.encode(json.decode '{"a":[]}')) report(json.encode(json.decode '{"a":{}}'))
      report(json.encode(json.array())) report(json.encode(json.object {}))]])
  end)

  it("answers a syntax error with nil and an error that has line and column", function()
    local r = run [[
      local v, err = json.decode '{\n  "a": tru\n}'
      report(v) report(err.code) report(err.line) report(math.type(err.column)) report(tostring(err))]]
    assert.equal("nil", r[1])
    assert.equal("SyntaxError", r[2])
    assert.equal("2", r[3])
    assert.equal("integer", r[4])
    assert.matches("line 2", r[5])
  end)

  it("refuses duplicate keys unless told otherwise, and nesting past max_depth", function()
    local r = run [=[
      report((json.decode '{"a":1,"a":2}'))
      report(json.decode('{"a":1,"a":2}', { duplicate_keys = true }).a)
      report((json.decode('[[[1]]]', { max_depth = 2 })))
      report(json.encode(json.decode('[[[1]]]', { max_depth = 3 })))
      report(select(2, pcall(json.decode, '1', { depth = 1 })))]=]
    assert.same({ "nil", "2", "nil", "[[[1]]]" }, { table.unpack(r, 1, 4) })
    assert.matches("unknown option 'depth'", r[5])
  end)

  it("raises on values that JSON does not have, naming the place", function()
    local r = run [[report(select(2, pcall(json.encode, { lines = { 1, print } })))]]
    assert.matches("lines", r[1])
  end)

  it("tells arrays", function()
    assert.same({ "true", "true", "false", "false", "false", "true" }, run [[
      report(json.is_array(json.array {})) report(json.is_array { 1 }) report(json.is_array {})
      report(json.is_array(json.object { 1 })) report(json.is_array(1)) report(json.is_array(json.decode "[]"))]])
  end)

  it("does not take over a table's own metatable", function()
    local r = run [[report(select(2, pcall(json.array, setmetatable({}, { __len = print }))))]]
    assert.matches("metatable of its own", r[1])
  end)

  it("answers numbers that Lua does not have with nil and an error naming the place", function()
    local r = run [[
      local v, err = json.decode '{"a":[1,9223372036854775808]}' report(v) report(err.message)
      v, err = json.decode '1e999' report(v) report(err ~= nil)]]
    assert.equal("nil", r[1])
    assert.matches("%$%.a%[2%]", r[2])
    assert.same({ "nil", "true" }, { r[3], r[4] })
  end)

  it("encodes null and strings with any characters", function()
    assert.same({ '{"a":null}', [["\u0000\"\\ü"]] }, run [[
      report(json.encode { a = json.null }) report(json.encode "\0\"\\ü")]])
  end)
end)
