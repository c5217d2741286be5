/* SPDX-License-Identifier: MIT */
/*
 * oneshot.h: one value, once, from one sender to one receiver. 24 bytes and the value, no memory of its own.
 *
 *     TR_ONESHOT_TYPE(answer_oneshot, struct answer);
 *
 *     struct answer_oneshot oneshot;                    in the receiver's frame, say
 *     tr_oneshot_init(&oneshot);
 *     ... somebody gets &oneshot and does: tr_oneshot_send(&oneshot, &answer), or tr_oneshot_drop(&oneshot) ...
 *     rc = tr_oneshot_receive(&oneshot, &answer, tr_after(TR_SECOND));
 *     tr_oneshot_leave(&oneshot);
 *
 * The sender has done its part once tr_oneshot_send, whatever it returns, or tr_oneshot_drop has returned, and touches the
 * oneshot no more. The receiver has done its part when tr_oneshot_leave has returned. The memory can be used anew then: for
 * that tr_oneshot_leave waits until the sender has done its part, which after a receive that returned 0 or -EPIPE, unless
 * the receiver had closed, it has. A receiver that cannot wait makes the oneshot by tr_oneshot_create: then it just leaves, and
 * whoever is the last frees it.
 */
#ifndef TROUPE_ONESHOT_H
#define TROUPE_ONESHOT_H

#include <troupe/actor.h>
#include <troupe/select.h>

TRI_BEGIN_DECLS

/* What there is beside the value. */
struct tr_oneshot {
    uint32_t tri_lock, tri_state;
    void *tri_receivers, *tri_senders;
};

/* A new one, in memory that nobody uses yet. Thread: any. Suspends: no. */
TR_PUBLIC void tr_oneshot_init_raw(struct tr_oneshot *oneshot);

/*
 * Sends: *value goes to the receiver, or to `place`, where it waits for one. `bytes` is the size of both. At most once.
 * Thread: any. Suspends: no.
 * Returns 0, which does not say that it will be received; -EPIPE: the receiver has closed or left, and the value is still the
 * caller's; -EINVAL: sent or dropped before.
 */
TR_PUBLIC int tr_oneshot_send_raw(struct tr_oneshot *oneshot, uint32_t bytes, void *place, const void *value);

/* Will never send: the receiver gets -EPIPE. Instead of a send. Thread: any. Suspends: no. */
TR_PUBLIC void tr_oneshot_drop_raw(struct tr_oneshot *oneshot);

/*
 * Waits, on the sender's side, until the receiver has closed or left. Thread: any (a foreign thread blocks). Suspends: yes.
 * Returns 0, -ETIMEDOUT, -ECANCELED, -ENOMEM.
 */
TR_PUBLIC int tr_oneshot_await_close_raw(struct tr_oneshot *oneshot, tr_time deadline);

/* True once the receiver has closed or left. Thread: any. Suspends: no. */
TR_PUBLIC bool tr_oneshot_is_closed_raw(struct tr_oneshot *oneshot);

/*
 * Waits for the value. One that failed may be made again, but for -EPIPE.
 * Thread: its own (a foreign thread blocks). Suspends: yes.
 * Returns 0, -EPIPE (the sender dropped it; received before; closed before a value came), -ETIMEDOUT, -ECANCELED, -ENOMEM.
 */
TR_PUBLIC int tr_oneshot_receive_raw(struct tr_oneshot *oneshot, uint32_t bytes, void *place, void *value,
                                     tr_time deadline);

/* As receive, never waiting. Thread: its own. Suspends: no. Returns 0, -EAGAIN (it may still come), -EPIPE. */
TR_PUBLIC int tr_oneshot_try_receive_raw(struct tr_oneshot *oneshot, uint32_t bytes, void *place, void *value);

/* True while no value waits to be received: because none came yet, none will, or it was received. Thread: any. Suspends: no. */
TR_PUBLIC bool tr_oneshot_is_empty_raw(struct tr_oneshot *oneshot);

/* From now on a send fails. A value that was sent before is still there: try_receive has it. Thread: any. Suspends: no. */
TR_PUBLIC void tr_oneshot_close_raw(struct tr_oneshot *oneshot);

/*
 * The receiver's last call. Closes; a value that is there is lost, so take it first if it owns something. Waits, deaf to
 * cancellation, until the sender has done its part, unless the oneshot was made by tr_oneshot_create.
 * Thread: any (a foreign thread blocks). Suspends: yes.
 */
TR_PUBLIC void tr_oneshot_leave_raw(struct tr_oneshot *oneshot);

/* One on the heap, `bytes` with the value. NULL: no memory. Thread: any. Suspends: no. */
TR_PUBLIC struct tr_oneshot *tr_oneshot_create_raw(size_t bytes);

/* For tr_select: as receive, as await_close, with their results. Thread: any. Suspends: no. */
TR_PUBLIC struct tr_case tr_case_oneshot_raw(struct tr_oneshot *oneshot, uint32_t bytes, void *place, void *value);
TR_PUBLIC struct tr_case tr_case_oneshot_close_raw(struct tr_oneshot *oneshot);

TRI_END_DECLS

/* ---- typed oneshots ------------------------------------------------------------------------------------------- */
#ifndef __cplusplus

/* A oneshot for values of this complete type. */
#define TR_ONESHOT_TYPE(tag, ...)                                                                                      \
    struct tag {                                                                                                       \
        struct tr_oneshot tri_raw;                                                                                     \
        __typeof__(__VA_ARGS__) tri_value;                                                                             \
    }

#define TRI_ONESHOT_VALUE(oneshot, value)                                                                              \
    TRI_SAME(*(value), (oneshot)->tri_value, "the value is not of the oneshot's type")

#define tr_oneshot_init(oneshot) tr_oneshot_init_raw(&(oneshot)->tri_raw)
/* oneshot = tr_oneshot_create(struct answer_oneshot): a struct answer_oneshot *, or NULL; see tr_oneshot_create_raw. */
#define tr_oneshot_create(...)                                                                                         \
    __extension__({                                                                                                    \
        _Static_assert(_Alignof(__VA_ARGS__) <= 64, "the value's alignment is beyond 64");                             \
        (__VA_ARGS__ *)(void *)tr_oneshot_create_raw(sizeof(__VA_ARGS__));                                             \
    })
/* tr_oneshot_send(&oneshot, &value) */
#define tr_oneshot_send(oneshot, ...)                                                                                  \
    __extension__({                                                                                                    \
        __auto_type tri_o = (oneshot);                                                                                 \
        __auto_type tri_v = (__VA_ARGS__);                                                                             \
        TRI_ONESHOT_VALUE(tri_o, tri_v);                                                                               \
        tr_oneshot_send_raw(&tri_o->tri_raw, sizeof *tri_v, &tri_o->tri_value, tri_v);                                 \
    })
#define tr_oneshot_drop(oneshot) tr_oneshot_drop_raw(&(oneshot)->tri_raw)
#define tr_oneshot_await_close(oneshot, deadline) tr_oneshot_await_close_raw(&(oneshot)->tri_raw, (deadline))
#define tr_oneshot_is_closed(oneshot) tr_oneshot_is_closed_raw(&(oneshot)->tri_raw)
/* tr_oneshot_receive(&oneshot, &value, deadline), tr_oneshot_try_receive(&oneshot, &value) */
#define tr_oneshot_receive(oneshot, value, deadline)                                                                   \
    __extension__({                                                                                                    \
        __auto_type tri_o = (oneshot);                                                                                 \
        __auto_type tri_v = (value);                                                                                   \
        TRI_ONESHOT_VALUE(tri_o, tri_v);                                                                               \
        tr_oneshot_receive_raw(&tri_o->tri_raw, sizeof *tri_v, &tri_o->tri_value, tri_v, (deadline));                  \
    })
#define tr_oneshot_try_receive(oneshot, value)                                                                         \
    __extension__({                                                                                                    \
        __auto_type tri_o = (oneshot);                                                                                 \
        __auto_type tri_v = (value);                                                                                   \
        TRI_ONESHOT_VALUE(tri_o, tri_v);                                                                               \
        tr_oneshot_try_receive_raw(&tri_o->tri_raw, sizeof *tri_v, &tri_o->tri_value, tri_v);                          \
    })
#define tr_oneshot_is_empty(oneshot) tr_oneshot_is_empty_raw(&(oneshot)->tri_raw)
#define tr_oneshot_close(oneshot) tr_oneshot_close_raw(&(oneshot)->tri_raw)
#define tr_oneshot_leave(oneshot) tr_oneshot_leave_raw(&(oneshot)->tri_raw)
/* For tr_select: tr_case_oneshot(&oneshot, &value), tr_case_oneshot_close(&oneshot) */
#define tr_case_oneshot(oneshot, value)                                                                                \
    __extension__({                                                                                                    \
        __auto_type tri_o = (oneshot);                                                                                 \
        __auto_type tri_v = (value);                                                                                   \
        TRI_ONESHOT_VALUE(tri_o, tri_v);                                                                               \
        tr_case_oneshot_raw(&tri_o->tri_raw, sizeof *tri_v, &tri_o->tri_value, tri_v);                                 \
    })
#define tr_case_oneshot_close(oneshot) tr_case_oneshot_close_raw(&(oneshot)->tri_raw)

#endif /* __cplusplus */
#endif
