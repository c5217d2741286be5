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

/* ---- broadcast ------------------------------------------------------------------------------------------------ */

static __attribute__((noinline)) int await_broadcast(struct tr_broadcast_receiver *receiver, void *value,
                                                     tr_time deadline)
{
    return tri_broadcast_await(receiver, value, deadline, self_here(), park_here);
}

/* On a plain thread, cancelled, or at the end of the budget. */
static __attribute__((noinline)) int receive_slow(struct tr_broadcast_receiver *receiver, void *value, tr_time deadline)
{
    int rc = tri_checkpoint();
    if (rc == 0)
        rc = tri_broadcast_take(receiver, value);
    return rc == -EAGAIN ? await_broadcast(receiver, value, deadline) : rc;
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
    return rc == -EAGAIN ? await_broadcast(receiver, value, deadline) : rc;
}

/* ---- watch ---------------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) int await_change(struct tr_watch_receiver *receiver, tr_time deadline)
{
    return tri_watch_await(receiver, deadline, self_here(), park_here);
}

int tr_watch_changed_raw(struct tr_watch_receiver *receiver, tr_time deadline)
{
    struct tri_worker *worker;
    int rc = tri_begin(&worker);
    if (rc == 0)
        rc = tri_watch_check(receiver);
    return rc == -EAGAIN ? await_change(receiver, deadline) : rc;
}

static __attribute__((noinline)) int await_next(struct tr_watch_receiver *receiver, void *value, tr_time deadline)
{
    int rc = tri_watch_await(receiver, deadline, self_here(), park_here);
    if (rc == 0)
        receiver->tri_seen = tri_watch_read(receiver->tri_channel, value);
    return rc;
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
        return await_next(receiver, value, deadline);
    if (rc == 0)
        receiver->tri_seen = tri_watch_read(watch, value);
    return rc;
}
