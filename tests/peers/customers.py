"""Customers of the order system, as real ones are: each orders once, pays once, and asks again on connection errors and 5xx
with the same Idempotency-Key and payment_id. One line of JSON: what became of it.

usage: customers.py URL ORDERS CONCURRENCY SECONDS
"""

import asyncio
import json
import random
import sys
import time
import urllib.parse

url, orders, concurrency, seconds = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
deadline = time.monotonic() + seconds
result = {"paid": 0, "requests": 0, "again": 0, "replayed": 0, "unexpected": [], "statuses": {}}


async def post(path, body, key):
    """Status, headers and body; status 0 when there was no answer."""
    writer = None
    try:
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
        )
        head, _, text = (await asyncio.wait_for(reader.read(), 60)).partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), head.lower(), text
    except (OSError, IndexError, ValueError, asyncio.TimeoutError):
        return 0, b"", b""
    finally:
        if writer:
            writer.close()


async def insist(path, content, key):
    """Until it is accepted; None when time is over or the answer is a refusal."""
    body, pause = json.dumps(content).encode(), 0.2
    while time.monotonic() < deadline:
        status, head, text = await post(path, body, key)
        result["requests"] += 1
        result["statuses"][status] = result["statuses"].get(status, 0) + 1
        if status == 200:
            result["replayed"] += b"idempotent-replayed: true" in head
            return json.loads(text)
        if status != 0 and status < 500:
            result["unexpected"].append(f"{path} {status} {text[:200].decode(errors='replace')}")
            return None
        result["again"] += 1
        await asyncio.sleep(pause * (0.5 + random.random()))
        pause = min(pause * 2, 5)
    result["unexpected"].append(f"{path} {content['order_id']}: not accepted in time")
    return None


async def customer(i):
    order = f"order-{i:05}"
    content = {"order_id": order, "user_id": f"user-{i % 7}", "item": "Tea", "quantity": 2, "total_price": 1250, "email": f"{order}@example.com"}
    if not await insist("/orders", content, f"key-{order}"):
        return
    if await insist("/payments", {"order_id": order, "status": "paid", "payment_id": f"payment-{order}"}, f"key-payment-{order}"):
        result["paid"] += 1


async def main():
    limit = asyncio.Semaphore(concurrency)

    async def one(i):
        async with limit:
            await customer(i)

    await asyncio.gather(*(one(i) for i in range(orders)))
    result["unexpected"] = result["unexpected"][:10]
    print(json.dumps(result))


asyncio.run(main())
