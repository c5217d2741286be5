/* SPDX-License-Identifier: MIT */
/* policy.c: see policy.h. Neither the hook nor a drop function is ever called under the lock. */
#include "actor/policy.h"
#include "actor/receive.h"
#include "mailbox/dead_letter.h"

#include <sched.h>
#include <stdio.h>

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

/* What is to be told of a loss, once the lock is free: the actor may be gone by then. */
struct loss {
    void (*drop)(void *message);
    char name[TRI_NAME_BYTES];
};

/* Under the lock. */
static void note(struct tri_task *target, enum tri_fate fate, struct loss *loss)
{
    struct tri_policy *policy = tri_load(&target->cold, TRI_RELAXED)->policy;
    policy->rejected += fate == TRI_FATE_REJECTED;
    policy->dropped_newest += fate == TRI_FATE_NEWEST;
    policy->dropped_oldest += fate == TRI_FATE_OLDEST;
    loss->drop = policy->drop;
    snprintf(loss->name, sizeof loss->name, "%s", tri_task_label(target));
}

/* The caller comes first: what a drop function replies does not count any more. */
static void lose(const struct loss *loss, enum tr_dead_reason reason, void *message, uint32_t bytes,
                 struct tri_debt debt)
{
    struct tr_dead_letter letter = { loss->name, reason, bytes, message };
    if (debt.slot)
        tri_reply_send(tri_slot_cache(tri_worker_here()), debt, 0, NULL, -ENOBUFS, NULL);
    tri_dead_letter(&letter);
    if (loss->drop)
        loss->drop(message);
}

int tri_send_by_policy_slow(struct tri_task *target, const struct tri_mailbox_ref *ref, const struct tri_letter *letter,
                            bool *schedule)
{
    _Alignas(64) char buffer[TR_MESSAGE_LIMIT];
    for (int turns = 0;;) {
        struct tri_storage_cache *cache = tri_storage_cache(tri_worker_here()); /* anew: a drop function was called */
        struct tri_debt debt = { NULL, 0 };
        struct loss loss;
        int rc;
        tri_lock(&ref->mailbox->lock);
        enum tri_fate fate = tri_mailbox_send_by_policy(ref, cache, letter, buffer, &debt, &rc, schedule);
        if (fate == TRI_FATE_REJECTED || fate == TRI_FATE_NEWEST || fate == TRI_FATE_OLDEST)
            note(target, fate, &loss);
        tri_unlock(&ref->mailbox->lock);
        switch (fate) {
        case TRI_FATE_DECIDED:
            return rc;
        case TRI_FATE_REJECTED:
            tri_dead_letter(&(struct tr_dead_letter){ loss.name, TR_DEAD_REJECTED, letter->bytes, letter->message });
            return -ENOBUFS;
        case TRI_FATE_NEWEST:
            tri_copy(buffer, letter->message, letter->bytes);
            if (letter->debt.slot)
                tri_token_write(buffer, letter);
            lose(&loss, TR_DEAD_DROPPED_NEWEST, buffer, letter->bytes, letter->debt);
            *schedule = false;
            return 0;
        case TRI_FATE_OLDEST: /* and again: the room may be another's by now, but then so is a message to be dropped */
            lose(&loss, TR_DEAD_DROPPED_OLDEST, buffer, letter->bytes, debt);
            break;
        case TRI_FATE_BUSY:
            if (++turns < SPINS)
                tri_spin();
            else
                sched_yield(); /* who writes it may have lost its processor */
        }
    }
}

bool tri_take_message_shared(struct tri_task *task, void *message)
{
    uint32_t bytes = tri_load(&task->mailbox.bytes, TRI_RELAXED);
    struct tri_debt debt;
    do
        if (tri_mailbox_take_shared(&task->mailbox, &task->consumer, message, bytes, &debt) == TRI_TAKE_EMPTY)
            return false;
    while (!tri_take_on(task, message, debt));
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
