/* SPDX-License-Identifier: MIT */
/*
 * model_stop.c: the start and the end of a runtime, by the code of actor/runtime.c, worker.c, idle.c and task.c themselves.
 * What is faked is the scheduler between idle and end, the reactor (a sticky token in memory that is freed when it is
 * destroyed) and the kernel: threads are those of the case, signals and times come as the case says.
 *
 *   stop     a foreign thread wakes the last task x the runtime is stopped: the waker is through before anything goes (S5)
 *   spawn    a foreign thread spawns x the runtime is stopped: the task has run before anything goes, or is refused (T3)
 *   count    a living task's child has been and gone when the runtime is stopped: the parent is still waited for (T3)
 *   count, held    the count itself x a child that its parent joins, held meanwhile (T3)
 *   workers  one worker wakes another and leaves: the reactor is there, and stays until it is through
 *   start    a runtime is started of whose workers one gets no thread, or no reactor: none runs, and all go
 *   visit    somebody outside wants something of a runtime whose worker is just starting: it finds it whole
 *   run      tr_run, to the end of main
 *   run, late      a signal ends tr_run, and main takes longer than it may: what it uses stays there
 *   walk     the walk over all records of a runtime x a record that becomes another runtime's: it is left alone (T2)
 */
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define TRI_QUEUE_SLOTS 4u
#include "fake_worker.h"

#include "fake_cold.h"
#include "fake_jobs.h"
#include "fake_posts.h"

static int create_thread(struct tri_worker *worker);
static int join_thread(pthread_t thread);
static int await_fds(unsigned count);
static ssize_t read_fd(void *to, size_t bytes);

#define usleep(microseconds) tri_spin()
#define ppoll(fds, count, span, mask) ((void)(fds), (void)(span), await_fds(count))
#define read(fd, to, bytes) read_fd(to, bytes)
#define write(fd, from, bytes) ((void)(fd), (ssize_t)(bytes))
#define close(fd) ((void)(fd))
#define eventfd(count, flags) 5
#define signalfd(fd, signals, flags) 6
#define pthread_sigmask(how, signals, before) ((void)(signals), (void)(before))
#define prctl(what, name) ((void)(name))
#define pthread_once(once, first) ((void)(once), (void)(first))
#define pthread_join(thread, result) join_thread(thread)
#define pthread_create(thread, attributes, body, argument) ((void)(body), create_thread(argument))

#include "actor/idle.c"
#include "actor/runtime.c"
#include "actor/join.c"
#include "actor/policy.c"
#include "actor/task.c"
#include "actor/worker.c"
#include "fake_clock.h"
#include "mailbox/dead_letter.c"
#include "mailbox/mailbox.c"
#include "mailbox/policy.c"
#include "mailbox/pool.c"
#include "mailbox/storage.c"
#define claim claim_slot
#include "mailbox/reply.c"

#include "fake_seats.h"

struct tri_reactor {
    TRI_ATOMIC(uint32_t) token;
};

static struct tr_runtime here, other;
static struct tri_worker own, *worker_of[MODEL_THREADS + 1]; /* own: of a worker of `other` */
static struct tri_task *task;
static struct tr_task handle;
static TRI_ATOMIC(struct tri_worker *) created[MODEL_THREADS];
static TRI_ATOMIC(uint32_t) begun, gone; /* the runtime is up; worker threads that have ended */
static void (*loop)(struct tri_worker *worker);
static int spawned_rc, run_rc, payload;
static unsigned ran, thread_count, thread_limit; /* of the kernel's; 0: none */
static struct tri_task foreign;                  /* stands for the thread that is no worker */
static struct tri_stack stack;                   /* of every worker */
static bool no_reactor;                          /* for the second worker */
static bool no_time;                             /* a deadline is over when it is set, and a signal is there */

struct tri_pool tri_alarm_pool = { .object_bytes = 64 };

/* ---- what those leave to others ---- */

struct tri_worker *tri_worker_here(void)
{
    return worker_of[model_self() + 1];
}

struct tri_task *tri_self(void)
{
    return model_self() < 0 ? NULL : &foreign;
}

/* As park_foreign of actor/wait.c. */
int tri_park(tr_time deadline, enum tri_wait on)
{
    (void)on;
    model_assert(deadline == TR_FOREVER);
    if (tri_park_commit(&foreign.park))
        while (tri_load(&foreign.park.state, TRI_ACQUIRE) == TRI_PARKED)
            tri_spin();
    return 0;
}

void tri_ready(struct tri_task *ready)
{
    if (model_self() >= 0)
        tri_ready_foreign(tri_runtime_at(tri_load(&ready->runtime, TRI_RELAXED)), ready);
}

void tri_ready_last(struct tri_worker *worker, struct tri_task *ready)
{
    tri_ready_ring(worker, ready);
}

void tri_ready_ring(struct tri_worker *worker, struct tri_task *ready)
{
    if (!tri_queue_push(&worker->queue, ready))
        tri_overflow(worker, ready);
}

void tri_wake(struct tri_task *whom)
{
    if (tri_park_wake(&whom->park) && whom != &foreign)
        tri_ready(whom);
}

int tri_deadline_arm(struct tri_worker *worker, struct tri_task *whose, tr_time deadline)
{
    (void)worker, (void)whose, (void)deadline;
    return 0;
}

void tri_deadline_pass(struct tri_worker *worker)
{
    (void)worker;
}

void tri_deadline_flush(struct tri_worker *worker)
{
    (void)worker;
}

void tri_wheel_init(struct tri_wheel *wheel, tr_time now)
{
    (void)wheel, (void)now;
}

void tri_stack_flush(struct tri_stack_cache *cache)
{
    (void)cache;
}

struct tri_stack *tri_stack_take_slow(uint32_t size_class)
{
    static struct tri_stack spare[MODEL_THREADS];
    (void)size_class;
    return &spare[model_self()];
}

void tri_stack_give_slow(struct tri_stack_cache *cache, struct tri_stack *given)
{
    (void)cache, (void)given;
}

void *tri_fault_enter(void)
{
    return NULL;
}

void tri_fault_leave(void *alternate)
{
    (void)alternate;
}

void tri_runtime_report(struct tr_runtime *of)
{
    (void)of;
}

int tr_actor_stop_raw(struct tr_address address)
{
    (void)address;
    return 0;
}

tr_time tr_clock(void)
{
    return 1;
}

tr_time tr_after(int64_t nanoseconds)
{
    (void)nanoseconds;
    return no_time ? 1 : TR_FOREVER;
}

int tri_reactor_create(struct tri_reactor **out, enum tr_backend *backend)
{
    (void)backend;
    if (no_reactor && model_self() == 1)
        return -EMFILE;
    *out = calloc(1, sizeof **out);
    return 0;
}

void tri_reactor_destroy(struct tri_reactor *of)
{
    free(of);
}

void tri_reactor_wake(struct tri_reactor *of)
{
    tri_fetch_or(&of->token, 1u, TRI_ACQ_REL);
}

static bool has_token(const void *of)
{
    const struct tri_reactor *woken = of;
    return model_peek(&woken->token) != 0;
}

unsigned tri_reactor_poll(struct tri_reactor *of, tr_time until)
{
    model_assert(until == TR_FOREVER);
    model_block(has_token, of);
    tri_exchange(&of->token, 0u, TRI_ACQ_REL);
    return 0;
}

static int create_thread(struct tri_worker *worker)
{
    if (thread_limit > 0 && thread_count == thread_limit)
        return EAGAIN;
    tri_store(&created[thread_count++], worker, TRI_RELEASE);
    return 0;
}

/* All at once. */
static int join_thread(pthread_t thread)
{
    (void)thread;
    while (tri_load(&gone, TRI_ACQUIRE) < thread_count)
        tri_spin();
    return 0;
}

/* Two: a signal is one of them. */
static int await_fds(unsigned count)
{
    if (count == 2)
        model_yield();
    else
        tri_spin();
    return 0;
}

static ssize_t read_fd(void *to, size_t bytes)
{
    memset(to, 0, bytes);
    return (ssize_t)bytes;
}

/* Runs what there is, and sleeps, until the runtime is over. */
int tri_worker_loop(struct tri_worker *worker)
{
    if (loop) {
        loop(worker);
        return 0;
    }
    do
        for (struct tri_task *next;
             (next = tri_queue_pop(&worker->queue, true)) || (next = tri_take_shared_work(worker));) {
            int result = next->body(next->argument);
            tri_task_end(next, result);
        }
    while (tri_idle(worker) != TRI_IDLE_EXIT);
    return 0;
}

/* ---- the parts ---- */

static int body(void *argument)
{
    (void)argument;
    model_assert(payload == 1);
    ran++;
    return 7;
}

static void start(struct tr_runtime *runtime, uint32_t index)
{
    runtime->index = index;
    runtime->workers = 1;
    runtime->wake_fd = -1;
    table[index] = runtime;
    used[index] = true;
}

/* One worker, and one task that is parked. */
static void setup(void)
{
    tri_task_pool.slab_objects = 1;
    start(&here, 0);
    here.worker = calloc(1, sizeof *here.worker);
    here.worker->runtime = &here;
    here.worker->alone = true;
}

static void stop_setup(void)
{
    struct tri_spawn spawn = { .body = body, .runtime = &here };
    setup();
    model_assert(tri_spawn(&spawn) == 0);
    task = *(struct tri_task **)tri_task_pool.slabs;
    tri_store(&task->park.state, (uint32_t)TRI_PARKED, TRI_RELAXED);
    payload = 1; /* the shutdown's cancellation may wake it, too */
}

static void worker_thread(void)
{
    struct tri_worker *worker;
    while (!(worker = tri_load(&created[model_self()], TRI_ACQUIRE)))
        tri_spin();
    worker_of[model_self() + 1] = worker;
    worker->stack = &stack;
    tri_worker_main(worker);
    tri_fetch_add(&gone, 1u, TRI_RELEASE);
}

static bool is_created(const void *worker)
{
    return model_peek((const TRI_ATOMIC(struct tri_worker *) *)worker) != 0;
}

static bool has_begun(const void *unused)
{
    (void)unused;
    return model_peek(&begun) != 0;
}

static void await_begin(void)
{
    while (tri_load(&begun, TRI_ACQUIRE) == 0)
        tri_spin();
}

static void waker(void)
{
    await_begin();
    tri_wake(task);
}

/* As tr_start and tr_stop. */
static void stopper(void)
{
    model_assert(start_threads(&here) == 0);
    tri_store(&begun, 1u, TRI_RELEASE);
    model_assert(tr_stop(&here, TR_FOREVER) == 0);
}

static void stop_check(void)
{
    model_assert(ran == 1 && !here.worker);
    model_assert(tri_load(&here.visitors, TRI_RELAXED) == 0);
}

static void spawner(void)
{
    struct tri_spawn spawn = { .body = body, .runtime = &here };
    payload = 1;
    await_begin();
    spawned_rc = tri_spawn(&spawn);
}

static void spawn_check(void)
{
    model_assert(spawned_rc == 0 || spawned_rc == -ECANCELED);
    model_assert(ran == (spawned_rc == 0) && !here.worker);
}

/* ---- count ---- */

static void parent_loop(struct tri_worker *worker)
{
    struct tri_spawn spawn = { .body = body, .runtime = &here };
    int rc = tri_spawn(&spawn);
    struct tri_task *child = tri_take_lifo(worker);
    model_assert((rc == 0) == (child != NULL));
    if (child)
        tri_task_end(child, 0);
    model_assert(model_peek(&here.phase) != TRI_PHASE_EXIT);
    tri_task_end(task, 0);
    while (tri_idle(worker) != TRI_IDLE_EXIT)
        ;
}

static void count_setup(void)
{
    stop_setup();
    tri_store(&task->park.state, (uint32_t)TRI_RUNNING, TRI_RELAXED);
    loop = parent_loop;
}

/*
 * Once it is counted to be over, the parent has ended. The worker has a record for the child, so that no lock tells of it;
 * and only the count itself is made, or that would take several stale reads.
 */
static void held_setup(void)
{
    stop_setup();
    tri_pool_give(&tri_task_pool, &here.worker->tasks, tri_pool_take_shared(&tri_task_pool));
    worker_of[1] = here.worker;
    begin_task(here.worker, 0, task);
}

static void held_parent(void)
{
    struct tr_task child = { 0 };
    struct tri_spawn spawn = { .body = body, .runtime = &here, .handle = &child };
    int result = 0;
    int rc = tri_spawn(&spawn);
    model_assert(rc == -ECANCELED || (rc == 0 && tr_task_join(child, &result, TR_FOREVER) == 0 && result == 7));
    tri_store(&gone, 1u, TRI_RELAXED);
    tri_task_end(task, 0);
}

static void counter(void)
{
    enter_phase(&here, TRI_PHASE_STOP);
    if (count_live(&here) == 0)
        model_assert(model_peek(&gone) == 1);
}

static void count_check(void)
{
    model_assert(!here.worker);
}

/* ---- workers ---- */

static void neighbour_loop(struct tri_worker *worker)
{
    tri_reactor_wake(here.worker[1 - worker->index].reactor);
}

static void workers_setup(void)
{
    start(&here, 0);
    here.workers = 2;
    here.worker = calloc(2, sizeof *here.worker);
    for (unsigned i = 0; i < 2; i++) {
        here.worker[i].runtime = &here;
        here.worker[i].index = i;
        tri_store(&created[i], &here.worker[i], TRI_RELAXED);
    }
    loop = neighbour_loop;
}

/* ---- start ---- */

static void no_loop(struct tri_worker *worker)
{
    model_fail("worker %u runs, although not all could be started", worker->index);
}

static void no_reactor_setup(void)
{
    workers_setup();
    no_reactor = true;
    loop = no_loop;
}

static void no_thread_setup(void)
{
    thread_limit = 1;
    loop = no_loop;
}

static void starter(void)
{
    struct tr_options options = { .workers = 2 };
    struct tr_runtime *runtime = NULL;
    run_rc = tr_start(&runtime, &options);
    model_assert(!runtime);
}

static void start_check(void)
{
    model_assert(run_rc == -EAGAIN && !used[0] && !table[0]->worker);
}

/* ---- visit ---- */

static TRI_ATOMIC(uint32_t) visited;

static void visited_loop(struct tri_worker *worker)
{
    (void)worker;
    while (!tri_load(&visited, TRI_ACQUIRE))
        tri_spin();
}

static void visit_setup(void)
{
    setup();
    tri_store(&created[0], here.worker, TRI_RELAXED);
    loop = visited_loop;
}

static void look_at_worker(struct tr_runtime *runtime, void *context)
{
    (void)context;
    model_assert(runtime == &here && runtime->worker[0].reactor);
}

static void visitor(void)
{
    while (!tri_runtime_visit(0, look_at_worker, NULL))
        tri_spin();
    tri_store(&visited, 1u, TRI_RELEASE);
}

/* ---- run ---- */

static void run_setup(void)
{
    tri_task_pool.slab_objects = 1;
}

static void late_setup(void)
{
    run_setup();
    no_time = true;
}

static void runner(void)
{
    struct tr_options options = { .workers = 1, .keep_signals = !no_time };
    payload = 1;
    run_rc = tr_run(&options, body, NULL);
}

static void run_check(void)
{
    model_assert(run_rc == 7 || (no_time && run_rc == -ETIMEDOUT));
    model_assert(ran == 1 && (!used[0] || no_time));
}

/* ---- walk ---- */

/* The record has been one of `other`. */
static void walk_setup(void)
{
    struct tri_spawn spawn = { .body = body, .runtime = &other, .handle = &handle };
    tri_task_pool.slab_objects = 1;
    start(&other, 1);
    start(&here, 0);
    own.runtime = &other;
    own.alone = true;
    worker_of[0] = worker_of[1] = &own;
    model_assert(tri_spawn(&spawn) == 0);
    tri_task_end(handle.tri_record, 0);
    model_assert(tr_task_join(handle, NULL, TR_NOW) == -ENOMEM); /* nobody stands for us */
    tri_task_reap(handle.tri_record, handle.tri_generation);
    own.runtime = &here;
}

static void mover(void)
{
    struct tri_spawn spawn = { .body = body, .runtime = &here, .handle = &handle };
    model_assert(tri_spawn(&spawn) == 0);
    tri_task_end(handle.tri_record, 0);
}

static void count_reaped(struct tri_task *whom, uint64_t generation, void *context)
{
    (void)generation, (void)context;
    model_fail("a stranger's record %p", (void *)whom);
}

static void walker(void)
{
    each_record(&other, TRI_LIFE_FLAGS, TRI_LIFE_ENDED, count_reaped, NULL);
}

static void live_walker(void)
{
    tri_runtime_each_task(&other, count_reaped, NULL);
}

static const struct model_case cases[] = {
    { .name = "walk", .setup = walk_setup, .threads = { { "worker", mover, 0 }, { "walker", walker, 0 } } },
    { .name = "walk, living",
      .setup = walk_setup,
      .threads = { { "worker", mover, 0 }, { "walker", live_walker, 0 } } },
    { .name = "count",
      .setup = count_setup,
      .check = count_check,
      .threads = { { "worker", worker_thread, 0, is_created, &created[0] }, { "stopper", stopper, 0 } } },
    { .name = "count, held",
      .setup = held_setup,
      .threads = { { "worker", held_parent, 0 }, { "counter", counter, 0 } } },
    { .name = "start, no thread",
      .setup = no_thread_setup,
      .check = start_check,
      .threads = { { "worker", worker_thread, 0, is_created, &created[0] }, { "starter", starter, 0 } } },
    { .name = "start, no reactor",
      .setup = no_reactor_setup,
      .threads = { { "worker 0", worker_thread, 0, is_created, &created[0] },
                   { "worker 1", worker_thread, 0, is_created, &created[1] } } },
    { .name = "visit",
      .setup = visit_setup,
      .threads = { { "worker", worker_thread, 0, is_created, &created[0] }, { "visitor", visitor, 0 } } },
    { .name = "run",
      .setup = run_setup,
      .check = run_check,
      .threads = { { "worker", worker_thread, 0, is_created, &created[0] }, { "main", runner, 0 } } },
    { .name = "run, late",
      .setup = late_setup,
      .check = run_check,
      .threads = { { "worker", worker_thread, true, is_created, &created[0] }, { "main", runner, 0 } } },
    { .name = "workers",
      .setup = workers_setup,
      .threads = { { "worker 0", worker_thread, 0, is_created, &created[0] },
                   { "worker 1", worker_thread, 0, is_created, &created[1] } } },
    { .name = "stop",
      .setup = stop_setup,
      .check = stop_check,
      .threads = { { "worker", worker_thread, 0, is_created, &created[0] },
                   { "waker", waker, 0, has_begun, NULL },
                   { "stopper", stopper, 0 } } },
    { .name = "spawn",
      .setup = setup,
      .check = spawn_check,
      .threads = { { "worker", worker_thread, 0, is_created, &created[0] },
                   { "spawner", spawner, 0, has_begun, NULL },
                   { "stopper", stopper, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
