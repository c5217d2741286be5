/* SPDX-License-Identifier: MIT */
/*
 * receive.h: how an actor of either kind gets its next message. Thread: the actor's worker.
 * Suspends: only where it says so.
 */
#ifndef TRI_RECEIVE_H
#define TRI_RECEIVE_H

#include "actor/scheduler.h"

/* Defined by actor.c. */
void tri_owe_hand(struct tri_task *task);

/* A request in hand that is not answered yet makes room for the next: from now on it is owed. */
static inline void tri_settle_hand(struct tri_task *task)
{
    if (__builtin_expect(tri_load(&task->hand, TRI_RELAXED) != NULL, 0))
        tri_owe_hand(task);
}

/*
 * What is done with a message that was taken: false for a request whose caller has given up, which is discarded. Its drop
 * function may suspend.
 */
static inline __attribute__((always_inline)) bool tri_take_on(struct tri_task *task, void *message,
                                                              struct tri_debt debt)
{
    if (!debt.slot)
        return true;
    if (!tri_reply_expired(debt) || tri_task_is(task, TRI_TASK_KEEP_EXPIRED)) {
        tri_hand_take(task, debt);
        return true;
    }
    tri_count(&tri_worker_here()->expired);
    tri_task_discard(task, message, debt, TR_DEAD_EXPIRED);
    tri_settle_hand(task); /* its drop function may have received */
    return false;
}

/* tri_take_message, where senders drop the oldest. Defined by policy.c. */
bool tri_take_message_shared(struct tri_task *task, void *message);

/*
 * Takes a message that is there, skipping requests whose caller has given up, which may suspend. Nothing is in hand before.
 */
static inline __attribute__((always_inline)) bool tri_take_message(struct tri_task *task, void *message, uint32_t bytes)
{
    struct tri_debt debt;
    bool waiting;
    for (;;) {
        if (tri_mailbox_take_only(&task->mailbox, &task->consumer, message, bytes, &debt, &waiting) == TRI_TAKE_EMPTY)
            return __builtin_expect(tri_mailbox_is_shared(&task->consumer), 0) &&
                   tri_take_message_shared(task, message);
        if (waiting)
            tri_mailbox_grant(&task->mailbox, &task->consumer, tri_storage_cache(tri_worker_here()));
        if (tri_take_on(task, message, debt))
            return true;
    }
}

/* Takes the letter of a held caller who has made us run, if there is one: see hand_over in call.c. */
static inline __attribute__((always_inline)) bool tri_take_letter(struct tri_worker *worker, struct tri_task *task,
                                                                  void *message, uint32_t bytes)
{
    const struct tri_letter *letter = worker->letter;
    if (!letter)
        return false;
    worker->letter = NULL;
    tri_copy(message, letter->message, bytes);
    tri_token_write(message, letter);
    tri_hand_take(task, letter->debt);
    return true;
}

#endif
