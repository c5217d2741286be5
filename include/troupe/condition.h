/* SPDX-License-Identifier: MIT */
/*
 * condition.h: waiting, with a mutex locked, for what others change under it. 16 bytes, no memory of its own.
 *
 *     int rc = 0;
 *     tr_mutex_lock(&lock, TR_FOREVER);
 *     while (!ready && rc == 0)
 *         rc = tr_condition_wait(&changed, &lock, deadline);
 *     ...the mutex is locked, whatever rc is...
 *     tr_mutex_unlock(&lock);
 *
 * The wait lets the mutex go and queues in one act, as far as those are concerned who change and signal: no signal between the look
 * and the wait is lost. Signals are not stored. Who signals may have the mutex locked, or not.
 */
#ifndef TROUPE_CONDITION_H
#define TROUPE_CONDITION_H

#include <troupe/mutex.h>

TRI_BEGIN_DECLS

/* Lies wherever the program puts it; all zero is initialised. Its memory can be used anew once every call on it has returned. */
struct tr_condition {
    uint64_t tri_word;
    void *tri_line;
};

/* For static ones. */
#define TR_CONDITION_INIT                                                                                              \
    {                                                                                                                  \
        0, NULL                                                                                                        \
    }

/* The same at run time, for memory that nobody uses yet. Nothing need be undone. Thread: init. Suspends: no. */
TR_PUBLIC void tr_condition_init(struct tr_condition *condition);

/*
 * Unlocks the mutex, which the caller has locked, waits for a signal, and locks the mutex again: always, in the order of those who
 * wait for it, however long that takes, deaf to deadline and cancellation. Does not end without cause.
 * Thread: any (a foreign thread blocks). Suspends: yes.
 * Returns 0 (signalled) or, no signal taken, -ETIMEDOUT, -ECANCELED: then, too, the mutex is locked. TR_NOW does not unlock it in
 * between. -EINVAL: the caller did not have it locked, and has not now.
 */
TR_PUBLIC int tr_condition_wait(struct tr_condition *condition, struct tr_mutex *mutex, tr_time deadline);

/* Wakes the one that has waited longest, or all, who get the mutex in no order of ours. Thread: any. Suspends: no. */
TR_PUBLIC void tr_condition_signal(struct tr_condition *condition);
TR_PUBLIC void tr_condition_signal_all(struct tr_condition *condition);

TRI_END_DECLS
#endif
