/* SPDX-License-Identifier: MIT */
/*
 * test_latch.c: the countdown latch by the promises of troupe/latch.h, and its memory: used anew as soon as the wait has returned.
 */
#include "tests/script.h"

#include <pthread.h>

_Static_assert(sizeof(struct tr_latch) <= 16, "as promised");

enum { WAIT, TRY, DOWN, COUNT };

static struct tr_latch latch = TR_LATCH_INIT(3);

static int perform(int operation, int64_t argument, tr_time deadline)
{
    switch (operation) {
    case WAIT:
        return tr_latch_wait(&latch, deadline);
    case TRY:
        return tr_latch_try_wait(&latch);
    case DOWN:
        return tr_latch_count_down(&latch, (uint64_t)argument);
    default:
        return (int)tr_latch_count(&latch);
    }
}

static uint64_t *reset(void)
{
    expect_int(tr_latch_init(&latch, 3), 0);
    return &latch.tri_word;
}

static const struct script_suite suite = { perform, reset };

static const struct script scripts[] = {
    { "all go on at zero, and from then on",
      STEPS({ A, WAIT, 0, WAITS }, { B, WAIT, 0, WAITS }, { C, COUNT, 0, 3 }, { C, DOWN, 1, 0 }, { C, TRY, 0, -EAGAIN },
            { C, DOWN, 1, 0 }, { A, STILL, 0, WAITS }, { C, COUNT, 0, 1 }, { C, DOWN, 1, 0 }, { A, RETURNS, 0, 0 },
            { B, RETURNS, 0, 0 }, { C, TRY, 0, 0 }, { C, WAIT, 0, 0 }, { C, WAIT + AT_ONCE, 0, 0 }) },
    { "by several", STEPS({ A, DOWN, 2, 0 }, { B, WAIT, 0, WAITS }, { A, DOWN, 1, 0 }, { B, RETURNS, 0, 0 }) },
    { "not below zero", STEPS({ A, DOWN, 4, -EINVAL }, { A, COUNT, 0, 3 }, { B, WAIT, 0, WAITS },
                              { A, DOWN, 4, -EINVAL }, { B, STILL, 0, WAITS }, { A, DOWN, 3, 0 }, { B, RETURNS, 0, 0 },
                              { A, DOWN, 1, -EINVAL }, { A, DOWN, 0, 0 }) },
    { "by nothing", STEPS({ A, DOWN, 0, 0 }, { A, COUNT, 0, 3 }) },
    { "waits that end otherwise",
      STEPS({ A, WAIT, 0, WAITS }, { B, WAIT + BRIEF, 0, MAYBE }, { A, CANCEL, 0, -ECANCELED },
            { B, RETURNS, 0, -ETIMEDOUT }, { C, WAIT + AT_ONCE, 0, -ETIMEDOUT }, { C, WAIT, 0, WAITS },
            { A, DOWN, 3, 0 }, { C, RETURNS, 0, 0 }) },
    { 0 },
};

TASK_TEST_ON(1, latch_scripts)
{
    script_run(scripts, &suite);
}

TASK_TEST_ON(1, latch_limits)
{
    struct tr_latch none;
    expect_int(tr_latch_init(&none, TR_LATCH_LIMIT), -EINVAL);
    expect_int(tr_latch_init(&none, TR_LATCH_LIMIT - 1), 0);
    expect(tr_latch_count(&none) == TR_LATCH_LIMIT - 1);
    expect_int(tr_latch_count_down(&none, TR_LATCH_LIMIT - 1), 0);
    expect_int(tr_latch_wait(&none, TR_FOREVER), 0);
    expect_int(tr_latch_init(&none, 0), 0);
    expect_int(tr_latch_wait(&none, TR_FOREVER), 0);
}

static int select_latch(void *timer)
{
    struct tr_case cases[] = { tr_case_latch(&latch), tr_case_timer(*(tr_time *)timer) };
    return tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR);
}

TASK_TEST_ON(1, latch_in_a_select)
{
    tr_time soon = tr_after(2 * TR_MILLISECOND), never = TR_FOREVER;
    struct tr_task first = test_task(select_latch, &soon), second = test_task(select_latch, &never);
    expect_int(test_join(first), 1);
    expect_int(tr_latch_count_down(&latch, 3), 0);
    expect_int(test_join(second), 0);
}

/* ---- on the frame of the one who waits ------------------------------------------------------------------------ */

struct part {
    struct tr_latch *latch;
    int *sum;
    int value;
};

static int count_in_task(void *argument)
{
    struct part *part = argument;
    *part->sum = part->value;
    expect_int(tr_latch_count_down(part->latch, 1), 0);
    return 0;
}

static void *count_in_thread(void *argument)
{
    count_in_task(argument);
    return NULL;
}

/* The latch is overwritten as soon as the wait has returned: whoever still touched it would find rubbish, and so would we. */
static void wait_on_frame(bool with_thread)
{
    struct tr_latch parts = TR_LATCH_INIT(3);
    int sums[3] = { 0 };
    struct part part[3];
    struct tr_task tasks[3];
    pthread_t thread;
    for (int i = 0; i < 3; i++)
        part[i] = (struct part){ &parts, &sums[i], i + 1 };
    int threads = with_thread ? 1 : 0;
    if (with_thread)
        expect_int(pthread_create(&thread, NULL, count_in_thread, &part[0]), 0);
    for (int i = threads; i < 3; i++)
        tasks[i] = test_task(count_in_task, &part[i]);
    expect_int(tr_latch_wait(&parts, tr_after(LONG_TIME)), 0);
    expect((parts.tri_word & ~TRI_HOME_MASK) == 0);
    memset(&parts, 0x5a, sizeof parts);
    expect_int(sums[0] + sums[1] + sums[2], 6);
    for (int i = threads; i < 3; i++)
        expect_int(test_join(tasks[i]), 0);
    if (with_thread)
        pthread_join(thread, NULL);
    for (size_t i = 0; i < sizeof parts; i++)
        expect_int(((unsigned char *)&parts)[i], 0x5a);
}

TASK_TEST(latch_on_a_frame_used_anew_at_once)
{
    for (int i = 0; i < 300; i++)
        wait_on_frame(i % 8 == 0);
}

int main(void)
{
    return test_main("latch",
                     TESTS(latch_scripts, latch_limits, latch_in_a_select, latch_on_a_frame_used_anew_at_once));
}
