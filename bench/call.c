/* SPDX-License-Identifier: MIT */
/*
 * call.c: a request of 8 bytes and its answer, between clients and one actor, each call with a deadline.
 *   call_handler  one client, handler actor      call_64  64 clients, handler actor
 *   call_loop     one client, loop actor
 */
#include "bench.h"

#define MOST_CLIENTS 64
#define LOOP_ACTOR 0 /* the parameter; otherwise the number of clients of a handler actor */

struct add;
TR_ADDRESS_TYPE(adder_address, struct add);
TR_REPLY_TYPE(sum_reply, uint64_t);
struct add {
    uint64_t value;
    struct sum_reply reply;
};

struct client {
    struct adder_address adder;
    uint64_t calls;
};

static int on_add(void *state, void *message)
{
    (void)state;
    struct add *add = message;
    uint64_t sum = add->value + 1;
    tr_reply(add->reply, &sum);
    return 0;
}

static int adder_loop(void *argument)
{
    (void)argument;
    struct add add;
    while (tr_receive(&add, TR_FOREVER) == 0) {
        uint64_t sum = add.value + 1;
        tr_reply(add.reply, &sum);
    }
    return 0;
}

static int call_often(void *argument)
{
    struct client *client = argument;
    for (uint64_t i = 0; i < client->calls; i++) {
        uint64_t sum;
        CHECK(tr_call(client->adder, &sum, tr_after(TR_SECOND), &(struct add){ .value = i }));
        CHECK(sum != i + 1);
    }
    return 0;
}

static void call_all(struct adder_address adder, uint32_t clients, uint64_t calls)
{
    struct client client = { .adder = adder, .calls = calls / clients };
    struct tr_task tasks[MOST_CLIENTS];
    for (uint32_t i = 0; i < clients; i++)
        CHECK(tr_task_spawn(&tasks[i], call_often, &client, NULL));
    for (uint32_t i = 0; i < clients; i++)
        CHECK(tr_task_join(tasks[i], NULL, TR_FOREVER));
}

static int measure(void *argument)
{
    const struct bench_case *bench = argument;
    struct tr_actor_options mailbox = { .capacity = 32 };
    struct adder_address adder;
    if (bench->parameter == LOOP_ACTOR)
        CHECK(tr_spawn(&adder, adder_loop, NULL, &mailbox));
    else
        CHECK(tr_spawn_handler(&adder, on_add, NULL, &mailbox));

    uint32_t clients = bench->parameter == LOOP_ACTOR ? 1 : bench->parameter;
    uint64_t calls = bench_scaled(2000000, MOST_CLIENTS) / clients * clients;
    call_all(adder, clients, bench_warm_up(calls) + clients);
    struct bench_mark started = bench_start();
    call_all(adder, clients, calls);
    bench_stop(started, calls);
    return tr_actor_stop(adder);
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        { .name = "call_handler", .measure = measure, .parameter = 1 },
        { .name = "call_loop", .measure = measure, .parameter = LOOP_ACTOR },
        { .name = "call_64", .measure = measure, .parameter = 64 },
    };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
