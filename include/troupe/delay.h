/* SPDX-License-Identifier: MIT */
/*
 * delay.h: a queue of values that come out when their time has come: timeouts of sessions, retries, entries of a cache.
 *
 *     struct tr_delay *delays;
 *     tr_delay_create(&delays, sizeof(struct session));
 *     tr_delay_insert(delays, &session.key, tr_after(30 * TR_SECOND), &session);
 *     ...
 *     while ((rc = tr_delay_next(delays, &session, TR_FOREVER)) == 0)
 *         ...its time has come...
 *
 * Or beside other things: tr_receive(&message, tr_delay_when(delays)), and a tr_delay_try_next when that times out.
 *
 * Values come out in the order of their times, to the nanosecond, and those of one time in the order of their insertion or
 * last reset; never early. A queue is its owner's: one task or thread at a time uses it, and nothing in it is shared. Its times
 * are those of one clock, that of the runtime (or of the threads) it is used in.
 * Insertion, removal and reset cost O(log n). No value has a timer of its own: an entry is 40 bytes and the value.
 */
#ifndef TROUPE_DELAY_H
#define TROUPE_DELAY_H

#include <troupe/time.h>

TRI_BEGIN_DECLS

struct tr_delay;

/* Names one value in one queue, until it has come out. All zero names none. */
struct tr_delay_key {
    uint64_t tri_identity;
    uint32_t tri_index;
};

#define TR_DELAY_VALUE_LIMIT 65536 /* bytes of a value */
#define TR_DELAY_LIMIT (1u << 31)  /* values in a queue */

/*
 * A queue, empty, of values of that many bytes. Thread: any. Suspends: no. Owns: *out is the caller's, to be destroyed.
 * Returns 0, -ENOMEM, -EINVAL (no bytes, or too many).
 */
TR_PUBLIC int tr_delay_create(struct tr_delay **out, size_t value_bytes);

/* Frees the queue and what is in it (see tr_delay_clear). NULL is harmless. Thread: its own. Suspends: no. */
TR_PUBLIC void tr_delay_destroy(struct tr_delay *delay);

/*
 * Inserts a copy of *value, to come out at `when`; one that has passed comes out at once, TR_FOREVER never. *key (NULL: not
 * wanted) names it. Thread: its own. Suspends: no.
 * Returns 0, or -ENOMEM (also of TR_DELAY_LIMIT values): it was not inserted.
 */
TR_PUBLIC int tr_delay_insert(struct tr_delay *delay, struct tr_delay_key *key, tr_time when, const void *value);

/* Moves the value to another time. Thread: its own. Suspends: no. Returns 0, or -ESRCH: it has come out, or was removed. */
TR_PUBLIC int tr_delay_reset(struct tr_delay *delay, struct tr_delay_key key, tr_time when);

/*
 * Takes the value out before its time, into *value (NULL: not wanted).
 * Thread: its own. Suspends: no. Returns 0, or -ESRCH: it has come out, or was removed.
 */
TR_PUBLIC int tr_delay_remove(struct tr_delay *delay, struct tr_delay_key key, void *value);

/*
 * Waits for the first value whose time comes, and takes it out, into *value (NULL: not wanted). One whose time has come is taken at once, also when the
 * deadline has passed. On an error nothing was taken.
 * Thread: its own (a foreign thread blocks). Suspends: yes.
 * Returns 0, -ETIMEDOUT, -ECANCELED, -ENOMEM, or -ESRCH: the queue is empty, and nobody could fill it meanwhile.
 */
TR_PUBLIC int tr_delay_next(struct tr_delay *delay, void *value, tr_time deadline);

/*
 * As tr_delay_next, without waiting. Thread: its own. Suspends: no.
 * Returns 0, -EAGAIN (the time of none has come), -ESRCH (the queue is empty).
 */
TR_PUBLIC int tr_delay_try_next(struct tr_delay *delay, void *value);

/* When the first value comes out; TR_FOREVER if the queue is empty. Thread: its own. Suspends: no. */
TR_PUBLIC tr_time tr_delay_when(const struct tr_delay *delay);

/*
 * The value that comes out first, still in the queue, and its key (NULL: not wanted). NULL: the queue is empty.
 * Thread: its own. Suspends: no. Owns: the value is the queue's, and lies there until the queue changes.
 */
TR_PUBLIC void *tr_delay_peek(const struct tr_delay *delay, struct tr_delay_key *key);

/* The value with that key, and its time (NULL: not wanted), likewise. NULL: there is none. Thread: its own. Suspends: no. */
TR_PUBLIC void *tr_delay_find(const struct tr_delay *delay, struct tr_delay_key key, tr_time *when);

/* How many values are in the queue. Thread: its own. Suspends: no. */
TR_PUBLIC uint32_t tr_delay_length(const struct tr_delay *delay);

/*
 * Removes all values, first those that come out first; `drop` (NULL: none), which must not use the queue, is called with each.
 * Keys are stale from then on. Thread: its own. Suspends: no, but for what `drop` does.
 */
TR_PUBLIC void tr_delay_clear(struct tr_delay *delay, void (*drop)(void *value));

/*
 * Makes room for that many values in all, so that no insertion up to there needs memory.
 * Thread: its own. Suspends: no. Returns 0, -ENOMEM (also beyond TR_DELAY_LIMIT).
 */
TR_PUBLIC int tr_delay_reserve(struct tr_delay *delay, uint32_t length);

/* Gives back the memory that the values now in the queue do not need. Keys stay good. Thread: its own. Suspends: no. */
TR_PUBLIC void tr_delay_compact(struct tr_delay *delay);

TRI_END_DECLS
#endif
