--- A data directory on a file system that fills up: 5xx, nothing acknowledged is lost, and it goes on when there is space again.
local support = require "e2e.support"

describe("a full disk", function()
  it("answers 5xx, keeps what was acknowledged, and recovers when space returns", function()
    local dir = support.tmpdir()
    local sudo = support.sh("id -u"):find "^0" and "" or "sudo "
    local _, status = support.sh("%smount -t tmpfs -o size=6m,mode=777 perigee-test %s 2>&1", sudo, dir)
    assert.equal(0, status, "this test mounts a small tmpfs and needs root or sudo")
    local server = support.start { data = dir .. "/data", bin = support.release }
    local acknowledged, refused = {}, 0
    local ballast = dir .. "/ballast"
    support.sh("head -c 1500000 /dev/zero > %s", ballast)
    for i = 1, 400 do
      local id = "full-" .. i
      local res = server:post("/orders", { orderId = id, customerName = ("x"):rep(100) })
      if res.status == 200 then
        acknowledged[#acknowledged + 1] = id
      else
        assert.is_true(res.status >= 500, res.status .. " " .. res.body)
        refused = refused + 1
        if refused >= 3 then break end
      end
      if i == 20 then support.sh("head -c 6000000 /dev/zero >> %s 2>/dev/null", ballast) end
    end
    assert.is_true(refused >= 1, "the disk never filled up")
    assert.is_true(#acknowledged >= 1)
    assert.is_true(server:alive())
    os.remove(ballast)
    support.eventually(30, "orders are taken again", function()
      return server:post("/orders", { orderId = "after", customerName = "Ada" }).status == 200
    end)
    for _, id in ipairs(acknowledged) do assert.equal(200, server:get("/orders/" .. id).status, id) end
    server:receipt_link(acknowledged[#acknowledged])
    server:kill()
    support.rmdir(server.dir)
    server = support.start { data = dir .. "/data", bin = support.release }
    for _, id in ipairs(acknowledged) do assert.equal(200, server:get("/orders/" .. id).status, id) end
    server:stop()
    support.sh("%sumount %s", sudo, dir)
    support.rmdir(dir)
  end)
end)
