/* SPDX-License-Identifier: MIT */
/*
 * test_barrier.c: the barrier by the promises of troupe/barrier.h: one leader a meeting, meetings without end, and who gives up
 * has not come.
 */
#include "tests/script.h"

#include <pthread.h>

_Static_assert(sizeof(struct tr_barrier) <= 16, "as promised");

enum { WAIT, WAITING };

static struct tr_barrier barrier = TR_BARRIER_INIT(3);
static uint32_t wanted = 3; /* of the next reset */

static int perform(int operation, int64_t argument, tr_time deadline)
{
    (void)argument;
    return operation == WAIT ? tr_barrier_wait(&barrier, deadline) : (int)tr_barrier_waiting(&barrier);
}

static uint64_t *reset(void)
{
    expect_int(tr_barrier_init(&barrier, wanted), 0);
    return &barrier.tri_word;
}

static const struct script_suite suite = { perform, reset };

static const struct script scripts[] = {
    { "the last leads, and the next meeting begins empty",
      STEPS({ A, WAIT, 0, WAITS }, { B, WAIT, 0, WAITS }, { E, WAITING, 0, 2 }, { C, WAIT, 0, 1 }, { A, RETURNS, 0, 0 },
            { B, RETURNS, 0, 0 }, { E, WAITING, 0, 0 }, { C, WAIT, 0, WAITS }, { D, WAIT, 0, WAITS }, { A, WAIT, 0, 1 },
            { C, RETURNS, 0, 0 }, { D, RETURNS, 0, 0 }) },
    { "who gives up has not come", STEPS({ A, WAIT, 0, WAITS }, { B, WAIT, 0, WAITS }, { A, CANCEL, 0, -ECANCELED },
                                         { E, WAITING, 0, 1 }, { C, WAIT, 0, WAITS }, { B, STILL, 0, WAITS },
                                         { A, WAIT, 0, 1 }, { B, RETURNS, 0, 0 }, { C, RETURNS, 0, 0 }) },
    { "nor who runs out of time",
      STEPS({ A, WAIT + BRIEF, 0, MAYBE }, { A, RETURNS, 0, -ETIMEDOUT }, { E, WAITING, 0, 0 },
            { A, WAIT + AT_ONCE, 0, -ETIMEDOUT }, { A, WAIT, 0, WAITS }, { B, WAIT, 0, WAITS },
            { C, WAIT + AT_ONCE, 0, 1 }, { A, RETURNS, 0, 0 }, { B, RETURNS, 0, 0 }) },
    { 0 },
};

static const struct script alone_scripts[] = {
    { "alone", STEPS({ A, WAIT, 0, 1 }, { A, WAIT, 0, 1 }, { B, WAIT, 0, 1 }, { E, WAITING, 0, 0 }) },
    { 0 },
};

TASK_TEST_ON(1, barrier_scripts)
{
    script_run(scripts, &suite);
}

TASK_TEST_ON(1, barrier_of_none_is_of_one)
{
    for (wanted = 0; wanted <= 1; wanted++)
        script_run(alone_scripts, &suite);
    expect_int(tr_barrier_init(&barrier, TR_BARRIER_LIMIT), -EINVAL);
    expect_int(tr_barrier_init(&barrier, TR_BARRIER_LIMIT - 1), 0);
    expect_int(tr_barrier_wait(&barrier, TR_NOW), -ETIMEDOUT);
}

/* ---- steps of many --------------------------------------------------------------------------------------------- */

enum { MEMBERS = 6, MEETINGS = 500 };

static int at[MEMBERS]; /* the step each is in: written before, read after the meeting */
static atomic_int leaders;
static struct tr_barrier both = TR_BARRIER_INIT(MEMBERS);

static void meet(int self)
{
    for (int step = 1; step <= MEETINGS; step++) {
        at[self] = step;
        int rc = tr_barrier_wait(&both, tr_after(LONG_TIME));
        expect(rc == 0 || rc == 1);
        atomic_fetch_add(&leaders, rc);
        for (int i = 0; i < MEMBERS; i++)
            expect_int(at[i], step);
        rc = tr_barrier_wait(&both, tr_after(LONG_TIME));
        expect(rc == 0 || rc == 1);
        atomic_fetch_add(&leaders, rc);
    }
}

static int meet_in_task(void *argument)
{
    meet((int)(intptr_t)argument);
    return 0;
}

static void *meet_in_thread(void *argument)
{
    meet((int)(intptr_t)argument);
    return NULL;
}

TASK_TEST(barrier_of_tasks_and_threads)
{
    pthread_t threads[2];
    struct tr_task tasks[MEMBERS];
    for (intptr_t i = 2; i < MEMBERS; i++)
        tasks[i] = test_task(meet_in_task, (void *)i);
    for (intptr_t i = 0; i < 2; i++)
        expect_int(pthread_create(&threads[i], NULL, meet_in_thread, (void *)i), 0);
    for (int i = 2; i < MEMBERS; i++)
        expect_int(test_join(tasks[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    expect_int(atomic_load(&leaders), 2 * MEETINGS);
}

int main(void)
{
    return test_main("barrier", TESTS(barrier_scripts, barrier_of_none_is_of_one, barrier_of_tasks_and_threads));
}
