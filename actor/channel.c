/* SPDX-License-Identifier: MIT */
/*
 * channel.c: the ways into and out of a channel that are gone for every message: the short way in a leaf, the rest by
 * tail calls. What a channel is stands in mailbox/channel.h.
 */
#include "actor/scheduler.h"
#include "mailbox/channel.h"
#include <troupe/queue.h>

#include <errno.h>

/*
 * As tri_wait, for a task and a case of a channel: one frame between the switch and the user, where tri_wait and tri_park would
 * make four (see tri_leave), and no second lock (see channel_wait.c).
 */
static __attribute__((noinline)) int wait_in_task(struct tr_channel *channel, const struct tri_kind *kind, void *value,
                                                  tr_time deadline)
{
    struct tri_waiter waiter = { .task = tri_worker_here()->current };
    struct tr_case c = {
        .tri_kind = kind, .tri_object = channel, .tri_value = value, .tri_number = 1, .tri_waiter = &waiter
    };
    int rc = kind->enter(&c);
    if (rc != -EAGAIN)
        return rc;
    while (tri_load(&waiter.state, TRI_ACQUIRE) != TRI_WAIT_DONE) { /* [W1] */
        rc = tri_park_task(tri_worker_here(), deadline, kind->on);
        if (rc < 0 && kind->leave(&c))
            return rc;
        if (rc < 0)
            break; /* served after all */
    }
    return c.result;
}

/* ---- sending -------------------------------------------------------------------------------------------------- */

/* Weighs the message, once it is known to be one of the channel's. */
static int check_send(const struct tr_channel *channel, const struct tr_type *type, const void *message,
                      uint64_t *weight)
{
    if (!channel || channel->bytes != type->size)
        return -EINVAL;
    *weight = tri_channel_weigh(channel, message);
    return channel->weighs && *weight > channel->options.byte_limit ? -EINVAL : 0;
}

static __attribute__((noinline)) int send_slow(struct tr_channel_sender sender, const struct tr_type *type,
                                               const void *message, tr_time deadline)
{
    struct tr_channel *channel = sender.tri_channel;
    uint64_t weight;
    struct tri_worker *worker;
    int rc = check_send(channel, type, message, &weight);
    if (rc < 0 || (rc = tri_begin(&worker)) < 0)
        return rc;
    rc = tri_channel_send_now(channel, message, weight);
    return rc == -EAGAIN ? tri_channel_send_waiting(channel, message, weight, deadline) : rc;
}

/* See tri_had_better_yield. */
static __attribute__((noinline)) int send_after_yield(struct tr_channel_sender sender, const struct tr_type *type,
                                                      const void *message, tr_time deadline)
{
    tri_suspend(tri_worker_here(), TRI_HOOK_REQUEUE);
    return send_slow(sender, type, message, deadline);
}

/* The edge is reached: perhaps there is more room by now, or somebody waits, or the lock is shared. The type is right. */
static __attribute__((noinline)) int send_further(struct tr_channel_sender sender, const struct tr_type *type,
                                                  const void *message, tr_time deadline)
{
    struct tr_channel *channel = sender.tri_channel;
    struct tri_worker *worker = tri_worker_here();
    bool waits = deadline > worker->now && channel->options.overflow == TR_OVERFLOW_WAIT;
    if (waits && !tri_had_better_yield(worker))
        return wait_in_task(channel, &tri_channel_send_kind, (void *)(uintptr_t)message, deadline);
    int rc = tri_channel_send_now(channel, message, 0);
    if (rc != -EAGAIN)
        return rc;
    return waits ? send_after_yield(sender, type, message, deadline) : -ETIMEDOUT;
}

int tr_channel_send_raw(struct tr_channel_sender sender, const struct tr_type *type, const void *message,
                        tr_time deadline)
{
    struct tr_channel *channel = sender.tri_channel;
    struct tri_worker *worker = tri_worker_here();
    if (!channel || !tri_may_go_on(worker) || channel->send_bytes != type->size)
        return send_slow(sender, type, message, deadline);
    worker->budget--;
    return tri_channel_send_fast(channel, tri_seat_here(), message, type->size)
               ? 0
               : send_further(sender, type, message, deadline);
}

int tr_channel_try_send_raw(struct tr_channel_sender sender, const struct tr_type *type, const void *message)
{
    struct tr_channel *channel = sender.tri_channel;
    struct tri_worker *worker = tri_worker_here();
    if (channel && worker && tri_channel_send_fast(channel, tri_seat_here(), message, type->size))
        return 0;
    uint64_t weight;
    int rc = check_send(channel, type, message, &weight);
    return rc < 0 ? rc : tri_channel_send_now(channel, message, weight);
}

/* ---- receiving ------------------------------------------------------------------------------------------------ */

static __attribute__((noinline)) int receive_slow(struct tr_channel_receiver receiver, uint32_t bytes, void *message,
                                                  tr_time deadline)
{
    struct tr_channel *channel = receiver.tri_channel;
    struct tri_worker *worker;
    if (!channel || channel->bytes != bytes)
        return -EINVAL;
    int rc = tri_begin(&worker);
    if (rc < 0)
        return rc;
    rc = tri_channel_receive_now(channel, message);
    return rc == -EAGAIN ? tri_channel_receive_waiting(channel, message, deadline) : rc;
}

int tr_channel_receive_raw(struct tr_channel_receiver receiver, uint32_t bytes, void *message, tr_time deadline)
{
    struct tr_channel *channel = receiver.tri_channel;
    struct tri_worker *worker = tri_worker_here();
    if (!channel || !tri_may_go_on(worker) || channel->receive_bytes != bytes)
        return receive_slow(receiver, bytes, message, deadline);
    worker->budget--;
    if (!tri_channel_take_fast(channel, message, bytes, true))
        return deadline > worker->now ? wait_in_task(channel, &tri_channel_receive_kind, message, deadline)
                                      : tri_channel_receive_waiting(channel, message, TR_NOW);
    return tri_channel_looks(channel, tri_seat_here()) ? tri_channel_serve_now(channel) : 0;
}

int tr_channel_try_receive_raw(struct tr_channel_receiver receiver, uint32_t bytes, void *message)
{
    struct tr_channel *channel = receiver.tri_channel;
    if (!channel || channel->bytes != bytes)
        return -EINVAL;
    return tri_channel_receive_now(channel, message);
}

int tr_channel_receive_many_raw(struct tr_channel_receiver receiver, uint32_t bytes, void *messages, uint32_t count,
                                tr_time deadline)
{
    char *next = messages;
    if (count == 0 || count > INT32_MAX)
        return -EINVAL;
    int rc = tr_channel_receive_raw(receiver, bytes, next, deadline);
    int taken = 0;
    while (rc == 0 && ++taken < (int)count) {
        next += bytes;
        rc = tri_channel_receive_now(receiver.tri_channel, next);
    }
    return taken > 0 ? taken : rc;
}

/* ---- queues: channels whose receivers lock -------------------------------------------------------------------- */

int tr_queue_send_raw(struct tr_queue queue, const struct tr_type *type, const void *message, tr_time deadline)
{
    return tr_channel_send_raw((struct tr_channel_sender){ queue.tri_channel }, type, message, deadline);
}

int tr_queue_try_send_raw(struct tr_queue queue, const struct tr_type *type, const void *message)
{
    return tr_channel_try_send_raw((struct tr_channel_sender){ queue.tri_channel }, type, message);
}

int tr_queue_receive_raw(struct tr_queue queue, uint32_t bytes, void *message, tr_time deadline)
{
    struct tr_channel *channel = queue.tri_channel;
    struct tri_worker *worker = tri_worker_here();
    struct tr_channel_receiver receiver = { channel };
    if (!channel || !tri_may_go_on(worker) || !tri_channel_receive_fast(channel, tri_seat_here(), message, bytes))
        return receive_slow(receiver, bytes, message, deadline);
    worker->budget--;
    return 0;
}

int tr_queue_try_receive_raw(struct tr_queue queue, uint32_t bytes, void *message)
{
    return tr_channel_try_receive_raw((struct tr_channel_receiver){ queue.tri_channel }, bytes, message);
}

int tr_queue_receive_many_raw(struct tr_queue queue, uint32_t bytes, void *messages, uint32_t count, tr_time deadline)
{
    return tr_channel_receive_many_raw((struct tr_channel_receiver){ queue.tri_channel }, bytes, messages, count,
                                       deadline);
}
