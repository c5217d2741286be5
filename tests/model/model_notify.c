/* SPDX-License-Identifier: MIT */
/*
 * model_notify.c: notifications, shared by all (model_monitor.c has those at home). None is lost, none made, and what was changed
 * before is seen.
 *
 *   coalesced     two change something and notify x one that looks until it has seen both
 *   two for two   two wait x two notifications: each is woken, or one is stored
 *   passed on     two wait, one of them not for long x one notification: the other gets it, or it is stored
 *   last          the same with tr_notify_last
 *   all           two wait or listen x tr_notify_all: nothing is stored
 *   listens       listening before the look x a change and tr_notify_all
 *   either        a select of two x a notification of each: one is taken, one stored
 *   ended         a select that ends x a wait behind it x a notification: it is not lost on the one that has ended
 */
#include "fake_monitor.h"
#include "fake_waiter.h"

#include "mailbox/bias.c"
#include "mailbox/monitor.c"
#include "mailbox/notify.c"
#include "mailbox/pool.c"
#include "mailbox/wait.c"

#include "fake_sync.h"

static struct tr_notify first, second;
static TRI_ATOMIC(uint32_t) flags[2];
static int data, results[MODEL_THREADS];

static void setup(void)
{
    model_share(tri_notify_monitor(&first));
    model_share(tri_notify_monitor(&second));
}

static bool is_stored(struct tr_notify *face)
{
    return tri_load(&tri_notify_monitor(face)->word, TRI_RELAXED) & TRI_STORED;
}

static void check_rest(void)
{
    model_assert(model_at_rest(tri_notify_monitor(&first)) && model_at_rest(tri_notify_monitor(&second)));
}

static void set_one(void)
{
    tri_store(&flags[0], 1u, TRI_RELAXED);
    tr_notify_one(&first);
}

static void set_two(void)
{
    tri_store(&flags[1], 1u, TRI_RELAXED);
    tr_notify_one(&first);
}

static void wait_for_both(void)
{
    while (!tri_load(&flags[0], TRI_RELAXED) || !tri_load(&flags[1], TRI_RELAXED))
        model_assert(tr_notify_wait(&first, TR_FOREVER) == 0);
}

static void note(int rc)
{
    results[model_self()] = rc == 0 ? 1 : rc;
}

static void wait_one(void)
{
    note(tr_notify_wait(&first, TR_FOREVER));
}

static void wait_bounded(void)
{
    note(tr_notify_wait(&first, 1));
}

static void wait_data(void)
{
    wait_one();
    model_assert(data == 1);
}

static void notify_data(void)
{
    data = 1;
    tr_notify_one(&first);
}

static void notify_one(void)
{
    tr_notify_one(&first);
}

static void notify_second(void)
{
    tr_notify_one(&second);
}

static void notify_last(void)
{
    tr_notify_last(&first);
}

static bool both_wait(const void *unused)
{
    (void)unused;
    const struct tri_line *line = &tri_notify_monitor(&first)->line;
    return line->last && line->last->tri_next != line->last &&
           !(model_peek(&tri_notify_monitor(&first)->word) & TRI_GUARD);
}

/* Before that, two would count as one. */
static void notify_once_both_wait(void)
{
    model_block(both_wait, NULL);
    tr_notify_one(&first);
    tr_notify_one(&first);
}

static unsigned taken(void)
{
    unsigned count = 0;
    for (unsigned t = 0; t < MODEL_THREADS; t++)
        count += results[t] == 1;
    return count;
}

static void check_two_for_two(void)
{
    check_rest();
    model_assert(taken() == 2 && !is_stored(&first));
}

/* Who may give up may also be the one that is served, and then nobody else is. */
static void check_passed_on(void)
{
    check_rest();
    model_assert(taken() + is_stored(&first) == 1);
    model_assert(results[1] == -ETIMEDOUT || results[1] == 1);
}

static void pass_on(void)
{
    wait_bounded();
    if (results[model_self()] == 1)
        tr_notify_one(&first);
}

/* The one that waits for ever is served in the end. */
static void check_waiter_served(void)
{
    check_rest();
    model_assert(results[0] == 1);
}

static void notify_all(void)
{
    tr_notify_all(&first);
}

static void wait_bounded_since(void)
{
    note(tr_notify_wait_since(&first, tr_notify_listen(&first), 1));
}

static void check_all(void)
{
    check_rest();
    model_assert(!is_stored(&first));
}

static void listen_for_flag(void)
{
    uint64_t since = tr_notify_listen(&first);
    if (!tri_load(&flags[0], TRI_RELAXED))
        model_assert(tr_notify_wait_since(&first, since, TR_FOREVER) == 0);
    model_assert(tri_load(&flags[0], TRI_RELAXED) == 1);
}

static void set_and_notify_all(void)
{
    tri_store(&flags[0], 1u, TRI_RELAXED);
    tr_notify_all(&first);
}

static void select_until(tr_time deadline)
{
    struct tr_case cases[] = { tr_case_notified(&first), tr_case_notified(&second) };
    int which = tr_select(cases, 2, deadline, TR_SELECT_ORDERED);
    model_assert(which < 0 || cases[which].result == 0);
    results[model_self()] = which < 0 ? which : 10 + which;
}

static void select_either(void)
{
    select_until(TR_FOREVER);
}

/* Takes from the second, or gives up; a wake from the first it passes on. */
static void select_and_pass(void)
{
    select_until(1);
    if (results[model_self()] == 10)
        tr_notify_one(&first);
}

static void check_either(void)
{
    check_rest();
    model_assert(results[0] == 10 ? !is_stored(&first) && is_stored(&second)
                                  : results[0] == 11 && is_stored(&first) && !is_stored(&second));
}

static void check_ended(void)
{
    check_rest();
    model_assert(results[1] == 1);
}

static const struct model_case cases[] = {
    { .name = "coalesced",
      .setup = setup,
      .check = check_rest,
      .threads = { { "looks", wait_for_both, 0 }, { "one", set_one, 0 }, { "two", set_two, 0 } } },
    { .name = "data",
      .setup = setup,
      .check = check_rest,
      .threads = { { "waits", wait_data, 0 }, { "notifies", notify_data, 0 } } },
    { .name = "two for two",
      .setup = setup,
      .check = check_two_for_two,
      .threads = { { "one", wait_one, 0 }, { "two", wait_one, 0 }, { "notifies", notify_once_both_wait, 0 } } },
    { .name = "passed on",
      .setup = setup,
      .check = check_passed_on,
      .threads = { { "bounded", wait_bounded, 0 },
                   { "bounded too", wait_bounded, 0 },
                   { "notifies", notify_one, 0 } } },
    { .name = "served",
      .setup = setup,
      .check = check_waiter_served,
      .threads = { { "waits", wait_one, 0 }, { "gives up", pass_on, 0 }, { "notifies", notify_one, 0 } } },
    { .name = "last",
      .setup = setup,
      .check = check_waiter_served,
      .threads = { { "waits", wait_one, 0 }, { "gives up", pass_on, 0 }, { "notifies", notify_last, 0 } } },
    { .name = "all",
      .setup = setup,
      .check = check_all,
      .threads = { { "bounded", wait_bounded, 0 },
                   { "listens", wait_bounded_since, 0 },
                   { "notifies", notify_all, 0 } } },
    { .name = "listens",
      .setup = setup,
      .check = check_rest,
      .threads = { { "one", listen_for_flag, 0 },
                   { "two", listen_for_flag, 0 },
                   { "notifies", set_and_notify_all, 0 } } },
    { .name = "either",
      .setup = setup,
      .check = check_either,
      .threads = { { "selects", select_either, 0 }, { "one", notify_one, 0 }, { "two", notify_second, 0 } } },
    { .name = "ended",
      .setup = setup,
      .check = check_ended,
      .threads = { { "selects", select_and_pass, 0 },
                   { "waits", wait_one, 0 },
                   { "one", notify_one, 0 },
                   { "two", notify_second, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
