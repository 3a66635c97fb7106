--- A served-and-stopped run of the release build under valgrind.
local support = require "e2e.support"

describe("a served-and-stopped run", function()
  it("leaks nothing and touches no memory it should not", function()
    local report = os.tmpname()
    local server = support.start { bin = support.release, wait = 180, args = "--workers 1 --stop-ms 60000",
      wrap = "valgrind --quiet --leak-check=full --errors-for-leak-kinds=definite --suppressions=tests/faults/valgrind.supp --log-file=" .. report }
    local order = { order_id = "vg-1", user_id = "u", item = "Tea", quantity = 1, total_price = 100 }
    assert.equal(200, server:post("/orders", order).status)
    server:receipt_link "vg-1"
    assert.equal(200, server:post("/payments", { order_id = "vg-1", status = "paid" }).status)
    assert.equal(400, server:post("/orders", "nope").status)
    server:signal "TERM"
    server:await_end(120)
    local text = support.read(report)
    os.remove(report)
    support.rmdir(server.dir)
    assert.equal("", text)
  end)
end)
