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

#define BATCH 64   /* messages in a turn, at most */
#define SMALL 256u /* bytes of a message that lies in a frame of fixed size */

/* The request in hand was neither answered nor deferred. */
static __attribute__((noinline)) void refuse_hand(struct tri_task *task)
{
    struct tri_debt debt = tri_hand(task);
    tri_hand_clear(task);
    tri_reply_send(tri_slot_cache(tri_worker_here()), debt, 0, NULL, -EPIPE, NULL);
}

/* The handler has returned `rc`, with which the actor does not go on. */
static __attribute__((noinline)) void end_handled(struct tri_task *task, int rc)
{
    tri_task_end(task, rc < 0 ? rc : rc > 0 ? 0 : -ECANCELED);
}

/* Runs the handler. Returns the worker on which it came back; NULL: the actor has ended. */
static inline __attribute__((always_inline)) struct tri_worker *handle(struct tri_task *task, char *message)
{
    int rc = task->on_message(task->argument, message);
    if (__builtin_expect(tri_load(&task->hand, TRI_RELAXED) != NULL, 0))
        refuse_hand(task);
    struct tri_worker *worker = tri_worker_here();
    tri_forget_scopes(worker);
    if (rc == 0 && !tri_task_cancelled(task))
        return worker;
    end_handled(task, rc);
    return NULL;
}

/* Cancelled, perhaps with a letter in hand that the handler has not seen. */
static __attribute__((noinline)) void end_cancelled(struct tri_task *task, char *letter)
{
    if (letter) {
        struct tri_debt debt = tri_hand(task);
        tri_hand_clear(task);
        tri_task_discard(task, letter, debt, TR_DEAD_UNDELIVERED);
    }
    tri_task_end(task, -ECANCELED);
}

/* Nothing is there, or no more may be taken in this turn. False: there is more to do, or a sender is between claim and publication. */
static bool settle(struct tri_task *task)
{
    enum tri_idle idle = tri_mailbox_idle(&task->mailbox, &task->consumer, tri_storage_cache(tri_worker_here()));
    if (idle == TRI_IDLE_DRAINED) /* closed: by a stop, or by a cancel that came since we looked ([M9]) */
        tri_task_end(task, tri_task_cancelled(task) ? -ECANCELED : 0);
    return idle != TRI_IDLE_RETRY;
}

/* The rest of a turn: until the mailbox is empty, the batch is used up, or a caller is held. */
static __attribute__((noinline)) void run_on(struct tri_task *task, char *message, uint32_t bytes)
{
    bool retried = false;
    for (int i = 1; i < BATCH && !tri_worker_here()->held; i++) {
        if (tri_task_cancelled(task)) {
            end_cancelled(task, NULL);
            return;
        }
        if (tri_take_message(task, message, bytes)) {
            if (handle(task, message))
                continue;
            return;
        }
        if (settle(task))
            return;
        if (retried)
            break;
        retried = true;
    }
    if (!tri_worker_here()->held || !settle(task))
        tri_ready_last(tri_worker_here(), task); /* the last access */
}

/* The usual turn is one message long. */
static inline __attribute__((always_inline)) void run(struct tri_task *task, char *message, uint32_t bytes)
{
    struct tri_worker *worker = tri_worker_here();
    bool there = tri_take_letter(worker, task, message, bytes);
    if (__builtin_expect(tri_task_cancelled(task), 0)) {
        end_cancelled(task, there ? message : NULL);
        return;
    }
    if (there || tri_take_message(task, message, bytes)) {
        worker = handle(task, message);
        if (!worker || tri_mailbox_idle_plain(&task->mailbox, &task->consumer, tri_storage_cache(worker)))
            return; /* the record may run elsewhere */
    }
    run_on(task, message, bytes);
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
