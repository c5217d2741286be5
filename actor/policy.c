/* SPDX-License-Identifier: MIT */
/*
 * policy.c: see policy.h. Neither the hook nor a drop function is ever called under the lock. Who sends has the message that is
 * lost on its stack, which takes no memory; for a timer, which has no stack of its own, it is copied to the heap.
 */
#include "actor/policy.h"
#include "actor/cycle.h"
#include "actor/receive.h"
#include "mailbox/dead_letter.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define SPINS 100

bool tri_policy_make(struct tri_cold *cold)
{
    struct tri_policy *made = tri_pool_take(&tri_node_pool, tri_node_cache(tri_worker_here()));
    if (!made)
        return false;
    *made = (struct tri_policy){ .drop = cold->drop };
    cold->policy = made;
    cold->has_policy = true;
    return true;
}

/* ---- losses --------------------------------------------------------------------------------------------------- */

_Static_assert(sizeof(struct tri_loss) % 64 == 0, "the message behind it is aligned");

static struct tri_loss *loss_new(uint32_t bytes)
{
    struct tri_loss *loss = aligned_alloc(64, (sizeof *loss + bytes + 63) / 64 * 64);
    if (loss)
        loss->message = loss + 1;
    return loss;
}

/* Under the lock: the actor may be gone once it is free. */
static void note(struct tri_task *target, enum tri_fate fate, struct tri_loss *loss)
{
    struct tri_policy *policy = tri_load(&target->cold, TRI_RELAXED)->policy;
    policy->rejected += fate == TRI_FATE_REJECTED;
    policy->dropped_newest += fate == TRI_FATE_NEWEST;
    policy->dropped_oldest += fate == TRI_FATE_OLDEST;
    loss->drop = fate == TRI_FATE_REJECTED ? NULL : policy->drop;
    snprintf(loss->name, sizeof loss->name, "%s", tri_task_label(target));
}

/* The caller comes first: what a drop function replies does not count any more. */
static void lose(const struct tri_loss *loss)
{
    struct tri_debt debt = loss->debt;
    struct tr_dead_letter letter = { loss->name, loss->reason, loss->bytes, loss->message };
    if (debt.slot)
        tri_reply_send(tri_slot_cache(tri_worker_here()), debt, 0, NULL, -ENOBUFS, NULL);
    tri_dead_letter(&letter);
    if (loss->drop)
        loss->drop(loss->message);
}

void tri_losses_tell(struct tri_loss *losses)
{
    while (losses) {
        struct tri_loss *next = losses->next;
        lose(losses);
        free(losses);
        losses = next;
    }
}

/* ---- sending -------------------------------------------------------------------------------------------------- */

/*
 * The fate of one message; never TRI_FATE_BUSY. *loss, if there is one, is complete but for the message of a rejected letter,
 * which is still its sender's. *result is that of the send, unless it was the oldest message that was lost.
 */
static enum tri_fate decide(struct tri_task *target, const struct tri_mailbox_ref *ref, const struct tri_letter *letter,
                            struct tri_loss *loss, int *result, bool *schedule)
{
    static const enum tr_dead_reason reasons[] = {
        [TRI_FATE_REJECTED] = TR_DEAD_REJECTED,
        [TRI_FATE_NEWEST] = TR_DEAD_DROPPED_NEWEST,
        [TRI_FATE_OLDEST] = TR_DEAD_DROPPED_OLDEST,
    };
    struct tri_storage_cache *cache = tri_storage_cache(tri_worker_here());
    for (int turns = 0;;) {
        struct tri_debt debt = { NULL, 0 };
        tri_lock(&ref->mailbox->lock);
        enum tri_fate fate = tri_mailbox_send_by_policy(ref, cache, letter, loss->message, &debt, result, schedule);
        if (fate == TRI_FATE_REJECTED || fate == TRI_FATE_NEWEST || fate == TRI_FATE_OLDEST)
            note(target, fate, loss);
        tri_unlock(&ref->mailbox->lock);
        if (fate == TRI_FATE_DECIDED)
            return fate;
        if (fate == TRI_FATE_BUSY) {
            if (++turns < SPINS)
                tri_spin();
            else
                sched_yield(); /* who writes it may have lost its processor */
            continue;
        }
        loss->reason = reasons[fate];
        loss->bytes = letter->bytes;
        loss->debt = debt;
        if (fate == TRI_FATE_REJECTED)
            *result = -ENOBUFS;
        if (fate == TRI_FATE_NEWEST) {
            tri_copy(loss->message, letter->message, letter->bytes);
            if (letter->debt.slot)
                tri_token_write(loss->message, letter);
            loss->debt = letter->debt;
            *schedule = false;
            *result = 0;
        }
        return fate;
    }
}

/* Not inlined: the message that is lost lies on our stack, in as much of it as it needs. */
__attribute__((noinline)) int tri_send_by_policy_slow(struct tri_task *target, const struct tri_mailbox_ref *ref,
                                                      const struct tri_letter *letter, bool *schedule)
{
    struct tri_loss loss;
    loss.message = __builtin_alloca_with_align(letter->bytes, 512);
    for (;;) {
        int result;
        switch (decide(target, ref, letter, &loss, &result, schedule)) {
        case TRI_FATE_REJECTED:
            tri_dead_letter(&(struct tr_dead_letter){ loss.name, TR_DEAD_REJECTED, letter->bytes, letter->message });
            return result;
        case TRI_FATE_NEWEST:
            lose(&loss);
            return result;
        case TRI_FATE_OLDEST: /* and again: the room may be another's by now, but then so is a message to be dropped */
            lose(&loss);
            break;
        default:
            return result;
        }
    }
}

int tri_send_by_policy_untold(struct tri_task *target, const struct tri_mailbox_ref *ref,
                              const struct tri_letter *letter, bool *schedule, struct tri_loss **losses)
{
    struct tri_loss **end = losses;
    while (*end)
        end = &(*end)->next;
    for (;;) {
        int result;
        struct tri_loss *loss = loss_new(letter->bytes);
        if (!loss)
            return -ENOMEM;
        enum tri_fate fate = decide(target, ref, letter, loss, &result, schedule);
        if (fate == TRI_FATE_DECIDED) {
            free(loss);
            return result;
        }
        loss->next = NULL;
        *end = loss;
        end = &loss->next;
        if (fate == TRI_FATE_REJECTED)
            tri_copy(loss->message, letter->message, letter->bytes);
        if (fate != TRI_FATE_OLDEST)
            return result;
    }
}

/* ---- the others ----------------------------------------------------------------------------------------------- */

bool tri_take_message_shared(struct tri_task *task, void *message)
{
    uint32_t bytes = tri_load(&task->mailbox.bytes, TRI_RELAXED);
    struct tri_debt debt;
    do {
        if (tri_mailbox_take_shared(&task->mailbox, &task->consumer, message, bytes, &debt) == TRI_TAKE_EMPTY)
            return false;
        tri_cycle_take(debt, task);
    } while (!tri_take_on(task, message, debt));
    return true;
}

void tri_policy_info(struct tri_task *task, uint64_t generation, struct tr_actor_info *out)
{
    struct tri_mailbox_ref ref = tri_task_mailbox(task, generation);
    out->rejected = out->dropped_newest = out->dropped_oldest = 0;
    if (tri_mailbox_policy(&ref) == TR_OVERFLOW_WAIT)
        return;
    tri_lock(&task->mailbox.lock);
    uint64_t tail = tri_load(&task->mailbox.tail, TRI_RELAXED); /* an end is before us by the lock, or after */
    if (tri_mailbox_policy(&ref) != TR_OVERFLOW_WAIT && tri_task_generation(task) == generation &&
        !(tail & TRI_TAIL_CLOSED)) {
        const struct tri_policy *policy = tri_load(&task->cold, TRI_RELAXED)->policy;
        out->rejected = policy->rejected;
        out->dropped_newest = policy->dropped_newest;
        out->dropped_oldest = policy->dropped_oldest;
    }
    tri_unlock(&task->mailbox.lock);
}

void tri_task_bury(struct tri_task *task, const void *message, enum tr_dead_reason reason)
{
    struct tr_dead_letter letter = { tri_task_label(task), reason, tri_load(&task->mailbox.bytes, TRI_RELAXED),
                                     message };
    tri_dead_letter(&letter);
}
