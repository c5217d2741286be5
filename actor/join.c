/* SPDX-License-Identifier: MIT */
/*
 * join.c: waiting for the end of tasks: one, as a case of a select, or many at once.
 *
 * Who waits is in the join word of the task. One task can be in the words of many: each end wakes it, and it looks which
 * of them say TAKEN. The edges are those of task.c: [T1].
 */
#include "actor/idle.h"
#include "actor/scheduler.h"
#include "mailbox/wait.h"

#include <errno.h>
#include <troupe/gather.h>

/* What a joiner wants to know; NULL: that not. */
struct wanted {
    int *result;
    struct tr_outcome *outcome;
};

static __attribute__((noinline)) void fill_outcome(struct tr_outcome *out, struct tri_task *task)
{
    struct tri_cold *cold = tri_load(&task->cold, TRI_RELAXED);
    tri_outcome_fill(out, task->result, cold ? cold->reason : NULL);
}

/*
 * The task has ended: the record is ours, unless somebody else with the same handle has been quicker. The generation
 * decides who: it moves once. `alone`: nobody else can be, for we waited in the join word and found TAKEN.
 */
static inline __attribute__((always_inline)) bool take_record(struct tri_task *task, uint64_t generation, bool alone)
{
    uint64_t life = generation << TRI_LIFE_SHIFT | TRI_LIFE_ENDED;
    uint64_t next = (generation + 1) << TRI_LIFE_SHIFT;
    if (!alone)
        return tri_cas(&task->life, &life, next, TRI_RELAXED, TRI_RELAXED);
    tri_store(&task->life, next, TRI_RELAXED);
    return true;
}

/* Takes the result and frees the record. */
static inline __attribute__((always_inline)) int take_result(struct tri_task *task, uint64_t generation,
                                                             struct wanted wanted, bool alone)
{
    if (!take_record(task, generation, alone))
        return -ESRCH;
    if (wanted.result) /* ours only now */
        *wanted.result = task->result;
    if (wanted.outcome)
        fill_outcome(wanted.outcome, task);
    tri_task_give(tri_worker_here(), task);
    return 0;
}

/* As a joiner who does not want the result. */
static int reap(struct tri_task *task, uint64_t generation)
{
    if (!take_record(task, generation, false))
        return -ESRCH;
    tri_task_report(task);
    tri_task_give(tri_worker_here(), task);
    return 0;
}

void tri_task_reap(struct tri_task *task, uint64_t generation)
{
    if (tri_load(&task->join, TRI_ACQUIRE) == TRI_JOIN_DONE) /* [T1] else somebody has it */
        reap(task, generation);
}

static struct tri_task *record_of(struct tr_task handle)
{
    struct tri_task *task = handle.tri_record;
    return task && tri_task_generation(task) == handle.tri_generation ? task : NULL;
}

/*
 * Why the handle got nothing, who found `join` instead of nobody: -EINVAL if another waits, -ESRCH if it is detached,
 * another's who waited, or stale.
 */
static int refusal(struct tr_task handle, uintptr_t join)
{
    return join & TRI_JOIN_TAG || !record_of(handle) ? -ESRCH : -EINVAL;
}

/* We are in the join word. Waits for TAKEN; on an error leaves the word, unless the task has ended after all. */
static inline __attribute__((always_inline)) int await_end(struct tri_task *task, uint64_t generation, uintptr_t self,
                                                           struct wanted wanted, tr_time deadline)
{
    while (tri_load(&task->join, TRI_ACQUIRE) != TRI_JOIN_TAKEN) { /* [T1] */
        int rc = tri_park(deadline, TRI_WAIT_JOIN);
        uintptr_t expected = self;
        if (rc < 0 && tri_cas(&task->join, &expected, tri_join_nobody(generation), TRI_RELAXED, TRI_RELAXED))
            return rc;
    }
    return take_result(task, generation, wanted, true);
}

/*
 * A task that lies in our LIFO slot, and so may run here, is run at once, ourselves held: no wake is needed if it just
 * returns. It lay there when the caller looked.
 */
static inline __attribute__((always_inline)) void run_waiting(struct tri_worker *worker, struct tri_task *task)
{
    if (worker->alone)
        tri_store(&worker->lifo, NULL, TRI_RELAXED);
    else if (!tri_take_lifo(worker)) /* nobody but us puts another there */
        return;
    struct tri_stack *to = tri_leave_held(worker, task, NULL);
    if (__builtin_expect(to != NULL, 1))
        tri_go(worker, to);
    else
        tri_ready_last(worker, task);
}

static inline __attribute__((always_inline)) int join_task(struct tr_task handle, struct wanted wanted,
                                                           tr_time deadline)
{
    struct tri_worker *worker;
    struct tri_task *task = handle.tri_record;
    int rc = tri_begin(&worker);
    bool in_task = worker && worker->current;
    struct tri_task *self = in_task ? worker->current : tri_self();
    if (!task)
        return -ESRCH;
    if (!self)
        return -ENOMEM;
    if (task == self)
        return record_of(handle) ? -EDEADLK : -ESRCH;
    if (rc < 0)
        return record_of(handle) ? rc : -ESRCH;
    uintptr_t expected = tri_join_nobody(handle.tri_generation);
    if (!tri_cas(&task->join, &expected, (uintptr_t)self, TRI_ACQ_REL, TRI_ACQUIRE)) { /* [T1] [T4] */
        if (expected == TRI_JOIN_DONE)
            return take_result(task, handle.tri_generation, wanted, false);
        return refusal(handle, expected);
    }
    if (in_task && deadline != TR_NOW && !worker->migrate && tri_load(&worker->lifo, TRI_RELAXED) == task)
        run_waiting(worker, task);
    return await_end(task, handle.tri_generation, (uintptr_t)self, wanted, deadline);
}

static __attribute__((noinline)) int join_slow(struct tr_task handle, int *result, tr_time deadline)
{
    return join_task(handle, (struct wanted){ .result = result }, deadline);
}

static __attribute__((noinline)) int await_slow(struct tr_task handle, struct tri_task *self, int *result,
                                                tr_time deadline)
{
    return await_end(handle.tri_record, handle.tri_generation, (uintptr_t)self, (struct wanted){ .result = result },
                     deadline);
}

/* The plain case needs few registers: the task is the one that was made ready last, and just returns. */
int tr_task_join(struct tr_task handle, int *result, tr_time deadline)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_task *task = handle.tri_record;
    if (__builtin_expect(!tri_may_go_on(worker) || !task || tri_load(&worker->lifo, TRI_RELAXED) != task ||
                             deadline == TR_NOW || worker->migrate,
                         0))
        return join_slow(handle, result, deadline);
    struct tri_task *self = worker->current;
    uintptr_t expected = tri_join_nobody(handle.tri_generation);
    if (__builtin_expect(!tri_cas(&task->join, &expected, (uintptr_t)self, TRI_RELEASE, TRI_RELAXED), 0)) /* [T4] */
        return join_slow(handle, result, deadline);
    worker->budget--;
    run_waiting(worker, task);
    if (__builtin_expect(tri_load(&task->join, TRI_ACQUIRE) != TRI_JOIN_TAKEN, 0)) /* [T1] */
        return await_slow(handle, self, result, deadline);
    return take_result(task, handle.tri_generation, (struct wanted){ .result = result }, true);
}

int tr_task_join_outcome(struct tr_task handle, struct tr_outcome *outcome, tr_time deadline)
{
    return join_task(handle, (struct wanted){ .outcome = outcome }, deadline);
}

int tr_task_detach(struct tr_task handle)
{
    struct tri_task *task = record_of(handle);
    uintptr_t expected = tri_join_nobody(handle.tri_generation);
    if (!task)
        return -ESRCH;
    if (tri_cas(&task->join, &expected, TRI_JOIN_DETACHED, TRI_ACQUIRE, TRI_ACQUIRE)) /* [T1] */
        return 0;
    if (expected != TRI_JOIN_DONE)
        return refusal(handle, expected);
    return reap(task, handle.tri_generation);
}

/* A word of the next tenant's is as good: the task has ended then. What it did passes by a join: [T1]. */
bool tr_task_is_over(struct tr_task handle)
{
    struct tri_task *task = record_of(handle);
    uintptr_t join = task ? tri_load(&task->join, TRI_RELAXED) : TRI_JOIN_DONE;
    return join == TRI_JOIN_DONE || join == TRI_JOIN_TAKEN;
}

/* ---- in several words at once --------------------------------------------------------------------------------- */

/* Puts us into the join word. Returns -EAGAIN if we are in it; 1 if the task has ended; else why it cannot be joined. */
static int enter_word(struct tr_task handle, struct tri_task *self)
{
    struct tri_task *task = handle.tri_record;
    uintptr_t expected = tri_join_nobody(handle.tri_generation);
    if (!task)
        return -ESRCH;
    if (task == self)
        return record_of(handle) ? -EDEADLK : -ESRCH;
    if (tri_cas(&task->join, &expected, (uintptr_t)self, TRI_ACQ_REL, TRI_ACQUIRE)) /* [T1] [T4] */
        return -EAGAIN;
    return expected == TRI_JOIN_DONE ? 1 : refusal(handle, expected);
}

/* Takes us out of it. False: the task has ended, and its result is ours. */
static bool leave_word(struct tr_task handle, struct tri_task *self)
{
    struct tri_task *task = handle.tri_record;
    uintptr_t expected = (uintptr_t)self;
    return tri_cas(&task->join, &expected, tri_join_nobody(handle.tri_generation), TRI_ACQUIRE, TRI_ACQUIRE); /* [T1] */
}

/* We are in the word. */
static bool has_ended(struct tr_task handle)
{
    struct tri_task *task = handle.tri_record;
    return tri_load(&task->join, TRI_ACQUIRE) == TRI_JOIN_TAKEN; /* [T1] */
}

/* ---- as a case; tri_next says whether we are in the word ------------------------------------------------------ */

static struct tr_task task_of(const struct tr_case *c)
{
    return (struct tr_task){ c->tri_object, c->tri_amount };
}

static int take_case(struct tr_case *c)
{
    return take_result(c->tri_object, c->tri_amount, (struct wanted){ .result = c->tri_value }, false);
}

static int attempt_join(struct tr_case *c)
{
    struct tr_task handle = task_of(c);
    struct tri_task *task = handle.tri_record, *self = tri_self();
    if (!task)
        return -ESRCH;
    if (task == self)
        return record_of(handle) ? -EDEADLK : -ESRCH;
    uintptr_t join = tri_load(&task->join, TRI_ACQUIRE); /* [T1] */
    if (join == tri_join_nobody(handle.tri_generation))
        return -EAGAIN;
    return join == TRI_JOIN_DONE ? take_case(c) : refusal(handle, join);
}

static int enter_join(struct tr_case *c)
{
    int rc = enter_word(task_of(c), c->tri_waiter->task);
    if (rc == -EAGAIN) {
        c->tri_next = c;
        return rc;
    }
    if (!tri_claim(c))
        return -EAGAIN;
    return rc == 1 ? take_case(c) : rc;
}

/* An end that has come meanwhile is left to whoever joins next: to us, if it is this case that is carried out. */
static bool leave_join(struct tr_case *c)
{
    struct tri_task *task = c->tri_object;
    if (!c->tri_next)
        return false;
    c->tri_next = NULL;
    if (leave_word(task_of(c), c->tri_waiter->task))
        return true;
    tri_store(&task->join, TRI_JOIN_DONE, TRI_RELEASE); /* [T1] and passes on what we have acquired */
    return false;
}

static bool join_ready(struct tr_case *c)
{
    return c->tri_next && has_ended(task_of(c));
}

static const struct tri_kind join_kind = { attempt_join, enter_join, leave_join, join_ready, TRI_WAIT_JOIN };

struct tr_case tr_case_join(struct tr_task task, int *result)
{
    return (struct tr_case){
        .tri_kind = &join_kind, .tri_object = task.tri_record, .tri_amount = task.tri_generation, .tri_value = result
    };
}

/* ---- many ----------------------------------------------------------------------------------------------------- */

#define NONE UINT32_MAX

static void take_one(struct tr_gather_task *one, bool alone)
{
    one->error =
        take_result(one->task.tri_record, one->task.tri_generation, (struct wanted){ .outcome = &one->outcome }, alone);
}

static bool has_succeeded(const struct tr_gather_task *one)
{
    return one->error == 0 && one->outcome.kind == TR_RETURNED;
}

/* True if this end ends the whole. */
static bool ends_all(const struct tr_gather_task *one, unsigned flags)
{
    return has_succeeded(one) ? flags & TR_GATHER_FIRST_SUCCESS : flags & TR_GATHER_FIRST_ERROR;
}

/* Enters all; links those that have not ended. */
static uint32_t enter_tasks(struct tr_gather_task *tasks, uint32_t count, struct tri_task *self, unsigned flags,
                            bool *over)
{
    uint32_t first = NONE, *place = &first;
    for (uint32_t i = 0; i < count; i++) {
        tasks[i].error = enter_word(tasks[i].task, self);
        if (tasks[i].error == -EAGAIN) {
            *place = i;
            place = &tasks[i].tri_next;
            *place = NONE;
            continue;
        }
        if (tasks[i].error == 1)
            take_one(&tasks[i], false);
        *over |= ends_all(&tasks[i], flags);
    }
    return first;
}

/* Looks at those that are left, as far as it matters: without special flags, at the first alone. */
static bool look_at_tasks(struct tr_gather_task *tasks, uint32_t *first, unsigned flags)
{
    uint32_t *place = first;
    bool over = false;
    while (*place != NONE && !over) {
        struct tr_gather_task *one = &tasks[*place];
        if (has_ended(one->task)) {
            *place = one->tri_next;
            take_one(one, true);
            over = ends_all(one, flags);
        } else if (flags == TR_GATHER_ALL) {
            break;
        } else {
            place = &one->tri_next;
        }
    }
    return over;
}

static int await_tasks(struct tr_gather_task *tasks, uint32_t *first, tr_time deadline, unsigned flags)
{
    int rc = 0;
    while (rc == 0) {
        if (look_at_tasks(tasks, first, flags))
            return -ECANCELED;
        if (*first == NONE)
            return 0;
        rc = tri_park(deadline, TRI_WAIT_JOIN);
    }
    return rc;
}

/* Leaves the words of those that are left, but for those that have ended after all. */
static void leave_tasks(struct tr_gather_task *tasks, uint32_t first, struct tri_task *self, int rc)
{
    for (; first != NONE; first = tasks[first].tri_next) {
        tasks[first].error = rc;
        if (!leave_word(tasks[first].task, self))
            take_one(&tasks[first], true);
    }
}

int tr_join_all(struct tr_gather_task *tasks, uint32_t count, tr_time deadline, unsigned flags)
{
    unsigned ends = flags & (TR_GATHER_FIRST_ERROR | TR_GATHER_FIRST_SUCCESS);
    bool over = false;
    int succeeded = 0;
    if (count > INT32_MAX || flags & ~(ends | TR_GATHER_CANCEL_REST))
        return -EINVAL;
    struct tri_worker *worker;
    int rc = tri_begin(&worker);
    struct tri_task *self = tri_self();
    for (uint32_t i = 0; (rc < 0 || !self) && i < count; i++)
        tasks[i].error = rc < 0 ? rc : -ENOMEM;
    if (rc < 0 || !self)
        return 0;
    uint32_t first = enter_tasks(tasks, count, self, ends, &over);
    rc = over ? -ECANCELED : await_tasks(tasks, &first, deadline, ends);
    if (first != NONE && flags & TR_GATHER_CANCEL_REST) {
        for (uint32_t i = first; i != NONE; i = tasks[i].tri_next)
            tr_task_cancel(tasks[i].task);
        rc = await_tasks(tasks, &first, deadline, TR_GATHER_ALL);
    }
    leave_tasks(tasks, first, self, rc);
    for (uint32_t i = 0; i < count; i++)
        succeeded += has_succeeded(&tasks[i]);
    return succeeded;
}
