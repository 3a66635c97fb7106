"""What a template declares, in words that are the same however it was written: by SAM's transform or by CDK.

  drift.py transform TEMPLATE OUT        CloudFormation from a SAM template
  drift.py compare TEMPLATE TEMPLATE     two CloudFormation templates; the last line of output is JSON:
      {"differences": [...]}             of what the stacks would be, without and with the optional parameters
      {"unnoticed": [...], "changes"}    each value of each template changed in turn: where the comparison saw nothing
"""
import json
import os
import re
import sys

REGION, ACCOUNT = "us-east-1", "123456789012"
PSEUDO = {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::Partition": "aws", "AWS::StackName": "orders",
          "AWS::URLSuffix": "amazonaws.com"}
PARAMETERS = ({}, {"SenderAddress": "shop@example.com", "AlarmAddress": "ops@example.com"})
# What CDK and SAM each add by themselves, by other means to the same end.
MANAGED = {
    "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess": "traces",
    "arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole": "receives from its queue",
}
TRACES = {("Allow", a, "*") for a in ("xray:PutTraceSegments", "xray:PutTelemetryRecords")}
RECEIVES = ("ReceiveMessage", "ChangeMessageVisibility", "GetQueueUrl", "DeleteMessage", "GetQueueAttributes")


def transform(path):
    from samtranslator.internal.managed_policies import get_bundled_managed_policy_map
    from samtranslator.translator.transform import transform as sam
    from samtranslator.yaml_helper import yaml_parse

    class Policies:
        def load(self):
            return get_bundled_managed_policy_map("aws")

    os.environ["AWS_DEFAULT_REGION"] = REGION
    with open(path) as file:
        template = yaml_parse(file.read())
    template["Globals"]["Function"]["CodeUri"] = "s3://packages/lambda.zip"  # as `sam package` would
    return sam(template, {}, Policies())


class Drift(Exception):
    """A template that cannot be understood."""


# ---- values ----------------------------------------------------------------------------------------------------------

NOTHING = object()


def arn(service, resource, region=REGION, account=ACCOUNT):
    return f"arn:aws:{service}:{region}:{account}:{resource}"


class Stack:
    """References and conditions of one template, for one set of parameters. Resources are called by their logical ids."""

    def __init__(self, template, given):
        self.template = template
        self.resources = template["Resources"]
        self.parameters = {k: given.get(k, p.get("Default", "")) for k, p in template["Parameters"].items()}

    def type_of(self, name):
        if name not in self.resources:
            raise Drift(f"refers to {name}, which is not there")
        return self.resources[name]["Type"]

    def included(self, resource):
        return "Condition" not in resource or self.condition(resource["Condition"])

    def condition(self, name):
        if name not in self.template.get("Conditions", {}):
            raise Drift(f"refers to the condition {name}, which is not there")
        return self.value(self.template["Conditions"][name]) == "true"

    def ref(self, name):
        kind = None if name in PSEUDO or name in self.parameters or name == "AWS::NoValue" else self.type_of(name)
        if kind is None:
            return NOTHING if name == "AWS::NoValue" else self.value(PSEUDO.get(name, self.parameters.get(name)))
        if kind == "AWS::SQS::Queue":
            return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"
        return self.attribute(name, "TopicArn") if kind == "AWS::SNS::Topic" else name

    def attribute(self, name, attribute):
        known = {
            ("AWS::DynamoDB::Table", "Arn"): arn("dynamodb", f"table/{name}"),
            ("AWS::SQS::Queue", "Arn"): arn("sqs", name),
            ("AWS::SQS::Queue", "QueueName"): name,
            ("AWS::S3::Bucket", "Arn"): arn("s3", name, "", ""),
            ("AWS::Lambda::Function", "Arn"): arn("lambda", f"function:{name}"),
            ("AWS::IAM::Role", "Arn"): arn("iam", f"role/{name}", ""),
            ("AWS::Logs::LogGroup", "Arn"): arn("logs", f"log-group:{name}:*"),
            ("AWS::Events::Rule", "Arn"): arn("events", "rule"),  # has no name that both have
            ("AWS::SNS::Topic", "TopicArn"): arn("sns", name),
            ("AWS::ApiGatewayV2::Api", "ApiEndpoint"): f"https://{name}.execute-api.{REGION}.amazonaws.com",
        }
        if (self.type_of(name), attribute) not in known:
            raise Drift(f"{name} has no attribute {attribute}")
        return known[self.type_of(name), attribute]

    def sub(self, text, names):
        def one(match):
            name = match.group(1)
            if name in names:
                return self.value(names[name])
            return self.attribute(*name.split(".", 1)) if "." in name else self.ref(name)

        return re.sub(r"\$\{([^!}]+)\}", one, text)

    def function(self, name, v):
        if name == "Ref":
            return self.ref(v)
        if name == "Condition":
            return str(self.condition(v)).lower()
        if name == "Fn::GetAtt":
            return self.attribute(*(v.split(".", 1) if isinstance(v, str) else v))
        if name == "Fn::Sub":
            return self.sub(*v) if isinstance(v, list) else self.sub(v, {})
        if name == "Fn::Join":
            return self.value(v[0]).join(self.value(v[1]))
        if name == "Fn::If":
            return self.value(v[1] if self.condition(v[0]) else v[2])
        if name == "Fn::Equals":
            return str(self.value(v[0]) == self.value(v[1])).lower()
        if name == "Fn::Not":
            return str(self.value(v[0]) != "true").lower()
        raise Drift(f"{name} is not understood")

    def value(self, v):
        if isinstance(v, dict):
            if len(v) == 1:
                name = next(iter(v))
                if name in ("Ref", "Condition") and isinstance(v[name], str) or name.startswith("Fn::"):
                    return self.function(name, v[name])
            found = {k: self.value(x) for k, x in v.items()}
            return {k: x for k, x in found.items() if x is not NOTHING}
        if isinstance(v, list):
            return [x for x in map(self.value, v) if x is not NOTHING]
        return str(v).lower() if isinstance(v, bool) else str(v)


# ---- what is declared ------------------------------------------------------------------------------------------------


def listed(v):
    return v if isinstance(v, list) else [v]


def ordered(v):
    return sorted(v, key=lambda x: json.dumps(x, sort_keys=True))


def principals(v):
    v = {"AWS": "*"} if v == "*" else v
    return json.dumps({kind: sorted(listed(who)) for kind, who in v.items()}, sort_keys=True)


def grants(document):
    """A policy as a set of (effect, action, resource); anything more is kept as it is."""
    found = set()
    for s in listed(document["Statement"]):
        rest = {k: s[k] for k in s if k not in ("Effect", "Action", "Resource", "Principal", "Sid")}
        more = (principals(s["Principal"]), json.dumps(rest, sort_keys=True)) if rest or "Principal" in s else ()
        found |= {(s["Effect"], a, r) + more for a in listed(s["Action"]) for r in listed(s.get("Resource", "-"))}
    return found


class Declared:
    """stack -> .facts: name of a thing -> what is declared of it."""

    def __init__(self, template, given):
        self.stack = Stack(template, given)
        self.facts, self.rights, self.roles, self.code = {}, {}, {}, set()
        self.read_sections(template)
        for name, resource in template["Resources"].items():
            if self.stack.included(resource):
                self.resource(name, resource)
        self.finish()

    def read_sections(self, template):
        for name, p in template["Parameters"].items():
            if name != "BootstrapVersion":  # of CDK's own tool
                self.note(f"parameter {name}", self.plain(p))
        for name, output in template["Outputs"].items():
            self.note(f"output {name}", self.stack.value(output))
        self.note("description", template["Description"])

    def plain(self, v):
        return {k: [str(x) for x in y] if isinstance(y, list) else str(y) for k, y in v.items()}

    def note(self, name, fact):
        if name in self.facts:
            raise Drift(f"{name} is declared twice")
        self.facts[name] = fact

    def resource(self, name, resource):
        kind = resource["Type"]
        reader = READERS.get(kind)
        if reader is None:
            raise Drift(f"{name}: nothing compares {kind}")
        properties = self.stack.value(resource.get("Properties", {}))
        properties.pop("Tags", None)
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            if resource.get(policy, "Delete") != "Delete":
                self.note(f"{policy} of {name}", resource[policy])
        reader(self, name, properties)

    # Things with the same properties in both.
    def same(self, name, p):
        for key in ("AttributeDefinitions", "GlobalSecondaryIndexes"):
            if key in p:
                p[key] = ordered(p[key])
        self.note(name, p)

    def alarm(self, name, p):
        for metric in p.get("Metrics", []):
            if "Expression" in metric:
                metric["Id"] = "all"
        p["Metrics"] = ordered(p.get("Metrics", []))
        self.note(name, p)

    def function(self, name, p):
        self.code.add(json.dumps(p.pop("Code"), sort_keys=True))
        self.roles[name] = p.pop("Role")
        self.note(name, p)

    def mapping(self, _, p):
        p["FunctionName"] = self.function_of(p["FunctionName"])
        self.note(f"{p['FunctionName']} reads {p['EventSourceArn']}", p)

    def invoke_config(self, _, p):
        p["FunctionName"] = self.function_of(p["FunctionName"])
        if not p.get("DestinationConfig"):
            p.pop("DestinationConfig", None)
        self.note(f"asynchronous invocations of {p['FunctionName']}", p)

    def rule(self, _, p):
        for target in p["Targets"]:
            target.pop("Id")
        p.setdefault("State", "ENABLED")
        self.note(f"schedule of {p['Targets'][0]['Arn']}", p)

    def function_of(self, text):
        name = text.split(":function:")[-1].removesuffix("/invocations")
        if self.stack.type_of(name) != "AWS::Lambda::Function":
            raise Drift(f"{text} is no function")
        return name

    # HTTP: SAM writes one OpenAPI document, CDK a resource for each route.
    def api(self, name, p):
        body = p.pop("Body", None)
        p.pop("FailOnWarnings", None)
        if body:
            p["Name"], p["ProtocolType"] = body["info"]["title"], "HTTP"
            cors = body["x-amazon-apigateway-cors"]
            p["CorsConfiguration"] = {k[0].upper() + k[1:]: v for k, v in cors.items()}
            for path, methods in body["paths"].items():
                for method, operation in methods.items():
                    i = operation["x-amazon-apigateway-integration"]
                    self.note(f"route {method.upper()} {path}", [i["type"].upper(), i["payloadFormatVersion"],
                                                                 self.function_of(i["uri"]), operation.get("security", "NONE")])
        self.note(name, p)

    def route(self, _, p):
        name = p["Target"].removeprefix("integrations/")
        i = self.stack.value(self.stack.resources[name]["Properties"])
        self.note(f"route {p['RouteKey']}", [i["IntegrationType"], i["PayloadFormatVersion"],
                                             self.function_of(i["IntegrationUri"]), p.get("AuthorizationType", "NONE")])

    def integration(self, name, p):
        """Read by route()."""
        if p["ApiId"] != "ServerlessHttpApi":
            raise Drift(f"{name} is of another API")

    def stage(self, _, p):
        self.note(f"stage of {p['ApiId']}", p)

    # CDK lets each route's method in by any name, SAM by its own.
    def permission(self, _, p):
        p["FunctionName"] = self.function_of(p["FunctionName"])
        source = re.sub(r"(:execute-api:[^/]*/\*/)[A-Z*]+/", r"\1*/", p["SourceArn"])
        self.note(f"{p['Principal']} may invoke {p['FunctionName']}", {**p, "SourceArn": re.sub(r"\{[^}]*\}", "*", source)})

    # Permissions: of a role in itself, or in policies that name it.
    def role(self, name, p):
        rights = self.rights.setdefault(name, set())
        rights |= {("Trust",) + g for g in grants(p["AssumeRolePolicyDocument"])}
        for managed in p.get("ManagedPolicyArns", []):
            rights.add(("Managed", MANAGED.get(managed, managed)))
        for policy in p.get("Policies", []):
            rights |= grants(policy["PolicyDocument"])

    def policy(self, _, p):
        for role in p["Roles"]:
            self.rights.setdefault(role, set()).update(grants(p["PolicyDocument"]))

    def queue_policy(self, _, p):
        for queue in p["Queues"]:
            own = arn("sqs", queue.split("/")[-1])
            facts = {g[:2] + (own if g[2] == "*" else g[2],) + g[3:] for g in grants(p["PolicyDocument"])}
            self.note(f"policy of {own}", sorted(facts))

    def bucket_policy(self, _, p):
        self.note(f"policy of {p['Bucket']}", sorted(grants(p["PolicyDocument"])))

    def finish(self):
        self.note("packages", str(len(self.code)))
        for function, role in self.roles.items():
            rights = self.rights[role.split("role/")[-1]]
            if TRACES <= rights:
                rights = rights - TRACES | {("Managed", "traces")}
            for queue in [n.split(" reads ")[1] for n in self.facts if n.startswith(f"{function} reads ")]:
                receives = {("Allow", f"sqs:{a}", queue) for a in RECEIVES}
                if receives <= rights:
                    rights = rights - receives | {("Managed", "receives from its queue")}
            self.note(f"permissions of {function}", sorted(rights))


READERS = {
    "AWS::ApiGatewayV2::Api": Declared.api,
    "AWS::ApiGatewayV2::Integration": Declared.integration,
    "AWS::ApiGatewayV2::Route": Declared.route,
    "AWS::ApiGatewayV2::Stage": Declared.stage,
    "AWS::CloudWatch::Alarm": Declared.alarm,
    "AWS::DynamoDB::Table": Declared.same,
    "AWS::Events::Rule": Declared.rule,
    "AWS::IAM::Policy": Declared.policy,
    "AWS::IAM::Role": Declared.role,
    "AWS::Lambda::EventInvokeConfig": Declared.invoke_config,
    "AWS::Lambda::EventSourceMapping": Declared.mapping,
    "AWS::Lambda::Function": Declared.function,
    "AWS::Lambda::Permission": Declared.permission,
    "AWS::Logs::LogGroup": Declared.same,
    "AWS::S3::Bucket": Declared.same,
    "AWS::S3::BucketPolicy": Declared.bucket_policy,
    "AWS::SES::EmailIdentity": Declared.same,
    "AWS::SNS::Subscription": Declared.same,
    "AWS::SNS::Topic": Declared.same,
    "AWS::SQS::Queue": Declared.same,
    "AWS::SQS::QueuePolicy": Declared.queue_policy,
}


# ---- comparison ------------------------------------------------------------------------------------------------------


def facts(template):
    return [Declared(template, given).facts for given in PARAMETERS]


def differences(left, right):
    found = []
    for given, a, b in zip(PARAMETERS, left, right):
        for name in sorted(a.keys() | b.keys()):
            if a.get(name) != b.get(name):
                found.append({"with": given, "what": name, **only(a.get(name), b.get(name))})
    return found


def only(a, b):
    """What a reader wants to see of two facts that differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = [k for k in a.keys() | b.keys() if a.get(k) != b.get(k)]
        return {"left": {k: a.get(k) for k in keys}, "right": {k: b.get(k) for k in keys}}
    if isinstance(a, list) and isinstance(b, list):
        return {"left": [x for x in a if x not in b], "right": [x for x in b if x not in a]}
    return {"left": a, "right": b}


def leaves(v, path=()):
    if isinstance(v, (dict, list)):
        for key, x in v.items() if isinstance(v, dict) else enumerate(v):
            yield from leaves(x, path + (key,))
    else:
        yield path


def changed(v):
    return not v if isinstance(v, bool) else v + 1 if isinstance(v, (int, float)) else f"{v}x"


# What no stack shows: who made it, and how pieces are called that only hold others together.
NOT_COMPARED = re.compile(
    r"Metadata/|.*/(Tags|DependsOn|Metadata)/|.*/(PolicyName|Version|Code/S3Bucket|Code/S3Key|Targets/\d+/Id|Metrics/0/Id)$"
    r"|.*/Body/(openapi|info/version|tags/.*|paths/.*/(httpMethod|parameters/.*))$|Resources/\w+/Properties/FailOnWarnings$"
    r"|(Rules|Parameters/BootstrapVersion)/|AWSTemplateFormatVersion$|Transform$")


def unnoticed(template, other):
    """Paths whose values can be changed without a difference, and how many values were changed."""
    quiet, count, right = [], 0, facts(other)
    for path in list(leaves(template)):
        name = "/".join(map(str, path))
        if NOT_COMPARED.match(name):
            continue
        place = template
        for key in path[:-1]:
            place = place[key]
        before = place[path[-1]]
        place[path[-1]] = changed(before)
        count += 1
        try:
            if not differences(facts(template), right):
                quiet.append(name)
        except (Drift, KeyError, ValueError, TypeError, AttributeError):
            pass  # not understood any more: noticed
        place[path[-1]] = before
    return quiet, count


def main(command, first, second):
    if command == "transform":
        with open(second, "w") as out:
            json.dump(transform(first), out, indent=1)
        return
    left, right = (json.load(open(path)) for path in (first, second))
    found = differences(facts(left), facts(right))
    quiet, count = ([], 0) if found else (x + y for x, y in zip(unnoticed(left, right), unnoticed(right, left)))
    for d in found:
        print(json.dumps(d, indent=1))
    print(json.dumps({"differences": [d["what"] for d in found], "unnoticed": quiet, "changes": count}))


if __name__ == "__main__":
    main(*sys.argv[1:])
