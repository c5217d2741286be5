/* SPDX-License-Identifier: MIT */
/*
 * cycle.c: see cycle.h.
 *
 *   [CY1] owed_by release (aim) -> acquire by who follows it: the slot's caller of that generation, and all that the caller did
 *        before it began to wait. A move is a read-modify-write, and passes that on. So it is the slot that tells: the word in
 *        the record is a hint where to look, of any age, and shows no wait that is over (the slot's generation) or another's (its caller).
 *   [CY2] an actor writes down its wait, and then looks at those of others; a sequentially consistent fence lies between. Of those who
 *        close a cycle the last one's fence comes after all the others', and it sees the whole. One that is held has no
 *        fence: whom it waits for runs after it and has one before it waits itself.
 *
 * No false alarm. A chain is followed twice, and counts if all was as before. Say A waits for B, as read at first, and B for
 * C: what B had done before it began that wait is seen in the second round ([CY1]). So if A still waits then, B has begun to wait
 * without having answered A, and cannot do so before its own wait ends; and so on round the cycle. From without it can be
 * broken, by a cancellation or a stop, but then it was one.
 *
 * For room it is the same, but for room that B has made and granted to nobody yet, or that another has granted to A: between the
 * rounds it is granted, under the lock of B's mailbox, which shows what was granted before ([M6] of mailbox.c).
 *
 * Nothing is missed. A debt may move to one who waits for its caller: who has moved it looks, when it has said so, on behalf
 * of the caller, who is told by way of an answer.
 */
#include "actor/cycle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MOST 64 /* actors in a cycle; a longer one is not found */

/* A wait, as it was seen. */
struct wait {
    struct tri_task *who;
    struct tri_slot *slot;
    uint64_t word, owed_by;
};

/* Whom `who` waits for without end, for sure; NULL: nobody. */
static struct tri_task *look(struct tri_task *who, struct wait *wait)
{
    tr_time deadline = tri_load(&who->deadline, TRI_RELAXED); /* [CY2], else a hint */
    if (deadline <= TRI_ENDLESS || deadline == TR_FOREVER)
        return NULL;
    struct tri_slot *slot = (struct tri_slot *)(uintptr_t)(TR_FOREVER - deadline);
    uint64_t owed_by = tri_load(&slot->owed_by, TRI_ACQUIRE); /* [CY1] */
    bool its = tri_load(&slot->caller, TRI_RELAXED) == who;
    uint64_t word = tri_load(&slot->word, TRI_RELAXED); /* [CY1] for the round before */
    struct tri_debt debt = { slot, word >> TRI_SLOT_SHIFT };
    *wait = (struct wait){ who, slot, word & ~TRI_SLOT_LINKED, owed_by };
    if (!its || tri_slot_state_of(word) != TRI_SLOT_WAITING || !tri_debtor_watched(debt, owed_by))
        return NULL;
    return (struct tri_task *)(uintptr_t)(owed_by & TRI_DEBTOR_MASK & ~TRI_DEBTOR_MOVING);
}

static bool stands(const struct wait *seen)
{
    struct wait now;
    return look(seen->who, &now) && now.slot == seen->slot && now.word == seen->word && now.owed_by == seen->owed_by;
}

/* Follows the waits of `self` until it is met again. Returns how many there are in the cycle; 0: there is none. */
static unsigned follow(struct tri_task *self, struct wait *waits)
{
    unsigned count = 0;
    struct tri_task *who = self;
    do {
        if (count == MOST || !(who = look(who, &waits[count])))
            return 0;
        count++;
    } while (who != self);
    return count;
}

static unsigned find(struct tri_task *self, struct wait *waits)
{
    for (;;) {
        unsigned count = follow(self, waits), standing = 0;
        for (unsigned i = 0; i < count; i++)
            tri_mailbox_grant(&waits[i].who->mailbox, &waits[i].who->consumer, tri_storage_cache(tri_worker_here()));
        while (standing < count && stands(&waits[standing]))
            standing++;
        if (standing == count)
            return count;
        /* One of them has gone on, so that there was no cycle then; but perhaps there is another now. */
    }
}

static void report(const struct wait *waits, unsigned count)
{
    char text[512], label[TRI_NAME_BYTES];
    size_t length = 0;
    for (unsigned i = 0; i < count && length < sizeof text; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "'%s'%s waits for ",
                                   tri_task_copy_label(waits[i].who, label), i > 0 ? ", which" : "");
    if (length >= sizeof text)
        memcpy(text + sizeof text - sizeof "... ", "... ", sizeof "... ");
    tr_log(TR_LOG_WARNING, "a wait that would never end is refused with -EDEADLK: %s'%s'", text,
           tri_task_copy_label(waits[0].who, label));
}

int tri_cycle_enter(struct tri_slot *slot)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_task *self = worker->current;
    struct wait waits[MOST];
    tri_cycle_note(worker, slot);
    if (tri_load(&self->deadline, TRI_RELAXED) != tri_endless(slot))
        return 0;
    tri_fence(TRI_SEQ_CST); /* [CY2] */
    unsigned count = find(self, waits);
    if (count == 0)
        return 0;
    report(waits, count);
    return -EDEADLK;
}

/* By who has the debt. */
static bool set_debtor(struct tri_debt debt, uint64_t next)
{
    uint64_t owed_by = tri_load(&debt.slot->owed_by, TRI_RELAXED);
    while (tri_debtor_watched(debt, owed_by)) /* the last debtor may be about to say that it has arrived */
        if (tri_cas(&debt.slot->owed_by, &owed_by, next, TRI_RELAXED, TRI_RELAXED)) /* [CY1] */
            return true;
    return false;
}

static uint64_t moving_word(struct tri_debt debt, struct tri_task *self)
{
    return tri_debtor_word(debt, NULL) | (uintptr_t)self | TRI_DEBTOR_MOVING;
}

/* By who has lifted it. False if the next one has done something with it meanwhile, or answered. */
static bool settle(struct tri_debt debt, struct tri_task *self, struct tri_task *debtor)
{
    uint64_t owed_by = moving_word(debt, self);
    return tri_cas(&debt.slot->owed_by, &owed_by, tri_debtor_word(debt, debtor), TRI_RELAXED, TRI_RELAXED); /* [CY1] */
}

bool tri_cycle_lift_slow(struct tri_debt debt, struct tri_task *self)
{
    return set_debtor(debt, moving_word(debt, self));
}

void tri_cycle_return(struct tri_debt debt, struct tri_task *self)
{
    settle(debt, self, self);
}

void tri_cycle_arrive(struct tri_debt debt, struct tri_task *self, struct tri_task *to)
{
    struct wait waits[MOST];
    if (!settle(debt, self, to))
        return;
    tri_fence(TRI_SEQ_CST); /* [CY2] */
    unsigned count = find(tri_load(&debt.slot->caller, TRI_RELAXED), waits);
    struct tri_worker *worker = tri_worker_here();
    if (count > 0 && tri_reply_send(tri_slot_cache(worker), debt, 0, NULL, -EDEADLK, worker->held) == 0)
        report(waits, count);
}

void tri_cycle_forget(struct tri_debt debt)
{
    if (debt.slot)
        set_debtor(debt, tri_debtor_word(debt, NULL));
}
