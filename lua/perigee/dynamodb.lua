--- perigee.dynamodb: Lua values as DynamoDB's attribute values and back, as they travel ({S=..}, {N="1"}, {M={..}}).
--
-- The operations of aws.dynamodb do this by themselves; this is for what arrives in that shape from elsewhere (streams,
-- exports, aws.call) or has to leave in it.
--
--   Lua                                   attribute value
--   string (UTF-8)                        {S = text}          may be empty
--   integer, finite float, aws.number     {N = digits}        integers and up to 38 digits exactly
--   boolean                               {BOOL = b}
--   json.null                             {NULL = true}
--   aws.binary(bytes)                     {B = base64}        any bytes, may be empty
--   sequence, json.array{...}             {L = {...}}         may be empty: json.array{}
--   other tables, {}                      {M = {...}}         may be empty
--   aws.set{...}                          {SS|NS|BS = {...}}  of one type, never empty
--
-- Numbers come back as integers, as floats when those stand for exactly the same decimal, else as aws.number objects.
-- What has no attribute value (functions, NaN, lists with holes, strings that are not UTF-8) raises, naming its place.
local core = require "perigee.aws.core"

---@class perigee.dynamodb
return {
  --- One value -> {S=..}.
  ---@type fun(value: any): table
  marshal = core.marshal,
  --- {S=..} -> value.
  ---@type fun(attribute: table): any
  unmarshal = core.unmarshal,
  --- {name = value} -> {name = {S=..}}: an Item, a Key, ExpressionAttributeValues.
  ---@type fun(item: table<string, any>): table<string, table>
  marshal_item = core.marshal_item,
  --- {name = {S=..}} -> {name = value}.
  ---@type fun(item: table<string, table>): table<string, any>
  unmarshal_item = core.unmarshal_item,
  --- As in perigee.aws.
  ---@type fun(values: any[]): perigee.aws.Set
  set = core.set,
  ---@type fun(bytes: string): perigee.aws.Binary
  binary = core.binary,
  ---@type fun(text: string|number): perigee.aws.Number
  number = core.number,
}
