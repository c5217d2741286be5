/* SPDX-License-Identifier: MIT */
/* channel.c: what happens under the channel's lock, and the calls that never wait. The picture and the edges are in channel.h. */
#include "mailbox/channel.h"
#include "mailbox/dead_letter.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void tri_channel_bury(struct tr_channel *channel, void *message, enum tr_dead_reason reason)
{
    const struct tr_channel_options *options = &channel->options;
    struct tr_dead_letter letter = { options->name, reason, channel->bytes, message };
    if (options->dead_letter)
        options->dead_letter(&letter, options->context);
    else
        tri_dead_letter(&letter);
    if (options->drop && reason != TR_DEAD_REJECTED)
        options->drop(message);
}

uint64_t tri_channel_weigh(const struct tr_channel *channel, const void *message)
{
    if (!channel->weighs)
        return 0;
    return channel->options.weigh ? channel->options.weigh(message) : channel->bytes;
}

/* ---- the lock and the edge ------------------------------------------------------------------------------------ */

static inline bool has_room(struct tr_channel *channel, uint32_t count, uint64_t weight)
{
    return (channel->unbounded || tri_channel_room(channel) >= count) &&
           (weight == 0 || weight <= channel->options.byte_limit - channel->weight);
}

/* ---- messages in the ring, or in blocks ----------------------------------------------------------------------- */

#define SPARE_BLOCKS 1u

/* Where the message at the tail of an unbounded channel goes. NULL: no memory. */
static char *push_block(struct tr_channel *channel, uint32_t index)
{
    struct tri_channel_block *block = channel->last;
    if (index == 0) {
        block = channel->spare ? channel->spare : malloc(sizeof *block + (size_t)(channel->mask + 1) * channel->stride);
        if (!block)
            return NULL;
        channel->spare = NULL;
        block->next = NULL;
        if (channel->first)
            channel->last->next = block;
        else
            channel->first = block;
        channel->last = block;
    }
    return block->slots + (size_t)index * channel->stride;
}

/* The first block has been read. One is kept: a channel that is now empty, now not, allocates nothing. */
static void pop_block(struct tr_channel *channel)
{
    struct tri_channel_block *block = channel->first;
    channel->first = block->next;
    if (channel->spare)
        free(block);
    else
        channel->spare = block;
}

static inline uint64_t *weight_at(struct tr_channel *channel, char *place)
{
    return (uint64_t *)(void *)(place + channel->stride - sizeof(uint64_t));
}

/* Hands the message to a receiver that waits, else puts it at the tail, where there is room. Returns 0 or -ENOMEM. */
static int deliver(struct tr_channel *channel, const void *message, uint64_t weight, struct tri_channel_turn *turn)
{
    struct tr_case *receiver = tri_line_is_empty(&channel->receivers) ? NULL : tri_line_claim(&channel->receivers);
    if (receiver) {
        tri_copy(receiver->tri_value, message, channel->bytes);
        tri_wakes_add(&turn->wakes, tri_finish(receiver, 0));
        return 0;
    }
    uint64_t tail = tri_load(&channel->tail, TRI_RELAXED);
    char *place =
        channel->unbounded ? push_block(channel, (uint32_t)tail & channel->mask) : tri_channel_place(channel, tail);
    if (!place)
        return -ENOMEM;
    tri_copy(place, message, channel->bytes);
    if (channel->weighs) {
        *weight_at(channel, place) = weight;
        channel->weight += weight;
    }
    tri_store(&channel->tail, tail + 1, TRI_RELEASE); /* [C1] */
    return 0;
}

/* Takes the message at the head, where receivers lock. */
void tri_channel_collect(struct tr_channel *channel, void *message)
{
    uint64_t head = tri_load(&channel->head, TRI_RELAXED);
    uint32_t index = (uint32_t)head & channel->mask;
    char *place =
        channel->unbounded ? channel->first->slots + (size_t)index * channel->stride : tri_channel_place(channel, head);
    tri_copy(message, place, channel->bytes);
    if (channel->weighs)
        channel->weight -= *weight_at(channel, place);
    tri_store(&channel->head, head + 1, TRI_RELEASE); /* [C2] for the looks without a lock */
    if (channel->unbounded && index == channel->mask)
        pop_block(channel);
}

/* ---- senders and receivers ------------------------------------------------------------------------------------ */

int tri_channel_put(struct tr_channel *channel, const void *message, uint64_t weight, struct tri_channel_turn *turn)
{
    if (tri_channel_is_closed(channel))
        return -EPIPE;
    if (!tri_line_is_empty(&channel->senders) || !has_room(channel, 1, weight))
        return -EAGAIN;
    return deliver(channel, message, weight, turn);
}

void tri_channel_put_reserved(struct tr_channel *channel, const void *message, struct tri_channel_turn *turn)
{
    channel->reserved--;
    deliver(channel, message, 0, turn); /* a channel that gives permits has neither blocks nor bytes to count */
    tri_channel_serve(channel, turn);   /* if it went into somebody's hands, its place is free */
    tri_channel_tell_end(channel, turn);
}

static void grant(struct tr_channel *channel, uint32_t count, struct tr_channel_permit *permit)
{
    channel->reserved += count;
    tri_channel_ref(channel);
    *permit = (struct tr_channel_permit){ channel, count };
}

int tri_channel_claim_room(struct tr_channel *channel, uint32_t count, struct tr_channel_permit *permit)
{
    if (tri_channel_is_closed(channel))
        return -EPIPE;
    if (!tri_line_is_empty(&channel->senders) || !has_room(channel, count, 0))
        return -EAGAIN;
    grant(channel, count, permit);
    return 0;
}

bool tri_channel_admits(struct tr_channel *channel, struct tr_case *c)
{
    return tri_channel_is_closed(channel) ||
           (tri_line_is_empty(&channel->senders) && has_room(channel, c->tri_number, c->tri_amount));
}

int tri_channel_carry_out(struct tr_channel *channel, struct tr_case *c, struct tri_channel_turn *turn)
{
    return c->tri_kind == &tri_channel_reserve_kind ? tri_channel_claim_room(channel, c->tri_number, c->tri_value)
                                                    : tri_channel_put(channel, c->tri_value, c->tri_amount, turn);
}

void tri_channel_announce(struct tr_channel *channel)
{
    if (tri_load(&channel->waiting, TRI_RELAXED) != 0)
        return;                                    /* the lock passes on what who set it has done */
    tri_store(&channel->waiting, 1u, TRI_RELAXED); /* [C3] */
    if (!tri_bias_is_marked(&channel->lock, tri_seat_here()))
        tri_fence(TRI_SEQ_CST); /* [C3] */
}

void tri_channel_serve(struct tr_channel *channel, struct tri_channel_turn *turn)
{
    struct tr_case *c;
    while ((c = tri_line_first(&channel->senders)) && has_room(channel, c->tri_number, c->tri_amount)) {
        tri_line_remove(&channel->senders, c);
        if (!tri_claim(c))
            continue;
        int rc = 0;
        if (c->tri_kind == &tri_channel_reserve_kind)
            grant(channel, c->tri_number, c->tri_value);
        else
            rc = deliver(channel, c->tri_value, c->tri_amount, turn);
        tri_wakes_add(&turn->wakes, tri_finish(c, rc));
    }
    if (tri_line_is_empty(&channel->senders))
        tri_store(&channel->waiting, 0u, TRI_RELAXED);
}

int tri_channel_take(struct tr_channel *channel, void *message, struct tri_channel_turn *turn)
{
    if (channel->solo ? !tri_channel_take_fast(channel, message, channel->bytes, false)
                      : tri_channel_stored(channel) == 0)
        return tri_channel_is_at_end(channel) ? -EPIPE : -EAGAIN;
    if (!channel->solo)
        tri_channel_collect(channel, message);
    tri_channel_serve(channel, turn);
    return 0;
}

void tri_channel_tell_end(struct tr_channel *channel, struct tri_channel_turn *turn)
{
    struct tr_case *c;
    if (!tri_channel_is_at_end(channel))
        return;
    while ((c = tri_line_claim(&channel->receivers)))
        tri_wakes_add(&turn->wakes, tri_finish(c, -EPIPE));
}

/* ---- calls that never wait ------------------------------------------------------------------------------------ */

int tri_channel_serve_now(struct tr_channel *channel)
{
    struct tri_channel_turn turn;
    tri_channel_lock(channel, &turn);
    channel->knows_shared = tri_load(&channel->lock.owner, TRI_RELAXED) == TRI_BIAS_REVOKED;
    tri_channel_serve(channel, &turn);
    tri_channel_unlock(channel, &turn);
    return 0;
}

/*
 * Without the lock: nothing is there, and more may come. Who knows otherwise (because he has sent, or seen the end) sees that
 * here, too; whether the end has come is for the lock to say. The head first: it never passes the tail, so a tail that is
 * where the head was before has nothing behind it; of a tail that was where the head is now, that is not so.
 */
static bool looks_empty(struct tr_channel *channel)
{
    uint64_t head = tri_load(&channel->head, TRI_ACQUIRE); /* [C6] */
    return tri_load(&channel->tail, TRI_RELAXED) == head &&
           !(tri_load(&channel->state, TRI_RELAXED) & (TRI_CHANNEL_CLOSED | TRI_CHANNEL_ENDED));
}

int tri_channel_receive_now(struct tr_channel *channel, void *message)
{
    struct tri_channel_turn turn;
    if (channel->solo && tri_channel_take_fast(channel, message, channel->bytes, false))
        return tri_channel_looks(channel, tri_seat_here()) ? tri_channel_serve_now(channel) : 0;
    if (looks_empty(channel))
        return -EAGAIN;
    tri_channel_lock(channel, &turn);
    int rc = tri_channel_take(channel, message, &turn);
    tri_channel_unlock(channel, &turn);
    return rc;
}
