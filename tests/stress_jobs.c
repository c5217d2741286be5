/* SPDX-License-Identifier: MIT */
/*
 * stress_jobs.c: the pool for blocking work, small: tasks and foreign threads with short deadlines, canceled tasks, jobs that
 * are cancelled, detached and joined by others, and the runtime's end in the midst.
 *
 * Each job has a number. Oracles: it runs once or never, as its caller was told; its result is taken or dropped, once, and the
 * right one; what was never started is dropped only where nobody was told.
 */
#include "tests/support.h"

#include <pthread.h>

enum { ROUNDS = 6, TASKS = 8, THREADS = 3, JOBS = 3000, SHELF = 16 };

/* What its caller was told: */
enum told { NOTHING, NOT_QUEUED, NEVER_STARTED, STARTED, TAKEN, HANDED_ON };

struct fate {
    atomic_uchar ran, dropped, dropped_unstarted, told;
};

static struct fate *fates;
static long fate_count;
static atomic_long next_id;
static atomic_int running;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* never held over a suspension */
static struct shelved {
    struct tr_job job;
    long id;
} shelf[SHELF];
static struct tr_runtime *runtime;

static int run_one(void *argument, void *result)
{
    long id = *(long *)argument;
    expect_int(atomic_fetch_add(&fates[id].ran, 1), 0);
    if (id % 7 == 0)
        usleep((useconds_t)(id % 300));
    *(long *)result = id * 3;
    return 0;
}

static void drop_one(void *argument, void *result)
{
    long id = *(long *)argument;
    if (result)
        expect_int(*(long *)result, id * 3);
    expect_int(atomic_fetch_add(result ? &fates[id].dropped : &fates[id].dropped_unstarted, 1), 0);
}

static struct tr_work work_of(long *id)
{
    return (struct tr_work){ .run = run_one,
                             .argument = id,
                             .argument_bytes = sizeof *id,
                             .result_bytes = sizeof(long),
                             .drop = drop_one,
                             .runtime = runtime };
}

static void tell(long id, enum told told)
{
    atomic_store(&fates[id].told, (unsigned char)told);
}

static tr_time short_deadline(uint64_t random)
{
    return random % 3 == 0 ? TR_FOREVER : tr_after((int64_t)(random / 3 % (400 * TR_MICROSECOND)));
}

/* Returns false when the caller is to end. */
static bool call_one(long id, uint64_t random)
{
    long result = 0;
    bool started = false;
    struct tr_work work = work_of(&id);
    int rc = tr_blocking_raw(&work, &result, &started, short_deadline(random));
    expect(rc == 0 || rc == -ETIMEDOUT || rc == -ECANCELED || rc == -ESRCH);
    if (rc == 0)
        expect_int(result, id * 3);
    tell(id, rc == 0 ? TAKEN : started ? STARTED : NEVER_STARTED);
    return rc == 0 || rc == -ETIMEDOUT;
}

/* Joins, cancels or detaches a job that somebody has started. */
static void end_one(struct shelved shelved, uint64_t random)
{
    long result = 0;
    int rc;
    switch (random % 4) {
    case 0:
        rc = tr_job_cancel(shelved.job);
        expect(rc == 0 || rc == 1 || rc == -ESRCH);
        tell(shelved.id, rc == 0 ? NEVER_STARTED : HANDED_ON);
        if (rc == 1)
            tr_job_detach(shelved.job);
        break;
    case 1:
        rc = tr_job_detach(shelved.job);
        expect(rc == 0 || rc == -ESRCH);
        tell(shelved.id, HANDED_ON);
        break;
    default:
        rc = tr_job_join(shelved.job, &result, short_deadline(random / 4));
        expect(rc == 0 || rc == -ESRCH || rc == -ETIMEDOUT || rc == -ECANCELED);
        if (rc == 0)
            expect_int(result, shelved.id * 3);
        tell(shelved.id, rc == 0 ? TAKEN : HANDED_ON);
        if (rc == -ETIMEDOUT || rc == -ECANCELED)
            tr_job_detach(shelved.job); /* -ESRCH: the runtime's end was quicker */
        break;
    }
}

static bool start_one(long id, uint64_t random)
{
    struct shelved shelved = { .id = id }, before;
    struct tr_work work = work_of(&id);
    tell(id, HANDED_ON);
    int rc = tr_job_start(&shelved.job, &work, short_deadline(random));
    expect(rc == 0 || rc == -ETIMEDOUT || rc == -ECANCELED);
    if (rc < 0) {
        tell(id, NOT_QUEUED);
        return rc == -ETIMEDOUT;
    }
    pthread_mutex_lock(&lock);
    before = shelf[random / 8 % SHELF];
    shelf[random / 8 % SHELF] = shelved;
    pthread_mutex_unlock(&lock);
    if (before.job.tri_record)
        end_one(before, random / 1024);
    return true;
}

static bool do_one(uint64_t random)
{
    long id = atomic_fetch_add(&next_id, 1);
    expect(id < fate_count);
    return random % 2 ? call_one(id, random / 2) : start_one(id, random / 2);
}

static int be_task(void *argument)
{
    uint64_t seed = 17 + 1000003 * (uint64_t)(intptr_t)argument + (uint64_t)atomic_load(&next_id);
    for (int i = 0; i < JOBS / TASKS; i++)
        if (!do_one(test_random(&seed) >> 4) && !tr_cancel_taken())
            break;
    atomic_fetch_sub(&running, 1);
    return 0;
}

static void *be_thread(void *argument)
{
    uint64_t seed = 3 + 77 * (uint64_t)(intptr_t)argument + (uint64_t)atomic_load(&next_id);
    for (int i = 0; i < JOBS / THREADS && atomic_load(&running) > 0; i++)
        if (!do_one(test_random(&seed) >> 4))
            break;
    return NULL;
}

static void run_round(unsigned round)
{
    struct tr_options options = test_options(0);
    struct tr_task tasks[TASKS];
    pthread_t threads[THREADS];
    uint64_t seed = 5 + round;
    options.blocking_threads = 1 + round % 3;
    options.blocking_queue = 1 + round % 4;
    options.blocking_idle_ns = round % 2 ? 50 * TR_MICROSECOND : 0;
    memset(shelf, 0, sizeof shelf);
    expect_int(tr_start(&runtime, &options), 0);
    atomic_store(&running, TASKS);
    for (int i = 0; i < TASKS; i++)
        expect_int(tr_task_spawn(&tasks[i], be_task, (void *)(intptr_t)i,
                                 &(struct tr_task_options){ .runtime = runtime }),
                   0);
    for (int i = 0; i < THREADS; i++)
        expect_int(pthread_create(&threads[i], NULL, be_thread, (void *)(intptr_t)i), 0);
    long end = atomic_load(&next_id) + (round % 2 ? JOBS / 2 : 10L * JOBS);
    while (atomic_load(&running) > 0 && atomic_load(&next_id) < end) {
        tr_task_cancel(tasks[test_random(&seed) % TASKS]);
        usleep(100);
    }
    int rc;
    do /* foreign callers wait for as long as their jobs take: they are told, and gone in time */
        rc = tr_stop(runtime, tr_after(LONG_TIME));
    while (rc == -ETIMEDOUT);
    expect_int(rc, 0);
    atomic_store(&running, 0);
    for (int i = 0; i < THREADS; i++)
        expect_int(pthread_join(threads[i], NULL), 0);
}

/* What became of a job, by what its caller was told. */
static void check_fate(struct fate *fate)
{
    int ran = atomic_load(&fate->ran), dropped = atomic_load(&fate->dropped),
        unstarted = atomic_load(&fate->dropped_unstarted);
    switch ((enum told)atomic_load(&fate->told)) {
    case NOTHING:
    case NOT_QUEUED:
    case NEVER_STARTED:
        expect_int(ran + dropped + unstarted, 0);
        return;
    case STARTED:
        expect(ran == 1 && dropped == 1 && unstarted == 0);
        return;
    case TAKEN:
        expect(ran == 1 && dropped == 0 && unstarted == 0);
        return;
    case HANDED_ON: /* to run, to the end of the runtime, or to a joiner who was told of it */
        expect(ran == dropped && ran + unstarted <= 1);
        return;
    }
}

int main(void)
{
    unsigned rounds = ROUNDS * test_stress();
    long counts[HANDED_ON + 1] = { 0 };
    if (!test_backend_here("jobs"))
        return EXIT_SKIPPED;
    fate_count = (long)rounds * 2 * JOBS + 100;
    fates = calloc((size_t)fate_count, sizeof *fates);
    expect(fates);
    test_census_begin();
    for (unsigned round = 0; round < rounds; round++)
        run_round(round);
    test_census_end();
    for (long id = 0; id < atomic_load(&next_id); id++) {
        check_fate(&fates[id]);
        counts[atomic_load(&fates[id].told)]++;
    }
    printf("jobs: %ld; %ld not queued, %ld never started, %ld orphaned, %ld taken, %ld handed on\n",
           (long)atomic_load(&next_id), counts[NOT_QUEUED], counts[NEVER_STARTED], counts[STARTED], counts[TAKEN],
           counts[HANDED_ON]);
    free(fates);
    return 0;
}
