"""What the official client does with S3, for comparison with ours.

usage: official.py WHAT KEYS.json    (endpoint from the environment; KEYS.json: a list of keys)
  put      stores every key's own name in it; prints the keys that the service takes and gives back
  links    prints {key: {"get": url, "put": url}}
  read     prints {key: text}
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

s3 = boto3.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, request_checksum_calculation="when_required"))
what, keys = sys.argv[1], json.load(open(sys.argv[2]))


def read(key):
    return s3.get_object(Bucket="receipts", Key=key)["Body"].read().decode()


def put(key):
    try:
        s3.put_object(Bucket="receipts", Key=key, Body=key.encode(), ContentType="text/plain")
        return read(key) == key
    except ClientError:
        return False


if what == "put":
    try:
        s3.create_bucket(Bucket="receipts")
    except ClientError:
        pass  # it is there, in our engine
    taken = [key for key in keys if put(key)]
    print(json.dumps([key for key in taken if read(key) == key]))  # none has overwritten another
elif what == "links":
    link = lambda call, key: s3.generate_presigned_url(call, Params={"Bucket": "receipts", "Key": key}, ExpiresIn=300)
    print(json.dumps({key: {"get": link("get_object", key), "put": link("put_object", key)} for key in keys}))
else:
    print(json.dumps({key: read(key) for key in keys}))
