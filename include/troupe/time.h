/* SPDX-License-Identifier: MIT */
/*
 * time.h: one absolute deadline for every call that can suspend.
 *
 * A tr_time is nanoseconds on CLOCK_MONOTONIC. Timers fire on a wheel whose tick is TR_TIMER_TICK; a deadline is never
 * reported early with respect to the clock that made it, and at most one tick late on an idle worker.
 */
#ifndef TROUPE_TIME_H
#define TROUPE_TIME_H

#include <troupe/base.h>

TRI_BEGIN_DECLS

typedef int64_t tr_time;

/* Spans, to be multiplied: 5 * TR_SECOND. */
#define TR_NANOSECOND INT64_C(1)
#define TR_MICROSECOND INT64_C(1000)
#define TR_MILLISECOND INT64_C(1000000)
#define TR_SECOND INT64_C(1000000000)

#define TR_FOREVER INT64_MAX /* no deadline */
#define TR_NOW INT64_C(0)    /* a deadline that has passed: do it at once or return -ETIMEDOUT */

#define TR_TIMER_TICK (INT64_C(1) << 17) /* about 131 microseconds */

/*
 * The deadline `nanoseconds` from now. In a task it reads the worker's cached clock, renewed at least once a
 * scheduling pass (about 100 microseconds), so that it costs an addition; elsewhere it reads the clock.
 * Saturates at TR_FOREVER; a negative span is TR_NOW.
 * Thread: any. Suspends: no.
 */
TR_PUBLIC tr_time tr_after(int64_t nanoseconds);

/* The clock itself, read afresh. Thread: any. Suspends: no. */
TR_PUBLIC tr_time tr_clock(void);

/*
 * Suspends the task for at least `nanoseconds`, measured on the fresh clock.
 * Thread: any (a foreign thread blocks). Suspends: yes.
 * Returns 0, -ECANCELED, or -ETIMEDOUT when the deadline of a scope or shield around it comes first.
 */
TR_PUBLIC int tr_sleep(int64_t nanoseconds);

/* As tr_sleep, until `when`. A time in the past returns 0 after a fairness check. */
TR_PUBLIC int tr_sleep_until(tr_time when);

TRI_END_DECLS
#endif
