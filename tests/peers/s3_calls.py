"""Random calls to S3, for diff_s3.py. A call is ("boto", operation, parameters) or ("raw", name, request): a dict of method, path (encoded),
query, headers, body. What servers name by themselves (versions, uploads) is a Ref to what was seen before."""
import base64
import datetime
import hashlib
import random
import urllib.parse
import zlib

from differ import Chance

MIB5 = bytes(range(256)) * (5 * 4096)
BODIES = [b"", b"x", b"hello", b"0123456789" * 10, bytes(range(256)) * 8, b"\r\n\0\xff", b"y" * 70000]
KEYS = ["a", "b", "dir/a", "dir/b", "dir/sub/c", "dir2/a", "zz"]
ODD_KEYS = ["a b", "a+b", "p%2Fq", "100%", "grün/Ω", "😀", "slash/", "q?x=1&y", "<&>'\"", "semi;colon:=@,$!*'()", "tab\there", "~-._", "a\\b", "[x]{y}|^`",
            "k" * 1024, "ü" * 512]
# What clients, proxies and file systems like to tidy up.
SEGMENT_KEYS = ["/lead", "a//b", "dir/../up", "./here", "dir/./x", "..", "a/..", "//"]
PAST, FUTURE = (datetime.datetime(y, 6, 1, 12, 0, 0, tzinfo=datetime.timezone.utc) for y in (2001, 2035))


class Ref:
    """What a server named, by the name that this program gave it."""

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return "<%s>" % self.name


def b64(data):
    return base64.b64encode(data).decode()


def checksum(kind, data):
    if kind == "CRC32":
        return b64(zlib.crc32(data).to_bytes(4, "big"))
    return b64(hashlib.new(kind.lower(), data).digest())


def path_of(bucket, key=None):
    return "/" + bucket + ("" if key is None else "/" + urllib.parse.quote(key.encode("utf-8"), safe="/~-._"))


class Calls:
    """peer: what it cannot keep apart from everything else is left out, see README.md."""

    def __init__(self, seed, peer):
        self.r, self.peer = Chance(seed), peer
        self.weights = {op: w for op, w in self.WEIGHTS.items() if (peer, op) != ("minio", "list_buckets")}

    def begin(self, number):
        """A new pair of buckets, their own kind of keys."""
        r = self.r
        self.tag = "%d-%d" % (number, random.SystemRandom().randrange(10 ** 9))
        self.buckets = ["diff-one-" + self.tag, "diff-two-" + self.tag]
        self.keys = KEYS + r.sample(ODD_KEYS, 5) + (r.sample(SEGMENT_KEYS, 2) if r.of(.3) else [])
        if self.peer == "minio":
            self.keys = [k for k in self.keys if k not in SEGMENT_KEYS and len(k) < 256 and not k.endswith("/")]
        self.versions, self.uploads, self.parts, self.etags = [], [], {}, ['"%s"' % hashlib.md5(b).hexdigest() for b in BODIES]
        self.versions_kept = r.of(.5)

    # ==== what parameters are made of ===================================================================================

    def bucket(self):
        if self.r.of(.015):
            return "diff-none-" + self.tag
        return self.buckets[0] if self.r.of(.8) else self.buckets[1]

    def key(self):
        return self.r.choice(self.keys)

    def at(self):
        return {"Bucket": self.bucket(), "Key": self.key()}

    def version(self):
        if self.versions and self.r.of(.9):
            return Ref(self.r.choice(self.versions))
        return self.r.choice(["null", "null", "3HL4kqtJvjVBH40Nrjfkd", "bad version"])

    def etag(self):
        e = self.r.choice(self.etags)
        return self.r.choice([e, e, e, e.strip('"'), '"wrong"', "*", '%s, "wrong"' % e])

    def maybe(self, into, share, name, make):
        if self.r.of(share):
            into[name] = make() if callable(make) else make

    def describe(self, into):
        """Content headers, metadata, tags."""
        r = self.r
        self.maybe(into, .3, "ContentType", lambda: r.choice(["text/plain", "text/html; charset=utf-8", "x/y"]))
        self.maybe(into, .1, "CacheControl", "max-age=60")
        self.maybe(into, .1, "ContentDisposition", 'attachment; filename="a b.txt"')
        self.maybe(into, .1, "ContentEncoding", "gzip")
        self.maybe(into, .1, "ContentLanguage", "de, en")
        self.maybe(into, .05, "Expires", FUTURE)
        self.maybe(into, .2, "Metadata", lambda: r.choice([{"a": "1"}, {"Mixed-Case": "Value  x", "b": ""}, {"n" * 20: "v" * 100},
                                                          {"big": "v" * 2046}, {"big": "v" * 2048}]))
        good = ["a=1", "a=1&b=2%2B", "a=&b", "&".join("k%d=v" % i for i in range(10))]
        bad = ["a=1&a=2", "aws%3Ax=1", "x=" + "v" * 257, "%3C=1", "a%26=1", "&".join("k%d=v" % i for i in range(11))]
        self.maybe(into, .12, "Tagging", lambda: r.choice(bad if r.of(.3) and self.peer != "moto" else good))

    def say_sums(self, into, data):
        """Checksums of the body, a few of them wrong."""
        r = self.r
        said = data if r.of(.85) else data + b"!"
        kind = r.weighted({"none": 10, "md5": 2, "badmd5": .3, "algorithm": 2, "sum": 3, "badsum": .3, "two": .2})
        algorithm = r.choice(["CRC32", "SHA1", "SHA256"])
        if kind == "md5":
            into["ContentMD5"] = b64(hashlib.md5(said).digest())
        elif kind == "badmd5":
            into["ContentMD5"] = r.choice(["x", "AAAA", "!!!!"])
        elif kind == "algorithm":
            into["ChecksumAlgorithm"] = algorithm
        elif kind in ("sum", "two"):
            into["Checksum" + algorithm] = checksum(algorithm, said)
            if kind == "two":
                into["Checksum" + ("SHA1" if algorithm != "SHA1" else "CRC32")] = checksum("SHA1" if algorithm != "SHA1" else "CRC32", data)
        elif kind == "badsum":
            into["Checksum" + algorithm] = r.choice(["x", "AAAA", "AAAAAAAAAAAA"])

    # ==== objects =======================================================================================================

    def put_object(self):
        p, data = self.at(), self.r.choice(BODIES)
        p["Body"] = data
        self.describe(p)
        self.say_sums(p, data)
        kind = self.r.weighted({"": 8, "new": 1, "same": 1})
        if kind == "new":
            p["IfNoneMatch"] = "*"
        elif kind == "same":
            p["IfMatch"] = self.r.choice(self.etags + ['"wrong"'])
        return p

    def conditions(self, p, prefix=""):
        r = self.r
        self.maybe(p, .12, prefix + "IfMatch", self.etag)
        self.maybe(p, .12, prefix + "IfNoneMatch", self.etag)
        self.maybe(p, .08, prefix + "IfModifiedSince", lambda: r.choice([PAST, FUTURE]))
        self.maybe(p, .08, prefix + "IfUnmodifiedSince", lambda: r.choice([PAST, FUTURE]))

    def head_object(self):
        p = self.at()
        self.conditions(p)
        self.maybe(p, .15, "VersionId", self.version)
        kind = self.r.weighted({"": 6, "range": 2, "part": .5, "both": .1})
        if kind in ("range", "both"):
            p["Range"] = self.r.choice(["bytes=0-0", "bytes=0-4", "bytes=2-", "bytes=-3", "bytes=-0", "bytes=0-99999999", "bytes=99999999-", "bytes=4-2",
                                        "bytes=x-y", "bytes=", "bytes=-", "items=0-1", "bytes=0-1,3-4", "bytes = 0-1", "bytes=00-01", "0-1", "bytes=5-5"])
        if kind in ("part", "both"):
            p["PartNumber"] = self.r.choice([1, 1, 2, 3, 0, 10000, 10001])
        self.maybe(p, .3, "ChecksumMode", "ENABLED")
        return p

    def get_object(self):
        p = self.head_object()
        if self.r.of(.1):
            p.update({"ResponseContentType": "a/b", "ResponseCacheControl": "no-cache", "ResponseContentDisposition": "inline"})
        self.maybe(p, .05, "ResponseContentLanguage", "fr")
        self.maybe(p, .05, "ResponseExpires", PAST)
        return p

    def delete_object(self):
        p = self.at()
        self.maybe(p, .3, "VersionId", self.version)
        return p

    def delete_objects(self):
        objects = []
        for _ in range(self.r.randrange(1, 5)):
            o = {"Key": self.key()}
            self.maybe(o, .2, "VersionId", self.version)
            objects.append(o)
        d = {"Objects": objects}
        if not self.versions_kept:  # else the answer tells what became of each
            self.maybe(d, .3, "Quiet", True)
        return {"Bucket": self.bucket(), "Delete": d}

    def source(self):
        s = self.at()
        self.maybe(s, .15, "VersionId", self.version)
        return s

    def copy_object(self):
        p = self.at()
        p["CopySource"] = self.source()
        self.maybe(p, .4, "MetadataDirective", lambda: self.r.choice(["COPY", "REPLACE", "REPLACE"]))
        self.maybe(p, .2, "TaggingDirective", lambda: self.r.choice(["COPY", "REPLACE"]))
        if self.r.of(.6):
            self.describe(p)
        if self.r.of(.3):
            self.conditions(p, "CopySource")
        self.maybe(p, .1, "ChecksumAlgorithm", lambda: self.r.choice(["CRC32", "SHA1", "SHA256"]))
        return p

    def get_object_attributes(self):
        p = self.at()
        p["ObjectAttributes"] = self.r.sample(["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"], self.r.randrange(1, 6))
        self.maybe(p, .15, "VersionId", self.version)
        return p

    # ==== tags and settings =============================================================================================

    def put_object_tagging(self):
        r = self.r
        good = [("a", "1"), ("b", ""), ("ü", "x y+-=._:/@"), ("K" * 128, "V" * 256)]
        bad = [("", "x"), ("aws:x", "1"), ("K" * 129, "1"), ("c", "V" * 257), ("1&", "x"), ("d", "<"), ("e*", ""), ("a", "2")]
        tags = r.sample(good, r.randrange(0, 4)) + ([r.choice(bad)] if r.of(.25) else [])
        p = self.at()
        p["Tagging"] = {"TagSet": [{"Key": k, "Value": v} for k, v in tags]}
        self.maybe(p, .15, "VersionId", self.version)
        return p

    def get_object_tagging(self):
        return self.delete_object()

    delete_object_tagging = get_object_tagging

    def put_bucket_versioning(self):
        return {"Bucket": self.buckets[0], "VersioningConfiguration": {"Status": "Enabled" if self.r.of(.9) else self.r.choice(["On", ""])}}

    def get_bucket_versioning(self):
        return {"Bucket": self.bucket()}

    get_bucket_location = head_bucket = get_bucket_versioning

    def create_bucket(self):
        return {"Bucket": self.r.choice(["Upper", "ab", "a_b_c", "a..b", "-abc", "abc-", "192.168.5.4", "a" * 64, "ok.dots-" + self.tag, "xn--" + self.tag,
                                         "x.-y" + self.tag, "a" * 40 + self.tag, "sthree-" + self.tag, "b-s3alias"])}

    def delete_bucket(self):
        return {"Bucket": self.r.choice(["diff-none-" + self.tag, self.buckets[1]])}

    def list_buckets(self):
        p = {"Prefix": self.r.choice(["diff-", "diff-one-", "none"]) + self.tag} if self.r.of(.5) else {"Prefix": "diff-one-" + self.tag}
        self.maybe(p, .5, "MaxBuckets", lambda: self.r.choice([1, 2, 10000, 0, 10001]))
        return p

    # ==== listings ======================================================================================================

    def listing(self):
        r = self.r
        p = {"Bucket": self.bucket()}
        self.maybe(p, .4, "Prefix", lambda: r.choice(["dir", "dir/", "a", "z", "none", "", "ü", "d", "slash/", "a+", "p%"]))
        self.maybe(p, .5, "Delimiter", lambda: r.choice(["/", "/", "/", "i", "b/", "%", ""]))
        self.maybe(p, .5, "MaxKeys", lambda: r.choice([1, 2, 3, 1000, 1001, 0] if r.of(.95) else [-1]))
        self.maybe(p, .4, "EncodingType", lambda: "url" if r.of(.95) else "xml")
        return p

    def list_objects(self):
        p = self.listing()
        self.maybe(p, .2, "Marker", lambda: self.r.choice([self.key(), "dir/", "d", "zzz"]))
        return p

    def list_objects_v2(self):
        p = self.listing()
        self.maybe(p, .2, "StartAfter", lambda: self.r.choice([self.key(), "dir/", "d", "zzz"]))
        self.maybe(p, .2, "FetchOwner", True)
        return p

    def list_object_versions(self):
        p = self.listing()
        if self.r.of(.15):
            p["KeyMarker"] = self.key()
        return p

    # ==== uploads in parts ==============================================================================================

    def create_multipart_upload(self):
        p = self.at()
        if self.r.of(.4):
            self.describe(p)
        if self.r.of(.4):
            p["ChecksumAlgorithm"] = self.r.choice(["CRC32", "SHA1", "SHA256"])
            self.maybe(p, .4, "ChecksumType", lambda: self.r.choice(["COMPOSITE", "FULL_OBJECT"]))
        return p

    def upload(self):
        if self.uploads and self.r.of(.94):
            name, at = self.r.choice(self.uploads)
            p = dict(at, UploadId=Ref(name))
            if self.r.of(.03):
                p["Key"] = self.key()
            return name, p
        return None, dict(self.at(), UploadId="none")

    def upload_part(self):
        name, p = self.upload()
        data = MIB5 if self.r.of(.15) else self.r.choice(BODIES)
        number = self.r.choice([1, 1, 2, 2, 3, 7, 10000] if self.r.of(.95) else [0, 10001])
        p.update(PartNumber=number, Body=data)
        if self.r.of(.2):
            self.say_sums(p, data)
        return p

    def upload_part_copy(self):
        name, p = self.upload()
        p.update(PartNumber=self.r.choice([1, 2, 3]), CopySource=self.source())
        self.maybe(p, .4, "CopySourceRange", lambda: self.r.choice(["bytes=0-0", "bytes=0-4", "bytes=1-99999999", "bytes=0-", "0-4", "bytes=4-2", "x"]))
        if self.r.of(.2):
            self.conditions(p, "CopySource")
        return p

    def part_list(self, name):
        r = self.r
        parts = [{"PartNumber": n, "ETag": e} for n, e in sorted(self.parts.get(name, {}).items())]
        kind = r.weighted({"": 8, "some": 2, "reversed": .5, "missing": .5, "etag": .5, "bare": 1, "none": .2})
        if kind == "some":
            parts = parts[:1]
        elif kind == "reversed":
            parts = parts[::-1]
        elif kind == "missing":
            parts = parts + [{"PartNumber": 9999, "ETag": '"%s"' % hashlib.md5(b"none").hexdigest()}]
        elif kind == "etag" and parts:
            parts[-1]["ETag"] = '"%s"' % hashlib.md5(b"none").hexdigest()
        elif kind == "bare":
            parts = [dict(x, ETag=x["ETag"].strip('"')) for x in parts]
        return [] if kind == "none" else parts

    def complete_multipart_upload(self):
        name, p = self.upload()
        p["MultipartUpload"] = {"Parts": self.part_list(name)}
        self.maybe(p, .05, "IfNoneMatch", "*")
        return p

    def abort_multipart_upload(self):
        return self.upload()[1]

    def list_parts(self):
        p = self.upload()[1]
        self.maybe(p, .4, "MaxParts", lambda: self.r.choice([1, 2, 1000, 0]))
        self.maybe(p, .2, "PartNumberMarker", lambda: self.r.choice([0, 1, 5]))
        return p

    def list_multipart_uploads(self):
        p = {"Bucket": self.bucket()}
        self.maybe(p, .3, "Prefix", lambda: self.r.choice(["dir/", "a", "none"]))
        self.maybe(p, .3, "Delimiter", "/")
        self.maybe(p, .3, "MaxUploads", lambda: self.r.choice([1, 2, 1000]))
        return p

    # ==== requests that no client makes =================================================================================

    def raw(self):
        r, bucket, key = self.r, self.bucket(), self.key()
        md5 = lambda body: {"Content-MD5": b64(hashlib.md5(body).digest())}
        broken = r.choice([b"", b"<", b"<Delete>", b"<x/>", b"plain", b"\xff\xfe", b"<Delete></Delete>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><Delete>&b;</Delete>",
                           b"<Delete><Object></Object></Delete>", b"<Delete><Object><Key></Key></Object></Delete>"])
        tags = r.choice([b"<Tagging/>", b"<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>", b"<Tagging><TagSet><Tag><Value>a</Value></Tag></TagSet></Tagging>",
                         b"<Tagging><TagSet/></Tagging>", b"<Tagging>"])
        versioning = r.choice([b"<VersioningConfiguration/>", b"<VersioningConfiguration><Status>enabled</Status></VersioningConfiguration>", b"x"])
        parts = r.choice([b"", b"<CompleteMultipartUpload/>", b"<CompleteMultipartUpload><Part/></CompleteMultipartUpload>", b"<x>",
                          b"<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>y</ETag></Part></CompleteMultipartUpload>"])
        name, upload = self.upload()
        at = path_of(upload["Bucket"], upload["Key"])
        rows = [
            ("delete xml", "POST", path_of(bucket), "delete=", md5(broken), broken),
            ("delete without md5", "POST", path_of(bucket), "delete=", {}, b"<Delete><Object><Key>a</Key></Object></Delete>"),
            ("tagging xml", "PUT", path_of(bucket, key), "tagging=", md5(tags), tags),
            ("versioning xml", "PUT", path_of(bucket), "versioning=", md5(versioning), versioning),
            ("complete xml", "POST", at, [("uploadId", upload["UploadId"])], {}, parts),
            ("list max-keys", "GET", path_of(bucket), r.choice(["max-keys=x", "max-keys=-1&list-type=2", "max-keys=99999999999", "max-keys=", "list-type=2&continuation-token=x",
                                                             "list-type=3", "list-type=2&continuation-token=", "list-type=2&max-keys=x"]), {}, b""),
            ("bad method", r.choice(["POST", "PATCH"]), path_of(bucket, key), "", {}, b""),
            ("bad part number", "PUT", at, [("partNumber", r.choice(["x", "", "0", "-1"])), ("uploadId", upload["UploadId"])], {}, b"x"),
            ("no part number", "PUT", at, [("uploadId", upload["UploadId"])], {}, b"x"),
            ("copy source", "PUT", path_of(bucket, key), "", {"x-amz-copy-source": r.choice(["x", "/", "/" + bucket, bucket + "/", bucket + "/%zz", "arn:x", ""])}, b""),
            ("directive", "PUT", path_of(bucket, "copy"), "", {"x-amz-copy-source": path_of(bucket, key), "x-amz-metadata-directive": "MAYBE"}, b""),
            ("metadata", "PUT", path_of(bucket, key), "", {r.choice(["x-amz-meta-A_b", "x-amz-meta-x.y", "X-AMZ-META-Up"]): r.choice(["v", " v ", "=?UTF-8?Q?=C3=BC?=", "a,b"])}, b"raw"),
            ("dates", r.choice(["GET", "HEAD"]), path_of(bucket, key), "",
             {r.choice(["If-Modified-Since", "If-Unmodified-Since"]): r.choice(["yesterday", "Fri, 01 Jun 2035 12:00:00 GMT", "Friday, 01-Jun-01 12:00:00 GMT", "2001-06-01T12:00:00Z", ""])}, b""),
            ("bucket name", r.choice(["GET", "HEAD", "DELETE"]), "/" + r.choice(["A_B", "ab", "a..b", "x" * 64, "%20%20%20"]), "", {}, b""),
            ("key too long", r.choice(["GET", "PUT", "HEAD"]), path_of(bucket, "k" * 1025), "", {}, b""),
            ("checksum", "PUT", path_of(bucket, key), "", {"x-amz-checksum-" + r.choice(["crc32", "crc32c", "crc64nvme", "sha1", "sha256"]): r.choice(["", "AAAA", "AAAAAA==", "AAAAAAAAAAA="])}, b"raw"),
            ("123456789", "PUT", path_of(bucket, key), "", r.choice([{"x-amz-checksum-crc32": "y/Q5Jg=="}, {"x-amz-checksum-crc32c": "4waSgw=="}, {"x-amz-checksum-crc64nvme": "rosUhgp5mIg="}]), b"123456789"),
        ]
        what, method, path, query, headers, body = r.choice(rows)
        return what, dict(method=method, path=path, query=query, headers=headers, body=body)

    # ==== the next ======================================================================================================

    WEIGHTS = {"put_object": 22, "get_object": 16, "head_object": 7, "delete_object": 7, "delete_objects": 3, "copy_object": 9, "get_object_attributes": 2,
               "put_object_tagging": 3, "get_object_tagging": 3, "delete_object_tagging": 1, "put_bucket_versioning": 1, "get_bucket_versioning": .5,
               "get_bucket_location": .5, "head_bucket": .5, "create_bucket": .5, "delete_bucket": .3, "list_buckets": .7, "list_objects": 4, "list_objects_v2": 5,
               "list_object_versions": 4, "create_multipart_upload": 3, "upload_part": 6, "upload_part_copy": 2, "complete_multipart_upload": 3,
               "abort_multipart_upload": .4, "list_parts": 2, "list_multipart_uploads": 2, "raw": 7}

    def next(self):
        op = self.r.weighted(self.weights)
        if op == "raw":
            return ("raw",) + self.raw()
        return "boto", op, getattr(self, op)()

    def learn(self, op, params, name):
        """An upload that both made."""
        if op == "create_multipart_upload" and name:
            self.uploads.append((name, {"Bucket": params["Bucket"], "Key": params["Key"]}))
            self.parts[name] = {}

    def learn_part(self, upload, number, etag):
        self.parts.setdefault(upload, {})[number] = etag
