/* SPDX-License-Identifier: MIT */
/*
 * member.c: the members of a group: how they come into it, end, and are cancelled.
 *
 *   admit          start             end, leave                 take
 *   ------> place -------> running --------------> outcome -----------> gone
 *            |  <------------------- place           (group that forgets: gone at once)
 *            |     to the first spawner who waits
 *            v readmit (the spawn failed)
 *
 * A member leaves when its task has gone: its record is free, and what it did is seen by whoever takes the lock afterwards. All that
 * its leaving sets off is done in one turn of the lock: the last thing that a member does to its group.
 */
#include "actor/group.h"
#include "actor/scheduler.h"
#include "actor/token.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#ifndef BATCH
#define BATCH 16u
#endif

struct tri_pool tri_group_pool = {
    .name = "group",
    .object_bytes = (sizeof(struct tr_group) + 63) / 64 * 64,
    .link_offset = offsetof(struct tr_group, next),
    .slab_objects = 64,
};

static void free_member(struct tri_member *member)
{
    tri_pool_give(&tri_node_pool, tri_node_cache(tri_worker_here()), member);
}

static void free_reason(struct tri_reason *reason)
{
    if (reason)
        tri_pool_give(&tri_cold_pool, tri_cold_cache(tri_worker_here()), reason);
}

void tri_group_free(struct tr_group *group)
{
    tri_pool_give_shared(&tri_group_pool, group);
}

bool tri_group_holds_self(struct tr_group *group)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_task *task = worker ? worker->current : NULL;
    struct tri_cold *cold = task ? tri_load(&task->cold, TRI_RELAXED) : NULL;
    return cold && cold->member && cold->member->group == group;
}

/* ---- the list of those that run; under the lock --------------------------------------------------------------- */

static void link_in(struct tri_member *member, struct tri_member **head)
{
    member->next = *head;
    member->place = head;
    if (member->next)
        member->next->place = &member->next;
    *head = member;
}

static void link_out(struct tri_member *member)
{
    *member->place = member->next;
    if (member->next)
        member->next->place = member->place;
}

/* ---- places --------------------------------------------------------------------------------------------------- */

static bool is_full(const struct tr_group *group)
{
    return group->limit > 0 && group->running >= group->limit;
}

int tri_group_admit(struct tr_group *group)
{
    if (group->cancelled)
        return -ECANCELED;
    if (group->capacity > 0 && group->running + group->untaken >= group->capacity)
        return -ENOBUFS;
    if (is_full(group) || !tri_line_is_empty(&group->spawners))
        return -EAGAIN;
    group->running++;
    return 0;
}

/* A place has become free: it is promised to those who wait, in order. */
static void serve_spawners(struct tr_group *group, struct tri_wakes *wakes)
{
    while (!tri_line_is_empty(&group->spawners) && !is_full(group)) {
        struct tr_case *c = tri_line_claim(&group->spawners);
        if (!c)
            return;
        bool room = group->capacity == 0 || group->running + group->untaken < group->capacity;
        group->running += room;
        tri_wakes_add(wakes, tri_finish(c, room ? 0 : -ENOBUFS));
    }
}

/* Nobody runs any more: nobody waits any longer. */
static void serve_idlers(struct tr_group *group, struct tri_wakes *wakes)
{
    struct tr_case *c;
    if (group->running > 0)
        return;
    while (!group->done && (c = tri_line_claim(&group->takers)))
        tri_wakes_add(wakes, tri_finish(c, -ESRCH));
    while ((!group->tracker || group->closed) && (c = tri_line_claim(&group->idlers)))
        tri_wakes_add(wakes, tri_finish(c, 0));
}

/* One runs less. Lets the lock go; then the group may be gone. */
static void give_place_and_unlock(struct tr_group *group, struct tri_wakes *wakes)
{
    assert(group->running > 0);
    group->running--;
    serve_spawners(group, wakes);
    serve_idlers(group, wakes);
    bool last = group->detached && group->running == 0;
    if (last) /* and only then: who belongs to the group reads it without the lock */
        group->generation++;
    tri_unlock(&group->lock);
    tri_wakes_make(wakes);
    if (last)
        tri_group_free(group);
}

void tri_group_readmit(struct tr_group *group)
{
    struct tri_wakes wakes;
    wakes.count = 0;
    tri_lock(&group->lock);
    give_place_and_unlock(group, &wakes);
}

bool tri_group_set_closed(struct tr_group *group, bool closed)
{
    struct tri_wakes wakes;
    wakes.count = 0;
    tri_lock(&group->lock);
    bool before = group->closed;
    group->closed = closed;
    group->running++; /* ourselves, until the lock is let go */
    give_place_and_unlock(group, &wakes);
    return before;
}

void tri_member_start(struct tri_member *member, struct tr_task task, struct tr_member *out)
{
    struct tr_group *group = member->group;
    member->task = task;
    tri_lock(&group->lock);
    bool cancelled = group->cancelled;
    member->index = group->spawned++;
    link_in(member, cancelled ? &group->told : &group->members);
    if (out)
        *out = (struct tr_member){ member->index, task };
    tri_unlock(&group->lock);
    if (cancelled)
        tri_task_cancel_raw(task.tri_record, task.tri_generation);
}

/* ---- ends ----------------------------------------------------------------------------------------------------- */

static bool is_failure(int result)
{
    return result < 0 && result != -ECANCELED;
}

static void describe(const struct tri_member *member, struct tr_finished *out)
{
    out->member = (struct tr_member){ member->index, member->task };
    tri_outcome_fill(&out->outcome, member->result, member->reason);
}

void tri_member_take(struct tri_member *member, struct tr_finished *out)
{
    describe(member, out);
    free_reason(member->reason);
    free_member(member);
}

/* For the group's first failure: the original stays with the task, which is joined or logged. NULL: no memory for the words. */
static struct tri_reason *copy_reason(const struct tri_reason *reason)
{
    struct tri_reason *copy = tri_pool_take(&tri_cold_pool, tri_cold_cache(tri_worker_here()));
    if (copy)
        *copy = *reason;
    return copy;
}

bool tri_member_end(struct tri_member *member, struct tri_cold *cold, int result)
{
    struct tr_group *group = member->group;
    member->result = result;
    if (!group->forget) {
        member->reason = cold->reason;
        cold->reason = NULL;
        return true;
    }
    bool told = cold->reason && is_failure(result) && !group->tracker && !group->owned_tasks;
    member->reason = told ? copy_reason(cold->reason) : NULL;
    return false;
}

/* Under the lock: to the first who waits for an outcome, or to those that wait to be taken. */
static void deliver(struct tr_group *group, struct tri_member *member, struct tri_wakes *wakes)
{
    struct tr_case *c = tri_line_claim(&group->takers);
    if (c) {
        tri_member_take(member, c->tri_value);
        tri_wakes_add(wakes, tri_finish(c, 0));
        return;
    }
    member->next = NULL;
    if (group->done)
        group->last_done->next = member;
    else
        group->done = member;
    group->last_done = member;
    group->untaken++;
}

static void note_failure(struct tr_group *group, const struct tri_member *member)
{
    if (group->failed++ == 0)
        describe(member, &group->first_failure);
}

/* Under the lock: a failure of which the group will never tell. */
static void report_detached(struct tr_group *group, const struct tri_member *member)
{
    struct tr_finished done;
    describe(member, &done);
    tr_log(TR_LOG_WARNING, "member %llu of group '%s', detached, failed with %d (%s)%s%s, and nobody joins it",
           (unsigned long long)member->index, group->name, done.outcome.code, strerror(-done.outcome.code),
           done.outcome.text[0] ? ": " : "", done.outcome.text);
}

void tri_member_leave(struct tri_member *member)
{
    struct tr_group *group = member->group;
    bool failed = is_failure(member->result);
    struct tri_wakes wakes;
    wakes.count = 0;
    if (failed && group->first_error)
        tr_group_cancel(group); /* we are still in it */
    tri_lock(&group->lock);
    link_out(member);
    if (failed)
        note_failure(group, member);
    bool keep = !group->forget && !group->detached;
    if (keep)
        deliver(group, member, &wakes);
    else if (failed && !group->forget)
        report_detached(group, member);
    give_place_and_unlock(group, &wakes);
    if (!keep) {
        free_reason(member->reason);
        free_member(member);
    }
}

/* ---- cancelling ----------------------------------------------------------------------------------------------- */

/* Under the lock: some of those that have not been told yet. */
static unsigned tell_some(struct tr_group *group, struct tr_task *told)
{
    unsigned count = 0;
    while (count < BATCH && group->members) {
        struct tri_member *member = group->members;
        link_out(member);
        link_in(member, &group->told);
        told[count++] = member->task;
    }
    return count;
}

void tri_group_cancel_raw(struct tr_group *group, uint64_t generation)
{
    struct tri_wakes wakes;
    struct tr_task told[BATCH];
    struct tr_case *c;
    unsigned count;
    wakes.count = 0;
    tri_lock(&group->lock);
    if (group->generation == generation && !group->tracker) {
        group->cancelled = true;
        while ((c = tri_line_claim(&group->spawners)))
            tri_wakes_add(&wakes, tri_finish(c, -ECANCELED));
    }
    while (group->generation == generation && group->cancelled && (count = tell_some(group, told)) > 0) {
        tri_unlock(&group->lock);
        tri_wakes_make(&wakes);
        for (unsigned i = 0; i < count; i++)
            tri_task_cancel_raw(told[i].tri_record, told[i].tri_generation);
        tri_lock(&group->lock);
    }
    tri_unlock(&group->lock);
    tri_wakes_make(&wakes);
}

void tr_group_cancel(struct tr_group *group)
{
    tri_group_cancel_raw(group, group->generation);
}
