"""boto3 with its default settings against the queues, mail and STS of `perigee cloud`: every operation, and each error as
the class and code that botocore has for it; and the older Query protocol of SQS by requests written by hand.
usage: wire_sqs.py URL [KEYS: perigee perigee]; see wire.lua for what is printed."""
import hashlib
import json
import socket
import struct
import threading
import urllib.parse
import urllib.request
import uuid
import xml.etree.ElementTree as ET

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
from botocore.exceptions import ClientError

from wire import URL, check, run

KEYS = botocore.credentials.Credentials("perigee", "perigee")
SQS = "{http://queue.amazonaws.com/doc/2012-11-05/}"


def make(service="sqs", **more):
    settings = dict(endpoint_url=URL, region_name="us-east-1", aws_access_key_id="perigee", aws_secret_access_key="perigee")
    return boto3.client(service, **{**settings, **more})


sqs = make()


def queue(suffix="", **attributes):
    name = "q-" + uuid.uuid4().hex + suffix
    return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def arn(url):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def receive(url, **more):
    settings = dict(MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"])
    return sqs.receive_message(QueueUrl=url, **{**settings, **more}).get("Messages", [])


def refused(code, fn, **params):
    try:
        fn(**params)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e.response
        return e
    raise AssertionError("not refused: " + code)


@check("queues: made, told, listed in pages, tagged, changed, purged, deleted")
def _():
    prefix = "p" + uuid.uuid4().hex[:8]
    names = [f"{prefix}-{i}" for i in range(5)]
    for name in names:
        url = sqs.create_queue(QueueName=name, Attributes=dict(DelaySeconds="1"), tags=dict(env="t"))["QueueUrl"]
        assert url == f"{URL.rstrip('/')}/000000000000/{name}", url
    assert sqs.get_queue_url(QueueName=names[0])["QueueUrl"].endswith(names[0])
    pages = list(sqs.get_paginator("list_queues").paginate(QueueNamePrefix=prefix, PaginationConfig=dict(PageSize=2)))
    assert [len(p["QueueUrls"]) for p in pages] == [2, 2, 1]
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == dict(env="t")
    sqs.tag_queue(QueueUrl=url, Tags=dict(a="b"))
    sqs.untag_queue(QueueUrl=url, TagKeys=["env"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == dict(a="b")
    sqs.set_queue_attributes(QueueUrl=url, Attributes=dict(DelaySeconds="0", VisibilityTimeout="7"))
    got = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (got["DelaySeconds"], got["VisibilityTimeout"]) == ("0", "7")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.purge_queue(QueueUrl=url)
    assert receive(url) == []
    for name in names:
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"])
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=prefix)


def md5_of(attributes):
    digest = hashlib.md5()

    def add(data):
        digest.update(struct.pack("!I", len(data)) + data)
    for name in sorted(attributes):
        a = attributes[name]
        binary = a["DataType"].startswith("Binary")
        add(name.encode())
        add(a["DataType"].encode())
        digest.update(b"\2" if binary else b"\1")
        add(a["BinaryValue"] if binary else a["StringValue"].encode())
    return digest.hexdigest()


@check("messages: there and back with attributes and all MD5s")
def _():
    url = queue()
    attributes = {"n": dict(DataType="Number.java.lang.Long", StringValue="5"), "Ñ-not": None,
                  "b": dict(DataType="Binary.png", BinaryValue=bytes(range(256))), "s": dict(DataType="String", StringValue="Ñ\n")}
    del attributes["Ñ-not"]
    trace = {"AWSTraceHeader": dict(DataType="String", StringValue="Root=1-5759e988-bd862e3fe1be46a994272793")}
    body = "José 李雷 \U0001F600 \t\r\n<&>"
    sent = sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes, MessageSystemAttributes=trace)
    assert sent["MD5OfMessageBody"] == hashlib.md5(body.encode()).hexdigest()
    assert sent["MD5OfMessageAttributes"] == md5_of(attributes)
    assert sent["MD5OfMessageSystemAttributes"] == md5_of(trace)
    m, = receive(url, VisibilityTimeout=0)
    assert (m["Body"], m["MessageId"], m["MessageAttributes"]) == (body, sent["MessageId"], attributes)
    assert m["MD5OfMessageAttributes"] == md5_of(attributes)
    assert m["Attributes"]["AWSTraceHeader"] == trace["AWSTraceHeader"]["StringValue"]
    again, = receive(url, MessageAttributeNames=["n"])
    assert again["ReceiptHandle"] != m["ReceiptHandle"] and again["Attributes"]["ApproximateReceiveCount"] == "2"
    assert again["MD5OfMessageAttributes"] == md5_of({"n": attributes["n"]})
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"], VisibilityTimeout=100)
    for _ in range(2):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"])
    plain = sqs.send_message(QueueUrl=url, MessageBody="x")
    assert "MD5OfMessageAttributes" not in plain
    m, = receive(url)
    assert "MessageAttributes" not in m and "MD5OfMessageAttributes" not in m


@check("messages: a mebibyte, and batches that come to it")
def _():
    url = queue()
    sqs.send_message(QueueUrl=url, MessageBody="x" * 1048576)
    refused("InvalidParameterValue", sqs.send_message, QueueUrl=url, MessageBody="x" * 1048577)
    half = "y" * 524288
    sqs.send_message_batch(QueueUrl=url, Entries=[dict(Id="1", MessageBody=half), dict(Id="2", MessageBody=half)])
    refused("AWS.SimpleQueueService.BatchRequestTooLong", sqs.send_message_batch, QueueUrl=url,
            Entries=[dict(Id="1", MessageBody=half), dict(Id="2", MessageBody=half + "z")])
    assert sorted(len(m["Body"]) for m in receive(url)) == [524288, 524288, 1048576]


@check("batches: each entry's fate")
def _():
    url = queue()
    out = sqs.send_message_batch(QueueUrl=url, Entries=[dict(Id="a", MessageBody="1"), dict(Id="b", MessageBody="\x01"),
                                                        dict(Id="c", MessageBody="3", DelaySeconds=901)])
    assert [e["Id"] for e in out["Successful"]] == ["a"]
    assert [(e["Id"], e["Code"], e["SenderFault"]) for e in out["Failed"]] == [
        ("b", "InvalidMessageContents", True), ("c", "InvalidParameterValue", True)]
    m, = receive(url)
    out = sqs.change_message_visibility_batch(QueueUrl=url, Entries=[
        dict(Id="1", ReceiptHandle=m["ReceiptHandle"], VisibilityTimeout=30), dict(Id="2", ReceiptHandle="x", VisibilityTimeout=30)])
    assert ([e["Id"] for e in out["Successful"]], [e["Code"] for e in out["Failed"]]) == (["1"], ["ReceiptHandleIsInvalid"])
    out = sqs.delete_message_batch(QueueUrl=url, Entries=[dict(Id="1", ReceiptHandle=m["ReceiptHandle"])])
    assert "Failed" not in out


@check("FIFO: order, groups, deduplication")
def _():
    url = queue(".fifo", FifoQueue="true", ContentBasedDeduplication="true")
    sent = [sqs.send_message(QueueUrl=url, MessageBody=f"{g}{i}", MessageGroupId=g) for i in range(3) for g in "ab"]
    assert [s["SequenceNumber"] for s in sent] == sorted(s["SequenceNumber"] for s in sent)
    again = sqs.send_message(QueueUrl=url, MessageBody="a0", MessageGroupId="a")
    assert (again["MessageId"], again["SequenceNumber"]) == (sent[0]["MessageId"], sent[0]["SequenceNumber"])
    first, = receive(url, MaxNumberOfMessages=1)
    assert (first["Body"], first["Attributes"]["MessageGroupId"]) == ("a0", "a")
    assert [m["Body"] for m in receive(url)] == ["b0", "b1", "b2"]
    assert receive(url) == []
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert [m["Body"] for m in receive(url)] == ["a1", "a2"]


@check("dead letters: moved, listed, moved back")
def _():
    dead = queue()
    url = queue("", RedrivePolicy=json.dumps(dict(deadLetterTargetArn=arn(dead), maxReceiveCount="1")))
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    sqs.send_message(QueueUrl=url, MessageBody="x")
    assert len(receive(url, VisibilityTimeout=0)) == 1 and receive(url) == []
    m, = receive(dead, VisibilityTimeout=0)
    assert m["Attributes"]["DeadLetterQueueSourceArn"] == arn(url)
    handle = sqs.start_message_move_task(SourceArn=arn(dead))["TaskHandle"]
    back, = receive(url, WaitTimeSeconds=20)
    assert (back["Body"], back["Attributes"]["ApproximateReceiveCount"]) == ("x", "1")
    task, = sqs.list_message_move_tasks(SourceArn=arn(dead))["Results"]
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 1)
    refused("ResourceNotFoundException", sqs.cancel_message_move_task, TaskHandle=handle)


@check("a long poll gets what is sent meanwhile")
def _():
    url, got = queue(), []
    poll = threading.Thread(target=lambda: got.extend(make().receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", [])))
    poll.start()
    sqs.send_message(QueueUrl=url, MessageBody="now")
    poll.join()
    assert [m["Body"] for m in got] == ["now"]


def signed(service, params, method="POST", path="/", headers=None):
    data = urllib.parse.urlencode(params)
    url = URL.rstrip("/") + path + ("" if method == "POST" else "?" + data)
    body = data.encode() if method == "POST" else b""
    r = botocore.awsrequest.AWSRequest(method=method, url=url, data=body, headers={
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8", **(headers or {})})
    botocore.auth.SigV4Auth(KEYS, service, "us-east-1").add_auth(r)
    return r.prepare()


def query(action, params=None, **more):
    p = signed("sqs", {"Action": action, "Version": "2012-11-05", **(params or {})}, **more)
    request = urllib.request.Request(p.url, data=p.body or None, headers=dict(p.headers), method=p.method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, ET.fromstring(answer.read())
    except urllib.error.HTTPError as e:
        return e.code, ET.fromstring(e.read())


@check("a client that goes away while it polls takes no message")
def _():
    url = queue()
    p = signed("sqs", dict(Action="ReceiveMessage", QueueUrl=url, WaitTimeSeconds="20", Version="2012-11-05"))
    at = urllib.parse.urlsplit(URL)
    for _ in range(3):
        s = socket.create_connection((at.hostname, at.port))
        head = "".join(f"{k}: {v}\r\n" for k, v in p.headers.items())
        s.sendall(f"POST / HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Length: {len(p.body)}\r\n{head}\r\n".encode() + p.body)
        s.close()
    sqs.send_message(QueueUrl=url, MessageBody="x")
    m, = receive(url, WaitTimeSeconds=20)
    assert m["Attributes"]["ApproximateReceiveCount"] == "1", m


@check("errors have botocore's classes and the codes of old")
def _():
    url = queue()
    x = sqs.exceptions
    for cls, code, fn, params in [
        (x.QueueDoesNotExist, "AWS.SimpleQueueService.NonExistentQueue", sqs.get_queue_url, dict(QueueName="nope")),
        (x.QueueNameExists, "QueueAlreadyExists", sqs.create_queue, dict(QueueName=url.rsplit("/", 1)[1], Attributes=dict(DelaySeconds="9"))),
        (x.ReceiptHandleIsInvalid, "ReceiptHandleIsInvalid", sqs.delete_message, dict(QueueUrl=url, ReceiptHandle="x")),
        (x.EmptyBatchRequest, "AWS.SimpleQueueService.EmptyBatchRequest", sqs.send_message_batch, dict(QueueUrl=url, Entries=[])),
        (x.InvalidAttributeName, "InvalidAttributeName", sqs.set_queue_attributes, dict(QueueUrl=url, Attributes=dict(Nope="1"))),
        (x.InvalidAttributeValue, "InvalidAttributeValue", sqs.set_queue_attributes, dict(QueueUrl=url, Attributes=dict(DelaySeconds="x"))),
        (x.InvalidMessageContents, "InvalidMessageContents", sqs.send_message, dict(QueueUrl=url, MessageBody="\x00")),
        (x.BatchEntryIdsNotDistinct, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", sqs.send_message_batch,
         dict(QueueUrl=url, Entries=[dict(Id="a", MessageBody="x")] * 2)),
        (x.ResourceNotFoundException, "ResourceNotFoundException", sqs.start_message_move_task, dict(SourceArn=arn(url) + "x")),
        (ClientError, "InvalidParameterValue", sqs.receive_message, dict(QueueUrl=url, WaitTimeSeconds=21)),
    ]:
        e = refused(code, fn, **params)
        assert isinstance(e, cls), (cls, type(e))


@check("the Query protocol, by hand")
def _():
    status, root = query("CreateQueue", {"QueueName": "hand-" + uuid.uuid4().hex, "Attribute.1.Name": "VisibilityTimeout", "Attribute.1.Value": "9"})
    assert (status, root.tag) == (200, SQS + "CreateQueueResponse")
    url = root.find(f"{SQS}CreateQueueResult/{SQS}QueueUrl").text
    path = urllib.parse.urlsplit(url).path
    status, root = query("SendMessage", {"MessageBody": "Ñ<&>", "MessageAttribute.1.Name": "k", "MessageAttribute.1.Value.DataType": "String",
                                         "MessageAttribute.1.Value.StringValue": "v"}, path=path)
    assert status == 200 and root.find(f".//{SQS}MD5OfMessageBody").text == hashlib.md5("Ñ<&>".encode()).hexdigest()
    status, root = query("ReceiveMessage", {"QueueUrl": url, "AttributeName.1": "All", "MessageAttributeName.1": "All"}, method="GET")
    assert root.find(f".//{SQS}Message/{SQS}Body").text == "Ñ<&>"
    assert root.find(f".//{SQS}MessageAttribute/{SQS}Value/{SQS}StringValue").text == "v"
    handle = root.find(f".//{SQS}ReceiptHandle").text
    # a message that came by one protocol can be deleted by the other
    sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
    status, root = query("GetQueueAttributes", {"QueueUrl": url, "AttributeName.1": "All"})
    got = {a.find(SQS + "Name").text: a.find(SQS + "Value").text for a in root.iter(SQS + "Attribute")}
    assert (got["VisibilityTimeout"], got["ApproximateNumberOfMessages"]) == ("9", "0")
    status, root = query("DeleteQueue", {"QueueUrl": url})
    assert status == 200 and root.find(f"{SQS}ResponseMetadata/{SQS}RequestId").text
    status, root = query("SendMessage", {"QueueUrl": url, "MessageBody": "x"})
    assert (status, root.tag) == (400, SQS + "ErrorResponse")
    assert root.find(f"{SQS}Error/{SQS}Code").text == "AWS.SimpleQueueService.NonExistentQueue"
    status, root = query("Nonsense")
    assert (status, root.find(f"{SQS}Error/{SQS}Code").text) == (400, "InvalidAction")


@check("the Query protocol, wrongly signed")
def _():
    p = signed("sqs", dict(Action="ListQueues", Version="2012-11-05"))
    headers = dict(p.headers)
    headers["Authorization"] = headers["Authorization"][:-4] + "0000"
    try:
        urllib.request.urlopen(urllib.request.Request(p.url, data=p.body, headers=headers))
        raise AssertionError("taken")
    except urllib.error.HTTPError as e:
        root = ET.fromstring(e.read())
        assert (e.code, root.find(f"{SQS}Error/{SQS}Code").text) == (403, "SignatureDoesNotMatch")


@check("SES version 2")
def _():
    ses = make("sesv2")
    name = f"{uuid.uuid4().hex}@example.com"
    assert ses.create_email_identity(EmailIdentity=name)["VerifiedForSendingStatus"] is True
    assert ses.get_email_identity(EmailIdentity=name)["IdentityType"] == "EMAIL_ADDRESS"
    refused("AlreadyExistsException", ses.create_email_identity, EmailIdentity=name)
    assert name in [i["IdentityName"] for i in ses.list_email_identities(PageSize=1000)["EmailIdentities"]]
    before = ses.get_account()["SendQuota"]["SentLast24Hours"]
    ses.send_email(FromEmailAddress=name, Destination=dict(ToAddresses=["a@example.com"]), Content=dict(
        Simple=dict(Subject=dict(Data="Ñandú"), Body=dict(Text=dict(Data="t"), Html=dict(Data="<p>")))))
    ses.send_email(Content=dict(Raw=dict(Data=f"From: {name}\r\nTo: b@example.com\r\nSubject: s\r\n\r\nx".encode())))
    assert ses.get_account()["SendQuota"]["SentLast24Hours"] == before + 2
    ses.delete_email_identity(EmailIdentity=name)
    e = refused("NotFoundException", ses.get_email_identity, EmailIdentity=name)
    assert isinstance(e, ses.exceptions.NotFoundException)
    refused("BadRequestException", ses.send_email, FromEmailAddress="no", Content=dict(
        Simple=dict(Subject=dict(Data="s"), Body=dict(Text=dict(Data="t")))), Destination=dict(ToAddresses=["a@example.com"]))


@check("SES version 1")
def _():
    ses = make("ses")
    name = f"{uuid.uuid4().hex}@example.com"
    ses.verify_email_identity(EmailAddress=name)
    assert name in ses.list_identities()["Identities"]
    got = ses.get_identity_verification_attributes(Identities=[name, "none@example.com"])["VerificationAttributes"]
    assert got == {name: dict(VerificationStatus="Success")}
    assert ses.get_send_quota()["Max24HourSend"] == -1
    assert ses.send_email(Source=f"José <{name}>", Destination=dict(ToAddresses=["a@example.com"], BccAddresses=["b@example.com"]),
                          Message=dict(Subject=dict(Data="Ñ"), Body=dict(Text=dict(Data="t"))))["MessageId"]
    assert ses.send_raw_email(RawMessage=dict(Data=f"From: {name}\r\nTo: b@example.com\r\n\r\nx".encode()))["MessageId"]
    ses.delete_identity(Identity=name)
    assert name not in ses.list_identities()["Identities"]
    refused("InvalidParameterValue", ses.verify_email_identity, EmailAddress="x")


@check("STS tells who calls")
def _():
    assert make("sts").get_caller_identity()["Account"] == "000000000000"
    refused("InvalidAction", make("sts").get_session_token)


run()
