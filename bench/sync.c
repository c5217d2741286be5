/* SPDX-License-Identifier: MIT */
/*
 * sync.c: mutex, semaphore and notify without contention: what the fast path costs one task that is never made to wait.
 * Each call that could wait has a deadline.
 */
#include "bench.h"

static int lock_and_unlock(uint64_t pairs)
{
    static struct tr_mutex mutex = TR_MUTEX_INIT;
    static uint64_t guarded;
    for (uint64_t i = 0; i < pairs; i++) {
        CHECK(tr_mutex_lock(&mutex, tr_after(TR_SECOND)));
        guarded++;
        CHECK(tr_mutex_unlock(&mutex));
    }
    return 0;
}

static int acquire_and_release(uint64_t pairs)
{
    static struct tr_semaphore semaphore = TR_SEMAPHORE_INIT(1);
    for (uint64_t i = 0; i < pairs; i++) {
        CHECK(tr_semaphore_acquire(&semaphore, 1, tr_after(TR_SECOND)));
        CHECK(tr_semaphore_release(&semaphore, 1));
    }
    return 0;
}

/* The notification is stored, then taken. */
static int notify_and_wait(uint64_t pairs)
{
    static struct tr_notify notify = TR_NOTIFY_INIT;
    for (uint64_t i = 0; i < pairs; i++) {
        tr_notify_one(&notify);
        CHECK(tr_notify_wait(&notify, tr_after(TR_SECOND)));
    }
    return 0;
}

static int measure_pairs(int (*round)(uint64_t pairs))
{
    uint64_t pairs = bench_scaled(10000000, 1000);
    round(bench_warm_up(pairs));
    struct bench_mark started = bench_start();
    round(pairs);
    bench_stop(started, pairs);
    return 0;
}

static int measure_mutex(void *argument)
{
    (void)argument;
    return measure_pairs(lock_and_unlock);
}

static int measure_semaphore(void *argument)
{
    (void)argument;
    return measure_pairs(acquire_and_release);
}

static int measure_notify(void *argument)
{
    (void)argument;
    return measure_pairs(notify_and_wait);
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        { .name = "mutex", .measure = measure_mutex },
        { .name = "semaphore", .measure = measure_semaphore },
        { .name = "notify", .measure = measure_notify },
    };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
