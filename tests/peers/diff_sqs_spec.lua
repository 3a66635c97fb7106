-- Random calls to our engine, to ElasticMQ and to moto: equal answers, but for what diff_sqs_explained.py lists. See diff_sqs.py.
local differ = require "peers.differ"

differ.describe(_ENV, "diff_sqs.py", { elasticmq = 150, moto = 120 }, { elasticmq = "--name elasticmq", moto = "--name moto" })
