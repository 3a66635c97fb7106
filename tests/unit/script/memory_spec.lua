package.path = "tests/unit/script/?.lua;" .. package.path
local helper = require "helper"

local files = { ["handlers/a.lua"] = [[
  local json, host = require "perigee.json", require "t.host"
  local lib = require "lib.b"
  return { f = function(request, context)
    local v = request:json()
    local co = coroutine.wrap(function() for _, x in ipairs(v.list) do coroutine.yield(x) end end)
    local sum = 0
    for x in co do sum = sum + x end
    context:after(function() lib.note(request.headers.host) end)
    pcall(error, { "x" })
    if request.query.wait then host.block "a" end
    return 200, { sum = sum, path = lib.decorate(request.path), headers = request.headers["Host"] }
  end }]], ["handlers/lib/b.lua"] = [[
  local b, notes = {}, {}
  function b.decorate(s) return "<" .. s .. ">" end
  function b.note(x) notes[1] = x end
  return b]] }
local request = { path = "/p", query = "wait=1", body = '{"list":[1,2,3]}', headers = { { "Host", "h" } } }
local expected = '{"headers":"h","path":"</p>","sum":6}'

-- One whole life: nil when everything worked, else what failed.
local function life(n)
  local app, err = helper.unloaded { files = files, fail_at = n }
  if not app then return err end
  local ok, message = app:load()
  if not ok then return message end
  app:commit(true)
  local job = app:start(request)
  app:release "a"
  local r = app:finish(job)
  while (app:stats()) > 0 do app:turn(10) end
  assert.equal(1, r.replies)
  if r.code then return r.message end
  assert.equal(expected, r.body)
  return nil, app
end

describe("when the n-th allocation of Lua fails", function()
  after_each(helper.close)

  it("opening, loading, running: an error, never a crash, one reply", function()
    local n, step, fine = 1, 1, 0
    while fine < 3 do -- some failures are survived, such as those of a cache
      local err, app = life(n)
      if not err then
        fine = app:fail_after(0) and fine or fine + 1
      else
        fine = 0
        assert.is_truthy(err:match "memory", "at " .. n .. ": " .. err)
      end
      helper.close()
      if n > 400 then step = 41 end
      n = n + step
    end
    assert.is_true(n > 600)
  end)

  it("in a request: one reply, and the next request is served", function()
    local app = helper.app { files = files }
    local failures, n, fine = 0, 0, 0
    local function serve()
      local job = app:start(request)
      app:release "a"
      local r = app:finish(job)
      while (app:stats()) > 0 do app:turn(10) end
      assert.equal(1, r.replies)
      return r
    end
    while fine < 20 do
      n = n + 1
      app:fail_after(n)
      local r = serve()
      fine = r.code and 0 or fine + 1
      if r.code then
        failures = failures + 1
        assert.matches("memory", r.message)
      end
      app:fail_after(0)
      assert.equal(expected, serve().body)
    end
    assert.is_true(failures > 20)
  end)

  it("in a reload: the version that works stays in use", function()
    local app = helper.app { files = files }
    local n, ok = 0
    local version = app:commit(true)
    repeat
      n = n + 7
      app:fail_after(n)
      ok = app:load()
      app:fail_after(0)
      app:commit(false)
      assert.equal(version, app:commit(true))
      local job = app:start(request)
      app:release "a"
      assert.equal(expected, app:finish(job).body)
    until ok
    assert.is_true(n > 100)
  end)
end)

describe("memory", function()
  after_each(helper.close)

  it("stays flat over many requests, errors and reloads", function()
    local app = helper.app { files = files }
    local function round()
      for i = 1, 200 do
        local job = app:start(request)
        if i % 3 == 0 then app:cancel(job) else app:release "a" app:finish(job) end
      end
      while (app:stats()) > 0 do app:turn(10) end
      for _ = 1, 5 do assert(app:load()) app:commit(true) end
      app:start { body = '{"list":[1]}', path = "/" }
      collectgarbage()
    end
    for _ = 1, 3 do round() end
    local _, before = app:stats()
    for _ = 1, 10 do round() end
    local _, after = app:stats()
    assert.is_true(after < before + 600000, before .. " -> " .. after)
  end)

  it("keeps its bytes while blocks grow, shrink and move, beyond the small ones' region too", function()
    local app = helper.handler([[
      local lists, words = {}, {}
      for round = 1, 3 do
        for i = 1, 40000 do
          words[i] = (tostring(i) .. "/"):rep(i % 90 + 1)
          lists[i] = { i }
          for n = 2, i % 40 do lists[i][n] = i * n end
          if i % 3 == 0 then lists[i - 1], words[i - 2] = nil, nil end
        end
        collectgarbage()
        for i, word in pairs(words) do assert(word == (tostring(i) .. "/"):rep(i % 90 + 1)) end
        for i, list in pairs(lists) do
          for n = 1, i % 40 do assert(list[n] == i * n) end
        end
      end
      return 200, "same"]], { memory = 400, timeout = 120000 })
    assert.equal("same", app:finish(app:start {}).body)
  end)

  it("of the whole state has a limit", function()
    local app = helper.handler("local t = {} for i = 1, 1e8 do t[i] = {} end", { memory = 500, state_bytes = 8 << 20 })
    local r = app:finish(app:start {})
    assert.equal("LimitExceeded", r.code)
    assert.matches("worker's Lua state", r.message)
  end)
end)
