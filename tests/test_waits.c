/* SPDX-License-Identifier: MIT */
/*
 * test_waits.c: what holds for every call that can suspend, tried on each (tests/waits.h has the table): a deadline that has passed
 * and a cancellation that is pending let it do nothing, whether it would have to wait or not; it ends a wait in time; and a loop
 * of calls that need not wait gives way to others.
 *
 * On one worker, where it is certain that what has been made ready is ready.
 */
#include "tests/waits.h"

enum { FEW = 3 };

static void try_each_row(int (*trial)(void *row))
{
    const struct wait_row *row;
    for (int i = 0; (row = wait_row(i)); i++) {
        struct tr_task task;
        test_loop(trial, (void *)(uintptr_t)row, 2 * WAIT_DEPTH, &task);
        wait_expect(row, test_join(task), 0);
    }
}

static void run_each_row(void (*body)(void))
{
    struct tr_options options = waits_options(1);
    test_run_with(&options, body);
}

#define ROW_TEST(name)                                                                                                 \
    static int name##_row(void *argument);                                                                             \
    static void name##_body(void)                                                                                      \
    {                                                                                                                  \
        try_each_row(name##_row);                                                                                      \
    }                                                                                                                  \
    START_TEST(name)                                                                                                   \
    {                                                                                                                  \
        run_each_row(name##_body);                                                                                     \
    }                                                                                                                  \
    END_TEST                                                                                                           \
    static int name##_row(void *argument)

static tr_time at_once(const struct wait_row *row)
{
    return row->flags & WAIT_ANSWER ? tr_after(LONG_TIME) : TR_NOW;
}

static void expect_through(const struct wait_row *row)
{
    int rc = row->call(at_once(row));
    if (rc < 0)
        wait_expect(row, rc, 0);
}

/*
 * The row has been made ready for `count` calls, and nothing has used one up: so many go through, with no need to wait. Then
 * the next would wait, unless the row stays ready.
 */
static void expect_untouched(const struct wait_row *row, int count)
{
    for (int i = 0; i < count; i++) {
        expect_through(row);
        if (row->flags & WAIT_TURN)
            wait_expect(row, row->call(TR_NOW), -ETIMEDOUT);
        if (row->again && (i < count - 1 || !(row->flags & WAIT_TURN)))
            row->again();
    }
    if (!row->again && !(row->flags & WAIT_LEVEL))
        wait_expect(row, row->call(TR_NOW), -ETIMEDOUT);
}

static void make_ready_and_end(const struct wait_row *row)
{
    if (row->ready) {
        row->ready(FEW);
        expect_untouched(row, FEW);
    }
    row->end();
}

static void cancel_self(void)
{
    expect_int(tr_task_cancel(tr_task_self()), 0);
}

/* ---- deadlines ------------------------------------------------------------------------------------------------ */

ROW_TEST(wait_with_a_deadline_that_has_passed_takes_nothing)
{
    const struct wait_row *row = argument;
    if (row->flags & (WAIT_SPAN | WAIT_NEVER))
        return 0;
    row->begin();
    const tr_time passed[] = { TR_NOW, TR_NOW + 1, tr_after(0), tr_after(-1), tr_clock() };
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        wait_expect(row, row->call(passed[i]), -ETIMEDOUT);
    make_ready_and_end(row);
    return 0;
}

ROW_TEST(wait_ends_at_its_deadline_and_takes_nothing)
{
    const struct wait_row *row = argument;
    if (row->flags & (WAIT_SPAN | WAIT_NEVER))
        return 0;
    row->begin();
    tr_time deadline = tr_clock() + 2 * TR_MILLISECOND;
    wait_expect(row, row->call(deadline), -ETIMEDOUT);
    expect(tr_clock() >= deadline);
    make_ready_and_end(row);
    return 0;
}

/* ---- cancellation --------------------------------------------------------------------------------------------- */

/* Whether it would have to wait or not, with any deadline, as often as it is called. */
static void expect_cancelled(const struct wait_row *row)
{
    cancel_self();
    wait_expect(row, row->call(TR_FOREVER), -ECANCELED);
    wait_expect(row, row->call(tr_after(LONG_TIME)), -ECANCELED);
    wait_expect(row, row->call(TR_NOW), -ECANCELED);
    expect(tr_cancel_taken());
}

ROW_TEST(wait_with_a_pending_cancellation_takes_nothing)
{
    const struct wait_row *row = argument;
    if (row->flags & WAIT_DEAF)
        return 0;
    row->begin();
    if (!(row->flags & WAIT_NEVER))
        expect_cancelled(row);
    if (row->ready) {
        row->ready(FEW);
        expect_cancelled(row);
        expect_untouched(row, FEW);
    }
    row->end();
    return 0;
}

static int cancel_it_when_it_waits(void *task)
{
    test_settle();
    return tr_task_cancel(*(struct tr_task *)task);
}

ROW_TEST(wait_that_is_cancelled_takes_nothing)
{
    const struct wait_row *row = argument;
    if (row->flags & WAIT_NEVER)
        return 0;
    row->begin();
    struct tr_task self = tr_task_self();
    struct tr_task canceller = test_task(cancel_it_when_it_waits, &self);
    wait_expect(row, row->call(TR_FOREVER), -ECANCELED);
    expect(tr_cancel_taken());
    expect_int(test_join(canceller), 0);
    make_ready_and_end(row);
    return 0;
}

/* Inside a shield it is as if there were none. */
ROW_TEST(wait_in_a_shield_ignores_a_cancellation)
{
    const struct wait_row *row = argument;
    struct tr_shield shield;
    row->begin();
    cancel_self();
    tr_shield_open(&shield, TR_FOREVER);
    if (!(row->flags & (WAIT_NEVER | WAIT_SPAN)))
        wait_expect(row, row->call(tr_after(TR_MILLISECOND)), -ETIMEDOUT);
    make_ready_and_end(row);
    tr_shield_close(&shield);
    expect(tr_cancel_taken());
    return 0;
}

/* ---- the budget ----------------------------------------------------------------------------------------------- */

static int note_that_it_ran(void *ran)
{
    *(bool *)ran = true;
    return 0;
}

/*
 * The other is ready all the time, and has run before more calls have been made than the budget has units. Who does wait for an
 * answer is resumed with a new budget, but only so often: of two that wake each other, in turns of a wake and many calls from
 * hand to hand, the others are due after 64 wakes in a row.
 */
enum { UNITS = 128, WAKES = 64 };

ROW_TEST(ready_calls_give_way_by_the_end_of_the_budget)
{
    const struct wait_row *row = argument;
    bool ran = false;
    int calls = 0, most = row->flags & WAIT_ANSWER ? UNITS * WAKES : UNITS;
    row->begin();
    if (row->ready)
        row->ready(WAIT_DEPTH);
    struct tr_task other = test_task(note_that_it_ran, &ran);
    for (; calls < most && !ran; calls++) {
        if (row->flags & WAIT_TIMID)
            wait_expect(row, row->call(tr_clock() + TR_MICROSECOND), -ETIMEDOUT);
        else
            expect_through(row);
        if (row->again)
            row->again();
    }
    if (!ran)
        test_fail(__FILE__, __LINE__, "%s: after %d calls the other has not run", row->name, calls);
    row->end();
    expect_int(test_join(other), 0);
    return 0;
}

int main(void)
{
    return test_main("waits",
                     TESTS(wait_with_a_deadline_that_has_passed_takes_nothing,
                           wait_ends_at_its_deadline_and_takes_nothing, wait_with_a_pending_cancellation_takes_nothing,
                           wait_that_is_cancelled_takes_nothing, wait_in_a_shield_ignores_a_cancellation,
                           ready_calls_give_way_by_the_end_of_the_budget));
}
