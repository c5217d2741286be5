/* SPDX-License-Identifier: MIT */
/*
 * test_semaphore.c: the semaphore by the promises of troupe/semaphore.h: fair also to those who want many, closed for ever,
 * nothing taken by waits that fail.
 */
#include "tests/script.h"

#include <pthread.h>

_Static_assert(sizeof(struct tr_semaphore) <= 24, "as promised");

enum { ACQUIRE, TRY, RELEASE, FORGET, CLOSE, IS_CLOSED, AVAILABLE };

static struct tr_semaphore semaphore = TR_SEMAPHORE_INIT(2);

static int perform(int operation, int64_t argument, tr_time deadline)
{
    switch (operation) {
    case ACQUIRE:
        return tr_semaphore_acquire(&semaphore, (uint64_t)argument, deadline);
    case TRY:
        return tr_semaphore_try_acquire(&semaphore, (uint64_t)argument);
    case RELEASE:
        return tr_semaphore_release(&semaphore, (uint64_t)argument);
    case FORGET:
        return (int)tr_semaphore_forget(&semaphore, (uint64_t)argument);
    case CLOSE:
        tr_semaphore_close(&semaphore);
        return 0;
    case IS_CLOSED:
        return tr_semaphore_is_closed(&semaphore);
    default:
        return (int)tr_semaphore_available(&semaphore);
    }
}

/* With two permits. */
static uint64_t *reset(void)
{
    expect_int(tr_semaphore_init(&semaphore, 2), 0);
    return &semaphore.tri_word;
}

static const struct script_suite suite = { perform, reset };

static const struct script scripts[] = {
    { "taken and given",
      STEPS({ A, AVAILABLE, 0, 2 }, { A, ACQUIRE, 1, 0 }, { A, AVAILABLE, 0, 1 }, { B, ACQUIRE, 1, 0 },
            { A, AVAILABLE, 0, 0 }, { C, RELEASE, 2, 0 }, { A, AVAILABLE, 0, 2 }) },
    { "try", STEPS({ A, TRY, 3, -EAGAIN }, { A, TRY, 2, 0 }, { A, TRY, 1, -EAGAIN }, { A, TRY, 0, 0 },
                   { A, RELEASE, 1, 0 }, { B, TRY, 1, 0 }) },
    { "no deadline is no wait", STEPS({ A, ACQUIRE + AT_ONCE, 2, 0 }, { A, ACQUIRE + AT_ONCE, 1, -ETIMEDOUT }) },
    { "more than there were", STEPS({ A, RELEASE, 5, 0 }, { A, AVAILABLE, 0, 7 }, { A, ACQUIRE, 7, 0 }) },
    { "served in order",
      STEPS({ A, ACQUIRE, 2, 0 }, { B, ACQUIRE, 1, WAITS }, { C, ACQUIRE, 1, WAITS }, { D, ACQUIRE, 1, WAITS },
            { A, RELEASE, 1, 0 }, { B, RETURNS, 0, 0 }, { C, STILL, 0, WAITS }, { A, RELEASE, 2, 0 },
            { C, RETURNS, 0, 0 }, { D, RETURNS, 0, 0 }, { A, AVAILABLE, 0, 0 }) },
    { "who wants many is not overtaken",
      STEPS({ A, ACQUIRE, 2, 0 }, { B, ACQUIRE, 3, WAITS }, { C, ACQUIRE, 1, WAITS }, { A, RELEASE, 2, 0 },
            { A, AVAILABLE, 0, 2 }, { D, TRY, 1, -EAGAIN }, { D, ACQUIRE, 1, WAITS }, { C, STILL, 0, WAITS },
            { A, RELEASE, 1, 0 }, { B, RETURNS, 0, 0 }, { C, STILL, 0, WAITS }, { B, RELEASE, 3, 0 },
            { C, RETURNS, 0, 0 }, { D, RETURNS, 0, 0 }, { A, AVAILABLE, 0, 1 }) },
    { "who wants many is cancelled: those behind go on",
      STEPS({ B, ACQUIRE, 3, WAITS }, { C, ACQUIRE, 1, WAITS }, { D, ACQUIRE, 1, WAITS }, { B, CANCEL, 0, -ECANCELED },
            { C, RETURNS, 0, 0 }, { D, RETURNS, 0, 0 }, { A, AVAILABLE, 0, 0 }) },
    { "who wants many runs out of time",
      STEPS({ B, ACQUIRE + BRIEF, 3, MAYBE }, { C, ACQUIRE, 1, MAYBE }, { B, RETURNS, 0, -ETIMEDOUT },
            { C, RETURNS, 0, 0 }, { A, AVAILABLE, 0, 1 }) },
    { "no permits at all, in order too", STEPS({ A, ACQUIRE, 0, 0 }, { B, ACQUIRE, 3, WAITS }, { A, ACQUIRE, 0, WAITS },
                                               { C, RELEASE, 1, 0 }, { B, RETURNS, 0, 0 }, { A, RETURNS, 0, 0 }) },
    { "forgotten",
      STEPS({ A, FORGET, 1, 1 }, { A, AVAILABLE, 0, 1 }, { A, FORGET, 9, 1 }, { A, FORGET, 9, 0 },
            { B, ACQUIRE, 1, WAITS }, { A, RELEASE, 1, 0 }, { B, RETURNS, 0, 0 }, { A, AVAILABLE, 0, 0 }) },
    { "forgotten while somebody waits for more",
      STEPS({ B, ACQUIRE, 3, WAITS }, { A, FORGET, 1, 1 }, { A, RELEASE, 1, 0 }, { B, STILL, 0, WAITS },
            { A, RELEASE, 1, 0 }, { B, RETURNS, 0, 0 }) },
    { "closed: all fail, also those who wait, and for ever",
      STEPS({ A, ACQUIRE, 2, 0 }, { B, ACQUIRE, 1, WAITS }, { C, ACQUIRE, 5, WAITS }, { D, CLOSE, 0, 0 },
            { B, RETURNS, 0, -EPIPE }, { C, RETURNS, 0, -EPIPE }, { D, IS_CLOSED, 0, 1 }, { A, RELEASE, 2, 0 },
            { A, AVAILABLE, 0, 2 }, { A, ACQUIRE, 1, -EPIPE }, { A, TRY, 1, -EPIPE },
            { A, ACQUIRE + AT_ONCE, 1, -EPIPE }, { A, ACQUIRE, 0, -EPIPE }, { A, CLOSE, 0, 0 }, { A, FORGET, 9, 2 }) },
    { 0 },
};

TASK_TEST_ON(1, semaphore_scripts)
{
    script_run(scripts, &suite);
}

TASK_TEST_ON(1, semaphore_limits)
{
    struct tr_semaphore few;
    expect_int(tr_semaphore_init(&few, TR_SEMAPHORE_LIMIT), -EINVAL);
    expect_int(tr_semaphore_init(&few, TR_SEMAPHORE_LIMIT - 2), 0);
    expect_int(tr_semaphore_acquire(&few, TR_SEMAPHORE_LIMIT, TR_FOREVER), -EINVAL);
    expect_int(tr_semaphore_acquire(&few, UINT64_MAX, TR_FOREVER), -EINVAL);
    expect_int(tr_semaphore_try_acquire(&few, TR_SEMAPHORE_LIMIT), -EINVAL);
    struct tr_case too_many = tr_case_acquire(&few, TR_SEMAPHORE_LIMIT);
    expect_int(tr_select(&too_many, 1, tr_after(LONG_TIME), TR_SELECT_FAIR), 0);
    expect_int(too_many.result, -EINVAL);
    expect_int(tr_semaphore_release(&few, 2), -EINVAL);
    expect_int(tr_semaphore_release(&few, UINT64_MAX), -EINVAL);
    expect_int(tr_semaphore_release(&few, 1), 0);
    expect_int(tr_semaphore_release(&few, 1), -EINVAL);
    expect(tr_semaphore_available(&few) == TR_SEMAPHORE_LIMIT - 1);
    expect_int(tr_semaphore_acquire(&few, TR_SEMAPHORE_LIMIT - 1, TR_FOREVER), 0);
    expect(tr_semaphore_available(&few) == 0);
}

TASK_TEST_ON(1, semaphore_cancelled_task_takes_nothing)
{
    tr_task_cancel(tr_task_self());
    expect_int(tr_semaphore_acquire(&semaphore, 1, TR_FOREVER), -ECANCELED);
    expect(tr_semaphore_available(&semaphore) == 2);
    expect_int(tr_semaphore_release(&semaphore, 1), 0);
    expect(tr_cancel_taken());
}

/* The one that loses keeps its permit, and its queue forgets the wait. */
static int select_either(void *other)
{
    struct tr_case cases[] = { tr_case_acquire(&semaphore, 3), tr_case_acquire(other, 1) };
    int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_ORDERED);
    expect(which >= 0);
    expect_int(cases[which].result, 0);
    return which;
}

static int acquire_one(void *argument)
{
    return tr_semaphore_acquire(argument, 1, TR_FOREVER);
}

TASK_TEST_ON(1, semaphore_select_that_wins_elsewhere_lets_those_behind_go)
{
    struct tr_semaphore other = TR_SEMAPHORE_INIT(0);
    struct tr_task selects = test_task(select_either, &other);
    test_settle();
    struct tr_task behind = test_task(acquire_one, &semaphore);
    test_settle();
    expect(tr_semaphore_available(&semaphore) == 2);
    expect_int(tr_semaphore_release(&other, 1), 0);
    expect_int(test_join(selects), 1);
    expect_int(test_join(behind), 0);
    expect(tr_semaphore_available(&semaphore) == 1 && tr_semaphore_available(&other) == 0);
}

static void *release_in_thread(void *argument)
{
    for (int i = 0; i < 1000; i++)
        expect_int(tr_semaphore_release(argument, 1), 0);
    return NULL;
}

static void *acquire_in_thread(void *argument)
{
    for (int i = 0; i < 500; i++)
        expect_int(tr_semaphore_acquire(argument, 1, tr_after(LONG_TIME)), 0);
    return NULL;
}

TASK_TEST(semaphore_between_a_task_and_threads)
{
    struct tr_semaphore passed = TR_SEMAPHORE_INIT(0);
    pthread_t giver, taker;
    expect_int(tr_semaphore_try_acquire(&passed, 1), -EAGAIN);
    expect_int(pthread_create(&taker, NULL, acquire_in_thread, &passed), 0);
    expect_int(pthread_create(&giver, NULL, release_in_thread, &passed), 0);
    for (int i = 0; i < 500; i++)
        expect_int(tr_semaphore_acquire(&passed, 1, tr_after(LONG_TIME)), 0);
    pthread_join(giver, NULL);
    pthread_join(taker, NULL);
    expect(tr_semaphore_available(&passed) == 0);
}

int main(void)
{
    return test_main("semaphore", TESTS(semaphore_scripts, semaphore_limits, semaphore_cancelled_task_takes_nothing,
                                        semaphore_select_that_wins_elsewhere_lets_those_behind_go,
                                        semaphore_between_a_task_and_threads));
}
