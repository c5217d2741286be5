#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks docs/tokio-map.md: every name it gives is declared in a public header, every test it names is there, and no row
that has a counterpart lacks a test, unless it says "not needed" or "not provided"."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MAP = ROOT / "docs" / "tokio-map.md"
HEADERS = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "include").rglob("*.h")))


def test_file(name):
    return next((path for path in (ROOT / "tests" / name, ROOT / "tests" / "model" / name) if path.exists()), None)


def row_faults(row):
    """What is wrong with one line: names, tests, and, of a row of a table, whether it has any."""
    for name in re.findall(r"`(?:struct )?((?:tr|TR)_\w+)", row):
        if not re.search(rf"\b{name}\b", HEADERS):
            yield f"no header has {name}"
    tests = re.findall(r"`(\w+\.c): (\w+)`", row)
    for file, test in tests:
        path = test_file(file)
        if file != "test_x.c" and not (path and re.search(rf"\b{test}\b", path.read_text(encoding="utf-8"))):
            yield f"no test {test} in {file}"
    if not row.startswith("| ") or row.startswith("| Tokio"):
        return
    cells = [cell.strip() for cell in row.strip().strip("|").split("|")]
    if len(cells) != 4:
        yield f"{len(cells)} columns, not 4"
    elif not tests and not cells[1].startswith(("not needed", "not provided", "not yet")):
        yield "no test"


def main():
    faults = 0
    for number, line in enumerate(MAP.read_text(encoding="utf-8").splitlines(), 1):
        for fault in row_faults(line):
            print(f"docs/tokio-map.md:{number}: {fault}")
            faults += 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
