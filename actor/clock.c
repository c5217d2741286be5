/* SPDX-License-Identifier: MIT */
/* clock.c: stopping, moving and reading a runtime's clock. The picture and the edges are in clock.h. */
#include "actor/clock.h"
#include "actor/deadline.h"
#include "actor/idle.h"
#include "actor/runtime.h"
#include "actor/turn.h"
#include "io/clock.h"

#include <assert.h>
#include <errno.h>

/* ---- reading -------------------------------------------------------------------------------------------------- */

static tr_time sum(tr_time when, int64_t span)
{
    tr_time total;
    if (!__builtin_add_overflow(when, span, &total))
        return total;
    return span > 0 ? TR_FOREVER : TR_NOW;
}

tr_time tri_clock_read(struct tr_runtime *runtime)
{
    struct tri_clock *clock = &runtime->clock;
    for (;;) {
        uint64_t word = tri_load(&clock->word, TRI_ACQUIRE); /* [CK1] */
        tr_time time = tri_load(&clock->at, TRI_RELAXED);
        switch ((enum tri_clock_mode)(word & TRI_CLOCK_MODE)) {
        case TRI_CLOCK_PAUSED:
            return time;
        case TRI_CLOCK_REAL:
            time = tri_clock_real();
            break;
        case TRI_CLOCK_SHIFTED:
            time = tri_clock_real() + tri_load(&clock->offset, TRI_RELAXED);
            break;
        case TRI_CLOCK_CHANGING:
            tri_spin();
            continue;
        }
        tri_fence(TRI_SEQ_CST); /* [CK1] */
        if (tri_load(&clock->word, TRI_RELAXED) == word)
            return time;
    }
}

tr_time tri_clock_to_real(struct tr_runtime *runtime, tr_time when)
{
    return tr_clock_translate(when, runtime, NULL);
}

void tri_clock_renew(struct tri_worker *worker)
{
    struct tri_clock *clock = &worker->runtime->clock;
    uint64_t word = tri_load(&clock->word, TRI_RELAXED); /* [CK1] nothing is read by it if the clock goes */
    tr_time now = worker->real = tri_clock_real();
    tri_fence(TRI_SEQ_CST); /* [CK1] */
    if ((word & TRI_CLOCK_MODE) != TRI_CLOCK_REAL || tri_load(&clock->word, TRI_RELAXED) != word)
        now = tri_clock_read(worker->runtime);
    bool exact = tri_clock_mode(clock) == TRI_CLOCK_PAUSED;
    if (exact && !worker->exact && worker->next_alarm != TR_FOREVER)
        worker->next_alarm -= TR_TIMER_TICK; /* it may have been a tick's, and what is due there is so earlier */
    worker->exact = exact;
    if (now > worker->now)
        worker->now = now;
}

/* ---- moving --------------------------------------------------------------------------------------------------- */

/* A caller of tr_clock_advance, in its frame. */
struct tri_advancer {
    struct tri_advancer *next;
    struct tri_task *task;
    tr_time target;
    int result;
    TRI_ATOMIC(uint32_t) over;
};

static tr_time earliest_target(const struct tri_clock *clock)
{
    tr_time target = TR_FOREVER;
    for (const struct tri_advancer *advancer = clock->advancers; advancer; advancer = advancer->next)
        target = advancer->target < target ? advancer->target : target;
    return target;
}

/* With the lock: wakes those who wanted the clock to come so far. True if there were any. */
static bool land(struct tri_clock *clock, tr_time at, int result)
{
    bool landed = false;
    for (struct tri_advancer **link = &clock->advancers; *link;) {
        struct tri_advancer *advancer = *link;
        if (advancer->target > at) {
            link = &advancer->next;
            continue;
        }
        struct tri_task *task = advancer->task;
        *link = advancer->next;
        landed = true;
        advancer->result = result;
        tri_store(&advancer->over, 1u, TRI_RELEASE); /* [CK2] publishes the result; the frame may go now */
        tri_wake(task);
    }
    return landed;
}

/* With the lock: nothing runs, and nothing lies in a shared queue. *next: the earliest deadline; *held: see clock.h. */
static bool all_idle(struct tr_runtime *runtime, tr_time *next, bool *held)
{
    *next = TR_FOREVER;
    *held = runtime->clock.holds > 0;
    for (uint32_t i = 0; i < runtime->workers; i++) {
        struct tri_worker *worker = &runtime->worker[i];
        if (!worker->still || tri_load(&worker->inbox.count, TRI_RELAXED) > 0)
            return false;
        *held |= worker->outstanding;
    }
    if (tri_load(&runtime->injection.count, TRI_RELAXED) > 0)
        return false;
    for (uint32_t i = 0; i < runtime->workers; i++) {
        struct tri_worker *worker = &runtime->worker[i];
        worker->due = tri_deadline_next(worker); /* asked now: who waits there may have been woken since it went idle */
        *next = worker->due < *next ? worker->due : *next;
    }
    return true;
}

/* With the lock: moves the clock as far as may be. True if this worker has something to do. */
static bool move(struct tri_worker *worker)
{
    struct tr_runtime *runtime = worker->runtime;
    struct tri_clock *clock = &runtime->clock;
    tr_time next, at = tri_load(&clock->at, TRI_RELAXED);
    bool held;
    if (!all_idle(runtime, &next, &held))
        return false;
    if (next <= at)
        return worker->due <= at; /* it has been moved there already, and those concerned are being woken */
    tr_time target = earliest_target(clock);
    if (target <= at)
        return land(clock, at, 0);
    if (next < target)
        target = next;
    if (target == TR_FOREVER || (held && !clock->advancers) || (clock->furthest && target > clock->furthest))
        return false;
    tri_store(&clock->at, target, TRI_RELAXED);
    if (next > target)
        return land(clock, target, 0);
    for (uint32_t i = 0; i < runtime->workers; i++)
        if (&runtime->worker[i] != worker && runtime->worker[i].due <= target)
            tri_reactor_wake(runtime->worker[i].reactor);
    return worker->due <= target;
}

bool tri_clock_idle(struct tri_worker *worker)
{
    struct tri_clock *clock = &worker->runtime->clock;
    if (tri_clock_mode(clock) != TRI_CLOCK_PAUSED)
        return false;
    tri_lock(&clock->lock);
    worker->still = true;
    worker->outstanding = tri_reactor_busy(worker->reactor);
    if (worker->outstanding) /* the clock stands until the last of them has ended */
        tri_reactor_hurry(worker->reactor);
    bool something = tri_clock_mode(clock) == TRI_CLOCK_PAUSED && move(worker);
    if (something)
        worker->still = false;
    tri_unlock(&clock->lock);
    return something;
}

void tri_clock_unidle(struct tri_worker *worker)
{
    struct tri_clock *clock = &worker->runtime->clock;
    if (!worker->still) /* only the owner writes it */
        return;
    tri_lock(&clock->lock);
    worker->still = false;
    tri_unlock(&clock->lock);
}

tr_time tri_clock_limit(struct tri_worker *worker, tr_time until)
{
    tr_time alarm = TR_FOREVER;
    switch ((enum tri_clock_mode)(tri_load(&worker->runtime->clock.word, TRI_ACQUIRE) & TRI_CLOCK_MODE)) { /* [CK1] */
    case TRI_CLOCK_REAL:
        alarm = worker->next_alarm;
        break;
    case TRI_CLOCK_PAUSED:   /* another worker may be at our wheel */
    case TRI_CLOCK_CHANGING: /* whoever changes it wakes us */
        return until;
    case TRI_CLOCK_SHIFTED:
        alarm = tri_clock_to_real(worker->runtime, worker->next_alarm);
        break;
    }
    return until < alarm ? until : alarm;
}

/* With the lock: a worker that sleeps looks again whether the clock may move. */
static void look_again(struct tr_runtime *runtime)
{
    if (tri_clock_mode(&runtime->clock) == TRI_CLOCK_PAUSED) /* else it goes, or the workers do: tri_clock_finish */
        tri_reactor_wake(runtime->worker[0].reactor);
}

static void hold(struct tr_runtime *runtime, bool asked)
{
    tri_lock(&runtime->clock.lock);
    runtime->clock.holds++;
    runtime->clock.asked += asked;
    tri_unlock(&runtime->clock.lock);
}

/* False: there was no hold of that kind. */
static bool release(struct tr_runtime *runtime, bool asked)
{
    struct tri_clock *clock = &runtime->clock;
    tri_lock(&clock->lock);
    bool held = (asked ? clock->asked : clock->holds - clock->asked) > 0;
    clock->holds -= held;
    clock->asked -= held && asked;
    if (held && clock->holds == 0)
        look_again(runtime);
    tri_unlock(&clock->lock);
    return held;
}

void tri_clock_hold(struct tr_runtime *runtime)
{
    hold(runtime, false);
}

void tri_clock_release(struct tr_runtime *runtime)
{
    bool held = release(runtime, false);
    assert(held);
    (void)held;
}

void tri_clock_hold_end(struct tr_runtime *runtime)
{
    hold(runtime, false);
    tri_lock(&runtime->clock.lock);
    runtime->clock.end_held = true;
    tri_unlock(&runtime->clock.lock);
}

void tri_clock_release_end(struct tr_runtime *runtime)
{
    tri_lock(&runtime->clock.lock);
    bool held = runtime->clock.end_held;
    runtime->clock.end_held = false;
    tri_unlock(&runtime->clock.lock);
    if (held)
        tri_clock_release(runtime);
}

/* Of a stale address it may be any runtime, or one that is being made or taken down: so only with its leave. */
static void visit(struct tr_runtime *runtime, void *context)
{
    tri_fetch_add(&runtime->visitors, 1u, TRI_RELAXED); /* [S5] of idle.h: it is not taken down until tri_visit_end */
    tri_clock_hold(runtime);
    *(struct tr_runtime **)context = runtime;
}

struct tr_runtime *tri_visit_begin(struct tri_task *record)
{
    uint32_t index = tri_load(&record->runtime, TRI_RELAXED);
    struct tr_runtime *runtime = tri_runtime_at(index), *visited = NULL;
    if (tri_worker_here() || !runtime || tri_clock_mode(&runtime->clock) == TRI_CLOCK_REAL)
        return NULL;
    tri_runtime_visit(index, visit, &visited);
    return visited;
}

void tri_visit_end(struct tr_runtime *visited)
{
    if (!visited)
        return;
    tri_clock_release(visited);
    tri_fetch_sub(&visited->visitors, 1u, TRI_RELEASE); /* [S5] */
}

void tri_clock_finish(struct tr_runtime *runtime)
{
    tri_lock(&runtime->clock.lock);
    tri_store(&runtime->clock.word, (uint64_t)TRI_CLOCK_REAL, TRI_RELAXED);
    tri_unlock(&runtime->clock.lock);
}

void tri_outside_begin(void)
{
    struct tri_worker *worker = tri_worker_here();
    if (worker)
        tri_clock_hold(worker->runtime);
}

void tri_outside_end(void)
{
    struct tri_worker *worker = tri_worker_here();
    if (worker)
        tri_clock_release(worker->runtime);
}

/* ---- stopping ------------------------------------------------------------------------------------------------- */

void tri_clock_start_paused(struct tri_clock *clock, tr_time at)
{
    tri_store(&clock->at, at, TRI_RELAXED);
    tri_store(&clock->word, (uint64_t)TRI_CLOCK_PAUSED, TRI_RELAXED);
}

static void set_mode(struct tri_clock *clock, enum tri_clock_mode mode)
{
    uint64_t sequence = tri_load(&clock->word, TRI_RELAXED) >> 2;
    tri_store(&clock->word, (sequence + 1) << 2 | (uint64_t)mode, TRI_RELEASE); /* [CK1] */
}

/* The runtime that is meant, or NULL. */
static struct tr_runtime *runtime_of(struct tr_runtime *runtime)
{
    struct tri_worker *worker = tri_worker_here();
    return runtime ? runtime : worker ? worker->runtime : NULL;
}

int tr_clock_pause(struct tr_runtime *runtime)
{
    runtime = runtime_of(runtime);
    if (!runtime)
        return -EINVAL;
    struct tri_clock *clock = &runtime->clock;
    tri_lock(&clock->lock);
    enum tri_clock_mode mode = tri_clock_mode(clock);
    if (mode != TRI_CLOCK_PAUSED) {
        set_mode(clock, TRI_CLOCK_CHANGING);
        tri_fence(TRI_SEQ_CST); /* [CK1] */
        tr_time offset = mode == TRI_CLOCK_SHIFTED ? tri_load(&clock->offset, TRI_RELAXED) : 0;
        tri_store(&clock->at, tri_clock_real() + offset, TRI_RELAXED);
        set_mode(clock, TRI_CLOCK_PAUSED);
    }
    tri_unlock(&clock->lock);
    tri_wake_all(runtime);
    return 0;
}

int tr_clock_resume(struct tr_runtime *runtime)
{
    runtime = runtime_of(runtime);
    if (!runtime || runtime->seed)
        return -EINVAL;
    struct tri_clock *clock = &runtime->clock;
    tri_lock(&clock->lock);
    if (tri_clock_mode(clock) == TRI_CLOCK_PAUSED) {
        tri_store(&clock->offset, tri_load(&clock->at, TRI_RELAXED) - tri_clock_real(), TRI_RELAXED);
        set_mode(clock, TRI_CLOCK_SHIFTED);
        land(clock, TR_FOREVER, -EINVAL); /* nobody moves it any more */
    }
    tri_unlock(&clock->lock);
    tri_wake_all(runtime);
    return 0;
}

/* ---- the public rest ------------------------------------------------------------------------------------------ */

int tr_clock_hold(struct tr_runtime *runtime)
{
    runtime = runtime_of(runtime);
    if (!runtime)
        return -EINVAL;
    hold(runtime, true);
    return 0;
}

int tr_clock_release(struct tr_runtime *runtime)
{
    runtime = runtime_of(runtime);
    return runtime && release(runtime, true) ? 0 : -EINVAL;
}

tr_time tr_clock_of(struct tr_runtime *runtime)
{
    return runtime ? tri_clock_read(runtime) : tr_clock();
}

static bool is_real(struct tr_runtime *runtime)
{
    return !runtime || tri_clock_mode(&runtime->clock) == TRI_CLOCK_REAL;
}

tr_time tr_clock_translate(tr_time when, struct tr_runtime *from, struct tr_runtime *to)
{
    if (when <= TR_NOW || when == TR_FOREVER)
        return when;
    if (is_real(from) && is_real(to))
        return when;
    tr_time here = from ? tri_clock_read(from) : tri_clock_real();
    tr_time there = to ? tri_clock_read(to) : tri_clock_real(); /* second: never too early */
    tr_time time = sum(there, when - here);
    return time < TR_NOW ? TR_NOW : time;
}

/* Withdraws one that has not arrived; false: it has. */
static bool withdraw(struct tri_clock *clock, struct tri_advancer *advancer)
{
    tri_lock(&clock->lock);
    struct tri_advancer **link = &clock->advancers;
    while (*link && *link != advancer)
        link = &(*link)->next;
    bool found = *link;
    if (found)
        *link = advancer->next;
    tri_unlock(&clock->lock);
    return found;
}

int tr_clock_advance(struct tr_runtime *runtime, int64_t nanoseconds)
{
    struct tri_advancer advancer = { .task = tri_self() };
    runtime = runtime_of(runtime);
    if (!runtime || nanoseconds < 0)
        return -EINVAL;
    if (runtime->turns && !tri_worker_here() && pthread_equal(runtime->turns->owner, pthread_self()))
        return -EDEADLK; /* nobody but us could run it */
    if (!advancer.task)
        return -ENOMEM;
    int rc = tri_cancel_check();
    if (rc < 0)
        return rc;
    struct tri_clock *clock = &runtime->clock;
    tri_lock(&clock->lock);
    bool paused = tri_clock_mode(clock) == TRI_CLOCK_PAUSED;
    advancer.target = sum(tri_load(&clock->at, TRI_RELAXED), nanoseconds);
    paused = paused && advancer.target != TR_FOREVER;
    if (paused) {
        advancer.next = clock->advancers;
        clock->advancers = &advancer;
        look_again(runtime);
    }
    tri_unlock(&clock->lock);
    if (!paused)
        return -EINVAL;
    while (!tri_load(&advancer.over, TRI_ACQUIRE)) { /* [CK2] */
        rc = tri_park(TR_FOREVER, TRI_WAIT_SLEEP);
        if (rc < 0 && withdraw(clock, &advancer))
            return rc;
    }
    return advancer.result;
}
