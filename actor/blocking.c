/* SPDX-License-Identifier: MIT */
/* blocking.c: jobs and their queue. The picture and the edges are in blocking.h, the promises in troupe/blocking.h. */
#include "actor/blocking.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_THREADS 64u
#define DEFAULT_QUEUE 1024u
#define DEFAULT_IDLE_NS (10 * TR_SECOND)
#define THREADS_LIMIT 4096u
#define QUEUE_LIMIT (1u << 24)

static struct tri_pool blocking_pool = {
    .name = "blocking",
    .object_bytes = 192,
    .link_offset = offsetof(struct tri_blocking, next),
    .slab_objects = 16,
};
_Static_assert(sizeof(struct tri_blocking) <= 192, "blocking_pool");

/* ---- lists of jobs, under the lock [J1] ----------------------------------------------------------------------- */

static void append(struct tri_jobs *jobs, struct tri_record *record)
{
    record->next = NULL;
    record->before = jobs->last;
    if (jobs->last)
        jobs->last->next = record;
    else
        jobs->first = record;
    jobs->last = record;
}

static void take_out(struct tri_jobs *jobs, struct tri_record *record)
{
    if (record->before)
        record->before->next = record->next;
    else
        jobs->first = record->next;
    if (record->next)
        record->next->before = record->before;
    else
        jobs->last = record->before;
}

/* ---- the queue, under the lock [J1] --------------------------------------------------------------------------- */

/*
 * Puts the job into the queue, for which there is room, and sees to it that a thread comes. Returns 0, -ENOMEM (there is no
 * thread, and none can be made). *rings: how many sleepers to wake once the lock is let go.
 */
static int queue_job(struct tri_blocking *pool, struct tri_record *record, uint32_t *rings)
{
    if (pool->idle > 0) {
        pool->idle--;
        pool->calls++;
        tri_store(&pool->bell, tri_load(&pool->bell, TRI_RELAXED) + 1, TRI_RELAXED); /* [J3] */
        ++*rings;
    } else if (pool->threads < pool->thread_limit) {
        if (tri_blocking_thread(pool) == 0)
            pool->threads++;
        else if (pool->threads == 0)
            return -ENOMEM;
    }
    record->state = TRI_JOB_QUEUED;
    append(&pool->queue, record);
    pool->queued++;
    if (!pool->is_busy && pool->busy)
        pool->busy(pool->context, true);
    pool->is_busy = true;
    return 0;
}

/* A place has become free: the first who waits for one gets it. */
static void grant_room(struct tri_blocking *pool, struct tri_wakes *wakes, uint32_t *rings)
{
    while (pool->queued < pool->capacity) {
        struct tr_case *c = tri_line_claim(&pool->room);
        if (!c)
            return;
        pool->waiting--;
        tri_wakes_add(wakes, tri_finish(c, queue_job(pool, c->tri_value, rings)));
    }
}

/* Handles of the job are worth nothing from here on. */
static void spend(struct tri_record *record)
{
    tri_store(&record->generation, tri_load(&record->generation, TRI_RELAXED) + 1, TRI_RELAXED); /* [J2] */
}

/* Nothing is left that could touch the pool; those who wait in its lines have been told when it closed. */
static bool is_over(struct tri_blocking *pool)
{
    return pool->threads == 0 && !pool->done.first;
}

static void leave_queue(struct tri_blocking *pool, struct tri_record *record)
{
    take_out(&pool->queue, record);
    pool->queued--;
}

/*
 * The end of a turn. That no job is left is said under the lock, after those who waited have been woken: once it has been let
 * go the runtime may have gone, unless the caller is a task or a thread of the pool.
 */
static void unlock_and_wake(struct tri_blocking *pool, struct tri_wakes *wakes, uint32_t rings)
{
    if (pool->is_busy && pool->queued + pool->running == 0) {
        tri_wakes_make(wakes);
        pool->is_busy = false;
        if (pool->busy)
            pool->busy(pool->context, false);
    }
    tri_unlock(&pool->lock);
    if (rings > 0)
        tri_blocking_wake(pool, rings);
    tri_wakes_make(wakes);
}

/* ---- waiting for room ----------------------------------------------------------------------------------------- */

/* Queues the job at once, or returns -EAGAIN. */
static int admit(struct tri_blocking *pool, struct tri_record *record, uint32_t *rings)
{
    if (pool->closing)
        return -ECANCELED;
    if (pool->queued >= pool->capacity || !tri_line_is_empty(&pool->room))
        return -EAGAIN;
    return queue_job(pool, record, rings);
}

static int enter_room(struct tr_case *c)
{
    struct tri_blocking *pool = c->tri_object;
    struct tri_wakes none = { .count = 0 };
    uint32_t rings = 0;
    tri_lock(&pool->lock);
    int rc = admit(pool, c->tri_value, &rings);
    if (rc == -EAGAIN) {
        tri_line_push(&pool->room, c);
        pool->waiting++;
    }
    unlock_and_wake(pool, &none, rings);
    return rc;
}

static bool leave_room(struct tr_case *c)
{
    struct tri_blocking *pool = c->tri_object;
    tri_lock(&pool->lock);
    bool waited = tri_line_remove(&pool->room, c);
    if (waited)
        pool->waiting--;
    tri_unlock(&pool->lock);
    return waited;
}

const struct tri_kind tri_room_kind = { enter_room, enter_room, leave_room, NULL, TRI_WAIT_JOB };

/* ---- waiting for the end -------------------------------------------------------------------------------------- */

/* Somebody takes a job from those that are DONE. */
static void take_done(struct tri_blocking *pool, struct tri_record *record)
{
    take_out(&pool->done, record);
    record->state = TRI_JOB_TAKEN;
    spend(record);
    if (pool->closing && is_over(pool))
        pool->ended(pool->context);
}

static bool is_joinable(struct tri_record *record, uint64_t generation)
{
    return tri_load(&record->generation, TRI_RELAXED) == generation; /* [J2] */
}

static int enter_join(struct tr_case *c)
{
    struct tri_blocking *pool = c->tri_object;
    struct tri_record *record = c->tri_value;
    int rc = -EAGAIN;
    tri_lock(&pool->lock);
    if (!is_joinable(record, c->tri_amount)) {
        rc = -ESRCH;
    } else if (record->state == TRI_JOB_DONE) {
        take_done(pool, record);
        rc = 0;
    } else if (!tri_line_is_empty(&record->joiner)) {
        rc = -EINVAL;
    } else {
        tri_line_push(&record->joiner, c);
    }
    tri_unlock(&pool->lock);
    return rc;
}

static bool leave_join(struct tr_case *c)
{
    struct tri_blocking *pool = c->tri_object;
    struct tri_record *record = c->tri_value; /* which may be another's by now; then we are in no line */
    tri_lock(&pool->lock);
    bool waited = c->tri_next && tri_line_remove(&record->joiner, c);
    tri_unlock(&pool->lock);
    return waited;
}

const struct tri_kind tri_join_kind = { enter_join, enter_join, leave_join, NULL, TRI_WAIT_JOB };

/* ---- the threads' side ---------------------------------------------------------------------------------------- */

/* The first job of the queue, RUNNING; NULL: none. */
static struct tri_record *begin_job(struct tri_blocking *pool, struct tri_wakes *wakes, uint32_t *rings)
{
    struct tri_record *record = pool->queue.first;
    if (!record)
        return NULL;
    leave_queue(pool, record);
    record->state = TRI_JOB_RUNNING;
    record->since = tr_clock();
    append(&pool->run, record);
    pool->running++;
    grant_room(pool, wakes, rings);
    return record;
}

static void leave_run(struct tri_blocking *pool, struct tri_record *record)
{
    take_out(&pool->run, record);
    pool->running--;
}

/* The job has returned. True: nobody takes its result; it stands among those that run until it has been dropped. */
static bool end_job(struct tri_blocking *pool, struct tri_record *record, struct tri_wakes *wakes)
{
    struct tr_case *c = tri_line_claim(&record->joiner);
    if (!c && (record->detached || (pool->closing && !record->owned))) { /* closing: a joiner would come too late */
        record->state = TRI_JOB_TAKEN;
        spend(record);
        return true;
    }
    leave_run(pool, record);
    if (c) {
        record->state = TRI_JOB_TAKEN;
        spend(record);
        tri_wakes_add(wakes, tri_finish(c, 0));
    } else {
        record->state = TRI_JOB_DONE;
        append(&pool->done, record);
    }
    return false;
}

/* Runs a job that has begun. Called and returns under the lock. */
static void run_job(struct tri_blocking *pool, struct tri_record *record, struct tri_wakes *wakes, uint32_t rings)
{
    unlock_and_wake(pool, wakes, rings);
    record->outcome = record->run(record->block, tri_record_result(record));
    tri_foreign_scope_drop();
    tri_lock(&pool->lock);
    if (!end_job(pool, record, wakes)) {
        unlock_and_wake(pool, wakes, 0);
        tri_lock(&pool->lock);
        return;
    }
    tri_unlock(&pool->lock);
    if (record->drop)
        record->drop(record->block, tri_record_result(record));
    tri_foreign_scope_drop();
    tri_lock(&pool->lock);
    leave_run(pool, record);
    tri_record_free(record);
    unlock_and_wake(pool, wakes, 0); /* nobody; but it may have been the last job */
    tri_lock(&pool->lock);
}

/* Sleeps until there may be work. Called and returns under the lock. False: the thread has been idle for long. */
static bool await_call(struct tri_blocking *pool)
{
    pool->idle++;
    uint32_t seen = tri_load(&pool->bell, TRI_RELAXED);
    tri_unlock(&pool->lock);
    bool rung = tri_blocking_sleep(pool, seen, pool->idle_ns); /* [J3] */
    tri_lock(&pool->lock);
    if (pool->calls > 0) { /* whose it was does not matter: it took one of us off the idle */
        pool->calls--;
        return true;
    }
    pool->idle--;
    return rung;
}

void tri_blocking_serve(struct tri_blocking *pool)
{
    struct tri_wakes wakes = { .count = 0 };
    tri_lock(&pool->lock);
    for (;;) {
        uint32_t rings = 0;
        struct tri_record *record = begin_job(pool, &wakes, &rings);
        if (!record) {
            if (pool->closing || !await_call(pool))
                break;
            continue;
        }
        run_job(pool, record, &wakes, rings);
    }
    pool->threads--;
    if (pool->closing && is_over(pool))
        pool->ended(pool->context);
    tri_unlock(&pool->lock); /* the last access [J1] */
}

/* ---- giving up ------------------------------------------------------------------------------------------------ */

/* A job leaves the queue without having started: its place is somebody else's. */
static void refuse(struct tri_blocking *pool, struct tri_record *record, struct tri_wakes *wakes, uint32_t *rings)
{
    leave_queue(pool, record);
    record->state = TRI_JOB_REFUSED;
    spend(record);
    grant_room(pool, wakes, rings);
}

enum tri_job_state tri_blocking_withdraw(struct tri_blocking *pool, struct tri_record *record)
{
    struct tri_wakes wakes = { .count = 0 };
    uint32_t rings = 0;
    tri_lock(&pool->lock);
    enum tri_job_state state = record->state;
    if (state == TRI_JOB_QUEUED)
        refuse(pool, record, &wakes, &rings);
    else if (state == TRI_JOB_DONE)
        take_done(pool, record);
    else if (state == TRI_JOB_RUNNING)
        record->detached = true;
    else if (state == TRI_JOB_FREE)
        spend(record);
    unlock_and_wake(pool, &wakes, rings);
    return state;
}

int tri_blocking_cancel(struct tri_blocking *pool, struct tri_record *record, uint64_t generation)
{
    struct tri_wakes wakes = { .count = 0 };
    uint32_t rings = 0;
    int rc = -ESRCH;
    tri_lock(&pool->lock);
    if (is_joinable(record, generation))
        rc = record->state == TRI_JOB_QUEUED ? 0 : 1;
    if (rc == 0) {
        refuse(pool, record, &wakes, &rings);
        struct tr_case *c = tri_line_claim(&record->joiner);
        if (c)
            tri_wakes_add(&wakes, tri_finish(c, -ESRCH));
    }
    unlock_and_wake(pool, &wakes, rings);
    if (rc == 0)
        tri_record_free(record);
    return rc;
}

int tri_blocking_detach(struct tri_blocking *pool, struct tri_record *record, uint64_t generation)
{
    int rc = 0;
    bool drop = false;
    tri_lock(&pool->lock);
    if (!is_joinable(record, generation)) {
        rc = -ESRCH;
    } else if (!tri_line_is_empty(&record->joiner)) {
        rc = -EINVAL;
    } else if (record->state == TRI_JOB_DONE) {
        take_done(pool, record);
        drop = true;
    } else {
        record->detached = true;
        spend(record);
    }
    tri_unlock(&pool->lock);
    if (drop)
        tri_record_drop(record, true);
    return rc;
}

/* ---- the life of a pool --------------------------------------------------------------------------------------- */

bool tri_blocking_check(const struct tr_options *options)
{
    return options->blocking_threads <= THREADS_LIMIT && options->blocking_queue <= QUEUE_LIMIT &&
           options->blocking_idle_ns >= 0;
}

struct tri_blocking *tri_blocking_create(const struct tr_options *options, void (*ended)(void *context),
                                         void (*busy)(void *context, bool now), void *context)
{
    struct tri_blocking *pool = tri_pool_take_shared(&blocking_pool);
    if (!pool)
        return NULL;
    tri_lock(&pool->lock); /* late comers of an earlier runtime may look */
    pool->thread_limit = options->blocking_threads ? options->blocking_threads : DEFAULT_THREADS;
    pool->capacity = options->blocking_queue ? options->blocking_queue : DEFAULT_QUEUE;
    pool->idle_ns = options->blocking_idle_ns ? options->blocking_idle_ns : DEFAULT_IDLE_NS;
    pool->threads = pool->idle = pool->calls = pool->queued = pool->running = pool->waiting = 0;
    pool->closing = pool->is_busy = false;
    pool->busy = busy;
    pool->queue = pool->run = pool->done = (struct tri_jobs){ NULL, NULL };
    pool->room.last = NULL;
    pool->ended = ended;
    pool->context = context;
    tri_unlock(&pool->lock);
    return pool;
}

/*
 * The first job that nobody is to wait for any more, out of its list; NULL: none is left. *ran: its end was not waited for.
 * Unless it is owned it is to be dropped, whether or not somebody joins it: -ESRCH would not tell who has the argument.
 */
static struct tri_record *reject_one(struct tri_blocking *pool, struct tri_wakes *wakes, bool *ran)
{
    struct tri_record *record = pool->queue.first;
    *ran = false;
    if (record) {
        leave_queue(pool, record);
        record->state = TRI_JOB_REFUSED;
        spend(record);
        struct tr_case *c = tri_line_claim(&record->joiner);
        if (c)
            tri_wakes_add(wakes, tri_finish(c, -ESRCH));
        return record;
    }
    for (record = pool->done.first; record && record->owned; record = record->next)
        ; /* its caller is about to take it */
    if (record) {
        take_out(&pool->done, record);
        record->state = TRI_JOB_TAKEN;
        spend(record);
        *ran = true;
    }
    return record;
}

void tri_blocking_close(struct tri_blocking *pool)
{
    struct tri_wakes wakes = { .count = 0 };
    bool ran;
    tri_lock(&pool->lock);
    pool->closing = true;
    struct tr_case *c;
    while ((c = tri_line_claim(&pool->room))) {
        pool->waiting--;
        tri_wakes_add(&wakes, tri_finish(c, -ECANCELED));
    }
    struct tri_record *record;
    while ((record = reject_one(pool, &wakes, &ran))) {
        bool owned = record->owned;
        unlock_and_wake(pool, &wakes, 0);
        if (!owned)
            tri_record_drop(record, ran);
        tri_lock(&pool->lock);
    }
    uint32_t idle = pool->idle;
    pool->calls += idle;
    pool->idle = 0;
    tri_store(&pool->bell, tri_load(&pool->bell, TRI_RELAXED) + 1, TRI_RELAXED); /* [J3] */
    unlock_and_wake(pool, &wakes, idle);
}

bool tri_blocking_is_over(struct tri_blocking *pool)
{
    tri_lock(&pool->lock); /* [J1] */
    bool over = is_over(pool);
    tri_unlock(&pool->lock);
    return over;
}

void tri_blocking_destroy(struct tri_blocking *pool)
{
    tri_pool_give_shared(&blocking_pool, pool);
}

/* ---- reports -------------------------------------------------------------------------------------------------- */

#define REPORTED 32u

void tri_blocking_report(struct tri_blocking *pool)
{
    struct {
        char name[TRI_JOB_NAME_BYTES];
        tr_time since;
    } jobs[REPORTED];
    uint32_t count = 0;
    tri_lock(&pool->lock);
    for (struct tri_record *record = pool->run.first; record && count < REPORTED; record = record->next) {
        memcpy(jobs[count].name, record->name, sizeof record->name);
        jobs[count++].since = record->since;
    }
    uint32_t running = pool->running;
    tri_unlock(&pool->lock);
    for (uint32_t i = 0; i < count; i++)
        tr_log(TR_LOG_ERROR, "shutdown: blocking job '%s' still runs, since %.3f s", jobs[i].name,
               (double)(tr_clock() - jobs[i].since) / TR_SECOND);
    if (running > count)
        tr_log(TR_LOG_ERROR, "shutdown: %u more blocking jobs still run", running - count);
}

void tri_blocking_look(struct tri_blocking *pool, struct tr_blocking_info *out)
{
    tri_lock(&pool->lock);
    *out = (struct tr_blocking_info){ pool->threads, pool->idle, pool->queued, pool->running, pool->waiting };
    tri_unlock(&pool->lock);
}
