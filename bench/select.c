/* SPDX-License-Identifier: MIT */
/*
 * select.c: waiting for one of several channels. select_2: of two that always have a message; the one that was taken from
 * is filled again. select_64: of 64, to one of which at random another task sends, which then waits until that message
 * has been taken.
 */
#include "bench.h"

#define MANY 64

TR_CHANNEL_TYPE(number, uint64_t);

struct lines {
    struct number_sender senders[MANY];
    struct number_receiver receivers[MANY];
    struct tr_notify taken;
    uint64_t turns;
};

static void open_lines(struct lines *lines, uint32_t count)
{
    *lines = (struct lines){ .taken = TR_NOTIFY_INIT };
    for (uint32_t i = 0; i < count; i++)
        CHECK(tr_channel_create(&lines->senders[i], &lines->receivers[i], 32, NULL));
}

static void close_lines(struct lines *lines, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        tr_channel_sender_close(lines->senders[i]);
        tr_channel_receiver_destroy(lines->receivers[i]);
    }
}

static void take_from_two(struct lines *lines, uint64_t turns)
{
    uint64_t message = 0, sum = 0;
    struct tr_case cases[] = {
        tr_case_receive(lines->receivers[0], &message),
        tr_case_receive(lines->receivers[1], &message),
    };
    for (uint64_t i = 0; i < turns; i++) {
        int taken = tr_select(cases, 2, tr_after(TR_SECOND), TR_SELECT_FAIR);
        CHECK(taken < 0);
        CHECK(cases[taken].result);
        CHECK(tr_channel_try_send(lines->senders[taken], &(uint64_t){ 1 }));
        sum += message;
    }
    CHECK(sum != turns);
}

static int measure_two(void *argument)
{
    (void)argument;
    uint64_t turns = bench_scaled(5000000, 1000);
    static struct lines lines;
    open_lines(&lines, 2);
    CHECK(tr_channel_try_send(lines.senders[0], &(uint64_t){ 1 }));
    CHECK(tr_channel_try_send(lines.senders[1], &(uint64_t){ 1 }));
    take_from_two(&lines, bench_warm_up(turns));
    struct bench_mark started = bench_start();
    take_from_two(&lines, turns);
    bench_stop(started, turns);
    close_lines(&lines, 2);
    return 0;
}

/* Sends to a channel at random, then waits until that message has been taken. */
static int feed(void *argument)
{
    struct lines *lines = argument;
    uint64_t random = 1;
    for (uint64_t i = 0; i < lines->turns; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        CHECK(tr_channel_try_send(lines->senders[(random >> 33) % MANY], &random));
        CHECK(tr_notify_wait(&lines->taken, tr_after(TR_SECOND)));
    }
    return 0;
}

static void take_from_many(struct lines *lines, uint64_t turns)
{
    uint64_t message;
    struct tr_case cases[MANY];
    struct tr_task feeder;
    lines->turns = turns;
    for (uint32_t i = 0; i < MANY; i++)
        cases[i] = tr_case_receive(lines->receivers[i], &message);
    CHECK(tr_task_spawn(&feeder, feed, lines, NULL));
    for (uint64_t i = 0; i < turns; i++) {
        int taken = tr_select(cases, MANY, tr_after(TR_SECOND), TR_SELECT_FAIR);
        CHECK(taken < 0);
        CHECK(cases[taken].result);
        tr_notify_one(&lines->taken);
    }
    CHECK(tr_task_join(feeder, NULL, TR_FOREVER));
}

static int measure_many(void *argument)
{
    (void)argument;
    uint64_t turns = bench_scaled(500000, 1000);
    static struct lines lines;
    open_lines(&lines, MANY);
    take_from_many(&lines, bench_warm_up(turns));
    struct bench_mark started = bench_start();
    take_from_many(&lines, turns);
    bench_stop(started, turns);
    close_lines(&lines, MANY);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        { .name = "select_2", .measure = measure_two },
        { .name = "select_64", .measure = measure_many },
    };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
