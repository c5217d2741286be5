/* SPDX-License-Identifier: MIT */
/*
 * idle.c: resident memory of what waits.
 *   idle_actor_bytes      a million handler actors, each of which has received and answered one message
 *   suspended_task_bytes  a million tasks suspended on a stack of their own, here in tr_sleep
 * The handles belong to the caller and are touched before the first reading.
 */
#include "bench.h"

#include <string.h>

struct add;
TR_ADDRESS_TYPE(adder_address, struct add);
TR_REPLY_TYPE(sum_reply, uint64_t);
struct add {
    uint64_t value;
    struct sum_reply reply;
};

static void *touched(size_t bytes)
{
    void *block = malloc(bytes);
    CHECK(block == NULL);
    return memset(block, 1, bytes);
}

static void print_growth(double resident, double tables, uint64_t count)
{
    char detail[64];
    double more_tables = (bench_page_table_bytes() - tables) / (double)count;
    snprintf(detail, sizeof detail, "page_tables=%.1f", more_tables);
    bench_print((bench_resident_bytes() - resident) / (double)count, "bytes", detail);
}

static int on_add(void *state, void *message)
{
    (void)state;
    struct add *add = message;
    uint64_t sum = add->value + 1;
    tr_reply(add->reply, &sum);
    return 0;
}

static int measure_actors(void *argument)
{
    (void)argument;
    uint64_t count = bench_count(bench_scaled(1000000, 1000));
    struct adder_address *adders = touched(count * sizeof *adders);
    struct tr_actor_options mailbox = { .capacity = 32 };
    double resident = bench_resident_bytes(), tables = bench_page_table_bytes();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t sum;
        CHECK(tr_spawn_handler(&adders[i], on_add, NULL, &mailbox));
        CHECK(tr_call(adders[i], &sum, tr_after(TR_SECOND), &(struct add){ .value = i }));
        CHECK(sum != i + 1);
    }
    print_growth(resident, tables, count);
    for (uint64_t i = 0; i < count; i++)
        CHECK(tr_actor_stop(adders[i]));
    free(adders);
    return 0;
}

static int sleep_long(void *argument)
{
    (void)argument;
    return tr_sleep(3600 * TR_SECOND);
}

static int measure_tasks(void *argument)
{
    (void)argument;
    uint64_t count = bench_count(bench_scaled(1000000, 1000));
    struct tr_task *tasks = touched(count * sizeof *tasks);
    double resident = bench_resident_bytes(), tables = bench_page_table_bytes();
    for (uint64_t i = 0; i < count; i++) {
        CHECK(tr_task_spawn(&tasks[i], sleep_long, NULL, NULL));
        if (i % 64 == 63)
            CHECK(tr_yield());
    }
    CHECK(tr_sleep(100 * TR_MILLISECOND));
    print_growth(resident, tables, count);
    for (uint64_t i = 0; i < count; i++) {
        int result;
        CHECK(tr_task_cancel(tasks[i]));
        CHECK(tr_task_join(tasks[i], &result, TR_FOREVER));
    }
    free(tasks);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        { .name = "idle_actor_bytes", .measure = measure_actors },
        { .name = "suspended_task_bytes", .measure = measure_tasks },
    };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
