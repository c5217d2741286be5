/* SPDX-License-Identifier: MIT */
/*
 * fake_waiter.h: the seam mailbox/waiter.h on model threads, for models of mailbox/. To be included once by a model.
 *
 * A wake leaves a token, a park takes it or blocks; with release and acquire, as actor/park.h promises ([P1]: after the
 * park the waker's writes are visible), and no more. A cancel is a flag and a token. Deadlines do not pass by themselves:
 * a thread that cancels stands for them.
 */
#ifndef FAKE_WAITER_H
#define FAKE_WAITER_H

#include <errno.h>

#include "mailbox/waiter.h"
#include "model.h"

struct tri_task {
    TRI_ATOMIC(uint32_t) token;
};

static struct tri_task fake_tasks[MODEL_THREADS + 1];
static struct tri_seat *fake_homes[MODEL_THREADS + 1]; /* as fake_tasks: by model_self() + 1 */

struct tri_task *tri_self(void)
{
    return &fake_tasks[model_self() + 1];
}

struct tri_seat *tri_home(void)
{
    return fake_homes[model_self() + 1];
}

bool tri_in_task(void)
{
    return true;
}

void tri_wake(struct tri_task *task)
{
    tri_fetch_or(&task->token, 1u, TRI_RELEASE);
}

void tri_wake_many(struct tri_task *const *tasks, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        tri_wake(tasks[i]);
}

int tri_cancel_check(void)
{
    return 0;
}

static bool fake_has_token(const void *task)
{
    const struct tri_task *parked = task;
    return model_peek(&parked->token) != 0;
}

void tri_park_tail(enum tri_wait on)
{
    (void)on;
    model_block(fake_has_token, tri_self());
    tri_exchange(&tri_self()->token, 0u, TRI_ACQUIRE);
}

int tri_park(tr_time deadline, enum tri_wait on)
{
    if (deadline == TR_FOREVER) {
        tri_park_tail(on);
        return 0;
    }
    model_yield();
    if (!fake_has_token(tri_self()))
        return -ETIMEDOUT;
    tri_exchange(&tri_self()->token, 0u, TRI_ACQUIRE);
    return 0;
}

int tri_budget(void)
{
    return 0;
}

int tri_checkpoint(void)
{
    return 0;
}

bool tri_is_late(tr_time deadline)
{
    return deadline != TR_FOREVER && model_choose(2);
}

/* Every choice is explored. */
uint32_t tri_choice(uint32_t count)
{
    return model_choose(count);
}

/* No time passes: timers are due if they are at 0. */
tr_time tr_after(int64_t nanoseconds)
{
    return nanoseconds;
}

#endif
