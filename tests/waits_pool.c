/* SPDX-License-Identifier: MIT */
/*
 * waits_pool.c: the rows of the pool for blocking work (see waits.h).
 *
 * Jobs need a ticket to end. The pool has two threads: one is left when a job waits for a ticket that nobody gives.
 */
#include "tests/waits.h"

#include <pthread.h>

enum { THREADS = 2, PLENTY = 1000000 };
struct tr_runtime *waits_pool;

static pthread_mutex_t ticket_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ticket_there = PTHREAD_COND_INITIALIZER;
static int tickets;
static struct tr_job stuck_job, jobs[WAIT_DEPTH];
static int jobs_ready, jobs_joined;
static atomic_int ran; /* of the row that asks for an answer */
static int answered;

struct tr_options waits_options(unsigned workers)
{
    struct tr_options options = test_options(workers);
    options.blocking_threads = THREADS;
    options.blocking_queue = WAIT_DEPTH;
    return options;
}

static void set_tickets(int count)
{
    pthread_mutex_lock(&ticket_lock);
    tickets = count;
    pthread_cond_broadcast(&ticket_there);
    pthread_mutex_unlock(&ticket_lock);
}

static int use_ticket(void *argument, void *result)
{
    (void)argument, (void)result;
    pthread_mutex_lock(&ticket_lock);
    while (tickets == 0)
        pthread_cond_wait(&ticket_there, &ticket_lock);
    tickets--;
    pthread_mutex_unlock(&ticket_lock);
    return 0;
}

static int use_ticket_and_count(void *argument, void *result)
{
    atomic_fetch_add(&ran, 1);
    return use_ticket(argument, result);
}

static int return_seven(void *argument, void *result)
{
    (void)argument, (void)result;
    return 7;
}

static struct tr_blocking_info look_at_pool(void)
{
    struct tr_blocking_info info;
    expect_int(tr_blocking_info(waits_pool, &info), 0);
    return info;
}

static void begin_blocking(void)
{
    set_tickets(0);
    atomic_store(&ran, 0);
    answered = 0;
}

static void ready_blocking(int count)
{
    (void)count;
    set_tickets(PLENTY);
    wait_until(look_at_pool().running == 0);
    atomic_store(&ran, 0);
}

static int call_blocking(tr_time deadline)
{
    bool started = true;
    struct tr_work work = { .run = use_ticket_and_count, .runtime = waits_pool };
    int rc = tr_blocking_raw(&work, NULL, &started, deadline);
    if (rc == 0) /* all that were started have come to an end with us */
        expect_int(atomic_load(&ran), ++answered);
    return rc;
}

static void end_pool(void)
{
    set_tickets(PLENTY);
    wait_until(look_at_pool().running + look_at_pool().queued == 0);
}

static void begin_job_start(void)
{
    struct tr_work work = { .run = use_ticket, .runtime = waits_pool };
    set_tickets(0);
    for (int i = 0; i < THREADS; i++)
        expect_int(tr_job_start(NULL, &work, tr_after(LONG_TIME)), 0);
    wait_until(look_at_pool().running == THREADS);
    while (look_at_pool().queued < WAIT_DEPTH)
        expect_int(tr_job_start(NULL, &work, tr_after(LONG_TIME)), 0);
}

static void ready_job_start(int count)
{
    set_tickets(count);
    wait_until(look_at_pool().queued == (uint32_t)(WAIT_DEPTH - count));
}

static int call_job_start(tr_time deadline)
{
    struct tr_work work = { .run = use_ticket, .runtime = waits_pool };
    return tr_job_start(NULL, &work, deadline);
}

static void begin_job_join(void)
{
    struct tr_work work = { .run = use_ticket, .runtime = waits_pool };
    set_tickets(0);
    jobs_ready = jobs_joined = 0;
    expect_int(tr_job_start(&stuck_job, &work, tr_after(LONG_TIME)), 0);
    wait_until(look_at_pool().queued == 0);
}

static void ready_job_join(int count)
{
    struct tr_work work = { .run = return_seven, .runtime = waits_pool };
    for (; count > 0; count--, jobs_ready++)
        expect_int(tr_job_start(&jobs[jobs_ready], &work, tr_after(LONG_TIME)), 0);
    wait_until(look_at_pool().queued + look_at_pool().running == 1);
}

static int call_job_join(tr_time deadline)
{
    int rc = tr_job_join(jobs_joined < jobs_ready ? jobs[jobs_joined] : stuck_job, NULL, deadline);
    if (rc >= 0) {
        expect_int(rc, 7);
        jobs_joined++;
    }
    return rc;
}

static void end_job_join(void)
{
    set_tickets(PLENTY);
    for (; jobs_joined < jobs_ready; jobs_joined++)
        expect_int(tr_job_join(jobs[jobs_joined], NULL, tr_after(LONG_TIME)), 7);
    expect_int(tr_job_join(stuck_job, NULL, tr_after(LONG_TIME)), 0);
    end_pool();
}

const struct wait_row waits_of_pool[] = {
    { "job join", begin_job_join, ready_job_join, call_job_join, NULL, end_job_join, WAIT_ALONE },
    { "job start", begin_job_start, ready_job_start, call_job_start, NULL, end_pool, 0 },
    { "blocking", begin_blocking, ready_blocking, call_blocking, NULL, end_pool, WAIT_LEVEL | WAIT_ANSWER },
    { 0 },
};
