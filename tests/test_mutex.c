/* SPDX-License-Identifier: MIT */
/*
 * test_mutex.c: the mutex by the promises of troupe/mutex.h: fair, owned, left untouched by waits that fail.
 */
#include "tests/script.h"

#include <pthread.h>

_Static_assert(sizeof(struct tr_mutex) <= 16, "as promised");

enum { LOCK, TRY, UNLOCK, MINE, IS_LOCKED };

static struct tr_mutex mutex = TR_MUTEX_INIT;

static int perform(int operation, int64_t argument, tr_time deadline)
{
    (void)argument;
    switch (operation) {
    case LOCK:
        return tr_mutex_lock(&mutex, deadline);
    case TRY:
        return tr_mutex_try_lock(&mutex);
    case UNLOCK:
        return tr_mutex_unlock(&mutex);
    case MINE:
        return tr_mutex_is_mine(&mutex);
    default:
        return tr_mutex_is_locked(&mutex);
    }
}

static uint64_t *reset(void)
{
    tr_mutex_init(&mutex);
    return &mutex.tri_word;
}

static const struct script_suite suite = { perform, reset };

static const struct script scripts[] = {
    { "locked and unlocked",
      STEPS({ A, IS_LOCKED, 0, 0 }, { A, LOCK, 0, 0 }, { A, MINE, 0, 1 }, { B, MINE, 0, 0 }, { B, IS_LOCKED, 0, 1 },
            { A, UNLOCK, 0, 0 }, { A, IS_LOCKED, 0, 0 }, { A, MINE, 0, 0 }, { B, LOCK, 0, 0 }, { B, UNLOCK, 0, 0 }) },
    { "try", STEPS({ A, TRY, 0, 0 }, { B, TRY, 0, -EAGAIN }, { A, TRY, 0, -EDEADLK }, { A, UNLOCK, 0, 0 },
                   { B, TRY, 0, 0 }, { B, UNLOCK, 0, 0 }) },
    { "no deadline is no wait",
      STEPS({ A, LOCK + AT_ONCE, 0, 0 }, { B, LOCK + AT_ONCE, 0, -ETIMEDOUT }, { A, UNLOCK, 0, 0 }) },
    { "one's own", STEPS({ A, LOCK, 0, 0 }, { A, LOCK, 0, -EDEADLK }, { B, LOCK, 0, WAITS }, { A, LOCK, 0, -EDEADLK },
                         { A, UNLOCK, 0, 0 }, { B, RETURNS, 0, 0 }, { B, LOCK, 0, -EDEADLK }, { B, UNLOCK, 0, 0 }) },
    { "another's", STEPS({ A, UNLOCK, 0, -EINVAL }, { A, LOCK, 0, 0 }, { B, UNLOCK, 0, -EINVAL }, { A, MINE, 0, 1 },
                         { B, LOCK, 0, WAITS }, { C, UNLOCK, 0, -EINVAL }, { B, STILL, 0, WAITS }, { A, UNLOCK, 0, 0 },
                         { B, RETURNS, 0, 0 }, { A, UNLOCK, 0, -EINVAL }, { B, UNLOCK, 0, 0 }) },
    { "an unlock hands over, in order",
      STEPS({ A, LOCK, 0, 0 }, { B, LOCK, 0, WAITS }, { C, LOCK, 0, WAITS }, { D, LOCK, 0, WAITS }, { A, UNLOCK, 0, 0 },
            { B, RETURNS, 0, 0 }, { C, STILL, 0, WAITS }, { D, STILL, 0, WAITS }, { A, TRY, 0, -EAGAIN },
            { A, LOCK, 0, WAITS }, { B, UNLOCK, 0, 0 }, { C, RETURNS, 0, 0 }, { D, STILL, 0, WAITS },
            { C, UNLOCK, 0, 0 }, { D, RETURNS, 0, 0 }, { D, UNLOCK, 0, 0 }, { A, RETURNS, 0, 0 },
            { A, UNLOCK, 0, 0 }) },
    { "who is cancelled loses its place only",
      STEPS({ A, LOCK, 0, 0 }, { B, LOCK, 0, WAITS }, { C, LOCK, 0, WAITS }, { B, CANCEL, 0, -ECANCELED },
            { A, UNLOCK, 0, 0 }, { C, RETURNS, 0, 0 }, { B, LOCK, 0, WAITS }, { C, UNLOCK, 0, 0 }, { B, RETURNS, 0, 0 },
            { B, UNLOCK, 0, 0 }) },
    { "the last in the queue is cancelled",
      STEPS({ A, LOCK, 0, 0 }, { B, LOCK, 0, WAITS }, { B, CANCEL, 0, -ECANCELED }, { A, UNLOCK, 0, 0 },
            { A, IS_LOCKED, 0, 0 }) },
    { "the deadline passes",
      STEPS({ A, LOCK, 0, 0 }, { B, LOCK + BRIEF, 0, MAYBE }, { C, LOCK, 0, WAITS }, { B, RETURNS, 0, -ETIMEDOUT },
            { B, TRY, 0, -EAGAIN }, { A, UNLOCK, 0, 0 }, { C, RETURNS, 0, 0 }, { C, UNLOCK, 0, 0 }) },
    { 0 },
};

TASK_TEST_ON(1, mutex_scripts)
{
    script_run(scripts, &suite);
}

TASK_TEST_ON(1, mutex_cancelled_task_does_not_lock)
{
    tr_task_cancel(tr_task_self());
    expect_int(tr_mutex_lock(&mutex, TR_FOREVER), -ECANCELED);
    expect(!tr_mutex_is_locked(&mutex));
    expect(tr_cancel_taken());
}

/* ---- in a select ---------------------------------------------------------------------------------------------- */

static struct tr_mutex other;

static int select_either(void *argument)
{
    struct tr_case cases[] = { tr_case_lock(&mutex), tr_case_lock(&other) };
    int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_ORDERED);
    expect(which >= 0);
    expect_int(cases[which].result, 0);
    expect_int(tr_mutex_unlock(which == 0 ? &mutex : &other), 0);
    expect(!tr_mutex_is_mine(which == 0 ? &other : &mutex));
    (void)argument;
    return which;
}

TASK_TEST_ON(1, mutex_select_takes_one_and_leaves_the_other)
{
    expect_int(tr_mutex_lock(&mutex, TR_FOREVER), 0);
    expect_int(tr_mutex_lock(&other, TR_FOREVER), 0);
    struct tr_task first = test_task(select_either, NULL), second = test_task(select_either, NULL);
    test_settle();
    expect_int(tr_mutex_unlock(&other), 0);
    expect_int(test_join(first), 1);
    expect_int(test_join(second), 1);
    expect(!tr_mutex_is_locked(&other));
    struct tr_task third = test_task(select_either, NULL);
    expect_int(test_join(third), 1);
    expect_int(tr_mutex_unlock(&mutex), 0);
    expect(!tr_mutex_is_locked(&mutex));
}

TASK_TEST_ON(1, mutex_select_of_ones_own)
{
    struct tr_case c = tr_case_lock(&mutex);
    expect_int(tr_mutex_lock(&mutex, TR_FOREVER), 0);
    expect_int(tr_select(&c, 1, TR_FOREVER, TR_SELECT_FAIR), 0);
    expect_int(c.result, -EDEADLK);
    expect_int(tr_mutex_unlock(&mutex), 0);
}

/* ---- threads, and the home ------------------------------------------------------------------------------------ */

static int64_t counter;

static void *add_in_thread(void *argument)
{
    int64_t count = *(int64_t *)argument;
    for (int64_t i = 0; i < count; i++) {
        expect_int(tr_mutex_lock(&mutex, TR_FOREVER), 0);
        counter++;
        expect_int(tr_mutex_unlock(&mutex), 0);
    }
    return NULL;
}

static int add_in_task(void *argument)
{
    int64_t count = *(int64_t *)argument;
    for (int64_t i = 0; i < count; i++) {
        expect_int(tr_mutex_lock(&mutex, TR_FOREVER), 0);
        int64_t before = counter;
        if (i % 64 == 0)
            tr_yield();
        counter = before + 1;
        expect_int(tr_mutex_unlock(&mutex), 0);
    }
    return 0;
}

/* The mutex is at home on the worker and loses that to threads that come in the middle of it. */
TASK_TEST_ON(1, mutex_loses_its_home_to_threads)
{
    int64_t count = 1000;
    for (int round = 0; round < 20; round++) {
        pthread_t threads[2];
        tr_mutex_init(&mutex);
        counter = 0;
        struct tr_task tasks[] = { test_task(add_in_task, &count), test_task(add_in_task, &count) };
        tr_yield();
        for (int i = 0; i < 2; i++)
            expect_int(pthread_create(&threads[i], NULL, add_in_thread, &count), 0);
        for (int i = 0; i < 2; i++)
            expect_int(test_join(tasks[i]), 0);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        expect_int(counter, 4 * count);
        expect((mutex.tri_word & TRI_HOME_MASK) == TRI_SHARED);
    }
}

TASK_TEST_ON(1, mutex_has_a_home_on_the_only_worker)
{
    expect_int(tr_mutex_lock(&mutex, TR_FOREVER), 0);
    expect_int(tr_mutex_unlock(&mutex), 0);
    expect((mutex.tri_word & TRI_HOME_MASK) > TRI_REVOKED || tri_home() == NULL);
}

TASK_TEST_ON(2, mutex_is_shared_between_workers)
{
    int64_t count = 5000;
    counter = 0;
    struct tr_task tasks[4];
    for (int i = 0; i < 4; i++)
        tasks[i] = test_task(add_in_task, &count);
    for (int i = 0; i < 4; i++)
        expect_int(test_join(tasks[i]), 0);
    expect_int(counter, 4 * count);
    expect_int(mutex.tri_word, TRI_SHARED);
}

START_TEST(mutex_between_threads_without_a_runtime)
{
    pthread_t threads[3];
    int64_t count = 3000;
    counter = 0;
    for (int i = 0; i < 3; i++)
        expect_int(pthread_create(&threads[i], NULL, add_in_thread, &count), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    expect_int(counter, 3 * count);
    expect_int(tr_mutex_lock(&mutex, TR_FOREVER), 0);
    expect_int(tr_mutex_lock(&mutex, TR_FOREVER), -EDEADLK);
    expect_int(tr_mutex_unlock(&mutex), 0);
    expect_int(tr_mutex_unlock(&mutex), -EINVAL);
}
END_TEST

int main(void)
{
    return test_main("mutex", TESTS(mutex_scripts, mutex_cancelled_task_does_not_lock,
                                    mutex_select_takes_one_and_leaves_the_other, mutex_select_of_ones_own,
                                    mutex_loses_its_home_to_threads, mutex_has_a_home_on_the_only_worker,
                                    mutex_is_shared_between_workers, mutex_between_threads_without_a_runtime));
}
