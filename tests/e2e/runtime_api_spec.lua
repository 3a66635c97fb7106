--- `perigee runtime-api`: bootstraps of several kinds, one event at a time and behind Lambda's own API.
local json = require "perigee.json"
local support = require "e2e.support"

local GO = "build/peers/runtime_api_go"

describe("perigee runtime-api", function()
  local dir
  before_each(function() dir = support.tmpdir() end)
  after_each(function() support.rmdir(dir) end)

  -- One event: stdout, exit status, stderr.
  local function run(args, event)
    support.write(dir .. "/event", type(event) == "string" and event or json.encode(event))
    local out, status = support.sh("timeout 60 %s runtime-api --event %s/event %s 2>%s/log", support.bin, dir, args, dir)
    return out, status, support.read(dir .. "/log")
  end
  local function bootstrap(event, args)
    return run(("--exec %s %s"):format(support.bootstrap, args or ""), event)
  end

  it("prints the answer, Lambda's lines beside it, and ends with 0", function()
    local out, status, log = bootstrap { a = 1 }
    assert.same({ '{"a": 1}\n', 0 }, { out, status })
    local id = log:match "START RequestId: (%S+) Version: $LATEST\n"
    assert.is_string(id, log)
    assert.matches("END RequestId: " .. id, log, 1, true)
    assert.matches("REPORT RequestId: %S+\tDuration: [%d.]+ ms\tBilled Duration: %d+ ms\tMemory Size: 128 MB\tMax Memory Used: %d+ MB"
      .. "\tInit Duration: [%d.]+ ms\n$", log)
  end)

  it("gives the program Lambda's environment, directory and nothing else", function()
    support.write(dir .. "/env.json", '{"Parameters":{"BOTH":"low","ONE":1},"orders":{"BOTH":"high","YES":true},"other":{"NO":"x"}}')
    local out, status = bootstrap({ ["do"] = "about" },
      ("--handler orders.create --task-root %s --env %s/env.json --function-name orders --memory 512 --region eu-west-3"):format(dir, dir))
    assert.equal(0, status)
    local about = json.decode(out)
    local env = about.env
    local root = support.sh("realpath %s", dir):gsub("\n", "")
    assert.same({ root, root, "orders.create" }, { about.cwd, env.LAMBDA_TASK_ROOT, env._HANDLER })
    assert.is_true(about.group, "it leads a process group of its own")
    assert.same({ "0", "1", "2", "3", "4" }, about.descriptors) -- its own connection, and the directory it reads
    assert.same({ "high", "1", "true" }, { env.BOTH, env.ONE, env.YES })
    assert.matches("^127%.0%.0%.1:%d+$", env.AWS_LAMBDA_RUNTIME_API)
    assert.matches("^%d+/%d+/%d+/%[%$LATEST%]%x+$", env.AWS_LAMBDA_LOG_STREAM_NAME)
    for name, value in pairs {
      AWS_REGION = "eu-west-3", AWS_DEFAULT_REGION = "eu-west-3", AWS_LAMBDA_FUNCTION_NAME = "orders", AWS_LAMBDA_FUNCTION_MEMORY_SIZE = "512",
      AWS_LAMBDA_FUNCTION_VERSION = "$LATEST", AWS_LAMBDA_LOG_GROUP_NAME = "/aws/lambda/orders", AWS_LAMBDA_INITIALIZATION_TYPE = "on-demand",
      TZ = ":UTC", PATH = "/usr/local/bin:/usr/bin/:/bin:/opt/bin", LAMBDA_RUNTIME_DIR = "/var/runtime",
      LD_LIBRARY_PATH = "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:" .. root .. ":" .. root .. "/lib:/opt/lib",
    } do
      assert.equal(value, env[name], name)
    end
    for _, name in ipairs { "HOME", "NO", "PERIGEE_BIN", "AWS_EXECUTION_ENV", "_X_AMZN_TRACE_ID", "AWS_LAMBDA_MAX_CONCURRENCY" } do
      assert.is_nil(env[name], name)
    end
    assert.equal("arn:aws:lambda:eu-west-3:000000000000:function:orders", about.headers["Lambda-Runtime-Invoked-Function-Arn"])
  end)

  it("passes the caller's credentials on, else the engine's", function()
    local command = ("runtime-api --exec %s --event - 2>%s/log"):format(support.bootstrap, dir)
    local function keys(env)
      local out = support.sh("echo '{\"do\":\"about\"}' | env -u AWS_SESSION_TOKEN %s %s %s", env, support.bin, command)
      local e = json.decode(out).env
      return { e.AWS_ACCESS_KEY_ID, e.AWS_SECRET_ACCESS_KEY, e.AWS_SESSION_TOKEN }
    end
    assert.same({ "a", "b", "c" }, keys "AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b AWS_SESSION_TOKEN=c")
    assert.same({ "perigee", "perigee" }, keys "-u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY")
  end)

  it("ends with 1 when the function fails, in whichever way", function()
    for event, type in pairs {
      [{ ["do"] = "error", message = "m" }] = "Orders.Broken", [{ ["do"] = "exit", code = 2 }] = "Runtime.ExitError",
      [{ ["do"] = "signal", name = "SIGKILL" }] = "Runtime.ExitError", [{ ["do"] = "big", bytes = 7000000 }] = "Function.ResponseSizeTooLarge",
      [{ ["do"] = "stream", parts = { "a" }, fail = "f" }] = "Function.Broken",
      [{ ["do"] = "stream", parts = { "a" }, cut = true }] = "Runtime.ExitError",
    } do
      local out, status, log = bootstrap(event)
      assert.same({ type, 1 }, { json.decode(out).errorType, status })
      assert.matches("\tStatus: error\tError Type: ", log, 1, true)
    end
    for handler, type in pairs { ["init.exit"] = "Runtime.ExitError", ["init.error"] = "Runtime.NoSuchHandler" } do
      local out, status, log = bootstrap("1", "--handler " .. handler)
      assert.same({ type, 1 }, { json.decode(out).errorType, status })
      assert.matches("Phase: init\tStatus: error\tError Type: " .. type, log, 1, true)
    end
  end)

  it("takes an answer given with the program's last breath", function()
    local out, status, log = bootstrap { ["do"] = "answer-exit" }
    assert.same({ '"last words"\n', 0 }, { out, status })
    assert.matches("REPORT .*\tStatus: error\n", log)
  end)

  it("takes all of a large answer whose program has ended before it was read", function()
    for _ = 1, 5 do
      local out, status = bootstrap { ["do"] = "send-exit", bytes = 6000000 }
      assert.same({ 6000001, 0 }, { #out, status })
    end
  end)

  it("kills the program and its children at the time-out", function()
    local out, status, log = bootstrap({ ["do"] = "sleep", file = dir .. "/child" }, "--timeout 1")
    assert.equal(1, status)
    assert.matches("Task timed out after 1.00 seconds", json.decode(out).errorMessage, 1, true)
    assert.matches("Task timed out after 1.00 seconds\n\nEND .*\tStatus: timeout\n", log)
    local child = support.read(dir .. "/child")
    support.eventually(10, "end of the child", function()
      return not support.sh("cat /proc/%s/stat 2>/dev/null", child):find "%) [^ZX]"
    end)
  end)

  it("repeats an event on one program, and starts it again when it died", function()
    local out, status, log = bootstrap({ ["do"] = "about" }, "--repeat 3")
    local pids = {}
    for line in out:gmatch "[^\n]+" do pids[json.decode(line).pid] = true end
    local _, count = out:gsub("\n", "")
    local _, starts = log:gsub("Init Duration", "")
    assert.same({ 3, 0, 1 }, { count, status, starts })
    assert.is_nil(next(pids, next(pids)), "one program")
    out, status, log = bootstrap({ ["do"] = "exit", code = 1 }, "--repeat 2")
    _, starts = log:gsub("Init Duration", "")
    _, count = out:gsub("exit status 1", "")
    assert.same({ 1, 2, 2 }, { status, starts, count })
  end)

  it("tells a program that registered an extension with SIGTERM, others not", function()
    local _, _, log = bootstrap("1", "--handler with.extension")
    assert.matches('told to end: {"functionName":"function"', log, 1, true)
  end)

  it("runs several at once for a program that asks for several", function()
    support.write(dir .. "/boot.py", [[
import http.client, os, threading
n = int(os.environ["AWS_LAMBDA_MAX_CONCURRENCY"])
meeting = threading.Barrier(n)
base = "/2018-06-01/runtime/invocation/"
def loop():
    c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        c.request("GET", base + "next")
        r = c.getresponse(); r.read()
        meeting.wait()
        c.request("POST", base + r.headers["Lambda-Runtime-Aws-Request-Id"] + "/response", '"met"')
        c.getresponse().read()
for i in range(n): threading.Thread(target=loop).start()
]])
    local out, status = run(("--concurrency 4 --repeat 8 -- python3 %s/boot.py"):format(dir), "1")
    assert.same({ ('"met"\n'):rep(8), 0 }, { out, status })
  end)

  it("runs a shell script with curl", function()
    support.write(dir .. "/bootstrap", [[#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while true; do
  event=$(curl -sS -D "$1/head" "$api/next")
  id=$(tr -d '\r' <"$1/head" | sed -n 's/^Lambda-Runtime-Aws-Request-Id: //p')
  curl -sS -o /dev/null -d "{\"handler\":\"$_HANDLER\",\"event\":$event}" "$api/$id/response"
done
]])
    support.sh("chmod +x %s/bootstrap", dir)
    local out, status = run(("--handler greet --repeat 2 -- %s/bootstrap %s"):format(dir, dir), '{"a":1}')
    assert.same({ ('{"handler":"greet","event":{"a":1}}\n'):rep(2), 0 }, { out, status })
  end)

  it("says what is wrong with a program, an event or an option", function()
    support.write(dir .. "/plain", "hello")
    support.write(dir .. "/lost", "#!/no/such/interpreter\n")
    local elf = support.read(support.sh("readlink -f /bin/true"):gsub("\n", ""))
    support.write(dir .. "/other", elf:sub(1, 18) .. "\xf3\x00" .. elf:sub(21)) -- RISC-V
    support.write(dir .. "/bad", "{")
    support.write(dir .. "/env", '{"A":{"X":1}}')
    support.write(dir .. "/list", '{"A":[1]}')
    support.write(dir .. "/own", '{"AWS_LAMBDA_RUNTIME_API":"x"}')
    support.sh("chmod +x %s/plain %s/lost %s/other", dir, dir, dir)
    for args, said in pairs {
      ["--event /dev/null"] = "no program: --exec ./bootstrap",
      ["--exec DIR/none"] = "the program DIR/none: No such file or directory",
      ["--exec DIR"] = "the program DIR is no file",
      ["--exec DIR/bad"] = "the program DIR/bad cannot be run (chmod +x?): Permission denied",
      ["--exec DIR/plain"] = "the program DIR/plain is neither for Linux (ELF) nor a script that begins with #!",
      ["--exec DIR/lost"] = "DIR/lost: its interpreter /no/such/interpreter: No such file or directory",
      ["--exec DIR/other"] = "the program DIR/other is for another machine, this machine is ",
      ["-- no-such-program"] = "no program no-such-program is on PATH",
      ["--exec /bin/true --task-root DIR/none"] = "--task-root: DIR/none: No such file or directory",
      ["--exec /bin/true --event DIR/none"] = "--event: ",
      ["--exec /bin/true --event /dev/null"] = "--event /dev/null is empty",
      ["--exec /bin/true --event DIR/bad"] = "--event DIR/bad: ",
      ["--exec /bin/true --env DIR/bad"] = "--env DIR/bad: ",
      ["--exec /bin/true --env DIR/env"] = "--env DIR/env: has neither 'function' (--function-name) nor 'Parameters'",
      ["--exec /bin/true --env DIR/list"] = "--env DIR/list: variables.A: must be a string, not array",
      ["--exec /bin/true --env DIR/own"] = "AWS_LAMBDA_RUNTIME_API is where the program finds this server",
      ["--exec /bin/true --repeat 2"] = "--repeat goes with --event",
      ["--exec /bin/true --timeout 0"] = "--timeout: 0 is not between 1 and 900",
      ["--exec /bin/true --function-name a/b"] = "--function-name: 'a/b' has other characters",
      ["--exec /bin/true --handler ''"] = "--handler is empty",
    } do
      local out, status = support.sh("timeout 20 %s runtime-api %s 2>&1", support.bin, (args:gsub("DIR", dir)))
      assert.equal(2, status, args .. ": " .. out)
      assert.matches((said:gsub("DIR", dir)), out, 1, true)
    end
  end)

  describe("as a server", function()
    local function invoke(server, event, headers)
      return server:request("POST", "", { url = server.invoke .. "/2015-03-31/functions/function/invocations", body = event, headers = headers })
    end

    it("answers Lambda's Invoke until it is told to end, and leaves nothing behind", function()
      local server = support.runtime_api()
      local res = invoke(server, { ["do"] = "about" })
      assert.same({ 200, "$LATEST" }, { res.status, res.headers["x-amz-executed-version"] })
      assert.equal(res.json.headers["Lambda-Runtime-Aws-Request-Id"], res.headers["x-amzn-requestid"])
      assert.equal(1, invoke(server, "1").json)
      local pid = res.json.pid
      local log = server:stop()
      assert.matches("START RequestId: ", log, 1, true)
      assert.equal("", (support.sh("cat /proc/%d/cmdline 2>/dev/null", pid)))
    end)

    it("waits for a program that somebody else starts", function()
      local server = support.runtime_api { exec = false, args = "--runtime-port 0" }
      local api = server.ready:match "runtime=(%S+)"
      local pid = support.sh("AWS_LAMBDA_RUNTIME_API=%s _HANDLER=x %s >/dev/null 2>&1 & echo $!", api, support.bootstrap):gsub("%s", "")
      assert.equal('{"a": 1}', invoke(server, { a = 1 }).body)
      support.sh("kill %s", pid)
      server:stop()
    end)
  end)

  describe("with Perigee's", function()
    local own = support.bin:gsub("[^/]*$", "") .. "bootstrap"
    local why = not io.open(own) and own .. " is not built" or nil

    before_each(function()
      support.sh("mkdir %s/handlers", dir)
      support.write(dir .. "/handlers/hello.lua", [[
local M = { n = 0 }
function M.greet(event)
  M.n = M.n + 1
  return { hi = event.name, n = M.n }
end
function M.fail() error "broken" end
return M
]])
    end)

    it("answers event after event from one start", function()
      if why then return pending(why) end
      local out, status, log = run(("--exec %s --task-root %s --handler hello.greet --repeat 500"):format(own, dir), '{"name":"you"}')
      assert.equal(0, status, log)
      local first, last = out:match "^(.-)\n.-([^\n]*)\n$"
      assert.same({ hi = "you", n = 1 }, json.decode(first))
      assert.same({ hi = "you", n = 500 }, json.decode(last))
      local _, starts = log:gsub("Init Duration", "")
      assert.equal(1, starts)
    end)

    it("reports errors of handlers and of the start", function()
      if why then return pending(why) end
      local at = ("--exec %s --task-root %s --handler "):format(own, dir)
      for handler, said in pairs {
        ["hello.fail"] = { "Function.HandlerError", "broken" }, ["hello.nope"] = { "Runtime.NoSuchHandler", "without a function 'nope'" },
        ["none.greet"] = { "Runtime.ImportModuleError", "module 'none' not found" },
      } do
        local out, status = run(at .. handler, "{}")
        local doc = json.decode(out)
        assert.same({ said[1], 1 }, { doc.errorType, status })
        assert.matches(said[2], doc.errorMessage, 1, true)
      end
    end)
  end)

  describe("with Go's runtime", function()
    local why
    setup(function()
      if select(2, support.sh "command -v go >/dev/null") ~= 0 then
        why = "Go is not installed"
        return
      end
      local out, status = support.sh("mkdir -p %s && cp tests/e2e/fixtures/bootstrap_go/* %s/ && cd %s && CGO_ENABLED=0 timeout 300 go build "
        .. "-mod=mod -tags lambda.norpc -o bootstrap . 2>&1", GO, GO, GO)
      if status ~= 0 then why = "it cannot be built here: " .. out:sub(1, 200) end
    end)

    it("answers, fails, panics and streams", function()
      if why then return pending(why) end
      local out, status, log = run("--exec " .. GO .. "/bootstrap", { text = ("y"):rep(10000) })
      assert.equal(0, status, log)
      local answer = json.decode(out)
      assert.same({ 10000, "function", "UTC" }, { answer.n, answer.name, answer.zone })
      assert.equal("arn:aws:lambda:us-east-1:000000000000:function:function", answer.arn)
      assert.is_true(answer.left > 0 and answer.left <= 3)
      assert.matches("terminated", log, 1, true) -- aws-lambda-go registers an extension for SIGTERM
      out, status = run("--exec " .. GO .. "/bootstrap", { ["do"] = "error", text = "oops" })
      assert.same({ "oops", 1 }, { json.decode(out).errorMessage, status })
      out, status, log = run("--exec " .. GO .. "/bootstrap --repeat 2", { ["do"] = "panic", text = "no" })
      assert.equal(1, status)
      assert.matches('"errorMessage":"no"', out, 1, true)
      local _, starts = log:gsub("Init Duration", "")
      assert.equal(2, starts, "it ends after a panic")
      out, status = run("--exec " .. GO .. "/bootstrap", { ["do"] = "stream", text = "z" })
      assert.same({ "first " .. ("z"):rep(100000) .. "\n", 0 }, { out, status })
    end)
  end)
end)
