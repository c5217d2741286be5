#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Seeded logic mutants: is each of these mistakes noticed by some test? For each, a copy of the sources is changed in one
# place, built, and put to the suites and stress programs until one of them fails, which is what is wanted; those that are
# likely to come first. A mistake whose window is a few instructions wide is left to the thread sanitizer, by which the copy
# is built again. The unchanged copy comes first and must pass everything. The sources themselves know nothing of all this.
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
copy=$work/copy
trap 'rm -rf "$work"' EXIT INT TERM

sanitized="stress_migration stress_respawn test_actor_policy"
programs="stress_migration stress_cancel stress_respawn stress_reply test_mailbox test_call test_held test_debt test_join \
    test_mutex test_semaphore test_rwlock test_notify test_barrier test_condition stress_sync test_channel \
    test_channel_permit test_channel_policy test_oneshot test_broadcast test_watch test_group test_group_close test_token \
    test_select test_actor_policy"

helpers="tests/support.c tests/script.c tests/channel_script.c"

# Of each name: the file, the programs that are tried first (after "sanitized": with the thread sanitizer), and the change: a
# sed script that is kept inside the function it is about.
change() {
    case $1 in
    publish_before_switch) # a park is committed while its context is not saved yet
        echo actor/scheduler.c sanitized stress_respawn
        printf '%s\n' '/ void leave_behind(/,/^}/ s/    worker->hook = hook;/    if (hook == TRI_HOOK_PARK) {\n        park_commit(worker, self);\n        hook = TRI_HOOK_NONE;\n    }\n    worker->hook = hook;/' ;;
    left_as_if_alone) # with thieves: a pop that they cannot see, and a yield that is queued before its context is saved
        echo actor/scheduler.c sanitized stress_sync
        printf '%s\n' '/\*next_plain(/,/^}/ s/(!worker->alone || /(/; /\*next_plain(/,/^}/ s/if (worker->alone) {/if (true) {/' \
            '/ queued_at_once(/,/^}/ s/ worker->alone \&\&//' ;;
    pinned_overtaken) # a pinned task waits until the ring is empty
        echo actor/scheduler.c test_fair
        printf '%s\n' '/\*next_plain(/,/^}/ s/pinned_turn(worker, head)/false/' ;;
    budget_not_renewed) # the next task goes on with what the one before it left
        echo actor/scheduler.c test_fair
        printf '%s\n' '/\*tri_leave(/,/^}/ s/        worker->budget = TRI_BUDGET;//' ;;
    full_ring_keeps_out) # a pass takes nobody in while the ring is full
        echo actor/idle.c test_fair
        printf '%s\n' '/ void take_from(/,/^}/ s/    queue_list(/    if (tri_queue_length(\&worker->queue) < TRI_QUEUE_SLOTS)\n        queue_list(/' ;;
    thief_stays) # who has nothing to do any more has the owner pop with locked instructions all the same
        echo actor/idle.c stress_steal
        printf '%s\n' '/^static bool look(/,/^}/ s/^    leave_prey(worker);$//' ;;
    post_not_taken) # who has been made the sentry, and was woken by something else, does not know
        echo actor/idle.c test_fair
        printf '%s\n' '/ void take_post(/,/^}/ s/worker->on_watch = true;/(void)0;/' ;;
    loop_seems_a_hog) # its turns are not counted, nor does it make a pass
        echo actor/scheduler.c test_fair
        printf '%s\n' '/^void tri_loop_entry(/,/^}/ s/tri_count(&worker->switches);//' ;;
    no_pass_without_memory) # who goes on for want of a stack for others keeps the pass away
        echo actor/scheduler.c test_memory
        printf '%s\n' '/\*scrape_turn(/,/^}/ s/tri_count(&worker->switches);/(void)0;/' ;;
    wake_without_notified) # a wake that finds the task running leaves no mark
        echo actor/park.h stress_migration stress_cancel
        printf '%s\n' '/ tri_park_wake(/,/^}/ s/    for (;;) {/    if (state == TRI_RUNNING)\n        return false;\n    for (;;) {/' ;;
    stack_released_early) # the loop gives its stack to all workers while it is still on it
        echo actor/scheduler.c sanitized stress_respawn
        printf '%s\n' '/ void release_after_switch(/,/^}/ s/    worker->hook = TRI_HOOK_RELEASE;/    tri_stack_give(NULL, worker->stack_class, stack);\n    return;/' ;;
    record_touched_after_idle) # a handler actor tidies up when its record may be running elsewhere
        echo actor/handler.c sanitized stress_respawn test_actor_policy
        printf '%s\n' '/ void run(/,/^}/ s/            return; .* the record may run elsewhere .*/{ if (worker) task->hand_generation = 0; return; }/' ;;
    stale_worker) # the worker is not asked for again after a switch
        echo actor/scheduler.h stress_migration
        printf '%s\n' '/ void tri_go(/,/^}/ s/    worker = tri_worker_here();//' ;;
    served_sender_not_woken)
        echo mailbox/mailbox.c test_mailbox
        printf '%s\n' '/ void serve_sender(/,/^}/ s/    tri_wake(task);/    (void)task;/' ;;
    claim_without_generation) # a stale address reaches the next tenant
        echo mailbox/mailbox.h test_mailbox stress_respawn
        printf '%s\n' '/\*tri_mailbox_claim_fast(/,/^}/ s/tri_load(ref->life, TRI_RELAXED) >> TRI_LIFE_SHIFT != ref->generation/false/' ;;
    slow_claim_without_generation) # the same where the plain case ends
        echo mailbox/mailbox.c test_mailbox stress_respawn
        printf '%s\n' '/ int claim(/,/^}/ s/tri_load(ref->life, TRI_RELAXED) >> TRI_LIFE_SHIFT != ref->generation/false/' ;;
    idle_claim_without_generation) # a held caller hands its letter to a stranger
        echo mailbox/mailbox.h stress_respawn test_held
        printf '%s\n' '/ bool tri_mailbox_claim_idle(/,/^}/ s/tri_load(ref->life, TRI_RELAXED) >> TRI_LIFE_SHIFT == ref->generation/true/' ;;
    receiver_not_looked_at_again) # nor whether the loop actor that was claimed still waits in its receive
        echo actor/call.c stress_respawn test_held stress_calls
        printf '%s\n' '/ bool receives(/,/^}/ s/tri_task_generation(target) == generation/true/' ;;
    forward_to_nobody) # the short way of a forward goes on for a caller who has given up
        echo actor/call.c test_debt
        printf '%s\n' '/^int tr_forward_raw(/,/^}/ s/!tri_reply_wanted(debt)/false/' ;;
    forward_costs_nothing) # who forwards without waiting keeps everybody else out
        echo actor/call.c test_debt
        printf '%s\n' '/^int tr_forward_raw(/,/^}/ s/    worker->budget--;//' ;;
    forward_unseen) # nor does the deadlock detection learn who owes the answer now
        echo actor/call.c test_cycle
        printf '%s\n' '/^int tr_forward_raw(/,/^}/ s/tri_cycle_watches(debt)/false/' ;;
    drop_without_resolving) # a request that is never received leaves its caller waiting
        echo actor/task.c test_debt test_call
        printf '%s\n' '/^void tri_task_discard(/,/^}/ s/if (debt.slot)/if (false)/' ;;
    expired_not_skipped)
        echo mailbox/reply.h test_call
        printf '%s\n' '/ bool tri_reply_expired(/,/^}/ s/return .*/return false;/' ;;
    behind_a_large_wait_not_served) # who waits behind one that gives up is forgotten
        echo mailbox/semaphore.c test_semaphore
        printf '%s\n' '/ bool leave(/,/^}/ s/if (waited)/if (false)/' ;;
    waiting_writer_overtaken)
        echo mailbox/rwlock.c test_rwlock
        printf '%s\n' '/ int take(/,/^}/ s/tri_line_is_empty(&turn->monitor->line) \&\& //' ;;
    claimed_twice) # a select that has ended is served all the same
        echo mailbox/wait.h test_select stress_sync test_notify
        printf '%s\n' '/ bool tri_claim(/,/^}/ s/return !waiter->several/return true/' ;;
    listening_in_vain) # who began to listen before all were notified
        echo mailbox/notify.c test_notify
        printf '%s\n' '/ int take(/,/^}/ s/    if (c->tri_amount \&\&/    if (false \&\&/' ;;
    left_and_yet_come) # who gives up at a barrier is counted on
        echo mailbox/barrier.c test_barrier
        printf '%s\n' '/ bool leave(/,/^}/ s/turn.state -= TRI_STATE_ONE;/(void)0;/' ;;
    unlocked_after_the_wait) # a wait that fails comes back without the mutex
        echo mailbox/condition.c test_condition
        printf '%s\n' '/^int tr_condition_wait(/,/^}/ s/    tri_mutex_lock_tail(mutex);/    if (rc == 0)\n        tri_mutex_lock_tail(mutex);/' ;;
    permit_not_given_back) # room that nobody has is kept for ever
        echo mailbox/channel_permit.c test_channel_permit
        printf '%s\n' '/^void tr_channel_permit_return_raw(/,/^}/ s/channel->reserved -= permit->tri_count;/(void)0;/' ;;
    last_sender_wakes_nobody) # a receiver that waits is not told of the end
        echo mailbox/channel_ends.c test_channel
        printf '%s\n' '/^void tri_channel_end(/,/^}/ s/    tri_channel_tell_end(channel, &turn);/    (void)0;/' ;;
    behind_a_large_reserve_not_served) # who gives up had kept others from room that would do for them
        echo mailbox/channel_wait.c test_channel_permit
        printf '%s\n' '/^static bool leave_sender(/,/^}/ s/if (waited)/if (false)/' ;;
    channel_loss_not_counted)
        echo mailbox/channel_overflow.c test_channel_policy
        printf '%s\n' '/^static enum fate overflow(/,/^}/ s/channel->dropped_oldest++;/(void)0;/' ;;
    oneshot_value_taken_twice)
        echo mailbox/oneshot.c test_oneshot
        printf '%s\n' '/^static int take(/,/^}/ s/        oneshot->state = .*/        (void)0;/' ;;
    oneshot_drop_wakes_nobody)
        echo mailbox/oneshot.c test_oneshot
        printf '%s\n' '/^void tr_oneshot_drop_raw(/,/^}/ s/serve(&oneshot->receivers, -EPIPE, &wakes);/(void)0;/' ;;
    oneshot_close_wakes_no_sender)
        echo mailbox/oneshot.c test_oneshot
        printf '%s\n' '/^static bool close_with(/,/^}/ s/serve(&oneshot->senders, 0, &wakes);/(void)0;/' ;;
    lag_not_counted) # a receiver that was overtaken is not told how much it has missed
        echo mailbox/broadcast.c test_broadcast
        printf '%s\n' '/^static void skip_missed(/,/^}/ s/    receiver->tri_missed += .*/    (void)0;/' ;;
    broadcast_value_dropped_twice) # the end drops also what was overwritten
        echo mailbox/broadcast.c test_broadcast
        printf '%s\n' '/^static void destroy(/,/^}/ s/n = oldest_kept(broadcast, tail)/n = 0/' ;;
    last_close_wakes_no_receiver) # of a broadcast, or of a watch
        echo mailbox/audience.c test_broadcast test_watch
        printf '%s\n' '/^bool tri_audience_close(/,/^}/ s/        tell(audience, &audience->waiting);/        tri_bias_unlock(\&audience->lock);/' ;;
    watch_old_value_not_dropped)
        echo mailbox/watch.c test_watch
        printf '%s\n' '/^int tr_watch_send_raw(/,/^}/ s/    if (drop)/    if (false)/' ;;
    watch_clone_has_seen_all) # what the original has not seen yet is news to its clone, too
        echo mailbox/watch.c test_watch
        printf '%s\n' '/^int tr_watch_clone_raw(/,/^}/ s/    if (rc == 0)/    if (false)/' ;;
    refused_value_not_dropped) # a value that the predicate does not like
        echo mailbox/watch.c test_watch
        printf '%s\n' '/^int tr_watch_wait_for_raw(/,/^}/ s/if (watch->drop)/if (false)/' ;;
    close_does_not_wait) # a group is gone before its members
        echo actor/group.c test_group_close test_group
        printf '%s\n' '/^static void close_group(/,/^}/ s/    await_end(group, report_at);/    (void)0;/' ;;
    one_above_the_limit)
        echo actor/member.c test_group
        printf '%s\n' '/^static bool is_full(/,/^}/ s/>= group->limit/> group->limit/' ;;
    first_error_cancels_nobody)
        echo actor/member.c test_group test_group_close
        printf '%s\n' '/^void tri_member_leave(/,/^}/ s/if (failed && group->first_error)/if (false)/' ;;
    child_not_cancelled) # a cancel stays with the token itself
        echo actor/token.c test_token
        printf '%s\n' '/^static struct tr_cancel_token \*step(/,/^}/ s/if (token->children)/if (false)/' ;;
    child_of_the_cancelled_lives) # a child that is born later
        echo actor/token.c test_token
        printf '%s\n' '/^int tr_cancel_token_create(/,/^}/ s/if (tri_load(&parent->cancelled, TRI_RELAXED))/if (false)/' ;;
    orphans_not_adopted) # the children of a token that nobody wants any more
        echo actor/token.c test_token
        printf '%s\n' '/^static bool give_children_up(/,/^}/ s/        attach(child, token->parent);/        (void)0;/' ;;
    losers_left_in_their_queues)
        echo mailbox/wait.c test_select
        printf '%s\n' '/^static void leave_all(/,/^}/ s/            c->tri_kind->leave(c);/            (void)0;/' ;;
    timers_not_looked_at) # a select sleeps past its timers
        echo mailbox/wait.c test_select
        printf '%s\n' '/^static tr_time first_time(/,/^}/ s/            deadline = .*/            (void)0;/' ;;
    always_the_first) # of several that are ready
        echo mailbox/wait.c test_select
        printf '%s\n' '/^static void begin_walk(/,/^}/ s/if (order == TR_SELECT_FAIR &&/if (false \&\&/' ;;
    oldest_taken_without_the_lock) # the actor does not share its side of the mailbox with who drops
        echo mailbox/mailbox.c sanitized test_actor_policy
        printf '%s\n' '/^enum tri_take tri_mailbox_take_shared(/,/^}/ s/    tri_\(un\)*lock(&mailbox->lock);/    (void)0;/' ;;
    policy_loss_not_counted)
        echo actor/policy.c test_actor_policy
        printf '%s\n' '/^static void note(/,/^}/ s/    policy->rejected += .*/    (void)0;/' ;;
    dropped_request_not_resolved)
        echo actor/policy.c test_actor_policy
        printf '%s\n' '/^static void lose(/,/^}/ s/if (debt.slot)/if (false)/' ;;
    *)
        return 1 ;;
    esac
}

flags_of() { # flags_of KIND
    case $1 in
    plain) echo "-O2 -g" ;;
    sanitized) echo "-O1 -g -fsanitize=thread" ;;
    esac
}

compile() { # compile DIRECTORY KIND SOURCES: each to an object beside it
    (
        cd "$1" || exit 1
        flags="-std=gnu17 -D_GNU_SOURCE= -w -fstack-clash-protection -Iinclude -I. $(flags_of "$2")"
        for source in $3; do
            "$cc" $flags -c "$source" -o "${source%.*}.o" || exit 1
        done
    )
}

compile_all() { # compile_all DIRECTORY KIND: what every program is linked with
    compile "$1" "$2" "$(cd "$1" && echo actor/*.c mailbox/*.c io/*.c actor/arch/"$(uname -m)".S $helpers)"
}

# The sources, with their objects; made once.
prepare() { # prepare KIND
    base=$work/$1
    [ ! -d "$base" ] || return 0
    mkdir -p "$base/tests"
    cp -r "$root/actor" "$root/mailbox" "$root/io" "$root/include" "$base/"
    cp "$root"/tests/*.h "$root"/tests/test_*.c "$root"/tests/stress_*.c "$base/tests/"
    for source in $helpers; do
        cp "$root/$source" "$base/tests/"
    done
    compile_all "$base" "$1"
}

# A helper is linked only where it is called: two of them have functions of the same name.
build_program() { # build_program DIRECTORY KIND PROGRAM
    [ -f "$1/tests/$3.o" ] || compile "$1" "$2" "tests/$3.c" || return 1
    (
        cd "$1" || exit 1
        rm -f tests/helpers.a
        # shellcheck disable=SC2046 # names, and flags
        ar rcs tests/helpers.a $(for source in $helpers; do echo "${source%.c}.o"; done)
        # shellcheck disable=SC2046
        "$cc" $(flags_of "$2") "tests/$3.o" actor/*.o actor/arch/*.o mailbox/*.o io/*.o tests/helpers.a -o "$3" \
            $(pkg-config --libs check liburing) -lpthread
    )
}

# Runs the programs in one variant after the other. True when one of them fails; $caught_by says which.
fails() { # fails DIRECTORY KIND SECONDS PROGRAMS
    for variant in TR_TEST_MIGRATE=1 TR_TEST_NO_CACHES=1 TR_WORKERS=1; do
        for program in $4; do
            if [ ! -x "$1/$program" ] && ! build_program "$1" "$2" "$program" >"$1/log" 2>&1; then
                caught_by="$program, which does not build"
                broken=1
                return 0
            fi
            if ! (cd "$1" && ulimit -c 0 &&
                  env "$variant" TSAN_OPTIONS=halt_on_error=1 TR_LOG=error TR_TEST_TIMEOUT="$3" \
                      timeout -k 5 "$3" "./$program") \
                  >"$1/log" 2>&1; then
                caught_by="$program ($variant)"
                return 0
            fi
        done
    done
    return 1
}

# A copy of what is prepared, changed; its objects are made again as far as the change reaches.
copy_and_mutate() { # copy_and_mutate NAME KIND
    prepare "$2" || return 1
    rm -rf "$copy"
    cp -r "$work/$2" "$copy"
    [ "$1" != unchanged ] || return 0
    mutate "$1" "$copy" || return 1
    case $file in
    *.c) compile "$copy" "$2" "$file" ;;
    *)
        rm -f "$copy"/tests/*.o
        compile_all "$copy" "$2" ;;
    esac
}

# Builds the mutant, and runs the programs. True when one of them fails.
catch() { # catch NAME KIND PROGRAMS
    copy_and_mutate "$1" "$2" || {
        caught_by="nobody: it does not build" broken=1
        return 0
    }
    case $2 in
    plain) fails "$copy" plain "$limit" "$3" ;;
    sanitized) fails "$copy" sanitized "$((limit * 4))" "$3" && caught_by="$caught_by, thread sanitizer" ;;
    esac
}

try_mutant() { # try_mutant NAME
    name=$1 caught_by='' broken=''
    first=$(change "$name" | sed -n '1s/^[^ ]* *//p')
    case $first in
    "sanitized "*) catch "$name" sanitized "${first#* }" ;;
    *) catch "$name" plain "$first" ;;
    esac || catch "$name" plain "$programs" || catch "$name" sanitized "$sanitized"
    if [ -n "$caught_by" ]; then
        [ "$name" != unchanged ] && [ -z "$broken" ] && echo "$name: caught by $caught_by" && return 0
        echo "$name: fails $caught_by:"
        [ ! -f "$copy/log" ] || tail -n 20 "$copy/log"
        return 1
    fi
    [ "$name" = unchanged ] && echo "unchanged: passes" && return 0
    echo "$name: SURVIVES"
    return 1
}

# mutate NAME DIRECTORY: changes the copy of the sources in there; false if it is none. Sets $file.
mutate() {
    file=$(change "$1" | sed -n '1s/ .*//p')
    script=$(change "$1" | sed -n '2,$p')
    sed -i "$script" "$2/$file"
    if cmp -s "$2/$file" "$root/$file"; then
        echo "$1: its place in $file is gone: mend tests/mutants.sh"
        return 1
    fi
}

mutants=$(sed -n '/^change() {/,/^}/ s/^    \([a-z_]*\)).*/\1/p' "$root/tests/mutants.sh")
status=0
if [ "${1:-}" = places ]; then
    for name in $mutants; do
        rm -rf "$copy"
        mkdir "$copy"
        cp -r "$root/actor" "$root/mailbox" "$root/io" "$copy/"
        mutate "$name" "$copy" || status=1
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
    if [ "$name" = unchanged ] && [ "$status" -ne 0 ]; then
        break
    fi
done
exit $status
