/* SPDX-License-Identifier: MIT */
/* sim.c: seeded runtimes. The picture is in sim.h. */
#include "actor/sim.h"
#include "actor/runtime.h"
#include "actor/turn.h"
#include "io/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <troupe/sim.h>

#define SHORT_RUN 8             /* operations after which most picks give way, at most */
#define PAUSE_NS TR_MILLISECOND /* between looks at what is in flight, in a shutdown */

int tri_sim_init(struct tr_runtime *runtime)
{
    struct tri_worker *worker = &runtime->worker[0];
    runtime->sim = calloc(1, sizeof *runtime->sim);
    if (!runtime->sim)
        return -ENOMEM;
    runtime->sim->digest = runtime->seed;
    worker->random = runtime->seed;
    worker->quota_start = 0;
    worker->pass_at = 0;
    return 0;
}

void tri_sim_deinit(struct tr_runtime *runtime)
{
    if (!runtime->sim)
        return;
    free(runtime->sim->ready);
    free(runtime->sim->names);
    free(runtime->sim);
    runtime->sim = NULL;
}

/* ---- serial numbers ------------------------------------------------------------------------------------------- */

/* Where the record's entry is or, with task NULL, is to be. */
static struct tri_sim_name *find(struct tri_sim_name *names, uint32_t room, struct tri_task *task)
{
    uint32_t i = (uint32_t)((uintptr_t)task / sizeof *task * UINT64_C(0x9e3779b97f4a7c15) >> 32);
    while (names[i & (room - 1)].task && names[i & (room - 1)].task != task)
        i++;
    return &names[i & (room - 1)];
}

static bool grow(struct tri_sim *sim)
{
    uint32_t room = sim->name_room ? sim->name_room * 2 : 256;
    struct tri_sim_name *names = calloc(room, sizeof *names);
    if (!names)
        return false;
    for (uint32_t i = 0; i < sim->name_room; i++)
        if (sim->names[i].task)
            *find(names, room, sim->names[i].task) = sim->names[i];
    free(sim->names);
    sim->names = names;
    sim->name_room = room;
    return true;
}

/* The task's number, its next one if the record has changed hands; 0 without memory. */
static uint64_t number(struct tri_sim *sim, struct tri_task *task)
{
    uint64_t generation = tri_task_generation(task);
    if (sim->name_count * 2 >= sim->name_room && !grow(sim))
        return 0;
    struct tri_sim_name *name = find(sim->names, sim->name_room, task);
    if (name->task && name->generation == generation)
        return name->serial;
    sim->name_count += !name->task;
    *name = (struct tri_sim_name){ task, generation, ++sim->serial };
    return name->serial;
}

void tri_sim_meet(struct tri_worker *worker, struct tri_task *task)
{
    if (worker->runtime->sim)
        number(worker->runtime->sim, task);
}

uint64_t tri_sim_serial(struct tri_sim *sim, struct tri_task *task, uint64_t generation)
{
    struct tri_sim_name *name = sim->name_room ? find(sim->names, sim->name_room, task) : NULL;
    return name && name->task && name->generation == generation ? name->serial : UINT64_MAX;
}

/* ---- the next task -------------------------------------------------------------------------------------------- */

/* False: no memory; it stays in a queue of the worker's, and will run in that order. */
static bool add(struct tri_sim *sim, struct tri_task *task)
{
    if (sim->count == sim->room) {
        uint32_t room = sim->room ? sim->room * 2 : 256;
        struct tri_task **ready = realloc(sim->ready, room * sizeof *ready);
        if (!ready)
            return false;
        sim->ready = ready;
        sim->room = room;
    }
    number(sim, task);
    sim->ready[sim->count++] = task;
    return true;
}

static void add_list(struct tri_worker *worker, struct tri_task *task)
{
    while (task) {
        struct tri_task *next = task->next;
        if (!add(worker->runtime->sim, task))
            tri_ready_ring(worker, task);
        task = next;
    }
}

static struct tri_task *take_all(struct tri_inbox *inbox)
{
    if (tri_load(&inbox->count, TRI_RELAXED) == 0)
        return NULL;
    tri_lock(&inbox->lock);
    struct tri_task *first = inbox->first;
    inbox->first = inbox->last = NULL;
    tri_store(&inbox->count, 0u, TRI_RELAXED);
    tri_unlock(&inbox->lock);
    return first;
}

void tri_sim_gather(struct tri_worker *worker)
{
    struct tri_sim *sim = worker->runtime->sim;
    struct tri_task *task = tri_take_lifo(worker);
    worker->pass_at = tri_load(&worker->switches, TRI_RELAXED); /* a pass at the next switch as well */
    worker->quota_start = sim->hold;
    while (task || (task = tri_queue_pop_alone(&worker->queue))) {
        if (!add(sim, task)) {
            tri_ready_ring(worker, task);
            return;
        }
        task = NULL;
    }
    struct tri_task *pinned = worker->pinned_first;
    worker->pinned_first = worker->pinned_last = NULL;
    add_list(worker, pinned);
    add_list(worker, take_all(&worker->overflow));
    add_list(worker, take_all(&worker->inbox));
    add_list(worker, take_all(&worker->runtime->injection));
}

static void mix(struct tri_sim *sim, uint64_t value)
{
    uint64_t x = (sim->digest ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    sim->digest = x ^ x >> 29;
}

struct tri_task *tri_sim_take(struct tri_worker *worker)
{
    struct tri_sim *sim = worker->runtime->sim;
    if (sim->count == 0)
        return NULL;
    uint32_t at = tri_choice(sim->count), way = tri_choice(64);
    struct tri_task *task = sim->ready[at];
    mix(sim, number(sim, task));
    mix(sim, sim->count);
    mix(sim, (uint64_t)worker->now);
    sim->ready[at] = sim->ready[--sim->count];
    worker->migrate = worker->runtime->migrate_always || way & 1;
    worker->quota_start = sim->hold = way & 2 ? TRI_PASS_SWITCHES : 0;
    worker->budget = way & 4 ? TRI_BUDGET : 1 + (int32_t)(way >> 3) % SHORT_RUN;
    return task;
}

uint64_t tr_sim_seed(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker ? worker->runtime->seed : 0;
}

uint64_t tr_sim_digest(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker && worker->runtime->sim ? worker->runtime->sim->digest : 0;
}

/* ---- a whole run ---------------------------------------------------------------------------------------------- */

/* After a turn that has left nothing ready, and could not move the clock: only the kernel or a foreign thread can help. */
static bool waits_for_outside(struct tr_runtime *runtime)
{
    tri_lock(&runtime->clock.lock);
    bool held = runtime->clock.holds > 0;
    tri_unlock(&runtime->clock.lock);
    return held || tri_reactor_busy(runtime->worker[0].reactor);
}

void tri_sim_bound(struct tr_runtime *runtime, int64_t span)
{
    tr_time *furthest = &runtime->clock.furthest;
    if (runtime->sim && __builtin_add_overflow(tri_clock_read(runtime), span, furthest))
        *furthest = TR_FOREVER;
}

void tri_sim_bound_nearer(struct tr_runtime *runtime, int64_t span)
{
    tr_time before = runtime->clock.furthest;
    tri_sim_bound(runtime, span);
    if (before && before < runtime->clock.furthest)
        runtime->clock.furthest = before;
}

bool tri_sim_step(struct tr_runtime *runtime, tr_time deadline)
{
    if (tri_clock_read(runtime) >= runtime->clock.furthest || tri_clock_real() >= deadline)
        return false;
    if (tri_turn_run(runtime, TR_NOW) != 0)
        return true;
    if (!waits_for_outside(runtime))
        return false;
    tri_turn_run(runtime, tri_clock_real() + PAUSE_NS);
    return true;
}

struct program {
    int (*main)(void *argument);
    void *argument;
    int result; /* of main, whoever joins its task */
    bool over;
    tr_time deadline; /* of all that comes after main, on the real clock */
};

static int run_program(void *argument)
{
    struct program *program = argument;
    struct tr_runtime *runtime = tri_worker_here()->runtime;
    program->result = program->main(program->argument);
    program->over = true;
    tri_sim_bound_nearer(runtime, runtime->stop_ns); /* what main owns has a bounded time to end by itself */
    return program->result;
}

/* Also if there is no memory to join it with, on a thread that has never waited before. */
static bool has_ended(struct program *program, struct tr_task task)
{
    int rc = tr_task_join(task, NULL, TR_NOW);
    if (rc == -ENOMEM && program->over && tr_task_is_over(task)) {
        tr_task_detach(task);
        return true;
    }
    return rc == 0 || (rc == -ESRCH && program->over);
}

/*
 * Until main has ended or, if its task has been joined or detached by somebody, returned; or its time is over, once it has returned
 * or a shutdown was asked for. Returns its result, -EDEADLK, or -ETIMEDOUT.
 */
static int run_main(struct tr_runtime *runtime, struct program *program)
{
    struct tr_task task = runtime->main;
    int more = 1;
    while (!has_ended(program, task)) {
        tr_time furthest = runtime->clock.furthest;
        bool stands = more == 0 && !waits_for_outside(runtime);
        if (furthest && program->deadline == TR_FOREVER)
            program->deadline = tr_after(runtime->shutdown_ns);
        if (furthest && (stands || tri_clock_read(runtime) >= furthest || tri_clock_real() >= program->deadline)) {
            tr_task_detach(task);
            return program->over ? program->result : -ETIMEDOUT;
        }
        if (stands) {
            tr_log(TR_LOG_ERROR, "simulation, seed %llu: every task waits for another, for ever",
                   (unsigned long long)runtime->seed);
            tri_runtime_report(runtime);
            tr_task_detach(task);
            return -EDEADLK;
        }
        more = tri_turn_run(runtime, more ? TR_NOW : program->deadline);
        if (more < 0) { /* no memory: to wait for it would not replay */
            tr_task_detach(task);
            return more;
        }
    }
    return program->result;
}

int tri_sim_run(const struct tr_options *options, int (*main)(void *argument), void *argument, uint64_t *digest)
{
    struct tr_runtime *runtime;
    struct program program = { .main = main, .argument = argument, .deadline = TR_FOREVER };
    int rc = tr_open(&runtime, options);
    if (rc < 0)
        return rc;
    struct tr_task_options own = { .name = "main", .runtime = runtime };
    rc = tr_task_spawn(&runtime->main, run_program, &program, &own);
    if (rc == 0)
        rc = run_main(runtime, &program);
    if (program.deadline == TR_FOREVER)
        program.deadline = tr_after(runtime->shutdown_ns);
    runtime->digest = digest;
    if (digest)
        *digest = runtime->sim->digest; /* should it not come to an end */
    /* -ETIMEDOUT: the report has been made; what still lives is left alone. */
    int stopped = tr_stop(runtime, program.deadline);
    return rc == 0 ? stopped : rc;
}

/* 0: not asked for. */
static int seed_of_environment(uint64_t *seed)
{
    const char *text = getenv("TR_SEED");
    char *end;
    *seed = 0;
    if (!text || !*text)
        return 0;
    errno = 0;
    *seed = strtoull(text, &end, 0); /* takes a minus sign, and what is too large for the largest */
    if (!*end && *seed != 0 && errno == 0 && !strchr(text, '-'))
        return 0;
    tr_log(TR_LOG_ERROR, "simulation: TR_SEED=%s is no seed; it can be a number from 1 on", text);
    return -EINVAL;
}

int tr_sim_run(struct tr_sim *sim, int (*main)(void *argument), void *argument)
{
    struct tr_options options = { 0 };
    uint64_t only;
    if (!sim || seed_of_environment(&only) < 0)
        return -EINVAL;
    if (sim->options)
        options = *sim->options;
    options.workers = 0;
    unsigned runs = only || !sim->runs ? 1 : sim->runs;
    options.seed = only ? only : sim->seed ? sim->seed : 1;
    int rc = 0;
    for (unsigned i = 0; i < runs && rc == 0; i++, options.seed++) {
        if (options.seed == 0)
            options.seed = 1;
        sim->last_seed = options.seed;
        sim->digest = 0;
        rc = tri_sim_run(&options, main, argument, &sim->digest);
    }
    if (rc != 0 && sim->digest == 0)
        tr_log(TR_LOG_ERROR, "simulation: the runtime did not start: %s", strerror(-rc));
    else if (rc != 0)
        tr_log(TR_LOG_ERROR, "simulation: seed %llu ended with %d; TR_SEED=%llu runs it alone",
               (unsigned long long)sim->last_seed, rc, (unsigned long long)sim->last_seed);
    return rc;
}
