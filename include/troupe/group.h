/* SPDX-License-Identifier: MIT */
/*
 * group.h: groups of tasks that end together, and trackers, which only know when all have ended.
 *
 *     struct tr_group *group;
 *     tr_group_open(&group, &(struct tr_group_options){ .name = "fetch", .limit = 8, .first_error = true });
 *     for (int i = 0; i < urls; i++)
 *         tr_group_spawn(group, NULL, fetch, url[i], NULL, TR_FOREVER);      waits while eight are at work
 *     struct tr_finished done;
 *     while (tr_group_next(group, &done, TR_FOREVER) == 0)                   as they end
 *         ... done.member.index, done.outcome ...
 *     tr_group_close(group, tr_after(TR_SECOND));
 *
 * A group never leaves a child behind: closing it cancels whoever still runs and waits for their ends. The task that opened a
 * group owns it: only it closes or detaches the group, and if it ends without having done so, the runtime closes the group in its
 * place, before the owner's own end is seen by anybody, and says so in a warning. That comes too late for members who use the
 * owner's frame, which is gone by then: close your groups. A group opened on a foreign thread, or `unowned`, is closed by whoever
 * is responsible for it.
 *
 * What is kept: 64 bytes for each member from its spawn until its outcome has been taken (128 more if it failed with a text), which is why
 * the number of members that run or wait to be taken is bounded (`capacity`). In a group that is told to `forget`, or a tracker,
 * nothing is kept beyond a member's end.
 */
#ifndef TROUPE_GROUP_H
#define TROUPE_GROUP_H

#include <troupe/select.h>
#include <troupe/task.h>
#include <troupe/token.h>

TRI_BEGIN_DECLS

struct tr_group;

#define TR_GROUP_CAPACITY 65536 /* the default */

struct tr_group_options {
    const char *name; /* copied, up to 47 bytes of it; shown in logs and reports. Default: "group" */
    uint32_t limit;   /* so many members run at once; 0: any number */
    uint32_t
        capacity; /* so many run or have ended untaken; default TR_GROUP_CAPACITY; no bound in a group that forgets */
    tr_time
        deadline; /* bounds every call of every member, as a scope around its body; 0: none but the scopes around the open */
    bool first_error;              /* the first member that fails cancels the group */
    bool forget;                   /* outcomes are not kept: a failure is logged, as of any detached task */
    bool unowned;                  /* does not end with the task that opens it */
    struct tr_cancel_token *token; /* cancels the group, once it is cancelled */
    struct tr_runtime *runtime;    /* where members run by default; default: the opener's */
};

/* A member: its number, counted from 0 in the order of spawning, and the task itself, which can be cancelled alone. */
struct tr_member {
    uint64_t index;
    struct tr_task task; /* a member cannot be joined: its outcome is the group's */
};

struct tr_finished {
    struct tr_member member; /* whose handle is stale by now */
    struct tr_outcome outcome;
};

/*
 * Opens a group. Thread: any. Suspends: no. Owns: *out is to be closed or detached.
 * Returns 0, -ENOMEM, -EINVAL (impossible option), -ECANCELED (the token is cancelled), -EPIPE (the opener is ending).
 */
TR_PUBLIC int tr_group_open(struct tr_group **out, const struct tr_group_options *options);

/*
 * Spawns body(argument) into the group; waits in FIFO order while `limit` members run. *out, if given, is written before the
 * body begins. On any error nothing was spawned.
 * Thread: any. Suspends: yes when full. Owns: as tr_task_spawn.
 * Returns 0, -ETIMEDOUT, -ECANCELED (the calling task, or the group, is cancelled; or the runtime shuts down), -ENOBUFS (`capacity` is used
 * up: take outcomes first), -ENOMEM, -EINVAL (as tr_task_spawn; or `owned`: a member is the group's).
 */
TR_PUBLIC int tr_group_spawn(struct tr_group *group, struct tr_member *out, int (*body)(void *argument), void *argument,
                             const struct tr_task_options *options, tr_time deadline);

/* As tr_group_spawn, never suspending. Thread: any. Suspends: no. Returns as tr_group_spawn; -EAGAIN: full, or others wait. */
TR_PUBLIC int tr_group_try_spawn(struct tr_group *group, struct tr_member *out, int (*body)(void *argument),
                                 void *argument, const struct tr_task_options *options);

/*
 * Takes the outcome of the member that has ended first of those untaken; waits for one. Of several who wait each gets another.
 * When it comes, the member's record, argument and values are gone.
 * Thread: any. Suspends: yes.
 * Returns 0, -ESRCH (no member is left; or the group forgets), -ETIMEDOUT, -ECANCELED, -ENOMEM.
 */
TR_PUBLIC int tr_group_next(struct tr_group *group, struct tr_finished *out, tr_time deadline);

/* As tr_group_next, never waiting. Thread: any. Suspends: no. Returns 0, -EAGAIN (none has ended yet), -ESRCH. */
TR_PUBLIC int tr_group_try_next(struct tr_group *group, struct tr_finished *out);

/* The same as a case; *out is written when it is carried out. Thread: any. Suspends: no. Its result: as tr_group_next. */
TR_PUBLIC struct tr_case tr_case_next(struct tr_group *group, struct tr_finished *out);

/*
 * Waits until no member runs. Outcomes stay to be taken. Others may spawn on: it is the moment that counts.
 * Thread: any. Suspends: yes. Returns 0, -ETIMEDOUT, -ECANCELED, -ENOMEM, -EDEADLK (the caller is a member).
 */
TR_PUBLIC int tr_group_wait(struct tr_group *group, tr_time deadline);

/* The same as a case, which does not notice that a member waits for itself. Thread: any. Suspends: no. Its result: 0. */
TR_PUBLIC struct tr_case tr_case_group(struct tr_group *group);

/*
 * Cancels every member, those that wait to spawn, and the group: nothing more can be spawned into it.
 * Thread: any. Suspends: no.
 */
TR_PUBLIC void tr_group_cancel(struct tr_group *group);

/* What the group holds now. Thread: any. Suspends: no. */
struct tr_group_info {
    uint64_t spawned, failed;   /* since it was opened */
    uint32_t running, finished; /* members, with places given to who waits to spawn; untaken outcomes */
    bool cancelled;
};
TR_PUBLIC void tr_group_info(struct tr_group *group, struct tr_group_info *out);

/* The first failure of all, also if it has been taken. Returns 0, or -ESRCH if none has failed. Thread: any. Suspends: no. */
TR_PUBLIC int tr_group_failure(struct tr_group *group, struct tr_finished *out);

/*
 * Cancels the group, waits until every member has ended, and frees it. The wait heeds neither cancellation nor deadlines: what a member
 * does in its clean-up is its own to bound. At `report_at` the log names those who still run and what they wait for; the wait
 * goes on. Failures that nobody took are logged.
 * Thread: any (of an owned group: its owner). Suspends: yes.
 * Returns 0, or, the group being as before, -EDEADLK (the caller is a member), -EINVAL (not the owner).
 */
TR_PUBLIC int tr_group_close(struct tr_group *group, tr_time report_at);

/*
 * Lets the members go on without the group, which is freed: from now on they are detached tasks whose failures are logged. The group's
 * deadline and a cancellation that has come still hold for them.
 * Thread: any (of an owned group: its owner), with nobody waiting on the group. Suspends: no. Returns 0 or -EINVAL (not the owner).
 */
TR_PUBLIC int tr_group_detach(struct tr_group *group);

/* ---- trackers ------------------------------------------------------------------------------------------------- */

/*
 * A tracker counts tasks, and tells when it has been closed and they are all gone. It cancels nothing and keeps nothing. It may
 * be reopened. What is tracked is a task, joined or detached as any other, or whatever enters and leaves.
 */
struct tr_tracker;

/* Thread: any. Suspends: no. Returns 0 or -ENOMEM. */
TR_PUBLIC int tr_tracker_create(struct tr_tracker **out);

/* Frees the tracker, now or when the last that it tracks is gone; nobody may wait on it. Thread: any. Suspends: no. */
TR_PUBLIC void tr_tracker_destroy(struct tr_tracker *tracker);

/*
 * As tr_task_spawn, tracked until the end, also on a closed tracker. Thread: any. Suspends: no.
 * Returns as tr_task_spawn; -EINVAL also for `owned`: a task is in one group.
 */
TR_PUBLIC int tr_tracker_spawn(struct tr_tracker *tracker, struct tr_task *out, int (*body)(void *argument),
                               void *argument, const struct tr_task_options *options);

/* Counts something that is no task, until it leaves. Thread: any. Suspends: no. */
TR_PUBLIC void tr_tracker_enter(struct tr_tracker *tracker);
TR_PUBLIC void tr_tracker_leave(struct tr_tracker *tracker);

/* Closed, tr_tracker_wait can return. True if this call changed it. Thread: any. Suspends: no. */
TR_PUBLIC bool tr_tracker_close(struct tr_tracker *tracker);
TR_PUBLIC bool tr_tracker_reopen(struct tr_tracker *tracker);
TR_PUBLIC bool tr_tracker_is_closed(struct tr_tracker *tracker);

/* How many are tracked now. Thread: any. Suspends: no. */
TR_PUBLIC uint32_t tr_tracker_count(struct tr_tracker *tracker);

/*
 * Waits until the tracker is closed and nothing is tracked.
 * Thread: any. Suspends: yes. Returns 0, -ETIMEDOUT, -ECANCELED, -ENOMEM, -EDEADLK (the caller is a task that it tracks).
 */
TR_PUBLIC int tr_tracker_wait(struct tr_tracker *tracker, tr_time deadline);

/* The same as a case, which does not notice that a tracked task waits for itself. Thread: any. Suspends: no. Its result: 0. */
TR_PUBLIC struct tr_case tr_case_tracker(struct tr_tracker *tracker);

TRI_END_DECLS
#endif
