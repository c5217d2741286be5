/* SPDX-License-Identifier: MIT */
/*
 * test_notify.c: notifications by the promises of troupe/notify.h: at most one stored, first or last, all, and none lost on a wait
 * that ends otherwise.
 */
#include "tests/script.h"

#include <pthread.h>

_Static_assert(sizeof(struct tr_notify) <= 16, "as promised");

enum { WAIT, TRY, ONE, LAST, ALL, LISTEN, WAIT_SINCE };

static struct tr_notify notify = TR_NOTIFY_INIT;
static uint64_t since[4];

static int perform(int operation, int64_t argument, tr_time deadline)
{
    switch (operation) {
    case WAIT:
        return tr_notify_wait(&notify, deadline);
    case TRY:
        return tr_notify_try_wait(&notify);
    case ONE:
        tr_notify_one(&notify);
        return 0;
    case LAST:
        tr_notify_last(&notify);
        return 0;
    case ALL:
        tr_notify_all(&notify);
        return 0;
    case LISTEN:
        since[argument] = tr_notify_listen(&notify);
        return 0;
    default:
        return tr_notify_wait_since(&notify, since[argument], deadline);
    }
}

static uint64_t *reset(void)
{
    tr_notify_init(&notify);
    return &notify.tri_word;
}

static const struct script_suite suite = { perform, reset };

static const struct script scripts[] = {
    { "stored, once",
      STEPS({ A, TRY, 0, -EAGAIN }, { A, ONE, 0, 0 }, { A, ONE, 0, 0 }, { B, WAIT, 0, 0 }, { B, TRY, 0, -EAGAIN },
            { A, ONE, 0, 0 }, { B, TRY, 0, 0 }, { B, WAIT + AT_ONCE, 0, -ETIMEDOUT }) },
    { "the first is woken first",
      STEPS({ A, WAIT, 0, WAITS }, { B, WAIT, 0, WAITS }, { C, ONE, 0, 0 }, { A, RETURNS, 0, 0 },
            { B, STILL, 0, WAITS }, { C, ONE, 0, 0 }, { B, RETURNS, 0, 0 }, { C, TRY, 0, -EAGAIN }) },
    { "the last is woken", STEPS({ A, WAIT, 0, WAITS }, { B, WAIT, 0, WAITS }, { C, WAIT, 0, WAITS }, { D, LAST, 0, 0 },
                                 { C, RETURNS, 0, 0 }, { A, STILL, 0, WAITS }, { D, LAST, 0, 0 }, { B, RETURNS, 0, 0 },
                                 { D, ONE, 0, 0 }, { A, RETURNS, 0, 0 }, { D, LAST, 0, 0 }, { D, TRY, 0, 0 }) },
    { "all are woken, and nothing stored",
      STEPS({ A, WAIT, 0, WAITS }, { B, WAIT, 0, WAITS }, { C, WAIT, 0, WAITS }, { D, ALL, 0, 0 }, { A, RETURNS, 0, 0 },
            { B, RETURNS, 0, 0 }, { C, RETURNS, 0, 0 }, { D, TRY, 0, -EAGAIN }, { D, ALL, 0, 0 },
            { D, TRY, 0, -EAGAIN }) },
    { "all leaves what is stored",
      STEPS({ A, ONE, 0, 0 }, { A, ALL, 0, 0 }, { B, TRY, 0, 0 }, { B, TRY, 0, -EAGAIN }) },
    { "listening before all",
      STEPS({ A, LISTEN, 0, 0 }, { B, ALL, 0, 0 }, { A, WAIT_SINCE, 0, 0 }, { A, WAIT_SINCE, 0, 0 },
            { A, LISTEN, 1, 0 }, { A, WAIT_SINCE, 1, WAITS }, { B, ALL, 0, 0 }, { A, RETURNS, 0, 0 }) },
    { "listening takes nothing that it does not need",
      STEPS({ A, LISTEN, 0, 0 }, { B, ALL, 0, 0 }, { B, ONE, 0, 0 }, { A, WAIT_SINCE, 0, 0 }, { C, TRY, 0, 0 }) },
    { "listening, and one",
      STEPS({ A, LISTEN, 0, 0 }, { B, ONE, 0, 0 }, { A, WAIT_SINCE, 0, 0 }, { A, WAIT_SINCE, 0, WAITS },
            { B, ONE, 0, 0 }, { A, RETURNS, 0, 0 }, { B, TRY, 0, -EAGAIN }) },
    { "cancelled: the next is woken", STEPS({ A, WAIT, 0, WAITS }, { B, WAIT, 0, WAITS }, { A, CANCEL, 0, -ECANCELED },
                                            { C, ONE, 0, 0 }, { B, RETURNS, 0, 0 }, { C, TRY, 0, -EAGAIN }) },
    { "cancelled: it is stored",
      STEPS({ A, WAIT, 0, WAITS }, { A, CANCEL, 0, -ECANCELED }, { C, ONE, 0, 0 }, { B, TRY, 0, 0 }) },
    { "out of time", STEPS({ A, WAIT + BRIEF, 0, MAYBE }, { A, RETURNS, 0, -ETIMEDOUT }, { C, ONE, 0, 0 },
                           { A, WAIT + BRIEF, 0, 0 }) },
    { 0 },
};

TASK_TEST_ON(1, notify_scripts)
{
    script_run(scripts, &suite);
}

static int wait_once(void *argument)
{
    (void)argument;
    return tr_notify_wait(&notify, TR_FOREVER);
}

/* It was woken and cancelled before it ran: it says that it was woken. Had it not, the wake would have to go to the other. */
TASK_TEST_ON(1, notify_woken_and_cancelled_keeps_or_passes_the_wake)
{
    for (int i = 0; i < 2; i++) {
        struct tr_task first = test_task(wait_once, NULL);
        test_settle();
        struct tr_task second = test_task(wait_once, NULL);
        test_settle();
        if (i == 0)
            tr_task_cancel(first);
        tr_notify_one(&notify);
        if (i == 1)
            tr_task_cancel(first);
        int result = test_join(first);
        expect(result == 0 || result == -ECANCELED);
        if (result == 0)
            tr_notify_one(&notify);
        expect_int(test_join(second), 0);
        expect_int(tr_notify_try_wait(&notify), -EAGAIN);
    }
}

static int select_either(void *other)
{
    struct tr_case cases[] = { tr_case_notified(&notify), tr_case_notified(other) };
    int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR);
    expect(which >= 0);
    expect_int(cases[which].result, 0);
    return which;
}

/* Two selects of the same two: each notification wakes one, none is lost on a case whose select has ended. */
TASK_TEST_ON(1, notify_select_loses_nothing)
{
    static struct tr_notify other = TR_NOTIFY_INIT;
    for (int i = 0; i < 20; i++) {
        struct tr_task first = test_task(select_either, &other), second = test_task(select_either, &other);
        test_settle();
        tr_notify_one(i & 1 ? &notify : &other);
        tr_notify_one(i & 2 ? &notify : &other);
        int which = test_join(first) + test_join(second);
        expect_int(which, 2 - (i & 1) - (i >> 1 & 1));
        expect_int(tr_notify_try_wait(&notify), -EAGAIN);
        expect_int(tr_notify_try_wait(&other), -EAGAIN);
    }
}

TASK_TEST_ON(1, notify_select_since)
{
    uint64_t began = tr_notify_listen(&notify);
    struct tr_case c = tr_case_notified_since(&notify, began);
    expect_int(tr_select(&c, 1, TR_NOW, TR_SELECT_FAIR), -ETIMEDOUT);
    tr_notify_all(&notify);
    expect_int(tr_select(&c, 1, TR_NOW, TR_SELECT_FAIR), 0);
    expect_int(c.result, 0);
}

/* ---- many, and threads ---------------------------------------------------------------------------------------- */

TASK_TEST(notify_all_wakes_a_hundred)
{
    struct tr_task tasks[100];
    for (int i = 0; i < 100; i++)
        tasks[i] = test_task(wait_once, NULL);
    for (int i = 0; i < 100; i++) {
        int result;
        int rc;
        while ((rc = tr_task_join(tasks[i], &result, tr_after(TR_MILLISECOND))) == -ETIMEDOUT)
            tr_notify_all(&notify);
        expect_int(rc, 0);
        expect_int(result, 0);
    }
}

struct turn {
    struct tr_notify mine, yours;
};

static void *answer_in_thread(void *argument)
{
    struct turn *turn = argument;
    for (int i = 0; i < 500; i++) {
        expect_int(tr_notify_wait(&turn->yours, tr_after(LONG_TIME)), 0);
        tr_notify_one(&turn->mine);
    }
    return NULL;
}

TASK_TEST(notify_back_and_forth_with_a_thread)
{
    struct turn turn = { TR_NOTIFY_INIT, TR_NOTIFY_INIT };
    pthread_t thread;
    tr_notify_one(&turn.mine);
    expect_int(tr_notify_wait(&turn.mine, TR_FOREVER), 0);
    expect_int(pthread_create(&thread, NULL, answer_in_thread, &turn), 0);
    for (int i = 0; i < 500; i++) {
        tr_notify_one(&turn.yours);
        expect_int(tr_notify_wait(&turn.mine, tr_after(LONG_TIME)), 0);
    }
    pthread_join(thread, NULL);
}

int main(void)
{
    return test_main("notify", TESTS(notify_scripts, notify_woken_and_cancelled_keeps_or_passes_the_wake,
                                     notify_select_loses_nothing, notify_select_since, notify_all_wakes_a_hundred,
                                     notify_back_and_forth_with_a_thread));
}
