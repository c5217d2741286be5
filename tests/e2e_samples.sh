#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# e2e_samples.sh: the short samples as a newcomer runs them: what they print, how they end, what they say to a wrong option,
# what the servers among them answer, and that a signal ends them cleanly.
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/lib/server.sh"

here=$(cd "$(dirname "$0")" && pwd)
samples=$BUILD/samples
[ -x "$samples/counter" ] || fail "$samples/counter has not been built"

# expect STATUS TEXT PROGRAM [OPTION...]: ends so, and one of its lines has the text.
expect()
{
    local wanted=$1 text=$2 program=$3 status=0
    shift 3
    "$samples/$program" "$@" >"$WORK/out" 2>&1 </dev/null || status=$?
    [ "$status" -eq "$wanted" ] || { cat "$WORK/out"; fail "$program $*: status $status, not $wanted"; }
    grep -qe "$text" "$WORK/out" || { cat "$WORK/out"; fail "$program $*: no '$text'"; }
}

# interrupt STATUS PROGRAM [OPTION...]: SIGINT after it has begun ends it so, and leaves nothing running.
interrupt()
{
    local wanted=$1 program=$2 status=0 turns=400 pid
    shift 2
    : >"$WORK/out" # or the line would be found that the program before has left there
    "$samples/$program" "$@" >"$WORK/out" 2>&1 </dev/null &
    pid=$!
    while ! grep -q "I/O backend" "$WORK/out"; do
        kill -0 "$pid" 2>/dev/null || fail "$program ended at once"
        [ $((turns -= 1)) -gt 0 ] || fail "$program does not begin"
        sleep 0.05
    done
    kill -INT "$pid"
    wait "$pid" || status=$?
    [ "$status" -eq "$wanted" ] || { cat "$WORK/out"; fail "$program $*: status $status after SIGINT"; }
    ! grep -q "still runs\|nobody joins" "$WORK/out" || { cat "$WORK/out"; fail "$program $*: something was left"; }
}

# serve PROGRAM: it serves the clients of samples_clients.py on a free port; then SIGINT ends it and leaves nothing.
serve()
{
    local program=$1 status=0 turns=400 port=
    start_server "$program" "$samples/$program" --port 0
    while [ -z "$port" ]; do
        kill -0 "$SERVER_PID" 2>/dev/null || fail "$program ended at once"
        [ $((turns -= 1)) -gt 0 ] || fail "$program does not listen"
        sleep 0.05
        port=$(sed -n "s/^$program: listening on 127.0.0.1:\([0-9]*\)$/\1/p" "$WORK/$program.log")
    done
    timeout 300 python3 "$here/samples_clients.py" "$program" "$port" || fail "$program: see above"
    kill -INT "$SERVER_PID"
    wait "$SERVER_PID" || status=$?
    [ "$status" -eq 0 ] || fail "$program: status $status after SIGINT"
    ! grep -q "still runs\|nobody joins" "$WORK/$program.log" || fail "$program: something was left"
}

for program in config-watch counter echo fan-in job-pool kv-service; do
    expect 0 "^usage: $program" "$program" --help
    expect 2 "^usage: $program" "$program" --no-such-option
done
for port in "" x 7x -1 65536 99999999999999999999; do
    expect 2 "^usage: echo" echo --port "$port"
    expect 2 "^usage: kv-service" kv-service --port "$port"
done

expect 0 "loop actor: 100 callers, 1000 calls each, the counter says 100000" counter
expect 0 "handler actor: 100 callers, 1000 calls each, the counter says 100000" counter
TR_BACKEND=no_such expect 1 "^counter: Invalid argument" counter
expect 0 "^3 workers have all seen version 6, the last" config-watch
expect 1 "config-watch: /no/such/file: No such file or directory" config-watch /no/such/file
expect 0 "^2000 users, 3 look-ups each" fan-in --users 2000
for users in 0 12x 1e99 -1 ""; do
    expect 2 "^usage" fan-in --users "$users"
done
expect 0 "^20 jobs, 3 at once: 28760 primes" job-pool --jobs 20 --at-once 3 --bound 12000
expect 1 "job-pool: job 7 cannot be done" job-pool --jobs 20 --fail 7
expect 2 "^usage" job-pool --jobs many

expect 0 "^kv-service: 20 clients, 400 requests each: ok" kv-service --selftest

# A result that cannot be written is none.
for program in config-watch counter fan-in job-pool; do
    status=0
    "$samples/$program" >/dev/full 2>"$WORK/out" || status=$?
    [ "$status" -eq 1 ] || { cat "$WORK/out"; fail "$program with a full disk: status $status, not 1"; }
done

serve echo
serve kv-service

printf 'pace_ms = 50\ngreeting = hi\n' >"$WORK/settings"
interrupt 0 config-watch "$WORK/settings"
interrupt 1 job-pool --jobs 5000
interrupt 0 echo --port 0
interrupt 0 kv-service --port 0
