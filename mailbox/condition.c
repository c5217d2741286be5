/* SPDX-License-Identifier: MIT */
/*
 * condition.c: the condition variable, a monitor without a state: only the queue.
 *
 * Who waits is in the queue before the mutex is unlocked. So whoever changes something under the mutex later, and signals, finds it.
 *
 *   [CV1] What a signal announces was written under the mutex, and is seen under it ([X1]); the signal itself orders by [W1].
 */
#include "mailbox/monitor.h"
#include "mailbox/mutex.h"
#include <troupe/condition.h>

#include <errno.h>

_Static_assert(sizeof(struct tr_condition) == 16 && sizeof(struct tri_monitor) == 16, "the public face");
_Static_assert(_Alignof(struct tri_monitor) == _Alignof(struct tr_condition), "the public face");

static inline struct tri_monitor *monitor_of(const struct tr_condition *condition)
{
    return (struct tri_monitor *)(uintptr_t)condition;
}

void tr_condition_init(struct tr_condition *condition)
{
    *condition = (struct tr_condition)TR_CONDITION_INIT;
}

static int refuse(struct tr_case *c)
{
    (void)c;
    return -EAGAIN;
}

static int enter(struct tr_case *c)
{
    struct tri_turn turn = tri_turn_begin(c->tri_object);
    tri_line_push(&turn.monitor->line, c);
    tri_turn_end(&turn);
    tri_mutex_unlock_slow(c->tri_value);
    return -EAGAIN;
}

static const struct tri_kind signal_kind = { refuse, enter, tri_monitor_leave, NULL, TRI_WAIT_SIGNAL };

int tr_condition_wait(struct tr_condition *condition, struct tr_mutex *mutex, tr_time deadline)
{
    struct tr_case c = { .tri_kind = &signal_kind, .tri_object = condition, .tri_value = mutex };
    if (!tr_mutex_is_mine(mutex))
        return -EINVAL;
    int rc = tri_checkpoint();
    if (rc < 0)
        return rc;
    if (deadline == TR_NOW)
        return -ETIMEDOUT;
    rc = tri_wait(&c, deadline);
    tri_mutex_lock_tail(mutex);
    return rc;
}

void tr_condition_signal(struct tr_condition *condition)
{
    struct tri_turn turn = tri_turn_begin(monitor_of(condition));
    struct tr_case *c = tri_line_pop(&turn.monitor->line);
    struct tri_task *task = c ? tri_finish(c, 0) : NULL;
    tri_turn_end(&turn);
    if (task)
        tri_wake(task);
}

void tr_condition_signal_all(struct tr_condition *condition)
{
    struct tri_turn turn = tri_turn_begin(monitor_of(condition));
    tri_turn_end_serving_all(&turn, 0);
}
