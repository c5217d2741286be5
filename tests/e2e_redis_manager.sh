#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# e2e_redis_manager.sh: redis-manager as its users meet it: against its own mini-redis and a real Redis; with passwords,
# a slow server, a stopped one, and one that is killed under it many times over. KILLS=100 sets how many.
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/lib/server.sh"

program=$BUILD/samples/redis-manager
[ -x "$program" ] || fail "$program has not been built"
kills=${KILLS:-100}

# Runs it to a good end; its table is in $WORK/table.log.
manager()
{
    "$program" "$@" >"$WORK/table.log" 2>"$WORK/manager.log" || fail "status $? of redis-manager $*"
}

# A number from the table.
row()
{
    sed -n "s/^  $1  *\([0-9.]*\).*/\1/p" "$WORK/table.log"
}

expect_row()
{
    [ "$(row "$1")" = "$2" ] || fail "'$1' is '$(row "$1")', expected $2"
}

# Of process $1: all, or those whose name is like $2.
open_files()
{
    find "/proc/$1/fd" -mindepth 1 -lname "${2:-*}" 2>/dev/null | wc -l
}

# Until it has accepted both connections of the pool: a kill before that would hit nobody, and prove nothing.
wait_for_pool()
{
    local turns=400
    while [ "$(open_files "$1" 'socket:*')" -lt 3 ]; do # one of them listens
        [ $((turns -= 1)) -gt 0 ] || fail "the pool has not connected again"
        sleep 0.05
    done
}

# Ends the run that is process $1 with SIGINT; sets `status`. Its table must be there, whatever else.
interrupt()
{
    kill -INT "$1"
    status=0
    wait "$1" || status=$?
    [ "$(row requests)" -gt 0 ] || fail "no table after SIGINT: status $status"
}

log_step "its options"
"$program" --help | grep -q -- --tolerate-errors || fail "--help is not there"
for bad in "--clients 0" "--clients x" "--read-ratio 2" "--value-bytes 7" "--requests -1" "--connections 65" "extra" "--nosuch"; do
    status=0
    # shellcheck disable=SC2086
    "$program" $bad >/dev/null 2>&1 || status=$?
    [ "$status" -eq 2 ] || fail "$bad: status $status, expected 2"
done
for bad in "redis://h:port" "http://h" "redis://h/x"; do
    status=0
    "$program" --server "$bad" >/dev/null 2>"$WORK/error.log" || status=$?
    [ "$status" -eq 2 ] || fail "$bad: status $status, expected 2"
    grep -q "byte [0-9]*: " "$WORK/error.log" || fail "$bad: the error does not say where"
done

log_step "its own mini-redis"
manager --requests 50000
expect_row requests 50000
expect_row "wrong values" 0
manager --clients 300 --connections 3 --requests 30000 --value-bytes 3000 --keys 3
expect_row requests 30000
manager --clients 5 --duration 0.5 --read-ratio 0.9 --in-flight 2 --value-bytes 8
manager --clients 2 --requests 200 --value-bytes 1000000 --keys 2
expect_row requests 200
! grep -q $'\r' "$WORK/manager.log" || fail "a progress line, and no terminal"

log_step "a signal ends the run early, with its table"
"$program" --duration 60 >"$WORK/table.log" 2>"$WORK/manager.log" &
pid=$!
sleep 1
interrupt "$pid"
[ "$status" -eq 0 ] || fail "status $status after SIGINT"

start_redis
log_step "a real Redis"
url=redis://127.0.0.1:$REDIS_PORT
manager --server "$url" --requests 100000
expect_row requests 100000
[ "$(row "requests per write" | cut -d. -f1)" -ge 8 ] || fail "only $(row "requests per write") requests per write"
manager --server "$url/3" --clients 100 --connections 4 --requests 50000 --value-bytes 100
if command -v redis-cli >/dev/null; then
    for db in 0 3; do
        left=$(redis-cli -p "$REDIS_PORT" -n "$db" dbsize)
        [ "$left" = 0 ] || fail "$left keys are left in database $db"
    done
fi

log_step "a Redis that stops for a while loses nothing"
"$program" --server "$url" --duration 3 --deadline 20000 >"$WORK/table.log" 2>"$WORK/manager.log" &
pid=$!
sleep 1
kill -STOP "$SERVER_PID"
sleep 1
kill -CONT "$SERVER_PID"
wait "$pid" || fail "status $? beside a stopped server"

log_step "requests to a Redis that hangs end at their deadline"
"$program" --server "$url" --duration 2 --deadline 100 --tolerate-errors >"$WORK/table.log" 2>"$WORK/manager.log" &
pid=$!
sleep 1
kill -STOP "$SERVER_PID"
sleep 2
kill -CONT "$SERVER_PID"
wait "$pid" || fail "status $? beside a hanging server"
[ "$(row "timed out")" -ge 64 ] || fail "only $(row "timed out") requests timed out"

log_step "an error ends the run, unless it is tolerated"
"$program" --server "$url" --duration 60 >"$WORK/table.log" 2>"$WORK/manager.log" &
pid=$!
sleep 0.5
kill -KILL "$SERVER_PID"
status=0
wait "$pid" || status=$?
[ "$status" -eq 1 ] || fail "status $status after the server's death, expected 1"

log_step "a signal ends the run with its table also when nobody answers"
for how in STOP KILL; do
    start_redis
    "$program" --server "redis://127.0.0.1:$REDIS_PORT" --duration 60 --deadline 60000 --connections 2 --tolerate-errors \
        >"$WORK/table.log" 2>"$WORK/manager.log" &
    pid=$!
    sleep 1
    kill "-$how" "$SERVER_PID"
    sleep 0.5
    interrupt "$pid"
    [ "$status" -le 1 ] || fail "status $status after SIG$how to the server and SIGINT"
    ! grep -q "still runs" "$WORK/manager.log" || fail "something was left running after SIG$how to the server"
    kill -KILL "$SERVER_PID" 2>/dev/null || true
done

log_step "a password"
start_redis --requirepass 'se:cr@et'
manager --server "redis://:se%3Acr%40et@127.0.0.1:$REDIS_PORT" --requests 1000
manager --server "redis://default:se%3Acr%40et@localhost:$REDIS_PORT/1" --requests 1000
status=0
"$program" --server "redis://:wrong@127.0.0.1:$REDIS_PORT" >/dev/null 2>"$WORK/error.log" || status=$?
[ "$status" -eq 1 ] || fail "status $status with a wrong password"
grep -q WRONGPASS "$WORK/error.log" || fail "the server's reason is not told"
! grep -q ":wrong@" "$WORK/error.log" || fail "the password is told"
log_step "a run in which nothing was answered is none, however much is tolerated"
status=0
"$program" --server "redis://127.0.0.1:$REDIS_PORT" --duration 0.5 --tolerate-errors >"$WORK/table.log" 2>&1 || status=$?
[ "$status" -eq 1 ] || fail "status $status when every request was refused"
[ "$(row "refused by the server")" -gt 0 ] || fail "no request was refused"
stop_server "$SERVER_PID"

log_step "$kills times killed in mid-flight"
start_redis
port=$REDIS_PORT
victim=$SERVER_PID
"$program" --server "redis://127.0.0.1:$port" --duration 100000 --deadline 10000 --tolerate-errors \
    --connections 2 >"$WORK/table.log" 2>"$WORK/manager.log" &
pid=$!
SERVER_PIDS+=("$pid")
sleep 0.5
before=$(open_files "$pid")
for ((i = 1; i <= kills; i++)); do
    kill -KILL "$victim"
    wait "$victim" 2>/dev/null || true
    start_server redis "$REDIS_SERVER" --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$WORK"
    victim=$SERVER_PID
    wait_port "$port"
    wait_for_pool "$victim"
    sleep 0.1
    kill -0 "$pid" 2>/dev/null || fail "redis-manager ended after kill $i"
done
sleep 1.5
after=$(open_files "$pid")
interrupt "$pid"
cat "$WORK/table.log"
[ "$status" -eq 0 ] || fail "status $status after $kills kills" # it counts what lives at its end, too
[ "$after" -eq "$before" ] || fail "$before open files before, $after after $kills kills"
expect_row "wrong values" 0
expect_row "timed out" 0
[ "$(row "connections lost")" -ge "$kills" ] || fail "only $(row "connections lost") connections lost"
[ "$(row "outcome unknown")" -ge "$kills" ] || fail "only $(row "outcome unknown") requests were in flight"
log_step "good: every request was answered, nothing leaked"
