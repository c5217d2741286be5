/* SPDX-License-Identifier: MIT */
/*
 * test_channel.c: channels by the promises of troupe/channel.h: capacity, order, ends, waiting. Permits and policies have suites
 * of their own. The tables need no runtime; tests that must know that a task waits run on one worker: there, after
 * test_settle, it does.
 */
#include "channel_script.h"

#include <troupe/queue.h>

static const struct channel_script scripts[] = {
    { "first in, first out",
      3,
      0,
      0,
      { { SEND, 1, 0 },
        { SEND, 2, 0 },
        { RECEIVE, 0, 1 },
        { SEND, 3, 0 },
        { RECEIVE, 0, 2 },
        { RECEIVE, 0, 3 },
        { RECEIVE, 0, -EAGAIN } } },
    { "capacity is exact, not a power of two",
      3,
      0,
      0,
      { { SEND, 1, 0 },
        { SEND, 2, 0 },
        { FREE, 0, 1 },
        { SEND, 3, 0 },
        { SEND, 4, -EAGAIN },
        { LENGTH, 0, 3 },
        { FREE, 0, 0 },
        { RECEIVE, 0, 1 },
        { SEND, 4, 0 },
        { SEND, 5, -EAGAIN } } },
    { "room is seen at once",
      1,
      0,
      0,
      { { SEND, 1, 0 },
        { SEND, 2, -EAGAIN },
        { RECEIVE, 0, 1 },
        { SEND, 2, 0 },
        { RECEIVE, 0, 2 },
        { RECEIVE, 0, -EAGAIN },
        { SEND, 3, 0 } } },
    { "the last sender's close drains, then ends",
      4,
      0,
      0,
      { { SEND, 1, 0 },
        { OPEN, 0, 0 },
        { CLOSE_SENDER, 0, 0 },
        { SEND, 2, 0 },
        { CLOSE_SENDER, 0, 0 },
        { RECEIVE, 0, 1 },
        { RECEIVE, 0, 2 },
        { RECEIVE, 0, -EPIPE },
        { RECEIVE, 0, -EPIPE } } },
    { "empty with a sender is not the end",
      4,
      0,
      0,
      { { RECEIVE, 0, -EAGAIN },
        { OPEN, 0, 0 },
        { CLOSE_SENDER, 0, 0 },
        { RECEIVE, 0, -EAGAIN },
        { SENDERS, 0, 1 },
        { CLOSE_SENDER, 0, 0 },
        { RECEIVE, 0, -EPIPE } } },
    { "the receiver's close refuses new, delivers old",
      4,
      0,
      0,
      { { SEND, 1, 0 },
        { SEND, 2, 0 },
        { IS_CLOSED, 0, 0 },
        { CLOSE, 0, 0 },
        { IS_CLOSED, 0, 1 },
        { SEND, 3, -EPIPE },
        { RECEIVE, 0, 1 },
        { SEND, 3, -EPIPE },
        { RECEIVE, 0, 2 },
        { RECEIVE, 0, -EPIPE },
        { CLOSE, 0, 0 } } },
    { "a receiver that goes drops what is left, once",
      4,
      0,
      0,
      { { SEND, 1, 0 },
        { SEND, 2, 0 },
        { SEND, 3, 0 },
        { RECEIVE, 0, 1 },
        { DESTROY, 0, 0 },
        { DROPS, 0, 2 },
        { LAST_DROP, 0, 3 },
        { LETTERS, 0, 2 },
        { LAST_LETTER, 0, TR_DEAD_UNDELIVERED },
        { SEND, 4, -EPIPE },
        { IS_CLOSED, 0, 1 },
        { DROPS, 0, 2 },
        { UNDELIVERED, 0, 2 } } },
    { "what was received is not dropped",
      4,
      0,
      0,
      { { SEND, 1, 0 }, { RECEIVE, 0, 1 }, { CLOSE_SENDER, 0, 0 }, { DESTROY, 0, 0 }, { DROPS, 0, 0 } } },
    { "weak senders count for nothing",
      2,
      0,
      0,
      { { WEAKEN, 0, 0 },
        { SENDERS, 0, 1 },
        { WEAK_SENDERS, 0, 1 },
        { WEAK_OPEN, 0, 0 },
        { SENDERS, 0, 2 },
        { CLOSE_SENDER, 0, 0 },
        { SEND, 1, 0 },
        { CLOSE_SENDER, 0, 0 },
        { RECEIVE, 0, 1 },
        { RECEIVE, 0, -EPIPE },
        { WEAK_OPEN, 0, -EPIPE },
        { SENDERS, 0, 0 },
        { RECEIVE, 0, -EPIPE },
        { WEAK_CLOSE, 0, 0 } } },
    { "a weak sender does not raise the dead",
      2,
      0,
      0,
      { { WEAKEN, 0, 0 },
        { SEND, 1, 0 },
        { CLOSE_SENDER, 0, 0 },
        { WEAK_OPEN, 0, -EPIPE },
        { RECEIVE, 0, 1 },
        { WEAK_OPEN, 0, -EPIPE },
        { RECEIVE, 0, -EPIPE } } },
    { "unbounded takes it all",
      0,
      0,
      0,
      { { SEND, 1, 0 },
        { SEND, 2, 0 },
        { LENGTH, 0, 2 },
        { FREE, 0, UINT32_MAX },
        { RESERVE, 1, -ENOTSUP },
        { RECEIVE, 0, 1 },
        { CLOSE_SENDER, 0, 0 },
        { RECEIVE, 0, 2 },
        { RECEIVE, 0, -EPIPE } } },
    { "unbounded drops what is left",
      0,
      0,
      0,
      { { SEND, 1, 0 },
        { SEND, 2, 0 },
        { RECEIVE, 0, 1 },
        { SEND, 3, 0 },
        { CLOSE, 0, 0 },
        { SEND, 4, -EPIPE },
        { DESTROY, 0, 0 },
        { DROPS, 0, 2 },
        { LENGTH, 0, 0 } } },
    { 0 },
};

START_TEST(edges)
{
    channel_scripts_play(scripts);
}
END_TEST

/* Tokio's 8062 (the length fell below zero) and 6602 (empty was wrong at block borders): at every position, both kinds. */
START_TEST(length_is_right_everywhere_8062_6602)
{
    for (uint32_t capacity = 0; capacity <= 5; capacity++) {
        struct number_sender sender;
        struct number_receiver receiver;
        int64_t number, in = 0, out = 0;
        expect_int(capacity ? tr_channel_create(&sender, &receiver, capacity, NULL)
                            : tr_channel_create_unbounded(&sender, &receiver, NULL),
                   0);
        for (int i = 0; i < 5000; i++) {
            unsigned most = capacity ? capacity : 1 + (unsigned)i % 700;
            while (in - out < most)
                expect_int(tr_channel_try_send(sender, &(int64_t){ in++ }), 0);
            expect_int(tr_channel_length(receiver), in - out);
            for (unsigned k = (unsigned)i % (most + 1); k > 0; k--) {
                expect_int(tr_channel_try_receive(receiver, &number), 0);
                expect_int(number, out++);
                expect_int(tr_channel_length(sender), in - out);
                expect_int(tr_channel_is_empty(sender), in == out);
            }
        }
        tr_channel_sender_close(sender);
        tr_channel_receiver_destroy(receiver);
    }
}
END_TEST

START_TEST(create_refuses_what_cannot_be)
{
    struct tr_channel_sender sender;
    struct tr_channel_receiver receiver;
    static const struct {
        struct tr_type type;
        uint32_t capacity;
        int result;
    } rows[] = {
        { { "m", 8, 8 }, 0, -EINVAL },
        { { "m", 8, 8 }, TR_CHANNEL_LIMIT + 1, -EINVAL },
        { { "m", 8, 8 }, UINT32_MAX, -EINVAL },
        { { "m", TR_MESSAGE_LIMIT + 1, 8 }, 1, -EINVAL },
        { { "m", 8, 128 }, 1, -EINVAL },
        { { "m", TR_MESSAGE_LIMIT, 64 }, 1, 0 },
        { { "m", 0, 1 }, 1, 0 },
        { { "m", 1, 1 }, 7, 0 },
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        expect_int(tr_channel_create_raw(&sender, &receiver, &rows[i].type, rows[i].capacity, NULL), rows[i].result);
        if (rows[i].result < 0) {
            expect(!sender.tri_channel && !receiver.tri_channel);
            continue;
        }
        static char in[TR_MESSAGE_LIMIT], out[TR_MESSAGE_LIMIT];
        uint32_t bytes = rows[i].type.size;
        memset(in, 'a' + (int)i, sizeof in);
        memset(out, 0, sizeof out);
        expect_int(tr_channel_try_send_raw(sender, &rows[i].type, in), 0);
        expect_int(tr_channel_try_send_raw(sender, &(struct tr_type){ "n", bytes + 1, 1 }, in), -EINVAL);
        expect_int(tr_channel_try_receive_raw(receiver, bytes + 1, out), -EINVAL);
        expect_int(tr_channel_try_receive_raw(receiver, bytes, out), 0);
        expect(memcmp(in, out, bytes) == 0 && (bytes == sizeof out || out[bytes] == 0));
        tr_channel_sender_close_raw(sender);
        tr_channel_receiver_destroy_raw(receiver);
    }
}
END_TEST

START_TEST(an_end_that_is_none_is_refused_by_every_call)
{
    static const struct tr_type type = { "m", 8, 8 };
    struct tr_channel_sender none = { 0 }, opened = { (struct tr_channel *)(void *)&none };
    struct tr_channel_receiver no_receiver = { 0 };
    struct tr_channel_weak_sender no_weak = { 0 };
    struct tr_channel_permit permit;
    int64_t number = 1;
    expect_int(tr_channel_send_raw(none, &type, &number, TR_NOW), -EINVAL);
    expect_int(tr_channel_try_send_raw(none, &type, &number), -EINVAL);
    expect_int(tr_channel_reserve_raw(none, 1, &permit, TR_NOW), -EINVAL);
    expect_int(tr_channel_try_reserve_raw(none, 1, &permit), -EINVAL);
    expect_int(tr_channel_permit_send_raw(&permit, &type, &number), -EINVAL);
    tr_channel_permit_return_raw(&permit);
    expect_int(tr_channel_await_close_raw(none, TR_NOW), -EINVAL);
    expect_int(tr_channel_receive_raw(no_receiver, 8, &number, TR_NOW), -EINVAL);
    expect_int(tr_channel_try_receive_raw(no_receiver, 8, &number), -EINVAL);
    expect_int(tr_channel_receive_many_raw(no_receiver, 8, &number, 1, TR_NOW), -EINVAL);
    expect_int(tr_channel_weak_sender_open_raw(no_weak, &opened), -EINVAL);
    expect(!opened.tri_channel);
}
END_TEST

/* In a task, where the short ways are; also channels that have none of them. */
TASK_TEST_ON(1, a_size_that_is_not_the_channels_is_refused)
{
    static char buffer[TR_MESSAGE_LIMIT];
    static const uint32_t sizes[] = { 8, 9, TR_MESSAGE_LIMIT }, wrong[] = { 0, 7, 16, UINT32_MAX };
    static const struct tr_channel_options options[] = { { .name = "plain" }, { .byte_limit = 1 << 20 } };
    for (unsigned i = 0; i < 6; i++) {
        struct tr_type type = { "m", sizes[i / 2], 1 };
        struct tr_channel_sender sender;
        struct tr_channel_receiver receiver;
        struct tr_queue queue;
        expect_int(tr_channel_create_raw(&sender, &receiver, &type, 4, &options[i % 2]), 0);
        expect_int(tr_queue_create_raw(&queue, &type, 4, &options[i % 2]), 0);
        for (unsigned k = 0; k < 4; k++) {
            struct tr_type other = { "n", wrong[k], 1 };
            expect_int(tr_channel_send_raw(sender, &other, buffer, TR_NOW), -EINVAL);
            expect_int(tr_channel_try_send_raw(sender, &other, buffer), -EINVAL);
            expect_int(tr_queue_send_raw(queue, &other, buffer, TR_NOW), -EINVAL);
            expect_int(tr_channel_try_send_raw(sender, &type, buffer), 0);
            expect_int(tr_queue_try_send_raw(queue, &type, buffer), 0);
            expect_int(tr_channel_receive_raw(receiver, wrong[k], buffer, TR_NOW), -EINVAL);
            expect_int(tr_channel_try_receive_raw(receiver, wrong[k], buffer), -EINVAL);
            expect_int(tr_queue_receive_raw(queue, wrong[k], buffer, TR_NOW), -EINVAL);
        }
        tr_channel_sender_close_raw(sender);
        tr_channel_receiver_destroy_raw(receiver);
        tr_queue_unref_raw(queue);
    }
}

/* ---- waiting -------------------------------------------------------------------------------------------------- */

struct ends {
    struct number_sender sender;
    struct number_receiver receiver;
    int64_t number, span;
    struct tr_task task;
};

static struct ends make(uint32_t capacity)
{
    struct ends ends = { 0 };
    expect_int(tr_channel_create(&ends.sender, &ends.receiver, capacity, NULL), 0);
    return ends;
}

static void end(struct ends ends)
{
    tr_channel_sender_close(ends.sender);
    tr_channel_receiver_destroy(ends.receiver);
}

static int send_number(void *argument)
{
    struct ends *ends = argument;
    return tr_channel_send(ends->sender, ends->span ? tr_after(ends->span) : TR_FOREVER, &ends->number);
}

static struct tr_task start_send(struct ends ends, int64_t number, int64_t span)
{
    struct tr_task task;
    ends.number = number;
    ends.span = span;
    expect_int(tr_task_spawn(&task, send_number, &ends, &(struct tr_task_options){ .argument_bytes = sizeof ends }), 0);
    return task;
}

/* The number, or the error. */
static int receive_number(void *argument)
{
    struct ends *ends = argument;
    int64_t number;
    int rc = tr_channel_receive(ends->receiver, &number, ends->span ? tr_after(ends->span) : TR_FOREVER);
    return rc == 0 ? (int)number : rc;
}

static struct tr_task start_receive(struct ends ends, int64_t span)
{
    struct tr_task task;
    ends.span = span;
    expect_int(tr_task_spawn(&task, receive_number, &ends, &(struct tr_task_options){ .argument_bytes = sizeof ends }),
               0);
    return task;
}

static int64_t receive_now(struct ends ends)
{
    int64_t number;
    int rc = tr_channel_try_receive(ends.receiver, &number);
    return rc == 0 ? number : rc;
}

TASK_TEST_ON(1, senders_wait_in_order_and_nobody_overtakes)
{
    struct ends ends = make(2);
    struct tr_task tasks[20];
    for (int64_t i = 0; i < 20; i++) {
        tasks[i] = start_send(ends, i, 0);
        test_settle();
    }
    expect_int(tr_channel_length(ends.sender), 2);
    for (int64_t i = 0; i < 20; i++) {
        if (i < 19)
            expect_int(tr_channel_try_send(ends.sender, &(int64_t){ 99 }), -EAGAIN);
        expect_int(receive_now(ends), i);
    }
    expect_int(receive_now(ends), -EAGAIN);
    for (int i = 0; i < 20; i++)
        expect_int(test_join(tasks[i]), 0);
    end(ends);
}

TASK_TEST_ON(1, a_message_goes_into_the_waiting_receivers_hands)
{
    struct ends ends = make(1);
    struct tr_task task = start_receive(ends, 0);
    test_settle();
    expect_int(tr_channel_try_send(ends.sender, &(int64_t){ 5 }), 0);
    expect_int(tr_channel_length(ends.sender), 0);
    expect_int(tr_channel_try_send(ends.sender, &(int64_t){ 6 }), 0);
    expect_int(test_join(task), 5);
    expect_int(receive_now(ends), 6);
    end(ends);
}

TASK_TEST_ON(1, deadline_send_sends_nothing_and_receive_takes_nothing)
{
    struct ends ends = make(1);
    int64_t number;
    expect_int(tr_channel_send(ends.sender, TR_NOW, &(int64_t){ 1 }), 0);
    expect_int(tr_channel_send(ends.sender, TR_NOW, &(int64_t){ 2 }), -ETIMEDOUT);
    expect_int(tr_channel_send(ends.sender, tr_after(TR_MILLISECOND), &(int64_t){ 3 }), -ETIMEDOUT);
    expect_int(tr_channel_receive(ends.receiver, &number, TR_NOW), 0);
    expect_int(number, 1);
    expect_int(tr_channel_receive(ends.receiver, &number, TR_NOW), -ETIMEDOUT);
    expect_int(tr_channel_receive(ends.receiver, &number, tr_after(TR_MILLISECOND)), -ETIMEDOUT);
    expect_int(tr_channel_send(ends.sender, TR_NOW, &(int64_t){ 4 }), 0);
    expect_int(receive_now(ends), 4);
    end(ends);
}

/* One behind who gives up gets what he did not. */
TASK_TEST_ON(1, cancelled_send_sends_nothing_and_lets_the_next_in)
{
    struct ends ends = make(1);
    expect_int(tr_channel_try_send(ends.sender, &(int64_t){ 1 }), 0);
    struct tr_task first = start_send(ends, 2, 0), second = start_send(ends, 3, 0);
    test_settle();
    expect_int(tr_task_cancel(first), 0);
    expect_int(test_join(first), -ECANCELED);
    expect_int(receive_now(ends), 1);
    expect_int(test_join(second), 0);
    expect_int(receive_now(ends), 3);
    struct tr_task receiver = start_receive(ends, 0);
    test_settle();
    expect_int(tr_task_cancel(receiver), 0);
    expect_int(test_join(receiver), -ECANCELED);
    expect_int(tr_channel_try_send(ends.sender, &(int64_t){ 4 }), 0);
    expect_int(receive_now(ends), 4);
    end(ends);
}

TASK_TEST_ON(1, close_wakes_all_who_wait_in_vain)
{
    struct ends ends = make(1);
    expect_int(tr_channel_try_send(ends.sender, &(int64_t){ 1 }), 0);
    struct tr_task tasks[30];
    for (int i = 0; i < 30; i++)
        tasks[i] = start_send(ends, 10 + i, 0);
    test_settle();
    tr_channel_receiver_close(ends.receiver);
    for (int i = 0; i < 30; i++)
        expect_int(test_join(tasks[i]), -EPIPE);
    expect_int(receive_now(ends), 1);
    expect_int(receive_now(ends), -EPIPE);
    end(ends);
}

TASK_TEST_ON(1, last_sender_wakes_the_receiver)
{
    struct ends ends = make(1);
    struct tr_task task = start_receive(ends, 0);
    test_settle();
    tr_channel_sender_close(ends.sender);
    expect_int(test_join(task), -EPIPE);
    tr_channel_receiver_destroy(ends.receiver);
}

static int await_close(void *argument)
{
    struct ends *ends = argument;
    return tr_channel_await_close(ends->sender, ends->span ? tr_after(ends->span) : TR_FOREVER);
}

TASK_TEST_ON(1, a_sender_sees_the_receiver_go)
{
    struct ends ends = make(1), other = make(1);
    ends.span = TR_MILLISECOND;
    expect_int(await_close(&ends), -ETIMEDOUT);
    ends.span = 0;
    struct tr_task a = test_task(await_close, &ends), b = test_task(await_close, &ends),
                   c = test_task(await_close, &other);
    test_settle();
    expect(!tr_channel_is_closed(ends.sender));
    tr_channel_receiver_close(ends.receiver);
    expect_int(test_join(a), 0);
    expect_int(test_join(b), 0);
    expect_int(await_close(&ends), 0);
    tr_channel_receiver_destroy(other.receiver);
    expect_int(test_join(c), 0);
    end(ends);
    tr_channel_sender_close(other.sender);
}

TASK_TEST_ON(1, receive_many_takes_what_is_there_and_lets_senders_in)
{
    struct ends ends = make(3);
    int64_t numbers[8];
    struct tr_task tasks[6];
    expect_int(tr_channel_receive_many(ends.receiver, numbers, 0, TR_NOW), -EINVAL);
    expect_int(tr_channel_receive_many(ends.receiver, numbers, 8, TR_NOW), -ETIMEDOUT);
    for (int64_t i = 0; i < 6; i++) {
        tasks[i] = start_send(ends, i, 0);
        test_settle();
    }
    expect_int(tr_channel_receive_many(ends.receiver, numbers, 2, TR_FOREVER), 2);
    expect_int(tr_channel_length(ends.sender), 3);
    expect_int(tr_channel_receive_many(ends.receiver, numbers + 2, 6, TR_FOREVER), 4);
    for (int64_t i = 0; i < 6; i++) {
        expect_int(numbers[i], i);
        expect_int(test_join(tasks[i]), 0);
    }
    tr_channel_sender_close(ends.sender);
    expect_int(tr_channel_receive_many(ends.receiver, numbers, 8, TR_FOREVER), -EPIPE);
    tr_channel_receiver_destroy(ends.receiver);
}

TASK_TEST_ON(1, select_takes_one_and_leaves_the_other)
{
    struct ends a = make(1), b = make(1);
    int64_t x = 0, y = 0;
    struct tr_case cases[] = { tr_case_receive(a.receiver, &x), tr_case_receive(b.receiver, &y),
                               tr_case_await_close(a.sender) };
    expect_int(tr_select(cases, 3, tr_after(TR_MILLISECOND), TR_SELECT_FAIR), -ETIMEDOUT);
    expect_int(tr_channel_try_send(a.sender, &(int64_t){ 1 }), 0);
    expect_int(tr_channel_try_send(b.sender, &(int64_t){ 2 }), 0);
    expect_int(tr_select(cases, 3, TR_FOREVER, TR_SELECT_ORDERED), 0);
    expect_int(x, 1);
    expect_int(tr_channel_length(b.sender), 1);
    expect_int(tr_select(cases, 3, TR_FOREVER, TR_SELECT_ORDERED), 1);
    expect_int(y, 2);
    struct tr_task late = start_send(b, 3, 0);
    expect_int(tr_select(cases, 3, TR_FOREVER, TR_SELECT_FAIR), 1);
    expect_int(cases[1].result == 0 ? y : -1, 3);
    expect_int(test_join(late), 0);
    struct tr_case sends[] = { tr_case_send(a.sender, &(int64_t){ 7 }), tr_case_receive(b.receiver, &y) };
    expect_int(tr_select(sends, 2, TR_FOREVER, TR_SELECT_ORDERED), 0);
    expect_int(tr_select(sends, 2, tr_after(TR_MILLISECOND), TR_SELECT_ORDERED), -ETIMEDOUT);
    expect_int(receive_now(a), 7);
    expect_int(receive_now(a), -EAGAIN);
    tr_channel_receiver_close(a.receiver);
    expect_int(tr_select(sends, 2, TR_FOREVER, TR_SELECT_ORDERED), 0);
    expect_int(sends[0].result, -EPIPE);
    expect_int(tr_select(cases, 3, TR_FOREVER, TR_SELECT_ORDERED), 0);
    expect_int(cases[0].result, -EPIPE);
    struct tr_case wrong[] = { tr_case_receive_raw(a.receiver.tri_raw, 3, &x) };
    expect_int(tr_select(wrong, 1, TR_NOW, TR_SELECT_FAIR), -EINVAL);
    end(a);
    end(b);
}

int main(void)
{
    return test_main("channel",
                     TESTS(edges, length_is_right_everywhere_8062_6602, create_refuses_what_cannot_be,
                           an_end_that_is_none_is_refused_by_every_call, a_size_that_is_not_the_channels_is_refused,
                           senders_wait_in_order_and_nobody_overtakes, a_message_goes_into_the_waiting_receivers_hands,
                           deadline_send_sends_nothing_and_receive_takes_nothing,
                           cancelled_send_sends_nothing_and_lets_the_next_in, close_wakes_all_who_wait_in_vain,
                           last_sender_wakes_the_receiver, a_sender_sees_the_receiver_go,
                           receive_many_takes_what_is_there_and_lets_senders_in,
                           select_takes_one_and_leaves_the_other));
}
