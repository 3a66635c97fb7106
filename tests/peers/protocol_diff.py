"""botocore's serializers and parsers, for comparison with src/remote/protocol*.c (tests/unit/remote/protocol_peer_spec.lua).

usage: protocol_diff.py cases SEED N           one JSON object a line: calls with random parameters, made from the services' models
       protocol_diff.py requests SEED N FILE   FILE: what ours makes of them, one JSON object a line; prints each difference and a count
       protocol_diff.py unknown                members of S3 that ours does not have
       protocol_diff.py endpoints              one JSON object a line: services, regions, settings, and where botocore goes
       protocol_diff.py answers                one JSON object a line: answers, and what botocore reads in them
"""

import base64
import datetime
import email.utils
import json
import random
import re
import sys
import urllib.parse
import xml.etree.ElementTree as ET
import zlib

import botocore.awsrequest
import botocore.endpoint_provider
import botocore.exceptions
import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.serialize

MODELS = {
    "dynamodb": ("dynamodb", "json"), "sqs": ("sqs", "json"), "s3": ("s3", "rest-xml"), "ses": ("sesv2", "rest-json"), "sts": ("sts", "query"),
    "sns": ("sns", "query"), "cloudformation": ("cloudformation", "query"), "cloudwatch": ("cloudwatch", "query"), "iam": ("iam", "query"),
    "logs": ("logs", "json"), "events": ("events", "json"), "states": ("stepfunctions", "json"), "kinesis": ("kinesis", "json"),
    "kms": ("kms", "json"), "secretsmanager": ("secretsmanager", "json"), "ssm": ("ssm", "json"),
}
loader = botocore.loaders.Loader()
models = {}


def model(service):
    if service not in models:
        models[service] = botocore.model.ServiceModel(loader.load_service_model(MODELS[service][0], "service-2"))
    return models[service]


def engine_operations():
    """(service, action) of every row of ops.def; UpdateTimeToLive and so on included."""
    text = open("src/aws/ops.def").read()
    return [(s.lower(), a) for s, a in re.findall(r"^AWS_OP\((\w+), (\w+),", text, re.M)]


BODIES = ("PutObject", "UploadPart")


def s3_members():
    """{member: operations that take it} of s3_members.def."""
    bits = {"READ": ["GetObject", "HeadObject"], "HEAD": ["HeadObject"], "PUT": ["PutObject"], "DELETE": ["DeleteObject"], "COPY": ["CopyObject"],
            "MAKE": ["CreateMultipartUpload"], "PART": ["UploadPart"], "PART_COPY": ["UploadPartCopy"], "COMPLETE": ["CompleteMultipartUpload"],
            "PARTS": ["ListParts"], "UPLOADS": ["ListMultipartUploads"], "V1": ["ListObjects"], "VERSIONS": ["ListObjectVersions"],
            "DELETE_MANY": ["DeleteObjects"], "SET_VERSIONING": ["PutBucketVersioning"], "LIST": ["ListObjectsV2"], "BUCKETS": ["ListBuckets"],
            "CREATE": ["CreateBucket"], "HEAD_BUCKET": ["HeadBucket"], "0": []}
    bits["UPLOAD"] = bits["PART"] + bits["PART_COPY"] + bits["COMPLETE"] + bits["PARTS"] + ["AbortMultipartUpload"]
    bits["TAGGING"] = ["PutObjectTagging", "GetObjectTagging", "DeleteObjectTagging"]
    bits["CONTENT"] = bits["PUT"] + bits["COPY"] + bits["MAKE"]
    bits["LISTS"] = bits["LIST"] + bits["V1"] + bits["VERSIONS"] + bits["UPLOADS"]
    bits["PAID"] = bits["CONTENT"] + bits["READ"] + bits["DELETE"] + bits["UPLOAD"] + bits["TAGGING"] + bits["DELETE_MANY"] + bits["LISTS"]
    bits["OWNED"] = [a for s, a in engine_operations() if s == "s3" and a not in ("CreateBucket", "ListBuckets")]
    taken = {}
    for name, takes in re.findall(r'^S3_MEMBER\((\w+), \w+, "[^"]+", \w+, ([^,]+),', open("src/remote/s3_members.def").read(), re.M):
        taken.setdefault(name, set()).update(op for bit in takes.split("|") for op in bits[bit.strip()])
    return taken


# ---- random parameters: (as our call has them, as botocore takes them)

TEXTS = ["", "a", "x y", "a&b=c", "é€😀", "50%", "a/b//c", "<&\"'>", "line\nline", "+", "~-_.", "名"]


class Maker:
    def __init__(self, seed, service):
        self.r = random.Random(seed)
        self.service = service
        self.query = MODELS[service][1] == "query"

    def text(self, header=False):
        t = "".join(self.r.choice(TEXTS) for _ in range(self.r.randint(1, 3)))
        return re.sub(r"[^\x21-\x7e]", "", t) or "v" if header else t

    def value(self, shape, depth, place=None):
        kind = shape.type_name
        if kind == "structure":
            return self.structure(shape, depth + 1)
        if kind == "list":
            pairs = [self.value(shape.member, depth + 1) for _ in range(self.r.randint(0, 3))]
            return [p[0] for p in pairs], [p[1] for p in pairs]
        if kind == "map":
            ours, theirs = {}, {}
            for i in range(self.r.randint(1, 3)):
                key = f"k{i}" if place else f"{self.text()}{i}"
                ours[key], theirs[key] = self.value(shape.value, depth + 1, place)
            return ours, theirs
        if kind in ("integer", "long"):
            n = self.r.randint(0, 2**31 - 1)
            return n, n
        if kind in ("float", "double"):
            n = self.r.randint(1, 999) + 0.5
            return n, n
        if kind == "boolean":
            b = self.r.random() < 0.5
            return b, b
        if kind == "timestamp":
            t = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=self.r.randint(0, 10**7))
            if self.service == "s3" and shape.serialization.get("timestampFormat") == "rfc822" and not place:
                return email.utils.format_datetime(t, usegmt=True), t
            return t.strftime("%Y-%m-%dT%H:%M:%SZ") if place or self.query or self.service == "s3" else int(t.timestamp()), t
        if kind == "blob":
            data = self.r.randbytes(self.r.randint(0, 20))
            return base64.b64encode(data).decode(), data
        t = self.text(place == "header")
        return t, t

    def structure(self, shape, depth):
        ours, theirs = {}, {}
        required = set(shape.required_members)
        for name, member in shape.members.items():
            if name in required and depth < 12 or self.r.random() < (0.5 if depth < 3 else 0.1):
                if shape.metadata.get("union") and ours:
                    break
                if depth > 14 and member.type_name in ("structure", "list", "map"):
                    continue
                ours[name], theirs[name] = self.value(member, depth)
        return ours, theirs


def s3_case(make, action):
    shape, taken = model("s3").operation_model(action).input_shape, s3_members()
    ours, theirs = {}, {}
    for name, member in shape.members.items():
        place = member.serialization.get("location")
        if name == "Bucket":
            ours[name] = theirs[name] = make.r.choice(["bucket", "my.bucket-1"])
        elif name == "Key":
            ours[name] = theirs[name] = make.text() or "k"
        elif name == "Metadata" and make.r.random() < 0.5:
            ours[name], theirs[name] = make.value(member, 0, "header")
        elif name == "CreateBucketConfiguration" and make.r.random() < 0.5:
            ours[name] = theirs[name] = {"LocationConstraint": "eu-west-1"}
        elif name == shape.serialization.get("payload") and member.type_name == "structure" and name != "CreateBucketConfiguration":
            ours[name], theirs[name] = make.value(member, 0)
        elif action in taken.get(name, ()) and (name in shape.required_members or make.r.random() < 0.3):
            ours[name], theirs[name] = make.value(member, 0, "header" if place == "header" else "query")
    if "EncodingType" in ours:
        ours["EncodingType"] = theirs["EncodingType"] = "url"
    if "ChecksumAlgorithm" in ours:
        ours["ChecksumAlgorithm"] = theirs["ChecksumAlgorithm"] = "CRC32"
    if "CopySource" in ours:
        ours["CopySource"] = theirs["CopySource"] = make.r.choice(["from/a%20key", "from/a/%C3%A9%2B?versionId=v.1_-", "/from/~k"])
    if "UploadId" in ours:
        ours["UploadId"] = theirs["UploadId"] = make.r.choice(["u", "u +/=", "é"])
    return ours, theirs


def cases(seed, n):
    ops = engine_operations()
    others = [s for s in MODELS if s not in ("s3", "ses")]
    r = random.Random(seed)
    for i in range(n):
        service, action = ops[i % len(ops)] if i % 2 else (None, None)
        if not service:
            service = r.choice(others)
            action = r.choice(model(service).operation_names)
        make = Maker(f"{seed}/{i}", service)
        shape = model(service).operation_model(action).input_shape
        if service == "s3":
            ours, theirs = s3_case(make, action)
        else:
            ours, theirs = make.structure(shape, 0) if shape else ({}, {})
        for name in [n for n, m in shape.members.items() if m.serialization.get("location") == "uri"] if service == "ses" else []:
            ours[name] = theirs[name] = ours.get(name) or "x"  # botocore refuses those that are empty, too
        body = make.r.randbytes(make.r.randint(0, 100)) if action in BODIES else b""
        yield i, service, action, ours, theirs, body


def unknown_members():
    """Members of S3's models that ours does not have: it has to refuse them by name."""
    taken = s3_members()
    special = {"Bucket", "Key", "Body", "Metadata", "ContentLength", "CreateBucketConfiguration", "Delete", "MultipartUpload",
               "VersioningConfiguration", "LifecycleConfiguration"}
    for service, action in engine_operations():
        if service == "s3":
            for name in model("s3").operation_model(action).input_shape.members:
                if name not in special and (name, action) != ("Tagging", "PutObjectTagging") and action not in taken.get(name, ()):
                    yield action, name


# ---- comparing requests

# Headers that botocore's handlers add after serializing, or that our transport adds.
AFTERWARDS = {"x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm", "x-amz-checksum-mode", "content-type"}
# botocore sends SQS's query-compatible mode and its own protocol header too; the serializer does not know of ours.
JSON_OWN = {"x-amzn-query-mode", "smithy-protocol"}


def canonical_xml(data):
    if not data:
        return None
    strip = lambda e: (e.tag.split("}")[-1], (e.text or "").strip(), sorted((strip(c) for c in e), key=lambda c: c[0]))
    return strip(ET.fromstring(data))


def canonical_body(protocol, content_type, data):
    if protocol in ("json", "rest-json"):
        return json.loads(data or b"{}")
    if protocol == "query":
        return dict(urllib.parse.parse_qsl(data.decode(), keep_blank_values=True))
    return data


def their_request(service, action, theirs, body):
    protocol = MODELS[service][1]
    params = dict(theirs, Body=body) if action in BODIES else theirs
    op = model(service).operation_model(action)
    made = botocore.serialize.create_serializer(protocol, include_validation=False).serialize_to_request(params, op)
    path, _, query = made["url_path"].partition("?")
    pairs = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    pairs.update({k: str(v) for k, v in made["query_string"].items()} if isinstance(made["query_string"], dict) else {})
    data = made["body"]
    if isinstance(data, dict):
        data = urllib.parse.urlencode({k: v for k, v in data.items()}).encode()
    if isinstance(data, str):
        data = data.encode()
    headers = {k.lower(): str(v) for k, v in made["headers"].items()}
    return made["method"], path, pairs, headers, data or b""


def drop_tokens(op, ours, theirs):
    """Idempotency tokens that ours makes itself; botocore does so before it serializes."""
    for name, member in (op.input_shape.members.items() if op.input_shape else ()):
        if member.metadata.get("idempotencyToken") and name not in theirs and re.fullmatch(r"[0-9a-f-]{36}", str(ours.get(name, ""))):
            del ours[name]


def differences(case, line):
    i, service, action, _, theirs, body = case
    protocol, op = MODELS[service][1], model(service).operation_model(action)
    if "error" in line:
        return [f"refused: {line['error']}"]
    method, path, pairs, headers, data = their_request(service, action, theirs, body)
    ours_headers = {k.lower(): v for k, v in line["headers"].items()}
    ours_data = bytes.fromhex(line["body"])
    ours_path = line["path"]
    if service == "s3" and line["bucket"]:
        ours_path = "/" + line["bucket"] + ("" if line["path"] == "/" else line["path"])
    found = []

    def compare(what, a, b):
        if a != b:
            found.append(f"{what}: ours {a!r}, theirs {b!r}")

    compare("method", line["method"], method)
    compare("path", ours_path, path)
    ours_pairs = dict(urllib.parse.parse_qsl(line["query"], keep_blank_values=True))
    if service == "s3" and "encoding-type" not in pairs:
        ours_pairs.pop("encoding-type", None)
    compare("query", ours_pairs, pairs)
    if line["query"]:
        compare("order of the query", line["query"].split("&"), sorted(line["query"].split("&")))
    if protocol == "rest-xml" and action not in BODIES:
        compare("body", canonical_xml(ours_data), canonical_xml(data))
    else:
        a, b = canonical_body(protocol, None, ours_data), canonical_body(protocol, None, data)
        if isinstance(a, dict):
            drop_tokens(op, a, theirs)
        compare("body", a, b)
    for name in set(ours_headers) | set(headers):
        if name in JSON_OWN or name in AFTERWARDS and (service == "s3" or name not in headers) and name not in headers:
            continue
        if service == "ses" and name == "content-type" and name not in headers:
            continue
        compare(f"header {name}", ours_headers.get(name), headers.get(name))
    summed = ours_data if (op.http_checksum or {}).get("requestChecksumRequired") else body
    if (action in BODIES or summed) and not any(n.startswith("Checksum") for n in theirs):
        compare("CRC-32", ours_headers.get("x-amz-checksum-crc32"), base64.b64encode(zlib.crc32(summed).to_bytes(4, "big")).decode())
    return found


def requests(seed, n, path):
    lines = [json.loads(text) for text in open(path)]
    bad = 0
    for case, line in zip(cases(seed, n), lines, strict=True):
        found = differences(case, line)
        bad += bool(found)
        for what in found[:3]:
            print(f"{case[1]}.{case[2]} (case {case[0]}): {what}"[:600])
    print(f"{len(lines)} requests, {bad} differ")


# ---- answers

XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
QUEUE = "AWS.SimpleQueueService.NonExistentQueue;Sender"
LISTING = XML + """<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><Prefix>a+b%2F</Prefix>
<NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</NextContinuationToken><KeyCount>3</KeyCount><MaxKeys>2</MaxKeys>
<Delimiter>%2F</Delimiter><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><StartAfter>a</StartAfter>
<Contents><Key>a+b%2F%C3%A9%0A.txt</Key><LastModified>2026-11-22T04:55:46.000Z</LastModified><ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag>
<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumAlgorithm>SHA1</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>
<Size>434234</Size><StorageClass>STANDARD</StorageClass><Owner><ID>75aa57f0</ID><DisplayName>me</DisplayName></Owner></Contents>
<Contents><Key>a+b%2Fplus%2B</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"x"</ETag><Size>0</Size><StorageClass>STANDARD</StorageClass></Contents>
<CommonPrefixes><Prefix>a+b%2Fd%2F</Prefix></CommonPrefixes></ListBucketResult>"""
BUCKETS = XML + """<ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Buckets><Bucket><CreationDate>2026-11-22T04:55:46.000Z</CreationDate>
<Name>one</Name></Bucket><Bucket><CreationDate>2026-11-23T04:55:46.123Z</CreationDate><Name>two</Name><BucketRegion>eu-west-1</BucketRegion></Bucket></Buckets>
<Owner><DisplayName>Account+Name</DisplayName><ID>AIDACKCEVSQ6C2EXAMPLE</ID></Owner></ListAllMyBucketsResult>"""
COPY = XML + """<CopyObjectResult><LastModified>2026-11-22T04:55:46.000Z</LastModified><ETag>"x"</ETag><ChecksumCRC32>NhCmhg==</ChecksumCRC32></CopyObjectResult>"""
DELETED = XML + """<DeleteResult xmlns="u"><Deleted><Key>a</Key><DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>v</DeleteMarkerVersionId></Deleted>
<Deleted><Key>b</Key></Deleted><Error><Key>c</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error></DeleteResult>"""
HISTORY = XML + """<ListVersionsResult xmlns="u"><Name>b</Name><Prefix/><KeyMarker/><VersionIdMarker/><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>
<Version><Key>k</Key><VersionId>2</VersionId><IsLatest>false</IsLatest><LastModified>2026-11-22T04:55:46.000Z</LastModified><ETag>"x"</ETag><Size>5</Size>
<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><StorageClass>STANDARD</StorageClass><Owner><ID>i</ID></Owner></Version>
<DeleteMarker><Key>k</Key><VersionId>3</VersionId><IsLatest>true</IsLatest><LastModified>2026-11-22T04:55:47.000Z</LastModified></DeleteMarker>
<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListVersionsResult>"""
PARTS = XML + """<ListPartsResult xmlns="u"><Bucket>b</Bucket><Key>k</Key><UploadId>u</UploadId><PartNumberMarker>0</PartNumberMarker>
<NextPartNumberMarker>2</NextPartNumberMarker><MaxParts>2</MaxParts><IsTruncated>true</IsTruncated><Part><PartNumber>1</PartNumber>
<LastModified>2026-11-22T04:55:46.000Z</LastModified><ETag>"x"</ETag><Size>5242880</Size></Part><Part><PartNumber>2</PartNumber><ETag>"y"</ETag><Size>1</Size></Part>
<Initiator><ID>i</ID><DisplayName>d</DisplayName></Initiator><StorageClass>STANDARD</StorageClass></ListPartsResult>"""
UPLOADS = XML + """<ListMultipartUploadsResult xmlns="u"><Bucket>b</Bucket><Prefix/><KeyMarker/><UploadIdMarker/><MaxUploads>1000</MaxUploads><IsTruncated>false</IsTruncated>
<Upload><UploadId>u</UploadId><Key>k</Key><Initiated>2026-11-22T04:55:46.000Z</Initiated><StorageClass>STANDARD</StorageClass></Upload></ListMultipartUploadsResult>"""
RULES = XML + """<LifecycleConfiguration xmlns="u"><Rule><ID>a</ID><Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>
<Status>Enabled</Status><Expiration><Days>3</Days></Expiration><Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition></Rule>
<Rule><ID>b</ID><Filter><Prefix/></Filter><Status>Disabled</Status><AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation>
</AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>"""
OBJECT = {"ETag": '"x"', "Content-Length": "5", "Content-Type": "text/plain", "Last-Modified": "Sun, 22 Nov 2026 04:55:46 GMT", "Accept-Ranges": "bytes",
          "x-amz-meta-name": "v", "x-amz-version-id": "v1", "x-amz-server-side-encryption": "AES256", "x-amz-tagging-count": "3", "Cache-Control": "no-cache",
          "x-amz-server-side-encryption-bucket-key-enabled": "true", "x-amz-request-id": "R1", "x-amz-id-2": "I2", "Content-Range": "bytes 0-4/9",
          "x-amz-object-lock-retain-until-date": "2027-01-01T00:00:00Z", "Content-Encoding": "gzip", "x-amz-mp-parts-count": "2"}


def query_xml(action, body):
    return f'{XML}<{action}Response xmlns="u"><{action}Result>{body}</{action}Result><ResponseMetadata><RequestId>Q1</RequestId></ResponseMetadata></{action}Response>'


def query_error(code, message):
    return f"<ErrorResponse xmlns='u'><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>Q2</RequestId></ErrorResponse>"


# service, action, status, headers, body
ANSWERS = [
    ("dynamodb", "PutItem", 400, {"x-amzn-RequestId": "D1"}, '{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"}'),
    ("dynamodb", "GetItem", 400, {}, '{"__type":"com.amazon.coral.validate#ValidationException","Message":"x"}'),
    ("dynamodb", "GetItem", 400, {"x-amzn-ErrorType": "ThrottlingException:http://internal.amazon.com/coral/"}, '{"message":"slow"}'),
    ("dynamodb", "GetItem", 400, {}, '{"code":"a.b#Name","message":"m"}'),
    ("dynamodb", "GetItem", 400, {}, '{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}'),
    ("kms", "Encrypt", 400, {"x-amzn-RequestId": "K1"}, '{"__type":"NotFoundException","message":"Alias is not found."}'),
    ("states", "StartExecution", 400, {}, '{"__type":"com.amazonaws.swf.service.v2.model#InvalidArn","message":"Invalid Arn"}'),
    ("sqs", "SendMessage", 400, {"x-amzn-query-error": QUEUE}, '{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}'),
    ("ses", "SendEmail", 400, {"x-amzn-ErrorType": "MessageRejected", "x-amzn-RequestId": "S1"}, '{"message":"Email address is not verified."}'),
    ("ses", "SendEmail", 429, {"x-amzn-ErrorType": "TooManyRequestsException"}, '{"message":"Maximum sending rate exceeded."}'),
    ("ses", "SendEmail", 200, {"x-amzn-RequestId": "S2"}, '{"MessageId":"0100-1"}'),
    ("s3", "GetObject", 404, {"x-amz-request-id": "R1", "x-amz-id-2": "I2"}, XML + "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>k</Key><RequestId>R1</RequestId><HostId>I2</HostId></Error>"),
    ("s3", "PutObject", 503, {}, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"),
    ("s3", "PutObject", 412, {}, "<Error><Code>PreconditionFailed</Code><Message>At least one</Message><Condition>If-None-Match</Condition></Error>"),
    ("s3", "GetObject", 403, {}, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"),
    ("s3", "GetObject", 200, OBJECT, "hello"),
    ("s3", "HeadObject", 200, OBJECT, ""),
    ("s3", "PutObject", 200, {"ETag": '"x"', "x-amz-version-id": "v2", "x-amz-checksum-crc32": "NhCmhg==", "x-amz-checksum-type": "FULL_OBJECT", "x-amz-object-size": "5"}, ""),
    ("s3", "DeleteObject", 204, {"x-amz-delete-marker": "true", "x-amz-version-id": "v3"}, ""),
    ("s3", "HeadBucket", 200, {"x-amz-bucket-region": "eu-west-1", "x-amz-access-point-alias": "false"}, ""),
    ("s3", "CreateBucket", 200, {"Location": "/bucket"}, ""),
    ("s3", "ListObjectsV2", 200, {}, LISTING),
    ("s3", "ListObjectsV2", 200, {}, XML + "<ListBucketResult><Name>b</Name><Prefix/><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated></ListBucketResult>"),
    ("s3", "ListBuckets", 200, {}, BUCKETS),
    ("s3", "CopyObject", 200, {"x-amz-version-id": "v4", "x-amz-copy-source-version-id": "v3"}, COPY),
    ("s3", "UploadPartCopy", 200, {}, COPY.replace("CopyObjectResult", "CopyPartResult")),
    ("s3", "DeleteObjects", 200, {}, DELETED),
    ("s3", "ListObjectVersions", 200, {}, HISTORY),
    ("s3", "ListParts", 200, {}, PARTS),
    ("s3", "ListMultipartUploads", 200, {}, UPLOADS),
    ("s3", "CreateMultipartUpload", 200, {"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "COMPOSITE"},
     XML + "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>u</UploadId></InitiateMultipartUploadResult>"),
    ("s3", "UploadPart", 200, {"ETag": '"x"', "x-amz-checksum-crc32": "NhCmhg=="}, ""),
    ("s3", "CompleteMultipartUpload", 200, {"x-amz-version-id": "v5"},
     XML + "<CompleteMultipartUploadResult><Location>http://l</Location><Bucket>b</Bucket><Key>k</Key><ETag>\"x-2\"</ETag></CompleteMultipartUploadResult>"),
    ("s3", "GetObjectTagging", 200, {"x-amz-version-id": "v6"}, "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value/></Tag></TagSet></Tagging>"),
    ("s3", "GetBucketVersioning", 200, {}, "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Disabled</MfaDelete></VersioningConfiguration>"),
    ("s3", "GetBucketLifecycleConfiguration", 200, {}, RULES),
    ("s3", "AbortMultipartUpload", 204, {}, ""),
    ("sts", "GetCallerIdentity", 200, {}, query_xml("GetCallerIdentity", "<Arn>arn:aws:iam::1:user/A</Arn><UserId>AIDA</UserId><Account>1</Account>")),
    ("sts", "AssumeRole", 403, {}, query_error("AccessDenied", "User is not authorized")),
    ("sts", "GetCallerIdentity", 403, {"x-amzn-RequestId": "H1"}, query_error("ExpiredToken", "The security token included in the request is expired")),
    ("sns", "ListTopics", 200, {}, query_xml("ListTopics", "<Topics><member><TopicArn>a</TopicArn></member><member><TopicArn>b</TopicArn></member></Topics><NextToken>t</NextToken>")),
    ("sns", "ListTopics", 200, {}, query_xml("ListTopics", "<Topics><member><TopicArn>a</TopicArn></member></Topics>")),
    ("sns", "GetTopicAttributes", 200, {}, query_xml("GetTopicAttributes", "<Attributes><entry><key>Owner</key><value>1</value></entry><entry><key>DisplayName</key><value/></entry></Attributes>")),
    ("sns", "Publish", 200, {}, query_xml("Publish", "<MessageId>m1</MessageId>")),
    ("iam", "GetUser", 200, {}, query_xml("GetUser", "<User><UserName>u</UserName><Path>/</Path><Tags><member><Key>k</Key><Value>v</Value></member></Tags></User>")),
    ("iam", "GetUser", 404, {}, query_error("NoSuchEntity", "The user with name x cannot be found.")),
]


def plain(v):
    if isinstance(v, datetime.datetime):
        return v.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.") + f"{v.microsecond // 1000:03d}Z"
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    if isinstance(v, list):
        return [plain(x) for x in v]
    return v if isinstance(v, (str, int, float, bool, type(None))) else None


def unquoted(service, action, parsed):
    """As botocore.handlers.decode_list_object_v2 does after parsing."""
    if action != "ListObjectsV2":
        return parsed
    for name in ("Prefix", "Delimiter", "StartAfter"):
        if name in parsed:
            parsed[name] = urllib.parse.unquote_plus(parsed[name])
    for row in parsed.get("Contents", []):
        row["Key"] = urllib.parse.unquote_plus(row["Key"])
    for row in parsed.get("CommonPrefixes", []):
        row["Prefix"] = urllib.parse.unquote_plus(row["Prefix"])
    return parsed


def answers():
    for service, action, status, headers, body in ANSWERS:
        op = model(service).operation_model(action)
        parser = botocore.parsers.create_parser(MODELS[service][1])
        answer = {"status_code": status, "headers": botocore.awsrequest.HeadersDict(headers), "body": body.encode()}
        shape = op.output_shape
        parsed = parser.parse(answer, shape)
        meta = parsed.pop("ResponseMetadata")
        parsed.pop("Body", None)
        error = parsed.pop("Error", None) if status >= 300 else None
        print(json.dumps({"service": service, "action": action, "status": status, "headers": headers, "answer": body, "request_id": meta.get("RequestId", ""),
                          "host_id": meta.get("HostId", ""), "error": error, "result": plain(unquoted(service, action, parsed)) if error is None else None}))


# ---- endpoints

REGIONS = ["us-east-1", "eu-west-1", "mx-central-1", "cn-north-1", "cn-northwest-1", "us-gov-west-1", "us-gov-east-1", "eusc-de-east-1",
           "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1"]


def endpoints():
    partitions = loader.load_data("partitions")
    for service, (name, _) in MODELS.items():
        provider = botocore.endpoint_provider.EndpointProvider(loader.load_service_model(name, "endpoint-rule-set-1"), partitions)
        for region in REGIONS:
            for fips, dualstack in [(False, False), (False, True), (True, False), (True, True)]:
                params = {"Region": region, "UseFIPS": fips, "UseDualStack": dualstack}
                params.update({"Bucket": "bkt"} if service == "s3" else {"UseGlobalEndpoint": False} if service == "sts" else {})
                row = {"service": service, "region": region, "fips": fips, "dualstack": dualstack, "url": "", "signing": region}
                try:
                    found = provider.resolve_endpoint(**params)
                    schemes = found.properties.get("authSchemes") or [{}]
                    row.update(url=found.url, signing=schemes[0].get("signingRegion") or region)
                except botocore.exceptions.EndpointProviderError:
                    pass
                print(json.dumps(row))


if __name__ == "__main__":
    if sys.argv[1] == "cases":
        for index, service_name, name, mine, _, payload in cases(int(sys.argv[2]), int(sys.argv[3])):
            print(json.dumps({"service": service_name, "action": name, "params": json.dumps(mine), "body": payload.hex()}))
    elif sys.argv[1] == "unknown":
        for name, member_name in unknown_members():
            print(json.dumps({"action": name, "member": member_name}))
    elif sys.argv[1] == "requests":
        requests(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    elif sys.argv[1] == "endpoints":
        endpoints()
    else:
        answers()
