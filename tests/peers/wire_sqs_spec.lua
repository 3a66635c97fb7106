-- boto3 against queues, mail and STS on the cloud port: see wire_sqs.py; and the AWS CLI.
local json = require "perigee.json"
local support = require "e2e.support"
local wire = require "peers.wire"

local CHECKS = {
  "queues: made, told, listed in pages, tagged, changed, purged, deleted", "messages: there and back with attributes and all MD5s",
  "messages: a mebibyte, and batches that come to it", "batches: each entry's fate", "FIFO: order, groups, deduplication",
  "dead letters: moved, listed, moved back", "a long poll gets what is sent meanwhile",
  "a client that goes away while it polls takes no message", "errors have botocore's classes and the codes of old",
  "the Query protocol, by hand", "the Query protocol, wrongly signed", "SES version 2", "SES version 1", "STS tells who calls",
}

wire.describe(_ENV, "boto3 on queues and mail", "wire_sqs.py", CHECKS)

describe("the AWS CLI on queues and mail", function()
  local cli, server

  setup(function()
    local path = support.sh("command -v /usr/bin/aws || command -v aws"):gsub("%s+$", "")
    if path == "" then return end
    cli, server = path, support.cloud()
  end)
  teardown(function()
    if server then server:stop() end
  end)

  -- What the CLI prints, decoded; or its complaint when it fails.
  local function aws(fmt, ...)
    local out, status = support.sh("env -i HOME=/nonexistent PATH=/usr/bin:/bin AWS_ACCESS_KEY_ID=perigee AWS_SECRET_ACCESS_KEY=perigee " ..
      "AWS_DEFAULT_REGION=us-east-1 AWS_PAGER= %s --endpoint-url %s --output json %s 2>&1", support.quote(cli), support.quote(server.cloud), fmt:format(...))
    if status ~= 0 then return nil, out end
    return out:find "%S" and json.decode(out) or true
  end

  it("drives a queue from its making to its end", function()
    if not cli then return pending "the AWS CLI is not installed" end
    local url = assert(aws "sqs create-queue --queue-name q --attributes DelaySeconds=0 --tags env=test").QueueUrl
    assert.same({ url }, assert(aws "sqs list-queues").QueueUrls)
    assert.equal("test", assert(aws("sqs list-queue-tags --queue-url %s", url)).Tags.env)
    local sent = assert(aws("sqs send-message --queue-url %s --message-body 'h\xC3\xA9llo' --message-attributes '%s'", url,
      '{"n":{"DataType":"Number","StringValue":"1"}}'))
    local m = assert(aws("sqs receive-message --queue-url %s --attribute-names All --message-attribute-names All", url)).Messages[1]
    assert.same({ sent.MessageId, "h\xC3\xA9llo", "1" }, { m.MessageId, m.Body, m.MessageAttributes.n.StringValue })
    assert(aws("sqs delete-message --queue-url %s --receipt-handle '%s'", url, m.ReceiptHandle))
    assert.equal("0", assert(aws("sqs get-queue-attributes --queue-url %s --attribute-names All", url)).Attributes.ApproximateNumberOfMessagesNotVisible)
    assert(aws("sqs delete-queue --queue-url %s", url))
    local ok, complaint = aws("sqs send-message --queue-url %s --message-body x", url)
    assert.is_nil(ok)
    assert.matches("NonExistentQueue", complaint)
  end)

  it("sends mail by both versions and asks who it is", function()
    if not cli then return pending "the AWS CLI is not installed" end
    assert(aws "ses verify-email-identity --email-address a@example.com")
    assert.same({ "a@example.com" }, assert(aws "ses list-identities").Identities)
    assert.is_string(assert(aws "ses send-email --from a@example.com --to b@example.com --subject s --text t").MessageId)
    assert.is_string(assert(aws("sesv2 send-email --from-email-address a@example.com --destination ToAddresses=b@example.com --content '%s'",
      '{"Simple":{"Subject":{"Data":"s"},"Body":{"Text":{"Data":"t"}}}}')).MessageId)
    assert.equal("a@example.com", assert(aws "sesv2 list-email-identities").EmailIdentities[1].IdentityName)
    assert.equal(2, assert(aws "sesv2 get-account").SendQuota.SentLast24Hours)
    assert.equal("arn:aws:iam::000000000000:root", assert(aws "sts get-caller-identity").Arn)
  end)
end)
