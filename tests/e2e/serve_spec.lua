local support = require "e2e.support"
local order_system = require "e2e.order_system"

describe("perigee serve", function()
  order_system(_ENV, { start = support.start })

  it("says it is ready in exactly one line on stdout", function()
    local server = support.start()
    local out = support.read(server.dir .. "/out")
    server:stop()
    assert.matches("^perigee: ready http=http://127%.0%.0%.1:%d+ cloud=http://127%.0%.0%.1:%d+\n$", out)
  end)
end)

describe("perigee serve refuses to start", function()
  local function fails(command)
    local out, status = support.sh("timeout 20 %s 2>&1", command)
    assert.not_equal(0, status, out)
    assert.not_equal(124, status, "hung: " .. out)
    return out
  end

  it("on a port in use, naming it", function()
    local server = support.start()
    local port = server.http:match ":(%d+)$"
    local out = fails(("%s serve --port %s --cloud-port 0 --memory"):format(support.bin, port))
    assert.truthy(out:find(port, 1, true), out)
    assert.truthy(out:find "in use", out)
    server:stop()
  end)

  it("on a data directory in use, naming it", function()
    local server = support.start()
    local out = fails(("%s serve --port 0 --cloud-port 0 --data %s"):format(support.bin, server.data))
    assert.truthy(out:find(server.data, 1, true), out)
    assert.truthy(out:find(tostring(server.pid), 1, true), out)
    server:stop()
  end)

  it("on a corrupt store, and touches nothing", function()
    local dir = support.tmpdir()
    local server = support.start { data = dir }
    assert.equal(200, server:post("/orders", { orderId = "c-1", customerName = "Ada" }).status)
    server:signal "TERM"
    server:await_end()
    local store = dir .. "/store.db"
    support.sh("dd if=/dev/urandom of=%s bs=512 seek=1 count=16 conv=notrunc 2>/dev/null", store)
    local before = support.sh("sha256sum %s", store)
    local out = fails(("%s serve --port 0 --cloud-port 0 --data %s"):format(support.bin, dir))
    assert.truthy(out:find "store.db", out)
    assert.equal(before, (support.sh("sha256sum %s", store)))
    support.rmdir(dir)
    support.rmdir(server.dir)
  end)

  it("on a directory it cannot make", function()
    local dir = support.tmpdir()
    support.write(dir .. "/file", "") -- below a file not even root makes a directory
    local out = fails(("%s serve --port 0 --cloud-port 0 --data %s/file/data"):format(support.bin, dir))
    assert.truthy(out:find(dir .. "/file", 1, true), out)
    support.rmdir(dir)
  end)

  it("on a directory of Lua modules that is not there", function()
    local out = fails(("%s serve --port 0 --cloud-port 0 --memory --lua-dir /nowhere/lua"):format(support.bin))
    assert.truthy(out:find("--lua-dir", 1, true), out)
    assert.truthy(out:find("/nowhere/lua", 1, true), out)
  end)

  it("on template mistakes, with file and line of each", function()
    local dir = support.tmpdir()
    support.write(dir .. "/template.yaml", "Transform: AWS::Serverless-2016-10-31\nResources:\n  Q:\n    Type: AWS::SQS::Queue\n" ..
      "    Properties:\n      Colour: blue\n  V:\n    Type: AWS::EC2::VPC\n")
    local out = fails(("%s check %s/template.yaml"):format(support.bin, dir))
    assert.truthy(out:find("template.yaml:6:", 1, true), out)
    assert.truthy(out:find("template.yaml:8:", 1, true), out)
    assert.equal(1, select(2, out:gsub("Colour", "")), "told once: " .. out)
    assert.truthy(out:find "AWS::EC2::VPC", out)
    support.rmdir(dir)
  end)

  it("on handlers that do not load, once for all functions of a module", function()
    local dir = support.tmpdir()
    support.sh("cp -r config handlers %s/", support.quote(dir))
    support.write(dir .. "/handlers/orders.lua", "return {\n  get = = 1 }\n")
    local out = fails(("%s check %s/config/template.yaml"):format(support.bin, dir))
    assert.equal(1, select(2, out:gsub("handlers/orders.lua:2:", "")), out)
    support.rmdir(dir)
  end)

  it("off loopback without a payments secret", function()
    local out = fails(("%s serve --host 0.0.0.0 --port 0 --cloud-port 0 --memory"):format(support.bin))
    assert.truthy(out:find "PaymentsSecret", out)
  end)
end)
