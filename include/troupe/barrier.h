/* SPDX-License-Identifier: MIT */
/*
 * barrier.h: a meeting of n tasks: none goes on before all have come. Again and again. 16 bytes, no memory of its own.
 *
 *     static struct tr_barrier step = TR_BARRIER_INIT(4);
 *
 *     for (...) {
 *         ...our part of this step...
 *         if (tr_barrier_wait(&step, TR_FOREVER) == 1)
 *             ...one of the four, once a step...
 *     }
 *
 * Who comes last leads. A wait that fails has not come: the meeting needs as many others as before, and can still take place.
 */
#ifndef TROUPE_BARRIER_H
#define TROUPE_BARRIER_H

#include <troupe/time.h>

TRI_BEGIN_DECLS

#define TR_BARRIER_LIMIT (UINT32_C(1) << 26) /* tasks, less one */

/* Lies wherever the program puts it. Its memory can be used anew once every wait on it has returned. */
struct tr_barrier {
    uint64_t tri_word;
    void *tri_line;
};

/* For `count` tasks, a constant below TR_BARRIER_LIMIT; 0 is taken for 1. */
#define TR_BARRIER_INIT(count)                                                                                         \
    {                                                                                                                  \
        (uint64_t)(count) << 28, NULL                                                                                  \
    }

/* The same at run time, for memory that nobody uses yet. Nothing need be undone. Returns 0 or -EINVAL. Thread: init. Suspends: no. */
TR_PUBLIC int tr_barrier_init(struct tr_barrier *barrier, uint32_t count);

/*
 * Comes to the meeting, and waits for the others. What each did before it came is seen by all afterwards.
 * Thread: any (a foreign thread blocks). Suspends: yes.
 * Returns 1 for the leader of this meeting, 0 for the others; or, not having come, -ETIMEDOUT, -ECANCELED, -ENOMEM.
 */
TR_PUBLIC int tr_barrier_wait(struct tr_barrier *barrier, tr_time deadline);

/* How many have come and wait. Thread: any. Suspends: no. */
TR_PUBLIC uint32_t tr_barrier_waiting(const struct tr_barrier *barrier);

TRI_END_DECLS
#endif
