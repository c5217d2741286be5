/* SPDX-License-Identifier: MIT */
/*
 * task.c: the life of a record: spawn, cancel, end. Joining and detaching are in join.c.
 *
 *   [T1] the join word. The end puts DONE or, if somebody waits in it, TAKEN there (release). The one who waited reads
 *        TAKEN (acquire), and the record is its own. Those who find DONE contend for it by moving the generation. A task
 *        that was detached frees itself.
 *   [T4] who waits puts its record there (release) -> the end, which wakes it (acquire): a foreign thread's may be new.
 *   [T3] spawned (foreign_spawned), fence, phase   against   phase, fence, counts (runtime.c): a spawn that goes on has
 *        been seen by the shutdown, which waits for its end.
 *   [T2] life: set with release when the record has its new tenant, and when it ends, so that a walk over all records that
 *        finds it finds whose it is. Handles are passed on with what they stand for; to move on from them orders nothing.
 */
#include "actor/task.h"
#include "actor/deadline.h"
#include "actor/idle.h"
#include "actor/scheduler.h"
#include "actor/sim.h"
#include "actor/policy.h"
#include "actor/spawn.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tri_task_construct(void *object)
{
    struct tri_task *task = object;
    tri_mailbox_construct(&task->mailbox, &task->consumer);
    tri_store(&task->life, UINT64_C(1) << TRI_LIFE_SHIFT, TRI_RELAXED); /* generation 0 is nobody's */
}

struct tri_pool tri_task_pool = {
    .name = "task",
    .object_bytes = sizeof(struct tri_task),
    .link_offset = offsetof(struct tri_task, next),
    .slab_objects = 4096,
    .construct = tri_task_construct,
};

struct tri_pool tri_node_pool = {
    .name = "node",
    .object_bytes = 64,
    .slab_objects = 512,
};

struct tri_pool tri_cold_pool = {
    .name = "cold",
    .object_bytes = 128,
    .link_offset = offsetof(struct tri_cold, next),
    .slab_objects = 512,
};
_Static_assert(sizeof(struct tri_cold) <= 128 && sizeof(struct tri_reason) <= 128, "tri_cold_pool");

TRI_NO_TSAN const char *tri_task_copy_label(struct tri_task *task, char *buffer)
{
    const char *label = tri_task_label(task);
    size_t i = 0;
    for (; i + 1 < TRI_NAME_BYTES && label[i]; i++)
        buffer[i] = label[i];
    buffer[i] = '\0';
    return buffer;
}

/* ---- spawn ---------------------------------------------------------------------------------------------------- */

/* The part that most tasks do without. NULL: no memory. May suspend, in what the user does to inherit values or destroys them. */
static __attribute__((noinline)) struct tri_cold *make_cold(struct tri_worker *worker, const struct tri_spawn *spawn)
{
    struct tri_cold *made = tri_pool_take(&tri_cold_pool, tri_cold_cache(worker));
    if (!made)
        return NULL;
    made->drop = spawn->drop;
    made->has_policy = false;
    made->stopped = spawn->stopped;
    made->copy = NULL;
    made->locals = NULL;
    made->reason = NULL;
    made->member = spawn->member;
    made->link = NULL;
    made->owned = NULL;
    made->ending = false;
    if ((spawn->overflow != TR_OVERFLOW_WAIT && !tri_policy_make(made)) ||
        (spawn->inherit_locals && tri_cold_inherit(made) < 0)) {
        tri_cold_free(tri_worker_here(), made);
        return NULL;
    }
    made->name[0] = '\0';
    if (spawn->name)
        snprintf(made->name, sizeof made->name, "%s", spawn->name);
    if (spawn->argument_bytes > 0) {
        made->copy = malloc(spawn->argument_bytes);
        if (!made->copy) {
            tri_cold_end(made);
            tri_cold_free(tri_worker_here(), made);
            return NULL;
        }
        memcpy(made->copy, spawn->argument, spawn->argument_bytes);
    }
    return made;
}

static inline __attribute__((always_inline)) int check(struct tri_worker *worker, const struct tri_spawn *spawn,
                                                       struct tr_runtime **runtime, uint32_t *stack_class)
{
    *runtime = spawn->runtime ? spawn->runtime : worker ? worker->runtime : NULL;
    if (!*runtime || !spawn->body)
        return -EINVAL;
    *stack_class = (*runtime)->stack_class;
    if (spawn->stack_bytes > 0) {
        int size_class = tri_stack_class(spawn->stack_bytes);
        if (size_class < 0)
            return -EINVAL;
        *stack_class = (uint32_t)size_class;
    }
    if (spawn->pin != TR_PIN_NONE && (spawn->pin < TR_PIN_HERE || spawn->pin > (int)(*runtime)->workers))
        return -EINVAL;
    if (spawn->pin == TR_PIN_HERE && (!worker || worker->runtime != *runtime))
        return -EINVAL;
    if (spawn->flags & TRI_TASK_ACTOR &&
        (spawn->capacity > TR_CAPACITY_LIMIT || spawn->message_bytes > TR_MESSAGE_LIMIT ||
         (unsigned)spawn->overflow > TR_OVERFLOW_DROP_OLDEST))
        return -EINVAL;
    return 0;
}

/* A record that is free has no stack, no cold part and no request in hand: its last tenant has seen to that. */
static inline __attribute__((always_inline)) void fill(struct tri_task *task, const struct tri_spawn *spawn,
                                                       struct tri_cold *cold)
{
    assert(!task->stack && !tri_load(&task->cold, TRI_RELAXED) && !tri_load(&task->hand, TRI_RELAXED));
    task->body = spawn->body;
    task->argument = cold && cold->copy ? cold->copy : spawn->argument;
    if (cold)
        tri_store(&task->cold, cold, TRI_RELAXED);
    tri_store(&task->flags, spawn->flags, TRI_RELAXED);
    tri_store(&task->park.state, (uint32_t)TRI_RUNNING, TRI_RELAXED);
    tri_store(&task->join, spawn->handle ? tri_join_nobody(tri_task_generation(task)) : TRI_JOIN_DETACHED, TRI_RELAXED);
}

/* The spawner is a task of that runtime, which lives and is counted: the shutdown waits for it anyway. Not so a hook in a loop. */
static inline bool is_of(const struct tri_worker *worker, const struct tr_runtime *runtime)
{
    return worker && worker->runtime == runtime && worker->current;
}

/* Counts the task as living, unless the runtime is shutting down. */
static inline bool count_spawn(struct tri_worker *worker, struct tr_runtime *runtime)
{
    if (is_of(worker, runtime)) {
        if (tri_load(&runtime->phase, TRI_RELAXED) != TRI_PHASE_RUN)
            return false;
        tri_store(&worker->spawned, tri_load(&worker->spawned, TRI_RELAXED) + 1, TRI_RELAXED);
        return true;
    }
    tri_fetch_add(&runtime->foreign_spawned, UINT64_C(1), TRI_RELAXED);
    tri_fence(TRI_SEQ_CST); /* [T3] */
    if (tri_load(&runtime->phase, TRI_RELAXED) == TRI_PHASE_RUN)
        return true;
    tri_fetch_sub(&runtime->foreign_spawned, UINT64_C(1), TRI_RELAXED);
    return false;
}

static void uncount_spawn(struct tri_worker *worker, struct tr_runtime *runtime)
{
    if (is_of(worker, runtime))
        tri_store(&worker->spawned, tri_load(&worker->spawned, TRI_RELAXED) - 1, TRI_RELAXED);
    else
        tri_fetch_sub(&runtime->foreign_spawned, UINT64_C(1), TRI_RELAXED);
}

static void free_task(struct tri_worker *worker, struct tri_task *task);

/* A task with a token or a group. Not started after all, it is as if it had never been. */
static __attribute__((noinline)) int start_cold(struct tri_worker *worker, struct tr_runtime *runtime,
                                                struct tri_task *task, const struct tri_spawn *spawn)
{
    struct tri_cold *cold = tri_load(&task->cold, TRI_RELAXED);
    int rc = tri_cold_start(task, tri_task_generation(task), cold, spawn);
    if (rc < 0) {
        tri_cold_end(cold); /* may suspend in what inherited values need to be destroyed */
        worker = tri_worker_here();
        free_task(worker, task);
        uncount_spawn(worker, runtime);
    }
    return rc;
}

/* Fills a fresh record: the task lives from here on. */
static inline __attribute__((always_inline)) void bring_to_life(struct tri_task *task, const struct tri_spawn *spawn,
                                                                struct tri_cold *cold, struct tr_runtime *runtime,
                                                                uint32_t stack_class, uint32_t pin)
{
    uint64_t generation = tri_task_generation(task);
    fill(task, spawn, cold);
    task->stack_class = (uint8_t)stack_class;
    tri_store(&task->pin, (uint16_t)pin, TRI_RELAXED);
    tri_store(&task->runtime, (uint16_t)runtime->index, TRI_RELAXED);
    tri_store(&task->life, generation << TRI_LIFE_SHIFT | TRI_LIFE_ALIVE, TRI_RELEASE); /* [T2] */
    if (spawn->flags & TRI_TASK_ACTOR) {
        tri_store(&task->senders, generation << 32, TRI_RELAXED);
        tri_mailbox_init(&task->mailbox, &task->consumer, spawn->capacity, spawn->message_bytes, spawn->overflow,
                         spawn->flags & TRI_TASK_HANDLER);
    }
    if (spawn->handle)
        *spawn->handle = (struct tr_task){ task, generation };
    if (spawn->address)
        *spawn->address = (struct tr_address){ task, generation };
}

static inline __attribute__((always_inline)) int spawn_task(const struct tri_spawn *spawn)
{
    struct tri_worker *worker = tri_worker_here();
    struct tr_runtime *runtime;
    struct tri_cold *cold = NULL;
    uint32_t stack_class;
    int rc = check(worker, spawn, &runtime, &stack_class);
    if (rc < 0)
        return rc;
    if (!count_spawn(worker, runtime))
        return -ECANCELED;
    struct tri_task *task = tri_pool_take(&tri_task_pool, tri_task_cache(worker));
    if (!task) {
        uncount_spawn(worker, runtime);
        return -ENOMEM;
    }
    if (spawn->name || spawn->drop || spawn->stopped || spawn->argument_bytes > 0 || spawn->inherit_locals ||
        spawn->token || spawn->member || spawn->overflow != TR_OVERFLOW_WAIT) {
        struct tri_spawn copy = *spawn; /* so that the original need not be in memory when there is nothing to do */
        cold = make_cold(worker, &copy);
        worker = tri_worker_here();
        rc = cold ? 0 : -ENOMEM;
    }
    if (__builtin_expect(rc < 0, 0)) {
        tri_pool_give(&tri_task_pool, tri_task_cache(worker), task);
        uncount_spawn(worker, runtime);
        return rc;
    }
    uint32_t pin = spawn->pin == TR_PIN_HERE ? worker->index + 1 : (uint32_t)spawn->pin;
    bring_to_life(task, spawn, cold, runtime, stack_class, pin);
    if (spawn->flags & TRI_TASK_HANDLER) {
        if (__builtin_expect(worker && worker->turns, 0))
            tri_sim_meet(worker, task);
        return 0; /* runs when its first message comes */
    }
    if (spawn->token || spawn->member) {
        struct tri_spawn copy = *spawn; /* as above */
        rc = start_cold(worker, runtime, task, &copy);
        if (rc < 0)
            return rc;
    }
    tri_ready(task);
    return 0;
}

int tri_spawn(const struct tri_spawn *spawn)
{
    return spawn_task(spawn);
}

/* ---- end ------------------------------------------------------------------------------------------------------ */

void tri_task_free_cold(struct tri_worker *worker, struct tri_task *task)
{
    struct tri_cold *cold = tri_load(&task->cold, TRI_RELAXED);
    tri_store(&task->cold, NULL, TRI_RELAXED);
    tri_cold_free(worker, cold);
}

/* The end of a task that nobody can join. The generation moves, so that every handle is stale from here on. */
static void free_task(struct tri_worker *worker, struct tri_task *task)
{
    uint64_t generation = tri_task_generation(task) + 1;
    tri_store(&task->life, generation << TRI_LIFE_SHIFT, TRI_RELAXED); /* nobody reads on in a record that is free */
    tri_task_give(worker, task);
}

void tri_task_discard(struct tri_task *task, void *message, struct tri_debt debt, enum tr_dead_reason reason)
{
    struct tri_worker *worker = tri_worker_here();
    if (debt.slot)
        tri_reply_send(tri_slot_cache(worker), debt, 0, NULL, -ESRCH, NULL);
    tri_task_bury(task, message, reason);
    struct tri_cold *cold = tri_load(&task->cold, TRI_RELAXED);
    void (*drop)(void *) = cold ? tri_drop_of(cold) : NULL;
    if (drop)
        drop(message);
}

/* Closes the mailbox, waits for senders that are between claim and publication, and discards what is in it. */
static void drain(struct tri_task *task)
{
    _Alignas(64) char message[TR_MESSAGE_LIMIT > 1024 ? 1024 : TR_MESSAGE_LIMIT];
    char *buffer = message;
    bool schedule;
    struct tri_debt debt;
    struct tri_mailbox_ref ref = tri_task_mailbox(task, tri_task_generation(task));
    uint32_t bytes = tri_load(&task->mailbox.bytes, TRI_RELAXED);
    tri_mailbox_close(&ref, &schedule); /* we are running: there is nobody to schedule */
    if (bytes > sizeof message)
        buffer = __builtin_alloca_with_align(bytes, 512);
    for (;;) {
        struct tri_worker *worker = tri_worker_here();
        struct tri_storage_cache *cache = tri_storage_cache(worker);
        if (tri_mailbox_take(&task->mailbox, &task->consumer, cache, buffer, bytes, &debt) == TRI_TAKE_MESSAGE ||
            tri_mailbox_take_shared(&task->mailbox, &task->consumer, buffer, bytes, &debt) == TRI_TAKE_MESSAGE)
            tri_task_discard(task, buffer, debt, TR_DEAD_UNDELIVERED);
        else if (tri_mailbox_idle(&task->mailbox, &task->consumer, cache) == TRI_IDLE_DRAINED)
            break;
        else
            tri_give_way(worker);
    }
    tri_mailbox_finish(&task->mailbox, &task->consumer, tri_storage_cache(tri_worker_here()));
}

/* A failure that nobody will ask for. */
void tri_task_report(struct tri_task *task)
{
    struct tri_cold *cold = tri_load(&task->cold, TRI_RELAXED);
    if (task->result < 0 && task->result != -ECANCELED)
        tri_outcome_report(task, task->result, cold ? cold->reason : NULL);
}

/* Every reply that the task still owes. */
static void resolve_debts(struct tri_task *task)
{
    struct tri_cache *cache = tri_slot_cache(tri_worker_here());
    struct tri_debt hand = tri_hand(task);
    tri_hand_clear(task);
    if (hand.slot)
        tri_reply_send(cache, hand, 0, NULL, -EPIPE, NULL);
    if (tri_load(&task->debts.count, TRI_RELAXED) > 0)
        tri_debts_resolve(&task->debts, cache, -EPIPE);
}

/* Nobody will ask for the result. */
static void end_detached(struct tri_worker *worker, struct tri_task *task)
{
    tri_task_report(task);
    free_task(worker, task);
}

/* A cancellation that races with this store is lost, as one that comes after the end is. */
static inline void mark_ended(struct tri_task *task)
{
    tri_store(&task->life, tri_task_generation(task) << TRI_LIFE_SHIFT | TRI_LIFE_ENDED, TRI_RELEASE); /* [T2] */
}

/*
 * The joiner is held: it cannot leave the word, and goes on when we return to the loop. On this very thread, so that the
 * store releases nothing; to others TAKEN only says no. In the plain case the record is not even marked as ended: the joiner
 * frees it at once.
 */
static inline void end_for_held(struct tri_task *task)
{
    tri_store(&task->join, TRI_JOIN_TAKEN, TRI_RELAXED); /* [T1] */
}

/* Lets the joiner have the result; the record is the joiner's from then on. */
static inline void end_joinable(struct tri_worker *worker, struct tri_task *task)
{
    struct tri_task *held = worker->held;
    mark_ended(task);
    if (held && tri_load(&task->join, TRI_RELAXED) == (uintptr_t)held) {
        end_for_held(task);
        return;
    }
    uintptr_t nobody = tri_join_nobody(tri_task_generation(task)), joiner = nobody, next;
    do {
        if (joiner == TRI_JOIN_DETACHED) { /* meanwhile */
            end_detached(worker, task);
            return;
        }
        next = joiner == nobody ? TRI_JOIN_DONE : TRI_JOIN_TAKEN;
    } while (!tri_cas(&task->join, &joiner, next, TRI_ACQ_REL, TRI_RELAXED)); /* [T1] [T4] */
    if (joiner != nobody)
        tri_wake((struct tri_task *)joiner);
}

/* The part of an actor's end that it may suspend in. */
static void end_actor(struct tri_task *task, int result)
{
    struct tri_cold *cold = tri_load(&task->cold, TRI_RELAXED);
    if (cold && cold->stopped)
        cold->stopped(task->argument, result);
    resolve_debts(task); /* of requests that a callback took on since */
}

static bool is_main(struct tri_task *task)
{
    const struct tr_task *main = &tri_worker_here()->runtime->main;
    return task == main->tri_record && tri_task_generation(task) == main->tri_generation;
}

static __attribute__((noinline)) void end_slow(struct tri_task *task, int result)
{
    bool actor = tri_task_is(task, TRI_TASK_ACTOR);
    struct tri_cold *cold = tri_load(&task->cold, TRI_RELAXED);
    if (actor || cold)
        tri_forget_scopes(tri_worker_here());
    if (actor) {
        /* Before what may take its time: nobody need wait for that. */
        resolve_debts(task);
        drain(task);
        cold = tri_load(&task->cold, TRI_RELAXED); /* what is dropped may have come to own something */
    }
    if (cold)
        tri_cold_end_owned(cold);
    if (actor)
        end_actor(task, result);
    cold = tri_load(&task->cold, TRI_RELAXED);
    if (cold)
        tri_cold_end(cold);
    struct tri_worker *worker = tri_worker_here();
    if (is_main(task)) /* it suspends no more */
        tri_clock_hold_end(worker->runtime);
    struct tri_member *member = cold ? cold->member : NULL;
    if (tri_load(&task->alarm, TRI_RELAXED))
        tri_deadline_forget(worker, task);
    task->result = result;
    bool taken = member && tri_member_end(member, cold, result);
    if (taken)
        free_task(worker, task);
    else if (tri_load(&task->join, TRI_RELAXED) == TRI_JOIN_DETACHED)
        end_detached(worker, task);
    else
        end_joinable(worker, task);
    worker->current = NULL; /* the record may be another's: a log sink that is told of the failure finds no task */
    if (member)
        tri_member_leave(member);
    tri_store(&worker->ended, tri_load(&worker->ended, TRI_RELAXED) + 1, TRI_RELEASE);
    if (tri_load(&worker->runtime->phase, TRI_RELAXED) != TRI_PHASE_RUN)
        tri_runtime_task_ended(worker->runtime);
}

/* The plain case in a leaf: a task without any extras, whose joiner is held. */
void tri_task_end(struct tri_task *task, int result)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_task *held = worker->held;
    if (__builtin_expect(!held || tri_load(&task->join, TRI_RELAXED) != (uintptr_t)held ||
                             tri_task_is(task, TRI_TASK_ACTOR) || tri_load(&task->cold, TRI_RELAXED) ||
                             tri_load(&task->alarm, TRI_RELAXED) ||
                             tri_load(&worker->runtime->phase, TRI_RELAXED) != TRI_PHASE_RUN,
                         0)) {
        end_slow(task, result);
        return;
    }
    task->result = result;
    end_for_held(task);
    tri_store(&worker->ended, tri_load(&worker->ended, TRI_RELAXED) + 1, TRI_RELEASE);
}

/* ---- cancel, and the public side of spawning ------------------------------------------------------------------- */

int tri_task_cancel_raw(struct tri_task *task, uint64_t generation)
{
    uint64_t life = tri_load(&task->life, TRI_RELAXED); /* who has the handle knows the tenant */
    do {
        if (life >> TRI_LIFE_SHIFT != generation || !(life & TRI_LIFE_ALIVE))
            return -ESRCH;
    } while (!tri_cas(&task->life, &life, life | TRI_LIFE_CANCEL, TRI_RELAXED, TRI_RELAXED));
    /* An actor without a stack has no call to return from: closing its mailbox makes it run, find the bit, and end. */
    bool schedule;
    struct tri_mailbox_ref ref = tri_task_mailbox(task, generation);
    if (tri_task_is(task, TRI_TASK_HANDLER) && tri_mailbox_close(&ref, &schedule) == 0 && schedule)
        tri_ready(task);
    tri_wake(task);
    return 0;
}

int tr_task_cancel(struct tr_task handle)
{
    return handle.tri_record ? tri_task_cancel_raw(handle.tri_record, handle.tri_generation) : -ESRCH;
}

struct tr_task tr_task_self(void)
{
    struct tri_worker *worker = tri_worker_here();
    if (!worker || !worker->current)
        return (struct tr_task){ 0 };
    return (struct tr_task){ worker->current, tri_task_generation(worker->current) };
}

const char *tr_task_name(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker && worker->current ? tri_task_label(worker->current) : "";
}

static __attribute__((noinline)) int spawn_slow(struct tr_task *out, int (*body)(void *argument), void *argument,
                                                const struct tr_task_options *options)
{
    static const struct tr_task_options none;
    struct tri_spawn spawn = tri_task_spawn_of(body, argument, options ? options : &none);
    spawn.handle = out;
    return options && options->owned ? tri_group_spawn_owned(&spawn) : tri_spawn(&spawn);
}

/* The plain case in a leaf: a task without options, by one of the same runtime, with a record in the cache. */
int tr_task_spawn(struct tr_task *out, int (*body)(void *argument), void *argument,
                  const struct tr_task_options *options)
{
    struct tri_worker *worker = tri_worker_here();
    if (__builtin_expect(options || !body || !worker || worker->no_caches || worker->migrate ||
                             tri_load(&worker->tasks.count, TRI_RELAXED) == 0 || !count_spawn(worker, worker->runtime),
                         0))
        return spawn_slow(out, body, argument, options);
    struct tri_spawn spawn = { .body = body, .argument = argument, .handle = out };
    struct tri_task *task = tri_pool_take_cached(&worker->tasks);
    bring_to_life(task, &spawn, NULL, worker->runtime, worker->runtime->stack_class, 0);
    tri_ready_next(worker, task);
    return 0;
}
