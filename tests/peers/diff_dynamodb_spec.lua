-- Random calls to our engine and to DynamoDB Local: equal answers, but for what README.md lists. See diff_dynamodb.py.
local differ = require "peers.differ"

differ.describe(_ENV, "diff_dynamodb.py", { dynamodb = 700 })
