# SPDX-License-Identifier: MIT
"""What the rows need: our programs, the peers (Tokio is built here, offline), the CPUs, and servers to measure with."""
import os
import re
import shutil
import socket
import subprocess
import sys
import time

from common import Failure, Skip, progress, start

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "peers", "tokio")


class Tools:
    """Use as a context: the servers that were started end with it."""

    def __init__(self, build, runs, scale, check=False):
        self.build, self.runs, self.scale = build, runs, scale
        self.check = check  # nothing but our own programs
        self.cpus = sorted(os.sched_getaffinity(0))[:2]
        self.tokio, self.tokio_version = None, ""
        self.servers = {}

    def prepare(self):
        if len(self.cpus) < 2:
            print("bench: ONE CPU ONLY: figures with two workers or a server beside mean nothing here", file=sys.stderr)
        if not self.check:
            self.build_tokio()

    def program(self, name):
        return os.path.join(self.build, "bench", "bench-" + name)

    def peer(self, name):
        """A peer built by Meson, or None."""
        path = os.path.join(self.build, "bench", name)
        return path if os.path.exists(path) else None

    def sample(self, name):
        return os.path.join(self.build, "samples", name)

    def load_cpus(self):
        """Where the load runs that a server on the first CPU is to bear."""
        return self.cpus[-1:]

    def build_tokio(self):
        """Copies the Cargo program into the build directory, so that the source tree stays clean, and builds it."""
        directory = os.path.join(self.build, "bench", "tokio")
        if not shutil.which("cargo"):
            return no_tokio("cargo is not installed (Debian: apt install cargo librust-tokio-dev)")
        if not os.path.isdir("/usr/share/cargo/registry"):
            return no_tokio("Debian's librust-tokio-dev is not installed")
        shutil.copytree(SOURCE, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("target", "Cargo.lock"))
        progress("building the Tokio peer")
        built = subprocess.run(["cargo", "build", "--release", "--offline", "--quiet"], cwd=directory, text=True,
                               stderr=subprocess.PIPE, check=False)
        if built.returncode != 0:
            sys.stderr.write(built.stderr[-2000:])
            return no_tokio("cargo build failed, see above")
        with open(os.path.join(directory, "Cargo.lock"), encoding="utf-8") as lock:
            found = re.search(r'name = "tokio"\nversion = "([^"]+)"', lock.read())
        self.tokio = os.path.join(directory, "target", "release", "tokio-peer")
        self.tokio_version = found.group(1) if found else ""
        return None

    # ---- servers, on the first CPU ----

    def server(self, name):
        """A running redis-server or mini-redis: (process, port)."""
        if name not in self.servers:
            port = free_port()
            if name == "redis-server":
                binary = os.environ.get("REDIS_SERVER") or shutil.which(name)
                if not binary:
                    raise Skip("redis-server is not installed")
                command = [binary, "--port", str(port), "--save", "", "--appendonly", "no", "--maxclients", "2000"]
            else:
                command = [self.sample("mini-redis"), "--port", str(port)]
            if not shutil.which(command[0]):
                raise Failure(f"{command[0]} has not been built")
            process = start(command, self.cpus[:1], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.servers[name] = (process, port)
            wait_for_port(process, port)
        return self.servers[name]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process, _ in self.servers.values():
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def no_tokio(why):
    print(f"bench: NO TOKIO PEER: {why}", file=sys.stderr)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(process, port):
    for _ in range(200):
        if process.poll() is not None:
            raise Failure(f"{process.args[0]} ended at once")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Failure(f"{process.args[0]} does not listen")
