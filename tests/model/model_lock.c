/* SPDX-License-Identifier: MIT */
/*
 * model_lock.c: the lock of mailbox/pool.h and the GUARD of mailbox/monitor.h, as they are: one holder at a time, who sees what
 * the holder before wrote, whether it was free at once or waited for. The other models have fake_lock.h and fake_monitor.h.
 */
#include "fake_waiter.h"
#include "mailbox/bias.c"
#include "mailbox/monitor.c"
#include "mailbox/pool.c"
#include "mailbox/wait.c"
#include "model.h"

static struct tri_lock lock;
static int inside, count;

static void hold(void)
{
    tri_lock(&lock);
    model_assert(++inside == 1);
    count++;
    inside--;
    tri_unlock(&lock);
}

static void twice(void)
{
    hold();
    hold();
}

static void check_three(void)
{
    model_assert(count == 3);
}

struct tri_seat *tri_seat_here(void)
{
    return &tri_seats[0];
}

static struct tri_monitor monitor;

static void take_turn(void)
{
    struct tri_turn turn = tri_turn_begin(&monitor);
    model_assert(++inside == 1);
    turn.state += TRI_STATE_ONE;
    count++;
    inside--;
    tri_turn_end(&turn);
}

static void take_two_turns(void)
{
    take_turn();
    take_turn();
}

static void setup_shared(void)
{
    tri_store(&monitor.word, TRI_SHARED, TRI_RELAXED);
}

static void check_turns(void)
{
    model_assert(count == 3 && tri_load(&monitor.word, TRI_RELAXED) == (TRI_SHARED | 3 * TRI_STATE_ONE));
}

static const struct model_case cases[] = {
    { .name = "three",
      .check = check_three,
      .threads = { { "one", hold, 0 }, { "two", hold, 0 }, { "three", hold, 0 } } },
    { .name = "again", .check = check_three, .threads = { { "one", twice, 0 }, { "two", hold, 0 } } },
    { .name = "turns",
      .setup = setup_shared,
      .check = check_turns,
      .threads = { { "one", take_turn, 0 }, { "two", take_turn, 0 }, { "three", take_turn, 0 } } },
    { .name = "turns of a fresh one",
      .check = check_turns,
      .threads = { { "one", take_two_turns, 0 }, { "two", take_turn, 0 } } },
    { 0 },
};
MODEL(cases);
