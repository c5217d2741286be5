/* SPDX-License-Identifier: MIT */
/*
 * reactor.h: one worker's I/O: a backend (io_uring or epoll), the operations in flight on it, and the means to wake its
 * worker.
 *
 * An operation belongs to the reactor it was started on until its final completion, which makes its task runnable on
 * the worker that reaped it. Only that worker touches the backend; others post a cancel request and wake it.
 *
 *   task                reactor of worker A                kernel
 *    | tri_io_run(op) ---> submit (queued, no system call)
 *    | parks               poll: one enter submits all ------>
 *    |                     reaps completions <---------------
 *    | <--- wake           op->result, op->done
 */
#ifndef TRI_REACTOR_H
#define TRI_REACTOR_H

#include "mailbox/atomic.h"
#include "mailbox/waiter.h"
#include <troupe/runtime.h>

struct tri_reactor;

/* Made on the worker's own thread. `kind` DEFAULT: see enum tr_backend; *kind tells what was chosen. Returns 0 or -errno. */
int tri_reactor_create(struct tri_reactor **out, enum tr_backend *kind);
/* On the worker's own thread, with nothing in flight and nobody left who might still wake it. */
void tri_reactor_destroy(struct tri_reactor *reactor);

/*
 * Submits what is queued, carries out cancel requests, and completes what has finished, waking the tasks. Waits until
 * something completes, somebody calls tri_reactor_wake, or `until` (TR_NOW: does not wait, and makes no system call when
 * there is nothing to submit or reap). Returns the number of completions. Owner only.
 */
unsigned tri_reactor_poll(struct tri_reactor *reactor, tr_time until);

/*
 * For an owner that does not wait itself, but looks at a descriptor together with others. Submits what is queued. Returns
 * the descriptor, which is readable when a poll would find something; -EAGAIN: it takes another poll before that holds;
 * -ENOTSUP, -EMFILE, ... Always the same descriptor; it stays the reactor's. Owner only.
 */
int tri_reactor_watch(struct tri_reactor *reactor);

/* Another one, readable when a dozing reactor was woken. Owner only. */
int tri_reactor_wake_fd(struct tri_reactor *reactor);

/* Around the wait of such an owner. False: somebody has woken it meanwhile, it must not wait. Owner only. */
bool tri_reactor_doze(struct tri_reactor *reactor);
void tri_reactor_rouse(struct tri_reactor *reactor);

/* True if a poll could find or submit something: operations queued or in flight. Owner only; cheap. */
bool tri_reactor_busy(const struct tri_reactor *reactor);

/* What has time to be submitted or looked at (see tri_io_start) has none any more. Thread: any; who is not the owner wakes it. */
void tri_reactor_hurry(struct tri_reactor *reactor);

/* True if the last completions came alone or in twos: a system call of its own then costs less than a place in a batch. */
bool tri_reactor_calm(const struct tri_reactor *reactor);

/* Makes a poll that waits, or the next one, return. Thread: any. */
void tri_reactor_wake(struct tri_reactor *reactor);

/* System calls made to submit or reap, for the counters. */
uint64_t tri_reactor_enters(const struct tri_reactor *reactor);

/* The reactor of the worker that runs the caller; NULL on a foreign thread. Defined by actor/. Opaque to the compiler:
 * call it again after every suspension. */
struct tri_reactor *tri_reactor_here(void);

#endif
