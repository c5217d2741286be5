/* SPDX-License-Identifier: MIT */
/*
 * test_join_all.c: the ends of many tasks at once, and as a case of a select, by the promises of troupe/gather.h: a task is
 * joined once, and what was not waited for in the end can be joined still.
 */
#include "tests/support.h"

#include <pthread.h>

static int return_argument(void *argument)
{
    return (int)(intptr_t)argument;
}

static atomic_int over; /* bodies that are about to return */

static int fail_with_text(void *argument)
{
    expect_int(tr_yield(), 0);
    atomic_fetch_add(&over, 1);
    return tr_task_fail((int)(intptr_t)argument, "for %d", (int)(intptr_t)argument);
}

static int sleep_long(void *argument)
{
    (void)argument;
    return tr_sleep(LONG_TIME);
}

static int sleep_briefly(void *argument)
{
    expect_int(tr_sleep((int64_t)(intptr_t)argument % 7 * 30 * TR_MICROSECOND), 0);
    atomic_fetch_add(&over, 1);
    return (int)(intptr_t)argument;
}

/* ---- tables --------------------------------------------------------------------------------------------------- */

enum { FINE, FAIL, STAY, NOBODY, SELF, TWICE };

static const struct join_row {
    const char *name;
    int kind[4], count;
    int64_t span; /* 0: for ever */
    unsigned flags;
    int succeeded, error[4];
    enum tr_outcome_kind outcome[4];
} rows[] = {
    { "none", { 0 }, 0, 0, 0, 0, { 0 }, { 0 } },
    { "all", { FINE, FINE, FINE, FINE }, 4, 0, 0, 4, { 0 }, { 0 } },
    { "failures are their own", { FINE, FAIL, FINE }, 3, 0, 0, 2, { 0 }, { TR_RETURNED, TR_FAILED, TR_RETURNED } },
    { "who cannot be joined", { FINE, NOBODY, SELF, TWICE }, 4, 0, 0, 1, { 0, -ESRCH, -EDEADLK, -EINVAL }, { 0 } },
    { "some too late",
      { STAY, FINE, STAY, FAIL },
      4,
      300 * TR_MILLISECOND,
      0,
      1,
      { -ETIMEDOUT, 0, -ETIMEDOUT, 0 },
      { 0, TR_RETURNED, 0, TR_FAILED } },
    { "first error",
      { STAY, FAIL, STAY },
      3,
      0,
      TR_GATHER_FIRST_ERROR,
      0,
      { -ECANCELED, 0, -ECANCELED },
      { 0, TR_FAILED, 0 } },
    { "first error cancels the rest",
      { STAY, FAIL, STAY },
      3,
      0,
      TR_GATHER_FIRST_ERROR | TR_GATHER_CANCEL_REST,
      0,
      { 0, 0, 0 },
      { TR_CANCELLED, TR_FAILED, TR_CANCELLED } },
    { "no error", { FINE, FINE }, 2, 0, TR_GATHER_FIRST_ERROR | TR_GATHER_CANCEL_REST, 2, { 0 }, { 0 } },
    { "first success", { STAY, FINE, STAY }, 3, 0, TR_GATHER_FIRST_SUCCESS, 1, { -ECANCELED, 0, -ECANCELED }, { 0 } },
    { "first success cancels the rest",
      { STAY, FINE },
      2,
      0,
      TR_GATHER_FIRST_SUCCESS | TR_GATHER_CANCEL_REST,
      1,
      { 0, 0 },
      { TR_CANCELLED, TR_RETURNED } },
};

static struct tr_task start(int kind, const struct tr_gather_task *before)
{
    if (kind == NOBODY)
        return (struct tr_task){ 0 };
    if (kind == SELF)
        return tr_task_self();
    if (kind == TWICE)
        return before->task;
    if (kind == FAIL)
        return test_task(fail_with_text, (void *)(intptr_t)-EIO);
    return kind == STAY ? test_task(sleep_long, NULL) : test_task(sleep_briefly, (void *)3);
}

static void try_row(const struct join_row *row)
{
    struct tr_gather_task tasks[4];
    struct tr_task twice = test_task(sleep_long, NULL);
    int ends = atomic_load(&over);
    for (int i = 0; i < row->count; i++) {
        tasks[i].task = start(row->kind[i], tasks);
        ends += row->kind[i] == FINE || row->kind[i] == FAIL;
    }
    wait_until(row->span == 0 || atomic_load(&over) >= ends);
    tr_time deadline = row->span == 0 ? TR_FOREVER : tr_clock() + row->span;
    int succeeded = tr_join_all(tasks, (uint32_t)row->count, deadline, row->flags);
    if (succeeded != row->succeeded)
        test_fail(__FILE__, __LINE__, "%s: %d", row->name, succeeded);
    for (int i = 0; i < row->count; i++) {
        if (tasks[i].error != row->error[i] || (tasks[i].error == 0 && tasks[i].outcome.kind != row->outcome[i]))
            test_fail(__FILE__, __LINE__, "%s: %d: %d, kind %d", row->name, i, tasks[i].error,
                      (int)tasks[i].outcome.kind);
        if (tasks[i].error == 0 && tasks[i].outcome.kind == TR_FAILED)
            expect(strcmp(tasks[i].outcome.text, "for -5") == 0);
        if (tasks[i].error == 0)
            expect_int(tr_task_join(tasks[i].task, NULL, TR_NOW), -ESRCH);
        if (row->kind[i] == STAY && tasks[i].error != 0) { /* can be joined still */
            expect_int(tr_task_join(tasks[i].task, NULL, TR_NOW), -ETIMEDOUT);
            expect_int(tr_task_cancel(tasks[i].task), 0);
            expect_int(test_join(tasks[i].task), -ECANCELED);
        }
    }
    expect_int(tr_task_cancel(twice), 0);
    expect_int(test_join(twice), -ECANCELED);
}

TASK_TEST(join_all_table)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        try_row(&rows[i]);
}

/* Whether who was cancelled at the deadline has ended by then is a race; that it was cancelled is not. */
TASK_TEST(join_all_too_late_cancels_the_rest)
{
    struct tr_gather_task task = { .task = test_task(sleep_long, NULL) };
    expect_int(tr_join_all(&task, 1, tr_after(TR_MILLISECOND), TR_GATHER_CANCEL_REST), 0);
    if (task.error == 0)
        expect(task.outcome.kind == TR_CANCELLED);
    else
        expect(task.error == -ETIMEDOUT && test_join(task.task) == -ECANCELED);
}

TASK_TEST(join_all_takes_a_thousand)
{
    enum { MANY = 1000 };
    struct tr_gather_task *tasks = test_new(MANY * sizeof *tasks);
    for (unsigned flags = 0; flags <= TR_GATHER_FIRST_ERROR; flags++) {
        for (intptr_t i = 0; i < MANY; i++)
            tasks[i].task = test_task(sleep_briefly, (void *)i);
        expect_int(tr_join_all(tasks, MANY, tr_after(LONG_TIME), flags), MANY);
        for (int i = 0; i < MANY; i++)
            expect_int(tasks[i].outcome.code, i);
    }
}

static int join_all_until_cancelled(void *argument)
{
    struct tr_gather_task tasks[2] = { { .task = test_task(return_argument, (void *)5) },
                                       { .task = *(struct tr_task *)argument } };
    expect_int(tr_join_all(tasks, 2, TR_FOREVER, TR_GATHER_ALL), 1);
    expect(tasks[0].error == 0 && tasks[0].outcome.code == 5 && tasks[1].error == -ECANCELED);
    return tr_join_all(tasks, 2, TR_FOREVER, TR_GATHER_ALL) == 0 && tasks[1].error == -ECANCELED ? 3 : -1;
}

TASK_TEST(join_all_cancelled_keeps_what_has_come)
{
    struct tr_task stays = test_task(sleep_long, NULL), task = test_task(join_all_until_cancelled, &stays);
    expect_int(tr_sleep(2 * TR_MILLISECOND), 0);
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), 3);
    expect_int(tr_task_cancel(stays), 0);
    expect_int(test_join(stays), -ECANCELED);
}

static atomic_int thread_done; /* waiting in pthread_join would keep a worker from the tasks */

static void *join_all_on_thread(void *argument)
{
    struct tr_gather_task *tasks = argument;
    expect_int(tr_join_all(tasks, 20, tr_after(LONG_TIME), TR_GATHER_ALL), 20);
    atomic_store(&thread_done, 1);
    return NULL;
}

TASK_TEST(join_all_on_a_foreign_thread)
{
    struct tr_gather_task tasks[20];
    pthread_t thread;
    for (intptr_t i = 0; i < 20; i++)
        tasks[i].task = test_task(sleep_briefly, (void *)i);
    expect_int(pthread_create(&thread, NULL, join_all_on_thread, tasks), 0);
    wait_until(atomic_load(&thread_done));
    expect_int(pthread_join(thread, NULL), 0);
}

/* ---- a join among other cases --------------------------------------------------------------------------------- */

TASK_TEST(join_case_takes_the_result)
{
    int result = -1;
    struct tr_task task = test_task(sleep_briefly, (void *)5), stays = test_task(sleep_long, NULL);
    struct tr_case cases[] = { tr_case_join(stays, NULL), tr_case_join(task, &result) };
    expect_int(tr_select(cases, 2, tr_after(LONG_TIME), TR_SELECT_FAIR), 1);
    expect(cases[1].result == 0 && result == 5);
    expect_int(tr_task_join(task, NULL, TR_NOW), -ESRCH);
    expect_int(tr_select(cases, 1, tr_after(2 * TR_MILLISECOND), TR_SELECT_FAIR), -ETIMEDOUT);
    expect_int(tr_task_cancel(stays), 0);
    expect_int(tr_select(cases, 1, tr_after(LONG_TIME), TR_SELECT_FAIR), 0); /* the array serves again */
    expect_int(cases[0].result, 0);
}

TASK_TEST(join_case_that_cannot_be_is_ready_with_its_error)
{
    struct tr_task ended = test_task(return_argument, NULL);
    expect_int(test_join(ended), 0);
    const struct tr_task handles[] = { { 0 }, ended, tr_task_self() };
    static const int errors[] = { -ESRCH, -ESRCH, -EDEADLK };
    for (int i = 0; i < 3; i++) {
        struct tr_case c = tr_case_join(handles[i], NULL);
        expect_int(tr_select(&c, 1, TR_FOREVER, TR_SELECT_FAIR), 0);
        expect_int(c.result, errors[i]);
    }
}

/* Ends race with other cases: whichever loses, no result is lost and none is taken twice. */
TASK_TEST(join_case_that_loses_can_be_joined)
{
    int won[2] = { 0, 0 };
    for (intptr_t i = 0; i < 300; i++) {
        int result = -1;
        struct tr_task one = test_task(sleep_briefly, (void *)i), other = test_task(sleep_briefly, (void *)(i * 3));
        struct tr_case cases[] = { tr_case_join(one, &result), tr_case_join(other, &result) };
        int first = tr_select(cases, 2, tr_after(LONG_TIME), TR_SELECT_FAIR);
        expect(first == 0 || first == 1);
        expect_int(cases[first].result, 0);
        expect_int(result, first == 0 ? i : i * 3);
        expect_int(test_join(first == 0 ? other : one), first == 0 ? i * 3 : i);
        expect_int(tr_task_join(first == 0 ? one : other, NULL, TR_NOW), -ESRCH);
        won[first]++;
    }
    expect(won[0] > 0 && won[1] > 0);
}

int main(void)
{
    return test_main("join_all", TESTS(join_all_table, join_all_too_late_cancels_the_rest, join_all_takes_a_thousand,
                                       join_all_cancelled_keeps_what_has_come, join_all_on_a_foreign_thread,
                                       join_case_takes_the_result, join_case_that_cannot_be_is_ready_with_its_error,
                                       join_case_that_loses_can_be_joined));
}
