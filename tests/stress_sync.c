/* SPDX-License-Identifier: MIT */
/*
 * stress_sync.c: the synchronisation primitives, used by tasks and threads at once, with deadlines, cancellations and selects in
 * between.
 *
 * Oracles. Mutex and readers' lock: one at a time, plain data that the sanitizers watch, and what the winners counted. Semaphore:
 * never more than there are, and all back at the end. Notifications: each piece of work announced is done, though those who wait
 * are cancelled and run out of time. Once, cell, latch, barrier: one maker, one value, one leader a round, nobody before all.
 * Condition: a shelf of few places on which nothing is lost, where nobody waits in vain or wakes without cause.
 * Order: tasks of one worker are served in the order in which they called.
 */
#include "tests/support.h"

#include "mailbox/monitor.h"

#include <pthread.h>

enum { TASKS = 6, THREADS = 2, MEMBERS = TASKS + THREADS, STEPS_EACH = 4000, PERMITS = 4 };

static struct tr_mutex mutex;
static int64_t locked_count; /* under the mutex */
static atomic_int in_mutex;

static struct tr_rwlock rwlock;
static int64_t first, second; /* under the lock, equal outside of writes */

static struct tr_semaphore semaphore;
static atomic_int permits_held;

static struct tr_notify announced;
static atomic_llong announcements, undone, done;
static atomic_bool over;

static atomic_llong locked, refused, cancelled;

/* A result of a call that may not have worked; true if it has. */
static bool worked(int rc)
{
    if (rc == -ECANCELED) {
        tr_cancel_taken();
        atomic_fetch_add(&cancelled, 1);
    } else if (rc < 0) {
        expect(rc == -ETIMEDOUT || rc == -EAGAIN);
        atomic_fetch_add(&refused, 1);
    }
    return rc >= 0;
}

static tr_time some_deadline(uint64_t random)
{
    return random & 3 ? TR_FOREVER : tr_after((int64_t)(random >> 8 & 1023) * 100);
}

static void linger(uint64_t random)
{
    if ((random & 15) == 0)
        worked(tr_sleep(20 * TR_MICROSECOND));
    else if ((random & 7) == 1)
        worked(tr_sleep_until(0));
}

static void have_mutex(uint64_t random)
{
    expect_int(atomic_fetch_add(&in_mutex, 1), 0);
    locked_count++;
    atomic_fetch_add(&locked, 1);
    linger(random);
    expect_int(atomic_fetch_sub(&in_mutex, 1), 1);
    expect_int(tr_mutex_unlock(&mutex), 0);
}

static void use_mutex(uint64_t random)
{
    int rc = random & 64 ? tr_mutex_lock(&mutex, some_deadline(random)) : tr_mutex_try_lock(&mutex);
    if (worked(rc))
        have_mutex(random >> 20);
    else
        expect_int(tr_mutex_unlock(&mutex), -EINVAL);
}

static void use_rwlock(uint64_t random)
{
    if (random & 64) {
        if (!worked(tr_rwlock_read(&rwlock, some_deadline(random))))
            return;
    } else {
        if (!worked(tr_rwlock_write(&rwlock, some_deadline(random))))
            return;
        expect_int(first, second);
        first++;
        linger(random >> 20);
        second++;
        if (random & 128) {
            expect_int(tr_rwlock_end_write(&rwlock), 0);
            return;
        }
        expect_int(tr_rwlock_downgrade(&rwlock), 0);
    }
    int64_t seen = first;
    expect_int(first, second);
    linger(random >> 24);
    expect_int(second, seen);
    expect_int(tr_rwlock_end_read(&rwlock), 0);
}

static void have_permits(int count, uint64_t random)
{
    expect(atomic_fetch_add(&permits_held, count) + count <= PERMITS);
    linger(random);
    atomic_fetch_sub(&permits_held, count);
    expect_int(tr_semaphore_release(&semaphore, (uint64_t)count), 0);
}

static void use_semaphore(uint64_t random)
{
    int count = 1 + (int)(random >> 16 & 3);
    int rc = random & 64 ? tr_semaphore_acquire(&semaphore, (uint64_t)count, some_deadline(random))
                         : tr_semaphore_try_acquire(&semaphore, (uint64_t)count);
    if (worked(rc))
        have_permits(count, random >> 20);
}

static void announce(uint64_t random)
{
    atomic_fetch_add(&undone, 1);
    atomic_fetch_add(&announcements, 1);
    if (random & 64)
        tr_notify_one(&announced);
    else
        tr_notify_last(&announced);
}

static void select_something(uint64_t random)
{
    struct tr_case cases[] = { tr_case_lock(&mutex), tr_case_acquire(&semaphore, 2), tr_case_write_lock(&rwlock) };
    int which = tr_select(cases, 3, some_deadline(random), random & 64 ? TR_SELECT_FAIR : TR_SELECT_ORDERED);
    if (!worked(which))
        return;
    expect_int(cases[which].result, 0);
    switch (which) {
    case 0:
        have_mutex(random >> 20);
        break;
    case 1:
        have_permits(2, random >> 20);
        break;
    default:
        expect_int(first++, second++);
        expect_int(tr_rwlock_end_write(&rwlock), 0);
    }
}

static void use_all(int self)
{
    static void (*const uses[])(uint64_t random) = { use_mutex, use_rwlock, use_semaphore, announce, select_something };
    uint64_t seed = 77 + (uint64_t)self;
    for (unsigned i = 0; i < STEPS_EACH * test_stress(); i++) {
        uint64_t random = test_random(&seed) >> 8;
        uses[random % 5](random / 5);
    }
}

/* Does all the work there is at each wake. */
static void do_work(int self)
{
    uint64_t seed = 9 + (uint64_t)self;
    for (;;) {
        uint64_t since = tr_notify_listen(&announced);
        long long work = atomic_exchange(&undone, 0);
        atomic_fetch_add(&done, work);
        if (atomic_load(&over) && work == 0)
            return;
        tr_time deadline = test_random(&seed) >> 60 ? TR_FOREVER : tr_after(50 * TR_MICROSECOND);
        worked(tr_notify_wait_since(&announced, since, deadline));
    }
}

/* ---- rounds of things that happen once -------------------------------------------------------------------------- */

enum { ROUNDS = 200 };

static struct tr_barrier barrier = TR_BARRIER_INIT(MEMBERS);
static struct round {
    struct tr_once once;
    struct tr_cell cell;
    struct tr_latch latch;
    int made, tries;
    atomic_int set;
} * rounds; /* by turns; each is made anew by the leader of the round before */

static int try_to_make(void *argument)
{
    struct round *round = argument;
    if (++round->tries % 3 != 0)
        return -ENOTSUP;
    linger(0);
    round->made++;
    return 0;
}

static void reset_round(struct round *round)
{
    *round = (struct round){ .made = 0 };
    expect_int(tr_latch_init(&round->latch, MEMBERS), 0);
}

static int meet(void)
{
    int rc;
    while (!worked(rc = tr_barrier_wait(&barrier, TR_FOREVER)))
        ;
    return rc;
}

static void play_round(struct round *round, struct round *next)
{
    static int places[MEMBERS];
    void *value = NULL;
    int rc;
    while ((rc = tr_once_run(&round->once, try_to_make, round, TR_FOREVER)) < 0)
        expect(rc == -ENOTSUP || !worked(rc));
    expect_int(round->made, 1);
    if (tr_cell_set(&round->cell, &places[round->tries % MEMBERS]))
        atomic_fetch_add(&round->set, 1);
    expect_int(tr_latch_count_down(&round->latch, 1), 0);
    while (!worked(tr_latch_wait(&round->latch, TR_FOREVER)))
        ;
    while (!worked(tr_cell_wait(&round->cell, &value, TR_FOREVER)))
        ;
    expect(value == &places[round->tries % MEMBERS]);
    expect_int(atomic_load(&round->set), 1);
    if (meet() == 1)
        reset_round(next);
    meet();
}

static void play(int self)
{
    (void)self;
    for (unsigned i = 0; i < ROUNDS * test_stress(); i++)
        play_round(&rounds[i & 1], &rounds[~i & 1]);
}

/* ---- a shelf, under a mutex and two conditions ------------------------------------------------------------------- */

enum { PLACES = 3, GOODS_EACH = 1000 };

static struct tr_mutex shelf_lock;
static int on_shelf; /* this, and what follows, under the lock */
static int64_t goods_put, goods_taken;

/* `owed`: of those in their wait as many have been signalled, or will not be: who times out may miss a signal. */
static struct side {
    struct tr_condition changed;
    int waiting, owed;
} room, goods;

static void await_side(struct side *side, uint64_t random)
{
    bool briefly = (random & 3) == 0;
    side->waiting++;
    int rc = tr_condition_wait(&side->changed, &shelf_lock, briefly ? some_deadline(random) : tr_after(LONG_TIME));
    expect(tr_mutex_is_mine(&shelf_lock));
    expect(rc == 0 || rc == -ECANCELED || briefly); /* not in vain */
    expect(rc != 0 || side->owed > 0);              /* not without cause */
    if (rc == 0 || side->waiting == 0)
        side->owed--;
    else
        side->waiting--;
    worked(rc);
}

static void signal_side(struct side *side, bool all)
{
    int woken = all || side->waiting == 0 ? side->waiting : 1;
    side->waiting -= woken;
    side->owed += woken;
    if (all)
        tr_condition_signal_all(&side->changed);
    else
        tr_condition_signal(&side->changed);
}

/* Every other one puts, the others take. */
static void trade(int self)
{
    uint64_t seed = 31 + (uint64_t)self;
    bool puts = self % 2;
    for (unsigned i = 0; i < GOODS_EACH * test_stress();) {
        uint64_t random = test_random(&seed) >> 8;
        if (!worked(tr_mutex_lock(&shelf_lock, some_deadline(random))))
            continue;
        while (on_shelf == (puts ? PLACES : 0))
            await_side(puts ? &room : &goods, random >> 20);
        on_shelf += puts ? 1 : -1;
        *(puts ? &goods_put : &goods_taken) += 1;
        expect(on_shelf >= 0 && on_shelf <= PLACES);
        signal_side(puts ? &goods : &room, (random >> 12 & 31) == 0);
        expect_int(tr_mutex_unlock(&shelf_lock), 0);
        linger(random >> 30);
        i++;
    }
}

/* ---- who does it ------------------------------------------------------------------------------------------------ */

static void (*play_part)(int self);

static int be_task(void *argument)
{
    play_part((int)(intptr_t)argument);
    return 0;
}

static void *be_thread(void *argument)
{
    play_part((int)(intptr_t)argument);
    return NULL;
}

static int be_worker(void *argument)
{
    do_work((int)(intptr_t)argument);
    return 0;
}

/* Cancels one task after the other, until the last has ended. */
static void cancel_and_join(struct tr_task tasks[TASKS])
{
    uint64_t seed = 5;
    for (int i = 0; i < TASKS; i++) {
        int result, rc;
        while ((rc = tr_task_join(tasks[i], &result, tr_after(100 * TR_MICROSECOND))) == -ETIMEDOUT)
            tr_task_cancel(tasks[(unsigned)i + test_random(&seed) % (unsigned)(TASKS - i)]);
        expect_int(rc, 0);
        expect_int(result, 0);
    }
}

static void run_parts(void (*part)(int self), bool threads_too)
{
    struct tr_task tasks[TASKS];
    pthread_t threads[THREADS];
    play_part = part;
    for (intptr_t i = 0; i < TASKS; i++)
        tasks[i] = test_task(be_task, (void *)i);
    for (intptr_t i = 0; threads_too && i < THREADS; i++)
        expect_int(pthread_create(&threads[i], NULL, be_thread, (void *)(TASKS + i)), 0);
    cancel_and_join(tasks);
    for (int i = 0; threads_too && i < THREADS; i++)
        expect_int(pthread_join(threads[i], NULL), 0);
}

static void use_everything(bool threads_too)
{
    struct tr_task workers[2];
    tr_mutex_init(&mutex);
    tr_rwlock_init(&rwlock, 0);
    tr_semaphore_init(&semaphore, PERMITS);
    tr_notify_init(&announced);
    atomic_store(&over, false);
    for (intptr_t i = 0; i < 2; i++)
        workers[i] = test_task(be_worker, (void *)i);
    run_parts(use_all, threads_too);
    wait_until(atomic_load(&undone) == 0);
    expect_int(atomic_load(&done), atomic_load(&announcements));
    atomic_store(&over, true);
    tr_notify_all(&announced);
    for (int i = 0; i < 2; i++)
        expect_int(test_join(workers[i]), 0);
    expect_int(locked_count, atomic_load(&locked));
    expect_int(first, second);
    expect(tr_semaphore_available(&semaphore) == PERMITS && !tr_mutex_is_locked(&mutex));
    expect((mutex.tri_word | rwlock.tri_word | semaphore.tri_word | announced.tri_word) % TRI_STATE_ONE == 0);
}

static void trade_goods(bool threads_too)
{
    tr_mutex_init(&shelf_lock);
    tr_condition_init(&room.changed);
    tr_condition_init(&goods.changed);
    run_parts(trade, threads_too);
    expect_int(goods_put, goods_taken);
    expect(on_shelf == 0 && room.waiting + room.owed + goods.waiting + goods.owed == 0);
    expect((room.changed.tri_word | goods.changed.tri_word) % TRI_STATE_ONE == 0);
}

static void mix_with_threads(void)
{
    struct round two[2];
    use_everything(true);
    trade_goods(true);
    rounds = two;
    tr_barrier_init(&barrier, MEMBERS);
    reset_round(&rounds[0]);
    run_parts(play, true);
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

static int take_mutex(void)
{
    return tr_mutex_lock(&mutex, TR_FOREVER);
}

static int give_mutex(void)
{
    return tr_mutex_unlock(&mutex);
}

static int take_permits(void)
{
    return tr_semaphore_acquire(&semaphore, PERMITS, TR_FOREVER);
}

static int give_permits(void)
{
    return tr_semaphore_release(&semaphore, PERMITS);
}

static int take_rwlock(void)
{
    return tr_rwlock_write(&rwlock, TR_FOREVER);
}

static int give_rwlock(void)
{
    return tr_rwlock_end_write(&rwlock);
}

static struct line {
    int (*take)(void);
    int (*give)(void);
    uint64_t called, served;
} lines[] = { { take_mutex, give_mutex, 0, 0 },
              { take_permits, give_permits, 0, 0 },
              { take_rwlock, give_rwlock, 0, 0 } };

static void *take_and_give(void *unused)
{
    for (int i = 0; i < 3; i++) {
        expect_int(lines[i].take(), 0);
        expect_int(lines[i].give(), 0);
    }
    return unused;
}

/* On one worker, who calls first is queued first. The yield is for a fresh budget: a call that yields comes later. */
static int take_in_turn(void *argument)
{
    uint64_t seed = 3 + (uint64_t)(intptr_t)argument;
    for (unsigned i = 0; i < STEPS_EACH * test_stress(); i++) {
        uint64_t random = test_random(&seed) >> 8;
        struct line *line = &lines[random % 3];
        expect_int(tr_yield(), 0);
        uint64_t number = line->called++;
        expect_int(line->take(), 0);
        expect_int(number, line->served++);
        linger(random >> 10);
        expect_int(line->give(), 0);
    }
    return 0;
}

static void keep_order(bool shared)
{
    struct tr_task tasks[TASKS];
    pthread_t thread;
    tr_mutex_init(&mutex);
    tr_rwlock_init(&rwlock, 0);
    tr_semaphore_init(&semaphore, PERMITS);
    if (shared) {
        expect_int(pthread_create(&thread, NULL, take_and_give, NULL), 0);
        expect_int(pthread_join(thread, NULL), 0);
    }
    for (intptr_t i = 0; i < TASKS; i++)
        tasks[i] = test_task(take_in_turn, (void *)i);
    for (int i = 0; i < TASKS; i++)
        expect_int(test_join(tasks[i]), 0);
    expect_int((mutex.tri_word & TRI_HOME_MASK) == TRI_SHARED, shared || !tri_home());
}

static void alone(void)
{
    keep_order(false);
    keep_order(true);
    use_everything(false);
    trade_goods(false);
}

int main(void)
{
    if (!test_backend_here("sync"))
        return EXIT_SKIPPED;
    test_census_begin();
    test_run(1, alone);
    test_run(1, mix_with_threads);
    test_run(0, mix_with_threads);
    test_census_end();
    printf("sync: %lld locked, %lld announced and done, %lld put and taken, %llu in order\n",
           (long long)atomic_load(&locked), (long long)atomic_load(&done), (long long)goods_taken,
           (unsigned long long)lines[0].served + lines[1].served + lines[2].served);
    printf("sync: %lld refused, %lld cancelled, no error\n", (long long)atomic_load(&refused),
           (long long)atomic_load(&cancelled));
    return 0;
}
