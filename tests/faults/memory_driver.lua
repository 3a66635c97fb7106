-- Has a store in memory until it is killed. See tests/unit/local/store_spec.lua.
local t = require "t.local"
io.stdout:setvbuf "line"
print("pid " .. t.pid())
local e = assert(t.open { memory = true })
assert(e:call("s3", "CreateBucket", '{"Bucket":"bkt"}'))
assert(e:call("s3", "PutObject", '{"Bucket":"bkt","Key":"k"}', "bytes"))
while true do print(e:dir()) end
