"""DynamoDB calls by botocore, one thread a waiting call: the figures of perigee_aws_calls.

usage: aws_calls.py PORT CONCURRENT MS [PutItem|GetItem]
"""
import json
import resource
import sys
import threading
import time

import botocore.session
from botocore.config import Config

port, concurrent, ms = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
get = len(sys.argv) > 4 and sys.argv[4] == 'GetItem'
session = botocore.session.Session()
client = session.create_client(
    'dynamodb', region_name='us-east-1', endpoint_url='http://127.0.0.1:%d' % port, aws_access_key_id='AKIDEXAMPLE',
    aws_secret_access_key='wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', config=Config(max_pool_connections=concurrent))
ITEM = {'order_id': {'S': '0193514e-5b4c-7cc1-a2b3-6f1f2f0e8a11'}, 'user_id': {'S': 'u-42'}, 'status': {'S': 'PENDING'},
        'total': {'N': '1250'}, 'created_at': {'S': '2026-11-22T05:30:00.000Z'},
        'items': {'L': [{'M': {'sku': {'S': 'tea'}, 'quantity': {'N': '2'}}}]}}


def call():
    if get:
        client.get_item(TableName='Orders', Key={'order_id': ITEM['order_id']})
    else:
        client.put_item(TableName='Orders', Item=ITEM)


def run(seconds):
    counts = [0] * concurrent
    until = time.perf_counter() + seconds

    def work(i):
        while time.perf_counter() < until:
            call()
            counts[i] += 1
    threads = [threading.Thread(target=work, args=(i,)) for i in range(concurrent)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return sum(counts)


def cpu():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return u.ru_utime + u.ru_stime


run(0.3)
start, before = time.perf_counter(), cpu()
n = run(ms / 1000)
print(json.dumps({'calls': n, 'per_second': round(n / (time.perf_counter() - start)), 'cpu_us': round((cpu() - before) * 1e6 / n, 1)},
                 separators=(',', ':')))
