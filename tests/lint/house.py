#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The house rules that no compiler knows.

include direction     mailbox/ and io/ know neither each other nor actor/; samples know only the public headers
documentation         every public declaration stands under a comment
length                no function beyond 70 lines, no file beyond 600, save those of exceptions.txt, with their reason
licence               an SPDX line at the top of every source file
story                 every file of the library says at its top what it is
words                 no marks of unfinished work
lists                 every C file is named in a meson.build
census                every suite counts what its tests leave behind: by test_main, io_main or descriptors_watch
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FUNCTION_LINES = 70
FILE_LINES = 600
FOLDERS = ["include", "mailbox", "io", "actor", "samples", "tests", "bench", ".ci"]
SOURCE = {".c", ".cc", ".h", ".S", ".py", ".sh", ".rs", ".go", ".erl"}

# Who may include what: the folders of quoted includes with a path, besides one's own. Public headers: everybody.
MAY_INCLUDE = {
    "include": set(),
    "mailbox": set(),
    "io": {"mailbox/waiter.h", "mailbox/wait.h", "mailbox/atomic.h"},
    "actor": {"mailbox", "io"},
    "samples": set(),
}

problems = []


def problem(path, line, text):
    problems.append(f"{path.relative_to(ROOT)}:{line}: {text}")


def read_exceptions():
    """Lines of 'path reason' or 'path:function reason'."""
    allowed = {}
    for line in (ROOT / "tests/lint/exceptions.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            where, _, reason = line.partition(" ")
            allowed[where] = reason.strip()
            if not reason.strip():
                problems.append(f"tests/lint/exceptions.txt: {where} has no reason")
    return allowed


def check_includes(path, lines):
    room = path.relative_to(ROOT).parts[0]
    if room not in MAY_INCLUDE:
        return
    for number, line in enumerate(lines, 1):
        found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not found:
            continue
        name = found.group(1)
        if name == "model_atomic.h" and path.name == "atomic.h":
            continue
        if room == "samples":
            if not (path.parent / name).exists() and not (ROOT / "samples" / name).exists():
                problem(path, number, f'a sample includes "{name}", which is none of its own')
            continue
        if room == "include":
            problem(path, number, "a public header includes by <troupe/...>")
            continue
        first = name.split("/")[0]
        allowed = MAY_INCLUDE[room]
        if "/" in name and first != room and first not in allowed and name not in allowed:
            problem(path, number, f"{room}/ must not include {name}")


def check_documentation(path, lines):
    """Documented: a comment above it or its group, on its line, on the first member, or above its _raw form."""
    if not path.is_relative_to(ROOT / "include"):
        return
    documented = False
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#e") or line.startswith("#if"):
            documented = False
        elif line.rstrip().endswith("*/") and not line.startswith("    "):
            documented = True
        elif re.match(r"(TR_PUBLIC|#define (tr_|TR_)|struct tr_\w+ \{|enum tr_\w+ \{)", line) and not documented:
            member = lines[number] if number < len(lines) else ""
            raw = re.match(r"#define (tr_\w+)\(.* \1_raw\(", line)
            if "/*" not in line and "/*" not in member and not raw and "#define TR_PUBLIC" not in line:
                problem(path, number, f"no comment above: {line.strip()[:60]}")


def functions_of(lines):
    """Yields (name, first line, last line): from the signature's last line that ends in ')' to the brace at column 0."""
    start = name = None
    for number, line in enumerate(lines, 1):
        if line == "{" and number > 1 and lines[number - 2].rstrip().endswith(")"):
            start = number - 1
            while start > 1 and lines[start - 1].startswith(" "):
                start -= 1
            found = re.search(r"(\w+)\(", lines[start - 1])
            name = found.group(1) if found else "?"
        elif line == "}" and start:
            yield name, start, number
            start = None


def check_length(path, lines, allowed):
    name = str(path.relative_to(ROOT))
    if len(lines) > FILE_LINES and name not in allowed:
        problem(path, 1, f"{len(lines)} lines (at most {FILE_LINES})")
    if path.suffix != ".c":
        return
    for function, first, last in functions_of(lines):
        if last - first + 1 > FUNCTION_LINES and f"{name}:{function}" not in allowed:
            problem(path, first, f"{function} has {last - first + 1} lines (at most {FUNCTION_LINES})")


def check_head(path, lines):
    top = "\n".join(lines[:3])
    if "SPDX-License-Identifier: MIT" not in top:
        problem(path, 1, "no SPDX line")
    room = path.relative_to(ROOT).parts[0]
    if room in MAY_INCLUDE and path.suffix in (".c", ".h", ".S"):
        head = "\n".join(lines[:6])
        if not re.search(r"/\*\s*(\n \* )?" + re.escape(path.name) + ":", head):
            problem(path, 1, f"the file does not begin with its story: '{path.name}: ...'")


def check_words(path, lines):
    words = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
    for number, line in enumerate(lines, 1):
        if words.search(line):
            problem(path, number, "a mark of unfinished work")


def check_lists():
    named = "".join(p.read_text() for p in ROOT.rglob("meson.build") if "build/" not in str(p.relative_to(ROOT))[:6])
    for room in ("mailbox", "io", "actor", "samples", "tests", "bench"):
        for path in sorted((ROOT / room).rglob("*.c")):
            parts = path.relative_to(ROOT).parts
            if "negative" in parts or "peers" in parts or "model" in parts:
                continue
            # A suite stands in the table of tests/meson.build by its name alone.
            suite = re.fullmatch(r"(?:test|fuzz|stress)_(\w+)\.c", path.name)
            names = [path.name, path.stem] + ([suite.group(1)] if suite else [])
            if not any(re.search(r"['/]" + re.escape(n) + r"'", named) for n in names):
                problem(path, 1, "named in no meson.build")


def check_census():
    for path in sorted((ROOT / "tests").glob("test_*.c")):
        if not re.search(r"\b(test_main|io_main|descriptors_watch)\(", path.read_text()):
            problem(path, 1, "no census: neither test_main nor io_main nor descriptors_watch")


def is_source(path):
    """By its suffix; a program without one says in its first line what it is written in."""
    if not path.is_file() or "target" in path.parts:
        return False
    return path.suffix in SOURCE or path.name == "meson.build" or not path.suffix and path.read_bytes()[:2] == b"#!"


def main():
    allowed = read_exceptions()
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*"))]
    for path in filter(is_source, [ROOT / "run", *paths]):
        lines = path.read_text().splitlines()
        check_head(path, lines)
        check_words(path, lines)
        check_length(path, lines, allowed)
        if path.suffix in (".c", ".h", ".S"):
            check_includes(path, lines)
        if path.suffix == ".h":
            check_documentation(path, lines)
    check_lists()
    check_census()
    print("\n".join(problems) or "the house rules hold")
    sys.exit(1 if problems else 0)


main()
