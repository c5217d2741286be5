/* SPDX-License-Identifier: MIT */
/*
 * fake_cold.h: in the place of actor/outcome.c, for models whose tasks have no cold part, or only a name in it. To be
 * included once by a model of actor/task.c, after the task.h or fake_worker.h that it uses.
 */
#ifndef FAKE_COLD_H
#define FAKE_COLD_H

#include "actor/spawn.h"

int tri_cold_start(struct tri_task *task, uint64_t generation, struct tri_cold *cold, const struct tri_spawn *spawn)
{
    (void)task, (void)generation, (void)cold;
    model_assert(!spawn->token && !spawn->member);
    return 0;
}

bool tri_member_end(struct tri_member *member, struct tri_cold *cold, int result)
{
    (void)member, (void)cold, (void)result;
    model_assert(false);
    return false;
}

void tri_member_leave(struct tri_member *member)
{
    model_assert(!member);
}

int tri_group_spawn_owned(struct tri_spawn *spawn)
{
    model_assert(!spawn);
    return 0;
}

int tri_cold_inherit(struct tri_cold *cold)
{
    model_assert(!cold->owned && !cold->locals && !cold->link);
    return 0;
}

void tri_cold_end_owned(struct tri_cold *cold)
{
    model_assert(!cold->owned && !cold->locals && !cold->link);
}

void tri_cold_end(struct tri_cold *cold)
{
    model_assert(!cold->owned && !cold->locals && !cold->link);
}

void tri_cold_free(struct tri_worker *worker, struct tri_cold *cold)
{
    tri_pool_give(&tri_cold_pool, tri_cold_cache(worker), cold);
}

void tri_outcome_fill(struct tr_outcome *out, int result, const struct tri_reason *reason)
{
    (void)reason;
    out->kind = result < 0 ? TR_FAILED : TR_RETURNED;
    out->code = result;
}

void tri_outcome_report(struct tri_task *task, int result, const struct tri_reason *reason)
{
    (void)task, (void)result, (void)reason;
}

#endif
