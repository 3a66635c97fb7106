--- Exchanges with a server that follows a script: what the specs of the transport share. Takes the spec's environment;
--- net.client and net.peer are those of the present test.
local server = require "t.server"
local t = require "t.transport"

return function(_ENV)
  local net = {}
  net.OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

  -- Serves the scripts; url(path) is an address there.
  function net.serve(...)
    net.peer = server.start { ... }
    return function(path) return ("http://127.0.0.1:%d%s"):format(net.peer:port(), path or "/") end
  end

  function net.open(options)
    net.client = t.open(options or {})
    return net.client
  end

  -- One exchange, or several in order: their answers.
  function net.fetch(...)
    local answers = {}
    if not net.client then net.open() end
    for i, request in ipairs { ... } do
      request.done = function(a) answers[i] = a end
      net.client:start(request)
      net.client:run()
    end
    return table.unpack(answers)
  end

  function net.same_port() return "127.0.0.1:" .. net.peer:port() end

  function net.header(answer, name)
    for _, h in ipairs(answer.headers) do
      if h[1]:lower() == name then return h[2] end
    end
  end

  -- A function that gives the pieces of s, at most n bytes each.
  function net.reader(s, n)
    local at = 1
    return function(room)
      if at > #s then return nil end
      local piece = s:sub(at, at + math.min(room, n or room) - 1)
      at = at + #piece
      return piece
    end
  end

  after_each(function()
    if net.client then net.client:close() end
    if net.peer then net.peer:stop() end
    net.client, net.peer = nil, nil
  end)
  return net
end
