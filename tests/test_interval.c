/* SPDX-License-Identifier: MIT */
/*
 * test_interval.c: intervals by their promises: the first tick at once, never early, nothing taken by a wait that fails,
 * and the three behaviours when ticks were missed. A task's clock stands still while it does not suspend, so lateness is
 * made by beginning in the past, and every figure of the tables is exact.
 */
#include "tests/support.h"

#define MS TR_MILLISECOND

START_TEST(init_refuses_what_is_no_interval)
{
    struct tr_interval interval;
    expect_int(tr_interval_init(&interval, 0, TR_MISSED_BURST), -EINVAL);
    expect_int(tr_interval_init(&interval, -1, TR_MISSED_SKIP), -EINVAL);
    expect_int(tr_interval_init(&interval, INT64_MIN, TR_MISSED_DELAY), -EINVAL);
    expect_int(tr_interval_init(&interval, MS, (enum tr_missed)3), -EINVAL);
    expect_int(tr_interval_init_at(&interval, 5, 0, TR_MISSED_BURST), -EINVAL);
    expect_int(tr_interval_init_at(&interval, -5, MS, TR_MISSED_BURST), 0);
    expect_int(tr_interval_next(&interval), 0);
}
END_TEST

TASK_TEST(first_tick_is_due_at_once)
{
    struct tr_interval interval;
    tr_time now = tr_after(0), scheduled = -1;
    expect_int(tr_interval_init(&interval, 3600 * TR_SECOND, TR_MISSED_BURST), 0);
    expect_int(tr_interval_tick(&interval, &scheduled, TR_NOW), 0);
    expect_int(scheduled, now);
    expect_int(tr_interval_next(&interval), now + 3600 * TR_SECOND);
    expect_int(tr_interval_tick(&interval, NULL, TR_NOW), -ETIMEDOUT);
}

/*
 * After a tick that is `late`, the next is due `then` after its own time (on the grid) or after now (a new grid). A table of
 * the three behaviours around each border of the tolerance: a period, 5 ms, two timer ticks.
 */
enum from { GRID, NOW };
static const struct {
    int64_t period, late;
    struct {
        enum from from;
        int64_t then;
    } burst, delay, skip;
} late_ticks[] = {
    { 10 * MS, 0, { GRID, 10 * MS }, { GRID, 10 * MS }, { GRID, 10 * MS } },
    { 10 * MS, 1, { GRID, 10 * MS }, { GRID, 10 * MS }, { GRID, 10 * MS } },
    { 10 * MS, 5 * MS, { GRID, 10 * MS }, { GRID, 10 * MS }, { GRID, 10 * MS } },
    { 10 * MS, 5 * MS + 1, { GRID, 10 * MS }, { NOW, 10 * MS }, { GRID, 10 * MS } },
    { 10 * MS, 9 * MS, { GRID, 10 * MS }, { NOW, 10 * MS }, { GRID, 10 * MS } },
    { 10 * MS, 10 * MS, { GRID, 10 * MS }, { NOW, 10 * MS }, { GRID, 20 * MS } },
    { 10 * MS, 23 * MS, { GRID, 10 * MS }, { NOW, 10 * MS }, { GRID, 30 * MS } },
    { 10 * MS, 30 * MS - 1, { GRID, 10 * MS }, { NOW, 10 * MS }, { GRID, 30 * MS } },
    { 10 * MS, 30 * MS, { GRID, 10 * MS }, { NOW, 10 * MS }, { GRID, 40 * MS } },
    { MS, MS, { GRID, MS }, { GRID, MS }, { GRID, MS } },
    { MS, MS + 1, { GRID, MS }, { NOW, MS }, { GRID, 2 * MS } },
    { MS, 4 * MS + 7, { GRID, MS }, { NOW, MS }, { GRID, 5 * MS } },
    { 1000, 2 * TR_TIMER_TICK, { GRID, 1000 }, { GRID, 1000 }, { GRID, 1000 } },
    { 1000, 263000, { GRID, 1000 }, { NOW, 1000 }, { GRID, 264000 } },
    { 1, 300000, { GRID, 1 }, { NOW, 1 }, { GRID, 300001 } },
    { 3600 * TR_SECOND, 6 * MS, { GRID, 3600 * TR_SECOND }, { NOW, 3600 * TR_SECOND }, { GRID, 3600 * TR_SECOND } },
};

static void check_late(int64_t period, int64_t late, enum tr_missed missed, enum from from, int64_t then)
{
    struct tr_interval interval;
    tr_time now = tr_after(0), scheduled = 0;
    expect_int(tr_interval_init_at(&interval, now - late, period, missed), 0);
    expect_int(tr_interval_tick(&interval, &scheduled, TR_NOW), 0);
    expect_int(tr_after(0), now);
    expect_int(scheduled, now - late);
    expect_int(tr_interval_next(&interval), (from == NOW ? now : now - late) + then);
}

TASK_TEST(missed_ticks_follow_the_table)
{
    for (size_t i = 0; i < sizeof late_ticks / sizeof *late_ticks; i++) {
        int64_t period = late_ticks[i].period, late = late_ticks[i].late;
        check_late(period, late, TR_MISSED_BURST, late_ticks[i].burst.from, late_ticks[i].burst.then);
        check_late(period, late, TR_MISSED_DELAY, late_ticks[i].delay.from, late_ticks[i].delay.then);
        check_late(period, late, TR_MISSED_SKIP, late_ticks[i].skip.from, late_ticks[i].skip.then);
        expect_int(tr_yield(), 0); /* so that the budget never runs out in between, and the clock stands */
    }
}

/* The picture in time.h, from the tick at 20 on, with a millisecond as its unit: busy until 43. */
static void check_picture(enum tr_missed missed, const int *due, int at_once)
{
    struct tr_interval interval;
    expect_int(tr_yield(), 0);
    tr_time now = tr_after(0), zero = now - 43 * MS, scheduled;
    expect_int(tr_interval_init_at(&interval, zero + 20 * MS, 10 * MS, missed), 0);
    for (int i = 0; i < at_once; i++) {
        expect_int(tr_interval_tick(&interval, &scheduled, TR_NOW), 0);
        expect_int(scheduled, zero + due[i] * MS);
    }
    expect_int(tr_interval_tick(&interval, NULL, TR_NOW), -ETIMEDOUT);
    expect_int(tr_interval_next(&interval), zero + due[at_once] * MS);
}

TASK_TEST(missed_ticks_follow_the_picture)
{
    check_picture(TR_MISSED_BURST, (const int[]){ 20, 30, 40, 50 }, 3);
    check_picture(TR_MISSED_DELAY, (const int[]){ 20, 53 }, 1);
    check_picture(TR_MISSED_SKIP, (const int[]){ 20, 50 }, 1);
}

TASK_TEST(a_wait_that_fails_takes_no_tick)
{
    struct tr_interval interval;
    tr_time now = tr_after(0), first = now + LONG_TIME, scheduled = 7;
    expect_int(tr_interval_init_at(&interval, first, MS, TR_MISSED_SKIP), 0);
    expect_int(tr_interval_tick(&interval, &scheduled, TR_NOW), -ETIMEDOUT);
    expect_int(tr_interval_tick(&interval, &scheduled, now + MS), -ETIMEDOUT);
    expect(tr_clock() >= now + MS);
    struct tr_shield shield;
    tr_shield_open(&shield, now + 2 * MS);
    expect_int(tr_interval_tick(&interval, &scheduled, TR_FOREVER), -ETIMEDOUT);
    tr_shield_close(&shield);
    expect_int(tr_task_cancel(tr_task_self()), 0);
    expect_int(tr_interval_tick(&interval, &scheduled, TR_FOREVER), -ECANCELED);
    expect(tr_cancel_taken());
    expect_int(scheduled, 7);
    expect_int(tr_interval_next(&interval), first);
    first = tr_after(MS);
    expect_int(tr_interval_init_at(&interval, first, MS, TR_MISSED_SKIP), 0);
    expect_int(tr_interval_tick(&interval, &scheduled, TR_FOREVER), 0);
    expect_int(scheduled, first);
    expect(tr_clock() >= first);
}

/* A tick that is due is not lost to a deadline that has passed as well; a cancellation comes first, and takes nothing. */
TASK_TEST(a_tick_that_is_due_is_taken_late_too)
{
    struct tr_interval interval;
    tr_time now = tr_after(0);
    expect_int(tr_interval_init_at(&interval, now - MS, 10 * MS, TR_MISSED_BURST), 0);
    expect_int(tr_task_cancel(tr_task_self()), 0);
    expect_int(tr_interval_tick(&interval, NULL, TR_FOREVER), -ECANCELED);
    expect(tr_cancel_taken());
    expect_int(tr_interval_next(&interval), now - MS);
    expect_int(tr_interval_tick(&interval, NULL, now - 2 * MS), 0);
    expect_int(tr_interval_next(&interval), now + 9 * MS);
}

static int wait_for_tick(void *argument)
{
    return tr_interval_tick(argument, NULL, TR_FOREVER);
}

TASK_TEST(a_waiting_tick_ends_with_the_cancellation)
{
    static struct tr_interval interval;
    expect_int(tr_interval_init_at(&interval, tr_after(3600 * TR_SECOND), MS, TR_MISSED_BURST), 0);
    tr_time next = tr_interval_next(&interval);
    struct tr_task task = test_task(wait_for_tick, &interval);
    expect_int(tr_sleep(MS), 0);
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), -ECANCELED);
    expect_int(tr_interval_next(&interval), next);
}

TASK_TEST(ticks_come_on_the_grid_and_never_early)
{
    static const enum tr_missed behaviours[] = { TR_MISSED_BURST, TR_MISSED_DELAY, TR_MISSED_SKIP };
    for (int b = 0; b < 3; b++) {
        struct tr_interval interval;
        tr_time first = tr_after(MS), scheduled, before = 0;
        expect_int(tr_interval_init_at(&interval, first, 2 * MS, behaviours[b]), 0);
        for (int i = 0; i < 20; i++) {
            expect_int(tr_interval_tick(&interval, &scheduled, TR_FOREVER), 0);
            expect(tr_clock() >= scheduled && scheduled > before);
            if (behaviours[b] != TR_MISSED_DELAY)
                expect_int((scheduled - first) % (2 * MS), 0);
            if (behaviours[b] == TR_MISSED_BURST)
                expect_int(scheduled, first + 2 * MS * i);
            before = scheduled;
        }
    }
}

TASK_TEST(resets_move_the_next_tick)
{
    struct tr_interval interval;
    tr_time now = tr_after(0);
    expect_int(tr_interval_init(&interval, 10 * MS, TR_MISSED_SKIP), 0);
    tr_interval_reset(&interval);
    expect_int(tr_interval_next(&interval), now + 10 * MS);
    tr_interval_reset_after(&interval, 3 * MS);
    expect_int(tr_interval_next(&interval), now + 3 * MS);
    tr_interval_reset_after(&interval, -3 * MS);
    expect_int(tr_interval_next(&interval), now);
    tr_interval_reset_at(&interval, now - 5);
    expect_int(tr_interval_next(&interval), now - 5);
    tr_interval_reset_at(&interval, -5);
    expect_int(tr_interval_next(&interval), 0);
    tr_interval_reset_at(&interval, TR_FOREVER);
    expect_int(tr_interval_next(&interval), TR_FOREVER);
    expect_int(tr_interval_tick(&interval, NULL, tr_after(MS)), -ETIMEDOUT);
    tr_interval_reset_after(&interval, INT64_MAX);
    expect_int(tr_interval_next(&interval), TR_FOREVER);
    tr_interval_reset_now(&interval);
    expect_int(tr_interval_tick(&interval, NULL, TR_NOW), 0);
}

/* The grid follows a reset: tick after it counts from the new time. */
TASK_TEST(a_reset_begins_a_new_grid)
{
    struct tr_interval interval;
    tr_time now = tr_after(0), scheduled;
    expect_int(tr_interval_init_at(&interval, now - 3, 10 * MS, TR_MISSED_BURST), 0);
    expect_int(tr_interval_tick(&interval, NULL, TR_NOW), 0);
    tr_interval_reset_at(&interval, now - 1);
    expect_int(tr_interval_tick(&interval, &scheduled, TR_NOW), 0);
    expect_int(scheduled, now - 1);
    expect_int(tr_interval_next(&interval), now - 1 + 10 * MS);
}

TASK_TEST(longest_period_saturates)
{
    struct tr_interval interval;
    expect_int(tr_interval_init(&interval, INT64_MAX, TR_MISSED_BURST), 0);
    expect_int(tr_interval_tick(&interval, NULL, TR_NOW), 0);
    expect_int(tr_interval_next(&interval), TR_FOREVER);
    expect_int(tr_interval_tick(&interval, NULL, tr_after(MS)), -ETIMEDOUT);
    expect_int(tr_interval_init_at(&interval, 0, INT64_MAX, TR_MISSED_DELAY), 0);
    expect_int(tr_interval_tick(&interval, NULL, TR_NOW), 0);
    expect_int(tr_interval_next(&interval), TR_FOREVER);
}

START_TEST(a_foreign_thread_has_intervals_too)
{
    struct tr_interval interval;
    expect_int(tr_interval_init_at(&interval, tr_after(LONG_TIME), MS, TR_MISSED_BURST), 0);
    expect_int(tr_interval_tick(&interval, NULL, TR_NOW), -ETIMEDOUT);
    tr_time first = tr_after(MS), scheduled;
    tr_interval_reset_at(&interval, first);
    for (int i = 0; i < 5; i++) {
        expect_int(tr_interval_tick(&interval, &scheduled, TR_FOREVER), 0);
        expect_int(scheduled, first + i * MS);
        expect(tr_clock() >= scheduled);
    }
}
END_TEST

/* Sleeping, by the borders of its range. */
TASK_TEST(sleep_takes_any_span)
{
    struct tr_shield shield;
    tr_time until = tr_after(2 * MS);
    tr_shield_open(&shield, until);
    static const int64_t spans[] = { INT64_MAX, INT64_MAX - 1, INT64_C(1) << 62, INT64_C(1) << 55, INT64_C(1) << 47 };
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
        expect_int(tr_sleep(spans[i]), -ETIMEDOUT);
    expect_int(tr_sleep_until(TR_FOREVER), -ETIMEDOUT);
    expect_int(tr_sleep(0), 0); /* a past time is reached, whatever the shield */
    expect_int(tr_sleep_until(INT64_MIN), 0);
    tr_shield_close(&shield);
    expect(tr_clock() >= until);
    expect_int(tr_task_cancel(tr_task_self()), 0);
    expect_int(tr_sleep(0), -ECANCELED);
    expect_int(tr_sleep_until(INT64_MIN), -ECANCELED);
    tr_shield_open(&shield, tr_after(LONG_TIME));
    expect_int(tr_sleep(MS), 0); /* deaf to the cancellation */
    tr_shield_close(&shield);
    expect(tr_cancel_taken());
    expect_int(tr_sleep(INT64_MIN), 0);
}

int main(void)
{
    return test_main("interval",
                     TESTS(init_refuses_what_is_no_interval, first_tick_is_due_at_once, missed_ticks_follow_the_table,
                           missed_ticks_follow_the_picture, a_wait_that_fails_takes_no_tick,
                           a_tick_that_is_due_is_taken_late_too, a_waiting_tick_ends_with_the_cancellation,
                           ticks_come_on_the_grid_and_never_early, resets_move_the_next_tick, a_reset_begins_a_new_grid,
                           longest_period_saturates, a_foreign_thread_has_intervals_too, sleep_takes_any_span));
}
