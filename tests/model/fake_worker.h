/* SPDX-License-Identifier: MIT */
/*
 * fake_worker.h: actor/scheduler.h for models whose threads are workers, one each, or foreign: a worker is asked for by a
 * call, instead of looked up in thread-local storage, which all threads of a model share.
 *
 * There is one machine stack per thread, so nobody can suspend mid-body. But a caller can be held, since who runs meanwhile
 * returns: the switch to a fresh loop is a call of fake_loop.
 */
#ifndef FAKE_WORKER_H
#define FAKE_WORKER_H

#include "fake_lock.h"

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

static void fake_loop(void);
#define tri_switch(from, to) ((void)(from), (void)(to), fake_loop())

#pragma push_macro("__x86_64__")
#undef __x86_64__
#include "actor/deadline.h"
#include "actor/scheduler.h"
#pragma pop_macro("__x86_64__")

/* ---- what they leave to others, and no model looks at ---- */

bool tri_in_task(void)
{
    return false;
}

void tri_give_way(struct tri_worker *worker)
{
    (void)worker;
}

int tri_stack_class(size_t bytes)
{
    (void)bytes;
    return 0;
}

void tri_deadline_forget(struct tri_worker *worker, struct tri_task *task)
{
    (void)worker, (void)task;
}

void tr_log(enum tr_log_level level, const char *format, ...)
{
    (void)level, (void)format;
}

/* ---- who is held ---- */

static struct tri_stack fake_stacks[MODEL_THREADS + 1], fake_loops[MODEL_THREADS + 1];
static int fake_errno[MODEL_THREADS + 1];

/* `task` is running on `worker`, which is the thread's of this place in the table of threads. */
static inline void begin_task(struct tri_worker *worker, int thread, struct tri_task *task)
{
    worker->current = task;
    worker->budget = TRI_BUDGET;
    worker->stack = &fake_stacks[thread + 1];
    worker->errno_at = &fake_errno[thread + 1];
}

/* As in actor/scheduler.c. */
struct tri_stack *tri_leave_held(struct tri_worker *worker, struct tri_task *next, struct tri_slot *awaits)
{
    struct tri_task *self = worker->current;
    worker->hand = next;
    worker->current = NULL;
    worker->stack->awaits = awaits;
    self->stack = worker->stack;
    self->next = worker->held;
    worker->held = self;
    return &fake_loops[model_self() + 1];
}

void tri_arrive_slow(struct tri_worker *worker, enum tri_hook hook)
{
    (void)worker;
    model_fail("hook %d: nothing is left behind by a switch here", (int)hook);
}

/* As tri_loop_entry, until it goes on with the caller that was held. */
static void fake_loop(void)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_task *task = worker->current = worker->hand;
    worker->hand = NULL;
    int result = task->body(task->argument);
    tri_task_end(task, result);
    task = worker->held;
    worker->held = task->next;
    worker->current = task;
    worker->stack = task->stack;
    task->stack = NULL;
}

#endif
