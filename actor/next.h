/* SPDX-License-Identifier: MIT */
/*
 * next.h: which of a worker's ready tasks is next: the LIFO slot's, then the ring and the pinned ones in the order in which they became
 * ready, then what is shared. Part of scheduler.c.
 */
#ifndef TRI_NEXT_H
#define TRI_NEXT_H

#include "actor/idle.h"

#define LIFO_RUN_LIMIT 64u /* in a row, so that two tasks that wake each other do not starve the ring */

/* True if a pinned task is ready, and all that stood in the ring before it has been taken. */
static inline bool pinned_turn(struct tri_worker *worker, uint32_t head)
{
    return __builtin_expect(worker->pinned_first != NULL, 0) &&
           (int32_t)(head - worker->pinned_first->queue_place) >= 0;
}

static struct tri_task *pop_pinned(struct tri_worker *worker)
{
    struct tri_task *task = worker->pinned_first;
    if (!(worker->pinned_first = task->next))
        worker->pinned_last = NULL;
    return task;
}

/*
 * With many tasks ready, the next one's frames have long left the nearest cache: they are fetched while the one before it
 * runs, and of the one after that the context, which says where they are. Only where no thief can resume them meanwhile.
 */
static inline __attribute__((always_inline)) void fetch_ahead(struct tri_queue *queue, uint32_t head, uint32_t tail)
{
    if (tail - head < 2)
        return;
    struct tri_task *next = tri_load(&queue->slots[head % TRI_QUEUE_SLOTS], TRI_RELAXED);
    struct tri_task *after = tri_load(&queue->slots[(head + 1) % TRI_QUEUE_SLOTS], TRI_RELAXED);
    if (next->stack) {
        const char *frame = next->stack->context.sp, *record = (const char *)next;
        for (int i = 0; i < 3; i++)
            __builtin_prefetch(frame + 64 * i);
        __builtin_prefetch(record + 128);
    }
    if (after->stack)
        __builtin_prefetch(after->stack);
}

/* From the ring or the pinned tasks, in the order in which they became ready. */
static struct tri_task *pop_waiting(struct tri_worker *worker)
{
    struct tri_queue *queue = &worker->queue;
    struct tri_task *task;
    if (pinned_turn(worker, tri_load(&queue->head, TRI_RELAXED)))
        return pop_pinned(worker);
    if (worker->alone) {
        task = tri_queue_pop_alone(queue);
        fetch_ahead(queue, tri_load(&queue->head, TRI_RELAXED), tri_load(&queue->tail, TRI_RELAXED));
    } else {
        task = tri_queue_pop(queue);
    }
    return task || !worker->pinned_first ? task : pop_pinned(worker);
}

/* Past the LIFO slot, whose task gives way if anybody else is ready. */
static __attribute__((noinline)) struct tri_task *next_waiting(struct tri_worker *worker, struct tri_task *lifo)
{
    worker->lifo_run = 0;
    struct tri_task *task = pop_waiting(worker);
    if (!task)
        task = tri_take_shared_work(worker);
    if (!task || !lifo)
        return task ? task : lifo;
    tri_ready_last(worker, lifo);
    return task;
}

/* The next task to run, its budget set; NULL when nothing is ready. */
static inline struct tri_task *next_task(struct tri_worker *worker)
{
    worker->budget = TRI_BUDGET; /* a seed may say less */
    struct tri_task *lifo = tri_take_lifo(worker);
    return __builtin_expect(lifo && ++worker->lifo_run < LIFO_RUN_LIMIT, 1) ? lifo : next_waiting(worker, lifo);
}

#endif
