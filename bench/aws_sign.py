"""botocore's signer on the vector of `perigee_sign --vector` (stdin): nanoseconds a signature, for so many ms.

usage: aws_sign.py MS
"""
import datetime
import json
import sys
import time
import types

import botocore.auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

v = json.load(sys.stdin)
frozen = datetime.datetime.strptime(v['date'], '%Y%m%dT%H%M%SZ')


class Frozen(datetime.datetime):
    @classmethod
    def utcnow(cls):
        return frozen


botocore.auth.datetime = types.SimpleNamespace(datetime=Frozen, timedelta=datetime.timedelta, timezone=datetime.timezone)
if hasattr(botocore.auth, 'get_current_datetime'):
    botocore.auth.get_current_datetime = lambda *args, **kwargs: frozen
signer = SigV4Auth(Credentials(v['access_key'], v['secret_key']), v['service'], v['region'])
url, body = 'https://' + v['host'] + '/', v['body'].encode()


def sign():
    request = AWSRequest('POST', url, data=body, headers={'Content-Type': v['content_type'], 'X-Amz-Target': v['target']})
    signer.add_auth(request)
    return request.headers['Authorization']


def measure(seconds):
    n, start = 0, time.perf_counter()
    while True:
        for _ in range(100):
            sign()
        n += 100
        passed = time.perf_counter() - start
        if passed > seconds:
            return passed * 1e9 / n


if not sign().endswith('Signature=' + v['signature']):
    sys.exit('botocore signs otherwise: ' + sign())
measure(0.1)
print(round(measure(int(sys.argv[1]) / 1000)))
