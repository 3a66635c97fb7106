--- perigee.idempotency_command: `perigee idempotency find | evict`: the records of perigee.idempotency, wherever the store is
--- (perigee.operator). The table is that of the template's functions (IDEMPOTENCY_TABLE), or --table.
local dynamodb = require "perigee.dynamodb"
local json = require "perigee.json"
local operator = require "perigee.operator"
local time = require "perigee.time"

local command = {}

local LIMIT = 50

local function call(store, action, params)
  local out, err = store:call("dynamodb", action, params)
  if not out then error(("dynamodb:%s: %s"):format(action, err.message or tostring(err)), 0) end
  return out
end

-- ==== where they are ====================================================================================================

local function table_of(store, options)
  if options.table then return options.table end
  local template, why = store:template()
  if not template then error("the template does not say where the records are (--table does): " .. why, 0) end
  local found, list = {}, {}
  for _, f in ipairs(template.functions) do
    local name = f.environment.IDEMPOTENCY_TABLE
    if name and name ~= "" and not found[name] then found[name], list[#list + 1] = true, name end
  end
  if #list == 0 then error("no function of the template has IDEMPOTENCY_TABLE: --table names the table", 0) end
  if #list > 1 then error(("the template has several: --table %s"):format(table.concat(list, ", --table ")), 0) end
  return list[1]
end

local function get(store, table_name, key)
  local item = call(store, "GetItem", { TableName = table_name, Key = { key = { S = key } }, ConsistentRead = true }).Item
  return item and dynamodb.unmarshal_item(item)
end

local function scan(store, table_name, prefix, limit)
  local list, from = {}, nil
  repeat
    local page = call(store, "Scan", { TableName = table_name, FilterExpression = "begins_with(#key, :prefix)",
      ExpressionAttributeNames = { ["#key"] = "key" }, ExpressionAttributeValues = { [":prefix"] = { S = prefix } },
      ConsistentRead = true, ExclusiveStartKey = from })
    for _, item in ipairs(page.Items) do
      if #list == limit then return list, true end
      list[#list + 1] = dynamodb.unmarshal_item(item)
    end
    from = page.LastEvaluatedKey
  until not from or store:interrupted()
  table.sort(list, function(a, b) return a.key < b.key end)
  return list, false
end

-- ==== what they say =====================================================================================================

local function is_text(v) return type(v) == "string" end
local function is_count(v) return math.type(v) == "integer" and v >= 0 end
local function is_time(v) return is_count(v) and v < 253402300800 end -- the year 10000
local TYPES = {
  phase = is_text, holder = is_text, request_hash = is_text, created_at = is_text, omitted = is_text, answer_bytes = is_count,
  answer_status = is_count, expires_at = is_time, lease_until = function(v) return is_count(v) and is_time(v // 1000) end,
  answer = function(v) return is_text(v) or type(v) == "userdata" end, -- aws.binary
}

-- The table may have other items: the leases of schedules (LeaseTable), or anybody's.
local function is_record(item)
  for name, fits in pairs(TYPES) do
    if item[name] ~= nil and not fits(item[name]) then return false end
  end
  return item.phase ~= nil or item.request_hash ~= nil
end

-- "running", "lapsed" (its process died: the next one runs), "held" (it died: nobody runs), "done", "expired", "other"
local function state_of(item, now)
  if not is_record(item) then return "other" end
  if item.expires_at and item.expires_at < now // 1000 then return "expired" end
  if item.phase ~= "running" then return "done" end
  if (item.lease_until or 0) >= now then return "running" end
  return item.held and "held" or "lapsed"
end

local function bytes_of(item)
  if item.answer_bytes then return item.answer_bytes end
  local answer = item.answer
  if answer == nil then return nil end
  return #(type(answer) == "string" and answer or answer:bytes())
end

-- What scripts get of a record.
local function described(item, now)
  if not is_record(item) then return { key = item.key, state = "other" } end
  local created = item.created_at and time.parse(item.created_at)
  return {
    key = item.key, state = state_of(item, now), age_ms = created and math.max(now - created, 0), created_at = item.created_at,
    expires_at = item.expires_at and time.iso(item.expires_at * 1000),
    lease_until = item.lease_until and time.iso(item.lease_until), holder = item.holder, request_hash = item.request_hash,
    status = item.answer_status or item.answer and 200 or nil,
    bytes = bytes_of(item), omitted = item.omitted,
  }
end

local function until_text(item, now)
  if not is_record(item) then return "-" end
  if item.lease_until and item.phase == "running" and item.lease_until >= now then
    return operator.age(item.lease_until - now) .. " (lease)"
  end
  if not item.expires_at then return "never" end
  return item.expires_at * 1000 < now and "over" or operator.age(item.expires_at * 1000 - now)
end

local function answer_text(d)
  if d.omitted then return ("%s, not kept"):format(d.status or "?") end
  return d.status and ("%d, %d bytes"):format(d.status, d.bytes or 0) or "-"
end

local function row_of(item, now)
  local d = described(item, now)
  return { operator.plain(d.key), d.state, d.age_ms and operator.age(d.age_ms) or "-", until_text(item, now),
    d.holder and d.holder:sub(-12) or "-", d.request_hash and d.request_hash:sub(1, 12) or "-", answer_text(d) }
end

local EXPLAINED = {
  lapsed = "lapsed: its process died or was cut off; the next request runs.",
  held = "held: its process died or was cut off, and nobody runs before it is evicted.",
  expired = "expired: counts as gone; the table has not deleted it yet.",
  other = "other: no record of perigee.idempotency (the lease of a schedule, say).",
}

local function print_records(list, now)
  local rows, told = { { "KEY", "STATE", "AGE", "EXPIRES", "HOLDER", "HASH", "ANSWER" } }, {}
  for i, item in ipairs(list) do rows[i + 1] = row_of(item, now) end
  io.stdout:write(operator.columns(rows))
  for i = 2, #rows do
    local text = EXPLAINED[rows[i][2]]
    if text and not told[text] then
      io.stdout:write(next(told) and "" or "\n", text, "\n")
      told[text] = true
    end
  end
end

local function put_json(value) operator.say(json.encode(value)) end

-- ==== find ==============================================================================================================

local function find(store, options, key)
  local table_name, now = table_of(store, options), time.now()
  local exact, more = get(store, table_name, key), false
  local list = { exact }
  if not exact then list, more = scan(store, table_name, key, options.limit or LIMIT) end
  if options.json then
    local out = json.array {}
    for i, item in ipairs(list) do out[i] = described(item, now) end
    put_json(out)
  elseif #list > 0 then
    print_records(list, now)
    if more then operator.say(("\nThere are more than %d; --limit N shows others."):format(#list)) end
  end
  if #list > 0 then return 0 end
  if not options.json then
    return operator.fail("idempotency", ("no record of %s has the key %s, or one that begins with it"):format(table_name, key))
  end
  return 1
end

-- ==== evict =============================================================================================================

-- Only as it was when we looked.
local function delete(store, table_name, item)
  local values, conditions = {}, {}
  for _, name in ipairs { "holder", "phase", "request_hash", "lease_until" } do
    if item[name] == nil then
      conditions[#conditions + 1] = ("attribute_not_exists(%s)"):format(name)
    else
      conditions[#conditions + 1], values[":" .. name] = ("%s = :%s"):format(name, name), dynamodb.marshal(item[name])
    end
  end
  local _, err = store:call("dynamodb", "DeleteItem", { TableName = table_name, Key = { key = { S = item.key } },
    ConditionExpression = table.concat(conditions, " AND "), ExpressionAttributeValues = values })
  if not err then return true end
  if err.code == "ConditionalCheckFailedException" then
    return false, "the record was changed this moment, and was left alone: look again"
  end
  return false, err.message or tostring(err)
end

local function agreed(options, item, state)
  if options.yes then return true end
  io.stderr:write(("Evict %s (%s)? What it was about may then run again. [y/N] "):format(operator.plain(item.key), state))
  local answer = io.stdin:read "l"
  return answer ~= nil and answer:lower():find "^y" ~= nil
end

local function refusal(item, state, options, key, table_name)
  if not item then return ("%s has no record with the key %s"):format(table_name, key) end
  if state == "other" then return key .. " is no record of perigee.idempotency" end
  if state == "running" and not options.force then
    return ("%s is running, its lease ends in %s: wait, or --force"):format(key, operator.age(item.lease_until - time.now()))
  end
end

local function evict(store, options, key)
  local table_name = table_of(store, options)
  local item = get(store, table_name, key)
  local state = item and state_of(item, time.now())
  local why = refusal(item, state, options, key, table_name)
  if why then return operator.fail("idempotency", why) end
  if not agreed(options, item, state) then
    return operator.fail("idempotency", "nothing was evicted (--yes evicts without asking)")
  end
  local done, failure = delete(store, table_name, item)
  if not done then return operator.fail("idempotency", failure) end
  if options.json then
    put_json { evicted = key, state = state }
  else
    operator.say(("evicted %s (%s)"):format(operator.plain(key), state))
  end
  return 0
end

-- ==== the command =======================================================================================================

local ACTIONS = { find = find, evict = evict }
local OWN = { limit = "find", yes = "evict", force = "evict" }

---@param options table<string, any>
---@param operands string[]
---@return integer code
function command.main(options, operands)
  local action, key = operands[1], operands[2]
  local why
  if not ACTIONS[action] then
    why = action and ("'%s' is not find or evict"):format(action) or "find KEY or evict KEY"
  elseif not key or key == "" then
    why = action .. ": which key?"
  elseif operands[3] then
    why = ("unexpected argument '%s'"):format(operands[3])
  elseif not utf8.len(key) then
    why = "the key is not UTF-8"
  else
    why = operator.misplaced(options, OWN, action)
  end
  if why then return operator.fail("idempotency", why, 2) end
  return operator.run("idempotency", options, function(store) return ACTIONS[action](store, options, key) end)
end

return command
