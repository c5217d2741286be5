/* SPDX-License-Identifier: MIT */
/*
 * test_deadline.c: time by the promises of troupe/time.h: no deadline is reported early, a passed one does what can be
 * done at once, and timers that are no longer needed are gone. Nothing here asks the machine to be fast.
 */
#include "tests/support.h"

START_TEST(after_saturates_and_negative_is_now)
{
    expect_int(tr_after(INT64_MAX), TR_FOREVER);
    expect_int(tr_after(TR_FOREVER - 1), TR_FOREVER);
    expect_int(tr_after(-1), TR_NOW);
    expect_int(tr_after(INT64_MIN), TR_NOW);
    tr_time now = tr_clock();
    tr_time then = tr_after(TR_SECOND);
    expect(then >= now + TR_SECOND && then <= tr_clock() + TR_SECOND);
    expect(tr_clock() >= now);
}
END_TEST

TASK_TEST(after_in_a_task_saturates_too)
{
    expect_int(tr_after(INT64_MAX), TR_FOREVER);
    expect_int(tr_after(-1), TR_NOW);
    for (int i = 0; i < 100; i++) {
        /* The cached clock may lag, never lead. */
        expect(tr_after(TR_SECOND) <= tr_clock() + TR_SECOND);
        expect(tr_after(LONG_TIME) > tr_clock());
        expect_int(tr_yield(), 0);
    }
}

static int sleep_and_measure(void *argument)
{
    int64_t span = (intptr_t)argument;
    tr_time begin = tr_clock();
    expect_int(tr_sleep(span), 0);
    expect(tr_clock() - begin >= span);
    begin = tr_clock();
    expect_int(tr_sleep_until(begin + span), 0);
    expect(tr_clock() >= begin + span);
    return 0;
}

TASK_TEST(sleep_lasts_at_least_as_long_as_asked)
{
    struct tr_task tasks[300];
    uint64_t seed = 42;
    for (int i = 0; i < 300; i++)
        tasks[i] = test_task(sleep_and_measure, (void *)(intptr_t)(test_random(&seed) % (30 * TR_MILLISECOND)));
    for (int i = 0; i < 300; i++)
        expect_int(test_join(tasks[i]), 0);
}

TASK_TEST(sleep_of_nothing_returns_0)
{
    expect_int(tr_sleep(0), 0);
    expect_int(tr_sleep(-TR_SECOND), 0);
    expect_int(tr_sleep_until(TR_NOW), 0);
    expect_int(tr_sleep_until(-5), 0);
    expect_int(tr_sleep_until(tr_clock() - TR_SECOND), 0);
}

/* A busy task must not put a sleeper off for ever: each of its suspending calls is a fairness point. */
static int sleep_and_end(void *argument)
{
    expect_int(tr_sleep(2 * TR_MILLISECOND), 0);
    atomic_store((atomic_int *)argument, 1);
    return 0;
}

static int ignore_message(void *state, void *message)
{
    (void)state;
    tr_reply(((struct number *)message)->reply, &((struct number *)message)->value);
    return 0;
}

TASK_TEST_ON(1, sleeper_wakes_beside_a_task_that_never_waits_long)
{
    static atomic_int woke;
    struct tr_task task = test_task(sleep_and_end, &woke);
    struct number_address actor = test_handler(ignore_message, NULL, 4, NULL);
    tr_time limit = tr_clock() + LONG_TIME;
    while (!atomic_load(&woke)) {
        test_ask(actor, 0, 1);
        expect(tr_clock() < limit);
    }
    expect_int(test_join(task), 0);
}

static int receive_until(void *argument)
{
    struct number message;
    uint64_t seed = 7 + (uint64_t)(intptr_t)argument;
    for (int i = 0; i < 40; i++) {
        int64_t span = (int64_t)(test_random(&seed) % (2 * TR_MILLISECOND));
        tr_time begin = tr_clock();
        expect_int(tr_receive(&message, begin + span), -ETIMEDOUT);
        expect(tr_clock() >= begin + span);
    }
    return 0;
}

TASK_TEST(receive_deadline_is_never_early)
{
    struct tr_task tasks[50];
    for (int i = 0; i < 50; i++)
        test_loop(receive_until, (void *)(intptr_t)i, 1, &tasks[i]);
    for (int i = 0; i < 50; i++)
        expect_int(test_join(tasks[i]), 0);
}

static int sleep_mostly(void *argument)
{
    wait_until(atomic_load((atomic_int *)argument));
    return 0;
}

TASK_TEST(send_call_and_join_deadlines_are_never_early)
{
    static atomic_int open;
    struct tr_task task;
    struct number_address actor = test_loop(sleep_mostly, &open, 1, &task);
    int64_t answer;
    expect_int(tr_send(actor, TR_NOW, &(struct number){ .value = 1 }), 0);
    for (int64_t span = 0; span < 5 * TR_MILLISECOND; span += 700 * TR_MICROSECOND) {
        tr_time until = tr_clock() + span;
        expect_int(tr_send(actor, until, &(struct number){ .value = 1 }), -ETIMEDOUT);
        expect(tr_clock() >= until);
        until = tr_clock() + span;
        expect_int(tr_call(actor, &answer, until, &(struct number){ .value = 1 }), -ETIMEDOUT);
        expect(tr_clock() >= until);
        until = tr_clock() + span;
        expect_int(tr_task_join(task, NULL, until), -ETIMEDOUT);
        expect(tr_clock() >= until);
    }
    atomic_store(&open, 1);
    expect_int(test_join(task), 0);
}

TASK_TEST(deadline_far_away_does_not_fire)
{
    struct number_address actor = test_handler(ignore_message, NULL, 4, NULL);
    static const tr_time far[] = { TR_FOREVER, TR_FOREVER - 1, INT64_MAX / 2, INT64_C(1) << 60, INT64_C(1) << 50 };
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        int64_t answer = 0;
        expect_int(tr_call(actor, &answer, far[i], &(struct number){ .value = 9 }), 0);
        expect_int(answer, 9);
    }
}

static int receive_far(void *argument)
{
    struct number message;
    expect_int(tr_receive(&message, *(tr_time *)argument), 0);
    return (int)message.value;
}

TASK_TEST(deadline_far_away_waits_until_the_event)
{
    static tr_time far[4] = { TR_FOREVER - 1, INT64_C(1) << 61, INT64_C(1) << 52, INT64_C(1) << 47 };
    for (int i = 0; i < 4; i++) {
        struct tr_task task;
        struct number_address actor = test_loop(receive_far, &far[i], 4, &task);
        expect_int(tr_sleep(2 * TR_MILLISECOND), 0);
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
        expect_int(test_join(task), i);
    }
}

static int slow_echo(void *argument)
{
    struct number message;
    (void)argument;
    while (tr_receive(&message, TR_FOREVER) == 0) {
        expect_int(tr_yield(), 0);
        tr_reply(message.reply, &message.value);
    }
    return 0;
}

TASK_TEST(timers_of_waits_that_ended_are_gone)
{
    struct tr_census before, now;
    tr_census(&before);
    struct number_address actor = test_loop(slow_echo, NULL, 4, NULL);
    for (int i = 0; i < 2000; i++)
        expect_int(test_ask(actor, 0, i), i);
    expect_int(tr_sleep(TR_MILLISECOND), 0);
    wait_until((tr_census(&now), now.timers <= before.timers + 1)); /* the sleep of this very wait may be one */
}

static int sleep_hour(void *argument)
{
    (void)argument;
    return tr_sleep(3600 * TR_SECOND);
}

TASK_TEST(timers_are_counted_while_they_wait)
{
    struct tr_task tasks[20];
    struct tr_census now;
    for (int i = 0; i < 20; i++)
        tasks[i] = test_task(sleep_hour, NULL);
    wait_until((tr_census(&now), now.timers >= 20));
    for (int i = 0; i < 20; i++)
        expect_int(tr_task_cancel(tasks[i]), 0);
    for (int i = 0; i < 20; i++)
        expect_int(test_join(tasks[i]), -ECANCELED);
    wait_until((tr_census(&now), now.timers <= 1));
}

int main(void)
{
    return test_main("deadline", TESTS(after_saturates_and_negative_is_now, after_in_a_task_saturates_too,
                                       sleep_lasts_at_least_as_long_as_asked, sleep_of_nothing_returns_0,
                                       sleeper_wakes_beside_a_task_that_never_waits_long,
                                       receive_deadline_is_never_early, send_call_and_join_deadlines_are_never_early,
                                       deadline_far_away_does_not_fire, deadline_far_away_waits_until_the_event,
                                       timers_of_waits_that_ended_are_gone, timers_are_counted_while_they_wait));
}
