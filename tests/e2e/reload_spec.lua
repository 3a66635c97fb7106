local support = require "e2e.support"

--- A private copy of the project's template, handlers and schemas that may be edited.
local function project()
  local dir = support.tmpdir()
  support.sh("cp -r config handlers %s/", support.quote(dir))
  return dir
end

describe("editing a handler while a load runs", function()
  local dir, server, loader_out
  setup(function()
    dir = project()
    support.write(dir .. "/handlers/probe.lua", [[
local text = require "probe_text"
return { get = function() return 200, { text = text } end }
]])
    support.write(dir .. "/handlers/probe_text.lua", 'return "one"\n')
    local template = support.read(dir .. "/config/template.yaml")
    template = template:gsub("\nResources:\n", [[

Resources:
  Probe:
    Type: AWS::Serverless::Function
    Properties:
      Handler: probe.get
      Events:
        Get: { Type: Api, Properties: { Path: /probe, Method: get } }
]], 1)
    support.write(dir .. "/config/template.yaml", template)
    server = support.start { args = "--template " .. dir .. "/config/template.yaml" }
    loader_out = dir .. "/statuses"
  end)
  teardown(function()
    server:stop()
    support.rmdir(dir)
  end)

  local function version() return server:get("/probe").headers["x-perigee-version"] end
  local function text() return (server:get("/probe").json or {}).text end

  it("fails no request, shows the new behaviour, and once per change", function()
    support.sh([[(for i in $(seq 8); do curl -s -o /dev/null -w '%%{http_code}\n' "%s/probe?[1-250]" & done; wait) >%s 2>&1 &]],
      server.http, loader_out)
    for i = 1, 5 do
      local want = "edit " .. i
      support.write(dir .. "/handlers/probe_text.lua", ('return %q\n'):format(want))
      support.eventually(10, want, function() return text() == want end)
    end
    local statuses = support.eventually(60, "the end of the load", function()
      local all = support.read(loader_out)
      local _, n = all:gsub("\n", "")
      return n >= 2000 and all
    end)
    local _, good = statuses:gsub("200\n", "")
    assert.equal(2000, good)
    local _, reloads = server:log():gsub('"handlers reloaded"', "")
    assert.equal(5, reloads)
  end)

  it("keeps the last good version when an edit is broken, and says what is wrong", function()
    local before, shown = version(), text()
    support.write(dir .. "/handlers/probe.lua", "return { get = function( }\n")
    support.eventually(10, "the refusal in the log", function() return server:log():find "edit refused" end)
    assert.equal(shown, text())
    assert.equal(before, version())
    assert.truthy(server:log():find("handlers/probe.lua:1:", 1, true))
    support.write(dir .. "/handlers/probe.lua", "return { get = function() return 200, { text = 'mended' } end }\n")
    support.eventually(10, "the mended version", function() return text() == "mended" end)
    assert.not_equal(before, version())
  end)

  it("shows the traceback of a raising handler to loopback clients in development only", function()
    support.write(dir .. "/handlers/probe.lua", "return { get = function() error('kaputt') end }\n")
    local res = support.eventually(10, "the raising version", function()
      local r = server:get "/probe"
      return r.status == 500 and r
    end)
    assert.falsy(res.body:find "probe.lua")
    assert.equal(res.headers["x-request-id"], res.json.error.request_id)
    local development = support.start { args = "--development --template " .. dir .. "/config/template.yaml" }
    local shown = development:get "/probe"
    assert.equal(500, shown.status)
    assert.truthy(shown.body:find "probe.lua:1:")
    development:stop()
  end)
end)

describe("watching the project", function()
  local dir, server
  before_each(function()
    dir = project()
    support.write(dir .. "/handlers/probe.lua", [[
return { get = function()
  local there, text = pcall(require, "later.text")
  return 200, { text = there and text or "one" }
end }
]])
    local template = support.read(dir .. "/config/template.yaml")
    support.write(dir .. "/config/template.yaml", (template:gsub("\nResources:\n", [[

Resources:
  Probe:
    Type: AWS::Serverless::Function
    Properties:
      Handler: probe.get
      Events:
        Get: { Type: Api, Properties: { Path: /probe, Method: get } }
]], 1)))
    server = support.start { args = "--template " .. dir .. "/config/template.yaml" }
  end)
  after_each(function()
    server:stop()
    support.rmdir(dir)
  end)

  local function shows(text)
    support.eventually(10, text, function() return (server:get("/probe").json or {}).text == text end)
  end

  it("tells that an edited template needs a restart, and when it is as before", function()
    local path = dir .. "/config/template.yaml"
    local before = support.read(path)
    support.write(path, before .. "# edited\n")
    support.eventually(10, "the warning", function() return server:log():find "template was edited: restart" end)
    support.write(path, before)
    support.eventually(10, "the word that all is well", function() return server:log():find "template is again as it was" end)
    shows "one"
  end)

  it("sees files in a directory that was made before them", function()
    assert(os.execute(("mkdir %s/handlers/later"):format(dir)))
    shows "one"
    support.write(dir .. "/handlers/later/text.lua", 'return "two"\n')
    shows "two"
    support.write(dir .. "/handlers/later/text.lua", 'return "three"\n')
    shows "three"
  end)

  it("goes on after the handlers' directory was away", function()
    local good = support.read(dir .. "/handlers/probe.lua")
    assert(os.execute(("mv %s/handlers %s/away"):format(dir, dir)))
    support.eventually(10, "the refusal", function() return server:log():find "edit refused" end)
    shows "one"
    assert(os.execute(("mv %s/away %s/handlers"):format(dir, dir)))
    support.eventually(10, "an edit after it is back", function()
      support.write(dir .. "/handlers/probe.lua", (good:gsub('"one"', '"back"')))
      return (server:get("/probe").json or {}).text == "back"
    end)
  end)
end)
