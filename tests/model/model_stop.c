/* SPDX-License-Identifier: MIT */
/*
 * model_stop.c: the end of a runtime, by the code of actor/runtime.c, worker.c, idle.c and task.c themselves. What is faked
 * is the scheduler between idle and end, and the reactor: a sticky token in memory that is freed when it is destroyed.
 *
 *   stop     a foreign thread wakes the last task x the runtime is stopped: the waker is through before anything goes (S5)
 *   spawn    a foreign thread spawns x the runtime is stopped: the task has run before anything goes, or is refused (T3)
 *   count    a living task's child has been and gone when the runtime is stopped: the parent is still waited for (T3)
 *   workers  one worker wakes another and leaves: the reactor is there, and stays until it is through
 *   walk     the walk over all records of a runtime x a record that becomes another runtime's: it is left alone (T2)
 */
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#define TRI_QUEUE_SLOTS 4u

#include "fake_worker.h"

static int join_thread(pthread_t thread);

#define usleep(microseconds) tri_spin()
#define ppoll(fds, count, span, mask) (tri_spin(), (void)(span), 0)
#define read(fd, to, bytes) ((ssize_t)(bytes))
#define write(fd, from, bytes) ((void)(fd), (ssize_t)(bytes))
#define prctl(what, name) ((void)(name))
#define pthread_join(thread, result) join_thread(thread)
#define pthread_create(thread, attributes, body, argument) ((void)(body), 0)

#include "actor/idle.c"
#include "actor/runtime.c"
#include "actor/task.c"
#include "actor/worker.c"
#include "mailbox/mailbox.c"
#include "mailbox/pool.c"
#include "mailbox/storage.c"
#define claim claim_slot
#include "mailbox/reply.c"

struct tri_reactor {
    TRI_ATOMIC(uint32_t) token;
};

static struct tr_runtime here, other;
static struct tri_worker own, *worker_of[MODEL_THREADS + 1]; /* own: of a worker of `other` */
static struct tri_task *task;
static struct tr_task handle;
static TRI_ATOMIC(uint32_t) begun, gone; /* the runtime is up; worker threads that have ended */
static void (*loop)(struct tri_worker *worker);
static int spawned_rc, payload;
static unsigned ran;

struct tri_pool tri_alarm_pool = { .object_bytes = 64 };

/* ---- what those leave to others ---- */

struct tri_worker *tri_worker_here(void)
{
    return worker_of[model_self() + 1];
}

struct tri_task *tri_self(void)
{
    return NULL;
}

bool tri_in_task(void)
{
    return false;
}

int tri_park(tr_time deadline, enum tri_wait on)
{
    (void)deadline, (void)on;
    return 0;
}

void tri_ready(struct tri_task *ready)
{
    if (model_self() >= 0)
        tri_ready_foreign(&here, ready);
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
    if (tri_park_wake(&whom->park))
        tri_ready(whom);
}

void tri_give_way(struct tri_worker *worker)
{
    (void)worker;
}

struct tri_stack *tri_leave_held(struct tri_worker *worker, struct tri_task *next, struct tri_slot *awaits)
{
    (void)worker, (void)next, (void)awaits;
    return NULL;
}

int tri_stack_class(size_t bytes)
{
    (void)bytes;
    return 0;
}

int tri_deadline_arm(struct tri_worker *worker, struct tri_task *whose, tr_time deadline)
{
    (void)worker, (void)whose, (void)deadline;
    return 0;
}

void tri_deadline_forget(struct tri_worker *worker, struct tri_task *whose)
{
    (void)worker, (void)whose;
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

void tri_fault_install(void)
{
}

void *tri_fault_enter(void)
{
    return NULL;
}

void tri_fault_leave(void *alternate)
{
    (void)alternate;
}

unsigned tri_cpu_count(void)
{
    return 1;
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

void tr_log(enum tr_log_level level, const char *format, ...)
{
    (void)level, (void)format;
}

tr_time tr_clock(void)
{
    return 1;
}

/* The clock is the real one, and stands still; the runtime has its own threads. */
void tri_clock_renew(struct tri_worker *worker)
{
    worker->now = worker->real = 1;
}

bool tri_clock_idle(struct tri_worker *worker)
{
    (void)worker;
    return false;
}

void tri_clock_unidle(struct tri_worker *worker)
{
    (void)worker;
}

tr_time tri_clock_limit(struct tri_worker *worker, tr_time until)
{
    return until < worker->next_alarm ? until : worker->next_alarm;
}

tr_time tri_clock_to_real(struct tr_runtime *of, tr_time when)
{
    (void)of;
    return when;
}

void tri_clock_start_paused(struct tri_clock *clock, tr_time at)
{
    (void)clock, (void)at;
}

void tri_clock_finish(struct tr_runtime *of)
{
    (void)of;
}

struct tri_task *tri_sim_take(struct tri_worker *worker)
{
    (void)worker;
    return NULL;
}

void tri_sim_meet(struct tri_worker *worker, struct tri_task *whom)
{
    (void)worker, (void)whom;
}

uint64_t tri_sim_serial(struct tri_sim *sim, struct tri_task *whose, uint64_t generation)
{
    (void)sim, (void)whose, (void)generation;
    return 0;
}

bool tri_sim_step(struct tr_runtime *of, tr_time limit, tr_time deadline)
{
    (void)of, (void)limit, (void)deadline;
    return false;
}

int tri_sim_run(const struct tr_options *options, int (*main)(void *argument), void *argument, uint64_t *digest)
{
    (void)options, (void)main, (void)argument, (void)digest;
    return -EINVAL;
}

tr_time tri_sim_after(struct tr_runtime *of, int64_t span)
{
    (void)of, (void)span;
    return 1;
}

bool tri_turn_pass(struct tri_worker *worker)
{
    (void)worker;
    return false;
}

enum tri_idle_result tri_turn_idle(struct tri_worker *worker)
{
    (void)worker;
    return TRI_IDLE_EXIT;
}

int tri_turn_check(struct tr_runtime *of)
{
    (void)of;
    return -EINVAL;
}

int tri_turn_run(struct tr_runtime *of, tr_time deadline)
{
    (void)of, (void)deadline;
    return 0;
}

void tri_turn_finish(struct tr_runtime *of)
{
    (void)of;
}

void tri_stack_flush(struct tri_stack_cache *cache)
{
    (void)cache;
}

tr_time tr_after(int64_t nanoseconds)
{
    (void)nanoseconds;
    return TR_FOREVER;
}

int tri_reactor_create(struct tri_reactor **out, enum tr_backend *backend)
{
    (void)backend;
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

static int join_thread(pthread_t thread)
{
    (void)thread;
    while (tri_load(&gone, TRI_ACQUIRE) < here.workers)
        tri_spin();
    return 0;
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
            model_assert(payload == 1);
            ran++;
            tri_task_end(next, 0);
        }
    while (tri_idle(worker) != TRI_IDLE_EXIT);
    return 0;
}

/* ---- the parts ---- */

static int body(void *argument)
{
    (void)argument;
    return 0;
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
    worker_of[1] = here.worker;
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
    tri_worker_main(worker_of[model_self() + 1]);
    tri_fetch_add(&gone, 1u, TRI_RELEASE);
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
        worker_of[i + 1] = &here.worker[i];
    }
    loop = neighbour_loop;
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
      .threads = { { "worker", worker_thread, 0 }, { "stopper", stopper, 0 } } },
    { .name = "workers",
      .setup = workers_setup,
      .threads = { { "worker 0", worker_thread, 0 }, { "worker 1", worker_thread, 0 } } },
    { .name = "stop",
      .setup = stop_setup,
      .check = stop_check,
      .threads = { { "worker", worker_thread, 0 }, { "waker", waker, 0 }, { "stopper", stopper, 0 } } },
    { .name = "spawn",
      .setup = setup,
      .check = spawn_check,
      .threads = { { "worker", worker_thread, 0 }, { "spawner", spawner, 0 }, { "stopper", stopper, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
