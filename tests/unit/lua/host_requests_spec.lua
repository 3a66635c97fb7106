-- host:requests: several requests under way at once.
local testing = require "perigee.testing"

local function order(id) return { method = "POST", target = "/orders", headers = { ["Content-Type"] = "application/json" },
  body = ('{"orderId":"%s","customerName":"Ada"}'):format(id) } end

describe("several requests at once", function()
  local app
  before_each(function() app = testing.app() end)
  after_each(function() app:close() end)

  it("are all answered, in the order in which they were asked", function()
    local answers = assert(app.host:requests { order "a", order "b", { target = "/orders/nobody" } })
    assert.same({ 200, 200, 404, 3 }, { answers[1].status, answers[2].status, answers[3].status, #answers })
    assert.matches('"order_id":"b"', answers[2].body)
    assert.equal(2, app.dynamodb:count "Orders")
  end)

  it("of the same order make one", function()
    local answers = assert(app.host:requests { order "a", order "a" })
    assert.same({ 200, 200 }, { answers[1].status, answers[2].status })
    assert.equal(answers[1].body, answers[2].body)
    assert.equal(1, app.dynamodb:count "Orders")
  end)

  it("are under way together: their calls overlap", function()
    app.host:mark()
    assert(app.host:requests { order "a", order "b" })
    local overlapping = false
    for _, call in ipairs(app.host:calls()) do overlapping = overlapping or call.begun > call.n end
    assert.is_true(overlapping)
  end)

  it("that a death cuts off have no answer, and those before it have one", function()
    app.host:mark()
    app.host:fail { at = "before", match = "dynamodb:TransactWriteItems", n = 1 }
    local answers, err = app.host:requests { { target = "/nothing" }, order "a" }
    assert.equal("ProcessDied", err.code)
    assert.same({ 404, nil }, { answers[1].status, answers[2] })
    app:crash()
    assert.equal(200, app.host:requests({ order "a" })[1].status)
  end)

  it("may be none", function() assert.same({}, (app.host:requests {})) end)
end)
