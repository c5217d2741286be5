/* SPDX-License-Identifier: MIT */
/*
 * test_virtual.c: the rest of Troupe on a clock that stands, and under a seed: messages sent later, intervals, delay queues,
 * jobs of the blocking pool, select, locks and groups.
 */
#include "tests/support.h"

#include <pthread.h>

#define HOUR (3600 * TR_SECOND)

#define PAUSED_TEST(name)                                                                                              \
    static void name##_body(void);                                                                                     \
    START_TEST(name)                                                                                                   \
    {                                                                                                                  \
        for (unsigned workers = 1; workers <= 3; workers++) {                                                          \
            struct tr_options options = test_options(workers);                                                         \
            options.clock_paused = true;                                                                               \
            test_run_with(&options, name##_body);                                                                      \
        }                                                                                                              \
    }                                                                                                                  \
    END_TEST                                                                                                           \
    static void name##_body(void)

static int join(struct tr_task task)
{
    int result = INT32_MIN;
    expect_int(tr_task_join(task, &result, TR_FOREVER), 0);
    return result;
}

/* ---- on a clock that stands ----------------------------------------------------------------------------------- */

/* Each message says when it is to come. */
static int expect_in_time(void *argument)
{
    struct number number;
    for (int i = 0; i < (int)(intptr_t)argument; i++) {
        expect_int(tr_receive(&number, TR_FOREVER), 0);
        if (number.kind)
            number.value += i * number.kind;
        expect_int(tr_clock(), number.value);
    }
    return 0;
}

PAUSED_TEST(messages_sent_later_come_at_their_time)
{
    struct tr_task task;
    uint64_t seed = 3;
    struct number_address actor = test_loop(expect_in_time, (void *)100, 128, &task);
    for (int i = 0; i < 100; i++) {
        struct number number = { .value = tr_clock() + (int64_t)(test_random(&seed) % (uint64_t)HOUR) };
        expect_int(tr_send_at(NULL, actor, number.value, &number), 0);
    }
    expect_int(join(task), 0);
}

PAUSED_TEST(messages_of_an_interval_come_on_its_grid)
{
    struct tr_task task;
    struct tr_timer timer;
    tr_time begin = tr_clock();
    struct number_address actor = test_loop(expect_in_time, (void *)50, 4, &task);
    struct number number = { .kind = 777, .value = begin + 777 };
    expect_int(tr_send_interval(&timer, actor, 777, &number), 0);
    expect_int(join(task), 0);
    expect_int(tr_clock(), begin + 50 * 777);
    (void)tr_timer_cancel(timer); /* its target has ended, and it may have found out */
}

PAUSED_TEST(intervals_delays_and_select_keep_time)
{
    struct tr_interval interval;
    struct tr_delay *delay;
    tr_time begin = tr_clock(), scheduled;
    expect_int(tr_interval_init_at(&interval, begin + HOUR, HOUR, TR_MISSED_BURST), 0);
    for (int i = 1; i <= 20; i++) {
        expect_int(tr_interval_tick(&interval, &scheduled, TR_FOREVER), 0);
        expect_int(tr_clock(), begin + i * HOUR);
        expect_int(scheduled, tr_clock());
    }
    expect_int(tr_delay_create(&delay, sizeof(int)), 0);
    for (int i = 10; i > 0; i--)
        expect_int(tr_delay_insert(delay, NULL, tr_clock() + i, &i), 0);
    begin = tr_clock();
    for (int i = 1, value; i <= 10; i++) {
        expect_int(tr_delay_next(delay, &value, TR_FOREVER), 0);
        expect_int(value, i);
        expect_int(tr_clock(), begin + i);
    }
    tr_delay_destroy(delay);
    begin = tr_clock();
    struct tr_case cases[] = { tr_case_never(), tr_case_timer(begin + 2 * HOUR), tr_case_timer(begin + HOUR + 1) };
    expect_int(tr_select(cases, 3, TR_FOREVER, TR_SELECT_FAIR), 2);
    expect_int(tr_clock(), begin + HOUR + 1);
    expect_int(tr_select(cases, 1, tr_after(HOUR), TR_SELECT_FAIR), -ETIMEDOUT);
    expect_int(tr_clock(), begin + 2 * HOUR + 1);
}

static int work(void *argument, void *result)
{
    usleep(2000);
    *(int *)result = *(const int *)argument + 1;
    return 0;
}

static int sleep_an_hour(void *argument)
{
    (void)argument;
    return tr_sleep(HOUR);
}

PAUSED_TEST(jobs_of_the_pool_hold_the_clock)
{
    int argument = 41, result = 0;
    struct tr_work job = { .run = work, .argument = &argument, .argument_bytes = sizeof argument };
    job.result_bytes = sizeof result;
    tr_time begin = tr_clock();
    struct tr_task task = test_task(sleep_an_hour, NULL);
    for (int i = 0; i < 3; i++) {
        expect_int(tr_blocking_raw(&job, &result, NULL, tr_after(HOUR)), 0);
        expect_int(result, 42);
        expect_int(tr_clock(), begin);
    }
    job.result_bytes = sizeof result;
    expect_int(tr_job_start(NULL, &job, TR_FOREVER), 0); /* nobody waits for this one, but it may yet do something */
    expect_int(join(task), 0);
    expect_int(tr_clock(), begin + HOUR);
}

PAUSED_TEST(release_too_many_leaves_a_job_its_hold)
{
    int argument = 41, result = 0;
    struct tr_work work_on = { .run = work, .argument = &argument, .argument_bytes = sizeof argument };
    struct tr_job job;
    work_on.result_bytes = sizeof result;
    tr_time begin = tr_clock();
    struct tr_task task = test_task(sleep_an_hour, NULL);
    expect_int(tr_job_start(&job, &work_on, TR_FOREVER), 0);
    expect_int(tr_clock_hold(NULL), 0);
    expect_int(tr_clock_release(NULL), 0);
    expect_int(tr_clock_release(NULL), -EINVAL);
    expect_int(tr_job_join(job, &result, tr_after(HOUR / 2)), 0);
    expect_int(result, 42);
    expect_int(tr_clock(), begin);
    expect_int(join(task), 0);
}

static int receive_and_tell(void *argument)
{
    struct number number;
    expect_int(tr_receive(&number, TR_FOREVER), 0);
    *(tr_time *)argument = tr_clock();
    return 0;
}

START_TEST(foreign_thread_sends_later_on_the_targets_clock)
{
    struct tr_options options = test_options(2);
    options.clock_paused = true;
    struct tr_runtime *runtime;
    struct tr_task task;
    struct number_address actor;
    tr_time came = 0;
    expect_int(tr_start(&runtime, &options), 0);
    expect_int(tr_clock_advance(runtime, 1000 * HOUR), 0); /* far from the real time */
    tr_time begin = tr_clock_of(runtime);
    struct tr_actor_options how = { .runtime = runtime, .task = &task };
    expect_int(tr_spawn(&actor, receive_and_tell, &came, &how), 0);
    expect_int(tr_send_after(NULL, actor, HOUR, &(struct number){ 0 }), 0);
    expect_int(join(task), 0);
    expect(came > begin + HOUR - LONG_TIME && came <= begin + HOUR);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}
END_TEST

/* ---- under a seed --------------------------------------------------------------------------------------------- */

static struct tr_mutex mutex;
static struct tr_semaphore semaphore;
static struct tr_notify notify;
static int inside, turns[4];

static int worker_body(void *argument)
{
    int self = (int)(intptr_t)argument;
    for (int i = 0; i < 10; i++) {
        struct tr_case cases[] = {
            tr_case_acquire(&semaphore, 1),
            tr_case_notified(&notify),
            tr_case_timer(tr_after((int64_t)tr_random(50) * TR_MICROSECOND)),
        };
        int which = tr_select(cases, 3, TR_FOREVER, TR_SELECT_FAIR);
        if (which < 0)
            return which == -ECANCELED ? 0 : which;
        if (tr_mutex_lock(&mutex, tr_after(TR_SECOND)) < 0)
            return 0;
        expect_int(inside++, 0);
        turns[which]++;
        (void)tr_sleep((int64_t)tr_random(3));
        expect_int(--inside, 0);
        expect_int(tr_mutex_unlock(&mutex), 0);
        if (which == 0)
            expect_int(tr_semaphore_release(&semaphore, 1), 0);
        if (self % 3 == 0)
            tr_notify_one(&notify);
    }
    return 0;
}

static int hard_work(void *argument)
{
    struct tr_group *group;
    (void)argument;
    tr_mutex_init(&mutex);
    tr_notify_init(&notify);
    inside = 0;
    expect_int(tr_semaphore_init(&semaphore, 2), 0);
    expect_int(tr_group_open(&group, NULL), 0);
    for (intptr_t i = 0; i < 12; i++)
        expect_int(tr_group_spawn(group, NULL, worker_body, (void *)i, NULL, TR_FOREVER), 0);
    if (tr_random(2))
        (void)tr_group_wait(group, tr_after(20 * TR_MICROSECOND));
    if (tr_random(2))
        tr_group_cancel(group);
    expect_int(tr_group_close(group, TR_FOREVER), 0);
    return 0;
}

/* Replays also after other seeds, and after a runtime with threads, have been through the pools. */
START_TEST(locks_select_and_groups_replay)
{
    enum { SEEDS = 40 };
    uint64_t digests[SEEDS];
    struct tr_options options = test_options(2);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < SEEDS; i++) {
            struct tr_sim sim = { .seed = (uint64_t)i + 1 };
            expect_int(tr_sim_run(&sim, hard_work, NULL), 0);
            expect(round == 0 || digests[i] == sim.digest);
            digests[i] = sim.digest;
        }
        expect_int(tr_run(&options, hard_work, NULL), 0);
    }
    expect(turns[0] > 0 && turns[1] > 0 && turns[2] > 0);
}
END_TEST

SEED_TEST(locks_exclude_under_every_seed)
{
    expect_int(hard_work(NULL), 0);
}

int main(void)
{
    return test_main("virtual",
                     TESTS(messages_sent_later_come_at_their_time, messages_of_an_interval_come_on_its_grid,
                           intervals_delays_and_select_keep_time, jobs_of_the_pool_hold_the_clock,
                           release_too_many_leaves_a_job_its_hold, foreign_thread_sends_later_on_the_targets_clock,
                           locks_select_and_groups_replay, locks_exclude_under_every_seed));
}
