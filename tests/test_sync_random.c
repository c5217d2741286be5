/* SPDX-License-Identifier: MIT */
/*
 * test_sync_random.c: random operations on each primitive, on one thread, against a simple sequential model of it.
 *
 * No task is there, only clients.h. After each operation results, state, and the queue with its order are compared; at home
 * (mailbox/monitor.h) and shared in turn.
 *
 * TR_STRESS=10 makes it ten million operations for each.
 */
#include "mailbox/mutex.h"
#include "mailbox/notify.h"
#include "mailbox/semaphore.h"
#include <troupe/cell.h>
#include <troupe/latch.h>
#include <troupe/once.h>
#include <troupe/rwlock.h>

/* What has no public case: their kinds. */
#define attempt barrier_attempt
#define enter barrier_enter
#define leave barrier_leave
#define monitor_of barrier_monitor
#include "mailbox/barrier.c"
#undef enter
#undef monitor_of
#define enter condition_enter
#define monitor_of condition_monitor
#include "mailbox/condition.c"
#undef attempt
#undef enter
#undef leave
#undef monitor_of

#include "tests/model/fake_sync.h"

#include "tests/clients.h"
#include "tests/descriptors.h"

#include <stdio.h>

enum { OPERATIONS = 1000000, GENERATION = 5000 /* operations after which the object is made anew */ };

/* ---- mutex ----------------------------------------------------------------------------------------------------- */

static struct tr_mutex mutex;
static int owner;

static struct tri_monitor *reset_mutex(void)
{
    tr_mutex_init(&mutex);
    owner = -1;
    return tri_mutex_monitor(&mutex);
}

static void step_mutex(int k)
{
    int expected = owner < 0 ? 0 : owner == k ? -EDEADLK : -EAGAIN;
    self = k;
    switch (draw(5)) {
    case 0:
        enter_case(k, tr_case_lock(&mutex), 0, true, expected);
        break;
    case 1:
        same(tr_mutex_lock(&mutex, TR_NOW), expected == -EAGAIN ? -ETIMEDOUT : expected);
        break;
    case 2:
        same(tr_mutex_try_lock(&mutex), expected);
        break;
    default:
        same(tr_mutex_is_mine(&mutex), owner == k);
        same(tr_mutex_unlock(&mutex), owner == k ? 0 : -EINVAL);
        if (owner != k)
            return;
        owner = -1;
        while (queued > 0 && owner < 0) {
            int next = queue[0];
            owner = serve(0, 0) ? next : -1;
        }
        return;
    }
    if (expected == 0)
        owner = k;
}

/* ---- semaphore ------------------------------------------------------------------------------------------------- */

static struct tr_semaphore semaphore;
static int64_t permits;
static bool closed;

static struct tri_monitor *reset_semaphore(void)
{
    tr_semaphore_init(&semaphore, 3);
    permits = 3;
    closed = false;
    return tri_semaphore_monitor(&semaphore);
}

static void serve_permits(void)
{
    while (queued > 0 && permits >= clients[queue[0]].amount) {
        int64_t amount = clients[queue[0]].amount;
        permits -= serve(0, 0) ? amount : 0;
    }
}

static void acquire(int k, uint64_t how)
{
    int64_t amount = (int64_t)draw(5);
    int expected = closed ? -EPIPE : queued == 0 && permits >= amount ? 0 : -EAGAIN;
    if (how == 0)
        enter_case(k, tr_case_acquire(&semaphore, (uint64_t)amount), amount, true, expected);
    else if (how == 1)
        same(tr_semaphore_acquire(&semaphore, (uint64_t)amount, TR_NOW), expected == -EAGAIN ? -ETIMEDOUT : expected);
    else
        same(tr_semaphore_try_acquire(&semaphore, (uint64_t)amount), expected);
    if (expected == 0)
        permits -= amount;
}

static void step_semaphore(int k)
{
    int64_t amount = (int64_t)draw(4);
    uint64_t what = draw(256);
    self = k;
    if (what == 0 && !closed) {
        tr_semaphore_close(&semaphore);
        closed = true;
        serve_all(-EPIPE);
    } else if (what < 16) {
        int64_t count = permits < amount ? permits : amount;
        same((int64_t)tr_semaphore_forget(&semaphore, (uint64_t)amount), count);
        permits -= count;
    } else if (what < 100 && permits < 20) {
        same(tr_semaphore_release(&semaphore, (uint64_t)amount), 0);
        permits += amount;
        serve_permits();
    } else {
        acquire(k, what % 3);
    }
    same((int64_t)tr_semaphore_available(&semaphore), permits);
}

/* ---- notify ---------------------------------------------------------------------------------------------------- */

static struct tr_notify notify_object;
static bool stored;
static int64_t rounds, since[CLIENTS];

static struct tri_monitor *reset_notify(void)
{
    tr_notify_init(&notify_object);
    stored = false;
    rounds = 0;
    memset(since, 0, sizeof since);
    return tri_notify_monitor(&notify_object);
}

static void notify_model(bool last)
{
    while (queued > 0) {
        if (serve(last ? queued - 1 : 0, 0))
            return;
    }
    stored = true;
}

static void wait_notified(int k, uint64_t how)
{
    bool listens = how == 1, passes = listens && since[k] != rounds;
    int expected = passes || stored ? 0 : -EAGAIN;
    if (how < 2)
        enter_case(k,
                   listens ? tr_case_notified_since(&notify_object, (uint64_t)since[k])
                           : tr_case_notified(&notify_object),
                   0, true, expected);
    else if (how == 2)
        same(tr_notify_try_wait(&notify_object), expected);
    else
        same(tr_notify_wait(&notify_object, TR_NOW), expected == 0 ? 0 : -ETIMEDOUT);
    if (!passes)
        stored = false;
}

static void step_notify(int k)
{
    uint64_t what = draw(40);
    self = k;
    if (what < 8) {
        tr_notify_one(&notify_object);
        notify_model(false);
    } else if (what < 12) {
        tr_notify_last(&notify_object);
        notify_model(true);
    } else if (what < 13) {
        tr_notify_all(&notify_object);
        rounds++;
        serve_all(0);
    } else if (what < 17) {
        since[k] = (int64_t)tr_notify_listen(&notify_object);
        same(since[k], rounds);
    } else {
        wait_notified(k, draw(4));
    }
}

/* ---- readers and writers --------------------------------------------------------------------------------------- */

static struct tr_rwlock rwlock;
static int64_t readers, most;
static int writer;

static struct tri_monitor *reset_rwlock(void)
{
    most = (int64_t)draw(4);
    tr_rwlock_init(&rwlock, (uint32_t)most);
    most = most ? most : 1000;
    readers = 0;
    writer = -1;
    return (struct tri_monitor *)(void *)&rwlock;
}

static bool fits(bool writes)
{
    return writer < 0 && (writes ? readers == 0 : readers < most);
}

static void serve_rwlock(void)
{
    while (queued > 0 && fits(clients[queue[0]].amount)) {
        int next = queue[0];
        bool writes = clients[next].amount;
        if (serve(0, 0)) {
            writer = writes ? next : -1;
            readers += !writes;
        }
    }
}

static void lock_rwlock(int k, uint64_t how)
{
    bool writes = draw(2);
    int expected = writer == k ? -EDEADLK : queued == 0 && fits(writes) ? 0 : -EAGAIN;
    int at_once = expected == -EAGAIN ? -ETIMEDOUT : expected;
    if (how == 0)
        enter_case(k, writes ? tr_case_write_lock(&rwlock) : tr_case_read_lock(&rwlock), writes, true, expected);
    else if (how == 1)
        same(writes ? tr_rwlock_write(&rwlock, TR_NOW) : tr_rwlock_read(&rwlock, TR_NOW), at_once);
    else
        same(writes ? tr_rwlock_try_write(&rwlock) : tr_rwlock_try_read(&rwlock), expected);
    if (expected == 0) {
        writer = writes ? k : -1;
        readers += !writes;
    }
}

static void step_rwlock(int k)
{
    uint64_t what = draw(8);
    self = k;
    if (what < 2) {
        same(tr_rwlock_end_read(&rwlock), readers > 0 ? 0 : -EINVAL);
        readers -= readers > 0;
    } else if (what < 5) {
        bool downgrades = what == 2;
        same(downgrades ? tr_rwlock_downgrade(&rwlock) : tr_rwlock_end_write(&rwlock), writer == k ? 0 : -EINVAL);
        readers += writer == k && downgrades;
        writer = writer == k ? -1 : writer;
    } else {
        lock_rwlock(k, draw(3));
    }
    serve_rwlock();
    same(tr_rwlock_readers(&rwlock), readers);
    same(tr_rwlock_is_written(&rwlock), writer >= 0);
}

/* ---- once ------------------------------------------------------------------------------------------------------ */

static struct tr_once once;
static int maker;
static bool made;

static struct tri_monitor *reset_once(void)
{
    tr_once_init(&once);
    maker = -1;
    made = false;
    return (struct tri_monitor *)(void *)&once;
}

static void end_making(int k, bool well)
{
    same(tr_once_end(&once, well), maker == k ? 0 : -EINVAL);
    if (maker != k)
        return;
    maker = -1;
    made = well;
    if (well)
        serve_all(0);
    for (int at = 0; at < queued && maker < 0; at++) {
        int next = queue[at];
        if (clients[next].amount && serve(at, 1))
            maker = next;
    }
}

static void step_once(int k)
{
    struct tr_case c = tr_case_once(&once);
    uint64_t what = draw(8);
    bool begins = what < 4;
    int expected = made ? 0 : maker == k ? -EDEADLK : maker < 0 && begins ? 1 : -EAGAIN;
    self = k;
    same(tr_once_is_made(&once), made);
    if (what >= 6) {
        end_making(k, draw(64) == 0);
        return;
    }
    c.tri_number = begins; /* that is what makes it a beginning */
    if (what % 4 < 2)
        enter_case(k, c, begins, !begins, expected);
    else if (begins && draw(2))
        same(tr_once_try_begin(&once), expected);
    else if (begins)
        same(tr_once_begin(&once, TR_NOW), expected == -EAGAIN ? -ETIMEDOUT : expected);
    if (expected == 1)
        maker = k;
}

/* ---- cell, latch, barrier, condition --------------------------------------------------------------------------- */

static struct tr_cell cell;
static void *value;

static struct tri_monitor *reset_cell(void)
{
    tr_cell_init(&cell);
    value = NULL;
    return (struct tri_monitor *)(void *)&cell;
}

static void step_cell(int k)
{
    void *got = NULL;
    if (draw(1000) == 0) {
        same(tr_cell_set(&cell, &clients[k]), value == NULL);
        value = value ? value : &clients[k];
        serve_all(0);
    } else if (draw(2)) {
        enter_case(k, tr_case_cell(&cell), 0, true, value ? 0 : -EAGAIN);
    } else {
        same(tr_cell_wait(&cell, &got, TR_NOW), value ? 0 : -ETIMEDOUT);
        same(got == value && tr_cell_get(&cell) == value && tr_cell_is_set(&cell) == (value != NULL), true);
    }
}

static struct tr_latch latch;
static int64_t left;

static struct tri_monitor *reset_latch(void)
{
    left = (int64_t)draw(2000);
    tr_latch_init(&latch, (uint64_t)left);
    return (struct tri_monitor *)(void *)&latch;
}

static void step_latch(int k)
{
    int64_t amount = (int64_t)draw(3);
    switch (draw(3)) {
    case 0:
        same(tr_latch_count_down(&latch, (uint64_t)amount), amount <= left ? 0 : -EINVAL);
        left -= amount <= left ? amount : 0;
        if (left == 0)
            serve_all(0);
        same((int64_t)tr_latch_count(&latch), left);
        break;
    case 1:
        same(tr_latch_try_wait(&latch), left ? -EAGAIN : 0);
        break;
    default:
        enter_case(k, tr_case_latch(&latch), 0, true, left ? -EAGAIN : 0);
    }
}

static struct tr_barrier barrier;
static int64_t wanted;

static struct tri_monitor *reset_barrier(void)
{
    wanted = (int64_t)draw(CLIENTS + 1);
    tr_barrier_init(&barrier, (uint32_t)wanted);
    return (struct tri_monitor *)(void *)&barrier;
}

static void step_barrier(int k)
{
    struct tr_case c = { .tri_kind = &meeting_kind, .tri_object = &barrier };
    bool last = queued + 1 >= wanted;
    self = k;
    if (last)
        serve_all(0);
    if (draw(2))
        enter_case(k, c, 0, false, last ? 1 : -EAGAIN);
    else
        same(tr_barrier_wait(&barrier, TR_NOW), last ? 1 : -ETIMEDOUT);
    same(tr_barrier_waiting(&barrier), queued);
}

static struct tr_condition condition;

static struct tri_monitor *reset_condition(void)
{
    reset_mutex();
    tr_condition_init(&condition);
    return (struct tri_monitor *)(void *)&condition;
}

static void step_condition(int k)
{
    struct tr_case c = { .tri_kind = &signal_kind, .tri_object = &condition, .tri_value = &mutex };
    uint64_t what = draw(16);
    self = k;
    if (what == 0) {
        tr_condition_signal_all(&condition);
        serve_all(0);
    } else if (what < 6) {
        tr_condition_signal(&condition);
        if (queued > 0)
            serve(0, 0);
    } else {
        same(tr_condition_wait(&condition, &mutex, TR_FOREVER), -EINVAL);
        same(tr_mutex_lock(&mutex, TR_NOW), 0);
        same(tr_condition_wait(&condition, &mutex, TR_NOW), -ETIMEDOUT);
        enter_case(k, c, 0, false, -EAGAIN);
    }
    same(tr_mutex_is_locked(&mutex), false);
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */

static void serve_nobody(void)
{
}

static const struct primitive {
    const char *name;
    struct tri_monitor *(*reset)(void);
    void (*step)(int k);
    void (*serve)(void); /* after one has left the queue */
} primitives[] = {
    { "mutex", reset_mutex, step_mutex, serve_nobody },
    { "semaphore", reset_semaphore, step_semaphore, serve_permits },
    { "notify", reset_notify, step_notify, serve_nobody },
    { "rwlock", reset_rwlock, step_rwlock, serve_rwlock },
    { "once", reset_once, step_once, serve_nobody },
    { "cell", reset_cell, step_cell, serve_nobody },
    { "latch", reset_latch, step_latch, serve_nobody },
    { "barrier", reset_barrier, step_barrier, serve_nobody },
    { "condition", reset_condition, step_condition, serve_nobody },
};
enum { PRIMITIVES = sizeof primitives / sizeof primitives[0] };

START_TEST(sync_random_operations_match_the_model)
{
    const struct primitive *primitive = &primitives[_i];
    struct tri_monitor *monitor = NULL;
    long count = operations(OPERATIONS);
    tri_seats[1].claim = TRI_BIASED | 1;
    for (operation = 0; operation < count;) {
        if (operation % GENERATION == 0) {
            memset(clients, 0, sizeof clients);
            queued = 0;
            home = operation / GENERATION % 2 ? &tri_seats[1] : NULL;
            monitor = primitive->reset();
        }
        int k = (int)draw(CLIENTS);
        if (clients[k].waits && draw(3) > 0)
            continue; /* it waits on */
        if (!clients[k].waits)
            primitive->step(k);
        else if (give_up(k))
            primitive->serve();
        operation++;
        compare(monitor);
    }
    printf("%s: %ld operations match the model\n", primitive->name, operation);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sync_random");
    TCase *tests = tcase_create("sync_random");
    descriptors_watch(tests);
    tcase_set_timeout(tests, 900);
    tcase_add_loop_test(tests, sync_random_operations_match_the_model, 0, PRIMITIVES);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
