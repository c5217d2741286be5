/* SPDX-License-Identifier: MIT */
/*
 * timer.h: a hierarchical timing wheel (Varghese and Lauck, 1987): insertion, removal and expiry in constant time.
 * One per worker, touched by its owner only; no kernel operation per timer. Timers of one tick fire in the order in which
 * they were inserted.
 */
#ifndef TRI_TIMER_H
#define TRI_TIMER_H

#include <troupe/time.h>

#define TRI_WHEEL_BITS 6
#define TRI_WHEEL_SLOTS (1u << TRI_WHEEL_BITS)
#define TRI_WHEEL_LEVELS 8

/* Embedded in what the timer is for. Zero-initialised: not in a wheel. */
struct tri_timer {
    struct tri_timer *next, **link; /* link: the pointer that points to us; NULL when not in a wheel */
    tr_time when;
    uint16_t level, slot;
    uint32_t kind; /* the owner's, to tell what the timer is embedded in */
};

struct tri_timer_list {
    struct tri_timer *first, **end; /* end: of the last one, or stale when empty */
};

struct tri_wheel {
    uint64_t tick;                           /* everything due at or before this tick has been fired */
    uint64_t occupied[TRI_WHEEL_LEVELS + 1]; /* a bit for each slot that holds timers */
    uint64_t count;
    struct tri_timer_list slots[TRI_WHEEL_LEVELS + 1][TRI_WHEEL_SLOTS]; /* the last level: see tri_wheel_expire */
};

void tri_wheel_init(struct tri_wheel *wheel, tr_time now);
/* timer must not be in a wheel. Due at the first tick at or after timer->when (never early). */
void tri_wheel_insert(struct tri_wheel *wheel, struct tri_timer *timer, tr_time when);
/* Harmless if the timer is not in a wheel. */
void tri_wheel_remove(struct tri_wheel *wheel, struct tri_timer *timer);
/* Takes out every timer due by `now` and calls fire for each; fire may insert and remove timers. Returns how many. */
unsigned tri_wheel_advance(struct tri_wheel *wheel, tr_time now, void (*fire)(struct tri_timer *timer, void *context),
                           void *context);
/* A time by which tri_wheel_advance should be called again: never later than the earliest timer's tick, at times
 * earlier (a cascade). TR_FOREVER when empty. Constant time. */
tr_time tri_wheel_next(const struct tri_wheel *wheel);

/*
 * For a clock that is moved by hand. As tri_wheel_advance, but exact: fires what is due at `now`, not at its tick, in the
 * order of the times. Of those with the same time, the order is that of draw(UINT32_MAX), if there is a draw.
 */
unsigned tri_wheel_expire(struct tri_wheel *wheel, tr_time now, uint32_t (*draw)(uint32_t count),
                          void (*fire)(struct tri_timer *timer, void *context), void *context);

/* What tri_wheel_earliest asks of the owner of the timers. */
struct tri_wheel_judge {
    tr_time (*due)(struct tri_timer *timer, void *context); /* not before timer->when; TR_FOREVER: nobody needs it */
    void (*drop)(struct tri_timer *timer, void *context);   /* nobody needs it, and it is out of the wheel */
};

/*
 * The time of the earliest timer, exactly; TR_FOREVER when there is none. Timers that it meets and that are due later than
 * they say are moved, and those that nobody needs are dropped.
 */
tr_time tri_wheel_earliest(struct tri_wheel *wheel, const struct tri_wheel_judge *judge, void *context);

#endif
