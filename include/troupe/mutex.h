/* SPDX-License-Identifier: MIT */
/*
 * mutex.h: mutual exclusion between tasks: who finds it locked is suspended, its worker is not. 16 bytes, no memory of its own.
 *
 *     static struct tr_mutex lock = TR_MUTEX_INIT;
 *
 *     rc = tr_mutex_lock(&lock, tr_after(TR_SECOND));
 *     if (rc < 0)
 *         return rc;
 *     ...may suspend...
 *     tr_mutex_unlock(&lock);
 *
 * Fair: an unlock hands the mutex to whoever has waited longest; nobody overtakes. A task that is cancelled, or whose deadline
 * passes, loses its place. The mutex belongs to the task (or foreign thread) that locked it, and only that can unlock it; where
 * one locks and another unlocks, take a semaphore of one permit. A task must not end while it has one locked: that stays locked for
 * ever, and a later task or thread may be taken for its owner. Nothing is poisoned: what is protected is as its last owner left it.
 */
#ifndef TROUPE_MUTEX_H
#define TROUPE_MUTEX_H

#include <troupe/select.h>

TRI_BEGIN_DECLS

/*
 * Lies wherever the program puts it; all zero is unlocked. Its memory can be used anew by whoever has locked it and knows that
 * nobody else will: an unlock that handed over, or that another's lock has followed, does not touch it any more.
 */
struct tr_mutex {
    uint64_t tri_word;
    void *tri_line;
};

/* For static ones. */
#define TR_MUTEX_INIT                                                                                                  \
    {                                                                                                                  \
        0, NULL                                                                                                        \
    }

/* The same at run time, for memory that nobody uses yet. Nothing need be undone. Thread: init. Suspends: no. */
TR_PUBLIC void tr_mutex_init(struct tr_mutex *mutex);

/*
 * Locks it, waiting in order.
 * Thread: any (a foreign thread blocks). Suspends: yes.
 * Returns 0, or not locked -ETIMEDOUT, -ECANCELED, -EDEADLK (the caller has it), -ENOMEM.
 */
TR_PUBLIC int tr_mutex_lock(struct tr_mutex *mutex, tr_time deadline);

/*
 * As lock, never waiting.
 * Thread: any. Suspends: no. Returns 0, -EAGAIN (another has it), -EDEADLK (the caller has it), -ENOMEM.
 */
TR_PUBLIC int tr_mutex_try_lock(struct tr_mutex *mutex);

/* Unlocks it, or hands it to the first who waits. Returns 0, or -EINVAL: the caller does not have it. Thread: any. Suspends: no. */
TR_PUBLIC int tr_mutex_unlock(struct tr_mutex *mutex);

/* Whether somebody has it; whether the caller has. Thread: any. Suspends: no. */
TR_PUBLIC bool tr_mutex_is_locked(const struct tr_mutex *mutex);
TR_PUBLIC bool tr_mutex_is_mine(const struct tr_mutex *mutex);

/* For tr_select: locks it. Thread: any. Suspends: no. Its result: as tr_mutex_lock. */
TR_PUBLIC struct tr_case tr_case_lock(struct tr_mutex *mutex);

TRI_END_DECLS
#endif
