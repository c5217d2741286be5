/* SPDX-License-Identifier: MIT */
/*
 * histogram.h: latencies, counted in buckets whose width grows with the value: 32 to each power of two, so that what is
 * read out is at most 3 % above what went in, over the whole range from nanoseconds to minutes.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEP 5 /* 2^5 buckets to a power of two */
#define HISTOGRAM_BUCKETS (41 << HISTOGRAM_STEP)

struct histogram {
    uint64_t most;
    uint32_t buckets[HISTOGRAM_BUCKETS];
};

static inline unsigned histogram_bucket(uint64_t value)
{
    unsigned power = 63 - (unsigned)__builtin_clzll(value | 1);
    unsigned shift = power > HISTOGRAM_STEP ? power - HISTOGRAM_STEP : 0;
    unsigned bucket = (shift << HISTOGRAM_STEP) + (unsigned)(value >> shift);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    if (value > histogram->most)
        histogram->most = value;
    histogram->buckets[histogram_bucket(value)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from);

/* How many values there are. */
uint64_t histogram_count(const struct histogram *histogram);

/* The value that `part` (0 to 1) of all values do not exceed, rounded up to its bucket's end; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *histogram, double part);

#endif
