-- Stores objects in parts, by copying and in versions until it is killed; prints what was acknowledged. See
-- tests/unit/local/s3_crash_spec.lua.
local t = require "t.local"
local json = require "cjson"

local e = assert(t.open { dir = os.getenv "STORE_DIR" })
local tag = os.getenv "STORE_TAG"
io.stdout:setvbuf "line"
print("pid " .. t.pid())

local function call(action, params, body)
  params.Bucket = "bkt"
  local r, err = e:call("s3", action, json.encode(params), body)
  if not r then error(action .. ": " .. err) end
  return json.decode(r)
end
call("CreateBucket", {})
call("PutBucketVersioning", { VersioningConfiguration = { Status = "Enabled" } })
for i = 1, 1000000 do
  local name = tag .. "-" .. i
  local key = "k/" .. name
  local id = call("CreateMultipartUpload", { Key = key }).UploadId
  local part = call("UploadPart", { Key = key, UploadId = id, PartNumber = 1 }, name:rep(500))
  if i % 4 == 0 then call("UploadPart", { Key = key, UploadId = id, PartNumber = 1 }, name:rep(500)) end
  if i % 5 == 0 then
    call("AbortMultipartUpload", { Key = key, UploadId = id })
  else
    call("CompleteMultipartUpload", { Key = key, UploadId = id, MultipartUpload = { Parts = { { PartNumber = 1, ETag = part.ETag } } } })
    print("object " .. name)
    call("CopyObject", { Key = "copy", CopySource = "bkt/" .. key })
    if i % 3 == 0 then call("DeleteObject", { Key = "copy" }) end
  end
end
