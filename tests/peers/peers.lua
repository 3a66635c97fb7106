--- Starts other people's servers that speak AWS's protocols (installed by ./dev peers), each on a free port of 127.0.0.1, with
--- its data in memory or in a temporary directory. They are stopped by their process id, and by themselves after an hour.
---
---   local why = peers.missing { "moto", "dynamodb" }     -- nil, or what to tell in pending()
---   local set = peers.start { "moto", "dynamodb" }       -- set.url.moto == "http://127.0.0.1:40123"
---   set:stop()
local json = require "perigee.json"
local support = require "e2e.support"

local peers = {}

local ROOT = "build/peers/"
local LIFETIME = 3600
local JAVA = "java -Xms64m -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=%d -Duser.timezone=UTC"

peers.KEY, peers.SECRET = "AKIDPEERS", "peers-secret-key"
peers.python = ROOT .. "venv/bin/python"

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

local function java(main, directory, options)
  return ("%s %s -cp '%s%s/*' %s"):format(JAVA:format(4), options or "", ROOT, directory, main)
end

-- file: there when the peer is installed. command: run from the project's directory.
local KINDS = {
  moto = {
    title = "moto", file = ROOT .. "venv/.made-from",
    command = function(port) return ("%s tests/peers/serve_moto.py %d"):format(peers.python, port) end,
  },
  moto_tls = {
    title = "moto", file = ROOT .. "venv/.made-from", scheme = "https",
    command = function(port, dir)
      local made = support.sh([[openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout %s/key.pem ]] ..
        [[-out %s/cert.pem -subj /CN=localhost -addext 'subjectAltName=DNS:localhost' 2>&1]], dir, dir)
      assert(exists(dir .. "/cert.pem"), made)
      return ("%s tests/peers/serve_moto.py %d %s/cert.pem %s/key.pem"):format(peers.python, port, dir, dir)
    end,
  },
  dynamodb = {
    title = "DynamoDB Local", file = ROOT .. "dynamodb/.made-from",
    command = function(port)
      return java("com.amazonaws.services.dynamodbv2.local.main.ServerRunner -inMemory -disableTelemetry -port " .. port, "dynamodb",
        "-Djava.library.path=" .. ROOT .. "dynamodb")
    end,
  },
  elasticmq = {
    title = "ElasticMQ", file = ROOT .. "elasticmq/.made-from",
    command = function(port, dir)
      support.write(dir .. "/elasticmq.conf", ([[
node-address { protocol = http, host = "127.0.0.1", port = %d, context-path = "" }
rest-sqs { enabled = true, bind-hostname = "127.0.0.1", bind-port = %d, sqs-limits = strict }
rest-stats { enabled = false }
aws { region = us-east-1, accountId = 123456789012 }
]]):format(port, port))
      return java("org.elasticmq.server.Main", "elasticmq", "-Dconfig.file=" .. dir .. "/elasticmq.conf")
    end,
  },
  minio = {
    title = "MinIO (./dev peers minio)", file = ROOT .. "bin/minio", ready = "/minio/health/ready", slow = true,
    command = function(port, dir)
      return ("env MINIO_ROOT_USER=%s MINIO_ROOT_PASSWORD=%s MINIO_BROWSER=off MINIO_UPDATE=off %sbin/minio server --quiet --address 127.0.0.1:%d %s/data")
        :format(peers.KEY, peers.SECRET, ROOT, port, dir)
    end,
  },
}

--- nil when all of them are installed; else what is missing, in words.
function peers.missing(names)
  for _, name in ipairs(names) do
    local kind = assert(KINDS[name], name)
    if not exists(kind.file) then return kind.title .. " is not installed; see tests/peers/README.md" end
  end
  return nil
end

--- n ports of 127.0.0.1 that nobody listens on.
function peers.free_ports(n)
  local out = support.sh([[python3 -c '
import socket
s = [socket.socket() for _ in range(%d)]
for x in s: x.bind(("127.0.0.1", 0))
print(*[x.getsockname()[1] for x in s])']], n)
  local ports = {}
  for port in out:gmatch "%d+" do ports[#ports + 1] = math.tointeger(tonumber(port)) end
  assert(#ports == n, out)
  return ports
end

-- ==== processes =======================================================================================================

local Process = {}
Process.__index = Process

function Process:log() return support.read(self.dir .. "/log") end

local function running(pid)
  local state = support.sh("cat /proc/%d/stat 2>/dev/null", pid):match "^%d+ %b() (%a)"
  return state ~= nil and state ~= "Z"
end

-- `timeout` leads a process group of its own and hands TERM on to it.
function Process:stop()
  support.sh("kill -TERM %d 2>/dev/null", self.pid)
  local ended = pcall(support.eventually, 10, "end of " .. self.name, function() return not running(self.pid) end)
  if not ended then support.sh("kill -KILL -- -%d 2>/dev/null", self.pid) end
  support.rmdir(self.dir)
end

--- Starts a command that serves at url; returns when that answers anything at all.
function peers.spawn(name, dir, command, url)
  local self = setmetatable({ name = name, dir = dir }, Process)
  local out = support.sh("timeout -k 5 %d %s >%s/log 2>&1 & echo $!", LIFETIME, command, dir)
  self.pid = math.tointeger(tonumber(out))
  local ok, err = pcall(support.eventually, 60, name .. " answers", function()
    if not running(self.pid) then error(("%s ended:\n%s"):format(name, self:log()), 0) end
    return (support.sh("curl -k -s -o /dev/null --max-time 2 -w '%%{http_code}' %s", support.quote(url))) ~= "000"
  end)
  if not ok then
    local log = self:log()
    self:stop()
    error(("%s\n%s"):format(err, log), 0)
  end
  return self
end

-- ==== sets ============================================================================================================

local Set = {}
Set.__index = Set

function Set:stop()
  for i = #self.processes, 1, -1 do self.processes[i]:stop() end
  self.processes = {}
end

function peers.start(names)
  local self = setmetatable({ processes = {}, url = {}, dir = {} }, Set)
  local ports = peers.free_ports(#names)
  for i, name in ipairs(names) do
    local kind, dir = KINDS[name], support.tmpdir()
    local url = ("%s://%s:%d"):format(kind.scheme or "http", kind.scheme and "localhost" or "127.0.0.1", ports[i])
    local ok, process = pcall(function()
      return peers.spawn(kind.title, dir, kind.command(ports[i], dir), url .. (kind.ready or "/"))
    end)
    if not ok then
      self:stop()
      support.rmdir(dir)
      error(process, 0)
    end
    self.processes[i], self.url[name], self.dir[name] = process, url, dir
  end
  return self
end

--- moto's SES sends for verified senders only.
function Set:verify_sender(address)
  local out, status = support.sh([[%s %s -c 'import boto3; boto3.client("sesv2").create_email_identity(EmailIdentity="%s")' 2>&1]],
    peers.environment { all = self.url.moto }, peers.python, address)
  assert(status == 0, out)
end

--- A proxy before `upstreams` (name of a service -> URL) that can be told to fail a share of the calls; see flaky.py. Its url has
--- the same names. options: arguments of flaky.py.
function peers.flaky(upstreams, options)
  local dir, words, names = support.tmpdir(), { options or "" }, {}
  for name, url in pairs(upstreams) do names[#names + 1] = name .. "=" .. url:match ":(%d+)$" end
  table.sort(names)
  table.move(names, 1, #names, 2, words)
  local self = setmetatable({ name = "flaky.py", dir = dir, url = {} }, Process)
  self.pid = math.tointeger(tonumber((support.sh("timeout -k 5 %d python3 tests/peers/flaky.py %s >%s/log 2>&1 & echo $!", LIFETIME,
    table.concat(words, " "), dir))))
  local line = support.eventually(20, "flaky.py listens", function()
    if not running(self.pid) then error(self:log(), 0) end
    return self:log():match "^({.-})\n"
  end)
  for name, port in pairs(json.decode(line)) do self.url[name] = "http://127.0.0.1:" .. port end
  self.share = function(_, part) support.sh("curl -s -o /dev/null -X POST '%s/share?%g'", self.url.control, part) end
  self.counts = function() return json.decode((support.sh("curl -s %s/counts", self.url.control))) end
  return self
end

--- Makes calls [{service, method, parameters}] with our client, in `perigee run --aws`: their results (see calls.lua), and the peak
--- of its memory in KiB.
function peers.ours(env, calls, bin)
  local file = os.tmpname()
  support.write(file, json.encode(calls))
  local out = support.sh("%s %s run --aws tests/peers/calls.lua %s 2>&1", env, bin or support.bin, file)
  os.remove(file)
  local value = json.decode(out) or error(out, 2)
  return value.results, value.peak_kib
end

--- The environment of a client: fixed keys, a region, no files, and an endpoint a service.
--- @param endpoints { dynamodb?: string, sqs?: string, s3?: string, sesv2?: string, sts?: string, all?: string }
function peers.environment(endpoints, more)
  local env = {
    AWS_ACCESS_KEY_ID = peers.KEY, AWS_SECRET_ACCESS_KEY = peers.SECRET, AWS_REGION = "us-east-1", AWS_DEFAULT_REGION = "us-east-1",
    AWS_CONFIG_FILE = "/dev/null", AWS_SHARED_CREDENTIALS_FILE = "/dev/null", AWS_EC2_METADATA_DISABLED = "true",
  }
  for service, url in pairs(endpoints) do
    env[service == "all" and "AWS_ENDPOINT_URL" or "AWS_ENDPOINT_URL_" .. service:upper()] = url
  end
  for name, value in pairs(more or {}) do env[name] = value end
  local words = {}
  for name, value in pairs(env) do words[#words + 1] = name .. "=" .. support.quote(value) end
  table.sort(words)
  return "env -u AWS_PROFILE -u AWS_SESSION_TOKEN " .. table.concat(words, " ")
end

return peers
