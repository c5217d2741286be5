/* SPDX-License-Identifier: MIT */
/*
 * fake_jobs.h: in the place of actor/blocking.c, for models whose runtimes have no work for threads that may block. To be
 * included once.
 */
#ifndef FAKE_JOBS_H
#define FAKE_JOBS_H

#include "actor/blocking.h"

bool tri_blocking_check(const struct tr_options *options)
{
    (void)options;
    return true;
}

struct tri_blocking *tri_blocking_create(const struct tr_options *options, void (*ended)(void *context),
                                         void (*busy)(void *context, bool now), void *context)
{
    static struct tri_blocking pool;
    (void)options, (void)ended, (void)busy, (void)context;
    return &pool;
}

void tri_blocking_close(struct tri_blocking *pool)
{
    (void)pool;
}

bool tri_blocking_is_over(struct tri_blocking *pool)
{
    (void)pool;
    return true;
}

void tri_blocking_destroy(struct tri_blocking *pool)
{
    (void)pool;
}

#endif
