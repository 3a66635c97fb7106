"""boto3 with its default settings against the DynamoDB of `perigee cloud`: every operation, and each error as the class that
botocore has for it. usage: wire_dynamodb.py URL [KEYS: perigee perigee]; see wire.lua for what is printed."""
import base64
import concurrent.futures
import datetime
import decimal
import json
import urllib.error
import urllib.request
import uuid
import zlib

import boto3
import botocore.awsrequest
import botocore.config
from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError

from wire import URL, check, run


def make(service="dynamodb", kind=boto3.client, **more):
    settings = dict(endpoint_url=URL, region_name="us-east-1", aws_access_key_id="perigee", aws_secret_access_key="perigee")
    return kind(service, **{**settings, **more})


client = make()


def table(sort=None, **more):
    name = "t-" + uuid.uuid4().hex
    attributes, schema = [("pk", "S")], [("pk", "HASH")]
    if sort:
        attributes.append(("sk", sort))
        schema.append(("sk", "RANGE"))
    for extra in more.pop("attributes", []):
        attributes.append(extra)
    client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST",
                        AttributeDefinitions=[dict(AttributeName=n, AttributeType=t) for n, t in attributes],
                        KeySchema=[dict(AttributeName=n, KeyType=t) for n, t in schema], **more)
    client.get_waiter("table_exists").wait(TableName=name)
    return name


def refused(kind, fn, **params):
    """The error of a call that must fail: with botocore's class where the service's model has one."""
    try:
        fn(**params)
    except ClientError as e:
        assert e.response["Error"]["Code"] == kind, e
        modelled = getattr(client.exceptions, kind, None) if kind in client.meta.service_model.shape_names else None
        assert modelled is None or isinstance(e, modelled), type(e)
        assert e.response["Error"]["Message"], e.response
        return e.response
    raise AssertionError(f"not refused: {kind}")


# ==== every operation ===================================================================================================

@check("tables: create, describe, list in pages, delete")
def _():
    names = sorted(table() for _ in range(3))
    described = client.describe_table(TableName=names[0])["Table"]
    assert described["TableStatus"] == "ACTIVE" and described["TableArn"].endswith(":table/" + names[0]), described
    assert isinstance(described["CreationDateTime"], datetime.datetime)
    pages = client.get_paginator("list_tables").paginate(PaginationConfig=dict(PageSize=1))
    listed = [n for page in pages for n in page["TableNames"]]
    assert set(names) <= set(listed) and listed == sorted(listed), listed
    if client_has("DeleteTable"):
        client.delete_table(TableName=names[0])
        client.get_waiter("table_not_exists").wait(TableName=names[0])
        refused("ResourceNotFoundException", client.describe_table, TableName=names[0])
    refused("ResourceInUseException", client.create_table, TableName=names[1], BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[dict(AttributeName="pk", AttributeType="S")], KeySchema=[dict(AttributeName="pk", KeyType="HASH")])


def client_has(action):
    """Whether the engine knows the operation at all."""
    try:
        client._make_api_call(action, {"TableName": "none"} if "Table" in action else {})
    except ClientError as e:
        return e.response["Error"]["Code"] != "UnknownOperationException"
    except Exception:
        return True
    return True


@check("items: all types there and back")
def _():
    name = table()
    t = make(kind=boto3.resource).Table(name)
    item = dict(pk="a", s="ümläut 😀", e="", n=decimal.Decimal("12345678901234567890123456789012345678"), f=decimal.Decimal("-0.1"),
                b=b"\x00\xff", t=True, z=None, l=[1, "x", [b"\x01"]], m={"a": {"b": 1}}, ss={"a", "b"}, ns={1, 2}, bs={b"1", b"2"})
    t.put_item(Item=item)
    got = t.get_item(Key=dict(pk="a"), ConsistentRead=True)["Item"]
    got["b"], got["l"][2][0] = bytes(got["b"]), bytes(got["l"][2][0])
    got["bs"] = {bytes(x) for x in got["bs"]}
    assert got == item, got
    old = t.put_item(Item=dict(pk="a"), ReturnValues="ALL_OLD")["Attributes"]
    assert old["f"] == item["f"]
    assert "Item" not in t.get_item(Key=dict(pk="none"))


@check("items: update, conditions, what is returned")
def _():
    t = make(kind=boto3.resource).Table(table())
    t.put_item(Item=dict(pk="a", n=1, m=dict(x=1, y=2)))
    new = t.update_item(Key=dict(pk="a"), UpdateExpression="SET n = n + :one, m.x = :nine REMOVE m.y ADD s :set",
                        ExpressionAttributeValues={":one": 1, ":nine": 9, ":set": {"q"}}, ReturnValues="UPDATED_NEW")["Attributes"]
    assert new == dict(n=2, m=dict(x=9), s={"q"}), new
    e = refused("ConditionalCheckFailedException", t.update_item, Key=dict(pk="a"), UpdateExpression="SET n = :v",
                ConditionExpression="n = :old", ExpressionAttributeValues={":v": 3, ":old": 1},
                ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert e["Item"]["n"] == {"N": "2"} or e["Item"]["n"] == 2, e
    refused("ConditionalCheckFailedException", t.delete_item, Key=dict(pk="a"), ConditionExpression=Attr("n").eq(7))
    assert t.delete_item(Key=dict(pk="a"), ReturnValues="ALL_OLD")["Attributes"]["n"] == 2


@check("items: query and scan in pages, with filters")
def _():
    name = table("N")
    t = make(kind=boto3.resource).Table(name)
    with t.batch_writer() as batch:
        for i in range(60):
            batch.put_item(Item=dict(pk="p", sk=i, even=i % 2 == 0))
    found, start = [], {}
    while True:
        page = t.query(KeyConditionExpression=Key("pk").eq("p") & Key("sk").between(10, 49), FilterExpression=Attr("even").eq(True),
                       Limit=7, ScanIndexForward=False, **start)
        assert page["ScannedCount"] <= 7
        found += [int(i["sk"]) for i in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        start = dict(ExclusiveStartKey=page["LastEvaluatedKey"])
    assert found == list(range(48, 9, -2)), found
    pages = client.get_paginator("scan").paginate(TableName=name, PaginationConfig=dict(PageSize=25))
    assert sum(p["Count"] for p in pages) == 60
    assert t.query(KeyConditionExpression=Key("pk").eq("p"), Select="COUNT")["Count"] == 60


@check("items: an index")
def _():
    name = table(attributes=[("status", "S")], GlobalSecondaryIndexes=[dict(
        IndexName="by_status", KeySchema=[dict(AttributeName="status", KeyType="HASH")], Projection=dict(ProjectionType="ALL"))])
    t = make(kind=boto3.resource).Table(name)
    for i in range(4):
        t.put_item(Item=dict(pk=str(i), status="open" if i % 2 else "done"))
    t.put_item(Item=dict(pk="none"))
    assert {i["pk"] for i in t.query(IndexName="by_status", KeyConditionExpression=Key("status").eq("open"))["Items"]} == {"1", "3"}


@check("items: batches")
def _():
    name = table()
    puts = [dict(PutRequest=dict(Item=dict(pk=dict(S=str(i))))) for i in range(25)]
    assert client.batch_write_item(RequestItems={name: puts})["UnprocessedItems"] == {}
    keys = [dict(pk=dict(S=str(i))) for i in range(30)]
    got = client.batch_get_item(RequestItems={name: dict(Keys=keys)})
    assert len(got["Responses"][name]) == 25 and got["UnprocessedKeys"] == {}
    refused("ValidationException", client.batch_write_item, RequestItems={name: puts + puts[:1]})
    refused("ValidationException", client.batch_write_item, RequestItems={name: puts[:1] * 2})


@check("items: transactions, their reasons and tokens")
def _():
    name = table()
    put = lambda pk, **more: dict(Put=dict(TableName=name, Item=dict(pk=dict(S=pk)), **more))
    client.transact_write_items(TransactItems=[put("a"), put("b")])
    e = refused("TransactionCanceledException", client.transact_write_items,
                TransactItems=[put("c"), put("a", ConditionExpression="attribute_not_exists(pk)",
                                             ReturnValuesOnConditionCheckFailure="ALL_OLD")])
    assert [r["Code"] for r in e["CancellationReasons"]] == ["None", "ConditionalCheckFailed"], e
    assert e["CancellationReasons"][1]["Item"] == dict(pk=dict(S="a"))
    assert "Item" not in client.get_item(TableName=name, Key=dict(pk=dict(S="c")))
    count = [dict(Update=dict(TableName=name, Key=dict(pk=dict(S="n")), UpdateExpression="ADD n :one",
                              ExpressionAttributeValues={":one": dict(N="1")}))]
    token = uuid.uuid4().hex
    for _ in range(3):
        client.transact_write_items(TransactItems=count, ClientRequestToken=token)
    got = client.transact_get_items(TransactItems=[dict(Get=dict(TableName=name, Key=dict(pk=dict(S="n"))))])
    assert got["Responses"][0]["Item"]["n"] == dict(N="1"), got
    refused("IdempotentParameterMismatchException", client.transact_write_items, TransactItems=[put("x")], ClientRequestToken=token)


@check("time to live")
def _():
    name = table()
    client.update_time_to_live(TableName=name, TimeToLiveSpecification=dict(Enabled=True, AttributeName="until"))
    d = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert d == dict(TimeToLiveStatus="ENABLED", AttributeName="until"), d


# ==== errors ============================================================================================================

@check("errors have botocore's classes")
def _():
    name = table()
    refused("ResourceNotFoundException", client.get_item, TableName="none", Key=dict(pk=dict(S="a")))
    refused("ValidationException", client.get_item, TableName=name, Key=dict(other=dict(S="a")))
    refused("ValidationException", client.put_item, TableName=name, Item=dict(pk=dict(S="")))
    refused("ValidationException", client.put_item, TableName=name, Item=dict(pk=dict(S="a"), x=dict(S="y" * 409600)))


@check("unknown operations are named")
def _():
    e = refused("UnknownOperationException", client.describe_export, ExportArn="arn:aws:dynamodb:us-east-1:000000000000:table/a/export/b" + "x" * 20)
    assert "DescribeExport" in e["Error"]["Message"], e


def status_of(e):
    return e["ResponseMetadata"]["HTTPStatusCode"]


@check("unsigned, an unknown key, a wrong secret")
def _():
    from botocore import UNSIGNED
    e = refused("MissingAuthenticationTokenException", make(config=botocore.config.Config(signature_version=UNSIGNED)).list_tables)
    assert status_of(e) == 400
    refused("UnrecognizedClientException", make(aws_access_key_id="AKIDOTHER").list_tables)
    e = refused("InvalidSignatureException", make(aws_secret_access_key="wrong").list_tables)
    assert status_of(e) == 400


@check("a clock that is wrong by more than 15 minutes")
def _():
    real, shift = botocore.auth.get_current_datetime, datetime.timedelta()
    signers = [botocore.auth]
    if botocore.compat.HAS_CRT:
        from botocore.crt import auth
        signers.append(auth)
    try:
        for minutes, good in ((-14, True), (14, True), (-16, False), (16, False)):
            shift = datetime.timedelta(minutes=minutes)
            for module in signers:
                module.get_current_datetime = lambda *a, **k: real(*a, **k) + shift
            if good:
                client.list_tables()
            else:
                e = refused("InvalidSignatureException", client.list_tables)
                assert "Signature " in e["Error"]["Message"] and "15 min" in e["Error"]["Message"], e
    finally:
        for module in signers:
            module.get_current_datetime = real


# ==== the wire ==========================================================================================================

def raw(body, target="DynamoDB_20120810.ListTables", headers=None, secret="perigee"):
    request = botocore.awsrequest.AWSRequest(method="POST", url=URL + "/", data=body, headers={
        "X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0", **(headers or {})})
    credentials = botocore.credentials.Credentials("perigee", secret)
    botocore.auth.SigV4Auth(credentials, "dynamodb", "us-east-1").add_auth(request)
    try:
        return urllib.request.urlopen(urllib.request.Request(URL + "/", data=body, headers=dict(request.headers), method="POST"))
    except urllib.error.HTTPError as e:
        return e


@check("CRC32 and request id of answers and errors")
def _():
    for body, status in ((b"{}", 200), (b"not json", 400)):
        answer = raw(body)
        text = answer.read()
        assert answer.status == status, (answer.status, text)
        assert int(answer.headers["x-amz-crc32"]) == zlib.crc32(text)
        assert answer.headers["x-amzn-RequestId"] and answer.headers["Content-Type"] == "application/x-amz-json-1.0"


@check("what is no JSON")
def _():
    for body in (b"", b"{", b"[]", b"nul", b'{"a":"\xff"}', b"[" * 5000, b'{"Limit":1}}'):
        answer = raw(body)
        error = json.loads(answer.read())
        assert (answer.status, error["__type"]) == (400, "com.amazon.coral.service#SerializationException"), (body, error)


@check("16 MB of a batch of binaries, and no more")
def _():
    name = table()
    blob = base64.b64encode(b"\x07" * 300000).decode()
    puts = [dict(PutRequest=dict(Item=dict(pk=dict(S=str(i)), b=dict(B=blob)))) for i in range(25)]
    answer = raw(json.dumps(dict(RequestItems={name: puts})).encode(), "DynamoDB_20120810.BatchWriteItem")
    assert answer.status == 200, answer.read()
    assert raw(b" " * (16 * 1024 * 1024 + 1)).status == 413
    seen = sum(p["Count"] for p in client.get_paginator("scan").paginate(TableName=name))
    assert seen == 25, seen


@check("many clients at once count exactly")
def _():
    name = table()

    def add(_):
        make_client = add.clients.pop()
        for _ in range(25):
            make_client.update_item(TableName=name, Key=dict(pk=dict(S="n")), UpdateExpression="ADD n :one",
                                    ExpressionAttributeValues={":one": dict(N="1")})
    add.clients = [make() for _ in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    assert client.get_item(TableName=name, Key=dict(pk=dict(S="n")))["Item"]["n"] == dict(N="200")


run()
