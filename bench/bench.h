/* SPDX-License-Identifier: MIT */
/*
 * bench.h: what the benchmark programs share.
 *
 * A program is a table of cases and a main that calls bench_main. Each case runs as the first task of a new runtime,
 * warms its primitive up and then measures between bench_start and bench_stop, which prints one line:
 *
 *     NAME VALUE UNIT [key=value ...]
 *
 * A name with the suffix _2w means the same case on two workers. bench/compare reads these lines. Programs use the
 * public headers alone. Nothing is retried and nothing may fail: CHECK ends the program.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <troupe.h>

struct bench_case {
    const char *name; /* without _2w */
    int (*measure)(void *bench_case);
    uint32_t parameter; /* the case's own: clients, producers, ... */
    uint32_t workers;   /* non-zero: always that many */
    bool outside;       /* measure runs on the main thread, outside any runtime */
};

/* Parses NAME [--workers N] [--runs N] [--scale F] [--count N], runs the case and returns the exit status. */
int bench_main(int argc, char **argv, const struct bench_case *cases, size_t count);

/* The workers asked for, and a number of operations times --scale (at least `least`). */
unsigned bench_workers(void);
uint64_t bench_scaled(uint64_t operations, uint64_t least);
/* How many of them warm the caches: a tenth; with several workers as many again, as what is stolen when is up to chance. */
uint64_t bench_warm_up(uint64_t operations);
/* --count N, or the default. */
uint64_t bench_count(uint64_t otherwise);

/* One measurement: time, CPU time and allocations of the process between start and stop, printed per operation. */
struct bench_mark {
    int64_t wall_ns, cpu_ns;
    uint64_t allocations;
};
struct bench_mark bench_start(void);
void bench_stop(struct bench_mark started, uint64_t operations);
/* The same where most of the time is spent waiting: the figure is the CPU time. */
void bench_stop_cpu(struct bench_mark started, uint64_t operations);

/* Any other figure. `detail` ("" for none) is appended as it is. */
void bench_print(double value, const char *unit, const char *detail);

/* Calls of malloc, calloc, realloc, aligned_alloc, posix_memalign and mmap by anything in this process so far. */
uint64_t bench_allocations(void);

/* Resident memory of this process, and its page tables. */
double bench_resident_bytes(void);
double bench_page_table_bytes(void);

/* Sorts; the value below which `percent` of 100 samples lie. */
double bench_percentile(double *samples, size_t count, double percent);

/* A loop that takes 20 microseconds when nothing disturbs it. */
void bench_work_calibrate(void);
void bench_work(void);

/* Ends the program with status 77: this machine does not allow the measurement. */
_Noreturn void bench_skip(const char *why);
_Noreturn void bench_fail(const char *file, int line, const char *what, long long value);

/* The expression must be 0. */
#define CHECK(expression)                                                                                              \
    do {                                                                                                               \
        long long bench_rc = (expression);                                                                             \
        if (bench_rc != 0)                                                                                             \
            bench_fail(__FILE__, __LINE__, #expression, bench_rc);                                                     \
    } while (0)

#endif
