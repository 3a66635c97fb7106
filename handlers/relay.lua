--- Every minute: events that were committed but not sent (the process died, the queue was away) are sent now.
local outbox = require "perigee.outbox"

local function run(_, context)
  local sent = assert(outbox.relay(context))
  if sent > 0 then context.log.info("relayed events", { sent = sent }) end
end

return { run = run }
