/* SPDX-License-Identifier: MIT */
/* deadline.c: see deadline.h. */
#include "actor/deadline.h"

#include <errno.h>
#include <stddef.h>

struct tri_pool tri_alarm_pool = {
    .name = "alarm",
    .object_bytes = 64,
    .link_offset = offsetof(struct tri_alarm, next),
    .slab_objects = 512,
};
_Static_assert(sizeof(struct tri_alarm) <= 64, "an alarm is a cache line");

static struct tri_cache *alarm_cache(struct tri_worker *worker)
{
    return !worker || worker->no_caches ? NULL : &worker->alarms;
}

static void set_timer(struct tri_worker *worker, struct tri_alarm *alarm, tr_time when)
{
    tri_wheel_insert(&worker->wheel, &alarm->timer, when);
    if (when < worker->next_alarm)
        worker->next_alarm = when;
}

/* Sends an alarm that was taken out of its task's record to the worker whose wheel it is in. */
static void send_home(struct tri_alarm *alarm)
{
    struct tri_worker *owner = tri_load(&alarm->owner, TRI_RELAXED);
    alarm->next = tri_load(&owner->orphans, TRI_RELAXED);
    while (!tri_cas(&owner->orphans, &alarm->next, alarm, TRI_RELEASE, TRI_RELAXED)) /* [D1] its fields */
        ;
}

static void give_alarm(struct tri_alarm *alarm)
{
    tri_pool_give(&tri_alarm_pool, alarm_cache(tri_worker_here()), alarm);
}

static void free_alarm(struct tri_worker *worker, struct tri_alarm *alarm)
{
    tri_wheel_remove(&worker->wheel, &alarm->timer);
    give_alarm(alarm);
}

static int arm_new(struct tri_worker *worker, struct tri_task *task, tr_time deadline)
{
    struct tri_alarm *alarm = tri_pool_take(&tri_alarm_pool, alarm_cache(worker));
    if (!alarm)
        return -ENOMEM;
    alarm->timer = (struct tri_timer){ 0 };
    alarm->task = task;
    tri_store(&alarm->owner, worker, TRI_RELAXED);
    set_timer(worker, alarm, deadline);
    struct tri_alarm *old = tri_exchange(&task->alarm, alarm, TRI_ACQ_REL);
    if (old)
        send_home(old);
    return 0;
}

int tri_deadline_arm(struct tri_worker *worker, struct tri_task *task, tr_time deadline)
{
    tri_store(&task->deadline, deadline, TRI_RELAXED); /* read by the alarm's owner: us, whenever we rely on it */
    if (deadline == TR_FOREVER)
        return 0;
    struct tri_alarm *alarm = tri_load(&task->alarm, TRI_ACQUIRE);
    /* Only its owner frees an alarm that is in a record, so an alarm of ours stays while we look. */
    if (!alarm || tri_load(&alarm->owner, TRI_RELAXED) != worker)
        return arm_new(worker, task, deadline);
    if (alarm->timer.when > deadline) {
        tri_wheel_remove(&worker->wheel, &alarm->timer);
        set_timer(worker, alarm, deadline);
    }
    return 0;
}

void tri_deadline_forget(struct tri_worker *worker, struct tri_task *task)
{
    if (!tri_load(&task->alarm, TRI_RELAXED))
        return;
    struct tri_alarm *alarm = tri_exchange(&task->alarm, NULL, TRI_ACQ_REL);
    if (alarm && tri_load(&alarm->owner, TRI_RELAXED) == worker)
        free_alarm(worker, alarm);
    else if (alarm)
        send_home(alarm);
}

static void fire(struct tri_timer *timer, void *context)
{
    struct tri_worker *worker = context;
    struct tri_alarm *alarm = (struct tri_alarm *)(void *)timer;
    struct tri_task *task = alarm->task;
    tr_time deadline = tri_load(&task->deadline, TRI_RELAXED);
    if (deadline > worker->now && deadline != TR_FOREVER) {
        tri_wheel_insert(&worker->wheel, timer, deadline);
        return;
    }
    struct tri_alarm *expected = alarm;
    if (tri_cas(&task->alarm, &expected, NULL, TRI_ACQ_REL, TRI_RELAXED))
        tri_pool_give(&tri_alarm_pool, alarm_cache(worker), alarm);
    /* else it is on its way home, and freed there; it is out of the wheel now, which is harmless */
    if (deadline <= worker->now)
        tri_wake(task);
}

static void take_orphans(struct tri_worker *worker)
{
    if (tri_load(&worker->orphans, TRI_RELAXED)) {
        struct tri_alarm *alarm = tri_exchange(&worker->orphans, NULL, TRI_ACQUIRE); /* [D1] */
        while (alarm) {
            struct tri_alarm *next = alarm->next;
            free_alarm(worker, alarm);
            alarm = next;
        }
    }
}

/* The clock stands: timers are due at their time and not at their tick, which is up to a tick later. */
static void pass_exactly(struct tri_worker *worker)
{
    tri_wheel_expire(&worker->wheel, worker->now, worker->runtime->seed ? tri_choice : NULL, fire, worker);
    tr_time next = tri_wheel_next(&worker->wheel);
    worker->next_alarm = next == TR_FOREVER ? next : next - TR_TIMER_TICK;
}

void tri_deadline_pass(struct tri_worker *worker)
{
    take_orphans(worker);
    if (worker->now < worker->next_alarm)
        return;
    if (__builtin_expect(worker->exact, 0)) {
        pass_exactly(worker);
        return;
    }
    tri_wheel_advance(&worker->wheel, worker->now, fire, worker);
    worker->next_alarm = tri_wheel_next(&worker->wheel);
}

/*
 * Alarms stay in the wheel when the wait is over. One that is in its task's record counts only while the task waits: a
 * handler actor that is idle does not, and who runs, or waits elsewhere by now, arms another.
 */
static tr_time due(struct tri_timer *timer, void *context)
{
    struct tri_alarm *alarm = (struct tri_alarm *)(void *)timer;
    struct tri_task *task = alarm->task;
    (void)context;
    if (tri_load(&task->alarm, TRI_RELAXED) != alarm || tri_load(&task->park.state, TRI_RELAXED) != TRI_PARKED)
        return TR_FOREVER;
    return tri_load(&task->deadline, TRI_RELAXED);
}

/* As in fire: one that is not in the record any more is on its way home, and freed there. */
static void drop(struct tri_timer *timer, void *context)
{
    struct tri_alarm *alarm = (struct tri_alarm *)(void *)timer, *expected = alarm;
    (void)context;
    if (tri_cas(&alarm->task->alarm, &expected, NULL, TRI_ACQ_REL, TRI_RELAXED))
        give_alarm(alarm);
}

tr_time tri_deadline_next(struct tri_worker *worker)
{
    static const struct tri_wheel_judge judge = { due, drop };
    take_orphans(worker);
    return tri_wheel_earliest(&worker->wheel, &judge, NULL);
}

static void flush_one(struct tri_timer *timer, void *context)
{
    struct tri_worker *worker = context;
    struct tri_alarm *alarm = (struct tri_alarm *)(void *)timer;
    struct tri_alarm *expected = alarm;
    tri_cas(&alarm->task->alarm, &expected, NULL, TRI_ACQ_REL, TRI_RELAXED);
    tri_pool_give(&tri_alarm_pool, alarm_cache(worker), alarm);
}

void tri_deadline_flush(struct tri_worker *worker)
{
    tri_deadline_pass(worker);
    tri_wheel_advance(&worker->wheel, TR_FOREVER - 1, flush_one, worker);
}
