"""Random calls to two DynamoDBs, ours and a peer's, with the official client; prints where their answers differ.

  diff_dynamodb.py OURS_URL PEER_URL [--seed N] [--count N] [--all]

The same calls go to both: writes with conditions and updates, reads, queries in pages, batches, transactions, legacy
parameters, and malformed ones. Results and error codes must be equal, messages too, but for the differences listed in
EXPLAINED. The last line is JSON: {"calls", "explained": {reason: n}, "differences": [...]}; status 1 when there are any.
"""
import decimal
import json
import random
import re

import boto3
import botocore.exceptions
from botocore.config import Config

import differ

EXPLAINED = differ.Explained()


def explained(reason, ours, peer, op="."):
    """ours, peer: "Code: message", or "ok"."""
    EXPLAINED(reason, op, ours, peer)


CONTEXT = decimal.Context(prec=40, Emin=-999, Emax=999)
VALIDATION = "ValidationException: "
# EXPLAINED-BEGIN
STATIC = VALIDATION + (
    r"(Invalid \w+Expression|Value provided in|ExpressionAttribute\w+ (contains|must|can)|Two document|Can not use both|ConditionalOperator"
    r"|Select|Cannot specify|Must specify|ALL_PROJECTED|Secondary index|One or more parameter values (were|are)|Either the|Filter Expression"
    r"|The parameter cannot be|The BETWEEN|Supplied|Nesting|Key attributes must|Return values|Query|KeyCondition|Attempt|Conditions can"
    r"|The document path|The provided expression|Transaction request|\d+ validation|Consistent read|Provided list|A value provided|The provided key|The number of conditions|Updates on index|Type mismatch|DynamoDB only)")
KEYS = (r"(The number of conditions on the keys is invalid|One or more parameter values were invalid: Type mismatch for key$|Invalid attribute "
        r"value type|One of the required keys was not given a value|Hash primary key values must be under 2048"
        r"|The provided key element does not match|One or more parameter values are not valid. The AttributeValue for a key)")
SCHEMA = (r"(The provided key element does not match the schema|.*Type mismatch for key \w+ expected|.*Type mismatch for Index Key"
          r"|.*Missing the key|.*Size of hashkey has exceeded|.*Aggregated size of all range keys)")

explained("a key that does not fit: DynamoDB Local has words of its own", VALIDATION + SCHEMA, VALIDATION + KEYS)
explained("a key that does not fit: DynamoDB Local has words of its own", VALIDATION + SCHEMA,
          VALIDATION + "Updates on index keys must be of the same data type")
explained("DynamoDB parses expressions and legacy parameters before it knows the table's keys", STATIC, VALIDATION + KEYS)
explained("not a number: DynamoDB Local has words of its own", VALIDATION + ".*The parameter cannot be converted to a numeric value",
          VALIDATION + ".*A value provided cannot be converted into a number")
explained("too many digits: DynamoDB Local has words of its own", VALIDATION + ".*Attempting to store more than 38 significant digits",
          VALIDATION + ".*DynamoDB only supports precision up to 38 digits")
explained("two overlapping paths among several: another pair is named", VALIDATION + "Invalid UpdateExpression: Two document paths",
          VALIDATION + "Invalid UpdateExpression: Two document paths")
explained("several faults in one expression: another is named", VALIDATION + r"Invalid (\w+)Expression: (?!Syntax)",
          VALIDATION + r"Invalid (\w+)Expression: (?!Syntax)")
explained("several faults in one request: another is named", STATIC, STATIC)
explained("parameters out of range: DynamoDB Local has words of its own", VALIDATION + r"\d+ validation errors? detected",
          VALIDATION + "(Limit must be|Select must be|Segment|The Segment|TotalSegments|Value)")
explained("parameters out of range are found before other faults", VALIDATION + r"\d+ validation errors? detected", STATIC)
explained("a segment that is none: found before other faults, DynamoDB Local has words of its own",
          VALIDATION + "The Segment parameter is zero-based", STATIC)
explained("ReturnValues that the operation has not: DynamoDB Local has words of its own",
          VALIDATION + "ReturnValues can only be ALL_OLD or NONE", VALIDATION + "Return values set to invalid value", "put_item|delete_item")
explained("SIZE is among the reserved words", VALIDATION + "Invalid .*reserved keyword: size", "ok")
explained("consistent reads of a global index: DynamoDB Local has words of its own",
          VALIDATION + "Consistent reads are not supported on global secondary indexes", VALIDATION + "Consistent read cannot be true when (querying|scanning) a GSI")
explained("what needs no item is refused before the condition is tested", STATIC, "ConditionalCheckFailedException")
explained("key conditions: DynamoDB Local does not name the key", VALIDATION + "Query condition missed key schema element: ",
          VALIDATION + "Query condition missed key schema element$")
explained("unused names and values are a set", VALIDATION + "Value provided in ExpressionAttribute", VALIDATION + "Value provided in ExpressionAttribute")
explained("TransactionCanceledException with ValidationError, as its documentation lists it", r"TransactionCanceledException: .*ValidationError",
          VALIDATION + r"(" + KEYS + r"|The document path provided|The provided expression refers|An operand in the update|Item size|Key attributes must)", "transact")
explained("a key in a transaction that cannot be one: found after expressions", STATIC, "TransactionCanceledException: ", "transact")
explained("DynamoDB Local does not look into conditions of a ConditionCheck", "TransactionCanceledException: .*ValidationError", "ok", "transact_write")
explained("all reasons are told, not only the first", r"TransactionCanceledException: .*ValidationError", "TransactionCanceledException: ", "transact")
explained("DynamoDB Local puts a number into an index of strings",
          VALIDATION + "One or more parameter values were invalid: Type mismatch for Index Key", "ok")
explained("several faults at the item: another is named", VALIDATION + "(The provided expression refers|The document path provided|An operand in)",
          VALIDATION + "(The provided expression refers|The document path provided|An operand in)")
# EXPLAINED-END


def connect(url):
    return boto3.client(
        "dynamodb", endpoint_url=url, region_name="us-east-1", aws_access_key_id="perigee",
        aws_secret_access_key="perigee",
        config=Config(parameter_validation=False, retries={"max_attempts": 0}, read_timeout=30))


def call(client, op, params):
    """-> (error or None, answer or the error's other members)"""
    try:
        answer = getattr(client, op)(**params)
        answer.pop("ResponseMetadata")
        if "ReturnConsumedCapacity" not in params:
            answer.pop("ConsumedCapacity", None)  # DynamoDB Local tells it of a delete of nothing
        return None, answer
    except botocore.exceptions.ClientError as e:
        r = e.response
        more = {k: v for k, v in r.items() if k in ("Item", "CancellationReasons")}
        return "%s: %s" % (r["Error"]["Code"], r["Error"]["Message"]), more
    except Exception as e:  # the client could not read the answer
        return "Client: %s: %s" % (type(e).__name__, e), {}


def number(x):
    """DynamoDB Local keeps numbers inside lists, maps and sets as they were written."""
    try:
        return str(decimal.Decimal(x).normalize(CONTEXT) + 0)
    except decimal.InvalidOperation:
        return x


def canonical(v, top=True):
    """Sets without order, numbers by value, bytes as text; so that equal answers compare equal."""
    if isinstance(v, dict):
        if len(v) == 1:
            (k, x), = v.items()
            if k in ("SS", "NS", "BS") and isinstance(x, list):
                return {k: sorted(number(y) if k == "NS" else str(y) for y in x)}
            if k == "N" and isinstance(x, str):
                return {k: number(x)}
        return {k: canonical(x, False) for k, x in v.items()}
    if isinstance(v, list):
        return [canonical(x, False) for x in v]
    if isinstance(v, bytes):
        return "b:" + v.hex()
    return v


def text(v):
    return json.dumps(canonical(v), sort_keys=True, default=str)


# ==== values ============================================================================================================

NAMES = ["a", "b", "c", "d", "list", "map", "tags", "n", "g", "l"]  # "list" and "map" are reserved words
GOOD_NUMBERS = ["0", "1", "-1", "2", "10", "1.5", "-0", "1e3", "1.50", "0.1", "12345678901234567890123456789012345678",
                "1e125", "-9.9e125", "1e-130", "0.3", "100", "007", "+5", "1E2", ".5", "5."]
BAD_NUMBERS = ["1e126", "1e-131", "123456789012345678901234567890123456789", "x", "", " 1", "1e", "0x10", "NaN", "Infinity", "1_0"]


class Gen:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def chance(self, p):
        return self.r.random() < p

    def string(self):
        return self.r.choice(["x", "y", "z", "", "abc", "ab", "é", "a b", "\u0001", "10"])

    def number(self):
        return self.r.choice(BAD_NUMBERS) if self.chance(.02) else self.r.choice(GOOD_NUMBERS)

    def binary(self):
        return self.r.choice([b"", b"\x00", b"\xff", b"ab", b"abc"])

    def value(self, depth=0):
        if self.chance(.01):
            return self.r.choice([{}, {"S": "a", "N": "1"}, {"NULL": False}, {"SS": []}, {"NS": ["1", "1.0"]},
                                  {"SS": ["a", "a"]}, {"BS": [b"a", b"a"]}, {"NS": []}, {"BS": []}, {"SS": [""]}, {"L": [{}]}, {"M": {"k": {"SS": []}}}])
        kind = self.r.choice(["S", "S", "N", "N", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"] if depth < 3 else ["S", "N"])
        if kind == "S":
            return {"S": self.string()}
        if kind == "N":
            return {"N": self.number()}
        if kind == "B":
            return {"B": self.binary()}
        if kind == "BOOL":
            return {"BOOL": self.chance(.5)}
        if kind == "NULL":
            return {"NULL": True}
        if kind == "L":
            return {"L": [self.value(depth + 1) for _ in range(self.r.randrange(4))]}
        if kind == "M":
            return {"M": {self.r.choice(NAMES): self.value(depth + 1) for _ in range(self.r.randrange(3))}}
        if kind == "SS":
            return {"SS": self.r.sample(["x", "y", "z", "ab"], self.r.randrange(1, 4))}
        if kind == "NS":
            return {"NS": self.r.sample(["1", "2", "3.5", "10"], self.r.randrange(1, 4))}
        return {"BS": self.r.sample([b"x", b"y", b"z"], self.r.randrange(1, 3))}

    # ==== items =========================================================================================================

    def key(self, table):
        k = {"h": {"S": self.r.choice(["p", "q", "r"])}}
        if table["range"]:
            k["r"] = {"N": str(self.r.randrange(6))}
        if self.chance(.03):
            name = self.r.choice(list(k))
            k[name] = self.r.choice([{"S": ""}, {"N": "1"}, {"B": b"x"}, {"S": "x" * 2049}, {"NULL": True}, {"N": "x"}])
        if self.chance(.01):
            k.pop(self.r.choice(list(k)))
        if self.chance(.01):
            k["extra"] = {"S": "x"}
        return k

    def item(self, table):
        item = self.key(table)
        for _ in range(self.r.randrange(5)):
            item[self.r.choice(NAMES)] = self.value()
        if self.chance(.7):
            item["g"] = {"S": self.r.choice(["g1", "g2"])} if not self.chance(.03) else self.value()
        elif "g" in item and not self.chance(.05):
            item.pop("g")
        if self.chance(.7):
            item["l"] = {"N": str(self.r.randrange(-3, 4))} if not self.chance(.03) else self.value()
        elif "l" in item and not self.chance(.05):
            item.pop("l")
        return item

    # ==== expressions ===================================================================================================

    def begin(self):
        self.names, self.values = {}, {}

    def name(self):
        n = self.r.choice(NAMES + ["h", "r", "none"])
        if n in ("list", "map") and not self.chance(.05) or self.chance(.4):
            self.names["#" + n] = n
            return "#" + n
        if self.chance(.01):
            return self.r.choice(["#undefined", "1a", "a-b", "status", "_x", "a..b", "a[x]", "a[-1]"])
        return n

    def path(self):
        p = self.name()
        while self.chance(.25):
            p += self.r.choice([".%s" % self.name(), "[%d]" % self.r.randrange(3)])
        return p

    def literal(self, v=None):
        if v is None and self.chance(.01):
            return ":undefined"
        k = ":v%d" % len(self.values)
        self.values[k] = v if v is not None else self.value()
        return k

    def operand(self):
        if self.chance(.1):
            return "size(%s)" % self.path()
        return self.path() if self.chance(.5) else self.literal()

    def test(self):
        kind = self.r.randrange(9)
        if kind < 3:
            return "%s %s %s" % (self.operand(), self.r.choice(["=", "<>", "<", "<=", ">", ">="]), self.operand())
        if kind == 3:
            return "%s(%s)" % (self.r.choice(["attribute_exists", "attribute_not_exists"]), self.path() if not self.chance(.03) else self.operand())
        if kind == 4:
            return "%s BETWEEN %s AND %s" % (self.operand(), self.operand(), self.operand())
        if kind == 5:
            return "%s IN (%s)" % (self.operand(), ", ".join(self.operand() for _ in range(self.r.randrange(1, 4))))
        if kind == 6:
            return "begins_with(%s, %s)" % (self.operand(), self.literal({"S": self.string()}) if self.chance(.7) else self.operand())
        if kind == 7:
            return "contains(%s, %s)" % (self.operand(), self.operand())
        return "attribute_type(%s, %s)" % (self.path(), self.literal({"S": self.r.choice(["S", "N", "L", "SS", "BOOL", "X"] if self.chance(.1) else ["S", "N", "M"])}))

    def condition(self, depth=0):
        kind = self.r.random()
        if depth > 2 or kind < .6:
            return self.test()
        if kind < .7:
            return "NOT %s" % self.condition(depth + 1)
        if kind < .8:
            return "(%s)" % self.condition(depth + 1)
        return "%s %s %s" % (self.condition(depth + 1), self.r.choice(["AND", "OR", "and", "or"]), self.condition(depth + 1))

    def set_value(self):
        kind = self.r.randrange(6)
        if kind < 2:
            return self.literal()
        if kind == 2:
            return "%s %s %s" % (self.path() if self.chance(.7) else "if_not_exists(%s, %s)" % (self.path(), self.literal({"N": "1"})),
                                 self.r.choice("+-"), self.literal({"N": self.number()}))
        if kind == 3:
            return "if_not_exists(%s, %s)" % (self.path(), self.literal())
        if kind == 4:
            one, two = self.path(), self.literal({"L": [self.value(2)]})
            return "list_append(%s, %s)" % ((one, two) if self.chance(.5) else (two, one))
        return self.path()

    def update(self):
        sections = []
        for word in self.r.sample(["SET", "REMOVE", "ADD", "DELETE"], self.r.choice([1, 1, 1, 2, 3])):
            n = self.r.choice([1, 1, 2, 3])
            if word == "SET":
                sections.append("SET " + ", ".join("%s = %s" % (self.path(), self.set_value()) for _ in range(n)))
            elif word == "REMOVE":
                sections.append("REMOVE " + ", ".join(self.path() for _ in range(n)))
            elif word == "ADD":
                sections.append("ADD " + ", ".join("%s %s" % (self.path(), self.literal(
                    self.r.choice([{"N": self.number()}, {"SS": ["x", "n"]}, {"NS": ["1", "7"]}]) if self.chance(.9) else self.value())) for _ in range(n)))
            else:
                sections.append("DELETE " + ", ".join("%s %s" % (self.path(), self.literal(
                    self.r.choice([{"SS": ["x", "y"]}, {"NS": ["1"]}]) if self.chance(.9) else self.value())) for _ in range(n)))
        return self.r.choice([" ", "\n"]).join(sections)

    def projection(self):
        return ", ".join(self.path() for _ in range(self.r.choice([1, 1, 2, 3])))

    def spoil(self, expression):
        """Sometimes a text with a fault in it."""
        if not self.chance(.04):
            return expression
        words = re.findall(r"[\w:#]+|\S", expression)
        at = self.r.randrange(len(words))
        what = self.r.randrange(4)
        if what == 0:
            del words[at]
        elif what == 1:
            words.insert(at, self.r.choice(["(", ")", ",", "AND", "SET", "=", "x", "$", "NOT", "1"]))
        elif what == 2:
            words[at] = self.r.choice(["(", ")", ",", "AND", "=", "foo(", "size"])
        else:
            words.insert(at, words[at])
        return " ".join(words)

    def finish(self, p):
        if self.names or self.chance(.005):
            p["ExpressionAttributeNames"] = dict(self.names)
        if self.values or self.chance(.005):
            p["ExpressionAttributeValues"] = dict(self.values)
        if self.chance(.01):
            p.setdefault("ExpressionAttributeValues", {})[":unused"] = {"S": "x"}
        if self.chance(.01):
            p.setdefault("ExpressionAttributeNames", {})["#unused"] = "x"
        return p

    # ==== legacy ========================================================================================================

    def legacy_condition(self, expected):
        if expected and self.chance(.4):
            return self.r.choice([{"Exists": False}, {"Exists": True, "Value": self.value()}, {"Value": self.value()}, {"Exists": True}])
        op = self.r.choice(["EQ", "NE", "LT", "LE", "GT", "GE", "IN", "BETWEEN", "NULL", "NOT_NULL", "CONTAINS", "NOT_CONTAINS", "BEGINS_WITH"])
        n = {"BETWEEN": 2, "IN": 2, "NULL": 0, "NOT_NULL": 0}.get(op, 1)
        if self.chance(.03):
            n += 1
        like = self.value()
        values = [like if self.chance(.5) else {k: v for k, v in like.items()} for _ in range(n)]
        c = {"ComparisonOperator": op}
        if values:
            c["AttributeValueList"] = values
        return c

    def legacy_conditions(self, p, member):
        names = self.r.sample(NAMES, self.r.choice([1, 1, 2]))
        p[member] = {n: self.legacy_condition(member == "Expected") for n in names}
        if self.chance(.3):
            p["ConditionalOperator"] = self.r.choice(["AND", "OR"])

    def legacy_updates(self):
        u = {}
        for n in self.r.sample(NAMES, self.r.choice([1, 2])):
            act = self.r.choice(["PUT", "ADD", "DELETE", None])
            v = self.r.choice([{"N": "1"}, {"SS": ["x"]}, {"L": [{"N": "1"}]}, self.value()])
            u[n] = {"Value": v} if act is None else {"Action": act} if self.chance(.2) else {"Action": act, "Value": v}
        return u

    # ==== calls =========================================================================================================

    def write(self, table, kind, inner=False):
        p = {"TableName": table["name"]}
        self.begin()
        if kind == "put":
            p["Item"] = self.item(table)
        else:
            p["Key"] = self.key(table)
        legacy = not inner and self.chance(.12)
        if legacy:
            if kind == "update":
                p["AttributeUpdates"] = self.legacy_updates()
            if self.chance(.5):
                self.legacy_conditions(p, "Expected")
        elif kind == "update":
            p["UpdateExpression"] = self.spoil(self.update())
        if (not legacy or self.chance(.02)) and (kind == "check" or self.chance(.35)):
            p["ConditionExpression"] = self.spoil(self.condition())
        self.finish(p)
        if self.chance(.4):
            p["ReturnValuesOnConditionCheckFailure"] = self.r.choice(["ALL_OLD", "NONE"])
        if not inner and self.chance(.6):
            p["ReturnValues"] = self.r.choice(["NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"] if kind == "update" or self.chance(.05) else ["NONE", "ALL_OLD"])
        return p

    def read(self, table):
        p = {"TableName": table["name"], "Key": self.key(table)}
        self.begin()
        if self.chance(.4):
            p["ProjectionExpression"] = self.spoil(self.projection())
        elif self.chance(.1):
            p["AttributesToGet"] = self.r.sample(NAMES, 2)
        return self.finish(p)

    def query(self, table, scan):
        p = {"TableName": table["name"]}
        self.begin()
        index = self.r.choice([None, None] + table["indexes"])
        if index:
            p["IndexName"] = index
        hash_, range_ = {"by_g": ("g", "l"), "by_keys": ("g", None), "by_l": ("h", "l"), None: ("h", "r" if table["range"] else None)}[index]
        value = {"S": self.r.choice(["g1", "g2"] if hash_ == "g" else ["p", "q", "r"])}
        legacy = self.chance(.12)
        if self.chance(.02):
            hash_ = self.r.choice(["h", "r", "zz"])
        if not scan and legacy:
            p["KeyConditions"] = {hash_: {"ComparisonOperator": "EQ", "AttributeValueList": [value]}}
            if range_ and self.chance(.5):
                p["KeyConditions"][range_] = {"ComparisonOperator": self.r.choice(["LE", "GT", "EQ"]), "AttributeValueList": [{"N": "2"}]}
        elif not scan:
            key = "%s = %s" % (hash_, self.literal(value))
            if range_ and self.chance(.5):
                n = lambda: self.literal({"N": str(self.r.randrange(-3, 6))} if not self.chance(.03) else self.value())
                key += " AND " + self.r.choice(["%s = %s", "%s < %s", "%s >= %s", "%s > %s", "%s <= %s"]) % (range_, n()) if self.chance(.7) else \
                    " AND %s BETWEEN %s AND %s" % (range_, n(), n())
            if self.chance(.02):
                key = self.condition()
            p["KeyConditionExpression"] = self.spoil(key)
            if self.chance(.5):
                p["ScanIndexForward"] = self.chance(.5)
        if self.chance(.4):
            if legacy:
                self.legacy_conditions(p, "ScanFilter" if scan else "QueryFilter")
            else:
                p["FilterExpression"] = self.spoil(self.condition())
        if self.chance(.2):
            if legacy:
                p["AttributesToGet"] = self.r.sample(NAMES, 2)
            else:
                p["ProjectionExpression"] = self.spoil(self.projection())
        if self.chance(.15):
            p["Select"] = self.r.choice(["ALL_ATTRIBUTES", "COUNT", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES", "NOTHING"])
        if self.chance(.3):
            p["Limit"] = self.r.choice([1, 2, 3, 5]) if not self.chance(.03) else self.r.choice([0, -1])
        if self.chance(.05):
            p["ConsistentRead"] = True
        if scan and self.chance(.1):
            p["TotalSegments"] = 3
            p["Segment"] = self.r.choice([0, 1, 2, 3] if self.chance(.1) else [0])
        return self.finish(p)

    def batch_write(self, tables):
        items = {}
        for t in self.r.sample(tables, self.r.choice([1, 2])):
            seen, requests = set(), []
            for _ in range(self.r.randrange(1, 6)):
                put = self.chance(.7)
                given = self.item(t) if put else self.key(t)
                k = text({n: given.get(n) for n in ("h", "r") if n in given and t["range"] or n == "h"})
                if k in seen and not self.chance(.03):
                    continue
                seen.add(k)
                requests.append({"PutRequest": {"Item": given}} if put else {"DeleteRequest": {"Key": given}})
            items[t["name"]] = requests
        return {"RequestItems": items}

    def batch_get(self, tables):
        items = {}
        for t in self.r.sample(tables, self.r.choice([1, 2])):
            seen, keys = set(), []
            for _ in range(self.r.randrange(1, 6)):
                k = self.key(t)
                if text(k) in seen and not self.chance(.03):
                    continue
                seen.add(text(k))
                keys.append(k)
            self.begin()
            items[t["name"]] = {"Keys": keys}
            if self.chance(.3):
                items[t["name"]]["ProjectionExpression"] = self.projection()
            self.finish(items[t["name"]])
        return {"RequestItems": items}

    def transaction(self, tables):
        actions, seen = [], set()
        for _ in range(self.r.choice([1, 2, 2, 3, 4])):
            t = self.r.choice(tables)
            kind = self.r.choice(["put", "update", "delete", "check"])
            p = self.write(t, kind, True)
            given = p.get("Item") or p.get("Key")
            k = t["name"] + text({n: given.get(n) for n in ("h", "r")})
            if k in seen and not self.chance(.03):
                continue
            seen.add(k)
            actions.append({{"put": "Put", "update": "Update", "delete": "Delete", "check": "ConditionCheck"}[kind]: p})
        return {"TransactItems": actions}

    def transact_get(self, tables):
        gets = []
        for _ in range(self.r.choice([1, 2, 3])):
            t = self.r.choice(tables)
            p = {"TableName": t["name"], "Key": self.key(t)}
            self.begin()
            if self.chance(.3):
                p["ProjectionExpression"] = self.projection()
            gets.append({"Get": self.finish(p)})
        return {"TransactItems": gets}

    def next(self, tables):
        t = self.r.choice(tables)
        kind = self.r.choice(["put"] * 5 + ["update"] * 7 + ["delete"] * 2 + ["get"] * 2 + ["query"] * 5 + ["scan"] * 2 + ["bw", "bg", "tw", "tw", "tg"])
        if kind in ("put", "update", "delete"):
            return kind + "_item", self.write(t, kind)
        if kind == "get":
            return "get_item", self.read(t)
        if kind in ("query", "scan"):
            return kind, self.query(t, kind == "scan")
        made = {"bw": ("batch_write_item", self.batch_write), "bg": ("batch_get_item", self.batch_get),
                "tw": ("transact_write_items", self.transaction), "tg": ("transact_get_items", self.transact_get)}[kind]
        return made[0], made[1](tables)


# ==== the run ===========================================================================================================


def create(client, suffix):
    def attributes(names):
        return [{"AttributeName": n, "AttributeType": t} for n, t in names]

    def schema(*names):
        return [{"AttributeName": n, "KeyType": k} for n, k in zip(names, ("HASH", "RANGE"))]

    flat, deep = "Flat" + suffix, "Deep" + suffix
    client.create_table(TableName=flat, KeySchema=schema("h"), AttributeDefinitions=attributes([("h", "S")]), BillingMode="PAY_PER_REQUEST")
    client.create_table(
        TableName=deep, KeySchema=schema("h", "r"), BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=attributes([("h", "S"), ("r", "N"), ("g", "S"), ("l", "N")]),
        GlobalSecondaryIndexes=[
            {"IndexName": "by_g", "KeySchema": schema("g", "l"), "Projection": {"ProjectionType": "ALL"}},
            {"IndexName": "by_keys", "KeySchema": schema("g"), "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["a"]}}],
        LocalSecondaryIndexes=[{"IndexName": "by_l", "KeySchema": schema("h", "l"), "Projection": {"ProjectionType": "KEYS_ONLY"}}])
    return [{"name": flat, "range": False, "indexes": []}, {"name": deep, "range": True, "indexes": ["by_g", "by_keys", "by_l"]}]


def pages(client, op, params):
    """A query's or scan's pages to their end; the marks between them stay with their server."""
    items, marks, counts = [], 0, [0, 0]
    params = dict(params)
    for _ in range(60):
        error, answer = call(client, op, params)
        if error:
            return error, answer
        items += answer.get("Items", [])
        counts[0] += answer["Count"]
        counts[1] += answer["ScannedCount"]
        if "LastEvaluatedKey" not in answer:
            break
        marks += 1
        params["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
    whole = params.get("TotalSegments") is None  # segments are cut elsewhere
    unordered = op == "scan" or params.get("IndexName")
    shown = sorted(map(text, items)) if unordered else [text(i) for i in items]
    return None, {"Items": shown, "Counts": counts, "Marks": marks} if whole else {}


def answer_of(client, op, params):
    if op in ("query", "scan"):
        return pages(client, op, params)
    error, answer = call(client, op, params)
    if op == "batch_get_item" and not error:
        answer["Responses"] = {t: sorted(map(text, i)) for t, i in answer["Responses"].items()}
    return error, answer


def without_messages(reasons):
    return [{k: v for k, v in r.items() if k != "Message"} for r in reasons]


def compare(op, params, ours, peer):
    """None, or (kind, reason or None)"""
    (e1, a1), (e2, a2) = ours, peer
    if e1 is None and e2 is None:
        if text(a1) == text(a2):
            return None
        if op == "scan" and params.get("IndexName") == "by_keys" and ("FilterExpression" in params or "ScanFilter" in params):
            return "explained", "DynamoDB Local filters the scan of a global index by attributes that are not in it"
        return "answer", None
    if e1 == e2:
        a1, a2 = dict(a1), dict(a2)
        for a in (a1, a2):
            if "CancellationReasons" in a:
                a["CancellationReasons"] = without_messages(a["CancellationReasons"])
        return None if text(a1) == text(a2) else ("error members", None)
    found = EXPLAINED.reason(op, e1 or "ok", e2 or "ok")
    return ("explained", found[0]) if found else ("error", None)


def only_removes(op, params):
    """DynamoDB Local makes an item of such an update's key; DynamoDB does not (scylladb #5862, tested against it)."""
    if op == "transact_write_items":
        return any(only_removes("update_item", a["Update"]) for a in params["TransactItems"] if "Update" in a)
    if op != "update_item":
        return False
    legacy = params.get("AttributeUpdates")
    if legacy:
        return all(u.get("Action") == "DELETE" for u in legacy.values())
    return not re.search("SET|ADD", params.get("UpdateExpression", "SET"))


def heal(ours, peer, tables):
    """After a difference: our tables become what the peer's are."""
    for t in tables:
        key = ("h", "r") if t["range"] else ("h",)
        here = {text({k: i[k] for k in key}): i for i in ours.scan(TableName=t["name"]).get("Items", [])}
        there = {text({k: i[k] for k in key}): i for i in peer.scan(TableName=t["name"]).get("Items", [])}
        for k in set(here) | set(there):
            if text(here.get(k)) == text(there.get(k)):
                continue
            one = {n: (there.get(k) or here[k])[n] for n in key}
            if k in there and not call(ours, "put_item", {"TableName": t["name"], "Item": there[k]})[0]:
                continue
            for client in (ours, peer):
                client.delete_item(TableName=t["name"], Key=one)


def main():
    args = differ.arguments(__doc__)
    ours, peer = connect(args.ours), connect(args.peer)
    suffix = "-%d-%d" % (args.seed, random.SystemRandom().randrange(10 ** 9))
    tables = create(ours, suffix)
    create(peer, suffix)
    gen, report = Gen(args.seed), differ.Report(args.show)
    for i in range(args.count):
        op, params = gen.next(tables)
        one, two = answer_of(ours, op, params), answer_of(peer, op, params)
        found = compare(op, params, one, two)
        if only_removes(op, params):
            heal(ours, peer, tables)
            if found and found[0] == "answer":
                found = ("explained", "an update that only removes makes no item")
        if not found:
            continue
        if (one[0] is None) != (two[0] is None) and op not in ("query", "scan") or found[0] != "explained":
            heal(ours, peer, tables)
        if found[0] == "explained":
            report.explained(found[1])
            continue
        report.differs(call=i, op=op, kind=found[0], params=canonical(params), ours=one[0] or canonical(one[1]),
                       peer=two[0] or canonical(two[1]),
                       more=[canonical(one[1]), canonical(two[1])] if found[0] == "error members" else None)
    for t in tables:
        for client in (ours, peer):
            client.delete_table(TableName=t["name"])
    # Those reasons fit many messages: more of them than random faults make would hide something.
    vague = sum(n for reason, n in report.reasons.items() if "another is named" in reason)
    if vague > max(10, args.count // 15):
        report.differs(kind="explained too often with words that fit many messages", times=vague)
    report.end(args.count)


if __name__ == "__main__":
    main()
