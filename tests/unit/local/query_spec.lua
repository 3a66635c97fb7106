local t = require "t.local"
local json = require "cjson"

describe("the Query protocol", function()
  local e
  before_each(function() e = assert(t.open { memory = true, now = 1700000000000 }) end)
  after_each(function() e:close() end)

  local function encode(s)
    return (tostring(s):gsub("[^%w%-%._~]", function(c) return ("%%%02X"):format(c:byte()) end))
  end
  local function form(params)
    local out = {}
    for k, v in pairs(params) do out[#out + 1] = encode(k) .. "=" .. encode(v) end
    return table.concat(out, "&")
  end
  local function ask(service, action, params, more)
    local p = more or {}
    params = params or {}
    params.Action = action
    if params.Version == nil then params.Version = service == "ses" and "2010-12-01" or service == "sts" and "2011-06-15" or "2012-11-05" end
    p.method, p.target, p.sign, p.body = p.method or "POST", p.target or "/", service, form(params)
    p.headers = { Host = "queues.test:4566", ["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8" }
    return e:face(p)
  end
  local function sqs(action, params, more)
    local status, h, body = ask("sqs", action, params, more)
    assert.equal(200, status, body)
    assert.equal("text/xml", h["content-type"])
    assert.equal("req-1", h["x-amzn-requestid"])
    return body
  end
  local function refused(service, code, action, params, more)
    local status, _, body = ask(service, action, params, more)
    assert.matches("<ErrorResponse xmlns=", body)
    assert.matches("<Type>Sender</Type><Code>" .. code:gsub("%p", "%%%0") .. "</Code>", body)
    assert.matches("<RequestId>req%-1</RequestId></ErrorResponse>$", body)
    return body, status
  end

  describe("of SQS", function()
    it("makes a queue and says where, by the caller's host", function()
      local body = sqs("CreateQueue", { QueueName = "q", ["Attribute.1.Name"] = "DelaySeconds", ["Attribute.1.Value"] = "3",
        ["Attribute.2.Name"] = "VisibilityTimeout", ["Attribute.2.Value"] = "7", ["Tag.1.Key"] = "env", ["Tag.1.Value"] = "<&>" })
      assert.equal('<?xml version="1.0"?>\n<CreateQueueResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><CreateQueueResult>' ..
        "<QueueUrl>http://queues.test:4566/000000000000/q</QueueUrl></CreateQueueResult><ResponseMetadata><RequestId>req-1</RequestId>" ..
        "</ResponseMetadata></CreateQueueResponse>", body)
      assert.equal("<Attribute><Name>DelaySeconds</Name><Value>3</Value></Attribute><Attribute><Name>VisibilityTimeout</Name><Value>7</Value></Attribute>",
        sqs("GetQueueAttributes", { QueueUrl = "q", ["AttributeName.1"] = "DelaySeconds", ["AttributeName.2"] = "VisibilityTimeout" })
          :match("<GetQueueAttributesResult>(.*)</GetQueueAttributesResult>"))
      assert.matches("<Tag><Key>env</Key><Value>&lt;&amp;&gt;</Value></Tag>", sqs("ListQueueTags", { QueueUrl = "q" }))
      assert.matches("<ListQueuesResult><QueueUrl>http://queues.test:4566/000000000000/q</QueueUrl></ListQueuesResult>", sqs("ListQueues"))
      assert.matches("<QueueUrl>http://queues.test:4566/000000000000/q</QueueUrl>", sqs("GetQueueUrl", { QueueName = "q" }))
    end)

    it("sends and receives with attributes", function()
      sqs("CreateQueue", { QueueName = "q" })
      local sent = sqs("SendMessage", { MessageBody = "a<b>\r\n&", ["MessageAttribute.1.Name"] = "n", ["MessageAttribute.1.Value.DataType"] = "Number",
        ["MessageAttribute.1.Value.StringValue"] = "5", ["MessageAttribute.2.Name"] = "b", ["MessageAttribute.2.Value.DataType"] = "Binary",
        ["MessageAttribute.2.Value.BinaryValue"] = t.base64("\0\1"), ["MessageSystemAttribute.1.Name"] = "AWSTraceHeader",
        ["MessageSystemAttribute.1.Value.DataType"] = "String", ["MessageSystemAttribute.1.Value.StringValue"] = "Root=1" },
        { target = "/000000000000/q" })
      assert.matches("<MD5OfMessageBody>" .. t.md5("a<b>\r\n&"), sent)
      assert.matches("<MD5OfMessageAttributes>%x+</MD5OfMessageAttributes>", sent)
      local got = sqs("ReceiveMessage", { QueueUrl = "http://any/000000000000/q/", MaxNumberOfMessages = 10, ["AttributeName.1"] = "All",
        ["MessageAttributeName.1"] = "All", VisibilityTimeout = 5 })
      assert.matches("<Message><MessageId>" .. sent:match("<MessageId>(.-)</MessageId>"):gsub("%p", "%%%0"), got)
      assert.matches("<Body>a&lt;b&gt;&#13;\n&amp;</Body>", got)
      assert.matches("<Attribute><Name>ApproximateReceiveCount</Name><Value>1</Value></Attribute>", got)
      assert.matches("<Attribute><Name>AWSTraceHeader</Name><Value>Root=1</Value></Attribute>", got)
      assert.matches("<MessageAttribute><Name>n</Name><Value>.-<StringValue>5</StringValue>.-</Value></MessageAttribute>", got)
      assert.matches("<BinaryValue>AAE=</BinaryValue>", got)
      local handle = got:match("<ReceiptHandle>(.-)</ReceiptHandle>")
      sqs("ChangeMessageVisibility", { QueueUrl = "q", ReceiptHandle = handle, VisibilityTimeout = 60 })
      assert.equal('<?xml version="1.0"?>\n<DeleteMessageResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><ResponseMetadata>' ..
        "<RequestId>req-1</RequestId></ResponseMetadata></DeleteMessageResponse>", sqs("DeleteMessage", { QueueUrl = "q", ReceiptHandle = handle }))
    end)

    it("runs batches, each entry's fate in its element and with its old code", function()
      sqs("CreateQueue", { QueueName = "q" })
      local P = "SendMessageBatchRequestEntry."
      local body = sqs("SendMessageBatch", { QueueUrl = "q", [P .. "2.Id"] = "two", [P .. "2.MessageBody"] = "2", [P .. "10.Id"] = "ten",
        [P .. "10.MessageBody"] = "10", [P .. "10.MessageAttribute.1.Name"] = "n", [P .. "10.MessageAttribute.1.Value.DataType"] = "String",
        [P .. "10.MessageAttribute.1.Value.StringValue"] = "x", [P .. "11.Id"] = "bad", [P .. "11.MessageBody"] = "" })
      assert.matches("<SendMessageBatchResultEntry><Id>two</Id>.-<SendMessageBatchResultEntry><Id>ten</Id>.-<MD5OfMessageAttributes>", body)
      assert.matches("<BatchResultErrorEntry><Id>bad</Id><SenderFault>true</SenderFault><Code>MissingParameter</Code>", body)
      local handles = {}
      for h in sqs("ReceiveMessage", { QueueUrl = "q", MaxNumberOfMessages = 10 }):gmatch("<ReceiptHandle>(.-)<") do handles[#handles + 1] = h end
      assert.equal(2, #handles)
      P = "ChangeMessageVisibilityBatchRequestEntry."
      body = sqs("ChangeMessageVisibilityBatch", { QueueUrl = "q", [P .. "1.Id"] = "a", [P .. "1.ReceiptHandle"] = handles[1], [P .. "1.VisibilityTimeout"] = 0 })
      assert.matches("<ChangeMessageVisibilityBatchResultEntry><Id>a</Id></ChangeMessageVisibilityBatchResultEntry>", body)
      body = sqs("ChangeMessageVisibilityBatch", { QueueUrl = "q", [P .. "1.Id"] = "a", [P .. "1.ReceiptHandle"] = handles[1], [P .. "1.VisibilityTimeout"] = 0 })
      assert.matches("<Code>AWS.SimpleQueueService.MessageNotInflight</Code>", body)
      P = "DeleteMessageBatchRequestEntry."
      body = sqs("DeleteMessageBatch", { QueueUrl = "q", [P .. "1.Id"] = "a", [P .. "1.ReceiptHandle"] = handles[2] })
      assert.matches("<DeleteMessageBatchResultEntry><Id>a</Id></DeleteMessageBatchResultEntry>", body)
    end)

    it("does the rest too", function()
      local arn = "arn:aws:sqs:us-east-1:000000000000:"
      sqs("CreateQueue", { QueueName = "dead" })
      sqs("CreateQueue", { QueueName = "q", ["Attribute.1.Name"] = "RedrivePolicy",
        ["Attribute.1.Value"] = '{"deadLetterTargetArn":"' .. arn .. 'dead","maxReceiveCount":"3"}' })
      assert.matches("<ListDeadLetterSourceQueuesResult><QueueUrl>[^<]*/q</QueueUrl>", sqs("ListDeadLetterSourceQueues", { QueueUrl = "dead" }))
      local handle = sqs("StartMessageMoveTask", { SourceArn = arn .. "dead", MaxNumberOfMessagesPerSecond = 1 }):match("<TaskHandle>(.-)<")
      assert.matches("<ListMessageMoveTasksResultEntry><TaskHandle>.-<ApproximateNumberOfMessagesMoved>0</", sqs("ListMessageMoveTasks", { SourceArn = arn .. "dead" }))
      assert.matches("<ApproximateNumberOfMessagesMoved>0<", sqs("CancelMessageMoveTask", { TaskHandle = handle }))
      sqs("TagQueue", { QueueUrl = "q", ["Tag.1.Key"] = "k", ["Tag.1.Value"] = "v" })
      sqs("UntagQueue", { QueueUrl = "q", ["TagKey.1"] = "k" })
      sqs("SetQueueAttributes", { QueueUrl = "q", ["Attribute.1.Name"] = "DelaySeconds", ["Attribute.1.Value"] = "1" })
      sqs("PurgeQueue", { QueueUrl = "q" })
      sqs("DeleteQueue", { QueueUrl = "q" })
      refused("sqs", "AWS.SimpleQueueService.NonExistentQueue", "GetQueueUrl", { QueueName = "q" })
    end)

    it("answers a request in the query string alike", function()
      local status, _, body = e:face { method = "GET", target = "/?Action=CreateQueue&QueueName=q&Version=2012-11-05", sign = "sqs",
        headers = { Host = "h" } }
      assert.equal(200, status, body)
      assert.matches("<QueueUrl>http://h/000000000000/q</QueueUrl>", body)
    end)

    it("names errors as it always did", function()
      sqs("CreateQueue", { QueueName = "q" })
      local body, status = refused("sqs", "AWS.SimpleQueueService.NonExistentQueue", "SendMessage", { QueueUrl = "none", MessageBody = "x" })
      assert.matches('^<%?xml version="1.0"%?>\n<ErrorResponse xmlns="http://queue.amazonaws.com/doc/2012%-11%-05/"><Error>', body)
      assert.equal(400, status)
      refused("sqs", "QueueAlreadyExists", "CreateQueue", { QueueName = "q", ["Attribute.1.Name"] = "DelaySeconds", ["Attribute.1.Value"] = "1" })
      refused("sqs", "ReceiptHandleIsInvalid", "DeleteMessage", { QueueUrl = "q", ReceiptHandle = "x" })
      refused("sqs", "AWS.SimpleQueueService.EmptyBatchRequest", "SendMessageBatch", { QueueUrl = "q" })
      refused("sqs", "MissingParameter", "SendMessage", { QueueUrl = "q" })
      refused("sqs", "InvalidAction", "NoSuchThing")
      refused("sqs", "MissingAction", nil)
      refused("sqs", "NoSuchVersion", "ListQueues", { Version = "1999-01-01" })
      assert.matches("<ListQueuesResult>", (sqs("ListQueues", { Nonsense = "<x>" })), 1, true) -- parameters that it does not know are none of its business
    end)

    it("refuses names that make no sense", function()
      for _, bad in ipairs { { ["A..B"] = "x" }, { [("a."):rep(20) .. "b"] = "x" }, { A = "1", ["A.b"] = "2" }, { ["AttributeName.x"] = "All" },
        { ["AttributeName.0"] = "All" }, { AttributeName = "All" }, { QueueUrl = "\xff" } } do
        refused("sqs", "MalformedQueryString", "GetQueueAttributes", bad)
      end
      refused("sqs", "MissingParameter", "CreateQueue", { QueueName = "q", ["Attribute.1.Name"] = "DelaySeconds" })
      local many = {}
      for i = 1, 2001 do many["a" .. i] = "x" end
      refused("sqs", "MalformedQueryString", "GetQueueAttributes", many)
    end)
  end)

  it("tells who calls", function()
    local status, _, body = ask("sts", "GetCallerIdentity")
    assert.equal(200, status)
    assert.equal('<?xml version="1.0"?>\n<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>' ..
      "<UserId>000000000000</UserId><Account>000000000000</Account><Arn>arn:aws:iam::000000000000:root</Arn></GetCallerIdentityResult>" ..
      "<ResponseMetadata><RequestId>req-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>", body)
    refused("sts", "InvalidAction", "AssumeRole")
  end)

  describe("of SES", function()
    local function ses(action, params)
      local status, _, body = ask("ses", action, params)
      assert.equal(200, status, body)
      return body:match("^.*<" .. action .. "Result>(.*)</" .. action .. "Result>")
    end
    local function mails() return json.decode(e:mailbox()).Messages end

    it("sends simple mail", function()
      local id = ses("SendEmail", { Source = "shop@example.com", ["Destination.ToAddresses.member.1"] = "a@example.com",
        ["Destination.CcAddresses.member.1"] = "c@example.com", ["Message.Subject.Data"] = "Ñandú", ["Message.Subject.Charset"] = "UTF-8",
        ["Message.Body.Text.Data"] = "text", ["Message.Body.Html.Data"] = "<p>", ["ReplyToAddresses.member.1"] = "r@example.com" })
      local m = mails()[1]
      assert.equal("<MessageId>" .. m.MessageId .. "</MessageId>", id)
      assert.same({ "Ñandú", { "a@example.com", "c@example.com" } }, { m.Subject, m.Destination })
      assert.matches("Subject: =%?UTF%-8%?B%?", m.Raw)
      assert.matches("Reply%-To: r@example.com", m.Raw)
    end)

    it("sends raw mail, to its own recipients or those told", function()
      local raw = "From: shop@example.com\r\nTo: a@example.com\r\nSubject: s\r\n\r\nbody"
      ses("SendRawEmail", { ["RawMessage.Data"] = t.base64(raw) })
      ses("SendRawEmail", { ["RawMessage.Data"] = t.base64(raw), Source = "x@example.com", ["Destinations.member.1"] = "b@example.com" })
      local m = mails()
      assert.same({ { "a@example.com" }, "shop@example.com", raw }, { m[1].Destination, m[1].Source, m[1].Raw })
      assert.same({ { "b@example.com" }, "x@example.com" }, { m[2].Destination, m[2].Source })
    end)

    it("keeps identities", function()
      ses("VerifyEmailIdentity", { EmailAddress = "a@example.com" })
      ses("VerifyEmailIdentity", { EmailAddress = "a@example.com" })
      assert(e:call("ses", "CreateEmailIdentity", '{"EmailIdentity":"example.org"}'))
      assert.equal("<Identities><member>a@example.com</member><member>example.org</member></Identities>", ses("ListIdentities"))
      assert.equal("<Identities><member>example.org</member></Identities>", ses("ListIdentities", { IdentityType = "Domain" }))
      assert.equal("<VerificationAttributes><entry><key>a@example.com</key><value><VerificationStatus>Success</VerificationStatus></value></entry></VerificationAttributes>",
        ses("GetIdentityVerificationAttributes", { ["Identities.member.1"] = "none@example.com", ["Identities.member.2"] = "a@example.com" }))
      for _ = 1, 2 do ses("DeleteIdentity", { Identity = "a@example.com" }) end
      assert.equal("<Identities><member>example.org</member></Identities>", ses("ListIdentities"))
      assert.matches("<SentLast24Hours>0.0</SentLast24Hours><Max24HourSend>%-1.0</Max24HourSend>", ses("GetSendQuota"))
    end)

    it("refuses what it does not know, and bad addresses", function()
      refused("ses", "InvalidAction", "SendTemplatedEmail")
      refused("ses", "InvalidParameterValue", "SendEmail", { Source = "shop@example.com" })
      refused("ses", "InvalidParameterValue", "SendEmail", { Source = "no", ["Destination.ToAddresses.member.1"] = "a@example.com",
        ["Message.Subject.Data"] = "s", ["Message.Body.Text.Data"] = "t" })
      assert.matches("ReturnPath", (refused("ses", "InvalidParameterValue", "SendRawEmail", { ["RawMessage.Data"] = "eA==", ReturnPath = "x@example.com" })))
      refused("ses", "InvalidParameterValue", "VerifyEmailIdentity", { EmailAddress = "no" })
      refused("ses", "InvalidParameterValue", "ListIdentities", { IdentityType = "x" })
      assert.same({}, mails())
    end)
  end)

  it("unsigned goes by its action to the service that has it", function()
    e:close()
    e = assert(t.open { memory = true, no_verify = true })
    local function plain(action, more, path)
      local params = more or {}
      params.Action = action
      return e:face { method = "POST", target = path or "/", body = form(params),
        headers = { Host = "localhost:4566", ["Content-Type"] = "application/x-www-form-urlencoded" } }
    end
    local function get(target) return e:face { method = "GET", target = target, headers = { Host = "localhost:4566" } } end
    local status, _, body = plain("CreateQueue", { QueueName = "q" })
    assert.equal(200, status, body)
    assert.matches("<QueueUrl>http://localhost:4566/000000000000/q</QueueUrl>", body)
    assert.equal(200, (plain("SendMessage", { MessageBody = "m" }, "/000000000000/q")))
    assert.matches("<Body>m</Body>", (select(3, get("/000000000000/q?Action=ReceiveMessage"))))
    assert.matches("<QueueUrl>", (select(3, get("/?Action=ListQueues"))))
    assert.equal(200, (plain("VerifyEmailIdentity", { EmailAddress = "a@b.test" })))
    assert.matches("<member>a@b.test</member>", (select(3, plain("ListIdentities"))))
    assert.matches("<Account>000000000000</Account>", (select(3, plain("GetCallerIdentity"))))
    assert.matches("sts%.amazonaws%.com.*<Code>InvalidAction</Code>", (select(3, plain("Frobnicate"))))
    assert.matches("<Code>NoSuchBucket</Code>", (select(3, get("/bkt/key"))))
  end)
end)
