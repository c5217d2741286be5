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

/* ---- intervals ------------------------------------------------------------------------------------------------ */

/*
 * What happens to the ticks after one that came too late, because the task was busy or its worker was. A tick has been
 * missed when it is taken more than a period after its time, or more than 5 ms, whichever is less; a period of less than
 * two timer ticks counts as two. What is less late leaves the grid as it is: no behaviour drifts on an ordinary day.
 *
 *   period 10, busy from 12 to 43     grid    0    10    20    30    40    50    60
 *   TR_MISSED_BURST    every tick of the grid, those that are overdue at once       0 10 43 43 43 50 60
 *   TR_MISSED_DELAY    one at once, the next a period later: a new grid             0 10 43 53 63
 *   TR_MISSED_SKIP     one at once, the next on the old grid                        0 10 43 50 60
 */
enum tr_missed { TR_MISSED_BURST, TR_MISSED_DELAY, TR_MISSED_SKIP };

/* A clock that ticks for one task. Lies in the caller's memory, holds nothing and needs no end. */
struct tr_interval {
    tr_time tri_next;
    int64_t tri_period;
    enum tr_missed tri_missed;
};

/*
 * Begins an interval whose first tick is due at once; or, the second form, at `first`, which may have passed.
 * Thread: any. Suspends: no. Returns 0, -EINVAL (period not positive, or no such behaviour).
 */
TR_PUBLIC int tr_interval_init(struct tr_interval *interval, int64_t period, enum tr_missed missed);
TR_PUBLIC int tr_interval_init_at(struct tr_interval *interval, tr_time first, int64_t period, enum tr_missed missed);

/*
 * Waits for the next tick and takes it; *scheduled (NULL: not wanted) is the time that it was due, by which one sees how
 * late it is. A tick that is due is taken at once, also when the deadline has passed. On an error nothing was taken: the
 * tick is still to come, so a caller that gives up loses none.
 * Thread: any (a foreign thread blocks). Suspends: yes.
 * Returns 0, -ETIMEDOUT (the deadline, or a shield's, came first), -ECANCELED.
 */
TR_PUBLIC int tr_interval_tick(struct tr_interval *interval, tr_time *scheduled, tr_time deadline);

/*
 * When the next tick is due: a deadline for other waits, or the time of a case of a select (tr_case_timer); then
 * tr_interval_tick with TR_NOW takes it. Thread: any. Suspends: no.
 */
static inline tr_time tr_interval_next(const struct tr_interval *interval)
{
    return interval->tri_next;
}

/*
 * Moves the next tick, and the grid with it: to a period from now; to now; to a span from now; to a time. A negative span
 * is now; all saturate at TR_FOREVER. Thread: any. Suspends: no.
 */
TR_PUBLIC void tr_interval_reset(struct tr_interval *interval);
TR_PUBLIC void tr_interval_reset_now(struct tr_interval *interval);
TR_PUBLIC void tr_interval_reset_after(struct tr_interval *interval, int64_t nanoseconds);
TR_PUBLIC void tr_interval_reset_at(struct tr_interval *interval, tr_time when);

TRI_END_DECLS
#endif
