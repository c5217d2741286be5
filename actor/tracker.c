/* SPDX-License-Identifier: MIT */
/* tracker.c: trackers: groups that forget, cannot be cancelled, and are waited for only once they are closed. */
#include "actor/group.h"
#include "actor/spawn.h"

#include <errno.h>
#include <stdio.h>

static struct tr_group *group_of(struct tr_tracker *tracker)
{
    return (struct tr_group *)(void *)tracker;
}

int tr_tracker_create(struct tr_tracker **out)
{
    struct tr_group *group = tri_group_make();
    if (!group)
        return -ENOMEM;
    group->tracker = group->forget = true;
    snprintf(group->name, sizeof group->name, "tracker");
    *out = (struct tr_tracker *)(void *)group;
    return 0;
}

void tr_tracker_destroy(struct tr_tracker *tracker)
{
    tr_group_detach(group_of(tracker));
}

void tr_tracker_enter(struct tr_tracker *tracker)
{
    struct tr_group *group = group_of(tracker);
    tri_lock(&group->lock);
    group->running++;
    tri_unlock(&group->lock);
}

void tr_tracker_leave(struct tr_tracker *tracker)
{
    tri_group_readmit(group_of(tracker));
}

int tr_tracker_spawn(struct tr_tracker *tracker, struct tr_task *out, int (*body)(void *argument), void *argument,
                     const struct tr_task_options *options)
{
    static const struct tr_task_options defaults;
    struct tri_spawn spawn;
    if (!options)
        options = &defaults;
    if (options->owned)
        return -EINVAL; /* a task is in one group */
    spawn = tri_task_spawn_of(body, argument, options);
    spawn.handle = out;
    tr_tracker_enter(tracker);
    return tri_group_spawn_admitted(group_of(tracker), &spawn);
}

bool tr_tracker_close(struct tr_tracker *tracker)
{
    return !tri_group_set_closed(group_of(tracker), true);
}

bool tr_tracker_reopen(struct tr_tracker *tracker)
{
    return tri_group_set_closed(group_of(tracker), false);
}

bool tr_tracker_is_closed(struct tr_tracker *tracker)
{
    struct tr_group *group = group_of(tracker);
    tri_lock(&group->lock);
    bool closed = group->closed;
    tri_unlock(&group->lock);
    return closed;
}

uint32_t tr_tracker_count(struct tr_tracker *tracker)
{
    struct tr_group *group = group_of(tracker);
    tri_lock(&group->lock);
    uint32_t count = group->running;
    tri_unlock(&group->lock);
    return count;
}

int tr_tracker_wait(struct tr_tracker *tracker, tr_time deadline)
{
    return tr_group_wait(group_of(tracker), deadline);
}

struct tr_case tr_case_tracker(struct tr_tracker *tracker)
{
    return tr_case_group(group_of(tracker));
}
