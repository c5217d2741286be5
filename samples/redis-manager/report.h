/* SPDX-License-Identifier: MIT */
/*
 * report.h: what the program shows: a line that lives while it runs, and a table at the end.
 */
#ifndef REPORT_H
#define REPORT_H

#include "workload.h"

struct progress {
    const struct workload *load;
    const struct redis *redis;
    tr_time start;
    struct tr_task task;
    bool running;
};

/* Shows the line on standard error, if that is a terminal, until progress_stop. Thread: task. */
void progress_start(struct progress *progress);
void progress_stop(struct progress *progress);

struct summary {
    const struct plan *plan;
    unsigned connections;
    double seconds, cpu_seconds; /* of the run; CPU time of the whole process */
    struct tally tally;
    struct redis_stats stats;
};

/* Prints the table. Returns true if all went well. */
bool report_summary(const struct summary *summary);

#endif
