local t = require "t.aws"

local function arns(...) return assert(t.arns(...)) end

describe("operations", function()
  it("are found by service and action, exactly", function()
    assert.equal("PutItem", t.find("dynamodb", "PutItem"))
    local _, code, message = t.find("sqs", "putItem")
    assert.equal("UnknownOperationException", code)
    assert.matches("SendMessageBatch", message)
    assert.matches("no service \"braket\"", select(3, t.find("braket", "X")))
  end)
end)

describe("the ARNs of a call", function()
  it("are the table's, or the index's when one is read", function()
    assert.same({ "arn:aws:dynamodb:us-east-1:000000000000:table/Orders" }, arns("dynamodb", "PutItem", '{"TableName":"Orders"}'))
    assert.same({ "arn:aws:dynamodb:us-east-1:000000000000:table/Orders/index/by_user" },
      arns("dynamodb", "Query", '{"TableName":"Orders","IndexName":"by_user"}'))
  end)

  it("are all tables of batches and transactions", function()
    local list = arns("dynamodb", "TransactWriteItems",
      '{"TransactItems":[{"Put":{"TableName":"A"}},{"ConditionCheck":{"TableName":"B"}}]}')
    assert.same({ "arn:aws:dynamodb:us-east-1:000000000000:table/A", "arn:aws:dynamodb:us-east-1:000000000000:table/B" }, list)
    assert.equal(2, #arns("dynamodb", "BatchGetItem", '{"RequestItems":{"A":{},"B":{}}}'))
  end)

  it("are the table's for its tags, and nobody's for what is told of the account", function()
    local arn = "arn:aws:dynamodb:us-east-1:000000000000:table/A"
    for _, action in ipairs { "TagResource", "UntagResource", "ListTagsOfResource" } do
      assert.same({ arn }, arns("dynamodb", action, '{"ResourceArn":"' .. arn .. '"}'))
    end
    assert.same({ arn, arn }, arns("dynamodb", "CreateTable", '{"TableName":"A","Tags":[]}'))
    assert.same({ arn }, arns("dynamodb", "UpdateTable", '{"TableName":"A"}'))
    assert.same({ "*" }, arns("dynamodb", "DescribeLimits", "{}"))
    assert.same({ "*" }, arns("dynamodb", "DescribeEndpoints", "{}"))
  end)

  it("are the queue's whatever form its URL has", function()
    for _, url in ipairs { "http://x:1/000000000000/Q", "https://sqs.us-east-1.amazonaws.com/1/Q/", "Q",
      "arn:aws:sqs:us-east-1:000000000000:Q" } do
      assert.same({ "arn:aws:sqs:us-east-1:000000000000:Q" }, arns("sqs", "SendMessage", '{"QueueUrl":"' .. url .. '"}'))
    end
  end)

  it("are the bucket's for listing and the object's for reading", function()
    assert.same({ "arn:aws:s3:::b" }, arns("s3", "ListObjectsV2", '{"Bucket":"b"}'))
    assert.same({ "arn:aws:s3:::b/k/1" }, arns("s3", "GetObject", '{"Bucket":"b","Key":"k/1"}'))
  end)

  it("are the sender's identity for mail", function()
    assert.same({ "arn:aws:ses:us-east-1:000000000000:identity/a@b.c" },
      arns("ses", "SendEmail", '{"FromEmailAddress":"Shop <a@b.c>"}'))
    assert.equal("a@b.c", t.address(" a@b.c "))
  end)

  it("are none when the parameter is missing, for the backend to say so", function()
    local move = '{"SourceArn":"arn:aws:sqs:us-east-1:000000000000:D"}'
    for _, action in ipairs { "StartMessageMoveTask", "ListMessageMoveTasks" } do
      assert.same({ "arn:aws:sqs:us-east-1:000000000000:D" }, arns("sqs", action, move))
    end
    -- base64 of {"taskId":"x","sourceArn":"arn:aws:sqs:us-east-1:000000000000:D"}
    assert.same({ "arn:aws:sqs:us-east-1:000000000000:D" }, arns("sqs", "CancelMessageMoveTask",
      '{"TaskHandle":"eyJ0YXNrSWQiOiJ4Iiwic291cmNlQXJuIjoiYXJuOmF3czpzcXM6dXMtZWFzdC0xOjAwMDAwMDAwMDAwMDpEIn0="}'))
    assert.same({}, arns("sqs", "CancelMessageMoveTask", '{"TaskHandle":"%"}'))
    assert.same({ "arn:aws:ses:us-east-1:000000000000:identity/a@b.c" }, arns("ses", "GetEmailIdentity", '{"EmailIdentity":"a@b.c"}'))
    assert.same({ "*" }, arns("ses", "GetAccount", "{}"))
    assert.same({}, arns("dynamodb", "PutItem", "{}"))
    assert.same({}, arns("sqs", "SendMessage", '{"QueueUrl":7}'))
  end)

  it("need an object of parameters", function()
    assert.equal("ValidationException", select(2, t.arns("sqs", "SendMessage", "[]")))
  end)
end)

describe("an operation without a row", function()
  local function may(service, action, statements) return t.start(service, action, "{}", statements) end

  it("needs a statement that allows it somewhere", function()
    assert.is_true(may("kms", "Encrypt", { { "allow", "kms:enc*", "arn:aws:kms:us-east-1:1:key/7" } }))
    local ok, code, message = may("kms", "Encrypt", { { "allow", "kms:Decrypt", "*" }, { "allow", "sns:*", "*" } })
    assert.same({ nil, "AccessDeniedException" }, { ok, code })
    assert.equal("function Fn is not authorized to perform: kms:Encrypt on any resource", message)
    assert.is_nil((may("kms", "Encrypt", {})))
  end)

  it("is refused when a statement denies it everywhere", function()
    local allow = { "allow", "*", "*" }
    assert.is_nil((may("kms", "Encrypt", { allow, { "deny", "kms:*", "*" } })))
    assert.is_nil((may("kms", "Encrypt", { { "deny", "kms:*", "*" }, allow })))
    assert.is_true(may("kms", "Encrypt", { allow, { "deny", "kms:*", "arn:aws:kms:us-east-1:1:key/7" } }))
    assert.is_true(may("kms", "Encrypt", { allow, { "deny", "kms:Decrypt", "*" } }))
  end)
end)

describe("an operation of S3", function()
  local function may(action, params, statements) return t.start("s3", action, params, statements) end

  it("goes by the name that IAM has for it", function()
    local object, bucket = '{"Bucket":"b","Key":"k"}', '{"Bucket":"b"}'
    for action, needs in pairs { UploadPart = "s3:PutObject", CreateMultipartUpload = "s3:PutObject",
      CompleteMultipartUpload = "s3:PutObject", HeadObject = "s3:GetObject", ListParts = "s3:ListMultipartUploadParts",
      AbortMultipartUpload = "s3:AbortMultipartUpload", PutObjectTagging = "s3:PutObjectTagging" } do
      assert.is_true(may(action, object, { { "allow", needs, "arn:aws:s3:::b/k" } }), action)
      assert.is_nil((may(action, object, { { "allow", needs, "arn:aws:s3:::b/other" } })))
    end
    for action, needs in pairs { ListObjects = "s3:ListBucket", HeadBucket = "s3:ListBucket", DeleteBucket = "s3:DeleteBucket",
      ListObjectVersions = "s3:ListBucketVersions", ListMultipartUploads = "s3:ListBucketMultipartUploads",
      PutBucketLifecycleConfiguration = "s3:PutLifecycleConfiguration" } do
      assert.is_true(may(action, bucket, { { "allow", needs, "arn:aws:s3:::b" } }), action)
      assert.is_nil((may(action, bucket, { { "allow", "s3:GetObject", "*" } })))
    end
  end)

  it("that copies needs to read its source too, and every one of many objects counts", function()
    local copy, put, get = '{"Bucket":"b","Key":"k","CopySource":"/c%2Fd/e?versionId=1"}',
      { "allow", "s3:PutObject", "*" }, { "allow", "s3:GetObjectVersion", "arn:aws:s3:::c/d/e" }
    assert.is_true(may("CopyObject", copy, { put, get }))
    assert.matches("s3:GetObjectVersion", select(3, may("CopyObject", copy, { put })))
    assert.matches("s3:PutObject", select(3, may("CopyObject", copy, { get })))
    local many = '{"Bucket":"b","Delete":{"Objects":[{"Key":"1"},{"Key":"2"}]}}'
    assert.is_nil((may("DeleteObjects", many, { { "allow", "s3:DeleteObject", "arn:aws:s3:::b/1" } })))
    assert.is_true(may("DeleteObjects", many, { { "allow", "s3:DeleteObject", "arn:aws:s3:::b/*" } }))
  end)
end)
