/* SPDX-License-Identifier: MIT */
/* actor.c: spawning actors, receiving, stopping, counted senders. Sending and calling are in call.c. */
#include "actor/policy.h"
#include "actor/receive.h"
#include "actor/spawn.h"
#include "mailbox/wait.h"

#include <errno.h>

#define DEFAULT_CAPACITY 64u

static const struct tr_actor_options defaults;

static int spawn_actor(struct tr_address *out, const struct tr_type *type, struct tri_spawn *spawn,
                       const struct tr_actor_options *options)
{
    if (type->align > 64)
        return -EINVAL;
    spawn->name = options->name;
    spawn->capacity = options->capacity ? options->capacity : DEFAULT_CAPACITY;
    spawn->overflow = options->overflow;
    spawn->message_bytes = type->size;
    spawn->stack_bytes = options->stack_bytes;
    spawn->pin = options->pin;
    spawn->argument_bytes = options->argument_bytes;
    spawn->drop = options->drop;
    spawn->stopped = options->stopped;
    spawn->runtime = options->runtime;
    spawn->handle = options->task;
    spawn->address = out;
    spawn->flags |= TRI_TASK_ACTOR | (options->keep_expired ? TRI_TASK_KEEP_EXPIRED : 0);
    return tri_spawn(spawn);
}

int tr_spawn_raw(struct tr_address *out, const struct tr_type *type, int (*body)(void *argument), void *argument,
                 const struct tr_actor_options *options)
{
    struct tri_spawn spawn = { .body = body, .argument = argument };
    return spawn_actor(out, type, &spawn, options ? options : &defaults);
}

int tr_spawn_handler_raw(struct tr_address *out, const struct tr_type *type,
                         int (*on_message)(void *state, void *message), void *state,
                         const struct tr_actor_options *options)
{
    struct tri_spawn spawn = { .on_message = on_message, .argument = state, .flags = TRI_TASK_HANDLER };
    return spawn_actor(out, type, &spawn, options ? options : &defaults);
}

/* ---- receiving ------------------------------------------------------------------------------------------------ */

/* The calling loop actor, if its messages have this size. */
static inline struct tri_task *receiver(uint32_t bytes)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_task *task = worker ? worker->current : NULL;
    if (!task || !tri_task_is(task, TRI_TASK_ACTOR) || tri_task_is(task, TRI_TASK_HANDLER))
        return NULL;
    return tri_load(&task->mailbox.bytes, TRI_RELAXED) == bytes ? task : NULL;
}

void tri_owe_hand(struct tri_task *task)
{
    struct tri_debt debt = tri_hand(task);
    tri_hand_clear(task);
    tri_debts_link(&task->debts, tri_slot_cache(tri_worker_here()), debt);
}

/* Goes idle and waits until there may be a message. Returns 0: look again. */
static inline __attribute__((always_inline)) int await_message(struct tri_task *task, tr_time deadline, bool *retried)
{
    int rc;
    switch (tri_mailbox_idle(&task->mailbox, &task->consumer, tri_storage_cache(tri_worker_here()))) {
    case TRI_IDLE_DONE:
        rc = tri_park_task(tri_worker_here(), deadline, TRI_WAIT_MESSAGE);
        if (rc < 0)
            tri_mailbox_unidle(&task->mailbox);
        return rc;
    case TRI_IDLE_DRAINED:
        return -EPIPE;
    case TRI_IDLE_RETRY:
        if (*retried) { /* a sender is between claim and publication: come back later, never spin */
            if (deadline <= tri_worker_here()->now)
                return -ETIMEDOUT;
            tri_give_way(tri_worker_here());
        }
        *retried = true;
        return 0;
    }
    __builtin_unreachable();
}

/* The mailbox was empty at the first look: waits for a message. */
static __attribute__((noinline)) int receive_waiting(uint32_t bytes, void *message, tr_time deadline)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_task *task = worker->current;
    bool retried = false;
    /* One alone is in the ring: the sender, it seems, who will come to yield as well. Among several the wake is quicker; and
     * with other workers, one of them might send while we stand behind somebody who computes. */
    if (worker->alone && deadline > worker->now && tri_had_better_yield(worker) &&
        tri_queue_length(&worker->queue) == 1) {
        tri_suspend(worker, TRI_HOOK_REQUEUE);
        if (tri_take_message(task, message, bytes))
            return 0;
    }
    do {
        int rc = await_message(task, deadline, &retried);
        if (rc < 0)
            return rc;
        worker = tri_worker_here();
        if (tri_take_letter(worker, task, message, bytes))
            return 0;
    } while (!tri_take_message(task, message, bytes));
    return 0;
}

static __attribute__((noinline)) int receive_slow(uint32_t bytes, void *message, tr_time deadline)
{
    struct tri_task *task = receiver(bytes);
    if (!task)
        return -EINVAL;
    tri_settle_hand(task);
    struct tri_worker *worker;
    int rc = tri_begin(&worker);
    if (rc < 0)
        return rc;
    return tri_take_message(task, message, bytes) ? 0 : receive_waiting(bytes, message, deadline);
}

static __attribute__((noinline)) int grant_room(struct tri_worker *worker, struct tri_task *task)
{
    tri_mailbox_grant(&task->mailbox, &task->consumer, tri_storage_cache(worker));
    return 0;
}

enum plain { TAKEN, TAKEN_FROM_FULL, EMPTY, NOT_PLAIN };

/* What most receives come to: a short message from a mailbox with storage, by an actor that owes no answer. */
static inline __attribute__((always_inline)) enum plain take_plain(struct tri_task *task, uint32_t bytes, void *message)
{
    uintptr_t stamp;
    if (__builtin_expect(!task->consumer.storage || !task->consumer.plain ||
                             tri_load(&task->mailbox.bytes, TRI_RELAXED) != bytes || tri_load(&task->hand, TRI_RELAXED),
                         0))
        return NOT_PLAIN;
    struct tri_place *place = tri_mailbox_front(&task->mailbox, &task->consumer, task->consumer.storage, &stamp);
    if (!place)
        return EMPTY;
    struct tri_debt debt = tri_place_debt(place, stamp);
    if (debt.slot) {
        if (tri_reply_expired(debt))
            return NOT_PLAIN;
        tri_hand_take(task, debt);
    }
    tri_copy_short(message, place->message, bytes);
    return tri_mailbox_pop(&task->consumer, place) ? TAKEN_FROM_FULL : TAKEN;
}

/*
 * The plain case in a leaf. The rest is reached by tail calls, which leave no frame of ours between a switch and the
 * user.
 */
int tr_receive_raw(uint32_t bytes, void *message, tr_time deadline)
{
    struct tri_worker *worker = tri_worker_here();
    if (!tri_may_go_on(worker))
        return receive_slow(bytes, message, deadline);
    struct tri_task *task = worker->current;
    enum plain plain = take_plain(task, bytes, message);
    if (__builtin_expect(plain == NOT_PLAIN, 0))
        return receive_slow(bytes, message, deadline);
    worker->budget--;
    if (plain == EMPTY)
        return receive_waiting(bytes, message, deadline);
    return plain == TAKEN_FROM_FULL ? grant_room(worker, task) : 0;
}

static __attribute__((noinline)) int try_receive_slow(uint32_t bytes, void *message)
{
    struct tri_task *task = receiver(bytes);
    if (!task)
        return -EINVAL;
    tri_settle_hand(task);
    if (tri_take_message(task, message, bytes))
        return 0;
    /* One that only tries never parks, which is where a sender that registered meanwhile is seen for sure. */
    if (tri_mailbox_serve_waiting(&task->mailbox, &task->consumer, tri_storage_cache(tri_worker_here())) &&
        tri_take_message(task, message, bytes))
        return 0;
    return tri_mailbox_is_drained(&task->mailbox, &task->consumer) ? -EPIPE : -EAGAIN;
}

int tr_try_receive_raw(uint32_t bytes, void *message)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_task *task = worker ? worker->current : NULL;
    enum plain plain = task ? take_plain(task, bytes, message) : NOT_PLAIN;
    if (plain == TAKEN)
        return 0;
    return plain == TAKEN_FROM_FULL ? grant_room(worker, task) : try_receive_slow(bytes, message);
}

int tr_receive_many_raw(uint32_t bytes, void *messages, uint32_t count, tr_time deadline)
{
    char *next = messages;
    if (count == 0 || count > INT32_MAX)
        return -EINVAL;
    int rc = tr_receive_raw(bytes, next, deadline);
    if (rc < 0)
        return rc;
    struct tri_task *task = tri_worker_here()->current;
    int taken = 1;
    for (; taken < (int)count; taken++) {
        next += bytes;
        tri_settle_hand(task);
        if (!tri_take_message(task, next, bytes))
            break;
    }
    return taken;
}

/* ---- the mailbox as a case of a select ---- */

static int attempt_message(struct tr_case *c)
{
    return tr_try_receive_raw(c->tri_number, c->tri_value);
}

/*
 * True: a message is there, or none will come. Else the mark is set that makes a sender wake us. A caller never hands its
 * letter over to us: that is for those who wait in receive.
 */
static bool message_is_there(struct tr_case *c)
{
    struct tri_task *task = tri_worker_here()->current;
    (void)c;
    for (;;) {
        if (tri_mailbox_is_ready(&task->mailbox, &task->consumer))
            return true;
        switch (tri_mailbox_idle(&task->mailbox, &task->consumer, tri_storage_cache(tri_worker_here()))) {
        case TRI_IDLE_DONE:
            return false;
        case TRI_IDLE_DRAINED:
            return true;
        case TRI_IDLE_RETRY: /* a sender is between claim and publication */
            tri_give_way(tri_worker_here());
        }
    }
}

static int enter_mailbox(struct tr_case *c)
{
    if (!receiver(c->tri_number))
        return tri_claim(c) ? -EINVAL : -EAGAIN;
    return -EAGAIN; /* looked at before the select parks */
}

static bool leave_mailbox(struct tr_case *c)
{
    struct tri_task *task = receiver(c->tri_number);
    if (task)
        tri_mailbox_unidle(&task->mailbox);
    return true;
}

static const struct tri_kind message_kind = { attempt_message, enter_mailbox, leave_mailbox, message_is_there,
                                              TRI_WAIT_MESSAGE };

struct tr_case tr_case_message_raw(uint32_t bytes, void *message)
{
    return (struct tr_case){ .tri_kind = &message_kind, .tri_value = message, .tri_number = bytes };
}

/* ---- the end of an actor from outside ------------------------------------------------------------------------- */

int tr_actor_stop_raw(struct tr_address address)
{
    struct tri_task *task = address.tri_record;
    bool schedule;
    if (!task)
        return -ESRCH;
    bool handler = tri_task_is(task, TRI_TASK_HANDLER);
    struct tri_mailbox_ref ref = tri_task_mailbox(task, address.tri_generation);
    int rc = tri_mailbox_close(&ref, &schedule);
    if (rc == 0 && schedule)
        tri_activate(task, handler);
    return rc;
}

int tr_actor_cancel_raw(struct tr_address address)
{
    return address.tri_record ? tri_task_cancel_raw(address.tri_record, address.tri_generation) : -ESRCH;
}

/* Moves the count of open senders by `change`. Returns the new count, or -ESRCH; closing more than was opened: -EINVAL. */
static int64_t count_sender(struct tr_address address, int change)
{
    struct tri_task *task = address.tri_record;
    if (!task || tri_task_generation(task) != address.tri_generation ||
        (tri_load(&task->mailbox.tail, TRI_RELAXED) & TRI_TAIL_CLOSED))
        return -ESRCH;
    uint64_t word = tri_load(&task->senders, TRI_RELAXED);
    uint64_t next;
    do {
        if ((uint32_t)(word >> 32) != (uint32_t)address.tri_generation)
            return -ESRCH;
        if (change < 0 && (uint32_t)word == 0)
            return -EINVAL;
        next = word + (uint64_t)(int64_t)change;
    } while (!tri_cas(&task->senders, &word, next, TRI_ACQ_REL, TRI_RELAXED));
    return (uint32_t)next;
}

int tr_sender_open_raw(struct tr_address address)
{
    int64_t count = count_sender(address, 1);
    return count < 0 ? (int)count : 0;
}

int tr_sender_close_raw(struct tr_address address)
{
    int64_t count = count_sender(address, -1);
    if (count == 0)
        tr_actor_stop_raw(address);
    return count < 0 ? (int)count : 0;
}

/* ---- what an actor is ----------------------------------------------------------------------------------------- */

int tr_self_raw(struct tr_address *out, const struct tr_type *type)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_task *task = worker ? worker->current : NULL;
    if (!task || !tri_task_is(task, TRI_TASK_ACTOR) || tri_load(&task->mailbox.bytes, TRI_RELAXED) != type->size)
        return -EINVAL;
    *out = (struct tr_address){ task, tri_task_generation(task) };
    return 0;
}

int tr_actor_info_raw(struct tr_address address, struct tr_actor_info *out)
{
    struct tri_task *task = address.tri_record;
    if (!task || tri_task_generation(task) != address.tri_generation || !tri_task_is(task, TRI_TASK_ACTOR))
        return -ESRCH;
    out->capacity = tri_load(&task->mailbox.capacity, TRI_RELAXED);
    out->queued = tri_mailbox_length(&task->mailbox, &task->consumer);
    out->owed = tri_load(&task->debts.count, TRI_RELAXED) + (tri_load(&task->hand, TRI_RELAXED) != NULL);
    tri_policy_info(task, address.tri_generation, out);
    uint64_t life = tri_fetch_or(&task->life, UINT64_C(0), TRI_ACQ_REL); /* as it is now, after what was read above */
    return life >> TRI_LIFE_SHIFT == address.tri_generation && (life & TRI_LIFE_ALIVE) ? 0 : -ESRCH;
}
