/* SPDX-License-Identifier: MIT */
/*
 * model_lock.c: the lock of mailbox/pool.h, as it is: one holder at a time, who sees what the holder before wrote, whether
 * the lock was free at once or waited for. The other models have fake_lock.h.
 */
#include "mailbox/pool.c"
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

static const struct model_case cases[] = {
    { .name = "three",
      .check = check_three,
      .threads = { { "one", hold, 0 }, { "two", hold, 0 }, { "three", hold, 0 } } },
    { .name = "again", .check = check_three, .threads = { { "one", twice, 0 }, { "two", hold, 0 } } },
    { 0 },
};
MODEL(cases);
