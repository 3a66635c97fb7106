--- idempotency.once on a store that loses answers and fails for a while.
describe("an effect that happens once", function()
  local idempotency, row, script, calls, getenv, saved

  local function failure(code, retryable) return setmetatable({ code = code, retryable = retryable }, { __tostring = function() return code end }) end

  -- What the next call does: "lost" acts, and then looks like a second try; "away" fails and can be tried again.
  local function plan(name, act)
    return function(_, params)
      calls[#calls + 1] = name
      local what = table.remove(script[name] or {}, 1)
      if what == "away" then return nil, failure("ServiceUnavailable", true) end
      local done, err = act(params)
      if what == "lost" then done, err = act(params) end
      return done, err
    end
  end

  before_each(function()
    row, script, calls = nil, {}, {}
    local dynamodb = {
      put_item = plan("put", function(params)
        if row then return nil, failure("ConditionalCheckFailedException", false) end
        row = params.Item
        return {}
      end),
      get_item = plan("get", function() return { Item = row } end),
      update_item = plan("update", function(params)
        if not row or row.holder ~= params.ExpressionAttributeValues[":me"] then return nil, failure("ConditionalCheckFailedException", false) end
        row.phase = "done"
        return {}
      end),
      delete_item = plan("delete", function()
        row = nil
        return {}
      end),
    }
    saved, getenv = { package.loaded["perigee.aws"], package.loaded["perigee.idempotency"] }, os.getenv
    package.loaded["perigee.aws"], package.loaded["perigee.idempotency"] = { dynamodb = dynamodb }, nil
    os.getenv = function(name) return ({ IDEMPOTENCY_TABLE = "Idempotency", EFFECT_SECONDS = "60" })[name] or getenv(name) end -- luacheck: ignore 122
    idempotency = require "perigee.idempotency"
  end)
  after_each(function()
    os.getenv = getenv -- luacheck: ignore 122
    package.loaded["perigee.aws"], package.loaded["perigee.idempotency"] = saved[1], saved[2]
  end)

  local function once(effects)
    return idempotency.once("mail/1", 5000, function()
      effects.n = effects.n + 1
      return true
    end)
  end

  it("is not repeated", function()
    local effects = { n = 0 }
    assert.is_true(once(effects))
    assert.is_false(once(effects))
    assert.equal(1, effects.n)
  end)

  it("takes place at once, though the answer to its claim was lost", function()
    local effects = { n = 0 }
    script.put = { "lost" }
    assert.is_true(once(effects))
    assert.equal(1, effects.n)
    assert.equal("done", row.phase)
  end)

  it("is left to whoever holds it", function()
    local effects = { n = 0 }
    row = { phase = "running", holder = "somebody else" }
    local ran, err = once(effects)
    assert.is_nil(ran)
    assert.equal("InProgress", err.code)
    assert.equal(0, effects.n)
  end)

  it("is completed, though the store is away for longer than a moment", function()
    local effects = { n = 0 }
    script.update = { "away", "away", "away", "away" }
    assert.is_true(once(effects))
    assert.equal("done", row.phase)
    assert.is_false(once(effects))
    assert.equal(1, effects.n)
  end)

  it("may happen again only after its lease, when it could not be completed", function()
    local effects = { n = 0 }
    script.update = {}
    for i = 1, 100 do script.update[i] = "away" end
    local ran, err = idempotency.once("mail/1", 400, function()
      effects.n = effects.n + 1
      return true
    end)
    assert.is_nil(ran)
    assert.equal("ServiceUnavailable", err.code)
    assert.equal("running", row.phase)
  end)
end)
