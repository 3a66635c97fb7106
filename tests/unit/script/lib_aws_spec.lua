local lib = assert(package.loadlib("", "luaopen_t_lib"))()

local head = [[
local report, json, aws, core = require "t.report", require "perigee.json", require "perigee.aws", require "perigee.aws.core"
local function sent(service, op, params) -- the parameters as they reached the backend
  local out, err = service[op](service, params)
  if not out then return tostring(err) end
  return out.Params
end
local function marshalled(v) return json.encode(aws.marshal(v)) end
local function fails(f, ...) local ok, m = pcall(f, ...) assert(not ok, "it did not fail") return m end
]]
local function run(chunk)
  local reports, log, err = lib.run(head .. chunk)
  assert(not err, err)
  return reports, log
end

describe("marshalling of DynamoDB values", function()
  it("gives each Lua type its attribute type", function()
    assert.same({
      '{"S":"José"}', '{"N":"9223372036854775807"}', '{"N":"0.1"}', '{"N":"3"}', '{"BOOL":false}', '{"NULL":true}',
      '{"L":[{"S":"a"},{"N":"1"}]}', '{"L":[]}', '{"M":{}}', '{"M":{"k":{"S":"v"}}}', '{"B":"AP8="}', '{"N":"1.50"}',
    }, (run [[
      for _, v in ipairs { "José", math.maxinteger, 0.1, 3.0, false, json.null, { "a", 1 }, json.array {}, {}, { k = "v" },
        aws.binary "\0\255", aws.number "1.50" } do report(marshalled(v)) end]]))
  end)

  it("makes sets of one type", function()
    local r = run [[
      report(marshalled(aws.set { "a", "b" })) report(marshalled(aws.set { 1, 2.5, aws.number "3e40" }))
      report(marshalled(aws.set { aws.binary "x" }))
      report(fails(aws.marshal, aws.set { "a", 1 })) report(fails(aws.set, {}))]]
    assert.same({ '{"SS":["a","b"]}', '{"NS":["1","2.5","3e40"]}', '{"BS":["eA=="]}' }, { table.unpack(r, 1, 3) })
    assert.matches("all strings, all numbers", r[4])
    assert.matches("at least one", r[5])
  end)

  it("refuses what cannot be stored and says where it is", function()
    local r = run [[
      report(fails(aws.marshal, { a = { { b = 0/0 } } })) report(fails(aws.marshal, { a = math.huge }))
      report(fails(aws.marshal, { a = print })) report(fails(aws.marshal, "\255"))
      report(fails(aws.marshal, { 1, nil, 3 })) report(fails(aws.marshal, { 1, x = 2 })) report(fails(aws.marshal, { [3] = 1 }))
      report(fails(aws.marshal, io and io.stdout or aws.dynamodb.put_item))]]
    assert.matches("value%.a%[1%]%.b: NaN", r[1])
    assert.matches("infinity", r[2])
    assert.matches("value%.a: a function", r[3])
    assert.matches("aws.binary", r[4])
    assert.matches("hole", r[5])
    assert.matches("no other keys", r[6])
    assert.matches("must be strings", r[7])
    assert.matches("cannot be stored", r[8])
  end)

  it("stops at endless nesting and at values shared without end", function()
    local r = run [[
      local t = {} t.t = t report(fails(aws.marshal, t))
      local s = { "x" } for _ = 1, 30 do s = { s, s } end report(fails(aws.marshal, s))]]
    assert.matches("nested too deeply", r[1])
    assert.matches("larger than 32 MiB", r[2])
  end)

  it("marshals items, keys and values where AWS has them, and nothing else", function()
    assert.same({ '{"TableName":"T","Item":{"id":{"S":"1"}}}' }, (run [[
      local text = sent(aws.dynamodb, "put_item", { TableName = "T", Item = { id = "1" } })
      local v = json.decode(text)
      report('{"TableName":"' .. v.TableName .. '","Item":' .. json.encode(v.Item) .. '}')]]))
    local r = run [[
      local v = json.decode(sent(aws.dynamodb, "transact_write_items", { TransactItems = {
        { Put = { TableName = "Item", Item = { Item = { Key = 1 } } } },
        { Update = { Key = { id = "k" }, ExpressionAttributeNames = { ["#s"] = "Key" }, ExpressionAttributeValues = { [":one"] = 1 } } },
      }, ClientRequestToken = "x" }))
      report(json.encode(v.TransactItems[1].Put.Item)) report(v.TransactItems[1].Put.TableName)
      report(json.encode(v.TransactItems[2].Update.Key)) report(v.TransactItems[2].Update.ExpressionAttributeNames["#s"])
      report(json.encode(v.TransactItems[2].Update.ExpressionAttributeValues))
      v = json.decode(sent(aws.dynamodb, "batch_get_item", { RequestItems = { Key = { Keys = { { id = 1 }, { id = 2 } } } } }))
      report(json.encode(v.RequestItems.Key.Keys))
      v = json.decode(sent(aws.dynamodb, "batch_write_item", { RequestItems = { Item = {
        { PutRequest = { Item = { id = 1 } } }, { DeleteRequest = { Key = { id = 2 } } } } } }))
      report(json.encode(v.RequestItems.Item[1].PutRequest.Item)) report(json.encode(v.RequestItems.Item[2].DeleteRequest.Key))]]
    assert.same({
      '{"Item":{"M":{"Key":{"N":"1"}}}}', "Item", '{"id":{"S":"k"}}', "Key", '{":one":{"N":"1"}}',
      '[{"id":{"N":"1"}},{"id":{"N":"2"}}]', '{"id":{"N":"1"}}', '{"id":{"N":"2"}}',
    }, r)
  end)
end)

describe("unmarshalling of DynamoDB values", function()
  it("gives integers, exact floats, and number objects that keep every digit", function()
    assert.same({
      "integer 9223372036854775807", "integer -9223372036854775808", "float 0.1", "float 2.5", "nil 9223372036854775808",
      "nil 12345678901234567890123456789012345678", "nil 0.30000000000000000000000000001", "integer 100", "integer 0",
    }, (run [[
      for _, n in ipairs { "9223372036854775807", "-9223372036854775808", "0.1", "2.5", "9223372036854775808",
        "12345678901234567890123456789012345678", "0.30000000000000000000000000001", "1E+2", "-0" } do
        local v = aws.unmarshal { N = n } report(tostring(math.type(v)) .. " " .. tostring(v))
      end]]))
  end)

  it("reads numbers back as the text that was written, for random decimals", function()
    assert.same({ "ok" }, (run [[
      math.randomseed(7)
      for i = 1, 3000 do
        local digits = {}
        for d = 1, math.random(1, 38) do digits[d] = math.random(d == 1 and 1 or 0, 9) end
        local text = (math.random(2) == 1 and "-" or "") .. table.concat(digits)
        if math.random(2) == 1 then text = text:sub(1, -2) .. "." .. text:sub(-1) text = text:gsub("^(-?)%.", "%10.") end
        local again = aws.number(aws.marshal(aws.unmarshal { N = text }).N)
        assert(again == aws.number(text), text .. " became " .. tostring(again))
      end
      report "ok"]]))
  end)

  it("compares number objects by value", function()
    assert.same({ "true", "true", "true", "true", "false", "2.5" }, (run [[
      report(aws.number "1.50" == aws.number "1.5") report(aws.number "1e3" == aws.number "1000")
      report(aws.number "2" < aws.number "10") report(aws.number "-3" <= 2) report(aws.number "1" == aws.number "-1")
      report(aws.number("2.50"):float())]]))
  end)

  it("refuses number texts that are none", function()
    assert.same({ "false", "false", "false", "false" }, (run [[
      for _, t in ipairs { "", "1.", "0x10", "1e" } do report((pcall(aws.number, t))) end]]))
  end)

  it("round-trips nested values with their types", function()
    assert.same({ "true" }, (run [[
      local v = { s = "x", n = 12, list = json.array {}, map = json.object {}, null = json.null, deep = { { a = { true } } },
        bin = aws.binary "\0\1", set = aws.set { 3, 1 } }
      local text = marshalled(v)
      local back = aws.unmarshal(json.decode(text))
      assert(back.set:contains(3) and not back.set:contains(2) and #back.set:values() == 2)
      assert(back.set == aws.set { 1, 3 }) assert(back.bin == aws.binary "\0\1" and back.bin:bytes() == "\0\1" and #back.bin == 2)
      assert(json.is_array(back.list) and not json.is_array(back.map) and back.null == json.null)
      report(back.deep[1].a[1])]]))
  end)

  it("unmarshals results where AWS has items", function()
    assert.same({ "1", "2", "k", "a", "7", "b", "9", "c" }, (run [[
      local function out(op, text) return assert(aws.dynamodb[op](aws.dynamodb, { FakeResult = text })) end
      report(out("get_item", '{"Item":{"id":{"N":"1"}}}').Item.id)
      local q = out("query", '{"Items":[{"id":{"N":"2"}}],"LastEvaluatedKey":{"id":{"S":"k"}},"Count":1}')
      report(q.Items[1].id) report(q.LastEvaluatedKey.id)
      report(out("update_item", '{"Attributes":{"v":{"S":"a"}}}').Attributes.v)
      local b = out("batch_get_item", '{"Responses":{"Item":[{"id":{"N":"7"}}]},"UnprocessedKeys":{"Key":{"Keys":[{"id":{"S":"b"}}]}}}')
      report(b.Responses.Item[1].id) report(b.UnprocessedKeys.Key.Keys[1].id)
      report(out("transact_get_items", '{"Responses":[{"Item":{"id":{"N":"9"}}},{}]}').Responses[1].Item.id)
      report(out("batch_write_item", '{"UnprocessedItems":{"T":[{"PutRequest":{"Item":{"id":{"S":"c"}}}}]}}').UnprocessedItems.T[1].PutRequest.Item.id)]]))
  end)

  it("unmarshals the items of errors", function()
    assert.same({ "ConditionalCheckFailedException", "1", "TransactionCanceledException", "None", "2", "fake-1", "dynamodb", "PutItem" }, (run [[
      local _, err = aws.dynamodb:put_item { FakeError = "ConditionalCheckFailedException", FakeResult = '{"Item":{"v":{"N":"1"}}}' }
      report(err.code) report(err.Item.v)
      local _, t = aws.dynamodb:transact_write_items { FakeError = "TransactionCanceledException",
        FakeResult = '{"CancellationReasons":[{"Code":"None"},{"Code":"ConditionalCheckFailed","Item":{"v":{"N":"2"}}}]}' }
      report(t.code) report(t.CancellationReasons[1].Code) report(t.CancellationReasons[2].Item.v)
      report(err.request_id) report(err.service) report(err.action)]]))
  end)
end)

describe("perigee.aws calls", function()
  it("waits for calls that take their time and gives the same results", function()
    assert.same({ "5", "ValidationException" }, (run [[
      report(aws.dynamodb:get_item({ FakePending = 1, FakeResult = '{"Item":{"v":{"N":"5"}}}' }).Item.v)
      local _, err = aws.dynamodb:get_item { FakePending = 1, FakeError = "ValidationException" } report(err.code)]]))
  end)

  it("sends S3 bodies beside the parameters and brings them back as Body", function()
    assert.same({ "4", "abc", "true" }, (run [[
      report(aws.s3:put_object({ Bucket = "b", Key = "k", Body = "\0\255\1\2" }).Sent)
      report(aws.s3:get_object({ Bucket = "b", Key = "k", FakeBody = "abc" }).Body)
      report((pcall(aws.s3.put_object, aws.s3, { Body = {} })) == false)]]))
  end)

  it("does not marshal in aws.call", function()
    local r = run [[
      local v = json.decode(aws.call("dynamodb", "PutItem", { Item = { id = { S = "1" } } }).Params)
      report(json.encode(v.Item))
      report(json.encode(aws.call("dynamodb", "GetItem", { FakeResult = '{"Item":{"id":{"N":"1"}}}' }).Item))
      report(aws.call("s3", "PutObject", { Bucket = "b" }, "12345").Sent)
      report(fails(aws.call, "dynamo", "PutItem", {})) report(fails(aws.call, "dynamodb", "Put\r\nX", {}))]]
    assert.same({ '{"id":{"S":"1"}}', '{"id":{"N":"1"}}', "5" }, { table.unpack(r, 1, 3) })
    assert.matches("dynamodb", r[4])
    assert.matches("name of an operation", r[5])
  end)

  it("reaches operations and services that have no method", function()
    assert.same({ "DescribeBackup", "Publish", "kms", "Encrypt", "2", "70", "ext-1", "fake-1" }, (run [[
      report(aws.call("dynamodb", "DescribeBackup", {}).Other)
      report(aws.call("sns", "Publish", { FakePending = 1, Message = "m" }).Other)
      local _, err = aws.call("kms", "Encrypt", { FakeError = "ThrottlingException", FakeAttempts = 2 })
      report(err.service) report(err.action) report(err.attempts) report(err.waited_ms) report(err.extended_id) report(err.request_id)]]))
  end)

  it("takes an answer that has no Lua value for an error of the service", function()
    local r = run [[
      for _, result in ipairs { '{"Item":{"n":{"N":"abc"}}}', '{"Item":{"n":{"N":1}}}', '{"Item":{"n":{"M":[{"a":1}]}}}', '{"Item":{"n":{"L":{"a":1}}}}',
        '{"Item":{"n":{"SS":[]}}}', '{"Item":{"n":{"XX":[1]}}}', '{"Item":{"n":{"B":"!"}}}', '{"Items":[1]}', '{"Responses":{"T":{"x":1}}}' } do
        local out, err = aws.dynamodb:get_item { FakeResult = result, FakeAttempts = 1, FakePending = 1 }
        report(out == nil and err.code) assert(err.attempts == 1, result)
      end
      local out, err = aws.sqs:receive_message { FakeResult = '{"n":1e999}', FakeAttempts = 1 }
      report(out == nil and err.code)]]
    for i = 1, 10 do assert.equal("InvalidServiceResponse", r[i]) end
  end)

  it("raises on unknown names and names what is near", function()
    local r = run [[
      report(fails(function() return aws.dynamodb:put_itm {} end)) report(fails(function() return aws.dynamo end))
      report(fails(function() return aws.s3:list_objects_v3 {} end))]]
    assert.matches("aws.dynamodb has no 'put_itm'; did you mean put_item", r[1])
    assert.matches("dynamodb", r[2])
    assert.matches("list_objects_v2", r[3])
  end)

  it("says how a method is called", function()
    local r = run [[
      report(fails(aws.dynamodb.put_item, { TableName = "T" })) report(fails(aws.dynamodb.put_item, aws.dynamodb, {}, {}))
      report(fails(aws.dynamodb.put_item, aws.dynamodb, "x"))]]
    assert.matches("colon", r[1])
    assert.matches("one table", r[2])
    assert.matches("table expected", r[3])
  end)

  it("has a method for every operation", function()
    assert.same({ "ok" }, (run [[
      for _, name in ipairs { "create_table", "transact_get_items", "update_time_to_live" } do assert(aws.dynamodb[name]) end
      assert(aws.sqs.change_message_visibility_batch and aws.s3.list_objects_v2 and aws.ses.send_email and aws.sts.get_caller_identity)
      report "ok"]]))
  end)

  it("signs links, and refuses parameters it does not know", function()
    local r = run [[
      local url, expires = aws.s3:presigned_url { method = "GET", Bucket = "b", Key = "a/k", ExpiresIn = 300 }
      report(url) report(expires)
      report(fails(function() aws.s3:presigned_url { Bucket = "b", Key = "k", Expires = 1 } end))
      report(fails(function() aws.s3:presigned_url { Bucket = "b" } end))
      report(fails(function() aws.s3:presigned_url { Bucket = "b", Key = "k", ExpiresIn = 0 } end))]]
    assert.equal("GET http://localhost/b/a/k?300", r[1])
    assert.equal("300000", r[2])
    assert.matches("unknown parameter 'Expires'", r[3])
    assert.matches("Key is missing", r[4])
    assert.matches("604800", r[5])
  end)

  it("signs what a link asks for beyond the object", function()
    local r = run [[
      report((aws.s3:presigned_url { Bucket = "b", Key = "k", ResponseContentType = "a/b", ResponseExpires = "e", VersionId = "v" }))
      report((aws.s3:presigned_url { method = "PUT", Bucket = "b", Key = "k", headers = { ["x-b"] = "2", ["content-type"] = "1" } }))
      report(fails(function() aws.s3:presigned_url { method = "PUT", Bucket = "b", Key = "k", ResponseExpires = "e" } end))
      report(fails(function() aws.s3:presigned_url { Bucket = "b", Key = "k", headers = { 1 } } end))
      report(fails(function() aws.s3:presigned_url { Bucket = "b", Key = "k", headers = { ["a b"] = "" } } end))
      report(fails(function() aws.s3:presigned_url { Bucket = "b", Key = "k", ResponseExpires = "a\r\nb" } end))
      report(fails(function() aws.s3:presigned_url { method = "DELETE", Bucket = "b", Key = "k" } end))]]
    assert.equal("GET http://localhost/b/k?300&response-content-type=a/b&response-expires=e&versionId=v", r[1])
    assert.equal("PUT http://localhost/b/k?300 content-type:1 x-b:2", r[2])
    assert.matches("ResponseExpires is for GET", r[3])
    assert.matches("names and values are strings", r[4])
    assert.matches("'a b' cannot be sent", r[5])
    assert.matches("cannot be sent", r[6])
    assert.matches("GET, HEAD or PUT", r[7])
  end)

  it("signs forms", function()
    local r = run [[
      local form, expires = aws.s3:presigned_post { Bucket = "b", Key = "k", ExpiresIn = 5, Fields = { a = "1" }, Conditions = { { "eq", "$b", "2" } } }
      report(form.url) report(form.fields.Fields.a) report(form.fields.Conditions[1][3]) report(expires)
      report(fails(function() aws.s3:presigned_post { Bucket = "b", Key = "k", Condition = {} } end))
      report(fails(function() aws.s3:presigned_post { Bucket = "b" } end))]]
    assert.same({ "http://localhost/b", "1", "2", "5000" }, { table.unpack(r, 1, 4) })
    assert.matches("unknown parameter 'Condition'", r[5])
    assert.matches("Key is missing", r[6])
  end)

  it("takes and gives bytes as files, any path in trusted scripts", function()
    local dir = os.tmpname()
    os.remove(dir)
    local r = run(([[
      local dir = %q
      os.execute("mkdir " .. dir .. " && cd " .. dir .. " && echo -n hello > in && echo -n old > out")
      report(aws.s3:put_object({ Bucket = "b", Key = "k", BodyFile = dir .. "/in" }).SentFile)
      local out = aws.s3:get_object { Bucket = "b", Key = "k", ToFile = dir .. "/out", FakeWrite = "new", FakeResult = '{"ETag":"e"}', FakePending = 1 }
      report(out.ETag) report(out.Body)
      local f = io.open(dir .. "/out") report(f:read "a") f:close()
      local _, err = aws.s3:put_object { Bucket = "b", Key = "k", BodyFile = dir .. "/none" } report(err.code) report(err.message)
      _, err = aws.s3:put_object { Bucket = "b", Key = "k", BodyFile = dir } report(err.message)
      _, err = aws.s3:get_object { Bucket = "b", Key = "k", ToFile = dir } report(err.message)
      report(fails(function() aws.s3:put_object { Bucket = "b", Key = "k", Body = "x", BodyFile = dir .. "/in" } end))
      report(fails(function() aws.s3:get_object { Bucket = "b", Key = "k", BodyFile = dir .. "/in" } end))
      report(fails(function() aws.s3:put_object { Bucket = "b", Key = "k", BodyFile = 1 } end))
      local p = io.popen("ls -A " .. dir) report((p:read("a"):gsub("\n", " "))) p:close()
      os.execute("rm -r " .. dir)]]):format(dir))
    assert.same({ "5", "e", "nil", "new", "InputOutputError" }, { table.unpack(r, 1, 5) })
    assert.matches("none", r[6])
    assert.matches("no regular file", r[7])
    assert.matches("is a directory", r[8])
    assert.matches("both Body and BodyFile", r[9])
    assert.matches("GetObject has no parameter BodyFile", r[10])
    assert.matches("BodyFile must be a path", r[11])
    assert.equal("in out ", r[12])
  end)

  it("waits until something is there, with the delays of WaiterConfig", function()
    local r = run [[
      local slept, time = {}, require "perigee.time"
      local answers = {}
      local function answering(service, method)
        local real = service[method]
        rawset(service, method, function(self, p)
          assert(p.WaiterConfig == nil)
          p.FakeError, p.FakeResult = nil, table.remove(answers, 1)
          if p.FakeResult:sub(1, 1) ~= "{" then p.FakeError, p.FakeResult = p.FakeResult, nil end
          return real(self, p)
        end)
      end
      answering(aws.dynamodb, "describe_table") answering(aws.s3, "head_bucket") answering(aws.s3, "head_object")
      local function wait(service, name, config, ...)
        answers = { ... }
        local ok, err = service["wait_until_" .. name](service, { TableName = "T", WaiterConfig = config })
        report(ok and "yes " .. #answers or err.code)
      end
      local quick = { Delay = 0, MaxAttempts = 3 }
      wait(aws.dynamodb, "table_exists", quick, "ResourceNotFoundException", '{"Table":{"TableStatus":"CREATING"}}', '{"Table":{"TableStatus":"ACTIVE"}}')
      wait(aws.dynamodb, "table_exists", quick, "ResourceNotFoundException", "ResourceNotFoundException", "ResourceNotFoundException")
      wait(aws.dynamodb, "table_exists", quick, "AccessDeniedException")
      wait(aws.dynamodb, "table_not_exists", quick, '{"Table":{"TableStatus":"DELETING"}}', "ResourceNotFoundException", "left")
      wait(aws.s3, "bucket_exists", quick, "NoSuchBucket", "AccessDenied")
      wait(aws.s3, "bucket_not_exists", quick, "{}", "NoSuchBucket")
      wait(aws.s3, "object_exists", quick, "NoSuchKey", "{}")
      wait(aws.s3, "object_exists", quick, "NoSuchKey", "ServiceUnavailable")
      wait(aws.s3, "object_not_exists", quick, "{}", "{}", "{}")
      report(fails(function() aws.s3:wait_until_bucket_exists { WaiterConfig = { Delays = 1 } } end))
      report(fails(function() aws.s3:wait_until_bucket_exists { WaiterConfig = { MaxAttempts = 0 } } end))]]
    assert.same({ "yes 0", "WaiterTimeout", "AccessDeniedException", "yes 1", "yes 0", "yes 0", "yes 0", "ServiceUnavailable", "WaiterTimeout" },
      { table.unpack(r, 1, 9) })
    assert.matches("no 'Delays'", r[10])
    assert.matches("MaxAttempts", r[11])
  end)

  it("repeats batches for what was not processed", function()
    local r = run [[
      local time = require "perigee.time"
      local answers, asked
      local function answering(method)
        local real = aws.dynamodb[method]
        rawset(aws.dynamodb, method, function(self, p)
          asked[#asked + 1] = json.encode(p.RequestItems)
          return real(self, { FakeResult = table.remove(answers, 1) or '{}' })
        end)
      end
      answering "batch_write_item" answering "batch_get_item"
      asked, answers = {}, { '{"UnprocessedItems":{"T":[{"PutRequest":{"Item":{"id":{"N":"7"}}}}]}}', '{"UnprocessedItems":{}}' }
      report(aws.dynamodb:batch_write_all { RequestItems = { T = { { PutRequest = { Item = { id = 6 } } }, { PutRequest = { Item = { id = 7 } } } } } })
      report(#asked) report(asked[2])
      asked, answers = {}, { '{"Responses":{"T":[{"id":{"N":"1"}}]},"UnprocessedKeys":{"T":{"Keys":[{"id":{"N":"2"}}]}}}', '{"Responses":{"T":[{"id":{"N":"2"}}]}}' }
      local out = aws.dynamodb:batch_get_all { RequestItems = { T = { Keys = { { id = 1 }, { id = 2 } } } } }
      report(#out.Responses.T) report(out.Responses.T[2].id) report(asked[2])
      local core = require "perigee.aws.core" ]]
    assert.same({ "true", "2", '{"T":[{"PutRequest":{"Item":{"id":7}}}]}', "2", "2", '{"T":{"Keys":[{"id":2}]}}' }, r)
  end)

  it("turns the pages of any operation", function()
    local r = run [[
      local real, n = aws.sqs.list_queues, 0
      rawset(aws.sqs, "list_queues", function(self, p)
        n = n + 1
        return real(self, { FakeResult = ({ '{"NextToken":"a"}', '{"NextToken":""}' })[n], NextToken = p.NextToken })
      end)
      for _ in aws.sqs:list_queues_pages {} do end
      report(n)
      for _, name in ipairs { "query", "scan", "list_tables" } do assert(aws.dynamodb[name .. "_pages"], name) end
      assert(aws.s3.list_objects_v2_pages and aws.s3.list_buckets_pages)
      local pages = 0
      for _ in aws.pages("s3", "ListObjectsV2", { FakeResult = '{"Contents":[]}' }) do pages = pages + 1 end
      report(pages)
      report(fails(function() for _ in aws.pages("logs", "DescribeLogGroups", { FakeResult = '{"nextToken":"t"}', nextToken = "t" },
        { output = "nextToken", input = "nextToken" }) do end end))
      report(fails(function() aws.pages("logs", "DescribeLogGroups", {}) end))
      report(fails(function() aws.sqs.list_queues_pages({}) end))]]
    assert.same({ "2", "1" }, { r[1], r[2] })
    assert.matches("began with", r[3])
    assert.matches("how DescribeLogGroups goes on", r[4])
    assert.matches("colon", r[5])
  end)

  it("describes the backend to trusted scripts", function()
    assert.same({ "fake" }, (run "report(aws.describe().backend)"))
  end)

  it("turns pages until there is no more key, and raises when one fails", function()
    assert.same({ "1", "2", "ResourceNotFoundException" }, (run [[
      local real = aws.dynamodb.query
      local answers = { '{"Items":[{"n":{"N":"1"}}],"LastEvaluatedKey":{"n":{"N":"1"}}}', '{"Items":[{"n":{"N":"2"}}]}' }
      rawset(aws.dynamodb, "query", function(self, p)
        local i = p.ExclusiveStartKey and 2 or 1
        return real(self, { FakeResult = answers[i] })
      end)
      for page in aws.dynamodb:query_pages { TableName = "T" } do report(page.Items[1].n) end
      rawset(aws.dynamodb, "query", real)
      local ok, err = pcall(function()
        for _ in aws.dynamodb:query_pages { FakeError = "ResourceNotFoundException" } do end
      end)
      report(err.code)]]))
  end)
end)
