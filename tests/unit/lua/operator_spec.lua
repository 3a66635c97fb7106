--- What perigee.operator prints. How it finds stores: tests/e2e/operator_spec.lua.
local operator = require "perigee.operator"

describe("perigee.operator", function()
  it("tells ages in their two largest units", function()
    for ms, text in pairs { [-5] = "0s", [0] = "0s", [999] = "0s", [61000] = "1m 1s", [60000] = "1m", [3600000] = "1h", [3661000] = "1h 1m",
      [86400000] = "1d", [90061000] = "1d 1h", [86405000] = "1d" } do
      assert.equal(text, operator.age(ms), ms)
    end
  end)

  it("aligns columns by characters, and leaves nothing behind the last", function()
    assert.equal("NAME  N\nJosé  1\nx     22\n", operator.columns { { "NAME", "N" }, { "José", "1" }, { "x", "22" } })
    assert.equal("A\nb\n", operator.columns { { "A", "" }, { "b", "" } })
  end)

  it("prints nothing that moves a cursor", function()
    assert.equal("a [2Jb c", operator.plain "a\27[2Jb\nc")
    assert.equal("7", operator.plain(7))
  end)
end)
