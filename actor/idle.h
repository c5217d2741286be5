/* SPDX-License-Identifier: MIT */
/*
 * idle.h: what a worker does between tasks: passes (clock, I/O, timers, shared queues), sleeping, and stealing.
 *
 * A pass is the one place where a worker looks beyond its own ring. It happens after some 61 switches, after about 100
 * microseconds (estimated from the mean time per switch, so that no switch reads the clock), or when nothing is ready.
 *
 * Stealing must not scatter a fine-grained conversation over two cores, which costs more than it gains, nor leave a task
 * behind one that hogs its worker. So work is not pushed to sleepers: one idle worker, the sentry, dozes a quarter of a
 * millisecond at a time and looks at the others. It takes half of a ring if what it would take is worth the move, by
 * count times the victim's mean time per switch, or if nobody has had a turn there since the last look: beside a hog the LIFO
 * slot may be taken as well. Other idle workers sleep for good. A sentry that goes to work calls the next sleeper.
 *
 * Who has stolen from a ring stays its thief until it finds nothing, or a pass sees that it has not been back for two milliseconds: coming
 * costs a barrier in all threads, staying only the owner's locked instructions ([Q5] of queue.h). A thief that is kept by a hog
 * makes no pass: until then the owner's turns take two nanoseconds more.
 *
 *   [S1] idle bit, fence, then look at the shared queues   against   push under lock, fence, load idle:
 *        either the pusher sees the sleeper, or the sleeper the push. A wake is a sticky token of the reactor.
 *   [S2] in_lifo := 0 release -> acquire by the raider: what lies in the slot.
 *   [S3] the LIFO slot is its owner's alone, without fences, until a raider sets `raid` and makes every thread of the
 *        process pass a barrier (membarrier): then either the owner sees `raid`, or the raider sees `in_lifo`.
 *   [S4] resigning as sentry: sentry := 0, membarrier, look at all queues   against   push, load sentry (no fence).
 *   [S5] visitors + 1, push, ..., task ends, phase := EXIT release -> acquire by the worker: it sees the visitor; and
 *        visitors - 1 release -> acquire by the worker that takes its reactor down.
 *   [S6] leaving the watch: sentry := 0, fence, look for a sleeper   against   idle bit, fence, look at `sentry`: either the
 *        one who leaves appoints the sleeper, or the sleeper finds the post vacant and does not go to sleep.
 *   [S7] appointing a sleeper: appointed := 1, fence, look at its idle bit   against   getting up: idle bit cleared, fence, look
 *        at `appointed`: whatever woke it, either it knows that it is the sentry, and calls the next one if it has work of its
 *        own, or the other sees that it is up. Then one of them gets the appointment back, by exchange.
 */
#ifndef TRI_IDLE_H
#define TRI_IDLE_H

#include "actor/scheduler.h"

enum tri_idle_result { TRI_IDLE_LOOK, TRI_IDLE_EXIT };

/* Renews the clock, submits and reaps I/O, fires timers, and starts a new quota. True: the turn is over (turn.h). */
bool tri_pass(struct tri_worker *worker);

/* Nothing is ready here: takes some from elsewhere or sleeps. EXIT: the runtime is over. */
enum tri_idle_result tri_idle(struct tri_worker *worker);

/* The ring is full: `task` goes to the overflow list. */
void tri_overflow(struct tri_worker *worker, struct tri_task *task);

/* From the worker's overflow, its inbox, or the runtime's injection queue, when the ring is empty. */
struct tri_task *tri_take_shared_work(struct tri_worker *worker);

/* The sentry has found work: somebody else may keep watch. */
void tri_leave_watch(struct tri_worker *worker);

/* Makes a task run at a given worker, or in a runtime that the caller is no worker of. */
void tri_ready_at(struct tri_worker *worker, struct tri_task *task);
void tri_ready_foreign(struct tr_runtime *runtime, struct tri_task *task);

/* Wakes every worker, to look at the runtime's phase. */
void tri_wake_all(struct tr_runtime *runtime);

/* Notes the bounds of the thread's own stack, for ASan. */
void tri_worker_own_stack(struct tri_stack *stack);

/* Makes the calling thread this worker's, and the worker ready to run: its reactor, its clock. Returns 0 or -errno. */
int tri_worker_open(struct tri_worker *worker);
/* Gives back what the worker has in its caches. */
void tri_worker_flush(struct tri_worker *worker);
/* The end of a worker that was opened, once all have left their loops. */
void tri_worker_close(struct tri_worker *worker);

/* Runs the scheduler on the calling thread until the runtime, or the turn, is over. Returns 0 or -ENOMEM. */
int tri_worker_loop(struct tri_worker *worker);

void tri_call_sentry_slow(struct tri_worker *worker);
void tri_lifo_wait(struct tri_worker *worker);

/* Something can be stolen here: somebody should be on watch. Two loads of lines that are rarely written. */
static inline void tri_call_sentry(struct tri_worker *worker)
{
    if (worker->alone)
        return;
    struct tr_runtime *runtime = worker->runtime;
    if (__builtin_expect(tri_load(&runtime->sentry, TRI_RELAXED) == 0, 0) && tri_load(&runtime->idle, TRI_RELAXED) != 0)
        tri_call_sentry_slow(worker);
}

/* [S3] The owner's side of the LIFO slot, where there are thieves. */
static inline void tri_lifo_begin(struct tri_worker *worker)
{
    tri_store(&worker->in_lifo, 1u, TRI_RELAXED);
    tri_fence_compiler();
    if (__builtin_expect(tri_load(&worker->raid, TRI_ACQUIRE) != 0, 0)) /* after a raid: the slot as it left it */
        tri_lifo_wait(worker);
}

static inline void tri_lifo_end(struct tri_worker *worker)
{
    tri_store(&worker->in_lifo, 0u, TRI_RELEASE);
}

/* Who is in the slot; NULL: nobody, or a raider has been quicker. */
static inline __attribute__((always_inline)) struct tri_task *tri_take_lifo(struct tri_worker *worker)
{
    struct tri_task *task = tri_load(&worker->lifo, TRI_RELAXED);
    if (!task)
        return NULL;
    if (worker->alone) {
        tri_store(&worker->lifo, NULL, TRI_RELAXED);
        return task;
    }
    tri_lifo_begin(worker);
    task = tri_load(&worker->lifo, TRI_RELAXED);
    tri_store(&worker->lifo, NULL, TRI_RELAXED);
    tri_lifo_end(worker);
    return task;
}

/* tri_ready_next, where there are thieves. */
static __attribute__((noinline, unused)) void tri_ready_next_among(struct tri_worker *worker, struct tri_task *task)
{
    tri_lifo_begin(worker);
    struct tri_task *before = tri_load(&worker->lifo, TRI_RELAXED);
    tri_store(&worker->lifo, task, TRI_RELAXED); /* [S2] */
    tri_lifo_end(worker);
    if (before)
        tri_ready_last(worker, before);
    else
        tri_call_sentry(worker);
}

/* Puts `task` into the LIFO slot, and who was there at the end of the queue. */
static inline __attribute__((always_inline)) void tri_ready_next(struct tri_worker *worker, struct tri_task *task)
{
    if (!worker->alone) {
        tri_ready_next_among(worker, task);
        return;
    }
    struct tri_task *before = tri_load(&worker->lifo, TRI_RELAXED);
    tri_store(&worker->lifo, task, TRI_RELAXED);
    if (before)
        tri_ready_last(worker, before);
}

#endif
