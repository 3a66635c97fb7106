-- docs/testing.md says how handlers are tested: its examples run as they are.
local testing = require "perigee.testing"

local function read(path)
  local f <close> = assert(io.open(path))
  return f:read "a"
end

-- The Lua blocks of a document: { line, heading, code }.
local function examples(text)
  local found, heading, n, at = {}, "", 0, nil
  for line in text:gmatch "([^\n]*)\n" do
    n = n + 1
    heading = line:match "^## (.+)$" or heading
    if line == "```lua" then
      at = { line = n, heading = heading, code = { ("\n"):rep(n - 1) } } -- errors name the lines of the document
    elseif line == "```" and at then
      at.code = table.concat(at.code, "\n")
      found[#found + 1], at = at, nil
    elseif at then
      table.insert(at.code, line)
    end
  end
  return found
end

local list = examples(read "docs/testing.md")

describe("docs/testing.md", function()
  it("has an example under each heading about what tests do", function()
    local seen = {}
    for _, example in ipairs(list) do seen[example.heading] = true end
    for _, heading in ipairs { "The first test", "Requests", "Time", "Queues and schedules", "Looking inside", "Spies", "Faults", "Snapshots",
      "Costs" } do assert.is_true(seen[heading], heading) end
  end)

  for _, example in ipairs(list) do
    local env = setmetatable({ testing = testing }, { __index = _G })
    if example.code:find("describe(", 1, true) then
      assert(load(example.code, "@docs/testing.md", "t", _ENV))()
    else
      it(("%s: the example in line %d runs"):format(example.heading, example.line), function()
        local app <close> = testing.app { parameters = { SenderAddress = "shop@example.org" } }
        env.app, env.assert = app, assert
        assert(load(example.code, "@docs/testing.md", "t", env))()
      end)
    end
  end
end)
