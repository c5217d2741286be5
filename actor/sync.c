/* SPDX-License-Identifier: MIT */
/*
 * sync.c: the plain case of the commonest calls on mutexes, semaphores and notifications: nobody waits, and nothing need be
 * waited for.
 *
 * Each is a leaf function: it takes its unit of the budget, changes the word of the object, and is done. Everything else is reached
 * by tail calls into mailbox/, which begin anew. On a worker that is the only one of its runtime the change needs no
 * locked instruction (mailbox/monitor.h).
 */
#include "actor/scheduler.h"
#include "mailbox/mutex.h"
#include "mailbox/notify.h"
#include "mailbox/semaphore.h"

static inline struct tri_seat *home_of(struct tri_worker *worker)
{
    return worker ? tri_home_of(worker) : NULL;
}

int tr_mutex_lock(struct tr_mutex *mutex, tr_time deadline)
{
    struct tri_worker *worker = tri_worker_here();
    if (!tri_may_go_on(worker) || !tri_mutex_take(tri_home_of(worker), tri_mutex_monitor(mutex), worker->current))
        return tri_mutex_lock_slow(mutex, deadline);
    worker->budget--;
    return 0;
}

int tr_mutex_unlock(struct tr_mutex *mutex)
{
    struct tri_worker *worker = tri_worker_here();
    bool done =
        worker && worker->current && tri_mutex_give(tri_home_of(worker), tri_mutex_monitor(mutex), worker->current);
    return done ? 0 : tri_mutex_unlock_slow(mutex);
}

int tr_semaphore_acquire(struct tr_semaphore *semaphore, uint64_t permits, tr_time deadline)
{
    struct tri_worker *worker = tri_worker_here();
    if (!tri_may_go_on(worker) || !tri_semaphore_take(tri_home_of(worker), tri_semaphore_monitor(semaphore), permits))
        return tri_semaphore_acquire_slow(semaphore, permits, deadline);
    worker->budget--;
    return 0;
}

int tr_semaphore_release(struct tr_semaphore *semaphore, uint64_t permits)
{
    struct tri_seat *home = home_of(tri_worker_here());
    bool done = tri_semaphore_give(home, tri_semaphore_monitor(semaphore), permits);
    return done ? 0 : tri_semaphore_release_slow(semaphore, permits);
}

int tr_notify_wait(struct tr_notify *notify, tr_time deadline)
{
    struct tri_worker *worker = tri_worker_here();
    if (!tri_may_go_on(worker) || !tri_notify_take(tri_home_of(worker), tri_notify_monitor(notify)))
        return tri_notify_wait_slow(notify, deadline);
    worker->budget--;
    return 0;
}

void tr_notify_one(struct tr_notify *notify)
{
    struct tri_seat *home = home_of(tri_worker_here());
    if (!tri_notify_store(home, tri_notify_monitor(notify)))
        tri_notify_one_slow(notify);
}
