#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every fenced block of README.md. The tag of a block says how:

c program   compiled with the flags of a user (headers, static library), run; the block 'text output' that follows is
            what it must print
sh commands every line is a command of this tree: ./run with a command that ./run help names, or a program in
            build/samples, which is asked for its --help
text tree   every name at the start of a line is a file or folder that exists
text picture  looked at by people only
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FLAGS = "-std=gnu17 -Wall -Werror -fstack-clash-protection -Werror=incompatible-pointer-types".split()


def fail(line, text):
    sys.exit(f"README.md:{line}: {text}")


def blocks(text):
    tag, body = None, []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            if tag is None:
                tag, first, body = line[3:].strip(), number, []
            else:
                yield first, tag, "\n".join(body) + "\n"
                tag = None
        elif tag is not None:
            body.append(line)
    if tag is not None:
        fail(first, "the block is not closed")


def run_program(line, source):
    with tempfile.TemporaryDirectory() as work:
        path = pathlib.Path(work, "program.c")
        path.write_text(source)
        libs = subprocess.run(["pkg-config", "--libs", "liburing"], capture_output=True, text=True, check=True)
        build = ["gcc", *FLAGS, "-I", ROOT / "include", path, "-o", path.with_suffix(""), ROOT / "build/libtroupe.a",
                 *libs.stdout.split(), "-pthread"]
        done = subprocess.run(build, capture_output=True, text=True, check=False)
        if done.returncode:
            fail(line, "the program does not compile:\n" + done.stderr)
        done = subprocess.run([path.with_suffix("")], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            fail(line, f"the program ends with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


def check_command(line, command):
    words = command.split("#")[0].split()
    if not words:
        return
    if words[0] == "./run":
        shown = subprocess.run([ROOT / "run", "help"], capture_output=True, text=True, check=True).stdout
        if not re.search(r"^  \./run " + re.escape(words[1]) + r"\b", shown, re.M):
            fail(line, f"./run help does not know: {command}")
    elif words[0].startswith("build/samples/"):
        done = subprocess.run([ROOT / words[0], "--help"], capture_output=True, text=True, timeout=60, check=False)
        unknown = [w for w in words[1:] if w.startswith("--") and w not in done.stdout]
        if done.returncode or unknown:
            fail(line, f"{words[0]} --help: exit {done.returncode}, does not name {unknown}")
    elif not shutil.which(words[0]):
        fail(line, f"there is no {words[0]}")


def check_tree(line, body):
    for entry in body.splitlines():
        for name in re.findall(r"^(\S+)", entry):
            if not (ROOT / name).exists():
                fail(line, f"there is no {name}")


def main():
    printed = None
    count = 0
    for line, tag, body in blocks((ROOT / "README.md").read_text()):
        count += 1
        if tag == "c program":
            printed = run_program(line, body)
        elif tag == "text output":
            if body != printed:
                fail(line, f"the program prints\n{printed}")
        elif tag == "sh commands":
            for command in body.splitlines():
                check_command(line, command)
        elif tag == "text tree":
            check_tree(line, body)
        elif tag != "text picture":
            fail(line, f"the block has no tag that says how to check it: '{tag}'")
    print(f"{count} blocks checked")


main()
