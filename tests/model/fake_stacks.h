/* SPDX-License-Identifier: MIT */
/*
 * fake_stacks.h: the real scheduler with an actor and whoever has to do with it, for the models of what they do together.
 * To be included once by a model.
 *
 * Every stack is a thread of the model, and a switch passes the turn on to another; so what runs at once are two workers,
 * and each goes from stack to stack. Nothing is stolen; a worker that has nothing to do lets the next deadline pass. A
 * thread that is no worker waits by a futex that is a spin.
 */
#ifndef FAKE_STACKS_H
#define FAKE_STACKS_H

#include <stdatomic.h>
#include <string.h>

#include "fake_lock.h"

#define TRI_STORAGE_BITS 4

#include "actor/queue.h"
#include "actor/sanitizer.h"
#include "actor/stack.h"
#include "actor/switch.h"
#include "actor/task.h"
#include "io/reactor.h"
#include "io/timer.h"
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <troupe/runtime.h>

static long call_kernel(int operation, const struct timespec *when);
static void *foreign_record(void);
static int note_record(void *record);
static int read_clock(struct timespec *now);

#define syscall(number, word, operation, value, when, ...) ((void)(word), call_kernel(operation, when))
#define clock_gettime(clock, now) read_clock(now)
#define pthread_once(once, first) ((void)(once), (first)())
#define pthread_key_create(key, end) ((void)(key), (void)(end), 0)
#define pthread_getspecific(key) foreign_record()
#define pthread_setspecific(key, record) (note_record(record), 0)

static void pass_turn(struct tri_context *from, struct tri_context *to);
#define tri_switch(from, to) pass_turn(from, to)

#pragma push_macro("__x86_64__")
#undef __x86_64__
#include "actor/scheduler.h" /* tri_worker_here is ours */
#pragma pop_macro("__x86_64__")

__thread struct tri_worker *tri_worker_tls; /* as in actor/worker.c */
#include "actor/ready.c"
#include "actor/scheduler.c"

#include "actor/actor.c"
static bool may_send(void);
#define tri_mailbox_send(...) (model_assert(may_send()), tri_mailbox_send(__VA_ARGS__))
#define tri_activate(...) (model_assert(may_send()), tri_activate(__VA_ARGS__))
#include "actor/call.c"
#include "actor/cycle.c"
#undef tri_mailbox_send
#undef tri_activate
#include "actor/scope.c"
#include "actor/policy.c"
#include "actor/task.c"
#include "fake_clock.h"
#include "fake_cold.h"
#include "actor/wait.c"
#undef pthread_once /* mailbox/storage.c means it */
#include "mailbox/dead_letter.c"
#include "mailbox/mailbox.c"
#include "mailbox/policy.c"
#include "mailbox/pool.c"
#include "mailbox/storage.c"
#define claim claim_slot
#include "mailbox/reply.c"

/* The workers. Stack 0 is the loop of the first, 1 that of the second, the others are spare. */
enum { CALLERS, ACTORS, STACKS = 5 };

struct request {
    struct tr_token reply;
    int value;
};

static const struct tr_type type = { .name = "request", .size = sizeof(struct request), .align = 8 };
static struct tr_runtime runtime;
static struct tri_worker workers[2], *worker_on[MODEL_THREADS]; /* NULL: no worker */
static struct tri_stack stacks[STACKS];
static TRI_ATOMIC(uint32_t) away[STACKS]; /* away: it is another stack's turn */
static struct tr_address actor, stranger;
static int errnos[2];
static struct {
    struct tri_task *task;
    tr_time when;
} alarms[2][2];                          /* of each worker: the caller's, the actor's */
static void *records[MODEL_THREADS + 1]; /* those that stand for threads */
static long clocks[MODEL_THREADS + 1];
static TRI_ATOMIC(struct tri_task *) injected;

/* ---- stacks are threads ---- */

static void await_turn(size_t stack)
{
    model_await_zero(&away[stack]);
    model_assert(tri_exchange(&away[stack], 1u, TRI_ACQUIRE) == 0);
}

static void pass_turn(struct tri_context *from, struct tri_context *to)
{
    size_t here = (size_t)((struct tri_stack *)(void *)from - stacks);
    size_t there = (size_t)((struct tri_stack *)(void *)to - stacks);
    model_assert(here == (size_t)model_self() && there < STACKS);
    worker_on[there] = worker_on[here];
    tri_store(&away[there], 0u, TRI_RELEASE);
    await_turn(here);
}

struct tri_worker *tri_worker_here(void)
{
    return model_self() < 0 ? NULL : worker_on[model_self()];
}

/* ---- a thread that is no worker ---- */

/* Where a clock that stands would see it. */
static bool may_send(void)
{
    return model_self() < 0 || tri_worker_here() || fake_visits[model_self() + 1] > 0;
}

/* A futex: a wait with a deadline ends when others have run. */
static long call_kernel(int operation, const struct timespec *when)
{
    if (operation == FUTEX_WAIT_BITSET_PRIVATE && when)
        model_yield();
    else if (operation == FUTEX_WAIT_BITSET_PRIVATE)
        tri_spin();
    return 0;
}

static void *foreign_record(void)
{
    return records[model_self() + 1];
}

static int note_record(void *record)
{
    records[model_self() + 1] = record;
    return 0;
}

/* Time passes from look to look. */
static int read_clock(struct timespec *now)
{
    *now = (struct timespec){ .tv_nsec = clocks[model_self() + 1]++ };
    return 0;
}

/* ---- what those leave to others ---- */

static bool never(const void *unused)
{
    (void)unused;
    return false;
}

static bool is_injected(const void *unused)
{
    (void)unused;
    return model_peek(&injected) != 0;
}

static int stranger_body(void *argument)
{
    struct request request;
    (void)argument;
    tr_receive_raw(sizeof request, &request, TR_FOREVER);
    model_fail("the stranger has got something");
}

static void spawn_stranger(void)
{
    struct tr_actor_options options = { .capacity = 1 };
    model_assert(tr_spawn_raw(&stranger, &type, stranger_body, NULL, &options) == 0);
    model_assert(stranger.tri_record == actor.tri_record);
}

/* Nothing is ready. The next deadline passes, as in fire() of actor/deadline.c. */
enum tri_idle_result tri_idle(struct tri_worker *worker)
{
    for (unsigned i = 0; i < 2; i++) {
        struct tri_task *task = alarms[worker->index][i].task;
        if (!task)
            continue;
        worker->now = alarms[worker->index][i].when;
        alarms[worker->index][i].task = NULL;
        tri_wake(task);
        return TRI_IDLE_LOOK;
    }
    uint32_t freed = tri_load(&worker->tasks.count, TRI_RELAXED);
    if (freed > 0 && worker->tasks.objects[freed - 1] == actor.tri_record) { /* it has ended here */
        spawn_stranger();
        return TRI_IDLE_LOOK;
    }
    if (worker == &workers[CALLERS])
        model_block(never, NULL);
    struct tri_task *task;
    model_block(is_injected, NULL);
    while (!(task = tri_load(&injected, TRI_ACQUIRE)))
        tri_spin();
    tri_store(&injected, NULL, TRI_RELAXED);
    tri_ready_ring(worker, task);
    return TRI_IDLE_LOOK;
}

int tri_deadline_arm(struct tri_worker *worker, struct tri_task *task, tr_time deadline)
{
    unsigned which = tri_task_is(task, TRI_TASK_ACTOR) ? ACTORS : CALLERS;
    alarms[worker->index][which].task = deadline == TR_FOREVER ? NULL : task;
    alarms[worker->index][which].when = deadline;
    return 0;
}

void tri_deadline_forget(struct tri_worker *worker, struct tri_task *task)
{
    (void)worker;
    model_fail("task %p has no alarm", (void *)task);
}

bool tri_pass(struct tri_worker *worker)
{
    tri_start_quota(worker, TRI_PASS_SWITCHES);
    tri_spin(); /* nothing is ready */
    return false;
}

struct tri_task *tri_take_shared_work(struct tri_worker *worker)
{
    (void)worker;
    return NULL;
}

void tri_overflow(struct tri_worker *worker, struct tri_task *task)
{
    model_fail("worker %u, task %p: no room in the ring", worker->index, (void *)task);
}

void tri_leave_watch(struct tri_worker *worker)
{
    (void)worker;
}

void tri_ready_at(struct tri_worker *worker, struct tri_task *task)
{
    model_fail("task %p is bound to worker %u", (void *)task, worker->index);
}

void tri_ready_foreign(struct tr_runtime *of, struct tri_task *task)
{
    (void)of;
    if (model_self() < 0)
        tri_store(&workers[tri_task_is(task, TRI_TASK_ACTOR) ? ACTORS : CALLERS].lifo, task, TRI_RELAXED);
    else
        tri_store(&injected, task, TRI_RELEASE); /* there is only one that another can wake */
}

struct tr_runtime *tri_runtime_at(uint32_t index)
{
    (void)index;
    return &runtime;
}

void tri_runtime_task_ended(struct tr_runtime *of)
{
    (void)of;
}

void tri_call_sentry_slow(struct tri_worker *worker)
{
    (void)worker;
}

void tri_lifo_wait(struct tri_worker *worker)
{
    (void)worker;
}

void tri_worker_own_stack(struct tri_stack *stack)
{
    (void)stack;
}

int tri_stack_class(size_t bytes)
{
    (void)bytes;
    return 0;
}

struct tri_stack *tri_stack_take_slow(uint32_t size_class)
{
    model_fail("no stack of class %u", size_class);
}

void tri_stack_give_slow(struct tri_stack_cache *cache, struct tri_stack *stack)
{
    (void)cache;
    model_fail("stack %p: the cache is full", (void *)stack);
}

void tri_stack_flush(struct tri_stack_cache *cache)
{
    (void)cache;
}

unsigned tri_reactor_poll(struct tri_reactor *reactor, tr_time until)
{
    (void)reactor, (void)until;
    return 0;
}

void tri_handler_run(struct tri_task *task)
{
    model_fail("task %p is no handler actor", (void *)task);
}

void tr_log(enum tr_log_level level, const char *format, ...)
{
    (void)level, (void)format;
}

#endif
