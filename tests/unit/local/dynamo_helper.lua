-- Shorthand for the DynamoDB specs: an engine in memory whose calls take and give Lua tables.
local json = require "dkjson"
local t_local = require "t.local"

local H = {}
H.json = json

-- An empty JSON object.
function H.object()
  return setmetatable({}, { __jsontype = "object" })
end

local function encode(v)
  if type(v) == "table" and not next(v) then return "{}" end
  return type(v) == "string" and v or json.encode(v)
end

local DB = {}
DB.__index = DB

function H.open(now)
  local e, name, message = t_local.open { memory = true, now = now or 1700000000000 }
  assert(e, (name or "") .. " " .. (message or ""))
  return setmetatable({ e = e }, DB)
end

function DB:close()
  self.e:close()
end

-- The decoded answer and whether it is an error document.
function DB:call(action, params)
  local result, err = self.e:call("dynamodb", action, encode(params))
  local doc = assert(json.decode(result or err))
  return doc, doc.__type ~= nil
end

-- The result; an error of the engine is an error of the test.
function DB:ok(action, params)
  local doc, failed = self:call(action, params)
  if failed then error(action .. ": " .. json.encode(doc), 2) end
  return doc
end

-- The error document; success is an error of the test.
function DB:fail(action, params)
  local doc, failed = self:call(action, params)
  if not failed then error(action .. " should have failed, but answered " .. json.encode(doc), 2) end
  doc.name = doc.__type:gsub("^.*#", "")
  doc.message = doc.message or doc.Message
  return doc
end

function DB:message(action, params)
  return self:fail(action, params).message
end

-- spec: { name, hash = "id:S", range = "at:N", gsi = { { "by_x", "x:S", "at:N", projection } }, lsi = ... }
function DB:table(spec)
  local seen, defs = {}, {}
  local function key(text, kind)
    local name, type = text:match("^(.+):(%u)$")
    if not seen[name] then
      seen[name] = true
      defs[#defs + 1] = { AttributeName = name, AttributeType = type }
    end
    return { AttributeName = name, KeyType = kind }
  end
  local function schema(hash, range)
    local s = { key(hash, "HASH") }
    if range then s[2] = key(range, "RANGE") end
    return s
  end
  local function indexes(list)
    local out = {}
    for i, x in ipairs(list or {}) do
      out[i] = {
        IndexName = x[1],
        KeySchema = schema(x[2], x[3]),
        Projection = x[4] or { ProjectionType = "ALL" },
      }
    end
    return #out > 0 and out or nil
  end
  local p = { TableName = spec[1] or spec.name, BillingMode = "PAY_PER_REQUEST" }
  p.KeySchema = schema(spec.hash, spec.range)
  p.GlobalSecondaryIndexes = indexes(spec.gsi)
  p.LocalSecondaryIndexes = indexes(spec.lsi)
  p.AttributeDefinitions = defs
  return self:ok("CreateTable", p)
end

function H.S(v)
  return { S = v }
end
function H.N(v)
  return { N = tostring(v) }
end

return H
