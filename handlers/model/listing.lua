--- GET /orders: what it may be asked, and which index partitions hold the answer.
local http = require "perigee.http"
local json = require "perigee.json"
local orders = require "model.order"
local pages = require "perigee.pages"

local listing = {}

local USER_ID_BYTES = 2048 -- of an index key in DynamoDB; a stored user_id is shorter than that

local function given(value) return value ~= "" and value or nil end

-- status, user_id and limit of a query; nil and the fields that are wrong.
local function read(query)
  local fields = {}
  local q = { status = given(query.status), user = given(query.user_id), cursor = given(query.cursor) }
  q.limit = math.tointeger(tonumber((given(query.limit) or "20"):match "^%d+$"))
  q.status = q.status and q.status:upper()
  if q.status and not orders.machine:has(q.status) then
    fields[1] = { path = "status", message = "must be one of " .. table.concat(orders.machine.states, ", ") }
  end
  if q.user and #q.user > USER_ID_BYTES then
    fields[#fields + 1] = { path = "user_id", message = ("must have at most %d bytes"):format(USER_ID_BYTES) }
  end
  if not q.limit or q.limit < 1 or q.limit > 100 then
    fields[#fields + 1] = { path = "limit", message = "must be an integer from 1 to 100" }
  end
  if #fields > 0 then return nil, fields end
  return q
end

-- One user's orders are one partition; the newest of all are merged from the partitions of all states.
local function sources(q)
  if q.user then return { { index = "by_user", attribute = "user_id", value = q.user } } end
  local list = {}
  for i, status in ipairs(q.status and { q.status } or orders.machine.states) do
    list[i] = { index = "by_status", attribute = "status", value = status }
  end
  return list
end

---The answer to a query. A failure of the store is an error.
function listing.answer(query)
  local q, fields = read(query)
  if not q then return http.bad_request(fields) end
  local found, cursor, err = pages.newest {
    table = os.getenv "ORDERS_TABLE", key = "order_id", sort = "created_at", limit = q.limit, cursor = q.cursor,
    sources = sources(q), keep = function(o) return not q.status or o.status == q.status end,
  }
  if err and err.code == "BadCursor" then return http.bad_request { { path = "cursor", message = err.message } } end
  if err then error(err) end
  local views = json.array {}
  for i, order in ipairs(found) do views[i] = orders.view(order) end
  return http.ok { orders = views, cursor = cursor or json.null }
end

return listing
