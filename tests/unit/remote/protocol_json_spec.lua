local t = require "t.protocol"
local json = require "dkjson"

local function call(service, action, params, more)
    local c = { service = service, action = action, params = type(params) == "table" and json.encode(params) or params }
    for k, v in pairs(more or {}) do c[k] = c[k] or v end
    return c
end

local function encoded(service, action, params)
    local r, err = t.encode(call(service, action, params))
    assert(r, err and err.message)
    return r
end

local function answered(service, action, status, answer, more)
    more = more or {}
    more.status, more.answer = status, answer
    return t.decode(call(service, action, more.params, more))
end

local function result(...) -- of a success, decoded
    local r = answered(...)
    assert.is_nil(r.err, r.err and r.err.message)
    return json.decode(r.result)
end

local function failed(...)
    local r = answered(...)
    assert.is_truthy(r.err)
    return r.err, json.decode(r.result), r
end

describe("a JSON request", function()
    it("is a POST of the parameters, with the operation in a header", function()
        local r = encoded("dynamodb", "PutItem", '{"TableName":"T","Item":{"n":{"N":"12345678901234567890.5"}},"x":1.50}')
        assert.same({ "POST", "/", "", "", false }, { r.method, r.path, r.query, r.bucket, r.has_body_file })
        assert.same({ ["Content-Type"] = "application/x-amz-json-1.0", ["X-Amz-Target"] = "DynamoDB_20120810.PutItem" }, r.headers)
        assert.equal('{"TableName":"T","Item":{"n":{"N":"12345678901234567890.5"}},"x":1.50}', r.body)
        assert.equal(t.sha256(r.body), r.sha256)
    end)

    it("of SQS asks for the query protocol's error codes", function()
        assert.same({ ["Content-Type"] = "application/x-amz-json-1.0", ["X-Amz-Target"] = "AmazonSQS.SendMessage", ["x-amzn-query-mode"] = "true" },
            encoded("sqs", "SendMessage", "{}").headers)
    end)

    it("can be any operation of any JSON service", function()
        assert.same({ ["Content-Type"] = "application/x-amz-json-1.1", ["X-Amz-Target"] = "TrentService.Encrypt" }, encoded("kms", "Encrypt", "{}").headers)
        assert.equal("secretsmanager.GetSecretValue", encoded("secretsmanager", "GetSecretValue").headers["X-Amz-Target"])
        assert.equal("{}", encoded("events", "PutEvents").body)
    end)

    it("cannot smuggle a header through the operation's name", function()
        for _, action in ipairs { "Get\r\nX-Evil: 1", "a b", "", "A/B", ("A"):rep(129), "Gét" } do
            local r, err = t.encode(call("kms", action, "{}"))
            assert.is_nil(r)
            assert.equal("UnknownOperationException", err.name)
        end
    end)

    it("needs an object", function()
        local r, err = t.encode(call("kms", "Encrypt", "[1]"))
        assert.is_nil(r)
        assert.matches("are array, not an object", err.message)
    end)
end)

describe("an idempotency token", function()
    local uuid = "^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$"
    it("is made where it is missing, and kept in the parameters for the next try", function()
        local r = encoded("dynamodb", "TransactWriteItems", { TransactItems = { 1 } })
        local token = json.decode(r.body).ClientRequestToken
        assert.matches(uuid, token)
        assert.equal(r.body, r.params)
        assert.equal(token, json.decode(encoded("dynamodb", "TransactWriteItems", r.params).body).ClientRequestToken)
        assert.not_equal(token, json.decode(encoded("dynamodb", "TransactWriteItems", { TransactItems = { 1 } }).body).ClientRequestToken)
    end)

    it("of the caller's own is kept; null counts as missing", function()
        assert.equal("mine", json.decode(encoded("dynamodb", "TransactWriteItems", '{"ClientRequestToken":"mine"}').body).ClientRequestToken)
        assert.matches(uuid, json.decode(encoded("dynamodb", "TransactWriteItems", '{"ClientRequestToken":null}').body).ClientRequestToken)
    end)

    it("is made for operations of other services that want one", function()
        assert.matches(uuid, json.decode(encoded("secretsmanager", "CreateSecret", "{}").body).ClientRequestToken)
        assert.matches("&OperationId=%x+%-", encoded("cloudformation", "UpdateStackSet", "{}").body)
        assert.equal("{}", encoded("dynamodb", "TransactGetItems", "{}").body)
        assert.equal("{}", encoded("secretsmanager", "GetSecretValue", "{}").body)
    end)
end)

describe("a JSON answer", function()
    it("becomes the result, numbers and all", function()
        local r = answered("dynamodb", "GetItem", 200, '{"Item":{"n":{"N":"1"}},"Count":12345678901234567890,"x":1.50}', { headers = { ["x-amzn-RequestId"] = "ID1" } })
        assert.equal('{"Item":{"n":{"N":"1"}},"Count":12345678901234567890,"x":1.50}', r.result)
        assert.equal("ID1", r.request_id)
    end)

    it("that is empty is an empty object", function()
        assert.equal("{}", answered("sqs", "DeleteMessage", 200, "").result)
        assert.equal("{}", answered("sqs", "DeleteMessage", 200, "{}").result)
        assert.equal("{}", answered("kms", "EnableKey", 200, "").result)
    end)

    it("drops members that are null", function()
        assert.same({ a = 1 }, result("sqs", "ListQueues", 200, '{"NextToken":null,"a":1}'))
    end)

    it("may nest as deep as DynamoDB's values do", function()
        local deep = '{"Responses":{"T":[{"a":' .. ('{"L":['):rep(32) .. '{"S":"x"}' .. ("]}"):rep(32) .. "}]}}"
        assert.equal(deep, answered("dynamodb", "BatchGetItem", 200, deep).result)
        local maps = '{"Item":{"a":' .. ('{"M":{"k":'):rep(32) .. '{"S":"x"}' .. ("}}"):rep(32) .. "}}"
        assert.equal(maps, answered("dynamodb", "GetItem", 200, maps).result)
        assert.equal("InvalidServiceResponse", failed("dynamodb", "GetItem", 200, ("["):rep(200)).name)
    end)
end)

describe("an answer that is not what the protocol promises", function()
    local function bad(answer, more)
        local err, res = failed("dynamodb", "GetItem", 200, answer, more)
        assert.same({ "InvalidServiceResponse", "InvalidServiceResponse", true, false }, { err.code, err.name, err.retryable, err.of_service })
        assert.same({}, res)
        return err.message
    end
    it("is a bad answer that may be asked for again", function()
        assert.matches("^the answer to dynamodb.GetItem is no JSON object %(.*line 1", bad '{"Item":{"a":')
        assert.matches("it is array, not an object", bad "[1]")
        assert.matches("no JSON object", bad "<html><body>Welcome to the hotel</body></html>")
        assert.matches("no JSON object", bad "\0\xff")
        assert.matches("no JSON object", bad "null")
        assert.matches("duplicate key", bad '{"a":1,"a":2}')
    end)

    it("is noticed by its CRC-32", function()
        local body = '{"Item":{"a":{"S":"x"}}}'
        assert.equal(body, answered("dynamodb", "GetItem", 200, body, { headers = { ["x-amz-crc32"] = tostring(t.crc32(body)) } }).result)
        assert.matches("is damaged: its CRC%-32 is " .. t.crc32(body) .. ", the header x%-amz%-crc32 says 7",
            bad(body, { headers = { ["X-Amz-Crc32"] = "7" } }))
        assert.matches("is damaged", bad(body, { headers = { ["x-amz-crc32"] = "nonsense" } }))
        assert.equal("InvalidServiceResponse", failed("dynamodb", "GetItem", 400, body, { headers = { ["x-amz-crc32"] = "7" } }).name)
        assert.same({ a = 1 }, result("kms", "Encrypt", 200, '{"a":1}', { headers = { ["x-amz-crc32"] = "7" } })) -- DynamoDB's only
    end)
end)

describe("a JSON error", function()
    it("is named by __type, without its namespace, and mapped to the engine's", function()
        for sent, name in pairs {
            ["com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"] = "ConditionalCheckFailedException",
            ["com.amazon.coral.validate#ValidationException"] = "ValidationException",
            ["ResourceNotFoundException"] = "ResourceNotFoundException",
            ["a.b#ThrottlingException:http://internal.amazon.com/coral/x/"] = "ThrottlingException",
            ["a#b#ResourceInUseException"] = "ResourceInUseException",
        } do
            local err = failed("dynamodb", "PutItem", 400, json.encode { __type = sent, message = "m" })
            assert.same({ name, name, "m", 400 }, { err.code, err.name, err.message, err.status })
        end
    end)

    it("may be named in a header, or in code", function()
        assert.equal("NotFoundException", failed("kms", "Encrypt", 400, "{}", { headers = { ["X-Amzn-ErrorType"] = "NotFoundException:http://x/" } }).name)
        assert.equal("Foo", failed("kms", "Encrypt", 400, '{"code":"a#Foo","Message":"big"}').name)
        assert.equal("Bar", failed("kms", "Encrypt", 400, '{"Code":"Bar"}').name)
        assert.equal("big", failed("kms", "Encrypt", 400, '{"code":"a#Foo","Message":"big"}').message)
    end)

    it("that the engine does not know keeps its name and status", function()
        local err = failed("kms", "Encrypt", 400, '{"__type":"KMSInvalidStateException","message":"is disabled"}')
        assert.same({ "ServiceError", "KMSInvalidStateException", 400, false }, { err.code, err.name, err.status, err.retryable })
    end)

    it("carries the error's further members", function()
        local _, res = failed("dynamodb", "PutItem", 400, '{"__type":"x#ConditionalCheckFailedException","message":"m","Item":{"a":{"S":"x"}},"n":null}')
        assert.same({ Item = { a = { S = "x" } } }, res)
    end)

    it("tells why a transaction was cancelled, as the engine does", function()
        local err, res = failed("dynamodb", "TransactWriteItems", 400, [[{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "CancellationReasons":[{"Code":"None","Message":null},{"Code":"ConditionalCheckFailed","Message":"The conditional request failed","Item":{"a":{"S":"x"}}}],
            "Message":"Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed]"}]])
        assert.equal("TransactionCanceledException", err.code)
        assert.matches("%[None, ConditionalCheckFailed%]", err.message)
        assert.is_false(err.retryable)
        assert.same({ CancellationReasons = { { Code = "None" },
            { Code = "ConditionalCheckFailed", Message = "The conditional request failed", Item = { a = { S = "x" } } } } }, res)
    end)

    it("says whether trying again later can help", function()
        local function retryable(name, status, body)
            return failed("dynamodb", "PutItem", status, body or json.encode { __type = name }).retryable
        end
        for _, name in ipairs { "ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded", "InternalServerError",
            "TransactionConflictException", "TransactionInProgressException", "ServiceUnavailable", "ExpiredTokenException" } do
            assert.is_true(retryable(name, 400), name)
        end
        for _, name in ipairs { "ValidationException", "ConditionalCheckFailedException", "ResourceNotFoundException", "AccessDeniedException",
            "UnrecognizedClientException", "InvalidSignatureException", "Whatever" } do
            assert.is_false(retryable(name, 400), name)
        end
        for _, status in ipairs { 500, 502, 503, 504, 429, 599 } do assert.is_true(retryable(nil, status, "")) end
        for _, status in ipairs { 400, 401, 403, 404, 413, 301, 501 } do assert.is_false(retryable(nil, status, ""), status) end
        local function reasons(...)
            local list = {}
            for i, code in ipairs { ... } do list[i] = { Code = code } end
            return json.encode { __type = "TransactionCanceledException", CancellationReasons = list }
        end
        assert.is_true(retryable(nil, 400, reasons("None", "TransactionConflict")))
        assert.is_true(retryable(nil, 400, reasons("ThrottlingError", "ProvisionedThroughputExceeded")))
        assert.is_false(retryable(nil, 400, reasons("TransactionConflict", "ConditionalCheckFailed")))
        assert.is_false(retryable(nil, 400, reasons("None")))
    end)

    it("that is no JSON is named from its status and quoted", function()
        local err = failed("dynamodb", "PutItem", 503, "<html>\n<h1>503 Service Temporarily Unavailable</h1>\xff\0</html>")
        assert.same({ "ServiceUnavailable", 503, true }, { err.name, err.status, err.retryable })
        assert.equal("dynamodb answered 503 Service Unavailable with a body that is no JSON object: " ..
            "<html> <h1>503 Service Temporarily Unavailable</h1>? </html>", err.message)
        err = failed("dynamodb", "PutItem", 404, "<html>nothing here</html>")
        assert.same({ "InvalidServiceResponse", 404, false }, { err.name, err.status, err.retryable })
        err = failed("dynamodb", "PutItem", 400, '{"__type":"ValidationEx') -- truncated
        assert.same({ "InvalidServiceResponse", false }, { err.name, err.retryable })
        err = failed("dynamodb", "PutItem", 500, "")
        assert.same({ "InternalServerError", "dynamodb answered 500 Internal Server Error" }, { err.name, err.message })
        err = failed("dynamodb", "PutItem", 403, "")
        assert.equal("AccessDeniedException", err.code)
    end)

    it("of 17 MB is cut, not refused; one of 10 MB is read", function()
        local err = failed("dynamodb", "PutItem", 500, '{"message":"' .. ("x"):rep(17 << 20) .. '"}')
        assert.same({ "InternalServerError", 500, true }, { err.name, err.status, err.retryable })
        assert.is_true(#err.message < 1024)
        err = failed("dynamodb", "PutItem", 400, '{"message":"' .. ("é"):rep(5 << 20) .. '","__type":"ValidationException"}')
        assert.equal("ValidationException", err.name)
        assert.is_truthy(utf8.len(err.message))
    end)

    it("never tells what was signed", function()
        local secret = "The request signature we calculated does not match the signature you provided.\n\nThe Canonical String for this request " ..
            "should have been\n'POST\n/\n\nx-amz-security-token:SECRETTOKEN\n'"
        local err = failed("dynamodb", "PutItem", 400, json.encode { __type = "com.amazon.coral.service#InvalidSignatureException", message = secret })
        assert.equal("The request signature we calculated does not match the signature you provided.", err.message)
        err = failed("sqs", "SendMessage", 400, json.encode { __type = "IncompleteSignatureException", message = "x must hold Authorization=AWS4 Credential=AKID" })
        assert.is_nil(err.message:find "AKID")
    end)

    it("with a name that is none is named from its status", function()
        for _, name in ipairs { "", "a b", "x\ny", "é", "#", ":x" } do
            assert.equal("InternalServerError", failed("dynamodb", "PutItem", 500, json.encode { __type = name, message = "m" }).name)
        end
        assert.equal(63, #failed("dynamodb", "PutItem", 500, json.encode { __type = ("A"):rep(100) }).name)
        assert.equal("InternalServerError", failed("dynamodb", "PutItem", 500, '{"__type":7,"message":{"a":1}}').name)
    end)

    it("has ids that fit and cannot harm a log", function()
        local _, _, r = failed("dynamodb", "PutItem", 500, "", { headers = { ["x-amzn-requestid"] = ("R\n"):rep(100), ["x-amz-id-2"] = "a\0b" } })
        assert.is_true(#r.request_id < 72)
        assert.is_nil(r.request_id:find "%c")
        assert.equal("a b", r.extended_id)
    end)
end)

describe("SQS", function()
    local function md5(s) return t.md5(s) end
    local function attributes_md5(...) -- name, type, kind, value, ...
        local list, out = { ... }, {}
        for i = 1, #list, 4 do
            out[#out + 1] = string.pack(">s4s4", list[i], list[i + 1]) .. string.char(list[i + 2]) .. string.pack(">s4", list[i + 3])
        end
        return md5(table.concat(out))
    end

    it("keeps both names of an error: its own, as the engine has it, and the query protocol's", function()
        local err, res = failed("sqs", "SendMessage", 400, '{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}',
            { headers = { ["x-amzn-query-error"] = "AWS.SimpleQueueService.NonExistentQueue;Sender" } })
        assert.same({ "QueueDoesNotExist", "QueueDoesNotExist" }, { err.code, err.name })
        assert.same({ query_code = "AWS.SimpleQueueService.NonExistentQueue" }, res)
    end)

    it("knows the query protocol's names where only those are sent", function()
        for sent, name in pairs {
            ["AWS.SimpleQueueService.NonExistentQueue"] = "QueueDoesNotExist", NonExistentQueue = "QueueDoesNotExist", QueueAlreadyExists = "QueueNameExists",
            ["AWS.SimpleQueueService.PurgeQueueInProgress"] = "PurgeQueueInProgress", ["AWS.SimpleQueueService.EmptyBatchRequest"] = "EmptyBatchRequest",
            ReceiptHandleIsInvalid = "ReceiptHandleIsInvalid",
        } do
            assert.equal(name, failed("sqs", "SendMessage", 400, "", { headers = { ["x-amzn-query-error"] = sent .. ";Sender" } }).code)
            assert.equal(name, failed("sqs", "SendMessage", 400, json.encode { __type = sent }).code)
        end
    end)

    it("checks the sums of what was sent", function()
        local params = { QueueUrl = "q", MessageBody = "hello", MessageAttributes = { b = { DataType = "String.x", StringValue = "v" },
            a = { DataType = "Binary", BinaryValue = "AAEC" }, c = { DataType = "Number", StringValue = "1" } } }
        local sum = attributes_md5("a", "Binary", 2, "\0\1\2", "b", "String.x", 1, "v", "c", "Number", 1, "1")
        local function send(answer) return answered("sqs", "SendMessage", 200, json.encode(answer), { params = params }) end
        assert.is_nil(send { MessageId = "1", MD5OfMessageBody = md5 "hello", MD5OfMessageAttributes = sum }.err)
        assert.is_nil(send { MessageId = "1" }.err)
        local err = send { MessageId = "m-1", MD5OfMessageBody = md5 "hallo" }.err
        assert.same({ "InvalidServiceResponse", true }, { err.code, err.retryable })
        assert.matches("MD5OfMessageBody of m%-1 is not that of the message sent", err.message)
        err = send { MessageId = "1", MD5OfMessageBody = md5 "hello", MD5OfMessageAttributes = md5 "x" }.err
        assert.matches("MD5OfMessageAttributes", err.message)
    end)

    it("checks each entry of a batch that was sent", function()
        local params = { Entries = { { Id = "a", MessageBody = "1" }, { Id = "b", MessageBody = "2" } } }
        local function send(...) return answered("sqs", "SendMessageBatch", 200, json.encode { Successful = { ... } }, { params = params }) end
        assert.is_nil(send({ Id = "b", MD5OfMessageBody = md5 "2" }, { Id = "a", MD5OfMessageBody = md5 "1" }).err)
        assert.matches("MD5OfMessageBody", send({ Id = "b", MD5OfMessageBody = md5 "1" }).err.message)
        assert.matches('an entry that was not sent: "z"', send({ Id = "z" }).err.message)
    end)

    it("checks what was received", function()
        local function receive(message, names)
            return answered("sqs", "ReceiveMessage", 200, json.encode { Messages = { message } }, { params = { MessageAttributeNames = names } })
        end
        local attributes = { k = { DataType = "String", StringValue = "v" } }
        assert.is_nil(receive { Body = "é", MD5OfBody = md5 "é" }.err)
        assert.matches("MD5OfBody of m is not that of the message received", receive { MessageId = "m", Body = "x", MD5OfBody = md5 "y" }.err.message)
        local sum = attributes_md5("k", "String", 1, "v")
        assert.is_nil(receive({ Body = "x", MessageAttributes = attributes, MD5OfMessageAttributes = sum }, { "All" }).err)
        assert.matches("MD5OfMessageAttributes", receive({ Body = "x", MessageAttributes = attributes, MD5OfMessageAttributes = md5 "" }, { "All" }).err.message)
        -- of some attributes it may be the sum of all
        assert.is_nil(receive({ Body = "x", MessageAttributes = attributes, MD5OfMessageAttributes = md5 "" }, { "k" }).err)
    end)

    it("gives lists as the engine does: absent when empty, Successful always there", function()
        assert.same({}, result("sqs", "ReceiveMessage", 200, '{"Messages":[]}'))
        assert.same({}, result("sqs", "ListQueues", 200, '{"QueueUrls":[],"NextToken":null}'))
        assert.equal('{"Successful":[]}', answered("sqs", "DeleteMessageBatch", 200, '{"Failed":[]}').result)
        assert.equal('{"Failed":[{"Id":"a","Code":"QueueDoesNotExist"}],"Successful":[]}',
            answered("sqs", "DeleteMessageBatch", 200, '{"Failed":[{"Id":"a","Code":"AWS.SimpleQueueService.NonExistentQueue"}]}').result)
    end)

    it("takes answers of odd shapes without harm", function()
        for _, answer in ipairs { '{"Messages":{}}', '{"Messages":[1,null,"x",[]]}', '{"Messages":[{"MD5OfBody":1}]}', '{"Successful":[1]}', '{"Failed":7}',
            '{"Messages":[{"Body":"x","MessageAttributes":[1],"MD5OfMessageAttributes":"y"}]}' } do
            for _, action in ipairs { "ReceiveMessage", "SendMessage", "SendMessageBatch", "DeleteMessageBatch" } do
                answered("sqs", action, 200, answer, { params = { Entries = { 1 }, MessageAttributeNames = { "All", 1 } } })
            end
        end
    end)
end)

describe("SESv2", function()
    local mail = { FromEmailAddress = "a@b.c", Destination = { ToAddresses = { "d@e.f" } }, Content = { Simple = { Subject = { Data = "s" } } } }
    it("posts SendEmail as JSON", function()
        local r = encoded("ses", "SendEmail", mail)
        assert.same({ "POST", "/v2/email/outbound-emails", "" }, { r.method, r.path, r.query })
        assert.same({ ["Content-Type"] = "application/json" }, r.headers)
        assert.same(mail, json.decode(r.body))
    end)

    it("has identities and the account behind their own paths", function()
        local rows = { CreateEmailIdentity = { "POST", "/v2/email/identities", '{"EmailIdentity":"a@b.c"}' },
            GetEmailIdentity = { "GET", "/v2/email/identities/a%40b.c", "" },
            DeleteEmailIdentity = { "DELETE", "/v2/email/identities/a%40b.c", "" } }
        for action, want in pairs(rows) do
            local r = encoded("ses", action, { EmailIdentity = "a@b.c" })
            assert.same(want, { r.method, r.path, r.body })
        end
        local r = encoded("ses", "ListEmailIdentities", { PageSize = 5 })
        assert.same({ "POST", "/v2/email/list-identities", '{"PageSize":5}' }, { r.method, r.path, r.body })
        r = encoded("ses", "GetAccount", "{}")
        assert.same({ "GET", "/v2/email/account", "" }, { r.method, r.path, r.body })
        assert.same({}, result("ses", "DeleteEmailIdentity", 200, ""))
        assert.same({ EmailIdentities = {} }, result("ses", "ListEmailIdentities", 200, '{"EmailIdentities":[]}'))
        for action, params in pairs { GetEmailIdentity = "{}", ListEmailIdentities = { Filter = "x" } } do
            local none, err = t.encode(call("ses", action, params))
            assert.is_nil(none)
            assert.equal("BadRequestException", err.name)
        end
    end)

    it("refuses parameters and operations that it has not, by name", function()
        local r, err = t.encode(call("ses", "SendEmail", { Subject = "x" }))
        assert.is_nil(r)
        assert.same({ "BadRequestException", "SendEmail: Subject is unknown or not supported yet" }, { err.name, err.message })
        r, err = t.encode(call("ses", "ListContacts", "{}"))
        assert.is_nil(r)
        assert.equal("UnknownOperationException", err.name)
        assert.matches("it has SendEmail", err.message)
    end)

    it("gives the MessageId; an answer without one is none", function()
        assert.same({ MessageId = "m" }, result("ses", "SendEmail", 200, '{"MessageId":"m"}'))
        for _, answer in ipairs { "{}", "", "<html/>", '{"MessageId":1}' } do
            assert.equal("InvalidServiceResponse", failed("ses", "SendEmail", 200, answer).code)
        end
    end)

    it("reads errors from the header", function()
        local err = failed("ses", "SendEmail", 400, '{"message":"Email address is not verified."}', { headers = { ["x-amzn-ErrorType"] = "MessageRejected" } })
        assert.same({ "MessageRejected", "Email address is not verified.", 400, false }, { err.code, err.message, err.status, err.retryable })
        err = failed("ses", "SendEmail", 429, '{"message":"m"}', { headers = { ["x-amzn-ErrorType"] = "TooManyRequestsException" } })
        assert.same({ "TooManyRequestsException", true }, { err.name, err.retryable })
    end)
end)
