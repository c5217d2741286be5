/* SPDX-License-Identifier: MIT */
/*
 * outcome.c: how tasks end, and the cold part of the record: what is done for a task that has more than a body.
 *
 * The reason of a failure is written by the task itself, into memory that hangs on its cold part; the join word (or the lock of its
 * group) passes it on with the result. It says the words of one code, and is worth nothing when the task ends with another.
 */
#include "actor/group.h"
#include "actor/local.h"
#include "actor/policy.h"
#include "actor/scheduler.h"
#include "actor/spawn.h"
#include "actor/token.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tri_cold *tri_cold_here(void)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_task *task = worker ? worker->current : NULL;
    struct tri_cold *cold = task ? tri_load(&task->cold, TRI_RELAXED) : NULL;
    if (cold || !task)
        return cold;
    cold = tri_pool_take(&tri_cold_pool, tri_cold_cache(worker));
    if (!cold)
        return NULL;
    memset(cold, 0, sizeof *cold);
    tri_store(&task->cold, cold, TRI_RELEASE); /* a report may look: at a name that is empty */
    return cold;
}

int tri_cold_inherit(struct tri_cold *cold)
{
    int rc = tri_locals_inherit(cold);
    if (rc < 0)
        tri_locals_destroy(cold);
    return rc;
}

void tri_cold_free(struct tri_worker *worker, struct tri_cold *cold)
{
    free(cold->copy);
    if (cold->has_policy)
        tri_pool_give(&tri_node_pool, tri_node_cache(worker), cold->policy);
    if (cold->reason)
        tri_pool_give(&tri_cold_pool, tri_cold_cache(worker), cold->reason);
    tri_pool_give(&tri_cold_pool, tri_cold_cache(worker), cold);
}

int tri_cold_start(struct tri_task *task, uint64_t generation, struct tri_cold *cold, const struct tri_spawn *spawn)
{
    int rc = spawn->token ? tri_link_make(&cold->link, spawn->token, task, generation, false) : 0;
    if (rc == 0 && spawn->member)
        tri_member_start(spawn->member, (struct tr_task){ task, generation }, spawn->member_out);
    return rc;
}

void tri_cold_end_owned(struct tri_cold *cold)
{
    cold->ending = true;
    if (cold->owned)
        tri_groups_end(cold);
}

void tri_cold_end(struct tri_cold *cold)
{
    cold->ending = true;
    if (cold->locals)
        tri_locals_destroy(cold);
    if (cold->link)
        tri_link_drop(cold->link);
    cold->link = NULL;
}

/* ---- reasons -------------------------------------------------------------------------------------------------- */

/* The words of this result; "" if there are none. */
static const char *text_of(int result, const struct tri_reason *reason)
{
    return reason && reason->code == result ? reason->text : "";
}

int tr_task_fail(int code, const char *format, ...)
{
    struct tri_cold *cold = tri_cold_here();
    va_list arguments;
    if (code >= 0)
        code = -EINVAL;
    if (cold && !cold->reason)
        cold->reason = tri_pool_take(&tri_cold_pool, tri_cold_cache(tri_worker_here()));
    if (!cold || !cold->reason)
        return code;
    cold->reason->code = code;
    va_start(arguments, format);
    vsnprintf(cold->reason->text, sizeof cold->reason->text, format, arguments);
    va_end(arguments);
    return code;
}

void tri_outcome_fill(struct tr_outcome *out, int result, const struct tri_reason *reason)
{
    out->kind = result >= 0 ? TR_RETURNED : result == -ECANCELED ? TR_CANCELLED : TR_FAILED;
    out->code = result;
    out->text[0] = '\0';
    if (reason && reason->code == result)
        memcpy(out->text, reason->text, sizeof out->text);
}

void tri_outcome_report(struct tri_task *task, int result, const struct tri_reason *reason)
{
    const char *text = text_of(result, reason);
    tr_log(TR_LOG_WARNING, "%s '%s' failed with %d (%s)%s%s, and nobody joins it",
           tri_task_is(task, TRI_TASK_ACTOR) ? "actor" : "task", tri_task_label(task), result, strerror(-result),
           *text ? ": " : "", text);
}
