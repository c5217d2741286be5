#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the labels of happens-before edges: each names one edge in the whole tree, is explained where the file that owns
it begins, and every label that code or docs cite is explained somewhere; docs/protocols.md has every file that explains any.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LABEL = r"\[([A-Z]{1,2}\d+)\]"


def files():
    for folder in ("mailbox", "io", "actor", "tests/model", "docs"):
        yield from (p for p in sorted((ROOT / folder).rglob("*")) if p.suffix in (".c", ".h", ".S", ".md"))


def main():
    owners, cited, faults = {}, [], []
    for path in files():
        name = str(path.relative_to(ROOT))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            cited += [(f"{name}:{number}", label) for label in re.findall(LABEL, line)]
            found = re.match(r" \*   " + LABEL, line)
            if not found or re.search(LABEL + r" of [\w/]+\.[ch]\b", line):
                continue
            label = found.group(1)
            if label in owners:
                faults.append(f"{name}:{number}: [{label}] is an edge of {owners[label]} as well")
            owners[label] = name
    faults += [f"{where}: [{label}] is explained nowhere" for where, label in cited if label not in owners]
    table = (ROOT / "docs/protocols.md").read_text(encoding="utf-8")
    for owner in sorted(set(owners.values())):
        if not re.search(rf"\b{re.escape(pathlib.Path(owner).name)}\b", table):
            faults.append(f"docs/protocols.md: no row for {owner}")
    print("\n".join(faults) or f"{len(owners)} edges, each with a label of its own")
    sys.exit(1 if faults else 0)


main()
