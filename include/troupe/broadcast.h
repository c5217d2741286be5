/* SPDX-License-Identifier: MIT */
/*
 * broadcast.h: a channel in which every receiver sees every value.
 *
 *     TR_BROADCAST_TYPE(price_feed, struct price);
 *     TR_BROADCAST_RECEIVER_TYPE(price_receiver, struct price);
 *
 *     struct price_feed feed;
 *     rc = tr_broadcast_create(&feed, 1024, NULL);
 *     ...
 *     tr_broadcast_send(feed, &price);
 *
 *     struct price_receiver prices;
 *     tr_broadcast_subscribe(feed, &prices);
 *     while ((rc = tr_broadcast_receive(&prices, &price, TR_FOREVER)) >= 0) {
 *         if (rc > 0)
 *             note("%d prices missed", rc);
 *         use(&price);
 *     }
 *     tr_broadcast_unsubscribe(&prices);
 *
 * The channel keeps the newest values, as many as its capacity. A send never waits: it overwrites the oldest. A receiver that
 * was too slow goes on at the oldest value that is kept, and is told with that value, once, how many it has missed.
 * Values are stored once and copied by each receiver, or, if they are references to counted objects, cloned (see options).
 *
 * Senders are counted: create counts one, tr_broadcast_open another, tr_broadcast_close takes one away; once there is none, for
 * ever, receivers drain and then get -EPIPE. Works between tasks of any runtimes and plain threads, which block. The macros
 * are C only; from C++ and other languages use the _raw functions beneath them.
 */
#ifndef TROUPE_BROADCAST_H
#define TROUPE_BROADCAST_H

#include <troupe/handle.h>
#include <troupe/select.h>

TRI_BEGIN_DECLS

#define TR_BROADCAST_LIMIT (UINT32_C(1) << 20) /* values that a channel can keep */

/* A sender's handle: a plain value, to be copied at will. How many senders there are is counted by open and close alone. */
struct tr_broadcast {
    void *tri_channel;
};

/* A handle that keeps the channel's memory, but does not count as a sender. */
struct tr_broadcast_weak {
    void *tri_channel;
};

/* A receiver: the caller's memory, used by one task or thread at a time. It may be moved between calls, not used in two copies. */
struct tr_broadcast_receiver {
    void *tri_channel;
    uint64_t tri_next, tri_missed;
    int32_t tri_haste;
};

/*
 * For values that are references to counted objects, of at most TR_COUNTED_LIMIT bytes: a send passes the sender's reference to
 * the channel; `clone` makes one for each receiver, from *value, which is its copy; `drop` is called once for each value that
 * was sent, when it is overwritten or the channel goes. Both must be given; clone is called under the channel's lock, for which
 * sends wait: it must be short, and not suspend, nor call the channel.
 */
struct tr_broadcast_options {
    void (*clone)(void *value);
    void (*drop)(void *value);
};

/*
 * Makes a channel for values of `bytes` (at most TR_MESSAGE_LIMIT, alignment 64) that keeps `capacity` of them, rounded up to
 * a power of two, with one sender and no receiver. Options may be NULL.
 * Returns 0, -ENOMEM, -EINVAL (capacity 0 or beyond TR_BROADCAST_LIMIT, bytes, options). Thread: any. Suspends: no.
 */
TR_PUBLIC int tr_broadcast_create_raw(struct tr_broadcast *out, uint32_t bytes, uint32_t capacity,
                                      const struct tr_broadcast_options *options);

/* One sender more, by who holds one; one less: the last close ends the channel. Thread: any. Suspends: no. */
TR_PUBLIC void tr_broadcast_open_raw(struct tr_broadcast broadcast);
TR_PUBLIC void tr_broadcast_close_raw(struct tr_broadcast broadcast);

/*
 * Gives the value to every receiver there is. Never waits for any of them.
 * Thread: any. Suspends: no. Owns: a reference that is sent is the channel's, on an error the caller's still.
 * Returns the number of receivers, more than 0; -ESRCH if there is none (then nothing was sent; a later subscribe changes
 * that), -EINVAL (not the channel's size).
 */
TR_PUBLIC int tr_broadcast_send_raw(struct tr_broadcast broadcast, uint32_t bytes, const void *value);

/*
 * A receiver of what is sent from now on. To be undone by unsubscribe. The second form is from a receiver, which stays as it
 * is: *out does not get what that has yet to receive. Thread: any. Suspends: no. Returns 0; -EINVAL if the handle is all zero.
 */
TR_PUBLIC int tr_broadcast_subscribe_raw(struct tr_broadcast broadcast, struct tr_broadcast_receiver *out);
TR_PUBLIC int tr_broadcast_resubscribe_raw(const struct tr_broadcast_receiver *receiver,
                                           struct tr_broadcast_receiver *out);
/* Ends a receiver. Values that it has not received are dropped when they are overwritten. Thread: any. Suspends: no. */
TR_PUBLIC void tr_broadcast_unsubscribe_raw(struct tr_broadcast_receiver *receiver);

/*
 * Receives the next value.
 * Thread: its own (a foreign thread blocks). Suspends: yes when there is none. Owns: a clone is the caller's.
 * Returns 0; a positive number: so many values were overwritten before they could be received, and *value is the oldest that
 * was kept (of more than INT_MAX the rest is told with the next); or -EPIPE (no sender any more, and drained), -ETIMEDOUT,
 * -ECANCELED, -ENOMEM, -EINVAL (not the channel's size): then nothing was received, and *value is undefined.
 */
TR_PUBLIC int tr_broadcast_receive_raw(struct tr_broadcast_receiver *receiver, uint32_t bytes, void *value,
                                       tr_time deadline);

/* As receive, never suspending. Thread: its own. Suspends: no. Returns as tr_broadcast_receive; -EAGAIN: there is no value. */
TR_PUBLIC int tr_broadcast_try_receive_raw(struct tr_broadcast_receiver *receiver, uint32_t bytes, void *value);

/* How many values wait for this receiver; those that it has missed are not among them. Thread: its own. Suspends: no. */
TR_PUBLIC uint64_t tr_broadcast_length_raw(const struct tr_broadcast_receiver *receiver);

/* How many receivers and senders there are, at this moment. Thread: any. Suspends: no. */
TR_PUBLIC uint32_t tr_broadcast_receivers_raw(struct tr_broadcast broadcast);
TR_PUBLIC uint32_t tr_broadcast_senders_raw(const struct tr_broadcast_receiver *receiver);

/*
 * Waits until there is no receiver: at once if there is none now.
 * Thread: any (a foreign thread blocks). Suspends: yes. Returns 0, -ETIMEDOUT, -ECANCELED, -ENOMEM.
 */
TR_PUBLIC int tr_broadcast_closed_raw(struct tr_broadcast broadcast, tr_time deadline);

/*
 * Weak handles. upgrade: one sender more, if there still is one. Each downgrade is undone by one forget.
 * Thread: any. Suspends: no. Returns (upgrade) 0, or -EPIPE: there is no sender any more.
 */
TR_PUBLIC void tr_broadcast_downgrade_raw(struct tr_broadcast broadcast, struct tr_broadcast_weak *out);
TR_PUBLIC int tr_broadcast_upgrade_raw(struct tr_broadcast_weak weak, struct tr_broadcast *out);
TR_PUBLIC void tr_broadcast_forget_raw(struct tr_broadcast_weak weak);

/* For tr_select: receives. Thread: any. Suspends: no. Its result: as tr_broadcast_receive, so it may be a count, too. */
TR_PUBLIC struct tr_case tr_case_broadcast_raw(struct tr_broadcast_receiver *receiver, uint32_t bytes, void *value);

TRI_END_DECLS

/* ---- typed handles: see actor.h ------------------------------------------------------------------------------- */
#ifndef __cplusplus

/* Each makes one struct tag for values of a type: the sender's handle; the receiver; the weak handle. */
#define TR_BROADCAST_TYPE(tag, ...) TRI_HANDLE_TYPE(tag, struct tr_broadcast, __VA_ARGS__)
#define TR_BROADCAST_RECEIVER_TYPE(tag, ...) TRI_HANDLE_TYPE(tag, struct tr_broadcast_receiver, __VA_ARGS__)
#define TR_BROADCAST_WEAK_TYPE(tag, ...) TRI_HANDLE_TYPE(tag, struct tr_broadcast_weak, __VA_ARGS__)

/* tr_broadcast_create(&feed, capacity, options) */
#define tr_broadcast_create(out, capacity, ...)                                                                        \
    __extension__({                                                                                                    \
        __auto_type tri_out = (out);                                                                                   \
        _Static_assert(_Alignof(__typeof__(*tri_out->tri_value)) <= 64, "the value's alignment is beyond 64");         \
        tr_broadcast_create_raw(&tri_out->tri_raw, sizeof *tri_out->tri_value, (capacity), (__VA_ARGS__));             \
    })
/* tr_broadcast_send(feed, &value). The value comes last so that a compound literal needs no parentheses. */
#define tr_broadcast_send(broadcast, ...)                                                                              \
    __extension__({                                                                                                    \
        __auto_type tri_b = (broadcast);                                                                               \
        __auto_type tri_v = (__VA_ARGS__);                                                                             \
        TRI_SAME(*tri_v, *tri_b.tri_value, "the value is not of the channel's type");                                  \
        tr_broadcast_send_raw(tri_b.tri_raw, sizeof *tri_v, tri_v);                                                    \
    })
/* tr_broadcast_subscribe(feed, &receiver), tr_broadcast_resubscribe(&receiver, &another) */
#define tr_broadcast_subscribe(broadcast, out)                                                                         \
    __extension__({                                                                                                    \
        __auto_type tri_b = (broadcast);                                                                               \
        __auto_type tri_out = (out);                                                                                   \
        TRI_SAME(*tri_out->tri_value, *tri_b.tri_value, "the receiver is not of the channel's type");                  \
        tr_broadcast_subscribe_raw(tri_b.tri_raw, &tri_out->tri_raw);                                                  \
    })
#define tr_broadcast_resubscribe(receiver, out)                                                                        \
    __extension__({                                                                                                    \
        __auto_type tri_r = (receiver);                                                                                \
        __auto_type tri_out = (out);                                                                                   \
        TRI_SAME(*tri_out->tri_value, *tri_r->tri_value, "the receivers are not of the same type");                    \
        tr_broadcast_resubscribe_raw(&tri_r->tri_raw, &tri_out->tri_raw);                                              \
    })
/* tr_broadcast_receive(&receiver, &value, deadline), tr_broadcast_try_receive(&receiver, &value) */
#define tr_broadcast_receive(receiver, value, deadline)                                                                \
    __extension__({                                                                                                    \
        __auto_type tri_r = (receiver);                                                                                \
        __auto_type tri_v = (value);                                                                                   \
        TRI_SAME(tri_v, tri_r->tri_value, "the value is not of the channel's type");                                   \
        tr_broadcast_receive_raw(&tri_r->tri_raw, sizeof *tri_v, tri_v, (deadline));                                   \
    })
#define tr_broadcast_try_receive(receiver, value)                                                                      \
    __extension__({                                                                                                    \
        __auto_type tri_r = (receiver);                                                                                \
        __auto_type tri_v = (value);                                                                                   \
        TRI_SAME(tri_v, tri_r->tri_value, "the value is not of the channel's type");                                   \
        tr_broadcast_try_receive_raw(&tri_r->tri_raw, sizeof *tri_v, tri_v);                                           \
    })
/* tr_case_broadcast(&receiver, &value) */
#define tr_case_broadcast(receiver, value)                                                                             \
    __extension__({                                                                                                    \
        __auto_type tri_r = (receiver);                                                                                \
        __auto_type tri_v = (value);                                                                                   \
        TRI_SAME(tri_v, tri_r->tri_value, "the value is not of the channel's type");                                   \
        tr_case_broadcast_raw(&tri_r->tri_raw, sizeof *tri_v, tri_v);                                                  \
    })
/* tr_broadcast_downgrade(feed, &weak), tr_broadcast_upgrade(weak, &feed) */
#define tr_broadcast_downgrade(broadcast, out)                                                                         \
    __extension__({                                                                                                    \
        __auto_type tri_b = (broadcast);                                                                               \
        __auto_type tri_out = (out);                                                                                   \
        TRI_SAME(*tri_out->tri_value, *tri_b.tri_value, "the handle is not of the channel's type");                    \
        tr_broadcast_downgrade_raw(tri_b.tri_raw, &tri_out->tri_raw);                                                  \
    })
#define tr_broadcast_upgrade(weak, out)                                                                                \
    __extension__({                                                                                                    \
        __auto_type tri_w = (weak);                                                                                    \
        __auto_type tri_out = (out);                                                                                   \
        TRI_SAME(*tri_out->tri_value, *tri_w.tri_value, "the handle is not of the channel's type");                    \
        tr_broadcast_upgrade_raw(tri_w.tri_raw, &tri_out->tri_raw);                                                    \
    })
/* True if two handles, of whatever kind, are of the same channel. */
#define tr_broadcast_same(a, b) ((a).tri_raw.tri_channel == (b).tri_raw.tri_channel)
#define tr_broadcast_open(broadcast) tr_broadcast_open_raw(TRI_RAW(broadcast))
#define tr_broadcast_close(broadcast) tr_broadcast_close_raw(TRI_RAW(broadcast))
#define tr_broadcast_unsubscribe(receiver) tr_broadcast_unsubscribe_raw(TRI_RAW_OF(receiver))
#define tr_broadcast_length(receiver) tr_broadcast_length_raw(TRI_RAW_OF(receiver))
#define tr_broadcast_receivers(broadcast) tr_broadcast_receivers_raw(TRI_RAW(broadcast))
#define tr_broadcast_senders(receiver) tr_broadcast_senders_raw(TRI_RAW_OF(receiver))
#define tr_broadcast_closed(broadcast, deadline) tr_broadcast_closed_raw(TRI_RAW(broadcast), (deadline))
#define tr_broadcast_forget(weak) tr_broadcast_forget_raw(TRI_RAW(weak))

#endif /* __cplusplus */
#endif
