/* SPDX-License-Identifier: MIT */
/*
 * steal.c: steal_speedup, how many times faster two workers are than one with 1,000 actors of 20 microseconds of work.
 *
 * A round starts every actor with one message and ends when all have told the starter. The two runtimes take turns, so
 * that whatever else the machine does meets both; the figure compares the medians of their rounds.
 */
#include "bench.h"

#define ACTORS 1000
#define ROUNDS 20
#define TURNS 5

TR_ADDRESS_TYPE(worker_address, struct worker_address *);

static struct worker_address actors[ACTORS];
static double rounds[2][ROUNDS * TURNS];
static uint64_t measured[2];

/* The message says whom to tell. */
static int on_start(void *state, void *message)
{
    (void)state;
    bench_work();
    struct worker_address *starter = *(struct worker_address **)message;
    CHECK(tr_send(*starter, TR_FOREVER, &starter));
    return 0;
}

static int start_rounds(void *argument)
{
    size_t workers = *(size_t *)argument;
    struct worker_address self, *message = &self;
    CHECK(tr_self(&self));
    for (int round = 0; round < ROUNDS; round++) {
        tr_time started = tr_clock();
        for (size_t i = 0; i < ACTORS; i++)
            CHECK(tr_send(actors[i], TR_FOREVER, &message));
        for (size_t i = 0; i < ACTORS; i++)
            CHECK(tr_receive(&message, TR_FOREVER));
        rounds[workers - 1][measured[workers - 1]++] = (double)(tr_clock() - started);
    }
    return 0;
}

static int run_actors(void *argument)
{
    for (size_t i = 0; i < ACTORS; i++)
        CHECK(tr_spawn_handler(&actors[i], on_start, NULL, &(struct tr_actor_options){ .capacity = 1 }));
    struct tr_task task;
    struct worker_address starter;
    struct tr_actor_options options = { .capacity = ACTORS, .task = &task };
    CHECK(tr_spawn(&starter, start_rounds, argument, &options));
    CHECK(tr_task_join(task, NULL, TR_FOREVER));
    for (size_t i = 0; i < ACTORS; i++)
        CHECK(tr_actor_stop(actors[i]));
    return 0;
}

static int measure(void *argument)
{
    (void)argument;
    measured[0] = measured[1] = 0;
    bench_work_calibrate();
    for (int turn = 0; turn < TURNS; turn++) {
        for (size_t workers = 1; workers <= 2; workers++)
            CHECK(tr_run(&(struct tr_options){ .workers = (unsigned)workers }, run_actors, &workers));
    }
    double one = bench_percentile(rounds[0], measured[0], 50), two = bench_percentile(rounds[1], measured[1], 50);
    char detail[128];
    snprintf(detail, sizeof detail, "best=%.3f one_ms=%.2f two_ms=%.2f", rounds[0][0] / rounds[1][0], one / 1e6,
             two / 1e6);
    bench_print(one / two, "times", detail);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        { .name = "steal_speedup", .measure = measure, .workers = 2, .outside = true },
    };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
