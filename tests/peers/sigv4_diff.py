#!/usr/bin/env python3
"""Random requests signed by botocore, one JSON line each, for tests/peers/sigv4_spec.lua to sign again.

usage: sigv4_diff.py COUNT [SEED]

Binary values are base64. Requests are those that a client can send: what botocore itself encodes, or URLs that are
percent-encoded strictly (where they are not, botocore signs another text than the services do). Left out: headers whose
treatment changed between botocore's versions, Date (it replaces X-Amz-Date), and repeated query names of links (botocore
keeps the first).
"""
import base64
import calendar
import datetime
import json
import random
import sys
import types
from urllib.parse import quote

import botocore.auth
import botocore.compat
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

frozen = None


class FrozenDatetime(datetime.datetime):
    @classmethod
    def utcnow(cls):
        return frozen

    @classmethod
    def now(cls, tz=None):
        return frozen.replace(tzinfo=tz)


def freeze():
    """botocore has read the time in several ways over the years."""
    botocore.auth.datetime = types.SimpleNamespace(datetime=FrozenDatetime, timedelta=datetime.timedelta,
                                                   timezone=datetime.timezone)
    if hasattr(botocore.auth, 'get_current_datetime'):
        botocore.auth.get_current_datetime = lambda *args, **kwargs: frozen


class KeptAuth(SigV4Auth):
    """Paths encoded twice but not normalised."""

    def _normalize_url_path(self, path):
        return quote(path or '/', safe='/~')


class NormalisedS3Auth(S3SigV4Auth):
    """S3's paths, normalised."""

    def _normalize_url_path(self, path):
        return botocore.auth.normalize_url_path(path)


LETTERS = 'abcXYZ019-._~'
ODD = ' !"#$%&\'()*+,/:;<=>?@[\\]^`{|}\t'
WIDE = 'äßñéŁøЖ李雷中𝄞😀\u00a0\u2028'
NEVER = ['User-Agent', 'X-Amzn-Trace-Id', 'Connection', 'Expect', 'Transfer-Encoding', 'Keep-Alive', 'TE', 'Trailer',
         'Upgrade', 'Proxy-Authorization']
SERVICES = ['dynamodb', 'sqs', 'ses', 'sts', 'execute-api', 'lambda', 'es', 'service', 'aoss', 'monitoring']
REGIONS = ['us-east-1', 'eu-west-1', 'ap-southeast-2', 'us-gov-west-1', 'cn-north-1', 'aws-global']


def text(r, most, alphabet):
    return ''.join(r.choice(alphabet) for _ in range(r.randint(0, most)))


def anything(r, most):
    return text(r, most, r.choice([LETTERS, LETTERS + ODD, LETTERS + ODD + WIDE]))


def path(r):
    segments = []
    for _ in range(r.randint(0, 6)):
        kind = r.random()
        segments.append('' if kind < 0.12 else '.' if kind < 0.2 else '..' if kind < 0.3 else '...' if kind < 0.32
                        else quote(anything(r, 12), safe='~'))
    return '/' + '/'.join(segments) + ('/' if r.random() < 0.2 else '')


def query(r, link):
    parts, names = [], set()
    for _ in range(r.choice([0, 0, 1, 2, 3, 5, 9])):
        name = quote(anything(r, 6), safe='~')
        if link and (not name or name in names):
            continue
        names.add(name)
        value = quote(anything(r, 10), safe='~')
        parts.append(name + '=' + value if value or r.random() < 0.5 or not name else name)
    if not link and parts and r.random() < 0.2:
        parts.append(r.choice(parts))
    if not link and r.random() < 0.05:
        parts.append('')
    return '&'.join(parts)


def header_value(r):
    value = text(r, 20, LETTERS + '    ' + ODD.replace('\t', '') + 'äñ李')
    return value if r.random() < 0.7 else '  ' + value + '\t ' + text(r, 5, LETTERS) + '  '


def headers(r):
    out, names = [], set()
    for _ in range(r.choice([0, 1, 2, 3, 4, 8, 40] if r.random() < 0.1 else [0, 1, 2, 3, 4])):
        name = r.choice(['X-Amz-Meta-', 'x-', 'Content-', 'A', 'z', 'X-Amz-', 'Range-']) + text(r, 8, 'abcdXYZ019-_').strip('-')
        if name.lower() in names or name.lower() in ('x-amz-date', 'x-amz-security-token', 'x-amz-content-sha256', 'content-length'):
            continue
        names.add(name.lower())
        out.append([name, [header_value(r) for _ in range(2 if r.random() < 0.1 else 1)]])
    if r.random() < 0.3:
        out.append([r.choice(NEVER), [header_value(r)]])
    return out


def host(r):
    return r.choice(['dynamodb.us-east-1.amazonaws.com', 'Bucket.S3.amazonaws.com', 'localhost:4566', '127.0.0.1:80',
                     'h.example:443', '[::1]:8000', 'a_b.example', 'xn--bcher-kva.example:8443'])


def case(r):
    global frozen
    seconds = r.randint(1, 4102444799)
    frozen = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=max(seconds, 200000000))
    link = r.random() < 0.4
    s3 = r.random() < 0.5
    mode = 'link' if link else 'header'
    normalize = None if link or r.random() < 0.6 else not s3 if r.random() < 0.3 else s3
    service = 's3' if s3 else r.choice(SERVICES)
    region = r.choice(REGIONS)
    credentials = Credentials('AKIA' + text(r, 16, 'ABCDEFGH234567/'), text(r, r.choice([1, 40, 100, 180]), LETTERS + '+/=ä') + 'x',
                              text(r, 200, LETTERS + '+/=') + '=' if r.random() < 0.4 else None)
    body = b'' if link or r.random() < 0.3 else r.randbytes(r.choice([1, 10, 300, 5000]))
    given = headers(r)
    if not link and body and r.random() < 0.1 and not s3:
        given.append(['X-Amz-Content-SHA256', ['UNSIGNED-PAYLOAD']])
    if r.random() < 0.05:
        given.append(['Host', ['elsewhere.example:99']] if not link else ['Content-Type', ['a/b']])
    url = r.choice(['http', 'https']) + '://' + host(r) + path(r)
    raw_query = query(r, link)
    url += '?' + raw_query if raw_query else r.choice(['', '', '?'])
    method = r.choice(['GET', 'PUT', 'POST', 'DELETE', 'HEAD', 'PATCH', 'get'])
    request = AWSRequest(method, url, data=body)
    for name, values in given:
        for value in values:
            request.headers[name] = value
    expires = r.randint(1, 604800)
    if link:
        signer = (S3SigV4QueryAuth if s3 else SigV4QueryAuth)(credentials, service, region, expires=expires)
    else:
        kind = S3SigV4Auth if s3 else SigV4Auth
        if normalize is True and s3:
            kind = NormalisedS3Auth
        if normalize is False and not s3:
            kind = KeptAuth
        signer = kind(credentials, service, region)
    stages = {}
    canonical_request, string_to_sign = signer.canonical_request, signer.string_to_sign

    def keep(name, made):
        stages[name] = made
        return made
    signer.canonical_request = lambda q: keep('canonical', canonical_request(q))
    signer.string_to_sign = lambda q, c: keep('text', string_to_sign(q, c))
    signer.add_auth(request)
    return {'mode': mode, 'method': method, 'url': url, 'headers': given, 'body': base64.b64encode(body).decode(),
            'service': service, 'region': region, 'access_key_id': credentials.access_key,
            'secret_access_key': credentials.secret_key, 'session_token': credentials.token,
            'date': calendar.timegm(frozen.timetuple()) * 1000, 'normalize': normalize, 'expires': expires if link else None,
            'canonical_request': stages['canonical'], 'string_to_sign': stages['text'],
            'result': request.url if link else request.headers['Authorization']}


def main():
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    freeze()
    r = random.Random(seed)
    for _ in range(count):
        print(json.dumps(case(r)))


main()
