#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The happens-before edges: each is written down once, and each label that code cites is one of them.

A file defines an edge by a line ' *   [M1] what it orders' in the comment at its top. A citation '[M1]' means an edge of the file itself,
of one of the same name (mailbox.h cites mailbox.c), or of one that it includes; '[M1] of mailbox.c' says which. The table
in docs/protocols.md names the edges of each file.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LABEL = r"\[[A-Z][0-9]+\]"
DEFINITION = re.compile(rf"^ \*\s+({LABEL})(?! of )(?! {LABEL})(?! to {LABEL})\s+\S")
# '[C1] of slate.h', '[C1] [C2] of slate.h', '[A1] to [A3] of audience.h'
CITATION = re.compile(rf"(?P<labels>{LABEL}(?:(?: to)? {LABEL})*)(?: of (?P<file>\w+\.[ch]))?")

problems = []


def sources():
    return {p: p.read_text().splitlines() for room in ("mailbox", "io", "actor")
            for p in sorted((ROOT / room).rglob("*.[ch]"))}


def definitions(path, lines):
    """The labels that a file defines in the comment at its top, each with its line."""
    found = {}
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            break
        match = DEFINITION.match(line)
        if match and match[1] in found:
            problems.append(f"{path.relative_to(ROOT)}:{number}: {match[1]} is defined twice")
        elif match:
            found[match[1]] = number
    return found


def reach(path, files):
    """The files whose edges `path` may cite without saying whose they are."""
    reached, queue = set(), [path]
    while queue:
        at = queue.pop()
        if at in reached:
            continue
        reached.add(at)
        for line in files[at]:
            include = re.match(r'#\s*include "([^"]+)"', line)
            if include and ROOT / include[1] in files:
                queue.append(ROOT / include[1])
    return reached | {twin for at in reached for twin in (at.with_suffix(".c"), at.with_suffix(".h")) if twin in files}


def spread(text):
    """The labels of a citation; '[A1] to [A3]' is three."""
    names = re.findall(r"[A-Z][0-9]+", text)
    if " to " in text:
        names = [f"{names[0][0]}{i}" for i in range(int(names[0][1:]), int(names[-1][1:]) + 1)]
    return [f"[{name}]" for name in names]


def check_citations(path, files, edges):
    around = reach(path, files)
    for number, line in enumerate(files[path], 1):
        for cited in CITATION.finditer(line):
            owners = [p for p in files if p.name == cited["file"]] if cited["file"] else around
            for label in spread(cited["labels"]):
                if not any(label in edges[p] for p in owners):
                    where = cited["file"] or "this file nor in what it includes"
                    problems.append(f"{path.relative_to(ROOT)}:{number}: {label} is not defined in {where}")


def check_table(edges):
    """Each row 'file(s) | M1..M9' of the table tells what its files define, and no file with edges is left out."""
    told = {}
    page = ROOT / "docs/protocols.md"
    for number, line in enumerate(page.read_text().splitlines(), 1):
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 7 or not re.search(r"\w\.[ch]\b", cells[2]):
            continue
        names = [pathlib.Path(name).name for name in re.findall(r"[\w/]+\.[ch]\b", cells[2] + " " + cells[3])]
        owners = [p for p in edges if p.name in names]
        labels = {f"[{label}]" for label in re.findall(r"[A-Z][0-9]+", cells[3])}
        for first, last in re.findall(r"([A-Z][0-9]+)\.\.([A-Z][0-9]+)", cells[3]):
            labels |= set(spread(f"{first} to {last}"))
        for label in sorted(labels):
            if not any(label in edges[p] for p in owners):
                problems.append(f"docs/protocols.md:{number}: {label} is not defined in {cells[2]}")
        for owner in owners:
            told.setdefault(owner, set()).update(labels)
    for path, found in edges.items():
        for label, number in found.items():
            if label not in told.get(path, ()):
                problems.append(f"{path.relative_to(ROOT)}:{number}: {label} is not in the table of docs/protocols.md")


def main():
    files = sources()
    edges = {path: definitions(path, lines) for path, lines in files.items()}
    for path in files:
        check_citations(path, files, edges)
    check_table(edges)
    print("\n".join(problems) or f"{sum(map(len, edges.values()))} edges, each cited by its name")
    sys.exit(1 if problems else 0)


main()
