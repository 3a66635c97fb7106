"""The same store for each test with moto, in process: the tables, queues and bucket of the order system, and what one order
asks of them, without any handler. Prints a JSON line of ms each."""
import json
import os
import time

import boto3
from moto import mock_aws

N = int(os.environ.get("APPS", "200")) // 4
os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
TABLES = {"Orders": ["order_id"], "Payments": ["order_id", "payment_id"], "Outbox": ["shard", "event_id"], "Idempotency": ["key"]}
QUEUES = ["OrderEvents", "OrderEventsDLQ", "PaymentEvents", "PaymentEventsDLQ"]


def clients():
    return boto3.client("dynamodb"), boto3.client("sqs"), boto3.client("s3")


def provision(dynamodb, sqs, s3):
    for name, keys in TABLES.items():
        dynamodb.create_table(
            TableName=name, BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in keys],
            KeySchema=[{"AttributeName": k, "KeyType": t} for k, t in zip(keys, ("HASH", "RANGE"))])
    urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in QUEUES}
    s3.create_bucket(Bucket="receipts")
    return urls


def order(dynamodb, sqs, s3, urls, n):
    item = {"order_id": {"S": f"o-{n}"}, "status": {"S": "PENDING_PAYMENT"}, "total_price": {"N": "1999"}}
    event = {"shard": {"S": "1"}, "event_id": {"S": f"e-{n}"}, "body": {"S": "{}"}}
    dynamodb.transact_write_items(TransactItems=[
        {"Put": {"TableName": "Orders", "Item": item, "ConditionExpression": "attribute_not_exists(order_id)"}},
        {"Put": {"TableName": "Outbox", "Item": event}}])
    sqs.send_message_batch(QueueUrl=urls["OrderEvents"], Entries=[{"Id": "1", "MessageBody": f"o-{n}"}])
    dynamodb.delete_item(TableName="Outbox", Key={k: event[k] for k in ("shard", "event_id")})
    for message in sqs.receive_message(QueueUrl=urls["OrderEvents"])["Messages"]:
        dynamodb.get_item(TableName="Orders", Key={"order_id": {"S": message["Body"]}})
        s3.put_object(Bucket="receipts", Key=f"receipts/{message['Body']}.pdf", Body=b"x" * 14000)
        dynamodb.update_item(TableName="Orders", Key={"order_id": {"S": message["Body"]}}, UpdateExpression="SET receipt = :r",
                             ExpressionAttributeValues={":r": {"N": "1"}})
        sqs.delete_message(QueueUrl=urls["OrderEvents"], ReceiptHandle=message["ReceiptHandle"])


def ms_each(fn):
    start = time.monotonic()
    for i in range(N):
        fn(i)
    return (time.monotonic() - start) * 1000 / N


def fresh(_):
    with mock_aws():
        provision(*CLIENTS)


def fresh_with_order(n):
    with mock_aws():
        order(*CLIENTS, provision(*CLIENTS), n)


with mock_aws():
    CLIENTS = clients()  # making clients is dear, and tests can share them
    URLS = provision(*CLIENTS)
    order(*CLIENTS, URLS, "first")
    ORDER = ms_each(lambda n: order(*CLIENTS, URLS, n))
print(json.dumps({"app": ms_each(fresh), "app_with_order": ms_each(fresh_with_order), "order": ORDER}, separators=(",", ":")))
