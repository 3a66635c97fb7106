--- What a start of the process loads: libc and Lua, until something else is needed, and what is said when that is not
--- there.
local json = require "perigee.json"
local support = require "e2e.support"

local sh = support.sh
local release = support.release
local bootstrap = release:match "^(.*)/" .. "/bootstrap"

-- Builds for development share Lua, and the sanitizers bring libraries of their own.
local function is_static()
  return select(2, sh("test -x %s", bootstrap)) == 0 and not sh("ldd %s", bootstrap):find "liblua"
end

local echo = [[
local http = require "perigee.http"
return {
  echo = function(request) return http.ok { path = request.path } end,
  big = function() return require "big" end,
  digest = function() return http.ok { sum = require("perigee.crypto").sha256 "" } end,
}
]]

describe("a start", function()
  local dir
  before_each(function()
    dir = support.tmpdir()
    sh("mkdir -p %s/task/handlers %s/libraries", dir, dir)
    support.write(dir .. "/task/handlers/echo.lua", echo)
    assert.equal(0, select(2, sh("%s event apigw-http --path /orders >%s/event", support.bin, dir)))
  end)
  after_each(function() support.rmdir(dir) end)

  -- The shared objects that a program's processes were given, by the loader's own report.
  local function loaded()
    local seen, list = {}, {}
    for name in sh("cat %s/ld.*", dir):gmatch "calling init: (%S+)" do
      name = name:match "[^/]+$"
      if not seen[name] and not name:find "^ld%-linux" then list[#list + 1] = name end
      seen[name] = true
    end
    table.sort(list)
    return list
  end

  local function invoke(handler, variables)
    support.write(dir .. "/env.json", json.encode(variables or {}))
    local out, status = sh("timeout 60 %s runtime-api --exec %s --task-root %s/task --handler %s --env %s/env.json --event %s/event 2>%s/log",
      release, bootstrap, dir, handler, dir, dir, dir)
    return out, status, support.read(dir .. "/log")
  end

  -- A library that is a file of another kind: it is found before the real one.
  local function without(soname)
    support.write(("%s/libraries/%s"):format(dir, soname), "no library\n")
    return ("LD_LIBRARY_PATH=%s/libraries"):format(dir)
  end

  local function run(script, env, font)
    support.write(dir .. "/script.lua", script)
    return sh("%s timeout 60 %s run %s/script.lua %s 2>&1", env or "", support.bin, dir, font or "")
  end

  if is_static() then
    it("of the bootstrap needs libc alone, up to the answer of its first event", function()
      local out, status, log = invoke("echo.echo", { LD_DEBUG = "files", LD_DEBUG_OUTPUT = dir .. "/ld" })
      assert.equal(0, status, log)
      assert.equal(200, json.decode(out).statusCode)
      assert.same({ "libc.so.6" }, loaded())
    end)
    it("of the bootstrap loads a library with the first function that is called", function()
      local _, status, log = invoke("echo.digest", { LD_DEBUG = "files", LD_DEBUG_OUTPUT = dir .. "/ld" })
      assert.equal(0, status, log)
      assert.same({ "libc.so.6", "libcrypto.so.3" }, loaded())
    end)
    it("of a command needs libc alone", function()
      local out = sh("LD_DEBUG=files LD_DEBUG_OUTPUT=%s/ld %s version", dir, release)
      assert.matches("^perigee %d", out)
      assert.same({ "libc.so.6" }, loaded())
    end)
    it("reads no file of a package before it is required", function()
      sh("truncate -s 9M %s/task/handlers/big.lua", dir)
      assert.equal(0, select(2, invoke "echo.echo"))
      local _, _, log = invoke "echo.big"
      assert.matches("handlers/big.lua", log, 1, true)
    end)
    it("takes a megabyte of executable at most", function()
      sh("strip -o %s/stripped %s", dir, bootstrap)
      assert.is_true(tonumber((sh("stat -c %%s %s/stripped", dir))) <= 1 << 20)
    end)
  else
    pending("of the bootstrap needs libc alone: " .. bootstrap .. " is no optimized build")
  end

  it("finds Lua's functions for modules written in C", function()
    support.write(dir .. "/script.lua", "local c = require 'cjson' print(c.encode { 1, 2.5 ^ 2, c.null })")
    assert.equal("[1,6.25,null]\n", (sh("%s run %s/script.lua 2>&1", release, dir)))
  end)

  it("keeps names and lines of the modules within", function()
    local out = run [[
      local info = debug.getinfo(require "perigee.http".ok, "S")
      print(info.source, info.linedefined > 0)
      print(pcall(load, string.dump(function() end), "x", "t"))
    ]]
    assert.matches("^=perigee.http\ttrue\n", out)
  end)

  it("without a library of the server ends with an error that names it", function()
    for soname, what in pairs {
      ["libsqlite3.so.0"] = "the store", ["libmicrohttpd.so.12"] = "the HTTP server", ["libyaml-0.so.2"] = "reading YAML",
      ["libcrypto.so.3"] = "digest",
    } do
      local env = without(soname)
      for _, command in ipairs { "serve --port 0 --cloud-port 0 --memory", "cloud --port 0 --memory" } do
        if soname ~= "libyaml-0.so.2" or command:find "serve" then
          local out, status = sh("%s timeout 60 %s %s 2>&1", env, support.bin, command)
          assert.equal(1, status, out)
          assert.matches("perigee: .*" .. what .. ".* needs a library that cannot be loaded: .*" .. soname:gsub("%p", "%%%0"), out)
        end
      end
      sh("rm %s/libraries/*", dir)
    end
  end)

  it("without a library that is needed later says so then, to who can go on", function()
    local script = [[
      local pdf = require "perigee.pdf"
      local doc = assert(pdf.document { fonts = { regular = arg[1] } })
      doc:page()
      print(doc:render())
    ]]
    local font = sh "find /usr/share/fonts -name '*.ttf' | LC_ALL=C sort | head -n 1":gsub("\n", "")
    local out = run(script, without "libhpdf-2.3.0.so", font)
    assert.matches("nil\tServiceUnavailable: a PDF needs a library that cannot be loaded", out, 1, true)
  end)
end)
