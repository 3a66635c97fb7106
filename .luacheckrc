-- luacheck: ./dev lint
std = "lua54"
max_line_length = 130
cache = false
exclude_files = { "build/**", ".perigee/**", "dashboard/**" }
ignore = { "212/_.*" }
-- The sandbox of handlers has no more than this (docs/lua.md).
files["handlers"] = { not_globals = { "io", "debug", "dofile", "loadfile" } }
files["lua/perigee"] = { not_globals = { "io", "debug", "dofile", "loadfile" } }
files["lua/perigee/coverage.lua"] = { globals = { "io" } } -- runs in `perigee test` only
files["lua/perigee/graph_command.lua"] = { globals = { "io" } } -- runs in `perigee graph` only
files["lua/perigee/doctor.lua"] = { globals = { "io" } } -- runs in `perigee doctor` only
for _, name in ipairs { "operator", "dlq", "idempotency_command", "chaos", "chaos_jobs", "chaos_report",
  "recordings", "log_command", "replay" } do -- of commands only
  files["lua/perigee/" .. name .. ".lua"] = { globals = { "io", "loadfile" } }
end
files["lua/perigee/target*.lua"] = { globals = { "io" } } -- in `perigee test --target`
files["tests"] = { std = "+busted", max_line_length = false }
files["lua/perigee/testing*.lua"] = { globals = { "io", "pending" } } -- and these in `perigee test`
files["lua/perigee/types.lua"] = { ignore = { "" } }
