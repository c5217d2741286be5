/* SPDX-License-Identifier: MIT */
/* mutex.h: locking and unlocking where nobody waits; see mutex.c. */
#ifndef TRI_MUTEX_H
#define TRI_MUTEX_H

#include "mailbox/monitor.h"
#include <troupe/mutex.h>

static inline struct tri_monitor *tri_mutex_monitor(const struct tr_mutex *mutex)
{
    return (struct tri_monitor *)(uintptr_t)mutex;
}

/* False: not done; it is locked, somebody waits, or it has another home. */
static inline bool tri_mutex_take(struct tri_seat *home, struct tri_monitor *monitor, struct tri_task *self)
{
    if (home && tri_home_change(home, monitor, 0, (uintptr_t)self))
        return true;
    return (!home || tri_is_shared(monitor)) && tri_shared_take(monitor, 0, (uintptr_t)self);
}

static inline bool tri_mutex_give(struct tri_seat *home, struct tri_monitor *monitor, struct tri_task *self)
{
    if (home && tri_home_change(home, monitor, (uintptr_t)self, 0))
        return true;
    return (!home || tri_is_shared(monitor)) && tri_shared_give(monitor, (uintptr_t)self, 0);
}

/* The whole calls, for when that did not do. */
int tri_mutex_lock_slow(struct tr_mutex *mutex, tr_time deadline);
int tri_mutex_unlock_slow(struct tr_mutex *mutex);

/* Locks, deaf to cancellation and without a deadline: for a wait that must end with the mutex locked. The caller has not got it. */
void tri_mutex_lock_tail(struct tr_mutex *mutex);

#endif
