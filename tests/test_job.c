/* SPDX-License-Identifier: MIT */
/*
 * test_job.c: jobs by their handles, and the end of the pool: cancellation before the start, one joiner, stale handles, and a
 * shutdown that waits for nobody without a name.
 */
#include "tests/jobs.h"

/* ---- handles -------------------------------------------------------------------------------------------------- */

static int join_common(void *argument)
{
    return tr_job_join(*(struct tr_job *)argument, NULL, TR_FOREVER);
}

POOL_TEST(a_job_that_waits_is_cancelled_one_that_runs_is_not, 1, 8, 0)
{
    struct gate *gate = new_gate(false);
    struct tr_job running = start_job(gate, 1, TR_NOW), queued = start_job(gate, 2, TR_NOW),
                  joined = start_job(gate, 3, TR_NOW), last = start_job(gate, 4, TR_NOW);
    wait_until(atomic_load(&gate->started) == 1);
    struct tr_task task = test_task(join_common, &joined);
    expect_int(tr_sleep(MS), 0);
    expect_int(tr_job_cancel(running), 1);
    expect_int(tr_job_cancel(queued), 0);
    expect_int(tr_job_cancel(queued), -ESRCH);
    expect_int(tr_job_join(queued, NULL, TR_FOREVER), -ESRCH);
    expect_int(tr_job_cancel(joined), 0);
    expect_int(test_join(task), -ESRCH);
    expect_int(info().queued, 1);
    expect_int(tr_job_join(running, NULL, TR_NOW), -ETIMEDOUT);
    expect_int(tr_job_join(running, NULL, tr_after(MS)), -ETIMEDOUT);
    open_gate(gate);
    expect_int(join_job(running), 2);
    wait_until(atomic_load(&gate->ended) == 2);
    expect_int(tr_job_cancel(last), 1); /* over, but its result waits */
    expect_int(join_job(last), 8);
    expect_int(tr_job_cancel(last), -ESRCH);
    expect_int(atomic_load(&gate->dropped) + atomic_load(&gate->dropped_unstarted), 0);
}

POOL_TEST(a_detached_job_gives_its_result_to_drop, 1, 8, 0)
{
    struct gate *gate = new_gate(false);
    struct tr_job running = start_job(gate, 1, TR_NOW);
    wait_until(atomic_load(&gate->started) == 1);
    struct tr_job queued = start_job(gate, 2, TR_NOW), over = start_job(gate, 3, TR_NOW);
    struct tr_work work = work_of(&(struct request){ gate, 4, 0 });
    expect_int(tr_job_start(NULL, &work, TR_NOW), 0); /* detached from the start */
    expect_int(tr_job_detach(running), 0);
    expect_int(tr_job_detach(running), -ESRCH);
    expect_int(tr_job_cancel(running), -ESRCH);
    expect_int(tr_job_join(running, NULL, TR_FOREVER), -ESRCH);
    expect_int(tr_job_detach(queued), 0);
    expect_int(tr_job_cancel(queued), -ESRCH); /* it is nobody's any more, and will run */
    open_gate(gate);
    wait_until(atomic_load(&gate->ended) == 4);
    wait_until(atomic_load(&gate->dropped) == 3);
    expect_int(tr_job_detach(over), 0);
    expect_int(atomic_load(&gate->dropped), 4);
    expect_int(tr_job_detach(over), -ESRCH);
    expect_int(atomic_load(&gate->dropped_unstarted), 0);
}

POOL_TEST(one_job_has_one_joiner, 1, 8, 0)
{
    struct gate *gate = new_gate(false);
    static struct tr_job job;
    job = start_job(gate, 5, TR_NOW);
    struct tr_task task = test_task(join_common, &job);
    expect_int(tr_sleep(MS), 0);
    expect_int(tr_job_join(job, NULL, TR_FOREVER), -EINVAL);
    expect_int(tr_job_detach(job), -EINVAL);
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), -ECANCELED);
    open_gate(gate);
    expect_int(join_job(job), 10); /* it was only the joiner who was cancelled */
}

POOL_TEST(a_stale_handle_never_hits_a_stranger, 2, 64, 0)
{
    struct gate *gate = new_gate(true);
    struct tr_job old = start_job(gate, 1, TR_NOW);
    join_job(old);
    struct gate *closed = new_gate(false);
    struct tr_job fresh[40];
    for (int i = 0; i < 40; i++)
        fresh[i] = start_job(closed, i + 1, TR_NOW);
    expect_int(tr_job_cancel(old), -ESRCH);
    expect_int(tr_job_detach(old), -ESRCH);
    expect_int(tr_job_join(old, NULL, TR_NOW), -ESRCH);
    open_gate(closed);
    for (int i = 0; i < 40; i++)
        expect_int(join_job(fresh[i]), 2 * (i + 1));
}

/* One that found no room has a handle all the same, for it is written before: that must not fit the next job either. */
POOL_TEST(the_handle_of_a_job_refused_is_stale, 1, 1, 0)
{
    struct gate *gate = new_gate(false);
    struct tr_job refused, running = start_job(gate, 1, TR_NOW);
    wait_until(atomic_load(&gate->started) == 1);
    struct tr_job queued = start_job(gate, 2, TR_NOW);
    struct tr_work work = work_of(&(struct request){ gate, 3, 0 });
    expect_int(tr_job_start(&refused, &work, TR_NOW), -ETIMEDOUT);
    expect_int(tr_job_cancel(queued), 0);
    struct tr_job fresh[2] = { start_job(gate, 4, TR_NOW) }; /* has the record of the refused or of the cancelled one */
    open_gate(gate);
    wait_until(atomic_load(&gate->ended) == 2);
    struct gate *closed = new_gate(false);
    fresh[1] = start_job(closed, 5, TR_NOW); /* has the other */
    expect_int(tr_job_cancel(refused), -ESRCH);
    expect_int(tr_job_detach(refused), -ESRCH);
    expect_int(tr_job_join(refused, NULL, TR_NOW), -ESRCH);
    open_gate(closed);
    expect_int(join_job(running), 2);
    expect_int(join_job(fresh[0]), 8);
    expect_int(join_job(fresh[1]), 10);
}

static int leave_scope_open(void *argument, void *result)
{
    struct tr_scope scope;
    (void)argument;
    (void)result;
    tr_scope_open(&scope, TR_NOW);
    return 0;
}

static int tell_bound(void *argument, void *result)
{
    (void)argument;
    *(tr_time *)result = tr_scope_deadline();
    return 0;
}

POOL_TEST(a_scope_left_open_ends_with_its_job, 1, 8, 0)
{
    char nothing = 0;
    tr_time bound = 0;
    expect_int(tr_blocking(leave_scope_open, &nothing, &nothing, TR_FOREVER), 0);
    expect_int(tr_blocking(tell_bound, &nothing, &bound, TR_FOREVER), 0);
    expect_int(bound, TR_FOREVER);
}

/* ---- shutdown ------------------------------------------------------------------------------------------------- */

static struct tr_runtime *start(unsigned threads)
{
    struct tr_runtime *runtime;
    struct tr_options options = test_options(2);
    options.blocking_threads = threads;
    options.stop_ns = MS;
    expect_int(tr_start(&runtime, &options), 0);
    return runtime;
}

static struct tr_job start_in(struct tr_runtime *runtime, struct gate *gate, int64_t value)
{
    struct tr_job job;
    struct tr_work work = work_of(&(struct request){ gate, value, 0 });
    work.runtime = runtime;
    expect_int(tr_job_start(&job, &work, TR_FOREVER), 0);
    return job;
}

START_TEST(a_shutdown_names_the_job_it_waits_for)
{
    struct gate *gate = new_gate(false);
    struct tr_runtime *runtime = start(2);
    struct tr_task task;
    struct tr_task_options options = { .runtime = runtime };
    start_in(runtime, gate, 1);
    struct tr_job second = start_in(runtime, gate, 2), queued = start_in(runtime, gate, 3);
    wait_until(atomic_load(&gate->started) == 2);
    expect_int(tr_task_spawn(&task, block_until_cancelled, gate, &options), 0);
    test_log_capture(TR_LOG_INFO);
    expect_int(tr_stop(runtime, tr_after(20 * MS)), -ETIMEDOUT);
    expect(test_log_has("blocking job 'gated' still runs"));
    test_log_release();
    expect_int(atomic_load(&gate->dropped_unstarted), 1); /* the one of the task that was cancelled is its own */
    expect_int(tr_job_join(queued, NULL, TR_FOREVER), -ESRCH);
    struct tr_work work = work_of(&(struct request){ gate, 9, 0 });
    work.runtime = runtime;
    expect_int(tr_job_start(NULL, &work, TR_FOREVER), -ECANCELED);
    open_gate(gate);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    expect_int(atomic_load(&gate->dropped), 2);
    expect_int(tr_job_join(second, NULL, TR_FOREVER), -ESRCH);
    expect_int(tr_job_cancel(second), -ESRCH);
}
END_TEST

START_TEST(a_shutdown_drops_results_that_nobody_took)
{
    struct gate *gate = new_gate(true);
    struct tr_runtime *runtime = start(4);
    for (int i = 0; i < 10; i++)
        start_in(runtime, gate, i + 1);
    wait_until(atomic_load(&gate->ended) == 10);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    expect_int(atomic_load(&gate->dropped), 10);
}
END_TEST

struct outside {
    struct tr_runtime *runtime;
    struct gate *gate;
    int64_t value;
    int rc;
    bool started;
};

static void *block_outside(void *argument)
{
    struct outside *outside = argument;
    struct answer answer;
    struct tr_work work = work_of(&(struct request){ outside->gate, outside->value, 0 });
    work.runtime = outside->runtime;
    outside->rc = tr_blocking_raw(&work, &answer, &outside->started, TR_FOREVER);
    return NULL;
}

static void *join_outside(void *argument)
{
    int rc;
    do { /* whoever looks whether we wait may be in the line himself at the moment */
        rc = tr_job_join(*(struct tr_job *)argument, NULL, TR_FOREVER);
    } while (rc == -EINVAL);
    return (void *)(intptr_t)rc;
}

/* Both who waits in a join and who comes to it later are told -ESRCH, and the argument is dropped for both. */
START_TEST(a_shutdown_drops_what_was_queued_whether_or_not_it_is_joined)
{
    struct gate *gate = new_gate(false);
    struct tr_runtime *runtime = start(1);
    start_in(runtime, gate, 1);
    struct tr_job waited = start_in(runtime, gate, 2), later = start_in(runtime, gate, 3);
    pthread_t thread;
    void *rc;
    wait_until(atomic_load(&gate->started) == 1);
    expect_int(pthread_create(&thread, NULL, join_outside, &waited), 0);
    wait_until(tr_job_join(waited, NULL, TR_NOW) == -EINVAL); /* it waits */
    test_log_capture(TR_LOG_INFO);
    expect_int(tr_stop(runtime, tr_after(5 * MS)), -ETIMEDOUT);
    test_log_release();
    expect_int(pthread_join(thread, &rc), 0);
    expect_int((intptr_t)rc, -ESRCH);
    expect_int(tr_job_join(later, NULL, TR_FOREVER), -ESRCH);
    expect_int(atomic_load(&gate->dropped_unstarted), 2);
    open_gate(gate);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    expect_int(atomic_load(&gate->dropped), 1);
}
END_TEST

START_TEST(foreign_callers_are_told_of_the_shutdown)
{
    struct gate *gate = new_gate(false);
    struct tr_runtime *runtime = start(1);
    struct outside outside[3];
    pthread_t threads[3];
    struct tr_blocking_info now;
    for (int i = 0; i < 3; i++) {
        outside[i] = (struct outside){ runtime, gate, i + 1, 7, false };
        expect_int(pthread_create(&threads[i], NULL, block_outside, &outside[i]), 0);
        wait_until((tr_blocking_info(runtime, &now), now.running + now.queued == (uint32_t)i + 1 && now.running == 1));
    }
    test_log_capture(TR_LOG_INFO);
    expect_int(tr_stop(runtime, tr_after(5 * MS)), -ETIMEDOUT);
    test_log_release();
    for (int i = 1; i < 3; i++) {
        expect_int(pthread_join(threads[i], NULL), 0);
        expect_int(outside[i].rc, -ESRCH);
        expect(!outside[i].started);
    }
    open_gate(gate);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    expect_int(pthread_join(threads[0], NULL), 0);
    expect_int(outside[0].rc, 0);
    expect(outside[0].started);
    expect_int(atomic_load(&gate->dropped) + atomic_load(&gate->dropped_unstarted), 0);
}
END_TEST

int main(void)
{
    return test_main("job",
                     TESTS(a_job_that_waits_is_cancelled_one_that_runs_is_not, a_detached_job_gives_its_result_to_drop,
                           one_job_has_one_joiner, a_stale_handle_never_hits_a_stranger,
                           a_scope_left_open_ends_with_its_job, the_handle_of_a_job_refused_is_stale,
                           a_shutdown_names_the_job_it_waits_for, a_shutdown_drops_results_that_nobody_took,
                           a_shutdown_drops_what_was_queued_whether_or_not_it_is_joined,
                           foreign_callers_are_told_of_the_shutdown));
}
