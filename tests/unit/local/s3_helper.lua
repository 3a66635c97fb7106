-- What the specs of S3 on the cloud port share: an engine with a bucket "bkt", and signed requests.
local t = require "t.local"
local assert = require "luassert"

local M = { t = t, ns = 'xmlns="http://s3.amazonaws.com/doc/2006%-03%-01/"' }

function M.open(options)
  local s = { e = assert(t.open(options or { memory = true })) }
  assert(s.e:call("s3", "CreateBucket", '{"Bucket":"bkt"}'))

  -- A signed request: status, headers, body.
  function s.ask(method, target, body, headers, more)
    local p = more or {}
    p.method, p.target, p.body, p.headers, p.sign = method, target, body or "", headers or {}, "s3"
    p.headers.Host = p.headers.Host or "shop.test:4566"
    return s.e:face(p)
  end

  function s.ok(want, ...)
    local status, headers, body = s.ask(...)
    assert.equal(want, status, body)
    return body, headers
  end

  function s.refused(want, code, ...)
    local status, headers, body = s.ask(...)
    assert.matches("<Code>" .. code .. "</Code>", body)
    assert.equal(want, status)
    return body, headers
  end

  function s.close() s.e:close() end

  return s
end

-- The texts of all elements of that name.
function M.all(body, tag)
  local out = {}
  for v in body:gmatch("<" .. tag .. ">(.-)</" .. tag .. ">") do out[#out + 1] = v end
  return table.concat(out, " ")
end

-- An MD5 as Content-MD5 has it.
function M.md5(body)
  return t.base64((t.md5(body):gsub("%x%x", function(x) return string.char(tonumber(x, 16)) end)))
end

return M
