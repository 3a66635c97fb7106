local lib = assert(package.loadlib("", "luaopen_t_lib"))()

local function run(chunk)
  local reports, log, err = lib.run("local report = require 't.report'\n" .. chunk)
  assert(not err, err)
  return reports, log
end

describe("perigee.log", function()
  it("writes the message, the level and the fields as one JSON line", function()
    local _, log = run [[require("perigee.log").warn("stock is low", { item = "A-1", left = 3 })]]
    assert.matches('"level":"warn"', log)
    assert.matches('"msg":"stock is low"', log)
    assert.matches('"item":"A%-1"', log)
    assert.matches('"left":3', log)
    assert.equal(1, select(2, log:gsub("\n", "")))
  end)

  it("accepts any value as message and calls with a colon", function()
    local _, log = run [[local log = require "perigee.log" log:info(12) log.error(nil)]]
    assert.matches('"msg":"12"', log)
    assert.matches('"msg":"nil"', log)
  end)

  it("keeps its own members apart from fields of the same name", function()
    local _, log = run [[require("perigee.log").info("a", { msg = "b", level = 1, time = 2 })]]
    assert.matches('"msg":"a"', log)
    assert.matches('"msg_":"b"', log)
    assert.matches('"level_":1', log)
  end)

  it("writes the line also when a field cannot be written", function()
    local _, log = run [[require("perigee.log").info("still here", { f = print })]]
    assert.matches('"msg":"still here"', log)
    assert.matches('"fields_error":', log)
  end)

  it("raises on fields that are no table", function()
    assert.same({ "false" }, (run [[report((pcall(require("perigee.log").info, "a", "b")))]]))
  end)
end)

describe("perigee.time", function()
  it("reads the host's clock and formats it", function()
    assert.same({ "1795323346123", "2026-11-22T04:55:46.123Z", "1970-01-01T00:00:00.000Z" }, (run [[
      local time = require "perigee.time" report(time.now()) report(time.iso()) report(time.iso(0))]]))
  end)

  it("parses ISO 8601 with offsets, and answers nil and an error otherwise", function()
    local r = run [[
      local time = require "perigee.time"
      report(time.parse "2026-11-22T05:55:46.123+01:00")
      local ms, err = time.parse "yesterday" report(ms) report(err)]]
    assert.equal("1795323346123", r[1])
    assert.equal("nil", r[2])
    assert.matches("yesterday", r[3])
  end)

  it("sleeps at least as long as asked", function()
    assert.same({ "true" }, (run [[
      local time = require "perigee.time"
      local before = time.monotonic() time.sleep(20)
      report(time.monotonic() - before >= 19)]]))
  end)

  it("refuses lengths that no function has", function()
    assert.same({ "false", "false", "false" }, (run [[
      local time = require "perigee.time"
      report((pcall(time.sleep, -1))) report((pcall(time.sleep, 1e9))) report((pcall(time.sleep, "x")))]]))
  end)
end)

describe("perigee.crypto", function()
  it("hashes in the form asked for", function()
    assert.same({
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      "a9993e364706816aba3e25717850c26c9cd0d89d",
      "900150983cd24fb0d6963f7d28e17f72",
      "kAFQmDzST7DWlj99KOF/cg==",
      "16",
      "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8",
      "352441c2",
    }, (run [[
      local c = require "perigee.crypto"
      report(c.sha256 "abc") report(c.sha1 "abc") report(c.md5 "abc") report(c.md5("abc", "base64")) report(#c.md5("abc", "raw"))
      report(c.hmac_sha256("key", "The quick brown fox jumps over the lazy dog")) report(("%08x"):format(c.crc32 "abc"))]]))
  end)

  it("codes and decodes text, and answers nil for what is no code", function()
    assert.same({ "AP8=", "true", "AP8", "true", "00ff", "true", "nil", "nil", "nil" }, (run [[
      local c, s = require "perigee.crypto", "\0\255"
      report(c.base64(s)) report(c.unbase64(c.base64(s)) == s)
      report(c.base64url(s)) report(c.unbase64url(c.base64url(s)) == s)
      report(c.hex(s)) report(c.unhex(c.hex(s)) == s)
      report((c.unbase64 "A")) report((c.unbase64url "AP8=")) report((c.unhex "0g"))]]))
  end)

  it("compares in constant time and makes random bytes and ascending ids", function()
    assert.same({ "true", "false", "16", "true", "true", "true" }, (run [[
      local c = require "perigee.crypto"
      report(c.equal("a", "a")) report(c.equal("a", "b")) report(#c.random(16)) report(c.random(16) ~= c.random(16))
      local a, b = c.uuid(), c.uuid() report(a < b) report(a:match "^%x+%-%x+%-7%x+%-[89ab]%x+%-%x+$" == a)]]))
  end)

  it("raises on an unknown form", function()
    assert.same({ "false" }, (run [[report((pcall(require("perigee.crypto").sha256, "a", "octal")))]]))
  end)
end)
