/* SPDX-License-Identifier: MIT */
/*
 * clock.h: the clock of a runtime, which can be stopped and moved by hand.
 *
 *              pause                           resume
 *     REAL ------------> PAUSED at a time <--------------> SHIFTED: real time plus an offset
 *                          |     ^           pause
 *                          +-----+ moves, when every worker is idle
 *
 * While it stands, the wheels fire exactly (not at ticks), and time passes in steps: once no worker has anything to run,
 * the last one to go idle moves the clock to the earliest deadline anywhere, and wakes the workers whose timers are due.
 * They run what those woke, are idle again, and so on: what happens at different times never happens together.
 *
 * A worker that goes idle says so (`still`) under the lock, and takes that back, under the lock, before it runs anything or
 * touches its wheel. So with the lock held and all of them still nothing runs, the wheels are the holder's, and the clock can
 * be moved. What a foreign thread does meanwhile comes after the move.
 *
 * By itself the clock moves only if nothing is outstanding outside: no I/O in flight, and no hold (tri_clock_hold: blocking
 * jobs, and whoever else works for the runtime on a thread of its own). Those who call tr_clock_advance move it regardless.
 *
 *   [CK1] word: the sequence moves with each change of the mode; offset and `at` are released by it. Who has read the real
 *        clock between an acquiring load of the word and, after a fence, another that found the same, has read it in that
 *        mode. A change is announced (CHANGING, fence) before the real clock is read for it, so that nobody has read a
 *        later time than it begins with.
 *   [CK2] over: the result of an advance -> acquire by the one who waits for it, who then leaves the frame.
 */
#ifndef TRI_CLOCK_H
#define TRI_CLOCK_H

#include "mailbox/atomic.h"
#include "mailbox/pool.h"
#include <troupe/time.h>

struct tri_task;
struct tri_worker;
struct tri_advancer;

enum tri_clock_mode { TRI_CLOCK_REAL = 0, TRI_CLOCK_PAUSED = 1, TRI_CLOCK_SHIFTED = 2, TRI_CLOCK_CHANGING = 3 };
#define TRI_CLOCK_MODE UINT64_C(3)

struct tri_clock {
    TRI_ATOMIC(uint64_t) word;  /* sequence << 2 | mode */
    TRI_ATOMIC(tr_time) at;     /* PAUSED: the time; moved under the lock */
    TRI_ATOMIC(tr_time) offset; /* SHIFTED */
    struct tri_lock lock;
    uint32_t holds;                 /* under the lock: what keeps the clock from moving by itself */
    uint32_t asked;                 /* under the lock: those of the holds that tr_clock_hold has made */
    bool end_held;                  /* under the lock: one of the holds is that of tri_clock_hold_end */
    struct tri_advancer *advancers; /* under the lock: who waits in tr_clock_advance */
    tr_time furthest;               /* of a seeded runtime that ends: no further than this; 0: no bound */
};

/* What time it is for the tasks of the runtime. Thread: any. */
tr_time tri_clock_read(struct tr_runtime *runtime);

/* The same point of time on the real clock. Thread: any. */
tr_time tri_clock_to_real(struct tr_runtime *runtime, tr_time when);

static inline enum tri_clock_mode tri_clock_mode(struct tri_clock *clock)
{
    return (enum tri_clock_mode)(tri_load(&clock->word, TRI_RELAXED) & TRI_CLOCK_MODE);
}

/* Before the first worker runs: the clock stands at `at`. */
void tri_clock_start_paused(struct tri_clock *clock, tr_time at);

/* Renews worker->now and worker->real. Owner. */
void tri_clock_renew(struct tri_worker *worker);

/*
 * The worker is about to sleep: its idle bit is set and its queues are empty. Says so and, if all the
 * others have, moves the clock. True: there is something to do here, do not sleep.
 */
bool tri_clock_idle(struct tri_worker *worker);
/* It does not sleep any more, and will run tasks: takes that back. */
void tri_clock_unidle(struct tri_worker *worker);
/* When a sleep must end on the real clock: `until`, or the worker's next alarm. */
tr_time tri_clock_limit(struct tri_worker *worker, tr_time until);

/*
 * The clock does not move by itself until as many releases as holds: something is in flight that the scheduler does not
 * see, such as a job of the blocking pool. From the hold's return on. Thread: any.
 */
void tri_clock_hold(struct tr_runtime *runtime);
void tri_clock_release(struct tr_runtime *runtime);

/*
 * The main of tr_run has ended: the same until the shutdown has told those whom that concerns, which releases it (if there is such a
 * hold). Thread: any.
 */
void tri_clock_hold_end(struct tr_runtime *runtime);
void tri_clock_release_end(struct tr_runtime *runtime);

/*
 * Around what a thread that is no worker does to the living or stale `record`, if the clock of its runtime stands: a hold.
 * Nothing is to wait in between. Returns what tri_visit_end takes: NULL on a worker, and while the clock goes.
 */
struct tr_runtime *tri_visit_begin(struct tri_task *record);
void tri_visit_end(struct tr_runtime *visited);

/* The runtime is over: nobody has to look whether the clock may move. */
void tri_clock_finish(struct tr_runtime *runtime);

#endif
