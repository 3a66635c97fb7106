-- The modules inside sandboxed jobs: waiting, being cancelled, running out of time.
local lib = assert(package.loadlib("", "luaopen_t_lib"))()

local DIR = os.tmpname()
os.remove(DIR)
assert(os.execute("mkdir " .. DIR))
local count = 0

-- Runs `body` as the handler; its reports, the reply's code and message.
local function job(body, options)
  options = options or {}
  count = count + 1
  local file = assert(io.open(("%s/h%d.lua"):format(DIR, count), "w"))
  file:write('local report = require "t.report"\nreturn { run = function(event, context)\n', body, "\nend }\n")
  file:close()
  return lib.job(DIR, "h" .. count, options.timeout or 10000, options.cancel or -1, options.denied,
    options.scratch)
end

describe("inside a job", function()
  teardown(function() os.execute("rm -r " .. DIR) end)

  it("AWS calls wait and go on with their results", function()
    local r, code, message = job [[
      local aws = require "perigee.aws"
      for i = 1, 50 do
        local out = assert(aws.dynamodb:get_item { FakePending = 1, FakeResult = '{"Item":{"n":{"N":"' .. i .. '"}}}' })
        assert(out.Item.n == i)
      end
      local _, err = aws.sqs:send_message { FakePending = 1, FakeError = "QueueDoesNotExist" }
      report(err.code) report(err.service) report(err.action)]]
    assert.same({ "ok", "" }, { code, message })
    assert.same({ "QueueDoesNotExist", "sqs", "SendMessage" }, r)
  end)

  it("a function without permissions can neither call nor sign links", function()
    local r, code = job([[
      local aws = require "perigee.aws"
      local out, err = aws.dynamodb:put_item { TableName = "Orders", Item = { id = "1" } }
      report(out) report(err.code)
      local url, refused = aws.s3:presigned_url { Bucket = "b", Key = "k" }
      report(url) report(refused.code) report(refused.message)]], { denied = true })
    assert.equal("ok", code)
    assert.same({ "nil", "AccessDeniedException", "nil", "AccessDeniedException" }, { table.unpack(r, 1, 4) })
    assert.matches("function F .*s3:GetObject.*arn:aws:s3:::b/k", r[5])
  end)

  describe("files of S3 objects", function()
    local scratch
    before_each(function()
      scratch = DIR .. "/scratch"
      assert(os.execute(("rm -rf %s; mkdir -p %s/sub %s/outside; echo -n secret > %s/outside/s; echo -n hello > %s/f"):format(
        scratch, scratch, DIR, DIR, scratch)))
      assert(os.execute(("ln -s ../outside %s/link; ln -s ../outside/s %s/file_link; mkfifo %s/pipe"):format(scratch, scratch, scratch)))
    end)
    local function left()
      local p <close> = io.popen("cd " .. scratch .. " && find . -type f | sort | tr '\\n' ' '")
      return p:read "a"
    end
    local head = 'local s3 = require("perigee.aws").s3\n'

    it("are below the scratch directory", function()
      local r, code, message = job(head .. [[
        report(assert(s3:put_object { Bucket = "b", Key = "k", BodyFile = "f", FakePending = 1 }).SentFile)
        local out = assert(s3:get_object { Bucket = "b", Key = "k", ToFile = "sub/new", FakeWrite = "bytes", FakePending = 1 })
        report(out.Body)
        assert(s3:get_object { Bucket = "b", Key = "k", ToFile = "f", FakeWrite = "other" })]], { scratch = scratch })
      assert.same({ "ok", "", "5", "nil" }, { code, message, table.unpack(r) })
      assert.equal("./f ./sub/new ", left())
      local f <close> = io.open(scratch .. "/f")
      assert.equal("other", f:read "a")
    end)

    it("are nowhere else", function()
      local r = job(head .. [[
        for _, path in ipairs { "../outside/s", "/etc/passwd", "link/s", "file_link", "sub/../../outside/s", "pipe", "sub", "none" } do
          local out, err = s3:put_object { Bucket = "b", Key = "k", BodyFile = path }
          report(tostring(out) .. " " .. err.code)
        end
        for _, path in ipairs { "../outside/new", "/tmp/new", "link/new", "none/new", "sub", ".", "..", "sub/" } do
          local out, err = s3:get_object { Bucket = "b", Key = "k", ToFile = path, FakeWrite = "x" }
          report(tostring(out) .. " " .. err.code)
        end]], { scratch = scratch })
      local denied, io, bad = "nil AccessDeniedException", "nil InputOutputError", "nil ValidationException"
      assert.same({ denied, denied, denied, denied, denied, io, io, io, denied, denied, denied, io, io, bad, bad, bad }, r)
      assert.equal("./f ", left())
      assert.is_nil(io and _G.io.open(DIR .. "/outside/new"))
    end)

    it("are refused when there is no scratch directory, naming the setting", function()
      local r = job(head .. [[
        local out, err = s3:put_object { Bucket = "b", Key = "k", BodyFile = "f" }
        report(out) report(err.code) report(err.message)]])
      assert.same({ "nil", "ConfigurationError" }, { r[1], r[2] })
      assert.matches("%-%-scratch DIR", r[3])
    end)

    it("leave nothing behind when the call fails or the job is cancelled", function()
      local r = job(head .. [[
        local _, err = s3:get_object { Bucket = "b", Key = "k", ToFile = "f", FakeWrite = "half", FakeError = "NoSuchKey" }
        report(err.code)]], { scratch = scratch })
      assert.same({ "NoSuchKey" }, r)
      job(head .. 's3:get_object { Bucket = "b", Key = "k", ToFile = "new", FakeWrite = "half", FakePending = 1 }',
        { scratch = scratch, cancel = 0 })
      assert.equal("./f ", left())
      local f <close> = io.open(scratch .. "/f")
      assert.equal("hello", f:read "a")
    end)
  end)

  it("waiters do not sleep past the deadline, and describe is not for handlers", function()
    local r, code = job([[
      local aws = require "perigee.aws"
      local ok, err = aws.dynamodb:wait_until_table_exists { TableName = "T", FakeError = "ResourceNotFoundException" }
      report(ok) report(err.code) report(err.retryable) report(err.message)
      report(select(2, pcall(aws.describe)))]], { timeout = 3000 })
    assert.equal("ok", code)
    assert.same({ "nil", "WaiterTimeout", "true" }, { r[1], r[2], r[3] })
    assert.matches("20000 ms", r[4])
    assert.matches("perigee run", r[5])
  end)

  it("calls that a C boundary keeps from waiting say so", function()
    local r, code = job [[
      local aws = require "perigee.aws"
      report(select(2, pcall(table.sort, { 1, 2, 3 }, function() aws.dynamodb:get_item { FakePending = 1 } end)))]]
    assert.equal("ok", code)
    assert.matches("not possible inside", r[1])
  end)

  it("a cancelled job leaves a pending call, a sleep and a rendering behind without harm", function()
    for _, body in ipairs {
      'require("perigee.time").sleep(60000)',
      'require("perigee.aws").dynamodb:get_item { FakePending = 1 }',
      [[local d = assert(require("perigee.pdf").document { fonts = { regular = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf" } })
        for i = 1, 200 do d:page() d:text(10, 20, ("words "):rep(500), { width = 500 }) end
        d:render()]],
    } do
      for turns = 0, 1 do
        local _, code = job(body, { cancel = turns })
        assert.is_true(code == "no reply" or code == "ok", code)
      end
    end
  end)

  it("a sleep ends with the job's time", function()
    local _, code = job('require("perigee.time").sleep(60000)', { timeout = 200 })
    assert.equal("RequestTimeout", code)
  end)

  it("a pattern that would never end is stopped", function()
    local _, code = job('return ("a"):rep(1e6):find((".-"):rep(30) .. "b")', { timeout = 300 })
    assert.is_true(code == "LimitExceeded" or code == "RequestTimeout", code)
  end)

  it("string.rep cannot take more than its cap", function()
    local r, code = job 'report(select(2, pcall(string.rep, "x", 1e10)))'
    assert.equal("ok", code)
    assert.matches("too large", r[1])
  end)

  it("documents render while the job waits", function()
    local r, code, message = job [[
      local d = assert(require("perigee.pdf").document { fonts = { regular = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf" } })
      d:text(10, 20, "hello")
      report(assert(d:render()):sub(1, 5)) report(assert(d:render()):sub(1, 5))]]
    assert.same({ "ok", "" }, { code, message })
    assert.same({ "%PDF-", "%PDF-" }, r)
  end)

  it("files of the version can be read, others cannot", function()
    local r = job [[
      local file = require "perigee.file"
      report((file.read "/etc/passwd")) report((file.read "../x")) report((file.read "nothing.json"))]]
    assert.same({ "nil", "nil", "nil" }, r)
  end)

  it("log lines carry the request", function()
    local _, code, _, log = job 'require("perigee.log").info("made", { n = 1 })'
    assert.equal("ok", code)
    assert.matches('"msg":"made"', log)
    assert.matches('"request_id":"req%-1"', log)
    assert.matches('"function":"F"', log)
    assert.matches('"n":1', log)
  end)
end)
