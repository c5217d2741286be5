/* SPDX-License-Identifier: MIT */
/*
 * channel_ends.c: how channels are made, who holds them, and how they end.
 *
 *   references   all open senders together 1, the receiver 1, each weak sender 1, each permit 1: the last frees
 *   sender_count opened less closed; at 0 it stays: a weak sender is refused then
 *
 *   last sender closed   ENDED           the receiver gets what is left, and what has a permit; then -EPIPE
 *   receiver closed      CLOSED          senders get -EPIPE; the receiver as above
 *   receiver destroyed   CLOSED, GONE    permits get -EPIPE, too: nothing is stored any more, and what is left is buried
 */
#include "mailbox/channel.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define BLOCK_BYTES 4000u
#define BLOCK_PLACES 256u

/* Places of a ring for `capacity` messages: a power of two. */
static uint32_t places_for(uint32_t capacity)
{
    return capacity <= 1 ? 1 : UINT32_C(1) << (32 - __builtin_clz(capacity - 1));
}

/* Places of a block: about a page's worth, a power of two. */
static uint32_t places_in_block(uint32_t stride)
{
    uint32_t places = 1;
    while (places < BLOCK_PLACES && 2 * places * stride <= BLOCK_BYTES)
        places *= 2;
    return places;
}

static void set_up(struct tr_channel *channel, const struct tri_channel_plan *plan, bool unbounded, uint32_t places,
                   uint32_t stride)
{
    uint32_t bytes = plan->type->size;
    bool weighs = plan->options && plan->options->byte_limit != 0;
    bool drops_oldest = plan->options && plan->options->overflow == TR_OVERFLOW_DROP_OLDEST;
    *channel = (struct tr_channel){ .mask = places - 1, .stride = stride, .bytes = bytes, .capacity = plan->capacity };
    channel->ring = (char *)(channel + 1);
    channel->unbounded = unbounded;
    channel->weighs = weighs;
    channel->solo = plan->solo && !unbounded && !weighs && !drops_oldest;
    channel->send_bytes = tri_is_short(bytes) && !unbounded && !weighs ? bytes : TRI_CHANNEL_NO_SHORT_WAY;
    channel->receive_bytes = tri_is_short(bytes) && channel->solo ? bytes : TRI_CHANNEL_NO_SHORT_WAY;
    channel->edge = unbounded ? 0 : plan->capacity;
    if (plan->options)
        channel->options = *plan->options;
    if (!channel->options.name)
        channel->options.name = "channel";
    tri_store(&channel->references, UINT64_C(2), TRI_RELAXED);
    tri_store(&channel->sender_count, UINT64_C(1), TRI_RELAXED);
}

int tri_channel_make(struct tr_channel **out, const struct tri_channel_plan *plan)
{
    const struct tr_type *type = plan->type;
    bool unbounded = plan->capacity == UINT32_MAX;
    bool weighs = plan->options && plan->options->byte_limit != 0;
    *out = NULL;
    if (type->size > TR_MESSAGE_LIMIT || type->align > 64 || plan->capacity == 0 ||
        (!unbounded && plan->capacity > TR_CHANNEL_LIMIT) ||
        (plan->options && (unsigned)plan->options->overflow > TR_OVERFLOW_DROP_OLDEST))
        return -EINVAL;
    uint32_t stride = (type->size + 7) / 8 * 8 + (weighs ? sizeof(uint64_t) : 0);
    if (stride == 0)
        stride = 8;
    uint32_t places = unbounded ? places_in_block(stride) : places_for(plan->capacity);
    size_t ring_bytes = unbounded ? 0 : ((size_t)places * stride + 63) / 64 * 64;
    struct tr_channel *channel = aligned_alloc(64, sizeof *channel + ring_bytes);
    if (!channel)
        return -ENOMEM;
    set_up(channel, plan, unbounded, places, stride);
    *out = channel;
    return 0;
}

static int make_ends(struct tr_channel_sender *sender, struct tr_channel_receiver *receiver,
                     const struct tri_channel_plan *plan)
{
    struct tr_channel *channel;
    int rc = tri_channel_make(&channel, plan);
    sender->tri_channel = channel;
    receiver->tri_channel = channel;
    return rc;
}

int tr_channel_create_raw(struct tr_channel_sender *sender, struct tr_channel_receiver *receiver,
                          const struct tr_type *type, uint32_t capacity, const struct tr_channel_options *options)
{
    struct tri_channel_plan plan = { type, capacity == UINT32_MAX ? 0 : capacity, true, options };
    return make_ends(sender, receiver, &plan);
}

int tr_channel_create_unbounded_raw(struct tr_channel_sender *sender, struct tr_channel_receiver *receiver,
                                    const struct tr_type *type, const struct tr_channel_options *options)
{
    struct tri_channel_plan plan = { type, UINT32_MAX, true, options };
    return make_ends(sender, receiver, &plan);
}

void tri_channel_unref(struct tr_channel *channel)
{
    if (tri_fetch_sub(&channel->references, UINT64_C(1), TRI_ACQ_REL) != 1) /* [C4] */
        return;
    assert(channel->reserved == 0 && !channel->first);
    free(channel->spare);
    free(channel);
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

void tri_channel_end(struct tr_channel *channel, uint32_t state)
{
    struct tri_channel_turn turn;
    struct tr_case *c;
    tri_channel_lock(channel, &turn);
    tri_store(&channel->state, tri_load(&channel->state, TRI_RELAXED) | state, TRI_RELAXED);
    if (state & TRI_CHANNEL_CLOSED) {
        while ((c = tri_line_claim(&channel->senders)))
            tri_wakes_add(&turn.wakes, tri_finish(c, -EPIPE));
        tri_store(&channel->waiting, 0u, TRI_RELAXED);
        while ((c = tri_line_claim(&channel->watchers)))
            tri_wakes_add(&turn.wakes, tri_finish(c, 0));
    }
    tri_channel_tell_end(channel, &turn);
    tri_channel_unlock(channel, &turn);
}

void tri_channel_drain(struct tr_channel *channel)
{
    _Alignas(64) char buffer[TR_MESSAGE_LIMIT];
    struct tri_channel_turn turn;
    for (;;) {
        tri_channel_lock(channel, &turn);
        int rc = tri_channel_take(channel, buffer, &turn);
        if (rc == 0)
            channel->undelivered++;
        tri_channel_unlock(channel, &turn);
        if (rc < 0)
            break;
        tri_channel_bury(channel, buffer, TR_DEAD_UNDELIVERED);
    }
    /* Of an unbounded channel, the block that is not full. */
    free(channel->first);
    channel->first = NULL;
}

void tr_channel_receiver_close_raw(struct tr_channel_receiver receiver)
{
    if (receiver.tri_channel)
        tri_channel_end(receiver.tri_channel, TRI_CHANNEL_CLOSED);
}

void tr_channel_receiver_destroy_raw(struct tr_channel_receiver receiver)
{
    struct tr_channel *channel = receiver.tri_channel;
    if (!channel)
        return;
    tri_channel_end(channel, TRI_CHANNEL_CLOSED | TRI_CHANNEL_GONE);
    tri_channel_drain(channel);
    tri_channel_unref(channel);
}

/* ---- senders -------------------------------------------------------------------------------------------------- */

void tr_channel_sender_open_raw(struct tr_channel_sender sender)
{
    if (sender.tri_channel)
        tri_fetch_add(&sender.tri_channel->sender_count, UINT64_C(1), TRI_RELAXED);
}

void tr_channel_sender_close_raw(struct tr_channel_sender sender)
{
    struct tr_channel *channel = sender.tri_channel;
    if (!channel || tri_fetch_sub(&channel->sender_count, UINT64_C(1), TRI_ACQ_REL) != 1) /* [C4] */
        return;
    tri_channel_end(channel, TRI_CHANNEL_ENDED);
    tri_channel_unref(channel);
}

struct tr_channel_weak_sender tr_channel_sender_weaken_raw(struct tr_channel_sender sender)
{
    if (sender.tri_channel) {
        tri_channel_ref(sender.tri_channel);
        tri_fetch_add(&sender.tri_channel->weak_count, UINT64_C(1), TRI_RELAXED);
    }
    return (struct tr_channel_weak_sender){ sender.tri_channel };
}

void tr_channel_weak_sender_close_raw(struct tr_channel_weak_sender weak)
{
    if (!weak.tri_channel)
        return;
    tri_fetch_sub(&weak.tri_channel->weak_count, UINT64_C(1), TRI_RELAXED);
    tri_channel_unref(weak.tri_channel);
}

int tr_channel_weak_sender_open_raw(struct tr_channel_weak_sender weak, struct tr_channel_sender *sender)
{
    struct tr_channel *channel = weak.tri_channel;
    sender->tri_channel = NULL;
    if (!channel)
        return -EINVAL;
    uint64_t count = tri_load(&channel->sender_count, TRI_RELAXED);
    do {
        if (count == 0)
            return -EPIPE;
    } while (!tri_cas(&channel->sender_count, &count, count + 1, TRI_RELAXED, TRI_RELAXED));
    sender->tri_channel = channel;
    return 0;
}

/* ---- looks ---------------------------------------------------------------------------------------------------- */

bool tr_channel_is_closed_raw(struct tr_channel_sender sender)
{
    return !sender.tri_channel || (tri_load(&sender.tri_channel->state, TRI_RELAXED) & TRI_CHANNEL_CLOSED);
}

/* The head first: the tail that is read then is not behind it. The head may have moved on before that: hence the limit. */
uint32_t tr_channel_length_raw(const struct tr_channel *face)
{
    struct tr_channel *channel = (struct tr_channel *)(uintptr_t)face;
    if (!channel)
        return 0;
    uint64_t head = tri_load(&channel->head, TRI_ACQUIRE); /* [C2] after the tail that the receiver had read, by [C1] */
    uint64_t length = tri_load(&channel->tail, TRI_RELAXED) - head;
    return length < channel->capacity ? (uint32_t)length : channel->capacity;
}

void tr_channel_info_raw(struct tr_channel *channel, struct tr_channel_info *info)
{
    struct tri_channel_turn turn;
    *info = (struct tr_channel_info){ 0 };
    if (!channel)
        return;
    tri_channel_lock(channel, &turn);
    uint64_t length = tri_load(&channel->tail, TRI_RELAXED) - tri_load(&channel->head, TRI_RELAXED);
    info->capacity = channel->capacity;
    info->length = length < UINT32_MAX ? (uint32_t)length : UINT32_MAX;
    info->reserved = channel->reserved;
    info->free = (uint32_t)(channel->unbounded ? UINT32_MAX : channel->capacity - length - channel->reserved);
    info->bytes = channel->weight;
    info->closed = tri_load(&channel->state, TRI_RELAXED) & TRI_CHANNEL_CLOSED;
    info->rejected = channel->rejected;
    info->dropped_newest = channel->dropped_newest;
    info->dropped_oldest = channel->dropped_oldest;
    info->undelivered = channel->undelivered;
    tri_channel_unlock(channel, &turn);
    info->senders = tri_load(&channel->sender_count, TRI_RELAXED);
    info->weak_senders = tri_load(&channel->weak_count, TRI_RELAXED);
}
