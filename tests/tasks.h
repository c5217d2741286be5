/* SPDX-License-Identifier: MIT */
/*
 * tasks.h: how the suites of io/ run their bodies, so that the same suite runs without a scheduler and with the real one.
 *
 *   tasks_fake.c  a task is a thread with a reactor of its own; a park polls it. Defines mailbox/waiter.h as well.
 *   tasks_real.c  a task is a task of a runtime.
 *
 * No body may rely on tasks sharing a thread, nor on their not doing so.
 */
#ifndef TEST_TASKS_H
#define TEST_TASKS_H

#include <pthread.h>
#include <troupe/runtime.h>

struct job {
    int (*body)(void *argument);
    void *argument;
    int result;
    struct tr_task task; /* real */
    pthread_t thread;    /* fake */
    struct tri_task *record;
    pthread_barrier_t up;
};

/* Runs body(argument) as a task on a fresh runtime of that backend, and returns its result. */
int tasks_run(enum tr_backend backend, int (*body)(void *argument), void *argument);

/* In a task: starts another, joins it, cancels it. */
void job_start(struct job *job, int (*body)(void *argument), void *argument);
int job_join(struct job *job);
void job_cancel(struct job *job);

#endif
