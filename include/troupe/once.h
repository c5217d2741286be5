/* SPDX-License-Identifier: MIT */
/*
 * once.h: something that is to be made once, by whoever needs it first. 16 bytes, no memory of its own.
 *
 *     static struct tr_once connected = TR_ONCE_INIT;
 *     static struct connection connection;
 *
 *     rc = tr_once_run(&connected, connect_it, &connection, tr_after(TR_SECOND));
 *     if (rc < 0)
 *         return rc;
 *     ...the connection is there...
 *
 * One makes it, the others wait. If the making fails, for whatever reason, also because that task was cancelled, the failure is
 * that task's, and the next of those who wait makes it, in order. The making may suspend. A task must not end between begin and
 * end: it stays in the making, and a later task may be taken for its maker.
 */
#ifndef TROUPE_ONCE_H
#define TROUPE_ONCE_H

#include <troupe/select.h>

TRI_BEGIN_DECLS

/* Lies wherever the program puts it; all zero is "not made". Its memory can be used anew once every call on it has returned. */
struct tr_once {
    uint64_t tri_word;
    void *tri_line;
};

/* For static ones. */
#define TR_ONCE_INIT                                                                                                   \
    {                                                                                                                  \
        0, NULL                                                                                                        \
    }

/* The same at run time, for memory that nobody uses yet. Nothing need be undone. Thread: init. Suspends: no. */
TR_PUBLIC void tr_once_init(struct tr_once *once);

/*
 * Sees to it that it is made: calls make(argument), unless that has been done, or waits for another who does. make returns 0, or a
 * negative error: then it is not made. The deadline bounds the wait for others, not the making.
 * Thread: any (a foreign thread blocks). Suspends: yes.
 * Returns 0; the error of make if the caller's own failed; or -ETIMEDOUT, -ECANCELED, -EDEADLK (called from within make), -ENOMEM.
 */
TR_PUBLIC int tr_once_run(struct tr_once *once, int (*make)(void *argument), void *argument, tr_time deadline);

/*
 * The same in two steps: if it returns 1 the caller is to make it, and must then call tr_once_end, in the same task.
 * Thread: any (a foreign thread blocks). Suspends: yes while another makes it.
 * Returns 1; 0: it is made; -ETIMEDOUT, -ECANCELED, -EDEADLK (the caller is making it), -ENOMEM.
 */
TR_PUBLIC int tr_once_begin(struct tr_once *once, tr_time deadline);

/* As tr_once_begin, never waiting. Thread: any. Suspends: no. Returns 1, 0, -EAGAIN (another is making it), -EDEADLK, -ENOMEM. */
TR_PUBLIC int tr_once_try_begin(struct tr_once *once);

/* Ends the making. `made` false: the next may try. Returns 0, or -EINVAL: the caller was not at it. Thread: any. Suspends: no. */
TR_PUBLIC int tr_once_end(struct tr_once *once, bool made);

/*
 * Waits until it has been made, never making it.
 * Thread: any (a foreign thread blocks). Suspends: yes.
 * Returns 0, -ETIMEDOUT, -ECANCELED, -EDEADLK (called from within make), -ENOMEM.
 */
TR_PUBLIC int tr_once_wait(struct tr_once *once, tr_time deadline);

/* Whether it has been made; what was made is then visible. Thread: any. Suspends: no. */
TR_PUBLIC bool tr_once_is_made(const struct tr_once *once);

/* For tr_select: ready once it is made. Thread: any. Suspends: no. Its result: 0, or -EDEADLK (the caller is making it). */
TR_PUBLIC struct tr_case tr_case_once(struct tr_once *once);

TRI_END_DECLS
#endif
