#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""samples_clients.py echo|kv-service PORT: clients for a running sample, from outside and with plain sockets.

echo         what is sent comes back, up to the end of the stream: on one connection, and on many at once
kv-service   what is set is found, from many connections at once; each malformed frame is told so, each truncated one ends
             its connection, and neither is noticed by anybody else
"""
import concurrent.futures
import random
import socket
import struct
import sys
import threading

PATIENCE = 60
AT_ONCE = 100
RNG = random.Random(7)


def connect(port):
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def at_once(port, talk):
    """talk(number, socket) on many connections, all of them open before the first one speaks."""
    sockets = [connect(port) for _ in range(AT_ONCE)]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(talk, range(AT_ONCE), sockets))  # an exception in there comes out here


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: got {len(got)} bytes {got[:80]!r}, expected {len(wanted)} bytes {wanted[:80]!r}")


def read_to_end(client):
    pieces = []
    while piece := client.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


# ---- echo ----

def echo_once(what, client, data):
    """Sends all and ends the stream, and reads at the same time: neither side could hold as much."""
    def send():
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send, daemon=True)
    with client:
        sender.start()
        expect(what, read_to_end(client), data)
        sender.join()


def check_echo(port):
    echo_once("nothing", connect(port), b"")
    echo_once("a line", connect(port), b"hello\n")
    echo_once("20 MB", connect(port), RNG.randbytes(20_000_000))
    data = [RNG.randbytes(RNG.randrange(200_000)) for _ in range(AT_ONCE)]
    at_once(port, lambda number, client: echo_once(f"connection {number}", client, data[number]))
    print(f"echo: {AT_ONCE} connections at once")


# ---- kv-service ----

def frame(body):
    return struct.pack(">I", len(body)) + body


def read_exactly(client, count):
    data = b""
    while len(data) < count:
        piece = client.recv(count - len(data))
        if not piece:
            sys.exit(f"the connection ended after {data!r}")
        data += piece
    return data


def ask(client, body):
    client.sendall(frame(body))
    return read_exactly(client, struct.unpack(">I", read_exactly(client, 4))[0])


def expect_good(client, key, value):
    """A key of one's own: set, found, deleted, not found."""
    for body, wanted in [(b"S" + key + b"\0" + value, b"+"), (b"G" + key + b"\0", b"+" + value),
                         (b"D" + key + b"\0", b"+" + value), (b"G" + key + b"\0", b"-"), (b"D" + key + b"\0", b"-")]:
        expect(f"{body!r}", ask(client, body), wanted)


REFUSED = {
    "a length of 0": struct.pack(">I", 0),
    "a length that no request has": struct.pack(">I", 466),
    "the largest length": b"\xff\xff\xff\xff",
    "an unknown kind": frame(b"Xkey\0"),
    "a kind alone": frame(b"G"),
    "a key without an end": frame(b"Gkey"),
    "a key that is too long": frame(b"G" + b"k" * 64 + b"\0"),
    "a value that is too long": frame(b"Sk\0" + b"v" * 401),
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
}
TRUNCATED = {
    "nothing": b"",
    "half a length": b"\0\0",
    "a length alone": struct.pack(">I", 5),
    "half a frame": frame(b"Skey\0value")[:-3],
}


def check_kv_service(port):
    with connect(port) as honest:
        expect_good(honest, b"key", b"value")
        expect_good(honest, b"", b"")
        expect_good(honest, b"k" * 63, bytes(range(256)) + b"\0" * 144)
        for what, data in REFUSED.items():
            with connect(port) as client:
                client.sendall(data)
                # What is left unread when it closes may reset the connection: the answer first, then whatever end.
                expect(what, read_exactly(client, 4 + len(b"!not a request")), frame(b"!not a request"))
                try:
                    expect(what + ", after the answer", client.recv(1), b"")
                except ConnectionResetError:
                    pass
            expect_good(honest, b"key", b"value")
        for what, data in TRUNCATED.items():
            with connect(port) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                expect(what, read_to_end(client), b"")
            expect_good(honest, b"key", b"value")

        def talk(number, client):
            with client:
                for turn in range(20):
                    expect_good(client, b"key %d" % number, b"value %d of %d" % (turn, number))

        at_once(port, talk)
    print(f"kv-service: {len(REFUSED)} malformed and {len(TRUNCATED)} truncated frames, {AT_ONCE} connections at once")


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("echo", "kv-service"):
        sys.exit(__doc__)
    {"echo": check_echo, "kv-service": check_kv_service}[sys.argv[1]](int(sys.argv[2]))


main()
