require "unit.lua.plain"
local http = require "perigee.http"
local json = require "perigee.json"

local function request(body, headers)
  return { headers = headers or {}, body = body, json = function() return json.decode(body) end }
end

local function error_of(answer) return json.decode(answer.body).error end

describe("http: answers", function()
  it("are status, headers and bytes", function()
    local answer = http.ok { a = 1 }
    assert.is_true(http.is_response(answer))
    assert.equal(200, answer.status)
    assert.equal('{"a":1}', answer.body)
    assert.equal("application/json; charset=utf-8", answer.headers["Content-Type"])
    assert.is_nil(http.no_content().body)
    assert.equal(201, http.created({}).status)
    assert.is_false(http.is_response { status = 200 })
  end)

  it("keep the type that was given, whatever its case, and turn numbers in headers to text", function()
    local answer = http.response(200, { 1 }, { ["content-type"] = "text/x", ["Retry-After"] = 5 })
    assert.same({ ["content-type"] = "text/x", ["Retry-After"] = "5" }, answer.headers)
    answer = http.json(400, "{}", { ["content-type"] = "application/problem+json" })
    assert.same({ ["content-type"] = "application/problem+json" }, answer.headers)
    assert.is_nil(http.response(200, "text").headers["Content-Type"])
  end)

  it("keep the values of a header that is sent several times", function()
    local cookies = { "a=1", "b=2" }
    assert.same(cookies, http.ok({}, { ["Set-Cookie"] = cookies }).headers["Set-Cookie"])
  end)

  it("refuse what is none", function()
    assert.has_error(function() http.response(99) end)
    assert.has_error(function() http.response("200") end)
    assert.has_error(function() http.response(200, 5) end, "a body is a table, a string or nil, not a number")
  end)

  it("errors have one shape", function()
    local answer = http.bad_request { { path = "a", message = "is required" } }
    assert.equal(400, answer.status)
    assert.same({ code = "invalid", message = "one field is wrong", fields = { { path = "a", message = "is required" } } }, error_of(answer))
    assert.same({ code = "bad_request", message = "no" }, error_of(http.bad_request "no"))
    assert.same({ 401, 403, 404, 409, 503 }, { http.unauthorized().status, http.forbidden().status, http.not_found().status,
      http.conflict().status, http.unavailable().status })
    assert.equal("1", http.unavailable().headers["Retry-After"])
    assert.equal("Bearer", http.unauthorized().headers["WWW-Authenticate"])
  end)
end)

describe("http.read", function()
  it("takes JSON of any JSON type, in UTF-8, or without a type", function()
    for _, kind in ipairs { "application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"',
      "application/vnd.api+json" } do
      assert.same({ a = 1 }, (http.read(request('{"a":1}', { ["content-type"] = kind }))))
    end
    assert.same({ a = 1 }, (http.read(request '{"a":1}')))
  end)

  it("answers 415 to other types and character sets", function()
    for _, kind in ipairs { "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/jsonp", ";" } do
      local value, refused = http.read(request("{}", { ["content-type"] = kind }))
      assert.is_nil(value)
      assert.equal(415, refused.status, kind)
    end
  end)

  it("answers 415 to compressed bodies", function()
    local value, refused = http.read(request("\x1f\x8b", { ["content-encoding"] = "gzip" }))
    assert.is_nil(value)
    assert.equal(415, refused.status)
    assert.same({ a = 1 }, (http.read(request('{"a":1}', { ["content-encoding"] = "identity" }))))
  end)

  it("answers 400 to an empty body and to what is not JSON", function()
    for _, body in ipairs { "", "{", "nonsense" } do
      local value, refused = http.read(request(body))
      assert.is_nil(value)
      assert.equal(400, refused.status)
      assert.equal("not_json", error_of(refused).code)
    end
  end)

  it("answers 400 with every field that the schema refuses", function()
    local schema = require("perigee.validate").compile('{"type":"object","required":["a","b"]}', "t.json")
    local value, refused = http.read(request "{}", schema)
    assert.is_nil(value)
    assert.same({ { path = "a", message = "is required" }, { path = "b", message = "is required" } }, error_of(refused).fields)
  end)
end)

describe("http: callers", function()
  it("are operators with the token, or on this machine when there is none", function()
    local function from(ip, authorization)
      return { source_ip = ip, headers = { authorization = authorization } }
    end
    assert.is_true(http.is_operator(from("192.0.2.1", "Bearer t0ken"), "t0ken"))
    assert.is_false(http.is_operator(from("127.0.0.1", "Bearer wrong"), "t0ken"))
    assert.is_false(http.is_operator(from("127.0.0.1"), "t0ken"))
    assert.is_false(http.is_operator(from("127.0.0.1", "Basic t0ken"), "t0ken"))
    for _, ip in ipairs { "127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1" } do assert.is_true(http.is_operator(from(ip), "")) end
    for _, ip in ipairs { "192.0.2.1", "", "128.0.0.1", "::2", "127.0.0.1.example.org", "1127.0.0.1" } do
      assert.is_false(http.is_operator(from(ip), ""), ip)
    end
  end)
end)
