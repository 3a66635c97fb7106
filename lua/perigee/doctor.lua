--- perigee.doctor: `perigee doctor`: would `perigee serve` with these options work? One line a check:
---
---   ok    what is fine
---   warn  what may surprise
---   FAIL  what will not work, and what to do
---
--- Nothing is created or changed. On AWS permissions are taken from IAM's simulator where we may ask it, else tried with
--- calls that cannot have an effect (reads of a random key, writes under a condition that cannot hold); where there is no
--- such call the line says that it cannot be told.
local aws = require "perigee.aws"
local crypto = require "perigee.crypto"
local json = require "perigee.json"
local time = require "perigee.time"

local doctor = {}

---@class perigee.doctor.Report
---@field write fun(line: string)
---@field failed integer
local Report = {}
Report.__index = Report

local function one_line(text) return (tostring(text):gsub("%s*\n%s*", "; "):gsub("; $", "")) end

function Report:say(mark, fmt, ...)
  local text = select("#", ...) > 0 and fmt:format(...) or fmt
  if mark == "FAIL" then self.failed = self.failed + 1 end
  self.write(("%-5s %s\n"):format(mark, one_line(text)))
end
function Report:ok(...) self:say("ok", ...) end
function Report:warn(...) self:say("warn", ...) end
function Report:fail(...) self:say("FAIL", ...) end

local function why(err) return err.message or tostring(err) end

local function timed(service, action, params)
  local before = time.monotonic()
  local result, err = aws.call(service, action, params)
  return result, err, time.monotonic() - before
end

-- The call did not reach a service that speaks to us.
local UNREACHED = { EndpointUnavailable = true, RequestTimeout = true, InvalidServiceResponse = true,
  CredentialsUnavailable = true,
  ConfigurationError = true }
local REFUSED = { InvalidClientTokenId = true, UnrecognizedClientException = true, InvalidAccessKeyId = true,
  SignatureDoesNotMatch = true, InvalidSignatureException = true, IncompleteSignature = true,
  ExpiredToken = true, ExpiredTokenException = true, InvalidToken = true }
local DENIED = { AccessDenied = true, AccessDeniedException = true, UnauthorizedOperation = true, AuthorizationError = true,
  Forbidden = true, ["403"] = true }

local function denied(err) return DENIED[err.code] or err.status == 403 and not REFUSED[err.code] end

-- aws.describe without json.null.
local function describe()
  local function plain(value)
    if type(value) ~= "table" then return value ~= json.null and value or nil end
    local out = {}
    for k, v in pairs(value) do out[k] = plain(v) end
    return out
  end
  return plain(aws.describe())
end

-- ==== who and where =========================================================================================================

local function check_credentials(r, about)
  local c = about.credentials
  if not c.source then
    r:fail("credentials: %s", c.error or "none found: set AWS_PROFILE, AWS_ACCESS_KEY_ID, or give this machine a role")
    return false
  end
  local expires = c.expires and ("until " .. c.expires) or "without expiry"
  r:ok("credentials: %s, from %s, %s", c.access_key_id, c.source, expires)
  return true
end

local function check_identity(r, options)
  local me, err = aws.call("sts", "GetCallerIdentity", {})
  if me then
    r:ok("identity: %s, account %s", me.Arn, me.Account)
    if options.account and options.account ~= me.Account then
      r:warn("account: --account says %s, STS says %s", options.account, me.Account)
    end
    return me
  end
  if REFUSED[err.code] then
    r:fail("identity: STS refuses these credentials (%s): %s", err.code, why(err))
  elseif not options.account then
    r:warn("identity: STS did not say who we are (%s); serve goes on under account 000000000000, --account N says which",
      why(err))
  end
end

local function check_region(r, about)
  if about.region == "" then
    r:fail("region: none; set AWS_REGION, `region` in profile %s, or --region", about.profile)
    return false
  end
  r:ok("region: %s, from %s", about.region, about.region_source or "settings")
  return true
end

-- A call a service that needs the least; any answer of the service's own will do.
local KNOCKS = {
  { "sts", "GetCallerIdentity", {} },
  { "dynamodb", "ListTables", { Limit = 1 } },
  { "sqs", "ListQueues", { MaxResults = 1 } },
  { "s3", "ListBuckets", {} },
}

local function services_used(template)
  local used = { sts = true }
  if template.tables and #template.tables > 0 then used.dynamodb = true end
  if template.queues and #template.queues > 0 then used.sqs = true end
  if template.buckets and #template.buckets > 0 then used.s3 = true end
  return used
end

-- true: all that the template needs answer.
local function check_services(r, about, template)
  local used, reached, answers = services_used(template), true, 0
  for _, knock in ipairs(KNOCKS) do
    local service = knock[1]
    if used[service] then
      local _, err, ms = timed(service, knock[2], knock[3])
      local at = about.services[service]
      local place = ("%s: %s (%s)"):format(service, at.endpoint or "no endpoint", at.source)
      if not err or not UNREACHED[err.code] then
        answers = answers + 1
        r:ok("%s answers in %d ms%s", place, ms, (at.endpoint or ""):find("^https:") and " over TLS" or ", not encrypted")
      elseif service == "sts" then
        r:warn("%s: %s", place, why(err)) -- engines that are not AWS often have none
      else
        reached = false
        r:fail("%s: %s", place, why(err))
      end
    end
  end
  return reached, answers > 0
end

local function check_clock(r)
  local largest, at = 0, nil
  for name, service in pairs(describe().services) do
    local ms = service.clock_correction_ms or 0
    if math.abs(ms) > math.abs(largest) then largest, at = ms, name end
  end
  if largest == 0 then
    r:ok "clock: within what the services accept"
  else
    r:warn("clock: %s's is %.1f s %s; calls are signed with its time, but set this machine's (NTP)", at, math.abs(largest) / 1000,
      largest > 0 and "ahead" or "behind")
  end
end

-- ==== what is declared ======================================================================================================

local function look(kind, resource)
  if kind == "table" then return aws.call("dynamodb", "DescribeTable", { TableName = resource.name }) end
  if kind == "queue" then return aws.call("sqs", "GetQueueUrl", { QueueName = resource.name }) end
  return aws.call("s3", "HeadBucket", { Bucket = resource.name })
end

local MISSING = { ResourceNotFoundException = true, QueueDoesNotExist = true, NoSuchBucket = true,
  ["AWS.SimpleQueueService.NonExistentQueue"] = true }

local function check_resource(r, template, kind, resource, options)
  local found, err = look(kind, resource)
  local at = ("%s:%d"):format(template.template, resource.line)
  if found then
    local state = found.Table and found.Table.TableStatus
    if state and state ~= "ACTIVE" and state ~= "UPDATING" then
      r:fail("%s: table %s is %s", at, resource.name, state)
    else
      r:ok("%s %s is there", kind, resource.name)
    end
  elseif MISSING[err.code] or err.status == 404 then
    if options.create then
      r:warn("%s: %s %s is missing; serve --create makes it", at, kind, resource.name)
    else
      r:fail("%s: %s %s is missing: sam deploy, or name it (--stack NAME, --resources %s=name), or serve --create",
        at, kind, resource.name,
        resource.logical_id)
    end
  elseif denied(err) then
    r:warn("%s: no leave to look for %s %s (%s)", at, kind, resource.name, err.code)
  else
    r:fail("%s: %s %s: %s", at, kind, resource.name, why(err))
  end
end

local function check_resources(r, template, options)
  for _, t in ipairs(template.tables) do check_resource(r, template, "table", t, options) end
  for _, q in ipairs(template.queues) do check_resource(r, template, "queue", q, options) end
  for _, b in ipairs(template.buckets) do check_resource(r, template, "bucket", b, options) end
end

local function check_lease(r, template, options)
  local enabled = 0
  for _, s in ipairs(template.schedules) do enabled = enabled + (s.enabled and 1 or 0) end
  if enabled == 0 then return end
  local table_name = options["lease-table"] or template.lease_table
  if table_name then
    r:ok("schedules: once across replicas, agreed on in table %s", table_name)
  else
    r:warn "schedules: every replica runs them; name a table in Metadata.Perigee.LeaseTable or --lease-table"
  end
end

-- ==== permissions ===========================================================================================================

-- Actions that templates may name with wildcards, expanded for IAM's simulator and for trying.
local ACTIONS = {
  "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:Query", "dynamodb:Scan",
  "dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem", "dynamodb:DescribeTable",
  "sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes",
  "sqs:GetQueueUrl",
  "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "ses:SendEmail", "ses:SendRawEmail",
}

local function pattern_of(glob)
  return "^" .. glob:lower():gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".") .. "$"
end

local function expanded(actions)
  local out, seen = {}, {}
  for _, action in ipairs(actions) do
    if action:find "[*?]" then
      local pattern = pattern_of(action)
      for _, known in ipairs(ACTIONS) do
        if known:lower():find(pattern) and not seen[known] then seen[known], out[#out + 1] = true, known end
      end
    elseif not seen[action] then
      seen[action], out[#out + 1] = true, action
    end
  end
  return out
end

-- The statement that Lambda's own policy gives every function with a queue: what of it counts is asked for each queue.
local function is_lambdas_own(statement)
  for _, action in ipairs(statement.actions) do
    if not action:find "^sqs:" then return false end
  end
  return #statement.resources == 1 and statement.resources[1] == "*"
end

-- What is needed: {who =, actions =, resources =}; what the host itself does counts too.
local function needs_of(template, partition, region, account)
  local needs = {}
  for _, f in ipairs(template.functions) do
    for _, s in ipairs(f.statements) do
      if not s.deny and not s.all_but and not is_lambdas_own(s) then -- all but some: nobody needs all of it
        needs[#needs + 1] = { who = f.name, actions = expanded(s.actions), resources = s.resources }
      end
    end
  end
  for _, feed in ipairs(template.feeds) do
    if feed.enabled then
      needs[#needs + 1] = {
        who = feed["function"],
        actions = { "sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility" },
        resources = { ("arn:%s:sqs:%s:%s:%s"):format(partition, region, account, feed.queue) },
      }
    end
  end
  if template.lease_table then
    needs[#needs + 1] = { who = "schedules", actions = { "dynamodb:UpdateItem" },
      resources = { ("arn:%s:dynamodb:%s:%s:table/%s"):format(partition, region, account, template.lease_table) } }
  end
  return needs
end

-- IAM's own answer -------------------------------------------------------------------------------------------------------

-- The role of "arn:aws:sts::123:assumed-role/Role/session" (one with a path cannot be told from it).
local function principal_of(arn)
  local partition, account, role = arn:match "^arn:([^:]+):sts::(%d+):assumed%-role/([^/]+)/"
  return role and ("arn:%s:iam::%s:role/%s"):format(partition, account, role) or arn
end

local function simulate(principal, need)
  local verdicts, marker = {}, nil
  repeat
    local out, err = aws.call("iam", "SimulatePrincipalPolicy",
      { PolicySourceArn = principal, ActionNames = need.actions, ResourceArns = need.resources, Marker = marker })
    if not out then return nil, err end
    if type(out.EvaluationResults) ~= "table" then
      return nil, { code = "InvalidServiceResponse", message = "IAM's simulator gave no results" }
    end
    for _, row in ipairs(out.EvaluationResults) do
      verdicts[#verdicts + 1] = { action = row.EvalActionName, resource = row.EvalResourceName,
        allowed = row.EvalDecision == "allowed",
        how = row.EvalDecision }
    end
    marker = (out.IsTruncated == true or out.IsTruncated == "true") and out.Marker or nil
  until not marker
  return verdicts
end

-- Trying -----------------------------------------------------------------------------------------------------------------

local function random_key(template, name)
  for _, t in ipairs(template.tables) do
    if t.name == name then
      local types, key, first = {}, {}, nil
      for _, d in ipairs(t.create.AttributeDefinitions) do types[d.AttributeName] = d.AttributeType end
      for _, k in ipairs(t.create.KeySchema) do
        local kind = types[k.AttributeName]
        local id = "perigee-doctor-" .. crypto.uuid()
        key[k.AttributeName] = kind == "N" and { N = "-9007199254740993" } or kind == "B" and { B = crypto.base64(id) }
          or { S = id }
        first = first or k.AttributeName
      end
      return key, first, t, types
    end
  end
end

-- A condition that cannot hold, since there is no item of that key.
local function conditional(name, template, action, more)
  local key, first = random_key(template, name)
  if not key then return nil end
  local params = { TableName = name, ConditionExpression = "attribute_exists(#k)", ExpressionAttributeNames = { ["#k"] = first } }
  if action == "PutItem" then params.Item = key else params.Key = key end
  for k, v in pairs(more or {}) do params[k] = v end
  local _, err = aws.call("dynamodb", action, params)
  return err and err.code == "ConditionalCheckFailedException", err
end

local function query(name, index, template)
  local key, first, t, types = random_key(template, name)
  if not key then return nil end
  if index then
    local found
    for _, list in ipairs { t.create.GlobalSecondaryIndexes or {}, t.create.LocalSecondaryIndexes or {} } do
      for _, i in ipairs(list) do
        if index == "*" or i.IndexName == index then found = found or i end
      end
    end
    if not found then return nil end
    index, first = found.IndexName, found.KeySchema[1].AttributeName
  end
  local kind = types[first]
  local value = kind == "N" and { N = "-9007199254740993" } or kind == "B" and { B = "AA==" }
    or { S = "perigee-doctor-" .. crypto.uuid() }
  local out, err = aws.call("dynamodb", "Query", { TableName = name, IndexName = index, KeyConditionExpression = "#k = :v",
    Limit = 1,
    ExpressionAttributeNames = { ["#k"] = first }, ExpressionAttributeValues = { [":v"] = value } })
  return out ~= nil, err
end

local function read(service, action, params)
  local out, err = aws.call(service, action, params)
  return out ~= nil, err
end

-- Of no message: who may use receipts is told that this is none.
local function bogus_receipt(action, params)
  params.ReceiptHandle = "perigee-doctor"
  local out, err = aws.call("sqs", action, params)
  return out ~= nil or err.code == "ReceiptHandleIsInvalid" or err.code == "InvalidParameterValue", err
end

-- Each: function(resource parts, template) -> true | false, err | nil (cannot be told)
local TRIES = {
  ["dynamodb:GetItem"] = function(at, template)
    local key = not at.index and random_key(template, at.name)
    if not key then return nil end
    return read("dynamodb", "GetItem", { TableName = at.name, Key = key })
  end,
  ["dynamodb:BatchGetItem"] = function(at, template)
    local key = not at.index and random_key(template, at.name)
    if not key then return nil end
    return read("dynamodb", "BatchGetItem", { RequestItems = { [at.name] = { Keys = { key } } } })
  end,
  ["dynamodb:DescribeTable"] = function(at) return read("dynamodb", "DescribeTable", { TableName = at.name }) end,
  ["dynamodb:Query"] = function(at, template) return query(at.name, at.index, template) end,
  ["dynamodb:PutItem"] = function(at, template) return conditional(at.name, template, "PutItem") end,
  ["dynamodb:DeleteItem"] = function(at, template) return conditional(at.name, template, "DeleteItem") end,
  ["dynamodb:UpdateItem"] = function(at, template)
    return conditional(at.name, template, "UpdateItem", { UpdateExpression = "SET #d = :d",
      ExpressionAttributeNames = { ["#k"] = select(2, random_key(template, at.name)), ["#d"] = "perigee_doctor" },
      ExpressionAttributeValues = { [":d"] = { S = "x" } } })
  end,
  ["sqs:GetQueueUrl"] = function(at) return read("sqs", "GetQueueUrl", { QueueName = at.name }) end,
  ["sqs:GetQueueAttributes"] = function(at)
    return read("sqs", "GetQueueAttributes", { QueueUrl = at.url, AttributeNames = { "QueueArn" } })
  end,
  ["sqs:DeleteMessage"] = function(at) return bogus_receipt("DeleteMessage", { QueueUrl = at.url }) end,
  ["sqs:ChangeMessageVisibility"] = function(at)
    return bogus_receipt("ChangeMessageVisibility", { QueueUrl = at.url, VisibilityTimeout = 0 })
  end,
  ["s3:ListBucket"] = function(at) return read("s3", "ListObjectsV2", { Bucket = at.name, MaxKeys = 1 }) end,
  ["s3:GetObject"] = function(at)
    local out, err = aws.call("s3", "HeadObject", { Bucket = at.name, Key = at.prefix .. "perigee-doctor-" .. crypto.uuid() })
    if out or err.status == 404 then return true end
    return nil, err -- without s3:ListBucket what is not there reads as forbidden
  end,
}

local function parts_of(arn, template)
  local service, rest = arn:match "^arn:[^:]*:([^:]+):[^:]*:[^:]*:(.+)$"
  if service == "dynamodb" then
    local name, index = rest:match "^table/([^/*?]+)/index/(.+)$"
    return { service = service, name = name or rest:match "^table/([^/*?]+)$", index = index }
  elseif service == "sqs" then
    return { service = service, name = not rest:find "[*?]" and rest or nil, url = (template.queue_base or "") .. "/" .. rest }
  elseif service == "s3" then
    local bucket, key = rest:match "^([^/*?]+)/(.*)$"
    return { service = service, name = bucket or rest:match "^([^/*?]+)$", prefix = key and key:match "^[^*?]*" or "" }
  end
  return { service = service }
end

local function try(template, action, arn)
  local at = parts_of(arn, template)
  if not at.name or at.service ~= action:match "^[^:]+" or not TRIES[action] then return nil end
  local allowed, err = TRIES[action](at, template)
  if allowed or allowed == nil then return allowed, err end
  if denied(err) then return false, err end
  return nil, err
end

-- All -------------------------------------------------------------------------------------------------------------------

local function note(list, who)
  if not list[who] then list[who], list[#list + 1] = true, who end
end

local function verdict_of(known, action, resource)
  for _, v in ipairs(known) do
    if v.action:lower() == action:lower() and v.resource == resource then return v.allowed end
  end
end

-- {["action on resource"] = {allowed = true|false|nil, who = {..}}}, in the order of the template
local function judge(template, needs, principal)
  local rows, order, simulated = {}, {}, principal ~= nil
  for _, need in ipairs(needs) do
    local known, err = nil, nil
    if simulated and #need.actions > 0 then known, err = simulate(principal, need) end
    if simulated and err then simulated = false end
    for _, resource in ipairs(need.resources) do
      for _, action in ipairs(need.actions) do
        local name = action .. " on " .. resource
        if not rows[name] then
          local allowed = known and verdict_of(known, action, resource)
          if not known then allowed = try(template, action, resource) end
          rows[name] = { name = name, action = action, resource = resource, allowed = allowed, who = {} }
          order[#order + 1] = rows[name]
        end
        note(rows[name].who, need.who)
      end
    end
  end
  return order, simulated
end

local function check_permissions(r, template, me)
  local id = describe()
  local needs = needs_of(template, id.partition or "aws", id.region, me and me.Account or id.account)
  local rows, simulated = judge(template, needs, me and principal_of(me.Arn))
  local allowed, untold = 0, {}
  for _, row in ipairs(rows) do
    if row.allowed then
      allowed = allowed + 1
    elseif row.allowed == false then
      r:fail("permission: %s is missing, for %s", row.name, table.concat(row.who, ", "))
    else
      local group = untold[row.action]
      if not group then
        group = { action = row.action }
        untold[row.action], untold[#untold + 1] = group, group
      end
      group[#group + 1] = row.resource:match "([^:]+)$"
    end
  end
  if allowed > 0 then
    r:ok("permissions: %d are there, %s", allowed, simulated and "says IAM's simulator" or "as harmless calls show")
  end
  for _, group in ipairs(untold) do
    r:warn("permission: cannot tell about %s on %s (no harmless call shows it)", group.action, table.concat(group, ", "))
  end
end

-- ==== the template, fonts, this machine =====================================================================================

local function check_template(r, host, template, given)
  if template.problems then
    for line in template.problems:gmatch "[^\n]+" do r:fail("template: %s", line) end
    return false
  end
  local fine, problems = host.check(given)
  if fine then
    r:ok("template: %s, schemas and handlers are fine (%d functions)", template.template, #template.functions)
  else
    for line in problems:gmatch "[^\n]+" do r:fail("handlers: %s", line) end
  end
  for _, name in ipairs(template.unset_secrets) do
    r:warn("template: parameter %s is empty: serve refuses to listen off loopback", name)
  end
  return true
end

local function check_fonts(r, options)
  local given = (options.parameters or ""):match "FontPaths=([^,]*)" or os.getenv "PERIGEE_FONT_PATHS"
  local bytes, err = require("perigee.receipt").render({ order_id = "doctor" }, { fonts = given })
  if bytes then
    r:ok "fonts: found, a receipt can be drawn"
  else
    r:warn("fonts: %s; apt-get install fonts-liberation2, or parameter FontPaths: receipts cannot be drawn", why(err))
  end
end

local function check_port(r, host, options, name)
  local port = math.tointeger(tonumber(options[name]))
  if not port or port <= 0 then return end
  local free, err = host.try_port(options.host or "127.0.0.1", port)
  if not free then return r:fail("--%s: %s; choose another", name, why(err)) end
  r:ok("--%s: %d is free on %s", name, port, options.host)
end

local function check_data(r, host, options)
  if options.memory then return r:ok "data: kept in memory, gone at the end" end
  local dir = options.data or ".perigee"
  local fine, err = host.try_data(dir)
  if fine then
    r:ok("data: %s can be used", dir)
  elseif err.code == "DataDirectoryInUse" then
    r:warn("data: %s", why(err))
  else
    r:fail("data: %s", why(err))
  end
end

-- ==== all ===================================================================================================================

local function check_aws(r, template, options)
  local _, first = aws.call("sts", "GetCallerIdentity", {}) -- fetches credentials: describe tells of them afterwards
  local about = describe()
  local somewhere, known = check_region(r, about), check_credentials(r, about)
  if not (somewhere and known) then return end
  if first and REFUSED[first.code] then
    check_identity(r, options)
    return
  end
  local me = check_identity(r, options)
  local reached, some = check_services(r, about, template)
  if some then check_clock(r) end
  if template.deployment_error then r:fail("deployment: %s", template.deployment_error) end
  if not reached or not template.functions then return end
  check_resources(r, template, options)
  check_lease(r, template, options)
  check_permissions(r, template, me)
end

---@param options table<string, string> the options of `perigee doctor`
---@param host table perigee.host
---@param write fun(line: string)
---@return integer code 0, or 1 when something will not work
function doctor.run(options, host, write)
  local r = setmetatable({ write = write, failed = 0 }, Report)
  local given = {
    template = options.template, parameters = options.parameters, lua_dir = options["lua-dir"], aws = options.aws,
    profile = options.profile, region = options.region, endpoint_url = options["endpoint-url"], account = options.account,
    access_key = options["access-key-id"], secret_key = options["secret-access-key"], session_token = options["session-token"],
    stack = options.stack, resources = options.resources, lease_table = options["lease-table"],
  }
  local template = host.inspect(given)
  check_template(r, host, template, given)
  check_fonts(r, options)
  check_port(r, host, options, "port")
  if options.aws then
    check_aws(r, template, options)
  else
    check_port(r, host, options, "cloud-port")
    check_data(r, host, options)
  end
  write(r.failed == 0 and "perigee serve would work\n"
    or ("%d thing%s to repair\n"):format(r.failed, r.failed == 1 and "" or "s"))
  return r.failed == 0 and 0 or 1
end

---@param options table<string, string|integer|true>
function doctor.main(options)
  return doctor.run(options, require "perigee.host", function(line) io.stdout:write(line) end)
end

return doctor
