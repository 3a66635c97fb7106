--- Our links and uploads against other people's S3, other people's links against ours; plain curl uses them.
local json = require "perigee.json"
local peers = require "peers.peers"
local support = require "e2e.support"

local KEYS = { "plain.txt", "with space.txt", "plus+and=and&.txt", "100%41.txt", "què/李雷 ☕.pdf", "quote'\"()*!~$@,;:.txt", "a//b", "/lead", "x/../y",
  "./z", "end/", "question?mark#hash.txt", "tab\tand\\back", "%2F", "a/./b" }
local ODD_ANSWER = { ResponseContentType = "text/html; charset=utf-8", ResponseContentDisposition = 'attachment; filename="a b+c.pdf"',
  ResponseCacheControl = "no-store" }

local function python(env, what, keys)
  local file = os.tmpname()
  support.write(file, json.encode(json.array(keys)))
  local out = support.sh("%s %s tests/peers/official.py %s %s 2>&1", env, peers.python, what, file)
  os.remove(file)
  return json.decode(out) or error(out, 2)
end

local function link(env, params)
  local result = peers.ours(env, { { "s3", "presigned_url", params } })[1]
  return result.value or error(result.message, 2)
end

--- Status and body; headers in the file `dir/head`.
local function curl(dir, args, url)
  local status = support.sh("curl -s --path-as-is --globoff -D %s/head -o %s/body -w '%%{http_code}' %s %s", dir, dir, args or "", support.quote(url))
  local body = io.open(dir .. "/body", "rb")
  local text = body and body:read "a" or ""
  if body then body:close() end
  os.remove(dir .. "/body")
  return math.tointeger(tonumber(status)), text
end

local function header(dir, name)
  for line in support.read(dir .. "/head"):gmatch "[^\r\n]+" do
    local n, v = line:match "^([^:]+):%s*(.*)$"
    if n and n:lower() == name then return v end
  end
end

local function tampered(url)
  local list, from = {}, url:find("/", 9, true) + 1
  for at = from, #url do
    local c = url:sub(at, at)
    if c:match "%w" then list[#list + 1] = url:sub(1, at - 1) .. (c == "1" and "2" or "1") .. url:sub(at + 1) end
  end
  return list
end

local function on(name, checks_signatures)
  local why = peers.missing { name }
  if why then return pending("give and take what they should: " .. why) end
  local set, env, dir, keys
  setup(function()
    set, dir = peers.start { name }, support.tmpdir()
    env = peers.environment { all = set.url[name] }
    keys = python(env, "put", KEYS)
  end)
  teardown(function()
    if set then set:stop() end
    support.rmdir(dir)
  end)

  it("download every key that the official client can store", function()
    assert.is_true(#keys >= 8, "too few keys: " .. json.encode(keys))
    local calls = {}
    for i, key in ipairs(keys) do calls[i] = { "s3", "presigned_url", { Bucket = "receipts", Key = key } } end
    for i, result in ipairs(peers.ours(env, calls)) do
      local status, body = curl(dir, nil, result.value)
      assert.equal(200, status, result.value .. "\n" .. body)
      assert.equal(keys[i], body)
    end
  end)

  it("upload every such key", function()
    local calls, upload = {}, dir .. "/upload"
    for i, key in ipairs(keys) do
      calls[i] = { "s3", "presigned_url", { method = "PUT", Bucket = "receipts", Key = key, headers = { ["content-type"] = "text/x-ours" } } }
    end
    for i, result in ipairs(peers.ours(env, calls)) do
      support.write(upload, "ours: " .. keys[i])
      local status, body = curl(dir, "-X PUT --data-binary @" .. upload .. " -H 'content-type: text/x-ours'", result.value)
      assert.equal(200, status, result.value .. "\n" .. body)
    end
    for key, text in pairs(python(env, "read", keys)) do assert.equal("ours: " .. key, text) end
  end)

  it("have the answer's headers that were asked for", function()
    local params = { Bucket = "receipts", Key = "plain.txt" }
    for member, value in pairs(ODD_ANSWER) do params[member] = value end
    local status, body = curl(dir, nil, link(env, params))
    assert.equal(200, status, body)
    assert.equal(ODD_ANSWER.ResponseContentType, header(dir, "content-type"))
    assert.equal(ODD_ANSWER.ResponseContentDisposition, header(dir, "content-disposition"))
    assert.equal(ODD_ANSWER.ResponseCacheControl, header(dir, "cache-control"))
  end)

  it("carry 64 MiB from a file and to a file in little memory", function()
    local source, target = dir .. "/source", dir .. "/target"
    support.sh("head -c 67108864 /dev/urandom >%s", source)
    local results, peak = peers.ours(env, {
      { "s3", "put_object", { Bucket = "receipts", Key = "big", BodyFile = source } },
      { "s3", "get_object", { Bucket = "receipts", Key = "big", ToFile = target } },
    }, support.release)
    assert.is_nil(results[1].message)
    assert.is_nil(results[2].message)
    assert.equal("", (support.sh("cmp %s %s 2>&1", source, target)))
    assert.is_true(peak < 48 * 1024, peak .. " KiB")
  end)

  if not checks_signatures then return end

  it("are refused when any byte was changed", function()
    local url = link(env, { Bucket = "receipts", Key = "plain.txt", ResponseContentType = "text/plain" })
    for _, changed in ipairs(tampered(url)) do
      local status = curl(dir, nil, changed)
      assert.is_true(status >= 400, changed)
    end
  end)

  it("take uploads only with the header fields that were signed", function()
    local url = link(env, { method = "PUT", Bucket = "receipts", Key = "typed", headers = { ["content-type"] = "application/pdf" } })
    support.write(dir .. "/upload", "x")
    local function put(kind) return (curl(dir, ("-X PUT --data-binary @%s/upload -H 'content-type: %s'"):format(dir, kind), url)) end
    assert.equal(403, put "text/html")
    assert.equal(200, put "application/pdf")
  end)

  it("are refused when their time is over", function()
    local url = link(env, { Bucket = "receipts", Key = "plain.txt", ExpiresIn = 1 })
    support.eventually(10, "expiry", function() return curl(dir, nil, url) == 403 end)
  end)

  it("upload by a form, within its conditions", function()
    local result = peers.ours(env, { { "s3", "presigned_post", { Bucket = "receipts", Key = "form/${filename}", ExpiresIn = 60,
      Fields = { ["Content-Type"] = "text/plain" }, Conditions = { { "content-length-range", 1, 10 }, { "starts-with", "$key", "form/" } } } } })[1]
    assert.is_nil(result.message)
    local function post(text)
      support.write(dir .. "/up+load ä.txt", text)
      local words = {}
      for field, value in pairs(result.value.fields) do words[#words + 1] = "--form-string " .. support.quote(field .. "=" .. value) end
      words[#words + 1] = ("-F 'file=@%s/up+load ä.txt;type=text/plain'"):format(dir)
      return curl(dir, table.concat(words, " "), result.value.url)
    end
    assert.equal(204, (post "small"))
    assert.equal("small", python(env, "read", { "form/up+load ä.txt" })["form/up+load ä.txt"])
    assert.equal(400, (post "larger than ten bytes"))
  end)
end

describe("our links to objects in moto", function() on("moto", false) end)
describe("our links to objects in MinIO", function() on("minio", true) end)

describe("the official client's links to objects in our engine", function()
  local why = peers.missing { "moto" } -- its client comes with it
  if why then return pending("are accepted: " .. why) end
  local server, env, dir, keys
  setup(function()
    server, dir = support.start { args = "--access-key-id AKIDPEERS --secret-access-key peers-secret-key" }, support.tmpdir()
    env = peers.environment { all = server.cloud }
    keys = python(env, "put", KEYS)
  end)
  teardown(function()
    if server then server:stop() end
    support.rmdir(dir)
  end)

  it("are accepted, whatever the key", function()
    assert.equal(#KEYS, #keys)
    local links = python(env, "links", keys)
    for _, key in ipairs(keys) do
      local status, body = curl(dir, nil, links[key].get)
      assert.equal(200, status, links[key].get .. "\n" .. body)
      assert.equal(key, body)
      support.write(dir .. "/upload", "theirs: " .. key)
      status, body = curl(dir, "-X PUT -H 'content-type:' --data-binary @" .. dir .. "/upload", links[key].put)
      assert.equal(200, status, links[key].put .. "\n" .. body)
    end
    for key, text in pairs(python(env, "read", keys)) do assert.equal("theirs: " .. key, text) end
  end)

  it("are refused when any byte was changed", function()
    local url = python(env, "links", { "plain.txt" })["plain.txt"].get
    for _, changed in ipairs(tampered(url)) do
      local status = curl(dir, nil, changed)
      assert.is_true(status >= 400 and status < 500, status .. " " .. changed)
    end
  end)
end)
