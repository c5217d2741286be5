/* SPDX-License-Identifier: MIT */
/*
 * park.h: the word on which a task parks and is woken, by any number of wakers.
 *
 *              commit (CAS, after the switch)
 *   RUNNING ------------------------------------> PARKED
 *    |   ^  <------------------------------------   |
 *    |   |      wake (CAS): the waker queues it  ---+
 *    v   | consume (exchange)
 *   NOTIFIED   wake of a running or queued task
 *
 * RUNNING also covers "queued": the waker that takes PARKED to RUNNING owns the push, so that resuming needs no atomic
 * operation at all. So does a caller that claims a waiting actor, to run it itself. (The exchange at resume of earlier designs
 * is not needed: a wake that finds the task queued leaves NOTIFIED, and the next park sees it.)
 *
 *   [P1] every wake is a read-modify-write with release, also when NOTIFIED is there already; what consumes one is a
 *        read-modify-write with acquire, and the commit releases the frame to the waker, who acquires it. So of a wake and
 *        a park, one sees the other: either the wake finds PARKED,
 *        or the park finds NOTIFIED and the task looks at its condition again, with the waker's writes visible.
 */
#ifndef TRI_PARK_H
#define TRI_PARK_H

#include "mailbox/atomic.h"

enum tri_park_state { TRI_RUNNING = 0, TRI_NOTIFIED = 1, TRI_PARKED = 2 };

struct tri_park_word {
    TRI_ATOMIC(uint32_t) state;
};

/* After the context is saved. False: a wake came first and is consumed; the task is to be queued again. */
static inline bool tri_park_commit(struct tri_park_word *word)
{
    uint32_t state = TRI_RUNNING;
    if (tri_cas(&word->state, &state, (uint32_t)TRI_PARKED, TRI_RELEASE, TRI_RELAXED)) /* [P1] */
        return true;
    tri_exchange(&word->state, (uint32_t)TRI_RUNNING, TRI_ACQUIRE); /* [P1] */
    return false;
}

/* Before a switch: true if a wake was there and has been consumed. */
static inline bool tri_park_consume(struct tri_park_word *word)
{
    if (tri_load(&word->state, TRI_RELAXED) != TRI_NOTIFIED)
        return false;
    tri_exchange(&word->state, (uint32_t)TRI_RUNNING, TRI_ACQUIRE); /* [P1] */
    return true;
}

/* Takes PARKED, and leaves everything else as it is: no wake. True: the task is the caller's to run, on this thread. */
static inline bool tri_park_claim(struct tri_park_word *word)
{
    uint32_t state = TRI_PARKED;
    return tri_load(&word->state, TRI_RELAXED) == TRI_PARKED &&
           tri_cas(&word->state, &state, (uint32_t)TRI_RUNNING, TRI_ACQUIRE, TRI_RELAXED); /* [P1] */
}

/* True: the task was parked and is the caller's to queue. */
static inline bool tri_park_wake(struct tri_park_word *word)
{
    uint32_t state = TRI_PARKED;
    if (tri_cas(&word->state, &state, (uint32_t)TRI_RUNNING, TRI_ACQ_REL, TRI_RELAXED)) /* [P1] */
        return true;
    for (;;) {
        uint32_t next = state == TRI_PARKED ? TRI_RUNNING : TRI_NOTIFIED;
        bool parked = state == TRI_PARKED;
        if (tri_cas(&word->state, &state, next, TRI_ACQ_REL, TRI_RELAXED)) /* [P1] */
            return parked;
    }
}

#endif
