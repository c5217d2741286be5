/* SPDX-License-Identifier: MIT */
/*
 * call.c: sending, calling and answering: the mailbox and the reply slot made to suspend.
 *
 * The held caller. A call to an idle handler actor of the same worker is the commonest call there is, and needs neither
 * mailbox nor scheduling: the caller takes the idle mark and is set aside with its context saved, the handler runs at
 * once on another stack, the message copied from the caller's frame to its own, and when it returns the caller goes on,
 * the answer in its frame. Nothing is stored, registered, queued or woken. Should the handler suspend, the caller is
 * queued like any ready task; it finds no answer yet and waits in the ordinary way.
 *
 * An actor that has kept a held caller waiting for long, by computing before or after its answer, is marked by the sentry
 * (idle.c), and its callers are queued from then on, so that another worker can take them.
 *
 * A loop actor that waits in receive is run the same way, on its own stack, and takes the message there: when it comes to
 * wait for its next message and has answered, it goes straight back to the held caller.
 */
#include "actor/cycle.h"
#include "actor/policy.h"
#include "actor/scheduler.h"

#include <errno.h>

/* The mailbox is full: queues for room. Returns 0 when the letter was delivered for us. */
static int send_when_room(const struct tri_mailbox_ref *ref, struct tri_task *target, const struct tri_letter *letter,
                          tr_time deadline)
{
    bool handler = tri_task_is(target, TRI_TASK_HANDLER);
    struct tri_sender sender = { .task = tri_self(), .letter = letter };
    struct tri_slot *wait = NULL;
    bool schedule;
    if (!sender.task)
        return -ENOMEM;
    if (sender.task == target)
        return -EDEADLK; /* nobody but us could make room */
    if (tri_cycle_concerns(sender.task, deadline) && (wait = tri_cycle_open(tri_worker_here(), target)))
        sender.owed_by = &wait->owed_by;
    struct tr_runtime *visited = tri_visit_begin(target);
    int rc = tri_mailbox_wait_room(ref, tri_storage_cache(tri_worker_here()), &sender, &schedule);
    if (rc == 0 && schedule)
        tri_activate(target, handler);
    tri_visit_end(visited);
    bool waits = rc == 0;
    if (waits && wait)
        rc = tri_cycle_enter(wait);
    while (rc == 0 && !tri_load(&sender.done, TRI_ACQUIRE)) /* [M7] of mailbox.c */
        rc = wait ? tri_cycle_park(tri_worker_here(), TRI_WAIT_ROOM) : tri_park(deadline, TRI_WAIT_ROOM);
    if (waits && (rc == 0 || !tri_mailbox_leave_queue(ref, &sender))) /* else it was not served */
        rc = sender.result;
    if (wait)
        tri_cycle_close(tri_worker_here(), wait);
    return rc;
}

/*
 * Tries to send, by the policy if the mailbox has one, and activates. In one visit: a clock that stands must see a foreign
 * thread, because between the claim and the push a call of a task would wait, and before the activation the target.
 */
static int send_and_activate(const struct tri_mailbox_ref *ref, struct tri_task *target,
                             const struct tri_letter *letter, bool by_policy)
{
    bool handler = tri_task_is(target, TRI_TASK_HANDLER);
    bool schedule;
    struct tr_runtime *visited = tri_visit_begin(target);
    int rc = by_policy ? tri_send_by_policy(target, ref, letter, &schedule)
                       : tri_mailbox_send(ref, tri_storage_cache(tri_worker_here()), letter, &schedule);
    if (rc == 0 && schedule)
        tri_activate(target, handler);
    tri_visit_end(visited);
    return rc;
}

/* The mailbox was full at the first look. Sends, waiting for room unless it has a policy. */
static __attribute__((noinline)) int deliver_slow(const struct tri_mailbox_ref *ref, struct tri_task *target,
                                                  const struct tri_letter *letter, tr_time deadline)
{
    int rc = send_and_activate(ref, target, letter, true);
    while (rc == -EAGAIN) {
        if (deadline == TR_NOW)
            return -ETIMEDOUT;
        rc = send_when_room(ref, target, letter, deadline);
        if (rc == -EAGAIN)
            rc = send_and_activate(ref, target, letter, false);
    }
    return rc;
}

/* Sends, waiting for room, and activates. Thread: any. */
static __attribute__((noinline)) int deliver(struct tr_address address, const struct tri_letter *letter,
                                             tr_time deadline)
{
    struct tri_task *target = address.tri_record;
    struct tri_mailbox_ref ref = tri_task_mailbox(target, address.tri_generation);
    int rc = send_and_activate(&ref, target, letter, false);
    return rc != -EAGAIN ? rc : deliver_slow(&ref, target, letter, deadline);
}

static __attribute__((noinline)) int activate(struct tri_task *target, bool handler)
{
    tri_activate(target, handler);
    return 0;
}

/* What kind of actor it is is looked up while the place is only claimed: until it is published the actor cannot end. */
static inline __attribute__((always_inline)) int publish(struct tri_task *target, struct tri_place *place,
                                                         const struct tri_letter *letter, bool schedule)
{
    bool handler = tri_task_is(target, TRI_TASK_HANDLER);
    tri_mailbox_publish(place, letter);
    return schedule ? activate(target, handler) : 0;
}

static __attribute__((noinline)) int send_slow(struct tr_address address, const struct tr_type *type,
                                               const void *message, tr_time deadline)
{
    struct tri_letter letter = { .message = message, .bytes = type->size };
    struct tri_worker *worker;
    if (!address.tri_record)
        return -ESRCH;
    int rc = tri_begin(&worker);
    if (rc < 0)
        return rc;
    return deliver(address, &letter, deadline);
}

/* See tri_had_better_yield. */
static __attribute__((noinline)) int send_after_yield(struct tr_address address, const struct tr_type *type,
                                                      const void *message, tr_time deadline)
{
    tri_suspend(tri_worker_here(), TRI_HOOK_REQUEUE);
    return send_slow(address, type, message, deadline);
}

/* The mailbox may be idle and without a storage: the worker's cache has one. Or it is full. */
static __attribute__((noinline)) int send_fresh(struct tr_address address, const struct tr_type *type,
                                                const void *message, tr_time deadline)
{
    struct tri_task *target = address.tri_record;
    struct tri_worker *worker = tri_worker_here();
    bool schedule;
    struct tri_mailbox_ref ref = tri_task_mailbox(target, address.tri_generation);
    struct tri_letter letter = { .message = message, .bytes = type->size };
    uint64_t tail = tri_load(&target->mailbox.tail, TRI_ACQUIRE); /* [M3] of mailbox.c */
    struct tri_place *place =
        worker->no_caches ? NULL : tri_mailbox_claim_fast(&ref, tail, &worker->storages, &letter, &schedule);
    if (__builtin_expect(place != NULL, 1))
        return publish(target, place, &letter, schedule);
    if (deadline > worker->now && tri_had_better_yield(worker) && tri_mailbox_looks_full(&ref))
        return send_after_yield(address, type, message, deadline);
    return send_slow(address, type, message, deadline);
}

/*
 * The plain case, in which the mailbox has its storage, in a leaf that needs few registers; the rest is reached by tail
 * calls, which leave no frame of ours between a switch and the user.
 */
int tr_send_raw(struct tr_address address, const struct tr_type *type, const void *message, tr_time deadline)
{
    struct tri_task *target = address.tri_record;
    struct tri_worker *worker = tri_worker_here();
    bool schedule;
    if (!target || !tri_may_go_on(worker))
        return send_slow(address, type, message, deadline);
    worker->budget--;                                             /* send_slow takes another unit */
    uint64_t tail = tri_load(&target->mailbox.tail, TRI_ACQUIRE); /* [M3] of mailbox.c */
    struct tri_mailbox_ref ref = tri_task_mailbox(target, address.tri_generation);
    struct tri_letter letter = { .message = message, .bytes = type->size };
    struct tri_place *place = tri_mailbox_claim_fast(&ref, tail, NULL, &letter, &schedule);
    if (!place)
        return send_fresh(address, type, message, deadline);
    return publish(target, place, &letter, schedule);
}

int tr_try_send_raw(struct tr_address address, const struct tr_type *type, const void *message)
{
    struct tri_letter letter = { .message = message, .bytes = type->size };
    bool schedule;
    if (!address.tri_record)
        return -ESRCH;
    bool handler = tri_task_is(address.tri_record, TRI_TASK_HANDLER);
    struct tri_mailbox_ref ref = tri_task_mailbox(address.tri_record, address.tri_generation);
    struct tr_runtime *visited = tri_visit_begin(address.tri_record);
    int rc = tri_mailbox_send(&ref, tri_storage_cache(tri_worker_here()), &letter, &schedule);
    if (rc == -EAGAIN)
        rc = tri_send_by_policy(address.tri_record, &ref, &letter, &schedule);
    if (rc == 0 && schedule)
        tri_activate(address.tri_record, handler);
    tri_visit_end(visited);
    return rc;
}

/* ---- calling -------------------------------------------------------------------------------------------------- */

static __thread bool foreign_sent __attribute__((tls_model("initial-exec")));

/* A call fails with `rc`: notes for tr_call_sent whether its message had been taken. */
static __attribute__((noinline)) int fail_call(bool sent, int rc)
{
    struct tri_worker *worker = tri_worker_here();
    if (worker && worker->current)
        worker->stack->sent = sent;
    else
        foreign_sent = sent;
    return rc;
}

bool tr_call_sent(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker && worker->current ? worker->stack->sent : foreign_sent;
}

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

/* Waits for the answer in `slot`, which is free afterwards, or the replier's. `endless`: see cycle.h. */
static inline __attribute__((always_inline)) int await_reply(struct tri_slot *slot, tr_time deadline, bool endless)
{
    int rc = endless && !tri_reply_done(slot) ? tri_cycle_enter(slot) : 0;
    if (rc < 0 && give_up(slot))
        return fail_call(true, rc);
    while (__builtin_expect(!tri_reply_done(slot), 0)) {
        struct tri_worker *worker = tri_worker_here();
        rc = endless                     ? tri_cycle_park(worker, TRI_WAIT_REPLY)
             : worker && worker->current ? tri_park_task(worker, deadline, TRI_WAIT_REPLY)
                                         : park_thread(deadline);
        if (rc < 0 && give_up(slot))
            return fail_call(true, rc);
    }
    int result = slot->result;
    tri_reply_free(tri_slot_cache(tri_worker_here()), slot);
    return __builtin_expect(result == 0, 1) ? 0 : fail_call(true, result);
}

/* As await_reply, and what was written down for an endless wait goes. */
static inline __attribute__((always_inline)) int await_call(struct tri_task *self, struct tri_slot *slot,
                                                            tr_time deadline, bool endless)
{
    int rc = await_reply(slot, deadline, endless);
    if (endless)
        tri_cycle_leave(self);
    return rc;
}

/* True if the record is still the actor's of this generation, and waits in its receive. For sure when its park word is ours. */
static inline bool receives(struct tri_task *target, uint64_t generation)
{
    return tri_load(&target->wait, TRI_RELAXED) == TRI_WAIT_MESSAGE && tri_task_generation(target) == generation;
}

/*
 * A loop actor is claimed by its park word, and its idle mark stays: it is there already when the actor comes back to wait.
 * Who sends meanwhile takes the mark away and notifies. All this rests on the look at the mark: by then every message that
 * the caller may know of has been taken. One that comes later may as well come behind ours.
 */
static inline bool claim_receiver(struct tri_task *target, uint64_t generation, uint32_t bytes)
{
    return receives(target, generation) && (tri_load(&target->mailbox.tail, TRI_RELAXED) & TRI_TAIL_IDLE) &&
           tri_load(&target->mailbox.bytes, TRI_RELAXED) == bytes && tri_park_claim(&target->park);
}

/*
 * If the target is idle and may run on this worker, runs it at once with the letter in its hand: nothing goes through the
 * mailbox, and the caller is held; if that may be `endless`, others are to know. False: nothing was sent.
 */
static inline __attribute__((always_inline)) bool hand_over(struct tri_worker *worker, struct tr_address address,
                                                            const struct tri_letter *letter, bool endless)
{
    struct tri_task *target = address.tri_record;
    uint64_t generation = address.tri_generation;
    struct tri_mailbox_ref ref = tri_task_mailbox(target, generation);
    uint32_t flags = tri_load(&target->flags, TRI_RELAXED);
    bool handler = flags & TRI_TASK_HANDLER;
    if (__builtin_expect((flags & TRI_TASK_SLOW) || !tri_can_hold(worker, target), 0))
        return false;
    if (handler ? !tri_mailbox_claim_idle(&ref, letter->bytes) : !claim_receiver(target, generation, letter->bytes))
        return false;
    /* Ours to run from here on: the target or, if that was a loop actor, perhaps a stranger, or it waits for something else
     * by now. (Where it may run need not be looked at again: an address is only got after the spawn.) */
    bool ready = handler || receives(target, generation);
    if (endless && ready)
        tri_cycle_hold(worker, letter->debt, target);
    struct tri_stack *to = ready ? tri_leave_held(worker, target, letter->debt.slot) : NULL;
    if (!to) {
        if (endless)
            tri_cycle_leave(worker->current);
        tri_run_claimed(target);
        return false;
    }
    worker->letter = letter;
    tri_go(worker, to);
    return true;
}

/* By a thread that runs no task. */
static __attribute__((noinline)) int call_foreign(struct tr_address address, const struct tr_type *type,
                                                  const void *message, struct tr_ask ask, tr_time deadline)
{
    struct tri_task *self = tri_self();
    if (!self)
        return fail_call(false, -ENOMEM);
    struct tri_debt debt = tri_reply_open(NULL, self, ask.answer, ask.answer_bytes);
    if (!debt.slot)
        return fail_call(false, -ENOMEM);
    struct tri_letter letter = { message, type->size, ask.token_offset, debt };
    int rc = deliver(address, &letter, deadline);
    if (rc == 0)
        return await_reply(debt.slot, deadline, false);
    tri_reply_free(NULL, debt.slot);
    return fail_call(false, rc);
}

/* `endless`: without a deadline. */
static inline __attribute__((always_inline)) int call_any(struct tr_address address, const struct tr_type *type,
                                                          const void *message, struct tr_ask ask, tr_time deadline,
                                                          bool endless)
{
    struct tri_task *target = address.tri_record;
    struct tri_worker *worker;
    if (!target)
        return fail_call(false, -ESRCH);
    if (ask.token_offset + sizeof(struct tri_debt) > type->size)
        return fail_call(false, -EINVAL);
    int rc = tri_begin(&worker);
    if (rc < 0)
        return fail_call(false, rc);
    if (__builtin_expect(!worker || !worker->current, 0))
        return call_foreign(address, type, message, ask, deadline);
    struct tri_task *self = worker->current;
    if (self == target)
        return fail_call(false, tri_task_generation(target) == address.tri_generation ? -EDEADLK : -ESRCH);
    struct tri_debt debt = tri_reply_open(tri_slot_cache(worker), self, ask.answer, ask.answer_bytes);
    if (!debt.slot)
        return fail_call(false, -ENOMEM);
    struct tri_letter letter = { message, type->size, ask.token_offset, debt };
    endless = endless && tri_task_is(self, TRI_TASK_ACTOR); /* nobody waits for one that is none */
    if (__builtin_expect(deadline != TR_NOW, 1) && hand_over(worker, address, &letter, endless))
        return await_call(self, debt.slot, deadline, endless);
    if (endless)
        tri_cycle_aim(debt, target);
    uint64_t tail = tri_load(&target->mailbox.tail, TRI_ACQUIRE); /* [M3] of mailbox.c */
    struct tri_mailbox_ref ref = tri_task_mailbox(target, address.tri_generation);
    bool schedule;
    struct tri_place *place = tri_mailbox_claim_fast(&ref, tail, tri_storage_cache(worker), &letter, &schedule);
    rc = place ? publish(target, place, &letter, schedule) : deliver(address, &letter, deadline);
    if (rc < 0) {
        tri_reply_free(tri_slot_cache(tri_worker_here()), debt.slot);
        return fail_call(false, rc);
    }
    return await_call(self, debt.slot, deadline, endless);
}

static __attribute__((noinline)) int call_endless(struct tr_address address, const struct tr_type *type,
                                                  const void *message, struct tr_ask ask)
{
    return call_any(address, type, message, ask, TR_FOREVER, true);
}

int tr_call_raw(struct tr_address address, const struct tr_type *type, const void *message, struct tr_ask ask,
                tr_time deadline)
{
    if (deadline > TRI_ENDLESS)
        return call_endless(address, type, message, ask);
    return call_any(address, type, message, ask, deadline, false);
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

static __attribute__((noinline)) int let_go(struct tri_task *caller)
{
    tri_wake(caller);
    return 0;
}

/* The plain case in a leaf: the request in hand, of a caller who is held. */
int tr_reply_raw(struct tr_token token, uint32_t bytes, const void *value)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_debt debt = debt_of(token);
    if (__builtin_expect(worker && worker->current && in_hand(worker->current, debt), 1) &&
        tri_reply_claim(debt, bytes)) {
        tri_hand_clear(worker->current);
        struct tri_task *caller = tri_reply_fill(debt, bytes, value, 0);
        return __builtin_expect(caller == worker->held, 1) ? 0 : let_go(caller);
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
    bool hand = in_hand(task, debt);
    /* Ours or not, nobody but us makes it so; and a stale token fails by its generation. */
    if (!hand && !(debt.slot && tri_load(&debt.slot->debtor, TRI_RELAXED) == &task->debts))
        return -ESRCH;
    tri_cycle_forget(debt);
    if (!hand || !tri_task_is(task, TRI_TASK_HANDLER)) /* owed already; or a loop actor, which keeps it by itself */
        return tri_reply_wanted(debt) ? 0 : -ESRCH;
    tri_hand_clear(task);
    return tri_debts_link(&task->debts, tri_slot_cache(worker), debt) ? 0 : -ESRCH;
}

static __attribute__((noinline)) int forward_slow(struct tr_token token, struct tr_address address,
                                                  const struct tr_type *type, const void *message,
                                                  uint32_t token_offset, tr_time deadline)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_debt debt = debt_of(token);
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
    struct tri_letter letter = { message, type->size, token_offset, debt };
    bool lifted = tri_cycle_lift(debt, task);
    rc = deliver(address, &letter, deadline);
    if (rc < 0 && was_in_hand)
        tri_hand_take(task, debt);
    else if (rc < 0)
        tri_debts_link(&task->debts, tri_slot_cache(tri_worker_here()), debt);
    if (lifted && rc < 0)
        tri_cycle_return(debt, task);
    else if (lifted)
        tri_cycle_arrive(debt, task, address.tri_record);
    return rc;
}

/* The plain case in a leaf: the request in hand, of a caller for whom nobody looks who owes it, to a mailbox with room. */
int tr_forward_raw(struct tr_token token, struct tr_address address, const struct tr_type *type, const void *message,
                   uint32_t token_offset, tr_time deadline)
{
    struct tri_task *target = address.tri_record;
    struct tri_worker *worker = tri_worker_here();
    struct tri_debt debt = debt_of(token);
    bool schedule;
    if (!target || !tri_may_go_on(worker) || token_offset + sizeof debt > type->size ||
        !in_hand(worker->current, debt) || !tri_reply_wanted(debt) || tri_cycle_watches(debt))
        return forward_slow(token, address, type, message, token_offset, deadline);
    uint64_t tail = tri_load(&target->mailbox.tail, TRI_ACQUIRE); /* [M3] of mailbox.c */
    struct tri_mailbox_ref ref = tri_task_mailbox(target, address.tri_generation);
    struct tri_letter letter = { message, type->size, token_offset, debt };
    struct tri_place *place = tri_mailbox_claim_fast(&ref, tail, NULL, &letter, &schedule);
    if (!place)
        return forward_slow(token, address, type, message, token_offset, deadline);
    worker->budget--;
    tri_hand_clear(worker->current); /* before the target can see it */
    return publish(target, place, &letter, schedule);
}
