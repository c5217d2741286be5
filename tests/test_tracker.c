/* SPDX-License-Identifier: MIT */
/*
 * test_tracker.c: trackers by the promises of troupe/group.h: the wait is over when the tracker is closed and nothing is
 * tracked, whoever was tracked is otherwise a task like any, and the tracker may go before them.
 */
#include "tests/support.h"

#include "actor/group.h"
#include <pthread.h>

static struct tr_tracker *make(void)
{
    struct tr_tracker *tracker;
    expect_int(tr_tracker_create(&tracker), 0);
    return tracker;
}

static int wait_for_flag(void *argument)
{
    wait_until(atomic_load((atomic_int *)argument));
    return 7;
}

/* What is done, and whether the wait is over then. */
enum { ENTER, LEAVE, CLOSE, REOPEN };
static const struct step_row {
    int what, count;
    bool changed, over;
} steps[] = {
    { CLOSE, 0, true, true },  { CLOSE, 0, false, true }, { REOPEN, 0, true, false }, { REOPEN, 0, false, false },
    { ENTER, 1, true, false }, { CLOSE, 1, true, false }, { ENTER, 2, true, false },  { LEAVE, 1, true, false },
    { LEAVE, 0, true, true },  { ENTER, 1, true, false }, { LEAVE, 0, true, true },   { REOPEN, 0, true, false },
    { ENTER, 1, true, false }, { LEAVE, 0, true, false }, { CLOSE, 0, true, true },
};

TASK_TEST(tracker_table_of_states)
{
    struct tr_tracker *tracker = make();
    expect(!tr_tracker_is_closed(tracker));
    expect_int(tr_tracker_wait(tracker, TR_NOW), -ETIMEDOUT);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const struct step_row *row = &steps[i];
        if (row->what == ENTER)
            tr_tracker_enter(tracker);
        else if (row->what == LEAVE)
            tr_tracker_leave(tracker);
        else
            expect_int(row->what == CLOSE ? tr_tracker_close(tracker) : tr_tracker_reopen(tracker), row->changed);
        expect_int(tr_tracker_count(tracker), row->count);
        struct tr_case c = tr_case_tracker(tracker);
        expect_int(tr_tracker_wait(tracker, TR_NOW), row->over ? 0 : -ETIMEDOUT);
        expect_int(tr_select(&c, 1, TR_NOW, TR_SELECT_FAIR), row->over ? 0 : -ETIMEDOUT);
    }
    tr_tracker_destroy(tracker);
}

static int wait_for_tracker(void *argument)
{
    return tr_tracker_wait(argument, TR_FOREVER);
}

TASK_TEST(tracker_wait_needs_close_and_all_gone)
{
    static atomic_int flag;
    struct tr_tracker *tracker = make();
    struct tr_task tasks[10], waiters[3];
    atomic_store(&flag, 0);
    for (int i = 0; i < 10; i++)
        expect_int(tr_tracker_spawn(tracker, i % 2 ? &tasks[i] : NULL, wait_for_flag, &flag, NULL), 0);
    for (int i = 0; i < 3; i++)
        waiters[i] = test_task(wait_for_tracker, tracker);
    expect_int(tr_tracker_count(tracker), 10);
    expect(tr_tracker_close(tracker));
    expect_int(tr_tracker_wait(tracker, tr_after(2 * TR_MILLISECOND)), -ETIMEDOUT);
    atomic_store(&flag, 1);
    expect_int(tr_tracker_wait(tracker, tr_after(LONG_TIME)), 0);
    for (int i = 0; i < 3; i++)
        expect_int(test_join(waiters[i]), 0);
    for (int i = 1; i < 10; i += 2) /* tracked, and yet joined as any */
        expect_int(test_join(tasks[i]), 7);
    expect_int(tr_tracker_spawn(tracker, NULL, wait_for_flag, &flag, NULL), 0); /* also when closed */
    expect_int(tr_tracker_wait(tracker, tr_after(LONG_TIME)), 0);
    tr_tracker_destroy(tracker);
}

TASK_TEST(tracker_destroyed_cancels_nobody)
{
    static atomic_int flag;
    struct tr_tracker *tracker = make();
    struct tr_task task;
    atomic_store(&flag, 0);
    expect_int(tr_tracker_spawn(tracker, &task, wait_for_flag, &flag, NULL), 0);
    tr_tracker_destroy(tracker);
    atomic_store(&flag, 1);
    expect_int(test_join(task), 7);
}

TASK_TEST(tracker_waits_for_tasks_whatever_their_end)
{
    struct tr_tracker *tracker = make();
    struct tr_tracker *never = make();
    struct tr_task task;
    expect_int(tr_tracker_spawn(tracker, &task, wait_for_tracker, never, NULL), 0);
    tr_tracker_close(tracker);
    expect_int(tr_task_cancel(task), 0);
    expect_int(tr_tracker_wait(tracker, tr_after(LONG_TIME)), 0);
    expect_int(test_join(task), -ECANCELED);
    tr_tracker_destroy(never);
    tr_tracker_destroy(tracker);
}

static int wait_for_own(void *argument)
{
    return tr_tracker_wait(*(struct tr_tracker **)argument, TR_FOREVER);
}

TASK_TEST(tracker_waited_for_by_one_it_tracks_edeadlk)
{
    struct tr_tracker *tracker = make();
    struct tr_task task;
    expect_int(tr_tracker_spawn(tracker, &task, wait_for_own, &tracker, NULL), 0);
    expect_int(test_join(task), -EDEADLK);
    tr_tracker_destroy(tracker);
}

/* Many come and go; the wait that ends after the close has seen them all go. */
static struct tr_tracker *busy;
static atomic_int alive;

static int come_and_go(void *argument)
{
    atomic_fetch_add(&alive, 1);
    if ((uintptr_t)argument % 3 == 0)
        expect_int(tr_yield(), 0);
    atomic_fetch_sub(&alive, 1);
    return 0;
}

static int spawn_many(void *argument)
{
    for (uintptr_t i = 0; i < 2000; i++)
        expect_int(tr_tracker_spawn(busy, NULL, come_and_go, (void *)i, NULL), 0);
    return argument == NULL;
}

TASK_TEST(tracker_count_is_right_under_load)
{
    struct tr_task spawners[4];
    busy = make();
    for (int i = 0; i < 4; i++)
        spawners[i] = test_task(spawn_many, busy);
    for (int i = 0; i < 4; i++)
        expect_int(test_join(spawners[i]), 0);
    tr_tracker_close(busy);
    expect_int(tr_tracker_wait(busy, tr_after(LONG_TIME)), 0);
    expect_int(atomic_load(&alive), 0);
    expect_int(tr_tracker_count(busy), 0);
    tr_tracker_destroy(busy);
}

static atomic_bool enough;

static void *close_again(void *argument)
{
    while (!atomic_load(&enough))
        expect(!tr_tracker_close(argument));
    return NULL;
}

/* A close that changes nothing is seen by nobody. */
TASK_TEST_ON(1, tracker_closed_again_stays_empty)
{
    struct tr_tracker *tracker = make();
    expect(tr_tracker_close(tracker));
    pthread_t thread;
    expect_int(pthread_create(&thread, NULL, close_again, tracker), 0);
    for (int i = 0; i < 200000; i++) {
        expect_int(tr_tracker_count(tracker), 0);
        expect_int(tr_tracker_wait(tracker, TR_NOW), 0);
    }
    atomic_store(&enough, true);
    expect_int(pthread_join(thread, NULL), 0);
    tr_tracker_destroy(tracker);
}

int main(void)
{
    return test_main("tracker", TESTS(tracker_table_of_states, tracker_wait_needs_close_and_all_gone,
                                      tracker_destroyed_cancels_nobody, tracker_waits_for_tasks_whatever_their_end,
                                      tracker_waited_for_by_one_it_tracks_edeadlk, tracker_count_is_right_under_load,
                                      tracker_closed_again_stays_empty));
}
