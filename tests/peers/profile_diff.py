"""Random config files and what botocore reads in them, as JSON: [[text, {profile: {key: value}}], ...]

usage: profile_diff.py SEED COUNT

Names of sections and keys are unique in a file: botocore refuses repeated ones, other SDKs and we merge them.
"""

import json
import os
import random
import sys
import tempfile

from botocore.configloader import load_config

NAMES = ["default", "dev", "my-x", "a.b", "p/q"]
KEYS = ["region", "output", "role_arn", "Aws_Access_Key_Id", "s3", "x_y", "max_attempts", "cli_pager"]
NESTED = ["addressing_style", "max_queue", "endpoint_url"]
VALUES = ["eu-west-1", "a=b", "arn:aws:iam::1:role/x", "k#v", "k;v", "", "  padded  ", "a : b", "%(x)s", '"quoted"', "é", "1"]


def header(name):
    if name == "default":
        return random.choice(["[default]", "[profile default]"])
    return random.choice(["[profile %s]", '[profile "%s"]', "[profile\t%s]", "[profile 'x%s']"]) % name


def lines(key):
    if random.random() < 0.25:
        yield random.choice(["# comment = x", "", "  ; indented comment", "\t"])
    if key == "s3":
        yield "s3 ="
        for nested in random.sample(NESTED, 2):
            yield "  %s = %s" % (nested, random.choice(["path", "virtual", "http://a:1/b?c=d"]))
    else:
        yield key + random.choice([" = ", "=", "= ", "\t=\t"]) + random.choice(VALUES) + random.choice(["", " "])


def config():
    out = []
    for name in random.sample(NAMES, random.randint(1, len(NAMES))):
        out.append(header(name))
        for key in random.sample(KEYS, random.randint(0, 4)):
            out.extend(lines(key))
    end = random.choice(["\n", "\r\n"])
    return end.join(out) + random.choice(["", end])


def flat(profile):
    out = {}
    for key, value in profile.items():
        if isinstance(value, dict):
            out.update({"s3." + k.lower(): v for k, v in value.items()})
        else:
            out[key.lower()] = value
    return out


def main():
    random.seed(int(sys.argv[1]))
    cases = []
    for _ in range(int(sys.argv[2])):
        text = config()
        with tempfile.NamedTemporaryFile("w", delete=False, encoding="utf-8", newline="") as file:
            file.write(text)
        try:
            profiles = load_config(file.name)["profiles"]
        finally:
            os.unlink(file.name)
        cases.append([text, {name: flat(profile) for name, profile in profiles.items()}])
    json.dump(cases, sys.stdout)


main()
