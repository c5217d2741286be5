/* SPDX-License-Identifier: MIT */
/*
 * model_sleep.c: the edges of actor/idle.h, with its own code. The reactor is a sticky token; nothing is timed: a poll
 * that waits returns only when woken.
 *
 *   inject   [S1] a foreign thread pushes to the injection queue x a worker goes to sleep: it wakes, or has not slept
 *   inbox    [S1] the same for a task that is bound to the worker
 *   idle     two workers go to sleep, two pushes: nobody sleeps beside a task
 *   raid     [S2] [S3] the owner uses its LIFO slot x a thief raids it: each task is run once, and its payload is seen
 *   resign   [S4] the sentry resigns x another worker makes a task ready
 */
#include <stdatomic.h>
#include <stdarg.h>
#include <string.h>

#define TRI_QUEUE_SLOTS 4u
#include "fake_waiter_none.h"
