"""Random calls to SQS for diff_sqs.py: (operation, parameters). Names of queues, ARNs and receipt handles are Refs, which each server
resolves to its own. No call depends on time: what is hidden stays hidden, or comes back at once."""
import json

from differ import Chance


class Ref:
    """kind: "url" or "arn" of a queue's name, "handle" of a number, "task" of the last move."""

    def __init__(self, kind, of):
        self.kind, self.of = kind, of

    def __repr__(self):
        return "%s(%s)" % (self.kind, self.of)


HIDDEN, LATER = 43000, 900
SETTINGS = {"VisibilityTimeout": ["30", str(HIDDEN)], "DelaySeconds": ["0", "0", str(LATER)], "MessageRetentionPeriod": ["60", "345600", "1209600"],
            "MaximumMessageSize": ["1024", "2048", "262144"], "ReceiveMessageWaitTimeSeconds": ["0"]}
BAD_SETTINGS = {"VisibilityTimeout": ["-1", "43201", "x", ""], "DelaySeconds": ["901", "-1", "1.5"], "MessageRetentionPeriod": ["59", "1209601", "0"],
                "MaximumMessageSize": ["1023", "1048577"], "ReceiveMessageWaitTimeSeconds": ["21", "-1"], "Nope": ["1"], "RedrivePolicy": ["x", "[]", "{}"],
                "Policy": ["x"], "FifoQueue": ["false", "x"], "ContentBasedDeduplication": ["x"], "QueueArn": ["x"], "visibilitytimeout": ["1"]}
BODIES = ["Ñ 李雷 \U0001F600", "<a>&amp;</a>", "\t\r\n", " ", '{"a": "\\"b\\""}', "x" * 900]
BAD_BODIES = ["", "\x00", "a\x01b", "\ufffe", "\uffff", "x" * 1048577]
NAMES = ["a", "b", "c", "d.fifo", "e.fifo"]
BAD_NAMES = ["", "a b", "é", "x" * 81, "a.fifo.fifo", "a.b", ".fifo", "x" * 76 + ".fifo"]


class Calls:
    def __init__(self, seed, without):
        self.r, self.weights = Chance(seed), {op: n for op, n in self.WEIGHTS.items() if op not in without}
        self.begin(0)

    def begin(self, episode):
        self.episode, self.bodies, self.handles, self.purged, self.body = episode, {}, [], set(), 0

    # ==== parts =========================================================================================================

    def name(self):
        return "%s-%s" % (self.episode, self.r.choice(NAMES))

    def queue(self):
        return self.r.choice(sorted(self.bodies)) if self.bodies and not self.r.of(.03) else self.name()

    def url(self, name):
        return Ref("url", "none" if self.r.of(.01) else name)

    def redrive(self, name):
        fifo = name.endswith(".fifo") != self.r.of(.03)
        others = [q for q in sorted(self.bodies) if q.endswith(".fifo") == fifo and q != name] or ["%s-none" % self.episode]
        return {"arn": Ref("arn", self.r.choice(others)), "max": self.r.choice([1, 1, 2, 3] if not self.r.of(.05) else [0, 1001, "x"])}

    def attributes(self, name, share=.3):
        out = {}
        for key, values in SETTINGS.items():
            if self.r.of(share):
                out[key] = self.r.choice(values)
        if self.r.of(.3) and len(self.bodies) > 1:
            out["RedrivePolicy"] = self.redrive(name)
        if name.endswith(".fifo") and self.r.of(.4):
            out["ContentBasedDeduplication"] = self.r.choice(["true", "false"])
        if name.endswith(".fifo") and self.r.of(.1):
            out["DeduplicationScope"] = self.r.choice(["queue", "messageGroup"])
        if self.r.of(.03):
            key = self.r.choice(sorted(BAD_SETTINGS))
            out[key] = self.r.choice(BAD_SETTINGS[key])
        return out

    def message_attribute(self):
        if self.r.of(.02):
            return self.r.choice([{"DataType": "Strange", "StringValue": "x"}, {"DataType": "String"}, {"DataType": "String", "StringValue": ""},
                                  {"DataType": "Number", "StringValue": "x"}, {"StringValue": "x"}, {"DataType": "", "StringValue": "x"},
                                  {"DataType": "Binary", "BinaryValue": b""}, {"DataType": "String", "StringValue": "\x01"}])
        kind = self.r.choice(["String", "String.custom", "Number", "Number.java.lang.Long", "Binary", "Binary.png"])
        if kind.startswith("Binary"):
            return {"DataType": kind, "BinaryValue": self.r.choice([b"\x00\xff", b"abc", bytes(range(256))])}
        return {"DataType": kind, "StringValue": self.r.choice(["1", "-2.5", "12345678901234567890"] if kind[0] == "N" else ["x", "Ñ\n", "<&>"])}

    def message(self, name):
        self.body += 1
        body = "%d:%s" % (self.body, self.r.choice(BODIES)) if not self.r.of(.015) else self.r.choice(BAD_BODIES)
        p = {"MessageBody": body}
        if self.r.of(.4):
            names = self.r.sample(["n", "a.b", "c-d", "e_f", "z", "prefix.one", "prefix.two"], self.r.randrange(1, 4))
            if self.r.of(.02):
                names.append(self.r.choice([".a", "a.", "a..b", "AWS.x", "amazon.y", "a b", "x" * 257, ""]))
            p["MessageAttributes"] = {n: self.message_attribute() for n in names}
        if self.r.of(.1):
            p["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
        if self.r.of(.1) and not name.endswith(".fifo"):
            p["DelaySeconds"] = self.r.choice([0, LATER] if not self.r.of(.2) else [-1, 901])
        if name.endswith(".fifo") or self.r.of(.02):
            if not self.r.of(.03):
                p["MessageGroupId"] = self.r.choice(["g1", "g2", "g3"] if not self.r.of(.03) else ["", "a b", "x" * 129])
            if not self.r.of(.2):
                p["MessageDeduplicationId"] = self.r.choice(["d%d" % self.body, "d%d" % self.r.randrange(9)] if not self.r.of(.03) else ["", "a b", "x" * 129])
        return p

    def handle(self):
        if self.handles and not self.r.of(.02):
            return Ref("handle", self.r.choice(self.handles[-12:]))
        return self.r.choice(["garbage", "", "AQEB" * 40])

    def entries(self, make):
        n = self.r.choice([1, 2, 3, 3, 10] if not self.r.of(.05) else [0, 11])
        ids = ["i%d" % i for i in range(n)]
        if n and self.r.of(.05):
            ids[-1] = self.r.choice(["i0", "a b", "", "x" * 81])
        return [dict(make(), Id=i) for i in ids]

    # ==== calls =========================================================================================================

    def create_queue(self):
        name = self.name() if not self.r.of(.06) else self.r.choice(BAD_NAMES)
        p = {"QueueName": name}
        attributes = self.attributes(name)
        if name.endswith(".fifo") != self.r.of(.02):
            attributes["FifoQueue"] = "true"
        if attributes:
            p["Attributes"] = attributes
        if self.r.of(.2):
            p["tags"] = {"k": "v"}
        return p

    def of_queue(self, **more):
        return dict(QueueUrl=self.url(self.queue()), **more)

    def delete_queue(self):
        return self.of_queue()

    def get_queue_url(self):
        return {"QueueName": self.queue() if not self.r.of(.1) else self.r.choice(BAD_NAMES)}

    def list_queues(self):
        p = {"QueueNamePrefix": self.r.choice([str(self.episode), str(self.episode) + "-a", "%s-none" % self.episode])}
        if self.r.of(.5):
            p["MaxResults"] = self.r.choice([1, 2, 3, 1000] if not self.r.of(.2) else [0, 1001])
        return p

    def list_dead_letter_source_queues(self):
        return self.of_queue()

    def get_queue_attributes(self):
        all_ = sorted(SETTINGS) + ["QueueArn", "RedrivePolicy", "FifoQueue", "ContentBasedDeduplication", "ApproximateNumberOfMessages"]
        names = ["All"] if self.r.of(.7) else self.r.sample(all_, 3)
        return self.of_queue(AttributeNames=names + (["Nope"] if self.r.of(.03) else []))

    def set_queue_attributes(self):
        name = self.queue()
        return {"QueueUrl": self.url(name), "Attributes": self.attributes(name, .2) or {"DelaySeconds": "0"}}

    def send_message(self):
        name = self.queue()
        return dict(self.message(name), QueueUrl=self.url(name))

    def send_message_batch(self):
        name = self.queue()
        return {"QueueUrl": self.url(name), "Entries": self.entries(lambda: self.message(name))}

    def receive_message(self):
        p = self.of_queue(MaxNumberOfMessages=10 if not self.r.of(.02) else self.r.choice([0, 11, -1]))
        if not self.r.of(.1):
            p["VisibilityTimeout"] = self.r.choice([HIDDEN, HIDDEN, 0] if not self.r.of(.03) else [-1, 43201])
        if self.r.of(.3):
            p["WaitTimeSeconds"] = 0 if not self.r.of(.1) else self.r.choice([-1, 21])
        if self.r.of(.8):
            p[self.r.choice(["MessageSystemAttributeNames", "AttributeNames"])] = self.r.choice([["All"], ["ApproximateReceiveCount", "MessageGroupId"]])
        if self.r.of(.8):
            p["MessageAttributeNames"] = self.r.choice([["All"], [".*"], ["n", "z"], ["prefix.*"], ["none"]])
        return p

    def delete_message(self):
        return self.of_handle()

    def of_handle(self, **more):
        handle = self.handle()
        owner = handle.of[0] if isinstance(handle, Ref) and not self.r.of(.03) else self.queue()
        return dict(QueueUrl=self.url(owner), ReceiptHandle=handle, **more)

    def seconds(self):
        return self.r.choice([0, 0, HIDDEN] if not self.r.of(.05) else [-1, 43201])

    def change_message_visibility(self):
        return self.of_handle(VisibilityTimeout=self.seconds())

    def of_handles(self, make):
        name = self.queue()
        mine = [h for h in self.handles if h[0] == name][-10:]
        given = iter(self.r.sample(mine, len(mine)))
        return {"QueueUrl": self.url(name), "Entries": self.entries(lambda: dict(ReceiptHandle=next((Ref("handle", h) for h in given), "garbage"), **make()))}

    def delete_message_batch(self):
        return self.of_handles(dict)

    def change_message_visibility_batch(self):
        return self.of_handles(lambda: {"VisibilityTimeout": self.seconds()})

    def purge_queue(self):
        p = self.of_queue()
        if p["QueueUrl"].of in self.purged:  # once in 60 seconds
            return None
        self.purged.add(p["QueueUrl"].of)
        return p

    def tag_queue(self):
        bad = self.r.of(.08)
        return self.of_queue(Tags={"k%d" % self.r.randrange(3): "v%d" % self.r.randrange(3)} if not bad else self.r.choice(
            [{"aws:x": "y"}, {"x" * 129: "y"}, {"x": "y" * 257}, {}]))

    def untag_queue(self):
        return self.of_queue(TagKeys=self.r.sample(["k0", "k1", "none"], 2))

    def list_queue_tags(self):
        return self.of_queue()

    def start_message_move_task(self):
        p = {"SourceArn": Ref("arn", self.queue())}
        if self.r.of(.3):
            p["DestinationArn"] = Ref("arn", self.queue())
        if self.r.of(.1):
            p["MaxNumberOfMessagesPerSecond"] = self.r.choice([0, 501])
        return p

    def add_permission(self):
        return self.of_queue(Label=self.r.choice(["l1", "l2"] if not self.r.of(.1) else ["", "a b"]),
                             AWSAccountIds=["111122223333"] if not self.r.of(.1) else [],
                             Actions=self.r.choice([["SendMessage"], ["*"], ["ReceiveMessage", "DeleteMessage"]] if not self.r.of(.1) else [["Nope"], [], ["*"] * 8]))

    def remove_permission(self):
        return self.of_queue(Label=self.r.choice(["l1", "l2"]))

    WEIGHTS = {"create_queue": 6, "delete_queue": 1, "get_queue_url": 2, "list_queues": 2, "list_dead_letter_source_queues": 2, "get_queue_attributes": 5,
               "set_queue_attributes": 4, "send_message": 22, "send_message_batch": 7, "receive_message": 26, "delete_message": 9, "delete_message_batch": 3,
               "change_message_visibility": 9, "change_message_visibility_batch": 3, "purge_queue": 1, "tag_queue": 2, "untag_queue": 1,
               "list_queue_tags": 2, "start_message_move_task": 2, "add_permission": 2, "remove_permission": 1}

    def next(self):
        while True:
            op = self.r.weighted(self.weights) if self.bodies else "create_queue"
            params = getattr(self, op)()
            if params is None:
                continue
            if self.r.of(.01) and op != "list_queues":
                params.pop(self.r.choice(sorted(params)))
            return op, params

    # ==== what came of it ===============================================================================================

    def happened(self, op, params, answer):
        """What ours answered, when the peer answered alike."""
        if op == "create_queue":
            self.bodies[params["QueueName"]] = True
        elif op == "delete_queue":
            self.bodies.pop(params["QueueUrl"].of, None)
            self.purged.discard(params["QueueUrl"].of)

    def text(self, params):
        return json.dumps(params, default=repr, sort_keys=True, ensure_ascii=False)[:1500]
