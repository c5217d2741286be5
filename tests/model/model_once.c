/* SPDX-License-Identifier: MIT */
/*
 * model_once.c: what happens once, shared by all: the once, the cell, the latch, and the barrier, which happens again and again.
 *
 *   made        two run it x one only waits x one looks: it is made once, and seen by all
 *   fails       the first maker fails x another waits to make it x one that gives up: made by whoever remains
 *   waits       a maker that fails x one that makes it later x one that only waits
 *   set         two set a cell x one waits x one looks: one value
 *   latch       two count x one waits x one looks: what both did is seen
 *   latch ends  a wait that gives up, and a select
 *   meeting     three meet, one leads
 *   again       two meet twice
 *   gives up    two meet x one gives up and may come again
 */
#include "fake_monitor.h"
#include "fake_waiter.h"

#include "mailbox/bias.c"
#include "mailbox/monitor.c"
#include "mailbox/pool.c"
#include "mailbox/wait.c"

/* Each has functions of these names. */
#define attempt once_attempt
#define enter once_enter
#define monitor_of once_monitor
#include "mailbox/once.c"
#undef attempt
#undef enter
#undef monitor_of
#define attempt cell_attempt
#define enter cell_enter
#include "mailbox/cell.c"
#undef attempt
#undef enter
#define attempt latch_attempt
#define enter latch_enter
#define monitor_of latch_monitor
#include "mailbox/latch.c"
#undef attempt
#undef enter
#undef monitor_of
#define attempt barrier_attempt
#define enter barrier_enter
#define leave barrier_leave
#define monitor_of barrier_monitor
#include "mailbox/barrier.c"
#undef attempt
#undef enter
#undef leave
#undef monitor_of

static struct tr_once once;
static struct tr_cell cell;
static struct tr_latch latch;
static struct tr_barrier barrier;
static int data, parts[MODEL_THREADS], results[MODEL_THREADS];
static unsigned makes;

static void setup(void)
{
    tr_latch_init(&latch, 2);
    tr_barrier_init(&barrier, 2);
    model_share(once_monitor(&once));
    model_share(&cell_of(&cell)->monitor);
    model_share(latch_monitor(&latch));
    model_share(barrier_monitor(&barrier));
}

static void check_rest(void)
{
    model_assert(model_at_rest(once_monitor(&once)) && model_at_rest(&cell_of(&cell)->monitor));
    model_assert(model_at_rest(latch_monitor(&latch)) && model_at_rest(barrier_monitor(&barrier)));
}

/* ---- once ------------------------------------------------------------------------------------------------------ */

static int make(void *unused)
{
    (void)unused;
    makes++;
    data = 7;
    return 0;
}

/* What it began it does not leave behind. */
static int fail_to_make(void *unused)
{
    (void)unused;
    data = 3;
    return -ENOTSUP;
}

static void run(void)
{
    model_assert(tr_once_run(&once, make, NULL, TR_FOREVER) == 0);
    model_assert(data == 7);
}

static void run_failing(void)
{
    int rc = tr_once_run(&once, fail_to_make, NULL, TR_FOREVER);
    model_assert(rc == 0 ? data == 7 : rc == -ENOTSUP);
}

static void run_bounded(void)
{
    int rc = tr_once_run(&once, make, NULL, 1);
    model_assert(rc == 0 ? data == 7 : rc == -ETIMEDOUT);
}

static void await_made(void)
{
    model_assert(tr_once_wait(&once, TR_FOREVER) == 0);
    model_assert(data == 7);
}

static void look_at_once(void)
{
    if (tr_once_is_made(&once))
        model_assert(data == 7);
    int rc = tr_once_try_begin(&once);
    if (rc == 1)
        model_assert(tr_once_end(&once, false) == 0);
    model_assert(rc == 1 || rc == 0 || rc == -EAGAIN);
    model_assert(tr_once_end(&once, true) == -EINVAL);
}

static void check_made(void)
{
    check_rest();
    model_assert(makes == 1 && tr_once_is_made(&once));
}

/* ---- cell ------------------------------------------------------------------------------------------------------ */

static void set_part(void)
{
    int self = model_self();
    parts[self] = 1;
    results[self] = tr_cell_set(&cell, &parts[self]);
    int *value = tr_cell_get(&cell);
    model_assert(value && *value == 1);
}

static void wait_cell(void)
{
    void *value = NULL;
    model_assert(tr_cell_wait(&cell, &value, TR_FOREVER) == 0);
    model_assert(*(int *)value == 1);
}

static void look_at_cell(void)
{
    int *value = tr_cell_get(&cell);
    model_assert(!value || *value == 1);
}

static void check_set(void)
{
    check_rest();
    model_assert(results[0] + results[1] == 1 && tr_cell_get(&cell) == &parts[results[1] ? 1 : 0]);
}

/* ---- latch ----------------------------------------------------------------------------------------------------- */

static void count_down(void)
{
    parts[model_self()] = 1;
    model_assert(tr_latch_count_down(&latch, 1) == 0);
}

static void wait_latch(void)
{
    model_assert(tr_latch_wait(&latch, TR_FOREVER) == 0);
    model_assert(parts[0] == 1 && parts[1] == 1);
}

static void look_at_latch(void)
{
    if (tr_latch_try_wait(&latch) == 0)
        model_assert(parts[0] == 1 && parts[1] == 1);
}

static void wait_latch_bounded(void)
{
    int rc = tr_latch_wait(&latch, 1);
    model_assert(rc == 0 ? parts[0] == 1 && parts[1] == 1 : rc == -ETIMEDOUT);
}

static void select_latch(void)
{
    struct tr_case cases[] = { tr_case_latch(&latch), tr_case_once(&once) };
    model_assert(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR) == 0 && cases[0].result == 0);
    model_assert(parts[0] == 1 && parts[1] == 1);
}

static void check_latch(void)
{
    check_rest();
    model_assert(tr_latch_count(&latch) == 0);
}

/* ---- barrier --------------------------------------------------------------------------------------------------- */

static void setup_three(void)
{
    setup();
    tr_barrier_init(&barrier, 3);
    model_share(barrier_monitor(&barrier));
}

static void meet(void)
{
    parts[model_self()] = 1;
    int rc = tr_barrier_wait(&barrier, TR_FOREVER);
    model_assert(rc == 0 || rc == 1);
    results[model_self()] += rc;
}

static void meet_three(void)
{
    meet();
    model_assert(parts[0] == 1 && parts[1] == 1 && parts[2] == 1);
}

static void meet_twice(void)
{
    meet();
    model_assert(parts[0] == 1 && parts[1] == 1);
    results[model_self()] += tr_barrier_wait(&barrier, TR_FOREVER);
}

static void meet_bounded(void)
{
    parts[model_self()] = 1;
    int rc = tr_barrier_wait(&barrier, 1);
    if (rc == -ETIMEDOUT)
        rc = tr_barrier_wait(&barrier, TR_FOREVER);
    model_assert(rc == 0 || rc == 1);
    results[model_self()] += rc;
    model_assert(parts[0] == 1 && parts[1] == 1);
}

static void meet_two(void)
{
    meet();
    model_assert(parts[0] == 1 && parts[1] == 1);
}

static void check_one_leader(void)
{
    check_rest();
    model_assert(results[0] + results[1] + results[2] == 1 && tr_barrier_waiting(&barrier) == 0);
}

static void check_two_leaders(void)
{
    check_rest();
    model_assert(results[0] + results[1] == 2 && tr_barrier_waiting(&barrier) == 0);
}

static const struct model_case cases[] = {
    { .name = "made",
      .setup = setup,
      .check = check_made,
      .threads = { { "one", run, 0 }, { "two", run, 0 }, { "waits", await_made, 0 } } },
    { .name = "looked at",
      .setup = setup,
      .check = check_made,
      .threads = { { "runs", run, 0 }, { "looks", look_at_once, 0 } } },
    { .name = "fails",
      .setup = setup,
      .check = check_made,
      .threads = { { "fails", run_failing, 0 }, { "runs", run, 0 }, { "gives up", run_bounded, 0 } } },
    { .name = "waits",
      .setup = setup,
      .check = check_made,
      .threads = { { "fails", run_failing, 0 }, { "runs", run, 0 }, { "waits", await_made, 0 } } },
    { .name = "set",
      .setup = setup,
      .check = check_set,
      .threads = { { "one", set_part, 0 },
                   { "two", set_part, 0 },
                   { "waits", wait_cell, 0 },
                   { "looks", look_at_cell, 0 } } },
    { .name = "latch",
      .setup = setup,
      .check = check_latch,
      .threads = { { "one", count_down, 0 },
                   { "two", count_down, 0 },
                   { "waits", wait_latch, 0 },
                   { "looks", look_at_latch, 0 } } },
    { .name = "latch ends",
      .setup = setup,
      .check = check_latch,
      .threads = { { "one", count_down, 0 },
                   { "two", count_down, 0 },
                   { "gives up", wait_latch_bounded, 0 },
                   { "selects", select_latch, 0 } } },
    { .name = "meeting",
      .setup = setup_three,
      .check = check_one_leader,
      .threads = { { "one", meet_three, 0 }, { "two", meet_three, 0 }, { "three", meet_three, 0 } } },
    { .name = "again",
      .setup = setup,
      .check = check_two_leaders,
      .threads = { { "one", meet_twice, 0 }, { "two", meet_twice, 0 } } },
    { .name = "gives up",
      .setup = setup,
      .check = check_one_leader,
      .threads = { { "one", meet_two, 0 }, { "gives up", meet_bounded, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
