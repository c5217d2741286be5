/* SPDX-License-Identifier: MIT */
/*
 * semaphore.h: a counting semaphore: permits that tasks acquire and release. 16 bytes, no memory of its own.
 *
 *     static struct tr_semaphore downloads = TR_SEMAPHORE_INIT(8);
 *
 *     rc = tr_semaphore_acquire(&downloads, 1, tr_after(TR_SECOND));
 *     if (rc < 0)
 *         return rc;
 *     ...
 *     tr_semaphore_release(&downloads, 1);
 *
 * Fair: who waits is served in order, also when somebody later wants fewer permits than there are; nobody overtakes. A permit
 * belongs to no task: any may release it. Works between tasks of any runtimes and plain threads, which block.
 */
#ifndef TROUPE_SEMAPHORE_H
#define TROUPE_SEMAPHORE_H

#include <troupe/select.h>

TRI_BEGIN_DECLS

#define TR_SEMAPHORE_LIMIT (UINT64_C(1) << 50) /* permits, less one */

/*
 * Lies wherever the program puts it. Its memory can be used anew as soon as nobody will call any more, which may be known by
 * the permits themselves: a release that another has acquired does not touch it any more. All zero: no permits.
 */
struct tr_semaphore {
    uint64_t tri_word;
    void *tri_line;
};

/* With `permits` of them, a constant below TR_SEMAPHORE_LIMIT. */
#define TR_SEMAPHORE_INIT(permits)                                                                                     \
    {                                                                                                                  \
        (uint64_t)(permits) << 3, NULL                                                                                 \
    }

/* The same at run time, for memory that nobody uses yet. Nothing need be undone. Returns 0 or -EINVAL. Thread: init. Suspends: no. */
TR_PUBLIC int tr_semaphore_init(struct tr_semaphore *semaphore, uint64_t permits);

/*
 * Takes `permits` of them, all at once, waiting in order until there are as many.
 * Thread: any (a foreign thread blocks). Suspends: yes.
 * Returns 0, or with nothing taken -ETIMEDOUT, -ECANCELED, -EPIPE (closed), -EINVAL (beyond TR_SEMAPHORE_LIMIT), -ENOMEM.
 */
TR_PUBLIC int tr_semaphore_acquire(struct tr_semaphore *semaphore, uint64_t permits, tr_time deadline);

/*
 * As acquire, never waiting.
 * Thread: any. Suspends: no. Returns 0, -EAGAIN (there are not as many, or others wait), -EPIPE, -EINVAL, -ENOMEM.
 */
TR_PUBLIC int tr_semaphore_try_acquire(struct tr_semaphore *semaphore, uint64_t permits);

/*
 * Gives `permits` back, or adds new ones, also when closed. Thread: any. Suspends: no.
 * Returns 0; -EINVAL if there would be TR_SEMAPHORE_LIMIT of them: then nothing was added.
 */
TR_PUBLIC int tr_semaphore_release(struct tr_semaphore *semaphore, uint64_t permits);

/* Takes up to `permits` of those that are free for good. Returns how many. Thread: any. Suspends: no. */
TR_PUBLIC uint64_t tr_semaphore_forget(struct tr_semaphore *semaphore, uint64_t permits);

/*
 * From now on every acquire fails with -EPIPE, also those that wait. For ever. Thread: any. Suspends: no.
 */
TR_PUBLIC void tr_semaphore_close(struct tr_semaphore *semaphore);

/* Closed? The permits that are free now. Thread: any. Suspends: no. */
TR_PUBLIC bool tr_semaphore_is_closed(const struct tr_semaphore *semaphore);
TR_PUBLIC uint64_t tr_semaphore_available(const struct tr_semaphore *semaphore);

/* For tr_select: acquires. Thread: any. Suspends: no. Its result: as tr_semaphore_acquire. */
TR_PUBLIC struct tr_case tr_case_acquire(struct tr_semaphore *semaphore, uint64_t permits);

TRI_END_DECLS
#endif
