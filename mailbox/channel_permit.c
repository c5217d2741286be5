/* SPDX-License-Identifier: MIT */
/*
 * channel_permit.c: permits: room kept for messages that are yet to come.
 *
 * A permit counts as so many messages, and holds the channel open: while there is one, a receiver that has closed, or whose
 * senders have gone, is told -EAGAIN, not -EPIPE. Where the receiver is gone a permit sends nowhere: the message stays
 * with the caller, and nothing is stored that nobody would take.
 */
#include "mailbox/channel.h"

#include <assert.h>
#include <errno.h>

static int check_reserve(const struct tr_channel *channel, uint32_t count, struct tr_channel_permit *permit)
{
    *permit = (struct tr_channel_permit){ 0 };
    if (!channel || count == 0)
        return -EINVAL;
    if (channel->unbounded || channel->weighs)
        return -ENOTSUP;
    return count > channel->capacity ? -EINVAL : 0;
}

int tr_channel_try_reserve_raw(struct tr_channel_sender sender, uint32_t count, struct tr_channel_permit *permit)
{
    int rc = check_reserve(sender.tri_channel, count, permit);
    return rc < 0 ? rc : tri_channel_reserve_now(sender.tri_channel, count, permit);
}

int tr_channel_reserve_raw(struct tr_channel_sender sender, uint32_t count, struct tr_channel_permit *permit,
                           tr_time deadline)
{
    int rc = check_reserve(sender.tri_channel, count, permit);
    if (rc < 0 || (rc = tri_checkpoint()) < 0)
        return rc;
    rc = tri_channel_reserve_now(sender.tri_channel, count, permit);
    if (rc != -EAGAIN)
        return rc;
    if (deadline == TR_NOW)
        return -ETIMEDOUT;
    struct tr_case c = tr_case_reserve_raw(sender, count, permit);
    return tri_wait(&c, deadline);
}

/* The last of a permit's places is used up, or given back. */
static void end_permit(struct tr_channel_permit *permit)
{
    struct tr_channel *channel = permit->tri_channel;
    *permit = (struct tr_channel_permit){ 0 };
    tri_channel_unref(channel);
}

int tr_channel_permit_send_raw(struct tr_channel_permit *permit, const struct tr_type *type, const void *message)
{
    struct tr_channel *channel = permit->tri_channel;
    struct tri_channel_turn turn;
    if (!channel || channel->bytes != type->size)
        return -EINVAL;
    assert(permit->tri_count > 0);
    tri_channel_lock(channel, &turn);
    bool gone = tri_load(&channel->state, TRI_RELAXED) & TRI_CHANNEL_GONE;
    if (gone)
        channel->reserved--;
    else
        tri_channel_put_reserved(channel, message, &turn);
    tri_channel_unlock(channel, &turn);
    if (--permit->tri_count == 0)
        end_permit(permit);
    return gone ? -EPIPE : 0;
}

void tr_channel_permit_return_raw(struct tr_channel_permit *permit)
{
    struct tr_channel *channel = permit->tri_channel;
    struct tri_channel_turn turn;
    if (!channel)
        return;
    tri_channel_lock(channel, &turn);
    channel->reserved -= permit->tri_count;
    tri_channel_serve(channel, &turn);
    tri_channel_tell_end(channel, &turn);
    tri_channel_unlock(channel, &turn);
    end_permit(permit);
}
