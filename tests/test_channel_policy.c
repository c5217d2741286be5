/* SPDX-License-Identifier: MIT */
/*
 * test_channel_policy.c: full channels by the promises of troupe/channel.h: what each policy does, what is counted and who is
 * told; and bounds in bytes. In the tables a number weighs as many bytes as it says, where there is a byte limit.
 */
#include "channel_script.h"

static const struct channel_script scripts[] = {
    { "reject: the sender keeps it",
      1,
      TR_OVERFLOW_REJECT,
      0,
      { { SEND, 1, 0 },
        { SEND, 2, -ENOBUFS },
        { SEND, 3, -ENOBUFS },
        { REJECTED, 0, 2 },
        { LETTERS, 0, 2 },
        { LAST_LETTER, 0, TR_DEAD_REJECTED },
        { DROPS, 0, 0 },
        { RECEIVE, 0, 1 },
        { SEND, 4, 0 },
        { RECEIVE, 0, 4 } } },
    { "drop newest: the new one is taken, and dropped",
      2,
      TR_OVERFLOW_DROP_NEWEST,
      0,
      { { SEND, 1, 0 },
        { SEND, 2, 0 },
        { SEND, 3, 0 },
        { DROPPED_NEWEST, 0, 1 },
        { DROPS, 0, 1 },
        { LAST_DROP, 0, 3 },
        { LAST_LETTER, 0, TR_DEAD_DROPPED_NEWEST },
        { LENGTH, 0, 2 },
        { RECEIVE, 0, 1 },
        { RECEIVE, 0, 2 },
        { RECEIVE, 0, -EAGAIN } } },
    { "drop oldest: the oldest makes room",
      2,
      TR_OVERFLOW_DROP_OLDEST,
      0,
      { { SEND, 1, 0 },
        { SEND, 2, 0 },
        { SEND, 3, 0 },
        { DROPPED_OLDEST, 0, 1 },
        { DROPS, 0, 1 },
        { LAST_DROP, 0, 1 },
        { LAST_LETTER, 0, TR_DEAD_DROPPED_OLDEST },
        { SEND, 4, 0 },
        { LAST_DROP, 0, 2 },
        { RECEIVE, 0, 3 },
        { SEND, 5, 0 },
        { RECEIVE, 0, 4 },
        { RECEIVE, 0, 5 },
        { RECEIVE, 0, -EAGAIN },
        { LETTERS, 0, 2 } } },
    { "drop oldest: permits are no messages",
      1,
      TR_OVERFLOW_DROP_OLDEST,
      0,
      { { RESERVE, 1, 0 },
        { SEND, 1, -ENOBUFS },
        { REJECTED, 0, 1 },
        { DROPS, 0, 0 },
        { PERMIT_SEND, 2, 0 },
        { SEND, 3, 0 },
        { LAST_DROP, 0, 2 },
        { RECEIVE, 0, 3 } } },
    { "a policy does not outlive the close",
      1,
      TR_OVERFLOW_DROP_OLDEST,
      0,
      { { SEND, 1, 0 },
        { CLOSE, 0, 0 },
        { SEND, 2, -EPIPE },
        { DROPS, 0, 0 },
        { RECEIVE, 0, 1 },
        { RECEIVE, 0, -EPIPE } } },
    { "bytes: as many as there is room for",
      8,
      0,
      100,
      { { SEND, 60, 0 },
        { BYTES, 0, 60 },
        { SEND, 50, -EAGAIN },
        { SEND, 40, 0 },
        { BYTES, 0, 100 },
        { SEND, 1, -EAGAIN },
        { RECEIVE, 0, 60 },
        { BYTES, 0, 40 },
        { SEND, 61, -EAGAIN },
        { SEND, 60, 0 },
        { RECEIVE, 0, 40 },
        { RECEIVE, 0, 60 },
        { BYTES, 0, 0 } } },
    { "bytes: what can never fit is refused",
      8,
      0,
      100,
      { { SEND, 101, -EINVAL }, { SEND, 100, 0 }, { SEND, 0, 0 }, { LENGTH, 0, 2 } } },
    { "bytes: the capacity holds, too", 2, 0, 100, { { SEND, 1, 0 }, { SEND, 1, 0 }, { SEND, 1, -EAGAIN } } },
    { "bytes: several of the oldest may have to go",
      8,
      TR_OVERFLOW_DROP_OLDEST,
      100,
      { { SEND, 30, 0 },
        { SEND, 31, 0 },
        { SEND, 32, 0 },
        { SEND, 60, 0 },
        { DROPS, 0, 2 },
        { LAST_DROP, 0, 31 },
        { BYTES, 0, 92 },
        { RECEIVE, 0, 32 },
        { RECEIVE, 0, 60 } } },
    { "bytes: unbounded in number",
      0,
      0,
      100,
      { { SEND, 99, 0 },
        { SEND, 2, -EAGAIN },
        { SEND, 1, 0 },
        { RECEIVE, 0, 99 },
        { SEND, 2, 0 },
        { RECEIVE, 0, 1 },
        { RECEIVE, 0, 2 } } },
    { "bytes: unbounded, rejected",
      0,
      TR_OVERFLOW_REJECT,
      100,
      { { SEND, 99, 0 }, { SEND, 2, -ENOBUFS }, { REJECTED, 0, 1 } } },
    { "bytes: unbounded, the oldest goes",
      0,
      TR_OVERFLOW_DROP_OLDEST,
      100,
      { { SEND, 99, 0 }, { SEND, 2, 0 }, { LAST_DROP, 0, 99 }, { DESTROY, 0, 0 }, { DROPS, 0, 2 } } },
    { 0 },
};

START_TEST(edges)
{
    channel_scripts_play(scripts);
}
END_TEST

/* ---- the process's hook --------------------------------------------------------------------------------------- */

static struct tr_dead_letter seen;
static int64_t seen_number;

static void note_letter(const struct tr_dead_letter *letter)
{
    seen = *letter;
    memcpy(&seen_number, letter->message, sizeof seen_number);
}

START_TEST(channels_without_a_hook_use_the_process_one)
{
    struct number_sender sender;
    struct number_receiver receiver;
    struct tr_channel_options options = { .overflow = TR_OVERFLOW_DROP_NEWEST };
    tr_dead_letter_hook(note_letter);
    expect_int(tr_channel_create(&sender, &receiver, 1, &options), 0);
    expect_int(tr_channel_try_send(sender, &(int64_t){ 1 }), 0);
    expect_int(tr_channel_try_send(sender, &(int64_t){ 2 }), 0);
    expect(strcmp(seen.name, "channel") == 0 && seen.reason == TR_DEAD_DROPPED_NEWEST);
    expect_int(seen_number, 2);
    tr_channel_receiver_destroy(receiver);
    expect_int(seen_number, 1);
    expect_int(seen.reason, TR_DEAD_UNDELIVERED);
    tr_dead_letter_hook(NULL);
    expect_int(tr_channel_try_send(sender, &(int64_t){ 3 }), -EPIPE);
    tr_channel_sender_close(sender);
    expect_int(seen_number, 1);
}
END_TEST

/* ---- waiting for bytes ---------------------------------------------------------------------------------------- */

static uint64_t weigh(const void *message)
{
    return (uint64_t) * (const int64_t *)message;
}

struct sender {
    struct number_sender to;
    int64_t number;
};

static int send_number(void *argument)
{
    struct sender *sender = argument;
    return tr_channel_send(sender->to, TR_FOREVER, &sender->number);
}

static struct tr_task start(struct number_sender to, int64_t number)
{
    struct sender sender = { to, number };
    struct tr_task task;
    expect_int(tr_task_spawn(&task, send_number, &sender, &(struct tr_task_options){ .argument_bytes = sizeof sender }),
               0);
    test_settle();
    return task;
}

TASK_TEST_ON(1, who_waits_for_many_bytes_is_not_overtaken_by_few)
{
    struct number_sender sender;
    struct number_receiver receiver;
    int64_t number;
    expect_int(tr_channel_create_unbounded(&sender, &receiver,
                                           &(struct tr_channel_options){ .byte_limit = 100, .weigh = weigh }),
               0);
    expect_int(tr_channel_try_send(sender, &(int64_t){ 50 }), 0);
    expect_int(tr_channel_try_send(sender, &(int64_t){ 30 }), 0);
    struct tr_task big = start(sender, 70), small = start(sender, 10);
    expect_int(tr_channel_length(sender), 2);
    expect_int(tr_channel_try_receive(receiver, &number), 0);
    test_settle();
    expect_int(tr_channel_length(sender), 2); /* 30, 70 */
    expect_int(tr_channel_try_receive(receiver, &number), 0);
    test_settle();
    expect_int(tr_channel_length(sender), 2); /* 70, 10 */
    expect_int(test_join(big), 0);
    expect_int(test_join(small), 0);
    expect_int(tr_channel_send(sender, TR_FOREVER, &(int64_t){ 101 }), -EINVAL);
    struct tr_case wrong[] = { tr_case_send(sender, &(int64_t){ 101 }) };
    expect_int(tr_select(wrong, 1, TR_FOREVER, TR_SELECT_FAIR), 0);
    expect_int(wrong[0].result, -EINVAL);
    tr_channel_sender_close(sender);
    tr_channel_receiver_destroy(receiver);
}

static uint64_t weigh_too_much(const void *message)
{
    (void)message;
    return UINT64_C(1) << 63;
}

START_TEST(weights_do_not_overflow)
{
    struct number_sender sender;
    struct number_receiver receiver;
    expect_int(tr_channel_create(&sender, &receiver, 8,
                                 &(struct tr_channel_options){ .byte_limit = UINT64_MAX, .weigh = weigh_too_much }),
               0);
    expect_int(tr_channel_try_send(sender, &(int64_t){ 1 }), 0);
    expect_int(tr_channel_try_send(sender, &(int64_t){ 2 }), -EAGAIN);
    tr_channel_sender_close(sender);
    tr_channel_receiver_destroy(receiver);
}
END_TEST

static unsigned weighings;

static uint64_t count_weighing(const void *message)
{
    (void)message;
    return ++weighings;
}

/* The function that weighs may look at the whole of a message: it is shown none that is shorter. */
START_TEST(a_message_of_another_type_is_not_weighed)
{
    static const struct tr_type type = { "m", 64, 8 }, other = { "n", 8, 8 };
    struct tr_channel_sender sender;
    struct tr_channel_receiver receiver;
    int64_t number = 1;
    expect_int(tr_channel_create_raw(&sender, &receiver, &type, 8,
                                     &(struct tr_channel_options){ .byte_limit = 100, .weigh = count_weighing }),
               0);
    weighings = 0;
    expect_int(tr_channel_try_send_raw(sender, &other, &number), -EINVAL);
    expect_int(tr_channel_send_raw(sender, &other, &number, TR_NOW), -EINVAL);
    struct tr_case cases[] = { tr_case_send_raw(sender, &other, &number) };
    expect_int(tr_select(cases, 1, TR_NOW, TR_SELECT_FAIR), -EINVAL);
    expect_int(weighings, 0);
    tr_channel_sender_close_raw(sender);
    tr_channel_receiver_destroy_raw(receiver);
}
END_TEST

/* The array of a select can be used again: what counts is the message that is there then. */
START_TEST(select_used_again_weighs_the_message_that_is_there)
{
    struct number_sender sender;
    struct number_receiver receiver;
    struct tr_channel_info info;
    int64_t number = 1;
    expect_int(tr_channel_create(&sender, &receiver, 8,
                                 &(struct tr_channel_options){ .byte_limit = 100, .weigh = weigh }),
               0);
    struct tr_case cases[] = { tr_case_send(sender, &number) };
    static const struct {
        int64_t number;
        int which, result;
        uint64_t bytes;
    } rows[] = {
        { 1, 0, 0, 1 }, { 101, 0, -EINVAL, 1 }, { 60, 0, 0, 61 }, { 40, -ETIMEDOUT, 0, 61 }, { 39, 0, 0, 100 },
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        number = rows[i].number;
        expect_int(tr_select(cases, 1, tr_after(TR_MILLISECOND), TR_SELECT_FAIR), rows[i].which);
        if (rows[i].which == 0)
            expect_int(cases[0].result, rows[i].result);
        tr_channel_info(sender, &info);
        expect_int(info.bytes, rows[i].bytes);
    }
    tr_channel_sender_close(sender);
    tr_channel_receiver_destroy(receiver);
}
END_TEST

/* A flood into a channel of two that drops: all are received or dropped, once, in order. */
static int64_t flood_dropped, flood_last;

static void note_drop(void *message)
{
    flood_dropped++;
    expect(*(int64_t *)message >= flood_last);
    flood_last = *(int64_t *)message;
}

START_TEST(dropping_the_oldest_keeps_the_order)
{
    struct number_sender sender;
    struct number_receiver receiver;
    int64_t number, received = 0, last = -1;
    expect_int(tr_channel_create(&sender, &receiver, 2,
                                 &(struct tr_channel_options){ .overflow = TR_OVERFLOW_DROP_OLDEST,
                                                               .drop = note_drop }),
               0);
    for (int64_t i = 0; i < 10000; i++) {
        expect_int(tr_channel_try_send(sender, &i), 0);
        if (i % 7 == 0) {
            expect_int(tr_channel_try_receive(receiver, &number), 0);
            expect(number > last);
            last = number;
            received++;
        }
    }
    tr_channel_sender_close(sender);
    tr_channel_receiver_destroy(receiver);
    expect_int(received + flood_dropped, 10000);
}
END_TEST

int main(void)
{
    return test_main("channel_policy",
                     TESTS(edges, channels_without_a_hook_use_the_process_one,
                           who_waits_for_many_bytes_is_not_overtaken_by_few, a_message_of_another_type_is_not_weighed,
                           select_used_again_weighs_the_message_that_is_there, weights_do_not_overflow,
                           dropping_the_oldest_keeps_the_order));
}
