/* SPDX-License-Identifier: MIT */
/*
 * group.h: what a group of tasks consists of. Trackers are groups of a plainer kind.
 *
 *   members   those that run: a list, from the spawn to the end
 *   told      those of them that have been cancelled: the list goes on there
 *   done      outcomes that nobody has taken, in order of the ends
 *   spawners  cases of those who wait for a place
 *   takers    cases of those who wait for an outcome
 *   idlers    cases of those who wait until nobody runs
 *
 * All of it is under the group's lock, and only the lock and the generation are looked at by who does not know whether the group
 * still exists. Groups lie in type-stable memory.
 */
#ifndef TRI_GROUP_H
#define TRI_GROUP_H

#include "actor/task.h"
#include "mailbox/wait.h"
#include <troupe/group.h>

struct tri_member {
    struct tri_member *next, **place; /* in `members` or `told`; of `done` only next */
    struct tr_group *group;
    struct tr_task task;
    uint64_t index;
    union {
        int (*body)(void *argument); /* of a member that is bounded, until it begins */
        struct tri_reason *reason;   /* of one that has ended */
    };
    union {
        tr_time bound;
        int result;
    };
};
_Static_assert(sizeof(struct tri_member) <= 64, "tri_node_pool");

struct tri_spawn;

struct tr_group {
    struct tri_lock lock;
    uint32_t limit, capacity;                       /* 0: none */
    bool first_error, forget, owned_tasks, tracker; /* for good */
    bool cancelled, detached, closed;
    uint32_t running; /* members, and places promised to spawners */
    uint32_t untaken;
    uint64_t generation; /* moves when the group is freed */
    uint64_t spawned, failed;
    struct tri_member *members, *told;
    struct tri_member *done, *last_done;
    struct tri_line spawners, takers, idlers;
    tr_time bound;
    struct tr_runtime *runtime;
    struct tri_link *link;  /* to the token */
    struct tri_cold *owner; /* NULL: unowned */
    struct tr_group *next;  /* of the owner's; free */
    struct tr_finished first_failure;
    char name[TRI_NAME_BYTES];
};

extern struct tri_pool tri_group_pool;

/* ---- member.c: places, ends, cancelling ---- */

/* A place for one more, under the lock. Returns 0, -EAGAIN (full), -ECANCELED, -ENOBUFS. */
int tri_group_admit(struct tr_group *group);
/* Gives a promised place back. Thread: any. */
void tri_group_readmit(struct tr_group *group);
/* Of a tracker. Returns whether it was so before. Those who wait are served if it is closed now, and nobody is tracked. */
bool tri_group_set_closed(struct tr_group *group, bool closed);
/* A member's task is about to run in the place that was promised to it. *out NULL: not wanted. */
void tri_member_start(struct tri_member *member, struct tr_task task, struct tr_member *out);
/* Fills in an outcome and frees the member. */
void tri_member_take(struct tri_member *member, struct tr_finished *out);
/* True if the running task is a member. */
bool tri_group_holds_self(struct tr_group *group);
/* Frees a group of which nobody runs and that nobody can find. */
void tri_group_free(struct tr_group *group);

/* ---- group.c ---- */

/* A group without any options, not owned. NULL: no memory. */
struct tr_group *tri_group_make(void);
/* Spawns into a group that has promised a place, which is given back on an error. */
int tri_group_spawn_admitted(struct tr_group *group, struct tri_spawn *spawn);
/* The owner of these groups ends: closes them. */
void tri_groups_end(struct tri_cold *cold);

#endif
