/* SPDX-License-Identifier: MIT */
/*
 * watch.h: a value with a version, in two slates.
 *
 *     version 7      slates    | 6 | 7 |      the next is written over 6
 *
 *     receiver       seen = 5: version 7 is news;  seen = 7: waits
 *
 * A reader copies the slate of the version that it finds and looks afterwards whether it was overwritten meanwhile (slate.h);
 * for that, two newer values must have been sent while it copied. It holds nothing when it returns, and a writer waits for it
 * only where it copies under the lock: after a few tries in vain, and always if values are counted, for then it clones there.
 *
 * `writer` lets one sender at a time change the value, also while a user's function changes it in place; the audience's lock is
 * for the moment in which the new value is put in, and no function of a user but clone is ever called under it.
 *
 *   [SL1] [SL2] of slate.h: a value.
 *   [V1] version, release -> acquire by a reader: the slate of that version is stamped.
 *   [A1] to [A3] of audience.h: waiting, and the end. The version moves only under the lock.
 */
#ifndef TRI_WATCH_H
#define TRI_WATCH_H

#include "mailbox/audience.h"
#include "mailbox/slate.h"
#include <troupe/watch.h>

struct tri_watch {
    /* never changes */
    uint32_t bytes, slate_bytes;
    void (*clone)(void *value); /* NULL: values are plain */
    void (*drop)(void *value);
    /* senders */
    _Alignas(64) struct tri_lock writer;
    TRI_ATOMIC(uint64_t) version;
    struct tri_audience audience;
    _Alignas(64) char slates[]; /* two, and room for a value that is being changed */
};

/* As tri_watch_read, if that fails: the value is overwritten faster than it is read, or cloned. */
uint64_t tri_watch_read_locked(struct tri_watch *watch, void *value);
/* Closed, and no news at first sight: -EPIPE, or 0 after all. */
int tri_watch_check_closed(struct tr_watch_receiver *receiver);
/* As tri_kind.enter, for a wait of one case. */
int tri_watch_enter(struct tr_case *c);

#ifndef TRI_WATCH_TRIES
#define TRI_WATCH_TRIES 8
#endif

static inline struct tri_slate *tri_watch_slate(const struct tri_watch *watch, uint64_t version)
{
    return (struct tri_slate *)(void *)((char *)watch->slates + (version & 1) * watch->slate_bytes);
}

/* Copies the latest value, and returns its version. */
static inline __attribute__((always_inline)) uint64_t tri_watch_read(struct tri_watch *watch, void *value)
{
    for (int i = 0; i < TRI_WATCH_TRIES && !watch->clone; i++) {
        uint64_t version = tri_load(&watch->version, TRI_ACQUIRE); /* [V1] */
        if (__builtin_expect(tri_slate_read(tri_watch_slate(watch, version), version, value, watch->bytes), 1))
            return version;
    }
    return tri_watch_read_locked(watch, value);
}

/* 0: there is a value that has not been seen, and now counts as seen; -EAGAIN or -EPIPE. */
static inline __attribute__((always_inline)) int tri_watch_check(struct tr_watch_receiver *receiver)
{
    struct tri_watch *watch = receiver->tri_channel;
    uint64_t version = tri_load(&watch->version, TRI_ACQUIRE); /* [V1] */
    if (version == receiver->tri_seen)
        return tri_load(&watch->audience.closed, TRI_ACQUIRE) ? tri_watch_check_closed(receiver) : -EAGAIN; /* [A3] */
    receiver->tri_seen = version;
    return 0;
}

/* As tri_watch_check, after a wait. See tri_audience_wait about `park`. */
static inline __attribute__((always_inline)) int tri_watch_await(struct tr_watch_receiver *receiver, tr_time deadline,
                                                                 struct tri_task *self,
                                                                 int (*park)(tr_time deadline, enum tri_wait on))
{
    struct tri_watch *watch = receiver->tri_channel;
    if (deadline == TR_NOW)
        return -ETIMEDOUT;
    int rc =
        tri_audience_wait(&watch->audience, &watch->audience.waiting, receiver, deadline, tri_watch_enter, self, park);
    return rc < 0 ? rc : tri_watch_check(receiver);
}

#endif
