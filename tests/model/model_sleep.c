/* SPDX-License-Identifier: MIT */
/*
 * model_sleep.c: the edges of actor/idle.h, run by its own code. The reactor is a sticky token; time stands still: a poll
 * with a deadline is a pause, one without returns when it is woken.
 *
 *   inject   [S1] foreign threads push to the injection queue x the worker goes to sleep: it wakes, or has not slept
 *   inbox    [S1] the same for a task that is bound to the worker
 *   two      two workers, one of them the sentry, go to sleep x a foreign push; then the runtime ends
 *   raid     [S2] [S3] the owner uses its LIFO slot x a thief raids it: each task is run once, with its payload
 *   resign   [S4] the sentry resigns x the other worker makes a task ready and then hogs
 *   appoint  [S7] a sleeper gets work of its own, which then hogs it, and is made the sentry meanwhile x another one sleeps: what
 *            the appointer has ready, who hogs as well, is run
 *   leave    [S6] the sentry has stolen, leaves the watch and hogs x the other worker goes to sleep: it becomes the sentry
 */
#include <stdatomic.h>
#include <string.h>

#define TRI_QUEUE_SLOTS 4u
#define TRI_QUEUE_PATIENCE 2u

#include "fake_lock.h"

#include "actor/idle.c"
#include "fake_clock.h"
#include "mailbox/pool.c"
#include "model.h"

enum { TASKS = 2 };

struct tri_reactor {
    TRI_ATOMIC(uint32_t) token;
};

static struct tri_task tasks[TASKS];
static struct tri_reactor reactors[3];
static struct tri_worker workers[3];
static struct tr_runtime runtime;
static int payload[TASKS], runs[TASKS];
static TRI_ATOMIC(uint32_t) ran, first_ran;

/* ---- what idle.c leaves to others ---- */

void tri_reactor_wake(struct tri_reactor *reactor)
{
    tri_fetch_or(&reactor->token, 1u, TRI_ACQ_REL);
}

static bool has_token(const void *reactor)
{
    const struct tri_reactor *woken = reactor;
    return model_peek(&woken->token) != 0;
}

unsigned tri_reactor_poll(struct tri_reactor *reactor, tr_time until)
{
    if (until == TR_FOREVER)
        model_block(has_token, reactor);
    else if (until != TR_NOW && !has_token(reactor))
        model_pause();
    tri_exchange(&reactor->token, 0u, TRI_ACQ_REL);
    return 0;
}

void tri_deadline_pass(struct tri_worker *worker)
{
    worker->next_alarm = TR_FOREVER;
}

void tr_log(enum tr_log_level level, const char *format, ...)
{
    (void)level, (void)format;
}

const char *tri_task_copy_label(struct tri_task *task, char *buffer)
{
    (void)task;
    buffer[0] = 0;
    return buffer;
}

/* As in actor/scheduler.c. */
void tri_ready_last(struct tri_worker *worker, struct tri_task *task)
{
    if (tri_load(&worker->overflow.count, TRI_RELAXED) == 0) {
        tri_ready_ring(worker, task);
        return;
    }
    tri_overflow(worker, task);
    tri_call_sentry(worker);
}

void tri_ready_ring(struct tri_worker *worker, struct tri_task *task)
{
    if (!tri_queue_push(&worker->queue, task))
        tri_overflow(worker, task);
    tri_call_sentry(worker);
}

/* ---- the parts ---- */

static void start(unsigned count)
{
    runtime.workers = count;
    runtime.worker = workers;
    runtime.can_raid = true;
    for (unsigned i = 0; i < count; i++) {
        workers[i].runtime = &runtime;
        workers[i].index = i;
        workers[i].alone = count == 1;
        workers[i].reactor = &reactors[i];
        workers[i].next_alarm = TR_FOREVER;
    }
}

static void start_one(void)
{
    start(1);
}

static void start_two(void)
{
    start(2);
}

static void start_three(void)
{
    start(3);
}

static void make(unsigned i)
{
    payload[i] = 1;
}

static void run(struct tri_task *task)
{
    size_t i = (size_t)(task - tasks);
    model_assert(payload[i] == 1);
    model_assert(++runs[i] == 1);
    tri_fetch_add(&ran, 1u, TRI_RELAXED);
    if (i == 0)
        tri_store(&first_ran, 1u, TRI_RELAXED);
}

static unsigned run_all(struct tri_worker *worker)
{
    unsigned count = 0;
    for (;;) {
        struct tri_task *task = tri_take_lifo(worker);
        if (!task)
            task = worker->alone ? tri_queue_pop_alone(&worker->queue) : tri_queue_pop(&worker->queue);
        if (!task)
            task = tri_take_shared_work(worker);
        if (!task)
            return count;
        if (worker->on_watch)
            tri_leave_watch(worker);
        run(task);
        count++;
    }
}

/* ---- inject, inbox ---- */

static void only_worker(void)
{
    for (unsigned done = 0; (done += run_all(&workers[0])) < TASKS;)
        tri_idle(&workers[0]);
}

static void inject_0(void)
{
    make(0);
    tri_ready_foreign(&runtime, &tasks[0]);
}

static void inject_1(void)
{
    make(1);
    tri_ready_foreign(&runtime, &tasks[1]);
}

static void bound_1(void)
{
    make(1);
    tri_store(&tasks[1].pin, (uint16_t)1, TRI_RELAXED);
    tri_ready_foreign(&runtime, &tasks[1]);
}

static void check_all(void)
{
    model_assert(tri_load(&ran, TRI_RELAXED) == TASKS);
    model_assert(tri_load(&runtime.idle, TRI_RELAXED) == 0);
    model_assert(tri_load(&runtime.visitors, TRI_RELAXED) == 0);
}

/* ---- two ---- */

static void work(unsigned index)
{
    struct tri_worker *worker = &workers[index];
    do
        if (run_all(worker) && tri_load(&ran, TRI_RELAXED) == 1) {
            tri_store(&runtime.phase, (uint32_t)TRI_PHASE_EXIT, TRI_RELEASE);
            tri_wake_all(&runtime);
        }
    while (tri_idle(worker) != TRI_IDLE_EXIT);
}

static void worker_0(void)
{
    work(0);
}

static void worker_1(void)
{
    work(1);
}

static void check_one(void)
{
    model_assert(tri_load(&ran, TRI_RELAXED) == 1);
}

/* ---- raid ---- */

static void hog(void)
{
    make(0);
    tri_ready_next(&workers[0], &tasks[0]);
    struct tri_task *task = tri_take_lifo(&workers[0]);
    if (task)
        run(task);
    make(1);
    tri_ready_next(&workers[0], &tasks[1]);
}

static void raider(void)
{
    if (raid(&workers[1], &workers[0]))
        run(tri_queue_pop(&workers[1].queue));
}

static void raider_twice(void)
{
    raider();
    raider();
}

static void raid_check(void)
{
    run_all(&workers[0]);
    check_all();
}

/* ---- resign ---- */

static void resign_setup(void)
{
    start(2);
    workers[0].on_watch = true;
    workers[0].quiet = QUIET_LIMIT - 1;
    tri_store(&runtime.sentry, 1u, TRI_RELAXED);
    tri_store(&runtime.idle, UINT64_C(2), TRI_RELAXED);
}

static void sentry(void)
{
    while (run_all(&workers[0]) == 0)
        tri_idle(&workers[0]);
}

static bool is_run(const void *unused)
{
    (void)unused;
    return model_peek(&ran) != 0;
}

/* Has been asleep, and cannot run the task itself before somebody else has. */
static void pusher(void)
{
    tri_fetch_and(&runtime.idle, ~UINT64_C(2), TRI_SEQ_CST);
    make(0);
    tri_ready_last(&workers[1], &tasks[0]);
    model_block(is_run, NULL);
}

static void lifo_pusher(void)
{
    tri_fetch_and(&runtime.idle, ~UINT64_C(2), TRI_SEQ_CST);
    make(0);
    tri_ready_next(&workers[1], &tasks[0]);
    model_block(is_run, NULL);
}

/* ---- leave ---- */

static void leave_setup(void)
{
    start(2);
    workers[0].on_watch = true;
    tri_store(&runtime.sentry, 1u, TRI_RELAXED);
    make(0);
    tri_queue_push(&workers[0].queue, &tasks[0]);
}

static void leaver(void)
{
    tri_leave_watch(&workers[0]);
    model_block(is_run, NULL);
}

static void follower(void)
{
    while (run_all(&workers[1]) == 0)
        tri_idle(&workers[1]);
}

/* ---- appoint ---- */

static bool has_first_run(const void *unused)
{
    (void)unused;
    return model_peek(&first_ran) != 0;
}

static void run_some(struct tri_worker *worker)
{
    while (run_all(worker) == 0)
        tri_idle(worker);
}

static void appointer(void)
{
    make(1);
    tri_ready_at(&workers[1], &tasks[1]);
    make(0);
    tri_ready_last(&workers[0], &tasks[0]);
    model_block(has_first_run, NULL);
}

/* Nobody is the sentry so far, for all have been asleep for long. */
static void sleeper(void)
{
    sleep_until(&workers[1], TR_FOREVER, true);
    run_some(&workers[1]);
    model_block(has_first_run, NULL);
}

static void other_sleeper(void)
{
    sleep_until(&workers[2], TR_FOREVER, true);
    run_some(&workers[2]);
}

static void check_ran(void)
{
    model_assert(tri_load(&ran, TRI_RELAXED) == TASKS);
}

static const struct model_case cases[] = {
    { .name = "inject",
      .setup = start_one,
      .check = check_all,
      .threads = { { "worker", only_worker, 0 }, { "foreign 0", inject_0, 0 }, { "foreign 1", inject_1, 0 } } },
    { .name = "inbox",
      .setup = start_one,
      .check = check_all,
      .threads = { { "worker", only_worker, 0 }, { "foreign 0", inject_0, 0 }, { "foreign 1", bound_1, 0 } } },
    { .name = "raid",
      .setup = start_two,
      .check = raid_check,
      .threads = { { "hog", hog, 0 }, { "raider", raider, 0 } } },
    { .name = "raid twice",
      .setup = start_two,
      .check = raid_check,
      .threads = { { "hog", hog, 0 }, { "raider", raider_twice, 0 } } },
    { .name = "resign",
      .setup = resign_setup,
      .check = check_one,
      .threads = { { "sentry", sentry, 0 }, { "pusher", pusher, 0 } } },
    { .name = "resign, lifo",
      .setup = resign_setup,
      .check = check_one,
      .threads = { { "sentry", sentry, 0 }, { "pusher", lifo_pusher, 0 } } },
    { .name = "leave",
      .setup = leave_setup,
      .check = check_one,
      .threads = { { "leaver", leaver, 0 }, { "follower", follower, 0 } } },
    { .name = "appoint",
      .setup = start_three,
      .check = check_ran,
      .threads = { { "appointer", appointer, 0 },
                   { "sleeper", sleeper, 0 },
                   { "other", other_sleeper, .daemon = true } } },
    { .name = "two",
      .setup = start_two,
      .check = check_one,
      .threads = { { "worker 0", worker_0, 0 }, { "worker 1", worker_1, 0 }, { "foreign", inject_0, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
