-- Restores two snapshots in turn until it is killed; prints which. See tests/unit/local/face_snapshot_spec.lua.
local t = require "t.local"
local json = require "cjson"

local e = assert(t.open { dir = os.getenv "STORE_DIR" })
io.stdout:setvbuf "line"
print("pid " .. t.pid())

local function call(service, action, params, body) return json.decode((assert(e:call(service, action, json.encode(params), body)))) end

if not e:snapshot("restore", "a") then
  call("s3", "CreateBucket", { Bucket = "bkt" })
  call("sqs", "CreateQueue", { QueueName = "q" })
  for _, name in ipairs { "a", "b" } do
    for i = 1, 20 do
      call("s3", "PutObject", { Bucket = "bkt", Key = "k" .. i }, name:rep(500 * i))
      call("sqs", "SendMessage", { QueueUrl = "q", MessageBody = name })
    end
    e:snapshot("delete", name)
    assert(e:snapshot("take", name))
    call("sqs", "DeleteQueue", { QueueUrl = "q" })
    call("sqs", "CreateQueue", { QueueName = "q" })
  end
end
for i = 1, 1000000 do
  local name = i % 2 == 0 and "b" or "a"
  assert(e:snapshot("restore", name))
  print(name)
  if i % 3 == 0 then
    e:snapshot("delete", "more")
    assert(e:snapshot("take", "more"))
  end
end
