/* SPDX-License-Identifier: MIT */
/*
 * ring.c: 1,000 actors in a ring pass one token on; the cost of one hop.
 *
 * The token counts the hops left. At zero its holder tells the starter, a loop actor as well, which holds the watch.
 */
#include "bench.h"

#define MEMBERS 1000

TR_ADDRESS_TYPE(member_address, uint64_t);

static struct member_address ring[MEMBERS], starter;

static void pass(size_t self, uint64_t token)
{
    struct member_address next = token == 0 ? starter : ring[(self + 1) % MEMBERS];
    CHECK(tr_send(next, tr_after(TR_SECOND), &(uint64_t){ token - 1 }));
}

static int on_token(void *state, void *message)
{
    pass((size_t)(uintptr_t)state, *(uint64_t *)message);
    return 0;
}

static int token_loop(void *argument)
{
    uint64_t token;
    while (tr_receive(&token, TR_FOREVER) == 0)
        pass((size_t)(uintptr_t)argument, token);
    return 0;
}

static void go_round(uint64_t hops)
{
    uint64_t token;
    CHECK(tr_send(ring[0], TR_FOREVER, &hops));
    CHECK(tr_receive(&token, TR_FOREVER));
}

static int start_ring(void *argument)
{
    (void)argument;
    CHECK(tr_self(&starter));
    uint64_t hops = bench_scaled(2000000, 10 * MEMBERS);
    /* Twice: only the second start finds the starter with its own mailbox in use, as the measured one does. */
    go_round(bench_warm_up(hops) / 2 + MEMBERS);
    go_round(bench_warm_up(hops) / 2 + MEMBERS);
    struct bench_mark started = bench_start();
    go_round(hops);
    bench_stop(started, hops);
    return 0;
}

static int measure(void *argument)
{
    const struct bench_case *bench = argument;
    bool loops = bench->parameter != 0;
    struct tr_actor_options mailbox = { .capacity = 32 };
    for (size_t i = 0; i < MEMBERS; i++) {
        void *self = (void *)(uintptr_t)i;
        CHECK(loops ? tr_spawn(&ring[i], token_loop, self, &mailbox)
                    : tr_spawn_handler(&ring[i], on_token, self, &mailbox));
    }
    struct tr_task task;
    struct tr_actor_options options = { .capacity = 32, .task = &task };
    struct member_address address;
    CHECK(tr_spawn(&address, start_ring, NULL, &options));
    CHECK(tr_task_join(task, NULL, TR_FOREVER));
    for (size_t i = 0; i < MEMBERS; i++)
        CHECK(tr_actor_stop(ring[i]));
    return 0;
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        { .name = "ring_handlers", .measure = measure, .parameter = 0 },
        { .name = "ring_loops", .measure = measure, .parameter = 1 },
    };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
