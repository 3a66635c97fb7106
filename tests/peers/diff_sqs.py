"""Random calls to two SQSs, ours and a peer's, with the official client; prints where their answers differ.

  diff_sqs.py OURS_URL PEER_URL [--seed N] [--count N] [--show N] [--name moto|elasticmq]

The same calls (diff_sqs_calls.py) go to both, in episodes with queues of their own. Compared are results and error codes: messages by
their bodies, in the order of their group where the queue is a FIFO queue; ids, times, sequence numbers and handles by what they must
be. What differs and is not listed in EXPLAINED ends up in the report; after a difference that may leave the queues in different
states the next episode begins. Time is the affair of tests/unit/local/sqs_model_spec.lua. The last line is JSON: {"calls",
"explained": {reason: n}, "differences": n}; status 1 when there are any.
"""
import json
import random
import time

import boto3
import botocore.exceptions
from botocore.config import Config

from diff_sqs_calls import Calls, Ref
from diff_sqs_explained import explain
from differ import Explained, Report, arguments

EPISODE = 80
# The codes of the older protocol, which clients that know it are told, by their names since: ElasticMQ has only these.
OLD = {"AWS.SimpleQueueService.NonExistentQueue": "QueueDoesNotExist", "QueueAlreadyExists": "QueueNameExists",
       "AWS.SimpleQueueService.MessageNotInflight": "MessageNotInflight"}
# ElasticMQ lets a client wait for 20 s, and then fails, when a queue is nobody's dead-letter queue.
WITHOUT = {"elasticmq": ["start_message_move_task"]}
TIMES = ["CreatedTimestamp", "LastModifiedTimestamp"]


class Server:
    def __init__(self, url, account):
        self.url, self.account = url.rstrip("/"), account
        self.client = boto3.client(
            "sqs", endpoint_url=url, region_name="us-east-1", aws_access_key_id="perigee", aws_secret_access_key="perigee",
            config=Config(parameter_validation=False, retries={"max_attempts": 0}, read_timeout=30))
        self.begin()

    def begin(self):
        self.handles, self.ids, self.sequence, self.urls = {}, {}, {}, {}

    def resolve(self, v):
        if isinstance(v, Ref):
            if v.kind == "url":
                return self.urls.get(v.of, "%s/%s/%s" % (self.url, self.account, v.of))
            if v.kind == "arn":
                return self.arn(v.of)
            return self.handles.get(v.of, "unknown")
        if isinstance(v, dict) and set(v) == {"arn", "max"}:
            return json.dumps({"deadLetterTargetArn": self.resolve(v["arn"]), "maxReceiveCount": v["max"]})
        if isinstance(v, dict):
            return {k: self.resolve(x) for k, x in v.items()}
        return [self.resolve(x) for x in v] if isinstance(v, list) else v

    def arn(self, name):
        return "arn:aws:sqs:us-east-1:%s:%s" % (self.account, name)

    def call(self, op, params):
        """-> (error code or None, answer or message)"""
        try:
            answer = getattr(self.client, op)(**self.resolve(params))
            answer.pop("ResponseMetadata")
            return None, answer
        except botocore.exceptions.ClientError as e:
            code = e.response["Error"]["Code"]
            return OLD.get(code, code.replace("AWS.SimpleQueueService.", "")), e.response["Error"]["Message"]
        except Exception as e:  # the client would not send it, or could not read the answer
            return "Client", "%s: %s" % (type(e).__name__, e)

    def pages(self, params):
        """A listing to its end: the names in it, and how many pages it took."""
        names, pages, more = [], 0, {}
        while pages < 20:
            error, answer = self.call("list_queues", dict(params, **more))
            if error:
                return error, answer
            names += [u.rsplit("/", 1)[1] for u in answer.get("QueueUrls", [])]
            pages += 1
            if not answer.get("NextToken"):
                break
            more = {"NextToken": answer["NextToken"]}
        return None, {"names": names}

    def move(self, params):
        """A move task to its end."""
        error, answer = self.call("start_message_move_task", params)
        for _ in range(200 if not error else 0):
            results = self.call("list_message_move_tasks", {"SourceArn": params["SourceArn"]})[1].get("Results", [{}])
            if results[0].get("Status") not in ("RUNNING", None):
                return None, {k: results[0].get(k) for k in ("Status", "ApproximateNumberOfMessagesMoved")}
            time.sleep(.02)
        return error, answer

    # ==== answers as they can be compared ===============================================================================

    def sent(self, queue, message, answer):
        """The same id for the same message, ascending numbers; what a repetition gets is what the first one got."""
        body, number = message.get("MessageBody"), int(answer.get("SequenceNumber") or 0)
        fresh = answer["MessageId"] not in self.ids
        first = self.ids.setdefault(answer["MessageId"], body)
        ascends = not fresh or number >= self.sequence.get(queue, 0)
        self.sequence[queue] = max(number, self.sequence.get(queue, 0))
        md5s = {k: v for k, v in answer.items() if k.startswith("MD5")}
        return dict(md5s, of=first, ascends=ascends, numbered=number > 0)

    def sent_batch(self, queue, params, answer):
        entries = {e["Id"]: e for e in params["Entries"]}
        return {"good": {e.pop("Id"): self.sent(queue, entries[i], e) for e in answer.get("Successful", []) for i in [e["Id"]]},
                "bad": failures(answer)}

    def received(self, queue, n, answer):
        fifo, groups = queue.endswith(".fifo"), {}
        for m in answer.get("Messages", []):
            a = dict(m.get("Attributes", {}))
            key = (queue, n, m["Body"])
            self.handles[key] = m.pop("ReceiptHandle")
            seen = {"body": m["Body"], "sent as": self.ids.get(m.pop("MessageId")), "md5": m.get("MD5OfBody"), "md5a": m.get("MD5OfMessageAttributes"),
                    "attributes": m.get("MessageAttributes"), "system": sorted(a)}
            seen.update({k: a.get(k) for k in ("ApproximateReceiveCount", "MessageGroupId", "MessageDeduplicationId", "AWSTraceHeader")})
            source = a.get("DeadLetterQueueSourceArn")
            seen["source"] = source and source.rsplit(":", 1)[1]
            groups.setdefault(a.get("MessageGroupId") if fifo else None, []).append(seen)
        for group in groups.values():
            if not fifo:
                group.sort(key=lambda s: s["body"])
        return {str(k): v for k, v in groups.items()}

    def attributes(self, answer):
        a = answer.get("Attributes", {})
        for k in TIMES:
            if k in a:
                a[k] = abs(float(a[k]) - time.time()) < 120
        text = json.dumps(a).replace(self.account, "ACCOUNT")
        a = json.loads(text)
        for k in ("RedrivePolicy", "Policy"):
            if a.get(k):
                a[k] = json.loads(a[k])
        if a.get("RedrivePolicy"):
            a["RedrivePolicy"]["maxReceiveCount"] = int(a["RedrivePolicy"]["maxReceiveCount"])
        return a

    def answer(self, op, params, n):
        error, got = self.pages(params) if op == "list_queues" else self.move(params) if op == "start_message_move_task" else self.call(op, params)
        queue = params["QueueUrl"].of if isinstance(params.get("QueueUrl"), Ref) else ""
        if error:
            return error, got
        if op in ("create_queue", "get_queue_url"):
            self.urls[params["QueueName"]] = got["QueueUrl"]
            return None, got["QueueUrl"].rsplit("/", 1)[1]
        if op == "list_dead_letter_source_queues":
            return None, sorted(u.rsplit("/", 1)[1] for u in got["queueUrls"])
        if op == "receive_message":
            return None, self.received(queue, n, got)
        if op == "send_message":
            return None, self.sent(queue, params, got)
        if op == "send_message_batch":
            return None, self.sent_batch(queue, params, got)
        if op.endswith("_batch"):
            return None, {"good": sorted(e["Id"] for e in got.get("Successful", [])), "bad": failures(got)}
        return None, self.attributes(got) if op == "get_queue_attributes" else {k: v for k, v in got.items() if v}


def failures(answer):
    return {e["Id"]: [e["Code"], e["SenderFault"]] for e in answer.get("Failed", [])}


def shown(answer):
    error, got = answer
    return "%s: %s" % (error, got) if error else "ok " + json.dumps(got, sort_keys=True, default=repr, ensure_ascii=False)


class Run:
    def __init__(self, args):
        self.args, self.report, self.explained = args, Report(args.show), Explained()
        explain(self.explained, args.name)
        self.ours = Server(args.ours, "000000000000")
        self.peer = Server(args.peer, "123456789012")
        self.calls, self.run = Calls(args.seed, WITHOUT.get(args.name, ())), random.SystemRandom().randrange(10 ** 6)

    def begin(self, episode):
        for server in (self.ours, self.peer):
            for name in sorted(self.calls.bodies):
                server.call("delete_queue", {"QueueUrl": Ref("url", name)})
            server.begin()
        self.calls.begin("%d-%d-%d" % (self.run, self.args.seed, episode))

    def compare(self, op, params, one, two):
        """Whether both did the same."""
        alike = one[0] == two[0] and (one[0] or one[1] == two[1])
        if op == "get_queue_attributes" and not one[0] and not two[0]:
            alike = all(one[1][k] == two[1][k] for k in set(one[1]) & set(two[1]))
        if alike:
            return True
        a, b = shown(one), shown(two)
        reason = self.explained.reason(op, a, b)
        if reason:
            self.report.explained(reason[0])
        else:
            self.report.differs(op=op, params=self.calls.text(params), ours=a[:1500], peer=b[:1500])
        return one[0] is not None and two[0] is not None or op.startswith(("get_", "list_"))

    def main(self):
        n, episode, left = 0, 0, 0
        while n < self.args.count:
            if not left:
                episode, left = episode + 1, EPISODE
                self.begin(episode)
            n, left = n + 1, left - 1
            op, params = self.calls.next()
            one, two = self.ours.answer(op, params, n), self.peer.answer(op, params, n)
            if not self.compare(op, params, one, two):
                left = 0
            elif not one[0] and not two[0]:
                self.calls.happened(op, params, one[1])
                self.calls.handles = [h for h in self.ours.handles if h in self.peer.handles]
        self.begin(0)
        self.report.end(n)


if __name__ == "__main__":
    Run(arguments(__doc__, name="moto")).main()
