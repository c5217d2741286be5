#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that the documentation of each public function says what base.h promises: on which thread it may be called,
whether it suspends, and, of one that gives a number, what it returns.

A comment speaks for the declarations below it, up to the next comment or empty line. It says "Thread: ..." and
"Suspends: ..." itself, in the words that base.h explains, or "as tr_x", where tr_x (or tr_x_raw) says both; "Returns as
tr_x" is about what is returned, and no more. A try_ form says for itself that it does not suspend.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
THREADS = re.compile(r"Thread: (any|task|foreign|init|its own|the one)\b")
SUSPENDS = re.compile(r"Suspends: (yes|no|blocks)\b")
NEVER = re.compile(r"Suspends: no\b")
RETURNS = re.compile(r"\bReturns\b")
REFERENCE = re.compile(r"(\bReturns )?\b[Aa]s (tr_\w+)")


class Function:
    def __init__(self, where, name, kind, comment):
        self.where, self.name, self.kind, self.comment = where, name, kind, comment


def functions_of(path):
    """Yields every TR_PUBLIC function with the comment that speaks for it."""
    comment, inside = "", False
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if inside or line.startswith("/*"):
            comment = comment + "\n" + line if inside else line
            inside = "*/" not in line
        elif not line.strip():
            comment = ""
        elif line.startswith("TR_PUBLIC"):
            text = line
            for more in lines[number:]:
                if text.rstrip().endswith(";"):
                    break
                text += " " + more.strip()
            found = re.match(r"TR_PUBLIC (.*?)\b(tr_\w+)\(", text)
            yield Function(f"{path.relative_to(ROOT)}:{number}", found.group(2), found.group(1).strip(),
                           re.sub(r"\s*\n \* ?", " ", comment))


def says(function, what, known, seen=()):
    """Whether the function's comment says it, or names a function as whose it is and that says it."""
    if what.search(function.comment):
        return True
    for returns, name in REFERENCE.findall(function.comment):
        other = known.get(name) or known.get(name + "_raw")
        if other and not returns and other.name not in seen and says(other, what, known, (*seen, function.name)):
            return True
    return False


def faults_of(function, known):
    if not says(function, THREADS, known):
        yield "does not say on which thread it may be called"
    if "_try_" in function.name and not NEVER.search(function.comment):
        yield "does not say that it does not suspend"
    elif not says(function, SUSPENDS, known):
        yield "does not say whether it suspends"
    if function.kind in ("int", "ssize_t") and not says(function, RETURNS, known):
        yield "does not say what it returns"
    for _, name in REFERENCE.findall(function.comment):
        if name not in known and name + "_raw" not in known:
            yield f"refers to {name}, which is no function"


def main():
    functions = [f for path in sorted((ROOT / "include/troupe").glob("*.h")) for f in functions_of(path)]
    known = {f.name: f for f in functions}
    faults = [f"{f.where}: {f.name} {fault}" for f in functions for fault in faults_of(f, known)]
    print("\n".join(faults) or f"{len(functions)} public functions say what is promised of them")
    sys.exit(1 if faults else 0)


main()
