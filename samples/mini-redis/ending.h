/* SPDX-License-Identifier: MIT */
/*
 * ending.h: waiting for the end of a task or an actor whose memory is freed next.
 */
#ifndef MINI_REDIS_ENDING_H
#define MINI_REDIS_ENDING_H

#include <errno.h>
#include <troupe.h>

/*
 * To be called inside a shield. One around it can have run out of time, and then bounds every wait; but what ends must not
 * lose its memory before. Thread: task. Suspends: yes.
 */
static inline void await_end(struct tr_task task)
{
    while (tr_task_join(task, NULL, TR_FOREVER) == -ETIMEDOUT)
        tr_yield();
}

#endif
