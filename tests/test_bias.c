/* SPDX-License-Identifier: MIT */
/* test_bias.c: the biased lock by threads: who owns it when, and that what it guards stays whole. model_bias.c explores it. */
#include "mailbox/bias.h"
#include "tests/descriptors.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>

enum { LOCKS = 16, THREADS = 4, TURNS = 100000 };

static struct {
    struct tri_bias lock;
    uint64_t count, twin;
} things[LOCKS];

static bool is_biased(const struct tri_bias *lock)
{
    return tri_load(&lock->owner, TRI_RELAXED) & TRI_BIASED;
}

static void enter(unsigned i)
{
    tri_bias_lock(&things[i].lock);
    things[i].count++;
    things[i].twin++;
    tri_bias_unlock(&things[i].lock);
}

static bool can_be_biased(void)
{
    return tri_seat_here()->claim != UINT32_MAX;
}

START_TEST(bias_comes_with_use_and_stays)
{
    tri_seat_enter();
    for (unsigned i = 0; i + 1 < TRI_BIAS_AFTER; i++)
        enter(0);
    ck_assert(!is_biased(&things[0].lock));
    enter(0);
    ck_assert(is_biased(&things[0].lock) == can_be_biased());
    enter(0);
    ck_assert_uint_eq(things[0].count, TRI_BIAS_AFTER + 1);
    tri_seat_leave();
}
END_TEST

static void *enter_once(void *argument)
{
    (void)argument;
    enter(0);
    return NULL;
}

START_TEST(bias_goes_for_good_when_another_thread_comes)
{
    pthread_t thread;
    tri_seat_enter();
    for (unsigned i = 0; i < 2 * TRI_BIAS_AFTER; i++)
        enter(0);
    ck_assert(is_biased(&things[0].lock) == can_be_biased());
    ck_assert_int_eq(pthread_create(&thread, NULL, enter_once, NULL), 0);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < 2 * TRI_BIAS_AFTER; i++)
        enter(0);
    ck_assert(!is_biased(&things[0].lock));
    ck_assert_uint_eq(things[0].count, 4 * TRI_BIAS_AFTER + 1);
    tri_seat_leave();
}
END_TEST

START_TEST(bias_without_a_seat_is_an_ordinary_lock)
{
    for (unsigned i = 0; i < 2 * TRI_BIAS_AFTER; i++)
        enter(0);
    ck_assert(!is_biased(&things[0].lock));
    ck_assert_uint_eq(things[0].count, 2 * TRI_BIAS_AFTER);
}
END_TEST

START_TEST(bias_nested_locks)
{
    tri_seat_enter();
    for (unsigned i = 0; i < 2 * TRI_BIAS_AFTER; i++) {
        enter(0);
        enter(1);
    }
    tri_bias_lock(&things[0].lock);
    enter(1);
    ck_assert(!is_biased(&things[1].lock));
    tri_bias_unlock(&things[0].lock);
    enter(1);
    ck_assert(is_biased(&things[0].lock) == can_be_biased());
    ck_assert_uint_eq(things[1].count, 2 * TRI_BIAS_AFTER + 2);
    tri_seat_leave();
}
END_TEST

/* Most turns go to a thread's own lock, so that locks are biased again and again lost to a neighbour. */
static void *work(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;
    uint32_t random = 2463534242u + self;
    if (self > 0)
        tri_seat_enter();
    for (unsigned i = 0; i < TURNS; i++) {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        unsigned mine = (i / (TURNS / 8) + self) % LOCKS;
        enter(random % 512 == 0 ? random / 512 % LOCKS : mine);
    }
    tri_seat_leave();
    return NULL;
}

START_TEST(bias_many_threads_lose_nothing)
{
    pthread_t threads[THREADS];
    uint64_t sum = 0;
    for (uintptr_t t = 0; t < THREADS; t++)
        ck_assert_int_eq(pthread_create(&threads[t], NULL, work, (void *)t), 0);
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    for (unsigned i = 0; i < LOCKS; i++) {
        ck_assert_uint_eq(things[i].count, things[i].twin);
        sum += things[i].count;
    }
    ck_assert_uint_eq(sum, THREADS * TURNS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bias");
    TCase *tests = tcase_create("bias");
    descriptors_watch(tests);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, bias_comes_with_use_and_stays);
    tcase_add_test(tests, bias_goes_for_good_when_another_thread_comes);
    tcase_add_test(tests, bias_without_a_seat_is_an_ordinary_lock);
    tcase_add_test(tests, bias_nested_locks);
    tcase_add_test(tests, bias_many_threads_lose_nothing);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
