#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mini_redis_compare.py OURS REDIS [COMMANDS [SEED]]: the same requests to both ports, the same replies expected.

Two rounds. First a list of single exchanges, each on a connection of its own, compared byte by byte with whether the
server closed the connection: protocol errors, wrong arguments, subscriptions. Then thousands of random commands over few
keys, in pipelines of random depth, as arrays and inline. The order of KEYS, ids of clients, milliseconds of PTTL, and the
server's name, version and modules are evened out; nothing else is. Prints the seed, which repeats the run.
"""
import itertools
import random
import re
import socket
import sys

TIMEOUT = 20


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


# ---- single exchanges -----------------------------------------------------------------------------------------------

ARRAYS = [
    b"*1\r\n$4\r\nping\r\n", b"*0\r\nping\r\n", b"*-1\r\nping\r\n", b"*a\r\n", b"*+1\r\n", b"*01\r\n", b"*\r\n",
    b"*2147483648\r\n", b"*99999999999999999999\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$-2\r\n", b"*1\r\n$536870913\r\n",
    b"*1\r\n$04\r\nping\r\n", b"*1\r\n$\r\n", b"*1\r\nfoo\r\n", b"*1\r\n:4\r\n", b"*1\r\n\r\n", b"*1\n$4\r\nping\r\n",
    b"*1\rX$4\r\nping\r\n", b"*1\r\n$4\rXping\r\n", b"*1\r\n$4\r\npingXXping\r\n", b"*1\r\n$0\r\n\r\n",
    b"*2\r\n$4\r\necho\r\n$3\r\nabc\r\n*1\r\n$4x\r\nping\r\n", b"ping\r\n*1\r\n$4\r\nping\r\n*x\r\nping\r\n",
    b"$5\r\nhello\r\n", b"*1\r\n$4\r\nquit\r\nping\r\n", b"*" + b"1" * 70000, b"a" * 70000, b"*1\r\n$" + b"1" * 70000,
]
LINES = r"""
|  | ping | PING a | ping a b | get | get a b | foo | foo bar 'baz qux' | 'foo | get "a | get "a"b | '' a
set a "x\x41\n" | set a | set a 1 ex | set a 1 ex 0 | set a 1 ex x | set a 1 nx xx | set a 1 px -1 | set a 1 keepttl ex 1
set a 1 ex 9223372036854775807 | set a 1 px 9223372036854775807 | set a 1 exat 0 | set a 1 persist | set a 1 nx get
echo | echo a b | strlen | append a | getdel | mset | mset a | mset a 1 b | mget | del | exists | type | type a b
expire a | expire a x | expire a 1 foo | expire a 1 nx xx | expire a 1 gt lt | expire a 1 nx gt | expire a 9223372036854775807
pexpire a 9223372036854775807 | ttl | pttl | persist | keys | dbsize a | flushall a | flushall sync | flushall sync sync
incr | incrby a | incrby a x | incrby a 9223372036854775808 | decr a b
select | select x | select 1 | select -1 | select 0 | select 99999999999 | quit | quit a | reset | reset a
auth | auth x | auth x y | auth default y | auth x y z | hello 1 | hello 4 | hello x | hello 2 foo | hello 2 auth a
hello 2 setname | hello 2 setname 'a b' | config | config foo | config get | client | client foo | client id a
client setname | client setname 'a b' | client setname a b | client getname a | client list foo | client list type foo
client list type | client list id x | client list id 0 | client getname | command foo | command count a | publish | publish a
publish nobody hello | subscribe | psubscribe | unsubscribe | unsubscribe a | punsubscribe | punsubscribe a b
info nosuchsection | POST / HTTP/1.1 | Host: here | GET / HTTP/1.1
"""
SESSIONS = [
    b"client setname abc\r\nclient getname\r\nclient setname ''\r\nclient getname\r\n",
    b"hello 2 setname abc\r\nclient getname\r\nreset\r\nclient getname\r\n",
    b"subscribe a\r\nget x\r\nfoo\r\nget\r\nping\r\nping x\r\nping x y\r\nunsubscribe\r\nget nosuch\r\n",
    b"subscribe a b a\r\npsubscribe p*\r\nunsubscribe a\r\nunsubscribe a\r\npunsubscribe\r\nunsubscribe b\r\nping\r\n",
    b"subscribe a\r\nset x 1\r\nhello 2\r\nconfig get port\r\nselect 0\r\nquit\r\nping\r\n",
    b"psubscribe a*\r\nreset\r\nping\r\n",
    b"set k 1\r\nget k\r\nmultiple words here\r\nget k\r\nquit\r\nget k\r\n",
    b"command info nosuch\r\n", b"config get APPENDONLY\r\n", b"config get appendonl*\r\n",
    b"ping a\x0bb\r\nping a\x0cb\r\n\x0bping\r\n", b'expire k 1 "a\r\nb\r\n"\r\n',
    b"foo " + b"x" * 300 + b" y\r\n", b"f" * 200 + b" x\r\n", b'foo "a\\x00b" c\r\n', b'foo "a\\r\\nb" c\r\n',
    b"flushall\r\nset '' 1\r\nkeys *\r\nkeys **\r\nkeys ''\r\nkeys ?\r\ndel ''\r\n", b"psubscribe * ** ''\r\n",
    b'flushall\r\nset "\\x80" 1\r\nkeys "[a-\\xe0]"\r\nkeys "[\\x70-\\x90]"\r\nkeys "[\\x7f-\\x81]"\r\nkeys "[^\\x90-\\x20]"\r\ndel "\\x80"\r\n',
    b"client " + b"z" * 200 + b"\r\n", b"foo" + b" a" * 100 + b"\r\n",
]


def exchange(port, request):
    """What comes back for it and for the end of our side."""
    connection = connect(port)
    received, reset = b"", False
    try:
        connection.sendall(request)
        if request.startswith(b"flushall"):  # since Redis 7.4 it is done meanwhile, and given up with its client
            received += connection.recv(65536)
        connection.shutdown(socket.SHUT_WR)
        while True:
            some = connection.recv(65536)
            if not some:
                break
            received += some
    except (ConnectionResetError, BrokenPipeError):
        reset = True
    connection.close()
    return even_out(received), reset


def value_end(text, at):
    """Where the value ends that begins there."""
    end = text.index(b"\r\n", at) + 2
    if text[at:at + 1] == b"$" and text[at:end] != b"$-1\r\n":
        return end + int(text[at + 1:end]) + 2
    for _ in range(int(text[at + 1:end]) if text[at:at + 1] == b"*" else 0):
        end = value_end(text, end)
    return end


def even_out(received):
    for key in (b"$6\r\nserver\r\n", b"$7\r\nversion\r\n", b"$7\r\nmodules\r\n"):
        hello, found, behind = received.partition(key)
        if found:  # in a reply to HELLO
            received = hello + found + b"..." + behind[value_end(behind, 0):]
    received = re.sub(rb"(\$2\r\nid\r\n):\d+", rb"\1:N", received)
    return re.sub(rb"id=\d+ [^\n]*", b"id=N", received)


# Valkey words these refusals in another way, or refuses what Redis takes.
NOT_VALKEY = [b"client list id x\r\n", b"client list id 0\r\n"]


def compare_exchanges(ours, redis):
    requests = list(ARRAYS) + SESSIONS
    requests += [line.strip(" \n").encode() + b"\r\n" for line in re.split(r"\||\n", LINES)]
    if b"valkey_version:" in exchange(redis, b"info server\r\n")[0]:
        requests = [request for request in requests if request not in NOT_VALKEY]
    wrong = 0
    for request in requests:
        expected, actual = exchange(redis, request), exchange(ours, request)
        # With unread bytes behind a closed connection the kernel resets it, and may drop the last words.
        if expected[0] != actual[0] and not (expected[1] or actual[1]):
            wrong += 1
            print(f"request {request[:100]!r}\n  redis {expected[0]!r}\n  ours  {actual[0]!r}")
    print(f"{len(requests)} exchanges, {wrong} differ")
    return wrong


# ---- random commands ------------------------------------------------------------------------------------------------

KEYS = [b"a", b"b", b"key:1", b"key:2", b"counter", b"", b"with space", b"\xff\x00\r\n", b"x" * 200]
VALUES = [b"", b"0", b"1", b"-5", b"9223372036854775807", b"hello", b"01", b"1.5", b"with\r\nbreak", b"y" * 1000, b"z" * 20000]
NUMBERS = [b"0", b"1", b"-1", b"1000", b"100000", b"x", b"9223372036854775807", b"-9223372036854775808", b"1e3", b""]
PATTERNS = [b"*", b"key:*", b"?", b"[a-b]", b"[^a]", b"k*:[12]", b"\\a", b"*e*", b"[", b"nosuch", b"[b-a]", b"a\\"]
# No key expires while we look, and no two spans are so close that the moment of a command decides how they compare.
TIMES = [b"3000000", b"7000000", b"100000000", b"-1", b"0", b"x", b"9223372036854775807", b"9223372036854775"]
SPANS = itertools.count(5000003, 10000)


def random_command(rng):
    key, value = rng.choice(KEYS), rng.choice(VALUES)
    kind = rng.randrange(28)
    if kind < 4:
        return [b"GET", key]
    if kind < 7:
        return [b"SET", key, value]
    if kind < 11:
        options = []
        for _ in range(rng.randrange(4)):
            word = rng.choice([b"EX", b"PX", b"NX", b"XX", b"GET", b"KEEPTTL", b"nx", b"Get", b"bogus"])
            options.append(word)
            if word in (b"EX", b"PX") and rng.random() < 0.95:
                options.append(rng.choice(TIMES))
        return [b"SET", key, value] + options
    if kind == 11:
        return [rng.choice([b"GETDEL", b"STRLEN", b"TYPE", b"PERSIST", b"TTL", b"PTTL"]), key]
    if kind < 14:
        return [rng.choice([b"DEL", b"EXISTS", b"MGET"])] + rng.choices(KEYS, k=rng.randrange(1, 6))
    if kind == 14:
        pairs = [b"MSET"]
        for _ in range(rng.randrange(1, 5)):
            pairs += [rng.choice(KEYS), rng.choice(VALUES)]
        return pairs[:-1] if rng.random() < 0.1 else pairs
    if kind < 18:
        options = rng.choices([b"NX", b"XX", b"GT", b"LT", b"what"], k=rng.choice([0, 0, 0, 1, 1, 2]))
        span = rng.choice(TIMES)
        if span.isdigit() and len(span) < 19 and (b"GT" in options or b"LT" in options):
            # Equal spans would compare by the milliseconds between two commands.
            span = b"%d" % (int(span) - next(SPANS) if len(span) > 12 else next(SPANS))
        return [rng.choice([b"EXPIRE", b"PEXPIRE"]), key, span + rng.choice([b"", b"", b"000"])] + options
    if kind < 21:
        return [rng.choice([b"INCR", b"DECR"]), rng.choice([b"counter", key])]
    if kind == 21:
        return [b"INCRBY", rng.choice([b"counter", key]), rng.choice(NUMBERS)]
    if kind == 22:
        return [b"APPEND", key, value[:100]]
    if kind == 23:
        return [rng.choice([b"TTL", b"PTTL", b"PERSIST"]), key]
    if kind == 24:
        return [b"KEYS", rng.choice(PATTERNS)]
    if kind == 25:
        return rng.choice([[b"PING"], [b"ping", value], [b"ECHO", value], [b"DBSIZE"], [b"SELECT", b"0"], [b"SELECT", b"9"]])
    if kind == 26:
        return rng.choice([[b"FLUSHALL"], [b"NOSUCH", key, value], [b"GET"], [b"SET", key], [b"PUBLISH", key, value]])
    return [rng.choice([b"get", b"Del", b"eXists", b"TTL", b"TYPE"]), key]


def encode(rng, command):
    plain = all(re.fullmatch(rb"[!#-&(-~]+", word) for word in command)
    if plain and not command[0].startswith((b"*", b"$")) and rng.random() < 0.2:
        return b" ".join(command) + rng.choice([b"\r\n", b"\n"])
    return b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in command)


def read_reply(stream):
    line = stream.readline()
    if line[:1] == b"$" and line != b"$-1\r\n":
        return line + stream.read(int(line[1:]) + 2)
    if line[:1] == b"*":
        return [line] + [read_reply(stream) for _ in range(int(line[1:]))]
    return line


def equal(command, expected, actual):
    if command[0].upper() == b"KEYS" and isinstance(expected, list) and isinstance(actual, list):
        return sorted(expected) == sorted(actual)
    if command[0].upper() == b"PTTL" and expected[:1] == b":" == actual[:1]:
        a, b = int(expected[1:]), int(actual[1:])
        return a == b if min(a, b) < 0 else abs(a - b) < 5000
    if command[0].upper() == b"TTL" and expected[:1] == b":" == actual[:1]:
        a, b = int(expected[1:]), int(actual[1:])
        return a == b if min(a, b) < 0 else abs(a - b) <= 5
    return expected == actual


def compare_random(ours, redis, count, seed):
    rng = random.Random(seed)
    connections = [connect(redis), connect(ours)]
    streams = [connection.makefile("rb") for connection in connections]
    for connection, stream in zip(connections, streams):
        connection.sendall(b"FLUSHALL\r\n")
        assert read_reply(stream) == b"+OK\r\n"
    wrong = done = 0
    while done < count and wrong < 10:
        commands = [random_command(rng) for _ in range(rng.choice([1, 1, 2, 5, 20, 100]))]
        request = b"".join(encode(rng, command) for command in commands)
        replies = []
        for connection, stream in zip(connections, streams):
            connection.sendall(request)
            replies.append([read_reply(stream) for _ in commands])
        for command, expected, actual in zip(commands, *replies):
            if not equal(command, expected, actual):
                wrong += 1
                print(f"command {[word[:60] for word in command]!r}\n  redis {expected!r:.300}\n  ours  {actual!r:.300}")
        done += len(commands)
    print(f"{done} random commands, seed {seed}, {wrong} differ")
    return wrong


def main():
    ours, redis = int(sys.argv[1]), int(sys.argv[2])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 5000
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 30)
    wrong = compare_exchanges(ours, redis) + compare_random(ours, redis, count, seed)
    sys.exit(1 if wrong else 0)


main()
