require "unit.lua.plain"
local json = require "perigee.json"
local states = require "perigee.states"

local door = {
  name = "door",
  initial = "SHUT",
  terminal = { "BROKEN" },
  transitions = { open = { from = { "SHUT" }, to = "OPEN" }, shut = { from = { "OPEN" }, to = "SHUT" },
    break_ = { from = { "OPEN", "SHUT" }, to = "BROKEN" } },
}
local change = { by = "Visitor", request_id = "r-1", at = "2026-01-01T00:00:00.000Z" }

describe("states", function()
  it("lists every state and answers what an action leads to", function()
    local m = states.machine(door)
    assert.same({ "BROKEN", "OPEN", "SHUT" }, m.states)
    assert.is_true(m:has "OPEN")
    assert.is_false(m:has "open")
    assert.equal("OPEN", m:next("SHUT", "open"))
    assert.is_nil(m:next("OPEN", "open"))
    assert.is_nil(m:next("NOWHERE", "open"))
    assert.has_error(function() m:next("OPEN", "paint") end, "no transition is called 'paint'")
  end)

  local ok = { A = { from = { "A" }, to = "A" } }
  local unsound = {
    ["initial must name a state"] = { transitions = ok },
    ["transition 'go' needs from = { ... } and to"] = { initial = "A", transitions = { go = { from = {}, to = "B" } } },
    ["'1' is no name of a transition"] = { initial = "A", transitions = { { from = { "A" }, to = "A" } } },
    ["transitions must be a table"] = { initial = "A" },
    ["the declaration has an unknown member 'intial'"] = { intial = "A", transitions = ok },
    ["name must be a name"] = { name = "", initial = "A", transitions = ok },
    ["transition 'go' has an unknown member 'guard'"] =
      { initial = "A", transitions = { go = { from = { "A" }, to = "A", guard = print } } },
    ["transition 'go': when must be a function"] =
      { initial = "A", transitions = { go = { from = { "A" }, to = "A", when = "paid" } } },
    ["transition 'go': from has 'A' twice"] = { initial = "A", transitions = { go = { from = { "A", "A" }, to = "A" } } },
    ["transition 'go': requires must be a list of names"] =
      { initial = "A", transitions = { go = { from = { "A" }, to = "A", requires = "amount" } } },
    ["transition 'go': effects must be a list of names"] =
      { initial = "A", transitions = { go = { from = { "A" }, to = "A", effects = { 1 } } } },
    ["'go' starts from 'C', which nothing leads to from 'A'"] =
      { initial = "A", terminal = { "B" }, transitions = { go = { from = { "C" }, to = "B" } } },
    ["'back' starts from 'C', which nothing leads to from 'A'"] =
      { initial = "A", transitions = { A = ok.A, back = { from = { "C" }, to = "D" }, on = { from = { "D" }, to = "C" } } },
    ["nothing leaves 'B'; when that is meant: terminal = { 'B' }"] =
      { initial = "A", transitions = { go = { from = { "A" }, to = "B" } } },
    ["'A' is declared as terminal, but transitions leave it"] = { initial = "A", terminal = { "A" }, transitions = ok },
    ["terminal: nothing leads to 'Z'"] = { initial = "A", terminal = { "Z" }, transitions = ok },
  }
  for why, declared in pairs(unsound) do
    it("refuses a declaration: " .. why, function()
      assert.has_error(function() states.machine(declared) end, "states.machine: " .. why)
    end)
  end

  it("names the line that declares what is not sound", function()
    local raised, why = pcall(function() states.machine { transitions = ok } end)
    assert.is_false(raised)
    assert.matches("states_spec.lua:%d+: states.machine: initial", why)
  end)

  it("tells what may happen in a state", function()
    local m = states.machine { initial = "OPEN", terminal = { "CLOSED" }, transitions = {
      close = { from = { "OPEN" }, to = "CLOSED", requires = { "answer" }, effects = { "mails" }, when = function() return true end },
      ask = { from = { "OPEN" }, to = "OPEN" } } }
    assert.same({ { action = "ask", to = "OPEN", guarded = false, requires = {}, effects = {} },
      { action = "close", to = "CLOSED", guarded = true, requires = { "answer" }, effects = { "mails" } } },
      m:transitions_from "OPEN")
    assert.same({}, m:transitions_from "CLOSED")
    assert.has_error(function() m:transitions_from "NOWHERE" end, "no state is called 'NOWHERE'")
    assert.is_true(m:is_terminal "CLOSED")
    assert.is_false(m:is_terminal "OPEN")
  end)

  describe("a history", function()
    local m = states.machine(door)
    local create = { action = "create", to = "SHUT" }
    local function entry(action, from, to) return { action = action, from = from, to = to } end

    it("is the path of an item that the machine changed", function()
      local item = m:start({}, change)
      for _, action in ipairs { "open", "shut", "open", "break_" } do item = select(2, m:transition(item, action, change)) end
      local path = m:path(item.history)
      assert.same({ "SHUT", "OPEN", "SHUT", "OPEN", "BROKEN" }, path)
      assert.equal(item.status, path[#path])
      assert.equal(item.version, #path)
      assert.same({ "SHUT" }, m:path { { action = "create", from = json.null, to = "SHUT" } })
    end)

    local wrong = {
      ["the history is empty"] = {},
      ["entry 1: it begins with 'open' and not with 'create'"] = { entry("open", "SHUT", "OPEN") },
      ["entry 1: 'create' starts from OPEN"] = { entry("create", "OPEN", "SHUT") },
      ["entry 1: 'create' leads to OPEN and not to SHUT"] = { entry("create", nil, "OPEN") },
      ["entry 2: 'shut' is not possible in state SHUT"] = { create, entry("shut", "SHUT", "SHUT") },
      ["entry 2: no transition is called 'paint'"] = { create, entry("paint", "SHUT", "OPEN") },
      ["entry 2: 'open' leads to OPEN and not to BROKEN"] = { create, entry("open", "SHUT", "BROKEN") },
      ["entry 3: 'open' starts from SHUT, but the state was OPEN"] =
        { create, entry("open", "SHUT", "OPEN"), entry("open", "SHUT", "OPEN") },
      ["entry 2: it is a string"] = { create, "open" },
    }
    for why, history in pairs(wrong) do
      it("is no path: " .. why, function()
        local path, said = m:path(history)
        assert.is_nil(path)
        assert.equal(why, said)
      end)
    end
  end)

  describe("a transition with conditions of its own", function()
    local m = states.machine { initial = "OPEN", terminal = { "CLOSED" }, transitions = {
      close = { from = { "OPEN" }, to = "CLOSED", requires = { "answer" },
        when = function(item)
          if item.paid == nil then return nil end
          return item.paid or nil, "it is not paid"
        end } } }

    local function attempt(members) return m:transition(m:start(members, change), "close", change) end

    it("needs what it requires", function()
      assert.same({ nil, "'close' needs answer" }, { attempt {} })
      assert.same({ nil, "'close' needs answer" }, { attempt { answer = json.null } })
    end)

    it("is refused by its guard, which says why", function()
      assert.same({ nil, "'close' is refused: it is not paid" }, { attempt { answer = "yes", paid = false } })
      assert.same({ nil, "'close' is refused" }, { attempt { answer = "yes" } })
    end)

    it("is the same one conditional write when nothing is against it", function()
      local update, after = attempt { answer = "yes", paid = true }
      assert.equal("#status = :from AND #version = :version", update.ConditionExpression)
      assert.equal("CLOSED", after.status)
    end)
  end)

  it("starts an item with version 1 and the first line of its history", function()
    local item = states.machine(door):start({ id = 1 }, change)
    assert.equal("SHUT", item.status)
    assert.equal(1, item.version)
    assert.equal(change.at, item.created_at)
    assert.equal(change.at, item.updated_at)
    assert.equal(1, #item.history)
    assert.same({ at = change.at, by = "Visitor", action = "create", to = "SHUT", request_id = "r-1" }, item.history[1])
    assert.is_true(json.is_array(item.history))
  end)

  it("makes one write that holds only for the state and version that were read", function()
    local m = states.machine(door)
    local item = m:start({ id = 1 }, change)
    local update, after = m:transition(item, "open", { by = "Wind", request_id = "r-2", at = "2026-01-02T00:00:00.000Z" })
    assert.equal("#status = :from AND #version = :version", update.ConditionExpression)
    local v = update.ExpressionAttributeValues
    assert.equal("SHUT", v[":from"])
    assert.equal(1, v[":version"])
    assert.equal("OPEN", v[":to"])
    assert.equal(2, v[":next"])
    assert.same({ at = "2026-01-02T00:00:00.000Z", by = "Wind", action = "open", from = "SHUT", to = "OPEN", request_id = "r-2" }, v[":entry"][1])
    assert.equal("OPEN", after.status)
    assert.equal(2, after.version)
    assert.equal(2, #after.history)
    assert.equal("SHUT", item.status, "what was read is not changed")
    assert.equal(1, #item.history)
  end)

  it("says why when an action is not possible", function()
    local m = states.machine(door)
    local item = m:start({}, change)
    local update, why = m:transition(item, "shut", change)
    assert.is_nil(update)
    assert.equal("'shut' is not possible in state SHUT", why)
  end)
end)
