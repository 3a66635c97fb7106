-- The AWS command line against `perigee cloud`: see wire_cli.sh. Each command line that is there is used: Debian's (SQS by the older
-- protocol, no checksums) and PyPI's.
local support = require "e2e.support"

local SECTIONS = { "sts", "dynamodb", "sqs", "ses", "sesv2", "s3api", "s3" }

-- Names of a section's operations in src/aws/ops.def, and the sections that call them.
local CALLED_BY = { DYNAMODB = "dynamodb", SQS = "sqs", S3 = "s3api", SES = "sesv2", STS = "sts" }

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

local function kebab(action)
  return (action:gsub("(%u)", "-%1"):gsub("^-", ""):lower())
end

describe("the AWS command line", function()
  local server
  local list = command_lines()

  if #list == 0 then
    it("covers every operation", function() pending "awscli is not installed; see tests/peers/README.md" end)
    return
  end

  setup(function() server = support.cloud() end)
  teardown(function() server:stop() end)

  for _, cli in ipairs(list) do
    describe(cli.title, function()
      local called = {}

      for _, section in ipairs(SECTIONS) do
        it(section, function()
          local out, status = support.sh("timeout 500 tests/peers/wire_cli.sh %s %s %s 2>&1", support.quote(server.cloud), support.quote(cli.path),
            section)
          local failed, count = {}, 0
          for line in out:gmatch "[^\n]+" do
            local how, service, command = line:match "^(%a[%a ]-) (%S+) ([%w-]+)"
            if how == "ok" or how == "none" then
              count, called[service .. " " .. command] = count + 1, how
            else
              failed[#failed + 1] = line
            end
          end
          assert.equal("", table.concat(failed, "\n"))
          assert.equal(0, status)
          assert.is_true(count > 0)
        end)
      end

      it("was used for every operation that the engine has", function()
        local missing = {}
        for service, action in support.read("src/aws/ops.def"):gmatch "AWS_OP%((%u%w*), (%w+)," do
          local name = assert(CALLED_BY[service], service) .. " " .. kebab(action)
          if not called[name] then missing[#missing + 1] = name end
        end
        assert.same({}, missing)
      end)
    end)
  end
end)
