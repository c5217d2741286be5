/* SPDX-License-Identifier: MIT */
/*
 * notify.h: "something has changed, look": wakes tasks without a message. 16 bytes, no memory of its own.
 *
 *     the one who waits                                     the one who changes
 *         while (queue_is_empty(&queue))                        queue_add(&queue, item);
 *             tr_notify_wait(&added, TR_FOREVER);               tr_notify_one(&added);
 *
 * A notification that finds nobody waiting is stored, and the next wait returns at once; but only one: a second is the same as
 * the first. So who waits must look at all that can have changed. Whoever notifies: what it did before is seen by the one who is woken.
 *
 * tr_notify_all wakes those who wait now and stores nothing. Who is between looking and waiting would miss it, unless it
 * has begun to listen before it looked:
 *
 *         uint64_t since = tr_notify_listen(&changed);
 *         if (!looks_good())
 *             tr_notify_wait_since(&changed, since, TR_FOREVER);
 *
 * Nothing is lost on a wait that ends otherwise, by its deadline, a cancellation or another case of a select: either it
 * reports the notification, or that wakes the next.
 */
#ifndef TROUPE_NOTIFY_H
#define TROUPE_NOTIFY_H

#include <troupe/select.h>

TRI_BEGIN_DECLS

/*
 * Lies wherever the program puts it; all zero is initialised. Its memory can be used anew once those who wait have
 * returned and nobody will call any more: a notification that another has received does not touch it any more.
 */
struct tr_notify {
    uint64_t tri_word;
    void *tri_line;
};

/* For static ones. */
#define TR_NOTIFY_INIT                                                                                                 \
    {                                                                                                                  \
        0, NULL                                                                                                        \
    }

/* The same at run time, for memory that nobody uses yet. Nothing need be undone. Thread: init. Suspends: no. */
TR_PUBLIC void tr_notify_init(struct tr_notify *notify);

/* Wakes the one that has waited longest; if nobody waits, stores the notification. Thread: any. Suspends: no. */
TR_PUBLIC void tr_notify_one(struct tr_notify *notify);

/* As tr_notify_one, but wakes the one that came last, whose memory is likeliest to be warm. Thread: any. Suspends: no. */
TR_PUBLIC void tr_notify_last(struct tr_notify *notify);

/* Wakes all that wait or listen now. Stores nothing, and leaves what is stored. Thread: any. Suspends: no. */
TR_PUBLIC void tr_notify_all(struct tr_notify *notify);

/*
 * Takes the stored notification, or waits for the next.
 * Thread: any (a foreign thread blocks). Suspends: yes.
 * Returns 0, or with none taken -ETIMEDOUT, -ECANCELED, -ENOMEM.
 */
TR_PUBLIC int tr_notify_wait(struct tr_notify *notify, tr_time deadline);

/* As wait, never waiting. Thread: any. Suspends: no. Returns 0, -EAGAIN (none is stored), -ENOMEM (a foreign
 * thread without memory for a record). */
TR_PUBLIC int tr_notify_try_wait(struct tr_notify *notify);

/* Begins to listen: a number for tr_notify_wait_since. Nothing need be undone. Thread: any. Suspends: no. */
TR_PUBLIC uint64_t tr_notify_listen(const struct tr_notify *notify);

/* As tr_notify_wait; also returns 0, and takes nothing, once tr_notify_all has been called since `since`. */
TR_PUBLIC int tr_notify_wait_since(struct tr_notify *notify, uint64_t since, tr_time deadline);

/* For tr_select: waits, with result 0, as tr_notify_wait and tr_notify_wait_since do. Thread: any. Suspends: no. */
TR_PUBLIC struct tr_case tr_case_notified(struct tr_notify *notify);
TR_PUBLIC struct tr_case tr_case_notified_since(struct tr_notify *notify, uint64_t since);

TRI_END_DECLS
#endif
