/* SPDX-License-Identifier: MIT */
/*
 * gather.c: many calls at once.
 *
 * Each call has its reply slot, and if need be its place among the senders that wait for room, in the caller's array; one task
 * waits for all, and every wake is the same to it: it looks. While nothing but the number of those that are left matters, it looks
 * at the first of them alone, so that a gather of n calls is n looks and not n times n. The answers are copied to where they belong by
 * the repliers, in whatever order.
 *
 * Without a deadline an actor that looks at the first alone waits for that as if it had called it (cycle.h).
 */
#include "actor/cycle.h"
#include "actor/policy.h"
#include "actor/scheduler.h"

#include <errno.h>
#include <troupe/gather.h>

#define NONE UINT32_MAX

enum state { ENDED, ROOM, SENT };

/* What lies in the private part of a call. */
struct parts {
    struct tri_letter letter;
    struct tri_sender sender;
    struct tri_slot *wait; /* what stands for the wait for room, if that is without end */
    bool looked;           /* whether what it waits for now waits for us */
};
_Static_assert(sizeof(struct parts) <= sizeof((struct tr_gather_call *)NULL)->tri_space, "room for it");

static struct parts *parts_of(struct tr_gather_call *call)
{
    return (struct parts *)(void *)call->tri_space;
}

static struct tri_mailbox_ref mailbox_of(const struct tr_gather_call *call)
{
    return tri_task_mailbox(call->address.tri_record, call->address.tri_generation);
}

/* ---- one call ------------------------------------------------------------------------------------------------- */

static void leave_room(struct tr_gather_call *call)
{
    struct parts *parts = parts_of(call);
    if (parts->wait)
        tri_cycle_close(tri_worker_here(), parts->wait);
    parts->wait = NULL;
}

static void end_call(struct tr_gather_call *call, int result)
{
    leave_room(call);
    if (call->tri_slot)
        tri_reply_free(tri_slot_cache(tri_worker_here()), call->tri_slot);
    call->tri_slot = NULL;
    call->tri_state = ENDED;
    call->result = result;
}

/* Sends, or queues for room. By a foreign thread: where a clock that stands can see it, as in send_and_activate of call.c. */
static void send_call(struct tr_gather_call *call, struct tri_task *self, tr_time deadline, bool endless)
{
    struct tri_task *target = call->address.tri_record;
    struct parts *parts = parts_of(call);
    parts->looked = false;
    struct tri_mailbox_ref ref = mailbox_of(call);
    struct tr_runtime *visited = tri_visit_begin(target);
    int rc = -EAGAIN;
    while (rc == -EAGAIN) {
        bool handler = tri_task_is(target, TRI_TASK_HANDLER), schedule;
        call->tri_state = SENT;
        rc = tri_mailbox_send(&ref, tri_storage_cache(tri_worker_here()), &parts->letter, &schedule);
        if (rc == -EAGAIN)
            rc = tri_send_by_policy(target, &ref, &parts->letter, &schedule);
        if (rc == -EAGAIN && deadline == TR_NOW)
            rc = -ETIMEDOUT;
        if (rc == -EAGAIN) {
            call->tri_state = ROOM;
            if (endless && !parts->wait)
                parts->wait = tri_cycle_open(tri_worker_here(), target);
            parts->sender = (struct tri_sender){ .task = self,
                                                 .letter = &parts->letter,
                                                 .owed_by = parts->wait ? &parts->wait->owed_by : NULL };
            rc = tri_mailbox_wait_room(&ref, tri_storage_cache(tri_worker_here()), &parts->sender, &schedule);
        }
        if (rc == 0 && schedule)
            tri_activate(target, handler);
    }
    tri_visit_end(visited);
    if (rc < 0)
        end_call(call, rc);
    else
        call->sent = call->tri_state == SENT;
}

static int check_call(const struct tr_gather_call *call, const struct tri_task *self)
{
    struct tri_task *target = call->address.tri_record;
    if (!target)
        return -ESRCH;
    if (call->ask.token_offset + sizeof(struct tri_debt) > call->type->size)
        return -EINVAL;
    if (target == self)
        return tri_task_generation(target) == call->address.tri_generation ? -EDEADLK : -ESRCH;
    return 0;
}

static void start_call(struct tr_gather_call *call, struct tri_task *self, tr_time deadline, bool endless)
{
    call->sent = false;
    call->tri_slot = NULL;
    parts_of(call)->wait = NULL;
    int rc = check_call(call, self);
    if (rc < 0) {
        end_call(call, rc);
        return;
    }
    struct tri_debt debt =
        tri_reply_open(tri_slot_cache(tri_worker_here()), self, call->ask.answer, call->ask.answer_bytes);
    if (!debt.slot) {
        end_call(call, -ENOMEM);
        return;
    }
    call->tri_slot = debt.slot;
    if (endless)
        tri_cycle_aim(debt, call->address.tri_record);
    parts_of(call)->letter = (struct tri_letter){ call->message, call->type->size, call->ask.token_offset, debt };
    send_call(call, self, deadline, endless);
}

/* Looks at a call under way. True if it has ended. */
static bool look_at(struct tr_gather_call *call, struct tri_task *self, tr_time deadline)
{
    struct parts *parts = parts_of(call);
    struct tri_sender *sender = &parts->sender;
    if (call->tri_state == ROOM) {
        if (!tri_load(&sender->done, TRI_ACQUIRE)) /* [M7] of mailbox.c */
            return false;
        bool endless = parts->wait;
        leave_room(call);
        parts->looked = false;
        if (sender->result == -EAGAIN) {
            send_call(call, self, deadline, endless);
        } else if (sender->result < 0) {
            end_call(call, sender->result);
        } else {
            call->tri_state = SENT;
            call->sent = true;
        }
    }
    if (call->tri_state == SENT && tri_reply_done(call->tri_slot))
        end_call(call, ((struct tri_slot *)call->tri_slot)->result);
    return call->tri_state == ENDED;
}

/* Gives up a call under way, unless it cannot be any more. */
static void give_up(struct tr_gather_call *call, int rc)
{
    struct tri_sender *sender = &parts_of(call)->sender;
    if (call->tri_state == ROOM) {
        struct tri_mailbox_ref ref = mailbox_of(call);
        if (tri_mailbox_leave_queue(&ref, sender) || sender->result < 0) {
            end_call(call, rc);
            return;
        }
        call->sent = true;
    }
    if (tri_reply_abandon(tri_slot_cache(tri_worker_here()), call->tri_slot)) {
        call->tri_slot = NULL; /* the replier's, or free */
        end_call(call, rc);
        return;
    }
    while (!tri_reply_done(call->tri_slot))
        tri_park_tail(TRI_WAIT_REPLY);
    end_call(call, ((struct tri_slot *)call->tri_slot)->result);
}

/* ---- all of them ---------------------------------------------------------------------------------------------- */

static bool is_last(const struct tr_gather_call *call, unsigned flags)
{
    return call->result == 0 ? flags & TR_GATHER_FIRST_SUCCESS : flags & TR_GATHER_FIRST_ERROR;
}

/*
 * Looks at those that are left, from *first on, as far as it matters, and takes the ended out of the list. True: one has ended
 * that ends the whole.
 */
static bool look_at_all(struct tr_gather_call *calls, uint32_t *first, struct tri_task *self, tr_time deadline,
                        unsigned flags)
{
    uint32_t *place = first;
    while (*place != NONE) {
        struct tr_gather_call *call = &calls[*place];
        if (look_at(call, self, deadline)) {
            *place = call->tri_next;
            if (is_last(call, flags))
                return true;
        } else if (flags == TR_GATHER_ALL) {
            return false;
        } else {
            place = &call->tri_next;
        }
    }
    return false;
}

/* Starts all, and links those that are under way. *over: one has ended at once that ends the whole; those after it are not made. */
static uint32_t start_all(struct tr_gather_call *calls, uint32_t count, struct tri_task *self, tr_time deadline,
                          unsigned flags, bool endless, bool *over)
{
    uint32_t first = NONE, *place = &first;
    for (uint32_t i = 0; i < count; i++) {
        if (*over) {
            calls[i].sent = false;
            calls[i].result = -ECANCELED;
            continue;
        }
        start_call(&calls[i], self, deadline, endless);
        if (calls[i].tri_state == ENDED) {
            *over = is_last(&calls[i], flags);
            continue;
        }
        *place = i;
        place = &calls[i].tri_next;
        *place = NONE;
        tri_budget();
    }
    return first;
}

static int count_answered(const struct tr_gather_call *calls, uint32_t count)
{
    int answered = 0;
    for (uint32_t i = 0; i < count; i++)
        answered += calls[i].result == 0;
    return answered;
}

static int refuse_all(struct tr_gather_call *calls, uint32_t count, int rc)
{
    for (uint32_t i = 0; i < count; i++) {
        calls[i].sent = false;
        calls[i].result = rc;
    }
    return 0;
}

/*
 * Waits for something to happen to the first that is left, by an actor and without end. Gives up that call alone if it would wait
 * for itself.
 */
static int park_endless(struct tr_gather_call *call)
{
    struct parts *parts = parts_of(call);
    struct tri_slot *slot = call->tri_state == ROOM ? parts->wait : call->tri_slot;
    int rc = parts->looked || !slot ? 0 : tri_cycle_enter(slot);
    parts->looked = true;
    if (rc == 0)
        return tri_cycle_park(tri_worker_here(), TRI_WAIT_REPLY);
    give_up(call, rc);
    return 0;
}

int tr_gather(struct tr_gather_call *calls, uint32_t count, tr_time deadline, unsigned flags)
{
    if (count > INT32_MAX || flags & ~(unsigned)(TR_GATHER_FIRST_ERROR | TR_GATHER_FIRST_SUCCESS))
        return -EINVAL;
    int rc = tri_checkpoint();
    struct tri_task *self = rc == 0 ? tri_self() : NULL;
    if (!self)
        return refuse_all(calls, count, rc < 0 ? rc : -ENOMEM);
    bool over = false, endless = flags == TR_GATHER_ALL && tri_cycle_concerns(self, deadline);
    uint32_t first = start_all(calls, count, self, deadline, flags, endless, &over);
    while (!over && rc == 0) {
        over = look_at_all(calls, &first, self, deadline, flags);
        if (over || first == NONE)
            break;
        rc = endless ? park_endless(&calls[first]) : tri_park(deadline, TRI_WAIT_REPLY);
    }
    if (endless)
        tri_cycle_leave(self);
    for (; first != NONE; first = calls[first].tri_next)
        if (!look_at(&calls[first], self, TR_NOW))
            give_up(&calls[first], over ? -ECANCELED : rc);
    return count_answered(calls, count);
}
