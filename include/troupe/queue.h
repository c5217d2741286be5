/* SPDX-License-Identifier: MIT */
/*
 * queue.h: a bounded queue from many senders to many receivers: each message to one of them. Worker pools live on it.
 *
 *     TR_QUEUE_TYPE(job_queue, struct job);
 *
 *     struct job_queue jobs;
 *     rc = tr_queue_create(&jobs, 64, NULL);
 *     ... in any number of tasks and threads ...
 *     rc = tr_queue_send(jobs, tr_after(TR_SECOND), &(struct job){ .number = 1 });
 *     while (tr_queue_receive(jobs, &job, TR_FOREVER) == 0)
 *         ...
 *     tr_queue_close(jobs);     the receivers get what is left, then -EPIPE
 *     tr_queue_unref(jobs);
 *
 * First in, first out; whoever waits, to send or to receive, is served in order. Policies, byte limits and hooks are those of
 * channel.h. The queue lives as long as a reference to it is counted: each task that outlives the creator's takes its own.
 */
#ifndef TROUPE_QUEUE_H
#define TROUPE_QUEUE_H

#include <troupe/channel.h>

TRI_BEGIN_DECLS

/* Both ends of a queue. All zero: none, and every call with it returns -EINVAL. */
struct tr_queue {
    struct tr_channel *tri_channel;
};

/* Makes a queue with one reference. Arguments and results as tr_channel_create_raw. Thread: any. Suspends: no. */
TR_PUBLIC int tr_queue_create_raw(struct tr_queue *queue, const struct tr_type *type, uint32_t capacity,
                                  const struct tr_channel_options *options);

/* One reference more, or less; with the last, what is left goes to `drop`. Thread: any. Suspends: no. */
TR_PUBLIC void tr_queue_ref_raw(struct tr_queue queue);
TR_PUBLIC void tr_queue_unref_raw(struct tr_queue queue);

/* As tr_channel_send; -EPIPE once the queue is closed. */
TR_PUBLIC int tr_queue_send_raw(struct tr_queue queue, const struct tr_type *type, const void *message,
                                tr_time deadline);

/* As tr_channel_try_send; -EPIPE once the queue is closed. Thread: any. Suspends: no. */
TR_PUBLIC int tr_queue_try_send_raw(struct tr_queue queue, const struct tr_type *type, const void *message);

/*
 * Receives the oldest message. Thread: any, any number at a time (a foreign thread blocks). Suspends: yes when empty.
 * Returns 0, -EPIPE (closed and drained), -ETIMEDOUT, -ECANCELED, -ENOMEM, -EINVAL (the size of the message).
 */
TR_PUBLIC int tr_queue_receive_raw(struct tr_queue queue, uint32_t bytes, void *message, tr_time deadline);

/* As receive, never waiting. Thread: any. Suspends: no. Returns 0, -EAGAIN (empty), -EPIPE, -EINVAL. */
TR_PUBLIC int tr_queue_try_receive_raw(struct tr_queue queue, uint32_t bytes, void *message);

/*
 * Waits for one message, then takes up to `count` that are there.
 * Thread: any, any number at a time (a foreign thread blocks). Suspends: yes when empty.
 * Returns how many (>= 1), or an error as receive; -EINVAL also for a count of 0 or beyond INT32_MAX.
 */
TR_PUBLIC int tr_queue_receive_many_raw(struct tr_queue queue, uint32_t bytes, void *messages, uint32_t count,
                                        tr_time deadline);

/* No more sends: they fail, also those that wait. What is there is still received. For ever. Thread: any. Suspends: no. */
TR_PUBLIC void tr_queue_close_raw(struct tr_queue queue);
TR_PUBLIC bool tr_queue_is_closed_raw(struct tr_queue queue);

/* For tr_select: as receive, as send, with their results. Thread: any. Suspends: no. */
TR_PUBLIC struct tr_case tr_case_queue_receive_raw(struct tr_queue queue, uint32_t bytes, void *message);
TR_PUBLIC struct tr_case tr_case_queue_send_raw(struct tr_queue queue, const struct tr_type *type, const void *message);

TRI_END_DECLS

/* ---- typed queues --------------------------------------------------------------------------------------------- */
#ifndef __cplusplus

/* A handle for a queue of this message type. */
#define TR_QUEUE_TYPE(tag, ...) TRI_CHANNEL_END(tag, tr_queue, __VA_ARGS__)
#define TRI_QUEUE_MESSAGE(queue, message)                                                                              \
    TRI_SAME(*(message), *(queue).tri_message, "the message is not of the queue's type")

/* tr_queue_create(&queue, capacity, options) */
#define tr_queue_create(out, capacity, ...)                                                                            \
    __extension__({                                                                                                    \
        __auto_type tri_q = (out);                                                                                     \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_q->tri_message);                                           \
        tr_queue_create_raw(&tri_q->tri_raw, &tri_t, (capacity), (__VA_ARGS__));                                       \
    })
#define tr_queue_ref(queue) tr_queue_ref_raw((queue).tri_raw)
#define tr_queue_unref(queue) tr_queue_unref_raw((queue).tri_raw)
/* tr_queue_send(queue, deadline, &message), tr_queue_try_send(queue, &message) */
#define tr_queue_send(queue, deadline, ...)                                                                            \
    __extension__({                                                                                                    \
        __auto_type tri_q = (queue);                                                                                   \
        __auto_type tri_m = (__VA_ARGS__);                                                                             \
        TRI_QUEUE_MESSAGE(tri_q, tri_m);                                                                               \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_q.tri_message);                                            \
        tr_queue_send_raw(tri_q.tri_raw, &tri_t, tri_m, (deadline));                                                   \
    })
#define tr_queue_try_send(queue, ...)                                                                                  \
    __extension__({                                                                                                    \
        __auto_type tri_q = (queue);                                                                                   \
        __auto_type tri_m = (__VA_ARGS__);                                                                             \
        TRI_QUEUE_MESSAGE(tri_q, tri_m);                                                                               \
        static const struct tr_type tri_t = TRI_TYPE_OF(tri_q.tri_message);                                            \
        tr_queue_try_send_raw(tri_q.tri_raw, &tri_t, tri_m);                                                           \
    })
/* tr_queue_receive(queue, &message, deadline), tr_queue_try_receive(queue, &message), and of many */
#define tr_queue_receive(queue, message, deadline)                                                                     \
    __extension__({                                                                                                    \
        __auto_type tri_q = (queue);                                                                                   \
        __auto_type tri_m = (message);                                                                                 \
        TRI_QUEUE_MESSAGE(tri_q, tri_m);                                                                               \
        tr_queue_receive_raw(tri_q.tri_raw, sizeof *tri_m, tri_m, (deadline));                                         \
    })
#define tr_queue_try_receive(queue, message)                                                                           \
    __extension__({                                                                                                    \
        __auto_type tri_q = (queue);                                                                                   \
        __auto_type tri_m = (message);                                                                                 \
        TRI_QUEUE_MESSAGE(tri_q, tri_m);                                                                               \
        tr_queue_try_receive_raw(tri_q.tri_raw, sizeof *tri_m, tri_m);                                                 \
    })
#define tr_queue_receive_many(queue, messages, count, deadline)                                                        \
    __extension__({                                                                                                    \
        __auto_type tri_q = (queue);                                                                                   \
        __auto_type tri_m = (messages);                                                                                \
        TRI_QUEUE_MESSAGE(tri_q, tri_m);                                                                               \
        tr_queue_receive_many_raw(tri_q.tri_raw, sizeof *tri_m, tri_m, (count), (deadline));                           \
    })
#define tr_queue_close(queue) tr_queue_close_raw((queue).tri_raw)
#define tr_queue_is_closed(queue) tr_queue_is_closed_raw((queue).tri_raw)
/* Messages in the queue; more, in which senders are references. */
#define tr_queue_length(queue) tr_channel_length_raw((queue).tri_raw.tri_channel)
#define tr_queue_info(queue, info) tr_channel_info_raw((queue).tri_raw.tri_channel, (info))
/* For tr_select: tr_case_queue_receive(queue, &message), tr_case_queue_send(queue, &message) */
#define tr_case_queue_receive(queue, message)                                                                          \
    __extension__({                                                                                                    \
        __auto_type tri_q = (queue);                                                                                   \
        __auto_type tri_m = (message);                                                                                 \
        TRI_QUEUE_MESSAGE(tri_q, tri_m);                                                                               \
        tr_case_queue_receive_raw(tri_q.tri_raw, sizeof *tri_m, tri_m);                                                \
    })
#define tr_case_queue_send(queue, ...)                                                                                 \
    (TRI_CHECK_MESSAGE(*(__VA_ARGS__), *(queue).tri_message),                                                          \
     tr_case_queue_send_raw((queue).tri_raw, &(const struct tr_type)TRI_TYPE_OF((queue).tri_message), (__VA_ARGS__)))

#endif /* __cplusplus */
#endif
