/* SPDX-License-Identifier: MIT */
/*
 * test_mailbox.c: the senders' side of a mailbox by the promises of troupe/actor.h: capacity, FIFO order of waiting
 * senders, and what a failed send leaves behind. The receiver's side has test_receive.c.
 *
 * Tests that must know that a task is waiting run on one worker: there, after test_settle, it is.
 */
#include "tests/gate.h"

/* ---- capacity and order --------------------------------------------------------------------------------------- */

TASK_TEST_ON(1, send_full_waits_fifo)
{
    static struct gate gate;
    struct tr_task actor_task, tasks[40];
    struct number_address actor = test_loop(note_values, &gate, 3, &actor_task);
    fill(actor, 3);
    for (int i = 0; i < 40; i++) {
        tasks[i] = start_sender(actor, 3 + i, 0);
        test_settle();
    }
    expect_int(test_queued(actor), 3);
    atomic_store(&gate.open, 1);
    for (int i = 0; i < 40; i++)
        expect_int(test_join(tasks[i]), 0);
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(actor_task), -EPIPE);
    expect_int(atomic_load(&gate.received), 43);
    for (int i = 0; i < 43; i++)
        expect_int(gate.values[i], i);
}

static int receive_one_then_try(void *argument)
{
    struct gate *gate = argument;
    struct number_address self;
    struct number message;
    expect_int(tr_self(&self), 0);
    wait_until(atomic_load(&gate->open));
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    expect_int(tr_try_send(self, &(struct number){ .value = 99 }), -EAGAIN);
    int64_t sum = message.value;
    for (int i = 0; i < 3; i++) {
        expect_int(tr_receive(&message, tr_after(LONG_TIME)), 0);
        sum = sum * 10 + message.value;
    }
    return (int)sum;
}

TASK_TEST_ON(1, try_send_eagain_while_other_senders_wait)
{
    static struct gate gate;
    struct tr_task actor_task;
    struct number_address actor = test_loop(receive_one_then_try, &gate, 2, &actor_task);
    expect_int(tr_try_send(actor, &(struct number){ .value = 1 }), 0);
    expect_int(tr_try_send(actor, &(struct number){ .value = 2 }), 0);
    struct tr_task a = start_sender(actor, 3, 0);
    test_settle();
    struct tr_task b = start_sender(actor, 4, 0);
    test_settle();
    atomic_store(&gate.open, 1);
    expect_int(test_join(actor_task), 1234);
    expect_int(test_join(a), 0);
    expect_int(test_join(b), 0);
}

static void check_capacity(uint32_t capacity)
{
    static struct gate gate;
    struct tr_task task;
    atomic_store(&gate.received, 0);
    atomic_store(&gate.open, 0);
    struct number_address actor = test_loop(note_values, &gate, capacity, &task);
    fill(actor, (int)capacity);
    expect_int(test_queued(actor), capacity);
    atomic_store(&gate.open, 1);
    wait_until(atomic_load(&gate.received) == (int)capacity);
    expect_int(gate.values[(capacity - 1) % 256], capacity - 1);
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(task), -EPIPE);
}

TASK_TEST(capacity_is_exact)
{
    static const uint32_t capacities[] = { 1, 2, 3, 5, 64, 100, 1000, 65535, 65536 };
    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++)
        check_capacity(capacities[i]);
}

TASK_TEST(capacity_1_many_senders_all_arrive)
{
    static struct gate gate = { .open = 1 };
    struct tr_task actor_task, tasks[200];
    struct number_address actor = test_loop(note_values, &gate, 1, &actor_task);
    for (int i = 0; i < 200; i++)
        tasks[i] = start_sender(actor, i, 0);
    for (int i = 0; i < 200; i++)
        expect_int(test_join(tasks[i]), 0);
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(actor_task), -EPIPE);
    expect_int(atomic_load(&gate.received), 200);
}

/* ---- failed sends --------------------------------------------------------------------------------------------- */

TASK_TEST(send_timeout_has_not_sent)
{
    static struct gate gate;
    struct tr_task task;
    struct number_address actor = test_loop(note_values, &gate, 2, &task);
    fill(actor, 2);
    expect_int(tr_send(actor, TR_NOW, &(struct number){ .value = 50 }), -ETIMEDOUT);
    expect_int(tr_send(actor, tr_after(3 * TR_MILLISECOND), &(struct number){ .value = 51 }), -ETIMEDOUT);
    expect_int(test_join(start_sender(actor, 52, TR_MILLISECOND)), -ETIMEDOUT);
    atomic_store(&gate.open, 1);
    wait_until(atomic_load(&gate.received) == 2);
    expect_int(tr_send(actor, TR_NOW, &(struct number){ .value = 2 }), 0); /* there is room now */
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(task), -EPIPE);
    expect_int(atomic_load(&gate.received), 3);
    expect_int(gate.values[2], 2);
}

TASK_TEST_ON(1, cancelled_send_has_not_sent)
{
    static struct gate gate;
    struct tr_task task, senders[5];
    struct number_address actor = test_loop(note_values, &gate, 2, &task);
    fill(actor, 2);
    for (int i = 0; i < 5; i++) {
        senders[i] = start_sender(actor, 2 + i, 0);
        test_settle();
    }
    expect_int(tr_task_cancel(senders[0]), 0); /* the head, the middle and the tail of the queue */
    expect_int(tr_task_cancel(senders[2]), 0);
    expect_int(tr_task_cancel(senders[4]), 0);
    for (int i = 0; i < 5; i += 2)
        expect_int(test_join(senders[i]), -ECANCELED);
    atomic_store(&gate.open, 1);
    expect_int(test_join(senders[1]), 0);
    expect_int(test_join(senders[3]), 0);
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(task), -EPIPE);
    expect_int(atomic_load(&gate.received), 4);
    expect_int(gate.values[2], 3);
    expect_int(gate.values[3], 5);
}

static int send_to_self_when_full(void *argument)
{
    struct number_address self;
    struct number message;
    expect_int(tr_self(&self), 0);
    for (int i = 0; i < 2; i++)
        expect_int(tr_send(self, TR_FOREVER, &(struct number){ .value = i }), 0);
    expect_int(tr_send(self, TR_FOREVER, &(struct number){ .value = 2 }), -EDEADLK);
    expect_int(tr_send(self, tr_after(LONG_TIME), &(struct number){ .value = 2 }), -EDEADLK);
    for (int i = 0; i < 2; i++) {
        expect_int(tr_receive(&message, TR_FOREVER), 0);
        expect_int(message.value, i);
    }
    expect_int(tr_receive(&message, TR_NOW), -ETIMEDOUT);
    return (int)(intptr_t)argument;
}

static int handler_fills_itself(void *state, void *message)
{
    struct number *number = message;
    struct number_address self;
    (void)state;
    if (number->kind == 0)
        return 0;
    expect_int(tr_self(&self), 0);
    int64_t sent = 0, rc;
    while ((rc = tr_send(self, TR_FOREVER, &(struct number){ .value = 1 })) == 0)
        sent++;
    expect_int(rc, -EDEADLK);
    tr_reply(number->reply, &sent);
    return 0;
}

TASK_TEST(send_to_own_full_mailbox_edeadlk)
{
    struct tr_task task;
    test_loop(send_to_self_when_full, (void *)6, 2, &task);
    expect_int(test_join(task), 6);
    struct number_address handler = test_handler(handler_fills_itself, NULL, 5, NULL);
    int64_t sent = test_ask(handler, 1, 0);
    expect(sent >= 4 && sent <= 5); /* the place of the message in hand may or may not be free by now */
}

static int wait_then_return(void *argument)
{
    wait_until(atomic_load((atomic_int *)argument));
    return 0;
}

TASK_TEST_ON(1, sender_waiting_when_the_actor_ends_esrch)
{
    static atomic_int end;
    struct tr_task task, senders[10];
    struct number_address actor = test_loop(wait_then_return, &end, 1, &task);
    fill(actor, 1);
    for (int i = 0; i < 10; i++)
        senders[i] = start_sender(actor, i, 0);
    test_settle();
    atomic_store(&end, 1);
    for (int i = 0; i < 10; i++)
        expect_int(test_join(senders[i]), -ESRCH);
    expect_int(test_join(task), 0);
}

TASK_TEST_ON(1, sender_waiting_when_the_actor_is_stopped_esrch)
{
    static struct gate gate;
    struct tr_task task;
    struct number_address actor = test_loop(note_values, &gate, 2, &task);
    fill(actor, 2);
    struct tr_task sender = start_sender(actor, 7, 0);
    test_settle();
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(sender), -ESRCH);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 8 }), -ESRCH);
    expect_int(tr_try_send(actor, &(struct number){ .value = 8 }), -ESRCH);
    atomic_store(&gate.open, 1);
    expect_int(test_join(task), -EPIPE);
    expect_int(atomic_load(&gate.received), 2);
}

int main(void)
{
    return test_main("mailbox",
                     TESTS(send_full_waits_fifo, try_send_eagain_while_other_senders_wait, capacity_is_exact,
                           capacity_1_many_senders_all_arrive, send_timeout_has_not_sent, cancelled_send_has_not_sent,
                           send_to_own_full_mailbox_edeadlk, sender_waiting_when_the_actor_ends_esrch,
                           sender_waiting_when_the_actor_is_stopped_esrch));
}
