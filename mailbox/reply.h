/* SPDX-License-Identifier: MIT */
/*
 * reply.h: reply slots, the oneshots behind tr_call, and the list of answers that an actor owes.
 *
 * A slot lies in type-stable memory and is taken for each call. Its word holds generation and state; a token is
 * {slot, generation}, copied freely, and only the first reply gets through.
 *
 *              open                claim (replier)            finish
 *   FREE ----------------> WAITING ----------------> FILLING ----------> DONE ----> FREE (caller takes the result)
 *                           |   ^ link, unlink
 *                           |   v (debtor)
 *                           |  MOVING                      claim (late replier, or the debtor)
 *                           +----------------> ABANDONED -----------------------------> FREE (replier's side)
 *                            give up (caller; one that is LINKED it takes out of the list, and frees, itself)
 *
 * LINKED says that the slot is in its debtor's owed list. A request that is still queued, or in the hand of its
 * receiver, is not linked: the mailbox or the hand is what will resolve it. So exactly one of these holds every open
 * slot, and each resolves what it holds at its end: a caller never hangs on the dead.
 *
 * The answer is copied straight to where the caller wants it. That is its stack, which it cannot leave: a caller that
 * finds FILLING waits for DONE.
 */
#ifndef TRI_REPLY_H
#define TRI_REPLY_H

#include "mailbox/atomic.h"
#include "mailbox/mailbox.h"
#include "mailbox/pool.h"
#include "mailbox/waiter.h"

enum tri_slot_state {
    TRI_SLOT_FREE,
    TRI_SLOT_WAITING,
    TRI_SLOT_MOVING, /* for a few instructions, while the debtor links or unlinks it */
    TRI_SLOT_FILLING,
    TRI_SLOT_DONE,
    TRI_SLOT_ABANDONED,
};

#define TRI_SLOT_STATE_MASK UINT64_C(7)
#define TRI_SLOT_LINKED UINT64_C(8)
#define TRI_SLOT_SHIFT 4

/* What an actor owes: requests received, neither answered nor in hand. Lies in the task record. */
struct tri_debts {
    struct tri_slot *first;
    struct tri_lock lock;
    TRI_ATOMIC(uint32_t) count;
};

struct tri_slot {
    TRI_ATOMIC(uint64_t) word; /* generation << TRI_SLOT_SHIFT | LINKED | state */
    void *answer;
    TRI_ATOMIC(struct tri_task *) caller; /* this and the next: also looked at by strangers, see actor/cycle.h */
    TRI_ATOMIC(uint64_t) owed_by;
    TRI_ATOMIC(struct tri_debts *) debtor;
    struct tri_slot *before, *after; /* in the debtor's list, under its lock; `after` also links free slots */
    TRI_ATOMIC(uint32_t) answer_bytes;
    int32_t result;
};

extern struct tri_pool tri_slot_pool;

static inline uint64_t tri_slot_word(uint64_t generation, enum tri_slot_state state)
{
    return generation << TRI_SLOT_SHIFT | (uint64_t)state;
}

static inline enum tri_slot_state tri_slot_state_of(uint64_t word)
{
    return (enum tri_slot_state)(word & TRI_SLOT_STATE_MASK);
}

/* Opens a slot for one call of `caller`. The debt is to be published by the mailbox that takes it. slot NULL: no memory. */
static inline struct tri_debt tri_reply_open(struct tri_cache *cache, struct tri_task *caller, void *answer,
                                             uint32_t answer_bytes)
{
    struct tri_slot *slot = tri_pool_take(&tri_slot_pool, cache);
    if (!slot)
        return (struct tri_debt){ NULL, 0 };
    uint64_t generation = (tri_load(&slot->word, TRI_RELAXED) >> TRI_SLOT_SHIFT) + 1;
    slot->answer = answer;
    tri_store(&slot->caller, caller, TRI_RELAXED);
    tri_store(&slot->answer_bytes, answer_bytes, TRI_RELEASE);                        /* [R8] */
    tri_store(&slot->word, tri_slot_word(generation, TRI_SLOT_WAITING), TRI_RELAXED); /* published by [R1] */
    return (struct tri_debt){ slot, generation };
}

/* The slot of nobody's debt goes back to the pool: untaken, answered, or abandoned and claimed. */
static inline void tri_reply_free(struct tri_cache *cache, struct tri_slot *slot)
{
    uint64_t generation = tri_load(&slot->word, TRI_RELAXED) >> TRI_SLOT_SHIFT;
    tri_store(&slot->word, tri_slot_word(generation, TRI_SLOT_FREE), TRI_RELAXED);
    tri_pool_give(&tri_slot_pool, cache, slot);
}

/* True when the answer is there: slot->result holds, and the slot is the caller's to free. */
static inline bool tri_reply_done(struct tri_slot *slot)
{
    return tri_slot_state_of(tri_load(&slot->word, TRI_ACQUIRE)) == TRI_SLOT_DONE; /* [R3] */
}

/*
 * The caller gives up. True: done; the slot belongs to the mailbox or the hand that holds the request, or has been taken
 * out of the owed list and freed. False: an answer is being filled in or there: wait for DONE.
 */
bool tri_reply_abandon(struct tri_cache *cache, struct tri_slot *slot);

/*
 * Answers: copies `bytes` (0: none) and the result, wakes the caller unless it is `held`. Returns 0, -ESRCH (answered,
 * or nobody waits), -EINVAL (another size than the caller's, nothing happened). Thread: any.
 */
int tri_reply_send(struct tri_cache *cache, struct tri_debt debt, uint32_t bytes, const void *answer, int result,
                   struct tri_task *held);

/* Fills in the answer of a claimed, unlinked slot and lets the caller go, who is returned: to be woken, unless it is held. */
static inline __attribute__((always_inline)) struct tri_task *tri_reply_fill(struct tri_debt debt, uint32_t bytes,
                                                                             const void *answer, int result)
{
    struct tri_slot *slot = debt.slot;
    struct tri_task *caller = tri_load(&slot->caller, TRI_RELAXED);
    tri_copy(slot->answer, answer, bytes);
    slot->result = result;
    tri_store(&slot->word, tri_slot_word(debt.generation, TRI_SLOT_DONE), TRI_RELEASE); /* [R3] */
    return caller;
}

/*
 * tri_reply_send for the common case, that the caller waits, the slot is in hand and the answer short: then tri_reply_fill is to
 * follow. False: nothing happened, take the long way.
 */
static inline bool tri_reply_claim(struct tri_debt debt, uint32_t bytes)
{
    uint64_t word = tri_slot_word(debt.generation, TRI_SLOT_WAITING);
    uint64_t next = tri_slot_word(debt.generation, TRI_SLOT_FILLING);
    return debt.slot && tri_is_short(bytes) && tri_load(&debt.slot->answer_bytes, TRI_RELAXED) == bytes &&
           tri_cas(&debt.slot->word, &word, next, TRI_ACQUIRE, TRI_RELAXED); /* [R2] [R6] */
}

/* True while the caller waits. Thread: any. */
static inline bool tri_reply_wanted(struct tri_debt debt)
{
    if (!debt.slot)
        return false;
    uint64_t word = tri_load(&debt.slot->word, TRI_RELAXED) & ~TRI_SLOT_LINKED;
    return word == tri_slot_word(debt.generation, TRI_SLOT_WAITING) ||
           word == tri_slot_word(debt.generation, TRI_SLOT_MOVING);
}

/* True once the caller has given up; false for an answered or recycled slot. Thread: any. */
static inline bool tri_reply_expired(struct tri_debt debt)
{
    return tri_load(&debt.slot->word, TRI_RELAXED) == tri_slot_word(debt.generation, TRI_SLOT_ABANDONED);
}

/* Into the owed list; false if nobody waits any more (the slot has been freed if need be). Thread: the debtor. */
bool tri_debts_link(struct tri_debts *debts, struct tri_cache *cache, struct tri_debt debt);
/* Out of it, the caller still waiting; false if it was not there any more. Thread: the debtor. */
bool tri_debts_unlink(struct tri_debts *debts, struct tri_debt debt);
/* Resolves everything owed with `result`. Thread: the debtor, at its end. */
void tri_debts_resolve(struct tri_debts *debts, struct tri_cache *cache, int result);

#endif
