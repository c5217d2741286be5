/* SPDX-License-Identifier: MIT */
/*
 * deadline.c: see deadline.h.
 *
 *   [D1] orphans release -> acquire by the owner of the wheel: an alarm that was sent home.
 *
 * The word `alarm` of a record passes nothing, and is relaxed: it decides who has the alarm. What a task finds there it
 * has put there itself, though perhaps on another worker; and an alarm that is used again has been through a pool.
 */
#include "actor/deadline.h"
#include "actor/after.h"

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
    return worker->no_caches ? NULL : &worker->alarms;
}

void tri_deadline_set(struct tri_worker *worker, struct tri_timer *timer, tr_time when)
{
    tri_wheel_insert(&worker->wheel, timer, when);
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

static void free_alarm(struct tri_worker *worker, struct tri_alarm *alarm)
{
    tri_wheel_remove(&worker->wheel, &alarm->timer);
    tri_pool_give(&tri_alarm_pool, alarm_cache(worker), alarm);
}

static __attribute__((noinline)) int arm_new(struct tri_worker *worker, struct tri_task *task, tr_time deadline)
{
    struct tri_alarm *alarm = tri_pool_take(&tri_alarm_pool, alarm_cache(worker));
    if (!alarm)
        return -ENOMEM;
    alarm->timer = (struct tri_timer){ 0 };
    alarm->task = task;
    tri_store(&alarm->owner, worker, TRI_RELAXED);
    tri_deadline_set(worker, &alarm->timer, deadline);
    struct tri_alarm *old = tri_exchange(&task->alarm, alarm, TRI_RELAXED);
    if (old)
        send_home(old);
    return 0;
}

static __attribute__((noinline)) int arm_earlier(struct tri_worker *worker, struct tri_alarm *alarm, tr_time deadline)
{
    tri_wheel_remove(&worker->wheel, &alarm->timer);
    tri_deadline_set(worker, &alarm->timer, deadline);
    return 0;
}

/* A leaf, but for the tail calls. */
int tri_deadline_arm(struct tri_worker *worker, struct tri_task *task, tr_time deadline)
{
    if (deadline > TRI_ENDLESS) { /* also one that is a slot's address to cycle.h */
        tri_store(&task->deadline, TR_FOREVER, TRI_RELAXED);
        return 0;
    }
    tri_store(&task->deadline, deadline, TRI_RELAXED); /* read by the alarm's owner: us, whenever we rely on it */
    struct tri_alarm *alarm = tri_load(&task->alarm, TRI_RELAXED);
    /* Only its owner frees an alarm that is in a record, so an alarm of ours stays while we look. */
    if (!alarm || tri_load(&alarm->owner, TRI_RELAXED) != worker)
        return arm_new(worker, task, deadline);
    return alarm->timer.when > deadline ? arm_earlier(worker, alarm, deadline) : 0;
}

void tri_deadline_forget(struct tri_worker *worker, struct tri_task *task)
{
    if (!tri_load(&task->alarm, TRI_RELAXED))
        return;
    struct tri_alarm *alarm = tri_exchange(&task->alarm, NULL, TRI_RELAXED);
    if (alarm && tri_load(&alarm->owner, TRI_RELAXED) == worker)
        free_alarm(worker, alarm);
    else if (alarm)
        send_home(alarm);
}

static void fire(struct tri_timer *timer, void *context)
{
    struct tri_worker *worker = context;
    if (timer->kind == TRI_TIMER_POST) {
        tri_post_fire(worker, timer);
        return;
    }
    struct tri_alarm *alarm = (struct tri_alarm *)(void *)timer;
    struct tri_task *task = alarm->task;
    tr_time deadline = tri_load(&task->deadline, TRI_RELAXED);
    if (deadline > worker->now && deadline <= TRI_ENDLESS) {
        tri_wheel_insert(&worker->wheel, timer, deadline);
        return;
    }
    struct tri_alarm *expected = alarm;
    if (tri_cas(&task->alarm, &expected, NULL, TRI_RELAXED, TRI_RELAXED))
        tri_pool_give(&tri_alarm_pool, alarm_cache(worker), alarm);
    /* else it is on its way home, and freed there; it is out of the wheel now, which is harmless */
    if (deadline <= worker->now)
        tri_wake(task);
}

static void take_in(struct tri_worker *worker)
{
    if (tri_load(&worker->orphans, TRI_RELAXED)) {
        struct tri_alarm *alarm = tri_exchange(&worker->orphans, NULL, TRI_ACQUIRE); /* [D1] */
        while (alarm) {
            struct tri_alarm *next = alarm->next;
            free_alarm(worker, alarm);
            alarm = next;
        }
    }
    if (tri_load(&worker->posts, TRI_RELAXED))
        tri_post_collect(worker);
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
    take_in(worker);
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
    if (timer->kind == TRI_TIMER_POST)
        return timer->when;
    if (tri_load(&task->alarm, TRI_RELAXED) != alarm || tri_load(&task->park.state, TRI_RELAXED) != TRI_PARKED)
        return TR_FOREVER;
    tr_time deadline = tri_load(&task->deadline, TRI_RELAXED);
    return deadline > TRI_ENDLESS ? TR_FOREVER : deadline;
}

/* As in fire: one that is not in the record any more is on its way home, and freed there. */
static void drop(struct tri_timer *timer, void *context)
{
    struct tri_alarm *alarm = (struct tri_alarm *)(void *)timer, *expected = alarm;
    if (tri_cas(&alarm->task->alarm, &expected, NULL, TRI_RELAXED, TRI_RELAXED))
        tri_pool_give(&tri_alarm_pool, alarm_cache(context), alarm);
}

tr_time tri_deadline_next(struct tri_worker *worker)
{
    static const struct tri_wheel_judge judge = { due, drop };
    take_in(worker);
    return tri_wheel_earliest(&worker->wheel, &judge, worker);
}

static void flush_one(struct tri_timer *timer, void *context)
{
    struct tri_worker *worker = context;
    if (timer->kind == TRI_TIMER_POST) {
        tri_post_flush(worker, timer);
        return;
    }
    struct tri_alarm *alarm = (struct tri_alarm *)(void *)timer;
    struct tri_alarm *expected = alarm;
    tri_cas(&alarm->task->alarm, &expected, NULL, TRI_RELAXED, TRI_RELAXED);
    tri_pool_give(&tri_alarm_pool, alarm_cache(worker), alarm);
}

void tri_deadline_flush(struct tri_worker *worker)
{
    tri_deadline_pass(worker);
    tri_wheel_advance(&worker->wheel, TR_FOREVER - 1, flush_one, worker);
}
