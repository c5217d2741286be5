/* SPDX-License-Identifier: MIT */
/*
 * fake_cold.h: in the place of actor/outcome.c, for models whose tasks have no cold part. To be included once by a model of
 * actor/task.c.
 */
#ifndef FAKE_COLD_H
#define FAKE_COLD_H

#include "fake_worker.h"

int tri_cold_inherit(struct tri_cold *cold)
{
    model_assert(!cold);
    return 0;
}

void tri_cold_end_owned(struct tri_cold *cold)
{
    model_assert(!cold);
}

void tri_cold_end(struct tri_cold *cold)
{
    model_assert(!cold);
}

void tri_cold_free(struct tri_worker *worker, struct tri_cold *cold)
{
    (void)worker;
    model_assert(!cold);
}

void tri_outcome_fill(struct tr_outcome *out, int result, const struct tri_reason *reason)
{
    (void)out, (void)result, (void)reason;
}

void tri_outcome_report(struct tri_task *task, int result, const struct tri_reason *reason)
{
    (void)task, (void)result, (void)reason;
}

#endif
