/* SPDX-License-Identifier: MIT */
/*
 * fake_waits.h: the seam mailbox/waiter.h on the real park word, for models of actor/ whose threads are all foreign. To be
 * included once by a model.
 */
#ifndef FAKE_WAITS_H
#define FAKE_WAITS_H

#include "fake_worker.h"

static struct tri_task waiters[MODEL_THREADS + 1];

struct tri_worker *tri_worker_here(void)
{
    return NULL;
}

struct tri_task *tri_self(void)
{
    return &waiters[model_self() + 1];
}

void tri_wake(struct tri_task *task)
{
    tri_park_wake(&task->park);
}

void tri_park_tail(enum tri_wait on)
{
    struct tri_task *self = tri_self();
    (void)on;
    if (tri_park_commit(&self->park))
        while (tri_load(&self->park.state, TRI_ACQUIRE) == TRI_PARKED)
            tri_spin();
}

/* A deadline passes as soon as others have run. */
int tri_park(tr_time deadline, enum tri_wait on)
{
    if (deadline == TR_FOREVER) {
        tri_park_tail(on);
        return 0;
    }
    model_yield();
    return tri_park_consume(&tri_self()->park) ? 0 : -ETIMEDOUT;
}

int tri_budget(void)
{
    return 0;
}

int tri_checkpoint(void)
{
    return 0;
}

uint32_t tri_choice(uint32_t count)
{
    return model_choose(count);
}

tr_time tr_after(int64_t nanoseconds)
{
    (void)nanoseconds;
    return 1;
}

/* ---- what is left in a pool ---- */

static inline unsigned in_use(const struct tri_pool *pool)
{
    return (unsigned)(pool->total - pool->free_count);
}

#endif
