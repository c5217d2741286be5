/* SPDX-License-Identifier: MIT */
/*
 * sim.h: tests that can be replayed. A runtime with a seed (tr_options.seed) runs everything on one thread, on a clock that
 * stands and moves when nothing else happens (see tr_clock_pause), and lets the seed decide what is otherwise left to chance:
 * which of the tasks that are ready runs next and how long it may go on, the winner of each race, the order of timers that
 * fall together. Each seed is one of the orders in which things may happen; the same seed is the same order, in every
 * process, wherever memory lies.
 *
 *     static int my_test(void *argument)        // actors, deadlines, cancellations: everything as ever
 *     { ... }
 *     struct tr_sim sim = { .runs = 1000 };     // a thousand orders; the log names the seed of one that fails,
 *     int rc = tr_sim_run(&sim, my_test, NULL); // and TR_SEED=that in the environment runs it alone
 *
 * Not decided by the seed: when the kernel completes an operation, and what other threads do; a test that uses neither, nor
 * asks the real world for time or chance (tr_clock and tr_random do not), replays exactly.
 */
#ifndef TROUPE_SIM_H
#define TROUPE_SIM_H

#include <troupe/runtime.h>

TRI_BEGIN_DECLS

struct tr_sim {
    uint64_t seed;                    /* the first; default 1. TR_SEED=n in the environment: only n is run */
    unsigned runs;                    /* how many seeds, one after the other; default 1 */
    const struct tr_options *options; /* as for tr_run, without `workers` (one) and `seed`; NULL: defaults */

    /* Written by tr_sim_run: of the last run. */
    uint64_t last_seed;
    uint64_t digest; /* of all that the seed has decided: the same for the same run, another for another */
};

/*
 * Runs main(argument) as tr_run does, once for each seed, until it returns something else than 0: the log then tells the
 * seed. If every task waits, with no deadline, no I/O and no hold of the clock (tr_clock_hold: somebody outside works), the
 * log names them all, and the run ends with -EDEADLK. Signals are left alone. At the end actors drain for stop_ns of the
 * runtime's clock, and what cancelled tasks still do is bounded by shutdown_ns on both clocks.
 * Thread: foreign. Suspends: blocks the thread: it runs on it.
 * Returns 0, or what main returned; errors as tr_run; -ETIMEDOUT also when main returned 0 and not all would end; -ENOMEM also
 * when there is none for another stack; -EINVAL (sim NULL; TR_SEED is no number above 0).
 */
TR_PUBLIC int tr_sim_run(struct tr_sim *sim, int (*main)(void *argument), void *argument);

/* The seed of the calling task's runtime; 0: it has none, or no task. Thread: any. Suspends: no. */
TR_PUBLIC uint64_t tr_sim_seed(void);

/* The digest so far of the calling task's runtime; 0 if it has no seed. Thread: any. Suspends: no. */
TR_PUBLIC uint64_t tr_sim_digest(void);

/*
 * A random number below `count` (0: any 64 bits). In a seeded runtime it follows from the seed. Fair and quick; no secret.
 * Thread: any. Suspends: no.
 */
TR_PUBLIC uint64_t tr_random(uint64_t count);

TRI_END_DECLS
#endif
