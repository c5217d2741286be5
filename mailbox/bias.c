/* SPDX-License-Identifier: MIT */
/* bias.c: the slow half of bias.h: a lock gets its owner, and loses it. */
#include "mailbox/bias.h"

#include <assert.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OWNER_SPINS 100

/* Registered for by the runtime whose worker owns it (see tri_bias_mark): so it is there, and does not fail. */
static void barrier_everywhere(void)
{
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

/* The owner may have lost its processor inside. */
static void await_owner(struct tri_gate *gate)
{
    for (int i = 0; tri_load(&gate->inside, TRI_ACQUIRE) != 0; i++) { /* [B2] */
        if (i < OWNER_SPINS)
            tri_spin();
        else
            sched_yield();
    }
}

void tri_bias_lock_slow(struct tri_bias *bias, struct tri_gate *gate, uintptr_t self)
{
    tri_lock(&gate->lock); /* [B3] */
    uintptr_t owner = tri_load(&bias->owner, TRI_RELAXED);
    if (owner == TRI_BIAS_SHARED)
        return;
    assert(owner == TRI_BIAS_NONE || owner != self);
    if (owner == TRI_BIAS_NONE) {
        /* A thread that cannot own it, say the one that makes it before the runtime starts, spoils nothing. */
        if (self != 0)
            tri_store(&bias->owner, self, TRI_RELAXED); /* ours from the unlock on */
        return;
    }
    tri_store(&bias->owner, TRI_BIAS_SHARED, TRI_RELAXED); /* [B1] */
    barrier_everywhere();                                  /* [B1] */
    await_owner(gate);
}
