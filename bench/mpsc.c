/* SPDX-License-Identifier: MIT */
/*
 * mpsc.c: P producers send messages of 8 bytes through a channel to one task, which takes them one at a time. With
 * mpsc_full there are five producers and too little room for them, so that most sends have to wait. Both sides have a
 * deadline on each operation.
 */
#include "bench.h"

#define MOST_PRODUCERS 8

TR_CHANNEL_TYPE(number, uint64_t);

struct line {
    struct number_sender sender;
    struct number_receiver receiver;
    uint64_t messages; /* of each producer; of the consumer, all */
};

static int consume(void *argument)
{
    struct line *line = argument;
    uint64_t left = line->messages, message;
    while (left > 0) {
        CHECK(tr_channel_receive(line->receiver, &message, tr_after(TR_SECOND)));
        left -= message;
    }
    return 0;
}

static int produce(void *argument)
{
    struct line *line = argument;
    for (uint64_t i = 0; i < line->messages; i++)
        CHECK(tr_channel_send(line->sender, tr_after(TR_SECOND), &(uint64_t){ 1 }));
    return 0;
}

static void send_all(struct line line, uint32_t producers, uint64_t messages)
{
    struct line consumer_line = line, producer_line = line;
    struct tr_task consumer, tasks[MOST_PRODUCERS];
    consumer_line.messages = messages;
    producer_line.messages = messages / producers;
    CHECK(tr_task_spawn(&consumer, consume, &consumer_line, NULL));
    for (uint32_t i = 0; i < producers; i++)
        CHECK(tr_task_spawn(&tasks[i], produce, &producer_line, NULL));
    for (uint32_t i = 0; i < producers; i++)
        CHECK(tr_task_join(tasks[i], NULL, TR_FOREVER));
    CHECK(tr_task_join(consumer, NULL, TR_FOREVER));
}

/* The case's parameter: producers << 16 | capacity. */
#define CASE(producers, capacity) ((producers) << 16 | (capacity))

static int measure(void *argument)
{
    const struct bench_case *bench = argument;
    uint32_t producers = bench->parameter >> 16, capacity = bench->parameter & 0xffff;
    uint64_t messages = bench_scaled(5000000, 1000) / producers * producers;
    struct line line;
    CHECK(tr_channel_create(&line.sender, &line.receiver, capacity, NULL));
    send_all(line, producers, bench_warm_up(messages) / producers * producers);
    struct bench_mark started = bench_start();
    send_all(line, producers, messages);
    bench_stop(started, messages);
    tr_channel_sender_close(line.sender);
    tr_channel_receiver_destroy(line.receiver);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        { .name = "mpsc_1_32", .measure = measure, .parameter = CASE(1, 32) },
        { .name = "mpsc_1_1024", .measure = measure, .parameter = CASE(1, 1024) },
        { .name = "mpsc_8_32", .measure = measure, .parameter = CASE(8, 32) },
        { .name = "mpsc_8_1024", .measure = measure, .parameter = CASE(8, 1024) },
        { .name = "mpsc_full_1", .measure = measure, .parameter = CASE(5, 1) },
        { .name = "mpsc_full_100", .measure = measure, .parameter = CASE(5, 100) },
    };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
