/* SPDX-License-Identifier: MIT */
/*
 * test_memory.c: what a runtime does when the system has no memory for it: it says so, and what can go on does. The limit is
 * that of the address space; under a sanitizer, whose shadow needs more than any, nothing is tested.
 */
#include "tests/support.h"

#include <pthread.h>

static int return_argument(void *argument)
{
    return (int)(intptr_t)argument;
}

/* The thread in tr_run cannot have the record that it needs for a join. */
static int use_up_memory(void *argument)
{
    test_limit_memory(argument);
    return 7;
}

static int count_messages(void *state, void *message)
{
    (void)message;
    ++*(int *)state;
    return 0;
}

/* The table of all mailboxes' storage is mapped when the first message is sent: which fails, and the next one may try again. */
static int send_before_there_is_memory(void *unused)
{
    (void)unused;
    int count = 0;
    struct rlimit before;
    struct number_address actor = test_handler(count_messages, &count, 8, NULL);
    test_limit_memory(&before);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 1 }), -ENOMEM);
    expect_int(setrlimit(RLIMIT_AS, &before), 0);
    for (int i = 0; i < 3; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 1 }), 0);
    while (count < 3)
        tr_yield();
    return 0;
}

START_TEST(send_without_memory_for_the_table_fails_alone)
{
    struct tr_options options = test_options(1);
    if (test_can_limit_memory())
        expect_int(tr_run(&options, send_before_there_is_memory, NULL), 0);
}
END_TEST

/* Records of threads come 64 at a time, and the test's own thread has the first. */
enum { OTHER_THREADS = 63 };

static void *hold_record(void *argument)
{
    tr_sleep(1);
    pthread_barrier_wait(argument);
    pthread_barrier_wait(argument);
    return NULL;
}

struct run {
    uint64_t seed;
    int rc;
};

static void *run_using_up_memory(void *argument)
{
    struct run *run = argument;
    struct tr_options options = test_options(1);
    struct rlimit before;
    options.seed = run->seed;
    run->rc = tr_run(&options, use_up_memory, &before);
    expect_int(setrlimit(RLIMIT_AS, &before), 0);
    return NULL;
}

static void run_on_a_thread_without_a_record(uint64_t seed)
{
    pthread_t threads[OTHER_THREADS], runner;
    pthread_barrier_t barrier;
    struct run run = { .seed = seed };
    if (!test_can_limit_memory())
        return;
    expect_int(pthread_barrier_init(&barrier, NULL, OTHER_THREADS + 1), 0);
    for (int i = 0; i < OTHER_THREADS; i++)
        expect_int(pthread_create(&threads[i], NULL, hold_record, &barrier), 0);
    pthread_barrier_wait(&barrier);
    expect_int(pthread_create(&runner, NULL, run_using_up_memory, &run), 0);
    expect_int(pthread_join(runner, NULL), 0);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < OTHER_THREADS; i++)
        expect_int(pthread_join(threads[i], NULL), 0);
    pthread_barrier_destroy(&barrier);
    expect_int(run.rc, 7);
}

START_TEST(run_without_memory_returns_mains_result)
{
    run_on_a_thread_without_a_record(0);
}
END_TEST

START_TEST(seeded_run_without_memory_returns_mains_result)
{
    run_on_a_thread_without_a_record(1);
}
END_TEST

/* From the moment that the worker has its ring, there is no memory; until it says so. */
static void starve(enum tr_log_level level, const char *line, void *context)
{
    struct rlimit *before = context;
    if (strstr(line, "I/O backend"))
        test_limit_memory(before);
    else if (level == TR_LOG_ERROR)
        expect_int(setrlimit(RLIMIT_AS, before), 0);
}

START_TEST(run_without_memory_for_a_stack_enomem)
{
    struct tr_options options = test_options(1);
    options.stack_bytes = 12 << 20; /* one in a slab: none is left from an earlier start */
    struct rlimit before;
    if (!test_can_limit_memory())
        return;
    tr_log_set(starve, &before, TR_LOG_DEBUG);
    expect_int(tr_run(&options, return_argument, (void *)3), -ENOMEM);
    tr_log_set(NULL, NULL, TR_LOG_INFO);
    expect_int(tr_run(&options, return_argument, (void *)3), 3);
}
END_TEST

static int yield_without_memory(void *argument)
{
    struct rlimit before;
    int result;
    (void)argument;
    test_limit_memory(&before);
    struct tr_task tasks[3];
    for (int i = 0; i < 3; i++)
        tasks[i] = test_task(return_argument, (void *)(intptr_t)i);
    for (int i = 0; i < 3000; i++)
        expect_int(tr_yield(), 0);
    expect_int(setrlimit(RLIMIT_AS, &before), 0);
    for (int i = 0; i < 3; i++) {
        expect_int(tr_task_join(tasks[i], &result, TR_FOREVER), 0);
        expect_int(result, i);
    }
    return 0;
}

/* Each test in a process of its own, where no stack is left from an earlier runtime: one is in a slab, and main has it. */
static void run_with_large_stacks(uint64_t seed, int (*body)(void *argument))
{
    struct tr_options options = test_options(1);
    options.stack_bytes = 12 << 20;
    options.seed = seed;
    if (test_can_limit_memory())
        expect_int(tr_run(&options, body, NULL), 0);
}

/* A task that could go on is not kept by others who cannot begin. */
START_TEST(yield_without_memory_for_a_stack_goes_on)
{
    run_with_large_stacks(0, yield_without_memory);
}
END_TEST

START_TEST(seeded_yield_without_memory_for_a_stack_goes_on)
{
    run_with_large_stacks(1, yield_without_memory);
}
END_TEST

static int sleep_and_note(void *argument)
{
    expect_int(tr_sleep(20 * TR_MILLISECOND), 0);
    atomic_store((atomic_int *)argument, 1);
    return 0;
}

static int sleep_long(void *argument)
{
    (void)argument;
    return tr_sleep(LONG_TIME);
}

static int yield_until_noted(void *argument)
{
    static atomic_int noted;
    struct rlimit before;
    struct tr_task holders[3];
    (void)argument;
    struct tr_task sleeper = test_task(sleep_and_note, &noted);
    expect_int(tr_sleep(TR_MILLISECOND), 0); /* it has its stack */
    test_limit_memory(&before);
    for (int i = 0; i < 3; i++) /* more than there are stacks */
        holders[i] = test_task(sleep_long, NULL);
    tr_time end = tr_clock() + LONG_TIME;
    while (!atomic_load(&noted) && tr_clock() < end)
        expect_int(tr_yield(), 0);
    expect_int(setrlimit(RLIMIT_AS, &before), 0);
    expect(atomic_load(&noted));
    expect_int(test_join(sleeper), 0);
    for (int i = 0; i < 3; i++) {
        expect_int(tr_task_cancel(holders[i]), 0);
        expect_int(test_join(holders[i]), -ECANCELED);
    }
    return 0;
}

START_TEST(yields_without_memory_let_a_sleeper_wake)
{
    run_with_large_stacks(0, yield_until_noted);
}
END_TEST

/*
 * A task of a runtime without threads waits, and there is no memory for a loop to look who else is ready. What another thread
 * or the program itself may do about it, the program must come to do.
 */
enum way_to_wait { RECEIVE, SLEEP, YIELD };

struct waiting {
    enum way_to_wait way;
    bool beside; /* with a task that cannot begin either */
    int turns;
};

static int wait_once(struct waiting *waiting)
{
    uint64_t message;
    int rc = 0;
    if (waiting->way == RECEIVE)
        return tr_receive(&message, TR_FOREVER);
    if (waiting->way == SLEEP)
        return tr_sleep(TR_MILLISECOND); /* without memory for its alarm */
    for (int turns = waiting->turns; rc == 0 && waiting->turns == turns;)
        rc = tr_yield();
    return rc;
}

static int wait_without_memory(void *argument)
{
    struct waiting *waiting = argument;
    struct rlimit before;
    struct tr_task beside;
    uint64_t message;
    expect_int(tr_receive(&message, TR_NOW), 0); /* the mailbox has its ring now */
    test_limit_memory(&before);
    if (waiting->beside)
        beside = test_task(return_argument, (void *)7);
    for (int i = 0; i < 10; i++)
        expect_int(wait_once(waiting), 0);
    expect_int(setrlimit(RLIMIT_AS, &before), 0);
    return waiting->beside ? test_join(beside) : 7;
}

TR_ADDRESS_TYPE(waiter_address, uint64_t);

static void turn_without_memory(bool clock_paused, struct waiting waiting)
{
    struct tr_options options = test_options(1);
    options.stack_bytes = 12 << 20; /* one in a slab: the waiter has it */
    options.clock_paused = clock_paused;
    struct tr_runtime *runtime;
    expect_int(tr_open(&runtime, &options), 0);
    struct tr_task task;
    struct waiter_address waiter;
    struct tr_actor_options actor = { .capacity = 1, .task = &task, .runtime = runtime };
    expect_int(tr_spawn(&waiter, wait_without_memory, &waiting, &actor), 0);
    int rc = tr_try_send(waiter, &(uint64_t){ 0 }), result = 0;
    expect_int(rc, 0);
    while ((rc = tr_task_join(task, &result, TR_NOW)) == -ETIMEDOUT) {
        expect(tr_turn(runtime, tr_clock() + TR_MILLISECOND) >= 0);
        waiting.turns++;
        if (waiting.way == RECEIVE)
            tr_try_send(waiter, &(uint64_t){ 1 });
    }
    expect_int(rc, 0);
    expect_int(result, 7);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}

/* Each in a process of its own, as above. */
#define TURN_TEST(name, clock_paused, ...)                                                                             \
    START_TEST(name)                                                                                                   \
    {                                                                                                                  \
        if (test_can_limit_memory())                                                                                   \
            turn_without_memory(clock_paused, (struct waiting){ __VA_ARGS__ });                                        \
    }                                                                                                                  \
    END_TEST

TURN_TEST(turn_comes_back_from_a_receive, false, .way = RECEIVE)
TURN_TEST(turn_comes_back_from_a_receive_paused, true, .way = RECEIVE)
TURN_TEST(turn_comes_back_from_a_sleep, false, .way = SLEEP)
TURN_TEST(turn_comes_back_from_a_yield, false, .way = YIELD)
TURN_TEST(turn_comes_back_from_a_receive_beside, false, .way = RECEIVE, .beside = true)
TURN_TEST(turn_comes_back_from_a_sleep_beside, false, .way = SLEEP, .beside = true)
TURN_TEST(turn_comes_back_from_a_yield_beside, false, .way = YIELD, .beside = true)
TURN_TEST(turn_comes_back_from_a_yield_beside_paused, true, .way = YIELD, .beside = true)

static int sleep_without_memory(void *argument)
{
    test_limit_memory(argument);
    return tr_sleep(10 * TR_MILLISECOND);
}

static int join_in_turns(struct tr_runtime *runtime, struct tr_task task)
{
    int rc, result = 0;
    while ((rc = tr_task_join(task, &result, TR_NOW)) == -ETIMEDOUT)
        expect(tr_turn(runtime, TR_NOW) >= 0);
    expect_int(rc, 0);
    return result;
}

/* A loop that stands on a small stack meets a task that needs a usual one: that is no task of a size of its own, which would end. */
START_TEST(a_task_waits_for_a_stack_also_beside_small_ones)
{
    struct tr_options options = test_options(1);
    options.stack_bytes = 12 << 20;
    struct tr_runtime *runtime;
    struct tr_task sleeper, usual, small;
    struct rlimit before;
    if (!test_can_limit_memory())
        return;
    expect_int(tr_open(&runtime, &options), 0);
    struct tr_task_options of_usual = { .runtime = runtime }, of_small = { .runtime = runtime, .stack_bytes = 8192 };
    expect_int(tr_task_spawn(&small, return_argument, (void *)5, &of_small), 0);
    expect_int(join_in_turns(runtime, small), 5);
    expect_int(tr_task_spawn(&sleeper, sleep_without_memory, &before, &of_usual), 0);
    for (int i = 0; i < 3; i++)
        expect(tr_turn(runtime, TR_NOW) >= 0);
    expect_int(tr_task_spawn(&usual, return_argument, (void *)6, &of_usual), 0);
    expect_int(tr_task_spawn(&small, return_argument, (void *)7, &of_small), 0);
    for (int i = 0; i < 3; i++)
        expect(tr_turn(runtime, TR_NOW) >= 0);
    expect_int(setrlimit(RLIMIT_AS, &before), 0);
    expect_int(join_in_turns(runtime, usual), 6);
    expect_int(join_in_turns(runtime, small), 7);
    expect_int(join_in_turns(runtime, sleeper), 0);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}
END_TEST

/* One of a size of its own ends, and one for which the loop stands on a stack that fits begins there. */
static int join_others_without_memory(void *argument)
{
    struct tr_task_options of_own = { .stack_bytes = 24 << 20 }, of_other = { .stack_bytes = 6 << 20 };
    struct tr_task usual, own, other;
    struct rlimit before;
    int result;
    (void)argument;
    expect_int(tr_task_spawn(&own, return_argument, (void *)3, &of_own), 0);
    expect_int(test_join(own), 3);
    expect_int(test_join(test_task(return_argument, (void *)2)), 2); /* one usual stack beside ours */
    test_limit_memory(&before);
    expect_int(tr_task_spawn(&other, return_argument, (void *)4, &of_other), 0);
    expect_int(tr_task_join(other, &result, TR_FOREVER), 0);
    expect_int(result, -ENOMEM);
    struct tr_task holder = test_task(sleep_long, NULL); /* has it from now on */
    expect_int(tr_yield(), 0);
    usual = test_task(return_argument, (void *)5);
    expect_int(tr_task_spawn(&own, return_argument, (void *)6, &of_own), 0);
    expect_int(test_join(own), 6);
    expect_int(setrlimit(RLIMIT_AS, &before), 0);
    expect_int(test_join(usual), 5);
    expect_int(tr_task_cancel(holder), 0);
    expect_int(test_join(holder), -ECANCELED);
    return 0;
}

START_TEST(joins_without_memory_for_stacks_of_other_sizes)
{
    run_with_large_stacks(0, join_others_without_memory);
}
END_TEST

static struct rlimit before_limit;

/* Joins a task that cannot begin: it needs a stack of its own while we wait on ours. */
static int join_without_memory(void *argument)
{
    int result;
    struct tr_task task = test_task(return_argument, argument);
    test_limit_memory(&before_limit);
    int rc = tr_task_join(task, &result, TR_FOREVER);
    return rc < 0 ? rc : result;
}

START_TEST(turn_without_memory_for_any_stack_enomem)
{
    struct tr_options options = test_options(1);
    options.stack_bytes = 12 << 20;
    if (!test_can_limit_memory())
        return;
    struct tr_runtime *runtime;
    expect_int(tr_open(&runtime, &options), 0);
    struct tr_task task;
    struct tr_task_options own = { .runtime = runtime };
    expect_int(tr_task_spawn(&task, join_without_memory, (void *)3, &own), 0);
    while (tr_turn(runtime, TR_NOW) != -ENOMEM)
        ;
    expect_int(tr_turn(runtime, TR_NOW), -ENOMEM);
    expect_int(setrlimit(RLIMIT_AS, &before_limit), 0);
    expect_int(join_in_turns(runtime, task), 3);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}
END_TEST

/* There is nobody who could do something about it. */
START_TEST(seeded_run_without_memory_for_a_stack_enomem)
{
    struct tr_options options = test_options(1);
    options.stack_bytes = 12 << 20;
    options.seed = 1;
    options.shutdown_ns = 10 * TR_MILLISECOND;
    if (!test_can_limit_memory())
        return;
    expect_int(tr_run(&options, join_without_memory, NULL), -ENOMEM);
}
END_TEST

int main(void)
{
    return test_main("memory",
                     TESTS(send_without_memory_for_the_table_fails_alone, run_without_memory_returns_mains_result,
                           seeded_run_without_memory_returns_mains_result, run_without_memory_for_a_stack_enomem,
                           yield_without_memory_for_a_stack_goes_on, seeded_yield_without_memory_for_a_stack_goes_on,
                           yields_without_memory_let_a_sleeper_wake, turn_comes_back_from_a_receive,
                           turn_comes_back_from_a_receive_paused, turn_comes_back_from_a_sleep,
                           turn_comes_back_from_a_yield, turn_comes_back_from_a_receive_beside,
                           turn_comes_back_from_a_sleep_beside, turn_comes_back_from_a_yield_beside,
                           turn_comes_back_from_a_yield_beside_paused, joins_without_memory_for_stacks_of_other_sizes,
                           a_task_waits_for_a_stack_also_beside_small_ones, turn_without_memory_for_any_stack_enomem,
                           seeded_run_without_memory_for_a_stack_enomem));
}
