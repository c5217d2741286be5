/* SPDX-License-Identifier: MIT */
/* bias.c: the slow half of bias.h: seats, and locks that are not biased to the calling thread. */
#include "mailbox/bias.h"
#include "mailbox/membarrier.h"

#include <assert.h>
#include <sched.h>

#define SPINS 100

/* The first is for threads without a seat: its claim is no lock's owner. */
struct tri_seat tri_seats[TRI_SEATS] = { { .claim = UINT32_MAX } };

#ifndef TRI_MODEL
static struct tri_lock seats_lock;
__thread struct tri_seat *tri_seat_tls = &tri_seats[0];

#ifndef __x86_64__
__attribute__((noinline)) struct tri_seat *tri_seat_here(void)
{
    __asm__ volatile("" : : : "memory");
    return tri_seat_tls;
}
#endif

struct tri_seat *tri_seat_enter(void)
{
    struct tri_seat *seat = NULL;
    if (!tri_membarrier_register())
        return NULL;
    tri_lock(&seats_lock); /* also passes on what the seat's last thread has done */
    for (uint32_t i = 1; i < TRI_SEATS; i++) {
        if (tri_seats[i].taken)
            continue;
        seat = tri_seat_tls = &tri_seats[i];
        seat->taken = true;
        seat->claim = TRI_BIASED | i;
        break;
    }
    tri_unlock(&seats_lock);
    return seat;
}

void tri_seat_leave(void)
{
    struct tri_seat *seat = tri_seat_tls;
    tri_seat_tls = &tri_seats[0];
    if (seat == &tri_seats[0])
        return;
    tri_lock(&seats_lock);
    seat->taken = false;
    tri_unlock(&seats_lock);
}
#endif

/* Under the word. Waits until the worker with this seat, wherever it is, is outside and will not come in again. */
static void take_bias(struct tri_bias *lock, struct tri_seat *owner)
{
    tri_store(&lock->owner, TRI_BIAS_REVOKED, TRI_RELAXED); /* [B1] */
    tri_membarrier();
    for (int i = 0; tri_load(&owner->inside, TRI_ACQUIRE) == (uintptr_t)lock; i++) { /* [B1] [B2] */
        if (i < SPINS)
            tri_spin();
        else
            sched_yield(); /* it may have lost its processor */
    }
}

/* Under the word, by a worker: counts how often it has been this one's in a row. */
static void count_entry(struct tri_bias *lock, uint32_t owner, uint32_t seat)
{
    uint32_t times = owner >> 8 == seat ? (owner & 0xff) + 1 : 1;
    tri_store(&lock->owner, times < TRI_BIAS_AFTER ? seat << 8 | times : TRI_BIASED | seat, TRI_RELAXED);
}

void tri_bias_lock_slow(struct tri_bias *lock)
{
    struct tri_seat *seat = tri_seat_here();
    assert(tri_load(&seat->inside, TRI_RELAXED) != (uintptr_t)lock);
    tri_lock(&lock->word); /* [B3] */
    uint32_t owner = tri_load(&lock->owner, TRI_RELAXED);
    if (owner == seat->claim)
        tri_store(&lock->owner, TRI_BIAS_REVOKED, TRI_RELAXED); /* ours, entered from inside another */
    else if (owner & TRI_BIASED)
        take_bias(lock, &tri_seats[owner & ~TRI_BIASED]);
    else if (owner != TRI_BIAS_REVOKED && seat != &tri_seats[0])
        count_entry(lock, owner, seat->claim & ~TRI_BIASED);
}
