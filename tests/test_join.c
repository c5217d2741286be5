/* SPDX-License-Identifier: MIT */
/*
 * test_join.c: the end of tasks by the promises of troupe/task.h: who joins gets the result once, whoever else comes gets
 * a clear error, and detached tasks end by themselves.
 */
#include "tests/support.h"

static int return_argument(void *argument)
{
    return (int)(intptr_t)argument;
}

static int wait_for_flag(void *argument)
{
    atomic_int *flag = argument;
    wait_until(atomic_load(flag));
    return 7;
}

static int yield_then_return(void *argument)
{
    for (int i = 0; i < 3; i++)
        expect_int(tr_yield(), 0);
    return (int)(intptr_t)argument;
}

static int yield_many(void *argument)
{
    atomic_int *ends = argument;
    for (int i = 0; i < 10; i++)
        expect_int(tr_yield(), 0);
    atomic_fetch_add(ends, 1);
    return 0;
}

/* ---- join and detach ------------------------------------------------------------------------------------------ */

TASK_TEST(join_takes_any_result)
{
    static const int results[] = { 0, 1, -1, INT32_MAX, -EPIPE };
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        expect_int(test_join(test_task(return_argument, (void *)(intptr_t)results[i])), results[i]);
        expect_int(test_join(test_task(yield_then_return, (void *)(intptr_t)results[i])), results[i]);
    }
}

TASK_TEST(join_without_result_pointer_succeeds)
{
    expect_int(tr_task_join(test_task(return_argument, NULL), NULL, TR_FOREVER), 0);
}

static int join_self(void *argument)
{
    (void)argument;
    return tr_task_join(tr_task_self(), NULL, TR_FOREVER);
}

TASK_TEST(join_self_edeadlk)
{
    expect_int(test_join(test_task(join_self, NULL)), -EDEADLK);
}

TASK_TEST(join_twice_second_esrch)
{
    struct tr_task task = test_task(return_argument, NULL);
    expect_int(test_join(task), 0);
    expect_int(tr_task_join(task, NULL, TR_FOREVER), -ESRCH);
    expect_int(tr_task_detach(task), -ESRCH);
    expect_int(tr_task_cancel(task), -ESRCH);
}

static int wait_then_tell(void *argument)
{
    wait_for_flag(argument);
    atomic_store((atomic_int *)argument, 2);
    return 0;
}

TASK_TEST(join_detached_esrch)
{
    static atomic_int flag;
    struct tr_task task = test_task(wait_then_tell, &flag);
    expect_int(tr_task_detach(task), 0);
    expect_int(tr_task_detach(task), -ESRCH);
    expect_int(tr_task_join(task, NULL, TR_FOREVER), -ESRCH);
    expect_int(tr_task_join(task, NULL, TR_NOW), -ESRCH);
    atomic_store(&flag, 1);
    wait_until(atomic_load(&flag) == 2);
}

TASK_TEST(join_zero_handle_esrch)
{
    struct tr_task none = { 0 };
    expect_int(tr_task_join(none, NULL, TR_FOREVER), -ESRCH);
    expect_int(tr_task_detach(none), -ESRCH);
    expect_int(tr_task_cancel(none), -ESRCH);
}

TASK_TEST(join_ended_task_with_passed_deadline_takes_result)
{
    struct tr_task task = test_task(return_argument, (void *)3);
    int result = 0, rc;
    while ((rc = tr_task_join(task, &result, TR_NOW)) == -ETIMEDOUT)
        expect_int(tr_yield(), 0);
    expect_int(rc, 0);
    expect_int(result, 3);
}

TASK_TEST(join_deadline_etimedout_then_joins)
{
    static atomic_int flag;
    struct tr_task task = test_task(wait_for_flag, &flag);
    int result = 99;
    expect_int(tr_task_join(task, &result, TR_NOW), -ETIMEDOUT);
    expect_int(tr_task_join(task, &result, tr_after(3 * TR_MILLISECOND)), -ETIMEDOUT);
    expect_int(result, 99);
    atomic_store(&flag, 1);
    expect_int(test_join(task), 7);
}

TASK_TEST_ON(1, is_over_is_true_from_the_end_on)
{
    static atomic_int flag;
    struct tr_task task = test_task(wait_for_flag, &flag);
    test_settle();
    expect(!tr_task_is_over(task));
    expect_int(tr_task_join(task, NULL, TR_NOW), -ETIMEDOUT);
    expect(!tr_task_is_over(task));
    atomic_store(&flag, 1);
    wait_until(tr_task_is_over(task));
    int result = 0;
    expect_int(tr_task_join(task, &result, TR_NOW), 0); /* at once */
    expect_int(result, 7);
    expect(tr_task_is_over(task)); /* spent */
    expect(tr_task_is_over((struct tr_task){ 0 }));
}

TASK_TEST_ON(1, is_over_of_a_stale_handle_is_true_while_the_next_tenant_runs)
{
    static atomic_int flag;
    struct tr_task old = test_task(return_argument, NULL);
    expect_int(test_join(old), 0);
    struct tr_task task = test_task(wait_for_flag, &flag);
    while (task.tri_record != old.tri_record) {
        atomic_store(&flag, 1);
        expect_int(test_join(task), 7);
        atomic_store(&flag, 0);
        task = test_task(wait_for_flag, &flag);
    }
    test_settle();
    expect(tr_task_is_over(old));
    expect(!tr_task_is_over(task));
    expect_int(tr_task_detach(task), 0);
    expect(!tr_task_is_over(task)); /* detached, it still runs */
    atomic_store(&flag, 1);
    wait_until(tr_task_is_over(task));
}

static int join_other(void *argument)
{
    return tr_task_join(*(struct tr_task *)argument, NULL, tr_after(LONG_TIME));
}

TASK_TEST_ON(1, join_while_another_joins_einval)
{
    static atomic_int flag;
    struct tr_task task = test_task(wait_for_flag, &flag);
    struct tr_task joiner = test_task(join_other, &task);
    test_settle();
    expect_int(tr_task_join(task, NULL, TR_FOREVER), -EINVAL);
    expect_int(tr_task_detach(task), -EINVAL);
    expect(!tr_task_is_over(task));
    atomic_store(&flag, 1);
    expect_int(test_join(joiner), 0);
}

TASK_TEST_ON(1, join_cancelled_joiner_leaves_task_joinable)
{
    static atomic_int flag;
    struct tr_task task = test_task(wait_for_flag, &flag);
    struct tr_task joiner = test_task(join_other, &task);
    test_settle();
    expect_int(tr_task_cancel(joiner), 0);
    expect_int(test_join(joiner), -ECANCELED);
    atomic_store(&flag, 1);
    expect_int(test_join(task), 7);
}

static int64_t plain_write;

static int write_plainly(void *argument)
{
    plain_write = (intptr_t)argument;
    return 0;
}

TASK_TEST(join_makes_what_the_body_did_visible)
{
    for (intptr_t i = 1; i <= 2000; i++) {
        expect_int(test_join(test_task(write_plainly, (void *)i)), 0);
        expect_int(plain_write, i);
    }
}

/* ---- two who want the same task ------------------------------------------------------------------------------- */

struct contest {
    struct tr_task task;
    atomic_int *start;
    bool detach;
};

/* Detached, it may still be here when the runtime shuts down. */
static int yield_at_least_once(void *argument)
{
    (void)argument;
    for (int i = 0; i < 3; i++)
        tr_yield();
    return 0;
}

static int contend(void *argument)
{
    struct contest *contest = argument;
    while (!atomic_load(contest->start))
        tr_yield();
    return contest->detach ? tr_task_detach(contest->task) : tr_task_join(contest->task, NULL, tr_after(LONG_TIME));
}

static void check_contest(bool detach)
{
    for (int i = 0; i < 3000; i++) {
        atomic_int start = 0;
        struct tr_task task = test_task(i % 2 ? return_argument : yield_at_least_once, NULL);
        struct contest contests[2] = { { task, &start, false }, { task, &start, detach } };
        struct tr_task rivals[2] = { test_task(contend, &contests[0]), test_task(contend, &contests[1]) };
        if (i % 3 == 0)
            expect_int(tr_yield(), 0);
        atomic_store(&start, 1);
        int first = test_join(rivals[0]), second = test_join(rivals[1]);
        expect_int((first == 0) + (second == 0), 1);
        int loser = first ? first : second;
        expect(loser == -ESRCH || loser == -EINVAL);
    }
}

TASK_TEST(join_by_two_at_once_one_gets_it)
{
    check_contest(false);
}

TASK_TEST(join_against_detach_one_gets_it)
{
    check_contest(true);
}

TASK_TEST(detach_running_task_ends_on_its_own)
{
    static atomic_int ends;
    for (int i = 0; i < 1000; i++) {
        struct tr_task task = test_task(yield_many, &ends);
        int rc = tr_task_detach(task);
        expect_int(rc, 0); /* also when it has ended: the handle was not yet spent */
    }
    wait_until(atomic_load(&ends) == 1000);
}

int main(void)
{
    return test_main("join", TESTS(join_takes_any_result, join_without_result_pointer_succeeds, join_self_edeadlk,
                                   join_twice_second_esrch, join_detached_esrch, join_zero_handle_esrch,
                                   join_ended_task_with_passed_deadline_takes_result,
                                   join_deadline_etimedout_then_joins, is_over_is_true_from_the_end_on,
                                   is_over_of_a_stale_handle_is_true_while_the_next_tenant_runs,
                                   join_while_another_joins_einval, join_cancelled_joiner_leaves_task_joinable,
                                   join_makes_what_the_body_did_visible, join_by_two_at_once_one_gets_it,
                                   join_against_detach_one_gets_it, detach_running_task_ends_on_its_own));
}
