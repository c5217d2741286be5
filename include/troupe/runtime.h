/* SPDX-License-Identifier: MIT */
/*
 * runtime.h: starting and ending the pool of workers that runs tasks.
 *
 * tr_run is the short form for a program that is all Troupe; tr_start and tr_stop put a runtime beside a program's own
 * main loop, tr_open and tr_turn into it. Several runtimes can live in one process.
 */
#ifndef TROUPE_RUNTIME_H
#define TROUPE_RUNTIME_H

#include <troupe/task.h>

TRI_BEGIN_DECLS

enum tr_backend {
    TR_BACKEND_DEFAULT = 0, /* TR_BACKEND=uring|epoll in the environment, else io_uring, else epoll */
    TR_BACKEND_URING,
    TR_BACKEND_EPOLL,
};

struct tr_options {
    unsigned workers; /* at most 64; default: TR_WORKERS, else CPUs allowed by affinity and cgroup quota */
    enum tr_backend backend;
    size_t stack_bytes;        /* of a task that asks for nothing, less than 32 MiB; default 56 KiB, in a slot of 64 */
    int64_t stop_ns;           /* shutdown, first phase: how long actors may drain; default 100 ms */
    int64_t shutdown_ns;       /* of tr_run: the whole of it; after this the report names who still runs; default 5 s */
    unsigned blocking_threads; /* the pool of blocking.h: at most so many threads; default 64, up to 4096 */
    unsigned blocking_queue;   /* and so many jobs that have not started; default 1024, up to 2^24 */
    int64_t blocking_idle_ns;  /* a thread without a job ends after this; default 10 s */
    bool clock_paused;         /* for tests: the clock stands from the start (see tr_clock_pause) */
    uint64_t seed;       /* for tests: non-zero: one thread, chance decided by this (see sim.h); not for tr_start */
    bool keep_signals;   /* tr_run only: leave SIGINT and SIGTERM alone */
    bool migrate_always; /* for tests: every wake moves the task to another worker */
    bool no_caches;      /* for tests: every stack, record and slot goes through the shared lists */
};

/*
 * Runs main(argument) as the first task of a new runtime and returns its result once the runtime has shut down. When
 * main returns, the other actors are stopped and drain, then the tasks that are left are cancelled (see tr_shutdown). What does
 * not end in shutdown_ns is named in the log and left behind with its threads: what it uses must stay.
 * SIGINT and SIGTERM begin the same shutdown, with main cancelled; one that comes during it changes nothing. Both are blocked in the
 * calling thread until tr_run returns, and in every thread and child process that is made meanwhile: a child must unblock
 * them before it execs (jobs of blocking.h have all signals blocked). Threads made earlier must block them themselves, or the
 * signal kills the process as ever.
 * Thread: foreign (not a task). Suspends: blocks the thread.
 * Returns main's result; -ETIMEDOUT if main was still running when the shutdown's time was over; or before main ran: -ENOMEM,
 * -EINVAL (an impossible option, or an unknown TR_BACKEND), -EAGAIN (no threads), -EDEADLK (called in a task), -EMFILE, -ENFILE,
 * -ENOTSUP (forked, as below; or the backend that was asked for is not to be had: other errors of the kernel say why). With a
 * seed also the errors of tr_sim_run.
 */
TR_PUBLIC int tr_run(const struct tr_options *options, int (*main)(void *argument), void *argument);

/*
 * Starts a runtime and returns at once. Returns 0 or an error as tr_run; -EINVAL with a seed; -ENOTSUP in a process that was
 * forked after its parent had started one (threads are not copied: exec first); -ENOMEM also beside 256 others.
 * Thread: foreign. Suspends: no. Owns: *out is to be stopped.
 */
TR_PUBLIC int tr_start(struct tr_runtime **out, const struct tr_options *options);

/*
 * Shuts the runtime down by `deadline` and frees it. Actors are stopped and drain; after stop_ns, or when they have ended, whoever is
 * left is cancelled, again and again until it ends (see tr_cancel_taken). Every address and handle into it becomes stale and safe.
 * At the deadline the log names every task that still runs, what it waits on and since when, and the call returns
 * -ETIMEDOUT with the runtime still there: call again to wait on.
 * Thread: foreign; for a runtime of tr_open its own, which runs it meanwhile. Suspends: blocks the thread.
 * Returns 0, -ETIMEDOUT, -EDEADLK (in a task; inside a turn), -EINVAL (not the thread that opened it), -ENOTSUP (forked).
 */
TR_PUBLIC int tr_stop(struct tr_runtime *runtime, tr_time deadline);

/*
 * A runtime without threads of its own, for a program that has its own main loop: it runs in turns on the thread that opens it.
 *
 *     struct tr_runtime *runtime;
 *     rc = tr_open(&runtime, NULL);
 *     struct pollfd fds[] = { { .fd = tr_turn_fd(runtime), .events = POLLIN }, ... };
 *     while (poll(fds, count, -1) >= 0) {
 *         if (fds[0].revents)
 *             tr_turn(runtime, TR_NOW);
 *         ...
 *     }
 *     tr_stop(runtime, tr_after(TR_SECOND));
 *
 * As tr_start, with one worker (options->workers: 0 or 1; TR_WORKERS does not count). Other threads, and this one between
 * turns, are foreign threads to it: they spawn and send as ever, and the descriptor becomes readable. But a call that
 * waits for one of its tasks, made by its own thread, waits in vain: let a task make it. A thread can have several open.
 * Thread: foreign; the runtime belongs to it from then on. Suspends: no.
 * Returns as tr_start; -EINVAL also for more than one worker, -EDEADLK also inside a turn.
 */
TR_PUBLIC int tr_open(struct tr_runtime **out, const struct tr_options *options);

/*
 * Runs what is ready, and what that makes ready, for about a millisecond at most (a task that does not suspend is not
 * interrupted). With a deadline other than TR_NOW it waits first, until there is something to do. Timers that are due
 * fire; a clock that stands moves, if there is nothing else to do.
 * Thread: the one that opened the runtime. Suspends: blocks the thread until `deadline` (on the real clock) at most.
 * Returns 1 (there is more to do at once), 0, -EINVAL (not open, or another thread's), -EDEADLK (in a task; inside a turn, of
 * any runtime), -ENOMEM (no stack), -ENOTSUP (forked), -EPIPE (it has run, and a task has called tr_shutdown: it is time
 * for tr_stop). A signal handler that has run ends the wait early.
 */
TR_PUBLIC int tr_turn(struct tr_runtime *runtime, tr_time deadline);

/*
 * The descriptor to poll between turns: readable (level-triggered) when tr_turn has something to do: a task is ready, by whomever
 * it was woken, I/O has completed, a timer is due. It stays the runtime's: poll it, do nothing else with it. Returns it, or
 * -EINVAL (the runtime has threads of its own). Thread: any. Suspends: no.
 */
TR_PUBLIC int tr_turn_fd(struct tr_runtime *runtime);

/*
 * Begins the shutdown of the calling task's runtime: no new task, actors are stopped and drain. Under tr_run main is cancelled as
 * well, and it is all over by `deadline`, the last one that was given; of a seeded run stop_ns and shutdown_ns are the bounds.
 * Of any other runtime it is tr_stop, with a deadline of its own, that brings it to its end: its owner must be told (tr_turn
 * returns -EPIPE). Returns at once.
 * Thread: task. Suspends: no. Returns 0 or -EINVAL.
 */
TR_PUBLIC int tr_shutdown(tr_time deadline);

/*
 * Of the calling task's runtime: how many workers it has (0 outside one), the one that the task is on now (-1 outside), its
 * backend (TR_BACKEND_DEFAULT outside). Thread: any. Suspends: no. Returns that.
 */
TR_PUBLIC unsigned tr_worker_count(void);
TR_PUBLIC int tr_worker_index(void);
TR_PUBLIC enum tr_backend tr_backend_kind(void);

/*
 * What lives, for leak checks and reports. Process-wide: tasks, stacks held by tasks, reply slots, mailbox storage, streams (also
 * those that waiting accepts keep ready), timers, jobs of the pool for blocking work, groups and trackers, cancellation tokens. Thread: any. Suspends: no.
 */
struct tr_census {
    uint64_t tasks, stacks, slots, storages, streams, timers, jobs, groups, tokens;
};
TR_PUBLIC void tr_census(struct tr_census *out);

/* Counters of the calling task's runtime, summed over its workers. Thread: task. Suspends: no. Returns 0 or -EINVAL. */
struct tr_counters {
    uint64_t switches, spawns; /* tasks put on a worker, and made */
    uint64_t steals;           /* tasks taken from another worker's queue */
    uint64_t sleeps, wakes;    /* of workers: waits in the kernel, and wakes of one by another */
    uint64_t polls, enters;    /* looks at the reactor, and system calls that it made */
    uint64_t expired_requests; /* skipped, since their callers had given up */
};
TR_PUBLIC int tr_counters(struct tr_counters *out);

/* How loud a line is. */
enum tr_log_level { TR_LOG_ERROR, TR_LOG_WARNING, TR_LOG_INFO, TR_LOG_DEBUG };

/*
 * Where log lines go; NULL restores standard error. Levels above `most` are not made (default TR_LOG_INFO, or
 * TR_LOG=error|warning|info|debug in the environment). Process-wide. The sink is called on any thread, one call at a time; it must
 * neither suspend nor log. A line has no newline, and is there during the call alone. Thread: any. Suspends: no.
 */
TR_PUBLIC void tr_log_set(void (*sink)(enum tr_log_level level, const char *line, void *context), void *context,
                          enum tr_log_level most);

/* Writes one log line, as the runtime itself does. Thread: any. Suspends: no. */
TR_PUBLIC void tr_log(enum tr_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "0.1.0". Thread: any. Suspends: no. */
TR_PUBLIC const char *tr_version(void);

TRI_END_DECLS
#endif
