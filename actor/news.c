/* SPDX-License-Identifier: MIT */
/*
 * news.c: the calls that suspend for a broadcast or a watch, made short: the plain case is a leaf, and of one that waits
 * a single frame stands between the switch and the user (see scheduler.h). What they do is in mailbox/broadcast.h and
 * mailbox/watch.h.
 */
#include "actor/scheduler.h"
#include "mailbox/broadcast.h"
#include "mailbox/watch.h"

static __attribute__((noinline)) int park_thread(tr_time deadline, enum tri_wait on)
{
    return tri_park(deadline, on);
}

static inline __attribute__((always_inline)) int park_here(tr_time deadline, enum tri_wait on)
{
    struct tri_worker *worker = tri_worker_here();
    return worker && worker->current ? tri_park_task(worker, deadline, on) : park_thread(deadline, on);
}

static inline __attribute__((always_inline)) struct tri_task *self_here(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker && worker->current ? worker->current : tri_self();
}

/*
 * Of many that are woken none is to run before the others, so the LIFO slot is of no use to them; and their records are
 * seldom in the nearest cache, so they are fetched while the first are being woken.
 */
void tri_wake_many(struct tri_task *const *tasks, unsigned count)
{
    struct tri_worker *worker = tri_worker_here();
    bool here = worker && !worker->migrate;
    if (worker)
        worker->told_at = tri_load(&worker->switches, TRI_RELAXED);
    for (unsigned i = 0; i < count; i++)
        __builtin_prefetch(&tasks[i]->park, 1);
    for (unsigned i = 0; i < count; i++) {
        struct tri_task *task = tasks[i];
        if (!tri_park_wake(&task->park))
            continue;
        if (here && tri_pin(task) == 0 && !tri_task_is(task, TRI_TASK_FOREIGN) &&
            worker->runtime->index == tri_load(&task->runtime, TRI_RELAXED))
            tri_ready_last(worker, task);
        else
            tri_run_claimed(task);
    }
}

/* ---- yielding instead of waiting -------------------------------------------------------------------------------- */

/*
 * Where sender and receivers take turns on one worker, the next news comes within a turn of the ring. Then a receiver that
 * finds none had better queue again behind those who are ready than wait: it comes back when there are some, and nobody need
 * put it into a line, tell it and wake it. Whether that is so each receiver finds out by itself: `haste` grows when a wait was
 * told of news, from here, before those who were ready when it began had all had a turn; and 1 means to yield, once per call.
 * If there was nothing after all, it is not tried again for a while.
 */
#define HASTE_REST 16 /* waits, after a yield in vain */
#define TURN_MORE 2   /* switches that a turn of the ring may have besides those who are ready now */

static inline __attribute__((always_inline)) bool may_yield(struct tri_worker *worker, int32_t haste, tr_time deadline)
{
    return haste > 0 && worker && worker->current && !worker->held && deadline > worker->now &&
           (tri_load(&worker->lifo, TRI_RELAXED) || tri_queue_length(&worker->queue) > 0 || worker->pinned_first);
}

/* A turn of the ring, in counts of switches. */
struct turn {
    struct tri_worker *worker; /* NULL: not in a task */
    uint64_t begin, end;
};

static inline __attribute__((always_inline)) struct turn begin_turn(void)
{
    struct tri_worker *worker = tri_worker_here();
    struct turn turn = { 0 };
    if (worker && worker->current) {
        turn.worker = worker;
        turn.begin = tri_load(&worker->switches, TRI_RELAXED);
        turn.end =
            turn.begin + tri_queue_length(&worker->queue) + tri_load(&worker->overflow.count, TRI_RELAXED) + TURN_MORE;
    }
    return turn;
}

/* A wait has ended that began with the turn. */
static inline void note_haste(int32_t *haste, const struct turn *turn)
{
    struct tri_worker *worker = tri_worker_here();
    if (!worker || worker != turn->worker)
        return;
    if (worker->told_at <= turn->begin || worker->told_at > turn->end)
        *haste = *haste < 0 ? *haste : 0;
    else if (*haste < 1)
        ++*haste;
}

/* ---- broadcast ------------------------------------------------------------------------------------------------ */

static __attribute__((noinline)) int await_broadcast(struct tr_broadcast_receiver *receiver, void *value,
                                                     tr_time deadline)
{
    struct turn turn = begin_turn();
    int rc = tri_broadcast_await(receiver, value, deadline, self_here(), park_here);
    note_haste(&receiver->tri_haste, &turn);
    return rc;
}

static __attribute__((noinline)) int yield_for_broadcast(struct tr_broadcast_receiver *receiver, void *value,
                                                         tr_time deadline)
{
    struct tri_worker *worker = tri_worker_here();
    if (may_yield(worker, receiver->tri_haste, deadline)) {
        tri_suspend(worker, TRI_HOOK_REQUEUE);
        int rc = tri_broadcast_take(receiver, value);
        if (rc != -EAGAIN)
            return rc;
        receiver->tri_haste = -HASTE_REST;
    }
    return await_broadcast(receiver, value, deadline);
}

static inline __attribute__((always_inline)) int await_next_value(struct tr_broadcast_receiver *receiver, void *value,
                                                                  tr_time deadline)
{
    return receiver->tri_haste > 0 ? yield_for_broadcast(receiver, value, deadline)
                                   : await_broadcast(receiver, value, deadline);
}

/* On a plain thread, cancelled, or at the end of the budget. */
static __attribute__((noinline)) int receive_slow(struct tr_broadcast_receiver *receiver, void *value, tr_time deadline)
{
    int rc = tri_checkpoint();
    if (rc == 0)
        rc = tri_broadcast_take(receiver, value);
    return rc == -EAGAIN ? await_next_value(receiver, value, deadline) : rc;
}

int tr_broadcast_receive_raw(struct tr_broadcast_receiver *receiver, uint32_t bytes, void *value, tr_time deadline)
{
    struct tri_worker *worker = tri_worker_here();
    if (bytes != ((struct tri_broadcast *)receiver->tri_channel)->bytes)
        return -EINVAL;
    if (!tri_may_go_on(worker))
        return receive_slow(receiver, value, deadline);
    worker->budget--;
    int rc = tri_broadcast_take(receiver, value);
    return rc == -EAGAIN ? await_next_value(receiver, value, deadline) : rc;
}

/* ---- watch ---------------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) int await_change(struct tr_watch_receiver *receiver, tr_time deadline)
{
    struct turn turn = begin_turn();
    int rc = tri_watch_await(receiver, deadline, self_here(), park_here);
    note_haste(&receiver->tri_haste, &turn);
    return rc;
}

static __attribute__((noinline)) int yield_for_change(struct tr_watch_receiver *receiver, tr_time deadline)
{
    struct tri_worker *worker = tri_worker_here();
    if (may_yield(worker, receiver->tri_haste, deadline)) {
        tri_suspend(worker, TRI_HOOK_REQUEUE);
        int rc = tri_watch_check(receiver);
        if (rc != -EAGAIN)
            return rc;
        receiver->tri_haste = -HASTE_REST;
    }
    return await_change(receiver, deadline);
}

int tr_watch_changed_raw(struct tr_watch_receiver *receiver, tr_time deadline)
{
    struct tri_worker *worker;
    int rc = tri_begin(&worker);
    if (rc == 0)
        rc = tri_watch_check(receiver);
    if (rc != -EAGAIN)
        return rc;
    return receiver->tri_haste > 0 ? yield_for_change(receiver, deadline) : await_change(receiver, deadline);
}

/* As await_change, then reads. */
static __attribute__((noinline)) int await_next(struct tr_watch_receiver *receiver, void *value, tr_time deadline)
{
    struct turn turn = begin_turn();
    int rc = tri_watch_await(receiver, deadline, self_here(), park_here);
    note_haste(&receiver->tri_haste, &turn);
    if (rc == 0)
        receiver->tri_seen = tri_watch_read(receiver->tri_channel, value);
    return rc;
}

static __attribute__((noinline)) int yield_for_next(struct tr_watch_receiver *receiver, void *value, tr_time deadline)
{
    struct tri_worker *worker = tri_worker_here();
    if (may_yield(worker, receiver->tri_haste, deadline)) {
        tri_suspend(worker, TRI_HOOK_REQUEUE);
        int rc = tri_watch_check(receiver);
        if (rc == 0)
            receiver->tri_seen = tri_watch_read(receiver->tri_channel, value);
        if (rc != -EAGAIN)
            return rc;
        receiver->tri_haste = -HASTE_REST;
    }
    return await_next(receiver, value, deadline);
}

int tr_watch_next_raw(struct tr_watch_receiver *receiver, uint32_t bytes, void *value, tr_time deadline)
{
    struct tri_watch *watch = receiver->tri_channel;
    struct tri_worker *worker;
    if (bytes != watch->bytes)
        return -EINVAL;
    int rc = tri_begin(&worker);
    if (rc == 0)
        rc = tri_watch_check(receiver);
    if (rc == -EAGAIN)
        return receiver->tri_haste > 0 ? yield_for_next(receiver, value, deadline)
                                       : await_next(receiver, value, deadline);
    if (rc == 0)
        receiver->tri_seen = tri_watch_read(watch, value);
    return rc;
}
