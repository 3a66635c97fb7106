--- JSON Schema (2020-12), the subset that handlers need; what is outside of it raises when the schema is loaded, naming the
--- file and the place, so a schema never promises what nobody checks.
---
--- Checked: type (one or a list), enum, const, properties, required, additionalProperties, items, minItems, maxItems,
--- minLength, maxLength (in characters), minimum, maximum, exclusiveMinimum, exclusiveMaximum, format, allOf, anyOf, oneOf, $ref
--- (to "#" and below), true and false as schemas.
--- Read over: $schema (2020-12 only), $id, $comment, $defs, title, description, default, examples, deprecated.
--- Two deliberate differences: "integer" means written as an integer (1.0 is refused, int64 exact), and `format` is always
--- checked, its values being those of perigee.formats; unknown ones raise. `pattern` is not there: Lua has no ECMA expressions.
---
---   local schema = validate.schema "order" -- config/schemas/order.json
---   local ok, fields = schema:check(value) -- true, or nil and { {path="lines[1].unit_price", message="..."}, ... }
local formats = require "perigee.formats"
local json = require "perigee.json"

local validate = {}

---@class perigee.Field what is wrong with one place of a document
---@field path string "lines[1].unit_price"; the index of the first element is 0, as in JSON; "" is the whole document
---@field message string

---@class perigee.Schema
---@field package node fun(value: any, path: string?, fields: perigee.Field[]?): boolean
local Schema = {}
Schema.__index = Schema

local DIALECT = "https://json-schema.org/draft/2020-12/schema"

-- ==== values ==========================================================================================================

local type, number_type, is_array, null = type, math.type, json.is_array, json.null -- asked for each value

local function type_of(v)
  local t = type(v)
  if t == "string" then return t end
  if t == "table" then return is_array(v) and "array" or "object" end
  if t == "number" then return number_type(v) == "integer" and "integer" or "number" end
  if v == null then return "null" end
  return t
end

local function same(a, b)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" or json.is_array(a) ~= json.is_array(b) then return false end
  for k, v in pairs(a) do
    if not same(v, b[k]) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return true
end

local function show(v)
  return type(v) == "table" and json.encode(v) or v == json.null and "null" or type(v) == "string" and v or tostring(v)
end

local function sorted(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys)
  return keys
end

local function child(path, key)
  return path == "" and key or path .. "." .. key
end

-- A check answers true, or false; with `fields` it also says why, and goes on to find everything that is wrong.
local function wrong(fields, path, message, ...)
  if fields then fields[#fields + 1] = { path = path, message = select("#", ...) > 0 and message:format(...) or message } end
  return false
end

-- ==== keywords ========================================================================================================
-- keyword(argument, at, compile, schema) makes the check fn(value, path, fields, kind); kind is type_of(value). What compile
-- makes of a whole schema finds out the kind by itself when it is not given.
-- `at` names the place for complaints about the schema itself.

local TYPES = { null = true, boolean = true, object = true, array = true, number = true, string = true, integer = true }
local ARTICLE = { null = "null", boolean = "a boolean", object = "an object", array = "an array", number = "a number",
  string = "a string", integer = "an integer" }

local keyword = {}

local function need(ok, at, what)
  if not ok then error(at .. ": " .. what, 0) end
end

local function need_integer(n, at)
  need(math.type(n) == "integer" and n >= 0, at, "must be an integer that is not negative")
end

local function need_list(list, at)
  need(type(list) == "table" and json.is_array(list) and #list > 0, at, "must be an array with elements")
end

-- The kinds that `type` allows, as a set, and the complaint about others.
local function types(arg, at)
  local names, allowed, words = type(arg) == "table" and arg or { arg }, {}, {}
  need(#names > 0, at, "must name a type")
  for i, name in ipairs(names) do
    need(TYPES[name], at, ("'%s' is no type"):format(tostring(name)))
    allowed[name], words[i] = true, ARTICLE[name]
  end
  if allowed.number then allowed.integer = true end
  return allowed, "must be " .. table.concat(words, " or ")
end

function keyword.enum(list, at)
  need_list(list, at)
  local words = {}
  for i, v in ipairs(list) do words[i] = show(v) end
  local message = "must be one of " .. table.concat(words, ", ")
  return function(v, path, fields)
    for _, allowed in ipairs(list) do
      if same(v, allowed) then return true end
    end
    return wrong(fields, path, "%s", message)
  end
end

function keyword.const(const)
  return function(v, path, fields)
    return same(v, const) or wrong(fields, path, "must be %s", show(const))
  end
end

local function bound(holds, text)
  return function(limit, at)
    need(type(limit) == "number", at, "must be a number")
    return function(v, path, fields)
      return type(v) ~= "number" or holds(v, limit) or wrong(fields, path, text, show(limit))
    end
  end
end

keyword.minimum = bound(function(v, limit) return v >= limit end, "must be at least %s")
keyword.maximum = bound(function(v, limit) return v <= limit end, "must be at most %s")
keyword.exclusiveMinimum = bound(function(v, limit) return v > limit end, "must be greater than %s")
keyword.exclusiveMaximum = bound(function(v, limit) return v < limit end, "must be less than %s")

local function length(of, holds, text)
  return function(limit, at)
    need_integer(limit, at)
    return function(v, path, fields, kind)
      return kind ~= of or holds(v, limit) or wrong(fields, path, text, limit)
    end
  end
end

-- There are never more characters than bytes.
local function is_long(s, limit) return #s >= limit and (utf8.len(s) or #s) >= limit end
local function is_short(s, limit) return #s <= limit or (utf8.len(s) or #s) <= limit end

keyword.minLength = length("string", is_long, "must have at least %d characters")
keyword.maxLength = length("string", is_short, "must have at most %d characters")
keyword.minItems = length("array", function(t, limit) return #t >= limit end, "must have at least %d elements")
keyword.maxItems = length("array", function(t, limit) return #t <= limit end, "must have at most %d elements")

function keyword.format(name, at)
  local complain = formats[name]
  need(complain, at, ("'%s' is not among the formats %s"):format(tostring(name), table.concat(sorted(formats), ", ")))
  return function(v, path, fields)
    local message = type(v) == "string" and complain(v)
    return not message or wrong(fields, path, "%s", message)
  end
end

function keyword.required(names, at)
  need(type(names) == "table" and (#names == 0 or json.is_array(names)), at, "must be an array")
  for _, name in ipairs(names) do need(type(name) == "string", at, "must hold strings") end
  return function(v, path, fields, kind)
    if kind ~= "object" then return true end
    local ok = true
    for i = 1, #names do
      if v[names[i]] == nil then
        if not fields then return false end
        ok = wrong(fields, child(path, names[i]), "is required")
      end
    end
    return ok
  end
end

local function unknown(_, path, fields) return wrong(fields, path, "is not a known field") end

-- properties and additionalProperties: one walk over the members.
local function members(at, compile, schema)
  local map, rest = schema.properties, schema.additionalProperties
  local checks = {}
  need(map == nil or type(map) == "table" and not (json.is_array(map) and #map > 0), at .. "/properties", "must be an object")
  for _, name in ipairs(sorted(map or {})) do checks[name] = compile(map[name], at .. "/properties/" .. name) end
  local other = rest == false and unknown or rest ~= nil and compile(rest, at .. "/additionalProperties") or nil
  return function(v, path, fields, kind)
    if kind ~= "object" then return true end
    local ok = true
    for name, member in next, v do
      local check = checks[name] or other
      if check and not check(member, fields and child(path, name), fields) then
        if not fields then return false end
        ok = false
      end
    end
    return ok
  end
end

function keyword.properties(_, at, compile, schema)
  return members(at:gsub("/properties$", ""), compile, schema)
end

function keyword.additionalProperties(_, at, compile, schema)
  if schema.properties == nil then return members(at:gsub("/additionalProperties$", ""), compile, schema) end
end

function keyword.items(schema, at, compile)
  local check = compile(schema, at)
  return function(v, path, fields, kind)
    if kind ~= "array" then return true end
    local ok = true
    for i, element in ipairs(v) do
      if not check(element, fields and ("%s[%d]"):format(path, i - 1), fields) then
        ok = false
        if not fields then return false end
      end
    end
    return ok
  end
end

local function branches(list, at, compile)
  need_list(list, at)
  local checks = {}
  for i, schema in ipairs(list) do checks[i] = compile(schema, ("%s/%d"):format(at, i - 1), true) end
  return checks
end

function keyword.allOf(list, at, compile)
  local checks = branches(list, at, compile)
  return function(v, path, fields, kind)
    local ok = true
    for _, check in ipairs(checks) do
      if not check(v, path, fields, kind) then
        ok = false
        if not fields then return false end
      end
    end
    return ok
  end
end

-- Of the alternatives that all failed, the one that the sender most likely meant: fewest complaints, less what is there of it.
local function nearest(list, checks, v, path)
  local best, best_score
  for i, check in ipairs(checks) do
    local found = {}
    check(v, path, found)
    local score = #found
    local required = type(list[i]) == "table" and type(v) == "table" and list[i].required
    for _, name in ipairs(required or {}) do
      if v[name] ~= nil then score = score - 1 end
    end
    if not best or score < best_score then best, best_score = found, score end
  end
  return best
end

local function alternatives(list)
  local words, seen = {}, {}
  for _, schema in ipairs(list) do
    local title = type(schema) == "table" and schema.title
    if title and not seen[title] then
      seen[title] = true
      words[#words + 1] = schema.required and ("%s (%s)"):format(title, table.concat(schema.required, ", ")) or title
    end
  end
  return #words > 1 and "must be " .. table.concat(words, " or ") or nil
end

local function choice(exactly_one)
  return function(list, at, compile)
    local checks, summary = branches(list, at, compile), alternatives(list)
    return function(v, path, fields, kind)
      local n = 0
      for i = 1, #checks do
        if checks[i](v, nil, nil, kind) then n = n + 1 end
        if n == 1 and not exactly_one then return true end
      end
      if n == 1 then return true end
      if not fields then return false end
      if n > 1 then return wrong(fields, path, "matches more than one of the alternatives") end
      local found = nearest(list, checks, v, path)
      table.move(found, 1, #found, #fields + 1, fields)
      if summary then wrong(fields, path, "%s", summary) end
      return false
    end
  end
end

keyword.anyOf = choice(false)
keyword.oneOf = choice(true)

local ANNOTATIONS = { ["$id"] = true, ["$comment"] = true, ["$defs"] = true, title = true, description = true, default = true,
  examples = true, deprecated = true }
-- Type first: when it is wrong, the rest has nothing to say.
local ORDER = { "$ref", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength",
  "format", "minItems", "maxItems", "required", "properties", "additionalProperties", "items", "allOf", "anyOf", "oneOf" }

-- ==== compiling =======================================================================================================

local function always() return true end
local function never(_, path, fields) return wrong(fields, path, "is not allowed") end

local function resolve(root, ref, at)
  need(type(ref) == "string" and ref:find("^#"), at, "only references into this file (\"#/$defs/name\") are supported")
  local node = root
  for part in ref:sub(2):gmatch("/([^/]*)") do
    part = part:gsub("~1", "/"):gsub("~0", "~")
    node = type(node) == "table" and node[json.is_array(node) and math.tointeger(tonumber(part) or 0.5) or part] or nil
  end
  need(type(node) == "table" or type(node) == "boolean", at, ("%s is not there"):format(ref))
  return node
end

-- References that lead back to themselves without going down into the value would never end.
local function refuse_cycles(edges, file)
  local state = {}
  local function visit(unit)
    if state[unit] == "done" then return end
    need(state[unit] ~= "open", file .. ": " .. unit, "$ref leads back to itself")
    state[unit] = "open"
    for _, target in ipairs(edges[unit] or {}) do visit(target) end
    state[unit] = "done"
  end
  for _, unit in ipairs(sorted(edges)) do visit(unit) end
end

local function compiler(root, file)
  local edges, refs = {}, {}
  local compile

  local function check_keywords(schema, at)
    for _, name in ipairs(sorted(schema)) do
      if name == "$schema" then
        need(schema[name] == DIALECT, at, "$schema must be " .. DIALECT)
      else
        need(keyword[name] or name == "type" or name == "$ref" or ANNOTATIONS[name], at,
          ("the keyword '%s' is not supported (see perigee.validate)"):format(name))
      end
    end
  end

  local function reference(ref, at, unit)
    edges[unit] = edges[unit] or {}
    table.insert(edges[unit], ref)
    if refs[ref] == nil then
      refs[ref] = false -- being compiled: recursion finds it later
      refs[ref] = compile(resolve(root, ref, at), ref, ref)
    end
    if refs[ref] then return refs[ref] end
    return function(v, path, fields, kind) return refs[ref](v, path, fields, kind) end
  end

  ---@param unit string the schema that this one applies to the same value with
  function compile(schema, where, unit)
    local at = file .. ": " .. where
    if schema == true then return always end
    if schema == false then return never end
    need(type(schema) == "table" and not (json.is_array(schema) and #schema > 0), at, "a schema must be an object or a boolean")
    check_keywords(schema, at)
    local function inner(sub, sub_at, in_place)
      local sub_where = sub_at:sub(#file + 3)
      return compile(sub, sub_where, in_place and unit or sub_where)
    end
    local allowed, message = nil, nil
    if schema.type ~= nil then allowed, message = types(schema.type, at .. "/type") end
    local checks = {}
    for _, name in ipairs(ORDER) do
      local arg, place = schema[name], at .. "/" .. name
      if arg ~= nil then
        checks[#checks + 1] = name == "$ref" and reference(arg, place, unit) or keyword[name](arg, place, inner, schema)
      end
    end
    local n = #checks
    if n == 1 and schema["$ref"] and not allowed then return checks[1] end
    return function(v, path, fields, kind)
      kind = kind or type_of(v)
      if allowed and not allowed[kind] then return wrong(fields, path, message) end
      local ok = true
      for i = 1, n do
        if not checks[i](v, path, fields, kind) then
          if not fields then return false end
          ok = false
        end
      end
      return ok
    end
  end

  for _, name in ipairs(sorted(root["$defs"] or {})) do reference("#/$defs/" .. name, file .. ": #/$defs", "#/$defs/") end
  edges["#/$defs/"] = nil
  local node = compile(root, "#", "#")
  refs["#"] = refs["#"] or node
  refuse_cycles(edges, file)
  return node
end

---Makes a schema from JSON text. Raises, naming `file` and the place in it, for everything outside of the subset.
---@param text string
---@param file string names the schema in messages
---@return perigee.Schema
function validate.compile(text, file)
  local root, err = json.decode(text)
  if err then error(("%s: %s"):format(file, err.message), 0) end
  need(type(root) == "table" and not json.is_array(root), file, "a schema file must hold an object")
  return setmetatable({ node = compiler(root, file) }, Schema)
end

local loaded = {} -- path -> { text, schema }: compiled once a version of the file

---The schema in config/schemas/<name>.json. Raises when it is missing or outside of the subset.
---@param name string
---@return perigee.Schema
function validate.schema(name)
  local path = ("config/schemas/%s.json"):format(name)
  local text, err = require("perigee.file").read(path)
  if not text then error(("%s: %s"):format(path, tostring(err)), 2) end
  if not loaded[path] or loaded[path].text ~= text then
    loaded[path] = { text = text, schema = validate.compile(text, path) }
  end
  return loaded[path].schema
end

local function by_path(a, b)
  if a.path ~= b.path then return a.path < b.path end
  return a.message < b.message
end

-- Every complaint once, in the order of their paths.
local function tidy(fields)
  local out, seen = {}, {}
  for _, field in ipairs(fields) do
    local key = field.path .. "\0" .. field.message
    if not seen[key] then
      seen[key] = true
      out[#out + 1] = field
    end
  end
  table.sort(out, by_path)
  return out
end

---Checks a value as perigee.json decodes it; finds everything that is wrong with it.
---@param value any
---@return true? ok
---@return perigee.Field[]? fields
function Schema:check(value)
  if self.node(value) then return true end
  local fields = {}
  self.node(value, "", fields)
  return nil, tidy(fields)
end

return validate
