/* SPDX-License-Identifier: MIT */
/* semaphore.h: permits that can be taken and given without waiting; see semaphore.c. */
#ifndef TRI_SEMAPHORE_H
#define TRI_SEMAPHORE_H

#include "mailbox/monitor.h"
#include <troupe/semaphore.h>

#define TRI_CLOSED TRI_STATE_ONE
#define TRI_PERMIT (2 * TRI_STATE_ONE)

static inline struct tri_monitor *tri_semaphore_monitor(const struct tr_semaphore *semaphore)
{
    return (struct tri_monitor *)(uintptr_t)semaphore;
}

static inline uint64_t tri_permits(uint64_t word)
{
    return (word & TRI_STATE_MASK) / TRI_PERMIT;
}

/* Whether the semaphore is at that place, and nothing stands against taking and giving by the word alone. */
static inline bool tri_semaphore_is_plain(uint64_t word, uint64_t place)
{
    return (word & (TRI_HOME_MASK | TRI_GUARD | TRI_WAITED | TRI_CLOSED)) == place;
}

/* False: not done; there may be reasons against it, or a rival was quicker. */
static inline bool tri_semaphore_take(struct tri_seat *home, struct tri_monitor *monitor, uint64_t permits)
{
    uint64_t word;
    bool can;
    if (home) {
        word = tri_home_enter(home, monitor);
        can = tri_semaphore_is_plain(word, tri_place_of(home)) && tri_permits(word) >= permits;
        if (can)
            tri_store(&monitor->word, word - permits * TRI_PERMIT, TRI_RELAXED); /* [H2] */
        tri_home_leave(home);
        if (can)
            return true;
    }
    word = tri_load(&monitor->word, TRI_RELAXED);
    return tri_semaphore_is_plain(word, TRI_SHARED) && tri_permits(word) >= permits &&
           tri_cas(&monitor->word, &word, word - permits * TRI_PERMIT, TRI_ACQUIRE, TRI_RELAXED); /* [E1] [H4] */
}

/* The same for giving. */
static inline bool tri_semaphore_give(struct tri_seat *home, struct tri_monitor *monitor, uint64_t permits)
{
    uint64_t word;
    bool can;
    if (home) {
        word = tri_home_enter(home, monitor);
        can = tri_semaphore_is_plain(word, tri_place_of(home)) && permits < TR_SEMAPHORE_LIMIT - tri_permits(word);
        if (can)
            tri_store(&monitor->word, word + permits * TRI_PERMIT, TRI_RELAXED); /* [H2] */
        tri_home_leave(home);
        if (can)
            return true;
    }
    word = tri_load(&monitor->word, TRI_RELAXED);
    return tri_semaphore_is_plain(word, TRI_SHARED) && permits < TR_SEMAPHORE_LIMIT - tri_permits(word) &&
           tri_cas(&monitor->word, &word, word + permits * TRI_PERMIT, TRI_RELEASE, TRI_RELAXED); /* [E1] */
}

/* The whole calls, for when that did not do. */
int tri_semaphore_acquire_slow(struct tr_semaphore *semaphore, uint64_t permits, tr_time deadline);
int tri_semaphore_release_slow(struct tr_semaphore *semaphore, uint64_t permits);

#endif
