-- Snapshots: a whole engine under a name, and back.
local t = require "t.local"
local json = require "cjson"
local killing = require "faults.killing"

describe("a snapshot", function()
  local e, dir
  before_each(function() dir = nil end)
  after_each(function()
    if e then e:close() end
    if dir then os.execute("rm -rf " .. dir) end
    e = nil
  end)
  local function open(options)
    local o = options or { memory = true }
    o.control = 2
    e = assert(t.open(o))
  end
  local function open_dir()
    dir = dir or killing.tmpdir()
    open { dir = dir }
  end
  local function call(service, action, params, body)
    local result, bytes = e:call(service, action, json.encode(params), body)
    return json.decode((assert(result, bytes))), bytes
  end
  local function ask(method, name, doc)
    local status, _, body = e:face { method = method, target = "/_perigee/cloud/" .. name, headers = { Host = "localhost" },
      body = doc and (type(doc) == "table" and json.encode(doc) or doc) }
    return status, json.decode(body)
  end
  local function create_table(name)
    call("dynamodb", "CreateTable", { TableName = name, BillingMode = "PAY_PER_REQUEST",
      AttributeDefinitions = { { AttributeName = "id", AttributeType = "S" } }, KeySchema = { { AttributeName = "id", KeyType = "HASH" } } })
  end
  local function put(value) call("dynamodb", "PutItem", { TableName = "Tab", Item = { id = { S = "1" }, v = { S = value } } }) end
  local function item() return call("dynamodb", "GetItem", { TableName = "Tab", Key = { id = { S = "1" } } }).Item.v.S end
  local function store(key, bytes) call("s3", "PutObject", { Bucket = "bkt", Key = key }, bytes) end
  local function object(key) return select(2, call("s3", "GetObject", { Bucket = "bkt", Key = key })) end
  local function keys()
    local out = {}
    for i, row in ipairs(call("s3", "ListObjectsV2", { Bucket = "bkt" }).Contents or {}) do out[i] = row.Key end
    return table.concat(out, " ")
  end
  local function send(body) call("sqs", "SendMessage", { QueueUrl = "q", MessageBody = body }) end
  local function receive() return (call("sqs", "ReceiveMessage", { QueueUrl = "q", VisibilityTimeout = 60 }).Messages or {})[1] end
  local function fill()
    create_table "Tab"
    put "old"
    call("sqs", "CreateQueue", { QueueName = "q" })
    send "waits"
    call("s3", "CreateBucket", { Bucket = "bkt" })
    store("kept", "kept bytes")
    store("changed", "old bytes")
    store("removed", "removed bytes")
  end
  local function spoil()
    put "new"
    create_table "Later"
    call("dynamodb", "DeleteTable", { TableName = "Tab" })
    call("sqs", "DeleteQueue", { QueueUrl = "q" })
    call("sqs", "CreateQueue", { QueueName = "later" })
    store("changed", "new bytes")
    store("added", "added bytes")
    call("s3", "DeleteObject", { Bucket = "bkt", Key = "removed" })
  end
  local function check_old()
    assert.equal("old", item())
    assert.same({ "Tab" }, call("dynamodb", "ListTables", {}).TableNames)
    assert.equal("changed kept removed", keys())
    assert.same({ "old bytes", "kept bytes", "removed bytes" }, { object "changed", object "kept", object "removed" })
    assert.is_nil((e:call("sqs", "GetQueueUrl", '{"QueueName":"later"}')))
    killing.check_files(e, e:dir())
  end

  it("brings back tables, queues and objects, as often as one likes", function()
    open()
    fill()
    assert.same({ 200, { taken = "one" } }, { ask("POST", "snapshots", { name = "one" }) })
    for _ = 1, 3 do
      spoil()
      assert.same({ 200, { restored = "one" } }, { ask("POST", "restore", { name = "one" }) })
      check_old()
      assert.equal("waits", receive().Body)
    end
    assert.equal("ok", e:sql("PRAGMA integrity_check")[1][1])
  end)

  it("has messages in flight with their handles, mail, and what uploads in parts have so far", function()
    open { memory = true, now = 1700000000000 }
    fill()
    local handle = receive().ReceiptHandle
    call("ses", "SendEmail", { FromEmailAddress = "a@b.test", Destination = { ToAddresses = { "c@d.test" } },
      Content = { Simple = { Subject = { Data = "Hello" }, Body = { Text = { Data = "x" } } } } })
    local id = call("s3", "CreateMultipartUpload", { Bucket = "bkt", Key = "big" }).UploadId
    local etag = call("s3", "UploadPart", { Bucket = "bkt", Key = "big", UploadId = id, PartNumber = 1 }, "part").ETag
    assert(e:snapshot("take", "one"))
    call("sqs", "DeleteMessage", { QueueUrl = "q", ReceiptHandle = handle })
    call("s3", "AbortMultipartUpload", { Bucket = "bkt", Key = "big", UploadId = id })
    ask("POST", "reset", {})
    assert(e:snapshot("restore", "one"))
    assert.is_nil(receive())
    assert.equal(1, #select(2, ask("GET", "mailbox")).Messages)
    call("s3", "CompleteMultipartUpload", { Bucket = "bkt", Key = "big", UploadId = id, MultipartUpload = { Parts = { { PartNumber = 1, ETag = etag } } } })
    assert.equal("part", object "big")
    e:advance(61000)
    assert.equal("waits", receive().Body)
    killing.check_files(e, e:dir())
  end)

  it("has the time of a clock that stood, and how far another was moved; not the faults", function()
    open { memory = true, now = 1700000000000 }
    assert(e:snapshot("take", "standing"))
    local status = ask("POST", "clock", { freeze = false, now = "2030-01-01T00:00:00Z" })
    if t.simulated then -- does not go on by itself
      assert.equal(400, status)
      return
    end
    assert(e:snapshot("take", "moved"))
    ask("PUT", "faults", { faults = { { match = "s3:ListBuckets", error = "SlowDown", status = 503 } } })
    ask("POST", "clock", { reset = true })
    assert(e:snapshot("restore", "standing"))
    e:advance(0)
    assert.equal(1700000000000, e:now())
    assert(e:snapshot("restore", "moved"))
    local _, c = ask("GET", "clock")
    assert.matches("^2030%-01%-01T00:0", c.now)
    assert.is_false(c.frozen)
    assert.is_nil((e:call("s3", "ListBuckets", "{}")))
  end)

  it("that is taken among writes has each transaction whole", function()
    open()
    create_table "Tab"
    local running = {}
    local function write(n)
      local items = {}
      for i = 1, 3 do items[i] = { Put = { TableName = "Tab", Item = { id = { S = tostring(i) }, n = { N = tostring(n) } } } } end
      running[#running + 1] = e:start("dynamodb", "TransactWriteItems", json.encode { TransactItems = items })
    end
    local function numbers()
      local out = {}
      for i, row in ipairs(call("dynamodb", "Scan", { TableName = "Tab" }).Items) do out[i] = row.n.N end
      return out
    end
    for n = 1, 40 do write(n) end
    assert(e:snapshot("take", "one"))
    for n = 41, 80 do write(n) end
    for _, w in ipairs(running) do assert(w:wait()) end
    assert.same({ "80", "80", "80" }, numbers())
    assert(e:snapshot("restore", "one"))
    assert.same({ "40", "40", "40" }, numbers())
  end)

  it("is looked at by polls that wait", function()
    open()
    fill()
    assert(e:snapshot("take", "one"))
    receive()
    local waiting = e:start("sqs", "ReceiveMessage", '{"QueueUrl":"q","WaitTimeSeconds":20}')
    e:turn()
    assert(e:snapshot("restore", "one"))
    assert.equal("waits", json.decode((waiting:wait())).Messages[1].Body)
    call("sqs", "CreateQueue", { QueueName = "later" })
    waiting = e:start("sqs", "ReceiveMessage", '{"QueueUrl":"later","WaitTimeSeconds":20}')
    e:turn()
    assert(e:snapshot("restore", "one"))
    local result, why = waiting:wait()
    assert.is_nil(result)
    assert.matches("QueueDoesNotExist", why)
  end)

  it("is listed and deleted, and its name may be used again", function()
    open()
    assert.same({ 200, { snapshots = {} } }, { ask("GET", "snapshots") })
    ask("POST", "snapshots", { name = "b" })
    ask("POST", "snapshots", { name = "a.1-x_Y" })
    local _, list = ask("GET", "snapshots")
    assert.same({ "a.1-x_Y", "b" }, { list.snapshots[1].name, list.snapshots[2].name })
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT", list.snapshots[1].created)
    assert.is_true(list.snapshots[1].bytes > 4096)
    assert(e:snapshot("restore", "b"))
    assert.same({ 200, { deleted = "b" } }, { ask("DELETE", "snapshots/b") })
    assert.equal(404, (ask("POST", "restore", { name = "b" })))
    fill()
    assert(e:snapshot("take", "b"))
    spoil()
    assert(e:snapshot("restore", "b"))
    check_old()
    assert.equal("", killing.output("find " .. e:dir() .. "/snapshots -name '.?*'"))
  end)

  it("names what is wrong with a request", function()
    open()
    local function refused(status, code, why, ...)
      local got, body = ask(...)
      assert.same({ status, code }, { got, body.error.code })
      assert.matches(why, body.error.message)
    end
    for _, name in ipairs { "", ".", "..", ".a", "a/b", "a b", "ä", "a\0b", ("x"):rep(65) } do
      refused(400, "ValidationException", "a name is 1 to 64", "POST", "snapshots", { name = name })
      refused(400, "ValidationException", "a name is 1 to 64", "POST", "restore", { name = name })
    end
    refused(400, "ValidationException", "name is missing", "POST", "snapshots", {})
    refused(400, "ValidationException", "name is missing", "POST", "restore", { name = 1 })
    refused(400, "ValidationException", 'no "nam"', "POST", "restore", { nam = "x" })
    refused(404, "NotFoundException", 'no "none"', "POST", "restore", { name = "none" })
    refused(404, "NotFoundException", 'no "none"', "DELETE", "snapshots/none")
    refused(400, "ValidationException", "a name is 1 to 64", "DELETE", "snapshots/..")
    refused(405, "MethodNotAllowed", "only POST", "GET", "restore")
    assert(e:snapshot("take", ("x"):rep(64)))
    refused(409, "ConflictException", "already", "POST", "snapshots", { name = ("x"):rep(64) })
    assert.equal(1, #select(2, ask("GET", "snapshots")).snapshots)
  end)

  it("stays in the data directory", function()
    open_dir()
    fill()
    assert(e:snapshot("take", "one"))
    spoil()
    e:close()
    open_dir()
    assert(e:snapshot("restore", "one"))
    check_old()
    e:close()
    open_dir()
    check_old()
    assert.equal("waits", receive().Body)
  end)

  it("changes nothing when it cannot be restored or taken", function()
    open_dir()
    fill()
    assert(e:snapshot("take", "one"))
    store("changed", "new bytes")
    call("s3", "DeleteObject", { Bucket = "bkt", Key = "removed" })
    for _, fault in ipairs { "commit", "file" } do
      for _, what in ipairs { { "restore", "one" }, { "take", "two" } } do
        e:fault(fault, 1)
        local ok, _, why = e:snapshot(what[1], what[2])
        assert.is_nil(ok)
        assert.is_truthy(why:find "injected" or why:find "cannot link", why)
        e:fault(fault, 0)
        assert.equal("changed kept", keys())
        assert.equal("new bytes", object "changed")
        killing.check_files(e, dir)
        assert.equal("one\n", killing.output("ls -A " .. dir .. "/snapshots"))
      end
    end
    assert(e:snapshot("restore", "one"))
    check_old()
  end)

  it("that is damaged is refused, with nothing changed", function()
    open_dir()
    fill()
    for _, damage in ipairs { "echo x > %s/store.db", "rm %s/store.db", "echo '{}' > %s/about.json", "rm %s/about.json" } do
      assert(e:snapshot("take", "one"))
      os.execute(damage:format(dir .. "/snapshots/one"))
      local status, body = ask("POST", "restore", { name = "one" })
      assert.equal(500, status)
      assert.matches('snapshots: "one" is damaged', body.error.message)
      assert.equal("old", item())
      assert.equal("changed kept removed", keys())
      assert.equal(200, (ask("DELETE", "snapshots/one")))
    end
  end)

  it("survives kill -9 at any moment, and so does the store: it is the one or the other, whole", function()
    dir = killing.tmpdir()
    for round = 1, 6 do
      killing.run("snapshot_driver", dir, "r" .. round, 1 + math.random(12))
      open_dir()
      killing.check_files(e, dir)
      local name = object("k1"):sub(1, 1)
      for _ = 1, 2 do
        for i = 1, 20 do assert.equal(name:rep(500 * i), object("k" .. i)) end
        local bodies = e:sql("SELECT DISTINCT body FROM messages m JOIN queues q ON q.id=m.queue WHERE q.gone=0")
        assert.same({ { name } }, bodies)
        name = name == "a" and "b" or "a"
        assert(e:snapshot("restore", name))
      end
      assert.equal("", killing.output("find " .. dir .. "/snapshots -name '.?*'"))
      e:close()
      e = nil
    end
  end)
end)
