/* SPDX-License-Identifier: MIT */
/*
 * workload.h: many client actors that read and write through one manager, and check every value they read.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include "histogram.h"
#include "redis.h"
#include <stdatomic.h>

struct plan {
    unsigned clients, keys; /* keys: of each client */
    uint64_t requests;      /* of all clients together; 0: no limit */
    int64_t duration_ns;    /* 0: no limit */
    size_t value_bytes;     /* at least 8 */
    double read_ratio;      /* the part of the requests that are GETs */
    int64_t deadline_ns;    /* of each request */
    bool tolerate_errors;   /* connection errors are counted, and the run goes on */
};

/* What can become of a request, beside a good answer. */
enum trouble {
    TROUBLE_NOT_SENT,
    TROUBLE_UNKNOWN,
    TROUBLE_TIMED_OUT,
    TROUBLE_REFUSED,
    TROUBLE_OTHER,
    TROUBLE_WRONG, /* a value that cannot be: another key's, damaged, stale, or missing */
    TROUBLE_KINDS,
};

struct tally {
    uint64_t done;    /* answered */
    uint64_t retries; /* of requests that were not sent */
    uint64_t troubles[TROUBLE_KINDS];
    struct histogram latency; /* in ticks */
    double tick_ns;           /* what one is worth */
};

struct workload;

/* Starts the clients. Thread: task. Suspends: no. Returns 0, -ENOMEM, -EINVAL. */
int workload_start(struct workload **out, struct redis *redis, const struct plan *plan);

/* Asks the clients to end early. Thread: any. */
void workload_stop(struct workload *load);

/* The same, and cancels those that are in the middle of a request. Thread: the task that started them. */
void workload_cancel(struct workload *load);

/* Waits for all clients. Thread: task. Suspends: yes. Returns 0, or -ECANCELED, -ETIMEDOUT, -ENOMEM: call it again. */
int workload_join(struct workload *load, tr_time deadline);

/* Answered so far, and troubles; cheap and a little late. Thread: any. */
void workload_glance(const struct workload *load, uint64_t *done, uint64_t *troubles);

/* After the join: sums up and frees. */
void workload_finish(struct workload *load, struct tally *out);

#endif
