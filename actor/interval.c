/* SPDX-License-Identifier: MIT */
/*
 * interval.c: ticks at a fixed distance, and what becomes of those that were missed.
 *
 * An interval is three numbers in its owner's memory: when the next tick is due, the period, and the behaviour. Waiting is
 * a sleep; the numbers change only once the tick is taken, so a wait that fails has taken nothing.
 */
#include <errno.h>
#include <troupe/time.h>

#define MISSED_MOST (5 * TR_MILLISECOND)
#define MISSED_LEAST (2 * TR_TIMER_TICK)

static tr_time plus(tr_time when, int64_t span)
{
    tr_time sum;
    return __builtin_add_overflow(when, span, &sum) ? TR_FOREVER : sum;
}

int tr_interval_init_at(struct tr_interval *interval, tr_time first, int64_t period, enum tr_missed missed)
{
    if (period <= 0 || (unsigned)missed > TR_MISSED_SKIP)
        return -EINVAL;
    *interval = (struct tr_interval){ first < 0 ? 0 : first, period, missed };
    return 0;
}

int tr_interval_init(struct tr_interval *interval, int64_t period, enum tr_missed missed)
{
    return tr_interval_init_at(interval, tr_after(0), period, missed);
}

/* How late a tick may be taken without having been missed. */
static int64_t tolerance(int64_t period)
{
    if (period >= MISSED_MOST)
        return MISSED_MOST;
    return period < MISSED_LEAST ? MISSED_LEAST : period;
}

/* The tick after the one that was due at interval->tri_next and is taken now. */
static tr_time following(const struct tr_interval *interval, tr_time now)
{
    int64_t late = now - interval->tri_next, period = interval->tri_period;
    if (late > tolerance(period)) {
        switch (interval->tri_missed) {
        case TR_MISSED_BURST:
            break;
        case TR_MISSED_DELAY:
            return plus(now, period);
        case TR_MISSED_SKIP:
            return plus(now, period - late % period);
        }
    }
    return plus(interval->tri_next, period);
}

int tr_interval_tick(struct tr_interval *interval, tr_time *scheduled, tr_time deadline)
{
    int rc = tr_sleep_until(interval->tri_next < deadline ? interval->tri_next : deadline);
    if (rc < 0)
        return rc;
    tr_time now = tr_after(0);
    if (now < interval->tri_next)
        return -ETIMEDOUT;
    if (scheduled)
        *scheduled = interval->tri_next;
    interval->tri_next = following(interval, now);
    return 0;
}

void tr_interval_reset_at(struct tr_interval *interval, tr_time when)
{
    interval->tri_next = when < 0 ? 0 : when;
}

void tr_interval_reset_after(struct tr_interval *interval, int64_t nanoseconds)
{
    interval->tri_next = plus(tr_after(0), nanoseconds < 0 ? 0 : nanoseconds);
}

void tr_interval_reset(struct tr_interval *interval)
{
    tr_interval_reset_after(interval, interval->tri_period);
}

void tr_interval_reset_now(struct tr_interval *interval)
{
    tr_interval_reset_after(interval, 0);
}
