/* SPDX-License-Identifier: MIT */
/*
 * blocking.h: the pool of threads for work that blocks: jobs, their queue, the threads.
 *
 *                 admit              a thread            its end
 *   (no room) ----------> QUEUED ------------> RUNNING -------------+--> TAKEN by who waits for it ---> free
 *     in line                |                   |                  +--> DONE: nobody waits yet; who joins it takes it
 *                            | cancel,           | detach,          +--> dropped, if it is detached
 *                            | deadline,         | deadline of its
 *                            | shutdown          | caller: detached
 *                            v                   v
 *                          free                RUNNING
 *
 * All of it moves under one lock of the pool, held for a few instructions: a job costs a switch of threads anyway. What is
 * lock-free is who waits (mailbox/wait.h): the queue's room and the end of a job are things with lines of waiting cases.
 *
 * A thread without a job is `idle`. Who queues a job takes one off that count and leaves a `call`; then it rings the bell, a
 * futex on which they sleep. Who wakes, also because his time is over, answers a call if there is one. So there are never
 * fewer threads awake or called than queued jobs, unless all there may be are at work:
 *
 *     queued > 0  implies  threads > 0;  and calls + threads at work >= min(queued, threads)
 *
 * Pools and jobs are type-stable memory: a stale handle finds a lock that is valid and a generation that has moved on.
 *
 *   [J1] the lock: all fields of pool and jobs, the argument and result among them, and the count of threads: the end of
 *        the pool has had the lock after the last thread.
 *   [J2] the generation moves under the lock, when the last handle is spent. job->pool := release -> acquire by who holds a
 *        handle: who sees the pool of a later tenant sees that the generation has moved; who sees that of his own has its lock.
 *   [J3] bell + 1, under the lock -> the futex compares: a call between unlock and sleep is not slept through. It passes nothing.
 */
#ifndef TRI_BLOCKING_H
#define TRI_BLOCKING_H

#include "mailbox/wait.h"
#include <troupe/blocking.h>
#include <troupe/runtime.h>

#define TRI_JOB_NAME_BYTES 32

enum tri_job_state {
    TRI_JOB_FREE,
    TRI_JOB_QUEUED,
    TRI_JOB_RUNNING,
    TRI_JOB_DONE,    /* its result waits for a joiner */
    TRI_JOB_TAKEN,   /* it has one, or is being dropped */
    TRI_JOB_REFUSED, /* never started: the caller that owns it frees it, or who took it out of the queue */
};

struct tri_jobs {
    struct tri_record *first, *last;
};

struct tri_record {
    TRI_ATOMIC(uint64_t) generation;
    TRI_ATOMIC(struct tri_blocking *) pool;
    struct tri_record *next, *before; /* in the list of its state; free */
    struct tri_line joiner;           /* one case at most */
    enum tri_job_state state;
    bool detached; /* nobody joins it */
    bool
        owned; /* its caller waits, is the one who frees it unless it is detached, and may be on its way into or out of the wait */
    int outcome;
    int (*run)(void *argument, void *result);
    void (*drop)(void *argument, void *result);
    size_t argument_bytes, result_bytes;
    char *block; /* argument, then result */
    tr_time since;
    char name[TRI_JOB_NAME_BYTES];
};

struct tri_blocking {
    struct tri_lock lock;
    TRI_ATOMIC(uint32_t) bell;
    uint32_t thread_limit, capacity;
    uint32_t threads, idle, calls;
    uint32_t queued, running, waiting;
    int64_t idle_ns;
    bool closing;
    struct tri_jobs queue, run, done;
    struct tri_line room;         /* of those who wait to queue a job */
    struct tri_blocking *next;    /* free */
    void (*ended)(void *context); /* called under the lock when it is over, after closing */
    void *context;
    /* Called under the lock: a job has been queued; none is left, and those who waited are woken. Or NULL. */
    void (*busy)(void *context, bool now);
    bool is_busy; /* what was said last */
};

/* A pool without threads yet; `ended` and `busy` as in the struct. NULL: no memory. */
struct tri_blocking *tri_blocking_create(const struct tr_options *options, void (*ended)(void *context),
                                         void (*busy)(void *context, bool now), void *context);
/* False: an option is out of range. */
bool tri_blocking_check(const struct tr_options *options);
/* Nothing starts any more; what has not is dropped. May be called again. */
void tri_blocking_close(struct tri_blocking *pool);
/* After closing: true if no thread is left, and no caller with a result to take. */
bool tri_blocking_is_over(struct tri_blocking *pool);
/* After that. */
void tri_blocking_destroy(struct tri_blocking *pool);
/* Names the jobs that run, in the log. */
void tri_blocking_report(struct tri_blocking *pool);
/* Jobs that live, in the whole process. */
uint64_t tri_blocking_jobs(void);

/* Between blocking.c and job.c. */

extern const struct tri_kind tri_room_kind; /* object: pool, value: record. Queues it */
extern const struct tri_kind tri_join_kind; /* object: pool, value: record, amount: generation. Then it is TAKEN */
/* The caller who owns it gives up: QUEUED: it will never start, and is its own; DONE: likewise, with the result; RUNNING: it is detached.
 * FREE: it has never been in the queue, and handles of it are spent. */
enum tri_job_state tri_blocking_withdraw(struct tri_blocking *pool, struct tri_record *record);
/* As tr_job_cancel and tr_job_detach. */
int tri_blocking_cancel(struct tri_blocking *pool, struct tri_record *record, uint64_t generation);
int tri_blocking_detach(struct tri_blocking *pool, struct tri_record *record, uint64_t generation);
void *tri_record_result(struct tri_record *record);
void tri_record_free(struct tri_record *record);
/* Gives argument and, if it ran, result to `drop`, and frees the record. */
void tri_record_drop(struct tri_record *record, bool ran);
/* As tr_blocking_info. */
void tri_blocking_look(struct tri_blocking *pool, struct tr_blocking_info *out);

/* The body of a thread: blocking.c's side. Returns when the thread is to end. */
void tri_blocking_serve(struct tri_blocking *pool);

/* The other side, in blocking_thread.c. */

/* Drops the scopes that a job has left open on this thread: they lay in its frame. Defined by scope.c. */
void tri_foreign_scope_drop(void);
/* Starts a thread that calls tri_blocking_serve. Called under the lock. Returns 0 or -ENOMEM. */
int tri_blocking_thread(struct tri_blocking *pool);
/* Sleeps unless the bell has been rung since it was `seen`, for `nanoseconds` at most. False: the time was over. */
bool tri_blocking_sleep(struct tri_blocking *pool, uint32_t seen, int64_t nanoseconds);
/* Wakes `count` sleepers, once the bell has been moved. */
void tri_blocking_wake(struct tri_blocking *pool, uint32_t count);
/* The pool of `runtime`, or of the calling task's if NULL. Returns 0, -EINVAL, -ECANCELED (shut down, and the caller is no task of it). */
int tri_blocking_of(struct tr_runtime *runtime, struct tri_blocking **out);

#endif
