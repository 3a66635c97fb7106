-- What specs of the Runtime API client share: answers of a Runtime API, and a script of what one does.
local M = {}

local reasons = { [200] = "OK", [202] = "Accepted" }

-- Bytes of an answer. chunked: true, or the sizes of chunks.
function M.answer(status, headers, body, chunked)
  body = body or ""
  local lines = { ("HTTP/1.1 %d %s"):format(status, reasons[status] or "X") }
  for name, value in pairs(headers or {}) do
    lines[#lines + 1] = name .. ": " .. value
  end
  lines[#lines + 1] = chunked and "Transfer-Encoding: chunked" or "Content-Length: " .. #body
  if chunked then
    body = (#body > 0 and ("%x\r\n%s\r\n"):format(#body, body) or "") .. "0\r\n\r\n"
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. body
end

function M.id(n)
  return ("8476a536-e9f4-11e8-9739-2dfe%08x"):format(n)
end

-- An event as RAPID sends it. more: further headers.
function M.event(n, body, more)
  local headers = {
    ["Lambda-Runtime-Aws-Request-Id"] = M.id(n),
    ["Lambda-Runtime-Deadline-Ms"] = tostring((os.time() + 30) * 1000),
    ["Lambda-Runtime-Invoked-Function-Arn"] = "arn:aws:lambda:us-east-1:123456789012:function:Fn",
    ["Lambda-Runtime-Trace-Id"] = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
    ["Content-Type"] = "application/json",
  }
  for name, value in pairs(more or {}) do
    headers[name] = value or nil
  end
  return M.answer(200, headers, body or "{}", #(body or "") > 2048)
end

M.accepted = M.answer(202, { ["Content-Type"] = "application/json" }, '{"status":"OK"}\n')
function M.refused(status, kind)
  return M.answer(status, {}, ('{"errorMessage":"no","errorType":"%s"}\n'):format(kind or "X"))
end

-- "next", "response", "error", "init/error", or the target.
function M.call_of(request)
  return request.target:match "^/2018%-06%-01/runtime/invocation/(next)$" or
    request.target:match "^/2018%-06%-01/runtime/invocation/[^/]+/(%a+)$" or
    request.target:match "^/2018%-06%-01/runtime/(init/error)$" or request.target
end
function M.id_of(request)
  return request.target:match "/invocation/([^/]+)/%a+$"
end

-- A Runtime API: `events` are bodies; what is done to the n-th call of a kind can be said in `faults`:
-- { next = { [2] = function(request, go_on) return ... end }, ... }; go_on() is what it would do otherwise.
-- After the last event and its answer: "stop". seen: every request in order; answers: by id.
function M.api(events, faults)
  local a = { seen = {}, answers = {}, errors = {}, counts = {}, at = 0, open = false }
  faults = faults or {}
  local function ordinary(request, call)
    if call == "next" then
      if not a.open then a.at = a.at + 1 end
      if a.at > #events then return "stop" end
      a.open = true
      local e = events[a.at]
      return type(e) == "table" and M.event(a.at, e.body, e.headers) or M.event(a.at, e)
    end
    if call == "response" or call == "error" then
      local id = M.id_of(request)
      if id ~= M.id(a.at) then return M.refused(400, "InvalidRequestID") end
      if not a.open then return M.refused(403, "InvalidStateTransition") end
      a.open = false
      local of = call == "error" and a.errors or a.answers
      assert(of[id] == nil, "answered twice")
      of[id] = request
    end
    return M.accepted
  end
  function a.serve(connection, request)
    local call = M.call_of(request)
    request.connection, request.call = connection, call
    a.seen[#a.seen + 1] = request
    a.counts[call] = (a.counts[call] or 0) + 1
    local fault = (faults[call] or {})[a.counts[call]]
    if fault then return fault(request, function() return ordinary(request, call) end) end
    return ordinary(request, call)
  end
  function a.calls()
    local names = {}
    for i, request in ipairs(a.seen) do names[i] = request.call end
    return table.concat(names, " ")
  end
  return a
end

return M
