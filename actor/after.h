/* SPDX-License-Identifier: MIT */
/*
 * after.h: posts: messages that wait in a worker's wheel for their time.
 *
 * A post is two cache lines of type-stable memory. Its word holds generation and state, and a handle is {post, generation}.
 *
 *            create              fire                    sent
 *   FREE ------------> ARMED ------------> SENDING ----------------------> FREE (an interval: ARMED)
 *    |                 ^  |  |                |  \ full: queued for room      ^
 *    | create, from    |  |  | cancel,        |   +--> QUEUED ----------------+ served
 *    | elsewhere       |  |  | elsewhere      | served |   | cancel           |
 *    +--> POSTED ------+  |  +--> RECALLED    +--> SERVED  +--> LEAVING ------+ out of the queue, or SERVED after all
 *            | arrives    |        |  arrives, or the wheel
 *            +----------> |  +-----+---> FREE
 *             cancel      +--+ cancel, by the owner, or of a runtime that ends (ABANDONED: the wheel frees it)
 *
 * The owner is the worker whose wheel the post is in: it alone arms and fires. Others move the word, and what they have for
 * the owner (a new post, one to be taken out) they put on its list of posts and wake it. Each way out of a state is one
 * compare-and-swap, so that of fire, cancel, service and the end of the runtime exactly one decides what becomes of a
 * message. SENDING, LEAVING and SERVED last a few instructions; a canceller that meets them waits for what comes next. So
 * nothing of the user's runs meanwhile: of a message that was lost by policy the hook and drop functions are told once the post
 * has left SENDING, when they may cancel it. The owner sends in a pass, on the stack of whoever suspends; they get a task.
 *
 * A message that finds the mailbox full is queued there as a sender without a task, in a `ticket`: whoever makes room copies
 * it, under the mailbox's lock, and calls served(). An interval stays in the wheel meanwhile.
 *
 *   [AF1] word := ARMED again, release -> acquire of who cancels: `ticket`, which becomes `next`. What a post is made of goes
 *        with its handle, by whatever passes that on.
 *   [AF2] word := QUEUED release -> acquire of who serves or cancels: the ticket.
 *   [AF3] word := SERVED release -> acquire of the owner or canceller: the result in the ticket.
 *   [AF4] the list of posts: release push -> acquire exchange by the owner: the post's fields and word.
 *   [AF5] word := FREE: who frees has acquired what others wrote; the pool passes the post on.
 */
#ifndef TRI_AFTER_H
#define TRI_AFTER_H

#include "actor/scheduler.h"
#include <troupe/timer.h>

#define TRI_TIMER_ALARM 0u /* tri_timer.kind: of deadline.h */
#define TRI_TIMER_POST 1u

enum tri_post_state {
    TRI_POST_FREE,
    TRI_POST_POSTED,    /* on its way to its owner, to be armed */
    TRI_POST_ARMED,     /* in the owner's wheel */
    TRI_POST_SENDING,   /* being sent by its owner */
    TRI_POST_QUEUED,    /* waits for room in the target's mailbox */
    TRI_POST_LEAVING,   /* its canceller takes it out of there */
    TRI_POST_SERVED,    /* served while SENDING or LEAVING: who made it that goes on */
    TRI_POST_RECALLED,  /* cancelled, and on its way to its owner */
    TRI_POST_ABANDONED, /* cancelled; freed when it is next met */
};

#define TRI_POST_SHIFT 4
#define TRI_POST_INLINE 48u /* bytes of a message that lies in the post */

struct tri_ticket;

struct tri_post {
    struct tri_timer timer; /* of the owner */
    TRI_ATOMIC(uint64_t) word;
    struct tr_address target;
    int64_t period; /* 0: one shot */

    _Alignas(64) union {
        struct tri_post *next;     /* on its way to its owner; free */
        struct tri_ticket *ticket; /* QUEUED and later */
    };
    uint32_t bytes;
    TRI_ATOMIC(uint16_t) runtime, worker; /* the owner's indices */
    union {
        char message[TRI_POST_INLINE];
        void *block; /* a longer message */
    };
};
_Static_assert(sizeof(struct tri_post) == 128, "two cache lines");

extern struct tri_pool tri_post_pool;

static inline uint64_t tri_post_word(uint64_t generation, enum tri_post_state state)
{
    return generation << TRI_POST_SHIFT | (uint64_t)state;
}

static inline enum tri_post_state tri_post_state(uint64_t word)
{
    return (enum tri_post_state)(word & ((1u << TRI_POST_SHIFT) - 1));
}

/* The generation, to one who knows that it stands. */
static inline uint64_t tri_post_generation(struct tri_post *post)
{
    return tri_load(&post->word, TRI_RELAXED) >> TRI_POST_SHIFT;
}

/* Moves the word on from `from`. False: it was something else. */
static inline bool tri_post_move(struct tri_post *post, uint64_t generation, enum tri_post_state from,
                                 enum tri_post_state to)
{
    uint64_t word = tri_post_word(generation, from);
    return tri_cas(&post->word, &word, tri_post_word(generation, to), TRI_ACQ_REL, TRI_ACQUIRE); /* [AF1] [AF2] [AF3] */
}

static inline struct tri_cache *tri_post_cache(struct tri_worker *worker)
{
    return worker && !worker->no_caches ? &worker->posts_free : NULL;
}

/* The post, which is the caller's alone, goes back to the pool. `worker`: the caller's, or NULL. */
void tri_post_free(struct tri_worker *worker, struct tri_post *post);
/* Puts the post on the list of its owner, whose runtime does not end meanwhile. Thread: any. */
void tri_post_leave_with(struct tri_worker *worker, struct tri_post *post);
/* Takes a post that is LEAVING out of the mailbox's queue. False: it was served, and is SERVED. Thread: any. */
bool tri_post_leave_queue(struct tri_post *post);
/* Somebody is a few instructions away from the next state: the turn-th look was in vain. */
void tri_post_await(unsigned turn);

/* The timer of a post has gone off. Owner. */
void tri_post_fire(struct tri_worker *worker, struct tri_timer *timer);
/* Takes in what others have left for this worker: new posts and recalled ones. Owner. */
void tri_post_collect(struct tri_worker *worker);
/* The runtime ends, and with it a post that was in the wheel. Owner. */
void tri_post_flush(struct tri_worker *worker, struct tri_timer *timer);

#endif
