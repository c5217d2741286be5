/* SPDX-License-Identifier: MIT */
/*
 * queue.c: a queue is a channel whose receivers lock, with one kind of handle for both sides. Its count of senders is the
 * count of handles. Sending and receiving, which are the channel's, are in actor/channel.c.
 */
#include "mailbox/channel.h"
#include <troupe/queue.h>

#include <errno.h>

int tr_queue_create_raw(struct tr_queue *queue, const struct tr_type *type, uint32_t capacity,
                        const struct tr_channel_options *options)
{
    struct tri_channel_plan plan = { type, capacity == UINT32_MAX ? 0 : capacity, false, options };
    int rc = tri_channel_make(&queue->tri_channel, &plan);
    if (rc == 0)
        tri_channel_unref(queue->tri_channel); /* there is no receiver apart from it */
    return rc;
}

void tr_queue_ref_raw(struct tr_queue queue)
{
    tr_channel_sender_open_raw((struct tr_channel_sender){ queue.tri_channel });
}

void tr_queue_unref_raw(struct tr_queue queue)
{
    struct tr_channel *channel = queue.tri_channel;
    if (!channel || tri_fetch_sub(&channel->sender_count, UINT64_C(1), TRI_ACQ_REL) != 1) /* [C4] */
        return;
    tri_channel_end(channel, TRI_CHANNEL_CLOSED | TRI_CHANNEL_GONE);
    tri_channel_drain(channel);
    tri_channel_unref(channel);
}

void tr_queue_close_raw(struct tr_queue queue)
{
    if (queue.tri_channel)
        tri_channel_end(queue.tri_channel, TRI_CHANNEL_CLOSED);
}

bool tr_queue_is_closed_raw(struct tr_queue queue)
{
    return tr_channel_is_closed_raw((struct tr_channel_sender){ queue.tri_channel });
}

struct tr_case tr_case_queue_receive_raw(struct tr_queue queue, uint32_t bytes, void *message)
{
    return tri_case_receive(queue.tri_channel, bytes, message);
}

struct tr_case tr_case_queue_send_raw(struct tr_queue queue, const struct tr_type *type, const void *message)
{
    return tr_case_send_raw((struct tr_channel_sender){ queue.tri_channel }, type, message);
}
