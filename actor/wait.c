/* SPDX-License-Identifier: MIT */
/*
 * wait.c: the waiter seam of mailbox/waiter.h, for tasks and for foreign threads.
 *
 * A foreign thread is stood for by a record of its own, taken at its first wait and given back when the thread ends. It
 * parks on a futex on the record's state word, so that whoever wakes need not know whom. Such records are never tasks': a thread
 * sees for itself that it has been woken, and may have ended before its waker, still on the way to the futex, looks at what
 * the record is.
 */
#include "actor/deadline.h"
#include "actor/scheduler.h"
#include "io/clock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_key_t foreign_key;
static pthread_once_t foreign_once = PTHREAD_ONCE_INIT;
static bool have_key; /* the process may have used up its keys: then no foreign thread can wait */

static void construct(void *object)
{
    struct tri_task *task = object;
    tri_task_construct(task);
    tri_store(&task->flags, (uint16_t)TRI_TASK_FOREIGN, TRI_RELAXED); /* for ever */
}

static struct tri_pool foreign_pool = {
    .name = "foreign",
    .object_bytes = sizeof(struct tri_task),
    .link_offset = offsetof(struct tri_task, next),
    .slab_objects = 64,
    .construct = construct,
};

static void give_foreign(void *record)
{
    tri_pool_give_shared(&foreign_pool, record);
}

static void make_key(void)
{
    have_key = pthread_key_create(&foreign_key, give_foreign) == 0;
}

/* The record of a thread that is no worker. */
static struct tri_task *foreign_self(void)
{
    pthread_once(&foreign_once, make_key);
    if (!have_key)
        return NULL;
    struct tri_task *task = pthread_getspecific(foreign_key);
    if (task)
        return task;
    task = tri_pool_take_shared(&foreign_pool);
    if (!task)
        return NULL;
    if (pthread_setspecific(foreign_key, task) != 0) { /* a later look must find the same record */
        give_foreign(task);
        return NULL;
    }
    tri_store(&task->park.state, (uint32_t)TRI_RUNNING, TRI_RELAXED);
    return task;
}

struct tri_task *tri_self(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker && worker->current ? worker->current : foreign_self();
}

bool tri_in_task(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker && worker->current;
}

struct tri_seat *tri_home(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker ? tri_home_of(worker) : NULL;
}

static int futex_wait(struct tri_park_word *word, tr_time deadline)
{
    struct timespec when = { .tv_sec = deadline / TR_SECOND, .tv_nsec = deadline % TR_SECOND };
    return (int)syscall(SYS_futex, &word->state, FUTEX_WAIT_BITSET_PRIVATE, (uint32_t)TRI_PARKED,
                        deadline == TR_FOREVER ? NULL : &when, NULL, FUTEX_BITSET_MATCH_ANY);
}

/* Takes PARKED back; false if a waker has been quicker. */
static bool unpark(struct tri_park_word *word)
{
    uint32_t state = TRI_PARKED; /* our own store: it passes nothing; and a wake is acquired by the next look */
    return tri_cas(&word->state, &state, (uint32_t)TRI_RUNNING, TRI_RELAXED, TRI_RELAXED);
}

static int park_foreign(tr_time deadline)
{
    struct tri_task *task = foreign_self();
    if (deadline <= tr_clock())
        return -ETIMEDOUT;
    if (!task) /* in a sleep: others have looked before they waited for anything */
        return -ENOMEM;
    if (!tri_park_commit(&task->park))
        return 0;
    while (tri_load(&task->park.state, TRI_ACQUIRE) == TRI_PARKED) { /* [P1] */
        futex_wait(&task->park, deadline);
        if (deadline <= tr_clock() && unpark(&task->park))
            return -ETIMEDOUT;
    }
    return 0;
}

bool tri_note_wait(struct tri_worker *worker, tr_time deadline, enum tri_wait on)
{
    struct tri_task *task = worker->current;
    tri_store(&task->wait, (uint8_t)on, TRI_RELAXED);
    worker->stack->since = worker->now;
    return tri_deadline_arm(worker, task, deadline) == 0;
}

int tri_park(tr_time deadline, enum tri_wait on)
{
    struct tri_worker *worker = tri_worker_here();
    if (!worker || !worker->current)
        return park_foreign(tri_foreign_bounded(deadline));
    return tri_park_task(worker, deadline, on);
}

void tri_park_tail(enum tri_wait on)
{
    struct tri_worker *worker = tri_worker_here();
    if (!worker || !worker->current)
        park_foreign(TR_FOREVER);
    else if (!tri_park_consume(&worker->current->park))
        tri_suspend(worker, tri_note_wait(worker, TR_FOREVER, on) ? TRI_HOOK_PARK : TRI_HOOK_REQUEUE);
}

void tri_run_claimed(struct tri_task *task)
{
    if (tri_task_is(task, TRI_TASK_FOREIGN))
        syscall(SYS_futex, &task->park.state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    else
        tri_ready(task);
}

void tri_wake(struct tri_task *task)
{
    if (tri_park_wake(&task->park))
        tri_run_claimed(task);
}

int tri_budget(void)
{
    struct tri_worker *worker = tri_worker_here();
    if (worker && worker->current && --worker->budget <= 0)
        tri_suspend(worker, TRI_HOOK_REQUEUE);
    return 0;
}

int tri_cancel_check(void)
{
    struct tri_worker *worker = tri_worker_here();
    if (!worker || !worker->current)
        return 0;
    return tri_worker_cancelled(worker) ? -ECANCELED : 0;
}

int tri_checkpoint(void)
{
    struct tri_worker *worker;
    return tri_begin(&worker);
}

bool tri_is_late(tr_time deadline)
{
    struct tri_worker *worker = tri_worker_here();
    if (!worker || !worker->current)
        return tri_foreign_bounded(deadline) <= tr_clock();
    return tri_bounded(worker, deadline) <= worker->now;
}

/* ---- the public side: time, cancellation ---------------------------------------------------------------------- */

tr_time tr_clock(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker ? tri_clock_read(worker->runtime) : tri_clock_real();
}

static tr_time later(tr_time now, int64_t nanoseconds)
{
    tr_time when;
    return __builtin_add_overflow(now, nanoseconds, &when) ? TR_FOREVER : when;
}

static __attribute__((noinline)) tr_time foreign_after(int64_t nanoseconds)
{
    return later(tr_clock(), nanoseconds);
}

tr_time tr_after(int64_t nanoseconds)
{
    struct tri_worker *worker = tri_worker_here();
    if (nanoseconds < 0)
        return TR_NOW;
    return worker ? later(worker->now, nanoseconds) : foreign_after(nanoseconds);
}

int tr_sleep_until(tr_time when)
{
    int rc = tri_cancel_check();
    if (rc < 0)
        return rc;
    tri_budget();
    while ((rc = tri_park(when, TRI_WAIT_SLEEP)) == 0)
        ;
    struct tri_worker *worker = tri_worker_here();
    bool slept = rc == -ETIMEDOUT && when <= (worker ? worker->now : tr_clock()); /* else a scope was tighter */
    return slept ? 0 : rc;
}

int tr_sleep(int64_t nanoseconds)
{
    return tr_sleep_until(nanoseconds <= 0 ? TR_NOW : later(tr_clock(), nanoseconds));
}

int tr_yield(void)
{
    struct tri_worker *worker = tri_worker_here();
    if (!worker || !worker->current)
        return -EINVAL;
    if (tri_worker_cancelled(worker))
        return -ECANCELED;
    tri_suspend(worker, TRI_HOOK_REQUEUE);
    return 0;
}

bool tr_cancel_pending(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker && worker->current && tri_task_cancelled(worker->current);
}

bool tr_cancel_taken(void)
{
    struct tri_worker *worker = tri_worker_here();
    if (!worker || !worker->current)
        return false;
    /* The bit passes nothing, nor did it when it was set. */
    return tri_fetch_and(&worker->current->life, ~TRI_LIFE_CANCEL, TRI_RELAXED) & TRI_LIFE_CANCEL;
}
