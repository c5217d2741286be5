#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mini_redis_malformed.py PORT [COUNT [SEED]]: malformed and truncated requests to a live server.

Each goes on a connection of its own, whose sending side is then closed. Expected is always the same: some bytes or none,
and the end of the connection, soon. In between, an honest client must be served as if nothing were the matter. Prints the
seed, which repeats the run.
"""
import random
import selectors
import socket
import struct
import sys
import time

AT_ONCE = 64
PATIENCE = 60
RESET = struct.pack("ii", 1, 0)  # closing resets: no port stays occupied

VALID = [
    b"*1\r\n$4\r\nPING\r\n", b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nhello\r\n",
    b"*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n", b"*2\r\n$9\r\nSUBSCRIBE\r\n$2\r\nch\r\n",
    b"*3\r\n$7\r\nPUBLISH\r\n$2\r\nch\r\n$2\r\nhi\r\n", b"*2\r\n$10\r\nPSUBSCRIBE\r\n$1\r\n*\r\n", b"*1\r\n$4\r\nINFO\r\n",
    b"*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\n", b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$1\r\n*\r\n", b"*1\r\n$7\r\nCOMMAND\r\n",
    b"*2\r\n$6\r\nCLIENT\r\n$4\r\nLIST\r\n", b"*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$1\r\nx\r\n", b"set a \"b c\"\r\n",
    b"get a\r\n", b"incr a\r\n", b"*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n", b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n",
    b"*1\r\n$5\r\nRESET\r\n",
]
LENGTHS = [b"-1", b"-2", b"0", b"01", b"", b"x", b"+1", b"2147483648", b"1048577", b"536870913", b"9223372036854775808",
           b"99999999999999999999999", b"4294967296", b"2147483647", b"1 ", b"1.5", b"\x00", b"1000000"]


def malformed(rng):
    request = b"".join(rng.choices(VALID, k=rng.choice([1, 1, 1, 2, 5])))
    kind = rng.randrange(9)
    if kind == 0:  # truncated
        return request[:rng.randrange(len(request))]
    if kind == 1:  # some bytes changed
        bad = bytearray(request)
        for _ in range(rng.randrange(1, 6)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        return bytes(bad)
    if kind == 2:  # a length that is wrong
        at = rng.choice([i for i, c in enumerate(request) if c in b"*$" and request.find(b"\r", i) > 0] or [0])
        end = request.find(b"\r", at)
        return request[:at + 1] + rng.choice(LENGTHS) + request[end if end >= 0 else len(request):]
    if kind == 3:  # some bytes missing
        at = rng.randrange(len(request))
        return request[:at] + request[at + rng.randrange(1, 5):]
    if kind == 4:  # some bytes too many
        at = rng.randrange(len(request))
        return request[:at] + rng.randbytes(rng.randrange(1, 9)) + request[at:]
    if kind == 5:  # noise
        return rng.randbytes(rng.randrange(1, 200))
    if kind == 6:  # noise of the protocol's own characters
        return bytes(rng.choice(b"*$\r\n-+0123456789 \"'\\x") for _ in range(rng.randrange(1, 60)))
    if kind == 7:  # a count that promises more than comes
        return b"*" + rng.choice(LENGTHS) + b"\r\n" + rng.choice([b"$", b"$3\r\nGET\r\n$" + rng.choice(LENGTHS) + b"\r\n", b""])
    if rng.random() < 0.9:
        return b"get '" + request
    return rng.choice([b"*", b"$", b"x", b"*1\r\n$", b"*1\r\n", b"get "]) + b"1" * 70000  # a line without end


def ask_honestly(port):
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100) == b"+PONG\r\n"


class Exchange:
    def __init__(self, port, request):
        self.request, self.rest, self.since = request, request, time.monotonic()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.send()

    def send(self):
        try:
            while self.rest:
                self.rest = self.rest[self.socket.send(self.rest):]
            self.socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:  # the server has closed already
            self.rest = b""

    def receive(self):
        """True at the end."""
        try:
            return not self.socket.recv(1 << 20)
        except BlockingIOError:
            return False
        except OSError:
            return True


def main():
    port = int(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 100000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 30)
    rng = random.Random(seed)
    print(f"{count} malformed requests, seed {seed}", flush=True)
    selector = selectors.DefaultSelector()
    begun = ended = 0
    while ended < count:
        while begun < count and begun - ended < AT_ONCE:
            exchange = Exchange(port, malformed(rng))
            selector.register(exchange.socket, selectors.EVENT_READ, exchange)
            begun += 1
            if begun % 1000 == 0:
                ask_honestly(port)
        for key, _ in selector.select(1):
            exchange = key.data
            if exchange.rest:
                exchange.send()
            if exchange.receive():
                selector.unregister(exchange.socket)
                exchange.socket.close()
                ended += 1
        for key in list(selector.get_map().values()):
            if key.data.rest:
                key.data.send()
            if time.monotonic() - key.data.since > PATIENCE:
                sys.exit(f"neither an answer nor an end: {key.data.request[:200]!r}")
    ask_honestly(port)
    print("each had an answer or an end")


main()
