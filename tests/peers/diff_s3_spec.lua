-- Random calls to our engine and to moto and MinIO: equal answers, but for what s3_explained.py lists.
local differ = require "peers.differ"

-- Of MinIO's default keys those that peers.lua starts it with.
local peers = require "peers.peers"
local KEYS = ("--name minio --key %s --secret %s"):format(peers.KEY, peers.SECRET)

differ.describe(_ENV, "diff_s3.py", { moto = 250, minio = 600 }, { moto = "--name moto", minio = KEYS })
