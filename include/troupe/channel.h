/* SPDX-License-Identifier: MIT */
/*
 * channel.h: a channel from many senders to one receiver, apart from any actor.
 *
 *     TR_CHANNEL_TYPE(job, struct job);              makes struct job_sender, job_receiver, job_weak_sender, job_permit
 *
 *     struct job_sender sender;
 *     struct job_receiver receiver;
 *     rc = tr_channel_create(&sender, &receiver, 64, NULL);
 *
 *     rc = tr_channel_send(sender, tr_after(TR_SECOND), &(struct job){ .number = 1 });       any task or thread
 *     tr_channel_sender_close(sender);
 *
 *     while (tr_channel_receive(receiver, &job, TR_FOREVER) == 0)                            one task or thread at a time
 *         ...
 *     tr_channel_receiver_destroy(receiver);
 *
 * Messages are copied in and out, first in first out. The channel is made by no runtime and belongs to none: its ends may be used
 * by tasks of several runtimes and by plain threads, which block.
 *
 * Ends. Handles are values and may be copied; what counts is how often a sender was opened and closed. Once the last is closed
 * the receiver gets what is left, then -EPIPE. A weak sender does not count; it can be made a sender again as long as there is
 * one. The receiver closes (what was sent, or has a permit, still comes), or is destroyed (what is left goes to `drop`).
 *
 * Full. A channel holds `capacity` messages and granted permits. Then a sender waits, in order: nobody overtakes, also when
 * somebody later wants less room. (One exception, before the wait: a task that finds the channel full, and others ready on its
 * worker, yields once before it takes its place in the queue; whoever sends meanwhile comes before it.) Or what the
 * channel's overflow policy says is done.
 */
#ifndef TROUPE_CHANNEL_H
#define TROUPE_CHANNEL_H

#include <troupe/actor.h>
#include <troupe/overflow.h>
#include <troupe/select.h>

TRI_BEGIN_DECLS

struct tr_channel;

/* ---- untyped ends --------------------------------------------------------------------------------------------- */

/* All zero: none, and every call with it returns -EINVAL. */
struct tr_channel_sender {
    struct tr_channel *tri_channel;
};
/* See above. */
struct tr_channel_receiver {
    struct tr_channel *tri_channel;
};
/* See above. */
struct tr_channel_weak_sender {
    struct tr_channel *tri_channel;
};
/* Room for so many messages: to be sent, or given back by tr_channel_permit_return. All zero: none. */
struct tr_channel_permit {
    struct tr_channel *tri_channel;
    uint32_t tri_count;
};

#define TR_CHANNEL_LIMIT (UINT32_C(1) << 24) /* messages: the largest capacity */

struct tr_channel_options {
    const char *name; /* for dead letters; must live as long as the channel; default "channel" */
    enum tr_overflow overflow;
    uint64_t byte_limit; /* the messages in it count for no more bytes than that; 0: no limit */
    uint64_t (*weigh)(
        const void *message);    /* what a message counts for, e.g. with what it points to; default: its size */
    void (*drop)(void *message); /* called once for each message taken and never received; no lock is held */
    void (*dead_letter)(const struct tr_dead_letter *letter, void *context); /* default: the process's hook */
    void *context;                                                           /* for dead_letter */
};

/* A moment's look at a channel. */
struct tr_channel_info {
    uint32_t capacity; /* UINT32_MAX: unbounded */
    uint32_t length;   /* messages in it */
    uint32_t reserved; /* permits granted, not yet used or given back */
    uint32_t free;     /* room: capacity less length less reserved */
    uint64_t bytes;    /* that the messages in it count for; 0 without a byte_limit */
    uint64_t senders, weak_senders;
    bool closed; /* by the receiver */
    uint64_t rejected, dropped_newest, dropped_oldest, undelivered;
};

/*
 * Makes a channel for messages of *type (as for an actor's mailbox: at most TR_MESSAGE_LIMIT bytes, alignment 64) with one sender open.
 * Returns 0, -ENOMEM, -EINVAL (capacity 0 or beyond TR_CHANNEL_LIMIT, message type, options). Thread: any. Suspends: no.
 */
TR_PUBLIC int tr_channel_create_raw(struct tr_channel_sender *sender, struct tr_channel_receiver *receiver,
                                    const struct tr_type *type, uint32_t capacity,
                                    const struct tr_channel_options *options);

/*
 * The same without a capacity: it grows as messages are sent faster than received, and gives memory back as it drains. A
 * byte_limit and its policy hold. A send that finds no memory returns -ENOMEM.
 * Returns 0, -ENOMEM, -EINVAL (message type, options). Thread: any. Suspends: no.
 */
TR_PUBLIC int tr_channel_create_unbounded_raw(struct tr_channel_sender *sender, struct tr_channel_receiver *receiver,
                                              const struct tr_type *type, const struct tr_channel_options *options);

/* ---- sending -------------------------------------------------------------------------------------------------- */

/*
 * Sends a copy of *message; waits in order while there is no room, or does what the policy says. On any error nothing was sent.
 * Thread: any (a foreign thread blocks). Suspends: yes when full. Owns: the message is the receiver's, or given to `drop`.
 * Returns 0, -EPIPE (the receiver has closed or gone), -ETIMEDOUT, -ECANCELED, -ENOBUFS (policy), -ENOMEM, -EINVAL (type; a
 * message that counts for more than byte_limit).
 */
TR_PUBLIC int tr_channel_send_raw(struct tr_channel_sender sender, const struct tr_type *type, const void *message,
                                  tr_time deadline);

/*
 * As send, never waiting. Thread: any. Suspends: no.
 * Returns 0, -EAGAIN (full, or others wait), -EPIPE, -ENOBUFS (policy), -ENOMEM, -EINVAL.
 */
TR_PUBLIC int tr_channel_try_send_raw(struct tr_channel_sender sender, const struct tr_type *type, const void *message);

/*
 * Waits, in order, for room for `count` messages at once, and keeps it: *permit. With a policy it does not wait: without room
 * -ENOBUFS (drop oldest makes some). A permit may outlive the sender; while it does the channel is not at its end.
 * Thread: any (a foreign thread blocks). Suspends: yes when full. Owns: the permit is to be used up or given back.
 * Returns 0, -EPIPE, -ETIMEDOUT, -ECANCELED, -ENOBUFS, as send; -EINVAL (count 0 or beyond the capacity); -ENOTSUP (an unbounded
 * channel, or one with a byte_limit); -ENOMEM. On any error *permit is none.
 */
TR_PUBLIC int tr_channel_reserve_raw(struct tr_channel_sender sender, uint32_t count, struct tr_channel_permit *permit,
                                     tr_time deadline);

/* As reserve, never waiting. Thread: any. Suspends: no. Returns as tr_channel_reserve; -EAGAIN: no room, or others wait. */
TR_PUBLIC int tr_channel_try_reserve_raw(struct tr_channel_sender sender, uint32_t count,
                                         struct tr_channel_permit *permit);

/*
 * Sends by one of the permit's places, also when the receiver has closed meanwhile.
 * Thread: any, one at a time. Suspends: no.
 * Returns 0; -EPIPE (the receiver has been destroyed: the message is still the caller's, and the place is used up); -EINVAL (no
 * place is left, or type).
 */
TR_PUBLIC int tr_channel_permit_send_raw(struct tr_channel_permit *permit, const struct tr_type *type,
                                         const void *message);

/* Gives what is left of the permit back; it is none afterwards. Thread: any. Suspends: no. */
TR_PUBLIC void tr_channel_permit_return_raw(struct tr_channel_permit *permit);

/* How many messages may be sent by it. Thread: its own. Suspends: no. */
static inline uint32_t tr_channel_permit_count_raw(const struct tr_channel_permit *permit)
{
    return permit->tri_count;
}

/*
 * Waits until the receiver has closed or gone: for a sender that can spare itself work nobody waits for.
 * Thread: any (a foreign thread blocks). Suspends: yes. Returns 0, -ETIMEDOUT, -ECANCELED, -ENOMEM, -EINVAL (no channel).
 */
TR_PUBLIC int tr_channel_await_close_raw(struct tr_channel_sender sender, tr_time deadline);

/* True once the receiver has closed or gone. Thread: any. Suspends: no. */
TR_PUBLIC bool tr_channel_is_closed_raw(struct tr_channel_sender sender);

/* ---- receiving ------------------------------------------------------------------------------------------------ */

/*
 * Receives the oldest message.
 * Thread: its own (a foreign thread blocks). Suspends: yes when empty.
 * Returns 0, -EPIPE (no sender is left, or closed; drained; and no permit is left), -ETIMEDOUT, -ECANCELED, -ENOMEM, -EINVAL (the
 * size of the message).
 */
TR_PUBLIC int tr_channel_receive_raw(struct tr_channel_receiver receiver, uint32_t bytes, void *message,
                                     tr_time deadline);

/*
 * As receive, never waiting. Thread: its own. Suspends: no.
 * Returns 0, -EAGAIN while something may still come, -EPIPE once nothing can, -EINVAL (the size of the message).
 */
TR_PUBLIC int tr_channel_try_receive_raw(struct tr_channel_receiver receiver, uint32_t bytes, void *message);

/*
 * Waits for one message, then takes up to `count` that are there.
 * Thread: its own (a foreign thread blocks). Suspends: yes when empty.
 * Returns how many (>= 1), or an error as receive; -EINVAL also for a count of 0 or beyond INT32_MAX.
 */
TR_PUBLIC int tr_channel_receive_many_raw(struct tr_channel_receiver receiver, uint32_t bytes, void *messages,
                                          uint32_t count, tr_time deadline);

/*
 * No more sends: they fail, also those that wait. What is there, and what has a permit, is still received.
 * Thread: any. Suspends: no.
 */
TR_PUBLIC void tr_channel_receiver_close_raw(struct tr_channel_receiver receiver);

/* Closes, and gives what is left to `drop`. The handle is dead. Thread: any, while nobody receives. Suspends: no. */
TR_PUBLIC void tr_channel_receiver_destroy_raw(struct tr_channel_receiver receiver);

/* ---- ends and looks ------------------------------------------------------------------------------------------- */

/*
 * Counts one more, or one less, user of the sender. With the last the receiver's end begins; no handle may be used afterwards.
 * Thread: any. Suspends: no.
 */
TR_PUBLIC void tr_channel_sender_open_raw(struct tr_channel_sender sender);
TR_PUBLIC void tr_channel_sender_close_raw(struct tr_channel_sender sender);

/* A weak sender, to be closed by tr_channel_weak_sender_close. Thread: any. Suspends: no. */
TR_PUBLIC struct tr_channel_weak_sender tr_channel_sender_weaken_raw(struct tr_channel_sender sender);
TR_PUBLIC void tr_channel_weak_sender_close_raw(struct tr_channel_weak_sender weak);

/*
 * Opens one more sender, if there still is one. Returns 0, -EPIPE, -EINVAL (none); on an error *sender is none.
 * Thread: any. Suspends: no.
 */
TR_PUBLIC int tr_channel_weak_sender_open_raw(struct tr_channel_weak_sender weak, struct tr_channel_sender *sender);

/* Messages in the channel; a moment's look, never more than the capacity. Thread: any. Suspends: no. */
TR_PUBLIC uint32_t tr_channel_length_raw(const struct tr_channel *channel);

/* Fills *info. Thread: any. Suspends: no. */
TR_PUBLIC void tr_channel_info_raw(struct tr_channel *channel, struct tr_channel_info *info);

/* ---- select --------------------------------------------------------------------------------------------------- */

/*
 * For tr_select: as the calls, with their results. What they point to must stay where it is; a permit is filled when its case is
 * carried out. A handle that is none, or a wrong size or count, makes no case: the select says -EINVAL.
 * Thread: any. Suspends: no.
 */
TR_PUBLIC struct tr_case tr_case_receive_raw(struct tr_channel_receiver receiver, uint32_t bytes, void *message);
TR_PUBLIC struct tr_case tr_case_send_raw(struct tr_channel_sender sender, const struct tr_type *type,
                                          const void *message);
TR_PUBLIC struct tr_case tr_case_reserve_raw(struct tr_channel_sender sender, uint32_t count,
                                             struct tr_channel_permit *permit);
TR_PUBLIC struct tr_case tr_case_await_close_raw(struct tr_channel_sender sender);

TRI_END_DECLS

/* ---- typed ends ----------------------------------------------------------------------------------------------- */
#ifndef __cplusplus

#define TRI_CHANNEL_END(tag, raw, ...)                                                                                 \
    struct tag {                                                                                                       \
        union {                                                                                                        \
            struct raw tri_raw;                                                                                        \
            __typeof__(__VA_ARGS__) *tri_message;                                                                      \
        };                                                                                                             \
    }
/* TR_CHANNEL_TYPE(job, struct job) makes struct job_sender, job_receiver, job_weak_sender and job_permit. */
#define TR_CHANNEL_TYPE(tag, ...)                                                                                      \
    TRI_CHANNEL_END(tag##_sender, tr_channel_sender, __VA_ARGS__);                                                     \
    TRI_CHANNEL_END(tag##_receiver, tr_channel_receiver, __VA_ARGS__);                                                 \
    TRI_CHANNEL_END(tag##_weak_sender, tr_channel_weak_sender, __VA_ARGS__);                                           \
    TRI_CHANNEL_END(tag##_permit, tr_channel_permit, __VA_ARGS__)

#define TRI_CHANNEL_SAME(a, b) TRI_SAME(a, b, "the ends are not of one channel type")
#define TRI_CHANNEL_MESSAGE(end, message)                                                                              \
    TRI_SAME(*(message), *(end).tri_message, "the message is not of the channel's type")

/* The same in an expression that is no block, so that a compound literal in it lives on: a case refers to its message. */
#define TRI_CHECK_MESSAGE(a, b)                                                                                        \
    ((void)sizeof(struct {                                                                                             \
        TRI_SAME(a, b, "the message is not of the channel's type");                                                    \
        int tri_unused;                                                                                                \
    }))

/* tr_channel_create(&sender, &receiver, capacity, options) */
#define tr_channel_create(out_sender, out_receiver, capacity, ...)                                                     \
    __extension__({                                                                                                    \
        __auto_type tri_s = (out_sender);                                                                              \
        __auto_type tri_r = (out_receiver);                                                                            \
        TRI_CHANNEL_SAME(*tri_s->tri_message, *tri_r->tri_message);                                                    \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_s->tri_message);                                           \
        tr_channel_create_raw(&tri_s->tri_raw, &tri_r->tri_raw, &tri_t, (capacity), (__VA_ARGS__));                    \
    })
/* tr_channel_create_unbounded(&sender, &receiver, options): see tr_channel_create_unbounded_raw. */
#define tr_channel_create_unbounded(out_sender, out_receiver, ...)                                                     \
    __extension__({                                                                                                    \
        __auto_type tri_s = (out_sender);                                                                              \
        __auto_type tri_r = (out_receiver);                                                                            \
        TRI_CHANNEL_SAME(*tri_s->tri_message, *tri_r->tri_message);                                                    \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_s->tri_message);                                           \
        tr_channel_create_unbounded_raw(&tri_s->tri_raw, &tri_r->tri_raw, &tri_t, (__VA_ARGS__));                      \
    })
/* tr_channel_send(sender, deadline, &message) */
#define tr_channel_send(sender, deadline, ...)                                                                         \
    __extension__({                                                                                                    \
        __auto_type tri_s = (sender);                                                                                  \
        __auto_type tri_m = (__VA_ARGS__);                                                                             \
        TRI_CHANNEL_MESSAGE(tri_s, tri_m);                                                                             \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_s.tri_message);                                            \
        tr_channel_send_raw(tri_s.tri_raw, &tri_t, tri_m, (deadline));                                                 \
    })
/* tr_channel_try_send(sender, &message) */
#define tr_channel_try_send(sender, ...)                                                                               \
    __extension__({                                                                                                    \
        __auto_type tri_s = (sender);                                                                                  \
        __auto_type tri_m = (__VA_ARGS__);                                                                             \
        TRI_CHANNEL_MESSAGE(tri_s, tri_m);                                                                             \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_s.tri_message);                                            \
        tr_channel_try_send_raw(tri_s.tri_raw, &tri_t, tri_m);                                                         \
    })
/* tr_channel_reserve(sender, count, &permit, deadline), tr_channel_try_reserve(sender, count, &permit) */
#define tr_channel_reserve(sender, count, permit, deadline)                                                            \
    __extension__({                                                                                                    \
        __auto_type tri_s = (sender);                                                                                  \
        __auto_type tri_p = (permit);                                                                                  \
        TRI_CHANNEL_SAME(*tri_s.tri_message, *tri_p->tri_message);                                                     \
        tr_channel_reserve_raw(tri_s.tri_raw, (count), &tri_p->tri_raw, (deadline));                                   \
    })
#define tr_channel_try_reserve(sender, count, permit)                                                                  \
    __extension__({                                                                                                    \
        __auto_type tri_s = (sender);                                                                                  \
        __auto_type tri_p = (permit);                                                                                  \
        TRI_CHANNEL_SAME(*tri_s.tri_message, *tri_p->tri_message);                                                     \
        tr_channel_try_reserve_raw(tri_s.tri_raw, (count), &tri_p->tri_raw);                                           \
    })
/* tr_channel_permit_send(&permit, &message), tr_channel_permit_return(&permit), tr_channel_permit_count(&permit) */
#define tr_channel_permit_send(permit, ...)                                                                            \
    __extension__({                                                                                                    \
        __auto_type tri_p = (permit);                                                                                  \
        __auto_type tri_m = (__VA_ARGS__);                                                                             \
        TRI_CHANNEL_MESSAGE(*tri_p, tri_m);                                                                            \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_p->tri_message);                                           \
        tr_channel_permit_send_raw(&tri_p->tri_raw, &tri_t, tri_m);                                                    \
    })
#define tr_channel_permit_return(permit) tr_channel_permit_return_raw(&(permit)->tri_raw)
#define tr_channel_permit_count(permit) tr_channel_permit_count_raw(&(permit)->tri_raw)
/* tr_channel_receive(receiver, &message, deadline), tr_channel_try_receive(receiver, &message), and of many */
#define tr_channel_receive(receiver, message, deadline)                                                                \
    __extension__({                                                                                                    \
        __auto_type tri_r = (receiver);                                                                                \
        __auto_type tri_m = (message);                                                                                 \
        TRI_CHANNEL_MESSAGE(tri_r, tri_m);                                                                             \
        tr_channel_receive_raw(tri_r.tri_raw, sizeof *tri_m, tri_m, (deadline));                                       \
    })
#define tr_channel_try_receive(receiver, message)                                                                      \
    __extension__({                                                                                                    \
        __auto_type tri_r = (receiver);                                                                                \
        __auto_type tri_m = (message);                                                                                 \
        TRI_CHANNEL_MESSAGE(tri_r, tri_m);                                                                             \
        tr_channel_try_receive_raw(tri_r.tri_raw, sizeof *tri_m, tri_m);                                               \
    })
#define tr_channel_receive_many(receiver, messages, count, deadline)                                                   \
    __extension__({                                                                                                    \
        __auto_type tri_r = (receiver);                                                                                \
        __auto_type tri_m = (messages);                                                                                \
        TRI_CHANNEL_MESSAGE(tri_r, tri_m);                                                                             \
        tr_channel_receive_many_raw(tri_r.tri_raw, sizeof *tri_m, tri_m, (count), (deadline));                         \
    })
#define tr_channel_await_close(sender, deadline) tr_channel_await_close_raw((sender).tri_raw, (deadline))
#define tr_channel_is_closed(sender) tr_channel_is_closed_raw((sender).tri_raw)
#define tr_channel_receiver_close(receiver) tr_channel_receiver_close_raw((receiver).tri_raw)
#define tr_channel_receiver_destroy(receiver) tr_channel_receiver_destroy_raw((receiver).tri_raw)
#define tr_channel_sender_open(sender) tr_channel_sender_open_raw((sender).tri_raw)
#define tr_channel_sender_close(sender) tr_channel_sender_close_raw((sender).tri_raw)
/* tr_channel_sender_weaken(sender, &weak) */
#define tr_channel_sender_weaken(sender, out_weak)                                                                     \
    __extension__({                                                                                                    \
        __auto_type tri_s = (sender);                                                                                  \
        __auto_type tri_w = (out_weak);                                                                                \
        TRI_CHANNEL_SAME(*tri_s.tri_message, *tri_w->tri_message);                                                     \
        tri_w->tri_raw = tr_channel_sender_weaken_raw(tri_s.tri_raw);                                                  \
        (void)0;                                                                                                       \
    })
#define tr_channel_weak_sender_close(weak) tr_channel_weak_sender_close_raw((weak).tri_raw)
/* tr_channel_weak_sender_open(weak, &sender) */
#define tr_channel_weak_sender_open(weak, out_sender)                                                                  \
    __extension__({                                                                                                    \
        __auto_type tri_w = (weak);                                                                                    \
        __auto_type tri_s = (out_sender);                                                                              \
        TRI_CHANNEL_SAME(*tri_s->tri_message, *tri_w.tri_message);                                                     \
        tr_channel_weak_sender_open_raw(tri_w.tri_raw, &tri_s->tri_raw);                                               \
    })
/* Of any end: messages in the channel; no message in it; more; two ends of one channel. */
#define tr_channel_length(end) tr_channel_length_raw((end).tri_raw.tri_channel)
#define tr_channel_is_empty(end) (tr_channel_length(end) == 0)
#define tr_channel_info(end, info) tr_channel_info_raw((end).tri_raw.tri_channel, (info))
#define tr_channel_same(a, b) ((a).tri_raw.tri_channel == (b).tri_raw.tri_channel)
/* For tr_select: tr_case_receive(receiver, &message), tr_case_send(sender, &message), ... */
#define tr_case_receive(receiver, message)                                                                             \
    __extension__({                                                                                                    \
        __auto_type tri_r = (receiver);                                                                                \
        __auto_type tri_m = (message);                                                                                 \
        TRI_CHANNEL_MESSAGE(tri_r, tri_m);                                                                             \
        tr_case_receive_raw(tri_r.tri_raw, sizeof *tri_m, tri_m);                                                      \
    })
#define tr_case_send(sender, ...)                                                                                      \
    (TRI_CHECK_MESSAGE(*(__VA_ARGS__), *(sender).tri_message),                                                         \
     tr_case_send_raw((sender).tri_raw, &(const struct tr_type)TRI_TYPE_OF((sender).tri_message), (__VA_ARGS__)))
#define tr_case_reserve(sender, count, permit)                                                                         \
    __extension__({                                                                                                    \
        __auto_type tri_s = (sender);                                                                                  \
        __auto_type tri_p = (permit);                                                                                  \
        TRI_CHANNEL_SAME(*tri_s.tri_message, *tri_p->tri_message);                                                     \
        tr_case_reserve_raw(tri_s.tri_raw, (count), &tri_p->tri_raw);                                                  \
    })
#define tr_case_await_close(sender) tr_case_await_close_raw((sender).tri_raw)

#endif /* __cplusplus */
#endif
