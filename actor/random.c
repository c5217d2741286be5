/* SPDX-License-Identifier: MIT */
/*
 * random.c: chance. A generator per worker (splitmix64: Steele, Lea and Flood, 2014), one per foreign thread; a seeded
 * runtime has its worker's begin with the seed, and asks nobody else. Quick, and good enough to be fair; no secret.
 */
#include "actor/scheduler.h"
#include "io/clock.h"

#include <troupe/sim.h>

static uint64_t draw(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Thread-local: for threads that do not switch stacks. */
static __attribute__((noinline)) uint64_t draw_foreign(void)
{
    static __thread uint64_t state;
    if (state == 0)
        state = (uint64_t)tri_clock_real() ^ (uint64_t)(uintptr_t)&state;
    return draw(&state);
}

static uint64_t draw_here(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker ? draw(&worker->random) : draw_foreign();
}

/* Multiplied down (Lemire, 2019), with a bias of less than count in 2^32. */
uint32_t tri_choice(uint32_t count)
{
    return (uint32_t)((draw_here() >> 32) * count >> 32);
}

uint64_t tr_random(uint64_t count)
{
    uint64_t number = draw_here();
    return count ? (uint64_t)((unsigned __int128)number * count >> 64) : number;
}
