--- The AWS client over TLS, before moto with a certificate of its own.
local peers = require "peers.peers"
local support = require "e2e.support"

describe("TLS to AWS", function()
  local why = peers.missing { "moto_tls" }
  if why then return pending("is verified: " .. why) end
  local set, url, bundle
  setup(function()
    set = peers.start { "moto_tls" }
    url, bundle = set.url.moto_tls, set.dir.moto_tls .. "/cert.pem"
  end)
  teardown(function() if set then set:stop() end end)

  local LIST = { { "s3", "list_buckets", {} }, { "dynamodb", "list_tables", {} } }

  it("trusts the authorities of AWS_CA_BUNDLE", function()
    local results = peers.ours(peers.environment({ all = url }, { AWS_CA_BUNDLE = bundle }), LIST)
    assert.is_nil(results[1].message)
    assert.is_nil(results[2].message)
  end)

  it("carries the order system, to a link that any client can follow", function()
    local server = support.start { aws = true, env = peers.environment({ all = url }, { AWS_CA_BUNDLE = bundle }), wait = 60 }
    assert.equal(200, server:post("/orders", { orderId = "tls", customerName = "Ada" }).status)
    local link = server:receipt_link "tls"
    server:stop()
    assert.equal(url, link:sub(1, #url))
    assert.equal("%PDF", (support.sh("curl -s --cacert %s %s | head -c 4", bundle, support.quote(link))))
  end)

  local function refused(endpoint, more, host)
    for i, result in ipairs(peers.ours(peers.environment({ all = endpoint }, more), LIST)) do
      assert.is_nil(result.value)
      assert.truthy(result.message:find(host, 1, true), i .. ": " .. result.message)
      assert.truthy(result.message:lower():find "certificate" or result.message:find "TLS", i .. ": " .. result.message)
    end
  end

  it("trusts nobody else, and names the host", function() refused(url, {}, "localhost") end)

  it("refuses a certificate that is another host's", function()
    refused((url:gsub("localhost", "127.0.0.1")), { AWS_CA_BUNDLE = bundle }, "127.0.0.1")
  end)

  it("names a bundle that cannot be read", function()
    local ok, err = pcall(peers.ours, peers.environment({ all = url }, { AWS_CA_BUNDLE = "/nowhere/ca.pem" }), LIST)
    local told = ok and err[1].message or err
    assert.truthy(told:find("/nowhere/ca.pem", 1, true), told)
  end)
end)
