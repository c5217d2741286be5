/* SPDX-License-Identifier: MIT */
/*
 * channel_overflow.c: sends that do not wait: what a channel's policy does with a message that it has no room for.
 *
 * What is dropped is copied out under the lock and buried after it: neither a hook nor `drop` is ever called under a lock.
 */
#include "mailbox/channel.h"

#include <assert.h>
#include <errno.h>

/* What became of a message, or is to be done yet. */
enum fate { DECIDED, REJECTED, DROPPED_NEWEST, DROPPED_OLDEST };

/*
 * Under the lock, when there is no room: makes some by taking the oldest message into *buffer, or decides against the new
 * one. A channel that is full of permits has nothing to drop.
 */
static enum fate overflow(struct tr_channel *channel, void *buffer)
{
    switch (channel->options.overflow) {
    case TR_OVERFLOW_WAIT:
        return DECIDED;
    case TR_OVERFLOW_DROP_OLDEST:
        if (tri_load(&channel->tail, TRI_RELAXED) == tri_load(&channel->head, TRI_RELAXED))
            break;
        tri_channel_collect(channel, buffer);
        channel->dropped_oldest++;
        return DROPPED_OLDEST;
    case TR_OVERFLOW_DROP_NEWEST:
        channel->dropped_newest++;
        return DROPPED_NEWEST;
    case TR_OVERFLOW_REJECT:
        break;
    }
    channel->rejected++;
    return REJECTED;
}

static __attribute__((noinline)) int send_by_policy(struct tr_channel *channel, const void *message, uint64_t weight)
{
    _Alignas(64) char buffer[TR_MESSAGE_LIMIT];
    struct tri_channel_turn turn;
    for (;;) {
        enum fate fate = DECIDED;
        tri_channel_lock(channel, &turn);
        int rc = tri_channel_put(channel, message, weight, &turn);
        if (rc == -EAGAIN)
            fate = overflow(channel, buffer);
        tri_channel_unlock(channel, &turn);
        switch (fate) {
        case DECIDED:
            return rc;
        case REJECTED:
            tri_copy(buffer, message, channel->bytes);
            tri_channel_bury(channel, buffer, TR_DEAD_REJECTED);
            return -ENOBUFS;
        case DROPPED_NEWEST:
            tri_copy(buffer, message, channel->bytes);
            tri_channel_bury(channel, buffer, TR_DEAD_DROPPED_NEWEST);
            return 0;
        case DROPPED_OLDEST: /* and again: the room may be another's by now, but then so is a message to be dropped */
            tri_channel_bury(channel, buffer, TR_DEAD_DROPPED_OLDEST);
            break;
        }
    }
}

int tri_channel_send_now(struct tr_channel *channel, const void *message, uint64_t weight)
{
    struct tri_channel_turn turn;
    if (channel->options.overflow != TR_OVERFLOW_WAIT)
        return send_by_policy(channel, message, weight);
    tri_channel_lock(channel, &turn);
    int rc = tri_channel_put(channel, message, weight, &turn);
    tri_channel_unlock(channel, &turn);
    return rc;
}

/* Drops the oldest until there is room for `count`, or nothing left to drop. */
static __attribute__((noinline)) int reserve_by_dropping(struct tr_channel *channel, uint32_t count,
                                                         struct tr_channel_permit *permit)
{
    _Alignas(64) char buffer[TR_MESSAGE_LIMIT];
    struct tri_channel_turn turn;
    for (;;) {
        tri_channel_lock(channel, &turn);
        int rc = tri_channel_claim_room(channel, count, permit);
        bool drops = rc == -EAGAIN && channel->capacity - channel->reserved >= count &&
                     overflow(channel, buffer) == DROPPED_OLDEST;
        tri_channel_unlock(channel, &turn);
        if (!drops)
            return rc == -EAGAIN ? -ENOBUFS : rc;
        tri_channel_bury(channel, buffer, TR_DEAD_DROPPED_OLDEST);
    }
}

int tri_channel_reserve_now(struct tr_channel *channel, uint32_t count, struct tr_channel_permit *permit)
{
    struct tri_channel_turn turn;
    if (channel->options.overflow == TR_OVERFLOW_DROP_OLDEST)
        return reserve_by_dropping(channel, count, permit);
    tri_channel_lock(channel, &turn);
    int rc = tri_channel_claim_room(channel, count, permit);
    tri_channel_unlock(channel, &turn);
    return rc == -EAGAIN && channel->options.overflow != TR_OVERFLOW_WAIT ? -ENOBUFS : rc;
}
