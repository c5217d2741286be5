/* SPDX-License-Identifier: MIT */
/*
 * handler.c: a handler actor's turn: messages one by one until the mailbox is empty or the batch is used up.
 *
 * The message is copied out of the mailbox to the stack of the loop that runs the turn, so that the handler may suspend
 * with it in hand. When the mailbox goes idle, the record may be running elsewhere before we return: nothing is touched
 * after that. While a caller is held for our answer, the turn is one message long.
 */
#include "actor/scheduler.h"

#include <errno.h>

#define BATCH 64 /* messages in a turn */

/* Takes the next message worth handling. Requests whose caller has given up are skipped. */
static enum tri_take next_message(struct tri_task *task, char *message)
{
    for (;;) {
        struct tri_worker *worker = tri_worker_here();
        struct tri_debt debt;
        if (tri_mailbox_take(&task->mailbox, &task->consumer, tri_storage_cache(worker), message, &debt) ==
            TRI_TAKE_EMPTY)
            return TRI_TAKE_EMPTY;
        if (!debt.slot || !tri_reply_expired(debt) || tri_task_is(task, TRI_TASK_KEEP_EXPIRED)) {
            tri_hand_take(task, debt);
            return TRI_TAKE_MESSAGE;
        }
        tri_count(&worker->expired);
        tri_task_discard(task, message, debt);
    }
}

/* Runs the handler. Returns true when the actor is to go on, else *reason. */
static bool handle(struct tri_task *task, char *message, int *reason)
{
    int rc = task->on_message(task->argument, message);
    struct tri_debt debt = tri_hand(task);
    if (debt.slot) { /* neither answered nor deferred */
        tri_hand_clear(task);
        tri_reply_send(tri_slot_cache(tri_worker_here()), debt, 0, NULL, -EPIPE, NULL);
    }
    *reason = rc < 0 ? rc : 0;
    if (rc != 0)
        return false;
    if (!tri_task_cancelled(task))
        return true;
    *reason = -ECANCELED;
    return false;
}

static enum tri_idle go_idle(struct tri_task *task)
{
    return tri_mailbox_idle(&task->mailbox, &task->consumer, tri_storage_cache(tri_worker_here()));
}

void tri_handler_run(struct tri_task *task)
{
    uint32_t bytes = tri_load(&task->mailbox.bytes, TRI_RELAXED);
    char *message = __builtin_alloca_with_align(bytes ? bytes : 1, 512);
    int reason = 0;
    bool retried = false;
    for (int i = 0; i < BATCH; i++) {
        if (tri_task_cancelled(task)) {
            tri_task_end(task, -ECANCELED);
            return;
        }
        bool empty = next_message(task, message) == TRI_TAKE_EMPTY;
        if (!empty && !handle(task, message, &reason)) {
            tri_task_end(task, reason);
            return;
        }
        bool held = tri_worker_here()->held;
        if (!empty && !held)
            continue;
        enum tri_idle idle = go_idle(task);
        if (idle == TRI_IDLE_DONE)
            return;
        if (idle == TRI_IDLE_DRAINED) {
            tri_task_end(task, 0);
            return;
        }
        if (held || retried) /* more to do, or a sender is between claim and publication: later */
            break;
        retried = empty;
    }
    tri_ready_last(tri_worker_here(), task); /* the last access */
}
