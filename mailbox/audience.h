/* SPDX-License-Identifier: MIT */
/*
 * audience.h: what a broadcast and a watch have in common: senders and receivers that are counted, and those who wait for news
 * that all of them are told.
 *
 *     wait:   lock; no news? -> queue; unlock; park
 *     tell:   lock; news; all who wait -> telling; sixteen of them out; unlock; wake these
 *             lock; the next sixteen; unlock; wake ...
 *
 * So the lock is never held for longer than it takes to turn sixteen cases out, however many wait, and who comes back to
 * wait while the others are still being told waits for the next news. Two who tell at once share the work.
 *
 * What is told is not handed over: the one who was woken takes it itself. So a wait of one case is marked DONE, and is then out
 * of every queue and nobody's business any more; one of several is only woken, and looks for itself (see `ready` in wait.h).
 *
 * Every handle holds the channel's memory, and so does a call that still has others to tell; whoever gives up the last
 * hold frees it.
 *
 *   [A1] the lock: the queues, the counts, and whether there are news: who finds none is in the queue before the next come.
 *   [A2] DONE, release -> acquire by the waiter: its case has been let go, and it may leave its frame. The task to be
 *        woken was read before.
 *   [A3] closed, release -> acquire by a receiver that has found no news: it looks once more, and finds all there were.
 */
#ifndef TRI_AUDIENCE_H
#define TRI_AUDIENCE_H

#include "mailbox/bias.h"
#include "mailbox/wait.h"

#include <errno.h>

struct tri_audience {
    struct tri_bias lock;
    struct tri_line waiting, telling;
    struct tri_line deserted; /* senders who wait until there is no receiver */
    uint64_t holders;
    uint32_t senders, receivers;
    TRI_ATOMIC(uint32_t) closed; /* no sender any more */
};

/* Counting. Those that return true have given up the last hold: the caller frees the channel. */
void tri_audience_open(struct tri_audience *audience);
bool tri_audience_close(struct tri_audience *audience);
void tri_audience_hold(struct tri_audience *audience);
bool tri_audience_let_go(struct tri_audience *audience);
bool tri_audience_quit(struct tri_audience *audience);
/* From a hold to a sender, unless there is none any more. */
bool tri_audience_reopen(struct tri_audience *audience);
uint32_t tri_audience_count(struct tri_audience *audience, const uint32_t *of);

/* One receiver more. Under the lock. */
static inline void tri_audience_join(struct tri_audience *audience)
{
    audience->receivers++;
    audience->holders++;
}

/* Waits until there is no receiver. */
int tri_audience_await_desertion(struct tri_audience *audience, tr_time deadline);

/*
 * Under the lock, which it lets go: wakes all who wait. The caller's hold may be given up by those who have been told: true if
 * the channel is the caller's to free, and else it is not to be touched any more.
 */
bool tri_audience_tell_waiting(struct tri_audience *audience);

static inline bool tri_audience_tell(struct tri_audience *audience)
{
    if (!tri_line_is_empty(&audience->waiting) || !tri_line_is_empty(&audience->telling))
        return tri_audience_tell_waiting(audience);
    tri_bias_unlock(&audience->lock);
    return false;
}

/* As tri_kind.leave, for a case that was put into `line`. */
bool tri_audience_leave(struct tri_audience *audience, struct tri_line *line, struct tr_case *c);

/*
 * Waits for news, in a case of `object`, which `enter` puts into `line`, as tri_kind.enter. Returns 0 when there are some, else
 * what enter has returned, -ETIMEDOUT, -ECANCELED or -ENOMEM. Inlined with its `park`, so that between the switch and the
 * caller of a hot function stands no other frame; and of the case only that is set which is looked at.
 */
static inline __attribute__((always_inline)) int tri_audience_wait(struct tri_audience *audience, struct tri_line *line,
                                                                   void *object, tr_time deadline,
                                                                   int (*enter)(struct tr_case *c),
                                                                   struct tri_task *self,
                                                                   int (*park)(tr_time deadline, enum tri_wait on))
{
    struct tri_waiter waiter;
    struct tr_case c;
    if (!self)
        return -ENOMEM;
    waiter.task = self;
    waiter.several = false;
    tri_store(&waiter.state, (uint32_t)TRI_WAIT_OPEN, TRI_RELAXED);
    c.tri_waiter = &waiter;
    c.tri_object = object;
    c.tri_next = NULL;
    int rc = enter(&c);
    if (rc != -EAGAIN)
        return rc;
    while (tri_load(&waiter.state, TRI_ACQUIRE) != TRI_WAIT_DONE) { /* [A2] */
        rc = park(deadline, TRI_WAIT_CHANGE);
        if (rc < 0 && tri_audience_leave(audience, line, &c))
            return rc;
    }
    return 0;
}

#endif
