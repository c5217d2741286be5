/* SPDX-License-Identifier: MIT */
/* idle.c: passes, sleeping and stealing. The picture and the edges are in idle.h. */
#include "actor/idle.h"
#include "actor/deadline.h"
#include "actor/sanitizer.h"
#include "actor/sim.h"
#include "actor/turn.h"
#include "io/clock.h"

#define DOZE_NS (250 * TR_MICROSECOND)
#define WORTH_NS 10000u               /* what a theft must bring: about what moving the cache lines of a batch costs */
#define STAY_NS (2 * TR_MILLISECOND)  /* a thief that has not been back for so long leaves */
#define HOG_NS (200 * TR_MILLISECOND) /* the watchdog's patience */
#define STEAL_LIMIT (TRI_QUEUE_SLOTS / 2)
#define QUIET_LIMIT 40u /* dozes at which everybody else slept, before the sentry sleeps for good */

/* ---- passes --------------------------------------------------------------------------------------------------- */

static void start_pass(struct tri_worker *worker, int32_t most)
{
    uint32_t mean = tri_load(&worker->mean_ns, TRI_RELAXED);
    int64_t quota = mean > 0 ? (int64_t)TRI_PASS_NS / mean : (int64_t)most;
    tri_start_quota(worker, quota < 1 ? 1 : quota > most ? most : (int32_t)quota);
    worker->pass_start = worker->real;
}

static void measure(struct tri_worker *worker)
{
    int64_t switches = (int64_t)(tri_load(&worker->switches, TRI_RELAXED) - worker->pass_at) + worker->quota_start;
    if (switches <= 0)
        return;
    int64_t mean = (worker->real - worker->pass_start) / switches;
    int64_t old = tri_load(&worker->mean_ns, TRI_RELAXED);
    int64_t next = old == 0 ? mean : (3 * old + mean) / 4;
    tri_store(&worker->mean_ns, (uint32_t)(next > UINT32_MAX ? UINT32_MAX : next), TRI_RELAXED);
}

static struct tri_task *take_list(struct tri_inbox *inbox, uint32_t limit)
{
    uint32_t taken = 0;
    if (tri_load(&inbox->count, TRI_RELAXED) == 0)
        return NULL;
    tri_lock(&inbox->lock);
    struct tri_task *first = inbox->first, *last = NULL;
    for (struct tri_task *task = first; task && taken < limit; task = task->next) {
        last = task;
        taken++;
    }
    if (last) {
        inbox->first = last->next;
        if (!inbox->first)
            inbox->last = NULL;
        last->next = NULL;
        tri_store(&inbox->count, tri_load(&inbox->count, TRI_RELAXED) - taken, TRI_RELAXED);
    }
    tri_unlock(&inbox->lock);
    return last ? first : NULL;
}

static void put_list(struct tri_inbox *inbox, struct tri_task *task)
{
    tri_lock(&inbox->lock);
    task->next = NULL;
    if (inbox->last)
        inbox->last->next = task;
    else
        inbox->first = task;
    inbox->last = task;
    tri_store(&inbox->count, tri_load(&inbox->count, TRI_RELAXED) + 1, TRI_RELAXED);
    tri_unlock(&inbox->lock);
}

/* Queues a list of tasks here, each by `ready`. */
static inline void queue_list(struct tri_worker *worker, struct tri_task *task,
                              void (*ready)(struct tri_worker *worker, struct tri_task *task))
{
    while (task) {
        struct tri_task *next = task->next;
        ready(worker, task);
        task = next;
    }
}

/* What the ring had no room for goes before all that comes now. */
static void refill_ring(struct tri_worker *worker)
{
    uint32_t room = TRI_QUEUE_SLOTS - tri_queue_length(&worker->queue);
    queue_list(worker, take_list(&worker->overflow, room), tri_ready_ring);
}

/* Whether or not the ring has room: one that is full at every pass would keep everybody else out for ever. */
static void take_from(struct tri_worker *worker, struct tri_inbox *inbox)
{
    queue_list(worker, take_list(inbox, STEAL_LIMIT), tri_ready_last);
}

static void leave_prey(struct tri_worker *worker)
{
    if (worker->prey)
        tri_queue_leave(&worker->prey->queue);
    worker->prey = NULL;
}

/* It also runs on the stack of a task that is about to suspend, and need not: errno stays that one's. */
bool tri_pass(struct tri_worker *worker)
{
    int saved = *worker->errno_at;
    tri_clock_renew(worker);
    measure(worker);
    tri_count(&worker->polls);
    tri_reactor_poll(worker->reactor, TR_NOW);
    tri_deadline_pass(worker);
    refill_ring(worker);
    take_from(worker, &worker->inbox);
    take_from(worker, &worker->runtime->injection);
    if (worker->prey && worker->real - worker->stolen_at >= STAY_NS)
        leave_prey(worker);
    start_pass(worker, TRI_PASS_SWITCHES);
    *worker->errno_at = saved;
    return worker->turns && tri_turn_pass(worker);
}

struct tri_task *tri_take_shared_work(struct tri_worker *worker)
{
    if (worker->runtime->sim)
        return tri_sim_take(worker);
    struct tri_inbox *from[] = { &worker->overflow, &worker->inbox, &worker->runtime->injection };
    for (size_t i = 0; i < sizeof from / sizeof from[0]; i++) {
        struct tri_task *task = take_list(from[i], STEAL_LIMIT);
        if (task) {
            queue_list(worker, task->next, tri_ready_ring); /* which is empty */
            return task;
        }
    }
    return NULL;
}

void tri_overflow(struct tri_worker *worker, struct tri_task *task)
{
    put_list(&worker->overflow, task);
}

/* ---- waking others -------------------------------------------------------------------------------------------- */

void tri_ready_at(struct tri_worker *worker, struct tri_task *task)
{
    put_list(&worker->inbox, task);
    tri_reactor_wake(worker->reactor); /* sticky: a worker about to sleep does not */
}

/* Wakes one sleeper, if there is one. */
static void wake_one(struct tr_runtime *runtime)
{
    tri_fence(TRI_SEQ_CST); /* [S1] after the push */
    uint64_t idle = tri_load(&runtime->idle, TRI_RELAXED);
    if (idle != 0)
        tri_reactor_wake(runtime->worker[__builtin_ctzll(idle)].reactor);
}

void tri_ready_foreign(struct tr_runtime *runtime, struct tri_task *task)
{
    uint16_t pin = tri_pin(task);
    tri_fetch_add(&runtime->visitors, 1u, TRI_RELAXED); /* [S5] the runtime is not taken down while we are in here */
    if (pin != 0) {
        tri_ready_at(&runtime->worker[pin - 1], task);
    } else {
        put_list(&runtime->injection, task);
        wake_one(runtime);
    }
    tri_fetch_sub(&runtime->visitors, 1u, TRI_RELEASE); /* [S5] */
}

void tri_wake_all(struct tr_runtime *runtime)
{
    for (uint32_t i = 0; i < runtime->workers; i++)
        tri_reactor_wake(runtime->worker[i].reactor);
}

static void vacate_post(struct tr_runtime *runtime)
{
    tri_store(&runtime->sentry, 0u, TRI_RELAXED); /* [S6] */
    tri_fence(TRI_SEQ_CST);                       /* [S6] */
}

void tri_call_sentry_slow(struct tri_worker *worker)
{
    struct tr_runtime *runtime = worker->runtime;
    for (;;) {
        uint64_t idle = tri_load(&runtime->idle, TRI_RELAXED) & ~(UINT64_C(1) << worker->index);
        uint32_t nobody = 0;
        if (idle == 0 || !tri_cas(&runtime->sentry, &nobody, 1u, TRI_RELAXED, TRI_RELAXED))
            return;
        uint64_t bit = idle & -idle;
        struct tri_worker *sleeper = &runtime->worker[__builtin_ctzll(idle)];
        tri_store(&sleeper->appointed, 1u, TRI_RELAXED); /* [S7] */
        tri_fence(TRI_SEQ_CST);                          /* [S7] */
        if (tri_load(&runtime->idle, TRI_RELAXED) & bit) {
            tri_count(&worker->wakes);
            tri_reactor_wake(sleeper->reactor);
            return;
        }
        if (tri_exchange(&sleeper->appointed, 0u, TRI_RELAXED) == 0) /* [S7] it has the post */
            return;
        vacate_post(runtime);
    }
}

void tri_leave_watch(struct tri_worker *worker)
{
    worker->on_watch = false;
    worker->quiet = 0;
    vacate_post(worker->runtime);
    tri_call_sentry(worker);
}

/* ---- stealing ------------------------------------------------------------------------------------------------- */

void tri_lifo_wait(struct tri_worker *worker)
{
    do {
        tri_store(&worker->in_lifo, 0u, TRI_RELEASE);
        while (tri_load(&worker->raid, TRI_RELAXED) != 0) /* [S3] a few microseconds */
            tri_spin();
        tri_store(&worker->in_lifo, 1u, TRI_RELAXED);
        atomic_signal_fence(memory_order_seq_cst);
    } while (tri_load(&worker->raid, TRI_ACQUIRE) != 0); /* [S3] */
}

/* Takes what a hog has in its LIFO slot. */
static bool raid(struct tri_worker *worker, struct tri_worker *victim)
{
    struct tri_task *task = NULL;
    if (!worker->runtime->can_raid)
        return false;
    tri_store(&victim->raid, 1u, TRI_RELAXED);
    if (tri_membarrier() && tri_load(&victim->in_lifo, TRI_ACQUIRE) == 0) { /* [S3] */
        task = tri_load(&victim->lifo, TRI_RELAXED);                        /* [S2] */
        if (task && tri_pin(task) != 0)
            task = NULL;
        if (task)
            tri_store(&victim->lifo, NULL, TRI_RELAXED);
    }
    tri_store(&victim->raid, 0u, TRI_RELEASE); /* [S3] */
    if (task)
        tri_ready_last(worker, task);
    return task;
}

/* From now on a thief of `victim`, and of nobody else. */
static bool prey_on(struct tri_worker *worker, struct tri_worker *victim)
{
    if (worker->prey == victim)
        return true;
    leave_prey(worker);
    if (!tri_queue_enter(&victim->queue))
        return false;
    worker->prey = victim;
    return true;
}

static bool steal_from(struct tri_worker *worker, struct tri_worker *victim)
{
    struct tri_task *task = take_list(&victim->overflow, STEAL_LIMIT);
    if (task) {
        queue_list(worker, task, tri_ready_ring);
        return true;
    }
    if (tri_queue_length(&victim->queue) == 0 || !prey_on(worker, victim))
        return false;
    worker->stolen_at = tri_clock_real();
    return tri_queue_steal(&victim->queue, &worker->queue, STEAL_LIMIT) > 0;
}

/* The watchdog: a task that has not let go of its worker for long is named, once. What we read may change meanwhile. */
static TRI_NO_TSAN void name_hog(struct tri_worker *worker, struct tri_worker *victim)
{
    tr_time *since = &worker->seen_since[victim->index];
    struct tri_task *task = victim->current;
    if (*since == 0 || !task || worker->real - *since < HOG_NS)
        return;
    char label[TRI_NAME_BYTES];
    *since = 0;
    tr_log(TR_LOG_WARNING, "%s '%s' has kept worker %u to itself for %lld ms: nothing else that is bound to it can run",
           tri_task_is(task, TRI_TASK_ACTOR) ? "actor" : "task", tri_task_copy_label(task, label), victim->index,
           (long long)(HOG_NS / TR_MILLISECOND));
}

/* What the thread of `victim` has computed so far; 0: not known. */
static tr_time computed_by(struct tri_worker *victim)
{
    clockid_t clock;
    struct timespec used;
    if (pthread_getcpuclockid(victim->thread, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return 0;
    return used.tv_sec * TR_SECOND + used.tv_nsec;
}

/*
 * A hog with a caller held beneath it: nobody can take that caller away, but the next ones need not suffer. It must have been
 * seen twice and have computed in between, not just lost its processor: the mark is for life. What we read may change
 * meanwhile; a stranger who is marked for it loses nothing but speed.
 */
static TRI_NO_TSAN void mark_slow(struct tri_worker *worker, struct tri_worker *victim)
{
    struct tri_task *task = victim->current;
    tr_time *seen = &worker->seen_computed[victim->index], before = *seen;
    if (!task || !victim->held || !tri_task_is(task, TRI_TASK_ACTOR) || tri_task_is(task, TRI_TASK_SLOW))
        return;
    *seen = computed_by(victim);
    if (before != 0 && *seen - before >= DOZE_NS / 2)
        tri_fetch_or(&task->flags, (uint16_t)TRI_TASK_SLOW, TRI_RELAXED);
}

/*
 * Looks for something worth taking; who finds nothing is nobody's thief any more. `dozed`: since the last look, so that a victim
 * where nobody had a turn is a hog's.
 */
static bool look(struct tri_worker *worker, bool dozed)
{
    struct tr_runtime *runtime = worker->runtime;
    for (uint32_t i = 1; i < runtime->workers; i++) {
        struct tri_worker *victim = &runtime->worker[(worker->index + i) % runtime->workers];
        uint32_t count = tri_queue_length(&victim->queue) + tri_load(&victim->overflow.count, TRI_RELAXED);
        uint64_t progress = tri_progress(victim);
        bool hog = dozed && progress == worker->seen[victim->index];
        bool asleep = tri_load(&runtime->idle, TRI_RELAXED) & UINT64_C(1) << victim->index;
        if (progress != worker->seen[victim->index] || asleep)
            worker->seen_since[victim->index] = worker->real;
        else if (hog) {
            mark_slow(worker, victim);
            name_hog(worker, victim);
        }
        if (!hog)
            worker->seen_computed[victim->index] = 0;
        worker->seen[victim->index] = progress;
        uint64_t half = count - count / 2 < STEAL_LIMIT ? count - count / 2 : STEAL_LIMIT;
        bool found = false;
        if (count > 0 && (hog || half * tri_load(&victim->mean_ns, TRI_RELAXED) >= WORTH_NS))
            found = steal_from(worker, victim);
        if (!found && hog && tri_load(&victim->lifo, TRI_RELAXED))
            found = raid(worker, victim);
        if (found) {
            tri_count(&worker->steals);
            return true;
        }
    }
    leave_prey(worker);
    return false;
}

/* ---- sleeping ------------------------------------------------------------------------------------------------- */

static bool anything_anywhere(struct tri_worker *worker)
{
    struct tr_runtime *runtime = worker->runtime;
    for (uint32_t i = 0; i < runtime->workers; i++) {
        struct tri_worker *other = &runtime->worker[i];
        if (other != worker && (tri_queue_length(&other->queue) > 0 || tri_load(&other->lifo, TRI_RELAXED) ||
                                tri_load(&other->overflow.count, TRI_RELAXED) > 0))
            return true;
    }
    return false;
}

static bool anything_here(struct tri_worker *worker)
{
    return tri_load(&worker->lifo, TRI_RELAXED) || worker->pinned_first || tri_queue_length(&worker->queue) > 0 ||
           tri_load(&worker->overflow.count, TRI_RELAXED) > 0;
}

/* Whoever gets up looks whether it has been made the sentry, also if it was something else that woke it. */
static void take_post(struct tri_worker *worker)
{
    tri_fence(TRI_SEQ_CST); /* [S7] */
    if (tri_load(&worker->appointed, TRI_RELAXED) && tri_exchange(&worker->appointed, 0u, TRI_RELAXED) != 0)
        worker->on_watch = true;
}

/* `until` is on the real clock. `for_good`: there is to be no sentry, for nobody has anything to do. */
static void sleep_until(struct tri_worker *worker, tr_time until, bool for_good)
{
    struct tr_runtime *runtime = worker->runtime;
    uint64_t bit = UINT64_C(1) << worker->index;
    tri_fetch_or(&runtime->idle, bit, TRI_RELAXED); /* [S1] */
    tri_fence(TRI_SEQ_CST);
    if (for_good && runtime->can_raid)
        tri_membarrier(); /* [S4] */
    bool awake = tri_load(&worker->inbox.count, TRI_RELAXED) > 0 ||
                 tri_load(&runtime->injection.count, TRI_RELAXED) > 0 ||
                 tri_load(&runtime->phase, TRI_RELAXED) == TRI_PHASE_EXIT || (for_good && anything_anywhere(worker)) ||
                 (!for_good && !worker->alone && tri_load(&runtime->sentry, TRI_RELAXED) == 0); /* [S6] */
    if (!awake && !tri_clock_idle(worker)) {
        tri_count(&worker->sleeps);
        tri_reactor_poll(worker->reactor, tri_clock_limit(worker, until));
    }
    tri_clock_unidle(worker);
    tri_fetch_and(&runtime->idle, ~bit, TRI_RELAXED); /* [S7] */
    if (!worker->alone)
        take_post(worker);
    tri_clock_renew(worker);
    tri_deadline_pass(worker);
    start_pass(worker, TRI_FIRST_SWITCHES);
}

static bool others_sleep(struct tri_worker *worker)
{
    uint64_t all = worker->runtime->workers == 64 ? UINT64_MAX : (UINT64_C(1) << worker->runtime->workers) - 1;
    uint64_t others = all & ~(UINT64_C(1) << worker->index);
    return (tri_load(&worker->runtime->idle, TRI_RELAXED) & others) == others;
}

/* The sentry's doze, or its resignation when everybody has slept for a while. */
static void keep_watch(struct tri_worker *worker)
{
    sleep_until(worker, worker->real + DOZE_NS, false);
    worker->quiet = others_sleep(worker) ? worker->quiet + 1 : 0;
    if (anything_here(worker)) /* the doze has ended with completions or timers of ours */
        return;
    if (look(worker, true) || worker->quiet < QUIET_LIMIT || !worker->runtime->can_raid)
        return;
    worker->on_watch = false;
    worker->quiet = 0;
    tri_store(&worker->runtime->sentry, 0u, TRI_RELAXED); /* [S4] */
    sleep_until(worker, TR_FOREVER, true);
}

enum tri_idle_result tri_idle(struct tri_worker *worker)
{
    struct tr_runtime *runtime = worker->runtime;
    if (worker->turns)
        return tri_turn_idle(worker);
    if (tri_load(&runtime->phase, TRI_ACQUIRE) == TRI_PHASE_EXIT)
        return TRI_IDLE_EXIT;
    if (worker->alone) {
        sleep_until(worker, TR_FOREVER, false);
        return TRI_IDLE_LOOK;
    }
    uint32_t nobody = 0;
    if (!worker->on_watch) {
        if (look(worker, false))
            return TRI_IDLE_LOOK;
        worker->on_watch = tri_cas(&runtime->sentry, &nobody, 1u, TRI_RELAXED, TRI_RELAXED);
    }
    if (worker->on_watch)
        keep_watch(worker);
    else
        sleep_until(worker, TR_FOREVER, false);
    return TRI_IDLE_LOOK;
}

void tri_worker_own_stack(struct tri_stack *stack)
{
    pthread_attr_t attributes;
    void *low = NULL;
    size_t bytes = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstack(&attributes, &low, &bytes);
        pthread_attr_destroy(&attributes);
    }
    stack->low = low;
    stack->bytes = bytes;
}
