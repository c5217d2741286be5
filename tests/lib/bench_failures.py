#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench_failures.py BUILD: what bench/compare makes of wrong arguments, of peers that are not there, of programs that fail and of
figures of which more is better. Measures nothing."""
import importlib.machinery
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COMPARE = str(ROOT / "bench/compare")
loader = importlib.machinery.SourceFileLoader("compare", COMPARE)
compare = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
loader.exec_module(compare)


def check(condition, text):
    if not condition:
        sys.exit("bench_failures: " + text)


def check_arguments():
    wrong = [["--runs", "-1"], ["--runs", "x"], ["no_such_benchmark"]]
    wrong += [["--scale", scale] for scale in ("0", "-1", "nan", "inf", "x")]
    with tempfile.TemporaryDirectory() as build:
        for arguments in wrong:
            done = subprocess.run([sys.executable, COMPARE, "--build", build, *arguments], capture_output=True, text=True,
                                  timeout=60, check=False)
            said = done.stderr.strip().splitlines()[-1]
            check(done.returncode == 2, f"{arguments}: status {done.returncode}")
            check(arguments[-1] in said, f"{arguments}: {said}")
            check(not os.listdir(build), f"{arguments}: builds something")


def check_peers():
    with tempfile.TemporaryDirectory() as build:
        for row in compare.make_rows(compare.peers.Tools(build, 1, 1)):
            check(row.peer or not row.peer_name or row.peer_name == "redis-server", f"{row.name} names a peer that is not there")


def check_figures():
    less = compare.Row("less", "ns", None, most=1)
    more = compare.Row("more", "1/s", None, least_ratio=1)
    values = {"ours": [2, 4], "peer": [1, 8]}
    check(compare.best_ratio(less, values) == 2 and compare.best_ratio(more, values) == 0.5, "the best of more is the most")


def check_two_against_one():
    for one, met in ((1.0, True), (0.6, False)):
        row = compare.Row("one_2w", "ns", lambda: (1.0, {}), lambda: (4.0, {}), "peer", most_ratio=0.5,
                          single=lambda figure=one: (figure, {}))
        with tempfile.TemporaryDirectory() as build:
            result = compare.result_of(row, compare.peers.Tools(build, 3, 1), [])
        check(result["met"] is met and result["detail"]["single"] == one, f"{one}: {result}")


def check_single(why):
    def fails():
        raise why
    row = compare.Row("one_2w", "ns", lambda: (1.0, {}), lambda: (4.0, {}), "peer", most_ratio=0.5, single=fails)
    failures = []
    with tempfile.TemporaryDirectory() as build:
        result = compare.result_of(row, compare.peers.Tools(build, 1, 1), failures)
    check(result["met"] is None and any("single" in note for note in result["notes"]), f"{why!r}: {result}")
    check(failures == (["one_2w"] if isinstance(why, compare.Failure) else []), f"{why!r}: {failures}")
    compare.print_table([result])


def check_clients(build):
    """A server that never says its figure, beside clients that cannot connect."""
    tools = compare.peers.Tools(build, 1, 0.001)
    server = [sys.executable, "-c", "import time; print('port 1', flush=True); time.sleep(600)"]
    before = time.monotonic()
    try:
        compare.redis_rows.idle_connections(tools, server)
        check(False, "clients that failed are not noticed")
    except compare.Failure as why:
        check("clients" in str(why), f"clients that failed: {why}")
    check(time.monotonic() - before < 60, "clients that failed are noticed late")


check_arguments()
check_peers()
check_figures()
check_two_against_one()
check_single(compare.Failure("gone"))
check_single(compare.Skip("not here"))
check_clients(sys.argv[1])
