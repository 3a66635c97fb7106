-- Writes to the store of $STORE_DIR for ever, eight calls at a time, and prints one line for each that was acknowledged:
-- the process to be killed by tests/unit/local/crash_spec.lua. First line: its process id.
local t = require "t.local"
local json = require "cjson"
local dir, tag = assert(os.getenv "STORE_DIR"), assert(os.getenv "STORE_TAG")

io.stdout:setvbuf("no")
io.write("pid ", t.pid(), "\n")
local e = assert(t.open { dir = dir })
assert(e:call("sqs", "CreateQueue", '{"QueueName":"q"}'))
assert(e:call("s3", "CreateBucket", '{"Bucket":"bkt"}'))

local function start(n)
  local body = tag .. "-" .. n
  if n % 4 == 0 then
    return { line = "object " .. body, call = e:start("s3", "PutObject", json.encode { Bucket = "bkt", Key = "k/" .. body }, body:rep(500)) }
  end
  return { line = "message " .. body, call = e:start("sqs", "SendMessage", json.encode { QueueUrl = "q", MessageBody = body }) }
end

for round = 1, math.huge do
  local calls = {}
  for i = 1, 8 do calls[i] = start(round * 8 + i) end
  for i = 1, 8 do
    if calls[i].call:wait() then io.write(calls[i].line, "\n") end
  end
end
