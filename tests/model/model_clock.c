/* SPDX-License-Identifier: MIT */
/*
 * model_clock.c: a runtime's clock (actor/clock.c). The real clock is a counter that each look moves on and that orders
 * nothing; deadlines are numbers; a worker's sleep is as in actor/idle.c, without its queues.
 *
 *   pause            a reader x one who stops the clock and lets it go again
 *   pause, pass      a worker that renews its time x the same
 *   pauses           two of them
 *   timer            a timer's worker x another worker: who is the last to be idle moves the clock
 *   timer, resume    the same, while the clock is let go
 *   visit            a foreign thread at a stale address x the end of the runtime
 *   hold             a timer's worker x a thread that holds the clock
 *   advance          a foreign thread moves the clock x the worker
 *   advance, timer   the same, past a timer
 *   advance, give up  it is cancelled meanwhile
 *   advance, resume  a foreign thread lets the clock go meanwhile
 *
 * In each, no thread sees time go back; the clock stands while it is held, or while anything runs; and who moves it returns.
 */
#include "fake_lock.h"

#include "actor/queue.h"
#include "actor/sanitizer.h"
#include "actor/stack.h"
#include "actor/switch.h"
#include "io/clock.h"
#include <errno.h>
#pragma push_macro("__x86_64__")
#undef __x86_64__
#include "actor/deadline.h"
#include "actor/scheduler.h"
#pragma pop_macro("__x86_64__")

static tr_time fake_real(void);
#define tri_clock_real fake_real
#include "actor/clock.c"
#undef tri_clock_real
#include "mailbox/pool.c"

enum { START = 1000, DUE = START + 10, FAR = START + 20 };

static struct tr_runtime runtime;
static struct tri_worker workers[2];
static struct tri_task tasks[MODEL_THREADS + 1];
static TRI_ATOMIC(uint32_t) tokens[MODEL_THREADS + 1];
static TRI_ATOMIC(uint32_t) woken[2]; /* the reactors' */
static TRI_ATOMIC(uint64_t) looks;
static TRI_ATOMIC(uint32_t) cancelled, come;
static tr_time due[2];
static tr_time last[MODEL_THREADS + 1];
static bool let_go; /* in this case the clock does not stand for ever */
static int code;

/* ---- what the machine does ---- */

static tr_time fake_real(void)
{
    return 1 + (tr_time)tri_fetch_add(&looks, UINT64_C(1), TRI_RELAXED);
}

struct tri_worker *tri_worker_here(void)
{
    int self = model_self();
    return self >= 0 && (uint32_t)self < runtime.workers ? &workers[self] : NULL;
}

struct tr_runtime *tri_runtime_at(uint32_t index)
{
    (void)index;
    return &runtime;
}

bool tri_runtime_visit(uint32_t index, void (*visit)(struct tr_runtime *of, void *context), void *context)
{
    (void)index;
    visit(&runtime, context);
    return true;
}

struct tri_task *tri_self(void)
{
    return &tasks[model_self() + 1];
}

static bool has_token(const void *token)
{
    return model_peek((const TRI_ATOMIC(uint32_t) *)token) != 0;
}

static void take(TRI_ATOMIC(uint32_t) *token)
{
    model_block(has_token, token);
    tri_exchange(token, 0u, TRI_ACQUIRE);
}

void tri_wake(struct tri_task *task)
{
    tri_fetch_or(&tokens[task - tasks], 1u, TRI_RELEASE);
}

int tri_park(tr_time deadline, enum tri_wait on)
{
    (void)deadline, (void)on;
    take(&tokens[model_self() + 1]);
    return tri_load(&cancelled, TRI_RELAXED) ? -ECANCELED : 0;
}

int tri_cancel_check(void)
{
    return 0;
}

void tri_reactor_wake(struct tri_reactor *reactor)
{
    tri_fetch_or(&woken[reactor == workers[1].reactor], 1u, TRI_RELEASE);
}

void tri_reactor_hurry(struct tri_reactor *reactor)
{
    (void)reactor;
}

bool tri_reactor_busy(const struct tri_reactor *reactor)
{
    (void)reactor;
    return false;
}

void tri_wake_all(struct tr_runtime *of)
{
    for (uint32_t i = 0; i < of->workers; i++)
        tri_reactor_wake(of->worker[i].reactor);
}

/* As the real one, which takes in what others have posted. */
tr_time tri_deadline_next(struct tri_worker *worker)
{
    return worker->next_alarm = due[worker->index];
}

tr_time tr_clock(void)
{
    return tri_clock_read(&runtime);
}

/* ---- the parts ---- */

static tr_time look(void)
{
    tr_time *before = &last[model_self() + 1], now = tri_clock_read(&runtime);
    model_assert(now >= *before);
    return *before = now;
}

static void reader(void)
{
    look();
    look();
}

/* Whoever stopped it last sees it stand: nobody else lets it go meanwhile. */
static void pauser(void)
{
    tr_time before = look();
    model_assert(tr_clock_pause(&runtime) == 0);
    tr_time at = look();
    model_assert(at > before && look() == at);
    model_assert(tr_clock_resume(&runtime) == 0);
    model_assert(look() >= at);
}

/* A worker's pass: its time is none that the clock has yet to come to. */
static void renewer(void)
{
    tri_clock_renew(&workers[0]);
    tr_time now = workers[0].now;
    model_assert(look() >= now);
    tri_clock_renew(&workers[0]);
    now = workers[0].now;
    model_assert(look() >= now);
}

static void other_pauser(void)
{
    look();
    model_assert(tr_clock_pause(&runtime) == 0);
    look();
    model_assert(tr_clock_resume(&runtime) == 0);
    look();
}

static void begin(uint32_t count)
{
    static int reactors[2];
    runtime.worker = workers;
    runtime.workers = count;
    for (uint32_t i = 0; i < 2; i++) {
        workers[i].runtime = &runtime;
        workers[i].index = i;
        workers[i].next_alarm = TR_FOREVER;
        workers[i].reactor = (struct tri_reactor *)&reactors[i];
        due[i] = TR_FOREVER;
    }
}

static void setup(void)
{
    begin(0);
}

static void setup_one(void)
{
    begin(1);
    tri_clock_start_paused(&runtime.clock, START);
}

static void setup_timer(void)
{
    setup_one();
    due[0] = DUE;
}

static void setup_visited(void)
{
    begin(0);
    tri_clock_start_paused(&runtime.clock, START);
}

static void setup_two(void)
{
    begin(2);
    tri_clock_start_paused(&runtime.clock, START);
    due[0] = DUE;
}

static void setup_let_go(void)
{
    setup_two();
    let_go = true;
}

/* As sleep_until in actor/idle.c, and the pass after it. What it runs stands for tasks: nothing moves meanwhile. */
static void sleep_once(struct tri_worker *worker)
{
    if (!tri_clock_idle(worker)) {
        model_assert(tri_clock_limit(worker, TR_FOREVER) > 0);
        take(&woken[worker->index]);
    }
    tri_clock_unidle(worker);
    tri_clock_renew(worker);
    if (due[worker->index] > worker->now)
        return;
    due[worker->index] = TR_FOREVER;
    if (!let_go)
        model_assert(worker->now == DUE && look() == DUE && look() == DUE);
}

static void timers_worker(void)
{
    while (due[0] != TR_FOREVER)
        sleep_once(&workers[0]);
}

/* Has something to run first; then it is idle for ever, and looks after the clock as any. */
static void second_worker(void)
{
    tr_time now = look();
    model_assert(now == START && look() == now);
    for (;;)
        sleep_once(&workers[1]);
}

/* Sleeps for ever. */
static void idle_worker(void)
{
    for (;;)
        sleep_once(&workers[0]);
}

static void short_lived_worker(void)
{
    sleep_once(&workers[0]);
}

static void short_lived_second(void)
{
    sleep_once(&workers[1]);
}

static void visitor(void)
{
    struct tr_runtime *visited = tri_visit_begin(&tasks[0]);
    model_assert(visited == &runtime);
    tri_store(&come, 1u, TRI_RELEASE);
    tri_visit_end(visited);
}

/* As tri_worker_close, which waits for the visitors before anything is taken down. */
static void ender(void)
{
    while (!tri_load(&come, TRI_ACQUIRE) || tri_load(&runtime.visitors, TRI_ACQUIRE) != 0)
        tri_spin();
    runtime.clock.holds = 77;
}

static void holder(void)
{
    tri_clock_hold(&runtime);
    tr_time now = look();
    model_assert(look() == now);
    tri_clock_release(&runtime);
}

static void advancer(void)
{
    look();
    code = tr_clock_advance(&runtime, FAR - START);
    if (code == 0)
        model_assert(look() >= FAR);
}

static void canceller(void)
{
    tri_store(&cancelled, 1u, TRI_RELAXED);
    tri_wake(&tasks[2]);
}

static void resumer(void)
{
    model_assert(tr_clock_resume(&runtime) == 0);
}

static void check_timer(void)
{
    model_assert(due[0] == TR_FOREVER && tri_load(&runtime.clock.at, TRI_RELAXED) == DUE);
}

static void check_advance(void)
{
    model_assert(code == 0 && !runtime.clock.advancers && tri_load(&runtime.clock.at, TRI_RELAXED) == FAR);
}

static void check_past(void)
{
    tr_time at = tri_load(&runtime.clock.at, TRI_RELAXED);
    model_assert(code == 0 && !runtime.clock.advancers && due[0] == TR_FOREVER);
    model_assert(at == FAR || at == DUE + FAR - START); /* the timer may have come first */
}

static void check_given_up(void)
{
    model_assert(!runtime.clock.advancers);
    model_assert(code == -ECANCELED || (code == 0 && tri_load(&runtime.clock.at, TRI_RELAXED) == FAR));
}

static void check_resumed(void)
{
    model_assert(!runtime.clock.advancers && (code == -EINVAL || code == 0));
}

static const struct model_case cases[] = {
    { .name = "pause", .setup = setup, .threads = { { "reader", reader, 0 }, { "pauser", pauser, 0 } } },
    { .name = "pause, pass", .setup = setup, .threads = { { "worker", renewer, 0 }, { "pauser", pauser, 0 } } },
    { .name = "pauses", .setup = setup, .threads = { { "one", other_pauser, 0 }, { "two", other_pauser, 0 } } },
    { .name = "timer",
      .setup = setup_two,
      .check = check_timer,
      .threads = { { "worker", timers_worker, 0 }, { "second", second_worker, true } } },
    { .name = "timer, resume",
      .setup = setup_let_go,
      .threads = { { "worker", short_lived_worker, true },
                   { "second", short_lived_second, true },
                   { "resumer", resumer, 0 } } },
    { .name = "visit", .setup = setup_visited, .threads = { { "visitor", visitor, 0 }, { "end", ender, 0 } } },
    { .name = "hold",
      .setup = setup_timer,
      .check = check_timer,
      .threads = { { "worker", timers_worker, 0 }, { "holder", holder, 0 } } },
    { .name = "advance",
      .setup = setup_one,
      .check = check_advance,
      .threads = { { "worker", idle_worker, true }, { "advancer", advancer, 0 } } },
    { .name = "advance, timer",
      .setup = setup_timer,
      .check = check_past,
      .threads = { { "worker", idle_worker, true }, { "advancer", advancer, 0 } } },
    { .name = "advance, give up",
      .setup = setup_one,
      .check = check_given_up,
      .threads = { { "worker", idle_worker, true }, { "advancer", advancer, 0 }, { "canceller", canceller, 0 } } },
    { .name = "advance, resume",
      .setup = setup_one,
      .check = check_resumed,
      .threads = { { "worker", idle_worker, true }, { "advancer", advancer, 0 }, { "resumer", resumer, 0 } } },
    { 0 },
};
MODEL(cases);
