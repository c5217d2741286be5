/* SPDX-License-Identifier: MIT */
/*
 * test_blocking.c: work for threads that may block, by the promises of troupe/blocking.h: what a caller gets, bounded
 * threads and queue, room in turn, deadlines that leave an orphan or nothing.
 */
#include "tests/jobs.h"

#include <sys/stat.h>

/* ---- calling -------------------------------------------------------------------------------------------------- */

/* What run returns, and what the caller gets: never a negative number. */
static const struct {
    int outcome, got;
} outcomes[] = { { 0, 0 },
                 { 1, 1 },
                 { -1, 1 },
                 { ENOENT, ENOENT },
                 { -ENOENT, ENOENT },
                 { INT32_MAX, INT32_MAX },
                 { -INT32_MAX, INT32_MAX },
                 { INT32_MIN, INT32_MAX } };

TASK_TEST(a_call_returns_what_the_job_returned)
{
    struct gate *gate = new_gate(true);
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
        struct answer answer = { .value = 77 };
        struct request request = { gate, (int64_t)i + 1, outcomes[i].outcome };
        expect_int(tr_blocking(pass_gate, &request, &answer, TR_FOREVER), outcomes[i].got);
        expect_int(answer.value, 2 * ((int64_t)i + 1));
        expect_int(answer.more[0], (char)(i + 1));
    }
    expect_int(atomic_load(&gate->dropped), 0);
}

static int add_bytes(void *argument, void *result)
{
    unsigned char *bytes = argument;
    uint64_t sum = 0;
    for (size_t i = 0; i < 3 * 1024 * 1024; i++)
        sum += bytes[i];
    *(uint64_t *)result = sum;
    expect_int((int64_t)((uintptr_t)result % 16), 0);
    expect_int((int64_t)((uintptr_t)argument % 16), 0);
    expect_int(tr_worker_index(), -1);
    return 0;
}

static int nothing(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return 3;
}

TASK_TEST(arguments_of_any_size_and_none)
{
    struct tr_work work = { .run = nothing };
    expect_int(tr_blocking_raw(&work, NULL, NULL, TR_FOREVER), 3);
    unsigned char *bytes = malloc(3 * 1024 * 1024);
    uint64_t sum = 0;
    memset(bytes, 5, 3 * 1024 * 1024);
    work = (struct tr_work){
        .run = add_bytes, .argument = bytes, .argument_bytes = 3 * 1024 * 1024, .result_bytes = sizeof sum
    };
    expect_int(tr_blocking_raw(&work, &sum, NULL, TR_FOREVER), 0);
    expect_int((int64_t)sum, INT64_C(5) * 3 * 1024 * 1024);
    free(bytes);
}

TASK_TEST(wrong_work_is_refused)
{
    struct tr_job job;
    char byte = 0;
    static const struct tr_work none, null_argument = { .run = nothing, .argument_bytes = 1 };
    struct tr_work huge = { .run = nothing, .argument = &byte, .argument_bytes = TR_JOB_LIMIT + 1 };
    struct tr_work huge_result = { .run = nothing, .result_bytes = TR_JOB_LIMIT + 1 };
    const struct tr_work *wrong[] = { &none, &null_argument, &huge, &huge_result };
    for (int i = 0; i < 4; i++) {
        expect_int(tr_blocking_raw(wrong[i], NULL, NULL, TR_FOREVER), -EINVAL);
        expect_int(tr_job_start(&job, wrong[i], TR_FOREVER), -EINVAL);
    }
    expect_int(tr_job_join((struct tr_job){ 0 }, NULL, TR_FOREVER), -ESRCH);
    expect_int(tr_job_cancel((struct tr_job){ 0 }), -ESRCH);
    expect_int(tr_job_detach((struct tr_job){ 0 }), -ESRCH);
}

START_TEST(options_out_of_range_are_refused)
{
    struct tr_runtime *runtime;
    struct tr_options many = { .blocking_threads = 4097 }, long_queue = { .blocking_queue = (1u << 24) + 1 },
                      negative = { .blocking_idle_ns = -1 };
    expect_int(tr_start(&runtime, &many), -EINVAL);
    expect_int(tr_start(&runtime, &long_queue), -EINVAL);
    expect_int(tr_start(&runtime, &negative), -EINVAL);
    expect_int(tr_blocking(nothing, &(char){ 0 }, &(char){ 0 }, TR_FOREVER), -EINVAL); /* no runtime */
    expect_int(tr_blocking_info(NULL, &(struct tr_blocking_info){ 0 }), -EINVAL);
}
END_TEST

/* ---- threads and the queue ------------------------------------------------------------------------------------ */

POOL_TEST(threads_are_bounded_and_jobs_start_in_order, 2, 20, 0)
{
    struct gate *gate = new_gate(false);
    struct tr_job jobs[12];
    for (int i = 0; i < 12; i++) {
        jobs[i] = start_job(gate, i + 1, TR_NOW);
        if (i < 2)
            wait_until(atomic_load(&gate->started) == i + 1);
    }
    expect_int(info().threads, 2);
    expect_int(info().running, 2);
    expect_int(info().queued, 10);
    open_gate(gate);
    for (int i = 11; i >= 0; i--)
        expect_int(join_job(jobs[i]), 2 * (i + 1));
    expect_int(atomic_load(&gate->ended), 12);
    expect_int(gate->seen[0], 1);
    expect_int(gate->seen[1], 2);
    for (int i = 0; i < 12; i++) /* two at a time: no one overtakes by more than one */
        expect(gate->seen[i] >= i && gate->seen[i] <= i + 2);
    wait_until(info().idle == 2);
}

/* One thread, a queue of one: callers wait for room in their order. */
static struct gate *common;

static int start_in_turn(void *argument)
{
    struct tr_job job;
    struct tr_work work = work_of(&(struct request){ common, (intptr_t)argument, 0 });
    int rc = tr_job_start(&job, &work, TR_FOREVER);
    return rc < 0 ? rc : (int)join_job(job);
}

POOL_TEST(a_full_queue_makes_callers_wait_in_turn, 1, 1, 0)
{
    common = new_gate(false);
    struct tr_task tasks[6];
    for (int i = 0; i < 6; i++) {
        tasks[i] = test_task(start_in_turn, (void *)(intptr_t)(i + 1));
        if (i == 0)
            wait_until(info().running == 1);
        else if (i == 1)
            wait_until(info().queued == 1);
        else
            wait_until(info().waiting == (uint32_t)i - 1);
    }
    struct tr_work work = work_of(&(struct request){ common, 9, 0 });
    struct tr_job job;
    expect_int(tr_job_start(&job, &work, TR_NOW), -ETIMEDOUT);
    tr_time until = tr_clock() + MS;
    expect_int(tr_job_start(&job, &work, until), -ETIMEDOUT);
    expect(tr_clock() >= until);
    expect_int(info().waiting, 4);
    expect_int(tr_task_cancel(tasks[3]), 0); /* out of the middle of the line */
    expect_int(test_join(tasks[3]), -ECANCELED);
    open_gate(common);
    for (int i = 0; i < 6; i++)
        if (i != 3)
            expect_int(test_join(tasks[i]), 2 * (i + 1));
    static const int64_t order[] = { 1, 2, 3, 5, 6 };
    for (int i = 0; i < 5; i++)
        expect_int(common->seen[i], order[i]);
    expect_int(atomic_load(&common->started), 5);
}

POOL_TEST(threads_without_work_end, 4, 16, 2 * MS)
{
    for (int turn = 0; turn < 3; turn++) {
        struct gate *gate = new_gate(false);
        struct tr_job jobs[4];
        for (int i = 0; i < 4; i++)
            jobs[i] = start_job(gate, i + 1, TR_FOREVER);
        wait_until(info().running == 4);
        open_gate(gate);
        for (int i = 0; i < 4; i++)
            join_job(jobs[i]);
        wait_until(info().threads == 0);
        expect_int(info().idle, 0);
    }
}

POOL_TEST(an_idle_thread_is_used_again, 8, 16, 0)
{
    struct gate *gate = new_gate(true);
    for (int i = 0; i < 50; i++) {
        expect_int(join_job(start_job(gate, 1, TR_FOREVER)), 2);
        wait_until(info().idle == info().threads);
    }
    expect_int(info().threads, 1);
}

/* ---- deadlines ------------------------------------------------------------------------------------------------ */

POOL_TEST(a_deadline_leaves_an_orphan_or_nothing, 1, 8, 0)
{
    struct gate *gate = new_gate(false);
    struct answer answer = { .value = -5 };
    struct request request = { gate, 4, 0 };
    struct tr_work work = work_of(&request);
    bool started = true;
    expect_int(tr_blocking_raw(&work, &answer, &started, TR_NOW), -ETIMEDOUT); /* not even tried */
    expect(!started);
    expect_int(tr_blocking_raw(&work, &answer, &started, tr_clock() - TR_SECOND), -ETIMEDOUT);
    expect(!started);
    expect_int(info().threads, 0);
    tr_time until;
    do { /* until it has started by its deadline, the thread being new */
        until = tr_clock() + 2 * MS;
        expect_int(tr_blocking_raw(&work, &answer, &started, until), -ETIMEDOUT);
        expect(tr_clock() >= until);
    } while (!started);
    request.value = 8; /* the job has its copy */
    expect_int(info().running, 1);
    until = tr_clock() + MS; /* the thread is taken: this one stays in the queue until its deadline */
    expect_int(tr_blocking_raw(&work, &answer, &started, until), -ETIMEDOUT);
    expect(!started && tr_clock() >= until);
    expect_int(info().queued, 0);
    expect_int(answer.value, -5);
    open_gate(gate);
    wait_until(atomic_load(&gate->dropped) == 1);
    expect_int(atomic_load(&gate->dropped_unstarted), 0);
    expect_int(atomic_load(&gate->started), 1);
    expect_int(answer.value, -5);
    expect_int(tr_blocking_raw(&work, &answer, &started, TR_FOREVER), 0);
    expect(started);
    expect_int(answer.value, 16);
}

POOL_TEST(a_cancelled_task_goes_on_at_once, 1, 8, 0)
{
    struct gate *gate = new_gate(false);
    struct tr_task first = test_task(block_until_cancelled, gate);
    wait_until(atomic_load(&gate->started) == 1);
    struct tr_task second = test_task(block_until_cancelled, gate);
    wait_until(info().queued == 1);
    expect_int(tr_task_cancel(second), 0);
    expect_int(test_join(second), 100);
    expect_int(tr_task_cancel(first), 0);
    expect_int(test_join(first), 101);
    expect_int(info().queued, 0);
    expect_int(info().running, 1);
    struct tr_shield shield; /* inside a shield it is waited for, by the shield's deadline */
    expect_int(tr_task_cancel(tr_task_self()), 0);
    expect_int(tr_blocking(nothing, &(char){ 0 }, &(char){ 0 }, TR_FOREVER), -ECANCELED);
    tr_shield_open(&shield, tr_after(MS));
    expect_int(tr_blocking(nothing, &(char){ 0 }, &(char){ 0 }, TR_FOREVER), -ETIMEDOUT);
    tr_shield_close(&shield);
    expect(tr_cancel_taken());
    open_gate(gate);
    wait_until(atomic_load(&gate->dropped) == 1);
}

/* ---- no threads ----------------------------------------------------------------------------------------------- */

/* Where memory is limited no thread's stack can be mapped. */
POOL_TEST(no_thread_to_be_had_is_said, 4, 8, MS)
{
    struct rlimit before;
    struct gate *gate = new_gate(true);
    struct tr_work work = work_of(&(struct request){ gate, 1, 0 });
    struct tr_job job;
    bool started = true;
    if (!test_can_limit_memory())
        return;
    test_limit_memory(&before);
    void *probe = malloc(2 * sizeof(struct answer)); /* it is threads that are not to be had, not memory */
    int rc = tr_blocking_raw(&work, NULL, &started, TR_FOREVER);
    int rc2 = tr_job_start(&job, &work, TR_FOREVER);
    int rc3 = tr_job_start(NULL, &work, TR_FOREVER);
    expect_int(setrlimit(RLIMIT_AS, &before), 0);
    expect(probe);
    free(probe);
    expect_int(rc, -ENOMEM);
    expect_int(rc2, -ENOMEM);
    expect_int(rc3, -ENOMEM);
    expect(!started);
    expect_int(atomic_load(&gate->started) + atomic_load(&gate->dropped_unstarted), 0);
    expect_int(info().queued + info().threads, 0);
    expect_int(join_job(start_job(gate, 7, TR_NOW)), 14);
}

static unsigned threads_of_process(void)
{
    struct stat tasks;
    expect_int(stat("/proc/self/task", &tasks), 0);
    return (unsigned)tasks.st_nlink;
}

/* The stack of a thread that has ended, also for the kernel, is kept by libc, so that one can be made: it serves all. */
POOL_TEST(no_more_threads_leave_the_work_to_those_there_are, 4, 8, MS)
{
    struct rlimit before;
    struct gate *gate = new_gate(false), *open = new_gate(true);
    struct tr_job jobs[4];
    if (!test_can_limit_memory())
        return;
    unsigned threads = threads_of_process();
    join_job(start_job(open, 1, TR_NOW));
    wait_until(info().threads == 0 && threads_of_process() <= threads);
    test_limit_memory(&before);
    for (int i = 0; i < 4; i++)
        jobs[i] = start_job(gate, i + 1, TR_NOW);
    wait_until(atomic_load(&gate->started) == 1);
    struct tr_blocking_info now = info();
    expect_int(setrlimit(RLIMIT_AS, &before), 0);
    expect_int(now.threads, 1);
    expect_int(now.queued, 3);
    open_gate(gate);
    for (int i = 0; i < 4; i++)
        expect_int(join_job(jobs[i]), 2 * (i + 1));
}

/* A job is a foreign thread: it may send and call. */
static int ask_from_job(void *argument, void *result)
{
    struct number_address address = *(struct number_address *)argument;
    return tr_call(address, (int64_t *)result, TR_FOREVER, &(struct number){ .value = 20 });
}

static int echo(void *state, void *message)
{
    (void)state;
    int64_t twice = 2 * ((struct number *)message)->value;
    return tr_reply(((struct number *)message)->reply, &twice);
}

TASK_TEST(a_job_may_call_actors)
{
    struct number_address address = test_handler(echo, NULL, 4, NULL);
    int64_t answer = 0;
    expect_int(tr_blocking(ask_from_job, &address, &answer, TR_FOREVER), 0);
    expect_int(answer, 40);
}

int main(void)
{
    return test_main("blocking",
                     TESTS(a_call_returns_what_the_job_returned, arguments_of_any_size_and_none, wrong_work_is_refused,
                           options_out_of_range_are_refused, threads_are_bounded_and_jobs_start_in_order,
                           a_full_queue_makes_callers_wait_in_turn, threads_without_work_end,
                           an_idle_thread_is_used_again, a_deadline_leaves_an_orphan_or_nothing,
                           a_cancelled_task_goes_on_at_once, no_thread_to_be_had_is_said,
                           no_more_threads_leave_the_work_to_those_there_are, a_job_may_call_actors));
}
