/* SPDX-License-Identifier: MIT */
/*
 * rwlock.h: many may read at a time, or one may write. 24 bytes, no memory of its own.
 *
 *     static struct tr_rwlock lock = TR_RWLOCK_INIT;
 *
 *     rc = tr_rwlock_read(&lock, deadline);   ...   tr_rwlock_end_read(&lock);
 *     rc = tr_rwlock_write(&lock, deadline);  ...   tr_rwlock_end_write(&lock);
 *
 * Fair: all are served in the order in which they came; readers that come behind a waiting writer wait for it, so that writers are
 * not starved. Hence a task that reads must not ask to write, nor to read again: behind a writer that would be for ever, and
 * nobody could tell, for readers are counted and not known. The writer is known, but must
 * not end while it writes: see mutex.h.
 */
#ifndef TROUPE_RWLOCK_H
#define TROUPE_RWLOCK_H

#include <troupe/select.h>

TRI_BEGIN_DECLS

#define TR_RWLOCK_READERS (UINT32_C(33554431)) /* 2^25 - 1, at a time; more wait */

/* Lies wherever the program puts it; all zero is unlocked. As to its memory, see struct tr_mutex. */
struct tr_rwlock {
    uint64_t tri_word;
    void *tri_line;
    void *tri_writer;
};

/* For static ones. */
#define TR_RWLOCK_INIT                                                                                                 \
    {                                                                                                                  \
        0, NULL, NULL                                                                                                  \
    }

/*
 * The same at run time, for memory that nobody uses yet; at most `readers` at a time, 0: TR_RWLOCK_READERS. Nothing need be undone.
 * Returns 0 or -EINVAL (more than that). Thread: init. Suspends: no.
 */
TR_PUBLIC int tr_rwlock_init(struct tr_rwlock *lock, uint32_t readers);

/*
 * Locks it for reading, or for writing, waiting in order.
 * Thread: any (a foreign thread blocks). Suspends: yes.
 * Returns 0, or not locked -ETIMEDOUT, -ECANCELED, -EDEADLK (the caller has it for writing), -ENOMEM.
 */
TR_PUBLIC int tr_rwlock_read(struct tr_rwlock *lock, tr_time deadline);
TR_PUBLIC int tr_rwlock_write(struct tr_rwlock *lock, tr_time deadline);

/*
 * The same, never waiting. Thread: any. Suspends: no.
 * Returns 0, -EAGAIN (it is locked against that, or somebody waits), -EDEADLK (the caller has it for writing), -ENOMEM.
 */
TR_PUBLIC int tr_rwlock_try_read(struct tr_rwlock *lock);
TR_PUBLIC int tr_rwlock_try_write(struct tr_rwlock *lock);

/* Ends a read: in any task. Returns 0, or -EINVAL: nobody reads. Thread: any. Suspends: no. */
TR_PUBLIC int tr_rwlock_end_read(struct tr_rwlock *lock);

/* Ends the write of the caller. Returns 0, or -EINVAL: the caller does not write. Thread: any. Suspends: no. */
TR_PUBLIC int tr_rwlock_end_write(struct tr_rwlock *lock);

/*
 * Makes the caller, who writes, a reader, without letting another writer in between. Readers that wait in front go on as well.
 * Returns 0, or -EINVAL: the caller does not write. Thread: any. Suspends: no.
 */
TR_PUBLIC int tr_rwlock_downgrade(struct tr_rwlock *lock);

/* How many read; whether somebody writes. Thread: any. Suspends: no. */
TR_PUBLIC uint32_t tr_rwlock_readers(const struct tr_rwlock *lock);
TR_PUBLIC bool tr_rwlock_is_written(const struct tr_rwlock *lock);

/* For tr_select: locks it. Thread: any. Suspends: no. Their results: as tr_rwlock_read, as tr_rwlock_write. */
TR_PUBLIC struct tr_case tr_case_read_lock(struct tr_rwlock *lock);
TR_PUBLIC struct tr_case tr_case_write_lock(struct tr_rwlock *lock);

TRI_END_DECLS
#endif
