/* SPDX-License-Identifier: MIT */
/*
 * runtime.c: starting and ending runtimes.
 *
 * A shutdown has phases, each bounded:
 *   STOP    no new task; mailboxes are closed, so actors drain and end, with the tasks that help them still there
 *   CANCEL  no actor is left, or their time is over: whatever still lives is cancelled
 *   EXIT    nothing lives: workers leave their loops and take down their reactors
 * The thread in tr_stop (or in tr_run, see run.c) moves them on. Runtimes live in a table by index, since a record names its
 * runtime by 16 bits; their memory is used again, never freed, for the sake of those who come late.
 */
#include "actor/runtime.h"
#include "actor/blocking.h"
#include "actor/fault.h"
#include "actor/idle.h"
#include "actor/sim.h"
#include "actor/spawn.h"
#include "actor/turn.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DEFAULT_STOP_NS (100 * TR_MILLISECOND)
#define DEFAULT_SHUTDOWN_NS (5 * TR_SECOND)
#define TURN_NS (5 * TR_MILLISECOND) /* between looks at the blocking jobs of a runtime that runs in turns */

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tr_runtime *table[TRI_RUNTIME_LIMIT];
static bool used[TRI_RUNTIME_LIMIT];

struct tr_runtime *tri_runtime_at(uint32_t index)
{
    return table[index]; /* of a living task: written before the task was */
}

void tri_runtime_each_worker(void (*visit)(struct tri_worker *worker, void *context), void *context)
{
    pthread_mutex_lock(&table_lock);
    for (uint32_t i = 0; i < TRI_RUNTIME_LIMIT; i++)
        for (uint32_t j = 0; used[i] && table[i]->worker && j < table[i]->workers; j++)
            visit(&table[i]->worker[j], context);
    pthread_mutex_unlock(&table_lock);
}

/* tr_stop enters EXIT under the lock: a visit is over before, and its writes are seen by workers that end. */
bool tri_runtime_visit(uint32_t index, void (*visit)(struct tr_runtime *runtime, void *context), void *context)
{
    pthread_mutex_lock(&table_lock);
    bool runs = used[index] && table[index]->worker &&
                tri_load(&table[index]->started, TRI_ACQUIRE) == table[index]->workers &&
                tri_load(&table[index]->phase, TRI_RELAXED) != TRI_PHASE_EXIT;
    if (runs)
        visit(table[index], context);
    pthread_mutex_unlock(&table_lock);
    return runs;
}

/* Calls visit for every record of `runtime` whose life flags, masked, are `flags`. */
static uint64_t each_record(struct tr_runtime *runtime, uint64_t mask, uint64_t flags,
                            void (*visit)(struct tri_task *task, uint64_t generation, void *context), void *context)
{
    uint64_t count = 0;
    uint32_t made;
    char *slab;
    for (uint32_t i = 0; (made = tri_pool_look(&tri_task_pool, i, &slab)) > 0; i++) {
        for (uint32_t j = 0; j < made; j++) {
            struct tri_task *task = (struct tri_task *)(void *)(slab + (size_t)j * sizeof *task);
            uint64_t life = tri_load(&task->life, TRI_ACQUIRE); /* [T2] of task.c */
            if ((life & mask) != flags || tri_load(&task->runtime, TRI_RELAXED) != runtime->index)
                continue;
            count++;
            visit(task, life >> TRI_LIFE_SHIFT, context);
        }
    }
    return count;
}

/* The same in the order of a seeded runtime's serial numbers; of those without one, which no task has met, as they lie. */
struct walk {
    struct tri_sim *sim;
    struct walked {
        struct tri_task *task;
        uint64_t generation, serial;
    } * list;
    size_t count, room;
};

static void note_record(struct tri_task *task, uint64_t generation, void *context)
{
    struct walk *walk = context;
    if (walk->count == walk->room) {
        size_t room = walk->room ? walk->room * 2 : 256;
        struct walked *list = realloc(walk->list, room * sizeof *list);
        if (!list)
            return; /* shutdowns walk again */
        walk->list = list;
        walk->room = room;
    }
    walk->list[walk->count++] = (struct walked){ task, generation, tri_sim_serial(walk->sim, task, generation) };
}

static int compare_walked(const void *a, const void *b)
{
    const struct walked *first = a, *second = b;
    return first->serial < second->serial ? -1 : first->serial > second->serial;
}

static uint64_t each_in_order(struct tr_runtime *runtime, uint64_t mask, uint64_t flags,
                              void (*visit)(struct tri_task *task, uint64_t generation, void *context), void *context)
{
    struct walk walk = { .sim = runtime->sim };
    uint64_t count = each_record(runtime, mask, flags, note_record, &walk);
    if (walk.list)
        qsort(walk.list, walk.count, sizeof *walk.list, compare_walked);
    for (size_t i = 0; walk.list && i < walk.count; i++)
        visit(walk.list[i].task, walk.list[i].generation, context);
    free(walk.list);
    return count;
}

static uint64_t walk_records(struct tr_runtime *runtime, uint64_t mask, uint64_t flags,
                             void (*visit)(struct tri_task *task, uint64_t generation, void *context), void *context)
{
    return (runtime->sim ? each_in_order : each_record)(runtime, mask, flags, visit, context);
}

uint64_t tri_runtime_each_task(struct tr_runtime *runtime,
                               void (*visit)(struct tri_task *task, uint64_t generation, void *context), void *context)
{
    return walk_records(runtime, TRI_LIFE_ALIVE, TRI_LIFE_ALIVE, visit, context);
}

/* A fork copies no threads: the child has runtimes that can never run. It is told so when it tries to start another. */
bool tri_forked;

static void note_fork(void)
{
    tri_forked = true;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, note_fork);
}

/* ---- starting ------------------------------------------------------------------------------------------------- */

/* All but the clock's word is memory as any other: at that one, who has a stale address looks without a lock. */
static void clear_entry(struct tr_runtime *runtime)
{
    char *word = (char *)&runtime->clock.word, *behind = word + sizeof runtime->clock.word;
    memset(runtime, 0, (size_t)(word - (char *)runtime));
    memset(behind, 0, (size_t)((char *)(runtime + 1) - behind));
    tri_store(&runtime->clock.word, (uint64_t)TRI_CLOCK_REAL, TRI_RELAXED);
}

static struct tr_runtime *take_entry(void)
{
    struct tr_runtime *runtime = NULL;
    pthread_mutex_lock(&table_lock);
    for (uint32_t i = 0; i < TRI_RUNTIME_LIMIT && !runtime; i++) {
        if (used[i])
            continue;
        if (!table[i] && !(table[i] = aligned_alloc(64, sizeof *table[i]))) /* a multiple of 64: it is so aligned */
            break;
        runtime = table[i];
        clear_entry(runtime);
        runtime->index = i;
        used[i] = true;
    }
    pthread_mutex_unlock(&table_lock);
    return runtime;
}

void tri_runtime_free(struct tr_runtime *runtime)
{
    if (runtime->wake_fd >= 0)
        close(runtime->wake_fd);
    if (runtime->blocking)
        tri_blocking_destroy(runtime->blocking);
    pthread_mutex_lock(&table_lock);
    used[runtime->index] = false;
    free(runtime->worker);
    runtime->worker = NULL;
    pthread_mutex_unlock(&table_lock);
}

static unsigned wanted_workers(const struct tr_options *options)
{
    const char *text = getenv("TR_WORKERS");
    unsigned long count = options->workers;
    if (count == 0 && text && *text) {
        char *end;
        count = strtoul(text, &end, 10);
        if (*end || strchr(text, '-') || count == 0 || count > TRI_WORKER_LIMIT) { /* strtoul takes a minus sign */
            tr_log(TR_LOG_WARNING, "TR_WORKERS='%s' is not a number from 1 to %u: ignored", text, TRI_WORKER_LIMIT);
            count = 0;
        }
    }
    return count ? (unsigned)count : tri_cpu_count(TRI_CGROUP_ROOT, TRI_CGROUP_MEMBERSHIP);
}

void tri_runtime_signal(struct tr_runtime *runtime)
{
    uint64_t one = 1;
    if (write(runtime->wake_fd, &one, sizeof one) < 0)
        return; /* full: it is readable anyway */
}

static void signal_event(void *context)
{
    tri_runtime_signal(context);
}

/* A clock that stands does not move by itself while jobs are under way. */
static void hold_clock(void *context, bool busy)
{
    if (busy)
        tri_clock_hold(context);
    else
        tri_clock_release(context);
}

static int configure(struct tr_runtime *runtime, const struct tr_options *options)
{
    runtime->workers = wanted_workers(options);
    int size_class = options->stack_bytes ? tri_stack_class(options->stack_bytes) : TRI_STACK_DEFAULT_CLASS;
    if (runtime->workers > TRI_WORKER_LIMIT || size_class < 0 || options->backend > TR_BACKEND_EPOLL ||
        options->stop_ns < 0 || options->shutdown_ns < 0 || !tri_blocking_check(options))
        return -EINVAL;
    runtime->stack_class = (uint32_t)size_class;
    runtime->backend = options->backend;
    runtime->stop_ns = options->stop_ns ? options->stop_ns : DEFAULT_STOP_NS;
    runtime->shutdown_ns = options->shutdown_ns ? options->shutdown_ns : DEFAULT_SHUTDOWN_NS;
    runtime->migrate_always = options->migrate_always;
    runtime->no_caches = options->no_caches || options->seed; /* what a cache holds must not decide which way is gone */
    runtime->can_raid = tri_membarrier_register();
    tri_store(&runtime->shutdown_at, TR_FOREVER, TRI_RELAXED);
    runtime->seed = options->seed;
    if (options->clock_paused || options->seed)
        tri_clock_start_paused(&runtime->clock, options->seed ? TRI_SIM_START : tr_clock());
    runtime->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (runtime->wake_fd < 0) {
        int error = errno;
        tr_log(TR_LOG_ERROR, "cannot make an eventfd for the runtime: %s", strerror(error));
        return -error;
    }
    runtime->blocking = tri_blocking_create(options, signal_event, hold_clock, runtime);
    return runtime->blocking ? 0 : -ENOMEM;
}

static int make_workers(struct tr_runtime *runtime)
{
    size_t bytes = sizeof(struct tri_worker) * runtime->workers;
    struct tri_worker *workers = aligned_alloc(_Alignof(struct tri_worker), bytes);
    if (!workers)
        return -ENOMEM;
    memset(workers, 0, bytes);
    for (uint32_t i = 0; i < runtime->workers; i++) {
        workers[i].runtime = runtime;
        workers[i].index = i;
        workers[i].alone = runtime->workers == 1;
        tri_store(&workers[i].queue.thieves, runtime->can_raid ? 0u : TRI_QUEUE_NO_BARRIER, TRI_RELAXED);
        workers[i].migrate = runtime->migrate_always;
        workers[i].no_caches = runtime->no_caches;
        workers[i].stack_class = runtime->stack_class;
        tri_start_quota(&workers[i], TRI_FIRST_SWITCHES);
    }
    pthread_mutex_lock(&table_lock);
    runtime->worker = workers;
    pthread_mutex_unlock(&table_lock);
    return 0;
}

void tri_runtime_await(struct tr_runtime *runtime, int other_fd, tr_time deadline)
{
    struct pollfd fds[2] = { { .fd = runtime->wake_fd, .events = POLLIN }, { .fd = other_fd, .events = POLLIN } };
    tr_time now = tr_clock();
    tr_time left = deadline <= now ? 0 : deadline - now;
    struct timespec span = { .tv_sec = left / TR_SECOND, .tv_nsec = left % TR_SECOND };
    uint64_t count;
    if (ppoll(fds, other_fd >= 0 ? 2 : 1, deadline == TR_FOREVER ? NULL : &span, NULL) > 0 && fds[0].revents &&
        read(runtime->wake_fd, &count, sizeof count) < 0)
        return; /* somebody else was quicker */
}

static void join_workers(struct tr_runtime *runtime, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        pthread_join(runtime->worker[i].thread, NULL);
}

static int start_threads(struct tr_runtime *runtime)
{
    uint32_t wanted = runtime->workers, made = 0;
    int rc = 0;
    for (; made < wanted && rc == 0; made++) {
        rc = -pthread_create(&runtime->worker[made].thread, NULL, tri_worker_main, &runtime->worker[made]);
        if (rc < 0)
            break;
    }
    if (rc < 0) { /* those that are up wait for the rest: tell them that this is all */
        tr_log(TR_LOG_ERROR, "cannot start thread %u of %u: %s", made + 1, wanted, strerror(-rc));
        tri_store(&runtime->failed, (uint32_t)EAGAIN, TRI_RELAXED);
        tri_fetch_add(&runtime->left, wanted - made, TRI_RELAXED);    /* nobody has been in a wake */
        tri_fetch_add(&runtime->started, wanted - made, TRI_RELEASE); /* passes `failed`: they do not run */
    }
    while (tri_load(&runtime->started, TRI_ACQUIRE) < wanted)
        tri_runtime_await(runtime, -1, tr_clock() + 100 * TR_MILLISECOND);
    int failed = -(int)tri_load(&runtime->failed, TRI_RELAXED);
    if (failed < 0)
        join_workers(runtime, made);
    return failed;
}

int tri_runtime_make(struct tr_runtime **out, const struct tr_options *options)
{
    static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
    pthread_once(&fork_once, watch_forks);
    if (tri_forked) {
        tr_log(TR_LOG_ERROR, "a process that was forked after a runtime had been started cannot start one: exec first");
        return -ENOTSUP;
    }
    struct tr_runtime *runtime = take_entry();
    if (!runtime)
        return -ENOMEM;
    runtime->wake_fd = -1;
    tri_fault_install();
    int rc = configure(runtime, options);
    if (rc == 0)
        rc = make_workers(runtime);
    if (rc < 0)
        tri_runtime_free(runtime);
    *out = runtime;
    return rc;
}

int tr_start(struct tr_runtime **out, const struct tr_options *options)
{
    static const struct tr_options defaults;
    struct tr_runtime *runtime;
    if (tri_in_task())
        return -EDEADLK;
    if (options && options->seed)
        return -EINVAL;
    int rc = tri_runtime_make(&runtime, options ? options : &defaults);
    if (rc < 0)
        return rc;
    rc = start_threads(runtime);
    if (rc < 0)
        tri_runtime_free(runtime);
    else
        *out = runtime;
    return rc;
}

/* ---- shutdown ------------------------------------------------------------------------------------------------- */

/*
 * Tasks that live. Ends are read before spawns: the difference is never too small, for who acquires an end has seen the
 * spawn, and those made before it.
 */
static uint64_t count_live(struct tr_runtime *runtime)
{
    uint64_t ended = 0, spawned = 0;
    tri_fence(TRI_SEQ_CST); /* [T3] of task.c: after the phase was set */
    for (uint32_t i = 0; i < runtime->workers; i++)
        ended += tri_load(&runtime->worker[i].ended, TRI_ACQUIRE);
    for (uint32_t i = 0; i < runtime->workers; i++)
        spawned += tri_load(&runtime->worker[i].spawned, TRI_RELAXED);
    return spawned + tri_load(&runtime->foreign_spawned, TRI_RELAXED) - ended;
}

void tri_runtime_task_ended(struct tr_runtime *runtime)
{
    if (count_live(runtime) == 0)
        tri_runtime_signal(runtime);
}

/* Counts those that the phase waits for. */
static void stop_actor(struct tri_task *task, uint64_t generation, void *context)
{
    uint64_t *actors = context;
    if (!tri_task_is(task, TRI_TASK_ACTOR))
        return;
    ++*actors;
    tr_actor_stop_raw((struct tr_address){ task, generation });
}

static void cancel_task(struct tri_task *task, uint64_t generation, void *context)
{
    uint64_t *tasks = context;
    ++*tasks;
    tri_task_cancel_raw(task, generation);
}

/*
 * Repeats the phase's request, for tasks that were being spawned when it was first made, until nobody is left whom it
 * concerns. False when the time is over.
 */
static bool wait_phase(struct tr_runtime *runtime, tr_time deadline,
                       void (*request)(struct tri_task *task, uint64_t generation, void *context))
{
    tr_time pause = 5 * TR_MILLISECOND;
    int again = 50; /* for those who take note of a cancellation, and wait again */
    tri_sim_bound(runtime, request == stop_actor ? runtime->stop_ns : runtime->shutdown_ns);
    for (;;) {
        uint64_t concerned = 0;
        if (count_live(runtime) == 0)
            return true;
        tri_runtime_each_task(runtime, request, &concerned);
        if (concerned == 0 && request == stop_actor)
            return true;
        tri_clock_release_end(runtime);
        if (runtime->sim) {
            if (!tri_sim_step(runtime, deadline) && (request == stop_actor || --again == 0))
                return count_live(runtime) == 0;
            continue;
        }
        tr_time now = tr_clock();
        if (now >= deadline)
            return false;
        tr_time until = deadline - now < pause ? deadline : now + pause;
        if (runtime->turns)
            tri_turn_run(runtime, until);
        else
            tri_runtime_await(runtime, -1, until);
        if (pause < 100 * TR_MILLISECOND)
            pause *= 2;
    }
}

static void reap_task(struct tri_task *task, uint64_t generation, void *context)
{
    (void)context;
    tri_task_reap(task, generation);
}

static void enter_phase(struct tr_runtime *runtime, enum tri_phase phase)
{
    if (tri_load(&runtime->phase, TRI_RELAXED) < (uint32_t)phase)
        tri_store(&runtime->phase, (uint32_t)phase, TRI_RELEASE);
}

/* No task is left: jobs that have not started are dropped, those that run are waited for. False: the time is over. */
static bool end_blocking(struct tr_runtime *runtime, tr_time deadline)
{
    tri_blocking_close(runtime->blocking);
    while (!tri_blocking_is_over(runtime->blocking)) {
        tr_time now = tr_clock();
        if (now >= deadline)
            return false;
        if (runtime->turns) /* a job may move the clock, which is done in turns */
            tri_turn_run(runtime, deadline - now < TURN_NS ? deadline : now + TURN_NS);
        else
            tri_runtime_await(runtime, -1, deadline);
    }
    return true;
}

int tr_stop(struct tr_runtime *runtime, tr_time deadline)
{
    int rc = tri_forked ? -ENOTSUP : runtime->turns ? tri_turn_check(runtime) : tri_in_task() ? -EDEADLK : 0;
    if (rc < 0)
        return rc;
    enter_phase(runtime, TRI_PHASE_STOP);
    tr_time stop = runtime->sim ? deadline : tr_after(runtime->stop_ns);
    wait_phase(runtime, stop < deadline ? stop : deadline, stop_actor);
    enter_phase(runtime, TRI_PHASE_CANCEL);
    if (!wait_phase(runtime, deadline, cancel_task) || !end_blocking(runtime, deadline)) {
        tri_runtime_report(runtime);
        return -ETIMEDOUT;
    }
    walk_records(runtime, TRI_LIFE_FLAGS, TRI_LIFE_ENDED, reap_task,
                 NULL); /* handles that were never joined go stale */
    tri_fetch_add(&runtime->visitors, 1u,
                  TRI_RELAXED); /* [S5] of idle.h: no worker takes its reactor down while we wake them */
    tri_clock_finish(runtime);
    pthread_mutex_lock(&table_lock);
    enter_phase(runtime, TRI_PHASE_EXIT);
    pthread_mutex_unlock(&table_lock);
    tri_wake_all(runtime);
    tri_fetch_sub(&runtime->visitors, 1u, TRI_RELEASE);
    if (runtime->turns)
        tri_turn_finish(runtime);
    else
        join_workers(runtime, runtime->workers);
    tri_runtime_free(runtime);
    return 0;
}

void tri_runtime_shut_down_at(struct tr_runtime *runtime, tr_time at)
{
    tri_store(&runtime->shutdown_at, at < TR_FOREVER ? at : TR_FOREVER - 1, TRI_RELAXED); /* TR_FOREVER: nobody asked */
}

void tri_runtime_cancel_main(struct tr_runtime *runtime)
{
    if (tri_exchange(&runtime->main_told, 1u, TRI_RELAXED) == 0)
        tr_task_cancel(runtime->main);
}

int tr_shutdown(tr_time deadline)
{
    struct tri_worker *worker = tri_worker_here();
    if (!worker || !worker->current)
        return -EINVAL;
    struct tr_runtime *runtime = worker->runtime;
    tri_runtime_shut_down_at(runtime, tri_clock_to_real(runtime, deadline));
    enter_phase(runtime, TRI_PHASE_STOP);
    uint64_t actors = 0;
    tri_runtime_each_task(runtime, stop_actor, &actors);
    tri_sim_bound_nearer(runtime, runtime->shutdown_ns);
    tri_runtime_cancel_main(runtime); /* here and now: a clock that stands must not move on before */
    tri_runtime_signal(runtime);
    return 0;
}
