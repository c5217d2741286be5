/* SPDX-License-Identifier: MIT */
/*
 * scheduler.h: workers, and the few verbs with which the rest of actor/ makes tasks run, hold and suspend.
 */
#ifndef TRI_SCHEDULER_H
#define TRI_SCHEDULER_H

#include "actor/clock.h"
#include "actor/queue.h"
#include "actor/sanitizer.h"
#include "actor/stack.h"
#include "actor/switch.h"
#include "actor/task.h"
#include "io/reactor.h"
#include "io/timer.h"
#include "mailbox/bias.h"
#include <errno.h>
#include <pthread.h>
#include <troupe/runtime.h>

#define TRI_WORKER_LIMIT 64u
#define TRI_RUNTIME_LIMIT 256u
#define TRI_BUDGET 128       /* operations per resume, as Tokio's */
#define TRI_STREAM 16        /* operations in one go after which a task is taken to stream */
#define TRI_FIRST_SWITCHES 8 /* the first pass after a sleep is short, so that the mean is soon right */
#define TRI_PASS_SWITCHES 61 /* a pass ends after so many switches, */
#define TRI_PASS_NS 100000   /* or after about so long */

/* What the first code on the other side of a switch must do for the side that was left. */
enum tri_hook {
    TRI_HOOK_NONE,
    TRI_HOOK_PARK,    /* commit the park of hook_task, or queue it again if a wake came first */
    TRI_HOOK_REQUEUE, /* put hook_task at the end of the queue */
    TRI_HOOK_RELEASE, /* hook_stack goes back to the pool */
};

struct tri_inbox {
    struct tri_lock lock;
    TRI_ATOMIC(uint32_t) count;
    struct tri_task *first, *last;
};

struct tri_worker {
    /* owner */
    struct tr_runtime *runtime;
    struct tri_task *current; /* NULL in the loop, but for one that is about to start the task for which it was left */
    struct tri_stack *stack;  /* that we are on */
    struct tri_task *held;    /* chain of callers that wait for the handler on top to return */
    struct tri_task *hand;    /* for the loop that is being switched to */
    const struct tri_letter *letter; /* for the actor that is being switched to; in the held caller's frame */
    struct tri_task *pinned_first, *pinned_last; /* ready tasks that no thief may take */
    struct tri_task *hook_task;
    struct tri_stack *hook_stack;
    enum tri_hook hook;
    int32_t budget, quota_start;
    uint32_t lifo_run;
    struct tri_seat *home; /* of objects that only this worker uses: see mailbox/monitor.h. NULL: not alone */
    bool alone;            /* the only worker: no thieves */
    bool migrate;          /* for tests: every wake goes to the next worker */
    bool no_caches;        /* for tests */
    bool turns;            /* has no thread of its own: see turn.h */
    bool on_watch;         /* this worker is the sentry */
    bool exact;            /* the clock stands: timers fire at their time */
    uint32_t quiet;        /* looks in a row at which everybody else slept */
    uint32_t index;
    uint32_t stack_class;
    uint64_t random;          /* the state of tri_choice; in a seeded runtime it follows from the seed */
    tr_time now;              /* for the tasks: see clock.h */
    tr_time real, pass_start; /* on the real clock */
    tr_time next_alarm;       /* when the wheel wants to be looked at, on the tasks' clock */
    uint64_t told_at;         /* the count of switches when many were last woken from here: see news.c */
    struct tri_cache tasks, colds, slots, alarms, posts_free, nodes;
    struct tri_storage_cache storages;
    struct tri_stack_cache stacks;
    struct tri_wheel wheel;
    struct tri_reactor *reactor;
    bool still, outstanding;                 /* of clock.h, under the clock's lock: idle; with I/O in flight */
    tr_time due;                             /* likewise: the next deadline here, for who moves the clock */
    int *errno_at;                           /* the thread's errno */
    struct tri_stack os_stack;               /* the thread's own, as far as switching is concerned */
    struct tri_worker *prey;                 /* whose ring we are a thief of; NULL: nobody's */
    tr_time stolen_at;                       /* when we last took from it */
    uint64_t seen[TRI_WORKER_LIMIT];         /* other workers' progress at the last look, for the sentry, */
    tr_time seen_since[TRI_WORKER_LIMIT];    /* and when they were first seen; 0: reported */
    tr_time seen_computed[TRI_WORKER_LIMIT]; /* what a hog's thread had computed at the last look; 0: no hog then */

    /* owner writes, others read */
    _Alignas(64) TRI_ATOMIC(uint64_t) switches; /* turns: tasks put on this worker */
    uint64_t pass_at;                           /* the owner's: the count of switches at which a pass is due */
    TRI_ATOMIC(uint32_t) quotas;                /* how many were begun */
    TRI_ATOMIC(uint64_t) spawned, ended, steals, sleeps, wakes, polls, expired;
    TRI_ATOMIC(uint32_t) mean_ns; /* per switch, smoothed */

    /* shared */
    _Alignas(64) TRI_ATOMIC(struct tri_task *) lifo;
    TRI_ATOMIC(uint32_t) in_lifo;           /* the owner is between looking at `raid` and being done with the slot */
    _Alignas(64) TRI_ATOMIC(uint32_t) raid; /* a thief wants the slot of a hog */
    struct tri_queue queue;
    _Alignas(64) struct tri_inbox inbox;                 /* from others, and not for thieves */
    struct tri_inbox overflow;                           /* of the ring, and for thieves as well */
    TRI_ATOMIC(uint32_t) appointed;                      /* somebody has made this sleeping worker the sentry */
    _Alignas(64) TRI_ATOMIC(struct tri_alarm *) orphans; /* alarms to be taken out of our wheel */
    TRI_ATOMIC(struct tri_post *) posts;                 /* see after.h: to be put into our wheel, or taken out */
    pthread_t thread;
};

enum tri_phase { TRI_PHASE_RUN, TRI_PHASE_STOP, TRI_PHASE_CANCEL, TRI_PHASE_EXIT };

struct tr_runtime {
    uint32_t index, workers;
    uint32_t stack_class;
    enum tr_backend backend, backend_used;
    int64_t stop_ns, shutdown_ns;
    bool migrate_always, no_caches;
    bool can_raid; /* membarrier is there */
    TRI_ATOMIC(uint32_t) phase;
    TRI_ATOMIC(tr_time) shutdown_at;        /* TR_FOREVER: nobody asked */
    struct tri_worker *worker;              /* array */
    _Alignas(64) TRI_ATOMIC(uint64_t) idle; /* a bit for each worker that sleeps or is about to */
    TRI_ATOMIC(uint32_t) sentry;            /* see idle.h */
    _Alignas(64) struct tri_inbox injection;
    TRI_ATOMIC(uint64_t) foreign_spawned;
    TRI_ATOMIC(uint32_t) visitors;              /* foreign threads inside a wake */
    TRI_ATOMIC(uint32_t) started, failed, left; /* workers up; an error; workers out of their loops */
    struct tri_clock clock;
    struct tr_task main;            /* of tr_run; zero: there is none */
    TRI_ATOMIC(uint32_t) main_told; /* a shutdown has cancelled it, which is done once */
    uint64_t seed;                  /* non-zero: see sim.h */
    struct tri_turns *turns;        /* non-NULL: no threads of its own, see turn.h */
    struct tri_sim *sim;            /* non-NULL: seeded, see sim.h */
    uint64_t *digest;               /* where its digest goes at the end; NULL: nowhere */
    struct tri_blocking *blocking;  /* the pool of threads for work that blocks */
    int wake_fd;                    /* tells the thread in tr_run or tr_stop that something happened */
};

/*
 * Suspending is in three parts, so that only the middle one is inlined into the public calls: after a switch every return
 * of a function that was entered on this stack before it is apt to be mispredicted, for the predictor remembers the calls
 * of the stack that was left. Eight nanoseconds each: between the switch and the user's code there is one frame, no more.
 *
 * tri_leave decides where to go and sets up the hook, or has queued the task already: who is told where to go must switch.
 * NULL: no switch is needed after all. tri_arrive carries the hook out.
 */
struct tri_stack *tri_leave(struct tri_worker *worker, enum tri_hook hook);
/* As tri_leave, holding the caller while `next`, which is the caller's, runs. NULL: no memory for a stack, nothing done. */
struct tri_stack *tri_leave_held(struct tri_worker *worker, struct tri_task *next, struct tri_slot *awaits);
void tri_arrive_slow(struct tri_worker *worker, enum tri_hook hook);

static inline __attribute__((always_inline)) void tri_arrive(struct tri_worker *worker)
{
    enum tri_hook hook = worker->hook;
    if (hook != TRI_HOOK_NONE)
        tri_arrive_slow(worker, hook);
}

static inline void tri_start_quota(struct tri_worker *worker, int32_t turns)
{
    worker->quota_start = turns;
    worker->pass_at = tri_load(&worker->switches, TRI_RELAXED) + (uint64_t)turns;
    tri_store(&worker->quotas, tri_load(&worker->quotas, TRI_RELAXED) + 1, TRI_RELAXED);
}

/* The quota is used up. */
static inline bool tri_pass_due(const struct tri_worker *worker)
{
    return tri_load(&worker->switches, TRI_RELAXED) >= worker->pass_at;
}

static inline __attribute__((always_inline)) void tri_count(TRI_ATOMIC(uint64_t) *counter)
{
    tri_store(counter, tri_load(counter, TRI_RELAXED) + 1, TRI_RELAXED); /* one writer */
}

/* Another value after each switch, pass and sleep: if it stands, a task keeps the worker to itself. */
static inline uint64_t tri_progress(const struct tri_worker *worker)
{
    uint64_t quotas = tri_load(&worker->quotas, TRI_RELAXED);
    return quotas << 32 | (uint32_t)tri_load(&worker->switches, TRI_RELAXED);
}

/* Leaves `from`, which keeps the context, for `to`. Returns on whichever worker resumes `from`. */
static inline __attribute__((always_inline)) void tri_switch_stacks(struct tri_worker *worker, struct tri_stack *from,
                                                                    struct tri_stack *to)
{
    worker->stack = to;
    tri_asan_leave(&from->fake, to->low, to->bytes);
    tri_fiber_switch(to->fiber);
    tri_switch(&from->context, &to->context);
    tri_asan_arrive(from->fake);
}

extern __thread struct tri_worker *tri_worker_tls __attribute__((tls_model("initial-exec"), visibility("hidden")));

/*
 * The worker that runs the caller, or NULL. Call it again after everything that may suspend. Opaque to the compiler, which
 * would otherwise keep the address of the thread-local across a switch to another thread.
 */
#ifdef __x86_64__
static inline struct tri_worker *tri_worker_here(void)
{
    struct tri_worker *worker;
    __asm__ volatile("movq tri_worker_tls@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(worker) : : "memory");
    return worker;
}
#else
struct tri_worker *tri_worker_here(void);
#endif

/* What the last one on this stack has left open lay in its frames. */
static inline void tri_forget_scopes(struct tri_worker *worker)
{
    if (__builtin_expect(worker->stack->scope != NULL, 0))
        worker->stack->scope = NULL;
}

static inline bool tri_shielded(struct tri_worker *worker)
{
    return worker->stack->scope && worker->stack->scope->tri_shielded;
}

/* True once the running task may not go on: cancelled, and not shielded. */
static inline bool tri_worker_cancelled(struct tri_worker *worker)
{
    return __builtin_expect(tri_task_cancelled(worker->current), 0) && !tri_shielded(worker);
}

/* Goes to `to`, which tri_leave gave, and comes back on any worker. errno is the task's. */
static inline __attribute__((always_inline)) void tri_go(struct tri_worker *worker, struct tri_stack *to)
{
    struct tri_stack *from = worker->stack;
    int saved = *worker->errno_at;
    tri_count(&worker->switches);
    tri_switch_stacks(worker, from, to);
    worker = tri_worker_here();
    tri_arrive(worker);
    if (__builtin_expect(*worker->errno_at != saved, 0))
        *worker->errno_at = saved;
}

/* Suspends the running task as `hook` says (PARK or REQUEUE). May return without a switch. */
static inline __attribute__((always_inline)) void tri_suspend(struct tri_worker *worker, enum tri_hook hook)
{
    struct tri_stack *to = tri_leave(worker, hook);
    if (to)
        tri_go(worker, to);
}

/* tri_suspend out of line, for the rare paths. */
void tri_give_way(struct tri_worker *worker);

/* Notes what the task waits on and until when. False: no memory for an alarm. */
bool tri_note_wait(struct tri_worker *worker, tr_time deadline, enum tri_wait on);
/* The innermost scope of the task bounds every deadline inside it; it has the bounds of those around it in it. */
tr_time tri_bounded(struct tri_worker *worker, tr_time deadline);
/* The same on a thread that is in no task. */
tr_time tri_foreign_bounded(tr_time deadline);
/* Until the scope is closed nothing bounds or cancels the caller's waits: for tails that must end. tr_scope_close ends it. */
void tri_scope_deafen(struct tr_scope *scope);

/* tri_park for a task: see mailbox/waiter.h. */
static inline __attribute__((always_inline)) int tri_park_task(struct tri_worker *worker, tr_time deadline,
                                                               enum tri_wait on)
{
    if (tri_worker_cancelled(worker))
        return -ECANCELED;
    if (__builtin_expect(worker->stack->scope != NULL, 0))
        deadline = tri_bounded(worker, deadline);
    if (deadline <= worker->now)
        return -ETIMEDOUT;
    if (tri_park_consume(&worker->current->park))
        return 0;
    tri_suspend(worker, tri_note_wait(worker, deadline, on) ? TRI_HOOK_PARK : TRI_HOOK_REQUEUE);
    return 0;
}

/* For the short ways of suspending calls: in a task, not cancelled, with budget left (which the caller then takes from). */
static inline bool tri_may_go_on(struct tri_worker *worker)
{
    return __builtin_expect(worker && worker->current && worker->budget > 1 && !tri_task_cancelled(worker->current), 1);
}

/*
 * How every suspending call begins: -ECANCELED, or a unit of the budget, which may suspend. *worker is NULL on a foreign
 * thread, and renewed.
 */
static inline int tri_begin(struct tri_worker **worker)
{
    struct tri_worker *here = tri_worker_here();
    *worker = here;
    if (tri_may_go_on(here)) {
        here->budget--;
        return 0;
    }
    if (!here || !here->current)
        return 0;
    if (tri_worker_cancelled(here))
        return -ECANCELED;
    if (__builtin_expect(--here->budget <= 0, 0)) {
        tri_give_way(here);
        *worker = tri_worker_here();
    }
    return 0;
}

/*
 * True if one that streams (it has done this much since it was resumed) and finds a mailbox full, or its own empty, had
 * better yield than wait: the other side is probably ready on this worker, and waiting costs locks, marks and wakes that a
 * yield does not.
 */
static inline bool tri_had_better_yield(struct tri_worker *worker)
{
    return worker->budget <= TRI_BUDGET - TRI_STREAM && !worker->held &&
           (tri_load(&worker->lifo, TRI_RELAXED) || tri_queue_length(&worker->queue) > 0 || worker->pinned_first);
}

/* See tri_home. */
static inline struct tri_seat *tri_home_of(struct tri_worker *worker)
{
    struct tri_seat *home = worker->home;
    return home && tri_load(&home->inside, TRI_RELAXED) == 0 ? home : NULL;
}

/* NULL for an index whose runtime has gone. */
struct tr_runtime *tri_runtime_at(uint32_t index);

/*
 * True if a task may be held on this worker while `next` runs. Holding puts a pass off until the budget is used up, which is
 * no harm where switches are quick (a full quota), but is when each takes long.
 */
static inline bool tri_can_hold(const struct tri_worker *worker, struct tri_task *next)
{
    uint32_t pin = tri_pin(next);
    return (!tri_pass_due(worker) || worker->quota_start == TRI_PASS_SWITCHES) && !worker->migrate &&
           (pin == 0 || pin == worker->index + 1) && worker->runtime->index == tri_load(&next->runtime, TRI_RELAXED);
}

/* Makes a task run that the caller has taken from PARKED to RUNNING: a task of any runtime, or a foreign thread. */
void tri_run_claimed(struct tri_task *task);

/* Makes `task`, which the caller owns, run: soon (next on this worker, if it may), or after those that are ready. */
void tri_ready(struct tri_task *task);
void tri_ready_last(struct tri_worker *worker, struct tri_task *task);
/* As tri_ready_last, past those in the overflow list: for tasks that come from there, or from another worker's ring. */
void tri_ready_ring(struct tri_worker *worker, struct tri_task *task);

/*
 * An idle actor has been claimed through its mailbox: makes it run. `handler` must have been read before the claim, or before
 * the place that was claimed is published: an idle handler actor stays what it is until the one who claimed it makes it run,
 * but a loop actor can wake for another reason, find the message, end, and leave its record to a stranger.
 */
static inline void tri_activate(struct tri_task *task, bool handler)
{
    if (handler)
        tri_ready(task);
    else
        tri_wake(task);
}

/* The worker's caches, or NULL on a foreign thread (and under no_caches). */
static inline struct tri_cache *tri_slot_cache(struct tri_worker *worker)
{
    return worker && !worker->no_caches ? &worker->slots : NULL;
}
static inline struct tri_cache *tri_task_cache(struct tri_worker *worker)
{
    return worker && !worker->no_caches ? &worker->tasks : NULL;
}
static inline struct tri_cache *tri_cold_cache(struct tri_worker *worker)
{
    return worker && !worker->no_caches ? &worker->colds : NULL;
}
static inline struct tri_cache *tri_node_cache(struct tri_worker *worker)
{
    return worker && !worker->no_caches ? &worker->nodes : NULL;
}
static inline struct tri_storage_cache *tri_storage_cache(struct tri_worker *worker)
{
    return worker && !worker->no_caches ? &worker->storages : NULL;
}

/* A record that is nobody's, and what hangs on it. */
void tri_task_free_cold(struct tri_worker *worker, struct tri_task *task);
static inline void tri_task_give(struct tri_worker *worker, struct tri_task *task)
{
    if (tri_load(&task->cold, TRI_RELAXED))
        tri_task_free_cold(worker, task);
    tri_pool_give(&tri_task_pool, tri_task_cache(worker), task);
}

/* The thread function of a worker; argument: struct tri_worker. */
void *tri_worker_main(void *argument);

#endif
