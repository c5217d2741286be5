/* SPDX-License-Identifier: MIT */
/*
 * model_monitor.c: the edges of mailbox/monitor.h: turns at home, whose thread is the first of each case, x turns from elsewhere
 * that take the home away; and the memory of an object, which is freed as soon as its word allows it.
 *
 *   home x other      a mutex at home: one locks there, another elsewhere; each sees what the other did
 *   home x others     the same with two from elsewhere
 *   moves on          a turn at home, then one on another object x the first object loses its home
 *   waits             who is at home has it locked x another waits for it and is handed it
 *   fresh             first use by both at once
 *   permits           a semaphore at home x takes and gives elsewhere: none lost, none made
 *   stored            a notification stored at home, or handed over x a wait elsewhere
 *   listens           tr_notify_all and a notification at home x listening elsewhere
 *   last user         a mutex in what its last user frees
 *   last count        a latch that is freed by the one who waited; the counts at home and elsewhere
 *   last permit       a semaphore that is freed by the one who got the permits of two
 */
#include <stdlib.h>

#include "fake_monitor.h"
#include "fake_waiter.h"

#include "mailbox/bias.c"
#include "mailbox/monitor.c"
#include "mailbox/pool.c"
#include "mailbox/wait.c"

/* Each has functions of these names. */
#define attempt latch_attempt
#define enter latch_enter
#include "mailbox/latch.c"
#undef attempt
#undef enter
#define attempt mutex_attempt
#define enter mutex_enter
#define take mutex_take
#include "mailbox/mutex.c"
#undef attempt
#undef enter
#undef take
#define attempt notify_attempt
#define enter notify_enter
#define take notify_take
#include "mailbox/notify.c"
#undef attempt
#undef enter
#undef take
#define attempt semaphore_attempt
#define enter semaphore_enter
#define take semaphore_take
#include "mailbox/semaphore.c"
#undef attempt
#undef enter
#undef take

#include "fake_sync.h"

static struct tr_mutex mutex;
static struct tr_semaphore semaphore;
static struct tr_notify notify_;
static int data, results[MODEL_THREADS];

/* The first thread is the only worker of its runtime. */
static void set_home(void)
{
    tri_seats[1].claim = TRI_BIASED | 1;
    fake_homes[0] = fake_homes[1] = &tri_seats[1];
}

static void setup(void)
{
    set_home();
    model_assert(tr_mutex_lock(&mutex, TR_FOREVER) == 0 && tr_mutex_unlock(&mutex) == 0);
    tr_semaphore_init(&semaphore, 1);
    model_assert(tr_semaphore_release(&semaphore, 0) == 0);
    tr_notify_one(&notify_);
    model_assert(tr_notify_wait(&notify_, TR_FOREVER) == 0);
    model_assert((mutex.tri_word & TRI_HOME_MASK) == tri_place_of(fake_homes[0]));
}

static void add(void)
{
    model_assert(tr_mutex_lock(&mutex, TR_FOREVER) == 0);
    data++;
    model_assert(tr_mutex_unlock(&mutex) == 0);
}

static void add_twice(void)
{
    add();
    add();
}

static void add_then_notify(void)
{
    add();
    tr_notify_one(&notify_);
}

static void check_two(void)
{
    model_assert(data == 2 && !tr_mutex_is_locked(&mutex));
    model_assert((mutex.tri_word & TRI_HOME_MASK) == TRI_SHARED && !mutex.tri_line);
}

static void check_three(void)
{
    model_assert(data == 3 && !tr_mutex_is_locked(&mutex));
}

/* Before the threads run, the first has the mutex locked. */
static void setup_locked(void)
{
    setup();
    mutex.tri_word |= (uintptr_t)&fake_tasks[1];
}

static void unlock_then_add(void)
{
    data++;
    model_assert(tr_mutex_unlock(&mutex) == 0);
    add();
}

static void take_and_give(void)
{
    results[model_self()] = tr_semaphore_try_acquire(&semaphore, 1);
    if (results[model_self()] == 0)
        model_assert(tr_semaphore_release(&semaphore, 2) == 0);
}

static void acquire_and_give(void)
{
    model_assert(tr_semaphore_acquire(&semaphore, 1, TR_FOREVER) == 0);
    data++;
    model_assert(tr_semaphore_release(&semaphore, 1) == 0);
}

static void check_permits(void)
{
    unsigned made = (results[0] == 0) + (results[1] == 0);
    model_assert(made >= 1 && tr_semaphore_available(&semaphore) == 1 + made);
}

static void check_one_permit(void)
{
    model_assert(data == 2 && tr_semaphore_available(&semaphore) == 1);
}

static void notify_twice(void)
{
    data = 1;
    tr_notify_one(&notify_);
    tr_notify_one(&notify_);
}

static void wait_for_data(void)
{
    model_assert(tr_notify_wait(&notify_, TR_FOREVER) == 0);
    model_assert(data == 1);
}

static TRI_ATOMIC(uint32_t) flag;

static void announce(void)
{
    tri_store(&flag, 1u, TRI_RELAXED);
    tr_notify_all(&notify_);
    tr_notify_one(&notify_);
    model_assert(tr_notify_wait(&notify_, TR_FOREVER) == 0);
}

static void listen_for_flag(void)
{
    uint64_t since = tr_notify_listen(&notify_);
    if (!tri_load(&flag, TRI_RELAXED))
        model_assert(tr_notify_wait_since(&notify_, since, TR_FOREVER) == 0);
    model_assert(tri_load(&flag, TRI_RELAXED) == 1);
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

struct object {
    struct tr_mutex mutex;
    int users;
};
static struct object *object;
static struct tr_latch *latch;
static struct tr_semaphore *passing;

static void setup_object(void)
{
    set_home();
    object = malloc(sizeof *object);
    *object = (struct object){ .users = 2 };
}

static void use_object(void)
{
    model_assert(tr_mutex_lock(&object->mutex, TR_FOREVER) == 0);
    bool last = --object->users == 0;
    model_assert(tr_mutex_unlock(&object->mutex) == 0);
    if (last)
        free(object);
}

static void setup_latch(void)
{
    set_home();
    latch = malloc(sizeof *latch);
    tr_latch_init(latch, 2);
}

static void count_down(void)
{
    model_assert(tr_latch_count_down(latch, 1) == 0);
}

static void count_down_adding(void)
{
    data++;
    model_assert(tr_latch_count_down(latch, 1) == 0);
}

static void wait_and_free(void)
{
    model_assert(tr_latch_wait(latch, TR_FOREVER) == 0);
    free(latch);
}

static void wait_data_and_free(void)
{
    model_assert(tr_latch_wait(latch, TR_FOREVER) == 0);
    model_assert(data == 1);
    free(latch);
}

static void count_and_wait(void)
{
    count_down();
    wait_data_and_free();
}

static void setup_passing(void)
{
    set_home();
    passing = malloc(sizeof *passing);
    tr_semaphore_init(passing, 0);
}

static void give_one(void)
{
    model_assert(tr_semaphore_release(passing, 1) == 0);
}

static void take_two_and_free(void)
{
    model_assert(tr_semaphore_acquire(passing, 2, TR_FOREVER) == 0);
    free(passing);
}

/* By trying: nobody tells the taker when the givers are done. */
static void try_two_and_free(void)
{
    while (tr_semaphore_try_acquire(passing, 2) < 0)
        tri_spin();
    free(passing);
}

static const struct model_case cases[] = {
    { .name = "home x other",
      .setup = setup,
      .check = check_two,
      .threads = { { "home", add, 0 }, { "other", add, 0 } } },
    { .name = "home twice x other",
      .setup = setup,
      .check = check_three,
      .threads = { { "home", add_twice, 0 }, { "other", add, 0 } } },
    { .name = "home x others",
      .setup = setup,
      .check = check_three,
      .threads = { { "home", add, 0 }, { "other", add, 0 }, { "third", add, 0 } } },
    { .name = "moves on",
      .setup = setup,
      .check = check_two,
      .threads = { { "home", add_then_notify, 0 }, { "other", add, 0 } } },
    { .name = "waits",
      .setup = setup_locked,
      .check = check_three,
      .threads = { { "home", unlock_then_add, 0 }, { "other", add, 0 } } },
    { .name = "fresh", .setup = set_home, .check = check_two, .threads = { { "home", add, 0 }, { "other", add, 0 } } },
    { .name = "permits",
      .setup = setup,
      .check = check_permits,
      .threads = { { "home", take_and_give, 0 }, { "other", take_and_give, 0 } } },
    { .name = "one permit",
      .setup = setup,
      .check = check_one_permit,
      .threads = { { "home", acquire_and_give, 0 }, { "other", acquire_and_give, 0 } } },
    { .name = "stored", .setup = setup, .threads = { { "home", notify_twice, 0 }, { "other", wait_for_data, 0 } } },
    { .name = "stored elsewhere",
      .setup = setup,
      .threads = { { "home", wait_for_data, 0 }, { "other", notify_twice, 0 } } },
    { .name = "listens", .setup = setup, .threads = { { "home", announce, 0 }, { "other", listen_for_flag, 0 } } },
    { .name = "last user",
      .setup = setup_object,
      .threads = { { "home", use_object, 0 }, { "other", use_object, 0 } } },
    { .name = "last count",
      .setup = setup_latch,
      .threads = { { "home", count_and_wait, 0 }, { "other", count_down_adding, 0 } } },
    { .name = "last counts",
      .setup = setup_latch,
      .threads = { { "home", count_down, 0 }, { "other", count_down, 0 }, { "waits", wait_and_free, 0 } } },
    { .name = "last permit",
      .setup = setup_passing,
      .threads = { { "home", give_one, 0 }, { "other", give_one, 0 }, { "takes", take_two_and_free, 0 } } },
    { .name = "last permit, tried",
      .setup = setup_passing,
      .threads = { { "home", give_one, 0 }, { "other", give_one, 0 }, { "tries", try_two_and_free, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
