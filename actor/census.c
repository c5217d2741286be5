/* SPDX-License-Identifier: MIT */
/* census.c: what lives and what has happened: counts for leak checks, reports and the curious. */
#include "actor/after.h"
#include "actor/blocking.h"
#include "actor/deadline.h"
#include "actor/group.h"
#include "actor/runtime.h"
#include "actor/sanitizer.h"
#include "actor/token.h"
#include "io/stream.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *tr_version(void)
{
    return "0.1.0";
}

struct cached {
    uint64_t tasks, slots, alarms, posts, stacks, storages;
};

static void count_worker(struct tri_worker *worker, void *context)
{
    struct cached *cached = context;
    cached->tasks += tri_load(&worker->tasks.count, TRI_RELAXED);
    cached->slots += tri_load(&worker->slots.count, TRI_RELAXED);
    cached->alarms += tri_load(&worker->alarms.count, TRI_RELAXED);
    cached->posts += tri_load(&worker->posts_free.count, TRI_RELAXED);
    cached->stacks += tri_load(&worker->stacks.count, TRI_RELAXED);
    for (int i = 0; i < TRI_STORAGE_CLASSES; i++)
        cached->storages += tri_load(&worker->storages.count[i], TRI_RELAXED);
}

static uint64_t in_use(struct tri_pool *pool, uint64_t cached)
{
    tri_lock(&pool->lock);
    uint64_t count = pool->total - pool->free_count;
    tri_unlock(&pool->lock);
    return count > cached ? count - cached : 0;
}

static uint64_t less(uint64_t count, uint64_t cached)
{
    return count > cached ? count - cached : 0;
}

void tr_census(struct tr_census *out)
{
    struct cached cached = { 0 };
    tri_runtime_each_worker(count_worker, &cached);
    out->tasks = in_use(&tri_task_pool, cached.tasks);
    out->slots = in_use(&tri_slot_pool, cached.slots);
    out->timers = in_use(&tri_alarm_pool, cached.alarms) + in_use(&tri_post_pool, cached.posts);
    out->stacks = less(tri_stack_live(), cached.stacks);
    out->storages = less(tri_storage_live(), cached.storages);
    out->streams = tri_stream_count();
    out->jobs = tri_blocking_jobs();
    out->groups = in_use(&tri_group_pool, 0);
    out->tokens = in_use(&tri_token_pool, 0);
}

int tr_counters(struct tr_counters *out)
{
    struct tri_worker *here = tri_worker_here();
    if (!here)
        return -EINVAL;
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < here->runtime->workers; i++) {
        struct tri_worker *worker = &here->runtime->worker[i];
        out->switches += tri_load(&worker->switches, TRI_RELAXED);
        out->spawns += tri_load(&worker->spawned, TRI_RELAXED);
        out->steals += tri_load(&worker->steals, TRI_RELAXED);
        out->sleeps += tri_load(&worker->sleeps, TRI_RELAXED);
        out->wakes += tri_load(&worker->wakes, TRI_RELAXED);
        out->polls += tri_load(&worker->polls, TRI_RELAXED);
        out->expired_requests += tri_load(&worker->expired, TRI_RELAXED);
        out->enters += tri_reactor_enters(worker->reactor);
    }
    return 0;
}

unsigned tr_worker_count(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker ? worker->runtime->workers : 0;
}

int tr_worker_index(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker ? (int)worker->index : -1;
}

enum tr_backend tr_backend_kind(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker ? worker->runtime->backend_used : TR_BACKEND_DEFAULT;
}

/* ---- reports -------------------------------------------------------------------------------------------------- */

static const char *wait_name(uint8_t wait)
{
    switch ((enum tri_wait)wait) {
    case TRI_WAIT_MESSAGE:
        return "a message";
    case TRI_WAIT_ROOM:
        return "room in a mailbox";
    case TRI_WAIT_REPLY:
        return "a reply";
    case TRI_WAIT_JOIN:
        return "the end of a task";
    case TRI_WAIT_SLEEP:
        return "a time";
    case TRI_WAIT_IO:
        return "I/O";
    case TRI_WAIT_CHANNEL:
        return "a channel";
    case TRI_WAIT_CHANNEL_ROOM:
        return "room in a channel";
    case TRI_WAIT_ONESHOT:
        return "a oneshot";
    case TRI_WAIT_SELECT:
        return "the first of several";
    case TRI_WAIT_PERMIT:
        return "a permit";
    case TRI_WAIT_LOCK:
        return "a lock";
    case TRI_WAIT_SIGNAL:
        return "a signal";
    case TRI_WAIT_CHANGE:
        return "a change";
    case TRI_WAIT_GROUP:
        return "the tasks of a group";
    case TRI_WAIT_JOB:
        return "a blocking job";
    }
    return "something unknown";
}

/* The task goes on while we look: the name and the state may be torn, the memory is valid. */
TRI_NO_TSAN void tri_report_task(const char *why, struct tri_task *task)
{
    struct tr_runtime *runtime = tri_runtime_at(tri_load(&task->runtime, TRI_RELAXED));
    struct tri_stack *stack = task->stack;
    char label[TRI_NAME_BYTES];
    const char *kind = tri_task_is(task, TRI_TASK_ACTOR) ? "actor" : "task";
    if (tri_load(&task->park.state, TRI_RELAXED) == TRI_PARKED && stack)
        tr_log(TR_LOG_ERROR, "%s: %s '%s' still waits for %s, since %.3f s", why, kind,
               tri_task_copy_label(task, label), wait_name(tri_load(&task->wait, TRI_RELAXED)),
               (double)(tri_clock_read(runtime) - stack->since) / TR_SECOND);
    else
        tr_log(TR_LOG_ERROR, "%s: %s '%s' has not ended: it runs, or has had no turn since it was told", why, kind,
               tri_task_copy_label(task, label));
}

static void report_task(struct tri_task *task, uint64_t generation, void *context)
{
    (void)generation;
    (void)context;
    tri_report_task("shutdown", task);
}

void tri_runtime_report(struct tr_runtime *runtime)
{
    tri_runtime_each_task(runtime, report_task, NULL);
    tri_blocking_report(runtime->blocking);
}

/* ---- processors ----------------------------------------------------------------------------------------------- */

/* The quota in a file of cgroup v2 ("quota period" or "max period", in microseconds), rounded up; 0 when there is none. */
static unsigned quota_cpus(const char *path)
{
    char quota[32];
    unsigned long period = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    int fields = fscanf(file, "%31s %lu", quota, &period);
    fclose(file);
    if (fields != 2 || period == 0 || strcmp(quota, "max") == 0)
        return 0;
    unsigned long microseconds = strtoul(quota, NULL, 10);
    return (unsigned)((microseconds + period - 1) / period);
}

/* The cgroup that the process is in, "/a/b", or "" if the file does not say (it can be another's root that is mounted). */
static void read_membership(const char *path, char *group, size_t bytes)
{
    char line[PATH_MAX];
    *group = '\0';
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, "0::", 3) == 0) { /* version 2 has one hierarchy, of that number and without names */
            line[strcspn(line, "\n")] = '\0';
            snprintf(group, bytes, "%s", line + 3);
        }
    fclose(file);
}

/* The least quota of the process's cgroup and of those above it; 0 when there is none. */
static unsigned least_quota(const char *root, const char *membership)
{
    char group[PATH_MAX], path[2 * PATH_MAX];
    unsigned least = 0;
    read_membership(membership, group, sizeof group);
    for (;;) {
        snprintf(path, sizeof path, "%s%s/cpu.max", root, group);
        unsigned quota = quota_cpus(path);
        if (quota > 0 && (least == 0 || quota < least))
            least = quota;
        char *end = strrchr(group, '/');
        if (!end)
            return least;
        *end = '\0';
    }
}

unsigned tri_cpu_count(const char *root, const char *membership)
{
    cpu_set_t set;
    unsigned count = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        count = (unsigned)CPU_COUNT(&set);
    unsigned quota = least_quota(root, membership);
    if (quota > 0 && quota < count)
        count = quota;
    return count < TRI_WORKER_LIMIT ? count : TRI_WORKER_LIMIT;
}
