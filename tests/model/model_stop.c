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
#include "fake_runtime.h"

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
    signals = 1;
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
