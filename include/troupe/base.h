/* SPDX-License-Identifier: MIT */
/*
 * base.h: what every other header of Troupe needs: visibility, the clock's type, and the few words that the
 * documentation of each function uses.
 *
 * Conventions of every declaration below include/troupe:
 *   Thread    any: callable from every thread. task: only inside a task of a runtime (-EINVAL elsewhere).
 *             foreign: only outside. its own: any, but an object's users come one after the other, never at once.
 *             init: any, while nobody else knows the object yet.
 *   Suspends  yes: the calling task may be put aside until the event, its deadline or its cancellation. What follows (when
 *             full) says when it waits; but after some 64 to 128 such calls on end it also lets others run, whether there
 *             is something to wait for or not. no: never, save in a function of the caller's that it calls; a pending
 *             cancellation does not matter. blocks: the thread.
 *   Owns      whose the things are that go in or come out, where that is not plain.
 *   Returns   0 or a count, else a negative errno. One meaning each, in the whole library:
 *             -ETIMEDOUT the deadline passed before it could be done.
 *             -ECANCELED cancelled: the calling task; or the group, the token or the runtime (which shuts down) under which
 *                        something was to begin.
 *             -EAGAIN    not now: a try_ form that would have to wait; no threads left for a runtime.
 *             -ESRCH     there is none: no such actor, task, job or timer (any more); no receiver; nobody who waits for the
 *                        answer; no value, or no member, left to come. Of a call: the request was not taken.
 *             -EPIPE     closed, for good: by the other side, or because what it belongs to is ending (the task that would
 *                        own something, the runtime whose turn it is). Of a call: the request was taken, its outcome is
 *                        unknown.
 *             -EBUSY     the one place is taken: another task reads, or writes, this stream.
 *             -ENOBUFS   refused by a bound, with nobody to wait for: a mailbox's policy, a group's capacity.
 *             -EDEADLK   the wait could never end: for oneself, directly or by way of others (see tr_call); of a seeded
 *                        run: all wait for one another.
 *             -ENOMEM    no memory.
 *             -EINVAL    not to be called so: a wrong argument, size or type, a wrong thread, or not the caller's to do
 *                        (another owns the lock or the group, or waits for this task already).
 *             -ENOTSUP   not possible here: this kernel, backend or process; or this kind of object cannot do it.
 *             Sockets also return the kernel's own: -ECONNREFUSED, -ECONNRESET, -EADDRINUSE, -EMFILE and their kind.
 *             Every call that waits can return -ENOMEM on a foreign thread, which then has no record to wait in; a task
 *             needs none.
 */
#ifndef TROUPE_BASE_H
#define TROUPE_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
#define TRI_BEGIN_DECLS extern "C" {
#define TRI_END_DECLS }
#else
#define TRI_BEGIN_DECLS
#define TRI_END_DECLS
/* Typed handles are told apart by pointer type: from here on a mismatch is an error, in the code of users as well. */
#pragma GCC diagnostic error "-Wincompatible-pointer-types"
#endif

#define TR_PUBLIC __attribute__((visibility("default")))

/* A process can hold several runtimes; this names one. */
struct tr_runtime;

TRI_BEGIN_DECLS

/*
 * Where the errno of the calling thread lies, for `errno` below: the C library's lets the compiler remember the place, which is
 * another's once a task goes on elsewhere. Thread: any. Suspends: no.
 */
TR_PUBLIC int *tr_errno_location(void);
#undef errno
#define errno (*tr_errno_location())

TRI_END_DECLS

#endif
