/* SPDX-License-Identifier: MIT */
/*
 * group.c: the public side of groups: opening, spawning, waiting, closing. What members do to their group is in member.c.
 *
 * An owned group hangs on the cold part of the task that opened it; that list is the owner's alone. Tasks spawned as `owned` are
 * members of a group of their own that hangs there as well, and forgets: they are joined or detached as any task.
 */
#include "actor/group.h"
#include "actor/scheduler.h"
#include "actor/spawn.h"
#include "actor/token.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define REPORT_LINES 32u

static struct tri_cold *own_cold(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker && worker->current ? tri_load(&worker->current->cold, TRI_RELAXED) : NULL;
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

struct tr_group *tri_group_make(void)
{
    struct tr_group *group = tri_pool_take_shared(&tri_group_pool);
    if (!group)
        return NULL;
    uint64_t generation = group->generation;
    tri_lock(&group->lock); /* who comes with an older generation may be looking */
    size_t head = offsetof(struct tr_group, limit);
    memset((char *)group + head, 0, sizeof *group - head);
    group->generation = generation;
    group->bound = TR_FOREVER;
    tri_unlock(&group->lock);
    return group;
}

/* Frees a group that could not be opened. */
static void unmake(struct tr_group *group)
{
    tri_lock(&group->lock);
    group->generation++;
    tri_unlock(&group->lock);
    tri_group_free(group);
}

static void configure(struct tr_group *group, const struct tr_group_options *options)
{
    struct tri_worker *worker = tri_worker_here();
    tr_time outer = tr_scope_deadline();
    group->limit = options->limit;
    group->first_error = options->first_error;
    group->forget = options->forget;
    group->capacity = options->forget ? 0 : options->capacity ? options->capacity : TR_GROUP_CAPACITY;
    group->bound = options->deadline && options->deadline < outer ? options->deadline : outer;
    group->runtime = options->runtime ? options->runtime : worker ? worker->runtime : NULL;
    snprintf(group->name, sizeof group->name, "%s", options->name ? options->name : "group");
}

static void hang_on(struct tr_group *group, struct tri_cold *owner)
{
    group->owner = owner;
    group->next = owner->owned;
    owner->owned = group;
}

static void take_off(struct tr_group *group)
{
    struct tr_group **place = &group->owner->owned;
    while (*place != group)
        place = &(*place)->next;
    *place = group->next;
    group->owner = NULL;
}

int tr_group_open(struct tr_group **out, const struct tr_group_options *options)
{
    static const struct tr_group_options defaults;
    bool owned = tri_in_task() && !(options && options->unowned);
    struct tri_cold *owner = owned ? tri_cold_here() : NULL;
    if (!options)
        options = &defaults;
    if (options->deadline < 0)
        return -EINVAL;
    if (owned && !owner)
        return -ENOMEM;
    if (owned && owner->ending)
        return -EPIPE;
    struct tr_group *group = tri_group_make();
    if (!group)
        return -ENOMEM;
    configure(group, options);
    int rc = options->token ? tri_link_make(&group->link, options->token, group, group->generation, true) : 0;
    if (rc < 0) {
        unmake(group);
        return rc;
    }
    if (owned)
        hang_on(group, owner);
    *out = group;
    return 0;
}

/* ---- spawning ------------------------------------------------------------------------------------------------- */

/* The body of a member with a deadline. */
static int run_bounded(void *argument)
{
    struct tri_member *member = own_cold()->member;
    struct tr_scope scope;
    tr_scope_open(&scope, member->bound);
    int result = member->body(argument);
    tr_scope_close(&scope);
    return result;
}

int tri_group_spawn_admitted(struct tr_group *group, struct tri_spawn *spawn)
{
    struct tri_member *member = tri_pool_take(&tri_node_pool, tri_node_cache(tri_worker_here()));
    int rc = -ENOMEM;
    if (member) {
        memset(member, 0, sizeof *member);
        member->group = group;
        spawn->member = member;
        if (group->bound != TR_FOREVER && spawn->body) {
            member->body = spawn->body;
            member->bound = group->bound;
            spawn->body = run_bounded;
        }
        rc = tri_spawn(spawn);
    }
    if (rc < 0 && member)
        tri_pool_give(&tri_node_pool, tri_node_cache(tri_worker_here()), member);
    if (rc < 0)
        tri_group_readmit(group);
    return rc;
}

static int attempt_place(struct tr_case *c)
{
    struct tr_group *group = c->tri_object;
    tri_lock(&group->lock);
    int rc = tri_group_admit(group);
    tri_unlock(&group->lock);
    return rc;
}

static int enter_place(struct tr_case *c)
{
    struct tr_group *group = c->tri_object;
    tri_lock(&group->lock);
    int rc = tri_group_admit(group);
    if (rc == -EAGAIN)
        tri_line_push(&group->spawners, c);
    tri_unlock(&group->lock);
    return rc;
}

static bool leave_line(struct tr_group *group, struct tri_line *line, struct tr_case *c)
{
    tri_lock(&group->lock);
    bool waited = tri_line_remove(line, c);
    tri_unlock(&group->lock);
    return waited;
}

static bool leave_place(struct tr_case *c)
{
    struct tr_group *group = c->tri_object;
    return leave_line(group, &group->spawners, c);
}

/* Not for select, which could not spawn: so no claims. */
static const struct tri_kind place_kind = { attempt_place, enter_place, leave_place, NULL, TRI_WAIT_GROUP };

static int spawn_member(struct tr_group *group, struct tr_member *out, int (*body)(void *argument), void *argument,
                        const struct tr_task_options *options)
{
    static const struct tr_task_options defaults;
    if (!options)
        options = &defaults;
    struct tri_spawn spawn = tri_task_spawn_of(body, argument, options);
    spawn.member_out = out;
    if (!spawn.runtime)
        spawn.runtime = group->runtime;
    return tri_group_spawn_admitted(group, &spawn);
}

int tr_group_try_spawn(struct tr_group *group, struct tr_member *out, int (*body)(void *argument), void *argument,
                       const struct tr_task_options *options)
{
    struct tr_case c = { .tri_kind = &place_kind, .tri_object = group };
    if (options && options->owned)
        return -EINVAL; /* it is the group's */
    int rc = attempt_place(&c);
    return rc < 0 ? rc : spawn_member(group, out, body, argument, options);
}

int tr_group_spawn(struct tr_group *group, struct tr_member *out, int (*body)(void *argument), void *argument,
                   const struct tr_task_options *options, tr_time deadline)
{
    int rc = tri_checkpoint();
    if (rc == 0)
        rc = tr_group_try_spawn(group, out, body, argument, options);
    if (rc != -EAGAIN)
        return rc;
    if (deadline == TR_NOW)
        return -ETIMEDOUT;
    struct tr_case c = { .tri_kind = &place_kind, .tri_object = group };
    rc = tri_wait(&c, deadline);
    return rc < 0 ? rc : spawn_member(group, out, body, argument, options);
}

int tri_group_spawn_owned(struct tri_spawn *spawn)
{
    struct tri_cold *cold = tri_in_task() ? tri_cold_here() : NULL;
    if (!cold)
        return tri_in_task() ? -ENOMEM : -EINVAL;
    if (cold->ending)
        return -EPIPE;
    struct tr_group *group = cold->owned;
    while (group && !group->owned_tasks)
        group = group->next;
    if (!group) {
        group = tri_group_make();
        if (!group)
            return -ENOMEM;
        group->owned_tasks = group->forget = true;
        snprintf(group->name, sizeof group->name, "owned tasks");
        hang_on(group, cold);
    }
    tri_lock(&group->lock);
    group->running++;
    tri_unlock(&group->lock);
    return tri_group_spawn_admitted(group, spawn);
}

/* ---- outcomes ------------------------------------------------------------------------------------------------- */

/* Under the lock. -EAGAIN: there is one to wait for. `c`: to be claimed; NULL: need not. */
static int take_done(struct tr_group *group, struct tr_finished *out, struct tr_case *c)
{
    struct tri_member *member = group->done;
    if (!member && group->running > 0 && !group->forget)
        return -EAGAIN;
    if (c && !tri_claim(c))
        return -EAGAIN;
    if (!member)
        return -ESRCH;
    group->done = member->next;
    group->untaken--;
    tri_member_take(member, out);
    return 0;
}

static int attempt_next(struct tr_case *c)
{
    struct tr_group *group = c->tri_object;
    tri_lock(&group->lock);
    int rc = take_done(group, c->tri_value, NULL);
    tri_unlock(&group->lock);
    return rc;
}

static int enter_next(struct tr_case *c)
{
    struct tr_group *group = c->tri_object;
    tri_lock(&group->lock);
    bool wait = !group->done && group->running > 0 && !group->forget;
    int rc = take_done(group, c->tri_value, c);
    if (wait)
        tri_line_push(&group->takers, c);
    tri_unlock(&group->lock);
    return rc;
}

static bool leave_next(struct tr_case *c)
{
    struct tr_group *group = c->tri_object;
    return leave_line(group, &group->takers, c);
}

static const struct tri_kind next_kind = { attempt_next, enter_next, leave_next, NULL, TRI_WAIT_GROUP };

struct tr_case tr_case_next(struct tr_group *group, struct tr_finished *out)
{
    return (struct tr_case){ .tri_kind = &next_kind, .tri_object = group, .tri_value = out };
}

int tr_group_try_next(struct tr_group *group, struct tr_finished *out)
{
    struct tr_case c = tr_case_next(group, out);
    return attempt_next(&c);
}

/* How every wait on a group goes. */
static int await(struct tr_case c, tr_time deadline)
{
    int rc = tri_checkpoint();
    if (rc == 0)
        rc = c.tri_kind->attempt(&c);
    if (rc != -EAGAIN)
        return rc;
    return deadline == TR_NOW ? -ETIMEDOUT : tri_wait(&c, deadline);
}

int tr_group_next(struct tr_group *group, struct tr_finished *out, tr_time deadline)
{
    return await(tr_case_next(group, out), deadline);
}

/* ---- until nobody runs ---------------------------------------------------------------------------------------- */

/* Under the lock. */
static bool is_over(const struct tr_group *group)
{
    return group->running == 0 && (!group->tracker || group->closed);
}

static int attempt_idle(struct tr_case *c)
{
    struct tr_group *group = c->tri_object;
    tri_lock(&group->lock);
    bool over = is_over(group);
    tri_unlock(&group->lock);
    return over ? 0 : -EAGAIN;
}

static int enter_idle(struct tr_case *c)
{
    struct tr_group *group = c->tri_object;
    int rc = -EAGAIN;
    tri_lock(&group->lock);
    if (!is_over(group))
        tri_line_push(&group->idlers, c);
    else if (tri_claim(c))
        rc = 0;
    tri_unlock(&group->lock);
    return rc;
}

static bool leave_idle(struct tr_case *c)
{
    struct tr_group *group = c->tri_object;
    return leave_line(group, &group->idlers, c);
}

static const struct tri_kind idle_kind = { attempt_idle, enter_idle, leave_idle, NULL, TRI_WAIT_GROUP };

struct tr_case tr_case_group(struct tr_group *group)
{
    return (struct tr_case){ .tri_kind = &idle_kind, .tri_object = group };
}

int tr_group_wait(struct tr_group *group, tr_time deadline)
{
    return tri_group_holds_self(group) ? -EDEADLK : await(tr_case_group(group), deadline);
}

void tr_group_info(struct tr_group *group, struct tr_group_info *out)
{
    tri_lock(&group->lock);
    *out = (struct tr_group_info){ group->spawned, group->failed, group->running, group->untaken, group->cancelled };
    tri_unlock(&group->lock);
}

int tr_group_failure(struct tr_group *group, struct tr_finished *out)
{
    tri_lock(&group->lock);
    bool failed = group->failed > 0;
    if (failed)
        *out = group->first_failure;
    tri_unlock(&group->lock);
    return failed ? 0 : -ESRCH;
}

/* ---- closing -------------------------------------------------------------------------------------------------- */

/* Names those who still run. */
static void report(struct tr_group *group)
{
    struct tr_task late[REPORT_LINES];
    char why[TRI_NAME_BYTES + 32];
    uint32_t count = 0;
    tri_lock(&group->lock);
    uint32_t running = group->running;
    for (struct tri_member *member = group->told; member && count < REPORT_LINES; member = member->next)
        late[count++] = member->task;
    tri_unlock(&group->lock);
    snprintf(why, sizeof why, "closing group '%s'", group->name);
    for (uint32_t i = 0; i < count; i++)
        if (tri_task_generation(late[i].tri_record) == late[i].tri_generation)
            tri_report_task(why, late[i].tri_record);
    if (running > count)
        tr_log(TR_LOG_ERROR, "%s: and %u more", why, running - count);
}

/* Heeding nothing. */
static void await_end(struct tr_group *group, tr_time report_at)
{
    struct tr_case c = tr_case_group(group);
    struct tr_scope scope;
    int rc;
    tri_scope_deafen(&scope);
    while (attempt_idle(&c) != 0 && (rc = tri_wait(&c, report_at)) < 0) {
        if (rc == -ETIMEDOUT) {
            report(group);
            report_at = TR_FOREVER;
        } else {
            sched_yield(); /* no memory for the record of a foreign thread */
        }
    }
    tr_scope_close(&scope);
}

static void log_untaken(struct tr_group *group)
{
    struct tr_finished done;
    while (tr_group_try_next(group, &done) == 0)
        if (done.outcome.kind == TR_FAILED)
            tr_log(TR_LOG_WARNING, "member %llu of group '%s' failed with %d (%s)%s%s, and nobody took its outcome",
                   (unsigned long long)done.member.index, group->name, done.outcome.code, strerror(-done.outcome.code),
                   done.outcome.text[0] ? ": " : "", done.outcome.text);
}

/* Nobody is to find the group from now on but its members. */
static void cut_off(struct tr_group *group)
{
    if (group->owner)
        take_off(group);
    if (group->link)
        tri_link_drop(group->link);
    group->link = NULL;
}

static void close_group(struct tr_group *group, tr_time report_at)
{
    tr_group_cancel(group);
    await_end(group, report_at);
    cut_off(group);
    log_untaken(group);
    unmake(group);
}

int tr_group_close(struct tr_group *group, tr_time report_at)
{
    if (group->owner && group->owner != own_cold())
        return -EINVAL;
    if (tri_group_holds_self(group))
        return -EDEADLK;
    tri_budget();
    close_group(group, report_at);
    return 0;
}

int tr_group_detach(struct tr_group *group)
{
    if (group->owner && group->owner != own_cold())
        return -EINVAL;
    cut_off(group);
    log_untaken(group);
    tri_lock(&group->lock);
    group->detached = true;
    group->running++; /* ourselves: the last to leave frees it */
    tri_unlock(&group->lock);
    log_untaken(group);
    tri_group_readmit(group);
    return 0;
}

void tri_groups_end(struct tri_cold *cold)
{
    struct tr_group *group;
    while ((group = cold->owned)) {
        if (!group->owned_tasks)
            tr_log(TR_LOG_WARNING, "task '%s' has ended with its group '%s' open: it is closed now", tr_task_name(),
                   group->name);
        close_group(group, tr_after(TR_SECOND));
    }
}
