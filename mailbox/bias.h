/* SPDX-License-Identifier: MIT */
/*
 * bias.h: a lock for a few instructions that costs nothing while one worker uses it.
 *
 * Most things that tasks share are used by the tasks of one worker for a long time. So a lock that one worker has taken
 * many times in a row becomes its own: from then on that worker enters by marking, in its own cache line, which lock it is
 * inside, and leaves by clearing the mark: plain stores, no locked instruction. Another thread that wants the lock takes
 * the bias away, once and for good, by a barrier in every thread of the process (membarrier), and waits until the worker
 * is outside; then it is an ordinary spin lock for everybody.
 *
 *                 16 times in a row by one worker            another thread, or a nested entry
 *     fresh, word ------------------------------> biased --------------------------------------> word, for ever
 *
 * Biased locks are known from Java's monitors (Kawachiya, Koseki and Onodera, "Lock reservation", OOPSLA 2002).
 *
 *   [B1] inside := lock (plain), owner   against   owner := REVOKED, membarrier, inside: either the worker sees that it has
 *        lost the lock, or the other sees that it is inside.
 *   [B2] inside := 0 or anything later, release -> acquire by the one who takes the bias away: all that was done inside.
 *   [B3] the word, release -> acquire: as in pool.h. `owner` changes only under the word.
 *
 * Rules: never held over a suspension. A thread that is inside one biased lock enters others by their words.
 */
#ifndef TRI_BIAS_H
#define TRI_BIAS_H

#include "mailbox/pool.h"

#define TRI_SEATS 256u
#define TRI_BIASED 0x80000000u
#define TRI_BIAS_REVOKED 0x40000000u
#ifndef TRI_BIAS_AFTER
#define TRI_BIAS_AFTER 16u /* times in a row */
#endif

/* Zeroed memory is an open lock. */
struct tri_bias {
    struct tri_lock word;
    TRI_ATOMIC(uint32_t) owner; /* 0; seat << 8 | times in a row; TRI_BIASED | seat; TRI_BIAS_REVOKED */
};

/* A worker's own. */
struct tri_seat {
    _Alignas(64) TRI_ATOMIC(uintptr_t) inside; /* the biased lock that the worker is inside; 0: none */
    uint32_t claim;                            /* the owner word of its locks: TRI_BIASED | number */
    bool taken;
};

extern struct tri_seat tri_seats[TRI_SEATS];

/*
 * Gives the calling thread a seat until tri_seat_leave; without one (all taken, or no membarrier here) its locks are ordinary
 * ones. What was biased to the seat's last thread is biased to this one. Returns the seat, or NULL. Thread: workers.
 */
struct tri_seat *tri_seat_enter(void);
void tri_seat_leave(void);

void tri_bias_lock_slow(struct tri_bias *lock);

extern __thread struct tri_seat *tri_seat_tls __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The calling thread's seat, or one that owns nothing. Opaque, as tri_worker_here. */
#if defined(__x86_64__) && !defined(TRI_MODEL)
static inline struct tri_seat *tri_seat_here(void)
{
    struct tri_seat *seat;
    __asm__ volatile("movq tri_seat_tls@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(seat) : : "memory");
    return seat;
}
#else
struct tri_seat *tri_seat_here(void);
#endif

/* True as long as the lock is biased to this seat, and so to the calling thread. */
static inline bool tri_bias_is_mine(struct tri_bias *lock, const struct tri_seat *seat)
{
    return tri_load(&lock->owner, TRI_RELAXED) == seat->claim;
}

/* True while the calling thread is inside by its mark, not by the word. */
static inline bool tri_bias_is_marked(const struct tri_bias *lock, struct tri_seat *seat)
{
    return tri_load(&seat->inside, TRI_RELAXED) == (uintptr_t)lock;
}

/* Goes in by the mark, if the lock is the calling thread's. False: not in. To be left by tri_bias_leave. */
static inline __attribute__((always_inline)) bool tri_bias_enter(struct tri_bias *lock, struct tri_seat *seat)
{
    if (__builtin_expect(!tri_bias_is_mine(lock, seat), 0) ||
        __builtin_expect(tri_load(&seat->inside, TRI_RELAXED) != 0, 0))
        return false;
    tri_store(&seat->inside, (uintptr_t)lock, TRI_RELEASE); /* [B1] [B2] */
    tri_fence_compiler();
    if (__builtin_expect(tri_bias_is_mine(lock, seat), 1)) /* [B1] */
        return true;
    tri_store(&seat->inside, (uintptr_t)0, TRI_RELEASE); /* [B2] */
    return false;
}

static inline void tri_bias_leave(struct tri_seat *seat)
{
    tri_store(&seat->inside, (uintptr_t)0, TRI_RELEASE); /* [B2] */
}

static inline __attribute__((always_inline)) void tri_bias_lock(struct tri_bias *lock)
{
    if (__builtin_expect(!tri_bias_enter(lock, tri_seat_here()), 0))
        tri_bias_lock_slow(lock);
}

static inline __attribute__((always_inline)) void tri_bias_unlock(struct tri_bias *lock)
{
    struct tri_seat *seat = tri_seat_here();
    if (__builtin_expect(tri_bias_is_marked(lock, seat), 1))
        tri_bias_leave(seat);
    else
        tri_unlock(&lock->word); /* [B3] */
}

#endif
