/* SPDX-License-Identifier: MIT */
/*
 * test_timer.c: the timing wheel against a model that cannot be wrong: an array of deadlines, scanned.
 *
 * The promises: no timer fires early, none is missed by an advance that reaches its tick, each fires once, a removed one
 * never does, and tri_wheel_next is never later than the earliest timer.
 */
#include "io/timer.h"
#include "tests/descriptors.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define TIMERS 600

/* As ck_assert, which writes to a pipe each time, for what is checked millions of times. */
#define must(condition) ((condition) ? (void)0 : ck_abort_msg("not so: %s", #condition))

struct entry {
    struct tri_timer timer; /* first: fire gets its address */
    tr_time when;
    bool armed;
    unsigned fired;
};

struct world {
    struct tri_wheel wheel;
    struct entry entries[TIMERS];
    tr_time now;
    uint64_t random;
    unsigned armed;
    bool reinsert, remove_others;
};

static uint64_t draw(struct world *world)
{
    world->random ^= world->random >> 12;
    world->random ^= world->random << 25;
    world->random ^= world->random >> 27;
    return world->random * UINT64_C(2685821657736338717);
}

/* The time at which the wheel may and must fire a timer: the end of the tick that it falls into. */
static tr_time tick_end(tr_time when)
{
    tr_time tick = when / TR_TIMER_TICK + (when % TR_TIMER_TICK != 0);
    return tick > TR_FOREVER / TR_TIMER_TICK ? TR_FOREVER / TR_TIMER_TICK * TR_TIMER_TICK : tick * TR_TIMER_TICK;
}

static void insert(struct world *world, struct entry *entry, tr_time when)
{
    must(!entry->armed);
    entry->when = when;
    entry->armed = true;
    world->armed++;
    tri_wheel_insert(&world->wheel, &entry->timer, when);
}

static void remove_entry(struct world *world, struct entry *entry)
{
    if (entry->armed)
        world->armed--;
    entry->armed = false;
    tri_wheel_remove(&world->wheel, &entry->timer);
    must(!entry->timer.link);
}

/* Spans of every order of magnitude, the past among them. */
static tr_time draw_when(struct world *world)
{
    unsigned bits = (unsigned)(draw(world) % 63);
    tr_time span = (tr_time)(draw(world) & ((UINT64_C(1) << bits) - 1));
    if (draw(world) % 16 == 0)
        return span < world->now ? world->now - span : 0;
    return span > TR_FOREVER - 1 - world->now ? TR_FOREVER - 1 : world->now + span;
}

static void fire(struct tri_timer *timer, void *context)
{
    struct world *world = context;
    struct entry *entry = (struct entry *)timer;
    must(entry->armed);
    must(!timer->link);
    must(tick_end(entry->when) <= world->now); /* never early */
    entry->armed = false;
    entry->fired++;
    world->armed--;
    if (world->reinsert && draw(world) % 2)
        insert(world, entry, draw_when(world));
    if (world->remove_others && draw(world) % 4 == 0)
        remove_entry(world, &world->entries[draw(world) % TIMERS]);
}

static void check_model(const struct world *world)
{
    tr_time earliest = TR_FOREVER;
    for (unsigned i = 0; i < TIMERS; i++) {
        const struct entry *entry = &world->entries[i];
        must(entry->armed == (entry->timer.link != NULL));
        if (entry->armed && tick_end(entry->when) < earliest)
            earliest = tick_end(entry->when);
    }
    ck_assert_uint_eq(world->wheel.count, world->armed);
    tr_time next = tri_wheel_next(&world->wheel);
    if (world->armed == 0)
        ck_assert_int_eq(next, TR_FOREVER);
    else if (earliest > world->now) /* else it was overdue when it was inserted, and fires at the next tick */
        ck_assert_int_le(next, earliest);
    else
        ck_assert_int_le(next, world->now + TR_TIMER_TICK);
}

/* After an advance to `now`, nothing due at or before the tick before may be left, and nothing inserted in time at all. */
static void check_none_missed(const struct world *world)
{
    tr_time tick = world->now / TR_TIMER_TICK * TR_TIMER_TICK;
    for (unsigned i = 0; i < TIMERS; i++) {
        const struct entry *entry = &world->entries[i];
        if (entry->armed)
            must(tick_end(entry->when) > tick);
    }
}

static void advance(struct world *world, tr_time now)
{
    world->now = now;
    tri_wheel_advance(&world->wheel, now, fire, world);
}

static struct world *make_world(tr_time now, uint64_t seed)
{
    struct world *world = calloc(1, sizeof *world);
    ck_assert_ptr_nonnull(world);
    world->now = now;
    world->random = seed * 7919 + 1;
    tri_wheel_init(&world->wheel, now);
    return world;
}

static void run_random(uint64_t seed, bool reinsert, bool remove_others, unsigned steps)
{
    struct world *world = make_world((tr_time)(seed * INT64_C(123456789123)), seed);
    world->reinsert = reinsert;
    world->remove_others = remove_others;
    for (unsigned step = 0; step < steps; step++) {
        struct entry *entry = &world->entries[draw(world) % TIMERS];
        unsigned what = (unsigned)(draw(world) % 16);
        if (what < 9) {
            remove_entry(world, entry);
            insert(world, entry, draw_when(world));
        } else if (what < 13) {
            remove_entry(world, entry);
        } else {
            tr_time span = (tr_time)(draw(world) & ((UINT64_C(1) << draw(world) % 40) - 1));
            advance(world, world->now + span);
        }
        if (step % 64 == 0)
            check_model(world);
    }
    free(world);
}

START_TEST(timer_random_operations_match_the_model)
{
    for (uint64_t seed = 1; seed <= 8; seed++)
        run_random(seed, seed % 2, seed % 4 >= 2, 250000);
}
END_TEST

/* Only insertions ahead of the clock: then nothing due may survive an advance, whatever its size. */
START_TEST(timer_advance_misses_nothing)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world *world = make_world((tr_time)seed * TR_SECOND, seed);
        for (unsigned round = 0; round < 2000; round++) {
            for (unsigned i = 0; i < 5; i++) {
                struct entry *entry = &world->entries[draw(world) % TIMERS];
                unsigned bits = 18 + (unsigned)(draw(world) % 30);
                remove_entry(world, entry);
                tr_time span = (tr_time)(draw(world) & ((UINT64_C(1) << bits) - 1)) + TR_TIMER_TICK;
                insert(world, entry, world->now + span);
            }
            advance(world, world->now + (tr_time)(draw(world) & ((UINT64_C(1) << draw(world) % 45) - 1)));
            check_none_missed(world);
            if (round % 16 == 0)
                check_model(world);
        }
        free(world);
    }
}
END_TEST

START_TEST(timer_one_fires_exactly_at_its_tick)
{
    static const tr_time spans[] = { 1,
                                     TR_TIMER_TICK - 1,
                                     TR_TIMER_TICK,
                                     TR_TIMER_TICK + 1,
                                     63 * TR_TIMER_TICK,
                                     64 * TR_TIMER_TICK,
                                     65 * TR_TIMER_TICK,
                                     4096 * TR_TIMER_TICK - 1,
                                     4097 * TR_TIMER_TICK,
                                     TR_SECOND,
                                     3600 * TR_SECOND,
                                     86400 * TR_SECOND };
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        for (tr_time start = 0; start < 200 * TR_TIMER_TICK; start += 17 * TR_TIMER_TICK + 5) {
            struct world *world = make_world(start, 1);
            insert(world, world->entries, start + spans[i]);
            tr_time due = tick_end(start + spans[i]);
            advance(world, due - 1);
            ck_assert_uint_eq(world->entries[0].fired, 0);
            ck_assert_int_le(tri_wheel_next(&world->wheel), due);
            advance(world, due);
            ck_assert_uint_eq(world->entries[0].fired, 1);
            free(world);
        }
    }
}
END_TEST

/* Following tri_wheel_next reaches any timer in a bounded number of steps: a cascade per level at most. */
START_TEST(timer_next_leads_to_the_timer)
{
    struct world *world = make_world(123 * TR_SECOND, 3);
    for (unsigned round = 0; round < 10000; round++) {
        tr_time span = (tr_time)(draw(world) & ((UINT64_C(1) << (17 + draw(world) % 32)) - 1));
        insert(world, world->entries, world->now + span);
        unsigned steps = 0;
        while (world->armed > 0) {
            tr_time next = tri_wheel_next(&world->wheel);
            ck_assert_int_gt(next, world->now);
            advance(world, next);
            ck_assert_uint_le(++steps, TRI_WHEEL_LEVELS);
        }
    }
    free(world);
}
END_TEST

START_TEST(timer_far_deadline_stays)
{
    struct world *world = make_world(TR_SECOND, 4);
    insert(world, &world->entries[0], TR_FOREVER - 1);
    insert(world, &world->entries[1], TR_FOREVER);
    insert(world, &world->entries[2], TR_FOREVER / 2);
    for (tr_time now = TR_SECOND; now < TR_FOREVER / 4; now *= 2) {
        advance(world, now);
        ck_assert_uint_eq(world->armed, 3);
        check_model(world);
    }
    advance(world, TR_FOREVER / 2 + TR_TIMER_TICK);
    ck_assert_uint_eq(world->armed, 2);
    advance(world, TR_FOREVER - 1);
    ck_assert_uint_eq(world->armed, 0);
    insert(world, &world->entries[0], TR_FOREVER - 1); /* harmless even at the end of time */
    remove_entry(world, &world->entries[0]);
    free(world);
}
END_TEST

START_TEST(timer_past_deadline_fires_at_the_next_tick)
{
    struct world *world = make_world(10 * TR_SECOND, 5);
    insert(world, &world->entries[0], TR_NOW);
    insert(world, &world->entries[1], 9 * TR_SECOND);
    insert(world, &world->entries[2], -5);
    advance(world, 10 * TR_SECOND);
    ck_assert_uint_eq(world->armed, 3);
    advance(world, 10 * TR_SECOND + TR_TIMER_TICK);
    ck_assert_uint_eq(world->armed, 0);
    free(world);
}
END_TEST

START_TEST(timer_removing_twice_is_harmless)
{
    struct world *world = make_world(0, 6);
    insert(world, world->entries, TR_SECOND);
    remove_entry(world, world->entries);
    remove_entry(world, world->entries);
    ck_assert_int_eq(tri_wheel_next(&world->wheel), TR_FOREVER);
    ck_assert_uint_eq(tri_wheel_advance(&world->wheel, 2 * TR_SECOND, fire, world), 0);
    free(world);
}
END_TEST

static void fire_and_remove_all(struct tri_timer *timer, void *context)
{
    struct world *world = context;
    struct entry *entry = (struct entry *)timer;
    entry->armed = false;
    world->armed--;
    for (unsigned i = 0; i < TIMERS; i++)
        remove_entry(world, &world->entries[i]);
}

START_TEST(timer_fire_may_remove_those_due_with_it)
{
    struct world *world = make_world(0, 7);
    for (unsigned i = 0; i < TIMERS; i++)
        insert(world, &world->entries[i], TR_SECOND + i % 3);
    ck_assert_uint_eq(tri_wheel_advance(&world->wheel, 2 * TR_SECOND, fire_and_remove_all, world), 1);
    ck_assert_uint_eq(world->armed, 0);
    ck_assert_uint_eq(world->wheel.count, 0);
    free(world);
}
END_TEST

/* Those of one tick fire in the order of their insertion, at whatever distance each was inserted. */
static void fire_in_order(struct tri_timer *timer, void *context)
{
    struct world *world = context;
    struct entry *entry = (struct entry *)timer;
    must(entry->fired == 0);
    entry->fired = ++world->armed; /* counts up here */
}

START_TEST(timer_those_of_one_tick_keep_their_order)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct world *world = make_world((tr_time)seed * 77 * TR_MILLISECOND, seed);
        tr_time due = world->now + (tr_time)(draw(world) % (TR_SECOND * 40)) + 2 * TR_TIMER_TICK;
        unsigned count = 0;
        while (count < TIMERS && world->now + TR_TIMER_TICK < due) {
            for (unsigned i = draw(world) % 20; i > 0 && count < TIMERS; i--)
                tri_wheel_insert(&world->wheel, &world->entries[count++].timer, due);
            world->now += (tr_time)(draw(world) % (uint64_t)((due - world->now) / 2 + 1));
            ck_assert_uint_eq(tri_wheel_advance(&world->wheel, world->now, fire_in_order, world), 0);
        }
        bool leave = count > 2; /* one in the middle and the last */
        if (leave) {
            tri_wheel_remove(&world->wheel, &world->entries[--count].timer);
            tri_wheel_remove(&world->wheel, &world->entries[1].timer);
        }
        ck_assert_uint_eq(tri_wheel_advance(&world->wheel, tick_end(due), fire_in_order, world),
                          leave ? count - 1 : count);
        for (unsigned i = 2; leave && i < count; i++)
            ck_assert_uint_eq(world->entries[i].fired, i);
        free(world);
    }
}
END_TEST

static void fire_again_at_once(struct tri_timer *timer, void *context)
{
    tri_wheel_insert(context, timer, TR_NOW);
}

START_TEST(timer_that_renews_itself_does_not_hold_the_clock)
{
    struct tri_wheel wheel;
    struct tri_timer timer = { 0 };
    tri_wheel_init(&wheel, 0);
    tri_wheel_insert(&wheel, &timer, 1);
    ck_assert_uint_eq(tri_wheel_advance(&wheel, 100 * TR_TIMER_TICK, fire_again_at_once, &wheel), 100);
    ck_assert_uint_eq(wheel.count, 1);
    tri_wheel_remove(&wheel, &timer);
}
END_TEST

START_TEST(timer_clock_that_goes_back_fires_nothing)
{
    struct world *world = make_world(TR_SECOND, 8);
    insert(world, world->entries, 2 * TR_SECOND);
    ck_assert_uint_eq(tri_wheel_advance(&world->wheel, 1, fire, world), 0);
    advance(world, 3 * TR_SECOND);
    ck_assert_uint_eq(world->entries[0].fired, 1);
    free(world);
}
END_TEST

/* ---- a clock that is moved by hand ---- */

static tr_time earliest_of(const struct world *world)
{
    tr_time earliest = TR_FOREVER;
    for (unsigned i = 0; i < TIMERS; i++)
        if (world->entries[i].armed && world->entries[i].when < earliest)
            earliest = world->entries[i].when;
    return earliest;
}

static tr_time last_fired;

static void fire_exactly(struct tri_timer *timer, void *context)
{
    struct world *world = context;
    struct entry *entry = (struct entry *)timer;
    must(entry->armed && !timer->link);
    must(entry->when <= world->now && entry->when >= last_fired); /* in order */
    last_fired = entry->when;
    entry->armed = false;
    world->armed--;
    if (world->remove_others && draw(world) % 4 == 0)
        remove_entry(world, &world->entries[draw(world) % TIMERS]);
    if (world->reinsert && draw(world) % 4 == 0) { /* later, at times in the same tick */
        tr_time when = draw(world) % 2 ? world->now + 1 + (tr_time)(draw(world) % 1000) : draw_when(world);
        insert(world, entry, when > world->now ? when : world->now + 1);
    }
}

/* Some say less than what they wait for, and some are needed no more: by what `fired` says, which is free here. */
static tr_time due_of_entry(struct tri_timer *timer, void *context)
{
    struct entry *entry = (struct entry *)timer;
    (void)context;
    if (entry->fired == 1)
        return TR_FOREVER;
    if (entry->fired < 2)
        return entry->when;
    entry->when += (tr_time)entry->fired;
    entry->fired = 0;
    return entry->when;
}

static void drop_entry(struct tri_timer *timer, void *context)
{
    struct world *world = context;
    struct entry *entry = (struct entry *)timer;
    must(entry->armed && !timer->link);
    entry->armed = false;
    entry->fired = 0;
    world->armed--;
}

/* What tri_wheel_earliest has not met may be stale still, but then it is later. */
static bool is_earliest(const struct world *world, tr_time time)
{
    tr_time earliest = TR_FOREVER;
    for (unsigned i = 0; i < TIMERS; i++) {
        const struct entry *entry = &world->entries[i];
        if (entry->armed && entry->when < time)
            return false;
        if (entry->armed && entry->fired == 0 && entry->when < earliest)
            earliest = entry->when;
    }
    return time == earliest || time == TR_FOREVER;
}

static uint64_t draw_state;

static uint32_t draw_order(uint32_t count)
{
    draw_state = draw_state * UINT64_C(6364136223846793005) + 1;
    return (uint32_t)(draw_state >> 32) % count;
}

static void step_exactly(uint64_t seed)
{
    struct world *world = make_world((tr_time)(seed % 5) * TR_SECOND, seed);
    static const struct tri_wheel_judge judge = { due_of_entry, drop_entry };
    world->reinsert = seed % 2;
    world->remove_others = seed % 3 == 0;
    for (unsigned step = 0; step < 3000; step++) {
        for (unsigned n = 0; n < 3; n++) {
            struct entry *entry = &world->entries[draw(world) % TIMERS];
            remove_entry(world, entry);
            entry->fired = draw(world) % 8 == 0 ? (unsigned)(draw(world) % 5000) : 0;
            tr_time when = draw_when(world);
            if (draw(world) % 4 == 0)
                when = world->now + (tr_time)(draw(world) % (2 * TR_TIMER_TICK));
            insert(world, entry, when < world->now ? world->now : when);
        }
        tr_time next = tri_wheel_earliest(&world->wheel, &judge, world);
        must(is_earliest(world, next));
        if (next == TR_FOREVER || draw(world) % 4 == 0)
            continue;
        world->now = next;
        last_fired = 0;
        must(tri_wheel_expire(&world->wheel, next, seed % 4 ? draw_order : NULL, fire_exactly, world) > 0);
        must(earliest_of(world) > next);
        ck_assert_uint_eq(world->wheel.count, world->armed);
    }
    free(world);
}

START_TEST(timer_steps_of_a_paused_clock_are_exact)
{
    for (uint64_t seed = 1; seed <= 12; seed++)
        step_exactly(seed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("timer");
    TCase *tests = tcase_create("timer");
    descriptors_watch(tests);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, timer_random_operations_match_the_model);
    tcase_add_test(tests, timer_advance_misses_nothing);
    tcase_add_test(tests, timer_one_fires_exactly_at_its_tick);
    tcase_add_test(tests, timer_next_leads_to_the_timer);
    tcase_add_test(tests, timer_far_deadline_stays);
    tcase_add_test(tests, timer_past_deadline_fires_at_the_next_tick);
    tcase_add_test(tests, timer_removing_twice_is_harmless);
    tcase_add_test(tests, timer_fire_may_remove_those_due_with_it);
    tcase_add_test(tests, timer_those_of_one_tick_keep_their_order);
    tcase_add_test(tests, timer_that_renews_itself_does_not_hold_the_clock);
    tcase_add_test(tests, timer_clock_that_goes_back_fires_nothing);
    tcase_add_test(tests, timer_steps_of_a_paused_clock_are_exact);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
