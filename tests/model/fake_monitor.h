/* SPDX-License-Identifier: MIT */
/*
 * fake_monitor.h: mailbox/monitor.h with a GUARD that blocks instead of spinning, as fake_lock.h does for the lock;
 * model_monitor.c explores the real one. To be included before anything of mailbox/.
 */
#ifndef FAKE_MONITOR_H
#define FAKE_MONITOR_H

#include "fake_lock.h"

#define tri_guard(word) tri_real_guard(word)
#include "mailbox/monitor.h"
#undef tri_guard

/* Nobody takes a biased lock here. */
struct tri_seat *tri_seat_here(void)
{
    return &tri_seats[0];
}

static inline uint64_t tri_guard(TRI_ATOMIC(uint64_t) *word)
{
    model_await_even(word);
    return tri_fetch_or(word, TRI_GUARD, TRI_ACQUIRE); /* as tri_real_guard */
}

/* In a setup: the object is used by all from the beginning, which saves every execution the first turn. */
static inline void model_share(struct tri_monitor *monitor)
{
    tri_store(&monitor->word, tri_load(&monitor->word, TRI_RELAXED) | TRI_SHARED, TRI_RELAXED);
}

/* In a check: nobody is queued, and no turn is under way. */
static inline bool model_at_rest(const struct tri_monitor *monitor)
{
    return !monitor->line.last && !(tri_load(&monitor->word, TRI_RELAXED) & (TRI_GUARD | TRI_WAITED));
}

#endif
