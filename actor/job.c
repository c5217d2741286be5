/* SPDX-License-Identifier: MIT */
/*
 * job.c: the public side of the pool for blocking work: records of jobs, and the calls of troupe/blocking.h. The pool itself
 * is in blocking.c; the picture and the edges in blocking.h.
 */
#include "actor/blocking.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- records -------------------------------------------------------------------------------------------------- */

static void construct(void *object)
{
    struct tri_record *record = object;
    tri_store(&record->generation, UINT64_C(1), TRI_RELAXED); /* 0 is nobody's */
}

static struct tri_pool record_pool = {
    .name = "job",
    .object_bytes = 192,
    .link_offset = offsetof(struct tri_record, next),
    .slab_objects = 256,
    .construct = construct,
};
_Static_assert(sizeof(struct tri_record) <= 192, "record_pool");

uint64_t tri_blocking_jobs(void)
{
    tri_lock(&record_pool.lock);
    uint64_t count = record_pool.total - record_pool.free_count;
    tri_unlock(&record_pool.lock);
    return count;
}

static size_t result_offset(size_t argument_bytes)
{
    return (argument_bytes + 15) / 16 * 16;
}

void *tri_record_result(struct tri_record *record)
{
    return record->block + result_offset(record->argument_bytes);
}

static struct tri_record *make_record(struct tri_blocking *pool, const struct tr_work *work)
{
    size_t offset = result_offset(work->argument_bytes);
    char *block = calloc(1, offset + work->result_bytes + 1);
    struct tri_record *record = block ? tri_pool_take_shared(&record_pool) : NULL;
    if (!record) {
        free(block);
        return NULL;
    }
    if (work->argument_bytes > 0)
        memcpy(block, work->argument, work->argument_bytes);
    record->joiner.last = NULL;
    record->state = TRI_JOB_FREE;
    record->detached = record->owned = false;
    record->run = work->run;
    record->drop = work->drop;
    record->argument_bytes = work->argument_bytes;
    record->result_bytes = work->result_bytes;
    record->block = block;
    snprintf(record->name, sizeof record->name, "%s", work->name ? work->name : "job");
    tri_store(&record->pool, pool, TRI_RELEASE); /* [J2] */
    return record;
}

void tri_record_free(struct tri_record *record)
{
    free(record->block);
    tri_pool_give_shared(&record_pool, record);
}

/* Nobody will take the result. */
void tri_record_drop(struct tri_record *record, bool ran)
{
    if (record->drop)
        record->drop(record->block, ran ? tri_record_result(record) : NULL);
    tri_record_free(record);
}

/* Copies the result out and frees the job, which is TAKEN by the caller. Returns what the caller gets. */
static int take_result(struct tri_record *record, void *result)
{
    int outcome = record->outcome;
    if (result && record->result_bytes > 0)
        memcpy(result, tri_record_result(record), record->result_bytes);
    tri_record_free(record);
    return outcome < 0 ? outcome == INT_MIN ? INT_MAX : -outcome : outcome;
}

/* ---- the calls ------------------------------------------------------------------------------------------------ */

/* Begins a call: a fairness point, the pool, and a record that is not queued. */
static int begin(const struct tr_work *work, struct tri_blocking **pool, struct tri_record **record)
{
    int rc = tri_checkpoint();
    if (rc < 0)
        return rc;
    if (!work->run || work->argument_bytes > TR_JOB_LIMIT || work->result_bytes > TR_JOB_LIMIT ||
        (work->argument_bytes > 0 && !work->argument))
        return -EINVAL;
    rc = tri_blocking_of(work->runtime, pool);
    if (rc < 0)
        return rc;
    *record = make_record(*pool, work);
    return *record ? 0 : -ENOMEM;
}

/* Queues the job, when there is room. On an error the record is freed. */
static int queue(struct tri_blocking *pool, struct tri_record *record, tr_time deadline)
{
    struct tr_case c = { .tri_kind = &tri_room_kind, .tri_object = pool, .tri_value = record };
    int rc = tri_wait(&c, deadline);
    if (rc < 0) { /* its handle has been written */
        tri_blocking_withdraw(pool, record);
        tri_record_free(record);
    }
    return rc;
}

/* Waits for the end of the job. 0: it is TAKEN by us. */
static int await_end(struct tri_blocking *pool, struct tri_record *record, uint64_t generation, tr_time deadline)
{
    struct tr_case c = {
        .tri_kind = &tri_join_kind, .tri_object = pool, .tri_value = record, .tri_amount = generation
    };
    return tri_wait(&c, deadline);
}

int tr_job_start(struct tr_job *out, const struct tr_work *work, tr_time deadline)
{
    struct tri_blocking *pool;
    struct tri_record *record;
    int rc = begin(work, &pool, &record);
    if (rc < 0)
        return rc;
    record->detached = !out;
    if (out)
        *out = (struct tr_job){ record, tri_load(&record->generation, TRI_RELAXED) };
    return queue(pool, record, deadline); /* it may be over when this returns */
}

int tr_job_join(struct tr_job job, void *result, tr_time deadline)
{
    struct tri_record *record = job.tri_record;
    int rc = tri_checkpoint();
    if (!record)
        return -ESRCH;
    if (rc == 0)
        rc = await_end(tri_load(&record->pool, TRI_ACQUIRE), record, job.tri_generation, deadline); /* [J2] */
    return rc < 0 ? rc : take_result(record, result);
}

int tr_job_cancel(struct tr_job job)
{
    struct tri_record *record = job.tri_record;
    return record ? tri_blocking_cancel(tri_load(&record->pool, TRI_ACQUIRE), record, job.tri_generation) : -ESRCH;
}

int tr_job_detach(struct tr_job job)
{
    struct tri_record *record = job.tri_record;
    return record ? tri_blocking_detach(tri_load(&record->pool, TRI_ACQUIRE), record, job.tri_generation) : -ESRCH;
}

/* The caller gives up on its job. Returns `rc`, or what the job has returned after all. */
static int give_up(struct tri_blocking *pool, struct tri_record *record, void *result, bool *started, int rc)
{
    switch (tri_blocking_withdraw(pool, record)) {
    case TRI_JOB_DONE:
        *started = true;
        return take_result(record, result);
    case TRI_JOB_RUNNING: /* the thread's now */
        *started = true;
        return rc;
    case TRI_JOB_FREE:
    case TRI_JOB_QUEUED:
    case TRI_JOB_TAKEN:
    case TRI_JOB_REFUSED:
        break;
    }
    tri_record_free(record);
    return rc;
}

int tr_blocking_raw(const struct tr_work *work, void *result, bool *started, tr_time deadline)
{
    struct tri_blocking *pool;
    struct tri_record *record;
    bool unwanted;
    if (!started)
        started = &unwanted;
    *started = false;
    int rc = begin(work, &pool, &record);
    if (rc < 0)
        return rc;
    record->owned = true;
    if (deadline <= tr_after(0)) {
        tri_record_free(record);
        return -ETIMEDOUT;
    }
    uint64_t generation = tri_load(&record->generation, TRI_RELAXED); /* which moves if it is refused */
    rc = queue(pool, record, deadline);
    if (rc < 0)
        return rc;
    rc = await_end(pool, record, generation, deadline);
    if (rc < 0)
        return give_up(pool, record, result, started, rc);
    *started = true;
    return take_result(record, result);
}
