"""A proxy on 127.0.0.1 before services that speak AWS's protocols, which fails a share of the calls.

usage: flaky.py [--seed N] [--stall SECONDS] [--once SERVICE]... SERVICE=PORT...     (dynamodb, sqs, s3, sesv2, sts)

Listens on one port a service and prints them in one line of JSON, with that of the control server:
  GET  /counts          what was done, per service; and the retry quota as the calls show it
  POST /share?0.3       from now on this share of the calls fails; 0 at the start

Kinds of failures; "acted" means that the service carried the call out and the caller cannot know:
  error, unavailable, throttled   an answer of the service's own shape, not acted
  reset, stalled                  connection reset, or silence for --stall seconds and then closed; not acted
  reset_acted, stalled_acted      the same after the service acted
  truncated                       acted, half an answer
  duplicated                      acted twice; one of the two answers
A service given with --once only fails in ways without "acted": for calls that have no idempotency token.
"""

import argparse
import asyncio
import json
import random
import socket
import struct
import urllib.parse

BEFORE = ["error", "unavailable", "throttled", "reset", "stalled"]
ACTED = ["reset_acted", "stalled_acted", "truncated", "duplicated"]
THROTTLES = {
    "dynamodb": (400, "ProvisionedThroughputExceededException"),
    "sqs": (403, "RequestThrottled"),
    "s3": (503, "SlowDown"),
    "sesv2": (429, "TooManyRequestsException"),
    "sts": (400, "Throttling"),
}
MAX_BODY = 256 << 20


class Closed(Exception):
    """The other side is gone, or speaks no HTTP."""


class Message:
    def __init__(self, start, headers, body):
        self.start, self.headers, self.body = start, headers, body

    def header(self, name):
        return next((v for n, v in self.headers if n.lower() == name), None)

    def bytes(self, close, body_length=None):
        skip = ("content-length", "transfer-encoding", "connection")
        lines = [self.start] + [f"{n}: {v}" for n, v in self.headers if n.lower() not in skip]
        lines.append(f"Content-Length: {len(self.body) if body_length is None else body_length}")
        lines.append("Connection: close" if close else "Connection: keep-alive")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + self.body


async def read_chunked(reader):
    body = b""
    while True:
        size = int((await reader.readline()).split(b";")[0], 16)
        if size == 0:
            break
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while (await reader.readline()).strip():
        pass
    return body


async def read_message(reader, answer_to=None):
    """A request, or the answer to the request with the method answer_to."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in head[1:] if line]
        message = Message(head[0], headers, b"")
        status = int(head[0].split(" ")[1]) if answer_to else 0
        if status == 100:
            return await read_message(reader, answer_to)
        length = message.header("content-length")
        if answer_to == "HEAD" or status in (204, 304):
            return message
        if (message.header("transfer-encoding") or "").lower() == "chunked":
            message.body = await read_chunked(reader)
        elif length is not None:
            message.body = await reader.readexactly(int(length))
        elif answer_to:
            message.body = await reader.read(MAX_BODY)
        return message
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError) as error:
        raise Closed() from error


class Quota:
    """What the calls of one client show of its retry quota: a bucket of 500 tokens from which tries take at least what is taken
    here, and into which successes put at most what is put here (AWS SDKs, "standard", 2026)."""

    SIZE = 500

    def __init__(self):
        self.outcome = {}  # by invocation id: attempt number, cost of the last retry, throttled
        self.tokens = self.lowest = self.SIZE
        self.retries = self.resent = 0

    def attempt(self, request):
        call = request.header("amz-sdk-invocation-id")
        text = request.header("amz-sdk-request") or ""
        number = next((int(p.split("=")[1]) for p in text.split(";") if p.strip().startswith("attempt=")), 0)
        if call is None or number == 0:
            return
        last = self.outcome.get(call, (0, 0, False))
        cost = last[1]
        if number > 1 and number > last[0]:
            cost = 5 if last[2] else 14
            self.tokens -= cost
            self.lowest = min(self.lowest, self.tokens)
            self.retries += 1
        elif number == last[0]:  # by the transport itself: a kept connection that was closed without a byte of answer
            self.resent += 1
        self.outcome[call] = (max(number, last[0]), cost, last[2])

    def answered(self, request, ok, throttled):
        call = request.header("amz-sdk-invocation-id")
        if call not in self.outcome:
            return
        number, cost, _ = self.outcome[call]
        self.outcome[call] = (number, cost, throttled)
        if ok:
            self.tokens = min(self.SIZE, self.tokens + (cost or 1))


class Service:
    def __init__(self, name, port, options):
        self.name, self.port, self.stall = name, port, options.stall
        self.random = random.Random(f"{options.seed} {name}")
        self.kinds = BEFORE if name in options.once else BEFORE + ACTED
        self.counts = dict.fromkeys(["calls", "passed"] + self.kinds, 0)
        self.quota = Quota()
        self.idle = []

    def counted(self):
        q = self.quota
        return {**self.counts, "retries": q.retries, "resent": q.resent, "tokens_lowest": q.lowest}

    async def upstream(self, request):
        """The service's answer, over a kept connection where there is one."""
        method = request.start.split(" ")[0]
        while True:
            used = bool(self.idle)
            reader, writer = self.idle.pop() if used else await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
            try:
                if used and (reader.at_eof() or writer.is_closing()):
                    raise Closed()
                writer.write(request.bytes(close=False))
                await writer.drain()
                answer = await read_message(reader, method)
            except (Closed, ConnectionError):
                writer.close()
                if used:
                    continue
                raise
            keeps = (answer.header("connection") or "").lower() != "close" and answer.start.startswith("HTTP/1.1")
            if keeps and (answer.header("content-length") or answer.header("transfer-encoding")):
                self.idle.append((reader, writer))
            else:
                writer.close()
            return answer

    def refusal(self, request, kind):
        status, code = {"error": (500, "InternalError"), "unavailable": (503, "ServiceUnavailable"), "throttled": THROTTLES[self.name]}[kind]
        if self.name == "s3" and kind == "unavailable":
            code = "SlowDown"
        headers = [("x-amzn-RequestId", "flaky")]
        if kind == "throttled" and self.random.random() < 0.5:
            headers.append(("x-amz-retry-after", str(self.random.randrange(200))))
        if self.name in ("s3", "sts"):
            error = f"<Code>{code}</Code><Message>made to fail: {kind}</Message>"
            body = f"<Error>{error}<RequestId>flaky</RequestId></Error>" if self.name == "s3" else f"<ErrorResponse><Error>{error}</Error></ErrorResponse>"
            headers.append(("Content-Type", "application/xml"))
        else:
            body = json.dumps({"__type": f"com.amazonaws#{code}", "message": f"made to fail: {kind}"})
            headers.append(("Content-Type", "application/x-amz-json-1.0"))
            if self.name == "sqs":
                headers.append(("x-amzn-query-error", f"{code};{'Receiver' if status >= 500 else 'Sender'}"))
        return Message(f"HTTP/1.1 {status} Made To Fail", headers, b"" if request.start.startswith("HEAD ") else body.encode())

    async def answer(self, request, writer, kind):
        """Carries one call out as `kind` says; whether the connection goes on."""
        if kind in ("error", "unavailable", "throttled"):
            self.quota.answered(request, False, kind == "throttled" or (kind == "unavailable" and self.name == "s3"))
            writer.write(self.refusal(request, kind).bytes(close=False))
            await writer.drain()
            return True
        if kind not in ("reset", "stalled"):
            answer = await self.upstream(request)
            if kind == "duplicated":
                again = await self.upstream(request)
                answer = answer if self.random.random() < 0.5 else again
        if kind in ("passed", "duplicated"):
            status = int(answer.start.split(" ")[1])
            self.quota.answered(request, status < 500, False)
            length = answer.header("content-length") if request.start.startswith("HEAD ") else None
            writer.write(answer.bytes(close=False, body_length=length))
            await writer.drain()
            return True
        self.quota.answered(request, False, False)
        if kind in ("stalled", "stalled_acted"):
            await asyncio.sleep(self.stall)
        elif kind == "truncated":
            whole = answer.bytes(close=False)
            writer.write(whole[: len(whole) - max(len(answer.body) // 2, 20)])
            await writer.drain()
        else:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return False

    async def serve(self, reader, writer):
        try:
            while True:
                request = await read_message(reader)
                self.counts["calls"] += 1
                self.quota.attempt(request)
                kind = self.random.choice(self.kinds) if self.random.random() < Control.share else "passed"
                self.counts[kind] += 1
                if not await self.answer(request, writer, kind):
                    break
        except (Closed, ConnectionError):
            pass
        finally:
            writer.close()


class Control:
    share = 0.0

    def __init__(self, services):
        self.services = services

    async def serve(self, reader, writer):
        try:
            method, target, _ = (await read_message(reader)).start.split(" ")
            url = urllib.parse.urlsplit(target)
            if (method, url.path) == ("POST", "/share"):
                Control.share = float(url.query)
            body = json.dumps({service.name: service.counted() for service in self.services}).encode()
            writer.write(Message("HTTP/1.1 200 OK", [("Content-Type", "application/json")], body).bytes(close=True))
            await writer.drain()
        except (Closed, ConnectionError):
            pass
        finally:
            writer.close()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stall", type=float, default=2.0)
    parser.add_argument("--once", action="append", default=[])
    parser.add_argument("services", nargs="+", metavar="SERVICE=PORT")
    options = parser.parse_args()
    services = [Service(name, int(port), options) for name, port in (s.split("=") for s in options.services)]
    ports = {}
    for name, handler in [("control", Control(services))] + [(s.name, s) for s in services]:
        server = await asyncio.start_server(handler.serve, "127.0.0.1", 0, limit=1 << 20, backlog=1024)
        ports[name] = server.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
