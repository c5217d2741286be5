/* SPDX-License-Identifier: MIT */
/*
 * timer.h: messages that are sent later.
 *
 *     struct tr_timer timer;
 *     tr_send_after(&timer, session, 30 * TR_SECOND, &(struct event){ .kind = IDLE });
 *     ...
 *     if (tr_timer_cancel(timer) == 0)
 *         ... it was not sent, and will not be ...
 *
 * The message is copied once into the timer and once from there into the mailbox. A timer lies in the wheel of the worker
 * that made it (128 bytes, with messages of up to 48; a longer one takes a block of its own) and waits there without a task.
 * It fires at the first tick of the wheel (TR_TIMER_TICK, 131 us) at or after its time, never early; those of one worker and
 * tick in the order in which they were made.
 *
 * When it fires, the message goes the way of any other:
 *   room        it is in the mailbox, and the timer is over.
 *   full        it waits for room, in turn with the senders that wait already, and in its own memory: no worker waits, no
 *               bound is passed, nothing is lost, and it can still be cancelled. An interval whose message waits leaves out
 *               the ticks that come meanwhile, so that it never has more than one waiting.
 *   full, with  the policy says at once what is lost, as when anybody sends (overflow.h). The timer is over then; an interval
 *   a policy    goes on, whatever was lost.
 *   no actor    the target has ended: the message is let fall and counted (it has no drop function: what it points to is
 *               the caller's to keep track of), and the timer is over.
 *   no memory   for its mailbox's storage: it tries again at each tick.
 * A timer keeps nothing alive: neither its target nor a runtime. One that is pending when its runtime ends is not sent.
 *
 * The handle names one timer for ever; that of a timer that is over is harmless, and a copy is as good.
 */
#ifndef TROUPE_TIMER_H
#define TROUPE_TIMER_H

#include <troupe/actor.h>

TRI_BEGIN_DECLS

/* Names one timer. All zero names none. */
struct tr_timer {
    void *tri_record;
    uint64_t tri_generation;
};

/*
 * Sends a copy of *message to `address` at `when`, or after `nanoseconds`; a time that has passed is the next tick. *out
 * (NULL: it cannot be cancelled) is written before the timer can fire.
 * Thread: any; of a foreign thread, the timer lies with a worker of the target's runtime. Suspends: no.
 * Owns: the message stays the caller's.
 * Returns 0, -ESRCH (no such actor), -EINVAL (of another size than the actor's messages), -ENOMEM.
 */
TR_PUBLIC int tr_send_at_raw(struct tr_timer *out, struct tr_address address, const struct tr_type *type,
                             const void *message, tr_time when);
TR_PUBLIC int tr_send_after_raw(struct tr_timer *out, struct tr_address address, const struct tr_type *type,
                                const void *message, int64_t nanoseconds);

/*
 * Sends a copy of *message every `period`, at first in a period from now, until the timer is cancelled or its target has
 * ended. The times lie on a grid; a tick that comes later than the next is due makes up for those between.
 * Thread: any. Suspends: no. Owns: the message stays the caller's.
 * Returns 0, -ESRCH, -EINVAL, -ENOMEM, as tr_send_after; -EINVAL also for a period that is not positive.
 */
TR_PUBLIC int tr_send_interval_raw(struct tr_timer *out, struct tr_address address, const struct tr_type *type,
                                   const void *message, int64_t period);

/*
 * Ends the timer.
 * Thread: any. Suspends: no. Returns 0: its message was not sent and will not be (of an interval: no further one); -ESRCH: the
 * timer is over: the message was sent or let fall, or the timer had been cancelled.
 */
TR_PUBLIC int tr_timer_cancel(struct tr_timer timer);

/* What became of timers so far, in the whole process; pending ones are in tr_census. Thread: any. Suspends: no. */
struct tr_timer_counts {
    uint64_t delayed; /* found the mailbox full, and waited for room */
    uint64_t skipped; /* ticks of intervals that were left out */
    uint64_t lost; /* messages whose target had ended or rejected them, or that were pending when their runtime ended */
};
TR_PUBLIC void tr_timer_counts(struct tr_timer_counts *out);

TRI_END_DECLS

#ifndef __cplusplus

#define TRI_SEND_LATER(function, out, address, time, ...)                                                              \
    __extension__({                                                                                                    \
        __auto_type tri_a = (address);                                                                                 \
        __auto_type tri_m = (__VA_ARGS__);                                                                             \
        TRI_SAME(*tri_m, *tri_a.tri_message, "the message is not of the address's type");                              \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_a.tri_message);                                            \
        function((out), tri_a.tri_raw, &tri_t, tri_m, (time));                                                         \
    })
/* tr_send_at(&timer, address, when, &message), tr_send_after(&timer, address, nanoseconds, &message): see tr_send_at_raw. */
#define tr_send_at(out, address, when, ...) TRI_SEND_LATER(tr_send_at_raw, out, address, when, __VA_ARGS__)
#define tr_send_after(out, address, nanoseconds, ...)                                                                  \
    TRI_SEND_LATER(tr_send_after_raw, out, address, nanoseconds, __VA_ARGS__)
/* tr_send_interval(&timer, address, period, &message): see tr_send_interval_raw. */
#define tr_send_interval(out, address, period, ...)                                                                    \
    TRI_SEND_LATER(tr_send_interval_raw, out, address, period, __VA_ARGS__)

#endif
#endif
