#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Seeded logic mutants: is each of these mistakes noticed by some test? For each, a copy of the sources is changed in one
# place, built, and put to the suites and stress programs until one of them fails, which is what is wanted. A mistake
# whose window is a few instructions wide is left to the thread sanitizer, by which the copy is built again. The
# unchanged copy comes first and must pass everything. The sources themselves know nothing of all this.
#
#   tests/mutants.sh places        only looks whether each mutant still finds its place in the code
#   tests/mutants.sh [NAME...]     environment: CC (gcc), MUTANT_SECONDS (30) for one program, which takes about one
#
# Exit: 0 when every mutant is caught; 1 when one survives or no longer finds its place in the code.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
cc=${CC:-gcc}
limit=${MUTANT_SECONDS:-30}
work=$(mktemp -d "${TMPDIR:-/tmp}/troupe-mutants.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

sanitized="stress_migration stress_respawn"
programs="stress_migration stress_cancel stress_respawn stress_reply test_mailbox test_call test_held test_debt test_join \
    test_mutex test_semaphore test_rwlock test_notify test_barrier test_condition stress_sync"

# name, file, and the change: a sed script that is kept inside the function it is about.
change() {
    case $1 in
    publish_before_switch) # a park is committed while its context is not saved yet
        echo actor/scheduler.c
        printf '%s\n' '/^struct tri_stack \*tri_leave(/,/^}/ s/    worker->hook = hook;/    if (hook == TRI_HOOK_PARK) {\n        park_commit(worker, self);\n        hook = TRI_HOOK_NONE;\n    }\n    worker->hook = hook;/' ;;
    wake_without_notified) # a wake that finds the task running leaves no mark
        echo actor/park.h
        printf '%s\n' '/ tri_park_wake(/,/^}/ s/    for (;;) {/    if (state == TRI_RUNNING)\n        return false;\n    for (;;) {/' ;;
    stack_released_early) # the loop gives its stack to all workers while it is still on it
        echo actor/scheduler.c
        printf '%s\n' '/ void release_after_switch(/,/^}/ s/    worker->hook = TRI_HOOK_RELEASE;/    tri_stack_give(NULL, worker->stack_class, stack);\n    return;/' ;;
    record_touched_after_idle) # a handler actor tidies up when its record may be running elsewhere
        echo actor/handler.c
        printf '%s\n' '/ void run(/,/^}/ s/if (idle == TRI_IDLE_DONE)/if (idle == TRI_IDLE_DONE \&\& (task->hand_generation = 0, true))/' ;;
    stale_worker) # the worker is not asked for again after a switch
        echo actor/scheduler.h
        printf '%s\n' '/ void tri_go(/,/^}/ s/    worker = tri_worker_here();//' ;;
    served_sender_not_woken)
        echo mailbox/mailbox.c
        printf '%s\n' '/ void serve_sender(/,/^}/ s/    tri_wake(task);/    (void)task;/' ;;
    claim_without_generation) # a stale address reaches the next tenant
        echo mailbox/mailbox.h
        printf '%s\n' '/ bool tri_mailbox_send_fast(/,/^}/ s/tri_load(ref->life, TRI_RELAXED) >> TRI_LIFE_SHIFT != ref->generation/false/' ;;
    slow_claim_without_generation) # the same where the plain case ends
        echo mailbox/mailbox.c
        printf '%s\n' '/ int claim(/,/^}/ s/tri_load(ref->life, TRI_RELAXED) >> TRI_LIFE_SHIFT != ref->generation/false/' ;;
    idle_claim_without_generation) # a held caller hands its letter to a stranger
        echo mailbox/mailbox.h
        printf '%s\n' '/ bool tri_mailbox_claim_idle(/,/^}/ s/tri_load(ref->life, TRI_RELAXED) >> TRI_LIFE_SHIFT == ref->generation/true/' ;;
    drop_without_resolving) # a request that is never received leaves its caller waiting
        echo actor/task.c
        printf '%s\n' '/^void tri_task_discard(/,/^}/ s/if (debt.slot)/if (false)/' ;;
    expired_not_skipped)
        echo mailbox/reply.h
        printf '%s\n' '/ bool tri_reply_expired(/,/^}/ s/return .*/return false;/' ;;
    behind_a_large_wait_not_served) # who waits behind one that gives up is forgotten
        echo mailbox/semaphore.c
        printf '%s\n' '/ bool leave(/,/^}/ s/if (waited)/if (false)/' ;;
    waiting_writer_overtaken)
        echo mailbox/rwlock.c
        printf '%s\n' '/ int take(/,/^}/ s/tri_line_is_empty(&turn->monitor->line) \&\& //' ;;
    claimed_twice) # a select that has ended is served all the same
        echo mailbox/wait.h
        printf '%s\n' '/ bool tri_claim(/,/^}/ s/return !waiter->several/return true/' ;;
    listening_in_vain) # who began to listen before all were notified
        echo mailbox/notify.c
        printf '%s\n' '/ int take(/,/^}/ s/    if (c->tri_amount \&\&/    if (false \&\&/' ;;
    left_and_yet_come) # who gives up at a barrier is counted on
        echo mailbox/barrier.c
        printf '%s\n' '/ bool leave(/,/^}/ s/turn.state -= TRI_STATE_ONE;/(void)0;/' ;;
    unlocked_after_the_wait) # a wait that fails comes back without the mutex
        echo mailbox/condition.c
        printf '%s\n' '/^int tr_condition_wait(/,/^}/ s/    tri_mutex_lock_tail(mutex);/    if (rc == 0)\n        tri_mutex_lock_tail(mutex);/' ;;
    *)
        return 1 ;;
    esac
}

build() { # build DIRECTORY FLAGS PROGRAMS
    (
        cd "$1" || exit 1
        rm -f ./*.o
        flags="-std=gnu17 -D_GNU_SOURCE= -w -fstack-clash-protection -Iinclude -I. $2"
        libraries="$(pkg-config --libs check liburing) -lpthread"
        for source in actor/*.c mailbox/*.c io/*.c actor/arch/"$(uname -m)".S tests/support.c tests/script.c; do
            "$cc" $flags -c "$source" -o "$(echo "$source" | tr / _).o" || exit 1
        done
        for program in $3; do
            "$cc" $flags "tests/$program.c" ./*.o -o "$program" $libraries || exit 1
        done
    )
}

# Runs the programs in one variant after the other. True when one of them fails; $caught_by says which.
fails() { # fails DIRECTORY SECONDS PROGRAMS
    for variant in TR_TEST_MIGRATE=1 TR_TEST_NO_CACHES=1 TR_WORKERS=1; do
        for program in $3; do
            if ! (cd "$1" && ulimit -c 0 &&
                  env "$variant" TR_LOG=error TR_TEST_TIMEOUT="$2" timeout -s KILL "$2" "./$program") \
                  >"$1/log" 2>&1; then
                caught_by="$program ($variant)"
                return 0
            fi
        done
    done
    return 1
}

try_mutant() { # try_mutant NAME
    name=$1 copy=$work/$1
    mkdir -p "$copy/tests"
    cp -r "$root/actor" "$root/mailbox" "$root/io" "$root/include" "$copy/"
    cp "$root"/tests/support.c "$root"/tests/script.c "$root"/tests/*.h "$root"/tests/test_*.c "$root"/tests/stress_*.c "$copy/tests/"
    if [ "$name" != unchanged ]; then
        mutate "$name" "$copy" || return 1
    fi
    caught_by=
    if ! build "$copy" "-O2 -g" "$programs"; then
        echo "$name: does not build"
        return 1
    fi
    if ! fails "$copy" "$limit" "$programs"; then
        build "$copy" "-O1 -g -fsanitize=thread" "$sanitized" || return 1
        fails "$copy" "$((limit * 4))" "$sanitized" && caught_by="$caught_by, thread sanitizer"
    fi
    if [ -n "$caught_by" ]; then
        [ "$name" != unchanged ] && echo "$name: caught by $caught_by" && return 0
        echo "unchanged: fails $caught_by:"
        tail -n 20 "$copy/log"
        return 1
    fi
    [ "$name" = unchanged ] && echo "unchanged: passes" && return 0
    echo "$name: SURVIVES"
    return 1
}

# mutate NAME DIRECTORY: changes the copy of the sources in there; false if it is none.
mutate() {
    file=$(change "$1" | sed -n 1p)
    script=$(change "$1" | sed -n '2,$p')
    sed -i "$script" "$2/$file"
    if cmp -s "$2/$file" "$root/$file"; then
        echo "$1: its place in $file is gone: mend tests/mutants.sh"
        return 1
    fi
}

mutants="publish_before_switch wake_without_notified stack_released_early record_touched_after_idle stale_worker \
    served_sender_not_woken claim_without_generation slow_claim_without_generation idle_claim_without_generation \
    drop_without_resolving expired_not_skipped behind_a_large_wait_not_served waiting_writer_overtaken claimed_twice \
    listening_in_vain left_and_yet_come unlocked_after_the_wait"
status=0
if [ "${1:-}" = places ]; then
    for name in $mutants; do
        rm -rf "$work/copy"
        mkdir "$work/copy"
        cp -r "$root/actor" "$root/mailbox" "$root/io" "$work/copy/"
        mutate "$name" "$work/copy" || status=1
    done
    exit $status
fi
# shellcheck disable=SC2086 # names
[ $# -gt 0 ] || set -- unchanged $mutants
for name; do
    if [ "$name" != unchanged ] && ! change "$name" >/dev/null; then
        echo "$name: no such mutant"
        status=1
        continue
    fi
    try_mutant "$name" || status=1
    rm -rf "${work:?}/$name"
    if [ "$name" = unchanged ] && [ "$status" -ne 0 ]; then
        break
    fi
done
exit $status
