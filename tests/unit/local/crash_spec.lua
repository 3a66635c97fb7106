-- What was acknowledged survives kill -9 at any moment; a full disk fails calls cleanly and heals.
local t = require "t.local"
local json = require "cjson"
local killing = require "faults.killing"
local output = killing.output

describe("killing the process", function()
  it("loses nothing that was acknowledged, doubles nothing, leaves no stray file", function()
    local dir = killing.tmpdir()
    local acked = {}
    for round = 1, 5 do
      for _, line in ipairs(killing.run("store_driver", dir, "r" .. round, 20 + math.random(120))) do acked[#acked + 1] = line end
      local e = assert(t.open { dir = dir })
      local seen = {}
      for _, row in ipairs(assert(e:sql("SELECT body FROM messages"))) do
        assert.is_nil(seen[row[1]], "twice: " .. row[1])
        seen[row[1]] = true
      end
      local objects = 0
      for _, line in ipairs(acked) do
        local kind, body = line:match("^(%a+) (%S+)$")
        if kind == "message" then
          assert.is_true(seen[body], "lost: " .. body)
        elseif kind == "object" then
          objects = objects + 1
          local _, bytes = e:call("s3", "GetObject", json.encode { Bucket = "bkt", Key = "k/" .. body })
          assert.equal(body:rep(500), bytes)
        else
          error("the driver said: " .. line)
        end
      end
      assert.is_true(objects > 0)
      local files = tonumber(output("find " .. dir .. "/s3 -type f | wc -l"))
      assert.equal(tonumber(e:sql("SELECT count(*) FROM objects")[1][1]), files)
      e:close()
    end
    os.execute("rm -rf " .. dir)
  end)
end)

describe("a full disk", function()
  it("fails writes with a retryable error, keeps what was acknowledged, and heals when there is space", function()
    local dir = killing.tmpdir()
    if not os.execute("mount -t tmpfs -o size=3m tmpfs " .. dir .. " 2>/dev/null") then
      os.execute("rmdir " .. dir)
      return pending("needs the right to mount a small file system")
    end
    local e = assert(t.open { dir = dir .. "/data" })
    assert(e:call("sqs", "CreateQueue", '{"QueueName":"q"}'))
    assert(e:call("s3", "CreateBucket", '{"Bucket":"bkt"}'))
    local body, acked, failures = ("x"):rep(20000), 0, 0
    for _ = 1, 400 do
      local ok, err = e:call("sqs", "SendMessage", json.encode { QueueUrl = "q", MessageBody = body })
      if ok then
        acked = acked + 1
      else
        failures = failures + 1
        assert.matches("InsufficientStorage", err)
      end
      if failures == 3 then break end
    end
    assert.equal(3, failures)
    local ok, err = e:call("s3", "PutObject", '{"Bucket":"bkt","Key":"k"}', ("y"):rep(3000000))
    assert.is_nil(ok)
    assert.matches("InsufficientStorage", err)
    assert.equal(acked, tonumber(e:sql("SELECT count(*) FROM messages")[1][1]))
    assert(os.execute("mount -o remount,size=30m " .. dir))
    assert(e:call("sqs", "SendMessage", json.encode { QueueUrl = "q", MessageBody = body }))
    assert(e:call("s3", "PutObject", '{"Bucket":"bkt","Key":"k"}', "y"))
    e:close()
    e = assert(t.open { dir = dir .. "/data" })
    assert.equal(acked + 1, tonumber(e:sql("SELECT count(*) FROM messages")[1][1]))
    e:close()
    os.execute("umount " .. dir .. " && rmdir " .. dir)
  end)
end)
