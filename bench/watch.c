/* SPDX-License-Identifier: MIT */
/*
 * watch.c: one sender, N receivers of a watch; the cost of one change seen by one receiver. Each change is seen by all
 * before the next is made.
 */
#include "bench.h"

#define MOST_RECEIVERS 16

TR_WATCH_TYPE(setting, uint64_t);
TR_WATCH_RECEIVER_TYPE(setting_receiver, uint64_t);

/* One worker only: the count is a plain number. */
struct audience {
    struct setting setting;
    uint64_t changes; /* that each receiver sees before it ends */
    uint32_t behind;  /* receivers that have not yet seen the last one */
    struct tr_notify none_behind;
};

struct observer {
    struct audience *audience;
    struct setting_receiver receiver;
    struct tr_task task;
};

static int observe(void *argument)
{
    struct observer *observer = argument;
    struct audience *audience = observer->audience;
    for (uint64_t expected = 1; expected <= audience->changes; expected++) {
        uint64_t value;
        CHECK(tr_watch_next(&observer->receiver, &value, TR_FOREVER));
        CHECK(value != expected);
        if (--audience->behind == 0)
            tr_notify_one(&audience->none_behind);
    }
    tr_watch_unsubscribe(&observer->receiver);
    return 0;
}

/* Makes changes (from, to]. */
static void change(struct audience *audience, uint32_t receivers, uint64_t from, uint64_t to)
{
    for (uint64_t value = from + 1; value <= to; value++) {
        audience->behind = receivers;
        CHECK(tr_watch_send(audience->setting, &value));
        CHECK(tr_notify_wait(&audience->none_behind, TR_FOREVER));
    }
}

static int measure(void *argument)
{
    const struct bench_case *bench = argument;
    uint32_t receivers = bench->parameter;
    struct observer observers[MOST_RECEIVERS];
    struct audience audience = { .changes = 0 };
    uint64_t changes = bench_scaled(5000000, 1000) / receivers, warm = bench_warm_up(changes) + 1;
    audience.changes = warm + changes;
    CHECK(tr_watch_create(&audience.setting, NULL, &(uint64_t){ 0 }));
    for (uint32_t i = 0; i < receivers; i++) {
        observers[i].audience = &audience;
        CHECK(tr_watch_subscribe(audience.setting, &observers[i].receiver));
        CHECK(tr_task_spawn(&observers[i].task, observe, &observers[i], NULL));
    }
    /* All are to be asleep in their first wait. */
    CHECK(tr_yield());
    change(&audience, receivers, 0, warm);
    struct bench_mark started = bench_start();
    change(&audience, receivers, warm, warm + changes);
    bench_stop(started, changes * receivers);
    for (uint32_t i = 0; i < receivers; i++)
        CHECK(tr_task_join(observers[i].task, NULL, TR_FOREVER));
    tr_watch_close(audience.setting);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        { .name = "watch_16", .measure = measure, .parameter = 16 },
    };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
