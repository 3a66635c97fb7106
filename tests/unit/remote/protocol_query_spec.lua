local t = require "t.protocol"
local json = require "dkjson"

local function body(service, action, params)
    local r, err = t.encode { service = service, action = action, params = params }
    assert(r, err and err.message)
    return r.body, r
end

local function answered(service, action, status, answer, headers)
    return t.decode { service = service, action = action, status = status, answer = answer, headers = headers }
end

local function result(action, inside) -- of SNS
    local r = answered("sns", action, 200, ("<%sResponse xmlns='u'><%sResult>%s</%sResult><ResponseMetadata><RequestId>Q</RequestId></ResponseMetadata></%sResponse>")
        :format(action, action, inside, action, action))
    assert.is_nil(r.err, r.err and r.err.message)
    assert.equal("Q", r.request_id)
    return json.decode(r.result)
end

describe("a Query request", function()
    it("is a form with action and version", function()
        local form, r = body("sts", "GetCallerIdentity", "{}")
        assert.equal("Action=GetCallerIdentity&Version=2011-06-15", form)
        assert.same({ "POST", "/", "", t.sha256(form) }, { r.method, r.path, r.query, r.sha256 })
        assert.same({ ["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8" }, r.headers)
    end)

    it("encodes texts, numbers, booleans; leaves out what is null", function()
        assert.equal("Action=Publish&Version=2010-03-31&Message=a%20%26%20%C3%A9%3D%2B%2F~&N=1.50&T=true&F=false",
            (body("sns", "Publish", '{"Message":"a & é=+/~","N":1.50,"T":true,"F":false,"X":null}')))
    end)

    it("flattens lists, structures and maps", function()
        assert.equal("Action=AssumeRole&Version=2011-06-15&Tags.member.1.Key=a&Tags.member.1.Value=b&Tags.member.2.Key=c&P.member.1.member.1=1&P.member.1.member.2=2&E=",
            (body("sts", "AssumeRole", '{"Tags":[{"Key":"a","Value":"b"},{"Key":"c"}],"P":[[1,2]],"E":[]}')))
        assert.equal("Action=Publish&Version=2010-03-31&MessageAttributes.entry.1.Name=k&MessageAttributes.entry.1.Value.DataType=String",
            (body("sns", "Publish", '{"MessageAttributes":{"k":{"DataType":"String"}}}')))
        assert.equal("Action=CreateTopic&Version=2010-03-31&Attributes.entry.1.key=a.b&Attributes.entry.1.value=1&Attributes.entry.2.key=c&Attributes.entry.2.value=2",
            (body("sns", "CreateTopic", '{"Attributes":{"a.b":"1","c":"2"}}')))
    end)

    it("encodes names, so that none can add a parameter", function()
        assert.equal("Action=Publish&Version=2010-03-31&a%26Action%3DX=1", (body("sns", "Publish", '{"a&Action=X":1}')))
    end)

    it("refuses what is nested too deep or named too long", function()
        local r, err = t.encode { service = "sns", action = "Publish", params = ('{"a":'):rep(40) .. "1" .. ("}"):rep(40) }
        assert.is_nil(r)
        assert.matches("nested more than 32 deep at a.a.a", err.message)
        r, err = t.encode { service = "sns", action = "Publish", params = '{"' .. ("n"):rep(2000) .. '":1}' }
        assert.is_nil(r)
        assert.matches("longer than 1024 characters", err.message)
    end)
end)

describe("a Query answer", function()
    it("becomes texts, objects, lists and maps", function()
        assert.same({ MessageId = "m", SequenceNumber = "" }, result("Publish", "<MessageId>m</MessageId><SequenceNumber/>"))
        assert.same({ Topics = { { TopicArn = "a" }, { TopicArn = "b" } }, NextToken = "t" },
            result("ListTopics", "<Topics><member><TopicArn>a</TopicArn></member><member><TopicArn>b</TopicArn></member></Topics><NextToken>t</NextToken>"))
        assert.same({ Topics = { { TopicArn = "a" } } }, result("ListTopics", "<Topics><member><TopicArn>a</TopicArn></member></Topics>"))
        assert.same({ Attributes = { a = "1", b = "" } },
            result("GetTopicAttributes", "<Attributes><entry><key>a</key><value>1</value></entry><entry><key>b</key><value/></entry></Attributes>"))
        assert.same({ Row = { "1", "2", { A = "3" } }, One = "x" }, result("Publish", "<Row>1</Row><Row>2</Row><Row><A>3</A></Row><One>x</One>"))
        assert.same({ entry = "1" }, { entry = result("GetTopicAttributes", "<M><entry><key>a</key></entry><entry>x</entry></M><entry>1</entry>").entry })
    end)

    it("gives who we are, as the engine does", function()
        local r = answered("sts", "GetCallerIdentity", 200, [[<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
          <GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/Alice</Arn><UserId>AIDA</UserId><Account>123456789012</Account></GetCallerIdentityResult>
          <ResponseMetadata><RequestId>R-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>]])
        assert.same({ Arn = "arn:aws:iam::123456789012:user/Alice", UserId = "AIDA", Account = "123456789012" }, json.decode(r.result))
        assert.equal("R-1", r.request_id)
    end)

    it("without a result is an empty object", function()
        assert.equal("{}", answered("sns", "DeleteTopic", 200, "<DeleteTopicResponse><ResponseMetadata/></DeleteTopicResponse>").result)
        assert.equal("{}", answered("sns", "DeleteTopic", 200, "<DeleteTopicResponse><DeleteTopicResult/></DeleteTopicResponse>").result)
    end)

    it("that is none is a bad answer", function()
        for answer, why in pairs { [""] = "is no XML", ["{}"] = "is no XML", ["<PublishResponse>"] = "is no XML",
            ["<html><body/></html>"] = "is <html>, not <PublishResponse>", ["<!DOCTYPE a><a/>"] = "DOCTYPE" } do
            local r = answered("sns", "Publish", 200, answer)
            assert.same({ "InvalidServiceResponse", true }, { r.err.code, r.err.retryable })
            assert.matches(why, r.err.message)
        end
    end)
end)

describe("a Query error", function()
    local function failed(status, answer, headers)
        local r = answered("sts", "AssumeRole", status, answer, headers)
        assert.is_truthy(r.err)
        return r.err, r
    end
    it("has its code, message and request id", function()
        local err, r = failed(403, "<ErrorResponse xmlns='u'><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized</Message></Error><RequestId>Q</RequestId></ErrorResponse>")
        assert.same({ "AccessDenied", 403, "not authorized", false }, { err.name, err.status, err.message, err.retryable })
        assert.equal("Q", r.request_id)
        err = failed(400, "<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>")
        assert.same({ "Throttling", true }, { err.name, err.retryable })
        err = failed(400, "<Response><Errors><Error><Code>Foo</Code><Message>m</Message></Error></Errors><RequestID>x</RequestID></Response>")
        assert.equal("Foo", err.name)
    end)

    it("that cannot be read is named from its status", function()
        for _, body_text in ipairs { "", "<ErrorResponse>", "<html/>", "{}", "\0", ("<a>"):rep(100) } do
            local err = failed(503, body_text)
            assert.same({ "ServiceUnavailable", 503, true }, { err.name, err.status, err.retryable })
            err = failed(400, body_text)
            assert.same({ "InvalidServiceResponse", 400, false }, { err.name, err.status, err.retryable })
        end
    end)
end)
