/* SPDX-License-Identifier: MIT */
/*
 * model_select.c: waits of one case and of several, on semaphores. In every case: permits are neither lost nor made, whoever
 * must be served is, what was done before a release is seen after the acquire, and a select carries out one case.
 *
 *   hand over   one waits x two release one each x another tries without waiting
 *   many        one waits for two permits x two release one each
 *   behind      a small wait behind a large one that gives up
 *   give up     a release x the waiter's deadline
 *   close       a close x a release x a waiter
 *   either      a select of two semaphores x a release of each: one is taken from, the other keeps its permit
 *   rivals      a select of two x a plain wait behind it x a release of each: no wake is lost on a wait that has ended
 *   crossed     two selects of the same two semaphores, one in each order x a release of each
 *   select ends a select of two x a release x its deadline
 */
#include "fake_monitor.h"
#include "fake_waiter.h"

#include "mailbox/bias.c"
#include "mailbox/monitor.c"
#include "mailbox/pool.c"
#include "mailbox/semaphore.c"
#include "mailbox/wait.c"

#include "fake_sync.h"

static struct tr_semaphore first, second;
static int data; /* handed on by the permits of `first` */
static int results[MODEL_THREADS];

static void setup(void)
{
    tr_semaphore_init(&first, 0);
    tr_semaphore_init(&second, 0);
    model_share(tri_semaphore_monitor(&first));
    model_share(tri_semaphore_monitor(&second));
}

static void release_first(void)
{
    model_assert(tr_semaphore_release(&first, 1) == 0);
}

static void release_second(void)
{
    model_assert(tr_semaphore_release(&second, 1) == 0);
}

static void release_with_data(void)
{
    data = 1;
    release_first();
}

static void note(int rc)
{
    results[model_self()] = rc == 0 ? 1 : rc;
}

static void wait_one(void)
{
    note(tr_semaphore_acquire(&first, 1, TR_FOREVER));
}

static void wait_for_data(void)
{
    note(tr_semaphore_acquire(&first, 1, TR_FOREVER));
    model_assert(data == 1);
    data = 2;
}

static void wait_two(void)
{
    note(tr_semaphore_acquire(&first, 2, TR_FOREVER));
}

static void wait_bounded(void)
{
    note(tr_semaphore_acquire(&first, 1, 1));
}

static void wait_two_bounded(void)
{
    note(tr_semaphore_acquire(&first, 2, 1));
}

static void try_one(void)
{
    note(tr_semaphore_try_acquire(&first, 1));
}

static void close_first(void)
{
    tr_semaphore_close(&first);
}

static void select_crossed(void)
{
    struct tr_case cases[] = { tr_case_acquire(&second, 1), tr_case_acquire(&first, 1) };
    int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_ORDERED);
    model_assert(which >= 0 && cases[which].result == 0);
    results[model_self()] = 11 - which;
}

static void select_ordered(void)
{
    struct tr_case cases[] = { tr_case_acquire(&first, 1), tr_case_acquire(&second, 1) };
    int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_ORDERED);
    model_assert(which >= 0 && cases[which].result == 0);
    results[model_self()] = 10 + which;
}

static void select_until(tr_time deadline)
{
    struct tr_case cases[] = { tr_case_acquire(&first, 1), tr_case_acquire(&second, 1) };
    int which = tr_select(cases, 2, deadline, TR_SELECT_FAIR);
    results[model_self()] = which < 0 ? which : 10 + which;
    model_assert(which < 0 || cases[which].result == 0);
}

static void select_either(void)
{
    select_until(TR_FOREVER);
}

static void select_bounded(void)
{
    select_until(1);
}

static unsigned count_results(int value)
{
    unsigned count = 0;
    for (unsigned t = 0; t < MODEL_THREADS; t++)
        count += results[t] == value;
    return count;
}

/* Of those released, what was not taken is there, and nobody is queued any more. */
static void check_permits(unsigned released_first, unsigned released_second, unsigned each)
{
    struct tri_monitor *a = tri_semaphore_monitor(&first), *b = tri_semaphore_monitor(&second);
    model_assert(tr_semaphore_available(&first) == released_first - each * count_results(1) - count_results(10));
    model_assert(tr_semaphore_available(&second) == released_second - count_results(11));
    model_assert(model_at_rest(a) && model_at_rest(b));
}

static void check_hand_over(void)
{
    model_assert(results[0] == 1 && (results[3] == 1 || results[3] == -EAGAIN));
    check_permits(2, 0, 1);
}

static void check_many(void)
{
    model_assert(results[0] == 1);
    check_permits(2, 0, 2);
}

static void check_behind(void)
{
    model_assert(results[1] == 1 || results[0] == 1);
    model_assert(results[1] == 1);
    check_permits(1, 0, 1);
}

static void check_give_up(void)
{
    check_permits(1, 0, 1);
}

static void check_close(void)
{
    model_assert(results[0] == 1 || results[0] == -EPIPE);
    check_permits(1, 0, 1);
    model_assert(tr_semaphore_is_closed(&first));
}

static void check_either(void)
{
    model_assert(count_results(10) + count_results(11) == 1);
    check_permits(1, 1, 1);
}

/* The plain wait may lose the only permit of `first` to the select; then it is served from what is released last. */
static void check_rivals(void)
{
    model_assert(results[1] == 1 && results[0] >= 10);
    check_permits(2, 1, 1);
}

static void check_crossed(void)
{
    model_assert(count_results(10) == 1 && count_results(11) == 1);
    check_permits(1, 1, 1);
}

static void release_first_twice(void)
{
    release_first();
    release_first();
}

static void check_select_ends(void)
{
    model_assert(results[0] >= 10 || results[0] == -ETIMEDOUT);
    check_permits(1, 1, 1);
}

static const struct model_case cases[] = {
    { .name = "hand over",
      .setup = setup,
      .check = check_hand_over,
      .threads = { { "waiter", wait_one, 0 },
                   { "one", release_first, 0 },
                   { "two", release_first, 0 },
                   { "tries", try_one, 0 } } },
    { .name = "data",
      .setup = setup,
      .threads = { { "waiter", wait_for_data, 0 }, { "releases", release_with_data, 0 } } },
    { .name = "many",
      .setup = setup,
      .check = check_many,
      .threads = { { "waiter", wait_two, 0 }, { "one", release_first, 0 }, { "two", release_first, 0 } } },
    { .name = "behind",
      .setup = setup,
      .check = check_behind,
      .threads = { { "large", wait_two_bounded, 0 }, { "small", wait_one, 0 }, { "releases", release_first, 0 } } },
    { .name = "give up",
      .setup = setup,
      .check = check_give_up,
      .threads = { { "waiter", wait_bounded, 0 }, { "other", wait_bounded, 0 }, { "releases", release_first, 0 } } },
    { .name = "close",
      .setup = setup,
      .check = check_close,
      .threads = { { "waiter", wait_one, 0 }, { "closes", close_first, 0 }, { "releases", release_first, 0 } } },
    { .name = "either",
      .setup = setup,
      .check = check_either,
      .threads = { { "selects", select_either, 0 }, { "one", release_first, 0 }, { "two", release_second, 0 } } },
    { .name = "rivals",
      .setup = setup,
      .check = check_rivals,
      .threads = { { "selects", select_either, 0 },
                   { "waits", wait_one, 0 },
                   { "one", release_first_twice, 0 },
                   { "two", release_second, 0 } } },
    { .name = "crossed",
      .setup = setup,
      .check = check_crossed,
      .threads = { { "selects", select_ordered, 0 },
                   { "selects too", select_crossed, 0 },
                   { "one", release_first, 0 },
                   { "two", release_second, 0 } } },
    { .name = "select ends",
      .setup = setup,
      .check = check_select_ends,
      .threads = { { "selects", select_bounded, 0 }, { "one", release_first, 0 }, { "two", release_second, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
