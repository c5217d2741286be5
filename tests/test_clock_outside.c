/* SPDX-License-Identifier: MIT */
/*
 * test_clock_outside.c: a clock that stands, and who does not live by it: foreign threads, other runtimes, shutdowns, stale
 * addresses.
 */
#include "tests/clock_support.h"

#include <pthread.h>

START_TEST(foreign_call_is_bounded_by_real_time)
{
    struct number_address actor;
    struct tr_runtime *runtime = start_paused(0, &actor);
    tr_time before = tr_clock_of(runtime);
    expect_int(test_ask(actor, 24 * HOUR, 5), 5); /* a day in there is nothing here */
    expect_int(tr_clock_of(runtime) - before, 24 * HOUR);
    expect_int(tr_clock_hold(runtime), 0);
    int64_t answer;
    expect_int(tr_call(actor, &answer, tr_after(TR_MILLISECOND), &(struct number){ .kind = 1 }), -ETIMEDOUT);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}
END_TEST

START_TEST(translate_keeps_the_distance)
{
    struct number_address actor;
    struct tr_runtime *runtime = start_paused(1, &actor);
    expect_int(tr_clock_advance(runtime, 5 * HOUR), 0);
    tr_time there = tr_clock_of(runtime), first = tr_clock();
    tr_time here = tr_clock_translate(there + HOUR, runtime, NULL);
    expect(here >= first + HOUR && here <= tr_clock() + HOUR);
    tr_time back = tr_clock_translate(tr_after(HOUR), NULL, runtime);
    expect(back <= there + HOUR && back > there);
    expect_int(tr_clock_translate(TR_NOW, runtime, NULL), TR_NOW);
    expect_int(tr_clock_translate(TR_FOREVER, NULL, runtime), TR_FOREVER);
    expect_int(tr_clock_translate(TR_FOREVER - 1, NULL, runtime), TR_FOREVER);
    expect_int(tr_clock_translate(1, runtime, NULL), TR_NOW);
    expect_int(tr_clock_translate(there + 7, runtime, runtime), there + 7);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    expect_int(tr_clock_pause(NULL), -EINVAL);
    expect_int(tr_clock_resume(NULL), -EINVAL);
    expect_int(tr_clock_hold(NULL), -EINVAL);
    expect_int(tr_clock_advance(NULL, 1), -EINVAL);
}
END_TEST

START_TEST(clocks_of_two_runtimes_are_their_own)
{
    struct number_address actor, other;
    struct tr_runtime *runtime = start_paused(1, &actor), *second = start_paused(2, &other);
    tr_time before = tr_clock_of(second);
    expect_int(test_ask(actor, HOUR, 1), 1);
    expect_int(tr_clock_of(second), before);
    expect(tr_clock() < before + HOUR);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    expect_int(tr_stop(second, tr_after(LONG_TIME)), 0);
}
END_TEST

static int drain_slowly(void *argument)
{
    struct number message;
    while (tr_receive(&message, TR_FOREVER) == 0)
        ;
    expect_int(tr_sleep(HOUR), 0);
    atomic_fetch_add((atomic_int *)argument, 1);
    return 0;
}

static int shut_down(void *argument)
{
    tr_time deadline = tr_after(LONG_TIME);
    test_loop(drain_slowly, argument, 1, NULL);
    expect_int(tr_clock_advance(NULL, 10 * HOUR), 0);
    return tr_shutdown(deadline + 10 * HOUR); /* as far away as ever */
}

/* A clean-up that takes an hour is over at once, well within the real bound of the shutdown. */
START_TEST(shutdown_drains_on_the_paused_clock)
{
    atomic_int drained = 0;
    struct tr_options options = paused(2);
    options.stop_ns = LONG_TIME;
    expect_int(tr_run(&options, shut_down, &drained), 0);
    expect_int(atomic_load(&drained), 1);
}
END_TEST

static int count_message(void *state, void *message)
{
    (void)message;
    atomic_fetch_add((atomic_int *)state, 1);
    return 0;
}

/* The worker that moves the clock takes in what was left for one that is about to sleep: which TSan watches. */
START_TEST(sent_later_from_outside_while_the_workers_go_to_sleep)
{
    atomic_int count = 0;
    struct tr_runtime *runtime;
    struct number_address actor;
    struct tr_options options = paused(3);
    expect_int(tr_start(&runtime, &options), 0);
    struct tr_actor_options in = { .runtime = runtime, .capacity = 64 };
    expect_int(tr_spawn_handler(&actor, count_message, &count, &in), 0);
    for (int i = 1; i <= 200; i++) {
        for (int j = 0; j < 4; j++) /* one for each worker, and one more */
            expect_int(tr_send_after(NULL, actor, j * HOUR, &(struct number){ .value = j }), 0);
        wait_until(atomic_load(&count) == 4 * i);
    }
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}
END_TEST

struct caller {
    struct number_address target;
    atomic_bool over;
};

static void *call_in_vain(void *argument)
{
    struct caller *caller = argument;
    int64_t answer;
    while (!atomic_load(&caller->over)) {
        struct number number = { .value = 1 };
        expect_int(tr_call(caller->target, &answer, tr_after(LONG_TIME), &number), -ESRCH);
        expect_int(tr_try_send(caller->target, &number), -ESRCH);
    }
    return NULL;
}

static int answer(void *state, void *message)
{
    struct number *number = message;
    (void)state;
    tr_reply(number->reply, &number->value);
    return 0;
}

/* The runtime that an address names by its place in the table is another by now, which is being made, or taken down. */
START_TEST(stale_addresses_leave_the_clocks_of_others_alone)
{
    struct caller caller = { .over = false };
    struct tr_runtime *runtime;
    pthread_t threads[2];
    struct tr_options options = paused(1);
    expect_int(tr_start(&runtime, &options), 0);
    struct tr_actor_options actor = { .runtime = runtime };
    expect_int(tr_spawn_handler(&caller.target, answer, NULL, &actor), 0);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    for (int i = 0; i < 2; i++)
        expect_int(pthread_create(&threads[i], NULL, call_in_vain, &caller), 0);
    for (int i = 0; i < 200; i++) {
        if (i % 2)
            expect_int(tr_start(&runtime, &options), 0);
        else
            expect_int(tr_open(&runtime, &options), 0);
        expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    }
    atomic_store(&caller.over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

static atomic_bool advancing;

static int advance_later(void *argument, void *result)
{
    (void)result;
    atomic_store(&advancing, true);
    usleep(50000);
    expect_int(tr_clock_advance(*(struct tr_runtime **)argument, HOUR), 0);
    return 0;
}

/* Of a runtime in turns, it moves in turns: the stop that waits for the job must take them. */
START_TEST(advance_by_a_job_while_its_runtime_stops)
{
    struct tr_options options = paused(1);
    for (int i = 0; i < 2; i++) {
        struct tr_runtime *runtime;
        expect_int(i ? tr_start(&runtime, &options) : tr_open(&runtime, &options), 0);
        struct tr_work work = { .run = advance_later, .argument = &runtime, .argument_bytes = sizeof runtime };
        work.runtime = runtime;
        expect_int(tr_job_start(NULL, &work, TR_FOREVER), 0);
        while (!atomic_exchange(&advancing, false))
            usleep(1000);
        expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    }
}
END_TEST

int main(void)
{
    return test_main("clock_outside",
                     TESTS(foreign_call_is_bounded_by_real_time, translate_keeps_the_distance,
                           clocks_of_two_runtimes_are_their_own, shutdown_drains_on_the_paused_clock,
                           stale_addresses_leave_the_clocks_of_others_alone, advance_by_a_job_while_its_runtime_stops,
                           sent_later_from_outside_while_the_workers_go_to_sleep));
}
