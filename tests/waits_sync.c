/* SPDX-License-Identifier: MIT */
/*
 * waits_sync.c: the rows of the synchronisation primitives and of select (see waits.h).
 */
#include "tests/waits.h"

/* ---- locks ---------------------------------------------------------------------------------------------------- */

static struct tr_mutex mutex;
static struct tr_rwlock read_lock, write_lock;
static struct keeper mutex_keeper, read_keeper, write_keeper;

static void take_mutex(void)
{
    expect_int(tr_mutex_lock(&mutex, TR_FOREVER), 0);
}

static void give_mutex(void)
{
    expect_int(tr_mutex_unlock(&mutex), 0);
}

static void begin_mutex(void)
{
    tr_mutex_init(&mutex);
    keeper_begin(&mutex_keeper, take_mutex, give_mutex);
}

static void ready_mutex(int count)
{
    (void)count;
    keeper_end(&mutex_keeper);
}

static int call_mutex(tr_time deadline)
{
    return tr_mutex_lock(&mutex, deadline);
}

static void end_mutex(void)
{
    keeper_end(&mutex_keeper);
    expect(!tr_mutex_is_locked(&mutex));
}

static void take_for_writing(void)
{
    expect_int(tr_rwlock_write(&read_lock, TR_FOREVER), 0);
}

static void give_from_writing(void)
{
    expect_int(tr_rwlock_end_write(&read_lock), 0);
}

static void begin_read(void)
{
    expect_int(tr_rwlock_init(&read_lock, 0), 0);
    keeper_begin(&read_keeper, take_for_writing, give_from_writing);
}

static void ready_read(int count)
{
    (void)count;
    keeper_end(&read_keeper);
}

static int call_read(tr_time deadline)
{
    return tr_rwlock_read(&read_lock, deadline);
}

static void again_read(void)
{
    expect_int(tr_rwlock_end_read(&read_lock), 0);
}

static void end_read(void)
{
    keeper_end(&read_keeper);
    expect_int(tr_rwlock_readers(&read_lock), 0);
}

static void take_for_reading(void)
{
    expect_int(tr_rwlock_read(&write_lock, TR_FOREVER), 0);
}

static void give_from_reading(void)
{
    expect_int(tr_rwlock_end_read(&write_lock), 0);
}

static void begin_write(void)
{
    expect_int(tr_rwlock_init(&write_lock, 0), 0);
    keeper_begin(&write_keeper, take_for_reading, give_from_reading);
}

static void ready_write(int count)
{
    (void)count;
    keeper_end(&write_keeper);
}

static int call_write(tr_time deadline)
{
    return tr_rwlock_write(&write_lock, deadline);
}

static void again_write(void)
{
    expect_int(tr_rwlock_end_write(&write_lock), 0);
}

static void end_write(void)
{
    keeper_end(&write_keeper);
    expect(!tr_rwlock_is_written(&write_lock));
    expect_int(tr_rwlock_readers(&write_lock), 0);
}

/* ---- semaphore, notify, barrier ------------------------------------------------------------------------------- */

static struct tr_semaphore semaphore;
static uint64_t released, acquired;
static struct tr_notify notify, news;
static uint64_t since;
static struct tr_barrier barrier;

static void begin_semaphore(void)
{
    expect_int(tr_semaphore_init(&semaphore, 0), 0);
    released = acquired = 0;
}

static void ready_semaphore(int count)
{
    released += (uint64_t)count;
    expect_int(tr_semaphore_release(&semaphore, (uint64_t)count), 0);
}

static int call_semaphore(tr_time deadline)
{
    int rc = tr_semaphore_acquire(&semaphore, 1, deadline);
    if (rc == 0)
        acquired++;
    return rc;
}

static void end_semaphore(void)
{
    expect_int((int64_t)tr_semaphore_available(&semaphore), (int64_t)(released - acquired));
}

static void begin_notify(void)
{
    tr_notify_init(&notify);
}

static void again_notify(void)
{
    tr_notify_one(&notify);
}

static void ready_notify(int count)
{
    (void)count;
    again_notify();
}

static int call_notify(tr_time deadline)
{
    return tr_notify_wait(&notify, deadline);
}

static void end_nothing(void)
{
}

static void begin_since(void)
{
    tr_notify_init(&news);
    since = tr_notify_listen(&news);
}

static void ready_since(int count)
{
    (void)count;
    tr_notify_all(&news);
}

static int call_since(tr_time deadline)
{
    return tr_notify_wait_since(&news, since, deadline);
}

static void begin_barrier(void)
{
    expect_int(tr_barrier_init(&barrier, 1000), 0);
}

static void ready_barrier(int count)
{
    (void)count;
    expect_int(tr_barrier_init(&barrier, 1), 0);
}

static int call_barrier(tr_time deadline)
{
    return tr_barrier_wait(&barrier, deadline);
}

static void end_barrier(void)
{
    expect_int(tr_barrier_waiting(&barrier), 0);
}

/* ---- once, cell, latch, condition ----------------------------------------------------------------------------- */

static struct tr_once begun, run, waited;
static struct keeper begun_keeper, run_keeper, waited_keeper;
static int made;
static struct tr_cell cell;
static struct tr_latch latch;
static struct tr_condition condition;
static struct tr_mutex of_condition;

static void take_begun(void)
{
    expect_int(tr_once_begin(&begun, TR_FOREVER), 1);
}

static void again_begun(void)
{
    expect_int(tr_once_end(&begun, false), 0);
}

static void begin_begun(void)
{
    tr_once_init(&begun);
    keeper_begin(&begun_keeper, take_begun, again_begun);
}

static void ready_begun(int count)
{
    (void)count;
    keeper_end(&begun_keeper);
}

static int call_begun(tr_time deadline)
{
    return tr_once_begin(&begun, deadline);
}

static void end_begun(void)
{
    keeper_end(&begun_keeper);
    expect_int(tr_once_try_begin(&begun), 1);
    again_begun();
}

static void take_run(void)
{
    expect_int(tr_once_begin(&run, TR_FOREVER), 1);
}

static void give_run(void)
{
    expect_int(tr_once_end(&run, false), 0);
}

static void begin_run(void)
{
    tr_once_init(&run);
    made = 0;
    keeper_begin(&run_keeper, take_run, give_run);
}

static void ready_run(int count)
{
    (void)count;
    keeper_end(&run_keeper);
}

static int make(void *argument)
{
    (void)argument;
    made++;
    return 0;
}

static int call_run(tr_time deadline)
{
    int rc = tr_once_run(&run, make, NULL, deadline);
    expect(rc < 0 ? made == 0 || tr_once_is_made(&run) : made == 1);
    return rc;
}

static void end_run(void)
{
    keeper_end(&run_keeper);
    expect_int(tr_once_is_made(&run), made);
}

static void take_waited(void)
{
    expect_int(tr_once_begin(&waited, TR_FOREVER), 1);
}

static void give_waited(void)
{
    expect_int(tr_once_end(&waited, true), 0);
}

static void begin_waited(void)
{
    tr_once_init(&waited);
    keeper_begin(&waited_keeper, take_waited, give_waited);
}

static void ready_waited(int count)
{
    (void)count;
    keeper_end(&waited_keeper);
}

static int call_waited(tr_time deadline)
{
    return tr_once_wait(&waited, deadline);
}

static void end_waited(void)
{
    keeper_end(&waited_keeper);
}

static void begin_cell(void)
{
    tr_cell_init(&cell);
}

static void ready_cell(int count)
{
    (void)count;
    expect(tr_cell_set(&cell, &cell));
}

static int call_cell(tr_time deadline)
{
    void *value = NULL;
    int rc = tr_cell_wait(&cell, &value, deadline);
    expect(rc == 0 ? value == &cell : value == NULL);
    return rc;
}

static void begin_latch(void)
{
    expect_int(tr_latch_init(&latch, 1), 0);
}

static void ready_latch(int count)
{
    (void)count;
    expect_int(tr_latch_count_down(&latch, 1), 0);
}

static int call_latch(tr_time deadline)
{
    return tr_latch_wait(&latch, deadline);
}

static void begin_condition(void)
{
    tr_condition_init(&condition);
    tr_mutex_init(&of_condition);
}

/* Signals are not stored: it is never ready. The mutex is the caller's again, whatever the result. */
static int call_condition(tr_time deadline)
{
    expect_int(tr_mutex_try_lock(&of_condition), 0);
    int rc = tr_condition_wait(&condition, &of_condition, deadline);
    expect(tr_mutex_is_mine(&of_condition));
    expect_int(tr_mutex_unlock(&of_condition), 0);
    return rc;
}

/* ---- select --------------------------------------------------------------------------------------------------- */

static struct tr_semaphore chosen;
static struct tr_notify not_chosen;
static struct tr_latch neither;
static uint64_t offered, won;

static void begin_select(void)
{
    expect_int(tr_semaphore_init(&chosen, 0), 0);
    tr_notify_init(&not_chosen);
    expect_int(tr_latch_init(&neither, 1), 0);
    offered = won = 0;
}

static void ready_select(int count)
{
    offered += (uint64_t)count;
    expect_int(tr_semaphore_release(&chosen, (uint64_t)count), 0);
}

static int call_select(tr_time deadline)
{
    struct tr_case cases[] = {
        tr_case_notified(&not_chosen),
        tr_case_acquire(&chosen, 1),
        tr_case_latch(&neither),
        tr_case_timer(TR_FOREVER),
        tr_case_never(),
    };
    int rc = tr_select(cases, sizeof cases / sizeof *cases, deadline, TR_SELECT_FAIR);
    if (rc >= 0) {
        expect_int(rc, 1);
        expect_int(cases[1].result, 0);
        won++;
    }
    return rc;
}

static void end_select(void)
{
    expect_int((int64_t)tr_semaphore_available(&chosen), (int64_t)(offered - won));
}

const struct wait_row waits_of_sync[] = {
    { "mutex lock", begin_mutex, ready_mutex, call_mutex, give_mutex, end_mutex, 0 },
    { "rwlock read", begin_read, ready_read, call_read, again_read, end_read, 0 },
    { "rwlock write", begin_write, ready_write, call_write, again_write, end_write, 0 },
    { "semaphore acquire", begin_semaphore, ready_semaphore, call_semaphore, NULL, end_semaphore, 0 },
    { "notify wait", begin_notify, ready_notify, call_notify, again_notify, end_nothing, WAIT_TURN },
    { "notify wait_since", begin_since, ready_since, call_since, NULL, end_nothing, WAIT_LEVEL },
    { "barrier wait", begin_barrier, ready_barrier, call_barrier, NULL, end_barrier, WAIT_LEVEL },
    { "once begin", begin_begun, ready_begun, call_begun, again_begun, end_begun, 0 },
    { "once run", begin_run, ready_run, call_run, NULL, end_run, WAIT_LEVEL },
    { "once wait", begin_waited, ready_waited, call_waited, NULL, end_waited, WAIT_LEVEL },
    { "cell wait", begin_cell, ready_cell, call_cell, NULL, end_nothing, WAIT_LEVEL },
    { "latch wait", begin_latch, ready_latch, call_latch, NULL, end_nothing, WAIT_LEVEL },
    { "condition wait", begin_condition, NULL, call_condition, NULL, end_nothing, WAIT_ALONE | WAIT_TIMID },
    { "select", begin_select, ready_select, call_select, NULL, end_select, 0 },
    { 0 },
};
