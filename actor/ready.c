/* SPDX-License-Identifier: MIT */
/* ready.c: where a task goes that may run: the LIFO slot, the ring, the list of pinned tasks, another worker, another runtime. */
#include "actor/idle.h"

/* Pinned tasks stay out of the ring, where thieves take what they find. */
static void push_pinned(struct tri_worker *worker, struct tri_task *task)
{
    task->next = NULL;
    task->queue_place = tri_load(&worker->queue.tail, TRI_RELAXED);
    if (worker->pinned_last)
        worker->pinned_last->next = task;
    else
        worker->pinned_first = task;
    worker->pinned_last = task;
}

void tri_ready_ring(struct tri_worker *worker, struct tri_task *task)
{
    if (tri_pin(task) != 0) {
        push_pinned(worker, task);
        return;
    }
    if (!tri_queue_push(&worker->queue, task))
        tri_overflow(worker, task);
    tri_call_sentry(worker);
}

void tri_ready_last(struct tri_worker *worker, struct tri_task *task)
{
    /* Behind those for whom the ring had no room, or they would never get in again. */
    if (__builtin_expect(tri_load(&worker->overflow.count, TRI_RELAXED) > 0, 0) && tri_pin(task) == 0) {
        tri_overflow(worker, task);
        tri_call_sentry(worker);
    } else {
        tri_ready_ring(worker, task);
    }
}

/* Of another runtime, pinned, or sent round. */
static __attribute__((noinline)) void ready_elsewhere(struct tri_task *task)
{
    struct tri_worker *worker = tri_worker_here();
    uint32_t runtime = tri_load(&task->runtime, TRI_RELAXED);
    if (!worker || worker->runtime->index != runtime)
        tri_ready_foreign(tri_runtime_at(runtime), task);
    else if (tri_pin(task) == worker->index + 1)
        tri_ready_next(worker, task);
    else if (tri_pin(task) != 0)
        tri_ready_at(&worker->runtime->worker[tri_pin(task) - 1], task);
    else
        tri_ready_at(&worker->runtime->worker[(worker->index + 1) % worker->runtime->workers], task);
}

/* The plain case in a leaf. */
void tri_ready(struct tri_task *task)
{
    struct tri_worker *worker = tri_worker_here();
    if (__builtin_expect(!worker || worker->runtime->index != tri_load(&task->runtime, TRI_RELAXED) ||
                             tri_pin(task) != 0 || worker->migrate,
                         0)) {
        ready_elsewhere(task);
        return;
    }
    if (task->stack)
        __builtin_prefetch(task->stack); /* the context that the next switch loads */
    tri_ready_next(worker, task);
}
