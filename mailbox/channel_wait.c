/* SPDX-License-Identifier: MIT */
/*
 * channel_wait.c: waiting on a channel: to send, to receive, to reserve, for its close. Each is a tri_kind, for one wait and for
 * select alike.
 *
 *   case       value         number   amount      result
 *   send       the message   1        its weight  0, -EPIPE, -ENOMEM; for a policy -ENOBUFS
 *   receive    the message                        0, -EPIPE
 *   reserve    the permit    places               0, -EPIPE
 *   close                                         0
 *
 * A wait that has been served does not lock again ([W3] of wait.h): the channel is there as long as the waiter has its end, and
 * whoever served it has an end or a permit of his own.
 */
#include "mailbox/channel.h"

#include <errno.h>

static inline struct tr_channel *channel_of(struct tr_case *c)
{
    return c->tri_object;
}

/* Alone in its wait, and served. */
static inline bool is_served(struct tr_case *c)
{
    return !c->tri_waiter->several && tri_load(&c->tri_waiter->state, TRI_ACQUIRE) == TRI_WAIT_DONE; /* [W1] */
}

/* ---- to send, to reserve -------------------------------------------------------------------------------------- */

static int attempt_send(struct tr_case *c)
{
    struct tr_channel *channel = channel_of(c);
    c->tri_amount = tri_channel_weigh(channel, c->tri_value); /* a case used again has another message */
    if (channel->weighs && c->tri_amount > channel->options.byte_limit)
        return -EINVAL;
    return tri_channel_send_now(channel, c->tri_value, c->tri_amount);
}

static int attempt_reserve(struct tr_case *c)
{
    return tri_channel_reserve_now(channel_of(c), c->tri_number, c->tri_value);
}

/* What can be done at once is: so that a task may enter without having tried. */
static int enter_sender(struct tr_case *c)
{
    struct tr_channel *channel = channel_of(c);
    struct tri_channel_turn turn;
    int rc = -EAGAIN;
    tri_channel_lock(channel, &turn);
    if (tri_channel_admits(channel, c)) {
        if (tri_claim(c))
            rc = tri_channel_carry_out(channel, c, &turn);
    } else {
        tri_channel_announce(channel);
        tri_line_push(&channel->senders, c);
        tri_channel_serve(channel, &turn); /* the receiver may have made room before it could see us */
    }
    tri_channel_unlock(channel, &turn);
    return rc;
}

/* Those behind who wants much may want less. */
static bool leave_sender(struct tr_case *c)
{
    struct tr_channel *channel = channel_of(c);
    struct tri_channel_turn turn;
    if (is_served(c))
        return false;
    tri_channel_lock(channel, &turn);
    bool waited = tri_line_remove(&channel->senders, c);
    if (waited)
        tri_channel_serve(channel, &turn);
    tri_channel_unlock(channel, &turn);
    return waited;
}

const struct tri_kind tri_channel_send_kind = { attempt_send, enter_sender, leave_sender, NULL, TRI_WAIT_CHANNEL_ROOM };
const struct tri_kind tri_channel_reserve_kind = { attempt_reserve, enter_sender, leave_sender, NULL, TRI_WAIT_PERMIT };

static struct tr_case make_send(struct tr_channel *channel, const void *message, uint64_t weight)
{
    return (struct tr_case){ .tri_kind = &tri_channel_send_kind,
                             .tri_object = channel,
                             .tri_value = (void *)(uintptr_t)message,
                             .tri_number = 1,
                             .tri_amount = weight };
}

int tri_channel_send_waiting(struct tr_channel *channel, const void *message, uint64_t weight, tr_time deadline)
{
    if (deadline == TR_NOW)
        return -ETIMEDOUT;
    struct tr_case c = make_send(channel, message, weight);
    return tri_wait(&c, deadline);
}

struct tr_case tr_case_send_raw(struct tr_channel_sender sender, const struct tr_type *type, const void *message)
{
    struct tr_channel *channel = sender.tri_channel;
    if (!channel || channel->bytes != type->size)
        return (struct tr_case){ 0 };
    return make_send(channel, message, 0); /* weighed by the attempt with which every select begins */
}

struct tr_case tr_case_reserve_raw(struct tr_channel_sender sender, uint32_t count, struct tr_channel_permit *permit)
{
    struct tr_channel *channel = sender.tri_channel;
    *permit = (struct tr_channel_permit){ 0 };
    if (!channel || count == 0 || count > channel->capacity || channel->unbounded || channel->weighs)
        return (struct tr_case){ 0 };
    return (struct tr_case){
        .tri_kind = &tri_channel_reserve_kind, .tri_object = channel, .tri_value = permit, .tri_number = count
    };
}

/* ---- to receive ----------------------------------------------------------------------------------------------- */

static int attempt_receive(struct tr_case *c)
{
    return tri_channel_receive_now(channel_of(c), c->tri_value);
}

/* What there is belongs to who can claim it: so the claim comes first. */
static int enter_receiver(struct tr_case *c)
{
    struct tr_channel *channel = channel_of(c);
    struct tri_channel_turn turn;
    int rc = -EAGAIN;
    tri_channel_lock(channel, &turn);
    bool claimed = !tri_channel_has_nothing(channel) && tri_claim(c);
    if (claimed)
        rc = tri_channel_take(channel, c->tri_value, &turn);
    else if (tri_channel_has_nothing(channel))
        tri_line_push(&channel->receivers, c);
    tri_channel_unlock(channel, &turn);
    return rc;
}

static bool leave_receiver(struct tr_case *c)
{
    struct tr_channel *channel = channel_of(c);
    struct tri_channel_turn turn;
    if (is_served(c))
        return false;
    tri_channel_lock(channel, &turn);
    bool waited = tri_line_remove(&channel->receivers, c);
    tri_channel_unlock(channel, &turn);
    return waited;
}

const struct tri_kind tri_channel_receive_kind = { attempt_receive, enter_receiver, leave_receiver, NULL,
                                                   TRI_WAIT_CHANNEL };

struct tr_case tri_case_receive(struct tr_channel *channel, uint32_t bytes, void *message)
{
    if (!channel || channel->bytes != bytes)
        return (struct tr_case){ 0 };
    return (struct tr_case){ .tri_kind = &tri_channel_receive_kind, .tri_object = channel, .tri_value = message };
}

struct tr_case tr_case_receive_raw(struct tr_channel_receiver receiver, uint32_t bytes, void *message)
{
    return tri_case_receive(receiver.tri_channel, bytes, message);
}

int tri_channel_receive_waiting(struct tr_channel *channel, void *message, tr_time deadline)
{
    if (deadline == TR_NOW) { /* a try without the lock does not see an end */
        int rc = tri_channel_receive_now(channel, message);
        return rc == -EAGAIN ? -ETIMEDOUT : rc;
    }
    struct tr_case c = { .tri_kind = &tri_channel_receive_kind, .tri_object = channel, .tri_value = message };
    return tri_wait(&c, deadline);
}

/* ---- for the close -------------------------------------------------------------------------------------------- */

static int attempt_watch(struct tr_case *c)
{
    return tri_channel_is_closed(channel_of(c)) ? 0 : -EAGAIN;
}

static int enter_watcher(struct tr_case *c)
{
    struct tr_channel *channel = channel_of(c);
    struct tri_channel_turn turn;
    int rc = -EAGAIN;
    tri_channel_lock(channel, &turn);
    if (!tri_channel_is_closed(channel))
        tri_line_push(&channel->watchers, c);
    else if (tri_claim(c))
        rc = 0;
    tri_channel_unlock(channel, &turn);
    return rc;
}

static bool leave_watcher(struct tr_case *c)
{
    struct tr_channel *channel = channel_of(c);
    struct tri_channel_turn turn;
    if (is_served(c))
        return false;
    tri_channel_lock(channel, &turn);
    bool waited = tri_line_remove(&channel->watchers, c);
    tri_channel_unlock(channel, &turn);
    return waited;
}

static const struct tri_kind watch_kind = { attempt_watch, enter_watcher, leave_watcher, NULL, TRI_WAIT_CHANNEL };

struct tr_case tr_case_await_close_raw(struct tr_channel_sender sender)
{
    if (!sender.tri_channel)
        return (struct tr_case){ 0 };
    return (struct tr_case){ .tri_kind = &watch_kind, .tri_object = sender.tri_channel };
}

int tr_channel_await_close_raw(struct tr_channel_sender sender, tr_time deadline)
{
    struct tr_case c = tr_case_await_close_raw(sender);
    if (!sender.tri_channel)
        return -EINVAL;
    int rc = tri_checkpoint();
    if (rc < 0 || (rc = attempt_watch(&c)) != -EAGAIN)
        return rc;
    return deadline == TR_NOW ? -ETIMEDOUT : tri_wait(&c, deadline);
}
