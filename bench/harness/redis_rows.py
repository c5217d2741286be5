# SPDX-License-Identifier: MIT
"""The rows that need a second process: the client manager, the Redis-style server, idle connections."""
import os
import re
import resource
import select
import shutil
import subprocess
import sys
import time

from common import Failure, Skip, cpu_seconds, parse_line, run, run_counting_cpu, start

VALUE_BYTES = 64
COMMANDS = ["ping", "set", "get", "incr", "mset"]


def rows(tools):
    """(name, unit, ours, peer, peer_name, bars, runs) each."""
    tokio = f"pipelined manager on tokio {tools.tokio_version}" if tools.tokio else None
    libev = "hiredis async (libev), 64 outstanding" if tools.peer("hiredis-libev") else None
    sync = "hiredis sync" if tools.peer("hiredis-sync") else None
    return [
        ("manager_cpu", "ns", lambda: manager_cpu(tools, our_manager(tools)),
         tools.tokio and (lambda: manager_cpu(tools, tokio_manager(tools))), tokio, {"most_ratio": 1 / 2}, 5),
        ("manager_rate", "1/s", lambda: manager(tools, 64, False, "rate"),
         libev and (lambda: hiredis_libev(tools)), libev, {"least_ratio": 1}, 5),
        ("manager_batch", "requests", lambda: manager(tools, 64, False, "batch"), None, None, {"least": 8}, 3),
        ("manager_p50", "us", lambda: manager(tools, 1, False, "p50"),
         sync and (lambda: hiredis_sync(tools, False)), sync, {"most_ratio": 1.1}, 5),
        ("manager_p50_same_core", "us", lambda: manager(tools, 1, True, "p50"),
         sync and (lambda: hiredis_sync(tools, True)), sync, {"most_ratio": 1.1}, 5),
    ] + [server_row(tools, name, clients, pipeline, bars) for name, clients, pipeline, bars in [
        ("mini_redis_cpu_p1", 50, 1, {"most_ratio": 1.0}),
        ("mini_redis_cpu_p16", 50, 16, {"most_ratio": 0.7}),
        ("mini_redis_cpu_p64", 50, 64, {"most_ratio": 0.5}),
        ("mini_redis_cpu_c1000", 1000, 1, {"most_ratio": 1.0}),
    ]]


# ---- the client manager ----

def place(tools, same_core):
    """The server is on the first CPU; the client is there as well, or on the other."""
    return tools.cpus[:1] if same_core else tools.load_cpus()


def requests(tools, clients, same_core):
    if clients > 1:
        return int(1000000 * tools.scale)
    return int((200000 if same_core else 50000) * tools.scale)


def run_client(tools, command, clients, same_core, count):
    """Runs a manager with its clients. Returns its output and the CPU seconds that it took."""
    return run_counting_cpu(command + ["--clients", str(clients), "--requests", str(count), "--value-bytes",
                                       str(VALUE_BYTES)], place(tools, same_core))


def our_manager(tools):
    program = tools.sample("redis-manager")
    if not os.path.exists(program):
        raise Failure("samples/redis-manager has not been built")
    return [program, "--server", f"redis://127.0.0.1:{tools.server('redis-server')[1]}"]


def tokio_manager(tools):
    return [tools.tokio, "manager", "--port", str(tools.server("redis-server")[1])]


def manager(tools, clients, same_core, what):
    """One figure from the table that the sample prints."""
    count = requests(tools, clients, same_core)
    output, cpu = run_client(tools, our_manager(tools), clients, same_core, count)
    label = {"rate": "requests per second", "p50": "latency p50", "batch": "requests per write"}[what]
    found = re.search(rf"^\s*{label}\s+([\d.]+)(?: (ns|us|ms|s)$)?", output, re.MULTILINE)
    if not found:
        raise Failure(f"redis-manager printed no {label}")
    value = float(found.group(1)) * {"ns": 1e-3, "ms": 1e3, "s": 1e6}.get(found.group(2), 1)
    return value, {"cpu_ns": round(cpu * 1e9 / count)}


def manager_cpu(tools, command):
    """Nanoseconds of CPU for each request: what many take more than a tenth of them, so that no start of a process counts.
    That varies by a few milliseconds from run to run, so there must be many at any scale."""
    many = max(requests(tools, 64, True), 100000)
    few = many // 10
    cpu = run_client(tools, command, 64, True, many)[1] - run_client(tools, command, 64, True, few)[1]
    return cpu * 1e9 / (many - few), {}


def hiredis_libev(tools):
    _, port = tools.server("redis-server")
    count = requests(tools, 64, False)
    return parse_line(run([tools.peer("hiredis-libev"), str(port), str(count), str(VALUE_BYTES), "64"],
                          place(tools, False)))


def hiredis_sync(tools, same_core):
    _, port = tools.server("redis-server")
    count = requests(tools, 1, same_core)
    return parse_line(run([tools.peer("hiredis-sync"), str(port), str(count), str(VALUE_BYTES)],
                          place(tools, same_core)))


# ---- the Redis-style server ----

class Server:
    """Server CPU per request of each command under redis-benchmark, over some 2.5 s of CPU in each cell: a third of a
    second in each run, so that ours and the peer take turns often."""

    def __init__(self, tools, name, clients, pipeline):
        self.tools, self.name, self.clients, self.pipeline = tools, name, clients, pipeline
        self.per_request = {}  # command: the latest figure, from which the number of requests follows

    def load(self, command, count):
        """Returns the CPU seconds that the server took for `count` requests of `command`."""
        process, port = self.tools.server(self.name)
        before = cpu_seconds(process.pid)
        output = run(["redis-benchmark", "-p", str(port), "-c", str(self.clients), "-P", str(self.pipeline), "-n",
                      str(count), "-t", command, "-q"], self.tools.load_cpus())
        if "error" in output.lower():
            raise Failure(f"{command}: {output.strip()[:120]}")
        # "ping" is two tests: the inline form and the array.
        return (cpu_seconds(process.pid) - before), count * (2 if command == "ping" else 1)

    def cell(self, command):
        """Nanoseconds per request, with a new guess of the count until the wanted CPU time was used."""
        wanted = max(0.05, 0.36 * self.tools.scale)
        used = asked = 0
        count = 50000 * min(self.pipeline, 8)
        if command in self.per_request:
            count = int(1.05 * wanted / self.per_request[command])
        while used < wanted:
            seconds, done = self.load(command, max(count, self.clients * self.pipeline))
            used, asked = used + seconds, asked + done
            rate = max(used, 0.01) / asked
            count = int(1.05 * (wanted - used) / rate) + 1000
        self.per_request[command] = used / asked
        return self.per_request[command] * 1e9

    def measure(self):
        if not shutil.which("redis-benchmark"):
            raise Skip("redis-benchmark is not installed")
        cells = {command: self.cell(command) for command in COMMANDS}
        return sum(cells.values()) / len(cells), {command: round(ns) for command, ns in cells.items()}


def server_row(tools, name, clients, pipeline, bars):
    ours = Server(tools, "mini-redis", clients, pipeline)
    peer = Server(tools, "redis-server", clients, pipeline)
    return (name, "ns", ours.measure, peer.measure, "redis-server", bars, 7)


# ---- idle connections ----

def connection_count(tools):
    """How many connections this machine allows: 100,000 with a raised limit of file descriptors, else loudly fewer."""
    count = max(100, int(100000 * min(tools.scale, 1)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count + 2000:
        return count
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count + 2000, max(hard, count + 2000)))
        return count
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        fewer = hard - 1500
        print(f"\nbench: SKIPPED: {count} IDLE CONNECTIONS: the limit of {hard} file descriptors cannot be raised here;"
              f" measuring {fewer} instead", file=sys.stderr)
        return fewer


def idle_connections(tools, command):
    """Starts the server, reads its port, opens the connections from another process, reads the figure."""
    count = connection_count(tools)
    server = start(command + ["idle_connections", "--count", str(count)], tools.cpus[:1], stdout=subprocess.PIPE)
    clients = None
    try:
        port = read_line(server, clients, 60).split()[-1]
        clients = start([tools.program("clients"), port, str(count)], tools.load_cpus(), stdin=subprocess.PIPE,
                        stdout=subprocess.DEVNULL)
        value, detail = parse_line(read_line(server, clients, 600))
        return value, dict(detail, connections=count)
    except IndexError:
        raise Failure("the server did not say its port") from None
    finally:
        end(clients, server)


def read_line(server, clients, seconds):
    """The server's next line, "" if it has ended. It comes from nobody once the clients have ended before it."""
    deadline = time.monotonic() + seconds
    while not select.select([server.stdout], [], [], 0.1)[0]:
        if clients and clients.poll() is not None:
            raise Failure(f"the clients ended with status {clients.returncode}")
        if time.monotonic() > deadline:
            raise Failure(f"the server said nothing for {seconds} s")
    return server.stdout.readline()


def end(clients, server):
    """Clients hold their connections until their input ends; the server ends once it has printed its figure, or never."""
    if clients:
        clients.stdin.close()
    for process in filter(None, (clients, server)):
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    server.stdout.close()
