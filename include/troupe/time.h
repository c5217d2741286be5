/* SPDX-License-Identifier: MIT */
/*
 * time.h: one absolute deadline for every call that waits for others.
 *
 * A tr_time is nanoseconds on CLOCK_MONOTONIC. Timers fire on a wheel whose tick is TR_TIMER_TICK; a deadline is never
 * reported early with respect to the clock that made it, and at most one tick late on an idle worker.
 *
 * For tests the clock of a runtime can be stopped (tr_clock_pause, or tr_options.clock_paused from the start). Then time
 * passes in steps, and only when nothing else happens: once all its workers are idle, the clock moves to the earliest
 * deadline of any task, which fires at exactly its time. A test of an hour's timeouts takes no time, with any number of
 * workers. See tr_clock_pause.
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

#define TR_FOREVER INT64_MAX /* no deadline; nor is what is less than four years before it */
#define TR_NOW INT64_C(0)    /* a deadline that has passed: do it at once or return -ETIMEDOUT */

#define TR_TIMER_TICK (INT64_C(1) << 17) /* about 131 microseconds */

/*
 * The deadline `nanoseconds` from now. In a task it reads the worker's cached clock, renewed at least once a
 * scheduling pass (about 100 microseconds), so that it costs an addition; elsewhere it reads the clock. Only a pass renews
 * it: a task that has kept its worker to itself for longer, computing, sees a clock that is as old as that, and a deadline
 * that is so much too early. There tr_clock() + span is right. Saturates at TR_FOREVER; a negative span is TR_NOW.
 * Thread: any. Suspends: no.
 */
TR_PUBLIC tr_time tr_after(int64_t nanoseconds);

/* The clock itself, read afresh: in a task its runtime's, elsewhere the real one. Thread: any. Suspends: no. */
TR_PUBLIC tr_time tr_clock(void);

/*
 * Suspends the task for at least `nanoseconds`, measured on the fresh clock.
 * Thread: any (a foreign thread blocks). Suspends: yes.
 * Returns 0, -ECANCELED, -ENOMEM, or -ETIMEDOUT when the deadline of a scope or shield around it comes first.
 */
TR_PUBLIC int tr_sleep(int64_t nanoseconds);

/*
 * As tr_sleep, until `when`. A time in the past returns 0, perhaps after letting others run.
 * Thread: any (a foreign thread blocks). Suspends: yes. Returns 0, -ECANCELED, -ENOMEM, -ETIMEDOUT, as tr_sleep.
 */
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
 * Thread: its own. Suspends: no. Returns 0, -EINVAL (period not positive, or no such behaviour).
 */
TR_PUBLIC int tr_interval_init(struct tr_interval *interval, int64_t period, enum tr_missed missed);
TR_PUBLIC int tr_interval_init_at(struct tr_interval *interval, tr_time first, int64_t period, enum tr_missed missed);

/*
 * Waits for the next tick and takes it; *scheduled (NULL: not wanted) is the time that it was due, by which one sees how
 * late it is. A tick that is due is taken at once, also when the deadline has passed. On an error nothing was taken: the
 * tick is still to come, so a caller that gives up loses none.
 * Thread: its own (a foreign thread blocks). Suspends: yes.
 * Returns 0, -ETIMEDOUT (the deadline, or that of a scope or shield, came first), -ECANCELED, -ENOMEM.
 */
TR_PUBLIC int tr_interval_tick(struct tr_interval *interval, tr_time *scheduled, tr_time deadline);

/*
 * When the next tick is due: a deadline for other waits, or the time of a case of a select (tr_case_timer); then
 * tr_interval_tick with TR_NOW takes it. Thread: its own. Suspends: no.
 */
static inline tr_time tr_interval_next(const struct tr_interval *interval)
{
    return interval->tri_next;
}

/*
 * Moves the next tick, and the grid with it: to a period from now; to now; to a span from now; to a time. A negative span
 * is now; all saturate at TR_FOREVER. Thread: its own. Suspends: no.
 */
TR_PUBLIC void tr_interval_reset(struct tr_interval *interval);
TR_PUBLIC void tr_interval_reset_now(struct tr_interval *interval);
TR_PUBLIC void tr_interval_reset_after(struct tr_interval *interval, int64_t nanoseconds);
TR_PUBLIC void tr_interval_reset_at(struct tr_interval *interval, tr_time when);

/* ---- clocks that are moved by hand ---------------------------------------------------------------------------- */

/*
 * Stops the clock of `runtime` (NULL: of the calling task's) at the time that it is. From then on all that its tasks see of
 * time is virtual: tr_clock, tr_after, sleeps, and every deadline and timer.
 *
 * The clock moves by itself, from deadline to deadline, whenever no worker has anything to run and nothing is in flight that
 * could make it run: I/O, jobs of the blocking pool, and what tr_clock_hold stands for. It does not move if no task has
 * a deadline. Timers fire at exactly their time and in that order; those of one time fire together.
 *
 * Foreign threads stay on the real clock: a wait of theirs is bounded by it, also one for an actor whose clock stands, and
 * tr_clock and tr_after give them real times. They must not hand such a time to a task of the runtime (or one of another
 * runtime); tr_clock_translate makes it one of its own. TR_NOW and TR_FOREVER are the same on all clocks. A thread that
 * works with the runtime, but not in it, is not seen between its calls: it holds the clock (tr_clock_hold), or finds that
 * it has moved on meanwhile; also while it answers, or wakes a task by what it does. A thread that waits in a call does not keep
 * the clock from moving; a job of the blocking pool does, for as long as it runs: one that waits for a task that waits for a time
 * of such a clock waits in vain.
 *
 * Real as ever: the bounds of a shutdown (the deadline of tr_shutdown is translated), and the watchdog.
 * Returns 0 (also if it stands already) or -EINVAL (NULL outside a task). Thread: any. Suspends: no.
 */
TR_PUBLIC int tr_clock_pause(struct tr_runtime *runtime);

/*
 * The clock goes on, at the pace of the real one, from where it stands. Returns 0 (also if it goes) or -EINVAL (NULL outside a
 * task; a seeded runtime, whose clock never goes). Thread: any. Suspends: no.
 */
TR_PUBLIC int tr_clock_resume(struct tr_runtime *runtime);

/*
 * Moves a clock that stands by `nanoseconds`, and waits until it is there and all that was due by then has run: the
 * deadlines on the way are reached one after the other, each at its own time, and what they wake runs until every worker
 * is idle again. Holds and I/O in flight do not hinder it. Several may advance at once; the clock goes no further for it.
 * Thread: any but that of an embedded runtime (tr_open) outside its turns: -EDEADLK. Suspends: yes (a foreign thread blocks).
 * Returns 0, -EINVAL (the clock goes, or was made to meanwhile; a negative or endless span; NULL outside a task), -ECANCELED
 * or -ETIMEDOUT (the deadline of a scope or shield) if the wait was given up, where the clock stands then is open; -ENOMEM.
 */
TR_PUBLIC int tr_clock_advance(struct tr_runtime *runtime, int64_t nanoseconds);

/*
 * From the return of tr_clock_hold until as many calls of tr_clock_release, a clock that stands does not move by itself,
 * only by tr_clock_advance: for threads that work for the runtime, and for tests that move the clock themselves.
 * Returns 0 or -EINVAL (NULL outside a task; a release without a hold). Thread: any. Suspends: no.
 */
TR_PUBLIC int tr_clock_hold(struct tr_runtime *runtime);
TR_PUBLIC int tr_clock_release(struct tr_runtime *runtime);

/* What time it is for the tasks of `runtime`; NULL: as tr_clock. Thread: any. Suspends: no. */
TR_PUBLIC tr_time tr_clock_of(struct tr_runtime *runtime);

/*
 * A time of the clock of `from` (NULL: the real one) as one of `to`: what is as far away now. TR_NOW, TR_FOREVER and what is
 * negative stay what they are. Thread: any. Suspends: no.
 */
TR_PUBLIC tr_time tr_clock_translate(tr_time when, struct tr_runtime *from, struct tr_runtime *to);

TRI_END_DECLS
#endif
