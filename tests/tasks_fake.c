/* SPDX-License-Identifier: MIT */
/*
 * tasks_fake.c: the bodies of a suite as threads over fake_waiter.c.
 */
#include "tasks.h"

#include "fake_waiter.h"

#include <stdlib.h>

static enum tr_backend backend_now;

static void *thread_main(void *argument)
{
    struct job *job = argument;
    fake_begin(backend_now);
    job->record = tri_self();
    pthread_barrier_wait(&job->up);
    job->result = job->body(job->argument);
    fake_end();
    return NULL;
}

void job_start(struct job *job, int (*body)(void *argument), void *argument)
{
    *job = (struct job){ .body = body, .argument = argument };
    pthread_barrier_init(&job->up, NULL, 2);
    if (pthread_create(&job->thread, NULL, thread_main, job) != 0)
        abort();
    pthread_barrier_wait(&job->up);
}

int job_join(struct job *job)
{
    pthread_join(job->thread, NULL);
    pthread_barrier_destroy(&job->up);
    return job->result;
}

void job_cancel(struct job *job)
{
    fake_cancel(job->record, true);
}

int tasks_run(enum tr_backend backend, int (*body)(void *argument), void *argument)
{
    backend_now = backend;
    struct job job;
    job_start(&job, body, argument);
    return job_join(&job);
}
