require "unit.lua.plain"
local money = require "perigee.money"

local MAX, MIN = math.maxinteger, math.mininteger

describe("money", function()
  it("adds within int64 and says when it cannot", function()
    assert.equal(MAX, money.add(MAX - 1, 1))
    assert.is_nil(money.add(MAX, 1))
    assert.equal(MIN, money.add(MIN + 1, -1))
    assert.is_nil(money.add(MIN, -1))
    assert.equal(-1, money.add(MAX, MIN))
  end)

  it("multiplies within int64 and says when it cannot", function()
    assert.equal(MAX, money.multiply(MAX, 1))
    assert.equal(MIN, money.multiply(MIN, 1))
    assert.equal(MIN, money.multiply(MIN // 2, 2))
    assert.equal(-MAX, money.multiply(MAX, -1))
    assert.equal(0, money.multiply(0, MIN))
    for _, pair in ipairs { { MIN, -1 }, { -1, MIN }, { MAX, 2 }, { MAX, MAX }, { MIN, 2 }, { 1 << 32, 1 << 31 }, { MAX // 2 + 1, 2 } } do
      assert.is_nil(money.multiply(pair[1], pair[2]))
    end
  end)

  it("sums lines exactly", function()
    assert.equal(1999, money.total { { quantity = 2, unit_price = 1000 }, { quantity = 1, unit_price = -1 } })
    assert.equal(MAX, money.total { { quantity = 1, unit_price = MAX } })
    assert.is_nil(money.total { { quantity = 2, unit_price = MAX } })
    assert.is_nil(money.total { { quantity = 1, unit_price = MAX }, { quantity = 1, unit_price = 1 } })
  end)

  it("knows the decimals of each currency", function()
    assert.equal(2, money.exponent "EUR")
    assert.equal(0, money.exponent "JPY")
    assert.equal(3, money.exponent "KWD")
    assert.equal(4, money.exponent "CLF")
    assert.is_nil(money.exponent "eur")
    assert.is_nil(money.exponent "BTC")
    assert.is_nil(money.exponent "")
  end)

  it("writes amounts without rounding, at both ends of int64", function()
    assert.equal("19.99 EUR", money.format(1999, "EUR"))
    assert.equal("0.05 EUR", money.format(5, "EUR"))
    assert.equal("-0.05 EUR", money.format(-5, "EUR"))
    assert.equal("0.00 EUR", money.format(0, "EUR"))
    assert.equal("5 JPY", money.format(5, "JPY"))
    assert.equal("-5 JPY", money.format(-5, "JPY"))
    assert.equal("0.005 KWD", money.format(5, "KWD"))
    assert.equal("92233720368547758.07 EUR", money.format(MAX, "EUR"))
    assert.equal("-92233720368547758.08 EUR", money.format(MIN, "EUR"))
    assert.has_error(function() money.format(1, "XXZ") end, "'XXZ' is no ISO 4217 currency")
  end)
end)
