/* SPDX-License-Identifier: MIT */
/*
 * model_mutex.c: the mutex and the condition variable, shared by all (model_monitor.c has those at home). One at a time, who sees
 * what the one before did; nobody is left waiting; a mutex is locked again whatever a wait on a condition returns.
 *
 *   three        three lock it
 *   tries        one has it, two wait or try, one gives up
 *   either       a select of two mutexes x their unlocks
 *   signal       a wait for data x the change and its signal, under the mutex and after it
 *   one signal   two wait, one of them not for long x one signal: it is not lost on the one that gives up
 *   all          two wait x a signal to all
 */
#include "fake_monitor.h"
#include "fake_waiter.h"

#include "mailbox/bias.c"
#include "mailbox/monitor.c"
#include "mailbox/mutex.c"
#include "mailbox/pool.c"
#include "mailbox/wait.c"

#include "fake_sync.h"

/* condition.c has an enter of its own. */
#define enter condition_enter
#include "mailbox/condition.c"
#undef enter

static struct tr_mutex mutex, second;
static struct tr_condition condition;
static int data, inside, results[MODEL_THREADS];
static bool ready;

static void setup(void)
{
    model_share(tri_mutex_monitor(&mutex));
    model_share(tri_mutex_monitor(&second));
    model_share(monitor_of(&condition));
}

static void work(void)
{
    model_assert(++inside == 1);
    data++;
    inside--;
}

static void lock_work(void)
{
    model_assert(tr_mutex_lock(&mutex, TR_FOREVER) == 0);
    work();
    model_assert(tr_mutex_unlock(&mutex) == 0);
}

/* Note the owner also while it is handed over: a stranger's unlock must fail at any time. */
static void lock_bounded(void)
{
    int rc = tr_mutex_lock(&mutex, 1);
    model_assert(rc == 0 || rc == -ETIMEDOUT);
    if (rc == 0)
        work();
    model_assert(tr_mutex_unlock(&mutex) == (rc == 0 ? 0 : -EINVAL));
    results[model_self()] = rc;
}

static void try_lock(void)
{
    int rc = tr_mutex_try_lock(&mutex);
    model_assert(rc == 0 || rc == -EAGAIN);
    if (rc == 0) {
        model_assert(tr_mutex_try_lock(&mutex) == -EDEADLK);
        work();
        model_assert(tr_mutex_unlock(&mutex) == 0);
    }
    results[model_self()] = rc;
}

static void check_rest(int expected)
{
    model_assert(data == expected && !tr_mutex_is_locked(&mutex) && !tr_mutex_is_locked(&second));
    model_assert(model_at_rest(tri_mutex_monitor(&mutex)) && model_at_rest(tri_mutex_monitor(&second)));
    model_assert(model_at_rest(monitor_of(&condition)));
}

static void check_three(void)
{
    check_rest(3);
}

static void check_tries(void)
{
    check_rest(1 + (results[1] == 0) + (results[2] == 0));
}

/* ---- select ---------------------------------------------------------------------------------------------------- */

static void setup_both_locked(void)
{
    setup();
    mutex.tri_word |= (uintptr_t)&fake_tasks[2]; /* by the threads 1 and 2 */
    second.tri_word |= (uintptr_t)&fake_tasks[3];
}

static void select_either(void)
{
    struct tr_case cases[] = { tr_case_lock(&mutex), tr_case_lock(&second) };
    int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_ORDERED);
    model_assert(which >= 0 && cases[which].result == 0);
    model_assert(data > 0);
    model_assert(tr_mutex_unlock(which ? &second : &mutex) == 0);
    model_assert(tr_mutex_unlock(which ? &mutex : &second) == -EINVAL);
}

static void unlock_first(void)
{
    data = 1;
    model_assert(tr_mutex_unlock(&mutex) == 0);
}

/* Only who waits for the first is shown data: so it must not get this one before. */
static void unlock_second(void)
{
    model_assert(tr_mutex_lock(&mutex, TR_FOREVER) == 0);
    model_assert(tr_mutex_unlock(&mutex) == 0);
    model_assert(data == 1);
    model_assert(tr_mutex_unlock(&second) == 0);
}

static void check_one(void)
{
    check_rest(1);
}

/* ---- conditions ------------------------------------------------------------------------------------------------ */

static void wait_ready(void)
{
    model_assert(tr_mutex_lock(&mutex, TR_FOREVER) == 0);
    while (!ready)
        model_assert(tr_condition_wait(&condition, &mutex, TR_FOREVER) == 0);
    work();
    model_assert(tr_mutex_unlock(&mutex) == 0);
}

static void wait_bounded(void)
{
    model_assert(tr_mutex_lock(&mutex, TR_FOREVER) == 0);
    int rc = 0;
    while (!ready && rc == 0)
        rc = tr_condition_wait(&condition, &mutex, 1);
    work();
    results[model_self()] = rc;
    model_assert(rc == 0 || rc == -ETIMEDOUT);
    model_assert(tr_mutex_unlock(&mutex) == 0);
}

static void make_ready(void)
{
    model_assert(tr_mutex_lock(&mutex, TR_FOREVER) == 0);
    ready = true;
    tr_condition_signal(&condition);
    model_assert(tr_mutex_unlock(&mutex) == 0);
}

static void make_ready_then_signal(void)
{
    model_assert(tr_mutex_lock(&mutex, TR_FOREVER) == 0);
    ready = true;
    model_assert(tr_mutex_unlock(&mutex) == 0);
    tr_condition_signal(&condition);
}

static void make_ready_for_all(void)
{
    model_assert(tr_mutex_lock(&mutex, TR_FOREVER) == 0);
    ready = true;
    model_assert(tr_mutex_unlock(&mutex) == 0);
    tr_condition_signal_all(&condition);
}

/* One item, two who want it: who got the signal and gives it on. */
static void wait_and_pass(void)
{
    wait_ready();
    tr_condition_signal(&condition);
}

static void wait_bounded_and_pass(void)
{
    wait_bounded();
    if (results[model_self()] == 0)
        tr_condition_signal(&condition);
}

static void check_two(void)
{
    check_rest(2);
}

static const struct model_case cases[] = {
    { .name = "three",
      .setup = setup,
      .check = check_three,
      .threads = { { "one", lock_work, 0 }, { "two", lock_work, 0 }, { "three", lock_work, 0 } } },
    { .name = "tries",
      .setup = setup,
      .check = check_tries,
      .threads = { { "locks", lock_work, 0 }, { "gives up", lock_bounded, 0 }, { "tries", try_lock, 0 } } },
    { .name = "either",
      .setup = setup_both_locked,
      .check = check_one,
      .threads = { { "selects", select_either, 0 }, { "one", unlock_first, 0 }, { "two", unlock_second, 0 } } },
    { .name = "signal",
      .setup = setup,
      .check = check_one,
      .threads = { { "waits", wait_ready, 0 }, { "signals", make_ready, 0 } } },
    { .name = "signal after",
      .setup = setup,
      .check = check_one,
      .threads = { { "waits", wait_ready, 0 }, { "signals", make_ready_then_signal, 0 } } },
    { .name = "one signal",
      .setup = setup,
      .check = check_two,
      .threads = { { "waits", wait_and_pass, 0 },
                   { "gives up", wait_bounded_and_pass, 0 },
                   { "signals", make_ready_then_signal, 0 } } },
    { .name = "all",
      .setup = setup,
      .check = check_two,
      .threads = { { "one", wait_ready, 0 }, { "two", wait_ready, 0 }, { "signals", make_ready_for_all, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
