/* SPDX-License-Identifier: MIT */
/*
 * timer.c: the timing wheel.
 *
 * A timer's tick is a number of 48 bits, seen as eight digits of six bits. It hangs at the level of the highest digit
 * in which it differs from the wheel's own tick, in the slot of that digit:
 *
 *     wheel->tick    ... 07 12 33        timer at ... 07 12 40   level 0, slot 40
 *                                        timer at ... 07 15 02   level 1, slot 15
 *                                        timer at ... 11 00 00   level 2, slot 11
 *
 * So all timers of a level come before those of the next, slots of a level never wrap, and the next event is the lowest
 * set bit of the lowest occupied level. When the tick reaches a slot above level 0, its timers fall to lower levels, at
 * most seven times each.
 */
#include "io/timer.h"

#include <assert.h>

#define TICK_SHIFT 17
static_assert(TR_TIMER_TICK == (tr_time)1 << TICK_SHIFT, "a tick is a power of two");
/* TR_FOREVER has 63 - 17 = 46 bits of ticks; one more for the tick after the last. */
static_assert(TRI_WHEEL_BITS * TRI_WHEEL_LEVELS > 63 - TICK_SHIFT, "every deadline has a place");

/* Timers about to fire hang on a list of their own, which no bitmap describes. */
#define LEVEL_NONE TRI_WHEEL_LEVELS

/* The last tick is TR_FOREVER's, rounded down: a wheel advanced to the end of time has fired everything. */
static uint64_t tick_at_or_after(tr_time when)
{
    if (when <= 0)
        return 0;
    if (when > TR_FOREVER - TR_TIMER_TICK)
        return (uint64_t)TR_FOREVER >> TICK_SHIFT;
    return ((uint64_t)when + (TR_TIMER_TICK - 1)) >> TICK_SHIFT;
}

static unsigned digit(uint64_t tick, unsigned level)
{
    return (unsigned)(tick >> (level * TRI_WHEEL_BITS)) & (TRI_WHEEL_SLOTS - 1);
}

/* The level where `tick`, later than now, belongs. */
static unsigned level_of(uint64_t now, uint64_t tick)
{
    assert(tick > now);
    return (63u - (unsigned)__builtin_clzll(now ^ tick)) / TRI_WHEEL_BITS;
}

static void push(struct tri_timer **list, struct tri_timer *timer)
{
    timer->next = *list;
    timer->link = list;
    if (timer->next)
        timer->next->link = &timer->next;
    *list = timer;
}

static void unlink_timer(struct tri_timer *timer)
{
    *timer->link = timer->next;
    if (timer->next)
        timer->next->link = timer->link;
    timer->next = NULL;
    timer->link = NULL;
}

static void place(struct tri_wheel *wheel, struct tri_timer *timer, uint64_t tick)
{
    unsigned level = level_of(wheel->tick, tick);
    unsigned slot = digit(tick, level);
    timer->level = (uint16_t)level;
    timer->slot = (uint16_t)slot;
    push(&wheel->slots[level][slot], timer);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

void tri_wheel_init(struct tri_wheel *wheel, tr_time now)
{
    *wheel = (struct tri_wheel){ .tick = now <= 0 ? 0 : (uint64_t)now >> TICK_SHIFT };
}

void tri_wheel_insert(struct tri_wheel *wheel, struct tri_timer *timer, tr_time when)
{
    assert(!timer->link);
    uint64_t tick = tick_at_or_after(when);
    /* What is overdue fires at the next tick: this one has been. */
    if (tick <= wheel->tick)
        tick = wheel->tick + 1;
    timer->when = when;
    place(wheel, timer, tick);
    wheel->count++;
}

void tri_wheel_remove(struct tri_wheel *wheel, struct tri_timer *timer)
{
    if (!timer->link)
        return;
    unlink_timer(timer);
    wheel->count--;
    if (timer->level != LEVEL_NONE && !wheel->slots[timer->level][timer->slot])
        wheel->occupied[timer->level] &= ~(UINT64_C(1) << timer->slot);
}

/* The first occupied slot: its level, and in *tick the first tick that it covers. LEVEL_NONE: the wheel is empty. */
static unsigned first_slot(const struct tri_wheel *wheel, uint64_t *tick)
{
    for (unsigned level = 0; level < TRI_WHEEL_LEVELS; level++) {
        if (!wheel->occupied[level])
            continue;
        unsigned shift = level * TRI_WHEEL_BITS;
        uint64_t slot = (uint64_t)__builtin_ctzll(wheel->occupied[level]);
        uint64_t above = wheel->tick >> shift >> TRI_WHEEL_BITS << TRI_WHEEL_BITS;
        *tick = (above | slot) << shift;
        return level;
    }
    return LEVEL_NONE;
}

/* Takes the timers of the slot at wheel->tick: into *due what is due now, the others down the levels. */
static void take_slot(struct tri_wheel *wheel, unsigned level, struct tri_timer **due)
{
    unsigned slot = digit(wheel->tick, level);
    struct tri_timer *timer = wheel->slots[level][slot];
    wheel->slots[level][slot] = NULL;
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    while (timer) {
        struct tri_timer *next = timer->next;
        uint64_t tick = tick_at_or_after(timer->when);
        if (tick <= wheel->tick) {
            timer->level = LEVEL_NONE;
            push(due, timer);
        } else {
            place(wheel, timer, tick);
        }
        timer = next;
    }
}

unsigned tri_wheel_advance(struct tri_wheel *wheel, tr_time now, void (*fire)(struct tri_timer *timer, void *context),
                           void *context)
{
    uint64_t target = now <= 0 ? 0 : (uint64_t)now >> TICK_SHIFT;
    unsigned fired = 0;
    while (wheel->tick < target) {
        uint64_t tick;
        unsigned level = first_slot(wheel, &tick);
        if (level == LEVEL_NONE || tick > target) {
            wheel->tick = target;
            break;
        }
        wheel->tick = tick;
        struct tri_timer *due = NULL;
        take_slot(wheel, level, &due);
        /* fire may remove any timer, those on this list too; it may insert, but only at later ticks. */
        while (due) {
            struct tri_timer *timer = due;
            unlink_timer(timer);
            wheel->count--;
            fired++;
            fire(timer, context);
        }
    }
    return fired;
}

tr_time tri_wheel_next(const struct tri_wheel *wheel)
{
    uint64_t tick;
    if (first_slot(wheel, &tick) == LEVEL_NONE)
        return TR_FOREVER;
    return tick > (uint64_t)TR_FOREVER >> TICK_SHIFT ? TR_FOREVER : (tr_time)(tick << TICK_SHIFT);
}
