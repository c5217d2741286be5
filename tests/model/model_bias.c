/* SPDX-License-Identifier: MIT */
/*
 * model_bias.c: the biased lock: one inside at a time, who sees what the one before did, whether it entered by its mark or
 * by the word.
 *
 *   adopt      a worker takes a fresh lock until it is its own and beyond x another worker
 *   revoke     the owner of a biased lock goes in and out x another worker
 *   foreign    the owner x a thread without a seat
 *   three      the owner x another worker x a thread without a seat
 *   nested     the owner, inside another of its locks, enters x another worker enters both, one after the other
 *   two locks  the owner of both goes through them in turn x another worker takes the bias of the first
 */
#define TRI_BIAS_AFTER 2u
#include "fake_lock.h"
#include "mailbox/bias.h"

#include "mailbox/pool.c"

#include "mailbox/bias.c"

static struct tri_bias lock, other;
static int inside, count, inside_other, count_other;

/* Threads 0 and 1 are workers, the third has no seat. */
struct tri_seat *tri_seat_here(void)
{
    int self = model_self();
    return &tri_seats[self < 0 || self > 1 ? 0 : self + 1];
}

static void setup(void)
{
    for (uint32_t i = 1; i < 3; i++)
        tri_seats[i].claim = TRI_BIASED | i;
}

static void setup_biased(void)
{
    setup();
    tri_store(&lock.owner, TRI_BIASED | 1, TRI_RELAXED);
    tri_store(&other.owner, TRI_BIASED | 1, TRI_RELAXED);
}

static void enter(void)
{
    tri_bias_lock(&lock);
    model_assert(++inside == 1);
    count++;
    inside--;
    tri_bias_unlock(&lock);
}

static void enter_other(void)
{
    tri_bias_lock(&other);
    model_assert(++inside_other == 1);
    count_other++;
    inside_other--;
    tri_bias_unlock(&other);
}

static void idle(void)
{
}

static void once(void)
{
    enter();
}

static void twice(void)
{
    enter();
    enter();
}

static void four_times(void)
{
    twice();
    twice();
}

static void nested(void)
{
    tri_bias_lock(&lock);
    model_assert(++inside == 1);
    count++;
    enter_other();
    inside--;
    tri_bias_unlock(&lock);
}

static void one_then_other(void)
{
    enter();
    enter_other();
}

static void other_then_one(void)
{
    enter_other();
    enter();
}

static void check_three(void)
{
    model_assert(count == 3 && inside == 0);
}

static void check_five(void)
{
    model_assert(count == 5 && inside == 0);
}

static void check_both(void)
{
    model_assert(count == 2 && count_other == 2);
}

static void check_turns(void)
{
    model_assert(count == 1 && count_other == 2);
}

static const struct model_case cases[] = {
    { .name = "adopt",
      .setup = setup,
      .check = check_five,
      .threads = { { "worker", four_times, 0 }, { "other", once, 0 } } },
    { .name = "revoke",
      .setup = setup_biased,
      .check = check_three,
      .threads = { { "owner", twice, 0 }, { "other", once, 0 } } },
    { .name = "foreign",
      .setup = setup_biased,
      .check = check_three,
      .threads = { { "owner", twice, 0 }, { "idle", idle, 0 }, { "foreign", once, 0 } } },
    { .name = "three",
      .setup = setup_biased,
      .check = check_three,
      .threads = { { "owner", once, 0 }, { "other", once, 0 }, { "foreign", once, 0 } } },
    { .name = "nested",
      .setup = setup_biased,
      .check = check_both,
      .threads = { { "owner", nested, 0 }, { "other", one_then_other, 0 } } },
    { .name = "two locks",
      .setup = setup_biased,
      .check = check_turns,
      .threads = { { "owner", other_then_one, 0 }, { "other", enter_other, 0 } } },
    { 0 },
};
MODEL(cases);
