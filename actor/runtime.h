/* SPDX-License-Identifier: MIT */
/* runtime.h: the table of runtimes, for those who must walk over all of them. */
#ifndef TRI_RUNTIME_H
#define TRI_RUNTIME_H

#include "actor/scheduler.h"

/* This process was forked from one that had a runtime: what it has of it cannot be used. Written by the fork alone. */
extern bool tri_forked;

/* A runtime with its workers, none of which runs yet; and its end. Returns as tr_start. */
int tri_runtime_make(struct tr_runtime **out, const struct tr_options *options);
void tri_runtime_free(struct tr_runtime *runtime);

/*
 * The thread that starts or ends a runtime waits: until tri_runtime_signal, other_fd (-1: none) is readable, or `deadline`.
 * It may come back early.
 */
void tri_runtime_await(struct tr_runtime *runtime, int other_fd, tr_time deadline);
void tri_runtime_signal(struct tr_runtime *runtime);

/* Cancels the main of tr_run, if it has not been: what comes during a shutdown does not disturb its clean-up. Thread: any. */
void tri_runtime_cancel_main(struct tr_runtime *runtime);

/* Asks for a shutdown that is to be over by `at`. */
void tri_runtime_shut_down_at(struct tr_runtime *runtime, tr_time at);

/* Calls visit for every worker of every runtime, with the table locked. */
void tri_runtime_each_worker(void (*visit)(struct tri_worker *worker, void *context), void *context);

/*
 * Calls visit for the runtime at `index`, if it runs and will not take its workers down meanwhile: what visit leaves with a
 * worker is found. False: it was not called. Thread: any; not to be called by a task of that runtime, which needs no leave.
 */
bool tri_runtime_visit(uint32_t index, void (*visit)(struct tr_runtime *runtime, void *context), void *context);

/* Calls visit for every living task of `runtime`; what it sees may change under its eyes. Returns how many. */
uint64_t tri_runtime_each_task(struct tr_runtime *runtime,
                               void (*visit)(struct tri_task *task, uint64_t generation, void *context), void *context);

/* Says in the log which tasks still run, what they wait on and since when. */
void tri_runtime_report(struct tr_runtime *runtime);

/*
 * CPUs allowed by affinity and by the quotas (cpu.max) of the process's cgroup, which the file `membership` names, and of those above
 * it, up to the directory `root`; at least 1.
 */
#define TRI_CGROUP_ROOT "/sys/fs/cgroup"
#define TRI_CGROUP_MEMBERSHIP "/proc/self/cgroup"
unsigned tri_cpu_count(const char *root, const char *membership);

#endif
