/* SPDX-License-Identifier: MIT */
/*
 * wait.h: waiting on things that have a queue of waiters: one wait, of one case or of several, and the queues that hold them.
 *
 * A thing that can be waited on (a semaphore, a channel, a token) has a small lock and under it a queue. What stands in the
 * queue is a case (struct tr_case); it lies in the frame of the task that waits, or in the array of its select.
 *
 *     struct tri_waiter            cases
 *       task, state      <-------- 0 ----> in the queue of a channel
 *                        <-------- 1 ----> in the queue of a semaphore
 *                        <-------- 2 ----> in the queue of a token
 *
 *              claim                        finish
 *       OPEN ------------> CLAIMED ---------------------> DONE
 *         by whoever has something for a queued case, under its thing's lock; by the waiter, if it finds a case ready
 *         while it registers, or gives up
 *
 * Whoever has something for the first case of a queue takes it out of the queue, claims its wait, hands over and finishes
 * it, all under the lock. Only one claim succeeds; who fails has given nothing, and turns to the next in the queue. So the
 * cases that do not win are left untouched. A wait of one case has no rival but its own end, which looks under the same
 * lock whether the case is still queued: its claim costs nothing.
 *
 * A thing says how to wait on it by a tri_kind; the calls are then
 *
 *     try       kind->attempt or faster
 *     suspend   tri_wait(&case, deadline), after tri_checkpoint and a try
 *     select    a function that makes the case
 *
 *   [W1] finish: state release -> acquire by the waiter: the result, and what was handed over. The frame may be gone from then
 *        on: the task to be woken is read before.
 *   [W3] who was served takes the lock once more before it goes on (kind->leave): so that the memory of a thing can be
 *        used anew as soon as its waits have returned, whoever served them has let go.
 *   [W2] a claim orders nothing: what it decides over was queued, and is handed over, under the lock of the thing.
 */
#ifndef TRI_WAIT_H
#define TRI_WAIT_H

#include "mailbox/pool.h"
#include "mailbox/waiter.h"
#include <troupe/select.h>

enum tri_wait_state { TRI_WAIT_OPEN, TRI_WAIT_CLAIMED, TRI_WAIT_DONE };

struct tri_waiter {
    struct tri_task *task;
    struct tr_case *winner; /* once DONE */
    bool several;
    TRI_ATOMIC(uint32_t) state;
};

/* What one kind of case can do. The case's object, value and amount are the kind's own. */
struct tri_kind {
    /* Does it now, without waiting, or returns -EAGAIN. Any other result is the case's. */
    int (*attempt)(struct tr_case *c);
    /*
     * Under the thing's lock: does it now if it can be done and tri_claim allows it, else queues the case and returns
     * -EAGAIN. (Also -EAGAIN, not queued, if it could be done and the claim failed.)
     */
    int (*enter)(struct tr_case *c);
    /*
     * Takes the case out of the queue. False: it was not in it; then the wait, if of one case, is DONE. On TRI_WAIT_IO only once
     * the select is over: until then what is being waited for must be there. So it can be attempted and entered when it is in.
     */
    bool (*leave)(struct tr_case *c);
    /*
     * For things that only the waiting task takes from, and whose wake is a plain tri_wake with no claim: true if attempt
     * would not return -EAGAIN. Looked at after every wake. NULL: the thing claims and finishes.
     */
    bool (*ready)(struct tr_case *c);
    enum tri_wait on;
};

/* A queue of cases, first in first out, guarded by its thing's lock: circular, `last` NULL when empty. */
struct tri_line {
    struct tr_case *last;
};

static inline bool tri_line_is_empty(const struct tri_line *line)
{
    return !line->last;
}

static inline struct tr_case *tri_line_first(const struct tri_line *line)
{
    return line->last ? line->last->tri_next : NULL;
}

static inline void tri_line_push(struct tri_line *line, struct tr_case *c)
{
    struct tr_case *last = line->last;
    if (last) {
        c->tri_next = last->tri_next;
        c->tri_previous = last;
        last->tri_next->tri_previous = c;
        last->tri_next = c;
    } else {
        c->tri_next = c->tri_previous = c;
    }
    line->last = c;
}

/* False: it is in no queue. */
static inline bool tri_line_remove(struct tri_line *line, struct tr_case *c)
{
    struct tr_case *next = c->tri_next;
    if (!next)
        return false;
    if (next == c) {
        line->last = NULL;
    } else {
        c->tri_previous->tri_next = next;
        next->tri_previous = c->tri_previous;
        if (line->last == c)
            line->last = c->tri_previous;
    }
    c->tri_next = NULL;
    return true;
}

static inline struct tr_case *tri_line_pop(struct tri_line *line)
{
    struct tr_case *first = tri_line_first(line);
    if (first)
        tri_line_remove(line, first);
    return first;
}

/* Claims the wait that the case belongs to. False: it has been ended otherwise, and the case is to be let alone. */
static inline bool tri_claim(struct tr_case *c)
{
    struct tri_waiter *waiter = c->tri_waiter;
    uint32_t state = TRI_WAIT_OPEN;
    return !waiter->several ||
           tri_cas(&waiter->state, &state, (uint32_t)TRI_WAIT_CLAIMED, TRI_RELAXED, TRI_RELAXED); /* [W2] */
}

/* Ends a claimed wait; the case is out of its queue. Returns whom to wake, best after the lock has been let go. */
static inline struct tri_task *tri_finish(struct tr_case *c, int result)
{
    struct tri_waiter *waiter = c->tri_waiter;
    struct tri_task *task = waiter->task;
    c->result = result;
    waiter->winner = c;
    tri_store(&waiter->state, (uint32_t)TRI_WAIT_DONE, TRI_RELEASE); /* [W1] */
    return task;
}

/* Takes the first case whose wait can be claimed out of the queue; NULL: there is none. The caller must finish it. */
static inline struct tr_case *tri_line_claim(struct tri_line *line)
{
    struct tr_case *c = tri_line_pop(line);
    while (c && !tri_claim(c))
        c = tri_line_pop(line);
    return c;
}

/*
 * Tasks to be woken, once the lock has been let go if they are no more than a handful. Not in several turns of the lock: the
 * thing may be gone as soon as those whom it served have had the lock after us ([W3]).
 */
#define TRI_WAKES 16u
struct tri_wakes {
    unsigned count;
    struct tri_task *task[TRI_WAKES];
};

static inline void tri_wakes_make(struct tri_wakes *wakes)
{
    for (unsigned i = 0; i < wakes->count; i++)
        tri_wake(wakes->task[i]);
    wakes->count = 0;
}

static inline void tri_wakes_add(struct tri_wakes *wakes, struct tri_task *task)
{
    if (wakes->count == TRI_WAKES)
        tri_wakes_make(wakes);
    wakes->task[wakes->count++] = task;
}

/*
 * Waits for one case, made but for its waiter: enters, and parks until it is finished. Returns its result, or -ETIMEDOUT,
 * -ECANCELED, -ENOMEM: then it was not carried out.
 */
int tri_wait(struct tr_case *c, tr_time deadline);

#endif
