/* SPDX-License-Identifier: MIT */
/*
 * handler.c: a handler actor's turn: messages one by one until the mailbox is empty or the batch is used up.
 *
 * The message is copied out of the mailbox (or of a held caller's frame) to the stack of the loop that runs the turn, so that the handler may suspend
 * with it in hand. When the mailbox goes idle, the record may be running elsewhere before we return: nothing is touched
 * after that. While a caller is held for our answer, the turn is one message long.
 */
#include "actor/receive.h"

#include <errno.h>

#define BATCH 64   /* messages in a turn */
#define SMALL 256u /* bytes of a message that lies in a frame of fixed size */

/* The request in hand was neither answered nor deferred. */
static __attribute__((noinline)) void refuse_hand(struct tri_task *task)
{
    struct tri_debt debt = tri_hand(task);
    tri_hand_clear(task);
    tri_reply_send(tri_slot_cache(tri_worker_here()), debt, 0, NULL, -EPIPE, NULL);
}

/* Runs the handler. Returns true when the actor is to go on, else *reason. */
static inline bool handle(struct tri_task *task, char *message, int *reason)
{
    int rc = task->on_message(task->argument, message);
    if (__builtin_expect(tri_load(&task->hand, TRI_RELAXED) != NULL, 0))
        refuse_hand(task);
    tri_worker_here()->stack->scope = NULL; /* what the handler left open lay in its frame */
    *reason = rc < 0 ? rc : 0;
    if (rc != 0)
        return false;
    if (!tri_task_cancelled(task))
        return true;
    *reason = -ECANCELED;
    return false;
}

static inline __attribute__((always_inline)) enum tri_idle go_idle(struct tri_task *task)
{
    return tri_mailbox_idle(&task->mailbox, &task->consumer, tri_storage_cache(tri_worker_here()));
}

/* Cancelled with a letter in hand that the handler has not seen. */
static __attribute__((noinline)) void discard_letter(struct tri_task *task, char *message)
{
    struct tri_debt debt = tri_hand(task);
    tri_hand_clear(task);
    tri_task_discard(task, message, debt, TR_DEAD_UNDELIVERED);
}

static inline __attribute__((always_inline)) void run(struct tri_task *task, char *message, uint32_t bytes)
{
    int reason = 0;
    bool retried = false;
    bool there = tri_take_letter(task, message, bytes);
    for (int i = 0; i < BATCH; i++) {
        if (tri_task_cancelled(task)) {
            if (there)
                discard_letter(task, message);
            tri_task_end(task, -ECANCELED);
            return;
        }
        if (!there)
            there = tri_take_message(task, message, bytes);
        if (there && !handle(task, message, &reason)) {
            tri_task_end(task, reason);
            return;
        }
        bool held = tri_worker_here()->held;
        /* The usual turn is one message long. Later the tail is left to the senders, whose line it is. */
        if (there && !held && (i > 0 || !tri_mailbox_looks_empty(&task->mailbox, &task->consumer))) {
            there = false;
            continue;
        }
        enum tri_idle idle = go_idle(task);
        if (idle == TRI_IDLE_DONE)
            return;
        if (idle == TRI_IDLE_DRAINED) {
            tri_task_end(task, 0);
            return;
        }
        if (held || retried) /* more to do, or a sender is between claim and publication: later */
            break;
        retried = !there;
        there = false;
    }
    tri_ready_last(tri_worker_here(), task); /* the last access */
}

static __attribute__((noinline)) void run_large(struct tri_task *task, uint32_t bytes)
{
    run(task, __builtin_alloca_with_align(bytes, 512), bytes);
}

void tri_handler_run(struct tri_task *task)
{
    _Alignas(64) char message[SMALL];
    uint32_t bytes = tri_load(&task->mailbox.bytes, TRI_RELAXED);
    if (__builtin_expect(bytes > SMALL, 0))
        run_large(task, bytes);
    else
        run(task, message, bytes);
}
