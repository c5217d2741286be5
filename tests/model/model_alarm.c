/* SPDX-License-Identifier: MIT */
/*
 * model_alarm.c: alarms (actor/deadline.c, with the real wheel of io/timer.c). A task has an alarm in the first worker's
 * wheel, where it is due, and goes on on the second worker.
 *
 *   move     it waits there with another deadline: the old alarm goes home, or has just been fired
 *   forever  it waits there without a deadline first, so that the old alarm is freed where it is
 *   end      it ends, and the next tenant of the record waits
 *   back     it waits there, and on the first worker again
 *   flush    the first worker ends, as if a task had left its alarm
 *
 * A wait is woken at its deadline by the worker that it was on, and each alarm is freed once, by the owner of its wheel.
 */
#include <string.h>

#include "fake_lock.h"

#include "actor/queue.h"
#include "actor/sanitizer.h"
#include "actor/stack.h"
#include "actor/switch.h"

#include "actor/deadline.c"
#include "fake_clock.h"
#include "fake_posts.h"
#include "io/timer.c"
#include "mailbox/pool.c"

static struct tri_worker workers[2];
static struct tri_task task;
static unsigned wakes[MODEL_THREADS + 1]; /* by each thread */
static TRI_ATOMIC(uint32_t) gone_back;    /* the first worker may run the task again */

void tri_wake(struct tri_task *whom)
{
    model_assert(whom == &task);
    wakes[model_self() + 1]++;
}

static void setup(void)
{
    tri_alarm_pool.slab_objects = 2;
    for (unsigned i = 0; i < 2; i++) {
        workers[i].index = i;
        workers[i].no_caches = true; /* an alarm that is free is soon another's */
        workers[i].next_alarm = TR_FOREVER;
        tri_wheel_init(&workers[i].wheel, 0);
    }
    model_assert(tri_deadline_arm(&workers[0], &task, 10 * TR_TIMER_TICK) == 0);
}

static void pass(unsigned index, tr_time ticks)
{
    workers[index].now = ticks * TR_TIMER_TICK;
    tri_deadline_pass(&workers[index]);
}

/* A wait on this worker, whose own pass ends it. */
static void wait_for(unsigned index, tr_time ticks)
{
    model_assert(tri_deadline_arm(&workers[index], &task, ticks * TR_TIMER_TICK) == 0);
    unsigned before = wakes[model_self() + 1];
    pass(index, ticks);
    model_assert(wakes[model_self() + 1] > before);
}

/* ---- the parts ---- */

static void owner(void)
{
    pass(0, 10);
    pass(0, 11);
}

static void mover(void)
{
    wait_for(1, 20);
}

static void forever_mover(void)
{
    model_assert(tri_deadline_arm(&workers[1], &task, TR_FOREVER) == 0);
    wait_for(1, 20);
}

static void ender(void)
{
    model_assert(tri_deadline_arm(&workers[1], &task, 20 * TR_TIMER_TICK) == 0);
    tri_deadline_forget(&workers[1], &task);
    wait_for(1, 21); /* a stranger */
    tri_deadline_forget(&workers[1], &task);
}

/* Ends without a wait. */
static void quick_ender(void)
{
    tri_deadline_forget(&workers[1], &task);
    wait_for(1, 21); /* a stranger */
}

static void back_mover(void)
{
    model_assert(tri_deadline_arm(&workers[1], &task, 20 * TR_TIMER_TICK) == 0);
    tri_store(&gone_back, 1u, TRI_RELEASE); /* through a run queue */
    pass(1, 20);
    pass(1, 21);
}

static void back_owner(void)
{
    pass(0, 10);
    while (!tri_load(&gone_back, TRI_ACQUIRE))
        tri_spin();
    wait_for(0, 30);
}

static void nobody(void)
{
}

static void check(void)
{
    for (unsigned i = 0; i < 2; i++)
        tri_deadline_pass(&workers[i]);
    for (unsigned i = 0; i < 2; i++) {
        tri_deadline_flush(&workers[i]);
        model_assert(!workers[i].wheel.count);
    }
    model_assert(!tri_load(&task.alarm, TRI_RELAXED));
    unsigned found = 0;
    for (struct tri_alarm *alarm = tri_alarm_pool.free_list; alarm; alarm = alarm->next)
        model_assert(++found <= tri_alarm_pool.total);
    model_assert(found == tri_alarm_pool.total && found == tri_alarm_pool.free_count);
}

static const struct model_case cases[] = {
    { .name = "move", .setup = setup, .check = check, .threads = { { "owner", owner, 0 }, { "task", mover, 0 } } },
    { .name = "forever",
      .setup = setup,
      .check = check,
      .threads = { { "owner", owner, 0 }, { "task", forever_mover, 0 } } },
    { .name = "end", .setup = setup, .check = check, .threads = { { "owner", owner, 0 }, { "task", ender, 0 } } },
    { .name = "end at once",
      .setup = setup,
      .check = check,
      .threads = { { "owner", owner, 0 }, { "task", quick_ender, 0 } } },
    { .name = "back",
      .setup = setup,
      .check = check,
      .threads = { { "owner", back_owner, 0 }, { "task", back_mover, 0 } } },
    { .name = "flush", .setup = setup, .check = check, .threads = { { "nobody", nobody, 0 } } },
    { 0 },
};
MODEL(cases);
