/* SPDX-License-Identifier: MIT */
/*
 * jobs.h: jobs for the pool for blocking work that wait at a gate, so that each test decides when one ends: nothing waits on
 * the clock.
 */
#ifndef TEST_JOBS_H
#define TEST_JOBS_H

#include "tests/support.h"

#include <pthread.h>

#define MS TR_MILLISECOND

/* A gate and what the jobs before it do. It outlives the test's body. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool open;
    atomic_int started, ended, dropped, dropped_unstarted, order;
    int64_t seen[64]; /* in the order of the starts */
};

struct request {
    struct gate *gate;
    int64_t value;
    int outcome;
};

struct answer {
    int64_t value;
    char more[2000];
};

static inline struct gate *new_gate(bool open)
{
    struct gate *gate = test_new(sizeof *gate);
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->opened, NULL);
    gate->open = open;
    return gate;
}

static inline void open_gate(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->opened);
    pthread_mutex_unlock(&gate->lock);
}

static inline int pass_gate(void *argument, void *result)
{
    struct request *request = argument;
    struct answer *answer = result;
    struct gate *gate = request->gate;
    int64_t value = request->value;
    gate->seen[atomic_fetch_add(&gate->order, 1)] = value;
    atomic_fetch_add(&gate->started, 1);
    pthread_mutex_lock(&gate->lock);
    while (!gate->open)
        pthread_cond_wait(&gate->opened, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
    expect_int(answer->value, 0);
    expect_int(request->value, value); /* the caller's own copy may have changed */
    answer->value = value * 2;
    memset(answer->more, (int)value, sizeof answer->more);
    atomic_fetch_add(&gate->ended, 1);
    return request->outcome;
}

static inline void note_drop(void *argument, void *result)
{
    struct request *request = argument;
    atomic_fetch_add(result ? &request->gate->dropped : &request->gate->dropped_unstarted, 1);
    if (result)
        expect_int(((struct answer *)result)->value, request->value * 2);
}

static inline struct tr_work work_of(struct request *request)
{
    return (struct tr_work){ .run = pass_gate,
                             .argument = request,
                             .argument_bytes = sizeof *request,
                             .result_bytes = sizeof(struct answer),
                             .name = "gated",
                             .drop = note_drop };
}

static inline struct tr_job start_job(struct gate *gate, int64_t value, tr_time deadline)
{
    struct tr_job job;
    struct tr_work work = work_of(&(struct request){ gate, value, 0 });
    expect_int(tr_job_start(&job, &work, deadline), 0);
    return job;
}

static inline int64_t join_job(struct tr_job job)
{
    struct answer answer;
    expect_int(tr_job_join(job, &answer, TR_FOREVER), 0);
    expect_int(answer.more[1999], (char)(answer.value / 2));
    expect_int(tr_job_join(job, &answer, TR_FOREVER), -ESRCH);
    return answer.value;
}

static inline struct tr_blocking_info info(void)
{
    struct tr_blocking_info now;
    expect_int(tr_blocking_info(NULL, &now), 0);
    return now;
}

static inline void run_with(unsigned threads, unsigned queue, int64_t idle_ns, void (*body)(void))
{
    struct tr_options options = test_options(0);
    options.blocking_threads = threads;
    options.blocking_queue = queue;
    options.blocking_idle_ns = idle_ns;
    test_run_with(&options, body);
}

#define POOL_TEST(name, threads, queue, idle_ns)                                                                       \
    static void name##_body(void);                                                                                     \
    START_TEST(name)                                                                                                   \
    {                                                                                                                  \
        run_with(threads, queue, idle_ns, name##_body);                                                                \
    }                                                                                                                  \
    END_TEST                                                                                                           \
    static void name##_body(void)

static inline int block_until_cancelled(void *argument)
{
    struct answer answer;
    struct tr_work work = work_of(&(struct request){ argument, 3, 0 });
    bool started;
    int rc = tr_blocking_raw(&work, &answer, &started, TR_FOREVER);
    return rc == -ECANCELED ? 100 + started : rc;
}

#endif
