/* SPDX-License-Identifier: MIT */
/*
 * queue.h: a worker's run queue: a ring of 256, pushed by its owner, popped by the owner and by thieves (the layout of
 * Go's and Tokio's run queues).
 *
 *   [Q1] tail release (push) -> tail acquire (thief): the entries below it. The owner needs no order with itself.
 *   [Q2] head CAS release (pop, steal) -> head acquire (push, and a thief into its own ring): the entry has been read before
 *        it is written again. A plain pop needs none: who reads there writes there.
 *   [Q3] the CAS on the head decides who gets an entry; a thief copies first, and throws the copy away if it loses.
 *   [Q4] head CAS release (pop, steal) -> head acquire (a thief that found the two apart): the tail it reads next is no older
 *        than the head, so it does not turn for ever.
 *   [Q5] while there are no thieves the owner moves the head without a locked instruction. popping := 1, look at `thieves`,
 *        owner   against   thieves + 1, membarrier, look at `popping`: either the owner sees the thief and takes the way by
 *        CAS, or the thief sees the owner, and waits until it is done. The owner never waits. The barrier is the dear part (two
 *        interrupts; 76 microseconds of two processors were measured in a virtual machine), so a thief may stay, and steal again.
 *   [Q6] popping := 0 release -> acquire by the thief, and thieves - 1 release -> acquire by the owner: the head as the
 *        other has left it.
 */
#ifndef TRI_QUEUE_H
#define TRI_QUEUE_H

#include "mailbox/atomic.h"
#include "mailbox/membarrier.h"
#include <stddef.h>

#ifndef TRI_QUEUE_SLOTS
#define TRI_QUEUE_SLOTS 256u
#define TRI_QUEUE_PATIENCE 100u /* looks of a thief at an owner that may have lost its processor in a pop */
#endif

#define TRI_QUEUE_NO_BARRIER (UINT32_C(1) << 31) /* in `thieves`, from the start: there is no membarrier */

struct tri_task;

struct tri_queue {
    _Alignas(64) TRI_ATOMIC(uint32_t) head; /* thieves and owner */
    TRI_ATOMIC(uint32_t) thieves;           /* that are at work */
    _Alignas(64) TRI_ATOMIC(uint32_t) tail; /* owner */
    TRI_ATOMIC(uint32_t) popping;           /* owner: between looking at `thieves` and being done with the head */
    TRI_ATOMIC(struct tri_task *) slots[TRI_QUEUE_SLOTS];
};

static inline uint32_t tri_queue_length(struct tri_queue *queue)
{
    uint32_t head = tri_load(&queue->head, TRI_RELAXED);
    uint32_t length = tri_load(&queue->tail, TRI_RELAXED) - head;
    return length <= TRI_QUEUE_SLOTS ? length : 0; /* the two were read apart */
}

/* Owner. False when full. */
static inline bool tri_queue_push(struct tri_queue *queue, struct tri_task *task)
{
    uint32_t tail = tri_load(&queue->tail, TRI_RELAXED);
    if (tail - tri_load(&queue->head, TRI_ACQUIRE) == TRI_QUEUE_SLOTS) /* [Q2] */
        return false;
    tri_store(&queue->slots[tail % TRI_QUEUE_SLOTS], task, TRI_RELAXED);
    tri_store(&queue->tail, tail + 1, TRI_RELEASE); /* [Q1] */
    return true;
}

/* Owner, and nobody else moves the head. */
static inline struct tri_task *tri_queue_pop_alone(struct tri_queue *queue)
{
    uint32_t head = tri_load(&queue->head, TRI_RELAXED);
    if (head == tri_load(&queue->tail, TRI_RELAXED))
        return NULL;
    struct tri_task *task = tri_load(&queue->slots[head % TRI_QUEUE_SLOTS], TRI_RELAXED);
    tri_store(&queue->head, head + 1, TRI_RELAXED);
    return task;
}

static inline struct tri_task *tri_queue_pop_contended(struct tri_queue *queue)
{
    uint32_t head = tri_load(&queue->head, TRI_RELAXED);
    uint32_t tail = tri_load(&queue->tail, TRI_RELAXED);
    while (head != tail) {
        struct tri_task *task = tri_load(&queue->slots[head % TRI_QUEUE_SLOTS], TRI_RELAXED);
        if (tri_cas(&queue->head, &head, head + 1, TRI_RELEASE, TRI_RELAXED)) /* [Q2] [Q3] [Q4] */
            return task;
    }
    return NULL;
}

/* Owner. */
static inline struct tri_task *tri_queue_pop(struct tri_queue *queue)
{
    struct tri_task *task = NULL;
    if (tri_load(&queue->head, TRI_RELAXED) == tri_load(&queue->tail, TRI_RELAXED))
        return NULL;
    tri_store(&queue->popping, 1u, TRI_RELAXED); /* [Q5] */
    tri_fence_compiler();
    bool contended = tri_load(&queue->thieves, TRI_ACQUIRE) != 0; /* [Q5] [Q6] */
    if (!contended)
        task = tri_queue_pop_alone(queue);
    tri_store(&queue->popping, 0u, TRI_RELEASE); /* [Q6] */
    return __builtin_expect(contended, 0) ? tri_queue_pop_contended(queue) : task;
}

/* A thief goes: the owner pops without locked instructions again. */
static inline void tri_queue_leave(struct tri_queue *victim)
{
    tri_fetch_sub(&victim->thieves, 1u, TRI_RELEASE); /* [Q6] */
}

/*
 * A thief comes, to stay until tri_queue_leave. False: it has not; the owner is in the middle of a pop, and does not go on; or there
 * was no barrier, and it may not have seen us.
 */
static inline bool tri_queue_enter(struct tri_queue *victim)
{
    bool seen = tri_fetch_add(&victim->thieves, 1u, TRI_RELAXED) & TRI_QUEUE_NO_BARRIER;         /* [Q5] */
    bool entered = seen || tri_membarrier();                                                     /* [Q5] */
    for (uint32_t looks = 1; entered && tri_load(&victim->popping, TRI_ACQUIRE) != 0; looks++) { /* [Q5] [Q6] */
        entered = looks < TRI_QUEUE_PATIENCE;
        if (entered)
            tri_spin();
    }
    if (!entered)
        tri_queue_leave(victim);
    return entered;
}

/* A thief that has entered moves half of `victim`, at most `limit`, to its own queue. Returns how many. */
static inline uint32_t tri_queue_steal(struct tri_queue *victim, struct tri_queue *own, uint32_t limit)
{
    uint32_t used = tri_load(&own->tail, TRI_RELAXED) - tri_load(&own->head, TRI_ACQUIRE); /* [Q2] */
    if (limit > TRI_QUEUE_SLOTS - used)
        limit = TRI_QUEUE_SLOTS - used;
    if (limit == 0)
        return 0;
    uint32_t head = tri_load(&victim->head, TRI_RELAXED);
    for (;;) {
        uint32_t length = tri_load(&victim->tail, TRI_ACQUIRE) - head; /* [Q1] */
        if (length == 0)
            return 0;
        if (length > TRI_QUEUE_SLOTS) {                  /* the head moved on between the two loads */
            head = tri_load(&victim->head, TRI_ACQUIRE); /* [Q4] so that the next tail is no older */
            continue;
        }
        uint32_t count = length - length / 2;
        if (count > limit)
            count = limit;
        uint32_t tail = tri_load(&own->tail, TRI_RELAXED);
        for (uint32_t i = 0; i < count; i++) {
            struct tri_task *task = tri_load(&victim->slots[(head + i) % TRI_QUEUE_SLOTS], TRI_RELAXED);
            tri_store(&own->slots[(tail + i) % TRI_QUEUE_SLOTS], task, TRI_RELAXED);
        }
        if (tri_cas(&victim->head, &head, head + count, TRI_RELEASE, TRI_RELAXED)) { /* [Q2] [Q3] */
            tri_store(&own->tail, tail + count, TRI_RELEASE);                        /* [Q1] */
            return count;
        }
    }
}

#endif
