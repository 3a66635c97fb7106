-- The AWS command line against `perigee cloud`: see wire_cli.sh. Each command line that is there is used: Debian's (SQS by the older
-- protocol, no checksums) and PyPI's.
local support = require "e2e.support"

local SECTIONS = { "sts", "dynamodb", "sqs", "ses", "sesv2", "s3api", "s3", "ways" }

-- The command line's names of services that have others here.
local CALLED = { ses = "sesv2" }

local function file_of(command)
  local path = support.sh("command -v %s", command):gsub("%s+$", "")
  return path ~= "" and path or nil
end

-- Title -> path; only commands that Python runs (wire_cli.py).
local function command_lines()
  local found, seen = {}, {}
  local candidates = { { "of PERIGEE_PEERS_AWS", os.getenv "PERIGEE_PEERS_AWS" }, { "of PyPI", "build/peers/awscli/bin/aws" },
    { "of the distribution", "/usr/bin/aws" } }
  for _, candidate in ipairs(candidates) do
    local path = candidate[2] and file_of(candidate[2])
    if path and not seen[path] and support.sh("head -n 1 %s", support.quote(path)):find "python" then
      seen[path] = true
      found[#found + 1] = { title = candidate[1], path = path }
    end
  end
  return found
end

-- {"sqs SendMessage", ...} as "sqs sendmessage": what this build of the engine serves, and the actions of SES version 1.
local function served()
  local list = {}
  for service, operations in pairs(require("perigee.aws.core").services()) do
    for name in pairs(operations) do list[#list + 1] = (CALLED[service] or service) .. " " .. name:gsub("_", "") end
  end
  for action in support.read("src/local/face/query_ses.c"):gmatch '{"(%u%a+)", AWS_SES_' do list[#list + 1] = "ses " .. action:lower() end
  table.sort(list)
  return list
end

local function without(list, set)
  local out = {}
  for _, name in ipairs(list) do
    if not set[name] then out[#out + 1] = name end
  end
  return out
end

describe("the AWS command line", function()
  local server
  local list, called_by_any = command_lines(), {}

  if #list == 0 then
    it("covers every operation", function() pending "awscli is not installed; see tests/peers/README.md" end)
    return
  end

  setup(function() server = support.cloud() end)
  teardown(function() server:stop() end)

  for _, cli in ipairs(list) do
    describe(cli.title, function()
      local noted = { called = {}, known = {} } -- operations, as served() has them

      for _, section in ipairs(SECTIONS) do
        it(section, function()
          local out, status = support.sh("timeout 500 tests/peers/wire_cli.sh %s %s %s 2>&1", support.quote(server.cloud), support.quote(cli.path),
            section)
          local failed, count = {}, 0
          for line in out:gmatch "[^\n]+" do
            local how, service, command = line:match "^(%a[%a ]-) (%S+) ([%w-]+)"
            if noted[how] then
              noted[how][service .. " " .. command:lower()] = true
            elseif how == "ok" or how == "none" then
              count = count + 1
            else
              failed[#failed + 1] = line
            end
          end
          assert.equal("", table.concat(failed, "\n"))
          assert.equal(0, status)
          assert.is_true(count > 0)
        end)
      end

      it("called with success every operation that the engine serves and it knows", function()
        local missing = {}
        for _, name in ipairs(without(served(), noted.called)) do
          if noted.known[name] then missing[#missing + 1] = name end
        end
        for name in pairs(noted.called) do called_by_any[name] = true end
        assert.same({}, missing)
      end)
    end)
  end

  it("called every operation that the engine serves", function()
    local missing = without(served(), called_by_any)
    if #missing > 0 and list[#list].title == "of the distribution" and #list == 1 then
      return pending("an older command line knows no " .. table.concat(missing, ", "))
    end
    assert.same({}, missing)
  end)
end)
