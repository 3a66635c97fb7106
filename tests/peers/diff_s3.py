"""Random calls to two S3s, ours and a peer's, with the official client and by hand; prints where their answers differ.

  diff_s3.py OURS_URL PEER_URL [--seed N] [--count N] [--show N] [--name moto|minio] [--key ID] [--secret KEY] [--trace FILE]

The same calls (s3_calls.py) go to both, in episodes with buckets of their own. Compared are status, error code, the header fields
that clients read, and bodies: bytes, or documents member by member; times and ids by their form. What differs and is not listed in
EXPLAINED ends the episode. The last line is JSON: {"calls", "explained": {reason: n}, "differences": n}; status 1 when there are any.
"""
import http.client
import re
import urllib.parse
import xml.etree.ElementTree

import boto3
import botocore.exceptions
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from differ import Explained, Report, arguments
from s3_calls import Calls, Ref
from s3_explained import explain

OF_OBJECTS = ["content-type", "content-length", "content-range", "accept-ranges", "last-modified"]
HEADERS = OF_OBJECTS + ["etag", "cache-control", "content-disposition", "content-encoding", "content-language", "expires", "location"]
OF_SERVERS = {"x-amz-request-id", "x-amz-id-2", "x-amzn-requestid"}
OWNED = {"ID", "DisplayName", "HostId", "RequestId", "Message", "Resource", "BucketName", "Key_", "BucketArn"}
NAMED = {"VersionId", "DeleteMarkerVersionId", "NextVersionIdMarker", "VersionIdMarker", "UploadId", "NextUploadIdMarker", "UploadIdMarker",
         "x-amz-version-id", "x-amz-copy-source-version-id"}
TOKENS = {"NextContinuationToken", "ContinuationToken"}
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
HTTP = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")


class Answer:
    def __init__(self, status, headers, body, trouble=None):
        self.status, self.body, self.trouble = status, body, trouble
        self.headers = {k.lower(): v for k, v in headers.items()}
        self.fields = {}


class Server:
    def __init__(self, url, key, secret):
        self.url, self.key, self.secret = url, key, secret
        self.host = urllib.parse.urlsplit(url).netloc
        self.names, self.ids = {}, {}  # Ref's name -> id, and back
        self.clients = [self.connect("when_supported"), self.connect("when_required")]

    def connect(self, sums):
        client = boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1", aws_access_key_id=self.key, aws_secret_access_key=self.secret,
            config=Config(parameter_validation=False, retries={"max_attempts": 0}, read_timeout=30, request_checksum_calculation=sums,
                          response_checksum_validation="when_supported", s3={"addressing_style": "path"}))
        client.meta.events.register("before-parse.s3", self.keep)
        return client

    def keep(self, response_dict, **_):
        self.last = response_dict

    def boto(self, op, params, sums):
        self.last = {"status_code": 0, "headers": {}, "body": b""}
        trouble, body = None, None
        try:
            got = getattr(self.clients[sums], op)(**params)
            if op == "get_object":
                body = got["Body"].read()
        except botocore.exceptions.ClientError:
            pass
        except Exception as e:  # the client would not send it, or could not read the answer
            trouble = type(e).__name__
        if body is None:
            body = self.last["body"]
        return Answer(self.last["status_code"], self.last["headers"], body if isinstance(body, bytes) else b"", trouble)

    def raw(self, _, request):
        query = request["query"]
        if not isinstance(query, str):
            query = urllib.parse.urlencode(query)
        target = request["path"] + ("?" + query if query else "")
        signed = AWSRequest(request["method"], self.url + target, headers=dict(request["headers"]), data=request["body"])
        S3SigV4Auth(Credentials(self.key, self.secret), "s3", "us-east-1").add_auth(signed)
        c = http.client.HTTPConnection(self.host, timeout=30)
        try:
            c.request(request["method"], target, body=request["body"], headers=dict(signed.headers.items()))
            r = c.getresponse()
            return Answer(r.status, dict(r.getheaders()), r.read())
        except Exception as e:
            return Answer(0, {}, b"", type(e).__name__)
        finally:
            c.close()


def resolve(v, server):
    if isinstance(v, Ref):
        return server.names.get(v.name, "none")
    if isinstance(v, dict):
        return {k: resolve(x, server) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return type(v)(resolve(x, server) for x in v)
    return v


# ==== answers as fields =================================================================================================


def plain(text):
    return "(time)" if ISO.match(text) or HTTP.match(text) else text


def flatten(element, path, into):
    seen = {}
    for child in element:
        tag = child.tag.split("}")[-1]
        n = seen[tag] = seen.get(tag, -1) + 1
        flatten(child, "%s.%s%s" % (path, tag, "[%d]" % n if n else ""), into)
    last = path.split(".")[-1].split("[")[0]
    if not len(element) and last not in OWNED and element.text:
        into[path] = plain(element.text)


def is_document(op, answer):
    return (op != "get_object" or answer.status >= 300) and answer.body.lstrip()[:1] == b"<"


def fields_of(op, a):
    """{where: text}"""
    f, code = {}, ""
    if a.body and is_document(op, a):
        try:
            root = xml.etree.ElementTree.fromstring(a.body)
        except xml.etree.ElementTree.ParseError:
            return {"outcome": "%d not XML" % a.status}
        if root.tag.split("}")[-1] == "Error":
            code = " " + (root.findtext("Code") or root.findtext("{*}Code") or "")
        else:
            flatten(root, "body", f)
    elif a.status < 300:
        f["body"] = repr(a.body if len(a.body) < 100 else (len(a.body), hash(a.body)))
    f["outcome"] = "%d%s%s" % (a.status, code, " " + a.trouble if a.trouble else "")
    for name in HEADERS + [n for n in a.headers if n.startswith("x-amz-") and n not in OF_SERVERS]:
        if name in a.headers and a.status < 400 and not (name in OF_OBJECTS and (a.status >= 300 or op not in ("get_object", "head_object"))):
            f["header " + name] = plain(a.headers[name])
    return f


def last_of(where):
    return re.split(r"[. ]", where)[-1].split("[")[0]


class Pair:
    """Both servers, and the names of what they name."""

    def __init__(self, ours, peer):
        self.servers, self.count = (ours, peer), 0

    def name_ids(self, answers):
        """Ids that stand at the same place are the same from now on. -> the new names."""
        made = []
        for where in list(answers[0].fields):
            if last_of(where) not in NAMED or where not in answers[1].fields:
                continue
            values = [a.fields[where] for a in answers]
            if all(v and v != "null" and v not in s.ids for v, s in zip(values, self.servers)):
                self.count += 1
                made.append("%s-%d" % (last_of(where), self.count))
                for v, s in zip(values, self.servers):
                    s.ids[v], s.names[made[-1]] = made[-1], v
        for a, s in zip(answers, self.servers):
            for where, v in a.fields.items():
                if last_of(where) in NAMED and v and v != "null":
                    a.fields[where] = s.ids.get(v, "(unknown id)")
                elif last_of(where) in TOKENS:
                    a.fields[where] = "(token)"
        return made

    def call(self, kind, op, params, sums):
        answers = []
        for s in self.servers:
            p = resolve(params, s)
            a = s.raw(op, p) if kind == "raw" else s.boto(op, p, sums)
            a.fields = fields_of(op, a)
            answers.append(a)
        return answers, self.name_ids(answers)


# ==== comparing =========================================================================================================


def differing(answers):
    one, two = (a.fields for a in answers)
    if one["outcome"] != two["outcome"]:
        return {"outcome": (one["outcome"], two["outcome"])}
    return {w: (one.get(w, "(none)"), two.get(w, "(none)")) for w in sorted(set(one) | set(two)) if one.get(w) != two.get(w)}


PAGES = {"list_objects": [("Marker", "NextMarker")], "list_objects_v2": [("ContinuationToken", "NextContinuationToken")],
         "list_object_versions": [("KeyMarker", "NextKeyMarker"), ("VersionIdMarker", "NextVersionIdMarker")], "list_parts": [("PartNumberMarker", "NextPartNumberMarker")],
         "list_buckets": [("ContinuationToken", "ContinuationToken")],
         "list_multipart_uploads": [("KeyMarker", "NextKeyMarker"), ("UploadIdMarker", "NextUploadIdMarker")]}


def after(op, params, a):
    """The parameters of the page that follows, or None."""
    root = xml.etree.ElementTree.fromstring(a.body)
    text = lambda name: root.findtext("{*}" + name) or root.findtext(name)
    more = text("IsTruncated") == "true" or op == "list_buckets" and text("ContinuationToken")
    p = dict(params)
    for into, name in PAGES[op]:
        v = text(name)
        if v is None and op == "list_objects" and more:
            keys = [k.text for k in root.iter() if k.tag.split("}")[-1] == "Key"]
            v = keys[-1] if keys else None
        if v and text("EncodingType") == "url" and into in ("Marker", "KeyMarker"):
            v = urllib.parse.unquote(v)
        if v:
            p[into] = v
        else:
            p.pop(into, None)
    return p if more else None


class Run:
    def __init__(self, args):
        self.args = args
        self.pair = Pair(Server(args.ours, "perigee", "perigee"), Server(args.peer, args.key, args.secret))
        self.calls, self.report, self.n = Calls(args.seed, args.name), Report(args.show), 0
        self.explained, self.trace = Explained(), open(args.trace, "w") if args.trace else None
        explain(self.explained, args.name)

    def judge(self, kind, op, params, answers):
        """Whether the episode can go on: not when only one of them did it."""
        self.n += 1
        found = differing(answers)
        if self.trace:
            print(self.n, op, params, *[a.fields["outcome"] for a in answers], *found, file=self.trace, flush=True)
        parted = (answers[0].status < 300) != (answers[1].status < 300)
        for where, (one, two) in found.items():
            why = self.explained.reason("%s %s | %s => %s" % (op, where, params, answers[0].fields["outcome"]), one, two)
            if why:
                self.report.explained(why[0])
                parted = parted or why[1]
            else:
                self.report.differs(n=self.n, op=op, where=where, ours=one[:300], peer=two[:300], params=repr(params)[:500])
        return not parted

    def pages(self, op, params, answers, sums):
        """The pages that follow, each beside its counterpart."""
        both = [dict(params), dict(params)]
        for _ in range(40):
            if any(a.status != 200 for a in answers):
                return True
            both = [after(op, p, a) for p, a in zip(both, answers)]
            if None in both:
                return True  # that only one goes on was found by IsTruncated
            answers = []
            for s, p in zip(self.pair.servers, both):
                a = s.boto(op, resolve(p, s), sums)
                a.fields = fields_of(op, a)
                answers.append(a)
            self.pair.name_ids(answers)
            if not self.judge("boto", op, {"page after": params}, answers):
                return False
        return True

    def one(self, kind, op, params):
        sums = self.calls.r.randrange(2)
        answers, made = self.pair.call(kind, op, params, sums)
        ok = self.judge(kind, op, params, answers)
        if not ok:
            return False
        for name in made:
            if name.startswith("x-amz-version-id") or name.startswith("VersionId"):
                self.calls.versions.append(name)
            if name.startswith("UploadId"):
                self.calls.learn(op, params, name)
        if op in ("upload_part", "upload_part_copy") and answers[0].status == 200:
            f = answers[0].fields
            upload = params["UploadId"]
            if isinstance(upload, Ref):
                etag = f.get("header etag") or f.get("CopyPartResult.ETag")
                self.calls.learn_part(upload.name, params["PartNumber"], etag)
        if op in PAGES:
            return self.pages(op, params, answers, sums)
        return True

    def episode(self, number):
        c = self.calls
        c.begin(number)
        for b in c.buckets:
            self.one("boto", "create_bucket", {"Bucket": b})
        if c.versions_kept:
            self.one("boto", "put_bucket_versioning", {"Bucket": c.buckets[0], "VersioningConfiguration": {"Status": "Enabled"}})
        going = True
        for _ in range(c.r.randrange(40, 160)):
            going = going and self.one(*c.next())
            if not going or self.n >= self.args.count:
                break
        for b in c.buckets if going else []:
            self.one("boto", "list_objects_v2", {"Bucket": b, "EncodingType": "url"})
            self.one("boto", "list_object_versions", {"Bucket": b, "EncodingType": "url"})
            self.one("boto", "list_multipart_uploads", {"Bucket": b})

    def run(self):
        number = 0
        while self.n < self.args.count:
            number += 1
            self.episode(number)
        self.report.end(self.n, episodes=number)


if __name__ == "__main__":
    Run(arguments(__doc__.split("\n")[0], name="moto", key="perigee", secret="perigee", trace=None)).run()
