"""What the scripts of checks share; see wire.lua for what is printed."""
import json
import sys
import traceback

URL = sys.argv[1]
CHECKS = {}


def check(name):
    def add(fn):
        CHECKS[name] = fn
        return fn
    return add


def run():
    """Runs every check and prints what each found."""
    results = {}
    for name, fn in CHECKS.items():
        try:
            fn()
            results[name] = True
        except Exception:
            results[name] = traceback.format_exc()
    print(json.dumps(results))
