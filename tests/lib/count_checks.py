#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints 'PASSED FAILED' for a log of `meson test` (JSON lines) on standard input, then what was skipped, a line each.

A check suite counts with each of its checks, as its own summary tells; any other program counts as one. A suite that
leaves out some of its tests says so in a line of its own: 'skipped: WHAT: WHY'.
"""
import json
import re
import sys

SKIPPED = re.compile(r"^skipped: (.*)$", re.M)
SUMMARY = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.M)


def count(entry):
    good = entry["result"] in ("OK", "EXPECTEDFAIL")
    found = SUMMARY.findall(entry.get("stdout") or "")
    if not found:
        return int(good), int(not good)
    total = sum(int(checks) for checks, _, _ in found)
    bad = sum(int(failures) + int(errors) for _, failures, errors in found)
    # A suite that ended badly although its checks passed (a leak report at exit) has failed once more.
    return total - bad, bad if bad or good else 1


def main():
    passed = failed = 0
    skipped = []
    for line in sys.stdin:
        entry = json.loads(line)
        said = SKIPPED.findall(entry.get("stdout") or "")
        skipped += said
        if entry["result"] == "SKIP":
            skipped += [] if said else [entry["name"]]
            continue
        more_passed, more_failed = count(entry)
        passed += more_passed
        failed += more_failed
    print(passed, failed)
    for what in skipped:
        print(what)


main()
