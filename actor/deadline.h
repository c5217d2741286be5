/* SPDX-License-Identifier: MIT */
/*
 * deadline.h: deadlines of waits, lazily.
 *
 * Nearly every deadline is never reached, so arming one must cost next to nothing and disarming nothing at all. A task
 * keeps at most one alarm, in the wheel of one worker, and the alarm stays there when the wait is over. A later wait
 * with a later deadline finds an alarm that goes off early enough and only notes its deadline in the record. When the
 * alarm goes off, its worker looks at the noted deadline: passed: wake the task; later: the alarm moves there; none:
 * the alarm is freed. A needless wake is harmless (waiting is a loop), and so is an alarm that goes off for nothing.
 *
 * An alarm belongs to the wheel it is in. A task that waits on another worker now takes the alarm out of its record and
 * sends it home to be freed, and arms one where it is. Whoever takes the alarm out of the record, by exchange, is the
 * one who frees it or sends it home.
 */
#ifndef TRI_DEADLINE_H
#define TRI_DEADLINE_H

#include "actor/scheduler.h"

struct tri_alarm {
    struct tri_timer timer;
    struct tri_task *task;
    TRI_ATOMIC(struct tri_worker *) owner; /* a task on another worker may look at it while the alarm changes hands */
    struct tri_alarm *next;                /* on its way home; free */
};

extern struct tri_pool tri_alarm_pool;

/* Sees to it that the running task is woken at `deadline`, or soon after. Returns 0 or -ENOMEM. */
int tri_deadline_arm(struct tri_worker *worker, struct tri_task *task, tr_time deadline);
/* The task ends: its alarm goes. */
void tri_deadline_forget(struct tri_worker *worker, struct tri_task *task);
/* Puts a timer into the worker's wheel. Owner. */
void tri_deadline_set(struct tri_worker *worker, struct tri_timer *timer, tr_time when);
/* Frees what came home, takes in posts (see after.h), and fires what is due. Owner. */
void tri_deadline_pass(struct tri_worker *worker);
/*
 * When the next task that waits here is to be woken, exactly, and TR_FOREVER if none has a deadline; with alarms that were
 * left behind out of the way. For a clock that stands (clock.h). Any worker, while the owner is idle and cannot go on
 * and nothing runs.
 */
tr_time tri_deadline_next(struct tri_worker *worker);
/* Frees everything in the wheel: the worker ends. */
void tri_deadline_flush(struct tri_worker *worker);

#endif
