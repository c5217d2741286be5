/* SPDX-License-Identifier: MIT */
/* broadcast.c: sending, the rarer ways of receiving, and the life of the channel. The picture and the edges are in broadcast.h. */
#include "mailbox/broadcast.h"

#include <limits.h>
#include <stdlib.h>

#ifndef TRI_BROADCAST_TRIES
#define TRI_BROADCAST_TRIES 8 /* without the lock, before a receiver that is overtaken while it copies takes it */
#endif

static struct tri_broadcast *channel_of(void *channel)
{
    return channel;
}

static uint64_t oldest_kept(const struct tri_broadcast *broadcast, uint64_t tail)
{
    return tail > broadcast->mask + 1 ? tail - broadcast->mask - 1 : 0;
}

/* ---- the life of a channel ------------------------------------------------------------------------------------ */

int tr_broadcast_create_raw(struct tr_broadcast *out, uint32_t bytes, uint32_t capacity,
                            const struct tr_broadcast_options *options)
{
    struct tr_broadcast_options plain = { 0 };
    uint64_t room = 1;
    if (!options)
        options = &plain;
    if (bytes > TR_MESSAGE_LIMIT || capacity == 0 || capacity > TR_BROADCAST_LIMIT)
        return -EINVAL;
    if (!options->clone != !options->drop || (options->clone && bytes > TR_COUNTED_LIMIT))
        return -EINVAL;
    while (room < capacity)
        room *= 2;
    size_t slate_bytes = tri_slate_bytes(bytes);
    size_t all_bytes = (sizeof(struct tri_broadcast) + room * slate_bytes + 63) / 64 * 64;
    char *memory = calloc(1, all_bytes + 63); /* a large one is not touched before it is used */
    if (!memory)
        return -ENOMEM;
    struct tri_broadcast *broadcast = (struct tri_broadcast *)(void *)(memory + (-(uintptr_t)memory & 63));
    broadcast->memory = memory;
    broadcast->bytes = bytes;
    broadcast->slate_bytes = (uint32_t)slate_bytes;
    broadcast->mask = room - 1;
    broadcast->clone = options->clone;
    broadcast->drop = options->drop;
    broadcast->audience.senders = 1;
    broadcast->audience.holders = 1;
    out->tri_channel = broadcast;
    return 0;
}

/* Nobody has a handle any more. */
static void destroy(struct tri_broadcast *broadcast)
{
    _Alignas(64) char value[TR_COUNTED_LIMIT];
    uint64_t tail = tri_load(&broadcast->tail, TRI_RELAXED);
    for (uint64_t n = oldest_kept(broadcast, tail); broadcast->drop && n < tail; n++) {
        tri_slate_copy(tri_broadcast_slate(broadcast, n), value, broadcast->bytes);
        broadcast->drop(value);
    }
    free(broadcast->memory);
}

void tr_broadcast_open_raw(struct tr_broadcast face)
{
    tri_audience_open(&channel_of(face.tri_channel)->audience);
}

void tr_broadcast_close_raw(struct tr_broadcast face)
{
    if (tri_audience_close(&channel_of(face.tri_channel)->audience))
        destroy(face.tri_channel);
}

void tr_broadcast_downgrade_raw(struct tr_broadcast face, struct tr_broadcast_weak *out)
{
    tri_audience_hold(&channel_of(face.tri_channel)->audience);
    out->tri_channel = face.tri_channel;
}

int tr_broadcast_upgrade_raw(struct tr_broadcast_weak weak, struct tr_broadcast *out)
{
    if (!tri_audience_reopen(&channel_of(weak.tri_channel)->audience))
        return -EPIPE;
    out->tri_channel = weak.tri_channel;
    return 0;
}

void tr_broadcast_forget_raw(struct tr_broadcast_weak weak)
{
    if (tri_audience_let_go(&channel_of(weak.tri_channel)->audience))
        destroy(weak.tri_channel);
}

static int subscribe(struct tri_broadcast *broadcast, struct tr_broadcast_receiver *out)
{
    if (!broadcast)
        return -EINVAL;
    tri_bias_lock(&broadcast->audience.lock);
    tri_audience_join(&broadcast->audience);
    uint64_t tail = tri_load(&broadcast->tail, TRI_RELAXED);
    tri_bias_unlock(&broadcast->audience.lock);
    *out = (struct tr_broadcast_receiver){ .tri_channel = broadcast, .tri_next = tail };
    return 0;
}

int tr_broadcast_subscribe_raw(struct tr_broadcast face, struct tr_broadcast_receiver *out)
{
    return subscribe(channel_of(face.tri_channel), out);
}

int tr_broadcast_resubscribe_raw(const struct tr_broadcast_receiver *receiver, struct tr_broadcast_receiver *out)
{
    return subscribe(channel_of(receiver->tri_channel), out);
}

void tr_broadcast_unsubscribe_raw(struct tr_broadcast_receiver *receiver)
{
    struct tri_broadcast *broadcast = channel_of(receiver->tri_channel);
    receiver->tri_channel = NULL;
    if (tri_audience_quit(&broadcast->audience))
        destroy(broadcast);
}

uint32_t tr_broadcast_receivers_raw(struct tr_broadcast face)
{
    struct tri_audience *audience = &channel_of(face.tri_channel)->audience;
    return tri_audience_count(audience, &audience->receivers);
}

uint32_t tr_broadcast_senders_raw(const struct tr_broadcast_receiver *receiver)
{
    struct tri_audience *audience = &channel_of(receiver->tri_channel)->audience;
    return tri_audience_count(audience, &audience->senders);
}

int tr_broadcast_closed_raw(struct tr_broadcast face, tr_time deadline)
{
    int rc = tri_checkpoint();
    return rc < 0 ? rc : tri_audience_await_desertion(&channel_of(face.tri_channel)->audience, deadline);
}

/* ---- sending -------------------------------------------------------------------------------------------------- */

/* Writes value `tail` under the lock. True: *old is the value that it has overwritten, to be dropped. */
static bool overwrite(struct tri_broadcast *broadcast, const void *value, void *old)
{
    uint64_t tail = tri_load(&broadcast->tail, TRI_RELAXED);
    struct tri_slate *slate = tri_broadcast_slate(broadcast, tail);
    bool drops = broadcast->drop && tail > broadcast->mask;
    if (drops)
        tri_slate_copy(slate, old, broadcast->bytes);
    tri_slate_write(slate, tail, value, broadcast->bytes);
    tri_store(&broadcast->tail, tail + 1, TRI_RELEASE); /* [BC1] */
    return drops;
}

int tr_broadcast_send_raw(struct tr_broadcast face, uint32_t bytes, const void *value)
{
    struct tri_broadcast *broadcast = channel_of(face.tri_channel);
    _Alignas(64) char old[TR_COUNTED_LIMIT];
    if (bytes != broadcast->bytes)
        return -EINVAL;
    tri_bias_lock(&broadcast->audience.lock);
    uint32_t receivers = broadcast->audience.receivers;
    if (receivers == 0) {
        tri_bias_unlock(&broadcast->audience.lock);
        return -ESRCH;
    }
    void (*drop)(void *value) = overwrite(broadcast, value, old) ? broadcast->drop : NULL;
    if (tri_audience_tell(&broadcast->audience))
        destroy(broadcast);
    if (drop)
        drop(old);
    return (int)receivers;
}

/* ---- receiving ------------------------------------------------------------------------------------------------ */

/* A value was received: what was missed before it is told with it. */
static int note_received(struct tr_broadcast_receiver *receiver)
{
    int missed = receiver->tri_missed > INT_MAX ? INT_MAX : (int)receiver->tri_missed;
    receiver->tri_next++;
    receiver->tri_missed -= (uint64_t)missed;
    return missed;
}

/* The slate has value `newer`, not the receiver's next: goes on at the oldest kept. */
static void skip_missed(struct tri_broadcast *broadcast, struct tr_broadcast_receiver *receiver, uint64_t newer)
{
    uint64_t oldest = oldest_kept(broadcast, tri_load(&broadcast->tail, TRI_ACQUIRE)); /* [BC1] */
    if (oldest < newer - broadcast->mask)
        oldest = newer - broadcast->mask;
    receiver->tri_missed += oldest - receiver->tri_next;
    receiver->tri_next = oldest;
}

/* One attempt without the lock: 0 received, -EAGAIN not there, -ESTALE overwritten meanwhile, -EBUSY being overwritten. */
static int attempt_once(struct tri_broadcast *broadcast, struct tr_broadcast_receiver *receiver, void *value)
{
    uint64_t next = receiver->tri_next;
    struct tri_slate *slate = tri_broadcast_slate(broadcast, next);
    uint64_t stamp = tri_load(&slate->stamp, TRI_ACQUIRE); /* [SL1] */
    if (stamp < TRI_SLATE_STAMP(next))
        return -EAGAIN;
    if (stamp == TRI_SLATE_STAMP(next))
        return tri_slate_read(slate, next, value, broadcast->bytes) ? 0 : -ESTALE;
    if (TRI_SLATE_IS_MARKED(stamp))
        return -EBUSY; /* whether ours is still there is about to be decided */
    skip_missed(broadcast, receiver, TRI_SLATE_NUMBER(stamp));
    return -ESTALE;
}

/* Under the lock: nothing is being written. */
static bool attempt_locked(struct tri_broadcast *broadcast, struct tr_broadcast_receiver *receiver, void *value)
{
    uint64_t tail = tri_load(&broadcast->tail, TRI_RELAXED);
    uint64_t oldest = oldest_kept(broadcast, tail);
    if (receiver->tri_next == tail)
        return false;
    if (receiver->tri_next < oldest) {
        receiver->tri_missed += oldest - receiver->tri_next;
        receiver->tri_next = oldest;
    }
    tri_slate_copy(tri_broadcast_slate(broadcast, receiver->tri_next), value, broadcast->bytes);
    if (broadcast->clone)
        broadcast->clone(value);
    return true;
}

static int attempt(struct tri_broadcast *broadcast, struct tr_broadcast_receiver *receiver, void *value)
{
    int rc = -ESTALE;
    for (int i = 0; i < TRI_BROADCAST_TRIES && rc == -ESTALE && !broadcast->clone; i++)
        rc = attempt_once(broadcast, receiver, value);
    if (rc == 0 || rc == -EAGAIN)
        return rc;
    tri_bias_lock(&broadcast->audience.lock);
    bool received = attempt_locked(broadcast, receiver, value);
    tri_bias_unlock(&broadcast->audience.lock);
    return received ? 0 : -EAGAIN;
}

int tri_broadcast_take_slow(struct tr_broadcast_receiver *receiver, void *value)
{
    struct tri_broadcast *broadcast = channel_of(receiver->tri_channel);
    int rc = attempt(broadcast, receiver, value);
    if (rc == -EAGAIN && tri_load(&broadcast->audience.closed, TRI_ACQUIRE)) { /* [A3] */
        rc = attempt(broadcast, receiver, value);
        if (rc == -EAGAIN)
            return -EPIPE;
    }
    return rc == 0 ? note_received(receiver) : rc;
}

/* Without the lock the tail may lag behind what has been received. */
static bool has_news(const struct tri_broadcast *broadcast, const struct tr_broadcast_receiver *receiver)
{
    return tri_load(&broadcast->tail, TRI_RELAXED) > receiver->tri_next ||
           tri_load(&broadcast->audience.closed, TRI_RELAXED);
}

int tri_broadcast_enter(struct tr_case *c)
{
    struct tr_broadcast_receiver *receiver = c->tri_object;
    struct tri_broadcast *broadcast = channel_of(receiver->tri_channel);
    tri_bias_lock(&broadcast->audience.lock);
    bool waits = !has_news(broadcast, receiver);
    if (waits)
        tri_line_push(&broadcast->audience.waiting, c);
    tri_bias_unlock(&broadcast->audience.lock);
    return waits ? -EAGAIN : 0;
}

int tr_broadcast_try_receive_raw(struct tr_broadcast_receiver *receiver, uint32_t bytes, void *value)
{
    if (bytes != channel_of(receiver->tri_channel)->bytes)
        return -EINVAL;
    return tri_broadcast_take(receiver, value);
}

uint64_t tr_broadcast_length_raw(const struct tr_broadcast_receiver *receiver)
{
    struct tri_broadcast *broadcast = channel_of(receiver->tri_channel);
    tri_bias_lock(&broadcast->audience.lock);
    uint64_t count = tri_load(&broadcast->tail, TRI_RELAXED) - receiver->tri_next;
    tri_bias_unlock(&broadcast->audience.lock);
    return count <= broadcast->mask ? count : broadcast->mask + 1;
}

/* ---- as a case of a select ------------------------------------------------------------------------------------ */

static int attempt_case(struct tr_case *c)
{
    struct tr_broadcast_receiver *receiver = c->tri_object;
    return tr_broadcast_try_receive_raw(receiver, (uint32_t)c->tri_amount, c->tri_value);
}

/* What is claimed must be carried out: under the lock, where no value can be on its way. */
static int enter_case(struct tr_case *c)
{
    struct tr_broadcast_receiver *receiver = c->tri_object;
    struct tri_broadcast *broadcast = channel_of(receiver->tri_channel);
    int rc = -EAGAIN;
    tri_bias_lock(&broadcast->audience.lock);
    if (!has_news(broadcast, receiver))
        tri_line_push(&broadcast->audience.waiting, c);
    else if (tri_claim(c))
        rc = attempt_locked(broadcast, receiver, c->tri_value) ? note_received(receiver) : -EPIPE;
    tri_bias_unlock(&broadcast->audience.lock);
    return rc;
}

static bool leave_case(struct tr_case *c)
{
    const struct tr_broadcast_receiver *receiver = c->tri_object;
    struct tri_broadcast *broadcast = channel_of(receiver->tri_channel);
    return tri_audience_leave(&broadcast->audience, &broadcast->audience.waiting, c);
}

static bool case_is_ready(struct tr_case *c)
{
    const struct tr_broadcast_receiver *receiver = c->tri_object;
    return has_news(channel_of(receiver->tri_channel), receiver);
}

static const struct tri_kind receive_kind = { attempt_case, enter_case, leave_case, case_is_ready, TRI_WAIT_CHANGE };

struct tr_case tr_case_broadcast_raw(struct tr_broadcast_receiver *receiver, uint32_t bytes, void *value)
{
    return (
        struct tr_case){ .tri_kind = &receive_kind, .tri_object = receiver, .tri_value = value, .tri_amount = bytes };
}
