/* SPDX-License-Identifier: MIT */
/*
 * gather.h: many calls, or the ends of many tasks, awaited at once, with one deadline.
 *
 *     struct tr_gather_call calls[3];
 *     struct request request = { .key = key };
 *     for (int i = 0; i < 3; i++)
 *         calls[i] = tr_gather_call(shard[i], &answer[i], &request);
 *     int answered = tr_gather(calls, 3, tr_after(TR_SECOND), TR_GATHER_ALL);
 *
 * Messages and answers must stay where they are until tr_gather returns: a compound literal would be gone before.
 *
 * Each call succeeds or fails by itself, with the result that tr_call would have given; those that have not been answered by the
 * deadline are given up, the others hold.
 */
#ifndef TROUPE_GATHER_H
#define TROUPE_GATHER_H

#include <troupe/actor.h>
#include <troupe/select.h>

TRI_BEGIN_DECLS

enum tr_gather_flags {
    TR_GATHER_ALL = 0,           /* wait for each, whatever becomes of the others */
    TR_GATHER_FIRST_ERROR = 1,   /* the first that fails ends the wait: the rest is given up */
    TR_GATHER_FIRST_SUCCESS = 2, /* the first that succeeds does */
    TR_GATHER_CANCEL_REST =
        4, /* of tasks: when the wait ends, those that are left are cancelled; up to the deadline they are then waited for */
};

/* One call. Made by tr_gather_call, or by hand; what is after `ask` is written by tr_gather. */
struct tr_gather_call {
    struct tr_address address;
    const struct tr_type *type;
    const void *message;
    struct tr_ask ask;
    int result; /* as of tr_call; -ECANCELED also if it was given up, or not made, because of another */
    bool sent;  /* as of tr_call_sent */
    uint32_t tri_state, tri_next;
    void *tri_slot;
    uint64_t tri_space[12];
};

/*
 * Makes all the calls at once: each is sent before any answer is awaited; one that finds a mailbox full waits for room while
 * the others go on. The array, the messages and the answers must stay where they are until it returns. A reply that comes after a call
 * was given up is discarded; an answer is only written if its result is 0.
 * Thread: any (a foreign thread blocks). Suspends: yes. Owns: all stays the caller's; of messages, as tr_call_sent tells.
 * Returns how many calls have succeeded, 0 to count; every `result` is set. -EINVAL: more than INT32_MAX calls, or unknown flags.
 */
TR_PUBLIC int tr_gather(struct tr_gather_call *calls, uint32_t count, tr_time deadline, unsigned flags);

/* One task to be joined. */
struct tr_gather_task {
    struct tr_task task;
    int error; /* 0: it has ended, and this was its join; else as tr_task_join, and it can be joined still */
    struct tr_outcome outcome; /* if `error` is 0 */
    uint32_t tri_next;
};

/*
 * Joins all the tasks: as tr_task_join_outcome for each, with one deadline. A task succeeds by returning 0 or more. With
 * TR_GATHER_FIRST_ERROR or _SUCCESS, those that were not waited for in the end have -ECANCELED, and can still be joined.
 * Thread: any. Suspends: yes.
 * Returns how many tasks have succeeded, 0 to count; every `error` is set. -EINVAL: as tr_gather.
 */
TR_PUBLIC int tr_join_all(struct tr_gather_task *tasks, uint32_t count, tr_time deadline, unsigned flags);

/*
 * The end of a task as a case of a select: joins it, and writes its result to *result (NULL: not wanted). While the select is
 * under way nobody else can join the task; afterwards it can be joined, unless this case was carried out.
 * Thread: any. Suspends: no. Its result: as tr_task_join.
 */
TR_PUBLIC struct tr_case tr_case_join(struct tr_task task, int *result);

TRI_END_DECLS

#ifndef __cplusplus
/*
 * tr_gather_call(address, &answer, &message) uses the message's field `reply`; tr_gather_call_at names another. The message must not
 * be a compound literal: see above.
 */
#define tr_gather_call_at(target, field, out_answer, ...)                                                              \
    __extension__({                                                                                                    \
        __auto_type tri_a = (target);                                                                                  \
        __auto_type tri_m = (__VA_ARGS__);                                                                             \
        __auto_type tri_o = (out_answer);                                                                              \
        TRI_SAME(*tri_m, *tri_a.tri_message, "the message is not of the address's type");                              \
        TRI_SAME(*tri_o, *tri_m->field.tri_answer, "the answer is not of the reply slot's type");                      \
        TRI_WRITABLE(tri_o, tri_m->field.tri_answer);                                                                  \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_a.tri_message);                                            \
        (struct tr_gather_call){                                                                                       \
            .address = tri_a.tri_raw,                                                                                  \
            .type = &tri_t,                                                                                            \
            .message = tri_m,                                                                                          \
            .ask = { offsetof(__typeof__(*tri_a.tri_message), field), sizeof *tri_m->field.tri_answer, tri_o },        \
        };                                                                                                             \
    })
#define tr_gather_call(target, answer, ...) tr_gather_call_at(target, reply, answer, __VA_ARGS__)
#endif
#endif
