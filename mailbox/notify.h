/* SPDX-License-Identifier: MIT */
/* notify.h: storing and taking a notification where nobody waits; see notify.c. */
#ifndef TRI_NOTIFY_H
#define TRI_NOTIFY_H

#include "mailbox/monitor.h"
#include <troupe/notify.h>

#define TRI_STORED TRI_STATE_ONE

static inline struct tri_monitor *tri_notify_monitor(const struct tr_notify *notify)
{
    return (struct tri_monitor *)(uintptr_t)notify;
}

/* Whether the word is of that place, and nobody waits or is in a turn. */
static inline bool tri_notify_is_plain(uint64_t word, uint64_t place)
{
    return (word & (TRI_HOME_MASK | TRI_GUARD | TRI_WAITED)) == place;
}

/* Takes what is stored. False: not done. */
static inline bool tri_notify_take(struct tri_seat *home, struct tri_monitor *monitor)
{
    uint64_t word;
    if (home) {
        word = tri_home_enter(home, monitor);
        bool can = tri_notify_is_plain(word, tri_place_of(home)) && word & TRI_STORED;
        if (can)
            tri_store(&monitor->word, word & ~TRI_STORED, TRI_RELEASE); /* [N2] */
        tri_home_leave(home);
        if (can)
            return true;
    }
    word = tri_load(&monitor->word, TRI_RELAXED);
    return tri_notify_is_plain(word, TRI_SHARED) && word & TRI_STORED &&
           tri_cas(&monitor->word, &word, word & ~TRI_STORED, TRI_ACQUIRE, TRI_RELAXED); /* [N1] [H4] */
}

/* Stores one; if one is stored already, this is said all the same ([N1]). False: not done. */
static inline bool tri_notify_store(struct tri_seat *home, struct tri_monitor *monitor)
{
    uint64_t word;
    if (home) {
        word = tri_home_enter(home, monitor);
        bool can = tri_notify_is_plain(word, tri_place_of(home));
        if (can)
            tri_store(&monitor->word, word | TRI_STORED, TRI_RELEASE); /* [N2] */
        tri_home_leave(home);
        if (can)
            return true;
    }
    word = tri_load(&monitor->word, TRI_RELAXED);
    return tri_notify_is_plain(word, TRI_SHARED) &&
           tri_cas(&monitor->word, &word, word | TRI_STORED, TRI_RELEASE, TRI_RELAXED); /* [N1] */
}

/* The whole calls, for when that did not do. */
int tri_notify_wait_slow(struct tr_notify *notify, tr_time deadline);
void tri_notify_one_slow(struct tr_notify *notify);

#endif
