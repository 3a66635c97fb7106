"""Watches the order system from behind, with the official client and no proxy between, until ORDERS orders are shipped with
their receipts, the queues are empty and the outbox is delivered. Dead letters are redriven, as an operator would do.
One line of JSON: what was found.

usage: audit.py ORDERS SECONDS    (endpoints from the environment)
"""

import json
import sys
import time

import boto3

orders, deadline = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
dynamodb, sqs, s3 = boto3.client("dynamodb"), boto3.client("sqs"), boto3.client("s3")
QUEUES = {name: sqs.get_queue_url(QueueName=name)["QueueUrl"] for name in ("OrderEvents", "PaymentEvents")}
DEAD = {name: sqs.get_queue_url(QueueName=name + "DLQ")["QueueUrl"] for name in QUEUES}
redriven = 0


def rows(table):
    for page in dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from page["Items"]


def waiting(queue):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
    return sum(int(v) for v in sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"].values())


def redrive():
    """Back to their queue, the copy first: a message may then be there twice, never not at all."""
    global redriven
    for name, dead in DEAD.items():
        while messages := sqs.receive_message(QueueUrl=dead, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                sqs.send_message(QueueUrl=QUEUES[name], MessageBody=message["Body"])
                sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
                redriven += 1


def shipped(order):
    receipt = order.get("receipt", {}).get("M", {})
    return order["status"]["S"] == "READY_FOR_SHIPPING" and receipt.get("version") == order["version"]


while True:
    redrive()
    found = list(rows("Orders"))
    done = sum(map(shipped, found))
    left = {name: waiting(url) for name, url in {**QUEUES, **{n + "DLQ": u for n, u in DEAD.items()}}.items()}
    outbox = sum(1 for _ in rows("Outbox"))
    if (done == orders and not any(left.values()) and not outbox) or time.monotonic() > deadline:
        break
    time.sleep(1)

objects = [o["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket="receipts") for o in page.get("Contents", [])]
actions = {}
for order in found:
    story = " ".join(entry["M"]["action"]["S"] if "action" in entry["M"] else "start" for entry in order["history"]["L"])
    actions[story] = actions.get(story, 0) + 1
print(json.dumps({
    "orders": len(found), "distinct": len({o["order_id"]["S"] for o in found}), "shipped": done, "histories": actions,
    "payments": sum(1 for _ in rows("Payments")), "objects": len(objects), "distinct_objects": len(set(objects)),
    "outbox": outbox, "waiting": left, "redriven": redriven,
    "unfinished": [(o["order_id"]["S"], o["status"]["S"]) for o in found if not shipped(o)][:10],
}))
