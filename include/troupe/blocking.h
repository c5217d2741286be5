/* SPDX-License-Identifier: MIT */
/*
 * blocking.h: work that blocks a thread: foreign libraries, files, long computations.
 *
 * A task that does it itself keeps its worker for so long. Others take over the tasks that are ready there, but not the I/O
 * and the timers that are under way; so it must never wait for what depends on those.
 *
 *     static int read_config(void *argument, void *result)      // on a thread of the pool
 *     {
 *         struct path *path = argument;
 *         return load(path->name, result) < 0 ? errno : 0;
 *     }
 *
 *     struct config config;
 *     rc = tr_blocking(read_config, &(struct path){ "/etc/app" }, &config, tr_after(TR_SECOND));
 *
 * Each runtime has a pool of threads of its own, made when they are needed (tr_options: blocking_threads, blocking_queue,
 * blocking_idle_ns). Jobs start in the order in which they were queued. The queue is bounded: when it is full, callers wait
 * for room, in their order and with their deadlines.
 *
 * A job cannot be stopped once it has started, so it never works on its caller's memory: the argument is copied in, the
 * result lies with the job and is copied out when it is taken. A caller whose deadline passes goes on. A job that has not
 * started by then never will; one that has runs to its end, and its argument and result are given to `drop`.
 *
 * A job runs on a thread that is no worker: it may use what foreign threads may (send, call, ...), which blocks it.
 *
 * At the end of the runtime, jobs that were not started are dropped (a caller of tr_blocking is told, and keeps the argument).
 * tr_stop waits for those that run, and at its deadline names them in the log and returns -ETIMEDOUT; no task waits for them
 * longer than its own deadline or cancellation.
 */
#ifndef TROUPE_BLOCKING_H
#define TROUPE_BLOCKING_H

#include <troupe/task.h>

TRI_BEGIN_DECLS

#define TR_JOB_LIMIT (INT64_C(1) << 30) /* bytes of an argument or a result */

/* What is to be done. Argument and result are aligned as by malloc; the result is zeroed first. */
struct tr_work {
    /* Returns 0 or an error of its own; its absolute value is what the caller gets. */
    int (*run)(void *argument, void *result);
    const void *argument;
    size_t argument_bytes, result_bytes;
    const char *name; /* copied, up to 31 bytes of it; for the report of a shutdown. Default: "job" */
    /*
     * Called once, on any thread, for a job whose result nobody takes: to close and free what is in it. result is NULL if the
     * job was never started. Not called where a caller was told that the job had not started and never will (by tr_blocking,
     * by an error of tr_job_start, or as the one who cancels it): the argument is still its own; nor after a join, which takes
     * the result, also one that does not want it (tr_job_join with NULL).
     */
    void (*drop)(void *argument, void *result);
    struct tr_runtime *runtime; /* whose pool; default: the runtime of the calling task */
};

/* Names one job. All zero names none. */
struct tr_job {
    void *tri_record;
    uint64_t tri_generation;
};

/*
 * Runs work on a thread of the pool and waits for its end. *started (NULL: not wanted) tells, also of an error, whether it was
 * started: if so, argument and result have been or will be given to `drop`.
 * Thread: any (a foreign thread must name the runtime, and blocks). Suspends: yes.
 * Returns what `run` returned, as 0 or a positive number, and *result; or -ETIMEDOUT, -ECANCELED (cancelled, or the runtime
 * is shutting down), -ENOMEM (no memory, or the pool has no thread and none can be made), -EINVAL, -ESRCH (shut down before it
 * was started).
 */
TR_PUBLIC int tr_blocking_raw(const struct tr_work *work, void *result, bool *started, tr_time deadline);

/*
 * The same in parts: puts the work into the queue, for which it waits while that is full. The job must be joined, cancelled or
 * detached later; with out == NULL it is detached. On an error it was not queued.
 * Thread: any, as above. Suspends: yes. Returns 0, -ETIMEDOUT, -ECANCELED, -ENOMEM, -EINVAL.
 */
TR_PUBLIC int tr_job_start(struct tr_job *out, const struct tr_work *work, tr_time deadline);

/*
 * Waits for the end of the job and takes its result. On success the handle is spent. NULL: the result is not wanted, and is
 * freed as it is, as is the argument: `drop` is not called, so whatever they own is lost. To have it dropped, detach the job.
 * Thread: any. Suspends: yes.
 * Returns what `run` returned, as 0 or a positive number, or -ETIMEDOUT, -ECANCELED (the calling task: both leave the job as it
 * is, to be joined again), -ESRCH (the handle is spent; or the job was cancelled, or shut down, before it was started: its
 * argument is with whoever cancelled it, or has been or will be given to `drop`), -EINVAL (somebody else is joining it), -ENOMEM.
 */
TR_PUBLIC int tr_job_join(struct tr_job job, void *result, tr_time deadline);

/*
 * Takes the job out of the queue, if it has not started. Returns 0: it never will, and the handle is spent (who joins it gets
 * -ESRCH); 1: it has started, or ended, and is to be joined or detached as before; -ESRCH. Thread: any. Suspends: no.
 */
TR_PUBLIC int tr_job_cancel(struct tr_job job);

/* Lets the job go on by itself; its result goes to `drop`. Returns 0, -ESRCH, -EINVAL (being joined). Thread: any. Suspends: no. */
TR_PUBLIC int tr_job_detach(struct tr_job job);

/* What the pool of `runtime` (NULL: of the calling task's) does now. Returns 0 or -EINVAL. Thread: any. Suspends: no. */
struct tr_blocking_info {
    uint32_t threads, idle;   /* threads there are, and those without a job */
    uint32_t queued, running; /* jobs */
    uint32_t waiting;         /* callers that wait for room in the queue */
};
TR_PUBLIC int tr_blocking_info(struct tr_runtime *runtime, struct tr_blocking_info *out);

TRI_END_DECLS

#ifndef __cplusplus

/* tr_blocking(run, &argument, &result, deadline): see tr_blocking_raw. Both are structs, or whatever is meant, not void. */
#define tr_blocking(run_, argument_, result_, deadline_)                                                               \
    __extension__({                                                                                                    \
        __auto_type tri_g = (argument_);                                                                               \
        __auto_type tri_o = (result_);                                                                                 \
        tr_blocking_raw(&(const struct tr_work){ .run = (run_),                                                        \
                                                 .argument = tri_g,                                                    \
                                                 .argument_bytes = sizeof *tri_g,                                      \
                                                 .result_bytes = sizeof *tri_o },                                      \
                        tri_o, NULL, (deadline_));                                                                     \
    })

#endif
#endif
