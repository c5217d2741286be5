/* SPDX-License-Identifier: MIT */
/*
 * bench.c: arguments, the clock, memory figures and the printed line of every benchmark program (see bench.h).
 */
#include "bench.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    char name[64];
    unsigned workers;
    uint64_t runs, count;
    double scale;
} options = { .workers = 1, .runs = 1, .scale = 1.0 };

static uint64_t work_turns;

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

unsigned bench_workers(void)
{
    return options.workers;
}

uint64_t bench_scaled(uint64_t operations, uint64_t least)
{
    uint64_t scaled = (uint64_t)((double)operations * options.scale);
    return scaled < least ? least : scaled;
}

uint64_t bench_warm_up(uint64_t operations)
{
    return options.workers > 1 ? operations : operations / 10;
}

uint64_t bench_count(uint64_t otherwise)
{
    return options.count ? options.count : otherwise;
}

struct bench_mark bench_start(void)
{
    return (struct bench_mark){
        .allocations = bench_allocations(),
        .cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID),
        .wall_ns = clock_ns(CLOCK_MONOTONIC),
    };
}

struct bench_cost {
    double wall, cpu;
    uint64_t allocations;
};

static struct bench_cost cost_since(struct bench_mark started, uint64_t operations)
{
    return (struct bench_cost){
        .wall = (double)(clock_ns(CLOCK_MONOTONIC) - started.wall_ns) / (double)operations,
        .cpu = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - started.cpu_ns) / (double)operations,
        .allocations = bench_allocations() - started.allocations,
    };
}

void bench_stop(struct bench_mark started, uint64_t operations)
{
    struct bench_cost cost = cost_since(started, operations);
    char detail[96];
    snprintf(detail, sizeof detail, "cpu=%.3f allocations=%llu", cost.cpu, (unsigned long long)cost.allocations);
    bench_print(cost.wall, "ns", detail);
}

void bench_stop_cpu(struct bench_mark started, uint64_t operations)
{
    struct bench_cost cost = cost_since(started, operations);
    char detail[96];
    snprintf(detail, sizeof detail, "wall=%.3f allocations=%llu", cost.wall, (unsigned long long)cost.allocations);
    bench_print(cost.cpu, "ns", detail);
}

void bench_print(double value, const char *unit, const char *detail)
{
    printf("%s %.3f %s%s%s\n", options.name, value, unit, *detail ? " " : "", detail);
    fflush(stdout);
}

static double status_bytes(const char *field)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    double kib = 0;
    while (status && fgets(line, sizeof line, status)) {
        if (strncmp(line, field, strlen(field)) == 0)
            kib = strtod(line + strlen(field), NULL);
    }
    if (status)
        fclose(status);
    return kib * 1024;
}

double bench_resident_bytes(void)
{
    return status_bytes("VmRSS:");
}

double bench_page_table_bytes(void)
{
    return status_bytes("VmPTE:");
}

static int compare_samples(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double bench_percentile(double *samples, size_t count, double percent)
{
    qsort(samples, count, sizeof *samples, compare_samples);
    size_t index = (size_t)((double)count * percent / 100);
    return samples[index < count ? index : count - 1];
}

static __attribute__((noinline)) void work(uint64_t turns)
{
    uint64_t x = turns | 1;
    for (uint64_t i = 0; i < turns; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        __asm__ volatile("" : "+r"(x));
    }
}

void bench_work_calibrate(void)
{
    const uint64_t turns = 10000;
    int64_t best = INT64_MAX;
    for (int i = 0; i < 50; i++) {
        int64_t started = clock_ns(CLOCK_MONOTONIC);
        work(turns);
        int64_t spent = clock_ns(CLOCK_MONOTONIC) - started;
        best = spent < best ? spent : best;
    }
    work_turns = (uint64_t)(20000.0 * (double)turns / (double)best);
}

void bench_work(void)
{
    work(work_turns);
}

void bench_skip(const char *why)
{
    fprintf(stderr, "%s: SKIPPED: %s\n", options.name, why);
    _exit(77);
}

void bench_fail(const char *file, int line, const char *what, long long value)
{
    fprintf(stderr, "%s:%d: %s: %s gave %lld\n", file, line, options.name, what, value);
    _exit(1);
}

static int usage(const struct bench_case *cases, size_t count)
{
    fprintf(stderr, "usage: NAME[_2w] [--workers N] [--runs N] [--scale F] [--count N]\nnames:");
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, " %s", cases[i].name);
    fprintf(stderr, "\n");
    return 2;
}

static bool parse_option(const char *flag, const char *value)
{
    if (strcmp(flag, "--workers") == 0)
        options.workers = (unsigned)strtoul(value, NULL, 10);
    else if (strcmp(flag, "--runs") == 0)
        options.runs = strtoull(value, NULL, 10);
    else if (strcmp(flag, "--scale") == 0)
        options.scale = strtod(value, NULL);
    else if (strcmp(flag, "--count") == 0)
        options.count = strtoull(value, NULL, 10);
    else
        return false;
    return true;
}

static const struct bench_case *find_case(const struct bench_case *cases, size_t count, const char *name, bool *two)
{
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(cases[i].name);
        *two = strcmp(name + (strlen(name) > length ? length : 0), "_2w") == 0;
        if (strncmp(name, cases[i].name, length) == 0 && (name[length] == '\0' || *two))
            return &cases[i];
    }
    return NULL;
}

static int run_case(const struct bench_case *found)
{
    if (found->outside)
        return found->measure((void *)(uintptr_t)found);
    /* The shutdown may take its time: a million suspended tasks are to be woken and ended. */
    struct tr_options runtime = { .workers = options.workers, .shutdown_ns = 300 * TR_SECOND };
    return tr_run(&runtime, found->measure, (void *)(uintptr_t)found);
}

int bench_main(int argc, char **argv, const struct bench_case *cases, size_t count)
{
    bool two = false;
    const struct bench_case *found = argc > 1 ? find_case(cases, count, argv[1], &two) : NULL;
    if (!found)
        return usage(cases, count);
    snprintf(options.name, sizeof options.name, "%s", argv[1]);
    options.workers = found->workers ? found->workers : two ? 2 : 1;
    for (int i = 2; i < argc; i += 2) {
        if (i + 1 == argc || !parse_option(argv[i], argv[i + 1]))
            return usage(cases, count);
    }
    tr_log_set(NULL, NULL, TR_LOG_WARNING);
    for (uint64_t run = 0; run < options.runs; run++)
        CHECK(run_case(found));
    return 0;
}
