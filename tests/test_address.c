/* SPDX-License-Identifier: MIT */
/*
 * test_address.c: addresses and receivers in the wrong hands: wrong types, tasks that are no actors, and addresses of
 * actors that have ended, also when their record has a new tenant.
 */
#include "tests/support.h"

static int sum_loop(void *argument)
{
    (void)argument;
    struct number message;
    int64_t sum = 0;
    while (tr_receive(&message, TR_FOREVER) == 0) {
        sum += message.value;
        tr_reply(message.reply, &sum);
    }
    return (int)sum;
}

/* ---- wrong users ---------------------------------------------------------------------------------------------- */

static int receive_inside(void *state, void *message)
{
    struct number own;
    (void)state;
    int64_t rc = tr_receive(&own, TR_NOW);
    expect_int(tr_try_receive(&own), rc);
    expect_int(tr_receive_many(&own, 1, TR_NOW), rc);
    tr_reply(((struct number *)message)->reply, &rc);
    return 0;
}

TASK_TEST(receive_in_a_handler_einval)
{
    struct number_address actor = test_handler(receive_inside, NULL, 4, NULL);
    expect_int(test_ask(actor, 0, 0), -EINVAL);
}

static int receive_wrong_size(void *argument)
{
    (void)argument;
    char small;
    expect_int(tr_receive(&small, TR_FOREVER), -EINVAL);
    expect_int(tr_try_receive(&small), -EINVAL);
    expect_int(tr_receive_many(&small, 1, TR_FOREVER), -EINVAL);
    struct number message;
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    return (int)message.value;
}

TASK_TEST(receive_wrong_size_einval)
{
    struct number message;
    expect_int(tr_receive(&message, TR_FOREVER), -EINVAL); /* no actor */
    struct tr_task task;
    struct number_address actor = test_loop(receive_wrong_size, NULL, 4, &task);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 5 }), 0);
    expect_int(test_join(task), 5);
}

TASK_TEST(send_raw_of_the_wrong_type_einval)
{
    struct number_address actor = test_loop(sum_loop, NULL, 4, NULL);
    static const struct tr_type small = { "message", 4, 4 };
    int value = 1;
    expect_int(tr_send_raw(actor.tri_raw, &small, &value, TR_FOREVER), -EINVAL);
    expect_int(tr_try_send_raw(actor.tri_raw, &small, &value), -EINVAL);
    expect_int(tr_call_raw(actor.tri_raw, &small, &value, (struct tr_ask){ 0, 4, &value }, TR_FOREVER), -EINVAL);
    expect_int(test_ask(actor, 0, 1), 1);
}

/* ---- stale addresses ------------------------------------------------------------------------------------------ */

static void expect_stale(struct number_address actor)
{
    struct tr_actor_info info;
    int64_t answer = 77;
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 1 }), -ESRCH);
    expect_int(tr_try_send(actor, &(struct number){ .value = 1 }), -ESRCH);
    expect_int(tr_call(actor, &answer, TR_FOREVER, &(struct number){ .value = 1 }), -ESRCH);
    expect_int(tr_actor_stop(actor), -ESRCH);
    expect_int(tr_actor_cancel(actor), -ESRCH);
    expect_int(tr_sender_open(actor), -ESRCH);
    expect_int(tr_sender_close(actor), -ESRCH);
    expect_int(tr_actor_info(actor, &info), -ESRCH);
    expect_int(answer, 77);
}

TASK_TEST(address_zero_esrch)
{
    expect_stale((struct number_address){ 0 });
}

TASK_TEST(stale_address_esrch_after_respawn_in_same_record)
{
    struct number_address old[64];
    unsigned same_record = 0;
    for (int round = 0; round < 64; round++) {
        struct tr_task task;
        struct number_address actor = test_loop(sum_loop, NULL, 4, &task);
        for (int i = 0; i < round; i++) {
            same_record += old[i].tri_raw.tri_record == actor.tri_raw.tri_record;
            expect_stale(old[i]);
        }
        expect_int(test_ask(actor, 0, round), round); /* nothing of the strangers' went in */
        expect_int(tr_actor_stop(actor), 0);
        expect_int(test_join(task), round);
        expect_stale(actor);
        old[round] = actor;
    }
    expect(same_record > 0);
}

TASK_TEST(stale_task_handle_esrch_after_respawn_in_same_record)
{
    struct tr_task old[200];
    for (int round = 0; round < 200; round++) {
        struct tr_task task;
        struct number_address actor = test_loop(sum_loop, NULL, 4, &task);
        for (int i = 0; i < round; i++) {
            expect_int(tr_task_cancel(old[i]), -ESRCH);
            expect_int(tr_task_detach(old[i]), -ESRCH);
            expect_int(tr_task_join(old[i], NULL, TR_FOREVER), -ESRCH);
        }
        expect_int(tr_actor_stop(actor), 0);
        expect_int(test_join(task), 0);
        old[round] = task;
    }
}

TASK_TEST(stop_of_an_ended_actor_esrch_even_before_the_join)
{
    struct tr_task task;
    struct number_address actor = test_loop(sum_loop, NULL, 4, &task);
    expect_int(tr_actor_stop(actor), 0);
    wait_until(tr_task_cancel(task) == -ESRCH);
    expect_stale(actor);
    /* Cancelled while it drained nothing: either way it ended by itself or by the cancel, with what it had summed. */
    expect_int(test_join(task), 0);
}

int main(void)
{
    return test_main("address",
                     TESTS(receive_in_a_handler_einval, receive_wrong_size_einval, send_raw_of_the_wrong_type_einval,
                           address_zero_esrch, stale_address_esrch_after_respawn_in_same_record,
                           stale_task_handle_esrch_after_respawn_in_same_record,
                           stop_of_an_ended_actor_esrch_even_before_the_join));
}
