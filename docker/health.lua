-- Whether the server answers: perigee run health.lua
local http = require "perigee.http"

local port = os.getenv "PERIGEE_PORT" or "8080"
local answer, err = http.fetch("http://127.0.0.1:" .. port .. "/readyz", { timeout_ms = 4000 })
if not answer then error(err) end
if answer.status ~= 200 then error("/readyz answers " .. answer.status .. ": " .. answer.body) end
