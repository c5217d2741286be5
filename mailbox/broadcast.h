/* SPDX-License-Identifier: MIT */
/*
 * broadcast.h: a ring of the newest values, and positions in it.
 *
 *     slates      ... | 5 | 6 | 7 | 8 | 5 ...      capacity 4; value n lies in slate n mod 4
 *                      ^               ^
 *                      oldest kept     tail: 9 values were sent, the next is number 9
 *
 *     receiver   next = 7: two wait.   next = 3: two were missed; goes on at 5.
 *
 * Senders write under the lock. A receiver reads its slate without it: the stamp says whether its value is there, still there
 * after the copy, not there yet, or overwritten. So a delivery costs the receiver a copy and no locked instruction, the
 * sender nothing per receiver that does not wait, and nobody ever waits for a receiver. (See slate.h.) Who finds its value
 * being overwritten, or is overtaken again and again while it copies, takes the lock. Values that are cloned are read under the
 * lock always.
 *
 *   [SL1] [SL2] of slate.h: a value.
 *   [BC1] tail, release -> acquire by a receiver that has been overtaken: the values before it are there for it to see. The oldest
 *        kept is no older than the tail says, nor than the slate says, in which a newer value has been found.
 *   [A1] to [A3] of audience.h: waiting, and the end. Under the lock a receiver looks at the tail, which moves only there.
 */
#ifndef TRI_BROADCAST_H
#define TRI_BROADCAST_H

#include "mailbox/audience.h"
#include "mailbox/slate.h"
#include <troupe/broadcast.h>

struct tri_broadcast {
    /* never changes */
    uint32_t bytes, slate_bytes;
    uint64_t mask;
    void (*clone)(void *value); /* NULL: values are plain */
    void (*drop)(void *value);
    void *memory; /* what it lies in, to be freed */
    /* senders, under the lock */
    _Alignas(64) struct tri_audience audience;
    TRI_ATOMIC(uint64_t) tail;
    _Alignas(64) char slates[];
};

/* What tri_broadcast_take cannot do at first sight: nothing there, values missed, values that are cloned. */
int tri_broadcast_take_slow(struct tr_broadcast_receiver *receiver, void *value);
/* As tri_kind.enter, for a wait of one case. */
int tri_broadcast_enter(struct tr_case *c);

static inline struct tri_slate *tri_broadcast_slate(const struct tri_broadcast *broadcast, uint64_t number)
{
    return (struct tri_slate *)(void *)((char *)broadcast->slates +
                                        (number & broadcast->mask) * broadcast->slate_bytes);
}

/* Receives without waiting: 0, a count, -EAGAIN or -EPIPE. */
static inline __attribute__((always_inline)) int tri_broadcast_take(struct tr_broadcast_receiver *receiver, void *value)
{
    struct tri_broadcast *broadcast = receiver->tri_channel;
    uint64_t next = receiver->tri_next;
    struct tri_slate *slate = tri_broadcast_slate(broadcast, next);
    uint64_t stamp = tri_load(&slate->stamp, TRI_ACQUIRE); /* [SL1] */
    if (__builtin_expect(stamp == TRI_SLATE_STAMP(next), 1) &&
        __builtin_expect(!broadcast->clone && !receiver->tri_missed, 1) &&
        __builtin_expect(tri_slate_read(slate, next, value, broadcast->bytes), 1)) {
        receiver->tri_next = next + 1;
        return 0;
    }
    if (stamp < TRI_SLATE_STAMP(next) && !tri_load(&broadcast->audience.closed, TRI_RELAXED))
        return -EAGAIN;
    return tri_broadcast_take_slow(receiver, value);
}

/* Receives after a wait. See tri_audience_wait about `park`. */
static inline __attribute__((always_inline)) int tri_broadcast_await(struct tr_broadcast_receiver *receiver,
                                                                     void *value, tr_time deadline,
                                                                     struct tri_task *self,
                                                                     int (*park)(tr_time deadline, enum tri_wait on))
{
    struct tri_broadcast *broadcast = receiver->tri_channel;
    if (deadline == TR_NOW)
        return -ETIMEDOUT;
    int rc = tri_audience_wait(&broadcast->audience, &broadcast->audience.waiting, receiver, deadline,
                               tri_broadcast_enter, self, park);
    return rc < 0 ? rc : tri_broadcast_take(receiver, value);
}

#endif
