/* SPDX-License-Identifier: MIT */
/*
 * tasks_real.c: the bodies of a suite as tasks of a runtime.
 */
#include "tasks.h"

#include <stdlib.h>
#include <string.h>

static bool flag(const char *name)
{
    const char *value = getenv(name);
    return value && strcmp(value, "1") == 0;
}

void job_start(struct job *job, int (*body)(void *argument), void *argument)
{
    *job = (struct job){ .body = body, .argument = argument };
    if (tr_task_spawn(&job->task, body, argument, NULL) != 0)
        abort();
}

int job_join(struct job *job)
{
    if (tr_task_join(job->task, &job->result, TR_FOREVER) != 0)
        abort();
    return job->result;
}

void job_cancel(struct job *job)
{
    tr_task_cancel(job->task);
}

int tasks_run(enum tr_backend backend, int (*body)(void *argument), void *argument)
{
    const struct tr_options options = {
        .backend = backend,
        .shutdown_ns = 60 * TR_SECOND,
        .migrate_always = flag("TR_TEST_MIGRATE"),
        .no_caches = flag("TR_TEST_NO_CACHES"),
    };
    return tr_run(&options, body, argument);
}
