/* SPDX-License-Identifier: MIT */
/*
 * fake_joiners.h: what actor/task.c and actor/join.c leave to others, for a model whose threads are workers that wait as
 * foreign threads do: on the real park word, spinning. To be included once by a model.
 */
#ifndef FAKE_JOINERS_H
#define FAKE_JOINERS_H

#include "fake_worker.h"

#include "actor/idle.h"
#include "actor/spawn.h"

static struct tri_worker workers[MODEL_THREADS + 1];
static struct tri_task waiters[MODEL_THREADS + 1]; /* those who join */
static int made[MODEL_THREADS + 1];                /* a thread's record is made when it first waits (T4) */

struct tri_worker *tri_worker_here(void)
{
    return &workers[model_self() + 1];
}

int tri_checkpoint(void)
{
    return 0;
}

tr_time tr_after(int64_t nanoseconds)
{
    (void)nanoseconds;
    return 1;
}

struct tri_task *tri_self(void)
{
    if (!made[model_self() + 1])
        made[model_self() + 1] = 1;
    return &waiters[model_self() + 1];
}

void tri_wake(struct tri_task *task)
{
    model_assert(task < waiters || task >= waiters + MODEL_THREADS + 1 || made[task - waiters]);
    tri_park_wake(&task->park);
}

/* As park_foreign of actor/wait.c. A deadline passes as soon as others have run. */
int tri_park(tr_time deadline, enum tri_wait on)
{
    struct tri_task *self = tri_self();
    (void)on;
    if (deadline != TR_FOREVER) {
        model_yield();
        return tri_park_consume(&self->park) ? 0 : -ETIMEDOUT;
    }
    if (tri_park_commit(&self->park))
        while (tri_load(&self->park.state, TRI_ACQUIRE) == TRI_PARKED)
            tri_spin();
    return 0;
}

void tri_park_tail(enum tri_wait on)
{
    tri_park(TR_FOREVER, on);
}

void tri_ready(struct tri_task *task)
{
    (void)task;
}

void tri_ready_last(struct tri_worker *worker, struct tri_task *task)
{
    (void)worker, (void)task;
}

void tri_call_sentry_slow(struct tri_worker *worker)
{
    (void)worker;
}

/* As in actor/idle.c. */
void tri_lifo_wait(struct tri_worker *worker)
{
    do {
        tri_store(&worker->in_lifo, 0u, TRI_RELEASE);
        while (tri_load(&worker->raid, TRI_RELAXED) != 0)
            tri_spin();
        tri_store(&worker->in_lifo, 1u, TRI_RELAXED);
    } while (tri_load(&worker->raid, TRI_ACQUIRE) != 0);
}

struct tri_stack *tri_leave(struct tri_worker *worker, enum tri_hook hook)
{
    (void)worker, (void)hook;
    return NULL;
}

void tri_runtime_task_ended(struct tr_runtime *of)
{
    (void)of;
}

bool tri_note_wait(struct tri_worker *worker, tr_time deadline, enum tri_wait on)
{
    (void)worker, (void)deadline, (void)on;
    return true;
}

tr_time tri_bounded(struct tri_worker *worker, tr_time deadline)
{
    (void)worker;
    return deadline;
}

#endif
