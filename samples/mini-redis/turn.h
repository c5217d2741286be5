/* SPDX-License-Identifier: MIT */
/*
 * turn.h: how an actor keeps its worker from others no longer than one message takes.
 */
#ifndef MINI_REDIS_TURN_H
#define MINI_REDIS_TURN_H

#include <troupe.h>

/*
 * In front of each message whose work has no bound: a handler gets up to 128 of them in a row, and meanwhile nothing of its
 * worker is read or written. The worker's clock stands for so long, so it tells for how long that was. Returns the time.
 * Thread: task. Suspends: when a millisecond has gone by.
 */
static inline tr_time take_turn(void)
{
    tr_time now = tr_clock();
    if (now - tr_after(0) <= TR_MILLISECOND)
        return now;
    tr_yield();
    return tr_clock();
}

#endif
