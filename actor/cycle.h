/* SPDX-License-Identifier: MIT */
/*
 * cycle.h: calls and waits for room that would wait for themselves are refused.
 *
 * An actor that waits without end, for an answer or for room, waits for one other actor: the one that owes the answer, or
 * has the mailbox. It writes that down, and goes from there to the one whom that actor waits for, and so on. If it comes
 * back to itself, none of them can ever go on, and the wait returns -EDEADLK.
 *
 *   task.deadline --> slot --> debtor (task) --deadline--> slot --> ...      cycle.c says why nothing needs to be locked
 *
 * What is written down is a slot: of a call its own, of a send one that nobody replies to. Its generations tell one wait
 * from another. Waits with a deadline or in a scope with one end by themselves, and are not written down. Nor does anybody
 * wait for the debtor of a token that was deferred: others may have a copy, and answer.
 */
#ifndef TRI_CYCLE_H
#define TRI_CYCLE_H

#include "actor/scheduler.h"

/*
 * The debtor in a slot is the address of a record below the low bits of the slot's generation, and holds for that alone.
 *
 *   none ---- aim ----> known <---- take ---- shared       aim and arrive make it shared, if the mailbox is
 *     ^                   |  ^------- arrive, return ----+
 *     |                   +---------- lift ---------> moving <--+ lift by the next debtor, who has it already, while the
 *     +----- forget ------+-----------------------------+ ------+ last one is to say so
 *
 * none    others may answer, or nobody waits without end
 * shared  it lies in a mailbox where other senders may drop it to make room
 * moving  it is being sent on, by the one whose address that is, and who owes it as long as it waits for room; once it was sent
 *         it does not wait before it says so
 */
#define TRI_DEBTOR_BITS 48
#define TRI_DEBTOR_MASK ((UINT64_C(1) << TRI_DEBTOR_BITS) - 1)
#define TRI_DEBTOR_MOVING UINT64_C(1) /* without an address: shared */

static inline uint64_t tri_debtor_word(struct tri_debt debt, struct tri_task *debtor)
{
    return debt.generation << TRI_DEBTOR_BITS | (uintptr_t)debtor;
}

/* Of one to whose mailbox it was sent. */
static inline uint64_t tri_debtor_sent(struct tri_debt debt, struct tri_task *target)
{
    return tri_mailbox_is_shared(&target->consumer) ? tri_debtor_word(debt, NULL) | TRI_DEBTOR_MOVING
                                                    : tri_debtor_word(debt, target);
}

/* Known, shared or moving. */
static inline bool tri_debtor_watched(struct tri_debt debt, uint64_t owed_by)
{
    return owed_by >> TRI_DEBTOR_BITS == (debt.generation & 0xffff) && (owed_by & TRI_DEBTOR_MASK);
}

/* Whether somebody may look who owes it. Thread: who has the debt: only its caller, before it was sent, can make it so. */
static inline bool tri_cycle_watches(struct tri_debt debt)
{
    return tri_debtor_watched(debt, tri_load(&debt.slot->owed_by, TRI_RELAXED)); /* [CY1] */
}

/* By who has the debt. */
static inline bool tri_debtor_set(struct tri_debt debt, uint64_t next)
{
    uint64_t owed_by = tri_load(&debt.slot->owed_by, TRI_RELAXED);
    while (tri_debtor_watched(debt, owed_by)) /* the last debtor may be about to say that it has arrived */
        if (tri_cas(&debt.slot->owed_by, &owed_by, next, TRI_RELAXED, TRI_RELAXED)) /* [CY1] */
            return true;
    return false;
}

/* What such an actor has for a deadline. */
static inline tr_time tri_endless(struct tri_slot *slot)
{
    return TR_FOREVER - (tr_time)(uintptr_t)slot;
}

/* Where a request is sent that is waited for without end: before it is sent. */
static inline void tri_cycle_aim(struct tri_debt debt, struct tri_task *target)
{
    tri_store(&debt.slot->owed_by, tri_debtor_sent(debt, target), TRI_RELEASE); /* [CY1] */
}

/* Whether such a wait of `task` is to be written down, as others may wait for it; unless a scope has a deadline. */
static inline bool tri_cycle_concerns(struct tri_task *task, tr_time deadline)
{
    return deadline > TRI_ENDLESS && tri_task_is(task, TRI_TASK_ACTOR);
}

static inline bool tri_cycle_unbounded(struct tri_worker *worker)
{
    return !worker->stack->scope || tri_bounded(worker, TR_FOREVER) > TRI_ENDLESS;
}

/*
 * The running task is about to wait for what `slot` stands for, without end; or is held, which is as good. False, and nothing
 * done, in a scope with a deadline. Until tri_cycle_leave.
 */
static inline bool tri_cycle_note(struct tri_worker *worker, struct tri_slot *slot)
{
    bool unbounded = tri_cycle_unbounded(worker);
    if (unbounded)
        tri_store(&worker->current->deadline, tri_endless(slot), TRI_RELAXED); /* [CY2] */
    return unbounded;
}

/* As tri_park_task, for such a wait: what is written down stays. */
static inline __attribute__((always_inline)) int tri_cycle_park(struct tri_worker *worker, enum tri_wait on)
{
    struct tri_task *self = worker->current;
    if (!tri_cycle_unbounded(worker))
        return tri_park_task(worker, TR_FOREVER, on);
    if (tri_worker_cancelled(worker))
        return -ECANCELED;
    if (tri_park_consume(&self->park))
        return 0;
    tri_store(&self->wait, (uint8_t)on, TRI_RELAXED);
    worker->stack->since = worker->now;
    tri_suspend(worker, TRI_HOOK_PARK);
    return 0;
}

/* It is held while `target` runs, the request in its hand. */
static inline void tri_cycle_hold(struct tri_worker *worker, struct tri_debt debt, struct tri_task *target)
{
    tri_store(&debt.slot->owed_by, tri_debtor_word(debt, target), TRI_RELEASE); /* [CY1] */
    tri_cycle_note(worker, debt.slot);
}

static inline void tri_cycle_leave(struct tri_task *self)
{
    tri_store(&self->deadline, TR_FOREVER, TRI_RELAXED); /* a hint, as ever: see [CY1] */
}

/* What stands for a wait for room without end: a slot that nobody answers. NULL: no memory, then nobody looks. */
static inline struct tri_slot *tri_cycle_open(struct tri_worker *worker, struct tri_task *target)
{
    struct tri_debt wait = tri_reply_open(tri_slot_cache(worker), worker->current, NULL, 0);
    if (wait.slot)
        tri_cycle_aim(wait, target);
    return wait.slot;
}

static inline void tri_cycle_close(struct tri_worker *worker, struct tri_slot *wait)
{
    tri_cycle_leave(worker->current);
    tri_reply_free(tri_slot_cache(worker), wait);
}

/*
 * As tri_cycle_note, and looks. Returns 0, or -EDEADLK if the wait would never end: that is logged, with all who are in it, and
 * the wait is not written down any more.
 */
int tri_cycle_enter(struct tri_slot *slot);

/* The debtor is about to send the debt on. False: nobody looks who owes it. Else one of the two below follows. */
static inline bool tri_cycle_lift(struct tri_debt debt, struct tri_task *self)
{
    return tri_debtor_set(debt, tri_debtor_word(debt, self) | TRI_DEBTOR_MOVING);
}

/* It was sent on, and may be answered by now. If its caller waits for itself since then, it is told. */
void tri_cycle_arrive(struct tri_debt debt, struct tri_task *self, struct tri_task *to);
/* It was not. */
void tri_cycle_return(struct tri_debt debt, struct tri_task *self);

/* It was taken out of a shared mailbox. */
static inline void tri_cycle_take(struct tri_debt debt, struct tri_task *self)
{
    if (debt.slot)
        tri_debtor_set(debt, tri_debtor_word(debt, self));
}

/* Others may answer. */
static inline void tri_cycle_forget(struct tri_debt debt)
{
    tri_debtor_set(debt, tri_debtor_word(debt, NULL));
}

#endif
