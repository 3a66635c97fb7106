--- Wrapped handlers on a server with several workers: requests of one key that really come at once.
local json = require "perigee.json"
local support = require "e2e.support"

local HANDLER = [[
local aws = require "perigee.aws"
local http = require "perigee.http"
local idempotency = require "perigee.idempotency"
local time = require "perigee.time"

local function charge()
  local done = assert(aws.dynamodb:update_item { TableName = "Records", Key = { key = "effects" }, UpdateExpression = "ADD n :one",
    ExpressionAttributeValues = { [":one"] = 1 }, ReturnValues = "ALL_NEW" })
  time.sleep(300)
  return http.created { n = done.Attributes.n }
end

local KEY = idempotency.header "Idempotency-Key"
return {
  wait = idempotency.wrap({ key = KEY, scope = "wait", in_progress = "wait" }, charge),
  conflict = idempotency.wrap({ key = KEY, scope = "conflict" }, charge),
}
]]

local function of(name)
  return ([[
  %s:
    Type: AWS::Serverless::Function
    Properties:
      Handler: shop.%s
      Events: { Post: { Type: HttpApi, Properties: { Path: /%s, Method: POST } } }
]]):format(name:gsub("^%l", string.upper), name, name)
end

local TEMPLATE = [[
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    CodeUri: .
    Runtime: provided.al2023
    Timeout: 20
    Environment: { Variables: { IDEMPOTENCY_TABLE: Records, IDEMPOTENCY_SECONDS: "3600" } }
    Policies: [{ Statement: [{ Effect: Allow, Action: "dynamodb:*", Resource: "*" }] }]
Resources:
  Records:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Records
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: key, AttributeType: S }]
      KeySchema: [{ AttributeName: key, KeyType: HASH }]
]] .. of "wait" .. of "conflict"

describe("requests of one key that come at once", function()
  local dir, server
  setup(function()
    dir = support.tmpdir()
    support.write(dir .. "/template.yaml", TEMPLATE)
    support.write(dir .. "/shop.lua", HANDLER)
    server = support.start { args = ("--workers 4 --template %s/template.yaml"):format(dir) }
  end)
  teardown(function()
    server:stop()
    support.rmdir(dir)
  end)

  -- Eight at once: how many had each status, and the bodies of those that succeeded.
  local function at_once(path)
    support.sh([[for i in 1 2 3 4 5 6 7 8; do curl -s -o %s/body$i -w '%%{http_code}' -X POST -H 'Idempotency-Key: k' %s/%s >%s/status$i & done; wait]],
      dir, server.http, path, dir)
    local counts, bodies = {}, {}
    for i = 1, 8 do
      local status = support.read(dir .. "/status" .. i)
      counts[status] = (counts[status] or 0) + 1
      if status == "201" then bodies[support.read(dir .. "/body" .. i)] = true end
    end
    return counts, bodies
  end

  it("are answered alike by one run, when they wait", function()
    local counts, bodies = at_once "wait"
    assert.same({ ["201"] = 8 }, counts)
    local body = next(bodies)
    assert.is_nil(next(bodies, body))
    assert.equal(body, server:request("POST", "/wait", { headers = { ["Idempotency-Key"] = "k" } }).body)
  end)

  it("have one winner, when they conflict", function()
    local before = json.decode(server:request("POST", "/wait", { headers = { ["Idempotency-Key"] = "before" } }).body).n
    local counts, bodies = at_once "conflict"
    assert.equal(8, (counts["201"] or 0) + (counts["409"] or 0))
    assert.same({ [json.encode { n = before + 1 }] = true }, bodies)
    local after = json.decode(server:request("POST", "/wait", { headers = { ["Idempotency-Key"] = "after" } }).body).n
    assert.equal(before + 2, after)
  end)
end)
