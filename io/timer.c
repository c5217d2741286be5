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

static void hang(struct tri_wheel *wheel, struct tri_timer *timer, unsigned level, unsigned slot)
{
    struct tri_timer_list *list = &wheel->slots[level][slot];
    if (!list->first) {
        list->end = &list->first;
        wheel->occupied[level] |= UINT64_C(1) << slot;
    }
    timer->level = (uint16_t)level;
    timer->slot = (uint16_t)slot;
    timer->next = NULL;
    timer->link = list->end;
    *list->end = timer;
    list->end = &timer->next;
}

static void take_off(struct tri_wheel *wheel, struct tri_timer *timer)
{
    struct tri_timer_list *list = &wheel->slots[timer->level][timer->slot];
    *timer->link = timer->next;
    if (timer->next)
        timer->next->link = timer->link;
    else
        list->end = timer->link;
    if (!list->first)
        wheel->occupied[timer->level] &= ~(UINT64_C(1) << timer->slot);
    timer->next = NULL;
    timer->link = NULL;
}

static void place(struct tri_wheel *wheel, struct tri_timer *timer, uint64_t tick)
{
    unsigned level = level_of(wheel->tick, tick);
    hang(wheel, timer, level, digit(tick, level));
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
    take_off(wheel, timer);
    wheel->count--;
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

/* The timers of the slot at wheel->tick go down the levels, those that are due now to level 0. */
static void cascade(struct tri_wheel *wheel, unsigned level)
{
    unsigned slot = digit(wheel->tick, level);
    struct tri_timer *timer = wheel->slots[level][slot].first;
    wheel->slots[level][slot].first = NULL;
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    while (timer) {
        struct tri_timer *next = timer->next;
        uint64_t tick = tick_at_or_after(timer->when);
        if (next)
            __builtin_prefetch(next->next);
        if (tick <= wheel->tick)
            hang(wheel, timer, 0, digit(wheel->tick, 0));
        else
            place(wheel, timer, tick);
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
        if (level > 0)
            cascade(wheel, level);
        /* What is due hangs in this slot of level 0. fire may remove any timer; what it inserts comes at later ticks. */
        struct tri_timer_list *due = &wheel->slots[0][digit(tick, 0)];
        while (due->first) {
            struct tri_timer *timer = due->first;
            take_off(wheel, timer);
            wheel->count--;
            fired++;
            if (due->first)
                __builtin_prefetch(due->first->next);
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

/* ---- for a clock that is moved by hand ------------------------------------------------------------------------ */

/*
 * Timers that are due are first collected in a list without a place, where `link` holds their order, and then hang in a level
 * of their own, which no tick reaches: so fire may remove those that come after.
 */
#define LEVEL_DUE TRI_WHEEL_LEVELS

struct expiry {
    struct tri_timer *due;
    uint32_t (*draw)(uint32_t count);
    uint32_t count;
};

static void collect(struct tri_timer *timer, void *context)
{
    struct expiry *expiry = context;
    uint32_t order = expiry->draw ? expiry->draw(UINT32_MAX) : expiry->count;
    timer->link = (struct tri_timer **)(uintptr_t)order;
    timer->next = expiry->due;
    expiry->due = timer;
    expiry->count++;
}

/* Timers of the tick that has begun: those whose time has come. All of that tick are in one slot. */
static void collect_next_tick(struct tri_wheel *wheel, struct expiry *expiry, tr_time now)
{
    unsigned level = level_of(wheel->tick, wheel->tick + 1);
    struct tri_timer *timer = wheel->slots[level][digit(wheel->tick + 1, level)].first;
    while (timer) {
        struct tri_timer *next = timer->next;
        if (timer->when <= now) {
            tri_wheel_remove(wheel, timer);
            collect(timer, expiry);
        }
        timer = next;
    }
}

static bool comes_first(const struct tri_timer *a, const struct tri_timer *b)
{
    return a->when < b->when || (a->when == b->when && (uintptr_t)a->link <= (uintptr_t)b->link);
}

static struct tri_timer *merge(struct tri_timer *a, struct tri_timer *b)
{
    struct tri_timer *first = NULL, **end = &first;
    while (a && b) {
        struct tri_timer **from = comes_first(a, b) ? &a : &b;
        *end = *from;
        *from = (*from)->next;
        end = &(*end)->next;
    }
    *end = a ? a : b;
    return first;
}

/* Merge sort from below: sorted[i] holds 2^i timers. */
static struct tri_timer *sort(struct tri_timer *list)
{
    struct tri_timer *sorted[32] = { NULL }, *all = NULL;
    while (list) {
        struct tri_timer *carry = list;
        list = list->next;
        carry->next = NULL;
        unsigned i = 0;
        for (; i < 31 && sorted[i]; i++) {
            carry = merge(sorted[i], carry);
            sorted[i] = NULL;
        }
        sorted[i] = sorted[i] ? merge(sorted[i], carry) : carry;
    }
    for (unsigned i = 0; i < 32; i++)
        all = merge(sorted[i], all);
    return all;
}

unsigned tri_wheel_expire(struct tri_wheel *wheel, tr_time now, uint32_t (*draw)(uint32_t count),
                          void (*fire)(struct tri_timer *timer, void *context), void *context)
{
    struct expiry expiry = { .draw = draw };
    tri_wheel_advance(wheel, now, collect, &expiry);
    collect_next_tick(wheel, &expiry, now);
    for (struct tri_timer *timer = sort(expiry.due), *next; timer; timer = next) {
        next = timer->next;
        hang(wheel, timer, LEVEL_DUE, 0);
        wheel->count++;
    }
    struct tri_timer_list *due = &wheel->slots[LEVEL_DUE][0];
    while (due->first) {
        struct tri_timer *timer = due->first;
        take_off(wheel, timer);
        wheel->count--;
        fire(timer, context);
    }
    return expiry.count;
}

/* Sets the timers of a slot right. Returns the time of the earliest, and in *changed whether any was moved or dropped. */
static tr_time judge_slot(struct tri_wheel *wheel, struct tri_timer *timer, const struct tri_wheel_judge *judge,
                          void *context, bool *changed)
{
    tr_time earliest = TR_FOREVER;
    while (timer) {
        struct tri_timer *next = timer->next;
        tr_time due = judge->due(timer, context);
        if (due > timer->when) {
            *changed = true;
            tri_wheel_remove(wheel, timer);
            if (due == TR_FOREVER)
                judge->drop(timer, context);
            else
                tri_wheel_insert(wheel, timer, due);
        } else if (timer->when < earliest) {
            earliest = timer->when;
        }
        timer = next;
    }
    return earliest;
}

tr_time tri_wheel_earliest(struct tri_wheel *wheel, const struct tri_wheel_judge *judge, void *context)
{
    for (;;) {
        uint64_t tick;
        bool changed = false;
        unsigned level = first_slot(wheel, &tick);
        if (level == LEVEL_NONE)
            return TR_FOREVER;
        struct tri_timer *first = wheel->slots[level][digit(tick, level)].first;
        tr_time earliest = judge_slot(wheel, first, judge, context, &changed);
        if (!changed)
            return earliest;
    }
}
