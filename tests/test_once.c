/* SPDX-License-Identifier: MIT */
/*
 * test_once.c: what is made once by the promises of troupe/once.h: one maker, the next after a failure, no maker waits for itself.
 */
#include "tests/script.h"

#include <pthread.h>

_Static_assert(sizeof(struct tr_once) <= 16, "as promised");

enum { BEGIN, TRY_BEGIN, END, WAIT, IS_MADE };

static struct tr_once once = TR_ONCE_INIT;

static int perform(int operation, int64_t argument, tr_time deadline)
{
    switch (operation) {
    case BEGIN:
        return tr_once_begin(&once, deadline);
    case TRY_BEGIN:
        return tr_once_try_begin(&once);
    case END:
        return tr_once_end(&once, argument != 0);
    case WAIT:
        return tr_once_wait(&once, deadline);
    default:
        return tr_once_is_made(&once);
    }
}

static uint64_t *reset(void)
{
    tr_once_init(&once);
    return &once.tri_word;
}

static const struct script_suite suite = { perform, reset };

static const struct script scripts[] = {
    { "one makes it, the others wait",
      STEPS({ E, IS_MADE, 0, 0 }, { A, BEGIN, 0, 1 }, { B, BEGIN, 0, WAITS }, { C, WAIT, 0, WAITS },
            { D, TRY_BEGIN, 0, -EAGAIN }, { E, IS_MADE, 0, 0 }, { A, END, 1, 0 }, { B, RETURNS, 0, 0 },
            { C, RETURNS, 0, 0 }, { D, TRY_BEGIN, 0, 0 }, { D, BEGIN, 0, 0 }, { D, WAIT, 0, 0 },
            { E, IS_MADE, 0, 1 }) },
    { "the maker fails: the next makes it, those who only wait go on waiting",
      STEPS({ C, WAIT, 0, WAITS }, { A, BEGIN, 0, 1 }, { B, BEGIN, 0, WAITS }, { D, BEGIN, 0, WAITS }, { A, END, 0, 0 },
            { B, RETURNS, 0, 1 }, { C, STILL, 0, WAITS }, { D, STILL, 0, WAITS }, { B, END, 0, 0 },
            { D, RETURNS, 0, 1 }, { D, END, 1, 0 }, { C, RETURNS, 0, 0 }) },
    { "the maker fails and nobody waits to make it",
      STEPS({ C, WAIT, 0, WAITS }, { A, BEGIN, 0, 1 }, { A, END, 0, 0 }, { C, STILL, 0, WAITS }, { B, TRY_BEGIN, 0, 1 },
            { B, END, 1, 0 }, { C, RETURNS, 0, 0 }) },
    { "who waits to make it is cancelled",
      STEPS({ A, BEGIN, 0, 1 }, { B, BEGIN, 0, WAITS }, { D, BEGIN, 0, WAITS }, { B, CANCEL, 0, -ECANCELED },
            { A, END, 0, 0 }, { D, RETURNS, 0, 1 }, { D, END, 0, 0 }, { E, IS_MADE, 0, 0 }, { A, BEGIN, 0, 1 },
            { A, END, 1, 0 }) },
    { "out of time", STEPS({ A, BEGIN + AT_ONCE, 0, 1 }, { B, BEGIN + BRIEF, 0, MAYBE }, { C, WAIT + BRIEF, 0, MAYBE },
                           { B, RETURNS, 0, -ETIMEDOUT }, { C, RETURNS, 0, -ETIMEDOUT },
                           { B, BEGIN + AT_ONCE, 0, -ETIMEDOUT }, { A, END, 1, 0 }, { B, BEGIN + AT_ONCE, 0, 0 }) },
    { "the maker cannot wait for itself",
      STEPS({ A, BEGIN, 0, 1 }, { A, BEGIN, 0, -EDEADLK }, { A, TRY_BEGIN, 0, -EDEADLK }, { A, WAIT, 0, -EDEADLK },
            { A, END, 1, 0 }) },
    { "only the maker ends it",
      STEPS({ A, END, 1, -EINVAL }, { A, BEGIN, 0, 1 }, { B, END, 1, -EINVAL }, { E, IS_MADE, 0, 0 }, { A, END, 1, 0 },
            { A, END, 1, -EINVAL }, { A, END, 0, -EINVAL }, { E, IS_MADE, 0, 1 }) },
    { 0 },
};

TASK_TEST_ON(1, once_scripts)
{
    script_run(scripts, &suite);
}

/* ---- tr_once_run ----------------------------------------------------------------------------------------------- */

static atomic_int makes;
static int made_value;

static int make_after_a_while(void *argument)
{
    atomic_fetch_add(&makes, 1);
    int rc = tr_sleep(TR_MILLISECOND);
    if (rc < 0)
        return rc;
    made_value = 42;
    return *(int *)argument;
}

static int run_it(void *argument)
{
    int rc = tr_once_run(&once, make_after_a_while, argument, TR_FOREVER);
    if (rc == 0)
        expect_int(made_value, 42);
    return rc;
}

TASK_TEST(once_run_makes_it_once_for_all)
{
    int good = 0;
    struct tr_task tasks[20];
    for (int i = 0; i < 20; i++)
        tasks[i] = test_task(run_it, &good);
    for (int i = 0; i < 20; i++)
        expect_int(test_join(tasks[i]), 0);
    expect_int(atomic_load(&makes), 1);
    expect_int(run_it(&good), 0);
    expect_int(atomic_load(&makes), 1);
}

TASK_TEST_ON(1, once_run_failure_is_the_makers_alone)
{
    int bad = -ENOTSUP, good = 7; /* more than 0 is success */
    struct tr_task first = test_task(run_it, &bad);
    test_settle();
    struct tr_task second = test_task(run_it, &good);
    test_settle();
    expect_int(test_join(first), -ENOTSUP);
    expect_int(test_join(second), 0);
    expect_int(atomic_load(&makes), 2);
}

/* The first who makes it needs for ever. */
static int make_at_the_second_time(void *argument)
{
    if (atomic_load(&makes) > 0)
        return make_after_a_while(argument);
    atomic_fetch_add(&makes, 1);
    return tr_sleep(TR_FOREVER);
}

static int run_patiently(void *argument)
{
    return tr_once_run(&once, make_at_the_second_time, argument, TR_FOREVER);
}

TASK_TEST_ON(1, once_run_cancelled_maker_hands_on)
{
    int good = 0;
    struct tr_task first = test_task(run_patiently, &good);
    test_settle();
    struct tr_task second = test_task(run_patiently, &good);
    test_settle();
    expect_int(tr_task_cancel(first), 0);
    expect_int(test_join(first), -ECANCELED);
    expect_int(test_join(second), 0);
    expect_int(atomic_load(&makes), 2);
}

static int make_recursively(void *argument)
{
    return tr_once_run(&once, make_recursively, argument, TR_FOREVER);
}

TASK_TEST_ON(1, once_run_within_itself_deadlk)
{
    int good = 0;
    expect_int(tr_once_run(&once, make_recursively, NULL, TR_FOREVER), -EDEADLK);
    expect_int(run_it(&good), 0);
}

TASK_TEST_ON(1, once_in_a_select)
{
    int good = 0;
    struct tr_case cases[] = { tr_case_once(&once), tr_case_never() };
    struct tr_task maker = test_task(run_it, &good);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 0);
    expect_int(cases[0].result, 0);
    expect_int(made_value, 42);
    expect_int(test_join(maker), 0);
}

static void *run_in_thread(void *argument)
{
    return run_it(argument) == 0 ? argument : NULL;
}

TASK_TEST(once_run_by_tasks_and_threads)
{
    int good = 0;
    for (int round = 0; round < 20; round++) {
        pthread_t threads[2];
        tr_once_init(&once);
        made_value = 0;
        atomic_store(&makes, 0);
        struct tr_task task = test_task(run_it, &good);
        for (int i = 0; i < 2; i++)
            expect_int(pthread_create(&threads[i], NULL, run_in_thread, &good), 0);
        expect_int(test_join(task), 0);
        for (int i = 0; i < 2; i++) {
            void *result;
            pthread_join(threads[i], &result);
            expect(result == &good);
        }
        expect_int(atomic_load(&makes), 1);
    }
}

int main(void)
{
    return test_main("once", TESTS(once_scripts, once_run_makes_it_once_for_all, once_run_failure_is_the_makers_alone,
                                   once_run_cancelled_maker_hands_on, once_run_within_itself_deadlk, once_in_a_select,
                                   once_run_by_tasks_and_threads));
}
