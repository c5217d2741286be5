/* SPDX-License-Identifier: MIT */
/*
 * deadline.c: arming a deadline around a suspending call and taking it away again. deadline_arm: two tasks wake one
 * another, and each wait has a deadline of a second. deadline_yield: 64 tasks yield, each time inside a deadline scope.
 */
#include "bench.h"

#define TASKS 64

struct partner {
    struct tr_notify *ours, *theirs;
    uint64_t waits;
};

static int wake_one_another(void *argument)
{
    struct partner *partner = argument;
    for (uint64_t i = 0; i < partner->waits; i++) {
        tr_notify_one(partner->theirs);
        CHECK(tr_notify_wait(partner->ours, tr_after(TR_SECOND)));
    }
    tr_notify_one(partner->theirs);
    return 0;
}

static void wait_in_turns(uint64_t waits)
{
    struct tr_notify left = TR_NOTIFY_INIT, right = TR_NOTIFY_INIT;
    struct partner here = { &right, &left, waits / 2 }, there = { &left, &right, waits / 2 };
    struct tr_task other;
    CHECK(tr_task_spawn(&other, wake_one_another, &there, NULL));
    wake_one_another(&here);
    CHECK(tr_task_join(other, NULL, TR_FOREVER));
}

static int measure_arm(void *argument)
{
    (void)argument;
    uint64_t waits = bench_scaled(2000000, 1000) / 2 * 2;
    wait_in_turns(bench_warm_up(waits));
    struct bench_mark started = bench_start();
    wait_in_turns(waits);
    bench_stop(started, waits);
    return 0;
}

static int yield_in_scopes(void *argument)
{
    uint64_t yields = *(uint64_t *)argument;
    for (uint64_t i = 0; i < yields; i++) {
        struct tr_scope scope;
        tr_scope_open(&scope, tr_after(TR_SECOND));
        CHECK(tr_yield());
        CHECK(tr_scope_close(&scope));
    }
    return 0;
}

static void yield_in_tasks(uint64_t each)
{
    struct tr_task tasks[TASKS];
    for (int i = 0; i < TASKS; i++)
        CHECK(tr_task_spawn(&tasks[i], yield_in_scopes, &each, NULL));
    for (int i = 0; i < TASKS; i++)
        CHECK(tr_task_join(tasks[i], NULL, TR_FOREVER));
}

static int measure_yield(void *argument)
{
    (void)argument;
    uint64_t each = bench_scaled(2000000, 64000) / TASKS;
    yield_in_tasks(bench_warm_up(each));
    struct bench_mark started = bench_start();
    yield_in_tasks(each);
    bench_stop(started, each * TASKS);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        { .name = "deadline_arm", .measure = measure_arm },
        { .name = "deadline_yield", .measure = measure_yield },
    };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
