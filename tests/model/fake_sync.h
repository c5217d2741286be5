/* SPDX-License-Identifier: MIT */
/*
 * fake_sync.h: the public calls of actor/sync.c for models: the same, without a budget and workers. To be included after the
 * sources of the primitives.
 */
#ifndef FAKE_SYNC_H
#define FAKE_SYNC_H

#ifdef TRI_SEMAPHORE_H
int tr_semaphore_acquire(struct tr_semaphore *semaphore, uint64_t permits, tr_time deadline)
{
    bool done = tri_semaphore_take(tri_home(), tri_semaphore_monitor(semaphore), permits);
    return done ? 0 : tri_semaphore_acquire_slow(semaphore, permits, deadline);
}

int tr_semaphore_release(struct tr_semaphore *semaphore, uint64_t permits)
{
    bool done = tri_semaphore_give(tri_home(), tri_semaphore_monitor(semaphore), permits);
    return done ? 0 : tri_semaphore_release_slow(semaphore, permits);
}
#endif

#ifdef TRI_MUTEX_H
int tr_mutex_lock(struct tr_mutex *mutex, tr_time deadline)
{
    bool done = tri_mutex_take(tri_home(), tri_mutex_monitor(mutex), tri_self());
    return done ? 0 : tri_mutex_lock_slow(mutex, deadline);
}

int tr_mutex_unlock(struct tr_mutex *mutex)
{
    return tri_mutex_give(tri_home(), tri_mutex_monitor(mutex), tri_self()) ? 0 : tri_mutex_unlock_slow(mutex);
}
#endif

#ifdef TRI_NOTIFY_H
int tr_notify_wait(struct tr_notify *notify, tr_time deadline)
{
    return tri_notify_take(tri_home(), tri_notify_monitor(notify)) ? 0 : tri_notify_wait_slow(notify, deadline);
}

void tr_notify_one(struct tr_notify *notify)
{
    if (!tri_notify_store(tri_home(), tri_notify_monitor(notify)))
        tri_notify_one_slow(notify);
}
#endif

#endif
