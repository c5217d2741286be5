#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# e2e_mini_redis.sh: mini-redis as its users meet it: redis-cli, redis-benchmark, clients written with hiredis, the same
# requests to a real Redis, malformed requests, no file descriptors left, signals. FULL=1 makes the random parts longer.
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/lib/server.sh"

here=$(cd "$(dirname "$0")" && pwd)
program=$BUILD/samples/mini-redis
hiredis_client=$BUILD/tests/hiredis_client
[ -x "$program" ] || fail "$program has not been built"
[ -x "$hiredis_client" ] || fail "$hiredis_client has not been built: it takes hiredis (libhiredis-dev)"
command -v redis-cli >/dev/null || skip "there is no redis-cli here"
command -v redis-benchmark >/dev/null || skip "there is no redis-benchmark here"

# Starts it on a free port; sets SERVER_PID and PORT.
start_mini()
{
    start_server mini "$program" --port 0 "$@"
    local turns=400
    while ! grep -q "^Ready to accept connections" "$WORK/mini.log"; do
        kill -0 "$SERVER_PID" 2>/dev/null || fail "it ended at once"
        [ $((turns -= 1)) -gt 0 ] || fail "it is not ready"
        sleep 0.05
    done
    PORT=$(sed -n 's/^Ready to accept connections on .*:\([0-9]*\)$/\1/p' "$WORK/mini.log")
}

# Ends it with a signal and expects a clean end: status 0, which sanitizers make another one.
end_mini()
{
    local status=0
    kill "-$1" "$SERVER_PID"
    wait "$SERVER_PID" || status=$?
    [ "$status" -eq 0 ] || fail "status $status after SIG$1"
    ! grep -q "still runs" "$WORK/mini.log" || fail "something was left running"
}

cli()
{
    redis-cli -p "$PORT" "$@"
}

expect()
{
    local wanted=$1 got
    shift
    got=$("$@") || true
    [ "$got" = "$wanted" ] || fail "$*: expected '$wanted', got '$got'"
}

# hiredis PORT: what such a client sees, each reply checked
hiredis()
{
    "$hiredis_client" "$1" >"$WORK/hiredis.log" 2>&1 || fail "status $? of hiredis_client"
}

open_files()
{
    find "/proc/$SERVER_PID/fd" -mindepth 1 | wc -l
}

log_step "its options"
"$program" --help | grep -q -- --client-output-buffer-limit || fail "--help is not there"
for bad in "--port 70000" "--port x" "--maxclients 0" "--query-buffer-limit 1x" "--client-output-buffer-limit what" "extra" "--nosuch"; do
    status=0
    # shellcheck disable=SC2086
    "$program" $bad >/dev/null 2>&1 || status=$?
    [ "$status" -eq 2 ] || fail "status $status for $bad"
done

for bad in "" "pubsub 1mb 1mb" "pubsub 1mb 1mb -5" "pubsub 1mb 1mb 99999999999" "pubsub -1 0 0"; do
    status=0
    "$program" --client-output-buffer-limit "$bad" >/dev/null 2>&1 || status=$?
    [ "$status" -eq 2 ] || fail "status $status for an output limit of '$bad'"
done
status=0
"$program" --maxclients " -18446744073709551615" >/dev/null 2>&1 || status=$?
[ "$status" -eq 2 ] || fail "status $status for a negative number behind a blank"

log_step "redis-cli"
start_mini --ready-fd 9 9>"$WORK/ready"
expect "$PORT" cat "$WORK/ready"
expect PONG cli ping
expect OK cli set greeting "hello world"
expect "hello world" cli get greeting
expect 11 cli strlen greeting
expect "" cli get nosuch
expect "ERR wrong number of arguments for 'get' command" cli get
cli info | grep -q '^redis_version:7.0' || fail "INFO has no version"
cli client list | grep -q ' cmd=' || fail "CLIENT LIST is empty"
cli command count | grep -q '^[1-9]' || fail "COMMAND COUNT"
expect "OK PONG" sh -c "printf 'set a 1\nping\n' | redis-cli -p $PORT | tr '\n' ' ' | sed 's/ $//'"
end_mini INT

log_step "hiredis: one request at a time, pipelined, from an event loop"
start_mini
hiredis "$PORT"

log_step "a port that is occupied"
status=0
"$program" --port "$PORT" >/dev/null 2>"$WORK/occupied" || status=$?
[ "$status" -eq 1 ] || fail "status $status"
grep -q "in use" "$WORK/occupied" || fail "it said: $(cat "$WORK/occupied")"

log_step "redis-benchmark"
before=$(open_files)
requests=$((${FULL:-0} ? 1000000 : 50000))
for depth in 1 16 64; do
    redis-benchmark -p "$PORT" -t ping,set,get,incr,mset -c 50 -P "$depth" -n "$requests" -q >"$WORK/benchmark" 2>&1 ||
        fail "$(tail -3 "$WORK/benchmark")"
    ! grep -qi error "$WORK/benchmark" || fail "$(grep -i error "$WORK/benchmark")"
done
if [ "$(ulimit -Hn)" != unlimited ] && [ "$(ulimit -Hn)" -lt 1200 ]; then
    echo "    (1000 clients: not with a limit of $(ulimit -Hn) files)"
else
    (ulimit -Sn 1200 && redis-benchmark -p "$PORT" -t ping,set,get,incr,mset -c 1000 -P 1 -n "$requests" -q) >"$WORK/benchmark" 2>&1 ||
        fail "$(tail -3 "$WORK/benchmark")"
    ! grep -qi error "$WORK/benchmark" || fail "$(grep -i error "$WORK/benchmark")"
fi

log_step "malformed requests"
python3 "$here/mini_redis_malformed.py" "$PORT" 100000 >"$WORK/malformed.log" || fail "see above"
turns=200
while [ "$(open_files)" -gt "$before" ] && [ $((turns -= 1)) -gt 0 ]; do
    sleep 0.05
done
[ "$(open_files)" -le "$before" ] || fail "$(open_files) files are open, $before were before"
resident=$(awk '/VmRSS/ { print $2 }' "/proc/$SERVER_PID/status")
if grep -q __tsan_ "$program"; then
    echo "    (the thread sanitizer keeps a history of each stack: $resident KiB resident)"
elif [ "$resident" -ge 1000000 ]; then
    fail "$resident KiB resident"
fi

log_step "no file descriptor left"
limit=$(($(open_files) + 3))
if command -v prlimit >/dev/null; then
    prlimit --pid "$SERVER_PID" --nofile="$limit:$limit"
    python3 - "$PORT" "$SERVER_PID" <<'PYTHON' || fail "see above"
import socket, sys, time
port, pid = int(sys.argv[1]), sys.argv[2]
def cpu():
    fields = open(f"/proc/{pid}/stat").read().split()
    return (int(fields[13]) + int(fields[14])) / 100
clients = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(20)]
for client in clients[:3]:  # the first are served, the others wait in the kernel's queue
    client.sendall(b"PING\r\n")
    assert client.recv(100) == b"+PONG\r\n"
begun = cpu()
time.sleep(2)
assert cpu() - begun < 1, "it spins"
for client in clients:  # each that leaves makes room for the next
    client.settimeout(20)
    client.sendall(b"PING\r\n")
    assert client.recv(100) == b"+PONG\r\n"
    client.close()
PYTHON
    grep -q "cannot accept: Too many open files" "$WORK/mini.log" || fail "it did not say what it lacks"
else
    echo "    (there is no prlimit here)"
fi
expect PONG cli ping
end_mini TERM

commands=$((${FULL:-0} ? 200000 : 20000))
for shards in 1 4; do
    log_step "the same replies as Redis, $shards shard(s)"
    [ -n "${REDIS_SERVER:-}" ] || {
        echo "    (there is no redis-server here)"
        continue
    }
    start_redis --databases 1
    start_mini --shards "$shards"
    hiredis "$REDIS_PORT" # what it expects is what Redis says
    hiredis "$PORT"
    python3 "$here/mini_redis_compare.py" "$PORT" "$REDIS_PORT" "$commands" || fail "they differ"
    end_mini TERM
done

log_step "a signal while many clients are owed large replies"
start_mini --shards 3
owed=80 # clients; the thread sanitizer copies too slowly for the time that a stop may take
! grep -q __tsan_ "$program" || owed=8
python3 - "$PORT" "$owed" <<'PYTHON' >"$WORK/owed" &
import socket, sys
def connect(buffer):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.connect(("127.0.0.1", int(sys.argv[1])))
    return client
client = connect(65536)
client.sendall(b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$3000000\r\n" + b"v" * 3000000 + b"\r\n")
assert client.recv(5) == b"+OK\r\n"
clients = [connect(4096) for _ in range(int(sys.argv[2]))]
for client in clients:
    client.sendall(b"GET large\r\n" * 6)
print("asked", flush=True)
for client in clients:
    client.settimeout(60)
    try:
        while client.recv(1 << 20):
            pass
    except OSError:
        pass
PYTHON
load=$!
until [ -s "$WORK/owed" ]; do
    kill -0 "$load" 2>/dev/null || fail "the clients ended"
    sleep 0.05
done
end_mini TERM
wait "$load" || true

log_step "killed, and started again at once on the same port"
start_mini
for _ in 1 2 3 4 5 6 7 8 9 10; do
    kill -KILL "$SERVER_PID"
    wait "$SERVER_PID" || true
    start_mini --port "$PORT"
done
expect PONG cli ping
end_mini TERM

log_step "a signal with clients at work"
start_mini --workers 2
redis-benchmark -p "$PORT" -t set,get -c 20 -P 8 -n 100000000 -q >/dev/null 2>&1 &
load=$!
(redis-cli -p "$PORT" subscribe news >/dev/null 2>&1 &)
sleep 1
end_mini TERM
wait "$load" || true
