-- What the specs of the order system share.
local testing = require "perigee.testing"

local support = {}

support.MAX = math.maxinteger

---The fields that a 400 answer complains about: path -> message.
function support.fields(answer)
  local out = {}
  for _, field in ipairs(answer.json.error.fields or {}) do out[field.path] = field.message end
  return out
end

---Lets what runs after replies end, without running the queues: writes of no effect wait for the store as that does.
function support.settle(app)
  for _ = 1, 20 do app.host:aws("dynamodb", "DeleteItem", { TableName = "Idempotency", Key = { key = { S = "nothing" } } }) end
end

---A temporary directory; removed by support.clean().
local made = {}
function support.directory()
  local path = os.tmpname()
  assert(os.remove(path))
  assert(os.execute(("mkdir '%s'"):format(path)))
  made[#made + 1] = path
  return path
end

function support.clean()
  for _, path in ipairs(made) do os.execute(("rm -rf '%s'"):format(path)) end
  made = {}
end

---A copy of the project's template, schemas and handlers, with the template changed by `edit`; returns the template's path.
function support.project(edit)
  local dir = support.directory()
  assert(os.execute(("cp -r config handlers '%s'"):format(dir)))
  local path = dir .. "/config/template.yaml"
  local f = assert(io.open(path))
  local before = f:read "a"
  f:close()
  local after = edit(before)
  assert(after ~= before, "the template was not changed")
  f = assert(io.open(path, "w"))
  f:write(after)
  f:close()
  return path
end

---An order of goods, created; its id.
function support.created(app, more)
  local answer = app:post("/orders", testing.order(more))
  assert(answer.status == 200, answer.body)
  return answer.json.order_id
end

function support.order(app, id) return app:item("Orders", { order_id = id }) end

---How often a counter of /metrics went up since the app was opened.
function support.counter(app, name)
  return math.tointeger(tonumber(app:get("/metrics").body:match("\n" .. name .. " (%d+)"))) or 0
end

local function left_over(app)
  return app:queued "OrderEvents" + app:queued "PaymentEvents" + #app:table "Outbox"
end

---Runs queues and clock until every retry and lease had its time, whatever was made to fail.
function support.outlast(app)
  for _ = 1, 12 do
    app:run_queues(150)
    app:schedule "Relay"
    local asked, left = pcall(left_over, app) -- the fault may hit this question
    if asked and left == 0 then return end
    app:advance(61000)
  end
end

return support
