/* SPDX-License-Identifier: MIT */
/*
 * sync.c: the semaphore without contention: what taking a permit and giving it back costs one task that is never made
 * to wait. Each acquire has a deadline.
 */
#include "bench.h"

static int acquire_and_release(uint64_t pairs)
{
    static struct tr_semaphore semaphore = TR_SEMAPHORE_INIT(1);
    for (uint64_t i = 0; i < pairs; i++) {
        CHECK(tr_semaphore_acquire(&semaphore, 1, tr_after(TR_SECOND)));
        CHECK(tr_semaphore_release(&semaphore, 1));
    }
    return 0;
}

static int measure_semaphore(void *argument)
{
    (void)argument;
    uint64_t pairs = bench_scaled(10000000, 1000);
    acquire_and_release(bench_warm_up(pairs));
    struct bench_mark started = bench_start();
    acquire_and_release(pairs);
    bench_stop(started, pairs);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        { .name = "semaphore", .measure = measure_semaphore },
    };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
