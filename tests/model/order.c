/* SPDX-License-Identifier: MIT */
/*
 * order.c: the total order S of all sequentially consistent operations, C++20 wording ([atomics.order] 4).
 *
 * S is never chosen. Each rule says "this event precedes that one"; an order exists as long as the rules close no cycle.
 * So the explorer keeps the transitive closure of the rules and forbids a read, or a place in the modification order,
 * that would close one. Executions need not be run in the order of S, which is why weak outcomes are found that an
 * engine taking the interleaving for S would miss.
 *
 *   strongly happens before:   A before B, both in S
 *   A coherence-ordered before B, each being in S or having a fence of S before A, or after B
 *
 * Coherence order at one location is the order of ranks: a store at place p of the modification order has rank 2p,
 * what reads it 2p + 1.
 */
#include "engine.h"

#include <string.h>

static struct {
    unsigned count;
    struct {
        uint16_t thread, epoch;
        bool fence;
        sc_set before; /* all that S puts before it */
    } event[SC_LIMIT];
} sc;

void tri_order_reset(void)
{
    sc.count = 0;
}

bool tri_order_any(void)
{
    return sc.count > 0;
}

unsigned tri_order_rank(const struct location *location, const struct access *access)
{
    unsigned place = 0;
    while (location->order[place] != access->store)
        place++;
    return 2 * place + !access->writes;
}

/* Fences of S that happened before a step whose clock is `now`. */
static sc_set fences_before(const struct clock *now)
{
    sc_set set = 0;
    for (unsigned i = 0; i < sc.count; i++)
        if (sc.event[i].fence && tri_clock_knows(now, sc.event[i].thread, sc.event[i].epoch))
            set |= (sc_set)1 << i;
    return set;
}

/*
 * Events that strongly happened before a new event of S: sequenced before it, or known through something later of
 * their thread. `before` is the clock before the new event acquired anything.
 */
static sc_set strongly_before(const struct clock *before)
{
    sc_set set = 0;
    for (unsigned i = 0; i < sc.count; i++) {
        unsigned known = before->at[sc.event[i].thread];
        if (known > sc.event[i].epoch || (sc.event[i].thread == engine.current && known >= sc.event[i].epoch))
            set |= (sc_set)1 << i;
    }
    return set;
}

static sc_set closure(sc_set set)
{
    sc_set all = set;
    for (unsigned i = 0; i < sc.count; i++)
        if (set >> i & 1)
            all |= sc.event[i].before;
    return all;
}

static unsigned new_event(bool fence, sc_set before)
{
    if (sc.count == SC_LIMIT)
        tri_report_fail("more than %d sequentially consistent steps in one execution", SC_LIMIT);
    unsigned index = sc.count++;
    sc.event[index].thread = (uint16_t)engine.current;
    sc.event[index].epoch = tri_engine_thread()->now.at[engine.current];
    sc.event[index].fence = fence;
    sc.event[index].before = closure(before);
    return index;
}

/* Everything in `early` precedes everything in `late`. */
static void put_before(sc_set early, sc_set late)
{
    if (!early || !late)
        return;
    early = closure(early);
    for (unsigned i = 0; i < sc.count; i++)
        if ((late >> i & 1) || (sc.event[i].before & late))
            sc.event[i].before |= early;
}

/*
 * What an access at `rank` must follow and precede in coherence. A store that is not yet in its place is asked about with
 * the rank of those that read what will be in front of it: they precede it too.
 */
static void neighbours(const struct location *location, unsigned rank, bool writes, sc_set *early, sc_set *late)
{
    *early = *late = 0;
    for (uint32_t i = 0; i < location->access_count; i++) {
        const struct access *access = &location->accesses[i];
        if (!access->before && !access->after)
            continue;
        unsigned other = tri_order_rank(location, access);
        if (other < rank || (writes && other == rank))
            *early |= access->before;
        else if (other > rank)
            *late |= access->after;
    }
}

bool tri_order_allows(const struct location *location, unsigned rank, bool writes, bool is_sc,
                      const struct clock *before)
{
    sc_set early, late;
    if (sc.count == 0)
        return true;
    neighbours(location, rank, writes, &early, &late);
    if (!late)
        return true;
    /* The access acquires only from stores of lower rank, whose fences the closure knows through coherence. */
    sc_set mine = fences_before(before);
    if (is_sc)
        mine |= early | strongly_before(before);
    return !(closure(mine) & late);
}

void tri_order_add(struct location *location, struct access *access, unsigned rank, bool is_sc,
                   const struct clock *before)
{
    sc_set early, late;
    access->before = access->after = 0;
    if (sc.count == 0 && !is_sc)
        return;
    neighbours(location, rank, false, &early, &late);
    sc_set mine = fences_before(&tri_engine_thread()->now);
    if (is_sc) {
        unsigned index = new_event(false, early | strongly_before(before));
        mine |= (sc_set)1 << index;
        access->after = (sc_set)1 << index;
    }
    access->before = mine;
    put_before(mine, late);
}

unsigned tri_order_fence(const struct clock *before)
{
    const struct clock *now = &tri_engine_thread()->now;
    sc_set early = strongly_before(before);
    unsigned index = new_event(true, early);
    sc_set self = (sc_set)1 << index;
    for (uint32_t l = 0; l < engine.location_count; l++) {
        struct location *location = &engine.locations[l];
        unsigned highest = 0;
        for (uint32_t i = 0; i < location->access_count; i++) {
            struct access *access = &location->accesses[i];
            if (!tri_clock_knows(now, access->thread, access->epoch))
                continue;
            access->after |= self;
            unsigned rank = tri_order_rank(location, access);
            if (rank > highest)
                highest = rank;
        }
        for (uint32_t i = 0; i < location->access_count; i++)
            if (location->accesses[i].before && tri_order_rank(location, &location->accesses[i]) < highest)
                early |= location->accesses[i].before;
    }
    put_before(early & ~self, self);
    return index;
}

void tri_order_put(unsigned early, unsigned late)
{
    put_before((sc_set)1 << early, (sc_set)1 << late);
}
