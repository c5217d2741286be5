#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""coverage.py PROGRAM CORPUS...: whether the inputs of a fuzzer reach every line of the parser that it is for.

PROGRAM is a fuzzer, built with -fprofile-instr-generate -fcoverage-mapping and no sanitizer. It runs each input of the
folders once. Prints the lines that none of them has reached; exit status 1 if there are any.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PARSERS = {
    "fuzz_request": "samples/mini-redis/resp.c",
    "fuzz_reply": "samples/redis-manager/redis_wire.c",
}


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, capture_output=True, **options).stdout


def line_counts(program, corpora, source):
    """How often each line of code was reached."""
    with tempfile.TemporaryDirectory() as work:
        raw, profile = f"{work}/raw", f"{work}/profile"
        run(program, "-runs=0", *corpora, env={"LLVM_PROFILE_FILE": raw})
        run("llvm-profdata", "merge", "-o", profile, raw)
        report = run("llvm-cov", "export", "-format=lcov", f"-instr-profile={profile}", program)
    counts = {}
    for record in report.split("end_of_record"):
        name = re.search(r"^SF:(.*)$", record, re.M)
        if name and (program.parent / name[1]).resolve() == source:
            counts.update((int(number), int(count)) for number, count in re.findall(r"^DA:(\d+),(\d+)", record, re.M))
    return counts


def main():
    program, corpora = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    parser = PARSERS[program.name]
    source = ROOT / parser
    try:
        counts = line_counts(program, corpora, source)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}\n{error.stderr[-2000:]}")
    text = source.read_text().splitlines()
    missed = [number for number, count in sorted(counts.items()) if count == 0]
    for number in missed:
        print(f"{parser}:{number}: not reached: {text[number - 1].strip()}")
    print(f"{parser}: {len(counts) - len(missed)} of {len(counts)} lines reached")
    # A parser of which nothing at all is known was not compiled into the program.
    sys.exit(1 if missed or not counts else 0)


main()
