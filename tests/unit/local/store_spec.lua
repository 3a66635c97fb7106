local t = require "t.local"
local json = require "cjson"
local lfs = require "lfs"
local killing = require "faults.killing"

local function tmp()
  local p = io.popen("mktemp -d")
  local dir = p:read("l")
  p:close()
  return dir
end

local function read(path)
  local f = assert(io.open(path, "rb"))
  local s = f:read("a")
  f:close()
  return s
end

local function write(path, s)
  local f = assert(io.open(path, "wb"))
  f:write(s)
  f:close()
end

describe("a data directory", function()
  local dir
  before_each(function() dir = tmp() end)
  after_each(function() os.execute("rm -rf " .. dir) end)

  it("is made when it is missing, and keeps what was written", function()
    local e = assert(t.open { dir = dir .. "/a/b" })
    assert(e:call("sqs", "CreateQueue", '{"QueueName":"q"}'))
    e:close()
    e = assert(t.open { dir = dir .. "/a/b" })
    assert(e:call("sqs", "GetQueueUrl", '{"QueueName":"q"}'))
    e:close()
  end)

  it("belongs to one opener, and the refusal names the process", function()
    local e = assert(t.open { dir = dir })
    local none, code, message = t.open { dir = dir }
    assert.is_nil(none)
    assert.equal("DataDirectoryInUse", code)
    assert.matches("in use by process " .. t.pid(), message)
    e:close()
    assert(t.open { dir = dir }):close()
  end)

  it("is refused untouched when its store is no database", function()
    write(dir .. "/store.db", ("garbage "):rep(2000))
    local none, code, message = t.open { dir = dir }
    assert.is_nil(none)
    assert.equal("CorruptStore", code)
    assert.matches("store.db", message)
    assert.equal(("garbage "):rep(2000), read(dir .. "/store.db"))
  end)

  it("is refused untouched when pages of its store are damaged", function()
    local e = assert(t.open { dir = dir })
    assert(e:call("sqs", "CreateQueue", '{"QueueName":"q"}'))
    for _ = 1, 50 do
      assert(e:call("sqs", "SendMessage", json.encode { QueueUrl = "q", MessageBody = ("x"):rep(3000) }))
    end
    e:close()
    local s = read(dir .. "/store.db")
    local half = #s // 8192 * 4096
    s = s:sub(1, half) .. ("\xA5"):rep(8192) .. s:sub(half + 8193)
    write(dir .. "/store.db", s)
    local none, code = t.open { dir = dir }
    assert.is_nil(none)
    assert.equal("CorruptStore", code)
    assert.equal(s, read(dir .. "/store.db"))
  end)

  it("is refused untouched when its store was cut short", function()
    assert(t.open { dir = dir }):close()
    local s = read(dir .. "/store.db"):sub(1, 4096 * 3)
    write(dir .. "/store.db", s)
    assert.equal("CorruptStore", select(2, t.open { dir = dir }))
    assert.equal(s, read(dir .. "/store.db"))
    assert.is_nil(lfs.attributes(dir .. "/store.db-wal"))
    assert.is_nil(lfs.attributes(dir .. "/store.db-shm"))
  end)

  it("is refused when the database is somebody else's or from the future", function()
    assert(t.open { dir = dir }):close()
    local good = read(dir .. "/store.db")
    -- SQLite's file format, 1.3: application id at offset 68, user version at 60, both big-endian
    write(dir .. "/store.db", good:sub(1, 68) .. "\0\0\0\1" .. good:sub(73))
    assert.matches("no Perigee store", select(3, t.open { dir = dir }))
    write(dir .. "/store.db", good:sub(1, 60) .. "\0\0\0\99" .. good:sub(65))
    assert.matches("newer Perigee", select(3, t.open { dir = dir }))
    write(dir .. "/store.db", good)
    assert(t.open { dir = dir }):close()
  end)

  it("is not written to when nothing of it is missing", function()
    assert(t.open { dir = dir }):close()
    local made = read(dir .. "/store.db")
    assert(t.open { dir = dir }):close()
    assert.is_true(made == read(dir .. "/store.db"))
  end)

  it("of an earlier build gets what it lacks", function()
    local e = assert(t.open { dir = dir })
    assert(e:call("sqs", "CreateQueue", '{"QueueName":"q"}'))
    assert(e:call("sqs", "SendMessage", '{"QueueUrl":"q","MessageBody":"old"}'))
    e:close()
    local sql = "DROP INDEX messages_in_group; DROP INDEX messages_group; DROP TABLE sqs_groups;"
    for _, c in ipairs { "queues.fifo", "queues.tags", "queues.purge_to", "messages.grp", "messages.dedup", "messages.seq" } do
      sql = sql .. c:gsub("(%w+)%.(.+)", "ALTER TABLE %1 DROP COLUMN %2;")
    end
    assert(os.execute(("python3 -c 'import sqlite3; c=sqlite3.connect(\"%s/store.db\"); c.executescript(\"%s\"); c.close()'"):format(dir, sql)))
    e = assert(t.open { dir = dir })
    assert.matches('"Body":"old"', (e:call("sqs", "ReceiveMessage", '{"QueueUrl":"q"}')))
    assert(e:call("sqs", "TagQueue", '{"QueueUrl":"q","Tags":{"a":"b"}}'))
    e:close()
  end)

  it("that is a file is refused by name", function()
    write(dir .. "/file", "")
    local none, _, message = t.open { dir = dir .. "/file" }
    assert.is_nil(none)
    assert.matches(dir:gsub("%p", "%%%0") .. "/file", message)
  end)

  it("in memory is private and gone at close", function()
    local e = assert(t.open { memory = true })
    local where = e:dir()
    assert.equal("directory", lfs.attributes(where, "mode"))
    e:close()
    assert.is_nil(lfs.attributes(where))
  end)

  it("in memory that a killed process left goes at the next start; that of a living one, and a user's own, stay", function()
    local left = killing.run("idle_driver", "", "", 1)[1]
    assert.equal("directory", lfs.attributes(left, "mode"))
    local living = assert(t.open { memory = true })
    assert.is_nil(lfs.attributes(left, "mode"))
    local own = living:dir():gsub("......$", "000000")
    assert(t.open { dir = own }):close()
    os.execute("chmod 700 " .. own)
    local third = assert(t.open { memory = true })
    assert.equal("directory", lfs.attributes(living:dir(), "mode"))
    assert.equal("directory", lfs.attributes(own, "mode"))
    os.execute("rm -rf " .. own)
    living:close()
    third:close()
  end)
end)

describe("a call", function()
  local e
  before_each(function() e = assert(t.open { memory = true }) end)
  after_each(function() e:close() end)

  it("tells who the caller is", function()
    assert.equal("000000000000", json.decode(e:call("sts", "GetCallerIdentity", "{}")).Account)
  end)

  it("is denied unless the function's policy allows it, naming function, action and resource", function()
    e:allow { { "sqs:SendMessage", "arn:aws:sqs:us-east-1:000000000000:other" } }
    local _, err = e:call("sqs", "SendMessage", '{"QueueUrl":"http://h/0/q","MessageBody":"x"}')
    assert.matches("AccessDenied", err)
    assert.matches("TestFunction is not authorized to perform: sqs:SendMessage on resource: arn:aws:sqs:us%-east%-1:000000000000:q", err)
    e:allow { { "sqs:*", "*" } }
    assert(e:call("sqs", "CreateQueue", '{"QueueName":"q"}'))
  end)

  it("may be sent for a batch with the permission of the single action", function()
    assert(e:call("sqs", "CreateQueue", '{"QueueName":"q"}'))
    e:allow { { "sqs:SendMessage", "arn:aws:sqs:*:*:q" } }
    assert(e:call("sqs", "SendMessageBatch", '{"QueueUrl":"q","Entries":[{"Id":"1","MessageBody":"x"}]}'))
  end)

  it("answers a probe by writing", function()
    local before = e:commits()
    assert(e:probe())
    assert.is_true(e:commits() > before)
    e:fault("commit", 1)
    local none, code = e:probe()
    assert.is_nil(none)
    assert.equal("InputOutputError", code)
  end)
end)

describe("the writer", function()
  local e
  before_each(function()
    e = assert(t.open { memory = true })
    assert(e:call("sqs", "CreateQueue", '{"QueueName":"q"}'))
  end)
  after_each(function() e:close() end)

  local function send(body) return e:start("sqs", "SendMessage", json.encode { QueueUrl = "q", MessageBody = body }) end
  local function count()
    return tonumber(json.decode(e:call("sqs", "GetQueueAttributes",
      '{"QueueUrl":"q","AttributeNames":["ApproximateNumberOfMessages"]}')).Attributes.ApproximateNumberOfMessages)
  end

  it("commits what one turn gathered together", function()
    local commits, ops = e:commits()
    local calls = {}
    for i = 1, 100 do calls[i] = send("m" .. i) end
    for i = 1, 100 do assert(calls[i]:wait()) end
    local commits2, ops2 = e:commits()
    assert.equal(commits + 1, commits2)
    assert.equal(ops + 100, ops2)
    assert.equal(100, count())
  end)

  it("fails all of a group whose commit fails, keeps nothing of it, and goes on", function()
    e:fault("commit", 1)
    local calls = {}
    for i = 1, 10 do calls[i] = send("m" .. i) end
    for i = 1, 10 do
      local ok, err = calls[i]:wait()
      assert.is_nil(ok)
      assert.matches("InputOutputError", err)
    end
    assert.equal(0, count())
    assert(send("after"):wait())
    assert.equal(1, count())
  end)

  it("spares the neighbours of an operation that fails half-way", function()
    local batch = {}
    for i = 1, 5 do batch[i] = { Id = tostring(i), MessageBody = "b" .. i } end
    for n = 1, 40 do
      local before = count()
      local one = send("one")
      local bad = e:start("sqs", "SendMessageBatch", json.encode { QueueUrl = "q", Entries = batch })
      local other = send("other")
      e:fault("step", n)
      local got = { one:wait() and 1 or 0, bad:wait() and 5 or 0, other:wait() and 1 or 0 }
      e:fault("step", 0)
      assert.equal(before + got[1] + got[2] + got[3], count())
    end
  end)

  it("leaves nothing half-applied wherever a step fails, and works afterwards", function()
    local queue = '{"QueueUrl":"q"'
    local steps = {
      { "sqs", "SendMessageBatch", queue .. ',"Entries":[{"Id":"1","MessageBody":"a"},{"Id":"2","MessageBody":"b"}]}' },
      { "sqs", "ReceiveMessage", queue .. ',"MaxNumberOfMessages":10}' },
      { "sqs", "SetQueueAttributes", queue .. ',"Attributes":{"DelaySeconds":"0"}}' },
      { "s3", "CreateBucket", '{"Bucket":"bkt"}' },
      { "s3", "PutObject", '{"Bucket":"bkt","Key":"k"}', "bytes" },
      { "s3", "DeleteObject", '{"Bucket":"bkt","Key":"k"}' },
      { "ses", "SendEmail",
        '{"FromEmailAddress":"a@b.cd","Destination":{"ToAddresses":["c@d.ef"]},"Content":{"Simple":{"Subject":{"Data":"s"},"Body":{"Text":{"Data":"t"}}}}}' },
    }
    for _, call in ipairs(steps) do
      local failures, n = 0, 0
      repeat
        n = n + 1
        e:fault("step", n)
        local ok, err = e:call(table.unpack(call))
        if not ok then
          failures = failures + 1
          assert.matches("InputOutputError", err)
        end
      until ok or n > 100
      e:fault("step", 0)
      assert.is_true(n <= 100, call[2])
      assert.is_true(failures > 0, call[2] .. " never met the fault")
    end
    assert.equal("1", e:sql("SELECT count(*) FROM mail")[1][1])
    assert.equal("2", e:sql("SELECT count(*) FROM messages")[1][1])
  end)

  it("serves many workers at once, each message once", function()
    local sent, received = assert(e:hammer(4, 60))
    assert.equal(4 * 60 * 4, sent)
    assert.equal(sent - received, tonumber(e:sql("SELECT count(*) FROM messages")[1][1]))
    assert.is_true(received > 0)
    local commits, ops = e:commits()
    assert.is_true(ops > commits)
  end)

  it("does what was queued though nobody waits for it any more", function()
    local h = send("x")
    h:cancel()
    while count() == 0 do e:turn(10) end
    assert.equal(1, count())
  end)
end)
