/* SPDX-License-Identifier: MIT */
/*
 * bias.h: a lock that costs its owner no locked instruction.
 *
 * Most things that tasks share are, for most of their lives, used by the tasks of one worker: of one thread. Such a thing
 * belongs to the first worker that locks it. From then on that worker locks by a plain store and a look at who owns it. The
 * first other thread that comes makes the lock an ordinary one, once and for all, at the price of a system call.
 *
 *                 first lock by a worker               first lock by another thread
 *     owner: NONE ----------------------> that worker ------------------------------> SHARED
 *            lock.word                    inside                                      lock.word
 *
 * What is written below the owner is what keeps others out. While nobody owns it, or all do, that is an ordinary lock.
 * (Biased locking: Kawachiya, Koseki, Onodera, "Lock reservation", OOPSLA 2002; with membarrier(2) in the place of signals.)
 *
 * Where membarrier is not to be had, tri_bias_mark says that no worker may own anything.
 *
 *   [B1] inside := 1, owner?   against   owner := SHARED, membarrier, inside?
 *        either the owner sees that it is one no more, or the other thread sees that the owner is inside, and waits.
 *   [B2] inside := 0 release -> acquire by who waits for it: what the owner did. Also when it comes in vain: or the store
 *        would hide what it did before.
 *   [B3] the word of the ordinary lock, as any lock's. `owner` changes under it only.
 */
#ifndef TRI_BIAS_H
#define TRI_BIAS_H

#include "mailbox/pool.h"
#include "mailbox/waiter.h"

#define TRI_BIAS_NONE ((uintptr_t)0)
#define TRI_BIAS_SHARED ((uintptr_t)1)

/* Read by everybody, hardly ever written: to lie among what is likewise. */
struct tri_bias {
    TRI_ATOMIC(uintptr_t) owner;
};

/* Written by whoever locks: to lie with what is written then. */
struct tri_gate {
    TRI_ATOMIC(uint32_t) inside;
    struct tri_lock lock;
};

/* How it was locked: to be told to unlock. */
enum tri_hold { TRI_HOLD_OWNER, TRI_HOLD_LOCK };

void tri_bias_lock_slow(struct tri_bias *bias, struct tri_gate *gate, uintptr_t self);

/* Goes in as the owner. `self`: the caller's mark, not 0. False: it is not the owner, and not in. */
static inline __attribute__((always_inline)) bool tri_bias_enter(struct tri_bias *bias, struct tri_gate *gate,
                                                                 uintptr_t self)
{
    if (__builtin_expect(tri_load(&bias->owner, TRI_RELAXED) != self, 0)) /* `inside` is the owner's to write */
        return false;
    tri_store(&gate->inside, 1u, TRI_RELAXED); /* [B1] */
    tri_compiler_fence();
    if (__builtin_expect(tri_load(&bias->owner, TRI_RELAXED) == self, 1)) /* [B1] its own store, if it is so */
        return true;
    tri_store(&gate->inside, 0u, TRI_RELEASE); /* [B2] */
    return false;
}

static inline void tri_bias_leave(struct tri_gate *gate)
{
    tri_store(&gate->inside, 0u, TRI_RELEASE); /* [B2] */
}

static inline enum tri_hold tri_bias_lock(struct tri_bias *bias, struct tri_gate *gate)
{
    uintptr_t self = tri_bias_mark();
    if (self != 0 && tri_bias_enter(bias, gate, self))
        return TRI_HOLD_OWNER;
    tri_bias_lock_slow(bias, gate, self);
    return TRI_HOLD_LOCK;
}

static inline void tri_bias_unlock(struct tri_gate *gate, enum tri_hold hold)
{
    if (hold == TRI_HOLD_OWNER)
        tri_bias_leave(gate);
    else
        tri_unlock(&gate->lock); /* [B3] */
}

#endif
