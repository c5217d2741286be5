/* SPDX-License-Identifier: MIT */
/*
 * channel.h: the channel behind tr_channel_ and tr_queue_: one lock, a ring, and three queues of those who wait.
 *
 *                 head                    tail       edge
 *     ring:  .  .  m  m  m  m  m  m  m  m  .  .  .  .  |
 *                  \__ length: messages __/ \_ room _/
 *
 *   senders     wait for room, or for permits, or for bytes; in order
 *   receivers   wait for a message; only while there is none
 *   watchers    wait for the receiver to close
 *
 * Senders work under the lock (bias.h: while all are tasks of one worker it costs no locked instruction). All that there is to
 * look at before a message goes into the ring is folded into one number, the edge: up to there senders may go on without a
 * further look. Whoever changes anything else under the lock sets the edge anew when he lets go; it is the tail, so that the next sender
 * must look, if there is no room, or somebody waits, or the channel is closed. The head may have moved on meanwhile: then there is
 * more room than the edge says, never less.
 *
 * A message that finds a receiver waiting goes into its hands, not through the ring.
 *
 * The one receiver of an ordinary channel ("solo") takes without the lock: it reads the tail, and moves the head. Then it looks
 * whether senders wait, and only if so locks, and serves them. Where that will not do (several receivers, senders
 * that drop the oldest, bytes to be counted, blocks to be given back) receivers work under the lock, too.
 *
 *   [C1] tail release -> acquire by the solo receiver: the message.
 *   [C2] head release (solo) -> acquire by who looks for room: the receiver has read the place.
 *   [C3] head := h + 1; owner?; waiting?   against   waiting := 1; head?   either the receiver sees that somebody waits for
 *        room, or he sees the room. Four ways:
 *        the receiver is on the owner's worker, and he is: one thread.
 *        the receiver is, he is not: between his becoming none and his registering there is the membarrier of bias.h. As long
 *        as the receiver sees itself own the lock, its head is seen behind that.
 *        neither is, for good ("shared"): both have a full fence between.
 *        he is, the receiver is not, or does not know yet that nobody is: the receiver takes the lock after its head.
 *   [C4] references: the last to let go sees what the others did.
 *   [C5] under the lock: everything else.
 *   [C6] head release (receivers that lock) -> acquire by who looks whether there is anything: the tail it reads next is no
 *        older than the head.
 */
#ifndef TRI_CHANNEL_H
#define TRI_CHANNEL_H

#include "mailbox/bias.h"
#include "mailbox/storage.h"
#include "mailbox/wait.h"
#include <troupe/channel.h>

#define TRI_CHANNEL_NO_SHORT_WAY UINT64_MAX /* no size that a caller can name */

enum tri_channel_state {
    TRI_CHANNEL_CLOSED = 1, /* by the receiver */
    TRI_CHANNEL_GONE = 2,   /* the receiver is: closed, too */
    TRI_CHANNEL_ENDED = 4,  /* no sender is left */
};

/* Of an unbounded channel: so many messages in a chain of blocks. */
struct tri_channel_block {
    struct tri_channel_block *next;
    char slots[];
};

struct tr_channel {
    /* read by all, and not written once it is in use */
    _Alignas(64) char *ring;
    uint32_t mask, stride; /* places less one; from one place to the next */
    uint64_t send_bytes;   /* of a message, where there is a short way to send and receive, and messages are short */
    uint64_t receive_bytes;
    uint32_t bytes; /* of a message */
    uint32_t capacity;
    bool solo;      /* one receiver, which takes without the lock */
    bool weighs;    /* there is a byte limit, and each message's weight stands at the end of its place */
    bool unbounded; /* blocks instead of the ring */

    /* senders */
    _Alignas(64) struct tri_bias lock;
    TRI_ATOMIC(uint64_t) tail;
    uint64_t edge;
    struct tri_line senders, receivers, watchers;
    uint32_t reserved;
    TRI_ATOMIC(uint32_t) state; /* set under the lock */

    /* the receiver */
    _Alignas(64) TRI_ATOMIC(uint64_t) head;
    uint64_t known;               /* solo: the tail, as it was */
    bool knows_shared;            /* solo: has had the lock since that became shared */
    TRI_ATOMIC(uint32_t) waiting; /* `senders` is not empty: set and cleared under the lock */

    /* seldom */
    _Alignas(64) TRI_ATOMIC(uint64_t) references; /* all senders together, each weak one, each permit, the receiver */
    TRI_ATOMIC(uint64_t) sender_count, weak_count;
    uint64_t weight;
    uint64_t rejected, dropped_newest, dropped_oldest, undelivered;
    struct tri_channel_block *first, *last, *spare;
    struct tr_channel_options options;
};

/* One time under the lock: whom to wake afterwards. */
struct tri_channel_turn {
    struct tri_wakes wakes;
};

static inline bool tri_channel_is_closed(struct tr_channel *channel)
{
    return tri_load(&channel->state, TRI_RELAXED) & TRI_CHANNEL_CLOSED;
}

static inline char *tri_channel_place(const struct tr_channel *channel, uint64_t position)
{
    return channel->ring + (size_t)((uint32_t)position & channel->mask) * channel->stride;
}

/* Sends, if the caller owns the lock and need not look further. `seat`: its own. False: nothing has happened. */
static inline __attribute__((always_inline)) bool tri_channel_send_fast(struct tr_channel *channel,
                                                                        struct tri_seat *seat, const void *message,
                                                                        uint32_t bytes)
{
    if (__builtin_expect(channel->send_bytes != bytes || !tri_bias_enter(&channel->lock, seat), 0))
        return false;
    uint64_t tail = tri_load(&channel->tail, TRI_RELAXED);
    bool sent = tail != channel->edge;
    if (__builtin_expect(sent, 1)) {
        tri_copy_short(tri_channel_place(channel, tail), message, bytes);
        tri_store(&channel->tail, tail + 1, TRI_RELEASE); /* [C1] */
    }
    tri_bias_leave(seat);
    return sent;
}

/* Solo: takes the message at the head; then the caller must look (below). False: there is none. */
static inline __attribute__((always_inline)) bool tri_channel_take_fast(struct tr_channel *channel, void *message,
                                                                        uint32_t bytes, bool is_short)
{
    uint64_t head = tri_load(&channel->head, TRI_RELAXED);
    if (__builtin_expect(head == channel->known, 0)) {
        channel->known = tri_load(&channel->tail, TRI_ACQUIRE); /* [C1] */
        if (head == channel->known)
            return false;
    }
    if (is_short)
        tri_copy_short(message, tri_channel_place(channel, head), bytes);
    else
        tri_copy(message, tri_channel_place(channel, head), bytes);
    tri_store(&channel->head, head + 1, TRI_RELEASE); /* [C2] */
    return true;
}

/* Where receivers lock: as send_fast. */
static inline __attribute__((always_inline)) bool tri_channel_receive_fast(struct tr_channel *channel,
                                                                           struct tri_seat *seat, void *message,
                                                                           uint32_t bytes)
{
    if (__builtin_expect(channel->send_bytes != bytes || !tri_bias_enter(&channel->lock, seat), 0))
        return false;
    uint64_t head = tri_load(&channel->head, TRI_RELAXED);
    bool taken = head != tri_load(&channel->tail, TRI_RELAXED) && tri_line_is_empty(&channel->senders);
    if (__builtin_expect(taken, 1)) {
        tri_copy_short(message, tri_channel_place(channel, head), bytes);
        tri_store(&channel->head, head + 1, TRI_RELEASE); /* [C2] for the looks without a lock */
    }
    tri_bias_leave(seat);
    return taken;
}

/* Solo, after a take: true if senders may wait, and are to be served. */
static inline __attribute__((always_inline)) bool tri_channel_looks(struct tr_channel *channel, struct tri_seat *seat)
{
    tri_fence_compiler();
    if (__builtin_expect(channel->knows_shared, 0))
        tri_fence(TRI_SEQ_CST);                                            /* [C3] */
    else if (__builtin_expect(!tri_bias_is_mine(&channel->lock, seat), 0)) /* [C3] */
        return true;
    return __builtin_expect(tri_load(&channel->waiting, TRI_RELAXED) != 0, 0); /* [C3] */
}

/* ---- channel.c: under the lock --------------------------------------------------------------------------------- */

static inline uint64_t tri_channel_stored(struct tr_channel *channel)
{
    return tri_load(&channel->tail, TRI_RELAXED) - tri_load(&channel->head, TRI_ACQUIRE); /* [C2] */
}

/* Places that are free. */
static inline uint32_t tri_channel_room(struct tr_channel *channel)
{
    uint64_t used = tri_channel_stored(channel) + channel->reserved;
    return used < channel->capacity ? (uint32_t)(channel->capacity - used) : 0;
}

/* Nobody may send any more, and no permit is left. */
static inline bool tri_channel_is_at_end(struct tr_channel *channel)
{
    return (tri_load(&channel->state, TRI_RELAXED) & (TRI_CHANNEL_CLOSED | TRI_CHANNEL_ENDED)) &&
           channel->reserved == 0;
}

/* No message, but there may yet be one. */
static inline bool tri_channel_has_nothing(struct tr_channel *channel)
{
    return tri_channel_stored(channel) == 0 && !tri_channel_is_at_end(channel);
}

static inline void tri_channel_lock(struct tr_channel *channel, struct tri_channel_turn *turn)
{
    turn->wakes.count = 0;
    tri_bias_lock(&channel->lock);
}

/* Sets the edge, unlocks, wakes. Whoever has no reference besides must not touch the channel afterwards. */
static inline void tri_channel_unlock(struct tr_channel *channel, struct tri_channel_turn *turn)
{
    uint32_t room = 0;
    if (tri_line_is_empty(&channel->receivers) && tri_line_is_empty(&channel->senders) &&
        !tri_channel_is_closed(channel))
        room = tri_channel_room(channel);
    channel->edge = tri_load(&channel->tail, TRI_RELAXED) + room;
    tri_bias_unlock(&channel->lock);
    tri_wakes_make(&turn->wakes);
}

/* Sends if there is room and nobody waits for it. Returns 0, -EAGAIN, -EPIPE, -ENOMEM. */
int tri_channel_put(struct tr_channel *channel, const void *message, uint64_t weight, struct tri_channel_turn *turn);
/* As put, by a permit: there is room. */
void tri_channel_put_reserved(struct tr_channel *channel, const void *message, struct tri_channel_turn *turn);
/* Takes the oldest message and lets those in who wait for its room. Returns 0, -EAGAIN, -EPIPE. */
int tri_channel_take(struct tr_channel *channel, void *message, struct tri_channel_turn *turn);
/* The message at the head, which there is, where receivers lock: nobody is served yet. */
void tri_channel_collect(struct tr_channel *channel, void *message);
/* Reserves if there is room and nobody waits for it. Returns 0, -EAGAIN, -EPIPE. */
int tri_channel_claim_room(struct tr_channel *channel, uint32_t count, struct tr_channel_permit *permit);
/* A case that sends or reserves: true if carry_out will not return -EAGAIN. */
bool tri_channel_admits(struct tr_channel *channel, struct tr_case *c);
/* Puts or claims, for a case. */
int tri_channel_carry_out(struct tr_channel *channel, struct tr_case *c, struct tri_channel_turn *turn);
/* Announces a sender that is about to be queued: from now on a receiver that makes room locks. */
void tri_channel_announce(struct tr_channel *channel);
/* Serves those who wait for room as far as there is some. */
void tri_channel_serve(struct tr_channel *channel, struct tri_channel_turn *turn);
/* If nothing will ever be received any more, tells those who wait to receive. */
void tri_channel_tell_end(struct tr_channel *channel, struct tri_channel_turn *turn);

/* ---- channel.c and channel_overflow.c: calls that never wait ---------------------------------------------------- */

/* The weight of a message: 0 without a byte limit. */
uint64_t tri_channel_weigh(const struct tr_channel *channel, const void *message);
/* A message that is never received: to the hook, and to `drop` unless it was rejected. Not under the lock. */
void tri_channel_bury(struct tr_channel *channel, void *message, enum tr_dead_reason reason);

/* Sends at once, or does as the policy says (channel_overflow.c). Returns 0, -EAGAIN, -EPIPE, -ENOBUFS, -ENOMEM. */
int tri_channel_send_now(struct tr_channel *channel, const void *message, uint64_t weight);
int tri_channel_receive_now(struct tr_channel *channel, void *message);
/* As send_now: a policy never waits. */
int tri_channel_reserve_now(struct tr_channel *channel, uint32_t count, struct tr_channel_permit *permit);
/* Serves those who wait for room: after a take that has seen some. Returns 0. */
int tri_channel_serve_now(struct tr_channel *channel);

/* ---- channel_wait.c -------------------------------------------------------------------------------------------- */

extern const struct tri_kind tri_channel_send_kind, tri_channel_receive_kind, tri_channel_reserve_kind;

/* As the public calls, after their checks and a try that was in vain. */
int tri_channel_send_waiting(struct tr_channel *channel, const void *message, uint64_t weight, tr_time deadline);
int tri_channel_receive_waiting(struct tr_channel *channel, void *message, tr_time deadline);

/* The case of a receive; of no kind, so that select refuses it, if the size is not that of the messages. */
struct tr_case tri_case_receive(struct tr_channel *channel, uint32_t bytes, void *message);

/* ---- channel_ends.c -------------------------------------------------------------------------------------------- */

static inline void tri_channel_ref(struct tr_channel *channel)
{
    tri_fetch_add(&channel->references, UINT64_C(1), TRI_RELAXED);
}
void tri_channel_unref(struct tr_channel *channel);

/* What a channel is made with. */
struct tri_channel_plan {
    const struct tr_type *type;
    uint32_t capacity; /* UINT32_MAX: unbounded */
    bool solo;         /* one receiver */
    const struct tr_channel_options *options;
};
/* With one sender and one receiver. Returns 0, -EINVAL, -ENOMEM. */
int tri_channel_make(struct tr_channel **out, const struct tri_channel_plan *plan);
/* From now on `state` is so, too (enum tri_channel_state): tells all who wait in vain. */
void tri_channel_end(struct tr_channel *channel, uint32_t state);
/* Buries what is left: nobody can add anything. */
void tri_channel_drain(struct tr_channel *channel);

#endif
