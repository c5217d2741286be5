/* SPDX-License-Identifier: MIT */
/*
 * actor.h: actors, their typed addresses and mailboxes, calls and replies.
 *
 * An actor is a task with a bounded mailbox. It is written in one of two ways:
 *   loop actor     int body(void *argument) that loops over tr_receive; keeps a stack while it waits.
 *   handler actor  int on_message(void *state, void *message), called once per message; has no stack between messages,
 *                  may suspend inside the handler like any task, and gets its next message only when it has returned.
 *
 * A message is a plain struct, copied into the mailbox and out of it. An address is a weak value: copy it, store it,
 * send it; one whose actor has ended gives -ESRCH.
 *
 *     struct count_message;
 *     TR_ADDRESS_TYPE(counter_address, struct count_message);
 *     TR_REPLY_TYPE(count_reply, int);
 *     struct count_message { int add; struct count_reply reply; };
 *
 *     static int on_message(void *state, void *message)
 *     {
 *         int *count = state;
 *         struct count_message *m = message;
 *         *count += m->add;
 *         tr_reply(m->reply, count);
 *         return 0;
 *     }
 *
 *     struct counter_address counter;
 *     int count = 0;
 *     tr_spawn_handler(&counter, on_message, &count, NULL);
 *     int value;
 *     int rc = tr_call(counter, &value, tr_after(TR_SECOND), &(struct count_message){ .add = 1 });
 *
 * The macros are C only; from C++ and other languages use the _raw functions beneath them.
 */
#ifndef TROUPE_ACTOR_H
#define TROUPE_ACTOR_H

#include <troupe/overflow.h>
#include <troupe/select.h>
#include <troupe/task.h>

TRI_BEGIN_DECLS

/* ---- untyped handles ------------------------------------------------------------------------------------------ */

/* Names one actor for ever. All zero names none. */
struct tr_address {
    void *tri_record;
    uint64_t tri_generation;
};

/* Where an answer goes: the sender's half of a oneshot. Copying it moves nothing; the first reply wins. All zero: nobody asked. */
struct tr_token {
    void *tri_slot;
    uint64_t tri_generation;
};

/* A larger message is sent as a pointer. */
#define TR_MESSAGE_LIMIT 8192   /* bytes */
#define TR_CAPACITY_LIMIT 65536 /* messages in a mailbox */

/* What the run-time checks know of a message type: at most TR_MESSAGE_LIMIT bytes, alignment at most 64. */
struct tr_type {
    const char *name;
    uint32_t size, align;
};

/* Where in the message the token goes, and where the answer goes. */
struct tr_ask {
    uint32_t token_offset, answer_bytes;
    void *answer;
};

struct tr_actor_options {
    const char *name;          /* as in tr_task_options; default "actor" */
    uint32_t capacity;         /* messages that the mailbox holds; default 64, at most TR_CAPACITY_LIMIT */
    enum tr_overflow overflow; /* what is done when it is full; default: senders wait */
    size_t stack_bytes;        /* as in tr_task_options */
    int pin;                   /* as in tr_task_options */
    size_t argument_bytes;     /* non-zero: *argument or *state is copied, as in tr_task_options */
    /*
     * Called once for each message that the mailbox took and nobody received: the actor has ended, the caller has given up, or a
     * policy has dropped it. In the actor, inside a receive or at its end, where it may suspend; under a policy also in
     * the sender, on any thread and on its stack, where it must not. A timer is no task: see overflow.h.
     */
    void (*drop)(void *message);
    /*
     * Called in the actor when it ends, with its state (of a loop actor its argument) and its result, or -ECANCELED. The mailbox is
     * closed and drained by then, and what it owned has ended; only values of local.h are destroyed later. It may suspend;
     * if the actor was cancelled, tr_cancel_taken or a shield comes first (a shield, where the runtime may be ending).
     */
    void (*stopped)(void *state, int reason);
    bool keep_expired;          /* deliver requests whose caller has given up; default: skip them */
    struct tr_task *task;       /* non-NULL: receives a handle that must be joined or detached */
    struct tr_runtime *runtime; /* as in tr_task_options */
};

#define TR_END 1 /* a handler returns it to end its actor with result 0 */

/*
 * Starts a loop actor (body returns its result) or a handler actor (on_message returns 0 to go on, TR_END or more to end with
 * result 0, a negative value to end with it as failure reason). *out and *options->task are written before the body begins.
 * Returns 0, -ENOMEM, -EINVAL, -ECANCELED (shutting down). Thread: any, as tr_task_spawn. Suspends: no.
 */
TR_PUBLIC int tr_spawn_raw(struct tr_address *out, const struct tr_type *type, int (*body)(void *argument),
                           void *argument, const struct tr_actor_options *options);
TR_PUBLIC int tr_spawn_handler_raw(struct tr_address *out, const struct tr_type *type,
                                   int (*on_message)(void *state, void *message), void *state,
                                   const struct tr_actor_options *options);

/*
 * Sends a copy of *message; waits in FIFO order while the mailbox is full (a task that finds it full may yield once before it
 * takes its place in that order: see channel.h). On any error nothing was sent.
 * Thread: any (a foreign thread blocks). Suspends: yes when full.
 * Returns 0, -ESRCH, -ETIMEDOUT, -ECANCELED, -ENOMEM, -EINVAL (type), -EDEADLK (the actor would wait for room in its own mailbox,
 * directly or by way of others: see tr_call),
 * -ENOBUFS (full, and its policy is to reject). Under another policy than to wait it never waits for room.
 */
TR_PUBLIC int tr_send_raw(struct tr_address address, const struct tr_type *type, const void *message, tr_time deadline);

/*
 * As tr_send, never suspending: -EAGAIN when full or when other senders wait, unless a policy says what is done.
 * Thread: any. Suspends: no. Returns 0, -EAGAIN, -ESRCH, -ENOBUFS (policy), -ENOMEM, -EINVAL (type).
 */
TR_PUBLIC int tr_try_send_raw(struct tr_address address, const struct tr_type *type, const void *message);

/*
 * Receives the oldest message of the calling actor's own mailbox.
 * Thread: task (a loop actor). Suspends: yes when empty.
 * Returns 0, -ETIMEDOUT, -ECANCELED, -EPIPE (stopped, or the last counted sender closed, and drained), -EINVAL (not a
 * loop actor, or the message size is not that of the mailbox).
 */
TR_PUBLIC int tr_receive_raw(uint32_t bytes, void *message, tr_time deadline);

/* As tr_receive, never waiting. Thread: task (a loop actor). Suspends: no. Returns 0, -EAGAIN (empty), -EPIPE, -EINVAL. */
TR_PUBLIC int tr_try_receive_raw(uint32_t bytes, void *message);

/*
 * Waits for one message, then takes up to `count` that are there.
 * Thread: task (a loop actor). Suspends: yes when empty.
 * Returns how many (>= 1), or an error as tr_receive; -EINVAL also for a count of 0 or beyond INT32_MAX.
 */
TR_PUBLIC int tr_receive_many_raw(uint32_t bytes, void *messages, uint32_t count, tr_time deadline);

/*
 * For tr_select, in a loop actor: receives a message of its own mailbox. Thread: any. Suspends: no. Its result: as tr_receive;
 * -EINVAL also if it is not the loop actor that selects.
 */
TR_PUBLIC struct tr_case tr_case_message_raw(uint32_t bytes, void *message);

/*
 * Sends a request and waits for its answer. The token goes into the mailbox's copy of the message.
 * Thread: any (a foreign thread blocks). Suspends: yes.
 * Returns 0, the callee's error (tr_reply_error gives a positive code, see there), -ESRCH (not taken: no such actor, or it
 * ended before receiving the request), -EPIPE (taken, but its debtor ended or let it fall), -ETIMEDOUT, -ECANCELED (both: the
 * outcome is unknown if the request was sent), -EDEADLK (it would wait for itself), -ENOBUFS (rejected or dropped by the mailbox's
 * policy), -ENOMEM, -EINVAL.
 *
 * Waiting for oneself. A call to oneself is refused. So is an actor's call or send that no deadline and no scope bounds, if the
 * actor that it waits for waits likewise, for an answer or for room, and so on in a ring of at most 64 back to the caller: that could
 * only be ended from without. The log names all of them. Of several that close a ring at once one is told, and
 * nobody without cause: provided that an actor which lets another answer in its place says so (tr_forward, tr_defer) before
 * it waits itself. An actor that gathers all (TR_GATHER_ALL) waits for the first call that is left. Other waits (for the first of
 * several, joins, locks, channels) are not followed, nor requests whose token was deferred, also if they are forwarded after that, or
 * that lie in a mailbox that drops its oldest.
 */
TR_PUBLIC int tr_call_raw(struct tr_address address, const struct tr_type *type, const void *message, struct tr_ask ask,
                          tr_time deadline);

/*
 * After a tr_call that has failed: true if its message had been taken by the mailbox, and so belongs to the receiver or was
 * given to the mailbox's drop function; false if it was not, and what it points to is still the caller's to free. Holds until
 * the caller's next call that fails; in a handler actor, until the handler returns. Thread: the one that called. Suspends: no.
 */
TR_PUBLIC bool tr_call_sent(void);

/*
 * Answers. The first reply counts; a late one, to a caller that gave up, is discarded.
 * Thread: any. Suspends: no. Returns 0, -ESRCH (already answered, or nobody waits), -EINVAL (wrong size).
 */
TR_PUBLIC int tr_reply_raw(struct tr_token token, uint32_t bytes, const void *answer);

/*
 * Answers with an application's error, 1 <= error <= 1000000: the caller's tr_call returns it as that positive number,
 * so that it can never be mistaken for one of Troupe's own.
 * Thread: any. Suspends: no. Returns as tr_reply; -EINVAL for another number.
 */
TR_PUBLIC int tr_reply_error_raw(struct tr_token token, int error);

/* True while somebody waits for the answer. Thread: any. Suspends: no. */
TR_PUBLIC bool tr_reply_wanted_raw(struct tr_token token);

/*
 * Keeps the token past the handler's return (or the next receive): the actor owes the answer until it replies, forwards
 * or ends. Without it, a handler that returns having neither replied nor deferred resolves the call with -EPIPE. In a
 * loop actor tokens are kept by themselves. In both it also says that others, who have a copy of the token, may answer: see
 * tr_call on waiting for oneself.
 * Thread: task (the actor that received it). Suspends: no. Returns 0, -ESRCH (nobody waits any more, or the caller does not owe
 * the answer), -EINVAL (no task).
 */
TR_PUBLIC int tr_defer_raw(struct tr_token token);

/*
 * Sends *message to `address` with the debt: the receiver now owes the answer. The token goes into the mailbox's copy.
 * Thread: task (the actor that owes it). Suspends: yes when full.
 * Returns as tr_send, on an error the debt has not moved; -ESRCH also for a token whose caller has given up, or that the caller
 * does not owe: nothing is sent; -EINVAL also outside a task. Should the caller wait for itself since then (see tr_call), it is told
 * with -EDEADLK, and the receiver gets the request all the same.
 */
TR_PUBLIC int tr_forward_raw(struct tr_token token, struct tr_address address, const struct tr_type *type,
                             const void *message, uint32_t token_offset, tr_time deadline);

/* Closes the actor's mailbox: it drains, then receives -EPIPE (a handler actor ends). Returns 0 or -ESRCH. Thread: any. Suspends: no. */
TR_PUBLIC int tr_actor_stop_raw(struct tr_address address);

/* As tr_task_cancel, by address. */
TR_PUBLIC int tr_actor_cancel_raw(struct tr_address address);

/*
 * Counted senders: opened and closed in pairs; the close of the last one stops the actor as tr_actor_stop does.
 * Returns 0, -ESRCH, -EINVAL (more closed than opened). Thread: any. Suspends: no.
 */
TR_PUBLIC int tr_sender_open_raw(struct tr_address address);
TR_PUBLIC int tr_sender_close_raw(struct tr_address address);

/*
 * The calling actor's own address.
 * Thread: task. Suspends: no. Returns 0, -EINVAL (the task is no actor, or its messages have another size).
 */
TR_PUBLIC int tr_self_raw(struct tr_address *out, const struct tr_type *type);

/*
 * Messages waiting in the mailbox, and requests that the actor owes (received, not answered).
 * Thread: any. Suspends: no. Returns 0, -ESRCH.
 */
struct tr_actor_info {
    uint32_t capacity, queued, owed;
    uint64_t rejected, dropped_newest, dropped_oldest; /* by the mailbox's policy */
};
TR_PUBLIC int tr_actor_info_raw(struct tr_address address, struct tr_actor_info *out);

TRI_END_DECLS

/* ---- typed handles -------------------------------------------------------------------------------------------- */
#ifndef __cplusplus

/*
 * Each tag is defined once, in one header; the message type may still be incomplete there. The phantom member is a
 * pointer in a union: it adds neither size nor alignment, and only its type is ever used.
 *
 * The forms below have variables of their own, of the same names in all: one in an argument of another is right, but -Wshadow
 * warns of it. Keep the inner one's result in a variable.
 */
#define TR_ADDRESS_TYPE(tag, ...)                                                                                      \
    struct tag {                                                                                                       \
        union {                                                                                                        \
            struct tr_address tri_raw;                                                                                 \
            __typeof__(__VA_ARGS__) *tri_message;                                                                      \
        };                                                                                                             \
    }
#define TR_REPLY_TYPE(tag, ...)                                                                                        \
    struct tag {                                                                                                       \
        union {                                                                                                        \
            struct tr_token tri_raw;                                                                                   \
            __typeof__(__VA_ARGS__) *tri_answer;                                                                       \
        };                                                                                                             \
    }

#define TRI_SAME(a, b, text) _Static_assert(__builtin_types_compatible_p(__typeof__(a), __typeof__(b)), text)
#define TRI_TYPE_OF(pointer)                                                                                           \
    {                                                                                                                  \
        "message", sizeof *(pointer), _Alignof(__typeof__(*(pointer)))                                                 \
    }
#define TRI_WRITABLE(pointer, model)                                                                                   \
    _Static_assert(__builtin_types_compatible_p(__typeof__(pointer), __typeof__(model)), "the answer must be writable")

/* tr_spawn(&address, body, argument, options): see tr_spawn_raw. The options come last, so that a literal needs no parentheses. */
#define tr_spawn(out, body, argument, ...)                                                                             \
    __extension__({                                                                                                    \
        __auto_type tri_out = (out);                                                                                   \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_out->tri_message);                                         \
        tr_spawn_raw(&tri_out->tri_raw, &tri_t, (body), (argument), (__VA_ARGS__));                                    \
    })
/* tr_spawn_handler(&address, on_message, state, options): see tr_spawn_handler_raw. */
#define tr_spawn_handler(out, on_message, state, ...)                                                                  \
    __extension__({                                                                                                    \
        __auto_type tri_out = (out);                                                                                   \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_out->tri_message);                                         \
        tr_spawn_handler_raw(&tri_out->tri_raw, &tri_t, (on_message), (state), (__VA_ARGS__));                         \
    })
/* tr_send(address, deadline, &message). The message comes last so that a compound literal needs no parentheses. */
#define tr_send(address, deadline, ...)                                                                                \
    __extension__({                                                                                                    \
        __auto_type tri_a = (address);                                                                                 \
        __auto_type tri_m = (__VA_ARGS__);                                                                             \
        TRI_SAME(*tri_m, *tri_a.tri_message, "the message is not of the address's type");                              \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_a.tri_message);                                            \
        tr_send_raw(tri_a.tri_raw, &tri_t, tri_m, (deadline));                                                         \
    })
/* tr_try_send(address, &message) */
#define tr_try_send(address, ...)                                                                                      \
    __extension__({                                                                                                    \
        __auto_type tri_a = (address);                                                                                 \
        __auto_type tri_m = (__VA_ARGS__);                                                                             \
        TRI_SAME(*tri_m, *tri_a.tri_message, "the message is not of the address's type");                              \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_a.tri_message);                                            \
        tr_try_send_raw(tri_a.tri_raw, &tri_t, tri_m);                                                                 \
    })
/* tr_receive(&message, deadline), tr_try_receive(&message), tr_receive_many(messages, count, deadline) */
#define tr_receive(message, deadline)                                                                                  \
    __extension__({                                                                                                    \
        __auto_type tri_m = (message);                                                                                 \
        tr_receive_raw(sizeof *tri_m, tri_m, (deadline));                                                              \
    })
#define tr_try_receive(message)                                                                                        \
    __extension__({                                                                                                    \
        __auto_type tri_m = (message);                                                                                 \
        tr_try_receive_raw(sizeof *tri_m, tri_m);                                                                      \
    })
/* tr_case_message(&message) */
#define tr_case_message(message)                                                                                       \
    __extension__({                                                                                                    \
        __auto_type tri_m = (message);                                                                                 \
        tr_case_message_raw(sizeof *tri_m, tri_m);                                                                     \
    })
#define tr_receive_many(messages, count, deadline)                                                                     \
    __extension__({                                                                                                    \
        __auto_type tri_m = (messages);                                                                                \
        tr_receive_many_raw(sizeof *tri_m, tri_m, (count), (deadline));                                                \
    })
/* tr_call(address, &answer, deadline, &message) uses the message's field `reply`; tr_call_at names another. */
#define tr_call_at(address, field, out_answer, deadline, ...)                                                          \
    __extension__({                                                                                                    \
        __auto_type tri_a = (address);                                                                                 \
        __auto_type tri_m = (__VA_ARGS__);                                                                             \
        __auto_type tri_o = (out_answer);                                                                              \
        TRI_SAME(*tri_m, *tri_a.tri_message, "the message is not of the address's type");                              \
        TRI_SAME(*tri_o, *tri_m->field.tri_answer, "the answer is not of the reply slot's type");                      \
        TRI_WRITABLE(tri_o, tri_m->field.tri_answer);                                                                  \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_a.tri_message);                                            \
        tr_call_raw(tri_a.tri_raw, &tri_t, tri_m,                                                                      \
                    (struct tr_ask){ offsetof(__typeof__(*tri_a.tri_message), field), sizeof *tri_m->field.tri_answer, \
                                     tri_o },                                                                          \
                    (deadline));                                                                                       \
    })
#define tr_call(address, answer, deadline, ...) tr_call_at(address, reply, answer, deadline, __VA_ARGS__)
/* tr_reply(message.reply, &answer) */
#define tr_reply(token, ...)                                                                                           \
    __extension__({                                                                                                    \
        __auto_type tri_r = (token);                                                                                   \
        __auto_type tri_v = (__VA_ARGS__);                                                                             \
        TRI_SAME(*tri_v, *tri_r.tri_answer, "the answer is not of the reply slot's type");                             \
        tr_reply_raw(tri_r.tri_raw, sizeof *tri_r.tri_answer, tri_v);                                                  \
    })
#define tr_reply_error(token, error)                                                                                   \
    __extension__({                                                                                                    \
        __auto_type tri_r = (token);                                                                                   \
        (void)sizeof(tri_r.tri_answer);                                                                                \
        tr_reply_error_raw(tri_r.tri_raw, (error));                                                                    \
    })
#define tr_reply_wanted(token)                                                                                         \
    __extension__({                                                                                                    \
        __auto_type tri_r = (token);                                                                                   \
        (void)sizeof(tri_r.tri_answer);                                                                                \
        tr_reply_wanted_raw(tri_r.tri_raw);                                                                            \
    })
#define tr_defer(token)                                                                                                \
    __extension__({                                                                                                    \
        __auto_type tri_r = (token);                                                                                   \
        (void)sizeof(tri_r.tri_answer);                                                                                \
        tr_defer_raw(tri_r.tri_raw);                                                                                   \
    })
/* tr_forward(token, address, deadline, &message): the token goes into the message's field `reply`; _at names another. */
#define tr_forward_at(token, address, field, deadline, ...)                                                            \
    __extension__({                                                                                                    \
        __auto_type tri_r = (token);                                                                                   \
        __auto_type tri_a = (address);                                                                                 \
        __auto_type tri_m = (__VA_ARGS__);                                                                             \
        TRI_SAME(*tri_m, *tri_a.tri_message, "the message is not of the address's type");                              \
        TRI_SAME(*tri_r.tri_answer, *tri_m->field.tri_answer, "the token is not of the field's type");                 \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_a.tri_message);                                            \
        tr_forward_raw(tri_r.tri_raw, tri_a.tri_raw, &tri_t, tri_m, offsetof(__typeof__(*tri_a.tri_message), field),   \
                       (deadline));                                                                                    \
    })
#define tr_forward(token, address, deadline, ...) tr_forward_at(token, address, reply, deadline, __VA_ARGS__)

#define TRI_ADDRESS_OF(address)                                                                                        \
    __extension__({                                                                                                    \
        __auto_type tri_a = (address);                                                                                 \
        (void)sizeof(tri_a.tri_message);                                                                               \
        tri_a.tri_raw;                                                                                                 \
    })
#define tr_actor_stop(address) tr_actor_stop_raw(TRI_ADDRESS_OF(address))
#define tr_actor_cancel(address) tr_actor_cancel_raw(TRI_ADDRESS_OF(address))
#define tr_sender_open(address) tr_sender_open_raw(TRI_ADDRESS_OF(address))
#define tr_sender_close(address) tr_sender_close_raw(TRI_ADDRESS_OF(address))
#define tr_actor_info(address, out) tr_actor_info_raw(TRI_ADDRESS_OF(address), (out))
/* tr_self(&address) */
#define tr_self(out)                                                                                                   \
    __extension__({                                                                                                    \
        __auto_type tri_out = (out);                                                                                   \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_out->tri_message);                                         \
        tr_self_raw(&tri_out->tri_raw, &tri_t);                                                                        \
    })

#endif /* __cplusplus */
#endif
