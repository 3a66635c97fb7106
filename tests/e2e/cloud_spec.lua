-- `perigee cloud`: the engine alone, over real sockets, by hand and by AWS's own client.
local json = require "perigee.json"
local sigv4 = require "perigee.sigv4"
local support = require "e2e.support"
local wire = require "peers.wire"

describe("perigee cloud", function()
  local server

  setup(function() server = support.cloud { args = "--workers 2" } end)
  teardown(function() server:stop() end)

  local function curl(args, url) return (support.sh("curl -s --max-time 20 %s %s", args, support.quote(url or server.cloud .. "/"))) end

  it("says where it listens, and is healthy there without a signature", function()
    assert.matches("^perigee: ready cloud=http://127%.0%.0%.1:%d+\n$", server.ready)
    assert.equal("ok", json.decode(curl "").status)
  end)

  it("answers a client that waits for 100 Continue without delay", function()
    local port = server.cloud:match ":(%d+)"
    local script = ([[
import socket, time
s = socket.create_connection(("127.0.0.1", %s))
s.settimeout(10)
s.sendall(b"PUT /bkt/key HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
first = s.recv(4096) # the body is sent only now: without the interim answer this waits for good
s.sendall(b"hello")
print(first.split(b"\r\n")[0].decode(), s.recv(4096).split(b"\r\n")[0].decode())
]]):format(port)
    assert.equal("HTTP/1.1 100 Continue HTTP/1.1 403 Forbidden\n", support.sh("python3 -c %s", support.quote(script)))
  end)

  it("sends head and body of an answer in one write", function()
    local port = server.cloud:match ":(%d+)"
    local script = ([[
import socket
s = socket.create_connection(("127.0.0.1", %s))
s.settimeout(10)
for i in range(20):
    s.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: DynamoDB_20120810.ListTables\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
    data = s.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"400 Bad Request" in head and b"MissingAuthenticationToken" in body, data
print("whole")
]]):format(port)
    assert.equal("whole\n", support.sh("python3 -c %s 2>&1", support.quote(script)))
  end)

  it("keeps what it acknowledged when it is killed", function()
    local data = support.tmpdir()
    local function call(s, target, body)
      local text = json.encode(body)
      local headers = { ["X-Amz-Target"] = "DynamoDB_20120810." .. target, ["Content-Type"] = "application/x-amz-json-1.0" }
      local signed = assert(sigv4.sign { method = "POST", url = s.cloud .. "/", headers = headers, body = text, service = "dynamodb",
        region = "us-east-1", credentials = { access_key_id = "perigee", secret_access_key = "perigee" } })
      local args = { "-X POST --data-binary " .. support.quote(text) }
      for name, value in pairs(signed.headers) do args[#args + 1] = "-H " .. support.quote(name .. ": " .. value) end
      return json.decode(curl(table.concat(args, " "), s.cloud .. "/"))
    end
    local first = support.cloud { data = data }
    call(first, "CreateTable", { TableName = "Orders", BillingMode = "PAY_PER_REQUEST",
      AttributeDefinitions = { { AttributeName = "id", AttributeType = "S" } }, KeySchema = { { AttributeName = "id", KeyType = "HASH" } } })
    assert.same({}, call(first, "PutItem", { TableName = "Orders", Item = { id = { S = "1" } } }))
    first:kill()
    local second = support.cloud { data = data }
    assert.same({ Item = { id = { S = "1" } } }, call(second, "GetItem", { TableName = "Orders", Key = { id = { S = "1" } } }))
    assert.matches("stopped", second:stop())
    support.rmdir(data)
  end)

  it("takes anything unsigned only where it was told to, on loopback", function()
    local open = support.cloud { args = "--no-verify" }
    local body = curl("-X POST -H 'Content-Type: application/json' -H 'X-Amz-Target: DynamoDB_20120810.ListTables' -d '{}'", open.cloud .. "/")
    assert.same({ TableNames = json.array {} }, json.decode(body))
    assert.matches("takes any signature", open:stop())
    local out, status = support.sh("%s cloud --memory --port 0 --host 0.0.0.0 --no-verify 2>&1", support.bin)
    assert.equal(1, status)
    assert.matches("%-%-no%-verify", out)
  end)

  it("ends with the polls of queues that wait, and tells them to come again", function()
    local polled = support.cloud { args = "--no-verify --workers 1" }
    local script = ([[
import socket
def ask(operation, body):
    s = socket.create_connection(("127.0.0.1", %s))
    s.settimeout(30)
    s.sendall(("POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.%%s\r\nContent-Length: %%d\r\n\r\n%%s" %% (operation, len(body), body)).encode())
    return s
ask("CreateQueue", '{"QueueName":"q"}').recv(4096)
waiting = ask("ReceiveMessage", '{"QueueUrl":"q","WaitTimeSeconds":20}')
ask("ListQueues", "{}").recv(4096) # the one worker has seen what came before
print("waits", flush=True)
print(waiting.recv(4096).split(b"\r\n")[0].decode(), flush=True)
]]):format(polled.cloud:match ":(%d+)")
    local pipe = assert(io.popen("python3 -c " .. support.quote(script) .. " 2>&1"))
    assert.equal("waits", pipe:read "l")
    assert.matches("stopped", polled:stop())
    assert.equal("HTTP/1.1 503 Service Unavailable", pipe:read "l")
    pipe:close()
  end)

  it("is controlled by tests where that was asked for", function()
    local forbidden = json.decode(curl("", server.cloud .. "/_perigee/cloud/clock"))
    assert.equal("AccessDenied", forbidden.error.code)
    local open = support.cloud { args = "--control --no-verify" }
    local function ask(path, doc) return json.decode(curl("-X POST -d " .. support.quote(json.encode(doc)), open.cloud .. "/_perigee/cloud/" .. path)) end
    assert.matches("^2030%-01%-01T00:00:00", ask("clock", { now = "2030-01-01T00:00:00Z", freeze = true }).now)
    ask("faults", { faults = { { match = "dynamodb:ListTables", times = 1, error = "ProvisionedThroughputExceededException" } } })
    local call = "-X POST -H 'Content-Type: application/json' -H 'X-Amz-Target: DynamoDB_20120810.ListTables' -d '{}'"
    assert.matches("#ProvisionedThroughputExceededException$", json.decode(curl(call, open.cloud .. "/")).__type)
    assert.same({ TableNames = json.array {} }, json.decode(curl(call, open.cloud .. "/")))
    assert.same({ reset = true }, ask("reset", {}))
    open:stop()
  end)

  it("is what it was, for clients of all workers, when a snapshot is restored", function()
    local open = support.cloud { args = "--control --no-verify --workers 2" }
    local function ask(path, doc) return json.decode(curl("-X POST -d " .. support.quote(json.encode(doc)), open.cloud .. "/_perigee/cloud/" .. path)) end
    local function put(bytes) curl("-X PUT --data-binary " .. bytes, open.cloud .. "/bkt/key") end
    curl("-X PUT", open.cloud .. "/bkt")
    put "old"
    assert.same({ taken = "one" }, ask("snapshots", { name = "one" }))
    put "new"
    curl("-X PUT", open.cloud .. "/later")
    open:kill()
    local again = support.cloud { args = "--control --no-verify --workers 2", data = open.data }
    open.cloud = again.cloud
    local function see() -- new connections, by chance to either worker
      local out = {}
      for i = 1, 16 do out[i] = curl("", open.cloud .. "/bkt/key") .. " " .. #curl("", open.cloud .. "/later?location") end
      return out
    end
    local before = see()
    for i = 2, #before do assert.equal(before[1], before[i]) end
    assert.matches("^new", before[1])
    assert.same({ restored = "one" }, ask("restore", { name = "one" }))
    for _, seen in ipairs(see()) do assert.matches("^old", seen) end
    assert.matches("NoSuchBucket", (curl("", open.cloud .. "/later?location")))
    assert.same({ deleted = "one" }, json.decode(curl("-X DELETE", open.cloud .. "/_perigee/cloud/snapshots/one")))
    again:stop()
    open:stop()
  end)

  it("refuses options that make no sense", function()
    for args, why in pairs { ["--account 12"] = "12 digits", ["extra"] = "unexpected argument", ["--keys /nonexistent"] = "/nonexistent",
      ["--log-level loud"] = "log%-level", ["--port 70000"] = "65535" } do
      local out, status = support.sh("%s cloud --memory --port 0 %s 2>&1", support.bin, args)
      assert.is_true(status == 1 or status == 2, args)
      assert.matches(why, out)
    end
  end)

  it("is used by boto3 as S3 with links of both versions", function()
    if wire.missing() then return pending(wire.missing()) end
    assert.same({ ["put with Expect is quick"] = true, ["links by Signature Version 2"] = true, ["links by Signature Version 4"] = true,
      ["version 2 in headers is refused by name"] = true, ["checksums in headers"] = true, ["trailers within two framings"] = true }, wire.run("wire_links.py", server.cloud))
  end)
end)
