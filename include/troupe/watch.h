/* SPDX-License-Identifier: MIT */
/*
 * watch.h: the latest value of something, and being told when it changes.
 *
 *     TR_WATCH_TYPE(settings, struct setting);
 *     TR_WATCH_RECEIVER_TYPE(settings_receiver, struct setting);
 *
 *     struct settings settings;
 *     rc = tr_watch_create(&settings, NULL, &initial);
 *     ...
 *     tr_watch_send(settings, &changed);
 *
 *     struct settings_receiver receiver;
 *     tr_watch_subscribe(settings, &receiver);
 *     tr_watch_read(&receiver, &setting);
 *     do
 *         apply(&setting);
 *     while (tr_watch_next(&receiver, &setting, TR_FOREVER) == 0);
 *     tr_watch_unsubscribe(&receiver);
 *
 * Only the latest value is kept. Each has a version, and each receiver knows which one it has seen: at first the one that was
 * there when it subscribed. Values between the one seen and the latest are never seen; the last one always is.
 *
 * A reader copies the value and holds nothing, so that it does not keep a sender waiting. Two exceptions, both bounded by what a
 * reader does under the lock that senders take: a counted value (see options) is cloned there, so a slow `clone` is waited for;
 * and a plain value that is overwritten again and again while it is copied is copied there in the end. Large values are best
 * sent as references to counted objects.
 *
 * Any number of senders, counted as those of broadcast.h; once there is none, for ever, receivers see the last value and then get
 * -EPIPE. Works between tasks of any runtimes and plain threads, which block. The macros are C only; from C++ and other
 * languages use the _raw functions beneath them.
 */
#ifndef TROUPE_WATCH_H
#define TROUPE_WATCH_H

#include <troupe/handle.h>
#include <troupe/select.h>

TRI_BEGIN_DECLS

/* A sender's handle: a plain value, to be copied at will. How many senders there are is counted by open and close alone. */
struct tr_watch {
    void *tri_channel;
};

/* A receiver: the caller's memory, used by one task or thread at a time. It may be moved between calls, not used in two copies. */
struct tr_watch_receiver {
    void *tri_channel;
    uint64_t tri_seen;
    int32_t tri_haste;
};

/*
 * For values that are references to counted objects, of at most TR_COUNTED_LIMIT bytes: a send passes the sender's reference to
 * the watch; `clone` makes one for each reader, from *value, which is its copy; `drop` is called once for each value that was
 * sent, when another takes its place or the watch goes. Both must be given; clone is called under the watch's lock, for which
 * senders wait: it must be short, and not suspend, nor call the watch.
 */
struct tr_watch_options {
    void (*clone)(void *value);
    void (*drop)(void *value);
};

/*
 * Makes a watch for values of `bytes` (at most TR_MESSAGE_LIMIT, alignment 64) with a first value, one sender and no
 * receiver. Options may be NULL. Owns: the first value as one that is sent.
 * Returns 0, -ENOMEM, -EINVAL (bytes, options). Thread: any. Suspends: no.
 */
TR_PUBLIC int tr_watch_create_raw(struct tr_watch *out, uint32_t bytes, const void *value,
                                  const struct tr_watch_options *options);

/* One sender more, by who holds one; one less: the last close ends the watch. Thread: any. Suspends: no. */
TR_PUBLIC void tr_watch_open_raw(struct tr_watch watch);
TR_PUBLIC void tr_watch_close_raw(struct tr_watch watch);

/*
 * Makes *value the latest, and tells all who wait for a change.
 * Thread: any. Suspends: no. Owns: a reference that is sent is the watch's, on an error the caller's still.
 * Returns 0; -ESRCH if there is no receiver (then nothing has changed: use replace), -EINVAL (not the watch's size).
 */
TR_PUBLIC int tr_watch_send_raw(struct tr_watch watch, uint32_t bytes, const void *value);

/*
 * As send, but also without receivers. *old gets the value that there was; it may be *value itself: the two then change places.
 * NULL: that value is dropped. (The typed form takes `old` first, the value last, as all of them do.)
 * Thread: any. Suspends: no. Owns: as send; *old, with its reference, is the caller's.
 * Returns 0 or -EINVAL (not the watch's size).
 */
TR_PUBLIC int tr_watch_replace_raw(struct tr_watch watch, uint32_t bytes, const void *value, void *old);

/*
 * Changes the value in place: `modify` is called with a copy; if it returns true the copy is the latest value, also without
 * receivers, else nothing has changed. Of counted values it owns what it replaces. Called with other senders kept out, readers not:
 * it must not suspend, nor send to the watch, replace in it or modify it.
 * Thread: any. Suspends: no. Returns what `modify` has returned.
 */
TR_PUBLIC bool tr_watch_modify_raw(struct tr_watch watch, bool (*modify)(void *value, void *argument), void *argument);

/* A copy (or clone) of the latest value, for senders. Returns 0 or -EINVAL (not the watch's size). Thread: any. Suspends: no. */
TR_PUBLIC int tr_watch_current_raw(struct tr_watch watch, uint32_t bytes, void *value);

/*
 * A receiver that has seen the latest value, or, from another receiver, what that has seen. To be undone by unsubscribe.
 * Thread: any. Suspends: no. Returns 0; -EINVAL if the handle is all zero.
 */
TR_PUBLIC int tr_watch_subscribe_raw(struct tr_watch watch, struct tr_watch_receiver *out);
TR_PUBLIC int tr_watch_clone_raw(const struct tr_watch_receiver *receiver, struct tr_watch_receiver *out);
/* Ends a receiver. Thread: any. Suspends: no. */
TR_PUBLIC void tr_watch_unsubscribe_raw(struct tr_watch_receiver *receiver);

/*
 * Waits for a value that the receiver has not seen, and marks it seen; at once, if there is one.
 * Thread: its own (a foreign thread blocks). Suspends: yes.
 * Returns 0, -EPIPE (all has been seen, and there is no sender any more), -ETIMEDOUT, -ECANCELED, -ENOMEM.
 */
TR_PUBLIC int tr_watch_changed_raw(struct tr_watch_receiver *receiver, tr_time deadline);

/*
 * As changed, and copies the value (or clones it).
 * Thread: its own (a foreign thread blocks). Suspends: yes. Owns: a clone is the caller's.
 * Returns 0, -EPIPE, -ETIMEDOUT, -ECANCELED, -ENOMEM, as changed, or -EINVAL (not the watch's size): then *value is undefined.
 */
TR_PUBLIC int tr_watch_next_raw(struct tr_watch_receiver *receiver, uint32_t bytes, void *value, tr_time deadline);

/*
 * Waits until `predicate` is true of the latest value, which is looked at first, also if it has been seen. *value is then that
 * value. A clone that is not wanted is dropped.
 * Thread: its own (a foreign thread blocks). Suspends: yes; the predicate must not.
 * Returns 0, -EPIPE (the last value is not it), -ETIMEDOUT, -ECANCELED, -ENOMEM, -EINVAL (not the watch's size): then *value is
 * undefined.
 */
TR_PUBLIC int tr_watch_wait_for_raw(struct tr_watch_receiver *receiver, uint32_t bytes,
                                    bool (*predicate)(const void *value, void *argument), void *argument, void *value,
                                    tr_time deadline);

/*
 * Whether there is a value that has not been seen. Thread: its own. Suspends: no.
 * Returns 1 if there is, else 0 or, if there is no sender any more, -EPIPE.
 */
TR_PUBLIC int tr_watch_has_changed_raw(const struct tr_watch_receiver *receiver);

/* As if the latest value had not been seen, or had. Thread: its own. Suspends: no. */
TR_PUBLIC void tr_watch_mark_changed_raw(struct tr_watch_receiver *receiver);
TR_PUBLIC void tr_watch_mark_unchanged_raw(struct tr_watch_receiver *receiver);

/*
 * A copy (or clone) of the latest value. read marks it seen, so that no change is missed between the two; peek does not.
 * Also when closed. Returns 0 or -EINVAL (not the watch's size). Thread: its own. Suspends: no.
 */
TR_PUBLIC int tr_watch_read_raw(struct tr_watch_receiver *receiver, uint32_t bytes, void *value);
TR_PUBLIC int tr_watch_peek_raw(const struct tr_watch_receiver *receiver, uint32_t bytes, void *value);

/* How many receivers and senders there are, at this moment. Thread: any. Suspends: no. */
TR_PUBLIC uint32_t tr_watch_receivers_raw(struct tr_watch watch);
TR_PUBLIC uint32_t tr_watch_senders_raw(const struct tr_watch_receiver *receiver);

/*
 * Waits until there is no receiver: at once if there is none now.
 * Thread: any (a foreign thread blocks). Suspends: yes. Returns 0, -ETIMEDOUT, -ECANCELED, -ENOMEM.
 */
TR_PUBLIC int tr_watch_closed_raw(struct tr_watch watch, tr_time deadline);

/* For tr_select: waits for a change, and marks it seen. Thread: any. Suspends: no. Its result: as tr_watch_changed. */
TR_PUBLIC struct tr_case tr_case_watch_raw(struct tr_watch_receiver *receiver);

TRI_END_DECLS

/* ---- typed handles: see actor.h ------------------------------------------------------------------------------- */
#ifndef __cplusplus

/* Each makes one struct tag for values of a type: the sender's handle; the receiver. */
#define TR_WATCH_TYPE(tag, ...) TRI_HANDLE_TYPE(tag, struct tr_watch, __VA_ARGS__)
#define TR_WATCH_RECEIVER_TYPE(tag, ...) TRI_HANDLE_TYPE(tag, struct tr_watch_receiver, __VA_ARGS__)

/* tr_watch_create(&watch, options, &value). The value comes last so that a compound literal needs no parentheses. */
#define tr_watch_create(out, options, ...)                                                                             \
    __extension__({                                                                                                    \
        __auto_type tri_out = (out);                                                                                   \
        __auto_type tri_v = (__VA_ARGS__);                                                                             \
        TRI_SAME(*tri_v, *tri_out->tri_value, "the value is not of the watch's type");                                 \
        _Static_assert(_Alignof(__typeof__(*tri_v)) <= 64, "the value's alignment is beyond 64");                      \
        tr_watch_create_raw(&tri_out->tri_raw, sizeof *tri_v, tri_v, (options));                                       \
    })
/* tr_watch_send(watch, &value) */
#define tr_watch_send(watch, ...)                                                                                      \
    __extension__({                                                                                                    \
        __auto_type tri_w = (watch);                                                                                   \
        __auto_type tri_v = (__VA_ARGS__);                                                                             \
        TRI_SAME(*tri_v, *tri_w.tri_value, "the value is not of the watch's type");                                    \
        tr_watch_send_raw(tri_w.tri_raw, sizeof *tri_v, tri_v);                                                        \
    })
/* tr_watch_replace(watch, &old, &value) */
#define tr_watch_replace(watch, old, ...)                                                                              \
    __extension__({                                                                                                    \
        __auto_type tri_w = (watch);                                                                                   \
        __typeof__(tri_w.tri_value) tri_old = (old);                                                                   \
        __auto_type tri_v = (__VA_ARGS__);                                                                             \
        TRI_SAME(*tri_v, *tri_w.tri_value, "the value is not of the watch's type");                                    \
        tr_watch_replace_raw(tri_w.tri_raw, sizeof *tri_v, tri_v, tri_old);                                            \
    })
/* tr_watch_current(watch, &value) */
#define tr_watch_current(watch, value)                                                                                 \
    __extension__({                                                                                                    \
        __auto_type tri_w = (watch);                                                                                   \
        __auto_type tri_v = (value);                                                                                   \
        TRI_SAME(tri_v, tri_w.tri_value, "the value is not of the watch's type");                                      \
        tr_watch_current_raw(tri_w.tri_raw, sizeof *tri_v, tri_v);                                                     \
    })
/* tr_watch_subscribe(watch, &receiver), tr_watch_clone(&receiver, &another) */
#define tr_watch_subscribe(watch, out)                                                                                 \
    __extension__({                                                                                                    \
        __auto_type tri_w = (watch);                                                                                   \
        __auto_type tri_out = (out);                                                                                   \
        TRI_SAME(*tri_out->tri_value, *tri_w.tri_value, "the receiver is not of the watch's type");                    \
        tr_watch_subscribe_raw(tri_w.tri_raw, &tri_out->tri_raw);                                                      \
    })
#define tr_watch_clone(receiver, out)                                                                                  \
    __extension__({                                                                                                    \
        __auto_type tri_r = (receiver);                                                                                \
        __auto_type tri_out = (out);                                                                                   \
        TRI_SAME(*tri_out->tri_value, *tri_r->tri_value, "the receivers are not of the same type");                    \
        tr_watch_clone_raw(&tri_r->tri_raw, &tri_out->tri_raw);                                                        \
    })
/* tr_watch_next(&receiver, &value, deadline) */
#define tr_watch_next(receiver, value, deadline)                                                                       \
    __extension__({                                                                                                    \
        __auto_type tri_r = (receiver);                                                                                \
        __auto_type tri_v = (value);                                                                                   \
        TRI_SAME(tri_v, tri_r->tri_value, "the value is not of the watch's type");                                     \
        tr_watch_next_raw(&tri_r->tri_raw, sizeof *tri_v, tri_v, (deadline));                                          \
    })
/* tr_watch_wait_for(&receiver, predicate, argument, &value, deadline) */
#define tr_watch_wait_for(receiver, predicate, argument, value, deadline)                                              \
    __extension__({                                                                                                    \
        __auto_type tri_r = (receiver);                                                                                \
        __auto_type tri_v = (value);                                                                                   \
        TRI_SAME(tri_v, tri_r->tri_value, "the value is not of the watch's type");                                     \
        tr_watch_wait_for_raw(&tri_r->tri_raw, sizeof *tri_v, (predicate), (argument), tri_v, (deadline));             \
    })
/* tr_watch_read(&receiver, &value), tr_watch_peek(&receiver, &value) */
#define tr_watch_read(receiver, value)                                                                                 \
    __extension__({                                                                                                    \
        __auto_type tri_r = (receiver);                                                                                \
        __auto_type tri_v = (value);                                                                                   \
        TRI_SAME(tri_v, tri_r->tri_value, "the value is not of the watch's type");                                     \
        tr_watch_read_raw(&tri_r->tri_raw, sizeof *tri_v, tri_v);                                                      \
    })
#define tr_watch_peek(receiver, value)                                                                                 \
    __extension__({                                                                                                    \
        __auto_type tri_r = (receiver);                                                                                \
        __auto_type tri_v = (value);                                                                                   \
        TRI_SAME(tri_v, tri_r->tri_value, "the value is not of the watch's type");                                     \
        tr_watch_peek_raw(&tri_r->tri_raw, sizeof *tri_v, tri_v);                                                      \
    })
/* True if two handles, of whatever kind, are of the same watch. */
#define tr_watch_same(a, b) ((a).tri_raw.tri_channel == (b).tri_raw.tri_channel)
#define tr_watch_open(watch) tr_watch_open_raw(TRI_RAW(watch))
#define tr_watch_close(watch) tr_watch_close_raw(TRI_RAW(watch))
#define tr_watch_modify(watch, modify, argument) tr_watch_modify_raw(TRI_RAW(watch), (modify), (argument))
#define tr_watch_unsubscribe(receiver) tr_watch_unsubscribe_raw(TRI_RAW_OF(receiver))
#define tr_watch_changed(receiver, deadline) tr_watch_changed_raw(TRI_RAW_OF(receiver), (deadline))
#define tr_watch_has_changed(receiver) tr_watch_has_changed_raw(TRI_RAW_OF(receiver))
#define tr_watch_mark_changed(receiver) tr_watch_mark_changed_raw(TRI_RAW_OF(receiver))
#define tr_watch_mark_unchanged(receiver) tr_watch_mark_unchanged_raw(TRI_RAW_OF(receiver))
#define tr_watch_receivers(watch) tr_watch_receivers_raw(TRI_RAW(watch))
#define tr_watch_senders(receiver) tr_watch_senders_raw(TRI_RAW_OF(receiver))
#define tr_watch_closed(watch, deadline) tr_watch_closed_raw(TRI_RAW(watch), (deadline))
#define tr_case_watch(receiver) tr_case_watch_raw(TRI_RAW_OF(receiver))

#endif /* __cplusplus */
#endif
