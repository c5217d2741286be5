/* SPDX-License-Identifier: MIT */
/*
 * call.c: sending, calling and answering: the mailbox and the reply slot made to suspend.
 *
 * The held caller. A call to an idle handler actor of the same worker is the commonest call there is, and needs no
 * scheduling at all: the caller is set aside with its context saved, the handler runs at once on another stack, and when
 * it returns the caller goes on, the answer in its frame. Nothing is registered, queued or woken. Should the handler
 * suspend, the caller is queued like any ready task; it finds no answer yet and waits in the ordinary way.
 *
 * A loop actor that waits in receive is run the same way, on its own stack: when it comes to wait for its next message and
 * has answered, it goes straight back to the held caller.
 */
#include "actor/scheduler.h"

#include <errno.h>

/* The mailbox is full: queues for room. Returns 0 when the letter was delivered for us. */
static int send_when_room(const struct tri_mailbox_ref *ref, struct tri_task *target, const struct tri_letter *letter,
                          tr_time deadline)
{
    bool handler = tri_task_is(target, TRI_TASK_HANDLER);
    struct tri_sender sender = { .task = tri_self(), .letter = letter };
    bool schedule;
    if (!sender.task)
        return -ENOMEM;
    if (sender.task == target)
        return -EDEADLK; /* nobody but us could make room */
    int rc = tri_mailbox_wait_room(ref, tri_storage_cache(tri_worker_here()), &sender, &schedule);
    if (rc < 0)
        return rc;
    if (schedule)
        tri_activate(target, handler);
    while (!tri_load(&sender.done, TRI_ACQUIRE)) { /* [M7] of mailbox.c */
        rc = tri_park(deadline, TRI_WAIT_ROOM);
        if (rc < 0 && tri_mailbox_leave_queue(ref, &sender))
            return rc;
        if (rc < 0)
            break; /* served after all */
    }
    return sender.result;
}

/* Sends, waiting for room. *schedule: the target was idle, and is the caller's to activate. */
static inline int deliver(struct tri_worker *worker, struct tr_address address, const struct tri_letter *letter,
                          tr_time deadline, bool *schedule)
{
    struct tri_task *target = address.tri_record;
    struct tri_mailbox_ref ref = tri_task_mailbox(target, address.tri_generation);
    int rc = tri_mailbox_send(&ref, tri_storage_cache(worker), letter, schedule);
    while (__builtin_expect(rc == -EAGAIN, 0)) {
        if (deadline == TR_NOW)
            return -ETIMEDOUT;
        rc = send_when_room(&ref, target, letter, deadline);
        if (rc == -EAGAIN)
            rc = tri_mailbox_send(&ref, tri_storage_cache(tri_worker_here()), letter, schedule);
        else
            *schedule = false;
    }
    return rc;
}

int tr_send_raw(struct tr_address address, const struct tr_type *type, const void *message, tr_time deadline)
{
    struct tri_letter letter = { .message = message, .bytes = type->size };
    bool schedule;
    struct tri_worker *worker;
    if (!address.tri_record)
        return -ESRCH;
    int rc = tri_begin(&worker);
    if (rc < 0)
        return rc;
    bool handler = tri_task_is(address.tri_record, TRI_TASK_HANDLER);
    rc = deliver(worker, address, &letter, deadline, &schedule);
    if (rc == 0 && schedule)
        tri_activate(address.tri_record, handler);
    return rc;
}

int tr_try_send_raw(struct tr_address address, const struct tr_type *type, const void *message)
{
    struct tri_letter letter = { .message = message, .bytes = type->size };
    bool schedule;
    if (!address.tri_record)
        return -ESRCH;
    bool handler = tri_task_is(address.tri_record, TRI_TASK_HANDLER);
    struct tri_mailbox_ref ref = tri_task_mailbox(address.tri_record, address.tri_generation);
    int rc = tri_mailbox_send(&ref, tri_storage_cache(tri_worker_here()), &letter, &schedule);
    if (rc == 0 && schedule)
        tri_activate(address.tri_record, handler);
    return rc;
}

/* ---- calling -------------------------------------------------------------------------------------------------- */

/* A foreign thread waits. */
static __attribute__((noinline)) int park_thread(tr_time deadline)
{
    return tri_park(deadline, TRI_WAIT_REPLY);
}

/* Gives up, unless the answer is being written into our frame already. Returns true when we may leave. */
static __attribute__((noinline)) bool give_up(struct tri_slot *slot)
{
    if (tri_reply_abandon(tri_slot_cache(tri_worker_here()), slot))
        return true;
    while (!tri_reply_done(slot))
        tri_park_tail(TRI_WAIT_REPLY);
    return false;
}

/* Waits for the answer in `slot`, which is free afterwards, or the replier's. */
static inline __attribute__((always_inline)) int await_reply(struct tri_slot *slot, tr_time deadline)
{
    while (!tri_reply_done(slot)) {
        struct tri_worker *worker = tri_worker_here();
        int rc = worker && worker->current ? tri_park_task(worker, deadline, TRI_WAIT_REPLY) : park_thread(deadline);
        if (rc < 0 && give_up(slot))
            return rc;
    }
    int result = slot->result;
    tri_reply_free(tri_slot_cache(tri_worker_here()), slot);
    return result;
}

/* The target was idle and the request is in its mailbox: runs it at once if it may be, else queues it. */
static inline __attribute__((always_inline)) void run_or_queue(struct tri_worker *worker, struct tri_task *target,
                                                               bool handler, struct tri_slot *slot, tr_time deadline)
{
    if (!handler && !tri_park_wake(&target->park))
        return; /* it runs already */
    /* Ours to run from here on: the target or, if that was a loop actor and has ended meanwhile, a stranger, who takes it
     * for a wake without cause. So what it is must be looked at now. */
    bool hold = worker && worker->current && deadline != TR_NOW && !tri_task_is(target, TRI_TASK_FOREIGN) &&
                worker->runtime->index == tri_load(&target->runtime, TRI_RELAXED) && tri_can_hold(worker, target);
    if (hold)
        tri_hold(worker, target, slot);
    else
        tri_run_claimed(target);
}

int tr_call_raw(struct tr_address address, const struct tr_type *type, const void *message, struct tr_ask ask,
                tr_time deadline)
{
    struct tri_task *target = address.tri_record;
    struct tri_worker *worker;
    bool schedule;
    if (!target)
        return -ESRCH;
    if (ask.token_offset + sizeof(struct tri_debt) > type->size)
        return -EINVAL;
    int rc = tri_begin(&worker);
    if (rc < 0)
        return rc;
    struct tri_task *self = worker && worker->current ? worker->current : tri_self();
    if (!self)
        return -ENOMEM;
    if (self == target)
        return tri_task_generation(target) == address.tri_generation ? -EDEADLK : -ESRCH;
    struct tri_debt debt = tri_reply_open(tri_slot_cache(worker), self, ask.answer, ask.answer_bytes);
    if (!debt.slot)
        return -ENOMEM;
    bool handler = tri_task_is(target, TRI_TASK_HANDLER);
    struct tri_letter letter = { message, type->size, ask.token_offset, debt };
    rc = deliver(worker, address, &letter, deadline, &schedule);
    if (rc < 0) {
        tri_reply_free(tri_slot_cache(tri_worker_here()), debt.slot);
        return rc;
    }
    if (schedule)
        run_or_queue(worker, target, handler, debt.slot,
                     deadline); /* nothing has suspended us, if the target was idle */
    return await_reply(debt.slot, deadline);
}

/* ---- answering ------------------------------------------------------------------------------------------------ */

static struct tri_debt debt_of(struct tr_token token)
{
    return (struct tri_debt){ token.tri_slot, token.tri_generation };
}

static bool in_hand(struct tri_task *task, struct tri_debt debt)
{
    return debt.slot && tri_load(&task->hand, TRI_RELAXED) == debt.slot && task->hand_generation == debt.generation;
}

static int answer(struct tr_token token, uint32_t bytes, const void *value, int result)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_debt debt = debt_of(token);
    if (!worker)
        return tri_reply_send(NULL, debt, bytes, value, result, NULL);
    int rc = tri_reply_send(tri_slot_cache(worker), debt, bytes, value, result, worker->held);
    if (rc != -EINVAL && worker->current && in_hand(worker->current, debt))
        tri_hand_clear(worker->current);
    return rc;
}

int tr_reply_raw(struct tr_token token, uint32_t bytes, const void *value)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_debt debt = debt_of(token);
    if (worker && worker->current && in_hand(worker->current, debt) &&
        tri_reply_send_fast(debt, bytes, value, worker->held)) {
        tri_hand_clear(worker->current);
        return 0;
    }
    return answer(token, bytes, value, 0);
}

int tr_reply_error_raw(struct tr_token token, int error)
{
    if (error < 1 || error > 1000000)
        return -EINVAL;
    return answer(token, 0, NULL, error);
}

bool tr_reply_wanted_raw(struct tr_token token)
{
    return tri_reply_wanted(debt_of(token));
}

int tr_defer_raw(struct tr_token token)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_debt debt = debt_of(token);
    if (!worker || !worker->current)
        return -EINVAL;
    struct tri_task *task = worker->current;
    if (!in_hand(task, debt))
        return tri_reply_wanted(debt) ? 0 : -ESRCH; /* owed already */
    if (!tri_task_is(task, TRI_TASK_HANDLER))
        return tri_reply_wanted(debt) ? 0 : -ESRCH; /* a loop actor keeps it by itself */
    tri_hand_clear(task);
    return tri_debts_link(&task->debts, tri_slot_cache(worker), debt) ? 0 : -ESRCH;
}

int tr_forward_raw(struct tr_token token, struct tr_address address, const struct tr_type *type, const void *message,
                   uint32_t token_offset, tr_time deadline)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_debt debt = debt_of(token);
    bool schedule = false;
    if (!worker || !worker->current || token_offset + sizeof debt > type->size)
        return -EINVAL;
    if (!debt.slot || !address.tri_record)
        return -ESRCH;
    int rc = tri_begin(&worker);
    if (rc < 0)
        return rc;
    /* The debt leaves us before the target can see it. We cannot end inside this call: nobody is left hanging. */
    struct tri_task *task = worker->current;
    bool was_in_hand = in_hand(task, debt);
    if (was_in_hand)
        tri_hand_clear(task);
    else if (!tri_debts_unlink(&task->debts, debt))
        return -ESRCH;
    if (!tri_reply_wanted(debt)) { /* given up: this frees the slot */
        tri_reply_send(tri_slot_cache(tri_worker_here()), debt, 0, NULL, -EPIPE, NULL);
        return -ESRCH;
    }
    bool handler = tri_task_is(address.tri_record, TRI_TASK_HANDLER);
    struct tri_letter letter = { message, type->size, token_offset, debt };
    rc = deliver(worker, address, &letter, deadline, &schedule);
    if (rc < 0 && was_in_hand)
        tri_hand_take(task, debt);
    else if (rc < 0)
        tri_debts_link(&task->debts, tri_slot_cache(tri_worker_here()), debt);
    else if (schedule)
        tri_activate(address.tri_record, handler);
    return rc;
}
