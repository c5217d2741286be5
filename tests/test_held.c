/* SPDX-License-Identifier: MIT */
/*
 * test_held.c: what nobody may notice of the held caller (actor/call.c): that it is set aside while the actor that it
 * calls runs in its turn.
 */
#include "tests/support.h"

static atomic_int went_on;

/* Answers, and then computes until its caller has gone on, or for a while. */
static int compute_after_reply(void *state, void *message)
{
    struct number *number = message;
    int64_t answer = number->value;
    tr_time until = tr_clock() + 50 * TR_MILLISECOND;
    expect_int(tr_reply(number->reply, &answer), 0);
    while (atomic_load(&went_on) != answer && tr_clock() < until)
        ;
    if (atomic_load(&went_on) == answer)
        atomic_store((atomic_int *)state, 1);
    return 0;
}

/* A held caller cannot go on before the handler returns; so an actor of this kind must not go on being run that way. */
TASK_TEST_ON(2, call_to_an_actor_that_computes_after_its_answer_goes_on_elsewhere)
{
    static atomic_int seen;
    struct number_address actor = test_handler(compute_after_reply, &seen, 4, NULL);
    for (int i = 1; i <= 200 && !atomic_load(&seen); i++)
        atomic_store(&went_on, (int)test_ask(actor, 0, i));
    expect(atomic_load(&seen));
    expect_int(tr_actor_stop(actor), 0);
}

/* A loop actor that leaves its receive for another wait, by a deadline, while requests come: none goes astray. */
static int receive_and_sleep(void *argument)
{
    struct number message;
    int answered = 0;
    for (;;) {
        int rc = tr_receive(&message, tr_after(20 * TR_MICROSECOND));
        if (rc == -EPIPE)
            return answered;
        if (rc == -ETIMEDOUT) {
            expect_int(argument ? tr_sleep(20 * TR_MICROSECOND) : tr_yield(), 0);
            continue;
        }
        expect_int(rc, 0);
        expect_int(tr_reply(message.reply, &message.value), 0);
        answered++;
    }
}

static int ask_now_and_then(void *argument)
{
    struct number_address *actor = argument;
    for (int i = 0; i < 300; i++) {
        expect_int(test_ask(*actor, 0, i), i);
        if (i % 3)
            expect_int(tr_sleep(i % 40 * TR_MICROSECOND), 0);
    }
    return 0;
}

TASK_TEST(call_to_an_actor_that_comes_and_goes_is_answered)
{
    for (int round = 0; round < 2; round++) {
        struct tr_task task, callers[4];
        struct number_address actor = test_loop(receive_and_sleep, round ? &task : NULL, 2, &task);
        for (int i = 0; i < 4; i++)
            callers[i] = test_task(ask_now_and_then, &actor);
        for (int i = 0; i < 4; i++)
            expect_int(test_join(callers[i]), 0);
        expect_int(tr_actor_stop(actor), 0);
        expect_int(test_join(task), 1200);
    }
}

/* Who is handed a call keeps its idle mark (call.c). What is sent meanwhile wakes it, wherever it waits: for nothing there. */
static int sleep_before_the_answer(void *argument)
{
    struct number message;
    atomic_int *asleep = argument;
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    expect_int(message.value, 1);
    tr_time until = tr_clock() + 3 * TR_MILLISECOND;
    atomic_store(asleep, 1);
    expect_int(tr_sleep_until(until), 0);
    expect(tr_clock() >= until);
    expect_int(tr_reply(message.reply, &message.value), 0);
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    expect_int(message.value, 2);
    expect_int(tr_receive(&message, TR_FOREVER), -EPIPE);
    return 0;
}

static int ask_one(void *argument)
{
    expect_int(test_ask(*(struct number_address *)argument, 0, 1), 1);
    return 0;
}

TASK_TEST(message_sent_while_a_call_is_answered_is_received_next)
{
    for (int round = 0; round < 20; round++) {
        atomic_int asleep = 0;
        struct tr_task task;
        struct number_address actor = test_loop(sleep_before_the_answer, &asleep, 2, &task);
        for (int i = 0; i < round % 3; i++) /* it waits in its receive, or has not begun */
            expect_int(tr_yield(), 0);
        struct tr_task caller = test_task(ask_one, &actor);
        while (!atomic_load(&asleep))
            expect_int(tr_yield(), 0);
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 2 }), 0);
        expect_int(test_join(caller), 0);
        expect_int(tr_actor_stop(actor), 0);
        expect_int(test_join(task), 0);
    }
}

int main(void)
{
    return test_main("held", TESTS(call_to_an_actor_that_computes_after_its_answer_goes_on_elsewhere,
                                   call_to_an_actor_that_comes_and_goes_is_answered,
                                   message_sent_while_a_call_is_answered_is_received_next));
}
