/* SPDX-License-Identifier: MIT */
/*
 * model_call.c: a call that is handed over to a loop actor (hand_over in actor/call.c) x the actor's park x its deadline,
 * with the real scheduler: call.c, actor.c, scheduler.c, wait.c and task.c. Every stack is a thread of the model, and a
 * switch passes the turn on to another; so what runs at once are two workers, and each goes from stack to stack.
 *
 *   park     the actor is about to park: it gets the message in its hand, or finds it in its mailbox
 *   again    its deadline makes it run on the other worker, and it receives again
 *   sleep    after the deadline it waits for something else: the hand-over wakes it there, and must not be taken for a message
 *   end      after the deadline it ends, and the record is another loop actor's: that gets nothing
 *   give up  as `again`, and the caller has a deadline, too
 *
 * The caller gets the answer, or is told that the actor has gone, or gives up; it never hangs.
 */
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
#include <pthread.h>
#include <troupe/runtime.h>

static void pass_turn(struct tri_context *from, struct tri_context *to);
#define tri_switch(from, to) pass_turn(from, to)

#pragma push_macro("__x86_64__")
#undef __x86_64__
#include "actor/scheduler.h"
#define __x86_64__ 1 /* tri_worker_here is ours */
#include "actor/scheduler.c"
#pragma pop_macro("__x86_64__")

#include "actor/actor.c"
#include "actor/call.c"
#include "actor/scope.c"
#include "actor/task.c"
#include "fake_cold.h"
#include "actor/wait.c"
#include "mailbox/mailbox.c"
#include "mailbox/pool.c"
#include "mailbox/storage.c"
#define claim claim_slot
#include "mailbox/reply.c"

enum {
    CALLERS,
    ACTORS,
    STACKS = 5
}; /* the workers; stack 0 is the first's loop, 1 the second's, the others are spare */

struct request {
    struct tr_token reply;
    int value;
};

static const struct tr_type type = { .name = "request", .size = sizeof(struct request), .align = 8 };
static struct tr_runtime runtime;
static struct tri_worker workers[2], *worker_on[STACKS];
static struct tri_stack stacks[STACKS];
static TRI_ATOMIC(uint32_t) away[STACKS]; /* away: it is another stack's turn */
static struct tr_address actor, stranger;
static int errnos[2], answer_value, call_rc;
static unsigned answered; /* requests, by the actor */
static tr_time call_deadline;
static struct {
    struct tri_task *task;
    tr_time when;
} alarms[2][2];      /* of each worker: the caller's, the actor's */
static void *end[5]; /* where the first thread ends, with the caller */

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

/* ---- what those leave to others ---- */

static bool never(const void *unused)
{
    (void)unused;
    return false;
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
    if (worker->tasks.head == actor.tri_record) { /* it has ended here */
        spawn_stranger();
        return TRI_IDLE_LOOK;
    }
    model_block(never, NULL);
    return TRI_IDLE_EXIT;
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

void tri_pass(struct tri_worker *worker)
{
    worker->quota = worker->quota_start = TRI_PASS_SWITCHES;
    tri_spin(); /* nothing is ready */
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
    model_assert(model_self() < 0);
    tri_store(&workers[tri_task_is(task, TRI_TASK_ACTOR) ? ACTORS : CALLERS].lifo, task, TRI_RELAXED);
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

/* ---- the parts ---- */

static void answer_request(const struct request *request)
{
    int value = request->value + 1;
    answered++;
    int rc = tr_reply_raw(request->reply, sizeof value, &value);
    model_assert(rc == 0 || (call_deadline != TR_FOREVER && rc == -ESRCH));
}

/* Answers requests. Returns when the deadline has passed. */
static int serve(tr_time deadline)
{
    struct request request;
    int rc;
    while ((rc = tr_receive_raw(sizeof request, &request, deadline)) == 0)
        answer_request(&request);
    model_assert(rc == -ETIMEDOUT && deadline != TR_FOREVER);
    return rc;
}

static int patient_actor(void *argument)
{
    (void)argument;
    return serve(TR_FOREVER);
}

static int actor_again(void *argument)
{
    (void)argument;
    serve(1);
    return serve(TR_FOREVER);
}

static int sleepy_actor(void *argument)
{
    (void)argument;
    serve(1);
    while (tri_park(2, TRI_WAIT_SLEEP) == 0)
        ;
    return serve(TR_FOREVER);
}

static int brief_actor(void *argument)
{
    (void)argument;
    serve(1);
    return 0;
}

static bool is_idle(const void *of)
{
    const struct tri_task *task = of;
    return model_peek(&task->mailbox.tail) & TRI_TAIL_IDLE ||
           model_peek(&task->life) >> TRI_LIFE_SHIFT != actor.tri_generation;
}

static int caller(void *argument)
{
    struct request request = { .value = 40 };
    struct tr_ask ask = { offsetof(struct request, reply), sizeof answer_value, &answer_value };
    (void)argument;
    model_block(is_idle, actor.tri_record);
    call_rc = tr_call_raw(actor, &type, &request, ask, call_deadline);
    model_assert(call_rc != 0 || answer_value == 41);
    answer_value = -1; /* the frame is used anew: whoever still writes there races with this */
    __builtin_longjmp(end, 1);
}

static void setup(int (*body)(void *argument))
{
    struct tri_storage *made[2];
    tri_task_pool.slab_objects = 2;
    tri_slot_pool.slab_objects = 2;
    runtime.workers = 2;
    runtime.worker = workers;
    for (unsigned i = 0; i < 2; i++) {
        workers[i].runtime = &runtime;
        workers[i].index = i;
        workers[i].alone = true;
        workers[i].quota = workers[i].quota_start = TRI_PASS_SWITCHES;
        workers[i].errno_at = &errnos[i];
        workers[i].stack = &stacks[i];
        worker_on[i] = &workers[i];
        made[i] = tri_storage_take(NULL, tri_shape_make(sizeof(struct request), 1));
        tri_pool_refill(&tri_slot_pool, &workers[i].slots);
    }
    for (unsigned i = 0; i < 2; i++)
        tri_storage_give(&workers[i].storages, made[i]);
    for (unsigned i = 0; i < STACKS; i++)
        tri_store(&away[i], 1u, TRI_RELAXED);
    for (unsigned i = 2; i < STACKS; i++)
        tri_stack_give(&workers[i % 2].stacks, 0, &stacks[i]);
    call_deadline = TR_FOREVER;
    struct tr_actor_options options = { .capacity = 1, .runtime = &runtime };
    model_assert(tr_spawn_raw(&actor, &type, body, NULL, &options) == 0);
    struct tri_spawn spawn = { .body = caller, .runtime = &runtime };
    model_assert(tri_spawn(&spawn) == 0);
}

static void park_setup(void)
{
    setup(patient_actor);
}

static void again_setup(void)
{
    setup(actor_again);
}

static void give_up_setup(void)
{
    setup(actor_again);
    call_deadline = 1;
}

static void sleep_setup(void)
{
    setup(sleepy_actor);
}

static void end_setup(void)
{
    setup(brief_actor);
}

static void caller_loop(void)
{
    if (__builtin_setjmp(end) == 0)
        tri_loop_entry(&stacks[0]);
}

static void actor_loop(void)
{
    tri_loop_entry(&stacks[1]);
}

static void spare_loop(void)
{
    await_turn((size_t)model_self());
    tri_loop_entry(&stacks[model_self()]);
}

static bool is_turn(const void *of)
{
    const TRI_ATOMIC(uint32_t) *word = of;
    return model_peek(word) == 0;
}

static void answer_check(void)
{
    model_assert(call_rc == 0 && answered == 1);
}

static void give_up_check(void)
{
    model_assert((call_rc == 0 && answered == 1) || (call_rc == -ETIMEDOUT && answered <= 1));
}

static void end_check(void)
{
    model_assert(call_rc == 0 || call_rc == -ESRCH || call_rc == -EPIPE);
    model_assert(answered == (call_rc == 0));
}

/* clang-format off */
#define ON_STACKS { { "caller", caller_loop, 0, 0, 0 }, { "actor", actor_loop, true, 0, 0 },                           \
                    { "stack 2", spare_loop, true, is_turn, &away[2] }, { "stack 3", spare_loop, true, is_turn, &away[3] }, \
                    { "stack 4", spare_loop, true, is_turn, &away[4] } }
/* clang-format on */

static const struct model_case cases[] = {
    { .name = "park", .setup = park_setup, .check = answer_check, .threads = ON_STACKS },
    { .name = "again", .setup = again_setup, .check = answer_check, .threads = ON_STACKS },
    { .name = "sleep", .setup = sleep_setup, .check = answer_check, .threads = ON_STACKS },
    { .name = "end", .setup = end_setup, .check = end_check, .threads = ON_STACKS },
    { .name = "give up", .setup = give_up_setup, .check = give_up_check, .threads = ON_STACKS },
    { 0 },
};
MODEL_LIMITED(cases, 1);
