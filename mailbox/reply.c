/* SPDX-License-Identifier: MIT */
/*
 * reply.c: see reply.h for the states. The edges:
 *
 *   [R1] the mailbox's publication carries the opened slot to the receiver.
 *   [R2] claim CAS acquire    <- link's release of WAITING|LINKED: the replier sees the debtor.
 *   [R3] DONE release         -> acquire by the caller: answer and result are there, and the replier is through.
 *   [R4] abandon CAS:         passes nothing. What the caller wrote went with the token; it touches the slot no more.
 *   [R5] debts.lock:          the list, and a slot's links.
 *   [R7] debtor := NULL release -> acquire by the claimant, who then takes no lock: the debtor is through with the slot.
 *   [R8] answer_bytes release (open) -> acquire (send): who reads the size of a later call sees that call's generation,
 *        and says -ESRCH for its stale token, not -EINVAL.
 *   [R6] generations:         a word never repeats, so every CAS on it is also the check that the token is not stale.
 *
 * After the store of DONE the replier must not touch the slot: it takes the caller out of it first. The wake that
 * follows may come late, even to the next tenant of the caller's record, who takes it for a wake without cause.
 */
#include "mailbox/reply.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>

struct tri_pool tri_slot_pool = {
    .name = "slot",
    .object_bytes = sizeof(struct tri_slot),
    .link_offset = offsetof(struct tri_slot, after),
    .slab_objects = 1024,
};

/* The word of the slot once no debtor is in the middle of moving it. */
static uint64_t settled_word(struct tri_slot *slot)
{
    for (int i = 0;; i++) {
        uint64_t word = tri_load(&slot->word, TRI_RELAXED); /* only to be confirmed by a CAS, or awaited by [R3] */
        if (tri_slot_state_of(word) != TRI_SLOT_MOVING)
            return word;
        if (i < 100)
            tri_spin();
        else
            sched_yield(); /* the debtor's thread may have lost its processor */
    }
}

/* Takes the slot out of `debts`, if it is there: the debtor may have let go of it meanwhile. */
static void drop_link(struct tri_debts *debts, struct tri_slot *slot)
{
    if (slot->before)
        slot->before->after = slot->after;
    else
        debts->first = slot->after;
    if (slot->after)
        slot->after->before = slot->before;
    tri_store(&debts->count, tri_load(&debts->count, TRI_RELAXED) - 1, TRI_RELAXED);
    tri_store(&slot->debtor, NULL, TRI_RELEASE); /* [R7] the last access: whoever has claimed it may free it now */
}

/* By a replier that owns the slot by its claim. */
static void leave_debtor(struct tri_slot *slot)
{
    struct tri_debts *debts = tri_load(&slot->debtor, TRI_ACQUIRE); /* [R2] [R7] */
    if (!debts)
        return;
    tri_lock(&debts->lock);
    if (tri_load(&slot->debtor, TRI_RELAXED) == debts) /* [R5] */
        drop_link(debts, slot);
    tri_unlock(&debts->lock);
}

bool tri_reply_abandon(struct tri_cache *cache, struct tri_slot *slot)
{
    for (;;) {
        uint64_t word = settled_word(slot);
        bool linked = word & TRI_SLOT_LINKED;
        if (tri_slot_state_of(word) != TRI_SLOT_WAITING)
            return false;
        uint64_t next = (word & ~TRI_SLOT_STATE_MASK) | (linked ? TRI_SLOT_FILLING : TRI_SLOT_ABANDONED);
        if (!tri_cas(&slot->word, &word, next, TRI_ACQUIRE, TRI_RELAXED)) /* [R2] [R4] */
            continue;
        if (linked) { /* a debtor may keep it for ever: do not leave it there */
            leave_debtor(slot);
            tri_reply_free(cache, slot);
        }
        return true;
    }
}

/* Takes the right to resolve the slot. Returns WAITING, ABANDONED (late), or FREE: not ours. *linked as found. */
static inline enum tri_slot_state claim(struct tri_debt debt, bool *linked)
{
    for (;;) {
        uint64_t word = settled_word(debt.slot);
        enum tri_slot_state state = tri_slot_state_of(word);
        if (word >> TRI_SLOT_SHIFT != debt.generation || (state != TRI_SLOT_WAITING && state != TRI_SLOT_ABANDONED))
            return TRI_SLOT_FREE;
        *linked = word & TRI_SLOT_LINKED;
        uint64_t next = (word & ~TRI_SLOT_STATE_MASK) | TRI_SLOT_FILLING;
        if (tri_cas(&debt.slot->word, &word, next, TRI_ACQUIRE, TRI_RELAXED)) /* [R2] [R4] [R6] */
            return state;
    }
}

int tri_reply_send(struct tri_cache *cache, struct tri_debt debt, uint32_t bytes, const void *answer, int result,
                   struct tri_task *held)
{
    bool linked;
    if (!debt.slot)
        return -ESRCH;
    if (result == 0 && tri_load(&debt.slot->answer_bytes, TRI_ACQUIRE) != bytes && tri_reply_wanted(debt)) /* [R8] */
        return -EINVAL;
    enum tri_slot_state found = claim(debt, &linked);
    if (found == TRI_SLOT_FREE)
        return -ESRCH;
    if (linked)
        leave_debtor(debt.slot);
    if (found == TRI_SLOT_ABANDONED) {
        tri_reply_free(cache, debt.slot);
        return -ESRCH;
    }
    struct tri_task *caller = tri_reply_fill(debt, bytes, answer, result);
    if (caller != held)
        tri_wake(caller);
    return 0;
}

/* WAITING -> MOVING, so that nobody resolves the slot meanwhile. False if it is no longer wanted. */
static bool hold(struct tri_debt debt, uint64_t *word)
{
    *word = tri_load(&debt.slot->word, TRI_RELAXED);
    while (*word >> TRI_SLOT_SHIFT == debt.generation && tri_slot_state_of(*word) == TRI_SLOT_WAITING) {
        uint64_t next = (*word & ~TRI_SLOT_STATE_MASK) | TRI_SLOT_MOVING;
        if (tri_cas(&debt.slot->word, word, next, TRI_RELAXED, TRI_RELAXED)) /* [R6] */
            return true;
    }
    return false;
}

bool tri_debts_link(struct tri_debts *debts, struct tri_cache *cache, struct tri_debt debt)
{
    uint64_t word;
    struct tri_slot *slot = debt.slot;
    tri_lock(&debts->lock);
    bool held = hold(debt, &word);
    if (held) {
        slot->before = NULL;
        slot->after = debts->first;
        if (slot->after)
            slot->after->before = slot;
        debts->first = slot;
        tri_store(&slot->debtor, debts, TRI_RELAXED);
        tri_store(&debts->count, tri_load(&debts->count, TRI_RELAXED) + 1, TRI_RELAXED);
        tri_store(&slot->word, tri_slot_word(debt.generation, TRI_SLOT_WAITING) | TRI_SLOT_LINKED,
                  TRI_RELEASE); /* [R2] */
    }
    tri_unlock(&debts->lock);
    if (!held) /* abandoned: this frees it; answered by somebody else: this does nothing */
        tri_reply_send(cache, debt, 0, NULL, -EPIPE, NULL);
    return held;
}

bool tri_debts_unlink(struct tri_debts *debts, struct tri_debt debt)
{
    uint64_t word;
    tri_lock(&debts->lock);
    bool mine = tri_load(&debt.slot->debtor, TRI_RELAXED) == debts && hold(debt, &word);
    if (mine) {
        drop_link(debts, debt.slot);
        tri_store(&debt.slot->word, tri_slot_word(debt.generation, TRI_SLOT_WAITING), TRI_RELEASE); /* [R2] */
    }
    tri_unlock(&debts->lock);
    return mine;
}

void tri_debts_resolve(struct tri_debts *debts, struct tri_cache *cache, int result)
{
    for (;;) {
        tri_lock(&debts->lock);
        struct tri_slot *slot = debts->first;
        bool linked = false;
        enum tri_slot_state found = TRI_SLOT_FREE;
        struct tri_debt debt = { slot, 0 };
        if (slot) {
            debt.generation = tri_load(&slot->word, TRI_RELAXED) >> TRI_SLOT_SHIFT;
            found = claim(debt, &linked); /* FREE: a replier has it and will find that we have let go */
            drop_link(debts, slot);
        }
        tri_unlock(&debts->lock);
        if (!slot)
            return;
        if (found == TRI_SLOT_WAITING)
            tri_wake(tri_reply_fill(debt, 0, NULL, result));
        else if (found == TRI_SLOT_ABANDONED)
            tri_reply_free(cache, slot);
    }
}
