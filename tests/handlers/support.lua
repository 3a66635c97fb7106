-- What the specs of the order system share: its bodies, its signatures, its names. What serves any application is in perigee.testing.
local json = require "perigee.json"
local webhook = require "perigee.webhook"

local support = {}

support.MAX = math.maxinteger
support.SENDER = { SenderAddress = "shop@example.org" }

---An order of goods, as docs have it.
---@param more table? members to change or add
---@return table body
function support.goods(more)
  local body = { user_id = "u-1", item = "a book", quantity = 2, total_price = 1999 }
  for k, v in pairs(more or {}) do body[k] = v end
  return body
end

---An order of goods, created; its id.
---@param app perigee.TestApp
---@return string
function support.created(app, more)
  local answer = app:post("/orders", support.goods(more))
  assert(answer.status == 200, answer.body)
  return answer.json.order_id
end

---The stored order.
---@param app perigee.TestApp
function support.order(app, id) return app.dynamodb:get("Orders", id) end

---The key of an order's receipt.
function support.key(id) return "receipts/" .. id .. ".pdf" end

---The signature header of a payment's body, by the app's PaymentsSecret; none when it has none.
---@param app perigee.TestApp
---@return table<string, string>
function support.signature(app, body, secret)
  secret = secret or (app.options.parameters or {}).PaymentsSecret
  if not secret then return {} end
  return { [webhook.HEADER] = webhook.sign(secret, body, app.clock:now()) }
end

---POST /payments, signed when there is a secret.
---@param app perigee.TestApp
---@return perigee.TestAnswer
function support.pay(app, order_id, status, more)
  local body = { order_id = order_id, status = status }
  for k, v in pairs(more or {}) do body[k] = v end
  local text = json.encode(body)
  return app:post("/payments", text, support.signature(app, text))
end

---The fields that a 400 answer complains about: path -> message.
function support.fields(answer)
  local out = {}
  for _, field in ipairs(answer.json.error.fields or {}) do out[field.path] = field.message end
  return out
end

---Queues and relay until every retry and every lease had its time, whatever is made to fail on the way; a process that dies is
---started again.
---@param app perigee.TestApp
function support.outlast(app)
  for _ = 1, 12 do
    local ended, ok = pcall(app.drain, app, { wait = "61s" })
    if ended and not ok then app:crash() end
    local asked, left = pcall(app.left, app) -- the fault may hit this question
    if ended and ok and asked and #left == 0 then return end
  end
end

---What `ask` answers; a process that dies of it is started again, and asked again.
---@param app perigee.TestApp
---@param ask fun(): perigee.TestAnswer?
---@return perigee.TestAnswer
function support.answered(app, ask)
  local answer = ask()
  if answer then return answer end
  app:crash()
  return assert(ask())
end

---A temporary directory; removed by support.clean().
local made, copy, templates = {}, nil, 0
function support.directory()
  local path = os.tmpname()
  assert(os.remove(path))
  assert(os.execute(("mkdir '%s'"):format(path)))
  made[#made + 1] = path
  return path
end

function support.clean()
  for _, path in ipairs(made) do os.execute(("rm -rf '%s'"):format(path)) end
  made, copy = {}, nil
end

---The project's template changed by `edit`, beside a copy of its schemas and handlers; the path of the template.
---@param edit fun(text: string): string
---@return string
function support.project(edit)
  if not copy then
    copy = support.directory()
    assert(os.execute(("cp -r config handlers '%s'"):format(copy)))
  end
  local f = assert(io.open "config/template.yaml")
  local before = f:read "a"
  f:close()
  local after = edit(before)
  assert(after ~= before, "the template was not changed")
  templates = templates + 1
  local path = ("%s/config/template-%d.yaml"):format(copy, templates)
  f = assert(io.open(path, "w"))
  f:write(after)
  f:close()
  return path
end

return support
