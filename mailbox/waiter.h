/* SPDX-License-Identifier: MIT */
/*
 * waiter.h: the seam between what tasks wait on and the tasks. mailbox/ and io/ only declare it; actor/ defines it,
 * and tests link a fake.
 *
 * Waiting is a loop: register, look at the condition, park, look again.
 *
 *     register self where the waker will find it;
 *     while (!condition) {
 *         int rc = tri_park(deadline, TRI_WAIT_...);
 *         if (rc < 0) { withdraw the registration; if the condition came true after all, it wins; return rc; }
 *     }
 *
 * A wake is a token: one that comes between the look and the park makes the park return at once. After a park that a wake
 * ended, everything that the waker did before its wake is visible. Parks can return
 * without cause (a waker that came late to an earlier wait), which is why waiting is a loop. Task records are
 * type-stable, so a late wake touches valid memory, at worst of a stranger, whom it wakes without cause.
 */
#ifndef TRI_WAITER_H
#define TRI_WAITER_H

#include <troupe/time.h>

struct tri_task;

/* What a task is said to wait on in reports. */
enum tri_wait {
    TRI_WAIT_MESSAGE,
    TRI_WAIT_ROOM,
    TRI_WAIT_REPLY,
    TRI_WAIT_JOIN,
    TRI_WAIT_SLEEP,
    TRI_WAIT_IO,
    TRI_WAIT_CHANNEL,
    TRI_WAIT_CHANNEL_ROOM,
    TRI_WAIT_ONESHOT,
    TRI_WAIT_SELECT,
    TRI_WAIT_PERMIT,
    TRI_WAIT_LOCK,
    TRI_WAIT_SIGNAL,
    TRI_WAIT_CHANGE,
    TRI_WAIT_GROUP,
    TRI_WAIT_JOB,
};

/* The calling task; on a foreign thread, the record that stands for the thread (NULL only when out of memory). */
struct tri_task *tri_self(void);

/*
 * The home of objects that only the caller's worker uses (mailbox/monitor.h): its seat, if it is the only one of its runtime
 * and not inside a lock just now. Else NULL.
 */
struct tri_seat;
struct tri_seat *tri_home(void);

/* True if the caller is a task of a runtime, not a foreign thread. */
bool tri_in_task(void);

/*
 * Suspends the caller until a wake. Returns 0 (woken, or without cause), -ECANCELED (a cancellation is pending and not
 * shielded; the caller was not suspended, or was woken by it), -ETIMEDOUT (the deadline, or a scope's, has passed).
 */
int tri_park(tr_time deadline, enum tri_wait on);

/* As tri_park, deaf to cancellation and deadlines: for the tail of a wait that must end, such as an operation's last CQE. */
void tri_park_tail(enum tri_wait on);

/* Wakes `task`, or marks it so that its next park returns at once. Thread: any. */
void tri_wake(struct tri_task *task);

/* Wakes all of them, as tri_wake. They run in this order, after those that are ready. Thread: any. */
void tri_wake_many(struct tri_task *const *tasks, unsigned count);

/*
 * A fairness point: takes one unit of the budget and yields when it is used up. Every suspending call passes one, also
 * when it need not suspend. Returns 0.
 */
int tri_budget(void);

/* A pending, unshielded cancellation: -ECANCELED, else 0. Called before an operation takes effect. */
int tri_cancel_check(void);

/* Both in one: how a suspending call begins. May suspend. Returns 0 or -ECANCELED. */
int tri_checkpoint(void);

/*
 * True if `deadline` or that of a scope has passed: for a call that goes round in itself and need not park as long as there is
 * something to look at. Elsewhere the park tells.
 */
bool tri_is_late(tr_time deadline);

/*
 * Around a wait for what some thread outside does for the calling task: a clock that stands does not move by itself
 * meanwhile (actor/clock.h). Nothing on a foreign thread.
 */
void tri_outside_begin(void);
void tri_outside_end(void);

/*
 * A number below `count`: which of several that are equally good. A seeded runtime decides by its seed, so that whatever is
 * left to chance must be asked for here. Thread: any.
 */
uint32_t tri_choice(uint32_t count);

#endif
