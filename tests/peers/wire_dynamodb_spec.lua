-- boto3 against DynamoDB on the cloud port: see wire_dynamodb.py.
local wire = require "peers.wire"

local CHECKS = {
  "tables: create, describe, list in pages, delete", "items: all types there and back", "items: update, conditions, what is returned",
  "items: query and scan in pages, with filters", "items: an index", "items: batches", "items: transactions, their reasons and tokens",
  "time to live", "errors have botocore's classes", "unknown operations are named", "unsigned, an unknown key, a wrong secret",
  "a clock that is wrong by more than 15 minutes", "CRC32 and request id of answers and errors", "what is no JSON",
  "16 MB of a batch of binaries, and no more", "many clients at once count exactly",
}

wire.describe(_ENV, "boto3 on DynamoDB", "wire_dynamodb.py", CHECKS)
