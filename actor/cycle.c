/* SPDX-License-Identifier: MIT */
/*
 * cycle.c: see cycle.h.
 *
 *   [CY1] owed_by release (aim) -> acquire by who follows it: the slot's caller of that generation, and all that the caller did
 *        before it began to wait. A move is a read-modify-write, and passes that on. So it is the slot that tells: the word in
 *        the record is a hint where to look, of any age, and shows no wait that is over (the slot's generation) or another's (its caller).
 *   [CY2] an actor writes down its wait, and then looks at those of others; a sequentially consistent fence lies between. Of those who
 *        close a cycle the last one's fence comes after all the others', and it sees the whole. One that is held has no
 *        fence: whom it waits for runs after it and has one before it waits itself. Who has moved a debt has one as well.
 *   [CY3] finding: who was found to wait for itself is struck out before the lock is given, and whoever looks under it
 *        sees that. So one of a ring is told, and not a second one who has been let go by the first.
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

/* Follows the waits of `self` until it is met again. Returns how many there are in the cycle, into `waits` unless that is NULL; 0: none. */
static unsigned follow(struct tri_task *self, struct wait *waits)
{
    struct wait wait;
    struct tri_task *who = self;
    for (unsigned count = 0; count < MOST;) {
        if (!(who = look(who, &wait)))
            return 0;
        if (waits)
            waits[count] = wait;
        count++;
        if (who == self)
            return count;
    }
    return 0;
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

/* In as many lines as it takes. */
static void report(const struct wait *waits, unsigned count)
{
    char text[512], label[TRI_NAME_BYTES];
    int length = snprintf(text, sizeof text, "a wait that would never end is refused with -EDEADLK: ");
    for (unsigned i = 0; i <= count; i++) {
        if (length > (int)(sizeof text - TRI_NAME_BYTES - sizeof "'', which waits for ")) {
            tr_log(TR_LOG_WARNING, "%s", text);
            length = snprintf(text, sizeof text, "... ");
        }
        length += snprintf(text + length, sizeof text - (size_t)length, "'%s'%s",
                           tri_task_copy_label(waits[i % count].who, label),
                           i == count ? ""
                           : i == 0   ? " waits for "
                                      : ", which waits for ");
    }
    tr_log(TR_LOG_WARNING, "%s", text);
}

/* Of those who find a ring at once the first withdraws its wait, so that there is none for the others ([CY3]). */
static struct tri_lock finding;

/*
 * Apart, for the room that it takes: a ring is rare. Whether `self`, which waits for that, would wait for ever; if so it is struck
 * out, and the ring reported.
 */
static __attribute__((noinline)) bool withdraw(struct tri_task *self, struct tri_debt debt)
{
    struct wait waits[MOST];
    tri_lock(&finding);
    unsigned count = find(self, waits);
    bool found = count > 0 && waits[0].slot == debt.slot && waits[0].word >> TRI_SLOT_SHIFT == debt.generation;
    if (found)
        tri_debtor_set(debt, tri_debtor_word(debt, NULL)); /* [CY3] */
    tri_unlock(&finding);
    if (found)
        report(waits, count);
    return found;
}

int tri_cycle_enter(struct tri_slot *slot)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_task *self = worker->current;
    if (!tri_cycle_note(worker, slot))
        return 0;
    tri_fence(TRI_SEQ_CST); /* [CY2] */
    struct tri_debt debt = { slot, tri_load(&slot->word, TRI_RELAXED) >> TRI_SLOT_SHIFT };
    return follow(self, NULL) > 0 && withdraw(self, debt) ? -EDEADLK : 0;
}

/* By who has lifted it. False if the next one has done something with it meanwhile, or answered. */
static bool settle(struct tri_debt debt, struct tri_task *self, uint64_t next)
{
    uint64_t owed_by = tri_debtor_word(debt, self) | TRI_DEBTOR_MOVING;
    return tri_cas(&debt.slot->owed_by, &owed_by, next, TRI_RELAXED, TRI_RELAXED); /* [CY1] */
}

void tri_cycle_return(struct tri_debt debt, struct tri_task *self)
{
    settle(debt, self, tri_debtor_word(debt, self));
}

void tri_cycle_arrive(struct tri_debt debt, struct tri_task *self, struct tri_task *to)
{
    if (!settle(debt, self, tri_debtor_sent(debt, to)))
        return;
    tri_fence(TRI_SEQ_CST); /* [CY2] */
    struct tri_task *caller =
        tri_load(&debt.slot->caller, TRI_RELAXED); /* perhaps of a later call: that is not struck out */
    if (follow(caller, NULL) == 0 || !withdraw(caller, debt))
        return;
    struct tri_worker *worker = tri_worker_here();
    tri_reply_send(tri_slot_cache(worker), debt, 0, NULL, -EDEADLK, worker->held);
}
