-- What the specs of queues share: an engine with a frozen clock, and calls with decoded results.
local t = require "t.local"
local json = require "cjson"

local M = { json = json, t = t }
M.ARN = "arn:aws:sqs:us-east-1:000000000000:"

function M.open(options)
  local o = options or { memory = true }
  o.now = o.now or 1700000000000
  local s = { e = assert(t.open(o)) }

  function s.call(action, params)
    local ok, err = s.e:call("sqs", action, json.encode(params))
    if ok then return json.decode(ok) end
    return nil, json.decode(err)
  end

  function s.fails(name, action, params)
    local ok, err = s.call(action, params)
    assert(not ok, action .. " succeeded")
    assert(err.__type == "com.amazonaws.sqs#" .. name, ("%s: %s instead of %s"):format(err.__type, err.message, name))
    return err.message
  end

  function s.queue(name, attributes, tags)
    return assert(s.call("CreateQueue", { QueueName = name, Attributes = attributes, tags = tags })).QueueUrl
  end

  function s.fifo(name, attributes)
    local a = attributes or {}
    a.FifoQueue = "true"
    return s.queue(name, a)
  end

  function s.send(queue, body, more)
    local p = {}
    for k, v in pairs(more or {}) do p[k] = v end
    p.QueueUrl, p.MessageBody = queue, body
    local ok, err = s.call("SendMessage", p)
    return assert(ok, err and err.message)
  end

  function s.receive(queue, more)
    local p = { MaxNumberOfMessages = 10, MessageSystemAttributeNames = { "All" } }
    for k, v in pairs(more or {}) do p[k] = v end
    p.QueueUrl = queue
    local ok, err = s.call("ReceiveMessage", p)
    return assert(ok, err and err.message).Messages or {}
  end

  -- The bodies of what a receive gets, joined by blanks.
  function s.bodies(queue, more)
    local out = {}
    for i, m in ipairs(s.receive(queue, more)) do out[i] = m.Body end
    return table.concat(out, " ")
  end

  function s.delete(queue, message)
    return assert(s.call("DeleteMessage", { QueueUrl = queue, ReceiptHandle = message.ReceiptHandle }))
  end

  function s.attributes(queue, ...)
    local names = { ... }
    return s.call("GetQueueAttributes", { QueueUrl = queue, AttributeNames = names[1] and names or { "All" } }).Attributes or {}
  end

  -- Moves the clock and waits until housekeeping has run since, as often as `done` says no.
  function s.housekeep(ms, done)
    s.e:advance(ms)
    repeat s.e:probe() until done()
  end

  return s
end

return M
