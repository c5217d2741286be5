/* SPDX-License-Identifier: MIT */
/*
 * test_condition.c: the condition variable by the promises of troupe/condition.h: no signal lost between the look and the wait,
 * and the mutex locked again whatever the wait returns.
 */
#include "tests/script.h"

#include <pthread.h>

_Static_assert(sizeof(struct tr_condition) <= 16, "as promised");

enum { LOCK, UNLOCK, MINE, WAIT, SIGNAL, SIGNAL_ALL };

static struct tr_mutex mutex = TR_MUTEX_INIT;
static struct tr_condition condition = TR_CONDITION_INIT;

static int perform(int operation, int64_t argument, tr_time deadline)
{
    (void)argument;
    switch (operation) {
    case LOCK:
        return tr_mutex_lock(&mutex, deadline);
    case UNLOCK:
        return tr_mutex_unlock(&mutex);
    case MINE:
        return tr_mutex_is_mine(&mutex);
    case WAIT:
        return tr_condition_wait(&condition, &mutex, deadline);
    case SIGNAL:
        tr_condition_signal(&condition);
        return 0;
    default:
        tr_condition_signal_all(&condition);
        return 0;
    }
}

static uint64_t *reset(void)
{
    tr_mutex_init(&mutex);
    tr_condition_init(&condition);
    return &condition.tri_word;
}

static const struct script_suite suite = { perform, reset };

static const struct script scripts[] = {
    { "a wait lets the mutex go, and has it again",
      STEPS({ A, LOCK, 0, 0 }, { A, WAIT, 0, WAITS }, { B, LOCK, 0, 0 }, { B, SIGNAL, 0, 0 }, { A, STILL, 0, WAITS },
            { B, UNLOCK, 0, 0 }, { A, RETURNS, 0, 0 }, { A, MINE, 0, 1 }, { A, UNLOCK, 0, 0 }) },
    { "signals are not stored", STEPS({ B, SIGNAL, 0, 0 }, { A, LOCK, 0, 0 }, { A, WAIT, 0, WAITS },
                                      { B, SIGNAL, 0, 0 }, { A, RETURNS, 0, 0 }, { A, UNLOCK, 0, 0 }) },
    { "all, if any", STEPS({ B, SIGNAL_ALL, 0, 0 }, { A, LOCK, 0, 0 }, { A, WAIT, 0, WAITS }, { B, SIGNAL_ALL, 0, 0 },
                           { A, RETURNS, 0, 0 }, { A, UNLOCK, 0, 0 }) },
    { "one for one, in order",
      STEPS({ A, LOCK, 0, 0 }, { A, WAIT, 0, WAITS }, { B, LOCK, 0, 0 }, { B, WAIT, 0, WAITS }, { C, SIGNAL, 0, 0 },
            { A, RETURNS, 0, 0 }, { B, STILL, 0, WAITS }, { A, UNLOCK, 0, 0 }, { B, STILL, 0, WAITS },
            { C, SIGNAL, 0, 0 }, { B, RETURNS, 0, 0 }, { B, UNLOCK, 0, 0 }) },
    { "cancelled: locked again, and first waiting for that",
      STEPS({ A, LOCK, 0, 0 }, { A, WAIT, 0, WAITS }, { B, LOCK, 0, 0 }, { A, CANCEL, 0, WAITS }, { B, UNLOCK, 0, 0 },
            { A, RETURNS, 0, -ECANCELED }, { A, MINE, 0, 1 }, { C, SIGNAL, 0, 0 }, { A, UNLOCK, 0, 0 }) },
    { "cancelled after the signal: it was signalled",
      STEPS({ A, LOCK, 0, 0 }, { A, WAIT, 0, WAITS }, { B, LOCK, 0, 0 }, { B, SIGNAL, 0, 0 }, { A, CANCEL, 0, WAITS },
            { B, UNLOCK, 0, 0 }, { A, RETURNS, 0, 0 }, { A, UNLOCK, 0, 0 }) },
    { "cancelled: the signal goes to the next",
      STEPS({ A, LOCK, 0, 0 }, { A, WAIT, 0, WAITS }, { B, LOCK, 0, 0 }, { B, WAIT, 0, WAITS },
            { A, CANCEL, 0, -ECANCELED }, { A, UNLOCK, 0, 0 }, { C, SIGNAL, 0, 0 }, { B, RETURNS, 0, 0 },
            { B, UNLOCK, 0, 0 }) },
    { "out of time: locked again",
      STEPS({ A, LOCK, 0, 0 }, { A, WAIT + BRIEF, 0, MAYBE }, { A, RETURNS, 0, -ETIMEDOUT }, { A, MINE, 0, 1 },
            { A, WAIT + AT_ONCE, 0, -ETIMEDOUT }, { A, MINE, 0, 1 }, { A, UNLOCK, 0, 0 }) },
    { "not one's own", STEPS({ A, WAIT, 0, -EINVAL }, { B, LOCK, 0, 0 }, { A, WAIT, 0, -EINVAL }, { A, MINE, 0, 0 },
                             { B, UNLOCK, 0, 0 }) },
    { 0 },
};

TASK_TEST_ON(1, condition_scripts)
{
    script_run(scripts, &suite);
}

TASK_TEST_ON(1, condition_cancelled_task_keeps_the_mutex)
{
    expect_int(tr_mutex_lock(&mutex, TR_FOREVER), 0);
    tr_task_cancel(tr_task_self());
    expect_int(tr_condition_wait(&condition, &mutex, TR_FOREVER), -ECANCELED);
    expect(tr_mutex_is_mine(&mutex));
    expect_int(tr_mutex_unlock(&mutex), 0);
    expect(tr_cancel_taken());
}

static int wait_once(void *argument)
{
    (void)argument;
    expect_int(tr_mutex_lock(&mutex, TR_FOREVER), 0);
    expect_int(tr_condition_wait(&condition, &mutex, TR_FOREVER), 0);
    expect(tr_mutex_is_mine(&mutex));
    tr_yield();
    expect(tr_mutex_is_mine(&mutex));
    return tr_mutex_unlock(&mutex);
}

TASK_TEST_ON(1, condition_signal_all_wakes_all_one_after_the_other)
{
    struct tr_task tasks[40];
    for (int i = 0; i < 40; i++)
        tasks[i] = test_task(wait_once, NULL);
    for (int i = 0; i < 4; i++)
        test_settle();
    expect_int(tr_mutex_lock(&mutex, TR_FOREVER), 0);
    tr_condition_signal_all(&condition);
    test_settle();
    expect_int(tr_mutex_unlock(&mutex), 0);
    for (int i = 0; i < 40; i++)
        expect_int(test_join(tasks[i]), 0);
}

/* ---- a bounded queue of one, between tasks and threads ---------------------------------------------------------- */

enum { ITEMS = 2000 };

static struct tr_condition filled, emptied;
static int64_t item, taken_sum;
static int taken_count;

static void put(int64_t value)
{
    expect_int(tr_mutex_lock(&mutex, TR_FOREVER), 0);
    while (item)
        expect_int(tr_condition_wait(&emptied, &mutex, tr_after(LONG_TIME)), 0);
    item = value;
    tr_condition_signal(&filled);
    expect_int(tr_mutex_unlock(&mutex), 0);
}

static bool take(void)
{
    expect_int(tr_mutex_lock(&mutex, TR_FOREVER), 0);
    while (!item && taken_count < 2 * ITEMS)
        expect_int(tr_condition_wait(&filled, &mutex, tr_after(LONG_TIME)), 0);
    bool got = item != 0;
    if (got) {
        taken_sum += item;
        item = 0;
        if (++taken_count == 2 * ITEMS)
            tr_condition_signal_all(&filled);
        tr_condition_signal(&emptied);
    }
    expect_int(tr_mutex_unlock(&mutex), 0);
    return got;
}

static void *put_in_thread(void *argument)
{
    for (int i = 1; i <= ITEMS; i++)
        put(i);
    return argument;
}

static int put_in_task(void *argument)
{
    put_in_thread(argument);
    return 0;
}

static void *take_in_thread(void *argument)
{
    while (take())
        ;
    return argument;
}

static int take_in_task(void *argument)
{
    take_in_thread(argument);
    return 0;
}

TASK_TEST(condition_between_tasks_and_threads)
{
    pthread_t puts, takes;
    struct tr_task tasks[] = { test_task(put_in_task, NULL), test_task(take_in_task, NULL) };
    expect_int(pthread_create(&puts, NULL, put_in_thread, NULL), 0);
    expect_int(pthread_create(&takes, NULL, take_in_thread, NULL), 0);
    for (int i = 0; i < 2; i++)
        expect_int(test_join(tasks[i]), 0);
    pthread_join(puts, NULL);
    pthread_join(takes, NULL);
    expect_int(taken_count, 2 * ITEMS);
    expect_int(taken_sum, (int64_t)ITEMS * (ITEMS + 1));
}

int main(void)
{
    return test_main("condition",
                     TESTS(condition_scripts, condition_cancelled_task_keeps_the_mutex,
                           condition_signal_all_wakes_all_one_after_the_other, condition_between_tasks_and_threads));
}
