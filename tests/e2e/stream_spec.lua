--- Answers that leave while their handlers run: over HTTP, and through the bootstrap on the Runtime API.
local host = require "perigee.host"
local json = require "perigee.json"
local support = require "e2e.support"

local PROJECT = "tests/e2e/fixtures/stream"
local TEMPLATE = PROJECT .. "/config/template.yaml"

describe("an answer in parts", function()
  local server, gates
  setup(function() server, gates = support.start { args = "--workers 1 --template " .. TEMPLATE }, 0 end)
  teardown(function() server:stop() end)

  -- A gate of its own; the headers that name it.
  local function gate()
    gates = gates + 1
    return gates, { ["X-Gate"] = ("%s/open/%d"):format(server.http, gates) }
  end
  local function open(id) assert.equal(204, server:post("/open/" .. id).status) end
  -- curl in the background: what it gets is in the file, and then its exit status in file.rc.
  local function fetch(args)
    local file = os.tmpname()
    support.sh("(curl -sN --max-time 30 %s >%s 2>/dev/null; echo $? >%s.rc) >/dev/null 2>&1 &", args, file, file)
    return {
      file = file,
      await = function(pattern)
        return support.eventually(20, pattern, function()
          local text = support.read(file)
          return text:find(pattern) and text
        end)
      end,
      status = function()
        return support.eventually(20, "the end of curl", function()
          local text = support.sh("cat %s.rc 2>/dev/null", file)
          return tonumber(text)
        end)
      end,
      forget = function() support.sh("rm -f %s %s.rc", file, file) end,
    }
  end
  local function get(path, headers, more)
    local args = { more or "", "-i", support.quote(server.http .. path) }
    for name, value in pairs(headers or {}) do args[#args + 1] = "-H " .. support.quote(name .. ": " .. value) end
    return fetch(table.concat(args, " "))
  end

  it("reaches the client before the handler ends", function()
    local id, headers = gate()
    local answer = get("/gate/" .. id, headers)
    local begun = answer.await "first\n"
    assert.matches("^HTTP/1.1 201 Created\r\n", begun)
    assert.matches("\r\nContent%-Type: text/csv\r\n", begun)
    assert.matches("\r\nX%-Perigee%-Version: %x+\r\n", begun)
    assert.matches("\r\nX%-Request%-Id: ", begun)
    assert.not_matches("second", begun)
    open(id)
    assert.equal(0, answer.status())
    assert.matches("first\nsecond\n$", support.read(answer.file))
    answer.forget()
  end)

  it("is the same at the function's URL", function()
    local id, headers = gate()
    headers.Host = "gate.lambda-url.localhost"
    local answer = get("/gate/" .. id, headers)
    answer.await "first\n"
    open(id)
    assert.equal(0, answer.status())
    answer.forget()
  end)

  it("is cut when its handler fails midway, and the log says why", function()
    for version, status in pairs { ["--http1.1"] = 18, ["--http1.0"] = 56 } do
      local id, headers = gate()
      local answer = get("/gate/" .. id .. "?fail=1", headers, version)
      answer.await "first\n"
      open(id)
      assert.equal(status, answer.status(), version)
      answer.forget()
    end
    assert.matches('"msg":"handler failed".-the gate broke.-stream.lua', server:log())
    assert.matches('"msg":"request cut"', server:log())
  end)

  it("holds its handler while the client is slow, in little memory, and ends with the client", function()
    local before, file = server:rss(), os.tmpname()
    local curl = tonumber((support.sh("curl -sN --limit-rate 256k -o %s %s/much >/dev/null 2>&1 & echo $!", file, server.http)))
    support.eventually(20, "some of it arrives", function() return #support.read(file) > 300000 end)
    assert.is_true(server:rss() - before < 32 * 1024, server:rss() - before)
    support.sh("kill %d", curl)
    support.eventually(20, "the request is cancelled", function() return server:log():find '"request cancelled".-/much' end)
    os.remove(file)
  end)

  it("ends with its client", function()
    local id, headers = gate()
    local answer = get("/gate/" .. id, headers, "--max-time 1")
    answer.await "first\n"
    assert.equal(28, answer.status())
    support.eventually(20, "the request is cancelled", function() return server:log():find('"request cancelled".-/gate/' .. id) end)
    answer.forget()
  end)

  -- Another server, and a stream of which the first part has come.
  local function half_way()
    local other = support.start { args = "--workers 1 --template " .. TEMPLATE }
    local id, headers = gate()
    local answer = fetch(("-H 'X-Gate: %s' %s/gate/%d"):format(headers["X-Gate"], other.http, id))
    answer.await "first\n"
    return other, answer, id
  end

  it("is ended by a graceful stop", function()
    local other, answer, id = half_way()
    other:signal "TERM"
    open(id)
    assert.equal(0, answer.status())
    assert.equal("first\nsecond\n", support.read(answer.file))
    other:stop()
    answer.forget()
  end)

  it("lacks its end when the server is killed", function()
    local other, answer = half_way()
    other:kill()
    assert.not_equal(0, answer.status())
    support.rmdir(other.dir)
    answer.forget()
  end)

  describe("of a function on the Runtime API", function()
    local runtime, dir
    setup(function()
      dir = support.tmpdir()
      support.sh("cp -r %s/handlers %s/ && ln -s $(realpath %s) %s/bootstrap", PROJECT, dir, support.bin, dir)
      support.write(dir .. "/perigee.json", assert(host.manifest { template = TEMPLATE }))
      runtime = support.runtime_api { exec = dir .. "/bootstrap",
        args = ("--task-root %s --handler stream.gate --function-name Gate --timeout 20"):format(dir) }
    end)
    teardown(function()
      runtime:stop()
      support.rmdir(dir)
    end)

    local function event(headers, query, domain)
      local file = os.tmpname()
      support.write(file, json.encode { version = "2.0", routeKey = "$default", rawPath = "/gate/1", rawQueryString = query or "",
        headers = { ["x-gate"] = headers["X-Gate"] }, isBase64Encoded = false, requestContext = { domainName = domain or
        "abc.lambda-url.us-east-1.on.aws", stage = "$default", http = { method = "GET", path = "/", sourceIp = "1.2.3.4", protocol = "HTTP/1.1" } } })
      return file
    end
    local function invoke(file, kind)
      return fetch(("--data-binary @%s %s/%s"):format(file, runtime.invoke, kind or "2021-11-15/functions/Gate/response-streaming-invocations"))
    end
    -- The payload of event stream frames, and the last frame's.
    local function payload(frames)
      local parts, last, at = {}, nil, 1
      while at <= #frames do
        local total, heads = (">I4I4"):unpack(frames, at)
        local head = frames:sub(at + 12, at + 11 + heads)
        local bytes = frames:sub(at + 12 + heads, at + total - 5)
        if head:find "PayloadChunk" then parts[#parts + 1] = bytes else last = bytes end
        at = at + total
      end
      return table.concat(parts), last
    end

    it("reaches the caller before the handler ends, behind its prelude", function()
      local id, headers = gate()
      local file = event(headers)
      local answer = invoke(file)
      answer.await "first\n"
      open(id)
      assert.equal(0, answer.status())
      local body, last = payload(support.read(answer.file))
      local prelude, rest = body:match "^(.-)\0\0\0\0\0\0\0\0(.*)$"
      assert.equal("first\nsecond\n", rest)
      assert.equal("{}", last)
      local head = json.decode(prelude)
      assert.same({ 201, "text/csv", { "a=1", "b=2" } }, { head.statusCode, head.headers["Content-Type"], { table.unpack(head.cookies) } })
      assert.is_string(head.headers["X-Request-Id"])
      answer.forget()
      os.remove(file)
    end)

    it("ends in the error of a handler that fails midway", function()
      local id, headers = gate()
      local file = event(headers, "fail=1")
      local answer = invoke(file)
      answer.await "first\n"
      open(id)
      answer.status()
      local _, last = payload(support.read(answer.file))
      assert.matches("Unhandled", last)
      assert.matches("the gate broke", last)
      answer.forget()
      os.remove(file)
    end)

    it("is a document for those who read documents", function()
      local id, headers = gate()
      open(id)
      local file = event(headers, nil, "abc.execute-api.us-east-1.amazonaws.com")
      local answer = invoke(file, "2015-03-31/functions/Gate/invocations")
      assert.equal(0, answer.status())
      local doc = json.decode(support.read(answer.file))
      assert.same({ 201, "first\nsecond\n" }, { doc.statusCode, doc.body })
      answer.forget()
      os.remove(file)
    end)
  end)
end)
