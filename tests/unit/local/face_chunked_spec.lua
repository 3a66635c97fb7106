-- aws-chunked bodies: what clients that stream send, and what must not get through.
local t = require "t.local"
local json = require "cjson"

local SIGNED, TRAILER, UNSIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
  "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

describe("a body in aws-chunked coding", function()
  local e
  before_each(function()
    e = assert(t.open { memory = true })
    assert(e:call("s3", "CreateBucket", '{"Bucket":"bkt"}'))
  end)
  after_each(function() e:close() end)

  local function put(kind, more)
    local p = more
    p.method, p.target, p.sign, p.payload_hash = "PUT", "/bkt/key", p.sign or "s3", kind
    p.headers = p.headers or {}
    p.headers.Host = "localhost:4566"
    p.headers["x-amz-decoded-content-length"] = p.length ~= false and tostring(p.length or 0) or nil
    if not p.headers["Content-Encoding"] then p.headers["Content-Encoding"] = "aws-chunked" end
    local status, _, body = e:face(p)
    return status, body:match "<Code>(.-)</Code>" or body
  end
  local function stored()
    local meta, bytes = e:call("s3", "GetObject", '{"Bucket":"bkt","Key":"key","ChecksumMode":"ENABLED"}')
    return bytes, meta and json.decode(meta)
  end
  local function nothing_stored() assert.is_nil((e:call("s3", "GetObject", '{"Bucket":"bkt","Key":"key"}'))) end

  local big = ("0123456789abcdef"):rep(4096)

  it("is stored decoded, its chunks' signatures verified, without the coding's name", function()
    assert.equal(200, (put(SIGNED, { chunks = { big, big, "tail" }, length = 2 * #big + 4, headers = { ["Content-Encoding"] = "aws-chunked,gzip" } })))
    local bytes, meta = stored()
    assert.equal(big .. big .. "tail", bytes)
    assert.equal("gzip", meta.ContentEncoding)
    assert.equal(200, (put(SIGNED, { chunks = { "one" }, length = 3 })))
    bytes, meta = stored()
    assert.equal("one", bytes)
    assert.is_nil(meta.ContentEncoding)
    assert.equal(200, (put(SIGNED, { chunks = {}, length = 0 })))
    assert.equal("", (stored()))
  end)

  it("is refused when any chunk's signature is wrong, and nothing is stored", function()
    for spoil = 1, 3 do
      assert.same({ 403, "SignatureDoesNotMatch" }, { put(SIGNED, { chunks = { big, "tail" }, length = #big + 4, spoil = spoil }) }, spoil)
      nothing_stored()
    end
    assert.same({ 403, "InvalidChunkSizeError" }, { put(SIGNED, { chunks = { "small", "tail" }, length = 9 }) })
  end)

  it("has signed trailers, whose checksum is verified", function()
    local crc = "x-amz-checksum-crc32:" .. t.base64(t.crc32 "hello")
    local function go(more)
      more.headers = { ["x-amz-trailer"] = more.declared or "x-amz-checksum-crc32" }
      more.chunks, more.length = { "hello" }, 5
      local status, code = put(TRAILER, more)
      return { status, code }
    end
    assert.same({ 403, "SignatureDoesNotMatch" }, go { trailer = crc, spoil = 3 })
    assert.same({ 400, "BadDigest" }, go { trailer = "x-amz-checksum-crc32:AAAAAA==" })
    assert.same({ 400, "MalformedTrailerError" }, go { trailer = crc, declared = "x-amz-checksum-sha256" })
    assert.same({ 400, "MalformedTrailerError" }, go {})
    nothing_stored()
    assert.equal(200, go({ trailer = crc })[1])
    local bytes, meta = stored()
    assert.same({ "hello", t.base64(t.crc32 "hello") }, { bytes, meta.ChecksumCRC32 })
  end)

  it("has unsigned chunks and trailers, as the JavaScript SDK streams them", function()
    local sum = t.base64(t.crc32 "hello world")
    local function go(body, length, names)
      local status, code = put(UNSIGNED, { body = body, length = length, headers = { ["x-amz-trailer"] = names or "x-amz-checksum-crc32" } })
      return { status, code }
    end
    local tail = "0\r\nx-amz-checksum-crc32:" .. sum .. "\r\n\r\n"
    assert.equal(200, go("6\r\nhello \r\n5\r\nworld\r\n" .. tail, 11)[1])
    assert.equal("hello world", (stored()))
    assert.equal(200, go("B\r\nhello world\r\n" .. tail, 11)[1])
    assert.same({ 400, "BadDigest" }, go("b\r\nhello_world\r\n" .. tail, 11))
    assert.same({ 400, "IncompleteBody" }, go("b\r\nhello world\r\n" .. tail, 12))
    assert.same({ 411, "MissingContentLength" }, go("b\r\nhello world\r\n" .. tail, false))
    assert.same({ 400, "InvalidArgument" }, go("b\r\nhello world\r\n" .. tail, "x"))
    assert.same({ 400, "MalformedTrailerError" }, go("b\r\nhello world\r\n0\r\n\r\n", 11))
    for _, broken in ipairs { "", "b", "b\r\n", "b\r\nhello world", "b\r\nhello worl\r\n", "c\r\nhello world\r\n", "a\r\nhello world\r\n" .. tail, "x\r\n",
      "\r\n", "-1\r\n", "fffffffff\r\n", "ffffffff\r\nx", ";\r\n", ("0"):rep(5000) } do
      assert.same({ 400, "IncompleteBody" }, go(broken, 11), broken)
    end
    for _, trailer in ipairs { "x", ":v\r\n", "x-amz-checksum-crc32\r\n", "x-amz-checksum-crc32:" .. sum .. "\r\nx-amz-checksum-crc32:" .. sum .. "\r\n",
      "x-amz-meta-a:1\r\n" } do
      assert.same({ 400, "MalformedTrailerError" }, go("b\r\nhello world\r\n0\r\n" .. trailer, 11), trailer)
    end
  end)

  it("is not verified where nothing is, but still taken apart", function()
    e:close()
    e = assert(t.open { memory = true, no_verify = true })
    assert(e:call("s3", "CreateBucket", '{"Bucket":"bkt"}'))
    assert.equal(200, (put(SIGNED, { chunks = { big, "tail" }, length = #big + 4, spoil = 1, secret_key = "wrong" })))
    assert.equal(big .. "tail", (stored()))
  end)
end)
