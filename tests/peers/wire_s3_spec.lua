-- boto3 on S3 of the cloud port: see wire_s3.py.
local wire = require "peers.wire"

local CHECKS = {
  "buckets: made, found, listed in pages, deleted", "objects: bytes, description, ranges, conditions",
  "checksums: each that this boto3 can make, and wrong ones", "lists: byte order, delimiters, pages of all three",
  "copies and deletions by list", "uploads in parts by the transfer manager, there, back and copied",
  "uploads in parts by hand: checksums, lists, mistakes, abortion", "tags", "versions: kept, marked, restored, removed",
  "lifecycle rules", "what there is not is refused by name",
}

wire.describe(_ENV, "boto3 on S3", "wire_s3.py", CHECKS)
