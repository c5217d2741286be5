/* SPDX-License-Identifier: MIT */
/* test_gather.c: how patient a busy worker is, played through without a kernel. */
#include "io/gather.h"
#include "tests/descriptors.h"

#include <check.h>
#include <stdlib.h>

/* A world: each wait ends when `count` have come, or when the guard's time is over with those who have. */
struct world {
    struct tri_gather gather;
    tr_time now;
    int64_t apart_ns; /* between two arrivals */
    unsigned active;  /* so many can come while nobody is served */
    unsigned in_flight, queued;
    uint64_t waits, late; /* waits, and those that the guard ended */
    uint64_t guards;      /* that were set */
};

/* The guard's own completion comes with the wait that it falls into, whether it ended it or not. */
static void wait_once(struct world *world)
{
    struct tri_gather *gather = &world->gather;
    tri_gather_begin(gather, world->now, world->in_flight, world->queued);
    if (gather->count > 1 && !gather->guarded) {
        gather->guarded = true;
        world->guards++;
    }
    unsigned possible = world->active;
    if (gather->count > 1 && (gather->guard - world->now) / world->apart_ns < possible)
        possible = (unsigned)((gather->guard - world->now) / world->apart_ns);
    world->waits++;
    if (gather->count == 1 || possible >= gather->count) {
        possible = gather->count;
        world->now += possible * world->apart_ns;
    } else {
        world->late++;
        world->now = gather->guard;
    }
    gather->arrivals += possible;
    bool over = gather->guarded && world->now >= gather->guard;
    tri_gather_end(gather, world->now, possible, over);
    gather->guarded &= !over;
}

static struct world make_world(int64_t apart_ns, unsigned active)
{
    struct world world = { .apart_ns = apart_ns, .active = active, .in_flight = 1000 };
    tri_gather_init(&world.gather, 0);
    return world;
}

/* As after a time of many quick arrivals. */
static struct world make_busy_world(int64_t apart_ns)
{
    struct world world = make_world(apart_ns, 50);
    world.gather.wanted = 8;
    return world;
}

static void wait_often(struct world *world, unsigned times)
{
    while (times-- > 0)
        wait_once(world);
}

START_TEST(many_quick_arrivals_are_gathered)
{
    struct world world = make_world(5 * TR_MICROSECOND, 50);
    wait_often(&world, 500);
    for (unsigned i = 0; i < 500; i++) {
        wait_once(&world);
        ck_assert_uint_eq(world.gather.wanted, 16);
    }
}
END_TEST

START_TEST(guard_serves_the_waits_that_begin_in_its_time)
{
    struct world world = make_world(5 * TR_MICROSECOND, 50);
    wait_often(&world, 10000);
    ck_assert_uint_gt(world.guards, world.waits / 4); /* 80 us of 300 each */
    ck_assert_uint_lt(world.guards, world.waits / 3);
}
END_TEST

/* Eight of 26 us each: a wait ends well, the guard ends the next after 92 us. */
START_TEST(wait_that_was_cut_short_says_nothing)
{
    struct world world = make_busy_world(26 * TR_MICROSECOND);
    wait_often(&world, 2);
    ck_assert_uint_eq(world.late, 1);
    ck_assert_uint_eq(world.gather.wanted, 8);
    wait_often(&world, 1000);
    ck_assert_uint_eq(world.gather.wanted, 8);
}
END_TEST

/* Six of eight come in the guard's time. */
START_TEST(wait_that_had_its_time_and_brought_too_few_halves_what_is_wanted)
{
    struct world world = make_busy_world(45 * TR_MICROSECOND);
    wait_once(&world);
    ck_assert_uint_eq(world.late, 1);
    ck_assert_uint_eq(world.gather.wanted, 3);
}
END_TEST

/* The guard's completion can be left for later when the last arrival comes with it. */
START_TEST(wait_that_brings_all_as_the_guard_ends_is_a_success)
{
    for (unsigned in = 0; in <= 1; in++) {
        struct world world = make_busy_world(8 * TR_MICROSECOND);
        tri_gather_begin(&world.gather, 0, 1000, 0);
        tri_gather_end(&world.gather, world.gather.guard, 8, in);
        ck_assert_uint_eq(world.gather.wanted, 8);
    }
}
END_TEST

/* As a wait that began when the guard had just ended is: the kernel's own patience did. */
START_TEST(wait_that_was_long_says_something_though_the_guard_had_little_left)
{
    struct world world = make_busy_world(8 * TR_MICROSECOND);
    wait_often(&world, 4); /* 44 us are left */
    tri_gather_begin(&world.gather, world.now, 1000, 0);
    ck_assert_uint_eq(world.gather.count, 8);
    tri_gather_end(&world.gather, world.now + 20 * TR_MILLISECOND, 1, true);
    ck_assert_uint_eq(world.gather.wanted, 1);
}
END_TEST

/* 44 us are left, and 8 sends come before the wait. */
START_TEST(what_is_queued_needs_time_before_the_guard_ends)
{
    struct world world = make_busy_world(8 * TR_MICROSECOND);
    wait_often(&world, 4);
    world.queued = 8;
    wait_once(&world);
    ck_assert_uint_eq(world.gather.count, 1);
    world.queued = 0;
    wait_once(&world);
    ck_assert_uint_eq(world.gather.count, 8);
}
END_TEST

START_TEST(nobody_is_waited_for_when_the_guard_is_about_to_end)
{
    struct world world = make_busy_world(8 * TR_MICROSECOND);
    wait_once(&world);
    ck_assert_uint_eq(world.gather.count, 8);
    world.now = world.gather.guard - 10 * TR_MICROSECOND;
    wait_once(&world);
    ck_assert_uint_eq(world.gather.count, 1);
    world.now = world.gather.guard + TR_MICROSECOND; /* its end has not been seen yet */
    world.gather.guarded = true;
    wait_once(&world);
    ck_assert_uint_eq(world.gather.count, 1);
    ck_assert_uint_eq(world.gather.wanted, 8);
}
END_TEST

START_TEST(slow_arrivals_are_taken_one_by_one)
{
    struct world world = make_world(200 * TR_MICROSECOND, 50);
    wait_often(&world, 10000);
    ck_assert_uint_eq(world.gather.wanted, 1);
    ck_assert_uint_eq(world.late, 0);
}
END_TEST

START_TEST(few_clients_among_many_connections_wait_for_nobody)
{
    for (unsigned active = 1; active <= 3; active++) {
        struct world world = make_world(10 * TR_MICROSECOND, active);
        wait_often(&world, 100000);
        ck_assert_uint_eq(world.gather.wanted, 1);
        ck_assert_uint_le(world.late, 110); /* probes, ever fewer */
    }
}
END_TEST

START_TEST(clients_are_never_all_waited_for)
{
    for (unsigned active = 4; active < 40; active++) {
        struct world world = make_world(5 * TR_MICROSECOND, active);
        wait_often(&world, 100000);
        ck_assert_uint_le(world.gather.wanted, active / 2);
        ck_assert_uint_ge(world.gather.wanted, 1);
    }
}
END_TEST

START_TEST(few_operations_in_flight_are_taken_one_by_one)
{
    struct world world = make_world(TR_MICROSECOND, 8);
    world.in_flight = 8;
    wait_often(&world, 10000);
    ck_assert_uint_eq(world.gather.wanted, 1);
    ck_assert_uint_eq(world.late, 0);
}
END_TEST

/* One that the guard of before cuts short, and one of its own. */
START_TEST(load_that_ends_costs_two_late_waits)
{
    struct world world = make_world(8 * TR_MICROSECOND, 50);
    wait_often(&world, 1000);
    world.late = 0;
    world.active = 1;
    world.apart_ns = TR_MILLISECOND / 20;
    wait_often(&world, 10);
    ck_assert_uint_ge(world.late, 1);
    ck_assert_uint_le(world.late, 2);
    ck_assert_uint_eq(world.gather.wanted, 1);
}
END_TEST

/* Five of eight come, and among them the wake. */
START_TEST(wait_that_a_wake_ended_is_not_judged)
{
    struct world world = make_busy_world(8 * TR_MICROSECOND);
    tri_gather_begin(&world.gather, 0, 1000, 0);
    tri_gather_woken(&world.gather);
    tri_gather_end(&world.gather, 200 * TR_MICROSECOND, 5, false);
    ck_assert_uint_eq(world.gather.wanted, 1);
    for (unsigned i = 0; i < 1000; i++) {
        wait_once(&world);
        ck_assert_uint_eq(world.gather.count, 1);
    }
}
END_TEST

START_TEST(worker_that_others_wake_is_not_patient)
{
    struct world world = make_world(8 * TR_MICROSECOND, 50);
    wait_often(&world, 1000);
    tri_gather_woken(&world.gather);
    for (unsigned i = 0; i < 1000; i++) {
        wait_once(&world);
        ck_assert_uint_eq(world.gather.count, 1);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gather");
    TCase *tests = tcase_create("gather");
    descriptors_watch(tests);
    tcase_add_test(tests, many_quick_arrivals_are_gathered);
    tcase_add_test(tests, guard_serves_the_waits_that_begin_in_its_time);
    tcase_add_test(tests, wait_that_was_cut_short_says_nothing);
    tcase_add_test(tests, wait_that_had_its_time_and_brought_too_few_halves_what_is_wanted);
    tcase_add_test(tests, wait_that_brings_all_as_the_guard_ends_is_a_success);
    tcase_add_test(tests, wait_that_was_long_says_something_though_the_guard_had_little_left);
    tcase_add_test(tests, what_is_queued_needs_time_before_the_guard_ends);
    tcase_add_test(tests, nobody_is_waited_for_when_the_guard_is_about_to_end);
    tcase_add_test(tests, slow_arrivals_are_taken_one_by_one);
    tcase_add_test(tests, few_clients_among_many_connections_wait_for_nobody);
    tcase_add_test(tests, clients_are_never_all_waited_for);
    tcase_add_test(tests, few_operations_in_flight_are_taken_one_by_one);
    tcase_add_test(tests, load_that_ends_costs_two_late_waits);
    tcase_add_test(tests, wait_that_a_wake_ended_is_not_judged);
    tcase_add_test(tests, worker_that_others_wake_is_not_patient);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
