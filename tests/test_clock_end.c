/* SPDX-License-Identifier: MIT */
/*
 * test_clock_end.c: the end of a run on a clock that stands: no time passes that would not have passed on one that goes. A
 * seeded run and one whose clock is paused end as any other does.
 */
#include "tests/support.h"

#include <errno.h>

static atomic_int fired;

/* Runs main on a clock that goes, on a paused one with one worker and with two, and with a seed. */
static void run_on_each(int (*main)(void *argument), int result)
{
    for (int kind = 0; kind < 4; kind++) {
        struct tr_options options = test_options(kind == 2 ? 2 : 1);
        options.clock_paused = kind == 1 || kind == 2;
        options.shutdown_ns = 10 * TR_SECOND;
        if (kind == 3)
            options.seed = 4;
        expect_int(tr_run(&options, main, NULL), result);
    }
}

static int fire_after_half_a_minute(void *unused)
{
    (void)unused;
    while (tr_sleep(30 * TR_SECOND) == 0)
        atomic_fetch_add(&fired, 1);
    return 0;
}

static int leave_a_sleeper(void *unused)
{
    (void)unused;
    expect_int(tr_task_spawn(NULL, fire_after_half_a_minute, NULL, NULL), 0);
    return 3;
}

/* A test's own watchdog, say: main is over before its time. */
START_TEST(time_stands_between_the_end_of_main_and_the_cancellation)
{
    for (int round = 0; round < 20; round++)
        run_on_each(leave_a_sleeper, 3);
    expect_int(atomic_load(&fired), 0);
}
END_TEST

static atomic_int destroyed;

static void destroy_slowly(void *value)
{
    (void)value;
    tr_cancel_taken();
    expect_int(tr_sleep(10 * TR_MILLISECOND), 0);
    atomic_fetch_add(&destroyed, 1);
}

static int leave_a_local(void *unused)
{
    static const struct tr_local key = { .destroy = destroy_slowly };
    static int value;
    (void)unused;
    return tr_local_set(&key, &value);
}

/* What main leaves to be destroyed may take its time. */
START_TEST(time_goes_on_until_main_has_quite_ended)
{
    run_on_each(leave_a_local, 0);
    expect_int(atomic_load(&destroyed), 4);
}
END_TEST

static int sleep_for_long_in_the_drain(void *state, void *message)
{
    (void)message;
    *(int *)state = tr_sleep(50 * TR_SECOND);
    return 0;
}

static int drained;

static int leave_an_actor(void *unused)
{
    (void)unused;
    struct number_address actor = test_handler(sleep_for_long_in_the_drain, &drained, 8, NULL);
    return tr_send(actor, TR_FOREVER, &(struct number){ .value = 1 });
}

START_TEST(drain_of_a_seeded_run_is_bounded_by_its_clock)
{
    struct tr_options options = test_options(1);
    options.seed = 4;
    expect_int(tr_run(&options, leave_an_actor, NULL), 0);
    expect_int(drained, -ECANCELED);
}
END_TEST

static int shut_down_soon(void *unused)
{
    (void)unused;
    expect_int(tr_sleep(5 * TR_MILLISECOND), 0);
    return tr_shutdown(tr_after(TR_SECOND));
}

static int sleep_through(void *unused)
{
    (void)unused;
    expect_int(tr_task_spawn(NULL, shut_down_soon, NULL, NULL), 0);
    tr_time start = tr_clock();
    int rc = tr_sleep(3600 * TR_SECOND);
    expect(tr_clock() - start < 60 * TR_SECOND);
    return rc;
}

START_TEST(shutdown_cancels_main_before_time_goes_on)
{
    for (int round = 0; round < 10; round++)
        run_on_each(sleep_through, -ECANCELED);
}
END_TEST

static int job(void *argument, void *result)
{
    (void)argument;
    (void)result;
    usleep(20000);
    return 0;
}

static int clean_up(void *unused)
{
    expect_int(sleep_through(unused), -ECANCELED);
    expect(tr_cancel_taken());
    return tr_blocking(job, &(int){ 0 }, &(int){ 0 }, TR_FOREVER);
}

START_TEST(shutdown_cancels_main_once)
{
    run_on_each(clean_up, 0);
}
END_TEST

static int ignore_it(void *unused)
{
    (void)unused;
    expect_int(tr_task_spawn(NULL, shut_down_soon, NULL, NULL), 0);
    while (atomic_load(&fired) == 0) {
        tr_cancel_taken();
        tr_sleep(TR_MILLISECOND);
    }
    return 0;
}

/* In a process that ends with the main that is left behind. */
static int run_with_a_main_that_goes_on(void)
{
    struct tr_options options = test_options(1);
    options.seed = 4;
    options.shutdown_ns = 300 * TR_MILLISECOND;
    test_log_capture(TR_LOG_ERROR);
    return tr_run(&options, ignore_it, NULL) == -ETIMEDOUT && test_log_has("task 'main'") ? 0 : 1;
}

START_TEST(shutdown_of_a_seeded_run_whose_main_goes_on_etimedout)
{
    expect_int(test_in_child(run_with_a_main_that_goes_on), 0);
}
END_TEST

int main(void)
{
    return test_main("clock_end",
                     TESTS(time_stands_between_the_end_of_main_and_the_cancellation,
                           time_goes_on_until_main_has_quite_ended, drain_of_a_seeded_run_is_bounded_by_its_clock,
                           shutdown_cancels_main_before_time_goes_on, shutdown_cancels_main_once,
                           shutdown_of_a_seeded_run_whose_main_goes_on_etimedout));
}
