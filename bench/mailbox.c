/* SPDX-License-Identifier: MIT */
/*
 * mailbox.c: P producers send messages of 8 bytes to one loop actor whose mailbox holds 32. The receiver takes them one
 * at a time; a producer waits whenever the mailbox is full. Both sides have a deadline on each operation.
 */
#include "bench.h"

#define MOST_PRODUCERS 8

TR_ADDRESS_TYPE(sink_address, uint64_t);

struct producer {
    struct sink_address sink;
    uint64_t messages;
};

static int consume(void *argument)
{
    uint64_t left = *(uint64_t *)argument, message;
    while (left > 0) {
        CHECK(tr_receive(&message, tr_after(TR_SECOND)));
        left -= message;
    }
    return 0;
}

static int produce(void *argument)
{
    struct producer *producer = argument;
    for (uint64_t i = 0; i < producer->messages; i++)
        CHECK(tr_send(producer->sink, tr_after(TR_SECOND), &(uint64_t){ 1 }));
    return 0;
}

static void send_all(uint32_t producers, uint64_t messages)
{
    struct producer producer = { .messages = messages / producers };
    struct tr_task consumer, tasks[MOST_PRODUCERS];
    struct tr_actor_options mailbox = { .capacity = 32, .task = &consumer };
    CHECK(tr_spawn(&producer.sink, consume, &messages, &mailbox));
    for (uint32_t i = 0; i < producers; i++)
        CHECK(tr_task_spawn(&tasks[i], produce, &producer, NULL));
    for (uint32_t i = 0; i < producers; i++)
        CHECK(tr_task_join(tasks[i], NULL, TR_FOREVER));
    CHECK(tr_task_join(consumer, NULL, TR_FOREVER));
}

static int measure(void *argument)
{
    const struct bench_case *bench = argument;
    uint32_t producers = bench->parameter;
    uint64_t messages = bench_scaled(5000000, 1000) / producers * producers;
    send_all(producers, bench_warm_up(messages) / producers * producers);
    struct bench_mark started = bench_start();
    send_all(producers, messages);
    bench_stop(started, messages);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        { .name = "mailbox_1_32", .measure = measure, .parameter = 1 },
        { .name = "mailbox_8_32", .measure = measure, .parameter = 8 },
    };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
