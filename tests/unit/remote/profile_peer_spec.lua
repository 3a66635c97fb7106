-- Profile files against botocore, where it is installed.
local t = require "t.credentials"
local json = require "dkjson"

local python = os.getenv "PERIGEE_PEERS_PYTHON"
if not python then
  local venv = io.open "build/peers/venv/bin/python"
  python = venv and "build/peers/venv/bin/python" or "python3"
  if venv then venv:close() end
end

describe("profile files", function()
  if not os.execute(python .. " -c 'import botocore' 2>/dev/null") then
    return pending "are read as botocore reads them: needs botocore, see tests/peers/README.md"
  end
  local seed = os.time()

  it("are read as botocore reads them (seed " .. seed .. ")", function()
    local pipe = assert(io.popen(("%s tests/peers/profile_diff.py %d 2000"):format(python, seed)))
    local cases = json.decode(pipe:read "a")
    assert(pipe:close())
    for _, case in ipairs(cases) do
      local text, theirs = case[1], case[2]
      local ours = {}
      for header, properties in pairs(assert(t.parse(text))) do
        if properties.s3 == "" then properties.s3 = nil end
        ours[header:match "^profile (.*)"] = properties
      end
      for name, properties in pairs(theirs) do theirs[name] = setmetatable(properties, nil) end
      assert.same(setmetatable(theirs, nil), ours, text)
    end
    assert.equal(2000, #cases)
  end)
end)
