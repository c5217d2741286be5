/* SPDX-License-Identifier: MIT */
/*
 * histogram.c: adding histograms up and reading them.
 */
#include "histogram.h"

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->most > into->most)
        into->most = from->most;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

/* The largest value that falls into the bucket. */
static uint64_t bucket_end(unsigned bucket)
{
    unsigned group = bucket >> HISTOGRAM_STEP;
    if (group < 2)
        return bucket;
    unsigned shift = group - 1;
    return ((uint64_t)(bucket - (shift << HISTOGRAM_STEP)) + 1) * (UINT64_C(1) << shift) - 1;
}

uint64_t histogram_count(const struct histogram *histogram)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        count += histogram->buckets[i];
    return count;
}

uint64_t histogram_quantile(const struct histogram *histogram, double part)
{
    uint64_t below = 0, count = histogram_count(histogram), wanted = (uint64_t)(part * (double)count);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        below += histogram->buckets[i];
        if (histogram->buckets[i] && (below > wanted || below == count))
            return bucket_end(i) < histogram->most ? bucket_end(i) : histogram->most;
    }
    return 0;
}
