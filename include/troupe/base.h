/* SPDX-License-Identifier: MIT */
/*
 * base.h: what every other header of Troupe needs: visibility, the clock's type, and the few words that the
 * documentation of each function uses.
 *
 * Conventions of every declaration below include/troupe:
 *   Thread    any: callable from every thread. task: only inside a task of a runtime (-EINVAL elsewhere).
 *   Suspends  yes: the calling task may be put aside until the event, its deadline or its cancellation.
 *   Returns   0 or a count, else a negative errno. One meaning each, in the whole library:
 *             -ETIMEDOUT the deadline passed          -ECANCELED this task was cancelled
 *             -EAGAIN    would suspend (try_ forms)   -ESRCH     not taken: no such actor or task
 *             -EPIPE     closed (of a call: the request was taken, its outcome is unknown)
 *             -ENOBUFS   refused by policy            -EDEADLK   the wait could never end
 *             -ENOMEM    no memory                    -EINVAL    a wrong argument, thread or type
 *             -ENOTSUP   not possible on this kernel or backend
 */
#ifndef TROUPE_BASE_H
#define TROUPE_BASE_H

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
#endif

#define TR_PUBLIC __attribute__((visibility("default")))

/* A process can hold several runtimes; this names one. */
struct tr_runtime;

#endif
