"""boto3 with its default settings against S3 of `perigee cloud`: every operation of buckets and objects, uploads in parts by its
transfer manager, versions, and each error as the class that botocore has for it. usage: wire_s3.py URL; see wire.lua for what is
printed."""
import datetime
import hashlib
import io
import random
import uuid

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError, MissingDependencyException

from wire import URL, check, run

MIB = 1 << 20


def make(kind=boto3.client, **config):
    return kind("s3", endpoint_url=URL, region_name="us-east-1", aws_access_key_id="perigee", aws_secret_access_key="perigee",
                config=Config(**config))


s3 = make()


def bucket(**more):
    name = "b-" + uuid.uuid4().hex
    s3.create_bucket(Bucket=name, **more)
    s3.get_waiter("bucket_exists").wait(Bucket=name)
    return name


def refused(code, status, fn, **params):
    try:
        fn(**params)
    except ClientError as e:
        got = (e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"])
        assert got == (code, status), got
        return e
    raise AssertionError(f"{fn.__name__} succeeded")


def read(name, key, **more):
    return s3.get_object(Bucket=name, Key=key, **more)["Body"].read()


@check("buckets: made, found, listed in pages, deleted")
def _():
    names = sorted(bucket() for _ in range(3))
    assert s3.create_bucket(Bucket=names[0])["Location"] == "/" + names[0]
    assert s3.head_bucket(Bucket=names[0])["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=names[0])["LocationConstraint"] is None
    pages = list(s3.get_paginator("list_buckets").paginate(PaginationConfig=dict(PageSize=1), Prefix="b-"))
    listed = [b["Name"] for p in pages for b in p["Buckets"]]
    assert [n for n in listed if n in names] == names and len(pages) >= 3
    assert isinstance(pages[0]["Buckets"][0]["CreationDate"], datetime.datetime)
    s3.put_object(Bucket=names[0], Key="k")
    refused("BucketNotEmpty", 409, s3.delete_bucket, Bucket=names[0])
    s3.delete_object(Bucket=names[0], Key="k")
    s3.delete_bucket(Bucket=names[0])
    s3.get_waiter("bucket_not_exists").wait(Bucket=names[0])
    assert isinstance(refused("NoSuchBucket", 404, s3.list_objects_v2, Bucket=names[0]), s3.exceptions.NoSuchBucket)
    refused("404", 404, s3.head_bucket, Bucket=names[0])
    refused("InvalidBucketName", 400, s3.create_bucket, Bucket="Upper_Case")


@check("objects: bytes, description, ranges, conditions")
def _():
    name, now = bucket(), datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)
    body = bytes(range(256)) * 100
    put = s3.put_object(Bucket=name, Key="a/ü +%&?.bin", Body=body, ContentType="x/y", CacheControl="no-store", Expires=now,
                        ContentDisposition='attachment; filename="a"', ContentLanguage="de", Metadata={"who": "me"},
                        Tagging="a=1&b=%2B", StorageClass="STANDARD", ACL="private")
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"' and put["ChecksumCRC32"]
    got = s3.get_object(Bucket=name, Key="a/ü +%&?.bin")
    assert got["Body"].read() == body and got["ChecksumCRC32"] == put["ChecksumCRC32"]
    assert (got["ContentType"], got["CacheControl"], got["ContentLanguage"], got["Metadata"], got["TagCount"]) == \
        ("x/y", "no-store", "de", {"who": "me"}, 2)
    head = s3.head_object(Bucket=name, Key="a/ü +%&?.bin")
    assert head["ContentLength"] == len(body) and head["ETag"] == put["ETag"]
    assert read(name, "a/ü +%&?.bin", Range="bytes=10-19") == body[10:20]
    refused("InvalidRange", 416, s3.get_object, Bucket=name, Key="a/ü +%&?.bin", Range="bytes=99999-")
    refused("304", 304, s3.get_object, Bucket=name, Key="a/ü +%&?.bin", IfNoneMatch=put["ETag"])
    refused("PreconditionFailed", 412, s3.get_object, Bucket=name, Key="a/ü +%&?.bin", IfMatch='"x"')
    refused("412", 412, s3.head_object, Bucket=name, Key="a/ü +%&?.bin", IfMatch='"x"')
    refused("304", 304, s3.head_object, Bucket=name, Key="a/ü +%&?.bin", IfModifiedSince=now)
    refused("PreconditionFailed", 412, s3.put_object, Bucket=name, Key="a/ü +%&?.bin", IfNoneMatch="*")
    assert isinstance(refused("NoSuchKey", 404, s3.get_object, Bucket=name, Key="none"), s3.exceptions.NoSuchKey)
    refused("404", 404, s3.head_object, Bucket=name, Key="none")
    refused("NotImplemented", 501, s3.put_object, Bucket=name, Key="k", ServerSideEncryption="aws:kms")
    s3.delete_object(Bucket=name, Key="none")
    s3.put_object(Bucket=name, Key="empty", Metadata={"empty": "", "a": "1"})
    assert s3.head_object(Bucket=name, Key="empty")["Metadata"] == {"empty": "", "a": "1"}


@check("checksums: each that this boto3 can make, and wrong ones")
def _():
    name = bucket()
    for algorithm in ("CRC32", "SHA1", "SHA256", "CRC32C", "CRC64NVME"):
        member = "Checksum" + algorithm
        try:
            put = s3.put_object(Bucket=name, Key=algorithm, Body=b"123456789", ChecksumAlgorithm=algorithm)
        except MissingDependencyException:  # boto3 without its CRT makes the older ones only
            assert algorithm in ("CRC32C", "CRC64NVME"), algorithm
            continue
        got = s3.get_object(Bucket=name, Key=algorithm, ChecksumMode="ENABLED")
        assert got["Body"].read() == b"123456789" and got[member] == put[member] and got["ChecksumType"] == "FULL_OBJECT"
    refused("BadDigest", 400, s3.put_object, Bucket=name, Key="bad", Body=b"x", ChecksumSHA1="98O8HYCOBHMq32eZZczDTKeuNEE=")
    refused("InvalidDigest", 400, s3.put_object, Bucket=name, Key="bad", Body=b"x", ContentMD5="x")
    refused("404", 404, s3.head_object, Bucket=name, Key="bad")


@check("lists: byte order, delimiters, pages of all three")
def _():
    name = bucket()
    keys = sorted(["a", "a/1", "a/2", "b+c", "b c/x", "z/é/1", "z/é/2", "Ω", "&<>\"'", "tab\tkey"], key=lambda k: k.encode())
    for key in keys:
        s3.put_object(Bucket=name, Key=key, Body=key.encode())
    for size in (1, 2, 3, 100):
        for operation in ("list_objects_v2", "list_objects"):
            pages = list(s3.get_paginator(operation).paginate(Bucket=name, PaginationConfig=dict(PageSize=size)))
            assert [o["Key"] for p in pages for o in p.get("Contents", [])] == keys, (operation, size)
            pages = list(s3.get_paginator(operation).paginate(Bucket=name, Delimiter="/", PaginationConfig=dict(PageSize=size)))
            assert [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])] == ["a/", "b c/", "z/"], (operation, size)
        pages = s3.get_paginator("list_object_versions").paginate(Bucket=name, PaginationConfig=dict(PageSize=size))
        assert [v["Key"] for p in pages for v in p.get("Versions", [])] == keys
    assert s3.list_objects_v2(Bucket=name, Prefix="z/")["KeyCount"] == 2
    assert s3.list_objects_v2(Bucket=name, FetchOwner=True)["Contents"][0]["Owner"]["ID"]
    refused("InvalidArgument", 400, s3.list_objects_v2, Bucket=name, MaxKeys=-1)
    refused("InvalidArgument", 400, s3.list_objects_v2, Bucket=name, ContinuationToken="x")


@check("copies and deletions by list")
def _():
    name, other = bucket(), bucket()
    s3.put_object(Bucket=name, Key="from ü+", Body=b"bytes", ContentType="x/y", Metadata={"a": "1"}, Tagging="t=1")
    r = s3.copy_object(Bucket=other, Key="to", CopySource=dict(Bucket=name, Key="from ü+"))
    assert r["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(b"bytes").hexdigest()}"' and r["CopyObjectResult"]["LastModified"]
    head = s3.head_object(Bucket=other, Key="to")
    assert (head["ContentType"], head["Metadata"]) == ("x/y", {"a": "1"})
    s3.copy_object(Bucket=other, Key="to", CopySource=f"{other}/to", MetadataDirective="REPLACE", Metadata={"b": "2"}, ContentType="n/t")
    assert s3.head_object(Bucket=other, Key="to")["Metadata"] == {"b": "2"}
    refused("InvalidRequest", 400, s3.copy_object, Bucket=other, Key="to", CopySource=f"{other}/to")
    refused("NoSuchKey", 404, s3.copy_object, Bucket=other, Key="to", CopySource=f"{other}/none")
    refused("PreconditionFailed", 412, s3.copy_object, Bucket=other, Key="x", CopySource=f"{other}/to", CopySourceIfMatch='"x"')
    for i in range(20):
        s3.put_object(Bucket=name, Key=f"k{i}")
    r = s3.delete_objects(Bucket=name, Delete=dict(Objects=[dict(Key=f"k{i}") for i in range(19)] + [dict(Key="none")]))
    assert len(r["Deleted"]) == 20 and "Errors" not in r
    r = s3.delete_objects(Bucket=name, Delete=dict(Objects=[dict(Key="k19")], Quiet=True))
    assert "Deleted" not in r
    assert s3.list_objects_v2(Bucket=name)["KeyCount"] == 1
    refused("MalformedXML", 400, s3.delete_objects, Bucket=name, Delete=dict(Objects=[]))


@check("uploads in parts by the transfer manager, there, back and copied")
def _():
    name = bucket()
    data = random.Random(1).randbytes(22 * MIB + 7)
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB)
    s3.upload_fileobj(io.BytesIO(data), name, "big", Config=config, ExtraArgs=dict(ContentType="x/y", Metadata={"a": "1"}))
    head = s3.head_object(Bucket=name, Key="big")
    md5s = b"".join(hashlib.md5(data[i:i + 8 * MIB]).digest() for i in range(0, len(data), 8 * MIB))
    assert head["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-3"' and head["ContentType"] == "x/y"
    back = io.BytesIO()
    s3.download_fileobj(name, "big", back, Config=config)
    assert back.getvalue() == data
    assert s3.get_object(Bucket=name, Key="big", PartNumber=3)["PartsCount"] == 3
    assert read(name, "big", PartNumber=3) == data[16 * MIB:]
    s3.copy(dict(Bucket=name, Key="big"), name, "copied", Config=config)
    assert read(name, "copied") == data and s3.head_object(Bucket=name, Key="copied")["ETag"].endswith('-3"')
    s3.copy_object(Bucket=name, Key="whole", CopySource=f"{name}/big")
    assert s3.head_object(Bucket=name, Key="whole")["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'


@check("uploads in parts by hand: checksums, lists, mistakes, abortion")
def _():
    name = bucket()
    for type_ in ("COMPOSITE", "FULL_OBJECT"):
        up = s3.create_multipart_upload(Bucket=name, Key="k", ChecksumAlgorithm="CRC32", ChecksumType=type_)
        assert (up["ChecksumAlgorithm"], up["ChecksumType"]) == ("CRC32", type_)
        ids = dict(Bucket=name, Key="k", UploadId=up["UploadId"])
        parts = []
        for n, data in ((1, b"x" * 5 * MIB), (2, b"end")):
            r = s3.upload_part(**ids, PartNumber=n, Body=data)
            parts.append(dict(PartNumber=n, ETag=r["ETag"], ChecksumCRC32=r["ChecksumCRC32"]))
        listed = s3.list_parts(**ids)
        assert [(p["PartNumber"], p["ChecksumCRC32"]) for p in listed["Parts"]] == [(p["PartNumber"], p["ChecksumCRC32"]) for p in parts]
        assert [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=name)["Uploads"]] == [up["UploadId"]]
        refused("InvalidPartOrder", 400, s3.complete_multipart_upload, **ids, MultipartUpload=dict(Parts=parts[::-1]))
        refused("InvalidPart", 400, s3.complete_multipart_upload, **ids, MultipartUpload=dict(Parts=[dict(parts[0], ETag='"0"')]))
        done = s3.complete_multipart_upload(**ids, MultipartUpload=dict(Parts=parts), ChecksumType=type_)
        assert done["ETag"].endswith('-2"') and done["ChecksumType"] == type_
        assert done["ChecksumCRC32"].endswith("-2") == (type_ == "COMPOSITE")
        assert s3.complete_multipart_upload(**ids, MultipartUpload=dict(Parts=parts))["ETag"] == done["ETag"]
        assert read(name, "k", ChecksumMode="ENABLED") == b"x" * 5 * MIB + b"end"
    up = s3.create_multipart_upload(Bucket=name, Key="gone")
    ids = dict(Bucket=name, Key="gone", UploadId=up["UploadId"])
    small = [dict(PartNumber=n, ETag=s3.upload_part(**ids, PartNumber=n, Body=b"x")["ETag"]) for n in (1, 2)]
    refused("EntityTooSmall", 400, s3.complete_multipart_upload, **ids, MultipartUpload=dict(Parts=small))
    s3.abort_multipart_upload(**ids)
    e = refused("NoSuchUpload", 404, s3.upload_part, **ids, PartNumber=1, Body=b"x")
    assert isinstance(e, s3.exceptions.NoSuchUpload)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=name)


@check("tags")
def _():
    name = bucket()
    s3.put_object(Bucket=name, Key="k")
    assert s3.get_object_tagging(Bucket=name, Key="k")["TagSet"] == []
    tags = [dict(Key="a ü", Value="1"), dict(Key="b", Value="")]
    s3.put_object_tagging(Bucket=name, Key="k", Tagging=dict(TagSet=tags))
    assert s3.get_object_tagging(Bucket=name, Key="k")["TagSet"] == tags
    s3.delete_object_tagging(Bucket=name, Key="k")
    assert s3.get_object_tagging(Bucket=name, Key="k")["TagSet"] == []
    refused("InvalidTag", 400, s3.put_object_tagging, Bucket=name, Key="k", Tagging=dict(TagSet=[dict(Key="aws:x", Value="")]))


@check("versions: kept, marked, restored, removed")
def _():
    name = bucket()
    versioning = make(boto3.resource).BucketVersioning(name)
    assert versioning.status is None
    versioning.enable()
    versioning.load()
    assert versioning.status == "Enabled"
    one, two = (s3.put_object(Bucket=name, Key="k", Body=b)["VersionId"] for b in (b"1", b"2"))
    assert read(name, "k", VersionId=one) == b"1" and read(name, "k") == b"2"
    marker = s3.delete_object(Bucket=name, Key="k")
    assert marker["DeleteMarker"] is True
    e = refused("NoSuchKey", 404, s3.get_object, Bucket=name, Key="k")
    assert e.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    refused("MethodNotAllowed", 405, s3.get_object, Bucket=name, Key="k", VersionId=marker["VersionId"])
    listed = s3.list_object_versions(Bucket=name)
    assert [v["VersionId"] for v in listed["Versions"]] == [two, one]
    assert [(m["VersionId"], m["IsLatest"]) for m in listed["DeleteMarkers"]] == [(marker["VersionId"], True)]
    s3.delete_object(Bucket=name, Key="k", VersionId=marker["VersionId"])
    assert read(name, "k") == b"2"
    make(boto3.resource).Bucket(name).object_versions.delete()
    s3.delete_bucket(Bucket=name)


@check("lifecycle rules")
def _():
    name = bucket()
    refused("NoSuchLifecycleConfiguration", 404, s3.get_bucket_lifecycle_configuration, Bucket=name)
    rules = [dict(ID="r", Status="Enabled", Filter=dict(Prefix="tmp/"), Expiration=dict(Days=3)),
             dict(ID="u", Status="Enabled", Filter=dict(Prefix=""), AbortIncompleteMultipartUpload=dict(DaysAfterInitiation=1))]
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=dict(Rules=rules))
    assert s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"] == rules
    s3.delete_bucket_lifecycle(Bucket=name)
    refused("NoSuchLifecycleConfiguration", 404, s3.get_bucket_lifecycle_configuration, Bucket=name)


@check("what there is not is refused by name")
def _():
    name = bucket()
    for operation in ("get_bucket_acl", "get_bucket_policy", "get_bucket_cors", "get_bucket_website", "get_bucket_encryption",
                      "get_bucket_replication", "get_bucket_logging", "get_bucket_tagging", "get_public_access_block"):
        refused("NotImplemented", 501, getattr(s3, operation), Bucket=name)
    refused("NotImplemented", 501, s3.get_object_acl, Bucket=name, Key="k")
    refused("InvalidAccessKeyId", 403, boto3.client(
        "s3", endpoint_url=URL, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y").list_buckets)


run()
