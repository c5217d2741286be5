#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every fenced block of README.md. The tag of a block says how:

c program   compiled with the flags of a user (headers, static library), run; the block 'text output' that follows is
            what it must print. The first one is short
sh commands run. Of several programs of build/samples those before the last are servers, which must end well after it;
            their port is a free one. What builds with Meson does so in a copy of the tree, and installs into a folder
            of its own, where the first program is compiled with the flags that are printed. Of the commands of ./run
            the demonstration is run; CI is made of the others
text tree   every name at the start of a line is a file or folder that exists
text picture  looked at by people only
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FIRST_LINES = 25
FLAGS = "-std=gnu11 -Wall -Wextra -Werror -fstack-clash-protection".split()


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


def run_command(line, command, timeout=900, **options):
    done = subprocess.run(["bash", "-euc", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, timeout=timeout, check=False, **options)
    if done.returncode:
        fail(line, f"{command.strip()}: exit {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


def run_run(line, commands):
    shown = subprocess.run([ROOT / "run", "help"], capture_output=True, text=True, check=True).stdout
    for command in commands:
        name = command.split()[1]
        if not re.search(r"^  \./run " + re.escape(name) + r"\b", shown, re.M):
            fail(line, f"./run help does not know: {command}")
        if name == "demo":
            run_command(line, command, cwd=ROOT)


def wait_for_port(line, server, port):
    for _ in range(1200):
        if server.poll() is not None:
            fail(line, f"{server.args} has ended")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    fail(line, f"{server.args} does not listen")


def run_samples(line, commands):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    commands = [re.sub(r"\b7000\b", str(port), command) for command in commands]
    servers = []
    try:
        for command in commands[:-1]:
            servers.append(subprocess.Popen(command.split(), cwd=ROOT, stdout=subprocess.DEVNULL))
            wait_for_port(line, servers[-1], port)
        run_command(line, commands[-1], cwd=ROOT)
        for server in servers:
            server.send_signal(signal.SIGINT)
            if server.wait(timeout=60):
                fail(line, f"{server.args}: exit {server.returncode}")
    finally:
        for server in servers:
            server.kill()
            server.wait()


def run_meson(line, commands, program):
    """The block in a copy of the tree. The flags that its last line prints make and link `program`, which then runs."""
    with tempfile.TemporaryDirectory() as work:
        tree, stage = pathlib.Path(work, "tree"), pathlib.Path(work, "stage")
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("build", "build-*", ".git", "target", "__pycache__"))
        env = dict(os.environ, DESTDIR=str(stage))
        commands.remove("ldconfig")  # for the machine's own folders
        run_command(line, "\n".join(commands[:-1]), cwd=tree, env=env)
        where = next(stage.rglob("troupe.pc")).parent
        env.update(PKG_CONFIG_PATH=str(where), PKG_CONFIG_SYSROOT_DIR=str(stage), LD_LIBRARY_PATH=str(where.parent))
        flags = run_command(line, commands[-1], cwd=tree, env=env).split()
        source = pathlib.Path(work, "program.c")
        source.write_text(program)
        run_command(line, f"gcc -std=gnu17 {source} -o {work}/program {' '.join(flags)} && {work}/program", env=env)


def run_commands(line, body, program):
    commands = [command.split("#")[0].strip() for command in body.splitlines()]
    if commands[0].startswith("./run "):
        run_run(line, commands)
    elif commands[0].startswith("build/samples/"):
        run_samples(line, commands)
    elif commands[0].startswith("meson "):
        run_meson(line, commands, program)
    else:
        fail(line, "nothing here knows how to run this block")


def check_tree(line, body):
    for entry in body.splitlines():
        for name in re.findall(r"^(\S+)", entry):
            if not (ROOT / name).exists():
                fail(line, f"there is no {name}")


def main():
    first = printed = None
    count = 0
    for line, tag, body in blocks((ROOT / "README.md").read_text()):
        count += 1
        if tag == "c program":
            printed = run_program(line, body)
            first = first or body
            if first == body and body.count("\n") > FIRST_LINES:
                fail(line, f"the first program has {body.count(chr(10))} lines (at most {FIRST_LINES})")
        elif tag == "text output":
            if body != printed:
                fail(line, f"the program prints\n{printed}")
        elif tag == "sh commands":
            run_commands(line, body, first)
        elif tag == "text tree":
            check_tree(line, body)
        elif tag != "text picture":
            fail(line, f"the block has no tag that says how to check it: '{tag}'")
    print(f"{count} blocks checked")


main()
