/* SPDX-License-Identifier: MIT */
/*
 * test_receive.c: the receiver's side of a mailbox by the promises of troupe/actor.h: what a failed receive leaves behind,
 * batches, the end by stop, and counted senders. Tests that must know that a task is waiting run on one worker.
 */
#include "tests/gate.h"

/* ---- receiving ------------------------------------------------------------------------------------------------ */

static int drain_to_epipe(void *argument)
{
    struct gate *gate = argument;
    struct number message;
    wait_until(atomic_load(&gate->open));
    for (int i = 0; i < 5; i++) {
        expect_int(i % 2 ? tr_try_receive(&message) : tr_receive(&message, TR_FOREVER), 0);
        expect_int(message.value, i);
    }
    for (int i = 0; i < 3; i++) {
        expect_int(tr_receive(&message, TR_FOREVER), -EPIPE);
        expect_int(tr_receive(&message, TR_NOW), -EPIPE);
        expect_int(tr_try_receive(&message), -EPIPE);
        expect_int(tr_receive_many(&message, 1, TR_FOREVER), -EPIPE);
        expect_int(tr_sleep(TR_MILLISECOND), 0); /* stopped is not cancelled */
    }
    return 3;
}

TASK_TEST(receive_after_stop_drains_then_epipe)
{
    static struct gate gate;
    struct tr_task task;
    struct number_address actor = test_loop(drain_to_epipe, &gate, 8, &task);
    for (int i = 0; i < 5; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
    expect_int(tr_actor_stop(actor), 0);
    atomic_store(&gate.open, 1);
    expect_int(test_join(task), 3);
}

static int receive_with_deadlines(void *argument)
{
    atomic_int *step = argument;
    struct number message = { .value = 1234 };
    expect_int(tr_try_receive(&message), -EAGAIN);
    expect_int(tr_receive(&message, TR_NOW), -ETIMEDOUT);
    tr_time begin = tr_clock();
    expect_int(tr_receive(&message, tr_clock() + 5 * TR_MILLISECOND), -ETIMEDOUT);
    expect(tr_clock() - begin >= 5 * TR_MILLISECOND);
    expect_int(tr_receive_many(&message, 1, TR_NOW), -ETIMEDOUT);
    expect_int(message.value, 1234);
    atomic_store(step, 1);
    expect_int(tr_receive(&message, tr_after(LONG_TIME)), 0);
    expect_int(message.value, 1);
    atomic_store(step, 2);
    wait_until(atomic_load(step) == 3);
    expect_int(tr_receive(&message, TR_NOW), 0); /* it is there: the deadline does not matter */
    expect_int(message.value, 2);
    return 0;
}

TASK_TEST(timeout_receive_takes_nothing)
{
    static atomic_int step;
    struct tr_task task;
    struct number_address actor = test_loop(receive_with_deadlines, &step, 8, &task);
    wait_until(atomic_load(&step) == 1);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 1 }), 0);
    wait_until(atomic_load(&step) == 2);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 2 }), 0);
    atomic_store(&step, 3);
    expect_int(test_join(task), 0);
}

static int receive_cancelled(void *argument)
{
    (void)argument;
    struct number message = { 0 };
    while (!tr_cancel_pending())
        tr_yield();
    expect_int(tr_receive(&message, TR_FOREVER), -ECANCELED);
    expect_int(tr_receive_many(&message, 1, TR_FOREVER), -ECANCELED);
    expect_int(message.value, 0);
    expect(tr_cancel_taken());
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    return (int)message.value;
}

TASK_TEST(cancelled_receive_takes_nothing)
{
    struct tr_task task;
    struct number_address actor = test_loop(receive_cancelled, NULL, 8, &task);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 31 }), 0);
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), 31);
}

static int receive_batches(void *argument)
{
    struct gate *gate = argument;
    struct number batch[16];
    wait_until(atomic_load(&gate->open));
    expect_int(tr_receive_many(batch, 0, TR_FOREVER), -EINVAL);
    expect_int(tr_receive_many(batch, 4, TR_FOREVER), 4);
    for (int i = 0; i < 4; i++)
        expect_int(batch[i].value, i);
    expect_int(tr_receive_many(batch, 1, TR_FOREVER), 1);
    expect_int(batch[0].value, 4);
    expect_int(tr_receive_many(batch, 16, TR_FOREVER), 5);
    for (int i = 0; i < 5; i++)
        expect_int(batch[i].value, 5 + i);
    atomic_store(&gate->open, 2);
    int n = tr_receive_many(batch, 16, tr_after(LONG_TIME)); /* waits for one */
    expect(n >= 1);
    expect_int(tr_receive_many(batch, 16, tr_after(2 * TR_MILLISECOND)), -ETIMEDOUT);
    return n;
}

TASK_TEST(receive_many_takes_at_most_count)
{
    static struct gate gate;
    struct tr_task task;
    struct number_address actor = test_loop(receive_batches, &gate, 16, &task);
    for (int i = 0; i < 10; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
    atomic_store(&gate.open, 1);
    wait_until(atomic_load(&gate.open) == 2);
    expect_int(tr_sleep(2 * TR_MILLISECOND), 0);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 1 }), 0);
    expect_int(test_join(task), 1);
}

/* Never suspends for a message: looks, and yields. */
static int poll_for_messages(void *argument)
{
    struct number message;
    int rest = (int)(intptr_t)argument;
    while (rest > 0) {
        int rc = tr_try_receive(&message);
        expect(rc == 0 || rc == -EAGAIN);
        rest -= rc == 0;
        expect_int(tr_yield(), 0);
    }
    return 0;
}

static int send_many(void *argument)
{
    for (int i = 0; i < 5000; i++)
        expect_int(tr_send(*(struct number_address *)argument, tr_after(LONG_TIME), &(struct number){ .value = i }), 0);
    return 0;
}

TASK_TEST(try_receive_in_a_loop_lets_waiting_senders_in)
{
    struct tr_task task, senders[3];
    struct number_address actor = test_loop(poll_for_messages, (void *)15000, 1, &task);
    for (int i = 0; i < 3; i++)
        senders[i] = test_task(send_many, &actor);
    for (int i = 0; i < 3; i++)
        expect_int(test_join(senders[i]), 0);
    expect_int(test_join(task), 0);
}

static int batch_with_waiting_senders(void *argument)
{
    struct gate *gate = argument;
    struct number batch[64];
    int64_t next = 0;
    wait_until(atomic_load(&gate->open));
    while (next < 30) {
        int n = tr_receive_many(batch, 64, tr_after(LONG_TIME));
        expect(n >= 1);
        for (int i = 0; i < n; i++)
            expect_int(batch[i].value, next++);
    }
    return 0;
}

TASK_TEST_ON(1, receive_many_lets_waiting_senders_in)
{
    static struct gate gate;
    struct tr_task task, senders[27];
    struct number_address actor = test_loop(batch_with_waiting_senders, &gate, 3, &task);
    fill(actor, 3);
    for (int i = 0; i < 27; i++) {
        senders[i] = start_sender(actor, 3 + i, 0);
        test_settle();
    }
    atomic_store(&gate.open, 1);
    expect_int(test_join(task), 0);
    for (int i = 0; i < 27; i++)
        expect_int(test_join(senders[i]), 0);
}

/* ---- counted senders ------------------------------------------------------------------------------------------ */

TASK_TEST(counted_sender_last_close_stops)
{
    static struct gate gate;
    struct tr_task task;
    struct number_address actor = test_loop(note_values, &gate, 8, &task);
    for (int i = 0; i < 3; i++)
        expect_int(tr_sender_open(actor), 0);
    for (int i = 0; i < 2; i++) {
        expect_int(tr_sender_close(actor), 0);
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
    }
    expect_int(tr_sender_close(actor), 0);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 9 }), -ESRCH);
    atomic_store(&gate.open, 1);
    expect_int(test_join(task), -EPIPE);
    expect_int(atomic_load(&gate.received), 2);
    expect_int(tr_sender_open(actor), -ESRCH);
}

static int open_and_close(void *argument)
{
    struct number_address actor = *(struct number_address *)argument;
    for (int i = 0; i < 100; i++) {
        expect_int(tr_sender_open(actor), 0);
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
        expect_int(tr_yield(), 0);
        expect_int(tr_sender_close(actor), 0);
    }
    return tr_sender_close(actor); /* the one that the parent opened for it */
}

TASK_TEST(counted_senders_of_many_tasks_stop_once_all_closed)
{
    static struct gate gate = { .open = 1 };
    struct tr_task task, tasks[16];
    struct number_address actor = test_loop(note_values, &gate, 8, &task);
    for (int i = 0; i < 16; i++)
        expect_int(tr_sender_open(actor), 0);
    for (int i = 0; i < 16; i++)
        tasks[i] = test_task(open_and_close, &actor);
    for (int i = 0; i < 16; i++)
        expect_int(test_join(tasks[i]), 0);
    expect_int(test_join(task), -EPIPE);
    expect_int(atomic_load(&gate.received), 1600);
}

int main(void)
{
    return test_main("receive",
                     TESTS(receive_after_stop_drains_then_epipe, timeout_receive_takes_nothing,
                           cancelled_receive_takes_nothing, receive_many_takes_at_most_count,
                           try_receive_in_a_loop_lets_waiting_senders_in, receive_many_lets_waiting_senders_in,
                           counted_sender_last_close_stops, counted_senders_of_many_tasks_stop_once_all_closed));
}
