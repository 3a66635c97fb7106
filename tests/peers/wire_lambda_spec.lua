-- boto3 and the AWS command line on `perigee runtime-api`: see wire_lambda.py.
local support = require "e2e.support"
local wire = require "peers.wire"

local CHECKS = {
  "an answer", "an error of the function", "a runtime that ends, and the next", "the tail of the log", "the client's context and the trace",
  "asynchronous and dry runs", "names of the function", "what is refused", "large payloads both ways", "many at once are answered one by one",
  "a stream reaches the client while the handler runs", "a long stream to a slow reader",
  "clients that go away do not end what they began", "streams that fail, and answers that were not streamed",
}

wire.describe(_ENV, "boto3 on the invoke API", "wire_lambda.py", CHECKS, support.runtime_api)

describe("the AWS command line on the invoke API", function()
  local cli = "build/peers/awscli/bin/aws"

  it("invokes the function", function()
    if not io.open(cli) then return pending("awscli is not installed; see tests/peers/README.md") end
    local server = support.runtime_api()
    local env = "AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any"
    local out, status = support.sh("%s %s --region us-east-1 lambda invoke --endpoint-url %s --function-name function "
      .. "--payload '{\"a\":1}' %s/answer 2>&1", env, cli, server.invoke, server.dir)
    local answer = status == 0 and support.read(server.dir .. "/answer")
    server:stop()
    assert.equal(0, status, out)
    assert.equal('{"a": 1}', answer)
    assert.matches('"StatusCode": 200', out, 1, true)
  end)
end)
