local support = require "e2e.support"

describe("a handler that misbehaves", function()
  local server
  setup(function() server = support.start { args = "--template tests/e2e/fixtures/limits/config/template.yaml" } end)
  teardown(function() server:stop() end)

  for path, what in pairs { spin = "loops for ever", rep = "asks for 10 GB in one string", pattern = "matches exponentially", table = "fills 2 GB of tables" } do
    it("and " .. what .. " gets 5xx within its limit, while others keep answering", function()
      local out = server.dir .. "/" .. path
      support.sh("curl -s -o /dev/null --max-time 20 -w '%%{http_code} %%{time_total}' %s/%s >%s 2>&1 &", server.http, path, out)
      local others = 0
      local answer = support.eventually(20, path .. " is answered", function()
        local res = server:request("GET", "/ok", { timeout = 1 })
        assert.equal(200, res.status)
        others = others + 1
        local text = support.read(out)
        return text:find "%d+ %d" and text
      end)
      local status, seconds = answer:match "(%d+) ([%d.]+)"
      assert.matches("^5%d%d$", status)
      assert.is_true(tonumber(seconds) < 8, seconds)
      assert.is_true(others >= 1)
    end)
  end

  it("is not helped by many of its kind at once", function()
    support.sh("seq 20 | xargs -P 20 -I{} curl -s -o /dev/null --max-time 30 %s/spin &", server.http)
    for _ = 1, 20 do assert.equal(200, server:request("GET", "/ok", { timeout = 5 }).status) end
  end)
end)

describe("SIGTERM", function()
  it("lets a running request end, takes no new one, and exits with 0", function()
    local server = support.start { args = "--template tests/e2e/fixtures/limits/config/template.yaml",
      wrap = "sh -c '\"$@\"; echo \"exit $?\" >&2' sh" }
    local child = math.tointeger(tonumber((support.sh("pgrep -P %d", server.pid))))
    local out = server.dir .. "/sleep"
    support.sh("curl -s -o /dev/null --max-time 20 -w '%%{http_code}' %s/sleep >%s 2>&1 &", server.http, out)
    support.eventually(10, "the request runs", function() return server:get("/metrics").body:find "perigee_jobs_total 1\n" end)
    support.sh("kill -TERM %d", child)
    support.eventually(20, "the running request is answered", function() return support.read(out) == "200" end)
    support.eventually(20, "the end", function() return server:log():find "exit %d" end)
    assert.truthy(server:log():find "exit 0")
    assert.not_equal(200, server:request("GET", "/ok", { timeout = 1 }).status)
    support.rmdir(server.dir)
  end)
end)
