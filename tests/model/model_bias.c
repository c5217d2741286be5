/* SPDX-License-Identifier: MIT */
/*
 * model_bias.c: mailbox/bias.h: the lock that has an owner. In every case no two are inside, and who comes later sees what was
 * done under it: what it guards is plain memory.
 *
 *   none     two foreign threads: an ordinary lock
 *   revoke   the owner, twice x a foreign thread
 *   two      two workers, nobody owns it yet
 *   three    two workers and a foreign thread
 *   keep     [B1] the owner, three times x another worker, twice
 */
#include "fake_lock.h"
#include "fake_waiter.h"

#include "mailbox/bias.c"
#include "mailbox/pool.c"

static struct tri_bias bias;
static struct tri_gate gate;
static int count; /* guarded */
static bool inside;
static TRI_ATOMIC(uint32_t) made;

static void set_marks(unsigned workers)
{
    for (unsigned i = 0; i < workers; i++)
        fake_set_mark((int)i, 16 * (i + 1));
}

static void setup_none(void)
{
}

static void setup_one(void)
{
    set_marks(1);
    tri_store(&bias.owner, 16, TRI_RELAXED);
}

static void setup_two(void)
{
    set_marks(2);
}

static void setup_keep(void)
{
    set_marks(2);
    tri_store(&bias.owner, 16, TRI_RELAXED);
}

static void pass(void)
{
    enum tri_hold hold = tri_bias_lock(&bias, &gate);
    model_assert(!inside);
    inside = true;
    count++;
    inside = false;
    tri_bias_unlock(&gate, hold);
    tri_fetch_add(&made, 1u, TRI_RELAXED);
}

static void pass_twice(void)
{
    pass();
    pass();
}

static void pass_thrice(void)
{
    pass();
    pass();
    pass();
}

static void check(void)
{
    model_assert(count == (int)tri_load(&made, TRI_RELAXED));
    model_assert(tri_load(&gate.inside, TRI_RELAXED) == 0 && tri_load(&gate.lock.word, TRI_RELAXED) == 0);
}

static const struct model_case cases[] = {
    { .name = "none", .setup = setup_none, .check = check, .threads = { { "a", pass, 0 }, { "b", pass, 0 } } },
    { .name = "revoke",
      .setup = setup_one,
      .check = check,
      .threads = { { "owner", pass_twice, 0 }, { "foreign", pass, 0 } } },
    { .name = "two",
      .setup = setup_two,
      .check = check,
      .threads = { { "a", pass_twice, 0 }, { "b", pass_twice, 0 } } },
    { .name = "three",
      .setup = setup_two,
      .check = check,
      .threads = { { "a", pass_twice, 0 }, { "b", pass, 0 }, { "foreign", pass, 0 } } },
    { .name = "keep",
      .setup = setup_keep,
      .check = check,
      .threads = { { "owner", pass_thrice, 0 }, { "other", pass_twice, 0 } } },
    { 0 },
};
MODEL(cases);
