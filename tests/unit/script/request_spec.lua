package.path = "tests/unit/script/?.lua;" .. package.path
local helper = require "helper"
local run = helper.run

describe("an HTTP request", function()
  after_each(helper.close)

  it("has its parts", function()
    local r = run([[return 200, { request.method, request.path, request.path_params.id, request.body, request.request_id, request.host,
      request.query.a, request.query_all.a[1], request.query_all.a[2], request.query.empty, request.query.none == nil,
      request.headers["X-MULTI"], request.headers["x-multi"], request.headers.none == nil, context.request_id, context.function_name,
      context:remaining() > 1000, request.nothing == nil } ]], {}, {
      method = "POST", path = "/p", params = { id = "42" }, body = "b\0b", request_id = "rid",
      query = "a=1&a=2%20x&empty&&b=%zz", headers = { { "X-Multi", "1" }, { "Host", "h:1" }, { "x-multi", "2" } } })
    assert.equal([=[["POST","/p","42","b\u0000b","rid","h:1","2 x","1","2 x","",true,"1, 2","1, 2",true,"rid","F",true,true]]=], r.body)
  end)

  it("has the cookies of several headers as one header would have them", function()
    local r = run("return 200, request.headers.cookie", {}, { headers = { { "Cookie", "a=1" }, { "cookie", "b=2; c=3" } } })
    assert.equal("a=1; b=2; c=3", r.body)
  end)

  it("leaves bad escapes of a query as they are", function()
    assert.equal("%zz", run("return 200, request.query.b", {}, { query = "b=%zz" }).body)
  end)

  it("decodes JSON once, exactly", function()
    local r = run("assert(request:json() == request:json()) return 200, request:json()", {},
      { body = '{"big":9223372036854775807,"f":1.5,"n":null,"a":[],"o":{},"neg":-9223372036854775808}' })
    assert.equal('{"a":[],"big":9223372036854775807,"f":1.5,"n":null,"neg":-9223372036854775808,"o":{}}', r.body)
  end)

  for body, message in pairs {
    ['{"a":'] = "line 1 column",
    ["{\n1e999}"] = "line 2",
    [""] = "the body is empty",
    ['{"a":[1,9223372036854775808]}'] = "$.a[2]: the integer is out of the range of 64 bits",
    ['[1e999]'] = "$[1]: the number is out of range",
  } do
    it("answers nil and not_json for " .. body, function()
      local r = run("local v, err = request:json() assert(v == nil) return 200, { err.code, err.message }", {}, { body = body })
      assert.matches('^%["not_json",', r.body)
      assert.is_truthy(r.body:find(message, 1, true), r.body)
    end)
  end

  it("can be extended, and says so when it is over", function()
    local app = helper.app { files = { ["handlers/a.lua"] = [[
      local kept
      return { f = function(request)
        request.user = "u"
        if kept then return 200, { kept.user, select(2, pcall(function() return kept.path end)), select(2, pcall(kept.json, kept)) } end
        local _ = request.json
        kept = request
        return 200, request.user
      end }]] } }
    assert.equal("u", app:finish(app:start { path = "/secret" }).body)
    local body = app:finish(app:start {}).body
    assert.matches('^%["u","[^"]*this request is over', body)
    assert.is_nil(body:find "secret")
  end)

  it("names a method called with a dot", function()
    assert.matches("request expected, got no value %(is it called with ':'%?%)", run("request.json()").message)
  end)
end)

describe("messages and events", function()
  after_each(helper.close)

  it("a message has its parts; returning is done", function()
    local app = helper.handler [[
      assert(request.id == "m1" and request.queue == "q" and request.receive_count == 3 and request:json().x == 1)
      assert(context.correlation_id == "c1" and next(request.attributes) == nil)]]
    local r = app:finish(app:start { message = { id = "m1", queue = "q", body = '{"x":1}', receive_count = 3, correlation_id = "c1" } })
    assert.is_nil(r.message)
    assert.equal(1, r.replies)
  end)

  for name, body in pairs {
    ["raising"] = "error('no', 0)",
    ["returning nil, err"] = "return nil, 'no'",
    ["returning false and an error table"] = "return false, { message = 'no' }",
    ["a failed assert of an error table"] = "assert(nil, { message = 'no' })",
  } do
    it("a message is to be retried after " .. name, function()
      local app = helper.handler(body)
      local r = app:finish(app:start { message = { id = "m1" } })
      assert.equal("HandlerError", r.code)
      assert.matches("no", r.message)
    end)
  end

  it("an event is a table", function()
    local app = helper.handler "assert(request.source == 's' and request.list[2] == 2)"
    assert.is_nil(app:finish(app:start { event = '{"source":"s","list":[1,2]}' }).message)
  end)
end)

describe("an answer", function()
  after_each(helper.close)

  for name, row in pairs {
    ["status"] = { "return 204", 204, "", nil },
    ["status and text"] = { "return 201, 'x'", 201, "x", "text/plain; charset=utf-8" },
    ["status and table"] = { "return 200, { a = { 1, 2.5, 'x' } }", 200, '{"a":[1,2.5,"x"]}', "application/json; charset=utf-8" },
    ["status, body, headers"] = { "return 200, '<p>', { ['Content-Type'] = 'text/html' }", 200, "<p>", "text/html" },
    ["a number as body"] = { "return 200, 7", 200, "7", "application/json; charset=utf-8" },
    ["json.null as body"] = { "return 200, json.null", 200, "null", "application/json; charset=utf-8" },
    ["an empty list"] = { "return 200, { batchItemFailures = json.array() }", 200, '{"batchItemFailures":[]}', "application/json; charset=utf-8" },
    ["a float that is integral as status"] = { "return 400 / 2, 'x'", 200, "x", "text/plain; charset=utf-8" },
    ["Lambda's shape"] = { "return { statusCode = 202, body = 'x', headers = { A = 'b' } }", 202, "x", "text/plain; charset=utf-8" },
    ["Lambda's shape in base64"] = { "return { statusCode = 200, body = 'AAECZg==', isBase64Encoded = true, headers = { ['content-type'] = 'i/x' } }",
      200, "\0\1\2f", "i/x" },
    ["http.created"] = { "local http = require 'perigee.http' return http.created({ b = 1 }, { Location = '/x' })", 201, '{"b":1}',
      "application/json; charset=utf-8" },
  } do
    it("is made of " .. name, function()
      local r = run(row[1])
      assert.same({ row[2], row[3] }, { r.status, r.body }, r.message)
      assert.equal(row[4], r.head:lower():match "content%-type: ([^\n]*)")
      assert.equal(1, select(2, ("\n" .. r.head:lower()):gsub("\ncontent%-type:", "")) + (row[4] and 0 or 1))
    end)
  end

  it("repeats a header for each item of a list", function()
    assert.matches("Set%-Cookie: a=1\nSet%-Cookie: b=2\n", run("return 200, '', { ['Set-Cookie'] = { 'a=1', 'b=2' }, N = 5 }").head)
  end)

  it("has the cookies and the lists of Lambda's shape", function()
    local r = run [[return { statusCode = 200, headers = { A = '1' }, multiValueHeaders = { ['Content-Type'] = { 'text/x' }, B = { '1', '2' } },
      cookies = { 'a=1', 'b=2' }, body = 'x' }]]
    local lines = {}
    for line in r.head:gmatch "[^\n]+" do lines[#lines + 1] = line end
    table.sort(lines)
    assert.same({ "A: 1", "B: 1", "B: 2", "Content-Type: text/x", "Set-Cookie: a=1", "Set-Cookie: b=2" }, lines)
  end)

  for body, message in pairs {
    ["return { statusCode = 200, cookies = 'a=1' }"] = "cookies must be a list, not string",
    ["return { statusCode = 200, multiValueHeaders = 1 }"] = "multiValueHeaders must be a table, not number",
    ["return { statusCode = 200, headers = { A = 1 }, multiValueHeaders = { A = { 1 } } }"] = "the header A is in both headers and multiValueHeaders",
    ["return"] = "a.f: the handler returned nothing",
    ["return 'text'"] = "a.f: the handler returned a string",
    ["return { a = 1 }"] = "a table that is no response",
    ["return 99"] = "an integer from 200 to 599",
    ["return 200.5"] = "an integer from 200 to 599",
    ["return 200, { a = { b = { 1, print } } }"] = "$.a.b[2]: functions cannot be encoded",
    ["return 200, { 1, nil, 3, x = 1 }"] = "$: a table with both list items and other keys",
    ["return 200, { [1] = 1, [3] = 3 }"] = "a list with holes",
    ["return 200, { [10] = 1 }"] = "number keys",
    ["return 200, { a = 0/0 }"] = "$.a: NaN",
    ["return 200, { '\\xff' }"] = "$[1]: the string is not UTF-8",
    ["local t = {} t.t = t return 200, t"] = "nested deeper than 100 levels",
    ["return 200, 'x', { ['X-A'] = 'a\\r\\nSet-Cookie: b' }"] = "X-A",
    ["return 200, 'x', { ['X\\nA'] = 'a' }"] = "header",
    ["return 200, 'x', { ['Content-Length'] = '5' }"] = "Content-Length is the server's to set",
    ["return 200, 'x', { 'X-A: 5' }"] = "a response header's name must be a string",
    ["return 200, 'x', { a = {} , b = print }"] = "value must be a string",
    ["return { statusCode = 200, body = '*', isBase64Encoded = true }"] = "not base64",
    ["return nil, { code = 'C', message = 'from err' }"] = "from err",
  } do
    it("is an error: " .. body, function()
      local r = run(body)
      assert.equal("HandlerError", r.code)
      assert.is_truthy(r.message:find(message, 1, true), r.message)
    end)
  end
end)

describe("an error", function()
  after_each(helper.close)

  for name, row in pairs {
    ["a string"] = { "error('boom')", "^handlers/a.lua:3: boom$" },
    ["a table"] = { "error({ code = 1 })", "a table was raised as an error" },
    ["nil"] = { "error(nil)", "a nil was raised" },
    ["a table with __tostring"] = { "error(setmetatable({}, { __tostring = function() return 'speaks' end }))", "^speaks$" },
    ["a table whose __tostring raises"] = { "error(setmetatable({}, { __tostring = function() error 'inner' end }))", "inner" },
    ["an error of the host"] = { "assert(request:json())", "^SyntaxError: the body is empty" , "^not_json" },
    ["a boolean"] = { "error(true)", "boolean" },
    ["a call of nil"] = { "local x; x.y.z()", "attempt to index a nil value %(local 'x'%)" },
  } do
    it("may be " .. name, function()
      local r = run("\n" .. row[1])
      assert.equal("HandlerError", r.code)
      assert.is_truthy(r.message:match(row[2]) or row[3] and r.message:match(row[3]), r.message)
      assert.equal(1, r.replies)
    end)
  end

  it("has a traceback with source lines", function()
    local r = run("\n  local function inner()\n    error 'deep'\n  end\n  inner()")
    assert.matches("handlers/a.lua:4: deep\nstack traceback:", r.trace)
    assert.matches("\n\thandlers/a.lua:4: in [%w ]*'inner'\n\t\terror 'deep'\n", r.trace)
    assert.matches("\n\thandlers/a.lua:6:[^\n]*\n\t\tinner%(%)", r.trace)
  end)
end)
