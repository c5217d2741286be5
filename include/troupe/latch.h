/* SPDX-License-Identifier: MIT */
/*
 * latch.h: a countdown: tasks wait until it has come to zero. Once. 16 bytes, no memory of its own.
 *
 *     struct tr_latch parts = TR_LATCH_INIT(3);
 *     ...three tasks are given &parts, and each calls tr_latch_count_down(&parts, 1) at its end...
 *     tr_latch_wait(&parts, TR_FOREVER);
 *
 * What was done before each count is seen after the wait. The latch may lie in the frame of the one who waits: when the wait has
 * returned 0, nobody touches it any more.
 */
#ifndef TROUPE_LATCH_H
#define TROUPE_LATCH_H

#include <troupe/select.h>

TRI_BEGIN_DECLS

#define TR_LATCH_LIMIT (UINT64_C(1) << 50) /* what a latch counts from, less one */

/* Lies wherever the program puts it. Its memory can be used anew once every wait on it has returned, and the count is zero. */
struct tr_latch {
    uint64_t tri_word;
    void *tri_line;
};

/* Counts down from `count`, a constant below TR_LATCH_LIMIT. */
#define TR_LATCH_INIT(count)                                                                                           \
    {                                                                                                                  \
        (uint64_t)(count) << 2, NULL                                                                                   \
    }

/* The same at run time, for memory that nobody uses yet. Nothing need be undone. Returns 0 or -EINVAL. Thread: init. Suspends: no. */
TR_PUBLIC int tr_latch_init(struct tr_latch *latch, uint64_t count);

/*
 * Counts down by `count`. At zero all that wait go on. Thread: any. Suspends: no.
 * Returns 0; -EINVAL if it would go below zero: then nothing was counted.
 */
TR_PUBLIC int tr_latch_count_down(struct tr_latch *latch, uint64_t count);

/*
 * Waits until the count is zero.
 * Thread: any (a foreign thread blocks). Suspends: yes.
 * Returns 0, -ETIMEDOUT, -ECANCELED, -ENOMEM.
 */
TR_PUBLIC int tr_latch_wait(struct tr_latch *latch, tr_time deadline);

/* As wait, never waiting. Thread: any. Suspends: no. Returns 0, -EAGAIN (the count is not zero). */
TR_PUBLIC int tr_latch_try_wait(struct tr_latch *latch);

/* How far it is from zero. Thread: any. Suspends: no. */
TR_PUBLIC uint64_t tr_latch_count(const struct tr_latch *latch);

/* For tr_select: ready, with result 0, once the count is zero. Thread: any. Suspends: no. */
TR_PUBLIC struct tr_case tr_case_latch(struct tr_latch *latch);

TRI_END_DECLS
#endif
