/* SPDX-License-Identifier: MIT */
/*
 * test_channel_permit.c: permits by the promises of troupe/channel.h, above all at the channel's end, where Tokio had four
 * bugs in a year: 7714, 8074, 8075, 8260. As tables, and with a receiver that waits.
 */
#include "channel_script.h"

static const struct channel_script scripts[] = {
    { "a permit is room",
      2,
      0,
      0,
      { { RESERVE, 1, 0 },
        { FREE, 0, 1 },
        { RESERVED, 0, 1 },
        { LENGTH, 0, 0 },
        { SEND, 1, 0 },
        { SEND, 2, -EAGAIN },
        { PERMIT_SEND, 3, 0 },
        { RESERVED, 0, 0 },
        { LENGTH, 0, 2 },
        { RECEIVE, 0, 1 },
        { RECEIVE, 0, 3 } } },
    { "a permit is used up",
      4,
      0,
      0,
      { { RESERVE, 2, 0 },
        { PERMIT_COUNT, 0, 2 },
        { PERMIT_SEND, 1, 0 },
        { PERMIT_COUNT, 0, 1 },
        { PERMIT_SEND, 2, 0 },
        { PERMIT_COUNT, 0, 0 },
        { PERMIT_SEND, 3, -EINVAL },
        { RESERVED, 0, 0 },
        { RECEIVE, 0, 1 },
        { RECEIVE, 0, 2 } } },
    { "unused places come back",
      4,
      0,
      0,
      { { RESERVE, 4, 0 },
        { FREE, 0, 0 },
        { SEND, 1, -EAGAIN },
        { PERMIT_SEND, 1, 0 },
        { PERMIT_RETURN, 0, 0 },
        { FREE, 0, 3 },
        { PERMIT_RETURN, 0, 0 },
        { FREE, 0, 3 },
        { SEND, 2, 0 } } },
    { "all at once or none",
      3,
      0,
      0,
      { { SEND, 1, 0 },
        { RESERVE, 3, -EAGAIN },
        { FREE, 0, 2 },
        { RESERVE, 4, -EINVAL },
        { RESERVE, 0, -EINVAL },
        { RESERVE, 2, 0 },
        { RESERVE, 1, -EAGAIN } } },
    { "closed, a granted permit still delivers: 8074",
      2,
      0,
      0,
      { { RESERVE, 1, 0 },
        { CLOSE, 0, 0 },
        { RECEIVE, 0, -EAGAIN },
        { RESERVE, 1, -EPIPE },
        { PERMIT_SEND, 7, 0 },
        { RECEIVE, 0, 7 },
        { RECEIVE, 0, -EPIPE } } },
    { "closed, an unused permit ends it: 8074",
      2,
      0,
      0,
      { { SEND, 1, 0 },
        { RESERVE, 1, 0 },
        { CLOSE, 0, 0 },
        { RECEIVE, 0, 1 },
        { RECEIVE, 0, -EAGAIN },
        { PERMIT_RETURN, 0, 0 },
        { RECEIVE, 0, -EPIPE } } },
    { "a permit outlives the senders",
      2,
      0,
      0,
      { { RESERVE, 2, 0 },
        { CLOSE_SENDER, 0, 0 },
        { RECEIVE, 0, -EAGAIN },
        { PERMIT_SEND, 1, 0 },
        { RECEIVE, 0, 1 },
        { RECEIVE, 0, -EAGAIN },
        { PERMIT_RETURN, 0, 0 },
        { RECEIVE, 0, -EPIPE } } },
    { "the receiver gone, a permit stores nothing: 7714",
      2,
      0,
      0,
      { { RESERVE, 2, 0 },
        { SEND, 1, -EAGAIN },
        { DESTROY, 0, 0 },
        { PERMIT_SEND, 7, -EPIPE },
        { LENGTH, 0, 0 },
        { DROPS, 0, 0 },
        { PERMIT_COUNT, 0, 1 },
        { PERMIT_SEND, 8, -EPIPE },
        { RESERVED, 0, 0 },
        { PERMIT_SEND, 9, -EINVAL },
        { DROPS, 0, 0 } } },
    { "the last permit frees the channel",
      2,
      0,
      0,
      { { RESERVE, 1, 0 }, { CLOSE_SENDER, 0, 0 }, { DESTROY, 0, 0 }, { PERMIT_SEND, 7, -EPIPE } } },
    { "a policy reserves at once or not at all",
      1,
      TR_OVERFLOW_REJECT,
      0,
      { { RESERVE, 1, 0 },
        { RESERVE, 1, -ENOBUFS },
        { SEND, 1, -ENOBUFS },
        { PERMIT_SEND, 2, 0 },
        { RECEIVE, 0, 2 } } },
    { "dropping the oldest makes room for a permit",
      2,
      TR_OVERFLOW_DROP_OLDEST,
      0,
      { { SEND, 1, 0 },
        { SEND, 2, 0 },
        { RESERVE, 1, 0 },
        { LAST_DROP, 0, 1 },
        { RESERVE, 2, -ENOBUFS },
        { LENGTH, 0, 1 },
        { SEND, 3, 0 },
        { LAST_DROP, 0, 2 },
        { PERMIT_SEND, 4, 0 },
        { RECEIVE, 0, 3 },
        { RECEIVE, 0, 4 } } },
    { "bytes cannot be reserved", 2, 0, 100, { { RESERVE, 1, -ENOTSUP } } },
    { 0 },
};

START_TEST(edges)
{
    channel_scripts_play(scripts);
}
END_TEST

/* ---- with tasks that wait ------------------------------------------------------------------------------------- */

struct ends {
    struct number_sender sender;
    struct number_receiver receiver;
    uint32_t count;
    struct number_permit permit;
};

static void make(struct ends *ends, uint32_t capacity)
{
    *ends = (struct ends){ 0 };
    expect_int(tr_channel_create(&ends->sender, &ends->receiver, capacity, NULL), 0);
}

static void end(struct ends *ends)
{
    tr_channel_sender_close(ends->sender);
    tr_channel_receiver_destroy(ends->receiver);
}

static int receive_number(void *argument)
{
    struct ends *ends = argument;
    int64_t number;
    int rc = tr_channel_receive(ends->receiver, &number, TR_FOREVER);
    return rc == 0 ? (int)number : rc;
}

static int reserve(void *argument)
{
    struct ends *ends = argument;
    return tr_channel_reserve(ends->sender, ends->count, &ends->permit, TR_FOREVER);
}

static int send_nine(void *argument)
{
    struct ends *ends = argument;
    return tr_channel_send(ends->sender, TR_FOREVER, &(int64_t){ 9 });
}

TASK_TEST_ON(1, last_permit_back_wakes_a_closed_receiver_8075)
{
    struct ends ends;
    struct number_permit permit;
    make(&ends, 3);
    expect_int(tr_channel_reserve(ends.sender, 2, &permit, TR_NOW), 0);
    tr_channel_receiver_close(ends.receiver);
    struct tr_task receiver = test_task(receive_number, &ends);
    test_settle();
    tr_channel_permit_return(&permit);
    expect_int(test_join(receiver), -EPIPE);
    end(&ends);
}

TASK_TEST_ON(1, last_permit_sent_wakes_a_closed_receiver_8075)
{
    struct ends ends;
    struct number_permit permit;
    make(&ends, 3);
    expect_int(tr_channel_reserve(ends.sender, 1, &permit, TR_NOW), 0);
    tr_channel_receiver_close(ends.receiver);
    struct tr_task receiver = test_task(receive_number, &ends);
    test_settle();
    expect_int(tr_channel_permit_send(&permit, &(int64_t){ 4 }), 0);
    expect_int(test_join(receiver), 4);
    expect_int(receive_number(&ends), -EPIPE);
    end(&ends);
}

/* A reserve of many waits; the channel is closed, or the wait is cancelled: the receiver that waits must not hang. */
TASK_TEST_ON(1, many_reserved_in_vain_wakes_a_closed_receiver_8260)
{
    for (int cancelled = 0; cancelled < 2; cancelled++) {
        struct ends ends;
        make(&ends, 2);
        struct number_permit held;
        expect_int(tr_channel_reserve(ends.sender, 1, &held, TR_NOW), 0);
        ends.count = 2;
        struct tr_task reserver = test_task(reserve, &ends);
        struct tr_task receiver = test_task(receive_number, &ends);
        test_settle();
        if (cancelled)
            expect_int(tr_task_cancel(reserver), 0);
        else
            tr_channel_receiver_close(ends.receiver);
        expect_int(test_join(reserver), cancelled ? -ECANCELED : -EPIPE);
        expect_int(tr_channel_permit_count(&ends.permit), 0);
        tr_channel_receiver_close(ends.receiver);
        tr_channel_permit_return(&held);
        expect_int(test_join(receiver), -EPIPE);
        end(&ends);
    }
}

TASK_TEST_ON(1, a_big_reserve_is_not_overtaken_by_small_sends)
{
    struct ends ends;
    int64_t number;
    make(&ends, 3);
    for (int64_t i = 0; i < 3; i++)
        expect_int(tr_channel_try_send(ends.sender, &i), 0);
    ends.count = 2;
    struct tr_task big = test_task(reserve, &ends);
    test_settle();
    struct tr_task small = test_task(send_nine, &ends);
    test_settle();
    expect_int(tr_channel_try_receive(ends.receiver, &number), 0);
    test_settle();
    expect_int(tr_channel_length(ends.sender), 2); /* one place is free, and nobody may have it */
    expect_int(tr_channel_try_send(ends.sender, &number), -EAGAIN);
    expect_int(tr_channel_try_receive(ends.receiver, &number), 0);
    expect_int(test_join(big), 0);
    expect_int(tr_channel_permit_count(&ends.permit), 2);
    expect_int(tr_channel_length(ends.sender), 1);
    expect_int(tr_channel_permit_send(&ends.permit, &(int64_t){ 5 }), 0);
    tr_channel_permit_return(&ends.permit);
    expect_int(test_join(small), 0);
    expect_int(receive_number(&ends), 2);
    expect_int(receive_number(&ends), 5);
    expect_int(receive_number(&ends), 9);
    end(&ends);
}

/* Whoever waits behind one who wants much, and gives up, may want less. */
TASK_TEST_ON(1, a_big_reserve_that_gives_up_lets_small_sends_in)
{
    struct ends ends;
    make(&ends, 2);
    expect_int(tr_channel_try_send(ends.sender, &(int64_t){ 1 }), 0);
    ends.count = 2;
    struct tr_task big = test_task(reserve, &ends);
    test_settle();
    struct tr_task small = test_task(send_nine, &ends);
    test_settle();
    expect_int(tr_channel_length(ends.sender), 1);
    expect_int(tr_task_cancel(big), 0);
    expect_int(test_join(big), -ECANCELED);
    expect_int(test_join(small), 0);
    expect_int(receive_number(&ends), 1);
    expect_int(receive_number(&ends), 9);
    end(&ends);
}

/* The message of a permit goes into a waiting receiver's hands: its place is free for who waits. */
TASK_TEST_ON(1, a_permit_sent_into_waiting_hands_frees_its_place)
{
    struct ends ends;
    struct number_permit permit;
    make(&ends, 1);
    expect_int(tr_channel_reserve(ends.sender, 1, &permit, TR_NOW), 0);
    struct tr_task receiver = test_task(receive_number, &ends);
    test_settle();
    struct tr_task sender = test_task(send_nine, &ends);
    test_settle();
    expect_int(tr_channel_permit_send(&permit, &(int64_t){ 3 }), 0);
    expect_int(test_join(receiver), 3);
    expect_int(test_join(sender), 0);
    expect_int(receive_number(&ends), 9);
    end(&ends);
}

TASK_TEST_ON(1, select_reserves_and_leaves_no_permit_behind)
{
    struct ends ends, other;
    struct number_permit permit;
    int64_t number;
    make(&ends, 1);
    make(&other, 1);
    expect_int(tr_channel_try_send(ends.sender, &(int64_t){ 1 }), 0);
    struct tr_case cases[] = { tr_case_reserve(ends.sender, 1, &permit), tr_case_receive(other.receiver, &number) };
    expect_int(tr_select(cases, 2, tr_after(TR_MILLISECOND), TR_SELECT_FAIR), -ETIMEDOUT);
    expect_int(tr_channel_permit_count(&permit), 0);
    expect_int(tr_channel_try_send(other.sender, &(int64_t){ 2 }), 0);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 1);
    struct tr_task receiver = test_task(receive_number, &ends);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 0);
    expect_int(test_join(receiver), 1);
    expect_int(tr_channel_permit_count(&permit), 1);
    expect_int(tr_channel_permit_send(&permit, &(int64_t){ 3 }), 0);
    expect_int(receive_number(&ends), 3);
    end(&ends);
    end(&other);
}

int main(void)
{
    return test_main("channel_permit", TESTS(edges, last_permit_back_wakes_a_closed_receiver_8075,
                                             last_permit_sent_wakes_a_closed_receiver_8075,
                                             many_reserved_in_vain_wakes_a_closed_receiver_8260,
                                             a_big_reserve_is_not_overtaken_by_small_sends,
                                             a_big_reserve_that_gives_up_lets_small_sends_in,
                                             a_permit_sent_into_waiting_hands_frees_its_place,
                                             select_reserves_and_leaves_no_permit_behind));
}
