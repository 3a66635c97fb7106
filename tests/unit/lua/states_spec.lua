require "unit.lua.plain"
local json = require "perigee.json"
local states = require "perigee.states"

local door = {
  initial = "SHUT",
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

  it("refuses declarations that are not sound", function()
    assert.has_error(function() states.machine { transitions = {} } end)
    assert.has_error(function() states.machine { initial = "A", transitions = { go = { to = "B" } } } end)
    assert.has_error(function() states.machine { initial = "A", transitions = { go = { from = { "A" } } } } end)
    assert.has_error(function() states.machine { initial = "A", transitions = { go = { from = { "C" }, to = "B" } } } end,
      "states.machine: 'go' starts from 'C', which nothing leads to")
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
