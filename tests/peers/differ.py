"""What the comparisons of two servers share: their arguments, the list of differences that are explained, and the report."""
import argparse
import json
import random
import re
import sys


def arguments(description, **more):
    """ours, peer, --seed, --count, --show, and what `more` names."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("ours")
    parser.add_argument("peer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--show", type=int, default=20)
    for name, default in more.items():
        parser.add_argument("--" + name, default=default)
    return parser.parse_args()


class Explained:
    """(where, ours, peer): regular expressions, and why such a difference is right or does not matter."""

    def __init__(self):
        self.rows = []

    def __call__(self, reason, where, ours=".", peer=".", parts=False):
        """parts: what the two servers hold is not the same any more."""
        self.rows.append((re.compile(where, re.S), re.compile(ours, re.S), re.compile(peer, re.S), (reason, parts)))

    def reason(self, where, ours, peer):
        """(reason, parts) or None"""
        for pattern, one, two, found in self.rows:
            if pattern.search(where) and one.search(ours) and two.search(peer):
                return found
        return None


class Report:
    def __init__(self, show):
        self.show, self.reasons, self.differences = show, {}, []

    def explained(self, reason):
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def differs(self, **what):
        self.differences.append(what)

    def end(self, calls, **more):
        """Prints the differences, a line each, and as the last line the counts; status 1 when there are differences."""
        for d in self.differences[:self.show]:
            print(json.dumps(d, sort_keys=True, default=str))
        print(json.dumps(dict(calls=calls, explained=self.reasons, differences=len(self.differences), **more)))
        sys.exit(1 if self.differences else 0)


class Chance(random.Random):
    """Random choices of a seed."""

    def of(self, share):
        return self.random() < share

    def weighted(self, table):
        """A key of {key: weight}."""
        return self.choices(list(table), list(table.values()))[0]
