-- Has a store until it is killed: in memory, with an object; or one that is there, and does nothing to it. See
-- tests/unit/local/store_spec.lua, s3_clean_spec.lua.
local t = require "t.local"
local dir = os.getenv "STORE_DIR"
io.stdout:setvbuf "line"
print("pid " .. t.pid())
local e = assert(t.open(dir ~= "" and { dir = dir } or { memory = true }))
if dir == "" then
  assert(e:call("s3", "CreateBucket", '{"Bucket":"bkt"}'))
  assert(e:call("s3", "PutObject", '{"Bucket":"bkt","Key":"k"}', "bytes"))
end
while true do print(e:dir()) end
