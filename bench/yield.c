/* SPDX-License-Identifier: MIT */
/*
 * yield.c: tasks that only yield: `yield` with 64 of them, each handing over to the next; yield_1 with a single one,
 * which comes straight back.
 */
#include "bench.h"

#define MOST_TASKS 64

static int yield_often(void *argument)
{
    for (uint64_t left = *(uint64_t *)argument; left > 0; left--)
        CHECK(tr_yield());
    return 0;
}

static void yield_all(uint32_t count, uint64_t yields)
{
    struct tr_task tasks[MOST_TASKS];
    uint64_t each = yields / count;
    for (uint32_t i = 0; i < count; i++)
        CHECK(tr_task_spawn(&tasks[i], yield_often, &each, NULL));
    for (uint32_t i = 0; i < count; i++)
        CHECK(tr_task_join(tasks[i], NULL, TR_FOREVER));
}

static int measure(void *argument)
{
    const struct bench_case *bench = argument;
    uint32_t count = bench->parameter;
    uint64_t yields = bench_scaled(10000000, MOST_TASKS * 10) / count * count;
    yield_all(count, bench_warm_up(yields) / count * count);
    struct bench_mark started = bench_start();
    yield_all(count, yields);
    bench_stop(started, yields);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        { .name = "yield", .measure = measure, .parameter = MOST_TASKS },
        { .name = "yield_1", .measure = measure, .parameter = 1 },
    };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
