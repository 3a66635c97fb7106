local t = require "t.local"
local json = require "cjson"
local killing = require "faults.killing"

describe("Files of objects, when a store is opened,", function()
  local dir
  local function sh(format, ...) assert(os.execute(format:format(...))) end
  before_each(function()
    dir = os.tmpname()
    os.remove(dir)
  end)
  after_each(function() os.execute("rm -rf '" .. dir .. "'") end)

  local function put(e, key)
    assert(e:call("s3", "PutObject", json.encode { Bucket = "bkt", Key = key }, "hello"))
  end
  local function make()
    local e = assert(t.open { dir = dir })
    assert(e:call("s3", "CreateBucket", '{"Bucket":"bkt"}'))
    put(e, "a")
    e:close()
  end
  local function shard()
    local p = io.popen("ls -d " .. dir .. "/s3/bkt/*")
    local first = p:read "l"
    p:close()
    return first
  end
  local function exists(path) return os.execute("test -e '" .. path .. "'") == true end
  local function reopen() assert(t.open { dir = dir }):close() end

  -- A file that no object has, and its directory's time as if it had always been there.
  local function stray()
    local file = shard() .. "/left"
    sh("touch -r %s %s/time && touch %s && touch -r %s/time %s", shard(), dir, file, dir, shard())
    return file
  end

  it("are not looked at when nothing changed since a clean end", function()
    make()
    local file = stray()
    reopen()
    assert.is_true(exists(file))
  end)

  it("are looked at after kill -9, whatever the times of directories say", function()
    make()
    killing.run("idle_driver", dir, "", 1) -- a row may be gone, and its file about to go
    local file = stray()
    reopen()
    assert.is_false(exists(file))
  end)

  it("go when no object has them and the store did not end since, and the others stay", function()
    make()
    local where = shard()
    sh("touch %s/left", where)
    reopen()
    assert.is_false(exists(where .. "/left"))
    sh("cp -r %s %s.copy && mkdir -p %s.copy/s3/other && touch %s.copy/s3/other/left", dir, dir, dir, dir)
    sh("rm -rf %s && mv %s.copy %s", dir, dir, dir)
    local e = assert(t.open { dir = dir })
    assert.is_false(exists(dir .. "/s3/other/left"))
    assert(e:call("s3", "GetObject", '{"Bucket":"bkt","Key":"a"}'))
    e:close()
  end)

  it("go when a store that is gone had them", function()
    make()
    local where = shard()
    sh("rm %s/store.db*", dir)
    reopen()
    local p = io.popen("ls " .. where)
    assert.equal("", p:read "a")
    p:close()
  end)
end)
