# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# server.sh: servers for end-to-end tests. Source it.
#
# The one idea: whatever a test starts is stopped when the test ends, however it ends, by the process id that was noted
# when it was started; nothing is ever looked up by name. Ports are free ones on the loopback.
#
#   free_port                  prints a port that nobody listens on
#   wait_port PORT [SECONDS]   returns once somebody listens; fails after 20 s
#   start_server NAME CMD...   starts CMD in the background, its output in $WORK/NAME.log; sets SERVER_PID
#   stop_server PID            TERM, and KILL if it has not gone within 10 s
#   start_redis [ARGS...]      a real Redis on a free port; sets SERVER_PID and REDIS_PORT; exit 77 when there is none
#   log_step WORDS             says what comes next
#   fail WORDS / skip WORDS    ends the test
#
# Reads BUILD (the build directory) and REDIS_SERVER (a redis-server binary, or empty). Gives WORK, a directory of its own.
set -euo pipefail

BUILD=${BUILD:?the build directory}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/troupe-e2e.XXXXXX")
SERVER_PIDS=()

log_step()
{
    printf '  - %s\n' "$*"
}

fail()
{
    printf 'FAILED: %s\n' "$*"
    local log
    for log in "$WORK"/*.log; do
        [ -s "$log" ] || continue
        if grep -qa 'ERROR: .*Sanitizer' "$log"; then
            printf -- '--- the report in %s\n' "${log##*/}"
            sed -n '/ERROR: .*Sanitizer/,/Shadow bytes/p' "$log" | head -n 100
        else
            printf -- '--- the end of %s\n' "${log##*/}"
            tail -n 20 "$log"
        fi
    done
    exit 1
}

skip()
{
    printf 'SKIPPED: %s\n' "$*"
    exit 77
}

free_port()
{
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

wait_port()
{
    local port=$1 turns=$((${2:-20} * 20))
    while ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        [ $((turns -= 1)) -gt 0 ] || fail "nobody listens on port $port"
        sleep 0.05
    done
}

start_server()
{
    local name=$1
    shift
    : >"$WORK/$name.log" # now, not when the child gets to it: nobody shall read what the last one said
    "$@" >>"$WORK/$name.log" 2>&1 </dev/null &
    SERVER_PID=$!
    SERVER_PIDS+=("$SERVER_PID")
}

stop_server()
{
    local pid=$1 turns=200
    kill -TERM "$pid" 2>/dev/null || return 0
    while kill -0 "$pid" 2>/dev/null && [ $((turns -= 1)) -gt 0 ]; do
        sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

start_redis()
{
    [ -n "${REDIS_SERVER:-}" ] || skip "there is no redis-server here"
    REDIS_PORT=$(free_port)
    start_server redis "$REDIS_SERVER" --port "$REDIS_PORT" --bind 127.0.0.1 --save '' --appendonly no --dir "$WORK" "$@"
    wait_port "$REDIS_PORT"
}

finish()
{
    local status=$? pid
    trap - EXIT
    for pid in ${SERVER_PIDS[@]+"${SERVER_PIDS[@]}"}; do
        stop_server "$pid"
    done
    rm -rf "$WORK"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
