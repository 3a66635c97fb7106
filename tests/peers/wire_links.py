"""boto3 with its default settings against S3 of `perigee cloud`: uploads as it sends them, and links of both versions.
usage: wire_links.py URL; see wire.lua for what is printed."""
import base64
import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
from botocore.config import Config
from botocore.exceptions import ClientError

from wire import URL, check, run


def make(**config):
    return boto3.client("s3", endpoint_url=URL, region_name="us-east-1", aws_access_key_id="perigee", aws_secret_access_key="perigee",
                        config=Config(**config))


s3 = make()


def bucket():
    try:
        s3.create_bucket(Bucket="links")
    except ClientError as e:
        assert e.response["Error"]["Code"] in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"), e


def ask(method, url, data=None, headers=None):
    """Status, and the body or S3's code."""
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, data=data, headers=headers or {}, method=method))
        return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        found = re.search(b"<Code>(.*?)</Code>", e.read())
        return e.code, found and found.group(1).decode()


@check("put with Expect is quick")
def _():
    bucket()
    began = time.monotonic()
    for i in range(5):
        s3.put_object(Bucket="links", Key="big", Body=b"x" * 20000)
    assert time.monotonic() - began < 4, "five uploads took as if 100 Continue had not come"


def links(client, is_v2):
    bucket()
    s3.put_object(Bucket="links", Key="a b/é+1.txt", Body=b"hello", ContentType="text/plain")
    params = dict(Bucket="links", Key="a b/é+1.txt")
    url = client.generate_presigned_url("get_object", Params=params, ExpiresIn=300)
    assert ("AWSAccessKeyId=" in url) == is_v2, url
    assert ask("GET", url) == (200, b"hello")
    disposition = client.generate_presigned_url("get_object", Params=dict(**params, ResponseContentDisposition='attachment; filename="x"'))
    assert ask("GET", disposition) == (200, b"hello")
    assert ask("GET", disposition.replace("attachment", "inline"))[0] == 403
    put = client.generate_presigned_url("put_object", Params=dict(Bucket="links", Key="new", ContentType="image/png"))
    assert ask("PUT", put, b"png", {"Content-Type": "text/html"}) == (403, "SignatureDoesNotMatch")
    assert ask("PUT", put, b"png", {"Content-Type": "image/png"})[0] == 200
    assert s3.get_object(Bucket="links", Key="new")["Body"].read() == b"png"
    assert ask("PUT", url, b"over") == (403, "SignatureDoesNotMatch")
    old = client.generate_presigned_url("get_object", Params=params, ExpiresIn=1)
    time.sleep(2.1)
    assert ask("GET", old) == (403, "AccessDenied")
    name = "Signature=" if is_v2 else "X-Amz-Signature="
    at = url.index(name) + len(name)
    assert ask("GET", url[:at] + ("A" if url[at] != "A" else "B") + url[at + 1:]) == (403, "SignatureDoesNotMatch")
    assert ask("GET", re.sub("(%2B1|\\+1).txt", "2.txt", url)) == (403, "SignatureDoesNotMatch")
    other = url.replace("AWSAccessKeyId=perigee" if is_v2 else "X-Amz-Credential=perigee",
                        "AWSAccessKeyId=nobody" if is_v2 else "X-Amz-Credential=nobody")
    assert ask("GET", other) == (403, "InvalidAccessKeyId")
    return url


@check("links by Signature Version 2")
def _():
    url = links(make(signature_version="s3"), True)
    later = re.sub("Expires=(\\d+)", lambda m: "Expires=%d" % (int(m.group(1)) + 1), url)
    assert ask("GET", later) == (403, "SignatureDoesNotMatch")
    for text in ("x", "-1", "99999999999999999999", ""):
        assert ask("GET", re.sub("Expires=\\d+", "Expires=" + text, url)) == (403, "AccessDenied"), text
    assert ask("GET", re.sub("&?Signature=[^&]*", "", url)) == (403, "AccessDenied")


@check("links by Signature Version 4")
def _():
    links(make(signature_version="s3v4"), False)


@check("version 2 in headers is refused by name")
def _():
    bucket()
    request = urllib.request.Request(URL + "/links/a", headers={"Authorization": "AWS perigee:frJIUN8DYpKDtOLCwo//yllqDzg=",
                                                                 "Date": "Tue, 27 Mar 2007 19:36:42 +0000"})
    try:
        urllib.request.urlopen(request)
        raise AssertionError("accepted")
    except urllib.error.HTTPError as e:
        text = e.read().decode()
        assert e.code == 400 and "<Code>InvalidRequest</Code>" in text and "AWS4-HMAC-SHA256" in text, text


@check("checksums in headers")
def _():
    bucket()
    s3.put_object(Bucket="links", Key="sum", Body=b"hello")
    got = s3.get_object(Bucket="links", Key="sum")
    assert got["Body"].read() == b"hello" and got["ChecksumCRC32"] == crc(b"hello"), got


def crc(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def stream(key, data, checksum):
    """What the JavaScript SDK does with a stream over plain HTTP: aws-chunked with an unsigned trailer, within chunked."""
    request = botocore.awsrequest.AWSRequest(method="PUT", url=f"{URL}/links/{key}", headers={
        "Content-Encoding": "aws-chunked", "x-amz-trailer": "x-amz-checksum-crc32", "x-amz-decoded-content-length": str(len(data))})
    request.context["checksum"] = dict(request_algorithm={"in": "trailer"})
    botocore.auth.S3SigV4Auth(botocore.credentials.Credentials("perigee", "perigee"), "s3", "us-east-1").add_auth(request)
    assert request.headers["X-Amz-Content-SHA256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    half = len(data) // 2
    pieces = [b"%x\r\n%s\r\n" % (len(p), p) for p in (data[:half], data[half:])]
    pieces.append(b"0\r\nx-amz-checksum-crc32:%s\r\n\r\n" % checksum.encode())
    conn = http.client.HTTPConnection(urllib.parse.urlparse(URL).netloc, timeout=20)
    conn.request("PUT", f"/links/{key}", body=iter(pieces), headers=dict(request.headers), encode_chunked=True)
    answer = conn.getresponse()
    return answer.status, answer.read()


@check("trailers within two framings")
def _():
    bucket()
    data = b"streamed" * 5000
    status, text = stream("stream", data, crc(b"other"))
    assert status == 400 and b"<Code>BadDigest</Code>" in text, text
    assert stream("stream", data, crc(data))[0] == 200
    got = s3.get_object(Bucket="links", Key="stream")
    assert got["Body"].read() == data and not got.get("ContentEncoding") and got["ChecksumCRC32"] == crc(data), got


run()
