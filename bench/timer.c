/* SPDX-License-Identifier: MIT */
/*
 * timer.c: a million timers, each of which sends a message to one actor; what they cost until they have fired, and what
 * memory each takes that has yet to fire. They are due one after the other, each microsecond one, beginning a second from
 * now: creating them has ended by then. The Tokio peer has a task that sleeps for each.
 */
#include "bench.h"

TR_ADDRESS_TYPE(clock_address, uint64_t);

static int count_down(void *left, void *message)
{
    *(uint64_t *)left -= *(uint64_t *)message;
    return *(uint64_t *)left == 0 ? TR_END : 0;
}

static void create(struct clock_address target, uint64_t count, int64_t lead)
{
    tr_time begin = tr_clock() + lead;
    for (uint64_t i = 0; i < count; i++) {
        tr_time due = begin + (int64_t)i * TR_MICROSECOND;
        CHECK(tr_send_at(NULL, target, due, &(uint64_t){ 1 }));
    }
}

static void fire(uint64_t count, int64_t lead)
{
    struct clock_address target;
    struct tr_task ended;
    /* Room for those that fall due while the machine does something else. */
    struct tr_actor_options options = { .capacity = 16384, .task = &ended };
    CHECK(tr_spawn_handler(&target, count_down, &count, &options));
    create(target, count, lead);
    CHECK(tr_task_join(ended, NULL, tr_after(60 * TR_SECOND)));
}

static int measure_cpu(void *argument)
{
    (void)argument;
    uint64_t count = bench_scaled(1000000, 1000);
    /* Warm is memory that has once held all of them: on a busy machine creating them can take more than a second. */
    fire(count, 4 * TR_SECOND);
    struct bench_mark started = bench_start();
    fire(count, TR_SECOND);
    bench_stop_cpu(started, count);
    return 0;
}

static int measure_bytes(void *argument)
{
    (void)argument;
    uint64_t count = bench_scaled(1000000, 1000), left = count;
    struct clock_address target;
    CHECK(tr_spawn_handler(&target, count_down, &left, NULL));
    double before = bench_resident_bytes();
    create(target, count, 3600 * TR_SECOND);
    bench_print((bench_resident_bytes() - before) / (double)count, "bytes", "");
    return 0;
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        { .name = "timer_cpu", .measure = measure_cpu },
        { .name = "timer_bytes", .measure = measure_bytes },
    };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
