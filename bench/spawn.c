/* SPDX-License-Identifier: MIT */
/*
 * spawn.c: spawn_join, a task that does nothing is spawned and joined, one after the other.
 */
#include "bench.h"

static int trivial(void *argument)
{
    return (int)(uintptr_t)argument;
}

static void spawn_and_join(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct tr_task task;
        int result, expected = (int)(i & 0xffff);
        CHECK(tr_task_spawn(&task, trivial, (void *)(uintptr_t)expected, NULL));
        CHECK(tr_task_join(task, &result, tr_after(TR_SECOND)));
        CHECK(result != expected);
    }
}

static int measure(void *argument)
{
    (void)argument;
    uint64_t count = bench_scaled(1000000, 1000);
    spawn_and_join(bench_warm_up(count));
    struct bench_mark started = bench_start();
    spawn_and_join(count);
    bench_stop(started, count);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = { { .name = "spawn_join", .measure = measure } };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
