/* SPDX-License-Identifier: MIT */
/*
 * broadcast.c: one sender, N receivers of a broadcast that keeps 1024 values; the cost of one value at one receiver. The
 * sender publishes a burst and then waits until every receiver has had all of it, so that nobody lags. A burst of 1 wakes
 * all of them for each value; bursts of 512 show what reading costs.
 */
#include "bench.h"

#define MOST_RECEIVERS 1000

TR_BROADCAST_TYPE(feed, uint64_t);
TR_BROADCAST_RECEIVER_TYPE(feed_receiver, uint64_t);

/* One worker only: the count is a plain number. */
struct audience {
    struct feed feed;
    uint32_t receivers;
    uint64_t burst, values; /* in one burst; that each receiver takes before it ends */
    uint32_t behind;        /* receivers that have not yet had the burst */
    struct tr_notify none_behind;
};

struct member {
    struct audience *audience;
    struct feed_receiver receiver;
    struct tr_task task;
};

static int receive(void *argument)
{
    struct member *member = argument;
    struct audience *audience = member->audience;
    for (uint64_t expected = 0; expected < audience->values; expected++) {
        uint64_t value;
        CHECK(tr_broadcast_receive(&member->receiver, &value, TR_FOREVER));
        CHECK(value != expected);
        if (value % audience->burst == audience->burst - 1 && --audience->behind == 0)
            tr_notify_one(&audience->none_behind);
    }
    tr_broadcast_unsubscribe(&member->receiver);
    return 0;
}

/* Sends values [from, to). */
static void send_bursts(struct audience *audience, uint64_t from, uint64_t to)
{
    for (uint64_t value = from; value < to; value++) {
        if (value % audience->burst == 0)
            audience->behind = audience->receivers;
        CHECK(tr_broadcast_send(audience->feed, &value) - (int)audience->receivers);
        if (value % audience->burst == audience->burst - 1)
            CHECK(tr_notify_wait(&audience->none_behind, TR_FOREVER));
    }
}

/* The case's parameter: receivers << 16 | burst. */
#define CASE(receivers, burst) ((receivers) << 16 | (burst))

static int measure(void *argument)
{
    const struct bench_case *bench = argument;
    static struct member members[MOST_RECEIVERS];
    struct audience audience = { .receivers = bench->parameter >> 16, .burst = bench->parameter & 0xffff };
    uint64_t bursts = bench_scaled(5000000, 1000) / audience.receivers / audience.burst;
    uint64_t warm = (bench_warm_up(bursts) + 1) * audience.burst;
    audience.values = warm + (bursts + 1) * audience.burst;
    CHECK(tr_broadcast_create(&audience.feed, 1024, NULL));
    for (uint32_t i = 0; i < audience.receivers; i++) {
        members[i].audience = &audience;
        CHECK(tr_broadcast_subscribe(audience.feed, &members[i].receiver));
        CHECK(tr_task_spawn(&members[i].task, receive, &members[i], NULL));
    }
    /* All are to be asleep in their first receive. */
    CHECK(tr_yield());
    send_bursts(&audience, 0, warm);
    struct bench_mark started = bench_start();
    send_bursts(&audience, warm, audience.values);
    bench_stop(started, (audience.values - warm) * audience.receivers);
    for (uint32_t i = 0; i < audience.receivers; i++)
        CHECK(tr_task_join(members[i].task, NULL, TR_FOREVER));
    tr_broadcast_close(audience.feed);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        { .name = "broadcast_16", .measure = measure, .parameter = CASE(16, 1) },
        { .name = "broadcast_1000", .measure = measure, .parameter = CASE(1000, 1) },
        { .name = "broadcast_16_burst", .measure = measure, .parameter = CASE(16, 512) },
        { .name = "broadcast_1000_burst", .measure = measure, .parameter = CASE(1000, 512) },
    };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
